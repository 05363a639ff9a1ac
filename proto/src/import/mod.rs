//! What others' files become: MISP events, tables, prose and bundles as STIX objects, and what was left out and why.
//!
//! ```text
//! bytes ─┬─ stix ─▶ as it is
//!        ├─ misp ─▶ attributes, objects, galaxies, sightings ─┐
//!        ├─ csv ──▶ rows by mapped columns ───────────────────┼─ make ─▶ objects with fixed ids ─▶ Import
//!        └─ text ─▶ values in prose and mails ────────────────┘
//! ```
//!
//! What stands in rows may be more than one bundle takes: it is cut between rows, and refused or taken whole all the same.
//!
//! An import is made of its file alone: the same file gives the same ids again, so that taking it in twice is one
//! publication. A file with a fault is refused whole and the error says where; an *item* that is no intelligence, or
//! none that STIX can say, is [`Skipped`], and nothing is skipped in silence. Every byte may come from an enemy: size
//! and counts are bounded before anything is built, and what it grows to is asked for as it grows ([`Room`]).

mod csv;
mod mail;
mod make;
mod misp;
mod room;
mod rows;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde_json::{Map, Value};

pub use self::{
    csv::{Column, Mapping, MappingError},
    room::Room,
};
use crate::{
    limits::{MAX_BUNDLE, MAX_BUNDLE_OBJECTS, MAX_IMPORT_OBJECTS},
    schema::Pap,
    stix::{
        bundle::{Bundle, BundleError},
        marking::Tlp,
        neutral,
    },
    time::Timestamp,
};

/// Skipped items told one by one; beyond it only their number grows.
pub const MAX_SKIPPED: usize = 10_000;

/// Skipped items that the refusal of a file tells of which nothing was taken: mostly all for one reason.
const MAX_FIRST: usize = 3;

/// Objects of one row: a value, its indicator, and what binds them.
const ROW_OBJECTS: usize = 3;
/// Bytes of these without what the row says: ids, times and names are some 900.
const ROW_BYTES: usize = 1_024;
/// Times that a row's text stands in its objects, at most, and bytes of a sign that JSON escapes.
const ROW_TIMES: usize = 3 * 6;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A STIX 2.1 bundle.
    Stix,
    /// A MISP event, or a list of them, in JSON.
    Misp,
    /// Comma-separated values with a line of names.
    Csv,
    /// Prose, a list of values, or a mail.
    Text,
}

/// A word that names no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a format is stix, misp, csv or text")]
pub struct FormatError;

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Stix, Self::Misp, Self::Csv, Self::Text];

    /// Stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stix => "stix",
            Self::Misp => "misp",
            Self::Csv => "csv",
            Self::Text => "text",
        }
    }

    /// What a file most likely is, by its name's end and its first bytes.
    #[must_use]
    pub fn guess(name: &str, bytes: &[u8]) -> Self {
        let extension = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default();
        let bytes = unmarked(bytes);
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        match (extension.as_str(), first) {
            ("csv" | "tsv", _) => Self::Csv,
            (_, Some(b'{' | b'[')) => {
                let head = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
                let holds = |part: &[u8]| head.windows(part.len()).any(|window| window == part);
                if holds(b"\"Event\"") || holds(b"\"response\"") || holds(b"\"Orgc\"") {
                    Self::Misp
                } else {
                    Self::Stix
                }
            }
            _ => Self::Text,
        }
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(FormatError)
    }
}

/// What the importer says about a file that the file does not.
#[derive(Clone, Debug)]
pub struct Options {
    /// When what the file gives no time for counts as said.
    pub now: Timestamp,
    /// Columns of a table; empty: those with usual names.
    pub mapping: Mapping,
    /// Until when its indicators are valid; unset: what the file says, if anything.
    pub valid_until: Option<Timestamp>,
    /// Marking of what the file gives none; unset leaves it unmarked. A bundle is taken as it is.
    pub unmarked: Option<Tlp>,
    /// Objects of one bundle, at most; tables and lists are cut there.
    pub bundle_objects: usize,
    /// How large what it becomes may grow.
    pub room: Room,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            now: Timestamp::default(),
            mapping: Mapping::default(),
            valid_until: None,
            unmarked: None,
            bundle_objects: MAX_BUNDLE_OBJECTS,
            room: Room::default(),
        }
    }
}

/// Where an item stands in its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Line, from 1.
    Line(u64),
    /// Path in JSON, as in `Event.Attribute[3]`.
    Path(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Path(path) => f.write_str(path),
        }
    }
}

/// Why an item became no object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Why {
    /// Nothing stands there.
    #[error("is empty")]
    Empty,
    /// Not a value of the type it says.
    #[error("is not a value of its type, {0}")]
    NotA(String),
    /// Nothing that STIX has an observable for.
    #[error("is of type {0}, which tells nothing to look for")]
    Untranslated(String),
    /// A fingerprint of a kind that neither lookup nor lists have.
    #[error("is a fingerprint of type {0}, which lookup and lists have no place for")]
    Fingerprint(String),
    /// What it is cannot be told.
    #[error("is no address, domain, URL, mailbox, hash or CVE number")]
    NoValue,
    /// Taken back at its source.
    #[error("was deleted at its source")]
    Deleted,
    /// Somebody's suggestion.
    #[error("is a proposal that nobody accepted")]
    Proposal,
    /// Seen before in this file.
    #[error("stands in the file before")]
    Twice,
    /// `report.pdf`, `end.Next`.
    #[error("may be a file's name or no domain at all; write it as in evil[.]example to have it taken")]
    Ambiguous,
    /// `evil.example/a`, `198.51.100.7:99999`.
    #[error("is the host of a path, or of what is no port; write the URL with its scheme to have it taken")]
    Part,
    /// Written to somebody.
    #[error("is a recipient or a server of the mail's way, not its sender's")]
    Recipient,
    /// A marking nobody knows.
    #[error("carries a marking that cannot be read: {0}")]
    Marking(String),
    /// A class nobody knows.
    #[error("carries a class of information that is none of the nine: {0}")]
    Class(String),
    /// Knowledge of a kind that is not taken.
    #[error("is a galaxy of type {0}, which has no STIX object")]
    Galaxy(String),
    /// Shared with some, and who they are is known elsewhere.
    #[error(
        "is for a sharing group that is not known here, and counts as TLP:AMBER+STRICT unless it says a stricter one"
    )]
    SharingGroup,
    /// Named, and not to be looked for.
    #[error("is not for detection, as its column to_ids says")]
    Context,
    /// A tag or cluster that MISP's user kept to itself.
    #[error("carries what its MISP keeps to itself: {0}")]
    Local(String),
    /// Relations between a MISP event's objects of which one came to nothing, or to several things.
    #[error("has relations that are left out ({0}): at one end or the other stands not one thing")]
    References(usize),
    /// Longer than an object may be.
    #[error("has {0} bytes, more than one object has room for")]
    TooLong(usize),
    /// Bytes of another encoding than its mail says.
    #[error("holds bytes that are no text in the encoding its mail says; write it out to have it taken")]
    Undecoded,
    /// An encoded piece.
    #[error("is encoded; paste it as text")]
    Encoded,
    /// A part of a mail that is no text, by its name and type.
    #[error("is the attachment {0}, which is not read; paste what it says as text to have it taken")]
    Attachment(String),
    /// Parts in parts of a mail.
    #[error("lies in {0} parts around it, and deeper ones are not read")]
    Deep(usize),
}

/// An item that became no object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Where.
    pub place: Place,
    /// Why.
    pub why: Why,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.why)
    }
}

/// Why a file is not taken in. Nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Larger than a publication may be.
    #[error("has {0} bytes, more than the {MAX_BUNDLE} of one import: split the file")]
    TooLong(usize),
    /// More than is taken in at once.
    #[error("holds more than {0} objects or items: split the file")]
    TooMany(usize),
    /// It becomes more than there is room for now; with room it may be taken.
    #[error("becomes more than there is room for now")]
    NoRoom,
    /// Nothing in it.
    #[error("holds nothing to share; {skipped} items were skipped{}", firsts(.told))]
    Nothing {
        /// Items.
        skipped: usize,
        /// The first of them.
        told: Vec<Skipped>,
    },
    /// Not text.
    #[error("line {0}: is not UTF-8 text")]
    NotText(u64),
    /// Not a bundle, or one with a fault.
    #[error("{0}")]
    Stix(#[from] BundleError),
    /// Not a MISP event.
    #[error("is not a MISP event in JSON: {}", said(.0))]
    Misp(#[source] serde_json::Error),
    /// A property of an event breaks a rule.
    #[error("{path} {rule}")]
    Event {
        /// Where.
        path: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A table with a fault.
    #[error("line {line}: {rule}")]
    Csv {
        /// From 1.
        line: u64,
        /// The rule it breaks.
        rule: String,
    },
    /// The mapping names a column that is not there.
    #[error("has no column \"{column}\" for {meaning}; it has {known}")]
    NoColumn {
        /// As mapped.
        column: String,
        /// What for.
        meaning: &'static str,
        /// Those there are.
        known: String,
    },
}

/// Why the first items became nothing.
fn firsts(told: &[Skipped]) -> String {
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    if told.is_empty() { String::new() } else { format!(", the first: {}", told.join("; ")) }
}

/// What a parser says; it repeats what it was given.
fn said(error: &serde_json::Error) -> String {
    neutral::gist(&error.to_string(), 300)
}

/// What a file came to.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// Of the bundle that is being filled.
    objects: Vec<Map<String, Value>>,
    /// Bytes they may come to, of rows.
    bytes: usize,
    /// Ids among them that may come again.
    ids: BTreeSet<String>,
    /// What the `file` objects among them tell.
    files: BTreeMap<String, BTreeSet<make::Item>>,
    /// Bundles that are full; of a file that is a bundle, itself.
    bundles: Vec<Vec<u8>>,
    /// Objects of one bundle.
    bundle_objects: usize,
    /// How large it may grow.
    room: Room,
    /// How many of each STIX type.
    pub counts: BTreeMap<String, usize>,
    /// What became no object, in the file's order.
    pub skipped: Vec<Skipped>,
    /// How many more did not.
    pub more_skipped: usize,
    /// The most restrictive actions the file permits; unset if it says nothing.
    pub pap: Option<Pap>,
    /// The narrowest marking the file states; unset if none.
    pub tlp: Option<Tlp>,
}

impl Import {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ImportError`], naming line or property and rule.
    pub fn read(format: Format, bytes: &[u8], options: &Options) -> Result<Self, ImportError> {
        if bytes.len() > MAX_BUNDLE {
            return Err(ImportError::TooLong(bytes.len()));
        }
        let bytes = unmarked(bytes);
        let room = options.room.clone();
        let mut import = Self { bundle_objects: options.bundle_objects, room, ..Self::default() };
        match format {
            Format::Stix => import.bundle_itself(bytes)?,
            Format::Misp => misp::read(bytes, options, &mut import)?,
            Format::Csv => csv::read(text_of(bytes)?, options, &mut import)?,
            Format::Text => text::read(text_of(bytes)?, options, &mut import)?,
        }
        if import.counts.is_empty() {
            let skipped = import.skipped.len() + import.more_skipped;
            import.skipped.truncate(MAX_FIRST);
            return Err(ImportError::Nothing { skipped, told: import.skipped });
        }
        // It grows no more.
        import.room = Room::default();
        Ok(import)
    }

    /// The objects as STIX 2.1 bundles in the file's order, taken out: what is told of them stays.
    #[must_use]
    pub fn take_bundles(&mut self) -> Vec<Vec<u8>> {
        self.cut();
        std::mem::take(&mut self.bundles)
    }

    /// Ends a bundle.
    fn cut(&mut self) {
        if self.objects.is_empty() {
            return;
        }
        let objects = std::mem::take(&mut self.objects).into_iter().map(Value::Object);
        let objects = Value::Array(objects.collect()).to_string();
        let id = make::id("bundle", &[&objects]);
        let bundle = format!(r#"{{"id":"{id}","objects":{objects},"type":"bundle"}}"#);
        self.bundles.push(bundle.into_bytes());
        self.bytes = 0;
        // Each bundle holds all that it refers to.
        self.ids.clear();
    }

    /// Makes room for a row that says so many bytes.
    fn begin_row(&mut self, said: usize) {
        let bytes = said.saturating_mul(ROW_TIMES).saturating_add(ROW_BYTES);
        let is_full = self.objects.len() + ROW_OBJECTS > self.bundle_objects;
        if is_full || self.bytes.saturating_add(bytes) > MAX_BUNDLE {
            self.cut();
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn bundle_itself(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        for object in Bundle::parse(bytes)?.objects() {
            *self.counts.entry(object.kind().to_owned()).or_default() += 1;
        }
        self.room.grow(bytes.len())?;
        self.bundles.push(bytes.to_vec());
        Ok(())
    }

    fn skip(&mut self, place: Place, why: Why) {
        if self.skipped.len() < MAX_SKIPPED {
            self.skipped.push(Skipped { place, why });
        } else {
            self.more_skipped += 1;
        }
    }

    fn add(&mut self, object: Map<String, Value>) -> Result<(), ImportError> {
        // Only rows are cut.
        if self.objects.len() == MAX_BUNDLE_OBJECTS {
            return Err(ImportError::TooMany(MAX_BUNDLE_OBJECTS));
        }
        if self.counts.values().sum::<usize>() == MAX_IMPORT_OBJECTS {
            return Err(ImportError::TooMany(MAX_IMPORT_OBJECTS));
        }
        self.room.grow(room::weight(&object))?;
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
        *self.counts.entry(kind.to_owned()).or_default() += 1;
        self.objects.push(object);
        Ok(())
    }

    /// As [`Self::add`], of what several parts of a file may bring: the first one stands.
    fn add_once(&mut self, object: Map<String, Value>) -> Result<(), ImportError> {
        if self.ids.insert(make::id_of(&object)) { self.add(object) } else { Ok(()) }
    }

    fn narrow(&mut self, tlp: Option<Tlp>, pap: Option<Pap>) {
        self.tlp = self.tlp.max(tlp);
        self.pap = self.pap.into_iter().chain(pap).max_by_key(|pap| *pap as i32);
    }
}

/// Without the byte order mark that spreadsheets and shells write: it is no content.
fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn text_of(bytes: &[u8]) -> Result<&str, ImportError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        ImportError::NotText(lines as u64 + 1)
    })
}

#[cfg(test)]
mod tests;
