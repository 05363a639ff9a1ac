//! Errors as clients see them: one type inside, two dresses outside.
//!
//! A handler answers with a [`Problem`]; the outermost layer, [`super::dress`], writes it as problem+json
//! (RFC 9457) or as TAXII's error resource (TAXII 2.1 §3.6.1). A fault of ours says nothing but a request id:
//! the reason goes to the log under that id.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use belfry_proto::guard::{Naming, Objection, Weight};
use serde_json::{Map, Value, json};

use crate::{
    publish::{submission::SubmitError, withdraw::WithdrawError},
    query::{NameError, QueryError},
};

/// Why a request got no better answer.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Stable, for programs.
    code: &'static str,
    detail: String,
    /// More members of the answer.
    extra: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log only.
    cause: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), extra: Map::new(), headers: Vec::new(), cause: None }
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    pub(crate) fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub(crate) fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// A fault of this node.
    pub(crate) fn internal(cause: &dyn std::error::Error) -> Self {
        let mut told = cause.to_string();
        let mut next = cause.source();
        while let Some(source) = next {
            told = format!("{told}: {source}");
            next = source.source();
        }
        let mut problem = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the node could not answer; its log says why, under this request id",
        );
        problem.cause = Some(told);
        problem
    }

    /// A fault of this node where an empty answer would be taken for the truth: 503, never 200.
    pub(crate) fn unavailable(cause: &dyn std::error::Error) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "unavailable", ..Self::internal(cause) }
            .retry_after(Duration::from_secs(10))
    }

    /// Whether the fault is this node's.
    pub(crate) fn is_ours(&self) -> bool {
        self.status == StatusCode::INTERNAL_SERVER_ERROR
    }

    /// A fault of this node as [`Self::unavailable`].
    pub(crate) fn into_unavailable(self) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "unavailable", ..self }
            .retry_after(Duration::from_secs(10))
    }

    /// Nothing wrong with the request; come back.
    pub(crate) fn busy(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(Duration::from_secs(1))
    }

    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(member.to_owned(), value.into());
        self
    }

    /// Stable, for programs.
    pub(crate) const fn code(&self) -> &'static str {
        self.code
    }

    /// As told.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// What went wrong on our side; for the log only.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("error")
    }

    /// RFC 9457.
    pub(crate) fn as_problem_json(&self, request: &str) -> Value {
        let mut members = Map::new();
        members.insert("type".into(), json!(format!("urn:belfry:problem:{}", self.code)));
        members.insert("title".into(), json!(self.title()));
        members.insert("status".into(), json!(self.status.as_u16()));
        members.insert("code".into(), json!(self.code));
        members.insert("detail".into(), json!(self.detail));
        members.insert("request_id".into(), json!(request));
        members.extend(self.extra.clone());
        Value::Object(members)
    }

    /// TAXII 2.1 §3.6.1.
    pub(crate) fn as_taxii_error(&self, request: &str) -> Value {
        let mut members = Map::new();
        members.insert("title".into(), json!(self.title()));
        members.insert("description".into(), json!(self.detail));
        members.insert("error_id".into(), json!(request));
        members.insert("error_code".into(), json!(self.code));
        members.insert("http_status".into(), json!(self.status.as_str()));
        if !self.extra.is_empty() {
            members.insert("details".into(), Value::Object(self.extra.clone()));
        }
        Value::Object(members)
    }
}

impl IntoResponse for Problem {
    /// Only carries itself; [`super::dress`] writes it.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl Problem {
    /// For answers that no code of ours made: the router's, an extractor's.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found("no-such-path", "there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "method-not-allowed", "this path does not take this method")
            }
            other => {
                Self::new(other, "refused", other.canonical_reason().unwrap_or("refused").to_lowercase())
            }
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::UnknownGroup { .. } => Self::not_found("unknown-group", error.to_string()),
            QueryError::NotReadable(_) => Self::forbidden("group-not-readable", error.to_string()),
            QueryError::InsideOnly => Self::forbidden("inside-only", error.to_string()),
            QueryError::NotPublishable(_) | QueryError::NotAPublisher { .. } => {
                Self::forbidden("group-not-publishable", error.to_string())
            }
            QueryError::UnknownObject => Self::not_found("unknown-object", error.to_string()),
            QueryError::UnknownMessage => Self::not_found("unknown-message", error.to_string()),
            QueryError::UnknownExport => Self::not_found("unknown-export", error.to_string()),
            QueryError::TooLarge(_) => Self::busy("export-too-large", error.to_string()),
            QueryError::Cursor(_) => Self::bad_request("bad-cursor", error.to_string()),
            QueryError::Busy => Self::busy("busy", error.to_string()),
            QueryError::Read(_) | QueryError::Write(_) | QueryError::Row(_) | QueryError::Died => {
                Self::internal(&error)
            }
        }
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        let code = match error {
            NameError::Unknown(_) => "unknown-member",
            NameError::Ambiguous { .. } => "ambiguous-member",
        };
        Self::unprocessable(code, error.to_string())
    }
}

impl From<WithdrawError> for Problem {
    fn from(error: WithdrawError) -> Self {
        use WithdrawError as E;
        let said = error.to_string();
        match error {
            E::Submit(error) => error.into(),
            E::UnknownMessage(_) => Self::unprocessable("unknown-message", said),
            E::UnknownPublication(_) => Self::unprocessable("unknown-publication", said),
            E::UnknownObject(_) => Self::unprocessable("unknown-object", said),
            E::Nothing | E::TooMany(_) | E::TooMuchAgain => Self::unprocessable("bad-withdrawal", said),
            E::OtherGroup(_) => Self::unprocessable("other-group", said),
            E::NotData(_) => Self::unprocessable("not-withdrawable", said),
            E::NotOurs(_) | E::NotASteward(_) => Self::forbidden("not-yours", said),
            E::GroundMissing(_) => Self::unprocessable("ground-missing", said),
            E::NotLiftable(_) => Self::unprocessable("not-liftable", said),
            E::NotSent(_) => Self::new(StatusCode::CONFLICT, "not-sent", said),
            E::Shares { .. } => Self::new(StatusCode::CONFLICT, "shares-message", said),
        }
    }
}

/// What a guard objects to, for programs. Never the value.
pub(crate) fn objection(found: &Objection) -> Value {
    json!({
        "object": found.object,
        "path": found.path,
        "guard": found.finding.guard().as_str(),
        "rule": found.finding.to_string(),
        "role": found.role.as_str(),
        "weight": found.weight().as_str(),
        "text": found.to_string(),
    })
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let said = error.to_string();
        match error {
            SubmitError::UnknownGroup(_) => Self::not_found("unknown-group", said),
            SubmitError::NotAPublisher(_) => Self::forbidden("not-a-publisher", said),
            SubmitError::NotABundle(_) => Self::unprocessable("not-a-bundle", said),
            SubmitError::Content { object, path, rule } => {
                let mut problem = Self::unprocessable("bad-content", said).with("rule", rule);
                if let Some(object) = object {
                    problem = problem.with("object", object);
                }
                if let Some(path) = path {
                    problem = problem.with("path", path);
                }
                problem
            }
            SubmitError::AboveCeiling { .. } => Self::unprocessable("above-group-ceiling", said),
            SubmitError::RedWithoutRecipients => Self::unprocessable("red-without-recipients", said),
            SubmitError::Guarded(report) => {
                let is_final = report.gravest() == Some(Weight::Refused);
                let code = if is_final { "guard-refused" } else { "reason-needed" };
                let objections: Vec<Value> = report.objections.iter().map(objection).collect();
                Self::unprocessable(code, said).with("objections", objections).with("more", report.more)
            }
            SubmitError::NotASteward(_) => Self::forbidden("not-a-steward", said),
            SubmitError::OnBehalfOfSelf => Self::unprocessable("on-behalf-of-self", said),
            SubmitError::NamesMember(naming) => {
                let problem = Self::unprocessable("names-member", said);
                match naming {
                    Naming::Text { object, path } => problem.with("object", object).with("path", path),
                    Naming::Reference { object } | Naming::Marking { object } => {
                        problem.with("object", object)
                    }
                    Naming::Stated { what } => problem.with("parameter", what),
                    Naming::Nothing | Naming::Object(_) => problem,
                }
            }
            SubmitError::NotHeld(_) => Self::new(StatusCode::CONFLICT, "not-held", said),
            SubmitError::VersionHeld(version) => {
                Self::new(StatusCode::CONFLICT, "version-held", said).with("version", version.to_string())
            }
            SubmitError::VersionGone => Self::new(StatusCode::CONFLICT, "version-gone", said),
            SubmitError::Overtaken(_) => Self::new(StatusCode::CONFLICT, "overtaken", said),
            SubmitError::Reason(_) => Self::unprocessable("bad-reason", said),
            SubmitError::TooManyHeld { .. } => Self::new(StatusCode::CONFLICT, "too-many-drafts", said),
            SubmitError::NotAReader(_) => Self::unprocessable("recipient-not-a-reader", said),
            SubmitError::TooManyRecipients { .. } => Self::unprocessable("too-many-recipients", said),
            SubmitError::IdempotencyMismatch => {
                Self::new(StatusCode::CONFLICT, "idempotency-key-reused", said)
            }
            SubmitError::NoRoom => Self::new(StatusCode::INSUFFICIENT_STORAGE, "no-room", said)
                .retry_after(Duration::from_secs(60)),
            SubmitError::Unavailable(_) => Self::busy("unavailable", said),
            SubmitError::Fault(_) => Self::internal(&error),
        }
    }
}
