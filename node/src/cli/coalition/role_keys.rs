//! The coalition's own keys: root, admin, registrar; each file encrypted, with one passphrase or its own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belfry_proto::crypto::sign::SigningKey;
use clap::Args;

use crate::keys::{
    key_file,
    passphrase::{Passphrase, Source},
};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoleKey {
    /// Signs charters.
    Root,
    /// Signs statements.
    Admin,
    /// Orders the log.
    Registrar,
}

impl RoleKey {
    pub(super) const ALL: [Self; 3] = [Self::Root, Self::Admin, Self::Registrar];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Admin => "admin",
            Self::Registrar => "registrar",
        }
    }

    pub(super) fn path(self, keys: &Path) -> PathBuf {
        keys.join(self.name()).with_extension("pem")
    }
}

/// One key file of a holder, and where its passphrase comes from.
#[derive(Debug, Args)]
pub(super) struct KeyFile {
    /// Key file
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// File with its passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl KeyFile {
    fn source(&self) -> Source {
        self.passphrase_file.clone().map_or(Source::Prompt, Source::File)
    }

    /// Opens the key; `what` says whose, for the prompt.
    pub(super) fn open(&self, what: &str) -> anyhow::Result<SigningKey> {
        Ok(key_file::read_signing(&self.key, &self.source().read(what)?)?)
    }

    /// A passphrase for a new key.
    pub(super) fn read_new(&self, what: &str) -> anyhow::Result<Passphrase> {
        Ok(self.source().read_new(what)?)
    }
}

/// Where the passphrases of the role keys come from; without any, the terminal.
#[derive(Debug, Args)]
pub(super) struct RolePassphrases {
    /// File with the one passphrase of all keys
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// File with the passphrase of the root key
    #[arg(long, value_name = "FILE")]
    root_passphrase_file: Option<PathBuf>,
    /// File with the passphrase of the admin key
    #[arg(long, value_name = "FILE")]
    admin_passphrase_file: Option<PathBuf>,
    /// File with the passphrase of the registrar key
    #[arg(long, value_name = "FILE")]
    registrar_passphrase_file: Option<PathBuf>,
    /// Admin key [default: keys/admin.pem in the folder]
    #[arg(long, value_name = "FILE")]
    admin_key: Option<PathBuf>,
    /// Registrar key [default: keys/registrar.pem in the folder, if it is there]
    #[arg(long, value_name = "FILE")]
    registrar_key: Option<PathBuf>,
}

impl RolePassphrases {
    fn file(&self, key: RoleKey) -> Option<&Path> {
        let own = match key {
            RoleKey::Root => &self.root_passphrase_file,
            RoleKey::Admin => &self.admin_passphrase_file,
            RoleKey::Registrar => &self.registrar_passphrase_file,
        };
        own.as_deref().or(self.passphrase_file.as_deref())
    }

    fn source(&self, key: RoleKey) -> Source {
        // The coalition's machine runs no service: no credential here.
        self.file(key).map_or(Source::Prompt, |path| Source::File(path.to_owned()))
    }

    /// Passphrases for three new keys. At the terminal one is asked for all, unless `separate`.
    pub(super) fn read_new(&self, separate: bool) -> anyhow::Result<[Passphrase; 3]> {
        let asked_once = !separate && RoleKey::ALL.iter().all(|key| self.file(*key).is_none());
        if asked_once {
            let one = Source::Prompt.read_new("the root, admin and registrar keys")?;
            return Ok([one.clone(), one.clone(), one]);
        }
        let [root, admin, registrar] =
            RoleKey::ALL.map(|key| self.source(key).read_new(&format!("the {} key", key.name())));
        Ok([root?, admin?, registrar?])
    }

    /// Opens the registrar key alone.
    pub(super) fn open_registrar(&self, keys: &Path) -> anyhow::Result<SigningKey> {
        let passphrase = self.source(RoleKey::Registrar).read("the registrar key")?;
        self.open(RoleKey::Registrar, keys, &passphrase)
    }

    /// Opens the admin key alone.
    pub(super) fn open_admin(&self, keys: &Path) -> anyhow::Result<SigningKey> {
        self.open(RoleKey::Admin, keys, &self.source(RoleKey::Admin).read("the admin key")?)
    }

    /// Whether the registrar key is on this machine: what is decided with it goes into the log at once.
    pub(super) fn has_registrar(&self, keys: &Path) -> bool {
        self.registrar_key.is_some() || RoleKey::Registrar.path(keys).exists()
    }

    /// Opens the admin key, and the registrar key where it is on this machine.
    pub(super) fn open_deciders(&self, keys: &Path) -> anyhow::Result<(SigningKey, Option<SigningKey>)> {
        let passphrase = self.source(RoleKey::Admin).read("the admin key")?;
        let admin = self.open(RoleKey::Admin, keys, &passphrase)?;
        if !self.has_registrar(keys) {
            return Ok((admin, None));
        }
        let open = |passphrase| self.open(RoleKey::Registrar, keys, passphrase);
        // At the terminal the same passphrase is tried before a second one is asked for.
        let registrar = match self.source(RoleKey::Registrar) {
            Source::Prompt => match open(&passphrase) {
                Ok(key) => key,
                Err(_) => open(&Source::Prompt.read("the registrar key")?)?,
            },
            source => open(&source.read("the registrar key")?)?,
        };
        Ok((admin, Some(registrar)))
    }

    fn open(&self, key: RoleKey, keys: &Path, passphrase: &Passphrase) -> anyhow::Result<SigningKey> {
        let named = match key {
            RoleKey::Root => &None,
            RoleKey::Admin => &self.admin_key,
            RoleKey::Registrar => &self.registrar_key,
        };
        let path = named.clone().unwrap_or_else(|| key.path(keys));
        key_file::read_signing(&path, passphrase).with_context(|| match path.exists() {
            true => format!("{} key", key.name()),
            false => {
                let name = key.name();
                format!(
                    "the {name} key is not at {}: put it there, or name its file with --{name}-key",
                    path.display()
                )
            }
        })
    }
}
