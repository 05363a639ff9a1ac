//! A coalition's folder: everything an admin's machine has, as files.
//!
//! ```text
//! keys/root.pem admin.pem registrar.pem   encrypted, 0600
//! charter.pem                             what members get first
//! log.pem                                 charters and every record; the truth
//! head                                    highest position ever reached, under which charter version
//! certificates/SERIAL.pem                 what each member got
//! documents/                              texts the charter names
//! statements/                             decisions that wait for other admins, or for the registrar; see `waiting`
//! requests/KEY.pem KEY-HASH.pem           what members asked for, and signed that they accept
//! departures/MEMBER-HASH.pem              members' own word that they leave
//! amendments/MEMBER-HASH.pem              members' own word of changed data
//! decisions/STATEMENT.json                who decided, when, and where that is written
//! notices.json                            participation notices sent, acknowledged, taken back
//! ```
//!
//! One decision is one replacement of `log.pem`, durable before `head` is raised and before anything leaves the
//! folder. So a crash leaves the log with the decision or without it; `head` and `charter.pem` may lag (the next opening
//! makes them what the log says), and `head` never leads, unless someone put an older log back, which is refused, or a
//! charter newer than `head` knows cut the log back. The same command again goes on from there, and decides nothing twice.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use super::{
    ends,
    mend::{mended, mended_at},
    named,
    waiting::{self, Waiting},
};
use crate::{
    cli::{exit::refuse, out, output},
    clock,
    keys::{
        enrolment::{fold, read},
        file::{self, Existing, Readers},
    },
};
use anyhow::{Context as _, bail};
use belfry_proto::{
    id::{CoalitionId, Height, RosterVersion, Serial},
    schema::{LogFile, Record, Signed},
    trust::{
        charter::{Charter, CharterChain},
        file as armour,
        log::verify_record,
        roster::Roster,
    },
};

/// An opened coalition folder; nobody else changes it while this lives.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    log: LogFile,
    roster: Roster,
    /// Read when first asked for: most commands decide nothing.
    waiting: OnceCell<Vec<Waiting>>,
    /// Files of them that were said to be left out: once is enough, of however many certificates one decides.
    left_out: RefCell<BTreeSet<PathBuf>>,
    _lock: File,
}

impl Folder {
    fn of(dir: &Path, log: LogFile, roster: Roster, lock: File) -> Self {
        let (waiting, left_out) = (OnceCell::new(), RefCell::default());
        Self { dir: dir.to_owned(), log, roster, waiting, left_out, _lock: lock }
    }

    /// Lays out a new folder with a charter and an empty log.
    pub(super) fn create(dir: &Path, log: LogFile) -> anyhow::Result<Self> {
        let lock = lock(dir)?;
        let roster = fold(&log)?;
        let folder = Self::of(dir, log, roster, lock);
        folder.write_head()?;
        // Begun before, and interrupted: the very charter may be there.
        if !folder.charter_is_current() {
            let charter = folder.charter_file();
            file::write(&folder.charter_path(), charter.as_bytes(), Readers::All, Existing::Keep)?;
        }
        // Last: its presence is what makes a coalition of the folder.
        file::write(&log_path(dir), folder.log_file().as_bytes(), Readers::All, Existing::Keep)?;
        Ok(folder)
    }

    /// Opens and verifies a folder: every signature, and that the log has not lost its end.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = log_path(dir);
        if !path.exists() {
            bail!(
                "{} holds no coalition (no log.pem): name its folder with --dir, or make one with `belfry coalition init`",
                dir.display()
            );
        }
        let lock = lock(dir)?;
        let name = || path.display().to_string();
        let log = read(&path, armour::read_log)?;
        let roster = fold(&log).map_err(mended).with_context(name)?;
        let folder = Self::of(dir, log, roster, lock);
        if let Some(of) = folder.other_coalition() {
            refuse!(
                "{} is of another coalition ({}) than the charter.pem beside it ({of}): put this one's own log back (every member \
                 has it: `belfry export-log`), or name the other one's folder with --dir",
                path.display(),
                folder.roster.coalition()
            );
        }
        folder.check_head()?;
        if !folder.charter_is_current() {
            // A crash came between log and charter.
            folder.write_charter()?;
        }
        for warning in ends::soon(&folder.roster, clock::now()) {
            output::warn(&warning);
        }
        Ok(folder)
    }

    /// The fold of its log.
    pub(super) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Folder of the role keys.
    pub(super) fn keys(&self) -> PathBuf {
        keys_path(&self.dir)
    }

    /// Where the charter stands.
    pub(super) fn charter_path(&self) -> PathBuf {
        self.dir.join("charter.pem")
    }

    /// Where a certificate stands.
    pub(super) fn certificate_path(&self, serial: Serial) -> PathBuf {
        self.dir.join("certificates").join(format!("{serial}.pem"))
    }

    /// Verifies `record` as the log's next, and makes it so, durably.
    pub(super) fn append(&mut self, record: Record) -> anyhow::Result<()> {
        let verified = verify_record(self.roster.charters(), &record).map_err(mended)?;
        let mut roster = self.roster.clone();
        roster.apply(verified).map_err(mended)?;
        // A void statement would stand in the log for ever and do nothing.
        if let Some(void) = roster.voids().get(self.roster.voids().len()..).and_then(<[_]>::first) {
            return Err(mended_at(&self.again(), void.reason.clone()));
        }
        self.log.records.push(record);
        let written =
            file::write(&log_path(&self.dir), self.log_file().as_bytes(), Readers::All, Existing::Replace);
        if let Err(error) = written {
            self.log.records.pop();
            return Err(error.into());
        }
        self.roster = roster;
        self.write_head()?;
        Ok(())
    }

    /// Makes a charter the one in force, durably.
    pub(super) fn append_charter(&mut self, charter: Signed) -> anyhow::Result<()> {
        let mut roster = self.roster.clone();
        roster.apply_charter(charter.clone()).map_err(mended)?;
        let mut log = self.log.clone();
        log.charters.push(charter);
        self.replace(log, roster)
    }

    /// Puts a verified newer log in place of this one, durably.
    pub(super) fn replace(&mut self, log: LogFile, roster: Roster) -> anyhow::Result<()> {
        let text = armour::write_log(&log);
        file::write(&log_path(&self.dir), text.as_bytes(), Readers::All, Existing::Replace)?;
        (self.log, self.roster) = (log, roster);
        self.write_head()?;
        self.write_charter()
    }

    /// The folder itself.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// How it was named, for a hint at another command: empty, or after a space.
    pub(super) fn again(&self) -> String {
        named(&self.dir)
    }

    /// Decisions in `statements` that have no place in the log yet, or never will.
    pub(super) fn waiting(&self) -> &[Waiting] {
        self.waiting.get_or_init(|| waiting::load(self))
    }

    /// Whether one of them is said to be left out for the first time.
    pub(super) fn is_left_out_anew(&self, path: &Path) -> bool {
        self.left_out.borrow_mut().insert(path.to_owned())
    }

    /// Another one was written there.
    pub(super) fn left_waiting(&mut self, one: Waiting) {
        if let Some(waiting) = self.waiting.get_mut() {
            waiting.push(one);
        }
    }

    /// Writes the certificate file of an issuing record; again, if it is there.
    pub(super) fn write_certificate(&self, serial: Serial, out: Option<&Path>) -> anyhow::Result<PathBuf> {
        let index = usize::try_from(serial.get()).ok().and_then(|height| height.checked_sub(1));
        let record = index.and_then(|i| self.log.records.get(i)).context("no such record")?;
        let text = armour::write_certificate(record);
        if let Some(out) = out {
            out::replace(out, &text)?;
            return Ok(out.to_owned());
        }
        file::create_folder(&self.dir.join("certificates"))?;
        let path = self.certificate_path(serial);
        file::write(&path, text.as_bytes(), Readers::All, Existing::Replace)?;
        Ok(path)
    }

    /// The signed log as one armoured file.
    pub(super) fn log_file(&self) -> String {
        armour::write_log(&self.log)
    }

    /// The charter chain as one armoured file.
    fn charter_file(&self) -> String {
        armour::write_charter(&self.log.charters)
    }

    fn charter_is_current(&self) -> bool {
        file::read_text(&self.charter_path()).is_ok_and(|text| text == self.charter_file())
    }

    /// The coalition of the charter that lies here, if it is another one than the log's.
    fn other_coalition(&self) -> Option<CoalitionId> {
        if self.charter_is_current() {
            return None;
        }
        let charters = read(&self.charter_path(), armour::read_charter).ok()?.charters;
        let of = CharterChain::walk(charters).ok()?.coalition();
        (of != self.roster.coalition()).then_some(of)
    }

    fn write_charter(&self) -> anyhow::Result<()> {
        let text = self.charter_file();
        Ok(file::write(&self.charter_path(), text.as_bytes(), Readers::All, Existing::Replace)?)
    }

    fn head_path(&self) -> PathBuf {
        self.dir.join("head")
    }

    fn head_line(&self) -> String {
        let RosterVersion { height, head } = self.roster.version();
        format!("{height} {head} {}\n", self.roster.charter().version())
    }

    fn write_head(&self) -> anyhow::Result<()> {
        let line = self.head_line();
        Ok(file::write(&self.head_path(), line.as_bytes(), Readers::All, Existing::Replace)?)
    }

    /// Whether a charter that this `head` does not know yet put the log back to before it, or on another branch: a crash
    /// came between log and head. An older log under the charter that `head` names is an older log all the same.
    fn is_cut_back(&self, kept: RosterVersion, version: Option<u64>) -> bool {
        let newer = |version| {
            let later = self.roster.charters().versions().filter(move |charter| charter.version() > version);
            later.filter_map(Charter::pin).any(|pin| pin.height <= kept.height && self.roster.is_prefix(pin))
        };
        version.is_some_and(newer)
    }

    fn check_head(&self) -> anyhow::Result<()> {
        let path = self.head_path();
        let text = file::read_text(&path).with_context(|| {
            let log = log_path(&self.dir);
            format!(
                "without it a lost end of the log would go unnoticed; if {0} is certainly the newest, write into {1} the height \
                 and the head that `belfry verify {0}` prints, on one line",
                output::path(&log),
                output::path(&path)
            )
        })?;
        let (kept, version) = parse_head(&text)
            .with_context(|| format!("{}: expected a height and an entry id", path.display()))?;
        let now = self.roster.version();
        if self.is_cut_back(kept, version) {
            return self.write_head();
        }
        if kept.height > now.height {
            refuse!(
                "{} ends at entry {}, but this folder has been at entry {}: an older copy was put back; restore the \
                 newest log.pem (every member has one: `belfry coalition export`, or a member's log)",
                log_path(&self.dir).display(),
                now.height,
                kept.height
            );
        }
        if !self.roster.is_prefix(kept) {
            refuse!(
                "{} is another log than this folder has written: entry {} is not {}. Put this folder's own log back (`belfry \
                 export-log` at a member's node); if the registrar signed both, keep the other one as proof, and have a new charter \
                 pin the one that stands",
                log_path(&self.dir).display(),
                kept.height,
                kept.head
            );
        }
        if text != self.head_line() {
            // A crash came between log and head.
            self.write_head()?;
        }
        Ok(())
    }
}

/// Folder of a coalition's role keys.
pub(super) fn keys_path(dir: &Path) -> PathBuf {
    dir.join("keys")
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("log.pem")
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join(".lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another belfry works on {}: wait for it", dir.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Height and entry id, and the charter's version, which whoever writes the file by hand may leave out.
fn parse_head(text: &str) -> Option<(RosterVersion, Option<u64>)> {
    let mut words = text.split_whitespace();
    let height = Height::new(words.next()?.parse().ok()?);
    let head = words.next()?.parse().ok()?;
    let version = words.next().map(str::parse).transpose().ok()?;
    words.next().is_none().then_some((RosterVersion { height, head }, version))
}
