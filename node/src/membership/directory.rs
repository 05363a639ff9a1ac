//! Which contact records are held: in memory, so that comparing with a peer reads no row.
//!
//! One task writes ([`super::contact`]); whoever serves peers reads the same records. What counts of them is asked of the
//! roster each time, and what is news of the pure [`ContactBook`].

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use belfry_proto::{
    id::MemberId,
    schema,
    time::Timestamp,
    trust::{
        contact::{self, Rank, VerifiedContact},
        contact_book::{ContactBook, Held},
        roster::Roster,
    },
};
use prost::Message as _;
use tokio::sync::Semaphore;

use super::questions::Questions;
use crate::{
    bucket::{Buckets, Rate},
    heard::Shelf,
    store::{ContactRow, Store},
};

/// How long it is remembered that a peer answered. A hello compares anew whatever was before: that costs two hashes.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// Records of one member that are taken up from pushes and told on: an operator that corrects what it set a few times,
/// then one in a minute and a half. Each is a synced write at every node.
const SUBJECT: Rate = Rate { per_second: 0.011, burst: 8.0 };
/// Records of others that are told on side by side. Too low ⇒ more of them wait for the next comparison; too high ⇒ members
/// that say something new at once have this node hold many records and ask all its peers as often.
pub(super) const TELLING: usize = 16;

/// What is known of contact records besides what they say.
#[derive(Debug)]
pub(super) struct Directory {
    held: Shelf,
    /// Members of whom a row is kept that says nothing: by another belfry's rules it did.
    unread: BTreeSet<MemberId>,
    pub(super) subjects: Buckets<MemberId>,
    pub(super) questions: Questions,
    /// One permit for each record of another that is being told on.
    pub(super) telling: Arc<Semaphore>,
}

impl Directory {
    pub(super) fn of(store: &Store) -> Self {
        let rows = store.contacts().unwrap_or_else(|error| {
            tracing::warn!("contact records do not read, and are asked for anew: {error}");
            Vec::new()
        });
        let (mut held, mut unread) = (ContactBook::default(), BTreeSet::new());
        for row in rows {
            if let Some(rank) = rank_of(&row) {
                held.put(row.member, Held { rank, signer: row.signer });
            } else {
                tracing::warn!(member.id = %row.member, "the contact record kept of {} does not read", row.member);
                unread.insert(row.member);
            }
        }
        Self {
            held: Shelf::new(held),
            unread,
            subjects: Buckets::new(SUBJECT),
            questions: Questions::every(ASK_AGAIN),
            telling: Arc::new(Semaphore::new(TELLING)),
        }
    }

    /// The records, for whoever serves them.
    pub(super) fn shelf(&self) -> Shelf {
        self.held.clone()
    }

    /// As they are now.
    pub(super) fn book(&self) -> Arc<ContactBook> {
        self.held.book()
    }

    /// One hash of all that count.
    pub(super) fn hash(&self, roster: &Roster, now: Timestamp) -> [u8; 32] {
        self.book().standing(roster, now).1
    }

    /// These are on disk now.
    pub(super) fn note<'a>(&mut self, kept: impl IntoIterator<Item = &'a VerifiedContact>) {
        let unread = &mut self.unread;
        self.held.change(|held| {
            for verified in kept {
                let member = verified.contact.member;
                unread.remove(&member);
                held.put(member, Held::from(verified));
            }
        });
    }

    /// Whose row is not kept any longer: of who is a member no more, and what does not read.
    pub(super) fn over(&self, roster: &Roster, now: Timestamp) -> Vec<MemberId> {
        let held = self.book();
        held.over(roster, now).chain(self.unread.iter().copied()).collect()
    }

    /// It is gone from the disk.
    pub(super) fn forget(&mut self, member: MemberId) {
        self.unread.remove(&member);
        self.held.change(|held| held.forget(member));
    }
}

#[cfg(test)]
impl crate::heard::Contacts {
    /// One whose records nobody takes, and which tells those of a store as they are now.
    pub(crate) fn unheard(store: &Store) -> Self {
        Self { pushed: tokio::sync::mpsc::channel(1).0, held: Directory::of(store).shelf() }
    }
}

/// Which record a row holds; none if it is no record of its member, as rules are now.
fn rank_of(row: &ContactRow) -> Option<Rank> {
    let signed = schema::Signed::decode(row.bytes.as_slice()).ok()?;
    let contact = contact::read(&signed).ok()?;
    (contact.member == row.member).then_some(contact.rank)
}
