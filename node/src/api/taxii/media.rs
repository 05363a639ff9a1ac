//! Media types: what is accepted of a client, and the one that is sent (TAXII 2.1 §1.6.8, §3.3).

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::api::{body, problem::Problem};

/// On every answer, errors too.
pub(in crate::api) const TAXII: &str = "application/taxii+json;version=2.1";
/// What collections hold; never the type of an answer.
pub(in crate::api) const STIX: &str = "application/stix+json;version=2.1";
/// The version this server speaks.
const VERSION: &str = "2.1";

/// Refuses only a client that names types or versions, and none of ours among them.
pub(in crate::api) fn negotiate(headers: &HeaderMap) -> Result<(), Problem> {
    let mut is_named = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',').filter(|range| !range.trim().is_empty()) {
            if is_ours(range) {
                return Ok(());
            }
            is_named = true;
        }
    }
    if !is_named {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::NOT_ACCEPTABLE,
        "not-acceptable",
        format!("this server answers in {TAXII} only"),
    ))
}

fn is_ours(range: &str) -> bool {
    let Some((essence, parameters)) = body::parse_media(range) else { return false };
    let parameter =
        |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let is_excluded = parameter("q").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0);
    let is_version = parameter("version").is_none_or(|version| version == VERSION);
    !is_excluded
        && match essence.as_str() {
            "*/*" | "application/*" | "application/json" => true,
            "application/taxii+json" => is_version,
            _ => false,
        }
}

/// Refuses a body that does not say it is TAXII 2.1, or says it is another.
pub(in crate::api) fn is_envelope(headers: &HeaderMap) -> Result<(), Problem> {
    match body::media(headers) {
        Some((essence, parameters))
            if essence == "application/taxii+json"
                && parameters.iter().all(|(name, value)| name != "version" || value == VERSION) =>
        {
            Ok(())
        }
        _ => Err(body::unsupported(TAXII)),
    }
}

/// An answer of bytes that are JSON already.
pub(in crate::api) fn raw(status: StatusCode, json: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(TAXII))], json).into_response()
}

pub(in crate::api) fn answer(status: StatusCode, resource: &impl Serialize) -> Result<Response, Problem> {
    serde_json::to_vec(resource).map(|json| raw(status, json)).map_err(|error| Problem::internal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        negotiate(&headers).is_ok()
    }

    #[test]
    fn only_explicit_others_are_refused() {
        for good in [
            &[][..],
            &[""],
            &["*/*"],
            &["application/*;q=0.1"],
            &["application/json"],
            &["application/taxii+json"],
            &["application/taxii+json;version=2.1"],
            &["Application/TAXII+json; Version=\"2.1\""],
            &["text/html, application/xhtml+xml, */*;q=0.8"],
            &["text/html", "application/taxii+json; version=2.1"],
        ] {
            assert!(accepts(good), "{good:?}");
        }
        for bad in [
            &["application/taxii+json;version=2.0"][..],
            &["application/vnd.oasis.taxii+json; version=2.0"],
            &["text/html"],
            &["application/stix+json"],
            &["*/*;q=0"],
            &["nonsense"],
        ] {
            assert!(!accepts(bad), "{bad:?}");
        }
    }
}
