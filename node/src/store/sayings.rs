//! Who says one object, and when: one walk over its entries, which opens no row.
//!
//! Entries lie by version ([`Cf::ById`]), so that one look tells whether an object is news; what one member says lies scattered among
//! what others say, and only all of it tells what each said last. So nothing is left out of a walk, nobody's word is hidden by how much
//! others say, and one walk answers all that a question asks of the object. What is kept of a walk is bounded: of each member as
//! many rows as are ever opened.
//!
//! These are opened one by one, and let go of before the next ([`Rows`]): a thousand versions of one object may be half a gigabyte, and
//! many ask at once.

use std::{
    collections::{BTreeMap, BTreeSet, btree_set},
    sync::Arc,
};

use belfry_proto::{
    id::{GroupId, MemberId},
    time::Timestamp,
};
use prost::Message;
use rocksdb::DBRawIterator;

use super::{
    ReadError, Store,
    columns::Cf,
    db::Db,
    objects::{self, MAX_VERSIONS, ObjectView, Reading},
    observables::{Entered, Looks},
    ownership::{Claims, Firsts, MOST_CLAIMS},
    values::{ClaimValue, ObjectValue},
    vault::damaged,
};

/// Dates that are remembered of the objects of one question. Too low ⇒ of objects that are said often, and asked for in turn, each is
/// walked over again and again, too high ⇒ memory, some 60 bytes each.
const MOST_HELD: usize = 2 * MOST_CLAIMS;

/// Rows that members said first, of an object of which nobody looks for the owner: the other half is for the newest.
const MOST_FIRSTS: usize = MAX_VERSIONS / 2;

/// What is said of one object.
#[derive(Default)]
pub(super) struct Sayings {
    /// What tells whose it is; without any of it where there is more than is looked at for that.
    claims: Claims,
    by_member: BTreeMap<MemberId, Own>,
    /// When the newest row was added.
    newest: u64,
}

/// When rows were added that one member says.
struct Own {
    first: u64,
    /// At most [`MAX_VERSIONS`].
    newest: BTreeSet<u64>,
}

impl Sayings {
    /// Of the object with this place in [`Cf::ById`], whose rows these are.
    fn read(db: &Db, rows: &mut DBRawIterator<'_>, object: &[u8]) -> Result<Self, ReadError> {
        let mut found = Self::default();
        rows.seek(object);
        while let Some((key, value)) = rows.item().filter(|(key, _)| key.starts_with(object)) {
            let fault = || damaged(Cf::ById, key, "does not decode");
            let entry = ClaimValue::decode(value).map_err(|_| fault())?;
            let member = MemberId::try_from(entry.member.as_slice()).map_err(|_| fault())?;
            found.add(member, entry);
            rows.next();
        }
        db.ended(rows)?;
        if !found.claims.are_all() {
            found.claims.clear();
        }
        Ok(found)
    }

    fn add(&mut self, member: MemberId, entry: ClaimValue) {
        let date = entry.date_added;
        if self.claims.are_all() {
            self.claims.add(entry);
        }
        self.newest = self.newest.max(date);
        let own = self.by_member.entry(member).or_insert(Own { first: date, newest: BTreeSet::new() });
        own.first = own.first.min(date);
        own.newest.insert(date);
        if own.newest.len() > MAX_VERSIONS {
            own.newest.pop_first();
        }
    }

    /// Rows to be opened of it, and whether these tell whose it is: all; of more than [`MAX_VERSIONS`] the row that each member said
    /// first and of each, in turn, the newest.
    fn to_open(
        &self,
        row: impl FnMut(u64) -> Result<Option<ObjectValue>, ReadError>,
    ) -> Result<(BTreeSet<u64>, bool), ReadError> {
        let (mut dates, mut tell_owner) = (BTreeSet::new(), false);
        if self.claims.are_all() {
            let all: BTreeSet<u64> = self.claims.said.iter().map(|(date, _)| *date).collect();
            if all.len() <= MAX_VERSIONS {
                return Ok((all, true));
            }
            let firsts = Firsts::of(&self.claims, row)?;
            tell_owner = firsts.tell_owner();
            dates.extend(firsts.dates());
        }
        if !tell_owner {
            dates.extend(self.by_member.values().map(|own| own.first).take(MOST_FIRSTS));
        }
        let newest = |own: &Own| own.newest.iter().rev().copied().collect();
        let by_member: Vec<Vec<u64>> = self.by_member.values().map(newest).collect();
        let left = MAX_VERSIONS.saturating_sub(dates.len());
        let shared = Entered::shared(&by_member, left, false);
        dates.extend(shared.dates.into_iter().map(Timestamp::as_micros));
        Ok((dates, tell_owner))
    }

    fn held(&self) -> usize {
        self.claims.said.len() + self.by_member.values().map(|own| own.newest.len()).sum::<usize>()
    }
}

/// Walks of one question, each made once.
#[derive(Default)]
pub(super) struct Walks {
    known: BTreeMap<Vec<u8>, Arc<Sayings>>,
    held: usize,
}

impl Walks {
    pub(super) const fn new() -> Self {
        Self { known: BTreeMap::new(), held: 0 }
    }

    /// What is said of the object with this place in [`Cf::ById`], if that was asked before.
    pub(super) fn known(&self, object: &[u8]) -> Option<Arc<Sayings>> {
        self.known.get(object).cloned()
    }

    /// The same, by these rows.
    pub(super) fn walk(
        &mut self,
        db: &Db,
        rows: &mut DBRawIterator<'_>,
        object: Vec<u8>,
    ) -> Result<Arc<Sayings>, ReadError> {
        let found = Arc::new(Sayings::read(db, rows, &object)?);
        if self.held + found.held() > MOST_HELD {
            self.known.clear();
            self.held = 0;
        }
        self.held += found.held();
        self.known.insert(object, Arc::clone(&found));
        Ok(found)
    }
}

/// What is said of one object, as far as it is looked at.
pub struct Versions<'a> {
    /// All, or the first and the newest of each member.
    pub rows: Rows<'a>,
    /// Whether these tell whose the object is. Where they do not, nobody's word may hide another's.
    pub tell_owner: bool,
    /// When the newest row was added that was looked for: every row up to then was there.
    pub until: Timestamp,
}

/// Rows of one object, in order of date added; each is opened when it is asked for, and passed over if it went meanwhile. For a question,
/// as [`Looks`] are.
pub struct Rows<'a> {
    store: &'a Store,
    reading: Reading<'a>,
    group: GroupId,
    id: String,
    dates: btree_set::IntoIter<u64>,
}

impl<'a> Rows<'a> {
    fn of(store: &'a Store, group: GroupId, id: &str, dates: BTreeSet<u64>) -> Self {
        Self { store, reading: Reading::new(), group, id: id.to_owned(), dates: dates.into_iter() }
    }

    fn open(&mut self, date: u64) -> Result<Option<ObjectView>, ReadError> {
        let (store, date) = (self.store, Timestamp::from_micros(date));
        let row = store.object_with(&mut self.reading, self.group, date)?;
        Ok(row.filter(|row| row.id == self.id))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<ObjectView, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let date = self.dates.next()?;
            if let Some(row) = self.open(date).transpose() {
                return Some(row);
            }
        }
    }
}

impl DoubleEndedIterator for Rows<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let date = self.dates.next_back()?;
            if let Some(row) = self.open(date).transpose() {
                return Some(row);
            }
        }
    }
}

impl<'a> Looks<'a> {
    /// Whether anybody says an object; opens nothing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn is_said(&mut self, group: GroupId, id: &str) -> Result<bool, ReadError> {
        Ok(!self.sayings(group, id)?.by_member.is_empty())
    }

    /// Whether this member says an object, or what stands for what it said is here; opens nothing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn is_said_by(&mut self, group: GroupId, id: &str, member: MemberId) -> Result<bool, ReadError> {
        Ok(self.sayings(group, id)?.by_member.contains_key(&member))
    }

    /// Claims and versions of an object id. Of more than [`MAX_VERSIONS`] the row that each member said first and of each, in
    /// turn, the newest: how often one says it decides neither whose it is nor what is shown of others.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn versions_of(&mut self, group: GroupId, id: &str) -> Result<Versions<'a>, ReadError> {
        let (store, sayings) = (self.store(), self.sayings(group, id)?);
        let (dates, tell_owner) = sayings.to_open(|date| objects::stored(&store.db, group, date))?;
        let rows = Rows::of(store, group, id, dates);
        Ok(Versions { rows, tell_owner, until: Timestamp::from_micros(sayings.newest) })
    }

    /// Those that this member says, the newest [`MAX_VERSIONS`] of them; what others say is passed over unopened.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn versions_by(&mut self, group: GroupId, id: &str, member: MemberId) -> Result<Rows<'a>, ReadError> {
        let (store, sayings) = (self.store(), self.sayings(group, id)?);
        let dates = sayings.by_member.get(&member).map(|own| own.newest.clone()).unwrap_or_default();
        Ok(Rows::of(store, group, id, dates))
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::schema::Tlp;
    use tempfile::TempDir;

    use super::*;
    use crate::store::{
        EnvelopeRow, MessageState, columns,
        tests::{GROUP, commit, envelope, object, open, opened},
    };

    /// Message `n`, by which a member says so many versions of an object.
    fn say(store: &Store, n: u64, member: u8, name: &str, versions: usize) {
        let version = |n: usize| object(name, &format!("2026-01-01T00:00:00.{n:06}Z"), Tlp::Green);
        let content = Some(opened(n, member, (0..versions).map(version).collect()));
        commit(store, EnvelopeRow { state: MessageState::Opened, content, ..envelope(n) });
    }

    #[test]
    fn an_object_is_walked_over_once_in_a_question_whoever_of_those_who_say_it_is_asked_for() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        for (n, member) in (1..).zip(2..6) {
            say(&store, n, member, "a", usize::from(member));
        }
        let (mut looks, id) = (store.looks(), "indicator--a");
        let first = looks.sayings(GROUP, id).unwrap();
        for member in 2..7 {
            let member = MemberId::new([member; 16]);
            let said = looks.versions_by(GROUP, id, member).unwrap();
            assert_eq!(looks.is_said_by(GROUP, id, member).unwrap(), said.count() > 0);
        }
        assert!(looks.versions_of(GROUP, id).unwrap().tell_owner);
        assert!(Arc::ptr_eq(&first, &looks.sayings(GROUP, id).unwrap()));
    }

    /// When these were added, as far as they read.
    fn met(rows: impl Iterator<Item = Result<ObjectView, ReadError>>) -> Vec<Option<Timestamp>> {
        rows.map(|row| row.ok().map(|row| row.date_added)).collect()
    }

    #[test]
    fn however_many_versions_an_object_has_one_is_opened_at_a_time() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        say(&store, 1, 2, "a", 3);
        let dates: Vec<Timestamp> =
            store.versions(GROUP, "indicator--a").unwrap().iter().map(|row| row.date_added).collect();
        let mut looks = store.looks();
        let all = looks.versions_of(GROUP, "indicator--a").unwrap().rows;
        let mut own = || looks.versions_by(GROUP, "indicator--a", MemberId::new([2; 16])).unwrap();
        let (own, turned) = (own(), own().rev());
        // What is damaged only now is met by whoever opens it only now.
        let key = columns::object(GROUP, dates[1].as_micros());
        store.db.rocks.put_cf(store.db.cf(Cf::Objects), key, b"damaged").unwrap();
        assert_eq!(met(all), [Some(dates[0]), None, Some(dates[2])]);
        assert_eq!(met(own), [Some(dates[0]), None, Some(dates[2])]);
        assert_eq!(met(turned), [Some(dates[2]), None, Some(dates[0])]);
    }

    #[test]
    fn of_walks_no_more_is_remembered_than_may_be_held() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        for (n, name) in (1..).zip(["a", "b", "c"]) {
            say(&store, n, 2, name, MAX_VERSIONS + 1);
        }
        let mut looks = store.looks();
        let mut walk = |name: &str| looks.sayings(GROUP, &format!("indicator--{name}")).unwrap();
        let (first, last) = (walk("a"), ["b", "c"].map(&mut walk));
        assert!(first.held() + last.iter().map(|walk| walk.held()).sum::<usize>() > MOST_HELD);
        assert!(Arc::ptr_eq(&last[1], &walk("c")), "it was remembered");
        assert!(!Arc::ptr_eq(&first, &walk("a")), "there was no room for it any more");
    }

    #[test]
    fn what_is_kept_of_a_walk_is_bounded_and_the_newest_of_each_is_in_it() {
        let mut sayings = Sayings::default();
        let [loud, other] = [1, 2].map(|n| MemberId::new([n; 16]));
        let mut add = |member: MemberId, date_added: u64| {
            sayings.add(member, ClaimValue { date_added, member: member.to_vec(), ..ClaimValue::default() });
        };
        add(other, 7);
        for date in 100..100 + 2 * MOST_CLAIMS as u64 {
            add(loud, date);
        }
        assert!(!sayings.claims.are_all());
        assert!(sayings.claims.said.len() <= MOST_CLAIMS + 1);
        assert_eq!(sayings.by_member[&loud].newest.len(), MAX_VERSIONS);
        let (dates, tell_owner) = sayings.to_open(|_| panic!("nobody's first row is looked for")).unwrap();
        assert!(!tell_owner && dates.len() <= MAX_VERSIONS);
        let last = 99 + 2 * MOST_CLAIMS as u64;
        assert!([7, 100, last].iter().all(|date| dates.contains(date)), "{dates:?}");
    }
}
