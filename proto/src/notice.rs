//! Which participation notices a coalition's members owe, read off the signed admin log.
//!
//! NIS2 article 29(4) and DORA article 45(3) oblige the *entity* to tell its competent authority that it takes part
//! in an information-sharing arrangement: upon entering (NIS2), upon validation of its membership (DORA), and when
//! leaving takes effect (both). Financial entities owe one notice, under DORA, the sector act. Renewal, new keys,
//! changed data, suspension and changes of groups owe none; entities out of scope owe none. A class that brings an entity
//! under an act it was not under owes that one's.
//!
//! Whose notice goes to which authority, and in which words, is no business of this crate.

use std::collections::BTreeMap;

use crate::{
    id::{EntryId, GroupId, Height, MemberId, Serial, StatementId},
    schema::{EntityClass, Organisation, RevocationReason},
    time::Timestamp,
    trust::{history::Holding, roster::Roster, statement::Decision},
};

/// The act under which a notice is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Directive (EU) 2022/2555, article 29(4).
    Nis2,
    /// Regulation (EU) 2022/2554, article 45(3).
    Dora,
}

impl Act {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Nis2, Self::Dora];

    /// Its name in files and ids.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nis2 => "nis2",
            Self::Dora => "dora",
        }
    }

    /// The act that obliges an organisation, if one does. The sector act goes before the general one.
    #[must_use]
    pub fn of(organisation: &Organisation) -> Option<Self> {
        let is = |wanted: &[EntityClass]| organisation.classes().any(|class| wanted.contains(&class));
        if is(&[EntityClass::Financial]) {
            return Some(Self::Dora);
        }
        is(&[EntityClass::Essential, EntityClass::Important]).then_some(Self::Nis2)
    }
}

/// What the authority is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occasion {
    /// The entity takes part from now on.
    Entering,
    /// It no longer does.
    Leaving,
}

impl Occasion {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Entering, Self::Leaving];

    /// Its name in files and ids.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entering => "entering",
            Self::Leaving => "leaving",
        }
    }
}

/// A notice that an entity owes, or will owe once `effective` has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Owed {
    /// Who.
    pub member: MemberId,
    /// As its certificate said then.
    pub organisation: Organisation,
    /// Under which act.
    pub act: Act,
    /// Of what.
    pub occasion: Occasion,
    /// When it was decided, by the admins' word.
    pub decided: Timestamp,
    /// When it takes effect.
    pub effective: Timestamp,
    /// When the admins' statement was made. The entry that ordered it bears no time of its own.
    pub made: Timestamp,
    /// The entry that recorded it.
    pub recorded: Height,
    /// Its id.
    pub entry: EntryId,
    /// The statement it ordered.
    pub statement: StatementId,
    /// On entering, those its certificates give it; on leaving, those it is in until then.
    pub groups: Vec<GroupId>,
    /// Version of the arrangement it accepted.
    pub arrangement: String,
}

impl Owed {
    /// What people call it: short enough to type, and of one notice only as long as the log goes on. Where a new charter
    /// cuts the log back, the height is another entry's afterwards: a register goes by [`Self::key`].
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}-{}", self.recorded, self.act.as_str(), self.occasion.as_str())
    }

    /// What it is for good: the decision itself, wherever in the log it stands.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}-{}-{}", self.statement, self.act.as_str(), self.occasion.as_str())
    }
}

/// Every notice the log gives cause for, in the log's order.
#[must_use]
pub fn owed(roster: &Roster) -> Vec<Owed> {
    let mut notices: Vec<Owed> = Vec::new();
    let mut members: BTreeMap<MemberId, Standing> = BTreeMap::new();
    roster.replay(|step| {
        let standing = members.entry(step.member).or_default();
        let holdings = step.holdings;
        let stays = holdings.iter().any(Holding::is_held);
        let made = step.record.statement.made;
        if let Decision::Revoke(revoke) = &step.record.statement.decision {
            standing.stated.insert(Serial::new(revoke.serial), Timestamp::from_micros(revoke.effective));
        }
        let note = |act, occasion, decided, effective, groups| Owed {
            member: step.member,
            organisation: step.organisation.clone(),
            act,
            occasion,
            decided,
            effective,
            made,
            recorded: step.record.height,
            entry: step.record.entry_id,
            statement: step.record.statement.id,
            groups,
            arrangement: holdings.last().map(|h| h.arrangement_version.clone()).unwrap_or_default(),
        };
        if stays {
            let act = Act::of(step.organisation);
            if let Some(end) = standing.leaves.take() {
                // Announced and not come about: as if it had never been said. Else it is a new beginning.
                if end > made {
                    notices.retain(|n| {
                        n.member != step.member || n.effective != end || n.occasion == Occasion::Entering
                    });
                } else {
                    standing.act = None;
                }
            }
            if let Some(act) = act.filter(|act| standing.act != Some(*act)) {
                let from = holdings.iter().filter(|h| h.is_held()).map(|h| h.not_before).min();
                let groups = groups(holdings.iter().filter(|h| h.is_held() && h.not_after > made));
                notices.push(note(act, Occasion::Entering, made, from.unwrap_or(made).max(made), groups));
            }
            standing.act = act;
            return;
        }
        let Decision::Revoke(revoke) = &step.record.statement.decision else {
            // A group that is taken away before it leaves is none it leaves.
            let pending = |n: &&mut Owed| {
                n.member == step.member && n.occasion == Occasion::Leaving && n.effective > made
            };
            if let Some(notice) = notices.iter_mut().rev().find(pending) {
                notice.groups = standing.left(holdings);
            }
            return;
        };
        // Only a revocation ends a membership; stolen keys end none, the member gets new ones.
        if revoke.reason() == RevocationReason::KeyCompromise {
            return;
        }
        let end = last(holdings).unwrap_or(made);
        if let Some(earlier) = standing.leaves.replace(end) {
            notices.retain(|n| {
                n.member != step.member || n.effective != earlier || n.occasion == Occasion::Entering
            });
        }
        if let Some(act) = standing.act {
            let decided = Timestamp::from_micros(revoke.decided);
            notices.push(note(act, Occasion::Leaving, decided, end, standing.left(holdings)));
        }
    });
    notices
}

/// Where a member stands between two of its statements.
#[derive(Default)]
struct Standing {
    /// The act under which it was last told to enter.
    act: Option<Act>,
    /// When it leaves or left, if that was decided.
    leaves: Option<Timestamp>,
    /// From when on each revoked certificate was to be over, as its statement said.
    stated: BTreeMap<Serial, Timestamp>,
}

impl Standing {
    /// Groups of the certificates that end with the membership: the last ones, and those that were to end with them and were
    /// over before, because they were suspended.
    fn left(&self, holdings: &[Holding]) -> Vec<GroupId> {
        let end = last(holdings);
        let stated = |holding: &Holding| self.stated.get(&holding.serial).copied();
        let own: Vec<&Holding> = holdings.iter().filter(|h| !h.replaced).collect();
        let with: Vec<Timestamp> = own.iter().filter(|h| h.ends == end).filter_map(|h| stated(h)).collect();
        let ends = |h: &Holding| h.ends == end || stated(h).is_some_and(|at| with.contains(&at));
        groups(own.into_iter().filter(|h| ends(h)))
    }
}

/// When the last certificate ends that no other took the place of.
fn last(holdings: &[Holding]) -> Option<Timestamp> {
    holdings.iter().filter(|h| !h.replaced).filter_map(|h| h.ends).max()
}

fn groups<'a>(holdings: impl Iterator<Item = &'a Holding>) -> Vec<GroupId> {
    let mut groups: Vec<GroupId> = holdings.flat_map(|h| h.groups.iter().copied()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}
