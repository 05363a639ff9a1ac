//! The rules in the words of the design, with nothing of the code on trial.

use belfry_proto::{
    schema::Pap,
    stix::{egress::Audience, marking::Tlp},
};

use crate::{
    api::tests::site::Put,
    query::{Groups, Scope},
};

/// Handling terms as authors write them; whether they leave an object to tools, and to tools of others.
pub(super) const TERMS: [(&str, bool, bool); 7] = [
    ("permitted-actions=externally-visible-direct-actions", true, true),
    ("PERMITTED_ACTIONS=internally visible actions", true, false),
    ("permitted-actions=none", false, false),
    ("unmodified-resale=must-not", true, false),
    ("attribution=must-not", true, true),
    ("encrypt-in-transit=must", true, true),
    ("novel-term=1", true, false),
];

/// Later than any test ends.
pub(super) const FAR: u64 = u64::MAX / 2;

/// What a tool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Block,
    Detect,
}

/// Group, then ceiling; RED by its own permission and by name only; for a tool of others what may go outside besides.
pub(super) fn may_see(scope: &Scope, put: &Put) -> bool {
    let reads = match &scope.read {
        Groups::All => true,
        Groups::Only(groups) => groups.contains(&put.group),
    };
    let order = ["clear", "green", "amber", "amber+strict"];
    let rank = |tlp: Tlp| order.iter().position(|name| *name == tlp.as_str());
    let is_marked_for = match rank(put.tlp) {
        Some(level) => level <= rank(scope.ceiling).unwrap(),
        None => scope.red && put.recipients,
    };
    reads && is_marked_for && (scope.audience == Audience::Inside || may_go_outside(put))
}

/// CLEAR, GREEN, or AMBER; to nobody's name, under no embargo, and with no term against it.
pub(super) fn may_go_outside(put: &Put) -> bool {
    ["clear", "green", "amber"].contains(&put.tlp.as_str())
        && !put.recipients
        && put.conditions.embargo_until < FAR
        && terms_let_outside(&put.conditions.terms)
}

pub(super) fn terms_let_outside(terms: &[String]) -> bool {
    terms.iter().all(|term| term_of(term).2)
}

/// What a tool of the organisation's own may do: nothing with RED, to block only as far as the author permits it.
pub(super) fn may_act(put: &Put, act: Act, unstated: &str) -> bool {
    let stated = match put.pap {
        0 => unstated,
        pap if pap == i32::from(Pap::Clear) => "clear",
        pap if pap == i32::from(Pap::Green) => "green",
        pap if pap == i32::from(Pap::Amber) => "amber",
        _ => "red",
    };
    put.tlp.as_str() != "red"
        && (act == Act::Detect
            || ["clear", "green"].contains(&stated) && !is_for_within(&put.conditions.terms))
        && put.conditions.terms.iter().all(|term| term_of(term).1)
}

/// Whether nothing that is done with it may be seen outside, as blocking is.
fn is_for_within(terms: &[String]) -> bool {
    terms.iter().any(|term| term == "PERMITTED_ACTIONS=internally visible actions")
}

/// Whether these terms let whoever says something be named for it.
pub(super) fn may_be_named(terms: &[String]) -> bool {
    terms.iter().all(|term| term != "attribution=must-not")
}

fn term_of(term: &str) -> &'static (&'static str, bool, bool) {
    TERMS.iter().find(|(known, ..)| *known == term).unwrap()
}
