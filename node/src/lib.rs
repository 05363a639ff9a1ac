//! The belfry node: a member's daemon, its local API and its command line.
//!
//! Which module may import which is drawn in ARCHITECTURE, and held by `tests/floors.rs`.

pub mod api;
pub mod audit_log;
pub mod backup;
mod bucket;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod feed;
pub mod grants;
pub mod heal;
pub mod heard;
pub mod hooks;
pub mod identity;
pub mod ingest;
pub mod keys;
pub mod membership;
pub mod network;
pub mod notice;
mod outbound;
pub mod publish;
pub mod query;
pub mod refusals;
pub mod relay;
pub mod roster;
mod rows;
pub mod sources;
pub mod space;
pub mod stated;
pub mod store;
pub mod sync;
pub mod tasks;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod texts;
pub mod words;
