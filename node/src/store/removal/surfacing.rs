//! What surfaces where objects lost rows.
//!
//! ```text
//! object noted as bereft ─┬─ rows remain: they get new dates, so that whoever polls meets them again; each member's newest first,
//!                         │  up to a bound
//!                         └─ none remain: a tombstone, the object as `revoked: true` without its content
//! ```

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use belfry_proto::{
    envelope::Ending,
    id::{GroupId, MemberId, MessageId},
    stix::tombstone,
};
use prost::Message;

use super::{BYTES_A_ROW, End, entries, forget, lost, reporters, row, version_prefix, version_time};
use crate::store::{
    ReadError,
    columns::{self, Cf},
    feed::Feed,
    leaving, messages,
    objects::{self, MAX_VERSIONS},
    ownership::MOST_CLAIMS,
    purge,
    txn::Txn,
    values::{ClaimValue, ObjectValue},
    vault::damaged,
    withdrawals,
};

/// Bytes of the rows of one object that are met again when another one is lost; each member's newest is, whatever it takes. Too
/// low ⇒ of an object of many large versions older ones are not met again, too high ⇒ whoever says such a one holds up the writer, and
/// memory.
const MOST_MET: usize = if cfg!(test) { 64 << 10 } else { 8 << 20 };

/// Bytes that one change may come to before the next object waits.
const MOST_BYTES: usize = 4 << 20;

/// Lets what remains of bereft objects be met again, or says that nothing does; stops after about `most` rows,
/// and says whether more wait.
pub(in crate::store) fn surface(feed: &mut Feed, txn: &mut Txn<'_>, most: usize) -> Result<bool, ReadError> {
    let (begun, mut moved, mut from) = (txn.size(), 0, Vec::new());
    let mut known = BTreeMap::new();
    while let Some(key) = txn.first_key(Cf::Bereft, &from, &[])? {
        if moved >= most || txn.size().saturating_sub(begun) >= MOST_BYTES {
            return Ok(true);
        }
        let (group, _) = key.split_first_chunk().ok_or_else(|| damaged(Cf::Bereft, &key, "has no group"))?;
        let group = GroupId::new(u32::from_be_bytes(*group));
        let lost = lost(&key, &txn.get_sealed(Cf::Bereft, &key)?.unwrap_or_default())?;
        let (end, is_erased) = end_now(txn, group, &lost, &mut known)?;
        moved += 1 + surface_one(feed, txn, group, &lost, end)?;
        if is_erased {
            // What was noted of it tells all, and may lie in files that were rewritten before now.
            purge::put(txn, Cf::Bereft, &[]);
        }
        from = [key.as_slice(), &[0]].concat();
        txn.delete(Cf::Bereft, key);
    }
    Ok(false)
}

/// How an object ends that was lost so, and whether its member erased it: what it only took back it may have erased since, before
/// anybody was told. What a message comes to is found once.
fn end_now(
    txn: &Txn<'_>,
    group: GroupId,
    lost: &ObjectValue,
    known: &mut BTreeMap<Vec<u8>, Option<Ending>>,
) -> Result<(End, bool), ReadError> {
    let end = End::of(lost.end);
    if !end.is_withdrawal() {
        return Ok((end, false));
    }
    let ending = match known.entry(lost.message.clone()) {
        Entry::Occupied(known) => *known.get(),
        Entry::Vacant(new) => {
            let fault = |_| damaged(Cf::Bereft, &[], "names no message or member");
            let message = MessageId::try_from(lost.message.as_slice()).map_err(fault)?;
            let member = MemberId::try_from(lost.member.as_slice()).map_err(fault)?;
            *new.insert(withdrawals::ending_now(txn, message, group, member)?)
        }
    };
    let goes_further = ending.is_some_and(|ending| !ending.keeps_content);
    Ok((if goes_further { End::Bare } else { end }, ending.is_some_and(|ending| ending.is_final())))
}

/// A withdrawal is told even where its member's older versions remain, or tools would keep the newer one for
/// ever. What the log hides is not: somebody else may have written it with a stolen key.
fn surface_one(
    feed: &mut Feed,
    txn: &mut Txn<'_>,
    group: GroupId,
    lost: &ObjectValue,
    end: End,
) -> Result<usize, ReadError> {
    let Said { in_turn, ends } = Said::of(txn, group, &lost.id)?;
    let of_same = |value: &ObjectValue| value.member == lost.member;
    let (mut is_told, mut is_outlived, mut told, mut told_by_same) = (false, false, 0, Vec::new());
    for date in ends {
        let Some(value) = row(txn, group, date)?.filter(|value| value.tombstone) else { continue };
        if !End::of(value.end).is_withdrawal() {
            remove(txn, group, date, &value)?;
            continue;
        }
        told += 1;
        if of_same(&value) {
            is_told |= version_time(&value) > version_time(lost);
            told_by_same.push((date, value));
        }
    }
    // One at a time is held in memory.
    let (mut opened, mut remain, mut bytes) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (turn, date) in in_turn {
        if opened.len() >= MAX_VERSIONS || turn > 0 && bytes >= MOST_MET {
            break;
        }
        if !opened.insert(date) {
            continue;
        }
        let Some(value) = row(txn, group, date)? else { continue };
        bytes += value.raw.len();
        // What goes is seen to when it is gone.
        if value.tombstone || leaving::end_of(txn, &value.message)?.is_some() {
            continue;
        }
        is_outlived |= of_same(&value) && version_time(&value) >= version_time(lost);
        remain.insert(date);
    }
    // In the order in which they were.
    let mut moved = BTreeMap::new();
    for date in &remain {
        if let Some(value) = row(txn, group, *date)? {
            redate(feed, txn, (group, *date), &value, &mut moved)?;
        }
    }
    for (message, dates) in &moved {
        follow(txn, group, *message, dates)?;
    }
    let is_last = remain.is_empty() && told == 0;
    if is_last || end.is_withdrawal() && !is_told && !is_outlived {
        for (date, value) in &told_by_same {
            remove(txn, group, *date, value)?;
        }
        bury(feed, txn, group, lost, end)?;
    }
    Ok(opened.len() + told + bytes / BYTES_A_ROW)
}

/// When what is said of one object was added; opens none of it.
struct Said {
    /// Each member's newest, then each one's next, each with how many of that member's came before. Of one that several
    /// say there are several.
    in_turn: Vec<(usize, u64)>,
    /// What tells that it ended.
    ends: BTreeSet<u64>,
}

impl Said {
    /// Of no more entries than decide anything.
    fn of(txn: &Txn<'_>, group: GroupId, id: &str) -> Result<Self, ReadError> {
        let object = objects::by_id(&txn.db.vault, group, id);
        let (mut by_member, mut ends) = (BTreeMap::<Vec<u8>, BTreeSet<u64>>::new(), BTreeSet::new());
        for (key, value) in txn.prefixed(Cf::ById, &object, MOST_CLAIMS + 1)? {
            let entry = ClaimValue::decode(value.as_slice())
                .map_err(|_| damaged(Cf::ById, &key, "does not decode"))?;
            // An end has no bytes of its own to be compared with.
            if entry.raw_tag.is_empty() {
                ends.insert(entry.date_added);
            } else {
                by_member.entry(entry.member).or_default().insert(entry.date_added);
            }
        }
        let turns = by_member.into_values().flat_map(|dates| dates.into_iter().rev().enumerate());
        let mut in_turn: Vec<(usize, u64)> = turns.collect();
        in_turn.sort_unstable();
        Ok(Self { in_turn, ends })
    }
}

/// When rows of messages were added before they were moved, and since.
type Moved = BTreeMap<MessageId, BTreeMap<u64, u64>>;

/// Moves a row to a new date: whoever polls by date meets it again. Whose the object is goes by the old one.
/// Each message that says it is to [`follow`].
fn redate(
    feed: &mut Feed,
    txn: &mut Txn<'_>,
    (group, from): (GroupId, u64),
    value: &ObjectValue,
    moved: &mut Moved,
) -> Result<(), ReadError> {
    let to = feed.next_date(txn, group)?;
    let others = reporters(txn, group, from)?;
    objects::delete_row(txn, group, from, value, &others);
    // Whoever reads it meets it here, outside or not.
    let arrived = value.arrived_at(from);
    let anew = ObjectValue { surfaced: 0, outlived: true, arrived, ..value.clone() };
    objects::put_row(txn, group, to, &anew, &others);
    for (key, entry) in entries(txn, group, value)? {
        if entry.date_added == from {
            txn.put(Cf::ById, key, ClaimValue { date_added: to, arrived, ..entry }.encode_to_vec());
        }
    }
    let mut says: BTreeSet<MessageId> = MessageId::try_from(value.message.as_slice()).into_iter().collect();
    for other in others {
        let plain = txn.get_sealed(Cf::Reporters, &other.key)?.unwrap_or_default();
        txn.delete(Cf::Reporters, other.key);
        let key = columns::reporter(group, to, other.member, other.message, other.differs);
        txn.put_sealed(group, Cf::Reporters, key, &plain);
        says.insert(other.message);
    }
    for message in says {
        moved.entry(message).or_default().insert(from, to);
    }
    feed.announce(txn, group, to);
    Ok(())
}

/// Notes where rows of a message lie now: all at once, for it may say many.
fn follow(
    txn: &mut Txn<'_>,
    group: GroupId,
    message: MessageId,
    moved: &BTreeMap<u64, u64>,
) -> Result<(), ReadError> {
    let mut said = messages::said_by(txn, message)?;
    for date in said.dates.iter_mut().chain(&mut said.goes) {
        *date = moved.get(&*date).copied().unwrap_or(*date);
    }
    let before: Vec<u64> = moved.keys().copied().collect();
    objects::left(txn, group, &mut said, &before);
    messages::put_said(txn, message, &said)
}

/// Leaves a tombstone where an object was. What has no versions in STIX cannot be said to be revoked either,
/// and just goes.
fn bury(
    feed: &mut Feed,
    txn: &mut Txn<'_>,
    group: GroupId,
    lost: &ObjectValue,
    end: End,
) -> Result<(), ReadError> {
    let tombstone = match end {
        End::Kept => tombstone::retracted(&lost.raw),
        End::Hidden | End::Bare | End::Aged => tombstone::of(&lost.raw),
    };
    let Some(tombstone) = tombstone else { return Ok(()) };
    let mut conditions = lost.conditions.clone();
    if let Some(conditions) = conditions.as_mut().filter(|_| end != End::Kept) {
        conditions.reason.clear();
    }
    let value = ObjectValue {
        version: tombstone.version,
        raw: tombstone.raw,
        revoked: true,
        observables: if end == End::Kept { lost.observables.clone() } else { Vec::new() },
        tombstone: true,
        conditions,
        end: end.number(),
        surfaced: 0,
        arrived: 0,
        ..lost.clone()
    };
    let date_added = feed.next_date(txn, group)?;
    objects::put_row(txn, group, date_added, &value, &[]);
    let member = MemberId::try_from(value.member.as_slice()).unwrap_or(MemberId::new([0; 16]));
    let marking = vec![u8::try_from(value.tlp).unwrap_or(u8::MAX), u8::from(value.recipients)];
    let first = version_prefix(txn, group, &value);
    let key = match txn.get(Cf::ById, &first)? {
        None => first,
        Some(_) => [first.as_slice(), member.as_ref(), &marking].concat(),
    };
    let entry = ClaimValue { date_added, member: member.to_vec(), marking, ..ClaimValue::default() };
    txn.put(Cf::ById, key, entry.encode_to_vec());
    if let Ok(message) = MessageId::try_from(value.message.as_slice())
        && end.is_withdrawal()
    {
        // Should it be erased after all, or its log be cut, this goes with it.
        let mut said = messages::said_by(txn, message)?;
        said.dates.push(date_added);
        messages::put_said(txn, message, &said)?;
    }
    feed.announce(txn, group, date_added);
    Ok(())
}

/// Takes the tombstones of objects away: this message shows them again. What others withdrew stays withdrawn.
pub(in crate::store) fn unbury<'a>(
    txn: &mut Txn<'_>,
    group: GroupId,
    message: MessageId,
    ids: impl Iterator<Item = &'a str>,
) -> Result<(), ReadError> {
    for id in ids.collect::<BTreeSet<_>>() {
        for date in Said::of(txn, group, id)?.ends {
            let Some(value) = row(txn, group, date)? else { continue };
            let is_other = End::of(value.end).is_withdrawal() && value.message != message.as_ref();
            if value.tombstone && !is_other {
                remove(txn, group, date, &value)?;
            }
        }
    }
    Ok(())
}

fn remove(txn: &mut Txn<'_>, group: GroupId, date: u64, value: &ObjectValue) -> Result<(), ReadError> {
    objects::delete_row(txn, group, date, value, &[]);
    forget(txn, group, date, value, &[])
}

#[cfg(test)]
mod tests;
