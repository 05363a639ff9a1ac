//! Taking in a bundle: checked, split, durable, then acknowledged.

use std::sync::Arc;

use belfry_proto::{
    envelope::payload,
    guard::{Report, Weight},
    id::PublicationId,
    schema::{self, Audience},
    stix::{marking::Tlp, split},
};

use super::{
    Guards,
    holding::Holding,
    known::{digest, key_of},
    read::{Read, audience_of, rule, too_large},
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
    pub(super) defaults: Defaults,
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
    fn keep(&self, draft: DraftRow) -> Result<(), SubmitError> {
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
        let read = self.read(&roster, &submission, now)?;
        let Read { recipients, objects, tlp, classes, class_label, purpose, report, said, .. } = read;
        let waits = submission.hold_if_passed_on && submission.reason.is_none() && read.is_only_passed_on;
        let is_held = submission.hold || waits;
        let reason = match self.guards.weigh(&report, &objects, submission.reason.as_deref()) {
            // Whoever releases it gives one.
            Err(SubmitError::Guarded(report)) if is_held && report.gravest() == Some(Weight::Reason) => None,
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
                let stated = schema::Payload {
                    publication: publication.to_vec(),
                    part,
                    parts: count,
                    classes: classes.iter().map(|class| *class as i32).collect(),
                    class_label: class_label.clone(),
                    purpose: purpose.into(),
                    tlp: schema::Tlp::from(tlp).into(),
                    pap: submission.pap.unwrap_or_default().into(),
                    handling: submission.handling.clone(),
                    objects: Vec::new(),
                    on_behalf: submission.is_on_behalf(),
                    reason: told.clone(),
                };
                // What readers would refuse must not be acknowledged.
                payload::encode(stated, objects).map_err(|error| rule("payload", &error.to_string()))
            })
            .collect::<Result<_, _>>()?;
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
            state: if is_held { DraftState::Held } else { DraftState::Queued },
            messages: Vec::new(),
            key_id: None,
            error: is_held.then(|| held_for(publication, submission.hold, &report, reason.as_deref())),
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
}

/// Which rule holds a draft, and how it is released: for whoever handed it in, and for who follows it.
fn held_for(publication: PublicationId, is_draft: bool, report: &Report, reason: Option<&str>) -> String {
    let wanting = report.objections.iter().find(|objection| objection.weight() == Weight::Reason);
    let wanting = wanting.filter(|_| reason.is_none()).map(|objection| {
        let rule = objection.finding.guard().as_str();
        format!("the guard {rule} wants a reason, and none came with it ({objection})")
    });
    let option = if wanting.is_some() { " --reason TEXT" } else { "" };
    let draft = is_draft
        .then(|| "what its token or source hands in here is a draft, or it was asked to be one".to_owned());
    let rules: Vec<String> = draft.into_iter().chain(wanting).collect();
    format!(
        "waits for a person, as {}: `belfry drafts release {publication}{option}`",
        rules.join(", and as ")
    )
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
        reason: draft.reason.clone().filter(|_| !duplicate),
    }
}

fn fault(error: ReadError) -> SubmitError {
    SubmitError::Fault(Box::new(error))
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

    pub(in crate::publish) fn publisher(alice: &crate::testing::Seat, site: &Site) -> Publisher {
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
        let told = |draft| publisher.status(draft).unwrap().unwrap().error;
        assert!(told(late).is_some_and(|told| told.contains(&format!("`belfry drafts release {late}`"))));
        publisher.release(late, None, None).await.unwrap();
        assert_eq!(told(late), None, "it waits for nobody");
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
