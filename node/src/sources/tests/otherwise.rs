//! What a source brings of what this member says by another way, or another member says more narrowly.

use belfry_proto::{
    id::{Height, LogId, MemberId, MessageId, PublicationId, Sequence, Serial},
    schema,
};

use super::{
    gone::{THEN, attribute, events, feed, publishing},
    *,
};
use crate::{
    clock,
    store::{Change, Conditions, EnvelopeRow, MessageState, ObjectRow, OpenedRows},
};

/// A person publishes an indicator, which goes out.
async fn by_hand(stage: &Stage, object: Value) {
    let bundle = json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": [object] });
    let submission = Submission { bundle: bundle.to_string().into_bytes(), ..Submission::of(CIDR, "anna") };
    stage.publisher.submit(submission).await.unwrap();
    stage.flush().await;
}

/// What is noted to be said by another way.
fn said(report: &SourceReport) -> Vec<String> {
    let said = report.notes.iter().filter(|note| note.why.contains("by another way"));
    said.map(|note| note.item.clone()).collect()
}

fn id(n: u32) -> String {
    format!("indicator--00000000-0000-4000-8000-{n:012x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_neither_revokes_nor_overwrites_by_itself_what_a_person_said() {
    let stage = Stage::new().await;
    for n in [1, 2, 3] {
        by_hand(&stage, indicator(n, &json!({}))).await;
    }
    let page = Arc::new(Mutex::new(Vec::new()));
    let now = Arc::clone(&page);
    let server = Server::start(Arc::new(move |target: &str, _: &str| {
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/taxii2/" => taxii_answer(&json!({ "title": "a root" }), ""),
            "/taxii2/collections/" => {
                taxii_answer(&json!({ "collections": [{ "id": COLLECTION, "title": "High value" }] }), "")
            }
            _ => taxii_answer(&json!({ "objects": *now.lock().unwrap() }), "2026-11-02T00:00:00Z"),
        }
    }))
    .await;
    let started = stage.start(&taxii(server.port, "publish = true\ntlp = \"green\""));
    started.until("a run", |report| report.state != "running" && report.last_run.is_some()).await;
    let later = |more: Value| {
        let mut later = json!({ "modified": "2026-11-02T08:00:00.000Z" });
        later.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        later
    };
    let revoked = later(json!({ "revoked": true }));
    let other = later(json!({ "pattern": "[domain-name:value = 'other.evil.example']" }));
    for (n, object, held) in [(1, indicator(1, &revoked), 1), (2, indicator(2, &other), 2)] {
        *page.lock().unwrap() = vec![object];
        let report = started.again().await;
        assert_eq!((report.last.taken, stage.queued(), stage.held().await), (1, 0, held), "{report:?}");
        assert!(said(&report).contains(&id(n)), "{report:?}");
    }
    // The same once more takes nobody's place; nor does the next version of what is the source's own.
    *page.lock().unwrap() = vec![indicator(3, &later(json!({})))];
    started.again().await;
    assert_eq!((stage.queued(), stage.held().await), (1, 2));
    *page.lock().unwrap() = vec![indicator(4, &json!({}))];
    started.again().await;
    stage.flush().await;
    *page.lock().unwrap() = vec![indicator(4, &revoked)];
    let report = started.again().await;
    assert_eq!((stage.queued(), stage.held().await, said(&report).len()), (1, 2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_does_not_overwrite_by_itself_what_a_person_said() {
    let stage = Stage::new().await;
    let named = |n: u8, domain: &str| format!("indicator--{}", attribute(n, domain));
    by_hand(&stage, indicator(1, &json!({ "id": named(1, "a.evil.example") }))).await;
    let events = events(&[(1, &["a.evil.example"]), (2, &["b.evil.example"])]);
    let server = feed(&events).await;
    let started = stage.start(&publishing(server.port));
    let report = started.until("both", |report| report.counts.taken == 2 && report.state != "running").await;
    assert_eq!((stage.queued(), stage.held().await), (1, 1), "{report:?}");
    assert_eq!(said(&report), [named(1, "a.evil.example")], "{report:?}");
    // The other one is the source's own, and its next version goes out.
    stage.flush().await;
    events.lock().unwrap().insert(2, (THEN + 1, vec!["b.evil.example", "c.evil.example"]));
    started.again().await;
    assert_eq!((stage.queued(), stage.held().await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_object_states_otherwise_than_its_source_is_noted() {
    let stage = Stage::new().await;
    let stated = json!({ "extensions": { "extension-definition--5c0c6d0e-4e0b-4d6a-9a55-2f7f3b6d1f4e": {
        "extension_type": "property-extension", "information_class": "alert" } } });
    let bundle = json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001",
        "objects": [indicator(1, &stated)] });
    put(&stage, "a.json", &bundle.to_string());
    let started = stage.start(&folder("classes = [\"indicator\"]"));
    let report = started.until("the file", |report| report.counts.taken == 1).await;
    let note = report.notes.iter().find(|note| note.item == "a.json");
    let why = &note.unwrap().why;
    assert!(why.contains(&id(1)) && why.contains("another information class"), "{why}");
}

/// Another member shares an object in the same group, under AMBER+STRICT.
async fn by_another(stage: &Stage, object: &Value) {
    let text = |name: &str| object[name].as_str().unwrap().to_owned();
    let (member, serial, id) = (MemberId::new([9; 16]), Serial::new(99), MessageId::new([9; 32]));
    let row = ObjectRow {
        id: text("id"),
        kind: text("type"),
        version: text("modified"),
        tlp: schema::Tlp::AmberStrict,
        revoked: false,
        raw: object.to_string().into_bytes(),
        created_by: None,
        pap: 0,
        stated: None,
        observables: Vec::new(),
    };
    let content = OpenedRows {
        publication: PublicationId::new([9; 16]),
        part: 1,
        parts: 1,
        member,
        serial,
        message: id,
        created: clock::now(),
        purpose: schema::Purpose::Detect.into(),
        classes: vec![schema::InformationClass::Indicator.into()],
        recipients: false,
        conditions: Conditions::default(),
        objects: vec![row],
    };
    let row = EnvelopeRow {
        group: CIDR,
        log: LogId::new([9; 32]),
        sequence: Sequence::new(1),
        id,
        prev: MessageId::ZERO,
        member,
        serial,
        created: clock::now(),
        received: clock::now(),
        key_id: None,
        written_at: Height::new(1),
        judged_at: Height::new(u64::MAX),
        in_closed_log: false,
        is_cut_point: false,
        is_listed: false,
        is_vouched: false,
        opens_later: false,
        bytes: vec![7; 100],
        has_body: true,
        state: MessageState::Opened,
        content: Some(content),
        reason: None,
        withdraws: None,
    };
    stage.site.store.commit(Change::Envelope(Box::new(row))).await.unwrap();
}

/// Any member could otherwise stop what others' sources publish, by saying the ids of a public feed to few.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_collection_brings_goes_out_with_a_note_where_another_member_says_it_more_narrowly() {
    let stage = Stage::new().await;
    by_another(&stage, &indicator(1, &json!({}))).await;
    let server = Server::start(Arc::new(move |target: &str, _: &str| {
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/taxii2/" => taxii_answer(&json!({ "title": "a root" }), ""),
            "/taxii2/collections/" => {
                taxii_answer(&json!({ "collections": [{ "id": COLLECTION, "title": "High value" }] }), "")
            }
            _ => taxii_answer(&json!({ "objects": [indicator(1, &json!({}))] }), "2026-11-02T00:00:00Z"),
        }
    }))
    .await;
    let started = stage.start(&taxii(server.port, "publish = true\ntlp = \"green\""));
    let report =
        started.until("a run", |report| report.state != "running" && report.last_run.is_some()).await;
    assert_eq!((report.last.taken, stage.queued(), stage.held().await), (1, 1, 0), "{report:?}");
    assert!(report.notes.iter().any(|note| note.why.contains("its source says")), "{report:?}");
}
