//! `belfry activity`: what this member gave and took in a month.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::time::Timestamp;
use clap::Args;
use serde_json::Value;

use super::{
    client::segment,
    global::{DataFolder, Global},
    notice::Wording,
    out, output,
};
use crate::{
    keys::file::Readers,
    notice::{Report, Share},
    query::Month,
};

/// Show what this member gave and took in a month, and what all members shared together.
///
/// Counted from the signed messages this node holds, by their own dates; nobody is asked. Sums over all members are told
/// only where at least five others shared something, so that nobody's share can be told from them. What this member received is
/// its own figure, and told on the screen; on a page, which others may come to see, it follows the rule of the sums.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry activity
  belfry activity --month 2026-11 --lang nl --out report.html
  belfry activity --month 2026-11 --json")]
pub(super) struct Activity {
    /// A month that is over, UTC [default: the last one]
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: Option<String>,
    /// Write a page for the board, in HTML that prints
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wording: Wording,
    #[command(flatten)]
    data: DataFolder,
}

fn month(text: &str) -> Result<String, String> {
    match Month::parse(text) {
        // Whether it is over the node says, by its own clock.
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("{text:?} is not a month: write 2026-11")),
    }
}

impl Activity {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let book = self.wording.book()?;
        let month = self.month.as_deref().map(|month| format!("?month={}", segment(month)));
        let path = format!("/api/v1/activity{}", month.unwrap_or_default());
        let client = global.client(&self.data)?;
        let answer = client.get(&path)?;
        if self.json {
            return output::print_json(&answer);
        }
        let Some(path) = &self.out else {
            return Ok(output::print(&text(&answer))?);
        };
        let report = report(&answer, &client.get("/api/v1/status")?)?;
        out::create(path, report.html(&book, &self.wording.lang).as_bytes(), Readers::Owner)?;
        Ok(output::print(&format!("Wrote {}\n", output::path(path)))?)
    }
}

const HEADINGS: [&str; 7] =
    ["group", "published", "withdrew", "received", "could open", "members publishing", "all messages"];

fn text(answer: &Value) -> String {
    let rows: Vec<[String; 7]> = groups(answer)
        .map(|group| {
            let Share { own, all, .. } = share(group);
            let few = || "too few".to_owned();
            let [published, withdrew, received, opened] = own.map(|n| n.to_string());
            let [members, messages] = all.map_or_else(|| [few(), few()], |all| all.map(|n| n.to_string()));
            [string(group, "/group"), published, withdrew, received, opened, members, messages]
        })
        .collect();
    let month: String = groups(answer).next().map(|group| string(group, "/from")).unwrap_or_default();
    format!("month {}, UTC\n\n{}", month.chars().take(7).collect::<String>(), output::table(HEADINGS, &rows))
}

/// The same for a board.
fn report(answer: &Value, status: &Value) -> anyhow::Result<Report> {
    let first = groups(answer).next().context("the charter has no group that this token reads")?;
    Ok(Report {
        organisation: string(status, "/held/certificate/organisation"),
        coalition: string(status, "/held/coalition_name"),
        month: string(first, "/from").parse::<Timestamp>().context("the daemon's answer names no month")?,
        charter: number(status, "/held/charter_version").unwrap_or_default(),
        entry: number(status, "/held/roster_height").unwrap_or_default(),
        shares: groups(answer).map(share).collect(),
    })
}

fn groups(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.get("activity").and_then(Value::as_array).into_iter().flatten()
}

fn share(group: &Value) -> Share {
    let own = ["/given/messages", "/given/withdrawals", "/taken", "/opened"];
    let all = [number(group, "/all/members"), number(group, "/all/messages")];
    Share {
        group: string(group, "/name"),
        own: own.map(|path| number(group, path).unwrap_or_default()),
        all: match all {
            [Some(members), Some(messages)] => Some([members, messages]),
            _ => None,
        },
    }
}

fn string(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(output::scalar).unwrap_or_default()
}

/// Numbers stand as such, heights of the log as text.
fn number(value: &Value, path: &str) -> Option<u64> {
    let found = value.pointer(path)?;
    found.as_u64().or_else(|| found.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({"activity": [{
            "group": "cidr", "name": "CIDR & Response", "from": "2026-11-01T00:00:00Z", "taken": 7, "opened": 6, "all": null,
            "given": {"messages": 3, "withdrawals": 0, "bytes": 9},
        }]})
    }

    #[test]
    fn a_report_says_whose_it_is_of_when_and_under_which_charter() {
        let status = json!({"held": {
            "coalition_name": "Coalition", "charter_version": 2, "roster_height": 7, "certificate": {"organisation": "Bank"},
        }});
        let share = Share { group: "CIDR & Response".into(), own: [3, 0, 7, 6], all: None };
        let expected = Report {
            organisation: "Bank".into(),
            coalition: "Coalition".into(),
            month: "2026-11-01T00:00:00Z".parse().unwrap(),
            charter: 2,
            entry: 7,
            shares: vec![share],
        };
        assert_eq!(report(&answer(), &status).unwrap(), expected);
        assert!(report(&json!({"activity": []}), &status).is_err());
    }

    #[test]
    fn sums_of_too_few_are_said_to_be_so() {
        let text = text(&answer());
        assert!(text.starts_with("month 2026-11, UTC\n\n"), "{text}");
        let line = text.lines().last().unwrap();
        assert!(
            line.contains("cidr") && line.contains('7') && line.matches("too few").count() == 2,
            "{line}"
        );
    }
}
