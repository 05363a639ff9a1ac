//! Embargoes: until when they keep an object from readers outside, and that those meet it then.
//!
//! ```text
//! an object comes under an embargo ─┬▶ a row, due at its end ──────────────────────────────────────────┐
//!                                   └▶ a row by object: what others say of it is kept inside, too      │
//! a saying under an embargo goes ────▶ a row for each that it kept inside, due at once ───────────────┐│
//!                                                                                                     ▼▼
//! Change::EmbargoesOver, by a clock that others vouch for ─┬─ something else keeps it inside ─▶ nothing (due later)
//!                                                          └─ nothing does ─▶ a row that stands for it, of a fresh date
//!                                                                             and number in the feed, for readers outside
//! ```
//!
//! An author's embargo is the last that it asks for, of all the times that it says a row. It keeps inside, too, what others say
//! of the object, whatever they ask for: all but its owner ([`super::ownership`]), or whoever said a thing again could open it.
//! What everybody speaks of (`is_finding`) is nobody's to keep.
//!
//! The object's own row keeps its date: within the organisation nothing happened to it, and whoever polls there does not
//! meet it twice. It says where it surfaced, so that readers outside are not shown it where it was added, and so that what
//! stands for it goes when it goes. Every version surfaces: which is the newest that a reader may have is asked when it
//! reads. Work left undone by a crash is still a row.

use std::collections::BTreeSet;

use belfry_proto::{
    id::{GroupId, MemberId, MessageId},
    schema::{self, Pap},
    stix::{
        egress::{self, Audience, Marks, Policy, Use},
        marking::Tlp,
        object::is_finding,
    },
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError, Store,
    columns::{self, Cf, Key},
    db::Db,
    feed::Feed,
    messages,
    objects::{self, MAX_VERSIONS},
    ownership,
    presence::Of,
    removal::{self, End},
    rows::Conditions,
    txn::Txn,
    values::{ClaimValue, ObjectValue, ReporterValue},
    vault::damaged,
};

/// Rows of objects looked at in one step: a few milliseconds. Too low ⇒ more synced batches, too high ⇒ a feed whose embargo ends
/// at one time holds up the writer.
const MOST_LOOKED_AT: usize = 1024;

/// Embargoes on one object that the writer looks at. Beyond it something surfaces early, and is still kept from readers.
const MOST_KEEPERS: usize = 4096;

/// How far dates of one batch may run ahead of its clock, in microseconds: each is one later than the one before.
const AHEAD: u64 = 60_000_000;

/// Where rows by object begin, behind all that is due: no time does.
const BY_OBJECT: u8 = u8::MAX;

/// The widest way out there is: what it holds back is held back from everybody outside.
const OUTSIDE: Policy =
    Policy { purpose: Use::Detect, audience: Audience::Outside, most: Tlp::Amber, unstated_pap: Pap::Clear };

/// Something that is due because an embargo ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embargo {
    /// A message's, or that of one of its objects.
    Message {
        /// When it ends.
        ends: Timestamp,
        /// Whose.
        message: MessageId,
    },
    /// What kept a row inside is gone: due at once.
    Row {
        /// Its group.
        group: GroupId,
        /// When it was added.
        added: Timestamp,
        /// Until when it would have been kept.
        until: Timestamp,
    },
}

impl Embargo {
    /// When it is due.
    #[must_use]
    pub const fn due(self) -> Timestamp {
        match self {
            Self::Message { ends, .. } => ends,
            Self::Row { .. } => Timestamp::ZERO,
        }
    }

    /// Where it stands in [`Cf::Embargoes`], and what.
    pub(super) fn row(self) -> (Vec<u8>, Vec<u8>) {
        let key = Key::default().u64(self.due().as_micros());
        match self {
            Self::Message { message, .. } => (key.bytes(message.as_ref()).done(), Vec::new()),
            Self::Row { group, added, until } => (
                key.bytes(&columns::object(group, added.as_micros())).done(),
                until.as_micros().to_be_bytes().to_vec(),
            ),
        }
    }

    /// `None` of a row by object, behind which nothing is due.
    fn read(key: &[u8], value: &[u8]) -> Result<Option<Self>, ReadError> {
        let fault = || damaged(Cf::Embargoes, key, "does not decode");
        if key.first() == Some(&BY_OBJECT) {
            return Ok(None);
        }
        let (ends, of) = key.split_first_chunk::<8>().ok_or_else(fault)?;
        if let Some((group, added)) = columns::read_object(of) {
            let until = value.try_into().map(u64::from_be_bytes).map_err(|_| fault())?;
            let (added, until) = (Timestamp::from_micros(added), Timestamp::from_micros(until));
            return Ok(Some(Self::Row { group, added, until }));
        }
        let ends = Timestamp::from_micros(u64::from_be_bytes(*ends));
        Ok(Some(Self::Message { ends, message: MessageId::try_from(of).map_err(|_| fault())? }))
    }
}

/// What one message asks where it says one row.
struct Saying {
    member: Vec<u8>,
    message: MessageId,
    /// In microseconds; 0 for nothing.
    until: u64,
}

/// Where an object's embargoes begin in [`Cf::Embargoes`], by its place in [`Cf::ById`].
fn of_object(object: &[u8]) -> Vec<u8> {
    [&[BY_OBJECT], object].concat()
}

/// That ‖ member ‖ (until, the last first) ‖ message.
pub(super) fn keeper(object: &[u8], member: &[u8], until: u64, message: &[u8]) -> Vec<u8> {
    Key::default().bytes(&of_object(object)).bytes(member).u64(u64::MAX - until).bytes(message).done()
}

/// Who keeps an object inside by such a row, and until when.
fn read_keeper(key: &[u8], prefix: &[u8]) -> Option<([u8; 16], u64)> {
    let (member, rest) = key.strip_prefix(prefix)?.split_first_chunk::<16>()?;
    let (until, _) = rest.split_first_chunk::<8>()?;
    Some((*member, u64::MAX - u64::from_be_bytes(*until)))
}

/// Notes that an object of a message is under an embargo, if it is: `until` is in microseconds, 0 for none. One that seems to be
/// over is noted, too: our clock may run ahead.
pub(super) fn note(txn: &mut Txn<'_>, until: u64, message: MessageId) {
    if until > 0 {
        let (key, value) = Embargo::Message { ends: Timestamp::from_micros(until), message }.row();
        txn.put(Cf::Embargoes, key, value);
    }
}

/// Has an embargo keep inside, too, what others say of the object, which has this place in [`Cf::ById`].
pub(super) fn keep(
    txn: &mut Txn<'_>,
    object: &[u8],
    kind: &str,
    (member, message): (MemberId, MessageId),
    until: u64,
) {
    if until > 0 && is_finding(kind) {
        txn.put(Cf::Embargoes, keeper(object, member.as_ref(), until, message.as_ref()), Vec::new());
    }
}

/// Lets what these embargoes kept inside be met outside, as far as it is over by `now`, for which others vouch. Those that are
/// too many for one step stand in their rows.
pub(super) fn end(
    feed: &mut Feed,
    txn: &mut Txn<'_>,
    over: &[Embargo],
    now: Timestamp,
) -> Result<(), ReadError> {
    let mut looked_at = 0;
    for embargo in over {
        if looked_at >= MOST_LOOKED_AT {
            break;
        }
        looked_at += 1;
        txn.delete(Cf::Embargoes, embargo.row().0);
        let (ends, message) = match *embargo {
            Embargo::Message { ends, message } => (ends, message),
            Embargo::Row { group, added, until } => {
                meet(feed, txn, (group, added.as_micros()), until, now)?;
                continue;
            }
        };
        let Some(group) = group_of(txn, message)? else { continue };
        for date in messages::dates_of(txn, message)? {
            let Some(value) = removal::row(txn, group, date)? else { continue };
            let saying = saying(txn, group, date, &value, message)?;
            // Another of its objects may be under another one.
            let Some(saying) = saying.filter(|saying| saying.until == ends.as_micros()) else { continue };
            for kept in let_go(txn, group, date, &value, &saying)? {
                looked_at += 1;
                meet(feed, txn, (group, kept), ends, now)?;
            }
        }
    }
    Ok(())
}

/// The group of a message that is here.
fn group_of(txn: &Txn<'_>, message: MessageId) -> Result<Option<GroupId>, ReadError> {
    let place = messages::place(txn, message)?;
    let place = place.as_deref().and_then(|place| place.get(..columns::PLACE_LEN));
    Ok(place.and_then(columns::read_place).map(|(group, ..)| group))
}

/// A saying goes, and what it asked for with it: what it kept inside, by dates, and until when. To be asked while all is as it
/// was; see [`lift`].
pub(super) fn kept_with(
    txn: &mut Txn<'_>,
    group: GroupId,
    date: u64,
    value: &ObjectValue,
    message: MessageId,
) -> Result<(Vec<u64>, Timestamp), ReadError> {
    match saying(txn, group, date, value, message)? {
        Some(saying) if saying.until > 0 => {
            Ok((let_go(txn, group, date, value, &saying)?, Timestamp::from_micros(saying.until)))
        }
        _ => Ok((Vec::new(), Timestamp::ZERO)),
    }
}

/// Has those of these rows that are left met outside, unless something else keeps them inside.
pub(super) fn lift(
    txn: &mut Txn<'_>,
    group: GroupId,
    (rows, until): (Vec<u64>, Timestamp),
) -> Result<(), ReadError> {
    for date in rows {
        if txn.get(Cf::Objects, &columns::object(group, date))?.is_some() {
            let (key, value) = Embargo::Row { group, added: Timestamp::from_micros(date), until }.row();
            txn.put(Cf::Embargoes, key, value);
        }
    }
    Ok(())
}

/// What a message asks where it says a row; `None` if it does not, or in other words, which nobody is shown.
fn saying(
    txn: &Txn<'_>,
    group: GroupId,
    date: u64,
    value: &ObjectValue,
    message: MessageId,
) -> Result<Option<Saying>, ReadError> {
    if value.message == message.as_ref() {
        let until = until(value.conditions.as_ref());
        return Ok(Some(Saying { member: value.member.clone(), message, until }));
    }
    let others = removal::reporters(txn, group, date)?;
    let Some(other) = others.iter().find(|other| other.message == message && !other.differs) else {
        return Ok(None);
    };
    let until = until(said(txn, &other.key)?.conditions.as_ref());
    Ok(Some(Saying { member: other.member.to_vec(), message, until }))
}

/// Takes away by object what a saying asked for; the dates of the rows that it kept inside: its author's, and what others say of
/// the object.
fn let_go(
    txn: &mut Txn<'_>,
    group: GroupId,
    date: u64,
    value: &ObjectValue,
    saying: &Saying,
) -> Result<Vec<u64>, ReadError> {
    // What its author asks where it only says another's words holds back its name alone.
    let mut kept = if value.member == saying.member { vec![date] } else { Vec::new() };
    if !is_finding(&value.kind) {
        return Ok(kept);
    }
    let object = objects::by_id(&txn.db.vault, group, &value.id);
    txn.delete(Cf::Embargoes, keeper(&object, &saying.member, saying.until, saying.message.as_ref()));
    let claims = removal::claims_of(txn, group, &value.id)?;
    if claims.iter().all(|(_, member)| *member == saying.member) {
        return Ok(kept);
    }
    let owner = ownership::of_claims(&claims, |date| removal::row(txn, group, date))?;
    let dates: BTreeSet<u64> = claims.into_iter().map(|(date, _)| date).collect();
    for date in dates {
        let Some(other) = removal::row(txn, group, date)? else { continue };
        if other.member != saying.member && owner.is_none_or(|owner| other.member != owner.as_ref()) {
            kept.push(date);
        }
    }
    Ok(kept)
}

/// Lets readers outside meet a row that was kept inside until then, unless they met it since, or something else keeps it inside.
fn meet(
    feed: &mut Feed,
    txn: &mut Txn<'_>,
    (group, date): (GroupId, u64),
    until: Timestamp,
    now: Timestamp,
) -> Result<(), ReadError> {
    let Some(value) = removal::row(txn, group, date)? else { return Ok(()) };
    // A date that lies ahead is of a clock that ran ahead, and says nothing of what was before it.
    let newest = txn.now.as_micros().saturating_add(AHEAD);
    let is_since = |met: u64| (until.as_micros()..=newest).contains(&met);
    let is_met = is_since(date) || is_since(value.surfaced);
    if value.tombstone || value.stands_for > 0 || is_met || !may_leave(&value) {
        return Ok(());
    }
    if kept_until(txn, group, date, &value)? > now.as_micros() {
        return Ok(());
    }
    surface(feed, txn, group, date, value)
}

/// Until when a row is kept inside, in microseconds: by its author, as often as it says it, and by others.
fn kept_until(txn: &Txn<'_>, group: GroupId, date: u64, value: &ObjectValue) -> Result<u64, ReadError> {
    let mut last = until(value.conditions.as_ref());
    for other in removal::reporters(txn, group, date)? {
        if !other.differs && value.member == other.member.as_ref() {
            last = last.max(until(said(txn, &other.key)?.conditions.as_ref()));
        }
    }
    let prefix = of_object(&objects::by_id(&txn.db.vault, group, &value.id));
    let keepers = txn.prefixed(Cf::Embargoes, &prefix, MOST_KEEPERS)?;
    let keepers = keepers.iter().filter_map(|(key, _)| read_keeper(key, &prefix));
    let others = keepers.filter(|(member, _)| value.member != member).map(|(_, until)| until).max();
    let Some(others) = others.filter(|others| *others > last) else { return Ok(last) };
    let claims = removal::claims_of(txn, group, &value.id)?;
    let owner = ownership::of_claims(&claims, |date| removal::row(txn, group, date))?;
    let is_owner = owner.is_some_and(|owner| value.member == owner.as_ref());
    Ok(if is_owner { last } else { others })
}

/// Until when what others ask keeps a row from readers outside, if anything of it does. What stands for an object that is gone
/// is told, unless it still tells what that said.
pub(super) fn kept_by_others(
    db: &Db,
    group: GroupId,
    value: &ObjectValue,
) -> Result<Option<Timestamp>, ReadError> {
    let object = objects::by_id(&db.vault, group, &value.id);
    // Nearly every object is said by one member, once.
    let is_told = value.tombstone && End::of(value.end) != End::Kept;
    if is_told || !is_finding(&value.kind) || db.presence.lacks(Of::Repeated, &object) {
        return Ok(None);
    }
    let Some(until) = last_of_others(db, &object, &value.member)? else { return Ok(None) };
    let mut claims = BTreeSet::new();
    for row in db.scan(Cf::ById, &object, &object).take(MAX_VERSIONS) {
        let (key, claim) = row?;
        let claim = ClaimValue::decode(claim.as_ref());
        let claim = claim.map_err(|_| damaged(Cf::ById, &key, "does not decode"))?;
        claims.insert((claim.date_added, claim.member));
    }
    let owner = ownership::of_claims(&claims, |date| {
        let key = columns::object(group, date);
        let Some(plain) = db.get_sealed(Cf::Objects, &key)? else { return Ok(None) };
        let value = ObjectValue::decode(plain.as_slice());
        value.map(Some).map_err(|_| damaged(Cf::Objects, &key, "does not decode"))
    })?;
    let is_owner = owner.is_some_and(|owner| value.member == owner.as_ref());
    Ok((!is_owner).then_some(Timestamp::from_micros(until)))
}

/// The last embargo that anybody but this member asks for an object, by its place in [`Cf::ById`].
fn last_of_others(db: &Db, object: &[u8], member: &[u8]) -> Result<Option<u64>, ReadError> {
    let prefix = of_object(object);
    let mut rows = db.rocks.raw_iterator_cf(db.cf(Cf::Embargoes));
    let mut last = None;
    rows.seek(&prefix);
    while let Some((by, until)) = rows.key().and_then(|key| read_keeper(key, &prefix)) {
        if by != member {
            last = last.max(Some(until));
        }
        // The last of each stands first: what one asks a thousand times costs one look.
        rows.seek([prefix.as_slice(), &by, &[u8::MAX; 8 + 32 + 1]].concat());
    }
    db.ended(&rows)?;
    Ok(last)
}

fn until(conditions: Option<&Conditions>) -> u64 {
    conditions.map_or(0, |conditions| conditions.embargo_until)
}

fn said(txn: &Txn<'_>, key: &[u8]) -> Result<ReporterValue, ReadError> {
    let plain = txn.get_sealed(Cf::Reporters, key)?.unwrap_or_default();
    ReporterValue::decode(plain.as_slice()).map_err(|_| damaged(Cf::Reporters, key, "does not decode"))
}

/// Whether anybody outside may have a row, its embargo aside.
fn may_leave(value: &ObjectValue) -> bool {
    let terms: &[String] = match &value.conditions {
        Some(conditions) => &conditions.terms,
        None => &[],
    };
    let marks = Marks {
        tlp: schema::Tlp::try_from(value.tlp).ok().and_then(Option::<Tlp>::from).unwrap_or(Tlp::Red),
        is_for_named_recipients: value.recipients,
        pap: None,
        embargo_until: None,
        terms,
    };
    egress::may_leave(&OUTSIDE, &marks, Timestamp::ZERO).is_ok()
}

fn surface(
    feed: &mut Feed,
    txn: &mut Txn<'_>,
    group: GroupId,
    date: u64,
    before: ObjectValue,
) -> Result<(), ReadError> {
    // It was kept inside anew after one was over.
    objects::delete_surfaced(txn, group, &before);
    let value = ObjectValue { surfaced: feed.next_date(txn, group)?, ..before };
    txn.put_sealed(group, Cf::Objects, columns::object(group, date), &value.encode_to_vec());
    objects::put_surfaced(txn, group, date, &value);
    feed.announce(txn, group, value.surfaced);
    Ok(())
}

impl Store {
    /// Embargoes that are over by `now`, at most `most`, the first to end at the front.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn embargoes_over(&self, now: Timestamp, most: usize) -> Result<Vec<Embargo>, ReadError> {
        let mut over = Vec::new();
        for row in self.db.scan(Cf::Embargoes, &[], &[]).take(most) {
            let (key, value) = row?;
            match Embargo::read(&key, &value)? {
                Some(embargo) if embargo.due() <= now => over.push(embargo),
                _ => break,
            }
        }
        Ok(over)
    }

    /// When the next one ends.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_embargo(&self) -> Result<Option<Timestamp>, ReadError> {
        let Some((key, value)) = self.db.scan(Cf::Embargoes, &[], &[]).next().transpose()? else {
            return Ok(None);
        };
        Ok(Embargo::read(&key, &value)?.map(Embargo::due))
    }
}

#[cfg(test)]
mod tests;
