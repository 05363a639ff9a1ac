//! STIX objects as rows: stored in the order they came ([`super::claims`]), found by id, type and observable.
//!
//! Values lie clustered under (group, date added), so a page is one range scan. Claims of one object id by
//! several members are all kept; equal bytes under equal marking merge, and who else said so is a reporter.
//! `date_added` never moves once given. Readers outside meet what came under an embargo where it surfaced ([`super::embargo`]).

use std::{collections::BTreeSet, ops::ControlFlow};

use belfry_proto::{
    id::{GroupId, MemberId, MessageId, PublicationId, Serial},
    schema,
    stix::marking::Tlp,
    time::Timestamp,
};
use prost::Message;
use rocksdb::DBRawIterator;

use super::{
    ReadError, Store,
    columns::{self, Cf, Key},
    db::Db,
    embargo::Known,
    leaving,
    observables::Most,
    presence::Of,
    purge,
    removal::{self, Reporter},
    rows::Conditions,
    txn::Txn,
    values::{DatesValue, ObjectValue, ReporterValue},
    vault::{Vault, damaged},
};

/// Messages that say one row's bytes again and are looked at. Too low ⇒ whoever repeats them keeps an object from tools outside,
/// for what the others ask is not known, too high ⇒ each look at such an object reads so many rows.
const MAX_SAYINGS: usize = if cfg!(test) { 64 } else { 1024 };

/// Rows of one object that are opened; beyond it an object is not news but a log. Each member has its share of them.
pub(super) const MAX_VERSIONS: usize = 1024;

/// An object as read, with everything that says who may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectView {
    /// Group.
    pub group: GroupId,
    /// When this node first had it, or let it be met again; unique in the group.
    pub date_added: Timestamp,
    /// When this node first had it, wherever it was moved since: whose the object is goes by that.
    pub arrived: Timestamp,
    /// When its embargo was over, if one ended while it was here: readers outside meet it at this date.
    pub surfaced: Option<Timestamp>,
    /// Until when an embargo that others ask for keeps it from readers outside, whatever its author asks; none of its owner's.
    pub kept_until: Option<Timestamp>,
    /// It came to the place of another version of the object that is gone.
    pub outlived: bool,
    /// STIX id.
    pub id: String,
    /// STIX type.
    pub kind: String,
    /// `modified`, else `created`, else empty.
    pub version: String,
    /// Effective marking.
    pub tlp: Tlp,
    /// Whether it says `revoked: true`.
    pub revoked: bool,
    /// Whether it came for named members.
    pub recipients: bool,
    /// Who said it.
    pub member: MemberId,
    /// With which certificate.
    pub serial: Serial,
    /// In which message.
    pub message: MessageId,
    /// In which publication.
    pub publication: PublicationId,
    /// Author's clock.
    pub created: Timestamp,
    /// Stated purpose, as on the wire.
    pub purpose: i32,
    /// Stated classes, as on the wire.
    pub classes: Vec<i32>,
    /// What its author asks of whoever handles it.
    pub conditions: Conditions,
    /// The author's JSON.
    pub raw: Vec<u8>,
    /// Says that the object is gone, in its author's stead: no author's JSON.
    pub tombstone: bool,
    /// Of a tombstone: its member or a steward withdrew the object. Else the log it came in keeps it hidden.
    pub withdrawn: bool,
    /// Members besides the author that published the same bytes under the same marking.
    pub reporters: Vec<MemberId>,
    /// What each of these, and the author where it said so more than once, asks of whoever handles it; only those that
    /// ask anything.
    pub asked_again: Vec<(MemberId, Conditions)>,
    /// It was said more often than is looked at: others may ask more.
    pub said_beyond: bool,
    /// Purpose and classes, as on the wire, that the same bytes were published with besides: which publication came first
    /// differs from node to node.
    pub also_stated: Vec<(i32, Vec<i32>)>,
}

/// Writes a row with the entries that lead to it by type and, for its author and these reporters, by observable.
pub(super) fn put_row(
    txn: &mut Txn<'_>,
    group: GroupId,
    date_added: u64,
    value: &ObjectValue,
    reporters: &[Reporter],
) {
    txn.put_sealed(group, Cf::Objects, columns::object(group, date_added), &value.encode_to_vec());
    let tlp = u8::try_from(value.tlp).unwrap_or(u8::MAX);
    txn.put(Cf::ByType, by_type(group, &value.kind, date_added), vec![tlp]);
    for key in led_by(group, date_added, value, reporters) {
        txn.put(Cf::Observables, key, Vec::new());
    }
}

/// Takes away what leads to a row, and the row.
pub(super) fn delete_row(
    txn: &mut Txn<'_>,
    group: GroupId,
    date_added: u64,
    value: &ObjectValue,
    reporters: &[Reporter],
) {
    txn.delete(Cf::Objects, columns::object(group, date_added));
    txn.delete(Cf::ByType, by_type(group, &value.kind, date_added));
    delete_surfaced(txn, group, value);
    for key in led_by(group, date_added, value, reporters) {
        txn.delete(Cf::Observables, key);
    }
}

/// Writes the row that stands for one at `date_added`, for readers outside, with the entry that leads to it by type.
pub(super) fn put_surfaced(txn: &mut Txn<'_>, group: GroupId, date_added: u64, value: &ObjectValue) {
    let stands = ObjectValue {
        kind: value.kind.clone(),
        tlp: value.tlp,
        stands_for: date_added,
        ..ObjectValue::default()
    };
    let key = columns::object(group, value.surfaced);
    txn.put_sealed(group, Cf::Objects, key, &stands.encode_to_vec());
    let tlp = u8::try_from(value.tlp).unwrap_or(u8::MAX);
    txn.put(Cf::ByType, by_type(group, &value.kind, value.surfaced), vec![tlp]);
}

/// Takes away the row that stands for this one, if there is any.
pub(super) fn delete_surfaced(txn: &mut Txn<'_>, group: GroupId, value: &ObjectValue) {
    if value.surfaced > 0 {
        txn.delete(Cf::Objects, columns::object(group, value.surfaced));
        txn.delete(Cf::ByType, by_type(group, &value.kind, value.surfaced));
    }
}

/// Entries by observable of a row's author and of those who say its bytes, too.
fn led_by(group: GroupId, date_added: u64, value: &ObjectValue, reporters: &[Reporter]) -> Vec<Vec<u8>> {
    let same = reporters.iter().filter(|reporter| !reporter.differs).map(|reporter| reporter.member.to_vec());
    let members: BTreeSet<Vec<u8>> = same.chain([value.member.clone()]).collect();
    let of = |member: &Vec<u8>| {
        let keys = value.observables.iter().map(|tag| columns::observable(group, tag, member, date_added));
        keys.collect::<Vec<_>>()
    };
    members.iter().flat_map(of).collect()
}

/// Takes away what leads to a row by a member that says it no more.
pub(super) fn unlead(
    txn: &mut Txn<'_>,
    group: GroupId,
    date_added: u64,
    value: &ObjectValue,
    member: MemberId,
) {
    for tag in &value.observables {
        txn.delete(Cf::Observables, columns::observable(group, tag, member.as_ref(), date_added));
    }
}

/// Places a message's rows had before that are remembered with it, or four for each row; those beyond leave the disk
/// at once. Moving is rare: another claim of the object goes, or the log is hidden and shown again.
const MOST_PLACES: usize = 64;

/// Notes that rows of a message lie at these dates no more.
pub(super) fn left(txn: &mut Txn<'_>, group: GroupId, said: &mut DatesValue, dates: &[u64]) {
    let most = MOST_PLACES.max(4 * dates.len().max(said.dates.len()).max(said.goes.len()));
    said.was.extend(dates);
    let over = said.was.len().saturating_sub(most);
    for date in said.was.drain(..over) {
        purge::put(txn, Cf::Objects, &columns::object(group, date));
    }
}

/// Where the entries of an object begin in [`Cf::ById`]; what it lost stands there in [`Cf::Bereft`].
pub(super) fn by_id(vault: &Vault, group: GroupId, id: &str) -> Vec<u8> {
    Key::group(group).bytes(&vault.blind(group, "object", id)).done()
}

/// Where the entries of a type begin in [`Cf::ByType`].
pub(super) fn of_type(group: GroupId, kind: &str) -> Key {
    Key::group(group).bytes(kind.as_bytes()).bytes(&[0])
}

pub(super) fn by_type(group: GroupId, kind: &str, date_added: u64) -> Vec<u8> {
    of_type(group, kind).u64(date_added).done()
}

/// What is found once for many rows, when it is first needed. All of them are to have been there before the first is read, or before
/// [`Self::forget`]: who came to keep one inside since is not looked for.
#[derive(Default)]
pub(super) struct Reading<'a> {
    reporters: Option<DBRawIterator<'a>>,
    keepers: Known,
}

impl Reading<'_> {
    pub(super) const fn new() -> Self {
        Self { reporters: None, keepers: Known::new() }
    }

    /// Who keeps objects inside is looked for anew.
    pub(super) fn forget(&mut self) {
        self.keepers.clear();
    }

    /// No row of who else says an object was looked for.
    #[cfg(test)]
    pub(super) const fn asked_nobody_else(&self) -> bool {
        self.reporters.is_none()
    }
}

/// What is stored at a date, and stays.
pub(super) fn stored(db: &Db, group: GroupId, date: u64) -> Result<Option<ObjectValue>, ReadError> {
    let key = columns::object(group, date);
    let Some(plain) = db.get_sealed(Cf::Objects, &key)? else { return Ok(None) };
    let value = ObjectValue::decode(plain.as_slice());
    let value = value.map_err(|_| damaged(Cf::Objects, &key, "does not decode"))?;
    leaving::left_of(db, (group, date), value)
}

/// A row; `None` if it only stands for another, or goes with its message.
pub(super) fn read_row<'a>(
    db: &'a Db,
    reading: &mut Reading<'a>,
    key: &[u8],
    sealed: &[u8],
) -> Result<Option<ObjectView>, ReadError> {
    let fault = || damaged(Cf::Objects, key, "does not decode");
    let (group, date) = columns::read_object(key).ok_or_else(fault)?;
    let plain = db.vault.open(Cf::Objects, key, sealed)?;
    let value = ObjectValue::decode(plain.as_slice()).map_err(|_| fault())?;
    if value.stands_for > 0 {
        return Ok(None);
    }
    let Some(value) = leaving::left_of(db, (group, date), value)? else { return Ok(None) };
    let Reporters { members, asked, stated, is_cut } =
        reporters(db, &mut reading.reporters, (group, date), &value)?;
    Ok(Some(ObjectView {
        group,
        date_added: Timestamp::from_micros(date),
        arrived: Timestamp::from_micros(value.arrived_at(date)),
        outlived: value.outlived,
        surfaced: (value.surfaced > 0).then_some(Timestamp::from_micros(value.surfaced)),
        kept_until: reading.keepers.kept_by_others(db, group, &value)?,
        // A marking this version does not know is the most restrictive.
        tlp: schema::Tlp::try_from(value.tlp).ok().and_then(Option::<Tlp>::from).unwrap_or(Tlp::Red),
        id: value.id,
        kind: value.kind,
        version: value.version,
        revoked: value.revoked,
        recipients: value.recipients,
        member: MemberId::try_from(value.member.as_slice()).map_err(|_| fault())?,
        serial: Serial::new(value.serial),
        message: MessageId::try_from(value.message.as_slice()).map_err(|_| fault())?,
        publication: PublicationId::try_from(value.publication.as_slice()).map_err(|_| fault())?,
        created: Timestamp::from_micros(value.created),
        purpose: value.purpose,
        classes: value.classes,
        conditions: value.conditions.unwrap_or_default(),
        raw: value.raw,
        tombstone: value.tombstone,
        withdrawn: removal::End::of(value.end).is_withdrawal(),
        reporters: members,
        asked_again: asked,
        said_beyond: is_cut,
        also_stated: stated,
    }))
}

#[derive(Default)]
struct Reporters {
    members: Vec<MemberId>,
    asked: Vec<(MemberId, Conditions)>,
    stated: Vec<(i32, Vec<i32>)>,
    /// More follow.
    is_cut: bool,
}

/// Other members that say the same bytes, and what all who do ask of whoever handles them and state of their publications.
fn reporters<'a>(
    db: &'a Db,
    rows: &mut Option<DBRawIterator<'a>>,
    (group, date_added): (GroupId, u64),
    said: &ObjectValue,
) -> Result<Reporters, ReadError> {
    let prefix = columns::object(group, date_added);
    let mut found = Reporters::default();
    if db.presence.lacks(Of::Reported, &prefix) {
        return Ok(found);
    }
    let rows = rows.get_or_insert_with(|| db.searched(Cf::Reporters));
    rows.seek(&prefix);
    for _ in 0..MAX_SAYINGS {
        let Some((key, sealed)) = rows.item().filter(|(key, _)| key.starts_with(&prefix)) else { break };
        let fault = |what| damaged(Cf::Reporters, key, what);
        let (member, message, differs) = columns::read_reporter(key).ok_or_else(|| fault("has no member"))?;
        // What goes says nothing, and what stands in its place says it there.
        let counts = said.message != message.as_ref() && !db.leaving.has(message);
        if !differs && counts {
            if said.member != member.as_ref() && found.members.last() != Some(&member) {
                found.members.push(member);
            }
            let plain = db.vault.open(Cf::Reporters, key, sealed)?;
            let value = ReporterValue::decode(plain.as_slice()).map_err(|_| fault("does not decode"))?;
            let asks = value.conditions.unwrap_or_default();
            if asks.pap != 0 || asks.embargo_until != 0 || !asks.terms.is_empty() {
                found.asked.push((member, asks));
            }
            let stated = (value.purpose, value.classes);
            if !found.stated.contains(&stated) {
                found.stated.push(stated);
            }
        }
        rows.next();
    }
    found.is_cut = rows.item().is_some_and(|(key, _)| key.starts_with(&prefix));
    db.ended(rows)?;
    Ok(found)
}

impl Store {
    /// Rows of a column for many looks, as they are now.
    pub(super) fn rows_of(&self, cf: Cf) -> DBRawIterator<'_> {
        self.db.rocks.raw_iterator_cf(self.db.cf(cf))
    }

    /// Shows objects of a group one by one, in order of date added, until `visit` breaks off; whether it did.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn each_object(
        &self,
        group: GroupId,
        after: Option<Timestamp>,
        mut visit: impl FnMut(ObjectView) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let start = after.map_or(0, |after| after.as_micros().saturating_add(1));
        let prefix = Key::group(group).done();
        let rows = self.db.scan(Cf::Objects, &columns::object(group, start), &prefix);
        let mut reading = Reading::new();
        for row in rows {
            let (key, sealed) = row?;
            if let Some(view) = read_row(&self.db, &mut reading, &key, &sealed)?
                && visit(view).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Shows objects of one type that were added before a time, or all, one by one, the newest first, until `visit` breaks off
    /// or `examine` were looked at; if that was before the last, when the one looked at last was added.
    ///
    /// # Errors
    /// [`ReadError`], or `visit`'s.
    pub fn each_newest<E: From<ReadError>>(
        &self,
        group: GroupId,
        kind: &str,
        (before, examine): (Option<Timestamp>, usize),
        mut visit: impl FnMut(ObjectView) -> Result<ControlFlow<()>, E>,
    ) -> Result<Option<Timestamp>, E> {
        let prefix = of_type(group, kind).done();
        let start = before.map_or(u64::MAX, |before| before.as_micros().saturating_sub(1));
        let mut rows = self.db.scan_back(Cf::ByType, &by_type(group, kind, start), &prefix);
        let (mut last, mut reading) = (None, Reading::new());
        for _ in 0..examine {
            let Some(row) = rows.next() else { return Ok(None) };
            let (key, _) = row?;
            let date = key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            last = Some(Timestamp::from_micros(date));
            if let Some(view) = self.object_with(&mut reading, group, Timestamp::from_micros(date))?
                && visit(view)?.is_break()
            {
                break;
            }
        }
        Ok(last.filter(|_| rows.next().is_some()))
    }

    /// The object added to a group at exactly this time.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn object_at(&self, group: GroupId, date_added: Timestamp) -> Result<Option<ObjectView>, ReadError> {
        self.object_with(&mut Reading::new(), group, date_added)
    }

    /// [`Self::object_at`] of many.
    pub(super) fn object_with<'a>(
        &'a self,
        reading: &mut Reading<'a>,
        group: GroupId,
        date_added: Timestamp,
    ) -> Result<Option<ObjectView>, ReadError> {
        let key = columns::object(group, date_added.as_micros());
        let sealed = self.db.get(Cf::Objects, &key)?;
        sealed.map_or(Ok(None), |sealed| read_row(&self.db, reading, &key, &sealed))
    }

    /// Objects that name an observable, at most `most`, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn lookup(
        &self,
        group: GroupId,
        kind: &str,
        value: &str,
        most: usize,
    ) -> Result<Vec<ObjectView>, ReadError> {
        let entered = self.entered(group, kind, value, Most { by_member: most, all: most })?;
        let (mut found, mut reading) = (Vec::new(), Reading::new());
        for date in entered.dates.into_iter().rev() {
            found.extend(self.object_with(&mut reading, group, date)?);
        }
        Ok(found)
    }

    /// Bytes of the database's files on disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn disk_size(&self) -> Result<u64, ReadError> {
        Ok(super::size(&self.db.path))
    }
}

/// All versions at once, as nothing but a test may hold them.
#[cfg(test)]
impl Store {
    /// [`super::Looks::versions_of`], in order of date added.
    pub(crate) fn versions(&self, group: GroupId, id: &str) -> Result<Vec<ObjectView>, ReadError> {
        self.looks().versions_of(group, id)?.rows.collect()
    }

    /// [`super::Looks::versions_by`], in order of date added.
    pub(crate) fn versions_by(
        &self,
        group: GroupId,
        id: &str,
        member: MemberId,
    ) -> Result<Vec<ObjectView>, ReadError> {
        self.looks().versions_by(group, id, member)?.collect()
    }
}

#[cfg(test)]
mod tests;
