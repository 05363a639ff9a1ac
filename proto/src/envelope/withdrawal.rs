//! Whose word ends a message: its own member's, or a steward's of its group.
//!
//! Admission lets a withdrawal into its author's log; what it does to each target is judged here, when
//! the target is at hand (before or after: tombstones wait).

use crate::{
    envelope::{
        admit::publisher_role,
        header::{Header, Withdrawal},
    },
    id::{GroupId, MemberId},
    schema::{Role, WithdrawalGround},
    trust::roster::Roster,
    verdict::{Judged, Verdict},
};

/// Why a withdrawal leaves its target standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WithdrawalRefusal {
    /// Not a withdrawal at all.
    #[error("message withdraws nothing")]
    NotAWithdrawal,
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
            Self::NotAWithdrawal | Self::OtherGroup | Self::NotEntitled | Self::NotTheAuthor => {
                Verdict::Accept
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotAWithdrawal => "not-a-withdrawal",
            Self::OtherGroup => "withdrawal-other-group",
            Self::NotEntitled => "withdrawal-not-entitled",
            Self::NotTheAuthor => "withdrawal-not-the-author",
        }
    }
}

/// Does the admitted message with this header withdraw a message of `target_member` in `target_group`?
///
/// # Errors
/// [`WithdrawalRefusal`].
pub fn may_withdraw<'a>(
    roster: &Roster,
    header: &'a Header,
    target_group: GroupId,
    target_member: MemberId,
) -> Result<&'a Withdrawal, WithdrawalRefusal> {
    let withdrawal = header.withdrawal().ok_or(WithdrawalRefusal::NotAWithdrawal)?;
    if header.group != target_group {
        return Err(WithdrawalRefusal::OtherGroup);
    }
    if header.member == target_member {
        return Ok(withdrawal);
    }
    if publisher_role(roster, header) != Some(Role::Steward) {
        return Err(WithdrawalRefusal::NotEntitled);
    }
    if withdrawal.ground == WithdrawalGround::Author {
        return Err(WithdrawalRefusal::NotTheAuthor);
    }
    Ok(withdrawal)
}
