//! `POST /events/restSearch`: the events of the export, one a publication, as its feed has them.
//!
//! The same window as a search of attributes, of the same export: what an event holds passed the gate towards tools. An event
//! is found by itself and by one of its attributes, and is told whole.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use belfry_proto::time::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Found, RESULT_COUNT, SECOND, Search, Written,
    filter::{bad, flag},
    misp_profile, number, through_all,
};
use crate::{
    api::{app::App, body, exports::Rendered, problem::Problem},
    clock,
    query::Principal,
};

/// Events of an answer, unless fewer are asked for; X-Result-Count says how many there are.
const MOST: usize = 1_000;
/// Attributes of all events of an answer: some tens of megabytes.
const ATTRIBUTES: usize = 50_000;

pub(in crate::api) async fn search(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let mut wanted: Map<String, Value> = body::json(&headers, request).await?;
    let is_bare = wanted.remove("metadata").map(|value| flag("metadata", &value)).transpose()?;
    let search = Search::read(wanted, clock::now())?;
    if search.format != Written::Json {
        return Err(bad("returnFormat", "is json for events"));
    }
    let (profile, rendered) = misp_profile(&app, &principal).await?;
    let look = move |rendered: &Rendered| search.events(rendered, is_bare.unwrap_or_default());
    let found = through_all(&app, (&profile, rendered), look).await?;
    let Found { total, body } = match found {
        Some(found) => found?,
        None => written(0, &[]),
    };
    let mut response = ([(header::CONTENT_TYPE, Written::Json.content_type())], body).into_response();
    response.headers_mut().insert(RESULT_COUNT, HeaderValue::from(total));
    Ok(response)
}

fn written(total: usize, events: &[Value]) -> Found {
    Found { total, body: json!({ "response": events }).to_string().into_bytes() }
}

impl Search {
    /// The page asked for; what is bare comes without its attributes.
    fn events(&self, rendered: &Rendered, is_bare: bool) -> Result<Found, Problem> {
        let limit = self.limit.unwrap_or(MOST).min(MOST);
        let from = self.page.saturating_sub(1).saturating_mul(limit);
        let (mut total, mut page, mut attributes) = (0_usize, Vec::new(), 0_usize);
        for event in rendered.events() {
            let mut event = event?;
            if !self.takes_event(&event) {
                continue;
            }
            if total >= from && page.len() < limit {
                if !is_bare {
                    attributes += event.get("Attribute").and_then(Value::as_array).map_or(0, Vec::len);
                }
                if attributes > ATTRIBUTES {
                    let said = format!(
                        "these events have more than {ATTRIBUTES} attributes: ask for a lower `limit`, or for `metadata`"
                    );
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-attributes", said));
                }
                let id = number(Uuid::try_parse(text(&event, "uuid")).unwrap_or_default());
                if let Some(members) = event.as_object_mut() {
                    members.insert("id".to_owned(), json!(id));
                    if is_bare {
                        members.remove("Attribute");
                    }
                }
                page.push(json!({ "Event": event }));
            }
            total += 1;
        }
        Ok(written(total, &page))
    }

    fn takes_event(&self, event: &Value) -> bool {
        let uuid = text(event, "uuid");
        let at = text(event, "timestamp").parse::<u64>().unwrap_or_default();
        let at = Timestamp::from_micros(at.saturating_mul(SECOND));
        let of_event = tags(event);
        let attributes = || event.get("Attribute").and_then(Value::as_array).into_iter().flatten();
        // What is kept out keeps out the event that has it: an event is told whole.
        let has_what_is_barred = |attribute: &Value| {
            let own = tags(attribute);
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            !self.tags.lets(&own)
                || !self.types.lets(&[text(attribute, "type")])
                || !self.categories.lets(&[text(attribute, "category")])
                || !self.uuids.lets(&[text(attribute, "uuid")])
                || !self.values.lets(text(attribute, "value"))
        };
        !self.is_void
            && self.to_ids != Some(false)
            && self.is_of_event(Uuid::try_parse(uuid).unwrap_or_default())
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at <= until)
            && !attributes().any(has_what_is_barred)
            && attributes().any(|attribute| {
                let mut of_both = tags(attribute);
                of_both.extend(of_event.iter().cloned());
                let of_both: Vec<&str> = of_both.iter().map(String::as_str).collect();
                self.types.hold(&[text(attribute, "type")])
                    && self.categories.hold(&[text(attribute, "category")])
                    && self.tags.hold(&of_both)
                    && self.uuids.hold(&[text(attribute, "uuid"), uuid])
                    && self.values.hold(text(attribute, "value"))
            })
    }
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Names of what it is tagged with, as filters have them.
fn tags(of: &Value) -> BTreeSet<String> {
    let tags = of.get("Tag").and_then(Value::as_array).into_iter().flatten();
    tags.map(|tag| text(tag, "name").to_ascii_lowercase()).collect()
}
