//! Asking one peer for what it has beyond us.

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{self, DecodeError, Decoded},
    id::{GroupId, Sequence},
    limits,
    schema::{
        Page, PullFrontier, PullRange, SyncRequest, SyncResponse, sync_request::Request,
        sync_response::Response,
    },
    sync::{
        frontier::{self, FrontierError, LogFrontier},
        page::{self, PageError},
        plan::{self, Range, Want},
    },
};

use super::{Sync, serve::frontier_of};
use crate::{ingest::Kept, network::RequestError};

/// Pages taken of one log from one peer in one go; the next round goes on.
const MAX_PAGES: usize = 4096;

/// Why a pull stopped early.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error("request: {0}")]
    Request(#[from] RequestError),
    #[error("store: {0}")]
    Store(#[from] crate::store::ReadError),
    #[error("refused as {0}")]
    Refused(&'static str),
    #[error("the peer answered another question")]
    WrongAnswer,
    #[error("frontier: {0}")]
    Frontier(#[from] FrontierError),
    #[error("page: {0}")]
    Page(#[from] PageError),
    #[error("an envelope of the page: {0}")]
    Envelope(#[from] DecodeError),
    #[error("a page holds nothing of what was promised")]
    EmptyPage,
}

impl Sync {
    /// Brings every kept group up to what `peer` has. Errors end the pull, not the loop.
    pub(super) async fn pull_from(&self, peer: PublicKey) {
        let roster = self.roster.snapshot();
        for group in self.identity.kept_groups(&roster) {
            if let Err(error) = self.pull_group(peer, group).await {
                tracing::debug!(%peer, group = group.get(), "sync: {error}");
                if matches!(error, PullError::Request(_)) {
                    return;
                }
            }
        }
    }

    async fn pull_group(&self, peer: PublicKey, group: GroupId) -> Result<(), PullError> {
        let coalition = self.roster.snapshot().coalition();
        let ours: Vec<LogFrontier> = self.store.logs(group)?.iter().map(frontier_of).collect();
        let hash = frontier::hash(coalition, group, &ours).to_vec();
        let response = self
            .ask(peer, Request::Frontier(PullFrontier { group: group.get(), hash: hash.clone() }))
            .await?;
        let Response::Frontier(theirs) = response else { return Err(PullError::WrongAnswer) };
        if theirs.hash == hash {
            return Ok(());
        }
        let theirs = frontier::read_list(group, &theirs.logs)?;
        for range in plan::plan(&ours, &theirs) {
            match range.want {
                Want::Entries => self.pull_range(peer, range).await?,
                // Nothing drops bodies yet, and a proven fork needs no second proof.
                Want::Bodies | Want::Proof => {}
            }
        }
        Ok(())
    }

    async fn pull_range(&self, peer: PublicKey, range: Range) -> Result<(), PullError> {
        let mut next = range.from.get();
        for _ in 0..MAX_PAGES {
            if next > range.to.get() {
                return Ok(());
            }
            let request = PullRange {
                group: range.group.get(),
                log: range.log.to_vec(),
                from: next,
                to: range.to.get(),
            };
            let Response::Page(Page { envelopes, .. }) = self.ask(peer, Request::Range(request)).await?
            else {
                return Err(PullError::WrongAnswer);
            };
            if envelopes.is_empty() || envelopes.len() > limits::MAX_PAGE_ENVELOPES {
                return Err(PullError::EmptyPage);
            }
            let decoded: Vec<Decoded> =
                envelopes.iter().map(|bytes| envelope::decode(bytes)).collect::<Result<_, _>>()?;
            page::check_page(&Range { from: Sequence::new(next), ..range }, &decoded)?;
            let count = envelopes.len() as u64;
            let kept = self.intake.offer(peer, envelopes).await;
            let taken =
                kept.iter().filter(|k| matches!(k, Kept::Stored | Kept::Known | Kept::Parked)).count();
            tracing::debug!(%peer, group = range.group.get(), log = %range.log, from = next, count, taken, "sync page");
            if taken == 0 {
                return Err(PullError::EmptyPage);
            }
            next += count;
        }
        Ok(())
    }

    async fn ask(&self, peer: PublicKey, request: Request) -> Result<Response, PullError> {
        match self.network.sync(&peer, SyncRequest { request: Some(request) }).await? {
            SyncResponse { response: Some(Response::Refused(code)) } => Err(PullError::Refused(
                belfry_proto::schema::Refusal::try_from(code).unwrap_or_default().as_str_name(),
            )),
            SyncResponse { response: Some(response) } => Ok(response),
            SyncResponse { response: None } => Err(PullError::WrongAnswer),
        }
    }
}
