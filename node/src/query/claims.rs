//! Several members may claim one STIX id (design §8, Ownership): which claim is shown, and which of its
//! versions a filter means.
//!
//! The owner's claim is shown ([`store::owner`]). Only what the principal may have is weighed, so a claim it
//! may not see hides nothing from it. Of an object that is said more often than is looked at nobody is known to be the owner, and
//! what each member says of it is shown beside what others do.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use belfry_proto::{
    id::{GroupId, MemberId},
    time::Timestamp,
};

use super::{Inner, Principal, QueryError, Shown, VersionMatch, authorise::admit};
use crate::store::{self, Claimed, Looks};

/// Dates that are remembered of objects in one question, one of each member for those that nobody is known to own. Too low ⇒ of
/// objects that take turns each is looked at again and again, too high ⇒ memory.
const MOST_HELD: usize = 256 * 1024;

/// What is said of one object in one group, of what a principal may have.
pub(super) struct Claims {
    rows: Vec<Shown>,
    tell_owner: bool,
    until: Timestamp,
}

impl Claims {
    /// Nothing else is said of the object.
    pub(super) fn sole(row: Shown) -> Self {
        Self { until: row.date_added(), rows: vec![row], tell_owner: true }
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

    /// When the newest row was added that was looked for.
    pub(super) const fn until(&self) -> Timestamp {
        self.until
    }
}

impl Inner {
    /// What is said of an object, of what the principal may have.
    pub(super) fn claimed(
        &self,
        looks: &mut Looks<'_>,
        principal: &Principal,
        group: GroupId,
        object: &str,
    ) -> Result<Claims, QueryError> {
        let store::Versions { rows, tell_owner, until } = looks.versions_of(group, object)?;
        let rows = rows.into_iter().filter_map(|row| admit(principal, row)).collect();
        Ok(Claims { rows, tell_owner, until })
    }
}

/// Which rows of objects are in force for one reader. Each object is looked at once in one question, however many rows it has and
/// however many values lead to it.
pub(super) struct InForce<'a> {
    inner: &'a Inner,
    principal: &'a Principal,
    /// By the tag that an object is known by, which differs from group to group.
    found: HashMap<[u8; 16], Force>,
    held: usize,
}

/// When the rows in force of one object were added.
enum Force {
    Owners(Option<Timestamp>),
    /// Nobody knows whose it is.
    Each(BTreeMap<MemberId, Timestamp>),
}

impl Force {
    fn of(claims: Claims) -> Self {
        match claims.tell_owner() {
            true => Self::Owners(shown(claims).pop().map(|row| row.date_added())),
            false => Self::Each(newest(claims).map(|row| (row.member(), row.date_added())).collect()),
        }
    }

    /// What counts beside what this member says, and whether it is the owner's.
    fn beside(&self, member: MemberId) -> (Option<Timestamp>, bool) {
        match self {
            Self::Owners(date) => (*date, true),
            Self::Each(dates) => (dates.get(&member).copied(), false),
        }
    }

    fn held(&self) -> usize {
        match self {
            Self::Owners(_) => 1,
            Self::Each(dates) => 1 + dates.len(),
        }
    }
}

impl<'a> InForce<'a> {
    pub(super) fn of(inner: &'a Inner, principal: &'a Principal) -> Self {
        Self { inner, principal, found: HashMap::new(), held: 0 }
    }

    pub(super) const fn principal(&self) -> &'a Principal {
        self.principal
    }

    /// Whether a row is, by the tag that its object is known by.
    pub(super) fn is(
        &mut self,
        looks: &mut Looks<'_>,
        tag: [u8; 16],
        row: &Shown,
    ) -> Result<bool, QueryError> {
        Ok(self.beside(looks, tag, row)?.0 == Some(row.date_added()))
    }

    /// The version of a row's object that counts for the reader, none if that is said by nobody it may know; and whether it is
    /// the owner's. Where nobody is known to be that, it is what the row's own member says.
    pub(super) fn version(
        &mut self,
        looks: &mut Looks<'_>,
        row: Shown,
    ) -> Result<(Option<Shown>, bool), QueryError> {
        // Most objects have one version by one member, and need no further look.
        if looks.is_single(row.group(), row.id()) || looks.is_sole(row.group(), row.id(), row.date_added())? {
            return Ok((Some(row), true));
        }
        let tag = self.inner.tag_of(&row);
        let (date, is_owners) = self.beside(looks, tag, &row)?;
        let found = match date {
            Some(date) if date == row.date_added() => Some(row),
            Some(date) => looks.object_at(row.group(), date)?.and_then(|view| admit(self.principal, view)),
            None => None,
        };
        Ok((found, is_owners))
    }

    fn beside(
        &mut self,
        looks: &mut Looks<'_>,
        tag: [u8; 16],
        row: &Shown,
    ) -> Result<(Option<Timestamp>, bool), QueryError> {
        if let Some(known) = self.found.get(&tag) {
            return Ok(known.beside(row.member()));
        }
        let force = Force::of(self.inner.claimed(looks, self.principal, row.group(), row.id())?);
        let found = force.beside(row.member());
        if self.held + force.held() > MOST_HELD {
            self.found.clear();
            self.held = 0;
        }
        self.held += force.held();
        self.found.insert(tag, force);
        Ok(found)
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
        added: row.arrived(),
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
    use belfry_proto::crypto::secret::Secret;

    use super::*;
    use crate::{
        query::{Query, Scope, TokenId, sightings},
        store::{MOST_CLAIMS, ObjectRow},
        testing::{CIDR, Coalition, Site, said::indicator},
    };

    const ID: &str = "indicator--a";

    fn said(n: usize, revoked: bool) -> ObjectRow {
        ObjectRow { revoked, ..indicator(&format!("2026-01-01T00:00:00.{n:06}Z")) }
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
            site.say(&messages[n], objects, |content| content.member = member).await;
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
        let mut looks = inner.store.looks();
        let told = sightings::sighted(inner.claimed(&mut looks, &principal, CIDR, ID).unwrap());
        assert!(told.is_none(), "what was not looked at may be more restricted");
        let (mut in_force, tag) = (InForce::of(inner, &principal), inner.tag_of(&row));
        let (found, is_owners) = in_force.version(&mut looks, row.clone()).unwrap();
        assert_eq!((found.unwrap().date_added(), is_owners), (row.date_added(), false));
        assert!(in_force.is(&mut looks, tag, &row).unwrap());
        let theirs = by(loud);
        let (first, last) = (theirs.first().unwrap(), theirs.last().unwrap());
        assert!(last.is_revoked() && in_force.is(&mut looks, tag, last).unwrap());
        assert!(!in_force.is(&mut looks, tag, first).unwrap(), "what one took back oneself is not in force");
        let (found, _) = in_force.version(&mut looks, first.clone()).unwrap();
        assert_eq!(found.unwrap().date_added(), last.date_added());
        assert_eq!((in_force.found.len(), in_force.held), (1, 3), "both by one look");
    }
}
