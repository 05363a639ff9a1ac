//! Reads of charters, the admin log, addresses.

use std::collections::BTreeMap;

use belfry_proto::{
    id::{Height, MemberId, RosterVersion, Serial},
    time::Timestamp,
};

use super::{
    ReadError, Store,
    apply::{BEACON_KEY, EQUIVOCATION_KEY, HEAD_KEY, HOLD_KEY, REMOVAL_KEY, read_head},
    columns::Cf,
    rows::AddressRow,
    vault::damaged,
};

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

    /// When this node first had the entry at `height`, by its own clock: what nobody else can backdate.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn first_seen(&self, height: Height) -> Result<Option<Timestamp>, ReadError> {
        let bytes = self.db.get(Cf::Seen, &height.get().to_be_bytes())?;
        let micros = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok());
        Ok(micros.map(|micros| Timestamp::from_micros(u64::from_be_bytes(micros))))
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
