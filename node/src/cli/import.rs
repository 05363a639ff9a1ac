//! `belfry import`: what others wrote in their formats, held for a person to release.

use std::path::PathBuf;

use belfry_proto::{
    import::{Format, Mapping},
    schema::Tlp,
    time::Timestamp,
    trust::names::Named as _,
};
use clap::Args;
use serde_json::Value;

use super::{
    args::still_to_come,
    client::{Content, path_and_query},
    drafts::counted,
    global::{DataFolder, Global},
    output, preview,
    publish::read_file,
};
use crate::config::parse_tlp;

/// Skipped items printed one by one; --json has them all.
const MAX_SHOWN: usize = 50;

/// Take in a MISP event, a table, prose or a STIX bundle as a draft.
///
/// What was understood, what was skipped and why is printed. The draft waits until a person releases it with
/// `belfry drafts release`, or leaves at once with --publish. The same file again is nothing new. A table or list that is
/// too long for one publication becomes several, all of them or none.
///
/// With --on-behalf a steward takes it in for a member that does not want to be named: creators are taken out, and what
/// would name the member is refused with its place, as `belfry publish --on-behalf` does.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry import event.json --group cidr --dry-run
  belfry import iocs.csv --group cidr --map value=IOC,type=Kind --tlp amber
  belfry import event.json --group cidr \\
      --on-behalf 'Example Bank' --asked 'message of 2026-11-25, case 4711'
  xclip -o | belfry import - --group cidr --format text")]
pub(super) struct Import {
    /// File; - for stdin
    file: PathBuf,
    /// Slug of the group
    #[arg(long, value_name = "SLUG")]
    group: String,
    /// What it is: stix, misp, csv or text [default: told by name and content]
    #[arg(long)]
    format: Option<Format>,
    /// Columns of a table by meaning: value, type, description, labels, tlp, confidence, valid_from, valid_until, to_ids
    #[arg(long, value_name = "MEANING=COLUMN,…")]
    map: Option<Mapping>,
    /// Marking [default: the most restrictive that the file states, else publish.tlp of the configuration]
    #[arg(long, value_parser = parse_tlp)]
    tlp: Option<Tlp>,
    /// Last day, or RFC 3339 time, its indicators are valid [default: what the file says, if anything]
    #[arg(long, value_name = "DATE", value_parser = still_to_come)]
    valid_until: Option<Timestamp>,
    /// Only this member can open it; repeat for several
    #[arg(long, value_name = "MEMBER")]
    to: Vec<String>,
    /// Why it goes out although a guard objects. Say what it is, never the value
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// As a steward: for this member (name or id), which is named to nobody; say with --asked how it asked
    #[arg(long, value_name = "MEMBER", requires = "asked")]
    on_behalf: Option<String>,
    /// When the member asked, and a reference of that: kept in this node's audit log and nowhere else
    #[arg(long, value_name = "TEXT", requires = "on_behalf")]
    asked: Option<String>,
    /// Let it go out at once instead of holding it
    #[arg(long)]
    publish: bool,
    /// Only say what was understood, what would leave, and to whom
    #[arg(long)]
    dry_run: bool,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

impl Import {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let bytes = read_file(&self.file)?;
        let content = Content { kind: "application/octet-stream", bytes, idempotency_key: None };
        let answer = client.post(&self.path(), content)?;
        if self.json {
            output::print_json(&answer)?;
        } else {
            output::print(&told(&answer, client.again()))?;
        }
        match answer.get("preview") {
            Some(told) if !self.json => preview::show(told, false),
            _ => Ok(()),
        }
    }

    fn path(&self) -> String {
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let map = self.map.as_ref().map(ToString::to_string);
        let until = self.valid_until.map(|until| until.to_string());
        let mut query = vec![("group", self.group.as_str()), ("name", &name)];
        query.extend(self.format.map(|format| ("format", format.as_str())));
        query.extend(map.as_deref().map(|map| ("map", map)));
        query.extend(self.tlp.map(|tlp| ("tlp", tlp.name())));
        query.extend(until.as_deref().map(|until| ("valid_until", until)));
        query.extend(self.to.iter().map(|member| ("to", member.as_str())));
        query.extend(self.reason.as_deref().map(|reason| ("reason", reason)));
        query.extend(self.on_behalf.as_deref().map(|member| ("on_behalf", member)));
        query.extend(self.asked.as_deref().map(|asked| ("asked", asked)));
        query.extend(
            [(self.publish, "publish"), (self.dry_run, "dry_run")]
                .iter()
                .filter(|f| f.0)
                .map(|f| (f.1, "true")),
        );
        path_and_query("/api/v1/import", &query)
    }
}

/// What a file came to, in words.
fn told(answer: &Value, again: &str) -> String {
    let at = |name: &str| answer.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let skipped = answer.get("skipped").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let more = answer.get("more_skipped").and_then(Value::as_u64).unwrap_or(0);
    let mut text =
        format!("Read as {}: {}.\n", at("format"), answer.get("objects").map(counted).unwrap_or_default());
    let total = skipped.len() as u64 + more;
    if total > 0 {
        text.push_str(&format!("Skipped {}:\n", output::counted(total, "item", "items")));
    }
    for item in skipped.iter().take(MAX_SHOWN) {
        let said =
            |name: &str| item.get(name).and_then(Value::as_str).map(output::visible).unwrap_or_default();
        text.push_str(&format!("  {} {}\n", said("at"), said("why")));
    }
    if total > MAX_SHOWN as u64 {
        text.push_str("  … (--json shows more)\n");
    }
    let Some(first) = answer.get("publication").and_then(output::scalar) else { return text };
    let all = answer.get("publications").and_then(Value::as_array).into_iter().flatten();
    let all: Vec<String> = all.filter_map(|one| one.get("publication").and_then(output::scalar)).collect();
    let flag = |name: &str| answer.get(name).and_then(Value::as_bool) == Some(true);
    let notes = answer.get("notes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    notes.for_each(|note| text.push_str(&format!("Note: {}\n", output::visible(note))));
    text.push_str(&match (flag("duplicate"), flag("held"), all.len() > 1) {
        (true, _, false) => format!("Nothing new: this file came before, as {first}.\n"),
        (true, _, true) => format!("Nothing new: this file came before, as {}.\n", all.join(", ")),
        (false, true, false) => format!("Held as draft {first}: belfry drafts show {first}{again}\n"),
        (false, true, true) => {
            let commands = all.iter().map(|id| format!("  belfry drafts show {id}{again}\n"));
            format!("Too much for one draft, and held as {}:\n{}", all.len(), commands.collect::<String>())
        }
        (false, false, false) => {
            format!("On its way. What becomes of it: belfry publication {first}{again}\n")
        }
        (false, false, true) => {
            let commands = all.iter().map(|id| format!("  belfry publication {id}{again}\n"));
            format!("On its way, as {} publications:\n{}", all.len(), commands.collect::<String>())
        }
    });
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_taken_skipped_and_held_is_told() {
        let answer = json!({"format": "csv", "objects": {"indicator": 2}, "held": true, "publication": "ab",
            "skipped": [{"at": "line 3", "why": "is empty"}], "more_skipped": 4});
        let told = told(&answer, "");
        assert!(
            told.starts_with("Read as csv: 2 indicator.\nSkipped 5 items:\n  line 3 is empty\n"),
            "{told}"
        );
        assert!(told.ends_with("Held as draft ab: belfry drafts show ab\n"), "{told}");
    }

    #[test]
    fn each_draft_of_a_long_table_is_named() {
        let mut answer = json!({"format": "csv", "objects": {"indicator": 9}, "held": true, "publication": "ab",
            "publications": [{"publication": "ab"}, {"publication": "cd"}]});
        let held = told(&answer, " --dir x");
        assert!(
            held.ends_with("held as 2:\n  belfry drafts show ab --dir x\n  belfry drafts show cd --dir x\n"),
            "{held}"
        );
        answer["duplicate"] = json!(true);
        assert!(told(&answer, "").ends_with("came before, as ab, cd.\n"));
    }
}
