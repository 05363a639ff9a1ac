//! Keys that a page names, asked for before it is judged.
//!
//! ```text
//! page ─▶ signed at its end? ─▶ keys it names that are not here ─▶ KeyWanted ─┬─ all here ─────────────▶ opened on its way in
//!                                                                             └─ refused, or PATIENCE ─▶ stored sealed
//! ```
//!
//! What opens on its way in is written once; what is stored sealed is read, opened and written again when its key comes.
//! A question to a connected peer is far cheaper than that, so a page waits for its answer, and no longer: where nobody
//! gives the key, or nobody answers, it is stored as it is, and its author's next pages wait for nothing for a while.
//!
//! Only what the author signed is asked for. Whoever serves a page must not have us ask in another's name for keys that
//! it invents.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use belfry_proto::{
    envelope::{Admission, Decoded, Origin},
    id::{KeyId, MemberId},
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::Ingest;
use crate::{
    clock,
    feed::{Notice, Notices},
};

/// How long a page waits for its keys: a round trip around the world and a grant. Too low ⇒ what could be opened at once
/// is written twice, too high ⇒ a holder that does not answer holds pages up.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long pages of an author are not waited with after one waited in vain.
const DOUBT: Duration = Duration::from_secs(60);
/// Keys of one page that are waited for. An author uses a key for as long as its readers stay, up to seven days: pages
/// with more are rare, or made to keep us asking.
const KEYS: usize = 16;
/// Authors in doubt that are remembered: more than a coalition has.
const AUTHORS: usize = 4096;

/// Authors of whom a key did not come when a page waited for it, and until when that counts. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Unanswered(Arc<Mutex<BTreeMap<MemberId, Instant>>>);

impl Unanswered {
    fn note(&self, author: MemberId, now: Instant) {
        let mut authors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if authors.len() >= AUTHORS {
            authors.retain(|_, until| *until > now);
        }
        if authors.len() < AUTHORS {
            authors.insert(author, now + DOUBT);
        }
    }

    fn holds(&self, author: MemberId, now: Instant) -> bool {
        let authors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        authors.get(&author).is_some_and(|until| *until > now)
    }
}

impl Ingest {
    /// Has the keys asked for that this page of a log names, and waits until they are here, are refused, or time is up.
    pub(super) async fn expect_keys(&self, page: &[Decoded]) {
        let Some(last) = page.last().map(Decoded::header) else { return };
        let (group, author) = (last.group, last.member);
        let is_missing = |envelope| named(envelope).is_some_and(|key| !self.keyring.holds(key));
        let is_in_vain = !self.store.has_room()
            || self.unanswered.holds(author, Instant::now())
            || !page.iter().any(is_missing)
            || !self.reads(group, &self.roster.snapshot());
        if is_in_vain {
            return;
        }
        // First, so that no arrival falls between the look into the store and this.
        let notices = self.feed.subscribe();
        let (this, page) = (self.clone(), page.to_vec());
        let missing = spawn_blocking(move || this.missing_keys(&page)).await.unwrap_or_default();
        for key in &missing {
            self.feed.notify(Notice::KeyWanted { key: *key, group, author });
        }
        if !timeout(PATIENCE, self.arrive(missing, notices)).await.unwrap_or(false) {
            self.unanswered.note(author, Instant::now());
        }
    }

    /// Whether all of these came before one was refused.
    async fn arrive(&self, mut missing: BTreeSet<KeyId>, mut notices: Notices) -> bool {
        while !missing.is_empty() {
            match notices.recv().await {
                Some(Notice::KeyArrived(key)) => {
                    missing.remove(&key);
                }
                Some(Notice::KeyRefused(key)) if missing.contains(&key) => return false,
                Some(Notice::Missed { .. }) => {
                    let this = self.clone();
                    let look = spawn_blocking(move || {
                        missing.retain(|key| this.lacks(*key));
                        missing
                    });
                    missing = look.await.unwrap_or_default();
                }
                Some(_) => {}
                None => return false,
            }
        }
        true
    }

    /// Keys that are not here and that entries of this page name, as far as its last entry vouches for them.
    fn missing_keys(&self, page: &[Decoded]) -> BTreeSet<KeyId> {
        let mut missing = BTreeSet::new();
        let Some(last) = page.last() else { return missing };
        let roster = self.roster.snapshot();
        let admission =
            Admission { origin: Origin::Sync, now: clock::now(), skew: roster.charter().clock_skew() };
        // What a cut hides is kept, and nobody is asked for its keys.
        let attributed = last.clone().attribute(&roster).ok();
        let verified = attributed.and_then(|attributed| attributed.verify().ok());
        if verified.and_then(|verified| verified.admit(&roster, admission).ok()).is_none() {
            return missing;
        }
        let mut above: Option<&Decoded> = None;
        for entry in page.iter().rev() {
            if above.is_some_and(|above| !is_vouched_for(entry, above)) || missing.len() >= KEYS {
                break;
            }
            above = Some(entry);
            missing.extend(named(entry).filter(|key| !missing.contains(key) && self.lacks(*key)));
        }
        missing
    }

    fn lacks(&self, key: KeyId) -> bool {
        matches!(self.keyring.key(&self.store, key), Ok(None))
    }
}

/// The key that opens an entry for its group; of one for named members the key comes along.
fn named(entry: &Decoded) -> Option<KeyId> {
    let sealing = entry.header().sealing().filter(|sealing| sealing.recipients.is_none());
    sealing.filter(|_| entry.has_body()).map(|sealing| sealing.key)
}

/// Whether the entry above it names this one, by an id that covers its every byte.
fn is_vouched_for(entry: &Decoded, above: &Decoded) -> bool {
    let (below, header) = (entry.header(), above.header());
    (below.group, below.log) == (header.group, header.log) && header.prev == entry.message_id()
}
