//! What became of added objects (TAXII 2.1 §4.3).
//!
//! A status id is the publication's id, written as a UUID. Objects of a draft are pending, of a flushed
//! publication successes, of a refused one failures; the counts are the lists' lengths.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use belfry_proto::{id::PublicationId, time::Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::media;
use crate::{
    api::{app::App, problem::Problem},
    publish::submission::{DraftState, DraftStatus},
    query::Principal,
};

#[derive(Serialize)]
struct Status {
    id: Uuid,
    status: &'static str,
    request_timestamp: String,
    total_count: usize,
    success_count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    successes: Vec<Detail>,
    failure_count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Detail>,
    pending_count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pendings: Vec<Detail>,
}

#[derive(Serialize)]
struct Detail {
    id: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl From<DraftStatus> for Status {
    fn from(draft: DraftStatus) -> Self {
        let message = draft.error.clone();
        let accepted: Timestamp = draft.accepted;
        let details: Vec<Detail> = draft
            .objects
            .into_iter()
            .map(|object| Detail {
                id: object.id,
                // Objects without a version of their own go by when they came.
                version: if object.version.is_empty() { accepted.to_string() } else { object.version },
                message: message.clone(),
            })
            .collect();
        let total_count = details.len();
        let (successes, failures, pendings) = match draft.state {
            DraftState::Flushed | DraftState::Withdrawn => (details, Vec::new(), Vec::new()),
            DraftState::Refused => (Vec::new(), details, Vec::new()),
            DraftState::Held | DraftState::Drafted => (Vec::new(), Vec::new(), details),
        };
        Self {
            id: Uuid::from_bytes(*draft.publication.as_bytes()),
            status: if pendings.is_empty() { "complete" } else { "pending" },
            request_timestamp: accepted.to_string(),
            total_count,
            success_count: successes.len(),
            successes,
            failure_count: failures.len(),
            failures,
            pending_count: pendings.len(),
            pendings,
        }
    }
}

/// `GET /taxii2/root/status/{id}/`
pub(in crate::api) async fn status(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = Uuid::try_parse(&id).map_err(|_| unknown())?;
    answer(&app, &principal, PublicationId::new(id.into_bytes()), StatusCode::OK).await
}

/// The status resource of a publication, for those who may follow it.
pub(super) async fn answer(
    app: &App,
    principal: &Principal,
    publication: PublicationId,
    code: StatusCode,
) -> Result<Response, Problem> {
    let draft = app.ports.publish.status(publication).await?;
    let draft = draft
        .filter(|draft| app.ports.query.may_follow(principal, draft.group, &draft.submitter))
        .ok_or_else(unknown)?;
    media::answer(code, &Status::from(draft))
}

fn unknown() -> Problem {
    Problem::not_found("unknown-status", "no request of this token has this status id")
}
