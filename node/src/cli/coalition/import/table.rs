//! The list itself: CSV as spreadsheets write it, each cell held to its column.

use std::{collections::BTreeSet, path::PathBuf};

use belfry_proto::{
    schema::{Capacity, EntityClass, Organisation},
    time::Timestamp,
    trust::names::Named as _,
};

use super::super::evidence::Evidence;
use crate::{
    cli::{
        args::{GroupArg, moment, until},
        numbers::{Numbers, lei},
        said::NONE,
    },
    query::alike,
};

const COLUMNS: [&str; 14] = [
    "organisation",
    "kbo",
    "lei",
    "classes",
    "capacity",
    "sector",
    "supplier_of",
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
    pub(super) capacity: Option<Capacity>,
    pub(super) sector: String,
    /// Whom it supplies, in any order; nobody where the cell says none, [`None`] where it says nothing.
    pub(super) supplier_of: Option<BTreeSet<String>>,
    pub(super) groups: Vec<GroupArg>,
    pub(super) until: Option<Timestamp>,
    pub(super) request: Option<PathBuf>,
    pub(super) evidence: Evidence,
}

/// Why a list is refused, and what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    /// A line that is longer or shorter than the first.
    #[error(
        "line {line} has {found} cells, and the first line names {columns} columns: give every line as many cells, and put one \
         that has the separator in it between quotes"
    )]
    Cells {
        /// Line.
        line: u64,
        /// Cells of it.
        found: u64,
        /// Columns.
        columns: u64,
    },
    /// Not CSV.
    #[error("it cannot be read as CSV ({0}): have the spreadsheet write it anew, as CSV in UTF-8")]
    Csv(csv::Error),
    /// A column nobody knows.
    #[error("there is no column {0:?}: name each one of {names}", names = COLUMNS.join(", "))]
    Column(String),
    /// A column twice.
    #[error("column {0:?} is there twice: take one of them out")]
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
    #[error("lines {0} and {1} are of one member: the same {2}. Leave one of them out, or correct it")]
    Duplicate(u64, u64, &'static str),
    /// Nothing in it.
    #[error("the list is empty: write a line for each member below the names of the columns")]
    Empty,
}

impl From<csv::Error> for TableError {
    fn from(error: csv::Error) -> Self {
        match error.kind() {
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => Self::Cells {
                line: pos.as_ref().map_or(0, csv::Position::line),
                found: *len,
                columns: *expected_len,
            },
            _ => Self::Csv(error),
        }
    }
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
        if !self.sector.is_empty() && !alike(&self.sector, &organisation.sector) {
            let is = Some(organisation.sector.as_str()).filter(|is| !is.is_empty());
            differs.push(format!("sector {}", is.unwrap_or("none")));
        }
        let capacity = organisation.capacity();
        if self.capacity.is_some_and(|wanted| wanted != capacity) {
            differs.push(format!("capacity {}", capacity.name()));
        }
        let supplied: BTreeSet<String> = organisation.supplier_of.iter().cloned().collect();
        if self.supplier_of.as_ref().is_some_and(|wanted| *wanted != supplied) {
            let names: Vec<&str> = supplied.iter().map(String::as_str).collect();
            differs.push(format!(
                "supplier of {}",
                if names.is_empty() { NONE.into() } else { names.join(" | ") }
            ));
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
            format!("{kbo:?} is not ten digits: write it as text, a spreadsheet may have cut the first 0"),
        ));
    }
    let lei = cell("lei").to_uppercase();
    if !(lei.is_empty() || lei.len() == 20 && lei.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return Err(wrong(
            "lei",
            format!("{lei:?} is not twenty digits and letters: write them without spaces"),
        ));
    }
    let words = |text: String| -> Vec<String> {
        text.split([' ', ',', '+']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let classes = words(cell("classes"))
        .iter()
        .map(|name| EntityClass::parse(name).map_err(|error| wrong("classes", error.to_string())))
        .collect::<Result<_, _>>()?;
    let capacity = optional("capacity")
        .map(|name| Capacity::parse(&name).map_err(|error| wrong("capacity", error.to_string())))
        .transpose()?;
    let supplier_of = optional("supplier_of").map(|names| match names.as_str() {
        NONE => BTreeSet::new(),
        names => names.split('|').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
    });
    let mut groups: Vec<GroupArg> = Vec::new();
    for name in &words(cell("groups")) {
        let group: GroupArg = name.parse().map_err(|error| wrong("groups", error))?;
        if groups.iter().any(|earlier| earlier.slug == group.slug) {
            return Err(wrong("groups", format!("{} is there twice: name each group once", group.slug)));
        }
        groups.push(group);
    }
    let evidence = Evidence {
        decided_by: optional("decided_by"),
        decided_on: time("decided_on", moment)?,
        evidence: optional("evidence"),
        member_since: time("member_since", moment)?,
        salt: None,
    };
    let request = optional("request").map(PathBuf::from);
    Ok(Row {
        line,
        organisation,
        kbo,
        lei,
        classes,
        capacity,
        sector: cell("sector"),
        supplier_of,
        groups,
        until: time("until", until)?,
        request,
        evidence,
    })
}

/// Numbers whose check digits are wrong. Those that a certificate has already are told: the list is kept for years, and what says
/// the same as the roster decides nothing.
///
/// # Errors
/// The first of any other.
pub(super) fn slips(
    rows: &[Row],
    numbers: &Numbers,
    is_known: impl Fn(&'static str, &str) -> bool,
) -> Result<Vec<TableError>, TableError> {
    let mut known = Vec::new();
    for row in rows {
        let checked = [("kbo", &row.kbo, numbers.kbo(&row.kbo)), ("lei", &row.lei, lei(&row.lei))];
        for (column, number, found) in checked.into_iter().filter(|(_, number, _)| !number.is_empty()) {
            let Err(error) = found else { continue };
            let slip = TableError::Cell { line: row.line, column, error };
            match is_known(column, number) {
                true => known.push(slip),
                false => return Err(slip),
            }
        }
    }
    Ok(known)
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
    use crate::cli::numbers::NumberRule;

    #[test]
    fn a_list_out_of_a_spreadsheet_reads_as_it_was_written() {
        let text = "\u{feff}Organisation;KBO;classes;groups;until\r\n\"Bank; \"\"Général\"\"\";0123.456.749;essential \
                    financial;cidr:steward awareness;2099-01-01\r\nÉcole;;academic;;\r\n";
        let rows = parse(text).unwrap();
        assert_eq!(rows[0].organisation, "Bank; \"Général\"");
        assert_eq!((rows[0].kbo.as_str(), rows[0].line, rows[1].line), ("0123456749", 2, 3));
        assert_eq!(rows[0].groups.len(), 2);
        assert!(rows[1].until.is_none() && rows[1].groups.is_empty());
    }

    #[test]
    fn whatever_a_list_says_of_a_member_is_held_to_what_its_certificate_says() {
        let bank = Organisation {
            name: "Bank".into(),
            classes: vec![EntityClass::Financial.into()],
            capacity: Capacity::Supervisor.into(),
            sector: "banking".into(),
            supplier_of: vec!["Rail".into(), "Grid, Inc".into()],
            ..Organisation::default()
        };
        let differs = |cells: &str| {
            let rows = parse(&format!("organisation;capacity;sector;supplier_of\nBank;{cells}\n")).unwrap();
            rows[0].differs(&bank)
        };
        // An empty cell says nothing, and the order in which names stand says nothing either.
        for same in [";;", "supervisor;Banking;Grid, Inc | Rail"] {
            assert_eq!(differs(same), Vec::<String>::new(), "{same}");
        }
        for (cells, expected) in [
            ("none;;", "capacity supervisor"),
            (";market infrastructure;", "sector banking"),
            (";;Rail", "supplier of Grid, Inc | Rail"),
            (";;none", "supplier of Grid, Inc | Rail"),
        ] {
            assert_eq!(differs(cells), [expected], "{cells}");
        }
    }

    #[test]
    fn a_wrong_list_is_refused_with_its_line_and_column() {
        for (text, expected) in [
            ("", "must name the columns"),
            ("organisation\n", "empty: write a line for each member"),
            ("name\nx\n", "no column \"name\""),
            ("kbo\n0123456749\n", "must name the columns"),
            ("organisation,organisation\nx,y\n", "twice: take one of them out"),
            ("organisation,kbo\nx,123456789\n", "line 2, kbo"),
            ("organisation,classes\nx,bank\n", "line 2, classes: \"bank\""),
            ("organisation,until\nx,1/1/2027\n", "line 2, until"),
            (
                "organisation,kbo\na,0123456749\nb,0123456749\n",
                "lines 2 and 3 are of one member: the same kbo. Leave one of them out",
            ),
            ("organisation\nAcme\nACME\n", "the same organisation"),
            ("organisation,request\na,r.pem\nb,r.pem\n", "the same request"),
            (
                "organisation,kbo\nx\n",
                "line 2 has 1 cells, and the first line names 2 columns: give every line as many",
            ),
            ("organisation,groups\nx,cidr cidr:steward\n", "line 2, groups: cidr is there twice: name each"),
            ("organisation,capacity\nx,king\n", "line 2, capacity: \"king\""),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_wrong_number_refuses_a_list_unless_a_certificate_has_it_already() {
        let numbers = NumberRule::default().read().unwrap();
        let rows = |text: &str| parse(&format!("organisation;kbo;lei\n{text}")).unwrap();
        let kbo = rows("Bank;0123456789;\nRail;0123.456.749;\nGrid;;\n");
        let error = slips(&kbo, &numbers, |_, _| false).unwrap_err().to_string();
        assert!(error.starts_with("line 2, kbo: \"0123456789\" is no enterprise number"), "{error}");
        let lei = rows("Rail;;5493001KJTIIGC8Y1R12\nBank;;5493001KJTIIGC8Y1R13\n");
        let error = slips(&lei, &numbers, |_, _| false).unwrap_err().to_string();
        assert!(
            error.starts_with("line 3, lei: ") && error.contains("compare it with the register"),
            "{error}"
        );
        let known =
            slips(&kbo, &numbers, |column, number| (column, number) == ("kbo", "0123456789")).unwrap();
        assert_eq!(known.len(), 1, "it is told");
        assert!(
            slips(&lei, &numbers, |column, number| (column, number) == ("kbo", "5493001KJTIIGC8Y1R13"))
                .is_err()
        );
    }
}
