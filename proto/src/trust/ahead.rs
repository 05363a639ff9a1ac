//! The log as it would go on: decisions that are signed, and that no registrar has ordered yet.
//!
//! Two decisions about one member go in one after the other only if the second names the first as its previous. So
//! whoever decides again while the first one waits builds on it, and whoever orders several sees before the first goes
//! in whether all of them will. Nothing of this is the roster: it lives as long as a question.

use crate::{
    id::{Height, MemberId, StatementId},
    trust::{
        charter::CharterChain,
        fold::{self, VoidReason},
        roster::{Roster, State},
        statement::Statement,
    },
};

/// A roster's fold, gone on from with statements that stand in no entry.
#[derive(Clone, Debug)]
pub struct Ahead<'a> {
    charters: &'a CharterChain,
    state: State,
    height: Height,
}

impl Roster {
    /// The log as it stands, to go on from.
    #[must_use]
    pub fn ahead(&self) -> Ahead<'_> {
        Ahead { charters: self.charters(), state: self.state.clone(), height: self.version().height }
    }
}

impl Ahead<'_> {
    /// Goes on with a statement.
    ///
    /// # Errors
    /// [`VoidReason`]: it would take no effect next. Nothing of it is kept.
    pub fn take(&mut self, statement: &Statement) -> Result<(), VoidReason> {
        let height = Height::new(self.height.get().saturating_add(1));
        self.state = fold::go_on(&self.state, self.charters, height, statement)?;
        self.height = height;
        Ok(())
    }

    /// What the next statement about a member names as its previous; [`None`] for one that there is not.
    #[must_use]
    pub fn latest(&self, member: MemberId) -> Option<StatementId> {
        self.state.members.get(&member).map(|member| member.last_statement)
    }
}
