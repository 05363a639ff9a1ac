//! Virtual time, and everything that happens in it, in one order.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{
    crypto::{hpke::KemSecret, sign::PublicKey, sign::SigningKey},
    schema,
    sync::number,
    time::Timestamp,
    topic::Topic,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    admins::{Admins, Ask, GROUPS},
    faults::{Crashed, Defect, Fuse, Point},
    frontiers::same_either_way,
    invariants::{Oracle, Violation},
    network::{Network, Packet, Protocol},
    node::{Conduct, Cx, Draft, Durable, Identity, Node, Observation},
    scenario::{self, Act, twins},
    stats::Stats,
};

/// 2026-01-01.
const BEGINNING: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
/// How far clocks are off at most, unless one is set wrong: within the charter's skew of each other.
const CLOCK_ERROR: i64 = 50_000_000;
/// After this every week of grace is over, also one that a clock two days ahead began.
const GRACE: Duration = Duration::from_secs(10 * 24 * 3600);
/// Every certificate has run out, and no contact record is let go for that yet.
const KEPT: Duration = Duration::from_secs((30 + 89) * 24 * 3600);
/// Every contact record is.
const GONE: Duration = Duration::from_secs((30 + 91) * 24 * 3600);

enum Event {
    Deliver { from: usize, to: usize, packet: Packet },
    Tick(usize),
    Wake(usize),
    Restart(usize),
    Act(Act),
}

/// What came of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) trace: String,
    pub(crate) stats: Stats,
}

/// A broken promise, and when.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) crash: Option<Point>,
    pub(crate) after: Duration,
    pub(crate) violation: Violation,
}

pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) admins: Admins,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) now: Timestamp,
    pub(crate) defect: Option<Defect>,
    index: BTreeMap<PublicKey, usize>,
    /// The newest number of sync that each node speaks.
    numbers: BTreeMap<PublicKey, u32>,
    queue: BTreeMap<(Timestamp, u64), Event>,
    /// Numbers events, so that equal times have one order, and requests.
    counter: u64,
    ids: u64,
    pub(crate) oracle: Oracle,
    /// Nodes certified before anything happened.
    founders: usize,
    snapshots: BTreeMap<usize, Durable>,
    /// Nodes that stay down until then.
    asleep: BTreeMap<usize, Timestamp>,
    trace: blake3::Hasher,
    stats: Stats,
}

/// Plays the seed's scenario, heals everything, and looks at what is left.
pub(crate) fn run(seed: u64, defect: Option<Defect>) -> Result<Report, Failure> {
    run_with(seed, defect, None)
}

/// The same, and every node crashes at its first batch of a kind: one half before it, the other after it.
pub(crate) fn run_with(seed: u64, defect: Option<Defect>, point: Option<Point>) -> Result<Report, Failure> {
    let mut world = World::new(seed, defect);
    let failed =
        |violation, now: Timestamp| Failure { seed, crash: point, after: now.since(BEGINNING), violation };
    let plan = scenario::plan(&mut world);
    for (node, after) in world.nodes.iter_mut().zip([false, true].into_iter().cycle()) {
        node.fuse = point.map(|point| Fuse { point: Some(point), length: 0, after });
    }
    let heal = world.now.saturating_add(plan.faults_last);
    for (when, act) in plan.acts {
        world.schedule(when, Event::Act(act));
    }
    world.run_until(heal).map_err(|violation| failed(violation, world.now))?;
    world.heal().map_err(|violation| failed(violation, world.now))?;
    let end = world.now.saturating_add(plan.quiet_lasts);
    world.run_until(end).map_err(|violation| failed(violation, world.now))?;
    world.oracle.last_look(&world.nodes, &world.admins, end).map_err(|violation| failed(violation, end))?;
    world.oracle.note_contacts(&world.nodes, &world.admins, end);
    world.stats.virtual_time = end.since(BEGINNING);
    for (after, looks_again) in [(GRACE, true), (KEPT, false), (GONE, false)] {
        let later = end.saturating_add(after);
        world.sleep_until(later).map_err(|violation| failed(violation, later))?;
        let (oracle, nodes, admins) = (&world.oracle, &world.nodes, &world.admins);
        let looked = match looks_again {
            true => oracle.look_again(nodes, admins, later),
            false => Ok(()),
        };
        let looked = looked.and_then(|()| oracle.contacts_kept(nodes, admins, later));
        looked.map_err(|violation| failed(violation, later))?;
    }
    Ok(world.report())
}

impl World {
    fn new(seed: u64, defect: Option<Defect>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let network = Network::draw(&mut rng);
        let admins = Admins::found(&mut rng, BEGINNING);
        Self {
            admins,
            network,
            nodes: Vec::new(),
            now: BEGINNING,
            defect,
            index: BTreeMap::new(),
            numbers: BTreeMap::new(),
            queue: BTreeMap::new(),
            counter: 0,
            ids: 0,
            oracle: Oracle::default(),
            founders: 0,
            snapshots: BTreeMap::new(),
            asleep: BTreeMap::new(),
            trace: blake3::Hasher::new(),
            stats: Stats::default(),
            rng,
        }
    }

    /// Certifies a new node. It is started with the log as the admins export it now.
    pub(crate) fn certify(&mut self, ask: &Ask, conduct: Conduct) -> usize {
        let (signing, node) = (SigningKey::generate(&mut self.rng), SigningKey::generate(&mut self.rng));
        let kem = KemSecret::generate(&mut self.rng);
        let keys = (&signing, &node, &kem.public());
        let serial = self.admins.issue(ask, keys, &mut self.rng, self.now);
        let identity = Identity {
            serial,
            member: ask.member,
            record: self.admins.record_of(serial),
            carrier: ask.groups.is_empty(),
            signing,
            node,
            kem,
        };
        let number = self.nodes.len();
        self.index.insert(identity.node.public(), number);
        self.numbers.insert(identity.node.public(), number::NEWEST);
        let error = self.rng.random_range(-CLOCK_ERROR..=CLOCK_ERROR);
        let mut node = Node::new(identity, conduct, &self.admins.roster, error);
        node.defect = self.defect;
        self.nodes.push(node);
        number
    }

    /// The node's release speaks no newer number of sync than this one.
    pub(crate) fn speak(&mut self, node: usize, number: u32) {
        self.nodes[node].number = number;
        self.numbers.insert(self.nodes[node].key(), number);
    }

    /// Everyone certified so far gets the whole log and starts.
    pub(crate) fn start_all(&mut self) {
        self.founders = self.nodes.len();
        for number in 0..self.founders {
            self.nodes[number].hand_log(&self.admins.roster);
            self.nodes[number].start();
            self.schedule_tick(number);
        }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.counter += 1;
        self.queue.insert((self.now.saturating_add(after), self.counter), event);
    }

    fn schedule_tick(&mut self, number: usize) {
        let after = Duration::from_millis(self.rng.random_range(30_000..90_000));
        self.schedule(after, Event::Tick(number));
    }

    fn run_until(&mut self, end: Timestamp) -> Result<(), Violation> {
        while let Some(next) = self.queue.first_entry() {
            if next.key().0 > end {
                break;
            }
            let ((when, _), event) = next.remove_entry();
            self.now = when;
            self.trace.update(&when.as_micros().to_be_bytes());
            self.happen(event)?;
        }
        self.now = end;
        Ok(())
    }

    /// Days in which nobody says anything, and what is due happens.
    fn sleep_until(&mut self, end: Timestamp) -> Result<(), Violation> {
        self.now = end;
        for number in 0..self.nodes.len() {
            if self.nodes[number].is_up() {
                self.with(number, |node, cx| {
                    node.forget_contacts(cx)?;
                    GROUPS.into_iter().try_for_each(|group| node.reweigh(group, cx))
                })?;
            }
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Deliver { from, to, packet } => {
                // A partition cuts what is under way, too.
                if !self.nodes[to].is_up() || self.network.is_parted(from, to) {
                    return Ok(());
                }
                self.stats.packets += 1;
                let is_older = matches!(packet, Packet::Request { protocol: Protocol::Sync(1), .. });
                self.stats.older += u64::from(is_older);
                self.trace.update(&[from as u8, to as u8]);
                packet.trace(&mut self.trace);
                let key = self.nodes[from].key();
                self.with(to, |node, cx| node.receive(key, packet, cx))
            }
            Event::Tick(number) => {
                self.trace.update(&[number as u8]);
                self.schedule_tick(number);
                if self.nodes[number].is_up() {
                    self.with(number, Node::tick)?;
                }
                Ok(())
            }
            Event::Wake(number) => {
                self.trace.update(&[number as u8]);
                if self.nodes[number].is_up() {
                    self.with(number, |node, cx| {
                        node.wake(cx);
                        Ok(())
                    })?;
                }
                Ok(())
            }
            Event::Restart(number) => {
                let is_asleep = self.asleep.get(&number).is_some_and(|until| *until > self.now);
                if !is_asleep && !self.nodes[number].is_up() {
                    self.nodes[number].start();
                    self.with(number, Node::catch_up)?;
                }
                Ok(())
            }
            Event::Act(act) => self.act(act),
        }
    }

    /// Lets a node act, sends what it sent, tells the oracle, and takes it down if it crashed.
    fn with(
        &mut self,
        number: usize,
        act: impl FnOnce(&mut Node, &mut Cx<'_>) -> Result<(), Crashed>,
    ) -> Result<(), Violation> {
        let node = &mut self.nodes[number];
        let micros = self.now.as_micros().saturating_add_signed(node.clock_error);
        let mut cx = Cx {
            now: Timestamp::from_micros(micros),
            elapsed: self.now.since(BEGINNING),
            rng: &mut self.rng,
            out: Vec::new(),
            observed: Vec::new(),
            wakes: Vec::new(),
            ids: &mut self.ids,
            numbers: &self.numbers,
        };
        let result = act(node, &mut cx);
        let (out, observed, wakes) = (cx.out, cx.observed, cx.wakes);
        for wait in wakes {
            self.schedule(wait, Event::Wake(number));
        }
        for observation in observed {
            self.stats.count(&observation);
            let by = &self.nodes[number];
            let forwarder = match &observation {
                Observation::Rejected { from, .. }
                | Observation::Spoiled { from, .. }
                | Observation::SetAside { from } => self.index.get(from).map(|n| self.nodes[*n].conduct),
                _ => None,
            };
            self.oracle.hear(by, &observation, forwarder, &self.admins.ledger, self.now)?;
        }
        for (to, packet) in out {
            self.send(number, to, packet)?;
        }
        if let Err(crashed) = result {
            self.stats.crashes.insert((crashed.point, crashed.after));
            self.take_down(number);
        }
        Ok(())
    }

    pub(crate) fn take_down(&mut self, number: usize) {
        self.nodes[number].volatile = None;
        let after = Duration::from_secs(self.rng.random_range(5..600));
        self.schedule(after, Event::Restart(number));
    }

    fn send(&mut self, from: usize, to: PublicKey, packet: Packet) -> Result<(), Violation> {
        if let Packet::Gossip { topic: Topic::Group(_), bytes } = &packet {
            for thief in 0..self.nodes.len() {
                if thief != from && self.nodes[thief].conduct.taps() && self.nodes[thief].is_up() {
                    self.with(thief, |node, cx| {
                        node.overhear(bytes, cx);
                        Ok(())
                    })?;
                }
            }
        }
        let Some(to) = self.index.get(&to).copied() else { return Ok(()) };
        for delay in self.network.delays(from, to, &mut self.rng) {
            self.schedule(delay, Event::Deliver { from, to, packet: packet.clone() });
        }
        Ok(())
    }

    /// Ends every fault and hands the log to one node once more, as an admin would who saw that it did not get
    /// about.
    fn heal(&mut self) -> Result<(), Violation> {
        same_either_way(&self.nodes)?;
        self.network.heal();
        self.asleep.clear();
        for number in 0..self.nodes.len() {
            self.nodes[number].fuse = None;
            self.nodes[number].tired = true;
            if self.nodes[number].clock_error.abs() > CLOCK_ERROR {
                self.nodes[number].set_clock(0);
            }
            self.schedule(Duration::from_secs(1), Event::Restart(number));
        }
        self.schedule(Duration::from_secs(2), Event::Act(Act::Import));
        Ok(())
    }

    fn act(&mut self, act: Act) -> Result<(), Violation> {
        *self.stats.acts.entry(act.name()).or_default() += 1;
        self.trace.update(act.name().as_bytes());
        match act {
            Act::Publish { node, draft } => self.publish(node, draft),
            Act::Withdraw { node, mode } => {
                let draft = scenario::withdrawal(self, node, mode);
                draft.map_or(Ok(()), |draft| self.publish(node, draft))
            }
            Act::Hide { node } => {
                let draft = scenario::hide(self, node);
                draft.map_or(Ok(()), |draft| self.publish(node, draft))
            }
            Act::SetClock { node, error } => {
                self.nodes[node].set_clock(error);
                self.oracle.misled(self.nodes[node].identity.member);
                Ok(())
            }
            Act::Contact(node) => self.contact(node),
            Act::Update(node) => {
                self.speak(node, number::NEWEST);
                if self.nodes[node].is_up() {
                    self.take_down(node);
                }
                Ok(())
            }
            Act::Part(side) => {
                self.network.apart = side;
                Ok(())
            }
            Act::Light { node, fuse } => {
                self.nodes[node].fuse = Some(fuse);
                Ok(())
            }
            Act::Kill(node) => {
                if self.nodes[node].is_up() {
                    self.take_down(node);
                }
                Ok(())
            }
            Act::Backup(node) => {
                self.snapshots.insert(node, self.nodes[node].durable.clone());
                Ok(())
            }
            Act::Restore(node) => {
                if let Some(mut old) = self.snapshots.remove(&node) {
                    // What `backup restore` does: whatever was written since is unknown, so another log.
                    old.own.clear();
                    old.drafts.clear();
                    self.nodes[node].durable = old;
                    self.oracle.forgive(node);
                    self.take_down(node);
                }
                Ok(())
            }
            Act::Join { ask, conduct } => {
                let number = self.certify(&ask, conduct);
                self.join(number);
                Ok(())
            }
            Act::Second(of) => {
                let number = twins::certify_second(self, of);
                self.join(number);
                Ok(())
            }
            Act::Sleep { node, lasts } => {
                self.nodes[node].volatile = None;
                self.asleep.insert(node, self.now.saturating_add(lasts));
                self.schedule(lasts, Event::Restart(node));
                Ok(())
            }
            Act::CutOff(node) => {
                self.network.cut_off.insert(node);
                Ok(())
            }
            Act::Reconnect(node) => {
                self.network.cut_off.remove(&node);
                Ok(())
            }
            Act::Tell(node) => self.tell(node),
            Act::Admin(decision) => {
                scenario::decide(self, decision);
                self.import()
            }
            Act::Import => self.import(),
        }
    }

    /// `belfry join` and the first start of a node that was certified just now.
    fn join(&mut self, number: usize) {
        self.nodes[number].hand_log(&self.admins.roster);
        self.nodes[number].start();
        self.schedule_tick(number);
    }

    fn publish(&mut self, number: usize, draft: Draft) -> Result<(), Violation> {
        if !self.nodes[number].is_up() {
            return Ok(());
        }
        let publication = draft.publication;
        let mut acknowledged = false;
        self.with(number, |node, _| {
            node.publish(draft)?;
            acknowledged = true;
            Ok(())
        })?;
        if acknowledged {
            self.oracle.acknowledged(number, publication);
        }
        Ok(())
    }

    fn contact(&mut self, number: usize) -> Result<(), Violation> {
        if !self.nodes[number].is_up() {
            return Ok(());
        }
        let mut kept = None;
        self.with(number, |node, cx| {
            kept = node.set_contact(cx)?;
            Ok(())
        })?;
        if let Some(made) = kept {
            self.oracle.kept_contact(number, made);
        }
        Ok(())
    }

    /// The operator of one honest node that is up imports the admins' log: one of the first hour, whom all others
    /// admit. A member that comes back after a suspension, or a newcomer certified under a charter that the
    /// others lack, would not be let in to tell them.
    fn import(&mut self) -> Result<(), Violation> {
        let able: Vec<usize> = (0..self.founders)
            .filter(|n| self.nodes[*n].is_up() && self.nodes[*n].conduct == Conduct::Honest)
            .filter(|n| self.admins.ledger[&self.nodes[*n].identity.serial].was_never_out(self.now))
            .collect();
        if able.is_empty() {
            self.schedule(Duration::from_secs(60), Event::Act(Act::Import));
            return Ok(());
        }
        let chosen = able[self.rng.random_range(0..able.len())];
        self.tell(chosen)
    }

    /// The operator of this node, if it is up, imports the admins' log.
    fn tell(&mut self, number: usize) -> Result<(), Violation> {
        if !self.nodes[number].is_up() {
            return Ok(());
        }
        let roster = self.admins.roster.clone();
        self.with(number, |node, cx| node.import(&roster, cx))
    }

    fn report(mut self) -> Report {
        for node in &self.nodes {
            for group in GROUPS {
                for frontier in node.durable.logs.frontier(group) {
                    let wire = schema::LogFrontier::from(&frontier);
                    self.trace.update(&prost::Message::encode_to_vec(&wire));
                }
                for id in node.durable.logs.ended(group).keys() {
                    self.trace.update(&id.to_vec());
                }
            }
            for (_, record) in node.durable.contacts.values() {
                self.trace.update(&record.payload);
            }
        }
        let network = &self.network;
        (self.stats.lost, self.stats.repeated, self.stats.delayed) =
            (network.lost, network.repeated, network.delayed);
        for node in &self.nodes {
            for (point, count) in &node.batches {
                *self.stats.batches.entry(*point).or_default() += count;
            }
        }
        Report { trace: self.trace.finalize().to_hex().to_string(), stats: self.stats }
    }
}
