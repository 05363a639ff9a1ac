//! `belfry coalition revoke | suspend | resume`: ends of membership, final or not.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::{
    id::{LogId, MessageId, Sequence, Serial},
    schema::{CutPoint, RevocationReason},
    time::Timestamp,
    trust::{
        certificate::Certificate,
        names::Named,
        roster::{CutStatus, Roster},
        statement::Decision,
    },
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
        let serial = self.serial;
        self.ending.deciding.run(
            serial,
            &what,
            |roster| consequence(roster, serial, &cut),
            |certificate| {
                let now = clock::now().as_micros();
                Decision::Revoke(belfry_proto::schema::Revoke {
                    serial: certificate.serial.get(),
                    member: certificate.member.to_vec(),
                    reason: self.reason.into(),
                    decided: now,
                    effective: now,
                    cut: cut.clone(),
                })
            },
        )
    }
}

impl Suspend {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cut = self.ending.cut()?;
        let serial = self.serial;
        self.ending.deciding.run(
            serial,
            "Suspend",
            |roster| consequence(roster, serial, &cut),
            |certificate| {
                Decision::Suspend(belfry_proto::schema::Suspend {
                    serial: certificate.serial.get(),
                    cut: cut.clone(),
                })
            },
        )
    }
}

impl Resume {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let consequence =
            "It is admitted again; what its groups shared before counts as older than its membership.";
        self.deciding.run(
            self.serial,
            "Resume",
            |_| consequence.into(),
            |certificate| Decision::Resume(belfry_proto::schema::Resume { serial: certificate.serial.get() }),
        )
    }
}

/// What a cut does to the messages of a certificate, on top of the cuts it has: every one of them must let a
/// message stand.
fn consequence(roster: &Roster, serial: Serial, cut: &[CutPoint]) -> String {
    if cut.is_empty() {
        return "No cut: EVERY message this certificate ever signed will be hidden at every member.".into();
    }
    let standing = cut.iter().filter(|point| stands(roster, serial, point)).count();
    let logs = |n: usize| output::counted(u64::try_from(n).unwrap_or(u64::MAX), "log", "logs");
    let mut text = match standing {
        0 => "None of the listed messages will be shown".to_owned(),
        n => format!("Messages up to the cut of {} stay; everything else it signed is hidden", logs(n)),
    };
    let hidden = cut.len() - standing;
    if hidden == 0 {
        text.push('.');
    } else {
        text += &format!(
            ".\nAn earlier decision hides {} that this cut lists, and goes on to. To show them again, with the same file:\n  \
             belfry coalition extend-cut {serial} --cut FILE",
            logs(hidden)
        );
    }
    text
}

/// Whether the cuts a certificate has let a cut point stand, as far as an admin's machine can know: of a log that
/// was opened after a resumption they say nothing, and which those are stands in the messages.
fn stands(roster: &Roster, serial: Serial, point: &CutPoint) -> bool {
    let (Ok(log), Ok(message)) = (LogId::try_from(&*point.log), MessageId::try_from(&*point.message)) else {
        return false;
    };
    let newest = roster.version().height;
    roster.charter().groups().iter().all(|group| {
        let closure = roster.closure(serial, group.id, log);
        closure.status(newest, Timestamp::ZERO, Sequence::new(point.sequence), message) != CutStatus::Beyond
    })
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
        consequence: impl FnOnce(&Roster) -> String,
        decision: impl FnOnce(&Certificate) -> Decision,
    ) -> anyhow::Result<()> {
        let mut folder = self.folder.open()?;
        let again = self.folder.again();
        let certificate = certificate(&folder, serial, &again)?;
        let consequence = consequence(folder.roster());
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
            "Entry {entry} of the admin log says so. Bring the log to a member's node:\n  belfry coalition export --out \
             log.pem{again}\n  belfry import-log log.pem            # at the node\n"
        ))?;
        Ok(())
    }
}
