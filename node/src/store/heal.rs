//! One database takes another's place, whole or not at all.
//!
//! ```text
//! store + store.healing (being made) ─▶ store.healing synced, closed, marked as whole ─▶ store becomes store.damaged
//!                                                                                     ─▶ store.healing becomes store
//! ```
//!
//! While `store` is there, a `store.healing` beside it counts for nothing. Where it is not, and `store.healing` says that
//! it is whole, the crash fell between the two renames, and [`finish`] gives it its name before anything is opened.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::OpenError;

/// The file that says of a database under [`staging`] that all of it is there.
const WHOLE: &str = "whole";

/// Where a healed database is made.
#[must_use]
pub fn staging(store: &Path) -> PathBuf {
    store.with_extension("healing")
}

/// Where a damaged one is kept.
#[must_use]
pub fn aside(store: &Path) -> PathBuf {
    store.with_extension("damaged")
}

/// Puts the database under [`staging`] in the place of `store`, which is kept [`aside`]. Both are closed, the new one is
/// durable.
///
/// # Errors
/// [`OpenError::Folder`]; either is then in place, once [`finish`] ran.
pub fn replace(store: &Path) -> Result<(), OpenError> {
    let whole = staging(store).join(WHOLE);
    let marked = File::create(&whole).and_then(|file| file.sync_all());
    marked.and_then(|()| sync(&whole)).map_err(|source| OpenError::Folder { path: whole, source })?;
    rename(store, &aside(store))?;
    finish(store)
}

/// Bytes of a database's files on disk: tables alone would say 0 for days, what is new lies in the log of writes.
#[must_use]
pub fn size(store: &Path) -> u64 {
    let files = fs::read_dir(store).map(Iterator::flatten);
    files.map_or(0, |files| files.filter_map(|file| Some(file.metadata().ok()?.len())).sum())
}

/// Ends a [`replace`] that a crash cut short.
pub(super) fn finish(store: &Path) -> Result<(), OpenError> {
    let is_there =
        |path: &Path| path.try_exists().map_err(|source| OpenError::Folder { path: path.to_owned(), source });
    let healed = staging(store);
    if is_there(store)? || !is_there(&aside(store))? || !is_there(&healed.join(WHOLE))? {
        return Ok(());
    }
    rename(&healed, store)?;
    // What it says of the store is true; nobody reads it there.
    let _ = fs::remove_file(store.join(WHOLE));
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    let folder = |source: io::Error| OpenError::Folder { path: from.to_owned(), source };
    fs::rename(from, to).and_then(|()| sync(to)).map_err(folder)
}

/// Makes it durable that a file is there.
fn sync(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_between_the_renames_is_finished_and_an_unfinished_copy_takes_no_place() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = folder.path().join("store");
        let make = |path: &Path, name: &str| {
            fs::create_dir_all(path).unwrap();
            fs::write(path.join("name"), name).unwrap();
        };
        let is = |name: &str| fs::read_to_string(store.join("name")).is_ok_and(|found| found == name);
        make(&store, "old");
        make(&staging(&store), "new");
        finish(&store).unwrap();
        assert!(is("old"), "the copy beside it may be half of it");
        rename(&store, &aside(&store)).unwrap();
        finish(&store).unwrap();
        assert!(!store.exists(), "nothing says that it is whole");
        fs::write(staging(&store).join(WHOLE), "").unwrap();
        finish(&store).unwrap();
        assert!(!store.join(WHOLE).exists());
        assert!(is("new") && aside(&store).exists() && !staging(&store).exists());
        make(&staging(&store), "newer");
        assert!(replace(&store).is_err(), "what was kept aside is not overwritten");
        assert!(is("new"));
    }
}
