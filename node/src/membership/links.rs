//! Which links a node wants, decided without a socket, a clock or a hidden die.
//!
//! gossipsub forwards a message only among those who subscribe to its topic. Links chosen at random among
//! 200 members therefore leave a group of fifteen in pieces; so every node looks after its own groups:
//!
//! ```text
//! own groups, smallest first ─▶ LINKS each, OUTBOUND of them dialled by us ─┐
//! the whole coalition        ─▶ RANDOM more                                 ├─▶ at most `most` in all
//! hardly any link at all     ─▶ ANCHORS, the configured nodes               │
//! links that broke, relays   ─▶ every one of them                           ┘
//! ```
//!
//! The last is what joins halves again that were parted: each has filled up with links of its own side meanwhile, and
//! wants for nothing. Relays among them are nodes over which alone somebody is reached.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{crypto::sign::PublicKey, id::GroupId};
use rand::{Rng, seq::SliceRandom};

/// Links into each own group, or all its nodes if they are fewer. Six keep random graphs of any size here
/// connected; eight is what gossipsub fills its mesh to, so it never has to make do.
const LINKS: usize = 8;
/// Of those, links that this node dialled: whoever dials us must not be able to choose all our company.
const OUTBOUND: usize = 3;
/// Links to any node at all, for the admin topic and for groups whose every node is gone.
const RANDOM: usize = 2;
/// Links below which configured nodes are dialled whatever else is wanted: they are the way back in.
const ANCHORS: usize = 4;

/// What the plan is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// Groups this node keeps.
    pub(super) own: &'a BTreeSet<GroupId>,
    /// Every other admitted node.
    pub(super) nodes: &'a BTreeMap<PublicKey, Place>,
    /// Nodes with a link now; true if this node dialled it.
    pub(super) connected: &'a BTreeMap<PublicKey, bool>,
    /// Nodes that may be dialled now: an address is known, and no wait runs.
    pub(super) dialable: &'a BTreeSet<PublicKey>,
    /// Nodes named in the configuration.
    pub(super) anchors: &'a BTreeSet<PublicKey>,
    /// Nodes to reach whatever else there is: their link broke and they were not reached since, or they lead to others.
    pub(super) sought: &'a BTreeSet<PublicKey>,
    /// Links in all that dialling may lead to; the rest is left to those who dial us.
    pub(super) most: usize,
}

/// What the roster says of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Groups it reads.
    pub(super) groups: BTreeSet<GroupId>,
    /// Whether it carries all groups.
    pub(super) carrier: bool,
}

/// Nodes to dial, the most needed first.
pub(super) fn plan_dials<R: Rng + ?Sized>(view: &View<'_>, rng: &mut R) -> Vec<PublicKey> {
    let mut plan = Plan { view, chosen: Vec::new(), needed: BTreeSet::new() };
    if view.connected.len() < ANCHORS {
        plan.choose(ANCHORS - view.connected.len(), |node| view.anchors.contains(node), rng);
    }
    let mut groups: Vec<GroupId> = view.own.iter().copied().collect();
    // A link into a small group often serves a large one, too; not the other way round.
    groups.sort_by_key(|group| view.nodes.values().filter(|place| place.groups.contains(group)).count());
    for group in groups {
        plan.connect(group, rng);
    }
    let spare = view.connected.keys().chain(&plan.chosen).filter(|node| !plan.needed.contains(node)).count();
    plan.choose(RANDOM.saturating_sub(spare), |_| true, rng);
    plan.choose(view.sought.len(), |node| view.sought.contains(node), rng);
    let room = view.most.saturating_sub(view.connected.len());
    plan.chosen.truncate(room);
    plan.chosen
}

struct Plan<'a> {
    view: &'a View<'a>,
    chosen: Vec<PublicKey>,
    /// Links that a group counts on.
    needed: BTreeSet<PublicKey>,
}

impl Plan<'_> {
    fn connect<R: Rng + ?Sized>(&mut self, group: GroupId, rng: &mut R) {
        let view = self.view;
        let reads = |node: &PublicKey| view.nodes.get(node).is_some_and(|p| p.groups.contains(&group));
        let links = self.links(reads);
        let dialled = links.iter().filter(|node| view.connected.get(node).copied().unwrap_or(true)).count();
        self.choose(LINKS.saturating_sub(links.len()).max(OUTBOUND.saturating_sub(dialled)), reads, rng);
        let mut links = self.links(reads);
        if links.len() < LINKS {
            // Carriers may withhold what they should carry, so they only make up for readers there are not.
            let carries = |node: &PublicKey| view.nodes.get(node).is_some_and(|place| place.carrier);
            let held = self.links(carries).len();
            self.choose((LINKS - links.len()).saturating_sub(held), carries, rng);
            links.extend(self.links(carries));
        }
        self.needed.extend(links.into_iter().take(LINKS));
    }

    /// Links there are or will be to nodes that `wanted` picks.
    fn links(&self, wanted: impl Fn(&PublicKey) -> bool) -> Vec<PublicKey> {
        self.view.connected.keys().chain(&self.chosen).copied().filter(|node| wanted(node)).collect()
    }

    /// Adds up to `count` dialable nodes that `wanted` picks.
    fn choose<R: Rng + ?Sized>(&mut self, count: usize, wanted: impl Fn(&PublicKey) -> bool, rng: &mut R) {
        if count == 0 {
            return;
        }
        let mut candidates: Vec<PublicKey> = self
            .view
            .dialable
            .iter()
            .filter(|node| !self.view.connected.contains_key(node) && !self.chosen.contains(node))
            .filter(|node| self.view.nodes.contains_key(node) && wanted(node))
            .copied()
            .collect();
        candidates.shuffle(rng);
        candidates.truncate(count);
        self.chosen.extend(candidates);
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;
    use rand::{SeedableRng, rngs::StdRng, seq::IteratorRandom};

    use super::*;

    const SMALL: GroupId = GroupId::new(1);
    const LARGE: GroupId = GroupId::new(2);

    /// Keys are costly to make, and the same in every trial.
    fn keys(count: usize) -> Vec<PublicKey> {
        let seed = |n: usize| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&u64::try_from(n).unwrap().to_be_bytes());
            seed
        };
        (0..count).map(|n| SigningKey::from_seed(&seed(n)).public()).collect()
    }

    /// A coalition in which everybody knows everybody's address, and links are mutual.
    struct Coalition {
        places: BTreeMap<PublicKey, Place>,
        links: BTreeMap<PublicKey, BTreeMap<PublicKey, bool>>,
        lost: BTreeMap<PublicKey, BTreeSet<PublicKey>>,
        /// One side of a partition; nobody, if it is whole.
        apart: BTreeSet<PublicKey>,
    }

    impl Coalition {
        /// The first `small` nodes are in the small group, all others in the large one.
        fn new(keys: &[PublicKey], small: usize) -> Self {
            let place =
                |n| Place { groups: BTreeSet::from([if n < small { SMALL } else { LARGE }]), carrier: false };
            let places = keys.iter().enumerate().map(|(n, key)| (*key, place(n))).collect();
            let links = keys.iter().map(|key| (*key, BTreeMap::new())).collect();
            let lost = keys.iter().map(|key| (*key, BTreeSet::new())).collect();
            Self { places, links, lost, apart: BTreeSet::new() }
        }

        fn link(&mut self, dialler: PublicKey, listener: PublicKey) {
            self.links.get_mut(&dialler).unwrap().insert(listener, true);
            self.links.get_mut(&listener).unwrap().entry(dialler).or_insert(false);
            self.lost.get_mut(&dialler).unwrap().remove(&listener);
            self.lost.get_mut(&listener).unwrap().remove(&dialler);
        }

        /// Cuts every link between `side` and the rest.
        fn part(&mut self, side: &[PublicKey]) {
            self.apart = side.iter().copied().collect();
            for (node, links) in &mut self.links {
                let cut = |other: &PublicKey| self.apart.contains(node) != self.apart.contains(other);
                self.lost.get_mut(node).unwrap().extend(links.keys().copied().filter(cut));
                links.retain(|other, _| !cut(other));
            }
        }

        fn plan(&self, node: PublicKey, most: usize, rng: &mut StdRng) -> Vec<PublicKey> {
            let mut nodes = self.places.clone();
            let own = nodes.remove(&node).unwrap().groups;
            let reaches = |other: &PublicKey| self.apart.contains(&node) == self.apart.contains(other);
            let dialable = nodes.keys().copied().filter(reaches).collect();
            let view = View {
                own: &own,
                nodes: &nodes,
                connected: &self.links[&node],
                dialable: &dialable,
                anchors: &BTreeSet::new(),
                sought: &self.lost[&node],
                most,
            };
            plan_dials(&view, rng)
        }

        /// Every node dials what it plans, one after the other.
        fn settle(&mut self, rng: &mut StdRng) -> usize {
            let nodes: Vec<PublicKey> = self.places.keys().copied().collect();
            let mut dials = 0;
            for node in nodes {
                let plan = self.plan(node, 96, rng);
                dials += plan.len();
                for other in plan {
                    self.link(node, other);
                }
            }
            dials
        }

        /// Whether gossip of `group` reaches all of its nodes from any.
        fn is_whole(&self, group: GroupId) -> bool {
            let members: BTreeSet<&PublicKey> =
                self.places.iter().filter(|(_, p)| p.groups.contains(&group)).map(|(node, _)| node).collect();
            let mut reached = BTreeSet::new();
            let mut next: Vec<&PublicKey> = members.first().copied().into_iter().collect();
            while let Some(node) = next.pop() {
                if reached.insert(node) {
                    next.extend(self.links[node].keys().filter(|other| members.contains(other)));
                }
            }
            reached == members
        }
    }

    #[test]
    fn a_small_group_of_a_large_coalition_is_connected() {
        let keys = keys(200);
        for seed in 0..100 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut coalition = Coalition::new(&keys, 15);
            coalition.settle(&mut rng);
            assert!(coalition.is_whole(SMALL) && coalition.is_whole(LARGE), "seed {seed}");
            // Nobody wants more once everybody has what it planned.
            assert_eq!(coalition.settle(&mut rng), 0, "seed {seed}");
        }
    }

    /// Both halves want for nothing when the other one comes back.
    #[test]
    fn halves_that_were_parted_join_again() {
        let keys = keys(100);
        for seed in 0..20 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut coalition = Coalition::new(&keys, 0);
            coalition.settle(&mut rng);
            coalition.part(&keys[..50]);
            coalition.settle(&mut rng);
            assert!(!coalition.is_whole(LARGE), "seed {seed}");
            coalition.apart.clear();
            coalition.settle(&mut rng);
            assert!(coalition.is_whole(LARGE), "seed {seed}");
            assert!(coalition.lost.values().all(BTreeSet::is_empty), "seed {seed}");
        }
    }

    /// What the plan is for: as many links without regard to groups leave the small one in pieces. (If this
    /// fails, the test above proves nothing.)
    #[test]
    fn as_many_links_at_random_do_not_connect_it() {
        let keys = keys(200);
        let mut whole = 0;
        for seed in 0..100 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut coalition = Coalition::new(&keys, 15);
            for node in &keys {
                for other in keys.iter().filter(|other| *other != node).sample(&mut rng, LINKS / 2 + RANDOM) {
                    coalition.link(*node, *other);
                }
            }
            whole += usize::from(coalition.is_whole(SMALL));
        }
        assert!(whole < 5, "{whole} of 100 whole");
    }

    #[test]
    fn a_group_smaller_than_its_links_is_linked_fully() {
        let keys = keys(30);
        let coalition = Coalition::new(&keys, 5);
        let mut rng = StdRng::seed_from_u64(1);
        let plan = coalition.plan(keys[0], 96, &mut rng);
        assert!(keys[1..5].iter().all(|node| plan.contains(node)));
        assert_eq!(plan.len(), 4 + RANDOM);
    }

    #[test]
    fn inbound_links_alone_do_not_satisfy() {
        let keys = keys(30);
        let mut coalition = Coalition::new(&keys, 0);
        for other in &keys[1..=LINKS] {
            coalition.link(*other, keys[0]);
        }
        let plan = coalition.plan(keys[0], 96, &mut StdRng::seed_from_u64(1));
        assert_eq!(plan.len(), OUTBOUND);
        assert!(plan.iter().all(|node| !keys[..=LINKS].contains(node)));
    }

    #[test]
    fn the_total_is_bounded() {
        let keys = keys(60);
        let coalition = Coalition::new(&keys, 0);
        assert_eq!(coalition.plan(keys[0], 4, &mut StdRng::seed_from_u64(1)).len(), 4);
        assert_eq!(coalition.plan(keys[0], 0, &mut StdRng::seed_from_u64(1)), []);
    }

    #[test]
    fn only_known_admitted_unconnected_nodes_are_dialled() {
        let keys = keys(6);
        let place = Place { groups: BTreeSet::from([LARGE]), carrier: false };
        let nodes = keys[1..5].iter().map(|key| (*key, place.clone())).collect();
        let connected = BTreeMap::from([(keys[1], true)]);
        // The third has no address, the sixth is not in the roster.
        let dialable = BTreeSet::from([keys[1], keys[3], keys[4], keys[5]]);
        let (own, anchors) = (BTreeSet::from([LARGE]), BTreeSet::from([keys[4], keys[5]]));
        let view = View {
            own: &own,
            nodes: &nodes,
            connected: &connected,
            dialable: &dialable,
            anchors: &anchors,
            sought: &BTreeSet::new(),
            most: 96,
        };
        // The configured one comes first.
        assert_eq!(plan_dials(&view, &mut StdRng::seed_from_u64(1)), [keys[4], keys[3]]);
    }

    #[test]
    fn carriers_fill_up_a_group_that_is_short_of_readers() {
        let keys = keys(8);
        let reader = Place { groups: BTreeSet::from([SMALL]), carrier: false };
        let carrier = Place { groups: BTreeSet::new(), carrier: true };
        let mut nodes: BTreeMap<PublicKey, Place> =
            keys[1..3].iter().map(|key| (*key, reader.clone())).collect();
        nodes.extend(keys[3..].iter().map(|key| (*key, carrier.clone())));
        let (own, dialable) = (BTreeSet::from([SMALL]), nodes.keys().copied().collect());
        let (connected, none) = (BTreeMap::new(), BTreeSet::new());
        let view = View {
            own: &own,
            nodes: &nodes,
            connected: &connected,
            dialable: &dialable,
            anchors: &none,
            sought: &none,
            most: 96,
        };
        let plan = plan_dials(&view, &mut StdRng::seed_from_u64(1));
        assert_eq!(plan.len(), 7);
        assert!(keys[1..3].iter().all(|node| plan[..2].contains(node)), "readers first");
    }
}
