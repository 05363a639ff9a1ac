//! `belfry coalition`: founding a coalition, and deciding who belongs. Files only; no network.

mod accept;
mod amend;
mod backup;
mod beacon;
mod certificate;
mod charter;
pub(in crate::cli) mod cut;
mod decide;
mod draft;
mod ends;
mod evidence;
mod export;
mod extend_cut;
mod folder;
mod import;
mod init;
mod issue;
mod kept;
mod key;
mod leave;
mod log;
mod mend;
mod notices;
mod renew;
mod requests;
mod revoke;
mod role_keys;
mod roster;
mod shown;
mod sign;
mod take;
mod waiting;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

pub(super) use self::charter::told as charter_told;
use self::folder::Folder;
use super::args::repeated;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Init(init::Init),
    Key(key::Key),
    /// Draft, sign, show, compare and publish the charter
    #[command(subcommand)]
    Charter(charter::Command),
    Issue(issue::Issue),
    Certificate(certificate::Certificate),
    Import(import::Import),
    Renew(renew::Renew),
    Entitle(renew::Entitle),
    Disentitle(renew::Disentitle),
    Amend(amend::Amend),
    Accept(accept::Accept),
    Leave(leave::Leave),
    Revoke(revoke::Revoke),
    Suspend(revoke::Suspend),
    Resume(revoke::Resume),
    ExtendCut(extend_cut::ExtendCut),
    Sign(sign::Sign),
    Order(sign::Order),
    Take(take::Take),
    Roster(roster::Roster),
    Log(log::Log),
    Notices(notices::Notices),
    Export(export::Export),
    Beacon(beacon::Beacon),
    /// Copy the folder whole, look whether a copy is, make a folder of it again
    #[command(subcommand)]
    Backup(backup::Command),
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Init(init) => init.run(),
            Self::Key(key) => key.run(),
            Self::Charter(command) => command.run(),
            Self::Issue(issue) => issue.run(),
            Self::Certificate(certificate) => certificate.run(),
            Self::Import(import) => import.run(),
            Self::Renew(renew) => renew.run(),
            Self::Entitle(entitle) => entitle.run(),
            Self::Disentitle(disentitle) => disentitle.run(),
            Self::Amend(amend) => amend.run(),
            Self::Accept(accept) => accept.run(),
            Self::Leave(leave) => leave.run(),
            Self::Revoke(revoke) => revoke.run(),
            Self::Suspend(suspend) => suspend.run(),
            Self::Resume(resume) => resume.run(),
            Self::ExtendCut(extend) => extend.run(),
            Self::Sign(sign) => sign.run(),
            Self::Order(order) => order.run(),
            Self::Take(take) => take.run(),
            Self::Roster(roster) => roster.run(),
            Self::Log(log) => log.run(),
            Self::Notices(notices) => notices.run(),
            Self::Export(export) => export.run(),
            Self::Beacon(beacon) => beacon.run(),
            Self::Backup(command) => command.run(),
        }
    }
}

/// The coalition's folder.
#[derive(Debug, Args)]
struct CoalitionFolder {
    /// Folder that `belfry coalition init` made
    #[arg(long, value_name = "DIR", default_value = ".", display_order = 900)]
    dir: PathBuf,
}

impl CoalitionFolder {
    /// How it was named, for a hint at another command: empty, or after a space.
    fn again(&self) -> String {
        named(&self.dir)
    }

    /// The command that exports the log, to a place that is not the folder's own.
    fn export(&self) -> String {
        let out = if self.dir == Path::new(".") { "../log.pem" } else { "log.pem" };
        format!("belfry coalition export --out {out}{}", self.again())
    }

    /// How the log reaches every member.
    fn bring(&self) -> String {
        let export = self.export();
        let note = "# at a member's node, which tells all others";
        format!("  {export}\n  {:<width$}  {note}\n", "belfry import-log log.pem", width = export.len())
    }

    fn open(&self) -> anyhow::Result<Folder> {
        Folder::open(&self.dir)
    }
}

/// The option that names a folder: empty for the one where the command runs, else after a space.
fn named(dir: &Path) -> String {
    repeated(&[("--dir", Some(dir).filter(|dir| *dir != Path::new(".")))])
}
