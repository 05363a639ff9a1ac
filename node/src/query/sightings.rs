//! Sightings on their way through this node: what may be sighted, who tells them for a member that is not to be named,
//! and what was entrusted to this node to tell.

use std::collections::{BTreeSet, HashMap, hash_map::Entry};

use belfry_proto::{
    id::{GroupId, MemberId},
    schema::Role,
    stix::{indicator::Sighting, marking::Tlp, object},
    time::Timestamp,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Groups, Inner, Principal, Query, QueryError, Readable, Scope, Shown, TokenId, authorise::admit,
    claims::InForce, events::gap, lookup::Wanted,
};
use crate::{clock, store::Looks};

/// Feed entries looked at in one call.
const STRETCH: usize = 256;
const HOUR: u64 = 3_600_000_000;
/// How far ahead of this node's clock a sighting may lie.
const AHEAD: u64 = 10 * 60 * 1_000_000;
/// What ids of told sightings are made in; any would do that nobody else makes ids in.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d0e_8f6a_6c39_4b0b_9a1e_2f1d_77c4_30aa);

/// An object that a sighting may speak of: known to the whole group it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sightable {
    /// Its group.
    pub group: GroupId,
    /// STIX id.
    pub id: String,
    /// Marking in force.
    pub tlp: Tlp,
    /// Whose it is.
    pub member: MemberId,
}

/// Sightings that members sealed to this node's member, to be told without whose they are.
#[derive(Clone, Debug)]
pub struct Entrusted {
    /// They.
    pub rows: Vec<Waiting>,
    /// Where the feed goes on.
    pub position: u64,
    /// More is waiting.
    pub more: bool,
}

/// A sighting that waits to be told.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// In the feed.
    pub number: u64,
    /// As it was sealed.
    pub row: Shown,
    /// What it says.
    pub sighting: Sighting,
    /// As closed as it and what was sighted are.
    pub tlp: Tlp,
}

impl Query {
    /// The newest indicator in force that names a value, in each group, or `every` one; none for what is no value.
    ///
    /// # Errors
    /// The store.
    pub async fn sightable(
        &self,
        principal: &Principal,
        groups: Vec<Readable>,
        wanted: Wanted,
        every: bool,
    ) -> Result<Vec<Sightable>, QueryError> {
        let principal = principal.clone();
        self.read(move |inner| {
            let Some(observable) = wanted.observable() else { return Ok(Vec::new()) };
            let (mut found, mut looks) = (Vec::new(), inner.store.looks());
            let mut in_force = InForce::of(inner, &principal);
            for group in groups {
                let mut hits = Vec::new();
                inner.hits(&mut looks, &mut in_force, group.group(), &observable, &mut hits)?;
                let named = hits.into_iter().filter(|hit| hit.matched.is_empty()).map(|hit| hit.row);
                let named = named.filter(|row| row.kind() == "indicator" && is_sightable(row));
                let mut named: Vec<Shown> = named.collect();
                named.sort_by_key(Shown::date_added);
                let from = if every { 0 } else { named.len().saturating_sub(1) };
                found.extend(named.iter().skip(from).map(Sightable::of));
            }
            Ok(found)
        })
        .await
    }

    /// An object by its id, in each group that has it.
    ///
    /// # Errors
    /// The store.
    pub async fn sightable_object(
        &self,
        principal: &Principal,
        groups: Vec<Readable>,
        object: String,
    ) -> Result<Vec<Sightable>, QueryError> {
        let principal = principal.clone();
        self.read(move |inner| {
            let (mut found, mut looks) = (Vec::new(), inner.store.looks());
            for group in groups {
                let of = inner.sighted(&mut looks, &principal, group.group(), &object)?;
                found.extend(of.map(|row| Sightable::of(&row)));
            }
            Ok(found)
        })
        .await
    }

    /// Other members that are stewards of a group now.
    #[must_use]
    pub fn other_stewards(&self, group: GroupId) -> Vec<MemberId> {
        let (roster, now) = (self.roster(), clock::now());
        let own = roster.by_node(&self.inner.node).map(|own| own.member);
        let stewards = roster.certificates().filter(|certificate| !certificate.carrier);
        let stewards = stewards.filter(|c| roster.role(c.serial, group, now) == Some(Role::Steward));
        let stewards: BTreeSet<MemberId> = stewards.map(|c| c.member).collect();
        stewards.into_iter().filter(|member| Some(*member) != own).collect()
    }

    /// Groups whose steward this node is now.
    #[must_use]
    pub fn stewarded(&self) -> BTreeSet<GroupId> {
        let (roster, now) = (self.roster(), clock::now());
        let Some(own) = roster.by_node(&self.inner.node) else { return BTreeSet::new() };
        let groups = roster.charter().groups().iter().map(|group| group.id);
        groups.filter(|group| roster.role(own.serial, *group, now) == Some(Role::Steward)).collect()
    }

    /// What other members entrusted to this node to tell in `groups`, of the feed after `after`: what is `wanted` by
    /// group, member and number in the feed, was sealed since `since`, was never told by this node's member, and speaks
    /// of what its readers may know.
    ///
    /// # Errors
    /// The store.
    pub async fn entrusted(
        &self,
        groups: BTreeSet<GroupId>,
        after: u64,
        since: Timestamp,
        wanted: impl Fn(GroupId, MemberId, u64) -> bool + Send + 'static,
    ) -> Result<Entrusted, QueryError> {
        let Some(own) = self.roster().by_node(&self.inner.node).map(|own| own.member) else {
            return Ok(Entrusted { rows: Vec::new(), position: after, more: false });
        };
        let scope = Scope { read: Groups::Only(groups), ..Scope::reads([]) };
        let principal = Principal::new(TokenId::new([0; 8]), "steward".to_owned(), scope, None);
        self.read(move |inner| {
            // A feed that was restored from a backup may end before.
            let after = gap(inner.store.feed_bounds()?, after).map_or(after, |gap| gap.resumes_after);
            let page = inner.store.feed_after(after, STRETCH)?;
            let (mut rows, mut looks) = (Vec::new(), inner.store.looks());
            // Many may speak of one object.
            let mut marked: HashMap<(GroupId, String), Option<Tlp>> = HashMap::new();
            for (number, row) in page.rows {
                let Some(row) = admit(&principal, row) else { continue };
                let is_meant = row.kind() == "sighting"
                    && row.is_for_named_recipients()
                    && !row.is_revoked()
                    && row.member() != own
                    && row.created() >= since
                    && wanted(row.group(), row.member(), number);
                if !is_meant {
                    continue;
                }
                let Some(sighting) = Sighting::read(row.raw()).filter(Sighting::is_for_stewards) else {
                    continue;
                };
                // What was told before, and what was told and taken back, leave the id to this member.
                if looks.is_said_by(row.group(), &told_id(row.id()), own)? {
                    continue;
                }
                let of = match marked.entry((row.group(), sighting.sighting_of_ref.clone())) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        let (group, of) = new.key();
                        let of = inner.sighted(&mut looks, &principal, *group, of)?;
                        *new.insert(of.map(|of| of.tlp()))
                    }
                };
                if let Some(of) = of {
                    let tlp = row.tlp().max(of);
                    rows.push(Waiting { number, row, sighting, tlp });
                }
            }
            Ok(Entrusted { rows, position: page.position, more: page.more })
        })
        .await
    }
}

/// The id under which stewards tell a member's sighting. It comes of an id that was sealed, so all make the same, and
/// nobody else can.
#[must_use]
pub fn told_id(sealed: &str) -> String {
    format!("sighting--{}", Uuid::new_v5(&NAMESPACE, sealed.as_bytes()))
}

/// A sighting as this node writes it: what was seen, how often and when, and nothing of who saw it.
#[must_use]
pub fn sighting(id: &str, of: &str, count: u64, first: Timestamp, last: Timestamp) -> Value {
    json!({
        "type": "sighting", "spec_version": "2.1", "id": id,
        "created": last.to_string(), "modified": last.to_string(),
        "first_seen": first.to_string(), "last_seen": last.to_string(),
        "count": count, "sighting_of_ref": of,
    })
}

/// When something was seen, as it may be told: whole hours, in order and not still to come.
///
/// # Errors
/// What is wrong with them.
pub fn hours(
    first: Timestamp,
    last: Timestamp,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), &'static str> {
    if first > last {
        return Err("`first_seen` is after `last_seen`");
    }
    if last.as_micros() > now.as_micros().saturating_add(AHEAD) {
        return Err("`last_seen` is still to come");
    }
    // To the minute it would tell who it was by whom it may have happened to.
    let hour = |at: Timestamp| Timestamp::from_micros(at.as_micros() / HOUR * HOUR);
    Ok((hour(first), hour(last)))
}

impl Sightable {
    fn of(row: &Shown) -> Self {
        Self { group: row.group(), id: row.id().to_owned(), tlp: row.tlp(), member: row.member() }
    }
}

/// Whether the whole group knows it: what is sealed to some by name is nothing to speak of to others.
pub(super) fn is_sightable(row: &Shown) -> bool {
    !row.is_revoked() && !row.is_for_named_recipients() && row.tlp() != Tlp::Red
}

impl Inner {
    /// What a sighting of an object speaks of; where nobody is known to own it, nothing: what was not looked at may be more
    /// restricted than all that was.
    pub(super) fn sighted(
        &self,
        looks: &mut Looks<'_>,
        principal: &Principal,
        group: GroupId,
        object: &str,
    ) -> Result<Option<Shown>, QueryError> {
        Ok(self.object_in_force(looks, principal, group, object)?.filter(may_be_sighted))
    }
}

/// A sighting is of what somebody says, not of a bare value (STIX 2.1 §5.2).
fn may_be_sighted(row: &Shown) -> bool {
    is_sightable(row) && !object::is_observable(row.kind())
}
