//! `belfry coalition charter`: from a draft to the signed root, through the hands of its holders.
//!
//! ```text
//! draft ──▶ TOML ──edit──▶ make ──▶ proposal ──sign, sign …──▶ publish ──▶ log.pem ──export──▶ every node
//! ```
//!
//! `make` fixes the bytes; from then on each root holder signs the same file, on a machine of their own. All that
//! can be wrong is refused at `make` and again at `sign` and `publish`, so nobody signs what nobody would take.

mod make;
mod publish;
mod show;
mod sign;
mod text;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belfry_proto::{
    time::Timestamp,
    trust::{
        charter::{Charter, CharterChain},
        charter_change::{Change, changes},
        charter_proposal::Proposal,
        file as armour, words,
    },
};
use clap::{Args, Subcommand};

use super::{CoalitionFolder, draft, mend::mended};
use crate::{
    cli::{args::day, documents, exit::refused, out, output},
    keys::{
        enrolment::read,
        file::{self, Readers},
    },
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    Draft(Draft),
    Make(make::Make),
    Sign(sign::Sign),
    Show(show::Show),
    Diff(show::Diff),
    Publish(publish::Publish),
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Draft(draft) => draft.run(),
            Self::Make(make) => make.run(),
            Self::Sign(sign) => sign.run(),
            Self::Show(show) => show.run(),
            Self::Diff(diff) => diff.run(),
            Self::Publish(publish) => publish.run(),
        }
    }
}

/// Write the charter in force as a draft to edit.
///
/// The draft is TOML with every rule, group and key of the charter, each explained. For a coalition that is still to
/// be founded, --new writes the default draft with its documents beside it, and a [keys] section to fill in.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition charter draft --out next.toml
  belfry coalition charter make next.toml --out next.pem
  belfry coalition charter sign next.pem --key root-anna.pem   # each holder
  belfry coalition charter publish next.pem")]
pub(in crate::cli) struct Draft {
    /// File to write; must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Draft of a first charter instead
    #[arg(long)]
    new: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Draft {
    fn run(self) -> anyhow::Result<()> {
        let path = output::path(&self.out);
        if self.new {
            for (name, text) in draft::DEFAULT_DOCUMENTS {
                out::create(&self.out.with_file_name(name), text.as_bytes(), Readers::All)?;
            }
            let text = format!("{}\n{}", draft::DEFAULT, draft::KEYS_TO_FILL_IN);
            out::create(&self.out, text.as_bytes(), Readers::All)?;
            return Ok(output::print(&format!(
                "Wrote {path} and its documents. Fill in [keys] with what each holder's `belfry coalition key` \
                 printed, then:\n  belfry coalition charter make {path} --new --out charter-1.pem\n"
            ))?);
        }
        let folder = self.folder.open()?;
        let beside = documents::beside(&folder.charter_path());
        let text = text::draft(folder.roster().charter(), &beside);
        out::create(&self.out, text.as_bytes(), Readers::All)?;
        Ok(output::print(&format!(
            "Wrote {path}: charter version {} as it is. Change it, then:\n  belfry coalition charter make {path} --out \
             next.pem{}\n",
            folder.roster().charter().version(),
            self.folder.again()
        ))?)
    }
}

/// Opens a proposal file; a charter that is signed already is one, too.
fn open(path: &Path) -> anyhow::Result<Proposal> {
    let name = || path.display().to_string();
    let text = file::read_text(path)?;
    let read = match armour::kind_of(&text) {
        Some(armour::FileKind::Charter) => armour::read_charter,
        _ => armour::read_proposal,
    };
    Proposal::open(read(&text).with_context(name)?).map_err(mended).with_context(name)
}

/// Writes a proposal over itself, or to `out`.
fn write(proposal: &Proposal, path: &Path) -> anyhow::Result<()> {
    out::replace(path, &armour::write_proposal(&proposal.charters()))
}

/// What a holder must see before signing.
fn introduced(proposal: &Proposal, path: &Path) -> String {
    let charter = proposal.charter();
    let mut text = output::facts(&[
        ("coalition", charter.name().to_owned()),
        ("as words", words::to_words(charter.coalition())),
        ("version", charter.version().to_string()),
        ("made", charter.issued().to_string()),
        ("ends", day(charter.expires())),
        ("charter id", charter.id().to_string()),
    ]);
    match proposal.before() {
        Some(before) => {
            text += &format!("\nAgainst version {}:\n{}", before.version(), differences(before, charter))
        }
        None => {
            text += &format!(
                "\nThe first charter of a new coalition.\n{}",
                show::facts(charter, &documents::beside(path))
            )
        }
    }
    text
}

/// The difference as lines; "nothing" where there is none.
fn differences(old: &Charter, new: &Charter) -> String {
    let changes = changes(old, new);
    if changes.is_empty() {
        return "  nothing but its dates\n".to_owned();
    }
    let shown = |Change { what, before, after }: &Change| match (before.is_empty(), after.is_empty()) {
        (true, _) => format!("  + {what}: {}\n", output::visible(after)),
        (_, true) => format!("  - {what}: {}\n", output::visible(before)),
        _ => format!("  ~ {what}: {} -> {}\n", output::visible(before), output::visible(after)),
    };
    changes.iter().map(shown).collect()
}

/// A charter for whoever lives under it: all it says, and what it changed.
pub(in crate::cli) fn told(charter: &Charter, before: Option<&Charter>, documents: &Path) -> String {
    let mut text = show::facts(charter, documents);
    if let Some(before) = before {
        text += &format!(
            "\nAgainst version {}, version {} changes:\n{}",
            before.version(),
            charter.version(),
            differences(before, charter)
        );
    }
    text
}

/// How many have signed, and what comes next.
fn progress(proposal: &Proposal, path: &Path) -> String {
    let quorums: Vec<String> = proposal.quorums().iter().map(ToString::to_string).collect();
    let path = output::path(path);
    let next = match proposal.is_complete() {
        true => format!("It has all it needs:\n  belfry coalition charter publish {path}\n"),
        false => format!(
            "Pass {path} to the next root holder:\n  belfry coalition charter sign {path} --key THEIR-KEY\n"
        ),
    };
    format!("Signed by {}. {next}", quorums.join(" and "))
}

/// Warnings about a charter that is allowed and may not be meant.
fn warn(warnings: &[String]) {
    for warning in warnings {
        output::warn(warning);
    }
}

/// Refuses with what is wrong and nothing signed; `now` is this machine's clock.
fn reviewed_alone(charter: &Charter, now: Timestamp) -> anyhow::Result<()> {
    warn(&belfry_proto::trust::charter_change::review_alone(charter, now).map_err(refused)?);
    Ok(())
}

/// Whether a file's last charter is on its way still.
fn is_proposal(path: &Path) -> anyhow::Result<bool> {
    Ok(armour::kind_of(&file::read_text(path)?) == Some(armour::FileKind::CharterProposal))
}

/// Every version in a log or charter file, verified from the first on.
fn versions(path: &Path) -> anyhow::Result<Vec<Charter>> {
    let text = file::read_text(path)?;
    let signed = match armour::kind_of(&text) {
        Some(armour::FileKind::Log) => read(path, armour::read_log)?.charters,
        _ => read(path, armour::read_charter)?.charters,
    };
    let chain = CharterChain::walk(signed).map_err(mended).with_context(|| path.display().to_string())?;
    Ok(chain.versions().cloned().collect())
}
