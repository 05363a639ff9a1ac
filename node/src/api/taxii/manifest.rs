//! The manifest: what a collection holds, without the holding (TAXII 2.1 §5.3).

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::Response,
};
use serde::Serialize;

use super::{
    filters::{self, Fields},
    media,
};
use crate::{
    api::{app::App, problem::Problem},
    query::Principal,
};

#[derive(Serialize)]
struct Manifest<'a> {
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<Record<'a>>,
}

#[derive(Serialize)]
struct Record<'a> {
    id: &'a str,
    date_added: String,
    version: String,
    media_type: &'static str,
}

/// `GET …/manifest/`
pub(in crate::api) async fn manifest(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(collection): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let readable = app.ports.query.readable(&principal, &collection)?;
    let request = filters::read(&uri, Fields::All)?;
    let page = app.ports.query.page(&principal, readable, request).await?;
    let manifest = Manifest {
        more: page.next.is_some(),
        next: page.next.as_deref(),
        objects: page
            .rows
            .iter()
            .map(|row| Record {
                id: row.id(),
                date_added: row.met().to_string(),
                version: row.version(),
                media_type: media::STIX,
            })
            .collect(),
    };
    let mut response = media::answer(StatusCode::OK, &manifest)?;
    filters::date_headers(response.headers_mut(), page.dates());
    Ok(response)
}
