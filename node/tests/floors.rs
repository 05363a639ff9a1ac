//! The floors of ARCHITECTURE, held against what the code imports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");
/// Floors of each crate.
const PROTO: RangeInclusive<u32> = 0..=1;
const NODE: RangeInclusive<u32> = 2..=7;
/// The one use-case that hands work to another, as ARCHITECTURE says.
const HANDS_ON: [(&str, &str); 1] = [("sync", "ingest")];
/// Foreign crates and the modules in which alone they are named.
const HOUSES: [(&str, &[&str]); 5] = [
    ("libp2p", &["network"]),
    ("rocksdb", &["store"]),
    ("axum", &["api"]),
    ("tokio_rustls", &["api", "hooks", "outbound"]),
    ("anyhow", &["main", "cli", "daemon"]),
];

/// A floor, and how far right on it.
type Place = (u32, usize);

/// The plan as it is drawn, for one crate's floors.
fn plan(floors: &RangeInclusive<u32>) -> BTreeMap<&'static str, Place> {
    let drawn = ARCHITECTURE.split_once("## Floors").unwrap().1.split("```").nth(1).unwrap();
    let mut plan = BTreeMap::new();
    for line in drawn.lines() {
        let Some((floor, rest)) = line.split_once("   ") else { continue };
        let Some(floor) = floor.parse::<u32>().ok().filter(|floor| floors.contains(floor)) else { continue };
        let modules = rest.split("  ").next().unwrap();
        plan.extend(modules.split(", ").enumerate().map(|(right, module)| (module, (floor, right))));
    }
    plan
}

/// Source files below a folder, without those that are tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        match name {
            "tests" | "testing" | "vectors" | "papers" => {}
            _ if path.is_dir() => files.extend(self::files(&path)),
            _ if path.extension().is_some_and(|ending| ending == "rs") => files.push(path),
            _ => {}
        }
    }
    files
}

/// What a crate's modules say, comments and unit tests aside; these stand last in a file.
fn sources(krate: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
    let read = |path: PathBuf| {
        let below = path.strip_prefix(&root).unwrap().with_extension("");
        let module = below.iter().next().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
        let code = lines.join("\n");
        (module, code.split("mod tests {").next().unwrap().to_owned())
    };
    files(&root).into_iter().map(read).filter(|(module, _)| module != "lib").collect()
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Modules of its own crate that code names: `crate::module…`, and the first words within `crate::{…}`.
fn named(code: &str) -> BTreeSet<&str> {
    let mut named = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let Some(list) = after.strip_prefix('{') else {
            named.insert(word(after));
            continue;
        };
        let (mut depth, mut begins) = (0_usize, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                _ if depth == 0 && begins && c.is_ascii_alphabetic() => {
                    named.insert(word(&list[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    named
}

/// Every import of one module by another of a crate.
fn arrows(krate: &str) -> BTreeSet<(String, String)> {
    let mut arrows = BTreeSet::new();
    for (module, code) in sources(krate) {
        let others = named(&code).into_iter().filter(|other| *other != module);
        arrows.extend(others.map(|other| (module.clone(), other.to_owned())));
    }
    arrows
}

#[test]
fn every_module_has_a_place_and_every_place_a_module() {
    for (krate, floors) in [("proto", PROTO), ("node", NODE)] {
        let there: BTreeSet<String> = sources(krate).into_iter().map(|(module, _)| module).collect();
        let drawn: BTreeSet<String> = plan(&floors).into_keys().map(str::to_owned).collect();
        assert_eq!(there, drawn, "{krate}");
    }
}

/// On the floors that hold no use-cases a module may also import what stands right of it.
#[test]
fn a_module_imports_from_below_and_use_cases_know_nothing_of_each_other() {
    let mut handed_on = BTreeSet::new();
    for (krate, floors) in [("proto", PROTO), ("node", NODE)] {
        let plan = plan(&floors);
        for (from, to) in arrows(krate) {
            let ((floor, at), (below, right)) = (plan[from.as_str()], plan[to.as_str()]);
            if HANDS_ON.contains(&(from.as_str(), to.as_str())) {
                handed_on.insert((from, to));
                continue;
            }
            assert!(
                below < floor || (below == floor && floor <= 3 && right > at),
                "{krate}: {from} imports {to}"
            );
        }
    }
    assert_eq!(handed_on.len(), HANDS_ON.len(), "an exception that nobody needs any more: {handed_on:?}");
}

#[test]
fn foreign_crates_keep_to_their_house() {
    for (module, code) in sources("node") {
        for (foreign, house) in HOUSES {
            let is_named =
                [format!("{foreign}::"), format!("use {foreign};")].iter().any(|use_| code.contains(use_));
            assert!(!is_named || house.contains(&module.as_str()), "{module} names {foreign}");
        }
    }
}
