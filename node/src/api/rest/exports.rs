//! Exports as tools fetch them: a file, its MD5 companion, or the news that nothing changed.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use belfry_proto::stix::egress::Held;
use serde_json::{Map, Value, json};

use crate::{
    api::{app::App, exports::File, problem::Problem},
    query::Principal,
};

const ENTRIES: HeaderName = HeaderName::from_static("x-belfry-entries");
/// Values shown in a report.
const SHOWN: usize = 1_000;

/// `GET /api/v1/exports`: the profiles this token may have.
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Json<Value> {
    Json(json!({ "exports": app.ports.query.exports(&principal) }))
}

/// `GET /api/v1/exports/{export}`: its main file, or that file's MD5 if the name ends in `.md5`.
pub(in crate::api) async fn main(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (name, is_md5) = companion(&name);
    let rendered = app.exports.rendered(&app.ports.query, &principal, name).await?;
    let files = &rendered.files;
    let Some(file) = files.main.as_ref().and_then(|main| files.files.get(main)) else {
        let names: Vec<&String> = files.files.keys().collect();
        return Err(Problem::not_found("which-file", "this export has several files; name one of them")
            .with("files", json!(names)));
    };
    Ok(answer(file, is_md5, rendered.entries(), &headers))
}

/// `GET /api/v1/exports/{export}/{file}`: one file of it, or that file's MD5.
pub(in crate::api) async fn file(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path((name, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let rendered = app.exports.rendered(&app.ports.query, &principal, &name).await?;
    let (file, is_md5) = companion(&file);
    match rendered.files.files.get(file) {
        Some(file) => Ok(answer(file, is_md5, rendered.entries(), &headers)),
        None => Err(Problem::not_found("unknown-file", "this export has no such file")),
    }
}

/// `GET /api/v1/exports/{export}/report`: what stands in it, what does not, and why; of a shadowed one, what would.
pub(in crate::api) async fn report(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let rendered = app.exports.rendered(&app.ports.query, &principal, &name).await?;
    let snapshot = &rendered.snapshot;
    let mut held: Map<String, Value> =
        snapshot.held.iter().map(|(reason, count)| (reason.as_str().to_owned(), json!(count))).collect();
    if rendered.files.unwritable > 0 {
        held.insert(Held::Unwritable.as_str().to_owned(), json!(rendered.files.unwritable));
    }
    let entries: Vec<Value> = snapshot
        .entries
        .iter()
        .take(SHOWN)
        .map(|entry| {
            json!({
                "type": entry.observable.kind().as_str(), "value": entry.observable.value(), "score": entry.score,
                "first_seen": entry.first, "last_seen": entry.last, "expires": entry.expires,
                "members": entry.members, "tlp": entry.tlp.as_str(), "sources": entry.sources, "name": entry.name,
                "indicators": entry.ids,
            })
        })
        .collect();
    let left_out: Vec<Value> = snapshot
        .named
        .iter()
        .map(|(value, reason)| {
            json!({ "type": value.kind().as_str(), "value": value.value(), "reason": reason.as_str() })
        })
        .collect();
    Ok(Json(json!({
        "export": name, "made": snapshot.made, "shadow": snapshot.export.shadow,
        "files": rendered.files.files.iter().map(|(name, file)| json!({ "name": name, "bytes": file.bytes.len() })).collect::<Vec<_>>(),
        "entries": rendered.entries(), "objects": rendered.objects, "held_back": held,
        "values": entries, "left_out": left_out,
    })))
}

/// A name without the suffix that asks for the MD5 companion (PAN-OS, FortiGate, Cisco).
fn companion(name: &str) -> (&str, bool) {
    name.strip_suffix(".md5").map_or((name, false), |name| (name, true))
}

fn answer(file: &File, is_md5: bool, entries: usize, headers: &HeaderMap) -> Response {
    let digest = &file.md5;
    let tag = format!("\"{digest}{}\"", if is_md5 { "-md5" } else { "" });
    let (media, body) = if is_md5 {
        ("text/plain; charset=utf-8", format!("{digest}\n").into())
    } else {
        (file.media, file.bytes.clone())
    };
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known
        .flat_map(|value| value.split(','))
        .map(|value| value.trim().trim_start_matches("W/"))
        .any(|value| value == "*" || value == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, media)], body).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    // To be asked for every time: what was withdrawn must not live on in a proxy.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(ENTRIES, HeaderValue::from(entries));
    response
}
