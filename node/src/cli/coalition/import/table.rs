//! The list itself: CSV as spreadsheets write it, each cell held to its column.

use std::{collections::BTreeSet, path::PathBuf};

use belfry_proto::{
    schema::{EntityClass, Organisation},
    time::Timestamp,
    trust::names::Named as _,
};

use super::super::evidence::Evidence;
use crate::{
    cli::args::{GroupArg, moment, until},
    query::alike,
};

const COLUMNS: [&str; 11] = [
    "organisation",
    "kbo",
    "lei",
    "classes",
    "groups",
    "until",
    "request",
    "member_since",
    "decided_by",
    "decided_on",
    "evidence",
];

/// One member.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// Line of the file, from 1.
    pub(super) line: u64,
    pub(super) organisation: String,
    pub(super) kbo: String,
    pub(super) lei: String,
    pub(super) classes: BTreeSet<EntityClass>,
    pub(super) groups: Vec<GroupArg>,
    pub(super) until: Option<Timestamp>,
    pub(super) request: Option<PathBuf>,
    pub(super) evidence: Evidence,
}

/// Why a list is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    /// Not CSV.
    #[error("{0}")]
    Csv(#[from] csv::Error),
    /// A column nobody knows.
    #[error(
        "there is no column {0:?}: organisation, kbo, lei, classes, groups, until, request, member_since, decided_by, decided_on, evidence"
    )]
    Column(String),
    /// A column twice.
    #[error("column {0:?} is there twice")]
    Twice(String),
    /// No names.
    #[error("the first line must name the columns, `organisation` among them")]
    NoNames,
    /// A cell that is not what its column says.
    #[error("line {line}, {column}: {error}")]
    Cell {
        /// Line.
        line: u64,
        /// Column.
        column: &'static str,
        /// What is wrong.
        error: String,
    },
    /// Two rows of one member.
    #[error("lines {0} and {1} are of one member: the same {2}")]
    Duplicate(u64, u64, &'static str),
    /// Nothing in it.
    #[error("the list is empty")]
    Empty,
}

impl Row {
    /// Whether a certificate's name is this row's.
    pub(super) fn is_named(&self, name: &str) -> bool {
        alike(&self.organisation, name)
    }

    /// Where an organisation says otherwise than the list; an empty cell says nothing.
    pub(super) fn differs(&self, organisation: &Organisation) -> Vec<String> {
        let mut differs = Vec::new();
        for (what, ours, theirs) in
            [("kbo", &self.kbo, &organisation.kbo), ("lei", &self.lei, &organisation.lei)]
        {
            if !ours.is_empty() && ours != theirs {
                differs.push(format!("{what} {}", if theirs.is_empty() { "none" } else { theirs }));
            }
        }
        let classes: BTreeSet<EntityClass> = organisation.classes().collect();
        if !self.classes.is_empty() && self.classes != classes {
            let names: Vec<&str> = classes.iter().map(|class| class.name()).collect();
            differs.push(format!("classes {}", names.join(" ")));
        }
        differs
    }
}

/// Reads the whole list.
pub(super) fn parse(text: &str) -> Result<Vec<Row>, TableError> {
    // Spreadsheets put a byte-order mark before, and semicolons where commas are decimal points.
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let first = text.lines().next().unwrap_or_default();
    let delimiter = if first.contains(';') { b';' } else { b',' };
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers()?.iter().map(str::to_lowercase).collect();
    for (i, name) in names.iter().enumerate() {
        if !COLUMNS.contains(&name.as_str()) {
            return Err(TableError::Column(name.clone()));
        }
        if names.iter().take(i).any(|earlier| earlier == name) {
            return Err(TableError::Twice(name.clone()));
        }
    }
    if !names.iter().any(|name| name == "organisation") {
        return Err(TableError::NoNames);
    }
    let mut rows: Vec<Row> = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: &str| {
            let index = names.iter().position(|name| name == column);
            index.and_then(|index| record.get(index)).unwrap_or_default().to_owned()
        };
        rows.push(row(line, cell)?);
    }
    if rows.is_empty() {
        return Err(TableError::Empty);
    }
    duplicates(&rows)?;
    Ok(rows)
}

fn row(line: u64, cell: impl Fn(&str) -> String) -> Result<Row, TableError> {
    let wrong = |column, error: String| TableError::Cell { line, column, error };
    let optional = |column: &str| Some(cell(column)).filter(|text| !text.is_empty());
    let time = |column: &'static str, parse: fn(&str) -> Result<Timestamp, String>| {
        optional(column).map(|text| parse(&text)).transpose().map_err(|error| wrong(column, error))
    };
    let organisation = cell("organisation");
    if organisation.is_empty() {
        return Err(wrong("organisation", "must not be empty".to_owned()));
    }
    let kbo: String = cell("kbo").chars().filter(|c| !matches!(c, '.' | ' ')).collect();
    if !(kbo.is_empty() || kbo.len() == 10 && kbo.bytes().all(|b| b.is_ascii_digit())) {
        return Err(wrong(
            "kbo",
            format!("{kbo:?} is not ten digits (a spreadsheet may have cut the first 0)"),
        ));
    }
    let lei = cell("lei").to_uppercase();
    if !(lei.is_empty() || lei.len() == 20 && lei.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return Err(wrong("lei", format!("{lei:?} is not twenty digits and letters")));
    }
    let words = |text: String| -> Vec<String> {
        text.split([' ', ',', '+']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let classes = words(cell("classes"))
        .iter()
        .map(|name| EntityClass::parse(name).map_err(|error| wrong("classes", error.to_string())))
        .collect::<Result<_, _>>()?;
    let groups = words(cell("groups"))
        .iter()
        .map(|name| name.parse().map_err(|error| wrong("groups", error)))
        .collect::<Result<_, _>>()?;
    let evidence = Evidence {
        decided_by: optional("decided_by"),
        decided_on: time("decided_on", moment)?,
        evidence: optional("evidence"),
        member_since: time("member_since", moment)?,
        salt: None,
    };
    let request = optional("request").map(PathBuf::from);
    Ok(Row { line, organisation, kbo, lei, classes, groups, until: time("until", until)?, request, evidence })
}

fn duplicates(rows: &[Row]) -> Result<(), TableError> {
    for (i, row) in rows.iter().enumerate() {
        for earlier in rows.iter().take(i) {
            let same = |ours: &str, theirs: &str| !ours.is_empty() && ours == theirs;
            let what = [
                ("kbo", same(&row.kbo, &earlier.kbo)),
                ("lei", same(&row.lei, &earlier.lei)),
                ("organisation", alike(&row.organisation, &earlier.organisation)),
                ("request", row.request.is_some() && row.request == earlier.request),
            ];
            if let Some((what, _)) = what.iter().find(|(_, same)| *same) {
                return Err(TableError::Duplicate(earlier.line, row.line, what));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_out_of_a_spreadsheet_reads_as_it_was_written() {
        let text = "\u{feff}Organisation;KBO;classes;groups;until\r\n\"Bank; \"\"Général\"\"\";0123.456.789;essential \
                    financial;cidr:steward awareness;2099-01-01\r\nÉcole;;academic;;\r\n";
        let rows = parse(text).unwrap();
        assert_eq!(rows[0].organisation, "Bank; \"Général\"");
        assert_eq!((rows[0].kbo.as_str(), rows[0].line, rows[1].line), ("0123456789", 2, 3));
        assert_eq!(rows[0].groups.len(), 2);
        assert!(rows[1].until.is_none() && rows[1].groups.is_empty());
    }

    #[test]
    fn a_wrong_list_is_refused_with_its_line_and_column() {
        for (text, expected) in [
            ("", "must name the columns"),
            ("organisation\n", "empty"),
            ("name\nx\n", "no column \"name\""),
            ("kbo\n0123456789\n", "must name the columns"),
            ("organisation,organisation\nx,y\n", "twice"),
            ("organisation,kbo\nx,123456789\n", "line 2, kbo"),
            ("organisation,classes\nx,bank\n", "line 2, classes: \"bank\""),
            ("organisation,until\nx,1/1/2027\n", "line 2, until"),
            (
                "organisation,kbo\na,0123456789\nb,0123456789\n",
                "lines 2 and 3 are of one member: the same kbo",
            ),
            ("organisation\nAcme\nACME\n", "the same organisation"),
            ("organisation,request\na,r.pem\nb,r.pem\n", "the same request"),
            ("organisation,kbo\nx\n", "record"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
