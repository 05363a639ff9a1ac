//! Changes that members propose to each other's objects: what may be proposed to whom, and what was.
//!
//! ```text
//! STIX id ─claims─▶ the claim that is shown ─is it another member's?─▶ Shown
//! notes ─admit─▶ Shown ─Proposal::read─▶ by us, or of what is ours? ─the owner's opinion on it─▶ ProposalView
//! ```
//!
//! Nothing of it is kept apart: a proposal is its note, an answer the owner's opinion on that note, and what was taken
//! back is gone like everything that is withdrawn.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use belfry_proto::{
    id::{GroupId, MemberId},
    schema::Pap,
    stix::{
        egress::Marks,
        indicator::{OPINION_ON, OpinionObject},
        proposal::Proposal,
        score::Opinion,
    },
    time::Timestamp,
};
use serde_json::{Map, Value};

use super::{
    Inner, Principal, Query, QueryError, Readable, Shown, authorise::admit, claims::Claim, said::newest_about,
};
use crate::store::Looks;

/// Notes of one group that are looked at in one call, the newest. Too low ⇒ proposals in a group full of notes are not
/// found, too high ⇒ one question reads for seconds.
const EXAMINED: usize = 20_000;
/// Bytes of them.
const READ: usize = 128 << 20;
/// Bytes of what is told in one call, and of the objects that it is of; each group has its share.
const HELD: usize = 16 << 20;

/// How far a proposal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody answered.
    Open,
    /// Its owner took it over.
    Accepted,
    /// Its owner did not.
    Declined,
    /// Whoever made it took it back.
    Withdrawn,
}

impl Standing {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Open, Self::Accepted, Self::Declined, Self::Withdrawn];

    /// The word for API and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A proposal that is this member's, or is made to it.
#[derive(Clone, Debug)]
pub struct ProposalView {
    /// The newest version of the note.
    pub note: Shown,
    /// What it proposes.
    pub proposal: Proposal,
    /// The object as its owner says it now; none if it is gone, or not for this token.
    pub object: Option<Arc<Shown>>,
    /// Whether this node's member made it; else it is made to this member.
    pub is_ours: bool,
    /// How far it is.
    pub standing: Standing,
    /// What its owner said, and when.
    pub answer: Option<(String, Timestamp)>,
}

impl ProposalView {
    /// Whether the object is no longer the version that this was made of.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.object.as_ref().is_none_or(|object| object.version() != self.proposal.version)
    }

    /// What the object says now of each property that would change.
    #[must_use]
    pub fn current(&self) -> Map<String, Value> {
        let said = self.object.as_ref().and_then(|object| serde_json::from_slice(object.raw()).ok());
        let mut said: Map<String, Value> = said.unwrap_or_default();
        let change = &self.proposal.change;
        said.retain(|name, _| change.set.contains_key(name) || change.remove.contains(name));
        said
    }

    /// Whether it may travel less far, or be used for less, than the object it would change, and so than its next version.
    #[must_use]
    pub fn is_marked_narrower(&self, now: Timestamp) -> bool {
        self.object.as_ref().is_some_and(|object| is_narrower(&self.note.marks(), &object.marks(), now))
    }
}

/// That it is sealed to somebody is not asked: every proposal is.
fn is_narrower(note: &Marks<'_>, object: &Marks<'_>, now: Timestamp) -> bool {
    let pap = note.pap.filter(|pap| *pap != Pap::Clear);
    note.tlp > object.tlp
        || pap.is_some_and(|pap| object.pap.is_none_or(|of| i32::from(pap) > i32::from(of)))
        || note.embargo_until.filter(|until| *until > now) > object.embargo_until
        || note.terms.iter().any(|term| !object.terms.contains(term))
}

/// What of a group's proposals is told in one call.
#[derive(Clone, Copy)]
struct Bounds {
    wanted: Option<Standing>,
    /// Those that came before.
    before: Option<Timestamp>,
    most: usize,
    /// Bytes of them.
    share: usize,
}

/// What one call found out by now.
struct Search<'a> {
    looks: Looks<'a>,
    /// Notes by their group, member and id: each has one newest version.
    notes: HashSet<(GroupId, MemberId, String)>,
    /// What notes are of, and whether those are this member's own; none for what nothing is told of.
    objects: HashMap<(GroupId, String, bool), Option<Arc<Shown>>>,
    /// Bytes of both.
    held: usize,
}

impl<'a> Search<'a> {
    fn new(inner: &'a Inner) -> Self {
        Self { looks: inner.store.looks(), notes: HashSet::new(), objects: HashMap::new(), held: 0 }
    }
}

impl Query {
    /// This node's member; none without a certificate.
    #[must_use]
    pub fn own_member(&self) -> Option<MemberId> {
        self.inner.own_member()
    }

    /// The claim of an object that is shown, in each group that knows it: what somebody may propose a change of.
    ///
    /// # Errors
    /// The store.
    pub async fn proposable(
        &self,
        principal: &Principal,
        groups: Vec<Readable>,
        object: String,
    ) -> Result<Vec<Shown>, QueryError> {
        let principal = principal.clone();
        self.read(move |inner| {
            let (mut found, mut looks) = (Vec::new(), inner.store.looks());
            for group in groups {
                found.extend(inner.object_in_force(&mut looks, &principal, group.group(), &object)?);
            }
            found.retain(super::sightings::is_sightable);
            Ok(found)
        })
        .await
    }

    /// Proposals by this member and to it, the newest first, at most so many that came before a time, or of all; and, if there
    /// may be more, the time before which they came. Such a page may be empty, where many notes were looked at in vain.
    ///
    /// # Errors
    /// The store.
    pub async fn proposals(
        &self,
        principal: &Principal,
        groups: Vec<Readable>,
        wanted: Option<Standing>,
        (before, most): (Option<Timestamp>, usize),
    ) -> Result<(Vec<ProposalView>, Option<Timestamp>), QueryError> {
        let principal = principal.clone();
        self.read(move |inner| {
            let (mut found, mut cut) = (Vec::new(), None);
            let share = HELD / groups.len().max(1);
            for group in groups {
                let bounds = Bounds { wanted, before, most, share };
                cut = cut.max(inner.proposals(&principal, group.group(), bounds, &mut found)?);
            }
            // Below that, one of the groups was not looked through.
            found.retain(|one| cut.is_none_or(|cut| one.note.date_added() >= cut));
            found.sort_by_key(|one| std::cmp::Reverse(one.note.date_added()));
            // Groups may have one at the same time, and a page ends between times.
            let end = found.get(most.saturating_sub(1)).map(|last| last.note.date_added());
            let kept =
                end.map_or(found.len(), |end| found.partition_point(|one| one.note.date_added() >= end));
            if kept < found.len() {
                found.truncate(kept);
                cut = end;
            }
            Ok((found, cut))
        })
        .await
    }

    /// One of them, by its note's id.
    ///
    /// # Errors
    /// The store.
    pub async fn proposal(
        &self,
        principal: &Principal,
        groups: Vec<Readable>,
        note: String,
    ) -> Result<Option<ProposalView>, QueryError> {
        let principal = principal.clone();
        self.read(move |inner| {
            let mut search = Search::new(inner);
            for group in groups {
                // Others may use its id: each member's note is one of its own.
                let said = search.looks.versions_of(group.group(), &note)?;
                for row in said.rows {
                    let Some(row) = admit(&principal, row?) else { continue };
                    if let Some(found) = inner.proposed(&mut search, &principal, row)? {
                        return Ok(Some(found));
                    }
                }
            }
            Ok(None)
        })
        .await
    }
}

impl Inner {
    fn proposals(
        &self,
        principal: &Principal,
        group: GroupId,
        Bounds { wanted, before, most, share }: Bounds,
        found: &mut Vec<ProposalView>,
    ) -> Result<Option<Timestamp>, QueryError> {
        let (mut search, mut told, mut read) = (Search::new(self), 0_usize, 0_usize);
        self.store.each_newest(group, "note", (before, EXAMINED), |row| {
            read = read.saturating_add(row.raw.len());
            let Some(note) = admit(principal, row) else { return Ok(ControlFlow::Continue(())) };
            let one = self.proposed(&mut search, principal, note)?;
            // One whose newest version came later was told by that.
            let is_due = |one: &ProposalView| before.is_none_or(|before| one.note.date_added() < before);
            let one = one.filter(|one| wanted.is_none_or(|wanted| one.standing == wanted) && is_due(one));
            if let Some(one) = one {
                search.held = search.held.saturating_add(one.note.raw().len());
                found.push(one);
                told += 1;
            }
            let is_enough = told > most || search.held >= share || read >= READ;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    }

    /// What a note proposes by its newest version, if it is this member's or of what is this member's; once a search.
    fn proposed(
        &self,
        search: &mut Search<'_>,
        principal: &Principal,
        row: Shown,
    ) -> Result<Option<ProposalView>, QueryError> {
        let (Some(own), true) = (self.own_member(), row.is_for_named_recipients()) else { return Ok(None) };
        let Some(read) = Proposal::read(row.raw()) else { return Ok(None) };
        let key = (row.group(), row.member(), row.id().to_owned());
        if !search.notes.insert(key) {
            return Ok(None);
        }
        let Some((note, proposal)) = self.newest_note(&mut search.looks, principal, row, read)? else {
            return Ok(None);
        };
        let is_ours = note.member() == own;
        let Some(object) = self.object_of(search, principal, (note.group(), &proposal.of, is_ours), own)?
        else {
            return Ok(None);
        };
        let owner = object.as_ref().map(|object| object.member());
        let object = object.filter(|object| !object.is_revoked());
        let answered = newest_about(&mut search.looks, principal, note.group(), OPINION_ON, note.id())?;
        let answered = answered.filter(|answer| Some(answer.member()) == owner).filter_map(|answer| {
            let said = OpinionObject::read(answer.raw())?;
            let standing = match said.opinion()? {
                Opinion::Agree | Opinion::StronglyAgree => Standing::Accepted,
                Opinion::Disagree | Opinion::StronglyDisagree => Standing::Declined,
                Opinion::Neutral => return None,
            };
            Some((answer.version_time(), standing, said.explanation))
        });
        let answer = answered.max_by_key(|(at, ..)| *at);
        let standing = match &answer {
            Some((_, standing, _)) => *standing,
            None if note.is_revoked() => Standing::Withdrawn,
            None => Standing::Open,
        };
        let answer = answer.map(|(at, _, said)| (said, at));
        Ok(Some(ProposalView { note, proposal, object, is_ours, standing, answer }))
    }

    /// The newest version of a member's note, and what it proposes: of one that was taken back, what was proposed last.
    /// None where the newest proposes nothing any more, or not to this member alone.
    fn newest_note(
        &self,
        looks: &mut Looks<'_>,
        principal: &Principal,
        row: Shown,
        read: Proposal,
    ) -> Result<Option<(Shown, Proposal)>, QueryError> {
        let mut claims = Vec::new();
        for other in looks.versions_by(row.group(), row.id(), row.member())? {
            let other = admit(principal, other?).filter(|other| other.member() == row.member());
            claims.extend(other.map(|other| Claim::of(&other)));
        }
        // Of two under one version it stays the one that came first: what was looked at is not exchanged.
        claims.sort_by_key(|claim| (claim.time(), std::cmp::Reverse(claim.added())));
        let newest = match claims.pop().filter(|newest| newest.added() != row.date_added()) {
            Some(newest) => self.opened(looks, principal, newest)?,
            None => None,
        };
        let newest = newest.unwrap_or(row);
        let said = Proposal::read(newest.raw());
        if newest.is_revoked() {
            let mut before = said;
            while before.is_none()
                && let Some(claim) = claims.pop()
            {
                before = self.opened(looks, principal, claim)?.and_then(|row| Proposal::read(row.raw()));
            }
            return Ok(Some((newest, before.unwrap_or(read))));
        }
        Ok(said.filter(|_| newest.is_for_named_recipients()).map(|said| (newest, said)))
    }

    /// The object in force that a note is of, if there is one; nothing at all where the note is neither by this member
    /// nor of what is this member's: what nobody may answer is not listed.
    #[allow(clippy::option_option)]
    fn object_of(
        &self,
        search: &mut Search<'_>,
        principal: &Principal,
        (group, id, is_ours): (GroupId, &str, bool),
        own: MemberId,
    ) -> Result<Option<Option<Arc<Shown>>>, QueryError> {
        let key = (group, id.to_owned(), is_ours);
        let object = match search.objects.get(&key) {
            Some(known) => known.clone(),
            None => {
                let object = self.object_in_force(&mut search.looks, principal, group, id)?;
                let object = object.filter(|object| is_ours || object.member() == own).map(Arc::new);
                let bytes = object.as_ref().map_or(0, |object| object.raw().len());
                search.held = search.held.saturating_add(bytes);
                search.objects.insert(key, object.clone());
                object
            }
        };
        Ok((is_ours || object.is_some()).then_some(object))
    }
}
