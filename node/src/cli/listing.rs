//! `belfry members | peers | groups | objects`: lists the daemon keeps.

use clap::Args;
use serde_json::Value;

use super::{
    DataFolder, Global,
    client::{Client, path_and_query},
    output,
};

/// List the coalition's members.
#[derive(Debug, Args)]
pub(super) struct Members {
    #[command(flatten)]
    listing: Listing,
}

/// List the nodes this one is connected to.
#[derive(Debug, Args)]
pub(super) struct Peers {
    #[command(flatten)]
    listing: Listing,
}

/// List the groups this node is in.
#[derive(Debug, Args)]
pub(super) struct Groups {
    #[command(flatten)]
    listing: Listing,
}

/// What every listing takes.
#[derive(Debug, Args)]
struct Listing {
    #[command(flatten)]
    data: DataFolder,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
}

impl Members {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        self.listing.show(global, "members")
    }
}

impl Peers {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        self.listing.show(global, "peers")
    }
}

impl Groups {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        self.listing.show(global, "groups")
    }
}

impl Listing {
    fn show(&self, global: &Global, what: &str) -> anyhow::Result<()> {
        let answer = Client::new(&global.config(&self.data)?)?.get(&format!("/api/v1/{what}"))?;
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&listed(&answer, what))?)
    }
}

/// List the objects of a group.
#[derive(Debug, Args)]
pub(super) struct Objects {
    /// Slug of the group
    #[arg(long, value_name = "SLUG")]
    group: String,
    /// Most objects to list
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON object a line, as its author wrote it, instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

impl Objects {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(&global.config(&self.data)?)?;
        let mut left = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut objects = Vec::new();
        let mut next: Option<String> = None;
        while left > 0 {
            let limit = left.to_string();
            let mut query = vec![("group", self.group.as_str()), ("limit", limit.as_str())];
            if let Some(next) = &next {
                query.push(("next", next));
            }
            let mut page = client.get(&path_and_query("/api/v1/objects", &query))?;
            let more = page.get("next").and_then(Value::as_str).map(str::to_owned);
            let Some(Value::Array(rows)) = page.get_mut("objects").map(Value::take) else { break };
            left = left.saturating_sub(rows.len());
            objects.extend(rows);
            // The same `next` again would never end.
            if more.is_none() || more == next {
                break;
            }
            next = more;
        }
        if self.json {
            let lines: String = objects.iter().map(|row| format!("{}\n", content(row))).collect();
            return Ok(output::print(&lines)?);
        }
        let rows: Vec<[String; 5]> = objects.iter().map(row).collect();
        Ok(output::print(&output::table(["id", "version", "tlp", "from", "added"], &rows))?)
    }
}

/// The STIX object inside a row that may wrap it in metadata.
fn content(row: &Value) -> &Value {
    row.get("object").filter(|o| o.is_object()).unwrap_or(row)
}

fn row(row: &Value) -> [String; 5] {
    let object = content(row);
    let text = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| row.get(*name).or_else(|| object.get(*name)).and_then(output::scalar))
            .unwrap_or_else(|| "-".into())
    };
    [
        text(&["id", "object_id"]),
        text(&["version", "modified", "created"]),
        text(&["tlp"]),
        text(&["member_name", "member", "from"]),
        text(&["date_added", "added"]),
    ]
}

/// A table of the answer's list (bare, or under its own name), with the columns its rows have.
pub(super) fn listed(answer: &Value, name: &str) -> String {
    let Some(rows) = answer.as_array().or_else(|| answer.get(name).and_then(Value::as_array)) else {
        return output::readable(answer);
    };
    let mut columns: Vec<&String> = Vec::new();
    for row in rows.iter().filter_map(Value::as_object) {
        for key in row.iter().filter(|(_, v)| output::scalar(v).is_some()).map(|(key, _)| key) {
            if !columns.contains(&key) {
                columns.push(key);
            }
        }
    }
    if columns.is_empty() {
        return "none\n".into();
    }
    let cells = |row: &Value| -> Vec<String> {
        columns.iter().map(|c| row.get(*c).and_then(output::scalar).unwrap_or_else(|| "-".into())).collect()
    };
    let headings: Vec<String> = columns.iter().map(|c| c.replace('_', " ")).collect();
    output::grid(&headings, &rows.iter().map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_becomes_a_table_of_what_its_rows_have() {
        let answer = json!({"peers": [{"node": "a", "admitted": true}, {"node": "b", "since": "now"}]});
        assert_eq!(
            listed(&answer, "peers"),
            "node  admitted  since\na     yes       -\nb     -         now\n"
        );
        assert_eq!(listed(&json!({"peers": []}), "peers"), "none\n");
    }

    #[test]
    fn objects_list_with_and_without_metadata() {
        let bare = json!({"id": "indicator--1", "modified": "2026"});
        let wrapped = json!({"object": bare, "tlp": "amber", "member": "m", "date_added": "t"});
        assert_eq!(row(&bare), ["indicator--1", "2026", "-", "-", "-"]);
        assert_eq!(row(&wrapped), ["indicator--1", "2026", "amber", "m", "t"]);
    }
}
