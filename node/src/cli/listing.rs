//! `belfry members | peers | groups | objects`: lists the daemon keeps.

use clap::Args;
use serde_json::Value;

use super::{
    client::{Client, path_and_query},
    global::{DataFolder, Global},
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
        let all = |client: &Client| client.list("/api/v1/members", &[], "members");
        self.listing.show(global, all, |answer| {
            let rows: Vec<[String; 6]> = rows_of(answer, "members").iter().flat_map(certificates).collect();
            output::table(["organisation", "member", "serial", "standing", "groups", "until"], &rows)
        })
    }
}

impl Peers {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let columns = ["organisation", "peer_id", "admitted", "outbound", "since", "addresses"];
        self.listing.show(
            global,
            |client| client.get("/api/v1/peers"),
            |answer| listed(answer, "peers", &columns),
        )
    }
}

impl Groups {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let columns = ["slug", "role", "can_read", "can_write", "max_tlp", "collection", "name"];
        self.listing.show(
            global,
            |client| client.get("/api/v1/groups"),
            |answer| listed(answer, "groups", &columns),
        )
    }
}

impl Listing {
    fn show(
        &self,
        global: &Global,
        ask: impl FnOnce(&Client) -> anyhow::Result<Value>,
        text: impl FnOnce(&Value) -> String,
    ) -> anyhow::Result<()> {
        let answer = ask(&global.client(&self.data)?)?;
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&text(&answer))?)
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
        let client = global.client(&self.data)?;
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
        let rows: Vec<[String; 6]> = objects.iter().map(row).collect();
        Ok(output::print(&output::table(["id", "state", "version", "tlp", "from", "added"], &rows))?)
    }
}

/// The STIX object inside a row that may wrap it in metadata.
fn content(row: &Value) -> &Value {
    row.get("object").filter(|o| o.is_object()).unwrap_or(row)
}

fn row(row: &Value) -> [String; 6] {
    let object = content(row);
    let text = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| row.get(*name).or_else(|| object.get(*name)).and_then(output::scalar))
            .unwrap_or_else(|| "-".into())
    };
    [
        text(&["id"]),
        text(&["state"]),
        text(&["version", "modified", "created"]),
        text(&["tlp"]),
        text(&["organisation", "member"]),
        text(&["date_added"]),
    ]
}

/// The answer's list of that name.
fn rows_of<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One row a certificate; one without, for a member that has none.
fn certificates(member: &Value) -> Vec<[String; 6]> {
    let of =
        |value: &Value, name: &str| value.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let row = |certificate: &Value| {
        let groups: Vec<String> = rows_of(certificate, "groups")
            .iter()
            .filter_map(|pair| Some(format!("{}:{}", pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)))
            .collect();
        let carrier = certificate.get("carrier").and_then(Value::as_bool) == Some(true);
        [
            of(member, "organisation"),
            of(member, "id"),
            of(certificate, "serial"),
            of(certificate, "standing"),
            if carrier { "carrier".into() } else { groups.join(" ") },
            match certificate.get("ends").and_then(Value::as_str) {
                Some(end) => format!("{} (ends by decision)", output::visible(end)),
                None => of(certificate, "not_after").chars().take(10).collect(),
            },
        ]
    };
    match rows_of(member, "certificates") {
        [] => vec![row(&Value::Null)],
        certificates => certificates.iter().map(row).collect(),
    }
}

/// A table of the answer's list of that name.
pub(super) fn listed(answer: &Value, name: &str, columns: &[&str]) -> String {
    let rows = rows_of(answer, name);
    if rows.is_empty() {
        return "none\n".into();
    }
    let headings: Vec<String> = columns.iter().map(|column| column.replace('_', " ")).collect();
    let cells = |row: &Value| -> Vec<String> {
        columns.iter().map(|c| row.get(*c).and_then(output::scalar).unwrap_or_else(|| "-".into())).collect()
    };
    output::grid(&headings, &rows.iter().map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_becomes_a_table() {
        let answer = json!({"peers": [{"peer_id": "a", "admitted": true}, {"peer_id": "b", "since": "now"}]});
        assert_eq!(
            listed(&answer, "peers", &["peer_id", "admitted", "since"]),
            "peer id  admitted  since\na        yes       -\nb        -         now\n"
        );
        assert_eq!(listed(&json!({"peers": []}), "peers", &["peer_id"]), "none\n");
    }

    #[test]
    fn a_member_has_a_row_for_each_certificate() {
        let member = json!({"id": "m", "organisation": "Bank", "certificates": [
            {"serial": 1, "standing": "revoked", "groups": [["cidr", "reader"]], "not_after": "2027-11-30T00:00:00Z"},
            {"serial": 2, "standing": "valid", "carrier": true, "groups": [], "not_after": "2027-11-30T00:00:00Z", "ends": null},
            {"serial": 3, "standing": "valid", "groups": [], "not_after": "2027-11-30T00:00:00Z", "ends": "2026-12-31T23:00:00Z"}
        ]});
        let rows = certificates(&member);
        assert_eq!(rows[0], ["Bank", "m", "1", "revoked", "cidr:reader", "2027-11-30"]);
        assert_eq!(rows[1], ["Bank", "m", "2", "valid", "carrier", "2027-11-30"]);
        assert_eq!(rows[2][5], "2026-12-31T23:00:00Z (ends by decision)");
        assert_eq!(certificates(&json!({"id": "m"})).len(), 1);
    }

    #[test]
    fn objects_list_with_and_without_metadata() {
        let bare = json!({"id": "indicator--1", "modified": "2026"});
        let wrapped =
            json!({"object": bare, "state": "withdrawn", "tlp": "amber", "member": "m", "date_added": "t"});
        assert_eq!(row(&bare), ["indicator--1", "-", "2026", "-", "-", "-"]);
        assert_eq!(row(&wrapped), ["indicator--1", "withdrawn", "2026", "amber", "m", "t"]);
    }
}
