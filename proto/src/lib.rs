//! Everything belfry decides without I/O.
//!
//! The story of a message, each rung a type of its own that only the check before it can make:
//!
//! ```text
//! &[u8] ─decode─▶ Decoded ─attribute(roster)─▶ Attributed ─verify─▶ Verified ─admit─▶ Admitted ⇒ Verdict
//!       ─open(keys)─▶ Opened ─parse─▶ Publication
//! ```
//!
//! Which module may import which is drawn in ARCHITECTURE.
//!
//! No clock, no randomness of its own, no files, no network: `now` and the random generator are arguments.

pub mod crypto;
pub mod envelope;
pub mod guard;
pub mod id;
pub mod import;
pub mod limits;
pub mod notice;
pub mod schema;
pub mod stix;
pub mod sync;
pub mod time;
pub mod topic;
pub mod trust;
pub mod verdict;
