//! `belfry publish` and `belfry publication`: handing a bundle in, and following it.

use std::{
    io::Read as _,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use belfry_proto::{
    limits::MAX_BUNDLE,
    schema::{Purpose, Tlp},
    trust::names::Named,
};
use clap::Args;
use serde_json::Value;

use super::{
    DataFolder, Global,
    client::{Client, Content, path_and_query, segment},
    exit::refuse,
    output,
};
use crate::config::parse_tlp;

/// How often `--wait` looks again.
const POLL: Duration = Duration::from_millis(250);

/// Share a STIX 2.1 bundle with a group.
///
/// The bundle is durable once this returns; it is sent as soon as the node is connected and up to date.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry publish bundle.json --group cidr --tlp amber
  belfry publish bundle.json --group cidr --tlp red --to 'Example Bank' --wait
  generate-iocs | belfry publish - --group cidr --tlp green --purpose detect")]
pub(super) struct Publish {
    /// STIX 2.1 bundle; - for stdin
    file: PathBuf,
    /// Slug of the group
    #[arg(long, value_name = "SLUG")]
    group: String,
    /// Marking: clear, green, amber, amber+strict or red [default: publish.tlp of the configuration]
    #[arg(long, value_parser = parse_tlp)]
    tlp: Option<Tlp>,
    /// Only this member (id or name) can open it; repeat for several
    #[arg(long, value_name = "MEMBER")]
    to: Vec<String>,
    /// What the sharing aims at [default: publish.purpose, else the group's]
    #[arg(long, value_parser = <Purpose as Named>::parse)]
    purpose: Option<Purpose>,
    /// Information class of NIS2 29(1), as in cyber-threat or near-miss; several with commas
    #[arg(long, value_delimiter = ',')]
    class: Vec<String>,
    /// Supervisory authorities cannot open it
    #[arg(long)]
    without_supervisors: bool,
    /// Publishing again under the same key is one publication
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait, at most so many seconds, until other members can read it
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    wait: Option<u64>,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Show what became of a publication.
#[derive(Debug, Args)]
pub(super) struct Publication {
    /// Publication id, as `belfry publish` printed it
    id: String,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

impl Publish {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(&global.config(&self.data)?)?;
        let content = Content {
            kind: "application/stix+json;version=2.1",
            bytes: self.read()?,
            idempotency_key: self.idempotency_key.clone(),
        };
        let mut answer = client.post(&self.path(), content)?;
        if let Some(seconds) = self.wait {
            let id =
                answer.get("publication").and_then(Value::as_str).context("the answer has no publication")?;
            answer = wait(&client, id, Duration::from_secs(seconds))?;
        }
        show(&answer, self.json)
    }

    fn path(&self) -> String {
        let class = self.class.join(",");
        let mut query = vec![("group", self.group.as_str())];
        if let Some(tlp) = self.tlp {
            query.push(("tlp", tlp.name()));
        }
        if let Some(purpose) = self.purpose {
            query.push(("purpose", purpose.name()));
        }
        if !class.is_empty() {
            query.push(("class", &class));
        }
        query.extend(self.to.iter().map(|member| ("to", member.as_str())));
        if self.without_supervisors {
            query.push(("without_supervisors", "true"));
        }
        path_and_query("/api/v1/publications", &query)
    }

    fn read(&self) -> anyhow::Result<Vec<u8>> {
        let limit = u64::try_from(MAX_BUNDLE).unwrap_or(u64::MAX);
        let name = self.file.display().to_string();
        let mut bytes = Vec::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes).context("stdin")?;
        } else {
            let file = std::fs::File::open(&self.file).with_context(|| name.clone())?;
            file.take(limit + 1).read_to_end(&mut bytes).with_context(|| name.clone())?;
        }
        if bytes.len() > MAX_BUNDLE {
            refuse!(
                "{name} is larger than {MAX_BUNDLE} bytes, the most one publication may have: split the bundle"
            );
        }
        Ok(bytes)
    }
}

impl Publication {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(&global.config(&self.data)?)?;
        show(&client.get(&format!("/api/v1/publications/{}", segment(&self.id)))?, self.json)
    }
}

fn show(answer: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return output::print_json(answer);
    }
    Ok(output::print(&output::readable(answer))?)
}

/// Follows a publication until others can read it, it fails, or the time is over.
fn wait(client: &Client, id: &str, limit: Duration) -> anyhow::Result<Value> {
    let end = Instant::now() + limit;
    loop {
        let status = client.get(&format!("/api/v1/publications/{}", segment(id)))?;
        match progress(&status) {
            Progress::Sent => return Ok(status),
            Progress::Failed(reason) => {
                anyhow::bail!("publication {id} failed: {}", output::visible(&reason))
            }
            Progress::Pending if Instant::now() >= end => anyhow::bail!(
                "publication {id} is safe, but readable only here after {} s; `belfry publication {id}` follows it",
                limit.as_secs()
            ),
            Progress::Pending => thread::sleep(POLL),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Sent,
    Pending,
    Failed(String),
}

fn progress(status: &Value) -> Progress {
    if let Some(reason) = status.get("error").and_then(Value::as_str) {
        return Progress::Failed(reason.into());
    }
    let only_here = status.get("readable_only_here").and_then(Value::as_bool).unwrap_or(true);
    let messages = status.get("messages").and_then(Value::as_array).is_some_and(|m| !m.is_empty());
    if messages && !only_here { Progress::Sent } else { Progress::Pending }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sent_means_that_others_can_read_it() {
        assert_eq!(progress(&json!({"state": "draft", "messages": []})), Progress::Pending);
        assert_eq!(progress(&json!({"messages": ["a"], "readable_only_here": true})), Progress::Pending);
        assert_eq!(progress(&json!({"messages": ["a"], "readable_only_here": false})), Progress::Sent);
        assert_eq!(progress(&json!({"error": "no key"})), Progress::Failed("no key".into()));
    }
}
