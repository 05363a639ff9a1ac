//! Backups: a folder that can become a data folder again, and says whether it is still whole.
//!
//! ```text
//! data folder ─ checkpoint of the store, copies of keys, certificate, texts and audit log ─▶ DIR.partial ─ hash list ─▶ DIR
//! DIR ─ the seal of the list ─▶ copied beside the data folder ─ every hash of the copy ─▶ reborn ─▶ data folder
//! ```
//!
//! A backup is laid out like a data folder, with [`manifest`] beside it. Everything in it is as sealed as it
//! is at home: keys under their passphrase, the database under the store key. Restoring gives the database a
//! new incarnation, so the node opens new logs: whatever it wrote after the backup, no sequence is used twice.

pub mod coalition;
mod files;
mod manifest;

use std::path::{Path, PathBuf};

use belfry_proto::crypto::secret::Secret;

pub use self::manifest::{Listed, MANIFEST, Manifest};
use crate::{
    audit_log, clock,
    keys::{DataFolder, Enrolment, EnrolmentError, Passphrase, file::FileError},
    store::{OpenError, Owner, ReadError, Store},
    texts,
};

/// Folder of the database in a data folder and in a backup.
pub const STORE: &str = "store";

/// Why there is no backup, or no restored folder.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file as a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing is overwritten.
    #[error("{} exists already: name a folder that is not there yet", .0.display())]
    Exists(PathBuf),
    /// A copy of itself.
    #[error("{} lies in the folder that is copied: name one beside it", .0.display())]
    Inside(PathBuf),
    /// The daemon's working folder is not the caller's.
    #[error("{} is not an absolute path", .0.display())]
    Relative(PathBuf),
    /// The database cannot be copied.
    #[error("the database cannot be copied: {0}")]
    Store(#[from] ReadError),
    /// The restored database does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Keys or certificate in the backup do not hold.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    /// No manifest, or not one.
    #[error("{} is no backup: {reason}", path.display())]
    NotABackup {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// A file is not what the manifest says.
    #[error("{} is damaged: {reason}; take another backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        reason: &'static str,
    },
    /// The manifest was not written by the owner of these keys, or was changed since.
    #[error("{} does not carry the seal of this node's store key: it was changed after it was made", .0.display())]
    Seal(PathBuf),
}

/// What makes backups of one node.
#[derive(Clone)]
pub struct Backups {
    folder: DataFolder,
    store: Store,
    about: About,
    master: Secret,
}

/// Whose backup it is.
#[derive(Clone, Debug)]
struct About {
    owner: Owner,
    serial: u64,
    organisation: String,
}

impl Backups {
    /// Of the node of `enrolment`, which keeps `store` in `folder`.
    #[must_use]
    pub fn new(folder: &Path, store: Store, enrolment: &Enrolment) -> Self {
        let about = About {
            owner: Owner { coalition: enrolment.coalition(), node: enrolment.node() },
            serial: enrolment.certificate.serial.get(),
            organisation: enrolment.certificate.organisation.name.clone(),
        };
        Self { folder: DataFolder::new(folder), store, about, master: enrolment.keys.store.clone() }
    }

    /// Makes a backup in the new folder `to`. It is there whole or not at all. Blocks; the node goes on.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn create(&self, to: &Path) -> Result<Manifest, BackupError> {
        if to.is_relative() {
            return Err(BackupError::Relative(to.to_owned()));
        }
        files::refuse_existing(to)?;
        let staging = files::Staging::beside(to)?;
        self.store.checkpoint(&staging.path().join(STORE))?;
        let of = &self.folder;
        for file in [of.charter(), of.request(), of.log(), of.certificate(), of.decisions(), of.notices()] {
            files::copy_if_there(&file, staging.path())?;
        }
        files::copy_folder(&self.folder.keys(), &staging.path().join("keys"))?;
        // The texts that were accepted, and who did what: for whom this node published, among others, stands nowhere else.
        for name in [texts::FOLDER, audit_log::FOLDER] {
            let from = self.folder.path().join(name);
            if from.is_dir() {
                files::copy_folder(&from, &staging.path().join(name))?;
            }
        }
        let mut manifest = Manifest {
            format: manifest::FORMAT,
            coalition: self.about.owner.coalition.to_string(),
            node: self.about.owner.node.to_string(),
            serial: self.about.serial,
            organisation: self.about.organisation.clone(),
            created: clock::now(),
            roster_height: self.store.head()?.height.get(),
            files: files::list(staging.path())?,
            seal: String::new(),
        };
        manifest.seal(&self.master);
        manifest.write(staging.path())?;
        staging.finish(to)?;
        Ok(manifest)
    }
}

/// Reads every file of a backup and holds it against the manifest. Whoever can write there can write that, too: whose it is,
/// [`verify_sealed`] tells.
///
/// # Errors
/// [`BackupError`] of the first file that differs.
pub fn verify(from: &Path) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(from)?;
    files::compare(from, &manifest.files)?;
    Ok(manifest)
}

/// [`verify`], and whether the manifest is the word of whoever has this passphrase: sealed under the store key beside it.
///
/// # Errors
/// [`BackupError`].
pub fn verify_sealed(from: &Path, passphrase: &Passphrase) -> Result<Manifest, BackupError> {
    let manifest = verify(from)?;
    sealer(from, &manifest, passphrase)?;
    Ok(manifest)
}

/// The node whose store key sealed a manifest, of the keys that lie beside it.
fn sealer(from: &Path, manifest: &Manifest, passphrase: &Passphrase) -> Result<Enrolment, BackupError> {
    let enrolment = Enrolment::load(from, passphrase)?;
    match manifest.is_sealed_by(&enrolment.keys.store) {
        true => Ok(enrolment),
        false => Err(BackupError::Seal(from.join(MANIFEST))),
    }
}

/// Makes a data folder of a backup: copied, verified, and with a database that opens new logs.
///
/// # Errors
/// [`BackupError`]; `to` is then not there.
pub fn restore(from: &Path, to: &Path, passphrase: &Passphrase) -> Result<Manifest, BackupError> {
    files::refuse_existing(to)?;
    let manifest = Manifest::read(from)?;
    let enrolment = sealer(from, &manifest, passphrase)?;
    let staging = files::Staging::beside(to)?;
    files::copy_all(from, staging.path(), &manifest.files)?;
    let owner = Owner { coalition: enrolment.coalition(), node: enrolment.node() };
    Store::reborn(&staging.path().join(STORE), owner, &enrolment.keys.store)?;
    staging.finish(to)?;
    Ok(manifest)
}
