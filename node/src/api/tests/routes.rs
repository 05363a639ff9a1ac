//! What every route must ask for and answer. A route of the router's table that is not stated here, or
//! stated otherwise, fails; every other test that walks all routes walks this list.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use belfry_proto::{
    id::{MessageId, PublicationId},
    stix::proposal::{Change, Proposal},
};
use serde_json::json;

use super::{
    coalition::{CIDR, OTHER, OWN},
    site::{HOST, Put, Site, id_of, nothing, post},
};
use crate::{
    api::{
        auth::Needs,
        exports,
        route::{self, Route},
    },
    query::Scope,
};

/// How a route shows that its token does not cover the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grouped {
    /// It has nothing to do with groups.
    No,
    /// The group is named: 403.
    Named,
    /// What is asked for lies in a group: 404, as if it were not there.
    Within,
}

pub(super) struct Expected {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) needs: Needs,
    /// With everything right.
    pub(super) status: u16,
    pub(super) grouped: Grouped,
}

const fn expected(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    status: u16,
    grouped: Grouped,
) -> Expected {
    Expected { method, path, needs, status, grouped }
}

#[rustfmt::skip]
pub(super) const ALL: &[Expected] = &{
    use Grouped::{Named, No, Within};
    use Needs::{Admin, Nothing, Publish, Read, ReadAndPublish, Token};
    [
        expected("GET", "/health/live", Nothing, 200, No),
        expected("GET", "/health/ready", Nothing, 200, No),
        expected("GET", "/metrics", Token, 200, No),
        expected("GET", "/taxii2/", Token, 200, No),
        expected("GET", "/taxii2/root/", Token, 200, No),
        expected("GET", "/taxii2/root/status/{id}/", Publish, 200, Within),
        expected("GET", "/taxii2/root/collections/", Token, 200, No),
        expected("GET", "/taxii2/root/collections/{collection}/", Token, 200, Named),
        expected("GET", "/taxii2/root/collections/{collection}/manifest/", Read, 200, Named),
        expected("GET", "/taxii2/root/collections/{collection}/objects/", Read, 200, Named),
        expected("POST", "/taxii2/root/collections/{collection}/objects/", Publish, 202, Named),
        expected("GET", "/taxii2/root/collections/{collection}/objects/{object}/", Read, 200, Named),
        expected("DELETE", "/taxii2/root/collections/{collection}/objects/{object}/", ReadAndPublish, 200, Named),
        expected("GET", "/taxii2/root/collections/{collection}/objects/{object}/versions/", Read, 200, Named),
        expected("GET", "/servers/getPyMISPVersion.json", Token, 200, No),
        expected("GET", "/attributes/describeTypes.json", Token, 200, No),
        expected("GET", "/servers/getVersion", Token, 200, No),
        expected("GET", "/users/view/me", Token, 200, No),
        expected("POST", "/attributes/restSearch", Read, 200, Within),
        expected("POST", "/events/restSearch", Read, 200, Within),
        expected("POST", "/sightings/add", Publish, 200, Within),
        expected("POST", "/sightings/add/{attribute}", Publish, 200, Within),
        expected("GET", "/api/v1/openapi.json", Token, 200, No),
        expected("GET", "/api/v1/status", Token, 200, No),
        expected("GET", "/api/v1/peers", Admin, 200, No),
        expected("GET", "/api/v1/sync", Token, 200, No),
        expected("GET", "/api/v1/groups", Token, 200, No),
        expected("GET", "/api/v1/members", Token, 200, No),
        expected("GET", "/api/v1/members/{member}/heads", Admin, 200, No),
        expected("GET", "/api/v1/members/{member}/contact", Read, 200, No),
        expected("GET", "/api/v1/contacts", Read, 200, No),
        expected("POST", "/api/v1/contacts", Admin, 200, No),
        expected("GET", "/api/v1/rules", Token, 200, No),
        expected("GET", "/api/v1/rules/{text}", Token, 200, No),
        expected("GET", "/api/v1/activity", Token, 200, No),
        expected("GET", "/api/v1/newcomers", Admin, 200, No),
        expected("POST", "/api/v1/holds", Admin, 201, No),
        expected("DELETE", "/api/v1/holds/{member}", Admin, 204, No),
        expected("GET", "/api/v1/log", Admin, 200, No),
        expected("POST", "/api/v1/log", Admin, 200, No),
        expected("GET", "/api/v1/log/equivocations", Admin, 200, No),
        expected("POST", "/api/v1/backups", Admin, 201, No),
        expected("GET", "/api/v1/objects", Read, 200, Named),
        expected("GET", "/api/v1/objects/{object}", Read, 200, Within),
        expected("POST", "/api/v1/objects/{object}/proposals", Publish, 202, Within),
        expected("GET", "/api/v1/proposals", Read, 200, No),
        expected("POST", "/api/v1/proposals/{proposal}/accept", Publish, 202, Within),
        expected("POST", "/api/v1/proposals/{proposal}/decline", Publish, 202, Within),
        expected("POST", "/api/v1/lookup", Read, 200, No),
        expected("POST", "/api/v1/sightings", Publish, 202, Within),
        expected("GET", "/api/v1/exports", Read, 200, No),
        expected("GET", "/api/v1/exports/{export}", Read, 200, Within),
        expected("GET", "/api/v1/exports/{export}/report", Read, 200, Within),
        expected("GET", "/api/v1/exports/{export}/{file}", Read, 200, Within),
        expected("GET", "/api/v1/messages/{message}", Read, 200, Within),
        expected("GET", "/api/v1/messages/{message}/envelope", Read, 200, Within),
        expected("GET", "/api/v1/forks", Read, 200, No),
        expected("GET", "/api/v1/events", Read, 200, Named),
        expected("POST", "/api/v1/publications", Publish, 202, Named),
        expected("POST", "/api/v1/previews", Publish, 200, Named),
        expected("POST", "/api/v1/import", Publish, 202, Named),
        expected("GET", "/api/v1/drafts", Publish, 200, No),
        expected("GET", "/api/v1/drafts/{draft}", Publish, 200, Within),
        expected("POST", "/api/v1/drafts/{draft}/release", Publish, 202, Within),
        expected("DELETE", "/api/v1/drafts/{draft}", Publish, 204, Within),
        expected("GET", "/api/v1/publications/{publication}", Publish, 200, Within),
        expected("GET", "/api/v1/publications/{publication}/holders", Publish, 200, Within),
        expected("POST", "/api/v1/withdrawals", Publish, 202, Named),
        expected("GET", "/api/v1/hooks", Admin, 200, No),
        expected("GET", "/api/v1/hooks/{hook}/dead-letters", Admin, 200, No),
        expected("GET", "/api/v1/hooks/{hook}/tries", Admin, 200, No),
        expected("POST", "/api/v1/hooks/{hook}/replay", Admin, 202, No),
        expected("POST", "/api/v1/subject-searches", Admin, 200, No),
        expected("GET", "/api/v1/sources", Admin, 200, No),
        expected("POST", "/api/v1/sources/{source}/run", Admin, 202, Within),
        expected("GET", "/api/v1/audit", Admin, 200, No),
        expected("GET", "/api/v1/tokens", Admin, 200, No),
        expected("POST", "/api/v1/tokens", Admin, 201, No),
        expected("POST", "/api/v1/tokens/{token}/rotate", Admin, 200, No),
        expected("DELETE", "/api/v1/tokens/{token}", Admin, 204, No),
    ]
};

const OWNED_ID: &str = "identity--00000000-0000-4000-8000-0000000000aa";
const OWNED: &str = r#"{"type":"identity","spec_version":"2.1","id":"identity--00000000-0000-4000-8000-0000000000aa","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","name":"CERT"}"#;

/// Another member's, of which this one may propose a change.
fn foreign() -> Put {
    Put::pattern(78, "[domain-name:value = 'foreign.example']", &json!({})).by(OTHER)
}

/// Notes by which another member proposes changes of what this one owns.
fn proposal(n: u32) -> Put {
    let change =
        Change { set: [("name".to_owned(), json!("CERT.be"))].into_iter().collect(), ..Change::default() };
    let proposal = Proposal {
        of: OWNED_ID.to_owned(),
        version: "2026-01-01T00:00:00.000Z".to_owned(),
        change,
        comment: String::new(),
    };
    let id = format!("note--00000000-0000-4000-8000-{n:012x}");
    let note = Put::json(proposal.note(&id, "2026-01-02T00:00:00Z".parse().unwrap())).by(OTHER);
    Put { recipients: true, ..note }
}

/// What an indicator names that can be sighted.
const SEEN: &str = "45.155.9.9";

fn seen() -> Put {
    Put::pattern(77, &format!("[ipv4-addr:value = '{SEEN}']"), &json!({}))
}

/// Things that are really there, for the paths that name one.
pub(super) struct Samples {
    object: String,
    message: MessageId,
    publication: PublicationId,
    /// One to be released, one to be discarded.
    drafts: [String; 2],
    pub(super) victim: String,
}

impl Samples {
    /// An object in `cidr`, a publication of the token named `operator`, a token to revoke.
    pub(super) async fn make(site: &Site, operator: &str) -> Self {
        let object = Put::indicator(1);
        let message = site.put(&[seen(), foreign(), object.clone()]).await;
        site.say(&[OWNED]).await;
        site.put(&[proposal(1), proposal(2)]).await;
        let sent = Self {
            object: object.id,
            message,
            publication: PublicationId::ZERO,
            drafts: [String::new(), String::new()],
            victim: String::new(),
        };
        let route = ALL.iter().find(|route| route.path == "/api/v1/publications").unwrap();
        let answer = site.send(sent.request(route, Some(operator))).await;
        let publication = answer.json()["publication"].as_str().unwrap().parse().unwrap();
        let mut drafts = [String::new(), String::new()];
        for (n, draft) in drafts.iter_mut().enumerate() {
            let path = "/api/v1/import?group=cidr";
            let request = post(operator, path, "text/plain", format!("hxxp://evil[.]example/{n}"));
            *draft = site.send(request).await.json()["publication"].as_str().unwrap().to_owned();
        }
        let victim = site.token("victim", Scope { admin: true, ..nothing() }).await;
        Self { publication, drafts, victim, ..sent }
    }

    /// A request that only a token can make fail.
    pub(super) fn request(&self, route: &Expected, token: Option<&str>) -> Request<Body> {
        let status = uuid::Uuid::from_bytes(*self.publication.as_bytes()).to_string();
        let victim = if self.victim.is_empty() { String::new() } else { id_of(&self.victim).to_string() };
        let mut path = route.path.to_owned();
        for (name, value) in [
            ("{id}", status),
            ("{collection}", "cidr".to_owned()),
            ("{object}", self.object.clone()),
            ("{member}", OWN.to_string()),
            ("{message}", self.message.to_string()),
            ("{export}", "firewall".to_owned()),
            ("{file}", "ipv4-addr.txt".to_owned()),
            ("{publication}", self.publication.to_string()),
            ("{token}", victim),
            ("{draft}", self.drafts[usize::from(route.method == "DELETE")].clone()),
            ("{hook}", "soar".to_owned()),
            ("{text}", "rules-of-conduct".to_owned()),
            ("{attribute}", exports::misp_id(&[b"value", b"ip-dst", SEEN.as_bytes()]).to_string()),
            ("{source}", "drop".to_owned()),
            ("{proposal}", proposal(if route.path.ends_with("accept") { 1 } else { 2 }).id),
        ] {
            path = path.replace(name, &value);
        }
        if route.method == "DELETE" {
            // Only what really stands in the member's own log can be taken back.
            path = path.replace(&self.object, OWNED_ID);
        }
        if path.ends_with("/proposals") {
            path = path.replace(&self.object, &foreign().id);
        }
        assert!(!path.contains('{'), "no sample for {path}");
        if route.grouped == Grouped::Named && path.starts_with("/api/") {
            path = format!("{path}?group={}", CIDR.get());
        }
        let (kind, body) = Self::body(route);
        let mut request = Request::builder().method(route.method).uri(path).header(header::HOST, HOST);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        request.body(Body::from(body)).unwrap()
    }

    fn body(route: &Expected) -> (&'static str, String) {
        let object = r#"{"type":"identity","spec_version":"2.1","id":"identity--00000000-0000-4000-8000-000000000009",
            "created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","name":"CERT"}"#;
        match (route.method, route.path) {
            ("POST", "/attributes/restSearch" | "/events/restSearch") => {
                ("application/json", r#"{"type":["ip-dst"]}"#.to_owned())
            }
            ("POST", "/sightings/add") => ("application/json", format!(r#"{{"value":"{SEEN}"}}"#)),
            ("POST", "/sightings/add/{attribute}") => ("application/json", r#"{"type":"0"}"#.to_owned()),
            ("POST", "/api/v1/sightings") => ("application/json", format!(r#"{{"object":"{OWNED_ID}"}}"#)),
            ("POST", "/api/v1/objects/{object}/proposals") => (
                "application/json",
                r#"{"set":{"confidence":10},"comment":"seen on our own site"}"#.to_owned(),
            ),
            ("POST", "/api/v1/proposals/{proposal}/accept") => {
                ("application/json", json!({ "version": proposal(1).version }).to_string())
            }
            ("POST", "/api/v1/log") => ("text/plain", "a log".to_owned()),
            ("POST", "/api/v1/backups") => ("application/json", r#"{"folder":"/srv/backup"}"#.to_owned()),
            ("POST", "/api/v1/subject-searches") => {
                ("application/json", r#"{"values":["jan@bank.example"]}"#.to_owned())
            }
            ("POST", "/api/v1/holds") => ("application/json", format!(r#"{{"member":"{OWN}"}}"#)),
            ("POST", "/api/v1/contacts") => (
                "application/json",
                r#"{"mailboxes":[{"role":"incident","email":"csirt@bank.example"}]}"#.to_owned(),
            ),
            ("POST", "/api/v1/lookup") => ("application/json", r#"{"values":["198.51.100.7"]}"#.to_owned()),
            ("POST", "/api/v1/tokens") => {
                ("application/json", r#"{"name":"made","read":["cidr"]}"#.to_owned())
            }
            ("POST", "/api/v1/tokens/{token}/rotate") => {
                ("application/json", r#"{"overlap_seconds":60}"#.to_owned())
            }
            ("POST", "/api/v1/withdrawals") => (
                "application/json",
                format!(r#"{{"group":"cidr","mode":"retract","objects":["{OWNED_ID}"]}}"#),
            ),
            ("POST", "/api/v1/import") => ("text/plain", "hxxp://evil[.]example/a".to_owned()),
            ("POST", "/api/v1/publications" | "/api/v1/previews") => (
                "application/stix+json;version=2.1",
                format!(
                    r#"{{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000001","objects":[{object}]}}"#
                ),
            ),
            ("POST", path) if path.starts_with("/taxii2") => {
                ("application/taxii+json;version=2.1", format!(r#"{{"objects":[{object}]}}"#))
            }
            _ => ("", String::new()),
        }
    }
}

#[test]
fn every_route_is_stated_here_with_what_it_needs() {
    let name = |method: &Method, path: &str, needs: Needs| format!("{method} {path} {needs:?}");
    let mut actual: Vec<String> =
        route::table().iter().map(|Route { method, path, needs, .. }| name(method, path, *needs)).collect();
    let mut stated: Vec<String> =
        ALL.iter().map(|e| name(&e.method.parse().unwrap(), e.path, e.needs)).collect();
    actual.sort();
    stated.sort();
    assert_eq!(actual, stated);
}

#[tokio::test]
async fn every_route_answers_whoever_may() {
    let site = Site::with_a_steward().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    for route in ALL {
        let answer = site.send(samples.request(route, Some(&operator))).await;
        assert_eq!(
            answer.status.as_u16(),
            route.status,
            "{} {}: {}",
            route.method,
            route.path,
            String::from_utf8_lossy(&answer.body)
        );
    }
}

#[tokio::test]
async fn a_forgotten_last_slash_is_no_redirect() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    for path in
        ["/taxii2", "/taxii2/root", "/taxii2/root/collections", "/taxii2/root/collections/cidr/objects"]
    {
        assert_eq!(site.get(&operator, path).await.status, 200, "{path}");
    }
}
