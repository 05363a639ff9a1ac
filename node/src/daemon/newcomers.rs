//! What an operator is told of new readers, as long as it can still do something about them.

use belfry_proto::{
    id::{MemberId, Serial},
    time::Timestamp,
    trust::roster::Roster,
};

use crate::{
    query::{NewIn, NewNode, Newcomer, newcomers},
    store::Store,
};

/// New readers, and new nodes of one, told one by one; a coalition that begins has all of them new.
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
    all_of(&found, roster.certificate(own).map(|own| own.member))
}

fn all_of(found: &[Newcomer], own: Option<MemberId>) -> Vec<String> {
    let (own, mut others): (Vec<&Newcomer>, Vec<&Newcomer>) =
        found.iter().partition(|newcomer| Some(newcomer.member) == own);
    // Nobody can judge those as their own member can: they are never among the rest.
    let mut told: Vec<String> = own.iter().flat_map(|own| ours(own)).collect();
    // Who is held is known already.
    others.sort_by_key(|newcomer| newcomer.held_since.is_some());
    told.extend(others.iter().take(MOST).flat_map(|newcomer| sentences(newcomer)));
    if others.len() > MOST {
        told.push(format!(
            "{} more members are new readers, have new nodes or are held back: `belfry newcomers`.",
            others.len() - MOST
        ));
    }
    told
}

/// Nodes that somebody had certified as this member's. One may follow while another is held.
fn ours(own: &Newcomer) -> Vec<String> {
    let (held, mend) = match own.held_since {
        Some(_) => (sentences(own), String::new()),
        None => (Vec::new(), format!(", and `belfry hold {}`", own.member)),
    };
    let told = |node: &NewNode| {
        format!(
            "Another node of this member was certified: certificate {}, in {}. If it is none of yours, somebody else reads by it: \
             tell the coalition at once{mend}.",
            node.certificate,
            slugs(&node.groups)
        )
    };
    let nodes = own.nodes.iter().take(MOST).map(told);
    held.into_iter().chain(nodes).chain(further(own)).collect()
}

/// New nodes of one member beyond those that are told one by one.
fn further(newcomer: &Newcomer) -> Option<String> {
    let more = newcomer.nodes.len().checked_sub(MOST).filter(|more| *more > 0)?;
    Some(format!("{} has {more} more new nodes: `belfry newcomers`.", newcomer.organisation))
}

fn sentences(newcomer: &Newcomer) -> Vec<String> {
    let (name, member) = (&newcomer.organisation, newcomer.member);
    let what = newcomer.capacity.clone().unwrap_or_else(|| newcomer.classes.join(", "));
    if let Some(since) = newcomer.held_since {
        return vec![format!(
            "{name} ({what}) gets no keys from this node of the time before it came, nor its new nodes, since {since}: `belfry \
             release {member}`."
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
    let nodes = newcomer.nodes.iter().take(MOST).map(node);
    reads.into_iter().chain(nodes).chain(further(newcomer)).collect()
}

fn slugs(groups: &[NewIn]) -> String {
    groups.iter().map(|group| group.slug.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use belfry_proto::id::GroupId;

    use super::*;

    const SINCE: Timestamp = Timestamp::from_micros(1_000_000);

    fn reads() -> Vec<NewIn> {
        vec![NewIn { id: GroupId::new(5), slug: "cidr".into(), since: SINCE, old_keys_from: Some(SINCE) }]
    }

    /// Member `n`, with so many new nodes.
    fn member(n: u8, is_held: bool, nodes: u64) -> Newcomer {
        let node = |serial| NewNode { certificate: Serial::new(100 + serial), groups: reads() };
        Newcomer {
            member: MemberId::new([n; 16]),
            organisation: format!("Member {n}"),
            classes: vec!["essential".into()],
            capacity: None,
            certificates: Vec::new(),
            groups: if is_held || nodes > 0 { Vec::new() } else { reads() },
            nodes: (0..nodes).map(node).collect(),
            held_since: is_held.then_some(SINCE),
        }
    }

    #[test]
    fn who_is_held_back_takes_no_newcomers_place_and_neither_do_many_nodes_of_one() {
        let mut found: Vec<Newcomer> = (1..=5).map(|n| member(n, true, 0)).collect();
        found.extend([member(6, false, 0), member(7, false, 64)]);
        let told = all_of(&found, None);
        assert!(told[0].starts_with("New reader: Member 6"), "{told:?}");
        assert!(told[1].starts_with("New node of Member 7: certificate 100 reads cidr"), "{told:?}");
        assert_eq!(told.iter().filter(|told| told.starts_with("New node of")).count(), MOST);
        assert!(told.iter().any(|told| told.starts_with("Member 7 has 59 more new nodes")), "{told:?}");
        assert_eq!(told.iter().filter(|told| told.contains("belfry release")).count(), MOST - 2);
        assert!(told.last().unwrap().starts_with("2 more members"), "{told:?}");
    }

    #[test]
    fn a_further_node_of_ones_own_is_told_also_while_another_is_held() {
        let own = MemberId::new([1; 16]);
        for (is_held, advice) in [(false, "belfry hold"), (true, "belfry release")] {
            let told = all_of(&[member(1, is_held, 1)], Some(own));
            assert!(
                told.iter().any(
                    |told| told.starts_with("Another node of this member was certified: certificate 100")
                ),
                "{told:?}"
            );
            assert!(told.iter().any(|told| told.contains(advice)), "{told:?}");
        }
    }
}
