//! The texts that a charter names, found among files.
//!
//! A charter names arrangement and rules by belfry's own hash, under a domain of its own, which no other tool computes.
//! People have files, and `sha256sum`: so wherever the hash is shown, the file that has it is named with its SHA-256.

use std::path::{Path, PathBuf};

use belfry_proto::{schema::Document, trust::charter::Charter};
use sha2::{Digest as _, Sha256};

use super::output;
pub(super) use crate::texts::find;
use crate::texts::{self, FOLDER};

/// The folder of a coalition's documents, beside its charter.
pub(super) fn beside(charter: &Path) -> PathBuf {
    charter.with_file_name(FOLDER)
}

/// Takes the texts that a charter names along, from the folders that may have them into `to`; says what is still missing.
pub(super) fn pass_on(charter: &Charter, from: &[&Path], to: &Path) -> anyhow::Result<String> {
    let taken = texts::take(charter, from, to)?;
    let missing = texts::missing(charter, to);
    let names =
        |texts: &[texts::Text]| texts.iter().map(|text| text.as_str()).collect::<Vec<_>>().join(" and ");
    let mut told = String::new();
    if !taken.is_empty() {
        told += &format!("Put the {} into {}.\n", names(&taken), output::path(to));
    }
    if !missing.is_empty() {
        told += &format!(
            "No text here is the {} that the charter names: put the file into {}, whoever has it.\n",
            names(&missing),
            output::path(to)
        );
    }
    Ok(told)
}

/// SHA-256 of a text, as `sha256sum` prints it.
pub(super) fn sha256(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}

/// A document for people, as facts: what it is called, where it lies, and which file is it.
pub(super) fn told(document: &Document, folder: &Path) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("version", document.version.clone()),
        ("link", document.link.clone()),
        ("hash in the charter", hex::encode(&document.hash)),
    ];
    match find(document, folder) {
        Some((path, text)) => {
            facts.push(("file", output::path(&path)));
            facts.push(("its sha256sum", sha256(&text)));
        }
        None => facts.push(("file", format!("no file in {} has this hash", folder.display()))),
    }
    facts
}

#[cfg(test)]
mod tests {
    use std::fs;

    use belfry_proto::crypto::hash;

    use super::*;

    #[test]
    fn the_text_is_found_by_its_content_and_no_other_is() {
        let folder = tempfile::tempdir().unwrap();
        let document = Document { hash: hash::document(b"abc").to_vec(), ..Document::default() };
        fs::write(folder.path().join("other.md"), "abd").unwrap();
        fs::create_dir(folder.path().join("folder.md")).unwrap();
        assert!(find(&document, folder.path()).is_none());
        let facts = told(&document, folder.path());
        assert!(facts.iter().any(|(_, value)| value.contains("no file in")), "{facts:?}");
        fs::write(folder.path().join("rules.md"), "abc").unwrap();
        assert_eq!(find(&document, folder.path()).unwrap().0, folder.path().join("rules.md"));
        // FIPS 180-2, B.1.
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(told(&document, folder.path()).contains(&("its sha256sum", digest.to_owned())));
    }
}
