//! Key files on disk: proto's encrypted PKCS#8, with this machine's permissions and durability.

use std::path::{Path, PathBuf};

use belfry_proto::crypto::{
    hpke::KemSecret,
    key_file::{self as pkcs8, KeyFileError as Pkcs8Error},
    secret::Secret,
    sign::SigningKey,
};
use zeroize::Zeroizing;

use super::{
    file::{self, Existing, FileError, Readers},
    passphrase::Passphrase,
};

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file as a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is in it.
    #[error("{}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Pkcs8Error,
    },
}

/// Writes an Ed25519 key; the file must not exist.
///
/// # Errors
/// [`KeyFileError`].
pub fn write_signing(path: &Path, key: &SigningKey, passphrase: &Passphrase) -> Result<(), KeyFileError> {
    write(path, |rng| pkcs8::encode_ed25519(key, passphrase.expose(), rng))
}

/// Reads an Ed25519 key.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_signing(path: &Path, passphrase: &Passphrase) -> Result<SigningKey, KeyFileError> {
    read(path, |text| pkcs8::decode_ed25519(text, passphrase.expose()))
}

/// Writes a KEM key; the file must not exist.
///
/// # Errors
/// [`KeyFileError`].
pub fn write_kem(path: &Path, key: &KemSecret, passphrase: &Passphrase) -> Result<(), KeyFileError> {
    write(path, |rng| pkcs8::encode_kem(key, passphrase.expose(), rng))
}

/// Reads a KEM key.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_kem(path: &Path, passphrase: &Passphrase) -> Result<KemSecret, KeyFileError> {
    read(path, |text| pkcs8::decode_kem(text, passphrase.expose()))
}
