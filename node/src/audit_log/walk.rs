//! One file, line by line: each opens in its place.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use belfry_proto::crypto::secret::Secret;
use serde::Serialize;

use super::{
    AuditError, Standing,
    line::{self, Head},
    record::Record,
};

/// An entry with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number.
    pub sequence: u64,
    /// The chain's end then.
    pub head: Head,
    /// What it says.
    #[serde(flatten)]
    pub record: Record,
}

/// See the module.
pub(super) struct Walk {
    path: PathBuf,
    key: Secret,
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    whole: u64,
    standing: Standing,
    pub(super) is_torn: bool,
}

impl Walk {
    pub(super) fn begin(path: &Path, key: &Secret) -> Result<Self, AuditError> {
        let file = File::open(path).map_err(AuditError::file(path))?;
        let (mut reader, mut line) = (BufReader::new(file), Vec::new());
        let broken = || AuditError::Broken { path: path.to_owned(), line: 1, rule: "is no heading" };
        if !next_line(&mut reader, &mut line).map_err(AuditError::file(path))? {
            return Err(broken());
        }
        let (first, head) = line::read_heading(&line).ok_or_else(broken)?;
        let named = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if named != Some(first) {
            return Err(AuditError::Broken {
                path: path.to_owned(),
                line: 1,
                rule: "is another file's heading",
            });
        }
        let whole = (line.len() as u64).saturating_add(1);
        let standing = Standing { sequence: first.saturating_sub(1), head };
        Ok(Self {
            path: path.to_owned(),
            key: key.clone(),
            reader,
            line,
            number: 1,
            whole,
            standing,
            is_torn: false,
        })
    }

    /// The next entry; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, AuditError> {
        let is_whole = next_line(&mut self.reader, &mut self.line).map_err(AuditError::file(&self.path))?;
        if !is_whole && (self.line.len() as u64) < line::LONGEST {
            self.is_torn = !self.line.is_empty();
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        let sequence = self.standing.sequence.saturating_add(1);
        let (record, head) = line::open(&self.key, sequence, self.standing.head, &self.line)
            .map_err(|rule| AuditError::Broken { path: self.path.clone(), line: self.number, rule })?;
        self.standing = Standing { sequence, head };
        self.whole = self.whole.saturating_add(self.line.len() as u64).saturating_add(1);
        Ok(Some(Entry { sequence, head, record }))
    }

    /// Where it stands behind the last entry given.
    pub(super) const fn standing(&self) -> Standing {
        self.standing
    }

    /// Bytes up to there.
    pub(super) const fn whole(&self) -> u64 {
        self.whole
    }
}

/// One line, without its end; none if there is no whole one.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    reader.take(line::LONGEST).read_until(b'\n', line)?;
    Ok(line.pop_if(|last| *last == b'\n').is_some())
}
