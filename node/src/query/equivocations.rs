//! Proofs that the registrar signed two entries for one height of the admin log, each as a file that anybody can verify.

use belfry_proto::{
    id::{EntryId, Height},
    schema::LogFile,
    trust::{equivocation::Equivocation, file},
};
use prost::Message;
use serde::Serialize;

use super::{Query, QueryError};

/// One proof.
#[derive(Clone, Debug, Serialize)]
pub struct EquivocationView {
    /// The height with two entries.
    pub height: Height,
    /// Both entries, this node's first.
    pub entries: [EntryId; 2],
    /// The key that signed both, in hex.
    pub registrar: String,
    /// Charters and both entries with their statements, in armour.
    pub file: String,
}

impl Query {
    /// Every proof that is kept here, by height.
    ///
    /// # Errors
    /// The store.
    pub async fn equivocations(&self) -> Result<Vec<EquivocationView>, QueryError> {
        let charters = self.roster().charters().signed().to_vec();
        let kept = self.read(move |inner| Ok(inner.store.equivocations()?)).await?;
        let opened = kept.into_iter().filter_map(|(height, bytes)| {
            let records = LogFile::decode(bytes.as_slice()).map(|kept| kept.records).unwrap_or_default();
            let proof = LogFile { charters: charters.clone(), records };
            let file = file::write_equivocation(&proof);
            match Equivocation::open(proof) {
                Ok(Equivocation { registrar, records: [one, other], .. }) => Some(EquivocationView {
                    height,
                    entries: [one.entry_id, other.entry_id],
                    registrar: registrar.to_string(),
                    file,
                }),
                // It was verified when it was kept; charters only grow.
                Err(error) => {
                    tracing::error!(height = height.get(), "the kept proof holds no more: {error}");
                    None
                }
            }
        });
        Ok(opened.collect())
    }
}
