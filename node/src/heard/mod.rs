//! What others told: `membership` writes it down, whoever seals, serves or shows reads it.
//!
//! ```text
//! hello ─▶ hellos: our clock (voices), the admin log and our own logs as others know them (company ─▶ gate)
//! beacon, record, charter ─▶ log watch: how fresh the admin log is, whether there are two of it
//! refusal ─▶ removal: what took our certificate away
//! ```
//!
//! Values and their rules, no I/O: who asks, whom and when is for `membership` to decide.

mod company;
mod gate;
mod hellos;
mod log_watch;
mod pulse;
pub(crate) mod removal;
mod voices;

pub(crate) use company::Announced;
pub use gate::{Gate, GateTimes};
pub use hellos::{ClockTold, Hellos};
pub use log_watch::{Freshness, LogWatch, RefusedCharter};
pub use removal::Removal;
