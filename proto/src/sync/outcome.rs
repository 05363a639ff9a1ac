//! What became of a page: how far it was kept, and whose fault it is if no further.
//!
//! ```text
//! page ─judge each entry─▶ [Kept] ─outcome(range)─▶ through, proven, End ─▶ Schedule
//! ```
//!
//! Blame is for what no honest node holds, whatever its roster and clock. All else, our disk, our clock, our roster, our reading of a
//! quota, must set no peer aside: it may be right.

use super::plan::{Range, Want};
use crate::{envelope::Decoded, id::Sequence};

/// As what an author has no room for any more on this node's disk is refused; it is passed over, because a withdrawal that
/// makes room may come after it.
pub const OVER_DISK_QUOTA: &str = "over-disk-quota";

/// What became of one envelope of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Stored now.
    Stored,
    /// Was here already.
    Known,
    /// Waits for the admin log to catch up.
    Parked,
    /// Refused; the code says why.
    Refused(&'static str),
}

/// How far a page got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Last sequence that was kept, without a gap from the first one asked for.
    pub through: Option<Sequence>,
    /// The same of those alone that are known to be their author's: what waits for the admin log anybody may have made up.
    pub proven: Option<Sequence>,
    /// Why it got no further.
    pub end: End,
}

/// Why a page got no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It did not end early: the rest is asked for after it.
    Whole,
    /// The peer served what no honest node holds.
    NotKept {
        /// Which entry.
        sequence: Sequence,
        /// Why it was refused.
        code: &'static str,
    },
    /// By this node's roster, clock, disk or reading of a quota.
    Ours(&'static str),
    /// This entry came without its body, and what excuses that is not here yet, by nobody's fault.
    Unexcused(Sequence),
    /// Bodies were asked for, and entries up to and with this one came without theirs.
    Gone(Sequence),
}

/// Whether a withdrawal that came with a page is not here yet, by no fault of the peer's: our roster, quota or disk.
#[must_use]
pub fn waits(excuse: &Kept) -> bool {
    match excuse {
        Kept::Stored | Kept::Known => false,
        Kept::Parked => true,
        Kept::Refused(code) => !is_peers_fault(code),
    }
}

/// Whether no honest node holds what is refused so, whatever its roster and clock.
fn is_peers_fault(code: &str) -> bool {
    matches!(code, "malformed" | "other-body" | "other-recipients" | "bad-signature" | "bodiless")
}

/// How far a page got, and why no further. Entries are in order, so what follows a refused one is of no use
/// to the frontier; it is asked for again, of somebody else. An entry and the withdrawal of its body may come in
/// any order: with `excuse_waits` one without its body is nobody's fault. What there is no room for is passed over: a
/// withdrawal may come after it.
#[must_use]
pub fn outcome(range: &Range, kept: &[Kept], excuse_waits: bool) -> Outcome {
    let (mut through, mut proven, mut passed) = (None, None, End::Whole);
    let mut is_proven = true;
    for (sequence, one) in (range.from.get()..).map(Sequence::new).zip(kept) {
        let end = match one {
            // The second message of a fork is stored, too: its author's fault, and kept as proof.
            Kept::Stored | Kept::Known | Kept::Parked | Kept::Refused(OVER_DISK_QUOTA) => {
                if *one == Kept::Refused(OVER_DISK_QUOTA) {
                    passed = End::Ours(OVER_DISK_QUOTA);
                }
                is_proven &= *one != Kept::Parked;
                through = Some(sequence);
                proven = if is_proven { through } else { proven };
                continue;
            }
            Kept::Refused("bodiless") if excuse_waits => End::Unexcused(sequence),
            Kept::Refused("bad-signature") => match signer(range, sequence, kept) {
                Signer::Vouched => {
                    let through = Some(before(sequence));
                    let proven = if is_proven { through } else { proven };
                    return Outcome { through, proven, end: End::Whole };
                }
                Signer::Contradicts => End::Ours("bad-signature"),
                Signer::Unknown => End::NotKept { sequence, code: "bad-signature" },
            },
            Kept::Refused(code) if is_peers_fault(code) => End::NotKept { sequence, code },
            Kept::Refused(code) => End::Ours(code),
        };
        return Outcome { through, proven, end };
    }
    Outcome { through, proven, end: passed }
}

/// What became of a page of bodies, of whose entries `bare` says which came without theirs. The peer counts these as whole, as does
/// who let go of them by a charter that is no longer in force, or by a withdrawal that waits here: it is to blame for nothing, and they
/// are still wanted of others. A page counts as far as it is the one or the other.
#[must_use]
pub fn bodies_outcome(range: &Range, bare: &[bool], outcome: Outcome) -> Outcome {
    let (Want::Bodies, Some(is_bare)) = (range.want, bare.first()) else { return outcome };
    if matches!(outcome.end, End::NotKept { .. } | End::Ours(_)) {
        return outcome;
    }
    let alike = bare.iter().take_while(|one| *one == is_bare).count() as u64;
    let last = before(Sequence::new(range.from.get().saturating_add(alike)));
    if *is_bare {
        return Outcome { through: None, proven: None, end: End::Gone(last) };
    }
    let within = |at: Option<Sequence>| at.map(|at| at.min(last));
    Outcome { through: within(outcome.through), proven: within(outcome.proven), end: outcome.end }
}

/// What became of the proof of a fork, of whose sides one may vouch for the other ([`vouched_for`]): it is whole, or of no use.
///
/// A proof brings no excuses: a side without its body is kept once the erasure is here. One that its author did not sign is made
/// up, unless the other one names it: that it was named is the proof.
#[must_use]
pub fn fork_outcome(range: &Range, vouched: Option<(usize, usize)>, kept: &[Kept]) -> Outcome {
    let is_here = |at: usize| matches!(kept.get(at), Some(Kept::Stored | Kept::Known));
    let is_proof = |at: usize| vouched.is_some_and(|(side, by)| side == at && is_here(by));
    let unsigned = kept.iter().enumerate().filter(|(_, one)| **one == Kept::Refused("bad-signature"));
    let (proofs, forged): (Vec<usize>, Vec<usize>) = unsigned.map(|(at, _)| at).partition(|at| is_proof(*at));
    let end = if !forged.is_empty() {
        End::NotKept { sequence: range.to, code: "bad-signature" }
    } else if !proofs.is_empty() {
        End::Whole
    } else {
        outcome(range, kept, true).end
    };
    // There is no rest to ask for, wherever other peers say the fork is.
    let through = (end == End::Whole).then_some(range.from.max(range.to));
    Outcome { through, proven: through, end }
}

/// Which of two sides of a fork the other one names as the entry before it, and that other one.
#[must_use]
pub fn vouched_for(pair: &[Decoded]) -> Option<(usize, usize)> {
    let [one, other] = pair else { return None };
    let follows = |child: &Decoded, parent: &Decoded| child.header().prev == parent.message_id();
    match (follows(other, one), follows(one, other)) {
        (true, _) => Some((0, 1)),
        (_, true) => Some((1, 0)),
        _ => None,
    }
}

/// What a page shows of whose fault an entry is that its author did not sign.
enum Signer {
    /// Its author vouches for it all the same, or the page ends here and what follows may say so: both are asked for
    /// together, and the log is its author's to answer for.
    Vouched,
    /// It did so before, and something else holds the place; or who says so cannot be heard now.
    Contradicts,
    /// Nothing shows that its author ever saw it: whoever composed the page is at fault.
    Unknown,
}

/// Entries of a page link up, so what was kept of the next one names this one.
fn signer(range: &Range, sequence: Sequence, kept: &[Kept]) -> Signer {
    let at = usize::try_from(sequence.get() - range.from.get()).unwrap_or(usize::MAX);
    match kept.get(at.saturating_add(1)) {
        Some(Kept::Stored) => Signer::Vouched,
        Some(Kept::Known) => Signer::Contradicts,
        // Further each time, so no peer keeps us asking for the same.
        None if at > 0 && sequence < range.to => Signer::Vouched,
        // It may vouch for this one, and waits or was refused by our roster, clock or reading of a quota.
        Some(Kept::Parked) => Signer::Contradicts,
        Some(Kept::Refused(code)) if !is_peers_fault(code) => Signer::Contradicts,
        Some(Kept::Refused(_)) | None => Signer::Unknown,
    }
}

const fn before(sequence: Sequence) -> Sequence {
    Sequence::new(sequence.get().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{GroupId, LogId};

    fn range() -> Range {
        let (from, to) = (Sequence::new(5), Sequence::new(9));
        Range { group: GroupId::new(1), log: LogId::new([1; 32]), from, to, want: Want::Entries }
    }

    /// How far, and who is to blame.
    fn of(kept: &[Kept]) -> (Option<u64>, &'static str) {
        let outcome = outcome(&range(), kept, false);
        (outcome.through.map(Sequence::get), blamed(outcome.end))
    }

    fn blamed(end: End) -> &'static str {
        match end {
            End::Whole => "nobody",
            End::NotKept { .. } => "the peer",
            End::Ours(_) => "us",
            End::Unexcused(_) => "the order",
            End::Gone(_) => "the time",
        }
    }

    #[test]
    fn a_page_counts_as_far_as_it_was_kept_without_a_gap() {
        use Kept::{Known, Parked, Refused, Stored};
        let bare = Refused("bodiless");
        assert_eq!(of(&[Stored, Known, Parked]), (Some(7), "nobody"));
        assert_eq!(of(&[Stored, bare.clone(), Stored]), (Some(5), "the peer"));
        assert_eq!(of(&[bare]), (None, "the peer"));
        assert_eq!(of(&[Stored, Refused("no-room")]), (Some(5), "us"));
        assert_eq!(of(&[Stored, Refused("over-quota")]), (Some(5), "us"));
        assert_eq!(of(&[Refused("too-many-logs")]), (None, "us"));
        assert_eq!(of(&[Refused("future")]), (None, "us"));
        assert_eq!(
            of(&[Refused(OVER_DISK_QUOTA), Stored]),
            (Some(6), "us"),
            "and nobody is asked for it again"
        );
    }

    #[test]
    fn what_waits_for_the_admin_log_proves_nothing_of_itself_nor_of_what_follows() {
        use Kept::{Known, Parked, Refused, Stored};
        let proven = |kept: &[Kept]| outcome(&range(), kept, false).proven.map(Sequence::get);
        assert_eq!(proven(&[Parked, Stored, Known]), None);
        assert_eq!(proven(&[Stored, Parked, Stored]), Some(5));
        assert_eq!(proven(&[Stored, Parked, Refused("bad-signature"), Stored]), Some(5));
        assert_eq!(proven(&[Parked, Refused(OVER_DISK_QUOTA)]), None);
        assert_eq!(proven(&[Stored, Refused(OVER_DISK_QUOTA), Known]), Some(7));
        assert_eq!(proven(&[Stored, Refused("bad-signature"), Stored]), Some(5));
    }

    #[test]
    fn an_unsigned_entry_is_its_authors_fault_where_that_can_show_and_else_the_peers() {
        use Kept::{Known, Parked, Refused, Stored};
        let bad = || Refused("bad-signature");
        // The next one names it: both are asked for again, from it on.
        assert_eq!(of(&[Stored, bad(), Stored]), (Some(5), "nobody"));
        assert_eq!(of(&[bad(), Stored]), (Some(4), "nobody"));
        // And if that does not help, something else is in its place.
        assert_eq!(of(&[bad(), Known]), (None, "us"));
        // The page ends with it, and the log goes on.
        assert_eq!(of(&[Stored, bad()]), (Some(5), "nobody"));
        // It is all there is.
        assert_eq!(of(&[bad()]), (None, "the peer"));
        assert_eq!(of(&[Stored, Stored, Stored, Stored, bad()]), (Some(8), "the peer"));
        assert_eq!(of(&[Stored, bad(), bad()]), (Some(5), "the peer"));
        // Who may vouch for it waits for our roster, or is over a quota that only we reckon.
        assert_eq!(of(&[bad(), Parked]), (None, "us"));
        assert_eq!(of(&[bad(), Refused("over-quota")]), (None, "us"));
        assert_eq!(of(&[bad(), Refused("bodiless")]), (None, "the peer"));
    }

    #[test]
    fn an_unsigned_side_of_a_fork_is_made_up_unless_the_other_side_names_it() {
        use Kept::{Known, Parked, Refused, Stored};
        let bad = || Refused("bad-signature");
        let of = |vouched, kept: &[Kept]| {
            let outcome = fork_outcome(&range(), vouched, kept);
            assert_eq!(outcome.proven, outcome.through);
            (outcome.through.map(Sequence::get), blamed(outcome.end))
        };
        assert_eq!(of(None, &[Stored, Known]), (Some(9), "nobody"));
        assert_eq!(of(None, &[bad(), Stored]), (None, "the peer"));
        assert_eq!(of(None, &[Stored, bad()]), (None, "the peer"));
        assert_eq!(of(Some((0, 1)), &[bad(), Stored]), (Some(9), "nobody"));
        assert_eq!(of(Some((0, 1)), &[Stored, bad()]), (None, "the peer"), "the other one is named");
        // Who names it is not known to be right.
        assert_eq!(of(Some((0, 1)), &[bad(), Parked]), (None, "the peer"));
        assert_eq!(of(Some((0, 1)), &[bad(), bad()]), (None, "the peer"));
        assert_eq!(of(None, &[Stored, Refused("bodiless")]), (None, "the order"));
        assert_eq!(of(None, &[Stored, Refused("no-room")]), (None, "us"));
    }

    #[test]
    fn bodies_that_a_peer_let_go_of_are_not_there_and_their_entries_prove_nothing() {
        use Kept::{Known, Refused, Stored};
        let bodies = Range { want: Want::Bodies, ..range() };
        let of = |kept: &[Kept], bare: &[bool]| {
            let outcome = bodies_outcome(&bodies, bare, outcome(&bodies, kept, false));
            (outcome.through.map(Sequence::get), outcome.proven.map(Sequence::get), outcome.end)
        };
        let gone = |at| (None, None, End::Gone(Sequence::new(at)));
        assert_eq!(of(&[Known, Known, Known], &[true; 3]), gone(7));
        assert_eq!(
            of(&[Known, Stored, Known], &[true, false, true]),
            gone(5),
            "what it has is asked for next"
        );
        assert_eq!(of(&[Stored, Stored, Known], &[false, false, true]), (Some(6), Some(6), End::Whole));
        assert_eq!(of(&[Stored, Stored], &[false, false]), (Some(6), Some(6), End::Whole));
        let broken = End::NotKept { sequence: Sequence::new(6), code: "malformed" };
        assert_eq!(of(&[Known, Refused("malformed")], &[true, false]).2, broken);
        let over = End::Ours(OVER_DISK_QUOTA);
        assert_eq!(of(&[Known, Refused(OVER_DISK_QUOTA)], &[true, false]).2, over);
        // Of a page of entries it is told by the ladder.
        let entries = outcome(&range(), &[Stored, Stored], false);
        assert_eq!(bodies_outcome(&range(), &[true, true], entries), entries);
    }

    #[test]
    fn an_entry_whose_excuse_has_to_wait_for_us_is_nobodys_fault() {
        use Kept::{Known, Parked, Refused, Stored};
        let bare = [Stored, Refused("bodiless")];
        for (excuse, blame) in [
            (Parked, "the order"),
            (Refused("over-quota"), "the order"),
            (Refused("no-room"), "the order"),
            // It is here, and excuses nothing.
            (Stored, "the peer"),
            (Known, "the peer"),
            (Refused("bad-signature"), "the peer"),
        ] {
            let outcome = outcome(&range(), &bare, waits(&excuse));
            assert_eq!(outcome.through, Some(Sequence::new(5)));
            assert_eq!(blamed(outcome.end), blame, "{excuse:?}");
        }
    }
}
