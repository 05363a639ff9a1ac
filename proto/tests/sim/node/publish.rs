//! Drafts, and their turning into messages: nothing leaves before it is durable.

use std::{collections::BTreeSet, time::Duration};

use belfry_proto::{
    crypto::hpke::KemPublic,
    envelope::{
        self, Admission, Author, ContentKey, Decoded, KeyContext, Origin, Position, RecipientContext,
        SealWith, Withdrawal, key_is_usable, log_id, may_grant, seal_block, seal_message,
    },
    id::{GroupId, KeyId, LogId, MemberId, MessageId, PublicationId, Sequence, Serial},
    schema::{self, Audience, KeysRequest, SealedGrant, WithdrawalGround, WithdrawalMode},
    time::Timestamp,
    topic::Topic,
    trust::{
        cut::CutStatus,
        roster::{Roster, Standing},
    },
};
use prost::Message;
use rand::RngExt;

use super::{ActiveKey, Asked, Conduct, Content, Cx, Entry, Node, Observation, log::place_of};
use crate::{
    admins::SKEW,
    faults::{Crashed, Defect, Point},
    network::Protocol,
};

/// Peers that hold a key before its first message travels.
const HOLDERS: usize = 3;
/// How long their answers are waited for.
const PUSH: Duration = Duration::from_secs(3);

/// What an operator wants published.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) publication: PublicationId,
    pub(crate) group: GroupId,
    pub(crate) audience: Audience,
    pub(crate) recipients: BTreeSet<MemberId>,
    /// A withdrawal, if not empty.
    pub(crate) withdraws: Vec<MessageId>,
    /// Of a withdrawal.
    pub(crate) mode: WithdrawalMode,
    pub(crate) ground: WithdrawalGround,
    pub(crate) flushed: Option<MessageId>,
}

/// What a message says and to whom, told to the oracle by whoever signed it.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) draft: Draft,
    pub(crate) author: Serial,
    pub(crate) created: Timestamp,
    /// Height of the author's admin log when it was sealed.
    pub(crate) height: u64,
    /// Height that its key was made at, and when; for named recipients the message's own.
    pub(crate) key: Option<(KeyId, u64, Timestamp)>,
    /// Signed by one who keeps the rules.
    pub(crate) honest: bool,
}

impl Node {
    /// Makes a draft durable: the acknowledgement to the SOC.
    pub(crate) fn publish(&mut self, draft: Draft) -> Result<(), Crashed> {
        self.persist(Point::Draft, |durable| drop(durable.drafts.insert(draft.publication, draft)))
    }

    pub(super) fn flush(&mut self, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        let roster = self.roster();
        let thief = self.conduct == Conduct::Thief;
        let valid = roster.standing(self.identity.serial, cx.now) == Standing::Valid;
        if !self.up().level || self.doubts_clock() || !(valid || thief) {
            return Ok(());
        }
        let queued: Vec<Draft> =
            self.durable.drafts.values().filter(|draft| draft.flushed.is_none()).cloned().collect();
        for draft in queued {
            if thief || roster.may_publish(self.identity.serial, draft.group, cx.now) {
                self.flush_one(draft, &roster, cx)?;
            }
        }
        Ok(())
    }

    fn flush_one(&mut self, draft: Draft, roster: &Roster, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        let position = self.position(draft.group, roster, cx)?;
        let certificate = roster.certificate(self.identity.serial).unwrap();
        let log = log_id(self.coalition, draft.group, certificate, &position.instance);
        let group_key = matches!(draft.audience, Audience::Group | Audience::WithoutSupervisors)
            && draft.withdraws.is_empty();
        let key = match group_key {
            true => match self.usable_key(&draft, log, roster, cx)? {
                Some(key) => Some(key),
                None => return Ok(()),
            },
            false => None,
        };
        let sealed = self.seal(&draft, &position, log, key.as_ref(), roster, cx);
        let topic = Topic::Group(draft.group);
        if self.conduct == Conduct::Equivocator && draft.withdraws.is_empty() {
            // The other story, for the other half.
            let mut other = draft.clone();
            other.publication = PublicationId::new(cx.rng.random());
            let second = self.seal(&other, &position, log, key.as_ref(), roster, cx);
            self.gossip(topic, second.bytes(), None, cx);
        }
        // What leaves climbs the readers' ladder first.
        let admission = Admission { origin: Origin::Own, now: cx.now, skew: SKEW };
        let climbed = sealed
            .clone()
            .attribute(roster)
            .ok()
            .and_then(|attributed| attributed.verify().ok())
            .and_then(|verified| verified.admit(roster, admission).ok());
        if self.conduct == Conduct::Thief && climbed.is_none() {
            // Sent all the same; its own books are nobody's concern.
            self.gossip(topic, sealed.bytes(), None, cx);
        }
        let Some(admitted) = climbed else { return Ok(()) };
        if self.has(Defect::GossipsBeforeDurable) {
            self.gossip(topic, sealed.bytes(), None, cx);
        }
        let content = match admitted.header().sealing() {
            Some(_) => Content::Opened(draft.publication),
            None => Content::Withdrawal,
        };
        let sealed = self.perjure(sealed, cx);
        let is_signed = sealed.message_id() == admitted.message_id();
        let id = sealed.message_id();
        let entry = Entry::new(sealed.header(), id, sealed.bytes(), content, cx.now);
        let place = place_of(sealed.header());
        self.persist(Point::Flush, |durable| {
            durable.logs.insert(place, entry);
            durable.drafts.get_mut(&draft.publication).unwrap().flushed = Some(id);
        })?;
        if is_signed {
            let (author, sequence) = (self.identity.serial, position.sequence.get());
            cx.saw(Observation::Attributed { message: id, author, log, sequence });
        }
        self.judge_again(draft.group, log, cx)?;
        self.gossip(topic, sealed.bytes(), None, cx);
        Ok(())
    }

    /// The next place in our log of a group, or the first of a new log where the old one is closed: forked,
    /// cut, or known to others further than to us.
    fn position(&mut self, group: GroupId, roster: &Roster, cx: &mut Cx<'_>) -> Result<Position, Crashed> {
        let certificate = roster.certificate(self.identity.serial).unwrap();
        let own = self.durable.own.get(&group).copied();
        let old = own.map(|(instance, _)| log_id(self.coalition, group, certificate, &instance));
        if let (Some((instance, predecessor)), Some(log)) = (own, old) {
            let top = self.durable.logs.top(group, log);
            let chain = self.durable.logs.chain(group, log);
            let head = chain.last().map_or(MessageId::ZERO, |entry| entry.id);
            let next = Sequence::new(top + 1);
            let written_at = roster.version().height;
            let closure = roster.closure(self.identity.serial, group, log);
            let open = closure.status(written_at, cx.now, next, MessageId::ZERO) == CutStatus::Open;
            let known = self.volatile.as_ref().unwrap().known.get(&(group, log)).copied().unwrap_or(0);
            let whole = chain.len() as u64 == top;
            let shows_both = self.conduct == Conduct::Equivocator;
            let forked = self.durable.logs.fork(group, log).is_some() && !shows_both;
            if known <= top && whole && !forked && (open || self.conduct == Conduct::Thief) {
                return Ok(Position { group, instance, predecessor, sequence: next, prev: head });
            }
        }
        let instance = cx.rng.random();
        self.persist(Point::OwnLog, |durable| {
            durable.own.insert(group, (instance, old));
        })?;
        Ok(Position { group, instance, predecessor: old, sequence: Sequence::new(1), prev: MessageId::ZERO })
    }

    /// The key to seal with; `None` while a fresh one is still being pushed.
    fn usable_key(
        &mut self,
        draft: &Draft,
        log: LogId,
        roster: &Roster,
        cx: &mut Cx<'_>,
    ) -> Result<Option<ContentKey>, Crashed> {
        let (group, audience) = (draft.group, draft.audience);
        let keeps = self.has(Defect::KeepsItsKey);
        if let Some(active) = self.up().active.get(&(group, audience)) {
            let created = active.key.context().created;
            let usable = key_is_usable(&active.readers, roster, group, audience, created, cx.now);
            if active.key.context().log == log && (usable || keeps) {
                return Ok((active.ready <= cx.now).then(|| active.key.clone()));
            }
        }
        let context = KeyContext {
            coalition: self.coalition,
            group,
            audience: if self.has(Defect::IgnoresAudience) { Audience::Group } else { audience },
            author: self.identity.member,
            log,
            epoch: self.durable.epoch + 1,
            created: cx.now,
            roster: roster.version(),
        };
        let key = ContentKey::generate(context, cx.rng);
        let stored = key.clone();
        self.persist(Point::Key, |durable| {
            durable.epoch += 1;
            durable.keys.insert(stored.id(), stored);
        })?;
        self.push(&key, roster, cx);
        let readers = roster.readers(group, audience, cx.now);
        let ready = cx.now.saturating_add(PUSH);
        self.up().active.insert((group, audience), ActiveKey { key, readers, ready });
        Ok(None)
    }

    /// Grants nobody asked for: a key must not live at one node alone.
    fn push(&mut self, key: &ContentKey, roster: &Roster, cx: &mut Cx<'_>) {
        let context = *key.context();
        let now = cx.now;
        let entitled: Vec<_> = self
            .peers_of(context.group, now)
            .into_iter()
            .filter(|node| may_grant(roster, &context, context.created, node, |_| None, now).is_ok())
            .collect();
        for peer in Self::some_of(&entitled, HOLDERS, cx.rng) {
            let kem: &KemPublic = &roster.by_node(&peer).unwrap().kem;
            let pushed = vec![SealedGrant { key_id: key.id().to_vec(), sealed: key.grant_to(kem, cx.rng) }];
            let request = KeysRequest { group: context.group.get(), key_ids: Vec::new(), pushed };
            let asked = Asked::Keys { group: context.group, ids: Vec::new() };
            self.request(peer, Protocol::Keys, asked, &request, cx);
        }
    }

    fn seal(
        &self,
        draft: &Draft,
        position: &Position,
        log: LogId,
        key: Option<&ContentKey>,
        roster: &Roster,
        cx: &mut Cx<'_>,
    ) -> Decoded {
        let certificate = roster.certificate(self.identity.serial).unwrap();
        let version = roster.version();
        let author = Author {
            coalition: self.coalition,
            certificate,
            signing: &self.identity.signing,
            roster: version,
        };
        let payload = payload(draft.publication);
        let recipient;
        let message = if !draft.withdraws.is_empty() {
            envelope::Draft::Withdrawal(Withdrawal {
                targets: draft.withdraws.clone(),
                mode: draft.mode,
                ground: draft.ground,
            })
        } else if let Some(key) = key {
            envelope::Draft::Data { payload: &payload, key: SealWith::Content(key) }
        } else {
            let context = RecipientContext {
                coalition: self.coalition,
                group: draft.group,
                author: self.identity.member,
                log,
                sequence: position.sequence,
                created: cx.now,
            };
            let mut kems: Vec<KemPublic> = roster
                .readers(draft.group, Audience::Group, cx.now)
                .into_iter()
                .filter(|r| r.member == self.identity.member || draft.recipients.contains(&r.member))
                .map(|reader| reader.kem)
                .collect();
            if kems.is_empty() {
                // Somebody without a place in the group.
                kems.push(self.identity.kem.public());
            }
            recipient = seal_block(&kems, context, cx.rng).unwrap();
            let (key, block) = &recipient;
            envelope::Draft::Data { payload: &payload, key: SealWith::Recipient { key, block } }
        };
        let sealed = seal_message(&message, position, &author, cx.now, cx.rng).unwrap();
        let made = match (key, sealed.header().key_id()) {
            (Some(key), _) => Some((key.id(), key.context().roster.height.get(), key.context().created)),
            (None, Some(id)) => Some((id, version.height.get(), cx.now)),
            (None, None) => None,
        };
        let words = Words {
            draft: draft.clone(),
            author: self.identity.serial,
            created: cx.now,
            height: version.height.get(),
            key: made,
            honest: matches!(self.conduct, Conduct::Honest | Conduct::Forger | Conduct::Liar),
        };
        cx.saw(Observation::Signed { message: sealed.message_id(), words });
        sealed
    }
}

/// One indicator, of its own for each publication.
fn payload(publication: PublicationId) -> Vec<u8> {
    let digits = publication.to_string();
    let uuid = format!(
        "{}-{}-4{}-8{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..]
    );
    let object = format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--{uuid}","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","pattern":"[ipv4-addr:value = '198.51.100.7']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"}}"#
    );
    schema::Payload {
        publication: publication.to_vec(),
        part: 1,
        parts: 1,
        classes: vec![schema::InformationClass::Indicator.into()],
        purpose: schema::Purpose::Detect.into(),
        tlp: schema::Tlp::Amber.into(),
        objects: vec![object.into_bytes()],
        ..schema::Payload::default()
    }
    .encode_to_vec()
}
