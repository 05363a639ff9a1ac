//! Which addresses of others' records are dialled, and how often.
//!
//! A record is signed, but what it names is its member's word only: one member could have 200 nodes dial a host that is
//! none of its own. The node key in the certificate makes such a dial worth nothing to anybody (the handshake fails); what
//! is left is the knocking, and this bounds it:
//!
//! ```text
//! record ─▶ a host that others can have? ─▶ another node answered there before? ─▶ host's and node's share of this hour ─▶ dial
//!           (not loopback, link-local …)     rests, ever longer, up to a day       (none is taken where it answered before)
//! ```
//!
//! What the operator configured is dialled in any case.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{crypto::sign::PublicKey, time::doubled};
use rand::seq::SliceRandom;
use tokio::time::Instant;

use crate::{
    bucket::{Buckets, Rate},
    network::{Address, DialFailure, Host, Vicinity},
};

/// Dials of one host, by the word of whatever records, at which none of their nodes has answered yet: some at once, since
/// several nodes may stand behind one address, then one in three minutes. 200 nodes with one aim knock once a second.
const HOST: Rate = Rate { per_second: 20.0 / 3600.0, burst: 20.0 };
/// The same of one node's record, wherever it points: a name stands for hosts that we do not know.
const NODE: Rate = Rate { per_second: 60.0 / 3600.0, burst: 32.0 };
/// Addresses of one record in one dial. Each interface has two, and the next dial draws again.
const PER_DIAL: usize = 6;
/// How long an address rests where another node answered; doubles to [`LONGEST_WRONG`].
const FIRST_WRONG: Duration = Duration::from_secs(600);
/// A day: an address that goes from one member to another is found again by that, and sooner by being dialled from there.
const LONGEST_WRONG: Duration = Duration::from_secs(86_400);
/// Addresses remembered as wrong of one node. Whoever has named more is not dialled by record until some are forgotten.
const MAX_WRONG: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Wrong {
    times: u32,
    until: Instant,
}

/// What is remembered of where records have sent us.
#[derive(Debug)]
pub(super) struct Targets {
    wrong: BTreeMap<PublicKey, BTreeMap<Address, Wrong>>,
    /// Where a node was last reached.
    proven: BTreeMap<PublicKey, Host>,
    hosts: Buckets<Host>,
    nodes: Buckets<PublicKey>,
}

impl Default for Targets {
    fn default() -> Self {
        let (hosts, nodes) = (Buckets::new(HOST), Buckets::new(NODE));
        Self { wrong: BTreeMap::new(), proven: BTreeMap::new(), hosts, nodes }
    }
}

impl Targets {
    /// The node itself answered there.
    pub(super) fn proved(&mut self, node: PublicKey, address: &Address) {
        if !address.is_circuit() {
            self.proven.insert(node, address.host().shared());
        }
        if let Some(wrong) = self.wrong.get_mut(&node) {
            wrong.remove(address);
        }
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, node: PublicKey, reason: &DialFailure, now: Instant) {
        let DialFailure::WrongNode { address, .. } = reason else { return };
        self.wrong.retain(|_, all| {
            // Past twice its rest it is as good as forgotten.
            all.retain(|_, wrong| now < wrong.until + LONGEST_WRONG);
            !all.is_empty()
        });
        let all = self.wrong.entry(node).or_default();
        let times = all.get(address).map_or(0, |wrong| wrong.times);
        if times > 0 || all.len() < MAX_WRONG {
            let until = now + doubled(FIRST_WRONG, times, LONGEST_WRONG);
            all.insert(address.clone(), Wrong { times: times.saturating_add(1), until });
        }
    }

    /// Of a record's addresses, those that may be dialled at all.
    pub(super) fn fit(
        &self,
        node: &PublicKey,
        addresses: impl IntoIterator<Item = Address>,
        vicinity: Vicinity,
        now: Instant,
    ) -> Vec<Address> {
        let wrong = self.wrong.get(node);
        // What is no longer remembered apart must not come round again.
        let is_lost = wrong.is_some_and(|wrong| wrong.len() >= MAX_WRONG);
        let rests = |address: &Address| {
            is_lost || wrong.and_then(|wrong| wrong.get(address)).is_some_and(|wrong| wrong.until > now)
        };
        let fits = |address: &Address| vicinity.admits(&address.host()) && !rests(address);
        addresses.into_iter().filter(fits).collect()
    }

    /// Draws what is dialled now, and charges it.
    pub(super) fn draw(
        &mut self,
        node: PublicKey,
        mut addresses: Vec<Address>,
        is_configured: impl Fn(&Address) -> bool,
        now: Instant,
    ) -> Vec<Address> {
        addresses.shuffle(&mut rand::rng());
        let (mut drawn, told): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_configured);
        let proven = self.proven.get(&node).cloned();
        let (mut known, unknown): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|address| Some(address.host().shared()) == proven);
        known.extend(unknown);
        for address in known.into_iter().take(PER_DIAL) {
            let host = address.host().shared();
            let is_free = Some(&host) == proven.as_ref() || host.is_here();
            if is_free || self.nodes.take(node, 1.0, now) && self.hosts.take(host, 1.0, now) {
                drawn.push(address);
            }
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    fn node(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn near(ours: &[&str]) -> Vicinity {
        Vicinity::of(&ours.iter().map(|text| address(text)).collect::<Vec<_>>())
    }

    /// What 200 nodes do in a day when one member names a victim with sixteen addresses, and never the same for long.
    #[tokio::test(start_paused = true)]
    async fn a_member_cannot_have_others_knock_at_a_third_party() {
        let (begun, liar) = (Instant::now(), node(1));
        let (mut targets, mut now, mut knocks, mut port) = (Targets::default(), begun, 0, 0_u16);
        while now < begun + Duration::from_secs(86_400) {
            let record: Vec<Address> = (0..16)
                .map(|_| {
                    port = port.wrapping_add(1);
                    address(&format!("/ip4/198.51.100.7/tcp/{port}"))
                })
                .collect();
            let fit = targets.fit(&liar, record, near(&[]), now);
            for address in targets.draw(liar, fit, |_| false, now) {
                knocks += 1;
                targets.failed(liar, &DialFailure::WrongNode { address, found: None }, now);
            }
            now += Duration::from_secs(10);
        }
        assert!(knocks <= 20 + 24 * 20, "{knocks} from one node");
        assert!(targets.wrong[&liar].len() <= MAX_WRONG);
    }

    /// Many members, one victim: its share is one, whoever names it.
    #[tokio::test(start_paused = true)]
    async fn a_host_is_knocked_at_so_often_an_hour_whatever_names_it() {
        let (mut targets, now) = (Targets::default(), Instant::now());
        let at = |last: u8| address(&format!("/ip6/2001:db8::{last:x}/tcp/1"));
        let knocks: usize =
            (1..=200).map(|n| targets.draw(node(n), vec![at(n), at(n - 1)], |_| false, now).len()).sum();
        assert_eq!(knocks, 20, "one /64 is one host");
        assert_eq!(targets.draw(node(201), vec![address("/ip4/192.0.2.9/tcp/1")], |_| false, now).len(), 1);
        assert_eq!(
            targets.draw(node(202), vec![at(1)], |_| true, now).len(),
            1,
            "what is configured is dialled"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_of_another_node_rests_ever_longer_and_the_others_do_not() {
        let (a, mut now) = (node(1), Instant::now());
        let (wrong, right) = (address("/ip4/192.0.2.1/tcp/1"), address("/ip4/192.0.2.2/tcp/1"));
        let mut targets = Targets::default();
        let mut rests = Vec::new();
        for _ in 0..10 {
            let reason = DialFailure::WrongNode { address: wrong.clone(), found: Some(Box::new(node(9))) };
            targets.failed(a, &reason, now);
            let fit =
                |targets: &Targets, now| targets.fit(&a, [wrong.clone(), right.clone()], near(&[]), now);
            let begun = now;
            while fit(&targets, now).len() < 2 {
                assert_eq!(fit(&targets, now), std::slice::from_ref(&right));
                now += Duration::from_secs(60);
            }
            rests.push(now - begun);
        }
        assert!(rests.is_sorted() && rests[0] == FIRST_WRONG && rests[9] == LONGEST_WRONG, "{rests:?}");
        let others = targets.fit(&node(2), [wrong.clone()], near(&[]), now);
        assert_eq!(others.len(), 1, "it may be another's");
        targets.proved(a, &wrong);
        assert_eq!(targets.fit(&a, [wrong.clone()], near(&[]), now), [wrong]);
    }

    /// A node that was there and went is looked for as often as its own back-off says.
    #[tokio::test(start_paused = true)]
    async fn where_a_node_once_answered_it_is_dialled_without_a_bound() {
        let (a, now) = (node(1), Instant::now());
        let here = address("/ip4/192.0.2.1/tcp/1");
        let mut targets = Targets::default();
        targets.proved(a, &address("/ip4/192.0.2.1/udp/7/quic-v1"));
        assert!((0..500).all(|_| targets.draw(a, vec![here.clone()], |_| false, now).len() == 1));
        assert_eq!(
            (0..500).map(|_| targets.draw(node(2), vec![here.clone()], |_| false, now).len()).sum::<usize>(),
            20
        );
    }
}
