//! What objects of a bundle refer to and no reader could resolve without it: who created them, and by what they are marked.
//!
//! It goes along as far as it is here, for the token, and may leave by the way out itself. Tools refuse objects whose creator or
//! marking nobody brought them, or take an unknown marking for the strictest.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    id::GroupId,
    stix::{
        egress::{Policy, Use},
        marking::Tlp,
    },
    time::Timestamp,
};
use serde::Deserialize;

use super::Place;
use crate::query::{
    Inner, Principal, QueryError, claims,
    release::{Released, frees_at, release},
};

/// Objects that go along at most. Fewer ⇒ of a bundle of many authors some stay unresolved, more ⇒ whoever names a new one in
/// each object makes a bundle twice as long.
const MOST: usize = 10_000;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refers {
    created_by_ref: Option<String>,
    object_marking_refs: Vec<String>,
    granular_markings: Vec<Granular>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Granular {
    marking_ref: Option<String>,
}

impl Refers {
    fn all(self) -> impl Iterator<Item = String> {
        let granular = self.granular_markings.into_iter().filter_map(|marking| marking.marking_ref);
        self.created_by_ref.into_iter().chain(self.object_marking_refs).chain(granular)
    }
}

impl Inner {
    /// Those of an export's objects, each once; TLP's own definitions left out, which every bundle has. Also when the first of
    /// those that only an embargo holds back may leave.
    pub(super) fn referred(
        &self,
        principal: &Principal,
        policy: &Policy,
        objects: &[(Released, Vec<Place>)],
        now: Timestamp,
    ) -> Result<(Vec<Released>, Option<Timestamp>), QueryError> {
        let mut wanted: BTreeSet<(String, GroupId)> = BTreeSet::new();
        for (released, _) in objects {
            // As it leaves: of one who must not be named nothing is looked for, however openly others bring it.
            let refers: Refers = serde_json::from_slice(&released.raw()).unwrap_or_default();
            let group = released.object().group();
            let unknown = refers.all().filter(|id| Tlp::ALL.iter().all(|tlp| tlp.marking_id() != id));
            wanted.extend(unknown.map(|id| (id, group)));
        }
        // Nobody blocks by them.
        let policy = Policy { purpose: Use::Detect, ..*policy };
        let mut found: BTreeMap<String, Released> = BTreeMap::new();
        let mut changes: Option<Timestamp> = None;
        let mut looks = self.store.looks();
        for (id, group) in wanted {
            if found.contains_key(&id) || found.len() >= MOST {
                continue;
            }
            // The newest that may: the same words may have been said under several markings.
            let said = claims::shown(self.claimed(&mut looks, principal, group, &id)?)
                .into_iter()
                .rev()
                .filter(|claim| !claim.is_tombstone());
            for claim in said {
                let row = self.opened(&mut looks, principal, claim)?.filter(|row| !row.tells_on_author());
                let Some(row) = row else { continue };
                let frees = frees_at(&policy, &row, now);
                changes = changes.into_iter().chain(frees).min();
                if let Ok(released) = release(&policy, row, now) {
                    found.insert(id, released);
                    break;
                }
            }
        }
        Ok((found.into_values().collect(), changes))
    }
}
