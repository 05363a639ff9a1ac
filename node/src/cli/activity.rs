//! `belfry activity`: what this member gave and took in a month.

use clap::Args;
use serde_json::Value;

use super::{
    client::segment,
    global::{DataFolder, Global},
    output,
};

/// Show what this member gave and took in a month, and what all members shared together.
///
/// Counted from the signed messages this node holds, by their own dates; nobody is asked. Sums over all members are told
/// only where at least five others shared something, so that nobody's share can be told from them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry activity
  belfry activity --month 2026-11 --json")]
pub(super) struct Activity {
    /// A month that is over, UTC [default: the last one]
    #[arg(long, value_name = "YYYY-MM")]
    month: Option<String>,
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
        let answer = global.client(&self.data)?.get(&path)?;
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&text(&answer))?)
    }
}

fn text(answer: &Value) -> String {
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
    let month: String = month.chars().take(7).collect();
    let headings =
        ["group", "published", "withdrew", "received", "could open", "members publishing", "all messages"];
    format!("{month}\n{}", output::table(headings, &rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sums_of_too_few_are_said_to_be_so() {
        let text = text(&json!({"activity": [{
            "group": "cidr", "from": "2026-11-01T00:00:00Z", "taken": 7, "opened": 6, "all": null,
            "given": {"messages": 3, "withdrawals": 0, "bytes": 9},
        }]}));
        assert!(text.starts_with("2026-11\n"), "{text}");
        let line = text.lines().last().unwrap();
        assert!(
            line.contains("cidr") && line.contains('7') && line.matches("too few").count() == 2,
            "{line}"
        );
    }
}
