//! The belfry node: a member's daemon, its local API and its command line.
//!
//! Floors, a module imports from lower ones only (its own subtree aside):
//!
//! ```text
//! 7   main, cli                                process edge: args, exit codes
//! 6   daemon                                   composition root: start / join / shutdown
//! 5   api, hooks, sources                      HTTP: TAXII, REST, events; what is pushed, what is pulled
//! 4   ingest, publish, grants, membership, sync, query, backup, heal, notice
//!                                              use-cases; they meet in store and feed, never call each other
//! 3   network, store, feed, audit_log, outbound
//!                                              adapters: libp2p, RocksDB, in-process notices, files, HTTP to others
//! 2   config, keys, clock, bucket, space, tasks, telemetry, texts, roster, words
//! ```

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
