//! `belfry audit`: what an auditor asks, answered from files that anybody can verify again.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::{
    id::MessageId,
    schema::EntityClass,
    time::Timestamp,
    trust::{file as armour, history::Membership, names::Named as _, words},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    args::{second, until},
    audit_log::{Calls, Verify},
    exit::refuse,
    global::{DataFolder, Global},
    output,
    verify::Log,
};
use crate::keys::file::{self, Existing, Readers};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Membership(MembershipAt),
    Message(Message),
    Log(Calls),
    Verify(Verify),
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Membership(membership) => membership.run(),
            Self::Message(message) => message.run(global),
            Self::Log(calls) => calls.run(global),
            Self::Verify(verify) => verify.run(global),
        }
    }
}

/// Show who was a member of a group at a moment, and which log entries prove it.
///
/// Works on the exported log alone, without any node or network. Counts the decisions that were made by then, in the
/// log's order, under the charter issued by then. Whoever runs it on the same file gets the same answer.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry audit membership --log log.pem --group cidr --at 2026-11-30")]
pub(super) struct MembershipAt {
    #[command(flatten)]
    log: Log,
    /// The group, by slug
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// When: a day, meaning its last second (UTC), or an RFC 3339 time
    #[arg(long, value_name = "DATE", value_parser = until)]
    at: Timestamp,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl MembershipAt {
    fn run(self) -> anyhow::Result<()> {
        let roster = self.log.open()?;
        let then = roster.charters().until(self.at);
        let Some(group) = then.newest().group_by_slug(&self.group) else {
            let slugs: Vec<&str> = then.newest().groups().iter().map(|g| g.slug.as_str()).collect();
            refuse!("there was no group {:?} then: the charter had {}", self.group, slugs.join(", "))
        };
        let members = roster.members_at(group.id, self.at);
        let version = roster.version();
        let head = format!(
            "{} ({})\n{} in {} at {}, by the log up to entry {} ({}), charter {}\n",
            output::visible(then.newest().name()),
            words::to_words(roster.coalition()).split(' ').take(4).collect::<Vec<_>>().join(" ") + " …",
            output::counted(members.len() as u64, "certificate", "certificates"),
            self.group,
            second(self.at),
            version.height,
            version.head,
            then.newest().version()
        );
        if self.json {
            return output::print_json(&json!({
                "coalition": roster.coalition(),
                "group": self.group,
                "at": self.at,
                "charter": then.newest().version(),
                "log": version,
                "members": members.iter().map(shown).collect::<Vec<Value>>(),
            }));
        }
        let rows: Vec<[String; 7]> = members
            .iter()
            .map(|m| {
                let entries: Vec<String> = m.entries.iter().map(ToString::to_string).collect();
                [
                    m.organisation.name.clone(),
                    m.role.name().to_owned(),
                    m.organisation.classes().map(EntityClass::name).collect::<Vec<_>>().join(", "),
                    second(m.since),
                    m.serial.to_string(),
                    entries.join(", "),
                    m.member.to_string(),
                ]
            })
            .collect();
        let headings = ["organisation", "role", "classes", "since", "serial", "log entries", "member"];
        Ok(output::print(&(head + &output::table(headings, &rows)))?)
    }
}

fn shown(membership: &Membership) -> Value {
    json!({
        "member": membership.member,
        "organisation": membership.organisation.name,
        "kbo": membership.organisation.kbo,
        "lei": membership.organisation.lei,
        "classes": membership.organisation.classes().map(EntityClass::name).collect::<Vec<_>>(),
        "serial": membership.serial,
        "role": membership.role.name(),
        "since": membership.since,
        "entries": membership.entries,
    })
}

/// Export a message as it travelled, sealed, to show who wrote it and when.
///
/// The file holds the envelope, byte for byte, and no content: together with the exported log, `belfry verify` shows
/// whose certified key signed it, in which group, and where in its author's log.
#[derive(Debug, Args)]
pub(super) struct Message {
    /// Message id, 64 hex digits
    #[arg(value_name = "MESSAGE-ID")]
    message: MessageId,
    /// File to write; must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    data: DataFolder,
}

impl Message {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let path = format!("/api/v1/messages/{}/envelope", self.message);
        let answer = global.client(&self.data)?.get(&path)?;
        let text = answer.get("file").and_then(Value::as_str).context("the daemon's answer has no file")?;
        armour::read_message(text).context("the daemon's answer")?;
        file::write(&self.out, text.as_bytes(), Readers::All, Existing::Keep)?;
        let path = output::path(&self.out);
        Ok(output::print(&format!(
            "Wrote {path}. With the coalition's log, anybody can verify it:\n  belfry verify {path} --log log.pem\n"
        ))?)
    }
}
