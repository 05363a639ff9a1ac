//! Many drafts at once: one look at gate, roster and place, and one synced write, serve them all.
//!
//! ```text
//! queue ─▶ as many as fit ─by group─▶ read ─────────▶ sealed and signed ─▶ rows ─────────▶ one write
//!                                     side by side    link by link         side by side
//! ```
//!
//! Every message names the one before it by a hash over all of it, so sealing goes in the order of the log; what comes
//! before and behind needs no order. A draft that is refused takes no place: the next one stands where it would have.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use belfry_proto::{
    envelope::{ContentKey, Decoded, Position, Publication},
    id::{GroupId, PublicationId},
    schema::Audience,
    time::Timestamp,
    trust::roster::Roster,
};
use tokio::task::spawn_blocking;

use super::{
    flush::stopped,
    seal::{self, SealError, Sealed},
};
use crate::{
    clock,
    identity::Identity,
    store::{Change, DraftRow, DraftState, Prepared, ReadError, Store},
};

/// Drafts taken at once: half of what one synced batch holds. Too low ⇒ more syncs, too high ⇒ whoever submits meanwhile
/// waits longer for the writer.
pub(super) const AT_ONCE: usize = 128;
/// Bytes of content after which no further draft is taken: they lie in memory as they came and sealed. A larger draft
/// goes alone.
const BYTES: usize = 2 << 20;
/// Drafts for which another thread is worth waking.
const SHARE: usize = 16;

/// Drafts that wait, oldest first in each group.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) groups: Vec<(GroupId, Vec<DraftRow>)>,
    /// There may be more.
    pub(super) more: bool,
}

impl Waiting {
    /// As many as fit, from the front of the queue, of those that need none of the keys that wait for a holder; while new data
    /// has to wait, of those that take back.
    pub(super) fn read(
        store: &Store,
        data_waits: bool,
        without_holder: &BTreeSet<(GroupId, Audience)>,
    ) -> Result<Self, ReadError> {
        let queued = match data_waits {
            true => store.queued_withdrawals(AT_ONCE)?,
            false => store.queued_besides(without_holder, AT_ONCE)?,
        };
        let mut waiting = Self { groups: Vec::new(), more: queued.len() == AT_ONCE };
        let mut room = BYTES;
        for publication in queued {
            if room == 0 {
                waiting.more = true;
                break;
            }
            let draft = match store.draft(publication) {
                Ok(Some(draft)) if draft.state == DraftState::Queued => draft,
                Ok(_) => continue,
                // One damaged row does not keep the others back.
                Err(error) => {
                    tracing::error!(%publication, "draft cannot be read: {error}");
                    continue;
                }
            };
            room = room.saturating_sub(draft.parts.iter().map(Vec::len).sum());
            match waiting.groups.iter_mut().find(|(group, _)| *group == draft.group) {
                Some((_, drafts)) => drafts.push(draft),
                None => waiting.groups.push((draft.group, vec![draft])),
            }
        }
        Ok(waiting)
    }
}

/// Under what drafts are sealed. Clones share it.
#[derive(Clone)]
pub(super) struct Sealing {
    pub(super) store: Store,
    pub(super) identity: Arc<Identity>,
    pub(super) roster: Arc<Roster>,
    /// Drafts that are not in the store yet: they are written with their messages.
    pub(super) straight: bool,
}

/// A draft's messages, ready to be made durable with its new state.
pub(super) struct Flushing {
    pub(super) publication: PublicationId,
    pub(super) change: Prepared,
    pub(super) gossip: Vec<Vec<u8>>,
}

/// What came of drafts of one group.
#[derive(Default)]
pub(super) struct Batch {
    /// In log order, each behind the one before.
    pub(super) sealed: Vec<Flushing>,
    /// Never become messages, and why.
    pub(super) refused: Vec<(PublicationId, SealError)>,
    /// The place behind what was signed, whatever becomes of it.
    pub(super) next: Option<Position>,
}

/// A draft with its content in clear.
type Open = (DraftRow, Vec<Publication>);
/// The same with its messages, and when they were signed.
type Signed = (Open, Vec<Decoded>, Timestamp);
/// Of which draft.
type Of<T> = (PublicationId, Result<T, SealError>);

impl Sealing {
    /// Seals drafts of one group from `position` on, in their order. Nothing is durable yet. None while the node stops.
    pub(super) async fn seal(
        self,
        drafts: Vec<DraftRow>,
        position: Position,
        keys: BTreeMap<Audience, ContentKey>,
    ) -> Option<Batch> {
        let mut batch = Batch::default();
        let this = self.clone();
        let open = batch.kept(side_by_side(drafts, move |draft| this.open(draft)).await?);
        let this = self.clone();
        let (signed, next) = spawn_blocking(move || this.sign(open, position, &keys)).await.ok()?;
        let signed = batch.kept(signed);
        batch.next = Some(next);
        batch.end(side_by_side(signed, move |signed| self.prepare(signed)).await?);
        Some(batch)
    }

    /// [`Self::seal`] of a few small ones, on this very thread.
    pub(super) fn seal_here(
        &self,
        drafts: Vec<DraftRow>,
        position: Position,
        keys: &BTreeMap<Audience, ContentKey>,
    ) -> Batch {
        let mut batch = Batch::default();
        let open = batch.kept(drafts.into_iter().map(|draft| self.open(draft)).collect());
        let (signed, next) = self.sign(open, position, keys);
        let signed = batch.kept(signed);
        batch.next = Some(next);
        batch.end(signed.into_iter().map(|signed| self.prepare(signed)).collect());
        batch
    }

    fn open(&self, draft: DraftRow) -> Of<Open> {
        let contents = caught(|| seal::contents(&draft, &self.identity, &self.roster));
        (draft.publication, contents.map(|contents| (draft, contents)))
    }

    fn sign(
        &self,
        open: Vec<Open>,
        mut position: Position,
        keys: &BTreeMap<Audience, ContentKey>,
    ) -> (Vec<Of<Signed>>, Position) {
        let mut signed = Vec::with_capacity(open.len());
        for (draft, contents) in open {
            let (now, key) = (clock::now(), keys.get(&draft.audience));
            // The moment came from which it would belong into no log, and what follows it neither: it waits.
            if !draft.parts.is_empty() && stopped(&self.roster, self.identity.member, now).is_some() {
                continue;
            }
            let messages = caught(|| seal::sign(&draft, position, key, &self.identity, &self.roster, now));
            let publication = draft.publication;
            let messages = messages.map(|(messages, after)| {
                position = after;
                ((draft, contents), messages, now)
            });
            signed.push((publication, messages));
        }
        (signed, position)
    }

    fn prepare(&self, ((draft, contents), messages, now): Signed) -> Of<Flushing> {
        let publication = draft.publication;
        let prepared = caught(|| {
            let Sealed { rows: envelopes, gossip } = seal::rows(&contents, messages, &self.roster, now);
            let change = match self.straight {
                true => Change::Published { draft, envelopes },
                false => Change::Flushed { publication, envelopes },
            };
            Ok(Flushing { publication, change: self.store.prepare(change), gossip })
        });
        (publication, prepared)
    }
}

impl Batch {
    /// What is not refused.
    fn kept<T>(&mut self, results: Vec<Of<T>>) -> Vec<T> {
        let kept = results.into_iter().filter_map(|(publication, result)| match result {
            Ok(kept) => Some(kept),
            // Nothing is wrong with it: it waits until the store reads again.
            Err(error @ SealError::Read(_)) => {
                tracing::error!(%publication, "a draft stays queued: {error}");
                None
            }
            Err(error) => {
                self.refused.push((publication, error));
                None
            }
        });
        kept.collect()
    }

    fn end(&mut self, prepared: Vec<Of<Flushing>>) {
        for (publication, prepared) in prepared {
            match prepared {
                Ok(prepared) => self.sealed.push(prepared),
                Err(error) => {
                    // What stands behind it names its messages: it is sealed again without them.
                    self.refused.push((publication, error));
                    return;
                }
            }
        }
    }
}

/// A panic over one draft is that draft's alone.
fn caught<T>(work: impl FnOnce() -> Result<T, SealError>) -> Result<T, SealError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(SealError::Panicked))
}

/// Works on each, some on every thread; what came of them, in their order. None while the node stops.
async fn side_by_side<T: Send + 'static, R: Send + 'static>(
    mut items: Vec<T>,
    work: impl Fn(T) -> R + Clone + Send + 'static,
) -> Option<Vec<R>> {
    let mut shares = Vec::new();
    while !items.is_empty() {
        let rest = items.split_off(SHARE.min(items.len()));
        let (share, work) = (std::mem::replace(&mut items, rest), work.clone());
        shares.push(spawn_blocking(move || share.into_iter().map(work).collect::<Vec<R>>()));
    }
    let mut done = Vec::new();
    for share in shares {
        done.extend(share.await.ok()?);
    }
    Some(done)
}
