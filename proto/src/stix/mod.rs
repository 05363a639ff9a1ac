//! What belfry knows of STIX 2.1: the content every sealed message carries.
//!
//! An object is kept and served as its author wrote it; belfry reads it, judges it, and never writes
//! into it. A producer's bundle takes this way out:
//!
//! ```text
//! &[u8] ─Bundle::parse─▶ Bundle ─split─▶ parts, each one payload ─(envelope)─▶ sealed messages
//! ```
//!
//! and a received payload this way in:
//!
//! ```text
//! &[u8] ─Object::parse─▶ Object ─┬─ marking::effective ─▶ Tlp, for whoever authorises a read
//!                                ├─ observable::extract ─▶ normalised values, for the blind index
//!                                └─ class::infer ─▶ information classes of NIS2 29(1)
//! ```
//!
//! What is served to people and tools goes further:
//!
//! ```text
//! Object ─indicator::Indicator─▶ values ─score::judge─▶ score, state ─egress::may_leave, warning─▶ a list
//!                                                                     └─ neutral ─▶ text that steers nothing
//! ```
//!
//! Every byte here may come from an enemy. [`minify`] runs first and bounds size, depth and counts
//! before a tree is built; what it lets through holds no duplicate key, no NUL and no broken UTF-8,
//! so that two parsers cannot read it differently.

pub mod bundle;
pub mod class;
pub mod egress;
pub mod extension;
pub mod handling;
pub mod id;
pub mod indicator;
pub mod marking;
pub mod minify;
pub mod neutral;
pub mod object;
pub mod observable;
pub mod proposal;
pub mod rule;
pub mod score;
pub mod split;
pub mod strict;
pub mod tombstone;
pub mod warning;

mod properties;
mod timestamp;

pub use bundle::{Bundle, BundleError};
pub use marking::{Marking, Markings, Tlp};
pub use object::{Object, ObjectError, Rule};
pub use split::{SplitError, split};
