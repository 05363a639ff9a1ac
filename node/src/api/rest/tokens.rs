//! Access tokens: made, listed, rotated, revoked. A token's text is shown once, when it is made.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use belfry_proto::{
    id::GroupId,
    stix::{egress::Audience, marking::Tlp},
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        app::App,
        audit::Subject,
        body,
        paging::{self, Paging},
        params::Params,
        problem::Problem,
    },
    clock,
    query::{CLI_TOKEN, CreateError, Groups, Made, Principal, Query, RotateError, Scope, TokenId, TokenView},
};

/// What a new token shall grant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    /// Slugs or numbers, or `*` for every group.
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    publish: Vec<String>,
    #[serde(default)]
    draft: Vec<String>,
    #[serde(default)]
    admin: bool,
    max_tlp: Option<String>,
    #[serde(default)]
    red: bool,
    /// `inside` unless said.
    audience: Option<String>,
    expires: Option<Timestamp>,
}

impl Wanted {
    fn scope(&self, query: &Query) -> Result<Scope, Problem> {
        let wrong = |detail: String| Problem::unprocessable("bad-scope", detail);
        let audience = self.audience.as_deref().map_or(Some(Audience::Inside), Audience::named);
        let audience = audience.ok_or_else(|| wrong("`audience` is inside or outside".to_owned()))?;
        let ceiling = self.max_tlp.as_deref().map_or(Ok(audience.usual()), str::parse::<Tlp>);
        Ok(Scope {
            read: groups(&self.read, query)?,
            publish: groups(&self.publish, query)?,
            draft: groups(&self.draft, query)?,
            admin: self.admin,
            ceiling: ceiling.map_err(|error| wrong(error.to_string()))?,
            red: self.red,
            audience,
            expires: self.expires,
        })
    }
}

fn groups(names: &[String], query: &Query) -> Result<Groups, Problem> {
    if names.iter().any(|name| name == "*") {
        return Ok(Groups::All);
    }
    let unknown = |name: &String| {
        let known = query.own_slugs(|_| true).join(", ");
        Problem::unprocessable(
            "unknown-group",
            format!("the charter has no group `{name}`: this node is in {known}"),
        )
    };
    names
        .iter()
        .map(|name| query.group_named(name).ok_or_else(|| unknown(name)))
        .collect::<Result<_, _>>()
        .map(Groups::Only)
}

/// `POST /api/v1/tokens`
pub(in crate::api) async fn create(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let wanted: Wanted = body::json(&headers, request).await?;
    let query = &app.ports.query;
    let scope = wanted.scope(query)?;
    let made = query.tokens().create(&wanted.name, scope, clock::now()).await.map_err(refused)?;
    tracing::info!(token.id = %made.view.id, by = %principal.token(), "made token {}", made.view.id);
    let subject = Extension(Subject(made.view.id.to_string()));
    Ok((StatusCode::CREATED, subject, Json(shown_once(query, &made))).into_response())
}

/// With its text, which nothing shows again.
fn shown_once(query: &Query, made: &Made) -> Value {
    let mut shown = view(query, &made.view);
    if let Value::Object(members) = &mut shown {
        members.insert("token".to_owned(), json!(made.text.expose()));
    }
    shown
}

fn refused(error: CreateError) -> Problem {
    match &error {
        CreateError::Name => Problem::unprocessable("bad-name", error.to_string()),
        CreateError::NameTaken(_) => Problem::new(StatusCode::CONFLICT, "name-taken", error.to_string()),
        CreateError::TooMany => Problem::new(StatusCode::CONFLICT, "too-many-tokens", error.to_string()),
        CreateError::Scope(_) => Problem::unprocessable("bad-scope", error.to_string()),
        CreateError::Write(_) => Problem::internal(&error),
    }
}

/// `GET /api/v1/tokens`, with `limit` and `next`: oldest first.
pub(in crate::api) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let paging = Paging::of(&mut params, "tokens", &[])?;
    params.finish()?;
    let query = &app.ports.query;
    let position =
        |token: &TokenView| [&token.created.as_micros().to_be_bytes()[..], token.id.as_bytes()].concat();
    let (tokens, next) = paging.cut(query.tokens().list(), position);
    Ok(paging::answer("tokens", tokens.iter().map(|token| view(query, token)).collect(), next))
}

fn unknown_token() -> Problem {
    Problem::not_found("unknown-token", "no token has this id or name")
}

/// The token of this id or name, unless it is the command line's.
fn other_than_own(query: &Query, token: &str) -> Result<TokenId, Problem> {
    let known = query.tokens().list();
    // Ids first: a name may look like one.
    let id = token.parse::<TokenId>().ok();
    let found = known.iter().find(|known| Some(known.id) == id);
    let found = found.or_else(|| known.iter().find(|known| known.name == token)).ok_or_else(unknown_token)?;
    if found.name == CLI_TOKEN {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "own-token",
            "this is the token of the command line itself; delete cli.token in the data folder and restart to replace it",
        ));
    }
    Ok(found.id)
}

/// How a token's secret changes hands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// For so many seconds the old secret is good as well.
    #[serde(default)]
    overlap_seconds: u64,
}

/// `POST /api/v1/tokens/{token}/rotate`: another secret under the same id, name and scope.
pub(in crate::api) async fn rotate(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(token): Path<String>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let Rotation { overlap_seconds } = body::json(&headers, request).await?;
    let query = &app.ports.query;
    let id = other_than_own(query, &token)?;
    let overlap = Duration::from_secs(overlap_seconds);
    let made = query.tokens().rotate(id, overlap, clock::now()).await.map_err(|error| match error {
        RotateError::Unknown => unknown_token(),
        RotateError::Expired => Problem::new(StatusCode::CONFLICT, "token-expired", error.to_string()),
        RotateError::Overlap => Problem::unprocessable("overlap-too-long", error.to_string()),
        RotateError::Write(_) => Problem::internal(&error),
    })?;
    tracing::info!(token.id = %id, by = %principal.token(), "rotated token {id}");
    Ok((StatusCode::OK, Extension(Subject(id.to_string())), Json(shown_once(query, &made))).into_response())
}

/// `DELETE /api/v1/tokens/{token}`, by id or name.
pub(in crate::api) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    let id = other_than_own(&app.ports.query, &token)?;
    let was_there = app.ports.query.tokens().revoke(id).await.map_err(|error| Problem::internal(&error))?;
    if !was_there {
        return Err(unknown_token());
    }
    tracing::info!(token.id = %id, by = %principal.token(), "revoked token {id}");
    Ok((StatusCode::NO_CONTENT, Extension(Subject(id.to_string()))).into_response())
}

fn view(query: &Query, token: &TokenView) -> Value {
    let slugs = |groups: &Groups| match groups {
        Groups::All => json!(["*"]),
        Groups::Only(groups) => {
            json!(groups.iter().map(|&group: &GroupId| query.slug(group)).collect::<Vec<_>>())
        }
    };
    json!({
        "id": token.id.to_string(),
        "name": token.name,
        "read": slugs(&token.scope.read),
        "publish": slugs(&token.scope.publish),
        "draft": slugs(&token.scope.draft),
        "admin": token.scope.admin,
        "max_tlp": token.scope.ceiling.as_str(),
        "red": token.scope.red,
        "audience": token.scope.audience.as_str(),
        "created": token.created,
        "expires": token.scope.expires,
        // The daemon's own making, for `belfry` on this machine.
        "own": token.name == CLI_TOKEN,
    })
}
