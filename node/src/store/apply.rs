//! Changes into rows. Only whoever writes runs it, and one writes at a time, so reading before writing races with nobody.
//!
//! A change is applied to the batch under way whole or not at all. What it does to rows stands with their subject: here it is
//! told which, and kept together what the writer remembers between batches, which a change that fails has to leave as it was.

use belfry_proto::id::Height;

use super::{
    ReadError, WriteError, admin, basis,
    change::{Change, Committed},
    columns::Cf,
    cursors,
    db::Db,
    drafts, embargo,
    feed::Feed,
    keys::{self, Uses},
    logs::Logs,
    opening,
    parking::Parking,
    prepared::Prepared,
    purge, removal,
    rows::LogRow,
    tokens,
    txn::Txn,
    unsure,
};

/// What the writer remembers between batches.
pub(super) struct Applier {
    pub(super) logs: Logs,
    pub(super) uses: Uses,
    pub(super) feed: Feed,
    parking: Parking,
    /// Height of the admin log.
    pub(super) admin: Height,
}

impl Applier {
    pub(super) fn load(db: &Db) -> Result<Self, ReadError> {
        Ok(Self {
            logs: Logs::load(db)?,
            uses: Uses::default(),
            feed: Feed::load(db)?,
            parking: Parking::load(db)?,
            admin: admin::read_head(db.get(Cf::Meta, admin::HEAD_KEY)?).height,
        })
    }

    /// The feed's newest sequence.
    pub(super) const fn newest(&self) -> u64 {
        self.feed.newest()
    }

    /// Logs that changed since the last call, as they stand now.
    pub(super) fn changed_logs(&mut self) -> Vec<LogRow> {
        self.logs.take_changed()
    }

    /// Puts the rows of logs that are due with this batch.
    pub(super) fn put_logs(&mut self, txn: &mut Txn<'_>) {
        self.logs.put_rows(txn);
    }

    /// Ends a change that is whole.
    pub(super) fn keep(&mut self) {
        self.logs.keep();
    }

    /// Takes back what the last change did to the remembered log states. Numbers it used up stay used.
    pub(super) fn undo(&mut self) {
        self.uses.forget_all();
        self.logs.undo();
    }

    /// Applies one change to the batch. On an error the caller undoes what the batch got from it.
    pub(super) fn apply(&mut self, txn: &mut Txn<'_>, prepared: Prepared) -> Result<Committed, WriteError> {
        let done = self.change(txn, prepared)?;
        self.logs.count(txn);
        Ok(done)
    }

    fn change(&mut self, txn: &mut Txn<'_>, prepared: Prepared) -> Result<Committed, WriteError> {
        let Prepared { change, mut envelopes, claims, ids } = prepared;
        match change {
            Change::Admin { charters, records, head } => {
                admin::extend(txn, charters, records, head)?;
                self.admin = head.height;
                Ok(Committed::Done)
            }
            Change::Envelope(row) => {
                let prepared = envelopes.pop_front().ok_or(WriteError::Missing("prepared envelope"))?;
                self.envelope(txn, &row, prepared)
            }
            Change::Opened { message, .. } => opening::open(&mut self.feed, txn, message, &ids, claims),
            Change::Closed { message, reason } => opening::close(txn, message, &reason),
            Change::Judged(judged) => self.judged(txn, judged),
            Change::Checked(checked) => self.checked(txn, &checked),
            Change::Surface(most) => Ok(if removal::surface(&mut self.feed, txn, most)? {
                Committed::More
            } else {
                Committed::Done
            }),
            Change::Reseal(message) => opening::reseal(txn, message),
            Change::Key(row) => {
                self.uses.forget(row.id);
                keys::put(txn, row)?;
                Ok(Committed::Done)
            }
            Change::Draft(row) => drafts::queue(txn, &row),
            Change::Drafts { rows, given } => match given {
                Some(given) if !basis::is_so(txn, &given)? => Ok(Committed::Outdated),
                _ => drafts::queue_all(txn, rows),
            },
            Change::Flushed { publication, envelopes: rows } => {
                self.flushed(txn, publication, &rows, envelopes)
            }
            Change::Published { draft, envelopes: rows } => self.published(txn, draft, &rows, envelopes),
            Change::DraftFailed { publication, error } => drafts::refuse(txn, publication, error),
            Change::DraftReleased { publication, reason, parts, given } => match given {
                Some(given) if !basis::is_so(txn, &given)? => Ok(Committed::Outdated),
                _ => drafts::release(txn, publication, reason, parts),
            },
            Change::DraftDiscarded { publication } => drafts::discard(txn, publication),
            Change::Token(row) => {
                tokens::put(txn, &row);
                Ok(Committed::Done)
            }
            Change::TokenRevoked(id) => {
                tokens::revoke(txn, id)?;
                Ok(Committed::Done)
            }
            Change::Beacon(bytes) => {
                admin::put_beacon(txn, bytes);
                Ok(Committed::Done)
            }
            Change::Hook { name, state } => {
                cursors::put_hook(txn, &name, state);
                Ok(Committed::Done)
            }
            Change::Source { name, state } => {
                cursors::put_source(txn, &name, &state);
                Ok(Committed::Done)
            }
            Change::Equivocation { height, records, instead_of } => {
                admin::put_equivocation(txn, height, &records)?;
                if let Some(height) = instead_of {
                    admin::drop_equivocation(txn, height);
                }
                Ok(Committed::Done)
            }
            Change::RemovalSeen { statement, record } => {
                admin::put_removal(txn, statement, record);
                Ok(Committed::Done)
            }
            Change::RemovalsSettled(statements) => {
                admin::drop_removals(txn, &statements);
                Ok(Committed::Done)
            }
            Change::Hold { member, since } => {
                admin::put_hold(txn, member, since);
                Ok(Committed::Done)
            }
            Change::Seen { heights, at } => {
                admin::mend_seen(txn, &heights, at)?;
                Ok(Committed::Done)
            }
            Change::WordsSeen { at } => unsure::words_came(txn, at),
            Change::Address(row) => {
                admin::put_address(txn, &row);
                Ok(Committed::Done)
            }
            Change::Contact(row) => {
                admin::put_contact(txn, &row);
                Ok(Committed::Done)
            }
            Change::ContactGone(member) => {
                admin::drop_contact(txn, member);
                Ok(Committed::Done)
            }
            Change::Park(row) => Ok(self.parking.put(txn, &row)?),
            Change::Reweigh { work, now } => self.reweigh(txn, work, now),
            Change::Purged(notes) => {
                purge::done(txn, notes)?;
                Ok(Committed::Done)
            }
            Change::Expire(aged) => self.expire(txn, &aged),
            Change::EmbargoesOver { over, now } => {
                embargo::end(&mut self.feed, txn, &over, now)?;
                Ok(Committed::Done)
            }
            Change::Unpark(ids) => {
                self.parking.let_go(txn, ids)?;
                Ok(Committed::Done)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{id::PublicationId, schema::Tlp};
    use tempfile::TempDir;

    use crate::store::{
        Change, Committed, WriteError,
        tests::{commit, id, object, open, page, with_objects},
    };

    #[test]
    fn a_failed_change_leaves_nothing_behind() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let publication = PublicationId::new([1; 16]);
        let nowhere = Change::Flushed {
            publication,
            envelopes: vec![with_objects(1, vec![object("a", "", Tlp::Green)])],
        };
        assert!(matches!(store.commit_blocking(nowhere), Err(WriteError::Missing("draft"))));
        assert!(!store.has_message(id(1)).unwrap());
        assert_eq!(
            commit(&store, with_objects(1, vec![object("a", "", Tlp::Green)])),
            Committed::Stored { advanced: true, gap: false, unjudged: false }
        );
        drop(store);
        let reopened = open(&folder);
        assert_eq!(page(&reopened, None, None, 10).rows.len(), 1, "sealed under a data key that was written");
    }
}
