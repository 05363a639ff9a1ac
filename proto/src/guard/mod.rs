//! What an author should look at again before something leaves: people's data, own secrets, known mistakes.
//!
//! Sharing is voluntary, and what has left cannot be called back with certainty. So every publication is read once
//! more before it becomes a draft (DORA 45(1)(c), design §8):
//!
//! ```text
//! objects ─roles─▶ whose is a value? ─texts─▶ every text with its path ─┬─ persons ─▶ people's data
//!                                                                       ├─ own ─▶ secrets, markers
//!         ─observables─▶ values ─▶ warning lists, own values            └─▶ Objection
//! ```
//!
//! An [`Objection`] names object, property, guard and rule, **never the value**: it is shown, logged and kept. Three
//! weights: a *note* is told, a *reason* must be given to go on, and what is *refused* does not leave at all, which
//! are only numbers whose check digits say what they are and that nobody needs to share: national register and card
//! numbers. An adversary's mailbox or mule account may be the intelligence itself; so all else is a person's to decide.

mod digits;
mod fold;
mod own;
mod persons;
mod roles;
pub mod subject;
mod texts;
mod veil;

use std::{cmp::Reverse, collections::BTreeSet, fmt};

use self::{fold::fold, roles::Roles};
pub use self::{
    own::{Own, OwnError},
    persons::{Personal, is_named_as_a_person, personal},
    roles::Role,
    veil::{Naming, Veil, Veiled},
};
use crate::{
    limits::MAX_REASON_BYTES,
    stix::{
        marking::{self, Markings, Tlp},
        object::Object,
        observable::{self, Observable, find},
        warning::{Level, Warnings},
    },
};

/// Objections kept of one publication; beyond it only their number grows. People read some dozens.
pub const MAX_OBJECTIONS: usize = 200;
/// Characters of a reason.
pub const MAX_REASON: usize = 500;
/// Bytes of a value that is looked for in a reason, the shortest domain's. Below it, a mutex or a file's name would forbid words.
const MIN_VALUE: usize = 4;

/// Which guard objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// Data of people (Regulation (EU) 2016/679).
    PersonalData,
    /// The member's own names, domains, ranges.
    OwnSecrets,
    /// Values that are in many an indicator by mistake.
    WarningList,
    /// How far it may travel.
    Marking,
    /// Guidelines on competition policy.
    Competition,
    /// What sharing does not do.
    Duty,
}

impl Guard {
    /// Stable name, for API and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PersonalData => "personal-data",
            Self::OwnSecrets => "own-secrets",
            Self::WarningList => "warning-list",
            Self::Marking => "marking",
            Self::Competition => "competition",
            Self::Duty => "duty",
        }
    }
}

/// What an objection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// To be known.
    Note,
    /// A person's reason to go on.
    Reason,
    /// Taking it out.
    Refused,
}

impl Weight {
    /// Stable name, for API and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Reason => "reason",
            Self::Refused => "refused",
        }
    }
}

/// What a guard found, as a sentence's end: "… holds an e-mail address".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Finding {
    /// Data of a person.
    #[error("holds {0}")]
    Personal(Personal),
    /// Its author says so in it.
    #[error("says of itself that it holds personal data")]
    SaysPersonal,
    /// A value of the member's own, found by readers who look for it.
    #[error("holds one of the own values of guards.own")]
    OwnValue,
    /// A name that should not be known.
    #[error("holds one of the terms of guards.terms")]
    OwnTerm,
    /// A marker of what competitors must not tell each other.
    #[error("holds one of the words of guards.competition; competitors must not exchange such information")]
    Competition,
    /// On a warning list that keeps values out of exports.
    #[error("is on the warning list \"{0}\": readers will not act on it")]
    Warned(String),
    /// Open although it tells who was hit.
    #[error("tells who was hit, under TLP:{0}")]
    VictimInTheOpen(Tlp),
    /// Others said how far it may go. How far, not everybody may know who hands it in.
    #[error("was shared more narrowly by another member: how far it goes is for whoever shared it")]
    PassedOn,
    /// As [`Self::PassedOn`], and it comes from a source that says how far it may go.
    #[error("was shared more narrowly by another member; it goes as far as its source says")]
    AlsoShared,
    /// Nobody said how far it may go.
    #[error("carries no marking and none was stated: it goes out under the default, TLP:{0}")]
    Unmarked(Tlp),
    /// NIS2 30 is another way.
    #[error("is a near miss: sharing it notifies no CSIRT and no authority")]
    NearMiss,
}

impl Finding {
    /// Whose finding it is.
    #[must_use]
    pub const fn guard(&self) -> Guard {
        match self {
            Self::Personal(_) | Self::SaysPersonal => Guard::PersonalData,
            Self::OwnValue | Self::OwnTerm => Guard::OwnSecrets,
            Self::Competition => Guard::Competition,
            Self::Warned(_) => Guard::WarningList,
            Self::VictimInTheOpen(_) | Self::PassedOn | Self::AlsoShared | Self::Unmarked(_) => {
                Guard::Marking
            }
            Self::NearMiss => Guard::Duty,
        }
    }

    /// What it asks for.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        match self {
            Self::Personal(Personal::NationalNumber | Personal::PaymentCard) => Weight::Refused,
            Self::Unmarked(_) | Self::NearMiss | Self::AlsoShared => Weight::Note,
            _ => Weight::Reason,
        }
    }
}

/// One thing to look at again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Objection {
    /// The object's STIX id; unset for the publication as a whole.
    pub object: Option<String>,
    /// Property in it, as in `external_references[2].description`; empty for the object as a whole.
    pub path: String,
    /// Whose the value is.
    pub role: Role,
    /// What.
    pub finding: Finding,
}

impl Objection {
    /// What it asks for.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.finding.weight()
    }
}

/// Object, property, rule and role in one line.
impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.object.as_deref().unwrap_or("the publication"))?;
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, " {}", self.finding)?;
        match (self.role, self.finding.guard()) {
            (Role::Unknown, _) => Ok(()),
            (Role::Adversary, Guard::PersonalData) => {
                f.write_str(", the adversary's: it may be the intelligence itself")
            }
            (Role::Victim, Guard::PersonalData) => f.write_str(", a victim's: nobody needs it to defend"),
            (Role::Adversary, Guard::OwnSecrets) => f.write_str(", as if it were the adversary's"),
            (Role::Adversary | Role::Victim, _) => Ok(()),
        }
    }
}

/// Everything the guards said of one publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The gravest first.
    pub objections: Vec<Objection>,
    /// How many more there were.
    pub more: usize,
}

impl Report {
    /// The gravest weight; unset if nothing was found.
    #[must_use]
    pub fn gravest(&self) -> Option<Weight> {
        self.objections.iter().map(Objection::weight).max()
    }

    /// What was said of several publications that go out together.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        for objection in other.objections {
            // What is said of a publication as a whole is said of each.
            if objection.object.is_some() || !self.objections.contains(&objection) {
                self.objections.push(objection);
            }
        }
        self.objections.sort_by_key(|objection| Reverse(objection.weight()));
        let beyond = self.objections.len().saturating_sub(MAX_OBJECTIONS);
        self.objections.truncate(MAX_OBJECTIONS);
        self.more += other.more + beyond;
        self
    }
}

/// How it shall go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Going {
    /// The publication's marking.
    pub tlp: Tlp,
    /// It is neither stated nor the objects': the configured default.
    pub is_default: bool,
    /// Its author says that it is a near miss.
    pub is_near_miss: bool,
}

/// Reads `objects` as every guard does. Work is linear in their text.
#[must_use]
pub fn examine(objects: &[Object], going: Going, own: &Own, warnings: &Warnings) -> Report {
    // Read once: whose a value is, is said by all objects together.
    let named: Vec<Vec<Observable>> = objects.iter().map(observable::extract).collect();
    let roles = Roles::of(objects.iter().zip(named.iter().map(Vec::as_slice)));
    let markings = Markings::of(objects);
    let mut found = Found::default();
    if going.is_default {
        found.add(None, "", Role::Unknown, Finding::Unmarked(going.tlp));
    }
    if going.is_near_miss {
        found.add(None, "", Role::Unknown, Finding::NearMiss);
    }
    for (object, named) in objects.iter().zip(&named) {
        found.object((object, named.as_slice()), &roles, own, warnings);
        let tlp = marking::effective(object, Some(going.tlp), &markings).unwrap_or(going.tlp);
        if tlp <= Tlp::Green && roles.tells_who_was_hit(object) {
            found.add(Some(object.id()), "", Role::Victim, Finding::VictimInTheOpen(tlp));
        }
    }
    found.into_report()
}

/// The same report with what is found in words that are stated beside the objects, each under its parameter's name: they go to
/// the same readers.
#[must_use]
pub fn stated<'a>(report: Report, words: impl IntoIterator<Item = (&'a str, &'a str)>, own: &Own) -> Report {
    let mut found = Found { objections: report.objections.into_iter().collect(), more: report.more };
    for (parameter, text) in words {
        let folded = fold(text);
        let personal = persons::find(&folded).into_iter().map(Finding::Personal);
        let findings: BTreeSet<Finding> = personal.chain(own.find(&folded)).collect();
        for finding in findings {
            found.add(None, parameter, Role::Unknown, finding);
        }
    }
    found.into_report()
}

/// The same report with objects that would go further than other members shared them, each with what that comes to.
#[must_use]
pub fn passed_on<'a>(report: Report, objects: impl IntoIterator<Item = (&'a str, Finding)>) -> Report {
    let mut found = Found { objections: report.objections.into_iter().collect(), more: report.more };
    for (object, finding) in objects {
        found.add(Some(object), "", Role::Unknown, finding);
    }
    found.into_report()
}

/// Why a reason is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReasonError {
    /// Nothing said, too much, or more than a line.
    #[error("a reason is one line of 1 to {MAX_REASON} characters and at most {MAX_REASON_BYTES} bytes")]
    Length,
    /// It is kept, so it must not hold what it excuses.
    #[error("a reason is kept: it must not hold {0} itself")]
    Personal(Personal),
    /// As [`Self::Personal`].
    #[error("a reason is kept: it must not hold own values, terms or competition-sensitive words")]
    Own,
    /// As [`Self::Personal`].
    #[error("a reason is kept: it must not hold a value of what it excuses")]
    Excused,
}

/// A reason fit to be kept: it repeats no value that the guards know.
///
/// # Errors
/// [`ReasonError`].
pub fn reason(text: &str, own: &Own) -> Result<String, ReasonError> {
    let text = text.trim();
    let is_too_long = text.chars().count() > MAX_REASON || text.len() > MAX_REASON_BYTES;
    if text.is_empty() || is_too_long || text.chars().any(char::is_control) {
        return Err(ReasonError::Length);
    }
    let folded = fold(text);
    if let Some(found) = persons::find(&folded).into_iter().next() {
        return Err(ReasonError::Personal(found));
    }
    if own.find(&folded).next().is_some() {
        return Err(ReasonError::Own);
    }
    Ok(text.to_owned())
}

/// Whether a reason for `report` repeats a value that one of the objects is or names which somebody objects to: of all of them,
/// where there are more objections than are kept.
///
/// # Errors
/// [`ReasonError::Excused`].
pub fn repeats_none(reason: &str, objects: &[Object], report: &Report) -> Result<(), ReasonError> {
    let folded = fold(reason);
    let spoken: BTreeSet<Observable> = find::values(&folded).map(|spoken| spoken.value).collect();
    let folded = folded.to_lowercase();
    let objected: BTreeSet<&str> =
        report.objections.iter().filter_map(|objection| objection.object.as_deref()).collect();
    let excused = objects.iter().filter(|object| report.more > 0 || objected.contains(object.id()));
    let mut values = excused.flat_map(observable::extract);
    match values.any(|value| spoken.contains(&value) || is_word_of(&value.value().to_lowercase(), &folded)) {
        true => Err(ReasonError::Excused),
        false => Ok(()),
    }
}

/// Whether a value stands in a text, and not as a part of another word. What is shorter than any address is a word like others.
fn is_word_of(value: &str, text: &str) -> bool {
    let is_apart = |beside: Option<char>| !beside.is_some_and(char::is_alphanumeric);
    let mut places = text.match_indices(value);
    value.len() >= MIN_VALUE
        && places.any(|(at, _)| {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let after = text.get(at + value.len()..).and_then(|after| after.chars().next());
            is_apart(before) && is_apart(after)
        })
}

#[derive(Default)]
struct Found {
    objections: BTreeSet<Objection>,
    more: usize,
}

impl Found {
    fn add(&mut self, object: Option<&str>, path: &str, role: Role, finding: Finding) {
        let objection = Objection { object: object.map(str::to_owned), path: path.to_owned(), role, finding };
        if self.objections.contains(&objection) {
            return;
        }
        // What is refused must not hide behind a crowd of what is not.
        let most = if objection.weight() < Weight::Refused { MAX_OBJECTIONS } else { 2 * MAX_OBJECTIONS };
        if self.objections.len() < most {
            self.objections.insert(objection);
        } else {
            self.more += 1;
        }
    }

    fn object(
        &mut self,
        (object, named): (&Object, &[Observable]),
        roles: &Roles,
        own: &Own,
        warnings: &Warnings,
    ) {
        let id = Some(object.id());
        for text in texts::of(object) {
            let folded = fold(&text.value);
            let personal = persons::find(&folded).into_iter().map(Finding::Personal);
            let mut findings: BTreeSet<Finding> = personal.collect();
            findings.extend(own.find(&folded));
            if findings.is_empty() {
                continue;
            }
            let role = roles.of_text(object, &text.path);
            // A path holds names its author chose.
            let path = texts::path_without(&text.path, |part| {
                let part = fold(part);
                !persons::find(&part).is_empty() || own.find(&part).next().is_some()
            });
            for finding in findings {
                self.add(id, &path, role, finding);
            }
        }
        // Most have nothing that anybody objects to, and nobody asks whose it is.
        let role = || roles.whose(object);
        if object.stated().is_some_and(|stated| stated.personal_data == Some(true)) {
            self.add(id, "", role(), Finding::SaysPersonal);
        }
        for observable in named {
            let path = if object.kind() == "indicator" { "pattern" } else { "" };
            if own.covers(observable) {
                self.add(id, path, role(), Finding::OwnValue);
            }
            let hits = warnings.hits(observable);
            if let Some(hit) = hits.first().filter(|hit| hit.level == Level::Block) {
                self.add(id, path, role(), Finding::Warned(hit.list.to_owned()));
            }
        }
    }

    fn into_report(self) -> Report {
        let mut objections: Vec<Objection> = self.objections.into_iter().collect();
        objections.sort_by_key(|objection| std::cmp::Reverse(objection.weight()));
        let more = self.more + objections.len().saturating_sub(MAX_OBJECTIONS);
        objections.truncate(MAX_OBJECTIONS);
        Report { objections, more }
    }
}

#[cfg(test)]
mod tests;
