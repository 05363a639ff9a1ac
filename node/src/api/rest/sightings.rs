//! Reporting that something was seen, by REST.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use belfry_proto::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::lookup;
use crate::{
    api::{
        app::App,
        audit::{Also, Subject},
        body,
        params::bad,
        problem::Problem,
        sightings::{self, MOST, Of, Outcome, Report, Reported, Said},
    },
    query::{Principal, lookup::Wanted},
};

/// Bytes of a report.
const MAX_BODY: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// What was seen; or `object`.
    #[serde(default)]
    values: Vec<lookup::Value>,
    /// STIX id of what was seen.
    object: Option<String>,
    /// Slugs.
    #[serde(default)]
    groups: Vec<String>,
    /// How often.
    count: Option<u64>,
    first_seen: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    /// It was seen, and is harmless.
    #[serde(default)]
    false_positive: bool,
    /// It no longer holds, since `last_seen` or now.
    #[serde(default)]
    expired: bool,
    /// Whether this member stays unnamed.
    anonymous: Option<bool>,
    /// Holds it until a person releases it.
    #[serde(default)]
    draft: bool,
}

/// `POST /api/v1/sightings` with `values` or `object`, and `groups`, `count`, `first_seen`, `last_seen`, `false_positive`,
/// `expired`, `anonymous` and `draft`.
pub(in crate::api) async fn report(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let question: Question = body::json_up_to(MAX_BODY, &headers, request).await?;
    let of = match (question.values, question.object) {
        (values, None) if !values.is_empty() && values.len() <= MOST => {
            Of::Values(values.into_iter().map(lookup::wanted).collect::<Result<Vec<Wanted>, _>>()?)
        }
        (values, Some(object)) if values.is_empty() => Of::Object(object),
        _ => {
            let rule = format!("say what was seen: `values`, 1 to {MOST} of them, or `object`");
            return Err(Problem::unprocessable("bad-sighting", rule));
        }
    };
    let count = question.count.unwrap_or(1);
    if !(1..=Report::MOST_COUNT).contains(&count) {
        return Err(bad("count", &format!("is 1 to {}", Report::MOST_COUNT)));
    }
    let said = match (question.false_positive, question.expired) {
        (false, false) => Said::Seen,
        (true, false) => Said::FalsePositive,
        (false, true) => Said::Expired,
        (true, true) => {
            let rule = "what is a false positive never held: say `false_positive` or `expired`";
            return Err(Problem::unprocessable("bad-sighting", rule));
        }
    };
    let report = Report {
        of,
        groups: question.groups,
        said,
        count,
        first: question.first_seen,
        last: question.last_seen,
        anonymous: question.anonymous,
        draft: question.draft,
    };
    let Outcome { reported, unknown, left_out } =
        sightings::report(&app, &principal, &headers, report).await?;
    let left_out: Vec<String> = left_out.into_iter().map(|group| app.ports.query.slug(group)).collect();
    let subject = reported.first().map(|one| Subject(one.accepted.publication.to_string()));
    let also = Also(reported.iter().skip(1).map(|one| one.accepted.publication.to_string()).collect());
    let told: Vec<Value> = reported.iter().map(|one| told(&app, one)).collect();
    let answer = json!({
        "reported": told, "unknown": unknown, "left_out": left_out, "warnings": app.ports.status.obstacles(),
    });
    let response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    Ok(match subject {
        Some(subject) => (Extension(subject), Extension(also), response).into_response(),
        None => response,
    })
}

fn told(app: &App, reported: &Reported) -> Value {
    let Reported { group, accepted, anonymous, ended, sighted, .. } = reported;
    let sighted: Vec<Value> =
        sighted.iter().map(|(asked, id)| json!({ "asked": asked, "object": id })).collect();
    json!({
        "group": app.ports.query.slug(*group),
        "publication": accepted.publication,
        "status_url": format!("/api/v1/publications/{}", accepted.publication),
        "tlp": accepted.tlp.map(belfry_proto::stix::marking::Tlp::as_str),
        "held": accepted.held,
        "duplicate": accepted.duplicate,
        "anonymous": anonymous,
        "ended": ended,
        "named_to": if *anonymous { "stewards" } else { "group" },
        "sighted": sighted,
        "notes": accepted.notes,
    })
}
