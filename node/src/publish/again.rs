//! The next version of what this member published: for whom the last one was, under what it stated.

use belfry_proto::{
    envelope::{
        self, RecipientContext, open_block,
        payload::{Handling, Publication},
    },
    id::MessageId,
    schema::{Audience, HandlingConditions},
    stix::object::Object,
    time::Timestamp,
};

use super::{
    Publisher,
    read::rule,
    submission::{Submission, SubmitError},
    submit::blocking,
};

/// What a message of ours says, and for whom it was.
pub(super) struct Own {
    pub(super) audience: Audience,
    /// None if it does not open here.
    pub(super) publication: Option<Publication>,
}

impl Publisher {
    /// A submission to the same readers as a message of ours, stating what that one stated; it holds nothing yet. And the
    /// marking definitions that the message brought.
    ///
    /// # Errors
    /// The store, or a message that was for named members: whom it names is known to its readers alone.
    pub async fn like(
        &self,
        message: MessageId,
        submitter: &str,
    ) -> Result<(Submission, Vec<Object>), SubmitError> {
        let (this, submitter) = (self.clone(), submitter.to_owned());
        blocking(move || this.stating_the_same(message, &submitter)).await
    }

    fn stating_the_same(
        &self,
        message: MessageId,
        submitter: &str,
    ) -> Result<(Submission, Vec<Object>), SubmitError> {
        let gone =
            || rule("object", "its message does not open here any more; publish the whole object anew");
        let row = self.store.message(message)?.ok_or_else(gone)?;
        let Some(Own { audience, publication }) = self.own(message)? else { return Err(gone()) };
        if audience == Audience::Recipients {
            return Err(rule("object", "went to named members only; publish it to them anew"));
        }
        let before = publication.ok_or_else(gone)?;
        let (objects, handling) = (before.objects, before.handling);
        let definitions =
            objects.into_iter().filter(|object| object.kind() == "marking-definition").collect();
        let submission = Submission {
            tlp: Some(before.tlp),
            purpose: Some(before.purpose),
            classes: before.classes,
            class_label: before.class_label.unwrap_or_default(),
            pap: before.pap,
            handling: handling.as_ref().map(conditions),
            exclude_supervisors: audience == Audience::WithoutSupervisors,
            for_several: before.on_behalf,
            ..Submission::of(row.group, submitter)
        };
        Ok((submission, definitions))
    }

    /// What a message of ours says; none of a withdrawal, or of one that is not here.
    pub(super) fn own(&self, message: MessageId) -> Result<Option<Own>, SubmitError> {
        let fault = |error: envelope::DecodeError| SubmitError::Fault(Box::new(error));
        let Some(bytes) = self.store.envelope(message)? else { return Ok(None) };
        let admitted = envelope::decode(&bytes).map_err(fault)?.trusted();
        let header = admitted.header();
        let Some(key_id) = header.key_id() else { return Ok(None) };
        let opened = match admitted.recipients_block() {
            Some(block) => {
                let key = open_block(&self.identity.kem, RecipientContext::of(header), block, key_id);
                key.and_then(|key| admitted.open_with(&key).ok())
            }
            None => {
                let key = self.store.key(key_id)?.and_then(|row| row.content_key());
                key.and_then(|key| admitted.open(&key).ok())
            }
        };
        let publication = opened.and_then(|opened| opened.parse().ok());
        Ok(Some(Own { audience: header.audience(), publication }))
    }
}

/// As they go on the wire again.
pub(super) fn conditions(handling: &Handling) -> HandlingConditions {
    HandlingConditions {
        embargo_until: handling.embargo_until.map_or(0, Timestamp::as_micros),
        terms: handling.terms.iter().map(|(name, value)| format!("{name}={value}")).collect(),
    }
}
