//! `/belfry/hello/1`: who are you, how far is your admin log, what do you know of mine.
//!
//! ```text
//! dialler ── Greet{certificate, roster, clock, your logs} ──▶ listener   (nothing disclosed before this verifies)
//!         ◀─ Greeted{roster, clock, admitted, your logs} ──
//! whoever is behind ── PullAdmin{from} ──▶ the other, page by page, each page durable before the next
//! dialler in the lobby ── PushAdmin{records} ──▶ a listener that is behind
//! ```
//!
//! A dialler that the listener does not know yet stays in the lobby. Nothing is asked of strangers, so it
//! pushes what the listener's log lacks; every record is verified, folded and durable, and once the
//! dialler stands in the roster the lobby connection is closed and the redial is admitted.

use std::{collections::BTreeSet, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, Height, LogId, RosterVersion, Sequence},
    limits,
    schema::{
        self, AdminPage, Greet, Greeted, HelloRequest, HelloResponse, PullAdmin, Refusal, hello_request,
        hello_response,
    },
    sync::LogFrontier,
    time::Timestamp,
    trust::{log::verify_record, statement::Decision},
};
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    Command, Membership,
    claims::{self, Claim, Shown},
    gate::{Announced, Company, Gate, GateTimes},
    pulls::{Begin, Pulled},
    voices::Voices,
};
use crate::{
    bucket::Rate,
    clock,
    feed::Notice,
    network::{Asked, Network, Reply},
};

/// Lobby peers remembered as greeted. They may pull the log; more are refused as busy.
const MAX_GREETED: usize = 64;
/// Bytes of records in one pushed page: with the frame around them below the request's 64 KiB.
const PUSH_BYTES: usize = 48 * 1024;
/// Until a peer that did not show what it claims, or serve what it announced, is greeted again.
const AGAIN: Duration = Duration::from_secs(5);
/// What one peer may ask of the loop that keeps the roster, and what each request costs of it: the log of a late
/// joiner is a quarter million records in a thousand pages.
pub(super) const ASKS: Rate = Rate { per_second: 32.0, burst: 1024.0 };
const PULL: f64 = 1.0;
/// One or two signatures, and the heads of all logs.
const GREET: f64 = 4.0;
/// Up to a hundred signatures, and a fold.
const PUSH: f64 = 8.0;
/// Pages pulled from one peer in one go: 256 records each, so a log of a quarter million.
const MAX_PAGES: usize = 1024;

/// What hellos have told so far.
#[derive(Clone, Debug, Default)]
pub struct Hellos {
    /// Answered hellos since start.
    pub answered: u64,
    /// Who is here, and whether we know the admin log by them.
    pub(super) company: Company,
    /// Others' clocks.
    pub(super) voices: Voices,
    /// Highest sequence of our own logs that others hold, with who said so.
    pub own_logs: Vec<(GroupId, LogId, Sequence)>,
    /// Peers whose admin log is no continuation of ours and ours none of theirs.
    pub forked_with: Vec<PublicKey>,
    /// Nodes that say, of late, that this node is not certified.
    pub refused_by: BTreeSet<PublicKey>,
}

impl Hellos {
    pub(super) fn new(times: GateTimes) -> Self {
        Self { company: Company::new(times), ..Self::default() }
    }

    /// Median of all clocks minus ours, microseconds; `None` before any answer.
    #[must_use]
    pub fn clock_offset(&self) -> Option<i64> {
        self.voices.median()
    }

    /// Whether our admin log may be taken as the present one.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.company.gate(Instant::now())
    }

    /// Who left has no voice any more, and tells us nothing.
    pub(super) fn left(&mut self, peer: &PublicKey) {
        self.voices.left(peer);
        self.company.left(peer, Instant::now());
    }
}

impl Membership {
    /// Starts a hello with an admitted peer; its answer comes back as a command.
    pub(super) fn greet(&mut self, peer: PublicKey) {
        if !self.greetings.begin(peer, Instant::now()) {
            return;
        }
        let roster = self.roster_now();
        let sent = clock::now();
        let request = hello_request::Request::Greet(Greet {
            coalition: self.coalition.to_vec(),
            certificate: Some(self.identity.record.clone()),
            roster: Some(roster.version().into()),
            charter_version: roster.charter().version(),
            now: sent.as_micros(),
            your_logs: self.logs_of(&peer),
        });
        let (network, commands) = (self.network.clone(), self.commands.0.clone());
        tokio::spawn(async move {
            let command = match network.hello(&peer, HelloRequest { request: Some(request) }).await {
                Ok(HelloResponse { response: Some(hello_response::Response::Greeted(greeted)) }) => {
                    Command::Greeted { peer, greeted, sent }
                }
                Ok(HelloResponse { response: Some(hello_response::Response::Refused(code)) }) => {
                    Command::Ungreeted { peer, refusal: Some(Refusal::try_from(code).unwrap_or_default()) }
                }
                Ok(_) => {
                    tracing::debug!(%peer, "hello answered with something else");
                    Command::Ungreeted { peer, refusal: None }
                }
                Err(error) => {
                    tracing::debug!(%peer, "hello: {error}");
                    Command::Ungreeted { peer, refusal: None }
                }
            };
            let _ = commands.send(command).await;
        });
    }

    /// A hello came to nothing: it is repeated while the peer is connected.
    pub(super) fn ungreeted(&mut self, peer: PublicKey, refusal: Option<Refusal>) {
        self.greetings.failed(&peer, Instant::now());
        if !self.dialing.is_connected(&peer) {
            self.greetings.gone(&peer);
        }
        match refusal {
            None => {}
            Some(Refusal::NotCertified) => {
                let is_news = self.hellos.send_if_modified(|hellos| hellos.refused_by.insert(peer));
                if is_news {
                    tracing::warn!(%peer, "{peer} says that this node is not certified: by its admin log our certificate was revoked or suspended, or has expired");
                }
            }
            Some(other) => tracing::debug!(%peer, "{peer} refused our hello: {}", other.as_str_name()),
        }
    }

    /// Takes in an answer: compares heads, clocks and our own logs.
    pub(super) fn greeted(&mut self, peer: PublicKey, greeted: &Greeted, sent: Timestamp) {
        self.greetings.answered(&peer);
        if !self.dialing.is_connected(&peer) {
            // It went while it answered; what it says of now is of then.
            return self.greetings.gone(&peer);
        }
        let now = clock::now();
        let middle = sent.as_micros() / 2 + now.as_micros() / 2;
        let offset = i128::from(greeted.now) - i128::from(middle);
        let claims = self.claims_beyond_ours(&greeted.your_logs);
        let roster = self.roster_now();
        let theirs = greeted.roster.as_ref().and_then(|v| RosterVersion::try_from(v).ok());
        let forked = theirs.is_some_and(|v| v.height <= roster.version().height && !roster.is_prefix(v));
        if let Some(beacon) = greeted.beacon.clone() {
            let command = Command::Beacon { beacon, from: Some(peer), done: None };
            let _ = self.commands.0.try_send(command);
        }
        if forked {
            let both = theirs.map_or(Height::new(0), |v| v.height).min(roster.version().height);
            self.fetch_conflict(peer, both);
            tracing::error!(%peer, "the admin log of {peer} contradicts ours: one of us was shown a fork");
        }
        let behind = theirs.is_some_and(|v| v.height > roster.version().height)
            || greeted.charter_version > roster.charter().version();
        let member = roster.by_node(&peer).map(|certificate| certificate.member);
        let at = Instant::now();
        self.hellos.send_modify(|hellos| {
            let offset = i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX });
            if let Some(member) = member {
                hellos.voices.heard(member, peer, offset, at);
            }
            hellos.forked_with.retain(|p| *p != peer);
            if forked {
                hellos.forked_with.push(peer);
            }
            hellos.refused_by.remove(&peer);
            match theirs {
                Some(theirs) if greeted.admitted && (behind || forked) => {
                    hellos.company.behind(peer, (theirs, greeted.charter_version), at);
                }
                _ if greeted.admitted => {}
                _ => hellos.company.left(&peer, at),
            }
        });
        if !greeted.admitted
            && let Some(theirs) = theirs
            && theirs.height < roster.version().height
            && !forked
        {
            self.push(peer, theirs.height, greeted.charter_version);
        }
        if greeted.admitted {
            self.dialing.greeted(peer);
        }
        self.admits_us.retain(|other| *other != peer);
        if greeted.admitted {
            self.admits_us.insert(peer);
        }
        if !claims.is_empty() && greeted.admitted {
            return self.look_into(peer, claims, behind);
        }
        self.level(peer, behind);
    }

    /// Makes the peer ready once our admin log is level with it.
    fn level(&mut self, peer: PublicKey, behind: bool) {
        if !behind {
            let is_forked = self.hellos.borrow().forked_with.contains(&peer);
            if self.admits_us.contains(&peer) && !is_forked {
                self.hellos.send_modify(|hellos| hellos.company.level(peer));
            }
            return self.ready(peer);
        }
        // One that promised records before and had none is taken as it is.
        if self.pull(peer) == Begin::InVain {
            self.ready(peer);
        }
    }

    /// Our log has grown, by whomever: peers that announced no more than it holds are level now.
    pub(super) fn grown(&self) {
        let roster = self.roster_now();
        let covers = |(version, charter): &Announced| {
            version.height <= roster.version().height
                && roster.is_prefix(*version)
                && *charter <= roster.charter().version()
        };
        self.hellos.send_modify(|hellos| {
            hellos.company.grown(covers);
            hellos.refused_by.retain(|node| roster.by_node(node).is_some());
        });
    }

    /// Has the peer show what it claims to hold of our logs; the hello goes on once it has.
    fn look_into(&self, peer: PublicKey, claims: Vec<Claim>, behind: bool) {
        let (network, commands) = (self.network.clone(), self.commands.0.clone());
        let (roster, own) = (self.roster_now(), self.identity.serial);
        tokio::spawn(async move {
            let shown = claims::look_into(&network, &roster, own, peer, &claims).await;
            let _ = commands.send(Command::Shown { peer, shown, behind }).await;
        });
    }

    /// Goes on after [`Self::look_into`].
    pub(super) fn shown(&mut self, peer: PublicKey, shown: Shown, behind: bool) {
        if shown.false_claims > 0 {
            tracing::warn!(%peer, claims = shown.false_claims,
                "{peer} says it holds more of our own logs than we do, and has nothing to show for it");
        }
        if !shown.proven.is_empty() {
            tracing::warn!(%peer, logs = shown.proven.len(),
                "{peer} holds messages of ours that this disk does not have: going on in new logs");
        }
        self.hellos.send_modify(|hellos| {
            for (group, log, sequence) in shown.proven {
                // Others may hold more still: never taken back.
                let held = hellos.own_logs.iter_mut().find(|(g, l, _)| (*g, *l) == (group, log));
                match held {
                    Some((_, _, highest)) => *highest = (*highest).max(sequence),
                    None => hellos.own_logs.push((group, log, sequence)),
                }
            }
        });
        if shown.open > 0 {
            // Not known, so nothing may be sealed on this peer's word yet.
            self.greet_later(peer);
        } else {
            self.level(peer, behind);
        }
    }

    pub(super) fn greet_later(&mut self, peer: PublicKey) {
        if self.dialing.is_connected(&peer) {
            self.greetings.later(peer, Instant::now() + AGAIN);
        }
    }

    /// A peer that admits us and whose admin log ours has caught up with: now keys may be made and sealed.
    /// Anyone else is not ready, whatever came of asking it.
    pub(super) fn ready(&mut self, peer: PublicKey) {
        if !self.admits_us.contains(&peer) {
            return;
        }
        self.hellos.send_modify(|hellos| hellos.answered += 1);
        self.feed.notify(Notice::PeerReady(peer));
        self.ask_addresses(peer);
    }

    /// Answers a hello request. A lobby peer gets its greeting answered only when its certificate verifies.
    pub(super) fn answer(&mut self, asked: Asked<HelloRequest, HelloResponse>) {
        let cost = match asked.request.request {
            Some(hello_request::Request::Greet(_)) => GREET,
            Some(hello_request::Request::PushAdmin(_)) => PUSH,
            Some(hello_request::Request::PullAdmin(_)) | None => PULL,
        };
        if !self.asks.take(asked.from, cost, Instant::now()) {
            // To a stranger this tells no more than any refusal.
            let refusal = if asked.admitted { Refusal::Busy } else { Refusal::NotCertified };
            let response = Some(hello_response::Response::Refused(refusal.into()));
            return asked.reply.send(HelloResponse { response });
        }
        let response = match asked.request.request {
            Some(hello_request::Request::Greet(ref greet)) => {
                // A stranger learns nothing from how it is refused, not even which coalition this is.
                self.answer_greet(asked.from, greet).map_err(|refusal| match refusal {
                    Refusal::OtherCoalition | Refusal::Malformed if !asked.admitted => Refusal::NotCertified,
                    refusal => refusal,
                })
            }
            Some(hello_request::Request::PullAdmin(pull)) => {
                self.answer_pull(asked.from, asked.admitted, pull)
            }
            Some(hello_request::Request::PushAdmin(page)) => {
                if asked.admitted || self.greeted.contains_key(&asked.from) {
                    return self.take_push(page, asked.reply);
                }
                Err(Refusal::NotCertified)
            }
            None => Err(Refusal::Malformed),
        };
        let response = response.unwrap_or_else(|refusal| hello_response::Response::Refused(refusal.into()));
        asked.reply.send(HelloResponse { response: Some(response) });
    }

    fn answer_greet(&mut self, from: PublicKey, greet: &Greet) -> Result<hello_response::Response, Refusal> {
        if greet.coalition != self.coalition.as_ref() {
            return Err(Refusal::OtherCoalition);
        }
        let roster = self.roster_now();
        let record = greet.certificate.as_ref().ok_or(Refusal::Malformed)?;
        let verified = verify_record(roster.charters(), record).map_err(|_| Refusal::NotCertified)?;
        let node = match &verified.statement.decision {
            Decision::Issue(issue) => issue.certificate.as_ref(),
            Decision::Supersede(supersede) => supersede.certificate.as_ref(),
            _ => None,
        };
        let node = node.and_then(|certificate| certificate.keys.as_ref()).map(|keys| keys.node.as_slice());
        if node != Some(from.as_bytes().as_slice()) {
            return Err(Refusal::NotCertified);
        }
        let admitted = roster.is_admitted(&from, clock::now());
        let ahead = verified.height > roster.version().height;
        if !admitted && !ahead {
            // Known to our log, and not valid: revoked, suspended, expired. Nothing is disclosed.
            return Err(Refusal::NotCertified);
        }
        if !admitted && self.greeted.len() >= MAX_GREETED {
            return Err(Refusal::Busy);
        }
        let theirs =
            greet.roster.as_ref().and_then(|v| RosterVersion::try_from(v).ok()).ok_or(Refusal::Malformed)?;
        if !admitted {
            self.greeted.insert(from, theirs);
        }
        if admitted
            && (theirs.height > roster.version().height || greet.charter_version > roster.charter().version())
        {
            self.pull(from);
        }
        Ok(hello_response::Response::Greeted(Greeted {
            roster: Some(roster.version().into()),
            charter_version: roster.charter().version(),
            now: clock::now().as_micros(),
            admitted,
            your_logs: if admitted { self.logs_of(&from) } else { Vec::new() },
            beacon: self.beacons.signed().filter(|_| admitted).cloned(),
        }))
    }

    fn answer_pull(
        &self,
        from: PublicKey,
        admitted: bool,
        pull: PullAdmin,
    ) -> Result<hello_response::Response, Refusal> {
        if !admitted && !self.greeted.contains_key(&from) {
            return Err(Refusal::NotCertified);
        }
        let roster = self.roster_now();
        let charters: Vec<schema::Signed> = roster
            .charters()
            .signed()
            .iter()
            .skip(usize::try_from(pull.from_charter.saturating_sub(1)).unwrap_or(usize::MAX))
            .cloned()
            .collect();
        let bytes = self
            .store
            .records(Height::new(pull.from_height.max(1)), limits::MAX_PAGE_RECORDS)
            .map_err(|_| Refusal::Internal)?;
        let mut page = AdminPage { charters, records: Vec::new(), more: false };
        let mut room = limits::MAX_REPLY.saturating_sub(page.encoded_len() + 64);
        for record in bytes {
            if record.len() + 8 > room {
                break;
            }
            room -= record.len() + 8;
            page.records.push(schema::Record::decode(record.as_slice()).map_err(|_| Refusal::Internal)?);
        }
        let reached = pull.from_height.max(1) + page.records.len() as u64;
        page.more = !page.records.is_empty() && reached <= roster.version().height.get();
        Ok(hello_response::Response::AdminPage(page))
    }

    /// Folds what a dialler pushed, and answers once it is durable.
    fn take_push(&self, page: AdminPage, reply: Reply<HelloResponse>) {
        let (commands, roster) = (self.commands.0.clone(), self.roster.clone());
        let (done, advanced) = oneshot::channel();
        let command = Command::Offer { charters: page.charters, records: page.records, spread: true, done };
        tokio::spawn(async move {
            if commands.send(command).await.is_ok() && advanced.await.is_ok() {
                let version = roster.snapshot().version().into();
                reply.send(HelloResponse { response: Some(hello_response::Response::Pushed(version)) });
            }
        });
    }

    /// Starts telling a listener that keeps us in its lobby what its admin log lacks.
    fn push(&self, peer: PublicKey, theirs: Height, their_charter: u64) {
        let (network, roster, store) = (self.network.clone(), self.roster.clone(), self.store.clone());
        tokio::spawn(async move {
            let charters = roster.snapshot().charters().signed().to_vec();
            let known = usize::try_from(their_charter).unwrap_or(usize::MAX);
            let mut charters: Vec<schema::Signed> = charters.into_iter().skip(known).collect();
            let mut next = theirs.get() + 1;
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

    /// Frontiers of the logs that `peer`'s own certificates wrote, as we hold them.
    fn logs_of(&self, peer: &PublicKey) -> Vec<schema::LogFrontier> {
        let roster = self.roster_now();
        let Some(certificate) = roster.by_node(peer) else { return Vec::new() };
        let by_group = certificate.groups.keys().map(|group| self.store.logs_of(*group, certificate.serial));
        let told = by_group.flat_map(|logs| {
            logs.into_iter().take(limits::MAX_LOGS_PER_CERTIFICATE).enumerate().map(|(turn, held)| {
                let told = LogFrontier { height: held.top, frozen: Sequence::new(0), ..held.frontier };
                (turn, schema::LogFrontier::from(&told))
            })
        });
        let mut told: Vec<(usize, schema::LogFrontier)> = told.collect();
        // One of each group in turn: where there are more than a hello takes, every group has its longest.
        told.sort_by_key(|(turn, _)| *turn);
        told.into_iter().map(|(_, log)| log).take(limits::MAX_TOLD_LOGS).collect()
    }

    /// What a peer says it holds of our own logs, where that is more than we do. Of a log that is not here at
    /// all nothing need be known: with a lost disk a new one is opened anyway.
    fn claims_beyond_ours(&self, told: &[schema::LogFrontier]) -> Vec<Claim> {
        let told = told.iter().take(limits::MAX_TOLD_LOGS);
        let claims = told.filter_map(|frontier| {
            let (group, log) = (GroupId::new(frontier.group), LogId::try_from(frontier.log.as_slice()).ok()?);
            let rows = self.store.logs_of(group, self.identity.serial);
            let ours = rows.iter().find(|held| held.frontier.log == log)?;
            (frontier.height > ours.top.get()).then_some((group, log, Sequence::new(frontier.height)))
        });
        claims.collect()
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
