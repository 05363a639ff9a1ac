//! Whose word ends a message, and whose word undoes that.
//!
//! Admission lets a withdrawal into its author's log; what it does to each target is judged here, when
//! the target is at hand (before or after: withdrawals wait).
//!
//! ```text
//! data ◀─ retract or erase, by its member ............. for good
//!      ◀─ retract or erase, by a steward ◀─ lift ....... by the same member or another steward, at any time
//! ```
//!
//! A lift concerns a steward's withdrawal and nothing else, and neither a withdrawal nor a lift can be
//! withdrawn: an effect reaches two steps and no further, so no chain of them has to be followed. The
//! answer is a function of what stands and of the admin log; the order of arrival is no part of it.

use std::time::Duration;

use crate::{
    envelope::header::Header,
    id::{GroupId, MemberId, MessageId},
    schema::{Role, WithdrawalGround, WithdrawalMode},
    time::Timestamp,
    trust::roster::Roster,
    verdict::{Judged, Verdict},
};

/// How long a steward's erasure leaves bodies where they are: a lift within that time finds them all.
///
/// A later one brings back what is still held somewhere. Shorter, and a mistake made on a Friday is beyond
/// repair on Monday; longer, and personal data that must go stays on two hundred disks.
pub const LIFTED_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why a withdrawal leaves its target standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WithdrawalRefusal {
    /// A lift, whose targets are withdrawals.
    #[error("a lift ends no message")]
    OnlyLifts,
    /// A withdrawal reaches no further than its group.
    #[error("target stands in another group")]
    OtherGroup,
    /// Neither the target's member nor a steward.
    #[error("neither the target's member nor a steward of its group")]
    NotEntitled,
    /// "The author wants it" is for the author to say.
    #[error("a steward must give a ground of its own")]
    NotTheAuthor,
}

impl Judged for WithdrawalRefusal {
    /// Accept: the message stands in its log, it only has no effect.
    fn verdict(&self) -> Verdict {
        match self {
            Self::OnlyLifts | Self::OtherGroup | Self::NotEntitled | Self::NotTheAuthor => Verdict::Accept,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::OnlyLifts => "withdrawal-only-lifts",
            Self::OtherGroup => "withdrawal-other-group",
            Self::NotEntitled => "withdrawal-not-entitled",
            Self::NotTheAuthor => "withdrawal-not-the-author",
        }
    }
}

/// All of an admitted withdrawal that its effect depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The withdrawal's own id.
    pub id: MessageId,
    /// Group it stands in.
    pub group: GroupId,
    /// Whose it is.
    pub member: MemberId,
    /// Retract, erase or lift.
    pub mode: WithdrawalMode,
    /// Why.
    pub ground: WithdrawalGround,
    /// Its author was a steward of the group at the roster its header names.
    pub by_steward: bool,
    /// By its author's clock.
    pub created: Timestamp,
    /// When this node first had it, which nobody can date back.
    pub seen: Timestamp,
}

/// What withdrawals come to for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The withdrawal that goes furthest; the earliest of those that go as far.
    pub by: MessageId,
    /// Its own member retracted it: what it said may be told on, as revoked. Else nothing of it may.
    pub keeps_content: bool,
    /// When its body goes for good; already, for one that its own member erased.
    pub shreds_at: Option<Timestamp>,
}

impl Ending {
    /// Its own member erased it: nothing goes further, and nobody lifts that.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.shreds_at == Some(Timestamp::ZERO)
    }
}

impl Word {
    /// The word of the withdrawal with this header, first had at `seen`; `None` for data.
    #[must_use]
    pub fn of(roster: &Roster, id: MessageId, header: &Header, seen: Timestamp) -> Option<Self> {
        let withdrawal = header.withdrawal()?;
        let role = roster.role_at(header.serial, header.group, header.roster.height);
        Some(Self {
            id,
            group: header.group,
            member: header.member,
            mode: withdrawal.mode,
            ground: withdrawal.ground,
            by_steward: role == Some(Role::Steward),
            created: header.created,
            seen,
        })
    }

    /// Whether it may end a message of `member` in `group`.
    ///
    /// # Errors
    /// [`WithdrawalRefusal`].
    pub fn reaches(&self, group: GroupId, member: MemberId) -> Result<(), WithdrawalRefusal> {
        if self.mode == WithdrawalMode::Lift {
            return Err(WithdrawalRefusal::OnlyLifts);
        }
        if self.group != group {
            return Err(WithdrawalRefusal::OtherGroup);
        }
        if self.member == member {
            return Ok(());
        }
        if !self.by_steward {
            return Err(WithdrawalRefusal::NotEntitled);
        }
        if self.ground == WithdrawalGround::Author {
            return Err(WithdrawalRefusal::NotTheAuthor);
        }
        Ok(())
    }

    /// Whether it takes the body of a message of `member` in `group`, should it stand.
    #[must_use]
    pub fn erases(&self, group: GroupId, member: MemberId) -> bool {
        self.mode == WithdrawalMode::Erase && self.reaches(group, member).is_ok()
    }

    /// Whether it is a lift that undoes `withdrawal`, if that is a steward's. No date matters: whoever dates an
    /// erasure back must not put it beyond every lift.
    #[must_use]
    pub fn lifts(&self, withdrawal: &Self) -> bool {
        self.mode == WithdrawalMode::Lift
            && withdrawal.mode != WithdrawalMode::Lift
            && self.group == withdrawal.group
            && (self.member == withdrawal.member || self.by_steward)
    }

    /// What it alone comes to for a message of `member` that it reaches.
    fn ending(&self, member: MemberId) -> Ending {
        let is_own = self.member == member;
        let erases = self.mode == WithdrawalMode::Erase;
        let shreds_at = match is_own {
            true => Timestamp::ZERO,
            // Whoever dates a withdrawal back takes nothing before it could be objected to.
            false => self.created.max(self.seen).saturating_add(LIFTED_WITHIN),
        };
        Ending { by: self.id, keeps_content: is_own && !erases, shreds_at: erases.then_some(shreds_at) }
    }
}

/// What the withdrawals that stand come to for a message of `member` in `group`; `None` leaves it standing.
///
/// Each comes with the withdrawals that stand and name it. Any set may be given: what has no say is
/// passed over.
#[must_use]
pub fn ending<'a>(
    group: GroupId,
    member: MemberId,
    words: impl IntoIterator<Item = (&'a Word, &'a [Word])>,
) -> Option<Ending> {
    let in_effect = words.into_iter().filter(|(word, named_by)| {
        let is_lifted = word.member != member && named_by.iter().any(|lift| lift.lifts(word));
        word.reaches(group, member).is_ok() && !is_lifted
    });
    let far = |ending: &Ending| (ending.shreds_at.is_none(), ending.shreds_at, ending.keeps_content);
    let endings: Vec<(Ending, Timestamp)> =
        in_effect.map(|(word, _)| (word.ending(member), word.created)).collect();
    let furthest = endings.iter().min_by_key(|(ending, created)| (far(ending), *created, ending.by))?.0;
    Some(Ending { keeps_content: endings.iter().all(|(ending, _)| ending.keeps_content), ..furthest })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const GROUP: GroupId = GroupId::new(5);
    const AUTHOR: MemberId = MemberId::new([1; 16]);
    const STRANGER: MemberId = MemberId::new([2; 16]);
    const STEWARD: MemberId = MemberId::new([3; 16]);
    const OTHER_STEWARD: MemberId = MemberId::new([4; 16]);
    const DAY: u64 = 24 * 3600 * 1_000_000;

    fn word(n: u8, member: MemberId, mode: WithdrawalMode, day: u64) -> Word {
        Word {
            id: MessageId::new([n; 32]),
            group: GROUP,
            member,
            mode,
            ground: WithdrawalGround::Rules,
            by_steward: [STEWARD, OTHER_STEWARD].contains(&member),
            created: Timestamp::from_micros((100 + day) * DAY),
            seen: Timestamp::from_micros((100 + day) * DAY),
        }
    }

    fn of(words: &[(&Word, &[Word])]) -> Option<Ending> {
        ending(GROUP, AUTHOR, words.iter().copied())
    }

    use WithdrawalMode::{Erase, Lift, Retract};

    #[test]
    fn an_author_ends_its_own_for_good() {
        let own = word(1, AUTHOR, Retract, 0);
        assert_eq!(of(&[(&own, &[])]), Some(Ending { by: own.id, keeps_content: true, shreds_at: None }));
        let lifts = [word(2, STEWARD, Lift, 0), word(3, AUTHOR, Lift, 0)];
        assert_eq!(of(&[(&own, &lifts)]), of(&[(&own, &[])]));
        let erased = word(4, AUTHOR, Erase, 1);
        let both = of(&[(&own, &[]), (&erased, &[])]).unwrap();
        assert_eq!(both, Ending { by: erased.id, keeps_content: false, shreds_at: Some(Timestamp::ZERO) });
    }

    #[test]
    fn a_stranger_a_lift_and_another_group_end_nothing() {
        let foreign = Word { group: GroupId::new(6), ..word(1, AUTHOR, Erase, 0) };
        let refused = [
            (word(2, STRANGER, Erase, 0), WithdrawalRefusal::NotEntitled),
            (word(3, AUTHOR, Lift, 0), WithdrawalRefusal::OnlyLifts),
            (foreign, WithdrawalRefusal::OtherGroup),
            (
                Word { ground: WithdrawalGround::Author, ..word(4, STEWARD, Erase, 0) },
                WithdrawalRefusal::NotTheAuthor,
            ),
        ];
        for (word, why) in refused {
            assert_eq!((word.reaches(GROUP, AUTHOR), of(&[(&word, &[])])), (Err(why), None));
        }
    }

    #[test]
    fn a_steward_hides_at_once_shreds_after_a_week_and_is_lifted_whatever_the_dates() {
        let hidden = word(1, STEWARD, Erase, 0);
        let ending = of(&[(&hidden, &[])]).unwrap();
        assert_eq!(
            (ending.keeps_content, ending.shreds_at),
            (false, Some(word(0, STEWARD, Lift, 7).created))
        );
        assert_eq!(of(&[(&word(1, STEWARD, Retract, 0), &[])]).unwrap().shreds_at, None);
        let dated_back = Word { created: Timestamp::ZERO, ..hidden.clone() };
        assert_eq!(of(&[(&dated_back, &[])]), Some(ending), "the week counts from first sight");
        assert!(hidden.erases(GROUP, AUTHOR) && !hidden.erases(GroupId::new(6), AUTHOR));
        assert!(
            !word(1, STRANGER, Erase, 0).erases(GROUP, AUTHOR)
                && !word(1, STEWARD, Retract, 0).erases(GROUP, AUTHOR)
        );
        let lifted = |lift: Word| of(&[(&hidden, &[lift])]).is_none();
        assert!(lifted(word(2, STEWARD, Lift, 6)) && lifted(word(2, OTHER_STEWARD, Lift, 6)));
        assert!(lifted(word(2, STEWARD, Lift, 90)), "what is left of it is shown again");
        assert!(
            of(&[(&dated_back, &[word(2, STEWARD, Lift, 0)])]).is_none(),
            "dating it back does not save it"
        );
        assert!(!lifted(word(2, AUTHOR, Lift, 1)), "not for the author to say");
        assert!(!lifted(word(2, OTHER_STEWARD, Retract, 1)), "a withdrawal is not withdrawn");
        assert!(!lifted(Word { group: GroupId::new(6), ..word(2, STEWARD, Lift, 1) }));
        let again = word(3, OTHER_STEWARD, Erase, 2);
        let lift = [word(2, STEWARD, Lift, 1)];
        assert_eq!(of(&[(&hidden, &lift), (&again, &[])]).map(|ending| ending.by), Some(again.id));
    }

    fn any_word(n: u8) -> impl Strategy<Value = Word> {
        let members = proptest::sample::select(vec![AUTHOR, STRANGER, STEWARD, OTHER_STEWARD]);
        let modes = proptest::sample::select(vec![Retract, Erase, Lift]);
        (members, modes, 0u64..10).prop_map(move |(member, mode, day)| word(n, member, mode, day))
    }

    /// A withdrawal, what names it, and whether it stands: all that can be held of it.
    type Held = (Word, Vec<Word>, bool);

    fn judged(held: &[&Held]) -> Option<Ending> {
        let standing = held.iter().filter(|(_, _, stands)| *stands);
        ending(GROUP, AUTHOR, standing.map(|(word, lifts, _)| (word, lifts.as_slice())))
    }

    proptest! {
        #[test]
        fn every_order_of_the_same_words_comes_to_the_same(
            words in proptest::collection::vec(
                (any_word(0), proptest::collection::vec(any_word(9), 0..3), any::<bool>()), 0..6),
            order in any::<proptest::sample::Index>(),
        ) {
            let words: Vec<Held> = (1..)
                .zip(words)
                .map(|(n, (word, lifts, stands))| (Word { id: MessageId::new([n; 32]), ..word }, lifts, stands))
                .collect();
            let mut turned: Vec<&Held> = words.iter().collect();
            if !turned.is_empty() {
                let by = order.index(turned.len());
                turned.rotate_left(by);
            }
            turned.reverse();
            let found = judged(&words.iter().collect::<Vec<_>>());
            prop_assert_eq!(found, judged(&turned));
            // It never goes less far with more to go by.
            let standing: BTreeSet<_> = words.iter().filter(|held| held.2).map(|held| held.0.id).collect();
            prop_assert!(found.is_none_or(|ending| standing.contains(&ending.by)));
            let own = words.iter().any(|(word, _, stands)| *stands && word.member == AUTHOR && word.mode != Lift);
            prop_assert!(!own || found.is_some());
            prop_assert!(found.is_none_or(|ending| !ending.keeps_content || ending.shreds_at.is_none()));
        }
    }
}
