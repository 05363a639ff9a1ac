//! Taking back: from what a tool names to a durable draft that ends messages, or lifts such an end.
//!
//! ```text
//! messages │ a publication │ objects ─▶ message ids ─▶ may this node end each? ─▶ draft ─▶ flush ─▶ the group
//! ```
//!
//! A message is withdrawn whole. Whoever names one object of many keeps the rest: it goes out again, as a
//! publication of its own, in the same draft and before the withdrawal, so that no reader is without it.
//! What readers would pass over is refused here, where somebody can mend it.

mod remains;
mod request;
mod rest;

use std::collections::BTreeSet;

use belfry_proto::{
    envelope::{self, Withdrawal, WithdrawalRefusal, Word},
    id::{MessageId, PublicationId},
    limits::MAX_TARGETS,
    schema::{Audience, Role, Tlp, WithdrawalGround, WithdrawalMode},
    stix::object::Object,
    time::Timestamp,
    trust::roster::Roster,
};

use self::rest::{Rest, parts};
pub use self::{
    remains::Remains,
    request::{Named, WithdrawError, WithdrawalRequest, Withdrawn},
};
use super::{submission::SubmitError, submit::Publisher};
use crate::{
    clock,
    store::{DraftRow, DraftState, MessageRow},
};

/// Messages that one request may withdraw: a large publication, and sixteen messages of ours.
const MAX_MESSAGES: usize = 16 * MAX_TARGETS;

fn fault(error: impl std::error::Error + Send + Sync + 'static) -> WithdrawError {
    SubmitError::Fault(Box::new(error)).into()
}

impl Publisher {
    /// Checks a withdrawal and makes it a durable draft.
    ///
    /// # Errors
    /// [`WithdrawError`]; nothing is kept then.
    pub async fn withdraw(&self, request: WithdrawalRequest) -> Result<Withdrawn, WithdrawError> {
        let this = self.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let (draft, withdrawn) = this.check_withdrawal(request)?;
            if let Some(draft) = draft {
                this.keep(*draft)?;
            }
            Ok(withdrawn)
        });
        taken.await.map_err(fault)?
    }

    /// The draft, unless the same request made one before.
    fn check_withdrawal(
        &self,
        request: WithdrawalRequest,
    ) -> Result<(Option<Box<DraftRow>>, Withdrawn), WithdrawError> {
        let (roster, now) = (self.roster.snapshot(), clock::now());
        let group = request.group;
        if roster.charter().group(group).is_none() {
            return Err(SubmitError::UnknownGroup(group).into());
        }
        if !roster.may_withdraw(self.identity.serial, group, now) {
            return Err(SubmitError::NotAPublisher(group).into());
        }
        let (digest, scoped) = (request.digest(), request.scoped_key());
        if let Some(key) = &scoped
            && let Some(seen) = self.store.by_idempotency(key)?
        {
            if seen.digest != digest {
                return Err(SubmitError::IdempotencyMismatch.into());
            }
            let targets = seen.withdraws.map(|withdraws| withdraws.targets).unwrap_or_default();
            let publication = seen.publication;
            let republished = seen.objects.len();
            return Ok((
                None,
                Withdrawn { publication, targets, republished, remains: Vec::new(), duplicate: true },
            ));
        }
        let (targets, rest) = self.targets(&request)?;
        if targets.is_empty() {
            return Err(WithdrawError::Nothing);
        }
        if targets.len() > MAX_MESSAGES {
            return Err(WithdrawError::TooMany(targets.len()));
        }
        let word = self.word(&request, &roster, now);
        for target in &targets {
            self.may_end(&roster, &word, *target)?;
        }
        let publication = PublicationId::new(rand::random());
        let audience = rest.first().map_or(Audience::Group, |rest| rest.audience);
        let objects: Vec<(String, String)> = rest
            .iter()
            .flat_map(|rest| &rest.objects)
            .map(|object| (object.id().to_owned(), object.version().to_owned()))
            .collect();
        let parts = parts(publication, rest)?;
        let messages = parts.len() + targets.len().div_ceil(MAX_TARGETS);
        let remains = match request.mode {
            WithdrawalMode::Lift => Vec::new(),
            _ => self.remains(&roster, &request, &targets),
        };
        let withdrawn = Withdrawn {
            publication,
            targets: targets.clone(),
            republished: objects.len(),
            remains,
            duplicate: false,
        };
        let draft = DraftRow {
            publication,
            group,
            audience,
            recipients: Vec::new(),
            part_count: u32::try_from(messages).unwrap_or(u32::MAX),
            parts,
            objects,
            submitter: request.submitter.clone(),
            idempotency_key: scoped,
            digest,
            created: now,
            state: if request.hold { DraftState::Held } else { DraftState::Queued },
            messages: Vec::new(),
            key_id: None,
            error: None,
            withdraws: Some(Withdrawal { targets, mode: request.mode, ground: word.ground }),
            tlp: Tlp::Unspecified,
            reason: None,
        };
        Ok((Some(Box::new(draft)), withdrawn))
    }

    /// What readers will take our withdrawal for, if it is flushed now.
    fn word(&self, request: &WithdrawalRequest, roster: &Roster, now: Timestamp) -> Word {
        let height = roster.version().height;
        Word {
            id: MessageId::ZERO,
            group: request.group,
            member: self.identity.member,
            mode: request.mode,
            ground: request.ground.unwrap_or(WithdrawalGround::Author),
            by_steward: roster.role_at(self.identity.serial, request.group, height) == Some(Role::Steward),
            created: now,
            seen: now,
        }
    }

    fn may_end(&self, roster: &Roster, word: &Word, target: MessageId) -> Result<(), WithdrawError> {
        let row = self.store.message(target)?.ok_or(WithdrawError::UnknownMessage(target))?;
        if row.group != word.group {
            return Err(WithdrawError::OtherGroup(target));
        }
        if word.mode == WithdrawalMode::Lift {
            return self.may_lift(roster, word, &row);
        }
        if row.key_id.is_none() {
            return Err(WithdrawError::NotData(target));
        }
        word.reaches(row.group, row.member).map_err(|refusal| match refusal {
            WithdrawalRefusal::NotTheAuthor => WithdrawError::GroundMissing(target),
            WithdrawalRefusal::OtherGroup => WithdrawError::OtherGroup(target),
            WithdrawalRefusal::NotEntitled | WithdrawalRefusal::OnlyLifts => WithdrawError::NotOurs(target),
        })
    }

    fn may_lift(&self, roster: &Roster, lift: &Word, row: &MessageRow) -> Result<(), WithdrawError> {
        let bytes = self.store.envelope(row.id)?.ok_or(WithdrawError::UnknownMessage(row.id))?;
        let decoded = envelope::decode(&bytes).map_err(fault)?;
        let word = Word::of(roster, row.id, decoded.header(), row.received)
            .filter(|word| word.by_steward && word.mode != WithdrawalMode::Lift)
            .ok_or(WithdrawError::NotLiftable(row.id))?;
        match lift.lifts(&word) {
            true => Ok(()),
            false => Err(WithdrawError::NotASteward(row.id)),
        }
    }

    /// Messages to end, and what of them goes out again.
    fn targets(&self, request: &WithdrawalRequest) -> Result<(Vec<MessageId>, Vec<Rest>), WithdrawError> {
        match &request.named {
            Named::Messages(messages) => {
                let distinct: BTreeSet<MessageId> = messages.iter().copied().collect();
                Ok((distinct.into_iter().collect(), Vec::new()))
            }
            Named::Publication(publication) => {
                let draft = self.store.draft(*publication)?;
                let draft = draft.filter(|draft| draft.group == request.group && draft.withdraws.is_none());
                let draft = draft.ok_or(WithdrawError::UnknownPublication(*publication))?;
                if draft.state != DraftState::Flushed {
                    return Err(WithdrawError::NotSent(*publication));
                }
                Ok((draft.messages, Vec::new()))
            }
            Named::Objects(objects) => {
                let mut messages = BTreeSet::new();
                for object in objects {
                    let says = self.store.messages_saying(request.group, object, self.identity.member)?;
                    if says.is_empty() {
                        return Err(WithdrawError::UnknownObject(object.clone()));
                    }
                    messages.extend(says);
                }
                self.saying(messages, |said| objects.iter().any(|named| named == said.id()))
            }
            Named::Versions { object, versions } => {
                let own = self.identity.member;
                let says = self.store.messages_saying_versions(request.group, object, versions, own)?;
                if says.is_empty() {
                    return Err(WithdrawError::UnknownObject(object.clone()));
                }
                let goes = |said: &Object| said.id() == object && versions.contains(said.version());
                self.saying(says.into_iter().collect(), goes)
            }
        }
    }

    /// These messages, and what they say besides the objects that go.
    fn saying(
        &self,
        messages: BTreeSet<MessageId>,
        goes: impl Fn(&Object) -> bool,
    ) -> Result<(Vec<MessageId>, Vec<Rest>), WithdrawError> {
        let mut rests: Vec<Rest> = Vec::new();
        for message in &messages {
            let Some(rest) = self.rest(*message, &goes)? else { continue };
            if rests.first().is_some_and(|first| first.audience != rest.audience) {
                return Err(WithdrawError::Shares {
                    message: *message,
                    others: rest.objects.len(),
                    why: "they and others to be published again are for different readers",
                });
            }
            rests.push(rest);
        }
        Ok((messages.into_iter().collect(), rests))
    }
}
