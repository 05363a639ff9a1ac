//! Content keys in use, kept ready in memory.
//!
//! A burst of an author's messages names one key; reading, opening and committing to it anew for each would
//! cost more than opening the message.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use belfry_proto::{envelope::ContentKey, id::KeyId};

use crate::store::{ReadError, Store};

/// Keys kept; one an active author and group. Too low ⇒ they are read again and again, too high ⇒ secrets
/// lie in memory that nothing needs.
const KEYS: usize = 1024;

/// Clones share the keys.
#[derive(Clone, Default)]
pub(super) struct Keyring(Arc<Mutex<HashMap<KeyId, Arc<ContentKey>>>>);

impl Keyring {
    /// The key, from memory or from the store; `None` if this node has none that matches its id.
    pub(super) fn key(&self, store: &Store, id: KeyId) -> Result<Option<Arc<ContentKey>>, ReadError> {
        if let Some(key) = self.lock().get(&id) {
            return Ok(Some(Arc::clone(key)));
        }
        let Some(key) = store.key(id)?.and_then(|row| row.content_key()).map(Arc::new) else {
            return Ok(None);
        };
        let mut keys = self.lock();
        if keys.len() >= KEYS {
            keys.clear();
        }
        keys.insert(id, Arc::clone(&key));
        Ok(Some(key))
    }

    /// Whether the key is in memory.
    pub(super) fn holds(&self, id: KeyId) -> bool {
        self.lock().contains_key(&id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<KeyId, Arc<ContentKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
