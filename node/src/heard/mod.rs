//! What others told: `membership` writes it down, whoever seals, serves or shows reads it.
//!
//! ```text
//! hello ─▶ hellos: our clock (voices), the admin log and our own logs as others know them (company ─▶ gate)
//! beacon, record, charter ─▶ log watch: how fresh the admin log is, whether there are two of it
//! refusal ─▶ removal: what took our certificate away
//! contact record ─▶ contacts: whose is held
//! dates in the admin log ─▶ lone: whether there is anybody to hear
//! ```
//!
//! Values and their rules, no I/O: who asks, whom and when is for `membership` to decide. Two handles lead back to it: what a
//! peer pushes ([`Contacts`]), and that one is ahead ([`Behind`]).

mod behind;
mod company;
mod contacts;
mod gate;
mod hellos;
mod log_watch;
pub(crate) mod lone;
mod pulse;
pub(crate) mod removal;
mod voices;
mod vouched;

pub use behind::Behind;
pub(crate) use company::Announced;
pub use contacts::Contacts;
pub(crate) use contacts::{Pushed, Shelf};
pub use gate::{Gate, GateTimes};
pub use hellos::{ClockTold, Hellos};
pub use log_watch::{Freshness, LogWatch, RefusedCharter};
pub use removal::Removal;
pub use vouched::VouchedClock;
