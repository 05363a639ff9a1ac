//! Who decided, when, and where that is written: kept beside the log, because the log is for ever and names nobody.
//!
//! One JSON file a statement, `decisions/STATEMENT.json` in the coalition's folder. The statement id ties the two
//! together: whoever has both can show that this minute belongs to that entry.

use std::path::PathBuf;

use belfry_proto::{id::StatementId, time::Timestamp};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use crate::{
    cli::{
        args::{day, moment},
        exit::refuse,
    },
    clock,
    keys::file::{self, Existing, Readers},
};

/// Characters of a body's name or a reference: a line in a register.
const MAX_TEXT: usize = 300;

/// What the coalition can show for a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Evidence {
    /// Who decided, as in 'Board of Directors'; kept beside the log, not in it
    #[arg(long, value_name = "BODY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decided_by: Option<String>,
    /// When that was decided: a day, or a time with its zone [default: now]
    #[arg(long, value_name = "DATE", value_parser = moment)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decided_on: Option<Timestamp>,
    /// Where it is written, as in 'minutes 2026-11-20, item 4'
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<String>,
    /// Member since this day, where it took part before belfry did: the coalition's own word, and marked as such
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) member_since: Option<Timestamp>,
}

impl Evidence {
    /// Refuses what cannot be: before anything is signed.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let now = clock::now();
        for (what, time) in [("--decided-on", self.decided_on), ("--member-since", self.member_since)] {
            if let Some(time) = time.filter(|time| *time > now) {
                refuse!("{what} {} is still to come: record the decision once it is taken", day(time));
            }
        }
        check_line("--decided-by", self.decided_by.as_deref())?;
        check_line("--evidence", self.evidence.as_deref())
    }

    /// When the decision was taken: as stated, else now.
    pub(super) fn decided(&self) -> Timestamp {
        self.decided_on.unwrap_or_else(clock::now)
    }

    /// Keeps it, if there is anything to keep.
    pub(super) fn keep(&self, folder: &Folder, statement: StatementId) -> anyhow::Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        file::create_folder(&folder.dir().join("decisions"))?;
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        Ok(file::write(&path(folder, statement), text.as_bytes(), Readers::All, Existing::Replace)?)
    }

    /// What was kept of a statement; empty where nothing was.
    pub(super) fn of(folder: &Folder, statement: StatementId) -> anyhow::Result<Self> {
        let path = path(folder, statement);
        match file::read_text(&path) {
            Ok(text) => {
                Ok(serde_json::from_str(&text).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?)
            }
            Err(error) if error.is_absent() => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// In one line, for listings.
    pub(super) fn told(&self) -> String {
        let on = self.decided_on.map(day);
        let parts = [self.decided_by.clone(), on, self.evidence.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Refuses what is no line of a register.
pub(super) fn check_line(what: &str, text: Option<&str>) -> anyhow::Result<()> {
    let is_line = |text: &str| {
        !text.trim().is_empty() && text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control)
    };
    if text.is_some_and(|text| !is_line(text)) {
        refuse!("{what} must be one line of 1 to {MAX_TEXT} characters");
    }
    Ok(())
}

fn path(folder: &Folder, statement: StatementId) -> PathBuf {
    folder.dir().join("decisions").join(format!("{statement}.json"))
}
