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

use std::{collections::BTreeSet, time::Duration};

use belfry_proto::{
    crypto::pae::Pae,
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

/// Messages that one draft withdraws: a large publication, and sixteen messages of ours. Whoever names messages names no more;
/// of what is named by object, the others go by further drafts of the same write. Too low ⇒ many drafts, too high ⇒ many
/// messages go out before another draft has its turn.
const MAX_MESSAGES: usize = if cfg!(test) { 8 } else { 16 * MAX_TARGETS };
/// Bytes of objects that go out again by one withdrawal, all its drafts together: they lie in memory until they are durable in
/// one write. Too low ⇒ what many messages share is taken back by naming them, too high ⇒ a withdrawal weighs on memory.
const MAX_AGAIN: usize = if cfg!(test) { 64 * 1024 } else { 64 * 1024 * 1024 };

/// Names a step of a withdrawal in several, by the last one and how many follow this one: whoever has the last finds all.
fn step_before(last: PublicationId, left: u64) -> PublicationId {
    let name = Pae::new("belfry/v1/withdrawal-step").part(last.as_ref()).number(left).hash();
    PublicationId::new(name.first_chunk().copied().unwrap_or_default())
}

fn fault(error: impl std::error::Error + Send + Sync + 'static) -> WithdrawError {
    SubmitError::Fault(Box::new(error)).into()
}

impl Publisher {
    /// Checks a withdrawal and makes it a durable draft; of an object that this member says in more messages than one
    /// draft names, as many drafts as it takes, durable in one write; the last of them is the one to follow.
    ///
    /// # Errors
    /// [`WithdrawError`], also where more than 64 MiB of other objects would go out again; nothing is kept then.
    pub async fn withdraw(&self, request: WithdrawalRequest) -> Result<Withdrawn, WithdrawError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.take_back(&request)).await.map_err(fault)?
    }

    fn take_back(&self, request: &WithdrawalRequest) -> Result<Withdrawn, WithdrawError> {
        let (roster, now) = (self.roster.snapshot(), clock::now());
        let group = request.group;
        if roster.charter().group(group).is_none() {
            return Err(SubmitError::UnknownGroup(group).into());
        }
        if !roster.may_withdraw(self.identity.serial, group, now) {
            return Err(SubmitError::NotAPublisher(group).into());
        }
        if let Some(before) = self.taken_back_before(request)? {
            return Ok(before);
        }
        let targets = self.targets(request)?;
        if targets.is_empty() {
            return Err(WithdrawError::Nothing);
        }
        if targets.len() > MAX_MESSAGES && !request.named.is_by_object() {
            return Err(WithdrawError::TooMany(targets.len()));
        }
        let word = self.word(request, &roster, now);
        for target in &targets {
            self.may_end(&roster, &word, *target)?;
        }
        let remains = match request.mode {
            WithdrawalMode::Lift => Vec::new(),
            _ => self.remains(&roster, request, &targets),
        };
        let publication = PublicationId::new(rand::random());
        let drafts = self.steps(request, &targets, word.ground, publication, now)?;
        let republished = drafts.iter().map(|draft| draft.objects.len()).sum();
        self.keep_all(drafts, None)?;
        Ok(Withdrawn { publication, targets, republished, remains, duplicate: false })
    }

    /// The drafts that end all of these messages, of which the last bears this name, and the key that stands for all.
    fn steps(
        &self,
        request: &WithdrawalRequest,
        targets: &[MessageId],
        ground: WithdrawalGround,
        last: PublicationId,
        now: Timestamp,
    ) -> Result<Vec<DraftRow>, WithdrawError> {
        let steps = targets.chunks(MAX_MESSAGES);
        let count = steps.len() as u64;
        let mut room = MAX_AGAIN;
        (1..)
            .zip(steps)
            .map(|(nth, step)| {
                let (publication, key) = match count - nth {
                    0 => (last, request.scoped_key()),
                    left => (step_before(last, left), None),
                };
                // They go out as they were made.
                let created = now.saturating_add(Duration::from_micros(nth - 1));
                let draft = self.draft_of(request, step, ground, (publication, created), &mut room)?;
                Ok(DraftRow { idempotency_key: key, ..draft })
            })
            .collect()
    }

    /// What the same request was answered, if it was made before.
    fn taken_back_before(&self, request: &WithdrawalRequest) -> Result<Option<Withdrawn>, WithdrawError> {
        let Some(key) = request.scoped_key() else { return Ok(None) };
        let Some(seen) = self.store.by_idempotency(&key)? else { return Ok(None) };
        if seen.digest != request.digest() {
            return Err(SubmitError::IdempotencyMismatch.into());
        }
        let publication = seen.publication;
        let mut steps = vec![seen];
        for left in 1.. {
            let Some(before) = self.store.draft(step_before(publication, left))? else { break };
            steps.push(DraftRow { parts: Vec::new(), ..before });
        }
        let republished = steps.iter().map(|step| step.objects.len()).sum();
        let withdraws = steps.into_iter().rev().filter_map(|step| step.withdraws);
        let targets = withdraws.flat_map(|withdraws| withdraws.targets).collect();
        let remains = Vec::new();
        Ok(Some(Withdrawn { publication, targets, republished, remains, duplicate: true }))
    }

    /// The draft that ends these messages, without a key; what goes out again by it takes of the room.
    fn draft_of(
        &self,
        request: &WithdrawalRequest,
        targets: &[MessageId],
        ground: WithdrawalGround,
        (publication, created): (PublicationId, Timestamp),
        room: &mut usize,
    ) -> Result<DraftRow, WithdrawError> {
        let rest = self.rests(request, targets, room)?;
        let audience = rest.first().map_or(Audience::Group, |rest| rest.audience);
        let objects: Vec<(String, String)> = rest
            .iter()
            .flat_map(|rest| &rest.objects)
            .map(|object| (object.id().to_owned(), object.version().to_owned()))
            .collect();
        let parts = parts(publication, rest)?;
        let messages = parts.len() + targets.len().div_ceil(MAX_TARGETS);
        Ok(DraftRow {
            publication,
            group: request.group,
            audience,
            recipients: Vec::new(),
            part_count: u32::try_from(messages).unwrap_or(u32::MAX),
            parts,
            objects,
            submitter: request.submitter.clone(),
            idempotency_key: None,
            digest: request.digest(),
            created,
            state: if request.hold { DraftState::Held } else { DraftState::Queued },
            messages: Vec::new(),
            key_id: None,
            error: None,
            withdraws: Some(Withdrawal { targets: targets.to_vec(), mode: request.mode, ground }),
            tlp: Tlp::Unspecified,
            reason: None,
        })
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

    /// Messages to end, in the order of their ids where they are found by an object.
    fn targets(&self, request: &WithdrawalRequest) -> Result<Vec<MessageId>, WithdrawError> {
        let own = self.identity.member;
        match &request.named {
            Named::Messages(messages) => {
                let distinct: BTreeSet<MessageId> = messages.iter().copied().collect();
                Ok(distinct.into_iter().collect())
            }
            Named::Publication(publication) => {
                let draft = self.store.draft(*publication)?;
                let draft = draft.filter(|draft| draft.group == request.group && draft.withdraws.is_none());
                let draft = draft.ok_or(WithdrawError::UnknownPublication(*publication))?;
                if draft.state != DraftState::Flushed {
                    return Err(WithdrawError::NotSent(*publication));
                }
                Ok(draft.messages)
            }
            Named::Objects(objects) => {
                let mut messages = BTreeSet::new();
                for object in objects {
                    let says = self.store.messages_saying(request.group, object, own, usize::MAX)?;
                    if says.is_empty() {
                        return Err(WithdrawError::UnknownObject(object.clone()));
                    }
                    messages.extend(says);
                }
                Ok(messages.into_iter().collect())
            }
            Named::Versions { object, versions } => {
                let says = self.store.messages_saying_versions(request.group, object, versions, own)?;
                if says.is_empty() {
                    return Err(WithdrawError::UnknownObject(object.clone()));
                }
                Ok(says)
            }
        }
    }

    /// What these messages say besides the objects that go; nothing goes out again of what is named whole.
    fn rests(
        &self,
        request: &WithdrawalRequest,
        messages: &[MessageId],
        room: &mut usize,
    ) -> Result<Vec<Rest>, WithdrawError> {
        let mut rests: Vec<Rest> = Vec::new();
        if !request.named.is_by_object() {
            return Ok(rests);
        }
        for message in messages {
            let goes = |said: &Object| request.named.means(said);
            let Some(rest) = self.rest(*message, goes)? else { continue };
            if rests.first().is_some_and(|first| first.audience != rest.audience) {
                return Err(WithdrawError::Shares {
                    message: *message,
                    others: rest.objects.len(),
                    why: "they and others to be published again are for different readers",
                });
            }
            *room = room.checked_sub(rest.bytes()).ok_or(WithdrawError::TooMuchAgain)?;
            rests.push(rest);
        }
        Ok(rests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        publish::{
            drafts::MAX_HELD,
            flush::tests::{flush_all, flusher},
            submission::Submission,
            submit::tests::publisher,
        },
        store::Change,
        testing::{CIDR, Coalition, Site},
    };

    const OBJECT: &str = "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f";

    fn version(n: usize) -> Submission {
        version_beside(n, &serde_json::json!({}))
    }

    /// A version of the object in one message with another object that says this as well.
    fn version_beside(n: usize, more: &serde_json::Value) -> Submission {
        let indicator = |id: &str| {
            serde_json::json!({
                "type": "indicator", "spec_version": "2.1", "id": id, "created": "2026-01-01T00:00:00.000Z",
                "modified": format!("2026-01-01T00:00:00.{n:03}Z"), "pattern": "[ipv4-addr:value = '198.51.100.7']",
                "pattern_type": "stix", "valid_from": "2026-01-01T00:00:00Z",
            })
        };
        let mut other = indicator(&format!("indicator--00000000-0000-4000-8000-{n:012}"));
        other.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let bundle = serde_json::json!({
            "type": "bundle", "id": "bundle--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3e",
            "objects": [indicator(OBJECT), other],
        });
        Submission { bundle: bundle.to_string().into_bytes(), ..Submission::of(CIDR, "siem") }
    }

    fn request(key: &str) -> WithdrawalRequest {
        WithdrawalRequest {
            group: CIDR,
            named: Named::Objects(vec![OBJECT.to_owned()]),
            mode: WithdrawalMode::Retract,
            ground: None,
            idempotency_key: Some(key.to_owned()),
            submitter: "siem".to_owned(),
            hold: false,
        }
    }

    #[tokio::test]
    async fn what_a_member_says_in_more_messages_than_one_draft_names_it_takes_back_whole() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let publisher = publisher(&alice, &site);
        let mut flusher = flusher(&site);
        let count = 2 * MAX_MESSAGES + 1;
        for n in 0..count {
            publisher.submit(version(n)).await.unwrap();
        }
        flush_all(&mut flusher).await;
        let taken = publisher.withdraw(request("all")).await.unwrap();
        assert_eq!((taken.targets.len(), taken.republished, taken.duplicate), (count, count, false));
        let drafts: Vec<DraftRow> = site
            .store
            .queued(count)
            .unwrap()
            .into_iter()
            .map(|queued| site.store.draft(queued).unwrap().unwrap())
            .collect();
        let named: Vec<usize> =
            drafts.iter().map(|draft| draft.withdraws.as_ref().unwrap().targets.len()).collect();
        assert_eq!(named, [MAX_MESSAGES, MAX_MESSAGES, 1], "in steps");
        assert_eq!(
            drafts.last().map(|draft| draft.publication),
            Some(taken.publication),
            "followed by the last"
        );
        let again = publisher.withdraw(request("all")).await.unwrap();
        assert!(again.duplicate && again.publication == taken.publication);
        assert_eq!(
            (&again.targets, again.republished),
            (&taken.targets, count),
            "the answer is that of all steps"
        );
        flush_all(&mut flusher).await;
        let now = clock::now();
        let work = site.store.to_reweigh(now, 2 * count).unwrap();
        site.store.commit(Change::Reweigh { work, now }).await.unwrap();
        let gone = publisher.withdraw(request("again")).await;
        assert!(matches!(gone, Err(WithdrawError::UnknownObject(_))), "nothing of it is left: {gone:?}");
        let many = WithdrawalRequest { named: Named::Messages(taken.targets), ..request("by id") };
        assert!(matches!(publisher.withdraw(many).await, Err(WithdrawError::TooMany(_))));
    }

    #[tokio::test]
    async fn a_withdrawal_by_which_too_much_would_go_out_again_is_refused_and_goes_by_messages_or_versions() {
        const TEXT: usize = 6_000;
        const COUNT: usize = MAX_AGAIN / TEXT + 1;
        // What goes out again by the first draft has room, and that of all of them has not.
        const { assert!(MAX_MESSAGES * (TEXT + 1_000) < MAX_AGAIN && COUNT > MAX_MESSAGES) };
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let publisher = publisher(&alice, &site);
        let mut flusher = flusher(&site);
        for n in 0..COUNT {
            let more = serde_json::json!({ "description": "x".repeat(TEXT) });
            publisher.submit(version_beside(n, &more)).await.unwrap();
        }
        flush_all(&mut flusher).await;
        let refused = publisher.withdraw(request("all")).await;
        let error = refused.unwrap_err();
        assert!(matches!(error, WithdrawError::TooMuchAgain), "{error:?}");
        assert!(error.to_string().contains("name messages or versions"), "{error}");
        assert_eq!(site.store.queued(10).unwrap(), [], "nor a first draft");
        let some = (0..3).map(|n| format!("2026-01-01T00:00:00.{n:03}Z")).collect();
        let some = Named::Versions { object: OBJECT.to_owned(), versions: some };
        let some =
            publisher.withdraw(WithdrawalRequest { named: some, ..request("versions") }).await.unwrap();
        assert_eq!((some.targets.len(), some.republished), (3, 3));
        // Whoever names messages takes back all that they say.
        let rest = WithdrawalRequest { named: Named::Messages(some.targets), ..request("messages") };
        assert_eq!(publisher.withdraw(rest).await.unwrap().republished, 0);
    }

    #[tokio::test]
    async fn of_a_withdrawal_in_several_steps_all_are_kept_or_none() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let publisher = publisher(&alice, &site);
        let mut flusher = flusher(&site);
        for n in 0..2 * MAX_MESSAGES + 1 {
            publisher.submit(version(n)).await.unwrap();
        }
        let one = site.store.draft(site.store.queued(1).unwrap()[0]).unwrap().unwrap();
        flush_all(&mut flusher).await;
        let held = |key: &str| WithdrawalRequest { hold: true, ..request(key) };
        // Two places are left, and three steps need one each.
        let others: Vec<DraftRow> = (2..MAX_HELD as u128)
            .map(|n| PublicationId::new(n.to_be_bytes()))
            .map(|publication| DraftRow { publication, state: DraftState::Held, ..one.clone() })
            .collect();
        let places = publisher.holding.take(&site.store, &others).unwrap();
        let refused = publisher.withdraw(held("held")).await;
        assert!(
            matches!(&refused, Err(WithdrawError::Submit(SubmitError::TooManyHeld { .. }))),
            "{refused:?}"
        );
        assert_eq!(site.store.held_of("siem").unwrap().len(), 0, "nor a first step");
        drop(places);
        // However many come at once under one key.
        let (a, b) = tokio::join!(publisher.withdraw(held("held")), publisher.withdraw(held("held")));
        assert!(a.is_ok() || b.is_ok(), "{a:?} {b:?}");
        assert_eq!(site.store.held_of("siem").unwrap().len(), 3, "{a:?} {b:?}");
    }
}
