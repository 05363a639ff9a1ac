//! What a liar says it holds: of frontiers, of the sums of their slices, and of contact records.

use std::sync::Arc;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId, MemberId, MessageId, Sequence},
    schema::{self, Contacts, Frontier, PullContacts, Signed, Slices, sync_response::Response},
    sync::{GroupFrontier, LogFrontier},
    time::Timestamp,
    trust::contact,
};
use rand::{RngExt, rngs::StdRng};

use super::{Conduct, Node};

/// Logs that a liar claims and nobody has: in a row more than a peer may have nothing of.
const PHANTOMS: u8 = 100;

/// How the ids of logs and members begin of which a liar tells without end.
const ENDLESS: [u8; 8] = [0xff; 8];

/// The next one behind `after`, if that is one of them, and else the first.
fn next_endless(after: &[u8]) -> u64 {
    let counted: Option<[u8; 8]> =
        after.get(after.len().saturating_sub(8)..).and_then(|bytes| bytes.try_into().ok());
    counted.filter(|_| after.starts_with(&ENDLESS)).map_or(1, |bytes| u64::from_be_bytes(bytes) + 1)
}

impl Node {
    /// What this node says it holds: of a liar now and then a fiction, the same for sums and lists, so that all of it fits.
    pub(super) fn shown(&mut self, group: GroupId, rng: &mut StdRng) -> Arc<GroupFrontier> {
        if self.conduct != Conduct::Liar || rng.random_bool(0.6) {
            return self.held(group);
        }
        if rng.random_bool(0.2) {
            self.up().fictions.remove(&group);
        }
        if let Some(fiction) = self.up().fictions.get(&group) {
            return Arc::clone(fiction);
        }
        let fiction = Arc::new(GroupFrontier::new(self.coalition, group, self.boast(group, rng)));
        self.up().fictions.insert(group, Arc::clone(&fiction));
        fiction
    }

    /// More than there is: entries, forks, whole logs.
    fn boast(&self, group: GroupId, rng: &mut StdRng) -> Vec<LogFrontier> {
        let mut logs = self.durable.logs.frontier(group);
        logs.push(LogFrontier::empty(group, LogId::new(rng.random())));
        if rng.random_bool(0.5) {
            // The same ones each time, and first among a group's.
            let mut phantom = [0; 32];
            let phantoms = (0..PHANTOMS).map(|n| {
                phantom[31] = n + 1;
                LogFrontier::empty(group, LogId::new(phantom))
            });
            logs.extend(phantoms);
        }
        for log in &mut logs {
            let height = log.height.get();
            if height == 0 || rng.random_bool(0.5) {
                let more = rng.random_range(1..9);
                (log.height, log.bodies) = (Sequence::new(height + more), log.bodies + more);
                log.head = MessageId::new(rng.random());
            } else {
                log.frozen = Sequence::new(rng.random_range(1..=height));
            }
        }
        logs.sort_by_key(|log| log.log);
        logs
    }

    /// What a liar makes of an answer about frontiers, now and then; `asked` are the asker's hash and where it goes on.
    pub(super) fn lie_of_frontier(
        &mut self,
        from: &PublicKey,
        group: GroupId,
        asked: (&[u8], &[u8]),
        said: Response,
        rng: &mut StdRng,
    ) -> Response {
        let (hash, after) = asked;
        match said {
            said if self.conduct != Conduct::Liar => said,
            // Once begun it goes on.
            Response::Frontier(_) if after.starts_with(&ENDLESS) => endless(group, after),
            said if rng.random_bool(0.6) => said,
            Response::Slices(told) => Response::Slices(self.lie_of_sums(from, group, hash, told, rng)),
            Response::Frontier(list) => self.lie_of_list(group, hash, list, rng),
            other => other,
        }
    }

    fn lie_of_sums(
        &mut self,
        from: &PublicKey,
        group: GroupId,
        hash: &[u8],
        mut told: Slices,
        rng: &mut StdRng,
    ) -> Slices {
        match rng.random_range(0..6) {
            // Level, whatever it holds.
            0 => (told.hash, told.sums) = (hash.to_vec(), Vec::new()),
            // The asker's own, as it told them last: equal, though different.
            1 => told.sums = self.up().sums.get(&(*from, group)).cloned().unwrap_or_default(),
            // Different, though equal.
            2 => told.sums.iter_mut().for_each(|byte| *byte ^= 1),
            3 => told.sums = (0..1024).map(|_| rng.random::<u8>()).collect(),
            4 => drop(told.sums.pop()),
            _ => told.hash = rng.random::<[u8; 32]>().to_vec(),
        }
        told
    }

    fn lie_of_list(&self, group: GroupId, hash: &[u8], mut list: Frontier, rng: &mut StdRng) -> Response {
        match rng.random_range(0..5) {
            0 => list = Frontier { hash: hash.to_vec(), ..Frontier::default() },
            1 => return endless(group, &[]),
            2 if !list.logs.is_empty() => {
                let left_out = rng.random_range(0..list.logs.len());
                list.logs.remove(left_out);
            }
            3 => list.logs = self.boast(group, rng).iter().map(schema::LogFrontier::from).collect(),
            _ => list.hash = rng.random::<[u8; 32]>().to_vec(),
        }
        Response::Frontier(list)
    }

    /// What a liar answers who compares contact records, every other time.
    pub(super) fn lie_of_contacts(
        &self,
        pull: &PullContacts,
        mut told: Contacts,
        rng: &mut StdRng,
    ) -> Contacts {
        let is_endless = pull.after.starts_with(&ENDLESS);
        if self.conduct != Conduct::Liar || (!is_endless && rng.random_bool(0.5)) {
            return told;
        }
        match rng.random_range(0..5) {
            _ if is_endless => return self.endless_contacts(&pull.after),
            0 => return self.endless_contacts(&[]),
            // Level, whatever it holds.
            1 => (told.hash, told.records) = (pull.hash.clone(), Vec::new()),
            2 => drop(told.records.pop()),
            3 => told.records.iter_mut().for_each(|record| *record = self.forged(record)),
            _ => told.records.insert(0, Signed { payload: vec![0xff], signatures: Vec::new() }),
        }
        told
    }

    /// A member that nobody knows, and always another one.
    fn endless_contacts(&self, after: &[u8]) -> Contacts {
        let mut id = [0; 16];
        let (begin, end) = id.split_at_mut(8);
        begin.copy_from_slice(&ENDLESS);
        end.copy_from_slice(&next_endless(after).to_be_bytes());
        let (member, made) = (MemberId::new(id), Timestamp::ZERO);
        let record = contact::make(self.coalition, member, Vec::new(), made, &self.identity.signing).unwrap();
        Contacts { hash: vec![0xee; 32], records: vec![record], more: true }
    }
}

/// A log that nobody holds, and always another one.
fn endless(group: GroupId, after: &[u8]) -> Response {
    let mut id = [0xff; 32];
    let (_, end) = id.split_at_mut(24);
    end.copy_from_slice(&next_endless(after).to_be_bytes());
    let empty = schema::LogFrontier::from(&LogFrontier::empty(group, LogId::new(id)));
    Response::Frontier(Frontier { hash: vec![0xee; 32], logs: vec![empty], more: true })
}
