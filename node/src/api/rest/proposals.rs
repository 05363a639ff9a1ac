//! Proposals by REST: made, listed, answered.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use belfry_proto::{stix::proposal::Change, time::Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    api::{
        app::App,
        audit::{Reason, Subject},
        body,
        paging::{self, Paging},
        params::{Params, bad},
        problem::Problem,
        proposals::{self, Verdict, Wish},
    },
    publish::submission::Accepted,
    query::{Principal, ProposalView, QueryError, Standing},
};

/// Bytes of a proposal: as much as an object, and a comment.
const MAX_BODY: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Slug.
    group: Option<String>,
    /// Properties and their new values.
    #[serde(default)]
    set: Map<String, Value>,
    /// Properties that go.
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    comment: String,
    reason: Option<String>,
    #[serde(default)]
    draft: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Answer {
    /// The proposal's `modified` that was looked at.
    version: Option<String>,
    comment: String,
    reason: Option<String>,
    draft: bool,
}

/// `POST /api/v1/objects/{object}/proposals` with `set`, `remove`, and `group`, `comment`, `reason` and `draft`.
pub(in crate::api) async fn propose(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(object): Path<String>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let wanted: Wanted = body::json_up_to(MAX_BODY, &headers, request).await?;
    let wish = Wish {
        object,
        group: wanted.group,
        change: Change { set: wanted.set, remove: wanted.remove.into_iter().collect() },
        comment: wanted.comment,
        reason: wanted.reason,
        draft: wanted.draft,
    };
    let (note, accepted) = proposals::propose(&app, &principal, &headers, wish).await?;
    let mut answer = told(&app, &accepted);
    if let Value::Object(members) = &mut answer {
        members.insert("proposal".to_owned(), json!(note));
        let owner = accepted.recipients.first();
        members.insert("owner".to_owned(), json!(owner));
        let named = owner.and_then(|owner| app.ports.query.organisation(*owner));
        members.insert("owner_organisation".to_owned(), json!(named));
        members.insert("warnings".to_owned(), json!(app.ports.status.obstacles()));
    }
    let subject = Extension(Subject(accepted.publication.to_string()));
    Ok(with_reason((StatusCode::ACCEPTED, subject, Json(answer)).into_response(), accepted.reason))
}

fn with_reason(mut response: Response, reason: Option<String>) -> Response {
    if let Some(reason) = reason {
        response.extensions_mut().insert(Reason(reason));
    }
    response
}

/// `GET /api/v1/proposals`, with `group`, `state`, `limit` and `next`: by this member and to it, the newest first.
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let (group, state) = (params.one("group")?, params.one("state")?);
    let filters = [&group, &state].map(|said| said.as_deref().unwrap_or_default());
    let paging = Paging::of(&mut params, "proposals", &filters)?;
    params.finish()?;
    let state = state.map(|word| {
        let known = Standing::ALL.into_iter().find(|standing| standing.as_str() == word);
        let all = Standing::ALL.map(Standing::as_str).join(", ");
        known.ok_or_else(|| bad("state", &format!("is one of {all}")))
    });
    let query = &app.ports.query;
    let groups = match group {
        Some(group) => vec![query.readable(&principal, &group)?],
        None => query.all_readable(&principal),
    };
    let before = paging.after_number()?.map(Timestamp::from_micros);
    let page = (before, paging.limit());
    let (found, last) = query.proposals(&principal, groups, state.transpose()?, page).await?;
    let told: Vec<Value> = found.iter().map(|one| view(&app, one)).collect();
    let next = last.map(|last| paging.next(&last.as_micros().to_be_bytes()));
    Ok(paging::answer("proposals", told, next))
}

/// `POST /api/v1/proposals/{proposal}/accept`: publishes the object so changed.
pub(in crate::api) async fn accept(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(proposal): Path<String>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    answered(&app, &principal, headers, request, (proposal, true)).await
}

/// `POST /api/v1/proposals/{proposal}/decline`.
pub(in crate::api) async fn decline(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(proposal): Path<String>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    answered(&app, &principal, headers, request, (proposal, false)).await
}

async fn answered(
    app: &Arc<App>,
    principal: &Principal,
    headers: HeaderMap,
    request: Body,
    (proposal, accepts): (String, bool),
) -> Result<Response, Problem> {
    let Answer { version, comment, reason, draft } = body::json_if_any(&headers, request).await?;
    let verdict = Verdict { accepts, version, comment, reason, draft };
    let accepted = proposals::answer(app, principal, &headers, proposal, verdict).await?;
    let Some((answer, version)) = accepted.split_last() else { return Err(QueryError::Died.into()) };
    let told = json!({
        "answer": told(app, answer), "version": version.first().map(|version| told(app, version)),
        "warnings": app.ports.status.obstacles(),
    });
    let subject = Extension(Subject(answer.publication.to_string()));
    let reason = accepted.iter().find_map(|one| one.reason.clone());
    Ok(with_reason((StatusCode::ACCEPTED, subject, Json(told)).into_response(), reason))
}

fn told(app: &App, accepted: &Accepted) -> Value {
    json!({
        "group": app.ports.query.slug(accepted.group),
        "publication": accepted.publication,
        "status_url": format!("/api/v1/publications/{}", accepted.publication),
        "tlp": accepted.tlp.map(belfry_proto::stix::marking::Tlp::as_str),
        "held": accepted.held,
        "duplicate": accepted.duplicate,
        "notes": accepted.notes,
    })
}

fn view(app: &App, one: &ProposalView) -> Value {
    let query = &app.ports.query;
    let owner = one.object.as_ref().map(|object| object.member());
    json!({
        "proposal": one.note.id(),
        "group": query.slug(one.note.group()),
        "direction": if one.is_ours { "by-us" } else { "to-us" },
        "state": one.standing.as_str(),
        "outdated": one.is_outdated(),
        "member": one.note.member(),
        "organisation": query.organisation(one.note.member()),
        "owner": owner,
        "owner_organisation": owner.and_then(|owner| query.organisation(owner)),
        "object": one.proposal.of,
        "version": one.proposal.version,
        "tlp": one.note.tlp().as_str(),
        "created": one.note.created(),
        "modified": one.note.version(),
        "comment": one.proposal.comment,
        "set": one.proposal.change.set,
        "remove": one.proposal.change.remove,
        "current": one.current(),
        "answer": one.answer.as_ref().map(|(said, at)| json!({ "comment": said, "at": at })),
    })
}
