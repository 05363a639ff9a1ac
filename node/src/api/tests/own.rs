//! Real messages of this node's member, which it can take back.

use belfry_proto::{
    envelope::{Author, ContentKey, Draft, KeyContext, Position, SealWith, log_id, seal_message},
    id::{MessageId, Sequence},
    schema::{self, Audience},
};
use prost::Message;

use super::{
    coalition::{self, CIDR},
    site::Site,
};
use crate::{
    clock, rows,
    store::{Change, EnvelopeRow, KeyRow, MessageState},
};

impl Site {
    /// Publishes objects in `cidr`, in one message of a log of its own.
    pub(super) async fn say(&self, objects: &[&str]) -> MessageId {
        let (roster, identity) = coalition::found();
        let certificate = roster.certificate(identity.serial).unwrap();
        let (instance, now) = (rand::random(), clock::now());
        let context = KeyContext {
            coalition: roster.coalition(),
            group: CIDR,
            audience: Audience::Group,
            author: identity.member,
            log: log_id(roster.coalition(), CIDR, certificate, &instance),
            epoch: 1,
            created: now,
            roster: roster.version(),
        };
        let key = ContentKey::generate(context, &mut rand::rng());
        let payload = schema::Payload {
            publication: rand::random::<[u8; 16]>().to_vec(),
            part: 1,
            parts: 1,
            classes: vec![schema::InformationClass::Indicator.into()],
            purpose: schema::Purpose::Detect.into(),
            tlp: schema::Tlp::Amber.into(),
            objects: objects.iter().map(|object| object.as_bytes().to_vec()).collect(),
            ..schema::Payload::default()
        }
        .encode_to_vec();
        let author = Author {
            coalition: roster.coalition(),
            certificate,
            signing: &identity.signing,
            roster: roster.version(),
        };
        let position = Position {
            group: CIDR,
            instance,
            predecessor: None,
            sequence: Sequence::new(1),
            prev: MessageId::ZERO,
        };
        let draft = Draft::Data { payload: &payload, key: SealWith::Content(&key) };
        let made = seal_message(&draft, &position, &author, now, &mut rand::rng()).unwrap().trusted();
        let publication = made.open(&key).unwrap().parse().unwrap();
        let (header, id, judged) = (made.header(), made.message_id(), roster.version().height);
        let row = rows::envelope(header, id, made.bytes(), true, MessageState::Opened, now, judged);
        let row = EnvelopeRow { content: Some(rows::opened(&publication, &made, &roster)), ..row };
        self.store.commit(Change::Key(KeyRow::own(&key, 1))).await.unwrap();
        self.store.commit(Change::Envelope(Box::new(row))).await.unwrap();
        id
    }
}
