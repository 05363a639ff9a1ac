//! Embargoes: until when they keep an object from readers outside, and that those meet it then.
//!
//! ```text
//! an object comes under an embargo ─┬▶ a row, due at its end ─────────────────────────────────────────┐
//!                                   └▶ a row by object: what others say of it is kept inside, too     │
//! a saying under an embargo goes ────▶ a row for what it said, and one for all that others say of     │
//!                                      the object, due at once ──────────────────────────────────────┐│
//!                                                                                                    ▼▼
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
//! reads. Work left undone by a crash is still a row, and so is what is too much for one step: whoever lets go of a saying looks at
//! nothing that others say, however much it is.

mod due;
mod keepers;

use std::collections::{BTreeMap, btree_map::Entry};

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

pub use self::due::Embargo;
pub(super) use self::keepers::{Known, keep, keeper};
use self::{due::Gone, keepers::Keepers};
use super::{
    ReadError,
    columns::{self, Cf, Key},
    feed::Feed,
    messages, objects,
    ownership::Firsts,
    removal::{self, Reporter},
    rows::Conditions,
    txn::Txn,
    values::{ObjectValue, ReporterValue},
    vault::damaged,
};

/// Rows of objects looked at in one step, and about as many to find out whose they are: a few milliseconds. Too low ⇒ more synced
/// batches, too high ⇒ a feed whose embargo ends at one time holds up the writer.
const MOST_LOOKED_AT: usize = if cfg!(test) { 64 } else { 1024 };

/// Entries of objects that are read, and not opened, in the time that one row takes.
const ENTRIES_A_ROW: usize = 16;

/// How far dates of one batch may run ahead of its clock, in microseconds: each is one later than the one before.
const AHEAD: u64 = 60_000_000;

/// The widest way out there is: what it holds back is held back from everybody outside.
const OUTSIDE: Policy =
    Policy { purpose: Use::Detect, audience: Audience::Outside, most: Tlp::Amber, unstated_pap: Pap::Clear };

/// What one message asks where it says one row.
pub(super) struct Saying {
    member: MemberId,
    message: MessageId,
    /// In microseconds; it asks for an embargo.
    until: u64,
}

/// A row, and what says it and goes.
pub(super) struct Lapsed<'a> {
    pub(super) group: GroupId,
    pub(super) date: u64,
    pub(super) value: &'a ObjectValue,
    pub(super) saying: &'a Saying,
}

/// Notes that an object of a message is under an embargo, if it is: `until` is in microseconds, 0 for none. One that seems to be
/// over is noted, too: our clock may run ahead.
pub(super) fn note(txn: &mut Txn<'_>, until: u64, message: MessageId) {
    if until > 0 {
        let (key, value) = Embargo::Message { ends: Timestamp::from_micros(until), message }.row();
        txn.put(Cf::Embargoes, key, value);
    }
}

/// One [`end`]: what it looked at, and what it found of objects, each once.
struct Step {
    now: Timestamp,
    /// Rows that may be met.
    looked_at: usize,
    /// Rows and entries that this took besides, as so many rows.
    found: usize,
    kept: BTreeMap<Vec<u8>, Keepers>,
}

/// Lets what these embargoes kept inside be met outside, as far as it is over by `now`, for which others vouch. What is too much
/// for one step stands in its rows.
pub(super) fn end(
    feed: &mut Feed,
    txn: &mut Txn<'_>,
    over: &[Embargo],
    now: Timestamp,
) -> Result<(), ReadError> {
    let mut step = Step { now, looked_at: 0, found: 0, kept: BTreeMap::new() };
    for embargo in over {
        if step.looked_at + step.found >= MOST_LOOKED_AT {
            break;
        }
        step.found += 1;
        let (key, _) = embargo.row();
        let Some(value) = txn.get(Cf::Embargoes, &key)? else { continue };
        let rest = match *embargo {
            Embargo::Message { ends, message } => step.message(feed, txn, (ends, message), &value)?,
            Embargo::Row { group, added, until } => {
                step.row(feed, txn, (group, added.as_micros()), until)?;
                None
            }
            Embargo::Object { group, object, member } => {
                let fault = |_| damaged(Cf::Embargoes, &key, "does not decode");
                let gone = Gone::decode(value.as_slice()).map_err(fault)?;
                step.object(feed, txn, (group, &object), member, gone)?
            }
        };
        match rest {
            Some(rest) => txn.put(Cf::Embargoes, key, rest),
            None => txn.delete(Cf::Embargoes, key),
        }
    }
    Ok(())
}

impl Step {
    /// The end of a message's embargo, of its rows behind the date that `done` says; what to say of the rest, if any is left.
    fn message(
        &mut self,
        feed: &mut Feed,
        txn: &mut Txn<'_>,
        (ends, message): (Timestamp, MessageId),
        done: &[u8],
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(group) = group_of(txn, message)? else { return Ok(None) };
        let mut through = done.try_into().map_or(0, u64::from_be_bytes);
        let mut dates = messages::dates_of(txn, message)?;
        dates.retain(|date| *date > through);
        dates.sort_unstable();
        for date in dates {
            if self.is_full() {
                return Ok(Some(through.to_be_bytes().to_vec()));
            }
            through = date;
            self.looked_at += 1;
            let Some(value) = removal::row(txn, group, date)? else { continue };
            let others = removal::reporters(txn, group, date)?;
            self.looked_at += others.len();
            let saying = saying(txn, &value, &others, message)?;
            // Another of its objects may be under another one.
            let Some(saying) = saying.filter(|saying| saying.until == ends.as_micros()) else { continue };
            let_go(txn, &Lapsed { group, date, value: &value, saying: &saying })?;
            // What its author asks where it only says another's words holds back its name alone.
            if value.member == saying.member.as_ref() {
                self.meet(feed, txn, (group, date), (value, &others), ends)?;
            }
        }
        Ok(None)
    }

    /// A row that is no longer kept inside by what kept it until then.
    fn row(
        &mut self,
        feed: &mut Feed,
        txn: &mut Txn<'_>,
        (group, date): (GroupId, u64),
        until: Timestamp,
    ) -> Result<(), ReadError> {
        let Some(value) = removal::row(txn, group, date)? else { return Ok(()) };
        let others = removal::reporters(txn, group, date)?;
        self.looked_at += 1 + others.len();
        self.meet(feed, txn, (group, date), (value, &others), until)
    }

    /// What others than this member say of an object that it kept inside until then, but for its owner; what to say of the rest, if
    /// any is left.
    fn object(
        &mut self,
        feed: &mut Feed,
        txn: &mut Txn<'_>,
        (group, object): (GroupId, &[u8]),
        member: MemberId,
        mut gone: Gone,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let object = Key::group(group).bytes(object).done();
        let claims = removal::claims_of(txn, &object)?;
        self.found += claims.said.len() / ENTRIES_A_ROW;
        if claims.said.iter().all(|(_, by)| *by == member.as_ref()) {
            return Ok(None);
        }
        let firsts = Firsts::of(&claims, |date| removal::row(txn, group, date))?;
        self.found += firsts.opened;
        self.keepers(txn, &object)?.owner = Some(firsts.owner(None));
        // The owner's was never kept; who it was may be gone by now.
        let owner = firsts.owner(gone.claimed(member));
        let until = Timestamp::from_micros(gone.until);
        for (date, by) in claims.said {
            if date <= gone.through || by == member.as_ref() || owner.is(&by) {
                continue;
            }
            if self.is_full() {
                // Before this date: others may say the same row.
                gone.through = date - 1;
                return Ok(Some(gone.encode_to_vec()));
            }
            self.looked_at += 1;
            // It may say only what another one said before: that is looked at by that one's claim.
            let Some(value) = removal::row(txn, group, date)?.filter(|value| value.member == by) else {
                continue;
            };
            let others = removal::reporters(txn, group, date)?;
            self.looked_at += others.len();
            self.meet(feed, txn, (group, date), (value, &others), until)?;
        }
        Ok(None)
    }

    /// Whether the rest is to wait for the next step. What was found of objects counts less: it would be found again, and the
    /// entries of one may be [`super::ownership::MOST_CLAIMS`].
    const fn is_full(&self) -> bool {
        self.looked_at >= MOST_LOOKED_AT || self.found >= 8 * MOST_LOOKED_AT && self.looked_at > 0
    }

    /// Lets readers outside meet a row that was kept inside until then, unless they met it since, or something else keeps it inside.
    fn meet(
        &mut self,
        feed: &mut Feed,
        txn: &mut Txn<'_>,
        (group, date): (GroupId, u64),
        (value, others): (ObjectValue, &[Reporter]),
        until: Timestamp,
    ) -> Result<(), ReadError> {
        // A date that lies ahead is of a clock that ran ahead, and says nothing of what was before it.
        let newest = txn.now.as_micros().saturating_add(AHEAD);
        let is_since = |met: u64| (until.as_micros()..=newest).contains(&met);
        let is_met = is_since(date) || is_since(value.surfaced);
        if value.tombstone || value.stands_for > 0 || is_met || !may_leave(&value) {
            return Ok(());
        }
        if asked_by_author(txn, &value, others)? > self.now.as_micros() || self.is_kept(txn, group, &value)? {
            return Ok(());
        }
        surface(feed, txn, group, date, value)
    }

    /// Whether others keep a row inside.
    fn is_kept(&mut self, txn: &Txn<'_>, group: GroupId, value: &ObjectValue) -> Result<bool, ReadError> {
        let object = objects::by_id(&txn.db.vault, group, &value.id);
        let now = self.now.as_micros();
        let keepers = self.keepers(txn, &object)?;
        if keepers.but(&value.member).is_none_or(|until| until <= now) {
            return Ok(false);
        }
        if let Some(owner) = keepers.owner {
            return Ok(!owner.is(&value.member));
        }
        let claims = removal::claims_of(txn, &object)?;
        let firsts = Firsts::of(&claims, |date| removal::row(txn, group, date))?;
        let owner = firsts.owner(None);
        self.found += claims.said.len() / ENTRIES_A_ROW + firsts.opened;
        self.keepers(txn, &object)?.owner = Some(owner);
        Ok(!owner.is(&value.member))
    }

    /// Who keeps an object inside; found once. Those that go in this step are over, and count for nothing.
    fn keepers(&mut self, txn: &Txn<'_>, object: &[u8]) -> Result<&mut Keepers, ReadError> {
        Ok(match self.kept.entry(object.to_vec()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let keepers = Keepers::within(txn, object)?;
                self.found += keepers.members();
                new.insert(keepers)
            }
        })
    }
}

/// The group of a message that is here.
fn group_of(txn: &Txn<'_>, message: MessageId) -> Result<Option<GroupId>, ReadError> {
    let place = messages::place(txn, message)?;
    let place = place.as_deref().and_then(|place| place.get(..columns::PLACE_LEN));
    Ok(place.and_then(columns::read_place).map(|(group, ..)| group))
}

/// What a message asks where it says a row that these say, too, under an embargo; `None` if it does not, or in other words, which
/// nobody is shown.
pub(super) fn saying(
    txn: &Txn<'_>,
    value: &ObjectValue,
    others: &[Reporter],
    message: MessageId,
) -> Result<Option<Saying>, ReadError> {
    let (member, until) = if value.message == message.as_ref() {
        (MemberId::try_from(value.member.as_slice()).ok(), until(value.conditions.as_ref()))
    } else {
        let Some(other) = others.iter().find(|other| other.message == message && !other.differs) else {
            return Ok(None);
        };
        (Some(other.member), until(said(txn, &other.key)?.conditions.as_ref()))
    };
    Ok(member.filter(|_| until > 0).map(|member| Saying { member, message, until }))
}

/// A saying of this row went, and what it asked for with it: what it kept inside is due, as far as it is left.
pub(super) fn lift(txn: &mut Txn<'_>, lapsed: &Lapsed<'_>) -> Result<(), ReadError> {
    let_go(txn, lapsed)?;
    let &Lapsed { group, date, value, saying } = lapsed;
    // What its author asks where it only says another's words holds back its name alone.
    let is_own = value.member == saying.member.as_ref();
    if is_own && txn.get(Cf::Objects, &columns::object(group, date))?.is_some() {
        let until = Timestamp::from_micros(saying.until).min(txn.now);
        let (key, value) = Embargo::Row { group, added: Timestamp::from_micros(date), until }.row();
        txn.put(Cf::Embargoes, key, value);
    }
    Ok(())
}

/// Takes away by object what a saying asked for; what others say of the object is due then. Of one that was over before nothing
/// is left to be taken away. Looks at none of what is said.
fn let_go(txn: &mut Txn<'_>, &Lapsed { group, date, value, saying }: &Lapsed<'_>) -> Result<(), ReadError> {
    if !is_finding(&value.kind) {
        return Ok(());
    }
    let object = txn.db.vault.blind(group, "object", &value.id);
    let place = Key::group(group).bytes(&object).done();
    let keeper = keeper(&place, saying.member.as_ref(), saying.until, saying.message.as_ref());
    let (due, _) = Embargo::Object { group, object, member: saying.member }.row();
    let noted = txn.message::<Gone>(Cf::Embargoes, &due)?;
    let is_there = txn.get(Cf::Embargoes, &keeper)?.is_some();
    if is_there {
        txn.delete(Cf::Embargoes, keeper);
    } else if noted.is_none() {
        return Ok(());
    }
    let before = noted.clone().unwrap_or_default();
    let mut gone = before.clone();
    if is_there {
        // Until it goes: what is met since was free.
        (gone.until, gone.through) = (gone.until.max(saying.until.min(txn.now.as_micros())), 0);
    }
    let arrived = value.arrived_at(date);
    if value.member == saying.member.as_ref() && (gone.added == 0 || arrived < gone.added) {
        (gone.added, gone.created, gone.message) = (arrived, value.created, value.message.clone());
    }
    if noted.is_none() || gone != before {
        txn.put(Cf::Embargoes, due, gone.encode_to_vec());
    }
    Ok(())
}

/// Until when its author keeps a row inside, in microseconds, as often as it says it.
fn asked_by_author(txn: &Txn<'_>, value: &ObjectValue, others: &[Reporter]) -> Result<u64, ReadError> {
    let mut last = until(value.conditions.as_ref());
    for other in others.iter().filter(|other| !other.differs && value.member == other.member.as_ref()) {
        last = last.max(until(said(txn, &other.key)?.conditions.as_ref()));
    }
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

#[cfg(test)]
mod tests;
