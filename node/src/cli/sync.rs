//! `belfry sync`: is everything here, and if not, what is missing and why?

use std::{fmt::Write as _, io::IsTerminal as _, time::Duration};

use clap::Args;
use serde_json::Value;

use super::{
    global::{DataFolder, Global},
    output,
};

/// Between two looks of `--watch`.
const EVERY: Duration = Duration::from_secs(1);
/// Characters of a progress bar.
const BAR: usize = 24;

/// Show how far this node is with what the others hold, and why not further.
#[derive(Debug, Args)]
pub(super) struct Sync {
    #[command(flatten)]
    data: DataFolder,
    /// Look again every second, with a bar for each group, until interrupted
    #[arg(long)]
    watch: bool,
    /// Print the daemon's answer as JSON, with --watch one line for every change
    #[arg(long)]
    json: bool,
}

impl Sync {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let look = || client.get("/api/v1/sync");
        if !self.watch {
            let now = look()?;
            if self.json {
                return output::print_json(&now);
            }
            return Ok(output::print(&text(&now))?);
        }
        let (mut shown, mut lines) = (String::new(), 0);
        let is_terminal = std::io::stdout().is_terminal();
        loop {
            let now = look()?;
            let next = if self.json { format!("{now}\n") } else { text(&now) };
            if next != shown {
                // Back over what was shown before. Elsewhere than on a terminal every state stands for itself.
                if is_terminal && !self.json && lines > 0 {
                    output::print(&format!("\u{1b}[{lines}A\u{1b}[J"))?;
                }
                output::print(&next)?;
                lines = next.lines().count();
                shown = next;
            }
            std::thread::sleep(EVERY);
        }
    }
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_default()
}

/// Peers first, then a line for each group, with what is missing below it.
fn text(sync: &Value) -> String {
    let groups = sync.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut out = format!(
        "{} here: {} compared with, {} being compared with, {} resting\n",
        output::counted(number(sync, "/peers/ready"), "peer", "peers"),
        number(sync, "/peers/compared"),
        number(sync, "/peers/comparing"),
        number(sync, "/peers/resting")
    );
    let compared = sync.get("compared").filter(|at| !at.is_null()).and_then(output::scalar);
    let _ = writeln!(
        out,
        "last compared with anybody: {}",
        compared.unwrap_or_else(|| "not since the start".into())
    );
    match number(sync, "/parked") {
        0 => {}
        parked => {
            let messages = output::counted(parked, "message waits", "messages wait");
            let _ = writeln!(out, "{messages} for entries of the admin log that are not here yet");
        }
    }
    let name = |group: &Value| group.get("slug").and_then(output::scalar).map(|slug| output::visible(&slug));
    let names: Vec<String> = groups.iter().map(|group| name(group).unwrap_or_default()).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (group, name) in groups.iter().zip(&names) {
        let progress = group.get("progress").unwrap_or(&Value::Null);
        let (held, offered) = (number(progress, "/held"), number(progress, "/offered"));
        let known = held.saturating_add(offered);
        let state = progress.get("state").and_then(Value::as_str).unwrap_or_default();
        let bar = bar(held, known, is_whole(state));
        let _ = writeln!(out, "{name:<width$}  {bar}  {held} of {known}  {}", word(state));
        for reason in reasons(progress) {
            let _ = writeln!(out, "{:width$}    {reason}", "");
        }
    }
    if groups.is_empty() {
        out += "No group that this token reads.\n";
    }
    out
}

/// Whether nothing is known to be missing: of what nobody tells or offers there is no count.
fn is_whole(state: &str) -> bool {
    matches!(state, "level" | "waiting-for-key")
}

/// Filled as far as `held` of `known`, and wholly only where that is all.
fn bar(held: u64, known: u64, is_whole: bool) -> String {
    let most = if is_whole { BAR } else { BAR - 1 };
    let filled = match held.saturating_mul(BAR as u64).checked_div(known) {
        Some(filled) => usize::try_from(filled).unwrap_or(BAR).min(most),
        None if is_whole => BAR,
        None => 0,
    };
    format!("[{}{}]", "#".repeat(filled), ".".repeat(BAR - filled))
}

fn word(state: &str) -> String {
    match state {
        "no-peer" => "no peer is here: what others hold is not known",
        "comparing" => "comparing for the first time",
        "fetching" => "fetching",
        "waiting-for-peer" => "waiting for peers that are busy or did not deliver",
        "nobody-offers" => "nobody here offers what is missing",
        "over-disk-quota" => "what is missing is of members whose room here is used up",
        "waiting-for-key" => "waiting for keys",
        "level" => "level with everybody compared with",
        other => return output::visible(other),
    }
    .to_owned()
}

/// What is missing, a line each.
fn reasons(progress: &Value) -> Vec<String> {
    let lines = [
        (
            "of_resting_peers",
            "entry is",
            "entries are",
            "offered only by peers that are busy or did not deliver",
        ),
        ("gaps_nobody_offers", "log has", "logs have", "a gap that nobody here offers to fill"),
        ("without_body", "entry is", "entries are", "here without the body"),
        (
            "waiting_for_key",
            "message waits",
            "messages wait",
            "for the key, from its author or another reader",
        ),
        ("frozen", "log is", "logs are", "forked by its author, and not fetched beyond the fork"),
        (
            "over_disk_quota",
            "log has",
            "logs have",
            "more, of members whose room here is used up (store.member_quota)",
        ),
        ("beyond_retention", "entry is", "entries are", "past the group's retention, and not fetched"),
    ];
    let told = lines.into_iter().filter_map(|(field, one, many, what)| {
        let count = progress.get(field).and_then(Value::as_u64).filter(|count| *count > 0)?;
        Some(format!("{} {what}", output::counted(count, one, many)))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_told_with_its_reason() {
        let text = text(&json!({
            "peers": {"ready": 3, "compared": 2, "comparing": 1, "resting": 1},
            "compared": "2026-11-25T10:00:00Z", "parked": 1,
            "groups": [
                {"slug": "cidr", "progress": {"state": "fetching", "held": 50, "offered": 50, "waiting_for_key": 1}},
                {"slug": "ot-ics", "progress": {"state": "nobody-offers", "held": 7, "gaps_nobody_offers": 2}},
            ],
        }));
        assert!(text.starts_with("3 peers here: 2 compared with"), "{text}");
        assert!(text.contains("1 message waits for entries of the admin log"), "{text}");
        assert!(text.contains("cidr    [############............]  50 of 100  fetching\n"), "{text}");
        assert!(text.contains("          1 message waits for the key"), "{text}");
        assert!(text.contains("ot-ics  [#######################.]  7 of 7  nobody here offers"), "{text}");
        assert!(text.contains("2 logs have a gap"), "{text}");
    }

    #[test]
    fn a_bar_is_full_only_when_everything_is_there() {
        let filled = |held, known, state| bar(held, known, is_whole(state)).matches('#').count();
        assert_eq!(filled(999, 1000, "fetching"), BAR - 1);
        assert_eq!(
            (filled(0, 0, "level"), filled(5, 5, "level"), filled(5, 5, "waiting-for-key")),
            (BAR, BAR, BAR)
        );
        assert_eq!(filled(0, u64::MAX, "fetching"), 0);
        assert_eq!(filled(0, 0, "no-peer"), 0, "nobody tells");
        for state in ["no-peer", "comparing", "nobody-offers", "over-disk-quota"] {
            assert_eq!(filled(7, 7, state), BAR - 1, "{state}");
        }
    }

    #[test]
    fn alone_it_does_not_call_itself_level() {
        let groups = json!([{"slug": "cidr", "progress": {"state": "no-peer", "held": 3}}]);
        // As the daemon says it.
        let text = text(&json!({"compared": null, "groups": groups}));
        assert!(text.contains("not since the start") && text.contains("is not known"), "{text}");
    }
}
