//! Who decided, when, and where that is written: kept beside the log, because the log is for ever and names nobody.
//!
//! One JSON file a statement, `decisions/STATEMENT.json` in the coalition's folder. The statement's nonce is drawn from it, so the
//! admins sign for it: whoever has both can show that this minute belongs to that entry (`belfry verify`). A copy lies beside a
//! statement that waits for more admins, who see there what they sign for.

use std::path::{Path, PathBuf};

use belfry_proto::{
    id::{CoalitionId, StatementId},
    time::Timestamp,
    trust::{
        evidence::{NONCE, SALT},
        statement::Statement,
    },
};
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
    notice::Minutes,
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
    /// What the statement's nonce was drawn with, in hex
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) salt: Option<String>,
}

impl Evidence {
    /// Refuses what cannot be: before anything is signed.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.check_as(option)
    }

    /// The same of a list's row, by the names of its columns.
    pub(super) fn check_columns(&self) -> anyhow::Result<()> {
        self.check_as(|name| format!("{}:", column(name)))
    }

    fn check_as(&self, named: fn(&str) -> String) -> anyhow::Result<()> {
        let now = clock::now();
        for (what, time) in [("decided_on", self.decided_on), ("member_since", self.member_since)] {
            if let Some(time) = time.filter(|time| *time > now) {
                refuse!(
                    "{} {} is still to come: record the decision once it is taken",
                    named(what),
                    day(time)
                );
            }
        }
        check_line(&named("decided_by"), self.decided_by.as_deref())?;
        check_line(&named("evidence"), self.evidence.as_deref())
    }

    /// When the decision was taken: as stated, else now.
    pub(super) fn decided(&self) -> Timestamp {
        self.decided_on.unwrap_or_else(clock::now)
    }

    /// The same with a salt, if there is anything to keep: its statement is drawn from it.
    pub(super) fn salted(&self) -> Self {
        let salt = (*self != Self::default()).then(|| hex::encode(rand::random::<[u8; SALT]>()));
        Self { salt, ..self.clone() }
    }

    /// The nonce of the statement; a random one where nothing is kept.
    pub(super) fn nonce(&self, coalition: CoalitionId) -> [u8; NONCE] {
        self.minutes().nonce(coalition).unwrap_or_else(rand::random)
    }

    /// As others than the coalition have it.
    pub(super) fn minutes(&self) -> Minutes {
        let Self { decided_by, decided_on, evidence, member_since, salt } = self.clone();
        Minutes { decided_by, decided_on, evidence, member_since, salt }
    }

    /// Keeps it, if there is anything to keep.
    pub(super) fn keep(&self, folder: &Folder, statement: StatementId) -> anyhow::Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        file::create_folder(&folder.dir().join("decisions"))?;
        self.write(&path(folder, statement))
    }

    /// Puts it beside a statement that waits, if there is anything to keep: whoever signs next signs for it, too.
    pub(super) fn keep_beside(&self, waiting: &Path) -> anyhow::Result<()> {
        match *self == Self::default() {
            true => Ok(()),
            false => self.write(&beside(waiting)),
        }
    }

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        Ok(file::write(path, text.as_bytes(), Readers::All, Existing::Replace)?)
    }

    /// What lies beside a statement that waits, held to it; [`None`] if nothing does.
    pub(super) fn beside(waiting: &Path, statement: &Statement) -> anyhow::Result<Option<Self>> {
        let path = beside(waiting);
        let Some(found) = read(&path)? else { return Ok(None) };
        if !found.minutes().is_of(statement) {
            refuse!(
                "{} is not the record that {} was drawn from: it was changed, or is of another statement. Ask whoever decided \
                 for both files anew",
                path.display(),
                waiting.display()
            );
        }
        Ok(Some(found))
    }

    /// What was kept of a statement; empty where nothing was.
    pub(super) fn of(folder: &Folder, statement: StatementId) -> anyhow::Result<Self> {
        Ok(read(&path(folder, statement))?.unwrap_or_default())
    }

    /// Refuses other words about a decision that is signed already: its statement was drawn from those it has.
    pub(super) fn check_kept(
        &self,
        folder: &Folder,
        statement: &Statement,
        waits: Option<&Path>,
    ) -> anyhow::Result<()> {
        self.check_kept_as(folder, statement, waits, option)
    }

    /// The same of a list's row, by the names of its columns.
    pub(super) fn check_kept_columns(
        &self,
        folder: &Folder,
        statement: &Statement,
        waits: Option<&Path>,
    ) -> anyhow::Result<()> {
        self.check_kept_as(folder, statement, waits, column)
    }

    fn check_kept_as(
        &self,
        folder: &Folder,
        statement: &Statement,
        waits: Option<&Path>,
        named: fn(&str) -> String,
    ) -> anyhow::Result<()> {
        // Whoever decided first keeps it in a folder of its own, and sends it with the file.
        let kept = match waits.map(|path| Self::beside(path, statement)).transpose()?.flatten() {
            Some(beside) => beside,
            None => Self::of(folder, statement.id)?,
        };
        let others: Vec<String> = [
            ("decided_by", self.decided_by.is_some() && self.decided_by != kept.decided_by),
            ("decided_on", self.decided_on.is_some() && self.decided_on != kept.decided_on),
            ("evidence", self.evidence.is_some() && self.evidence != kept.evidence),
            ("member_since", self.member_since.is_some() && self.member_since != kept.member_since),
        ]
        .into_iter()
        .filter(|(_, is_other)| *is_other)
        .map(|(what, _)| named(what))
        .collect();
        if others.is_empty() {
            return Ok(());
        }
        let since = kept.member_since.map(|since| format!("member since {}", day(since)));
        let told = Some(kept.told()).filter(|told| !told.is_empty());
        let told: Vec<String> = told.into_iter().chain(since).collect();
        let told = Some(told.join(", ")).filter(|told| !told.is_empty());
        refuse!(
            "this is signed already, with what its admins signed for ({}), and nothing is signed again: {} would be kept nowhere. \
             Leave it out; or, where the earlier one waits and is not meant, delete its file and decide anew",
            told.as_deref().unwrap_or("no record is kept here"),
            others.join(", ")
        )
    }

    /// In one line, for listings.
    pub(super) fn told(&self) -> String {
        self.minutes().told().unwrap_or_default()
    }
}

/// How a part of it is named on the command line.
fn option(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

/// How it is named in a list.
fn column(name: &str) -> String {
    format!("column {name}")
}

/// Refuses what is no line of a register.
pub(super) fn check_line(what: &str, text: Option<&str>) -> anyhow::Result<()> {
    let is_line = |text: &str| {
        !text.trim().is_empty() && text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control)
    };
    if text.is_some_and(|text| !is_line(text)) {
        refuse!("{what} must be one line of 1 to {MAX_TEXT} characters: shorten it, or write it in one line");
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Option<Evidence>> {
    match file::read_text(path) {
        Ok(text) => {
            let damaged = |e: serde_json::Error| {
                let name = path.display();
                anyhow::anyhow!(
                    "{name} is no decision record ({e}): put it back from a copy of the folder, or take it away; what its admins \
                     signed for cannot be shown without it"
                )
            };
            Ok(Some(serde_json::from_str(&text).map_err(damaged)?))
        }
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn beside(waiting: &Path) -> PathBuf {
    waiting.with_extension("record.json")
}

fn path(folder: &Folder, statement: StatementId) -> PathBuf {
    folder.dir().join("decisions").join(format!("{statement}.json"))
}
