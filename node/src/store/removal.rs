//! Taking content out of sight again.
//!
//! ```text
//! message hidden ─▶ its rows go ─┬─ another message says the same bytes: it becomes the row's author
//!                                └─ nobody else does: the row is gone
//! every object id touched, noted as bereft and seen to later ([`surfacing`])
//! ```
//!
//! The envelope stays, and with it everything: showing a message again opens it again. What is taken away goes
//! in the batch of the change that hides, or by and by behind a mark ([`super::leaving`]), each row with its note; a crash between
//! it and the rest costs nothing.

mod surfacing;

use std::cmp::Ordering;

use belfry_proto::{
    id::{GroupId, MemberId, MessageId},
    time::Timestamp,
};
use prost::Message;

pub(super) use self::surfacing::{surface, unbury};
use super::{
    ReadError,
    columns::{self, Cf},
    embargo::{self, Lapsed},
    leaving, objects,
    ownership::{self, Claims, MOST_CLAIMS},
    txn::Txn,
    values::{ClaimValue, ObjectValue, ReporterValue},
    vault::damaged,
};

/// Entries under one version of one object that are looked at, and messages that say a row besides the first; entries are one a
/// member, and so bounded by the roster.
pub(super) const MAX_ENTRIES: usize = 4096;

/// Bytes of an object that take as long to read as one more row.
const BYTES_A_ROW: usize = 4096;

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
                // Of those that go as well none finds a row any more when its turn comes.
                let mut lapsed = Vec::new();
                for other in others.iter().filter(|other| other.message != message) {
                    lapsed.extend(embargo::saying(txn, &value, &others, other.message)?);
                }
                objects::delete_row(txn, group, date, &value, &others);
                forget(txn, group, date, &value, &others)?;
                for saying in &lapsed {
                    embargo::lift(txn, &Lapsed { group, date, value: &value, saying })?;
                }
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
            .is_none_or(|(before, kept)| (since(&value), other.message) < (since(kept), before.message));
        if is_earlier {
            found = Some((other, value));
        }
    }
    Ok(found)
}

/// Since when a word counts: it is not the first by its author's clock alone.
fn since(value: &ReporterValue) -> Timestamp {
    let created = Timestamp::from_micros(value.created);
    match value.arrived {
        0 => created,
        arrived => ownership::counts_since(created, Timestamp::from_micros(arrived)),
    }
}

/// A row as another message's that says the same bytes, since that came.
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
        arrived: if says.arrived > 0 { says.arrived } else { before.arrived },
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
    for (key, entry) in entries(txn, group, &row)? {
        if entry.date_added == date && entry.member == row.member {
            txn.put(Cf::ById, key, ClaimValue { arrived: row.arrived, ..entry }.encode_to_vec());
        }
    }
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
