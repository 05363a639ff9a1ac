//! An event, and how webhooks write it.

use belfry_proto::{stix::observable::Observable, time::Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::query::{Gap, Leaves, Query};

/// Something to be told.
pub(super) struct Event {
    /// The same at every try: receivers tell repetitions by it.
    pub(super) id: String,
    pub(super) what: What,
}

pub(super) enum What {
    /// An object came, or is gone.
    Object(Box<Told>),
    /// Something is missing before what follows.
    Gap(Gap),
}

/// An object with the names around it.
pub(super) struct Told {
    pub(super) leaves: Leaves,
    pub(super) group: String,
    /// Its author, if it may be named.
    pub(super) organisation: Option<String>,
}

impl Event {
    pub(super) fn of(hook: &str, leaves: Leaves, query: &Query) -> Self {
        let shown = leaves.released.object();
        // Numbers begin again in a store that is made anew; dates do not.
        let id = format!("{hook}_{}_{}", leaves.number, shown.date_added().as_micros());
        let group = query.slug(shown.group());
        let organisation =
            if leaves.released.hides_author() { None } else { query.organisation(shown.member()) };
        Self { id, what: What::Object(Box::new(Told { leaves, group, organisation })) }
    }

    pub(super) fn of_gap(hook: &str, gap: Gap) -> Self {
        Self { id: format!("{hook}_gap_{}_{}", gap.after, gap.resumes_after), what: What::Gap(gap) }
    }

    /// Stable, for programs.
    pub(super) fn kind(&self) -> &'static str {
        match &self.what {
            What::Gap(_) => "feed.gap",
            What::Object(told) if told.leaves.released.object().is_revoked() => "object.revoked",
            What::Object(_) => "object.added",
        }
    }

    /// As JSON (Standard Webhooks: type, timestamp, data).
    pub(super) fn json(&self, now: Timestamp) -> Result<Vec<u8>, serde_json::Error> {
        let (kind, timestamp) = (self.kind(), now);
        match &self.what {
            What::Gap(gap) => serde_json::to_vec(&Payload { kind, timestamp, data: gap }),
            What::Object(told) => serde_json::to_vec(&Payload { kind, timestamp, data: &Data::of(told)? }),
        }
    }
}

#[derive(Serialize)]
struct Payload<'a, D: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: &'a D,
}

#[derive(Serialize)]
struct Data<'a> {
    /// In the feed of the node, as the event stream has it.
    number: u64,
    group: &'a str,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    version: String,
    date_added: Timestamp,
    tlp: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pap: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    handling: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    on_behalf: bool,
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<&'a str>,
    message: String,
    classes: Vec<String>,
    /// If that is yet to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Timestamp>,
    values: Vec<Value<'a>>,
    /// Without its creator, where that must not be named.
    object: Box<RawValue>,
}

#[derive(Serialize)]
struct Value<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: &'a str,
}

impl<'a> Data<'a> {
    fn of(told: &'a Told) -> Result<Self, serde_json::Error> {
        let shown = told.leaves.released.object();
        Ok(Self {
            number: told.leaves.number,
            group: &told.group,
            id: shown.id(),
            kind: shown.kind(),
            version: shown.version(),
            date_added: shown.date_added(),
            tlp: shown.tlp().as_str(),
            pap: shown.pap(),
            handling: shown.terms(),
            on_behalf: shown.is_on_behalf(),
            revoked: shown.is_revoked(),
            organisation: told.organisation.as_deref(),
            message: shown.message().to_string(),
            classes: shown.classes(),
            valid_from: told.leaves.from,
            valid_until: told.leaves.until,
            values: told.leaves.values.iter().map(Value::of).collect(),
            object: serde_json::from_slice(&told.leaves.released.raw())?,
        })
    }
}

impl<'a> Value<'a> {
    fn of(value: &'a Observable) -> Self {
        Self { kind: value.kind().as_str(), value: value.value() }
    }
}
