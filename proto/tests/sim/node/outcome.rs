//! What became of a page: how far it was kept, and whose fault it is if no further. The daemon's rule in its shortest form.

use belfry_proto::{
    id::Sequence,
    schema::Refusal,
    sync::{Range, Want},
};

/// What the judge made of one envelope of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Here,
    /// Waits for the admin log.
    Parked,
    Refused(&'static str),
}

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

    /// How far a page got; with `excuse_waits` an entry without its body is nobody's fault.
    pub(super) fn of(range: &Range, kept: &[Kept], excuse_waits: bool) -> Self {
        let (mut through, mut proven, mut is_proven) = (None, None, true);
        for (at, one) in kept.iter().enumerate() {
            let sequence = Sequence::new(range.from.get() + at as u64);
            let end = match one {
                Kept::Here | Kept::Parked => {
                    is_proven &= *one == Kept::Here;
                    through = Some(sequence);
                    proven = if is_proven { through } else { proven };
                    continue;
                }
                Kept::Refused("bodiless") if excuse_waits => End::Waits,
                Kept::Refused("bad-signature") => match kept.get(at + 1) {
                    // The page ends here, and what follows may vouch for it.
                    None if at > 0 && sequence < range.to => End::Whole,
                    // Something else is in its place, or who vouches for it cannot be heard now.
                    Some(Kept::Here | Kept::Parked) => End::Ours,
                    Some(Kept::Refused(code)) if !is_peers_fault(code) => End::Ours,
                    _ => End::PeersFault,
                },
                Kept::Refused(code) if is_peers_fault(code) => End::PeersFault,
                Kept::Refused(_) => End::Ours,
            };
            return Self { through, proven, end };
        }
        Self { through, proven, end: End::Whole }
    }
}

/// Whether no honest node holds what is refused so, whatever its roster and clock.
fn is_peers_fault(code: &str) -> bool {
    matches!(code, "malformed" | "other-body" | "other-recipients" | "bad-signature" | "bodiless")
}

/// Whether a withdrawal that came with a page is not here yet, by no fault of the peer's.
pub(super) fn waits(excuse: &Kept) -> bool {
    match excuse {
        Kept::Here => false,
        Kept::Parked => true,
        Kept::Refused(code) => !is_peers_fault(code),
    }
}
