//! `belfry coalition charter make`: from an edited draft to the file that the holders sign.

use std::path::{Path, PathBuf};

use belfry_proto::trust::{
    charter::Charter, charter_change::review, charter_draft::RootKeys, charter_proposal::Proposal,
    file as armour,
};
use clap::Args;
use prost::Message as _;

use super::super::mend::mended;
use super::{CoalitionFolder, draft::DraftFile, introduced, progress, reviewed_alone, warn, write};
use crate::{
    cli::{
        documents,
        exit::{refuse, refused},
        out, output,
    },
    clock,
};

/// Make a draft into the charter that root holders sign.
///
/// Numbers the groups, names the version before and pins the head of the admin log: from here on the bytes are fixed.
/// Whatever would lock members or admins out is refused now, before anybody signs.
///
/// The log must not grow until the charter is published, or it has to be made and signed again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Make {
    /// Draft in TOML, as `belfry coalition charter draft` writes it
    draft: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Make the first charter of a new coalition
    #[arg(long, conflicts_with = "dir")]
    new: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Make {
    pub(super) fn run(self) -> anyhow::Result<()> {
        out::may_replace(&self.out, Some(armour::FileKind::CharterProposal))?;
        let DraftFile { draft, documents: texts } = DraftFile::load(Some(&self.draft))?;
        let keys = draft.keys.as_ref().map(|keys| keys.to_keys()).transpose().map_err(mended)?;
        let now = clock::now();
        let proposal = if self.new {
            let Some(keys) = keys else {
                refuse!(
                    "{} has no [keys]: say in it whose keys sign what (`belfry coalition charter draft --new` writes how)",
                    self.draft.display()
                )
            };
            let payload = draft.to_charter(None, &keys, now).map_err(mended)?.encode_to_vec();
            let proposal = Proposal::new(None, payload).map_err(mended)?;
            reviewed_alone(proposal.charter(), now)?;
            proposal
        } else {
            let folder = self.folder.open()?;
            let roster = folder.roster();
            let keys = keys.unwrap_or_else(|| in_force(roster.charter()));
            let next =
                draft.to_next_charter(roster.charters(), &keys, roster.version(), now).map_err(mended)?;
            let proposal =
                Proposal::new(Some(roster.charters().clone()), next.encode_to_vec()).map_err(mended)?;
            warn(&review(roster, proposal.charter(), now).map_err(refused)?);
            proposal
        };
        write(&proposal, &self.out)?;
        let beside = documents::beside(&self.out);
        for (name, text) in &texts {
            crate::texts::keep(text, Path::new(name), &beside)?;
        }
        Ok(output::print(&format!(
            "{}\n{}Wrote {}, signed by nobody yet.\n{}",
            introduced(&proposal, &self.out),
            texts.iter().fold(String::new(), |told, (name, text)| {
                told + &format!(
                    "The text of {} has the sha256 {}\n",
                    output::visible(name),
                    documents::sha256(text)
                )
            }),
            output::path(&self.out),
            progress(&proposal, &self.out)
        ))?)
    }
}

/// The keys of the charter in force, for a draft that names none.
fn in_force(charter: &Charter) -> RootKeys {
    let (root_threshold, root) = charter.root();
    RootKeys {
        root_threshold,
        root: root.iter().copied().collect(),
        admins: charter.admins().iter().copied().collect(),
        admins_until: charter.admin_ends().clone(),
        thresholds: belfry_proto::trust::charter::ACTIONS
            .iter()
            .map(|action| (*action, charter.threshold(*action)))
            .collect(),
        registrar: charter.registrar(),
    }
}
