//! Whether our admin log may be taken as the present one, and our own logs as ours to go on with: what whoever seals
//! asks before each batch.
//!
//! A reader that was revoked while we were alone must not get what is sealed afterwards, and a sequence that an
//! earlier life of our disk used must not be used again. So the gate follows the present, the first line that applies:
//!
//! ```text
//! the clocks parted, or our loop stood still ─▶ closed until a fresh hello
//! the registrar signed what lies beyond our log ─▶ closed until we have it, however long that takes
//! a peer announces more than we have and is being asked ─▶ closed, all such together for `doubt` at most
//! a peer says it holds more of our own logs and is being asked ─▶ closed, each for a few tries at most
//! fewer than three members answered since we were alone ─▶ closed for who is connected and did not, each a while
//! somebody is level ─▶ open
//! they announced more than they served ─▶ closed for `doubt`, then open
//! the last level one left ─▶ open for `grace` ─▶ closed until the next hello
//! ```
//!
//! What a peer merely says holds us up for a bounded time, or a liar could stop us; what it shows counts for as long
//! as it is true. [`Company`](super::company::Company) decides it.

use std::time::Duration;

/// What the gate lets wait, and how long.
#[derive(Clone, Copy, Debug)]
pub struct GateTimes {
    /// How long after the last level peer left the log still counts as known. Restarts and lost lines are shorter;
    /// every second is one longer in which a revocation passes us by.
    pub grace: Duration,
    /// How long peers that announce more than they serve can hold us up. A pull fails within fifteen seconds.
    pub doubt: Duration,
    /// How long a connected peer's first answer is waited for. Shorter ⇒ a busy one that knows of a revocation is
    /// passed over; longer ⇒ a silent one delays what is published after a start.
    pub patience: Duration,
}

impl Default for GateTimes {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(60),
            doubt: Duration::from_secs(30),
            patience: Duration::from_secs(10),
        }
    }
}

/// Whether it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The admin log is known as far as anybody at hand knows it.
    Open,
    /// Nobody has answered a hello yet.
    NoHello,
    /// Nobody is left who did, or too much time passed unseen.
    Lost,
    /// Not all of those at hand who are to be heard first have answered.
    Asking,
    /// Somebody says that it holds more of our own logs than we do, and is being asked to show it.
    OwnLogs,
    /// Those at hand announce a longer admin log, or another one, and have not served it yet.
    Behind,
    /// The registrar signed an entry or a beacon beyond our admin log.
    Ahead,
}
