//! Held drafts: made by machines, released by people.
//!
//! Sharing is voluntary (NIS2 29(1)): what a tool hands in with a token that only drafts, or what is imported, lies
//! here sealed until a person has looked at it. A release passes the guards once more, because what they know may have
//! changed, and so may who reads.

use std::collections::BTreeMap;

use belfry_proto::{
    envelope::payload,
    guard::{Going, Report, Weight},
    id::{GroupId, MemberId, MessageId, PublicationId},
    limits::MAX_BUNDLE,
    schema::{Audience, InformationClass, Purpose},
    stix::{
        indicator::{OPINION_ON, OpinionObject},
        marking::Tlp,
        object::Object,
        score::Opinion,
    },
    time::Timestamp,
};

use super::{Publisher, again::Own, known::of_node, passing::Passing, submission::SubmitError};
use crate::{
    clock,
    feed::Notice,
    store::{Change, Committed, DraftRow, DraftState, Given},
};

pub use crate::store::Basis;

/// Held drafts of one token or source. Too low ⇒ a first pull of a large feed has to wait for a person in between; too
/// high ⇒ a tool that errs buries what others made under more than anybody looks through.
pub const MAX_HELD: usize = 1_000;

/// A held draft, without its content.
#[derive(Clone, Debug)]
pub struct HeldDraft {
    /// Names it.
    pub publication: PublicationId,
    /// Where to.
    pub group: GroupId,
    /// Who alone could open it; empty is the whole group.
    pub recipients: Vec<MemberId>,
    /// Whether supervisors are left out.
    pub without_supervisors: bool,
    /// Token name it was submitted with.
    pub submitter: String,
    /// When it became durable.
    pub accepted: Timestamp,
    /// Messages it would be.
    pub parts: u32,
    /// Objects in it by type, told by their ids; of what takes back, where it is opened, those that it takes back.
    pub objects: BTreeMap<String, usize>,
    /// Messages that it takes back.
    pub withdraws: usize,
    /// Why it goes out although a guard objects, if that was said already.
    pub reason: Option<String>,
    /// The proposal that it is the next version by.
    pub accepts: Option<String>,
}

/// What the next version that an accepted proposal makes is known by, before the proposal's id.
pub const ACCEPTED: &str = "accepted:";
/// As [`ACCEPTED`], of what its author is answered.
pub const ANSWER: &str = "answer:";

/// A held draft with all that a person decides by.
#[derive(Clone, Debug)]
pub struct OpenDraft {
    /// Without the content.
    pub draft: HeldDraft,
    /// Under which marking.
    pub tlp: Tlp,
    /// Its aim; none of what takes back.
    pub purpose: Option<Purpose>,
    /// Its information classes.
    pub classes: Vec<InformationClass>,
    /// The objects; of what takes back, those that it takes back.
    pub objects: Vec<Object>,
    /// What the guards say of it now.
    pub report: Report,
    /// What was known, before this was read, of the proposal that it takes over and of the object.
    pub basis: Option<Basis>,
}

impl Publisher {
    /// Held drafts of some groups, oldest first, at most so many, from the first or behind a position; and the position of
    /// the last one, if there are more.
    ///
    /// # Errors
    /// [`SubmitError::Fault`].
    pub async fn held(
        &self,
        of: impl Fn(GroupId) -> bool + Send + 'static,
        after: Option<Vec<u8>>,
        most: usize,
    ) -> Result<(Vec<HeldDraft>, Option<Vec<u8>>), SubmitError> {
        let store = self.store.clone();
        blocking(move || {
            let mut found = Vec::new();
            let (held_drafts, next) = store.held_drafts(of, after.as_deref(), most)?;
            for publication in held_drafts {
                // One that was decided meanwhile is no longer held.
                found.extend(
                    store
                        .draft(publication)?
                        .filter(|row| row.state == DraftState::Held)
                        .map(|row| held(&row)),
                );
            }
            Ok((found, next))
        })
        .await
    }

    /// One held draft with its content.
    ///
    /// # Errors
    /// [`SubmitError::NotHeld`], or a fault.
    pub async fn held_draft(&self, publication: PublicationId) -> Result<OpenDraft, SubmitError> {
        let this = self.clone();
        blocking(move || this.open(publication).map(|(_, open, _)| open)).await
    }

    /// Lets a held draft go out; one that takes over a proposal, on the basis on which it was found to do so still. A reason
    /// said before stays unless another is given; but one that was said to this node alone, before the charter asked for
    /// reasons, is told to nobody, and another one is needed. Returns the reason that is kept; nobody weighs one for what
    /// takes back, and so none is kept of that.
    ///
    /// # Errors
    /// Not held, no longer a publisher or reader, overtaken, or what the guards say; it stays held then.
    pub async fn release(
        &self,
        publication: PublicationId,
        reason: Option<String>,
        basis: Option<Basis>,
    ) -> Result<Option<String>, SubmitError> {
        let this = self.clone();
        blocking(move || this.let_go(publication, reason, basis)).await
    }

    /// Takes a held draft away. Its idempotency key is free again: the same file may come another time.
    ///
    /// # Errors
    /// [`SubmitError::NotHeld`], or a fault.
    pub async fn discard(&self, publication: PublicationId) -> Result<(), SubmitError> {
        let this = self.clone();
        blocking(move || {
            let row = this.row(publication)?;
            let change = Change::DraftDiscarded { publication };
            this.store.commit_blocking(change).map_err(|error| SubmitError::Fault(Box::new(error)))?;
            this.holding.gone(&row.submitter, publication);
            Ok(())
        })
        .await
    }

    fn let_go(
        &self,
        publication: PublicationId,
        reason: Option<String>,
        basis: Option<Basis>,
    ) -> Result<Option<String>, SubmitError> {
        let (row, open, beside) = self.open(publication)?;
        if row.withdraws.is_some() {
            return self.let_take_back(row).map(|()| None);
        }
        let turn = self.is_in_turn(&row, &open.objects)?;
        let given = turn.map(Given::Goes).or(basis.map(Given::Holds));
        if open.draft.accepts.is_some() && given.is_none() {
            // Nobody looked whether it still does.
            return Err(SubmitError::Overtaken(publication));
        }
        let (roster, now) = (self.roster.snapshot(), clock::now());
        let group = roster.charter().group(row.group).ok_or(SubmitError::UnknownGroup(row.group))?;
        self.may_publish(&roster, group, now)?;
        let readers = roster.readers(row.group, Audience::Group, now);
        if let Some(gone) =
            row.recipients.iter().find(|id| readers.iter().all(|reader| reader.member != **id))
        {
            return Err(SubmitError::NotAReader(*gone));
        }
        // In the message, too, where the charter asks for it; what it asked when the draft was made may have changed. For
        // whom a draft on behalf of a member is, nobody knows here any more: no reason goes with it that might say so.
        let is_objected = open.report.gravest() == Some(Weight::Reason);
        let is_told = is_objected && roster.charter().asks_reasons() && !beside.is_on_behalf;
        let before = row.reason.as_deref().filter(|_| !is_told || beside.tells_reason);
        let reason = self.guards.weigh(&open.report, &open.objects, reason.as_deref().or(before))?;
        if !self.store.has_room() {
            return Err(SubmitError::NoRoom);
        }
        let told = reason.as_deref().filter(|_| is_told).unwrap_or_default();
        let parts = row.parts.iter().map(|part| payload::with_reason(part, told)).collect::<Result<_, _>>();
        let parts = parts.map_err(|error| super::read::rule("reason", &error.to_string()))?;
        let change = Change::DraftReleased { publication, reason: reason.clone(), parts, given };
        self.released(change, publication, &row.submitter)?;
        Ok(reason)
    }

    /// The word and what it rests on are one commit: nothing comes between.
    fn released(
        &self,
        change: Change,
        publication: PublicationId,
        submitter: &str,
    ) -> Result<(), SubmitError> {
        let committed = self.store.commit_blocking(change);
        if committed.map_err(|error| SubmitError::Fault(Box::new(error)))? == Committed::Outdated {
            return Err(SubmitError::Overtaken(publication));
        }
        self.holding.gone(submitter, publication);
        self.feed.notify(Notice::DraftQueued);
        Ok(())
    }

    /// What was out before needs no guard, and nobody's reason.
    fn let_take_back(&self, row: DraftRow) -> Result<(), SubmitError> {
        if !self.roster.snapshot().may_withdraw(self.identity.serial, row.group, clock::now()) {
            return Err(SubmitError::NotAPublisher(row.group));
        }
        if !self.store.has_room() {
            return Err(SubmitError::NoRoom);
        }
        let DraftRow { publication, reason, parts, submitter, .. } = row;
        let change = Change::DraftReleased { publication, reason, parts, given: None };
        self.released(change, publication, &submitter)
    }

    /// Nobody is told that a proposal was taken over before the version that does so goes out: that version's draft.
    fn is_in_turn(&self, row: &DraftRow, objects: &[Object]) -> Result<Option<PublicationId>, SubmitError> {
        let agrees = objects.iter().filter_map(|object| OpinionObject::read(object.raw())?.opinion());
        let is_accepted = agrees.eq([Opinion::Agree]);
        let Some(proposal) = of_proposal(row, ANSWER).filter(|_| is_accepted) else { return Ok(None) };
        let version = self.store.by_idempotency(&of_node(&format!("{ACCEPTED}{proposal}")))?;
        match version.map(|version| (version.state, version.publication)) {
            Some((DraftState::Queued | DraftState::Flushed, version)) => Ok(Some(version)),
            Some((DraftState::Held, version)) => Err(SubmitError::VersionHeld(version)),
            Some((DraftState::Refused, _)) | None => Err(SubmitError::VersionGone),
        }
    }

    fn row(&self, publication: PublicationId) -> Result<DraftRow, SubmitError> {
        let row = self.store.draft(publication)?;
        row.filter(|row| row.state == DraftState::Held).ok_or(SubmitError::NotHeld(publication))
    }

    fn open(&self, publication: PublicationId) -> Result<(DraftRow, OpenDraft, Beside), SubmitError> {
        let row = self.row(publication)?;
        if let Some(withdrawal) = &row.withdraws {
            let open = self.open_withdrawal(&row, &withdrawal.targets);
            return Ok((row, open, Beside { is_on_behalf: false, tells_reason: false }));
        }
        // Taken first: what changes from here on is seen when it is released.
        let known = |note| {
            let objects: Vec<&str> = row.objects.iter().map(|(id, _)| id.as_str()).collect();
            self.known_of(row.group, &objects, Some(note))
        };
        let basis = of_proposal(&row, ACCEPTED).map(known).transpose()?;
        let mut objects = Vec::new();
        let mut beside = Beside { is_on_behalf: false, tells_reason: true };
        let mut said = None;
        for part in &row.parts {
            let part = payload::parse(part).map_err(|error| SubmitError::Fault(Box::new(error)))?;
            objects.extend(part.objects);
            beside.is_on_behalf |= part.on_behalf;
            beside.tells_reason &= part.reason.is_some();
            said.get_or_insert((part.tlp, part.purpose, part.classes, part.class_label, part.handling));
        }
        let (tlp, purpose, classes, label, handling) = said.ok_or(SubmitError::NotHeld(publication))?;
        let is_near_miss = classes.contains(&InformationClass::NearMiss);
        let report = self.guards.examine(&objects, Going { tlp, is_default: false, is_near_miss });
        let embargo = handling.as_ref().and_then(|handling| handling.embargo_until);
        let embargo = embargo.map_or(0, Timestamp::as_micros);
        let terms = handling.map(|handling| handling.terms).unwrap_or_default();
        let terms: Vec<String> = terms.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let report = self.guards.examine_stated(report, &label.unwrap_or_default(), &terms);
        let roster = self.roster.snapshot();
        let released = Passing::released(row.group, tlp, embargo);
        let report = self.passing(report, &roster, released, &objects, clock::now())?;
        let draft = held(&row);
        let purpose = Some(purpose);
        Ok((row, OpenDraft { draft, tlp, purpose, classes, objects, report, basis }, beside))
    }

    /// What is known now of an object, and, where it is decided on a proposal to change it, of that note and its answers.
    ///
    /// # Errors
    /// A fault.
    pub async fn basis(
        &self,
        group: GroupId,
        object: String,
        note: Option<String>,
    ) -> Result<Basis, SubmitError> {
        let this = self.clone();
        blocking(move || this.known_of(group, &[object.as_str()], note.as_deref())).await
    }

    fn known_of(&self, group: GroupId, objects: &[&str], note: Option<&str>) -> Result<Basis, SubmitError> {
        let objects: Vec<&str> = objects.iter().copied().chain(note).collect();
        let answers: Vec<(&str, &str)> = note.into_iter().map(|note| (OPINION_ON, note)).collect();
        Ok(self.store.basis(group, &objects, &answers)?)
    }

    /// A draft that takes back, with what it takes back as far as that opens here and one publication could hold it.
    fn open_withdrawal(&self, row: &DraftRow, targets: &[MessageId]) -> OpenDraft {
        let (mut objects, mut bytes): (Vec<Object>, usize) = (Vec::new(), 0);
        let (mut tlp, mut classes): (Option<Tlp>, Vec<InformationClass>) = (None, Vec::new());
        for target in targets {
            let Ok(Some(Own { publication: Some(said), .. })) = self.own(*target) else { continue };
            bytes = said.objects.iter().fold(bytes, |bytes, object| bytes.saturating_add(object.raw().len()));
            if bytes > MAX_BUNDLE {
                break;
            }
            tlp = tlp.max(Some(said.tlp));
            classes.extend(said.classes);
            objects.extend(said.objects);
        }
        classes.sort_unstable();
        classes.dedup();
        let draft = HeldDraft { objects: by_type(objects.iter().map(Object::id)), ..held(row) };
        // What nothing is known of is as closed as can be.
        let tlp = tlp.unwrap_or(Tlp::Red);
        OpenDraft { draft, tlp, purpose: None, classes, objects, report: Report::default(), basis: None }
    }
}

/// What the messages of a held draft say beside the objects.
struct Beside {
    /// They are on behalf of a member that is not named.
    is_on_behalf: bool,
    /// They tell readers the reason: whoever gave it knew that it would go along.
    tells_reason: bool,
}

/// How many there are of each type, told by their ids.
fn by_type<'a>(ids: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for id in ids {
        let kind = id.split_once("--").map_or("", |(kind, _)| kind);
        *counts.entry(kind.to_owned()).or_default() += 1;
    }
    counts
}

fn held(row: &DraftRow) -> HeldDraft {
    HeldDraft {
        publication: row.publication,
        group: row.group,
        recipients: row.recipients.clone(),
        without_supervisors: row.audience == Audience::WithoutSupervisors,
        submitter: row.submitter.clone(),
        accepted: row.created,
        parts: row.part_count,
        objects: by_type(row.objects.iter().map(|(id, _)| id.as_str())),
        withdraws: row.withdraws.as_ref().map_or(0, |withdrawal| withdrawal.targets.len()),
        reason: row.reason.clone(),
        accepts: of_proposal(row, ACCEPTED).map(str::to_owned),
    }
}

/// The proposal that a draft answers, by its key.
fn of_proposal<'a>(row: &'a DraftRow, kind: &str) -> Option<&'a str> {
    row.idempotency_key.as_deref()?.strip_prefix(&of_node(kind))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SubmitError> + Send + 'static,
) -> Result<T, SubmitError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SubmitError::Fault(Box::new(error)))?
}
