//! What the fuzz targets do, over their seeds and over bytes near them, on the stable toolchain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "the fuzz crate's own file, and a test"
)]

#[path = "../fuzz/src/lib.rs"]
mod bodies;

use bodies::TARGETS;
use proptest::{prelude::*, test_runner::TestRunner};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn every_body_takes_its_seeds() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seed", target.name);
        for seed in seeds {
            bodies::run(target.name, &seed);
        }
    }
}

#[test]
fn no_decoder_panics_on_arbitrary_bytes() {
    let mut runner = TestRunner::new(cases(256));
    runner
        .run(&proptest::collection::vec(any::<u8>(), 0..400), |bytes| {
            TARGETS.iter().for_each(|target| (target.body)(&bytes));
            Ok(())
        })
        .unwrap();
}

#[test]
fn no_decoder_panics_on_seeds_cut_spliced_and_bent() {
    let mut runner = TestRunner::new(cases(128));
    let edit = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0_u8..4);
    for target in TARGETS {
        let seeds = (target.seeds)();
        runner
            .run(
                &(any::<prop::sample::Index>(), proptest::collection::vec(edit.clone(), 1..4)),
                |(seed, edits)| {
                    let mut bytes = seed.get(&seeds).clone();
                    for (one, other, byte, how) in edits {
                        if bytes.is_empty() {
                            break;
                        }
                        let (a, b) = (one.index(bytes.len()), other.index(bytes.len()));
                        match how {
                            0 => bytes[a] = byte,
                            1 => bytes.truncate(a),
                            2 => bytes.insert(a, byte),
                            _ => {
                                let piece = bytes[a.min(b)..a.max(b)].to_vec();
                                bytes.splice(a..a, piece);
                            }
                        }
                    }
                    (target.body)(&bytes);
                    Ok(())
                },
            )
            .unwrap();
    }
}

/// The target's file is what cargo-fuzz builds; one that is missing would be fuzzed by nobody.
#[test]
fn every_target_has_its_binary() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for target in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{}.rs\"", target.name)), "{}", target.name);
    }
    assert_eq!(manifest.matches("fuzz_targets/").count(), TARGETS.len());
}
