//! One judge for gossip, pages and what was parked.

use std::collections::BTreeMap;

use belfry_proto::{
    crypto::{hash, sign::PublicKey},
    envelope::{self, Admission, AdmitError, Admitted, AttributeError, Origin, RecipientContext, open_block},
    id::{GroupId, KeyId, LogId, MessageId, Sequence},
    schema,
    sync::Place,
    time::Timestamp,
    topic::Topic,
    verdict::{Judged, Verdict},
};

use super::{
    Cx, Node, Observation,
    log::{Content, Entry, place_of},
};
use crate::{
    admins::SKEW,
    faults::{Crashed, Defect, Point},
    network::Packet,
};

/// Peers a message is forwarded to.
const FANOUT: usize = 3;
/// Envelopes that wait for the admin log, at most.
const MAX_PARKED: usize = 256;

enum Judgement {
    Admitted(Admitted),
    Quarantined(Box<envelope::Quarantined>),
    Ahead(MessageId),
    Known,
    Refused(Verdict, &'static str),
}

fn refused(error: &impl Judged) -> Judgement {
    Judgement::Refused(error.verdict(), error.code())
}

impl Node {
    pub(super) fn gossiped(
        &mut self,
        from: PublicKey,
        topic: Topic,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        // Gossipsub marks a message as seen before anyone looks at it.
        let id = hash::gossip_id(&topic.wire_name(self.coalition), bytes);
        if !self.up().seen.insert(id) {
            return Ok(());
        }
        let Topic::Group(group) = topic else { return self.admin_gossiped(from, bytes, cx) };
        if !self.groups(cx.now).contains(&group) {
            return Ok(());
        }
        let judgement = self.judge(bytes, Origin::Gossip { topic }, cx.now);
        match &judgement {
            Judgement::Admitted(_) => self.gossip(topic, bytes, Some(from), cx),
            Judgement::Refused(verdict, code) => self.judged(from, *verdict, code, cx),
            Judgement::Quarantined(_) | Judgement::Ahead(_) | Judgement::Known => {}
        }
        self.settle(judgement, bytes, from, true, cx).map(drop)
    }

    /// Sends to a few peers that want it.
    pub(super) fn gossip(&self, topic: Topic, bytes: &[u8], but: Option<PublicKey>, cx: &mut Cx<'_>) {
        let mut peers = match topic {
            Topic::Admin => self.peers(cx.now),
            Topic::Group(group) => self.peers_of(group, cx.now),
        };
        peers.retain(|peer| Some(*peer) != but);
        for peer in Self::some_of(&peers, FANOUT, cx.rng) {
            cx.send(peer, Packet::Gossip { topic, bytes: bytes.to_vec() });
        }
    }

    /// Envelopes of one page; how many of them are here now.
    pub(super) fn take_page(
        &mut self,
        from: PublicKey,
        page: &[Vec<u8>],
        cx: &mut Cx<'_>,
    ) -> Result<usize, Crashed> {
        let mut taken = 0;
        for bytes in page {
            let judgement = self.judge(bytes, Origin::Sync, cx.now);
            taken += usize::from(self.settle(judgement, bytes, from, false, cx)?);
        }
        Ok(taken)
    }

    fn judge(&self, bytes: &[u8], origin: Origin, now: Timestamp) -> Judgement {
        let roster = self.roster();
        let decoded = match envelope::decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => return refused(&error),
        };
        let id = decoded.message_id();
        if self.durable.logs.contains(&id) {
            return Judgement::Known;
        }
        // Before it can be parked: a message id does not tell whether the body is there, so a bare header would
        // take the place of the whole.
        if decoded.lacks_body() {
            let gossiped = matches!(origin, Origin::Gossip { .. });
            return Judgement::Refused(if gossiped { Verdict::Reject } else { Verdict::Ignore }, "bodiless");
        }
        if self.has(Defect::SkipsVerification) {
            return Judgement::Admitted(decoded.trusted());
        }
        let attributed = match decoded.clone().attribute(&roster) {
            Ok(attributed) => attributed,
            Err(AttributeError::AheadOfRoster { .. }) => return Judgement::Ahead(id),
            Err(error) => return refused(&error),
        };
        let verified = match attributed.verify() {
            Ok(verified) => verified,
            Err(error) => return refused(&error),
        };
        if self.has(Defect::SkipsAdmission) {
            return Judgement::Admitted(decoded.trusted());
        }
        match verified.admit(&roster, Admission { origin, now, skew: SKEW }) {
            Ok(admitted) => Judgement::Admitted(admitted),
            Err(AdmitError::Quarantined(quarantined)) => Judgement::Quarantined(quarantined),
            Err(error) => refused(&error),
        }
    }

    /// Keeps what the judge let through. True if the envelope is here now, or waits.
    fn settle(
        &mut self,
        judgement: Judgement,
        bytes: &[u8],
        from: PublicKey,
        gossiped: bool,
        cx: &mut Cx<'_>,
    ) -> Result<bool, Crashed> {
        match judgement {
            Judgement::Admitted(admitted) => {
                let content = match admitted.is_in_closed_log() {
                    // Opened once the log as a whole says that it stands.
                    true => Content::Hidden,
                    false => self.open(&admitted, cx),
                };
                let entry = Entry::new(admitted.header(), admitted.message_id(), admitted.bytes(), content);
                self.keep(entry, from, gossiped, cx)?;
                Ok(true)
            }
            Judgement::Quarantined(quarantined) => {
                let (header, id) = (quarantined.header(), quarantined.message_id());
                let entry = Entry::new(header, id, quarantined.bytes(), Content::Hidden);
                cx.saw(Observation::Quarantined);
                self.keep(entry, from, gossiped, cx)?;
                Ok(true)
            }
            Judgement::Ahead(id) => {
                if self.durable.parked.len() < MAX_PARKED && !self.durable.parked.contains_key(&id) {
                    let bytes = bytes.to_vec();
                    self.persist(Point::Parked, |durable| drop(durable.parked.insert(id, bytes)))?;
                    cx.saw(Observation::Parked);
                }
                self.pull_admin(from, cx);
                Ok(true)
            }
            Judgement::Known => Ok(true),
            Judgement::Refused(..) => Ok(false),
        }
    }

    fn keep(
        &mut self,
        entry: Entry,
        from: PublicKey,
        gossiped: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let decoded = envelope::decode(&entry.bytes).unwrap();
        let (group, log, sequence) = place_of(decoded.header());
        let (message, author) = (entry.id, entry.serial);
        cx.saw(Observation::Attributed { message, author, log, sequence });
        self.persist(Point::Envelope, |durable| durable.logs.insert((group, log, sequence), entry))?;
        self.judge_again(group, log, cx)?;
        let height = self.durable.logs.chain(group, log).len() as u64;
        if gossiped && sequence > height && self.durable.logs.fork(group, log).is_none() {
            self.pull_group(from, group, cx);
        }
        Ok(())
    }

    pub(super) fn open(&self, admitted: &Admitted, cx: &mut Cx<'_>) -> Content {
        let header = admitted.header();
        let Some(key_id) = header.key_id() else { return Content::Withdrawal };
        let roster = self.roster();
        let reads =
            roster.certificate(self.identity.serial).is_some_and(|c| c.groups.contains_key(&header.group));
        if !reads {
            return Content::NotForUs;
        }
        let opened = if let Some(block) = admitted.recipients_block() {
            match open_block(&self.identity.kem, RecipientContext::of(header), block, key_id) {
                Some(key) => admitted.open_with(&key),
                None => return Content::NotForUs,
            }
        } else {
            match self.durable.keys.get(&key_id) {
                Some(key) => admitted.open(key),
                None => return Content::Waiting(key_id),
            }
        };
        match opened.ok().and_then(|opened| opened.parse().ok()) {
            Some(publication) => {
                cx.saw(Observation::Opened { message: admitted.message_id() });
                Content::Opened(publication.id)
            }
            None => Content::Unreadable,
        }
    }

    /// Opens what waited for a key.
    pub(super) fn reopen(&mut self, key: KeyId, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        let waiting: Vec<Vec<u8>> = self
            .durable
            .logs
            .entries()
            .filter(|(_, entry)| entry.content == Content::Waiting(key))
            .map(|(_, entry)| entry.bytes.clone())
            .collect();
        let mut changes = Vec::new();
        for bytes in waiting {
            let admitted = envelope::decode(&bytes).unwrap().trusted();
            changes.push((admitted.message_id(), self.open(&admitted, cx)));
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.persist(Point::Reopened, |durable| {
            for (message, content) in changes {
                durable.logs.entry_mut(&message).unwrap().content = content;
            }
        })
    }

    /// The admin log moved: what was parked may stand now, what stood may lie beyond a cut, and back.
    pub(super) fn roster_moved(&mut self, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        let own = self.key();
        let parked: Vec<(MessageId, Vec<u8>)> =
            self.durable.parked.iter().map(|(id, bytes)| (*id, bytes.clone())).collect();
        let mut settled = Vec::new();
        for (id, bytes) in parked {
            let judgement = self.judge(&bytes, Origin::Sync, cx.now);
            if matches!(judgement, Judgement::Ahead(_)) {
                continue;
            }
            settled.push(id);
            self.settle(judgement, &bytes, own, false, cx)?;
        }
        if !settled.is_empty() {
            self.persist(Point::Unparked, |durable| {
                for id in settled {
                    durable.parked.remove(&id);
                }
            })?;
        }
        for group in crate::admins::GROUPS {
            for log in self.durable.logs.logs(group) {
                self.judge_again(group, log, cx)?;
            }
        }
        Ok(())
    }

    /// Judges a log as a whole, and opens what has come to stand.
    pub(super) fn judge_again(&mut self, group: GroupId, log: LogId, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        let roster = self.roster();
        let Some(mut judgement) = self.durable.logs.judge(group, log, &roster) else { return Ok(()) };
        let before = self.durable.logs.fork(group, log);
        if self.has(Defect::IgnoresForks) {
            (judgement.fork, judgement.chosen) = (None, BTreeMap::new());
        }
        if self.has(Defect::NeverJudgesAgain) {
            // Only what has never been judged.
            let fresh = |id: &MessageId| {
                let entry = self.durable.logs.entry(id).unwrap();
                entry.place == Place::Quarantined && entry.content != Content::Hidden
            };
            judgement.places.retain(|id, _| fresh(id));
        }
        if judgement.fork.is_some() && judgement.fork.map(Sequence::get) != before {
            cx.saw(Observation::Forked);
        }
        let mut opened = Vec::new();
        for (id, place) in &judgement.places {
            let entry = self.durable.logs.entry(id).unwrap();
            if *place == Place::Stands && entry.content == Content::Hidden {
                let admitted = envelope::decode(&entry.bytes).unwrap().trusted();
                opened.push((*id, self.open(&admitted, cx)));
            }
        }
        self.persist(Point::Rejudged, |durable| {
            durable.logs.settle(group, log, &judgement);
            for (id, content) in opened {
                durable.logs.entry_mut(&id).unwrap().content = content;
            }
        })
    }

    /// What was heard in passing, by somebody who should not listen.
    pub(crate) fn overhear(&mut self, bytes: &[u8], cx: &mut Cx<'_>) {
        let Ok(decoded) = envelope::decode(bytes) else { return };
        let Some(nonce) = decoded.header().sealing().map(|sealing| sealing.nonce) else { return };
        if decoded.has_body() && self.up().loot.insert(nonce, bytes.to_vec()).is_none() {
            self.try_loot(&decoded.trusted(), cx);
        }
    }

    /// Tries every key at hand, whatever the rules say.
    pub(super) fn try_loot(&self, admitted: &Admitted, cx: &mut Cx<'_>) {
        let header = admitted.header();
        let Some(key_id) = header.key_id() else { return };
        let opened = match admitted.recipients_block() {
            Some(block) => open_block(&self.identity.kem, RecipientContext::of(header), block, key_id)
                .and_then(|key| admitted.open_with(&key).ok()),
            None => self.durable.keys.get(&key_id).and_then(|key| admitted.open(key).ok()),
        };
        if opened.is_some() {
            cx.saw(Observation::Opened { message: admitted.message_id() });
        }
    }

    /// What a forger sends: somebody's message under another signature, without its body, or once more.
    pub(super) fn forge(&mut self, cx: &mut Cx<'_>) {
        use belfry_proto::crypto::sign::Purpose;
        use prost::Message;
        use rand::{RngExt, seq::IteratorRandom};

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
