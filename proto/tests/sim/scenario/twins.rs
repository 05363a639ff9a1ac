//! Members that run two nodes, each with a certificate, keys and logs of its own: which, and what befalls one and not the
//! other.
//!
//! * One of two honest ones sleeps for long, is restored from a backup, is suspended or revoked, while the other goes on.
//! * Beside a thief stands a node of its member that keeps the rules; one of both is revoked, or both.
//! * A member is revoked as a whole: one of its nodes is told, the other cut off, and goes on for a while.
//! * A member gets its second node late, and is entitled to all that the first one was.

use std::{collections::BTreeSet, time::Duration};

use belfry_proto::id::MemberId;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use super::{Act, Decided, draft, moment};
use crate::{admins::Ask, node::Conduct, world::World};

type Acts = Vec<(Duration, Act)>;

pub(crate) struct Twins {
    steady: [usize; 2],
    /// A thief's, and the other one.
    stolen: Option<[usize; 2]>,
    expelled: Option<[usize; 2]>,
    /// Gets its second one late.
    late: Option<usize>,
}

/// Certifies another node of the member that runs this one, for the same groups; it keeps the rules.
pub(crate) fn certify_second(world: &mut World, of: usize) -> usize {
    let granted = &world.admins.ledger[&world.nodes[of].identity.serial];
    let ask = Ask {
        member: granted.member,
        groups: granted.groups.clone(),
        supervisor: granted.supervisor,
        not_after: granted.not_after,
    };
    world.certify(&ask, Conduct::Honest)
}

impl Twins {
    pub(super) fn certify(
        world: &mut World,
        steady: &[usize],
        thief: usize,
        expelled: Option<usize>,
    ) -> Self {
        let is_stolen = world.rng.random_bool(0.6);
        Self {
            steady: [steady[0], certify_second(world, steady[0])],
            stolen: is_stolen.then(|| [thief, certify_second(world, thief)]),
            expelled: expelled.map(|first| [first, certify_second(world, first)]),
            late: world.rng.random_bool(0.5).then_some(steady[1]),
        }
    }

    pub(super) fn seconds(&self) -> impl Iterator<Item = usize> {
        [Some(self.steady), self.stolen, self.expelled].into_iter().flatten().map(|[_, second]| second)
    }

    pub(super) fn acts(&self, rng: &mut StdRng, members: &[MemberId], acts: &mut Acts) {
        for pair in [Some(self.steady), self.stolen].into_iter().flatten() {
            at_once(rng, pair, members, acts);
        }
        sleep(rng, self.steady, members, acts);
        restore(rng, self.steady, members, acts);
        end_one(rng, self.steady, members, acts);
        if let Some([_, second]) = self.stolen {
            let begins = moment(rng);
            acts.push((begins, Act::CutOff(second)));
            acts.push((begins + span(rng, 600, 2400), Act::Reconnect(second)));
        }
        if let Some(pair) = self.expelled {
            expel(rng, pair, members, acts);
        }
        if let Some(first) = self.late {
            acts.push((moment(rng), Act::Second(first)));
        }
    }
}

fn span(rng: &mut StdRng, least: u64, most: u64) -> Duration {
    Duration::from_secs(rng.random_range(least..most))
}

/// Both publish, `times` between two moments.
fn both(
    rng: &mut StdRng,
    pair: [usize; 2],
    members: &[MemberId],
    (times, begins, lasts): (usize, Duration, Duration),
    acts: &mut Acts,
) {
    for _ in 0..times {
        let at = begins + lasts.mul_f64(rng.random_range(0.0..1.0));
        acts.extend(pair.map(|node| (at, Act::Publish { node, draft: draft(rng, members) })));
    }
}

/// At the same moments, of the same group each time.
fn at_once(rng: &mut StdRng, pair: [usize; 2], members: &[MemberId], acts: &mut Acts) {
    for _ in 0..rng.random_range(2..5) {
        let (at, one) = (moment(rng), draft(rng, members));
        let mut other = draft(rng, members);
        (other.group, other.audience, other.recipients) = (one.group, one.audience, one.recipients.clone());
        let [first, second] = pair;
        acts.push((at, Act::Publish { node: first, draft: one }));
        acts.push((at, Act::Publish { node: second, draft: other }));
    }
}

fn sleep(rng: &mut StdRng, pair: [usize; 2], members: &[MemberId], acts: &mut Acts) {
    if rng.random_bool(0.4) {
        return;
    }
    let (begins, lasts) = (span(rng, 600, 3000), span(rng, 1200, 4000));
    acts.push((begins, Act::Sleep { node: *pair.choose(rng).unwrap(), lasts }));
    both(rng, pair, members, (2, begins, lasts), acts);
    both(rng, pair, members, (1, begins + lasts, Duration::from_secs(120)), acts);
}

fn restore(rng: &mut StdRng, pair: [usize; 2], members: &[MemberId], acts: &mut Acts) {
    if rng.random_bool(0.5) {
        return;
    }
    let (begins, lasts) = (span(rng, 900, 2400), span(rng, 900, 3600));
    let node = *pair.choose(rng).unwrap();
    acts.push((begins, Act::Backup(node)));
    acts.push((begins + lasts, Act::Restore(node)));
    both(rng, pair, members, (2, begins, lasts), acts);
    both(rng, pair, members, (1, begins + lasts, Duration::from_secs(900)), acts);
}

/// The second one is suspended for a while, or revoked while the first one hears nothing of it.
fn end_one(rng: &mut StdRng, pair: [usize; 2], members: &[MemberId], acts: &mut Acts) {
    let [_, second] = pair;
    let (begins, lasts) = (span(rng, 1200, 3600), span(rng, 600, 2400));
    match rng.random_range(0..3) {
        0 => {
            acts.push((begins, Act::Admin(Decided::Suspend { node: second })));
            acts.push((begins + lasts, Act::Admin(Decided::Resume { node: second })));
        }
        1 => {
            let decided = Decided::Revoke { node: second, with_cut: rng.random_bool(0.6) };
            acts.push((begins, Act::Part(BTreeSet::from(pair))));
            acts.push((begins + span(rng, 1, 60), Act::Admin(decided)));
            acts.push((begins + lasts, Act::Part(BTreeSet::new())));
        }
        _ => return,
    }
    both(rng, pair, members, (2, begins, lasts), acts);
    both(rng, pair, members, (1, begins + lasts, Duration::from_secs(600)), acts);
}

/// One of both is told that its member is none any more; the other hears nothing, and comes back.
fn expel(rng: &mut StdRng, pair: [usize; 2], members: &[MemberId], acts: &mut Acts) {
    let [told, other] = pair;
    let (begins, lasts) = (span(rng, 1200, 3600), span(rng, 600, 2400));
    let decided = begins + span(rng, 1, 120);
    let with_cut = rng.random_bool(0.6);
    both(
        rng,
        pair,
        members,
        (2, Duration::from_secs(300), begins.saturating_sub(Duration::from_secs(300))),
        acts,
    );
    acts.push((begins, Act::CutOff(other)));
    acts.push((decided, Act::Admin(Decided::Expel { node: told, with_cut })));
    acts.push((decided + span(rng, 1, 60), Act::Tell(told)));
    both(rng, pair, members, (2, decided, lasts), acts);
    acts.push((begins + lasts, Act::Reconnect(other)));
    both(rng, pair, members, (1, begins + lasts, Duration::from_secs(600)), acts);
}
