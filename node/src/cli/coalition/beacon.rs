//! `belfry coalition beacon`: the registrar's word that this is the newest log.

use std::{path::PathBuf, time::Duration};

use belfry_proto::trust::{beacon, file as armour};
use clap::Args;

use super::{CoalitionFolder, mend::mended_at, role_keys::RolePassphrases};
use crate::{
    cli::{args::day, out, output},
    clock,
    config::value::duration,
};

/// Sign where the log's head is, for a while.
///
/// Nodes that have the beacon know that no newer decision is kept from them; once it is over, their status warns (or,
/// if the charter says so, they stop publishing). Make one after every decision, and again before the last one
/// ends. `belfry import-log FILE` on any member's node tells all others.
#[derive(Debug, Args)]
pub(in crate::cli) struct Beacon {
    /// How long it holds, as in 7d or 36h
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = duration::parse)]
    valid: Duration,
    /// File to write; an older beacon is replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    folder: CoalitionFolder,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

impl Beacon {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.folder.open()?;
        out::may_replace(&self.out, Some(armour::FileKind::Beacon))?;
        let registrar = self.passphrases.open_registrar(&folder.keys())?;
        let (charter, version) = (folder.roster().charter(), folder.roster().version());
        let signed = beacon::make(charter, version, self.valid, clock::now(), &registrar);
        // With another registrar's key no node would take it.
        let made = beacon::verify(charter, &signed, clock::now())
            .map_err(|error| mended_at(&folder.again(), error))?;
        out::replace(&self.out, &armour::write_beacon(&signed))?;
        Ok(output::print(&format!(
            "Wrote {}: entry {} is the newest, until {}\n",
            self.out.display(),
            version.height,
            day(made.expires)
        ))?)
    }
}
