//! End-to-end stories: real nodes in this process, real transports, one subject a file.
//!
//! Each tells what must hold between members, and what must not. See `belfry_tests` for the harness.

mod admin_log;
mod carrier;
mod expiry;
mod forgery;
mod groups;
mod history;
mod nodes;
mod offline;
mod red;
mod replay;
mod restart;
mod revocation;
mod sharing;
mod strangers;
mod suspension;
mod sync;
