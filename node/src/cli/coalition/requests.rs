//! Requests as they came, kept beside the log: in each the member's own signature under arrangement and rules.
//!
//! One file a member's key, `requests/KEY.pem`; another request of the same key, `KEY-HASH.pem`, takes no earlier one's place.
//! Whoever has it and the log can show that the member accepted what its certificate says (`belfry audit rules --requests`,
//! `belfry verify`).

use std::path::PathBuf;

use belfry_proto::{crypto::sign::PublicKey, schema::Signed, trust::file as armour};

use super::{folder::Folder, kept};
use crate::{cli::requests::held, keys::file};

/// Folder of them in the coalition's.
pub(super) const FOLDER: &str = "requests";

/// Keeps a request, before anything is decided on it.
pub(super) fn keep(folder: &Folder, key: PublicKey, signed: &Signed) -> anyhow::Result<()> {
    let (first, text) = (path(folder, key), armour::write_request(signed));
    // The coalition decides on the one at hand, and what it decided on before stays its proof.
    let is_another = first.exists() && file::read_text(&first)? != text;
    let name = || format!("{key}-{}.pem", kept::hash(signed));
    kept::keep(&if is_another { folder.dir().join(FOLDER).join(name()) } else { first }, &text)
}

/// Keeps one whose certificate was issued before requests were kept, if it is the one that was issued for.
pub(super) fn keep_late(folder: &Folder, key: PublicKey, signed: &Signed) -> anyhow::Result<()> {
    match path(folder, key).exists() || held(folder.roster(), signed).is_err() {
        true => Ok(()),
        false => keep(folder, key, signed),
    }
}

/// Where the request of a key is kept.
pub(super) fn path(folder: &Folder, key: PublicKey) -> PathBuf {
    folder.dir().join(FOLDER).join(format!("{key}.pem"))
}
