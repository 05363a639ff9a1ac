//! What the API asks of the rest, answered from the parts that know.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use belfry_proto::{
    id::{GroupId, MessageId, PublicationId},
    schema::{Mailbox, StalenessPolicy},
    stix::{object::Object, warning::Warnings},
    time::Timestamp,
    topic::Topic,
    trust::{beacon, file, roster::Roster},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    ends, on_sight, outlets,
    stored::{COUNTED, Reading, Stored},
    texts,
};
use crate::{
    api::ports::{
        BackupRefused, ContactRefused, DeadLetter, HookStatus, HookTry, Imported, NodeReport, NodeStatus,
        OfGroups, PeerReport, Publish, SourceRefusal, SourceStatus,
    },
    backup::{BackupError, Backups},
    clock, config,
    heard::{Freshness, Hellos, LogWatch},
    hooks::Hooks,
    identity::Identity,
    membership::{Import, NotKept},
    network::Network,
    publish::{
        Held, Hold, Holders, Publisher, WarningLists,
        drafts::{Basis, HeldDraft, OpenDraft},
        preview::Preview,
        submission::{Accepted, DraftStatus, Submission, SubmitError},
        withdraw::{WithdrawError, WithdrawalRequest, Withdrawn},
    },
    query::lists::Lists,
    roster::LiveRoster,
    sources::{Refusal, SourceReport, Sources},
    store::Store,
    sync::{self, GroupProgress, Progress, Report},
};

pub(super) struct Publishing(pub(super) Publisher, pub(super) Holders);

#[async_trait]
impl Publish for Publishing {
    async fn submit(&self, submission: Submission) -> Result<Accepted, SubmitError> {
        self.0.submit(submission).await
    }

    async fn submit_together(&self, submissions: Vec<Submission>) -> Result<Vec<Accepted>, SubmitError> {
        self.0.submit_together(submissions).await
    }

    async fn submit_on(
        &self,
        bases: Vec<Basis>,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Accepted>, SubmitError> {
        self.0.submit_on(bases, submissions).await
    }

    async fn basis(
        &self,
        group: GroupId,
        object: String,
        note: Option<String>,
    ) -> Result<Basis, SubmitError> {
        self.0.basis(group, object, note).await
    }

    async fn before(&self, submission: Submission) -> Result<Option<Accepted>, SubmitError> {
        self.0.before(submission).await
    }

    async fn like(
        &self,
        message: MessageId,
        submitter: String,
    ) -> Result<(Submission, Vec<Object>), SubmitError> {
        self.0.like(message, &submitter).await
    }

    async fn preview(&self, submission: Submission) -> Result<Preview, SubmitError> {
        self.0.preview(submission).await
    }

    async fn held(
        &self,
        of: OfGroups,
        after: Option<Vec<u8>>,
        most: usize,
    ) -> Result<(Vec<HeldDraft>, Option<Vec<u8>>), SubmitError> {
        self.0.held(of, after, most).await
    }

    async fn held_draft(&self, publication: PublicationId) -> Result<OpenDraft, SubmitError> {
        self.0.held_draft(publication).await
    }

    async fn release(
        &self,
        publication: PublicationId,
        reason: Option<String>,
        basis: Option<Basis>,
    ) -> Result<Option<String>, SubmitError> {
        self.0.release(publication, reason, basis).await
    }

    async fn discard(&self, publication: PublicationId) -> Result<(), SubmitError> {
        self.0.discard(publication).await
    }

    async fn withdraw(&self, request: WithdrawalRequest) -> Result<Withdrawn, WithdrawError> {
        self.0.withdraw(request).await
    }

    async fn status(&self, publication: PublicationId) -> Result<Option<DraftStatus>, SubmitError> {
        let publisher = self.0.clone();
        tokio::task::spawn_blocking(move || publisher.status(publication))
            .await
            .map_err(|error| SubmitError::Fault(Box::new(error)))?
            .map_err(|error| SubmitError::Fault(Box::new(error)))
    }

    async fn holders(&self, publication: PublicationId) -> Result<Option<Held>, SubmitError> {
        self.1.of(publication).await.map_err(|error| SubmitError::Fault(Box::new(error)))
    }
}

/// The query's warning lists, for the guards.
pub(super) struct Known(pub(super) Lists);

impl WarningLists for Known {
    fn show(&self, look: &mut dyn FnMut(&Warnings)) {
        look(&self.0.current().warnings);
    }
}

pub(super) struct Status {
    pub(super) identity: Arc<Identity>,
    pub(super) store: Store,
    /// The store's folder.
    pub(super) kept_in: PathBuf,
    pub(super) network: Network,
    pub(super) roster: LiveRoster,
    pub(super) hellos: watch::Receiver<Hellos>,
    pub(super) log_watch: watch::Receiver<LogWatch>,
    pub(super) held: watch::Receiver<Option<Hold>>,
    pub(super) progress: Progress,
    pub(super) import: Import,
    pub(super) stopping: CancellationToken,
    pub(super) started: Timestamp,
    pub(super) sync: Arc<sync::Counters>,
    pub(super) backups: Backups,
    pub(super) hooks: Hooks,
    pub(super) lists: Lists,
    pub(super) sources: Sources,
}

impl Status {
    /// What the store tells, for the warnings and beside them.
    fn reading(&self, hellos: &Hellos) -> Reading {
        Reading {
            identity: Arc::clone(&self.identity),
            store: self.store.clone(),
            kept_in: self.kept_in.clone(),
            roster: self.roster.snapshot(),
            hellos: hellos.clone(),
            now: clock::now(),
        }
    }

    fn warnings(&self, hellos: &Hellos, stored: Stored) -> Vec<String> {
        let now = clock::now();
        let roster = self.roster.snapshot();
        let own = self.identity.serial;
        let drafts = stored.drafts;
        let mut warnings = ends::over(&roster, own, now);
        warnings.extend(ends::soon(&roster, own, now));
        warnings.extend(texts::asked(&roster, self.identity.member, now));
        warnings.extend(stored.contact);
        if drafts > 0
            && let Some(hold) = *self.held.borrow()
        {
            let wait = if drafts == 1 { "draft waits" } else { "drafts wait" };
            warnings.push(format!("{drafts} {wait}: {hold}."));
        }
        if stored.copied > 0 {
            warnings.push(format!(
                "Drafts that were queued when this database was copied, and may have gone out since: {}. They wait for you: see                  belfry drafts list, and release or discard each.",
                stored.copied
            ));
        }
        warnings.extend(refused(hellos));
        let unshown = hellos.unshown.len();
        if unshown > 0 {
            warnings.push(format!(
                "Nodes that say they hold more of this node's own logs than it does, and did not show it: {unshown}. Their word is set aside."
            ));
        }
        for peer in &hellos.forked_with {
            warnings.push(format!("The admin log of {peer} contradicts ours: one of us was shown a fork."));
        }
        let watch = self.log_watch.borrow().clone();
        match watch.freshness(roster.charter(), now) {
            Freshness::Stale(since) => warnings.push(format!(
                "The registrar last vouched for the admin log at {since}: a revocation may have been kept from us."
            )),
            Freshness::Unknown if roster.charter().staleness() == StalenessPolicy::StopPublishing => {
                warnings.push("No beacon has come yet, and the charter stops publishing without one.".to_owned());
            }
            Freshness::Unknown | Freshness::Fresh | Freshness::NotAsked => {}
        }
        if let Some(missing) = watch.missing {
            warnings.push(format!(
                "A beacon names entry {} of the admin log, which no peer has given us yet.",
                missing.height
            ));
        }
        if watch.contradicted.is_some() {
            warnings.push(
                "The registrar signed a beacon for another admin log than ours: it is forked.".to_owned(),
            );
        }
        for height in &watch.equivocations {
            warnings.push(format!(
                "The registrar signed two entries for height {height} of the admin log; the proof is kept here \
                 (`belfry audit equivocations`)."
            ));
        }
        warnings.extend(on_sight::told(&roster));
        warnings.extend(on_sight::undone(&roster, now));
        if let Some(refused) = watch.refused_charter {
            warnings.push(format!("A charter that root keys signed is refused here: {refused}."));
        }
        warnings.extend(stored.newcomers);
        warnings.extend(stored.kept);
        for source in self.sources.report() {
            if let Some((since, why)) = source.failing {
                warnings.push(format!("The source {} brings nothing since {since}: {why}.", source.name));
            }
        }
        warnings.extend(outlets::warnings(&self.hooks, &self.lists));
        warnings.extend(stored.over_disk_quota);
        if !self.store.has_room() {
            let (free, floor) = self.store.space().figures();
            warnings.push(format!(
                "Free space is {} MiB, below the floor of {} MiB: this node only reads until there is more.",
                free >> 20,
                floor >> 20
            ));
        }
        if let Some(damage) = self.store.damage().borrow().as_ref() {
            warnings.push(format!(
                "The store is damaged: {damage}. Run `belfry store heal` with this node stopped."
            ));
        }
        warnings.extend(stored.healed);
        if !self.store.is_writable() {
            warnings.push(
                "The store stopped after a write error; look at the log, mend the disk, restart.".to_owned(),
            );
        }
        warnings
    }
}

fn source_status(source: SourceReport) -> SourceStatus {
    SourceStatus {
        name: source.name,
        kind: source.kind,
        from: source.from,
        group: source.group,
        publishes: source.publishes,
        state: source.state,
        last_run: source.last_run,
        next_run: source.next_run,
        taken: source.counts.taken,
        objects: source.counts.objects,
        known: source.counts.known,
        refused: source.counts.refused,
        skipped: source.counts.skipped,
        taken_back: source.counts.taken_back,
        last_taken: source.last.taken,
        last_refused: source.last.refused,
        refusals: source.refusals.into_iter().map(refusal).collect(),
        notes: source.notes.into_iter().map(refusal).collect(),
        failing_since: source.failing.as_ref().map(|(since, _)| *since),
        failure: source.failing.map(|(_, why)| why),
    }
}

fn refusal(found: Refusal) -> SourceRefusal {
    SourceRefusal { at: found.at, item: found.item, why: found.why }
}

/// What others say of our certificate, where our own log does not.
fn refused(hellos: &Hellos) -> Option<String> {
    let who = match hellos.refused_by.len() {
        0 => return None,
        1 => "1 node refuses".to_owned(),
        more => format!("{more} nodes refuse"),
    };
    let why = hellos.removal.map_or_else(
        || "was revoked or suspended, or has expired, in an admin log newer than ours".to_owned(),
        |removal| format!("was {removal}"),
    );
    Some(format!(
        "{who} this node as not certified: its certificate {why}. Ask the coalition for the log and for a certificate."
    ))
}

impl Status {
    async fn import_beacon(&self, text: &str, roster: &Roster) -> Result<Imported, String> {
        let beacon = file::read_beacon(text).map_err(|error| error.to_string())?;
        // Verified here once more than needed, for a reason to give.
        let found =
            beacon::verify(roster.charter(), &beacon, clock::now()).map_err(|error| error.to_string())?;
        let height = roster.version().height;
        if found.head.height <= height && !roster.is_prefix(found.head) {
            return Err(
                "the beacon is of another history of this coalition: one of them is forked".to_owned()
            );
        }
        self.import.beacon(beacon).await;
        Ok(Imported {
            before: height.get(),
            after: self.roster.snapshot().version().height.get(),
            offered: found.head.height.get(),
            charter_before: roster.charter().version(),
            charter_after: roster.charter().version(),
            vouches_until: Some(found.expires),
            removes: None,
        })
    }

    /// A removal that admins signed and no registrar could order: taken where the log is known to be forked.
    async fn import_removal(&self, text: &str, roster: &Roster) -> Result<Imported, String> {
        let statement = file::read_statement(text).map_err(|error| error.to_string())?;
        let taken = self.import.removal(statement).await.ok_or("this node is stopping")?;
        let is_news = taken.map_err(|error| error.to_string())?;
        let (height, charter) = (roster.version().height.get(), roster.charter().version());
        Ok(Imported {
            before: height,
            after: height,
            offered: height,
            charter_before: charter,
            charter_after: charter,
            vouches_until: None,
            removes: Some(is_news),
        })
    }
}

#[async_trait]
impl NodeStatus for Status {
    fn obstacles(&self) -> Vec<String> {
        let mut found = ends::over(&self.roster.snapshot(), self.identity.serial, clock::now());
        found.extend(refused(&self.hellos.borrow()));
        if let Some(hold) = *self.held.borrow() {
            found.push(format!("Nothing is sent now: {hold}."));
        }
        found
    }

    fn counters(&self) -> Vec<(String, u64)> {
        let network = self.network.counters().snapshot().rows();
        let mut rows: Vec<(String, u64)> =
            network.into_iter().map(|(name, count)| (format!("network_{name}"), count)).collect();
        let sync::Snapshot { compared, level, pages, kept, late, faults, pauses, served, turned_away } =
            self.sync.snapshot();
        for (name, count) in [
            ("compared", compared),
            ("level", level),
            ("pages", pages),
            ("kept", kept),
            ("late", late),
            ("faults", faults),
            ("pauses", pauses),
            ("served", served),
            ("turned_away", turned_away),
        ] {
            rows.push((format!("sync_{name}"), count));
        }
        rows
    }

    fn refusals(&self) -> Vec<(&'static str, &'static str, u64)> {
        let counts = self.network.refusals().counts();
        counts.into_iter().map(|(way, reason, count)| (way.as_str(), reason, count)).collect()
    }

    fn traffic(&self) -> String {
        self.network.traffic().open_metrics().unwrap_or_default()
    }

    async fn report(&self) -> NodeReport {
        // A copy: who borrows twice at once waits for ever behind a writer that waits for the first to end.
        let hellos = self.hellos.borrow().clone();
        let stored = self.reading(&hellos).told().await;
        let peers = self.network.peers().await.unwrap_or_default();
        let listening = self.network.listen_addresses().await.unwrap_or_default();
        NodeReport {
            peer_id: config::peer_id(&self.identity.node),
            started: self.started,
            listening: listening.iter().map(|a| a.with_node(&self.identity.node)).collect(),
            connected: peers.iter().filter(|peer| peer.admitted).count(),
            readable_only_here: stored.readable_only_here,
            drafts: stored.drafts,
            parked: stored.parked,
            clock_offset_ms: hellos.clock_offset().map(|micros| micros.saturating_neg() / 1000),
            warnings: self.warnings(&hellos, stored),
        }
    }

    async fn peers(&self) -> Vec<PeerReport> {
        let roster = self.roster.snapshot();
        let peers = self.network.peers().await.unwrap_or_default();
        peers
            .into_iter()
            .map(|peer| PeerReport {
                peer_id: config::peer_id(&peer.node),
                member: roster.by_node(&peer.node).map(|certificate| certificate.member),
                admitted: peer.admitted,
                outbound: peer.outbound,
                addresses: peer.addresses.iter().map(ToString::to_string).collect(),
                groups: peer
                    .topics
                    .iter()
                    .filter_map(|topic| match topic {
                        Topic::Group(group) => Some(*group),
                        Topic::Admin => None,
                    })
                    .collect(),
                since: peer.since,
            })
            .collect()
    }

    async fn sync(&self, groups: Vec<GroupId>) -> Option<(Report, Vec<GroupProgress>)> {
        let (store, progress) = (self.store.clone(), self.progress.clone());
        let told = tokio::task::spawn_blocking(move || {
            groups.iter().map(|group| progress.group(&store, *group)).collect::<Result<Vec<_>, _>>()
        });
        match told.await.ok()? {
            Ok(told) => Some((self.progress.report(), told)),
            Err(error) => {
                tracing::error!("progress of sync: {error}");
                None
            }
        }
    }

    async fn parked(&self) -> usize {
        let store = self.store.clone();
        let parked =
            tokio::task::spawn_blocking(move || store.parked(None, COUNTED).map_or(0, |all| all.len()));
        parked.await.unwrap_or_default()
    }

    async fn set_contact(&self, mailboxes: Vec<Mailbox>) -> Result<Timestamp, ContactRefused> {
        self.import.contact(mailboxes).await.map_err(|error| match error {
            NotKept::Refused(_) | NotKept::ClockOff => ContactRefused::Rule(error.to_string()),
            NotKept::NoRoom => ContactRefused::NoRoom,
            // Ours is newer than what is held, and nobody counts how many there are.
            NotKept::Held
            | NotKept::Older(_)
            | NotKept::TooMany(_)
            | NotKept::Store(_)
            | NotKept::Stopping => ContactRefused::Fault(Box::new(error)),
        })
    }

    async fn import_log(&self, text: String) -> Result<Imported, String> {
        let before = self.roster.snapshot();
        if file::kind_of(&text) == Some(file::FileKind::Beacon) {
            return self.import_beacon(&text, &before).await;
        }
        if file::kind_of(&text) == Some(file::FileKind::Statement) {
            return self.import_removal(&text, &before).await;
        }
        let file = file::read_log(&text).map_err(|error| error.to_string())?;
        // Verified here once more than needed, for a reason to give: membership only says yes or no.
        let folded = crate::keys::enrolment::fold(&file).map_err(|error| error.to_string())?;
        if folded.coalition() != before.coalition() {
            return Err(format!("the log is of coalition {}, not ours", folded.coalition()));
        }
        let both = before.charters().versions().zip(folded.charters().versions());
        if let Some((ours, _)) = both.into_iter().find(|(ours, theirs)| ours.id() != theirs.id()) {
            return Err(format!(
                "its charter version {} is another than ours: the root keys signed two, and a node that has one takes no \
                 other",
                ours.version()
            ));
        }
        let shorter =
            if folded.version().height < before.version().height { &folded } else { before.as_ref() };
        let longer =
            if folded.version().height < before.version().height { before.as_ref() } else { &folded };
        // A newer charter pins the branch that survives, whichever we hold.
        let is_pinned = folded.charter().version() > before.charter().version();
        if !longer.is_prefix(shorter.version()) && !is_pinned {
            // Nothing of it goes on from ours; where one registrar signed both, it is proof.
            self.import.offer(file).await;
            let kept = match self.log_watch.borrow().equivocations.is_empty() {
                true => "",
                false => "; the proof that the registrar signed both is kept (`belfry audit equivocations`)",
            };
            return Err(format!(
                "the log and ours are two histories of one coalition: one of them is forked{kept}"
            ));
        }
        let offered = folded.version().height.get();
        self.import.offer(file).await;
        let after = self.roster.snapshot();
        Ok(Imported {
            before: before.version().height.get(),
            after: after.version().height.get(),
            offered,
            charter_before: before.charter().version(),
            charter_after: after.charter().version(),
            vouches_until: None,
            removes: None,
        })
    }

    async fn backup(&self, folder: PathBuf) -> Result<serde_json::Value, BackupRefused> {
        let backups = self.backups.clone();
        let made = tokio::task::spawn_blocking(move || backups.create(&folder)).await;
        let manifest =
            made.map_err(|error| BackupRefused::Fault(Box::new(error)))?.map_err(|error| match error {
                BackupError::Exists(_) | BackupError::Relative(_) | BackupError::File(_) => {
                    BackupRefused::Folder(error.to_string())
                }
                other => BackupRefused::Fault(Box::new(other)),
            })?;
        serde_json::to_value(manifest).map_err(|error| BackupRefused::Fault(Box::new(error)))
    }

    fn hooks(&self) -> Vec<HookStatus> {
        self.hooks.report().into_iter().map(outlets::hook_status).collect()
    }

    fn dead_letters(&self, hook: &str) -> Option<Vec<DeadLetter>> {
        Some(self.hooks.dead_letters(hook)?.into_iter().map(outlets::dead_letter).collect())
    }

    fn tries(&self, hook: &str) -> Option<Vec<HookTry>> {
        Some(self.hooks.tries(hook)?.into_iter().map(outlets::hook_try).collect())
    }

    fn replay(&self, hook: &str) -> Option<usize> {
        self.hooks.replay(hook)
    }

    fn sources(&self) -> Vec<SourceStatus> {
        self.sources.report().into_iter().map(source_status).collect()
    }

    fn run_source(&self, source: &str) -> bool {
        self.sources.run(source)
    }

    fn is_ready(&self) -> bool {
        !self.stopping.is_cancelled() && self.store.is_writable() && self.store.has_room()
    }
}
