//! A file that a disk did not give back once is read once more before everything is made anew for it.
//!
//! A cable, a controller or a network file system says the same of a moment as a disk of a sector that it lost. Healing takes room
//! for a second store and is not done by itself again while the first is kept, so a moment must not use that up. What was given
//! back, but not as it was written, is no matter of a moment.
//!
//! ```text
//! noted, and the file reads from end to end ─▶ its name is kept, the note goes, the node goes on
//! noted, and it does not, or its name or three are kept already ─▶ healed
//! ```

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{HealError, watch};
use crate::{
    keys::file::{self, Existing, Readers},
    store,
};

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// Files of one store that may read the second time: what comes to ever others is no matter of a moment.
const MOST: usize = 3;

/// Where names of files are kept that read the second time.
fn list(store: &Path) -> PathBuf {
    store.with_extension("reread")
}

/// Lets a note go that is of a file which the disk did not give back and gives back now, the first time for each file and
/// for no more than three of them. Blocks while that is read.
pub fn read_again(store: &Path) {
    let Some(file) = watch::unhealed(store).and_then(|noted| store::unread_file(store, &noted)) else {
        return;
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names = std::fs::read_to_string(list(store)).unwrap_or_default();
    if names.lines().any(|before| before == name) {
        tracing::warn!(
            "{} was read once more before and did not read again: the store is healed",
            file.display()
        );
        return;
    }
    if names.lines().count() >= MOST {
        tracing::warn!(
            "{} was not given back, as {MOST} other files were not before: the store is healed",
            file.display()
        );
        return;
    }
    if let Err(error) = read(&file) {
        tracing::warn!("{} does not read the second time either: {error}", file.display());
        return;
    }
    names.extend([name.as_str(), "\n"]);
    // Before the note goes, or a disk that does it ever again stops the node ever again.
    let kept = file::write(&list(store), names.as_bytes(), Readers::Owner, Existing::Replace);
    match kept.map_err(HealError::from).and_then(|()| watch::unnote(store)) {
        Ok(()) => tracing::warn!(
            "{} reads now, from end to end: the store is used as it is. Look at the disk; should that happen again, the store is healed",
            file.display()
        ),
        Err(error) => tracing::warn!("{} reads now, and that is not noted: {error}", file.display()),
    }
}

/// Whether the file that kept a store from opening reads now.
pub(super) fn reads_now(store: &Path, error: &store::OpenError) -> bool {
    let reads = store::unread_file(store, &error.to_string()).filter(|file| read(file).is_ok());
    if let Some(file) = &reads {
        tracing::warn!("{error}; {} reads now, from end to end: opening the store once more", file.display());
    }
    reads.is_some()
}

/// Forgets what read the second time: it is of a store that is no more.
pub(super) fn forget(store: &Path) -> io::Result<()> {
    match std::fs::remove_file(list(store)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads all of a file as RocksDB does, at places. One that is gone was read to be rewritten.
fn read(path: &Path) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let (mut bytes, mut at) = (vec![0; PIECE], 0);
    loop {
        match file.read_at(&mut bytes, at) {
            Ok(0) => return Ok(()),
            Ok(came) => at += came as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::is_noted;

    /// A folder of a store, in which this file was not given back.
    fn noted(store: &Path, name: &str) -> PathBuf {
        let file = store.join(name);
        let eio = format!(
            "database: IO error: While pread offset 4096 len 512: {}: Input/output error",
            file.display()
        );
        watch::write_note(store, &eio).unwrap();
        file
    }

    #[test]
    fn a_file_that_a_disk_did_not_give_back_once_and_gives_back_then_has_nothing_healed_but_the_first_time() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = folder.path().join("store");
        std::fs::create_dir(&store).unwrap();
        for name in ["000012.sst", "000013.sst"] {
            std::fs::write(noted(&store, name), vec![7; PIECE + 1]).unwrap();
            read_again(&store);
            assert!(!is_noted(&store), "{name}");
        }
        for name in ["000012.sst", "000013.sst"] {
            noted(&store, name);
            read_again(&store);
            assert!(is_noted(&store), "{name}: a disk that does it again");
        }
        forget(&store).unwrap();
        read_again(&store);
        assert!(!is_noted(&store), "healed since, it is another file");
        forget(&store).unwrap();
        forget(&store).unwrap();
    }

    #[test]
    fn a_disk_that_fails_at_ever_other_files_has_the_store_healed_at_the_fourth() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = folder.path().join("store");
        std::fs::create_dir(&store).unwrap();
        for (name, is_healed) in
            [("000012.sst", false), ("000013.sst", false), ("000014.sst", false), ("000015.sst", true)]
        {
            std::fs::write(noted(&store, name), [7]).unwrap();
            read_again(&store);
            assert_eq!(is_noted(&store), is_healed, "{name}");
        }
    }

    #[test]
    fn a_file_that_is_not_given_back_again_and_damage_of_any_other_kind_stay_noted() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = folder.path().join("store");
        std::fs::create_dir(&store).unwrap();
        // It opens and does not read.
        std::fs::create_dir(noted(&store, "000012.sst")).unwrap();
        read_again(&store);
        assert!(is_noted(&store));
        watch::write_note(&store, "database: Corruption: block checksum mismatch").unwrap();
        read_again(&store);
        assert!(is_noted(&store));
    }
}
