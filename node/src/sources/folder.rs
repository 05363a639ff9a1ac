//! A folder that others put files into.
//!
//! ```text
//! folder/NAME ─unchanged for a moment─▶ read ─▶ submitted ─▶ folder/done/NAME    and NAME.report.json
//!                                              └ at fault ─▶ folder/failed/NAME  and NAME.report.json
//! ```
//!
//! A file is whole when two looks, some seconds apart, find it alike: so that who copies need not rename. It is moved
//! when its draft is durable; a crash between the two has it taken once more, and it is known then. Names that begin with
//! a dot or end as unfinished ones do, links, folders and devices are let be.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Read as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use belfry_proto::import::{Format, Import, Mapping};
use rustix::{
    fs::{CWD, OFlags, RenameFlags},
    io::Errno,
};
use serde_json::json;

use super::{
    Failure, Feed, SourceError,
    desk::{Desk, Fate},
};
use crate::{
    keys::file::{self, Existing, Readers},
    publish::file::Reading,
};

/// How long a file must stay as it is. Shorter and a slow copy is taken in part, longer and everybody waits.
const SETTLE: Duration = Duration::from_secs(2);
/// Entries looked at in one look; beyond it those go first that the system names first.
const MAX_ENTRIES: usize = 10_000;
/// Bytes of a name that are kept in the name of its report.
const MAX_STEM: usize = 200;
/// Ends of names that programs give to what they have not finished.
const UNFINISHED: [&str; 6] = [".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload"];
const DONE: &str = "done";
const FAILED: &str = "failed";

/// The folder, and what stood there at the last look.
pub(super) struct Folder {
    path: PathBuf,
    format: Option<Format>,
    map: Mapping,
    max_size: usize,
    settle: Duration,
    seen: BTreeMap<PathBuf, (Look, Instant)>,
    unsettled: bool,
}

/// What a file is told by without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    place: (u64, u64),
    len: u64,
    changed: (i64, i64),
}

impl Look {
    fn of(found: &fs::Metadata) -> Self {
        Self {
            place: (found.dev(), found.ino()),
            len: found.len(),
            changed: (found.mtime(), found.mtime_nsec()),
        }
    }
}

/// Whether the folder is there.
pub(super) fn look(name: &str, path: &Path) -> Result<(), SourceError> {
    fs::read_dir(path).map(drop).map_err(fault(name, path))
}

fn fault<'a>(name: &'a str, path: &'a Path) -> impl FnOnce(std::io::Error) -> SourceError + 'a {
    |source| SourceError::Folder { name: name.to_owned(), path: path.to_owned(), source }
}

impl Folder {
    pub(super) fn open(
        name: &str,
        path: &Path,
        format: Option<Format>,
        map: Mapping,
        max_size: usize,
    ) -> Result<Self, SourceError> {
        look(name, path)?;
        for inner in [DONE, FAILED] {
            let inner = path.join(inner);
            match fs::DirBuilder::new().mode(0o700).create(&inner) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(fault(name, &inner)(error));
                }
                _ => {}
            }
        }
        let settle = if cfg!(test) { Duration::from_millis(20) } else { SETTLE };
        let path = path.to_owned();
        Ok(Self { path, format, map, max_size, settle, seen: BTreeMap::new(), unsettled: false })
    }

    /// Of the files that stand there, those that are whole; the oldest first.
    fn whole(&mut self, found: Vec<(PathBuf, Look)>) -> Vec<(PathBuf, Look)> {
        let now = Instant::now();
        let mut seen = BTreeMap::new();
        let mut whole = Vec::new();
        for (path, look) in found {
            let since = match self.seen.get(&path) {
                Some((before, since)) if *before == look => *since,
                _ => now,
            };
            if now.duration_since(since) >= self.settle {
                whole.push((path.clone(), look));
            }
            seen.insert(path, (look, since));
        }
        self.unsettled = seen.len() > whole.len();
        self.seen = seen;
        whole.sort_by(|(a, one), (b, other)| (one.changed, a).cmp(&(other.changed, b)));
        whole
    }
}

/// The files of a folder.
fn list(folder: &Path) -> std::io::Result<Vec<(PathBuf, Look)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)?.take(MAX_ENTRIES) {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        // Gone since, perhaps.
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_file() && !name.starts_with('.') && !UNFINISHED.iter().any(|end| name.ends_with(end)) {
            files.push((path, Look::of(&found)));
        }
    }
    Ok(files)
}

/// A file's bytes.
enum Content {
    Whole(Vec<u8>),
    /// It is another one by now, or still being written.
    Moved,
    TooLong(u64),
}

fn read(path: &Path, look: Look, most: usize) -> std::io::Result<Content> {
    // What was a file a moment ago may be a link or a pipe: neither is followed nor waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let opened: File = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Content::Moved),
        opened => opened?,
    };
    if Look::of(&opened.metadata()?) != look {
        return Ok(Content::Moved);
    }
    if look.len > most as u64 {
        return Ok(Content::TooLong(look.len));
    }
    let mut bytes = Vec::new();
    (&opened).take(most as u64 + 1).read_to_end(&mut bytes)?;
    let is_still = Look::of(&opened.metadata()?) == look && bytes.len() as u64 == look.len;
    Ok(if is_still { Content::Whole(bytes) } else { Content::Moved })
}

/// Whether taken files go into folders, and not through links to wherever somebody would have them.
fn are_folders(inbox: &Path) -> std::io::Result<()> {
    for inner in [DONE, FAILED] {
        let inner = inbox.join(inner);
        let found = fs::symlink_metadata(&inner)
            .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", inner.display())))?;
        if !found.is_dir() {
            let why = format!("{} is no folder (a link is none): make it one", inner.display());
            return Err(std::io::Error::other(why));
        }
    }
    Ok(())
}

/// Writes the report and moves the file that was read beside it. Neither replaces anything. Whether it moved: another
/// one that stands in its place by now is left, and taken in its turn.
fn settle(path: &Path, read: Look, inner: &str, report: &serde_json::Value) -> std::io::Result<bool> {
    let (Some(inbox), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
    are_folders(inbox)?;
    let folder = inbox.join(inner);
    let text = name.to_string_lossy();
    let stem: String =
        text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= MAX_STEM).map(|(_, c)| c).collect();
    let nth = |nth: u32| if nth == 1 { String::new() } else { format!(".{nth}") };
    let report_of = |n: u32| folder.join(format!("{stem}{}.report.json", nth(n)));
    let file_of = |n: u32| match n {
        1 => folder.join(name),
        n => folder.join(format!("{stem}{}", nth(n))),
    };
    let is_taken = |path: PathBuf| fs::symlink_metadata(path).is_ok();
    let free = (1..u32::MAX).find(|n| !is_taken(file_of(*n)) && !is_taken(report_of(*n)));
    let free = free.ok_or_else(|| std::io::Error::other("has no name left for a file"))?;
    let bytes = format!("{report:#}\n");
    let written = file::write(&report_of(free), bytes.as_bytes(), Readers::Owner, Existing::Keep);
    written.map_err(|error| std::io::Error::other(error.to_string()))?;
    let is_still = fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && Look::of(&found) == read);
    if !is_still {
        fs::remove_file(report_of(free))?;
        return Ok(false);
    }
    match rename_new(path, &file_of(free)) {
        Ok(()) => Ok(true),
        Err(error) => {
            fs::remove_file(report_of(free))?;
            Err(error)
        }
    }
}

/// Renames onto a name that nothing has.
fn rename_new(from: &Path, to: &Path) -> std::io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it; that the name was free, we looked.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(from, to),
        done => Ok(done?),
    }
}

/// What a person reads who looks for what became of a file.
fn report(fate: &Fate, import: Option<&Import>) -> serde_json::Value {
    let mut told = match fate {
        Fate::Taken(accepted) | Fate::Known(accepted) => json!({
            "publication": accepted.first().map(|one| one.publication),
            "publications": accepted.iter().map(|one| one.publication).collect::<Vec<_>>(),
            "held": accepted.iter().any(|one| one.held),
            "duplicate": accepted.iter().all(|one| one.duplicate),
            "tlp": accepted.first().and_then(|one| one.tlp).map(belfry_proto::stix::marking::Tlp::as_str),
            "notes": accepted.iter().flat_map(|one| &one.notes).collect::<Vec<_>>(),
        }),
        Fate::Refused(why) | Fate::Nothing(why) => json!({ "refused": why }),
    };
    if let (Some(import), Some(members)) = (import, told.as_object_mut()) {
        let skipped = import.skipped.iter();
        let skipped: Vec<_> =
            skipped.map(|s| json!({ "at": s.place.to_string(), "why": s.why.to_string() })).collect();
        members.insert("objects".to_owned(), json!(import.counts));
        members.insert("skipped".to_owned(), json!(skipped));
        members.insert("more_skipped".to_owned(), json!(import.more_skipped));
    }
    told
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::of(&error))?
        .map_err(|error| Failure::of(&error))
}

#[async_trait]
impl Feed for Folder {
    async fn run(&mut self, desk: &mut Desk) -> Result<(), Failure> {
        let folder = self.path.clone();
        // Before anything is taken: what is taken has to go there.
        let found = blocking(move || are_folders(&folder).and_then(|()| list(&folder))).await?;
        let whole = self.whole(found);
        for (path, look) in whole.into_iter().take(desk.source.max_items) {
            let most = self.max_size;
            let opened = path.clone();
            let content = blocking(move || read(&opened, look, most)).await?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (fate, import) = match content {
                Content::Moved => continue,
                Content::TooLong(len) => {
                    let why = format!("has {len} bytes, more than the {most} that max_size allows");
                    desk.refuse(&name, &why);
                    (Fate::Refused(why), None)
                }
                Content::Whole(bytes) => {
                    let reading = Reading {
                        format: self.format,
                        name: name.clone(),
                        mapping: self.map.clone(),
                        ..Reading::default()
                    };
                    match desk.file(&name, reading, bytes, false).await? {
                        Some(taken) => taken,
                        None => continue,
                    }
                }
            };
            let told = report(&fate, import.as_ref());
            let inner = if matches!(fate, Fate::Refused(_) | Fate::Nothing(_)) { FAILED } else { DONE };
            blocking(move || settle(&path, look, inner, &told)).await?;
        }
        Ok(())
    }

    fn soon(&self) -> Option<Duration> {
        self.unsettled.then_some(self.settle)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn inbox() -> (tempfile::TempDir, PathBuf, Look) {
        let folder = tempfile::tempdir().unwrap();
        for inner in [DONE, FAILED] {
            fs::create_dir(folder.path().join(inner)).unwrap();
        }
        let path = folder.path().join("a.csv");
        fs::write(&path, "first").unwrap();
        let look = Look::of(&fs::symlink_metadata(&path).unwrap());
        (folder, path, look)
    }

    #[test]
    fn a_file_that_came_in_the_place_of_the_one_read_is_left_for_its_turn() {
        let (folder, path, look) = inbox();
        let next = folder.path().join(".next");
        fs::write(&next, "second").unwrap();
        fs::rename(&next, &path).unwrap();
        assert!(!settle(&path, look, DONE, &json!({})).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(fs::read_dir(folder.path().join(DONE)).unwrap().count(), 0, "no report of it either");
        let look = Look::of(&fs::symlink_metadata(&path).unwrap());
        assert!(settle(&path, look, DONE, &json!({})).unwrap());
        assert_eq!(fs::read_to_string(folder.path().join("done/a.csv")).unwrap(), "second");
    }

    #[test]
    fn nothing_is_written_through_a_link_or_over_what_stands_there() {
        let (folder, path, look) = inbox();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::remove_dir(folder.path().join(DONE)).unwrap();
        symlink(elsewhere.path(), folder.path().join(DONE)).unwrap();
        let refused = settle(&path, look, DONE, &json!({})).unwrap_err().to_string();
        assert!(refused.contains("done is no folder"), "{refused}");
        assert!(path.exists() && fs::read_dir(elsewhere.path()).unwrap().next().is_none());

        let (folder, path, look) = inbox();
        let (report, other) = (folder.path().join("done/a.csv.report.json"), elsewhere.path().join("other"));
        symlink(&other, &report).unwrap();
        symlink(&other, folder.path().join("done/a.csv.2")).unwrap();
        assert!(settle(&path, look, DONE, &json!({})).unwrap());
        assert!(!other.exists() && folder.path().join("done/a.csv.3").exists());
        assert!(folder.path().join("done/a.csv.3.report.json").exists());
    }
}
