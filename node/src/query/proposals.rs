//! Changes that members propose to each other's objects: what may be proposed to whom, and what was.
//!
//! ```text
//! STIX id ─claims─▶ the claim that is shown ─is it another member's?─▶ Shown
//! notes ─admit─▶ Shown ─Proposal::read─▶ by us, or of what is ours? ─the owner's opinion on it─▶ ProposalView
//! ```
//!
//! Nothing of it is kept apart: a proposal is its note, an answer the owner's opinion on that note, and what was taken
//! back is gone like everything that is withdrawn.

use belfry_proto::{
    id::{GroupId, MemberId},
    stix::{
        indicator::{OPINION_ON, OpinionObject},
        proposal::Proposal,
        score::Opinion,
    },
    time::Timestamp,
};
use serde_json::{Map, Value};

use super::{
    Inner, Principal, Query, QueryError, Readable, Shown, authorise::admit, claims, said::newest_about,
};
use crate::store::{Looks, PageQuery};

/// Rows of one stretch.
const STRETCH: usize = 1_000;
/// Notes looked at in one call, over all groups. Too low ⇒ proposals in a group full of notes are not found, too high ⇒ one
/// question reads for seconds.
const EXAMINED: usize = 50_000;
/// Proposals told in one call, the newest.
const TOLD: usize = 1_000;

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
    /// The note.
    pub note: Shown,
    /// What it proposes.
    pub proposal: Proposal,
    /// The object as its owner says it now; none if it is gone, or not for this token.
    pub object: Option<Shown>,
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
            let mut found = Vec::new();
            for group in groups {
                found.extend(inner.object_in_force(&principal, group.group(), &object)?);
            }
            found.retain(super::sightings::is_sightable);
            Ok(found)
        })
        .await
    }

    /// Proposals by this member and to it, the newest first, and whether there are more than are told.
    ///
    /// # Errors
    /// The store.
    pub async fn proposals(
        &self,
        principal: &Principal,
        groups: Vec<Readable>,
        wanted: Option<Standing>,
    ) -> Result<(Vec<ProposalView>, bool), QueryError> {
        let principal = principal.clone();
        self.read(move |inner| {
            let (mut found, mut is_cut, mut left) = (Vec::new(), false, EXAMINED);
            for group in groups {
                is_cut |= inner.proposals(&principal, group.group(), &mut left, &mut found)?;
            }
            found.retain(|one| wanted.is_none_or(|wanted| one.standing == wanted));
            found.sort_by_key(|one| std::cmp::Reverse(one.note.date_added()));
            is_cut |= found.len() > TOLD;
            found.truncate(TOLD);
            Ok((found, is_cut))
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
            let mut looks = inner.store.looks();
            for group in groups {
                // Others may use its id: each member's note is one of its own.
                let rows = inner.store.versions(group.group(), &note)?;
                for row in rows.into_iter().filter_map(|row| admit(&principal, row)) {
                    if let Some(found) = inner.proposed(&mut looks, &principal, row)? {
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
    /// The version of an object that counts for the principal.
    fn object_in_force(
        &self,
        principal: &Principal,
        group: GroupId,
        object: &str,
    ) -> Result<Option<Shown>, QueryError> {
        let rows = self.store.versions(group, object)?;
        Ok(claims::shown(rows.into_iter().filter_map(|row| admit(principal, row)).collect()).pop())
    }

    fn proposals(
        &self,
        principal: &Principal,
        group: GroupId,
        left: &mut usize,
        found: &mut Vec<ProposalView>,
    ) -> Result<bool, QueryError> {
        let mut looks = self.store.looks();
        let mut query = PageQuery { after: None, kinds: Some(vec!["note".to_owned()]), examine: STRETCH };
        while *left > 0 {
            let page = self.store.page(group, &query)?;
            *left = left.saturating_sub(STRETCH);
            for row in page.rows.into_iter().filter_map(|row| admit(principal, row)) {
                found.extend(self.proposed(&mut looks, principal, row)?);
            }
            if !page.more {
                return Ok(false);
            }
            query.after = page.next_after;
        }
        Ok(true)
    }

    /// What a note proposes, if it is this member's or of what is this member's.
    fn proposed(
        &self,
        looks: &mut Looks<'_>,
        principal: &Principal,
        note: Shown,
    ) -> Result<Option<ProposalView>, QueryError> {
        let (Some(own), Some(proposal)) = (self.own_member(), Proposal::read(note.raw())) else {
            return Ok(None);
        };
        let object = self.object_in_force(principal, note.group(), &proposal.of)?;
        let owner = object.as_ref().map(Shown::member);
        let is_ours = note.member() == own;
        // What lies sealed to somebody else's eyes is not listed, nor what nobody may answer.
        if !is_ours && owner != Some(own) {
            return Ok(None);
        }
        let object = object.filter(|object| !object.is_revoked());
        let answered = newest_about(looks, principal, note.group(), OPINION_ON, note.id())?;
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
}
