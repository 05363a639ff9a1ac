//! What an operator is told of new readers, as long as it can still do something about them.

use belfry_proto::{id::Serial, time::Timestamp, trust::roster::Roster};

use crate::{
    query::{Newcomer, newcomers},
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
    let mut told: Vec<String> = found.iter().take(MOST).map(sentence).collect();
    if found.len() > MOST {
        told.push(format!("{} more members are new readers: `belfry newcomers`.", found.len() - MOST));
    }
    told
}

fn sentence(newcomer: &Newcomer) -> String {
    let name = &newcomer.organisation;
    let what = newcomer.capacity.clone().unwrap_or_else(|| newcomer.classes.join(", "));
    if let Some(since) = newcomer.held_since {
        return format!(
            "{name} ({what}) gets no keys from this node of the time before it came, since {since}: `belfry release {}`.",
            newcomer.member
        );
    }
    let slugs: Vec<&str> = newcomer.groups.iter().map(|group| group.slug.as_str()).collect();
    let reads = format!("New reader: {name} ({what}) in {}.", slugs.join(", "));
    match newcomer.groups.iter().filter_map(|group| group.old_keys_from).min() {
        Some(from) => format!(
            "{reads} From {from} on this node gives it keys of before; if it should not be there, tell the coalition, and \
             `belfry hold {}`.",
            newcomer.member
        ),
        None => reads,
    }
}
