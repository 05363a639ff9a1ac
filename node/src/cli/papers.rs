//! What documents, templates and the service unit say of the command line and of the configuration, held against both.

use std::path::Path;

use clap::{
    CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::Cli;
use crate::{
    config::{Config, DEFAULT_PATH},
    testing::papers::{PAPERS, UNIT, code, commands, words},
};

/// What is wrong with a command as a document gives it. Where something stands for a value (`ID`, `…`, nothing at the end), it
/// need not be a good one.
fn fault(line: &str) -> Option<String> {
    let mut words = words(line);
    words.truncate(
        words.iter().position(|word| matches!(word.as_str(), "|" | ">" | "&&")).unwrap_or(words.len()),
    );
    words.retain(|word| word != "…");
    // Asked for help, clap looks at all that stands before, and misses nothing that does not.
    words.push("--help".to_owned());
    let error = match Cli::command().try_get_matches_from(words) {
        Ok(_) => return Some(format!("{line}: its help is not shown")),
        Err(error) => error,
    };
    let stands_for_one = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => {
            value.contains('…') || value.chars().all(|c| c.is_ascii_uppercase() || c == '-')
        }
        _ => false,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if stands_for_one => None,
        _ => Some(format!("{line}: {error}")),
    }
}

/// Values of a key of the unit.
fn unit(key: &str) -> Vec<&'static str> {
    UNIT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn every_command_that_a_document_names_exists_with_its_arguments_and_their_values() {
    let all: Vec<(&str, String)> = PAPERS
        .iter()
        .flat_map(|(name, text)| commands(text).into_iter().map(move |line| (*name, line)))
        .collect();
    let faults: Vec<String> =
        all.iter().filter_map(|(name, line)| Some(format!("{name}: {}", fault(line)?))).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // They are found where they stand: in prose, in a table, in a fence over two lines, in a comment.
    for (paper, start) in [
        ("controllership.md", "belfry subject search"),
        ("retention.md", "belfry withdraw --mode erase --ground personal-data"),
        ("README.md", "belfry enroll --charter charter.pem --org"),
        ("charter.default.toml", "belfry coalition init"),
    ] {
        assert!(all.iter().any(|(name, line)| *name == paper && line.starts_with(start)), "{paper}: {start}");
    }
}

#[test]
fn a_command_that_is_not_there_is_noticed() {
    for line in [
        "belfry frobnicate",
        "belfry subject serach VALUE…",
        "belfry audit membership --when DATE",
        "belfry withdraw --mode shred",
        "belfry withdraw --mode erase --ground personal",
        "belfry token create --untill",
        "belfry token create --until 2027-13-45",
    ] {
        assert!(fault(line).is_some(), "{line}");
    }
    for line in ["belfry subject search VALUE…", "belfry audit message ID", "belfry token create --until"] {
        assert_eq!(fault(line), None);
    }
}

#[test]
fn every_key_of_the_configuration_that_a_document_names_exists() {
    // The example has every key, as another test says; those that are unset stand behind `#`.
    let example = PAPERS.iter().find(|(name, _)| *name == "belfry.example.toml").unwrap().1;
    let is_off = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let lines =
        example.lines().map(|line| line.strip_prefix('#').filter(|rest| is_off(rest)).unwrap_or(line));
    let shown: toml::Table = lines.collect::<Vec<_>>().join("\n").parse().unwrap();
    let has = |section: &str, key: &str| match &shown[section] {
        toml::Value::Array(tables) => tables.iter().any(|table| table.get(key).is_some()),
        table => table.get(key).is_some(),
    };
    let (mut faults, mut found) = (Vec::new(), 0);
    for (name, text) in PAPERS {
        for line in code(text) {
            let named = line.split([' ', '=']).next().unwrap_or_default();
            let Some((section, key)) = named.split_once('.') else { continue };
            let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            // `store.damaged` is a folder; what ends in a file's ending is a file.
            let is_file = ["rs", "toml", "proto", "pem", "token", "sock", "damaged"].contains(&key);
            if !shown.contains_key(section) || !is_key || is_file {
                continue;
            }
            found += 1;
            if !has(section, key) {
                faults.push(format!("{name}: {named}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:?}");
    assert!(found > 0 && !has("audit", "keeps") && has("audit", "keep"));
}

#[test]
fn the_unit_starts_what_there_is_as_the_configuration_expects_it() {
    for key in ["ExecStartPre", "ExecStart"] {
        let lines = unit(key);
        assert_eq!(lines.len(), 1, "{key}");
        let line = lines[0].trim_start_matches('-').strip_prefix("/usr/local/bin/").unwrap();
        assert_eq!(fault(line), None);
        assert_eq!(words(line).last().unwrap(), DEFAULT_PATH);
    }
    let config = Config::default();
    let (name, file) = unit("LoadCredentialEncrypted")[0].split_once(':').unwrap();
    assert_eq!(name, config.keys.credential);
    // What its comment has one type makes that very file, and the home of whom it runs as is the data folder.
    assert!(UNIT.contains(&format!("systemd-creds encrypt --name={name} - {file}\n")));
    let folder = config.node.data_dir.display().to_string();
    assert!(UNIT.contains(&format!("useradd --system --home-dir {folder} ")));
    assert!(UNIT.contains(&format!("install -d -o belfry -g belfry -m 700 {folder}\n")));
    assert_eq!(Path::new("/var/lib").join(unit("StateDirectory")[0]), config.node.data_dir);
    assert_eq!((unit("User"), unit("Group")), (vec!["belfry"], vec!["belfry"]));
}

#[test]
fn the_unit_keeps_secrets_to_itself() {
    for (key, value) in [
        ("LimitCORE", "0"),
        ("UMask", "0077"),
        ("StateDirectoryMode", "0700"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("CapabilityBoundingSet", ""),
    ] {
        assert_eq!(unit(key), [value], "{key}");
    }
}

#[test]
fn templates_cite_rules_and_chapters_that_say_what_they_are_cited_for() {
    let text = |wanted: &str| PAPERS.iter().find(|(name, _)| *name == wanted).unwrap().1;
    for template in ["controllership.md", "dpia.md"] {
        assert!(text(template).contains("rules of conduct 5"), "{template}");
    }
    let (_, fifth) = text("rules-of-conduct.default.md").split_once("\n5. ").unwrap();
    let (fifth, _) = fifth.split_once("\n6. ").unwrap();
    assert!(fifth.contains("victim") && fifth.contains("consent"), "{fifth}");
    let (_, lifetimes) = text("README.md").split_once("**Scores**").unwrap();
    assert!(
        lifetimes.contains("\n| addresses |"),
        "the lifetimes that the retention plan sends its reader to"
    );
    assert!(text("SECURITY.md").contains("\n## Known gaps"));
}

#[test]
fn both_templates_tell_that_the_audit_log_keeps_reasons() {
    for name in ["record-of-processing.md", "retention.md"] {
        let (_, text) = PAPERS.iter().find(|(paper, _)| *paper == name).unwrap();
        let row = text.lines().find(|line| line.starts_with("| audit log")).unwrap();
        assert!(row.contains("the reason where a guard objected"), "{name}: {row}");
    }
}
