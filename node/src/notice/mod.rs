//! Participation notices as documents: which authority, in which language, with which evidence.
//!
//! [`belfry_proto::notice`] says from the log what is owed. Here that becomes a JSON object and a page that prints
//! well, in the words of a data file ([`Book`]): authorities and texts are the coalition's to keep, never code. The report
//! of what a member shared in a month ([`Report`]) is worded by the same file.

mod board;
mod book;
mod minutes;
mod number;
mod page;
mod record;
mod register;
mod zone;

pub use board::{Report, Share};
pub use book::{Authority, Book, BookError, LANGUAGES};
pub use minutes::{AMENDMENTS, DEPARTURES, Minutes};
pub use number::CheckDigits;
pub use page::html;
pub use record::{DecisionRecord, RecordError, Recorded};
pub use register::{Mark, Register, RegisterError, State, TakenBack};
pub use zone::{Zone, ZoneError, is_before, is_day};

use belfry_proto::{
    id::GroupId,
    notice::Owed,
    schema::EntityClass,
    time::Timestamp,
    trust::{names::Named as _, roster::Roster, words},
};
use serde::Serialize;

/// A notice with all it says, before it is worded.
#[derive(Clone, Debug, Serialize)]
pub struct Notice {
    /// What people call it.
    pub id: String,
    /// What a register knows it by: the decision itself, wherever in the log it stands.
    #[serde(skip)]
    pub key: String,
    /// `nis2` or `dora`.
    pub act: &'static str,
    /// `entering` or `leaving`.
    pub occasion: &'static str,
    /// Who owes it.
    pub organisation: String,
    /// Enterprise number.
    pub kbo: String,
    /// Legal Entity Identifier.
    pub lei: String,
    /// Entity classes, by name.
    pub classes: Vec<&'static str>,
    /// Sector.
    pub sector: String,
    /// Member id.
    pub member: String,
    /// The coalition's name.
    pub coalition: String,
    /// And id.
    pub coalition_id: String,
    /// As words.
    pub coalition_words: String,
    /// Version of the arrangement the member accepted.
    pub arrangement: String,
    /// Where the arrangement stands.
    pub arrangement_link: String,
    /// Groups, by name.
    pub groups: Vec<String>,
    /// When it was decided.
    pub decided: Timestamp,
    /// When it takes effect.
    pub effective: Timestamp,
    /// When the admins' statement was made. The entry that ordered it bears no time of its own.
    pub made: Timestamp,
    /// The entry that recorded it: its place in the log.
    pub recorded: u64,
    /// Its id.
    pub entry: String,
    /// The statement's.
    pub statement: String,
    /// Who decided and where that is written, if that was kept.
    pub decision: Option<String>,
    /// A true date of entry from before the log; the coalition's assertion.
    pub since_asserted: Option<Timestamp>,
    /// By which mandate the coalition acts for the entity.
    pub mandate: Option<String>,
    /// The decision record itself, if it is tied to the statement.
    #[serde(skip)]
    pub minutes: Option<Minutes>,
}

impl Notice {
    /// The notice of what is owed, under the charter whose names it uses.
    ///
    /// Under which act it is owed its classes of that day say; who owes it is told by its newest data, for a number that was
    /// wrong and is amended must not reach the authority.
    #[must_use]
    pub fn new(owed: &Owed, roster: &Roster) -> Self {
        let charter = roster.charter();
        let name = |group: &GroupId| {
            charter.group(*group).map_or_else(|| group.to_string(), |group| group.name.clone())
        };
        let organisation =
            roster.member(owed.member).map_or(&owed.organisation, |member| &member.organisation);
        Self {
            id: owed.id(),
            key: owed.key(),
            act: owed.act.as_str(),
            occasion: owed.occasion.as_str(),
            organisation: organisation.name.clone(),
            kbo: organisation.kbo.clone(),
            lei: organisation.lei.clone(),
            classes: owed.organisation.classes().map(EntityClass::name).collect(),
            sector: organisation.sector.clone(),
            member: owed.member.to_string(),
            coalition: charter.name().to_owned(),
            coalition_id: charter.coalition().to_string(),
            coalition_words: words::to_words(charter.coalition()),
            arrangement: owed.arrangement.clone(),
            arrangement_link: charter.arrangement().link.clone(),
            groups: owed.groups.iter().map(name).collect(),
            decided: owed.decided,
            effective: owed.effective,
            made: owed.made,
            recorded: owed.recorded.get(),
            entry: owed.entry.to_string(),
            statement: owed.statement.to_string(),
            decision: None,
            since_asserted: None,
            mandate: None,
            minutes: None,
        }
    }
}

#[cfg(test)]
mod example {
    use super::Notice;

    /// A notice that says everything a notice can.
    pub(super) fn notice() -> Notice {
        Notice {
            id: "7-dora-entering".into(),
            key: format!("{}-dora-entering", "ef".repeat(32)),
            act: "dora",
            occasion: "entering",
            organisation: "Bank <b>& \"Co\"</b> {authority}\u{202e}x".into(),
            kbo: "0123456789".into(),
            lei: String::new(),
            classes: vec!["financial", "essential"],
            sector: "banking".into(),
            member: "00".into(),
            coalition: "Coalition".into(),
            coalition_id: "ab".into(),
            coalition_words: "bell tower".into(),
            arrangement: "1.0".into(),
            arrangement_link: "https://example.org/".into(),
            groups: vec!["CIDR".into()],
            decided: "2026-11-20T00:00:00Z".parse().unwrap(),
            effective: "2026-11-21T10:00:00Z".parse().unwrap(),
            made: "2026-11-21T09:59:30Z".parse().unwrap(),
            recorded: 7,
            entry: "cd".into(),
            statement: "ef".repeat(32),
            decision: Some("Board, 2026-11-20".into()),
            since_asserted: Some("2019-03-01T00:00:00Z".parse().unwrap()),
            mandate: Some("M-7".into()),
            minutes: None,
        }
    }
}
