//! STIX objects: stored in the order they came, found by id, type and observable.
//!
//! Values lie clustered under (group, date added), so a page is one range scan. Claims of one object id by
//! several members are all kept; equal bytes under equal marking merge, and who else said so is a reporter.
//! `date_added` never moves once given.

use std::str::FromStr;

use belfry_proto::{
    id::{GroupId, MemberId, MessageId, PublicationId, Serial},
    schema::Tlp,
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError, Store, WriteError,
    apply::tlp_byte,
    columns::{self, Cf, Key},
    open::Db,
    rows::{ObjectRow, OpenedRows},
    txn::Txn,
    values::{ClaimValue, LatestValue, ObjectValue},
    vault::damaged,
};

/// A claim that arrives later than this after it was written never displaces a shown one (design §8).
const LATE_US: u64 = 15 * 60 * 1_000_000;
/// Claims of one version of one object looked at for equal bytes.
const MAX_CLAIMS: usize = 64;

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
    /// The author's JSON.
    pub raw: Vec<u8>,
}

/// Which objects of a group.
#[derive(Clone, Debug, Default)]
pub struct PageQuery {
    /// Strictly after this date added.
    pub after: Option<Timestamp>,
    /// Only these types; empty for all.
    pub kinds: Vec<String>,
    /// Rows to look at before answering with `more`.
    pub examine: usize,
}

/// Rows in order of date added.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<ObjectView>,
    /// Where to go on; `None` at the end.
    pub next_after: Option<Timestamp>,
}

/// One object of one publication on its way in, with its places in the indexes.
pub(super) struct Claim<'a> {
    group: GroupId,
    content: &'a OpenedRows,
    object: &'a ObjectRow,
    /// group ‖ H(id).
    id_prefix: Vec<u8>,
    /// group ‖ H(id) ‖ H(version).
    version_prefix: Vec<u8>,
    key: Vec<u8>,
    raw_tag: Vec<u8>,
}

impl<'a> Claim<'a> {
    pub(super) fn of(db: &Db, group: GroupId, content: &'a OpenedRows, object: &'a ObjectRow) -> Self {
        let id_prefix = Key::group(group).bytes(&db.vault.blind(group, "object", &object.id)).done();
        let version_prefix =
            [id_prefix.as_slice(), &db.vault.blind(group, "version", &object.version)].concat();
        let marking = [tlp_byte(object.tlp), u8::from(content.recipients)];
        let key = [version_prefix.as_slice(), content.member.as_ref(), &marking].concat();
        let raw_tag = db.vault.tag("raw", &[marking.as_slice(), &object.raw].concat()).to_vec();
        Self { group, content, object, id_prefix, version_prefix, key, raw_tag }
    }

    fn latest_key(&self) -> Vec<u8> {
        [self.id_prefix.as_slice(), &[u8::from(self.content.recipients)]].concat()
    }
}

/// Whether this claim needs no row of its own: the same member said it before, or another member said the
/// same bytes under the same marking, and this one is noted as a reporter.
pub(super) fn is_claimed(txn: &mut Txn<'_>, claim: &Claim<'_>) -> Result<bool, ReadError> {
    if txn.get(Cf::ById, &claim.key)?.is_some() {
        return Ok(true);
    }
    for (key, value) in txn.prefixed(Cf::ById, &claim.version_prefix, MAX_CLAIMS)? {
        let other =
            ClaimValue::decode(value.as_slice()).map_err(|_| damaged(Cf::ById, &key, "does not decode"))?;
        if other.raw_tag == claim.raw_tag {
            txn.put(Cf::ById, claim.key.clone(), value);
            let reporter = columns::reporter(claim.group, other.date_added, claim.content.member);
            txn.put(Cf::Reporters, reporter, Vec::new());
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes the row and its index entries.
pub(super) fn insert(
    txn: &mut Txn<'_>,
    claim: &Claim<'_>,
    date_added: u64,
    received: Timestamp,
) -> Result<(), WriteError> {
    let (content, object) = (claim.content, claim.object);
    let value = ObjectValue {
        id: object.id.clone(),
        kind: object.kind.clone(),
        version: object.version.clone(),
        tlp: object.tlp.into(),
        revoked: object.revoked,
        recipients: content.recipients,
        member: content.member.to_vec(),
        serial: content.serial.get(),
        message: content.message.to_vec(),
        publication: content.publication.to_vec(),
        created: content.created.as_micros(),
        purpose: content.purpose,
        classes: content.classes.clone(),
        raw: object.raw.clone(),
    };
    let place = columns::object(claim.group, date_added);
    txn.put_sealed(claim.group, Cf::Objects, place, &value.encode_to_vec());
    let entry = ClaimValue { date_added, raw_tag: claim.raw_tag.clone() };
    txn.put(Cf::ById, claim.key.clone(), entry.encode_to_vec());
    txn.put(Cf::ByType, by_type(claim.group, &object.kind, date_added), vec![tlp_byte(object.tlp)]);
    for (kind, observed) in &object.observables {
        let tag = txn.db.vault.blind(claim.group, kind, observed);
        txn.put(Cf::Observables, Key::group(claim.group).bytes(&tag).u64(date_added).done(), Vec::new());
    }
    show(txn, claim, date_added, received)
}

/// Decides which claim of an object id is the shown one.
fn show(txn: &mut Txn<'_>, claim: &Claim<'_>, date_added: u64, received: Timestamp) -> Result<(), WriteError> {
    let key = claim.latest_key();
    let content = claim.content;
    let version = Timestamp::from_str(&claim.object.version).map_or(0, Timestamp::as_micros);
    let ours = LatestValue {
        member: content.member.to_vec(),
        first_created: content.created.as_micros(),
        first_message: content.message.to_vec(),
        version,
        date_added,
    };
    let shown = match txn.message::<LatestValue>(Cf::Latest, &key)? {
        None => ours,
        Some(shown) if shown.member == ours.member => {
            if ours.version <= shown.version {
                return Ok(());
            }
            LatestValue { version, date_added, ..shown }
        }
        Some(shown) => {
            let earlier = (ours.first_created, &ours.first_message) < (shown.first_created, &shown.first_message);
            let late = received.as_micros().saturating_sub(ours.first_created) > LATE_US;
            if !earlier || late {
                return Ok(());
            }
            ours
        }
    };
    txn.put(Cf::Latest, key, shown.encode_to_vec());
    Ok(())
}

/// The last date added in a group; 0 if it is empty.
pub(super) fn last_date(db: &Db, group: GroupId) -> Result<u64, ReadError> {
    let end = columns::object(group, u64::MAX);
    let row = db
        .rocks
        .iterator_cf(db.cf(Cf::Objects), rocksdb::IteratorMode::From(&end, rocksdb::Direction::Reverse))
        .next()
        .transpose()?;
    Ok(row.and_then(|(key, _)| columns::read_object(&key)).filter(|(g, _)| *g == group).map_or(0, |(_, date)| date))
}

fn by_type(group: GroupId, kind: &str, date_added: u64) -> Vec<u8> {
    Key::group(group).bytes(kind.as_bytes()).bytes(&[0]).u64(date_added).done()
}

fn read_row(db: &Db, key: &[u8], sealed: &[u8]) -> Result<ObjectView, ReadError> {
    let fault = || damaged(Cf::Objects, key, "does not decode");
    let (group, date) = columns::read_object(key).ok_or_else(fault)?;
    let plain = db.vault.open(Cf::Objects, key, sealed)?;
    let value = ObjectValue::decode(plain.as_slice()).map_err(|_| fault())?;
    Ok(ObjectView {
        group,
        date_added: Timestamp::from_micros(date),
        // A marking this version does not know is the most restrictive.
        tlp: Tlp::try_from(value.tlp).unwrap_or(Tlp::Red),
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
        raw: value.raw,
    })
}

impl Store {
    /// Objects of a group in order of date added. Looks at no more than `examine` rows.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn page(&self, group: GroupId, query: &PageQuery) -> Result<Page, ReadError> {
        let start = query.after.map_or(0, |after| after.as_micros().saturating_add(1));
        match query.kinds.as_slice() {
            [kind] => self.page_of_kind(group, kind, start, query.examine),
            kinds => self.page_of_all(group, kinds, start, query.examine),
        }
    }

    fn page_of_all(&self, group: GroupId, kinds: &[String], start: u64, examine: usize) -> Result<Page, ReadError> {
        let prefix = Key::group(group).done();
        let mut page = Page::default();
        let mut rows = self.db.scan(Cf::Objects, &columns::object(group, start), &prefix);
        for _ in 0..examine {
            let Some(row) = rows.next() else {
                page.next_after = None;
                return Ok(page);
            };
            let (key, sealed) = row?;
            let view = read_row(&self.db, &key, &sealed)?;
            page.next_after = Some(view.date_added);
            if kinds.is_empty() || kinds.contains(&view.kind) {
                page.rows.push(view);
            }
        }
        if rows.next().is_none() {
            page.next_after = None;
        }
        Ok(page)
    }

    fn page_of_kind(&self, group: GroupId, kind: &str, start: u64, examine: usize) -> Result<Page, ReadError> {
        let prefix = Key::group(group).bytes(kind.as_bytes()).bytes(&[0]).done();
        let mut page = Page::default();
        let mut rows = self.db.scan(Cf::ByType, &by_type(group, kind, start), &prefix);
        for _ in 0..examine {
            let Some(row) = rows.next() else {
                page.next_after = None;
                return Ok(page);
            };
            let (key, _) = row?;
            let date = key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            page.next_after = Some(Timestamp::from_micros(date));
            page.rows.extend(self.object_at(group, Timestamp::from_micros(date))?);
        }
        if rows.next().is_none() {
            page.next_after = None;
        }
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

    /// Every claim and version of an object id, at most `most`, in order of date added.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn versions(&self, group: GroupId, id: &str, most: usize) -> Result<Vec<ObjectView>, ReadError> {
        let prefix = Key::group(group).bytes(&self.db.vault.blind(group, "object", id)).done();
        let mut dates = Vec::new();
        for row in self.db.scan(Cf::ById, &prefix, &prefix).take(most) {
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

    /// Date added of the shown claim's newest version of an object id, among what came to the whole group
    /// or among what came to named members.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn latest(&self, group: GroupId, id: &str, recipients: bool) -> Result<Option<Timestamp>, ReadError> {
        let prefix = Key::group(group).bytes(&self.db.vault.blind(group, "object", id)).done();
        let key = [prefix.as_slice(), &[u8::from(recipients)]].concat();
        let Some(bytes) = self.db.get(Cf::Latest, &key)? else { return Ok(None) };
        let value =
            LatestValue::decode(bytes.as_slice()).map_err(|_| damaged(Cf::Latest, &key, "does not decode"))?;
        Ok(Some(Timestamp::from_micros(value.date_added)))
    }

    /// Members besides the author that claim the same bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn reporters(&self, group: GroupId, date_added: Timestamp) -> Result<Vec<MemberId>, ReadError> {
        let prefix = columns::object(group, date_added.as_micros());
        self.db
            .scan(Cf::Reporters, &prefix, &prefix)
            .take(MAX_CLAIMS)
            .map(|row| {
                let (key, _) = row?;
                key.get(12..)
                    .and_then(|id| MemberId::try_from(id).ok())
                    .ok_or_else(|| damaged(Cf::Reporters, &key, "has no member"))
            })
            .collect()
    }

    /// Objects that name an observable, at most `most`, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn lookup(&self, group: GroupId, kind: &str, value: &str, most: usize) -> Result<Vec<ObjectView>, ReadError> {
        let prefix = Key::group(group).bytes(&self.db.vault.blind(group, kind, value)).done();
        let mut found = Vec::new();
        for row in self.db.scan(Cf::Observables, &prefix, &prefix).take(most) {
            let (key, _) = row?;
            let date = key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            found.extend(self.object_at(group, Timestamp::from_micros(date))?);
        }
        Ok(found)
    }

    /// The feed after a sequence: what was added, in the order it was, over all groups. A sequence whose
    /// object is gone comes without one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn feed_after(&self, sequence: u64, most: usize) -> Result<Vec<(u64, Option<ObjectView>)>, ReadError> {
        let start = sequence.saturating_add(1).to_be_bytes();
        let mut found = Vec::new();
        for row in self.db.scan(Cf::Feed, &start, &[]).take(most) {
            let (key, place) = row?;
            let sequence = <[u8; 8]>::try_from(key.as_ref()).map_or(0, u64::from_be_bytes);
            let view = match columns::read_object(&place) {
                Some((group, date)) => self.object_at(group, Timestamp::from_micros(date))?,
                None => None,
            };
            found.push((sequence, view));
        }
        Ok(found)
    }

    /// Newest feed sequence; 0 if nothing was ever added.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn feed_head(&self) -> Result<u64, ReadError> {
        let last = self
            .db
            .rocks
            .iterator_cf(self.db.cf(Cf::Feed), rocksdb::IteratorMode::End)
            .next()
            .transpose()?;
        Ok(last.and_then(|(key, _)| <[u8; 8]>::try_from(key.as_ref()).ok()).map_or(0, u64::from_be_bytes))
    }

    /// Bytes of the database on disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        let sizes = Cf::ALL.iter().map(|cf| {
            self.db
                .rocks
                .property_int_value_cf(self.db.cf(*cf), "rocksdb.total-sst-files-size")
                .ok()
                .flatten()
                .unwrap_or(0)
        });
        sizes.sum()
    }
}
