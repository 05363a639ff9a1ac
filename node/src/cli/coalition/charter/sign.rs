//! `belfry coalition charter sign`: a root holder's part, on a machine of their own.

use std::path::PathBuf;

use belfry_proto::trust::file as armour;
use clap::Args;

use super::{introduced, open, progress, reviewed_alone, write};
use crate::{
    cli::{
        coalition::{mend::mended, role_keys::KeyFile},
        out, output,
    },
    clock,
};

/// Sign a charter as a root holder.
///
/// Needs only the file and your root key: every version before is verified, what changes is shown, then you are asked.
/// Compare the words with those of your coalition. Holders may also sign copies side by side; `charter publish` takes
/// several files.
#[derive(Debug, Args)]
pub(in crate::cli) struct Sign {
    /// Charter to sign, as `belfry coalition charter make` wrote it
    proposal: PathBuf,
    #[command(flatten)]
    key: KeyFile,
    /// Write the signed copy here [default: over the file itself]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
}

impl Sign {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut proposal = open(&self.proposal)?;
        let out = self.out.as_ref().unwrap_or(&self.proposal);
        out::may_replace(out, Some(armour::FileKind::CharterProposal))?;
        output::print(&introduced(&proposal, &self.proposal))?;
        reviewed_alone(proposal.charter(), clock::now())?;
        if !self.yes {
            output::confirm("Sign this charter?", "--yes", "nothing was signed")?;
        }
        proposal.sign(&self.key.open("the root key")?).map_err(mended)?;
        write(&proposal, out)?;
        Ok(output::print(&progress(&proposal, out))?)
    }
}
