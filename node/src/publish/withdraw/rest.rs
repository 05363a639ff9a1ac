//! What a message says besides what is taken back: it goes out again.

use belfry_proto::{
    envelope::{
        self, RecipientContext, open_block,
        payload::{self, Publication},
    },
    id::{MessageId, PublicationId},
    schema::{self, Audience},
    stix::object::Object,
    time::Timestamp,
};
use prost::Message as _;

use super::{Publisher, WithdrawError};

/// A message in parts that goes out again without some of its objects.
pub(super) struct Rest {
    pub(super) audience: Audience,
    publication: Publication,
    pub(super) objects: Vec<Object>,
}

impl Publisher {
    /// What a message of ours says besides these objects; `None` if nothing.
    pub(super) fn rest(&self, message: MessageId, objects: &[String]) -> Result<Option<Rest>, WithdrawError> {
        let shares = |others, why| WithdrawError::Shares { message, others, why };
        let bytes = self.store.envelope(message)?.ok_or(WithdrawError::UnknownMessage(message))?;
        let decoded = envelope::decode(&bytes).map_err(super::fault)?;
        let admitted = decoded.trusted();
        let header = admitted.header();
        let key_id = header.key_id().ok_or(WithdrawError::NotData(message))?;
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
        let mut publication = publication.ok_or_else(|| shares(0, "it does not open here"))?;
        let mut others = std::mem::take(&mut publication.objects);
        others.retain(|object| !objects.iter().any(|named| named == object.id()));
        if others.is_empty() {
            return Ok(None);
        }
        if header.audience() == Audience::Recipients {
            return Err(shares(others.len(), "it went to named members only"));
        }
        Ok(Some(Rest { audience: header.audience(), publication, objects: others }))
    }
}

/// The rests as parts of one publication, each under the marking and conditions it had.
pub(super) fn parts(publication: PublicationId, rests: Vec<Rest>) -> Result<Vec<Vec<u8>>, WithdrawError> {
    let count = u32::try_from(rests.len()).unwrap_or(u32::MAX);
    let part = |(part, Rest { publication: before, objects, .. }): (u32, Rest)| {
        let handling = before.handling.map(|handling| schema::HandlingConditions {
            embargo_until: handling.embargo_until.map_or(0, Timestamp::as_micros),
            terms: handling.terms.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        });
        let payload = schema::Payload {
            publication: publication.to_vec(),
            part,
            parts: count,
            classes: before.classes.iter().map(|class| i32::from(*class)).collect(),
            class_label: before.class_label.unwrap_or_default(),
            purpose: before.purpose.into(),
            tlp: schema::Tlp::from(before.tlp).into(),
            pap: before.pap.unwrap_or_default().into(),
            handling,
            objects: objects.into_iter().map(Object::into_raw).collect(),
            on_behalf: before.on_behalf,
        }
        .encode_to_vec();
        payload::parse(&payload).map_err(super::fault)?;
        Ok(payload)
    };
    (1..).zip(rests).map(part).collect()
}
