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

/// Bytes of records and charters in one pushed page, or one charter that is larger: far below what a request may be, so that
/// a listener takes many guests' side by side.
pub(super) const PUSH_BYTES: usize = 48 * 1024;
/// Pages pulled from one peer in one go: 256 records each, so a log of a quarter million.
const MAX_PAGES: usize = 1024;

impl Membership {
    /// Starts telling a listener that keeps us in its lobby what its admin log lacks.
    pub(super) fn push(&self, peer: PublicKey, theirs: Height, their_charter: u64) {
        let (network, roster, store) = (self.network.clone(), self.roster.clone(), self.store.clone());
        tokio::spawn(async move {
            let known = usize::try_from(their_charter).unwrap_or(usize::MAX);
            let ours = roster.snapshot();
            let mut charters = ours.charters().signed().get(known..).unwrap_or_default();
            let mut next = theirs.get().saturating_add(1);
            for _ in 0..MAX_PAGES {
                let Ok(bytes) = store.records(Height::new(next), limits::MAX_PAGE_RECORDS) else { return };
                let (first, rest) = within(charters, PUSH_BYTES);
                charters = rest;
                let mut page = AdminPage { charters: first.to_vec(), ..AdminPage::default() };
                let mut room = PUSH_BYTES.saturating_sub(page.encoded_len());
                // What charters that are yet to come rule over comes behind them.
                for record in bytes.into_iter().take_while(|_| rest.is_empty()) {
                    let Some(left) = room.checked_sub(record.len() + 8) else { break };
                    let Ok(record) = schema::Record::decode(record.as_slice()) else { return };
                    room = left;
                    page.records.push(record);
                }
                if page == AdminPage::default() {
                    return;
                }
                let is_charters_alone = page.records.is_empty();
                let request = HelloRequest { request: Some(hello_request::Request::PushAdmin(page)) };
                match network.hello(&peer, request).await {
                    Ok(HelloResponse { response: Some(hello_response::Response::Pushed(now)) })
                        if is_charters_alone || now.height >= next =>
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

/// The charters that go into one page of this size, and the rest. One at least, however large: without it nothing goes on.
pub(super) fn within(charters: &[schema::Signed], bytes: usize) -> (&[schema::Signed], &[schema::Signed]) {
    let (mut room, mut count) = (bytes, 0);
    for charter in charters {
        match room.checked_sub(charter.encoded_len().saturating_add(8)) {
            Some(left) => room = left,
            None if count == 0 => room = 0,
            None => break,
        }
        count += 1;
    }
    charters.split_at_checked(count).unwrap_or((charters, &[]))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn charter(bytes: usize) -> schema::Signed {
        schema::Signed { payload: vec![7; bytes], ..schema::Signed::default() }
    }

    #[test]
    fn charters_go_into_pages_one_at_least_in_each() {
        let all: Vec<schema::Signed> = [400, 400, 400, 5000, 10].map(charter).to_vec();
        let (mut rest, mut pages) = (all.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (page, others) = within(rest, 1000);
            pages.push(page.len());
            rest = others;
        }
        assert_eq!(pages, [2, 1, 1, 1]);
        assert!(within(&[], 1000).0.is_empty());
    }
}
