//! What members said of where they are reached, and what nodes make of it: the rules once more, kept by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{
    id::{MemberId, Serial},
    schema::ContactRecord,
    time::Timestamp,
};
use prost::Message;

use crate::{
    admins::{Admins, SKEW},
    invariants::Violation,
    ledger::Granted,
    node::Node,
};

/// How long a record is kept after its member's last certificate has run out.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Rounds enough for all to have asked many others.
const SETTLES: Duration = Duration::from_secs(15 * 60);

/// Everything that operators said.
#[derive(Default)]
pub(crate) struct Said {
    /// With the certificate whose key signed it.
    payloads: BTreeMap<MemberId, BTreeMap<Vec<u8>, Serial>>,
    /// When the last record was made that a node acknowledged to its operator.
    acknowledged: BTreeMap<usize, Timestamp>,
    /// Members one of whose clocks was set wrong: what it dates may count later, or give way to what was said before.
    misled: BTreeSet<MemberId>,
    /// Whose record each node held when everything had healed.
    held: BTreeMap<usize, BTreeSet<MemberId>>,
}

impl Said {
    pub(crate) fn said(&mut self, member: MemberId, by: Serial, payload: &[u8]) {
        self.payloads.entry(member).or_default().insert(payload.to_vec(), by);
    }

    pub(crate) fn acknowledged(&mut self, node: usize, made: Timestamp) {
        self.acknowledged.insert(node, made);
    }

    pub(crate) fn misled(&mut self, member: MemberId) {
        self.misled.insert(member);
    }

    pub(crate) fn note(&mut self, in_force: &[(usize, &Node)]) {
        let members = |node: &Node| -> BTreeSet<MemberId> { node.durable.contacts.keys().copied().collect() };
        self.held = in_force.iter().map(|(number, node)| (*number, members(node))).collect();
    }

    /// Once everything has healed: all who know contact records go by the same ones, each by its member's own word, and
    /// none older than what its operator was last told is kept.
    pub(crate) fn same(
        &self,
        in_force: &[(usize, &Node)],
        restored: &BTreeSet<usize>,
        admins: &Admins,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let knowing: Vec<(usize, &Node)> =
            in_force.iter().copied().filter(|(_, node)| node.knows_contacts()).collect();
        for (_, node) in &knowing {
            let by = node.identity.serial;
            for (member, (_, record)) in &node.durable.contacts {
                if self.signer(*member, &record.payload).is_none() {
                    return Err(Violation::ForgedContact { by, member: *member });
                }
            }
            let roster = &node.volatile.as_ref().unwrap().roster;
            let expected: Vec<MemberId> = self.counting(node, admins, now).into_keys().collect();
            if node.book().standing(roster, now).0 != expected {
                return Err(Violation::ContactCounts { by });
            }
        }
        let Some((_, first)) = knowing.first() else { return Ok(()) };
        // What a wrong clock dated counts from then on, and may not have got about.
        let settled = now.saturating_sub(SETTLES);
        let all = knowing.iter().flat_map(|(_, node)| &node.durable.contacts);
        let moving =
            all.filter(|(_, (_, record))| made(&record.payload) > settled).map(|(member, _)| *member);
        let moving: BTreeSet<MemberId> = moving.collect();
        let truth = self.counting(first, admins, now);
        let is_same = |other: &BTreeMap<MemberId, Vec<u8>>| {
            let mut both = truth.keys().chain(other.keys()).filter(|member| !moving.contains(*member));
            both.all(|member| truth.get(member) == other.get(member))
        };
        for (_, node) in &knowing {
            if !is_same(&self.counting(node, admins, now)) {
                let (one, other) = (first.identity.serial, node.identity.serial);
                return Err(Violation::ContactsDiffer { one, other });
            }
        }
        for (number, node) in knowing {
            let Some(last) = self.acknowledged.get(&number) else { continue };
            let member = node.identity.member;
            if restored.contains(&number) || self.misled.contains(&member) {
                continue;
            }
            if self.is_displaced(member, *last, admins, now) {
                continue;
            }
            if truth.get(&member).is_none_or(|payload| made(payload) < *last) {
                return Err(Violation::ContactLost { member });
            }
        }
        Ok(())
    }

    /// The records that a node holds and goes by: signed by a key whose certificate is in force, and made by now.
    fn counting(&self, node: &Node, admins: &Admins, now: Timestamp) -> BTreeMap<MemberId, Vec<u8>> {
        let latest = now.saturating_add(SKEW);
        let held =
            node.durable.contacts.iter().map(|(member, (_, record))| (*member, record.payload.clone()));
        held.filter(|(member, payload)| {
            let signer = self.signer(*member, payload);
            made(payload) <= latest && signer.is_some_and(|serial| admins.ledger[&serial].is_in_force(now))
        })
        .collect()
    }

    fn signer(&self, member: MemberId, payload: &[u8]) -> Option<Serial> {
        self.payloads.get(&member)?.get(payload).copied()
    }

    /// Whether a later record took the place of one made at `made_at` by the key of another node of its member, and counts no
    /// more because that node is none: then the member has to say anew where it is reached.
    fn is_displaced(&self, member: MemberId, made_at: Timestamp, admins: &Admins, now: Timestamp) -> bool {
        let said = self.payloads.get(&member).into_iter().flatten();
        let mut later = said.filter(|(payload, _)| made(payload) >= made_at);
        later.any(|(_, serial)| !admins.ledger[serial].is_in_force(now))
    }

    /// Later, when nobody says anything: what was held is, until its member's last certificate has run out for so long.
    pub(crate) fn kept(&self, nodes: &[Node], admins: &Admins, now: Timestamp) -> Result<(), Violation> {
        for (number, members) in &self.held {
            let node = &nodes[*number];
            let by = node.identity.serial;
            for member in members {
                let is_held = node.durable.contacts.contains_key(member);
                match (is_over(*member, admins, now), is_held) {
                    (true, true) => return Err(Violation::ContactKept { by, member: *member }),
                    (false, false) => return Err(Violation::ContactLetGo { by, member: *member }),
                    (true, false) | (false, true) => {}
                }
            }
        }
        Ok(())
    }
}

fn certificates(member: MemberId, admins: &Admins) -> impl Iterator<Item = &Granted> {
    admins.ledger.values().filter(move |granted| granted.member == member)
}

fn made(payload: &[u8]) -> Timestamp {
    Timestamp::from_micros(ContactRecord::decode(payload).unwrap().made)
}

/// Whether nothing of a member is kept any longer. A suspension is none that ends before the certificate does.
fn is_over(member: MemberId, admins: &Admins, now: Timestamp) -> bool {
    certificates(member, admins).all(|granted| match granted.ended() {
        Some((_, effective)) if effective != Timestamp::ZERO && effective <= now => true,
        _ => granted.not_after.saturating_add(KEPT) <= now,
    })
}
