//! Pages and proofs of forks with one peer at a time, and what is answered to whoever asks anything of sync.

use std::collections::BTreeMap;

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{self, DecodeError, Decoded},
    id::{GroupId, LogId, MessageId, Sequence},
    schema::{
        ContactTaken, Fork, Page, PullFork, PullRange, Refusal, SyncRequest, SyncResponse,
        sync_request::Request, sync_response::Response,
    },
    sync::{Range, Want, check_fork, check_page, number, page::check_excuses},
    time::Timestamp,
    verdict::Judged,
};
use rand::seq::IndexedRandom;

use super::{Asked, Cx, Node, Observation, Synced};
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

    pub(super) fn sync_answered(
        &mut self,
        peer: PublicKey,
        number: u32,
        what: Synced,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let response = match number::read_reply(number, bytes) {
            Ok(SyncResponse { response: Some(Response::Refused(_)) | None }) => return Ok(()),
            Ok(SyncResponse { response: Some(response) }) => response,
            Err(_) => return self.spoiled(peer, "malformed", cx),
        };
        match what {
            Synced::Frontier(comparison, asked) => {
                self.frontier_answered(peer, comparison, asked, response, cx)
            }
            Synced::Contacts(pull, asked) => self.contacts_answered(peer, pull, asked, response, cx),
            Synced::Range(range) => self.page_answered(peer, range, response, cx),
            Synced::Fork(range) => self.fork_answered(peer, range, response, cx),
            Synced::Told => Ok(()),
        }
    }

    /// What a frontier claims beyond ours.
    pub(super) fn pull(&mut self, peer: PublicKey, range: Range, cx: &mut Cx<'_>) {
        if range.want != Want::Fork {
            return self.pull_range(peer, range, cx);
        }
        let pull = Request::Fork(PullFork { group: range.group.get(), log: range.log.to_vec() });
        self.ask_sync(peer, Synced::Fork(range), pull, cx);
    }

    /// Nothing of the answer is used, and its peer is to blame.
    pub(super) fn spoiled(
        &self,
        from: PublicKey,
        code: &'static str,
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
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
        self.ask_sync(peer, Synced::Range(range), pull, cx);
    }

    pub(super) fn page_answered(
        &mut self,
        peer: PublicKey,
        range: Range,
        response: Response,
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let Response::Page(Page { envelopes, withdrawals, .. }) = response else {
            return self.spoiled(peer, "wrong-answer", cx);
        };
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
        response: Response,
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let Response::Fork(Fork { one, other }) = response else {
            return self.spoiled(peer, "wrong-answer", cx);
        };
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

    /// Asks under the newest number that both speak; not at all, if that has no field for it.
    pub(super) fn ask_sync(&mut self, peer: PublicKey, what: Synced, request: Request, cx: &mut Cx<'_>) {
        let number = cx.number_with(&self.key(), &peer);
        let request = SyncRequest { request: Some(request) };
        if let Some(spoken) = number::request_under(number, &request) {
            self.request(peer, Protocol::Sync(number), Asked::Sync { number, what }, &*spoken, cx);
        }
    }

    pub(super) fn serve(
        &mut self,
        from: PublicKey,
        id: u64,
        number: u32,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        // Liars lie in what they answer: whatever is asked is one of ours, in the number that was agreed on.
        let request = number::read_request(number, bytes).unwrap();
        let response = match request.request {
            Some(Request::Frontier(pull)) => self.serve_frontier(&from, &pull, cx),
            Some(Request::Slices(pull)) => self.serve_slices(&from, &pull, cx),
            Some(Request::Range(pull)) => self
                .serve_range(&from, &pull, cx.now)
                .map(|(group, response)| self.lie(group, response, cx.rng)),
            Some(Request::Fork(pull)) => self
                .serve_fork(&from, &pull, cx.now)
                .map(|(group, response)| self.lie(group, response, cx.rng)),
            Some(Request::Contacts(pull)) => self.serve_contacts(&pull, cx),
            Some(Request::PushContact(record)) => {
                self.contact_pushed(from, record, cx)?;
                Ok(Response::ContactTaken(ContactTaken {}))
            }
            Some(Request::Addresses(_)) | None => Err(Refusal::Malformed),
        };
        let response = response.unwrap_or_else(|refusal| Response::Refused(refusal.into()));
        let reply = SyncResponse { response: Some(response) };
        assert!(number::has_reply(number, &reply), "number {number} has no field for {reply:?}");
        cx.reply(from, id, &reply);
        Ok(())
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
    pub(super) fn entitled(&self, from: &PublicKey, group: u32, now: Timestamp) -> Result<GroupId, Refusal> {
        let (roster, group) = (self.roster(), GroupId::new(group));
        let certificate = roster.by_node(from).ok_or(Refusal::NotCertified)?;
        let reads = roster.role(certificate.serial, group, now).is_some();
        if certificate.carrier || reads { Ok(group) } else { Err(Refusal::NotEntitled) }
    }
}
