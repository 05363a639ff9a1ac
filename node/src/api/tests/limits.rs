//! Bounds: of bodies, of their depth, of time and of tries.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode, header},
};
use belfry_proto::limits;
use futures::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::site::{HOST, Put, Site, answer, get, nothing, post};
use crate::{
    api::{limit::Rate, service::service},
    query::{Groups, Scope},
};

const ADD: &str = "/taxii2/root/collections/cidr/objects/";
const SUBMIT: &str = "/api/v1/publications?group=cidr";
const IMPORT: &str = "/api/v1/import?group=cidr&tlp=amber&format=text";
const TAXII: &str = "application/taxii+json;version=2.1";
const STIX: &str = "application/stix+json;version=2.1";

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    for (path, kind, limit) in [
        (ADD, TAXII, limits::MAX_BUNDLE),
        (SUBMIT, STIX, limits::MAX_BUNDLE),
        ("/api/v1/tokens", "application/json", 64 * 1024),
        ("/api/v1/log", "text/plain", 64 * 1024 * 1024),
    ] {
        let mut announced = post(&operator, path, kind, "x");
        announced.headers_mut().insert(header::CONTENT_LENGTH, (limit + 1).into());
        let refusal = site.send(announced).await;
        assert_eq!((refusal.status.as_u16(), refusal.code().as_str()), (413, "too-large"), "{path}");

        let chunk = Bytes::from(vec![b' '; 1 << 20]);
        let chunks = stream::iter((0..=limit >> 20).map(move |_| Ok::<_, Infallible>(chunk.clone())));
        let streamed = post(&operator, path, kind, Body::from_stream(chunks));
        let refusal = site.send(streamed).await;
        assert_eq!(
            (refusal.status.as_u16(), refusal.code().as_str()),
            (413, "too-large"),
            "{path}, streamed"
        );
    }
    assert!(site.store.queued(10).unwrap().is_empty());
}

#[tokio::test]
async fn depth_is_bounded_without_a_stack_to_overflow() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let nested = |depth: usize| format!("{}0{}", "[".repeat(depth), "]".repeat(depth));
    let object = |depth| {
        format!(
            r#"{{"type":"identity","spec_version":"2.1","id":"identity--00000000-0000-4000-8000-000000000009",
            "created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","name":"CERT","x_deep":{}}}"#,
            nested(depth)
        )
    };
    for depth in [limits::MAX_DEPTH, 1_000, 1_000_000] {
        let envelope = format!(r#"{{"objects":[{}]}}"#, object(depth));
        assert_eq!(site.send(post(&operator, ADD, TAXII, envelope)).await.status, 422, "{depth}");
        let bundle = format!(
            r#"{{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000001","objects":[{}]}}"#,
            object(depth)
        );
        assert_eq!(site.send(post(&operator, SUBMIT, STIX, bundle)).await.status, 422, "{depth}");
        let tokens = format!(r#"{{"name":"x","read":["cidr"],"deep":{}}}"#, nested(depth));
        let status = site.send(post(&operator, "/api/v1/tokens", "application/json", tokens)).await.status;
        assert!(status == 422 || status == 413 || status == 400, "{depth}: {status}");
    }
    assert!(site.store.queued(10).unwrap().is_empty());
}

/// A body that never comes is given up, and holds no place for bundles after that.
#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_given_up() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    for _ in 0..6 {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let answer = site.send(post(&operator, SUBMIT, STIX, never)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (408, "too-slow"));
    }
}

/// Room that others hold: all there is but so many kibibytes.
fn all_but(site: &Site, left: usize) -> OwnedSemaphorePermit {
    let room = Arc::clone(&site.app.submissions);
    let taken = u32::try_from(room.available_permits() - left).unwrap();
    room.try_acquire_many_owned(taken).unwrap()
}

#[tokio::test]
async fn bundles_beyond_those_taken_in_at_once_are_told_to_come_back() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let others = all_but(&site, 0);
    for request in [post(&operator, SUBMIT, STIX, "{}"), post(&operator, ADD, TAXII, "{}")] {
        let busy = site.send(request).await;
        assert_eq!((busy.status.as_u16(), busy.code().as_str()), (503, "submissions-busy"));
        assert!(busy.header("retry-after").is_some());
    }
    drop(others);
    let answer = site.send(post(&operator, SUBMIT, STIX, "{}")).await;
    assert_eq!(answer.status, 422, "their places are free again");
}

#[tokio::test]
async fn what_is_announced_and_does_not_come_holds_no_room() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let all = site.app.submissions.available_permits();
    let waiting: Vec<_> = (0..16)
        .map(|_| {
            let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
            let mut request = post(&operator, SUBMIT, STIX, never);
            request.headers_mut().insert(header::CONTENT_LENGTH, limits::MAX_BUNDLE.into());
            tokio::spawn(answer(service(&site.app), request))
        })
        .collect();
    while site.app.submissions.available_permits() > all - 16 * 64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.app.submissions.available_permits(), all - 16 * 64, "what a request costs, and no more");
    assert_eq!(site.send(post(&operator, SUBMIT, STIX, "{}")).await.status, 422, "others are heard");
    for task in waiting {
        task.abort();
        let _ = task.await;
    }
    assert_eq!(site.app.submissions.available_permits(), all);
}

#[tokio::test]
async fn what_comes_beyond_the_room_there_is_is_not_read_to_its_end() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let _others = all_but(&site, 2_048);
    let read = Arc::new(AtomicUsize::new(0));
    let body = || {
        let (chunk, read) = (Bytes::from(vec![b' '; 1 << 20]), Arc::clone(&read));
        let chunks = (0..60).map(move |_| {
            read.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(chunk.clone())
        });
        Body::from_stream(stream::iter(chunks))
    };
    for (path, kind) in [(SUBMIT, STIX), (ADD, TAXII), (IMPORT, "text/plain")] {
        read.store(0, Ordering::SeqCst);
        let busy = site.send(post(&operator, path, kind, body())).await;
        assert_eq!((busy.status.as_u16(), busy.code().as_str()), (503, "submissions-busy"), "{path}");
        assert!(read.load(Ordering::SeqCst) <= 4, "{path}: {} MiB were read", read.load(Ordering::SeqCst));
        assert_eq!(site.app.submissions.available_permits(), 2_048, "{path}: what came is let go");
        // Who says so beforehand need not send it.
        read.store(0, Ordering::SeqCst);
        let mut announced = post(&operator, path, kind, body());
        announced.headers_mut().insert(header::CONTENT_LENGTH, (60_usize << 20).into());
        assert_eq!(site.send(announced).await.status, 503, "{path}");
        assert_eq!(read.load(Ordering::SeqCst), 0, "{path}");
    }
}

#[tokio::test]
async fn an_import_is_charged_for_what_it_becomes() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let lines: String = (0..4_000).map(|n| format!("n{n}.evil.be\n")).collect();
    assert!(lines.len() < 64 << 10, "it comes in the least room there is");
    let others = all_but(&site, 1_024);
    let busy = site.send(post(&operator, IMPORT, "text/plain", lines.clone())).await;
    assert_eq!((busy.status.as_u16(), busy.code().as_str()), (503, "submissions-busy"));
    assert_eq!(site.app.submissions.available_permits(), 1_024);
    drop(others);
    let taken = site.send(post(&operator, IMPORT, "text/plain", lines)).await;
    assert_eq!(taken.status, 202, "{}", String::from_utf8_lossy(&taken.body));
}

#[tokio::test]
async fn failing_tokens_are_slowed_and_good_ones_are_not() {
    let site = Site::new().await;
    let good = site.reader().await;
    let mut statuses = Vec::new();
    for _ in 0..15 {
        statuses.push(site.get("garbage", "/api/v1/status").await.status.as_u16());
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[10..], [429; 5]);
    let slowed = site.get("garbage", "/taxii2/").await;
    assert_eq!((slowed.status.as_u16(), slowed.code().as_str()), (429, "too-many-failures"));
    assert!(slowed.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(slowed.json()["http_status"], "429");
    assert_eq!(site.get(&good, "/api/v1/status").await.status, 200, "other tools share this address");
    let bare = site.send(get("/api/v1/status").body(Body::empty()).unwrap()).await;
    assert_eq!(bare.status, 401, "asking without a token is how clients learn the schemes");
}

#[tokio::test]
async fn a_token_that_asks_too_often_waits_alone() {
    let site = Site::with_rate(Rate { per_second: 0.001, burst: 3.0 }).await;
    let [one, two] = [site.reader().await, site.token("two", Scope::operator()).await];
    for _ in 0..3 {
        assert_eq!(site.get(&one, "/taxii2/").await.status, 200);
    }
    let slowed = site.get(&one, "/taxii2/").await;
    assert_eq!((slowed.status.as_u16(), slowed.code().as_str()), (429, "too-many-requests"));
    assert_eq!(site.get(&two, "/taxii2/").await.status, 200);
}

#[tokio::test]
async fn a_long_query_is_refused_and_not_searched() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[Put::indicator(1)]).await;
    let ids = |n: usize| (0..n).map(|i| format!("indicator--{i}")).collect::<Vec<_>>().join(",");
    for (n, status) in [(100, 200), (101, 400), (1_500, 400)] {
        let answer = site.get(&token, &format!("{ADD}?match[id]={}", ids(n))).await;
        assert_eq!(answer.status.as_u16(), status, "{n} ids");
    }
}

#[tokio::test]
async fn bad_query_strings_are_told_and_not_guessed() {
    let site = Site::new().await;
    let token = site.reader().await;
    for (path, status) in [
        ("/api/v1/objects", 400),
        ("/api/v1/objects?group=cidr&tlp=amber", 400),
        ("/api/v1/objects?group=cidr&group=cidr", 400),
        ("/api/v1/objects?group=cidr&limit=0", 400),
        ("/api/v1/objects?group=cidr&next=x", 400),
        ("/api/v1/objects?group=nobody", 404),
        ("/api/v1/events?after=x", 400),
        ("/api/v1/events?after=-1", 400),
        ("/api/v1/events?groups=cidr", 400),
        ("/api/v1/messages/x", 404),
        ("/api/v1/objects/%FF", 400),
    ] {
        let answer = site.get(&token, path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

/// What went wrong inside is for the log; the client gets an id to find it by.
#[tokio::test]
async fn a_fault_of_ours_tells_nothing_of_the_inside() {
    let site = Site::new().await;
    let token = site.token("all", Scope { read: Groups::All, ..nothing() }).await;
    // A row that is no JSON can only come from damage.
    let mut broken = Put::indicator(1);
    broken.id = "secret\"inside".to_owned();
    site.put(&[broken]).await;
    let answer = site.get(&token, "/api/v1/objects?group=cidr").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "internal"));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    for inner in ["secret", "serde", "line 1", "column", "rocksdb", "src/"] {
        assert!(!text.contains(inner), "{text}");
    }
    let id = answer.header("x-request-id").unwrap();
    assert!(text.contains(id), "the id of the log line: {text}");
}

#[tokio::test]
async fn a_panic_in_a_handler_is_an_answer_and_the_server_lives() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let request = Request::builder().method("POST").uri("/api/v1/log").header(header::HOST, HOST);
    let request = request.header(header::AUTHORIZATION, format!("Bearer {operator}"));
    let answer = site.send(request.body(Body::from("panic, please")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!String::from_utf8_lossy(&answer.body).contains("asked for"), "its words stay inside");
    assert_eq!(site.get(&operator, "/api/v1/status").await.status, 200);
}
