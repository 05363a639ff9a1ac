//! The outermost layer: what every answer wears.
//!
//! An error leaves as problem+json or, under `/taxii2`, as TAXII's error resource, so that even a 404 of the
//! router or a refused body has the right media type.

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

use super::{
    problem::Problem,
    taxii::{self, media},
};

const PROBLEM_JSON: &str = "application/problem+json";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Layer: gives the request an id, the answer its safety headers, and errors their dress.
pub(crate) async fn dress(request: Request, next: Next) -> Response {
    let id = hex::encode(rand::random::<[u8; 8]>());
    let is_taxii = taxii::is_under(request.uri().path());
    let method = request.method().clone();
    // The route, never the path itself: the ids in a path are intelligence, and a log is read by others.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("no route", MatchedPath::as_str).to_owned();
    let mut response = next.run(request).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let problem =
            response.extensions_mut().remove::<Problem>().unwrap_or_else(|| Problem::of_status(status));
        if let Some(cause) = problem.cause() {
            tracing::error!(request.id = %id, %method, %route, "request failed: {cause}");
        } else {
            tracing::debug!(request.id = %id, %method, %route, %status, code = problem.code(), "request refused");
        }
        let (body, media) = if is_taxii {
            (problem.as_taxii_error(&id), media::TAXII)
        } else {
            (problem.as_problem_json(&id), PROBLEM_JSON)
        };
        *response.body_mut() = Body::from(body.to_string());
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
