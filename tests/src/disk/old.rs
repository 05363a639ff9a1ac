//! A store of the schema before this one: what this belfry wrote, with what the newer schema added taken out again.
//!
//! From 8 to 9 the rows of logs were given the bytes of their entries, and nothing else changed: see `store::migrate` of the
//! node, whose unit tests make old stores the same way.

use std::path::Path;

use anyhow::Context as _;
use belfry_node::store::{Change, EnvelopeRow, MessageState, Store};
use belfry_proto::{
    id::{GroupId, Height, KeyId, LogId, MemberId, MessageId, Sequence, Serial},
    time::Timestamp,
};
use prost::encoding::decode_varint;
use rocksdb::{DB, IteratorMode, Options, WriteBatch, WriteOptions};

/// The version that is made.
const BEFORE: u32 = 8;
/// Field 18 of a log's row, a number: the last one.
const SIZE: [u8; 2] = [0x90, 0x01];
const GROUP: GroupId = GroupId::new(5);
const LOG: LogId = LogId::new([1; 32]);
/// Entries of the log: more than one row of it stands for, so that the rest is followed at start.
const ENTRIES: u64 = 100;
/// Bytes of one.
const ENTRY: usize = 300;

/// Commits a log of sealed messages.
///
/// # Errors
/// As of any change.
pub fn fill(store: &Store) -> anyhow::Result<()> {
    for n in 1..=ENTRIES {
        store.commit_blocking(Change::Envelope(Box::new(entry(n))))?;
    }
    Ok(())
}

/// Whether the log is there as [`fill`] left it, and counted.
#[must_use]
pub fn is_whole(store: &Store) -> bool {
    let bytes = ENTRIES * ENTRY as u64;
    let log = store.log(GROUP, LOG);
    let is_counted = log.is_some_and(|log| log.height.get() == ENTRIES && log.bytes == bytes);
    is_counted && (1..=ENTRIES).all(|n| matches!(store.has_message(id(n)), Ok(true)))
}

/// Brings the store at `path`, which nobody has open, down to the schema before; how many rows of logs it has.
///
/// # Errors
/// What RocksDB says, or a row is not as this schema writes it.
pub fn downgrade(path: &Path) -> anyhow::Result<usize> {
    let options = Options::default();
    let columns = DB::list_cf(&options, path)?;
    let db = DB::open_cf(&options, path, &columns)?;
    let column = |name: &str| db.cf_handle(name).with_context(|| format!("no column {name}"));
    let (meta, logs) = (column("meta")?, column("logs")?);
    let (mut batch, mut rows) = (WriteBatch::default(), 0);
    for row in db.iterator_cf(logs, IteratorMode::Start) {
        let (key, value) = row?;
        batch.put_cf(
            logs,
            &key,
            without_size(&value).context("a log's row without the bytes of its entries")?,
        );
        rows += 1;
    }
    batch.put_cf(meta, b"schema", BEFORE.to_be_bytes());
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    db.write_opt(batch, &synced)?;
    Ok(rows)
}

fn without_size(row: &[u8]) -> Option<&[u8]> {
    let is_size = |field: &[u8]| {
        let mut number = field.strip_prefix(&SIZE)?;
        decode_varint(&mut number).ok().filter(|_| number.is_empty())
    };
    let cuts = (0..row.len()).rev().filter_map(|at| row.split_at_checked(at));
    cuts.filter(|(_, field)| is_size(field).is_some()).map(|(before, _)| before).next()
}

fn id(n: u64) -> MessageId {
    let mut id = [0; 32];
    id[24..].copy_from_slice(&n.to_be_bytes());
    MessageId::new(id)
}

fn entry(n: u64) -> EnvelopeRow {
    EnvelopeRow {
        group: GROUP,
        log: LOG,
        sequence: Sequence::new(n),
        id: id(n),
        prev: id(n - 1),
        member: MemberId::new([2; 16]),
        serial: Serial::new(4),
        created: Timestamp::from_micros(n),
        received: Timestamp::from_micros(n),
        key_id: Some(KeyId::new([3; 32])),
        written_at: Height::new(1),
        judged_at: Height::new(1),
        in_closed_log: false,
        is_cut_point: false,
        is_listed: false,
        is_vouched: false,
        bytes: vec![7; ENTRY],
        has_body: true,
        state: MessageState::Sealed,
        opens_later: false,
        content: None,
        reason: None,
        withdraws: None,
    }
}
