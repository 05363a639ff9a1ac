//! `belfry import-log`: how a decision made on an air-gapped machine reaches the coalition.

use std::path::PathBuf;

use clap::Args;

use super::{
    DataFolder, Global,
    client::{Client, Content},
    output,
};
use crate::keys::file;

/// Hand a newer admin log to the running node, which tells every other node.
///
/// The file is what `belfry coalition export` or `belfry coalition beacon` writes. It is verified from the charter on; a log that does not
/// go on from the one this node has is refused.
#[derive(Debug, Args)]
pub(super) struct ImportLog {
    /// File of the signed admin log, or of a beacon
    log: PathBuf,
    #[command(flatten)]
    data: DataFolder,
}

impl ImportLog {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let text = file::read_text(&self.log)?;
        let content = Content { kind: "text/plain", bytes: text.into_bytes(), idempotency_key: None };
        let answer = Client::new(&global.config(&self.data)?)?.post("/api/v1/log", content)?;
        Ok(output::print(&output::readable(&answer))?)
    }
}
