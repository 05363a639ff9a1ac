//! Renderings kept while they stay true.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use belfry_proto::time::Timestamp;
use tokio::sync::Semaphore;

use super::{Files, render};
use crate::{
    api::problem::Problem,
    clock,
    config::Format,
    query::{Edition, Groups, Principal, Query, QueryError, Snapshot},
};

/// How long a rendering is used again although nothing changed: scores in it age.
const MOST: Duration = Duration::from_secs(60);
/// Bytes of renderings kept. Too low ⇒ every poll of a large list scans the store again; too high ⇒ a small host pays
/// for lists that nobody asks for any more.
const KEPT: usize = 64 << 20;
/// Exports made at once. Too low ⇒ a small list waits for a large one; too high ⇒ tools that poll alike scan the store
/// side by side, and everybody else waits.
const MAKING: usize = 2;
/// About what one entry of a snapshot weighs.
const ENTRY: usize = 400;
/// A list that shrinks or grows by more than half, and by so many, is told of.
const REMARKABLE: usize = 100;

/// An export as served.
pub(in crate::api) struct Rendered {
    pub(in crate::api) files: Files,
    /// Its values; its objects are in the files, and counted.
    pub(in crate::api) snapshot: Snapshot,
    pub(in crate::api) objects: usize,
    /// Hash over all files, serial aside.
    content: [u8; 32],
    serial: u32,
    edition: Edition,
    until: Timestamp,
}

/// What a rendering depends on besides the profile.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    export: String,
    groups: Option<Vec<u32>>,
    ceiling: &'static str,
    red: bool,
}

/// The cache.
pub(in crate::api) struct Cache {
    kept: Mutex<HashMap<Key, Arc<Rendered>>>,
    making: Semaphore,
}

impl Default for Cache {
    fn default() -> Self {
        Self { kept: Mutex::default(), making: Semaphore::new(MAKING) }
    }
}

impl Rendered {
    /// What stands in it: values, or, where the format has rules instead, the rules written.
    pub(in crate::api) fn entries(&self) -> usize {
        match self.snapshot.export.format {
            Format::Rules => {
                self.objects.saturating_sub(usize::try_from(self.files.unwritable).unwrap_or(usize::MAX))
            }
            _ => self.snapshot.entries.len(),
        }
    }

    fn bytes(&self) -> usize {
        let files: usize = self.files.files.values().map(|file| file.bytes.len()).sum();
        files + self.snapshot.entries.len() * ENTRY
    }
}

impl Cache {
    /// The export as the principal may have it now.
    pub(in crate::api) async fn rendered(
        &self,
        query: &Query,
        principal: &Principal,
        name: &str,
    ) -> Result<Arc<Rendered>, Problem> {
        query.export_named(principal, name)?;
        let key = Key::of(principal, name);
        if let Some(kept) = self.still(&key, edition(query).await?) {
            return Ok(kept);
        }
        let _turn = self.making.acquire().await.map_err(|error| Problem::unavailable(&error))?;
        // Another request may have made it meanwhile.
        let edition = edition(query).await?;
        if let Some(kept) = self.still(&key, edition) {
            return Ok(kept);
        }
        let before = self.lock().get(&key).cloned();
        let snapshot = query.export(principal, name).await.map_err(refused)?;
        let (query, kept) = (query.clone(), before.clone());
        let made =
            tokio::task::spawn_blocking(move || make(snapshot, &query, kept.as_deref(), edition)).await;
        let made = Arc::new(made.map_err(|error| Problem::unavailable(&error))??);
        remark(name, before.as_deref(), &made);
        self.keep(key, &made);
        Ok(made)
    }

    /// A rendering that is still true.
    fn still(&self, key: &Key, edition: Edition) -> Option<Arc<Rendered>> {
        let kept = self.lock();
        kept.get(key).filter(|kept| kept.edition == edition && clock::now() < kept.until).cloned()
    }

    fn keep(&self, key: Key, made: &Arc<Rendered>) {
        let mut kept = self.lock();
        kept.remove(&key);
        let mut bytes: usize = kept.values().map(|rendered| rendered.bytes()).sum();
        while bytes.saturating_add(made.bytes()) > KEPT {
            let oldest =
                kept.iter().min_by_key(|(_, rendered)| rendered.snapshot.made).map(|(key, _)| key.clone());
            match oldest.and_then(|oldest| kept.remove(&oldest)) {
                Some(gone) => bytes = bytes.saturating_sub(gone.bytes()),
                None => return,
            }
        }
        kept.insert(key, Arc::clone(made));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Rendered>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// May look at files, and so waits where it may.
async fn edition(query: &Query) -> Result<Edition, Problem> {
    let query = query.clone();
    let edition = tokio::task::spawn_blocking(move || query.edition()).await;
    edition.map_err(|error| Problem::unavailable(&error))
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
    query: &Query,
    before: Option<&Rendered>,
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
    if snapshot.export.format == Format::Rpz {
        files = render(shown, query, serial)?;
    }
    let until = snapshot.changes.min(snapshot.made.saturating_add(MOST));
    let objects = std::mem::take(&mut snapshot.objects).len();
    Ok(Rendered { files, snapshot, objects, content, serial, edition, until })
}

fn remark(name: &str, before: Option<&Rendered>, made: &Rendered) {
    let size = |rendered: &Rendered| rendered.snapshot.entries.len().max(rendered.objects);
    let Some(old) = before.map(size) else { return };
    let new = size(made);
    if old.abs_diff(new) > REMARKABLE && (new < old / 2 || new / 2 > old) {
        tracing::warn!(export = name, old, new, "export {name} went from {old} to {new} entries");
    }
}

impl Files {
    fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (name, file) in &self.files {
            hasher.update(&(name.len() as u64).to_be_bytes()).update(name.as_bytes());
            hasher.update(&(file.bytes.len() as u64).to_be_bytes()).update(&file.bytes);
        }
        *hasher.finalize().as_bytes()
    }
}

impl Key {
    fn of(principal: &Principal, export: &str) -> Self {
        let scope = principal.scope();
        let groups = match &scope.read {
            Groups::All => None,
            Groups::Only(groups) => Some(groups.iter().map(|group| group.get()).collect()),
        };
        Self { export: export.to_owned(), groups, ceiling: scope.ceiling.as_str(), red: scope.red }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[test]
    fn an_export_that_cannot_be_made_is_503_and_never_empty() {
        for error in [QueryError::Died, QueryError::Busy, QueryError::TooLarge(1)] {
            assert_eq!(refused(error).into_response().status(), 503);
        }
        assert_eq!(refused(QueryError::UnknownExport).into_response().status(), 404);
    }
}
