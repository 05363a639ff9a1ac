//! What a node tells gossipsub about a message it was handed.

/// The forwarding verdict, falling before any body is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Forward to the mesh.
    Accept,
    /// Do not forward, hold nothing against the forwarder.
    Ignore,
    /// Do not forward, and charge the forwarder: every honest node would have refused it.
    Reject,
}

impl Verdict {
    /// The word used in logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Ignore => "ignore",
            Self::Reject => "reject",
        }
    }
}

/// An inbound error that knows its verdict. Implementations list every case; a new error must choose.
pub trait Judged {
    /// The verdict on the message that caused this error.
    fn verdict(&self) -> Verdict;
    /// Stable short code for metrics, API and `belfry why`, as in `bad-signature`.
    fn code(&self) -> &'static str;
}
