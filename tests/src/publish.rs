//! Publishing through the API, as `belfry publish` and tools do.

use std::fmt::Write as _;

use anyhow::Context as _;
use belfry_proto::{id::MessageId, time::Timestamp};
use serde_json::Value;

use crate::{
    Bundle, Member,
    http::{Answer, encoded},
    wait::until,
};

/// A submission in the making.
pub struct Publish<'a> {
    member: &'a Member,
    bundle: &'a Bundle,
    query: String,
    key: Option<String>,
}

/// An accepted one.
pub struct Accepted<'a> {
    member: &'a Member,
    /// The API's answer.
    pub answer: Value,
}

impl<'a> Publish<'a> {
    pub(crate) fn new(member: &'a Member, group: &str, bundle: &'a Bundle) -> Self {
        Self { member, bundle, query: format!("group={}", encoded(group)), key: None }
    }

    /// Under this marking.
    #[must_use]
    pub fn tlp(mut self, tlp: &str) -> Self {
        let _ = write!(self.query, "&tlp={}", encoded(tlp));
        self
    }

    /// To the whole group without supervisory authorities.
    #[must_use]
    pub fn without_supervisors(mut self) -> Self {
        self.query += "&without_supervisors=true";
        self
    }

    /// Of these information classes, with a label for what is of none.
    #[must_use]
    pub fn class(mut self, class: &str, label: Option<&str>) -> Self {
        let _ = write!(self.query, "&class={}", encoded(class));
        if let Some(label) = label {
            let _ = write!(self.query, "&class_label={}", encoded(label));
        }
        self
    }

    /// With this aim.
    #[must_use]
    pub fn purpose(mut self, purpose: &str) -> Self {
        let _ = write!(self.query, "&purpose={}", encoded(purpose));
        self
    }

    /// Under a condition of handling, `NAME=VALUE`.
    #[must_use]
    pub fn handling(mut self, term: &str) -> Self {
        let _ = write!(self.query, "&handling={}", encoded(term));
        self
    }

    /// Not outside its readers before then.
    #[must_use]
    pub fn embargo(mut self, until: Timestamp) -> Self {
        let _ = write!(self.query, "&embargo_until={}", encoded(&until.to_string()));
        self
    }

    /// Although a guard objects, for this reason.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        let _ = write!(self.query, "&reason={}", encoded(reason));
        self
    }

    /// As a draft, which waits for a person.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.query += "&draft=true";
        self
    }

    /// By a steward, for a member that is not to be named and asked so.
    #[must_use]
    pub fn on_behalf(mut self, member: &str, asked: &str) -> Self {
        let _ = write!(self.query, "&on_behalf={}&asked={}", encoded(member), encoded(asked));
        self
    }

    /// To these members only.
    #[must_use]
    pub fn to(mut self, members: &[&Member]) -> Self {
        for member in members {
            let _ = write!(self.query, "&to={}", member.id());
        }
        self
    }

    /// Under this idempotency key.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Submits; the answer, whatever it is.
    ///
    /// # Errors
    /// No answer.
    pub async fn send(self) -> anyhow::Result<Answer> {
        let mut headers = vec![("content-type", "application/json")];
        if let Some(key) = &self.key {
            headers.push(("idempotency-key", key));
        }
        let path = format!("/api/v1/publications?{}", self.query);
        self.member.api()?.post(&path, &headers, self.bundle.json()).await
    }

    /// Submits and is accepted.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn accepted(self) -> anyhow::Result<Accepted<'a>> {
        let member = self.member;
        let answer = self.send().await?.expect(202)?;
        Ok(Accepted { member, answer })
    }

    /// Submits and waits until it is in the member's own log; gives the messages it became.
    ///
    /// # Errors
    /// Refused now or at flush.
    pub async fn flushed(self) -> anyhow::Result<Vec<MessageId>> {
        self.accepted().await?.flushed().await
    }
}

impl Accepted<'_> {
    /// How far it has come.
    ///
    /// # Errors
    /// No answer.
    pub async fn follow(&self) -> anyhow::Result<Value> {
        let path = self.answer.get("status_url").and_then(Value::as_str).context("no status_url")?;
        self.member.api()?.get(path).await?.expect(200)
    }

    /// Waits until it is in the member's own log; gives the messages it became.
    ///
    /// # Errors
    /// As [`until`].
    pub async fn flushed(&self) -> anyhow::Result<Vec<MessageId>> {
        let status = until(&format!("{}'s publication to be flushed", self.member.name()), async || {
            let status = self.follow().await.map_err(|error| format!("{error:#}"))?;
            let state = status.get("state").and_then(Value::as_str);
            if state == Some("flushed") { Ok(status) } else { Err(status.to_string()) }
        })
        .await?;
        let messages = status.get("messages").and_then(Value::as_array).context("no messages")?;
        messages.iter().map(|id| Ok(id.as_str().context("not an id")?.parse()?)).collect()
    }
}
