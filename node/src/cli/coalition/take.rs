//! `belfry coalition take`: several admins, several machines, one log.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::trust::file as armour;
use clap::Args;

use super::{CoalitionFolder, folder::Folder};
use crate::{
    cli::{
        exit::{refuse, refused},
        output,
    },
    keys::{
        enrolment::{fold, read},
        file,
    },
};

/// Take over a newer log from another admin's machine.
///
/// Every signature is verified. A log that is older, forked, or another coalition's is refused. Where there is no
/// folder yet, one is made, without keys: put yours into its keys folder.
#[derive(Debug, Args)]
pub(in crate::cli) struct Take {
    /// Log, as `belfry coalition export` writes it
    log: PathBuf,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Take {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let log = read(&self.log, armour::read_log)?;
        let name = || self.log.display().to_string();
        let theirs = fold(&log).map_err(refused).with_context(name)?;
        let dir = &self.folder.dir;
        if !dir.join("log.pem").exists() {
            file::create_folder(dir)?;
            file::close_folder(dir)?;
            file::create_folder(&dir.join("keys"))?;
            Folder::create(dir, log)?;
        } else {
            let mut folder = self.folder.open()?;
            let ours = folder.roster();
            if ours.coalition() != theirs.coalition() {
                refuse!("{} is of another coalition ({})", self.log.display(), theirs.coalition());
            }
            let own = ours.charter();
            if theirs.charters().version(own.version()).is_some_and(|charter| charter.id() != own.id()) {
                refuse!(
                    "{} has another charter version {} than this folder: the root keys signed two",
                    self.log.display(),
                    own.version()
                );
            }
            let pinned = theirs.charter().version() > ours.charter().version();
            if !theirs.is_prefix(ours.version()) && !pinned {
                refuse!(
                    "{} does not go on from the log here: this one is at {}, that one at {}. It is older (take this \
                     folder's log there instead: `belfry coalition export`), or the registrar signed two logs, and a new \
                     charter must pin one of them",
                    self.log.display(),
                    ours.version(),
                    theirs.version()
                );
            }
            if theirs.charter().version() < ours.charter().version() {
                refuse!("{} lacks charter version {}", self.log.display(), ours.charter().version());
            }
            folder.replace(log, theirs.clone())?;
        }
        let version = theirs.version();
        Ok(output::print(&format!(
            "{} is at charter {} and entry {} ({}).\n",
            output::path(dir),
            theirs.charter().version(),
            version.height,
            version.head
        ))?)
    }
}
