//! `belfry publication`: what became of what was published, and who has it.

use std::{
    thread,
    time::{Duration, Instant},
};

use belfry_proto::id::PublicationId;
use clap::Args;
use serde_json::Value;

use super::{
    client::{Client, segment},
    global::{DataFolder, Global},
    output,
};

/// How often `--wait` looks again.
const POLL: Duration = Duration::from_millis(250);
/// How often it asks again who holds what was sent: the node asks its peers for that.
const ASK: Duration = Duration::from_secs(1);

/// Show what became of a publication.
#[derive(Debug, Args)]
pub(super) struct Publication {
    /// Publication id, as `belfry publish` printed it
    id: PublicationId,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

impl Publication {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let id = self.id.to_string();
        let mut status = client.get(&path_of(&id))?;
        warn(&status);
        // A withdrawn one is gone wherever its withdrawal has come.
        if status.get("state").and_then(Value::as_str) == Some("flushed") {
            add_holders(&client, &id, &mut status)?;
        }
        show(&status, self.json, || followed(&status))
    }
}

pub(super) fn show(answer: &Value, json: bool, text: impl FnOnce() -> String) -> anyhow::Result<()> {
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
pub(super) fn shared_with(answer: &Value) -> String {
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

/// A publication in words.
pub(super) fn followed(status: &Value) -> String {
    let at = |name: &str| status.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let number = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or(0);
    let reason =
        status.get("error").and_then(Value::as_str).map(|why| format!(": {why}")).unwrap_or_default();
    let state = match status.get("state").and_then(Value::as_str) {
        Some("held") => match status.get("error").and_then(Value::as_str) {
            Some(why) => format!("held; it {why}"),
            None => "held until a person releases it: belfry drafts".to_owned(),
        },
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
    if let Some(reason) = status.get("reason").and_then(Value::as_str) {
        facts.push(("reason", reason.to_owned()));
    }
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
pub(super) fn wait(client: &Client, id: &str, limit: Duration) -> anyhow::Result<Value> {
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
        let said =
            followed(&json!({"state": "flushed", "messages": ["c", "d"], "readable_only_here": false}));
        assert!(
            said.contains("state        sent\n") && said.contains("messages     c\n             d\n"),
            "{said}"
        );
        let said = followed(&json!({"state": "drafted", "error": "the clock is off"}));
        assert!(said.contains("waiting to be sent: the clock is off"), "{said}");
        let said = followed(&json!({"state": "held", "error": "waits for a person, as it is a draft"}));
        assert!(said.contains("held; it waits for a person, as it is a draft"), "{said}");
        let said = followed(&json!({"state": "withdrawn", "messages": ["c"], "withdrawn": 1}));
        assert!(said.contains("state        sent, and withdrawn since\n"), "{said}");
        let said = followed(&json!({"state": "flushed", "messages": ["c", "d"], "withdrawn": 1}));
        assert!(said.contains("1 of its messages withdrawn"), "{said}");
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
