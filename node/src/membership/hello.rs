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

use std::time::Duration;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{Height, RosterVersion},
    schema::{Greet, Greeted, HelloRequest, HelloResponse, Record, Refusal, hello_request, hello_response},
    time::Timestamp,
    trust::log::verify_record,
};
use tokio::time::Instant;

use super::{Command, Membership, pulls::Begin};
use crate::{
    clock,
    feed::Notice,
    heard::{Announced, Removal},
};

/// Until a peer that did not show what it claims, or serve what it announced, is greeted again.
const AGAIN: Duration = Duration::from_secs(5);

impl Membership {
    /// Starts a hello with an admitted peer; its answer comes back as a command.
    pub(super) fn greet(&mut self, peer: PublicKey) {
        if !self.greetings.begin(peer, Instant::now()) {
            return;
        }
        let roster = self.roster_now();
        self.abreast.told(peer, (roster.version(), roster.charter().version()));
        let sent = clock::now();
        let request = hello_request::Request::Greet(Greet {
            coalition: self.coalition.to_vec(),
            certificate: Some(self.identity.record.clone()),
            roster: Some(roster.version().into()),
            charter_version: roster.charter().version(),
            now: sent.as_micros(),
            your_logs: self.logs_of(&peer),
        });
        let (network, commands, era) = (self.network.clone(), self.commands.0.clone(), self.era);
        tokio::spawn(async move {
            let command = match network.hello(&peer, HelloRequest { request: Some(request) }).await {
                Ok(HelloResponse { response: Some(hello_response::Response::Greeted(greeted)) }) => {
                    Command::Greeted { peer, greeted, sent, era }
                }
                Ok(HelloResponse { response: Some(hello_response::Response::Removed(record)) }) => {
                    Command::Removed { peer, record }
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

    /// Greets those whose log was behind ours when they last said so, if ours grew since.
    pub(super) fn greet_behind(&mut self) {
        let roster = self.roster_now();
        let ours = (roster.version(), roster.charter().version());
        for peer in self.abreast.due(ours, Instant::now()) {
            if self.dialing.is_connected(&peer) {
                self.greet(peer);
            }
        }
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
                let is_news = self.hellos.send_if_modified(|hellos| {
                    hellos.company.left(&peer, Instant::now());
                    hellos.refused_by.insert(peer)
                });
                if is_news {
                    tracing::warn!(%peer, "{peer} says that this node is not certified: by its admin log our certificate was revoked or suspended, or has expired");
                }
            }
            Some(other) => tracing::debug!(%peer, "{peer} refused our hello: {}", other.as_str_name()),
        }
    }

    /// A peer refuses us, by a record that we verify like any other.
    pub(super) fn removed(&mut self, peer: PublicKey, record: &Record) {
        self.ungreeted(peer, Some(Refusal::NotCertified));
        let roster = self.roster_now();
        let Ok(verified) = verify_record(roster.charters(), record) else { return };
        let here = RosterVersion { height: verified.height, head: verified.entry_id };
        // What a newer charter has settled is no news, whoever shows it. Its branch may still be on its way.
        let pinned = roster.charter().pin().map_or(Height::new(0), |pin| pin.height);
        let is_open = verified.statement.charter_version >= roster.charter().version()
            || roster.version().height < pinned;
        let removal = Removal::read(&verified, self.identity.serial);
        if let Some(removal) = removal.filter(|_| is_open && !roster.is_prefix(here)) {
            let is_news =
                self.hellos.send_if_modified(|hellos| hellos.removal.replace(removal) != Some(removal));
            if is_news {
                tracing::warn!(%peer, "this node's certificate was {removal}");
            }
            self.note_ahead(verified);
        }
    }

    /// Takes in an answer: compares heads, clocks and our own logs.
    pub(super) fn greeted(&mut self, peer: PublicKey, greeted: &Greeted, sent: Timestamp, era: u64) {
        self.greetings.answered(&peer);
        if !self.dialing.is_connected(&peer) {
            // It went while it answered; what it says of now is of then.
            return self.greetings.gone(&peer);
        }
        if era != self.era {
            // Of before the machine slept.
            return self.greet(peer);
        }
        let now = clock::now();
        let middle = sent.as_micros() / 2 + now.as_micros() / 2;
        let offset = i128::from(greeted.now) - i128::from(middle);
        let claims = self.claims_beyond_ours(&greeted.your_logs);
        let roster = self.roster_now();
        let theirs = greeted.roster.as_ref().and_then(|v| RosterVersion::try_from(v).ok());
        let forked = theirs.is_some_and(|v| v.height <= roster.version().height && !roster.is_prefix(v));
        if let Some(head) = &greeted.head {
            self.shown_head(peer, head);
        }
        if let Some(beacon) = greeted.beacon.clone() {
            let command = Command::Beacon { beacon, from: Some(peer), done: None };
            let _ = self.commands.0.try_send(command);
        }
        if let Some(theirs) = theirs {
            self.branches.announced(peer, theirs);
            self.abreast.announced(peer, (theirs, greeted.charter_version));
        }
        if let Some(theirs) = theirs.filter(|theirs| !roster.is_prefix(*theirs)) {
            self.branches.claimed(peer, theirs);
        }
        if forked {
            self.fetch_branch(peer);
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
            if !greeted.admitted {
                return hellos.company.left(&peer, at);
            }
            hellos.removal = None;
            if let Some(member) = member {
                hellos.company.arrived(peer, member, at);
            }
            if let Some(theirs) = theirs.filter(|_| behind || forked) {
                hellos.company.behind(&peer, (theirs, greeted.charter_version), at);
                if !behind {
                    // There is nothing to wait for.
                    hellos.company.unserved(&peer);
                }
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
        if greeted.admitted && !self.claimed(peer, claims, behind) {
            return;
        }
        self.level(peer, behind);
    }

    /// Makes the peer ready once our admin log is level with it.
    pub(super) fn level(&mut self, peer: PublicKey, behind: bool) {
        if !behind {
            let is_forked = self.hellos.borrow().forked_with.contains(&peer);
            if self.admits_us.contains(&peer) && !is_forked {
                self.hellos.send_modify(|hellos| hellos.company.level(&peer, Instant::now()));
            }
            return self.ready(peer);
        }
        // One that promised records before and had none is taken as it is.
        if self.pull(peer) == Begin::InVain {
            self.hellos.send_modify(|hellos| hellos.company.unserved(&peer));
            self.ready(peer);
        }
    }

    /// Our log has grown, by whomever: peers that announced no more than it holds are level now.
    pub(super) fn grown(&mut self) {
        self.settle_ahead();
        let roster = self.roster_now();
        let covers = |(version, charter): &Announced| {
            version.height <= roster.version().height
                && roster.is_prefix(*version)
                && *charter <= roster.charter().version()
        };
        self.hellos.send_modify(|hellos| {
            hellos.company.grown(covers, Instant::now());
            hellos.refused_by.retain(|node| roster.by_node(node).is_some());
        });
    }

    /// An admitted peer is connected: the gate waits for its first answer.
    pub(super) fn arrived(&self, peer: PublicKey) {
        let Some(member) = self.roster_now().by_node(&peer).map(|certificate| certificate.member) else {
            return;
        };
        self.hellos.send_modify(|hellos| hellos.company.arrived(peer, member, Instant::now()));
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
        self.tell_sights(peer);
        self.feed.notify(Notice::PeerReady(peer));
        self.ask_addresses(peer);
        self.ask_contacts(peer);
    }
}
