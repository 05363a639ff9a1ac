//! How far hooks and sources are, each in its own words: what either does next follows from that and from the feed, or
//! from where the source is read.

use serde::{Serialize, de::DeserializeOwned};

use super::{MemoryError, ReadError, Store, change::Change, columns::Cf, txn::Txn, vault::SYSTEM};

/// Where hooks' states stand in [`Cf::Meta`], by name.
pub(super) const HOOK_KEY: &[u8] = b"hook:";
/// Where sources' states stand in [`Cf::Meta`], sealed, by name.
pub(super) const SOURCE_KEY: &[u8] = b"source:";

/// Notes how far a hook is.
pub(super) fn put_hook(txn: &mut Txn<'_>, name: &str, state: Vec<u8>) {
    txn.put(Cf::Meta, [HOOK_KEY, name.as_bytes()].concat(), state);
}

/// Notes how far a source is.
pub(super) fn put_source(txn: &mut Txn<'_>, name: &str, state: &[u8]) {
    txn.put_sealed(SYSTEM, Cf::Meta, [SOURCE_KEY, name.as_bytes()].concat(), state);
}

impl Store {
    /// How far a hook is, in its own words.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hook(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.db.get(Cf::Meta, &[HOOK_KEY, name.as_bytes()].concat())
    }

    /// [`Self::hook`], read.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub async fn remembered<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, MemoryError> {
        let (store, name) = (self.clone(), name.to_owned());
        let row = tokio::task::spawn_blocking(move || store.hook(&name)).await;
        let row = row.map_err(|_| MemoryError::Died)??;
        Ok(row.map(|row| serde_json::from_slice(&row)).transpose()?)
    }

    /// Notes how far a hook is, or whatever else reads the feed by number.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub async fn remember(&self, name: &str, state: &impl Serialize) -> Result<(), MemoryError> {
        let state = serde_json::to_vec(state)?;
        self.commit(Change::Hook { name: name.to_owned(), state }).await?;
        Ok(())
    }

    /// How far a source is, in its own words.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn source(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.db.get_sealed(Cf::Meta, &[SOURCE_KEY, name.as_bytes()].concat())
    }
}
