//! Taking in what is no bundle: MISP events, tables, prose. Held unless said otherwise.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use belfry_proto::{
    crypto::pae::Pae,
    import::{Format, Import, ImportError, Mapping, Options},
    limits,
};
use serde_json::{Value, json};

use super::publications::{stated, told};
use crate::{
    api::{
        app::App,
        body, intake,
        params::{Params, bad},
        problem::Problem,
    },
    clock,
    publish::submission::Submission,
    query::Principal,
};

/// `POST /api/v1/import?group=…`, the body a file.
///
/// Parameters of a publication, and `format` (guessed if unset), `name` (the file's), `map` (columns of a table),
/// `valid_until`, `publish` (else it is held for a person), `dry_run` (nothing is kept).
pub(in crate::api) async fn import(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
    headers: HeaderMap,
    request: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let mut params = Params::of(&uri)?;
    let mut submission = stated(&app, &principal, &mut params, &headers)?;
    let wanted = Wanted::of(&mut params)?;
    params.finish()?;
    submission.hold |= !wanted.publish;
    let place = intake::place(&app, &headers)?;
    let bytes = body::bytes(&headers, request, limits::MAX_BUNDLE).await?;
    let (format, read, submission) = tokio::task::spawn_blocking(move || {
        convert(&bytes, &wanted, submission).map(|(f, r, s)| (f, (r, wanted.dry_run), s))
    })
    .await
    .map_err(|error| Problem::internal(&error))??;
    let (read, dry_run) = read;
    let mut answer = json!({
        "format": format.as_str(),
        "objects": read.counts,
        "skipped": read.skipped.iter().map(|s| json!({"at": s.place.to_string(), "why": s.why.to_string()})).collect::<Vec<_>>(),
        "more_skipped": read.more_skipped,
    });
    let mut say = |name: &str, value: Value| {
        if let Value::Object(members) = &mut answer {
            members.insert(name.to_owned(), value);
        }
    };
    if dry_run {
        let preview = app.ports.publish.preview(submission).await?;
        say("preview", told(&app, &preview));
        return Ok((StatusCode::OK, Json(answer)));
    }
    let accepted = app.ports.publish.submit(submission).await?;
    drop(place);
    say("publication", json!(accepted.publication));
    say("status_url", json!(format!("/api/v1/publications/{}", accepted.publication)));
    say("parts", json!(accepted.parts));
    say("held", json!(accepted.held));
    say("duplicate", json!(accepted.duplicate));
    say("notes", json!(accepted.notes));
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// What is asked besides a publication's own parameters.
struct Wanted {
    format: Option<Format>,
    name: String,
    mapping: Mapping,
    valid_until: Option<belfry_proto::time::Timestamp>,
    publish: bool,
    dry_run: bool,
}

impl Wanted {
    fn of(params: &mut Params) -> Result<Self, Problem> {
        let format = params.one("format")?.map(|text| text.parse::<Format>());
        let mapping = params.one("map")?.map(|text| text.parse::<Mapping>());
        Ok(Self {
            format: format.transpose().map_err(|error| bad("format", &error.to_string()))?,
            name: params.one("name")?.unwrap_or_default(),
            mapping: mapping.transpose().map_err(|error| bad("map", &error.to_string()))?.unwrap_or_default(),
            valid_until: params.time("valid_until")?,
            publish: params.flag("publish")?,
            dry_run: params.flag("dry_run")?,
        })
    }
}

/// The file's objects as a submission. Its digest is the file's, so that a file that comes again is the same one
/// whatever time it is.
fn convert(
    bytes: &[u8],
    wanted: &Wanted,
    submission: Submission,
) -> Result<(Format, Import, Submission), Problem> {
    let format = wanted.format.unwrap_or_else(|| Format::guess(&wanted.name, bytes));
    let options =
        Options { now: clock::now(), mapping: wanted.mapping.clone(), valid_until: wanted.valid_until };
    let mut read = Import::read(format, bytes, &options).map_err(|error| refused(format, &error))?;
    let origin = Pae::new("belfry/v1/import")
        .part(format.as_str().as_bytes())
        .part(wanted.mapping.to_string().as_bytes())
        .number(wanted.valid_until.map_or(0, belfry_proto::time::Timestamp::as_micros))
        .part(bytes)
        .hash();
    let bundle = read.take_bundle();
    let tlp = submission.tlp.or(read.tlp);
    let pap = submission.pap.or(read.pap);
    Ok((format, read, Submission { bundle, tlp, pap, origin: Some(origin), ..submission }))
}

fn refused(format: Format, error: &ImportError) -> Problem {
    Problem::unprocessable("bad-import", format!("the file, read as {}, {error}", format.as_str()))
        .with("format", format.as_str())
}
