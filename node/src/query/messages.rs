//! Why a message is, or is not, to be read here.

use belfry_proto::{
    id::{GroupId, LogId, MemberId, MessageId, Sequence, Serial},
    time::Timestamp,
};
use serde::Serialize;

use super::{Principal, Query, QueryError};
use crate::store::MessageState;

/// A message as this node holds it; its content is not in here.
#[derive(Clone, Debug, Serialize)]
pub struct MessageView {
    /// Its id.
    pub id: MessageId,
    /// Group.
    pub group: GroupId,
    /// The group's slug.
    pub group_slug: String,
    /// Whose.
    pub member: MemberId,
    /// The member's name.
    pub organisation: Option<String>,
    /// Under which certificate.
    pub serial: Serial,
    /// In which of its logs.
    pub log: LogId,
    /// Where in that log.
    pub sequence: Sequence,
    /// By its author's clock.
    pub created: Timestamp,
    /// By this node's.
    pub received: Timestamp,
    /// `opened`, `waiting-for-key`, `not-for-us`, `quarantined` or `disputed`.
    pub state: &'static str,
    /// What that means for whoever waits for it.
    pub meaning: &'static str,
    /// The code of what keeps it, where there is one.
    pub reason: Option<String>,
}

impl Query {
    /// A message of a group the token reads.
    ///
    /// # Errors
    /// Not here or not for this token, or the store.
    pub async fn message(&self, principal: &Principal, id: MessageId) -> Result<MessageView, QueryError> {
        let row = self.read(move |inner| Ok(inner.store.message(id)?)).await?;
        let row =
            row.filter(|row| principal.scope().read.covers(row.group)).ok_or(QueryError::UnknownMessage)?;
        let (state, meaning) = told(row.state);
        Ok(MessageView {
            id,
            group: row.group,
            group_slug: self.slug(row.group),
            member: row.member,
            organisation: self.organisation(row.member),
            serial: row.serial,
            log: row.log,
            sequence: row.sequence,
            created: row.created,
            received: row.received,
            state,
            meaning,
            reason: row.reason,
        })
    }
}

const fn told(state: MessageState) -> (&'static str, &'static str) {
    match state {
        MessageState::Opened => {
            ("opened", "opened and indexed; its objects are read as their markings allow")
        }
        MessageState::Sealed => {
            ("waiting-for-key", "stored; its key is asked of other members and has not come yet")
        }
        MessageState::Closed => ("not-for-us", "stored and forwarded; this node is not among its readers"),
        MessageState::Quarantined => {
            ("quarantined", "kept but hidden: it lies beyond a cut of its author's key")
        }
        MessageState::Disputed => {
            ("disputed", "kept but hidden: its author signed two histories of this log")
        }
    }
}
