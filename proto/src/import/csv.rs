//! Tables: one value a row, found by the names of its columns.

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::{
    Import, ImportError, Options, Place, Why,
    make::Item,
    rows::{Rows, Said},
};
use crate::{
    limits::MAX_IMPORT_OBJECTS,
    stix::{marking::Tlp, observable::Observable},
    time::Timestamp,
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// The value itself.
    Value,
    /// What the value is.
    Type,
    /// Prose about it.
    Description,
    /// Tags, separated by semicolons.
    Labels,
    /// Its marking.
    Tlp,
    /// How sure its author is, 0 to 100.
    Confidence,
    /// From when it holds.
    ValidFrom,
    /// Until when it holds.
    ValidUntil,
    /// Whether it is to be looked for, as MISP's tables say.
    ToIds,
}

impl Column {
    const ALL: [Self; 9] = [
        Self::Value,
        Self::Type,
        Self::Description,
        Self::Labels,
        Self::Tlp,
        Self::Confidence,
        Self::ValidFrom,
        Self::ValidUntil,
        Self::ToIds,
    ];

    /// Stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Type => "type",
            Self::Description => "description",
            Self::Labels => "labels",
            Self::Tlp => "tlp",
            Self::Confidence => "confidence",
            Self::ValidFrom => "valid_from",
            Self::ValidUntil => "valid_until",
            Self::ToIds => "to_ids",
        }
    }

    /// What such columns are called elsewhere.
    const fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Value => {
                &["value", "indicator", "ioc", "observable", "indicator_value", "ioc_value", "indicatorvalue"]
            }
            Self::Type => &["type", "indicator_type", "ioc_type", "kind", "indicatortype"],
            Self::Description => &["description", "comment", "title", "note", "notes"],
            Self::Labels => &["labels", "tags", "tag"],
            Self::Tlp => &["tlp", "tlplevel", "marking"],
            Self::Confidence => &["confidence"],
            Self::ValidFrom => &["valid_from", "first_seen", "date", "created"],
            Self::ValidUntil => &["valid_until", "expiration", "expirationtime", "expires"],
            Self::ToIds => &["to_ids"],
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which column holds what, by name: `value=IOC,type=Kind`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping(Vec<(Column, String)>);

/// A mapping that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Not `meaning=column`.
    #[error("a mapping is written as value=COLUMN,type=COLUMN,…, meanings being {}", Column::ALL.map(Column::as_str).join(", "))]
    Form,
    /// One meaning, two columns.
    #[error("{0} is mapped twice")]
    Twice(Column),
}

impl FromStr for Mapping {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let mut found: Vec<(Column, String)> = Vec::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (meaning, column) = pair.split_once('=').ok_or(MappingError::Form)?;
            let meaning = Column::ALL.into_iter().find(|known| known.as_str() == meaning.trim());
            let meaning = meaning.ok_or(MappingError::Form)?;
            if found.iter().any(|(known, _)| *known == meaning) {
                return Err(MappingError::Twice(meaning));
            }
            found.push((meaning, column.trim().to_owned()));
        }
        Ok(Self(found))
    }
}

/// Writes itself so that it reads as itself.
impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> =
            self.0.iter().map(|(meaning, column)| format!("{meaning}={column}")).collect();
        f.write_str(&pairs.join(","))
    }
}

/// Reads rows.
pub(super) fn read(text: &str, options: &Options, import: &mut Import) -> Result<(), ImportError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(text))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| fault(&error))?.clone();
    let columns = columns(&names, &options.mapping)?;
    let out = Rows::new(options);
    let mut seen: BTreeSet<(Observable, Option<u16>, bool)> = BTreeSet::new();
    let mut row = csv::StringRecord::new();
    let mut count = 0;
    while reader.read_record(&mut row).map_err(|error| fault(&error))? {
        let line = row.position().map_or(0, csv::Position::line);
        count += 1;
        if count > MAX_IMPORT_OBJECTS {
            return Err(ImportError::TooMany(MAX_IMPORT_OBJECTS));
        }
        let cell = |column: Column| {
            let at = columns.iter().find(|(known, _)| *known == column).map(|(_, at)| *at);
            at.and_then(|at| row.get(at)).map(str::trim).filter(|text| !text.is_empty())
        };
        let broken = |column: Column, rule: &str| ImportError::Csv { line, rule: format!("{column} {rule}") };
        let place = Place::Line(line);
        if row.iter().skip(names.len()).any(|cell| !cell.is_empty()) {
            // What stands in the wrong column may be a marking.
            let (cells, named) = (row.len(), names.len());
            let rule =
                format!("has {cells} cells and the first line {named}: quote text that holds the separator");
            return Err(ImportError::Csv { line, rule });
        }
        let Some(value) = cell(Column::Value) else {
            import.skip(place, Why::Empty);
            continue;
        };
        match cell(Column::ToIds).map(str::to_ascii_lowercase).as_deref() {
            None | Some("1" | "true" | "yes") => {}
            Some("0" | "false" | "no") => {
                import.skip(place, Why::Context);
                continue;
            }
            Some(_) => return Err(broken(Column::ToIds, "is neither 1 nor 0")),
        }
        let item = match cell(Column::Type) {
            None => Item::guess(value).ok_or(Why::NoValue),
            Some(word) => super::misp::item(word, value),
        };
        let item = match item {
            Ok(item) => item,
            Err(why) => {
                import.skip(place, why);
                continue;
            }
        };
        // A file and a certificate may have one hash, and are two things.
        if !seen.insert((item.observable.clone(), item.port, item.is_of_file())) {
            import.skip(place, Why::Twice);
            continue;
        }
        let time = |column: Column| match cell(column) {
            None => Ok(None),
            Some(text) => time_of(text)
                .map(Some)
                .ok_or_else(|| broken(column, "is no time such as 2026-11-23T10:00:00Z")),
        };
        let tlp = cell(Column::Tlp).map(str::parse::<Tlp>).transpose();
        let confidence =
            cell(Column::Confidence).map(|text| text.parse::<u8>().ok().filter(|n| *n <= 100).ok_or(()));
        let said = Said {
            description: cell(Column::Description).unwrap_or_default().to_owned(),
            labels: cell(Column::Labels)
                .into_iter()
                .flat_map(|text| text.split(';'))
                .map(|l| l.trim().to_owned())
                .collect(),
            // A marking that cannot be read must not widen: the whole file is refused.
            tlp: tlp.map_err(|error| broken(Column::Tlp, &format!("cannot be read: {error}")))?,
            confidence: confidence
                .transpose()
                .map_err(|()| broken(Column::Confidence, "is no number from 0 to 100"))?,
            valid_from: time(Column::ValidFrom)?,
            valid_until: time(Column::ValidUntil)?,
        };
        if let (Some(from), Some(until)) = (said.valid_from, said.valid_until)
            && until <= from
        {
            return Err(broken(Column::ValidUntil, "is not later than valid_from"));
        }
        out.indicator(&item, &said, import)?;
    }
    Ok(())
}

/// The columns mapped, else those of usual names; a table of one column needs no name for it.
fn columns(names: &csv::StringRecord, mapping: &Mapping) -> Result<Vec<(Column, usize)>, ImportError> {
    let at = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    let mut found = Vec::new();
    for meaning in Column::ALL {
        let mapped = mapping.0.iter().find(|(known, _)| *known == meaning);
        match mapped {
            Some((_, column)) => {
                let known: Vec<String> = names.iter().map(brief).collect();
                let at = at(column).ok_or_else(|| ImportError::NoColumn {
                    column: brief(column),
                    meaning: meaning.as_str(),
                    known: known.join(", "),
                })?;
                found.push((meaning, at));
            }
            None => found.extend(meaning.usual().iter().find_map(|name| at(name)).map(|at| (meaning, at))),
        }
    }
    if found.iter().all(|(meaning, _)| *meaning != Column::Value) {
        let known: Vec<String> = names.iter().map(brief).collect();
        return Err(ImportError::NoColumn {
            column: "value".to_owned(),
            meaning: Column::Value.as_str(),
            known: known.join(", "),
        });
    }
    Ok(found)
}

/// What stands most between the names: a comma, a semicolon (spreadsheets, where a comma is a decimal sign) or a tab.
fn delimiter(text: &str) -> u8 {
    let first = text.lines().next().unwrap_or_default();
    let count = |sign: u8| first.bytes().filter(|byte| *byte == sign).count();
    [b',', b';', b'\t'].into_iter().max_by_key(|sign| (count(*sign), *sign == b',')).unwrap_or(b',')
}

/// RFC 3339, a day, or either as tables write them: a blank for the `T`, no zone (UTC), no hyphens, or the seconds since
/// the epoch.
fn time_of(text: &str) -> Option<Timestamp> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.len() {
            8 => {
                let (year, month, day) = (text.get(..4)?, text.get(4..6)?, text.get(6..)?);
                format!("{year}-{month}-{day}T00:00:00Z").parse().ok()
            }
            9 | 10 => Some(Timestamp::from_micros(text.parse::<u64>().ok()?.checked_mul(1_000_000)?)),
            _ => None,
        };
    }
    let text = text.replacen(' ', "T", 1);
    let spellings = [text.clone(), format!("{text}Z"), format!("{text}T00:00:00Z")];
    spellings.iter().find_map(|text| text.parse().ok())
}

fn brief(text: &str) -> String {
    crate::stix::neutral::brief(text, 64)
}

fn fault(error: &csv::Error) -> ImportError {
    let line = error.position().map_or(1, csv::Position::line);
    ImportError::Csv { line, rule: error.to_string() }
}
