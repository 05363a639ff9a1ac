//! `belfry lookup`: what is known of a value.

use clap::Args;
use serde_json::{Value, json};

use super::{
    args,
    client::{Client, Content},
    global::{DataFolder, Global},
    output,
};
use crate::query::lookup::MAX_VALUES;

/// Bytes of values taken from stdin.
const MAX_INPUT: u64 = 64 << 20;

/// Say what is known of addresses, domains, URLs, hashes and the like.
///
/// Any spelling will do, defanged ones too. Says who reported each value, since when, how many saw it, and what it
/// is worth today.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry lookup evil.example 'hxxp://evil[.]example/a'
  belfry lookup --around evil.example 198.51.100.0/24
  cut -f 3 conn.log | sort -u | belfry lookup - --json")]
pub(super) struct Lookup {
    /// Values; - for one a line from stdin
    #[arg(required = true, value_name = "VALUE")]
    values: Vec<String>,
    /// What the values are, as in file-name; guessed if not said
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only in this group; repeat for several
    #[arg(long, value_name = "SLUG")]
    group: Vec<String>,
    /// What lies below a domain or within a range, too
    #[arg(long)]
    around: bool,
    /// Only what was published as this information class, as in near-miss; repeat for several
    #[arg(long, value_name = "CLASS")]
    class: Vec<String>,
    /// Only what was published for this purpose, as in detect; repeat for several
    #[arg(long, value_name = "PURPOSE")]
    purpose: Vec<String>,
    /// Print one JSON object a value and line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

impl Lookup {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let values = args::values(&self.values, MAX_INPUT)?;
        let mut found = Vec::new();
        for stretch in values.chunks(MAX_VALUES) {
            found.extend(self.ask(&client, stretch)?);
        }
        if self.json {
            let lines: String = found.iter().map(|found| format!("{found}\n")).collect();
            return Ok(output::print(&lines)?);
        }
        match found.as_slice() {
            [one] => Ok(output::print(&told(one))?),
            many => {
                let rows: Vec<[String; 7]> = many.iter().map(row).collect();
                let headings =
                    ["value", "state", "score", "members", "sightings", "last seen", "reported by"];
                Ok(output::print(&output::table(headings, &rows))?)
            }
        }
    }

    fn ask(&self, client: &Client, values: &[String]) -> anyhow::Result<Vec<Value>> {
        let values: Vec<Value> = match &self.kind {
            Some(kind) => values.iter().map(|value| json!({ "type": kind, "value": value })).collect(),
            None => values.iter().map(|value| json!(value)).collect(),
        };
        let question = json!({
            "values": values, "groups": self.group, "around": self.around, "classes": self.class,
            "purposes": self.purpose,
        });
        let content = Content {
            kind: "application/json",
            bytes: question.to_string().into_bytes(),
            idempotency_key: None,
        };
        let mut answer = client.post("/api/v1/lookup", content)?;
        match answer.get_mut("results").map(Value::take) {
            Some(Value::Array(found)) => Ok(found),
            _ => Ok(Vec::new()),
        }
    }
}

fn text(of: &Value, name: &str) -> String {
    of.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into())
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn reporters(found: &Value) -> String {
    let names: Vec<String> = list(found, "reported_by")
        .iter()
        .filter_map(|by| by.get("organisation").or_else(|| by.get("member")).and_then(Value::as_str))
        .map(str::to_owned)
        .collect();
    if names.is_empty() { "-".into() } else { names.join(", ") }
}

fn sightings(found: &Value) -> String {
    found.get("sightings").map_or_else(|| "-".into(), |sightings| text(sightings, "count"))
}

/// To the second; what is finer tells people nothing.
fn second(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

/// Who says it; of what a steward published for another, that it did.
fn from(object: &Value) -> String {
    let on_behalf = object.get("on_behalf").and_then(Value::as_bool) == Some(true);
    let suffix = if on_behalf { ", on behalf of a member" } else { "" };
    format!("{}{suffix}", text(object, "organisation"))
}

/// The text that was asked for, if it has no scheme and is read as if it had one.
fn schemeless(found: &Value) -> Option<String> {
    let (given, read) = (text(found, "value"), text(found, "normalised"));
    (read.contains("://") && !given.contains("//")).then_some(given)
}

fn row(found: &Value) -> [String; 7] {
    let read = |given: String| format!("{given} (read as {})", text(found, "normalised"));
    [
        schemeless(found).map_or_else(|| text(found, "value"), read),
        text(found, "state"),
        text(found, "score"),
        text(found, "corroboration"),
        sightings(found),
        second(&text(found, "last_seen")),
        reporters(found),
    ]
}

/// Everything of one value: what it comes to first, then who says so.
fn told(found: &Value) -> String {
    let mut facts = vec![("value", text(found, "normalised")), ("type", text(found, "type"))];
    if let Some(given) = schemeless(found) {
        facts.push(("read from", given));
    }
    if let Some(error) = found.get("error").and_then(Value::as_str) {
        facts.push(("but", error.to_owned()));
    }
    facts.push(("state", text(found, "state")));
    let objects = list(found, "objects");
    if !objects.is_empty() {
        facts.push(("score", text(found, "score")));
        facts.push(("first seen", second(&text(found, "first_seen"))));
        facts.push(("last seen", second(&text(found, "last_seen"))));
        facts.push(("members", text(found, "corroboration")));
        facts.push(("sightings", sightings(found)));
        facts.push(("reported by", reporters(found)));
    }
    if let Some(members) = found.get("expired_by").and_then(Value::as_u64).filter(|members| *members > 0) {
        facts.push(("over by word of", output::counted(members, "member", "members")));
    }
    if let Some(opinions) = found.get("opinions").and_then(Value::as_object).filter(|o| !o.is_empty()) {
        let said: Vec<String> = opinions.iter().map(|(word, count)| format!("{count} {word}")).collect();
        facts.push(("opinions", said.join(", ")));
    }
    if found.get("contested").and_then(Value::as_bool) == Some(true) {
        facts.push(("contested", "others say it is a false positive".into()));
    }
    if found.get("allowed").and_then(Value::as_bool) == Some(true) {
        facts.push(("allowed", "on this node's allow-list".into()));
    }
    for warning in list(found, "warnings") {
        facts.push(("warning list", format!("{} ({})", text(warning, "list"), text(warning, "level"))));
    }
    let mut out = output::facts(&facts);
    if !objects.is_empty() {
        let rows: Vec<[String; 7]> = objects
            .iter()
            .map(|object| {
                let named = list(object, "matched").iter().filter_map(Value::as_str).collect::<Vec<_>>();
                let name = if named.is_empty() { text(object, "name") } else { named.join(", ") };
                [
                    text(object, "id"),
                    text(object, "state"),
                    text(object, "score"),
                    text(object, "tlp"),
                    text(object, "group"),
                    from(object),
                    name,
                ]
            })
            .collect();
        out.push('\n');
        out.push_str(&output::table(["id", "state", "score", "tlp", "group", "from", "name"], &rows));
        if found.get("more").and_then(Value::as_bool) == Some(true) {
            out.push_str("and more\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_with_who_reported_it() {
        let found = json!({
            "value": "evil[.]example", "normalised": "evil.example", "type": "domain-name", "state": "active", "score": 63,
            "corroboration": 2, "sightings": {"count": 4}, "first_seen": "2026-11-01T08:00:00.000000Z",
            "last_seen": "2026-11-02T08:00:00.000000Z", "reported_by": [{"member": "m", "organisation": "Bank\u{1b}[1m"}],
            "objects": [{"id": "indicator--1", "state": "active", "score": 63, "tlp": "amber", "group": "cidr",
                "organisation": "Bank", "on_behalf": true, "name": "bad"}], "warnings": [], "opinions": {"agree": 1},
        });
        let told = told(&found);
        for part in [
            "evil.example",
            "active",
            "63",
            "2026-11-01T08:00:00Z",
            "1 agree",
            "indicator--1",
            "Bank, on behalf of a member",
        ] {
            assert!(told.contains(part), "{part}\n{told}");
        }
        assert!(!told.contains('\u{1b}'), "{told}");
        assert_eq!(row(&found)[2..5], ["63".to_owned(), "2".into(), "4".into()]);
    }

    #[test]
    fn who_says_that_it_is_over_is_counted_in_words() {
        let over = |members: u64| told(&json!({"normalised": "a.be", "expired_by": members}));
        assert!(over(1).contains("over by word of  1 member\n"), "{}", over(1));
        assert!(over(2).contains("over by word of  2 members\n") && !over(0).contains("over"));
    }

    #[test]
    fn what_a_text_without_a_scheme_was_read_as_is_told() {
        let found = |value: &str| json!({"value": value, "normalised": "http://evil.example/a", "type": "url", "state": "unknown"});
        let (bare, whole) = (found("evil[.]example/a"), found("hxxp[:]//evil.example/a"));
        assert!(
            told(&bare).starts_with(
                "value      http://evil.example/a\ntype       url\nread from  evil[.]example/a\n"
            )
        );
        assert_eq!(row(&bare)[0], "evil[.]example/a (read as http://evil.example/a)");
        assert!(!told(&whole).contains("read from") && !row(&whole)[0].contains("read as"));
    }

    #[test]
    fn what_is_unknown_is_said_in_three_lines() {
        let found = json!({"value": "a", "normalised": "a.be", "type": "domain-name", "state": "unknown", "objects": []});
        assert_eq!(told(&found), "value  a.be\ntype   domain-name\nstate  unknown\n");
    }
}
