//! A member's data folder: what enrolling and joining leave there, and what the daemon starts from.
//!
//! ```text
//! keys/             this node's secrets
//! charter.pem       the charter chain; its first version is the pinned trust root
//! request.pem       the request, as sent
//! log.pem           the admin log as given at joining
//! certificate.pem   the issuing record; written last, so with it there the folder is complete
//! ```
//!
//! [`Enrolment::load`] believes none of it: chain, log and certificate are verified again against the pinned
//! coalition and the keys at hand. The daemon's store may be further than `log.pem`, never behind for long.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    MemberKeys, MemberPublicKeys, Passphrase,
    file::{self, FileError},
    key_file::KeyFileError,
};
use crate::config::Config;
use belfry_proto::{
    crypto::sign::PublicKey,
    id::{CoalitionId, MemberId, Serial},
    schema::{LogFile, Record},
    trust::{
        certificate::Certificate,
        charter::{CharterChain, CharterError},
        file as armour,
        log::{LogError, verify_record},
        roster::Roster,
    },
};

/// Names the files of a member's data folder.
#[derive(Clone, Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// How a command line names it, for hints; empty, or after a space.
    again: String,
}

impl DataFolder {
    /// The folder at `path`, there or not.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), again: format!(" --dir {}", path.display()) }
    }

    /// The folder of a configuration, which hints at other commands name as the operator did.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { path: config.node.data_dir.clone(), again: config.again.clone() }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folder of this node's secrets.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// The charter chain.
    #[must_use]
    pub fn charter(&self) -> PathBuf {
        self.path.join("charter.pem")
    }

    /// The request as sent.
    #[must_use]
    pub fn request(&self) -> PathBuf {
        self.path.join("request.pem")
    }

    /// The coalition's record of its decisions about this member, as taken.
    #[must_use]
    pub fn decisions(&self) -> PathBuf {
        self.path.join("decisions.json")
    }

    /// What this member did about its participation notices.
    #[must_use]
    pub fn notices(&self) -> PathBuf {
        self.path.join("notices.json")
    }

    /// The admin log as given at joining.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join("log.pem")
    }

    /// The issuing record.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path.join("certificate.pem")
    }

    /// Whether a node has enrolled here.
    ///
    /// # Errors
    /// [`EnrolmentError::NotEnrolled`], or [`EnrolmentError::Closed`] where this user may not look.
    pub fn enrolled(&self) -> Result<(), EnrolmentError> {
        match self.has(&self.charter())? && MemberKeys::exist(&self.keys()) {
            true => Ok(()),
            false => {
                Err(EnrolmentError::NotEnrolled { folder: self.path.clone(), again: self.again.clone() })
            }
        }
    }

    /// Whether a node has enrolled and joined here, before a passphrase is asked for.
    ///
    /// # Errors
    /// As [`Self::enrolled`], or [`EnrolmentError::NotJoined`]: which step comes first.
    pub fn joined(&self) -> Result<(), EnrolmentError> {
        self.enrolled()?;
        match self.has(&self.certificate())? {
            true => Ok(()),
            false => Err(EnrolmentError::NotJoined { folder: self.path.clone(), again: self.again.clone() }),
        }
    }

    /// Whether files can be made here, or the folder where it is not there yet. Nothing is left behind.
    ///
    /// # Errors
    /// [`EnrolmentError::Closed`], or [`EnrolmentError::File`] with another reason of the system's.
    pub fn can_be_made(&self) -> Result<(), EnrolmentError> {
        let there = self.path.ancestors().find(|path| path.as_os_str().is_empty() || path.exists());
        let there = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let probe = there.join(format!(".belfry-{:016x}", rand::random::<u64>()));
        fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).map_err(|source| self.unusable(source))
    }

    fn has(&self, path: &Path) -> Result<bool, EnrolmentError> {
        path.try_exists().map_err(|source| self.unusable(source))
    }

    fn unusable(&self, source: io::Error) -> EnrolmentError {
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                EnrolmentError::Closed { folder: self.path.clone(), source }
            }
            _ => FileError::Io { path: self.path.clone(), source }.into(),
        }
    }
}

/// Why a folder's membership does not hold, or a file does not fit it.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// A file as a file.
    #[error("{0}")]
    File(#[from] FileError),
    /// A key file.
    #[error("{0}")]
    Key(#[from] KeyFileError),
    /// Not the armoured file it should be.
    #[error("{}: {source}", path.display())]
    Armour {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: armour::FileError,
    },
    /// Not this user's to write, or to look into.
    #[error(
        "the data folder {} is not this user's ({source}): run this as the user that the node runs as (`sudo -u belfry \
         belfry …`), or name a folder of your own with --dir DIR, or as node.data_dir in a configuration (--config FILE)",
        folder.display()
    )]
    Closed {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Step one is missing.
    #[error(
        "no node here: {} has no charter and keys yet; run `belfry enroll --charter FILE --org NAME --class CLASSES \
         --groups GROUPS{again}` first",
        folder.display()
    )]
    NotEnrolled {
        /// The folder.
        folder: PathBuf,
        /// The arguments that name it.
        again: String,
    },
    /// Step two is missing.
    #[error(
        "{} has no certificate yet: send request.pem to the coalition, then run `belfry join CERTIFICATE --log \
         FILE{again}`",
        folder.display()
    )]
    NotJoined {
        /// The folder.
        folder: PathBuf,
        /// The arguments that name it.
        again: String,
    },
    /// Of another coalition than the one pinned.
    #[error(
        "the {what} is of coalition {found}, but this node enrolled with {pinned}: ask for the right file"
    )]
    OtherCoalition {
        /// Which file.
        what: &'static str,
        /// Its coalition.
        found: CoalitionId,
        /// Ours.
        pinned: CoalitionId,
    },
    /// The log does not hold.
    #[error("{0}")]
    Log(#[from] FoldError),
    /// The certificate does not hold.
    #[error("the certificate does not hold: {0}")]
    Certificate(Box<LogError>),
    /// The log ends before the certificate.
    #[error("the log ends at entry {log}, before the certificate's entry {certificate}: ask for a newer log")]
    LogTooOld {
        /// Height of the log.
        log: u64,
        /// Height of the certificate.
        certificate: u64,
    },
    /// The log has something else where the certificate says it stands.
    #[error("entry {0} of the log is not this certificate: certificate and log are of different histories")]
    NotInLog(u64),
    /// A record that certifies nobody.
    #[error("entry {0} of the log issues no certificate")]
    NoCertificate(u64),
    /// For other keys than ours.
    #[error(
        "the certificate of {organisation:?} is for another {which} key than this node's ({found}): it belongs to \
         another node, or this one enrolled anew since"
    )]
    OtherKeys {
        /// Whose certificate.
        organisation: String,
        /// Which key differs first.
        which: &'static str,
        /// The certificate's key.
        found: String,
    },
}

/// Why a file of charters and records is no valid log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A charter.
    #[error("the charter does not hold: {0}")]
    Charter(Box<CharterError>),
    /// A record.
    #[error("entry {height} of the log does not hold: {error}")]
    Record {
        /// Its place in the file, from 1.
        height: u64,
        /// What is wrong.
        error: Box<LogError>,
    },
}

impl FoldError {
    fn record(height: u64, error: LogError) -> Self {
        Self::Record { height, error: Box::new(error) }
    }
}

impl From<CharterError> for FoldError {
    fn from(error: CharterError) -> Self {
        Self::Charter(Box::new(error))
    }
}

/// A member's verified place in its coalition, with the secrets to take it.
#[derive(Debug)]
pub struct Enrolment {
    /// This node's secrets.
    pub keys: MemberKeys,
    /// Our certificate, as the log file has it.
    pub certificate: Certificate,
    /// The record that issued it; shown to peers that do not know us yet.
    pub record: Record,
    /// Charters and records as given at joining.
    pub log: LogFile,
    /// Their fold.
    pub roster: Roster,
}

impl Enrolment {
    /// Reads and verifies the data folder of a node that has joined.
    ///
    /// Opening four key files takes about a second of CPU: scrypt is meant to.
    ///
    /// # Errors
    /// [`EnrolmentError`], naming the file and the mend.
    pub fn load(data_dir: &Path, passphrase: &Passphrase) -> Result<Self, EnrolmentError> {
        let folder = DataFolder::new(data_dir);
        folder.joined()?;
        let pinned = read_charters(&folder.charter())?;
        let record = read(&folder.certificate(), armour::read_certificate)?;
        let log = read(&folder.log(), armour::read_log)?;
        let keys = MemberKeys::load(&folder.keys(), passphrase)?;
        let (roster, certificate) = verify(pinned.coalition(), &log, &record, &keys.public())?;
        Ok(Self { keys, certificate, record, log, roster })
    }

    /// The pinned coalition.
    #[must_use]
    pub fn coalition(&self) -> CoalitionId {
        self.roster.coalition()
    }

    /// Our member id.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.certificate.member
    }

    /// Our node key.
    #[must_use]
    pub fn node(&self) -> PublicKey {
        self.certificate.node
    }
}

/// Verifies a log and a certificate for `keys` against the pinned coalition; gives the fold and the certificate in it.
///
/// # Errors
/// [`EnrolmentError`]: of another coalition, of other keys, too old a log, or a signature that does not hold.
pub fn verify(
    pinned: CoalitionId,
    log: &LogFile,
    record: &Record,
    keys: &MemberPublicKeys,
) -> Result<(Roster, Certificate), EnrolmentError> {
    let (roster, certificate) = certified(pinned, log, record)?;
    let differs = |which, found: String| {
        Err(EnrolmentError::OtherKeys { organisation: certificate.organisation.name.clone(), which, found })
    };
    if certificate.signing != keys.signing {
        return differs("signing", certificate.signing.to_string());
    }
    if certificate.node != keys.node {
        return differs("node", certificate.node.to_string());
    }
    if certificate.kem != keys.kem {
        return differs("KEM", format!("{:?}", certificate.kem));
    }
    Ok((roster, certificate))
}

/// As [`verify`], for whoever has no keys at hand: whose certificate it is, is not asked.
///
/// # Errors
/// [`EnrolmentError`], never [`EnrolmentError::OtherKeys`].
pub fn certified(
    pinned: CoalitionId,
    log: &LogFile,
    record: &Record,
) -> Result<(Roster, Certificate), EnrolmentError> {
    let other = |what| move |found| EnrolmentError::OtherCoalition { what, found, pinned };
    let charters = CharterChain::walk(log.charters.iter().cloned()).map_err(FoldError::from)?;
    if charters.coalition() != pinned {
        return Err(other("log")(charters.coalition()));
    }
    let certified = verify_record(&charters, record).map_err(|error| match error {
        LogError::OtherCoalition(found) => other("certificate")(found),
        error => EnrolmentError::Certificate(Box::new(error)),
    })?;
    let roster = fold(log)?;
    let height = certified.height.get();
    let at = |height: u64| log.records.get(usize::try_from(height).ok()?.checked_sub(1)?);
    match at(height) {
        None => {
            return Err(EnrolmentError::LogTooOld {
                log: roster.version().height.get(),
                certificate: height,
            });
        }
        Some(found)
            if found.entry.as_ref().map(|e| &e.payload) != record.entry.as_ref().map(|e| &e.payload) =>
        {
            return Err(EnrolmentError::NotInLog(height));
        }
        Some(_) => {}
    }
    let certificate =
        roster.certificate(Serial::new(height)).cloned().ok_or(EnrolmentError::NoCertificate(height))?;
    Ok((roster, certificate))
}

/// Verifies every charter and record of a file, and folds them.
///
/// # Errors
/// [`FoldError`] of the first that does not hold.
pub fn fold(log: &LogFile) -> Result<Roster, FoldError> {
    let mut roster = Roster::new(CharterChain::walk(log.charters.iter().cloned())?);
    for (height, record) in (1..).zip(&log.records) {
        let verified =
            verify_record(roster.charters(), record).map_err(|error| FoldError::record(height, error))?;
        roster.apply(verified).map_err(|error| FoldError::record(height, error))?;
    }
    Ok(roster)
}

/// Reads a charter file and walks its chain.
///
/// # Errors
/// [`EnrolmentError`].
pub fn read_charters(path: &Path) -> Result<CharterChain, EnrolmentError> {
    let file = read(path, armour::read_charter)?;
    Ok(CharterChain::walk(file.charters).map_err(FoldError::from)?)
}

/// Reads an armoured file by one of `belfry_proto::trust::file`'s readers.
///
/// # Errors
/// [`EnrolmentError::File`] or [`EnrolmentError::Armour`].
pub fn read<T>(path: &Path, reader: fn(&str) -> Result<T, armour::FileError>) -> Result<T, EnrolmentError> {
    reader(&file::read_text(path)?).map_err(|source| EnrolmentError::Armour { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_the_node_as_the_operator_did() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("node");
        let mut config = Config { again: " --config site.toml".to_owned(), ..Config::default() };
        config.node.data_dir.clone_from(&dir);
        let hint = |folder: &DataFolder| folder.joined().unwrap_err().to_string();
        assert!(hint(&DataFolder::of(&config)).contains("--groups GROUPS --config site.toml`"));
        assert!(hint(&DataFolder::new(&dir)).contains(&format!("--groups GROUPS --dir {}`", dir.display())));
        fs::create_dir_all(dir.join("keys")).unwrap();
        fs::write(dir.join("charter.pem"), "").unwrap();
        fs::write(dir.join("keys/signing.pem"), "").unwrap();
        assert!(
            hint(&DataFolder::of(&config))
                .contains("`belfry join CERTIFICATE --log FILE --config site.toml`")
        );
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_before_anything_is() {
        let place = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(&place.path().join("not/there/yet"));
        folder.can_be_made().unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left behind");
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataFolder::new(&file.join("node")).can_be_made().unwrap_err();
        assert!(matches!(error, EnrolmentError::File(FileError::Io { .. })), "{error}");
        let closed = folder.unusable(io::ErrorKind::PermissionDenied.into()).to_string();
        for mend in ["sudo -u belfry", "--dir DIR", "--config FILE", "not/there/yet"] {
            assert!(closed.contains(mend), "{closed}");
        }
    }
}
