//! Copying and hashing, so that a folder appears whole and durable or not at all.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
};

use super::{BackupError, Listed, MANIFEST};
use crate::keys::file::{FileError, close_folder, create_folder};

const MISSING: &str = "the file is missing";
const LENGTH: &str = "it is shorter or longer than when it was made";
const NO_FILE: &str = "it is no file";

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    |source| FileError::Io { path: path.to_owned(), source }.into()
}

/// Refuses a target that holds anything.
pub(super) fn refuse_existing(to: &Path) -> Result<(), BackupError> {
    let is_free = match fs::read_dir(to) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(mut entries) => entries.next().is_none(),
    };
    if is_free { Ok(()) } else { Err(BackupError::Exists(to.to_owned())) }
}

/// A folder under construction; removed again unless it is finished.
pub(super) struct Staging {
    path: PathBuf,
    finished: bool,
}

impl Staging {
    /// Beside `to`, so that finishing is one rename.
    pub(super) fn beside(to: &Path) -> Result<Self, BackupError> {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(format!(".partial-{:016x}", rand::random::<u64>()));
        let path = to.with_file_name(name);
        if let Some(parent) = to.parent() {
            create_folder(parent)?;
        }
        create_folder(&path)?;
        close_folder(&path)?;
        Ok(Self { path, finished: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes everything durable, then gives the folder its name.
    pub(super) fn finish(mut self, to: &Path) -> Result<(), BackupError> {
        sync_all(&self.path)?;
        // An empty folder of that name gives way; one with content makes the rename fail.
        fs::rename(&self.path, to).map_err(io_error(to))?;
        self.finished = true;
        match to.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
            _ => sync(Path::new(".")),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error(path))
}

fn sync_all(folder: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let path = entry.map_err(io_error(folder))?.path();
        if path.is_dir() { sync_all(&path)? } else { sync(&path)? }
    }
    sync(folder)
}

/// Copies a file into a folder under its own name, if it is there. Permissions go with it.
pub(super) fn copy_if_there(file: &Path, folder: &Path) -> Result<(), BackupError> {
    let Some(name) = file.file_name() else { return Ok(()) };
    match fs::copy(file, folder.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        copied => copied.map(drop).map_err(io_error(file)),
    }
}

/// Copies the files of one folder, not its subfolders.
pub(super) fn copy_folder(from: &Path, to: &Path) -> Result<(), BackupError> {
    create_folder(to)?;
    close_folder(to)?;
    for entry in fs::read_dir(from).map_err(io_error(from))? {
        let path = entry.map_err(io_error(from))?.path();
        if path.is_file() {
            copy_if_there(&path, to)?;
        }
    }
    Ok(())
}

/// Copies the files of a list, and holds the copies against it. So nothing is taken that was not verified, whatever becomes of
/// the originals, and a large database is read from its disk once.
pub(super) fn copy_all(from: &Path, to: &Path, listed: &[Listed]) -> Result<(), BackupError> {
    for file in listed {
        copy_listed(from, to, file)?;
    }
    compare(to, listed)
}

/// Copies one file of a list, if it is as long as that says: no disk is filled with what is no part of it.
pub(super) fn copy_listed(from: &Path, to: &Path, listed: &Listed) -> Result<(), BackupError> {
    let (source, target) = (resolve(from, listed)?, resolve(to, listed)?);
    let found = match fs::metadata(&source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BackupError::Damaged { path: source, reason: MISSING });
        }
        found => found.map_err(io_error(&source))?,
    };
    if !found.is_file() {
        return Err(BackupError::Damaged { path: source, reason: NO_FILE });
    }
    if found.len() != listed.bytes {
        return Err(BackupError::Damaged { path: source, reason: LENGTH });
    }
    if let Some(parent) = target.parent() {
        create_folder(parent)?;
        close_folder(parent)?;
    }
    let from = File::open(&source).map_err(io_error(&source))?;
    let mut copy = File::create(&target).map_err(io_error(&target))?;
    copy.set_permissions(found.permissions()).map_err(io_error(&target))?;
    // It may grow meanwhile.
    let mut from = from.take(listed.bytes.saturating_add(1));
    match io::copy(&mut from, &mut copy).map_err(io_error(&source))? {
        copied if copied == listed.bytes => Ok(()),
        _ => Err(BackupError::Damaged { path: source, reason: LENGTH }),
    }
}

/// Every file below `folder` but the manifest, by path.
pub(super) fn list(folder: &Path) -> Result<Vec<Listed>, BackupError> {
    let found = names(folder)?.into_iter().map(|name| hashed(&folder.join(&name), name));
    found.collect()
}

/// Their paths, and those of whatever else lies there: nothing is opened.
fn names(folder: &Path) -> Result<Vec<String>, BackupError> {
    let mut names = Vec::new();
    walk(folder, "", &mut names)?;
    names.retain(|name| name != MANIFEST);
    names.sort();
    Ok(names)
}

fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<(), BackupError> {
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let entry = entry.map_err(io_error(folder))?;
        let path = entry.path();
        let name = entry.file_name().into_string().map_err(|_| BackupError::Damaged {
            path: path.clone(),
            reason: "its name is no text, so belfry did not make it",
        })?;
        let relative = format!("{prefix}{name}");
        if entry.file_type().map_err(io_error(&path))?.is_dir() {
            walk(&path, &format!("{relative}/"), names)?;
        } else {
            names.push(relative);
        }
    }
    Ok(())
}

/// Refuses what is there and no file: to open a named pipe waits until somebody writes into it.
pub(super) fn refuse_other(path: &Path) -> Result<(), BackupError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(io_error(path)(io::Error::other("it is no file, and belfry did not make it: take it away")))
        }
        // What is not there is told by whoever reads it.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn hashed(path: &Path, relative: String) -> Result<Listed, BackupError> {
    refuse_other(path)?;
    let file = File::open(path).map_err(io_error(path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(io_error(path))?;
    Ok(Listed { path: relative, bytes: hasher.count(), blake3: hasher.finalize().to_hex().to_string() })
}

/// Holds what is there against the list: nothing missing, nothing changed, nothing besides.
pub(super) fn compare(folder: &Path, expected: &[Listed]) -> Result<(), BackupError> {
    let damaged = |path: PathBuf, reason| Err(BackupError::Damaged { path, reason });
    for listed in expected {
        let path = resolve(folder, listed)?;
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return damaged(path, MISSING),
            Ok(found) if !found.is_file() => return damaged(path, NO_FILE),
            Ok(_) | Err(_) => {}
        }
        let found = hashed(&path, listed.path.clone())?;
        if found.bytes != listed.bytes {
            return damaged(path, LENGTH);
        }
        if found.blake3 != listed.blake3 {
            return damaged(path, "its content is not what was written");
        }
    }
    let listed: BTreeSet<&str> = expected.iter().map(|listed| listed.path.as_str()).collect();
    match names(folder)?.into_iter().find(|name| !listed.contains(name.as_str())) {
        Some(unknown) => damaged(folder.join(unknown), "the manifest does not know it"),
        None => Ok(()),
    }
}

/// The file of a list entry; a list must not lead out of its folder.
fn resolve(folder: &Path, listed: &Listed) -> Result<PathBuf, BackupError> {
    let relative = Path::new(&listed.path);
    let stays = relative.components().all(|part| matches!(part, Component::Normal(_)));
    match stays && !listed.path.is_empty() {
        true => Ok(folder.join(relative)),
        false => Err(BackupError::NotABackup {
            path: folder.to_owned(),
            reason: format!("its manifest names {:?}, which is not below it", listed.path),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn of_a_file_that_is_longer_or_shorter_than_its_list_says_no_byte_is_copied() {
        let [from, to] = [(); 2].map(|()| TempDir::new().unwrap());
        let (source, target) = (from.path().join("one"), to.path().join("one"));
        fs::write(&source, "12345").unwrap();
        fs::set_permissions(&source, fs::Permissions::from_mode(0o400)).unwrap();
        let copy = |bytes: u64| {
            let listed = Listed { path: "one".to_owned(), bytes, blake3: String::new() };
            copy_listed(from.path(), to.path(), &listed)
        };
        for bytes in [0, 4, 6] {
            let refused = copy(bytes);
            assert!(
                matches!(refused, Err(BackupError::Damaged { reason, .. }) if reason == LENGTH),
                "{refused:?}"
            );
            assert!(!target.exists());
        }
        copy(5).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"12345");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o400);
    }

    /// Nobody writes into it, so whoever opens it waits for ever.
    #[test]
    fn a_named_pipe_in_a_copy_is_told_and_not_opened() {
        let folder = TempDir::new().unwrap();
        let one = folder.path().join("one");
        fs::write(&one, "12345").unwrap();
        let listed = list(folder.path()).unwrap();
        compare(folder.path(), &listed).unwrap();
        let pipe = |name: &str| {
            let made = std::process::Command::new("mkfifo").arg(folder.path().join(name)).status();
            assert!(made.unwrap().success());
        };
        let told = |expected: &str| match compare(folder.path(), &listed) {
            Err(BackupError::Damaged { reason, .. }) => assert_eq!(reason, expected),
            other => panic!("{other:?}"),
        };
        pipe("planted");
        told("the manifest does not know it");
        assert!(list(folder.path()).unwrap_err().to_string().contains("take it away"), "nor is it copied");
        fs::remove_file(folder.path().join("planted")).unwrap();
        fs::remove_file(&one).unwrap();
        told(MISSING);
        pipe("one");
        told(NO_FILE);
        pipe(MANIFEST);
        assert!(crate::backup::verify(folder.path()).is_err());
        assert!(crate::backup::coalition::verify(folder.path()).is_err());
    }
}
