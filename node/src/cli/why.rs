//! `belfry why`: every message has a reason for being where it is.

use belfry_proto::id::MessageId;
use clap::Args;
use serde_json::Value;

use super::{
    global::{DataFolder, Global},
    output,
};

/// Explain what this node did with a message, and why.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// Message id, 64 hex digits
    #[arg(value_name = "MESSAGE-ID")]
    message: MessageId,
    #[command(flatten)]
    data: DataFolder,
}

impl Why {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let answer = global.client(&self.data)?.get(&format!("/api/v1/messages/{}", self.message))?;
        Ok(output::print(&told(&answer))?)
    }
}

/// What became of it first, then what it is.
fn told(answer: &Value) -> String {
    let at = |name: &str| answer.get(name).and_then(output::scalar).filter(|text| text != "-");
    let text = |name: &str| at(name).unwrap_or_else(|| "-".into());
    let mut facts = vec![("state", text("state").replace('-', " ")), ("which means", text("meaning"))];
    facts.extend(at("reason").map(|reason| ("reason", reason)));
    facts.extend(at("key_not_before").map(|time| ("its key from", time)));
    let withdrawals = answer.get("withdrawals").and_then(Value::as_array).into_iter().flatten();
    facts.extend(withdrawals.map(withdrawal));
    facts.extend([
        ("message", text("id")),
        ("group", text("group_slug")),
        (
            "from",
            format!("{} (member {}, certificate {})", text("organisation"), text("member"), text("serial")),
        ),
        ("log", format!("{}, sequence {}", text("log"), text("sequence"))),
        ("written", text("created")),
        ("received", text("received")),
    ]);
    output::facts(&facts)
}

/// One withdrawal that names the message; the one that decides is told as such.
fn withdrawal(answer: &Value) -> (&'static str, String) {
    let text = |name: &str| answer.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let is = |name: &str| answer.get(name).and_then(Value::as_bool).unwrap_or_default();
    let role = if is("by_steward") { ", a steward" } else { "" };
    let what = if is("decides") { "withdrawn by" } else { "also named by" };
    let stands = if is("stands") { "" } else { "; hidden, so without effect" };
    let (who, ground, mode) = (text("organisation"), text("ground"), text("mode"));
    (
        what,
        format!("{who}{role}: {mode}, ground {ground}, {} (message {}){stands}", text("created"), text("id")),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_became_of_it_comes_first() {
        let said = told(&json!({
            "id": "ab", "group": 5, "group_slug": "cidr", "state": "waiting-for-key", "meaning": "its key is asked for",
            "reason": null, "key_not_before": "2027-01-02T00:00:00.000000Z", "serial": 1
        }));
        let lines: Vec<&str> = said.lines().take(3).collect();
        let expected = [
            "state         waiting for key",
            "which means   its key is asked for",
            "its key from  2027-01-02T00:00:00.000000Z",
        ];
        assert_eq!(lines, expected);
        assert!(!said.contains("reason"), "{said}");
    }

    #[test]
    fn who_withdrew_it_and_why_is_told() {
        let said = told(&json!({ "state": "withdrawn", "withdrawals": [
            { "id": "cd", "organisation": "Sam", "mode": "erase", "ground": "rules", "by_steward": true,
              "created": "2027-01-02T00:00:00.000000Z", "stands": true, "decides": true },
        ] }));
        let line = said.lines().find(|line| line.starts_with("withdrawn by")).unwrap();
        assert!(line.contains("Sam, a steward: erase, ground rules"), "{said}");
    }
}
