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
    client::{Client, Content, path_and_query, segment},
    exit::{Usage, refuse},
    global::{DataFolder, Global},
    output,
};
use crate::config::parse_tlp;

/// How often `--wait` looks again.
const POLL: Duration = Duration::from_millis(250);
/// How often it asks again who holds what was sent: the node asks its peers for that.
const ASK: Duration = Duration::from_secs(1);

/// Share a STIX 2.1 bundle with a group.
///
/// The bundle is durable once this returns; it is sent as soon as the node is connected and up to date. With --wait
/// this returns once a member that may read it has it, by that member's own word.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry publish bundle.json --group cidr --tlp amber --wait
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
            bytes: self.read()?,
            idempotency_key: self.idempotency_key.clone(),
        };
        let answer = client.post(&self.path(), content)?;
        warn(&answer);
        let Some(seconds) = self.wait else {
            return show(&answer, self.json, || accepted(&answer, client.again()));
        };
        let id =
            answer.get("publication").and_then(Value::as_str).context("the answer has no publication")?;
        let status = wait(&client, id, Duration::from_secs(seconds))?;
        show(&status, self.json, || followed(&status))
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
        let client = global.client(&self.data)?;
        let mut status = client.get(&path_of(&self.id))?;
        warn(&status);
        // A withdrawn one is gone wherever its withdrawal has come.
        if status.get("state").and_then(Value::as_str) == Some("flushed") {
            add_holders(&client, &self.id, &mut status)?;
        }
        show(&status, self.json, || followed(&status))
    }
}

fn show(answer: &Value, json: bool, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    if json {
        return output::print_json(answer);
    }
    Ok(output::print(&text())?)
}

fn path_of(id: &str) -> String {
    format!("/api/v1/publications/{}", segment(id))
}

/// Says what the node knows that stands against its being sent.
pub(super) fn warn(answer: &Value) {
    for warning in answer.get("warnings").and_then(Value::as_array).into_iter().flatten() {
        output::warn(warning.as_str().unwrap_or_default());
    }
}

/// To whom, and under which marking, in words.
fn shared_with(answer: &Value) -> String {
    let at = |name: &str| answer.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let group = at("group");
    let to = match answer.get("audience").and_then(Value::as_str) {
        Some("recipients") => format!("{} alone, in {group}", organisations(answer, "recipients").join(", ")),
        Some("without-supervisors") => format!("{group}, supervisory authorities left out"),
        _ => group,
    };
    match answer.get("tlp").and_then(Value::as_str) {
        Some(tlp) => format!("TLP:{} to {to}", output::visible(tlp).to_uppercase()),
        // A withdrawal has no marking.
        None => to,
    }
}

/// The names of a list of members; the id of one that the roster does not know any more.
fn organisations(answer: &Value, list: &str) -> Vec<String> {
    let members = answer.get(list).and_then(Value::as_array).into_iter().flatten();
    let name = |member: &Value| {
        let name =
            member.get("organisation").filter(|name| name.is_string()).or_else(|| member.get("member"));
        name.and_then(output::scalar)
    };
    members.filter_map(name).collect()
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
    format!(
        "{what}\n{}: {} in {}, publication {id}.\nWhat becomes of it: belfry publication {id}{again}\n",
        shared_with(answer),
        output::counted(number("objects"), "object", "objects"),
        output::counted(number("parts"), "message", "messages"),
    )
}

/// A publication in words.
fn followed(status: &Value) -> String {
    let at = |name: &str| status.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let number = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or(0);
    let reason =
        status.get("error").and_then(Value::as_str).map(|why| format!(": {why}")).unwrap_or_default();
    let state = match status.get("state").and_then(Value::as_str) {
        Some("drafted") => format!("waiting to be sent{reason}"),
        Some("flushed") if status.get("readable_only_here") == Some(&Value::Bool(true)) => {
            "sent, but readable only here: no other member has its key yet".to_owned()
        }
        Some("flushed") if number("withdrawn") > 0 => {
            format!("sent, and {} of its messages withdrawn since", number("withdrawn"))
        }
        Some("flushed") => "sent".to_owned(),
        Some("withdrawn") => "sent, and withdrawn since".to_owned(),
        Some("refused") => format!("refused, and never sent{reason}"),
        _ => at("state"),
    };
    let mut facts = vec![
        ("publication", at("publication")),
        ("state", state),
        ("shared", shared_with(status)),
        ("accepted", format!("{}, from {}", at("accepted"), at("submitter"))),
        ("objects", at("objects")),
    ];
    facts.extend(status.get("holders").map(|held| ("held by", held_by(held))));
    let messages = status.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let name = |i: usize| if i == 0 { "messages" } else { "" };
    facts
        .extend(messages.iter().enumerate().map(|(i, id)| (name(i), output::scalar(id).unwrap_or_default())));
    output::facts(&facts)
}

/// Who says that they hold it.
fn held_by(held: &Value) -> String {
    let number = |name: &str| held.get(name).and_then(Value::as_u64).unwrap_or(0);
    let readers = output::counted(number("readers"), "other member", "other members");
    match organisations(held, "holders") {
        names if !names.is_empty() => format!("{}, by their own word", names.join(", ")),
        _ if number("readers") == 0 => "nobody else: no other member may read it now".to_owned(),
        _ if number("asked") == 0 => format!("nobody known: of {readers} none is connected"),
        _ => format!("nobody known: of {readers} {} asked, and did not have it yet", number("asked")),
    }
}

/// Puts who holds a publication beside its status.
fn add_holders(client: &Client, id: &str, status: &mut Value) -> anyhow::Result<bool> {
    let held = client.get(&format!("{}/holders", path_of(id)))?;
    let is_held = held.get("holders").and_then(Value::as_array).is_some_and(|holders| !holders.is_empty());
    if let Some(members) = status.as_object_mut() {
        members.insert("holders".to_owned(), held);
    }
    Ok(is_held)
}

/// Follows a publication until another member holds it, it fails, or the time is over.
fn wait(client: &Client, id: &str, limit: Duration) -> anyhow::Result<Value> {
    let end = Instant::now() + limit;
    loop {
        let mut status = client.get(&path_of(id))?;
        let so_far = match progress(&status) {
            Progress::Failed(reason) => {
                anyhow::bail!("publication {id} failed: {}", output::visible(&reason))
            }
            Progress::Pending => "not sent".to_owned(),
            Progress::OnlyHere => "sent, but no other member has its key yet".to_owned(),
            Progress::Sent if add_holders(client, id, &mut status)? => return Ok(status),
            Progress::Sent => {
                let held = status.get("holders").unwrap_or(&Value::Null);
                format!("sent, and held by {}", held_by(held))
            }
        };
        if Instant::now() >= end {
            anyhow::bail!(
                "publication {id} is safe, and after {} s {so_far}; `belfry publication {id}{}` follows it",
                limit.as_secs(),
                client.again()
            );
        }
        thread::sleep(if so_far.starts_with("sent") { ASK } else { POLL });
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Sent,
    OnlyHere,
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
    match (messages, only_here) {
        (false, _) => Progress::Pending,
        (true, true) => Progress::OnlyHere,
        (true, false) => Progress::Sent,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sent_means_that_others_can_read_it() {
        assert_eq!(progress(&json!({"state": "draft", "messages": []})), Progress::Pending);
        assert_eq!(progress(&json!({"messages": ["a"], "readable_only_here": true})), Progress::OnlyHere);
        assert_eq!(progress(&json!({"messages": ["a"], "readable_only_here": false})), Progress::Sent);
        let refused = json!({"state": "refused", "messages": [], "error": "no role"});
        assert_eq!(progress(&refused), Progress::Failed("no role".into()));
        let waits = json!({"state": "drafted", "messages": [], "error": "the clock is off"});
        assert_eq!(progress(&waits), Progress::Pending);
    }

    #[test]
    fn a_publication_is_told_in_words() {
        let answer = json!({
            "publication": "ab", "objects": 3, "parts": 1, "group": "cidr", "tlp": "amber+strict", "audience": "group",
            "recipients": [], "warnings": [],
        });
        let said = accepted(&answer, " --dir x");
        assert!(said.contains("TLP:AMBER+STRICT to cidr: 3 objects in 1 message, publication ab."), "{said}");
        assert!(said.contains("and sent as soon as"), "{said}");
        assert!(said.ends_with("belfry publication ab --dir x\n"), "{said}");
        let said =
            followed(&json!({"state": "flushed", "messages": ["c", "d"], "readable_only_here": false}));
        assert!(
            said.contains("state        sent\n") && said.contains("messages     c\n             d\n"),
            "{said}"
        );
        let said = followed(&json!({"state": "drafted", "error": "the clock is off"}));
        assert!(said.contains("waiting to be sent: the clock is off"), "{said}");
        let said = followed(&json!({"state": "withdrawn", "messages": ["c"], "withdrawn": 1}));
        assert!(said.contains("state        sent, and withdrawn since\n"), "{said}");
        let said = followed(&json!({"state": "flushed", "messages": ["c", "d"], "withdrawn": 1}));
        assert!(said.contains("1 of its messages withdrawn"), "{said}");
    }

    #[test]
    fn what_stands_against_sending_is_not_called_soon() {
        let said = accepted(&json!({"warnings": ["1 node refuses this node"]}), "");
        assert!(said.contains("waits to be sent: see the warning") && !said.contains("as soon as"), "{said}");
    }

    #[test]
    fn the_recipients_and_the_holders_are_named() {
        let bank = json!({"member": "m", "organisation": "Bank"});
        let red = json!({"group": "cidr", "tlp": "red", "audience": "recipients", "recipients": [bank, {"member": "n"}]});
        assert_eq!(shared_with(&red), "TLP:RED to Bank, n alone, in cidr");
        assert_eq!(held_by(&json!({"readers": 3, "asked": 2, "holders": [bank]})), "Bank, by their own word");
        for (held, said) in [
            (json!({"readers": 0}), "no other member may read it"),
            (json!({"readers": 2}), "none is connected"),
            (json!({"readers": 2, "asked": 1}), "1 asked"),
        ] {
            assert!(held_by(&held).contains(said), "{held}");
        }
    }
}
