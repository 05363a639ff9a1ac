//! Request bodies: their type first, then their bytes up to a limit, then their shape.

use axum::{
    body::{Body, HttpBody as _},
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use belfry_proto::stix::neutral;
use futures::StreamExt as _;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Bytes of a small JSON body such as a token request.
const MAX_JSON: usize = 64 * 1024;
/// Characters that are told of what a parser says: what it expected, and where.
const MAX_SAID: usize = 300;

/// The body, or 413 if it is longer than `limit`.
pub(crate) async fn bytes(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    bytes_within(headers, body, limit, |_| Ok(())).await
}

/// The same; what comes is kept only as far as `take` lets it be.
pub(crate) async fn bytes_within(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    take: impl Fn(usize) -> Result<(), Problem> + Send,
) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!("the body is over the limit of {limit} bytes"),
        )
        .with("limit", limit)
    };
    // Nothing is unpacked here: what is small on its way may be large.
    let is_as_it_is = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(is_as_it_is) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-encoding",
            "the body must come as it is, without a Content-Encoding such as gzip",
        )
        .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    if announced(headers).is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::bad_request("body-unreadable", "the body ended early"))?;
        if chunk.len() > limit.saturating_sub(bytes.len()) {
            return Err(too_large());
        }
        take(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The length that the sender says the body has.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The media type of the body, lower case, with its parameters.
pub(crate) fn media(headers: &HeaderMap) -> Option<(String, Vec<(String, String)>)> {
    parse_media(headers.get(header::CONTENT_TYPE)?.to_str().ok()?)
}

/// `type/subtype;name=value`, names and values lower case and unquoted.
pub(crate) fn parse_media(text: &str) -> Option<(String, Vec<(String, String)>)> {
    let mut parts = text.split(';');
    let essence = parts.next()?.trim().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    if kind.is_empty() || subtype.is_empty() {
        return None;
    }
    let parameters = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| {
            (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_ascii_lowercase())
        })
        .collect();
    Some((essence, parameters))
}

/// A small JSON body; anything but the expected members is an error that says so.
pub(crate) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    json_up_to(MAX_JSON, headers, body).await
}

/// As [`json`], where there may be no body at all. One sent in chunks has no length, and is one.
pub(crate) async fn json_if_any<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    if body.is_end_stream() { Ok(T::default()) } else { json(headers, body).await }
}

/// A JSON body of at most `limit` bytes, as [`json`].
pub(crate) async fn json_up_to<T: DeserializeOwned>(
    limit: usize,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    if media(headers).is_none_or(|(essence, _)| essence != "application/json") {
        return Err(unsupported("application/json"));
    }
    let bytes = bytes(headers, body, limit).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let said = said(&error);
        if error.is_data() {
            Problem::unprocessable("bad-body", said)
        } else {
            Problem::bad_request("bad-json", said)
        }
    })
}

/// What a parser says. It repeats what it was given, however long that is.
pub(crate) fn said(error: &serde_json::Error) -> String {
    neutral::gist(&error.to_string(), MAX_SAID)
}

pub(crate) fn unsupported(expected: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "media-type",
        format!("the body's Content-Type must be {expected}"),
    )
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[tokio::test]
    async fn a_packed_body_is_refused_as_one_and_not_as_broken() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        headers.insert(header::CONTENT_ENCODING, "Identity".parse().unwrap());
        assert_eq!(json::<Vec<u8>>(&headers, Body::from("[1]")).await.unwrap(), [1]);
        headers.append(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        let refused = json::<Vec<u8>>(&headers, Body::from(vec![0x1f, 0x8b, 8])).await.unwrap_err();
        assert_eq!(refused.code(), "content-encoding");
        assert_eq!(refused.into_response().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[tokio::test]
    async fn a_body_that_may_be_missing_is_read_where_it_comes_in_chunks() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        let none: Vec<u8> = json_if_any(&headers, Body::empty()).await.unwrap();
        assert!(none.is_empty());
        let chunks = ["[1,", "2]"].map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(futures::stream::iter(chunks));
        assert_eq!(json_if_any::<Vec<u8>>(&headers, body).await.unwrap(), [1, 2]);
    }
}
