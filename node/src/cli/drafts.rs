//! `belfry drafts`: what machines made, and people release.

use anyhow::Context as _;
use belfry_proto::id::PublicationId;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    client::{Content, path_and_query},
    global::{DataFolder, Global},
    listing::listed,
    output,
    preview::objections,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    List(List),
    Show(Show),
    Release(Release),
    Discard(Discard),
}

/// List drafts that wait for a person.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Show what a draft says, and what the guards object to.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Id of the draft, as `belfry drafts list` shows it
    draft: PublicationId,
    /// Print the daemon's answer as JSON, the objects with it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Let drafts go out; one that cannot stays, and the others go all the same.
#[derive(Debug, Args)]
pub(super) struct Release {
    /// Ids of drafts
    #[arg(required = true)]
    drafts: Vec<PublicationId>,
    /// Why it goes out although a guard objects: kept here with the draft, and told to readers where the charter asks for
    /// reasons, but for what goes out on behalf of a member. Say what it is, never the value
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    data: DataFolder,
}

/// Take a draft away; nothing of it leaves.
#[derive(Debug, Args)]
pub(super) struct Discard {
    /// Id of the draft
    draft: PublicationId,
    #[command(flatten)]
    data: DataFolder,
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(global),
            Self::Show(show) => show.run(global),
            Self::Release(release) => release.run(global),
            Self::Discard(discard) => discard.run(global),
        }
    }
}

impl List {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let mut answer = global.client(&self.data)?.list("/api/v1/drafts", &[], "drafts")?;
        if self.json {
            return output::print_json(&answer);
        }
        for draft in answer.get_mut("drafts").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(counts) = draft.get_mut("objects") {
                *counts = counted(counts).into();
            }
        }
        Ok(output::print(&listed(
            &answer,
            "drafts",
            &["draft", "group", "submitter", "accepted", "objects", "withdraws"],
        ))?)
    }
}

/// `2 indicator, 1 report`
pub(super) fn counted(counts: &Value) -> String {
    let counts = counts.as_object().into_iter().flatten();
    counts.map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

impl Show {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let answer = global.client(&self.data)?.get(&format!("/api/v1/drafts/{}", self.draft))?;
        if self.json {
            return output::print_json(&answer);
        }
        let at = |name: &str| answer.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
        let mut text = output::facts(&[
            ("draft", at("draft")),
            ("group", at("group")),
            ("accepted", format!("{}, from {}", at("accepted"), at("submitter"))),
            ("tlp", at("tlp")),
            ("objects", answer.get("objects").map(counted).unwrap_or_default()),
            ("messages", at("parts")),
            ("takes back", format!("{} messages", at("withdraws"))),
            ("reason", at("reason")),
        ]);
        let named = answer.get("content").and_then(Value::as_array).into_iter().flatten();
        let named = named.filter_map(|object| Some((object.get("type")?.as_str()?, label(object)?)));
        for (kind, name) in named.filter(|(kind, _)| !matches!(*kind, "relationship" | "marking-definition"))
        {
            text.push_str(&format!("  {kind:<20}  {}\n", output::visible(name)));
        }
        text.push_str(&objections(&answer));
        Ok(output::print(&text)?)
    }
}

fn label(object: &Value) -> Option<&str> {
    ["name", "value", "key", "id"].iter().find_map(|name| object.get(*name)?.as_str())
}

impl Release {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let reason: Vec<(&str, &str)> =
            self.reason.iter().map(|reason| ("reason", reason.as_str())).collect();
        let mut failed = Vec::new();
        for draft in &self.drafts {
            let path = format!("/api/v1/drafts/{draft}/release");
            let content = Content { kind: "application/json", bytes: Vec::new(), idempotency_key: None };
            let released = client.post(&path_and_query(&path, &reason), content);
            if let Err(error) = released.with_context(|| draft.to_string()) {
                failed.push(error);
                continue;
            }
            let again = client.again();
            output::print(&format!("Released. What becomes of it: belfry publication {draft}{again}\n"))?;
        }
        // One that stays is no reason to keep the others. The last is what the command ends with.
        let Some(last) = failed.pop() else { return Ok(()) };
        for error in failed {
            output::warn(&format!("{error:#}"));
        }
        Err(last)
    }
}

impl Discard {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        global.client(&self.data)?.delete(&format!("/api/v1/drafts/{}", self.draft))?;
        Ok(output::print(&format!("Discarded {}.\n", self.draft))?)
    }
}
