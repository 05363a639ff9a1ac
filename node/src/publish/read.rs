//! Reading a submission: what it is, under which marking and for whom it goes out, and what the guards say of it.

use std::collections::BTreeSet;

use belfry_proto::{
    guard::{Going, Report, Weight},
    id::MemberId,
    schema::{self, Audience, InformationClass},
    stix::{
        bundle::{Bundle, BundleError},
        marking::{self, Markings, Tlp},
        object::{Object, ObjectError},
        split::SplitError,
        strict,
    },
    time::Timestamp,
    trust::{charter::Group, roster::Roster},
};

use super::{
    Publisher, behalf, classes,
    passing::Passing,
    submission::{Submission, SubmitError},
};

/// A submission that was read.
pub(super) struct Read {
    pub(super) recipients: Vec<MemberId>,
    pub(super) objects: Vec<Object>,
    pub(super) tlp: Tlp,
    pub(super) is_default_tlp: bool,
    pub(super) classes: Vec<InformationClass>,
    pub(super) class_label: String,
    pub(super) purpose: schema::Purpose,
    pub(super) report: Report,
    /// All that asks for a reason is that others shared it more narrowly.
    pub(super) is_only_passed_on: bool,
    /// What its author should know besides.
    pub(super) said: Vec<String>,
}

impl Publisher {
    /// What a submission is, and what the guards say of it.
    pub(super) fn read(
        &self,
        roster: &Roster,
        submission: &Submission,
        now: Timestamp,
    ) -> Result<Read, SubmitError> {
        let group =
            roster.charter().group(submission.group).ok_or(SubmitError::UnknownGroup(submission.group))?;
        self.may_publish(roster, group, now)?;
        let recipients = self.recipients(roster, submission, now)?;
        let objects = Bundle::parse(&submission.bundle).map_err(content)?.into_objects();
        if objects.is_empty() {
            return Err(rule("objects", "the bundle holds no object"));
        }
        for object in &objects {
            strict::check(object).map_err(broken)?;
        }
        let foreign = strict::foreign_ids(&objects);
        let (mut objects, mut said) = match submission.on_behalf_of {
            Some(member) => self.veiled(roster, group, member, submission, objects, now)?,
            None if submission.for_several => {
                self.is_steward(roster, group, now)?;
                (objects, Vec::new())
            }
            None => (objects, Vec::new()),
        };
        said.extend(foreign);
        said.extend(classes::contradictions(submission, &objects));
        let (tlp, is_default_tlp) = self.marking(submission, group, &objects, recipients.is_empty())?;
        let (classes, class_label) = classes::of(submission, &objects);
        let purpose = submission.purpose.or(self.defaults.purpose).unwrap_or(group.default_purpose);
        let is_near_miss = classes.contains(&InformationClass::NearMiss);
        let report = self.guards.examine(&objects, Going { tlp, is_default: is_default_tlp, is_near_miss });
        let terms = submission.handling.as_ref().map(|handling| handling.terms.as_slice());
        let report = self.guards.examine_stated(report, &class_label, terms.unwrap_or_default());
        let asked_before = report.gravest() >= Some(Weight::Reason);
        let report = match submission.for_several {
            // In this node's own words; another steward may have told the same, under the same id.
            true => report,
            false => self.passing(report, roster, Passing::submitted(submission, tlp), &objects, now)?,
        };
        let is_only_passed_on = !asked_before && report.gravest() == Some(Weight::Reason);
        if submission.is_on_behalf() {
            objects.extend(behalf::notes(&objects, now)?);
        }
        Ok(Read {
            recipients,
            objects,
            tlp,
            is_default_tlp,
            classes,
            class_label,
            purpose,
            report,
            is_only_passed_on,
            said,
        })
    }

    pub(super) fn may_publish(
        &self,
        roster: &Roster,
        group: &Group,
        now: Timestamp,
    ) -> Result<(), SubmitError> {
        if roster.may_publish(self.identity.serial, group.id, now) {
            Ok(())
        } else {
            Err(SubmitError::NotAPublisher(group.id))
        }
    }

    /// Named members must be able to read the group: a message to one who cannot would say so only later.
    fn recipients(
        &self,
        roster: &Roster,
        submission: &Submission,
        now: Timestamp,
    ) -> Result<Vec<MemberId>, SubmitError> {
        let readers: BTreeSet<MemberId> =
            roster.readers(submission.group, Audience::Group, now).into_iter().map(|r| r.member).collect();
        match submission.recipients.iter().find(|member| !readers.contains(member)) {
            Some(member) => Err(SubmitError::NotAReader(*member)),
            None => Ok(submission.recipients.clone()),
        }
    }

    /// The message's marking: stated, else the most restrictive of its objects, those without one counting as the
    /// submission says, else the configured default.
    /// Nothing in it may be narrower than what goes out. Also whether it is that default.
    fn marking(
        &self,
        submission: &Submission,
        group: &Group,
        objects: &[Object],
        to_group: bool,
    ) -> Result<(Tlp, bool), SubmitError> {
        let markings = Markings::of(objects);
        let narrowest = objects
            .iter()
            .filter_map(|object| marking::effective(object, None, &markings).map(|tlp| (tlp, object.id())))
            .max_by_key(|(tlp, _)| *tlp);
        let unmarked =
            submission.unmarked.filter(|_| objects.iter().any(|object| is_unmarked(object, &markings)));
        let stated = submission.tlp.or(narrowest.map(|(tlp, _)| tlp).max(unmarked));
        let tlp = stated.or(submission.unmarked).unwrap_or(self.defaults.tlp);
        if let Some((object_tlp, id)) = narrowest
            && object_tlp > tlp
        {
            return Err(SubmitError::Content {
                object: Some(id.to_owned()),
                path: Some("object_marking_refs".to_owned()),
                rule: format!("marked TLP:{object_tlp}, narrower than the TLP:{tlp} it would go out under"),
            });
        }
        if to_group && tlp == Tlp::Red {
            return Err(SubmitError::RedWithoutRecipients);
        }
        if to_group && schema::Tlp::from(tlp) > group.max_tlp {
            let most = Option::<Tlp>::from(group.max_tlp).unwrap_or(Tlp::Clear);
            return Err(SubmitError::AboveCeiling { found: tlp, most });
        }
        Ok((tlp, submission.tlp.is_none() && narrowest.is_none()))
    }
}

/// Who shall open it.
pub(super) fn audience_of(submission: &Submission) -> Audience {
    match (submission.recipients.is_empty(), submission.exclude_supervisors) {
        (false, _) => Audience::Recipients,
        (true, true) => Audience::WithoutSupervisors,
        (true, false) => Audience::Group,
    }
}

/// Whether an object that says something of its own says no marking. Observables and names of organisations are what
/// others say something of: they go with what names them.
fn is_unmarked(object: &Object, markings: &Markings) -> bool {
    let is_told = !object.is_observable()
        && !matches!(
            object.kind(),
            "identity" | "marking-definition" | "extension-definition" | "language-content"
        );
    is_told && marking::effective(object, None, markings).is_none()
}

pub(super) fn rule(path: &str, rule: &str) -> SubmitError {
    SubmitError::Content { object: None, path: Some(path.to_owned()), rule: rule.to_owned() }
}

/// The error already names object, property and rule in its own words.
fn broken(ObjectError { id, path, rule }: ObjectError) -> SubmitError {
    SubmitError::Content {
        object: id,
        path: Some(path).filter(|path| !path.is_empty()),
        rule: rule.to_string(),
    }
}

fn content(error: BundleError) -> SubmitError {
    match error {
        BundleError::Json(_)
        | BundleError::ObjectJson { .. }
        | BundleError::NotABundle(_)
        | BundleError::Id => SubmitError::NotABundle(error.to_string()),
        BundleError::Object { index, source } => {
            let id = source.id.clone().or_else(|| Some(format!("objects[{index}]")));
            broken(ObjectError { id, ..source })
        }
        BundleError::Empty | BundleError::TooLong(_) | BundleError::TooMany => {
            SubmitError::Content { object: None, path: None, rule: error.to_string() }
        }
        BundleError::Conflict { index, id } => SubmitError::Content {
            object: Some(id),
            path: Some(format!("objects[{index}]")),
            rule: "stands in the bundle before, with the same version and another content".to_owned(),
        },
    }
}

pub(super) fn too_large(error: &SplitError) -> SubmitError {
    SubmitError::Content { object: None, path: None, rule: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        publish::submit::tests::publisher,
        testing::{CIDR, Coalition, Site},
    };

    #[tokio::test]
    async fn what_carries_no_marking_counts_as_the_submission_says() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let publisher = publisher(&alice, &site);
        let object = |n: u8, more: &str| {
            format!(
                r#"{{"type":"campaign","spec_version":"2.1","id":"campaign--00000000-0000-4000-8000-0000000000{n:02}","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","name":"c"{more}}}"#
            )
        };
        let green = format!(r#","object_marking_refs":["{}"]"#, Tlp::Green.marking_id());
        let value = r#"{"type":"ipv4-addr","spec_version":"2.1","id":"ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4","value":"198.51.100.3"}"#;
        for (objects, unmarked, expected, is_default) in [
            (vec![object(1, &green), object(2, "")], Some(Tlp::Amber), Tlp::Amber, false),
            (vec![object(1, &green), object(2, "")], None, Tlp::Green, false),
            (vec![object(1, &green), value.to_owned()], Some(Tlp::Amber), Tlp::Green, false),
            (vec![object(1, ""), value.to_owned()], Some(Tlp::Clear), Tlp::Clear, true),
            (vec![value.to_owned()], Some(Tlp::Green), Tlp::Green, true),
            (vec![object(1, "")], None, Tlp::AmberStrict, true),
        ] {
            let bundle = format!(
                r#"{{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000001","objects":[{}]}}"#,
                objects.join(",")
            );
            let submission =
                Submission { bundle: bundle.into_bytes(), unmarked, ..Submission::of(CIDR, "feed") };
            let told = publisher.preview(submission).await.unwrap();
            assert_eq!((told.tlp, told.is_default_tlp), (expected, is_default), "{objects:?} {unmarked:?}");
        }
    }
}
