//! The register of notices: what was sent and acknowledged, in a file beside the log. The coalition keeps one, and each member.
//!
//! What is *owed* is never in it: that follows from the log, each time anew. The file only remembers what people did.

use std::{collections::BTreeMap, path::Path};

use belfry_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::keys::file::{self, Existing, FileError, Readers};

/// What was done about one notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// When it went out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Timestamp>,
    /// When the authority said that it has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Timestamp>,
    /// The authority's or the sender's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// By which mandate the coalition acted for the entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<String>,
}

/// Where a notice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Owed once it takes effect.
    Upcoming,
    /// Owed, and not sent as far as the register knows.
    Due,
    /// Sent.
    Sent,
    /// The authority has it.
    Acknowledged,
}

impl State {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upcoming => "upcoming",
            Self::Due => "due",
            Self::Sent => "sent",
            Self::Acknowledged => "acknowledged",
        }
    }
}

/// Why the register cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The file as a file.
    #[error("{0}")]
    File(#[from] FileError),
    /// What is in it.
    #[error("{path}: {error}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// Out of order.
    #[error("{0} is not sent yet: record that first (--sent {0})")]
    NotSent(String),
    /// Acknowledged before it was sent.
    #[error("{id} was sent on {sent}, it cannot be acknowledged before that")]
    Order {
        /// Notice.
        id: String,
        /// When it was sent.
        sent: Timestamp,
    },
}

/// All marks, by notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Register(BTreeMap<String, Mark>);

impl Register {
    /// Reads the file; an absent one is an empty register.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn load(path: &Path) -> Result<Self, RegisterError> {
        match file::read_text(path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| RegisterError::Content { path: path.display().to_string(), error }),
            Err(error) if error.is_absent() => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the file, whole.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn save(&self, path: &Path) -> Result<(), RegisterError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| RegisterError::Content { path: path.display().to_string(), error })?;
        Ok(file::write(path, format!("{text}\n").as_bytes(), Readers::Owner, Existing::Replace)?)
    }

    /// What was done about a notice.
    #[must_use]
    pub fn mark(&self, id: &str) -> Mark {
        self.0.get(id).cloned().unwrap_or_default()
    }

    /// Where a notice stands.
    #[must_use]
    pub fn state(&self, id: &str, effective: Timestamp, now: Timestamp) -> State {
        match self.mark(id) {
            Mark { acknowledged: Some(_), .. } => State::Acknowledged,
            Mark { sent: Some(_), .. } => State::Sent,
            _ if effective > now => State::Upcoming,
            _ => State::Due,
        }
    }

    /// Records that a notice went out.
    pub fn sent(&mut self, id: &str, at: Timestamp, reference: Option<String>, mandate: Option<String>) {
        let mark = self.0.entry(id.to_owned()).or_default();
        mark.sent = Some(at);
        mark.reference = reference.or_else(|| mark.reference.take());
        mark.mandate = mandate.or_else(|| mark.mandate.take());
    }

    /// Records by which mandate the coalition acts for the entity, whether or not anything went out yet.
    pub fn mandated(&mut self, id: &str, mandate: String) {
        self.0.entry(id.to_owned()).or_default().mandate = Some(mandate);
    }

    /// Records that the authority has it.
    ///
    /// # Errors
    /// [`RegisterError::NotSent`] or [`RegisterError::Order`]; nothing changes then.
    pub fn acknowledged(
        &mut self,
        id: &str,
        at: Timestamp,
        reference: Option<String>,
    ) -> Result<(), RegisterError> {
        let not_sent = || RegisterError::NotSent(id.to_owned());
        let mark = self.0.get_mut(id).ok_or_else(not_sent)?;
        let sent = mark.sent.ok_or_else(not_sent)?;
        if at < sent {
            return Err(RegisterError::Order { id: id.to_owned(), sent });
        }
        mark.acknowledged = Some(at);
        mark.reference = reference.or_else(|| mark.reference.take());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_due_sent_and_acknowledged_in_that_order() {
        let at = Timestamp::from_micros;
        let mut register = Register::default();
        assert_eq!(register.state("1-nis2-entering", at(10), at(5)), State::Upcoming);
        assert_eq!(register.state("1-nis2-entering", at(10), at(10)), State::Due);
        assert!(matches!(
            register.acknowledged("1-nis2-entering", at(11), None),
            Err(RegisterError::NotSent(_))
        ));
        register.mandated("1-nis2-entering", "M".into());
        assert_eq!(register.state("1-nis2-entering", at(10), at(10)), State::Due, "a mandate sends nothing");
        register.sent("1-nis2-entering", at(12), Some("A".into()), None);
        assert_eq!(register.mark("1-nis2-entering").mandate.as_deref(), Some("M"), "the mandate stays");
        assert!(matches!(
            register.acknowledged("1-nis2-entering", at(11), None),
            Err(RegisterError::Order { .. })
        ));
        register.acknowledged("1-nis2-entering", at(13), None).unwrap();
        assert_eq!(register.state("1-nis2-entering", at(10), at(20)), State::Acknowledged);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notices.json");
        assert_eq!(Register::load(&path).unwrap(), Register::default());
        register.save(&path).unwrap();
        assert_eq!(Register::load(&path).unwrap(), register);
        assert_eq!(register.mark("1-nis2-entering").reference.as_deref(), Some("A"));
    }
}
