//! REST under `/api/v1`: what TAXII has no words for, in plain JSON.
//!
//! Objects come with what the network knows about them (member, message, marking in force) beside the
//! author's JSON, never inside it.

pub(super) mod activity;
pub(super) mod audit;
pub(super) mod backups;
pub(super) mod contacts;
pub(super) mod drafts;
pub(super) mod exports;
pub(super) mod forks;
pub(super) mod groups;
pub(super) mod health;
pub(super) mod hooks;
pub(super) mod import;
pub(super) mod log;
pub(super) mod lookup;
mod mandate;
pub(super) mod members;
pub(super) mod messages;
pub(super) mod metrics;
pub(super) mod newcomers;
pub(super) mod objects;
pub(super) mod proposals;
pub(super) mod publications;
pub(super) mod rules;
pub(super) mod sightings;
pub(super) mod sources;
pub(super) mod status;
pub(super) mod subjects;
pub(super) mod sync;
pub(super) mod tokens;
pub(super) mod withdrawals;
