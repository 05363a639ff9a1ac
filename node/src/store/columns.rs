//! Column families and their keys. Byte order of a key is the order it is read in.

use belfry_proto::id::{GroupId, KeyId, LogId, MemberId, MessageId, Sequence};

/// Column families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Cf {
    /// Schema, owner, counters, admin head.
    Meta,
    /// Wrapped data keys: class ‖ month.
    DataKeys,
    /// Charters by version.
    Charters,
    /// Admin log records by height.
    Records,
    /// When this node first had the admin log's entry at a height.
    Seen,
    /// Envelopes: group ‖ log ‖ sequence.
    Envelopes,
    /// Message id → place, and dates added of the objects it says, as their author or as a reporter.
    Messages,
    /// Log states: group ‖ log.
    Logs,
    /// Second messages for one place: group ‖ log ‖ sequence ‖ id.
    Forks,
    /// Logs to be judged as a whole: group ‖ log.
    Unjudged,
    /// Objects that lost a row, to be met again or buried: group ‖ H(object id) → the newest version lost.
    Bereft,
    /// Messages whose content is to be shown again.
    Reopen,
    /// Key id ‖ message id of what waits for a key.
    Waiting,
    /// Content keys.
    Keys,
    /// Objects: group ‖ date added.
    Objects,
    /// group ‖ H(object id) ‖ H(version) → the first claim, ‖ member ‖ marking → each further one.
    ById,
    /// group ‖ kind ‖ 0 ‖ date added.
    ByType,
    /// group ‖ date added ‖ member ‖ message ‖ whether other bytes: who else claims the same version.
    Reporters,
    /// group ‖ H(kind, value) ‖ member ‖ date added, for whoever says the row: its author and who says the same bytes.
    Observables,
    /// Feed sequence → group ‖ date added.
    Feed,
    /// Drafts by publication.
    Drafts,
    /// created ‖ publication of queued drafts.
    Queue,
    /// H(idempotency key) → publication.
    Idempotency,
    /// Access tokens.
    Tokens,
    /// Address records by serial.
    Addresses,
    /// Envelopes ahead of the roster.
    Parked,
    /// Message → nothing, ‖ member ‖ group ‖ how it says it ‖ withdrawal → what that says: who names the message, whether
    /// it is here or not.
    Withdrawals,
    /// Due ‖ message: what withdrawals come to for it is to be looked at.
    Reweigh,
    /// Column name ‖ 0 ‖ key of rows whose earlier values are to leave the disk.
    Purge,
    /// End ‖ message: objects it says are met outside from then on. 0 ‖ group ‖ date added: that row is, at once. Behind them by
    /// object, ‖ member ‖ end ‖ message: until when what others say of it is kept inside, too.
    Embargoes,
}

impl Cf {
    pub(super) const ALL: [Self; 30] = [
        Self::Meta,
        Self::DataKeys,
        Self::Charters,
        Self::Records,
        Self::Seen,
        Self::Envelopes,
        Self::Messages,
        Self::Logs,
        Self::Forks,
        Self::Unjudged,
        Self::Bereft,
        Self::Reopen,
        Self::Waiting,
        Self::Keys,
        Self::Objects,
        Self::ById,
        Self::ByType,
        Self::Reporters,
        Self::Observables,
        Self::Feed,
        Self::Drafts,
        Self::Queue,
        Self::Idempotency,
        Self::Tokens,
        Self::Addresses,
        Self::Parked,
        Self::Withdrawals,
        Self::Reweigh,
        Self::Purge,
        Self::Embargoes,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::DataKeys => "data-keys",
            Self::Charters => "charters",
            Self::Records => "records",
            Self::Seen => "seen",
            Self::Envelopes => "envelopes",
            Self::Messages => "messages",
            Self::Logs => "logs",
            Self::Forks => "forks",
            Self::Unjudged => "unjudged",
            Self::Bereft => "bereft",
            Self::Reopen => "reopen",
            Self::Waiting => "waiting",
            Self::Keys => "keys",
            Self::Objects => "objects",
            Self::ById => "by-id",
            Self::ByType => "by-type",
            Self::Reporters => "reporters",
            Self::Observables => "observables",
            Self::Feed => "feed",
            Self::Drafts => "drafts",
            Self::Queue => "queue",
            Self::Idempotency => "idempotency",
            Self::Tokens => "tokens",
            Self::Addresses => "addresses",
            Self::Parked => "parked",
            Self::Withdrawals => "withdrawals",
            Self::Reweigh => "reweigh",
            Self::Purge => "purge",
            Self::Embargoes => "embargoes",
        }
    }
}

/// A key under construction: fixed-width parts, so prefixes are exact.
#[derive(Clone, Debug, Default)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn group(group: GroupId) -> Self {
        Self::default().u32(group.get())
    }
    pub(super) fn u32(mut self, n: u32) -> Self {
        self.0.extend_from_slice(&n.to_be_bytes());
        self
    }
    pub(super) fn u64(mut self, n: u64) -> Self {
        self.0.extend_from_slice(&n.to_be_bytes());
        self
    }
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// group ‖ log.
pub(super) fn log(group: GroupId, log: LogId) -> Vec<u8> {
    Key::group(group).bytes(log.as_ref()).done()
}

/// group ‖ log ‖ sequence.
pub(super) fn place(group: GroupId, log: LogId, sequence: Sequence) -> Vec<u8> {
    Key::group(group).bytes(log.as_ref()).u64(sequence.get()).done()
}

/// The parts of [`place`]; `None` if the bytes are none.
pub(super) fn read_place(bytes: &[u8]) -> Option<(GroupId, LogId, Sequence)> {
    let (group, rest) = bytes.split_first_chunk::<4>()?;
    let (log, rest) = rest.split_first_chunk::<32>()?;
    let sequence: [u8; 8] = rest.try_into().ok()?;
    Some((
        GroupId::new(u32::from_be_bytes(*group)),
        LogId::new(*log),
        Sequence::new(u64::from_be_bytes(sequence)),
    ))
}

/// key id ‖ message id.
pub(super) fn waiting(key: KeyId, message: MessageId) -> Vec<u8> {
    Key::default().bytes(key.as_ref()).bytes(message.as_ref()).done()
}

/// group ‖ date added.
pub(super) fn object(group: GroupId, date_added: u64) -> Vec<u8> {
    Key::group(group).u64(date_added).done()
}

/// The parts of [`object`].
pub(super) fn read_object(bytes: &[u8]) -> Option<(GroupId, u64)> {
    let (group, rest) = bytes.split_first_chunk::<4>()?;
    let date: [u8; 8] = rest.try_into().ok()?;
    Some((GroupId::new(u32::from_be_bytes(*group)), u64::from_be_bytes(date)))
}

/// group ‖ H(kind, value) ‖ member ‖ date added.
pub(super) fn observable(group: GroupId, tag: &[u8], member: &[u8], date_added: u64) -> Vec<u8> {
    Key::group(group).bytes(tag).bytes(member).u64(date_added).done()
}

/// group ‖ date added ‖ member ‖ message ‖ whether it says other bytes.
pub(super) fn reporter(
    group: GroupId,
    date_added: u64,
    member: MemberId,
    message: MessageId,
    differs: bool,
) -> Vec<u8> {
    let key = Key::group(group).u64(date_added).bytes(member.as_ref()).bytes(message.as_ref());
    key.bytes(&[u8::from(differs)]).done()
}

/// The parts of [`reporter`] behind its date.
pub(super) fn read_reporter(bytes: &[u8]) -> Option<(MemberId, MessageId, bool)> {
    let (_, rest) = bytes.split_first_chunk::<12>()?;
    let (member, rest) = rest.split_first_chunk::<16>()?;
    let (message, rest) = rest.split_first_chunk::<32>()?;
    let &[differs] = rest else { return None };
    Some((MemberId::new(*member), MessageId::new(*message), differs != 0))
}

/// group ‖ log ‖ sequence ‖ id: a second message for a place.
pub(super) fn fork(place: &[u8], message: MessageId) -> Vec<u8> {
    [place, message.as_ref()].concat()
}

/// Length of [`place`]; what a message id points to is longer for a second message.
pub(super) const PLACE_LEN: usize = 4 + 32 + 8;

/// Where that lies which a message id points to.
pub(super) const fn holder(place: &[u8]) -> Cf {
    if place.len() > PLACE_LEN { Cf::Forks } else { Cf::Envelopes }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        store::{admin, cursors},
        testing::papers::{RECORD, RETENTION, rows},
    };

    /// Under which name the templates for a member's data protection officer tell of a column.
    const fn kept_as(column: Cf) -> &'static str {
        match column {
            Cf::Charters | Cf::Records => "admin log",
            Cf::Envelopes | Cf::Messages | Cf::Logs | Cf::Forks | Cf::Waiting | Cf::Parked => {
                "sealed messages"
            }
            Cf::Objects | Cf::ById | Cf::ByType | Cf::Reporters | Cf::Observables | Cf::Feed => {
                "published objects"
            }
            Cf::Withdrawals => "withdrawals",
            Cf::Keys => "content keys",
            Cf::Drafts | Cf::Queue | Cf::Idempotency => "drafts",
            Cf::Tokens => "tokens",
            Cf::Addresses => "addresses",
            Cf::Meta
            | Cf::DataKeys
            | Cf::Seen
            | Cf::Unjudged
            | Cf::Bereft
            | Cf::Reopen
            | Cf::Reweigh
            | Cf::Purge
            | Cf::Embargoes => "state of the node",
        }
    }

    /// The same of what lies in [`Cf::Meta`] and is more than the node's own bookkeeping.
    const IN_META: [(&[u8], &str); 6] = [
        (admin::CONTACT_KEY, "contacts"),
        (admin::HOLD_KEY, "state of the node"),
        (admin::EQUIVOCATION_KEY, "state of the node"),
        (admin::REMOVAL_KEY, "state of the node"),
        (cursors::HOOK_KEY, "state of the node"),
        (cursors::SOURCE_KEY, "state of the node"),
    ];

    /// What a node keeps beside its database.
    const BESIDE: [&str; 3] = ["audit log", "damaged store", "watched folders"];

    #[test]
    fn the_record_of_processing_and_the_retention_plan_have_a_row_for_all_that_a_node_keeps() {
        let kept: BTreeSet<String> = Cf::ALL
            .into_iter()
            .map(kept_as)
            .chain(IN_META.map(|(_, name)| name))
            .chain(BESIDE)
            .map(str::to_owned)
            .collect();
        let recorded: BTreeSet<String> = rows(RECORD, "## What a node keeps").into_iter().collect();
        assert_eq!(recorded, kept);
        let planned: BTreeSet<String> = rows(RETENTION, "# Retention").into_iter().collect();
        assert!(kept.is_subset(&planned), "no row in retention.md: {:?}", &kept - &planned);
    }

    proptest! {
        #[test]
        fn byte_order_is_logical_order(a: (u32, [u8; 32], u64), b: (u32, [u8; 32], u64)) {
            let key = |(g, l, s): (u32, [u8; 32], u64)| place(GroupId::new(g), LogId::new(l), Sequence::new(s));
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert_eq!(read_place(&key(a)), Some((GroupId::new(a.0), LogId::new(a.1), Sequence::new(a.2))));
            let object_key = |(g, _, d): (u32, [u8; 32], u64)| object(GroupId::new(g), d);
            prop_assert_eq!(object_key(a).cmp(&object_key(b)), (a.0, a.2).cmp(&(b.0, b.2)));
        }
    }
}
