//! The node: its condition, its connections, its copies.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::audit::AuditStanding;
use super::hooks::Source;

/// Probe.
#[derive(ToSchema)]
pub(in super::super) struct Health {
    status: String,
}

/// The node's condition.
#[derive(ToSchema)]
pub(in super::super) struct Status {
    version: String,
    ready: bool,
    held: Held,
    node: Node,
    audit: AuditStanding,
    /// URLs of this API.
    api: Vec<String>,
    /// What is taken in from elsewhere; for tokens of an admin only, and of groups they read.
    sources: Option<Vec<Source>>,
    /// Proposals that nobody has answered; for tokens of an admin only, and of groups they read.
    proposals: Option<Unanswered>,
    /// What an operator should know, a sentence each.
    warnings: Vec<String>,
}

#[derive(ToSchema)]
struct Unanswered {
    /// Made to this member, which answers them.
    to_us: usize,
    /// Made by this member.
    by_us: usize,
    /// There are more than were counted.
    more: bool,
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
    /// Of messages, as they travelled.
    stored_bytes: u64,
    /// Members whose room is used up: what they publish is refused as over-disk-quota.
    members_over_disk_quota: usize,
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

/// Connections.
#[derive(ToSchema)]
pub(in super::super) struct Peers {
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
pub(in super::super) struct Sync {
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
    /// Of those, entries that were written while this node was connected, half a minute to an hour before.
    late: u64,
    faults: u64,
    /// Questions that came to nothing by nobody's fault.
    pauses: u64,
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
    /// Logs of which there is more, by members of whom no more is kept here: `store.member_quota`.
    over_disk_quota: usize,
}

/// Where to copy the node to.
#[derive(ToSchema)]
pub(in super::super) struct BackupWanted {
    /// Absolute path, on the node's machine, of a folder that is not there yet.
    folder: String,
}

/// The copy's manifest.
#[derive(ToSchema)]
pub(in super::super) struct Backup(BTreeMap<String, Value>);

/// An OpenAPI 3.1 document.
#[derive(ToSchema)]
pub(in super::super) struct Description(BTreeMap<String, Value>);
