//! Taking in what is no bundle: MISP events, tables, prose. Held unless said otherwise.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use belfry_proto::import::{Format, ImportError, Mapping, Room};
use serde_json::{Value, json};

use super::{
    mandate::Mandate,
    publications::{stated, told},
};
use crate::{
    api::{
        app::App,
        audit, intake,
        params::{Params, bad},
        ports::Publish,
        problem::Problem,
        reach::Tried,
    },
    audit_log::AuditError,
    publish::{
        file::{Reading, Taken, Unreadable},
        preview::Preview,
        submission::{Accepted, Submission},
    },
    query::Principal,
};

/// `POST /api/v1/import?group=…`, the body a file.
///
/// Parameters of a publication, and `format` (guessed if unset), `name` (the file's), `map` (columns of a table),
/// `valid_until`, `publish` (else it is held for a person), `dry_run` (nothing is kept), `on_behalf` with `asked`.
pub(in crate::api) async fn import(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    call: Option<Extension<audit::Call>>,
    uri: Uri,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let mut submission = stated(&app, &principal, &mut params, &headers)?;
    let wanted = Wanted::of(&mut params)?;
    let mandate = Mandate::of(&app, &mut params)?;
    params.finish()?;
    submission.on_behalf_of = mandate.as_ref().map(|mandate| mandate.member);
    submission.hold |= !wanted.publish;
    let place = intake::place(&app, &headers)?;
    let bytes = place.read(&headers, request).await?;
    let Wanted { reading, dry_run, .. } = wanted;
    // What only tells changes nothing, and has no entry of its own.
    if let Some(mandate) = mandate.filter(|_| !dry_run) {
        let Extension(call) = call.ok_or_else(|| Problem::internal(&AuditError::Unwritten))?;
        mandate.record(&app, submission.group, call).await?;
    }
    let publish = Arc::clone(&app.ports.publish);
    let grown = place.clone();
    let room = Room::of(move |bytes| grown.grow(bytes));
    let (format, read, outcome) = place
        .during(async move {
            let taken = tokio::task::spawn_blocking(move || reading.read_within(&bytes, submission, room));
            let taken = taken.await.map_err(|error| Problem::internal(&error))?;
            let Taken { format, import, submissions } = taken.map_err(|error| refused(&error))?;
            let outcome = match dry_run {
                true => preview(publish.as_ref(), submissions).await?,
                false => Outcome::Kept(publish.submit_together(submissions).await?),
            };
            Ok((format, import, outcome))
        })
        .await?;
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
    let accepted = match outcome {
        Outcome::Told(preview, tried) => {
            let lists = tried.reach(&app, &principal, &preview).await?;
            say("preview", told(&app, &preview, lists));
            return Ok(Json(answer).into_response());
        }
        Outcome::Kept(accepted) => accepted,
    };
    let first = accepted.first().ok_or_else(|| Problem::internal(&Nothing))?;
    say("publication", json!(first.publication));
    say("status_url", json!(status_url(first)));
    say("parts", json!(accepted.iter().map(|one| one.parts).sum::<u32>()));
    say("held", json!(accepted.iter().any(|one| one.held)));
    say("duplicate", json!(accepted.iter().all(|one| one.duplicate)));
    say("notes", json!(accepted.iter().flat_map(|one| &one.notes).collect::<Vec<_>>()));
    say("publications", accepted.iter().map(one_of).collect());
    let subject = audit::Subject(first.publication.to_string());
    let also = audit::Also(accepted.iter().skip(1).map(|one| one.publication.to_string()).collect());
    let mut response =
        (StatusCode::ACCEPTED, Extension(subject), Extension(also), Json(answer)).into_response();
    if let Some(reason) = accepted.iter().find_map(|one| one.reason.clone()) {
        response.extensions_mut().insert(audit::Reason(reason));
    }
    Ok(response)
}

/// What a file came to.
enum Outcome {
    Told(Box<Preview>, Tried),
    Kept(Vec<Accepted>),
}

/// A file that was read holds something.
#[derive(Debug, thiserror::Error)]
#[error("a file was read, and nothing submitted")]
struct Nothing;

/// What all of a file would be.
async fn preview(publish: &dyn Publish, submissions: Vec<Submission>) -> Result<Outcome, Problem> {
    let mut all: Option<(Preview, Tried)> = None;
    for submission in submissions {
        let mut tried = Tried::of(&submission);
        let mut told = publish.preview(submission.clone()).await?;
        if let Some((before, mut with)) = all {
            with.and(&submission);
            (told, tried) = (before.with(told), with);
        }
        all = Some((told, tried));
    }
    let (told, tried) = all.ok_or_else(|| Problem::internal(&Nothing))?;
    Ok(Outcome::Told(Box::new(told), tried))
}

fn one_of(accepted: &Accepted) -> Value {
    json!({
        "publication": accepted.publication,
        "status_url": status_url(accepted),
        "parts": accepted.parts,
        "held": accepted.held,
        "duplicate": accepted.duplicate,
    })
}

fn status_url(accepted: &Accepted) -> String {
    format!("/api/v1/publications/{}", accepted.publication)
}

/// What is asked besides a publication's own parameters.
struct Wanted {
    reading: Reading,
    publish: bool,
    dry_run: bool,
}

impl Wanted {
    fn of(params: &mut Params) -> Result<Self, Problem> {
        let format = params.one("format")?.map(|text| text.parse::<Format>());
        let mapping = params.one("map")?.map(|text| text.parse::<Mapping>());
        let reading = Reading {
            format: format.transpose().map_err(|error| bad("format", &error.to_string()))?,
            name: params.one("name")?.unwrap_or_default(),
            mapping: mapping.transpose().map_err(|error| bad("map", &error.to_string()))?.unwrap_or_default(),
            valid_until: params.time("valid_until")?,
            bundle_objects: None,
        };
        Ok(Self { reading, publish: params.flag("publish")?, dry_run: params.flag("dry_run")? })
    }
}

fn refused(error: &Unreadable) -> Problem {
    if matches!(error.source, ImportError::NoRoom) {
        return intake::busy();
    }
    Problem::unprocessable("bad-import", error.to_string()).with("format", error.format.as_str())
}
