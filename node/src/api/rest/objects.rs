//! Objects with what the network knows about them.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use belfry_proto::{
    id::{MemberId, MessageId, PublicationId},
    time::Timestamp,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    api::{
        app::App,
        params::{Params, bad},
        problem::Problem,
        taxii::filters,
    },
    query::{Filter, PageRequest, Principal, Query, QueryError, Shown},
};

/// One object as REST and the event stream give it.
#[derive(Serialize)]
pub(in crate::api) struct ObjectJson<'a> {
    group: String,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    version: String,
    date_added: Timestamp,
    tlp: &'static str,
    revoked: bool,
    /// `current`; `revoked` by its author; `withdrawn` by its member or a steward; `hidden` with the log it came in.
    state: &'static str,
    /// Sealed to named members, this one among them.
    named_recipients: bool,
    /// Whose it is; null where that must not be told outside and the token is for outside.
    member: Option<MemberId>,
    organisation: Option<String>,
    /// Who else says so, but for those that ask not to be named: their terms are not shown here.
    reporters: Vec<MemberId>,
    message: MessageId,
    publication: PublicationId,
    created: Timestamp,
    classes: Vec<String>,
    purpose: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embargo_until: Option<Timestamp>,
    /// Handling terms, `name=value`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    handling: &'a [String],
    /// Why it went out although a guard of its author's objected, where the charter has that said.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Its member is a steward, and published it on behalf of another that is not named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    on_behalf: bool,
    /// The author's JSON is not here to be had: the object is gone, and this says so in its stead.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tombstone: bool,
    /// The author's JSON, as published.
    object: &'a RawValue,
}

impl<'a> ObjectJson<'a> {
    pub(in crate::api) fn of(shown: &'a Shown, query: &Query) -> Result<Self, Problem> {
        let member = Some(shown.member()).filter(|_| shown.names_author());
        Ok(Self {
            group: query.slug(shown.group()),
            id: shown.id(),
            kind: shown.kind(),
            version: shown.version(),
            date_added: shown.met(),
            tlp: shown.tlp().as_str(),
            revoked: shown.is_revoked(),
            state: shown.state(),
            named_recipients: shown.is_for_named_recipients(),
            member,
            organisation: member.and_then(|member| query.organisation(member)),
            reporters: shown.nameable().filter(|member| *member != shown.member()).collect(),
            message: shown.message(),
            publication: shown.publication(),
            created: shown.created(),
            classes: shown.classes(),
            purpose: shown.purpose(),
            pap: shown.pap(),
            embargo_until: shown.embargo_until(),
            handling: shown.terms(),
            reason: shown.reason(),
            on_behalf: shown.is_on_behalf(),
            tombstone: shown.is_tombstone(),
            object: serde_json::from_slice(shown.raw()).map_err(|error| Problem::internal(&error))?,
        })
    }
}

#[derive(Serialize)]
struct ObjectsJson<'a> {
    objects: Vec<ObjectJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// `GET /api/v1/objects?group=…`, with `type`, `id`, `version`, `class`, `purpose`, `added_after`,
/// `limit` and `next`.
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let group = params.one("group")?.ok_or_else(|| bad("group", "is needed: a group's slug or number"))?;
    let request = PageRequest {
        filter: Filter {
            added_after: params.time("added_after")?,
            ids: set(&mut params, "id")?,
            kinds: set(&mut params, "type")?,
            versions: filters::versions(&mut params, "version")?,
            spec_versions: BTreeSet::new(),
            stated: params.stated("class", "purpose")?,
            without_expired: false,
        },
        limit: params.limit()?,
        next: params.one("next")?,
    };
    params.finish()?;
    let readable = app.ports.query.readable(&principal, &group)?;
    let page = app.ports.query.page(&principal, readable, request).await?;
    answer(&page.rows, page.next.as_deref(), false, &app.ports.query)
}

/// `GET /api/v1/objects/{id}`: every version every member claims, in `group` or all the token reads.
pub(in crate::api) async fn one(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(object): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let group = params.one("group")?;
    params.finish()?;
    let query = &app.ports.query;
    let groups = match group {
        Some(group) => vec![query.readable(&principal, &group)?],
        None => query.all_readable(&principal),
    };
    let (claims, is_cut) = query.claims(&principal, groups, object).await?;
    if claims.is_empty() {
        return Err(QueryError::UnknownObject.into());
    }
    answer(&claims, None, is_cut, query)
}

fn set(params: &mut Params, name: &str) -> Result<BTreeSet<String>, Problem> {
    Ok(params.list(name)?.into_iter().collect())
}

fn answer(rows: &[Shown], next: Option<&str>, more: bool, query: &Query) -> Result<Response, Problem> {
    let objects = rows.iter().map(|row| ObjectJson::of(row, query)).collect::<Result<_, _>>()?;
    let json = serde_json::to_vec(&ObjectsJson { objects, next, more })
        .map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response())
}
