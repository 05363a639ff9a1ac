//! Answers to `/belfry/keys/1`, and grants that peers push.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{content_key::ContentKey, grant_rule},
    id::{GroupId, KeyId},
    limits,
    schema::{KeyRefusal, KeysRequest, KeysResponse, Refusal, SealedGrant},
};
use tokio::{sync::mpsc, time::Instant};

use super::budget::Pushes;
use crate::{
    clock,
    feed::{Feed, Notice},
    identity::Identity,
    network::Asked,
    roster::LiveRoster,
    store::{Change, KeyRow, Store},
};

/// The serving half of the grants use-case.
pub struct Serving {
    identity: Arc<Identity>,
    store: Store,
    roster: LiveRoster,
    feed: Feed,
    pushes: Mutex<Pushes>,
}

/// What came of a pushed grant.
enum Taken {
    /// To be written.
    New(Box<KeyRow>),
    /// Was here before.
    Held(KeyId),
}

impl Serving {
    /// Serves from `store` under the rule.
    #[must_use]
    pub fn new(identity: Arc<Identity>, store: Store, roster: LiveRoster, feed: Feed) -> Self {
        Self { identity, store, roster, feed, pushes: Mutex::default() }
    }

    /// Answers until the network ends. One request at a time: an X-Wing seal costs some 100 µs, and 64
    /// of them bound what one request can claim.
    pub async fn run(self, mut asked: mpsc::Receiver<Asked<KeysRequest, KeysResponse>>) {
        let this = Arc::new(self);
        while let Some(Asked { from, request, reply, .. }) = asked.recv().await {
            let serving = Arc::clone(&this);
            let Ok((mut response, pushed)) =
                tokio::task::spawn_blocking(move || serving.answer(&from, &request)).await
            else {
                continue;
            };
            for key in pushed {
                let id = key.id;
                match this.store.commit(Change::Key(key)).await {
                    Ok(_) => {
                        response.stored.push(id.to_vec());
                        this.feed.notify(Notice::KeyArrived(id));
                    }
                    Err(error) => tracing::warn!(key = %id, "a pushed key was not kept: {error}"),
                }
            }
            reply.send(response);
        }
    }

    fn answer(&self, from: &PublicKey, request: &KeysRequest) -> (KeysResponse, Vec<KeyRow>) {
        let mut response = KeysResponse::default();
        if request.key_ids.len() > limits::MAX_KEY_IDS || request.pushed.len() > limits::MAX_KEY_IDS {
            response.refused.push(KeyRefusal { key_id: Vec::new(), refusal: Refusal::Malformed.into() });
            return (response, Vec::new());
        }
        let group = GroupId::new(request.group);
        for wanted in &request.key_ids {
            match self.grant(from, group, wanted) {
                Ok(grant) => response.grants.push(grant),
                Err(refusal) => {
                    response.refused.push(KeyRefusal { key_id: wanted.clone(), refusal: refusal.into() });
                }
            }
        }
        let mut pushed = Vec::new();
        let mut seen = BTreeSet::new();
        for grant in request.pushed.iter().filter(|grant| seen.insert(grant.key_id.as_slice())) {
            match self.take(from, group, grant) {
                Some(Taken::New(row)) => pushed.push(*row),
                // Nothing to write, and nobody to tell.
                Some(Taken::Held(id)) => response.stored.push(id.to_vec()),
                None => {}
            }
        }
        (response, pushed)
    }

    fn grant(&self, from: &PublicKey, group: GroupId, wanted: &[u8]) -> Result<SealedGrant, Refusal> {
        let id = KeyId::try_from(wanted).map_err(|_| Refusal::Malformed)?;
        let row = self.store.key(id).map_err(|_| Refusal::Internal)?.ok_or(Refusal::Unknown)?;
        let key = row.content_key().ok_or(Refusal::Internal)?;
        if key.context().group != group {
            return Err(Refusal::Unknown);
        }
        let roster = self.roster.snapshot();
        let first_seen = |height| self.store.first_seen(height).ok().flatten();
        let now = clock::now();
        let requester = grant_rule::may_grant(&roster, key.context(), row.last_use, from, first_seen, now)
            .map_err(|refusal| {
                tracing::debug!(peer = %from, key = %id, "no grant: {refusal}");
                refusal.on_wire()
            })?;
        let sealed = key.grant_to(&requester.kem, &mut rand::rng());
        tracing::debug!(peer = %from, key = %id, "granted a key");
        Ok(SealedGrant { key_id: id.to_vec(), sealed })
    }

    /// A pushed grant is kept if its author is the one who pushes it: anybody else waits to be asked.
    fn take(&self, from: &PublicKey, group: GroupId, grant: &SealedGrant) -> Option<Taken> {
        if !self.store.has_room() {
            return None;
        }
        let id = KeyId::try_from(grant.key_id.as_slice()).ok()?;
        let roster = self.roster.snapshot();
        let now = clock::now();
        // Who it is first: opening costs more than knowing that it is in vain.
        let sender = roster.by_node(from)?;
        let (theirs, ours) =
            (roster.role(sender.serial, group, now), roster.role(self.identity.serial, group, now));
        if theirs.is_none() || ours.is_none() {
            tracing::debug!(peer = %from, key = %id, "pushed grant is of a group that is not both ours");
            return None;
        }
        if let Ok(Some(held)) = self.store.key(id) {
            return (held.author == sender.member).then_some(Taken::Held(id));
        }
        let mut pushes = self.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        if !pushes.take(sender.member, Instant::now()) {
            tracing::debug!(peer = %from, key = %id, "pushed grant is over its member's budget");
            return None;
        }
        drop(pushes);
        let key = ContentKey::from_grant(&self.identity.kem, roster.coalition(), id, &grant.sealed)
            .map_err(|error| tracing::debug!(peer = %from, key = %id, "pushed grant: {error}"))
            .ok()?;
        if key.context().author != sender.member || key.context().group != group {
            tracing::debug!(peer = %from, key = %id, "pushed grant is not the sender's own");
            return None;
        }
        Some(Taken::New(Box::new(KeyRow::received(&key))))
    }
}
