//! Lenient in, strict out (TAXII 2.1 §1.6.8, §3.3; ecosystem §2).

use axum::{body::Body, http::header};

use super::{
    routes::{ALL, Samples},
    site::{Put, Site, get, post},
};
use crate::query::Scope;

const TAXII: &str = "application/taxii+json;version=2.1";

#[tokio::test]
async fn every_taxii_answer_is_taxii_and_every_other_is_not() {
    let site = Site::with_a_steward().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    for route in ALL {
        let answer = site.send(samples.request(route, Some(&operator))).await;
        let expected = match route.path {
            path if path.starts_with("/taxii2") => Some(TAXII),
            "/api/v1/events" => Some("text/event-stream"),
            "/api/v1/tokens/{token}" | "/api/v1/holds/{member}" => None,
            "/api/v1/drafts/{draft}" if route.method == "DELETE" => None,
            "/metrics" => Some("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            "/api/v1/exports/{export}" | "/api/v1/exports/{export}/{file}" | "/api/v1/rules/{text}" => {
                Some("text/plain; charset=utf-8")
            }
            _ => Some("application/json"),
        };
        assert_eq!(answer.header("content-type"), expected, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn only_an_explicit_other_type_or_version_is_not_acceptable() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    let good = [
        None,
        Some(""),
        Some("*/*"),
        Some("application/*"),
        Some("application/json"),
        Some("application/taxii+json"),
        Some("application/taxii+json; version=2.1"),
        Some("application/taxii+json;version=\"2.1\""),
        Some("text/html;q=0.5, */*;q=0.1"),
        Some("application/taxii+json;version=2.0, application/taxii+json;version=2.1"),
    ];
    let bad = [
        "application/taxii+json;version=2.0",
        "application/taxii+json; version=3.0",
        "application/vnd.oasis.taxii+json; version=2.0",
        "text/html",
        "application/xml",
    ];
    for route in ALL.iter().filter(|route| route.path.starts_with("/taxii2")) {
        let accepting = |accept: Option<&'static str>| {
            let mut request = samples.request(route, Some(&operator));
            if let Some(accept) = accept {
                request.headers_mut().insert(header::ACCEPT, accept.parse().unwrap());
            }
            request
        };
        for accept in good {
            let answer = site.send(accepting(accept)).await;
            assert_eq!(answer.status.as_u16(), route.status, "{} as {accept:?}", route.path);
            assert_eq!(answer.header("content-type"), Some(TAXII));
        }
        for accept in bad {
            let answer = site.send(accepting(Some(accept))).await;
            assert_eq!(answer.status, 406, "{} as {accept}", route.path);
            assert_eq!(
                (answer.header("content-type"), answer.json()["http_status"].as_str()),
                (Some(TAXII), Some("406"))
            );
        }
    }
}

#[tokio::test]
async fn a_post_says_what_it_brings() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let path = "/taxii2/root/collections/cidr/objects/";
    let object = r#"{"type":"identity","spec_version":"2.1","id":"identity--00000000-0000-4000-8000-000000000009",
        "created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","name":"CERT"}"#;
    let body = format!(r#"{{"objects":[{object}]}}"#);
    for (kind, status) in [
        (TAXII, 202),
        ("application/taxii+json", 202),
        ("application/taxii+json; version=2.1; charset=utf-8", 202),
        ("application/taxii+json;version=2.0", 415),
        ("application/stix+json;version=2.1", 415),
        ("text/plain", 415),
        ("multipart/form-data", 415),
    ] {
        let answer = site.send(post(&operator, path, kind, body.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{kind}");
    }
    let bare = get(path).method("POST").header(header::AUTHORIZATION, format!("Bearer {operator}"));
    assert_eq!(site.send(bare.body(Body::from(body)).unwrap()).await.status, 415, "no type at all");
}

#[tokio::test]
async fn discovery_root_and_collections_say_what_clients_look_for() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    site.put(&[Put::indicator(1)]).await;
    let discovery = site.get(&operator, "/taxii2/").await.ok();
    assert!(discovery["title"].is_string());
    assert_eq!(discovery["default"], "http://127.0.0.1:4718/taxii2/root/");
    assert_eq!(discovery["api_roots"], serde_json::json!(["http://127.0.0.1:4718/taxii2/root/"]));
    let proxied = get("/taxii2/").header(header::AUTHORIZATION, format!("Bearer {operator}"));
    let mut proxied = proxied.body(Body::empty()).unwrap();
    proxied.headers_mut().insert(header::HOST, "soc.example:8443".parse().unwrap());
    let elsewhere = site.send(proxied).await.ok();
    assert_eq!(elsewhere["default"], "http://soc.example:8443/taxii2/root/", "as the client named us");

    let root = site.get(&operator, "/taxii2/root/").await.ok();
    assert_eq!(root["versions"], serde_json::json!([TAXII]), "the media type, never a number");
    assert!(root["title"].is_string() && root["max_content_length"].as_u64().unwrap() > 1_000_000);

    let collections = site.get(&operator, "/taxii2/root/collections/").await.ok();
    let collections = collections["collections"].as_array().unwrap();
    let shown: Vec<(&str, bool, bool)> = collections
        .iter()
        .map(|c| (c["alias"].as_str().unwrap(), c["can_read"] == true, c["can_write"] == true))
        .collect();
    assert_eq!(shown, [("cloud-security", true, false), ("cidr", true, true)]);
    for collection in collections {
        assert_eq!(collection["media_types"], serde_json::json!(["application/stix+json;version=2.1"]));
        let id = collection["id"].as_str().unwrap();
        let uuid = uuid::Uuid::parse_str(id).unwrap();
        assert_eq!(uuid.get_version_num(), 5);
        let one = site.get(&operator, &format!("/taxii2/root/collections/{id}/")).await.ok();
        assert_eq!(&one, collection);
        let by_alias = format!("/taxii2/root/collections/{}/", collection["alias"].as_str().unwrap());
        assert_eq!(&site.get(&operator, &by_alias).await.ok(), collection);
    }
    let admin = site.token("admin", Scope { admin: true, ..super::site::nothing() }).await;
    let none = site.get(&admin, "/taxii2/root/collections/").await.ok();
    assert_eq!(none, serde_json::json!({}), "an empty list is no list in TAXII");
}
