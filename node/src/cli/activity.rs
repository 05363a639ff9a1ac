//! `belfry activity`: what this member gave and took in a month.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use serde_json::Value;

use super::{
    client::segment,
    global::{DataFolder, Global},
    out, output,
};
use crate::{
    keys::file::Readers,
    notice::page::{STYLE, escaped},
};

/// Show what this member gave and took in a month, and what all members shared together.
///
/// Counted from the signed messages this node holds, by their own dates; nobody is asked. Sums over all members are told
/// only where at least five others shared something, so that nobody's share can be told from them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry activity
  belfry activity --month 2026-11 --out report.html
  belfry activity --month 2026-11 --json")]
pub(super) struct Activity {
    /// A month that is over, UTC [default: the last one]
    #[arg(long, value_name = "YYYY-MM")]
    month: Option<String>,
    /// Write a page for the board, in HTML that prints
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

impl Activity {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
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
        out::create(path, page(&answer, &client.get("/api/v1/status")?).as_bytes(), Readers::Owner)?;
        Ok(output::print(&format!("Wrote {}\n", output::path(path)))?)
    }
}

const HEADINGS: [&str; 7] =
    ["group", "published", "withdrew", "received", "could open", "members publishing", "all messages"];

fn text(answer: &Value) -> String {
    let (month, rows) = rows(answer);
    format!("{month}\n{}", output::table(HEADINGS, &rows))
}

/// The same for a board: who, where, when, what was counted, and what is not told.
fn page(answer: &Value, status: &Value) -> String {
    let (month, rows) = rows(answer);
    let at = |path: &str| escaped(&status.pointer(path).and_then(output::scalar).unwrap_or_default());
    let (member, coalition) = (at("/held/certificate/organisation"), at("/held/coalition_name"));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\">\n<title>Information sharing in {month} – {member}</title>\n<style>{STYLE}\
         th{{width:auto}}td,th{{padding-right:1em}}</style>\n</head>\n<body>\n\
         <h1>Information sharing in {month}</h1>\n<p>What {member} gave to and took from the members of {coalition}, group by \
         group.</p>\n<table>\n<tr>"
    );
    for heading in HEADINGS {
        let _ = write!(out, "<th>{heading}</th>");
    }
    out.push_str("</tr>\n");
    for row in &rows {
        let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        let _ = writeln!(out, "<tr>{cells}</tr>");
    }
    let (charter, height) = (at("/held/charter_version"), at("/held/roster_height"));
    let _ = write!(
        out,
        "</table>\n<p>Counted from signed messages that this member's node holds, by the months they are dated in; never from \
         their content. The last two columns are sums over all members: <em>too few</em> stands where fewer than five others \
         shared anything, so that nobody's share can be told. Under charter version {charter}, at entry {height} of the admin \
         log.</p>\n</body>\n</html>\n"
    );
    out
}

/// The month, and a row for each group.
fn rows(answer: &Value) -> (String, Vec<[String; 7]>) {
    let groups: Vec<&Value> =
        answer.get("activity").and_then(Value::as_array).into_iter().flatten().collect();
    let number = |value: &Value, path: &str| {
        value.pointer(path).and_then(Value::as_u64).map_or_else(|| "too few".to_owned(), |n| n.to_string())
    };
    let rows: Vec<[String; 7]> = groups
        .iter()
        .map(|group| {
            [
                group.get("group").and_then(output::scalar).unwrap_or_default(),
                number(group, "/given/messages"),
                number(group, "/given/withdrawals"),
                number(group, "/taken"),
                number(group, "/opened"),
                number(group, "/all/members"),
                number(group, "/all/messages"),
            ]
        })
        .collect();
    let month =
        groups.first().and_then(|group| group.get("from")).and_then(output::scalar).unwrap_or_default();
    (month.chars().take(7).collect(), rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({"activity": [{
            "group": "cidr", "from": "2026-11-01T00:00:00Z", "taken": 7, "opened": 6, "all": null,
            "given": {"messages": 3, "withdrawals": 0, "bytes": 9},
        }]})
    }

    #[test]
    fn a_board_reads_who_where_and_when_and_no_name_is_markup() {
        let status = json!({"held": {
            "coalition_name": "Coalition", "charter_version": 2, "roster_height": 7,
            "certificate": {"organisation": "Bank <b>& Co"},
        }});
        let page = page(&answer(), &status);
        for part in [
            "in 2026-11",
            "Bank &lt;b&gt;&amp; Co",
            "Coalition",
            "<td>cidr</td><td>3</td>",
            "<td>too few</td>",
            "entry 7",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<b>"));
    }

    #[test]
    fn sums_of_too_few_are_said_to_be_so() {
        let text = text(&answer());
        assert!(text.starts_with("2026-11\n"), "{text}");
        let line = text.lines().last().unwrap();
        assert!(
            line.contains("cidr") && line.contains('7') && line.matches("too few").count() == 2,
            "{line}"
        );
    }
}
