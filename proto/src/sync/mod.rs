//! What to ask of whom, decided without a socket.
//!
//! Every publisher's log in a group is gap-free and hash-linked. A node's [`frontier`] says how far it
//! holds each log without a gap, and how many bodies of it; two nodes compare the hash of a group's
//! frontier first (equal: done, for some 100 bytes), if it differs the sums of its [`slices`], then the list of
//! those in which they differ ([`compare`]), and [`plan`](plan::plan) the ranges to fetch; [`schedule`] spreads them over peers and time. A fetched [`page`] must be the
//! range asked for, entry linked to entry, before any of its envelopes climbs the ladder of
//! [`crate::envelope`]; what the ladder made of them is its [`outcome`], which says who is to blame and where to go on.
//!
//! ```text
//! hash differs ─▶ Slices ─differing─▶ Frontier list of these ─read_list─▶ [LogFrontier] ─plan(ours, theirs)─▶ [Range]
//!              ─▶ Page ─decode each─▶ [Decoded] ─check_page(range)─▶ attribute, verify, admit …
//! ```
//!
//! A node that holds both sides of a fork says so in its frontier; who saw one side only asks for the proof
//! ([`fork`]).

pub mod compare;
pub mod fork;
pub mod frontier;
pub mod group;
pub mod judge;
pub mod number;
pub mod outcome;
pub mod page;
pub mod plan;
pub mod retention;
pub mod schedule;
pub mod slices;

pub use compare::{CompareError, Comparison, Next, Step};
pub use fork::{ForkError, check_fork};
pub use frontier::{FrontierError, LogFrontier, MissingSum, hash, read_list};
pub use group::GroupFrontier;
pub use judge::{Entry, LogJudgement, Place, judge_log};
pub use page::{PageError, check_page};
pub use plan::{Range, Want, plan};
pub use schedule::{Ask, Missing, Pace, Schedule};
