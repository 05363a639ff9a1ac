//! Files that must not be lost and files that must not be read by others.
//!
//! Writing goes tmp → fsync → rename (or link) → fsync of the folder: after a power cut a file is there
//! whole, old or new, never in part. Reading a secret checks its permissions first, because a key that
//! others could read has to be taken as read.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// Bytes of a key or passphrase file; the largest real one is some 500.
const MAX_SECRET: u64 = 64 * 1024;
/// Bytes of a charter, certificate, request or log file: a log of 100,000 entries is some 60 MB.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// Older files kept beside a newer one of their name; whoever has so many is to clear them up.
const MAX_BESIDE: u32 = 1000;

/// A file that cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A secret that others may read or write.
    #[error(
        "{} is open to other users (mode {mode:04o}): take it as known to them, or, if you are sure it is not, \
         run `chmod {} {}`", path.display(), if *folder { "700" } else { "600" }, path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// It is a folder.
        folder: bool,
    },
    /// Nothing is overwritten here.
    #[error("{} exists already and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Larger than any real one.
    #[error("{} is {len} bytes, over the limit of {limit}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// Not text.
    #[error("{} is not a text file", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }

    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner: 0600.
    Owner,
    /// Everyone the folder lets in: 0644.
    All,
}

/// What happens to a file of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced, in one step.
    Replace,
    /// It stays, and the writing is refused.
    Keep,
}

/// Writes a whole file so that it is there, whole, when this returns.
///
/// # Errors
/// [`FileError`]; the file is then as it was before.
pub fn write(path: &Path, bytes: &[u8], readers: Readers, existing: Existing) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:016x}", rand::random::<u64>()));
    let draft = folder.join(name);
    let written = write_draft(&draft, bytes, readers).and_then(|()| match existing {
        Existing::Replace => fs::rename(&draft, path),
        // A link, unlike a rename, fails where the name is taken.
        Existing::Keep => fs::hard_link(&draft, path).and_then(|()| fs::remove_file(&draft)),
    });
    if let Err(source) = written {
        let _ = fs::remove_file(&draft);
        return Err(match source.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists { path: path.to_owned() },
            _ => FileError::Io { path: path.to_owned(), source },
        });
    }
    sync_folder(folder)
}

/// Writes a file in the place of an older one. What that said otherwise stays, beside it under a number: where, if so.
///
/// # Errors
/// [`FileError`]; what was there is there still.
pub fn write_beside(path: &Path, bytes: &[u8], readers: Readers) -> Result<Option<PathBuf>, FileError> {
    match read_text(path) {
        Ok(before) if before.as_bytes() == bytes => return Ok(None),
        Err(error) if error.is_absent() => {
            return write(path, bytes, readers, Existing::Keep).map(|()| None);
        }
        // Whatever it is, it is somebody's.
        Ok(_) | Err(_) => {}
    }
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, extension) = (part(path.file_stem()), part(path.extension()));
    for number in 1..=MAX_BESIDE {
        let beside = path.with_file_name(format!("{stem}.{number}.{extension}"));
        match fs::hard_link(path, &beside) {
            Ok(()) => return write(path, bytes, readers, Existing::Replace).map(|()| Some(beside)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(FileError::Io { path: beside, source }),
        }
    }
    Err(FileError::Exists { path: path.to_owned() })
}

fn write_draft(draft: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::All => 0o644,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(FileError::io(folder))
}

/// Makes `path` (and what lies above it) for its owner only; an existing folder is left as it is.
///
/// # Errors
/// [`FileError::Io`].
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::io(path))?;
    path.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), sync_folder)
}

/// Closes an existing folder to others.
///
/// # Errors
/// [`FileError::Io`].
pub fn close_folder(path: &Path) -> Result<(), FileError> {
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(FileError::io(path))
}

/// Reads a secret file, if only its owner may.
///
/// # Errors
/// [`FileError::Open`] when others may read or write it, else why it cannot be read.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = File::open(path).map_err(FileError::io(path))?;
    let found = file.metadata().map_err(FileError::io(path))?;
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Open { path: path.to_owned(), mode, folder: found.is_dir() });
    }
    read(file, path, MAX_SECRET).map(Zeroizing::new)
}

/// Reads a text file that is no secret.
///
/// # Errors
/// [`FileError`].
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let file = File::open(path).map_err(FileError::io(path))?;
    String::from_utf8(read(file, path, MAX_FILE)?).map_err(|_| FileError::NotText { path: path.to_owned() })
}

pub(super) fn read(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let len = file.take(limit + 1).read_to_end(&mut bytes).map_err(FileError::io(path))? as u64;
    if len > limit {
        return Err(FileError::TooLong { path: path.to_owned(), len, limit });
    }
    Ok(bytes)
}

pub(super) fn read_credential(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    // systemd mounts credentials for the service alone; its ACLs show as group bits in the mode.
    let file = File::open(path).map_err(FileError::io(path))?;
    read(file, path, MAX_SECRET).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_closed_and_refused_once_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write(&path, b"s", Readers::Owner, Existing::Keep).unwrap();
        assert_eq!(read_secret(&path).unwrap().as_slice(), b"s");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let refusal = read_secret(&path).unwrap_err().to_string();
        assert!(refusal.contains("0640") && refusal.contains("chmod 600"), "{refusal}");
    }

    #[test]
    fn nothing_is_overwritten_or_left_behind_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"one", Readers::All, Existing::Keep).unwrap();
        assert!(matches!(write(&path, b"two", Readers::All, Existing::Keep), Err(FileError::Exists { .. })));
        assert_eq!(read_text(&path).unwrap(), "one");
        write(&path, b"two", Readers::All, Existing::Replace).unwrap();
        assert_eq!(read_text(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_an_older_file_said_otherwise_stays_beside_the_newer_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("member.record.json");
        let put = |text: &str| write_beside(&path, text.as_bytes(), Readers::Owner).unwrap();
        assert_eq!((put("one"), put("one")), (None, None));
        let aside = |n: u32| folder.path().join(format!("member.record.{n}.json"));
        assert_eq!((put("two"), put("three")), (Some(aside(1)), Some(aside(2))));
        let read = |path: &Path| read_text(path).unwrap();
        assert_eq!([read(&aside(1)), read(&aside(2)), read(&path)], ["one", "two", "three"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
