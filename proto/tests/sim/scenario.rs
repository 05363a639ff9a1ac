//! What a seed is about: who takes part, what they publish, what goes wrong and when.

pub(crate) mod twins;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{
    id::{GroupId, MemberId, PublicationId},
    schema::{self, Audience, Role, WithdrawalGround, WithdrawalMode},
    sync::{number, slices::FEW},
    time::Timestamp,
};
use rand::{
    RngExt,
    rngs::StdRng,
    seq::{IndexedRandom, IteratorRandom},
};

use crate::{
    admins::{ARCHIVE, Ask, FRESH, GRANT_DELAY, GROUPS},
    faults::{Fuse, Point},
    node::{Conduct, Content, Draft, Entry, Node},
    scenario::twins::Twins,
    world::World,
};

/// How long things go wrong.
const FAULTS_LAST: Duration = Duration::from_secs(2 * 3600);
/// Enough rounds for everyone to have asked everyone, after the longest wait of the grant rule.
const QUIET_LASTS: Duration = Duration::from_secs(20 * 60 + GRANT_DELAY.as_secs() + 15 * 60);
/// Long past the end.
const FAR: Duration = Duration::from_secs(30 * 24 * 3600);

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Publish {
        node: usize,
        draft: Draft,
    },
    Withdraw {
        node: usize,
        mode: WithdrawalMode,
    },
    /// A steward's erasure of what it has read.
    Hide {
        node: usize,
    },
    /// Microseconds that a clock runs ahead from now on.
    SetClock {
        node: usize,
        error: i64,
    },
    Part(BTreeSet<usize>),
    Light {
        node: usize,
        fuse: Fuse,
    },
    Kill(usize),
    Backup(usize),
    Restore(usize),
    Join {
        ask: Ask,
        conduct: Conduct,
    },
    /// The member that runs this node gets another one.
    Second(usize),
    /// A node is down for long.
    Sleep {
        node: usize,
        lasts: Duration,
    },
    /// A node reaches nobody.
    CutOff(usize),
    /// It does again.
    Reconnect(usize),
    /// The operator of this node imports the admins' log.
    Tell(usize),
    /// An operator says where its member is reached.
    Contact(usize),
    /// A node gets the release of the others.
    Update(usize),
    Admin(Decided),
    Import,
}

/// What the admins decide.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decided {
    /// At once, with the heads that some node knows, or with nothing that stays.
    Revoke {
        node: usize,
        with_cut: bool,
    },
    /// Announced for later; what is written until then stays.
    Depart {
        node: usize,
        after: Duration,
    },
    /// Every node of the member that runs this one, at once.
    Expel {
        node: usize,
        with_cut: bool,
    },
    Suspend {
        node: usize,
    },
    Resume {
        node: usize,
    },
    /// More of a revoked node's messages count after all.
    ExtendCut {
        node: usize,
    },
    ChangeCharter,
}

impl Act {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Publish { .. } => "publish",
            Self::Withdraw { mode: WithdrawalMode::Retract, .. } => "retract",
            Self::Withdraw { mode: WithdrawalMode::Erase, .. } => "erase",
            Self::Withdraw { .. } => "lift",
            Self::Hide { .. } => "hide",
            Self::SetClock { .. } => "set clock",
            Self::Part(_) => "part",
            Self::Light { .. } => "crash at a batch",
            Self::Kill(_) => "crash",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Join { .. } => "late joiner",
            Self::Second(_) => "second node",
            Self::Sleep { .. } => "sleep",
            Self::CutOff(_) => "cut off",
            Self::Reconnect(_) => "reconnect",
            Self::Tell(_) => "tell one node",
            Self::Admin(Decided::Expel { .. }) => "revoke a whole member",
            Self::Admin(Decided::Revoke { with_cut: true, .. }) => "revoke with cut",
            Self::Admin(Decided::Revoke { with_cut: false, .. }) => "revoke without cut",
            Self::Admin(Decided::Depart { .. }) => "depart",
            Self::Admin(Decided::Suspend { .. }) => "suspend",
            Self::Admin(Decided::Resume { .. }) => "resume",
            Self::Admin(Decided::ExtendCut { .. }) => "extend cut",
            Self::Admin(Decided::ChangeCharter) => "change charter",
            Self::Import => "import",
            Self::Contact(_) => "contact",
            Self::Update(_) => "update",
        }
    }
}

pub(crate) struct Plan {
    pub(crate) acts: Vec<(Duration, Act)>,
    pub(crate) faults_last: Duration,
    pub(crate) quiet_lasts: Duration,
}

/// Certifies the first members and draws what will happen.
pub(crate) fn plan(world: &mut World) -> Plan {
    let far = world.now.saturating_add(FAR);
    let everywhere = |role| GROUPS.iter().map(|group| (*group, role)).collect::<BTreeMap<_, _>>();
    let mut number = 0;
    let mut certify = |world: &mut World, groups, conduct, supervisor, not_after: Timestamp| {
        number += 1;
        let member = MemberId::new([number; 16]);
        world.certify(&Ask { member, groups, supervisor, not_after }, conduct)
    };
    let publishers = everywhere(Role::Publisher);
    let mut authors: Vec<usize> =
        (0..3).map(|_| certify(world, publishers.clone(), Conduct::Honest, false, far)).collect();
    let steady = authors.clone();
    let thief = certify(world, publishers.clone(), Conduct::Thief, false, far);
    authors.push(thief);
    // Some read with one node and carry with another.
    if world.rng.random_bool(0.3) {
        let member = world.nodes[steady[1]].identity.member;
        let ask = Ask { member, groups: BTreeMap::new(), supervisor: false, not_after: far };
        world.certify(&ask, Conduct::Honest);
    } else {
        certify(world, BTreeMap::new(), Conduct::Honest, false, far);
    }
    authors.push(certify(world, publishers.clone(), Conduct::Liar, false, far));
    let mut maybe = |world: &mut World, groups: &BTreeMap<GroupId, Role>, conduct, supervisor, until| {
        world.rng.random_bool(0.6).then(|| certify(world, groups.clone(), conduct, supervisor, until))
    };
    let equivocator = maybe(world, &publishers, Conduct::Equivocator, false, far);
    let forger = maybe(world, &publishers, Conduct::Forger, false, far);
    let perjurer = maybe(world, &publishers, Conduct::Perjurer, false, far);
    let stewards = [(); 2].map(|()| maybe(world, &everywhere(Role::Steward), Conduct::Honest, false, far));
    let reader = BTreeMap::from([(ARCHIVE, Role::Reader)]);
    maybe(world, &reader, Conduct::Honest, true, far);
    // Certified to read one group; curious about the others, and writes where it may not.
    let curious = maybe(world, &BTreeMap::from([(FRESH, Role::Reader)]), Conduct::Thief, false, far);
    let leaver = maybe(world, &publishers, Conduct::Honest, false, far);
    let expires = world.now.saturating_add(FAULTS_LAST / 2);
    let expiring = maybe(world, &publishers, Conduct::Honest, false, expires);
    let expelled = maybe(world, &publishers, Conduct::Honest, false, far);
    authors.extend([equivocator, forger, curious, leaver, expiring, expelled].into_iter().flatten());
    let stewards: Vec<usize> = stewards.into_iter().flatten().collect();
    authors.extend(&stewards);
    let twins = Twins::certify(world, &steady, thief, expelled);
    authors.extend(twins.seconds());
    let members: BTreeSet<MemberId> = world.nodes.iter().map(|node| node.identity.member).collect();
    let members: Vec<MemberId> = members.into_iter().collect();
    world.start_all();

    let count = world.nodes.len();
    let rng = &mut world.rng;
    let mut acts = Vec::new();
    for _ in 0..rng.random_range(15..35) {
        let node = *authors.choose(rng).unwrap();
        acts.push((moment(rng), Act::Publish { node, draft: draft(rng, &members) }));
    }
    if let Some(node) = perjurer {
        // Of one group, so that something follows what it did not sign.
        let of_one = |rng: &mut StdRng| Draft { group: ARCHIVE, ..draft(rng, &members) };
        acts.extend((0..5).map(|_| (moment(rng), Act::Publish { node, draft: of_one(rng) })));
    }
    withdrawals(rng, &authors, &stewards, &mut acts);
    wrong_clock(rng, &steady, &members, &mut acts);
    partitions(rng, count, &mut acts);
    crashes(rng, count, &steady, &mut acts);
    decisions(rng, thief, leaver, &mut acts);
    twins.acts(rng, &members, &mut acts);
    if let Some(node) = equivocator.filter(|_| rng.random_bool(0.4)) {
        let with_cut = rng.random_bool(0.7);
        acts.push((moment(rng), Act::Admin(Decided::Revoke { node, with_cut })));
    }
    joiners(rng, &everywhere(Role::Publisher), far, &mut acts);
    contacts(rng, count, &steady, &mut acts);
    releases(world, &mut acts);
    Plan { acts, faults_last: FAULTS_LAST, quiet_lasts: QUIET_LASTS }
}

fn moment(rng: &mut StdRng) -> Duration {
    Duration::from_millis(rng.random_range(60_000..6_900_000))
}

fn draft(rng: &mut StdRng, members: &[MemberId]) -> Draft {
    let audience = match rng.random_range(0..8) {
        0 => Audience::Recipients,
        1 | 2 => Audience::WithoutSupervisors,
        _ => Audience::Group,
    };
    let named = if audience == Audience::Recipients { 2 } else { 0 };
    Draft {
        publication: PublicationId::new(rng.random()),
        group: *GROUPS.choose(rng).unwrap(),
        audience,
        recipients: members.sample(rng, named).copied().collect(),
        withdraws: Vec::new(),
        mode: WithdrawalMode::Unspecified,
        ground: WithdrawalGround::Unspecified,
        flushed: None,
    }
}

fn withdrawals(rng: &mut StdRng, authors: &[usize], stewards: &[usize], acts: &mut Vec<(Duration, Act)>) {
    for mode in [WithdrawalMode::Retract, WithdrawalMode::Erase] {
        for _ in 0..rng.random_range(1..4) {
            acts.push((moment(rng), Act::Withdraw { node: *authors.choose(rng).unwrap(), mode }));
        }
    }
    for node in stewards {
        for _ in 0..rng.random_range(1..4) {
            acts.push((moment(rng), Act::Hide { node: *node }));
        }
    }
    for _ in 0..rng.random_range(1..4) {
        let node = *stewards.choose(rng).or_else(|| authors.choose(rng)).unwrap();
        acts.push((moment(rng), Act::Withdraw { node, mode: WithdrawalMode::Lift }));
    }
}

/// A clock that is hours off for a while, maybe the other way then, while its operator publishes.
fn wrong_clock(rng: &mut StdRng, steady: &[usize], members: &[MemberId], acts: &mut Vec<(Duration, Act)>) {
    if rng.random_bool(0.3) {
        return;
    }
    let node = *steady.choose(rng).unwrap();
    let mut at = Duration::from_secs(rng.random_range(600..3600));
    for _ in 0..rng.random_range(1..3) {
        let off = rng.random_range(30 * 60..48 * 3600) * 1_000_000;
        let error = if rng.random_bool(0.6) { off } else { -off };
        acts.push((at, Act::SetClock { node, error }));
        for _ in 0..2 {
            let soon = at + Duration::from_secs(rng.random_range(1..300));
            acts.push((soon, Act::Publish { node, draft: draft(rng, members) }));
        }
        at += Duration::from_secs(rng.random_range(300..1500));
    }
    acts.push((at, Act::SetClock { node, error: 0 }));
}

fn partitions(rng: &mut StdRng, count: usize, acts: &mut Vec<(Duration, Act)>) {
    for _ in 0..rng.random_range(0..3) {
        let begins = moment(rng);
        let side = (0..count).filter(|_| rng.random_bool(0.4)).collect();
        acts.push((begins, Act::Part(side)));
        acts.push((begins + Duration::from_secs(rng.random_range(60..2400)), Act::Part(BTreeSet::new())));
    }
}

fn crashes(rng: &mut StdRng, count: usize, steady: &[usize], acts: &mut Vec<(Duration, Act)>) {
    for _ in 0..rng.random_range(2..10) {
        let point = rng.random_bool(0.7).then(|| *Point::ALL.choose(rng).unwrap());
        let fuse = Fuse { point, length: rng.random_range(0..3), after: rng.random_bool(0.5) };
        acts.push((moment(rng), Act::Light { node: rng.random_range(0..count), fuse }));
    }
    for _ in 0..rng.random_range(0..3) {
        acts.push((moment(rng), Act::Kill(rng.random_range(0..count))));
    }
    if rng.random_bool(0.4) {
        let node = *steady.choose(rng).unwrap();
        acts.push((Duration::from_secs(1800), Act::Backup(node)));
        acts.push((Duration::from_secs(5400), Act::Restore(node)));
    }
}

fn decisions(rng: &mut StdRng, thief: usize, leaver: Option<usize>, acts: &mut Vec<(Duration, Act)>) {
    let revoked = Duration::from_secs(rng.random_range(1200..5400));
    let with_cut = rng.random_bool(0.6);
    let decided = match rng.random_bool(0.3) {
        true => Decided::Expel { node: thief, with_cut },
        false => Decided::Revoke { node: thief, with_cut },
    };
    acts.push((revoked, Act::Admin(decided)));
    if rng.random_bool(0.4) {
        let later = revoked + Duration::from_secs(rng.random_range(60..1800));
        acts.push((later, Act::Admin(Decided::ExtendCut { node: thief })));
    }
    if let Some(node) = leaver {
        let first = Duration::from_secs(rng.random_range(600..3000));
        if rng.random_bool(0.5) {
            let after = Duration::from_secs(rng.random_range(0..1800));
            acts.push((first, Act::Admin(Decided::Depart { node, after })));
        } else {
            acts.push((first, Act::Admin(Decided::Suspend { node })));
            let back = first + Duration::from_secs(rng.random_range(300..3000));
            acts.push((back, Act::Admin(Decided::Resume { node })));
        }
    }
    if rng.random_bool(0.3) {
        acts.push((moment(rng), Act::Admin(Decided::ChangeCharter)));
    }
}

fn joiners(
    rng: &mut StdRng,
    groups: &BTreeMap<GroupId, Role>,
    not_after: Timestamp,
    acts: &mut Vec<(Duration, Act)>,
) {
    for number in 0..rng.random_range(0..3) {
        let member = MemberId::new([200 + number; 16]);
        let ask = Ask { member, groups: groups.clone(), supervisor: false, not_after };
        acts.push((moment(rng), Act::Join { ask, conduct: Conduct::Honest }));
    }
}

/// Operators say where their members are reached, some of them again and again.
fn contacts(rng: &mut StdRng, count: usize, steady: &[usize], acts: &mut Vec<(Duration, Act)>) {
    for _ in 0..rng.random_range(6..12) {
        let node =
            if rng.random_bool(0.6) { *steady.choose(rng).unwrap() } else { rng.random_range(0..count) };
        acts.push((moment(rng), Act::Contact(node)));
    }
}

/// Some nodes run the release before, until they are updated or to the end; in some coalitions none does. Whether a list is
/// asked for at once is each node's own to say.
fn releases(world: &mut World, acts: &mut Vec<(Duration, Act)>) {
    let older = *[0.0, 0.2, 0.5].choose(&mut world.rng).unwrap();
    for node in 0..world.nodes.len() {
        world.nodes[node].few = *[0, 0, 4, FEW].choose(&mut world.rng).unwrap();
        if !world.rng.random_bool(older) {
            continue;
        }
        world.speak(node, number::NEWEST - 1);
        if world.rng.random_bool(0.4) {
            acts.push((moment(&mut world.rng), Act::Update(node)));
        }
    }
}

/// A withdrawal of what the node has read: mostly its own, else anybody's, though that is nobody's place but a
/// steward's. Of a lift, any withdrawals that it holds.
pub(crate) fn withdrawal(world: &mut World, node: usize, mode: WithdrawalMode) -> Option<Draft> {
    let own = world.rng.random_bool(0.7).then_some(world.nodes[node].identity.member);
    withdrawal_of(world, node, mode, own)
}

/// A steward's erasure of whatever it has read.
pub(crate) fn hide(world: &mut World, node: usize) -> Option<Draft> {
    withdrawal_of(world, node, WithdrawalMode::Erase, None)
}

fn withdrawal_of(
    world: &mut World,
    node: usize,
    mode: WithdrawalMode,
    only: Option<MemberId>,
) -> Option<Draft> {
    let (logs, rng) = (&world.nodes[node].durable.logs, &mut world.rng);
    let is_lift = mode == WithdrawalMode::Lift;
    let fits = |entry: &Entry| match entry.content {
        Content::Withdrawal => is_lift,
        Content::Opened(_) => !is_lift && only.is_none_or(|member| entry.member == member),
        _ => false,
    };
    let held = || logs.entries().filter(|(_, entry)| fits(entry));
    let (place, _) = held().choose(rng)?;
    let group = place.0;
    let withdraws = held().filter(|(place, _)| place.0 == group).map(|(_, entry)| entry.id);
    let withdraws = withdraws.sample(rng, 2);
    let grounds = [WithdrawalGround::Author, WithdrawalGround::Rules, WithdrawalGround::PersonalData];
    Some(Draft {
        publication: PublicationId::new(rng.random()),
        group,
        audience: Audience::Group,
        recipients: BTreeSet::new(),
        withdraws,
        mode,
        ground: *grounds.choose(rng).unwrap(),
        flushed: None,
    })
}

/// Signs what the admins decided, and puts it into the log.
pub(crate) fn decide(world: &mut World, decided: Decided) {
    let now = world.now;
    let serial = |world: &World, node: usize| world.nodes[node].identity.serial;
    match decided {
        Decided::Revoke { node, with_cut } => {
            let cut = if with_cut { heads(world, node) } else { Vec::new() };
            let serial = serial(world, node);
            world.admins.revoke(serial, now, cut, &mut world.rng, now);
        }
        Decided::Expel { node, with_cut } => {
            let member = world.nodes[node].identity.member;
            let is_in = |world: &World, of: usize| {
                let identity = &world.nodes[of].identity;
                identity.member == member && world.admins.ledger[&identity.serial].ended().is_none()
            };
            for of in 0..world.nodes.len() {
                if is_in(world, of) {
                    let cut = if with_cut { heads(world, of) } else { Vec::new() };
                    let serial = serial(world, of);
                    world.admins.revoke(serial, now, cut, &mut world.rng, now);
                }
            }
        }
        Decided::Depart { node, after } => {
            let serial = serial(world, node);
            // Not earlier than the statement on anybody's clock, or it would need a cut.
            let effective = now.saturating_add(after + Duration::from_secs(1));
            world.admins.revoke(serial, effective, Vec::new(), &mut world.rng, now);
        }
        Decided::Suspend { node } => {
            let (serial, cut) = (serial(world, node), heads(world, node));
            world.admins.suspend(serial, cut, &mut world.rng, now);
        }
        Decided::Resume { node } => {
            let serial = serial(world, node);
            world.admins.resume(serial, &mut world.rng, now);
        }
        Decided::ExtendCut { node } => {
            let (serial, cut) = (serial(world, node), heads(world, node));
            if !cut.is_empty() {
                world.admins.extend_cut(serial, cut, &mut world.rng, now);
            }
        }
        Decided::ChangeCharter => world.admins.change_charter(now),
    }
}

/// `belfry heads MEMBER` at some honest member's node: what it holds of the node's logs.
fn heads(world: &mut World, of: usize) -> Vec<schema::CutPoint> {
    let serial = world.nodes[of].identity.serial;
    let honest = |node: &&Node| node.conduct == Conduct::Honest && node.identity.serial != serial;
    let asked = world.nodes.iter().filter(honest).choose(&mut world.rng).unwrap();
    let mut points = Vec::new();
    for group in GROUPS {
        for log in asked.durable.logs.logs(group) {
            let Some(last) = asked.durable.logs.chain(group, log).last().copied() else { continue };
            if last.serial == serial {
                let sequence = asked.durable.logs.chain(group, log).len() as u64;
                points.push(schema::CutPoint { log: log.to_vec(), sequence, message: last.id.to_vec() });
            }
        }
    }
    points
}
