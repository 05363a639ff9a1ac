//! What a feed takes back of what came before it was noted what each event became.

use super::{
    gone::{events, feed, publishing, uuid},
    *,
};
use crate::store::Change;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_before_it_was_noted_goes_with_its_event_all_the_same() {
    let stage = Stage::new().await;
    let events = events(&[(1, &["a.evil.example"]), (2, &["b.evil.example"]), (3, &["c.evil.example"])]);
    let server = feed(&events).await;
    let started = stage.start(&publishing(server.port));
    started.until("all", |report| report.counts.taken == 3 && report.state != "running").await;
    stage.flush().await;
    drop(started);
    // As it was left before that was noted; one is gone by the time it is.
    let row = stage.site.store.source("osint").unwrap().unwrap();
    let mut state: Value = serde_json::from_slice(&row).unwrap();
    for noted in ["misp_made", "misp_unnoted", "misp_base"] {
        state.as_object_mut().unwrap().remove(noted).unwrap();
    }
    let state = state.to_string().into_bytes();
    stage.site.store.commit(Change::Source { name: "osint".to_owned(), state }).await.unwrap();
    events.lock().unwrap().remove(&3);

    let started = stage.start(&publishing(server.port));
    started.until("it remembers", |report| report.last_run.is_some()).await;
    let report = started.again().await;
    assert_eq!(
        (report.last.taken, report.last.known, report.last.taken_back),
        (0, 0, 0),
        "nothing is handed in"
    );
    let told: Vec<&str> = report.notes.iter().map(|note| note.item.as_str()).collect();
    assert_eq!(told, [format!("{} and 0 others", uuid(3))], "nobody can tell what it was");
    events.lock().unwrap().remove(&2);
    let report = started.again().await;
    assert_eq!((report.last.taken_back, report.failing, report.notes.len()), (1, None, 1));
    let queued = stage.site.store.queued(10).unwrap();
    let [withdrawal] = queued.as_slice() else { panic!("{queued:?}") };
    assert_eq!(stage.row(*withdrawal).withdraws.unwrap().targets.len(), 1);
}
