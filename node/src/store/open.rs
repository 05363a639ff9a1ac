//! Opening the database: options, schema, owner, keys.

use std::{path::Path, sync::atomic::Ordering};

use belfry_proto::crypto::secret::Secret;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, LogLevel, Options, SliceTransform,
};

use super::{
    AdminRows, Owner, checkpoint,
    columns::Cf,
    db::Db,
    error::OpenError,
    heal,
    migrate::{self, SCHEMA, SCHEMA_KEY, Version},
    past::Past,
};

const OWNER_KEY: &[u8] = b"owner";
const MASTER_KEY: &[u8] = b"master-check";

/// Block cache for all columns, which fills by use: an idle node stays under 80 MB with it. Half of it is kept for indexes
/// and filters: those of a million objects take about a dozen MB, and without them each look reads three blocks instead of
/// one. Pages come from the operating system's cache besides.
const CACHE: usize = 48 << 20;
/// Memory of one column's write buffer; most columns never fill it.
const WRITE_BUFFER: usize = 4 << 20;
/// New files of a column that lie beside each other before they are merged with what is older, which rewrites most of it.
/// Too low ⇒ a node that catches up mostly merges, too high ⇒ every look asks so many files, and all of them are open.
const fn beside(cf: Cf) -> i32 {
    match cf {
        // Large values, looked for beside their neighbours.
        Cf::Envelopes | Cf::Objects => 12,
        Cf::Messages | Cf::ById | Cf::ByType | Cf::Observables | Cf::Feed => 8,
        _ => 4,
    }
}

/// Files of the database that are open at once; a look at any other opens it anew, which takes longer than hundreds of looks.
const OPEN_FILES: i32 = 256;
/// Open files are kept in two to the power of this many parts of equal size, each with a lock of its own. With RocksDB's six a
/// part has room for four files: of a hundred, some always push each other out.
const OPEN_FILES_PARTS: i32 = 2;

/// One part of a file's index or filter.
const METADATA_BLOCK: usize = 4096;
/// Write buffers over all columns before they are flushed.
const ALL_WRITE_BUFFERS: usize = 24 << 20;

/// Bytes of a new file after which the system is told to begin writing them.
const WRITEBACK: u64 = 256 << 10;

/// Opens or creates a database, of an older version or not; migrated it is then of this one.
pub(super) fn open(path: &Path, owner: Owner, master: &Secret) -> Result<Db, OpenError> {
    let (db, version) = open_unmigrated(path, owner, master)?;
    if let Version::Older { from, .. } = version {
        migrate::run(&db, from)?;
    }
    checkpoint::settle(&db)?;
    db.leaving.load(&db)?;
    let first = db.scan(Cf::Withdrawals, &[], &[]).next().transpose()?;
    db.has_withdrawals.store(first.is_some(), Ordering::Relaxed);
    Ok(db)
}

/// Opens a database as it is, or creates one.
pub(super) fn open_unmigrated(
    path: &Path,
    owner: Owner,
    master: &Secret,
) -> Result<(Db, Version), OpenError> {
    heal::finish(path)?;
    let rocks = raw(path).map_err(|source| refused(path, source))?;
    let db = Db::of(rocks, path, master);
    let version = check_owner(&db, owner)?;
    for row in db.scan(Cf::DataKeys, &[], &[]) {
        let (name, wrapped) = row?;
        db.vault.unwrap_key(&name, &wrapped)?;
    }
    Ok((db, version))
}

/// For a look at a few columns. Logs of writes are verified to be there as in [`open_damaged`], and for the same reason.
fn beside_others() -> Options {
    let mut options = Options::default();
    options.set_track_and_verify_wals_in_manifest(true);
    options
}

/// Why a database does not open.
pub(super) fn refused(path: &Path, source: rocksdb::Error) -> OpenError {
    if source.as_ref().contains("lock") && source.as_ref().contains("LOCK") {
        OpenError::InUse { path: path.to_owned() }
    } else {
        OpenError::Database { path: path.to_owned(), source }
    }
}

/// Opens or creates a database without a look at what is in it.
pub(super) fn raw(path: &Path) -> Result<DB, rocksdb::Error> {
    DB::open_cf_descriptors(&options(), path, columns())
}

/// Which version a database is of; `None` if there is none yet. Reads one row and changes nothing.
pub(super) fn version(path: &Path) -> Result<Option<Version>, OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    // RocksDB's own mark of a database.
    if !path.join("CURRENT").exists() {
        return Ok(None);
    }
    let rocks =
        DB::open_cf_for_read_only(&beside_others(), path, [Cf::Meta.name()], false).map_err(database)?;
    let meta = rocks.cf_handle(Cf::Meta.name());
    let found = meta.map(|meta| rocks.get_cf(meta, SCHEMA_KEY)).transpose().map_err(database)?.flatten();
    found.map(|bytes| migrate::version(path, &bytes)).transpose()
}

/// The admin log of the database under `path`, whoever has it open; nothing if there is no database yet. Changes nothing.
pub(super) fn admin_rows(path: &Path) -> Result<AdminRows, OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    if !path.join("CURRENT").exists() {
        return Ok(AdminRows::default());
    }
    let columns = [Cf::Charters, Cf::Records];
    let rocks =
        DB::open_cf_for_read_only(&beside_others(), path, columns.map(Cf::name), false).map_err(database)?;
    let rows = |cf: Cf| -> Result<Vec<Vec<u8>>, OpenError> {
        let Some(column) = rocks.cf_handle(cf.name()) else { return Ok(Vec::new()) };
        let rows = rocks.iterator_cf(column, rocksdb::IteratorMode::Start);
        rows.map(|row| row.map(|(_, value)| value.into_vec()).map_err(database)).collect()
    };
    Ok(AdminRows { charters: rows(Cf::Charters)?, records: rows(Cf::Records)? })
}

/// Opens what is left of a damaged database, for reading only. What does not read is met where it is read.
pub(super) fn open_damaged(path: &Path, owner: Owner, master: &Secret) -> Result<Db, OpenError> {
    let mut lenient = options();
    lenient.create_if_missing(false);
    lenient.create_missing_column_families(false);
    lenient.set_paranoid_checks(false);
    // What is lost between readable records is missing afterwards, and comes from peers.
    lenient.set_wal_recovery_mode(DBRecoveryMode::SkipAnyCorruptedRecord);
    // Logs of writes are still verified to be there: not asked to, RocksDB notes that it does so no more, and for that
    // it has no place when it only reads (it crashes).
    let rocks = DB::open_cf_descriptors_read_only(&lenient, path, columns(), false)
        .map_err(|source| OpenError::Hopeless { path: path.to_owned(), source })?;
    let db = Db::of(rocks, path, master);
    let known = |key: &[u8]| db.get(Cf::Meta, key).ok().flatten();
    let differs = |key: &[u8], ours: &[u8]| known(key).is_some_and(|bytes| bytes != ours);
    if let Some(found) = known(SCHEMA_KEY) {
        migrate::version(path, &found)?;
    }
    let owner_bytes = owner.bytes();
    if differs(OWNER_KEY, &owner_bytes) {
        return Err(OpenError::OtherOwner { path: path.to_owned() });
    }
    if differs(MASTER_KEY, &db.vault.tag("master", &owner_bytes)) {
        return Err(OpenError::WrongMaster { path: path.to_owned() });
    }
    for (name, wrapped) in Past::of(&db, Cf::DataKeys).flatten() {
        // One that does not unwrap is lost with what it sealed, each row of which is named.
        let _ = db.vault.unwrap_key(&name, &wrapped);
    }
    Ok(db)
}

fn columns() -> [ColumnFamilyDescriptor; Cf::ALL.len()] {
    let cache = Cache::new_lru_cache(CACHE);
    Cf::ALL.map(|cf| ColumnFamilyDescriptor::new(cf.name(), column_options(cf, &cache)))
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // The default mode drops acknowledged rows behind a flipped bit without a word; this one refuses.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_max_background_jobs(2);
    // One at a time writes.
    options.set_allow_concurrent_memtable_write(false);
    options.set_db_write_buffer_size(ALL_WRITE_BUFFERS);
    options.set_max_open_files(OPEN_FILES);
    options.set_table_cache_num_shard_bits(OPEN_FILES_PARTS);
    options.set_keep_log_file_num(4);
    options.set_max_total_wal_size(64 << 20);
    // Files on their way to disk are pushed bit by bit: one large sync at their end would hold up every small one of
    // the log.
    options.set_bytes_per_sync(WRITEBACK);
    options.set_log_level(LogLevel::Warn);
    options
}

/// Bytes of a key in that column which name what is searched; most searches of it find nothing.
const fn searched_prefix(cf: Cf) -> Option<usize> {
    match cf {
        // group ‖ H(kind, value)
        Cf::Observables => Some(4 + 16),
        // group ‖ date added
        Cf::Reporters => Some(4 + 8),
        _ => None,
    }
}

fn column_options(cf: Cf, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_cache_index_and_filter_blocks(true);
    // Whole, the index and filter of one large file would push all else out of a small cache at every look.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_metadata_block_size(METADATA_BLOCK);
    blocks.set_pin_top_level_index_and_filter(true);
    // Of the newest files each look asks the filter, one after the other.
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    if let Some(prefix) = searched_prefix(cf) {
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(prefix));
        options.set_memtable_prefix_bloom_ratio(0.1);
        // The beginning of a key is what is searched: filters need not hold all of it, too.
        blocks.set_whole_key_filtering(false);
    }
    if cf == Cf::Objects {
        // Nearly all that are looked for are there, and in the oldest files: no filters for those.
        options.set_optimize_filters_for_hits(true);
    }
    if cf == Cf::ById {
        // Each new object is looked for first, and not found.
        options.set_memtable_prefix_bloom_ratio(0.02);
        options.set_memtable_whole_key_filtering(true);
    }
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(WRITE_BUFFER);
    let beside = beside(cf);
    options.set_level_zero_file_num_compaction_trigger(beside);
    options.set_level_zero_slowdown_writes_trigger(3 * beside);
    options.set_level_zero_stop_writes_trigger(5 * beside);
    // Values are sealed: nothing is left to compress.
    options.set_compression_type(DBCompressionType::None);
    options
}

fn check_owner(db: &Db, owner: Owner) -> Result<Version, OpenError> {
    let path = || db.path.clone();
    let owner_bytes = owner.bytes();
    let master_check = db.vault.tag("master", &owner_bytes);
    let version = match db.get(Cf::Meta, SCHEMA_KEY)? {
        None => {
            let mut batch = rocksdb::WriteBatch::default();
            batch.put_cf(db.cf(Cf::Meta), SCHEMA_KEY, SCHEMA.to_be_bytes());
            batch.put_cf(db.cf(Cf::Meta), OWNER_KEY, &owner_bytes);
            batch.put_cf(db.cf(Cf::Meta), MASTER_KEY, master_check);
            batch.put_cf(db.cf(Cf::Meta), checkpoint::INCARNATION_KEY, checkpoint::fresh());
            let mut synced = rocksdb::WriteOptions::default();
            synced.set_sync(true);
            let written = db.rocks.write_opt(batch, &synced);
            written.map_err(|source| OpenError::Database { path: path(), source })?;
            return Ok(Version::Current);
        }
        Some(bytes) => migrate::version(&db.path, &bytes)?,
    };
    if db.get(Cf::Meta, OWNER_KEY)?.as_deref() != Some(owner_bytes.as_slice()) {
        return Err(OpenError::OtherOwner { path: path() });
    }
    if db.get(Cf::Meta, MASTER_KEY)?.as_deref() != Some(master_check.as_slice()) {
        return Err(OpenError::WrongMaster { path: path() });
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use belfry_proto::{crypto::secret::Secret, id::CoalitionId};
    use tempfile::TempDir;

    use crate::store::{
        OpenError, Owner, Salvage, Store, columns,
        tests::{master, open, owner},
    };

    #[test]
    fn another_owner_key_or_process_and_another_schema_are_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("store");
        let store = open(&folder);
        let second = Store::open(&path, owner(1), &master());
        assert!(matches!(second, Err(OpenError::InUse { .. })), "{:?}", second.err());
        drop(store);
        let until_released = |owner, master: &Secret| loop {
            // The writer thread lets go of the database a moment after the last handle.
            match Store::open(&path, owner, master) {
                Err(OpenError::InUse { .. }) => std::thread::yield_now(),
                other => break other,
            }
        };
        // The same node's keys in another coalition are another owner, too.
        let elsewhere = Owner { coalition: CoalitionId::new([2; 32]), ..owner(1) };
        for other in [owner(2), elsewhere] {
            assert!(matches!(until_released(other, &master()), Err(OpenError::OtherOwner { .. })));
            assert!(matches!(Salvage::open(&path, other, &master()), Err(OpenError::OtherOwner { .. })));
        }
        assert!(matches!(
            until_released(owner(1), &Secret::new([8; 32])),
            Err(OpenError::WrongMaster { .. })
        ));
        let store = until_released(owner(1), &master()).unwrap();
        let written_by = |store: &Store, schema: u32| {
            store.db.rocks.put_cf(store.db.cf(columns::Cf::Meta), b"schema", schema.to_be_bytes()).unwrap();
        };
        written_by(&store, 1);
        drop(store);
        let older = until_released(owner(1), &master()).err().unwrap();
        assert!(matches!(older, OpenError::OlderSchema { found: 1, .. }), "{older}");
        assert!(older.to_string().contains("run once a release between the two"), "{older}");
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("store");
        let store = open(&folder);
        written_by(&store, 99);
        drop(store);
        let newer = loop {
            match Store::open(&path, owner(1), &master()) {
                Err(OpenError::InUse { .. }) => std::thread::yield_now(),
                other => break other.err().unwrap(),
            }
        };
        assert!(matches!(newer, OpenError::NewerSchema { found: 99, .. }), "{newer}");
    }
}
