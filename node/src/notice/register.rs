//! The register of notices: what was sent and acknowledged, in a file beside the log. The coalition keeps one, and each member.
//!
//! What is *owed* is never in it: that follows from the log, each time anew. The file only remembers what people did, and what
//! they took back. A mark belongs to a decision ([`Notice::key`]), not to a place in the log: where a new charter cuts the log
//! back, the place becomes another member's. Registers that went by places are read on ([`Register::settle`]).

use std::{collections::BTreeMap, path::Path};

use belfry_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Notice, Zone, is_before};
use crate::keys::file::{self, Existing, FileError, Readers};

/// What was done about one notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// What the notice was called when it was marked, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// When it went out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Timestamp>,
    /// When the authority said that it has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Timestamp>,
    /// The authority's or the sender's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The sender's, once the authority has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_reference: Option<String>,
    /// By which mandate the coalition acted for the entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<String>,
    /// What was recorded and does not hold, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<TakenBack>,
}

/// Something that was recorded and taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakenBack {
    /// What it was: `sent`, `acknowledged` or `mandate`.
    pub what: String,
    /// When that was said to have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The reference it had, or the mandate that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When it was taken back.
    pub on: Timestamp,
    /// Why.
    pub because: String,
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
    #[error(
        "{id} was sent on {sent}, it cannot be acknowledged before that: give the day of the acknowledgement (--on DATE), or take \
         back that it was sent, if that is what is wrong (--take-back {id} --because TEXT)"
    )]
    Order {
        /// Notice.
        id: String,
        /// When it was sent.
        sent: Timestamp,
    },
    /// Sent before anybody had decided anything.
    #[error(
        "{id} tells of what was decided on {decided}: it cannot have been sent before that. Give the day on which it went out \
         (--on DATE); if it was decided earlier, the coalition's record says so (`belfry notice --record FILE`)"
    )]
    BeforeDecision {
        /// Notice.
        id: String,
        /// When it was decided.
        decided: Timestamp,
    },
    /// The authority has it.
    #[error(
        "{0} is acknowledged already: if it was not, or went out on another day, take that back first (--take-back {0} --because \
         TEXT)"
    )]
    Acknowledged(String),
    /// Nothing was recorded.
    #[error("nothing is recorded of {0}: there is nothing to take back")]
    Nothing(String),
}

/// All marks, by the notice's key.
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

    /// Gives marks that go by a place in the log to the notice that stands there now; whether any was. One that was sent before
    /// that notice's statement was made was another's, and of a mandate alone nobody can tell: both stay as they are.
    pub fn settle(&mut self, notices: &[Notice], clocks: &[Zone]) -> bool {
        let mut has_moved = false;
        for notice in notices {
            if self.0.contains_key(&notice.key) {
                continue;
            }
            let is_its = |mark: &Mark| mark.sent.is_some_and(|sent| !is_before(sent, notice.made, clocks));
            if self.0.get(&notice.id).is_some_and(is_its)
                && let Some(mark) = self.0.remove(&notice.id)
            {
                self.0.insert(notice.key.clone(), Mark { notice: Some(notice.id.clone()), ..mark });
                has_moved = true;
            }
        }
        has_moved
    }

    /// What was sent or mandated, and is of no notice that the log gives cause for: what the notice was called, and its mark.
    pub fn strangers<'a>(&'a self, notices: &'a [Notice]) -> impl Iterator<Item = (&'a str, &'a Mark)> {
        let is_known = move |key: &str| notices.iter().any(|notice| notice.key == key);
        self.0
            .iter()
            .filter(move |(key, mark)| (mark.sent.is_some() || mark.mandate.is_some()) && !is_known(key))
            .map(|(key, mark)| (mark.notice.as_deref().unwrap_or(key), mark))
    }

    /// What was done about a notice.
    #[must_use]
    pub fn mark(&self, notice: &Notice) -> Mark {
        self.0.get(&notice.key).cloned().unwrap_or_default()
    }

    /// Where a notice stands.
    #[must_use]
    pub fn state(&self, notice: &Notice, now: Timestamp) -> State {
        match self.mark(notice) {
            Mark { acknowledged: Some(_), .. } => State::Acknowledged,
            Mark { sent: Some(_), .. } => State::Sent,
            _ if notice.effective > now => State::Upcoming,
            _ => State::Due,
        }
    }

    /// Records that a notice went out. Recorded before, it did so on this day: the earlier word is kept as taken back at `now`.
    ///
    /// # Errors
    /// [`RegisterError::BeforeDecision`] or [`RegisterError::Acknowledged`]; nothing changes then.
    pub fn sent(
        &mut self,
        notice: &Notice,
        at: Timestamp,
        (reference, mandate): (Option<String>, Option<String>),
        now: Timestamp,
        clocks: &[Zone],
    ) -> Result<(), RegisterError> {
        // Who took part before the log began may have told its authority then.
        let earliest = notice.since_asserted.map_or(notice.decided, |since| since.min(notice.decided));
        if is_before(at, earliest, clocks) {
            return Err(RegisterError::BeforeDecision { id: notice.id.clone(), decided: notice.decided });
        }
        if self.mark(notice).acknowledged.is_some() {
            return Err(RegisterError::Acknowledged(notice.id.clone()));
        }
        let mark = self.of(notice);
        if let Some(earlier) = mark.sent.replace(at).filter(|earlier| *earlier != at) {
            let earlier = anew("sent", Some(earlier), mark.reference.clone(), now);
            mark.taken_back.push(earlier);
        }
        mark.reference = reference.or_else(|| mark.reference.take());
        if let Some(mandate) = mandate {
            mark.mandated(mandate, now);
        }
        Ok(())
    }

    /// Records by which mandate the coalition acts for the entity, whether or not anything went out yet. Recorded before, the
    /// earlier one is kept as taken back at `now`.
    pub fn mandated(&mut self, notice: &Notice, mandate: String, now: Timestamp) {
        self.of(notice).mandated(mandate, now);
    }

    /// Records that the authority has it. Recorded before, the earlier word is kept as taken back at `now`.
    ///
    /// # Errors
    /// [`RegisterError::NotSent`] or [`RegisterError::Order`]; nothing changes then.
    pub fn acknowledged(
        &mut self,
        notice: &Notice,
        at: Timestamp,
        reference: Option<String>,
        now: Timestamp,
        clocks: &[Zone],
    ) -> Result<(), RegisterError> {
        let not_sent = || RegisterError::NotSent(notice.id.clone());
        let mark = self.0.get_mut(&notice.key).ok_or_else(not_sent)?;
        let sent = mark.sent.ok_or_else(not_sent)?;
        if is_before(at, sent, clocks) {
            return Err(RegisterError::Order { id: notice.id.clone(), sent });
        }
        match mark.acknowledged.replace(at) {
            None => mark.sent_reference = mark.reference.clone(),
            Some(earlier) if earlier != at => {
                let earlier = anew("acknowledged", Some(earlier), mark.reference.clone(), now);
                mark.taken_back.push(earlier);
            }
            Some(_) => {}
        }
        mark.reference = reference.or_else(|| mark.reference.take());
        Ok(())
    }

    /// Takes back the last thing that was recorded: that it was acknowledged, else that it was sent, else its mandate. What that
    /// was stays in the register, with when and why it was taken back; gives what it was.
    ///
    /// # Errors
    /// [`RegisterError::Nothing`].
    pub fn take_back(
        &mut self,
        notice: &Notice,
        now: Timestamp,
        because: String,
    ) -> Result<&'static str, RegisterError> {
        let nothing = || RegisterError::Nothing(notice.id.clone());
        let mark = self.0.get_mut(&notice.key).ok_or_else(nothing)?;
        let (what, at, reference) = if let Some(at) = mark.acknowledged.take() {
            let was = mark.reference.clone();
            mark.reference = mark.sent_reference.take();
            ("acknowledged", Some(at), was)
        } else if let Some(at) = mark.sent.take() {
            ("sent", Some(at), mark.reference.take())
        } else if let Some(mandate) = mark.mandate.take() {
            ("mandate", None, Some(mandate))
        } else {
            return Err(nothing());
        };
        mark.taken_back.push(TakenBack { what: what.to_owned(), at, reference, on: now, because });
        Ok(what)
    }

    fn of(&mut self, notice: &Notice) -> &mut Mark {
        let mark = self.0.entry(notice.key.clone()).or_default();
        mark.notice = Some(notice.id.clone());
        mark
    }
}

impl Mark {
    fn mandated(&mut self, mandate: String, now: Timestamp) {
        if let Some(earlier) =
            self.mandate.replace(mandate).filter(|earlier| self.mandate.as_ref() != Some(earlier))
        {
            self.taken_back.push(anew("mandate", None, Some(earlier), now));
        }
    }
}

/// What was recorded once and is recorded otherwise now.
fn anew(what: &str, at: Option<Timestamp>, reference: Option<String>, now: Timestamp) -> TakenBack {
    TakenBack { what: what.to_owned(), at, reference, on: now, because: "recorded anew".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::example;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Decided on 20 November, effective on the 21st at ten, of a new member.
    fn notice() -> Notice {
        Notice { since_asserted: None, ..example::notice() }
    }

    fn utc() -> Vec<Zone> {
        vec![Zone::default()]
    }

    fn said(reference: &str) -> (Option<String>, Option<String>) {
        (Some(reference.to_owned()), None)
    }

    const SILENT: (Option<String>, Option<String>) = (None, None);

    #[test]
    fn a_notice_is_due_sent_and_acknowledged_in_that_order() {
        let (notice, clocks) = (notice(), utc());
        let (now, later) = (at("2026-11-21T10:00:00Z"), at("2026-11-22T10:00:00Z"));
        let mut register = Register::default();
        assert_eq!(register.state(&notice, at("2026-11-21T09:59:59Z")), State::Upcoming);
        assert_eq!(register.state(&notice, now), State::Due);
        assert!(matches!(
            register.acknowledged(&notice, now, None, now, &clocks),
            Err(RegisterError::NotSent(_))
        ));
        register.mandated(&notice, "M".into(), now);
        assert_eq!(register.state(&notice, now), State::Due, "a mandate sends nothing");
        register.sent(&notice, later, said("A"), later, &clocks).unwrap();
        assert_eq!(register.mark(&notice).mandate.as_deref(), Some("M"), "the mandate stays");
        assert!(matches!(
            register.acknowledged(&notice, now, None, later, &clocks),
            Err(RegisterError::Order { .. })
        ));
        register.acknowledged(&notice, later, None, later, &clocks).unwrap();
        assert_eq!(register.state(&notice, later), State::Acknowledged);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notices.json");
        assert_eq!(Register::load(&path).unwrap(), Register::default());
        register.save(&path).unwrap();
        assert_eq!(Register::load(&path).unwrap(), register);
        assert_eq!(register.mark(&notice).reference.as_deref(), Some("A"));
    }

    #[test]
    fn what_was_sent_today_can_be_acknowledged_today_and_nothing_was_sent_before_it_was_decided() {
        let (notice, clocks) = (notice(), utc());
        let (sent, today) = (at("2026-11-25T14:00:00Z"), at("2026-11-25T00:00:00Z"));
        let mut register = Register::default();
        let early = register.sent(&notice, at("2020-01-01T00:00:00Z"), SILENT, sent, &clocks);
        assert!(matches!(early, Err(RegisterError::BeforeDecision { .. })), "{early:?}");
        assert_eq!(register, Register::default(), "nothing is recorded");
        let old = example::notice();
        let since = |day: &str, register: &mut Register| register.sent(&old, at(day), SILENT, sent, &clocks);
        assert!(since("2019-02-28T00:00:00Z", &mut register).is_err(), "it takes part since March");
        since("2025-01-17T00:00:00Z", &mut register).unwrap();
        // The day of the decision is not before it, whatever its hour.
        let hour = Notice { decided: at("2026-11-20T16:00:00Z"), ..notice.clone() };
        register.sent(&hour, at("2026-11-20T00:00:00Z"), SILENT, sent, &clocks).unwrap();
        register.sent(&notice, sent, SILENT, sent, &clocks).unwrap();
        let before = register.acknowledged(&notice, at("2026-11-24T00:00:00Z"), None, sent, &clocks);
        assert!(before.unwrap_err().to_string().contains("--take-back 7-dora-entering"));
        register.acknowledged(&notice, today, None, sent, &clocks).unwrap();
        assert_eq!(register.state(&notice, sent), State::Acknowledged);
    }

    #[test]
    fn what_is_taken_back_is_recorded_with_its_reason_and_the_mark_before_it_holds_again() {
        let (notice, clocks) = (notice(), utc());
        let (sent, now) = (at("2026-11-25T14:00:00Z"), at("2026-11-26T08:00:00Z"));
        let mut register = Register::default();
        let nothing = register.take_back(&notice, now, "x".into()).unwrap_err().to_string();
        assert!(nothing.contains("nothing to take back"), "{nothing}");
        register.mandated(&notice, "M".into(), sent);
        register.sent(&notice, sent, said("A"), sent, &clocks).unwrap();
        register.acknowledged(&notice, sent, Some("NBB-1".into()), sent, &clocks).unwrap();
        // Sent once more is no way around what the authority said.
        let again = register.sent(&notice, now, SILENT, now, &clocks);
        assert!(matches!(again, Err(RegisterError::Acknowledged(_))), "{again:?}");
        assert_eq!(register.take_back(&notice, now, "another's".into()).unwrap(), "acknowledged");
        assert_eq!(register.state(&notice, now), State::Sent);
        assert_eq!(register.mark(&notice).reference.as_deref(), Some("A"), "the sender's holds again");
        assert_eq!(register.take_back(&notice, now, "not sent".into()).unwrap(), "sent");
        assert_eq!(register.state(&notice, now), State::Due);
        assert_eq!(register.take_back(&notice, now, "withdrawn".into()).unwrap(), "mandate");
        assert!(register.take_back(&notice, now, "x".into()).is_err());
        let kept: Vec<_> = register
            .mark(&notice)
            .taken_back
            .into_iter()
            .map(|it| (it.what, it.at, it.reference.unwrap(), it.because))
            .collect();
        let was = |what: &str, at, reference: &str, because: &str| {
            (what.to_owned(), at, reference.to_owned(), because.to_owned())
        };
        assert_eq!(
            kept,
            [
                was("acknowledged", Some(sent), "NBB-1", "another's"),
                was("sent", Some(sent), "A", "not sent"),
                was("mandate", None, "M", "withdrawn"),
            ]
        );
        // Another day for what was recorded: the earlier one is not lost.
        register.sent(&notice, sent, SILENT, sent, &clocks).unwrap();
        register.sent(&notice, now, SILENT, now, &clocks).unwrap();
        let mark = register.mark(&notice);
        assert_eq!((mark.sent, mark.taken_back.last().unwrap().at), (Some(now), Some(sent)));
    }

    #[test]
    fn a_mark_is_of_its_decision_and_no_other_that_takes_its_place_in_the_log() {
        let (one, clocks, sent) = (notice(), utc(), at("2026-11-25T14:00:00Z"));
        let mut register = Register::default();
        register.sent(&one, sent, SILENT, sent, &clocks).unwrap();
        register.acknowledged(&one, sent, Some("NBB-9".into()), sent, &clocks).unwrap();
        // A new charter cuts the log back; another member's entry has the height now.
        let two = Notice { key: format!("{}-dora-entering", "aa".repeat(32)), ..one.clone() };
        assert_eq!(one.id, two.id);
        assert_eq!(register.state(&two, sent), State::Due);
        let told: Vec<_> = register.strangers(std::slice::from_ref(&two)).map(|(id, _)| id).collect();
        assert_eq!(told, ["7-dora-entering"]);
        // Ordered again, further on, it is the same decision.
        let again = Notice { id: "9-dora-entering".into(), ..one.clone() };
        assert_eq!(register.state(&again, sent), State::Acknowledged);
        assert_eq!(register.strangers(&[again, two]).count(), 0);
    }

    #[test]
    fn a_register_that_goes_by_places_is_read_on_and_gives_nobody_what_was_another_ones() {
        let kept = r#"{ "7-dora-entering": { "sent": "2026-11-25T14:00:00.000000Z", "reference": "A" } }"#;
        let (notice, clocks, now) = (notice(), utc(), at("2026-11-26T08:00:00Z"));
        let mut register: Register = serde_json::from_str(kept).unwrap();
        assert!(register.settle(std::slice::from_ref(&notice), &clocks), "there is something to save");
        assert_eq!(register.state(&notice, now), State::Sent);
        assert_eq!(register.mark(&notice).reference.as_deref(), Some("A"));
        let settled = register.clone();
        assert!(!register.settle(std::slice::from_ref(&notice), &clocks), "once is enough");
        assert_eq!(register, settled);
        // What stands there now was signed after that went out, whenever it was decided: it is another one's.
        let later = Notice { made: at("2026-11-26T00:00:00Z"), ..notice };
        let mut register: Register = serde_json::from_str(kept).unwrap();
        assert!(!register.settle(std::slice::from_ref(&later), &clocks));
        assert_eq!(register.state(&later, now), State::Due);
        let told: Vec<_> = register.strangers(std::slice::from_ref(&later)).map(|(id, _)| id).collect();
        assert_eq!(told, ["7-dora-entering"]);
        // Whose mandate it was, no date tells.
        let kept = r#"{ "7-dora-entering": { "mandate": "M-7" } }"#;
        let mut register: Register = serde_json::from_str(kept).unwrap();
        assert!(!register.settle(std::slice::from_ref(&later), &clocks));
        assert_eq!(register.mark(&later), Mark::default());
        let told: Vec<_> = register.strangers(std::slice::from_ref(&later)).map(|(id, _)| id).collect();
        assert_eq!(told, ["7-dora-entering"]);
    }

    #[test]
    fn another_mandate_leaves_the_one_before_it_in_the_register() {
        let (notice, clocks, now) = (notice(), utc(), at("2026-11-26T08:00:00Z"));
        let mut register = Register::default();
        register.mandated(&notice, "M-1".into(), now);
        register.mandated(&notice, "M-1".into(), now);
        assert!(register.mark(&notice).taken_back.is_empty(), "the same is none");
        register.mandated(&notice, "M-2".into(), now);
        register.sent(&notice, now, (None, Some("M-3".into())), now, &clocks).unwrap();
        let mark = register.mark(&notice);
        let kept: Vec<_> = mark.taken_back.iter().map(|it| (&*it.what, it.reference.as_deref())).collect();
        assert_eq!(kept, [("mandate", Some("M-1")), ("mandate", Some("M-2"))]);
        assert_eq!(mark.mandate.as_deref(), Some("M-3"));
    }
}
