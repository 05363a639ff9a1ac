//! Frontiers, plans and pages with one peer at a time.

use std::collections::BTreeMap;

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{self, DecodeError, Decoded},
    id::{GroupId, LogId, MessageId, Sequence},
    schema::{
        Fork, Frontier, Page, PullFork, PullFrontier, PullRange, Refusal, SyncRequest, SyncResponse,
        decode_canonical, sync_request::Request, sync_response::Response,
    },
    sync::{Range, Want, check_fork, check_page, hash, page::check_excuses, plan, read_list},
    time::Timestamp,
    verdict::Judged,
};
use rand::seq::IndexedRandom;

use super::{Asked, Cx, Node, Observation};
use crate::{
    faults::{Crashed, Defect},
    network::Protocol,
};

impl Node {
    pub(super) fn pull_someone(&mut self, cx: &mut Cx<'_>) {
        for group in self.groups(cx.now) {
            if let Some(peer) = self.peers_of(group, cx.now).choose(cx.rng).copied() {
                self.pull_group(peer, group, cx);
            }
        }
    }

    pub(super) fn pull_group(&mut self, peer: PublicKey, group: GroupId, cx: &mut Cx<'_>) {
        if self.has(Defect::NeverSyncs) || peer == self.key() {
            return;
        }
        let hash = hash(self.coalition, group, &self.durable.logs.frontier(group)).to_vec();
        let pull = Request::Frontier(PullFrontier { group: group.get(), hash, ..PullFrontier::default() });
        self.ask_sync(peer, Asked::Frontier { peer, group }, pull, cx);
    }

    pub(super) fn frontier_answered(
        &mut self,
        peer: PublicKey,
        group: GroupId,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let Some(Response::Frontier(Frontier { logs, .. })) = answer(bytes) else { return Ok(()) };
        let theirs = match read_list(group, &logs) {
            Ok(theirs) => theirs,
            Err(error) => return self.spoiled(peer, error.code(), cx),
        };
        for range in plan(&self.durable.logs.frontier(group), &theirs) {
            if range.want == Want::Fork {
                let pull = Request::Fork(PullFork { group: group.get(), log: range.log.to_vec() });
                self.ask_sync(peer, Asked::Fork { peer, range }, pull, cx);
                continue;
            }
            // From a fork on there is nothing to fetch; below it there may be, and a lower fork.
            let below = self.durable.logs.fork(group, range.log).map_or(u64::MAX, |fork| fork - 1);
            let range = Range { to: range.to.min(Sequence::new(below)), ..range };
            if range.from > range.to {
                continue;
            }
            self.pull_range(peer, range, cx);
        }
        Ok(())
    }

    /// Nothing of the answer is used, and its peer is to blame.
    fn spoiled(&self, from: PublicKey, code: &'static str, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        cx.saw(Observation::Spoiled { from, code });
        Ok(())
    }

    fn pull_range(&mut self, peer: PublicKey, range: Range, cx: &mut Cx<'_>) {
        let pull = Request::Range(PullRange {
            group: range.group.get(),
            log: range.log.to_vec(),
            from: range.from.get(),
            to: range.to.get(),
        });
        self.ask_sync(peer, Asked::Range { peer, range }, pull, cx);
    }

    pub(super) fn page_answered(
        &mut self,
        peer: PublicKey,
        range: Range,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let Some(Response::Page(Page { envelopes, withdrawals, .. })) = answer(bytes) else { return Ok(()) };
        let decode = |bytes: &Vec<u8>| envelope::decode(bytes);
        let decoded = |all: &[Vec<u8>]| all.iter().map(decode).collect::<Result<Vec<Decoded>, DecodeError>>();
        let (page, excuses) = match (decoded(&envelopes), decoded(&withdrawals)) {
            (Ok(page), Ok(excuses)) => (page, excuses),
            (Err(error), _) | (_, Err(error)) => return self.spoiled(peer, error.code(), cx),
        };
        let checked = check_page(&range, &page).and_then(|()| check_excuses(&range, &page, &excuses));
        if let Err(error) = checked {
            return self.spoiled(peer, error.code(), cx);
        }
        // First, so that what comes without its body is excused when it is judged.
        self.take_page(peer, &withdrawals, cx)?;
        if self.take_page(peer, &envelopes, cx)? == 0 {
            return Ok(());
        }
        let next = range.from.get() + envelopes.len() as u64;
        if next <= range.to.get() {
            self.pull_range(peer, Range { from: Sequence::new(next), ..range }, cx);
        }
        Ok(())
    }

    pub(super) fn fork_answered(
        &mut self,
        peer: PublicKey,
        range: Range,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let Some(Response::Fork(Fork { one, other })) = answer(bytes) else { return Ok(()) };
        let [Ok(first), Ok(second)] = [&one, &other].map(|bytes| envelope::decode(bytes)) else {
            return Ok(());
        };
        // Nobody's fault: a lower fork may have come to light since it said where.
        if check_fork(range.group, range.log, range.from, [&first, &second]).is_err() {
            return Ok(());
        }
        // Judged like a page: that its author signed them is the ladder's to say.
        self.take_page(peer, &[one, other], cx).map(drop)
    }

    fn ask_sync(&mut self, peer: PublicKey, asked: Asked, request: Request, cx: &mut Cx<'_>) {
        self.request(peer, Protocol::Sync, asked, &SyncRequest { request: Some(request) }, cx);
    }

    pub(super) fn serve(&mut self, from: PublicKey, id: u64, bytes: &[u8], cx: &mut Cx<'_>) {
        let request: SyncRequest = decode_canonical("sync", bytes, 1024).unwrap();
        let response = match request.request {
            Some(Request::Frontier(pull)) => self.serve_frontier(&from, &pull, cx.now),
            Some(Request::Range(pull)) => self.serve_range(&from, &pull, cx.now),
            Some(Request::Fork(pull)) => self.serve_fork(&from, &pull, cx.now),
            Some(
                Request::Addresses(_) | Request::Slices(_) | Request::Contacts(_) | Request::PushContact(_),
            )
            | None => Err(Refusal::Malformed),
        };
        let response = match response {
            Ok((group, response)) => self.lie(group, response, cx.rng),
            Err(refusal) => Response::Refused(refusal.into()),
        };
        cx.reply(from, id, &SyncResponse { response: Some(response) });
    }

    fn serve_frontier(
        &self,
        from: &PublicKey,
        pull: &PullFrontier,
        now: Timestamp,
    ) -> Result<(GroupId, Response), Refusal> {
        let group = self.entitled(from, pull.group, now)?;
        let ours = self.durable.logs.frontier(group);
        let hash = hash(self.coalition, group, &ours).to_vec();
        let logs = if pull.hash == hash { Vec::new() } else { ours.iter().map(Into::into).collect() };
        Ok((group, Response::Frontier(Frontier { hash, logs, more: false })))
    }

    fn serve_range(
        &self,
        from: &PublicKey,
        pull: &PullRange,
        now: Timestamp,
    ) -> Result<(GroupId, Response), Refusal> {
        let group = self.entitled(from, pull.group, now)?;
        let log = LogId::try_from(pull.log.as_slice()).map_err(|_| Refusal::Malformed)?;
        let envelopes = self.durable.logs.page(group, log, pull.from, pull.to);
        let bare = envelopes.iter().filter_map(|bytes| envelope::decode(bytes).ok());
        let bare = bare.filter(Decoded::lacks_body);
        let erasures: BTreeMap<MessageId, Vec<u8>> = bare
            .filter_map(|bare| {
                let erasure = self.durable.logs.erasure(bare.header(), bare.message_id(), &self.roster())?;
                Some((erasure.id, erasure.bytes.clone()))
            })
            .collect();
        let more = pull.from + (envelopes.len() as u64) <= pull.to;
        let withdrawals = erasures.into_values().collect();
        Ok((group, Response::Page(Page { envelopes, more, withdrawals })))
    }

    fn serve_fork(
        &self,
        from: &PublicKey,
        pull: &PullFork,
        now: Timestamp,
    ) -> Result<(GroupId, Response), Refusal> {
        let group = self.entitled(from, pull.group, now)?;
        let log = LogId::try_from(pull.log.as_slice()).map_err(|_| Refusal::Malformed)?;
        let proof = self.durable.logs.proof(group, log).filter(|_| !self.has(Defect::KeepsProofsToItself));
        let (one, other) = proof.ok_or(Refusal::NotYet)?;
        Ok((group, Response::Fork(Fork { one, other })))
    }

    /// Entitled readers and carriers get a group's ciphertext.
    fn entitled(&self, from: &PublicKey, group: u32, now: Timestamp) -> Result<GroupId, Refusal> {
        let (roster, group) = (self.roster(), GroupId::new(group));
        let certificate = roster.by_node(from).ok_or(Refusal::NotCertified)?;
        let reads = roster.role(certificate.serial, group, now).is_some();
        if certificate.carrier || reads { Ok(group) } else { Err(Refusal::NotEntitled) }
    }
}

fn answer(bytes: &[u8]) -> Option<Response> {
    decode_canonical::<SyncResponse>("sync", bytes, 1 << 20).unwrap().response
}
