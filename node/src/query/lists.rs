//! The allow-list and the warning lists in force.
//!
//! Files are looked at again when something is asked, at most every few seconds, and read again when one changed. A
//! file that does not read any more leaves the lists as they were, and says so in the log: what was kept out of a
//! block list a minute ago must not slip in because of a broken download.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use belfry_proto::{
    stix::warning::{AllowError, AllowList, Level, WarningError, Warnings},
    time::Timestamp,
};

use crate::{clock, config};

/// Between two looks at the folder.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Bytes of one list; MISP's largest has 40 MB.
const MAX_FILE: u64 = 256 << 20;

/// Why the lists cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListsError {
    /// `lists.allow`.
    #[error("lists.allow: {0}")]
    Allow(#[from] AllowError),
    /// The folder.
    #[error("lists.folder {}: {source}; make the folder, or mend lists.folder", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is no warning list.
    #[error("{}: {source}", path.display())]
    Warning {
        /// Which.
        path: PathBuf,
        /// Why.
        source: WarningError,
    },
}

/// Both kinds of lists.
#[derive(Default)]
pub struct Loaded {
    /// Never in any export.
    pub allow: AllowList,
    /// In an export by mistake.
    pub warnings: Warnings,
    files: Vec<File>,
    /// Grows with every change.
    pub(super) edition: u64,
}

/// A handle to the lists in force; clones share them.
#[derive(Clone)]
pub struct Lists {
    inner: Arc<Inner>,
}

struct Inner {
    config: config::Lists,
    loaded: ArcSwap<Loaded>,
    looked: Mutex<Looked>,
    /// Since when the folder does not read, and why. Apart, for those who must not wait for a look.
    trouble: Mutex<Option<(Timestamp, String)>>,
}

/// The latest look at the folder.
struct Looked {
    at: Instant,
    /// What lay there when it did not read; it is read again once something else lies there. Empty of a folder that
    /// is not there itself.
    failed: Option<Vec<File>>,
}

type File = (PathBuf, u64, Option<SystemTime>);

impl Default for Lists {
    fn default() -> Self {
        let loaded = Loaded { warnings: Warnings::built_in(), ..Loaded::default() };
        Self::of(config::Lists::default(), loaded)
    }
}

impl Lists {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// [`ListsError`], naming the file.
    pub fn open(config: config::Lists) -> Result<Self, ListsError> {
        let loaded = load(&config, 0)?;
        Ok(Self::of(config, loaded))
    }

    fn of(config: config::Lists, loaded: Loaded) -> Self {
        let looked = Mutex::new(Looked { at: Instant::now(), failed: None });
        let loaded = ArcSwap::from_pointee(loaded);
        Self { inner: Arc::new(Inner { config, loaded, looked, trouble: Mutex::default() }) }
    }

    /// Since when the folder does not read, and why: the lists are as they were before. As of the latest look.
    #[must_use]
    pub fn trouble(&self) -> Option<(Timestamp, String)> {
        self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, trouble: Option<String>) {
        let mut told = self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let since = told.as_ref().map_or_else(clock::now, |(since, _)| *since);
        *told = trouble.map(|why| (since, why));
    }

    /// The lists, read again if a file changed. May wait for the disk.
    #[must_use]
    pub fn current(&self) -> Arc<Loaded> {
        let Some(folder) = &self.inner.config.folder else { return self.inner.loaded.load_full() };
        let mut looked = self.inner.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.at.elapsed() >= LOOK_EVERY {
            looked.at = Instant::now();
            self.look(folder, &mut looked.failed);
        }
        self.inner.loaded.load_full()
    }

    /// The lists, if they can be had without waiting: no look at the folder is due, or under way.
    pub(super) fn at_hand(&self) -> Option<Arc<Loaded>> {
        if self.inner.config.folder.is_some() {
            let looked = self.inner.looked.try_lock().ok()?;
            if looked.at.elapsed() >= LOOK_EVERY {
                return None;
            }
        }
        Some(self.inner.loaded.load_full())
    }

    fn look(&self, folder: &Path, failed: &mut Option<Vec<File>>) {
        let known = self.inner.loaded.load();
        let (found, renewed) = match files(folder) {
            Ok(found) if found == known.files => {
                *failed = None;
                self.tell(None);
                return;
            }
            Ok(found) => {
                if !found.is_empty() && failed.as_ref() == Some(&found) {
                    return;
                }
                let renewed = load(&self.inner.config, known.edition + 1);
                (found, renewed)
            }
            Err(_) if failed.as_ref().is_some_and(Vec::is_empty) => return,
            Err(error) => (Vec::new(), Err(error)),
        };
        match renewed {
            Ok(loaded) => {
                *failed = None;
                self.tell(None);
                self.inner.loaded.store(Arc::new(loaded));
            }
            Err(error) => {
                tracing::warn!("warning lists stay as they were: {error}");
                *failed = Some(found);
                self.tell(Some(error.to_string()));
            }
        }
    }
}

fn load(config: &config::Lists, edition: u64) -> Result<Loaded, ListsError> {
    let allow = AllowList::of(config.allow.iter().map(String::as_str))?;
    let mut warnings = Warnings::built_in();
    let files = config.folder.as_deref().map(files).transpose()?.unwrap_or_default();
    for (path, size, _) in &files {
        let fault = |source| ListsError::File { path: path.clone(), source };
        if *size > MAX_FILE {
            return Err(fault(std::io::Error::other("is larger than 256 MiB")));
        }
        let json = std::fs::read(path).map_err(fault)?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let level = |name: &str| match config.inform.iter().any(|inform| inform == name || inform == stem) {
            true => Level::Inform,
            false => Level::Block,
        };
        warnings
            .add_misp(&json, level)
            .map_err(|source| ListsError::Warning { path: path.clone(), source })?;
    }
    Ok(Loaded { allow, warnings, files, edition })
}

/// The list files of a folder, by name; MISP keeps each as `NAME/list.json`, others as `NAME.json`.
fn files(folder: &Path) -> Result<Vec<File>, ListsError> {
    let fault = |source| ListsError::Folder { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let path = if path.is_dir() { path.join("list.json") } else { path };
        if path.extension().is_some_and(|extension| extension == "json")
            && let Ok(metadata) = path.metadata()
        {
            found.push((path, metadata.len(), metadata.modified().ok()));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use belfry_proto::stix::observable::Observable;

    use super::*;

    fn list(entries: &str) -> String {
        format!(r#"{{"name":"Shops","type":"hostname","version":1,"description":"","list":[{entries}]}}"#)
    }

    #[test]
    fn a_broken_file_leaves_the_lists_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shops.json");
        std::fs::write(&path, list(r#""shop.be""#)).unwrap();
        let config = config::Lists { folder: Some(folder.path().to_owned()), ..config::Lists::default() };
        let lists = Lists::open(config.clone()).unwrap();
        let blocks = |text: &str| lists.current().warnings.blocks(&Observable::guess(text).unwrap());
        let again = || lists.inner.looked.lock().unwrap().at -= LOOK_EVERY;
        assert!(blocks("shop.be") && !blocks("mall.be"));
        std::fs::write(&path, list(r#""shop.be","mall.be""#)).unwrap();
        again();
        assert!(lists.at_hand().is_none(), "whoever must not wait does not look");
        assert!(Lists::default().at_hand().is_some(), "there is nothing to look at");
        assert!(blocks("mall.be"));
        std::fs::write(&path, "{").unwrap();
        again();
        assert!(blocks("mall.be") && blocks("8.8.8.8"));
        let (since, why) = lists.trouble().unwrap();
        assert!(why.contains("shops.json"), "{why}");
        std::fs::write(&path, "{{").unwrap();
        again();
        assert!(blocks("mall.be"));
        assert_eq!(lists.trouble().unwrap().0, since, "it is the same trouble");
        std::fs::write(&path, list(r#""shop.be""#)).unwrap();
        again();
        assert!(!blocks("mall.be"));
        assert_eq!(lists.trouble(), None);
        std::fs::write(&path, "{").unwrap();
        let error = Lists::open(config).err().unwrap().to_string();
        assert!(error.contains("shops.json"), "{error}");
    }

    #[test]
    fn a_broken_file_is_read_again_only_once_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shops.json");
        let (good, written) = (list(r#""shop.be","mall.be""#), SystemTime::now());
        let write = |text: &str, at: SystemTime| {
            std::fs::write(&path, text).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        };
        write(&list(r#""shop.be""#), written - Duration::from_secs(60));
        let config = config::Lists { folder: Some(folder.path().to_owned()), ..config::Lists::default() };
        let lists = Lists::open(config).unwrap();
        let blocks = |text: &str| {
            lists.inner.looked.lock().unwrap().at -= LOOK_EVERY;
            lists.current().warnings.blocks(&Observable::guess(text).unwrap())
        };
        write(&"{".repeat(good.len()), written);
        assert!(blocks("shop.be") && !blocks("mall.be"));
        // By length and time the same file: it is not opened, or this would read.
        write(&good, written);
        assert!(!blocks("mall.be"));
        write(&good, written + Duration::from_secs(1));
        assert!(blocks("mall.be"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_with_its_key() {
        let config = config::Lists { folder: Some("/nowhere/lists".into()), ..config::Lists::default() };
        let error = Lists::open(config).err().unwrap().to_string();
        assert!(error.starts_with("lists.folder /nowhere/lists: ") && error.contains("mend"), "{error}");
    }

    #[test]
    fn a_list_named_so_only_informs() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("shops")).unwrap();
        std::fs::write(folder.path().join("shops/list.json"), list(r#""shop.be""#)).unwrap();
        let folder_of = Some(folder.path().to_owned());
        let config =
            config::Lists { folder: folder_of, inform: vec!["Shops".into()], ..config::Lists::default() };
        let loaded = Lists::open(config).unwrap().current();
        let shop = Observable::guess("shop.be").unwrap();
        assert!(!loaded.warnings.blocks(&shop));
        assert_eq!(loaded.warnings.hits(&shop).len(), 1);
    }
}
