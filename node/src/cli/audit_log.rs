//! `belfry audit log | verify`: who did what through this node's API, and whether the record of it is whole.

use clap::Args;
use serde_json::Value;

use super::{
    args::second,
    client::path_and_query,
    exit::refuse,
    global::{DataFolder, Global, KeyPassphrase},
    output,
};
use crate::{
    audit_log::{self, FOLDER, Standing},
    keys::{self, Enrolment},
};

/// Show who did what through this node's API.
///
/// A call is written before it is let through, its result afterwards; reads are counted and told once a minute. Tokens
/// are named by their ids, as `belfry token list` shows them.
#[derive(Debug, Args)]
pub(super) struct Calls {
    /// Only what follows this entry
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Verify that no entry of the record was altered, moved or taken out.
///
/// Works on the data folder, with or without a running daemon. What was cut off at the end only shows against a head that
/// was noted elsewhere: the daemon's log tells it at each start and stop, `belfry audit log --json` at any time. Exit code
/// 3 if anything is wrong.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry audit verify
  belfry audit verify --head 4711:9f2c…")]
pub(super) struct Verify {
    /// An entry's number and head, noted earlier, that the record has to pass through
    #[arg(long, value_name = "NUMBER:HEAD", value_parser = standing)]
    head: Option<Standing>,
    #[command(flatten)]
    data: DataFolder,
    #[command(flatten)]
    passphrase: KeyPassphrase,
}

fn standing(text: &str) -> Result<Standing, String> {
    let (number, head) = text.split_once(':').ok_or("write NUMBER:HEAD, as the daemon's log tells them")?;
    let sequence = number.parse().map_err(|_| format!("{number:?} is not the number of an entry"))?;
    let head = head.parse().map_err(|_| "a head is 64 hex digits".to_owned())?;
    Ok(Standing { sequence, head })
}

impl Calls {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let after = self.after.to_string();
        let path = path_and_query("/api/v1/audit", &[("after", &after)]);
        let answer = global.client(&self.data)?.get(&path)?;
        if self.json {
            return output::print_json(&answer);
        }
        let entries = answer.get("entries").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let text = |entry: &Value, name: &str| {
            entry.get(name).and_then(output::scalar).map_or_else(String::new, |text| output::visible(&text))
        };
        let rows: Vec<[String; 6]> = entries
            .iter()
            .map(|entry| {
                let what = format!("{} {}", text(entry, "method"), text(entry, "route"));
                let note = match text(entry, "event").as_str() {
                    "on-behalf" => {
                        format!(
                            "of {} for {}: {}",
                            text(entry, "call"),
                            text(entry, "organisation"),
                            text(entry, "asked")
                        )
                    }
                    "reason" => format!("of {}: {}", text(entry, "call"), text(entry, "reason")),
                    "result" => {
                        let also = entry.get("also").and_then(Value::as_array).into_iter().flatten();
                        let also = also.filter_map(output::scalar).map(|id| output::visible(&id));
                        let named: Vec<String> = [text(entry, "subject")].into_iter().chain(also).collect();
                        format!("of {} {}", text(entry, "call"), named.join(", "))
                    }
                    "reads" => format!("{} times", text(entry, "count")),
                    "dropped" => format!("below {}", text(entry, "below")),
                    "cut" => format!("{} bytes, {} lines", text(entry, "bytes"), text(entry, "lines")),
                    _ => String::new(),
                };
                [
                    text(entry, "sequence"),
                    text(entry, "at"),
                    text(entry, "event"),
                    text(entry, "token"),
                    format!("{} {}", what.trim(), text(entry, "status")).trim().to_owned(),
                    note.trim().to_owned(),
                ]
            })
            .collect();
        Ok(output::print(&output::table(["entry", "at", "event", "token", "call", ""], &rows))?)
    }
}

impl Verify {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.config(&self.data)?;
        let folder = &config.node.data_dir;
        keys::DataFolder::of(&config).joined()?;
        let enrolment = Enrolment::load(folder, &self.passphrase.read(&config.keys)?)?;
        let verified = match audit_log::verify(&folder.join(FOLDER), &enrolment.keys.store, self.head) {
            Ok(verified) => verified,
            Err(error @ audit_log::AuditError::File { .. }) => return Err(error.into()),
            Err(error) => refuse!("{error}"),
        };
        let Standing { sequence, head } = verified.standing;
        if sequence == 0 {
            refuse!(
                "there is no entry in {}: this node never ran, or its record was taken away",
                folder.join(FOLDER).display()
            );
        }
        let day = |time: Option<_>| time.map_or_else(|| "-".to_owned(), second);
        output::print(&output::facts(&[
            ("entries", format!("{} to {sequence}", verified.first)),
            ("from", day(verified.since)),
            ("to", day(verified.until)),
            ("head", format!("{sequence}:{head}")),
        ]))?;
        if verified.is_torn {
            output::warn("it ends in half a line: being written just now, or torn by a power cut");
        }
        if !verified.cuts.is_empty() {
            let cuts: Vec<String> = verified
                .cuts
                .iter()
                .map(|cut| format!("{} lines before entry {} ({})", cut.lines, cut.sequence, second(cut.at)))
                .collect();
            refuse!(
                "entries were damaged, and set aside when the node started: {}. Those lines prove nothing any more; look at the disk, \
                 and at a backup for what they said",
                cuts.join("; ")
            );
        }
        Ok(output::print("Every entry stands where it was written.\n")?)
    }
}
