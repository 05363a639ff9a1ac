//! Exports as tools fetch them: a file, its MD5 companion, or the news that nothing changed.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use belfry_proto::stix::egress::Held;
use serde_json::{Map, Value, json};

use crate::{
    api::{
        app::App,
        exports::{Asked, File, Outline, REPORTED},
        params::{Params, bad},
        problem::Problem,
    },
    config::Format,
    query::{Principal, Query},
};

const ENTRIES: HeaderName = HeaderName::from_static("x-belfry-entries");

/// `GET /api/v1/exports`: the profiles this token may have.
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Json<Value> {
    Json(json!({ "exports": app.ports.query.exports(&principal) }))
}

/// `GET /api/v1/exports/{export}`: its main file, or that file's MD5 if the name ends in `.md5`. Of a plain list, `limit` takes
/// the best values alone.
pub(in crate::api) async fn main(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (name, is_md5) = companion(&name);
    let query = &app.ports.query;
    let asked = asked(query, &principal, name, &uri)?;
    let known = app.exports.outline(query, &principal, &asked).await?;
    let known = known.as_ref().and_then(|known| Some((known, known.main()?)));
    if let Some(response) = known.and_then(|(known, md5)| brief(md5, is_md5, known, &headers)) {
        return Ok(response);
    }
    let rendered = app.exports.rendered(query, &principal, &asked).await?;
    let files = &rendered.files;
    let Some(file) = files.main.as_ref().and_then(|main| files.files.get(main)) else {
        let names: Vec<&String> = files.files.keys().collect();
        return Err(Problem::not_found("which-file", "this export has several files; name one of them")
            .with("files", json!(names)));
    };
    Ok(answer(file, is_md5, &rendered.outline, &headers))
}

/// `GET /api/v1/exports/{export}/{file}`: one file of it, or that file's MD5; with `limit` as [`main`].
pub(in crate::api) async fn file(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path((name, file)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (file, is_md5) = companion(&file);
    let query = &app.ports.query;
    let asked = asked(query, &principal, &name, &uri)?;
    let known = app.exports.outline(query, &principal, &asked).await?;
    let known = known.as_ref().and_then(|known| Some((known, known.digest(file)?)));
    if let Some(response) = known.and_then(|(known, md5)| brief(md5, is_md5, known, &headers)) {
        return Ok(response);
    }
    let rendered = app.exports.rendered(query, &principal, &asked).await?;
    match rendered.files.files.get(file) {
        Some(file) => Ok(answer(file, is_md5, &rendered.outline, &headers)),
        None => Err(Problem::not_found("unknown-file", "this export has no such file")),
    }
}

/// `GET /api/v1/exports/{export}/report`: what stands in it, what does not, and why; of a shadowed one, what would.
pub(in crate::api) async fn report(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let rendered = app.exports.rendered(&app.ports.query, &principal, &name.as_str().into()).await?;
    let snapshot = &rendered.snapshot;
    let mut held: Map<String, Value> =
        snapshot.held.iter().map(|(reason, count)| (reason.as_str().to_owned(), json!(count))).collect();
    let unwritable =
        rendered.files.unwritable + snapshot.held.get(&Held::Unwritable).copied().unwrap_or_default();
    if unwritable > 0 {
        held.insert(Held::Unwritable.as_str().to_owned(), json!(unwritable));
    }
    let entries: Vec<Value> = snapshot
        .entries
        .iter()
        .take(REPORTED)
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
        "files": rendered.files.files.iter().map(|(name, file)| json!({ "name": name, "bytes": file.body.len() })).collect::<Vec<_>>(),
        "entries": rendered.outline.entries, "objects": rendered.outline.objects, "held_back": held,
        "values": entries, "left_out": left_out,
    })))
}

/// How much of it. What else a tool puts into the query, as some do to come by a proxy, says nothing here.
fn asked(query: &Query, principal: &Principal, name: &str, uri: &Uri) -> Result<Asked, Problem> {
    let Some(most) = Params::of(uri)?.one("limit")? else { return Ok(name.into()) };
    let most = most.parse::<usize>().ok().filter(|most| *most > 0);
    let most = most.ok_or_else(|| bad("limit", "is a positive integer"))?;
    if query.export_named(principal, name)?.format != Format::List {
        return Err(bad("limit", "is for plain lists: half of any other format would be read as the whole"));
    }
    Ok(Asked::best(name, most))
}

/// A name without the suffix that asks for the MD5 companion (PAN-OS, FortiGate, Cisco).
fn companion(name: &str) -> (&str, bool) {
    name.strip_suffix(".md5").map_or((name, false), |name| (name, true))
}

fn answer(file: &File, is_md5: bool, outline: &Outline, headers: &HeaderMap) -> Response {
    brief(&file.md5, is_md5, outline, headers).unwrap_or_else(|| {
        let mut response = ([(header::CONTENT_TYPE, file.media)], file.body.body()).into_response();
        // A list that breaks off is an error to whoever knows how long it is, and else the truth.
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(file.body.len()));
        dressed(response, &tag(&file.md5, is_md5), outline)
    })
}

/// What is answered without a file's bytes: that nothing changed, or its MD5.
fn brief(md5: &str, is_md5: bool, outline: &Outline, headers: &HeaderMap) -> Option<Response> {
    let tag = tag(md5, is_md5);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known
        .flat_map(|value| value.split(','))
        .map(|value| value.trim().trim_start_matches("W/"))
        .any(|value| value == "*" || value == tag);
    let response = match (is_known, is_md5) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, true) => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{md5}\n")).into_response()
        }
        (false, false) => return None,
    };
    Some(dressed(response, &tag, outline))
}

fn tag(md5: &str, is_md5: bool) -> String {
    format!("\"{md5}{}\"", if is_md5 { "-md5" } else { "" })
}

fn dressed(mut response: Response, tag: &str, outline: &Outline) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    // To be asked for every time: what was withdrawn must not live on in a proxy.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(ENTRIES, HeaderValue::from(outline.entries));
    response
}
