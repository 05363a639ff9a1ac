//! Held drafts: listed, looked at, released, discarded.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use belfry_proto::id::PublicationId;
use serde_json::{Value, json, value::RawValue};

use crate::{
    api::{
        app::App,
        audit,
        paging::{self, Paging},
        params::Params,
        problem::{self, Problem},
        proposals,
    },
    publish::{drafts::HeldDraft, submission::SubmitError},
    query::{Principal, words},
};

/// `GET /api/v1/drafts`, with `limit` and `next`: those in groups the token publishes to, oldest first.
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let paging = Paging::of(&mut params, "drafts", &[])?;
    params.finish()?;
    let query = app.ports.query.clone();
    let of = Box::new(move |group| query.may_release(&principal, group));
    let after = paging.after().map(<[u8]>::to_vec);
    let (held, last) = app.ports.publish.held(of, after, paging.limit()).await?;
    let drafts: Vec<Value> = held.iter().map(|draft| view(&app, draft)).collect();
    Ok(paging::answer("drafts", drafts, last.map(|last| paging.next(&last))))
}

/// `GET /api/v1/drafts/{draft}`: what it says or takes back, and what the guards say of it.
pub(in crate::api) async fn show(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(draft): Path<String>,
) -> Result<Json<Value>, Problem> {
    let id = within(&app, &principal, &draft).await?;
    let open = app.ports.publish.held_draft(id).await?;
    let mut told = view(&app, &open.draft);
    let readable = app.ports.query.may_look_into(&principal, open.draft.group, open.tlp);
    let objects = open.objects.iter().filter(|_| readable);
    let objects: Vec<&RawValue> =
        objects.filter_map(|object| serde_json::from_slice(object.raw()).ok()).collect();
    if let Value::Object(members) = &mut told {
        members.insert("tlp".to_owned(), json!(open.tlp.as_str()));
        if let Some(purpose) = open.purpose {
            members.insert("purpose".to_owned(), json!(words::word(purpose)));
        }
        members.insert(
            "classes".to_owned(),
            json!(open.classes.iter().copied().map(words::word).collect::<Vec<_>>()),
        );
        members.insert("content".to_owned(), json!(objects));
        let objections = open.report.objections.iter().map(problem::objection);
        members.insert("objections".to_owned(), objections.collect());
        members.insert("more_objections".to_owned(), json!(open.report.more));
    }
    Ok(Json(told))
}

/// `POST /api/v1/drafts/{draft}/release`, with `reason` where a guard objects.
pub(in crate::api) async fn release(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(draft): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let reason = params.one("reason")?;
    params.finish()?;
    let id = within(&app, &principal, &draft).await?;
    let mut released = Err(SubmitError::Overtaken(id));
    for _ in 0..proposals::TRIES {
        let open = app.ports.publish.held_draft(id).await?;
        if let Some(proposal) = &open.draft.accepts {
            proposals::still_accepts(&app, &principal, proposal, &open.objects).await?;
        }
        released = app.ports.publish.release(id, reason.clone(), open.basis).await;
        if !matches!(released, Err(SubmitError::Overtaken(_))) {
            break;
        }
    }
    let kept = released?;
    tracing::info!(publication = %id, by = %principal.token(), "released draft {id}");
    let status_url = format!("/api/v1/publications/{id}");
    let answer = json!({ "publication": id, "status_url": status_url });
    let subject = Extension(audit::Subject(id.to_string()));
    let mut response = (StatusCode::ACCEPTED, subject, Json(answer)).into_response();
    if let Some(reason) = kept {
        response.extensions_mut().insert(audit::Reason(reason));
    }
    Ok(response)
}

/// `DELETE /api/v1/drafts/{draft}`
pub(in crate::api) async fn discard(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(draft): Path<String>,
) -> Result<(StatusCode, Extension<audit::Subject>), Problem> {
    let id = within(&app, &principal, &draft).await?;
    app.ports.publish.discard(id).await?;
    tracing::info!(publication = %id, by = %principal.token(), "discarded draft {id}");
    Ok((StatusCode::NO_CONTENT, Extension(audit::Subject(id.to_string()))))
}

/// The draft meant, if it is held in a group the token publishes to; of another one nothing is told.
async fn within(app: &App, principal: &Principal, draft: &str) -> Result<PublicationId, Problem> {
    let unknown = || Problem::not_found("unknown-draft", "no held draft of this token's groups has this id");
    let id: PublicationId = draft.parse().map_err(|_| unknown())?;
    let status = app.ports.publish.status(id).await?.ok_or_else(unknown)?;
    if !app.ports.query.may_release(principal, status.group) {
        return Err(unknown());
    }
    match status.state {
        crate::publish::submission::DraftState::Held => Ok(id),
        _ => Err(SubmitError::NotHeld(id).into()),
    }
}

fn view(app: &App, draft: &HeldDraft) -> Value {
    let query = &app.ports.query;
    let name = |id: &belfry_proto::id::MemberId| query.organisation(*id).unwrap_or_else(|| id.to_string());
    json!({
        "draft": draft.publication,
        "group": query.slug(draft.group),
        "submitter": draft.submitter,
        "accepted": draft.accepted,
        "recipients": draft.recipients.iter().map(name).collect::<Vec<_>>(),
        "without_supervisors": draft.without_supervisors,
        "parts": draft.parts,
        "objects": draft.objects,
        "withdraws": draft.withdraws,
        "reason": draft.reason,
    })
}
