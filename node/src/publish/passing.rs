//! Passing on: what another member shared goes no further by this one than it was shared.
//!
//! TLP:CLEAR and GREEN may travel between groups. Anything narrower is its originator's to share elsewhere, as is what came to
//! named members or under an embargo that runs; and nobody says it again under a wider marking, or under an embargo that ends
//! sooner than any that somebody else asks for it. Whoever has it from the same source as that other one knows better than a guard,
//! so the guard asks for a reason.
//!
//! It says that somebody shared an object more narrowly, and neither who nor how far: whoever hands it in may be a tool that may
//! read nothing here.

use belfry_proto::{
    guard::{self, Finding, Report},
    id::{GroupId, MemberId},
    stix::{
        marking::{self, Markings, Tlp},
        object::{self, Object},
    },
    time::Timestamp,
    trust::roster::Roster,
};

use super::{
    Publisher,
    submission::{Submission, SubmitError},
};
use crate::store::{Looks, ObjectView, Versions};

/// How objects would be passed on.
#[derive(Clone, Copy)]
pub(super) struct Passing {
    group: GroupId,
    tlp: Tlp,
    /// Not outside before, in microseconds; 0 for at any time.
    embargo_until: u64,
    /// Whose word it is: what that member shared is its own.
    of: Option<MemberId>,
    /// It comes from a source, which is what the other one may have it from, too.
    is_from_source: bool,
    /// How far it may go is said for all of it, where no object says so.
    is_stated: bool,
}

impl Passing {
    /// By whoever releases it.
    pub(super) const fn released(group: GroupId, tlp: Tlp, embargo_until: u64) -> Self {
        Self { group, tlp, embargo_until, of: None, is_from_source: false, is_stated: false }
    }

    /// By a submission.
    pub(super) fn submitted(submission: &Submission, tlp: Tlp) -> Self {
        Self {
            group: submission.group,
            tlp,
            embargo_until: submission.handling.as_ref().map_or(0, |handling| handling.embargo_until),
            of: submission.on_behalf_of,
            is_from_source: submission.is_from_source,
            is_stated: submission.tlp.is_some() || submission.unmarked.is_some(),
        }
    }

    /// How far one of its objects goes, by what that states of itself.
    fn of_object(self, object: &Object, markings: &Markings) -> Self {
        let tlp = marking::effective(object, Some(self.tlp), markings).unwrap_or(self.tlp);
        let message = self.embargo_until;
        let embargo_until = object.stated().map_or(message, |stated| stated.embargo_with(message));
        Self { tlp, embargo_until, ..self }
    }

    /// Whether it would end an embargo that somebody asks for.
    fn ends_early(&self, until: u64, now: Timestamp) -> bool {
        until > now.as_micros() && until > self.embargo_until
    }

    /// What it comes to that somebody else shared an object more narrowly.
    fn finding(&self, object: &Object, markings: &Markings) -> Finding {
        let is_stated = self.is_stated || marking::effective(object, None, markings).is_some();
        if self.is_from_source && is_stated { Finding::AlsoShared } else { Finding::PassedOn }
    }
}

impl Publisher {
    /// The same report with what others shared with this node, and what would go further.
    pub(super) fn passing(
        &self,
        report: Report,
        roster: &Roster,
        passing: Passing,
        objects: &[Object],
        now: Timestamp,
    ) -> Result<Report, SubmitError> {
        let certificate = roster.certificate(self.identity.serial);
        let groups: Vec<GroupId> =
            certificate.map(|certificate| certificate.groups.keys().copied().collect()).unwrap_or_default();
        let markings = Markings::of(objects);
        let (mut kept, mut looks) = (Vec::new(), self.store.looks());
        for object in objects.iter().filter(|object| object::is_finding(object.kind())) {
            let goes = passing.of_object(object, &markings);
            if self.is_kept(&mut looks, &groups, object.id(), goes, now)? {
                kept.push((object.id(), passing.finding(object, &markings)));
            }
        }
        Ok(guard::passed_on(report, kept))
    }

    /// Whether another member shared an object less far than it would go. Not if this member said it before that, or says it
    /// already as far as that: what it says only since then, and no wider than to some, makes it nobody's to share.
    fn is_kept(
        &self,
        looks: &mut Looks<'_>,
        groups: &[GroupId],
        object: &str,
        goes: Passing,
        now: Timestamp,
    ) -> Result<bool, SubmitError> {
        let own = self.identity.member;
        let (mut first_own, mut first_kept): (Option<Timestamp>, Option<Timestamp>) = (None, None);
        let earlier =
            |before: Option<Timestamp>, at: Timestamp| Some(before.map_or(at, |before| before.min(at)));
        for &of in groups {
            // Most of what is published nobody said before.
            if !looks.is_said(of, object)? {
                continue;
            }
            let Versions { rows, tell_owner, .. } = looks.versions_of(of, object)?;
            for row in rows {
                let row = row?;
                if row.tombstone {
                    continue;
                }
                let is_own = row.member == own;
                let asked = embargo(&row, |member| member == own);
                let is_as_wide = row.tlp <= goes.tlp && !row.recipients && !goes.ends_early(asked, now);
                let goes_so_far = of == goes.group && is_as_wide;
                if goes_so_far && (is_own || row.reporters.contains(&own)) {
                    return Ok(false);
                }
                if is_own {
                    first_own = earlier(first_own, row.date_added);
                    continue;
                }
                if goes.of == Some(row.member) {
                    continue;
                }
                let until = embargo(&row, |member| member != own && goes.of != Some(member));
                // What nobody looked at may ask for anything.
                let is_further = !tell_owner
                    || row.said_beyond
                    || match of == goes.group {
                        true => row.tlp > goes.tlp || goes.ends_early(until, now),
                        // Whoever reads there is none of those whom it came to.
                        false => row.tlp > Tlp::Green || until > now.as_micros(),
                    };
                if is_further || row.recipients {
                    first_kept = earlier(first_kept, row.date_added);
                }
            }
        }
        Ok(first_kept.is_some_and(|kept| first_own.is_none_or(|own| own > kept)))
    }
}

/// The last embargo, in microseconds, of all that these members ask for where they say a row; 0 for none.
fn embargo(row: &ObjectView, by: impl Fn(MemberId) -> bool) -> u64 {
    let first = Some(row.conditions.embargo_until).filter(|_| by(row.member));
    let again = row.asked_again.iter().filter(|(member, _)| by(*member));
    first.into_iter().chain(again.map(|(_, asked)| asked.embargo_until)).max().unwrap_or(0)
}
