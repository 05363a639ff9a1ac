//! Repair: what gossip lost, and what was said while we were away.
//!
//! ```text
//! peer ready  ─┐
//! gap seen    ─┼─▶ compare each group's frontier ─equal─▶ done
//! some minutes ┘                                 └differs (sums of slices, then the list of some)─▶ offers ─▶ schedule ─▶ pages ─▶ intake (the one ladder)
//!                                                          (of many peers)   (many logs at once)
//! ```
//!
//! Whom to ask for what next is the pure [`schedule`](belfry_proto::sync::schedule)'s to say; this runs the
//! conversations. A page is checked to be the range asked for, then every envelope goes up the same ladder as
//! gossip. Both sides check who asks: entitled readers and carriers get a group's ciphertext, nobody else.

mod budget;
mod compare;
mod counters;
mod fetch;
mod progress;
mod pull;
mod serve;

#[cfg(test)]
mod tests;

pub use counters::{Counters, Snapshot};
pub use progress::{GroupProgress, Peers, Progress, Report, State};
pub use pull::{Sync, Tell};
pub use serve::Serving;
