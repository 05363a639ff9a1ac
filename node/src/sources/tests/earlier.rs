//! What a feed takes back of what came before it was noted what each event became.

use super::{
    gone::{Events, answer, events, feed, publishing, uuid},
    *,
};
use crate::{sources::earlier::MOST_ASKED, store::Change};

/// Has the source's row as it was left before it was noted what events became.
async fn forget(stage: &Stage) {
    let row = stage.site.store.source("osint").unwrap().unwrap();
    let mut state: Value = serde_json::from_slice(&row).unwrap();
    for noted in ["misp_made", "misp_unnoted", "misp_base"] {
        state.as_object_mut().unwrap().remove(noted).unwrap();
    }
    let state = state.to_string().into_bytes();
    stage.site.store.commit(Change::Source { name: "osint".to_owned(), state }).await.unwrap();
}

/// A feed that lists the first of these and does not have it, once it is said that it is lost.
async fn losing(events: &Events, is_lost: &Arc<Mutex<bool>>) -> Server {
    let (events, is_lost) = (Arc::clone(events), Arc::clone(is_lost));
    Server::start(Arc::new(move |target: &str, _: &str| {
        match *is_lost.lock().unwrap() && target == format!("/feed/{}.json", uuid(1)) {
            true => (404, String::new(), String::new()),
            false => answer(&events, target),
        }
    }))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_listed_and_never_there_keeps_no_other_from_being_looked_back_at() {
    let stage = Stage::new().await;
    let events = events(&[(1, &["a.evil.example"]), (2, &["b.evil.example"])]);
    let is_lost = Arc::new(Mutex::new(false));
    let server = losing(&events, &is_lost).await;
    let started = stage.start(&publishing(server.port));
    started.until("both", |report| report.counts.taken == 2 && report.state != "running").await;
    stage.flush().await;
    drop(started);
    forget(&stage).await;
    *is_lost.lock().unwrap() = true;

    let started = stage.start(&format!("{}max_items = 1\n", publishing(server.port)));
    started.until("it remembers", |report| report.last_run.is_some()).await;
    for _ in [1, 2] {
        assert_eq!(started.again().await.notes.len(), 0);
    }
    events.lock().unwrap().remove(&2);
    assert_eq!(started.again().await.last.taken_back, 1, "what the second became was noted");
    for _ in 2..MOST_ASKED {
        started.again().await;
    }
    let told: Vec<String> = started.report().notes.iter().map(|note| note.item.clone()).collect();
    assert_eq!(told, [uuid(1)], "nobody can tell what it was");
    server.asked();
    started.again().await;
    assert_eq!(server.asked().len(), 1, "the manifest alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_listed_and_never_there_keeps_no_other_from_being_taken() {
    let stage = Stage::new().await;
    let server =
        losing(&events(&[(1, &["a.evil.example"]), (2, &["b.evil.example"])]), &Arc::new(Mutex::new(true)))
            .await;
    let started = stage.start(&format!("{}max_items = 1\n", publishing(server.port)));
    let report =
        started.until("a run", |report| report.last_run.is_some() && report.state != "running").await;
    assert_eq!((report.counts.taken, report.counts.refused), (0, 1), "{report:?}");
    assert_eq!(started.again().await.counts.taken, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_before_it_was_noted_goes_with_its_event_all_the_same() {
    let stage = Stage::new().await;
    let events = events(&[(1, &["a.evil.example"]), (2, &["b.evil.example"]), (3, &["c.evil.example"])]);
    let server = feed(&events).await;
    let started = stage.start(&publishing(server.port));
    started.until("all", |report| report.counts.taken == 3 && report.state != "running").await;
    stage.flush().await;
    drop(started);
    // One is gone by the time it is noted.
    forget(&stage).await;
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
    assert_eq!(told, [uuid(3)], "nobody can tell what it was");
    events.lock().unwrap().remove(&2);
    let report = started.again().await;
    assert_eq!((report.last.taken_back, report.failing, report.notes.len()), (1, None, 1));
    let queued = stage.site.store.queued(10).unwrap();
    let [withdrawal] = queued.as_slice() else { panic!("{queued:?}") };
    assert_eq!(stage.row(*withdrawal).withdraws.unwrap().targets.len(), 1);
}
