//! What goes out, and how far it is.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// A STIX 2.1 bundle.
#[derive(ToSchema)]
pub(in super::super) struct Bundle {
    #[schema(rename = "type")]
    kind: String,
    id: String,
    objects: Vec<BTreeMap<String, Value>>,
}

/// A draft made.
#[derive(ToSchema)]
pub(in super::super) struct Accepted {
    publication: String,
    status_url: String,
    group: String,
    tlp: Option<String>,
    /// `group`, `without-supervisors` or `recipients`.
    audience: String,
    recipients: Vec<Named>,
    objects: usize,
    object_ids: Vec<String>,
    parts: usize,
    /// The idempotency key was seen before.
    duplicate: bool,
    /// It waits until a person releases it.
    held: bool,
    /// What guards remark, and nobody has to answer.
    notes: Vec<String>,
    /// What stands against its being sent now, a sentence each.
    warnings: Vec<String>,
}

/// A member by name; without one if the roster does not know it any more.
#[derive(ToSchema)]
struct Named {
    member: String,
    organisation: Option<String>,
}

/// What a submission would be.
#[derive(ToSchema)]
pub(in super::super) struct Preview {
    group: String,
    tlp: String,
    /// Nothing states it: it is the configured default.
    tlp_is_default: bool,
    pap: Option<String>,
    purpose: String,
    classes: Vec<String>,
    /// How many, by type.
    objects: BTreeMap<String, usize>,
    parts: usize,
    /// Who could open it, authorities first.
    readers: Vec<PreviewReader>,
    objections: Vec<Objection>,
    /// Objections beside those listed.
    more_objections: usize,
    /// What its author should know besides.
    notes: Vec<String>,
    /// Lists that the token may have, and what they would come to at most.
    exports: Vec<Reach>,
    /// Why it would be refused.
    refusal: Option<String>,
}

#[derive(ToSchema)]
struct Reach {
    export: String,
    entries: Option<usize>,
    would_reach: Option<usize>,
    /// Why it could not be counted; instead of the two.
    left_out: Option<String>,
}

#[derive(ToSchema)]
struct PreviewReader {
    member: String,
    organisation: String,
    capacity: Option<String>,
}

/// What a guard says of a value; never the value.
#[derive(ToSchema)]
struct Objection {
    object: Option<String>,
    path: Option<String>,
    guard: String,
    rule: String,
    /// Whose the value is: `adversary`, `victim` or `unknown`.
    role: String,
    /// `note`, `reason` or `refusal`.
    weight: String,
    text: String,
}

/// What became of a file.
#[derive(ToSchema)]
pub(in super::super) struct FileImported {
    format: String,
    /// How many, by type.
    objects: BTreeMap<String, usize>,
    skipped: Vec<Skipped>,
    more_skipped: usize,
    /// Of a dry run.
    #[schema(nullable = false)]
    preview: Option<Preview>,
    #[schema(nullable = false)]
    /// The first of `publications`.
    publication: Option<String>,
    #[schema(nullable = false)]
    status_url: Option<String>,
    /// Messages of all.
    #[schema(nullable = false)]
    parts: Option<usize>,
    #[schema(nullable = false)]
    held: Option<bool>,
    /// The same file came before.
    #[schema(nullable = false)]
    duplicate: Option<bool>,
    #[schema(nullable = false)]
    notes: Option<Vec<String>>,
    /// What the file became: one, or several of a long table. All of them were made together.
    #[schema(nullable = false)]
    publications: Option<Vec<FilePublication>>,
}

#[derive(ToSchema)]
struct FilePublication {
    publication: String,
    status_url: String,
    parts: usize,
    held: bool,
    duplicate: bool,
}

#[derive(ToSchema)]
struct Skipped {
    at: String,
    why: String,
}

/// Held drafts.
#[derive(ToSchema)]
pub(in super::super) struct Drafts {
    /// Oldest first.
    drafts: Vec<HeldDraft>,
    /// Of the page that follows, if there is one.
    #[schema(nullable = false)]
    next: Option<String>,
}

/// A held draft; what stands in it only where one is asked for.
#[derive(ToSchema)]
pub(in super::super) struct HeldDraft {
    draft: String,
    group: String,
    submitter: String,
    #[schema(format = DateTime)]
    accepted: String,
    recipients: Vec<String>,
    without_supervisors: bool,
    parts: usize,
    /// How many, by type.
    objects: BTreeMap<String, usize>,
    /// Messages that it takes back.
    withdraws: usize,
    reason: Option<String>,
    #[schema(nullable = false)]
    tlp: Option<String>,
    #[schema(nullable = false)]
    purpose: Option<String>,
    #[schema(nullable = false)]
    classes: Option<Vec<String>>,
    /// Its objects, or those that it takes back, for a token that may read them.
    #[schema(nullable = false)]
    content: Option<Vec<BTreeMap<String, Value>>>,
    #[schema(nullable = false)]
    objections: Option<Vec<Objection>>,
    #[schema(nullable = false)]
    more_objections: Option<usize>,
}

/// A draft on its way.
#[derive(ToSchema)]
pub(in super::super) struct Released {
    publication: String,
    status_url: String,
}

/// Who says that they hold a publication.
#[derive(ToSchema)]
pub(in super::super) struct Holders {
    sent: bool,
    /// Members that may read it.
    readers: usize,
    /// Of these, those asked now.
    asked: usize,
    holders: Vec<Named>,
}

/// A publication of this node.
#[derive(ToSchema)]
pub(in super::super) struct Publication {
    publication: String,
    group: String,
    submitter: String,
    #[schema(format = DateTime)]
    accepted: String,
    state: String,
    parts: usize,
    objects: usize,
    object_ids: Vec<String>,
    messages: Vec<String>,
    tlp: Option<String>,
    /// `group`, `without-supervisors` or `recipients`.
    audience: String,
    recipients: Vec<Named>,
    /// Of its messages, those withdrawn since.
    withdrawn: usize,
    readable_only_here: bool,
    /// What stands against its being sent now, a sentence each.
    warnings: Vec<String>,
    /// Why it waits for a person and how it is released, or why it was refused.
    error: Option<String>,
    /// Why it went out although a guard objected.
    reason: Option<String>,
}

/// What is to be taken back: exactly one of `messages`, `publication` and `objects`.
#[derive(ToSchema)]
pub(in super::super) struct Withdrawal {
    /// Slug or number.
    group: String,
    messages: Option<Vec<String>>,
    publication: Option<String>,
    objects: Option<Vec<String>>,
    /// `retract`, `erase` or `lift`.
    mode: String,
    ground: Option<String>,
}

/// A withdrawal's draft.
#[derive(ToSchema)]
pub(in super::super) struct Withdrawn {
    publication: String,
    status_url: String,
    /// Ids of the messages taken back.
    targets: Vec<String>,
    republished: usize,
    /// Other publications of this member that go on saying what is taken back.
    remains: Vec<Remains>,
    duplicate: bool,
    /// What stands against its being sent now, a sentence each.
    warnings: Vec<String>,
}

/// A publication that goes on saying some of what is taken back.
#[derive(ToSchema)]
struct Remains {
    publication: String,
    group: String,
    /// Of those taken back, by their STIX ids.
    objects: Vec<String>,
    /// By this node, where it can be taken back by its id.
    made_here: bool,
}
