//! `sightings/add`, as MISP has it: PyMISP, a SIEM or a sensor reports what it saw (MISP 2.5).
//!
//! It becomes a sighting like those of REST (see `api::sightings`): who reports and its `source` stay here, and a token that
//! drafts has its report held. MISP's clients cannot say that their member shall be named, so it never is: where nobody can
//! tell a sighting for it, it is refused. An attribute is named by its value, or by the id or UUID that a search here gave it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use belfry_proto::{stix::neutral, time::Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    SECOND, attribute_of,
    filter::{bad, moment},
    misp_profile, number, through,
};
use crate::{
    api::{
        app::App,
        audit::{Also, Subject},
        body,
        problem::Problem,
        sightings::{self, MOST, Of, Outcome, Report, Reported, Said},
    },
    clock,
    query::{Entry, Principal, lookup::Wanted},
};

/// What says who saw it or where, or how MISP shall answer: taken, and told to nobody.
const KEPT_HERE: [&str; 6] =
    ["source", "org_id", "Organisation", "event_id", "returnFormat", "date_sighting"];

/// `POST /sightings/add`
pub(in crate::api) async fn add(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let wanted: Map<String, Value> = body::json(&headers, request).await?;
    report(&app, &principal, &headers, wanted, None).await
}

/// `POST /sightings/add/{attribute}`: of one, by the id or UUID that a search gave it. The body may be empty.
pub(in crate::api) async fn add_to(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let wanted = body::json_if_any(&headers, request).await?;
    report(&app, &principal, &headers, wanted, Some(id)).await
}

async fn report(
    app: &Arc<App>,
    principal: &Principal,
    headers: &HeaderMap,
    wanted: Map<String, Value>,
    id: Option<String>,
) -> Result<Response, Problem> {
    let sighting = Sighting::read(wanted, id, clock::now())?;
    let values = match sighting.of {
        Named::Values(values) => values.into_iter().map(|text| Wanted { text, kind: None }).collect(),
        Named::Attribute(id) => vec![attribute(app, principal, id).await?],
    };
    let report = Report {
        of: Of::Values(values),
        groups: Vec::new(),
        said: sighting.said,
        count: 1,
        first: None,
        last: sighting.at,
        // An opinion is its member's own, and whoever calls it a false positive, or expired, gives one.
        anonymous: (sighting.said == Said::Seen).then_some(true),
        draft: false,
    };
    let Outcome { reported, left_out, .. } = sightings::report(app, principal, headers, report).await?;
    let Some(first) = reported.first() else { return Ok(Json(json!({})).into_response()) };
    let subject = Extension(Subject(first.accepted.publication.to_string()));
    let also = reported.iter().skip(1).map(|one| one.accepted.publication.to_string()).collect();
    Ok((subject, Extension(Also(also)), Json(told(&reported, first, sighting.said, left_out.len())))
        .into_response())
}

fn told(reported: &[Reported], first: &Reported, said: Said, left_out: usize) -> Value {
    let id = first.accepted.object_ids.first().and_then(|id| id.split_once("--")?.1.parse::<Uuid>().ok());
    let id = id.unwrap_or_default();
    let held = reported.iter().any(|one| one.accepted.held);
    let count: usize = reported.iter().map(|one| one.sighted.len()).sum();
    let mut after = if held { ", held until a person releases it" } else { "" }.to_owned();
    if left_out > 0 {
        after.push_str(&format!(
            "; {left_out} groups were told nothing, for want of a steward to tell it unnamed"
        ));
    }
    json!({
        "Sighting": {
            "id": number(id), "uuid": id.to_string(), "attribute_id": "0", "event_id": "0", "org_id": "0",
            "date_sighting": (first.last.as_micros() / SECOND).to_string(), "source": "",
            "type": match said { Said::Seen => "0", Said::FalsePositive => "1", Said::Expired => "2" },
        },
        "message": format!("{count} sighted{after}"),
    })
}

/// The value of an attribute that a search here gave this id.
async fn attribute(app: &App, principal: &Principal, id: String) -> Result<Wanted, Problem> {
    let (profile, rendered) = misp_profile(app, principal).await?;
    let look = move |entries: &[Entry]| {
        let is_meant = |entry: &&Entry| {
            neutral::is_plain(entry.observable.value())
                && attribute_of(entry).is_some_and(|uuid| uuid.to_string() == id || number(uuid) == id)
        };
        let entry = entries.iter().find(is_meant)?;
        Some(Wanted { text: entry.observable.value().to_owned(), kind: Some(entry.observable.kind()) })
    };
    let found = through(app, (&profile, rendered), look).await?;
    found.ok_or_else(|| Problem::not_found("unknown-attribute", "no attribute of this id is for this token"))
}

enum Named {
    Values(Vec<String>),
    /// By id or UUID.
    Attribute(String),
}

struct Sighting {
    of: Named,
    said: Said,
    at: Option<Timestamp>,
}

impl Sighting {
    fn read(mut wanted: Map<String, Value>, id: Option<String>, now: Timestamp) -> Result<Self, Problem> {
        // MISP's own interface wraps it.
        if let Some(Value::Object(within)) = wanted.remove("Sighting").or_else(|| wanted.remove("request")) {
            wanted = within;
        }
        wanted.retain(|name, value| !value.is_null() && !KEPT_HERE.contains(&name.as_str()));
        let mut take = |name: &str| wanted.remove(name);
        let said = match take("type") {
            None => Said::Seen,
            Some(kind) => match kind.as_u64().or_else(|| kind.as_str()?.parse().ok()) {
                Some(0) => Said::Seen,
                Some(1) => Said::FalsePositive,
                Some(2) => Said::Expired,
                _ => return Err(bad("type", "is 0, seen, 1, a false positive, or 2, expired")),
            },
        };
        let at = take("timestamp").map(|at| moment("timestamp", &at, now)).transpose()?;
        let text = |name: &str, value: Option<Value>| match value {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(bad(name, "is a text")),
        };
        let named = match id {
            Some(id) => Some(id),
            // PyMISP gives a sighting of its own a UUID, which names no attribute.
            None => text("id", take("id"))?.or(text("attribute_uuid", take("attribute_uuid"))?),
        };
        let uuid = text("uuid", take("uuid"))?;
        let mut values: Vec<String> = text("value", take("value"))?.into_iter().collect();
        match take("values") {
            None => {}
            Some(Value::Array(more)) => {
                for value in more {
                    values.extend(text("values", Some(value))?);
                }
            }
            Some(_) => return Err(bad("values", "is a list of texts")),
        }
        if let Some(unknown) = wanted.keys().next() {
            return Err(bad(unknown, "is nothing that a sighting has here"));
        }
        let of = match named.or(uuid.filter(|_| values.is_empty())) {
            Some(id) => Named::Attribute(id),
            None if (1..=MOST).contains(&values.len()) => Named::Values(values),
            None => return Err(bad("value", &format!("says what was seen; `values` up to {MOST}"))),
        };
        Ok(Self { of, said, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wanted: Value) -> Result<Sighting, Problem> {
        let Value::Object(wanted) = wanted else { panic!("no object") };
        Sighting::read(wanted, None, Timestamp::from_micros(10_000_000_000_000))
    }

    #[test]
    fn a_sighting_names_values_or_an_attribute_and_what_is_unknown_is_refused() {
        let seen = read(json!({ "values": ["a", "b"], "value": "c", "timestamp": "1000", "source": "IDS" }))
            .unwrap();
        assert!(matches!(seen.of, Named::Values(values) if values == ["c", "a", "b"]));
        assert_eq!((seen.said, seen.at.map(Timestamp::as_micros)), (Said::Seen, Some(1_000 * SECOND)));
        let named = read(json!({ "Sighting": { "id": 7, "type": "1" } })).unwrap();
        assert!(matches!(named.of, Named::Attribute(id) if id == "7"));
        assert_eq!(named.said, Said::FalsePositive);
        for (wanted, field) in [
            (json!({}), "value"),
            (json!({ "value": "a", "type": 3 }), "type"),
            (json!({ "value": "a", "colour": "red" }), "colour"),
            (json!({ "values": "a" }), "values"),
            (json!({ "value": ["a"] }), "value"),
        ] {
            let refusal = read(wanted.clone()).err().unwrap();
            assert!(refusal.as_problem_json("").to_string().contains(field), "{wanted}");
        }
    }
}
