//! One database takes another's place, whole or not at all.
//!
//! ```text
//! store + store.healing (being made) ─▶ store.healing whole, synced, closed ─▶ store becomes store.damaged
//!                                                                          ─▶ store.healing becomes store
//! ```
//!
//! While `store` is there, a `store.healing` beside it is unfinished. Where it is not, the crash fell between the two
//! renames: `store.healing` is whole, and [`finish`] gives it its name before anything is opened.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::OpenError;

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
    rename(store, &aside(store))?;
    rename(&staging(store), store)
}

/// Ends a [`replace`] that a crash cut short.
pub(super) fn finish(store: &Path) -> Result<(), OpenError> {
    let healed = staging(store);
    match !store.exists() && aside(store).exists() && healed.exists() {
        true => rename(&healed, store),
        false => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    let folder = |source: io::Error| OpenError::Folder { path: from.to_owned(), source };
    fs::rename(from, to).map_err(folder)?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(folder)
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
        assert!(is("new") && aside(&store).exists() && !staging(&store).exists());
        make(&staging(&store), "newer");
        assert!(replace(&store).is_err(), "what was kept aside is not overwritten");
        assert!(is("new"));
    }
}
