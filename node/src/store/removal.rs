//! Taking content out of sight again, and what surfaces then.
//!
//! ```text
//! message hidden ─▶ its rows go ─┬─ another message says the same bytes: it becomes the row's author
//!                                └─ nobody else does: the row is gone
//! every object id touched, noted as bereft and seen to later ─┬─ rows remain: they get new dates, so that
//!                                                             │  whoever polls meets them again; each member's newest
//!                                                             │  first, up to a bound
//!                                                             └─ none remain: a tombstone, the object as
//!                                                                `revoked: true` without its content
//! ```
//!
//! The envelope stays, and with it everything: showing a message again opens it again. What is taken away goes
//! in the batch of the change that hides, or by and by behind a mark ([`super::leaving`]), each row with its note; a crash between
//! it and the rest costs nothing.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
};

use belfry_proto::{
    envelope::Ending,
    id::{GroupId, MemberId, MessageId},
    stix::tombstone,
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError,
    columns::{self, Cf},
    embargo::{self, Lapsed},
    feed::Feed,
    leaving, messages,
    objects::{self, MAX_VERSIONS},
    ownership::{Claims, MOST_CLAIMS},
    purge,
    txn::Txn,
    values::{ClaimValue, ObjectValue, ReporterValue},
    vault::damaged,
    withdrawals,
};

/// Entries under one version of one object that are looked at, and messages that say a row besides the first; entries are one a
/// member, and so bounded by the roster.
pub(super) const MAX_ENTRIES: usize = 4096;

/// Bytes of an object that take as long to read as one more row.
const BYTES_A_ROW: usize = 4096;

/// Bytes of the rows of one object that are met again when another one is lost; each member's newest is, whatever it takes. Too
/// low ⇒ of an object of many large versions older ones are not met again, too high ⇒ whoever says such a one holds up the writer, and
/// memory.
const MOST_MET: usize = if cfg!(test) { 64 << 10 } else { 8 << 20 };
/// Bytes that one change may come to before the next object waits.
const MOST_BYTES: usize = 4 << 20;

/// How an object ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The log that its message stands in hides it: what its member said before stands again.
    Hidden,
    /// Withdrawn; nothing of it is told.
    Bare,
    /// Taken back by its own author; what it said is told on.
    Kept,
    /// Past its group's retention: nobody is told, for nobody took it back.
    Aged,
}

impl End {
    pub(super) const fn of(number: u32) -> Self {
        match number {
            1 => Self::Bare,
            2 => Self::Kept,
            3 => Self::Aged,
            _ => Self::Hidden,
        }
    }

    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Hidden => 0,
            Self::Bare => 1,
            Self::Kept => 2,
            Self::Aged => 3,
        }
    }

    pub(super) const fn is_withdrawal(self) -> bool {
        matches!(self, Self::Bare | Self::Kept)
    }
}

pub(super) fn version_time(value: &ObjectValue) -> Timestamp {
    value.version.parse().unwrap_or_default()
}

/// Notes that an object lost a row, with the newest version it lost so and how that ends; [`surface`] sees to
/// it later.
fn note(txn: &mut Txn<'_>, group: GroupId, value: &ObjectValue, end: End) -> Result<(), ReadError> {
    if end == End::Aged {
        return Ok(());
    }
    let key = objects::by_id(&txn.db.vault, group, &value.id);
    let noted = match txn.get_sealed(Cf::Bereft, &key)? {
        Some(plain) => Some(lost(&key, &plain)?),
        None => None,
    };
    let matters = noted.is_none_or(|noted| match version_time(&noted).cmp(&version_time(value)) {
        Ordering::Less => true,
        // Of one version, what tells less of it.
        Ordering::Equal => end != End::Kept,
        Ordering::Greater => false,
    });
    if matters {
        let lost = ObjectValue { end: end.number(), ..value.clone() };
        txn.put_sealed(group, Cf::Bereft, key, &lost.encode_to_vec());
    }
    Ok(())
}

fn lost(key: &[u8], plain: &[u8]) -> Result<ObjectValue, ReadError> {
    ObjectValue::decode(plain).map_err(|_| damaged(Cf::Bereft, key, "does not decode"))
}

/// Takes away what a message says by one row, and notes which object that bereaves; of others who say the same the first that
/// `stays` has it then. Gives how many rows were looked at besides, of who says it, too, or so many bytes.
pub(super) fn take_row(
    txn: &mut Txn<'_>,
    (group, date): (GroupId, u64),
    (member, message): (MemberId, MessageId),
    end: End,
    stays: impl Fn(&Reporter) -> bool,
) -> Result<usize, ReadError> {
    let Some(value) = row(txn, group, date)? else { return Ok(0) };
    let others = reporters(txn, group, date)?;
    let saying = embargo::saying(txn, &value, &others, message)?;
    if value.message == message.as_ref() {
        match heir(txn, &others, stays)? {
            Some((heir, says)) => inherit(txn, group, date, &value, heir, says)?,
            None => {
                objects::delete_row(txn, group, date, &value, &others);
                forget(txn, group, date, &value, &others)?;
            }
        }
        note(txn, group, &value, end)?;
    } else {
        for other in others.iter().filter(|other| other.message == message) {
            txn.delete(Cf::Reporters, other.key.clone());
        }
        drop_entry(txn, group, date, &value, member)?;
    }
    if let Some(saying) = saying {
        embargo::lift(txn, &Lapsed { group, date, value: &value, saying: &saying })?;
    }
    Ok(others.len() + value.raw.len() / BYTES_A_ROW)
}

pub(super) struct Reporter {
    pub(super) key: Vec<u8>,
    pub(super) member: MemberId,
    pub(super) message: MessageId,
    /// It says the version in other words.
    pub(super) differs: bool,
}

pub(super) fn reporters(txn: &Txn<'_>, group: GroupId, date: u64) -> Result<Vec<Reporter>, ReadError> {
    let prefix = columns::object(group, date);
    let rows = txn.prefixed(Cf::Reporters, &prefix, MAX_ENTRIES)?.into_iter();
    rows.map(|(key, _)| {
        let (member, message, differs) =
            columns::read_reporter(&key).ok_or_else(|| damaged(Cf::Reporters, &key, "has no member"))?;
        Ok(Reporter { key, member, message, differs })
    })
    .collect()
}

/// The reporter that becomes the author: of those that say the same bytes and stay, the first to have said them.
pub(super) fn heir<'a>(
    txn: &Txn<'_>,
    others: &'a [Reporter],
    stays: impl Fn(&Reporter) -> bool,
) -> Result<Option<(&'a Reporter, ReporterValue)>, ReadError> {
    let mut found: Option<(&Reporter, ReporterValue)> = None;
    for other in others.iter().filter(|other| !other.differs && stays(other)) {
        // Whoever only reads may find that it went meanwhile.
        let Some(plain) = txn.get_sealed(Cf::Reporters, &other.key)? else { continue };
        let value = ReporterValue::decode(plain.as_slice())
            .map_err(|_| damaged(Cf::Reporters, &other.key, "does not decode"))?;
        let is_earlier = found
            .as_ref()
            .is_none_or(|(before, kept)| (value.created, other.message) < (kept.created, before.message));
        if is_earlier {
            found = Some((other, value));
        }
    }
    Ok(found)
}

/// A row as another message's that says the same bytes.
pub(super) fn inherited(before: &ObjectValue, heir: &Reporter, says: ReporterValue) -> ObjectValue {
    ObjectValue {
        member: heir.member.to_vec(),
        serial: says.serial,
        message: heir.message.to_vec(),
        publication: says.publication,
        created: says.created,
        purpose: says.purpose,
        classes: says.classes,
        conditions: says.conditions,
        ..before.clone()
    }
}

/// Gives a row to another message that says the same bytes. Readers outside go on to meet it where they did: nothing is news to
/// them but the end of an embargo, and that is due by itself. So does whoever looks for it: the heir's entries are there.
fn inherit(
    txn: &mut Txn<'_>,
    group: GroupId,
    date: u64,
    before: &ObjectValue,
    heir: &Reporter,
    says: ReporterValue,
) -> Result<(), ReadError> {
    let row = inherited(before, heir, says);
    txn.delete(Cf::Reporters, heir.key.clone());
    txn.put_sealed(group, Cf::Objects, columns::object(group, date), &row.encode_to_vec());
    match MemberId::try_from(before.member.as_slice()) {
        Ok(author) if author != heir.member => drop_entry(txn, group, date, &row, author),
        _ => Ok(()),
    }
}

/// Takes away what led to a row that is gone. Messages that said its version in other words are opened
/// again: theirs are now the first. Not so those that are on their way out themselves.
fn forget(
    txn: &mut Txn<'_>,
    group: GroupId,
    date: u64,
    value: &ObjectValue,
    others: &[Reporter],
) -> Result<(), ReadError> {
    drop_entries(txn, group, value, |entry| entry.date_added == date)?;
    for other in others {
        txn.delete(Cf::Reporters, other.key.clone());
        if leaving::end_of(txn, other.message.as_ref())?.is_none() {
            txn.put(Cf::Reopen, other.message.to_vec(), Vec::new());
        }
    }
    Ok(())
}

/// Takes away a member's entry for a row, unless another message of the member still says it.
fn drop_entry(
    txn: &mut Txn<'_>,
    group: GroupId,
    date: u64,
    value: &ObjectValue,
    member: MemberId,
) -> Result<(), ReadError> {
    if value.member == member.as_ref() {
        return Ok(());
    }
    let mut others = reporters(txn, group, date)?;
    others.retain(|other| other.member == member);
    if others.iter().all(|other| other.differs) {
        objects::unlead(txn, group, date, value, member);
    }
    if !others.is_empty() {
        return Ok(());
    }
    drop_entries(txn, group, value, |entry| entry.date_added == date && entry.member == member.as_ref())
}

/// Takes away entries of a version. The first of those that remain gets the key that tells news by one look.
fn drop_entries(
    txn: &mut Txn<'_>,
    group: GroupId,
    value: &ObjectValue,
    goes: impl Fn(&ClaimValue) -> bool,
) -> Result<(), ReadError> {
    let first = version_prefix(txn, group, value);
    let (go, mut stay): (Vec<_>, Vec<_>) =
        entries(txn, group, value)?.into_iter().partition(|(_, entry)| goes(entry));
    for (key, _) in go {
        txn.delete(Cf::ById, key);
    }
    stay.sort_by(|(one, _), (other, _)| one.cmp(other));
    if let Some((key, entry)) = stay.into_iter().next().filter(|(key, _)| *key != first) {
        txn.delete(Cf::ById, key);
        txn.put(Cf::ById, first, entry.encode_to_vec());
    }
    Ok(())
}

/// Lets what remains of bereft objects be met again, or says that nothing does; stops after about `most` rows,
/// and says whether more wait.
pub(super) fn surface(feed: &mut Feed, txn: &mut Txn<'_>, most: usize) -> Result<bool, ReadError> {
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
pub(super) fn unbury<'a>(
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

pub(super) fn row(txn: &Txn<'_>, group: GroupId, date: u64) -> Result<Option<ObjectValue>, ReadError> {
    let key = columns::object(group, date);
    let Some(plain) = txn.get_sealed(Cf::Objects, &key)? else { return Ok(None) };
    let value = ObjectValue::decode(plain.as_slice());
    value.map(Some).map_err(|_| damaged(Cf::Objects, &key, "does not decode"))
}

/// Claims of the object with this place in [`Cf::ById`]; opens none.
pub(super) fn claims_of(txn: &Txn<'_>, object: &[u8]) -> Result<Claims, ReadError> {
    Claims::of(txn.prefixed(Cf::ById, object, MOST_CLAIMS + 1)?.into_iter().map(Ok))
}

/// Entries under a row's version.
fn entries(
    txn: &Txn<'_>,
    group: GroupId,
    value: &ObjectValue,
) -> Result<Vec<(Vec<u8>, ClaimValue)>, ReadError> {
    let found = txn.prefixed(Cf::ById, &version_prefix(txn, group, value), MAX_ENTRIES)?.into_iter();
    found
        .map(|(key, value)| match ClaimValue::decode(value.as_slice()) {
            Ok(entry) => Ok((key, entry)),
            Err(_) => Err(damaged(Cf::ById, &key, "does not decode")),
        })
        .collect()
}

/// A tombstone stands under a name of its own: whoever says the object again, in the very version that the
/// tombstone has, says news.
fn version_prefix(txn: &Txn<'_>, group: GroupId, value: &ObjectValue) -> Vec<u8> {
    let vault = &txn.db.vault;
    let what = if value.tombstone { "tombstone" } else { "version" };
    [objects::by_id(vault, group, &value.id).as_slice(), &vault.blind(group, what, &value.version)].concat()
}

#[cfg(test)]
mod tests;
