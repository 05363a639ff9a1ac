#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;

use tempfile::TempDir;

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
/// More than these tests write.
const KEEP: u64 = 256 << 20;

fn master() -> Secret {
    Secret::new([3; 32])
}

fn call(n: u64) -> Record {
    let (method, route) = ("POST".to_owned(), "/api/v1/tokens".to_owned());
    Record::now(NOW, Event::Call { token: format!("{n:016x}"), method, route })
}

/// A log of `calls` calls; where it ended.
async fn written(folder: &Path, calls: u64, keep: u64) -> Standing {
    let log = AuditLog::open(folder, &master(), keep, NOW).unwrap();
    for n in 0..calls {
        log.write(&call(n)).unwrap().synced().await.unwrap();
    }
    drop(log);
    verify(folder, &master(), None).unwrap().standing
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    segment::list(folder).unwrap().into_iter().map(|(_, path)| path).collect()
}

#[tokio::test]
async fn what_was_done_is_read_back_in_order_over_restarts() {
    let folder = TempDir::new().unwrap();
    let first = written(folder.path(), 3, KEEP).await;
    assert_eq!(first.sequence, 5, "start, three calls, stop");
    let last = written(folder.path(), 2, KEEP).await;
    let log = AuditLog::open(folder.path(), &master(), KEEP, NOW).unwrap();
    let entries = log.entries(0, 100).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!(entries[1].record, call(0));
    assert_eq!(entries[8].sequence, last.sequence);
    assert_eq!(entries[8].head, last.head);
    assert_eq!(log.entries(4, 2).unwrap(), entries[4..6]);
    let verified = verify(folder.path(), &master(), Some(first)).unwrap();
    assert_eq!((verified.first, verified.since, verified.cuts.len()), (1, Some(NOW), 0));
}

#[tokio::test]
async fn a_line_altered_dropped_doubled_or_reordered_is_found() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 5, KEEP).await;
    let [path] = &segments(folder.path())[..] else { panic!("one file") };
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let broken = |lines: Vec<String>| {
        fs::write(path, lines.join("\n") + "\n").unwrap();
        verify(folder.path(), &master(), None)
    };
    let whole: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    assert!(broken(whole.clone()).is_ok());
    for at in 0..lines.len() {
        let mut altered = whole.clone();
        let last = altered[at].pop().unwrap();
        altered[at].push(if last == 'A' { 'B' } else { 'A' });
        assert!(broken(altered).is_err(), "line {at} altered");
        // Only the last one can go unseen without a head from elsewhere.
        if at + 1 < lines.len() {
            let mut dropped = whole.clone();
            dropped.remove(at);
            assert!(broken(dropped).is_err(), "line {at} dropped");
            let mut swapped = whole.clone();
            swapped.swap(at, at + 1);
            assert!(broken(swapped).is_err(), "line {at} swapped");
        }
        let mut doubled = whole.clone();
        doubled.insert(at, whole[at].clone());
        assert!(broken(doubled).is_err(), "line {at} doubled");
    }
    // Its number made to fit does not make it fit.
    let mut renumbered = whole.clone();
    renumbered.remove(2);
    for (n, line) in renumbered.iter_mut().enumerate().skip(1) {
        let (_, sealed) = line.split_once(' ').unwrap();
        *line = format!("{n} {sealed}");
    }
    assert!(broken(renumbered).is_err());
    assert!(verify(folder.path(), &Secret::new([4; 32]), None).is_err(), "another key opens nothing");
}

#[tokio::test]
async fn what_is_cut_from_the_end_shows_against_a_noted_head() {
    let folder = TempDir::new().unwrap();
    let end = written(folder.path(), 5, KEEP).await;
    let [path] = &segments(folder.path())[..] else { panic!("one file") };
    let text = fs::read_to_string(path).unwrap();
    let kept = text.lines().take(5).collect::<Vec<_>>().join("\n") + "\n";
    fs::write(path, kept).unwrap();
    assert_eq!(verify(folder.path(), &master(), None).unwrap().standing.sequence, 4);
    assert!(matches!(verify(folder.path(), &master(), Some(end)), Err(AuditError::OtherHead(_))));
    // Going on from there makes another chain.
    written(folder.path(), 5, KEEP).await;
    assert!(matches!(verify(folder.path(), &master(), Some(end)), Err(AuditError::OtherHead(_))));
    fs::remove_file(path).unwrap();
    assert!(verify(folder.path(), &master(), Some(end)).is_err(), "a log that is gone");
}

#[tokio::test]
async fn old_files_go_and_only_the_node_may_remove_them() {
    let folder = TempDir::new().unwrap();
    let end = written(folder.path(), 12_000, LEAST).await;
    let files = segments(folder.path());
    let bytes: u64 = files.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(files.len() > 2 && bytes <= LEAST + LEAST / SEGMENTS, "{} files, {bytes} bytes", files.len());
    let verified = verify(folder.path(), &master(), Some(end)).unwrap();
    assert!(verified.first > 1);
    let log = AuditLog::open(folder.path(), &master(), LEAST, NOW).unwrap();
    assert_eq!(log.entries(0, 1).unwrap()[0].sequence, verified.first);
    drop(log);
    // In the middle, or the oldest.
    for at in [1, 0] {
        let text = fs::read(&files[at]).unwrap();
        fs::remove_file(&files[at]).unwrap();
        let refusal = verify(folder.path(), &master(), None).unwrap_err();
        assert!(matches!(refusal, AuditError::Missing { .. }), "{refusal}");
        fs::write(&files[at], text).unwrap();
    }
    verify(folder.path(), &master(), Some(end)).unwrap();
}

#[tokio::test]
async fn a_torn_end_is_no_loss_and_lost_lines_are_told() {
    let folder = TempDir::new().unwrap();
    let end = written(folder.path(), 2, KEEP).await;
    let [path] = &segments(folder.path())[..] else { panic!("one file") };
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, format!("{text}6 AAAA")).unwrap();
    assert!(verify(folder.path(), &master(), Some(end)).unwrap().is_torn);
    written(folder.path(), 1, KEEP).await;
    assert_eq!(verify(folder.path(), &master(), Some(end)).unwrap().cuts, []);
    // Whole lines that do not open are entries lost, and stay told of.
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let gone = lines.len() - 3;
    lines.remove(gone);
    fs::write(path, lines.join("\n") + "\n").unwrap();
    assert!(verify(folder.path(), &master(), None).is_err());
    written(folder.path(), 1, KEEP).await;
    let cuts = verify(folder.path(), &master(), None).unwrap().cuts;
    assert_eq!(cuts.iter().map(|cut| cut.lines).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn nothing_of_it_is_to_be_read_on_disk() {
    let folder = TempDir::new().unwrap();
    let log = AuditLog::open(folder.path(), &master(), KEEP, NOW).unwrap();
    log.write(&call(0xdead_beef)).unwrap().synced().await.unwrap();
    drop(log);
    for path in segments(folder.path()) {
        let text = fs::read_to_string(path).unwrap();
        assert!(!text.contains("tokens") && !text.contains("deadbeef"), "{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_refused() {
    let folder = TempDir::new().unwrap();
    let log = AuditLog::open(folder.path(), &master(), LEAST, NOW).unwrap();
    // The next file cannot be begun.
    fs::remove_dir_all(folder.path()).unwrap();
    let mut refused = None;
    for n in 0..20_000 {
        if let Err(error) = log.write(&call(n)) {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(AuditError::Unwritten)), "{refused:?}");
    assert!(!log.is_writable());
}
