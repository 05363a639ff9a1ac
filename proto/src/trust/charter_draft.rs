//! The charter as people write it, before keys and signatures: groups by slug, spans in days, values by name.
//!
//! A draft is a TOML file next to the charter. It says everything of a charter that is not a key or a
//! consequence of the version before, and becomes one only by passing [`Charter::check`].

mod keys;

use std::collections::BTreeMap;

use prost::Message;
use serde::Deserialize;

use crate::{
    crypto::{hash, sign::PublicKey},
    id::RosterVersion,
    schema::{self, AcceptancePolicy, EntityClass, HistoryPolicy, Purpose, Role, StalenessPolicy, Tlp},
    time::Timestamp,
    trust::{
        charter::{ACTIONS, Charter, CharterChain, CharterError},
        names::{Named as _, UnknownName, by_name, list_by_name},
    },
};

pub use keys::{KeysDraft, RootKeys};
use keys::{ends, key_bytes};

const DAY_S: u64 = 24 * 3600;
/// Two years: bringing offline root keys together costs people a day, and must not be forgotten for longer.
const VALIDITY_DAYS: u32 = 730;
/// What unattended NTP keeps well within.
const CLOCK_SKEW_S: u64 = 120;
/// A working day in which an entitlement made by mistake or by a thief can be taken back.
const GRANT_DELAY_H: u64 = 24;
/// Long enough for an air-gapped registrar that signs a beacon every few weeks.
const STALE_AFTER_DAYS: u64 = 30;
/// One every six seconds; a bulk import paces itself to it.
const MESSAGES_PER_HOUR: u32 = 600;
/// Some 340 bodies of the largest size; bounds what one author costs every disk in an hour.
const BYTES_PER_HOUR: u64 = 64 * 1024 * 1024;

/// A charter without keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The coalition's name; a command may give it instead.
    pub name: Option<String>,
    /// From signing to expiry.
    #[serde(default = "validity_days")]
    pub validity_days: u32,
    /// How far a sender's clock may differ.
    #[serde(default = "clock_skew_s")]
    pub clock_skew_s: u64,
    /// How long a new entitlement waits for older keys.
    #[serde(default = "grant_delay_h")]
    pub grant_delay_h: u64,
    /// After how long a silent registrar is stale; 0 for never.
    #[serde(default = "stale_after_days")]
    pub stale_after_days: u64,
    /// What staleness does.
    #[serde(default = "staleness", deserialize_with = "by_name")]
    pub staleness: StalenessPolicy,
    /// By when members must have accepted both documents; nobody is asked without it.
    pub accept_by: Option<Timestamp>,
    /// What becomes of a member that has not.
    #[serde(default = "unaccepted", deserialize_with = "by_name")]
    pub unaccepted: AcceptancePolicy,
    /// Whether whoever publishes past a guard says why in the message.
    #[serde(default)]
    pub ask_reasons: bool,
    /// The sharing arrangement members accept.
    pub arrangement: DocumentDraft,
    /// The rules of conduct members accept.
    pub rules_of_conduct: DocumentDraft,
    /// Focus Groups, each followed by its circles.
    pub groups: Vec<GroupDraft>,
    /// Who signs what; a command that makes the keys itself gives them instead.
    pub keys: Option<KeysDraft>,
}

/// A document by its file or by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentDraft {
    /// As in "2026-11".
    pub version: String,
    /// Where members find it.
    pub link: String,
    /// Path of the text, from the draft's folder; [`Draft::read_documents`] turns it into `hash`.
    pub file: Option<String>,
    /// BLAKE3 of the text, 64 hex digits.
    pub hash: Option<String>,
}

/// A Focus Group or circle.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupDraft {
    /// Its name in URLs and commands.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub description: String,
    /// Slug of the Focus Group a circle lies in.
    pub parent: Option<String>,
    /// Classes it admits; none admits all.
    #[serde(default, deserialize_with = "list_by_name")]
    pub admits: Vec<EntityClass>,
    /// Least role that publishes.
    #[serde(default = "may_publish", deserialize_with = "by_name")]
    pub may_publish: Role,
    /// What newcomers may read.
    #[serde(default = "history", deserialize_with = "by_name")]
    pub history: HistoryPolicy,
    /// How far back, under the window policy.
    #[serde(default)]
    pub history_window_days: u64,
    /// How long bodies are kept; 0 for ever.
    #[serde(default)]
    pub retention_days: u64,
    /// Most restrictive marking that goes to the whole group.
    #[serde(default = "max_tlp", deserialize_with = "by_name")]
    pub max_tlp: Tlp,
    /// Messages one author may publish in an hour.
    #[serde(default = "messages_per_hour")]
    pub messages_per_hour: u32,
    /// Sealed bytes one author may publish in an hour.
    #[serde(default = "bytes_per_hour")]
    pub bytes_per_hour: u64,
    /// Purpose of messages that state none.
    #[serde(default = "default_purpose", deserialize_with = "by_name")]
    pub default_purpose: Purpose,
}

/// Why a draft is no charter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// Neither the draft nor the command names the coalition.
    #[error("the coalition has no name: give one, or set `name` in the draft")]
    Name,
    /// A document without hash, or with a wrong one.
    #[error("{document} needs the hash of its text, 64 hex digits, or its file")]
    Document {
        /// Which.
        document: &'static str,
    },
    /// A circle in a group that is not listed before it.
    #[error("group {slug:?}: its parent {parent:?} is not listed before it")]
    Parent {
        /// The circle.
        slug: String,
        /// The group it names.
        parent: String,
    },
    /// A window without the policy that reads it.
    #[error("group {0:?}: history_window_days goes with history = \"window\" only")]
    Window(String),
    /// A text that is no key.
    #[error("keys.{role}: {text:?} is no public key: `belfry coalition key` prints one, 64 hex digits")]
    Key {
        /// Which list.
        role: &'static str,
        /// What stands there.
        text: String,
    },
    /// An end for a key that is no admin's.
    #[error("keys.admins_until: {0} is not among keys.admins")]
    NoAdmin(PublicKey),
    /// A charter that is over as it begins.
    #[error("validity_days must be at least 1")]
    Validity,
    /// An end that is over.
    #[error("keys.admins_until: {0} ends on {1}, which must be still to come")]
    EndsBefore(PublicKey, Timestamp),
    /// Root keys that cannot sign, or need not.
    #[error(
        "keys.root_threshold is {threshold}, and keys.root lists {keys}: it must be at least 1, and no more than that"
    )]
    RootThreshold {
        /// Stated.
        threshold: u32,
        /// Keys there are.
        keys: usize,
    },
    /// More admins than there are, or none.
    #[error(
        "keys.thresholds: {action} is {threshold}, and keys.admins lists {keys}: it must be at least 1, and no more than that"
    )]
    ActionThreshold {
        /// Of what.
        action: &'static str,
        /// Stated.
        threshold: u32,
        /// Keys there are.
        keys: usize,
    },
    /// A threshold for no action.
    #[error("keys.thresholds: {0}")]
    Threshold(UnknownName),
    /// The member decides it, no admin.
    #[error("keys.thresholds: accept is the member's decision, which one admin records: it has no threshold")]
    AcceptThreshold,
    /// It says what an issue says.
    #[error("keys.thresholds: amend takes as many admins as issue: give that one the threshold")]
    AmendThreshold,
    /// More groups than numbers.
    #[error("no group number is left")]
    Numbers,
    /// A rule that any charter must keep.
    #[error(transparent)]
    Charter(#[from] CharterError),
}

/// Why a document of a draft cannot be hashed.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError<E> {
    /// Both file and hash, and they differ.
    #[error("{0:?} has another hash than the draft states")]
    Mismatch(String),
    /// The reader's own.
    #[error("{file:?}: {error}")]
    Read {
        /// Path as the draft states it.
        file: String,
        /// Reader's error.
        error: E,
    },
}

impl Draft {
    /// Hashes the documents named by file; `read` gets the path as the draft states it.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn read_documents<E>(
        &mut self,
        mut read: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<(), DocumentError<E>> {
        for document in [&mut self.arrangement, &mut self.rules_of_conduct] {
            let Some(file) = &document.file else { continue };
            let text = read(file).map_err(|error| DocumentError::Read { file: file.clone(), error })?;
            let found = hex::encode(hash::document(&text));
            if document.hash.as_ref().is_some_and(|stated| *stated != found) {
                return Err(DocumentError::Mismatch(file.clone()));
            }
            document.hash = Some(found);
        }
        Ok(())
    }

    /// Version 1, whose groups are numbered from 1 in order. `name` goes before the draft's own.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn to_charter(
        &self,
        name: Option<&str>,
        keys: &RootKeys,
        now: Timestamp,
    ) -> Result<schema::Charter, DraftError> {
        let charter = self.fill(name, keys, now, &BTreeMap::new(), 0)?;
        check(charter)
    }

    /// The version after the chain's newest. A slug keeps its number; a new one gets a number that no
    /// version ever gave.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn to_next_charter(
        &self,
        chain: &CharterChain,
        keys: &RootKeys,
        pin: RosterVersion,
        now: Timestamp,
    ) -> Result<schema::Charter, DraftError> {
        let newest = chain.newest();
        let known = newest.groups().iter().map(|group| (group.slug.as_str(), group.id.get())).collect();
        let highest = chain
            .versions()
            .flat_map(|charter| charter.groups().iter().map(|group| group.id.get()))
            .max()
            .unwrap_or(0);
        let name = self.name.as_deref().unwrap_or(newest.name());
        let mut charter = self.fill(Some(name), keys, now, &known, highest)?;
        charter.coalition = chain.coalition().to_vec();
        charter.version = newest.version().saturating_add(1);
        charter.previous = newest.id().to_vec();
        charter.pin = Some(pin.into());
        check(charter)
    }

    fn fill(
        &self,
        name: Option<&str>,
        keys: &RootKeys,
        now: Timestamp,
        known: &BTreeMap<&str, u32>,
        highest: u32,
    ) -> Result<schema::Charter, DraftError> {
        let name = name.or(self.name.as_deref()).ok_or(DraftError::Name)?;
        self.in_the_words_of_drafts(keys, now)?;
        let validity = std::time::Duration::from_secs(u64::from(self.validity_days).saturating_mul(DAY_S));
        Ok(schema::Charter {
            coalition: Vec::new(),
            name: name.to_owned(),
            version: 1,
            previous: Vec::new(),
            issued: now.as_micros(),
            expires: now.saturating_add(validity).as_micros(),
            root: Some(schema::KeySet { threshold: keys.root_threshold, keys: key_bytes(&keys.root) }),
            admins: Some(schema::AdminKeys {
                keys: key_bytes(&keys.admins),
                thresholds: ACTIONS
                    .iter()
                    .map(|action| schema::ActionThreshold {
                        action: (*action).into(),
                        threshold: keys.thresholds.get(action).copied().unwrap_or(1),
                    })
                    .collect(),
                not_after: ends(keys),
            }),
            registrar: keys.registrar.as_bytes().to_vec(),
            groups: self.groups(known, highest)?,
            arrangement: Some(self.arrangement.to_wire("arrangement")?),
            rules_of_conduct: Some(self.rules_of_conduct.to_wire("rules_of_conduct")?),
            clock_skew_s: self.clock_skew_s,
            grant_delay_s: self.grant_delay_h.saturating_mul(3600),
            stale_after_s: self.stale_after_days.saturating_mul(DAY_S),
            staleness: self.staleness.into(),
            pin: None,
            accept_by: self.accept_by.unwrap_or_default().as_micros(),
            unaccepted: self.unaccepted.into(),
            ask_reasons: self.ask_reasons,
        })
    }

    /// What the charter's own check would refuse by names that stand in no draft.
    fn in_the_words_of_drafts(&self, keys: &RootKeys, now: Timestamp) -> Result<(), DraftError> {
        if self.validity_days == 0 {
            return Err(DraftError::Validity);
        }
        if let Some(key) = keys.admins_until.keys().find(|key| !keys.admins.contains(key)) {
            return Err(DraftError::NoAdmin(*key));
        }
        if let Some((key, end)) = keys.admins_until.iter().find(|(_, end)| **end <= now) {
            return Err(DraftError::EndsBefore(*key, *end));
        }
        let fits = |threshold: u32, keys: usize| {
            threshold > 0 && usize::try_from(threshold).is_ok_and(|threshold| threshold <= keys)
        };
        let (threshold, root) = (keys.root_threshold, keys.root.len());
        if !fits(threshold, root) {
            return Err(DraftError::RootThreshold { threshold, keys: root });
        }
        for action in ACTIONS {
            let threshold = keys.thresholds.get(&action).copied().unwrap_or(1);
            if !fits(threshold, keys.admins.len()) {
                let (action, keys) = (action.name(), keys.admins.len());
                return Err(DraftError::ActionThreshold { action, threshold, keys });
            }
        }
        Ok(())
    }

    fn groups(
        &self,
        known: &BTreeMap<&str, u32>,
        highest: u32,
    ) -> Result<Vec<schema::FocusGroup>, DraftError> {
        let mut last = highest;
        let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
        let mut groups = Vec::with_capacity(self.groups.len());
        for draft in &self.groups {
            let parent = match &draft.parent {
                None => 0,
                Some(parent) => *numbers
                    .get(parent.as_str())
                    .ok_or_else(|| DraftError::Parent { slug: draft.slug.clone(), parent: parent.clone() })?,
            };
            let id = match known.get(draft.slug.as_str()) {
                Some(id) => *id,
                None => {
                    last = last.checked_add(1).ok_or(DraftError::Numbers)?;
                    last
                }
            };
            numbers.insert(&draft.slug, id);
            groups.push(draft.to_wire(id, parent)?);
        }
        Ok(groups)
    }
}

impl GroupDraft {
    fn to_wire(&self, id: u32, parent: u32) -> Result<schema::FocusGroup, DraftError> {
        if self.history_window_days > 0 && self.history != HistoryPolicy::Window {
            return Err(DraftError::Window(self.slug.clone()));
        }
        Ok(schema::FocusGroup {
            id,
            slug: self.slug.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            parent,
            admits: self.admits.iter().map(|class| i32::from(*class)).collect(),
            may_publish: self.may_publish.into(),
            history: self.history.into(),
            history_window_s: self.history_window_days.saturating_mul(DAY_S),
            retention_s: self.retention_days.saturating_mul(DAY_S),
            max_tlp: self.max_tlp.into(),
            messages_per_hour: self.messages_per_hour,
            bytes_per_hour: self.bytes_per_hour,
            default_purpose: self.default_purpose.into(),
        })
    }
}

impl DocumentDraft {
    fn to_wire(&self, document: &'static str) -> Result<schema::Document, DraftError> {
        let hash = self
            .hash
            .as_ref()
            .and_then(|digits| hex::decode(digits).ok())
            .filter(|hash| hash.len() == 32)
            .ok_or(DraftError::Document { document })?;
        Ok(schema::Document { version: self.version.clone(), hash, link: self.link.clone() })
    }
}

fn check(charter: schema::Charter) -> Result<schema::Charter, DraftError> {
    Charter::check(&charter.encode_to_vec())?;
    Ok(charter)
}

const fn validity_days() -> u32 {
    VALIDITY_DAYS
}
const fn clock_skew_s() -> u64 {
    CLOCK_SKEW_S
}
const fn grant_delay_h() -> u64 {
    GRANT_DELAY_H
}
const fn stale_after_days() -> u64 {
    STALE_AFTER_DAYS
}
const fn staleness() -> StalenessPolicy {
    StalenessPolicy::Warn
}
const fn unaccepted() -> AcceptancePolicy {
    AcceptancePolicy::Warn
}
const fn may_publish() -> Role {
    Role::Publisher
}
const fn history() -> HistoryPolicy {
    HistoryPolicy::None
}
const fn max_tlp() -> Tlp {
    Tlp::AmberStrict
}
const fn messages_per_hour() -> u32 {
    MESSAGES_PER_HOUR
}
const fn bytes_per_hour() -> u64 {
    BYTES_PER_HOUR
}
const fn default_purpose() -> Purpose {
    Purpose::Prevent
}

#[cfg(test)]
mod tests;
