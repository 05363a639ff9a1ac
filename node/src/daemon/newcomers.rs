//! What an operator is told of new readers, as long as it can still do something about them.

use belfry_proto::{id::Serial, time::Timestamp, trust::roster::Roster};

use crate::{
    query::{NewIn, NewNode, Newcomer, newcomers},
    store::Store,
};

/// New readers told one by one; a coalition that begins has all of them new.
const MOST: usize = 5;

/// A warning for each, and one for how many more there are.
pub(super) fn told(roster: &Roster, store: &Store, own: Serial, now: Timestamp) -> Vec<String> {
    let found = match newcomers(roster, store, own, now) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("new readers cannot be told: {error}");
            return Vec::new();
        }
    };
    let member = roster.certificate(own).map(|own| own.member);
    let (own, others): (Vec<&Newcomer>, Vec<&Newcomer>) =
        found.iter().partition(|newcomer| Some(newcomer.member) == member);
    // Nobody can judge those as their own member can: they are never among the rest.
    let mut told: Vec<String> = own.iter().flat_map(|own| ours(own)).collect();
    told.extend(others.iter().take(MOST).flat_map(|newcomer| sentences(newcomer)));
    if others.len() > MOST {
        told.push(format!("{} more members are new readers: `belfry newcomers`.", others.len() - MOST));
    }
    told
}

/// Nodes that somebody had certified as this member's.
fn ours(own: &Newcomer) -> Vec<String> {
    if own.held_since.is_some() {
        return sentences(own);
    }
    let told = |node: &NewNode| {
        format!(
            "Another node of this member was certified: certificate {}, in {}. If it is none of yours, somebody else reads by it: \
             tell the coalition at once, and `belfry hold {}`.",
            node.certificate,
            slugs(&node.groups),
            own.member
        )
    };
    own.nodes.iter().map(told).collect()
}

fn sentences(newcomer: &Newcomer) -> Vec<String> {
    let (name, member) = (&newcomer.organisation, newcomer.member);
    let what = newcomer.capacity.clone().unwrap_or_else(|| newcomer.classes.join(", "));
    if let Some(since) = newcomer.held_since {
        return vec![format!(
            "{name} ({what}) gets no keys from this node of the time before it came, since {since}: `belfry release {member}`."
        )];
    }
    let reads = (!newcomer.groups.is_empty()).then(|| {
        let reads = format!("New reader: {name} ({what}) in {}.", slugs(&newcomer.groups));
        match newcomer.groups.iter().filter_map(|group| group.old_keys_from).min() {
            Some(from) => format!(
                "{reads} From {from} on this node gives it keys of before; if it should not be there, tell the coalition, and \
                 `belfry hold {member}`."
            ),
            None => reads,
        }
    });
    let node = |node: &NewNode| {
        format!(
            "New node of {name}: certificate {} reads {}, keys of before at once, as its member does. If that is not its own \
             doing, tell the coalition, and `belfry hold {member}`.",
            node.certificate,
            slugs(&node.groups)
        )
    };
    reads.into_iter().chain(newcomer.nodes.iter().map(node)).collect()
}

fn slugs(groups: &[NewIn]) -> String {
    groups.iter().map(|group| group.slug.as_str()).collect::<Vec<_>>().join(", ")
}
