//! Several members may claim one STIX id (design §8, Ownership): which claim is shown, and which of its
//! versions a filter means.
//!
//! The owner's claim is shown ([`store::owner`]). Only what the principal may have is weighed, so a claim it
//! may not see hides nothing from it. Of an object that is said more often than is looked at nobody is known to be the owner, and
//! what each member says of it is shown beside what others do.
//!
//! Versions are weighed without what they say ([`Claim`]), and opened again if they are chosen: however large they are, and however
//! many ask at once, what is held is small.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use belfry_proto::{
    id::{GroupId, MemberId, MessageId},
    time::Timestamp,
};

use super::{Inner, Principal, QueryError, Shown, VersionMatch, authorise::admit};
use crate::store::{self, Claimed, Looks};

/// Dates that are remembered of objects in one question, one of each member for those that nobody is known to own. Too low ⇒ of
/// objects that take turns each is looked at again and again, too high ⇒ memory.
const MOST_HELD: usize = 256 * 1024;

/// What is weighed of a version, and nothing that it says; [`Inner::opened`] has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    group: GroupId,
    member: MemberId,
    version: Version,
    met: Timestamp,
    arrived: Timestamp,
    created: Timestamp,
    message: MessageId,
    /// Of what it says.
    bytes: usize,
    is_tombstone: bool,
    is_withdrawn: bool,
}

impl Claim {
    pub(super) fn of(row: &Shown) -> Self {
        Self {
            group: row.group(),
            member: row.member(),
            version: Version::of(row),
            met: row.met(),
            arrived: row.arrived(),
            created: row.created(),
            message: row.message(),
            bytes: row.raw().len(),
            is_tombstone: row.is_tombstone(),
            is_withdrawn: row.is_withdrawn(),
        }
    }

    pub(super) const fn group(&self) -> GroupId {
        self.group
    }

    /// When it was added.
    pub(super) const fn added(&self) -> Timestamp {
        self.version.added
    }

    /// [`Shown::version_time`].
    pub(super) const fn time(&self) -> Timestamp {
        self.version.time
    }

    /// [`Shown::met`].
    pub(super) const fn met(&self) -> Timestamp {
        self.met
    }

    pub(super) const fn is_tombstone(&self) -> bool {
        self.is_tombstone
    }
}

/// What is said of one object in one group, of what a principal may have.
pub(super) struct Claims {
    rows: Vec<Claim>,
    tell_owner: bool,
    until: Timestamp,
}

impl Claims {
    /// Nothing else is said of the object.
    pub(super) fn sole(row: &Shown) -> Self {
        Self { until: row.date_added(), rows: vec![Claim::of(row)], tell_owner: true }
    }

    pub(super) fn rows(&self) -> &[Claim] {
        &self.rows
    }

    pub(super) fn into_rows(self) -> Vec<Claim> {
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
        let store::Versions { rows: said, tell_owner, until } = looks.versions_of(group, object)?;
        let mut rows = Vec::new();
        for row in said {
            rows.extend(admit(principal, row?).map(|row| Claim::of(&row)));
        }
        Ok(Claims { rows, tell_owner, until })
    }

    /// The version of an object that counts for the principal; none where nobody is known to be its owner.
    pub(super) fn object_in_force(
        &self,
        looks: &mut Looks<'_>,
        principal: &Principal,
        group: GroupId,
        object: &str,
    ) -> Result<Option<Shown>, QueryError> {
        let claims = self.claimed(looks, principal, group, object)?;
        let newest = claims.tell_owner().then(|| shown(claims).pop()).flatten();
        newest.map_or(Ok(None), |newest| self.opened(looks, principal, newest))
    }

    /// A claim with what it says; none if it went since it was weighed, or is no longer the principal's to have.
    /// What `looks` found of who keeps the object inside is not looked for again.
    pub(super) fn opened(
        &self,
        looks: &mut Looks<'_>,
        principal: &Principal,
        claim: Claim,
    ) -> Result<Option<Shown>, QueryError> {
        let row = looks.object_at(claim.group, claim.added())?;
        Ok(row.and_then(|row| admit(principal, row)))
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
            true => Self::Owners(shown(claims).pop().map(|claim| claim.added())),
            false => Self::Each(newest(claims).map(|claim| (claim.member, claim.added())).collect()),
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
pub(super) fn shown(claims: Claims) -> Vec<Claim> {
    let (ends, said): (Vec<Claim>, Vec<Claim>) = claims.rows.into_iter().partition(Claim::is_tombstone);
    let (holder, mut rows) = match holder(&said) {
        Some(member) => (Some(member), said),
        None => (holder(&ends), Vec::new()),
    };
    let is_only = rows.is_empty();
    rows.extend(ends.into_iter().filter(|end| is_only || end.is_withdrawn));
    let Some(member) = holder else { return Vec::new() };
    if claims.tell_owner {
        rows.retain(|row| row.member == member);
    }
    rows.sort_by_key(|row| row.version);
    rows
}

/// The last of these versions; of each member, where nobody is known to be the owner.
pub(super) fn newest(claims: Claims) -> impl Iterator<Item = Claim> {
    let newest: BTreeMap<MemberId, Claim> =
        shown(claims).into_iter().map(|claim| (claim.member, claim)).collect();
    newest.into_values()
}

fn holder(rows: &[Claim]) -> Option<MemberId> {
    store::owner(rows.iter().map(|row| Claimed {
        member: row.member,
        added: row.arrived,
        created: row.created,
        message: row.message,
    }))
}

/// As many of these as come to so many bytes, or the first of them, in their order: of what each member says in a group the newest,
/// then each one's next. These are in order of date added in each group.
pub(super) fn within(claims: Vec<Claim>, most: usize) -> Vec<Claim> {
    let mut turns: BTreeMap<(GroupId, MemberId), usize> = BTreeMap::new();
    let in_turn = claims.into_iter().enumerate().rev().map(|(place, claim)| {
        let turn = turns.entry((claim.group, claim.member)).or_default();
        *turn += 1;
        (*turn, place, claim)
    });
    let mut in_turn: Vec<(usize, usize, Claim)> = in_turn.collect();
    in_turn.sort_unstable_by_key(|(turn, place, _)| (*turn, *place));
    let mut bytes = 0_usize;
    let fits = in_turn.iter().take_while(|(.., claim)| {
        let is_first = bytes == 0;
        bytes = bytes.saturating_add(claim.bytes);
        is_first || bytes <= most
    });
    let count = fits.count();
    in_turn.truncate(count);
    in_turn.sort_unstable_by_key(|(_, place, _)| *place);
    in_turn.into_iter().map(|(.., claim)| claim).collect()
}

/// The rows, named by when they were added, that a version filter means, of each member that says these; none is the last.
pub(super) fn selected(versions: &[Claim], wanted: &BTreeSet<VersionMatch>) -> BTreeSet<Timestamp> {
    let mut by_member: BTreeMap<MemberId, Vec<Version>> = BTreeMap::new();
    for claim in versions {
        by_member.entry(claim.member).or_default().push(claim.version);
    }
    by_member.values().flat_map(|versions| chosen(versions, wanted)).collect()
}

/// A version without what it says: its time, and when it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        query::{Query, Scope, TokenId},
        store::{MOST_CLAIMS, ObjectRow},
        testing::{CIDR, Coalition, Site, said::indicator},
    };

    const ID: &str = "indicator--a";

    fn said(n: usize, revoked: bool) -> ObjectRow {
        ObjectRow { revoked, ..indicator(&format!("2026-01-01T00:00:00.{n:06}Z")) }
    }

    fn claim(member: u8, added: u64, bytes: usize) -> Claim {
        let at = Timestamp::from_micros(added);
        Claim {
            group: CIDR,
            member: MemberId::new([member; 16]),
            version: Version { time: at, added: at },
            met: at,
            arrived: at,
            created: at,
            message: MessageId::ZERO,
            bytes,
            is_tombstone: false,
            is_withdrawn: false,
        }
    }

    #[test]
    fn of_more_than_may_be_told_at_once_nobodys_older_words_hide_anothers_newest() {
        let mut all = vec![claim(8, 1, 10), claim(8, 2, 10)];
        all.extend((1..=8).map(|n| claim(7, 10 * n, 10)));
        let kept = |most| -> Vec<u64> {
            within(all.clone(), most).iter().map(|claim| claim.added().as_micros()).collect()
        };
        assert_eq!(kept(100).len(), 10);
        assert_eq!(kept(45), [1, 2, 70, 80]);
        assert_eq!(kept(30).len(), 3);
        assert_eq!(kept(20), [2, 80]);
        assert_eq!(kept(0).len(), 1, "one is always told");
    }

    /// A type that is copied owns nothing that lies elsewhere.
    fn held<T: Copy>(rows: &[T]) -> usize {
        size_of_val(rows)
    }

    #[tokio::test]
    async fn however_large_versions_are_what_is_held_of_them_to_choose_is_small() {
        const LARGE: usize = 64 << 10;
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let (store, node) = (site.store.clone(), site.seat.identity.node);
        let query = Query::open(store, site.roster.clone(), node, &Secret::new([9; 32])).unwrap();
        let message = coalition.messages(&alice, CIDR, None, 1).remove(0);
        let large = |n: usize| ObjectRow { raw: vec![b' '; LARGE + n], ..said(n, false) };
        site.say(&message, (0..8).map(large).collect(), |_| ()).await;
        let principal = Principal::new(TokenId::new([0; 8]), "soc".to_owned(), Scope::reads([CIDR]), None);
        let inner: &Inner = &query.inner;
        let mut looks = inner.store.looks();
        let claims = inner.claimed(&mut looks, &principal, CIDR, ID).unwrap();
        assert_eq!(claims.rows().len(), 8);
        assert!(held(claims.rows()) < 8 * 512);
        let chosen = shown(claims).pop().unwrap();
        let row = inner.opened(&mut looks, &principal, chosen).unwrap().unwrap();
        assert_eq!((row.raw().len(), Claim::of(&row)), (LARGE + 7, chosen), "the last, and all of it");
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
        let told = inner.sighted(&mut looks, &principal, CIDR, ID).unwrap();
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
