//! What stands behind the API in place of a network: the real publishing half, and a node that is alone.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use belfry_proto::{
    id::{GroupId, MessageId, PublicationId},
    schema,
    stix::object::Object,
    time::Timestamp,
};

use crate::{
    api::ports::{
        BackupRefused, ContactRefused, DeadLetter, HookStatus, HookTry, Imported, NodeReport, NodeStatus,
        OfGroups, PeerReport, Publish, SourceRefusal, SourceStatus,
    },
    clock,
    publish::{
        Held, Publisher,
        drafts::{Basis, HeldDraft, OpenDraft},
        preview::Preview,
        submission::{Accepted, DraftStatus, Submission, SubmitError},
        withdraw::{WithdrawError, WithdrawalRequest, Withdrawn},
    },
    store::{Change, Store},
    sync::{GroupProgress, Report, Tell},
};

/// The real publishing half, without a network to flush to.
pub(super) struct Publishing(pub(super) Publisher, pub(super) Between);

/// What others say between the looks of whoever decides and its commits, one at each.
#[derive(Clone)]
pub(super) struct Between {
    pub(super) changes: Arc<Mutex<VecDeque<Change>>>,
    pub(super) store: Store,
}

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
        let next = self.1.changes.lock().unwrap().pop_front();
        if let Some(change) = next {
            self.1.store.commit(change).await.unwrap();
        }
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
        self.0.status(publication).map_err(|error| SubmitError::Fault(Box::new(error)))
    }

    async fn holders(&self, publication: PublicationId) -> Result<Option<Held>, SubmitError> {
        // Alone, nobody else can hold it.
        let sent = self.status(publication).await?.filter(|draft| !draft.messages.is_empty());
        Ok(sent.map(|_| Held::default()))
    }
}

/// What a node without a network says of itself.
pub(super) struct Alone(pub(super) Store);

#[async_trait]
impl NodeStatus for Alone {
    async fn report(&self) -> NodeReport {
        NodeReport::default()
    }

    async fn peers(&self) -> Vec<PeerReport> {
        Vec::new()
    }

    async fn sync(&self, groups: Vec<GroupId>) -> Option<(Report, Vec<GroupProgress>)> {
        let (progress, store) = (Tell::default().progress(&Arc::default()), &self.0);
        let groups = groups.iter().map(|group| progress.group(store, *group).unwrap()).collect();
        Some((progress.report(), groups))
    }

    async fn parked(&self) -> usize {
        0
    }

    async fn set_contact(&self, _: Vec<schema::Mailbox>) -> Result<Timestamp, ContactRefused> {
        Ok(clock::now())
    }

    async fn backup(&self, folder: std::path::PathBuf) -> Result<serde_json::Value, BackupRefused> {
        Ok(serde_json::json!({ "folder": folder }))
    }

    async fn import_log(&self, text: String) -> Result<Imported, String> {
        match text.as_str() {
            "a log" => Ok(Imported {
                before: 1,
                after: 2,
                offered: 2,
                charter_before: 1,
                charter_after: 1,
                vouches_until: None,
                removes: None,
            }),
            "panic, please" => panic!("as asked for"),
            _ => Err("not a log".to_owned()),
        }
    }

    fn hooks(&self) -> Vec<HookStatus> {
        vec![HookStatus {
            name: "soar".to_owned(),
            kind: "webhook",
            target: "soar.example:443".to_owned(),
            shadow: false,
            state: "failing",
            position: 7,
            sent: 3,
            held_back: [("pap", 2)].into(),
            dead_letters: 1,
            lost: 0,
            failing_since: Some(clock::now()),
            failure: Some("answers 503".to_owned()),
        }]
    }

    fn dead_letters(&self, hook: &str) -> Option<Vec<DeadLetter>> {
        (hook == "soar").then(|| vec![DeadLetter { number: 5, at: clock::now(), status: 400 }])
    }

    fn tries(&self, hook: &str) -> Option<Vec<HookTry>> {
        let (event, why) = ("soar-5".to_owned(), Some("answers 400".to_owned()));
        (hook == "soar")
            .then(|| vec![HookTry { number: 1, at: clock::now(), event, outcome: "refused", why }])
    }

    fn replay(&self, hook: &str) -> Option<usize> {
        (hook == "soar").then_some(1)
    }

    fn sources(&self) -> Vec<SourceStatus> {
        vec![SourceStatus {
            name: "drop".to_owned(),
            kind: "folder",
            from: "/var/spool/belfry".to_owned(),
            group: "cidr".to_owned(),
            publishes: false,
            state: "waiting",
            last_run: Some(clock::now()),
            next_run: None,
            taken: 2,
            objects: 9,
            known: 1,
            refused: 1,
            skipped: 3,
            taken_back: 1,
            last_taken: 1,
            last_refused: 1,
            refusals: vec![SourceRefusal {
                at: clock::now(),
                item: "iocs.csv".to_owned(),
                why: "line 2: tlp cannot be read".to_owned(),
            }],
            notes: Vec::new(),
            failing_since: None,
            failure: None,
        }]
    }

    fn run_source(&self, source: &str) -> bool {
        source == "drop"
    }

    fn is_ready(&self) -> bool {
        true
    }
}
