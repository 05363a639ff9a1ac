//! Two envelopes that cannot stand in one history: what one node shows another that saw only one side. Or two that
//! follow each other, the first of which its author did not sign: the other is what makes that its fault.

use crate::{
    envelope::Decoded,
    id::{GroupId, LogId, Sequence},
    verdict::{Judged, Verdict},
};

/// Why two envelopes are no proof. Whether their author signed them is the ladder's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    /// One of another group or log.
    #[error("an envelope of another log in the proof of a fork")]
    OtherLog,
    /// Neither stands where the log is said to fork.
    #[error("the log is said to fork at {0}, and neither envelope stands there")]
    Elsewhere(Sequence),
    /// They may stand in one history, however they are signed.
    #[error("the two envelopes do not contradict each other")]
    NoContradiction,
}

impl Judged for ForkError {
    /// On the peer that claimed the fork.
    fn verdict(&self) -> Verdict {
        match self {
            Self::OtherLog | Self::Elsewhere(_) | Self::NoContradiction => Verdict::Reject,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::OtherLog => "fork-other-log",
            Self::Elsewhere(_) => "fork-elsewhere",
            Self::NoContradiction => "fork-no-contradiction",
        }
    }
}

/// Checks that two envelopes of a log prove what is said of it: they claim one place, or the later one follows
/// another than the one before it, and one of them stands at `at`. Or the one at `at` is followed by the other: then
/// its signature must be a bad one, which is the ladder's to say; if it is good, nothing is proven, and both are
/// entries like any others.
///
/// # Errors
/// [`ForkError`].
pub fn check_fork(
    group: GroupId,
    log: LogId,
    at: Sequence,
    [one, other]: [&Decoded; 2],
) -> Result<(), ForkError> {
    let (first, second) = (one.header(), other.header());
    if [first, second].iter().any(|header| (header.group, header.log) != (group, log)) {
        return Err(ForkError::OtherLog);
    }
    if first.sequence != at && second.sequence != at {
        return Err(ForkError::Elsewhere(at));
    }
    let breaks = |before: &Decoded, after: &Decoded| {
        before.header().sequence.get().checked_add(1) == Some(after.header().sequence.get())
            && after.header().prev != before.message_id()
    };
    let follows = |before: &Decoded, after: &Decoded| {
        before.header().sequence == at
            && at.get().checked_add(1) == Some(after.header().sequence.get())
            && after.header().prev == before.message_id()
    };
    let is_linked = follows(one, other) || follows(other, one);
    let same_place = first.sequence == second.sequence && one.message_id() != other.message_id();
    if same_place || breaks(one, other) || breaks(other, one) || is_linked {
        Ok(())
    } else {
        Err(ForkError::NoContradiction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::tests::{
        CIDR, CLOUD, at,
        coalition::{Ask, Coalition},
        first_position, payload_bytes, position_after,
    };

    #[test]
    fn a_fork_is_two_messages_for_one_place_or_a_link_that_breaks() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(&Ask::publisher(1));
        let version = coalition.version();
        let say = |position, minute| alice.next(&payload_bytes(), position, version, at(minute)).0;
        let first = say(first_position(CIDR), 100);
        let (second, twin) = (say(position_after(&first), 101), say(position_after(&first), 102));
        let third = say(position_after(&second), 103);
        let header = first.header();
        let check = |place, pair| check_fork(header.group, header.log, Sequence::new(place), pair);
        assert_eq!(check(2, [&second, &twin]), Ok(()));
        for pair in [[&twin, &third], [&third, &twin]] {
            assert_eq!(check(2, pair), Ok(()));
            assert_eq!(check(3, pair), Ok(()), "in a log whose second place a cut has settled");
        }
        for pair in [[&second, &second], [&first, &third]] {
            let place = pair[0].header().sequence.get();
            assert_eq!(check(place, pair), Err(ForkError::NoContradiction));
        }
        for pair in [[&first, &second], [&second, &first]] {
            assert_eq!(check(1, pair), Ok(()), "if the first is not signed, which the ladder says");
            assert_eq!(
                check(2, pair),
                Err(ForkError::NoContradiction),
                "the later one's signature is its own matter"
            );
        }
        assert_eq!(check(1, [&second, &twin]), Err(ForkError::Elsewhere(Sequence::new(1))));
        let elsewhere = check_fork(CLOUD, header.log, Sequence::new(2), [&second, &twin]);
        assert_eq!(elsewhere, Err(ForkError::OtherLog));
    }
}
