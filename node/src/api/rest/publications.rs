//! Publishing a bundle, and following it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use belfry_proto::{
    id::{MemberId, PublicationId},
    limits::MAX_CLASS_LABEL,
    schema::{HandlingConditions, InformationClass, Pap, Purpose},
    stix::marking::Tlp,
};
use serde_json::{Value, json};

use super::mandate::Mandate;
use crate::{
    api::{
        app::App,
        audit::{Call, Reason},
        intake,
        params::{Params, bad},
        problem::{self, Problem},
        reach::Tried,
    },
    publish::{
        preview::{Preview, ReaderOf},
        submission::{DraftState, DraftStatus, Submission},
    },
    query::{Principal, words},
};

/// `POST /api/v1/publications?group=…`, the body a STIX bundle.
///
/// Parameters: `group`, `tlp`, `purpose`, `class` (several), `class_label`, `pap`, `embargo_until`, `handling` (several),
/// `to` (several), `without_supervisors`, `reason`, `draft` (held until a person releases it), `on_behalf` with `asked`
/// (for a member that is not to be named, by a steward); header `Idempotency-Key`.
pub(in crate::api) async fn submit(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Extension(call): Extension<Call>,
    uri: Uri,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let (mut submission, mandate) = read(&app, &principal, &uri, &headers)?;
    let place = intake::place(&app, &headers)?;
    submission.bundle = place.read(&headers, request).await?;
    if let Some(mandate) = mandate {
        mandate.record(&app, submission.group, call).await?;
    }
    let publish = Arc::clone(&app.ports.publish);
    let accepted = place.during(async move { Ok(publish.submit(submission).await?) }).await?;
    let status_url = format!("/api/v1/publications/{}", accepted.publication);
    let answer = json!({
        "publication": accepted.publication,
        "status_url": status_url,
        "group": app.ports.query.slug(accepted.group),
        "tlp": accepted.tlp.map(Tlp::as_str),
        "audience": words::word(accepted.audience),
        "recipients": members(&app, &accepted.recipients),
        "objects": accepted.objects,
        "object_ids": accepted.object_ids,
        "parts": accepted.parts,
        "duplicate": accepted.duplicate,
        "warnings": app.ports.status.obstacles(),
        "held": accepted.held,
        "notes": accepted.notes,
    });
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    if let Some(reason) = accepted.reason {
        response.extensions_mut().insert(Reason(reason));
    }
    if let Ok(location) = HeaderValue::from_str(&status_url) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `POST /api/v1/previews?group=…`: what the same submission would be, who could open it, and what the guards object
/// to. Parameters and body as of [`submit`]; nothing is kept.
pub(in crate::api) async fn preview(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
    headers: HeaderMap,
    request: Body,
) -> Result<Json<Value>, Problem> {
    let (mut submission, _) = read(&app, &principal, &uri, &headers)?;
    let place = intake::place(&app, &headers)?;
    submission.bundle = place.read(&headers, request).await?;
    let (publish, tried) = (Arc::clone(&app.ports.publish), Tried::of(&submission));
    let preview = place.during(async move { Ok(publish.preview(submission).await?) }).await?;
    let lists = tried.reach(&app, &principal, &preview).await?;
    Ok(Json(told(&app, &preview, lists)))
}

pub(super) fn told(app: &App, preview: &Preview, lists: Vec<Value>) -> Value {
    let reader = |reader: &ReaderOf| {
        json!({
            "member": reader.member,
            "organisation": reader.organisation,
            "capacity": reader.capacity.map(words::word),
        })
    };
    json!({
        "group": app.ports.query.slug(preview.group),
        "tlp": preview.tlp.as_str(),
        "tlp_is_default": preview.is_default_tlp,
        "pap": preview.pap.map(words::word),
        "purpose": words::word(preview.purpose),
        "classes": preview.classes.iter().copied().map(words::word).collect::<Vec<_>>(),
        "objects": preview.objects,
        "parts": preview.parts,
        "readers": preview.readers.iter().map(reader).collect::<Vec<_>>(),
        "objections": preview.report.objections.iter().map(problem::objection).collect::<Vec<_>>(),
        "more_objections": preview.report.more,
        "notes": preview.notes,
        "exports": lists,
        "refusal": preview.refusal,
    })
}

/// Everything but the body, so that a wrong parameter is told before 64 MiB are sent.
fn read(
    app: &App,
    principal: &Principal,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(Submission, Option<Mandate>), Problem> {
    let mut params = Params::of(uri)?;
    let mut submission = stated(app, principal, &mut params, headers)?;
    submission.hold |= params.flag("draft")?;
    let mandate = Mandate::of(app, &mut params)?;
    submission.on_behalf_of = mandate.as_ref().map(|mandate| mandate.member);
    params.finish()?;
    Ok((submission, mandate))
}

/// What a publication's parameters state.
pub(super) fn stated(
    app: &App,
    principal: &Principal,
    params: &mut Params,
    headers: &HeaderMap,
) -> Result<Submission, Problem> {
    let query = &app.ports.query;
    let group = params.one("group")?.ok_or_else(|| bad("group", "is needed: a group's slug or number"))?;
    let publishable = query.draftable(principal, &group)?;
    let group = publishable.group();
    let tlp = params.one("tlp")?.map(|text| text.parse::<Tlp>()).transpose();
    let tlp = tlp.map_err(|error| bad("tlp", &error.to_string()))?;
    let purpose = params.one("purpose")?.map(|text| {
        words::parse::<Purpose>(&text)
            .ok_or_else(|| bad("purpose", &format!("is one of {}", words::all::<Purpose>().join(", "))))
    });
    let named = params.list("class")?;
    let classes = named.iter().map(|text| {
        words::parse::<InformationClass>(text).ok_or_else(|| {
            bad("class", &format!("is one of {}", words::all::<InformationClass>().join(", ")))
        })
    });
    let classes: Vec<InformationClass> = classes.collect::<Result<_, _>>()?;
    let class_label = params.one("class_label")?.unwrap_or_default();
    if class_label.chars().count() > MAX_CLASS_LABEL {
        return Err(bad("class_label", &format!("is at most {MAX_CLASS_LABEL} characters")));
    }
    let pap = params.one("pap")?.map(|text| {
        words::parse::<Pap>(&text)
            .ok_or_else(|| bad("pap", &format!("is one of {}", words::all::<Pap>().join(", "))))
    });
    let handling = handling(params)?;
    // Organisation names hold commas; `to` is repeated instead.
    let mut recipients = Vec::new();
    for name in params.all("to") {
        let member = query.recipient_named(&name)?;
        if !recipients.contains(&member) {
            recipients.push(member);
        }
    }
    let reason = params.one("reason")?;
    let exclude_supervisors = params.flag("without_supervisors")?;
    Ok(Submission {
        tlp,
        purpose: purpose.transpose()?,
        classes,
        class_label,
        pap: pap.transpose()?,
        handling,
        recipients,
        exclude_supervisors,
        idempotency_key: intake::idempotency_key(principal, headers)?,
        reason,
        hold: publishable.is_held(),
        ..Submission::of(group, principal.name())
    })
}

/// Conditions that the author attaches: an embargo, and terms of FIRST's IEP 2.0 as `NAME=VALUE`. Whether all of them hold to
/// the rules, the payload says that is made of it.
fn handling(params: &mut Params) -> Result<Option<HandlingConditions>, Problem> {
    let embargo = params.time("embargo_until")?;
    let mut terms = params.all("handling");
    terms.sort_unstable();
    for term in &terms {
        let shown: String = term.chars().take(64).collect();
        belfry_proto::stix::handling::check(term)
            .map_err(|error| bad("handling", &format!("{shown:?} {error}")))?;
    }
    let wire = HandlingConditions { embargo_until: embargo.unwrap_or_default().as_micros(), terms };
    Ok((wire != HandlingConditions::default()).then_some(wire))
}

/// `GET /api/v1/publications/{id}`
pub(in crate::api) async fn follow(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(publication): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(view(&app, &followed(&app, &principal, &publication).await?)))
}

/// `GET /api/v1/publications/{id}/holders`: which of its readers say that they hold it, asked of them now.
pub(in crate::api) async fn holders(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(publication): Path<String>,
) -> Result<Json<Value>, Problem> {
    let draft = followed(&app, &principal, &publication).await?;
    let held = app.ports.publish.holders(draft.publication).await?;
    let is_sent = held.is_some();
    let held = held.unwrap_or_default();
    Ok(Json(json!({
        "sent": is_sent,
        "readers": held.readers,
        "asked": held.asked,
        "holders": members(&app, &held.holders),
    })))
}

/// A publication that the principal may follow.
async fn followed(app: &App, principal: &Principal, publication: &str) -> Result<DraftStatus, Problem> {
    let unknown = || Problem::not_found("unknown-publication", "no publication of this token has this id");
    let id: PublicationId = publication.parse().map_err(|_| unknown())?;
    let draft = app.ports.publish.status(id).await?;
    draft
        .filter(|draft| app.ports.query.may_follow(principal, draft.group, &draft.submitter))
        .ok_or_else(unknown)
}

/// Members with their names.
fn members(app: &App, members: &[MemberId]) -> Vec<Value> {
    let named = |member: &MemberId| json!({ "member": member, "organisation": app.ports.query.organisation(*member) });
    members.iter().map(named).collect()
}

fn view(app: &App, draft: &DraftStatus) -> Value {
    // What was sent is not in doubt any more.
    let warnings = match draft.state {
        DraftState::Drafted => app.ports.status.obstacles(),
        DraftState::Held | DraftState::Flushed | DraftState::Withdrawn | DraftState::Refused => Vec::new(),
    };
    json!({
        "publication": draft.publication,
        "group": app.ports.query.slug(draft.group),
        "tlp": draft.tlp.map(Tlp::as_str),
        "audience": words::word(draft.audience),
        "recipients": members(app, &draft.recipients),
        "submitter": draft.submitter,
        "accepted": draft.accepted,
        "state": draft.state.as_str(),
        "parts": draft.parts,
        "objects": draft.objects.len(),
        "object_ids": draft.objects.iter().map(|object| object.id.as_str()).collect::<Vec<_>>(),
        "messages": draft.messages,
        "withdrawn": draft.withdrawn,
        "readable_only_here": draft.readable_only_here,
        "warnings": warnings,
        "error": draft.error,
        "reason": draft.reason,
    })
}
