//! Pages and proofs of forks as they come, and what is answered to whoever asks anything of sync.

use std::collections::BTreeMap;

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{self, DecodeError, Decoded},
    id::{GroupId, LogId, MessageId},
    schema::{
        ContactTaken, Fork, Page, PullFork, PullRange, Refusal, SyncRequest, SyncResponse,
        sync_request::Request, sync_response::Response,
    },
    sync::{Ask, Range, Want, check_fork, check_page, number, outcome::waits, page::check_excuses},
    time::Timestamp,
    verdict::Judged,
};

use super::{
    Asked, Cx, Node, Observation, Synced,
    outcome::{End, Fetched},
};
use crate::{
    faults::{Crashed, Defect},
    network::Protocol,
};

impl Node {
    pub(super) fn sync_answered(
        &mut self,
        peer: PublicKey,
        number: u32,
        what: Synced,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let Ok(SyncResponse { response: Some(response) }) = number::read_reply(number, bytes) else {
            self.unanswered(peer, what, cx);
            self.pull_on(cx);
            return self.spoiled(peer, "malformed", cx);
        };
        match what {
            Synced::Frontier { comparison, asked, round } => {
                self.frontier_answered(peer, (comparison, asked, round), response, cx);
            }
            Synced::Page(ask, range) => {
                let fetched = self.page_answered(&ask, &range, response, cx)?;
                self.fetched(&ask, fetched, cx);
            }
            Synced::Fork(ask) => {
                let fetched = self.fork_answered(&ask, response, cx)?;
                self.fetched(&ask, fetched, cx);
            }
            Synced::Contacts(..) if matches!(response, Response::Refused(_)) => return Ok(()),
            Synced::Contacts(pull, asked) => {
                return self.contacts_answered(peer, pull, asked, response, cx);
            }
            Synced::Told => return Ok(()),
        }
        self.pull_on(cx);
        Ok(())
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

    fn page_answered(
        &mut self,
        ask: &Ask<PublicKey>,
        range: &Range,
        response: Response,
        cx: &mut Cx<'_>,
    ) -> Result<Fetched, Crashed> {
        let peer = ask.peer;
        let (page, excuses) = match response {
            Response::Refused(code) => return Ok(Fetched::refused(range, code)),
            // It may have held more when it said so.
            Response::Page(Page { envelopes, .. }) if envelopes.is_empty() => {
                return Ok(Fetched::nothing(End::PeersFault));
            }
            response => match read_page(range, response) {
                Ok(read) => read,
                Err(code) => {
                    self.spoiled(peer, code, cx)?;
                    return Ok(Fetched::nothing(End::PeersFault));
                }
            },
        };
        self.up().pulling.schedule.arrived(ask);
        // First, so that what comes without its body is excused when it is judged.
        let excused = self.take_page(peer, &excuses, cx)?;
        let kept = self.take_page(peer, &page, cx)?;
        let bodies = page.iter().filter(|_| range.want == Want::Bodies);
        let bare: Vec<bool> = bodies.map(|bytes| envelope::decode(bytes).unwrap().lacks_body()).collect();
        Ok(Fetched::of(range, &bare, &kept, excused.iter().any(waits)))
    }

    fn fork_answered(
        &mut self,
        ask: &Ask<PublicKey>,
        response: Response,
        cx: &mut Cx<'_>,
    ) -> Result<Fetched, Crashed> {
        let (peer, range) = (ask.peer, ask.range);
        let (one, other) = match response {
            Response::Refused(code) => return Ok(Fetched::refused(&range, code)),
            Response::Fork(Fork { one, other }) => (one, other),
            _ => {
                self.spoiled(peer, "wrong-answer", cx)?;
                return Ok(Fetched::nothing(End::PeersFault));
            }
        };
        let [Ok(first), Ok(second)] = [&one, &other].map(|bytes| envelope::decode(bytes)) else {
            return Ok(Fetched::nothing(End::PeersFault));
        };
        // A lower fork may have come to light since it said where: it is asked for again after the next comparison.
        if check_fork(range.group, range.log, range.from, [&first, &second]).is_err() {
            return Ok(Fetched::nothing(End::PeersFault));
        }
        self.up().pulling.schedule.arrived(ask);
        // Judged like a page: that its author signed them is the ladder's to say.
        let kept = self.take_page(peer, &[one, other], cx)?;
        Ok(Fetched::of_fork(&range, &[first, second], &kept))
    }

    /// Asks under the newest number that both speak; not at all, if that has no field for it.
    pub(super) fn ask_sync(&mut self, peer: PublicKey, what: Synced, request: Request, cx: &mut Cx<'_>) {
        let number = cx.number_with(&self.key(), &peer);
        let request = SyncRequest { request: Some(request) };
        if let Some(spoken) = number::request_under(number, &request) {
            let asked = Asked::Sync { peer, number, what };
            self.request(peer, Protocol::Sync(number), asked, &*spoken, cx);
            self.awaits(*cx.ids, cx);
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
        let held = self.durable.logs.page(group, log, pull.from, pull.to);
        let is_held = !held.is_empty();
        let (mut envelopes, mut erasures) = (Vec::new(), BTreeMap::<MessageId, Vec<u8>>::new());
        for bytes in held {
            let decoded = envelope::decode(&bytes).unwrap();
            if decoded.lacks_body() {
                // Nobody takes it without what excuses that.
                let erasure =
                    self.durable.logs.erasure(decoded.header(), decoded.message_id(), &self.roster());
                let Some(excuse) = erasure.map(|erasure| (erasure.id, erasure.bytes.clone())) else { break };
                erasures.insert(excuse.0, excuse.1);
            }
            envelopes.push(bytes);
        }
        if envelopes.is_empty() && is_held {
            return Err(Refusal::Unknown);
        }
        let more = !envelopes.is_empty() && pull.from + (envelopes.len() as u64) <= pull.to;
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

/// Envelopes as they travel.
type Envelopes = Vec<Vec<u8>>;

/// The envelopes of a page and what excuses some of them, if it is what was asked for; else why it is not.
fn read_page(range: &Range, response: Response) -> Result<(Envelopes, Envelopes), &'static str> {
    let Response::Page(Page { envelopes, withdrawals, .. }) = response else { return Err("wrong-answer") };
    let decode = |bytes: &Vec<u8>| envelope::decode(bytes);
    let decoded = |all: &[Vec<u8>]| all.iter().map(decode).collect::<Result<Vec<Decoded>, DecodeError>>();
    let page = decoded(&envelopes).map_err(|error| error.code())?;
    let excuses = decoded(&withdrawals).map_err(|error| error.code())?;
    let checked = check_page(range, &page).and_then(|()| check_excuses(range, &page, &excuses));
    checked.map_err(|error| error.code())?;
    Ok((envelopes, withdrawals))
}
