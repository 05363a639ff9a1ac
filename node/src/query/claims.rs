//! Several members may claim one STIX id (design §8, Ownership): which claim is shown, and which of its
//! versions a filter means.
//!
//! The owner's claim is shown ([`store::owner`]). Only what the principal may have is weighed, so a claim it
//! may not see hides nothing from it.

use std::collections::BTreeSet;

use belfry_proto::{id::MemberId, time::Timestamp};

use super::{Shown, VersionMatch};
use crate::store::{self, Claimed};

/// Versions of the shown claim, oldest first. `rows` are every row of one object in one group.
///
/// A tombstone speaks only where nobody says anything of the object any more; one that stands for what its own
/// member withdrew speaks beside the versions that this member left standing.
pub(super) fn shown(rows: Vec<Shown>) -> Vec<Shown> {
    let (ends, said): (Vec<Shown>, Vec<Shown>) = rows.into_iter().partition(Shown::is_tombstone);
    let (holder, mut rows) = match holder(&said) {
        Some(member) => (Some(member), said),
        None => (holder(&ends), Vec::new()),
    };
    let is_only = rows.is_empty();
    rows.extend(ends.into_iter().filter(|end| is_only || end.is_withdrawn()));
    let Some(member) = holder else { return Vec::new() };
    let mut versions: Vec<Shown> = rows.into_iter().filter(|row| row.member() == member).collect();
    versions.sort_by_key(|row| (row.version_time(), row.date_added()));
    versions
}

fn holder(rows: &[Shown]) -> Option<MemberId> {
    store::owner(rows.iter().map(|row| Claimed {
        member: row.member(),
        added: row.date_added(),
        created: row.created(),
        message: row.message(),
    }))
}

/// The rows, named by when they were added, that a version filter means; none is the last.
pub(super) fn selected(versions: &[Shown], wanted: &BTreeSet<VersionMatch>) -> BTreeSet<Timestamp> {
    let times: Vec<Version> = versions.iter().map(Version::of).collect();
    chosen(&times, wanted)
}

/// A version without what it says: its time, and when it was added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    time: Timestamp,
    added: Timestamp,
}

impl Version {
    pub(super) fn of(row: &Shown) -> Self {
        Self { time: row.version_time(), added: row.date_added() }
    }

    pub(super) const fn added(self) -> Timestamp {
        self.added
    }
}

/// [`selected`] of versions in their order.
pub(super) fn chosen(versions: &[Version], wanted: &BTreeSet<VersionMatch>) -> BTreeSet<Timestamp> {
    let mut chosen = BTreeSet::new();
    let last = [VersionMatch::Last];
    let wanted: Vec<&VersionMatch> =
        if wanted.is_empty() { last.iter().collect() } else { wanted.iter().collect() };
    for wish in wanted {
        match wish {
            VersionMatch::First => chosen.extend(versions.first().map(|version| version.added)),
            VersionMatch::Last => chosen.extend(versions.last().map(|version| version.added)),
            VersionMatch::All => chosen.extend(versions.iter().map(|version| version.added)),
            VersionMatch::At(time) => {
                let at = versions.iter().filter(|version| version.time == *time);
                chosen.extend(at.map(|version| version.added));
            }
        }
    }
    chosen
}
