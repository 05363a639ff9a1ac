//! A page must be what was asked for before any of it is judged.

use std::collections::BTreeSet;

use crate::{
    envelope::Decoded,
    id::{MessageId, Sequence},
    limits::MAX_PAGE_ENVELOPES,
    sync::plan::Range,
    verdict::{Judged, Verdict},
};

/// Why a page does not answer its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// More envelopes than a page may have.
    #[error("{0} envelopes in one page, over the limit of 256")]
    TooMany(usize),
    /// An envelope of another group or log.
    #[error("envelope {0} of the page belongs to another log")]
    OtherLog(usize),
    /// Not the next sequence, or beyond the range.
    #[error("sequence {found} where {expected} was due")]
    OutOfOrder {
        /// Sequence due here.
        expected: Sequence,
        /// Sequence found.
        found: Sequence,
    },
    /// The page ends, but runs past what was asked for.
    #[error("sequence {0} lies beyond the range asked for")]
    Beyond(Sequence),
    /// What excuses entries without their body is no withdrawal of this group, names none of them, or is too much.
    #[error("what is to excuse entries without their body is none of it: {0}")]
    Excuse(&'static str),
    /// `prev` is not the id of the envelope before it on the same page.
    #[error("sequence {0} does not link to the envelope before it")]
    BrokenLink(Sequence),
}

impl Judged for PageError {
    /// On the peer that answered: a page is its own composition, whatever its authors did. (An author's
    /// fork shows at the seam to what is held already, which is not judged here.)
    fn verdict(&self) -> Verdict {
        match self {
            Self::TooMany(_)
            | Self::OtherLog(_)
            | Self::OutOfOrder { .. }
            | Self::Beyond(_)
            | Self::Excuse(_)
            | Self::BrokenLink(_) => Verdict::Reject,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TooMany(_) => "page-too-many",
            Self::OtherLog(_) => "page-other-log",
            Self::OutOfOrder { .. } => "page-out-of-order",
            Self::Beyond(_) => "page-beyond",
            Self::Excuse(_) => "page-excuse",
            Self::BrokenLink(_) => "page-broken-link",
        }
    }
}

/// Checks that `page` starts at `range.from`, stays in the range and its log, and links up. It may be
/// shorter than the range, or empty.
///
/// # Errors
/// [`PageError`]: the peer composed it wrongly; nothing of it should be used.
pub fn check_page(range: &Range, page: &[Decoded]) -> Result<(), PageError> {
    if page.len() > MAX_PAGE_ENVELOPES {
        return Err(PageError::TooMany(page.len()));
    }
    let mut expected = range.from;
    let mut before: Option<&Decoded> = None;
    for (position, envelope) in page.iter().enumerate() {
        let header = envelope.header();
        if (header.group, header.log) != (range.group, range.log) {
            return Err(PageError::OtherLog(position));
        }
        if header.sequence != expected {
            return Err(PageError::OutOfOrder { expected, found: header.sequence });
        }
        if header.sequence > range.to {
            return Err(PageError::Beyond(header.sequence));
        }
        if before.is_some_and(|before| before.message_id() != header.prev) {
            return Err(PageError::BrokenLink(header.sequence));
        }
        expected = Sequence::new(expected.get().saturating_add(1));
        before = Some(envelope);
    }
    Ok(())
}

/// Checks that `withdrawals` are what they should be, and each name an entry of the page that came
/// without its body. Whether they have that effect is judged like any message's.
///
/// # Errors
/// [`PageError::Excuse`]: the peer's fault; nothing of the page should be used.
pub fn check_excuses(range: &Range, page: &[Decoded], withdrawals: &[Decoded]) -> Result<(), PageError> {
    let bare: BTreeSet<MessageId> =
        page.iter().filter(|entry| entry.lacks_body()).map(Decoded::message_id).collect();
    if withdrawals.len() > bare.len() {
        return Err(PageError::Excuse("more withdrawals than bare entries"));
    }
    for header in withdrawals.iter().map(Decoded::header) {
        let withdrawal = header.withdrawal().ok_or(PageError::Excuse("not a withdrawal"))?;
        if header.group != range.group {
            return Err(PageError::Excuse("a withdrawal of another group"));
        }
        if !withdrawal.targets.iter().any(|target| bare.contains(target)) {
            return Err(PageError::Excuse("names no bare entry of the page"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::{
        envelope::{
            Draft, Withdrawal, decode, seal_message,
            tests::{
                CIDR, CLOUD, FixedRng, at,
                coalition::{Ask, Coalition},
                first_position, payload_bytes, position_after,
            },
        },
        schema::{self, WithdrawalGround, WithdrawalMode},
        sync::plan::Want,
    };

    /// Ten messages of one log.
    fn log() -> Vec<Decoded> {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(&Ask::publisher(1));
        let mut log: Vec<Decoded> = Vec::new();
        for n in 0..10 {
            let position = log.last().map_or_else(|| first_position(CIDR), position_after);
            log.push(alice.next(&payload_bytes(), position, coalition.version(), at(100 + n)).0);
        }
        log
    }

    fn range(log: &[Decoded], from: u64, to: u64) -> Range {
        let header = log[0].header();
        let (from, to) = (Sequence::new(from), Sequence::new(to));
        Range { group: header.group, log: header.log, from, to, want: Want::Entries }
    }

    #[test]
    fn a_page_may_be_the_range_or_the_beginning_of_it() {
        let log = log();
        assert_eq!(check_page(&range(&log, 1, 10), &log), Ok(()));
        assert_eq!(check_page(&range(&log, 3, 10), &log[2..5]), Ok(()));
        assert_eq!(check_page(&range(&log, 3, 10), &[]), Ok(()));
    }

    #[test]
    fn pages_that_are_not_what_was_asked_for_are_refused() {
        let log = log();
        let out_of_order = |expected, found| {
            let (expected, found) = (Sequence::new(expected), Sequence::new(found));
            Err(PageError::OutOfOrder { expected, found })
        };
        assert_eq!(check_page(&range(&log, 1, 10), &log[1..]), out_of_order(1, 2));
        let gap = [&log[..3], &log[4..]].concat();
        assert_eq!(check_page(&range(&log, 1, 10), &gap), out_of_order(4, 5));
        let repeated = [&log[..1], &log[..1]].concat();
        assert_eq!(check_page(&range(&log, 1, 10), &repeated), out_of_order(2, 1));
        assert_eq!(check_page(&range(&log, 1, 5), &log), Err(PageError::Beyond(Sequence::new(6))));
        let other_group = Range { group: CLOUD, ..range(&log, 1, 10) };
        assert_eq!(check_page(&other_group, &log), Err(PageError::OtherLog(0)));
        let many = vec![log[0].clone(); MAX_PAGE_ENVELOPES + 1];
        assert_eq!(check_page(&range(&log, 1, 10), &many), Err(PageError::TooMany(257)));
    }

    #[test]
    fn a_page_that_does_not_link_up_is_refused() {
        let log = log();
        let mut coalition = Coalition::new();
        let alice = coalition.issue(&Ask::publisher(1));
        // The same log and sequence, following another message.
        let (first, _) = alice.first(&payload_bytes(), CIDR, coalition.version(), at(99));
        let (second, _) = alice.next(&payload_bytes(), position_after(&first), coalition.version(), at(100));
        let spliced = [log[0].clone(), second];
        let broken = Err(PageError::BrokenLink(Sequence::new(2)));
        assert_eq!(check_page(&range(&log, 1, 10), &spliced), broken);
    }

    #[test]
    fn only_withdrawals_that_name_a_bare_entry_come_with_a_page() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(&Ask::publisher(1));
        let log = log();
        let bare = |entry: &Decoded| {
            let mut envelope = schema::Envelope::decode(entry.bytes()).unwrap();
            envelope.body = None;
            decode(&envelope.encode_to_vec()).unwrap()
        };
        let page = [log[0].clone(), bare(&log[1])];
        let withdrawal = |target: MessageId, group| {
            let draft = Draft::Withdrawal(Withdrawal {
                targets: vec![target],
                mode: WithdrawalMode::Erase,
                ground: WithdrawalGround::Author,
            });
            let author = alice.author(coalition.version());
            let rng = &mut FixedRng::new(3);
            seal_message(&draft, &first_position(group), &author, at(200), rng).unwrap()
        };
        let of_bare = || withdrawal(log[1].message_id(), CIDR);
        let checked = |withdrawals: Vec<Decoded>| check_excuses(&range(&log, 1, 2), &page, &withdrawals);
        assert_eq!(checked(Vec::new()), Ok(()));
        assert_eq!(checked(vec![of_bare()]), Ok(()));
        let refused = [
            vec![of_bare(), of_bare()],
            vec![withdrawal(log[0].message_id(), CIDR)],
            vec![withdrawal(log[1].message_id(), CLOUD)],
            vec![log[0].clone()],
        ];
        for withdrawals in refused {
            assert!(matches!(checked(withdrawals), Err(PageError::Excuse(_))));
        }
    }
}
