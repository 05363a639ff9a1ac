//! The part of MISP's REST interface that its clients read with, and report sightings by (MISP 2.5): PyMISP, XSOAR and what
//! is built on them.
//!
//! It is another window onto an export: the first profile of format `misp` that the token may have. So what these
//! clients see passed the gate towards tools, and nothing is a MISP server's that a list is not. The key goes raw into
//! `Authorization`, as MISP has it. A filter that is not known here is refused: ignoring it would widen the answer.

pub(super) mod events;
mod filter;
pub(super) mod sightings;
mod table;
pub(super) mod types;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use belfry_proto::{stix::neutral, time::Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::{
    filter::{Asked, Values, bad, day, ids, stretch, to_ids, wants_deleted, wants_published},
    table::{Columns, Table},
};
use super::{
    app::App,
    body,
    exports::{self, Rendered},
    problem::Problem,
};
use crate::{
    clock,
    config::Format,
    query::{Entry, ExportView, Principal},
};

/// The version whose answers these are like.
const VERSION: &str = "2.5.34";
const RESULT_COUNT: HeaderName = HeaderName::from_static("x-result-count");
/// Attributes of an answer, unless fewer are asked for; X-Result-Count says how many there are.
const MOST: usize = 50_000;
const SECOND: u64 = 1_000_000;
/// How long a search waits for its place. Too short ⇒ two clients at once are refused for nothing, too long ⇒ those that
/// wait pile up.
const PATIENCE: Duration = Duration::from_secs(10);
/// What changes how MISP writes an answer, or holds here anyway: let be.
const HARMLESS: [&str; 18] = [
    "returnFormat",
    "enforceWarninglist",
    "includeEventUuid",
    "includeEventTags",
    "includeContext",
    "includeDecayScore",
    "includeSightings",
    "includeSightingdb",
    "includeCorrelations",
    "includeProposals",
    "includeFullModel",
    "includeWarninglistHits",
    "includeGalaxy",
    "sgReferenceOnly",
    "withAttachments",
    "excludeDecayed",
    "metadata",
    "allow_proposal_blocking",
];

/// `GET /servers/getPyMISPVersion.json`
pub(super) async fn pymisp_version() -> Json<Value> {
    Json(json!({ "version": VERSION }))
}

/// `GET /servers/getVersion`
pub(super) async fn version(Extension(principal): Extension<Principal>) -> Json<Value> {
    let scope = principal.scope();
    let may_sight = !scope.publish.is_empty() || !scope.draft.is_empty();
    Json(json!({
        "version": VERSION, "pymisp_recommended_version": VERSION, "perm_sync": false, "perm_sighting": may_sight,
        "perm_galaxy_editor": false, "request_encoding": [], "filter_sightings": false,
    }))
}

/// `GET /users/view/me`
pub(super) async fn me(Extension(principal): Extension<Principal>) -> Json<Value> {
    Json(json!({
        "User": {
            "id": "1", "org_id": "1", "role_id": "6", "email": format!("{}@belfry.invalid", principal.name()),
            "disabled": false, "autoalert": false, "contactalert": false,
        },
        "Role": {
            "id": "6", "name": "Read Only", "perm_add": false, "perm_modify": false, "perm_publish": false,
            "perm_sync": false, "perm_admin": false, "perm_auth": true, "perm_site_admin": false,
        },
        "UserSetting": [],
    }))
}

/// `POST /attributes/restSearch`
pub(super) async fn search(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let wanted: Map<String, Value> = body::json(&headers, request).await?;
    let search = Search::read(wanted, clock::now())?;
    let (profile, rendered) = misp_profile(&app, &principal).await?;
    let format = search.format;
    let name = profile.name.clone();
    let page = move |entries: &[Entry]| search.page(entries, &name);
    let Found { total, body } = through(&app, (&profile, rendered), page).await??;
    let mut response = ([(header::CONTENT_TYPE, format.content_type())], body).into_response();
    response.headers_mut().insert(RESULT_COUNT, HeaderValue::from(total));
    Ok(response)
}

/// A look at every entry of an export, of which there may be a million: no work for a thread that serves others, and not
/// more of it at once than there are places. What was begun keeps its place to its end, also if its client goes.
async fn through<T: Send + 'static>(
    app: &App,
    of: (&ExportView, Arc<Rendered>),
    look: impl FnOnce(&[Entry]) -> T + Send + 'static,
) -> Result<T, Problem> {
    let is_shadow = of.0.shadow;
    let found =
        looked(app, of.1, move |rendered| look(if is_shadow { &[] } else { &rendered.snapshot.entries }));
    found.await
}

/// The same of all that the export is; none of one that serves nothing.
async fn through_all<T: Send + 'static>(
    app: &App,
    (profile, rendered): (&ExportView, Arc<Rendered>),
    look: impl FnOnce(&Rendered) -> T + Send + 'static,
) -> Result<Option<T>, Problem> {
    match profile.shadow {
        true => Ok(None),
        false => looked(app, rendered, look).await.map(Some),
    }
}

async fn looked<T: Send + 'static>(
    app: &App,
    rendered: Arc<Rendered>,
    look: impl FnOnce(&Rendered) -> T + Send + 'static,
) -> Result<T, Problem> {
    let place = tokio::time::timeout(PATIENCE, Arc::clone(&app.searches).acquire_owned()).await;
    let busy = || Problem::busy("searches-busy", "other searches look through this export; try again");
    let place = place.map_err(|_| busy())?.map_err(|error| Problem::unavailable(&error))?;
    let found = tokio::task::spawn_blocking(move || {
        let found = look(&rendered);
        drop(place);
        found
    });
    found.await.map_err(|error| Problem::internal(&error))
}

/// The export that these clients look into.
async fn misp_profile(app: &App, principal: &Principal) -> Result<(ExportView, Arc<Rendered>), Problem> {
    let query = &app.ports.query;
    let profile = query.exports(principal).into_iter().find(|export| export.format == Format::Misp.as_str());
    let profile = profile.ok_or_else(|| {
        Problem::not_found(
            "no-misp-export",
            "this token may have no export of format misp; name one under [[exports]] in belfry.toml",
        )
    })?;
    let rendered = app.exports.rendered(query, principal, &profile.name.as_str().into()).await?;
    Ok((profile, rendered))
}

/// The UUID of an entry as an attribute, if MISP has its type.
fn attribute_of(entry: &Entry) -> Option<Uuid> {
    let (kind, _) = exports::misp_type(entry.observable.kind(), entry.bearer)?;
    Some(exports::misp_id(&[b"value", kind.as_bytes(), entry.observable.value().as_bytes()]))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Json,
    /// One value a line.
    Text,
    /// A table.
    Csv,
}

impl Written {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// A page of what was found.
struct Found {
    /// How many there are in all.
    total: usize,
    body: Vec<u8>,
}

/// What is asked for.
struct Search {
    values: Values,
    types: Asked,
    categories: Asked,
    tags: Asked,
    uuids: Asked,
    /// By id or UUID.
    events: Asked,
    to_ids: Option<bool>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Of what is unpublished or deleted alone: of that there is nothing here.
    is_void: bool,
    limit: Option<usize>,
    page: usize,
    format: Written,
    columns: Columns,
}

/// A page in the making.
enum Page {
    Json(Vec<Value>),
    Text(String),
    Csv(Box<Table>),
}

impl Search {
    fn read(mut wanted: Map<String, Value>, now: Timestamp) -> Result<Self, Problem> {
        wanted.retain(|_, value| !value.is_null());
        let format = match wanted.get("returnFormat").and_then(Value::as_str) {
            None | Some("json") => Written::Json,
            Some("text") => Written::Text,
            Some("csv") => Written::Csv,
            Some(_) => return Err(bad("returnFormat", "is json, csv or text here")),
        };
        let mut take = |name: &str| wanted.remove(name);
        let (asked, headerless) = (take("requested_attributes"), take("headerless"));
        // Of a table; what else it is written as has none.
        let asked = asked.filter(|_| format == Written::Csv);
        let is_published = wants_published(take("published"))?;
        let is_deleted = wants_deleted(take("deleted"))?;
        // Changed, published or seen: of what stands in an export it is one time, the last that it was said or seen.
        let (mut since, mut until): (Option<Timestamp>, Option<Timestamp>) = (None, None);
        for name in ["timestamp", "attribute_timestamp", "event_timestamp", "publish_timestamp", "last"] {
            let Some(value) = take(name) else { continue };
            let (from, to) = stretch(name, &value, now)?;
            since = since.max(Some(from));
            until = until.into_iter().chain(to).min();
        }
        if let Some(value) = take("from") {
            since = since.max(Some(day("from", &value, now)?));
        }
        if let Some(value) = take("to") {
            until = until.into_iter().chain([day("to", &value, now)?]).min();
        }
        let number = |name: &str, value: Option<Value>| {
            let rule = || bad(name, "is a whole number");
            let number = value.map(|value| match value {
                Value::String(text) => text.parse::<u64>().map_err(|_| rule()),
                value => value.as_u64().ok_or_else(rule),
            });
            Ok::<_, Problem>(number.transpose()?.map(|number| usize::try_from(number).unwrap_or(usize::MAX)))
        };
        let search = Self {
            values: Values::of(Asked::read("value", take("value"), str::to_lowercase)?),
            types: Asked::read("type", take("type"), str::to_owned)?,
            categories: Asked::read("category", take("category"), str::to_owned)?,
            tags: Asked::read("tags", take("tags"), str::to_ascii_lowercase)?,
            uuids: Asked::read("uuid", take("uuid"), str::to_ascii_lowercase)?,
            events: Asked::read("eventid", take("eventid").map(ids), str::to_ascii_lowercase)?,
            to_ids: to_ids(take("to_ids"))?,
            since,
            until,
            is_void: is_deleted || !is_published,
            limit: number("limit", take("limit"))?.filter(|limit| *limit > 0),
            page: number("page", take("page"))?.unwrap_or(1).max(1),
            format,
            columns: Columns::read(asked, headerless)?,
        };
        match wanted.keys().find(|name| !HARMLESS.contains(&name.as_str())) {
            Some(unknown) => Err(bad(unknown, "is no filter of this server")),
            None => Ok(search),
        }
    }

    fn is_of_event(&self, uuid: Uuid) -> bool {
        self.events.hold(&[&number(uuid), &uuid.to_string()])
    }

    /// The page asked for. Only what stands on it is made into attributes; the rest is counted.
    fn page(&self, entries: &[Entry], profile: &str) -> Result<Found, Problem> {
        // All of them are of one event, the export.
        let entries = if self.is_of_event(event_of(profile)) { entries } else { &[] };
        let limit = self.limit.unwrap_or(MOST).min(MOST);
        let from = self.page.saturating_sub(1).saturating_mul(limit);
        let to = from.saturating_add(limit);
        let mut total = 0;
        let mut page = match self.format {
            Written::Json => Page::Json(Vec::new()),
            Written::Text => Page::Text(String::new()),
            Written::Csv => Page::Csv(Box::new(self.columns.table()?)),
        };
        for taken in entries.iter().filter_map(|entry| self.takes(entry)) {
            if (from..to).contains(&total) {
                match &mut page {
                    Page::Json(attributes) => attributes.push(taken.attribute(profile)),
                    Page::Text(lines) => {
                        lines.push_str(taken.entry.observable.value());
                        lines.push('\n');
                    }
                    Page::Csv(table) => table.row(&taken, profile)?,
                }
            }
            total += 1;
        }
        let body = match page {
            Page::Json(attributes) => {
                json!({ "response": { "Attribute": attributes } }).to_string().into_bytes()
            }
            Page::Text(lines) => lines.into_bytes(),
            Page::Csv(table) => (*table).done()?,
        };
        Ok(Found { total, body })
    }

    /// An entry as the attribute that it is, if it is asked for.
    fn takes<'a>(&self, entry: &'a Entry) -> Option<Taken<'a>> {
        let value = entry.observable.value();
        let (kind, category) = exports::misp_type(entry.observable.kind(), entry.bearer)?;
        let tag = format!("tlp:{}", entry.tlp);
        let uuid = attribute_of(entry)?;
        let is_wanted = !self.is_void
            && neutral::is_plain(value)
            && self.types.hold(&[kind])
            && self.categories.hold(&[category])
            && self.tags.hold(&[&tag])
            && self.uuids.hold(&[&uuid.to_string()])
            && self.to_ids != Some(false)
            && self.since.is_none_or(|since| entry.last >= since)
            && self.until.is_none_or(|until| entry.last <= until)
            && self.values.hold(value);
        is_wanted.then_some(Taken { entry, kind, category, tag, uuid })
    }
}

/// An entry that is asked for.
struct Taken<'a> {
    entry: &'a Entry,
    kind: &'static str,
    category: &'static str,
    tag: String,
    uuid: Uuid,
}

impl Taken<'_> {
    fn attribute(&self, profile: &str) -> Value {
        let Taken { entry, kind, category, tag, uuid } = self;
        let event = event_of(profile);
        let name = entry.sources.join("; ");
        json!({
            "id": number(*uuid), "event_id": number(event), "uuid": uuid.to_string(), "type": kind,
            "category": category, "value": entry.observable.value(), "to_ids": true, "distribution": "0",
            "timestamp": (entry.last.as_micros() / SECOND).to_string(),
            "first_seen": entry.first, "last_seen": entry.last, "comment": entry.name, "deleted": false,
            "disable_correlation": false, "object_id": "0", "object_relation": null,
            "Tag": [{ "name": tag, "colour": "#888888", "exportable": true }],
            "Event": { "id": number(event), "uuid": event.to_string(), "info": format!("belfry {profile}: {name}") },
        })
    }
}

/// The event that the values of an export stand in.
fn event_of(profile: &str) -> Uuid {
    exports::misp_id(&[b"export", profile.as_bytes()])
}

/// MISP's ids are numbers; these are the same as long as what they stand for is.
fn number(uuid: Uuid) -> String {
    (uuid.as_u64_pair().0 >> 16).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wanted: Value) -> Result<Search, Problem> {
        let Value::Object(wanted) = wanted else { panic!("no object") };
        Search::read(wanted, Timestamp::from_micros(10_000_000_000_000))
    }

    #[test]
    fn a_filter_that_is_not_known_is_refused_and_not_ignored() {
        for (wanted, named) in [
            (json!({ "org": "CERT" }), "org"),
            (json!({ "value": { "NEITHER": ["a"] } }), "value"),
            (json!({ "deleted": "perhaps" }), "deleted"),
            (json!({ "to_ids": "perhaps" }), "to_ids"),
            (json!({ "last": "a while" }), "last"),
            (json!({ "returnFormat": "stix" }), "returnFormat"),
            (json!({ "limit": -1 }), "limit"),
            (json!({ "headerless": "maybe" }), "headerless"),
            (
                json!({ "returnFormat": "csv", "requested_attributes": ["value", "secret"] }),
                "requested_attributes",
            ),
        ] {
            let refusal = read(wanted.clone()).err().unwrap();
            assert!(refusal.as_problem_json("").to_string().contains(named), "{wanted}");
        }
        let search =
            read(json!({ "org": null, "includeContext": false, "value": { "OR": ["a"] }, "last": "1h" }))
                .unwrap();
        assert!(search.values.hold("A") && !search.values.hold("b"));
        assert_eq!(search.since.unwrap().as_micros(), 9_996_400_000_000);
    }

    #[test]
    fn of_several_times_each_is_minded() {
        for (wanted, since, until) in [
            (json!({ "timestamp": "1h", "publish_timestamp": "2h" }), 9_996_400, None),
            (json!({ "publish_timestamp": "1h", "last": "2h" }), 9_996_400, None),
            (json!({ "event_timestamp": ["3h", "1h"], "timestamp": "2h" }), 9_992_800, Some(9_996_400)),
        ] {
            let search = read(wanted.clone()).unwrap();
            let seconds = |time: Timestamp| time.as_micros() / SECOND;
            assert_eq!(
                (search.since.map(seconds), search.until.map(seconds)),
                (Some(since), until),
                "{wanted}"
            );
        }
    }
}
