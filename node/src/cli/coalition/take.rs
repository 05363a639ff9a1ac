//! `belfry coalition take`: several admins, several machines, one log.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::trust::{file as armour, roster::Roster};
use clap::Args;

use super::{CoalitionFolder, folder::Folder, mend::mended};
use crate::{
    cli::{exit::refuse, output},
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
        let theirs = fold(&log).map_err(mended).with_context(name)?;
        let dir = &self.folder.dir;
        if !dir.join("log.pem").exists() {
            file::create_folder(dir)?;
            file::close_folder(dir)?;
            file::create_folder(&dir.join("keys"))?;
            Folder::create(dir, log)?;
        } else {
            let mut folder = self.folder.open()?;
            goes_on(folder.roster(), &theirs, &self.log.display().to_string())?;
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

/// Whether another log may take the place of the one here: the same coalition's, as new at least, and no other branch.
pub(super) fn goes_on(ours: &Roster, theirs: &Roster, name: &str) -> anyhow::Result<()> {
    if ours.coalition() != theirs.coalition() {
        refuse!("{name} is of another coalition ({}): name that one's folder with --dir", theirs.coalition());
    }
    let own = ours.charter();
    if theirs.charters().version(own.version()).is_some_and(|charter| charter.id() != own.id()) {
        refuse!(
            "{name} has another charter version {} than this folder: the root keys signed two. Compare both (`belfry \
             coalition charter show FILE`), and have the holders say which one they meant before anybody decides anything",
            own.version()
        );
    }
    if theirs.charter().version() < own.version() {
        refuse!(
            "{name} lacks charter version {}: it is older; take this folder's log there instead (`belfry coalition export`)",
            own.version()
        );
    }
    let pinned = theirs.charter().version() > own.version();
    if !theirs.is_prefix(ours.version()) && !pinned {
        refuse!(
            "{name} does not go on from the log here: this one is at {}, that one at {}. It is older (take this folder's log \
             there instead: `belfry coalition export`), or the registrar signed two logs, and a new charter must pin one of \
             them",
            ours.version(),
            theirs.version()
        );
    }
    Ok(())
}
