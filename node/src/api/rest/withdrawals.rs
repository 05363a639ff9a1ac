//! Taking messages back, and lifting what a steward took back.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use belfry_proto::{
    id::{MessageId, PublicationId},
    schema::{WithdrawalGround, WithdrawalMode},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{app::App, body, intake, params::bad, problem::Problem},
    publish::withdraw::{Named, Remains, WithdrawalRequest},
    query::{Principal, words},
};

/// What is to be taken back: exactly one of `messages`, `publication` and `objects`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Slug or number.
    group: String,
    messages: Option<Vec<MessageId>>,
    publication: Option<PublicationId>,
    objects: Option<Vec<String>>,
    /// `retract`, `erase` or `lift`.
    mode: String,
    /// Why; the author's own wish unless said.
    ground: Option<String>,
}

impl Wanted {
    fn named(&mut self) -> Result<Named, Problem> {
        match (self.messages.take(), self.publication.take(), self.objects.take()) {
            (Some(messages), None, None) => Ok(Named::Messages(messages)),
            (None, Some(publication), None) => Ok(Named::Publication(publication)),
            (None, None, Some(objects)) => Ok(Named::Objects(objects)),
            _ => Err(Problem::unprocessable(
                "bad-withdrawal",
                "say which: one of `messages`, `publication` and `objects`",
            )),
        }
    }
}

/// `POST /api/v1/withdrawals`
pub(in crate::api) async fn withdraw(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let mut wanted: Wanted = body::json(&headers, request).await?;
    let group = app.ports.query.withdrawable(&principal, &wanted.group)?.group();
    let mode = words::parse::<WithdrawalMode>(&wanted.mode)
        .ok_or_else(|| bad("mode", &format!("is one of {}", words::all::<WithdrawalMode>().join(", "))))?;
    let ground = wanted.ground.as_deref().map(|text| {
        words::parse::<WithdrawalGround>(text).ok_or_else(|| {
            bad("ground", &format!("is one of {}", words::all::<WithdrawalGround>().join(", ")))
        })
    });
    let request = WithdrawalRequest {
        group,
        named: wanted.named()?,
        mode,
        ground: ground.transpose()?,
        idempotency_key: intake::idempotency_key(&principal, &headers)?,
        submitter: principal.name().to_owned(),
        hold: false,
    };
    let withdrawn = app.ports.publish.withdraw(request).await?;
    let remains: Vec<Value> = withdrawn.remains.iter().map(|remains| told(&app, remains)).collect();
    let status_url = format!("/api/v1/publications/{}", withdrawn.publication);
    let answer = json!({
        "publication": withdrawn.publication,
        "status_url": status_url,
        "targets": withdrawn.targets,
        "republished": withdrawn.republished,
        "remains": remains,
        "duplicate": withdrawn.duplicate,
        "warnings": app.ports.status.obstacles(),
    });
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    if let Ok(location) = HeaderValue::from_str(&status_url) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A publication that goes on saying some of it.
fn told(app: &App, remains: &Remains) -> Value {
    json!({
        "publication": remains.publication,
        "group": app.ports.query.slug(remains.group),
        "objects": remains.objects,
        "made_here": remains.is_made_here,
    })
}
