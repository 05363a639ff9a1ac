//! Objects of a collection: listed, one by id, added, withdrawn (TAXII 2.1 §5.4 to §5.7).

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use belfry_proto::{schema::WithdrawalMode, stix::marking::Tlp};

use super::{
    envelope,
    filters::{self, Fields},
    media, status,
};
use crate::{
    api::{app::App, intake, problem::Problem},
    publish::{
        submission::Submission,
        withdraw::{Named, WithdrawError, WithdrawalRequest},
    },
    query::{Filter, Page, Principal, QueryError, Shown, VersionMatch},
};

/// `GET …/objects/`
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(collection): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let readable = app.ports.query.readable(&principal, &collection)?;
    let request = filters::read(&uri, Fields::All)?;
    let filter = request.filter.clone();
    let page = app.ports.query.page(&principal, readable, request).await?;
    Ok(envelope_of(&page, &filter))
}

/// `GET …/objects/{id}/`
pub(in crate::api) async fn one(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path((collection, object)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let readable = app.ports.query.readable(&principal, &collection)?;
    let mut request = filters::read(&uri, Fields::OfObject)?;
    request.filter.ids = [object].into();
    let filter = request.filter.clone();
    let page = app.ports.query.page_of_object(&principal, readable, request).await?;
    Ok(envelope_of(&page, &filter))
}

/// `POST …/objects/`
pub(in crate::api) async fn add(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(collection): Path<String>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let publishable = app.ports.query.draftable(&principal, &collection)?;
    media::is_envelope(&headers)?;
    let place = intake::place(&app, &headers)?;
    let bytes = place.read(&headers, request).await?;
    let bundle = envelope::bundle_of(&bytes)?;
    let idempotency_key = intake::idempotency_key(&principal, &headers)?;
    let submission = Submission {
        bundle,
        // The bundle's own id is made here, and another one at each try.
        origin: idempotency_key.as_ref().map(|_| *blake3::hash(&bytes).as_bytes()),
        idempotency_key,
        hold: publishable.is_held(),
        // TAXII has no word for a reason, and refuses an envelope whole.
        hold_if_passed_on: true,
        ..Submission::of(publishable.group(), principal.name())
    };
    drop(bytes);
    let publish = Arc::clone(&app.ports.publish);
    let accepted = place.during(async move { Ok(publish.submit(submission).await?) }).await?;
    status::answer(&app, &principal, accepted.publication, StatusCode::ACCEPTED).await
}

/// `DELETE …/objects/{id}/`: the member takes back what it says of the object, in every version or in those that
/// `match[version]` means among its own.
///
/// A message is withdrawn whole; what else it says goes out again. The draft is durable when this answers; the
/// collection shows the object as revoked a moment later, at every member.
pub(in crate::api) async fn delete(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path((collection, object)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = &app.ports.query;
    let readable = query.readable(&principal, &collection)?;
    let group = query.withdrawable(&principal, &collection)?.group();
    let filter = filters::read(&uri, Fields::OfObject)?.filter;
    let is_whole = filter.versions.is_empty() || filter.versions.contains(&VersionMatch::All);
    let own = query.own_versions(&principal, readable, object.clone(), filter.versions.clone()).await?;
    // Where this member says nothing of it, it may be that nobody does.
    let is_known = own.says || query.is_claimed(&principal, readable, object.clone()).await?;
    if filter.is_other_spec() || !is_known {
        return Err(QueryError::UnknownObject.into());
    }
    let not_ours =
        || Problem::forbidden("not-yours", "the object is not one that this member publishes here");
    let named = if is_whole {
        Named::Objects(vec![object])
    } else if own.meant.is_empty() {
        return Err(if own.says { QueryError::UnknownObject.into() } else { not_ours() });
    } else {
        Named::Versions { object, versions: own.meant }
    };
    let request = WithdrawalRequest {
        group,
        named,
        mode: WithdrawalMode::Retract,
        ground: None,
        idempotency_key: None,
        submitter: principal.name().to_owned(),
        hold: false,
    };
    match app.ports.publish.withdraw(request).await {
        // Others say it: it is here, and not this member's to take back.
        Err(WithdrawError::UnknownObject(_)) => Err(not_ours()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(media::raw(StatusCode::OK, Vec::new())),
    }
}

/// The envelope of a page: the authors' JSON side by side, nothing re-serialised.
fn envelope_of(page: &Page, filter: &Filter) -> Response {
    let markings = markings_of(page, filter);
    let size: usize = page.rows.iter().map(|row| row.raw().len().saturating_add(1)).sum();
    let mut json = Vec::with_capacity(size.saturating_add(512 * markings.len()).saturating_add(256));
    open(&mut json, page);
    let objects =
        markings.iter().map(|tlp| tlp.definition().as_bytes()).chain(page.rows.iter().map(Shown::raw));
    let mut is_first = true;
    for object in objects {
        json.extend_from_slice(if is_first { br#","objects":["# } else { b"," });
        json.extend_from_slice(object);
        is_first = false;
    }
    // An empty list is no list in TAXII; an empty page has no `objects`.
    json.extend_from_slice(if is_first { b"}" } else { b"]}" });
    let mut response = media::raw(StatusCode::OK, json);
    filters::date_headers(response.headers_mut(), page.dates());
    response
}

/// The members that every page starts with.
pub(super) fn open(json: &mut Vec<u8>, page: &Page) {
    match &page.next {
        // A cursor is base64url: nothing in it needs escaping.
        Some(next) => json.extend_from_slice(format!(r#"{{"more":true,"next":"{next}""#).as_bytes()),
        None => json.extend_from_slice(br#"{"more":false"#),
    }
}

/// The TLP 2.0 definitions this page's objects refer to and do not bring along.
///
/// STIX 2.1 predefines TLP 1 only, so a reader could not resolve them. They are no rows of the
/// collection: not counted, not in the manifest, and left out where the filters exclude them.
fn markings_of(page: &Page, filter: &Filter) -> Vec<Tlp> {
    Tlp::ALL
        .into_iter()
        .filter(|tlp| filter.takes(tlp.marking_id(), "marking-definition"))
        .filter(|tlp| page.rows.iter().all(|row| row.id() != tlp.marking_id()))
        .filter(|tlp| {
            // A mention elsewhere in an object only brings a definition too many.
            page.rows.iter().any(|row| contains(row.raw(), tlp.marking_id().as_bytes()))
        })
        .collect()
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    let Some((&first, _)) = needle.split_first() else { return true };
    let mut rest = hay;
    while let Some(at) = rest.iter().position(|&byte| byte == first) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(needle) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}
