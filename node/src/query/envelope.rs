//! A message as it travelled, and the log it is held to, for whoever has to show them to somebody who was not there.

use belfry_proto::{id::MessageId, schema::LogFile, trust::file};

use super::{Principal, Query, QueryError};

impl Query {
    /// Every charter and every entry of the admin log with all signatures, in armour.
    #[must_use]
    pub fn log_file(&self) -> String {
        let roster = self.roster();
        let charters = roster.charters().signed().to_vec();
        let records = roster.records().map(|record| record.record.clone()).collect();
        file::write_log(&LogFile { charters, records })
    }

    /// The message file of a message in a group the token reads: the sealed envelope, byte for byte, in armour.
    ///
    /// # Errors
    /// Not here or not for this token, a token for outside, or the store.
    pub async fn message_file(&self, principal: &Principal, id: MessageId) -> Result<String, QueryError> {
        self.inside(principal)?;
        let found = self.read(move |inner| {
            let Some(row) = inner.store.message(id)? else { return Ok(None) };
            Ok(inner.store.envelope(id)?.map(|envelope| (row.group, envelope)))
        });
        let found = found.await?.filter(|(group, _)| principal.scope().read.covers(*group));
        found.map(|(_, envelope)| file::write_message(&envelope)).ok_or(QueryError::UnknownMessage)
    }
}
