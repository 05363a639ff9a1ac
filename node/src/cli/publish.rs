//! `belfry publish` and `belfry publication`: handing a bundle in, and following it.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
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
    client::{Client, Content, path_and_query, segment},
    exit::{Usage, refuse},
    global::{DataFolder, Global},
    output, preview,
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
  belfry publish bundle.json --group cidr --tlp amber --wait
  belfry publish bundle.json --group cidr --tlp amber --dry-run
  belfry publish bundle.json --group cidr --tlp red --to 'Example Bank'
  generate-iocs | belfry publish - --group cidr --tlp green --purpose detect")]
pub(super) struct Publish {
    /// STIX 2.1 bundle; - for stdin
    file: PathBuf,
    /// Slug of the group
    #[arg(long, value_name = "SLUG")]
    group: String,
    /// Marking: clear, green, amber, amber+strict or red [default: the most restrictive of the objects' markings,
    /// else publish.tlp of the configuration]
    #[arg(long, value_parser = parse_tlp)]
    tlp: Option<Tlp>,
    /// Only this member (name or id, as `belfry members` has them) can open it; repeat for several
    #[arg(long, value_name = "MEMBER")]
    to: Vec<String>,
    /// What the sharing aims at, as in detect or limit-spread [default: publish.purpose, else the group's]
    #[arg(long, value_parser = <Purpose as Named>::parse)]
    purpose: Option<Purpose>,
    /// Information class of NIS2 29(1), as in cyber-threat or near-miss; several with commas
    #[arg(long, value_delimiter = ',')]
    class: Vec<String>,
    /// Supervisory authorities cannot open it
    #[arg(long)]
    without_supervisors: bool,
    /// Why it goes out although a guard objects: kept here with the draft. Say what it is, never the value
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say what would leave, who could open it, and what the guards object to
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Publishing again under the same key is one publication
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait until it is sealed and on its way, at most 60 seconds or as many as given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "60")]
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
        if self.tlp == Some(Tlp::Red) && self.to.is_empty() {
            return Err(Usage("TLP:RED goes to named members only: name them with --to MEMBER".into()).into());
        }
        let client = global.client(&self.data)?;
        let content = Content {
            kind: "application/stix+json;version=2.1",
            bytes: read_file(&self.file)?,
            idempotency_key: self.idempotency_key.clone(),
        };
        if self.dry_run {
            return preview::show(&client.post(&self.path("/api/v1/previews"), content)?, self.json);
        }
        let answer = client.post(&self.path("/api/v1/publications"), content)?;
        let Some(seconds) = self.wait else {
            return show(&answer, self.json, || accepted(&answer, client.again()));
        };
        let id =
            answer.get("publication").and_then(Value::as_str).context("the answer has no publication")?;
        let status = wait(&client, id, Duration::from_secs(seconds))?;
        show(&status, self.json, || followed(&status))
    }

    fn path(&self, path: &str) -> String {
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
        if let Some(reason) = &self.reason {
            query.push(("reason", reason));
        }
        path_and_query(path, &query)
    }
}

/// A file, or stdin for `-`, as long as one publication may be.
pub(super) fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_BUNDLE).unwrap_or(u64::MAX);
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes).context("stdin")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| name.clone())?;
        file.take(limit + 1).read_to_end(&mut bytes).with_context(|| name.clone())?;
    }
    if bytes.len() > MAX_BUNDLE {
        refuse!("{name} is larger than {MAX_BUNDLE} bytes, the most one publication may have: split it");
    }
    Ok(bytes)
}

impl Publication {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let status = client.get(&format!("/api/v1/publications/{}", segment(&self.id)))?;
        show(&status, self.json, || followed(&status))
    }
}

fn show(answer: &Value, json: bool, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    if json {
        return output::print_json(answer);
    }
    Ok(output::print(&text())?)
}

/// The answer to a submission.
fn accepted(answer: &Value, again: &str) -> String {
    let at = |name: &str| answer.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let id = at("publication");
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    let what = match answer.get("duplicate").and_then(Value::as_bool) {
        Some(true) => "Nothing new: this idempotency key came before.",
        _ => "Safe on this node's disk, and sent as soon as the node is connected and up to date.",
    };
    let notes = answer.get("notes").and_then(Value::as_array).into_iter().flatten();
    let notes: String =
        notes.filter_map(Value::as_str).map(|note| format!("Note: {}\n", output::visible(note))).collect();
    format!(
        "{notes}{what}\nIt is {} in {}, publication {id}.\nWhat becomes of it: belfry publication {id}{again}\n",
        output::counted(number("objects"), "object", "objects"),
        output::counted(number("parts"), "message", "messages"),
    )
}

/// A publication in words.
fn followed(status: &Value) -> String {
    let at = |name: &str| status.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let reason =
        status.get("error").and_then(Value::as_str).map(|why| format!(": {why}")).unwrap_or_default();
    let state = match status.get("state").and_then(Value::as_str) {
        Some("held") => "held until a person releases it: belfry drafts".to_owned(),
        Some("drafted") => format!("waiting to be sent{reason}"),
        Some("flushed") if status.get("readable_only_here") == Some(&Value::Bool(true)) => {
            "sent, but readable only here: no other member has its key yet".to_owned()
        }
        Some("flushed") => "sent".to_owned(),
        Some("refused") => format!("refused, and never sent{reason}"),
        _ => at("state"),
    };
    let mut facts = vec![
        ("publication", at("publication")),
        ("state", state),
        ("group", at("group")),
        ("accepted", format!("{}, from {}", at("accepted"), at("submitter"))),
        ("objects", at("objects")),
    ];
    if let Some(reason) = status.get("reason").and_then(Value::as_str) {
        facts.push(("reason", reason.to_owned()));
    }
    let messages = status.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let name = |i: usize| if i == 0 { "messages" } else { "" };
    facts
        .extend(messages.iter().enumerate().map(|(i, id)| (name(i), output::scalar(id).unwrap_or_default())));
    output::facts(&facts)
}

/// Follows a publication until it is on its way, it fails, or the time is over.
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
                "publication {id} is safe, but not sent after {} s; `belfry publication {id}{}` follows it",
                limit.as_secs(),
                client.again()
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
    // A draft that waits has a reason, too, and goes out by itself.
    if status.get("state").and_then(Value::as_str) == Some("refused") {
        let reason = status.get("error").and_then(Value::as_str);
        return Progress::Failed(reason.unwrap_or("refused").into());
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
        let refused = json!({"state": "refused", "messages": [], "error": "no role"});
        assert_eq!(progress(&refused), Progress::Failed("no role".into()));
        let waits = json!({"state": "drafted", "messages": [], "error": "the clock is off"});
        assert_eq!(progress(&waits), Progress::Pending);
    }

    #[test]
    fn a_publication_is_told_in_words() {
        let said = accepted(&json!({"publication": "ab", "objects": 3, "parts": 1}), " --dir x");
        assert!(said.contains("3 objects in 1 message, publication ab."), "{said}");
        assert!(said.ends_with("belfry publication ab --dir x\n"), "{said}");
        let said =
            followed(&json!({"state": "flushed", "messages": ["c", "d"], "readable_only_here": false}));
        assert!(
            said.contains("state        sent\n") && said.contains("messages     c\n             d\n"),
            "{said}"
        );
        let said = followed(&json!({"state": "drafted", "error": "the clock is off"}));
        assert!(said.contains("waiting to be sent: the clock is off"), "{said}");
    }
}
