//! A message as it travelled, for whoever has to show it to somebody who was not there.

use belfry_proto::{id::MessageId, trust::file};

use super::{Principal, Query, QueryError};

impl Query {
    /// The message file of a message in a group the token reads: the sealed envelope, byte for byte, in armour.
    ///
    /// # Errors
    /// Not here or not for this token, or the store.
    pub async fn message_file(&self, principal: &Principal, id: MessageId) -> Result<String, QueryError> {
        let found = self.read(move |inner| {
            let Some(row) = inner.store.message(id)? else { return Ok(None) };
            Ok(inner.store.envelope(id)?.map(|envelope| (row.group, envelope)))
        });
        let found = found.await?.filter(|(group, _)| principal.scope().read.covers(*group));
        found.map(|(_, envelope)| file::write_message(&envelope)).ok_or(QueryError::UnknownMessage)
    }
}
