//! `belfry propose` and `belfry proposals`: a change of another member's object, asked of its owner.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    args,
    client::{Content, segment},
    exit::refuse,
    global::{DataFolder, Global},
    output,
};

/// Propose a change of another member's object to its owner.
///
/// It is sealed to the owner: nobody else sees it. The owner accepts it, which publishes the object so changed, or
/// declines; `belfry proposals` tells.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry propose indicator--… --set confidence=20 --comment 'our own site'
  belfry propose indicator--… --set valid_until=2026-12-01T00:00:00Z
  belfry propose indicator--… --set revoked=true --comment 'a test of ours'
  belfry propose malware--… --set 'aliases=[\"a\", \"b\"]' --remove description")]
pub(super) struct Propose {
    /// STIX id of the object, as `belfry lookup` shows it
    #[arg(value_parser = args::stix_id)]
    object: String,
    /// A property and its new value, JSON or a text; repeat for several
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    set: Vec<(String, Value)>,
    /// A property that goes; repeat for several
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
    /// Why, for its owner
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Where several groups have the object
    #[arg(long, value_name = "SLUG")]
    group: Option<String>,
    /// Why it goes out although a guard objects. Say what it is, never the value
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// What JSON reads is JSON; everything else is a text.
fn property(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("is NAME=VALUE, as in confidence=20")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    Ok((name.to_owned(), value))
}

impl Propose {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let set: Map<String, Value> = self.set.into_iter().collect();
        let wish = json!({
            "group": self.group, "set": set, "remove": self.remove, "comment": self.comment, "reason": self.reason,
        });
        let path = format!("/api/v1/objects/{}/proposals", segment(&self.object));
        let answer = global.client(&self.data)?.post(&path, content(&wish))?;
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&made(&answer))?)
    }
}

fn content(of: &Value) -> Content {
    Content { kind: "application/json", bytes: of.to_string().into_bytes(), idempotency_key: None }
}

fn text(of: &Value, name: &str) -> String {
    of.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into())
}

fn is_held(of: &Value) -> bool {
    of.get("held").and_then(Value::as_bool).unwrap_or_default()
}

fn made(answer: &Value) -> String {
    let held = if is_held(answer) { ", once somebody releases it (`belfry drafts list`)" } else { "" };
    let owner = match answer.get("owner_organisation").and_then(output::scalar) {
        Some(name) => name,
        None => text(answer, "owner"),
    };
    format!("Proposed to {owner}, and to nobody else{held}: {}\n", text(answer, "proposal"))
}

/// What is done with proposals.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    List(List),
    Accept(Accept),
    Decline(Decline),
}

/// List proposals made to this member, and by it.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this group
    #[arg(long, value_name = "SLUG")]
    group: Option<String>,
    /// Answered and withdrawn ones, too
    #[arg(long)]
    all: bool,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Publish the object as proposed, and tell whoever proposed it.
///
/// Shows the proposal first; what is accepted is the version shown, or nothing.
#[derive(Debug, Args)]
pub(super) struct Accept {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    answer: Answer,
}

/// Tell whoever proposed it that it is not taken over.
#[derive(Debug, Args)]
pub(super) struct Decline {
    #[command(flatten)]
    answer: Answer,
}

#[derive(Debug, Args)]
struct Answer {
    /// Id of the proposal, as `belfry proposals list` shows it
    #[arg(value_parser = args::stix_id)]
    proposal: String,
    /// A word for whoever proposed it
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Why it goes out although a guard objects. Say what it is, never the value
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    data: DataFolder,
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(global),
            Self::Accept(accept) => accept.run(global),
            Self::Decline(decline) => decline.answer.run(global, "decline", None),
        }
    }
}

impl List {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let mut asked: Vec<(&str, &str)> = Vec::new();
        if let Some(group) = &self.group {
            asked.push(("group", group));
        }
        if !self.all {
            asked.push(("state", "open"));
        }
        let answer = global.client(&self.data)?.list("/api/v1/proposals", &asked, "proposals")?;
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&listed(&answer))?)
    }
}

impl Accept {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.answer.data)?;
        let open = client.list("/api/v1/proposals", &[("state", "open")], "proposals")?;
        let Some((shown, version)) = seen(&open, &self.answer.proposal) else {
            refuse!(
                "no open proposal to this member is named {}; `belfry proposals list --all` shows all",
                output::visible(&self.answer.proposal)
            );
        };
        output::print(&shown)?;
        if !self.yes {
            output::confirm("Publish the object so changed?", "--yes", "nothing was published")?;
        }
        self.answer.run(global, "accept", Some(version))
    }
}

/// A proposal to this member as a list shows it, and its version.
fn seen(open: &Value, proposal: &str) -> Option<(String, String)> {
    let mut all = open.get("proposals").and_then(Value::as_array)?.iter();
    let is_meant = |one: &&Value| {
        one.get("proposal").and_then(Value::as_str) == Some(proposal)
            && one.get("direction").and_then(Value::as_str) == Some("to-us")
    };
    let one = all.find(is_meant)?;
    let version = one.get("modified").and_then(Value::as_str)?.to_owned();
    Some((listed(&json!({ "proposals": [one] })), version))
}

impl Answer {
    fn run(self, global: &Global, word: &str, version: Option<String>) -> anyhow::Result<()> {
        let said = json!({ "version": version, "comment": self.comment, "reason": self.reason });
        let path = format!("/api/v1/proposals/{}/{word}", segment(&self.proposal));
        let told = global.client(&self.data)?.post(&path, content(&said))?;
        let answer = told.get("answer").context("the daemon's answer lacks `answer`")?;
        let held = if is_held(answer) { "; it waits for a release (`belfry drafts list`)" } else { "" };
        let text = match told.get("version").filter(|version| !version.is_null()) {
            Some(version) => {
                format!("Accepted; the next version is publication {}{held}\n", text(version, "publication"))
            }
            None => format!("Declined{held}\n"),
        };
        Ok(output::print(&text)?)
    }
}

/// A proposal a paragraph: who, of what, what of it.
fn listed(answer: &Value) -> String {
    let mut out = String::new();
    let all = answer.get("proposals").and_then(Value::as_array).into_iter().flatten();
    for one in all {
        let who = match one.get("direction").and_then(Value::as_str) {
            Some("by-us") => format!("to {}", text(one, "owner_organisation")),
            _ => format!("from {}", text(one, "organisation")),
        };
        let outdated = match one.get("outdated").and_then(Value::as_bool) {
            Some(true) => ", of an older version",
            _ => "",
        };
        let _ = writeln!(
            out,
            "{}  {}{outdated}  {who}, {}, {}\n  {}",
            text(one, "proposal"),
            text(one, "state"),
            text(one, "group"),
            text(one, "created"),
            text(one, "object"),
        );
        let current = |name: &str| match one.get("current").and_then(|said| said.get(name)) {
            Some(value) => value.to_string(),
            None => "nothing".to_owned(),
        };
        for (name, value) in one.get("set").and_then(Value::as_object).into_iter().flatten() {
            let line = format!("{name}: {} -> {value}", current(name));
            let _ = writeln!(out, "    {}", output::visible(&line));
        }
        for name in
            one.get("remove").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            let line = format!("{name}: {} -> nothing", current(name));
            let _ = writeln!(out, "    {}", output::visible(&line));
        }
        for said in [one.get("comment"), one.get("answer").and_then(|answer| answer.get("comment"))] {
            if let Some(said) = said.and_then(Value::as_str).filter(|said| !said.is_empty()) {
                let _ = writeln!(out, "    \"{}\"", output::visible(said));
            }
        }
    }
    if out.is_empty() {
        out.push_str("No proposals.\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_where_it_reads_as_such_and_else_a_text() {
        let read = |text: &str| property(text).unwrap().1;
        assert_eq!(read("confidence=20"), json!(20));
        assert_eq!(read("revoked=true"), json!(true));
        assert_eq!(read("name=bad=worse"), json!("bad=worse"));
        assert_eq!(read("valid_until=2026-12-01T00:00:00Z"), json!("2026-12-01T00:00:00Z"));
        assert!(property("confidence").is_err());
    }

    #[test]
    fn a_list_shows_what_would_change_and_steers_no_terminal() {
        let answer = json!({ "proposals": [{
            "proposal": "note--1", "state": "open", "outdated": true, "direction": "to-us", "organisation": "CERT",
            "group": "cidr", "created": "2026-11-23", "object": "indicator--1", "comment": "why\u{1b}[2J",
            "set": { "confidence": 20 }, "remove": ["name"], "current": { "confidence": 90 }, "answer": null,
        }]});
        let told = listed(&answer);
        assert!(told.contains("open, of an older version  from CERT, cidr"), "{told}");
        assert!(
            told.contains("confidence: 90 -> 20\n") && told.contains("name: nothing -> nothing"),
            "{told}"
        );
        assert!(!told.contains('\u{1b}'), "{told}");
        assert_eq!(listed(&json!({ "proposals": [] })), "No proposals.\n");
    }

    #[test]
    fn what_is_accepted_is_shown_and_named_by_its_version() {
        let one = |id: &str, direction: &str, modified: &str| json!({ "proposal": id, "direction": direction, "modified": modified, "set": { "confidence": 20 } });
        let open = json!({ "proposals": [
            one("note--1", "by-us", "1"), one("note--2", "to-us", "2"), one("note--1", "to-us", "3"),
        ]});
        let (shown, version) = seen(&open, "note--1").unwrap();
        assert!(shown.contains("confidence: nothing -> 20") && !shown.contains("note--2"), "{shown}");
        assert_eq!((version.as_str(), seen(&open, "note--3")), ("3", None));
    }
}
