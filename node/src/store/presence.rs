//! What was ever entered, in memory: nearly all looks are for what nobody entered, and that is told without the disk. So is where
//! a value is named, if that is in one row.
//!
//! One [`Bloom`] holds, by the beginning of their keys, the values of the index of observables, the objects that have a
//! row, those that have a second one, and the rows that somebody else says, too. It denies only what is surely not there.
//! Beside it lies [`NamedOnce`], of the same keys and as long: the two are a filter.
//!
//! ```text
//! start, or room used up ─▶ a new filter is kept, and what is to be read seen ─▶ all keys read ─▶ it is the one asked
//! batch ─▶ entered in every filter that is kept ─▶ written                    (before: the disk, or the filter before)
//! ```
//!
//! A filter misses no row: between being entered and being written no batch lets a filling begin. So a batch that was
//! written before is among the keys that the filling reads, and a later one finds the new filter kept. Rows that go leave
//! their bits, until the next filling, and their values to the index; a batch whose write fails leaves as much for nothing.
//!
//! A filling that meets damage is given up, and the disk asked as before it: the damage is told by whoever reads what it
//! befell.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use arc_swap::ArcSwapOption;
use rocksdb::{DBRawIterator, ReadOptions, properties::ESTIMATE_NUM_KEYS};

use super::{
    Store,
    bloom::Bloom,
    columns::Cf,
    db::Db,
    named_once::{NamedOnce, Value},
    txn::Rows,
};

/// Columns whose keys are entered.
const COLUMNS: [Cf; 3] = [Cf::Observables, Cf::ById, Cf::Reporters];
/// Keys that a filling reads before it enters them. Too low ⇒ it takes turns with the writer more often, too high ⇒ the
/// writer waits longer, and so does whoever closes the store.
const STRETCH: usize = 1024;

/// What is asked for, by the beginning of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A value, as the index of observables has it: group ‖ H(kind, value).
    Value,
    /// An object with a row: group ‖ H(object id).
    Object,
    /// An object with more than one: as above.
    Repeated,
    /// A row that others say, too: group ‖ date added.
    Reported,
}

impl Of {
    /// Bytes of a key that name it.
    const fn len(self) -> usize {
        match self {
            Self::Value | Self::Object | Self::Repeated => 4 + 16,
            Self::Reported => 4 + 8,
        }
    }

    /// Hash of what `key` begins with. Hashes in keys are keyed and dates this node's own: nobody outside chooses what
    /// falls together.
    fn hash(self, key: &[u8]) -> u64 {
        let begin = key.get(..self.len()).unwrap_or(key);
        begin.chunks(8).fold(mix(self as u64 + 1), |hash, chunk| {
            mix(hash ^ chunk.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)))
        })
    }
}

/// Every bit of the result depends on each of `n` (the last steps of `SplitMix64`).
const fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// A value by its key in the index of observables, or what that begins with: group ‖ H(kind, value).
fn value(key: &[u8]) -> Option<Value> {
    let tag = key.get(..Of::Value.len())?.last_chunk()?;
    Some(Value::new(Of::Value.hash(key), u64::from_be_bytes(*tag)))
}

/// The date of an entry of that index: group ‖ H(kind, value) ‖ member ‖ date added.
fn date(key: &[u8]) -> Option<u64> {
    let date: [u8; 8] = key.get(Of::Value.len() + 16..)?.try_into().ok()?;
    Some(u64::from_be_bytes(date))
}

/// What is entered in a filter.
#[derive(Clone, Copy)]
enum Entry {
    Row(u64),
    /// A row of the index of observables; if its key has no date, the value is left to the index.
    Named(Value, Option<u64>),
    /// A row of an object, and what is entered if that had one before. Each row comes once, so that is one which has more; a
    /// row that is written anew counts as another, which costs a look.
    Object(u64, u64),
}

impl Entry {
    /// What a row is entered as, by its key.
    fn of(cf: Cf, key: &[u8]) -> Option<Self> {
        match cf {
            Cf::Observables => Some(match value(key) {
                Some(value) => Self::Named(value, date(key)),
                None => Self::Row(Of::Value.hash(key)),
            }),
            Cf::Reporters => Some(Self::Row(Of::Reported.hash(key))),
            Cf::ById => Some(Self::Object(Of::Object.hash(key), Of::Repeated.hash(key))),
            _ => None,
        }
    }
}

/// What is there, and which values are named by one row.
struct Filter {
    bloom: Bloom,
    named_once: NamedOnce,
}

impl Filter {
    fn enter(&self, entries: impl IntoIterator<Item = Entry>) {
        let (mut bloom, mut named_once) = (self.bloom.entering(), self.named_once.entering());
        for entry in entries {
            match entry {
                Entry::Row(hash) => _ = bloom.enter(hash),
                Entry::Named(value, date) => {
                    bloom.enter(value.hash());
                    match date {
                        Some(date) => named_once.enter(value, date),
                        None => named_once.doubt(value),
                    }
                }
                Entry::Object(hash, repeated) => {
                    if bloom.enter(hash) {
                        bloom.enter(repeated);
                    }
                }
            }
        }
    }

    /// Leaves the values of these entries to the index.
    fn doubt<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        let mut named_once = self.named_once.entering();
        keys.filter_map(value).for_each(|value| named_once.doubt(value));
    }

    /// Whether one with more room should take its place.
    fn is_full(&self) -> bool {
        self.bloom.is_full() || self.named_once.is_full()
    }

    /// Bytes of memory.
    fn size(&self) -> usize {
        self.bloom.size() + self.named_once.size()
    }
}

/// Where the index names a value, as far as that is told without a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Surely nowhere.
    Never,
    /// All entries have this date.
    At(u64),
    /// The index has to be asked.
    Unsure,
}

/// What the store knows to be there without looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// All of what is there is in memory; until then, what is not there is looked for as well.
    pub is_whole: bool,
    /// All keys are being read, the first time or for more room.
    pub is_filling: bool,
    /// Keys entered, roughly.
    pub keys: u64,
    /// Bytes of memory.
    pub bytes: usize,
}

#[derive(Default)]
pub(super) struct Presence {
    /// What is asked; none until one holds all that is there.
    whole: ArcSwapOption<Filter>,
    /// Those that every batch is entered in. Shared by whoever writes, from entering to written.
    kept: RwLock<Vec<Arc<Filter>>>,
    /// A filling is wanted.
    is_wanted: Mutex<bool>,
    woken: Condvar,
    is_stopping: AtomicBool,
    /// Files of the database stay for as long as somebody reads all of them; held by a filling, and by whoever wants some
    /// to go.
    files: Mutex<()>,
}

impl Presence {
    /// Whether this was surely never entered. What begins `key` counts.
    pub(super) fn lacks(&self, of: Of, key: &[u8]) -> bool {
        self.whole.load().as_ref().is_some_and(|filter| !filter.bloom.may_have(of.hash(key)))
    }

    /// Where a value is named, by what its keys in the index begin with.
    pub(super) fn named(&self, prefix: &[u8]) -> Named {
        let whole = self.whole.load();
        let (Some(filter), Some(value)) = (whole.as_ref(), value(prefix)) else { return Named::Unsure };
        if !filter.bloom.may_have(value.hash()) {
            return Named::Never;
        }
        filter.named_once.date(value).map_or(Named::Unsure, Named::At)
    }

    /// Enters the rows of a batch, then writes it: nobody can see a row that is not entered.
    pub(super) fn entered<T, E>(&self, rows: &Rows, write: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let kept = self.kept();
        for filter in kept.iter() {
            let of = |cf: Cf| rows.written(cf).filter_map(move |key| Entry::of(cf, key));
            filter.enter(COLUMNS.into_iter().flat_map(of));
            filter.doubt(rows.deleted(Cf::Observables));
        }
        let written = write();
        if written.is_err() {
            // What does not come has no date.
            kept.iter().for_each(|filter| filter.doubt(rows.keys(Cf::Observables)));
        }
        if let [only] = kept.as_slice()
            && only.is_full()
        {
            self.want();
        }
        written
    }

    /// Keeps fillings from reading the files until this is dropped.
    pub(super) fn still(&self) -> MutexGuard<'_, ()> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want(&self) {
        *self.is_wanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.woken.notify_all();
    }

    /// Waits until a filling is wanted; false once none is any more.
    fn next(&self) -> bool {
        let mut is_wanted = self.is_wanted.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_wanted && !self.is_stopping.load(Ordering::Relaxed) {
            is_wanted = self.woken.wait(is_wanted).unwrap_or_else(PoisonError::into_inner);
        }
        *is_wanted = false;
        !self.is_stopping.load(Ordering::Relaxed)
    }

    /// Whether there is no filter that is whole and has room.
    fn is_short(&self) -> bool {
        self.whole.load().as_ref().is_none_or(|filter| filter.is_full())
    }

    fn stop(&self) {
        // Under the lock, or whoever is about to wait would miss it.
        let is_wanted = self.is_wanted.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_stopping.store(true, Ordering::Relaxed);
        drop(is_wanted);
        self.woken.notify_all();
    }

    fn kept(&self) -> RwLockReadGuard<'_, Vec<Arc<Filter>>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the batch that is being written.
    fn kept_mut(&self) -> RwLockWriteGuard<'_, Vec<Arc<Filter>>> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new filter, with room for half as much again as there is.
    fn larger(&self, db: &Db) -> Filter {
        let (there, values) = match self.whole.load().as_ref() {
            Some(filter) => (filter.bloom.entered(), filter.named_once.entered()),
            None => {
                let all = COLUMNS.into_iter().map(|cf| estimated(db, cf)).fold(0, u64::saturating_add);
                (all, estimated(db, Cf::Observables))
            }
        };
        let room = |there: u64| there.saturating_add(there / 2);
        Filter { bloom: Bloom::with_room(room(there)), named_once: NamedOnce::with_room(room(values)) }
    }
}

/// Keys to be entered of a column: its rows, as far as RocksDB can guess them, for nearly every value of the index has one entry.
/// Those that have more (the parent domain of many) make the room larger than it must be; what is guessed too low the next filling makes up for, which
/// reads all of it once more.
fn estimated(db: &Db, cf: Cf) -> u64 {
    db.rocks.property_int_value_cf(db.cf(cf), ESTIMATE_NUM_KEYS).ok().flatten().unwrap_or_default()
}

/// A filter that is kept, and all the keys that were there before it was.
struct Filling<'a> {
    db: &'a Db,
    filter: Arc<Filter>,
    columns: Vec<(Cf, DBRawIterator<'a>)>,
    _files: MutexGuard<'a, ()>,
}

impl<'a> Filling<'a> {
    fn begin(db: &'a Db) -> Self {
        let presence = &db.presence;
        let files = presence.still();
        let filter = Arc::new(presence.larger(db));
        let mut kept = presence.kept_mut();
        kept.push(Arc::clone(&filter));
        // They see what is there now: nothing is being written.
        let columns = COLUMNS.map(|cf| (cf, all_rows(db, cf))).into();
        drop(kept);
        Self { db, filter, columns, _files: files }
    }

    /// Reads the keys; the filter is then the one asked, and the only one kept. False if the store closes before.
    fn read(mut self) -> Result<bool, rocksdb::Error> {
        let read = self.columns.iter_mut().try_fold(true, |is_read, (cf, rows)| {
            Ok::<_, rocksdb::Error>(is_read && enter_all(&self.db.presence, &self.filter, *cf, rows)?)
        });
        let presence = &self.db.presence;
        let mut kept = presence.kept_mut();
        if let Ok(true) = read {
            presence.whole.store(Some(Arc::clone(&self.filter)));
            kept.retain(|filter| Arc::ptr_eq(filter, &self.filter));
        } else {
            kept.retain(|filter| !Arc::ptr_eq(filter, &self.filter));
        }
        drop(kept);
        // Whoever waits for it looks under this lock.
        drop(presence.is_wanted.lock());
        presence.woken.notify_all();
        read
    }
}

fn all_rows(db: &Db, cf: Cf) -> DBRawIterator<'_> {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    // What is read once would push all else out of the cache.
    options.fill_cache(false);
    db.rocks.raw_iterator_cf_opt(db.cf(cf), options)
}

fn enter_all(
    presence: &Presence,
    filter: &Filter,
    cf: Cf,
    rows: &mut DBRawIterator<'_>,
) -> Result<bool, rocksdb::Error> {
    rows.seek_to_first();
    let mut read = Vec::with_capacity(STRETCH);
    while rows.valid() {
        if presence.is_stopping.load(Ordering::Relaxed) {
            return Ok(false);
        }
        while read.len() < STRETCH
            && let Some(key) = rows.key()
        {
            read.extend(Entry::of(cf, key));
            rows.next();
        }
        // Only now, and for microseconds: whoever writes waits for it.
        filter.enter(read.drain(..));
    }
    rows.status()?;
    Ok(true)
}

/// The thread that fills. Dropping it waits until it has let go of the database.
pub(super) struct Keeper {
    db: Arc<Db>,
    handle: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Begins to fill.
    pub(super) fn start(db: &Arc<Db>) -> io::Result<Self> {
        db.presence.want();
        let of = Arc::clone(db);
        let thread = std::thread::Builder::new().name("store-presence".to_owned());
        let handle = thread.spawn(move || keep(&of))?;
        Ok(Self { db: Arc::clone(db), handle: Some(handle) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.db.presence.stop();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

fn keep(db: &Db) {
    while db.presence.next() {
        // Wanted twice: several batches find it full before a filling begins.
        if !db.presence.is_short() {
            continue;
        }
        match Filling::begin(db).read() {
            // What was guessed too low has room in the next.
            Ok(_) if db.presence.is_short() => db.presence.want(),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    "every lookup of what nobody entered reads the disk until the next start: {error}"
                );
                return;
            }
        }
    }
}

impl Store {
    /// Ends the reading of all keys, for good: the node stops, and whoever waits for files to be free goes on. What is not in
    /// memory by then is looked for on disk.
    pub fn stop_filling(&self) {
        self.db.presence.stop();
    }

    /// What is known to be there without looking.
    #[must_use]
    pub fn present(&self) -> Present {
        let presence = &self.db.presence;
        let is_whole = presence.whole.load().is_some();
        let kept = presence.kept();
        let keys = kept.first().map_or(0, |filter| filter.bloom.entered());
        let bytes = kept.iter().map(|filter| filter.size()).sum();
        Present { is_whole, is_filling: kept.len() > usize::from(is_whole), keys, bytes }
    }
}

#[cfg(test)]
impl Store {
    /// Waits until all of what is there is in memory.
    pub(super) fn until_present(&self) {
        let presence = &self.db.presence;
        let mut is_wanted = presence.is_wanted.lock().unwrap();
        while presence.whole.load().is_none() {
            is_wanted = presence.woken.wait(is_wanted).unwrap();
        }
    }
}

#[cfg(test)]
mod tests;
