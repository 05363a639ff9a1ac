//! The keys of a charter draft: as people write them, and as the charter has them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::DraftError;
use crate::{crypto::sign::PublicKey, schema::Action, time::Timestamp, trust::names::Named as _};

/// The charter's keys as people write them: public keys in hex, which their holders read out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysDraft {
    /// Root keys that must sign a charter.
    pub root_threshold: u32,
    /// Root keys.
    pub root: Vec<String>,
    /// Admin keys.
    pub admins: Vec<String>,
    /// The registrar's key.
    pub registrar: String,
    /// When admin keys end, by key, where that is before the charter does.
    #[serde(default)]
    pub admins_until: BTreeMap<String, Timestamp>,
    /// Admin keys that an action needs, by its name, where that is not one.
    #[serde(default)]
    pub thresholds: BTreeMap<String, u32>,
}

impl KeysDraft {
    /// The keys it names.
    ///
    /// # Errors
    /// [`DraftError::Key`] or [`DraftError::Threshold`].
    pub fn to_keys(&self) -> Result<RootKeys, DraftError> {
        let key = |role: &'static str, text: &String| {
            let bytes = hex::decode(text.trim()).unwrap_or_default();
            PublicKey::from_slice(&bytes)
                .map_err(|_| DraftError::Key { role, text: text.chars().take(80).collect() })
        };
        let keys = |role, texts: &[String]| -> Result<Vec<PublicKey>, DraftError> {
            texts.iter().map(|text| key(role, text)).collect()
        };
        let threshold =
            |(name, threshold): (&String, &u32)| match Action::parse(name).map_err(DraftError::Threshold)? {
                Action::Accept => Err(DraftError::AcceptThreshold),
                Action::Amend => Err(DraftError::AmendThreshold),
                action => Ok((action, *threshold)),
            };
        Ok(RootKeys {
            root_threshold: self.root_threshold,
            root: keys("root", &self.root)?,
            admins: keys("admins", &self.admins)?,
            admins_until: self
                .admins_until
                .iter()
                .map(|(text, until)| Ok((key("admins_until", text)?, *until)))
                .collect::<Result<_, DraftError>>()?,
            thresholds: self.thresholds.iter().map(threshold).collect::<Result<_, _>>()?,
            registrar: key("registrar", &self.registrar)?,
        })
    }
}

/// The keys a charter names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKeys {
    /// Root keys that must sign.
    pub root_threshold: u32,
    /// Root keys.
    pub root: Vec<PublicKey>,
    /// Admin keys.
    pub admins: Vec<PublicKey>,
    /// When some of them end.
    pub admins_until: BTreeMap<PublicKey, Timestamp>,
    /// Admin keys an action needs, where that is not one.
    pub thresholds: BTreeMap<Action, u32>,
    /// The registrar's key.
    pub registrar: PublicKey,
}

pub(super) fn key_bytes(keys: &[PublicKey]) -> Vec<Vec<u8>> {
    keys.iter().map(|key| key.as_bytes().to_vec()).collect()
}

/// Of each admin key in turn; nothing where none ends.
pub(super) fn ends(keys: &RootKeys) -> Vec<u64> {
    if keys.admins_until.is_empty() {
        return Vec::new();
    }
    let end = |key| keys.admins_until.get(key).map_or(0, |end: &Timestamp| end.as_micros());
    keys.admins.iter().map(end).collect()
}
