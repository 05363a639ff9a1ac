//! `belfry coalition key`: a holder's own key, made where it stays.

use std::path::PathBuf;

use belfry_proto::crypto::sign::SigningKey;
use clap::Args;

use super::role_keys::KeyFile;
use crate::{cli::output, keys::key_file};

/// Make a key for a root holder, admin or registrar, or show its public half.
///
/// Each holder makes a key on a machine of their own and reads out the line that is printed; the charter's [keys]
/// names it. The file never leaves the holder. One that exists already is only shown.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition key --key root-anna.pem")]
pub(in crate::cli) struct Key {
    #[command(flatten)]
    key: KeyFile,
}

impl Key {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let path: &PathBuf = &self.key.key;
        let (key, what) = if path.exists() {
            (self.key.open("this key")?, "is")
        } else {
            let key = SigningKey::generate(&mut rand::rng());
            key_file::write_signing(path, &key, &self.key.read_new("this key")?)?;
            (key, "is new; keep it and a copy of it safe. Its public half for the charter's [keys]")
        };
        Ok(output::print(&format!(
            "{} {what}:\n{}\n",
            output::path(path),
            hex::encode(key.public().as_bytes())
        ))?)
    }
}
