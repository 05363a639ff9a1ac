//! Arguments that many commands take: which configuration, which node, which passphrase.

use std::path::PathBuf;

use clap::Args;

use super::{args, client::Client};
use crate::{
    config::{self, Config, ConfigError},
    keys::{Passphrase, PassphraseError, Source},
};

/// Arguments of every command.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Configuration file [default: /etc/belfry/belfry.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", display_order = 901)]
    pub(super) config: Option<PathBuf>,
}

/// Argument of every command on a member's node.
#[derive(Debug, Args)]
pub(super) struct DataFolder {
    /// Data folder instead of the configured one
    #[arg(long, value_name = "DIR", display_order = 900)]
    pub(super) dir: Option<PathBuf>,
}

impl Global {
    pub(super) fn config(&self, data: &DataFolder) -> Result<Config, ConfigError> {
        let mut config = Config::find(self.config.as_deref())?;
        if let Some(dir) = &data.dir {
            config.node.data_dir.clone_from(dir);
        }
        config.again = self.again(data);
        Ok(config)
    }

    /// Ready to ask the node that `data` names.
    pub(super) fn client(&self, data: &DataFolder) -> anyhow::Result<Client> {
        Client::new(&self.config(data)?, &self.again(data))
    }

    /// The arguments that named the node, for a hint at another command; each after a space.
    pub(super) fn again(&self, data: &DataFolder) -> String {
        args::repeated(&[("--config", self.config.as_deref()), ("--dir", data.dir.as_deref())])
    }
}

/// Argument of every command that opens key files.
#[derive(Debug, Args)]
pub(super) struct KeyPassphrase {
    /// File with the passphrase of the key files, instead of the configured source
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

impl KeyPassphrase {
    pub(super) fn source(&self, keys: &config::Keys) -> Source {
        Source::choose(self.passphrase_file.as_deref(), keys)
    }

    /// The passphrase that the keys of a node were made with.
    pub(super) fn read(&self, keys: &config::Keys) -> Result<Passphrase, PassphraseError> {
        self.source(keys).read("this node's keys")
    }

    /// The argument, for a hint at another command: empty, or after a space.
    pub(super) fn again(&self) -> String {
        args::repeated(&[("--passphrase-file", self.passphrase_file.as_deref())])
    }
}
