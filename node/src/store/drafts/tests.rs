//! Drafts become messages once, or leave nothing behind.

use std::collections::BTreeSet;

use belfry_proto::{
    id::{GroupId, PublicationId, Sequence},
    schema::Audience,
};
use tempfile::TempDir;

use crate::store::{
    Change, Committed, DraftRow, DraftState, EnvelopeRow, WriteError,
    tests::{CANARY, GROUP, commit, draft, envelope, id, open},
};

#[test]
fn a_draft_that_failed_keeps_none_of_its_content() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.commit_blocking(Change::Draft(draft(1, None))).unwrap();
    let publication = PublicationId::new([1; 16]);
    store.commit_blocking(Change::DraftFailed { publication, error: "why".to_owned() }).unwrap();
    let row = store.draft(publication).unwrap().unwrap();
    assert_eq!((row.state, row.parts.len(), row.part_count), (DraftState::Refused, 0, 1));
}

#[test]
fn drafts_are_read_one_after_the_other_each_once() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for n in [3, 1, 2, 255] {
        store.commit_blocking(Change::Draft(draft(n, None))).unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    while let Some((row, bytes)) = store.draft_after(after).unwrap() {
        assert!(bytes >= CANARY.len());
        seen.push(row.publication);
        after = Some(row.publication);
    }
    assert_eq!(seen, [1, 2, 3, 255].map(|n| PublicationId::new([n; 16])));
}

#[test]
fn the_queue_tells_which_drafts_need_which_key_without_opening_them() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let named = DraftRow { audience: Audience::Recipients, ..draft(3, None) };
    let back = DraftRow { parts: Vec::new(), ..draft(4, None) };
    let less = DraftRow { audience: Audience::WithoutSupervisors, ..draft(5, None) };
    for row in [draft(1, None), draft(2, None), named, back, less] {
        store.commit_blocking(Change::Draft(row)).unwrap();
    }
    let (all, without) = ((GROUP, Audience::Group), (GROUP, Audience::WithoutSupervisors));
    let besides = |keys: &[(GroupId, Audience)], most| {
        store.queued_besides(&keys.iter().copied().collect(), most).unwrap()
    };
    let ids = |ids: &[u8]| ids.iter().map(|n| PublicationId::new([*n; 16])).collect::<Vec<_>>();
    assert_eq!(besides(&[], 9), ids(&[1, 2, 3, 4, 5]));
    assert_eq!(besides(&[all], 9), ids(&[3, 4, 5]));
    assert_eq!(besides(&[all, without], 1), ids(&[3]));
    let needed = |keys: &[(GroupId, Audience)], most| {
        store.queued_keys(&keys.iter().copied().collect(), most).unwrap()
    };
    assert_eq!(needed(&[], 3), BTreeSet::from([all, without]));
    assert_eq!(needed(&[], 2), BTreeSet::from([all]), "two can go out already");
    assert_eq!(needed(&[all], 9), BTreeSet::from([without]));
}

#[test]
fn a_draft_becomes_messages_once() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let publication = PublicationId::new([1; 16]);
    assert_eq!(store.commit_blocking(Change::Draft(draft(1, Some("k")))).unwrap(), Committed::Done);
    assert_eq!(store.commit_blocking(Change::Draft(draft(2, Some("k")))).unwrap(), Committed::Duplicate);
    assert_eq!(store.by_idempotency("k").unwrap().unwrap().publication, publication);
    let flush =
        || store.commit_blocking(Change::Flushed { publication, envelopes: vec![envelope(1), envelope(2)] });
    flush().unwrap();
    assert!(flush().is_err(), "a second flush would double it");
    let row = store.draft(publication).unwrap().unwrap();
    assert_eq!((row.state, row.messages, row.parts.len()), (DraftState::Flushed, vec![id(1), id(2)], 0));
    assert_eq!(store.queued(10).unwrap(), []);
}

#[test]
fn a_draft_and_its_message_are_written_at_once_or_neither() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let publish = |n: u8, key, envelope| {
        store.commit_blocking(Change::Published { draft: draft(n, key), envelopes: vec![envelope] })
    };
    assert_eq!(publish(1, Some("k"), envelope(1)).unwrap(), Committed::Done);
    let row = store.draft(PublicationId::new([1; 16])).unwrap().unwrap();
    assert_eq!((row.state, row.messages, row.parts.len()), (DraftState::Flushed, vec![id(1)], 0));
    assert_eq!(store.queued(10).unwrap(), []);
    // Submitted before, whichever way it went.
    assert_eq!(publish(2, Some("k"), envelope(2)).unwrap(), Committed::Duplicate);
    assert!(!store.has_message(id(2)).unwrap());
    // Its place was taken meanwhile: neither a draft nor its key is left behind.
    assert!(matches!(publish(3, Some("l"), envelope(1)), Err(WriteError::Missing(_))));
    assert!(store.draft(PublicationId::new([3; 16])).unwrap().is_none());
    assert_eq!(publish(4, Some("l"), envelope(2)).unwrap(), Committed::Done);
}

#[test]
fn a_draft_is_never_flushed_into_a_log_that_forked() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let publication = PublicationId::new([1; 16]);
    store.commit_blocking(Change::Draft(draft(1, None))).unwrap();
    commit(&store, envelope(1));
    commit(&store, EnvelopeRow { id: id(9), ..envelope(1) });
    // Its place was chosen before the fork came to light.
    let flush = store.commit_blocking(Change::Flushed { publication, envelopes: vec![envelope(2)] });
    assert!(matches!(flush, Err(WriteError::Missing(_))), "nobody would see it");
    assert!(!store.has_message(id(2)).unwrap());
    assert_eq!(store.queued(10).unwrap(), [publication], "it goes into the next log");
}

#[test]
fn where_one_of_many_flushes_fails_no_later_one_leaves_a_hole() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for n in 1..=4 {
        store.commit_blocking(Change::Draft(draft(n, None))).unwrap();
    }
    let flush = |n: u8, at: u64| {
        let publication = PublicationId::new([n; 16]);
        store.prepare(Change::Flushed { publication, envelopes: vec![envelope(at)] })
    };
    let together = vec![flush(1, 1), flush(2, 2), flush(9, 3), flush(3, 4), flush(4, 5)];
    let answers = futures::executor::block_on(store.enqueue(together)).unwrap();
    let answers = futures::executor::block_on(answers.durable()).unwrap();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, false, false]);
    assert_eq!(store.queued(10).unwrap(), [3, 4].map(|n| PublicationId::new([n; 16])));
    assert_eq!(store.logs(GROUP)[0].top, Sequence::new(2));
    let answers = futures::executor::block_on(store.enqueue(vec![flush(3, 3), flush(4, 4)])).unwrap();
    assert!(futures::executor::block_on(answers.durable()).unwrap().iter().all(Result::is_ok));
}
