//! `belfry coalition charter show | diff`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belfry_proto::{
    crypto::sign::PublicKey,
    schema::Document,
    trust::{
        charter::{ACTIONS, Charter},
        names::Named as _,
        words,
    },
};
use clap::Args;

use super::{CoalitionFolder, differences, is_proposal, open, progress, text, versions};
use crate::cli::{args::day, documents, exit::refuse, output};

/// Show a charter: keys, thresholds, groups, documents.
#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// Charter, proposal or log file [default: the charter in force in the folder]
    file: Option<PathBuf>,
    /// Print it as a draft
    #[arg(long)]
    toml: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
}

/// Show what a charter changes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    /// Charter, proposal or log file [default: the charters of the folder]
    file: Option<PathBuf>,
    /// Version to compare with [default: the one before the last]
    #[arg(long, value_name = "VERSION")]
    from: Option<u64>,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (charter, signed) = match &self.file {
            None => (self.folder.open()?.roster().charter().clone(), None),
            Some(path) if is_proposal(path)? => {
                let proposal = open(path)?;
                (proposal.charter().clone(), Some(progress(&proposal, path)))
            }
            Some(path) => (last(&versions(path)?)?.clone(), None),
        };
        let beside = match &self.file {
            None => documents::beside(&self.folder.dir.join("charter.pem")),
            Some(path) => documents::beside(path),
        };
        if self.toml {
            return Ok(output::print(&text::draft(&charter, &beside))?);
        }
        output::print(&facts(&charter, &beside))?;
        // Of a charter in force there is nothing left to sign.
        Ok(output::print(&signed.map(|text| format!("\n{text}")).unwrap_or_default())?)
    }
}

impl Diff {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let charters = match &self.file {
            None => self.folder.open()?.roster().charters().versions().cloned().collect(),
            Some(path) if is_proposal(path)? => {
                let proposal = open(path)?;
                let before = proposal.before().cloned();
                before.into_iter().chain([proposal.charter().clone()]).collect()
            }
            Some(path) => versions(path)?,
        };
        let new = last(&charters)?;
        let from = self.from.unwrap_or_else(|| new.version().saturating_sub(1));
        let Some(old) = charters.iter().find(|charter| charter.version() == from) else {
            let there: Vec<String> = charters.iter().map(|charter| charter.version().to_string()).collect();
            refuse!(
                "there is no version {from} to compare version {} with: there is {}; --from names another, and FILE a proposal",
                new.version(),
                there.join(", ")
            );
        };
        Ok(output::print(&format!(
            "Version {} against version {}:\n{}",
            new.version(),
            old.version(),
            differences(old, new)
        ))?)
    }
}

fn last(charters: &[Charter]) -> anyhow::Result<&Charter> {
    charters.last().context("the file holds no charter")
}

/// A document in one line; with the SHA-256 of its file, where that is at hand.
fn document(document: &Document, folder: &Path) -> String {
    let named = format!("{} {}, hash {}", document.version, document.link, hex::encode(&document.hash));
    match documents::find(document, folder) {
        Some((path, text)) => {
            format!("{named}, which is {} (sha256 {})", output::path(&path), documents::sha256(&text))
        }
        None => named,
    }
}

/// Admin keys a line, with their ends.
fn admins(charter: &Charter) -> String {
    let line = |key: &PublicKey| match charter.admin_ends().get(key) {
        Some(end) => format!("{key} until {end}"),
        None => key.to_string(),
    };
    charter.admins().iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Everything a charter says, for people; `documents` is the folder where the texts it names may lie.
pub(super) fn facts(charter: &Charter, documents: &Path) -> String {
    let keys = |keys: &std::collections::BTreeSet<PublicKey>| {
        keys.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let (threshold, root) = charter.root();
    let thresholds: Vec<String> =
        ACTIONS.iter().map(|action| format!("{} {}", action.name(), charter.threshold(*action))).collect();
    let mut out = output::facts(&[
        ("coalition", charter.name().to_owned()),
        ("id", charter.coalition().to_string()),
        ("as words", words::to_words(charter.coalition())),
        ("version", charter.version().to_string()),
        ("in force", format!("{} to {}", day(charter.issued()), day(charter.expires()))),
        ("arrangement", document(charter.arrangement(), documents)),
        ("rules of conduct", document(charter.rules(), documents)),
        (
            "to be accepted by",
            charter.accept_by().map_or_else(
                || "no date".to_owned(),
                |by| format!("{by}, else: {}", charter.unaccepted().name()),
            ),
        ),
        (
            "reasons given to guards",
            if charter.asks_reasons() { "go along in the message" } else { "stay with who gave them" }
                .to_owned(),
        ),
        ("admins needed", thresholds.join(", ")),
        (
            "log pinned at",
            charter.pin().map_or_else(|| "nowhere (first version)".to_owned(), |pin| pin.to_string()),
        ),
    ]);
    for (name, keys) in [
        (format!("root keys, {threshold} must sign"), keys(root)),
        ("admin keys".to_owned(), admins(charter)),
        ("registrar key".to_owned(), charter.registrar().to_string()),
    ] {
        out += &format!("{name}:\n");
        keys.lines().for_each(|key| out += &format!("  {key}\n"));
    }
    let rows: Vec<[String; 5]> = charter
        .groups()
        .iter()
        .map(|group| {
            let admits: Vec<&str> = group.admits.iter().map(|class| class.name()).collect();
            [
                group.id.to_string(),
                group.slug.clone(),
                if admits.is_empty() { "every class".into() } else { admits.join(", ") },
                group.may_publish.name().to_owned(),
                group.max_tlp.name().to_owned(),
            ]
        })
        .collect();
    out + &output::table(["group", "slug", "admits", "publishes from", "up to TLP"], &rows)
}
