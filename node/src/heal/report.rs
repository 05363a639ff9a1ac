//! What healing found, for people. No word of content: columns, ids, places.

use std::{collections::BTreeMap, path::Path};

use belfry_proto::id::{GroupId, LogId, Sequence};

use crate::{
    keys::file::{self, Existing, Readers},
    store::{Carried, Lost, MessageRow},
};

/// Damaged stretches named; beyond it they are only counted.
const NAMED: usize = 100;

/// What is to become of the damaged store.
const DELETE: &str = "Delete this folder once you have checked what was healed: it keeps, sealed, also what is withdrawn or runs out \
                      of its retention from now on, and until it is gone nothing is healed by itself again.";

/// What was damaged, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that were sound and are stored again.
    pub messages: u64,
    /// Messages that name entries of the admin log which a charter has cut away since, and wait beside.
    pub parked: u64,
    /// Damaged stretches and rows, the first hundred, in words.
    pub damaged: Vec<String>,
    /// How many there are in all.
    pub damages: u64,
    /// Places in logs that are empty now, to be fetched.
    pub gaps: Vec<Gap>,
    /// Rows of this node's own that are gone, by column.
    pub gone: BTreeMap<&'static str, u64>,
}

/// Places of a log that are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// First.
    pub from: Sequence,
    /// Last.
    pub to: Sequence,
    /// This node wrote it.
    pub is_own: bool,
}

impl Report {
    fn name(&mut self, text: String) {
        self.damages += 1;
        if self.damaged.len() < NAMED {
            self.damaged.push(text);
        }
    }

    pub(super) fn lost(&mut self, lost: &Lost) {
        let behind = if lost.after.is_empty() { "its beginning" } else { lost.after.as_str() };
        self.name(format!("{}, at or behind {behind}: {}", lost.column, lost.error));
    }

    pub(super) fn refused(&mut self, row: &MessageRow, code: &str) {
        self.name(format!(
            "the message at place {} of log {} in group {} does not pass: {code}",
            row.sequence, row.log, row.group
        ));
    }

    pub(super) fn own(&mut self, carried: Carried) {
        for lost in &carried.lost {
            *self.gone.entry(lost.column).or_default() += 1;
            self.lost(lost);
        }
    }

    /// A line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.damaged.iter().map(|text| format!("damaged: {text}")).collect();
        let unnamed = self.damages - self.damaged.len() as u64;
        if unnamed > 0 {
            lines.push(format!("and {unnamed} more"));
        }
        lines.push(format!(
            "{} messages are sound and stored again; tools meet their objects once more",
            self.messages
        ));
        if self.parked > 0 {
            lines.push(format!(
                "{} messages name entries that the admin log no longer has; they wait, as far as there is room",
                self.parked
            ));
        }
        for gap in &self.gaps {
            let Gap { group, log, from, to, is_own } = gap;
            lines.push(format!("missing: places {from} to {to} of log {log} in group {group}, asked of other nodes from now on"));
            if *is_own {
                lines.push(
                    "that log is this node's own: what no other node holds of it is lost, unless a backup has it".to_owned(),
                );
            }
        }
        lines.extend(self.gone.iter().map(|(column, count)| {
            let mend = match *column {
                "keys" => "content keys are asked for again where other members hold them",
                "drafts" | "idempotency" => {
                    "what was not published yet is lost: restore a backup elsewhere, or publish it again"
                }
                "tokens" => "their tools need new ones: belfry token create",
                "data-keys" => "what was sealed under them does not open; it is named above",
                _ => "it comes again with what other nodes tell",
            };
            format!("lost of this node's own: {count} in {column}; {mend}")
        }));
        lines
    }

    /// Leaves itself beside what it is about, for whoever looks later.
    pub(super) fn write(&self, folder: &Path) {
        let text = self.lines().join("\n") + "\n" + DELETE + "\n";
        let path = folder.join("HEALED.txt");
        if let Err(error) = file::write(&path, text.as_bytes(), Readers::Owner, Existing::Replace) {
            tracing::warn!("{}: {error}", path.display());
        }
    }
}
