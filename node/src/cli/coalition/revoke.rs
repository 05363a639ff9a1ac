//! `belfry coalition revoke | suspend | resume`: ends of membership, final or not.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::{
    id::Serial,
    schema::{CutPoint, RevocationReason},
    trust::{certificate::Certificate, names::Named, statement::Decision},
};
use clap::Args;

use super::{
    CoalitionFolder, cut,
    decide::{certificate, decide},
    role_keys::RolePassphrases,
};
use crate::{
    cli::{args::day, exit::refuse, output},
    clock,
    keys::file,
};

/// Revoke a certificate.
///
/// Revokes for good: nodes hang up on it, and rotate their keys before they publish again.
///
/// The cut says what stays of the member's messages: those up to the listed ones. Everything else signed with that
/// key is hidden at every member, and without --cut that is everything. `belfry heads MEMBER`, on any member's node,
/// prints a cut at its last messages.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition revoke 7 --reason left --cut heads.txt
  belfry coalition revoke 7 --reason key-compromise")]
pub(in crate::cli) struct Revoke {
    /// Serial of the certificate
    #[arg(value_parser = serial)]
    serial: Serial,
    /// Why: left, key-compromise, ceased-operation, breach-of-rules, issued-in-error or other
    #[arg(long, value_name = "CODE", value_parser = <RevocationReason as Named>::parse)]
    reason: RevocationReason,
    #[command(flatten)]
    ending: Ending,
}

/// Suspend a certificate: it admits to nothing until it is resumed.
///
/// The node is out until `belfry coalition resume`; its history starts anew then.
#[derive(Debug, Args)]
pub(in crate::cli) struct Suspend {
    /// Serial of the certificate
    #[arg(value_parser = serial)]
    serial: Serial,
    #[command(flatten)]
    ending: Ending,
}

/// Resume a suspended certificate.
///
/// Its messages go into new logs from then on.
#[derive(Debug, Args)]
pub(in crate::cli) struct Resume {
    /// Serial of the certificate
    #[arg(value_parser = serial)]
    serial: Serial,
    #[command(flatten)]
    deciding: Deciding,
}

/// What every decision that ends something takes.
#[derive(Debug, Args)]
struct Ending {
    /// Cut file: the last message of each log that stays, as `belfry heads` prints it
    #[arg(long, value_name = "FILE")]
    cut: Option<PathBuf>,
    #[command(flatten)]
    deciding: Deciding,
}

/// What every decision takes.
#[derive(Debug, Args)]
pub(super) struct Deciding {
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

pub(super) fn serial(text: &str) -> Result<Serial, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(Serial::new(number)),
        _ => Err(format!("{text:?} is not a serial: `belfry coalition roster` lists them")),
    }
}

impl Revoke {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cut = self.ending.cut()?;
        let what = format!("Revoke ({})", self.reason.name());
        let consequence = consequence(&cut);
        self.ending.deciding.run(self.serial, &what, &consequence, |certificate| {
            let now = clock::now().as_micros();
            Decision::Revoke(belfry_proto::schema::Revoke {
                serial: certificate.serial.get(),
                member: certificate.member.to_vec(),
                reason: self.reason.into(),
                decided: now,
                effective: now,
                cut: cut.clone(),
            })
        })
    }
}

impl Suspend {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cut = self.ending.cut()?;
        self.ending.deciding.run(self.serial, "Suspend", &consequence(&cut), |certificate| {
            Decision::Suspend(belfry_proto::schema::Suspend {
                serial: certificate.serial.get(),
                cut: cut.clone(),
            })
        })
    }
}

impl Resume {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let consequence =
            "It is admitted again; what its groups shared before counts as older than its membership.";
        self.deciding.run(self.serial, "Resume", consequence, |certificate| {
            Decision::Resume(belfry_proto::schema::Resume { serial: certificate.serial.get() })
        })
    }
}

fn consequence(cut: &[CutPoint]) -> String {
    match cut.len() {
        0 => "No cut: EVERY message this certificate ever signed will be hidden at every member.".into(),
        1 => "Messages up to the cut of 1 log stay; everything else it signed is hidden.".into(),
        n => format!("Messages up to the cuts of {n} logs stay; everything else it signed is hidden."),
    }
}

impl Ending {
    fn cut(&self) -> anyhow::Result<Vec<CutPoint>> {
        let Some(path) = &self.cut else { return Ok(Vec::new()) };
        cut::parse(&file::read_text(path)?).with_context(|| path.display().to_string())
    }
}

impl Deciding {
    pub(super) fn run(
        self,
        serial: Serial,
        what: &str,
        consequence: &str,
        decision: impl FnOnce(&Certificate) -> Decision,
    ) -> anyhow::Result<()> {
        let mut folder = self.folder.open()?;
        let certificate = certificate(&folder, serial)?;
        let name = output::visible(&certificate.organisation.name);
        output::print(&format!(
            "{what} certificate {serial} of {name} (member {}, valid until {}).\n{consequence}\n",
            certificate.member,
            day(certificate.not_after)
        ))?;
        if !self.yes && !output::confirmed("Sign this?")? {
            refuse!("nothing was signed");
        }
        let keys = self.passphrases.open_deciders(&folder.keys())?;
        let entry = decide(&mut folder, certificate.member, decision(&certificate), &keys)?;
        output::print(&format!(
            "Entry {entry} of the admin log says so. Bring the log to a member's node: `belfry coalition export --out log.pem`.\n"
        ))?;
        Ok(())
    }
}
