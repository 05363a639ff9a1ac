//! Members' own signed words, kept beside the log before anything is decided on them: a decision rests on its word, so no later
//! one takes its place.

use std::path::Path;

use belfry_proto::{id::MemberId, schema::Signed};

use crate::keys::file::{self, Existing, FileError, Readers};

/// A word's file name, by what was signed: who says something twice has two.
pub(super) fn name(member: MemberId, signed: &Signed) -> String {
    format!("{member}-{}.pem", hash(signed))
}

/// The start of the hash of what was signed.
pub(super) fn hash(signed: &Signed) -> String {
    blake3::hash(&signed.payload).to_hex().chars().take(16).collect()
}

/// Keeps a word where none lies, or the same.
pub(super) fn keep(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        file::create_folder(folder)?;
    }
    match file::write(path, text.as_bytes(), Readers::All, Existing::Keep) {
        // Kept before, by one who then did not sign.
        Err(FileError::Exists { .. }) if file::read_text(path)? == text => Ok(()),
        written => Ok(written?),
    }
}
