//! Pages of the admin log on their way: pulled by whoever is behind, pushed by a guest that its listener lacks.

use std::time::Duration;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::Height,
    limits,
    schema::{
        self, AdminPage, HelloRequest, HelloResponse, PullAdmin, Refusal, hello_request, hello_response,
    },
};
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    Command, Membership,
    pulls::{Begin, Pulled},
};
use crate::network::Network;

/// Bytes of records in one pushed page: with the frame around them below the request's 64 KiB.
pub(super) const PUSH_BYTES: usize = 48 * 1024;
/// Pages pulled from one peer in one go: 256 records each, so a log of a quarter million.
const MAX_PAGES: usize = 1024;

impl Membership {
    /// Starts telling a listener that keeps us in its lobby what its admin log lacks.
    pub(super) fn push(&self, peer: PublicKey, theirs: Height, their_charter: u64) {
        let (network, roster, store) = (self.network.clone(), self.roster.clone(), self.store.clone());
        tokio::spawn(async move {
            let charters = roster.snapshot().charters().signed().to_vec();
            let known = usize::try_from(their_charter).unwrap_or(usize::MAX);
            let mut charters: Vec<schema::Signed> = charters.into_iter().skip(known).collect();
            let mut next = theirs.get().saturating_add(1);
            for _ in 0..MAX_PAGES {
                let Ok(bytes) = store.records(Height::new(next), limits::MAX_PAGE_RECORDS) else { return };
                let mut room = PUSH_BYTES;
                let mut records = Vec::new();
                for record in bytes {
                    let Some(left) = room.checked_sub(record.len() + 8) else { break };
                    let Ok(record) = schema::Record::decode(record.as_slice()) else { return };
                    room = left;
                    records.push(record);
                }
                if records.is_empty() && charters.is_empty() {
                    return;
                }
                let page = AdminPage { charters: std::mem::take(&mut charters), records, more: false };
                let request = HelloRequest { request: Some(hello_request::Request::PushAdmin(page)) };
                match network.hello(&peer, request).await {
                    Ok(HelloResponse { response: Some(hello_response::Response::Pushed(now)) })
                        if now.height >= next =>
                    {
                        next = now.height.saturating_add(1);
                    }
                    Ok(_) => return,
                    Err(error) => {
                        tracing::debug!(%peer, "push of the admin log: {error}");
                        return;
                    }
                }
            }
        });
    }

    /// Starts pulling what `peer`'s admin log has beyond ours, unless one is under way or it had nothing lately.
    pub(super) fn pull(&mut self, peer: PublicKey) -> Begin {
        let begin = self.pulls.begin(peer, Instant::now());
        if begin != Begin::Begun {
            return begin;
        }
        let (network, commands, roster) =
            (self.network.clone(), self.commands.0.clone(), self.roster.clone());
        tokio::spawn(async move {
            let begun = (roster.snapshot().version(), roster.snapshot().charter().version());
            let mut failed = false;
            for _ in 0..MAX_PAGES {
                let ours = roster.snapshot();
                let pull = PullAdmin {
                    from_height: ours.version().height.get() + 1,
                    from_charter: ours.charter().version() + 1,
                };
                match pull_page(&network, &commands, &peer, pull).await {
                    Some(true) => {}
                    Some(false) => break,
                    None => {
                        failed = true;
                        break;
                    }
                }
            }
            let now = (roster.snapshot().version(), roster.snapshot().charter().version());
            let pulled = match now != begun {
                true => Pulled::Advanced,
                false if failed => Pulled::Failed,
                false => Pulled::Nothing,
            };
            let _ = commands.send(Command::Pulled { peer, pulled }).await;
        });
        begin
    }
}

/// One page: asked, offered, durable. `Some(true)` if there is more to ask for, `None` without an answer.
async fn pull_page(
    network: &Network,
    commands: &mpsc::Sender<Command>,
    peer: &PublicKey,
    pull: PullAdmin,
) -> Option<bool> {
    let request = HelloRequest { request: Some(hello_request::Request::PullAdmin(pull)) };
    let response = network.hello(peer, request).await;
    let page = match response {
        Ok(HelloResponse { response: Some(hello_response::Response::AdminPage(page)) }) => page,
        Ok(HelloResponse { response: Some(hello_response::Response::Refused(code)) })
            if code == i32::from(Refusal::Busy) =>
        {
            return None;
        }
        Ok(_) => return Some(false),
        Err(error) => {
            tracing::debug!(%peer, "pull of the admin log: {error}");
            return None;
        }
    };
    if page.charters.is_empty() && page.records.is_empty() {
        return Some(false);
    }
    let (done, advanced) = oneshot::channel();
    commands
        .send(Command::Offer { charters: page.charters, records: page.records, spread: false, done })
        .await
        .ok()?;
    let advanced = tokio::time::timeout(Duration::from_secs(60), advanced).await.ok()?.ok()?;
    Some(advanced && page.more)
}
