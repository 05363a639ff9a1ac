//! Properties of every wire type, over the golden bytes and over generated values.
//!
//! * one flipped bit, anywhere, and nobody takes it;
//! * a field that the schema does not know, at any depth, and nobody takes it;
//! * what is written is what is read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test, with the fuzz crate's own file"
)]

#[allow(dead_code, reason = "only the vectors are used here")]
#[path = "../fuzz/src/vectors.rs"]
mod vectors;

mod properties {
    mod encoding;
    mod flips;
    mod fold;
    mod swaps;
}
