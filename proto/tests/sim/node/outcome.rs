//! What became of a request: of a page what production says ([`belfry_proto::sync::outcome`]), of a refusal the daemon's rule in its
//! shortest form.

use belfry_proto::{
    envelope::Decoded,
    id::Sequence,
    schema::Refusal,
    sync::{
        Range, Want,
        outcome::{self, Kept, Outcome, bodies_outcome, fork_outcome, outcome, vouched_for},
    },
};

/// Why a request brought no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It brought what was asked for, or the beginning of it.
    Whole,
    PeersFault,
    /// By our roster or clock.
    Ours,
    /// Something else has to come first, or the peer has no time.
    Waits,
    /// The peer misses the body of this entry, too.
    Bare(Sequence),
    /// The peer counts entries up to this one as whole, and has no bodies of them.
    Gone(Sequence),
    HasNothing,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Fetched {
    /// Last sequence that was kept, without a gap from the first one asked for.
    pub(super) through: Option<Sequence>,
    /// The same of those alone that are known to be their author's.
    pub(super) proven: Option<Sequence>,
    pub(super) end: End,
}

impl Fetched {
    pub(super) const fn nothing(end: End) -> Self {
        Self { through: None, proven: None, end }
    }

    /// A range was refused.
    pub(super) fn refused(range: &Range, code: i32) -> Self {
        Self::nothing(match (Refusal::try_from(code).unwrap_or_default(), range.want) {
            (Refusal::Busy | Refusal::NotYet, _) => End::Waits,
            (Refusal::Unknown, Want::Bodies) => End::Bare(range.from),
            (Refusal::Unknown, Want::Entries | Want::Proof) => End::HasNothing,
            _ => End::PeersFault,
        })
    }

    /// How far a page got, as production has it, of whose entries `bare` came without their bodies; with `excuse_waits` one without
    /// its body is nobody's fault.
    pub(super) fn of(range: &Range, bare: &[bool], kept: &[Kept], excuse_waits: bool) -> Self {
        bodies_outcome(range, bare, outcome(range, kept, excuse_waits)).into()
    }

    /// The same of the proof of a fork.
    pub(super) fn of_fork(range: &Range, pair: &[Decoded], kept: &[Kept]) -> Self {
        fork_outcome(range, vouched_for(pair), kept).into()
    }
}

impl From<Outcome> for Fetched {
    fn from(Outcome { through, proven, end }: Outcome) -> Self {
        let end = match end {
            outcome::End::Whole => End::Whole,
            outcome::End::NotKept { .. } => End::PeersFault,
            outcome::End::Ours(_) => End::Ours,
            outcome::End::Unexcused(_) => End::Waits,
            outcome::End::Gone(at) => End::Gone(at),
        };
        Self { through, proven, end }
    }
}
