//! Every log's state, and each group's frontier, in memory: comparing it with a peer's reads no row.
//!
//! ```text
//! writer: one synced batch ─▶ states of the logs it changed ─▶ Frontiers ─▶ list and hash, made when first asked for
//! ```
//!
//! What is told is durable: the writer hands over a log's state behind the write that holds it, and before it
//! answers whoever committed it. Between two changes of a group any number of peers get the same list and hash;
//! it costs them a lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard},
};

use belfry_proto::{
    id::{CoalitionId, GroupId, LogId, MemberId, Sequence, Serial},
    limits::MAX_TRANSMIT,
    sync::{GroupFrontier, LogFrontier},
};

use super::{Store, logs::Counts, rows::LogRow};

/// All groups' frontiers, shared by the writer and whoever reads.
#[derive(Debug)]
pub(super) struct Frontiers {
    coalition: CoalitionId,
    groups: RwLock<HashMap<GroupId, Group>>,
}

#[derive(Debug, Default)]
struct Group {
    logs: BTreeMap<LogId, LogRow>,
    /// Of logs that are not one more than their certificate may have.
    by_certificate: BTreeSet<(Serial, LogId)>,
    /// Bytes kept, those of surplus logs too.
    bytes: BTreeMap<(MemberId, Serial), u64>,
    /// Of the logs as they stand; empty again with each change.
    whole: OnceLock<Arc<GroupFrontier>>,
}

impl Frontiers {
    pub(super) fn new(coalition: CoalitionId) -> Self {
        Self { coalition, groups: RwLock::default() }
    }

    /// Takes over the states of logs that are durable now.
    pub(super) fn changed(&self, logs: Vec<LogRow>) {
        if logs.is_empty() {
            return;
        }
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        for log in logs {
            groups.entry(log.group).or_default().put(log);
        }
    }

    fn groups(&self) -> RwLockReadGuard<'_, HashMap<GroupId, Group>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    fn put(&mut self, row: LogRow) {
        let name = (row.serial, row.log);
        if row.surplus {
            self.by_certificate.remove(&name);
        } else {
            self.by_certificate.insert(name);
        }
        let kept = self.bytes.entry((row.member, row.serial)).or_default();
        *kept = kept.saturating_add(row.bytes);
        if let Some(before) = self.logs.insert(row.log, row)
            && let Some(kept) = self.bytes.get_mut(&(before.member, before.serial))
        {
            *kept = kept.saturating_sub(before.bytes);
        }
        self.whole.take();
    }

    /// Logs that count: of one more than its certificate may have nobody is told.
    fn counting(&self) -> impl Iterator<Item = &LogRow> {
        self.logs.values().filter(|log| !log.surplus)
    }

    fn written_by(&self, serial: Serial) -> impl Iterator<Item = &LogRow> {
        let names =
            self.by_certificate.range((serial, LogId::ZERO)..).take_while(move |(of, _)| *of == serial);
        names.filter_map(|(_, log)| self.logs.get(log))
    }

    fn log(&self, log: LogId) -> Option<&LogRow> {
        self.logs.get(&log).filter(|log| !log.surplus)
    }
}

impl From<&LogRow> for LogFrontier {
    fn from(row: &LogRow) -> Self {
        Self {
            group: row.group,
            log: row.log,
            low: row.low,
            height: row.height,
            head: row.head,
            bodies: row.bodies,
            frozen: row.frozen,
            missing: row.missing,
        }
    }
}

impl Store {
    /// Every log of a group, by log id, but for those that are more than their certificate may have. Reads no row.
    #[must_use]
    pub fn logs(&self, group: GroupId) -> Vec<LogRow> {
        let groups = self.frontiers.groups();
        groups.get(&group).into_iter().flat_map(Group::counting).cloned().collect()
    }

    /// Whether any log of a group is here: nothing else brings objects. Reads no row.
    #[must_use]
    pub fn has_logs(&self, group: GroupId) -> bool {
        self.frontiers.groups().get(&group).is_some_and(|group| !group.logs.is_empty())
    }

    /// Logs that one certificate wrote in a group, but for those that are more than it may have. Reads no row.
    #[must_use]
    pub fn logs_written_by(&self, group: GroupId, serial: Serial) -> Vec<LogRow> {
        let groups = self.frontiers.groups();
        groups.get(&group).into_iter().flat_map(|group| group.written_by(serial)).cloned().collect()
    }

    /// Every log of a group, or of all, surplus ones too. Reads no row.
    #[must_use]
    pub fn all_logs(&self, group: Option<GroupId>) -> Vec<LogRow> {
        let groups = self.frontiers.groups();
        let chosen = groups.iter().filter(|(id, _)| group.is_none_or(|group| group == **id));
        chosen.flat_map(|(_, held)| held.logs.values()).cloned().collect()
    }

    /// One log; `None` if nothing of it is here. Reads no row.
    #[must_use]
    pub fn log(&self, group: GroupId, log: LogId) -> Option<LogRow> {
        self.frontiers.groups().get(&group)?.logs.get(&log).cloned()
    }

    /// Envelopes of a group by state. Reads no row.
    #[must_use]
    pub fn counts(&self, group: GroupId) -> Counts {
        let groups = self.frontiers.groups();
        let logs = groups.get(&group).into_iter().flat_map(|group| group.logs.values());
        logs.fold(Counts::default(), |all, log| all.add(&log.counts))
    }

    /// Bytes of messages that are kept of a member in a group, of those of its certificates that `counts` picks. Reads no
    /// row.
    #[must_use]
    pub fn kept_bytes(&self, group: GroupId, member: MemberId, counts: impl Fn(Serial) -> bool) -> u64 {
        let groups = self.frontiers.groups();
        let Some(held) = groups.get(&group) else { return 0 };
        let all = (member, Serial::new(0))..=(member, Serial::new(u64::MAX));
        held.bytes.range(all).filter(|((_, serial), _)| counts(*serial)).map(|(_, bytes)| bytes).sum()
    }

    /// Members whose room in a group is used up: another message of the largest size would not fit. Of their certificates
    /// those count that `counts` picks. Reads no row.
    #[must_use]
    pub fn over_quota(&self, group: GroupId, counts: impl Fn(Serial) -> bool) -> Vec<MemberId> {
        let groups = self.frontiers.groups();
        let mut kept: BTreeMap<MemberId, u64> = BTreeMap::new();
        let held = groups.get(&group).into_iter().flat_map(|held| &held.bytes);
        for ((member, _), bytes) in held.filter(|((_, serial), _)| counts(*serial)) {
            *kept.entry(*member).or_default() += bytes;
        }
        let room = self.member_quota().saturating_sub(MAX_TRANSMIT as u64);
        kept.into_iter().filter(|(_, bytes)| *bytes > room).map(|(member, _)| member).collect()
    }

    /// How far this node holds the logs of a group. Reads no row.
    #[must_use]
    pub fn frontier(&self, group: GroupId) -> Arc<GroupFrontier> {
        let frontiers = &self.frontiers;
        let groups = frontiers.groups();
        let Some(held) = groups.get(&group) else {
            return Arc::new(GroupFrontier::new(frontiers.coalition, group, Vec::new()));
        };
        let make = || {
            let logs = held.counting().map(LogFrontier::from).collect();
            Arc::new(GroupFrontier::new(frontiers.coalition, group, logs))
        };
        Arc::clone(held.whole.get_or_init(make))
    }

    /// Logs of a group of which later entries are held than the next one, and not because of a fork. Reads no row.
    #[must_use]
    pub fn gaps(&self, group: GroupId) -> Vec<LogId> {
        let groups = self.frontiers.groups();
        let held = groups.get(&group).into_iter().flat_map(Group::counting);
        held.filter(|log| log.top > log.height && log.frozen.get() == 0).map(|log| log.log).collect()
    }

    /// The highest sequence held of a log, 0 if there is none. Reads no row.
    #[must_use]
    pub fn top(&self, group: GroupId, log: LogId) -> Sequence {
        let groups = self.frontiers.groups();
        let held = groups.get(&group).and_then(|group| group.log(log));
        held.map_or(Sequence::new(0), |held| held.top)
    }

    /// From where on a log's signatures are still to be checked. Reads no row.
    #[must_use]
    pub fn unchecked_from(&self, group: GroupId, log: LogId) -> Option<Sequence> {
        let groups = self.frontiers.groups();
        Some(groups.get(&group)?.log(log)?.unchecked).filter(|from| from.get() != 0)
    }

    /// Logs with signatures still to be checked, and from where on. Reads no row.
    #[must_use]
    pub fn unchecked(&self) -> Vec<(GroupId, LogId, Sequence)> {
        let groups = self.frontiers.groups();
        let unchecked = groups.values().flat_map(Group::counting).filter(|log| log.unchecked.get() != 0);
        unchecked.map(|log| (log.group, log.log, log.unchecked)).collect()
    }

    /// Logs that one certificate wrote in a group, the longest first. Reads no row.
    #[must_use]
    pub fn logs_of(&self, group: GroupId, serial: Serial) -> Vec<LogRow> {
        let mut logs = self.logs_written_by(group, serial);
        logs.sort_by_key(|log| std::cmp::Reverse(log.top));
        logs
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{crypto::sign::SigningKey, id::MessageId, sync::frontier};

    use super::*;

    const GROUP: GroupId = GroupId::new(5);

    fn row(n: u8, serial: u64, height: u64) -> LogRow {
        LogRow {
            group: GROUP,
            log: LogId::new([n; 32]),
            member: belfry_proto::id::MemberId::new([1; 16]),
            serial: Serial::new(serial),
            low: Sequence::new(1),
            height: Sequence::new(height),
            head: MessageId::new([n; 32]),
            bodies: height,
            top: Sequence::new(height),
            forked: false,
            frozen: Sequence::new(0),
            missing: frontier::MissingSum::default(),
            closure: Vec::new(),
            revision: 0,
            seconds: 0,
            surplus: false,
            unchecked: Sequence::new(0),
            fresh: Sequence::new(0),
            counts: Counts::default(),
            bytes: 100 * height,
        }
    }

    fn store(folder: &tempfile::TempDir) -> Store {
        let node = SigningKey::from_seed(&[1; 32]).public();
        let owner = super::super::Owner { coalition: CoalitionId::new([1; 32]), node };
        let master = belfry_proto::crypto::secret::Secret::new([9; 32]);
        Store::open(&folder.path().join("store"), owner, &master).unwrap()
    }

    #[test]
    fn bytes_are_told_by_member_and_certificate_and_follow_every_change() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store(&folder);
        store.frontiers.changed(vec![row(1, 7, 3), row(2, 7, 2), row(3, 8, 1)]);
        let member = row(1, 7, 3).member;
        let kept = |counts: fn(Serial) -> bool| store.kept_bytes(GROUP, member, counts);
        assert_eq!((kept(|_| true), kept(|serial| serial == Serial::new(7))), (600, 500));
        store.frontiers.changed(vec![LogRow { bytes: 10, surplus: true, ..row(1, 7, 3) }]);
        assert_eq!(kept(|_| true), 310);
        assert_eq!(store.kept_bytes(GroupId::new(6), member, |_| true), 0);
        let over = |quota| store.clone().with_member_quota(Some(quota)).over_quota(GROUP, |_| true);
        let full = MAX_TRANSMIT as u64;
        assert_eq!((over(full + 310), over(full + 309)), (vec![], vec![member]));
    }

    #[test]
    fn a_frontier_is_made_once_for_all_who_ask_until_a_log_of_the_group_changes() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store(&folder);
        assert!(store.frontier(GROUP).logs().is_empty());
        store.frontiers.changed(vec![row(2, 7, 3), row(1, 7, 3)]);
        let first = store.frontier(GROUP);
        assert!(Arc::ptr_eq(&first, &store.frontier(GROUP)), "nothing is listed or hashed again");
        store.frontiers.changed(vec![LogRow { group: GroupId::new(6), ..row(1, 7, 3) }]);
        assert!(Arc::ptr_eq(&first, &store.frontier(GROUP)), "another group's change is none of this one");
        store.frontiers.changed(vec![row(2, 7, 4)]);
        let second = store.frontier(GROUP);
        assert_ne!(first.hash(), second.hash());
        assert_eq!(second.log(LogId::new([2; 32])).unwrap().height, Sequence::new(4));
        assert!(second.log(LogId::new([3; 32])).is_none());
        assert_eq!(*second.hash(), frontier::hash(CoalitionId::new([1; 32]), GROUP, second.logs()));
    }

    #[test]
    fn a_surplus_log_is_not_told_of_and_one_that_is_none_any_more_is() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store(&folder);
        let heights = |store: &Store| -> Vec<u64> {
            store.logs_of(GROUP, Serial::new(7)).iter().map(|log| log.top.get()).collect()
        };
        store.frontiers.changed(vec![row(1, 7, 3), row(2, 7, 9), row(3, 8, 5)]);
        assert_eq!(heights(&store), [9, 3], "the longest first, and no other certificate's");
        store.frontiers.changed(vec![LogRow { surplus: true, ..row(2, 7, 9) }]);
        assert_eq!((heights(&store), store.frontier(GROUP).logs().len()), (vec![3], 2));
        store.frontiers.changed(vec![row(2, 7, 10)]);
        assert_eq!((heights(&store), store.frontier(GROUP).logs().len()), (vec![10, 3], 3));
    }
}
