//! What stands in the store while everything is asked.

use belfry_proto::{
    id::{GroupId, MemberId, MessageId},
    schema::{Pap, WithdrawalMode},
    stix::{
        marking::Tlp,
        proposal::{Change, Proposal},
    },
};
use proptest::prelude::*;
use serde_json::json;

use super::rule::{FAR, TERMS};
use crate::{
    api::tests::{
        coalition::{CIDR, CLOUD, HOSPITALS, OTHER, OWN},
        site::{Put, Site},
    },
    clock,
    store::Conditions,
};

/// Something staged.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    /// Its address is `45.155.1.n`.
    pub(super) n: usize,
    pub(super) put: Put,
    /// Another member says the very same, under these terms.
    pub(super) twin: Option<Vec<String>>,
    /// Its author takes it back.
    pub(super) end: Option<WithdrawalMode>,
    /// What it speaks of, and how often that was seen.
    pub(super) about: Option<(usize, u64)>,
    /// Another version of the same object is here, too.
    pub(super) is_one_of_many: bool,
    /// Once it is put.
    pub(super) message: MessageId,
}

impl std::fmt::Debug for Put {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { group, member, id, version, tlp, recipients, pap, conditions, .. } = self;
        write!(
            f,
            "{id} {version} {tlp} by {member} in {group}, named {recipients}, pap {pap}, {conditions:?}"
        )
    }
}

impl Staged {
    pub(super) fn new(n: usize, put: Put) -> Self {
        let (twin, end, about, is_one_of_many) = (None, None, None, put.id.contains("-00000000232"));
        Self { n, put, twin, end, about, is_one_of_many, message: MessageId::ZERO }
    }

    /// Whether it still says what it said.
    pub(super) fn is_live(&self) -> bool {
        self.end.is_none()
    }

    /// Whether answers may have its address: what is erased has none any more.
    pub(super) fn is_told(&self) -> bool {
        self.end != Some(WithdrawalMode::Erase)
    }

    /// The other member.
    pub(super) fn twin_of(&self) -> MemberId {
        if self.put.member == OWN { OTHER } else { OWN }
    }
}

/// The same object, with an address of its own and one that all name.
pub(super) fn naming(n: usize, put: Put) -> Put {
    let pattern = format!("[ipv4-addr:value = '45.155.1.{n}' OR ipv4-addr:value = '45.155.2.1']");
    let author = format!("identity--00000000-0000-4000-8000-{:012x}", put.member.as_bytes()[0]);
    let more = json!({
        "id": put.id, "modified": put.version, "created_by_ref": author, "name": format!("seen at 45.155.1.{n}"),
    });
    Put { json: Put::pattern(0, &pattern, &more).json, ..put }
}

/// One at random.
#[derive(Clone, Debug)]
struct Drawn {
    group: GroupId,
    tlps: Vec<Tlp>,
    recipients: bool,
    is_own: bool,
    pap: i32,
    embargo: u64,
    terms: Vec<usize>,
    kind: usize,
    of: prop::sample::Index,
    twin: Option<Vec<usize>>,
    end: usize,
}

fn terms() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![3 => Just(Vec::new()), 2 => proptest::collection::vec(0..TERMS.len(), 1..3)]
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let group = proptest::sample::select(vec![CIDR, CIDR, CLOUD, HOSPITALS]);
    let tlps = proptest::collection::vec(proptest::sample::select(Tlp::ALL.to_vec()), 1..3);
    let paps = [Pap::Clear, Pap::Green, Pap::Amber, Pap::Red].map(i32::from);
    let pap = prop_oneof![3 => Just(0), 2 => proptest::sample::select(paps.to_vec()), 1 => Just(99)];
    let embargo = prop_oneof![3 => Just(0), 1 => Just(1_000_000), 1 => Just(FAR)];
    let recipients = prop_oneof![3 => Just(false), 1 => Just(true)];
    let twin = prop_oneof![3 => Just(None), 1 => terms().prop_map(Some)];
    let said = (group, tlps, recipients, any::<bool>());
    let asked = (pap, embargo, terms());
    (said, asked, 0..10usize, any::<prop::sample::Index>(), twin, 0..8usize).prop_map(
        |((group, tlps, recipients, is_own), (pap, embargo, terms), kind, of, twin, end)| Drawn {
            group,
            tlps,
            recipients,
            is_own,
            pap,
            embargo,
            terms,
            kind,
            of,
            twin,
            end,
        },
    )
}

fn words(terms: &[usize]) -> Vec<String> {
    terms.iter().map(|at| TERMS[*at].0.to_owned()).collect()
}

/// A stage at random.
pub(super) fn random() -> impl Strategy<Value = Vec<Staged>> {
    proptest::collection::vec(drawn(), 12..24).prop_map(|all| {
        let mut staged: Vec<Staged> = Vec::new();
        for one in &all {
            add(&mut staged, one);
        }
        staged
    })
}

fn add(staged: &mut Vec<Staged>, one: &Drawn) {
    let conditions =
        Conditions { embargo_until: one.embargo, terms: words(&one.terms), ..Conditions::default() };
    let dressed = |put: Put, tlp: Tlp| Put {
        group: one.group,
        tlp,
        recipients: one.recipients,
        member: if one.is_own { OWN } else { OTHER },
        pap: one.pap,
        conditions: conditions.clone(),
        ..put
    };
    let (first, id) = (staged.len(), u32::try_from(staged.len()).unwrap() + 1);
    let known: Vec<usize> =
        staged.iter().filter(|one| one.put.kind == "indicator").map(|one| one.n).collect();
    let of = (!known.is_empty()).then(|| known[one.of.index(known.len())]);
    let at = format!("45.155.1.{first}");
    let base = |kind: &str| {
        json!({
            "type": kind, "spec_version": "2.1", "id": format!("{kind}--00000000-0000-4000-8000-{id:012x}"),
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
        })
    };
    let with = |kind: &str, more: serde_json::Value| {
        let mut json = base(kind);
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Put::json(json)
    };
    match (one.kind, of) {
        (0, _) => {
            let malware = with("malware", json!({ "name": format!("seen at {at}"), "is_family": false }));
            staged.push(Staged::new(first, dressed(malware, one.tlps[0])));
        }
        (1, _) => {
            let rule = json!({ "pattern_type": "sigma", "name": format!("seen at {at}") });
            let text = format!(
                "title: seen at {at}\nlogsource:\n  product: x\ndetection:\n  s: x\n  condition: s\n"
            );
            let rule = Put::pattern(id, &text, &rule);
            staged.push(Staged::new(first, dressed(rule, one.tlps[0])));
        }
        (2 | 3, Some(of)) => {
            let id = staged[of].put.id.clone();
            let (kind, more) = match one.kind {
                2 => ("sighting", json!({ "description": at, "sighting_of_ref": id, "count": 1 + one.end })),
                _ => ("opinion", json!({ "explanation": at, "opinion": "agree", "object_refs": [id] })),
            };
            let put = Put { group: staged[of].put.group, ..dressed(with(kind, more), one.tlps[0]) };
            let count = if kind == "sighting" { 1 + one.end as u64 } else { 0 };
            staged.push(Staged { about: Some((of, count)), ..Staged::new(first, put) });
        }
        (4, Some(of)) => {
            let of = staged[of].put.clone();
            let change = Change {
                set: [("confidence".to_owned(), json!(10))].into_iter().collect(),
                ..Change::default()
            };
            let proposal =
                Proposal { of: of.id, version: of.version, change, comment: format!("seen at {at}") };
            let id = format!("note--00000000-0000-4000-8000-{id:012x}");
            let note = Put::json(proposal.note(&id, clock::now()));
            let put = Put { group: of.group, recipients: true, ..dressed(note, one.tlps[0]) };
            staged.push(Staged::new(first, put));
        }
        _ => {
            let is_one_of_many = one.tlps.len() > 1;
            for (tlp, version) in
                one.tlps.iter().zip(["2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"])
            {
                let n = staged.len();
                let put = naming(n, dressed(Put::indicator(id).version(version), *tlp));
                staged.push(Staged { is_one_of_many, ..Staged::new(n, put) });
            }
            if let Some(only) = staged.last_mut().filter(|_| !is_one_of_many) {
                only.twin = one.twin.as_ref().map(|terms| words(terms));
                only.end = match one.end {
                    0 if only.twin.is_none() => Some(WithdrawalMode::Retract),
                    1 if only.twin.is_none() => Some(WithdrawalMode::Erase),
                    _ => None,
                };
                only.put.is_sealed = only.end.is_some();
            }
        }
    }
}

/// Puts it all into the store, and takes back what is taken back.
pub(super) async fn put(site: &Site, staged: &mut [Staged]) {
    for one in staged {
        let Put { group, member, .. } = one.put;
        one.message = site.message(group, member, std::slice::from_ref(&one.put)).await;
        if let Some(terms) = one.twin.clone() {
            let member = one.twin_of();
            let conditions = Conditions { terms, ..one.put.conditions.clone() };
            site.message(group, member, &[Put { member, conditions, ..one.put.clone() }]).await;
        }
        if let Some(mode) = one.end {
            site.withdraw(group, member, mode, one.message).await;
        }
    }
}
