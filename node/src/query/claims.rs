//! Several members may claim one STIX id (design §8, Ownership): which claim is shown, and which of its
//! versions a filter means.
//!
//! The owner's claim is shown ([`store::owner`]). Only what the principal may have is weighed, so a claim it
//! may not see hides nothing from it. Of an object that is said more often than is looked at nobody is known to be the owner, and
//! what each member says of it is shown beside what others do.

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map, hash_map};

use belfry_proto::{
    id::{GroupId, MemberId},
    time::Timestamp,
};

use super::{Inner, Principal, QueryError, Shown, VersionMatch, authorise::admit};
use crate::store::{self, Claimed};

/// What is said of one object in one group, of what a principal may have.
pub(super) struct Claims {
    rows: Vec<Shown>,
    tell_owner: bool,
}

impl Claims {
    /// Nothing else is said of the object.
    pub(super) fn sole(row: Shown) -> Self {
        Self { rows: vec![row], tell_owner: true }
    }

    pub(super) fn rows(&self) -> &[Shown] {
        &self.rows
    }

    pub(super) fn into_rows(self) -> Vec<Shown> {
        self.rows
    }

    /// Whether these tell whose the object is.
    pub(super) const fn tell_owner(&self) -> bool {
        self.tell_owner
    }
}

impl Inner {
    /// What is said of an object, of what the principal may have.
    pub(super) fn claimed(
        &self,
        principal: &Principal,
        group: GroupId,
        object: &str,
    ) -> Result<Claims, QueryError> {
        let store::Versions { rows, tell_owner } = self.store.versions_of(group, object)?;
        Ok(Claims { rows: rows.into_iter().filter_map(|row| admit(principal, row)).collect(), tell_owner })
    }

    /// The newest that a row's member says of its object.
    pub(super) fn newest_by(&self, principal: &Principal, row: &Shown) -> Result<Option<Shown>, QueryError> {
        let said = self.store.versions_by(row.group(), row.id(), row.member())?;
        let said = said.into_iter().filter_map(|version| admit(principal, version));
        let said = said.filter(|version| version.member() == row.member());
        let said = said.filter(|version| !version.is_tombstone() || version.is_withdrawn());
        Ok(said.max_by_key(|version| (version.version_time(), version.date_added())))
    }
}

/// Which rows of the objects of one group are in force. Looked for once in one call, however many rows an object has.
pub(super) struct InForce<'a> {
    inner: &'a Inner,
    principal: &'a Principal,
    found: HashMap<[u8; 16], Force>,
}

/// When the rows in force of one object were added.
enum Force {
    Owners(Option<Timestamp>),
    /// Nobody knows whose it is.
    Each(BTreeMap<MemberId, Option<Timestamp>>),
}

impl<'a> InForce<'a> {
    pub(super) fn of(inner: &'a Inner, principal: &'a Principal) -> Self {
        Self { inner, principal, found: HashMap::new() }
    }

    /// Whether a row is, by the tag that its object is known by.
    pub(super) fn is(&mut self, tag: [u8; 16], row: &Shown) -> Result<bool, QueryError> {
        let force = match self.found.entry(tag) {
            hash_map::Entry::Occupied(known) => known.into_mut(),
            hash_map::Entry::Vacant(new) => {
                let claims = self.inner.claimed(self.principal, row.group(), row.id())?;
                new.insert(match claims.tell_owner() {
                    true => Force::Owners(shown(claims).pop().map(|row| row.date_added())),
                    false => Force::Each(BTreeMap::new()),
                })
            }
        };
        let date = match force {
            Force::Owners(date) => *date,
            Force::Each(dates) => match dates.entry(row.member()) {
                btree_map::Entry::Occupied(known) => *known.get(),
                btree_map::Entry::Vacant(new) => {
                    let newest = self.inner.newest_by(self.principal, row)?;
                    *new.insert(newest.map(|row| row.date_added()))
                }
            },
        };
        Ok(date == Some(row.date_added()))
    }
}

/// Versions of the shown claim, oldest first; of every member's, where nobody is known to be the owner.
///
/// A tombstone speaks only where nobody says anything of the object any more; one that stands for what its own
/// member withdrew speaks beside the versions that this member left standing.
pub(super) fn shown(claims: Claims) -> Vec<Shown> {
    let (ends, said): (Vec<Shown>, Vec<Shown>) = claims.rows.into_iter().partition(Shown::is_tombstone);
    let (holder, mut rows) = match holder(&said) {
        Some(member) => (Some(member), said),
        None => (holder(&ends), Vec::new()),
    };
    let is_only = rows.is_empty();
    rows.extend(ends.into_iter().filter(|end| is_only || end.is_withdrawn()));
    let Some(member) = holder else { return Vec::new() };
    if claims.tell_owner {
        rows.retain(|row| row.member() == member);
    }
    rows.sort_by_key(|row| (row.version_time(), row.date_added()));
    rows
}

/// The last of these versions; of each member, where nobody is known to be the owner.
pub(super) fn newest(claims: Claims) -> impl Iterator<Item = Shown> {
    let newest: BTreeMap<MemberId, Shown> =
        shown(claims).into_iter().map(|row| (row.member(), row)).collect();
    newest.into_values()
}

fn holder(rows: &[Shown]) -> Option<MemberId> {
    store::owner(rows.iter().map(|row| Claimed {
        member: row.member(),
        added: row.date_added(),
        created: row.created(),
        message: row.message(),
    }))
}

/// The rows, named by when they were added, that a version filter means, of each member that says these; none is the last.
pub(super) fn selected(versions: &[Shown], wanted: &BTreeSet<VersionMatch>) -> BTreeSet<Timestamp> {
    let mut by_member: BTreeMap<MemberId, Vec<Version>> = BTreeMap::new();
    for row in versions {
        by_member.entry(row.member()).or_default().push(Version::of(row));
    }
    by_member.values().flat_map(|versions| chosen(versions, wanted)).collect()
}

/// A version without what it says: its time, and when it was added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    time: Timestamp,
    added: Timestamp,
}

impl Version {
    pub(super) fn of(row: &Shown) -> Self {
        Self { time: row.version_time(), added: row.date_added() }
    }

    pub(super) const fn added(self) -> Timestamp {
        self.added
    }
}

/// [`selected`] of versions in their order.
pub(super) fn chosen(versions: &[Version], wanted: &BTreeSet<VersionMatch>) -> BTreeSet<Timestamp> {
    let mut chosen = BTreeSet::new();
    let last = [VersionMatch::Last];
    let wanted: Vec<&VersionMatch> =
        if wanted.is_empty() { last.iter().collect() } else { wanted.iter().collect() };
    for wish in wanted {
        match wish {
            VersionMatch::First => chosen.extend(versions.first().map(|version| version.added)),
            VersionMatch::Last => chosen.extend(versions.last().map(|version| version.added)),
            VersionMatch::All => chosen.extend(versions.iter().map(|version| version.added)),
            VersionMatch::At(time) => {
                let at = versions.iter().filter(|version| version.time == *time);
                chosen.extend(at.map(|version| version.added));
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use belfry_proto::{crypto::secret::Secret, id::PublicationId, schema};

    use super::*;
    use crate::{
        clock,
        query::{Query, Scope, TokenId, sightings},
        rows,
        store::{Change, Conditions, EnvelopeRow, MOST_CLAIMS, MessageState, ObjectRow, OpenedRows},
        testing::{CIDR, Coalition, Site},
    };

    const ID: &str = "indicator--a";

    fn said(n: usize, revoked: bool) -> ObjectRow {
        ObjectRow {
            id: ID.to_owned(),
            kind: "indicator".to_owned(),
            version: format!("2026-01-01T00:00:00.{n:06}Z"),
            tlp: schema::Tlp::Green,
            revoked,
            raw: b"{}".to_vec(),
            created_by: None,
            pap: 0,
            stated: None,
            observables: Vec::new(),
        }
    }

    #[tokio::test]
    async fn of_an_object_that_is_said_more_often_than_is_looked_at_nobodys_word_hides_anothers() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let (store, node) = (site.store.clone(), site.seat.identity.node);
        let query = Query::open(store, site.roster.clone(), node, &Secret::new([9; 32])).unwrap();
        let messages = coalition.messages(&alice, CIDR, None, 2);
        let say = async |n: usize, member: MemberId, objects: Vec<ObjectRow>| {
            let (header, id, now) = (messages[n].header(), messages[n].message_id(), clock::now());
            let (state, bytes) = (MessageState::Opened, messages[n].bytes());
            let row = rows::envelope(header, id, bytes, true, state, now, header.roster.height);
            let content = OpenedRows {
                publication: PublicationId::ZERO,
                part: 1,
                parts: 1,
                member,
                serial: row.serial,
                message: id,
                created: now,
                purpose: 1,
                classes: Vec::new(),
                recipients: false,
                conditions: Conditions::default(),
                objects,
            };
            let change = Change::Envelope(Box::new(EnvelopeRow { content: Some(content), ..row }));
            site.store.commit(change).await.unwrap();
        };
        let (loud, other) = (MemberId::new([7; 16]), MemberId::new([8; 16]));
        // Who says it so often says it first, and takes it back with its last word.
        say(0, loud, (0..=MOST_CLAIMS).map(|n| said(n, n == MOST_CLAIMS)).collect()).await;
        say(1, other, vec![said(99_999, false)]).await;

        let principal = Principal::new(TokenId::new([0; 8]), "soc".to_owned(), Scope::reads([CIDR]), None);
        let by = |member: MemberId| -> Vec<Shown> {
            let rows = site.store.versions_by(CIDR, ID, member).unwrap();
            rows.into_iter().filter_map(|row| admit(&principal, row)).collect()
        };
        let row = by(other).pop().unwrap();
        let inner: &Inner = &query.inner;
        let told = sightings::sighted(inner.claimed(&principal, CIDR, ID).unwrap());
        assert!(told.is_none(), "what was not looked at may be more restricted");
        let (found, is_owners) = inner.in_force(&mut inner.store.looks(), &principal, row.clone()).unwrap();
        assert_eq!((found.unwrap().date_added(), is_owners), (row.date_added(), false));
        let (mut in_force, tag) = (InForce::of(inner, &principal), inner.tag_of(&row));
        assert!(in_force.is(tag, &row).unwrap());
        let theirs = by(loud);
        let (first, last) = (theirs.first().unwrap(), theirs.last().unwrap());
        assert!(last.is_revoked() && in_force.is(tag, last).unwrap());
        assert!(!in_force.is(tag, first).unwrap(), "what one took back oneself is not in force");
    }
}
