//! A small coalition in memory, for tests of the use-cases: a charter, an admin log, nodes with keys and
//! stores of their own, and networks over libp2p's memory transport.

pub(crate) mod papers;
pub(crate) mod said;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_proto::{
    crypto::{
        hash,
        hpke::KemSecret,
        secret::Secret,
        sign::{PublicKey, Purpose, SigningKey},
    },
    envelope::{
        Author, ContentKey, Decoded, Draft, KeyContext, Position, SealWith, Withdrawal, seal_message,
    },
    id::{CoalitionId, EntryId, GroupId, LogId, MemberId, MessageId, RosterVersion, Sequence, Serial},
    schema::{self, Audience, statement::Decision},
    time::Timestamp,
    trust::{charter::CharterChain, log::verify_record, roster::Roster, signed::sign},
};
use prost::Message;
use tempfile::TempDir;

use crate::{
    clock,
    feed::Feed,
    heard::GateTimes,
    identity::Identity,
    membership::{DialLimits, Membership, Reach},
    network::{self, Address, Inbound, Link, Network, NetworkConfig},
    roster::LiveRoster,
    rows,
    store::{Change, MessageState, Owner, Store},
};

pub(crate) const CIDR: GroupId = GroupId::new(5);
pub(crate) const CLOUD: GroupId = GroupId::new(3);
/// Longer than anything here takes on a busy machine; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Charter, log, and the keys that write them.
#[derive(Clone)]
pub(crate) struct Coalition {
    pub(crate) roster: Roster,
    admin: SigningKey,
    pub(crate) registrar: SigningKey,
    latest: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) began: Timestamp,
    /// How long certificates are valid that are issued from here on.
    pub(crate) lasting: Duration,
    /// The date that statements bear, if not that of today.
    pub(crate) decided: Option<Timestamp>,
}

/// One node of it, not running.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) identity: Arc<Identity>,
    pub(crate) key: SigningKey,
}

impl Coalition {
    pub(crate) fn new() -> Self {
        let [root, admin, registrar] = [201, 202, 203].map(|seed| SigningKey::from_seed(&[seed; 32]));
        let began = clock::now().saturating_sub(DAY);
        let charter = charter([&root, &admin, &registrar], began).encode_to_vec();
        let coalition = CoalitionId::new(*hash::charter_id(&charter).as_bytes());
        let signed = sign(charter, Purpose::Charter, coalition, &[&root]);
        let roster = Roster::new(CharterChain::start(signed).unwrap());
        Self { roster, admin, registrar, latest: BTreeMap::new(), began, lasting: 300 * DAY, decided: None }
    }

    pub(crate) fn id(&self) -> CoalitionId {
        self.roster.coalition()
    }

    /// Certifies node `n` of member `n` as a publisher of `groups`; of none, as a carrier.
    pub(crate) fn issue(&mut self, n: u8, groups: &[GroupId]) -> Seat {
        self.issue_as(n, groups, schema::EntityClass::Essential, schema::Capacity::None)
    }

    /// As [`Self::issue`], for an organisation of this class and capacity.
    pub(crate) fn issue_as(
        &mut self,
        n: u8,
        groups: &[GroupId],
        class: schema::EntityClass,
        capacity: schema::Capacity,
    ) -> Seat {
        self.issue_of(n, n, groups, class, capacity)
    }

    /// Another certificate of member `n`, with the keys that node `seed` would have.
    pub(crate) fn issue_again(&mut self, n: u8, seed: u8, groups: &[GroupId]) -> Seat {
        self.issue_of(n, seed, groups, schema::EntityClass::Essential, schema::Capacity::None)
    }

    fn issue_of(
        &mut self,
        n: u8,
        seed: u8,
        groups: &[GroupId],
        class: schema::EntityClass,
        capacity: schema::Capacity,
    ) -> Seat {
        let [signing, key] = [0, 64].map(|offset| SigningKey::from_seed(&[seed + offset; 32]));
        let kem = KemSecret::from_seed(Secret::new([seed + 128; 32]));
        let body = schema::CertificateBody {
            member: vec![n; 16],
            organisation: Some(schema::Organisation {
                name: format!("Member {n}"),
                classes: vec![class.into()],
                capacity: capacity.into(),
                sector: "energy".into(),
                ..schema::Organisation::default()
            }),
            keys: Some(schema::MemberKeys {
                signing: signing.public().as_bytes().to_vec(),
                node: key.public().as_bytes().to_vec(),
                kem: kem.public().as_bytes().to_vec(),
            }),
            groups: groups
                .iter()
                .map(|group| schema::GroupRole { group: group.get(), role: schema::Role::Publisher.into() })
                .collect(),
            carrier: groups.is_empty(),
            validity: Some(schema::Validity {
                not_before: self.began.as_micros(),
                not_after: self.began.saturating_add(self.lasting).as_micros(),
            }),
            arrangement_version: "1".into(),
            rules_version: "1".into(),
        };
        self.decide(n, Decision::Issue(schema::Issue { certificate: Some(body) }));
        let serial = Serial::new(self.roster.version().height.get());
        let record = self.roster.records().last().unwrap().record.clone();
        let identity =
            Identity { member: MemberId::new([n; 16]), serial, record, signing, node: key.public(), kem };
        Seat { identity: Arc::new(identity), key }
    }

    /// The next version of the charter, which pins the admin log at `pin` and changes nothing else.
    pub(crate) fn next_charter(&self, pin: RosterVersion) -> schema::Signed {
        self.changed_charter(pin, |_| ())
    }

    /// The next version of the charter with a change.
    pub(crate) fn changed_charter(
        &self,
        pin: RosterVersion,
        change: impl FnOnce(&mut schema::Charter),
    ) -> schema::Signed {
        let [root, admin, registrar] = [201, 202, 203].map(|seed| SigningKey::from_seed(&[seed; 32]));
        let newest = self.roster.charter();
        let mut charter = schema::Charter {
            coalition: self.id().to_vec(),
            version: newest.version() + 1,
            previous: newest.id().to_vec(),
            pin: Some(pin.into()),
            ..charter([&root, &admin, &registrar], self.began)
        };
        change(&mut charter);
        sign(charter.encode_to_vec(), Purpose::Charter, self.id(), &[&root])
    }

    pub(crate) fn decide(&mut self, member: u8, decision: Decision) {
        let record = self.record(member, decision);
        let verified = verify_record(self.roster.charters(), &record).unwrap();
        self.latest.insert(vec![member; 16], verified.statement.id.to_vec());
        self.roster.apply(verified).unwrap();
        assert!(self.roster.voids().is_empty(), "{:?}", self.roster.voids());
    }

    /// The next record of the log, not yet in it.
    pub(crate) fn record(&self, member: u8, decision: Decision) -> schema::Record {
        let (coalition, before) = (self.id(), self.roster.version());
        let statement = schema::Statement {
            coalition: coalition.to_vec(),
            nonce: rand::random::<[u8; 16]>().to_vec(),
            previous: self.latest.get(&vec![member; 16]).cloned().unwrap_or_default(),
            charter_version: self.roster.charter().version(),
            made: self.decided.unwrap_or_else(clock::now).as_micros(),
            decision: Some(decision),
        }
        .encode_to_vec();
        let entry = schema::LogEntry {
            coalition: coalition.to_vec(),
            height: before.height.get() + 1,
            prev: if before.height.get() == 0 { EntryId::ZERO.to_vec() } else { before.head.to_vec() },
            statement: hash::statement_id(coalition, &statement).to_vec(),
        }
        .encode_to_vec();
        schema::Record {
            entry: Some(sign(entry, Purpose::LogEntry, coalition, &[&self.registrar])),
            statement: Some(sign(statement, Purpose::Statement, coalition, &[&self.admin])),
        }
    }

    /// The next `count` messages of `seat`'s log in `group`, after `before`.
    pub(crate) fn messages(
        &self,
        seat: &Seat,
        group: GroupId,
        before: Option<&Decoded>,
        count: usize,
    ) -> Vec<Decoded> {
        self.messages_of(seat, group, [0x11; 16], before, count)
    }

    /// [`Self::messages`] of another log.
    pub(crate) fn messages_of(
        &self,
        seat: &Seat,
        group: GroupId,
        instance: [u8; 16],
        before: Option<&Decoded>,
        count: usize,
    ) -> Vec<Decoded> {
        self.messages_with_key(seat, group, instance, before, count).0
    }

    /// [`Self::messages_of`] with the key that opens them.
    pub(crate) fn messages_with_key(
        &self,
        seat: &Seat,
        group: GroupId,
        instance: [u8; 16],
        before: Option<&Decoded>,
        count: usize,
    ) -> (Vec<Decoded>, ContentKey) {
        self.messages_at(clock::now(), seat, group, instance, before, count)
    }

    /// [`Self::messages_with_key`] that were written at `now`.
    pub(crate) fn messages_at(
        &self,
        now: Timestamp,
        seat: &Seat,
        group: GroupId,
        instance: [u8; 16],
        before: Option<&Decoded>,
        count: usize,
    ) -> (Vec<Decoded>, ContentKey) {
        let certificate = self.roster.certificate(seat.identity.serial).unwrap();
        let author = Author {
            coalition: self.id(),
            certificate,
            signing: &seat.identity.signing,
            roster: self.roster.version(),
        };
        let log = belfry_proto::envelope::log_id(self.id(), group, certificate, &instance);
        let context = KeyContext {
            coalition: self.id(),
            group,
            audience: Audience::Group,
            author: seat.identity.member,
            log,
            epoch: 1,
            created: now,
            roster: self.roster.version(),
        };
        let key = ContentKey::generate(context, &mut rand::rng());
        let payload = payload();
        let mut made: Vec<Decoded> = before.into_iter().cloned().collect();
        for _ in 0..count {
            let last = made.last();
            let position = Position {
                group,
                instance,
                predecessor: None,
                sequence: Sequence::new(last.map_or(0, |last| last.header().sequence.get()) + 1),
                prev: last.map_or(MessageId::ZERO, Decoded::message_id),
            };
            let draft = Draft::Data { payload: &payload, key: SealWith::Content(&key) };
            made.push(seal_message(&draft, &position, &author, now, &mut rand::rng()).unwrap());
        }
        (made.split_off(usize::from(before.is_some())), key)
    }

    /// A member's retraction of `target`, the entry of its log after `before`.
    pub(crate) fn retraction(
        &self,
        seat: &Seat,
        group: GroupId,
        before: Option<&Decoded>,
        target: MessageId,
    ) -> Decoded {
        let author = Author {
            coalition: self.id(),
            certificate: self.roster.certificate(seat.identity.serial).unwrap(),
            signing: &seat.identity.signing,
            roster: self.roster.version(),
        };
        let position = Position {
            group,
            instance: if before.is_some() { [0x11; 16] } else { [0x77; 16] },
            predecessor: None,
            sequence: Sequence::new(before.map_or(0, |before| before.header().sequence.get()) + 1),
            prev: before.map_or(MessageId::ZERO, Decoded::message_id),
        };
        let draft = Draft::Withdrawal(Withdrawal {
            mode: schema::WithdrawalMode::Retract,
            ground: schema::WithdrawalGround::Author,
            targets: vec![target],
        });
        seal_message(&draft, &position, &author, clock::now(), &mut rand::rng()).unwrap()
    }
}

fn payload() -> Vec<u8> {
    let object = br#"{"type":"indicator","spec_version":"2.1","id":"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","pattern":"[ipv4-addr:value = '198.51.100.7']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"}"#;
    schema::Payload {
        publication: vec![0x22; 16],
        part: 1,
        parts: 1,
        classes: vec![schema::InformationClass::Indicator.into()],
        purpose: schema::Purpose::Detect.into(),
        tlp: schema::Tlp::Amber.into(),
        objects: vec![object.to_vec()],
        ..schema::Payload::default()
    }
    .encode_to_vec()
}

/// A node's store and network, in which tests start the use-cases they are about.
pub(crate) struct Site {
    pub(crate) seat: Seat,
    pub(crate) store: Store,
    pub(crate) roster: LiveRoster,
    pub(crate) network: Network,
    pub(crate) address: Address,
    /// Taken by whatever use-case is started.
    pub(crate) inbound: Option<Inbound>,
    _folder: TempDir,
}

impl Site {
    /// A node that knows the whole admin log of `coalition`, listens, and admits every member.
    pub(crate) async fn new(coalition: &Coalition, seat: &Seat) -> Self {
        Self::knowing(coalition, coalition.roster.clone(), seat).await
    }

    /// The same with a roster of the test's choice.
    pub(crate) async fn knowing(coalition: &Coalition, roster: Roster, seat: &Seat) -> Self {
        let folder = TempDir::new().unwrap();
        let owner = Owner { coalition: coalition.id(), node: seat.identity.node };
        let store = Store::open(&folder.path().join("store"), owner, &Secret::new([9; 32])).unwrap();
        let charters = roster.charters().signed().iter();
        let admin = Change::Admin {
            charters: (1..)
                .zip(charters)
                .map(|(version, signed)| (version, signed.encode_to_vec()))
                .collect(),
            records: roster.records().map(|r| (r.height, r.record.encode_to_vec())).collect(),
            head: roster.version(),
        };
        store.commit(admin).await.unwrap();
        let config = NetworkConfig {
            listen: vec!["/memory/0".parse().unwrap()],
            memory: true,
            ..NetworkConfig::default()
        };
        let (network, mut inbound) = network::start(&config, &seat.key, coalition.id()).unwrap();
        let address = match tokio::time::timeout(PATIENCE, inbound.links.recv()).await.unwrap() {
            Some(Link::Listening(address)) => address,
            other => panic!("{other:?} before listening"),
        };
        let mut nodes = roster.admitted_nodes(clock::now());
        nodes.remove(&seat.identity.node);
        network.set_allowed(nodes).await.unwrap();
        Self {
            seat: seat.clone(),
            store,
            roster: LiveRoster::new(roster),
            network,
            address,
            inbound: Some(inbound),
            _folder: folder,
        }
    }

    pub(crate) fn node(&self) -> PublicKey {
        self.seat.identity.node
    }

    /// Membership that dials nobody and is not run: others are given its handles.
    pub(crate) fn membership(&self, feed: &Feed) -> Membership {
        Membership::new(
            Arc::clone(&self.seat.identity),
            self.store.clone(),
            self.network.clone(),
            self.roster.clone(),
            feed.clone(),
            Reach {
                bootstrap: Vec::new(),
                external: Vec::new(),
                listens: true,
                relays: BTreeSet::new(),
                limits: DialLimits { longest_wait: Duration::from_secs(3600), most: 0 },
                gate: GateTimes::default(),
            },
        )
    }

    /// The rest of an admin log comes to it.
    pub(crate) async fn hear(&self, roster: &Roster) {
        let known = self.roster.snapshot().version().height;
        let rest = roster.records().filter(|record| record.height > known);
        let records = rest.map(|r| (r.height, r.record.encode_to_vec())).collect();
        let change = Change::Admin { charters: Vec::new(), records, head: roster.version() };
        self.store.commit(change).await.unwrap();
        let mut nodes = roster.admitted_nodes(clock::now());
        nodes.remove(&self.node());
        self.network.set_allowed(nodes).await.unwrap();
        self.roster.replace(roster.clone());
    }

    /// Dials `other` and waits until the connection is up on this side.
    pub(crate) async fn connect(&self, other: &Self) {
        self.network.dial(other.node(), vec![other.address.clone()]).await.unwrap();
        eventually("a connection", async || {
            let peers = self.network.peers().await.unwrap();
            peers.iter().any(|peer| peer.node == other.node() && peer.admitted)
        })
        .await;
    }

    /// Stores messages as if they had been received.
    pub(crate) async fn hold(&self, messages: &[Decoded]) {
        for message in messages {
            let admitted = message.clone().trusted();
            let (header, id) = (admitted.header(), admitted.message_id());
            let received = header.created.saturating_add(Duration::from_secs(1));
            let (state, judged) = (MessageState::Sealed, header.roster.height);
            let row = rows::envelope(header, id, admitted.bytes(), true, state, received, judged);
            self.store.commit(Change::Envelope(Box::new(row))).await.unwrap();
        }
    }

    /// How far it holds a log.
    pub(crate) fn height(&self, group: GroupId, log: LogId) -> u64 {
        let rows = self.store.logs(group);
        rows.iter().find(|row| row.log == log).map_or(0, |row| row.height.get())
    }
}

/// Says that something is not tested here and why, also in the file that `scripts/test` gathers this in (`BELFRY_SKIPPED`): what
/// tests that pass say is shown nowhere else.
pub(crate) fn skipped(what: &str) {
    eprintln!("SKIPPED {what}");
    let Some(path) = std::env::var_os("BELFRY_SKIPPED") else { return };
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    // One write a line: others append meanwhile.
    std::io::Write::write_all(&mut file, format!("{what}\n").as_bytes()).unwrap();
}

/// Waits for a condition that something else brings about.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not come about"));
}

fn charter([root, admin, registrar]: [&SigningKey; 3], began: Timestamp) -> schema::Charter {
    let key = |key: &SigningKey| key.public().as_bytes().to_vec();
    let group = |id: GroupId, slug: &str| schema::FocusGroup {
        id: id.get(),
        slug: slug.into(),
        name: slug.to_uppercase(),
        description: "a group".into(),
        may_publish: schema::Role::Publisher.into(),
        history: schema::HistoryPolicy::All.into(),
        max_tlp: schema::Tlp::Red.into(),
        messages_per_hour: 600_000,
        bytes_per_hour: 640 << 20,
        default_purpose: schema::Purpose::Detect.into(),
        ..schema::FocusGroup::default()
    };
    let document = |name: &str| schema::Document {
        version: "1".into(),
        hash: hash::document(name.as_bytes()).to_vec(),
        link: format!("https://example.org/{name}"),
    };
    schema::Charter {
        name: "Test coalition".into(),
        version: 1,
        issued: began.as_micros(),
        expires: began.saturating_add(3650 * DAY).as_micros(),
        root: Some(schema::KeySet { threshold: 1, keys: vec![key(root)] }),
        admins: Some(schema::AdminKeys {
            keys: vec![key(admin)],
            thresholds: (1..=9).map(|action| schema::ActionThreshold { action, threshold: 1 }).collect(),
            ..schema::AdminKeys::default()
        }),
        registrar: key(registrar),
        groups: vec![group(CLOUD, "cloud-security"), group(CIDR, "cidr")],
        arrangement: Some(document("arrangement")),
        rules_of_conduct: Some(document("rules")),
        clock_skew_s: 300,
        grant_delay_s: 0,
        stale_after_s: 7 * 24 * 3600,
        ..schema::Charter::default()
    }
}
