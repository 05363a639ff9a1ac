//! `belfry newcomers | hold | release`: who reads since lately, and whether this node lets it have the archive.

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::{Content, segment},
    global::{DataFolder, Global},
    output,
};

/// List members that are new readers of this node's groups.
///
/// A new member reads what is published from its certificate on. What was published before it gets, as far as a group
/// gives history, when the charter's grant delay is over. Until then look at who it is. Also lists who is held back.
///
/// A new node of a member that reads already, with keys of its own, is listed for as long, by its certificate: it gets older keys at
/// once. Whether one is really its member's, the member knows: its own are listed, too.
#[derive(Debug, Args)]
pub(super) struct Newcomers {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Hold a member back: this node gives it no keys of the time before it came.
///
/// Nor does any node of it get keys from before its own certificate.
/// What is published from now on it reads like everybody who is certified: only the coalition can end that. Other nodes
/// decide for themselves; tell them and the coalition. Holds until `belfry release`, also over restarts.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry newcomers
  belfry hold 'Ghost Ltd'
  belfry release 'Ghost Ltd'")]
pub(super) struct Hold {
    /// Member id or organisation name
    member: String,
    #[command(flatten)]
    data: DataFolder,
}

/// Release a member: the charter's rule alone decides which keys it gets.
#[derive(Debug, Args)]
pub(super) struct Release {
    /// Member id or organisation name
    member: String,
    #[command(flatten)]
    data: DataFolder,
}

impl Newcomers {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let answer = global.client(&self.data)?.list("/api/v1/newcomers", &[], "newcomers")?;
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&text(&answer))?)
    }
}

impl Hold {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let content = Content {
            kind: "application/json",
            bytes: json!({ "member": self.member }).to_string().into_bytes(),
            idempotency_key: None,
        };
        global.client(&self.data)?.post("/api/v1/holds", content)?;
        Ok(output::print(&format!(
            "This node gives {} no keys of the time before it came, until `belfry release`.\n",
            output::visible(&self.member)
        ))?)
    }
}

impl Release {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        global.client(&self.data)?.delete(&format!("/api/v1/holds/{}", segment(&self.member)))?;
        Ok(output::print(&format!("Released {}.\n", output::visible(&self.member)))?)
    }
}

fn text(answer: &Value) -> String {
    let mut rows: Vec<[String; 6]> = Vec::new();
    for one in answer.get("newcomers").and_then(Value::as_array).into_iter().flatten() {
        let fact = |name: &str| one.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
        let list = one.get("classes").and_then(Value::as_array).into_iter().flatten();
        let classes: Vec<String> = list.filter_map(output::scalar).collect();
        let groups = one.get("groups").and_then(Value::as_array).cloned().unwrap_or_default();
        let held = if one.get("held_since").is_some_and(Value::is_string) { "held" } else { "no" };
        let row = |who: String, slug: String, since: String, from: String| {
            [who, classes.join(", "), slug, since, from, held.to_owned()]
        };
        let nodes = one.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
        if groups.is_empty() && nodes.is_empty() {
            rows.push(row(fact("organisation"), "-".into(), "-".into(), "-".into()));
        }
        let at = |group: &Value, name: &str| {
            let said = group.get(name).filter(|value| !value.is_null()).and_then(output::scalar);
            said.unwrap_or_else(|| "never".into())
        };
        let told = |who: &str, group: &Value| {
            row(who.to_owned(), at(group, "slug"), at(group, "since"), at(group, "old_keys_from"))
        };
        rows.extend(groups.iter().map(|group| told(&fact("organisation"), group)));
        for node in &nodes {
            let certificate = node.get("certificate").and_then(output::scalar).unwrap_or_default();
            let who = format!("{}, certificate {certificate}", fact("organisation"));
            let reads = node.get("groups").and_then(Value::as_array).into_iter().flatten();
            rows.extend(reads.map(|group| told(&who, group)));
        }
    }
    if rows.is_empty() {
        return "Nobody is new among the readers of this node's groups, and nobody is held back.\n"
            .to_owned();
    }
    output::table(["organisation", "classes", "group", "reads since", "older keys from", "held"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_read_by_group_and_who_is_held_shows() {
        let text = text(&json!({"newcomers": [
            {"organisation": "Ghost", "classes": ["essential"], "held_since": "2026-11-30T00:00:00Z", "groups": [
                {"slug": "cidr", "since": "2026-11-29T00:00:00Z", "old_keys_from": "2026-11-30T00:00:00Z"},
                {"slug": "grc", "since": "2026-11-29T00:00:00Z", "old_keys_from": null},
            ]},
        ]}));
        assert!(text.contains("Ghost") && text.contains("cidr") && text.contains("held"), "{text}");
        assert!(text.lines().any(|line| line.contains("grc") && line.contains("never")), "{text}");
        assert!(self::text(&Value::Null).starts_with("Nobody"));
        let at = "2026-11-29T00:00:00Z";
        let text = self::text(
            &json!({"newcomers": [{"organisation": "Bank", "classes": ["financial"], "groups": [], "nodes": [
                {"certificate": 12, "groups": [{"slug": "cidr", "since": at, "old_keys_from": at}]},
            ]}]}),
        );
        assert!(text.contains("Bank, certificate 12") && text.contains("cidr"), "{text}");
    }
}
