//! Answering hellos: what a peer may ask of our admin log, and what it is told before it is admitted.

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{Height, MemberId, RosterVersion},
    limits,
    schema::{
        self, AdminPage, Greet, Greeted, HelloRequest, HelloResponse, PullAdmin, Refusal, hello_request,
        hello_response,
    },
    trust::{log::verify_record, statement::Decision},
};
use prost::Message;
use tokio::{sync::oneshot, time::Instant};

use super::{Command, Membership, pulls::Begin, transfer::within};
use crate::{
    bucket::Rate,
    clock,
    heard::removal,
    network::{Asked, Reply},
};

/// Lobby peers remembered as greeted. They may pull the log; more are refused as busy.
const MAX_GREETED: usize = 64;
/// What one peer may ask of the loop that keeps the roster, and what each request costs of it: the log of a late
/// joiner is a quarter million records in a thousand pages.
pub(super) const ASKS: Rate = Rate { per_second: 32.0, burst: 1024.0 };
const PULL: f64 = 1.0;
/// One or two signatures, and the heads of all logs.
const GREET: f64 = 4.0;
/// Up to a hundred signatures, and a fold.
const PUSH: f64 = 8.0;

impl Membership {
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
            // Known to our log, and not valid. What took it away is about this node alone; nothing else is disclosed.
            let removed = roster.by_node(&from).and_then(|certificate| {
                let standing = roster.standing(certificate.serial, clock::now());
                removal::shown(&roster, certificate.serial, standing)
            });
            return removed.map(hello_response::Response::Removed).ok_or(Refusal::NotCertified);
        }
        if !admitted && self.greeted.len() >= MAX_GREETED {
            return Err(Refusal::Busy);
        }
        let theirs =
            greet.roster.as_ref().and_then(|v| RosterVersion::try_from(v).ok()).ok_or(Refusal::Malformed)?;
        if !admitted {
            self.greeted.insert(from, theirs);
        }
        let is_ahead =
            theirs.height > roster.version().height || greet.charter_version > roster.charter().version();
        if admitted && is_ahead && self.pull(from) == Begin::Begun {
            let announced = (theirs, greet.charter_version);
            self.hellos.send_modify(|hellos| hellos.company.outgrown(&from, announced, Instant::now()));
        }
        if admitted {
            self.abreast.announced(from, (theirs, greet.charter_version));
            self.abreast.told(from, (roster.version(), roster.charter().version()));
        }
        if admitted && let Some(certificate) = roster.by_node(&from) {
            self.told_time(certificate.member, from, greet.now);
        }
        let head = roster.records().last().filter(|head| admitted && head.height > theirs.height);
        Ok(hello_response::Response::Greeted(Greeted {
            roster: Some(roster.version().into()),
            charter_version: roster.charter().version(),
            now: clock::now().as_micros(),
            admitted,
            your_logs: if admitted { self.logs_of(&from) } else { Vec::new() },
            beacon: self.beacons.signed().filter(|_| admitted).cloned(),
            head: head.map(|head| head.record.clone()),
        }))
    }

    /// Who greets tells its time, too. On its way it has aged a little: our own hello, once answered, measures better.
    pub(super) fn told_time(&self, member: MemberId, from: PublicKey, theirs: u64) {
        let offset = i128::from(theirs) - i128::from(clock::now().as_micros());
        let offset = i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX });
        self.hellos.send_if_modified(|hellos| {
            let is_first = !hellos.voices.has(&member);
            if is_first {
                hellos.voices.heard(member, from, offset, Instant::now());
            }
            is_first
        });
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
        let from = usize::try_from(pull.from_charter.saturating_sub(1)).unwrap_or(usize::MAX);
        let missing = roster.charters().signed().get(from..).unwrap_or_default();
        let (charters, rest) = within(missing, limits::MAX_REPLY - 64);
        let mut page = AdminPage { charters: charters.to_vec(), records: Vec::new(), more: !rest.is_empty() };
        if page.more {
            // What the rest rules over comes behind it.
            return Ok(hello_response::Response::AdminPage(page));
        }
        let bytes = self
            .store
            .records(Height::new(pull.from_height.max(1)), limits::MAX_PAGE_RECORDS)
            .map_err(|_| Refusal::Internal)?;
        let mut room = limits::MAX_REPLY.saturating_sub(page.encoded_len() + 64);
        for record in bytes {
            if record.len() + 8 > room {
                break;
            }
            room -= record.len() + 8;
            page.records.push(schema::Record::decode(record.as_slice()).map_err(|_| Refusal::Internal)?);
        }
        let reached = pull.from_height.max(1).saturating_add(page.records.len() as u64);
        let is_some = !page.records.is_empty() || !page.charters.is_empty();
        page.more = is_some && reached <= roster.version().height.get();
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
}
