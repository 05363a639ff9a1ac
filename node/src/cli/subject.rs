//! `belfry subject search | erase`: where this node names a person, and what can be done about it.
//!
//! What is looked for goes through the Unix socket and nowhere else. Erasure is withdrawal: it goes to every member, and
//! whoever restores an older copy of the database is told of it again by the others.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    args,
    client::{Client, Content, segment},
    global::{DataFolder, Global},
    output,
};

/// Bytes of values taken from stdin.
const MAX_INPUT: u64 = 64 << 10;

/// Find what names a person.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Search(Search),
    Erase(Erase),
}

/// Say where this node names a person: in objects it opened, in drafts, in reasons it keeps, in members' contacts.
///
/// The values never leave this machine, and nothing keeps them; the audit log tells that there was a search. Give every
/// name, mailbox and number the person is known by. Case, defanging, order of words and signs between digits do not
/// matter. Messages that do not open here cannot be searched. Ends with 0 whether or not there is anything.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry subject search 'Jan Peeters' jan@bank.example '+32 475 12 34 56'
  belfry subject search - < values.txt        # not in the shell's history")]
pub(super) struct Search {
    #[command(flatten)]
    known: KnownBy,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Erase what this node may erase of what names a person, at every member.
///
/// Objects of this member, also those it only retracted before, and as a steward others' messages, are withdrawn with mode
/// erase on the ground of personal data; drafts are discarded. What stays is told, with whom to ask. Other objects of this member's messages go out
/// again. A database restored from an older backup learns of it again from the others.
#[derive(Debug, Args)]
pub(super) struct Erase {
    #[command(flatten)]
    known: KnownBy,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    data: DataFolder,
}

#[derive(Debug, Args)]
struct KnownBy {
    /// What the person is known by; - for one value a line from stdin
    #[arg(required = true, value_name = "VALUE")]
    values: Vec<String>,
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Search(search) => search.run(global),
            Self::Erase(erase) => erase.run(global),
        }
    }
}

impl Search {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let found = Found::by(&client, &args::values(&self.known.values, MAX_INPUT)?)?;
        if self.json {
            return output::print_json(&json!({ "hits": found.hits, "examined": found.examined }));
        }
        Ok(output::print(&found.told(client.again()))?)
    }
}

impl Erase {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let found = Found::by(&client, &args::values(&self.known.values, MAX_INPUT)?)?;
        output::print(&found.told(client.again()))?;
        let plan = Plan::of(&found.hits);
        if plan.is_empty() {
            return Ok(output::print("Nothing of it is this node's to erase.\n")?);
        }
        if !self.yes {
            output::confirm(
                &format!("{} This cannot be undone. Go on?", plan.told()),
                "--yes",
                "nothing was erased",
            )?;
        }
        plan.carry_out(&client)
    }
}

/// All steps of a search together.
struct Found {
    hits: Vec<Value>,
    examined: u64,
}

impl Found {
    fn by(client: &Client, values: &[String]) -> anyhow::Result<Self> {
        let mut found = Self { hits: Vec::new(), examined: 0 };
        let mut next = Value::Null;
        loop {
            let wanted = json!({ "values": values, "next": next });
            let mut answer = post(client, "/api/v1/subject-searches", &wanted)?;
            found.examined += answer.get("examined").and_then(Value::as_u64).unwrap_or(0);
            if let Some(Value::Array(hits)) = answer.get_mut("hits").map(Value::take) {
                found.hits.extend(hits);
            }
            next = answer.get_mut("next").map(Value::take).unwrap_or_default();
            if next.is_null() {
                return Ok(found);
            }
            output::progress(&format!("{} rows looked at, {} found", found.examined, found.hits.len()));
        }
    }

    fn told(&self, again: &str) -> String {
        let rows: Vec<[String; 7]> = self.hits.iter().map(|hit| row(hit, again)).collect();
        let looked =
            output::counted(self.examined, "object, draft or contact", "objects, drafts and contacts");
        if rows.is_empty() {
            return format!("Nothing names that person, in {looked}.\n");
        }
        let headings = ["what", "value", "where", "from", "group", "date", "what to do"];
        format!("{}\n{} found, in {looked}.\n", output::table(headings, &rows), rows.len())
    }
}

fn post(client: &Client, path: &str, body: &Value) -> anyhow::Result<Value> {
    let bytes = body.to_string().into_bytes();
    client.post(path, Content { kind: "application/json", bytes, idempotency_key: None })
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn joined(of: &Value, name: &str) -> String {
    let items = of.get(name).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(output::scalar).collect::<Vec<_>>().join(", ")
}

fn row(hit: &Value, again: &str) -> [String; 7] {
    let what = match hit.get("object").and_then(Value::as_str) {
        Some(object) => object.to_owned(),
        None if text(hit, "kind") == "object" => format!("message {}", text(hit, "message")),
        None if text(hit, "kind") == "contact" => "contact".to_owned(),
        None => format!("{} of {}", text(hit, "kind"), text(hit, "publication")),
    };
    let date = text(hit, "date").split('.').next().unwrap_or_default().to_owned();
    [
        what,
        joined(hit, "values"),
        joined(hit, "paths"),
        text(hit, "organisation").to_owned(),
        text(hit, "group").to_owned(),
        date,
        remedy(hit, again),
    ]
}

/// What an operator does about it.
fn remedy(hit: &Value, again: &str) -> String {
    let mut said = match text(hit, "remedy") {
        "withdraw" => format!("belfry subject erase{again}"),
        "withdraw-message" => format!("belfry subject erase{again} (it is retracted, and kept everywhere)"),
        "set-contact" => format!("belfry contact set{again}, or remove"),
        "ask" if text(hit, "kind") == "contact" => {
            format!("ask {} to name another mailbox (belfry contact set)", text(hit, "organisation"))
        }
        "withdraw-as-steward" => format!("belfry subject erase{again} (as a steward)"),
        "ask" => {
            let stewards = joined(hit, "stewards");
            let or = if stewards.is_empty() { String::new() } else { format!(", or a steward ({stewards})") };
            format!("ask {}{or} to erase message {}", text(hit, "organisation"), text(hit, "message"))
        }
        "discard" => format!("belfry drafts discard {}{again}", text(hit, "publication")),
        "wait" => "erase it when it is sent".to_owned(),
        _ if text(hit, "kind") == "reason" => "it stays with the record of its publication".to_owned(),
        _ if text(hit, "kind") == "draft" => "it was refused and never goes out".to_owned(),
        _ => "it is erased".to_owned(),
    };
    let others = joined(hit, "reporters");
    if !others.is_empty() {
        said = format!("{said}; {others} said the same, ask them too");
    }
    said
}

/// What this node may erase.
#[derive(Default)]
struct Plan {
    /// Objects of this member, by group.
    own: BTreeMap<String, BTreeSet<String>>,
    /// Messages, by group: of others, and of ours what the token does not read.
    messages: BTreeMap<String, BTreeSet<String>>,
    drafts: BTreeSet<String>,
}

impl Plan {
    fn of(hits: &[Value]) -> Self {
        let mut plan = Self::default();
        for hit in hits {
            let group = text(hit, "group").to_owned();
            match (text(hit, "remedy"), hit.get("object").and_then(Value::as_str)) {
                ("withdraw", Some(object)) => {
                    plan.own.entry(group).or_default().insert(object.to_owned());
                }
                ("withdraw" | "withdraw-message" | "withdraw-as-steward", _) => {
                    plan.messages.entry(group).or_default().insert(text(hit, "message").to_owned());
                }
                ("discard", _) => {
                    plan.drafts.insert(text(hit, "publication").to_owned());
                }
                _ => {}
            }
        }
        plan
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.messages.is_empty() && self.drafts.is_empty()
    }

    fn told(&self) -> String {
        let count = |of: &BTreeMap<String, BTreeSet<String>>| -> u64 {
            of.values().map(|ids| ids.len() as u64).sum()
        };
        format!(
            "{}, {} and {} will be erased.",
            output::counted(count(&self.own), "object", "objects"),
            output::counted(count(&self.messages), "message", "messages"),
            output::counted(self.drafts.len() as u64, "draft", "drafts"),
        )
    }

    fn carry_out(&self, client: &Client) -> anyhow::Result<()> {
        let own = self.own.iter().map(|(group, objects)| (group, "objects", objects));
        let messages = self.messages.iter().map(|(group, messages)| (group, "messages", messages));
        for (group, what, ids) in own.chain(messages) {
            let wanted = json!({ "group": group, what: ids, "mode": "erase", "ground": "personal-data" });
            let answer = post(client, "/api/v1/withdrawals", &wanted)?;
            super::publication::warn(&answer);
            output::print(&format!(
                "{group}: {} {what} erased, as publication {}\n",
                ids.len(),
                text(&answer, "publication")
            ))?;
        }
        for draft in &self.drafts {
            client.delete(&format!("/api/v1/drafts/{}", segment(draft)))?;
            output::print(&format!("draft {draft} discarded\n"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits() -> Vec<Value> {
        let hit = |kind: &str, remedy: &str, object: Option<&str>| {
            json!({"kind": kind, "values": [1, 2], "paths": ["description"], "group": "cidr", "message": "m1",
                "publication": "p1", "object": object, "organisation": "Bank\u{1b}", "date": "2026-11-01T08:00:00.000Z",
                "remedy": remedy, "stewards": ["Sam"]})
        };
        vec![
            hit("object", "withdraw", Some("indicator--1")),
            hit("object", "withdraw", Some("indicator--1")),
            hit("object", "ask", Some("indicator--2")),
            hit("object", "withdraw-as-steward", Some("indicator--3")),
            hit("draft", "discard", Some("indicator--4")),
            hit("reason", "nothing", None),
            json!({"kind": "object", "values": [1], "group": "cidr", "message": "m2", "object": "indicator--5",
                "date": "2026-11-01T08:00:00.000Z", "remedy": "withdraw-message"}),
            json!({"kind": "contact", "values": [1], "paths": ["mailboxes[0].email"], "organisation": "Bank",
                "date": "2026-11-01T08:00:00.000Z", "remedy": "ask"}),
        ]
    }

    #[test]
    fn what_was_found_is_told_with_what_to_do() {
        let told = Found { hits: hits(), examined: 9 }.told(" --dir x");
        for part in [
            "ask Bank\\u{1b}, or a steward (Sam) to erase message m1",
            "belfry drafts discard p1 --dir x",
            "1, 2",
            "2026-11-01T08:00:00",
            "reason of p1",
            "belfry subject erase --dir x (it is retracted",
            "ask Bank to name another mailbox",
            "8 found, in 9 objects, drafts and contacts.",
        ] {
            assert!(told.contains(part), "{part}\n{told}");
        }
        assert!(!told.contains('\u{1b}'));
        let none = Found { hits: Vec::new(), examined: 1 }.told("");
        assert_eq!(none, "Nothing names that person, in 1 object, draft or contact.\n");
    }

    #[test]
    fn only_what_is_this_nodes_to_erase_is_planned_and_each_once() {
        let plan = Plan::of(&hits());
        assert_eq!(plan.told(), "1 object, 2 messages and 1 draft will be erased.");
        assert!(Plan::of(&hits()[2..3]).is_empty());
    }
}
