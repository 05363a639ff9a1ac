//! CSV (RFC 4180): a general table, and the look-ups of Splunk Enterprise Security.

use belfry_proto::stix::{neutral, observable::Kind};

use super::{CSV, Files};
use crate::{
    api::problem::Problem,
    query::{Entry, Snapshot},
};

const COLUMNS: [&str; 10] = [
    "type",
    "value",
    "score",
    "first_seen",
    "last_seen",
    "expires",
    "members",
    "tlp",
    "sources",
    "description",
];

pub(super) fn generic(snapshot: &Snapshot) -> Result<Files, Problem> {
    let mut table = Table::new(&COLUMNS)?;
    for entry in &snapshot.entries {
        table.row(&[
            entry.observable.kind().as_str(),
            &value(entry),
            &entry.score.to_string(),
            &entry.first.to_string(),
            &entry.last.to_string(),
            &entry.expires.to_string(),
            &entry.members.to_string(),
            entry.tlp.as_str(),
            &entry.sources.join("; "),
            &entry.name,
        ])?;
    }
    let mut files = Files::default();
    files.put_main(format!("{}.csv", snapshot.export.name), CSV, table.done()?);
    Ok(files)
}

/// The five tables, with the columns that Enterprise Security's threat framework names.
pub(super) fn splunk(snapshot: &Snapshot) -> Result<Files, Problem> {
    let mut ip = Table::new(&["description", "ip", "weight"])?;
    let mut domain = Table::new(&["description", "domain", "weight"])?;
    let mut file = Table::new(&["description", "file_hash", "file_name", "weight"])?;
    let mut http = Table::new(&["description", "http_referrer", "http_user_agent", "url", "weight"])?;
    let mut email = Table::new(&["description", "src_user", "subject", "weight"])?;
    let mut files = Files::default();
    for entry in &snapshot.entries {
        let (said, value, weight) = (description(entry), value(entry), entry.score.max(1).to_string());
        match entry.observable.kind() {
            Kind::Ipv4 | Kind::Ipv6 => ip.row(&[&said, &value, &weight])?,
            Kind::Domain => domain.row(&[&said, &value, &weight])?,
            Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 => {
                file.row(&[&said, &value, "", &weight])?
            }
            Kind::FileName => file.row(&[&said, "", &value, &weight])?,
            Kind::Url => http.row(&[&said, "", "", &value, &weight])?,
            Kind::Email => email.row(&[&said, &value, "", &weight])?,
            _ => files.unwritable += 1,
        }
    }
    for (name, table) in [
        ("ip_intel", ip),
        ("domain_intel", domain),
        ("file_intel", file),
        ("http_intel", http),
        ("email_intel", email),
    ] {
        files.put(format!("{name}.csv"), CSV, table.done()?);
    }
    Ok(files)
}

fn value(entry: &Entry) -> String {
    let value = entry.observable.value();
    if entry.observable.kind() == Kind::Url { neutral::url(value) } else { value.to_owned() }
}

fn description(entry: &Entry) -> String {
    match entry.name.as_str() {
        "" => format!("belfry, {} member(s)", entry.members),
        name => format!("{name} (belfry, {} member(s))", entry.members),
    }
}

struct Table(csv::Writer<Vec<u8>>);

impl Table {
    fn new(columns: &[&str]) -> Result<Self, Problem> {
        let writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        let mut table = Self(writer);
        table.row(columns)?;
        Ok(table)
    }

    fn row(&mut self, cells: &[&str]) -> Result<(), Problem> {
        let cells = cells.iter().map(|cell| neutral::cell(cell));
        self.0.write_record(cells).map_err(|error| Problem::unavailable(&error))
    }

    fn done(self) -> Result<Vec<u8>, Problem> {
        self.0.into_inner().map_err(|error| Problem::unavailable(error.error()))
    }
}
