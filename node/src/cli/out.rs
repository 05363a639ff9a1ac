//! Files written where the operator says: never over one that belfry itself lives by.
//!
//! `coalition export --out log.pem` in the coalition's folder would put the export in the place of the log, and
//! `--out keys/root.pem` end the coalition. So what a folder of belfry's has under a name of its own is refused, and an
//! older file is replaced only if it holds the same kind of thing.

use std::path::Path;

use belfry_proto::trust::file as armour;

use super::exit::refuse;
use crate::{
    backup::STORE,
    keys::{
        MemberKeys,
        file::{self, Existing, Readers},
    },
};

/// What a coalition's folder has under names of its own, folders included.
const COALITIONS: [&str; 13] = [
    "keys",
    "charter.pem",
    "log.pem",
    "head",
    ".lock",
    "certificates",
    "documents",
    "statements",
    "requests",
    "departures",
    "amendments",
    "decisions",
    "notices.json",
];
/// What a node's data folder has.
const NODES: [&str; 11] = [
    "keys",
    "charter.pem",
    "request.pem",
    "log.pem",
    "certificate.pem",
    "decisions.json",
    "notices.json",
    "cli.token",
    "api.sock",
    "documents",
    STORE,
];

/// Writes a file, in the place of an older one of its kind.
pub(super) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    may_replace(path, armour::kind_of(text))?;
    Ok(file::write(path, text.as_bytes(), Readers::All, Existing::Replace)?)
}

/// Writes a file where there is none.
pub(super) fn create(path: &Path, bytes: &[u8], readers: Readers) -> anyhow::Result<()> {
    is_free(path)?;
    Ok(file::write(path, bytes, readers, Existing::Keep)?)
}

/// Refuses what is belfry's own, and what holds something else; to be asked before anybody signs anything.
pub(super) fn may_replace(path: &Path, kind: Option<armour::FileKind>) -> anyhow::Result<()> {
    is_free(path)?;
    if !path.exists() {
        return Ok(());
    }
    let before = file::read_text(path).ok().and_then(|text| armour::kind_of(&text));
    if before.is_none() || before != kind {
        refuse!(
            "{} holds {}, and is not overwritten: name another file, or remove it",
            path.display(),
            before.map_or_else(|| "something else".to_owned(), |kind| format!("a {}", kind.label()))
        );
    }
    Ok(())
}

/// Refuses a place that belongs to a coalition's folder or a node's data folder.
pub(super) fn is_free(path: &Path) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A folder that is not there is nobody's; writing into it says so.
    let Ok(folder) = folder.canonicalize() else { return Ok(()) };
    let place = folder.join(path.file_name().unwrap_or_default());
    for home in folder.ancestors() {
        let Some(name) = place.strip_prefix(home).ok().and_then(|below| below.components().next()) else {
            continue;
        };
        let is_own = |names: &[&str]| names.iter().any(|own| name.as_os_str() == *own);
        let whose = match () {
            () if is_coalition(home) && is_own(&COALITIONS) => "the coalition's",
            () if is_node(home) && is_own(&NODES) => "the node's",
            () => continue,
        };
        refuse!(
            "{} is {whose} own, in {}, and is not overwritten: name another file",
            path.display(),
            home.display()
        );
    }
    Ok(())
}

fn is_coalition(folder: &Path) -> bool {
    folder.join("head").is_file() && folder.join("log.pem").is_file()
}

fn is_node(folder: &Path) -> bool {
    MemberKeys::exist(&folder.join("keys")) && folder.join("charter.pem").is_file()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn what_belfry_lives_by_is_refused_however_it_is_named() {
        let coalition = folder(&["head", "log.pem", "keys/root.pem"]);
        for own in ["log.pem", "keys/root.pem", "keys/new.pem", "keys/../log.pem", "notices.json"] {
            let error = is_free(&coalition.path().join(own)).unwrap_err().to_string();
            assert!(error.contains("the coalition's own"), "{own}: {error}");
        }
        assert!(is_free(&coalition.path().join("log-2026.pem")).is_ok());
        assert!(is_free(&coalition.path().join("nowhere/log.pem")).is_ok());
        let node = folder(&["charter.pem", "keys/signing.pem", "store/CURRENT"]);
        for own in ["certificate.pem", "cli.token", "store/x"] {
            let error = is_free(&node.path().join(own)).unwrap_err().to_string();
            assert!(error.contains("the node's own"), "{own}: {error}");
        }
        assert!(is_free(&folder(&["log.pem"]).path().join("log.pem")).is_ok());
    }

    #[test]
    fn only_the_same_kind_of_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.pem");
        let (log, charter) = (armour::write_log(&Default::default()), armour::write_charter(&[]));
        replace(&path, &log).unwrap();
        replace(&path, &log).unwrap();
        let error = replace(&path, &charter).unwrap_err().to_string();
        assert!(error.contains("holds a BELFRY LOG"), "{error}");
        fs::write(&path, "dear diary").unwrap();
        assert!(replace(&path, &log).unwrap_err().to_string().contains("something else"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "dear diary");
    }
}
