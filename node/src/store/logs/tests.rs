//! What is remembered of logs is what their rows and entries say.

use belfry_proto::{
    id::{GroupId, LogId, MessageId, PublicationId, Sequence, Serial},
    limits::MAX_TRANSMIT,
    sync::LogFrontier,
};
use tempfile::TempDir;

use crate::store::{
    Change, Committed, EnvelopeRow, Store, columns, logs,
    tests::{GROUP, commit, envelope, id, open},
    values::LogValue,
};

/// Entries of three logs in no order, with gaps, second messages and links that do not meet.
fn disorder() -> Vec<EnvelopeRow> {
    let mut rows = Vec::new();
    for log in 1..=3_u8 {
        let of = |n: u64| {
            let id = |n: u64| id(1_000 * u64::from(log) + n);
            let prev = if n == 1 { MessageId::ZERO } else { id(n - 1) };
            EnvelopeRow { log: LogId::new([log; 32]), id: id(n), prev, ..envelope(n) }
        };
        rows.extend([4, 2, 1, 5, 3, 9, 7].map(of));
        if log == 2 {
            rows.push(EnvelopeRow { id: id(77), ..of(4) });
        }
    }
    rows.sort_by_key(|row| (row.sequence.get() * 7) % 5);
    rows
}

#[test]
fn the_frontier_in_memory_is_that_of_the_rows_after_every_change_and_a_restart() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let rows = |store: &Store| -> Vec<LogFrontier> {
        let loaded = logs::load(&store.db).unwrap();
        assert_eq!(loaded, store.all_logs(None));
        loaded.iter().map(LogFrontier::from).collect()
    };
    for row in disorder() {
        commit(&store, row);
        assert_eq!(store.frontier(GROUP).logs(), rows(&store));
    }
    // A change that is refused leaves no trace of what it began with.
    let refused = Change::Flushed { publication: PublicationId::new([8; 16]), envelopes: vec![envelope(20)] };
    assert!(store.commit_blocking(refused).is_err());
    assert_eq!(store.frontier(GROUP).logs(), rows(&store));
    let hash = *store.frontier(GROUP).hash();
    drop(store);
    let store = open(&folder);
    assert_eq!(*store.frontier(GROUP).hash(), hash);
    assert!(store.has_logs(GROUP) && !store.has_logs(GroupId::new(GROUP.get() + 1)));
}

#[test]
fn a_log_stands_after_a_restart_as_before_it_though_its_row_is_written_now_and_then() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let written = |store: &Store| store.db.get(columns::Cf::Logs, &columns::log(GROUP, LogId::new([1; 32])));
    let (mut rows_written, mut before) = (0, None);
    for n in 1..=200 {
        commit(&store, envelope(n));
        if n % 50 == 0 {
            // Behind the row as last written, and before it.
            for message in [id(n), id(n - 30)] {
                let reason = "unreadable".to_owned();
                store.commit_blocking(Change::Closed { message, reason }).unwrap();
            }
        }
        let row = written(&store).unwrap();
        rows_written += usize::from(row != before);
        before = row;
        assert_eq!(logs::load(&store.db).unwrap(), store.all_logs(None), "at {n}");
    }
    assert!((4..=12).contains(&rows_written), "{rows_written}");
    let (stood, counts) = (store.all_logs(None), store.counts(GROUP));
    assert_eq!((counts.sealed, counts.closed), (192, 8));
    drop(store);
    let store = open(&folder);
    assert_eq!(store.all_logs(None), stood);
    // And goes on from there.
    assert_eq!(commit(&store, envelope(200)), Committed::Duplicate);
    commit(&store, envelope(201));
    assert_eq!(store.top(GROUP, LogId::new([1; 32])), Sequence::new(201));
}

/// With every row of a log gone from under it, the store still tells the frontier it last wrote.
#[test]
fn a_frontier_is_told_without_reading_a_row() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for row in disorder() {
        commit(&store, row);
    }
    let before = store.frontier(GROUP).logs().to_vec();
    for log in &before {
        let (column, key) = (store.db.cf(columns::Cf::Logs), columns::log(GROUP, log.log));
        store.db.rocks.delete_cf(column, key).unwrap();
    }
    assert!(logs::load(&store.db).unwrap().is_empty());
    assert_eq!(store.logs(GROUP).len(), before.len());
    assert_eq!(store.frontier(GROUP).logs(), before);
    assert_eq!(store.logs_of(GROUP, Serial::new(4)).len(), 3);
}

#[test]
fn a_certificate_opens_no_more_logs_in_a_group_than_it_may() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let first = |log: u8, serial: u64| {
        let (log, serial) = (LogId::new([log; 32]), Serial::new(serial));
        let mut bytes = *log.as_bytes();
        bytes[0] = u8::try_from(serial.get()).unwrap();
        EnvelopeRow { id: MessageId::new(bytes), log, serial, ..envelope(1) }
    };
    for log in 0..64 {
        assert!(matches!(commit(&store, first(log, 4)), Committed::Stored { .. }), "{log}");
    }
    assert_eq!(commit(&store, first(64, 4)), Committed::TooManyLogs);
    assert_eq!(store.logs(GROUP).len(), 64);
    assert!(!store.has_message(first(64, 4).id).unwrap());
    assert!(
        matches!(commit(&store, first(65, 5)), Committed::Stored { .. }),
        "another certificate has its own"
    );
    let more = EnvelopeRow { id: id(7_777), prev: first(0, 4).id, ..first(0, 4) };
    let more = EnvelopeRow { sequence: Sequence::new(2), ..more };
    assert!(matches!(commit(&store, more), Committed::Stored { .. }), "a log that is there goes on");
}

/// Else whoever writes the largest messages would have every start read sixteen megabytes of each of its logs.
#[test]
fn a_start_reads_no_more_than_a_largest_message_of_a_log_behind_its_row() {
    const LARGE: usize = 100_000;
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let (mut rows_written, mut before) = (0, 0);
    for n in 1..=50 {
        commit(&store, EnvelopeRow { bytes: vec![7; LARGE], ..envelope(n) });
        let row =
            store.db.get(columns::Cf::Logs, &columns::log(GROUP, LogId::new([1; 32]))).unwrap().unwrap();
        let written = <LogValue as prost::Message>::decode(row.as_slice()).unwrap().size;
        let behind = store.all_logs(None)[0].bytes - written;
        assert!(behind <= MAX_TRANSMIT as u64, "{behind} bytes at {n}");
        rows_written += usize::from(written != before);
        before = written;
        assert_eq!(logs::load(&store.db).unwrap(), store.all_logs(None), "at {n}");
    }
    assert!(rows_written < 25, "{rows_written}: most are followed still");
}
