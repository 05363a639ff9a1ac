//! The live stream: resumes, tells its gaps, beats, and shows nothing above its token's ceiling.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, header},
};
use belfry_proto::stix::marking::Tlp;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{
    coalition::{CIDR, CLOUD, HOSPITALS},
    site::{Put, Site, get, id_of, only},
};
use crate::{
    api::service::service,
    clock,
    query::{Groups, Scope},
};

/// One event as it went over the wire.
#[derive(Debug, PartialEq)]
struct Event {
    kind: String,
    id: u64,
    data: Value,
}

struct Stream(Body);

impl Stream {
    async fn open(site: &Site, token: &str, path: &str, last: Option<&str>) -> Self {
        let mut request = get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request: Request<Body> = request.body(Body::empty()).unwrap();
        let response = service(&site.app).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self(response.into_body())
    }

    /// The next event; `None` once the stream ended.
    async fn next(&mut self) -> Option<Event> {
        let frame = self.0.frame().await?.unwrap().into_data().unwrap();
        let text = String::from_utf8(frame.to_vec()).unwrap();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
            line.trim_start().to_owned()
        };
        let data = serde_json::from_str(&field("data")).unwrap();
        Some(Event { kind: field("event"), id: field("id").parse().unwrap(), data })
    }

    async fn objects(&mut self, n: usize) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        for _ in 0..n {
            let event = self.next().await.unwrap();
            assert_eq!(event.kind, "object");
            found.push((event.id, event.data["id"].as_str().unwrap().to_owned()));
        }
        found
    }
}

fn id(n: u32) -> String {
    Put::indicator(n).id
}

#[tokio::test(start_paused = true)]
async fn it_starts_at_the_head_and_brings_what_is_new() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[Put::indicator(1)]).await;
    let mut stream = Stream::open(&site, &token, "/api/v1/events", None).await;
    site.put(&[Put::indicator(2), Put::indicator(3)]).await;
    assert_eq!(stream.objects(2).await, [(2, id(2)), (3, id(3))]);
    site.put(&[Put::indicator(4)]).await;
    let event = stream.next().await.unwrap();
    assert_eq!((event.id, &event.data["group"], &event.data["tlp"]), (4, &json!("cidr"), &json!("amber")));
    assert_eq!(event.data["object"]["id"], json!(id(4)), "with the author's own JSON");
}

#[tokio::test(start_paused = true)]
async fn it_resumes_after_the_last_event_without_loss_or_double() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&(1..=600).map(Put::indicator).collect::<Vec<_>>()).await;
    let mut seen = Vec::new();
    let mut last = "0".to_owned();
    // Broken off after every few events, resumed where it stood.
    while seen.len() < 600 {
        let mut stream = Stream::open(&site, &token, "/api/v1/events", Some(&last)).await;
        let events = stream.objects((600 - seen.len()).min(97)).await;
        last = events.last().unwrap().0.to_string();
        seen.extend(events);
    }
    let expected: Vec<(u64, String)> = (1..=600).map(|n| (u64::from(n), id(n))).collect();
    assert_eq!(seen, expected);
    let mut from_start = Stream::open(&site, &token, "/api/v1/events?after=0", None).await;
    assert_eq!(from_start.objects(1).await, [(1, id(1))]);
    let mut header_wins = Stream::open(&site, &token, "/api/v1/events?after=0", Some("599")).await;
    assert_eq!(header_wins.objects(1).await, [(600, id(600))]);
}

#[tokio::test(start_paused = true)]
async fn a_number_this_feed_never_gave_is_a_gap_and_not_silence() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[Put::indicator(1)]).await;
    let mut stream = Stream::open(&site, &token, "/api/v1/events", Some("77")).await;
    let gap = stream.next().await.unwrap();
    assert_eq!((gap.kind.as_str(), gap.id), ("gap", 1));
    assert_eq!(gap.data, json!({"after": 77, "resumes_after": 1}));
    site.put(&[Put::indicator(2)]).await;
    assert_eq!(stream.objects(1).await, [(2, id(2))]);
}

#[tokio::test(start_paused = true)]
async fn it_beats_in_silence_and_the_beat_carries_the_position() {
    let site = Site::new().await;
    let token = site.token("cloud", Scope::reads([CLOUD])).await;
    let before = tokio::time::Instant::now();
    let mut stream = Stream::open(&site, &token, "/api/v1/events?after=0", None).await;
    site.put(&[Put::indicator(1), Put::indicator(2)]).await;
    let beat = stream.next().await.unwrap();
    assert_eq!((beat.kind.as_str(), beat.id), ("heartbeat", 2), "past what this token may not see");
    assert!(before.elapsed().as_secs() >= 15, "the clock is the test's own");
    let beat = stream.next().await.unwrap();
    assert_eq!((beat.kind.as_str(), beat.id), ("heartbeat", 2));
}

#[tokio::test(start_paused = true)]
async fn progress_of_sync_is_told_to_who_asks_of_the_groups_it_reads() {
    let site = Site::new().await;
    let token = site.token("cidr", Scope::reads([CIDR])).await;
    let mut stream = Stream::open(&site, &token, "/api/v1/events?sync=true", None).await;
    let told = stream.next().await.unwrap();
    assert_eq!(told.kind, "sync");
    let groups = |event: &Event| -> Vec<(String, u64)> {
        let groups = event.data["groups"].as_array().unwrap().iter();
        let fact =
            |group: &Value| (group["slug"].as_str().unwrap().to_owned(), group["progress"]["held"].as_u64());
        groups.map(fact).map(|(slug, held)| (slug, held.unwrap())).collect()
    };
    assert_eq!(groups(&told), [("cidr".to_owned(), 0)]);
    assert_eq!(told.data["groups"][0]["progress"]["state"], "no-peer", "alone it knows of nothing");
    site.put(&[Put::indicator(1)]).await;
    let mut next = stream.next().await.unwrap();
    while next.kind != "sync" {
        next = stream.next().await.unwrap();
    }
    assert_eq!(groups(&next), [("cidr".to_owned(), 1)]);
    let answer = site
        .send(
            get("/api/v1/events?sync=maybe")
                .header("authorization", format!("Bearer {token}"))
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test(start_paused = true)]
async fn it_shows_nothing_above_the_ceiling_or_outside_the_groups() {
    let site = Site::new().await;
    let scope = Scope { ceiling: Tlp::Green, ..Scope::reads([CIDR, CLOUD]) };
    let token = site.token("green", scope).await;
    let red = site.token("red", Scope { red: true, ..Scope::reads([CIDR]) }).await;
    let put = |n: u32, group, tlp, recipients| Put { group, tlp, recipients, ..Put::indicator(n) };
    site.put(&[
        put(1, CIDR, Tlp::Amber, false),
        put(2, CIDR, Tlp::Red, true),
        put(3, HOSPITALS, Tlp::Clear, false),
        put(4, CLOUD, Tlp::Green, false),
        put(5, CIDR, Tlp::Red, false),
        put(6, CIDR, Tlp::Clear, false),
    ])
    .await;
    let mut stream = Stream::open(&site, &token, "/api/v1/events?after=0", None).await;
    assert_eq!(stream.objects(2).await, [(4, id(4)), (6, id(6))]);
    assert_eq!(stream.next().await.unwrap().kind, "heartbeat");
    let mut stream = Stream::open(&site, &red, "/api/v1/events?after=0", None).await;
    assert_eq!(stream.objects(3).await, [(1, id(1)), (2, id(2)), (6, id(6))]);
    assert_eq!(stream.next().await.unwrap().kind, "heartbeat");
}

#[tokio::test(start_paused = true)]
async fn group_and_type_filters_hold() {
    let site = Site::new().await;
    let token = site.reader().await;
    let cloud = |n| Put { group: CLOUD, ..Put::indicator(n) };
    site.put(&[Put::indicator(1), cloud(2), Put { group: CLOUD, ..Put::of("malware", 3) }, cloud(4)]).await;
    let mut stream =
        Stream::open(&site, &token, "/api/v1/events?after=0&group=cloud-security&type=indicator", None).await;
    assert_eq!(stream.objects(2).await, [(2, id(2)), (4, id(4))]);
    assert_eq!(stream.next().await.unwrap().kind, "heartbeat");
    let narrow = site.token("narrow", Scope { read: only(&[CLOUD]), ..Scope::operator() }).await;
    assert_eq!(site.get(&narrow, "/api/v1/events?group=cidr").await.status, 403);
    assert_eq!(site.get(&narrow, "/api/v1/events?group=cloud-security,cidr").await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_token_and_with_the_server() {
    let site = Site::new().await;
    let token = site.token("short", Scope { read: Groups::All, ..Scope::operator() }).await;
    let mut stream = Stream::open(&site, &token, "/api/v1/events", None).await;
    site.put(&[Put::indicator(1)]).await;
    assert_eq!(stream.objects(1).await.len(), 1);
    assert!(site.query.tokens().revoke(id_of(&token)).await.unwrap());
    site.put(&[Put::indicator(2)]).await;
    assert_eq!(stream.next().await, None, "nothing more for a revoked token");

    // Of a secret that goes on for a while the stream goes on as long; the next rotation ends both.
    let (token, hour) = (site.reader().await, Duration::from_secs(3_600));
    let mut stream = Stream::open(&site, &token, "/api/v1/events", None).await;
    site.query.tokens().rotate(id_of(&token), hour, clock::now()).await.unwrap();
    site.put(&[Put::indicator(3)]).await;
    assert_eq!(stream.objects(1).await.len(), 1);
    let fresh = site.query.tokens().rotate(id_of(&token), hour, clock::now()).await.unwrap();
    site.put(&[Put::indicator(4)]).await;
    assert_eq!(stream.next().await, None, "nothing more for a secret that was rotated away");

    let mut stream = Stream::open(&site, fresh.text.expose(), "/api/v1/events", None).await;
    site.stopping.cancel();
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn too_many_streams_are_told_and_ended_ones_make_room() {
    let site = Site::new().await;
    let token = site.reader().await;
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(Stream::open(&site, &token, "/api/v1/events", None).await);
    }
    let busy = site.get(&token, "/api/v1/events").await;
    assert_eq!((busy.status.as_u16(), busy.code().as_str()), (503, "streams-busy"));
    streams.pop();
    assert_eq!(site.get(&token, "/api/v1/events").await.status, 200);
}
