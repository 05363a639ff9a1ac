//! What withdrawals come to, by what their authors said and were granted: the rule once more, kept by hand.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    envelope::Ending,
    id::{GroupId, MessageId},
    schema::{Role, WithdrawalGround, WithdrawalMode},
    time::Timestamp,
};

use crate::{
    admins::Admins,
    invariants::{Oracle, Violation},
    node::{Node, Words},
};

/// When the body of a message that was taken back goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goes {
    Never,
    AtOnce,
    /// Unless somebody lifts it.
    AfterAWeek,
}

/// What becomes of a message: whether what it said may be told on, and when its body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) keeps_content: bool,
    pub(crate) goes: Goes,
}

/// What a node says. Which of two withdrawals that go as far is named, and to the second when the week is over, follows
/// from when a node first had them: that may differ.
impl From<&Ending> for Ended {
    fn from(ending: &Ending) -> Self {
        let goes = match ending.shreds_at {
            None => Goes::Never,
            Some(Timestamp::ZERO) => Goes::AtOnce,
            Some(_) => Goes::AfterAWeek,
        };
        Self { keeps_content: ending.keeps_content, goes }
    }
}

type Standing<'a> = BTreeMap<MessageId, &'a Words>;

impl Oracle {
    /// Everything that the withdrawals among `standing` end.
    fn endings(
        &self,
        group: GroupId,
        standing: &Standing<'_>,
        admins: &Admins,
    ) -> BTreeMap<MessageId, Ended> {
        let member = |words: &Words| admins.ledger[&words.author].member;
        let is_steward =
            |words: &Words| admins.ledger[&words.author].groups.get(&group) == Some(&Role::Steward);
        let is_lifted = |id: &MessageId, withdrawal: &Words| {
            standing.values().any(|lift| {
                lift.draft.mode == WithdrawalMode::Lift
                    && lift.draft.withdraws.contains(id)
                    && (member(lift) == member(withdrawal) || is_steward(lift))
            })
        };
        let mut ended: BTreeMap<MessageId, Ended> = BTreeMap::new();
        for (id, by) in standing {
            if by.draft.mode == WithdrawalMode::Lift {
                continue;
            }
            let erases = by.draft.mode == WithdrawalMode::Erase;
            for target in &by.draft.withdraws {
                let Some(of) = standing.get(target).filter(|of| of.draft.withdraws.is_empty()) else {
                    continue;
                };
                let own = member(of) == member(by);
                let steward = is_steward(by) && by.draft.ground != WithdrawalGround::Author;
                if !own && (!steward || is_lifted(id, by)) {
                    continue;
                }
                let goes = match (erases, own) {
                    (false, _) => Goes::Never,
                    (true, true) => Goes::AtOnce,
                    (true, false) => Goes::AfterAWeek,
                };
                let all = ended.entry(*target).or_insert(Ended { keeps_content: true, goes: Goes::Never });
                all.keeps_content &= own && !erases;
                all.goes = match (all.goes, goes) {
                    (Goes::AtOnce, _) | (_, Goes::AtOnce) => Goes::AtOnce,
                    (Goes::AfterAWeek, _) | (_, Goes::AfterAWeek) => Goes::AfterAWeek,
                    (Goes::Never, Goes::Never) => Goes::Never,
                };
            }
        }
        ended
    }

    fn standing(&self, group: GroupId, node: &Node) -> Standing<'_> {
        let standing = node.durable.logs.standing(group);
        standing.into_iter().map(|entry| (entry.id, &self.words[&entry.id])).collect()
    }

    /// What every keeper shows, and holds, is what the withdrawals leave.
    pub(crate) fn same_endings(
        &self,
        group: GroupId,
        keepers: &[&Node],
        admins: &Admins,
    ) -> Result<(), Violation> {
        let held: BTreeSet<MessageId> = keepers
            .iter()
            .flat_map(|node| node.durable.logs.standing(group))
            .filter(|entry| !entry.is_bare)
            .map(|entry| entry.id)
            .collect();
        for node in keepers {
            let by = node.identity.serial;
            let expected = self.endings(group, &self.standing(group, node), admins);
            let said = node.durable.logs.ended(group);
            let found: BTreeMap<MessageId, Ended> =
                said.iter().map(|(id, ending)| (*id, Ended::from(ending))).collect();
            if found != expected {
                return Err(Violation::WithdrawalDiffers { by, group });
            }
            for entry in node.durable.logs.standing(group) {
                let message = entry.id;
                let goes = expected.get(&message).map_or(Goes::Never, |ended| ended.goes);
                if goes == Goes::AtOnce && !entry.is_bare {
                    return Err(Violation::StillThere { by, message });
                }
                // What is not erased is fetched from whoever has it, and a steward takes it from nobody yet; but where
                // its member's erasure stood once, the body went, whatever an admin's word made of that since.
                let is_owed = goes == Goes::Never && held.contains(&message);
                let is_lost = !held.contains(&message) && !self.was_erased_by_its_member(message, admins);
                if goes != Goes::AtOnce && entry.is_bare && (is_owed || is_lost) {
                    return Err(Violation::Shredded { by, message });
                }
            }
        }
        Ok(())
    }

    /// More than a week later, in which nobody said anything: what was to go has gone, and nothing else.
    pub(crate) fn all_shredded(
        &self,
        group: GroupId,
        keepers: &[&Node],
        admins: &Admins,
    ) -> Result<(), Violation> {
        for node in keepers {
            let by = node.identity.serial;
            let expected = self.endings(group, &self.standing(group, node), admins);
            for entry in node.durable.logs.standing(group) {
                let message = entry.id;
                let stays = expected.get(&message).is_none_or(|ended| ended.goes == Goes::Never);
                if !stays && !entry.is_bare {
                    return Err(Violation::StillThere { by, message });
                }
                if stays && entry.is_bare && !self.was_erased_by_its_member(message, admins) {
                    return Err(Violation::Shredded { by, message });
                }
            }
        }
        Ok(())
    }

    /// Whether its member ever signed that it is to be erased: wherever that stood once, the body went.
    fn was_erased_by_its_member(&self, message: MessageId, admins: &Admins) -> bool {
        let member = |words: &Words| admins.ledger[&words.author].member;
        let of = member(&self.words[&message]);
        self.words.values().any(|words| {
            words.draft.mode == WithdrawalMode::Erase
                && words.draft.withdraws.contains(&message)
                && member(words) == of
        })
    }
}
