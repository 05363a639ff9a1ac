//! The texts that a charter names, as files: the arrangement, and the rules of conduct.
//!
//! A charter names them by hash, so where they come from does not matter: they travel beside charter and log, are looked
//! for by their content, and what has another hash is not them. Every reading checks it again.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use belfry_proto::{crypto::hash, schema::Document, trust::charter::Charter};

use crate::keys::file::{self, Existing, FileError, Readers};

/// Folder of the texts, in a coalition's folder, in a node's, and beside what is passed on.
pub const FOLDER: &str = "documents";
/// Files of a folder that are looked at; a coalition has a handful.
const MOST_FILES: usize = 200;
/// Bytes of a document; a long arrangement in PDF has some.
const MOST_BYTES: u64 = 32 << 20;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// What members agree on.
    Arrangement,
    /// How they behave.
    Rules,
}

impl Text {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Arrangement, Self::Rules];

    /// Its name in files, commands and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arrangement => "arrangement",
            Self::Rules => "rules-of-conduct",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|text| text.as_str() == name)
    }

    /// How a charter names it.
    #[must_use]
    pub const fn of(self, charter: &Charter) -> &Document {
        match self {
            Self::Arrangement => charter.arrangement(),
            Self::Rules => charter.rules(),
        }
    }
}

/// The file of `folder` that is the text a charter names; `None` also where the folder cannot be read.
#[must_use]
pub fn find(document: &Document, folder: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).ok()?.take(MOST_FILES).filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.into_iter().find_map(|path| {
        let text = read(&path)?;
        (hash::document(&text).as_slice() == document.hash).then_some((path, text))
    })
}

/// Takes the texts of `charter` that `from` has and `folder` lacks into `folder`, under their own names.
///
/// # Errors
/// [`FileError`]; each text is there whole or not at all.
pub fn take(charter: &Charter, from: &[&Path], folder: &Path) -> Result<Vec<Text>, FileError> {
    let mut taken = Vec::new();
    for text in Text::ALL {
        let document = text.of(charter);
        if find(document, folder).is_some() {
            continue;
        }
        let Some((path, bytes)) = from.iter().find_map(|from| find(document, from)) else { continue };
        keep(&bytes, &path, folder)?;
        taken.push(text);
    }
    Ok(taken)
}

/// Keeps a text in `folder` under the file name of `path`, unless it is there under any.
///
/// # Errors
/// [`FileError`]; it is there whole or not at all.
pub fn keep(bytes: &[u8], path: &Path, folder: &Path) -> Result<(), FileError> {
    let document = Document { hash: hash::document(bytes).to_vec(), ..Document::default() };
    if find(&document, folder).is_some() {
        return Ok(());
    }
    file::create_folder(folder)?;
    file::write(&free(folder, path, &document), bytes, Readers::All, Existing::Keep)
}

/// The texts of `charter` that no file of `folder` is.
#[must_use]
pub fn missing(charter: &Charter, folder: &Path) -> Vec<Text> {
    Text::ALL.into_iter().filter(|text| find(text.of(charter), folder).is_none()).collect()
}

/// The file's own name; with the start of its hash, where an older text has that name.
fn free(folder: &Path, path: &Path, document: &Document) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = folder.join(&name);
    if !plain.exists() {
        return plain;
    }
    let hash: String = hex::encode(&document.hash).chars().take(12).collect();
    folder.join(format!("{hash}-{name}"))
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|found| found.is_file()))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= MOST_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_by_its_content_and_no_other_is() {
        let folder = tempfile::tempdir().unwrap();
        let document = Document { hash: hash::document(b"abc").to_vec(), ..Document::default() };
        fs::write(folder.path().join("other.md"), "abd").unwrap();
        fs::create_dir(folder.path().join("folder.md")).unwrap();
        assert!(find(&document, folder.path()).is_none());
        fs::write(folder.path().join("rules.md"), "abc").unwrap();
        assert_eq!(find(&document, folder.path()).unwrap().0, folder.path().join("rules.md"));
        assert_eq!(free(folder.path(), Path::new("x/rules.md"), &document), {
            let hash = hex::encode(&document.hash);
            folder.path().join(format!("{}-rules.md", &hash[..12]))
        });
    }
}
