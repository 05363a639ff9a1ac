//! `belfry store …`: looking at, and tidying, the database of a stopped node.

use clap::{Args, Subcommand};

use super::{
    global::{DataFolder, Global, KeyPassphrase},
    output,
};
use crate::{
    backup::STORE,
    config::Config,
    keys::{self, Enrolment},
    store::{Owner, Store},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Check(Check),
    Compact(Compact),
}

/// Read every row of a stopped node's database and name what is damaged.
///
/// Exit code 1 if anything is. Messages that are damaged come back from peers once their rows are gone: restore
/// a backup, or remove the store folder and let the node sync again.
#[derive(Debug, Args)]
pub(super) struct Check {
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
            Self::Check(check) => check.at.open(global).and_then(|store| report(&store)),
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
    fn open(self, global: &Global) -> anyhow::Result<Store> {
        Ok(opened(&global.config(&self.data)?, &self.passphrase)?.1)
    }
}

/// A stopped node's place in its coalition, and its database.
pub(super) fn opened(config: &Config, passphrase: &KeyPassphrase) -> anyhow::Result<(Enrolment, Store)> {
    let folder = &config.node.data_dir;
    keys::DataFolder::new(folder).joined()?;
    let enrolment = Enrolment::load(folder, &passphrase.read(&config.keys)?)?;
    let owner = Owner { coalition: enrolment.coalition(), node: enrolment.node() };
    let store = Store::open(&folder.join(STORE), owner, &enrolment.keys.store)?;
    Ok((enrolment, store))
}

fn report(store: &Store) -> anyhow::Result<()> {
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
    anyhow::ensure!(health.damages == 0, "{} rows do not read", health.damages);
    Ok(output::print("Every row reads.\n")?)
}
