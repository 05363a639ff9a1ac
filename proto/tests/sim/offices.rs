//! The offices of a coalition on virtual time: admins who act at once, one who is a thief, a registrar who is, and a log
//! that is kept from some.
//!
//! ```text
//! offices (root, admins, registrar; each holds keys and a log of its own) ─statements, entries, beacons─▶ watchers
//! ```
//!
//! A watcher does with records, charters and beacons what a node does, in its shortest form: it folds what goes on from
//! its head, keeps what lies ahead until the gap fills, keeps proof of two entries at one height, applies removals that it
//! sees elsewhere, and believes a beacon whose head it has. What reaches whom, and in which order, a seed decides.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{
    crypto::{
        hash,
        hpke::KemSecret,
        sign::{Purpose, SigningKey},
    },
    envelope::{GrantRefusal, KeyContext, may_grant},
    id::{CoalitionId, GroupId, Height, LogId, MemberId, RosterVersion, Serial},
    schema::{self, Action, Audience, EntityClass, Role},
    time::Timestamp,
    trust::{
        beacon::{self, Beacon},
        charter::{ACTIONS, CharterChain},
        charter_draft::{Draft, RootKeys},
        log::{EquivocationProof, LogError, VerifiedRecord, equivocation, order, verify_record},
        on_sight::RemovalSeen,
        roster::Roster,
        signed::{SignedError, add_signature, sign},
        statement::{Decision, Statement, propose},
    },
};
use prost::Message;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

const GROUP: GroupId = GroupId::new(1);
const WATCHERS: usize = 6;
const SEEDS: std::ops::Range<u64> = 0..40;

/// Minutes after the founding.
const fn at(minutes: u64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + minutes * 60) * 1_000_000)
}

/// Keys of every office, and the log as the registrar's machine has it.
struct Offices {
    rng: StdRng,
    roots: [SigningKey; 2],
    admins: Vec<SigningKey>,
    registrar: SigningKey,
    thresholds: BTreeMap<Action, u32>,
    log: Roster,
}

impl Offices {
    fn found(seed: u64, thresholds: &[(Action, u32)]) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut key = || SigningKey::generate(&mut rng);
        let (roots, admins, registrar) = ([key(), key()], vec![key(), key(), key()], key());
        let mut all: BTreeMap<Action, u32> = ACTIONS.iter().map(|action| (*action, 1)).collect();
        all.extend(thresholds.iter().copied());
        let keys = Self::keys(&roots, &admins, &registrar, &all);
        let payload = draft().to_charter(None, &keys, at(0)).unwrap().encode_to_vec();
        let coalition = CoalitionId::new(*hash::charter_id(&payload).as_bytes());
        let signed = sign(payload, Purpose::Charter, coalition, &[&roots[0], &roots[1]]);
        let log = Roster::new(CharterChain::start(signed).unwrap());
        Self { rng, roots, admins, registrar, thresholds: all, log }
    }

    fn keys(
        roots: &[SigningKey; 2],
        admins: &[SigningKey],
        registrar: &SigningKey,
        thresholds: &BTreeMap<Action, u32>,
    ) -> RootKeys {
        RootKeys {
            root_threshold: 2,
            root: roots.iter().map(SigningKey::public).collect(),
            admins: admins.iter().map(SigningKey::public).collect(),
            admins_until: BTreeMap::new(),
            thresholds: thresholds.clone(),
            registrar: registrar.public(),
        }
    }

    /// The next charter, with the keys as they stand now; pins the log at `pin`.
    fn charter(&mut self, pin: RosterVersion, now: Timestamp) -> schema::Signed {
        let keys = Self::keys(&self.roots, &self.admins, &self.registrar, &self.thresholds);
        let next = draft().to_next_charter(self.log.charters(), &keys, pin, now).unwrap();
        let coalition = self.log.coalition();
        let signed =
            sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&self.roots[0], &self.roots[1]]);
        self.log.apply_charter(signed.clone()).unwrap();
        signed
    }

    /// What admins sign who know the log as `known`.
    fn statement(
        &mut self,
        known: &Roster,
        member: MemberId,
        decision: Decision,
        admins: &[usize],
        now: Timestamp,
    ) -> schema::Signed {
        let previous = known.member(member).map(|member| member.last_statement);
        let (coalition, version) = (known.coalition(), known.charter().version());
        let payload = propose(coalition, decision, previous, version, now, &mut self.rng);
        let mut signed = schema::Signed { payload, signatures: Vec::new() };
        for admin in admins {
            add_signature(&mut signed, Purpose::Statement, coalition, &self.admins[*admin]);
        }
        signed
    }

    /// The registrar orders it behind `log`.
    fn entry(&self, log: &Roster, statement: schema::Signed) -> schema::Record {
        let at = log.version();
        let height = Height::new(at.height.get() + 1);
        order(log.coalition(), height, at.head, statement, &self.registrar)
    }

    /// Orders and folds it.
    fn append(&mut self, statement: schema::Signed) -> schema::Record {
        let record = self.entry(&self.log, statement);
        let verified = verify_record(self.log.charters(), &record).unwrap();
        self.log.apply(verified).unwrap();
        record
    }

    fn issue(&mut self, n: u8, admins: &[usize], now: Timestamp) -> schema::Record {
        let body = self.body(n);
        let issue = Decision::Issue(schema::Issue { certificate: Some(body) });
        let known = self.log.clone();
        let statement = self.statement(&known, member(n), issue, admins, now);
        self.append(statement)
    }

    fn body(&mut self, n: u8) -> schema::CertificateBody {
        let mut key = || SigningKey::generate(&mut self.rng).public().as_bytes().to_vec();
        let (signing, node) = (key(), key());
        schema::CertificateBody {
            member: member(n).to_vec(),
            organisation: Some(schema::Organisation {
                name: format!("Member {n}"),
                classes: vec![EntityClass::Essential.into()],
                ..schema::Organisation::default()
            }),
            keys: Some(schema::MemberKeys {
                signing,
                node,
                kem: KemSecret::generate(&mut self.rng).public().as_bytes().to_vec(),
            }),
            groups: vec![schema::GroupRole { group: GROUP.get(), role: Role::Publisher.into() }],
            carrier: false,
            validity: Some(schema::Validity {
                not_before: at(0).as_micros(),
                not_after: at(1_000_000).as_micros(),
            }),
            arrangement_version: "1".into(),
            rules_version: "1".into(),
        }
    }

    fn beacon(&self, log: &Roster, now: Timestamp) -> schema::Signed {
        beacon::make(log.charter(), log.version(), Duration::from_secs(3600), now, &self.registrar)
    }
}

fn member(n: u8) -> MemberId {
    MemberId::new([n; 16])
}

fn draft() -> Draft {
    let document =
        serde_json::json!({ "version": "1", "link": "https://example.org/", "hash": "ab".repeat(32) });
    serde_json::from_value(serde_json::json!({
        "name": "Offices",
        "stale_after_days": 1,
        "arrangement": document,
        "rules_of_conduct": document,
        "groups": [{ "slug": "archive", "name": "Archive", "history": "all", "max_tlp": "red" }],
    }))
    .unwrap()
}

fn renew(serial: Serial, until: u64) -> Decision {
    Decision::Renew(schema::Renew { serial: serial.get(), not_after: at(until).as_micros() })
}

fn suspend(serial: Serial) -> Decision {
    Decision::Suspend(schema::Suspend { serial: serial.get(), cut: vec![] })
}

/// One node's view of the offices.
struct Watcher {
    roster: Roster,
    /// Verified and ahead of the head, by height.
    ahead: BTreeMap<Height, Vec<VerifiedRecord>>,
    proofs: Vec<EquivocationProof>,
    beacon: Option<Beacon>,
    /// A newer beacon's head that nobody has served.
    missing: Option<RosterVersion>,
    contradicted: bool,
    /// When it first had an entry.
    seen: BTreeMap<Height, Timestamp>,
}

impl Watcher {
    fn new(founding: &Roster) -> Self {
        Self {
            roster: founding.clone(),
            ahead: BTreeMap::new(),
            proofs: Vec::new(),
            beacon: None,
            missing: None,
            contradicted: false,
            seen: BTreeMap::new(),
        }
    }

    fn take(&mut self, record: &schema::Record, now: Timestamp) -> Result<(), LogError> {
        let verified = verify_record(self.roster.charters(), record)?;
        if verified.height <= self.roster.version().height {
            let index = usize::try_from(verified.height.get()).unwrap() - 1;
            let held = self.roster.records().nth(index).unwrap();
            if let Some(proof) = equivocation(held, &verified)
                && self.proofs.iter().all(|known| known.height != proof.height)
            {
                self.proofs.push(proof);
            }
            self.see(&verified);
            return Ok(());
        }
        self.see(&verified);
        self.ahead.entry(verified.height).or_default().push(verified);
        self.fold(now);
        Ok(())
    }

    fn see(&mut self, record: &VerifiedRecord) {
        self.roster.fork_proven(self.proofs.iter().map(|proof| proof.height));
        if let Some(removal) = RemovalSeen::of(record) {
            self.roster.see(removal);
        }
    }

    fn fold(&mut self, now: Timestamp) {
        loop {
            let next = Height::new(self.roster.version().height.get() + 1);
            let Some(waiting) = self.ahead.remove(&next) else { break };
            let mut folded = false;
            let mut left = Vec::new();
            for record in waiting {
                if folded || self.roster.apply(record.clone()).is_err() {
                    left.push(record);
                } else {
                    folded = true;
                    self.seen.entry(next).or_insert(now);
                }
            }
            for record in &left {
                // Of another history, or the second of one height.
                let held = self.roster.records().nth(usize::try_from(next.get()).unwrap() - 1);
                self.proofs.extend(held.and_then(|held| equivocation(held, record)));
            }
            if !folded {
                self.ahead.insert(next, left);
                break;
            }
        }
        if let Some(missing) = self.missing
            && self.roster.is_prefix(missing)
        {
            self.missing = None;
        }
    }

    fn amend(&mut self, charter: &schema::Signed, now: Timestamp) {
        let before = self.roster.version().height;
        if self.roster.apply_charter(charter.clone()).is_ok() && self.roster.version().height < before {
            // The branch held was not the one pinned: whatever waited is judged by the charter that is.
            self.seen.retain(|height, _| *height <= self.roster.version().height);
        }
        self.fold(now);
    }

    fn hear(&mut self, signed: &schema::Signed, now: Timestamp) {
        let Ok(found) = beacon::verify(self.roster.charter(), signed, now) else { return };
        if self.beacon.is_some_and(|known| known.made >= found.made) {
            return;
        }
        if found.head.height > self.roster.version().height {
            self.missing = Some(found.head);
        } else if self.roster.is_prefix(found.head) {
            self.beacon = Some(found);
        } else {
            self.contradicted = true;
        }
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        let after = self.roster.charter().stale_after().unwrap();
        self.beacon.is_none_or(|beacon| now >= beacon.made.saturating_add(after).min(beacon.expires))
    }
}

/// Everything reaches everybody, each in an order of its own, some of it twice.
fn deliver(watchers: &mut [Watcher], records: &[schema::Record], rng: &mut StdRng, now: Timestamp) {
    for watcher in watchers {
        let mut mail: Vec<&schema::Record> = records.iter().collect();
        mail.extend(records.iter().filter(|_| rng.random_bool(0.3)));
        mail.shuffle(rng);
        for record in mail {
            let _ = watcher.take(record, now);
        }
    }
}

fn agree(watchers: &[Watcher], truth: &Roster) {
    for watcher in watchers {
        assert_eq!(watcher.roster.version(), truth.version());
        assert!(watcher.roster.certificates().eq(truth.certificates()));
        assert_eq!(watcher.roster.voids(), truth.voids());
    }
}

#[test]
fn two_admins_who_decide_at_once_never_both_change_a_member_and_no_node_differs() {
    let (mut both, mut voids, mut removed_anyway) = (0, 0, 0);
    for seed in SEEDS {
        let mut offices = Offices::found(seed, &[]);
        let mut watchers: Vec<Watcher> = (0..WATCHERS).map(|_| Watcher::new(&offices.log)).collect();
        let mut records: Vec<schema::Record> = (1..=3).map(|n| offices.issue(n, &[0], at(1))).collect();
        // Each admin knows the log of now, and nothing of the other's.
        let known = offices.log.clone();
        let mut statements = Vec::new();
        for admin in [0, 1] {
            for _ in 0..3 {
                let n: u8 = offices.rng.random_range(1..=3);
                let serial = Serial::new(u64::from(n));
                let until = 1_000_001 + offices.rng.random_range(0..1000);
                let decision =
                    if offices.rng.random_bool(0.7) { renew(serial, until) } else { suspend(serial) };
                statements.push((n, offices.statement(&known, member(n), decision, &[admin], at(2))));
            }
        }
        let mut rng = StdRng::seed_from_u64(seed + 1000);
        statements.shuffle(&mut rng);
        let mut changed: BTreeMap<u8, u32> = BTreeMap::new();
        for (n, statement) in statements {
            let is_removal = Statement::decode(&statement.payload).unwrap().is_removal();
            let before = offices.log.voids().len();
            records.push(offices.append(statement));
            let took_effect = offices.log.voids().len() == before;
            voids += usize::from(!took_effect);
            if took_effect && !is_removal {
                *changed.entry(n).or_default() += 1;
            }
            removed_anyway += usize::from(took_effect && is_removal);
        }
        assert!(changed.values().all(|times| *times <= 1), "seed {seed}: {changed:?}");
        both += usize::from(changed.len() > 1);
        deliver(&mut watchers, &records, &mut rng, at(3));
        agree(&watchers, &offices.log);
    }
    assert!(both > 0 && voids > 0 && removed_anyway > 0, "{both} {voids} {removed_anyway}");
}

#[test]
fn a_thief_with_one_admin_key_of_two_decides_nothing_and_with_enough_is_seen_before_the_archive_opens() {
    for seed in SEEDS {
        let mut offices = Offices::found(seed, &[(Action::Issue, 2)]);
        let mut watchers: Vec<Watcher> = (0..WATCHERS).map(|_| Watcher::new(&offices.log)).collect();
        let mut rng = StdRng::seed_from_u64(seed + 1000);
        let first = [offices.issue(1, &[0, 1], at(1)), offices.issue(2, &[0, 1], at(1))];
        deliver(&mut watchers, &first, &mut rng, at(2));
        let made_before = offices.log.version();

        // Alone: refused everywhere, also as an entry that the registrar was tricked to order.
        let body = offices.body(66);
        let ghost = Decision::Issue(schema::Issue { certificate: Some(body) });
        let known = offices.log.clone();
        let alone = offices.statement(&known, member(66), ghost.clone(), &[2], at(3));
        let record = offices.entry(&offices.log, alone);
        for watcher in &mut watchers {
            assert!(matches!(
                watcher.take(&record, at(3)),
                Err(LogError::Admins { error: SignedError::TooFew { found: 1, needed: 2 }, .. })
            ));
            assert_eq!(watcher.roster.version(), made_before);
        }

        // With a second stolen key: a ghost, dated back by years. Every node has it in its roster, and gives it nothing old.
        let stolen = offices.statement(&known, member(66), ghost, &[1, 2], at(0));
        let entry = offices.append(stolen);
        deliver(&mut watchers, &[entry], &mut rng, at(10));
        agree(&watchers, &offices.log);
        let serial = Serial::new(offices.log.version().height.get());
        let node = offices.log.certificate(serial).unwrap().node;
        let delay = offices.log.charter().grant_delay();
        let key = KeyContext {
            coalition: offices.log.coalition(),
            group: GROUP,
            audience: Audience::Group,
            author: member(1),
            log: LogId::new([7; 32]),
            epoch: 1,
            created: at(2),
            roster: made_before,
        };
        let asked = |watcher: &Watcher, now: Timestamp| {
            may_grant(&watcher.roster, &key, at(2), &node, |height| watcher.seen.get(&height).copied(), now)
                .map(|certificate| certificate.serial)
        };
        let last = Timestamp::from_micros(at(10).saturating_add(delay).as_micros() - 1);
        for watcher in &watchers {
            assert!(watcher.roster.member(member(66)).is_some(), "not unseen");
            assert!(matches!(asked(watcher, last), Err(GrantRefusal::Delayed { .. })), "nor at once");
        }

        // Seen in time: suspended by one honest admin, then the stolen keys are taken out of the charter.
        let known = offices.log.clone();
        let out = offices.statement(&known, member(66), suspend(serial), &[0], at(20));
        let entry = offices.append(out);
        offices.admins.truncate(1);
        offices.thresholds.insert(Action::Issue, 1);
        let pin = offices.log.version();
        let charter = offices.charter(pin, at(21));
        for watcher in &mut watchers {
            let _ = watcher.take(&entry, at(22));
            watcher.amend(&charter, at(22));
            assert_eq!(asked(watcher, at(100_000)), Err(GrantRefusal::NotCertified));
        }
        agree(&watchers, &offices.log);
        // Whatever else the thief had signed in time stays without effect.
        let late = offices.issue(3, &[0], at(23));
        deliver(&mut watchers, &[late], &mut rng, at(24));
        agree(&watchers, &offices.log);
    }
}

#[test]
fn a_registrar_that_shows_two_logs_is_proven_to_by_whoever_meets_and_a_charter_ends_it() {
    for seed in SEEDS {
        let mut offices = Offices::found(seed, &[]);
        let mut watchers: Vec<Watcher> = (0..WATCHERS).map(|_| Watcher::new(&offices.log)).collect();
        let mut rng = StdRng::seed_from_u64(seed + 1000);
        let common: Vec<schema::Record> = (1..=2).map(|n| offices.issue(n, &[0], at(1))).collect();
        deliver(&mut watchers, &common, &mut rng, at(1));

        // One half is shown that member 2 is suspended, the other half something else in its place, and more behind it.
        let known = offices.log.clone();
        let truth = offices.statement(&known, member(2), suspend(Serial::new(2)), &[0], at(2));
        let lie = offices.statement(&known, member(1), renew(Serial::new(1), 1_000_002), &[0], at(2));
        let mut lying = known.clone();
        let lies = [offices.entry(&lying, lie)];
        lying.apply(verify_record(lying.charters(), &lies[0]).unwrap()).unwrap();
        let more = offices.statement(&lying, member(2), renew(Serial::new(2), 1_000_002), &[0], at(3));
        let more = offices.entry(&lying, more);
        lying.apply(verify_record(lying.charters(), &more).unwrap()).unwrap();
        let lies = [lies[0].clone(), more];
        let truths = [offices.append(truth)];
        let (honest, fooled) = watchers.split_at_mut(WATCHERS / 2);
        deliver(honest, &truths, &mut rng, at(4));
        deliver(fooled, &lies, &mut rng, at(4));
        for watcher in honest.iter_mut() {
            watcher.hear(&offices.beacon(&offices.log, at(5)), at(5));
            assert!(!watcher.is_stale(at(6)));
            // The other half's beacon vouches for another log than this one.
            watcher.hear(&offices.beacon(&lying, at(6)), at(6));
            assert!(watcher.missing == Some(lying.version()) || watcher.contradicted);
        }
        assert!(watchers.iter().all(|watcher| watcher.proofs.is_empty()), "nobody has met");

        // They meet: everybody has the proof, and nobody changes sides by itself.
        let met: Vec<schema::Record> = truths.iter().chain(&lies).cloned().collect();
        let before: Vec<RosterVersion> = watchers.iter().map(|watcher| watcher.roster.version()).collect();
        deliver(&mut watchers, &met, &mut rng, at(7));
        for (watcher, before) in watchers.iter().zip(before) {
            assert_eq!(watcher.roster.version(), before);
            let proof = watcher.proofs.first().expect("two entries at one height");
            assert_eq!(proof.height.get(), 3);
            let [one, other] = &proof.entries;
            assert_ne!(one.payload, other.payload);
        }

        // Root pins the true branch and another registrar: one log again, and the old key orders nothing more.
        let thief = std::mem::replace(&mut offices.registrar, SigningKey::generate(&mut rng));
        let pin = offices.log.version();
        let charter = offices.charter(pin, at(8));
        for watcher in &mut watchers {
            watcher.amend(&charter, at(9));
            for record in common.iter().chain(&truths) {
                let _ = watcher.take(record, at(9));
            }
        }
        agree(&watchers, &offices.log);
        let known = offices.log.clone();
        let statement = offices.statement(&known, member(1), renew(Serial::new(1), 1_000_003), &[0], at(10));
        let version = known.version();
        let forged = order(
            known.coalition(),
            Height::new(version.height.get() + 1),
            version.head,
            statement.clone(),
            &thief,
        );
        deliver(&mut watchers, &[forged], &mut rng, at(10));
        agree(&watchers, &offices.log);
        let record = offices.append(statement);
        deliver(&mut watchers, &[record], &mut rng, at(11));
        agree(&watchers, &offices.log);
    }
}

/// Whatever the order, the repetitions and the branch: who was removed on either of them reads nothing anywhere, until a
/// charter pins the branch on which that was not decided.
#[test]
fn halves_on_two_branches_remove_whom_the_other_removed_and_a_charter_gives_back_what_its_branch_does_not_say()
 {
    for seed in SEEDS {
        let mut offices = Offices::found(seed, &[(Action::Revoke, 2)]);
        let mut watchers: Vec<Watcher> = (0..WATCHERS).map(|_| Watcher::new(&offices.log)).collect();
        let mut rng = StdRng::seed_from_u64(seed + 1000);
        let common: Vec<schema::Record> = (1..=3).map(|n| offices.issue(n, &[0], at(1))).collect();
        deliver(&mut watchers, &common, &mut rng, at(1));
        let known = offices.log.clone();
        let made_before = known.version();

        // The true branch suspends member 3 and admits member 4; the other one renews member 1 and revokes member 2.
        let mut truths = Vec::new();
        let out = offices.statement(&known, member(3), suspend(Serial::new(3)), &[0], at(2));
        truths.push(offices.append(out));
        truths.push(offices.issue(4, &[0], at(2)));
        let mut other = known.clone();
        let mut lies = Vec::new();
        let revoke = Decision::Revoke(schema::Revoke {
            serial: 2,
            member: member(2).to_vec(),
            reason: schema::RevocationReason::Left.into(),
            decided: at(2).as_micros(),
            effective: at(2).as_micros(),
            cut: vec![],
        });
        let decisions = [(1, renew(Serial::new(1), 1_000_002), &[0][..]), (2, revoke.clone(), &[0, 1][..])];
        for (n, decision, admins) in decisions {
            let statement = offices.statement(&other, member(n), decision, admins, at(2));
            let record = offices.entry(&other, statement);
            other.apply(verify_record(other.charters(), &record).unwrap()).unwrap();
            lies.push(record);
        }
        let (honest, fooled) = watchers.split_at_mut(WATCHERS / 2);
        deliver(honest, &truths, &mut rng, at(3));
        deliver(fooled, &lies, &mut rng, at(3));

        // One admin of the two that a revocation needs removes nobody, ordered or not.
        let alone = offices.statement(&known, member(1), revoke, &[2], at(3));
        assert!(RemovalSeen::unordered(known.charters(), &alone).is_err());
        let alone = offices.entry(&other, alone);
        for watcher in &mut watchers {
            assert!(watcher.take(&alone, at(3)).is_err());
        }

        let reads = |watcher: &Watcher, n: u8, now: Timestamp| {
            let readers = watcher.roster.readers(GROUP, Audience::Group, now);
            readers.iter().any(|reader| reader.member == member(n))
        };
        let key = KeyContext {
            coalition: offices.log.coalition(),
            group: GROUP,
            audience: Audience::Group,
            author: member(1),
            log: LogId::new([7; 32]),
            epoch: 1,
            created: at(2),
            roster: made_before,
        };
        let two = known.certificate(Serial::new(2)).unwrap().node;
        let (honest, fooled) = watchers.split_at(WATCHERS / 2);
        assert!(honest.iter().all(|watcher| reads(watcher, 2, at(4)) && !reads(watcher, 3, at(4))));
        assert!(fooled.iter().all(|watcher| reads(watcher, 3, at(4)) && !reads(watcher, 2, at(4))));
        for watcher in honest {
            assert!(may_grant(&watcher.roster, &key, at(2), &two, |_| None, at(4)).is_ok());
        }

        // They meet. Nobody changes sides, and neither of the two reads anywhere any more.
        let met: Vec<schema::Record> = truths.iter().chain(&lies).cloned().collect();
        let before: Vec<RosterVersion> = watchers.iter().map(|watcher| watcher.roster.version()).collect();
        deliver(&mut watchers, &met, &mut rng, at(5));
        for (watcher, before) in watchers.iter().zip(before) {
            assert_eq!(watcher.roster.version(), before);
            assert!(!reads(watcher, 2, at(6)) && !reads(watcher, 3, at(6)), "seed {seed}");
            assert!(reads(watcher, 1, at(6)), "what gives waits, and nobody else is touched");
            assert_eq!(
                may_grant(&watcher.roster, &key, at(2), &two, |_| None, at(6)).map(|c| c.serial),
                Err(GrantRefusal::NotCertified)
            );
            assert!(!watcher.roster.admitted_nodes(at(6)).contains(&two));
        }

        // Root pins the true branch: member 2 is back, member 3 stays out, and old words bring nothing back.
        let pin = offices.log.version();
        let charter = offices.charter(pin, at(8));
        for watcher in &mut watchers {
            watcher.amend(&charter, at(9));
        }
        deliver(&mut watchers, &common, &mut rng, at(9));
        for record in &truths {
            deliver(&mut watchers, std::slice::from_ref(record), &mut rng, at(9));
        }
        deliver(&mut watchers, &met, &mut rng, at(10));
        agree(&watchers, &offices.log);
        for watcher in &watchers {
            assert!(reads(watcher, 2, at(11)) && !reads(watcher, 3, at(11)), "seed {seed}");
            assert_eq!(watcher.roster.removals_seen().count(), 0);
        }
    }
}

#[test]
fn a_node_from_which_the_log_is_kept_knows_that_it_is_and_an_old_beacon_does_not_comfort_it() {
    for seed in SEEDS {
        let mut offices = Offices::found(seed, &[]);
        let mut watchers: Vec<Watcher> = (0..2).map(|_| Watcher::new(&offices.log)).collect();
        let mut rng = StdRng::seed_from_u64(seed + 1000);
        let first = [offices.issue(1, &[0], at(1)), offices.issue(2, &[0], at(1))];
        deliver(&mut watchers, &first, &mut rng, at(1));
        let old = offices.beacon(&offices.log, at(2));
        for watcher in &mut watchers {
            assert!(watcher.is_stale(at(2)), "nobody has vouched yet");
            watcher.hear(&old, at(2));
            assert!(!watcher.is_stale(at(3)));
        }
        // A revocation that only the first one is given.
        let known = offices.log.clone();
        let out = offices.statement(&known, member(2), suspend(Serial::new(2)), &[0], at(4));
        let record = offices.append(out);
        deliver(&mut watchers[..1], std::slice::from_ref(&record), &mut rng, at(5));
        let fresh = offices.beacon(&offices.log, at(30));
        let [informed, frozen] = &mut watchers[..] else { unreachable!() };
        informed.hear(&fresh, at(31));
        assert!(!informed.is_stale(at(80)));
        // The frozen one: whoever keeps the log from it may keep the beacon, too. Then the old one runs out.
        frozen.hear(&old, at(40));
        assert!(frozen.is_stale(at(62)), "an hour after the last word");
        // Or lets the beacon through: it vouches for what is not here, and comforts nobody.
        frozen.hear(&fresh, at(63));
        assert_eq!(frozen.missing, Some(offices.log.version()));
        assert!(frozen.is_stale(at(63)));
        // A registrar that repeats an old head instead of signing the new one is found out by age.
        let repeated = offices.beacon(&known, at(64));
        frozen.hear(&repeated, at(64));
        informed.hear(&repeated, at(64));
        assert!(!frozen.is_stale(at(65)), "it lies, and the log alone cannot tell");
        assert!(frozen.missing.is_some(), "but what it vouched for before is still missing");
        // The entry comes: nothing is missing any more, and both hold the same log.
        let _ = frozen.take(&record, at(70));
        assert!(frozen.missing.is_none());
        agree(&watchers, &offices.log);
    }
}
