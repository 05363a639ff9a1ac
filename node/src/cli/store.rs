//! `belfry store …`: looking at, healing and tidying the database of a stopped node.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use belfry_proto::trust::file as armour;
use clap::{Args, Subcommand};

use super::{
    global::{DataFolder, Global, KeyPassphrase},
    output,
};
use crate::{
    backup::STORE,
    config::Config,
    heal,
    keys::{
        self, Enrolment,
        enrolment::{certified, read},
    },
    space::{FileSystemOf, Space},
    store::{CheckedColumn, Owner, Salvage, Store, aside},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Check(Check),
    Heal(Heal),
    Compact(Compact),
}

/// Read every row of a stopped node's database and name what is damaged.
///
/// Exit code 1 if anything is; `belfry store heal` then mends it.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    at: At,
}

/// Make a sound database of a stopped node's damaged one, and keep the damaged one beside it.
///
/// A running node that meets damage does this by itself, once. A store of which every row reads is left as it is. What reads
/// is kept and verified again; messages that do not are missing afterwards, and come back from other nodes. Says what is lost
/// for good: a backup may have it. Takes as much free space as the store. Where entries of the admin log are lost it refuses and
/// asks for the newest log. Delete store.damaged yourself when you have checked what was healed: it keeps also what is withdrawn
/// or erased since.
#[derive(Debug, Args)]
pub(super) struct Heal {
    /// The newest admin log, from `belfry export-log` at another member or `belfry coalition export`, for entries that
    /// this node lost
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

/// Rewrite a stopped node's database without what was deleted or replaced.
#[derive(Debug, Args)]
pub(super) struct Compact {
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
struct At {
    #[command(flatten)]
    data: DataFolder,
    #[command(flatten)]
    passphrase: KeyPassphrase,
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Check(check) => {
                let again = global.again(&check.at.data);
                let (enrolment, path) = check.at.enrolment(global)?;
                report(&Salvage::open(&path, owner(&enrolment), &enrolment.keys.store)?, &again)
            }
            Self::Heal(healing) => {
                let again = format!("{}{}", global.again(&healing.at.data), healing.at.passphrase.again());
                let (enrolment, path) = healing.at.enrolment(global)?;
                let read_on = |column: &CheckedColumn| {
                    output::progress(&format!("{}: {} rows", column.name, column.rows))
                };
                let is_sound = !heal::is_noted(&path)
                    && Store::is_sound(&path, owner(&enrolment), &enrolment.keys.store, read_on)?;
                output::progress("");
                if is_sound {
                    return Ok(output::print(
                        "Every row reads: there is nothing to heal, and nothing was changed.\n",
                    )?);
                }
                let log = healing.log.as_ref().map(|file| read(file, armour::read_log)).transpose()?;
                if let (Some(log), Some(file)) = (&log, &healing.log) {
                    certified(enrolment.coalition(), log, &enrolment.record)
                        .with_context(|| file.display().to_string())?;
                }
                let folder = path.parent().unwrap_or(&path);
                let space = Space::new(0, Arc::new(FileSystemOf::new(folder)));
                let means = heal::Means { log: log.as_ref(), space };
                let report = heal::heal(&path, &enrolment, &means, output::progress)?;
                output::progress("");
                let (lines, aside) = (report.lines().join("\n"), aside(&path));
                Ok(output::print(&format!(
                    "{lines}\nThe damaged store is kept as {}, with this report in HEALED.txt. Look at the disk, then: belfry run{again}\n\
                     Delete {} once you have checked what was healed: until then nothing is healed by itself again.\n",
                    aside.display(),
                    aside.display()
                ))?)
            }
            Self::Compact(compact) => {
                let store = compact.at.open(global)?;
                let before = store.disk_size()?;
                store.compact(|column| output::progress(&format!("compacting {column}")))?;
                output::progress("");
                let after = store.disk_size()?;
                Ok(output::print(&format!("{} KiB before, {} KiB after\n", before >> 10, after >> 10))?)
            }
        }
    }
}

impl At {
    fn enrolment(self, global: &Global) -> anyhow::Result<(Enrolment, PathBuf)> {
        let config = global.config(&self.data)?;
        Ok((enrolled(&config, &self.passphrase)?, config.node.data_dir.join(STORE)))
    }

    fn open(self, global: &Global) -> anyhow::Result<Store> {
        Ok(opened(&global.config(&self.data)?, &self.passphrase)?.1)
    }
}

/// A stopped node's place in its coalition, and its database.
pub(super) fn opened(config: &Config, passphrase: &KeyPassphrase) -> anyhow::Result<(Enrolment, Store)> {
    let enrolment = enrolled(config, passphrase)?;
    let path = config.node.data_dir.join(STORE);
    let store = Store::open(&path, owner(&enrolment), &enrolment.keys.store)?;
    Ok((enrolment, store))
}

fn enrolled(config: &Config, passphrase: &KeyPassphrase) -> anyhow::Result<Enrolment> {
    let folder = &config.node.data_dir;
    keys::DataFolder::of(config).joined()?;
    Ok(Enrolment::load(folder, &passphrase.read(&config.keys)?)?)
}

fn owner(enrolment: &Enrolment) -> Owner {
    Owner { coalition: enrolment.coalition(), node: enrolment.node() }
}

fn report(store: &Salvage, again: &str) -> anyhow::Result<()> {
    let health = store.check(|column| output::progress(&format!("{}: {} rows", column.name, column.rows)));
    output::progress("");
    let rows: Vec<[String; 3]> = health
        .columns
        .iter()
        .map(|c| [c.name.to_owned(), c.rows.to_string(), format!("{} KiB", c.bytes >> 10)])
        .collect();
    let mut text = output::table(["column", "rows", "size"], &rows);
    for error in &health.damaged {
        text += &format!("DAMAGED: {error}\n");
    }
    output::print(&text)?;
    anyhow::ensure!(
        health.damages == 0,
        "{} rows or stretches do not read; `belfry store heal{again}` makes a sound store of the rest",
        health.damages
    );
    Ok(output::print("Every row reads.\n")?)
}
