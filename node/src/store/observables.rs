//! The index of observables and what it leads to, read without opening more than is asked for.
//!
//! Entries are group ‖ H(kind, value) ‖ member ‖ date added. Beside the values an object names stand what surrounds them
//! (`belfry_proto::stix::observable::around`) and, for sightings and opinions, the objects they speak of: one column,
//! one kind of entry, and a row takes all of its own away with it. What one member says lies together, so that a flood of
//! one's words costs a look, and hides nobody else's.

use std::collections::{BTreeSet, HashSet};

use belfry_proto::{
    id::{GroupId, MemberId},
    time::Timestamp,
};
use prost::Message;
use rocksdb::DBRawIterator;

use super::{
    ReadError, Store,
    columns::{Cf, Key},
    objects::{MAX_VERSIONS, ObjectView},
    presence::Of,
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

/// What is entered under a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entered {
    /// When the objects were added, newest first.
    pub dates: Vec<Timestamp>,
    /// There is more.
    pub more: bool,
}

impl Entered {
    /// The newest of each in turn, until there are as many as may be.
    fn shared(by_member: &[Vec<u64>], all: usize, more: bool) -> Self {
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

/// Many looks, one after the other: what it takes to look is made once, when first needed, and sees what was there then.
/// For a question, not to be kept: what is written meanwhile cannot be let go on disk.
pub struct Looks<'a> {
    store: &'a Store,
    observables: Option<DBRawIterator<'a>>,
    by_id: Option<DBRawIterator<'a>>,
    reporters: Option<DBRawIterator<'a>>,
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
        let store = self.store;
        let prefix = Key::group(group).bytes(&store.db.vault.blind(group, kind, value)).done();
        if store.db.presence.lacks(Of::Value, &prefix) {
            return Ok(Entered::default());
        }
        let rows = self.observables.get_or_insert_with(|| store.db.searched(Cf::Observables));
        rows.seek(&prefix);
        let Some((_, date)) = rows.key().and_then(|key| read_entry(key, &prefix)) else {
            store.db.ended(rows)?;
            return Ok(Entered::default());
        };
        // Most values are named once.
        rows.next();
        if rows.key().and_then(|key| read_entry(key, &prefix)).is_none() {
            store.db.ended(rows)?;
            return Ok(Entered { dates: vec![Timestamp::from_micros(date)], more: false });
        }
        let (mut by_member, mut more) = (Vec::new(), false);
        rows.seek(&prefix);
        while let Some((member, _)) = rows.key().and_then(|key| read_entry(key, &prefix)) {
            let last = [prefix.as_slice(), &member, &[u8::MAX; 8]].concat();
            rows.seek_for_prev(&last);
            let mut dates = Vec::new();
            while let Some((by, date)) = rows.key().and_then(|key| read_entry(key, &prefix))
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

    /// When each row of an object was added, and who claims it, without opening any.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn claims_of(&mut self, group: GroupId, id: &str) -> Result<Vec<(Timestamp, MemberId)>, ReadError> {
        let store = self.store;
        let prefix = Key::group(group).bytes(&store.object_tag(group, id)).done();
        let mut claims = Vec::new();
        if store.db.presence.lacks(Of::Object, &prefix) {
            return Ok(claims);
        }
        let rows = self.by_id.get_or_insert_with(|| store.db.searched(Cf::ById));
        rows.seek(&prefix);
        while claims.len() < MAX_VERSIONS
            && let Some((key, value)) = rows.item().filter(|(key, _)| key.starts_with(&prefix))
        {
            let fault = || damaged(Cf::ById, key, "does not decode");
            let claim = ClaimValue::decode(value).map_err(|_| fault())?;
            let member = MemberId::try_from(claim.member.as_slice()).map_err(|_| fault())?;
            claims.push((Timestamp::from_micros(claim.date_added), member));
            rows.next();
        }
        store.db.ended(rows)?;
        claims.sort_unstable();
        claims.dedup();
        Ok(claims)
    }

    /// The object added to a group at exactly this time.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn object_at(
        &mut self,
        group: GroupId,
        date_added: Timestamp,
    ) -> Result<Option<ObjectView>, ReadError> {
        let store = self.store;
        store.object_with(&mut self.reporters, group, date_added)
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
        Looks { store: self, observables: None, by_id: None, reporters: None }
    }

    /// One look: [`Looks::entered`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entered(&self, group: GroupId, kind: &str, value: &str, most: Most) -> Result<Entered, ReadError> {
        self.looks().entered(group, kind, value, most)
    }

    /// One look: [`Looks::claims_of`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn claims_of(&self, group: GroupId, id: &str) -> Result<Vec<(Timestamp, MemberId)>, ReadError> {
        self.looks().claims_of(group, id)
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
    use tempfile::TempDir;

    use super::*;
    use crate::store::tests::{GROUP, commit, object, open, with_objects};

    #[test]
    fn what_nobody_entered_is_told_without_a_look_at_the_disk() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, with_objects(1, vec![object("a", "2026-01-01T00:00:00Z", Tlp::Amber)]));
        store.until_present();
        let most = Most { by_member: 1, all: 1 };
        let mut looks = store.looks();
        assert_eq!(looks.entered(GROUP, "ipv4-addr", "198.51.100.8", most).unwrap(), Entered::default());
        assert_eq!(looks.claims_of(GROUP, "indicator--b").unwrap(), []);
        assert!(looks.is_single(GROUP, "indicator--a"));
        assert!(looks.observables.is_none() && looks.by_id.is_none());
        let found = looks.entered(GROUP, "ipv4-addr", "198.51.100.7", most).unwrap().dates;
        assert!(looks.object_at(GROUP, found[0]).unwrap().is_some());
        assert!(looks.reporters.is_none(), "nobody else says it");
        assert_eq!(looks.claims_of(GROUP, "indicator--a").unwrap().len(), 1);
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
