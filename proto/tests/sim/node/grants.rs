//! Keys asked for, handed over by the rule, and pushed by their author.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{self, ContentKey, may_grant},
    id::{GroupId, KeyId, MemberId},
    limits::MAX_KEY_IDS,
    schema::{KeyRefusal, KeysRequest, KeysResponse, Refusal, SealedGrant, decode_canonical},
    time::Timestamp,
};
use rand::{
    RngExt,
    seq::{IndexedRandom, IteratorRandom},
};

use super::{Asked, Content, Cx, Node, Observation};
use crate::{
    faults::{Crashed, Defect, Point},
    network::Protocol,
};

impl Node {
    /// Asks one peer a group for what stored envelopes wait for: a node of their author's member, or any other reader.
    pub(super) fn ask_for_keys(&mut self, cx: &mut Cx<'_>) {
        let roster = self.roster();
        let own = self.key();
        let mut wanted: BTreeMap<(PublicKey, GroupId), BTreeSet<KeyId>> = BTreeMap::new();
        for (group, key, author) in self.wishes() {
            let readers: Vec<(MemberId, PublicKey)> = roster
                .certificates()
                .filter(|c| c.groups.contains_key(&group) && c.node != own)
                .filter(|c| self.conduct.taps() || roster.role(c.serial, group, cx.now).is_some())
                .map(|c| (c.member, c.node))
                .collect();
            let of_author = readers.iter().filter(|(member, _)| *member == author);
            let author = of_author.choose(cx.rng).map(|(_, node)| *node);
            let any = readers.choose(cx.rng).map(|(_, node)| *node);
            let peer = if cx.rng.random_bool(0.5) { author.or(any) } else { any };
            if let Some(peer) = peer {
                wanted.entry((peer, group)).or_default().insert(key);
            }
        }
        for ((peer, group), keys) in wanted {
            let ids: Vec<KeyId> = keys.into_iter().take(MAX_KEY_IDS).collect();
            let key_ids = ids.iter().map(KeyId::to_vec).collect();
            let request = KeysRequest { group: group.get(), key_ids, pushed: Vec::new() };
            self.request(peer, Protocol::Keys, Asked::Keys { group, ids }, &request, cx);
        }
    }

    fn wishes(&self) -> Vec<(GroupId, KeyId, MemberId)> {
        let waiting = self.durable.logs.entries().filter_map(|(place, entry)| match entry.content {
            Content::Waiting(key) => Some((place.0, key, entry.member)),
            _ => None,
        });
        let loot = self.volatile.as_ref().unwrap().loot.values().filter_map(|bytes| {
            let decoded = envelope::decode(bytes).ok()?;
            let header = decoded.header();
            let key = header.key_id().filter(|key| !self.durable.keys.contains_key(key))?;
            Some((header.group, key, header.member))
        });
        let distinct: BTreeMap<KeyId, _> = waiting.chain(loot).map(|wish| (wish.1, wish)).collect();
        distinct.into_values().collect()
    }

    pub(super) fn asked_for_keys(
        &mut self,
        from: PublicKey,
        id: u64,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let request: KeysRequest = decode_canonical("keys", bytes, 128 * 1024).unwrap();
        let group = GroupId::new(request.group);
        let mut response = KeysResponse::default();
        for wanted in &request.key_ids {
            match self.grant(&from, group, wanted, cx) {
                Ok(grant) => response.grants.push(grant),
                Err(refusal) => {
                    response.refused.push(KeyRefusal { key_id: wanted.clone(), refusal: refusal.into() });
                }
            }
        }
        for pushed in &request.pushed {
            let Some(key) = self.pushed(&from, group, pushed, cx.now) else { continue };
            let id = key.id();
            self.keep_key(key, cx)?;
            response.stored.push(id.to_vec());
        }
        cx.reply(from, id, &response);
        Ok(())
    }

    fn grant(
        &self,
        from: &PublicKey,
        group: GroupId,
        wanted: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<SealedGrant, Refusal> {
        let id = KeyId::try_from(wanted).map_err(|_| Refusal::Malformed)?;
        let key = self.durable.keys.get(&id).ok_or(Refusal::Unknown)?;
        if key.context().group != group {
            return Err(Refusal::Unknown);
        }
        if self.doubts_clock() {
            return Err(Refusal::NotYet);
        }
        let roster = self.roster();
        let own = self.identity.member;
        let is_own = roster.by_node(from).is_some_and(|certificate| certificate.member == own);
        let requester = if self.has(Defect::GrantsAnyone) || (is_own && self.has(Defect::TrustsItsMember)) {
            roster.by_node(from).ok_or(Refusal::NotCertified)
        } else {
            // Nobody backdates here, so a statement's own date is when it was first seen.
            let first_seen = |_| Some(Timestamp::ZERO);
            may_grant(&roster, key.context(), self.durable.logs.last_use(id), from, first_seen, cx.now)
                .map_err(|refusal| refusal.on_wire())
        };
        let requester = requester.and_then(|certificate| {
            let is_another = certificate.member != key.context().author;
            let is_older = key.context().roster.height.get() < certificate.serial.get();
            let member = roster.member(certificate.member);
            let is_second = member.is_some_and(|member| member.serials.first() != Some(&certificate.serial));
            match self.has(Defect::ForgetsItsMembers) && is_another && is_older && is_second {
                true => Err(Refusal::Unknown),
                false => Ok(certificate),
            }
        });
        cx.saw(match requester {
            Ok(_) => Observation::Granted { within: is_own },
            Err(_) => Observation::Refused,
        });
        let sealed = key.grant_to(&requester?.kem, cx.rng);
        Ok(SealedGrant { key_id: id.to_vec(), sealed })
    }

    /// A pushed grant is kept if its author pushes it and we read the group.
    fn pushed(
        &self,
        from: &PublicKey,
        group: GroupId,
        grant: &SealedGrant,
        now: Timestamp,
    ) -> Option<ContentKey> {
        let roster = self.roster();
        let id = KeyId::try_from(grant.key_id.as_slice()).ok()?;
        let key = ContentKey::from_grant(&self.identity.kem, self.coalition, id, &grant.sealed).ok()?;
        let sender = roster.by_node(from)?;
        let ours = roster.role(self.identity.serial, group, now);
        (key.context().author == sender.member && key.context().group == group && ours.is_some())
            .then_some(key)
    }

    pub(super) fn keys_answered(
        &mut self,
        group: GroupId,
        asked: &[KeyId],
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let response: KeysResponse = decode_canonical("keys", bytes, 256 * 1024).unwrap();
        for grant in response.grants {
            let Ok(id) = KeyId::try_from(grant.key_id.as_slice()) else { continue };
            if !asked.contains(&id) {
                continue;
            }
            let key = ContentKey::from_grant(&self.identity.kem, self.coalition, id, &grant.sealed);
            if let Some(key) = key.ok().filter(|key| key.context().group == group) {
                self.keep_key(key, cx)?;
            }
        }
        Ok(())
    }

    fn keep_key(&mut self, key: ContentKey, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        let id = key.id();
        self.persist(Point::GrantedKey, |durable| drop(durable.keys.insert(id, key)))?;
        let loot: Vec<Vec<u8>> = self.up().loot.values().cloned().collect();
        for bytes in loot {
            let decoded = envelope::decode(&bytes).unwrap();
            if decoded.header().key_id() == Some(id) {
                self.try_loot(&decoded.trusted(), cx);
            }
        }
        self.reopen(id, cx)
    }
}
