//! Patterns are judged as OASIS's own validator judges them: generated ones, and what becomes of them when something
//! in them is lost, doubled or exchanged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fmt::Write as _;

use belfry_proto::stix::observable::pattern;
use belfry_tests::process::python;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::json;

/// Patterns of one kind. The validator reads some three hundred a second.
const MANY: usize = 1_000;

struct Making(StdRng);

impl Making {
    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of.choose(&mut self.0).copied().unwrap_or_default()
    }

    fn chance(&mut self, of: f64) -> bool {
        self.0.random_bool(of)
    }

    fn gap(&mut self) -> &'static str {
        self.one(&[" ", " ", " ", "  ", "\t", "\n", " /* a remark */ "])
    }

    fn path(&mut self) -> String {
        let mut path =
            self.one(&["ipv4-addr:", "file:", "process:", "x-own-type:", "network-traffic:"]).to_owned();
        path += self.one(&["value", "name", "size", "extensions", "'a-b'", "x_own", "dst_ref"]);
        while self.chance(0.3) {
            path += self.one(&[".value", ".'windows-pebinary-ext'", "[0]", "[*]", "[12]", ".name"]);
        }
        path
    }

    fn text(&mut self) -> &'static str {
        self.one(&["'a'", "''", "'198.51.100.7'", r"'a\'b'", r"'C:\\x'", "'é'", "'a // b'"])
    }

    fn constant(&mut self) -> &'static str {
        let other = [
            "5",
            "-5",
            "4.5",
            "-0.25",
            "true",
            "false",
            "t'2026-11-27T00:00:00Z'",
            "t'2026-11-27T00:00:00.123Z'",
        ];
        match self.chance(0.5) {
            true => self.text(),
            false if self.chance(0.2) => self.one(&["h'c0ffee'", "b'VBORw0KGgo=='", "h''"]),
            false => self.one(&other),
        }
    }

    fn comparison(&mut self) -> String {
        if self.chance(0.1) {
            let not = self.one(&["", "NOT "]);
            return format!("{not}EXISTS {}", self.path());
        }
        let (path, not) = (self.path(), if self.chance(0.2) { "NOT " } else { "" });
        match self.0.random_range(0..6) {
            0 | 1 => {
                let sign = self.one(&["=", "!=", "==", "<>"]);
                format!("{path} {not}{sign} {}", self.constant())
            }
            2 => {
                let sign = self.one(&["<", ">", "<=", ">="]);
                let constant = self.one(&["5", "'a'", "4.5", "t'2026-11-27T00:00:00Z'"]);
                format!("{path} {not}{sign} {constant}")
            }
            3 => {
                let word = self.one(&["LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"]);
                format!("{path} {not}{word} {}", self.text())
            }
            _ => {
                let count = self.0.random_range(0..4);
                let values: Vec<&str> = (0..count).map(|_| self.constant()).collect();
                format!("{path} {not}IN ({})", values.join(", "))
            }
        }
    }

    fn comparisons(&mut self, depth: usize) -> String {
        let mut text = match depth < 3 && self.chance(0.2) {
            true => format!("({})", self.comparisons(depth + 1)),
            false => self.comparison(),
        };
        while self.chance(0.3) {
            let (gap, word) = (self.gap(), self.one(&["AND", "OR"]));
            let next = self.comparison();
            let _ = write!(text, "{gap}{word} {next}");
        }
        text
    }

    fn observations(&mut self, depth: usize) -> String {
        let mut text = match depth < 3 && self.chance(0.2) {
            true => format!("({})", self.observations(depth + 1)),
            false => format!("[{}]", self.comparisons(0)),
        };
        if self.chance(0.3) {
            text += self.one(&[
                " WITHIN 300 SECONDS",
                " WITHIN 1.5 SECONDS",
                " REPEATS 5 TIMES",
                " REPEATS 5 TIMES WITHIN 60 SECONDS",
                " START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'",
            ]);
        }
        while self.chance(0.3) {
            let (gap, word) = (self.gap(), self.one(&["AND", "OR", "FOLLOWEDBY"]));
            let next = self.observations(3);
            let _ = write!(text, "{gap}{word} {next}");
        }
        text
    }

    /// Something in it lost, doubled or exchanged.
    fn broken(&mut self, pattern: &str) -> String {
        let is_cut = |c: char| c.is_whitespace() || "[]()':.,=<>".contains(c);
        let mut pieces: Vec<&str> = pattern.split_inclusive(is_cut).collect();
        let (one, two) = (self.0.random_range(0..pieces.len()), self.0.random_range(0..pieces.len()));
        match self.0.random_range(0..4) {
            0 => _ = pieces.remove(one),
            1 => pieces.insert(one, pieces[two]),
            2 => pieces.swap(one, two),
            _ => {
                let odd = [
                    "AND ", "[", "]", "(", ")", "'", "5", "and ", ";", "LIKE ", "t'now'", "\\", "#", ",",
                    "NOT ",
                ];
                pieces.insert(one, self.one(&odd));
            }
        }
        pieces.concat()
    }
}

#[test]
fn a_pattern_is_judged_as_the_standards_own_validator_judges_it() {
    let mut making = Making(StdRng::seed_from_u64(20_261_127));
    let mut lines = String::new();
    for _ in 0..MANY {
        let good = making.observations(0);
        assert_eq!(pattern::check(&good), Ok(()), "{good}");
        let broken = making.broken(&good);
        for pattern in [&good, &broken] {
            let _ = writeln!(lines, "{}", json!([pattern, pattern::check(pattern).is_ok()]));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("patterns.jsonl");
    std::fs::write(&file, lines).unwrap();
    python("patterns.py", &[("BELFRY_PATTERNS", file.to_str().unwrap())]);
}
