//! The files: the newest is appended to, the oldest goes when there are too many.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use belfry_proto::crypto::secret::Secret;

use super::{
    AuditError, SEGMENTS, Standing,
    line::{self, Head},
    record::{Event, Record},
    walk::Walk,
};
use crate::clock;

/// The file of a segment, to be synced while entries are added.
pub(super) struct Handle {
    file: Arc<File>,
    path: PathBuf,
}

impl Handle {
    pub(super) fn sync(&self) -> Result<(), AuditError> {
        self.file.sync_data().map_err(AuditError::file(&self.path))
    }
}

/// Where entries are added.
pub(super) struct Segment {
    folder: PathBuf,
    key: Secret,
    keep: u64,
    path: PathBuf,
    file: Arc<File>,
    /// Bytes of it that are whole lines.
    len: u64,
    standing: Standing,
}

impl Segment {
    pub(super) fn open(folder: &Path, key: &Secret, keep: u64) -> Result<Self, AuditError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(AuditError::file(folder))?;
        let mut found = list(folder)?;
        let (mut bytes, mut lines) = (0, 0);
        while let Some((_, path)) = found.pop() {
            let mut walk = match Walk::begin(&path, key) {
                Ok(walk) => walk,
                Err(AuditError::Broken { .. }) => {
                    // Begun at a power cut, or damaged: the one before goes on.
                    let lost = count(&path)?;
                    (bytes, lines) = (bytes + lost.0, lines + lost.1);
                    let aside = path.with_extension("cut");
                    fs::rename(&path, aside).map_err(AuditError::file(&path))?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Everything up to the first line that is not ours; what is wrong beyond is the verifier's to say.
            while let Ok(Some(_)) = walk.next() {}
            let (standing, len) = (walk.standing(), walk.whole());
            let file =
                OpenOptions::new().read(true).write(true).open(&path).map_err(AuditError::file(&path))?;
            let (folder, key, file) = (folder.to_owned(), key.clone(), Arc::new(file));
            let mut segment = Self { folder, key, keep, path, file, len, standing };
            let lost = segment.set_aside().map_err(AuditError::file(&segment.path))?;
            (bytes, lines) = (bytes + lost.0, lines + lost.1);
            return segment.told_of(bytes, lines);
        }
        let segment = Self::begin(folder, key, keep, Standing { sequence: 0, head: Head::NONE })?;
        segment.told_of(bytes, lines)
    }

    /// With an entry about what was not whole.
    fn told_of(mut self, bytes: u64, lines: u64) -> Result<Self, AuditError> {
        if bytes > 0 {
            tracing::warn!(
                bytes,
                lines,
                "the audit log did not end in a whole line: what followed was set aside"
            );
            self.append(&[Record::now(clock::now(), Event::Cut { bytes, lines })])?;
        }
        Ok(self)
    }

    /// Moves what follows the last whole line into a file of its own: bytes and whole lines of it.
    fn set_aside(&mut self) -> std::io::Result<(u64, u64)> {
        (&*self.file).seek(SeekFrom::Start(self.len))?;
        let mut rest = Vec::new();
        (&*self.file).take(self.keep.saturating_mul(2)).read_to_end(&mut rest)?;
        if !rest.is_empty() {
            let aside = self.path.with_extension(format!("{}.cut", self.standing.sequence));
            let mut copy =
                OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(aside)?;
            copy.write_all(&rest)?;
            copy.sync_all()?;
            self.file.set_len(self.len)?;
        }
        (&*self.file).seek(SeekFrom::Start(self.len))?;
        Ok((rest.len() as u64, ends(&rest)))
    }

    fn begin(folder: &Path, key: &Secret, keep: u64, standing: Standing) -> Result<Self, AuditError> {
        let first = standing.sequence.saturating_add(1);
        let path = folder.join(format!("{first:020}.log"));
        let heading = line::heading(first, standing.head);
        let work = || {
            let mut file =
                OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
            file.write_all(heading.as_bytes())?;
            file.sync_all()?;
            // The name has to be durable as well.
            File::open(folder)?.sync_all()?;
            Ok(Arc::new(file))
        };
        let file = work().map_err(AuditError::file(&path))?;
        let (folder, key) = (folder.to_owned(), key.clone());
        Ok(Self { folder, key, keep, path, file, len: heading.len() as u64, standing })
    }

    pub(super) const fn standing(&self) -> Standing {
        self.standing
    }

    /// Adds entries, all or none.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), AuditError> {
        // The writer rotates in time; this is for whoever adds without one, and faster than it syncs.
        if self.len > self.keep / SEGMENTS * 2 {
            self.rotate()?;
        }
        self.put(records)
    }

    /// Goes on in a new file, if this one is as long as it should be.
    pub(super) fn rotate_if_long(&mut self) -> Result<(), AuditError> {
        if self.len > self.keep / SEGMENTS { self.rotate() } else { Ok(()) }
    }

    fn put(&mut self, records: &[Record]) -> Result<(), AuditError> {
        let mut standing = self.standing;
        let mut lines = String::new();
        for record in records {
            standing.sequence = standing.sequence.saturating_add(1);
            let (line, head) = line::seal(&self.key, standing.sequence, standing.head, record);
            standing.head = head;
            lines.push_str(&line);
        }
        if let Err(error) = (&*self.file).write_all(lines.as_bytes()) {
            // Half a line in the middle would look like an attack.
            let restored =
                self.file.set_len(self.len).and_then(|()| (&*self.file).seek(SeekFrom::Start(self.len)));
            return Err(match restored {
                Ok(_) => AuditError::file(&self.path)(error),
                Err(_) => AuditError::Stopped,
            });
        }
        self.len = self.len.saturating_add(lines.len() as u64);
        self.standing = standing;
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), AuditError> {
        self.handle().sync()
    }

    pub(super) fn handle(&self) -> Handle {
        Handle { file: Arc::clone(&self.file), path: self.path.clone() }
    }

    fn rotate(&mut self) -> Result<(), AuditError> {
        // Others may wait for what is in it: after a failed sync nobody knows what is on disk.
        let synced = |error: AuditError| {
            tracing::error!("{error}");
            AuditError::Stopped
        };
        self.sync().map_err(synced)?;
        *self = Self::begin(&self.folder, &self.key, self.keep, self.standing)?;
        let Standing { sequence, head } = self.standing;
        tracing::info!(sequence, %head, "the audit log goes on in a new file");
        let found = list(&self.folder)?;
        let sizes: Vec<u64> =
            found.iter().map(|(_, path)| fs::metadata(path).map_or(0, |found| found.len())).collect();
        let mut bytes: u64 = sizes.iter().sum();
        let mut going = Vec::new();
        let mut below = 0;
        for ((first, path), size) in found.into_iter().zip(sizes) {
            below = first;
            // With room for the one just begun.
            if bytes <= self.keep - self.keep / SEGMENTS || path == self.path {
                break;
            }
            bytes = bytes.saturating_sub(size);
            going.push(path);
        }
        if !going.is_empty() {
            // Said before it is done: whoever removes a file without it is found out.
            self.put(&[Record::now(clock::now(), Event::Dropped { below })])?;
            self.sync().map_err(synced)?;
        }
        for path in going {
            fs::remove_file(&path).map_err(AuditError::file(&path))?;
        }
        Ok(())
    }
}

/// Segments by the number of their first entry, oldest first.
pub(super) fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, AuditError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(AuditError::file(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(AuditError::file(folder))?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(first) = first {
            found.push((first, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Bytes and whole lines of a file.
fn count(path: &Path) -> Result<(u64, u64), AuditError> {
    let bytes = fs::read(path).map_err(AuditError::file(path))?;
    Ok((bytes.len() as u64, ends(&bytes)))
}

fn ends(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
