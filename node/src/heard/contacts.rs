//! Contact records that are held, without what they say, and the way in for those that peers push.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use belfry_proto::{
    crypto::sign::PublicKey,
    id::MemberId,
    schema,
    time::Timestamp,
    trust::{
        contact::{self, Rank},
        roster::Roster,
    },
};
use tokio::sync::mpsc;

/// The record held of a member, without what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) rank: Rank,
    pub(crate) signer: PublicKey,
}

impl Held {
    pub(crate) fn stands(&self, roster: &Roster, member: MemberId, now: Timestamp) -> bool {
        contact::stands(roster, member, &self.signer, self.rank.made, now)
    }
}

/// The records held of all members, by member; cheap to hand out.
#[derive(Clone, Debug)]
pub(crate) struct Shelf(Arc<ArcSwap<BTreeMap<MemberId, Held>>>);

impl Shelf {
    pub(crate) fn new(held: BTreeMap<MemberId, Held>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(held)))
    }

    /// Members whose record counts, ascending, and one hash of all these.
    pub(crate) fn standing(&self, roster: &Roster, now: Timestamp) -> (Vec<MemberId>, [u8; 32]) {
        let held = self.all();
        let standing = held.iter().filter(|(member, held)| held.stands(roster, **member, now));
        let standing: Vec<(&MemberId, &Rank)> = standing.map(|(member, held)| (member, &held.rank)).collect();
        let hash = contact::sum(roster.coalition(), standing.iter().copied());
        (standing.into_iter().map(|(member, _)| *member).collect(), hash)
    }

    pub(crate) fn of(&self, member: MemberId) -> Option<Held> {
        self.0.load().get(&member).copied()
    }

    /// All of them, as they are now.
    pub(crate) fn all(&self) -> Arc<BTreeMap<MemberId, Held>> {
        self.0.load_full()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut BTreeMap<MemberId, Held>)) {
        let mut held = BTreeMap::clone(&self.0.load());
        change(&mut held);
        self.0.store(Arc::new(held));
    }
}

/// A contact record that a peer pushed.
pub(crate) struct Pushed {
    pub(crate) from: PublicKey,
    pub(crate) record: schema::Signed,
}

/// Hands contact records that peers push to membership, and tells which are held.
#[derive(Clone)]
pub struct Contacts {
    pub(crate) pushed: mpsc::Sender<Pushed>,
    pub(crate) held: Shelf,
}

impl Contacts {
    /// A peer pushed a record. False when the queue is full: the next comparison brings it.
    #[must_use]
    pub fn pushed(&self, from: PublicKey, record: schema::Signed) -> bool {
        self.pushed.try_send(Pushed { from, record }).is_ok()
    }

    /// Members whose record counts, ascending, and one hash of all these. Reads no row.
    #[must_use]
    pub fn standing(&self, roster: &Roster, now: Timestamp) -> (Vec<MemberId>, [u8; 32]) {
        self.held.standing(roster, now)
    }
}
