//! Passing on: what another member shared goes no further by this one than it was shared.
//!
//! TLP:CLEAR and GREEN may travel between groups. Anything narrower is its originator's to share elsewhere, as is what came to
//! named members or under an embargo; and nobody says it again under a wider marking. Whoever has it from the same source as that
//! other one knows better than a guard, so the guard asks for a reason.

use belfry_proto::{
    guard::{self, Report},
    id::GroupId,
    stix::{
        marking::{self, Markings, Tlp},
        object::Object,
    },
    time::Timestamp,
    trust::roster::Roster,
};

use super::{Publisher, submission::SubmitError};
use crate::store::Looks;

/// Types that say what somebody found. Techniques, actors and tools have their ids from public catalogues, and everybody says
/// them; observables name a value, whoever saw it.
const FOUND: [&str; 8] = [
    "grouping",
    "incident",
    "indicator",
    "infrastructure",
    "malware-analysis",
    "note",
    "observed-data",
    "report",
];

impl Publisher {
    /// The same report with what others shared with this node, and what would go further in `group` under `tlp`.
    pub(super) fn passing(
        &self,
        report: Report,
        roster: &Roster,
        (group, tlp): (GroupId, Tlp),
        objects: &[Object],
        now: Timestamp,
    ) -> Result<Report, SubmitError> {
        let certificate = roster.certificate(self.identity.serial);
        let groups: Vec<GroupId> =
            certificate.map(|certificate| certificate.groups.keys().copied().collect()).unwrap_or_default();
        let markings = Markings::of(objects);
        let (mut kept, mut looks) = (Vec::new(), self.store.looks());
        for object in objects.iter().filter(|object| FOUND.contains(&object.kind())) {
            let goes = marking::effective(object, Some(tlp), &markings).unwrap_or(tlp);
            let of = self.keeping(&mut looks, &groups, object.id(), (group, goes), now)?;
            kept.extend(of.map(|tlp| (object.id(), tlp)));
        }
        Ok(guard::passed_on(report, kept))
    }

    /// The marking under which another member shared an object less far than it would go; none if nobody did, or if this member
    /// says it, too.
    fn keeping(
        &self,
        looks: &mut Looks<'_>,
        groups: &[GroupId],
        object: &str,
        (group, goes): (GroupId, Tlp),
        now: Timestamp,
    ) -> Result<Option<Tlp>, SubmitError> {
        let mut kept = None;
        for &of in groups {
            // Most of what is published nobody said before.
            if looks.claims_of(of, object)?.is_empty() {
                continue;
            }
            for row in self.store.versions(of, object)? {
                if row.tombstone {
                    continue;
                }
                if row.member == self.identity.member {
                    return Ok(None);
                }
                let is_embargoed = row.conditions.embargo_until > now.as_micros();
                let is_further =
                    if of == group { row.tlp > goes } else { row.tlp > Tlp::Green || is_embargoed };
                if is_further || row.recipients {
                    kept = kept.max(Some(row.tlp));
                }
            }
        }
        Ok(kept)
    }
}
