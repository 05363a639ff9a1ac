//! `belfry publish`: handing a bundle in.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use belfry_proto::{
    limits::MAX_BUNDLE,
    schema::{Purpose, Tlp},
    time::Timestamp,
    trust::names::Named,
};
use clap::Args;
use serde_json::Value;

use super::{
    args::zoned,
    client::{Content, path_and_query},
    exit::{Usage, refuse},
    global::{DataFolder, Global},
    output, preview,
    publication::{followed, shared_with, show, wait, warn},
};
use crate::config::parse_tlp;

/// Share a STIX 2.1 bundle with a group.
///
/// The bundle is durable once this returns; it is sent as soon as the node is connected and up to date. With --wait
/// this returns once a member that may read it has it, by that member's own word.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry publish bundle.json --group cidr --tlp amber --wait
  belfry publish bundle.json --group cidr --tlp amber --dry-run
  belfry publish bundle.json --group cidr --tlp red --to 'Example Bank'
  belfry publish bundle.json --group cidr \\
      --on-behalf 'Example Bank' --asked 'message of 2026-11-25, case 4711'
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
    /// Not outside the recipients before this time, with its zone
    #[arg(long, value_name = "TIME", value_parser = zoned)]
    embargo_until: Option<Timestamp>,
    /// Term of handling (FIRST IEP 2.0), as in attribution=must-not; repeat for several
    #[arg(long, value_name = "NAME=VALUE")]
    handling: Vec<String>,
    /// Supervisory authorities cannot open it
    #[arg(long)]
    without_supervisors: bool,
    /// Why it goes out although a guard objects: kept here with the draft, and told to readers where the charter asks for
    /// reasons. Say what it is, never the value
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// As a steward: publish it for this member (name or id), which is named to nobody; say with --asked how it asked
    #[arg(long, value_name = "MEMBER", requires = "asked")]
    on_behalf: Option<String>,
    /// When the member asked, and a reference of that: kept in this node's audit log and nowhere else
    #[arg(long, value_name = "TEXT", requires = "on_behalf")]
    asked: Option<String>,
    /// Only say what would leave, who could open it, and what the guards object to
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Publishing again under the same key is one publication
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait until another member says that it holds it, at most 60 seconds or as many as given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "60")]
    wait: Option<u64>,
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
        warn(&answer);
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
        let embargo = self.embargo_until.map(|until| until.to_string());
        query.extend(embargo.iter().map(|until| ("embargo_until", until.as_str())));
        query.extend(self.handling.iter().map(|term| ("handling", term.as_str())));
        if self.without_supervisors {
            query.push(("without_supervisors", "true"));
        }
        query.extend(self.on_behalf.iter().map(|member| ("on_behalf", member.as_str())));
        query.extend(self.asked.iter().map(|asked| ("asked", asked.as_str())));
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

/// The answer to a submission.
fn accepted(answer: &Value, again: &str) -> String {
    let at = |name: &str| answer.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let id = at("publication");
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    let is_doubtful = answer.get("warnings").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let what = match answer.get("duplicate").and_then(Value::as_bool) {
        Some(true) => "Nothing new: this idempotency key came before.",
        _ if is_doubtful => "Safe on this node's disk, and waits to be sent: see the warning above.",
        _ => "Safe on this node's disk, and sent as soon as the node is connected and up to date.",
    };
    let notes = answer.get("notes").and_then(Value::as_array).into_iter().flatten();
    let notes: String =
        notes.filter_map(Value::as_str).map(|note| format!("Note: {}\n", output::visible(note))).collect();
    format!(
        "{notes}{what}\n{}: {} in {}, publication {id}.\nWhat becomes of it: belfry publication {id}{again}\n",
        shared_with(answer),
        output::counted(number("objects"), "object", "objects"),
        output::counted(number("parts"), "message", "messages"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_accepted_is_told_in_words() {
        let answer = json!({
            "publication": "ab", "objects": 3, "parts": 1, "group": "cidr", "tlp": "amber+strict", "audience": "group",
            "recipients": [], "warnings": [],
        });
        let said = accepted(&answer, " --dir x");
        assert!(said.contains("TLP:AMBER+STRICT to cidr: 3 objects in 1 message, publication ab."), "{said}");
        assert!(said.contains("and sent as soon as"), "{said}");
        assert!(said.ends_with("belfry publication ab --dir x\n"), "{said}");
    }

    #[test]
    fn what_stands_against_sending_is_not_called_soon() {
        let said = accepted(&json!({"warnings": ["1 node refuses this node"]}), "");
        assert!(said.contains("waits to be sent: see the warning") && !said.contains("as soon as"), "{said}");
    }
}
