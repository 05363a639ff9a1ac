//! The index of observables and what it leads to, read without opening more than is asked for.
//!
//! Entries are group ‖ H(kind, value) ‖ date added. Beside the values an object names stand what surrounds them
//! (`belfry_proto::stix::observable::around`) and, for sightings and opinions, the objects they speak of: one column,
//! one kind of entry, and a row takes all of its own away with it.

use belfry_proto::{
    id::{GroupId, MemberId},
    time::Timestamp,
};
use prost::Message;
use rocksdb::{Direction, IteratorMode, ReadOptions};

use super::{
    ReadError, Store,
    columns::{Cf, Key},
    objects::MAX_VERSIONS,
    values::ClaimValue,
    vault::damaged,
};

impl Store {
    /// When the objects were added that are entered under a value, newest first, at most `most`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entered(
        &self,
        group: GroupId,
        kind: &str,
        value: &str,
        most: usize,
    ) -> Result<Vec<Timestamp>, ReadError> {
        let prefix = Key::group(group).bytes(&self.db.vault.blind(group, kind, value)).done();
        let last = [prefix.as_slice(), &[u8::MAX; 8]].concat();
        let mut options = ReadOptions::default();
        // A miss ends at the first key, without looking at its neighbours'.
        options.set_iterate_lower_bound(prefix.clone());
        options.set_prefix_same_as_start(true);
        let rows = self.db.rocks.iterator_cf_opt(
            self.db.cf(Cf::Observables),
            options,
            IteratorMode::From(&last, Direction::Reverse),
        );
        let mut dates = Vec::new();
        for row in rows.take(most) {
            let (key, _) = row?;
            if !key.starts_with(&prefix) {
                break;
            }
            dates.extend(key.last_chunk::<8>().map(|date| Timestamp::from_micros(u64::from_be_bytes(*date))));
        }
        Ok(dates)
    }

    /// When each row of an object was added, and who claims it, without opening any.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn claims_of(&self, group: GroupId, id: &str) -> Result<Vec<(Timestamp, MemberId)>, ReadError> {
        let prefix = Key::group(group).bytes(&self.db.vault.blind(group, "object", id)).done();
        let mut claims = Vec::new();
        for row in self.db.scan(Cf::ById, &prefix, &prefix).take(MAX_VERSIONS) {
            let (key, value) = row?;
            let fault = || damaged(Cf::ById, &key, "does not decode");
            let claim = ClaimValue::decode(value.as_ref()).map_err(|_| fault())?;
            let member = MemberId::try_from(claim.member.as_slice()).map_err(|_| fault())?;
            claims.push((Timestamp::from_micros(claim.date_added), member));
        }
        claims.sort_unstable();
        claims.dedup();
        Ok(claims)
    }

    /// A number that grows with every write: what was read at one is still so while it stays.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.db.rocks.latest_sequence_number()
    }
}
