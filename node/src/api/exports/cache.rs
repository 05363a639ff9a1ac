//! Renderings kept while they stay true, and for longer what tells that they are.
//!
//! A rendering is large and gives way to others; its outline is small and stays. So a tool that has an edition is told
//! that it is still in force without anything being made, however large the list. What is made, is made for all who ask
//! meanwhile, and to its end ([`super::making`]); kept, it is packed ([`super::pack`]).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_proto::time::Timestamp;
use tokio::sync::Semaphore;

use super::{
    Files, lines,
    making::{Makings, Outcome},
    render,
    swings::{Swings, swing},
};
use crate::{
    api::problem::Problem,
    clock,
    config::Format,
    query::{Edition, Groups, Principal, Query, QueryError, Snapshot},
};

/// How long a rendering with scores in it is used again although nothing changed: they age.
const MOST: Duration = Duration::from_secs(60);
/// The same of every other, should something change by time alone that the gathering does not foresee. What is made anew
/// and equal has its old digest, so a tool that asks whether it changed is still told that it did not.
const MOST_OF_ANY: Duration = Duration::from_secs(300);
/// Bytes of renderings kept. Too low ⇒ every poll of a large list scans the store again; too high ⇒ a small host pays
/// for lists that nobody asks for any more.
const KEPT: usize = 64 << 20;
/// What a rendering weighs besides its bytes: without it, lists of nothing would be kept without end.
const LEAST: usize = 4 << 10;
/// Outlines kept, a kilobyte each.
const OUTLINES: usize = 1_000;
/// Outlines of what was cut from one, the newest. Too low ⇒ firewalls with room for different numbers have their lists cut at each
/// poll, though nothing changed, too high ⇒ whoever asks for one number after the other makes each outline so much heavier.
const CUTS: usize = 16;
/// Exports made at once. Too low ⇒ a small list waits for a large one; too high ⇒ tools that poll alike scan the store
/// side by side, and everybody else waits.
const MAKING: usize = 2;
/// About what one entry of a snapshot weighs.
const ENTRY: usize = 400;
/// Entries that a report shows, and that are kept where nothing else needs them.
pub(in crate::api) const REPORTED: usize = 1_000;

/// What is known of an export without its bytes: enough to say that it is the same as before, for as long as it is.
pub(in crate::api) struct Outline {
    /// MD5 of each file, by name.
    digests: BTreeMap<String, String>,
    main: Option<String>,
    /// Values in it.
    values: usize,
    /// Objects in it.
    pub(in crate::api) objects: usize,
    /// What stands in it ([`Snapshot::stand`]); of rules, those that are written.
    pub(in crate::api) entries: usize,
    /// Hash over all files, serial aside.
    content: [u8; 32],
    serial: u32,
    edition: Edition,
    made: Timestamp,
    until: Timestamp,
    /// Of a ranked list: the best of it, by how many.
    cuts: Mutex<Vec<(usize, Arc<Outline>)>>,
}

/// An export as served.
pub(in crate::api) struct Rendered {
    pub(in crate::api) files: Files,
    /// Its values, all where the format is searched and else the first [`REPORTED`]; its objects are in the files.
    pub(in crate::api) snapshot: Snapshot,
    pub(in crate::api) outline: Arc<Outline>,
}

/// An export, and how much of it.
#[derive(Clone, Debug)]
pub(in crate::api) struct Asked {
    name: String,
    /// Values of one file at most, the best ones; of plain lists alone.
    most: Option<usize>,
}

impl Asked {
    /// The `most` values of each file of a plain list that score highest, and of those that score alike the newest.
    pub(in crate::api) fn best(name: &str, most: usize) -> Self {
        Self { name: name.to_owned(), most: Some(most) }
    }
}

impl From<&str> for Asked {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), most: None }
    }
}

/// What a rendering depends on besides the profile. How many values are asked for is no part of it: they are cut from one that
/// has all, or whoever asks for one number after the other would have each made, and others' put out.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    name: String,
    /// Its values can be told the best first.
    is_ranked: bool,
    groups: Option<Vec<u32>>,
    ceiling: &'static str,
    red: bool,
    audience: &'static str,
}

#[derive(Default)]
struct Kept {
    outlines: HashMap<Key, Arc<Outline>>,
    renderings: HashMap<Key, Arc<Rendered>>,
    makings: Makings<Key>,
    swings: Swings,
}

/// The cache. Clones share it.
#[derive(Clone)]
pub(in crate::api) struct Cache {
    kept: Arc<Mutex<Kept>>,
    making: Arc<Semaphore>,
    /// Unpacks a list whole: as many at once as are made.
    cutting: Arc<Semaphore>,
}

impl Default for Cache {
    fn default() -> Self {
        let [making, cutting] = [MAKING, MAKING].map(|turns| Arc::new(Semaphore::new(turns)));
        Self { kept: Arc::default(), making, cutting }
    }
}

/// What becomes of a rendering once it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// It is kept for the next request.
    Whole,
    /// Only what tells whether it changed: what tools poll is not put out for it.
    Outline,
}

impl Outline {
    /// MD5 of a file, in hex.
    pub(in crate::api) fn digest(&self, file: &str) -> Option<&str> {
        self.digests.get(file).map(String::as_str)
    }

    /// MD5 of the main one.
    pub(in crate::api) fn main(&self) -> Option<&str> {
        self.digest(self.main.as_deref()?)
    }

    fn is_true(&self, edition: &Edition) -> bool {
        self.edition == *edition && clock::now() < self.until
    }

    fn cuts(&self) -> MutexGuard<'_, Vec<(usize, Arc<Self>)>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the best so many of it.
    fn cut(&self, most: usize) -> Option<Arc<Self>> {
        self.cuts().iter().find(|(of, _)| *of == most).map(|(_, cut)| Arc::clone(cut))
    }

    fn keep_cut(&self, most: usize, cut: &Arc<Self>) {
        let mut cuts = self.cuts();
        cuts.retain(|(of, _)| *of != most);
        if cuts.len() == CUTS {
            cuts.remove(0);
        }
        cuts.push((most, Arc::clone(cut)));
    }
}

impl Rendered {
    /// The events of a MISP feed, one after the other.
    pub(in crate::api) fn events(&self) -> impl Iterator<Item = Result<serde_json::Value, Problem>> + '_ {
        let main = self.files.main.as_deref();
        let is_event = move |name: &str| name.ends_with(".json") && Some(name) != main;
        self.files.files.iter().filter(move |(name, _)| is_event(name)).map(|(_, file)| {
            let bytes = file.body.unpacked().map_err(|error| Problem::unavailable(&error))?;
            let read: Result<serde_json::Value, _> = serde_json::from_slice(&bytes);
            let mut read = read.map_err(|error| Problem::unavailable(&error))?;
            Ok(read.get_mut("Event").map(serde_json::Value::take).unwrap_or_default())
        })
    }

    fn bytes(&self) -> usize {
        let files: usize = self.files.files.values().map(|file| file.body.weight()).sum();
        let ranks: usize = self.files.order.values().map(|order| order.len() * size_of::<u32>()).sum();
        LEAST + files + ranks + self.snapshot.entries.len() * ENTRY
    }
}

impl Rendered {
    /// The best so many lines of each file, an edition for itself.
    fn cut(&self, most: usize) -> Result<Self, Problem> {
        let (files, entries) = lines::cut(&self.files, most).map_err(|error| Problem::unavailable(&error))?;
        let whole = &self.outline;
        let outline = Arc::new(Outline {
            digests: files.digests(),
            main: files.main.clone(),
            values: entries,
            objects: 0,
            entries,
            content: whole.content,
            serial: whole.serial,
            edition: whole.edition.clone(),
            made: whole.made,
            until: whole.until,
            cuts: Mutex::default(),
        });
        whole.keep_cut(most, &outline);
        Ok(Self { files, snapshot: self.snapshot.emptied(), outline })
    }
}

impl Cache {
    /// What is known of the export as the principal may have it now, if that is known without making it.
    pub(in crate::api) async fn outline(
        &self,
        query: &Query,
        principal: &Principal,
        asked: &Asked,
    ) -> Result<Option<Arc<Outline>>, Problem> {
        let edition = edition(query, principal, &asked.name).await?;
        let known = self.lock().outlines.get(&Key::of(principal, asked)).cloned();
        let known = known.filter(|known| known.is_true(&edition));
        Ok(match asked.most {
            Some(most) => known.and_then(|known| known.cut(most)),
            None => known,
        })
    }

    /// The export as the principal may have it now.
    pub(in crate::api) async fn rendered(
        &self,
        query: &Query,
        principal: &Principal,
        asked: &Asked,
    ) -> Result<Arc<Rendered>, Problem> {
        let whole = self.made(query, principal, asked, Keep::Whole).await?;
        let Some(most) = asked.most else { return Ok(whole) };
        in_turn(&self.cutting, move || whole.cut(most)).await?.map(Arc::new)
    }

    /// What the export comes to, for who only counts: what tools poll is not put out of the cache for it.
    pub(in crate::api) async fn counted(
        &self,
        query: &Query,
        principal: &Principal,
        name: &str,
    ) -> Result<Arc<Outline>, Problem> {
        let asked = Asked::from(name);
        if let Some(known) = self.outline(query, principal, &asked).await? {
            return Ok(known);
        }
        let made = self.made(query, principal, &asked, Keep::Outline).await?;
        Ok(Arc::clone(&made.outline))
    }

    async fn made(&self, query: &Query, principal: &Principal, asked: &Asked, keep: Keep) -> Outcome {
        let key = Key::of(principal, asked);
        let begun = self.lock().makings.begun();
        let edition = edition(query, principal, &asked.name).await?;
        loop {
            let (making, teller) = {
                let mut kept = self.lock();
                if let Some(still) = kept.still(&key, &edition) {
                    return Ok(still);
                }
                kept.makings.join(key.clone())
            };
            if let Some(teller) = teller {
                let (this, query, key) = (self.clone(), query.clone(), key.clone());
                let principal = principal.clone();
                // A task of its own: who asked may go away, and comes back for what was begun.
                tokio::spawn(async move {
                    let outcome = this.make(&query, &principal, &key).await;
                    let mut kept = this.lock();
                    if let Ok(made) = &outcome {
                        kept.keep(&key, made, keep);
                    }
                    kept.makings.over(&key);
                    drop(kept);
                    // Nobody may be waiting any more.
                    let _ = teller.send(Some(outcome));
                });
            }
            let is_after = making.is_after(begun);
            let died = || Problem::unavailable(&QueryError::Died);
            let made = making.outcome().await.ok_or_else(died)??;
            if is_after || made.outline.is_true(&edition) {
                if keep == Keep::Whole {
                    self.lock().keep(&key, &made, keep);
                }
                return Ok(made);
            }
        }
    }

    async fn make(&self, query: &Query, principal: &Principal, key: &Key) -> Outcome {
        let (name, is_ranked) = (&key.name, key.is_ranked);
        let _turn = self.making.acquire().await.map_err(|error| Problem::unavailable(&error))?;
        let edition = edition(query, principal, name).await?;
        let before = self.lock().outlines.get(key).cloned();
        let snapshot = query.export(principal, name).await.map_err(refused)?;
        let (query, known) = (query.clone(), before.clone());
        let made =
            tokio::task::spawn_blocking(move || make(snapshot, is_ranked, &query, known.as_deref(), edition));
        let made = made.await;
        let made = Arc::new(made.map_err(|error| Problem::unavailable(&error))??);
        self.remark(name, before.as_deref(), &made.outline);
        Ok(made)
    }

    /// What an operator should know of lists that changed much at once.
    pub(in crate::api) fn swings(&self) -> Vec<String> {
        self.lock().swings.told(clock::now())
    }

    fn remark(&self, name: &str, before: Option<&Outline>, made: &Outline) {
        let size = |outline: &Outline| outline.values.max(outline.objects);
        let Some(old) = before.map(size) else { return };
        let new = size(made);
        if let Some(swing) = swing(old, new) {
            tracing::warn!(export = name, old, new, "export {name} went from {old} to {new} entries");
            self.lock().swings.note(name, swing, made.made);
        }
    }

    /// How many outlines are kept, and renderings.
    #[cfg(test)]
    pub(in crate::api) fn kept(&self) -> (usize, usize) {
        let kept = self.lock();
        (kept.outlines.len(), kept.renderings.len())
    }

    /// How many are being made, or wait for that.
    #[cfg(test)]
    pub(in crate::api) fn under_way(&self) -> usize {
        self.lock().makings.len()
    }

    /// As while others are being made.
    #[cfg(test)]
    pub(in crate::api) fn without_turns(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.making.try_acquire_many(u32::try_from(MAKING).unwrap_or_default()).ok()
    }

    /// As after lists that are too large to be kept, while others are being made.
    #[cfg(test)]
    pub(in crate::api) fn without_room(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.lock().renderings.clear();
        self.without_turns()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// A rendering that is still true.
    fn still(&self, key: &Key, edition: &Edition) -> Option<Arc<Rendered>> {
        self.renderings.get(key).filter(|kept| kept.outline.is_true(edition)).cloned()
    }

    fn keep(&mut self, key: &Key, made: &Arc<Rendered>, keep: Keep) {
        self.outlines.insert(key.clone(), Arc::clone(&made.outline));
        if self.outlines.len() > OUTLINES
            && let Some(oldest) = oldest(self.outlines.iter().map(|(key, outline)| (key, outline.made)))
        {
            self.outlines.remove(&oldest);
        }
        if keep == Keep::Outline {
            return;
        }
        self.renderings.remove(key);
        let mut bytes: usize = self.renderings.values().map(|rendered| rendered.bytes()).sum();
        while bytes.saturating_add(made.bytes()) > KEPT {
            let oldest = oldest(self.renderings.iter().map(|(key, rendered)| (key, rendered.outline.made)));
            match oldest.and_then(|oldest| self.renderings.remove(&oldest)) {
                Some(gone) => bytes = bytes.saturating_sub(gone.bytes()),
                None => return,
            }
        }
        self.renderings.insert(key.clone(), Arc::clone(made));
    }
}

fn oldest<'a>(kept: impl Iterator<Item = (&'a Key, Timestamp)>) -> Option<Key> {
    kept.min_by_key(|(_, made)| *made).map(|(key, _)| key.clone())
}

/// Work on a thread that may wait. It has its turn until it is done, whoever goes away meanwhile: nothing stops it.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let turn = Arc::clone(turns).acquire_owned().await.map_err(|error| Problem::unavailable(&error))?;
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    done.await.map_err(|error| Problem::unavailable(&error))
}

/// May look at files, and so waits where it may.
async fn edition(query: &Query, principal: &Principal, name: &str) -> Result<Edition, Problem> {
    let (query, principal, name) = (query.clone(), principal.clone(), name.to_owned());
    let edition = tokio::task::spawn_blocking(move || query.edition(&principal, &name)).await;
    Ok(edition.map_err(|error| Problem::unavailable(&error))??)
}

/// For how long a rendering is used again although nothing is known to have changed.
const fn most(format: Format) -> Duration {
    match format {
        Format::Csv | Format::SplunkEs | Format::Rules => MOST,
        Format::List | Format::Stix | Format::Suricata | Format::Zeek | Format::Rpz | Format::Misp => {
            MOST_OF_ANY
        }
    }
}

/// An export that cannot be made is an error of its own kind: a tool takes an empty list for the truth.
fn refused(error: QueryError) -> Problem {
    match Problem::from(error) {
        problem if problem.is_ours() => problem.into_unavailable(),
        problem => problem,
    }
}

fn make(
    mut snapshot: Snapshot,
    is_ranked: bool,
    query: &Query,
    before: Option<&Outline>,
    edition: Edition,
) -> Result<Rendered, Problem> {
    // A shadow's tool sees nothing, its report all.
    let nothing = snapshot.export.shadow.then(|| snapshot.emptied());
    let shown = nothing.as_ref().unwrap_or(&snapshot);
    let mut files = render(shown, query, 0)?;
    let content = files.hash();
    // A zone's serial moves with its content only, and never back.
    let fresh = u32::try_from(snapshot.made.as_micros() / 1_000_000).unwrap_or(u32::MAX);
    let serial = match before {
        Some(before) if before.content == content => before.serial,
        Some(before) => fresh.max(before.serial.saturating_add(1)),
        None => fresh,
    };
    let format = snapshot.export.format;
    if format == Format::Rpz {
        files = render(shown, query, serial)?;
    }
    if is_ranked {
        files.order = lines::order(shown);
    }
    // Which are the best is a matter of scores, too.
    let aged = snapshot.made.saturating_add(if is_ranked { MOST } else { most(format) });
    let stand = snapshot.stand();
    let (values, objects) = (snapshot.entries.len(), std::mem::take(&mut snapshot.objects).len());
    snapshot.referred = Vec::new();
    if format != Format::Misp {
        snapshot.entries.truncate(REPORTED);
        snapshot.entries.shrink_to_fit();
    }
    let entries = match format {
        Format::Rules => stand.saturating_sub(usize::try_from(files.unwritable).unwrap_or(usize::MAX)),
        _ => stand,
    };
    let (digests, main) = (files.digests(), files.main.clone());
    let (made, until, cuts) = (snapshot.made, snapshot.changes.min(aged), Mutex::default());
    files.pack();
    let outline =
        Outline { digests, main, values, objects, entries, content, serial, edition, made, until, cuts };
    Ok(Rendered { files, snapshot, outline: Arc::new(outline) })
}

impl Files {
    /// MD5 of each, by name.
    fn digests(&self) -> BTreeMap<String, String> {
        self.files.iter().map(|(name, file)| (name.clone(), file.md5.clone())).collect()
    }

    fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (name, file) in &self.files {
            hasher.update(&(name.len() as u64).to_be_bytes()).update(name.as_bytes());
            file.body.digest_into(&mut hasher);
        }
        *hasher.finalize().as_bytes()
    }

    pub(super) fn pack(&mut self) {
        for file in self.files.values_mut() {
            file.body = file.body.clone().packed();
        }
    }
}

impl Key {
    fn of(principal: &Principal, asked: &Asked) -> Self {
        let scope = principal.scope();
        let groups = match &scope.read {
            Groups::All => None,
            Groups::Only(groups) => Some(groups.iter().map(|group| group.get()).collect()),
        };
        let (ceiling, red, audience) = (scope.ceiling.as_str(), scope.red, scope.audience.as_str());
        let (name, is_ranked) = (asked.name.clone(), asked.most.is_some());
        Self { name, is_ranked, groups, ceiling, red, audience }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[tokio::test]
    async fn work_keeps_its_turn_when_whoever_asked_for_it_goes_away() {
        let turns = Arc::new(Semaphore::new(1));
        let (begins, begun) = tokio::sync::oneshot::channel();
        let (goes, go) = std::sync::mpsc::channel::<()>();
        let of = Arc::clone(&turns);
        let asked = tokio::spawn(async move {
            let work = move || {
                begins.send(()).unwrap();
                go.recv().unwrap();
            };
            in_turn(&of, work).await.is_ok()
        });
        begun.await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(turns.available_permits(), 0, "it goes on");
        goes.send(()).unwrap();
        assert!(turns.acquire().await.is_ok());
    }

    #[test]
    fn an_export_that_cannot_be_made_is_503_and_never_empty() {
        for error in [QueryError::Died, QueryError::Busy, QueryError::TooLarge(1)] {
            assert_eq!(refused(error).into_response().status(), 503);
        }
        assert_eq!(refused(QueryError::UnknownExport).into_response().status(), 404);
    }
}
