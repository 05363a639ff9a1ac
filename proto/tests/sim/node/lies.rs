//! What those send who keep no rule: forged gossip, answers that are none, and a log its author did not sign whole.

use belfry_proto::{
    crypto::sign::Purpose,
    envelope::{self, Decoded},
    id::GroupId,
    schema::{self, Fork, Page, Refusal, sync_response::Response},
    topic::Topic,
};
use prost::Message;
use rand::{RngExt, rngs::StdRng, seq::IteratorRandom};

use super::{Conduct, Cx, Node, log::bare};

/// The same envelope under a signature that is none.
fn bent(bytes: &[u8]) -> Vec<u8> {
    let mut envelope = schema::Envelope::decode(bytes).unwrap();
    envelope.signature[5] ^= 1;
    envelope.encode_to_vec()
}

impl Node {
    /// What a perjurer makes of its next message, now and then: whatever it signs next names these bytes.
    pub(super) fn perjure(&self, sealed: Decoded, cx: &mut Cx<'_>) -> Decoded {
        match self.conduct == Conduct::Perjurer && cx.rng.random_bool(0.5) {
            true => envelope::decode(&bent(sealed.bytes())).unwrap(),
            false => sealed,
        }
    }

    /// What a liar answers instead of the truth, every other time.
    pub(super) fn lie(&self, group: GroupId, truth: Response, rng: &mut StdRng) -> Response {
        // Of what it only claims to have it has nothing, again and again.
        let is_empty = matches!(&truth, Response::Page(page) if page.envelopes.is_empty());
        match self.conduct {
            Conduct::Liar if is_empty => return Response::Refused(Refusal::Unknown.into()),
            Conduct::Liar if rng.random_bool(0.5) => {}
            _ => return truth,
        }
        match truth {
            Response::Page(page) => Response::Page(self.spoil(group, page, rng)),
            Response::Fork(Fork { one, .. }) => Response::Fork(Fork { other: one.clone(), one }),
            other => other,
        }
    }

    /// Not what was asked for, or not all of it.
    fn spoil(&self, group: GroupId, page: Page, rng: &mut StdRng) -> Page {
        let Page { mut envelopes, more, mut withdrawals } = page;
        if envelopes.is_empty() {
            return Page { envelopes, more, withdrawals };
        }
        match rng.random_range(0..6) {
            0 => envelopes = Vec::new(),
            // Headers alone, and no word why.
            1 => (envelopes, withdrawals) = (envelopes.iter().map(|whole| bare(whole)).collect(), Vec::new()),
            // Headers alone, and something that excuses nothing.
            2 => {
                withdrawals = vec![envelopes[0].clone()];
                envelopes = envelopes.iter().map(|whole| bare(whole)).collect();
            }
            // A hole, at the beginning if there is no middle.
            3 => drop(envelopes.remove(if envelopes.len() > 2 { 1 } else { 0 })),
            // Any but the last one bent, so that what follows does not name it.
            4 => {
                let inner = rng.random_range(0..envelopes.len().max(2) - 1);
                envelopes[inner] = bent(&envelopes[inner]);
            }
            // The beginning of whatever log comes first.
            _ => {
                let log = self.durable.logs.logs(group).into_iter().next().unwrap();
                envelopes = self.durable.logs.page(group, log, 1, 4);
            }
        }
        Page { envelopes, more, withdrawals }
    }

    /// What a forger sends: somebody's message under another signature, without its body, or once more.
    pub(super) fn forge(&mut self, cx: &mut Cx<'_>) {
        // Of its own it could sign anything.
        let others = self.durable.logs.entries().filter(|(_, entry)| entry.serial != self.identity.serial);
        let Some((place, entry)) = others.choose(cx.rng) else { return };
        let (group, mut envelope) = (place.0, schema::Envelope::decode(entry.bytes.as_slice()).unwrap());
        let mut topic = Topic::Group(group);
        match cx.rng.random_range(0..5) {
            0 => envelope.signature[7] ^= 1,
            1 => {
                let mut header = schema::Header::decode(envelope.header.as_slice()).unwrap();
                header.sequence += 1;
                header.prev = entry.id.to_vec();
                envelope.header = header.encode_to_vec();
                let parts: [&[u8]; 3] =
                    [&envelope.header, &envelope.body_hash, &envelope.body_len.to_be_bytes()];
                envelope.signature =
                    self.identity.signing.sign(Purpose::Envelope, self.coalition, &parts).to_vec();
            }
            2 => (envelope.body, envelope.recipients) = (None, None),
            3 => topic = Topic::Group(crate::admins::FRESH),
            _ => {}
        }
        let bytes = envelope.encode_to_vec();
        self.gossip(topic, &bytes, None, cx);
    }
}
