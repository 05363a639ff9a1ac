//! Answers to `/belfry/keys/1`, and grants that peers push.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{content_key::ContentKey, grant_rule},
    id::{GroupId, KeyId},
    limits,
    schema::{KeyRefusal, KeysRequest, KeysResponse, Refusal, SealedGrant},
    verdict::Judged as _,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use super::budget::{Budgets, LOOKUP, SEAL};
use crate::{
    clock,
    feed::{Feed, Notice},
    heard::Hellos,
    identity::Identity,
    network::Asked,
    refusals::{Refusals, Way},
    roster::LiveRoster,
    store::{Change, KeyRow, Store},
};

/// Requests worked on side by side. An X-Wing seal costs some 100 µs, so each holds its place for some
/// milliseconds; more places than cores would only contend.
const PLACES: usize = 4;

/// The serving half of the grants use-case.
pub struct Serving {
    identity: Arc<Identity>,
    store: Store,
    roster: LiveRoster,
    feed: Feed,
    refusals: Refusals,
    /// What others say of our clock, by which the rule goes.
    hellos: watch::Receiver<Hellos>,
    budgets: Mutex<Budgets>,
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
    pub fn new(
        identity: Arc<Identity>,
        store: Store,
        roster: LiveRoster,
        feed: Feed,
        refusals: Refusals,
        hellos: watch::Receiver<Hellos>,
    ) -> Self {
        Self { identity, store, roster, feed, refusals, hellos, budgets: Mutex::default() }
    }

    /// Answers until the network ends. Who asks too much is told so at once, and waits for nobody; the others
    /// take turns, and the network bounds how many wait.
    pub async fn run(self, mut asked: mpsc::Receiver<Asked<KeysRequest, KeysResponse>>) {
        let (this, places) = (Arc::new(self), Arc::new(Semaphore::new(PLACES)));
        while let Some(Asked { from, request, reply, .. }) = asked.recv().await {
            if !this.budgets().begin(from, Instant::now()) {
                tracing::debug!(peer = %from, "too many requests for keys");
                reply.send(busy(&request));
                continue;
            }
            let (this, places) = (Arc::clone(&this), Arc::clone(&places));
            tokio::spawn(async move {
                if let Some(response) = this.serve(from, request, &places).await {
                    reply.send(response);
                }
                this.budgets().end(&from);
            });
        }
    }

    async fn serve(
        self: &Arc<Self>,
        from: PublicKey,
        request: KeysRequest,
        places: &Semaphore,
    ) -> Option<KeysResponse> {
        let place = places.acquire().await.ok()?;
        let serving = Arc::clone(self);
        let answered = tokio::task::spawn_blocking(move || serving.answer(&from, &request)).await;
        drop(place);
        let (mut response, pushed) = answered.ok()?;
        for key in pushed {
            let id = key.id;
            match self.store.commit(Change::Key(key)).await {
                Ok(_) => {
                    response.stored.push(id.to_vec());
                    self.feed.notify(Notice::KeyArrived(id));
                }
                Err(error) => tracing::warn!(key = %id, "a pushed key was not kept: {error}"),
            }
        }
        Some(response)
    }

    fn budgets(&self) -> MutexGuard<'_, Budgets> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
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
                Ok(Taken::New(row)) => pushed.push(*row),
                // Nothing to write, and nobody to tell.
                Ok(Taken::Held(id)) => response.stored.push(id.to_vec()),
                Err(code) => {
                    tracing::debug!(peer = %from, code, "pushed grant not taken");
                    self.refusals.count(Way::Push, code);
                }
            }
        }
        (response, pushed)
    }

    fn grant(&self, from: &PublicKey, group: GroupId, wanted: &[u8]) -> Result<SealedGrant, Refusal> {
        let id = KeyId::try_from(wanted).map_err(|_| Refusal::Malformed)?;
        if !self.budgets().work(*from, LOOKUP, Instant::now()) {
            return Err(Refusal::Busy);
        }
        let roster = self.roster.snapshot();
        let now = clock::now();
        // Who asks comes first, and what may not be had looks like what is not here: who holds which key is nobody's
        // business who may not have it.
        let asker = roster.by_node(from).filter(|_| roster.is_admitted(from, now));
        let asker = asker.ok_or(Refusal::NotCertified)?;
        if roster.role(asker.serial, group, now).is_none() {
            return Err(Refusal::NotEntitled);
        }
        // Who is a member still, and whether the delay is over, a wrong clock does not tell. Other holders judge by theirs.
        if self.hellos.borrow().doubts_clock(roster.charter().clock_skew()) {
            tracing::debug!(peer = %from, key = %id, "no grant now: our clock may be off");
            return Err(Refusal::NotYet);
        }
        let row = self.store.key(id).map_err(|_| Refusal::Internal)?.ok_or(Refusal::Unknown)?;
        let key = row.content_key().ok_or(Refusal::Internal)?;
        if key.context().group != group {
            return Err(Refusal::Unknown);
        }
        let first_seen = |height| self.store.first_seen(height).ok().flatten();
        let requester = grant_rule::may_grant(&roster, key.context(), row.last_use, from, first_seen, now)
            .map_err(|refusal| {
                tracing::debug!(peer = %from, key = %id, "no grant: {refusal}");
                refusal.on_wire()
            })?;
        let predates = grant_rule::predates(&roster, key.context(), requester.member);
        // The delay is there so that others see a newcomer first. Alone with us, one that lies in step with whoever turned our
        // clock would vouch for its own.
        if predates
            && !roster.charter().grant_delay().is_zero()
            && !self.hellos.borrow().is_clock_vouched(&roster, self.identity.member, now)
        {
            tracing::debug!(peer = %from, key = %id, "no grant: too few vouch that the grant delay is over");
            return Err(Refusal::NotYet);
        }
        // What the operator holds back stays here until it is released; other holders judge for themselves.
        let is_older = predates || grant_rule::predates_node(key.context(), requester);
        if is_older && self.store.is_held(requester.member).map_err(|_| Refusal::Internal)? {
            tracing::debug!(peer = %from, key = %id, "no grant: the operator holds old keys back from this member");
            return Err(Refusal::NotYet);
        }
        if !self.budgets().work(*from, SEAL, Instant::now()) {
            tracing::debug!(peer = %from, key = %id, "no grant now: the peer has had its share");
            return Err(Refusal::Busy);
        }
        let sealed = key.grant_to(&requester.kem, &mut rand::rng());
        tracing::debug!(peer = %from, key = %id, "granted a key");
        Ok(SealedGrant { key_id: id.to_vec(), sealed })
    }

    /// A pushed grant is kept if its author is the one who pushes it: anybody else waits to be asked.
    fn take(&self, from: &PublicKey, group: GroupId, grant: &SealedGrant) -> Result<Taken, &'static str> {
        if !self.store.has_room() {
            return Err("no-room");
        }
        if !self.budgets().work(*from, LOOKUP, Instant::now()) {
            return Err("peer-over-budget");
        }
        let id = KeyId::try_from(grant.key_id.as_slice()).map_err(|_| "malformed")?;
        let roster = self.roster.snapshot();
        let now = clock::now();
        // Who it is first: opening costs more than knowing that it is in vain.
        let sender = roster.by_node(from).ok_or("not-certified")?;
        let (theirs, ours) =
            (roster.role(sender.serial, group, now), roster.role(self.identity.serial, group, now));
        if theirs.is_none() || ours.is_none() {
            return Err("not-entitled");
        }
        if let Ok(Some(held)) = self.store.key(id) {
            return if held.author == sender.member { Ok(Taken::Held(id)) } else { Err("key-other-author") };
        }
        if !self.budgets().push(sender.member, Instant::now()) {
            return Err("member-over-budget");
        }
        let key = ContentKey::from_grant(&self.identity.kem, roster.coalition(), id, &grant.sealed)
            .map_err(|error| error.code())?;
        match key.context() {
            context if context.author != sender.member => Err("key-other-author"),
            context if context.group != group => Err("key-other-group"),
            _ => Ok(Taken::New(Box::new(KeyRow::received(&key)))),
        }
    }
}

/// Every key refused for now.
fn busy(request: &KeysRequest) -> KeysResponse {
    let refusal = |key: &Vec<u8>| KeyRefusal { key_id: key.clone(), refusal: Refusal::Busy.into() };
    let refused = request.key_ids.iter().take(limits::MAX_KEY_IDS).map(refusal).collect();
    KeysResponse { refused, ..KeysResponse::default() }
}
