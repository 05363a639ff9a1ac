//! Real intelligence to try belfry with, where it is at hand. None of it lies in this repository.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::process::skipped;

/// Names the folder that holds `misp-events`, `attack` and `warninglists`.
const FOLDER: &str = "BELFRY_DATA";

/// What lies under `part` of the real data: of the folder `BELFRY_DATA` names, else of `shared/data` beside the
/// checkout. Where there is nothing, it says so, and the test goes on with the samples of `tests/data` alone.
#[must_use]
pub fn data(part: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = env::var_os(FOLDER).map_or_else(beside, PathBuf::from).join(part);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("real data: there is no {}; {FOLDER} names the folder with {part}", path.display()));
    None
}

/// The samples of `part` in `tests/data`, made up for these tests.
#[must_use]
pub fn samples(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(part)
}
