//! Sightings on their way through this node: what may be sighted, who tells them for a member that is not to be named,
//! and what was entrusted to this node to tell.

use std::collections::BTreeSet;

use belfry_proto::{
    id::{GroupId, MemberId},
    schema::Role,
    stix::{indicator::Sighting, marking::Tlp, object},
};

use super::{
    Groups, Principal, Query, QueryError, Readable, Scope, Shown, TokenId, authorise::admit, claims,
    lookup::Wanted,
};
use crate::clock;

/// Feed entries looked at in one call.
const STRETCH: usize = 256;

/// An object that a sighting may speak of: known to the whole group it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sightable {
    /// Its group.
    pub group: GroupId,
    /// STIX id.
    pub id: String,
    /// Marking in force.
    pub tlp: Tlp,
}

/// Sightings that members sealed to this node's member, to be told without whose they are.
#[derive(Clone, Debug)]
pub struct Entrusted {
    /// They.
    pub rows: Vec<(Shown, Sighting)>,
    /// Where the feed goes on.
    pub position: u64,
    /// More is waiting.
    pub more: bool,
}

impl Query {
    /// The newest indicator in force that names a value, in each group; none for what is no value.
    ///
    /// # Errors
    /// The store.
    pub async fn sightable(
        &self,
        principal: &Principal,
        groups: Vec<Readable>,
        wanted: Wanted,
    ) -> Result<Vec<Sightable>, QueryError> {
        let principal = principal.clone();
        self.read(move |inner| {
            let Some(observable) = wanted.observable() else { return Ok(Vec::new()) };
            let (mut found, mut looks) = (Vec::new(), inner.store.looks());
            for group in groups {
                let mut hits = Vec::new();
                inner.hits(&mut looks, &principal, group.group(), &observable, None, &mut hits)?;
                let named = hits.into_iter().filter(|hit| hit.matched.is_empty()).map(|hit| hit.row);
                let named = named.filter(|row| row.kind() == "indicator" && is_sightable(row));
                found.extend(named.max_by_key(Shown::date_added).map(|row| Sightable::of(&row)));
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
        let mut found = Vec::new();
        for group in groups {
            let rows = self.claims(principal, vec![group], object.clone()).await?;
            let row = claims::shown(rows).pop().filter(is_sightable);
            // A sighting is of what somebody says, not of a bare value (STIX 2.1 §5.2).
            let row = row.filter(|row| !object::is_observable(row.kind()));
            found.extend(row.map(|row| Sightable::of(&row)));
        }
        Ok(found)
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
    fn stewarded(&self) -> BTreeSet<GroupId> {
        let (roster, now) = (self.roster(), clock::now());
        let Some(own) = roster.by_node(&self.inner.node) else { return BTreeSet::new() };
        let groups = roster.charter().groups().iter().map(|group| group.id);
        groups.filter(|group| roster.role(own.serial, *group, now) == Some(Role::Steward)).collect()
    }

    /// What other members entrusted to this node, of the feed after `after`; of who is no steward, nothing, and the feed's
    /// head.
    ///
    /// # Errors
    /// The store.
    pub async fn entrusted(&self, after: Option<u64>) -> Result<Entrusted, QueryError> {
        let groups = self.stewarded();
        let after = match after {
            Some(after) if !groups.is_empty() => after,
            _ => {
                let position = self.feed_head().await?;
                return Ok(Entrusted { rows: Vec::new(), position, more: false });
            }
        };
        let own = self.roster().by_node(&self.inner.node).map(|own| own.member);
        let scope = Scope { read: Groups::Only(groups), ..Scope::reads([]) };
        let principal = Principal::new(TokenId::new([0; 8]), "steward".to_owned(), scope, None);
        self.read(move |inner| {
            let page = inner.store.feed_after(after, STRETCH)?;
            let rows = page.rows.into_iter().filter_map(|(_, row)| admit(&principal, row));
            let rows = rows.filter(|row| row.kind() == "sighting" && row.is_for_named_recipients());
            let rows = rows.filter(|row| !row.is_revoked() && Some(row.member()) != own);
            let rows = rows.filter_map(|row| {
                let sighting = Sighting::read(row.raw()).filter(Sighting::is_for_stewards)?;
                Some((row, sighting))
            });
            Ok(Entrusted { rows: rows.collect(), position: page.position, more: page.more })
        })
        .await
    }
}

impl Sightable {
    fn of(row: &Shown) -> Self {
        Self { group: row.group(), id: row.id().to_owned(), tlp: row.tlp() }
    }
}

/// Whether the whole group knows it: what is sealed to some by name is nothing to speak of to others.
fn is_sightable(row: &Shown) -> bool {
    !row.is_revoked() && !row.is_for_named_recipients() && row.tlp() != Tlp::Red
}
