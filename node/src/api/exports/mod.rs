//! Exports: what `query` releases, written in the format a tool reads.
//!
//! ```text
//! Snapshot ─render─▶ Files ─cache, per profile and scope─▶ one file, its MD5 companion, or 304
//! ```
//!
//! A cached rendering is good while no object of its groups was written, no list changed and nothing in it ends; one with
//! scores in it for no more than a minute. So what was withdrawn, revoked or has expired is gone at the next read. Formats are told apart in
//! [`render`] alone; each writes neutral text ([`belfry_proto::stix::neutral`]) and counts what it cannot write.

mod cache;
mod csv;
mod lines;
mod making;
mod misp;
mod pack;
mod rpz;
mod rules;
mod stix;
mod suricata;
mod swings;
mod zeek;

use std::collections::BTreeMap;

use axum::body::Bytes;
use md5::{Digest as _, Md5};

use self::pack::Packed;
pub(super) use self::{
    cache::{Asked, Cache, Outline, REPORTED, Rendered},
    misp::{kind_of as misp_type, of as misp_id},
};
use super::problem::Problem;
use crate::{
    config::Format,
    query::{Query, Released, Snapshot},
};

/// A file of an export.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) media: &'static str,
    pub(super) body: Packed,
    /// In hex: its companion, and its entity tag.
    pub(super) md5: String,
}

/// Every file of an export, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) files: BTreeMap<String, File>,
    /// The one served under the export's own name; unset if none stands for all.
    pub(super) main: Option<String>,
    /// Values that the format has no way to write.
    pub(super) unwritable: u64,
    /// Of a ranked list: the places of a file's lines, the best first.
    order: BTreeMap<String, Vec<u32>>,
}

const TEXT: &str = "text/plain; charset=utf-8";
const CSV: &str = "text/csv; charset=utf-8";
const JSON: &str = "application/json";

impl Files {
    fn put(&mut self, name: impl Into<String>, media: &'static str, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let md5 = hex::encode(Md5::digest(&bytes));
        self.files.insert(name.into(), File { media, body: bytes.into(), md5 });
    }

    fn put_main(&mut self, name: impl Into<String>, media: &'static str, bytes: impl Into<Bytes>) {
        let name = name.into();
        self.main = Some(name.clone());
        self.put(name, media, bytes);
    }
}

/// Whether an object that names no value is written.
pub(super) fn writes(format: Format, object: &Released) -> bool {
    format != Format::Rules || rules::is_written(object)
}

/// Writes a snapshot. `serial` numbers editions where a format asks for it, and is no part of what tells them apart.
fn render(snapshot: &Snapshot, query: &Query, serial: u32) -> Result<Files, Problem> {
    Ok(match snapshot.export.format {
        Format::List => lines::render(snapshot),
        Format::Csv => csv::generic(snapshot)?,
        Format::SplunkEs => csv::splunk(snapshot)?,
        Format::Suricata => suricata::render(snapshot, query),
        Format::Zeek => zeek::render(snapshot),
        Format::Rpz => rpz::render(snapshot, serial),
        Format::Stix => stix::render(snapshot),
        Format::Misp => misp::render(snapshot, query)?,
        Format::Rules => rules::render(snapshot, query)?,
    })
}
