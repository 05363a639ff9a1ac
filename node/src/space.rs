//! Room on the data folder's file system, looked at regularly; below the floor the node only reads.
//!
//! ```text
//! free < floor ─────────────▶ short: submissions refused, drafts wait, nothing remote is stored
//! free ≥ floor + a sixteenth ─▶ room again, by itself
//! ```
//!
//! RocksDB survives a full disk, but needs room to compact and to log; an operator needs room to mend. So the
//! node stops by itself, while what it holds can still be read. Two things are written even then, because
//! they are small and matter most: the admin log (a revocation must not wait for a disk) and what the
//! operator does to tokens.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// Between two looks. At 100 MB a second, which is more than ingest writes, half a gigabyte passes in
/// between: less than the default floor.
const LOOK: Duration = Duration::from_secs(5);

/// Says how many bytes are free. The file system's word in a daemon, a number in tests.
pub trait Probe: Send + Sync {
    /// Bytes that an unprivileged process may still use.
    ///
    /// # Errors
    /// What the system says.
    fn free(&self) -> io::Result<u64>;

    /// Bytes that the whole holds, used or not; unless it says so, no bound.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// The file system that holds a folder.
#[derive(Clone, Debug)]
pub struct FileSystemOf(PathBuf);

impl FileSystemOf {
    /// Of `folder`, which must exist once asked.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }
}

impl Probe for FileSystemOf {
    fn free(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.0)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn size(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.0)?;
        Ok(found.f_blocks.saturating_mul(found.f_frsize))
    }
}

/// Handle to what is known of the room left; clones share it.
#[derive(Clone)]
pub struct Space(Arc<Inner>);

struct Inner {
    floor: u64,
    probe: Arc<dyn Probe>,
    free: AtomicU64,
    size: AtomicU64,
    short: watch::Sender<bool>,
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Space(floor {}, short {})", self.0.floor, self.is_short())
    }
}

impl Space {
    /// Watches `probe` against `floor` bytes. Nothing is known before the first [`Self::look`].
    #[must_use]
    pub fn new(floor: u64, probe: Arc<dyn Probe>) -> Self {
        let (free, size) = (AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX));
        Self(Arc::new(Inner { floor, probe, free, size, short: watch::Sender::new(false) }))
    }

    /// Never short: for stores that nobody watches.
    #[must_use]
    pub fn unlimited() -> Self {
        struct Endless;
        impl Probe for Endless {
            fn free(&self) -> io::Result<u64> {
                Ok(u64::MAX)
            }
        }
        Self::new(0, Arc::new(Endless))
    }

    /// Whether the node only reads now.
    #[must_use]
    pub fn is_short(&self) -> bool {
        *self.0.short.borrow()
    }

    /// Free bytes at the last look, and the floor.
    #[must_use]
    pub fn figures(&self) -> (u64, u64) {
        (self.0.free.load(Ordering::Relaxed), self.0.floor)
    }

    /// Bytes that the file system holds, used or not, at the last look.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size.load(Ordering::Relaxed)
    }

    /// Wakes at every change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.short.subscribe()
    }

    /// Looks once. A probe that fails changes nothing: the node goes on as it was, and says so.
    pub fn look(&self) {
        let free = match self.0.probe.free() {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!("free space of the data folder is not known: {error}");
                return;
            }
        };
        self.0.free.store(free, Ordering::Relaxed);
        if let Ok(size) = self.0.probe.size() {
            self.0.size.store(size, Ordering::Relaxed);
        }
        let floor = self.0.floor;
        self.0.short.send_if_modified(|short| {
            // A sixteenth more before writing again, or the node would flap at the floor.
            let needed = if *short { floor.saturating_add(floor / 16) } else { floor };
            let now = free < needed;
            if now && !*short {
                tracing::error!(free, floor, "{free} bytes free, below store.free_space_floor: reading only");
            } else if !now && *short {
                tracing::info!(free, floor, "{free} bytes free again: writing");
            }
            std::mem::replace(short, now) != now
        });
    }

    /// Looks again and again until the daemon stops.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let this = self.clone();
            // A file system over a network may hang.
            let _ = tokio::task::spawn_blocking(move || this.look()).await;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A disk of the test's making.
    #[derive(Default)]
    pub(crate) struct Disk(pub(crate) AtomicU64);

    impl Disk {
        pub(crate) fn with(free: u64) -> Arc<Self> {
            Arc::new(Self(AtomicU64::new(free)))
        }

        pub(crate) fn set(&self, free: u64) {
            self.0.store(free, Ordering::Relaxed);
        }
    }

    impl Probe for Disk {
        fn free(&self) -> io::Result<u64> {
            match self.0.load(Ordering::Relaxed) {
                u64::MAX => Err(io::Error::other("no such disk")),
                free => Ok(free),
            }
        }
    }

    #[test]
    fn below_the_floor_it_is_short_and_somewhat_above_it_no_longer() {
        let disk = Disk::with(1600);
        let space = Space::new(1600, disk.clone());
        space.look();
        assert!(!space.is_short());
        disk.set(1599);
        space.look();
        assert!(space.is_short());
        assert_eq!(space.figures(), (1599, 1600));
        disk.set(1650);
        space.look();
        assert!(space.is_short(), "flapping at the floor");
        disk.set(1700);
        space.look();
        assert!(!space.is_short());
    }

    #[test]
    fn a_probe_that_fails_changes_nothing() {
        let disk = Disk::with(1);
        let space = Space::new(10, disk.clone());
        space.look();
        disk.set(u64::MAX);
        space.look();
        assert!(space.is_short());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_regularly() {
        let disk = Disk::with(100);
        let space = Space::new(10, disk.clone());
        let mut changes = space.watch();
        let looking = tokio::spawn(space.clone().run());
        disk.set(1);
        changes.wait_for(|short| *short).await.unwrap();
        disk.set(100);
        changes.wait_for(|short| !*short).await.unwrap();
        looking.abort();
    }

    #[test]
    fn the_file_system_has_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let system = FileSystemOf::new(folder.path());
        assert!(system.free().unwrap() > 0 && system.size().unwrap() > system.free().unwrap());
        assert!(FileSystemOf::new(&folder.path().join("none")).free().is_err());
    }
}
