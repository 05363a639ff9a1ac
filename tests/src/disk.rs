//! Disks that fail, and what a store says of itself afterwards.
//!
//! A *writer* process ([`Writer`]) commits numbered drafts and notes each number once the store has acknowledged it. What stands
//! between it and its files is `disk/faulty.c`, or a file system that loses its power. Afterwards [`lost`] says which
//! acknowledged drafts are not there, byte for byte.

pub mod old;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use anyhow::{Context as _, ensure};
use belfry_node::store::{Change, DraftRow, DraftState, OpenError, Owner, Store, WriteError};
use belfry_proto::{
    crypto::{secret::Secret, sign::SigningKey},
    id::{CoalitionId, GroupId, PublicationId},
    schema::{Audience, Tlp},
    time::Timestamp,
};
use futures::executor::block_on;

const FAULTY: &str = include_str!("disk/faulty.c");
/// Bytes of one draft: a usual submission.
const ROW: usize = 2048;
/// Drafts that are handed in all at once at the end: of so many, one batch is drawn while another is written.
pub const RUSH: u64 = 600;

/// Opens the store of the tests.
///
/// # Errors
/// As [`Store::open`].
pub fn open(path: &Path) -> Result<Store, OpenError> {
    let node = SigningKey::from_seed(&[7; 32]).public();
    Store::open(path, Owner { coalition: CoalitionId::new([9; 32]), node }, &Secret::new([8; 32]))
}

/// The draft of this number; the same whenever it is made.
#[must_use]
pub fn draft(number: u64) -> DraftRow {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    // Does not compress, and no two are alike.
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = (0..ROW).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    });
    DraftRow {
        publication: PublicationId::new(id),
        group: GroupId::new(5),
        audience: Audience::Group,
        recipients: Vec::new(),
        parts: vec![noise.collect()],
        part_count: 1,
        objects: Vec::new(),
        submitter: "writer".to_owned(),
        idempotency_key: None,
        digest: [0; 32],
        created: Timestamp::from_micros(number),
        state: DraftState::Queued,
        messages: Vec::new(),
        key_id: None,
        error: None,
        withdraws: None,
        tlp: Tlp::Amber,
        reason: None,
    }
}

/// Commits drafts on four threads until there are `rows`, noting in `acknowledged` each that is durable, and compacts the
/// database at every `compact`-th; then [`RUSH`] more at once.
///
/// # Errors
/// What the store or the disk says.
pub fn write(path: &Path, acknowledged: &Path, rows: u64, compact: u64) -> anyhow::Result<()> {
    const THREADS: u64 = 4;
    let store = open(path)?;
    let notes = Mutex::new(fs::File::options().create(true).append(true).open(acknowledged)?);
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (store, notes) = (&store, &notes);
                scope.spawn(move || {
                    for number in (thread..rows).step_by(THREADS as usize) {
                        store.commit_blocking(Change::Draft(draft(number)))?;
                        let mut notes = notes.lock().map_err(|_| WriteError::Closed)?;
                        // Whole in one call: whoever reads beside us sees no half number.
                        let noted = notes.write_all(format!("{number}\n").as_bytes());
                        drop(notes);
                        noted.context("the list of acknowledged drafts")?;
                        if number % compact == compact - 1 {
                            store.compact(|_| ())?;
                        }
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    for result in results {
        result.map_err(|_| anyhow::anyhow!("a writing thread panicked"))??;
    }
    let mut handed_in = Vec::new();
    for number in rows..rows.saturating_add(RUSH) {
        let change = store.prepare(Change::Draft(draft(number)));
        handed_in.push((number, block_on(store.enqueue(vec![change]))?));
    }
    let mut notes = notes.into_inner().map_err(|_| WriteError::Closed)?;
    let mut failed = None;
    for (number, pending) in handed_in {
        match block_on(pending.durable())?.pop() {
            Some(Ok(_)) => notes.write_all(format!("{number}\n").as_bytes())?,
            other => failed = failed.or(other),
        }
    }
    match failed {
        Some(Err(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Numbers that a writer noted as acknowledged.
///
/// # Errors
/// The list cannot be read.
pub fn acknowledged(path: &Path) -> anyhow::Result<Vec<u64>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    text.lines().map(|line| Ok(line.parse()?)).collect()
}

/// Acknowledged drafts that the store lacks, or holds otherwise than they were.
///
/// # Errors
/// The store cannot be read.
pub fn lost(store: &Store, acknowledged: &[u64]) -> anyhow::Result<Vec<u64>> {
    let mut lost = Vec::new();
    for number in acknowledged {
        let expected = draft(*number);
        let found = store.draft(expected.publication)?;
        if found.is_none_or(|found| found.parts != expected.parts) {
            lost.push(*number);
        }
    }
    Ok(lost)
}

/// Compiles the faulty disk into `folder`; the library to preload.
///
/// # Errors
/// No C compiler; Rust's linker needs one, too.
pub fn faulty(folder: &Path) -> anyhow::Result<PathBuf> {
    let (source, library) = (folder.join("faulty.c"), folder.join("faulty.so"));
    fs::write(&source, FAULTY)?;
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let output = compile.output().context("cc")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}

/// A process that writes.
pub struct Writer(Command);

impl Writer {
    /// `program` is the built `writer`; it writes a store at `store` and notes in `acknowledged`.
    #[must_use]
    pub fn new(program: &Path, store: &Path, acknowledged: &Path) -> Self {
        let mut command = Command::new(program);
        command.arg(store).arg(acknowledged).stdin(Stdio::null()).stderr(Stdio::piped());
        Self(command)
    }

    /// So many drafts, compacting at every `compact`-th.
    #[must_use]
    pub fn rows(mut self, rows: u64, compact: u64) -> Self {
        self.0.args(["--rows", &rows.to_string(), "--compact", &compact.to_string()]);
        self
    }

    /// None: it opens the store, which migrates one of an older version, and ends.
    #[must_use]
    pub fn only_opens(mut self) -> Self {
        self.0.arg("--only-open");
        self
    }

    /// On a disk with these faults; see `disk/faulty.c`.
    #[must_use]
    pub fn faults(mut self, library: &Path, faults: &[(&str, String)]) -> Self {
        self.0.env("LD_PRELOAD", library);
        self.0.envs(faults.iter().map(|(name, value)| (format!("BELFRY_DISK_{name}"), value)));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// The system.
    pub fn spawn(mut self) -> std::io::Result<Child> {
        self.0.spawn()
    }
}
