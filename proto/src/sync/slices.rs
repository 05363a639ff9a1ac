//! Which part of a long frontier differs, told without the list.
//!
//! One new message changes one log of hundreds. Peers whose frontiers differ therefore compare sums of 64 slices of them first,
//! and list the logs of those that differ. Nobody has to remember what was last said to whom: it works as well with a peer met for the
//! first time, and after a restart.
//!
//! ```text
//! hash differs ─▶ Slices{64 sums} ─differing─▶ Only{slices} ─▶ Frontier list of these ─merged with ours─▶ has the peer's hash
//! ```

use crate::{
    id::{CoalitionId, GroupId, LogId},
    sync::frontier::{self, FrontierError, LogFrontier},
};

/// Slices of a list. Log ids are hashes, so each has as many logs; of 200 three. More of them would make the sums longer than
/// what they save.
pub const SLICES: usize = 64;
/// Bytes of a slice's sum. A peer that finds two slices with one sum hides its own difference from who asks it, and the whole
/// hash betrays even that.
const SUM: usize = 16;
/// Logs up to which a list is not longer than the sums.
pub const FEW: usize = 16;

/// Some of the slices, one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Only(u64);

impl Only {
    /// The whole list.
    pub const ALL: Self = Self(u64::MAX);

    /// As on the wire: the lowest bit stands for the first slice. `None` for no slice.
    #[must_use]
    pub const fn new(bits: u64) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }

    /// What [`Self::new`] takes.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether a log lies in one of them.
    #[must_use]
    pub fn has(self, log: LogId) -> bool {
        (self.0 >> slice_of(log)) & 1 == 1
    }
}

/// The first six bits of its id.
fn slice_of(log: LogId) -> usize {
    let [first, ..] = log.as_bytes();
    usize::from(first >> 2)
}

/// What a node holds of each slice, as one sum each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums([[u8; SUM]; SLICES]);

impl Sums {
    /// Of a frontier in ascending order of log ids: the beginning of each slice's own frontier hash.
    #[must_use]
    pub fn of(coalition: CoalitionId, group: GroupId, sorted: &[LogFrontier]) -> Self {
        let mut sums = [[0; SUM]; SLICES];
        let mut rest = sorted;
        for (slice, sum) in sums.iter_mut().enumerate() {
            let (here, behind) = rest.split_at(rest.partition_point(|log| slice_of(log.log) <= slice));
            rest = behind;
            for (to, byte) in sum.iter_mut().zip(frontier::hash(coalition, group, here)) {
                *to = byte;
            }
        }
        Self(sums)
    }

    /// On the wire.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// What [`Self::to_vec`] wrote.
    ///
    /// # Errors
    /// [`FrontierError::Sums`]: the peer's fault.
    pub fn read(bytes: &[u8]) -> Result<Self, FrontierError> {
        if bytes.len() != SLICES * SUM {
            return Err(FrontierError::Sums(bytes.len()));
        }
        let mut sums = [[0; SUM]; SLICES];
        for (sum, read) in sums.iter_mut().zip(bytes.chunks_exact(SUM)) {
            sum.copy_from_slice(read);
        }
        Ok(Self(sums))
    }

    /// Where two nodes differ; `None` if nowhere.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Option<Only> {
        let slices = (0_u32..).zip(self.0.iter().zip(&other.0));
        let differ = slices.filter(|(_, (ours, theirs))| ours != theirs);
        Only::new(differ.fold(0, |bits, (slice, _)| bits | (1_u64 << slice)))
    }
}

/// A peer's whole list, of what it sent of some slices and of ours, which it shares in the others.
#[must_use]
pub fn merged(ours: &[LogFrontier], theirs: &[LogFrontier], only: Only) -> Vec<LogFrontier> {
    ours.iter().filter(|log| !only.has(log.log)).chain(theirs).copied().collect()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::{
        id::{MessageId, Sequence},
        schema::{
            PullFrontier, PullSlices, Slices, SyncRequest, SyncResponse, sync_request::Request,
            sync_response::Response,
        },
        sync::{MissingSum, frontier::part_of},
    };

    const GROUP: GroupId = GroupId::new(5);
    const COALITION: CoalitionId = CoalitionId::new([7; 32]);

    /// A member's log, one of `count` spread as hashes are.
    fn log(n: usize, count: usize, height: u64) -> LogFrontier {
        let mut id = [0; 32];
        let spread = u32::try_from((n as u64 * u64::from(u32::MAX)) / count as u64).unwrap();
        id[..4].copy_from_slice(&spread.to_be_bytes());
        LogFrontier {
            group: GROUP,
            log: LogId::new(id),
            low: Sequence::new(1),
            height: Sequence::new(height),
            head: MessageId::new([9; 32]),
            bodies: height,
            frozen: Sequence::new(0),
            missing: MissingSum::default(),
        }
    }

    fn held(count: usize) -> Vec<LogFrontier> {
        (0..count).map(|n| log(n, count, 1000)).collect()
    }

    fn sums(logs: &[LogFrontier]) -> Sums {
        Sums::of(COALITION, GROUP, logs)
    }

    #[test]
    fn sums_of_another_length_are_refused() {
        let bytes = sums(&held(200)).to_vec();
        assert_eq!(Sums::read(&bytes), Ok(sums(&held(200))));
        let longer = [bytes.as_slice(), &[0]].concat();
        for bad in [&bytes[1..], &longer[..], &[][..]] {
            assert_eq!(Sums::read(bad), Err(FrontierError::Sums(bad.len())));
        }
    }

    #[test]
    fn what_differs_is_found_wherever_it_is_and_makes_the_peers_list_again() {
        let ours = held(200);
        assert_eq!(sums(&ours).differing(&sums(&ours)), None);
        for changed in 0..200 {
            let mut theirs = ours.clone();
            theirs[changed] = log(changed, 200, 1001);
            // And one that we have not.
            let new = log(7, 1000, 3);
            theirs.insert(theirs.partition_point(|held| held.log < new.log), new);
            let only = sums(&ours).differing(&sums(&theirs)).unwrap();
            let part = part_of([0; 32], &theirs, None, only);
            let sent = frontier::read_part(GROUP, None, &part).unwrap();
            assert!(sent.len() <= 9 && sent.iter().all(|log| only.has(log.log)), "{}", sent.len());
            assert_eq!(merged(&ours, &sent, only).len(), theirs.len());
            let hash = |logs: &[LogFrontier]| frontier::hash(COALITION, GROUP, logs);
            assert_eq!(hash(&merged(&ours, &sent, only)), hash(&theirs));
            assert_ne!(hash(&merged(&ours, &sent[1..], only)), hash(&theirs), "nothing may be left out");
        }
        assert_eq!(Only::new(0), None);
        assert!(ours.iter().all(|log| Only::ALL.has(log.log)));
    }

    fn framed(request: Request, response: Response) -> usize {
        let request = SyncRequest { request: Some(request) };
        let response = SyncResponse { response: Some(response) };
        4 + request.encoded_len() + 4 + response.encoded_len()
    }

    /// Two hundred members with a log each, and one new message.
    #[test]
    fn one_new_message_among_two_hundred_logs_costs_a_tenth_of_the_list() {
        let ours = held(200);
        let mut theirs = ours.clone();
        theirs[100] = log(100, 200, 1001);
        let [hash, other] = [&ours, &theirs].map(|logs| frontier::hash(COALITION, GROUP, logs));
        let (group, after) = (GROUP.get(), Vec::new());
        let list = framed(
            Request::Frontier(PullFrontier { group, hash: hash.to_vec(), after: after.clone() }),
            Response::Frontier(part_of(other, &theirs, None, Only::ALL)),
        );
        let only = sums(&ours).differing(&sums(&theirs)).unwrap();
        let pull =
            |only| Request::Slices(PullSlices { group, hash: hash.to_vec(), only, after: after.clone() });
        let told = Slices { hash: other.to_vec(), sums: sums(&theirs).to_vec() };
        let slices = framed(pull(0), Response::Slices(told))
            + framed(pull(only.bits()), Response::Frontier(part_of(other, &theirs, None, only)));
        assert!(list > 16_000, "{list} bytes");
        assert!(slices < 1700, "{slices} bytes");
        // Level it costs what it did, and a list that is not longer than the sums is sent at once.
        let level = framed(pull(0), Response::Slices(Slices { hash: hash.to_vec(), sums: Vec::new() }));
        assert!(level < 128, "{level} bytes");
        let few = part_of(hash, &held(FEW), None, Only::ALL).encoded_len();
        assert!((sums(&ours).to_vec().len()..2048).contains(&few), "{few} bytes");
    }
}
