//! Where a person is named on this node, for whoever answers that person (GDPR 15 to 17).
//!
//! What is looked for is personal data itself: it comes by the Unix socket only, so that no packet carries it, and nothing
//! keeps it. The audit log says that there was a search and how much it found.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use belfry_proto::guard::subject::Subject;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{app::App, audit, body, connection::Caller, params::bad, problem::Problem},
    query::{
        Principal,
        subject::{Found, Hit, Step},
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    values: Vec<String>,
    /// Where the answer before ended.
    next: Option<String>,
}

/// `POST /api/v1/subject-searches` with `{"values": […], "next": …}`.
pub(in crate::api) async fn search(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    if caller.is_some_and(|Extension(caller)| caller.address().is_some()) {
        return Err(Problem::forbidden(
            "local-only",
            "a person is searched for through the node's Unix socket only: `belfry subject search`",
        ));
    }
    let Wanted { values, next } = body::json(&headers, request).await?;
    let subject =
        Subject::of(&values).map_err(|error| Problem::unprocessable("bad-values", error.to_string()))?;
    let step = match next {
        Some(text) => {
            Step::parse(&text).ok_or_else(|| bad("next", "is what the answer before ended with"))?
        }
        None => Step::Start,
    };
    let Found { hits, examined, next } = app.ports.query.subject(&principal, subject, step).await?;
    let count = hits.len();
    let hits: Vec<Value> = hits.iter().map(|hit| told(&app, hit)).collect();
    let answer = json!({ "hits": hits, "examined": examined, "next": next.map(Step::to_text) });
    let mut response = Json(answer).into_response();
    response.extensions_mut().insert(audit::Subject(format!("{count} found")));
    Ok(response)
}

fn told(app: &App, hit: &Hit) -> Value {
    let mut told = json!(hit);
    let query = &app.ports.query;
    if let Value::Object(members) = &mut told {
        let reporters: Vec<_> =
            hit.reporters.iter().filter_map(|member| query.organisation(*member)).collect();
        if hit.reporters.is_empty() {
            members.remove("reporters");
        } else {
            members.insert("reporters".to_owned(), json!(reporters));
        }
        if let Some(group) = hit.group.as_deref().filter(|_| hit.remedy == "ask") {
            members.insert("stewards".to_owned(), json!(query.stewards(group)));
        }
    }
    told
}
