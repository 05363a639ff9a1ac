//! The list of what a backup holds, sealed with the node's store key.

use std::path::Path;

use belfry_proto::{crypto::secret::Secret, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{BackupError, files::refuse_other};
use crate::keys::file::{self, Existing, Readers};

/// Name of the manifest in a backup.
pub const MANIFEST: &str = "backup.json";
/// The one layout there is.
pub(super) const FORMAT: u32 = 1;
/// Domain of the seal.
const SEAL: &str = "belfry/v1/backup";

/// What is in a backup, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// Coalition id, in hex.
    pub coalition: String,
    /// Node key, in hex.
    pub node: String,
    /// Certificate.
    pub serial: u64,
    /// Whose.
    pub organisation: String,
    /// When it was made.
    pub created: Timestamp,
    /// Entries of the admin log in it.
    pub roster_height: u64,
    /// Every file, by path.
    pub files: Vec<Listed>,
    /// Keyed hash of all the above under the store key, in hex.
    pub seal: String,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Relative to the backup, parts joined by `/`.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// BLAKE3 of the content, in hex.
    pub blake3: String,
}

impl Manifest {
    /// Bytes over all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn seal(&mut self, master: &Secret) {
        self.seal = self.expected_seal(master);
    }

    pub(super) fn is_sealed_by(&self, master: &Secret) -> bool {
        use subtle::ConstantTimeEq as _;
        self.expected_seal(master).as_bytes().ct_eq(self.seal.as_bytes()).into()
    }

    fn expected_seal(&self, master: &Secret) -> String {
        let unsealed = Self { seal: String::new(), ..self.clone() };
        // Cannot fail for a struct of numbers and strings; an empty text would match nothing sealed.
        let bytes = serde_json::to_vec(&unsealed).unwrap_or_default();
        hex::encode(master.derive(SEAL, &[&bytes]).expose())
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| not_a_backup(folder, &format!("its manifest cannot be written: {error}")))?;
        Ok(file::write(&folder.join(MANIFEST), text.as_bytes(), Readers::Owner, Existing::Keep)?)
    }

    pub(super) fn read(folder: &Path) -> Result<Self, BackupError> {
        refuse_other(&folder.join(MANIFEST))?;
        let text = match file::read_text(&folder.join(MANIFEST)) {
            Err(error) if error.is_absent() => {
                return Err(not_a_backup(folder, &format!("it has no {MANIFEST}")));
            }
            text => text?,
        };
        let manifest: Self = serde_json::from_str(&text)
            .map_err(|error| not_a_backup(folder, &format!("{MANIFEST} does not read: {error}")))?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(not_a_backup(
                folder,
                &format!(
                    "it has format {other}, this belfry knows {FORMAT}: use the belfry that made it, or a newer one"
                ),
            )),
        }
    }
}

fn not_a_backup(folder: &Path, reason: &str) -> BackupError {
    BackupError::NotABackup { path: folder.to_owned(), reason: reason.to_owned() }
}
