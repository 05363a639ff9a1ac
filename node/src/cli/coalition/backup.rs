//! `belfry coalition backup …`: the coalition's folder, copied whole, and made a folder again.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belfry_proto::{
    id::{Height, Serial},
    schema::LogFile,
    trust::{file as armour, names::Named as _, roster::Roster},
};
use clap::{Args, Subcommand};

use super::{CoalitionFolder, evidence::Evidence, folder::Folder, mend::mended, requests, take};
use crate::{
    backup::{
        BackupError,
        coalition::{self, FolderManifest},
    },
    cli::{
        args::second,
        exit::{refuse, refused},
        output,
    },
    clock,
    keys::enrolment::{fold, read},
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    Create(Create),
    Verify(Verify),
    Restore(Restore),
}

/// Copy the coalition's folder into a new one, with a list of hashes.
///
/// Everything is in it: encrypted keys, log, charter, documents, certificates, requests, decision records, members' own words, the
/// register of notices, statements that wait. Keep it on another disk, and as safe as the folder; the passphrases elsewhere.
#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// Folder to make, outside the coalition's
    to: PathBuf,
    #[command(flatten)]
    folder: CoalitionFolder,
}

/// Hold every file of a backup against its list.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// Folder of the backup
    from: PathBuf,
}

/// Make a coalition's folder of a backup.
///
/// The newest log has to come along, as any member's node writes it (`belfry export-log --out log.pem`): what was decided
/// after the backup was made stands only there, and decisions that are ordered on from an older log make a second one, which
/// every node takes for a proof against the registrar. What stands beside the log is as old as the backup: entries without
/// their record or certificate are listed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry export-log --out log.pem                          # at a member's node
  belfry coalition backup restore backup --log log.pem --dir coalition")]
pub(in crate::cli) struct Restore {
    /// Folder of the backup
    from: PathBuf,
    /// The newest log there is; the backup's own log.pem, if surely nothing was decided since
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run(),
            Self::Verify(verify) => {
                let manifest = coalition::verify(&verify.from).map_err(at_the_edge)?;
                show("Whole: every file is as its list says.", &manifest)
            }
            Self::Restore(restore) => restore.run(),
        }
    }
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let folder = self.folder.open()?;
        let roster = folder.roster();
        let (id, height) = (roster.coalition().to_string(), roster.version().height.get());
        let manifest =
            coalition::create(folder.dir(), &self.to, &id, height, clock::now()).map_err(at_the_edge)?;
        show(&format!("Made {}", output::path(&self.to)), &manifest)
    }
}

impl Restore {
    fn run(self) -> anyhow::Result<()> {
        let name = self.log.display().to_string();
        let log = read(&self.log, armour::read_log)?;
        let roster = fold(&log).map_err(mended).with_context(|| name.clone())?;
        let (height, charter) = (roster.version().height, roster.charter().version());
        let mut warnings = Vec::new();
        let manifest = coalition::restore(&self.from, &self.dir, |staged| {
            warnings = caught_up(staged, log, roster, &name).map_err(Restoring::Log)?;
            Ok(())
        })
        .map_err(|error| match error {
            Restoring::Backup(error) => at_the_edge(error),
            Restoring::Log(error) => error,
        })?;
        show(
            &format!(
                "Restored into {}, at charter {charter} and entry {height}; the backup was at entry {}.",
                output::path(&self.dir),
                manifest.height
            ),
            &manifest,
        )?;
        for warning in warnings {
            output::warn(&warning);
        }
        Ok(())
    }
}

/// What stands beside the log is as old as the backup: which entries above `since` lack who decided them or a certificate,
/// and what only people can tell.
fn wound_back(folder: &Folder, since: Height) -> anyhow::Result<Vec<String>> {
    let roster = folder.roster();
    let (mut unrecorded, mut unwritten, mut unproven) = (Vec::new(), Vec::new(), Vec::new());
    for record in roster.records().filter(|record| record.height > since) {
        if Evidence::of(folder, record.statement.id)? == Evidence::default() {
            unrecorded.push(format!("{} ({})", record.height, record.statement.action().name()));
        }
        let serial = Serial::new(record.height.get());
        if let Some(certificate) = roster.certificate(serial) {
            if !folder.certificate_path(serial).exists() {
                unwritten.push(serial.to_string());
            }
            if !requests::path(folder, certificate.signing).exists() {
                unproven.push(serial.to_string());
            }
        }
    }
    let mut warnings = Vec::new();
    if !unrecorded.is_empty() {
        warnings.push(format!(
            "no record here says who decided these entries, which are newer than the backup: {}; it stands in `decisions` of the \
             folder where they were decided, if anywhere",
            unrecorded.join(", ")
        ));
    }
    if !unwritten.is_empty() {
        warnings.push(format!(
            "certificates newer than the backup have no file here: {}; `belfry coalition certificate SERIAL` writes one again",
            unwritten.join(", ")
        ));
    }
    if !unproven.is_empty() {
        warnings.push(format!(
            "that the members of these certificates accepted arrangement and rules is not proven here, for their requests are \
             newer than the backup: {}; ask each for its request.pem, and put it into `{}`",
            unproven.join(", "),
            requests::FOLDER
        ));
    }
    warnings.push(
        "the register of notices, members' own words and statements that wait are as old as the backup: hold `belfry coalition \
         notices` against what was sent and acknowledged since"
            .to_owned(),
    );
    Ok(warnings)
}

/// Takes the newest log into the copy, as `belfry coalition take` does; says what else is older than it.
fn caught_up(staged: &Path, log: LogFile, theirs: Roster, name: &str) -> anyhow::Result<Vec<String>> {
    let mut folder = Folder::open(staged)?;
    let ours = folder.roster().version();
    if theirs.coalition() == folder.roster().coalition()
        && theirs.charter().version() == folder.roster().charter().version()
        && theirs.version().height < ours.height
    {
        refuse!(
            "{name} ends at entry {}, and the backup is at entry {}: name the newest log there is (`belfry export-log` at a \
             member's node)",
            theirs.version().height,
            ours.height
        );
    }
    take::goes_on(folder.roster(), &theirs, name)?;
    folder.replace(log, theirs)?;
    wound_back(&folder, ours.height)
}

enum Restoring {
    Backup(BackupError),
    Log(anyhow::Error),
}

impl From<BackupError> for Restoring {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

fn show(headline: &str, manifest: &FolderManifest) -> anyhow::Result<()> {
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let facts = output::facts(&[
        ("coalition", manifest.coalition.clone()),
        ("made", second(manifest.created)),
        ("admin log", output::counted(manifest.height, "entry", "entries")),
        ("files", format!("{}, {} KiB", manifest.files.len(), bytes >> 10)),
    ]);
    Ok(output::print(&format!("{headline}\n\n{facts}"))?)
}

fn at_the_edge(error: BackupError) -> anyhow::Error {
    match error {
        BackupError::Exists(_) | BackupError::Inside(_) => refused(error),
        other => other.into(),
    }
}
