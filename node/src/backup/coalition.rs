//! Backups of a coalition's folder: everything in it, with a list of hashes beside it.
//!
//! ```text
//! folder ─ every file but locks and drafts of files ─▶ DIR.partial ─ hash list ─▶ DIR
//! DIR ─ copied beside the new folder ─ every hash of the copy ─▶ what the caller does with the log ─▶ new folder
//! ```
//!
//! Keys are as encrypted as they are at home. The list tells damage, not forgery: whoever can write there holds the
//! encrypted keys as well, and log and charter vouch for themselves. What a backup is *not* is the newest log: to order
//! decisions on from an older one would be a second log, which proves the registrar a cheat. So restoring takes one.

use std::path::Path;

use belfry_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BackupError, Listed, MANIFEST, files};
use crate::keys::file::{self, Existing, Readers};

const FORMAT: u32 = 1;

/// What is in a backup of a coalition's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderManifest {
    /// Version of the layout of coalitions' backups.
    pub coalition_format: u32,
    /// Coalition id, in hex.
    pub coalition: String,
    /// When it was made.
    pub created: Timestamp,
    /// Entries of the admin log in it.
    pub height: u64,
    /// Every file, by path.
    pub files: Vec<Listed>,
}

/// Copies the folder `dir` into the new folder `to`, which is there whole or not at all.
///
/// Nobody else must change the folder meanwhile: the caller holds its lock.
///
/// # Errors
/// [`BackupError`].
pub fn create(
    dir: &Path,
    to: &Path,
    coalition: &str,
    height: u64,
    now: Timestamp,
) -> Result<FolderManifest, BackupError> {
    files::refuse_existing(to)?;
    // What is there yet of the new one: `..` and links lead where they lead.
    let beside = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if beside.canonicalize().ok().zip(dir.canonicalize().ok()).is_some_and(|(to, dir)| to.starts_with(dir)) {
        return Err(BackupError::Inside(to.to_owned()));
    }
    let listed = files::list(dir)?;
    let staging = files::Staging::beside(to)?;
    for file in listed.iter().filter(|file| !is_passing(&file.path)) {
        files::copy_listed(dir, staging.path(), file)?;
    }
    let manifest = FolderManifest {
        coalition_format: FORMAT,
        coalition: coalition.to_owned(),
        created: now,
        height,
        files: files::list(staging.path())?,
    };
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| BackupError::NotABackup {
        path: to.to_owned(),
        reason: format!("its manifest cannot be written: {error}"),
    })?;
    file::write(&staging.path().join(MANIFEST), text.as_bytes(), Readers::Owner, Existing::Keep)?;
    staging.finish(to)?;
    Ok(manifest)
}

/// Reads every file of a backup and holds it against the manifest.
///
/// # Errors
/// [`BackupError`] of the first file that differs.
pub fn verify(from: &Path) -> Result<FolderManifest, BackupError> {
    let manifest = read(from)?;
    files::compare(from, &manifest.files)?;
    Ok(manifest)
}

fn read(from: &Path) -> Result<FolderManifest, BackupError> {
    let not = |reason: String| BackupError::NotABackup { path: from.to_owned(), reason };
    files::refuse_other(&from.join(MANIFEST))?;
    let text = match file::read_text(&from.join(MANIFEST)) {
        Err(error) if error.is_absent() => return Err(not(format!("it has no {MANIFEST}"))),
        text => text?,
    };
    let manifest: FolderManifest = serde_json::from_str(&text)
        .map_err(|error| not(format!("its {MANIFEST} is not of a coalition's folder: {error}")))?;
    if manifest.coalition_format != FORMAT {
        return Err(not(format!(
            "it has format {}, this belfry knows {FORMAT}: use the belfry that made it, or a newer one",
            manifest.coalition_format
        )));
    }
    Ok(manifest)
}

/// Makes the folder `to` of a backup; `finish` puts the copy in order before it has its name.
///
/// # Errors
/// [`BackupError`], or what `finish` says; `to` is then not there.
pub fn restore<E: From<BackupError>>(
    from: &Path,
    to: &Path,
    finish: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<FolderManifest, E> {
    files::refuse_existing(to)?;
    let manifest = read(from)?;
    let staging = files::Staging::beside(to)?;
    files::copy_all(from, staging.path(), &manifest.files)?;
    finish(staging.path())?;
    staging.finish(to)?;
    Ok(manifest)
}

/// Locks, and files that are being written: their names begin with a dot.
fn is_passing(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_copy_lies_beside_its_folder_by_whatever_way_it_is_named() {
        let folder = tempfile::TempDir::new().unwrap();
        let dir = folder.path().join("coalition");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("charter.pem"), "text").unwrap();
        std::os::unix::fs::symlink(&dir, folder.path().join("link")).unwrap();
        let made = |to: &Path| create(&dir, to, "coalition", 1, Timestamp::ZERO);
        for inside in [dir.join("copy"), dir.join("../coalition/copy"), folder.path().join("link/copy")] {
            assert!(matches!(made(&inside), Err(BackupError::Inside(_))), "{}", inside.display());
        }
        made(&dir.join("../copy")).unwrap();
        assert!(folder.path().join("copy/charter.pem").exists());
    }
}
