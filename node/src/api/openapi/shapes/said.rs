//! What members say of each other's objects: sightings, and proposals to their owners.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::intelligence::LookupValue;

/// What was seen: `values` or `object`.
#[derive(ToSchema)]
pub(in super::super) struct Sighting {
    values: Option<Vec<LookupValue>>,
    /// STIX id.
    object: Option<String>,
    /// Slugs; every group that the token reads and may answer to.
    groups: Option<Vec<String>>,
    /// How often; once.
    count: Option<u64>,
    first_seen: Option<String>,
    last_seen: Option<String>,
    /// It was seen, and is harmless: an opinion, under this member's name.
    false_positive: Option<bool>,
    /// It no longer holds, since `last_seen` or now: this member's own ends, of others' it is an opinion and ends here.
    expired: Option<bool>,
    /// Whether this member stays unnamed; unset: if any of the groups has another steward, those without are left out.
    anonymous: Option<bool>,
    /// Hold it until a person releases it.
    draft: Option<bool>,
}

/// What became of it, a message for each group.
#[derive(ToSchema)]
pub(in super::super) struct Sighted {
    reported: Vec<SightedIn>,
    /// What no indicator names that the token reads.
    unknown: Vec<String>,
    /// Groups that know it and were told nothing: they have no steward who could tell it unnamed.
    left_out: Vec<String>,
    warnings: Vec<String>,
}

#[derive(ToSchema)]
struct SightedIn {
    group: String,
    publication: String,
    status_url: String,
    tlp: Option<String>,
    held: bool,
    duplicate: bool,
    /// Sealed to stewards, who tell it without whose it is.
    anonymous: bool,
    /// It is the next version of this member's own object, which ends.
    ended: bool,
    /// Who sees whose it is: `stewards` or `group`.
    named_to: String,
    sighted: Vec<SightedObject>,
    notes: Vec<String>,
}

#[derive(ToSchema)]
struct SightedObject {
    asked: String,
    /// STIX id of what was sighted.
    object: String,
}

/// What is to be changed in another member's object: `set`, `remove` or both.
#[derive(ToSchema)]
pub(in super::super) struct Proposal {
    /// Slug; needed where several groups have the object.
    group: Option<String>,
    /// Properties and their new values.
    set: Option<BTreeMap<String, Value>>,
    /// Properties that go.
    remove: Option<Vec<String>>,
    /// Why, for its owner.
    comment: Option<String>,
    /// Why it goes out although a guard objects.
    reason: Option<String>,
    /// Hold it until a person releases it.
    draft: Option<bool>,
}

/// A proposal made, sealed to the object's owner.
#[derive(ToSchema)]
pub(in super::super) struct ProposalMade {
    /// Its id, a note's.
    proposal: String,
    owner: String,
    owner_organisation: Option<String>,
    group: String,
    publication: String,
    status_url: String,
    tlp: Option<String>,
    held: bool,
    duplicate: bool,
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// Proposals by this member and to it, the newest first.
#[derive(ToSchema)]
pub(in super::super) struct Proposals {
    proposals: Vec<ProposalTold>,
    /// Of the page that follows, if there may be one. A page can be empty and have one.
    #[schema(nullable = false)]
    next: Option<String>,
}

#[derive(ToSchema)]
struct ProposalTold {
    proposal: String,
    group: String,
    /// `by-us` or `to-us`.
    direction: String,
    /// `open`, `accepted`, `declined` or `withdrawn`.
    state: String,
    /// The object is no longer the version that this was made of, or is gone.
    outdated: bool,
    member: String,
    organisation: Option<String>,
    /// Null if the object is gone.
    owner: Option<String>,
    owner_organisation: Option<String>,
    /// STIX id of what is to be changed.
    object: String,
    /// The version that it was made of.
    version: String,
    tlp: String,
    #[schema(format = DateTime)]
    created: String,
    /// The proposal's own version, for `version` in an answer.
    modified: String,
    comment: String,
    set: BTreeMap<String, Value>,
    remove: Vec<String>,
    /// What the object says now of these properties.
    current: BTreeMap<String, Value>,
    /// Of its owner.
    answer: Option<ProposalAnswer>,
}

#[derive(ToSchema)]
struct ProposalAnswer {
    comment: String,
    #[schema(format = DateTime)]
    at: String,
}

/// An owner's answer; whoever declines may send an empty body.
#[derive(ToSchema)]
pub(in super::super) struct Answer {
    /// The proposal's `modified` that was looked at; needed to accept. Another is refused: 409 `proposal-changed`.
    version: Option<String>,
    /// For whoever proposed it.
    comment: Option<String>,
    /// Why it goes out although a guard objects.
    reason: Option<String>,
    /// Hold it until a person releases it.
    draft: Option<bool>,
}

/// What became of an answer, and of the object's next version.
#[derive(ToSchema)]
pub(in super::super) struct Answered {
    answer: Answering,
    /// Null of a proposal that was declined.
    version: Option<Answering>,
    warnings: Vec<String>,
}

#[derive(ToSchema)]
struct Answering {
    group: String,
    publication: String,
    status_url: String,
    tlp: Option<String>,
    held: bool,
    duplicate: bool,
    notes: Vec<String>,
}
