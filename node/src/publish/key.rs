//! Our own content keys: made for who may read now, pushed before use, dropped when a reader goes or comes.

use std::{collections::BTreeSet, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{
        content_key::{ContentKey, KeyContext},
        grant_rule,
    },
    id::{GroupId, LogId, MemberId},
    schema::{Audience, KeysRequest, SealedGrant},
    time::Timestamp,
    trust::roster::{Reader, Roster},
};

use super::flush::Flusher;
use crate::{
    clock,
    identity::Identity,
    store::{Change, KeyRow},
};

/// Members that hold a key before its first message travels.
pub(super) const HOLDERS: usize = 3;
/// How long a push may take before publishing goes on without it.
const PUSH: Duration = Duration::from_secs(3);

/// A content key in use, with the readers it was made for.
pub(super) struct ActiveKey {
    pub(super) key: ContentKey,
    readers: BTreeSet<Reader>,
    holders: BTreeSet<MemberId>,
}

/// A fresh key. Kept in memory only as long as the process: a restart makes a new one, which costs one
/// push and saves trusting a stored reader set.
pub(super) fn make(
    roster: &Roster,
    identity: &Identity,
    group: GroupId,
    audience: Audience,
    log: LogId,
    epoch: u64,
    now: Timestamp,
) -> ActiveKey {
    let context = KeyContext {
        coalition: roster.coalition(),
        group,
        audience,
        author: identity.member,
        log,
        epoch,
        created: now,
        roster: roster.version(),
    };
    ActiveKey {
        key: ContentKey::generate(context, &mut rand::rng()),
        readers: roster.readers(group, audience, now),
        holders: BTreeSet::new(),
    }
}

impl ActiveKey {
    /// While those who may read are those it was made for. The rule only forbids it once one of them is gone;
    /// but for a newcomer it is a key from before its time, which history and grant delay keep from it, and what
    /// is published from now on is meant for the newcomer, too.
    pub(super) fn is_usable(&self, roster: &Roster, log: LogId, now: Timestamp) -> bool {
        let context = self.key.context();
        context.log == log
            && grant_rule::key_is_usable(
                &self.readers,
                roster,
                context.group,
                context.audience,
                context.created,
                now,
            )
            && self.readers == roster.readers(context.group, context.audience, now)
    }

    pub(super) fn row(&self, holders: u32) -> KeyRow {
        KeyRow::own(&self.key, holders)
    }
}

impl Flusher {
    /// Pushes active keys that fewer than [`HOLDERS`] members hold to connected entitled members.
    pub(super) async fn push_unshared(&mut self) {
        let roster = self.roster.snapshot();
        let now = clock::now();
        let mut changed = Vec::new();
        for ((group, _), active) in &mut self.keys {
            let targets: Vec<(MemberId, PublicKey)> = self
                .ready
                .iter()
                // The rule that answers requests also bounds what is pushed.
                .filter_map(|node| {
                    let context = active.key.context();
                    let seen = |height| self.store.first_seen(height).ok().flatten();
                    let granted = grant_rule::may_grant(&roster, context, context.created, node, seen, now);
                    Some((granted.ok()?, *node))
                })
                .filter(|(c, _)| c.member != self.identity.member && !active.holders.contains(&c.member))
                .map(|(c, node)| (c.member, node))
                .take(HOLDERS.saturating_sub(active.holders.len()))
                .collect();
            let pushes = targets.into_iter().filter_map(|(member, node)| {
                let kem = &roster.by_node(&node)?.kem;
                let sealed = active.key.grant_to(kem, &mut rand::rng());
                let id = active.key.id().to_vec();
                let request = KeysRequest {
                    group: group.get(),
                    key_ids: Vec::new(),
                    pushed: vec![SealedGrant { key_id: id.clone(), sealed }],
                };
                let network = self.network.clone();
                Some(async move {
                    let answer = tokio::time::timeout(PUSH, network.keys(&node, request)).await;
                    matches!(answer, Ok(Ok(response)) if response.stored.contains(&id)).then_some(member)
                })
            });
            let stored: Vec<MemberId> =
                futures::future::join_all(pushes).await.into_iter().flatten().collect();
            if !stored.is_empty() {
                active.holders.extend(stored);
                changed.push(active.row(u32::try_from(active.holders.len()).unwrap_or(u32::MAX)));
            }
        }
        for row in changed {
            if let Err(error) = self.store.commit(Change::Key(row)).await {
                tracing::warn!("key holders not recorded: {error}");
            }
        }
    }
}
