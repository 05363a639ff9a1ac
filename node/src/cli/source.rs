//! `belfry source`: what is taken in from elsewhere, and how that goes.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    client::{Content, segment},
    global::{DataFolder, Global},
    listing::listed,
    output,
};

/// What is shown of each.
pub(super) const COLUMNS: [&str; 11] = [
    "name",
    "kind",
    "group",
    "state",
    "last_run",
    "next_run",
    "taken",
    "known",
    "refused",
    "taken_back",
    "failure",
];

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    List(List),
    Run(Run),
}

/// List sources: when each ran and runs next, what it brought, what was refused and why.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Have a source run now, instead of when it is due.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Name of the source
    source: String,
    #[command(flatten)]
    data: DataFolder,
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(global),
            Self::Run(run) => run.run(global),
        }
    }
}

impl List {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let answer = global.client(&self.data)?.get("/api/v1/sources")?;
        if self.json {
            return output::print_json(&answer);
        }
        let mut text = listed(&answer, "sources", &COLUMNS);
        for source in answer.get("sources").and_then(Value::as_array).into_iter().flatten() {
            let name = source.get("name").and_then(output::scalar).unwrap_or_default();
            for (list, heading) in
                [("refusals", "Refused lately of"), ("notes", "To know of what was taken of")]
            {
                if source.get(list).and_then(Value::as_array).is_some_and(|told| !told.is_empty()) {
                    let rows = listed(source, list, &["at", "item", "why"]);
                    text.push_str(&format!("\n{heading} {name}:\n{rows}"));
                }
            }
        }
        Ok(output::print(&text)?)
    }
}

impl Run {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let path = format!("/api/v1/sources/{}/run", segment(&self.source));
        client.post(&path, Content { kind: "application/json", bytes: Vec::new(), idempotency_key: None })?;
        Ok(output::print(&format!("It runs now. How it went: belfry source list{}\n", client.again()))?)
    }
}
