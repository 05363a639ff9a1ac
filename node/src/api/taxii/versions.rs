//! The versions of one object (TAXII 2.1 §5.8).

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
struct Versions {
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    versions: Vec<String>,
}

/// `GET …/objects/{id}/versions/`
pub(in crate::api) async fn versions(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path((collection, object)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let readable = app.ports.query.readable(&principal, &collection)?;
    let mut request = filters::read(&uri, Fields::OfVersions)?;
    request.filter.ids = [object].into();
    let page = app.ports.query.versions_of_object(&principal, readable, request).await?;
    let resource = Versions {
        more: page.next.is_some(),
        versions: page.rows.iter().map(crate::query::Shown::version).collect(),
        next: page.next.clone(),
    };
    let mut response = media::answer(StatusCode::OK, &resource)?;
    filters::date_headers(response.headers_mut(), page.dates());
    Ok(response)
}
