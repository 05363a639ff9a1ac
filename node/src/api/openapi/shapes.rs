//! Bodies, as JSON Schema.
//!
//! They stand apart from what makes them, because most of that lies on a lower floor, which knows no API. The test
//! of the description compares each with what its route really answers.

#![allow(dead_code, reason = "described, never made")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// An error (RFC 9457).
#[derive(ToSchema)]
pub(super) struct Problem {
    /// `urn:belfry:problem:` and the code.
    #[schema(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    /// HTTP status.
    status: u16,
    /// Stable, for programs.
    code: String,
    /// For people.
    detail: String,
    /// Under which the node's log has it.
    request_id: String,
}

/// Probe.
#[derive(ToSchema)]
pub(super) struct Health {
    status: String,
}

/// The node's condition.
#[derive(ToSchema)]
pub(super) struct Status {
    version: String,
    ready: bool,
    held: Held,
    node: Node,
    audit: AuditStanding,
    /// URLs of this API.
    api: Vec<String>,
    /// What is taken in from elsewhere; for tokens of an admin only, and of groups they read.
    sources: Option<Vec<Source>>,
    /// What an operator should know, a sentence each.
    warnings: Vec<String>,
}

#[derive(ToSchema)]
struct Held {
    coalition: String,
    coalition_name: String,
    charter_version: u64,
    #[schema(format = DateTime)]
    charter_expires: String,
    /// Whole days until then; negative once it is over.
    charter_days_left: i64,
    roster_height: u64,
    roster_head: String,
    members: usize,
    certificate: Option<Certificate>,
    groups: Vec<GroupHeld>,
    disk_bytes: u64,
}

#[derive(ToSchema)]
struct Certificate {
    serial: u64,
    member: String,
    organisation: String,
    standing: String,
    carrier: bool,
    #[schema(format = DateTime)]
    not_after: String,
    days_left: i64,
}

#[derive(ToSchema)]
struct GroupHeld {
    id: u32,
    slug: String,
    role: Option<String>,
    logs: usize,
    entries: u64,
    logs_with_gaps: usize,
    waiting_for_key: u64,
    not_for_us: u64,
    quarantined: u64,
    disputed: u64,
    withdrawn: u64,
    forked_logs: usize,
}

#[derive(ToSchema)]
struct Node {
    peer_id: String,
    #[schema(format = DateTime)]
    started: String,
    listening: Vec<String>,
    connected: usize,
    /// Own publications whose key no other member holds yet.
    readable_only_here: usize,
    drafts: usize,
    parked: usize,
    /// Own clock less the peers' median.
    clock_offset_ms: Option<i64>,
}

/// Who did what.
#[derive(ToSchema)]
pub(super) struct Audit {
    entries: Vec<AuditEntry>,
    standing: AuditStanding,
}

#[derive(ToSchema)]
struct AuditStanding {
    /// Number of the newest entry.
    sequence: u64,
    /// The chain's end: note it elsewhere, for `belfry audit verify --head`.
    head: String,
}

/// What members accept.
#[derive(ToSchema)]
pub(super) struct Rules {
    /// Version of the charter that names it.
    charter: u64,
    texts: Vec<RulesText>,
    /// By when; null if nobody is asked.
    accept_by: Option<String>,
    /// What becomes of who has not: `warn`, `stop-publishing` or `suspend`.
    unaccepted: Option<String>,
    /// Whether this node's member has; null for a node without a certificate.
    accepted: Option<bool>,
}

#[derive(ToSchema)]
struct RulesText {
    /// `arrangement` or `rules-of-conduct`.
    text: String,
    version: String,
    link: String,
    /// BLAKE3 in belfry's own domain.
    hash: String,
    /// A file with that hash is here.
    here: bool,
}

/// What a person is known by.
#[derive(ToSchema)]
pub(super) struct SubjectWanted {
    values: Vec<String>,
    /// Where the answer before ended.
    next: Option<String>,
}

/// One step of a search.
#[derive(ToSchema)]
pub(super) struct SubjectFound {
    hits: Vec<SubjectHit>,
    /// Rows looked at.
    examined: usize,
    /// Where to go on; null at the end.
    next: Option<String>,
}

#[derive(ToSchema)]
struct SubjectHit {
    /// `object`, `draft` or `reason`.
    kind: String,
    /// Which values, from 1.
    values: Vec<usize>,
    #[schema(nullable = false)]
    paths: Option<Vec<String>>,
    group: String,
    #[schema(nullable = false)]
    message: Option<String>,
    publication: String,
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
    /// `withdraw`, `withdraw-as-steward`, `ask`, `discard`, `wait` or `nothing`.
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
    /// `started`, `stopped`, `call`, `on-behalf`, `result`, `reads`, `dropped` or `cut`.
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
    /// Id of the member that a steward publishes for.
    #[schema(nullable = false)]
    member: Option<String>,
    /// Its name.
    #[schema(nullable = false)]
    organisation: Option<String>,
    /// How it asked.
    #[schema(nullable = false)]
    asked: Option<String>,
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

/// Connections.
#[derive(ToSchema)]
pub(super) struct Peers {
    peers: Vec<Peer>,
}

#[derive(ToSchema)]
struct Peer {
    peer_id: String,
    member: Option<String>,
    organisation: Option<String>,
    admitted: bool,
    outbound: bool,
    addresses: Vec<String>,
    groups: Vec<u32>,
    #[schema(format = DateTime)]
    since: String,
}

/// Progress of sync.
#[derive(ToSchema)]
pub(super) struct Sync {
    peers: SyncPeers,
    /// When frontiers were compared last.
    compared: Option<String>,
    parked: usize,
    counters: SyncCounters,
    groups: Vec<GroupSync>,
}

#[derive(ToSchema)]
struct SyncPeers {
    ready: usize,
    compared: usize,
    comparing: usize,
    resting: usize,
}

#[derive(ToSchema)]
struct SyncCounters {
    compared: u64,
    level: u64,
    pages: u64,
    kept: u64,
    faults: u64,
    served: u64,
    turned_away: u64,
}

#[derive(ToSchema)]
struct GroupSync {
    id: u32,
    slug: String,
    progress: Progress,
}

#[derive(ToSchema)]
struct Progress {
    state: String,
    held: u64,
    offered: u64,
    of_resting_peers: u64,
    fetching: usize,
    gaps_nobody_offers: usize,
    without_body: u64,
    waiting_for_key: u64,
    opened: u64,
    frozen: usize,
    beyond_retention: u64,
}

/// Where to copy the node to.
#[derive(ToSchema)]
pub(super) struct BackupWanted {
    /// Absolute path, on the node's machine, of a folder that is not there yet.
    folder: String,
}

/// The copy's manifest.
#[derive(ToSchema)]
pub(super) struct Backup(BTreeMap<String, Value>);

/// An OpenAPI 3.1 document.
#[derive(ToSchema)]
pub(super) struct Description(BTreeMap<String, Value>);

/// Groups.
#[derive(ToSchema)]
pub(super) struct Groups {
    groups: Vec<Group>,
}

#[derive(ToSchema)]
struct Group {
    id: u32,
    slug: String,
    name: String,
    description: String,
    parent: Option<String>,
    /// Id of its TAXII collection.
    collection: String,
    max_tlp: Option<String>,
    default_purpose: Option<String>,
    role: Option<String>,
    can_read: bool,
    can_write: bool,
}

/// Members.
#[derive(ToSchema)]
pub(super) struct Members {
    members: Vec<Member>,
}

#[derive(ToSchema)]
struct Member {
    id: String,
    organisation: String,
    sector: String,
    classes: Vec<String>,
    /// Names of the entities it supplies.
    #[schema(nullable = false)]
    supplier_of: Option<Vec<String>>,
    capacity: Option<String>,
    certificates: Vec<MemberCertificate>,
}

#[derive(ToSchema)]
struct MemberCertificate {
    serial: u64,
    standing: String,
    carrier: bool,
    /// Slug and role.
    groups: Vec<Vec<String>>,
    #[schema(format = DateTime)]
    not_before: String,
    #[schema(format = DateTime)]
    not_after: String,
}

/// Newest messages.
#[derive(ToSchema)]
pub(super) struct Heads {
    heads: Vec<Head>,
}

#[derive(ToSchema)]
struct Head {
    serial: u64,
    group: u32,
    slug: String,
    log: String,
    sequence: u64,
    message: String,
}

/// What a log file came to.
#[derive(ToSchema)]
pub(super) struct Imported {
    height_before: u64,
    height: u64,
    offered: u64,
    charter_before: u64,
    charter: u64,
    vouches_until: Option<String>,
}

/// Objects, with what the network knows about them.
#[derive(ToSchema)]
pub(super) struct Objects {
    objects: Vec<Object>,
    /// Goes on behind this page.
    #[schema(nullable = false)]
    next: Option<String>,
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
    member: String,
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
pub(super) struct Lookup {
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
enum LookupValue {
    Text(String),
    Typed(Typed),
}

#[derive(ToSchema)]
struct Typed {
    #[schema(rename = "type")]
    kind: String,
    value: String,
}

/// What is known, in the order asked.
#[derive(ToSchema)]
pub(super) struct LookupAnswer {
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
pub(super) struct Message {
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
pub(super) struct Envelope {
    id: String,
    /// A BELFRY MESSAGE file.
    file: String,
}

/// Proofs of forks.
#[derive(ToSchema)]
pub(super) struct Forks {
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

/// Profiles.
#[derive(ToSchema)]
pub(super) struct Exports {
    exports: Vec<Export>,
}

#[derive(ToSchema)]
struct Export {
    name: String,
    format: String,
    action: String,
    audience: String,
    max_tlp: String,
    groups: Vec<String>,
    types: Vec<String>,
    classes: Vec<String>,
    purposes: Vec<String>,
    minimum_score: u8,
    shadow: bool,
}

/// What stands in an export.
#[derive(ToSchema)]
pub(super) struct ExportReport {
    export: String,
    #[schema(format = DateTime)]
    made: String,
    shadow: bool,
    files: Vec<ExportFile>,
    entries: usize,
    objects: usize,
    /// How many were left out, by reason.
    held_back: BTreeMap<String, u64>,
    values: Vec<ExportValue>,
    left_out: Vec<LeftOut>,
}

#[derive(ToSchema)]
struct ExportFile {
    name: String,
    bytes: usize,
}

#[derive(ToSchema)]
struct ExportValue {
    #[schema(rename = "type")]
    kind: String,
    value: String,
    score: u8,
    #[schema(format = DateTime)]
    first_seen: String,
    #[schema(format = DateTime)]
    last_seen: String,
    #[schema(format = DateTime)]
    expires: String,
    members: usize,
    tlp: String,
    sources: Vec<String>,
    name: String,
    indicators: Vec<String>,
}

#[derive(ToSchema)]
struct LeftOut {
    #[schema(rename = "type")]
    kind: String,
    value: String,
    reason: String,
}

/// Ways out that push.
#[derive(ToSchema)]
pub(super) struct Hooks {
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
pub(super) struct Sources {
    sources: Vec<Source>,
}

#[derive(ToSchema)]
struct Source {
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
    last_taken: u64,
    last_refused: u64,
    /// The newest since the start.
    refusals: Vec<SourceRefusal>,
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
pub(super) struct SourceRun {
    source: String,
    /// Where to look how it went.
    status_url: String,
}

/// Events given up.
#[derive(ToSchema)]
pub(super) struct DeadLetters {
    dead_letters: Vec<DeadLetter>,
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

/// Dead letters that are tried again.
#[derive(ToSchema)]
pub(super) struct Replayed {
    queued: usize,
}

/// A version.
#[derive(ToSchema)]
pub(super) struct MispVersion {
    version: String,
}

/// As MISP tells of itself.
#[derive(ToSchema)]
pub(super) struct Misp(BTreeMap<String, Value>);

/// As MISP tells of a user.
#[derive(ToSchema)]
pub(super) struct MispUser(BTreeMap<String, Value>);

/// What is asked for; texts are one or several.
#[derive(ToSchema)]
pub(super) struct MispSearch {
    /// Whole values, or with `%` before or behind them.
    value: Option<Value>,
    #[schema(rename = "type")]
    kind: Option<Value>,
    category: Option<Value>,
    tags: Option<Value>,
    uuid: Option<Value>,
    to_ids: Option<Value>,
    /// A time, seconds since 1970, or how long ago; two for a stretch.
    timestamp: Option<Value>,
    limit: Option<u64>,
    page: Option<u64>,
    /// `json` or `text`.
    #[schema(rename = "returnFormat")]
    return_format: Option<String>,
}

/// Attributes.
#[derive(ToSchema)]
pub(super) struct MispFound {
    response: MispAttributes,
}

#[derive(ToSchema)]
struct MispAttributes {
    #[schema(rename = "Attribute")]
    attributes: Vec<BTreeMap<String, Value>>,
}

/// What was seen, as MISP has it.
#[derive(ToSchema)]
pub(super) struct MispSighting {
    /// What was seen.
    value: Option<String>,
    /// Several of it.
    values: Option<Vec<String>>,
    /// The attribute, by the id or UUID that a search gave it.
    id: Option<Value>,
    uuid: Option<String>,
    /// 0 seen, 1 a false positive.
    #[schema(rename = "type")]
    kind: Option<Value>,
    /// Seconds since 1970, or a time.
    timestamp: Option<Value>,
    /// Taken, and told to nobody.
    source: Option<String>,
}

/// What became of it.
#[derive(ToSchema)]
pub(super) struct MispSighted {
    #[schema(rename = "Sighting")]
    sighting: BTreeMap<String, Value>,
    message: String,
}

/// What was seen: `values` or `object`.
#[derive(ToSchema)]
pub(super) struct Sighting {
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
    /// Whether this member stays unnamed; unset: if any of the groups has another steward, those without are left out.
    anonymous: Option<bool>,
    /// Hold it until a person releases it.
    draft: Option<bool>,
}

/// What became of it, a message for each group.
#[derive(ToSchema)]
pub(super) struct Sighted {
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

/// A STIX 2.1 bundle.
#[derive(ToSchema)]
pub(super) struct Bundle {
    #[schema(rename = "type")]
    kind: String,
    id: String,
    objects: Vec<BTreeMap<String, Value>>,
}

/// A draft made.
#[derive(ToSchema)]
pub(super) struct Accepted {
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
pub(super) struct Preview {
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
pub(super) struct FileImported {
    format: String,
    /// How many, by type.
    objects: BTreeMap<String, usize>,
    skipped: Vec<Skipped>,
    more_skipped: usize,
    /// Of a dry run.
    #[schema(nullable = false)]
    preview: Option<Preview>,
    #[schema(nullable = false)]
    publication: Option<String>,
    #[schema(nullable = false)]
    status_url: Option<String>,
    #[schema(nullable = false)]
    parts: Option<usize>,
    #[schema(nullable = false)]
    held: Option<bool>,
    /// The same file came before.
    #[schema(nullable = false)]
    duplicate: Option<bool>,
    #[schema(nullable = false)]
    notes: Option<Vec<String>>,
}

#[derive(ToSchema)]
struct Skipped {
    at: String,
    why: String,
}

/// Held drafts.
#[derive(ToSchema)]
pub(super) struct Drafts {
    /// The oldest.
    drafts: Vec<HeldDraft>,
    /// There are more than are listed.
    more: bool,
}

/// A held draft; what stands in it only where one is asked for.
#[derive(ToSchema)]
pub(super) struct HeldDraft {
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
    reason: Option<String>,
    #[schema(nullable = false)]
    tlp: Option<String>,
    #[schema(nullable = false)]
    purpose: Option<String>,
    #[schema(nullable = false)]
    classes: Option<Vec<String>>,
    /// Its objects, for a token that may read them.
    #[schema(nullable = false)]
    content: Option<Vec<BTreeMap<String, Value>>>,
    #[schema(nullable = false)]
    objections: Option<Vec<Objection>>,
    #[schema(nullable = false)]
    more_objections: Option<usize>,
}

/// A draft on its way.
#[derive(ToSchema)]
pub(super) struct Released {
    publication: String,
    status_url: String,
}

/// Who says that they hold a publication.
#[derive(ToSchema)]
pub(super) struct Holders {
    sent: bool,
    /// Members that may read it.
    readers: usize,
    /// Of these, those asked now.
    asked: usize,
    holders: Vec<Named>,
}

/// The admin log.
#[derive(ToSchema)]
pub(super) struct LogFile {
    /// A BELFRY LOG file.
    file: String,
}

/// Who is new among the readers.
#[derive(ToSchema)]
pub(super) struct Newcomers {
    newcomers: Vec<Newcomer>,
}

#[derive(ToSchema)]
struct Newcomer {
    member: String,
    organisation: String,
    classes: Vec<String>,
    capacity: Option<String>,
    certificates: Vec<u64>,
    groups: Vec<NewIn>,
    /// Since when this node keeps older keys from it.
    held_since: Option<String>,
}

#[derive(ToSchema)]
struct NewIn {
    id: u32,
    slug: String,
    #[schema(format = DateTime)]
    since: String,
    old_keys_from: Option<String>,
}

/// Whom to keep older keys from.
#[derive(ToSchema)]
pub(super) struct HoldWanted {
    /// Member id or organisation name.
    member: String,
}

/// Whom older keys are kept from.
#[derive(ToSchema)]
pub(super) struct HoldMade {
    member: String,
}

/// Give and take of a month, group by group.
#[derive(ToSchema)]
pub(super) struct Activity {
    activity: Vec<GroupActivity>,
}

#[derive(ToSchema)]
struct GroupActivity {
    group: String,
    name: String,
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    until: String,
    given: Given,
    taken: u64,
    opened: u64,
    /// Of all members together; nothing where too few published.
    all: Option<Together>,
}

#[derive(ToSchema)]
struct Given {
    messages: u64,
    withdrawals: u64,
    bytes: u64,
}

#[derive(ToSchema)]
struct Together {
    members: usize,
    messages: u64,
    withdrawals: u64,
}

/// A publication of this node.
#[derive(ToSchema)]
pub(super) struct Publication {
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
    error: Option<String>,
    /// Why it went out although a guard objected.
    reason: Option<String>,
}

/// What is to be taken back: exactly one of `messages`, `publication` and `objects`.
#[derive(ToSchema)]
pub(super) struct Withdrawal {
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
pub(super) struct Withdrawn {
    publication: String,
    status_url: String,
    /// Ids of the messages taken back.
    targets: Vec<String>,
    republished: usize,
    duplicate: bool,
    /// What stands against its being sent now, a sentence each.
    warnings: Vec<String>,
}

/// Tokens.
#[derive(ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
}

#[derive(ToSchema)]
struct Token {
    id: String,
    name: String,
    /// Slugs, or `*`.
    read: Vec<String>,
    /// Slugs, or `*`.
    publish: Vec<String>,
    /// Slugs, or `*`: what it publishes there waits until a person releases it.
    draft: Vec<String>,
    admin: bool,
    max_tlp: String,
    red: bool,
    #[schema(format = DateTime)]
    created: String,
    expires: Option<String>,
    /// It is the command line's own.
    own: bool,
}

/// What a new token shall grant.
#[derive(ToSchema)]
pub(super) struct NewToken {
    name: String,
    /// Slugs or numbers, or `*`.
    read: Option<Vec<String>>,
    /// Slugs or numbers, or `*`.
    publish: Option<Vec<String>>,
    /// Slugs or numbers, or `*`.
    draft: Option<Vec<String>>,
    admin: Option<bool>,
    /// `amber+strict` unless said.
    max_tlp: Option<String>,
    /// Reads what is sent to this member by name.
    red: Option<bool>,
    expires: Option<String>,
}

/// How a token's secret changes hands.
#[derive(ToSchema)]
pub(super) struct Rotation {
    /// For so many seconds, a week at most, the old secret is good as well; none unless said.
    overlap_seconds: Option<u64>,
}

/// A token, with its text.
#[derive(ToSchema)]
pub(super) struct TokenMade {
    id: String,
    name: String,
    read: Vec<String>,
    publish: Vec<String>,
    draft: Vec<String>,
    admin: bool,
    max_tlp: String,
    red: bool,
    #[schema(format = DateTime)]
    created: String,
    expires: Option<String>,
    own: bool,
    /// Shown this once.
    token: String,
}

/// TAXII 2.1 §3.6.1.
#[derive(ToSchema)]
pub(super) struct TaxiiError {
    title: String,
    description: String,
    error_id: String,
    error_code: String,
    http_status: String,
    #[schema(nullable = false)]
    details: Option<BTreeMap<String, Value>>,
}

/// TAXII 2.1 §4.1.
#[derive(ToSchema)]
pub(super) struct TaxiiDiscovery {
    title: String,
    description: String,
    default: String,
    api_roots: Vec<String>,
}

/// TAXII 2.1 §4.2.
#[derive(ToSchema)]
pub(super) struct TaxiiRoot {
    title: String,
    versions: Vec<String>,
    max_content_length: u64,
}

/// TAXII 2.1 §4.3.
#[derive(ToSchema)]
pub(super) struct TaxiiStatus {
    id: String,
    status: String,
    #[schema(format = DateTime)]
    request_timestamp: String,
    total_count: usize,
    success_count: usize,
    #[schema(nullable = false)]
    successes: Option<Vec<TaxiiDetail>>,
    failure_count: usize,
    #[schema(nullable = false)]
    failures: Option<Vec<TaxiiDetail>>,
    pending_count: usize,
    #[schema(nullable = false)]
    pendings: Option<Vec<TaxiiDetail>>,
}

#[derive(ToSchema)]
struct TaxiiDetail {
    id: String,
    version: String,
    #[schema(nullable = false)]
    message: Option<String>,
}

/// TAXII 2.1 §5.1.
#[derive(ToSchema)]
pub(super) struct TaxiiCollections {
    #[schema(nullable = false)]
    collections: Option<Vec<TaxiiCollection>>,
}

/// TAXII 2.1 §5.2.
#[derive(ToSchema)]
pub(super) struct TaxiiCollection {
    id: String,
    title: String,
    #[schema(nullable = false)]
    description: Option<String>,
    alias: String,
    can_read: bool,
    can_write: bool,
    media_types: Vec<String>,
}

/// TAXII 2.1 §5.3.
#[derive(ToSchema)]
pub(super) struct TaxiiManifest {
    more: bool,
    #[schema(nullable = false)]
    next: Option<String>,
    #[schema(nullable = false)]
    objects: Option<Vec<TaxiiRecord>>,
}

#[derive(ToSchema)]
struct TaxiiRecord {
    id: String,
    #[schema(format = DateTime)]
    date_added: String,
    version: String,
    media_type: String,
}

/// TAXII 2.1 §3.7.
#[derive(ToSchema)]
pub(super) struct TaxiiEnvelope {
    #[schema(nullable = false)]
    more: Option<bool>,
    #[schema(nullable = false)]
    next: Option<String>,
    #[schema(nullable = false)]
    objects: Option<Vec<BTreeMap<String, Value>>>,
}

/// TAXII 2.1 §5.8.
#[derive(ToSchema)]
pub(super) struct TaxiiVersions {
    more: bool,
    #[schema(nullable = false)]
    next: Option<String>,
    #[schema(nullable = false)]
    versions: Option<Vec<String>>,
}
