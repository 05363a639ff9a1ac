//! `belfry hook`: what is pushed to tools, and how that goes.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    client::{Content, segment},
    global::{DataFolder, Global},
    listing::listed,
    output,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    List(List),
    Tries(Tries),
    DeadLetters(DeadLetters),
    Replay(Replay),
}

/// List webhooks and log servers: how far each is, what it held back, since when it fails.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// List what a hook tried since the node's start, the newest last, and what came of it.
#[derive(Debug, Args)]
pub(super) struct Tries {
    /// Name of the hook
    hook: String,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// List events that a receiver refused for good, by their numbers in the feed.
#[derive(Debug, Args)]
pub(super) struct DeadLetters {
    /// Name of the hook
    hook: String,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Have a hook try its dead letters again; wakes one that waits or was told to stop.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Name of the hook
    hook: String,
    #[command(flatten)]
    data: DataFolder,
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(global),
            Self::Tries(tries) => tries.run(global),
            Self::DeadLetters(letters) => letters.run(global),
            Self::Replay(replay) => replay.run(global),
        }
    }
}

impl List {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let answer = global.client(&self.data)?.get("/api/v1/hooks")?;
        if self.json {
            return output::print_json(&answer);
        }
        let columns = [
            "name",
            "kind",
            "target",
            "state",
            "position",
            "sent",
            "held_back",
            "dead_letters",
            "failing_since",
            "failure",
        ];
        Ok(output::print(&listed(&answer, "hooks", &columns))?)
    }
}

impl Tries {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let path = format!("/api/v1/hooks/{}/tries", segment(&self.hook));
        let answer = global.client(&self.data)?.list(&path, &[], "tries")?;
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&listed(&answer, "tries", &["number", "at", "event", "outcome", "why"]))?)
    }
}

impl DeadLetters {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let path = format!("/api/v1/hooks/{}/dead-letters", segment(&self.hook));
        let answer = global.client(&self.data)?.list(&path, &[], "dead_letters")?;
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&listed(&answer, "dead_letters", &["number", "at", "status"]))?)
    }
}

impl Replay {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let path = format!("/api/v1/hooks/{}/replay", segment(&self.hook));
        let content = Content { kind: "application/json", bytes: Vec::new(), idempotency_key: None };
        let answer = global.client(&self.data)?.post(&path, content)?;
        let queued = answer.get("queued").and_then(Value::as_u64).unwrap_or_default();
        Ok(output::print(&format!(
            "{} to be tried again.\n",
            output::counted(queued, "event is", "events are")
        ))?)
    }
}
