//! What a message says besides what is taken back: it goes out again.

use belfry_proto::{
    envelope::payload::{self, Publication},
    id::{MessageId, PublicationId},
    schema::{self, Audience},
    stix::object::Object,
};
use prost::Message as _;

use super::{Publisher, WithdrawError};
use crate::publish::again::{Own, conditions};

/// A message in parts that goes out again without some of its objects.
pub(super) struct Rest {
    pub(super) audience: Audience,
    publication: Publication,
    pub(super) objects: Vec<Object>,
}

impl Rest {
    /// Bytes of the objects that go out again.
    pub(super) fn bytes(&self) -> usize {
        self.objects.iter().map(|object| object.raw().len()).sum()
    }
}

impl Publisher {
    /// What a message of ours says besides the objects that go; `None` if nothing.
    pub(super) fn rest(
        &self,
        message: MessageId,
        goes: impl Fn(&Object) -> bool,
    ) -> Result<Option<Rest>, WithdrawError> {
        let shares = |others, why| WithdrawError::Shares { message, others, why };
        if self.store.message(message)?.is_none() {
            return Err(WithdrawError::UnknownMessage(message));
        }
        let Own { audience, publication } = self.own(message)?.ok_or(WithdrawError::NotData(message))?;
        let mut publication = publication.ok_or_else(|| shares(0, "it does not open here"))?;
        let mut others = std::mem::take(&mut publication.objects);
        others.retain(|object| !goes(object));
        if others.is_empty() {
            return Ok(None);
        }
        if audience == Audience::Recipients {
            return Err(shares(others.len(), "it went to named members only"));
        }
        Ok(Some(Rest { audience, publication, objects: others }))
    }
}

/// The rests as parts of one publication, each under the marking and conditions it had.
pub(super) fn parts(publication: PublicationId, rests: Vec<Rest>) -> Result<Vec<Vec<u8>>, WithdrawError> {
    let count = u32::try_from(rests.len()).unwrap_or(u32::MAX);
    let part = |(part, Rest { publication: before, objects, .. }): (u32, Rest)| {
        let handling = before.handling.as_ref().map(conditions);
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
            reason: before.reason.unwrap_or_default(),
        }
        .encode_to_vec();
        payload::parse(&payload).map_err(super::fault)?;
        Ok(payload)
    };
    (1..).zip(rests).map(part).collect()
}
