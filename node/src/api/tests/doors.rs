//! Nobody gets past a door: every route × every bad token, scope and group, every bad Host, Origin and
//! Sec-Fetch-Site (threats, rows 7 and 14).

use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    coalition::CLOUD,
    routes::{ALL, Expected, Grouped, Samples},
    site::{Answer, HOST, Put, Site, answer, get, nothing, only},
};
use crate::{
    api::auth::Needs,
    query::{Groups, Scope},
};

/// The error wears the dress of its path and tells nothing of the inside.
#[track_caller]
fn is_dressed(answer: &Answer, path: &str, what: &str) {
    let kind = answer.header("content-type").unwrap();
    let json = answer.json();
    if path.starts_with("/taxii2") {
        assert_eq!(kind, "application/taxii+json;version=2.1", "{what}");
        assert_eq!(json["http_status"], Value::from(answer.status.as_str()), "{what}: a string");
        assert!(json["title"].is_string() && json["error_id"].is_string(), "{what}: {json}");
    } else {
        assert_eq!(kind, "application/problem+json", "{what}");
        assert_eq!(json["status"], Value::from(answer.status.as_u16()), "{what}: a number");
        assert!(json["title"].is_string() && json["request_id"].is_string(), "{what}: {json}");
    }
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{what}");
    assert!(answer.header("x-request-id").is_some(), "{what}");
}

/// Scopes that lack what a route needs, each in another way.
fn too_narrow(needs: Needs) -> Vec<Scope> {
    let read = Scope { read: Groups::All, ..nothing() };
    let publish = Scope { publish: Groups::All, ..nothing() };
    let admin = Scope { admin: true, ..nothing() };
    let both = Scope { publish: Groups::All, ..read.clone() };
    match needs {
        Needs::Nothing | Needs::Token => Vec::new(),
        Needs::Read => vec![publish, admin],
        Needs::Publish => vec![read, admin],
        Needs::ReadAndPublish => vec![read, publish, admin],
        Needs::Admin => vec![read, publish, both],
    }
}

#[tokio::test]
async fn no_route_opens_without_a_good_token() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    let expired = site.expired(Scope::operator()).await;
    let revoked = site.revoked(Scope::operator()).await;
    let (id, _) = operator.rsplit_once('_').unwrap();
    let forged = format!("{id}_{}", "0".repeat(64));
    let unknown = format!("belfry_{}_{}", "0".repeat(16), "0".repeat(64));
    let tokens = [
        (None, "token-missing"),
        (Some("garbage"), "token-unknown"),
        (Some(""), "token-unknown"),
        (Some(unknown.as_str()), "token-unknown"),
        (Some(forged.as_str()), "token-unknown"),
        (Some(revoked.as_str()), "token-unknown"),
        (Some(expired.as_str()), "token-expired"),
    ];
    for route in ALL.iter().filter(|route| route.needs != Needs::Nothing) {
        for (token, code) in tokens {
            let what = format!("{} {} with {token:?}", route.method, route.path);
            let answer = answer(site.fresh_router(), samples.request(route, token)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
            assert_eq!(answer.code(), code, "{what}");
            is_dressed(&answer, route.path, &what);
            let offered: Vec<&str> = answer
                .headers
                .get_all(header::WWW_AUTHENTICATE)
                .iter()
                .map(|v| v.to_str().unwrap())
                .collect();
            assert!(offered.iter().any(|scheme| scheme.starts_with("Basic realm=")), "{what}: {offered:?}");
            assert!(offered.iter().any(|scheme| scheme.starts_with("Bearer realm=")), "{what}: {offered:?}");
        }
        for scheme in ["Digest x", "belfry", "Basic !!!", "Basic Zm9v"] {
            let mut request = samples.request(route, None);
            request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static(scheme));
            let answer = answer(site.fresh_router(), request).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (401, "token-unreadable"),
                "{scheme}"
            );
        }
    }
}

#[tokio::test]
async fn two_authorization_headers_are_none() {
    let site = Site::new().await;
    let token = site.reader().await;
    let request = get("/api/v1/status")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(site.send(request).await.status, 401);
}

#[tokio::test]
async fn no_route_opens_to_another_scope() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    for (i, route) in ALL.iter().enumerate() {
        for (j, scope) in too_narrow(route.needs).into_iter().enumerate() {
            let what = format!("{} {} with {scope:?}", route.method, route.path);
            let token = site.token(&format!("narrow-{i}-{j}"), scope).await;
            let answer = site.send(samples.request(route, Some(&token))).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "scope-missing"), "{what}");
            is_dressed(&answer, route.path, &what);
        }
    }
}

#[tokio::test]
async fn no_route_opens_to_another_group() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    let elsewhere = Scope { read: only(&[CLOUD]), publish: only(&[CLOUD]), ..Scope::operator() };
    let elsewhere = site.token("elsewhere", elsewhere).await;
    for route in ALL {
        let what = format!("{} {}", route.method, route.path);
        let answer = site.send(samples.request(route, Some(&elsewhere))).await;
        match route.grouped {
            Grouped::No => {
                assert!(answer.status.is_success(), "{what}: {}", answer.status);
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                let is_about_members = route.path.contains("member") || route.path.contains("token");
                assert!(is_about_members || !body.contains("\"cidr\""), "{what} tells of a group: {body}");
            }
            Grouped::Named => {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}");
                is_dressed(&answer, route.path, &what);
            }
            Grouped::Within => {
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{what}");
                is_dressed(&answer, route.path, &what);
            }
        }
    }
}

#[tokio::test]
async fn a_token_of_one_group_meets_another_as_forbidden_and_none_as_unknown() {
    let site = Site::new().await;
    let token = site.token("one", Scope { read: only(&[CLOUD]), ..nothing() }).await;
    for (collection, status) in [("cloud-security", 200), ("cidr", 403), ("no-such-group", 404), ("99", 404)]
    {
        for path in ["manifest/", "objects/", ""] {
            let path = format!("/taxii2/root/collections/{collection}/{path}");
            assert_eq!(site.get(&token, &path).await.status.as_u16(), status, "{path}");
        }
    }
}

#[tokio::test]
async fn basic_with_the_token_as_password_is_as_good_as_bearer() {
    let site = Site::with_a_steward().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    for route in ALL.iter().filter(|route| route.path != "/api/v1/tokens/{token}") {
        let mut request = samples.request(route, None);
        let basic = format!("Basic {}", STANDARD.encode(format!("siem:{operator}")));
        request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_str(&basic).unwrap());
        let answer = site.send(request).await;
        let made = route.method == "POST" && route.path == "/api/v1/tokens";
        assert!(made || answer.status.as_u16() == route.status, "{} {}", route.method, route.path);
    }
}

/// A request whose Host is one of ours, but for what the test replaces.
fn bad_hosts() -> Vec<(Vec<&'static str>, u16)> {
    vec![
        (vec![], 400),
        (vec![HOST, HOST], 400),
        (vec![HOST, "evil.example"], 400),
        (vec!["evil.example"], 421),
        (vec!["evil.example:4718"], 421),
        (vec!["127.0.0.1"], 421),
        (vec!["127.0.0.1:4719"], 421),
        (vec!["0.0.0.0:4718"], 421),
        (vec!["127.0.0.1.nip.io:4718"], 421),
        (vec!["localhost.:4718"], 421),
        (vec!["localhost:4719"], 421),
        (vec!["[::1]:4718"], 421),
        (vec!["soc.example"], 421),
        (vec!["soc.example:8443.evil.example"], 421),
        (vec!["127.0.0.1:4718@evil.example"], 421),
        (vec![""], 421),
    ]
}

#[tokio::test]
async fn no_route_answers_to_a_strange_name() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    let before = (site.query.tokens().list().len(), site.store.queued(10).unwrap());
    for route in ALL {
        for (hosts, status) in bad_hosts() {
            let mut request = samples.request(route, Some(&operator));
            request.headers_mut().remove(header::HOST);
            for host in &hosts {
                request.headers_mut().append(header::HOST, HeaderValue::from_static(host));
            }
            let what = format!("{} {} as {hosts:?}", route.method, route.path);
            let answer = site.send(request).await;
            assert_eq!(answer.status.as_u16(), status, "{what}");
            is_dressed(&answer, route.path, &what);
        }
        let mut absolute = samples.request(route, Some(&operator));
        let target = format!("http://evil.example{}", absolute.uri());
        *absolute.uri_mut() = target.parse().unwrap();
        assert_eq!(
            site.send(absolute).await.status,
            421,
            "an absolute target overrides Host: {}",
            route.path
        );
    }
    assert_eq!(
        (site.query.tokens().list().len(), site.store.queued(10).unwrap()),
        before,
        "nothing was done"
    );
}

#[tokio::test]
async fn no_route_answers_another_page() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    let before = (site.query.tokens().list().len(), site.store.queued(10).unwrap());
    let origins =
        ["http://evil.example", "null", "", "https://127.0.0.1:4718", "http://127.0.0.1:4719", "file://"];
    let foreign = origins.map(|origin| ("origin", origin)).into_iter();
    let foreign =
        foreign.chain(["cross-site", "same-site", "", "whatever"].map(|site| ("sec-fetch-site", site)));
    for (name, value) in foreign {
        for route in ALL {
            let mut request = samples.request(route, Some(&operator));
            request.headers_mut().insert(name, HeaderValue::from_static(value));
            let what = format!("{} {} with {name}: {value}", route.method, route.path);
            let answer = site.send(request).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "foreign-origin"), "{what}");
            is_dressed(&answer, route.path, &what);
        }
    }
    assert_eq!(
        (site.query.tokens().list().len(), site.store.queued(10).unwrap()),
        before,
        "nothing was done"
    );
    for (name, value) in [
        ("origin", "http://127.0.0.1:4718"),
        ("origin", "http://localhost:4718"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        let mut request = samples.request(&ALL[2], Some(&operator));
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        assert_eq!(site.send(request).await.status, 200, "{name}: {value}");
    }
}

#[tokio::test]
async fn outside_the_table_strangers_learn_nothing() {
    let site = Site::new().await;
    let token = site.reader().await;
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];
    let paths =
        ["/", "/taxii2/nothing/", "/api/v1/nothing", "/api/v2/status", "/%2e%2e/etc/passwd", "/metrics/all"];
    for method in methods {
        for path in paths {
            let request = |token: Option<&str>| {
                let mut request = Request::builder().method(method).uri(path).header(header::HOST, HOST);
                if let Some(token) = token {
                    request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
                }
                request.body(Body::empty()).unwrap()
            };
            assert_eq!(site.send(request(None)).await.status, 401, "{method} {path}");
            assert_eq!(site.send(request(Some(&token))).await.status, 404, "{method} {path}");
        }
    }
}

/// Every method on every path: what the table does not list is 401 to strangers and 405 to others.
#[tokio::test]
async fn a_method_that_is_not_listed_is_refused() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    let listed = |route: &Expected, method: &str| {
        let same = |other: &&Expected| other.path == route.path;
        ALL.iter()
            .filter(same)
            .any(|other| other.method == method || (method == "HEAD" && other.method == "GET"))
    };
    for route in ALL {
        for method in ["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"] {
            if listed(route, method) {
                continue;
            }
            for (token, status) in [(None, 401), (Some(operator.as_str()), 405)] {
                let mut request = samples.request(route, token);
                *request.method_mut() = method.parse::<Method>().unwrap();
                let answer = answer(site.fresh_router(), request).await;
                assert_eq!(answer.status.as_u16(), status, "{method} {} {token:?}", route.path);
                if method != "HEAD" {
                    is_dressed(&answer, route.path, route.path);
                }
            }
        }
    }
}

#[tokio::test]
async fn head_passes_the_same_doors_and_has_no_body() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[Put::indicator(1)]).await;
    let request = |token: Option<&str>| {
        let mut request = get("/taxii2/root/collections/cidr/objects/").method(Method::HEAD);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(site.send(request(None)).await.status, 401);
    let answer = site.send(request(Some(&token))).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
}

#[tokio::test]
async fn a_publisher_by_token_still_needs_the_certificate() {
    let site = Site::new().await;
    let token = site.token("all", Scope { publish: Groups::All, ..nothing() }).await;
    for (group, status) in [("cidr", 202), ("cloud-security", 403), ("hospitals", 403)] {
        let object = r#"{"type":"identity","spec_version":"2.1","id":"identity--00000000-0000-4000-8000-000000000009",
            "created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","name":"CERT"}"#;
        let path = format!("/taxii2/root/collections/{group}/objects/");
        let body = format!(r#"{{"objects":[{object}]}}"#);
        let request = super::site::post(&token, &path, "application/taxii+json;version=2.1", body);
        assert_eq!(site.send(request).await.status.as_u16(), status, "{group}");
    }
}
