//! The texts that the coalition's members accept, and whether this member has.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use belfry_proto::trust::names::Named as _;
use serde_json::{Value, json};

use crate::{
    api::{app::App, problem::Problem},
    texts::{self, Text},
};

/// `GET /api/v1/rules`: what the charter in force names, and which of it is here.
pub(in crate::api) async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let named = app.ports.query.texts();
    let folder = app.ports.texts.clone();
    let told = tokio::task::spawn_blocking(move || {
        let text = |text: Text| {
            let document = text.of(&named.charter);
            json!({
                "text": text.as_str(),
                "version": document.version,
                "link": document.link,
                "hash": hex::encode(&document.hash),
                "here": texts::find(document, &folder).is_some(),
            })
        };
        json!({
            "charter": named.charter.version(),
            "texts": Text::ALL.map(text),
            "accept_by": named.charter.accept_by(),
            "unaccepted": named.charter.accept_by().map(|_| named.charter.unaccepted().name()),
            "accepted": named.accepted,
        })
    });
    Ok(Json(told.await.map_err(|error| Problem::internal(&error))?))
}

/// `GET /api/v1/rules/{text}`: the text itself, if a file here has the hash that the charter names.
pub(in crate::api) async fn one(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let text = Text::named(&name).ok_or_else(|| {
        Problem::not_found("unknown-text", "there is `arrangement`, and there is `rules-of-conduct`")
    })?;
    let (named, folder) = (app.ports.query.texts(), app.ports.texts.clone());
    let found = tokio::task::spawn_blocking(move || texts::find(text.of(&named.charter), &folder)).await;
    let (_, bytes) = found.map_err(|error| Problem::internal(&error))?.ok_or_else(|| {
        Problem::not_found(
            "text-not-here",
            format!(
                "no file in `documents` of the data folder has the hash that the charter names for the {name}: get it from the \
                 coalition or another member, and put it there"
            ),
        )
    })?;
    // It may be any file: no browser is to make anything of it.
    let kind = if std::str::from_utf8(&bytes).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    };
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], bytes).into_response())
}
