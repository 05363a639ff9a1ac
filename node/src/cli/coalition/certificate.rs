//! `belfry coalition certificate`: a certificate's file, again.

use std::path::PathBuf;

use belfry_proto::{id::Serial, trust::file as armour};
use clap::Args;

use super::{CoalitionFolder, decide::certificate, revoke::serial};
use crate::cli::{out, output};

/// Write a certificate's file again.
///
/// It is a part of the log, so a file that was lost, or that a crash kept from being written, is made anew from it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Certificate {
    /// Serial of the certificate
    #[arg(value_parser = serial)]
    serial: Serial,
    /// Write it here [default: certificates/SERIAL.pem in the folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Certificate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.folder.open()?;
        if let Some(out) = &self.out {
            out::may_replace(out, Some(armour::FileKind::Certificate))?;
        }
        let found = certificate(&folder, self.serial, &self.folder.again())?;
        let path = folder.write_certificate(self.serial, self.out.as_deref())?;
        Ok(output::print(&format!(
            "Wrote {}: certificate {} of {}\n",
            output::path(&path),
            self.serial,
            output::visible(&found.organisation.name)
        ))?)
    }
}
