//! Which envelopes ahead of the admin log are worth their room.
//!
//! Until the log catches up nobody knows what they are: a message of an honest author in a hurry, or bytes
//! that name a height nobody has. So room is shared out: each author whose signature holds under a certificate
//! already here has its own, and what cannot be verified yet counts against the peer that brought it. Whoever
//! is over its share loses its own oldest; when everything is full, the largest share loses its oldest. A lost
//! one comes again by sync.

use std::collections::BTreeMap;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{MemberId, MessageId},
    time::Timestamp,
};

use super::{
    ReadError, Store, change::Committed, columns::Cf, db::Db, rows::ParkRow, txn::Txn, vault::damaged,
};

/// Bytes parked in all. Too low ⇒ a registrar's busy day is fetched twice, too high ⇒ disk for a flood.
const MOST_BYTES: u64 = 64 << 20;
/// Envelopes of one author whose signature holds.
const OF_AUTHOR: usize = 256;
/// Envelopes that one peer brought and nobody can verify yet: a new member's first ones, mostly.
const OF_PEER: usize = 64;

/// Whom a parked envelope counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parker {
    /// Its author: the signature holds under a certificate that is here.
    Author(MemberId),
    /// The peer that brought it: nothing can be said of its author yet.
    Peer(PublicKey),
}

impl Parker {
    const fn most(self) -> usize {
        match self {
            Self::Author(_) => OF_AUTHOR,
            Self::Peer(_) => OF_PEER,
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Author(member) => [&[0], member.as_ref()].concat(),
            Self::Peer(node) => [&[1], node.as_bytes().as_slice()].concat(),
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, member) => MemberId::try_from(member).ok().map(Self::Author),
            (1, node) => PublicKey::from_slice(node).ok().map(Self::Peer),
            _ => None,
        }
    }
}

/// Shares as they stand.
#[derive(Debug, Default)]
pub(super) struct Parking {
    shares: BTreeMap<Parker, BTreeMap<(Timestamp, MessageId), u64>>,
    whose: BTreeMap<MessageId, (Parker, Timestamp)>,
    bytes: u64,
}

impl Parking {
    /// Shares as the rows have them.
    pub(super) fn load(db: &Db) -> Result<Self, ReadError> {
        let mut parking = Self::default();
        for row in db.scan(Cf::Parked, &[], &[]) {
            let (key, value) = row?;
            let id = MessageId::try_from(key.as_ref()).ok();
            let row = id.and_then(|id| read_park(id, &value));
            let row = row.ok_or_else(|| damaged(Cf::Parked, &key, "does not decode"))?;
            // Within its bounds, or it would not have been written.
            parking.park(row.parker, row.id, row.received, row.bytes.len() as u64);
        }
        Ok(parking)
    }

    /// Parks an envelope; what has to go for it goes, and that may be itself.
    pub(super) fn put(&mut self, txn: &mut Txn<'_>, row: &ParkRow) -> Result<Committed, ReadError> {
        if txn.get(Cf::Parked, row.id.as_ref())?.is_some() {
            return Ok(Committed::Duplicate);
        }
        txn.put(Cf::Parked, row.id.to_vec(), value(row));
        for gone in self.park(row.parker, row.id, row.received, row.bytes.len() as u64) {
            txn.delete(Cf::Parked, gone.to_vec());
        }
        Ok(Committed::Done)
    }

    /// Lets envelopes go that found their verdict.
    pub(super) fn let_go(&mut self, txn: &mut Txn<'_>, ids: Vec<MessageId>) -> Result<(), ReadError> {
        for id in ids {
            if txn.get(Cf::Parked, id.as_ref())?.is_some() {
                txn.delete(Cf::Parked, id.to_vec());
                self.leave(id);
            }
        }
        Ok(())
    }

    /// Takes one in; gives those that have to go for it, which may be itself.
    fn park(&mut self, parker: Parker, id: MessageId, received: Timestamp, bytes: u64) -> Vec<MessageId> {
        self.shares.entry(parker).or_default().insert((received, id), bytes);
        self.whose.insert(id, (parker, received));
        self.bytes += bytes;
        let mut gone = Vec::new();
        while self.shares.get(&parker).is_some_and(|share| share.len() > parker.most()) {
            gone.extend(self.oldest(parker));
        }
        while self.bytes > MOST_BYTES {
            let largest = self.shares.iter().max_by_key(|(_, share)| share.values().sum::<u64>());
            let Some(largest) = largest.map(|(parker, _)| *parker) else { break };
            gone.extend(self.oldest(largest));
        }
        gone
    }

    fn oldest(&mut self, parker: Parker) -> Option<MessageId> {
        let (_, id) = *self.shares.get(&parker)?.keys().next()?;
        self.leave(id);
        Some(id)
    }

    /// One has gone.
    fn leave(&mut self, id: MessageId) {
        let Some((parker, received)) = self.whose.remove(&id) else { return };
        if let Some(share) = self.shares.get_mut(&parker) {
            self.bytes -= share.remove(&(received, id)).unwrap_or(0);
            if share.is_empty() {
                self.shares.remove(&parker);
            }
        }
    }
}

/// A parked envelope: whose room it takes, since when, and itself.
fn value(row: &ParkRow) -> Vec<u8> {
    let parker = row.parker.to_bytes();
    let length = u8::try_from(parker.len()).unwrap_or_default();
    [&[length], parker.as_slice(), &row.received.as_micros().to_be_bytes(), &row.bytes].concat()
}

/// What [`value`] wrote.
pub(super) fn read_park(id: MessageId, bytes: &[u8]) -> Option<ParkRow> {
    let (length, rest) = bytes.split_first()?;
    let (parker, rest) = rest.split_at_checked(usize::from(*length))?;
    let (received, bytes) = rest.split_first_chunk::<8>()?;
    let received = Timestamp::from_micros(u64::from_be_bytes(*received));
    Some(ParkRow { id, parker: Parker::read(parker)?, received, bytes: bytes.to_vec() })
}

impl Store {
    /// One envelope that waits for the admin log.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn parked_one(&self, id: MessageId) -> Result<Option<ParkRow>, ReadError> {
        let Some(bytes) = self.db.get(Cf::Parked, id.as_ref())? else { return Ok(None) };
        read_park(id, &bytes).map(Some).ok_or_else(|| damaged(Cf::Parked, id.as_ref(), "does not decode"))
    }

    /// Envelopes behind `after` that wait for the admin log.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn parked(&self, after: Option<MessageId>, most: usize) -> Result<Vec<ParkRow>, ReadError> {
        let start = after.map(|id| [id.as_ref(), &[0]].concat()).unwrap_or_default();
        self.db
            .scan(Cf::Parked, &start, &[])
            .take(most)
            .map(|row| {
                let (key, bytes) = row?;
                let id =
                    MessageId::try_from(key.as_ref()).map_err(|_| damaged(Cf::Parked, &key, "has no id"))?;
                read_park(id, &bytes).ok_or_else(|| damaged(Cf::Parked, &key, "does not decode"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use tempfile::TempDir;

    use super::*;
    use crate::store::{
        Change,
        tests::{id, open},
    };

    fn at(n: u64) -> Timestamp {
        Timestamp::from_micros(n)
    }

    const ALICE: Parker = Parker::Author(MemberId::new([1; 16]));

    fn peer(n: u8) -> Parker {
        Parker::Peer(SigningKey::from_seed(&[n; 32]).public())
    }

    #[test]
    fn a_flood_of_one_peer_costs_nobody_elses_place() {
        let mut parking = Parking::default();
        assert_eq!(parking.park(ALICE, id(1), at(1), 100), []);
        assert_eq!(parking.park(peer(2), id(2), at(2), 100), []);
        let gone: Vec<MessageId> =
            (10..10_010).flat_map(|n| parking.park(peer(3), id(n), at(n), 1_000)).collect();
        assert_eq!(gone.len(), 10_000 - OF_PEER);
        assert_eq!(gone[0], id(10), "its own oldest");
        assert!(!gone.contains(&id(1)) && !gone.contains(&id(2)));
    }

    #[test]
    fn when_all_room_is_taken_the_largest_share_gives_way() {
        let mut parking = Parking::default();
        for n in 0..200 {
            parking.park(ALICE, id(n), at(n), 300_000);
        }
        assert!(parking.bytes <= MOST_BYTES);
        let gone: Vec<MessageId> =
            (1_000..1_050).flat_map(|n| parking.park(peer(2), id(n), at(n), 300_000)).collect();
        assert!(!gone.is_empty() && gone.iter().all(|gone| *gone < id(1_000)), "{gone:?}");
        assert!(parking.bytes <= MOST_BYTES);
    }

    #[test]
    fn what_left_makes_room() {
        let mut parking = Parking::default();
        for n in 0..OF_PEER as u64 {
            parking.park(peer(1), id(n), at(n), 10);
        }
        (0..OF_PEER as u64).for_each(|n| parking.leave(id(n)));
        assert_eq!((parking.bytes, parking.shares.len(), parking.whose.len()), (0, 0, 0));
        assert_eq!(parking.park(peer(1), id(999), at(999), 10), []);
    }

    #[test]
    fn whose_share_it_is_reads_back() {
        for parker in [ALICE, peer(1)] {
            assert_eq!(Parker::read(&parker.to_bytes()), Some(parker));
        }
        assert_eq!(Parker::read(&[2, 1]), None);
    }

    #[test]
    fn parked_envelopes_survive_a_restart_within_their_shares() {
        let folder = TempDir::new().unwrap();
        let peer = Parker::Peer(SigningKey::from_seed(&[7; 32]).public());
        let park = |store: &Store, n: u64, parker| {
            let row = ParkRow { id: id(n), parker, received: Timestamp::from_micros(n), bytes: vec![1; 10] };
            store.commit_blocking(Change::Park(row)).unwrap()
        };
        let alice = Parker::Author(MemberId::new([1; 16]));
        let store = open(&folder);
        park(&store, 0, alice);
        for n in 1..=60 {
            park(&store, n, peer);
        }
        assert_eq!(park(&store, 1, peer), Committed::Duplicate);
        drop(store);
        let store = open(&folder);
        for n in 61..=100 {
            park(&store, n, peer);
        }
        let parked = store.parked(None, 1_000).unwrap();
        assert_eq!(parked.len(), 1 + 64);
        assert_eq!((parked[0].id, parked[0].parker), (id(0), alice));
        assert!(parked[1..].iter().all(|row| row.id >= id(37) && row.parker == peer), "the oldest went");
    }
}
