//! `belfry sighting`: that a value was seen, for whoever is asked about it.

use std::fmt::Write as _;

use belfry_proto::time::Timestamp;
use clap::Args;
use serde_json::{Value, json};

use super::{
    args::{self, moment},
    client::{Client, Content},
    global::{DataFolder, Global},
    output,
};

/// Bytes of values taken from stdin.
const MAX_INPUT: u64 = 1 << 20;
/// Values of one report.
const STRETCH: usize = 1_000;

/// Report that values were seen here, to the groups that know them.
///
/// Names nobody where the group has a steward: it is sealed to stewards, and they tell how often and when, in whole hours.
/// Where no group has one it goes out under this member's name, and says so; groups without one are left out otherwise.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry sighting evil.example --count 3
  belfry sighting 198.51.100.7 --last-seen 2026-11-30 --anonymous
  belfry sighting good.example --false-positive
  belfry sighting old.example --expired
  belfry sighting - < seen.txt")]
pub(super) struct Sighting {
    /// Values; - for one a line from stdin
    #[arg(required = true, value_name = "VALUE")]
    values: Vec<String>,
    /// Only to this group; repeat for several
    #[arg(long, value_name = "SLUG")]
    group: Vec<String>,
    /// How often
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// When first, a day or a time with its zone
    #[arg(long, value_name = "TIME", value_parser = moment)]
    first_seen: Option<Timestamp>,
    /// When last; now unless said
    #[arg(long, value_name = "TIME", value_parser = moment)]
    last_seen: Option<Timestamp>,
    /// It was seen, and is harmless: an opinion, under this member's name
    #[arg(long, conflicts_with = "anonymous")]
    false_positive: bool,
    /// It no longer holds, since --last-seen or now: this member's own ends everywhere, others' ends here
    #[arg(long, conflicts_with_all = ["anonymous", "false_positive"])]
    expired: bool,
    /// Not at all rather than under this member's name
    #[arg(long, conflicts_with = "named")]
    anonymous: bool,
    /// Under this member's name
    #[arg(long)]
    named: bool,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

impl Sighting {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let values = args::values(&self.values, MAX_INPUT)?;
        for stretch in values.chunks(STRETCH) {
            let answer = self.report(&client, stretch)?;
            match self.json {
                true => output::print_json(&answer)?,
                false => output::print(&told(&answer))?,
            }
        }
        Ok(())
    }

    fn report(&self, client: &Client, values: &[String]) -> anyhow::Result<Value> {
        let anonymous = match (self.anonymous, self.named) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        let report = json!({
            "values": values, "groups": self.group, "count": self.count, "first_seen": self.first_seen,
            "last_seen": self.last_seen, "false_positive": self.false_positive, "expired": self.expired,
            "anonymous": anonymous,
        });
        let content = Content {
            kind: "application/json",
            bytes: report.to_string().into_bytes(),
            idempotency_key: None,
        };
        client.post("/api/v1/sightings", content)
    }
}

fn told(answer: &Value) -> String {
    let list = |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |of: &Value, name: &str| of.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let mut out = String::new();
    for one in list(answer, "reported") {
        let count = list(&one, "sighted").len();
        let is = |name: &str| one.get(name).and_then(Value::as_bool).unwrap_or_default();
        let who = match (is("ended"), is("anonymous")) {
            (true, _) => "this member's own, which ends with its next version",
            (_, true) => "sealed to stewards, who tell it without naming this member",
            _ => "under this member's name",
        };
        let _ = writeln!(
            out,
            "{count} sighted in {}: {who}; publication {}",
            text(&one, "group"),
            text(&one, "publication")
        );
    }
    for group in list(answer, "left_out").iter().filter_map(Value::as_str) {
        let _ = writeln!(
            out,
            "not told in {}: no steward could tell it unnamed; --group {0} --named names this member",
            output::visible(group)
        );
    }
    for unknown in list(answer, "unknown").iter().filter_map(Value::as_str) {
        let _ = writeln!(out, "unknown here: {}", output::visible(unknown));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_named_to_whom_is_said() {
        let answer = json!({
            "reported": [
                {"group": "cidr", "publication": "ab", "anonymous": true, "sighted": [{}]},
                {"group": "iam", "publication": "cd", "anonymous": false, "sighted": [{}, {}]},
            ],
            "unknown": ["a\u{1b}.be"], "left_out": ["law"],
        });
        let told = told(&answer);
        assert!(told.contains("1 sighted in cidr: sealed to stewards"), "{told}");
        assert!(told.contains("2 sighted in iam: under this member's name; publication cd"), "{told}");
        assert!(told.contains("not told in law: no steward"), "{told}");
        assert!(told.contains("unknown here: a") && !told.contains('\u{1b}'), "{told}");
    }
}
