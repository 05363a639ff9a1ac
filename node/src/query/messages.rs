//! Why a message is, or is not, to be read here.

use belfry_proto::{
    envelope,
    id::{GroupId, LogId, MemberId, MessageId, Sequence, Serial},
    time::Timestamp,
};
use serde::Serialize;

use super::{
    Inner, Principal, Query, QueryError,
    before::{Expectation, expectation},
    words,
};
use crate::{
    clock, config,
    refusals::{Claimed, Refused},
    store::{MessageRow, MessageState},
};

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
    /// `opened`, `waiting-for-key`, `not-for-us`, `quarantined`, `disputed`, `without-body`, `expired`,
    /// `withdrawn`, or `withdrawal` for what withdraws; `parked` and `refused` for what is not in the store: then what is
    /// said of member, log and time is the message's own word.
    pub state: &'static str,
    /// What that means for whoever waits for it.
    pub meaning: String,
    /// From when on other members may give its key, where a newcomer has to wait for that.
    pub key_not_before: Option<Timestamp>,
    /// The code of what keeps it, where there is one.
    pub reason: Option<String>,
    /// Whether its body is here; withdrawals never have one.
    pub has_body: bool,
    /// Withdrawals that name it.
    pub withdrawals: Vec<WithdrawalView>,
}

/// A withdrawal as it bears on one message.
#[derive(Clone, Debug, Serialize)]
pub struct WithdrawalView {
    /// Its id.
    pub id: MessageId,
    /// Whose.
    pub member: MemberId,
    /// The member's name.
    pub organisation: Option<String>,
    /// `retract`, `erase` or `lift`.
    pub mode: String,
    /// Why.
    pub ground: String,
    /// Its author was a steward of the group.
    pub by_steward: bool,
    /// By its author's clock.
    pub created: Timestamp,
    /// It is here, and nothing hides it.
    pub stands: bool,
    /// It is what ends the message.
    pub decides: bool,
}

impl Query {
    /// A message of a group the token reads.
    ///
    /// # Errors
    /// Not here or not for this token, a token for outside, or the store.
    pub async fn message(&self, principal: &Principal, id: MessageId) -> Result<MessageView, QueryError> {
        self.inside(principal)?;
        let found = self.read(move |inner| {
            let Some(row) = inner.store.message(id)? else { return Ok(None) };
            let expected = inner.expected(&row)?;
            let ending = inner.store.ending(id, row.group, row.member)?;
            let log =
                (row.state == MessageState::Disputed).then(|| inner.store.log(row.group, row.log)).flatten();
            let is_unsigned =
                log.map(|log| inner.store.is_frozen_unsigned(&log)).transpose()?.unwrap_or(false);
            Ok(Some((row, expected, inner.store.withdrawals(id)?, ending, is_unsigned)))
        });
        let Some((row, expected, naming, ending, is_unsigned)) = found.await? else {
            return self.kept_out(principal, id).await;
        };
        if !principal.scope().read.covers(row.group) {
            return Err(QueryError::UnknownMessage);
        }
        let withdrawals = naming.into_iter().map(|row| WithdrawalView {
            id: row.word.id,
            member: row.word.member,
            organisation: self.organisation(row.word.member),
            mode: words::word(row.word.mode),
            ground: words::word(row.word.ground),
            by_steward: row.word.by_steward,
            created: row.word.created,
            stands: row.stands,
            decides: ending.is_some_and(|ending| ending.by == row.word.id),
        });
        let withdrawals = withdrawals.collect();
        let (state, meaning) = told(&row, is_unsigned);
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
            key_not_before: expected.as_ref().and_then(|expected| expected.not_before),
            meaning: expected.map_or_else(|| meaning.to_owned(), |expected| expected.meaning),
            reason: row.reason,
            has_body: row.has_body && row.key_id.is_some(),
            withdrawals,
        })
    }
}

impl Query {
    /// A message that was not let into the store: it waits for the admin log, or was refused of late.
    async fn kept_out(&self, principal: &Principal, id: MessageId) -> Result<MessageView, QueryError> {
        let found = self.read(move |inner| {
            Ok((
                inner.store.parked_one(id)?,
                inner.roster.snapshot().version().height,
                inner.refusals.of(&id),
            ))
        });
        let (parked, height, refused) = found.await?;
        let view = match (parked, refused) {
            (Some(row), _) => {
                let envelope = envelope::decode(&row.bytes).map_err(|_| QueryError::UnknownMessage)?;
                let header = envelope.header();
                let claimed = Claimed::of(header, id);
                let meaning = format!(
                    "names entry {} of the admin log, of which this node has {height}: judged as soon as that comes, \
                     forgotten after a day",
                    header.roster.height
                );
                self.claimed(claimed, row.received, "parked", meaning, None)
            }
            (None, Some(Refused { claimed, way, from, code, detail, at })) => {
                let meaning = format!(
                    "not kept when it came by {} from {}: {detail}",
                    way.as_str(),
                    config::peer_id(&from)
                );
                let view = self.claimed(claimed, at, "refused", meaning, Some(code.to_owned()));
                // Whoever it names may never have signed it.
                MessageView { organisation: None, ..view }
            }
            (None, None) => return Err(QueryError::UnknownMessage),
        };
        if principal.scope().read.covers(view.group) { Ok(view) } else { Err(QueryError::UnknownMessage) }
    }

    fn claimed(
        &self,
        claimed: Claimed,
        received: Timestamp,
        state: &'static str,
        meaning: String,
        reason: Option<String>,
    ) -> MessageView {
        let Claimed { id, group, member, serial, log, sequence, created } = claimed;
        MessageView {
            id,
            group,
            group_slug: self.slug(group),
            member,
            organisation: self.organisation(member),
            serial,
            log,
            sequence,
            created,
            received,
            state,
            meaning,
            key_not_before: None,
            reason,
            has_body: false,
            withdrawals: Vec::new(),
        }
    }
}

impl Inner {
    /// What to expect of a closed message that was written before this member came to its group.
    fn expected(&self, row: &MessageRow) -> Result<Option<Expectation>, QueryError> {
        let (roster, now) = (self.roster.snapshot(), clock::now());
        let own = roster.by_node(&self.node).filter(|own| roster.role(own.serial, row.group, now).is_some());
        let Some(own) = own.filter(|own| own.member != row.member && row.state == MessageState::Sealed)
        else {
            return Ok(None);
        };
        let (Some(group), Some(since)) =
            (roster.charter().group(row.group), roster.entitled_since(own.member, row.group))
        else {
            return Ok(None);
        };
        // Publishers change their key when a reader comes: what was written at an older roster has an older key.
        let bytes = self.store.envelope(row.id)?.unwrap_or_default();
        let written_at = envelope::decode(&bytes).ok().map(|envelope| envelope.header().roster.height);
        if written_at.is_none_or(|height| height >= since.height) {
            return Ok(None);
        }
        // As the holders count, each by its own clock: from first sight, not from the admins' word; where it is not known when
        // that was here, not before that word at least.
        let entitled = since.at.max(self.store.first_seen(since.height)?.unwrap_or(since.at));
        let delay = roster.charter().grant_delay();
        Ok(Some(expectation(group.history, delay, entitled, row.created, now)))
    }
}

/// `is_unsigned`: what its log is forked by is an entry that its author did not sign.
const fn told(row: &MessageRow, is_unsigned: bool) -> (&'static str, &'static str) {
    match row.state {
        MessageState::Withdrawn if row.has_body => {
            ("withdrawn", "taken back by its member or a steward; its objects are told as revoked")
        }
        MessageState::Withdrawn => (
            "withdrawn",
            "erased: its body is gone from here, and its objects are told as revoked without content",
        ),
        MessageState::Expired => (
            "expired",
            "its body is past the time that the group keeps bodies for, and gone; its place in the log stays",
        ),
        MessageState::Sealed | MessageState::Closed if row.key_id.is_none() => {
            ("withdrawal", "takes other messages back, or lifts such a withdrawal")
        }
        MessageState::Sealed | MessageState::Closed if !row.has_body => (
            "without-body",
            "its body was erased, by a withdrawal that does not stand any more; it comes once somebody who has it is here",
        ),
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
        MessageState::Disputed if is_unsigned => (
            "disputed",
            "kept but hidden: its author vouched, by a later message of this log, for one that it had not signed, and the log counts up to there",
        ),
        MessageState::Disputed => {
            ("disputed", "kept but hidden: its author signed two histories of this log")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CIDR, Coalition, Site};

    #[tokio::test]
    async fn who_vouched_for_what_it_had_not_signed_is_not_said_to_have_signed_two_histories() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let messages = coalition.messages(&alice, CIDR, None, 1);
        site.hold(&messages).await;
        let row = site.store.message(messages[0].message_id()).unwrap().unwrap();
        let row = MessageRow { state: MessageState::Disputed, ..row };
        assert!(told(&row, false).1.contains("two histories"));
        let (state, meaning) = told(&row, true);
        assert!(
            state == "disputed" && meaning.contains("had not signed") && !meaning.contains("two histories")
        );
    }
}
