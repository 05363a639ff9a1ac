//! `belfry backup …`: make one, look whether it is whole, become a node again from it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    args::second,
    client::{Client, ClientError, Content},
    exit::refused,
    global::{DataFolder, Global, KeyPassphrase},
    output,
    store::opened,
};
use crate::{
    backup::{self, BackupError, Backups, Manifest},
    config::Config,
    keys::Source,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Create(Create),
    Verify(Verify),
    Restore(Restore),
}

/// Copy this node's keys, certificate, database, documents and audit log into a new folder.
///
/// A running node makes the copy itself and goes on; one that is stopped is copied by this command, which then
/// asks for the passphrase.
///
/// What is in a backup is as sealed as it is here. On one file system it shares files with the database: copy
/// it to another disk to have a backup. Keep the passphrase elsewhere.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// Folder to make
    to: PathBuf,
    #[command(flatten)]
    data: DataFolder,
    #[command(flatten)]
    passphrase: KeyPassphrase,
    /// Print the manifest as JSON
    #[arg(long)]
    json: bool,
}

/// Hold every file of a backup against its manifest.
///
/// That tells damage. Whether the manifest itself is this node's, the passphrase of its keys tells: the manifest is sealed under
/// the store key. `restore` always asks.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Folder of the backup
    from: PathBuf,
    /// File with the passphrase of the keys in it: asks also whether these sealed the manifest
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Print the manifest as JSON, with `seal_verified`
    #[arg(long)]
    json: bool,
}

/// Make a data folder of a backup.
///
/// What is copied is verified, and the data folder must not be there yet. The restored node opens new logs
/// for what it publishes, and gets what it missed from its peers. Drafts that were queued when the backup was made may have
/// gone out since: they wait for a person, as held drafts. Never run two nodes from one backup.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// Folder of the backup
    from: PathBuf,
    #[command(flatten)]
    data: DataFolder,
    #[command(flatten)]
    passphrase: KeyPassphrase,
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run(global),
            Self::Verify(verify) => verify.run(),
            Self::Restore(restore) => restore.run(global),
        }
    }
}

impl Create {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.config(&self.data)?;
        let to = std::path::absolute(&self.to).context("the folder to make")?;
        let manifest = match asked_of_daemon(global.client(&self.data), &to) {
            Err(error) if matches!(error.downcast_ref(), Some(ClientError::NotRunning { .. })) => {
                self.of_stopped(&config, &to)?
            }
            answer => serde_json::from_value(answer?).context("the daemon's answer")?,
        };
        show(&format!("Made {}", to.display()), &manifest, self.json)
    }

    fn of_stopped(&self, config: &Config, to: &Path) -> anyhow::Result<Manifest> {
        let (enrolment, store) = opened(config, &self.passphrase)?;
        Backups::new(&config.node.data_dir, store, &enrolment).create(to).map_err(at_the_edge)
    }
}

impl Verify {
    fn run(self) -> anyhow::Result<()> {
        let (manifest, headline) = match &self.passphrase_file {
            Some(file) => {
                let passphrase = Source::File(file.clone()).read("the keys in the backup")?;
                let manifest = backup::verify_sealed(&self.from, &passphrase).map_err(at_the_edge)?;
                (manifest, "Whole, and sealed by this node's store key: every file is as it was made.")
            }
            None => (
                backup::verify(&self.from).map_err(at_the_edge)?,
                "Whole: every file is as its manifest says. Whether the manifest is this node's was not asked: name the passphrase \
                 of its keys with --passphrase-file.",
            ),
        };
        if !self.json {
            return show(headline, &manifest, false);
        }
        let mut told = serde_json::to_value(&manifest)?;
        if let Some(fields) = told.as_object_mut() {
            fields.insert("seal_verified".to_owned(), self.passphrase_file.is_some().into());
        }
        output::print_json(&told)
    }
}

impl Restore {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.config(&self.data)?;
        let passphrase = self.passphrase.source(&config.keys).read("the keys in the backup")?;
        let to = &config.node.data_dir;
        let manifest = backup::restore(&self.from, to, &passphrase).map_err(|error| match error {
            BackupError::Exists(path) => refused(anyhow::anyhow!(
                "{} exists already, and nothing is overwritten: stop the node and move it away (it is what this node has been until \
                 now), or name another data folder with --dir",
                path.display()
            )),
            other => at_the_edge(other),
        })?;
        show(
            &format!(
                "Restored into {}.\nIt will publish in new logs; what was queued and may have gone out since waits for a person (belfry \
                 drafts list). Then: belfry run{}{}",
                to.display(),
                global.again(&self.data),
                self.passphrase.again()
            ),
            &manifest,
            false,
        )
    }
}

fn asked_of_daemon(client: anyhow::Result<Client>, to: &Path) -> anyhow::Result<Value> {
    let wanted = json!({ "folder": to });
    let content =
        Content { kind: "application/json", bytes: serde_json::to_vec(&wanted)?, idempotency_key: None };
    client?.post("/api/v1/backups", content)
}

fn show(headline: &str, manifest: &Manifest, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return output::print_json(&serde_json::to_value(manifest)?);
    }
    let facts = output::facts(&[
        (
            "organisation",
            format!("{} (certificate {})", output::visible(&manifest.organisation), manifest.serial),
        ),
        ("made", second(manifest.created)),
        ("admin log", output::counted(manifest.roster_height, "entry", "entries")),
        ("files", format!("{}, {} KiB", manifest.files.len(), manifest.bytes() >> 10)),
    ]);
    Ok(output::print(&format!("{headline}\n\n{facts}"))?)
}

fn at_the_edge(error: BackupError) -> anyhow::Error {
    match error {
        // Damaged is a failure; what another key sealed is somebody else's.
        BackupError::Exists(_) | BackupError::Seal(_) => refused(error),
        other => other.into(),
    }
}
