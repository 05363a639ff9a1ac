//! Lookup: one value or ten thousand, answered in order as they are found.

use std::sync::Arc;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use belfry_proto::stix::observable::Kind;
use futures::{StreamExt as _, stream};
use serde::Deserialize;

use crate::{
    api::{app::App, body, problem::Problem},
    query::{
        Principal, QueryError, Readable,
        lookup::{Found, MAX_VALUES, STRETCH, Wanted, Within},
    },
    stated::{self, Stated},
};

/// Bytes of a question.
const MAX_BODY: usize = 4 << 20;
/// Characters of one value; URLs are the longest.
const MAX_VALUE: usize = 8_192;
/// Stretches of an answer looked up at once, and ahead of their reader. Too low ⇒ one core does it all, and reading waits for
/// it; too high ⇒ one question takes every core, and a reader that stopped leaves them in memory.
const AHEAD: usize = 2;
const NDJSON: &str = "application/x-ndjson";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    values: Vec<Value>,
    /// Slugs; every group the token reads.
    #[serde(default)]
    groups: Vec<String>,
    /// What lies below a domain or within a range, too.
    #[serde(default)]
    around: bool,
    /// Information classes; all.
    #[serde(default)]
    classes: Vec<String>,
    /// Purposes; all.
    #[serde(default)]
    purposes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Value {
    Text(String),
    Typed {
        #[serde(rename = "type")]
        kind: String,
        value: String,
    },
}

/// `POST /api/v1/lookup` with `{"values": […], "groups": […], "around": false, "classes": […], "purposes": […]}`; a line a
/// value for whoever accepts NDJSON, else one array.
pub(in crate::api) async fn lookup(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Question { values, groups, around, classes, purposes } =
        body::json_up_to(MAX_BODY, &headers, body).await?;
    if values.len() > MAX_VALUES {
        return Err(Problem::unprocessable(
            "too-many-values",
            format!("one question has at most {MAX_VALUES} values"),
        )
        .with("limit", MAX_VALUES));
    }
    let query = app.ports.query.clone();
    let groups: Vec<Readable> = if groups.is_empty() {
        query.all_readable(&principal)
    } else {
        groups.iter().map(|group| query.readable(&principal, group)).collect::<Result<_, _>>()?
    };
    let stated = Stated {
        classes: stated::set(&classes).map_err(|error| Problem::unprocessable("unknown-class", error))?,
        purposes: stated::set(&purposes).map_err(|error| Problem::unprocessable("unknown-purpose", error))?,
    };
    let within = Within { groups, around, stated };
    let values = values.into_iter().map(wanted).collect::<Result<Vec<_>, Problem>>()?;
    let is_lines = headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(NDJSON)));

    let mut stretches = values.chunks(STRETCH).map(<[Wanted]>::to_vec).collect::<Vec<_>>().into_iter();
    // The first stretch is found before the answer begins, so that a fault is an error and no broken answer.
    let first = query.lookup(&principal, &within, stretches.next().unwrap_or_default()).await?;
    let end = if is_lines { "" } else { "]}" };
    let media = [(header::CONTENT_TYPE, if is_lines { NDJSON } else { "application/json" })];
    let mut writing = Writing { is_lines, is_begun: false };
    let begun = writing.piece(Ok(first));
    if stretches.len() == 0 {
        // Nearly every question: one answer of known length, with nothing to wait for.
        let begun = begun.map_err(|error| Problem::internal(&error))?;
        return Ok((media, [begun.as_ref(), end.as_bytes()].concat()).into_response());
    }
    let looked_up = move |stretch: Vec<Wanted>| {
        let (query, principal, within) = (query.clone(), principal.clone(), within.clone());
        let looking = tokio::spawn(async move { query.lookup(&principal, &within, stretch).await });
        async move { looking.await.unwrap_or(Err(QueryError::Died)) }
    };
    let rest = stream::iter(stretches).map(looked_up).buffered(AHEAD);
    let rest = rest.map(move |found| writing.piece(found));
    let end = stream::once(async move { Ok(Bytes::from_static(end.as_bytes())) });
    let pieces = stream::once(async move { begun }).chain(rest).chain(end);
    Ok((media, Body::from_stream(pieces)).into_response())
}

pub(super) fn wanted(value: Value) -> Result<Wanted, Problem> {
    let (text, kind) = match value {
        Value::Text(text) => (text, None),
        Value::Typed { kind, value } => {
            let known = kind.parse::<Kind>();
            (value, Some(known.map_err(|error| Problem::unprocessable("unknown-type", error.to_string()))?))
        }
    };
    if text.len() > MAX_VALUE {
        return Err(Problem::unprocessable(
            "value-too-long",
            format!("a value has at most {MAX_VALUE} bytes"),
        ));
    }
    Ok(Wanted { text, kind })
}

struct Writing {
    is_lines: bool,
    is_begun: bool,
}

impl Writing {
    /// Found values as bytes. An error ends the connection: half an answer must not look whole.
    fn piece(&mut self, found: Result<Vec<Found>, QueryError>) -> std::io::Result<Bytes> {
        let found = found.inspect_err(|error| tracing::error!("a lookup broke off: {error}"));
        let mut out = Vec::new();
        if !self.is_begun && !self.is_lines {
            out.extend_from_slice(b"{\"results\":[");
        }
        for (i, found) in found.map_err(std::io::Error::other)?.iter().enumerate() {
            if !self.is_lines && (self.is_begun || i > 0) {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, found)?;
            if self.is_lines {
                out.push(b'\n');
            }
        }
        self.is_begun = true;
        Ok(out.into())
    }
}
