//! Taking in a bundle: checked, split, durable, then acknowledged.

use std::{collections::BTreeSet, sync::Arc};

use belfry_proto::{
    crypto::pae::Pae,
    id::{MemberId, PublicationId},
    schema::{self, Audience},
    stix::{
        bundle::Bundle,
        class,
        marking::{self, Markings, Tlp},
        split,
    },
    time::Timestamp,
    trust::{charter::Group, roster::{Roster, Standing}},
};
use prost::Message;

use super::submission::{Accepted, Submission, SubmitError};
use crate::{
    clock,
    feed::{Feed, Notice},
    identity::Identity,
    roster::LiveRoster,
    store::{Change, Committed, DraftRow, DraftState, Store},
};

/// What the config says for submissions that do not.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Marking of a submission that states none and whose objects carry none.
    pub tlp: Tlp,
}

/// The submitting half of the publish use-case. Clones share everything.
#[derive(Clone)]
pub struct Publisher {
    identity: Arc<Identity>,
    store: Store,
    roster: LiveRoster,
    feed: Feed,
    defaults: Defaults,
}

impl Publisher {
    /// Takes submissions into `store`.
    #[must_use]
    pub const fn new(
        identity: Arc<Identity>,
        store: Store,
        roster: LiveRoster,
        feed: Feed,
        defaults: Defaults,
    ) -> Self {
        Self { identity, store, roster, feed, defaults }
    }

    /// Checks a submission and makes it a durable sealed draft.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing is kept then.
    pub async fn submit(&self, submission: Submission) -> Result<Accepted, SubmitError> {
        let this = self.clone();
        let checked = tokio::task::spawn_blocking(move || this.check(submission)).await;
        let (draft, accepted) = match checked.map_err(|e| SubmitError::Internal(e.to_string()))?? {
            Checked::New(draft, accepted) => (draft, accepted),
            Checked::Seen(accepted) => return Ok(accepted),
        };
        match self.store.commit(Change::Draft(draft)).await {
            Ok(Committed::Duplicate) => Ok(Accepted { duplicate: true, ..accepted }),
            Ok(_) => {
                self.feed.notify(Notice::DraftQueued);
                Ok(accepted)
            }
            Err(error) => Err(SubmitError::Unavailable(error.to_string())),
        }
    }

    fn check(&self, submission: Submission) -> Result<Checked, SubmitError> {
        let roster = self.roster.snapshot();
        let now = clock::now();
        let group = roster
            .charter()
            .group(submission.group)
            .ok_or(SubmitError::UnknownGroup(submission.group))?;
        self.may_publish(&roster, group, now)?;
        let digest = digest(&submission);
        if let Some(key) = &submission.idempotency_key {
            let seen = self.store.by_idempotency(&scoped(&submission, key)).map_err(unavailable)?;
            if let Some(seen) = seen {
                return if seen.digest == digest {
                    Ok(Checked::Seen(accepted(&seen, true)))
                } else {
                    Err(SubmitError::IdempotencyConflict)
                };
            }
        }
        let recipients = self.recipients(&roster, &submission, now)?;
        let objects = Bundle::parse(&submission.bundle).map_err(SubmitError::Bundle)?.into_objects();
        if objects.is_empty() {
            return Err(SubmitError::EmptyBundle);
        }
        let tlp = self.marking(&submission, group, &objects, recipients.is_empty())?;
        let classes = if submission.classes.is_empty() { class::infer(&objects) } else { submission.classes.clone() };
        let purpose = submission.purpose.unwrap_or(group.default_purpose);
        let object_ids: Vec<String> = objects.iter().map(|object| object.id().to_owned()).collect();
        let parts = split::split(objects).map_err(SubmitError::Split)?;
        let publication = PublicationId::new(rand::random());
        let count = u32::try_from(parts.len()).map_err(|_| SubmitError::EmptyBundle)?;
        let parts: Vec<Vec<u8>> = (1..)
            .zip(parts)
            .map(|(part, objects)| {
                schema::Payload {
                    publication: publication.to_vec(),
                    part,
                    parts: count,
                    classes: classes.iter().map(|class| *class as i32).collect(),
                    class_label: submission.class_label.clone().unwrap_or_default(),
                    purpose: purpose.into(),
                    tlp: schema::Tlp::from(tlp).into(),
                    pap: submission.pap.unwrap_or_default().into(),
                    handling: None,
                    objects: objects.into_iter().map(belfry_proto::stix::object::Object::into_raw).collect(),
                }
                .encode_to_vec()
            })
            .collect();
        let audience = match (recipients.is_empty(), submission.exclude_supervisors) {
            (false, _) => Audience::Recipients,
            (true, true) => Audience::WithoutSupervisors,
            (true, false) => Audience::Group,
        };
        let draft = DraftRow {
            publication,
            group: group.id,
            audience,
            recipients,
            tlp: schema::Tlp::from(tlp),
            parts,
            object_ids,
            submitter: submission.submitter.clone(),
            idempotency_key: submission.idempotency_key.as_deref().map(|key| scoped(&submission, key)),
            digest,
            created: now,
            state: DraftState::Queued,
            messages: Vec::new(),
            error: None,
        };
        let accepted = accepted(&draft, false);
        Ok(Checked::New(draft, accepted))
    }

    fn may_publish(&self, roster: &Roster, group: &Group, now: Timestamp) -> Result<(), SubmitError> {
        let standing = roster.standing(self.identity.serial, now);
        if standing != Standing::Valid {
            return Err(SubmitError::NotCertified(standing));
        }
        if !roster.may_publish(self.identity.serial, group.id, now) {
            return Err(SubmitError::MayNotPublish { group: group.slug.clone() });
        }
        Ok(())
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
            Some(member) => Err(SubmitError::RecipientCannotRead(*member)),
            None => Ok(submission.recipients.clone()),
        }
    }

    /// The message's marking: stated, else the most restrictive of its objects, else the configured default.
    /// Nothing in it may be narrower than what goes out.
    fn marking(
        &self,
        submission: &Submission,
        group: &Group,
        objects: &[belfry_proto::stix::object::Object],
        to_group: bool,
    ) -> Result<Tlp, SubmitError> {
        let markings = Markings::of(objects);
        let narrowest = objects
            .iter()
            .filter_map(|object| marking::effective(object, None, &markings).map(|tlp| (tlp, object.id())))
            .max_by_key(|(tlp, _)| *tlp);
        let tlp = submission.tlp.or(narrowest.map(|(tlp, _)| tlp)).unwrap_or(self.defaults.tlp);
        if let Some((object_tlp, id)) = narrowest {
            if object_tlp > tlp {
                return Err(SubmitError::ObjectNarrower { id: id.to_owned(), object: object_tlp, message: tlp });
            }
        }
        if to_group && tlp == Tlp::Red {
            return Err(SubmitError::RedNeedsRecipients);
        }
        if to_group && schema::Tlp::from(tlp) > group.max_tlp {
            return Err(SubmitError::OverGroupLimit { group: group.slug.clone(), tlp });
        }
        Ok(tlp)
    }
}

enum Checked {
    New(DraftRow, Accepted),
    Seen(Accepted),
}

fn accepted(draft: &DraftRow, duplicate: bool) -> Accepted {
    Accepted {
        publication: draft.publication,
        parts: u32::try_from(draft.parts.len()).unwrap_or(u32::MAX),
        objects: u32::try_from(draft.object_ids.len()).unwrap_or(u32::MAX),
        object_ids: draft.object_ids.clone(),
        duplicate,
    }
}

/// Idempotency keys of different tokens do not meet.
fn scoped(submission: &Submission, key: &str) -> String {
    format!("{}\u{0}{key}", submission.submitter)
}

fn digest(submission: &Submission) -> [u8; 32] {
    let mut pae = Pae::new("belfry/v1/submission")
        .number(submission.group.get().into())
        .number(submission.tlp.map_or(0, |tlp| schema::Tlp::from(tlp) as u64))
        .number(submission.exclude_supervisors.into())
        .part(&submission.bundle);
    for member in &submission.recipients {
        pae = pae.part(member.as_ref());
    }
    pae.hash()
}

fn unavailable(error: crate::store::ReadError) -> SubmitError {
    SubmitError::Unavailable(error.to_string())
}
