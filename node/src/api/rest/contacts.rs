//! Where members' functions are reached: everybody's, and this member's own to be set.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use belfry_proto::{
    guard::is_named_as_a_person,
    schema::{ContactRole, Mailbox},
    trust::{contact, names::by_name},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        app::App,
        body,
        paging::{self, Paging},
        params::Params,
        ports::ContactRefused,
        problem::Problem,
    },
    query::Principal,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// All there are from now on; none takes back what there was.
    mailboxes: Vec<Wish>,
    /// That none of them is a natural person's, although one looks so.
    #[serde(default)]
    confirmed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(deserialize_with = "by_name")]
    role: ContactRole,
    #[serde(default)]
    email: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    phone: String,
    /// Hex, in groups or not.
    #[serde(default)]
    openpgp: String,
    #[serde(default)]
    key_url: String,
    #[serde(default)]
    languages: Vec<String>,
    #[serde(default)]
    hours: String,
}

/// `GET /api/v1/contacts`, with `limit` and `next`.
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let paging = Paging::of(&mut params, "contacts", &[])?;
    params.finish()?;
    let all = app.ports.query.contacts(&principal).await?;
    let (found, next) = paging.cut(all, |contact| contact.member.to_vec());
    Ok(paging::answer("contacts", found.iter().map(|contact| json!(contact)).collect(), next))
}

/// `GET /api/v1/members/{member}/contact`: null if it says none.
pub(in crate::api) async fn one(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(member): Path<String>,
) -> Result<Json<Value>, Problem> {
    // First who asks: members' names are not told outside, and whether there is one neither.
    let all = app.ports.query.contacts(&principal).await?;
    let member = app.ports.query.recipient_named(&member)?;
    let contact = all.into_iter().find(|contact| contact.member == member);
    Ok(Json(json!({ "contact": contact })))
}

/// `POST /api/v1/contacts`
pub(in crate::api) async fn set(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    request: Body,
) -> Result<Json<Value>, Problem> {
    let wanted: Wanted = body::json(&headers, request).await?;
    let mailboxes = wanted.mailboxes.into_iter().map(mailbox).collect::<Result<Vec<_>, _>>()?;
    contact::check(&mailboxes).map_err(|error| Problem::unprocessable("bad-contact", error.to_string()))?;
    let person = mailboxes.iter().find(|mailbox| is_named_as_a_person(&mailbox.email));
    if let Some(mailbox) = person.filter(|_| !wanted.confirmed) {
        return Err(Problem::unprocessable(
            "natural-person",
            format!(
                "{} looks like a natural person's, and only role mailboxes belong into a contact record",
                mailbox.email
            ),
        ));
    }
    let count = mailboxes.len();
    let made = app.ports.status.set_contact(mailboxes).await.map_err(refused)?;
    tracing::info!(mailboxes = count, by = %principal.token(), "this member's contact has {count} mailboxes");
    Ok(Json(json!({ "made": made, "mailboxes": count })))
}

fn mailbox(wish: Wish) -> Result<Mailbox, Problem> {
    let Wish { role, email, url, phone, openpgp, key_url, languages, hours } = wish;
    let digits: String = openpgp.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    let openpgp = hex::decode(digits).map_err(|_| {
        Problem::unprocessable("bad-contact", "openpgp must be a fingerprint in hexadecimal digits")
    })?;
    Ok(Mailbox { role: role.into(), email, url, phone, openpgp, key_url, languages, hours })
}

fn refused(refused: ContactRefused) -> Problem {
    match refused {
        ContactRefused::Rule(reason) => Problem::unprocessable("contact-refused", reason),
        ContactRefused::NoRoom => Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "no-room",
            "the disk is nearly full, and nothing more is written",
        ),
        ContactRefused::Fault(fault) => Problem::internal(fault.as_ref()),
    }
}
