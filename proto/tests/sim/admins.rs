//! The coalition's offline machine: charters and statements, and a plain ledger of what they were meant to do.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{
    crypto::{
        hash,
        hpke::KemPublic,
        sign::{Purpose, SigningKey},
    },
    id::{CoalitionId, GroupId, Height, LogId, MemberId, MessageId, Serial},
    schema::{self, Role},
    time::Timestamp,
    trust::{
        charter::{ACTIONS, CharterChain},
        charter_draft::{Draft, RootKeys},
        log::{order, verify_record},
        roster::Roster,
        signed::sign,
        statement::{Decision, propose},
    },
};
use prost::Message;
use rand::rngs::StdRng;

use crate::ledger::{Granted, Ledger, Spell};

/// Everything is granted, after the delay.
pub(crate) const ARCHIVE: GroupId = GroupId::new(1);
/// What was in use shortly before an entitlement is granted, after the delay.
pub(crate) const RECENT: GroupId = GroupId::new(2);
/// Nothing from before an entitlement is granted.
pub(crate) const FRESH: GroupId = GroupId::new(3);
pub(crate) const GROUPS: [GroupId; 3] = [ARCHIVE, RECENT, FRESH];

pub(crate) const SKEW: Duration = Duration::from_secs(120);
pub(crate) const GRANT_DELAY: Duration = Duration::from_secs(20 * 60);
pub(crate) const WINDOW: Duration = Duration::from_secs(30 * 60);

/// What one certificate is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) member: MemberId,
    pub(crate) groups: BTreeMap<GroupId, Role>,
    pub(crate) supervisor: bool,
    pub(crate) not_after: Timestamp,
}

/// Secret keys, charters, log and ledger.
pub(crate) struct Admins {
    roots: [SigningKey; 2],
    admins: [SigningKey; 2],
    registrar: SigningKey,
    next_registrar: SigningKey,
    /// The log as the admins know it: the truth that nodes approach.
    pub(crate) roster: Roster,
    pub(crate) ledger: Ledger,
}

impl Admins {
    pub(crate) fn found(rng: &mut StdRng, now: Timestamp) -> Self {
        let mut key = || SigningKey::generate(rng);
        let (roots, admins) = ([key(), key()], [key(), key()]);
        let (registrar, next_registrar) = (key(), key());
        let mut charter = draft().to_charter(None, &root_keys(&roots, &admins, &registrar), now).unwrap();
        shorten(&mut charter);
        let payload = charter.encode_to_vec();
        // Version 1 is signed under its own id: it is the coalition.
        let coalition = CoalitionId::new(*hash::charter_id(&payload).as_bytes());
        let signed = sign(payload, Purpose::Charter, coalition, &[&roots[0], &roots[1]]);
        let roster = Roster::new(CharterChain::start(signed).unwrap());
        Self { roots, admins, registrar, next_registrar, roster, ledger: BTreeMap::new() }
    }

    /// Charter version 2 hands the log to another registrar key, pinned at today's head.
    pub(crate) fn change_charter(&mut self, now: Timestamp) {
        let keys = root_keys(&self.roots, &self.admins, &self.next_registrar);
        let chain = self.roster.charters();
        let mut charter = draft().to_next_charter(chain, &keys, self.roster.version(), now).unwrap();
        shorten(&mut charter);
        let coalition = self.roster.coalition();
        let roots = [&self.roots[0], &self.roots[1]];
        let signed = sign(charter.encode_to_vec(), Purpose::Charter, coalition, &roots);
        self.roster.apply_charter(signed).unwrap();
        self.registrar = self.next_registrar.clone();
    }

    pub(crate) fn issue(
        &mut self,
        ask: &Ask,
        keys: (&SigningKey, &SigningKey, &KemPublic),
        rng: &mut StdRng,
        now: Timestamp,
    ) -> Serial {
        let (signing, node, kem) = keys;
        let public = |key: &SigningKey| key.public().as_bytes().to_vec();
        let body = schema::CertificateBody {
            member: ask.member.to_vec(),
            organisation: Some(organisation(ask)),
            keys: Some(schema::MemberKeys {
                signing: public(signing),
                node: public(node),
                kem: kem.as_bytes().to_vec(),
            }),
            groups: ask
                .groups
                .iter()
                .map(|(group, role)| schema::GroupRole { group: group.get(), role: (*role).into() })
                .collect(),
            carrier: ask.groups.is_empty(),
            // Members' clocks may run behind the admins'.
            validity: Some(schema::Validity {
                not_before: now.saturating_sub(SKEW).as_micros(),
                not_after: ask.not_after.as_micros(),
            }),
            arrangement_version: "1".into(),
            rules_version: "1".into(),
        };
        let height =
            self.decide(ask.member, Decision::Issue(schema::Issue { certificate: Some(body) }), rng, now);
        let serial = Serial::new(height.get());
        self.ledger.insert(
            serial,
            Granted {
                member: ask.member,
                groups: ask.groups.clone(),
                carrier: ask.groups.is_empty(),
                supervisor: ask.supervisor,
                not_after: ask.not_after,
                spells: vec![Spell::begin(height, now)],
                cut: None,
            },
        );
        serial
    }

    pub(crate) fn revoke(
        &mut self,
        serial: Serial,
        effective: Timestamp,
        cut: Vec<schema::CutPoint>,
        rng: &mut StdRng,
        now: Timestamp,
    ) {
        let member = self.ledger[&serial].member;
        if effective <= now || !cut.is_empty() {
            self.cut(serial, &cut);
        }
        let decision = Decision::Revoke(schema::Revoke {
            serial: serial.get(),
            member: member.to_vec(),
            reason: schema::RevocationReason::KeyCompromise.into(),
            decided: now.as_micros(),
            effective: effective.as_micros(),
            cut,
        });
        let height = self.decide(member, decision, rng, now);
        self.end(serial, height, effective, effective > now);
    }

    pub(crate) fn suspend(
        &mut self,
        serial: Serial,
        cut: Vec<schema::CutPoint>,
        rng: &mut StdRng,
        now: Timestamp,
    ) {
        let member = self.ledger[&serial].member;
        self.cut(serial, &cut);
        let decision = Decision::Suspend(schema::Suspend { serial: serial.get(), cut });
        let height = self.decide(member, decision, rng, now);
        self.end(serial, height, Timestamp::ZERO, false);
    }

    pub(crate) fn resume(&mut self, serial: Serial, rng: &mut StdRng, now: Timestamp) {
        let member = self.ledger[&serial].member;
        let decision = Decision::Resume(schema::Resume { serial: serial.get() });
        let height = self.decide(member, decision, rng, now);
        self.granted(serial).spells.push(Spell::begin(height, now));
    }

    pub(crate) fn extend_cut(
        &mut self,
        serial: Serial,
        cut: Vec<schema::CutPoint>,
        rng: &mut StdRng,
        now: Timestamp,
    ) {
        let member = self.ledger[&serial].member;
        self.cut(serial, &cut);
        let decision = Decision::ExtendCut(schema::ExtendCut { serial: serial.get(), cut });
        self.decide(member, decision, rng, now);
    }

    /// The issuing record of a certificate: what its node shows at hello.
    pub(crate) fn record_of(&self, serial: Serial) -> schema::Record {
        let index = usize::try_from(serial.get()).unwrap() - 1;
        self.roster.records().nth(index).unwrap().record.clone()
    }

    fn end(&mut self, serial: Serial, height: Height, effective: Timestamp, is_announced: bool) {
        let spell = self.granted(serial).spells.last_mut().unwrap();
        (spell.to, spell.is_announced) = (Some((height, effective)), is_announced);
    }

    fn granted(&mut self, serial: Serial) -> &mut Granted {
        self.ledger.get_mut(&serial).unwrap()
    }

    fn cut(&mut self, serial: Serial, points: &[schema::CutPoint]) {
        let cut = self.granted(serial).cut.get_or_insert_default();
        for point in points {
            let message = MessageId::try_from(point.message.as_slice()).unwrap();
            let log = LogId::try_from(point.log.as_slice()).unwrap();
            let last = cut.entry(log).or_insert((point.sequence, message));
            if last.0 < point.sequence {
                *last = (point.sequence, message);
            }
        }
    }

    fn decide(&mut self, member: MemberId, decision: Decision, rng: &mut StdRng, now: Timestamp) -> Height {
        let coalition = self.roster.coalition();
        let previous = self.roster.member(member).map(|member| member.last_statement);
        let version = self.roster.charter().version();
        let payload = propose(coalition, decision, previous, version, now, rng);
        let admins = [&self.admins[0], &self.admins[1]];
        let statement = sign(payload, Purpose::Statement, coalition, &admins);
        let at = self.roster.version();
        let height = Height::new(at.height.get() + 1);
        let record = order(coalition, height, at.head, statement, &self.registrar);
        let verified = verify_record(self.roster.charters(), &record).unwrap();
        self.roster.apply(verified).unwrap();
        assert!(self.roster.voids().is_empty(), "{:?}", self.roster.voids());
        height
    }
}

fn organisation(ask: &Ask) -> schema::Organisation {
    let (class, capacity) = match ask.supervisor {
        true => (schema::EntityClass::Authority, schema::Capacity::Supervisor),
        false => (schema::EntityClass::Essential, schema::Capacity::None),
    };
    schema::Organisation {
        name: format!("Member {}", ask.member),
        classes: vec![class.into()],
        capacity: capacity.into(),
        ..schema::Organisation::default()
    }
}

fn draft() -> Draft {
    let document =
        serde_json::json!({ "version": "1", "link": "https://example.org/", "hash": "ab".repeat(32) });
    let group = |slug: &str, history: &str, days: u64| {
        serde_json::json!({ "slug": slug, "name": slug, "history": history, "history_window_days": days,
            "max_tlp": "red" })
    };
    serde_json::from_value(serde_json::json!({
        "name": "Simulated coalition",
        "clock_skew_s": SKEW.as_secs(),
        "arrangement": document,
        "rules_of_conduct": document,
        "groups": [group("archive", "all", 0), group("recent", "window", 1), group("fresh", "none", 0)],
    }))
    .unwrap()
}

/// Spans that a draft counts in days, made short enough for an afternoon.
fn shorten(charter: &mut schema::Charter) {
    charter.grant_delay_s = GRANT_DELAY.as_secs();
    charter.groups[1].history_window_s = WINDOW.as_secs();
}

fn root_keys(roots: &[SigningKey; 2], admins: &[SigningKey; 2], registrar: &SigningKey) -> RootKeys {
    RootKeys {
        root_threshold: 2,
        root: roots.iter().map(SigningKey::public).collect(),
        admins: admins.iter().map(SigningKey::public).collect(),
        admins_until: BTreeMap::new(),
        thresholds: ACTIONS.iter().map(|action| (*action, 2)).collect(),
        registrar: registrar.public(),
    }
}
