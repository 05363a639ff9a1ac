//! The texts that a charter names, found among files.
//!
//! A charter names arrangement and rules by belfry's own hash, under a domain of its own, which no other tool computes.
//! People have files, and `sha256sum`: so wherever the hash is shown, the file that has it is named with its SHA-256.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use belfry_proto::{crypto::hash, schema::Document};
use sha2::{Digest as _, Sha256};

use super::output;

/// Files of a folder that are looked at; a coalition has a handful.
const MOST_FILES: usize = 200;
/// Bytes of a document; a long arrangement in PDF has some.
const MOST_BYTES: u64 = 32 << 20;

/// The folder of a coalition's documents, beside its charter.
pub(super) fn beside(charter: &Path) -> PathBuf {
    charter.with_file_name("documents")
}

/// The file of `folder` that is the text a charter names; `None` also where the folder cannot be read.
pub(super) fn find(document: &Document, folder: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).ok()?.take(MOST_FILES).filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.into_iter().find_map(|path| {
        let text = read(&path)?;
        (hash::document(&text).as_slice() == document.hash).then_some((path, text))
    })
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|found| found.is_file()))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= MOST_BYTES).then_some(bytes)
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
        ("hash", hex::encode(&document.hash)),
    ];
    match find(document, folder) {
        Some((path, text)) => {
            facts.push(("file", output::path(&path)));
            facts.push(("sha256", sha256(&text)));
        }
        None => facts.push(("file", format!("no file in {} has this hash", folder.display()))),
    }
    facts
}

#[cfg(test)]
mod tests {
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
        assert!(told(&document, folder.path()).contains(&("sha256", digest.to_owned())));
    }
}
