//! The data file of notices: authorities with the days they are right on, and texts in every language.

use std::collections::BTreeMap;

use belfry_proto::{
    notice::{Act, Occasion},
    time::Timestamp,
    trust::names::Named as _,
};
use serde::Deserialize;

use super::{CheckDigits, Zone, zone::is_day};

/// Belgium's, with its three languages.
const DEFAULT: &str = include_str!("../../../config/notices.default.toml");

/// Languages every book speaks.
pub const LANGUAGES: [&str; 3] = ["en", "nl", "fr"];

/// Texts besides those of acts, occasions and classes.
const TEXTS: [&str; 44] = [
    "to",
    "organisation",
    "kbo",
    "lei",
    "classes",
    "sector",
    "coalition",
    "arrangement",
    "groups",
    "decided",
    "effective",
    "recorded",
    "recorded_as",
    "since",
    "since_asserted",
    "nis2_entering_since",
    "decision",
    "by_member",
    "departure",
    "amendment",
    "mandate",
    "evidence",
    "evidence_text",
    "entry",
    "statement",
    "coalition_id",
    "signature",
    "none",
    "months",
    "date",
    "moment",
    "activity_title",
    "activity_intro",
    "activity_month",
    "activity_group",
    "activity_published",
    "activity_withdrew",
    "activity_received",
    "activity_opened",
    "activity_members",
    "activity_messages",
    "activity_too_few",
    "activity_counted",
    "activity_under",
];

/// A coalition's authorities and words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// As of when its keeper vouches for it.
    pub version: String,
    /// Whose authorities they are.
    pub country: String,
    /// By whose clock pages tell days and hours.
    #[serde(default)]
    pub zone: Zone,
    /// How enterprise numbers are checked; where nothing is said, they are not.
    #[serde(default)]
    pub enterprise_number: Option<CheckDigits>,
    authorities: Vec<Authority>,
    texts: BTreeMap<String, BTreeMap<String, String>>,
}

/// A competent authority.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    act: String,
    #[serde(default)]
    sectors: Vec<String>,
    from: String,
    until: Option<String>,
    /// Where notices go: an address people can use.
    #[serde(default)]
    pub channel: String,
    name: BTreeMap<String, String>,
}

impl Authority {
    /// Its name in a language.
    #[must_use]
    pub fn name(&self, language: &str) -> &str {
        self.name.get(language).map_or("", String::as_str)
    }

    /// ISO days sort as days do.
    fn is_right_on(&self, day: &str) -> bool {
        self.from.as_str() <= day && self.until.as_deref().is_none_or(|until| day <= until)
    }
}

/// Why a data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// Not the right TOML.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A text is missing, or empty.
    #[error("texts.{language} lacks {key:?}: every language needs every text")]
    Missing {
        /// Language.
        language: String,
        /// Key.
        key: String,
    },
    /// A text nothing uses.
    #[error("texts.{language} has {key:?}, which nothing uses: a misspelt key?")]
    Unknown {
        /// Language.
        language: String,
        /// Key.
        key: String,
    },
    /// An act that there is not, or a day that is none.
    #[error("authority {0}: act is nis2 or dora, and from and until are days as in 2025-01-17")]
    Authority(usize),
    /// Nobody to tell.
    #[error("no authority for {act} on {day}: add one to the authorities file")]
    Nobody {
        /// Act.
        act: String,
        /// Day.
        day: String,
    },
}

impl Book {
    /// Belgium's.
    ///
    /// # Errors
    /// Never: a test holds the file to its rules.
    pub fn standard() -> Result<Self, BookError> {
        Self::parse(DEFAULT)
    }

    /// Reads a file; nothing may be missing in any language.
    ///
    /// # Errors
    /// [`BookError`], the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, BookError> {
        let book: Self = toml::from_str(text)?;
        let keys = keys();
        for language in LANGUAGES {
            let texts = book.texts.get(language).cloned().unwrap_or_default();
            let error = |key: &String| (language.to_owned(), key.clone());
            if let Some(key) = keys.iter().find(|key| texts.get(*key).is_none_or(|t| t.trim().is_empty())) {
                let (language, key) = error(key);
                return Err(BookError::Missing { language, key });
            }
            if let Some(key) = texts.keys().find(|key| !keys.contains(key)) {
                let (language, key) = error(key);
                return Err(BookError::Unknown { language, key });
            }
            if texts.get("months").is_none_or(|months| months.split_whitespace().count() != 12) {
                return Err(BookError::Missing { language: language.to_owned(), key: "months".to_owned() });
            }
        }
        for (n, authority) in (1..).zip(&book.authorities) {
            let is_day =
                |day: &str| day.len() == 10 && format!("{day}T00:00:00Z").parse::<Timestamp>().is_ok();
            let days = is_day(&authority.from) && authority.until.as_deref().is_none_or(is_day);
            if !Act::ALL.iter().any(|act| act.as_str() == authority.act) || !days {
                return Err(BookError::Authority(n));
            }
            if let Some(language) = LANGUAGES.iter().find(|language| authority.name(language).is_empty()) {
                return Err(BookError::Missing {
                    language: (*language).to_owned(),
                    key: format!("name of authority {n}"),
                });
            }
        }
        Ok(book)
    }

    /// The authority that is told under an act, by a member of a sector, of what took effect at a time.
    ///
    /// # Errors
    /// [`BookError::Nobody`].
    pub fn authority(&self, act: &str, sector: &str, at: Timestamp) -> Result<&Authority, BookError> {
        let day = self.zone.date(at);
        let mut right = self.authorities.iter().filter(|a| a.act == act && a.is_right_on(&day));
        let sector = sector.trim().to_lowercase();
        let named = right.clone().find(|a| a.sectors.iter().any(|s| s.to_lowercase() == sector));
        named
            .or_else(|| right.find(|authority| authority.sectors.is_empty()))
            .ok_or_else(|| BookError::Nobody { act: act.to_owned(), day })
    }

    /// A text; every key is there, by [`Self::parse`].
    #[must_use]
    pub fn text(&self, language: &str, key: &str) -> &str {
        self.texts.get(language).and_then(|texts| texts.get(key)).map_or("", String::as_str)
    }

    /// A moment in words, as the reader's clock has it: rights begin and end by it, so the clock is named.
    #[must_use]
    pub fn date(&self, language: &str, at: Timestamp) -> String {
        self.text(language, "moment")
            .replace("{date}", &self.dated(language, "date", &self.zone.date(at)))
            .replace("{time}", &self.zone.hour(at))
            .replace("{zone}", &self.zone.called(at))
    }

    /// What may have been stated as a day alone, in words: that day, whatever clock the reader has. A moment is one.
    #[must_use]
    pub fn day(&self, language: &str, at: Timestamp) -> String {
        match is_day(at) {
            true => self.dated(language, "date", &self.zone.day(at)),
            false => self.date(language, at),
        }
    }

    /// The month of a moment, in words; months are counted in UTC.
    #[must_use]
    pub fn month(&self, language: &str, at: Timestamp) -> String {
        self.dated(language, "activity_month", &at.to_string())
    }

    /// A text with the day, month and year that another begins with, as in 2027-01-01.
    fn dated(&self, language: &str, key: &str, text: &str) -> String {
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        let month = part(5, 7).parse::<usize>().ok().and_then(|month| month.checked_sub(1));
        let month = month.and_then(|month| self.text(language, "months").split_whitespace().nth(month));
        self.text(language, key)
            .replace("{day}", part(8, 10).trim_start_matches('0'))
            .replace("{month}", month.unwrap_or_default())
            .replace("{year}", part(0, 4))
    }
}

/// Every key a language needs.
fn keys() -> Vec<String> {
    let mut keys: Vec<String> = TEXTS.iter().map(|key| (*key).to_owned()).collect();
    for occasion in Occasion::ALL {
        keys.push(format!("title_{}", occasion.as_str()));
        keys.extend(Act::ALL.map(|act| format!("{}_{}", act.as_str(), occasion.as_str())));
    }
    keys.extend(belfry_proto::schema::EntityClass::all_names().map(|name| format!("class_{name}")));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_missing_in_any_language_and_none_is_spare() {
        let book = Book::standard().unwrap();
        assert_eq!(keys().len(), 44 + 6 + 8);
        for language in LANGUAGES {
            for key in keys() {
                assert!(!book.text(language, &key).trim().is_empty(), "{language} {key}");
            }
        }
        // The same things are named in every language: a translation cannot forget the authority.
        let placeholders = |language: &str, key: &str| {
            let text = book.text(language, key);
            let mut found: Vec<&str> = text
                .split('{')
                .skip(1)
                .filter_map(|rest| rest.split_once('}'))
                .map(|(name, _)| name)
                .collect();
            found.sort_unstable();
            found.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        for key in keys() {
            for language in ["nl", "fr"] {
                assert_eq!(placeholders("en", &key), placeholders(language, &key), "{language} {key}");
            }
        }
    }

    #[test]
    fn a_file_that_lacks_a_text_in_one_language_is_refused_with_its_name() {
        let without = DEFAULT.replacen("none = \"geen\"\n", "", 1);
        let error = Book::parse(&without).unwrap_err().to_string();
        assert_eq!(error, "texts.nl lacks \"none\": every language needs every text");
        let misspelt = DEFAULT.replacen("none = \"aucun\"\n", "none = \"aucun\"\nnoone = \"x\"\n", 1);
        assert!(Book::parse(&misspelt).unwrap_err().to_string().contains("noone"));
        let act = DEFAULT.replacen("act = \"dora\"", "act = \"dorra\"", 1);
        assert!(matches!(Book::parse(&act), Err(BookError::Authority(2))));
        let name = DEFAULT.replacen("name.fr = \"Banque nationale de Belgique (BNB)\"\n", "", 1);
        assert!(Book::parse(&name).unwrap_err().to_string().contains("name of authority 3"));
    }

    #[test]
    fn the_authority_follows_act_sector_and_day() {
        let book = Book::standard().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let name = |act, sector, day| book.authority(act, sector, at(day)).map(|a| a.name("en").to_owned());
        let now = "2026-11-01T00:00:00Z";
        assert!(name("nis2", "energy", now).unwrap().contains("(CCB)"));
        assert!(name("dora", "banking", now).unwrap().contains("(NBB)"));
        assert!(name("dora", "Asset Management", now).unwrap().contains("(FSMA)"));
        let early = name("dora", "banking", "2024-12-31T00:00:00Z").unwrap_err().to_string();
        assert!(early.contains("no authority for dora on 2024-12-31"), "{early}");
    }

    #[test]
    fn a_moment_is_told_by_the_authoritys_clock_and_a_day_is_that_day() {
        let book = Book::standard().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        // As the member stated it: in UTC it is another day, and another year.
        let leaves = at("2027-01-01T00:00:00+01:00");
        assert_eq!(book.date("en", leaves), "1 January 2027, 00:00 CET (UTC+01:00)");
        assert_eq!(book.date("nl", leaves), "1 januari 2027, 00:00 CET (UTC+01:00)");
        assert_eq!(book.date("fr", leaves), "1 janvier 2027 à 00:00 CET (UTC+01:00)");
        assert_eq!(book.date("en", at("2027-07-01T00:00:00+02:00")), "1 July 2027, 00:00 CEST (UTC+02:00)");
        assert_eq!(book.date("en", at("2027-01-01T00:00:00Z")), "1 January 2027, 01:00 CET (UTC+01:00)");
        assert_eq!(book.day("nl", at("2027-03-09T00:00:00Z")), "9 maart 2027");
        assert_eq!(book.day("nl", at("2027-03-08T23:30:00Z")), "9 maart 2027, 00:30 CET (UTC+01:00)");
        assert_eq!(book.month("fr", at("2026-08-01T00:00:00Z")), "août 2026");
    }

    #[test]
    fn the_authority_is_that_of_the_day_it_lives() {
        let book = Book::standard().unwrap();
        let dora = |at: &str| book.authority("dora", "banking", at.parse().unwrap()).is_ok();
        assert!(dora("2025-01-17T00:00:00+01:00") && !dora("2025-01-16T23:59:59+01:00"));
    }

    #[test]
    fn a_file_that_names_no_clock_tells_utc_and_a_wrong_rule_is_refused() {
        let zone = "[zone]\nname = \"Europe/Brussels\"\nrule = \"CET-1CEST,M3.5.0,M10.5.0/3\"\n";
        assert!(DEFAULT.contains(zone));
        let book = Book::parse(&DEFAULT.replacen(zone, "", 1)).unwrap();
        let leaves = "2027-01-01T00:00:00+01:00".parse().unwrap();
        assert_eq!(book.date("en", leaves), "31 December 2026, 23:00 UTC");
        let wrong = DEFAULT.replacen("CET-1CEST,M3.5.0,M10.5.0/3", "Brussels time", 1);
        assert!(Book::parse(&wrong).unwrap_err().to_string().contains("Brussels time"));
    }
}
