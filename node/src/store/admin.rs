//! Charters, the admin log, and what is kept beside it: the newest beacon, proofs against the registrar, members from whom
//! old keys are kept, addresses of nodes, contacts of members.

use std::collections::BTreeMap;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{Height, MemberId, RosterVersion, Serial, StatementId},
    schema,
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError, Store, WriteError,
    columns::Cf,
    rows::{AddressRow, ContactRow},
    txn::Txn,
    unsure,
    vault::damaged,
};

/// Where the admin head stands in [`Cf::Meta`].
pub(super) const HEAD_KEY: &[u8] = b"admin-head";
/// Where the newest beacon stands in [`Cf::Meta`].
pub(super) const BEACON_KEY: &[u8] = b"beacon";
/// Where proofs against the registrar stand in [`Cf::Meta`], by height.
pub(super) const EQUIVOCATION_KEY: &[u8] = b"equivocation:";
/// Where members stand in [`Cf::Meta`] from whom old keys are kept, by id.
pub(super) const HOLD_KEY: &[u8] = b"hold:";
/// Where removals stand in [`Cf::Meta`] that the admin log has not decided on, by statement.
pub(super) const REMOVAL_KEY: &[u8] = b"removal:";
/// Where members' contact records stand in [`Cf::Meta`], by id: a few hundred at most, and a belfry that knows none opens
/// the store all the same.
pub(super) const CONTACT_KEY: &[u8] = b"contact:";
/// What is wrong with a row there that is none.
pub(super) const NO_CONTACT: &str = "is no contact";

/// Keeps charters and records that the roster has folded, and their head.
pub(super) fn extend(
    txn: &mut Txn<'_>,
    charters: Vec<(u64, Vec<u8>)>,
    records: Vec<(Height, Vec<u8>)>,
    head: RosterVersion,
) -> Result<(), WriteError> {
    let have = read_head(txn.get(Cf::Meta, HEAD_KEY)?);
    if head.height < have.height {
        // Only a new charter's pin cuts the log back; what lay above goes.
        if charters.is_empty() {
            return Err(WriteError::LogRollback { have: have.height.get(), offered: head.height.get() });
        }
        for height in head.height.get() + 1..=have.height.get() {
            txn.delete(Cf::Records, height.to_be_bytes().to_vec());
            txn.delete(Cf::Seen, height.to_be_bytes().to_vec());
        }
        if unsure::lowest(txn)?.is_some_and(|lowest| lowest > head.height) {
            unsure::entries_settled(txn);
        }
    }
    for (version, bytes) in charters {
        txn.put(Cf::Charters, version.to_be_bytes().to_vec(), bytes);
    }
    for (height, bytes) in records {
        let key = height.get().to_be_bytes().to_vec();
        if txn.get(Cf::Seen, &key)?.is_none() {
            txn.put(Cf::Seen, key.clone(), txn.now.as_micros().to_be_bytes().to_vec());
            unsure::entry(txn, height)?;
        }
        txn.put(Cf::Records, key, bytes);
    }
    txn.put(Cf::Meta, HEAD_KEY.to_vec(), schema::RosterVersion::from(head).encode_to_vec());
    Ok(())
}

/// Puts to `at` what is noted as of a time after it, or by a clock that nobody vouched for; what a charter cut off meanwhile is noted
/// no more.
pub(super) fn mend_seen(txn: &mut Txn<'_>, heights: &[Height], at: Timestamp) -> Result<(), WriteError> {
    let first = unsure::lowest(txn)?;
    for height in heights {
        let key = height.get().to_be_bytes().to_vec();
        let is_unsure = first.is_some_and(|first| *height >= first);
        let is_wrong = |noted: Timestamp| noted > at || is_unsure;
        if txn.get(Cf::Seen, &key)?.and_then(|value| seen(&value)).is_some_and(is_wrong) {
            txn.put(Cf::Seen, key, at.as_micros().to_be_bytes().to_vec());
        }
    }
    unsure::entries_settled(txn);
    Ok(())
}

/// A row that says when an entry came.
pub(super) fn seen(value: &[u8]) -> Option<Timestamp> {
    <[u8; 8]>::try_from(value).ok().map(|micros| Timestamp::from_micros(u64::from_be_bytes(micros)))
}

/// Keeps the newest beacon.
pub(super) fn put_beacon(txn: &mut Txn<'_>, bytes: Vec<u8>) {
    txn.put(Cf::Meta, BEACON_KEY.to_vec(), bytes);
}

/// Keeps two records that the registrar signed for one height, as a log file without charters.
pub(super) fn put_equivocation(
    txn: &mut Txn<'_>,
    height: Height,
    records: &[Vec<u8>; 2],
) -> Result<(), WriteError> {
    let key = equivocation_key(height);
    let proof = schema::LogFile {
        records: records
            .iter()
            .map(|bytes| schema::Record::decode(bytes.as_slice()))
            .collect::<Result<_, _>>()
            .map_err(|_| WriteError::Missing("record to keep as proof"))?,
        ..schema::LogFile::default()
    };
    txn.put(Cf::Meta, key, proof.encode_to_vec());
    Ok(())
}

/// Lets the proof of a height go.
pub(super) fn drop_equivocation(txn: &mut Txn<'_>, height: Height) {
    txn.delete(Cf::Meta, equivocation_key(height));
}

fn equivocation_key(height: Height) -> Vec<u8> {
    [EQUIVOCATION_KEY, &height.get().to_be_bytes()].concat()
}

/// Keeps a removal that the admin log has not decided on.
pub(super) fn put_removal(txn: &mut Txn<'_>, statement: StatementId, record: Vec<u8>) {
    txn.put(Cf::Meta, [REMOVAL_KEY, statement.as_ref()].concat(), record);
}

/// Lets removals go that log or charter have settled.
pub(super) fn drop_removals(txn: &mut Txn<'_>, statements: &[StatementId]) {
    for statement in statements {
        txn.delete(Cf::Meta, [REMOVAL_KEY, statement.as_ref()].concat());
    }
}

/// Notes since when old keys are kept from a member, or that they are no longer.
pub(super) fn put_hold(txn: &mut Txn<'_>, member: MemberId, since: Option<Timestamp>) {
    let key = [HOLD_KEY, member.as_ref()].concat();
    match since {
        Some(since) => txn.put(Cf::Meta, key, since.as_micros().to_be_bytes().to_vec()),
        None => txn.delete(Cf::Meta, key),
    }
}

/// Keeps where a node is.
pub(super) fn put_address(txn: &mut Txn<'_>, row: &AddressRow) {
    let mut value = row.made.as_micros().to_be_bytes().to_vec();
    value.extend_from_slice(&row.bytes);
    txn.put(Cf::Addresses, row.serial.get().to_be_bytes().to_vec(), value);
}

/// Keeps how a member is reached.
pub(super) fn put_contact(txn: &mut Txn<'_>, ContactRow { member, signer, bytes }: &ContactRow) {
    let value = [signer.as_bytes().as_slice(), bytes.as_slice()].concat();
    txn.put(Cf::Meta, [CONTACT_KEY, member.as_ref()].concat(), value);
}

/// What [`put_contact`] wrote; what the record itself says is not looked at.
pub(super) fn contact_of(key: &[u8], value: &[u8]) -> Option<ContactRow> {
    let member = MemberId::try_from(key.get(CONTACT_KEY.len()..)?).ok()?;
    let (signer, bytes) = value.split_first_chunk::<32>()?;
    Some(ContactRow { member, signer: PublicKey::from_slice(signer).ok()?, bytes: bytes.to_vec() })
}

/// Lets that go.
pub(super) fn drop_contact(txn: &mut Txn<'_>, member: MemberId) {
    txn.delete(Cf::Meta, [CONTACT_KEY, member.as_ref()].concat());
}

/// The admin head as stored; the empty log if none is.
pub(super) fn read_head(bytes: Option<Vec<u8>>) -> RosterVersion {
    bytes
        .and_then(|bytes| schema::RosterVersion::decode(bytes.as_slice()).ok())
        .and_then(|wire| RosterVersion::try_from(&wire).ok())
        .unwrap_or(RosterVersion::EMPTY)
}

impl Store {
    /// Encoded charters, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn charters(&self) -> Result<Vec<Vec<u8>>, ReadError> {
        self.db.scan(Cf::Charters, &[], &[]).map(|row| row.map(|(_, value)| value.into_vec())).collect()
    }

    /// At most `most` encoded records from height `from` on.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn records(&self, from: Height, most: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.db
            .scan(Cf::Records, &from.get().to_be_bytes(), &[])
            .take(most)
            .map(|row| row.map(|(_, value)| value.into_vec()))
            .collect()
    }

    /// When this node first had the entry at `height`, by its own clock: what nobody else can backdate. `None` if it was not here,
    /// or a clock noted it that nobody vouched for, until that is put right: who waits for a time after it waits from now on.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn first_seen(&self, height: Height) -> Result<Option<Timestamp>, ReadError> {
        // Looked at first: the batch that takes it away puts the time right.
        if self.lowest_unsure()?.is_some_and(|lowest| height >= lowest) {
            return Ok(None);
        }
        let bytes = self.db.get(Cf::Seen, &height.get().to_be_bytes())?;
        Ok(bytes.and_then(|bytes| seen(&bytes)))
    }

    /// The highest admin head ever made durable.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn head(&self) -> Result<RosterVersion, ReadError> {
        Ok(read_head(self.db.get(Cf::Meta, HEAD_KEY)?))
    }

    /// The newest beacon kept, encoded.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn beacon(&self) -> Result<Option<Vec<u8>>, ReadError> {
        self.db.get(Cf::Meta, BEACON_KEY)
    }

    /// Heights at which the registrar signed two entries; each with both records, as a log file without
    /// charters, encoded.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn equivocations(&self) -> Result<Vec<(Height, Vec<u8>)>, ReadError> {
        let rows = self.db.scan(Cf::Meta, EQUIVOCATION_KEY, EQUIVOCATION_KEY);
        rows.map(|row| {
            let (key, proof) = row?;
            let height = key
                .get(EQUIVOCATION_KEY.len()..)
                .and_then(|height| height.try_into().ok())
                .ok_or_else(|| damaged(Cf::Meta, &key, "names no height"))?;
            Ok((Height::new(u64::from_be_bytes(height)), proof.into_vec()))
        })
        .collect()
    }

    /// Encoded records of removals that the admin log has not decided on.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn removals_seen(&self) -> Result<Vec<Vec<u8>>, ReadError> {
        let rows = self.db.scan(Cf::Meta, REMOVAL_KEY, REMOVAL_KEY);
        rows.map(|row| row.map(|(_, value)| value.into_vec())).collect()
    }

    /// Members from whom keys older than their entitlement are kept, and since when.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn holds(&self) -> Result<BTreeMap<MemberId, Timestamp>, ReadError> {
        let rows = self.db.scan(Cf::Meta, HOLD_KEY, HOLD_KEY);
        rows.map(|row| {
            let (key, value) = row?;
            let member = key.get(HOLD_KEY.len()..).and_then(|id| MemberId::try_from(id).ok());
            let since = <[u8; 8]>::try_from(value.as_ref()).ok().map(u64::from_be_bytes);
            let held = member.zip(since.map(Timestamp::from_micros));
            held.ok_or_else(|| damaged(Cf::Meta, &key, "is no hold"))
        })
        .collect()
    }

    /// Whether they are kept from this one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn is_held(&self, member: MemberId) -> Result<bool, ReadError> {
        Ok(self.db.get(Cf::Meta, &[HOLD_KEY, member.as_ref()].concat())?.is_some())
    }

    /// Every contact record, by member. A row that is none is passed over and noted as damage: the others are as good as before.
    ///
    /// # Errors
    /// [`ReadError`]: the rows cannot be gone through.
    pub fn contacts(&self) -> Result<Vec<ContactRow>, ReadError> {
        let rows = self.db.scan(Cf::Meta, CONTACT_KEY, CONTACT_KEY);
        rows.filter_map(|row| row.map(|(key, value)| self.read_contact(&key, &value)).transpose()).collect()
    }

    /// One member's.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn contact(&self, member: MemberId) -> Result<Option<ContactRow>, ReadError> {
        let key = [CONTACT_KEY, member.as_ref()].concat();
        Ok(self.db.get(Cf::Meta, &key)?.and_then(|value| self.read_contact(&key, &value)))
    }

    fn read_contact(&self, key: &[u8], value: &[u8]) -> Option<ContactRow> {
        let row = contact_of(key, value);
        if row.is_none() {
            self.db.vault.damage.met(damaged(Cf::Meta, key, NO_CONTACT));
        }
        row
    }

    /// Every address record.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn addresses(&self) -> Result<Vec<AddressRow>, ReadError> {
        let mut rows = Vec::new();
        for row in self.db.scan(Cf::Addresses, &[], &[]) {
            let (key, value) = row?;
            let serial = <[u8; 8]>::try_from(key.as_ref()).map_or(0, u64::from_be_bytes);
            let Some((made, bytes)) = value.split_first_chunk::<8>() else { continue };
            rows.push(AddressRow {
                serial: Serial::new(serial),
                made: Timestamp::from_micros(u64::from_be_bytes(*made)),
                bytes: bytes.to_vec(),
            });
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use belfry_proto::{
        crypto::sign::SigningKey,
        id::{EntryId, Height, MemberId, RosterVersion},
    };
    use tempfile::TempDir;

    use super::{CONTACT_KEY, NO_CONTACT};
    use crate::store::{Change, ContactRow, Store, WriteError, columns::Cf, tests::open};

    #[test]
    fn the_admin_head_never_goes_back_by_itself() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let admin = |height: u64, charters: Vec<(u64, Vec<u8>)>| {
            let head = RosterVersion { height: Height::new(height), head: EntryId::new([1; 32]) };
            let records = (1..=height).map(|h| (Height::new(h), vec![1])).collect();
            store.commit_blocking(Change::Admin { charters, records, head })
        };
        admin(3, vec![]).unwrap();
        assert!(matches!(admin(2, vec![]), Err(WriteError::LogRollback { have: 3, offered: 2 })));
        admin(2, vec![(2, vec![2])]).unwrap();
        assert_eq!(store.records(Height::new(1), 10).unwrap().len(), 2);
    }

    #[test]
    fn when_an_entry_was_first_seen_is_kept_until_a_new_charter_cuts_it_off() {
        let folder = TempDir::new().unwrap();
        let admin = |store: &Store, charters: Vec<(u64, Vec<u8>)>, heights: std::ops::RangeInclusive<u64>| {
            let head = RosterVersion { height: Height::new(*heights.end()), head: EntryId::new([1; 32]) };
            let records = heights.map(|h| (Height::new(h), vec![1])).collect();
            store.commit_blocking(Change::Admin { charters, records, head }).unwrap();
        };
        let seen = |store: &Store, height| store.first_seen(Height::new(height)).unwrap();
        let store = open(&folder);
        admin(&store, vec![], 1..=2);
        let first = seen(&store, 2).unwrap();
        drop(store);
        let store = open(&folder);
        admin(&store, vec![], 2..=3);
        assert_eq!(seen(&store, 2), Some(first), "offered again, seen once");
        assert!(seen(&store, 3).unwrap() >= first);
        assert_eq!(seen(&store, 4), None);
        admin(&store, vec![(2, vec![2])], 1..=1);
        assert_eq!(seen(&store, 2), None, "another entry may come to stand there");
        assert!(seen(&store, 1).is_some());
    }

    #[test]
    fn when_an_entry_came_is_put_back_to_now_where_it_is_noted_as_of_a_time_to_come_and_nowhere_else() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let head = RosterVersion { height: Height::new(2), head: EntryId::new([1; 32]) };
        let records = (1..=2).map(|h| (Height::new(h), vec![1])).collect();
        store.commit_blocking(Change::Admin { charters: vec![], records, head }).unwrap();
        let seen = |height| store.first_seen(Height::new(height)).unwrap();
        let came = seen(1).unwrap();
        assert!(store.unsure_entries(came).unwrap().is_empty());
        // As a clock that was ahead is set right.
        let now = came.saturating_sub(Duration::from_secs(365 * 24 * 3600));
        let heights = store.unsure_entries(now).unwrap();
        assert_eq!(heights, [Height::new(1), Height::new(2)]);
        let beyond = [heights, vec![Height::new(3)]].concat();
        store.commit_blocking(Change::Seen { heights: beyond.clone(), at: now }).unwrap();
        assert_eq!((seen(1), seen(2), seen(3)), (Some(now), Some(now), None));
        store.commit_blocking(Change::Seen { heights: beyond, at: came }).unwrap();
        assert_eq!(seen(1), Some(now), "it was here before");
    }

    #[test]
    fn a_members_contact_stands_in_the_place_of_the_one_before_until_it_is_gone() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let row = |member: u8, bytes: &[u8]| ContactRow {
            member: MemberId::new([member; 16]),
            signer: SigningKey::from_seed(&[member; 32]).public(),
            bytes: bytes.to_vec(),
        };
        for (member, bytes) in [(2, &b"two"[..]), (1, &b"one"[..]), (2, &b"newer"[..])] {
            store.commit_blocking(Change::Contact(row(member, bytes))).unwrap();
        }
        drop(store);
        let store = open(&folder);
        assert_eq!(store.contacts().unwrap(), [row(1, b"one"), row(2, b"newer")]);
        assert_eq!(store.contact(MemberId::new([2; 16])).unwrap(), Some(row(2, b"newer")));
        store.commit_blocking(Change::ContactGone(MemberId::new([2; 16]))).unwrap();
        assert_eq!(store.contacts().unwrap(), [row(1, b"one")]);
        assert_eq!(store.contact(MemberId::new([2; 16])).unwrap(), None);
    }

    #[test]
    fn a_row_that_is_no_contact_hides_none_of_the_others_and_is_noted_as_damage() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let row = |member: u8| ContactRow {
            member: MemberId::new([member; 16]),
            signer: SigningKey::from_seed(&[member; 32]).public(),
            bytes: b"said".to_vec(),
        };
        for member in [1, 3] {
            store.commit_blocking(Change::Contact(row(member))).unwrap();
        }
        let meta = store.db.cf(Cf::Meta);
        store.db.rocks.put_cf(meta, [CONTACT_KEY, &[2; 16]].concat(), b"short").unwrap();
        assert!(store.damage().borrow().is_none());
        assert_eq!(store.contacts().unwrap(), [row(1), row(3)]);
        assert_eq!(store.contact(MemberId::new([2; 16])).unwrap(), None);
        assert!(
            store.damage().borrow().as_ref().is_some_and(|damage| damage.to_string().contains(NO_CONTACT))
        );
    }
}
