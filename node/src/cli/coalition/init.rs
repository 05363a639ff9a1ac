//! `belfry coalition init`.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::bail;
use belfry_proto::{
    crypto::sign::{Purpose, SigningKey},
    schema::LogFile,
    trust::{charter::Charter, charter_draft::RootKeys, signed::sign, words},
};
use clap::Args;
use prost::Message as _;

use super::{
    draft::DraftFile,
    folder::{Folder, keys_path},
    mend::mended,
    role_keys::{RoleKey, RolePassphrases},
};
use crate::{
    cli::{args::repeated, exit::refuse, output},
    clock,
    keys::{
        file::{self, Existing, Readers},
        key_file,
    },
};

/// Found a coalition: keys, charter, empty admin log.
///
/// Makes the coalition's folder: encrypted root, admin and registrar keys, the signed charter, an empty log.
///
/// Do this on a machine without network. Give charter.pem to members, keep the folder and a copy of it safe:
/// whoever loses keys/root.pem can never change the charter again.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition init --name 'Example Coalition' --out coalition
  belfry coalition init --name Test --out test \\
      --passphrase-file passphrase --charter-draft my-draft.toml")]
pub(in crate::cli) struct Init {
    /// Name of the coalition, as members will see it
    #[arg(long)]
    name: String,
    /// Folder to make; must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Charter draft in TOML [default: config/charter.default.toml, with the twelve Focus Groups]
    #[arg(long, value_name = "FILE")]
    charter_draft: Option<PathBuf>,
    /// Ask for a passphrase of its own for each key
    #[arg(long)]
    separate_passphrases: bool,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

impl Init {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let draft = DraftFile::load(self.charter_draft.as_deref())?;
        if draft.draft.keys.is_some() {
            refuse!(
                "the draft names keys, and this command makes new ones: take [keys] out, or found the coalition with the \
                 holders' keys (`belfry coalition charter make DRAFT --new --out charter-1.pem`)"
            );
        }
        let mut rng = rand::rng();
        let keys = RoleKey::ALL.map(|role| (role, SigningKey::generate(&mut rng)));
        let [(_, root), (_, admin), (_, registrar)] = &keys;
        let public = RootKeys {
            root_threshold: 1,
            root: vec![root.public()],
            admins: vec![admin.public()],
            admins_until: BTreeMap::new(),
            thresholds: BTreeMap::new(),
            registrar: registrar.public(),
        };
        let payload =
            draft.draft.to_charter(Some(&self.name), &public, clock::now()).map_err(mended)?.encode_to_vec();
        let id = Charter::check(&payload).map_err(mended)?.coalition();
        let charter = sign(payload, Purpose::Charter, id, &[root]);
        // Everything that can be wrong with the draft is known by now; only then is anything asked or written.
        self.check_out()?;
        let passphrases = self.passphrases.read_new(self.separate_passphrases)?;

        file::create_folder(&self.out)?;
        file::close_folder(&self.out)?;
        let folder = keys_path(&self.out);
        file::create_folder(&folder)?;
        for ((role, key), passphrase) in keys.iter().zip(&passphrases) {
            key_file::write_signing(&role.path(&folder), key, passphrase)?;
        }
        let documents = self.out.join("documents");
        file::create_folder(&documents)?;
        let mut texts = Vec::new();
        for (name, text) in &draft.documents {
            texts.push((name, crate::cli::documents::sha256(text)));
            file::write(&documents.join(name), text, Readers::All, Existing::Keep)?;
        }
        let coalition = Folder::create(&self.out, LogFile { charters: vec![charter], records: Vec::new() })?;

        output::print(&format!(
            "Founded {}.\n\nCoalition id  {id}\nas words      {}\n\nDocuments, with what `sha256sum` says of each:\n{}\nGive members {} and {}, and tell them the words another \
             way, so that they can compare.\nThen: belfry coalition issue REQUEST --groups GROUPS --until DATE{}\n",
            output::visible(&self.name),
            output::words(&words::to_words(id), "              ").trim_start(),
            output::facts(&texts),
            coalition.charter_path().display(),
            documents.display(),
            repeated(&[("--dir", Some(&self.out))])
        ))?;
        Ok(())
    }

    fn check_out(&self) -> anyhow::Result<()> {
        match std::fs::read_dir(&self.out).map(|mut entries| entries.next().is_some()) {
            Ok(true) => refuse!("{} is not empty: name a new folder", self.out.display()),
            Ok(false) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => bail!("{}: {e}", self.out.display()),
        }
    }
}
