//! What was queued in a database that was copied or restored: held for a person.
//!
//! Most likely it went out after the copy was made, and may have been taken back since. Sent once more it would be said twice, and
//! what was erased would be there again. What comes back from others tells that only where it opens, and its end not at all; so a
//! person decides. What only takes back goes out all the same: said twice it says nothing new.

use belfry_proto::id::PublicationId;

use super::{HELD, decode_draft, put_draft, queue_key, queue_value, waiting};
use crate::{
    clock,
    store::{
        OpenError, ReadError, Store,
        columns::Cf,
        db::{Db, Row},
        rows::DraftState,
        txn::Txn,
    },
};

/// Drafts looked at in one synced write.
const AT_ONCE: usize = 16;
/// Where those stand in [`Cf::Meta`] that wait so, by publication, until a person decided.
pub(in crate::store) const COPIED_KEY: &[u8] = b"copied:";
/// Why they wait.
const SENT_SINCE: &str = "was queued when this copy of the database was made, and may have gone out since";

fn copied_key(publication: PublicationId) -> Vec<u8> {
    [COPIED_KEY, publication.as_ref()].concat()
}

/// A person decided on a draft.
pub(super) fn decided(txn: &mut Txn<'_>, publication: PublicationId) {
    txn.delete(Cf::Meta, copied_key(publication));
}

impl Store {
    /// Drafts that wait for a person because they were queued in a copy, as far as they are counted.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn copied_drafts(&self, most: usize) -> Result<usize, ReadError> {
        self.db.scan(Cf::Meta, COPIED_KEY, COPIED_KEY).take(most).try_fold(0, |sum, row| row.map(|_| sum + 1))
    }
}

/// Holds what is queued. Cut short by a crash it goes on where it was.
pub(in crate::store) fn hold_queued(db: &Db) -> Result<(), OpenError> {
    let (mut from, mut held) = (Vec::new(), 0_usize);
    loop {
        let queued = db.scan(Cf::Queue, &from, &[]).take(AT_ONCE);
        let queued: Vec<Row> = queued.collect::<Result<_, ReadError>>()?;
        let keys = queued.iter().map(|(key, _)| key.as_ref()).take_while(|key| !key.starts_with(&HELD));
        let keys: Vec<&[u8]> = keys.collect();
        let Some(last) = keys.last() else { break };
        from = [*last, [0].as_slice()].concat();
        let mut txn = Txn::new(db, clock::now());
        for key in keys {
            let id = waiting(key, 0)?;
            match hold(&mut txn, id) {
                Ok(is_held) => held += usize::from(is_held),
                // It stays where it is, and whoever sends it meets the same.
                Err(error) => tracing::error!(publication = %id, "a queued draft cannot be read: {error}"),
            }
        }
        let written = txn.done().write(db);
        written.map_err(|source| OpenError::Database { path: db.path.clone(), source })?;
    }
    if held > 0 {
        tracing::warn!(
            drafts = held,
            "this database is a copy: {held} drafts that were queued in it may have gone out since, and wait for a person (`belfry \
             drafts list`)"
        );
    }
    Ok(())
}

fn hold(txn: &mut Txn<'_>, publication: PublicationId) -> Result<bool, ReadError> {
    let Some(bytes) = txn.get_sealed(Cf::Drafts, publication.as_ref())? else { return Ok(false) };
    let mut row = decode_draft(publication, &bytes)?;
    if row.state != DraftState::Queued || row.parts.is_empty() {
        return Ok(false);
    }
    txn.delete(Cf::Queue, queue_key(&row));
    row.state = DraftState::Held;
    row.error = Some(SENT_SINCE.to_owned());
    let said = queue_value(&txn.db.vault, &row);
    txn.put(Cf::Queue, queue_key(&row), said);
    txn.put(Cf::Meta, copied_key(publication), Vec::new());
    put_draft(txn, &row);
    Ok(true)
}
