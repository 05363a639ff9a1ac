//! Our own content keys: made for who may read now, held by another before use, dropped when a reader goes or comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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

use tokio::time::Instant;

use super::{
    flush::Flusher,
    offers::{Offers, Others, Step},
    push::{Failures, share},
};
use crate::{
    clock,
    heard::ClockTold,
    identity::Identity,
    network::Network,
    refusals::Way,
    store::{Change, KeyRow},
};

/// Members that hold a key before its first message travels.
pub(super) const HOLDERS: usize = 3;

/// A content key in use, with the readers it was made for.
pub(super) struct ActiveKey {
    pub(super) key: ContentKey,
    readers: BTreeSet<Reader>,
    holders: BTreeSet<MemberId>,
    offers: Offers,
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
        offers: Offers::default(),
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

    /// Whether it was offered in vain.
    #[cfg(test)]
    pub(super) const fn is_offered(&self) -> bool {
        self.offers.is_begun()
    }

    pub(super) fn row(&self, holders: u32) -> KeyRow {
        KeyRow::own(&self.key, holders)
    }
}

impl Flusher {
    /// Pushes active keys that fewer than [`HOLDERS`] members hold to connected entitled members, all side by side.
    /// Nodes that failed lately are left in peace.
    pub(super) async fn push_unshared(&mut self) {
        let unshared = self.keys.iter().filter(|(_, active)| active.holders.len() < HOLDERS);
        let unshared: Vec<_> = unshared.map(|(place, _)| *place).collect();
        self.push(unshared, false).await;
    }

    /// Whether a key may be sealed with now.
    pub(super) fn may_seal(&self, roster: &Roster, active: &ActiveKey) -> bool {
        self.step(roster, active) == Step::Seal
    }

    fn step(&self, roster: &Roster, active: &ActiveKey) -> Step {
        if !active.holders.is_empty() {
            return Step::Seal;
        }
        let is_own = |reader: &Reader| reader.member == self.identity.member;
        let others = match () {
            () if active.readers.iter().all(is_own) => Others::Nobody,
            () if self.entitled(roster, active).is_empty() => Others::Away,
            () => Others::Here,
        };
        active.offers.step(others, Instant::now())
    }

    /// The keys of a group with which may be sealed now, into this log.
    pub(super) fn keys_at_hand(
        &self,
        roster: &Roster,
        group: GroupId,
        audiences: &BTreeSet<Audience>,
        log: LogId,
        now: Timestamp,
    ) -> BTreeMap<Audience, ContentKey> {
        let active =
            audiences.iter().filter_map(|audience| Some((*audience, self.keys.get(&(group, *audience))?)));
        active
            .filter(|(_, active)| active.is_usable(roster, log, now) && self.may_seal(roster, active))
            .map(|(audience, active)| (audience, active.key.clone()))
            .collect()
    }

    /// Offers the keys of these places whose turn has come, all side by side: to everybody they take, also to those that
    /// failed lately.
    pub(super) async fn offer(&mut self, roster: &Roster, places: &BTreeSet<(GroupId, Audience)>) {
        let is_due = |place: &&(GroupId, Audience)| {
            self.keys.get(*place).is_some_and(|active| self.step(roster, active) == Step::Offer)
        };
        let due: Vec<_> = places.iter().filter(is_due).copied().collect();
        let kept = self.push(due.clone(), true).await;
        for place in due.into_iter().filter(|place| !kept.contains(place)) {
            let Some(active) = self.keys.get_mut(&place) else { continue };
            if active.holders.is_empty() {
                active.offers.refused(Instant::now());
                self.warn_if_unshared(roster, place);
            }
        }
    }

    /// Says it once, when the last offer has come to nothing.
    fn warn_if_unshared(&self, roster: &Roster, place: (GroupId, Audience)) {
        if let Some(active) = self.keys.get(&place).filter(|active| self.may_seal(roster, active)) {
            let (group, key) = (place.0.get(), active.key.id());
            tracing::warn!(group, %key, "no other member took content key {key}: what is sealed with it is readable only here");
        }
    }

    /// Pushes the keys of these places. Those that were kept, although somebody may have them.
    async fn push(
        &mut self,
        places: Vec<(GroupId, Audience)>,
        also_failed: bool,
    ) -> BTreeSet<(GroupId, Audience)> {
        let (roster, begun) = (self.roster.snapshot(), Instant::now());
        let is_doubtful = self.clock_told(&roster) != ClockTold::Right;
        let (mut pushes, mut kept) = (Vec::new(), BTreeSet::new());
        for place in places {
            let Some(active) = self.keys.get(&place) else { continue };
            let mut entitled = self.entitled(&roster, active);
            entitled.retain(|(_, node)| also_failed || !self.failures.are_of(node, begun));
            if entitled.is_empty() {
                continue;
            }
            // Who may have it, a wrong clock does not tell.
            if is_doubtful {
                kept.insert(place);
                continue;
            }
            // A message waits for whoever takes it, so everybody has all its time.
            let none = Failures::default();
            let failed = if active.offers.is_begun() { &none } else { &self.failures };
            let candidates = failed.order(entitled, begun, &mut rand::rng());
            let wanted = HOLDERS.saturating_sub(active.holders.len());
            let (key, network, roster) = (active.key.clone(), self.network.clone(), Arc::clone(&roster));
            pushes.push(async move {
                let push = |node| push_to(network.clone(), Arc::clone(&roster), key.clone(), node);
                (place, share(wanted, candidates, push).await)
            });
        }
        for (place, shared) in futures::future::join_all(pushes).await {
            self.failures.learn(&shared, Instant::now());
            let Some(active) = self.keys.get_mut(&place).filter(|_| !shared.stored.is_empty()) else {
                continue;
            };
            active.holders.extend(shared.stored.into_iter().map(|(member, _)| member));
            let row = active.row(u32::try_from(active.holders.len()).unwrap_or(u32::MAX));
            if let Err(error) = self.store.commit(Change::Key(row)).await {
                tracing::warn!("key holders not recorded: {error}");
            }
        }
        kept
    }

    fn clock_told(&self, roster: &Roster) -> ClockTold {
        self.hellos.borrow().clock_told(roster.charter().clock_skew())
    }

    /// Connected nodes of other members that may have a key and are not known to hold it. None while nobody can say whether
    /// our clock is right: a member whose own differs, alone beside a publisher, would silence it for good.
    fn entitled(&self, roster: &Roster, active: &ActiveKey) -> Vec<(MemberId, PublicKey)> {
        if self.clock_told(roster) == ClockTold::Unknown {
            return Vec::new();
        }
        let (context, now) = (active.key.context(), clock::now());
        let seen = |height| self.store.first_seen(height).ok().flatten();
        // The rule that answers requests also bounds what is pushed.
        let granted = self.ready.iter().filter_map(|node| {
            let granted = grant_rule::may_grant(roster, context, context.created, node, seen, now);
            Some((granted.ok()?.member, *node))
        });
        granted
            .filter(|(member, _)| *member != self.identity.member && !active.holders.contains(member))
            .collect()
    }
}

/// True if the node has the key on its disk.
async fn push_to(network: Network, roster: Arc<Roster>, key: ContentKey, node: PublicKey) -> bool {
    let Some(kem) = roster.by_node(&node).map(|certificate| &certificate.kem) else { return false };
    let sealed = key.grant_to(kem, &mut rand::rng());
    let id = key.id().to_vec();
    let group = key.context().group.get();
    let pushed = vec![SealedGrant { key_id: id.clone(), sealed }];
    let request = KeysRequest { group, key_ids: Vec::new(), pushed };
    match network.keys(&node, request).await {
        Ok(response) if response.stored.contains(&id) => return true,
        // Why it does not take it is not told.
        Ok(_) => network.refusals().count(Way::PushAnswer, "not-stored"),
        Err(error) => network.refusals().count(Way::PushAnswer, error.code()),
    }
    false
}
