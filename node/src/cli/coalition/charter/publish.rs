//! `belfry coalition charter publish`: the signed charter becomes the one in force.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belfry_proto::{
    schema::LogFile,
    trust::{charter::Charter, charter_change::review, names::Named as _, roster::Roster},
};
use clap::Args;

use super::{CoalitionFolder, differences, open, progress, reviewed_alone, warn};
use crate::{
    cli::{
        coalition::{folder::Folder, mend::mended},
        documents,
        exit::{refuse, refused},
        output,
        verify::roster,
    },
    clock,
    keys::file,
    texts::FOLDER,
};

/// Put a charter in force that enough root holders have signed.
///
/// Takes the one file that went round, or the copies that were signed side by side. A first charter founds the
/// coalition's folder. Nodes take the charter from the exported log, while they run. The texts that it names are looked
/// for by their hash beside the signed file, and kept in `documents`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Publish {
    /// Signed charter, or several signed copies of it
    #[arg(required = true)]
    proposals: Vec<PathBuf>,
    /// Newest log as a member's node has it (`belfry export-log`): refused if the charter would leave entries of it behind
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Publish {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (first, others) = self.proposals.split_first().context("no file")?;
        let mut proposal = open(first)?;
        for other in others {
            proposal.merge(&open(other)?).map_err(mended).with_context(|| other.display().to_string())?;
        }
        if !proposal.is_complete() {
            refuse!("too few root holders have signed. {}", progress(&proposal, first).trim_end());
        }
        let now = clock::now();
        let charter = proposal.charter().clone();
        let (own, beside) = (self.folder.dir.join(FOLDER), documents::beside(first));
        let drafted = first.parent().unwrap_or(Path::new("")).to_owned();
        let pass_on = || documents::pass_on(&charter, &[&beside, &drafted], &own);
        let Some(before) = proposal.before().cloned() else {
            if self.folder.dir.join("log.pem").exists() {
                refuse!(
                    "{} holds a coalition already, and this is a first charter: name a new folder with --dir",
                    self.folder.dir.display()
                );
            }
            reviewed_alone(&charter, now)?;
            file::create_folder(&self.folder.dir)?;
            file::close_folder(&self.folder.dir)?;
            let keys = self.folder.dir.join("keys");
            file::create_folder(&keys)?;
            let log = LogFile { charters: vec![proposal.finish().map_err(mended)?], records: Vec::new() };
            Folder::create(&self.folder.dir, log)?;
            return Ok(output::print(&format!(
                "Founded {}. Put the key of the admin who works here into {}, as admin.pem (and registrar.pem, where the \
                 registrar works).\nGive members {} and the documents.\n{}",
                output::visible(charter.name()),
                output::path(&keys),
                output::path(&self.folder.dir.join("charter.pem")),
                pass_on()?
            ))?);
        };
        let mut folder = self.folder.open()?;
        match &self.log {
            Some(path) => nothing_left_behind(folder.roster(), &roster(path)?, path)?,
            None => output::warn(
                "no node's log was looked at: whatever is decided there and not in this folder will be void, revocations included \
                 (`belfry export-log --out FILE` at a node, then --log FILE here)",
            ),
        }
        warn(&review(folder.roster(), &charter, now).map_err(refused)?);
        let texts = pass_on()?;
        folder.append_charter(proposal.finish().map_err(mended)?)?;
        Ok(output::print(&format!(
            "Charter version {} is in force:\n{}Statements that were signed under version {} and are not in the log are void \
             now.\n{}Bring it to the members:\n{}",
            charter.version(),
            differences(&before, &charter),
            before.version(),
            texts,
            self.folder.bring()
        ))?)
    }
}

/// Entries that are named one by one.
const NAMED: usize = 5;

/// A charter pins where this folder's log ends, and what stands beyond is void at every node: the folder must have all that
/// nodes have.
fn nothing_left_behind(ours: &Roster, newest: &Roster, path: &Path) -> anyhow::Result<()> {
    if newest.coalition() != ours.coalition() {
        refuse!(
            "{} is of another coalition ({}): name a log of this one (`belfry export-log` at a member's node), or that one's \
             folder with --dir",
            path.display(),
            newest.coalition()
        );
    }
    let (version, newer) = (ours.charter().version(), newest.charter().version());
    let common = version.min(newer);
    let id = |roster: &Roster| roster.charters().version(common).map(Charter::id);
    if id(ours) != id(newest) {
        refuse!(
            "{} has another charter version {common} than this folder: the root keys signed two. Compare both (`belfry coalition \
             charter show FILE`), and have the holders say which one they meant before any other is put in force",
            path.display()
        );
    }
    if newer > version {
        refuse!(
            "{} has charter version {newer}, and this folder version {version}: every node has that one already, and would take \
             this one for a second root. Take the log up first (`belfry coalition take FILE`) and have the charter made anew",
            path.display()
        );
    }
    let (end, theirs) = (ours.version().height, newest.version());
    if ours.is_prefix(theirs) {
        return Ok(());
    }
    let beyond: Vec<String> = newest
        .records()
        .filter(|record| record.height > end)
        .map(|record| format!("entry {} ({})", record.height, record.statement.action().name()))
        .collect();
    if beyond.is_empty() {
        refuse!(
            "{} is another history than this folder's: see which one stands (`belfry audit decisions --log FILE`), \
             and have a charter made that pins that one",
            path.display()
        );
    }
    let more = beyond.len().saturating_sub(NAMED);
    refuse!(
        "{} goes on to entry {}, and this charter pins entry {end}: every node would take as void {}{}. Take the log up first \
         (`belfry coalition take FILE`) and have the charter made anew; to leave it behind on purpose, publish without --log",
        path.display(),
        theirs.height,
        beyond.into_iter().take(NAMED).collect::<Vec<_>>().join(", "),
        if more > 0 { format!(" and {more} more") } else { String::new() }
    )
}
