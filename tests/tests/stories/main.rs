//! End-to-end stories: real nodes in this process, real transports, one subject a file.
//!
//! Each tells what must hold between members, and what must not. See `belfry_tests` for the harness.

// All of this is tests; the lints' own exception sees only the functions that are marked so.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod admin_log;
mod asleep;
mod behalf;
mod capacities;
mod carrier;
mod clauses;
mod contacts;
mod crowd;
mod embargo;
mod expiry;
mod forgery;
mod groups;
mod history;
mod leaving;
mod newcomers;
mod nodes;
mod notified;
mod offline;
mod outbound;
mod proposals;
mod reasons;
mod red;
mod replay;
mod restart;
mod retention;
mod revocation;
mod rules;
mod sharing;
mod sightings;
mod staleness;
mod strangers;
mod suspension;
mod sync;
mod why;
mod withdrawal;
