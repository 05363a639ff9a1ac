//! Objects in a node's store, without their way there.

use belfry_proto::{envelope::Decoded, id::PublicationId, schema};

use super::Site;
use crate::{
    clock, rows,
    store::{Change, Conditions, EnvelopeRow, MessageState, ObjectRow, OpenedRows},
};

/// A version of `indicator--a`, which names nothing.
pub(crate) fn indicator(version: &str) -> ObjectRow {
    ObjectRow {
        id: "indicator--a".to_owned(),
        kind: "indicator".to_owned(),
        version: version.to_owned(),
        tlp: schema::Tlp::Green,
        revoked: false,
        raw: b"{}".to_vec(),
        created_by: None,
        pap: 0,
        stated: None,
        observables: Vec::new(),
    }
}

impl Site {
    /// Stores a message as if it had been received and brought these objects; `change` says what else of its content is
    /// otherwise.
    pub(crate) async fn say(
        &self,
        message: &Decoded,
        objects: Vec<ObjectRow>,
        change: impl FnOnce(&mut OpenedRows),
    ) {
        let (header, id, now) = (message.header(), message.message_id(), clock::now());
        let (state, bytes) = (MessageState::Opened, message.bytes());
        let row = rows::envelope(header, id, bytes, true, state, now, header.roster.height);
        let mut content = OpenedRows {
            publication: PublicationId::ZERO,
            part: 1,
            parts: 1,
            member: row.member,
            serial: row.serial,
            message: id,
            created: now,
            purpose: 1,
            classes: Vec::new(),
            recipients: false,
            conditions: Conditions::default(),
            objects,
        };
        change(&mut content);
        let change = Change::Envelope(Box::new(EnvelopeRow { content: Some(content), ..row }));
        self.store.commit(change).await.unwrap();
    }
}
