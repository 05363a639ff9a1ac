//! `belfry coalition take`: several admins, several machines, one log.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Context as _;
use belfry_proto::{
    id::{Height, StatementId},
    trust::{file as armour, roster::Roster},
};
use clap::Args;

use super::{CoalitionFolder, folder::Folder, mend::mended};
use crate::{
    cli::{args::second, decision::described, exit::refuse, output},
    keys::{
        enrolment::{fold, read},
        file,
    },
};

/// Take over a newer log from another admin's machine.
///
/// Every signature is verified. A log that is older, forked, or another coalition's is refused. Where there is no
/// folder yet, one is made, without keys: put yours into its keys folder. Where a new charter pins the log below decisions
/// that stand here, they are listed: they hold no more.
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
            let dropped = dropped(folder.roster(), &theirs);
            folder.replace(log, theirs.clone())?;
            output::print(&dropped)?;
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

/// Decisions of this log that the other one does not have: a new charter pinned it below them, or on another branch.
fn dropped(ours: &Roster, theirs: &Roster) -> String {
    let stays: BTreeSet<StatementId> = theirs.records().map(|record| record.statement.id).collect();
    let is_void = |height: Height| ours.voids().iter().any(|void| void.height == height);
    let rows: Vec<[String; 4]> = ours
        .records()
        .filter(|record| !stays.contains(&record.statement.id) && !is_void(record.height))
        .map(|record| {
            let (action, about) = described(ours.charters(), Some(ours), &record.statement);
            [record.height.to_string(), second(record.statement.made), action.to_owned(), about]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "{} of the log here {} in the new one, whose charter pins entry {}. Nothing of it holds any more, at no node that takes \
         that charter; what shall hold is decided anew:\n{}",
        output::counted(rows.len() as u64, "decision", "decisions"),
        if rows.len() == 1 { "is not" } else { "are not" },
        theirs.charter().pin().map_or(0, |pin| pin.height.get()),
        output::table(["entry", "made", "action", "about"], &rows)
    )
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
