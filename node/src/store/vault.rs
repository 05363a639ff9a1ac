//! Sealing at rest (design §7, G7).
//!
//! A master key wraps data keys, one for each group and month; values are sealed under them with column
//! family and row key as associated data, so a row cannot be moved to another place unseen. Dropping a
//! data key shreds what it sealed. Ids and observables in keys are keyed hashes.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{LazyLock, RwLock},
};

use belfry_proto::{
    crypto::{
        seal::{self, NONCE_LEN},
        secret::Secret,
    },
    id::GroupId,
    time::Timestamp,
};
use blake3::{
    Hasher,
    hazmat::{ContextKey, HasherExt as _, hash_derive_key_context},
};

use super::{ReadError, columns::Cf, damage::Damage};

/// Class of rows that belong to no group: drafts, keys, tokens.
pub(super) const SYSTEM: GroupId = GroupId::new(0);
/// Values below this many bytes are not compressed: it would halve little, and cost every message time.
const COMPRESS_FROM: usize = 2048;
/// One of zstd's fast levels: rows are small, and disk is cheaper than time on the way in.
const LEVEL: i32 = -1;
/// Most that one of our own values can decompress to; a payload is 1 MiB, a draft part of it as much.
const MOST: usize = 256 * 1024 * 1024;

/// What hashes in keys are derived for.
const BLIND: &str = "belfry/v1/blind-index";
/// The public half of that derivation, once instead of for each of the many hashes of a lookup.
static BLIND_CONTEXT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(BLIND));

/// Which data key: group and months since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyName {
    pub(super) group: GroupId,
    pub(super) month: u32,
}

impl KeyName {
    pub(super) fn at(group: GroupId, now: Timestamp) -> Self {
        // Thirty days are month enough: the name only has to change.
        let month = u32::try_from(now.as_micros() / (30 * 24 * 3600 * 1_000_000)).unwrap_or(u32::MAX);
        Self { group, month }
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        let (group, month) = bytes.split_at_mut(4);
        group.copy_from_slice(&self.group.get().to_be_bytes());
        month.copy_from_slice(&self.month.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (group, rest) = bytes.split_first_chunk::<4>()?;
        let (month, rest) = rest.split_first_chunk::<4>()?;
        let name =
            Self { group: GroupId::new(u32::from_be_bytes(*group)), month: u32::from_be_bytes(*month) };
        Some((name, rest))
    }
}

pub(super) struct Vault {
    /// What was met that does not read.
    pub(super) damage: Damage,
    wrap: Secret,
    index: Secret,
    keys: RwLock<BTreeMap<KeyName, Secret>>,
}

impl Vault {
    pub(super) fn new(master: &Secret) -> Self {
        Self {
            damage: Damage::default(),
            wrap: master.derive("belfry/v1/store-wrap", &[]),
            index: master.derive(BLIND, &[]),
            keys: RwLock::new(BTreeMap::new()),
        }
    }

    /// Takes a wrapped data key read from disk.
    pub(super) fn unwrap_key(&self, name: &[u8], wrapped: &[u8]) -> Result<(), ReadError> {
        let damaged = || self.damage.met(damaged(Cf::DataKeys, name, "data key does not unwrap"));
        let (key_name, _) = KeyName::read(name).ok_or_else(damaged)?;
        let (nonce, sealed) = wrapped.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let plain = seal::open(&self.wrap, nonce, name, sealed).map_err(|_| damaged())?;
        let key = Secret::from_slice(&plain).ok_or_else(damaged)?;
        self.write().insert(key_name, key);
        Ok(())
    }

    /// The wrapped form of a fresh data key under `name`, to be written with the first row it seals;
    /// `None` if there is one.
    pub(super) fn ensure_key(&self, name: KeyName) -> Option<Vec<u8>> {
        if self.read().contains_key(&name) {
            return None;
        }
        let key = Secret::generate(&mut rand::rng());
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut wrapped = nonce.to_vec();
        wrapped.extend(seal::seal(&self.wrap, &nonce, &name.to_bytes(), key.expose()));
        self.write().insert(name, key);
        Some(wrapped)
    }

    /// Forgets a data key whose write failed.
    pub(super) fn forget(&self, name: KeyName) {
        self.write().remove(&name);
    }

    /// Seals a row's value under a data key that exists.
    pub(super) fn seal(&self, name: KeyName, cf: Cf, key: &[u8], value: &Packed) -> Vec<u8> {
        let keys = self.read();
        let Some(secret) = keys.get(&name) else { return Vec::new() };
        let nonce: [u8; NONCE_LEN] = rand::random();
        let sealed = seal::seal(secret, &nonce, &aad(cf, key), &value.0);
        [name.to_bytes().as_slice(), &nonce, &sealed].concat()
    }

    /// Opens a row's value.
    pub(super) fn open(&self, cf: Cf, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, ReadError> {
        let fault = |detail| self.damage.met(damaged(cf, key, detail));
        let (name, rest) = KeyName::read(sealed).ok_or_else(|| fault("too short"))?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or_else(|| fault("too short"))?;
        let secret = self.read().get(&name).cloned().ok_or_else(|| fault("its data key is gone"))?;
        let mut plain =
            seal::open(&secret, nonce, &aad(cf, key), sealed).map_err(|_| fault("does not open"))?;
        let (len, rest) = plain.split_first_chunk::<4>().ok_or_else(|| fault("too short"))?;
        match u32::from_be_bytes(*len) {
            0 => {
                plain.drain(..4);
                Ok(plain)
            }
            len => DECOMPRESSOR
                .with_borrow_mut(|zstd| zstd.decompress(rest, usize::try_from(len).unwrap_or(MOST).min(MOST)))
                .map_err(|_| fault("does not decompress")),
        }
    }

    /// Sixteen bytes that stand for a text in a key, different in every group.
    pub(super) fn blind(&self, group: GroupId, what: &str, text: &str) -> [u8; 16] {
        let mut hasher = Hasher::new_from_context_key(&BLIND_CONTEXT);
        hasher.update(self.index.expose());
        for part in [group.get().to_be_bytes().as_slice(), what.as_bytes(), text.as_bytes()] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes().first_chunk().unwrap_or(&[0; 16])
    }

    /// Keyed hash of a token secret or the like.
    pub(super) fn tag(&self, what: &str, bytes: &[u8]) -> [u8; 32] {
        *self.index.derive("belfry/v1/token", &[what.as_bytes(), bytes]).expose()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<KeyName, Secret>> {
        self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<KeyName, Secret>> {
        self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

thread_local! {
    // A context is a hundred kilobytes that zstd would otherwise allocate and clear for every row.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> =
        RefCell::new(zstd::bulk::Compressor::new(LEVEL).ok());
    static DECOMPRESSOR: RefCell<zstd::bulk::Decompressor<'static>> = RefCell::default();
}

/// A value compressed where that helps, ready to be sealed: the part of sealing that needs no key and no place.
pub(super) struct Packed(Vec<u8>);

impl Packed {
    pub(super) fn of(value: &[u8]) -> Self {
        let compressed = (value.len() >= COMPRESS_FROM)
            .then(|| COMPRESSOR.with_borrow_mut(|zstd| zstd.as_mut()?.compress(value).ok()))
            .flatten()
            .filter(|compressed| compressed.len() < value.len());
        // A leading length of zero says that the rest is not compressed.
        let len = compressed.as_ref().map_or(0, |_| u32::try_from(value.len()).unwrap_or(0));
        Self([len.to_be_bytes().as_slice(), compressed.as_deref().unwrap_or(value)].concat())
    }
}

fn aad(cf: Cf, key: &[u8]) -> Vec<u8> {
    [cf.name().as_bytes(), &[0], key].concat()
}

pub(super) fn damaged(cf: Cf, key: &[u8], detail: &'static str) -> ReadError {
    ReadError::Damaged { column: cf.name(), key: hex::encode(key), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_in_keys_are_those_that_stand_in_every_store() {
        let vault = Vault::new(&Secret::new([9; 32]));
        let long = "x".repeat(3_000);
        let index = Secret::new([9; 32]).derive("belfry/v1/blind-index", &[]);
        for (group, what, text) in
            [(5_u32, "ipv4-addr", "198.51.100.7"), (0, "", ""), (u32::MAX, "url", long.as_str())]
        {
            let number = group.to_be_bytes();
            let parts = [number.as_slice(), what.as_bytes(), text.as_bytes()];
            let expected = index.derive("belfry/v1/blind-index", &parts);
            assert_eq!(vault.blind(GroupId::new(group), what, text), expected.expose()[..16], "{what}");
        }
    }
}
