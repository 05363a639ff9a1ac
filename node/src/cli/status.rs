//! `belfry status`: is it well, and is anything readable only here?

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::{
    global::{DataFolder, Global},
    listing::listed,
    output, source,
};

/// Show the running node: identity, certificate, roster, peers, groups.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    data: DataFolder,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let status = client.get("/api/v1/status")?;
        if self.json {
            return output::print_json(&status);
        }
        Ok(output::print(&text(&status, client.again()))?)
    }
}

/// What an operator looks at, most alarming first.
fn text(status: &Value, again: &str) -> String {
    let mut out = warnings(status);
    if !out.is_empty() {
        out.push('\n');
    }
    out += &output::facts(&facts(status, again));
    if status.pointer("/held/certificate/carrier").and_then(Value::as_bool) == Some(true) {
        out += "This node is a carrier: it forwards and stores what it cannot open.\n";
    }
    out.push('\n');
    let columns = [
        "slug",
        "role",
        "logs",
        "entries",
        "logs_with_gaps",
        "waiting_for_key",
        "not_for_us",
        "quarantined",
        "disputed",
    ];
    out += &listed(status.pointer("/held").unwrap_or(&Value::Null), "groups", &columns);
    if status.get("sources").and_then(Value::as_array).is_some_and(|sources| !sources.is_empty()) {
        out.push('\n');
        out += &listed(status, "sources", &source::COLUMNS);
    }
    out
}

/// A line each; what groups tell of forks too.
fn warnings(status: &Value) -> String {
    let mut out = String::new();
    for warning in status.pointer("/warnings").and_then(Value::as_array).into_iter().flatten() {
        let _ = writeln!(out, "WARNING: {}", output::scalar(warning).unwrap_or_default());
    }
    for group in status.pointer("/held/groups").and_then(Value::as_array).into_iter().flatten() {
        let fact = |name: &str| group.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
        let count = |name: &str| group.get(name).and_then(Value::as_u64).unwrap_or_default();
        if count("forked_logs") > 0 {
            let _ = writeln!(
                out,
                "WARNING: in {} {} forked: the author signed two histories, or vouched for what it had not signed; {} hidden as \
                 disputed. GET /api/v1/forks has the proofs.",
                fact("slug"),
                output::counted(count("forked_logs"), "log is", "logs are"),
                output::counted(count("disputed"), "message is", "messages are"),
            );
        }
    }
    out
}

fn facts(status: &Value, again: &str) -> Vec<(&'static str, String)> {
    let at = |path: &str| status.pointer(path).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let day = |path: &str| at(path).chars().take(10).collect::<String>();
    let mut listening = status
        .pointer("/node/listening")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(output::scalar);
    let mut facts = vec![
        ("node", at("/node/peer_id")),
        (
            "version",
            format!("{}, {}", at("/version"), if at("/ready") == "yes" { "ready" } else { "not ready" }),
        ),
        (
            "organisation",
            format!("{} (member {})", at("/held/certificate/organisation"), at("/held/certificate/member")),
        ),
        (
            "certificate",
            format!(
                "{}, {}{} until {} ({} days)",
                at("/held/certificate/serial"),
                at("/held/certificate/standing"),
                if at("/held/certificate/standing") == "valid" { "" } else { "; it runs" },
                day("/held/certificate/not_after"),
                at("/held/certificate/days_left")
            ),
        ),
        ("coalition", format!("{} ({})", at("/held/coalition_name"), at("/held/coalition"))),
        (
            "roster",
            format!(
                "height {}, head {}, charter {} until {}",
                at("/held/roster_height"),
                at("/held/roster_head"),
                at("/held/charter_version"),
                day("/held/charter_expires")
            ),
        ),
        (
            "peers",
            format!(
                "{} connected; members with a valid certificate: {}",
                at("/node/connected"),
                at("/held/members")
            ),
        ),
        ("listening", listening.next().unwrap_or_else(|| "nowhere: this node only dials".into())),
    ];
    facts.extend(listening.map(|address| ("", address)));
    facts.extend([
        ("API", format!("{} (TAXII under /taxii2/, REST under /api/v1/)", at("/api"))),
        ("readable only here", at("/node/readable_only_here")),
        ("waiting to be sent", at("/node/drafts")),
        ("ahead of the roster", at("/node/parked")),
        ("open proposals", proposals(status.get("proposals").unwrap_or(&Value::Null), again)),
        ("disk", size(status.pointer("/held/disk_bytes"))),
    ]);
    facts
}

/// Proposals that somebody is to answer.
fn proposals(open: &Value, again: &str) -> String {
    let count = |name: &str| open.get(name).and_then(Value::as_u64);
    let (Some(to_us), Some(by_us)) = (count("to_us"), count("by_us")) else { return "-".into() };
    let more = if open.get("more").and_then(Value::as_bool) == Some(true) { ", and more" } else { "" };
    match (to_us, by_us) {
        (0, 0) => "none".to_owned(),
        _ => format!("{to_us} to answer, {by_us} of ours{more}: belfry proposals list{again}"),
    }
}

fn size(bytes: Option<&Value>) -> String {
    match bytes.and_then(Value::as_u64) {
        None => "-".into(),
        Some(bytes) if bytes < 10 << 20 => format!("{} KiB", bytes >> 10),
        Some(bytes) => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_reads_from_warnings_to_groups() {
        let text = text(
            &json!({
                "version": "0.1.0", "ready": true, "warnings": ["the clock is 70 s off"],
                "api": ["http://127.0.0.1:4718"],
                "held": {
                    "coalition_name": "Test", "roster_height": 7, "disk_bytes": 3 << 20,
                    "certificate": {"serial": 3, "standing": "valid", "not_after": "2027-11-30T00:00:00Z", "days_left": 371},
                    "groups": [{"slug": "cidr", "role": "publisher", "entries": 12}],
                },
                "node": {"peer_id": "12D3KooWx", "connected": 4, "readable_only_here": 0, "listening": []},
                "sources": [{"name": "osint", "kind": "misp", "state": "failing", "failure": "answers 503"}],
                "proposals": {"to_us": 2, "by_us": 0, "more": false},
            }),
            " --dir x",
        );
        assert!(text.contains("osint  misp") && text.contains("answers 503"), "{text}");
        assert!(text.starts_with("WARNING: the clock is 70 s off\n\nnode "), "{text}");
        assert!(text.contains("3, valid until 2027-11-30 (371 days)"), "{text}");
        assert!(text.contains("height 7, head -"), "{text}");
        assert!(text.contains("listening            nowhere"), "{text}");
        assert!(text.contains("http://127.0.0.1:4718 (TAXII under /taxii2/"), "{text}");
        assert!(text.contains("cidr  publisher  -     12"), "{text}");
        assert!(
            text.contains("open proposals       2 to answer, 0 of ours: belfry proposals list --dir x"),
            "{text}"
        );
    }

    #[test]
    fn a_forked_log_is_among_the_warnings() {
        let group = json!({"slug": "cidr", "forked_logs": 1, "disputed": 7});
        let text = text(&json!({"held": {"groups": [group]}}), "");
        assert!(text.starts_with("WARNING: in cidr 1 log is forked"), "{text}");
        assert!(text.contains("7 messages are hidden as disputed"), "{text}");
    }

    #[test]
    fn proposals_are_told_where_there_are_any() {
        assert_eq!(proposals(&json!({"to_us": 0, "by_us": 0, "more": false}), ""), "none");
        assert!(
            proposals(&json!({"to_us": 0, "by_us": 3, "more": true}), "").contains("3 of ours, and more")
        );
        assert_eq!(proposals(&Value::Null, ""), "-");
    }

    #[test]
    fn an_answer_of_another_version_still_shows() {
        assert!(text(&Value::Null, "").contains("none"));
    }
}
