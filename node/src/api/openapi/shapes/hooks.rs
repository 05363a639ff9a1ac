//! Ways out that push, and ways in that pull.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// Ways out that push.
#[derive(ToSchema)]
pub(in super::super) struct Hooks {
    hooks: Vec<Hook>,
}

#[derive(ToSchema)]
struct Hook {
    name: String,
    /// `webhook` or `syslog`.
    kind: String,
    target: String,
    /// Sends nothing, counts all.
    shadow: bool,
    /// `waiting`, `sending`, `failing` or `stopped`.
    state: String,
    /// Number in the feed up to which all is done.
    position: u64,
    sent: u64,
    /// How many objects were held back, by reason.
    held_back: BTreeMap<String, u64>,
    dead_letters: usize,
    /// Dead letters that were more than are kept.
    lost: u64,
    failing_since: Option<String>,
    failure: Option<String>,
}

/// What is taken in from elsewhere.
#[derive(ToSchema)]
pub(in super::super) struct Sources {
    sources: Vec<Source>,
}

#[derive(ToSchema)]
pub(super) struct Source {
    name: String,
    /// `folder`, `taxii` or `misp`.
    kind: String,
    /// Where from.
    from: String,
    /// Slug of the group it is for.
    group: String,
    /// What it brings goes out without a person.
    publishes: bool,
    /// `waiting`, `running` or `failing`.
    state: String,
    last_run: Option<String>,
    /// Unset while it runs.
    next_run: Option<String>,
    /// Publications and drafts made, over all runs.
    taken: u64,
    /// Objects in them.
    objects: u64,
    /// Items that had come before.
    known: u64,
    /// Items, and objects of items, that were refused.
    refused: u64,
    /// Parts of items that tell nothing to look for.
    skipped: u64,
    /// Items, and versions of items, that were taken back because their feed did.
    taken_back: u64,
    last_taken: u64,
    last_refused: u64,
    /// The newest since the start.
    refusals: Vec<SourceRefusal>,
    /// What there is to know of the newest items that were taken: why one waits, what it states besides.
    notes: Vec<SourceRefusal>,
    failing_since: Option<String>,
    failure: Option<String>,
}

#[derive(ToSchema)]
struct SourceRefusal {
    #[schema(format = DateTime)]
    at: String,
    /// A file, a STIX id, or an event's.
    item: String,
    why: String,
}

/// A source that was told to run.
#[derive(ToSchema)]
pub(in super::super) struct SourceRun {
    source: String,
    /// Where to look how it went.
    status_url: String,
}

/// Events given up.
#[derive(ToSchema)]
pub(in super::super) struct DeadLetters {
    dead_letters: Vec<DeadLetter>,
    /// Of the page that follows, if there is one.
    #[schema(nullable = false)]
    next: Option<String>,
}

#[derive(ToSchema)]
struct DeadLetter {
    /// In the feed.
    number: u64,
    #[schema(format = DateTime)]
    at: String,
    /// HTTP status of the last refusal.
    status: u16,
}

/// The delivery log of a hook.
#[derive(ToSchema)]
pub(in super::super) struct HookTries {
    tries: Vec<HookTry>,
    /// Of the page that follows, if there is one.
    #[schema(nullable = false)]
    next: Option<String>,
}

#[derive(ToSchema)]
struct HookTry {
    /// Counted from the start of the node.
    number: u64,
    #[schema(format = DateTime)]
    at: String,
    /// The event's id, as its receiver has it.
    event: String,
    /// `taken`, `refused`, `away` or `gone`.
    outcome: String,
    why: Option<String>,
}

/// Dead letters that are tried again.
#[derive(ToSchema)]
pub(in super::super) struct Replayed {
    queued: usize,
}
