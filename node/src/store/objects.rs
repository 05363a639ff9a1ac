//! STIX objects: stored in the order they came, found by id, type and observable.
//!
//! Values lie clustered under (group, date added), so a page is one range scan. Claims of one object id by
//! several members are all kept; equal bytes under equal marking merge, and who else said so is a reporter.
//! `date_added` never moves once given.

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
    apply::tlp_byte,
    columns::{self, Cf, Key},
    observables::Most,
    open::Db,
    purge,
    removal::{self, Reporter},
    rows::{Conditions, ObjectRow, OpenedRows},
    txn::Txn,
    values::{ClaimValue, DatesValue, ObjectValue, ReporterValue},
    vault::{Packed, Vault, damaged},
};

/// Claims of one version of one object looked at for equal bytes.
pub(super) const MAX_CLAIMS: usize = 64;

/// Messages that say one row's bytes again and are looked at. Too low ⇒ whoever repeats them keeps an object from tools outside,
/// for what the others ask is not known, too high ⇒ each look at such an object reads so many rows.
const MAX_SAYINGS: usize = if cfg!(test) { 64 } else { 1024 };

/// Versions and claims of one object id that are looked at; beyond it an object is not news but a log.
pub(super) const MAX_VERSIONS: usize = 1024;

/// An object as read, with everything that says who may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectView {
    /// Group.
    pub group: GroupId,
    /// When this node first had it; unique in the group.
    pub date_added: Timestamp,
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

/// Which objects of a group.
#[derive(Clone, Debug, Default)]
pub struct PageQuery {
    /// Strictly after this date added.
    pub after: Option<Timestamp>,
    /// Only these types; unset for all.
    pub kinds: Option<Vec<String>>,
    /// Rows to look at before answering with `more`.
    pub examine: usize,
}

/// Rows in order of date added.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<ObjectView>,
    /// Up to where rows were looked at; `None` if there were none.
    pub next_after: Option<Timestamp>,
    /// Whether rows follow.
    pub more: bool,
}

/// A stretch of the feed.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// Numbered objects.
    pub rows: Vec<(u64, ObjectView)>,
    /// Number of the last entry looked at.
    pub position: u64,
    /// Whether entries follow.
    pub more: bool,
}

/// One object of one publication on its way in, with its places in the indexes: everything about it that does
/// not depend on when it comes, so that the one writer need not make it.
pub(super) struct Claim {
    group: GroupId,
    member: MemberId,
    message: MessageId,
    marking: [u8; 2],
    /// group ‖ H(id) ‖ H(version).
    version: Vec<u8>,
    raw_tag: Vec<u8>,
    kind: String,
    tlp: u8,
    value: Packed,
    /// What its message is noted with, should another one have said it before.
    reporter: Vec<u8>,
    /// H(kind, value) of each observable.
    observables: Vec<[u8; 16]>,
}

impl Claim {
    /// Every object of a publication part, in its order.
    pub(super) fn all_of(vault: &Vault, group: GroupId, mut content: OpenedRows) -> Vec<Self> {
        let objects = std::mem::take(&mut content.objects);
        objects.into_iter().map(|object| Self::of(vault, group, &content, object)).collect()
    }

    fn of(vault: &Vault, group: GroupId, content: &OpenedRows, object: ObjectRow) -> Self {
        let id = vault.blind(group, "object", &object.id);
        let version = vault.blind(group, "version", &object.version);
        let marking = [tlp_byte(object.tlp), u8::from(content.recipients)];
        let observables: Vec<[u8; 16]> =
            object.observables.iter().map(|(kind, observed)| vault.blind(group, kind, observed)).collect();
        let stated = object.stated.as_ref();
        let conditions = content.conditions.of_object(object.pap, stated);
        // What an object says of itself counts instead of what its message says of all.
        let purpose = stated.and_then(|stated| stated.purpose).map_or(content.purpose, i32::from);
        let class = stated.and_then(|stated| stated.class);
        let classes = class.map_or_else(|| content.classes.clone(), |class| vec![i32::from(class)]);
        let raw_tag = vault.tag("raw", &[marking.as_slice(), &object.raw].concat()).to_vec();
        let kind = object.kind.clone();
        let value = ObjectValue {
            id: object.id,
            kind: object.kind,
            version: object.version,
            tlp: object.tlp.into(),
            revoked: object.revoked,
            recipients: content.recipients,
            member: content.member.to_vec(),
            serial: content.serial.get(),
            message: content.message.to_vec(),
            publication: content.publication.to_vec(),
            created: content.created.as_micros(),
            purpose,
            classes: classes.clone(),
            raw: object.raw,
            observables: observables.iter().map(|tag| tag.to_vec()).collect(),
            tombstone: false,
            conditions: Some(conditions.clone()),
            end: 0,
        };
        let reporter = ReporterValue {
            serial: content.serial.get(),
            publication: content.publication.to_vec(),
            created: content.created.as_micros(),
            purpose,
            classes,
            conditions: Some(conditions),
        };
        Self {
            group,
            member: content.member,
            message: content.message,
            marking,
            version: Key::group(group).bytes(&id).bytes(&version).done(),
            raw_tag,
            kind,
            tlp: tlp_byte(object.tlp),
            value: Packed::of(&value.encode_to_vec()),
            reporter: reporter.encode_to_vec(),
            observables,
        }
    }

    /// Where the claim stands if another one of the same version came first.
    fn key(&self) -> Vec<u8> {
        [self.version.as_slice(), self.member.as_ref(), &self.marking].concat()
    }

    fn entry(&self, date_added: u64) -> ClaimValue {
        ClaimValue {
            date_added,
            raw_tag: self.raw_tag.clone(),
            member: self.member.to_vec(),
            marking: self.marking.to_vec(),
        }
    }
}

/// Where a claim is entered.
pub(super) enum Place {
    /// The first claim of its version has a key of its own, so that news are told by one look.
    First,
    Further,
    /// It needs no row: the same member said it before, or another member said the same bytes under the same
    /// marking.
    Known(Known),
}

/// The row that already says what a claim says.
pub(super) struct Known {
    pub(super) date_added: u64,
    /// Under the same version, but in other words: the first ones stay.
    differs: bool,
    /// The claiming member has no entry of its own yet.
    is_new_member: bool,
}

/// Where this claim goes.
pub(super) fn place(txn: &Txn<'_>, claim: &Claim) -> Result<Place, ReadError> {
    let decode = |key: &[u8], value: &[u8]| {
        ClaimValue::decode(value).map_err(|_| damaged(Cf::ById, key, "does not decode"))
    };
    let own = |entry: &ClaimValue| {
        let differs = entry.raw_tag != claim.raw_tag;
        Place::Known(Known { date_added: entry.date_added, differs, is_new_member: false })
    };
    let Some(first) = txn.get(Cf::ById, &claim.version)? else { return Ok(Place::First) };
    let first = decode(&claim.version, &first)?;
    if first.member == claim.member.as_ref() && first.marking == claim.marking {
        return Ok(own(&first));
    }
    let key = claim.key();
    if let Some(further) = txn.get(Cf::ById, &key)? {
        return Ok(own(&decode(&key, &further)?));
    }
    for (found, value) in txn.prefixed(Cf::ById, &claim.version, MAX_CLAIMS)? {
        let other = decode(&found, &value)?;
        if other.raw_tag == claim.raw_tag {
            let date_added = other.date_added;
            return Ok(Place::Known(Known { date_added, differs: false, is_new_member: true }));
        }
    }
    Ok(Place::Further)
}

/// Notes that this claim's message says a row's bytes too, or the row's version in other words: either
/// surfaces should the row's author be hidden.
pub(super) fn join(txn: &mut Txn<'_>, claim: &Claim, known: &Known) {
    if known.is_new_member {
        txn.put(Cf::ById, claim.key(), claim.entry(known.date_added).encode_to_vec());
    }
    let key = columns::reporter(claim.group, known.date_added, claim.member, claim.message, known.differs);
    txn.put_sealed(claim.group, Cf::Reporters, key, &claim.reporter);
    if !known.differs {
        for tag in &claim.observables {
            let key = columns::observable(claim.group, tag, claim.member.as_ref(), known.date_added);
            txn.put(Cf::Observables, key, Vec::new());
        }
    }
}

/// Writes the row and its index entries.
pub(super) fn insert(txn: &mut Txn<'_>, claim: &Claim, place: &Place, date_added: u64) {
    let group = claim.group;
    txn.put_packed(group, Cf::Objects, columns::object(group, date_added), &claim.value);
    let key = match place {
        Place::First => claim.version.clone(),
        Place::Further | Place::Known(_) => claim.key(),
    };
    txn.put(Cf::ById, key, claim.entry(date_added).encode_to_vec());
    txn.put(Cf::ByType, by_type(group, &claim.kind, date_added), vec![claim.tlp]);
    for tag in &claim.observables {
        txn.put(
            Cf::Observables,
            columns::observable(group, tag, claim.member.as_ref(), date_added),
            Vec::new(),
        );
    }
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
    for key in led_by(group, date_added, value, reporters) {
        txn.delete(Cf::Observables, key);
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
    let most = MOST_PLACES.max(4 * dates.len().max(said.dates.len()));
    said.was.extend(dates);
    let over = said.was.len().saturating_sub(most);
    for date in said.was.drain(..over) {
        purge::put(txn, Cf::Objects, &columns::object(group, date));
    }
}

/// The last date added in a group; 0 if it is empty.
pub(super) fn last_date(db: &Db, group: GroupId) -> Result<u64, ReadError> {
    let end = columns::object(group, u64::MAX);
    let row = db
        .rocks
        .iterator_cf(db.cf(Cf::Objects), rocksdb::IteratorMode::From(&end, rocksdb::Direction::Reverse))
        .next()
        .transpose()?;
    Ok(row
        .and_then(|(key, _)| columns::read_object(&key))
        .filter(|(g, _)| *g == group)
        .map_or(0, |(_, date)| date))
}

fn by_type(group: GroupId, kind: &str, date_added: u64) -> Vec<u8> {
    Key::group(group).bytes(kind.as_bytes()).bytes(&[0]).u64(date_added).done()
}

fn read_row(db: &Db, key: &[u8], sealed: &[u8]) -> Result<ObjectView, ReadError> {
    let mut rows = db.rocks.raw_iterator_cf(db.cf(Cf::Reporters));
    read_row_with(db, &mut rows, key, sealed)
}

/// [`read_row`], its reporters looked for in `rows`.
fn read_row_with(
    db: &Db,
    rows: &mut DBRawIterator<'_>,
    key: &[u8],
    sealed: &[u8],
) -> Result<ObjectView, ReadError> {
    let fault = || damaged(Cf::Objects, key, "does not decode");
    let (group, date) = columns::read_object(key).ok_or_else(fault)?;
    let plain = db.vault.open(Cf::Objects, key, sealed)?;
    let value = ObjectValue::decode(plain.as_slice()).map_err(|_| fault())?;
    let Reporters { members, asked, stated, is_cut } = reporters(db, rows, group, date, &value.member)?;
    Ok(ObjectView {
        group,
        date_added: Timestamp::from_micros(date),
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
    })
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
fn reporters(
    db: &Db,
    rows: &mut DBRawIterator<'_>,
    group: GroupId,
    date_added: u64,
    author: &[u8],
) -> Result<Reporters, ReadError> {
    let prefix = columns::object(group, date_added);
    let mut found = Reporters::default();
    rows.seek(&prefix);
    for _ in 0..MAX_SAYINGS {
        let Some((key, sealed)) = rows.item().filter(|(key, _)| key.starts_with(&prefix)) else { break };
        let fault = |what| damaged(Cf::Reporters, key, what);
        let (member, _, differs) = columns::read_reporter(key).ok_or_else(|| fault("has no member"))?;
        if !differs {
            if member.as_ref() != author && found.members.last() != Some(&member) {
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
    /// Objects of a group in order of date added. Looks at no more than `examine` rows.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn page(&self, group: GroupId, query: &PageQuery) -> Result<Page, ReadError> {
        let start = query.after.map_or(0, |after| after.as_micros().saturating_add(1));
        match query.kinds.as_deref() {
            Some([kind]) => self.page_of_kind(group, kind, start, query.examine),
            Some(kinds) => self.page_of_all(group, kinds, start, query.examine),
            None => self.page_of_all(group, &[], start, query.examine),
        }
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
        for row in self.db.scan(Cf::Objects, &columns::object(group, start), &prefix) {
            let (key, sealed) = row?;
            if visit(read_row(&self.db, &key, &sealed)?).is_break() {
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
        let prefix = Key::group(group).bytes(kind.as_bytes()).bytes(&[0]).done();
        let start = before.map_or(u64::MAX, |before| before.as_micros().saturating_sub(1));
        let mut rows = self.db.scan_back(Cf::ByType, &by_type(group, kind, start), &prefix);
        let mut last = None;
        for _ in 0..examine {
            let Some(row) = rows.next() else { return Ok(None) };
            let (key, _) = row?;
            let date = key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            last = Some(Timestamp::from_micros(date));
            if let Some(view) = self.object_at(group, Timestamp::from_micros(date))?
                && visit(view)?.is_break()
            {
                break;
            }
        }
        Ok(last.filter(|_| rows.next().is_some()))
    }

    fn page_of_all(
        &self,
        group: GroupId,
        kinds: &[String],
        start: u64,
        examine: usize,
    ) -> Result<Page, ReadError> {
        let prefix = Key::group(group).done();
        let mut page = Page::default();
        let mut rows = self.db.scan(Cf::Objects, &columns::object(group, start), &prefix);
        for _ in 0..examine {
            let Some(row) = rows.next() else { return Ok(page) };
            let (key, sealed) = row?;
            let view = read_row(&self.db, &key, &sealed)?;
            page.next_after = Some(view.date_added);
            if kinds.is_empty() || kinds.contains(&view.kind) {
                page.rows.push(view);
            }
        }
        page.more = rows.next().is_some();
        Ok(page)
    }

    fn page_of_kind(
        &self,
        group: GroupId,
        kind: &str,
        start: u64,
        examine: usize,
    ) -> Result<Page, ReadError> {
        let prefix = Key::group(group).bytes(kind.as_bytes()).bytes(&[0]).done();
        let mut page = Page::default();
        let mut rows = self.db.scan(Cf::ByType, &by_type(group, kind, start), &prefix);
        for _ in 0..examine {
            let Some(row) = rows.next() else { return Ok(page) };
            let (key, _) = row?;
            let date = key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            page.next_after = Some(Timestamp::from_micros(date));
            page.rows.extend(self.object_at(group, Timestamp::from_micros(date))?);
        }
        page.more = rows.next().is_some();
        Ok(page)
    }

    /// The object added to a group at exactly this time.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn object_at(&self, group: GroupId, date_added: Timestamp) -> Result<Option<ObjectView>, ReadError> {
        let key = columns::object(group, date_added.as_micros());
        self.db.get(Cf::Objects, &key)?.map(|sealed| read_row(&self.db, &key, &sealed)).transpose()
    }

    /// [`Self::object_at`], its reporters looked for in `rows`.
    pub(super) fn object_with(
        &self,
        rows: &mut DBRawIterator<'_>,
        group: GroupId,
        date_added: Timestamp,
    ) -> Result<Option<ObjectView>, ReadError> {
        let key = columns::object(group, date_added.as_micros());
        let sealed = self.db.get(Cf::Objects, &key)?;
        sealed.map(|sealed| read_row_with(&self.db, rows, &key, &sealed)).transpose()
    }

    /// Claims and versions of an object id, the first [`MAX_VERSIONS`], in order of date added.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn versions(&self, group: GroupId, id: &str) -> Result<Vec<ObjectView>, ReadError> {
        let prefix = Key::group(group).bytes(&self.db.vault.blind(group, "object", id)).done();
        let mut dates = Vec::new();
        for row in self.db.scan(Cf::ById, &prefix, &prefix).take(MAX_VERSIONS) {
            let (key, value) = row?;
            let claim =
                ClaimValue::decode(value.as_ref()).map_err(|_| damaged(Cf::ById, &key, "does not decode"))?;
            dates.push(claim.date_added);
        }
        dates.sort_unstable();
        dates.dedup();
        let rows = dates.into_iter().map(|date| self.object_at(group, Timestamp::from_micros(date)));
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().filter(|view| view.id == id).collect())
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
        let rows = entered.dates.into_iter().rev().map(|date| self.object_at(group, date));
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// The feed after a sequence: what was added, in the order it was, over all groups. What is hidden since
    /// is passed over.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn feed_after(&self, sequence: u64, most: usize) -> Result<FeedPage, ReadError> {
        let start = sequence.saturating_add(1).to_be_bytes();
        let mut page = FeedPage { rows: Vec::new(), position: sequence, more: false };
        let mut entries = self.db.scan(Cf::Feed, &start, &[]);
        for _ in 0..most {
            let Some(row) = entries.next() else { return Ok(page) };
            let (key, place) = row?;
            let fault = || damaged(Cf::Feed, &key, "names no place");
            let (group, date) = columns::read_object(&place).ok_or_else(fault)?;
            page.position = feed_sequence(&key);
            let view = self.object_at(group, Timestamp::from_micros(date))?;
            page.rows.extend(view.map(|view| (page.position, view)));
        }
        page.more = entries.next().is_some();
        Ok(page)
    }

    /// Oldest and newest feed sequence; `None` if nothing was ever added.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn feed_bounds(&self) -> Result<Option<(u64, u64)>, ReadError> {
        let end = |mode| -> Result<Option<u64>, ReadError> {
            let row = self.db.rocks.iterator_cf(self.db.cf(Cf::Feed), mode).next().transpose()?;
            Ok(row.map(|(key, _)| feed_sequence(&key)))
        };
        Ok(end(rocksdb::IteratorMode::Start)?.zip(end(rocksdb::IteratorMode::End)?))
    }

    /// Bytes of the database's files on disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn disk_size(&self) -> Result<u64, ReadError> {
        Ok(super::size(&self.db.path))
    }
}

fn feed_sequence(key: &[u8]) -> u64 {
    <[u8; 8]>::try_from(key).map_or(0, u64::from_be_bytes)
}
