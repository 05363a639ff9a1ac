//! The index of observables and what it leads to, read without opening more than is asked for.
//!
//! Entries are group ‖ H(kind, value) ‖ member ‖ date added. Beside the values an object names stand what surrounds them
//! (`belfry_proto::stix::observable::around`) and, for sightings and opinions, the objects they speak of: one column,
//! one kind of entry, and a row takes all of its own away with it. What one member says lies together, so that a flood of
//! one's words costs a look, and hides nobody else's.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use belfry_proto::{id::GroupId, time::Timestamp};
use prost::Message;
use rocksdb::DBRawIterator;

use super::{
    ReadError, Store,
    columns::{self, Cf, Key},
    objects::{ObjectView, Reading, read_row},
    presence::{Named, Of},
    sayings::{Sayings, Walks},
    values::ClaimValue,
    vault::damaged,
};

/// How many entries under one value are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Of one member, the newest.
    pub by_member: usize,
    /// Of all; each member has the same share of them.
    pub all: usize,
}

/// What may be entered in the index, and how much of it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// Where.
    pub group: GroupId,
    /// As what: a kind of observable, or what surrounds one.
    pub kind: &'a str,
    /// Which.
    pub value: &'a str,
    /// At most.
    pub most: Most,
}

/// Where the entries of a value begin: group ‖ H(kind, value).
type Prefix = [u8; 4 + 16];

/// What is entered under a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entered {
    /// When the objects were added, newest first.
    pub dates: Vec<Timestamp>,
    /// There is more.
    pub more: bool,
}

impl Entered {
    fn once(date: u64) -> Self {
        Self { dates: vec![Timestamp::from_micros(date)], more: false }
    }

    /// The newest of each in turn, until there are as many as may be.
    pub(super) fn shared(by_member: &[Vec<u64>], all: usize, more: bool) -> Self {
        let longest = by_member.iter().map(Vec::len).max().unwrap_or_default();
        let turns = (0..longest).flat_map(|turn| by_member.iter().filter_map(move |dates| dates.get(turn)));
        let mut chosen = BTreeSet::new();
        let mut is_cut = more;
        for date in turns {
            if chosen.len() >= all && !chosen.contains(date) {
                is_cut = true;
                break;
            }
            chosen.insert(*date);
        }
        let dates = chosen.into_iter().rev().map(Timestamp::from_micros).collect();
        Self { dates, more: is_cut }
    }
}

/// Many looks, one after the other: what it takes to look into an index is made once, when first needed, and sees what was there
/// then. Rows, and a value that is known to be named by one row, are seen as they are: such a row may be newer than what an
/// index shows, and who keeps it inside is looked for anew after each look for a value. For a question, not to be kept: what is written meanwhile cannot be let go on disk.
pub struct Looks<'a> {
    store: &'a Store,
    observables: Option<DBRawIterator<'a>>,
    by_id: Option<DBRawIterator<'a>>,
    walks: Walks,
    reading: Reading<'a>,
    /// Rows that were read before they are asked for, and which of them are not there.
    ahead: BTreeMap<(GroupId, Timestamp), Option<Arc<ObjectView>>>,
}

impl<'a> Looks<'a> {
    /// Objects that are entered under a value.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entered(
        &mut self,
        group: GroupId,
        kind: &str,
        value: &str,
        most: Most,
    ) -> Result<Entered, ReadError> {
        self.reading.forget();
        let prefix = self.store.prefix(group, kind, value);
        match self.store.db.presence.named(&prefix) {
            Named::Never => Ok(Entered::default()),
            Named::At(date) => Ok(Entered::once(date)),
            Named::Unsure => self.below(&prefix, most),
        }
    }

    /// [`Self::entered`] of each, in their order; `None` if that is more than `held` dates. Looked for in the order of the index:
    /// neighbours there share what a step reads.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entered_each(
        &mut self,
        sought: &[Sought<'_>],
        held: usize,
    ) -> Result<Option<Vec<Entered>>, ReadError> {
        self.reading.forget();
        let (store, mut places) = (self.store, Vec::new());
        let (mut found, mut dates) = (vec![Entered::default(); sought.len()], 0);
        for ((n, Sought { group, kind, value, most }), found) in sought.iter().enumerate().zip(&mut found) {
            let prefix = store.prefix(*group, kind, value);
            match store.db.presence.named(&prefix) {
                Named::Never => {}
                Named::At(date) => {
                    *found = Entered::once(date);
                    dates += 1;
                }
                Named::Unsure => places.push((prefix, n, *most)),
            }
        }
        if dates > held {
            return Ok(None);
        }
        places.sort_unstable_by_key(|(prefix, n, _)| (*prefix, *n));
        for (prefix, n, most) in places {
            let entered = self.below(&prefix, most)?;
            dates += entered.dates.len();
            if dates > held {
                return Ok(None);
            }
            if let Some(found) = found.get_mut(n) {
                *found = entered;
            }
        }
        Ok(Some(found))
    }

    /// Whether surely nothing is entered there. Looks at nothing on disk; of what was never entered, it may say that it is not
    /// sure.
    #[must_use]
    pub fn lacks(&self, sought: &Sought<'_>) -> bool {
        let prefix = self.store.prefix(sought.group, sought.kind, sought.value);
        self.store.db.presence.lacks(Of::Value, &prefix)
    }

    fn below(&mut self, prefix: &Prefix, most: Most) -> Result<Entered, ReadError> {
        let store = self.store;
        let rows = self.observables.get_or_insert_with(|| store.db.searched(Cf::Observables));
        rows.seek(prefix);
        let Some((_, date)) = rows.key().and_then(|key| read_entry(key, prefix)) else {
            store.db.ended(rows)?;
            return Ok(Entered::default());
        };
        // Most that are looked for here while not all is in memory are named once.
        rows.next();
        if rows.key().and_then(|key| read_entry(key, prefix)).is_none() {
            store.db.ended(rows)?;
            return Ok(Entered::once(date));
        }
        let (mut by_member, mut more) = (Vec::new(), false);
        rows.seek(prefix);
        while let Some((member, _)) = rows.key().and_then(|key| read_entry(key, prefix)) {
            let last = [prefix.as_slice(), &member, &[u8::MAX; 8]].concat();
            rows.seek_for_prev(&last);
            let mut dates = Vec::new();
            while let Some((by, date)) = rows.key().and_then(|key| read_entry(key, prefix))
                && by == member
            {
                if dates.len() >= most.by_member {
                    more = true;
                    break;
                }
                dates.push(date);
                rows.prev();
            }
            by_member.push(dates);
            // Behind every entry of this member.
            rows.seek([last.as_slice(), &[0]].concat());
        }
        store.db.ended(rows)?;
        Ok(Entered::shared(&by_member, most.all, more))
    }

    /// Who says an object, and when, without opening any of it. However long that takes, it does once.
    pub(super) fn sayings(&mut self, group: GroupId, id: &str) -> Result<Arc<Sayings>, ReadError> {
        let store = self.store;
        let object = Key::group(group).bytes(&store.object_tag(group, id)).done();
        if let Some(known) = self.walks.known(&object) {
            return Ok(known);
        }
        if store.db.presence.lacks(Of::Object, &object) {
            return Ok(Arc::default());
        }
        let rows = self.by_id.get_or_insert_with(|| store.db.searched(Cf::ById));
        self.walks.walk(&store.db, rows, object)
    }

    pub(super) const fn store(&self) -> &'a Store {
        self.store
    }

    /// Whether all that is said of an object is the row of this date, by one member; opens nothing. Of a row that is newer than what
    /// this sees of the index it is not.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn is_sole(&mut self, group: GroupId, id: &str, date_added: Timestamp) -> Result<bool, ReadError> {
        let store = self.store;
        let prefix = Key::group(group).bytes(&store.object_tag(group, id)).done();
        let rows = self.by_id.get_or_insert_with(|| store.db.searched(Cf::ById));
        rows.seek(&prefix);
        let first = match rows.item().filter(|(key, _)| key.starts_with(&prefix)) {
            Some((key, value)) => {
                let claim =
                    ClaimValue::decode(value).map_err(|_| damaged(Cf::ById, key, "does not decode"))?;
                Some(claim.date_added)
            }
            None => None,
        };
        if first.is_some() {
            rows.next();
        }
        let is_one = !rows.key().is_some_and(|key| key.starts_with(&prefix));
        store.db.ended(rows)?;
        Ok(is_one && first == Some(date_added.as_micros()))
    }

    /// The object added to a group at exactly this time.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn object_at(
        &mut self,
        group: GroupId,
        date_added: Timestamp,
    ) -> Result<Option<Arc<ObjectView>>, ReadError> {
        if let Some(row) = self.ahead.get(&(group, date_added)) {
            return Ok(row.clone());
        }
        let store = self.store;
        Ok(store.object_with(&mut self.reading, group, date_added)?.map(Arc::new))
    }

    /// Reads these for [`Self::object_at`], all at once and each once, and lets go of those that were read so before.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_ahead(&mut self, rows: &BTreeSet<(GroupId, Timestamp)>) -> Result<(), ReadError> {
        let store = self.store;
        self.ahead.clear();
        self.reading.forget();
        // In the order of their keys, as numbers are.
        let keys: Vec<Vec<u8>> =
            rows.iter().map(|(group, date)| columns::object(*group, date.as_micros())).collect();
        let read = store.db.get_sorted(Cf::Objects, &keys);
        for ((row, key), sealed) in rows.iter().zip(&keys).zip(read) {
            let view = match sealed? {
                Some(sealed) => read_row(&store.db, &mut self.reading, key, &sealed)?,
                None => None,
            };
            self.ahead.insert(*row, view.map(Arc::new));
        }
        Ok(())
    }

    /// Whether an object surely has no second row: one version, by one member. Looks at nothing on disk; of one that has
    /// one row, it may say that it is not sure.
    #[must_use]
    pub fn is_single(&self, group: GroupId, id: &str) -> bool {
        let prefix = Key::group(group).bytes(&self.store.object_tag(group, id)).done();
        self.store.db.presence.lacks(Of::Repeated, &prefix)
    }
}

impl Store {
    /// Looks to come.
    #[must_use]
    pub const fn looks(&self) -> Looks<'_> {
        Looks {
            store: self,
            observables: None,
            by_id: None,
            walks: Walks::new(),
            reading: Reading::new(),
            ahead: BTreeMap::new(),
        }
    }

    /// One look: [`Looks::entered`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entered(&self, group: GroupId, kind: &str, value: &str, most: Most) -> Result<Entered, ReadError> {
        self.looks().entered(group, kind, value, most)
    }

    fn prefix(&self, group: GroupId, kind: &str, value: &str) -> Prefix {
        let mut prefix = [0; 4 + 16];
        let (of, tag) = prefix.split_at_mut(4);
        of.copy_from_slice(&group.get().to_be_bytes());
        tag.copy_from_slice(&self.db.vault.blind(group, kind, value));
        prefix
    }

    /// What an object's id is in this index, for sets of many.
    #[must_use]
    pub fn object_tag(&self, group: GroupId, id: &str) -> [u8; 16] {
        self.db.vault.blind(group, "object", id)
    }

    /// Objects of a group that have more than one row: further versions, or claims of others. One walk over the index
    /// instead of a look for each, for whoever is to read all of them.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn repeated(&self, group: GroupId) -> Result<HashSet<[u8; 16]>, ReadError> {
        let prefix = Key::group(group).done();
        let (mut repeated, mut before) = (HashSet::new(), None);
        for row in self.db.scan(Cf::ById, &prefix, &prefix) {
            let (key, _) = row?;
            let tag = key.get(prefix.len()..).and_then(|rest| rest.first_chunk::<16>()).copied();
            if let Some(tag) = tag.filter(|_| tag == before) {
                repeated.insert(tag);
            }
            before = tag;
        }
        Ok(repeated)
    }
}

/// Member and date of an entry under `prefix`.
fn read_entry(key: &[u8], prefix: &[u8]) -> Option<([u8; 16], u64)> {
    let (member, rest) = key.strip_prefix(prefix)?.split_first_chunk::<16>()?;
    Some((*member, u64::from_be_bytes(rest.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use belfry_proto::schema::Tlp;
    use proptest::{prelude::*, test_runner::TestRunner};
    use tempfile::TempDir;

    use super::*;
    use crate::store::{
        EnvelopeRow, MessageState, ObjectRow,
        tests::{GROUP, commit, envelope, object, open, opened, with_objects},
    };

    #[test]
    fn what_nobody_entered_is_told_without_a_look_at_the_disk() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, with_objects(1, vec![object("a", "2026-01-01T00:00:00Z", Tlp::Amber)]));
        store.until_present();
        let most = Most { by_member: 1, all: 1 };
        let mut looks = store.looks();
        assert_eq!(looks.entered(GROUP, "ipv4-addr", "198.51.100.8", most).unwrap(), Entered::default());
        assert!(!looks.is_said(GROUP, "indicator--b").unwrap());
        assert!(looks.is_single(GROUP, "indicator--a"));
        assert!(looks.observables.is_none() && looks.by_id.is_none());
        let found = looks.entered(GROUP, "ipv4-addr", "198.51.100.7", most).unwrap().dates;
        assert!(looks.object_at(GROUP, found[0]).unwrap().is_some());
        assert!(looks.reading.asked_nobody_else(), "nobody else says it");
        assert!(looks.is_said(GROUP, "indicator--a").unwrap());
    }

    #[test]
    fn a_row_that_came_since_the_first_look_is_not_taken_for_the_only_one() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let say = |n: u64, version: &str| {
            commit(&store, with_objects(n, vec![object("a", version, Tlp::Amber)]));
            store.versions(GROUP, "indicator--a").unwrap().pop().unwrap().date_added
        };
        let first = say(1, "2026-01-01T00:00:00Z");
        let mut looks = store.looks();
        assert!(looks.is_sole(GROUP, "indicator--a", first).unwrap());
        assert!(!looks.is_sole(GROUP, "indicator--b", first).unwrap());
        let second = say(2, "2026-01-02T00:00:00Z");
        assert!(!looks.is_sole(GROUP, "indicator--a", second).unwrap());
        assert!(!store.looks().is_sole(GROUP, "indicator--a", first).unwrap());
    }

    #[test]
    fn a_value_named_in_one_row_is_found_without_a_look_at_the_index() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let naming = |n, member, name| {
            let content = Some(opened(n, member, vec![object(name, "2026-01-01T00:00:00Z", Tlp::Amber)]));
            commit(&store, EnvelopeRow { state: MessageState::Opened, content, ..envelope(n) });
        };
        naming(1, 2, "a");
        let most = Most { by_member: 9, all: 9 };
        // Dates, and whether the index was asked.
        let found = || {
            let (mut looks, mut together) = (store.looks(), store.looks());
            let sought = Sought { group: GROUP, kind: "ipv4-addr", value: "198.51.100.7", most };
            let found = looks.entered(GROUP, sought.kind, sought.value, most).unwrap();
            assert_eq!(together.entered_each(&[sought], 9).unwrap().unwrap(), std::slice::from_ref(&found));
            let is_asked = looks.observables.is_some();
            assert_eq!(together.observables.is_some(), is_asked);
            (found.dates.len(), is_asked)
        };
        store.until_present();
        assert_eq!(found(), (1, false));
        naming(2, 3, "a");
        assert_eq!(found(), (1, false), "whoever says it, too, says it in the same row");
        naming(3, 2, "b");
        assert_eq!(found(), (2, true));
    }

    #[test]
    fn many_looks_at_once_find_what_one_after_the_other_finds() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let address = |n: u8| format!("198.51.100.{n}");
        let said = [
            (2, "a", vec![1, 2, 3]),
            (3, "a", vec![1, 2, 3]),
            (2, "b", vec![2]),
            (3, "c", vec![2, 5]),
            (3, "d", vec![2]),
            (2, "e", vec![4]),
        ];
        for (n, (member, name, values)) in (1..).zip(said) {
            let observables = values.into_iter().map(|n| ("ipv4-addr".to_owned(), address(n))).collect();
            let row = ObjectRow { observables, ..object(name, "2026-01-01T00:00:00Z", Tlp::Amber) };
            let content = Some(opened(n, member, vec![row]));
            commit(&store, EnvelopeRow { state: MessageState::Opened, content, ..envelope(n) });
        }
        let never = (GROUP, Timestamp::from_micros(1));
        let asked = proptest::collection::vec((0u8..8, 1usize..4), 0..12);
        for is_whole in [false, true] {
            if is_whole {
                store.until_present();
            }
            let run = |asked: Vec<(u8, usize)>| {
                let asked: Vec<(String, usize)> =
                    asked.into_iter().map(|(n, all)| (address(n), all)).collect();
                let sought: Vec<Sought<'_>> = asked
                    .iter()
                    .map(|(value, all)| {
                        let most = Most { by_member: *all, all: *all };
                        Sought { group: GROUP, kind: "ipv4-addr", value, most }
                    })
                    .collect();
                let mut looks = store.looks();
                let found = looks.entered_each(&sought, usize::MAX).unwrap().unwrap();
                let dates = found.iter().flat_map(|entered| &entered.dates);
                let rows: BTreeSet<_> = dates.map(|date| (GROUP, *date)).chain([never]).collect();
                looks.read_ahead(&rows).unwrap();
                prop_assert_eq!(looks.ahead.len(), rows.len());
                prop_assert_eq!(looks.object_at(never.0, never.1).unwrap(), None);
                for (Sought { group, kind, value, most }, entered) in sought.iter().zip(found) {
                    prop_assert_eq!(&store.entered(*group, kind, value, *most).unwrap(), &entered);
                    let there = Sought { group: *group, kind, value, most: *most };
                    prop_assert!(entered.dates.is_empty() || !looks.lacks(&there));
                    for date in entered.dates {
                        let row = looks.object_at(*group, date).unwrap().map(Arc::unwrap_or_clone);
                        prop_assert!(row.is_some());
                        prop_assert_eq!(row, store.object_at(*group, date).unwrap());
                    }
                }
                Ok(())
            };
            TestRunner::default().run(&asked, run).unwrap();
        }
    }

    #[test]
    fn of_many_looks_no_more_is_gathered_than_may_be_held() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let rows = ["a", "b", "c"].map(|name| object(name, "2026-01-01T00:00:00Z", Tlp::Amber));
        commit(&store, with_objects(1, Vec::from(rows)));
        let most = Most { by_member: 9, all: 9 };
        let sought = ["198.51.100.7", "198.51.100.8", "198.51.100.7"].map(|value| Sought {
            group: GROUP,
            kind: "ipv4-addr",
            value,
            most,
        });
        let mut looks = store.looks();
        let found = looks.entered_each(&sought, 6).unwrap().unwrap();
        assert_eq!(found.iter().map(|entered| entered.dates.len()).collect::<Vec<_>>(), [3, 0, 3]);
        assert!(looks.entered_each(&sought, 5).unwrap().is_none());
    }

    #[test]
    fn each_member_has_its_share_whoever_is_the_loudest() {
        let flood: Vec<u64> = (1_000..1_050).rev().collect();
        let shared = |all, more| Entered::shared(&[flood.clone(), vec![7, 3], vec![1_010]], all, more);
        let dates = |entered: &Entered| entered.dates.iter().map(|date| date.as_micros()).collect::<Vec<_>>();
        let few = shared(5, false);
        assert_eq!((dates(&few), few.more), (vec![1_049, 1_048, 1_010, 7, 3], true));
        let all = shared(52, false);
        assert_eq!((all.dates.len(), all.more), (52, false), "what two say is one row");
        assert!(shared(100, true).more);
    }
}
