//! What a feed takes back.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    envelope::payload,
    id::{MessageId, PublicationId},
};
use tokio::sync::watch;

use super::*;
use crate::{
    clock,
    heard::{GateTimes, Hellos, LogWatch},
    publish::{Flusher, drafts::HeldDraft},
    store::{Change, DraftRow, DraftState, MessageState},
};

pub(super) const THEN: u64 = 1_763_700_000;
const ONE: &[&str] = &["a.evil.example"];

/// Timestamp and domains of events, by number; a domain's first letter names its attribute.
pub(super) type Events = Arc<Mutex<BTreeMap<u8, (u64, Vec<&'static str>)>>>;

pub(super) fn uuid(n: u8) -> String {
    format!("298fe907-7931-4fd2-8131-2814dd4931{n:02}")
}

pub(super) fn attribute(n: u8, domain: &str) -> String {
    format!("298fe907-7931-4fd2-8131-2814dd49{n:02}{:02x}", domain.as_bytes()[0])
}

pub(super) fn events(of: &[(u8, &[&'static str])]) -> Events {
    Arc::new(Mutex::new(of.iter().map(|(n, domains)| (*n, (THEN, domains.to_vec()))).collect()))
}

pub(super) async fn feed(events: &Events) -> Server {
    let events = Arc::clone(events);
    Server::start(Arc::new(move |target: &str, _: &str| answer(&events, target))).await
}

/// What a feed of these answers: status, more headers, body.
pub(super) fn answer(events: &Events, target: &str) -> (u16, String, String) {
    let events = events.lock().unwrap();
    if target == "/feed/manifest.json" {
        let manifest: serde_json::Map<String, Value> =
            events.iter().map(|(n, (at, _))| (uuid(*n), json!({ "timestamp": at }))).collect();
        return (200, String::new(), Value::Object(manifest).to_string());
    }
    let found = events.iter().find(|(n, _)| target == format!("/feed/{}.json", uuid(**n)));
    let Some((n, (at, domains))) = found else { return (404, String::new(), String::new()) };
    let attributes = domains.iter().map(|domain| {
        json!({ "uuid": attribute(*n, domain), "type": "domain", "value": domain, "to_ids": true,
                "timestamp": THEN.to_string() })
    });
    let event = json!({ "Event": {
        "uuid": uuid(*n), "info": "x", "date": "2026-11-20", "timestamp": at.to_string(),
        "Attribute": attributes.collect::<Vec<_>>(),
    } });
    (200, String::new(), event.to_string())
}

pub(super) fn publishing(port: u16) -> String {
    format!("{}publish = true\n", misp(port))
}

impl Stage {
    /// Sends what is queued.
    pub(super) async fn flush(&self) {
        let hellos = watch::Sender::new(Hellos::new(GateTimes::default()));
        let log = watch::Sender::new(LogWatch::default());
        let flusher = Flusher::new(
            Arc::clone(&self.identity),
            self.site.store.clone(),
            self.site.network.clone(),
            self.site.roster.clone(),
            Feed::default(),
            hellos.subscribe(),
            log.subscribe(),
        );
        let (_desk, running) = flusher.open();
        let mut tasks = JoinSet::new();
        tasks.spawn(running);
        eventually("all is sent", async || self.queued() == 0).await;
    }

    /// What withdrawals come to, as ingest has it.
    async fn weigh(&self) {
        let now = clock::now();
        let work = self.site.store.to_reweigh(now, 100).unwrap();
        self.site.store.commit(Change::Reweigh { work, now }).await.unwrap();
    }

    pub(super) async fn all_held(&self) -> Vec<HeldDraft> {
        self.publisher.held(|_| true, None, 1_000).await.unwrap().0
    }

    pub(super) fn row(&self, publication: PublicationId) -> DraftRow {
        self.site.store.draft(publication).unwrap().unwrap()
    }

    fn is_withdrawn(&self, message: &MessageId) -> bool {
        self.site.store.message(*message).unwrap().unwrap().state == MessageState::Withdrawn
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_gone_is_taken_back_once_a_person_says_so_and_nothing_else_is() {
    let stage = Stage::new().await;
    let events = events(&[(1, &["a.evil.example"]), (2, &["b.evil.example"]), (3, &["c.evil.example"])]);
    let server = feed(&events).await;
    let started = stage.start(&misp(server.port));
    started.until("three drafts", |report| report.counts.taken == 3).await;
    started.until("the run's end", |report| report.state != "running" && report.last_run.is_some()).await;
    // The third is not released: nobody else has it.
    let made = stage.all_held().await;
    for draft in &made[..2] {
        stage.publisher.release(draft.publication, None, None).await.unwrap();
    }
    // A person says of the second's domain the same by another way.
    let same = indicator(1, &json!({ "id": format!("indicator--{}", attribute(2, "b.evil.example")) }));
    let bundle =
        json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": [same] });
    let by_hand = Submission { bundle: bundle.to_string().into_bytes(), ..Submission::of(CIDR, "anna") };
    let by_hand = stage.publisher.submit(by_hand).await.unwrap().publication;
    stage.flush().await;

    let gone: BTreeSet<u8> = [2, 3].into();
    events.lock().unwrap().retain(|n, _| !gone.contains(n));
    let report = started.again().await;
    assert_eq!((report.counts.taken_back, report.failing), (2, None));
    assert_eq!(
        stage.row(made[2].publication).state,
        DraftState::Refused,
        "what nobody released is discarded"
    );
    let held = stage.all_held().await;
    let [withdrawal] = held.as_slice() else { panic!("{held:?}") };
    assert_eq!((withdrawal.withdraws, withdrawal.submitter.as_str()), (1, "source:osint"));
    let open = stage.publisher.held_draft(withdrawal.publication).await.unwrap();
    let says =
        |what: &str| open.objects.iter().any(|object| String::from_utf8_lossy(object.raw()).contains(what));
    assert!(says("b.evil.example") && !says("a.evil.example"), "a person sees what would go");
    stage.weigh().await;
    let ours = stage.row(made[1].publication).messages;
    assert!(!ours.is_empty() && ours.iter().all(|message| !stage.is_withdrawn(message)), "not by itself");
    assert_eq!(started.again().await.last.taken_back, 0, "nor asked for twice");

    stage.publisher.release(withdrawal.publication, None, None).await.unwrap();
    stage.flush().await;
    stage.weigh().await;
    assert!(ours.iter().all(|message| stage.is_withdrawn(message)));
    for other in [made[0].publication, by_hand] {
        assert!(stage.row(other).messages.iter().all(|message| !stage.is_withdrawn(message)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_version_no_longer_says_goes_once_that_version_is_out() {
    let stage = Stage::new().await;
    let events = events(&[(1, &["a.evil.example", "b.evil.example"]), (2, &["c.evil.example"])]);
    let server = feed(&events).await;
    let started = stage.start(&publishing(server.port));
    started.until("both", |report| report.counts.taken == 2 && report.state != "running").await;
    let first = stage.site.store.queued(10).unwrap()[0];
    stage.flush().await;

    // The second says more, and the first less.
    events.lock().unwrap().insert(1, (THEN + 1, vec!["a.evil.example"]));
    events.lock().unwrap().insert(2, (THEN + 1, vec!["c.evil.example", "d.evil.example"]));
    let report = started.again().await;
    assert_eq!((report.last.taken, report.last.taken_back), (2, 0), "nobody is without what stays");
    stage.flush().await;
    let report = started.again().await;
    assert_eq!((report.last.taken, report.last.taken_back), (0, 1));
    let queued = stage.site.store.queued(10).unwrap();
    let [withdrawal] = queued.as_slice() else { panic!("{queued:?}") };
    assert_eq!(stage.row(*withdrawal).withdraws.unwrap().targets, stage.row(first).messages);
    stage.flush().await;

    // Nothing is left of an event that is emptied.
    events.lock().unwrap().insert(2, (THEN + 2, Vec::new()));
    let report = started.again().await;
    assert_eq!((report.last.taken, report.last.taken_back), (0, 1), "{report:?}");
    let queued = stage.site.store.queued(10).unwrap();
    let [withdrawal] = queued.as_slice() else { panic!("{queued:?}") };
    assert_eq!(stage.row(*withdrawal).withdraws.unwrap().targets.len(), 2, "both of its versions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_loses_most_of_its_events_has_nothing_taken_back_and_is_told() {
    let stage = Stage::new().await;
    let all: Vec<(u8, &[&'static str])> = (1..=30).map(|n| (n, ONE)).collect();
    let events = events(&all);
    let server = feed(&events).await;
    let started = stage.start(&misp(server.port));
    started.until("all", |report| report.counts.taken == 30 && report.state != "running").await;
    for left in [14, 0] {
        events.lock().unwrap().retain(|n, _| *n <= left);
        let report = started.again().await;
        let why = report.failing.unwrap().1;
        assert!(why.contains(&format!("lacks {} of the 30 events", 30 - left)), "{why}");
        assert_eq!((report.counts.taken_back, stage.held().await), (0, 30));
    }
    *events.lock().unwrap() = (1..=30).map(|n| (n, (THEN, vec!["a.evil.example"]))).collect();
    server.asked();
    let report = started.again().await;
    assert_eq!((report.failing, report.last.known), (None, 0));
    assert_eq!(server.asked().len(), 1, "the manifest alone: nothing was forgotten");
    events.lock().unwrap().retain(|n, _| *n > 15);
    let report = started.again().await;
    assert_eq!(
        (report.failing, report.counts.taken_back, stage.held().await),
        (None, 15, 15),
        "half of them"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_replaces_its_events_has_nothing_taken_back_at_that_run_or_the_next() {
    let stage = Stage::new().await;
    let list = |numbers: std::ops::RangeInclusive<u8>| -> BTreeMap<u8, (u64, Vec<&'static str>)> {
        numbers.map(|n| (n, (THEN, ONE.to_vec()))).collect()
    };
    let events: Events = Arc::new(Mutex::new(list(1..=30)));
    let server = feed(&events).await;
    let started = stage.start(&publishing(server.port));
    started.until("all", |report| report.counts.taken == 30 && report.state != "running").await;
    stage.flush().await;
    *events.lock().unwrap() = list(31..=60);
    for taken in [30, 0] {
        let report = started.again().await;
        assert_eq!((report.last.taken, report.counts.taken_back), (taken, 0));
        assert!(report.failing.unwrap().1.contains("lacks 30 of the "));
    }
    *events.lock().unwrap() = list(1..=60);
    let report = started.again().await;
    assert_eq!((report.failing, report.last.taken), (None, 0), "believed, and nothing was forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_series_of_small_steps_takes_back_more_than_half_in_a_week_and_a_person_has_the_last_word() {
    let stage = Stage::new().await;
    let all: Vec<(u8, &[&'static str])> = (1..=40).map(|n| (n, ONE)).collect();
    let events = events(&all);
    let server = feed(&events).await;
    let started = stage.start(&misp(server.port));
    started.until("all", |report| report.counts.taken == 40 && report.state != "running").await;
    events.lock().unwrap().retain(|n, _| *n > 20);
    let report = started.again().await;
    assert_eq!((report.failing, report.counts.taken_back), (None, 20));
    events.lock().unwrap().retain(|n, _| *n > 25);
    let report = started.again().await;
    assert_eq!((report.counts.taken_back, stage.held().await), (20, 20));
    let why = report.failing.unwrap().1;
    assert!(why.contains("lacks 5 of the 40 events that were taken from it, after 20 other events"), "{why}");
    for draft in stage.all_held().await {
        stage.publisher.discard(draft.publication).await.unwrap();
    }
    let report = started.again().await;
    assert_eq!((report.failing, report.counts.taken_back), (None, 20), "nothing is left to be asked about");
}

const FOUR: &[&str] = &["a.evil.example", "b.evil.example", "c.evil.example", "d.evil.example"];

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_whose_events_are_all_but_emptied_has_nothing_taken_back_and_is_told() {
    let stage = Stage::new().await;
    let all: Vec<(u8, &[&'static str])> = (1..=30).map(|n| (n, FOUR)).collect();
    let events = events(&all);
    let server = feed(&events).await;
    let started = stage.start(&publishing(server.port));
    started.until("all", |report| report.counts.taken == 30 && report.state != "running").await;
    stage.flush().await;
    let say = |numbers: std::ops::RangeInclusive<u8>, at: u64, domains: &[&'static str]| {
        events.lock().unwrap().extend(numbers.map(|n| (n, (at, domains.to_vec()))));
    };
    // One of four is left of sixteen: their newest versions go out, and what was before stays.
    say(1..=16, THEN + 1, ONE);
    let report = started.again().await;
    assert_eq!((report.last.taken, report.last.taken_back), (16, 0));
    let why = report.failing.unwrap().1;
    assert!(why.contains("lacks 16 of the 30 events") && why.contains("16 of them are there"), "{why}");
    stage.flush().await;
    let report = started.again().await;
    assert_eq!((report.counts.taken_back, report.failing.is_some()), (0, true), "nor once these are out");
    // They are whole again, and nothing is doubted any more.
    say(1..=16, THEN + 2, FOUR);
    let report = started.again().await;
    assert_eq!((report.failing, report.counts.taken_back), (None, 0));
    stage.flush().await;
    // Half of them may be emptied.
    say(1..=15, THEN + 3, ONE);
    assert_eq!(started.again().await.failing, None);
    stage.flush().await;
    let report = started.again().await;
    assert_eq!((report.failing, report.last.taken_back), (None, 15));
    stage.flush().await;
    // And no further one within the week, emptied or gone.
    say(16..=16, THEN + 3, ONE);
    events.lock().unwrap().remove(&17);
    let report = started.again().await;
    assert_eq!(report.last.taken_back, 0);
    assert!(
        report
            .failing
            .unwrap()
            .1
            .contains("lacks 2 of the 30 events that were taken from it, after 15 other events")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_whose_events_say_other_things_than_before_is_believed() {
    let stage = Stage::new().await;
    let all: Vec<(u8, &[&'static str])> = (1..=30).map(|n| (n, FOUR)).collect();
    let events = events(&all);
    let server = feed(&events).await;
    let started = stage.start(&publishing(server.port));
    started.until("all", |report| report.counts.taken == 30 && report.state != "running").await;
    stage.flush().await;
    events.lock().unwrap().extend((1..=30).map(|n| (n, (THEN + 1, vec!["e.evil.example"]))));
    assert_eq!(started.again().await.failing, None);
    stage.flush().await;
    let report = started.again().await;
    assert_eq!((report.failing, report.last.taken_back), (None, 30));
}

const BOTH: &[&str] = &["a.evil.example", "b.evil.example"];

/// An event whose newest version says less than the one before, which is taken back; both of them.
async fn narrowed(stage: &Stage, started: &Started, events: &Events) -> [PublicationId; 2] {
    let release = async || {
        for draft in stage.all_held().await {
            stage.publisher.release(draft.publication, None, None).await.unwrap();
        }
        let sent = stage.site.store.queued(10).unwrap();
        stage.flush().await;
        sent[0]
    };
    started.until("the first", |report| report.counts.taken == 1 && report.state != "running").await;
    let wide = release().await;
    events.lock().unwrap().insert(1, (THEN + 1, vec!["a.evil.example", "c.evil.example"]));
    assert_eq!(started.again().await.last.taken, 1);
    let narrow = release().await;
    assert_eq!(started.again().await.last.taken_back, 1);
    [wide, narrow]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_set_back_to_what_it_said_before_never_leaves_nothing_standing() {
    let stage = Stage::new().await;
    let events = events(&[(1, BOTH)]);
    let server = feed(&events).await;
    let started = stage.start(&publishing(server.port));
    let stands = |publication: PublicationId| {
        let messages = stage.row(publication).messages;
        !messages.is_empty() && !messages.iter().any(|message| stage.is_withdrawn(message))
    };
    let [wide, mut narrow] = narrowed(&stage, &started, &events).await;
    events.lock().unwrap().insert(1, (THEN, BOTH.to_vec()));
    let report = started.again().await;
    assert_eq!((report.last.taken, report.last.known), (0, 0), "not while it is on its way out");
    for flap in 0..3 {
        // The first is taken back by now, and its bytes come again.
        stage.flush().await;
        stage.weigh().await;
        assert!(!stands(wide) && stands(narrow), "{flap}");
        let report = started.again().await;
        assert_eq!((report.last.taken, report.last.taken_back), (1, 0), "{flap}: {report:?}");
        let again = stage.site.store.queued(10).unwrap()[0];
        stage.flush().await;
        assert_eq!(started.again().await.last.taken_back, 1, "the other one goes, once the newest is out");
        stage.flush().await;
        stage.weigh().await;
        assert!(stands(again) && !stands(narrow), "{flap}");
        // And the other one's once more.
        events.lock().unwrap().insert(1, (THEN + 1, vec!["a.evil.example", "c.evil.example"]));
        assert_eq!(started.again().await.last.taken, 1);
        narrow = stage.site.store.queued(10).unwrap()[0];
        stage.flush().await;
        assert_eq!(started.again().await.last.taken_back, 1);
        events.lock().unwrap().insert(1, (THEN, BOTH.to_vec()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_let_go_yet_stays_when_the_feed_says_it_again() {
    let stage = Stage::new().await;
    let events = events(&[(1, BOTH)]);
    let server = feed(&events).await;
    let started = stage.start(&misp(server.port));
    let [wide, narrow] = narrowed(&stage, &started, &events).await;
    let first = stage.all_held().await;
    assert_eq!((first.len(), first[0].withdraws), (1, 1));
    events.lock().unwrap().insert(1, (THEN, BOTH.to_vec()));
    let report = started.again().await;
    assert_eq!((report.last.known, report.last.taken_back), (1, 1), "{report:?}");
    let held = stage.all_held().await;
    let [withdrawal] = held.as_slice() else { panic!("{held:?}") };
    let targets = stage.row(withdrawal.publication).withdraws.unwrap().targets;
    assert_eq!(targets, stage.row(narrow).messages, "it is the other one that a person is asked about");
    stage.publisher.release(withdrawal.publication, None, None).await.unwrap();
    stage.flush().await;
    stage.weigh().await;
    assert!(stage.row(wide).messages.iter().all(|message| !stage.is_withdrawn(message)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_took_back_a_feed_does_not_bring_again() {
    let stage = Stage::new().await;
    let events = events(&[(1, ONE)]);
    let server = feed(&events).await;
    let started = stage.start(&publishing(server.port));
    started.until("the first", |report| report.counts.taken == 1 && report.state != "running").await;
    let said = stage.site.store.queued(10).unwrap()[0];
    stage.flush().await;
    let by_hand = crate::publish::withdraw::WithdrawalRequest {
        group: CIDR,
        named: crate::publish::withdraw::Named::Publication(said),
        mode: belfry_proto::schema::WithdrawalMode::Retract,
        ground: None,
        idempotency_key: None,
        submitter: "anna".to_owned(),
        hold: false,
    };
    stage.publisher.withdraw(by_hand).await.unwrap();
    stage.flush().await;
    stage.weigh().await;
    let event = events.lock().unwrap().remove(&1).unwrap();
    events.lock().unwrap().insert(2, (THEN, vec!["b.evil.example"]));
    started.again().await;
    stage.flush().await;
    events.lock().unwrap().insert(1, event);
    let report = started.again().await;
    assert_eq!((report.last.taken, report.last.known, stage.queued()), (0, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_again_is_published_again_and_no_longer_taken_back() {
    let stage = Stage::new().await;
    let events = events(&[(1, &["a.evil.example"]), (2, &["b.evil.example"])]);
    let server = feed(&events).await;
    let started = stage.start(&publishing(server.port));
    started.until("both", |report| report.counts.taken == 2 && report.state != "running").await;
    stage.flush().await;
    let event = events.lock().unwrap().remove(&2).unwrap();
    assert_eq!(started.again().await.last.taken_back, 1);
    events.lock().unwrap().insert(2, event.clone());
    let report = started.again().await;
    assert_eq!((report.last.taken, report.last.known), (0, 0), "not while it is on its way out");
    stage.flush().await;
    stage.weigh().await;
    assert_eq!(started.again().await.last.taken, 1, "it was taken back, and comes anew");
    stage.flush().await;
    drop(started);

    // One that a person has not let go yet stays, and nobody is asked about it any more.
    let started = stage.start(&misp(server.port));
    started.until("the counts are there", |report| report.counts.taken == 3).await;
    events.lock().unwrap().remove(&2);
    assert_eq!(started.again().await.last.taken_back, 1);
    assert_eq!(stage.held().await, 1);
    events.lock().unwrap().insert(2, event);
    let report = started.again().await;
    assert_eq!((report.last.known, stage.held().await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taxii_object_that_is_revoked_goes_out_as_its_next_version() {
    let stage = Stage::new().await;
    let server = Server::start(Arc::new(|target: &str, _: &str| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let revoked = json!({ "revoked": true, "modified": "2026-11-02T08:00:00.000Z" });
        match path {
            "/taxii2/" => taxii_answer(&json!({ "title": "a root" }), ""),
            "/taxii2/collections/" => {
                taxii_answer(&json!({ "collections": [{ "id": COLLECTION, "title": "High value" }] }), "")
            }
            _ if query.contains("added_after=") => {
                taxii_answer(&json!({ "objects": [indicator(1, &revoked)] }), "2026-11-02T00:00:00Z")
            }
            _ => taxii_answer(&json!({ "objects": [indicator(1, &json!({}))] }), "2026-11-01T00:00:00Z"),
        }
    }))
    .await;
    let started = stage.start(&taxii(server.port, "publish = true\ntlp = \"green\""));
    started.until("the first", |report| report.counts.taken == 1 && report.state != "running").await;
    assert_eq!(started.again().await.last.taken, 1);
    let queued = stage.site.store.queued(10).unwrap();
    let said = queued.iter().map(|draft| payload::parse(&stage.row(*draft).parts[0]).unwrap());
    let said: Vec<(bool, String)> =
        said.map(|said| (said.objects[0].revoked(), said.objects[0].version().to_owned())).collect();
    assert_eq!(
        said,
        [(false, "2026-11-01T08:00:00.000Z".to_owned()), (true, "2026-11-02T08:00:00.000Z".to_owned())]
    );
}
