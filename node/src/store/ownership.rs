//! Whose an object is, of those who say it (design §8, Ownership).
//!
//! Who said it first by (created, message id), except that one whose word arrives more than a quarter of an hour after its
//! `created` never displaces one that is here: a member who could take an id by backdating would own whatever it wished.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{
    id::{MemberId, MessageId},
    time::Timestamp,
};

use super::{ReadError, values::ObjectValue};

/// How late a claim may arrive and still displace an earlier-shown one. Below gossip's own delays,
/// nodes would disagree on ordinary days; above, backdating pays.
const LATE: Duration = Duration::from_secs(15 * 60);

/// What counts of a member's first row of an object.
#[derive(Clone, Copy, Debug)]
pub struct Claimed {
    /// Who says it.
    pub member: MemberId,
    /// When it was added here.
    pub added: Timestamp,
    /// By its author's clock.
    pub created: Timestamp,
    /// In which message.
    pub message: MessageId,
}

impl Claimed {
    /// Of a row; `None` of one that says nothing, or that only stands for another.
    fn of(added: u64, value: &ObjectValue) -> Option<Self> {
        let says = !value.tombstone && value.stands_for == 0;
        Some(Self {
            member: MemberId::try_from(value.member.as_slice()).ok().filter(|_| says)?,
            added: Timestamp::from_micros(added),
            created: Timestamp::from_micros(value.created),
            message: MessageId::try_from(value.message.as_slice()).ok()?,
        })
    }
}

/// Whether a word came too late to be believed about when it was made.
fn is_late(created: Timestamp, added: Timestamp) -> bool {
    added.since(created) > LATE
}

/// Since when a word counts against others' that were here before it or came after: since it was made, by its author's clock; since it
/// came, if that was too late.
#[must_use]
pub fn counts_since(created: Timestamp, added: Timestamp) -> Timestamp {
    if is_late(created, added) { added } else { created }
}

/// Who owns an object, of these rows that say it.
#[must_use]
pub fn owner(rows: impl IntoIterator<Item = Claimed>) -> Option<MemberId> {
    let mut firsts: BTreeMap<MemberId, Claimed> = BTreeMap::new();
    for row in rows {
        let first = firsts.entry(row.member).or_insert(row);
        if row.added < first.added {
            *first = row;
        }
    }
    let mut by_arrival: Vec<Claimed> = firsts.into_values().collect();
    by_arrival.sort_by_key(|row| row.added);
    let rank = |row: &Claimed| (row.created, row.message);
    let held = by_arrival.into_iter().reduce(|held, claim| {
        if !is_late(claim.created, claim.added) && rank(&claim) < rank(&held) { claim } else { held }
    });
    held.map(|row| row.member)
}

/// Who owns an object with these claims; opens the first row of each member.
pub(super) fn of_claims(
    claims: &BTreeSet<(u64, Vec<u8>)>,
    mut row: impl FnMut(u64) -> Result<Option<ObjectValue>, ReadError>,
) -> Result<Option<MemberId>, ReadError> {
    let mut firsts: BTreeMap<Vec<u8>, Claimed> = BTreeMap::new();
    for (date, member) in claims {
        if firsts.contains_key(member) {
            continue;
        }
        // Where a member only says another's bytes, too, the row is that one's.
        let Some(value) = row(*date)? else { continue };
        if let Some(claimed) = Claimed::of(*date, &value) {
            firsts.entry(value.member).or_insert(claimed);
        }
    }
    Ok(owner(firsts.into_values()))
}
