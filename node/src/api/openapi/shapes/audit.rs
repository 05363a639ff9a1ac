//! Who did what, and what is held of a person.

use utoipa::ToSchema;

/// Who did what.
#[derive(ToSchema)]
pub(in super::super) struct Audit {
    entries: Vec<AuditEntry>,
    standing: AuditStanding,
}

#[derive(ToSchema)]
pub(super) struct AuditStanding {
    /// Number of the newest entry.
    sequence: u64,
    /// The chain's end: note it elsewhere, for `belfry audit verify --head`.
    head: String,
}

/// What a person is known by.
#[derive(ToSchema)]
pub(in super::super) struct SubjectWanted {
    values: Vec<String>,
    /// Where the answer before ended.
    next: Option<String>,
}

/// One step of a search.
#[derive(ToSchema)]
pub(in super::super) struct SubjectFound {
    hits: Vec<SubjectHit>,
    /// Rows looked at.
    examined: usize,
    /// Where to go on; null at the end.
    next: Option<String>,
}

#[derive(ToSchema)]
struct SubjectHit {
    /// `object`, `draft`, `reason` or `contact`.
    kind: String,
    /// Which values, from 1.
    values: Vec<usize>,
    #[schema(nullable = false)]
    paths: Option<Vec<String>>,
    /// Not of a contact.
    #[schema(nullable = false)]
    group: Option<String>,
    #[schema(nullable = false)]
    message: Option<String>,
    /// Not of a contact.
    #[schema(nullable = false)]
    publication: Option<String>,
    /// Not of what the token does not read.
    #[schema(nullable = false)]
    object: Option<String>,
    member: String,
    organisation: Option<String>,
    /// Who says the very same.
    #[schema(nullable = false)]
    reporters: Option<Vec<String>>,
    #[schema(format = DateTime)]
    date: String,
    /// `withdraw`, `withdraw-message`, `withdraw-as-steward`, `ask`, `discard`, `wait`, `set-contact` or `nothing`.
    remedy: String,
    /// Whom to ask, besides its member.
    #[schema(nullable = false)]
    stewards: Option<Vec<String>>,
}

#[derive(ToSchema)]
struct AuditEntry {
    sequence: u64,
    head: String,
    #[schema(format = DateTime)]
    at: String,
    /// `started`, `stopped`, `call`, `on-behalf`, `reason`, `result`, `reads`, `dropped` or `cut`.
    event: String,
    /// Id of the token that asks.
    #[schema(nullable = false)]
    token: Option<String>,
    #[schema(nullable = false)]
    method: Option<String>,
    #[schema(nullable = false)]
    route: Option<String>,
    /// Number of the call's entry, in its result.
    #[schema(nullable = false)]
    call: Option<u64>,
    #[schema(nullable = false)]
    status: Option<u16>,
    /// Id of what was made, changed or ended.
    #[schema(nullable = false)]
    subject: Option<String>,
    /// Ids of what else the call made; more than one entry of a result, where it made many.
    #[schema(nullable = false)]
    also: Option<Vec<String>>,
    /// Id of the member that a steward publishes for.
    #[schema(nullable = false)]
    member: Option<String>,
    /// Its name.
    #[schema(nullable = false)]
    organisation: Option<String>,
    /// How it asked.
    #[schema(nullable = false)]
    asked: Option<String>,
    /// Why something goes out although a guard objects.
    #[schema(nullable = false)]
    reason: Option<String>,
    /// How many reads.
    #[schema(nullable = false)]
    count: Option<u64>,
    /// The oldest entry that stays.
    #[schema(nullable = false)]
    below: Option<u64>,
    /// What was set aside at a start.
    #[schema(nullable = false)]
    bytes: Option<u64>,
    #[schema(nullable = false)]
    lines: Option<u64>,
}
