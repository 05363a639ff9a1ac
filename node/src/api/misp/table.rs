//! Attributes as the table that MISP exports (its CSV): scripts read the columns by their headings.

use belfry_proto::stix::neutral;
use serde_json::Value;

use super::{
    SECOND, Taken,
    filter::{bad, flag, texts},
    number,
};
use crate::api::{exports, problem::Problem};

/// A column as it is asked for, and as its heading names it.
type Column = (&'static str, &'static str);

/// Those of MISP's own, in its order.
const COLUMNS: [Column; 13] = [
    ("uuid", "uuid"),
    ("event_id", "event_id"),
    ("category", "category"),
    ("type", "type"),
    ("value", "value"),
    ("comment", "comment"),
    ("to_ids", "to_ids"),
    ("timestamp", "date"),
    ("object_relation", "object_relation"),
    ("attribute_tag", "attribute_tag"),
    ("object_uuid", "object_uuid"),
    ("object_name", "object_name"),
    ("object_meta-category", "object_meta_category"),
];

/// Which of them are wanted, and whether headings stand above.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    is_headed: bool,
}

impl Columns {
    /// As a search names them: `requested_attributes` and `headerless`.
    pub(super) fn read(wanted: Option<Value>, headerless: Option<Value>) -> Result<Self, Problem> {
        let is_bare = headerless.map(|value| flag("headerless", &value)).transpose()?.unwrap_or(false);
        let named = texts("requested_attributes", wanted)?;
        let column = |name: &String| {
            let known = COLUMNS.iter().find(|(asked, _)| *asked == name.as_str()).copied();
            let all = || COLUMNS.map(|(asked, _)| asked).join(", ");
            known.ok_or_else(|| bad("requested_attributes", &format!("is of {}", all())))
        };
        let columns = named.iter().map(column).collect::<Result<Vec<Column>, Problem>>()?;
        let columns = if columns.is_empty() { COLUMNS.to_vec() } else { columns };
        Ok(Self { columns, is_headed: !is_bare })
    }

    /// A table of these.
    pub(super) fn table(&self) -> Result<Table, Problem> {
        // PyMISP takes all up to the first line feed for headings.
        let writer =
            csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
        let mut table = Table { columns: self.columns.clone(), writer };
        if self.is_headed {
            let headings = table.columns.iter().map(|(_, heading)| (*heading).to_owned()).collect();
            table.put(headings)?;
        }
        Ok(table)
    }
}

/// A table in the making.
pub(super) struct Table {
    columns: Vec<Column>,
    writer: csv::Writer<Vec<u8>>,
}

impl Table {
    pub(super) fn row(&mut self, taken: &Taken<'_>, profile: &str) -> Result<(), Problem> {
        let Taken { entry, kind, category, tag, uuid } = taken;
        let cell = |(asked, _): &Column| match *asked {
            "uuid" => uuid.to_string(),
            "event_id" => number(exports::misp_id(&[b"export", profile.as_bytes()])),
            "category" => (*category).to_owned(),
            "type" => (*kind).to_owned(),
            "value" => neutral::cell(entry.observable.value()),
            "comment" => neutral::cell(&entry.name),
            "to_ids" => "1".to_owned(),
            "timestamp" => (entry.last.as_micros() / SECOND).to_string(),
            "attribute_tag" => tag.clone(),
            // No value stands in an object here.
            _ => String::new(),
        };
        let cells = self.columns.iter().map(cell).collect();
        self.put(cells)
    }

    fn put(&mut self, cells: Vec<String>) -> Result<(), Problem> {
        self.writer.write_record(cells).map_err(|error| Problem::unavailable(&error))
    }

    pub(super) fn done(self) -> Result<Vec<u8>, Problem> {
        self.writer.into_inner().map_err(|error| Problem::unavailable(error.error()))
    }
}
