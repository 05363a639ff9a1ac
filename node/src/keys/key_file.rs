//! Key files on disk: proto's encrypted PKCS#8, with this machine's permissions and durability.

use std::path::{Path, PathBuf};

use belfry_proto::crypto::{
    hpke::KemSecret,
    key_file::{self as pkcs8, Cost, KeyFileError as ContentError},
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
    #[error("{0}")]
    File(#[from] FileError),
    /// What is in it.
    #[error("{}: {error}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: ContentError,
    },
}

/// Writes an Ed25519 key; the file must not exist.
///
/// # Errors
/// [`KeyFileError`].
pub fn write_signing(path: &Path, key: &SigningKey, passphrase: &Passphrase) -> Result<(), KeyFileError> {
    write(path, pkcs8::encode_ed25519(key, bytes(passphrase), Cost::STANDARD, &mut rand::rng()))
}

/// Reads an Ed25519 key.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_signing(path: &Path, passphrase: &Passphrase) -> Result<SigningKey, KeyFileError> {
    read(path, |text| pkcs8::decode_ed25519(text, bytes(passphrase)))
}

/// Writes a KEM key; the file must not exist.
///
/// # Errors
/// [`KeyFileError`].
pub fn write_kem(path: &Path, key: &KemSecret, passphrase: &Passphrase) -> Result<(), KeyFileError> {
    write(path, pkcs8::encode_kem(key, bytes(passphrase), Cost::STANDARD, &mut rand::rng()))
}

/// Reads a KEM key.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_kem(path: &Path, passphrase: &Passphrase) -> Result<KemSecret, KeyFileError> {
    read(path, |text| pkcs8::decode_kem(text, bytes(passphrase)))
}

/// Writes a store master key; the file must not exist.
///
/// # Errors
/// [`KeyFileError`].
pub fn write_master(path: &Path, key: &Secret, passphrase: &Passphrase) -> Result<(), KeyFileError> {
    write(path, pkcs8::encode_secret(key, bytes(passphrase), Cost::STANDARD, &mut rand::rng()))
}

/// Reads a store master key.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_master(path: &Path, passphrase: &Passphrase) -> Result<Secret, KeyFileError> {
    read(path, |text| pkcs8::decode_secret(text, bytes(passphrase)))
}

fn bytes(passphrase: &Passphrase) -> &[u8] {
    passphrase.expose().as_bytes()
}

fn write(path: &Path, text: Result<String, ContentError>) -> Result<(), KeyFileError> {
    let text = text.map_err(|error| KeyFileError::Content { path: path.to_owned(), error })?;
    Ok(file::write(path, text.as_bytes(), Readers::Owner, Existing::Keep)?)
}

fn read<T>(path: &Path, open: impl FnOnce(&str) -> Result<T, ContentError>) -> Result<T, KeyFileError> {
    let bytes = file::read_secret(path)?;
    let text = Zeroizing::new(
        String::from_utf8(bytes.to_vec()).map_err(|_| FileError::NotText { path: path.to_owned() })?,
    );
    open(&text).map_err(|error| KeyFileError::Content { path: path.to_owned(), error })
}
