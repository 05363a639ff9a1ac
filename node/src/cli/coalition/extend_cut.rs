//! `belfry coalition extend-cut`: brings back what a cut hides.

use std::path::PathBuf;

use belfry_proto::{id::Serial, schema, trust::statement::Decision};
use clap::Args;

use super::{
    cut,
    revoke::{Deciding, serial},
};
use crate::cli::{exit::refuse, output};

/// Extend the cut of a certificate: more of what it signed stays.
///
/// Every member shows again what lies up to the listed messages, as far as it links to them. A cut only ever grows;
/// the key stays what it is, revoked, suspended or superseded.
///
/// `belfry heads MEMBER`, on any member's node, lists the last messages held of each log, hidden ones included. Look
/// at them before you list them: what is listed stays for good.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition extend-cut 7 --cut heads.txt")]
pub(in crate::cli) struct ExtendCut {
    /// Serial of the certificate
    #[arg(value_parser = serial)]
    serial: Serial,
    /// Cut file: the last message of each log that stays, as `belfry heads` prints it
    #[arg(long, value_name = "FILE")]
    cut: PathBuf,
    #[command(flatten)]
    deciding: Deciding,
}

impl ExtendCut {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cut = cut::read(Some(&self.cut))?;
        if cut.is_empty() {
            refuse!(
                "{} lists no message, so there is nothing to bring back: have a member write the file (`belfry heads MEMBER --out \
                 {0}`), and leave in it the messages that shall stay",
                self.cut.display()
            );
        }
        let logs = output::counted(u64::try_from(cut.len())?, "log", "logs");
        let consequence =
            format!("Messages up to the listed ones of {logs} are shown again at every member, for good.");
        self.deciding.run(self.serial, "Extend the cut of", |_, certificate| {
            let extend = schema::ExtendCut { serial: certificate.serial.get(), cut: cut.clone() };
            Ok((Decision::ExtendCut(extend), consequence.clone()))
        })
    }
}
