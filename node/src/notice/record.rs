//! What the coalition can show of the decisions behind a member's notices, handed over as a file.
//!
//! The log names nobody, and dates nothing but its statements. Who decided, on which day and where that is written lies in the
//! coalition's folder; without it the entity's own notice would give another date than the coalition's page of the same one.
//! So a [`DecisionRecord`] goes to the member. It is the coalition's word; what binds it is the statement of each
//! notice, which is a decision about this member in the log, or the record is refused. Who decided, when and where that is
//! written is signed for with the statement, whose nonce is drawn from it ([`Minutes`]); mandates, and what was decided before
//! belfry did so, are not.

use std::time::Duration;

use belfry_proto::{
    id::{CoalitionId, MemberId, StatementId},
    notice::Occasion,
    time::Timestamp,
    trust::{
        roster::Roster,
        statement::{Decision, Statement, Subject},
    },
};
use serde::{Deserialize, Serialize};

use super::{Minutes, Notice};

/// How long before its statement a decision may have been taken. Too short ⇒ a member from before the log has no record; too
/// long ⇒ a notice says what nobody can mean.
const LONGEST: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);
/// Characters of a text: a body's name, a day and a reference, as the coalition's folder has them.
const MAX_TEXT: usize = 700;

/// The decisions behind all notices of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRecord {
    /// Of which coalition.
    pub coalition: CoalitionId,
    /// Whose.
    pub member: MemberId,
    /// By name, for people.
    pub organisation: String,
    /// In the log's order.
    pub notices: Vec<Recorded>,
}

/// What a notice says besides the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The notice.
    pub notice: String,
    /// The statement that gave cause for it.
    pub statement: String,
    /// When it was decided.
    pub decided: Timestamp,
    /// By whom, and where that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// A true date of entry from before the log; the coalition's assertion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_asserted: Option<Timestamp>,
    /// By which mandate the coalition acts for the entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<String>,
    /// What of it the admins signed for, with the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<Minutes>,
}

/// Why a record is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not one.
    #[error("it is no decision record, as `belfry coalition notices --write` makes one: {0}")]
    Content(#[from] serde_json::Error),
    /// Of another coalition.
    #[error("it is of coalition {0}, not of this node's: ask your own for one")]
    OtherCoalition(CoalitionId),
    /// Of another member.
    #[error(
        "it is of {organisation:?} (member {member}), not of this node's member: ask the coalition for yours"
    )]
    OtherMember {
        /// Whose.
        member: MemberId,
        /// By name.
        organisation: String,
    },
    /// The log does not know it.
    #[error(
        "its notice {notice} rests on statement {statement}, which is no decision about this member in the log: read a newer log \
         (--log), or ask the coalition for the record anew"
    )]
    NotInLog {
        /// The notice.
        notice: String,
        /// The statement.
        statement: String,
    },
    /// No decision is taken after it was signed.
    #[error(
        "its notice {notice} was decided, or entered into, after the log says so, or {} years before: ask the coalition for \
         the record anew",
        LONGEST.as_secs() / (365 * 24 * 60 * 60)
    )]
    Dates {
        /// The notice.
        notice: String,
    },
    /// Changed since it was signed for.
    #[error(
        "of its notice {notice} it says something else than the admins signed for with statement {statement}: it was changed; ask \
         the coalition for the record anew"
    )]
    Changed {
        /// The notice.
        notice: String,
        /// The statement.
        statement: String,
    },
    /// It goes on a page.
    #[error("a text of its notice {notice} is no line of at most {MAX_TEXT} characters")]
    Text {
        /// The notice.
        notice: String,
    },
}

impl DecisionRecord {
    /// Of what the coalition says of a member in these notices.
    #[must_use]
    pub fn of(coalition: CoalitionId, member: MemberId, notices: &[&Notice]) -> Self {
        Self {
            coalition,
            member,
            organisation: notices.first().map(|notice| notice.organisation.clone()).unwrap_or_default(),
            notices: notices.iter().map(|notice| Recorded::of(notice)).collect(),
        }
    }

    /// Reads one and holds it to the log: of `member`, and of statements about it.
    ///
    /// # Errors
    /// [`RecordError`], the first rule that breaks.
    pub fn open(text: &str, roster: &Roster, member: MemberId) -> Result<Self, RecordError> {
        Self::read(text)?.held_to(roster, member)
    }

    /// Reads one, and says nothing of whether it holds.
    ///
    /// # Errors
    /// [`RecordError::Content`].
    pub fn read(text: &str) -> Result<Self, RecordError> {
        Ok(serde_json::from_str(text)?)
    }

    /// Holds it to the log: of `member`, and of statements about it.
    ///
    /// # Errors
    /// [`RecordError`], the first rule that breaks.
    pub fn held_to(self, roster: &Roster, member: MemberId) -> Result<Self, RecordError> {
        let record = self;
        if record.coalition != roster.coalition() {
            return Err(RecordError::OtherCoalition(record.coalition));
        }
        if record.member != member {
            return Err(RecordError::OtherMember {
                member: record.member,
                organisation: record.organisation,
            });
        }
        for recorded in &record.notices {
            let Recorded { notice, statement, .. } = recorded;
            let id: Option<StatementId> = statement.parse().ok();
            let found = roster.records().find(|record| Some(record.statement.id) == id);
            let about = found.and_then(|record| match record.statement.subject()? {
                Subject::Member(member) => Some(member),
                Subject::Certificate(serial) => Some(roster.certificate(serial)?.member),
            });
            let Some(found) = found.filter(|_| about == Some(member)) else {
                return Err(RecordError::NotInLog { notice: notice.clone(), statement: statement.clone() });
            };
            recorded.check(&found.statement)?;
        }
        Ok(record)
    }

    /// Says in a notice what is recorded of it. When leaving was decided stands in the log, signed: no record says otherwise.
    pub fn tell(&self, notice: &mut Notice) {
        // By the statement, which gives cause for one notice alone: its place in the log may become another.
        let is_of = |of: &&Recorded| of.statement == notice.statement;
        let Some(found) = self.notices.iter().find(is_of).cloned() else { return };
        if notice.occasion != Occasion::Leaving.as_str() {
            notice.decided = found.decided;
        }
        notice.decision = found.decision;
        notice.since_asserted = found.since_asserted;
        notice.mandate = found.mandate;
        notice.minutes = found.minutes;
    }
}

impl Recorded {
    /// Holds dates and texts to the statement and to what a page takes.
    fn check(&self, statement: &Statement) -> Result<(), RecordError> {
        let notice = || self.notice.clone();
        let is_signed = match &statement.decision {
            Decision::Revoke(revoke) => revoke.decided == self.decided.as_micros(),
            _ => false,
        };
        let is_absurd = self.decided > statement.made || statement.made.since(self.decided) > LONGEST;
        let is_after = self.since_asserted.is_some_and(|since| since > statement.made);
        if is_after || (is_absurd && !is_signed) {
            return Err(RecordError::Dates { notice: notice() });
        }
        let is_line = |text: &String| {
            !text.trim().is_empty()
                && text.chars().count() <= MAX_TEXT
                && !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        };
        if !self.decision.iter().chain(&self.mandate).all(is_line) {
            return Err(RecordError::Text { notice: notice() });
        }
        match self.minutes.as_ref().is_none_or(|minutes| self.is_as_signed(minutes, statement, is_signed)) {
            true => Ok(()),
            false => Err(RecordError::Changed { notice: notice(), statement: self.statement.clone() }),
        }
    }

    /// Whether it says what its minutes say, and those are the ones that were signed for. A day that stands in the statement
    /// itself needs none; where none was recorded, it is the one on which the statement was made.
    fn is_as_signed(&self, minutes: &Minutes, statement: &Statement, is_dated: bool) -> bool {
        let is_that_day = is_dated || minutes.decided_on.unwrap_or(statement.made) == self.decided;
        minutes.is_of(statement)
            && minutes.told() == self.decision
            && minutes.member_since == self.since_asserted
            && is_that_day
    }

    fn of(notice: &Notice) -> Self {
        Self {
            notice: notice.id.clone(),
            statement: notice.statement.clone(),
            decided: notice.decided,
            decision: notice.decision.clone(),
            since_asserted: notice.since_asserted,
            mandate: notice.mandate.clone(),
            minutes: notice.minutes.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        schema,
        trust::{evidence::SALT, statement::propose_with},
    };

    use super::*;

    #[test]
    fn an_edited_day_is_a_change_whether_or_not_the_minutes_name_one() {
        let (coalition, made) = (CoalitionId::new([1; 32]), Timestamp::from_micros(2_000_000_000_000_000));
        let before = |hours: u64| made.saturating_sub(Duration::from_secs(hours * 3600));
        for decided_on in [None, Some(before(24))] {
            let minutes = Minutes {
                decided_by: Some("Board".into()),
                decided_on,
                evidence: None,
                member_since: None,
                salt: Some("00".repeat(SALT)),
            };
            let nonce = minutes.nonce(coalition).unwrap();
            let decision = Decision::Resume(schema::Resume { serial: 1 });
            let previous = Some(StatementId::new([2; 32]));
            let payload = propose_with(coalition, decision, previous, 1, made, nonce);
            let statement = Statement::decode(&payload).unwrap();
            let recorded = |decided| Recorded {
                notice: "1-nis2-entering".into(),
                statement: statement.id.to_string(),
                decided,
                decision: minutes.told(),
                since_asserted: None,
                mandate: None,
                minutes: Some(minutes.clone()),
            };
            recorded(decided_on.unwrap_or(made)).check(&statement).unwrap();
            let edited = recorded(before(1)).check(&statement);
            assert!(matches!(edited, Err(RecordError::Changed { .. })), "{decided_on:?}");
        }
    }
}
