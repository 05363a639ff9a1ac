//! What members say of an object besides publishing it: sightings and opinions, found by the object's id.
//!
//! Only what the principal may have counts, one opinion a member, the newest. Whose sightings they are is not told:
//! who was hit is sensitive; how many members saw it is enough. What stewards tell for others is one member's word at
//! most, and no weight in a score: nobody can tell how many stewards were given one member's word.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use belfry_proto::{
    id::{GroupId, MemberId},
    stix::{
        indicator::{Claimed, OPINION_ON, OpinionObject, SIGHTING_OF, Sighting},
        score::{self, Decay, Evidence, Opinion},
    },
    time::Timestamp,
};

use super::{Inner, Principal, QueryError, Shown, authorise::admit};
use crate::store::{Looks, Most};

/// Sightings, and opinions, of one object that are looked at. Too low ⇒ of a sensor that sights it all day only the
/// last ones count, too high ⇒ a question opens thousands of rows. Of each member the newest, so that nobody's flood
/// hides what others say.
const MOST: Most = Most { by_member: 128, all: 1024 };

/// Of one object, or of several that name one value.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Who sighted it under its own name.
    pub(super) members: BTreeSet<MemberId>,
    /// Stewards tell that others did.
    pub(super) is_told: bool,
    /// How often.
    pub(super) count: u64,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    pub(super) opinions: BTreeMap<MemberId, (Timestamp, Opinion)>,
    /// Who says that it no longer holds, and since when.
    pub(super) expired: BTreeMap<MemberId, Timestamp>,
    /// Since when this node's own member says so of the object; of several, it is said of each by itself.
    pub(super) ended: Option<Timestamp>,
}

impl Said {
    /// Together with what is said of another object.
    pub(super) fn join(&mut self, other: &Self) {
        self.members.extend(&other.members);
        self.is_told |= other.is_told;
        self.count = self.count.saturating_add(other.count);
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
        for (member, said) in &other.opinions {
            let known = self.opinions.entry(*member).or_insert(*said);
            *known = (*known).max(*said);
        }
        for (member, at) in &other.expired {
            let known = self.expired.entry(*member).or_insert(*at);
            *known = (*known).max(*at);
        }
    }

    /// Members that what stewards tell counts as.
    pub(super) fn unnamed(&self) -> usize {
        usize::from(self.is_told)
    }

    pub(super) fn doubt(&self) -> f64 {
        score::doubt(self.opinions.values().map(|(_, opinion)| *opinion))
    }
}

/// What is known of an indicator's value, for [`Evidence::judge`].
pub(super) fn evidence(decay: Decay, claimed: Claimed, row: &Shown, members: usize, said: &Said) -> Evidence {
    let from = Some(claimed.from).filter(|from| *from != Timestamp::ZERO);
    Evidence {
        decay,
        confidence: claimed.confidence,
        from: from.unwrap_or_else(|| row.created()),
        until: claimed.until,
        ended: said.ended,
        is_revoked: row.is_revoked(),
        members,
        sighted: said.last,
        doubt: said.doubt(),
    }
}

impl Inner {
    /// What is said of an object, by what `counts` lets count.
    pub(super) fn said_of(
        &self,
        looks: &mut Looks<'_>,
        principal: &Principal,
        group: GroupId,
        id: &str,
        counts: impl Fn(&Shown) -> bool,
    ) -> Result<Said, QueryError> {
        let mut said = Said::default();
        // Several stewards may tell the same, each as much of it as it had.
        let mut told: HashMap<String, u64> = HashMap::new();
        for row in newest_about(looks, principal, group, SIGHTING_OF, id)?.filter(&counts) {
            let Some(sighting) = Sighting::read(row.raw()).filter(|s| s.sighting_of_ref == id) else {
                continue;
            };
            // It is counted once a steward has told it.
            if row.is_for_named_recipients() && sighting.is_for_stewards() {
                continue;
            }
            let count = sighting.count.unwrap_or(1);
            if row.is_on_behalf() {
                said.is_told = true;
                let known = told.entry(row.id().to_owned()).or_default();
                *known = (*known).max(count);
            } else {
                said.members.insert(row.member());
                said.count = said.count.saturating_add(count);
            }
            said.first = [said.first, Some(sighting.first())].into_iter().flatten().min();
            said.last = said.last.max(Some(sighting.last()));
        }
        said.count = told.into_values().fold(said.count, u64::saturating_add);
        for row in newest_about(looks, principal, group, OPINION_ON, id)?.filter(&counts) {
            let object = OpinionObject::read(row.raw());
            let Some(object) = object.filter(|object| object.object_refs.iter().any(|on| on == id)) else {
                continue;
            };
            // That it no longer holds says nothing for or against it.
            if let Some(at) = object.expired() {
                let known = said.expired.entry(row.member()).or_insert(at);
                *known = (*known).max(at);
                // What a steward tells for another is not this member's own word.
                if !row.is_on_behalf() && Some(row.member()) == self.own_member() {
                    said.ended = said.ended.max(Some(at));
                }
                continue;
            }
            let Some(opinion) = object.opinion() else { continue };
            let said_now = (row.version_time(), opinion);
            let known = said.opinions.entry(row.member()).or_insert(said_now);
            *known = (*known).max(said_now);
        }
        Ok(said)
    }
}

/// The newest version of each member's objects that speak of `id`, less those taken back.
pub(super) fn newest_about(
    looks: &mut Looks<'_>,
    principal: &Principal,
    group: GroupId,
    what: &str,
    id: &str,
) -> Result<impl Iterator<Item = Shown> + use<>, QueryError> {
    let mut newest: HashMap<(MemberId, String), Shown> = HashMap::new();
    for date in looks.entered(group, what, id, MOST)?.dates {
        let Some(row) = looks.object_at(group, date)?.and_then(|row| admit(principal, row)) else {
            continue;
        };
        let key = (row.member(), row.id().to_owned());
        match newest.get(&key) {
            Some(known) if known.version_time() >= row.version_time() => {}
            _ => _ = newest.insert(key, row),
        }
    }
    Ok(newest.into_values().filter(|row| !row.is_revoked()))
}
