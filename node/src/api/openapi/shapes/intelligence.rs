//! Objects, values, and the messages that brought them.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// Objects, with what the network knows about them.
#[derive(ToSchema)]
pub(in super::super) struct Objects {
    objects: Vec<Object>,
    /// Goes on behind this page.
    #[schema(nullable = false)]
    next: Option<String>,
    /// Of one object there are more versions than are told at once.
    #[schema(nullable = false)]
    more: Option<bool>,
}

#[derive(ToSchema)]
struct Object {
    group: String,
    id: String,
    #[schema(rename = "type")]
    kind: String,
    version: String,
    #[schema(format = DateTime)]
    date_added: String,
    tlp: String,
    revoked: bool,
    /// `current`, `revoked`, `withdrawn` or `hidden`.
    state: String,
    named_recipients: bool,
    /// Null where it must not be told outside and the token is for outside.
    member: Option<String>,
    organisation: Option<String>,
    reporters: Vec<String>,
    message: String,
    publication: String,
    #[schema(format = DateTime)]
    created: String,
    classes: Vec<String>,
    purpose: Option<String>,
    #[schema(nullable = false)]
    pap: Option<String>,
    #[schema(nullable = false)]
    embargo_until: Option<String>,
    /// Handling terms, `name=value`.
    #[schema(nullable = false)]
    handling: Option<Vec<String>>,
    /// Why it went out although a guard of its author's objected, where the charter has that said.
    #[schema(nullable = false)]
    reason: Option<String>,
    /// Its member is a steward, and published it on behalf of another that is not named.
    #[schema(nullable = false)]
    on_behalf: Option<bool>,
    /// The object is gone, and this says so in its stead.
    #[schema(nullable = false)]
    tombstone: Option<bool>,
    /// The author's STIX, as published.
    object: BTreeMap<String, Value>,
}

/// Values to look up.
#[derive(ToSchema)]
pub(in super::super) struct Lookup {
    values: Vec<LookupValue>,
    /// Slugs; every group the token reads.
    groups: Option<Vec<String>>,
    /// What lies below a domain or within a range, too.
    around: Option<bool>,
    /// Information classes; all.
    classes: Option<Vec<String>>,
    /// Purposes; all.
    purposes: Option<Vec<String>>,
}

#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum LookupValue {
    Text(String),
    Typed(Typed),
}

#[derive(ToSchema)]
pub(super) struct Typed {
    #[schema(rename = "type")]
    kind: String,
    value: String,
}

/// What is known, in the order asked.
#[derive(ToSchema)]
pub(in super::super) struct LookupAnswer {
    results: Vec<Found>,
}

#[derive(ToSchema)]
struct Found {
    value: String,
    #[schema(rename = "type")]
    kind: Option<String>,
    normalised: Option<String>,
    #[schema(nullable = false)]
    error: Option<String>,
    state: String,
    score: u8,
    contested: bool,
    first_seen: Option<String>,
    last_seen: Option<String>,
    corroboration: usize,
    reported_by: Vec<Reporter>,
    sightings: Sightings,
    opinions: BTreeMap<String, usize>,
    /// Members that say of an indicator of it that it no longer holds.
    expired_by: usize,
    allowed: bool,
    warnings: Vec<Warning>,
    objects: Vec<Naming>,
    more: bool,
}

#[derive(ToSchema)]
struct Reporter {
    member: String,
    organisation: Option<String>,
}

#[derive(ToSchema)]
struct Sightings {
    count: u64,
    members: usize,
    last_seen: Option<String>,
}

#[derive(ToSchema)]
struct Warning {
    list: String,
    level: String,
}

#[derive(ToSchema)]
struct Naming {
    group: String,
    id: String,
    #[schema(rename = "type")]
    kind: String,
    version: String,
    #[schema(nullable = false)]
    name: Option<String>,
    #[schema(nullable = false)]
    matched: Option<Vec<String>>,
    tlp: String,
    #[schema(nullable = false)]
    pap: Option<String>,
    /// Nobody, where its author asks not to be named.
    member: Option<String>,
    organisation: Option<String>,
    /// Why it went out although a guard of its author's objected, where the charter has that said.
    #[schema(nullable = false)]
    reason: Option<String>,
    /// That member is a steward, and published it on behalf of another that is not named.
    #[schema(nullable = false)]
    on_behalf: Option<bool>,
    #[schema(format = DateTime)]
    date_added: String,
    #[schema(nullable = false)]
    state: Option<String>,
    #[schema(nullable = false)]
    score: Option<u8>,
    #[schema(nullable = false)]
    expires: Option<String>,
    classes: Vec<String>,
    purpose: Option<String>,
}

/// A message; its content is not in here.
#[derive(ToSchema)]
pub(in super::super) struct Message {
    id: String,
    group: u32,
    group_slug: String,
    member: String,
    organisation: Option<String>,
    serial: u64,
    log: String,
    sequence: u64,
    #[schema(format = DateTime)]
    created: String,
    #[schema(format = DateTime)]
    received: String,
    state: String,
    meaning: String,
    key_not_before: Option<String>,
    reason: Option<String>,
    has_body: bool,
    withdrawals: Vec<MessageWithdrawal>,
}

#[derive(ToSchema)]
struct MessageWithdrawal {
    id: String,
    member: String,
    organisation: Option<String>,
    mode: String,
    ground: String,
    by_steward: bool,
    #[schema(format = DateTime)]
    created: String,
    stands: bool,
    decides: bool,
}

/// A message as it travelled.
#[derive(ToSchema)]
pub(in super::super) struct Envelope {
    id: String,
    /// A BELFRY MESSAGE file.
    file: String,
}

/// Proofs of forks.
#[derive(ToSchema)]
pub(in super::super) struct Forks {
    forks: Vec<Fork>,
}

#[derive(ToSchema)]
struct Fork {
    group: u32,
    log: String,
    member: String,
    organisation: Option<String>,
    serial: u64,
    sequence: u64,
    /// The two messages.
    proof: Option<Vec<String>>,
}
