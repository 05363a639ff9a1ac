//! Why something was refused: a count for each reason, and for messages of late their own. What others answer is refused
//! like what they bring.
//!
//! Whoever refuses says so here, in one word from a closed set, beside its line in the log. `/metrics` tells the counts;
//! `belfry why` looks here for a message that is not in the store.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::Header,
    id::{GroupId, LogId, MemberId, MessageId, Sequence, Serial},
    time::Timestamp,
};

/// Messages remembered, of all peers: those of some minutes of the worst flood that budgets let through to the ladder. Each
/// takes some 400 bytes.
const MOST: usize = 4096;
/// Bytes of a detail that are remembered.
const DETAIL: usize = 256;

/// On which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A group's gossip.
    Gossip,
    /// Pages that sync fetched.
    Sync,
    /// What had waited for the admin log.
    Parked,
    /// The admin topic.
    Admin,
    /// A connection that another began.
    Connection,
    /// What another asked in a hello.
    Hello,
    /// Keys that another asked for.
    Keys,
    /// Keys that another pushed.
    Push,
    /// Frontiers, pages and records that another asked for.
    Serving,
    /// What another answered when asked for its frontiers.
    FrontierAnswer,
    /// What another answered when asked for a page, or for the proof of a fork.
    PageAnswer,
    /// What another answered when asked for keys.
    KeysAnswer,
    /// What another answered to a key pushed to it.
    PushAnswer,
}

impl Way {
    /// As metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gossip => "gossip",
            Self::Sync => "sync",
            Self::Parked => "parked",
            Self::Admin => "admin",
            Self::Connection => "connection",
            Self::Hello => "hello",
            Self::Keys => "keys",
            Self::Push => "push",
            Self::Serving => "serving",
            Self::FrontierAnswer => "frontier-answer",
            Self::PageAnswer => "page-answer",
            Self::KeysAnswer => "keys-answer",
            Self::PushAnswer => "push-answer",
        }
    }
}

/// What a message says of itself; nothing of it need be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its id, which is a fact.
    pub id: MessageId,
    /// Group.
    pub group: GroupId,
    /// Whose.
    pub member: MemberId,
    /// Under which certificate.
    pub serial: Serial,
    /// In which log.
    pub log: LogId,
    /// Where in it.
    pub sequence: Sequence,
    /// When it was written.
    pub created: Timestamp,
}

impl Claimed {
    /// What stands in its header.
    #[must_use]
    pub const fn of(header: &Header, id: MessageId) -> Self {
        Self {
            id,
            group: header.group,
            member: header.member,
            serial: header.serial,
            log: header.log,
            sequence: header.sequence,
            created: header.created,
        }
    }
}

/// A message that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What it says of itself.
    pub claimed: Claimed,
    /// Which way it came the last time.
    pub way: Way,
    /// From whom.
    pub from: PublicKey,
    /// Why.
    pub code: &'static str,
    /// The same in a sentence.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// The one ledger of a node; cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<Ledger>>);

#[derive(Debug, Default)]
struct Ledger {
    counts: BTreeMap<(Way, &'static str), u64>,
    messages: HashMap<MessageId, Refused>,
    /// Whose they are, oldest first: a peer that brings many loses its own.
    by_peer: BTreeMap<PublicKey, VecDeque<MessageId>>,
}

impl Refusals {
    /// Counts one of which no message is known.
    pub fn count(&self, way: Way, code: &'static str) {
        *self.ledger().counts.entry((way, code)).or_default() += 1;
    }

    /// Counts one, and remembers it.
    pub fn message(&self, mut refused: Refused) {
        let mut end = refused.detail.len().min(DETAIL);
        while !refused.detail.is_char_boundary(end) {
            end -= 1;
        }
        refused.detail.truncate(end);
        let mut ledger = self.ledger();
        *ledger.counts.entry((refused.way, refused.code)).or_default() += 1;
        let (id, from) = (refused.claimed.id, refused.from);
        if ledger.messages.insert(id, refused).is_none() {
            ledger.by_peer.entry(from).or_default().push_back(id);
        }
        while ledger.messages.len() > MOST {
            ledger.forget_one();
        }
    }

    /// The latest refusal of a message, unless it was long ago. It may have been kept since.
    #[must_use]
    pub fn of(&self, id: &MessageId) -> Option<Refused> {
        self.ledger().messages.get(id).cloned()
    }

    /// How many of each.
    #[must_use]
    pub fn counts(&self) -> Vec<(Way, &'static str, u64)> {
        self.ledger().counts.iter().map(|((way, code), count)| (*way, *code, *count)).collect()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn forget_one(&mut self) {
        let Some((peer, queue)) = self.by_peer.iter_mut().max_by_key(|(_, queue)| queue.len()) else {
            return self.messages.clear();
        };
        let (peer, oldest) = (*peer, queue.pop_front());
        if queue.is_empty() {
            self.by_peer.remove(&peer);
        }
        if let Some(oldest) = oldest {
            self.messages.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    fn refused(from: u8, n: usize, code: &'static str) -> Refused {
        let mut id = [from; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let claimed = Claimed {
            id: MessageId::new(id),
            group: GroupId::new(1),
            member: MemberId::new([1; 16]),
            serial: Serial::new(1),
            log: LogId::new([1; 32]),
            sequence: Sequence::new(1),
            created: Timestamp::from_micros(1),
        };
        let from = SigningKey::from_seed(&[from; 32]).public();
        Refused {
            claimed,
            way: Way::Gossip,
            from,
            code,
            detail: "é".repeat(DETAIL),
            at: Timestamp::from_micros(2),
        }
    }

    #[test]
    fn every_refusal_counts_and_the_latest_reason_of_a_message_is_told() {
        let refusals = Refusals::default();
        let first = refused(1, 1, "bodiless");
        refusals.message(first.clone());
        refusals.message(Refused { way: Way::Sync, code: "over-quota", ..first.clone() });
        refusals.count(Way::Gossip, "no-room");
        assert_eq!(
            refusals.counts(),
            [(Way::Gossip, "bodiless", 1), (Way::Gossip, "no-room", 1), (Way::Sync, "over-quota", 1)]
        );
        let told = refusals.of(&first.claimed.id).unwrap();
        assert_eq!((told.way, told.code, told.detail.len()), (Way::Sync, "over-quota", DETAIL));
    }

    #[test]
    fn whoever_floods_washes_out_its_own_and_memory_is_bounded() {
        let refusals = Refusals::default();
        let honest = refused(2, 0, "over-quota");
        refusals.message(honest.clone());
        for n in 0..3 * MOST {
            refusals.message(refused(1, n, "bad-signature"));
        }
        assert!(refusals.of(&honest.claimed.id).is_some());
        let ledger = refusals.ledger();
        let queued = ledger.by_peer.values().map(VecDeque::len).sum::<usize>();
        assert_eq!((ledger.messages.len(), queued), (MOST, MOST));
    }
}
