//! `belfry backup` and `belfry store` on a stopped node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::{fs, path::Path};

use support::Site;

const PASS: &str = "--passphrase-file passphrase";

/// A site where alice has joined and made the backup `b`.
fn backed_up() -> Site {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    site.ok(&Site::join("alice", "c"));
    let said = site.ok(&format!("backup create b --dir alice {PASS}"));
    assert!(said.contains("alice (certificate 1)"), "{said}");
    site
}

fn some_table(folder: &Path) -> std::path::PathBuf {
    let mut tables: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    tables.retain(|path| path.extension().is_some_and(|e| e == "sst"));
    tables.sort();
    tables.pop().expect("a database has a table after its checkpoint")
}

#[test]
fn a_backup_becomes_the_same_node_again() {
    let site = backed_up();
    site.ok("backup verify b");
    site.ok(&format!("backup restore b --dir again {PASS}"));
    for file in ["certificate.pem", "charter.pem", "log.pem", "keys/signing.pem", "keys/store.pem"] {
        let read = |dir: &str| fs::read(site.path(&format!("{dir}/{file}"))).unwrap();
        assert_eq!(read("alice"), read("again"), "{file}");
    }
    // The texts that were accepted, and who did what through the API, are a node's as well.
    let texts = |dir: &str| {
        let mut names: Vec<_> = fs::read_dir(site.path(&format!("{dir}/documents")))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(texts("alice").len(), 2);
    assert_eq!(texts("alice"), texts("again"));
    let said = site.ok(&format!("store check --dir again {PASS}"));
    assert!(said.contains("Every row reads."), "{said}");
    let ran = site.run(&format!("store check --dir again {PASS}"));
    let lists = (ran.stdout + &ran.stderr).matches("envelopes").count();
    assert_eq!(lists, 1, "each column is listed once");
    site.ok(&format!("store compact --dir again {PASS}"));
    // A backup of the restored node is a backup like any other.
    site.ok(&format!("backup create b2 --dir again {PASS}"));
    site.ok("backup verify b2");
}

#[test]
fn nothing_is_overwritten() {
    let site = backed_up();
    site.refused(&format!("backup create b --dir alice {PASS}"), 3, "exists already");
    site.refused(&format!("backup restore b --dir alice {PASS}"), 3, "exists already");
    site.refused(&format!("backup restore b --dir alice {PASS}"), 3, "move it away");
    site.refused(&format!("backup restore b --dir alice {PASS}"), 3, "--dir");
    fs::create_dir(site.path("empty")).unwrap();
    site.ok(&format!("backup restore b --dir empty {PASS}"));
}

#[test]
fn a_changed_missing_or_added_file_is_named() {
    let site = backed_up();
    let table = some_table(&site.path("b/store"));
    let whole = fs::read(&table).unwrap();
    let name = table.file_name().unwrap().to_str().unwrap().to_owned();

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    // The checkpoint may share the file with the live database: replace it, do not write into it.
    fs::remove_file(&table).unwrap();
    fs::write(&table, &flipped).unwrap();
    site.refused("backup verify b", 1, &name);
    site.refused(&format!("backup restore b --dir x {PASS}"), 1, "not what was written");
    assert!(!site.path("x").exists());

    fs::write(&table, &whole[..whole.len() - 1]).unwrap();
    site.refused("backup verify b", 1, "shorter or longer");
    fs::remove_file(&table).unwrap();
    site.refused("backup verify b", 1, "missing");
    fs::write(&table, &whole).unwrap();
    site.ok("backup verify b");
    fs::write(site.path("b/keys/extra.pem"), "x").unwrap();
    site.refused("backup verify b", 1, "extra.pem");
}

#[test]
fn a_rewritten_manifest_or_a_wrong_passphrase_restores_nothing() {
    let site = backed_up();
    site.refused("backup restore b --dir x --passphrase-file other-passphrase", 1, "passphrase");
    let path = site.path("b/backup.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"organisation\": \"alice\"", "\"organisation\": \"mallory\"")).unwrap();
    site.refused(&format!("backup restore b --dir x {PASS}"), 3, "seal");
    fs::write(&path, text.replace("\"path\": \"charter.pem\"", "\"path\": \"../charter.pem\"")).unwrap();
    site.refused("backup verify b", 1, "not below it");
    fs::write(&path, "{}").unwrap();
    site.refused("backup verify b", 1, "does not read");
    fs::remove_file(&path).unwrap();
    site.refused("backup verify b", 1, "has no backup.json");
    assert!(!site.path("x").exists());
}

/// Whoever can write where a backup lies can make another list of it.
#[test]
fn a_manifest_is_this_nodes_only_where_its_store_key_says_so() {
    let site = backed_up();
    let said = site.ok("backup verify b");
    assert!(said.contains("as its manifest says") && said.contains("was not asked"), "{said}");
    let said = site.ok(&format!("backup verify b {PASS}"));
    assert!(said.contains("sealed by this node's store key"), "{said}");
    assert!(site.ok(&format!("backup verify b {PASS} --json")).contains("\"seal_verified\": true"));
    let path = site.path("b/backup.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"organisation\": \"alice\"", "\"organisation\": \"mallory\"")).unwrap();
    assert!(site.ok("backup verify b --json").contains("\"seal_verified\": false"));
    site.refused(&format!("backup verify b {PASS}"), 3, "seal");
    site.refused("backup verify b --passphrase-file other-passphrase", 1, "passphrase");
}

/// What changes between a look and the copy is not taken either.
#[test]
fn a_restored_folder_is_what_was_verified() {
    let site = backed_up();
    let table = some_table(&site.path("b/store"));
    fs::remove_file(&table).unwrap();
    site.refused(&format!("backup restore b --dir x {PASS}"), 1, "the file is missing");
    assert!(!site.path("x").exists());
}

#[test]
fn a_sound_store_is_not_healed() {
    let site = backed_up();
    let said = site.ok(&format!("store heal --dir alice {PASS}"));
    assert!(said.contains("nothing to heal"), "{said}");
    assert!(!site.path("alice/store.damaged").exists(), "or nothing would be healed by itself any more");
}

#[test]
fn a_damaged_database_is_named() {
    let site = backed_up();
    let table = some_table(&site.path("alice/store"));
    let mut bytes = fs::read(&table).unwrap();
    bytes[10] ^= 1;
    fs::write(&table, &bytes).unwrap();
    let ran = site.run(&format!("store check --dir alice {PASS}"));
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stderr.to_lowercase().contains("corrupt") || ran.stdout.contains("DAMAGED"),
        "{}",
        ran.stderr
    );
}
