//! `belfry withdraw`: taking back what was shared, or lifting what a steward took back.

use anyhow::Context as _;
use belfry_proto::{
    id::{MessageId, PublicationId},
    schema::{WithdrawalGround, WithdrawalMode},
};
use clap::Args;
use serde_json::{Value, json};

use super::{
    args,
    client::Content,
    global::{DataFolder, Global},
    output,
};
use crate::words;

/// Take back what this member shared; as a steward, what another did.
///
/// Every node of the group stops showing the named messages and tells their objects as revoked. `retract` keeps
/// what they said, marked as revoked; `erase` removes it from every disk. What a member takes back itself is gone
/// for good. What a steward takes back is hidden at once, and can be lifted by a steward; bodies it erases stay for
/// seven days.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry withdraw --group cidr --publication 5f0c… --mode retract
  belfry withdraw --group cidr --object indicator--8e2e… \\
                  --mode erase --ground personal-data
  belfry withdraw 3b91… --group cidr --mode erase --ground rules   (a steward)
  belfry withdraw 77aa… --group cidr --mode lift --ground rules

The last one names the withdrawal, which `belfry why MESSAGE-ID` tells.")]
pub(super) struct Withdraw {
    /// Messages, 64 hex digits each; withdrawals, to lift them
    #[arg(value_name = "MESSAGE-ID", required_unless_present_any = ["publication", "object"])]
    messages: Vec<MessageId>,
    /// All messages of this publication of ours
    #[arg(long, value_name = "ID", conflicts_with_all = ["messages", "object"])]
    publication: Option<PublicationId>,
    /// What this member says of this STIX object, in every version; repeat for several
    #[arg(long, value_name = "STIX-ID", conflicts_with = "messages", value_parser = args::stix_id)]
    object: Vec<String>,
    /// Slug of the group they stand in
    #[arg(long, value_name = "SLUG")]
    group: String,
    /// retract (told on as revoked), erase (gone from every disk) or lift (undo a steward's)
    #[arg(long, value_parser = mode)]
    mode: WithdrawalMode,
    /// Why: author, false-positive, personal-data, confidentiality or rules [default: author]
    #[arg(long, value_parser = ground)]
    ground: Option<WithdrawalGround>,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

fn mode(text: &str) -> Result<WithdrawalMode, String> {
    words::parse(text).ok_or_else(|| format!("one of {}", words::all::<WithdrawalMode>().join(", ")))
}

fn ground(text: &str) -> Result<WithdrawalGround, String> {
    words::parse(text).ok_or_else(|| format!("one of {}", words::all::<WithdrawalGround>().join(", ")))
}

impl Withdraw {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let mut wanted = json!({ "group": self.group, "mode": words::word(self.mode) });
        let named = match (self.publication, self.object.is_empty()) {
            (Some(publication), _) => ("publication", json!(publication)),
            (None, false) => ("objects", json!(self.object)),
            (None, true) => ("messages", json!(self.messages)),
        };
        let members = wanted.as_object_mut().context("not an object")?;
        members.insert(named.0.to_owned(), named.1);
        if let Some(ground) = self.ground {
            members.insert("ground".to_owned(), json!(words::word(ground)));
        }
        let content = Content {
            kind: "application/json",
            bytes: wanted.to_string().into_bytes(),
            idempotency_key: None,
        };
        let answer = client.post("/api/v1/withdrawals", content)?;
        super::publication::warn(&answer);
        for remains in answer.get("remains").and_then(Value::as_array).into_iter().flatten() {
            output::warn(&remaining(remains, self.mode, client.again()));
        }
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&accepted(&answer, self.mode, client.again()))?)
    }
}

/// Objects named one by one in a warning; of more the number is told.
const MOST_NAMED: usize = 3;

/// What another publication goes on saying, and what takes that back, too.
fn remaining(remains: &Value, mode: WithdrawalMode, again: &str) -> String {
    let at = |name: &str| remains.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let objects: Vec<String> = remains
        .get("objects")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(output::scalar)
        .collect();
    let mut named = objects.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if objects.len() > MOST_NAMED {
        named += &format!(" and {} more", objects.len() - MOST_NAMED);
    }
    let stays = if objects.len() == 1 { "it stays" } else { "they stay" };
    let whose = match remains.get("made_here").and_then(Value::as_bool) {
        Some(true) => format!("--publication {}", at("publication")),
        // Another node's publication is unknown here, and what it says is not.
        _ => objects.iter().take(1).map(|object| format!("--object {object}")).collect(),
    };
    format!(
        "publication {} in {group} goes on saying {named}, so {stays} to be seen. That is taken back with `belfry withdraw \
         --group {group} {whose} --mode {}{again}`",
        at("publication"),
        words::word(mode),
        group = at("group"),
    )
}

fn accepted(answer: &Value, mode: WithdrawalMode, again: &str) -> String {
    let id = answer.get("publication").and_then(output::scalar).unwrap_or_else(|| "-".into());
    let targets = answer.get("targets").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    let republished = answer.get("republished").and_then(Value::as_u64).unwrap_or(0);
    let (what, one, many) = match mode {
        WithdrawalMode::Lift => ("lifts", "withdrawal", "withdrawals"),
        _ => ("takes back", "message", "messages"),
    };
    let mut text = format!("It {what} {}, as publication {id}.\n", output::counted(targets, one, many));
    if republished > 0 {
        let others = output::counted(republished, "object goes", "objects go");
        text += &format!("{others} out again, because only others of their message are taken back.\n");
    }
    text + &format!(
        "It is durable, and sent as soon as the node is connected: belfry publication {id}{again}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_go_on_saying_is_named_with_the_command_that_ends_it() {
        let objects = ["indicator--1", "indicator--2", "indicator--3", "indicator--4"];
        let remains = json!({ "publication": "cd", "group": "cidr", "objects": objects, "made_here": true });
        let told = remaining(&remains, WithdrawalMode::Erase, " --dir x");
        assert!(
            told.contains("goes on saying indicator--1, indicator--2, indicator--3 and 1 more, so they stay"),
            "{told}"
        );
        assert!(
            told.ends_with("`belfry withdraw --group cidr --publication cd --mode erase --dir x`"),
            "{told}"
        );
        let elsewhere = json!({ "publication": "cd", "group": "cidr", "objects": ["indicator--1"] });
        let told = remaining(&elsewhere, WithdrawalMode::Retract, "");
        assert!(
            told.contains("so it stays") && told.contains("--object indicator--1 --mode retract`"),
            "{told}"
        );
    }

    #[test]
    fn what_is_taken_back_and_what_goes_out_again_is_told() {
        let answer = json!({ "publication": "ab", "targets": ["1", "2"], "republished": 1 });
        let text = accepted(&answer, WithdrawalMode::Erase, " --dir x");
        assert!(text.contains("2 messages") && text.contains("1 object goes"), "{text}");
        assert!(text.contains("belfry publication ab --dir x"), "{text}");
        assert!(accepted(&answer, WithdrawalMode::Lift, "").starts_with("It lifts 2 withdrawals"));
    }
}
