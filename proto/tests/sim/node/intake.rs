//! One judge for gossip, pages and what was parked.

use std::collections::BTreeMap;

use belfry_proto::{
    crypto::{hash, sign::PublicKey},
    envelope::{
        self, Admission, AdmitError, Admitted, AttributeError, Attributed, Ending, Header, Origin,
        RecipientContext, Verified, open_block,
    },
    id::{GroupId, KeyId, LogId, MessageId, Sequence},
    sync::{Place, outcome::Kept},
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
    /// Held without its body, which is here now.
    Heals(MessageId),
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
            Judgement::Quarantined(_) | Judgement::Ahead(_) | Judgement::Known | Judgement::Heals(_) => {}
        }
        self.settle(judgement, bytes, from, true, cx)
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

    /// Envelopes of one page, and what became of each. From its end: what follows an entry vouches for it.
    pub(super) fn take_page(
        &mut self,
        from: PublicKey,
        page: &[Vec<u8>],
        cx: &mut Cx<'_>,
    ) -> Result<Vec<Kept>, Crashed> {
        let mut kept = Vec::with_capacity(page.len());
        for bytes in page.iter().rev() {
            let judgement = self.judge(bytes, Origin::Sync, cx.now);
            kept.push(match &judgement {
                Judgement::Admitted(_) | Judgement::Quarantined(_) | Judgement::Heals(_) => Kept::Stored,
                Judgement::Known => Kept::Known,
                Judgement::Ahead(_) => Kept::Parked,
                Judgement::Refused(_, code) => Kept::Refused(code),
            });
            self.settle(judgement, bytes, from, false, cx)?;
        }
        kept.reverse();
        Ok(kept)
    }

    fn judge(&self, bytes: &[u8], origin: Origin, now: Timestamp) -> Judgement {
        let roster = self.roster();
        let decoded = match envelope::decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => return refused(&error),
        };
        let id = decoded.message_id();
        if let Some(held) = self.durable.logs.entry(&id) {
            let heals = decoded.has_body() && self.durable.logs.is_hole(held);
            return if heals { Judgement::Heals(id) } else { Judgement::Known };
        }
        // Before it can be parked: a message id does not tell whether the body is there, so a bare header would
        // take the place of the whole.
        if decoded.lacks_body() && !self.may_be_bare(decoded.header(), id, origin) {
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
        let verified = match attributed.clone().verify() {
            Ok(verified) => verified,
            Err(error) => match self.vouched(attributed, origin) {
                Some(verified) => verified,
                None => return refused(&error),
            },
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

    /// By the word of the entry after it, which is here and well signed or vouched for itself.
    fn vouched(&self, attributed: Attributed, origin: Origin) -> Option<Verified> {
        let (header, logs) = (attributed.header(), &self.durable.logs);
        if origin != Origin::Sync || !logs.is_free(&place_of(header)) {
            return None;
        }
        let follower = logs.follower(header, attributed.message_id())?;
        let voucher = envelope::decode(&follower.bytes).unwrap().trusted().voucher();
        attributed.vouched(voucher).ok()
    }

    /// Whether an erasure that is here reaches a message that came without its body.
    fn may_be_bare(&self, header: &Header, id: MessageId, origin: Origin) -> bool {
        let is_excused = || self.durable.logs.erasure(header, id, &self.roster()).is_some();
        origin == Origin::Sync && (self.has(Defect::TakesBareHeaders) || is_excused())
    }

    /// Keeps what the judge let through.
    fn settle(
        &mut self,
        judgement: Judgement,
        bytes: &[u8],
        from: PublicKey,
        gossiped: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        match judgement {
            Judgement::Admitted(admitted) => {
                // Opened once the log as a whole says that it stands; what nobody signed, never.
                let content = match admitted.is_in_closed_log() || admitted.is_vouched() {
                    true => Content::Hidden,
                    false => self.open(&admitted, cx),
                };
                let (header, id) = (admitted.header(), admitted.message_id());
                let entry = Entry::new(header, id, admitted.bytes(), content, cx.now);
                let is_unsigned = admitted.is_vouched();
                self.keep(Entry { is_unsigned, ..entry }, from, gossiped, cx)
            }
            Judgement::Quarantined(quarantined) => {
                let (header, id) = (quarantined.header(), quarantined.message_id());
                let entry = Entry::new(header, id, quarantined.bytes(), Content::Hidden, cx.now);
                let is_unsigned = quarantined.is_vouched();
                cx.saw(Observation::Quarantined);
                self.keep(Entry { is_unsigned, ..entry }, from, gossiped, cx)
            }
            Judgement::Heals(id) => {
                let admitted = envelope::decode(bytes).unwrap().trusted();
                let held = self.durable.logs.entry(&id).unwrap();
                let content = match held.place == Place::Stands && !held.is_unsigned {
                    true => self.open(&admitted, cx),
                    false => Content::Hidden,
                };
                let bytes = bytes.to_vec();
                self.persist(Point::Envelope, |durable| {
                    let held = durable.logs.entry_mut(&id).unwrap();
                    (held.bytes, held.is_bare, held.content) = (bytes, false, content);
                })
            }
            Judgement::Ahead(id) => {
                if self.durable.parked.len() < MAX_PARKED && !self.durable.parked.contains_key(&id) {
                    let bytes = bytes.to_vec();
                    self.persist(Point::Parked, |durable| drop(durable.parked.insert(id, bytes)))?;
                    cx.saw(Observation::Parked);
                }
                self.pull_admin(from, cx);
                Ok(())
            }
            Judgement::Known | Judgement::Refused(..) => Ok(()),
        }
    }

    fn keep(
        &mut self,
        mut entry: Entry,
        from: PublicKey,
        gossiped: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let (group, log, sequence) = place_of(&entry.header);
        let lacks_body = envelope::decode(&entry.bytes).unwrap().lacks_body();
        entry.is_bare = lacks_body && !self.has(Defect::TakesBareHeaders);
        cx.saw(match (entry.is_unsigned, entry.id, entry.serial) {
            (true, ..) => Observation::Unsigned,
            (false, message, author) => Observation::Attributed { message, author, log, sequence },
        });
        self.persist(Point::Envelope, |durable| durable.logs.insert((group, log, sequence), entry))?;
        self.judge_again(group, log, cx)?;
        let height = self.durable.logs.chain(group, log).len() as u64;
        if gossiped && sequence > height && self.durable.logs.fork(group, log).is_none() {
            self.gap(from, cx);
        }
        Ok(())
    }

    pub(super) fn open(&self, admitted: &Admitted, cx: &mut Cx<'_>) -> Content {
        let header = admitted.header();
        let Some(key_id) = header.key_id() else { return Content::Withdrawal };
        if admitted.lacks_body() {
            return Content::Bare;
        }
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
            self.reweigh(group, cx)?;
        }
        self.pull_anew(cx);
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
            if *place == Place::Stands && entry.content == Content::Hidden && !entry.is_unsigned {
                let admitted = envelope::decode(&entry.bytes).unwrap().trusted();
                opened.push((*id, self.open(&admitted, cx)));
            }
        }
        self.persist(Point::Rejudged, |durable| {
            durable.logs.settle(group, log, &judgement);
            for (id, content) in opened {
                durable.logs.entry_mut(&id).unwrap().content = content;
            }
        })?;
        self.reweigh(group, cx)
    }

    /// Withdrawals take effect, or lose it: what they come to is remembered, and bodies go that are due.
    pub(crate) fn reweigh(&mut self, group: GroupId, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        if self.has(Defect::IgnoresWithdrawals) || !self.durable.logs.has_withdrawals(group) {
            return Ok(());
        }
        let ended = self.durable.logs.weigh(group, &self.roster());
        let is_due = |ending: &Ending| match ending.shreds_at {
            Some(at) => at <= cx.now || self.has(Defect::ShredsAtOnce),
            None => false,
        };
        let is_whole = |id: &MessageId| self.durable.logs.entry(id).is_some_and(|entry| !entry.is_bare);
        let due = ended.iter().filter(|(id, ending)| is_due(ending) && is_whole(id));
        let due: Vec<MessageId> = due.map(|(id, _)| *id).collect();
        if due.is_empty() && ended == self.durable.logs.ended(group) {
            return Ok(());
        }
        due.iter().for_each(|_| cx.saw(Observation::Shredded));
        self.persist(Point::Reweighed, |durable| durable.logs.end(group, ended, &due))
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
}
