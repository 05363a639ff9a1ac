//! From the pure ladder's types to the store's rows: one translation, used on the way in and on the way out.

use belfry_proto::{
    envelope::{Admitted, Publication},
    id::{MemberId, MessageId, Serial},
    stix::{marking, observable},
    time::Timestamp,
};

use crate::store::{EnvelopeRow, EnvelopeState, ObjectRow, OpenedRows};

/// An envelope as stored, not opened yet.
#[must_use]
pub fn envelope(admitted: &Admitted, state: EnvelopeState, received: Timestamp) -> EnvelopeRow {
    let header = admitted.header();
    EnvelopeRow {
        group: header.group,
        log: header.log,
        sequence: header.sequence,
        id: admitted.message_id(),
        prev: header.prev,
        member: header.member,
        serial: header.serial,
        created: header.created,
        received,
        key_id: header.key_id,
        bytes: admitted.bytes().to_vec(),
        has_body: admitted.has_body(),
        state,
        content: None,
        reason: None,
    }
}

/// A parsed publication part as stored.
#[must_use]
pub fn opened(
    publication: &Publication,
    member: MemberId,
    serial: Serial,
    message: MessageId,
    created: Timestamp,
    recipients: bool,
) -> OpenedRows {
    OpenedRows {
        publication: publication.id,
        part: publication.part,
        parts: publication.parts,
        member,
        serial,
        message,
        created,
        tlp: publication.tlp,
        purpose: publication.purpose as i32,
        classes: publication.classes.iter().map(|class| *class as i32).collect(),
        audience_recipients: recipients,
        objects: publication
            .objects
            .iter()
            .map(|object| ObjectRow {
                id: object.id().to_owned(),
                kind: object.kind().to_owned(),
                version: object.version().to_owned(),
                tlp: marking::effective(object, publication.tlp, &publication.objects),
                revoked: object.revoked(),
                raw: object.raw().to_vec(),
                observables: observable::extract(object),
            })
            .collect(),
    }
}
