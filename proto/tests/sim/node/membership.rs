//! The admin log: hello, pages, gossip; verified, made durable, then used.

use std::sync::Arc;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId, RosterVersion},
    limits::MAX_PAGE_RECORDS,
    schema::{
        self, AdminGossip, AdminPage, Greet, Greeted, HelloRequest, HelloResponse, PullAdmin, Refusal,
        admin_gossip::Item, decode_canonical, hello_request, hello_response,
    },
    topic::Topic,
    trust::{log::verify_record, roster::Roster, statement::Decision},
    verdict::{Judged, Verdict},
};
use prost::Message;
use rand::seq::IndexedRandom;

use super::{Asked, Cx, Node};
use crate::{
    faults::{Crashed, Point},
    network::Protocol,
};

const MAX_REPLY: usize = 1 << 20;

impl Node {
    pub(super) fn greet_someone(&mut self, cx: &mut Cx<'_>) {
        let Some(peer) = self.peers(cx.now).choose(cx.rng).copied() else { return };
        let roster = self.roster();
        let greet = Greet {
            coalition: self.coalition.to_vec(),
            certificate: Some(self.identity.record.clone()),
            roster: Some(roster.version().into()),
            charter_version: roster.charter().version(),
            now: cx.now.as_micros(),
            your_logs: self.logs_of(&peer),
        };
        let request = HelloRequest { request: Some(hello_request::Request::Greet(greet)) };
        self.request(peer, Protocol::Hello, Asked::Greet, &request, cx);
    }

    pub(super) fn pull_admin(&mut self, peer: PublicKey, cx: &mut Cx<'_>) {
        let roster = self.roster();
        let pull = PullAdmin {
            from_height: roster.version().height.get() + 1,
            from_charter: roster.charter().version() + 1,
        };
        let request = HelloRequest { request: Some(hello_request::Request::PullAdmin(pull)) };
        self.request(peer, Protocol::Hello, Asked::PullAdmin, &request, cx);
    }

    pub(super) fn hello(
        &mut self,
        from: PublicKey,
        id: u64,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let request: HelloRequest = decode_canonical("hello", bytes, 64 * 1024).unwrap();
        let roster = self.roster();
        let admitted = roster.is_admitted(&from, cx.now);
        let known = admitted || self.up().greeted.contains(&from);
        let refused = |code: Refusal| hello_response::Response::Refused(code.into());
        let response = match request.request {
            Some(hello_request::Request::Greet(greet)) => match self.greeted_by(from, &greet, admitted) {
                Ok(()) => {
                    self.up().greeted.insert(from);
                    let own_logs = self.own_logs_known(&greet.your_logs);
                    self.up().known.extend(own_logs);
                    hello_response::Response::Greeted(Greeted {
                        beacon: None,
                        head: None,
                        roster: Some(roster.version().into()),
                        charter_version: roster.charter().version(),
                        now: cx.now.as_micros(),
                        admitted,
                        your_logs: if admitted { self.logs_of(&from) } else { Vec::new() },
                    })
                }
                Err(code) => refused(code),
            },
            Some(hello_request::Request::PullAdmin(pull)) if known => {
                hello_response::Response::AdminPage(self.page_from(pull.from_height, pull.from_charter))
            }
            Some(hello_request::Request::PushAdmin(page)) if known => {
                self.offer(page.charters, page.records, cx)?;
                hello_response::Response::Pushed(self.roster().version().into())
            }
            Some(hello_request::Request::PullAdmin(_) | hello_request::Request::PushAdmin(_)) => {
                refused(Refusal::NotCertified)
            }
            None => refused(Refusal::Malformed),
        };
        cx.reply(from, id, &HelloResponse { response: Some(response) });
        Ok(())
    }

    /// Whether the record that a stranger shows makes it one of ours, now or above our head.
    fn greeted_by(&self, from: PublicKey, greet: &Greet, admitted: bool) -> Result<(), Refusal> {
        if greet.coalition != self.coalition.to_vec() {
            return Err(Refusal::OtherCoalition);
        }
        // Whom the handshake proved to be one of ours needs no papers, and verifying them is what costs here.
        if admitted {
            return Ok(());
        }
        let roster = self.roster();
        let record = greet.certificate.as_ref().ok_or(Refusal::Malformed)?;
        let verified = verify_record(roster.charters(), record).map_err(|_| Refusal::NotCertified)?;
        let Decision::Issue(issue) = &verified.statement.decision else { return Err(Refusal::NotCertified) };
        let keys = issue.certificate.as_ref().and_then(|body| body.keys.as_ref());
        if keys.is_none_or(|keys| keys.node != from.as_bytes()) {
            return Err(Refusal::NotCertified);
        }
        if verified.height > roster.version().height { Ok(()) } else { Err(Refusal::NotCertified) }
    }

    pub(super) fn hello_answered(
        &mut self,
        from: PublicKey,
        asked: &Asked,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let answer: HelloResponse = decode_canonical("hello", bytes, MAX_REPLY).unwrap();
        match (asked, answer.response) {
            (Asked::Greet, Some(hello_response::Response::Greeted(greeted))) => {
                self.heard_time(from, greeted.now, cx.now);
                let roster = self.roster();
                let own_logs = self.own_logs_known(&greeted.your_logs);
                self.up().known.extend(own_logs);
                let theirs = greeted.roster.as_ref().map(|version| RosterVersion::try_from(version).unwrap());
                let theirs = theirs.unwrap_or(RosterVersion::EMPTY);
                if theirs.height > roster.version().height
                    || greeted.charter_version > roster.charter().version()
                {
                    // Level only once what they have more is here.
                    self.pull_admin(from, cx);
                    return Ok(());
                }
                if greeted.admitted {
                    self.up().level = true;
                } else if roster.is_prefix(theirs) {
                    let page = self.page_from(theirs.height.get() + 1, greeted.charter_version + 1);
                    let request = HelloRequest { request: Some(hello_request::Request::PushAdmin(page)) };
                    self.request(from, Protocol::Hello, Asked::PushAdmin, &request, cx);
                }
                Ok(())
            }
            (Asked::PullAdmin, Some(hello_response::Response::AdminPage(page))) => {
                let more = page.more;
                let moved = self.offer(page.charters, page.records, cx)?;
                if more && moved {
                    self.pull_admin(from, cx);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn admin_gossiped(
        &mut self,
        from: PublicKey,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let gossip: AdminGossip = decode_canonical("admin gossip", bytes, MAX_REPLY).unwrap();
        let roster = self.roster();
        let (charters, records) = match gossip.item {
            Some(Item::Charter(charter)) => (vec![charter], vec![]),
            Some(Item::Record(record)) => match verify_record(roster.charters(), &record) {
                Ok(verified) if verified.height.get() > roster.version().height.get() + 1 => {
                    self.pull_admin(from, cx);
                    self.gossip(Topic::Admin, bytes, Some(from), cx);
                    return Ok(());
                }
                Ok(_) => (vec![], vec![record]),
                Err(error) => {
                    self.judged(from, error.verdict(), error.code(), cx);
                    self.pull_admin(from, cx);
                    return Ok(());
                }
            },
            _ => {
                self.judged(from, Verdict::Reject, "empty", cx);
                return Ok(());
            }
        };
        let is_charter = !charters.is_empty();
        if !self.offer(charters, records, cx)? && is_charter {
            self.pull_admin(from, cx);
        }
        Ok(())
    }

    /// Folds what goes on from our head, makes it durable, then uses it and tells others.
    pub(crate) fn offer(
        &mut self,
        charters: Vec<schema::Signed>,
        records: Vec<schema::Record>,
        cx: &mut Cx<'_>,
    ) -> Result<bool, Crashed> {
        let before = self.roster();
        let mut roster = Roster::clone(&before);
        for charter in charters {
            let _ = roster.apply_charter(charter);
        }
        for record in records {
            let Ok(verified) = verify_record(roster.charters(), &record) else { break };
            if verified.height > roster.version().height && roster.apply(verified).is_err() {
                break;
            }
        }
        let position = |roster: &Roster| (roster.charter().version(), roster.version());
        if position(&roster) == position(&before) {
            return Ok(false);
        }
        let charters = roster.charters().signed().to_vec();
        let records = roster.records().map(|record| record.record.clone()).collect();
        self.persist(Point::AdminLog, |durable| (durable.charters, durable.records) = (charters, records))?;
        self.up().roster = Arc::new(roster);
        self.spread(&before, cx);
        self.roster_moved(cx)?;
        Ok(true)
    }

    fn spread(&self, before: &Roster, cx: &mut Cx<'_>) {
        let page = self.page_from(before.version().height.get() + 1, before.charter().version() + 1);
        let charters = page.charters.into_iter().map(Item::Charter);
        for item in charters.chain(page.records.into_iter().map(Item::Record)) {
            let bytes = AdminGossip { item: Some(item) }.encode_to_vec();
            self.gossip(Topic::Admin, &bytes, None, cx);
        }
    }

    fn page_from(&self, height: u64, charter: u64) -> AdminPage {
        let roster = self.roster();
        let skip = |from: u64| usize::try_from(from.max(1) - 1).unwrap();
        let records: Vec<schema::Record> = roster
            .records()
            .skip(skip(height))
            .take(MAX_PAGE_RECORDS)
            .map(|record| record.record.clone())
            .collect();
        let more = skip(height) + records.len() < roster.records().count();
        AdminPage {
            charters: roster.charters().signed().iter().skip(skip(charter)).cloned().collect(),
            records,
            more,
        }
    }

    /// What we hold of a peer's own logs.
    fn logs_of(&self, peer: &PublicKey) -> Vec<schema::LogFrontier> {
        let roster = self.roster();
        let Some(serial) = roster.by_node(peer).map(|certificate| certificate.serial) else {
            return Vec::new();
        };
        let mut tops: std::collections::BTreeMap<(GroupId, LogId), (u64, Vec<u8>)> = Default::default();
        for ((group, log, sequence), entry) in self.durable.logs.entries() {
            if entry.serial == serial {
                tops.insert((*group, *log), (*sequence, entry.id.to_vec()));
            }
        }
        tops.into_iter()
            .map(|((group, log), (height, head))| schema::LogFrontier {
                group: group.get(),
                log: log.to_vec(),
                low: 1,
                height,
                head,
                bodies: height,
                frozen: 0,
                missing: Vec::new(),
            })
            .collect()
    }

    fn own_logs_known(&self, theirs: &[schema::LogFrontier]) -> Vec<((GroupId, LogId), u64)> {
        theirs
            .iter()
            .filter_map(|log| {
                Some(((GroupId::new(log.group), LogId::try_from(log.log.as_slice()).ok()?), log.height))
            })
            .collect()
    }

    /// What a member's operator imports by hand.
    pub(crate) fn import(&mut self, roster: &Roster, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        let charters = roster.charters().signed().to_vec();
        let newer = charters.into_iter().skip(self.durable.charters.len()).collect();
        let records = roster.records().map(|record| record.record.clone()).collect();
        self.offer(newer, records, cx).map(drop)
    }
}
