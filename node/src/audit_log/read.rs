//! Reading and verifying.

use std::path::Path;

use belfry_proto::{crypto::secret::Secret, time::Timestamp};

use super::{
    AuditError, Standing, key,
    line::Head,
    record::Event,
    segment::list,
    walk::{Entry, Walk},
};

/// A log that was found whole.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Number of the oldest entry there; older ones were dropped, and the log says so.
    pub first: u64,
    /// Where it ends.
    pub standing: Standing,
    /// When its oldest entry was made.
    pub since: Option<Timestamp>,
    /// When its newest entry was made.
    pub until: Option<Timestamp>,
    /// Places where whole lines were set aside: entries are lost there.
    pub cuts: Vec<Cut>,
    /// It ends in half a line: being written, or torn by a power cut.
    pub is_torn: bool,
}

/// Entries that were found damaged at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Number of the entry that says so.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Lines set aside.
    pub lines: u64,
}

/// Verifies the log in `folder`, line by line: each opens in its place, none is missing, and what was dropped was
/// dropped by the node. `noted` is a head from elsewhere, which the log has to pass through.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(folder: &Path, master: &Secret, noted: Option<Standing>) -> Result<Verified, AuditError> {
    let key = key(master);
    let segments = list(folder)?;
    let first = segments.first().map_or(1, |(first, _)| *first);
    let mut verified = Verified {
        first,
        standing: Standing { sequence: first.saturating_sub(1), head: Head::NONE },
        since: None,
        until: None,
        cuts: Vec::new(),
        is_torn: false,
    };
    let mut dropped = 1;
    let mut passed = noted.is_none_or(|noted| noted.sequence == 0 && noted.head == Head::NONE);
    for (i, (_, path)) in segments.iter().enumerate() {
        let missing = |rule| AuditError::Missing { path: path.clone(), rule };
        if verified.is_torn {
            return Err(missing("the file before it ends in half a line"));
        }
        let mut walk = Walk::begin(path, &key)?;
        if i == 0 {
            verified.standing = walk.standing();
        } else if walk.standing() != verified.standing {
            return Err(missing("it does not follow the file before it: a file is missing or was changed"));
        }
        // Dropping ends at a file: its own heading may be what somebody noted.
        passed |= noted == Some(walk.standing());
        while let Some(entry) = walk.next()? {
            verified.since.get_or_insert(entry.record.at);
            verified.until = Some(entry.record.at);
            passed |= noted == Some(walk.standing());
            match entry.record.event {
                Event::Dropped { below } => dropped = below,
                Event::Cut { lines, .. } if lines > 0 => {
                    verified.cuts.push(Cut { sequence: entry.sequence, at: entry.record.at, lines });
                }
                _ => {}
            }
        }
        verified.standing = walk.standing();
        verified.is_torn = walk.is_torn;
    }
    if first > dropped {
        let path = segments.first().map_or_else(|| folder.to_owned(), |(_, path)| path.clone());
        let rule = "older files are missing, and the log does not say that the node removed them";
        return Err(AuditError::Missing { path, rule });
    }
    match noted {
        Some(noted) if !passed && noted.sequence < first.saturating_sub(1) => {
            Err(AuditError::OtherHead("its place is older than what is kept"))
        }
        Some(noted) if !passed && noted.sequence > verified.standing.sequence => {
            Err(AuditError::OtherHead("the log ends before it, so entries were cut off"))
        }
        Some(_) if !passed => Err(AuditError::OtherHead("another entry stands in its place")),
        _ => Ok(verified),
    }
}

/// At most `most` entries after number `after`.
pub(super) fn entries(
    folder: &Path,
    key: &Secret,
    after: u64,
    most: usize,
) -> Result<Vec<Entry>, AuditError> {
    let segments = list(folder)?;
    let from = segments.partition_point(|(first, _)| *first <= after.saturating_add(1)).saturating_sub(1);
    let mut found = Vec::new();
    for (_, path) in segments.iter().skip(from) {
        let mut walk = Walk::begin(path, key)?;
        while found.len() < most {
            let Some(entry) = walk.next()? else { break };
            if entry.sequence > after {
                found.push(entry);
            }
        }
    }
    Ok(found)
}
