//! What the API needs of the rest of the daemon beyond reading: a way to publish and the node's own
//! condition. The daemon implements both over its use-cases; tests give stand-ins.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use belfry_proto::{
    id::{GroupId, MemberId, MessageId, PublicationId},
    schema::Mailbox,
    stix::object::Object,
    time::Timestamp,
};
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    audit_log::AuditLog,
    publish::{
        Held,
        drafts::{Basis, HeldDraft, OpenDraft},
        preview::Preview,
        submission::{Accepted, DraftStatus, Submission, SubmitError},
        withdraw::{WithdrawError, WithdrawalRequest, Withdrawn},
    },
    query::Query,
    sync::{GroupProgress, Report},
};

/// Says of a group whether it is meant.
pub type OfGroups = Box<dyn Fn(GroupId) -> bool + Send>;

/// The way in for content.
#[async_trait]
pub trait Publish: Send + Sync {
    /// Makes a durable draft. Resolves when it is on disk.
    async fn submit(&self, submission: Submission) -> Result<Accepted, SubmitError>;
    /// Makes several durable drafts that are one deed, or none of them.
    async fn submit_together(&self, submissions: Vec<Submission>) -> Result<Vec<Accepted>, SubmitError>;
    /// As [`Self::submit_together`], if nothing was said since of what it was decided on.
    async fn submit_on(
        &self,
        bases: Vec<Basis>,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Accepted>, SubmitError>;
    /// What is known now of an object, and of a proposal to change it with its answers.
    async fn basis(&self, group: GroupId, object: String, note: Option<String>)
    -> Result<Basis, SubmitError>;
    /// What came of a submission that has an idempotency key, if it came before; its content is not looked at.
    async fn before(&self, submission: Submission) -> Result<Option<Accepted>, SubmitError>;
    /// A submission to the readers of a message of ours, stating what that one stated; it holds nothing
    /// yet. And the marking definitions that the message brought.
    async fn like(
        &self,
        message: MessageId,
        submitter: String,
    ) -> Result<(Submission, Vec<Object>), SubmitError>;
    /// Tells what a submission would be and who could open it; nothing is kept.
    async fn preview(&self, submission: Submission) -> Result<Preview, SubmitError>;
    /// Drafts that wait for a person in some groups, at most so many behind a position; the last one's, if there are more.
    async fn held(
        &self,
        of: OfGroups,
        after: Option<Vec<u8>>,
        most: usize,
    ) -> Result<(Vec<HeldDraft>, Option<Vec<u8>>), SubmitError>;
    /// One of them with its content.
    async fn held_draft(&self, publication: PublicationId) -> Result<OpenDraft, SubmitError>;
    /// Lets one go out, if what it was decided on is so still; the reason that is kept with it.
    async fn release(
        &self,
        publication: PublicationId,
        reason: Option<String>,
        basis: Option<Basis>,
    ) -> Result<Option<String>, SubmitError>;
    /// Takes one away.
    async fn discard(&self, publication: PublicationId) -> Result<(), SubmitError>;
    /// Makes a durable draft of a withdrawal.
    async fn withdraw(&self, request: WithdrawalRequest) -> Result<Withdrawn, WithdrawError>;
    /// How far a publication of this node has come; `None` if it made no such.
    async fn status(&self, publication: PublicationId) -> Result<Option<DraftStatus>, SubmitError>;
    /// Who else holds a publication of this node; `None` if it has not sent it.
    async fn holders(&self, publication: PublicationId) -> Result<Option<Held>, SubmitError>;
}

/// What the running node knows about itself and no table does.
#[async_trait]
pub trait NodeStatus: Send + Sync {
    /// For `GET /api/v1/status`.
    async fn report(&self) -> NodeReport;
    /// For `GET /api/v1/peers`.
    async fn peers(&self) -> Vec<PeerReport>;
    /// For `GET /api/v1/sync`: the node, and each of these groups in turn; `None` if the store cannot be read.
    async fn sync(&self, groups: Vec<GroupId>) -> Option<(Report, Vec<GroupProgress>)>;
    /// Envelopes parked until the admin log catches up.
    async fn parked(&self) -> usize;
    /// Takes in an admin log file and tells the coalition; the error is a sentence for its sender.
    async fn import_log(&self, text: String) -> Result<Imported, String> {
        drop(text);
        Err("this node takes no log files".to_owned())
    }
    /// Signs and tells where this member's functions are reached; answered with when that was, on disk then.
    async fn set_contact(&self, mailboxes: Vec<Mailbox>) -> Result<Timestamp, ContactRefused> {
        Err(ContactRefused::Rule(format!("this node tells nobody of its {} mailboxes", mailboxes.len())))
    }
    /// Copies this node into a new folder; the answer is the manifest.
    async fn backup(&self, folder: PathBuf) -> Result<serde_json::Value, BackupRefused> {
        Err(BackupRefused::Folder(format!("this node makes no backups, so none in {}", folder.display())))
    }
    /// What keeps this node from sending now, or lets others refuse what it sends: each a sentence. Cheap.
    fn obstacles(&self) -> Vec<String> {
        Vec::new()
    }
    /// Ways out that push, and how they are doing.
    fn hooks(&self) -> Vec<HookStatus> {
        Vec::new()
    }
    /// What a hook gave up; none if there is no such hook.
    fn dead_letters(&self, hook: &str) -> Option<Vec<DeadLetter>> {
        let _ = hook;
        None
    }
    /// What a hook tried of late, the oldest first; none if there is no such hook.
    fn tries(&self, hook: &str) -> Option<Vec<HookTry>> {
        let _ = hook;
        None
    }
    /// Has a hook try again what it gave up: how many; none if there is no such hook.
    fn replay(&self, hook: &str) -> Option<usize> {
        let _ = hook;
        None
    }
    /// Where things are taken in from, and how that goes.
    fn sources(&self) -> Vec<SourceStatus> {
        Vec::new()
    }
    /// Has a source run now; whether there is one of this name.
    fn run_source(&self, source: &str) -> bool {
        let _ = source;
        false
    }
    /// What happened since the start: name and count, for `GET /metrics`.
    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
    /// What was refused since the start: on which way, why, how often.
    fn refusals(&self) -> Vec<(&'static str, &'static str, u64)> {
        Vec::new()
    }
    /// Bytes that links carried, as OpenMetrics lines without the closing one.
    fn traffic(&self) -> String {
        String::new()
    }
    /// Whether every task runs and the store takes writes; cheap, asked often.
    fn is_ready(&self) -> bool;
}

/// Why a backup was not made.
#[derive(Debug)]
pub enum BackupRefused {
    /// The folder's fault: a sentence for whoever named it.
    Folder(String),
    /// This node's, or its disk's.
    Fault(Box<dyn std::error::Error + Send + Sync>),
}

/// Why a contact was not set.
#[derive(Debug)]
pub enum ContactRefused {
    /// It breaks a rule: a sentence for whoever set it.
    Rule(String),
    /// The disk is nearly full.
    NoRoom,
    /// This node's, or its disk's.
    Fault(Box<dyn std::error::Error + Send + Sync>),
}

/// What a log file came to.
#[derive(Clone, Copy, Debug)]
pub struct Imported {
    /// Height of the admin log before.
    pub before: u64,
    /// Height after.
    pub after: u64,
    /// Where the file says the log ends.
    pub offered: u64,
    /// Version of the charter in force before.
    pub charter_before: u64,
    /// Version in force after.
    pub charter_after: u64,
    /// Until when a beacon vouches for that; unset for a log.
    pub vouches_until: Option<Timestamp>,
    /// Of a removal that no registrar ordered, whether it was news; unset for anything else.
    pub removes: Option<bool>,
}

/// The node's condition.
#[derive(Clone, Debug, Default)]
pub struct NodeReport {
    /// libp2p's name of this node.
    pub peer_id: String,
    /// When the daemon started.
    pub started: Timestamp,
    /// Addresses it listens on for peers.
    pub listening: Vec<String>,
    /// Admitted peers connected now.
    pub connected: usize,
    /// Own publications whose key no other member holds yet.
    pub readable_only_here: usize,
    /// Drafts not yet flushed.
    pub drafts: usize,
    /// Envelopes parked until the admin log catches up.
    pub parked: usize,
    /// Own clock minus the peers' median, in milliseconds; unset before three peers answered.
    pub clock_offset_ms: Option<i64>,
    /// What an operator should know, each a sentence of its own.
    pub warnings: Vec<String>,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct PeerReport {
    /// libp2p's name of the peer.
    pub peer_id: String,
    /// Whose node it is; unset in the lobby.
    pub member: Option<MemberId>,
    /// Has the full protocols, not only hello.
    pub admitted: bool,
    /// We dialled.
    pub outbound: bool,
    /// Where it is connected from or to.
    pub addresses: Vec<String>,
    /// Groups it subscribes to.
    pub groups: Vec<GroupId>,
    /// Connected since.
    pub since: Timestamp,
}

/// How a hook is doing.
#[derive(Clone, Debug, Serialize)]
pub struct HookStatus {
    /// Its name.
    pub name: String,
    /// `webhook` or `syslog`.
    pub kind: &'static str,
    /// Where to, without path.
    pub target: String,
    /// Sends nothing, counts all.
    pub shadow: bool,
    /// `waiting`, `sending`, `failing` or `stopped`.
    pub state: &'static str,
    /// Number in the feed up to which all is done.
    pub position: u64,
    /// Events sent since the start; of a shadow, that would have been.
    pub sent: u64,
    /// Objects held back since the start, by reason.
    pub held_back: BTreeMap<&'static str, u64>,
    /// Events given up and kept to be tried again.
    pub dead_letters: usize,
    /// Those that were more than are kept.
    pub lost: u64,
    /// Since when nothing gets through.
    pub failing_since: Option<Timestamp>,
    /// And why.
    pub failure: Option<String>,
}

/// How a source is doing.
#[derive(Clone, Debug, Serialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// `folder`, `taxii` or `misp`.
    pub kind: &'static str,
    /// Where from.
    pub from: String,
    /// Slug of the group it is for.
    pub group: String,
    /// What it brings goes out without a person.
    pub publishes: bool,
    /// `waiting`, `running` or `failing`.
    pub state: &'static str,
    /// When a run last ended.
    pub last_run: Option<Timestamp>,
    /// When the next one begins; unset while one runs.
    pub next_run: Option<Timestamp>,
    /// Publications and drafts made, over all runs.
    pub taken: u64,
    /// Objects in them.
    pub objects: u64,
    /// Items that had come before.
    pub known: u64,
    /// Items, and objects of them, that were refused.
    pub refused: u64,
    /// Parts of items that tell nothing to look for.
    pub skipped: u64,
    /// Items, and versions of items, that were taken back because their feed did.
    pub taken_back: u64,
    /// Publications and drafts that the last run made.
    pub last_taken: u64,
    /// Refusals of the last run.
    pub last_refused: u64,
    /// The newest refusals since the start.
    pub refusals: Vec<SourceRefusal>,
    /// What there is to know of the newest items that were taken since the start.
    pub notes: Vec<SourceRefusal>,
    /// Since when its runs fail.
    pub failing_since: Option<Timestamp>,
    /// And why.
    pub failure: Option<String>,
}

/// An item of a source that was not taken, or of which there is something to know.
#[derive(Clone, Debug, Serialize)]
pub struct SourceRefusal {
    /// When.
    pub at: Timestamp,
    /// Which: a file, a STIX id, an event's.
    pub item: String,
    /// Why.
    pub why: String,
}

/// An event that its receiver refused for good.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter {
    /// Its number in the feed.
    pub number: u64,
    /// When it was given up.
    pub at: Timestamp,
    /// HTTP status of the last refusal.
    pub status: u16,
}

/// A try of a hook to give an event away.
#[derive(Clone, Debug, Serialize)]
pub struct HookTry {
    /// Counted from the start of the node.
    pub number: u64,
    /// When it ended.
    pub at: Timestamp,
    /// The event's id, as its receiver has it.
    pub event: String,
    /// `taken`, `refused`, `away` or `gone`.
    pub outcome: &'static str,
    /// Why it was not taken.
    pub why: Option<String>,
}

/// Everything the server is made of, from the daemon.
#[derive(Clone)]
pub struct Ports {
    /// The sole reader.
    pub query: Query,
    /// The way in.
    pub publish: Arc<dyn Publish>,
    /// The node's condition.
    pub status: Arc<dyn NodeStatus>,
    /// Folder of the texts that the charter names.
    pub texts: PathBuf,
    /// Who did what.
    pub audit: AuditLog,
    /// Wakes event streams; the value is the store's newest feed sequence.
    pub feed: watch::Receiver<u64>,
}
