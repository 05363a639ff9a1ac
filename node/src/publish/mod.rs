//! The way out: from a bundle that a tool submits to signed messages that every reader gets.
//!
//! ```text
//! submit: bundle ─parse─▶ checks ─guards─▶ split ─▶ parts ─▶ store (sealed draft, durable) ─▶ 202
//! file:    somebody's file ─▶ a submission
//! read:    what a submission is, its marking, its readers, what the guards say
//! together: several submissions that are one deed: all of their drafts, or none
//! preview: the same up to the guards, told and kept nowhere
//! withdraw: what is named ─▶ messages ─▶ checks ─▶ a draft like any other
//! flush:  drafts ─▶ key usable? else new key, durable, held by another ─▶ position in our log ─▶ batch
//!                ─▶ store (messages + states, one synced write) ─▶ feed, gossip
//! batch:   drafts of a group ─▶ read ─▶ seal, sign ─▶ rows
//! straight: what is small, while nothing waits: drafts and messages in one write
//! holders: who waits for it asks readers how far they are
//! ```
//!
//! An acknowledged publish survives a crash at any line: until the one write of `flush` it is a draft,
//! after it the messages are there and sync carries them even if gossip never did.

mod again;
mod batch;
mod behalf;
mod classes;
pub mod drafts;
pub mod file;
mod flush;
mod guards;
mod holders;
mod holding;
mod key;
mod known;
mod offers;
mod otherwise;
mod passing;
pub mod preview;
mod push;
mod read;
mod seal;
mod straight;
pub mod submission;
mod submit;
mod together;
pub mod withdraw;

pub use flush::{Flusher, Hold};
pub use guards::{Guards, WarningLists};
pub use holders::{Held, Holders};
pub use straight::Desk;
pub use submit::{Defaults, Publisher};
