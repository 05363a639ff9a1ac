//! Taking in a bundle: checked, split, durable, then acknowledged.

use std::{collections::BTreeSet, sync::Arc};

use belfry_proto::{
    crypto::pae::Pae,
    envelope::payload,
    guard::{Going, Report, Weight},
    id::{MemberId, PublicationId},
    schema::{self, Audience, InformationClass},
    stix::{
        bundle::{Bundle, BundleError},
        indicator,
        marking::{self, Markings, Tlp},
        object::{Object, ObjectError},
        split::{self, SplitError},
        strict,
    },
    time::Timestamp,
    trust::{charter::Group, roster::Roster},
};
use prost::Message;

use super::{
    Guards, behalf, classes,
    holding::Holding,
    straight::{Desk, Left, Outcome},
    submission::{Accepted, DraftStatus, ObjectName, Submission, SubmitError},
};
use crate::{
    clock,
    feed::{Feed, Notice},
    identity::Identity,
    roster::LiveRoster,
    store::{Answer, Change, Committed, DraftRow, DraftState, MessageState, ReadError, Store},
};

/// What the config says for submissions that do not.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Marking of a submission that states none and whose objects carry none.
    pub tlp: Tlp,
    /// Purpose of a submission that states none; unset takes the group's.
    pub purpose: Option<schema::Purpose>,
}

/// The submitting half of the publish use-case. Clones share everything.
#[derive(Clone)]
pub struct Publisher {
    pub(super) identity: Arc<Identity>,
    pub(super) store: Store,
    pub(super) roster: LiveRoster,
    pub(super) feed: Feed,
    defaults: Defaults,
    pub(super) guards: Guards,
    pub(super) holding: Holding,
    desk: Option<Desk>,
}

impl Publisher {
    /// Takes submissions into `store`.
    #[must_use]
    pub fn new(
        identity: Arc<Identity>,
        store: Store,
        roster: LiveRoster,
        feed: Feed,
        defaults: Defaults,
        guards: Guards,
    ) -> Self {
        Self { identity, store, roster, feed, defaults, guards, holding: Holding::default(), desk: None }
    }

    /// Marking of what states none and carries none.
    #[must_use]
    pub const fn default_tlp(&self) -> Tlp {
        self.defaults.tlp
    }

    /// The same publisher, which leaves with the flusher what can go out at once.
    #[must_use]
    pub fn with_desk(self, desk: Desk) -> Self {
        Self { desk: Some(desk), ..self }
    }

    /// Checks a submission and makes it a durable sealed draft.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing is kept then.
    pub async fn submit(&self, submission: Submission) -> Result<Accepted, SubmitError> {
        // One thread from the bundle's first byte until its draft is durable, or on its way to be sealed.
        let this = self.clone();
        let (left, accepted) = match blocking(move || this.take_in(submission)).await? {
            Taken::Kept(accepted) => return Ok(accepted),
            Taken::Left(left, accepted) => (left, accepted),
        };
        match left.outcome().await {
            Outcome::Answered(answer) => kept(answer),
            Outcome::Back(draft) => {
                let this = self.clone();
                blocking(move || this.keep(*draft)).await
            }
        }
        .map(|()| accepted)
    }

    fn take_in(&self, submission: Submission) -> Result<Taken, SubmitError> {
        let (draft, accepted) = match self.check(submission)? {
            Checked::New(draft, accepted) => (draft, accepted),
            Checked::Seen(accepted) => return Ok(Taken::Kept(accepted)),
        };
        let draft = match &self.desk {
            Some(desk) if draft.state == DraftState::Queued => match desk.leave(draft) {
                Ok(left) => return Ok(Taken::Left(left, accepted)),
                Err(draft) => draft,
            },
            _ => draft,
        };
        self.keep(*draft).map(|()| Taken::Kept(accepted))
    }

    /// Makes a checked draft durable.
    pub(super) fn keep(&self, draft: DraftRow) -> Result<(), SubmitError> {
        // Only new ones need room: what was acknowledged once is told again.
        if !self.store.has_room() {
            return Err(SubmitError::NoRoom);
        }
        let is_held = draft.state == DraftState::Held;
        let place = self.holding.take(&self.store, [&draft])?;
        kept(self.store.commit_blocking(Change::Draft(draft)))?;
        place.kept();
        if !is_held {
            self.feed.notify(Notice::DraftQueued);
        }
        Ok(())
    }

    /// How far a publication of this node has come; `None` for one it never took.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn status(&self, publication: PublicationId) -> Result<Option<DraftStatus>, ReadError> {
        let Some(row) = self.store.draft(publication)? else { return Ok(None) };
        let holders = match row.key_id {
            Some(key) => self.store.key(key)?.map_or(0, |key| key.holders),
            None => 0,
        };
        let to_group = row.audience != Audience::Recipients;
        let mut withdrawn = 0;
        for message in &row.messages {
            let found = self.store.message(*message)?;
            withdrawn += usize::from(found.is_some_and(|found| found.state == MessageState::Withdrawn));
        }
        Ok(Some(DraftStatus {
            publication,
            group: row.group,
            tlp: row.tlp.into(),
            audience: row.audience,
            recipients: row.recipients,
            submitter: row.submitter,
            accepted: row.created,
            state: match row.state {
                DraftState::Held => super::submission::DraftState::Held,
                DraftState::Queued => super::submission::DraftState::Drafted,
                DraftState::Flushed if withdrawn > 0 && withdrawn == row.messages.len() => {
                    super::submission::DraftState::Withdrawn
                }
                DraftState::Flushed => super::submission::DraftState::Flushed,
                DraftState::Refused => super::submission::DraftState::Refused,
            },
            parts: row.part_count,
            objects: row.objects.into_iter().map(|(id, version)| ObjectName { id, version }).collect(),
            messages: row.messages,
            withdrawn,
            // A withdrawal alone is sealed with no key: everybody reads it.
            readable_only_here: matches!(row.state, DraftState::Queued | DraftState::Held)
                || (to_group && row.key_id.is_some() && holders == 0),
            error: row.error,
            reason: row.reason,
        }))
    }

    pub(super) fn check(&self, submission: Submission) -> Result<Checked, SubmitError> {
        let roster = self.roster.snapshot();
        let now = clock::now();
        let group =
            roster.charter().group(submission.group).ok_or(SubmitError::UnknownGroup(submission.group))?;
        self.may_publish(&roster, group, now)?;
        let digest = digest(&submission);
        let key = key_of(&submission, digest);
        if let Some(seen) = self.seen(key.as_deref(), digest)? {
            return Ok(Checked::Seen(seen));
        }
        let Read { recipients, objects, tlp, classes, class_label, purpose, report, said, .. } =
            self.read(&roster, &submission, now)?;
        let reason = match self.guards.weigh(&report, submission.reason.as_deref()) {
            // Whoever releases it gives one.
            Err(SubmitError::Guarded(report))
                if submission.hold && report.gravest() == Some(Weight::Reason) =>
            {
                None
            }
            weighed => weighed?,
        };
        let names = objects.iter().map(|o| (o.id().to_owned(), o.version().to_owned())).collect();
        let parts = split::split(objects).map_err(|e| too_large(&e))?;
        let publication = PublicationId::new(rand::random());
        let count = u32::try_from(parts.len())
            .map_err(|_| rule("objects", "more messages than one publication can have"))?;
        // Readers are told why a guard was not heeded; what several gave cause for nobody looked through for names.
        let is_told = roster.charter().asks_reasons()
            && report.gravest() == Some(Weight::Reason)
            && !submission.for_several;
        let told = reason.clone().filter(|_| is_told).unwrap_or_default();
        let parts: Vec<Vec<u8>> = (1..)
            .zip(parts)
            .map(|(part, objects)| {
                schema::Payload {
                    publication: publication.to_vec(),
                    part,
                    parts: count,
                    classes: classes.iter().map(|class| *class as i32).collect(),
                    class_label: class_label.clone(),
                    purpose: purpose.into(),
                    tlp: schema::Tlp::from(tlp).into(),
                    pap: submission.pap.unwrap_or_default().into(),
                    handling: submission.handling.clone(),
                    objects: objects.into_iter().map(Object::into_raw).collect(),
                    on_behalf: submission.is_on_behalf(),
                    reason: told.clone(),
                }
                .encode_to_vec()
            })
            .collect();
        for part in &parts {
            // What readers would refuse must not be acknowledged.
            payload::parse(part).map_err(|error| rule("payload", &error.to_string()))?;
        }
        let draft = DraftRow {
            publication,
            group: group.id,
            audience: audience_of(&submission),
            recipients,
            parts,
            part_count: count,
            objects: names,
            submitter: submission.submitter.clone(),
            idempotency_key: key,
            digest,
            created: now,
            state: if submission.hold { DraftState::Held } else { DraftState::Queued },
            messages: Vec::new(),
            key_id: None,
            error: None,
            withdraws: None,
            tlp: tlp.into(),
            reason,
        };
        let notes = report.objections.iter().filter(|objection| objection.weight() == Weight::Note);
        let notes = said.into_iter().chain(notes.map(ToString::to_string)).collect();
        let accepted = Accepted { notes, ..accepted(&draft, false) };
        Ok(Checked::New(Box::new(draft), accepted))
    }

    /// What came before under a key, if it is the same.
    pub(super) fn seen(&self, key: Option<&str>, digest: [u8; 32]) -> Result<Option<Accepted>, SubmitError> {
        let Some(key) = key else { return Ok(None) };
        match self.store.by_idempotency(key).map_err(fault)? {
            None => Ok(None),
            Some(seen) if seen.digest == digest => Ok(Some(accepted(&seen, true))),
            Some(_) => Err(SubmitError::IdempotencyMismatch),
        }
    }

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
            indicator::check(object).map_err(broken)?;
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
        let report = self.passing(report, roster, (group.id, tlp), &objects, now)?;
        if submission.is_on_behalf() {
            objects.extend(behalf::notes(&objects, now)?);
        }
        Ok(Read { recipients, objects, tlp, is_default_tlp, classes, class_label, purpose, report, said })
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
    /// What its author should know besides.
    pub(super) said: Vec<String>,
}

/// Who shall open it.
pub(super) fn audience_of(submission: &Submission) -> Audience {
    match (submission.recipients.is_empty(), submission.exclude_supervisors) {
        (false, _) => Audience::Recipients,
        (true, true) => Audience::WithoutSupervisors,
        (true, false) => Audience::Group,
    }
}

/// How far a submission is when its checks are done.
enum Taken {
    Kept(Accepted),
    Left(Left, Accepted),
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SubmitError> + Send + 'static,
) -> Result<T, SubmitError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| SubmitError::Fault(Box::new(e)))?
}

/// What became of a draft's write.
pub(super) fn kept(answer: Answer) -> Result<(), SubmitError> {
    match answer {
        // Another submission with this key was faster: answer as to a second one.
        Ok(Committed::Duplicate) => {
            Err(SubmitError::Unavailable("the same idempotency key is being taken in"))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(SubmitError::Fault(Box::new(error))),
    }
}

pub(super) enum Checked {
    New(Box<DraftRow>, Accepted),
    Seen(Accepted),
}

fn accepted(draft: &DraftRow, duplicate: bool) -> Accepted {
    Accepted {
        publication: draft.publication,
        group: draft.group,
        tlp: draft.tlp.into(),
        audience: draft.audience,
        recipients: draft.recipients.clone(),
        parts: draft.part_count,
        objects: u32::try_from(draft.objects.len()).unwrap_or(u32::MAX),
        object_ids: draft.objects.iter().map(|(id, _)| id.clone()).collect(),
        duplicate,
        notes: Vec::new(),
        held: draft.state == DraftState::Held,
    }
}

/// What a submission is known by. What was made of a file needs no key: the file is one.
pub(super) fn key_of(submission: &Submission, digest: [u8; 32]) -> Option<String> {
    let own_key = || submission.origin.map(|_| format!("import:{}", hex::encode(digest)));
    submission.idempotency_key.clone().or_else(own_key).map(|key| scoped(submission, &key))
}

/// Idempotency keys of different tokens do not meet, unless they are the node's. No submitter's name is empty.
fn scoped(submission: &Submission, key: &str) -> String {
    match submission.is_key_of_node {
        true => of_node(key),
        false => format!("{}\u{0}{key}", submission.submitter),
    }
}

/// A key of the node's, as drafts have it.
pub(super) fn of_node(key: &str) -> String {
    format!("\u{0}{key}")
}

/// Everything a submitter said: the same key with another purpose or class is another submission.
pub(super) fn digest(submission: &Submission) -> [u8; 32] {
    let number = |wire: Option<i32>| wire.map_or(0, |n| u64::from(n.unsigned_abs()).saturating_add(1));
    let mut pae = Pae::new("belfry/v1/submission")
        .number(submission.group.get().into())
        .number(number(submission.tlp.map(|tlp| schema::Tlp::from(tlp).into())))
        .number(number(submission.purpose.map(Into::into)))
        .number(number(submission.pap.map(Into::into)))
        .number(submission.exclude_supervisors.into())
        .part(submission.origin.as_ref().map_or(&submission.bundle, <[u8; 32]>::as_slice))
        .part(submission.class_label.as_bytes())
        .number(submission.classes.len() as u64);
    for class in &submission.classes {
        pae = pae.number(number(Some((*class).into())));
    }
    for member in &submission.recipients {
        pae = pae.part(member.as_ref());
    }
    if let Some(handling) = &submission.handling {
        pae = pae.part(&handling.encode_to_vec());
    }
    // Last, and only if given: what was accepted before there were reasons keeps its digest.
    if let Some(reason) = &submission.reason {
        pae = pae.part(reason.as_bytes());
    }
    if let Some(member) = &submission.on_behalf_of {
        pae = pae.part(b"on-behalf").part(member.as_ref());
    }
    if submission.for_several {
        pae = pae.part(b"for-several");
    }
    if let Some(unmarked) = submission.unmarked {
        pae = pae.part(b"unmarked").number(number(Some(schema::Tlp::from(unmarked).into())));
    }
    pae.hash()
}

fn fault(error: ReadError) -> SubmitError {
    SubmitError::Fault(Box::new(error))
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
pub(super) mod tests {
    use super::*;
    use crate::{
        space::{Space, tests::Disk},
        testing::{CIDR, CLOUD, Coalition, Site},
    };

    pub(in crate::publish) fn submission(key: &str) -> Submission {
        let bundle = br#"{"type":"bundle","id":"bundle--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3e","objects":[{"type":"indicator","spec_version":"2.1","id":"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","pattern":"[ipv4-addr:value = '198.51.100.7']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"}]}"#;
        Submission {
            bundle: bundle.to_vec(),
            idempotency_key: Some(key.to_owned()),
            ..Submission::of(CIDR, "siem")
        }
    }

    fn publisher(alice: &crate::testing::Seat, site: &Site) -> Publisher {
        Publisher::new(
            Arc::clone(&alice.identity),
            site.store.clone(),
            site.roster.clone(),
            Feed::default(),
            Defaults { tlp: Tlp::AmberStrict, purpose: None },
            Guards::default(),
        )
    }

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

    #[tokio::test]
    async fn a_crowd_of_drafts_in_one_group_hides_none_of_another() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR, CLOUD]);
        let site = Site::new(&coalition, &alice).await;
        let publisher = publisher(&alice, &site);
        for n in 0..3 {
            publisher.submit(Submission { hold: true, ..submission(&n.to_string()) }).await.unwrap();
        }
        let late = Submission { hold: true, group: CLOUD, ..submission("late") };
        let late = publisher.submit(late).await.unwrap().publication;
        assert_eq!(site.store.held_drafts(|group| group == CLOUD, None, 1).unwrap(), (vec![late], None));
        let (some, next) = site.store.held_drafts(|_| true, None, 2).unwrap();
        assert_eq!((some.len(), some.contains(&late)), (2, false), "the oldest first");
        let (rest, end) = site.store.held_drafts(|_| true, next.as_deref(), 2).unwrap();
        assert_eq!((rest.len(), rest.last(), end), (2, Some(&late), None));
        assert!(rest.iter().all(|one| !some.contains(one)));
        let held_by = |submitter: &str| site.store.held_of(submitter).unwrap().len();
        assert_eq!((held_by("siem"), held_by("other")), (4, 0));
        publisher.release(late, None, None).await.unwrap();
        assert_eq!((held_by("siem"), site.store.queued(10).unwrap()), (3, vec![late]));
    }

    #[tokio::test]
    async fn without_room_nothing_new_is_accepted_and_with_room_again_it_is() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let disk = Disk::with(1000);
        let space = Space::new(100, disk.clone());
        let publisher =
            Publisher { store: site.store.clone().with_space(space.clone()), ..publisher(&alice, &site) };
        let first = publisher.submit(submission("a")).await.unwrap();
        disk.set(1);
        space.look();
        assert!(matches!(publisher.submit(submission("b")).await, Err(SubmitError::NoRoom)));
        assert_eq!(site.store.queued(10).unwrap(), [first.publication]);
        // What was acknowledged is told again: its sender may have missed the answer.
        let again = publisher.submit(submission("a")).await.unwrap();
        assert!(again.duplicate && again.publication == first.publication);
        disk.set(1000);
        space.look();
        assert!(publisher.submit(submission("b")).await.is_ok());
    }
}
