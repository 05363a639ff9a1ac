//! One node: what it must not lose, what it may, and the events that move it.
//!
//! Every decision is `belfry-proto`'s, down to which page is asked of whom. What the daemon adds between them (when to
//! compare with whom, in which order to make things durable) is modelled here in its shortest form.

mod boasts;
mod clock;
mod compare;
mod contacts;
mod grants;
mod intake;
mod lies;
mod log;
mod membership;
mod outcome;
mod publish;
mod pulling;
mod sync;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_proto::{
    crypto::{
        hpke::KemSecret,
        sign::{PublicKey, SigningKey},
    },
    envelope::ContentKey,
    id::{CoalitionId, GossipId, GroupId, KeyId, LogId, MemberId, MessageId, PublicationId, Serial},
    schema::{self, Audience},
    sync::{Ask, Comparison, GroupFrontier, Range, number, slices::FEW},
    time::Timestamp,
    trust::{
        charter::CharterChain,
        contact_book::{ContactPull, Held},
        log::verify_record,
        roster::{Reader, Roster, Standing},
    },
    verdict::Verdict,
};
use prost::Message;
use rand::{rngs::StdRng, seq::IndexedRandom};

use self::pulling::{Pulling, Round};
pub(crate) use self::{
    log::{Content, Entry, Logs},
    publish::{Draft, Words},
    pulling::MOST_UNDER_WAY,
};
use crate::{
    admins::GROUPS,
    faults::{Crashed, Defect, Fuse, Point},
    network::{Packet, Protocol},
};

/// Who a node is. Never changes.
pub(crate) struct Identity {
    pub(crate) serial: Serial,
    pub(crate) member: MemberId,
    pub(crate) signing: SigningKey,
    pub(crate) node: SigningKey,
    pub(crate) kem: KemSecret,
    /// Its certificate.
    pub(crate) record: schema::Record,
    pub(crate) carrier: bool,
}

/// How a node treats the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    /// Signs two messages for one place and shows each to half of the others.
    Equivocator,
    /// Gathers everybody's ciphertext and asks everyone for keys; goes on publishing when revoked.
    Thief,
    /// Sends what it has no right to: forged, stripped, repeated.
    Forger,
    /// Answers who syncs with it otherwise than asked: too much, too little, something else.
    Liar,
    /// Signs messages that follow bytes of its own log which it did not sign.
    Perjurer,
}

impl Conduct {
    /// Whether it hears everything that is gossiped, entitled or not.
    pub(crate) const fn taps(self) -> bool {
        matches!(self, Self::Thief)
    }
}

/// What survives a crash: changed only through [`Node::persist`], one batch at a time.
#[derive(Clone, Default)]
pub(crate) struct Durable {
    pub(crate) charters: Vec<schema::Signed>,
    pub(crate) records: Vec<schema::Record>,
    pub(crate) logs: Logs,
    pub(crate) parked: BTreeMap<MessageId, Vec<u8>>,
    pub(crate) keys: BTreeMap<KeyId, ContentKey>,
    pub(crate) drafts: BTreeMap<PublicationId, Draft>,
    /// The log that this node writes in each group, by its random part.
    pub(crate) own: BTreeMap<GroupId, ([u8; 16], Option<LogId>)>,
    /// Content keys made so far.
    pub(crate) epoch: u64,
    /// One record a member, by which key.
    pub(crate) contacts: BTreeMap<MemberId, (Held, schema::Signed)>,
}

/// What a crash loses.
pub(crate) struct Volatile {
    pub(crate) roster: Arc<Roster>,
    seen: BTreeSet<GossipId>,
    asked: BTreeMap<u64, Asked>,
    greeted: BTreeSet<PublicKey>,
    /// Whether a hello was answered since the start, and since the clock was set.
    level: bool,
    /// Others' clocks minus ours, microseconds: each member's last word.
    voices: BTreeMap<MemberId, i64>,
    /// The heads of our own logs that others hold.
    known: BTreeMap<(GroupId, LogId), u64>,
    active: BTreeMap<(GroupId, Audience), ActiveKey>,
    /// Ciphertext heard in passing, by a thief; by nonce, as a bent signature makes no other ciphertext.
    pub(crate) loot: BTreeMap<[u8; 24], Vec<u8>>,
    /// What a liar pretends to hold.
    fictions: BTreeMap<GroupId, Arc<GroupFrontier>>,
    /// Sums of slices, as others told them to a liar.
    sums: BTreeMap<(PublicKey, GroupId), Vec<u8>>,
    pulling: Pulling,
}

struct ActiveKey {
    key: ContentKey,
    readers: BTreeSet<Reader>,
    /// Pushes get this long before the first message goes out.
    ready: Timestamp,
}

/// What a reply will answer.
enum Asked {
    Greet,
    PullAdmin,
    PushAdmin,
    /// Under that number of the protocol.
    Sync {
        peer: PublicKey,
        number: u32,
        what: Synced,
    },
    Keys {
        group: GroupId,
        ids: Vec<KeyId>,
    },
}

/// What of sync a reply will answer, and of comparisons how often the peer was asked.
enum Synced {
    Frontier {
        comparison: Comparison,
        asked: usize,
        round: Round,
    },
    /// And the range that was asked for: of missing bodies, one stretch of them.
    Page(Ask<PublicKey>, Range),
    Fork(Ask<PublicKey>),
    Contacts(ContactPull, usize),
    /// A contact record; nothing follows.
    Told,
}

/// What the world hears of, for the oracle: never used to decide anything.
#[derive(Clone, Debug)]
pub(crate) enum Observation {
    /// Signed, maybe not yet durable.
    Signed {
        message: MessageId,
        words: Words,
    },
    /// Taken as its author's.
    Attributed {
        message: MessageId,
        author: Serial,
        log: LogId,
        sequence: u64,
    },
    /// Read in clear.
    Opened {
        message: MessageId,
    },
    /// Told gossipsub that whoever forwarded this misbehaves.
    Rejected {
        from: PublicKey,
        code: &'static str,
    },
    /// A key handed over, maybe to another node of its holder's member.
    Granted {
        within: bool,
    },
    /// A key refused by the rule.
    Refused,
    Parked,
    Quarantined,
    Forked,
    /// Kept by the word of what follows it.
    Unsigned,
    /// A body that was taken back has left the disk.
    Shredded,
    /// A peer answered the `asked`th question of a comparison of frontiers.
    Compared {
        asked: usize,
        by_slices: bool,
    },
    /// The same of contact records.
    ComparedContacts {
        asked: usize,
    },
    /// What an operator says of its member, maybe not yet durable.
    Said {
        payload: Vec<u8>,
    },
    /// Contact records that are new here.
    Contacts,
    /// An answer that is not what was asked for.
    Spoiled {
        from: PublicKey,
        code: &'static str,
    },
    /// A page or a proof is asked for: how many are by now, and of this peer.
    Fetching {
        under_way: usize,
        of_peer: usize,
    },
    /// A peer has nothing of all that it claims.
    SetAside {
        from: PublicKey,
    },
    /// A peer that is to be compared with has to rest first.
    PutOff,
}

/// What a handler gets: its clock, its dice, and where to put what comes of it.
pub(crate) struct Cx<'a> {
    pub(crate) now: Timestamp,
    /// Since the world began, by a clock that nobody sets.
    pub(crate) elapsed: Duration,
    pub(crate) rng: &'a mut StdRng,
    pub(crate) out: Vec<(PublicKey, Packet)>,
    pub(crate) observed: Vec<Observation>,
    /// After how long to wake the node.
    pub(crate) wakes: Vec<Duration>,
    /// Numbers of requests, unique in the world.
    pub(crate) ids: &'a mut u64,
    /// The newest number of sync that each node's release speaks.
    pub(crate) numbers: &'a BTreeMap<PublicKey, u32>,
}

impl Cx<'_> {
    fn send(&mut self, to: PublicKey, packet: Packet) {
        self.out.push((to, packet));
    }

    /// What the two ends of a stream agree on.
    fn number_with(&self, one: &PublicKey, other: &PublicKey) -> u32 {
        self.numbers[one].min(self.numbers[other])
    }

    fn reply(&mut self, to: PublicKey, id: u64, message: &impl Message) {
        self.send(to, Packet::Reply { id, bytes: message.encode_to_vec() });
    }

    fn wake_after(&mut self, wait: Duration) {
        self.wakes.push(wait);
    }

    fn saw(&mut self, observation: Observation) {
        self.observed.push(observation);
    }
}

pub(crate) struct Node {
    pub(crate) identity: Identity,
    pub(crate) conduct: Conduct,
    pub(crate) defect: Option<Defect>,
    pub(crate) durable: Durable,
    /// `None` while it is down.
    pub(crate) volatile: Option<Volatile>,
    pub(crate) fuse: Option<Fuse>,
    /// A forger that has given up: what it sends at the last moment could not have got about.
    pub(crate) tired: bool,
    /// Microseconds that its clock runs ahead.
    pub(crate) clock_error: i64,
    /// The newest number of sync that its release speaks.
    pub(crate) number: u32,
    /// Logs up to which it asks for the whole list of a group at once.
    pub(crate) few: usize,
    /// Batches made durable, for the report.
    pub(crate) batches: BTreeMap<Point, u64>,
    coalition: CoalitionId,
}

impl Node {
    /// A node with an empty disk, still down.
    pub(crate) fn new(identity: Identity, conduct: Conduct, roster: &Roster, clock_error: i64) -> Self {
        Self {
            identity,
            conduct,
            defect: None,
            durable: Durable::default(),
            volatile: None,
            fuse: None,
            tired: false,
            clock_error,
            number: number::NEWEST,
            few: FEW,
            batches: BTreeMap::new(),
            coalition: roster.coalition(),
        }
    }

    /// `belfry join`: the certificate comes with the log.
    pub(crate) fn hand_log(&mut self, roster: &Roster) {
        self.durable.charters = roster.charters().signed().to_vec();
        self.durable.records = roster.records().map(|record| record.record.clone()).collect();
    }

    /// What a crash may have left undone: everything that follows from the admin log, and from keys.
    pub(crate) fn catch_up(&mut self, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        self.roster_moved(cx)?;
        let keys: Vec<KeyId> = self.durable.keys.keys().copied().collect();
        keys.into_iter().try_for_each(|key| self.reopen(key, cx))
    }

    /// Comes up with nothing but what is durable.
    pub(crate) fn start(&mut self) {
        let charters = CharterChain::walk(self.durable.charters.iter().cloned()).unwrap();
        let mut roster = Roster::new(charters);
        for record in &self.durable.records {
            roster.apply(verify_record(roster.charters(), record).unwrap()).unwrap();
        }
        self.volatile = Some(Volatile {
            roster: Arc::new(roster),
            seen: BTreeSet::new(),
            asked: BTreeMap::new(),
            greeted: BTreeSet::new(),
            level: false,
            voices: BTreeMap::new(),
            known: BTreeMap::new(),
            active: BTreeMap::new(),
            loot: BTreeMap::new(),
            fictions: BTreeMap::new(),
            sums: BTreeMap::new(),
            pulling: Pulling::default(),
        });
    }

    pub(crate) fn key(&self) -> PublicKey {
        self.identity.node.public()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.volatile.is_some()
    }

    /// One atomic batch, or the crash that a fault planned for just before or just after it.
    fn persist(&mut self, point: Point, write: impl FnOnce(&mut Durable)) -> Result<(), Crashed> {
        *self.batches.entry(point).or_default() += 1;
        match Fuse::burn(&mut self.fuse, point) {
            Some(crash) if !crash.after => Err(crash),
            Some(crash) => {
                write(&mut self.durable);
                Err(crash)
            }
            None => {
                write(&mut self.durable);
                Ok(())
            }
        }
    }

    fn up(&mut self) -> &mut Volatile {
        self.volatile.as_mut().unwrap()
    }

    fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.volatile.as_ref().unwrap().roster)
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// A packet from the node whose key the handshake proved.
    pub(crate) fn receive(
        &mut self,
        from: PublicKey,
        packet: Packet,
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let admitted = self.roster().is_admitted(&from, cx.now);
        match packet {
            Packet::Gossip { topic, bytes } if admitted => self.gossiped(from, topic, &bytes, cx),
            Packet::Request { id, protocol: Protocol::Hello, bytes } => self.hello(from, id, &bytes, cx),
            // Who may have a key is the grant rule's to say, so that the rule is what stops a thief here.
            Packet::Request { id, protocol: Protocol::Keys, bytes } => {
                self.asked_for_keys(from, id, &bytes, cx)
            }
            Packet::Request { id, protocol: Protocol::Sync(number), bytes } if admitted => {
                self.serve(from, id, number, &bytes, cx)
            }
            Packet::Reply { id, bytes, .. } => match self.up().asked.remove(&id) {
                Some(asked) => self.answered(from, asked, &bytes, cx),
                None => Ok(()),
            },
            Packet::Gossip { .. } | Packet::Request { .. } => Ok(()),
        }
    }

    /// The regular look around: hello, sync, keys, contacts, drafts.
    pub(crate) fn tick(&mut self, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        self.greet_someone(cx);
        self.pull_someone(cx);
        self.ask_for_keys(cx);
        self.ask_contacts(cx);
        if self.conduct == Conduct::Forger && !self.tired {
            self.forge(cx);
            self.forge_contact(cx);
        }
        self.forget_contacts(cx)?;
        self.flush(cx)
    }

    fn answered(
        &mut self,
        from: PublicKey,
        asked: Asked,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        match asked {
            Asked::Greet | Asked::PullAdmin | Asked::PushAdmin => {
                self.hello_answered(from, &asked, bytes, cx)
            }
            Asked::Sync { number, what, .. } => self.sync_answered(from, number, what, bytes, cx),
            Asked::Keys { group, ids } => self.keys_answered(group, &ids, bytes, cx),
        }
    }

    fn request(
        &mut self,
        to: PublicKey,
        protocol: Protocol,
        asked: Asked,
        message: &impl Message,
        cx: &mut Cx<'_>,
    ) {
        *cx.ids += 1;
        let id = *cx.ids;
        self.up().asked.insert(id, asked);
        cx.send(to, Packet::Request { id, protocol, bytes: message.encode_to_vec() });
    }

    /// Everyone else who may have the full protocols now.
    fn peers(&self, now: Timestamp) -> Vec<PublicKey> {
        let own = self.key();
        self.roster().admitted_nodes(now).into_iter().filter(|node| *node != own).collect()
    }

    /// Those of them that hold a group's messages.
    fn peers_of(&self, group: GroupId, now: Timestamp) -> Vec<PublicKey> {
        let roster = self.roster();
        let keeps = |node: &PublicKey| {
            roster.by_node(node).is_some_and(|c| c.carrier || roster.role(c.serial, group, now).is_some())
        };
        self.peers(now).into_iter().filter(keeps).collect()
    }

    /// Groups whose messages this node keeps.
    fn groups(&self, now: Timestamp) -> Vec<GroupId> {
        let roster = self.roster();
        if roster.standing(self.identity.serial, now) != Standing::Valid {
            return Vec::new();
        }
        GROUPS
            .into_iter()
            .filter(|group| self.identity.carrier || roster.role(self.identity.serial, *group, now).is_some())
            .collect()
    }

    fn some_of<T: Copy>(from: &[T], count: usize, rng: &mut StdRng) -> Vec<T> {
        from.sample(rng, count.min(from.len())).copied().collect()
    }

    fn judged(&self, from: PublicKey, verdict: Verdict, code: &'static str, cx: &mut Cx<'_>) {
        if verdict == Verdict::Reject {
            cx.saw(Observation::Rejected { from, code });
        }
    }
}
