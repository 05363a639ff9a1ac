//! The oracle: knows what was granted and what was signed, and is asked nothing by anybody.
//!
//! It listens to every node all the time, and looks at all of them once everything has healed. Its answers
//! come from the ledger and from what authors said when they signed, never from the code on trial.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{
    id::{GroupId, Height, KeyId, LogId, MemberId, MessageId, PublicationId, RosterVersion, Serial},
    schema::{Audience, Role},
    sync::{Place, hash},
    time::Timestamp,
};

use crate::{
    admins::{ARCHIVE, Admins, GRANT_DELAY, GROUPS, RECENT, WINDOW},
    contacts::Said,
    ledger::{Granted, Ledger, entitled_since, may_always_have},
    node::{Conduct, Content, Entry, MOST_UNDER_WAY, Node, Observation, Words},
};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// G3: shown as from somebody who did not sign it.
    Forged { by: Serial, message: MessageId },
    /// Taken in from somebody who may not publish there, or no longer.
    NotAPublisher { by: Serial, author: Serial },
    /// G4: read by somebody who must not.
    Opened { by: Serial, message: MessageId, why: Unentitled },
    /// One place, two messages, by an author that keeps the rules.
    SequenceReused { author: Serial, log: LogId, sequence: u64 },
    /// An honest forwarder was held to have misbehaved.
    HonestPeerRejected { by: Serial, code: &'static str },
    /// G2: two keepers of a group hold different logs.
    FrontiersDiffer { group: GroupId, one: Serial, other: Serial },
    /// The fold is not one.
    RostersDiffer { by: Serial, have: RosterVersion, truth: RosterVersion },
    /// Hidden at one node and not by the admins' word.
    QuarantineDiffers { by: Serial, message: MessageId },
    /// Shown at one node although taken back by the rule, or the other way round.
    WithdrawalDiffers { by: Serial, group: GroupId },
    /// A body is still there that its author, or a steward more than a week ago, had go.
    StillThere { by: Serial, message: MessageId },
    /// A body is gone that nobody had go, or not yet, and that others may still have.
    Shredded { by: Serial, message: MessageId },
    /// Signed by a clock that was far off.
    WrongClock { author: Serial, created: Timestamp },
    /// G2: an entitled reader misses what somebody could give it.
    NeverOpened { by: Serial, message: MessageId, group: GroupId, found: Content },
    /// G1: acknowledged, and gone, or there twice.
    Acknowledged { by: Serial, times: usize },
    /// One peer was asked more often in one comparison than any answer is worth.
    Endless { by: Serial, asked: usize },
    /// G6: more is asked for at once, of all or of one peer, than answers may take room.
    TooManyAsked { by: Serial, under_way: usize, of_peer: usize },
    /// Comparing by slices, or under the number before, comes to something else than comparing in full.
    SlicesDiffer { by: Serial, of: Serial, group: GroupId },
    /// G3: a contact record that its member never said.
    ForgedContact { by: Serial, member: MemberId },
    /// Two nodes go by different contact records.
    ContactsDiffer { one: Serial, other: Serial },
    /// A node goes by contact records of others than those who are members.
    ContactCounts { by: Serial },
    /// What an operator was told is kept gave way to something older, or is gone.
    ContactLost { member: MemberId },
    /// A contact record is still there of who is a member no more.
    ContactKept { by: Serial, member: MemberId },
    /// A contact record is gone whose member may come back.
    ContactLetGo { by: Serial, member: MemberId },
}

/// Questions to one peer in one comparison of a group: for the sums, and for sixty-four parts of a list.
const MOST_QUESTIONS: usize = 65;

/// Why somebody must not have read a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unentitled {
    Carrier,
    NoRole,
    Supervisor,
    NotNamed,
    Ended,
    Expired,
    BeforeHistory,
    TooEarly,
}

/// How far off an honest author's clock may be and nobody notices: the skew, and how late an answer may come.
const NOTICED_WITHIN: Duration = Duration::from_secs(10 * 60);

#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) words: BTreeMap<MessageId, Words>,
    places: BTreeMap<(LogId, u64), MessageId>,
    last_use: BTreeMap<KeyId, Timestamp>,
    acknowledged: Vec<(usize, PublicationId)>,
    /// Nodes whose disk went back in time.
    restored: BTreeSet<usize>,
    contacts: Said,
}

impl Oracle {
    pub(crate) fn acknowledged(&mut self, node: usize, publication: PublicationId) {
        self.acknowledged.push((node, publication));
    }

    pub(crate) fn forgive(&mut self, node: usize) {
        self.restored.insert(node);
    }

    /// The clock of a member's node was set wrong, or right again.
    pub(crate) fn misled(&mut self, member: MemberId) {
        self.contacts.misled(member);
    }

    /// A node told its operator that a contact record made then is kept.
    pub(crate) fn kept_contact(&mut self, node: usize, made: Timestamp) {
        self.contacts.acknowledged(node, made);
    }

    pub(crate) fn hear(
        &mut self,
        by: &Node,
        observation: &Observation,
        forwarder: Option<Conduct>,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let serial = by.identity.serial;
        match observation {
            Observation::Signed { message, words } => {
                if let Some((key, ..)) = words.key {
                    let last = self.last_use.entry(key).or_default();
                    *last = words.created.max(*last);
                }
                let off = now.since(words.created).max(words.created.since(now));
                if words.honest && off > NOTICED_WITHIN {
                    return Err(Violation::WrongClock { author: serial, created: words.created });
                }
                self.words.insert(*message, words.clone());
                Ok(())
            }
            Observation::Attributed { message, author, log, sequence } => {
                let signed = self.words.get(message).filter(|words| words.author == *author);
                let Some(words) = signed else {
                    return Err(Violation::Forged { by: serial, message: *message });
                };
                let granted = &ledger[author];
                let may = granted.groups.get(&words.draft.group) >= Some(&Role::Publisher);
                if !may || words.created >= granted.not_after {
                    return Err(Violation::NotAPublisher { by: serial, author: *author });
                }
                let first = *self.places.entry((*log, *sequence)).or_insert(*message);
                if words.honest && first != *message {
                    let (author, log, sequence) = (*author, *log, *sequence);
                    return Err(Violation::SequenceReused { author, log, sequence });
                }
                Ok(())
            }
            // A thief verifies nothing: a true message with a bent signature opens to it as the true one does.
            Observation::Opened { message } if by.conduct.taps() && !self.words.contains_key(message) => {
                Ok(())
            }
            Observation::Opened { message } => {
                let words = self.words.get(message);
                let words = words.ok_or(Violation::Forged { by: serial, message: *message })?;
                self.entitlement(serial, words, ledger, now).map_err(|why| Violation::Opened {
                    by: serial,
                    message: *message,
                    why,
                })
            }
            Observation::Rejected { code, .. } | Observation::Spoiled { code, .. }
                if forwarder == Some(Conduct::Honest) =>
            {
                Err(Violation::HonestPeerRejected { by: serial, code })
            }
            // Whoever keeps the rules has something of so many logs that it claims.
            Observation::SetAside { .. } if forwarder == Some(Conduct::Honest) => {
                Err(Violation::HonestPeerRejected { by: serial, code: "claims-nothing" })
            }
            Observation::Fetching { under_way, of_peer }
                if *under_way > MOST_UNDER_WAY.0 || *of_peer > MOST_UNDER_WAY.1 =>
            {
                let (under_way, of_peer) = (*under_way, *of_peer);
                Err(Violation::TooManyAsked { by: serial, under_way, of_peer })
            }
            Observation::Compared { asked, .. } if *asked > MOST_QUESTIONS => {
                Err(Violation::Endless { by: serial, asked: *asked })
            }
            // Each answer that is followed has a record, and there is one a member.
            Observation::ComparedContacts { asked } if *asked > ledger.len() => {
                Err(Violation::Endless { by: serial, asked: *asked })
            }
            Observation::Said { payload } => {
                self.contacts.said(by.identity.member, serial, payload);
                Ok(())
            }
            Observation::Rejected { .. }
            | Observation::Compared { .. }
            | Observation::ComparedContacts { .. }
            | Observation::Contacts
            | Observation::Spoiled { .. }
            | Observation::Fetching { .. }
            | Observation::SetAside { .. }
            | Observation::PutOff
            | Observation::Unsigned
            | Observation::Shredded
            | Observation::Granted { .. }
            | Observation::Refused
            | Observation::Parked
            | Observation::Quarantined
            | Observation::Forked => Ok(()),
        }
    }

    /// Whether a certificate may have read a message by `now`.
    fn entitlement(
        &self,
        reader: Serial,
        words: &Words,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Result<(), Unentitled> {
        let (granted, author) = (&ledger[&reader], &ledger[&words.author]);
        if reader == words.author {
            return Ok(());
        }
        if granted.carrier {
            return Err(Unentitled::Carrier);
        }
        if !granted.groups.contains_key(&words.draft.group) {
            return Err(Unentitled::NoRole);
        }
        // The author knew, whatever its clock showed; an end announced for later came by its clock.
        let is_announced = granted.since().is_announced;
        let knew = |(height, effective): (Height, Timestamp)| {
            height.get() <= words.height && (!is_announced || effective <= words.created)
        };
        if granted.ended().is_some_and(knew) {
            return Err(Unentitled::Ended);
        }
        if words.created >= granted.not_after {
            return Err(Unentitled::Expired);
        }
        match words.draft.audience {
            Audience::WithoutSupervisors if granted.supervisor => return Err(Unentitled::Supervisor),
            Audience::Recipients => {
                let named = words.draft.recipients.contains(&granted.member);
                return if named || granted.member == author.member {
                    Ok(())
                } else {
                    Err(Unentitled::NotNamed)
                };
            }
            _ => {}
        }
        let Some((key, made_at, _)) = words.key else { return Ok(()) };
        let (made_at, sealed_at) = (Height::new(made_at), Height::new(words.height));
        // Known to be suspended, and sealed under a key from before.
        if granted.gaps().any(|(from, to)| from <= sealed_at && sealed_at < to && made_at < from) {
            return Err(Unentitled::Ended);
        }
        let group = words.draft.group;
        if granted.member == author.member || may_always_have(ledger, granted, group, made_at, words.created)
        {
            return Ok(());
        }
        let at = entitled_since(ledger, granted.member, group).map_or(now, |spell| spell.at);
        let last_use = self.last_use.get(&key).copied().unwrap_or_default();
        let allowed = match group {
            ARCHIVE => true,
            RECENT => last_use >= at.saturating_sub(WINDOW),
            _ => false,
        };
        if !allowed {
            return Err(Unentitled::BeforeHistory);
        }
        // The granting node's clock may run ahead.
        if now.saturating_add(Duration::from_secs(60)) < at.saturating_add(GRANT_DELAY) {
            return Err(Unentitled::TooEarly);
        }
        Ok(())
    }

    /// Once everything has healed and had its time.
    pub(crate) fn last_look(&self, nodes: &[Node], admins: &Admins, now: Timestamp) -> Result<(), Violation> {
        let in_force = in_force(nodes, admins, now);
        let head = admins.roster.version();
        for (_, node) in &in_force {
            let roster = &node.volatile.as_ref().unwrap().roster;
            let same = roster.version() == head
                && roster.charter().id() == admins.roster.charter().id()
                && roster.certificates().eq(admins.roster.certificates());
            if !same {
                let have = roster.version();
                return Err(Violation::RostersDiffer { by: node.identity.serial, have, truth: head });
            }
        }
        for group in GROUPS {
            let keepers = keepers(group, &in_force, admins);
            self.same_logs(group, &keepers, admins)?;
            self.same_hidden(group, &keepers, admins)?;
            self.same_endings(group, &keepers, admins)?;
            self.all_opened(group, &keepers, admins, now)?;
        }
        self.contacts.same(&in_force, &self.restored, admins, now)?;
        self.all_acknowledged(&in_force)
    }

    /// Remembers who holds which contact records, before days in which nobody says anything.
    pub(crate) fn note_contacts(&mut self, nodes: &[Node], admins: &Admins, now: Timestamp) {
        self.contacts.note(&in_force(nodes, admins, now));
    }

    /// After these.
    pub(crate) fn contacts_kept(
        &self,
        nodes: &[Node],
        admins: &Admins,
        now: Timestamp,
    ) -> Result<(), Violation> {
        self.contacts.kept(nodes, admins, now)
    }

    /// Once more, when every week of grace is over.
    pub(crate) fn look_again(
        &self,
        nodes: &[Node],
        admins: &Admins,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let in_force = in_force(nodes, admins, now);
        GROUPS.into_iter().try_for_each(|group| {
            let keepers = keepers(group, &in_force, admins);
            self.all_shredded(group, &keepers, admins)
        })
    }

    fn same_logs(&self, group: GroupId, keepers: &[&Node], admins: &Admins) -> Result<(), Violation> {
        let coalition = admins.roster.coalition();
        let of = |node: &Node| hash(coalition, group, &node.durable.logs.frontier(group));
        let first = keepers[0];
        match keepers.iter().find(|node| of(node) != of(first)) {
            Some(other) => Err(Violation::FrontiersDiffer {
                group,
                one: first.identity.serial,
                other: other.identity.serial,
            }),
            None => Ok(()),
        }
    }

    fn same_hidden(&self, group: GroupId, keepers: &[&Node], admins: &Admins) -> Result<(), Violation> {
        for node in keepers {
            for log in node.durable.logs.logs(group) {
                let chain = node.durable.logs.chain(group, log);
                for (sequence, entry) in (1..).zip(&chain) {
                    let (by, message) = (node.identity.serial, entry.id);
                    let Some(words) = self.words.get(&message) else {
                        // Its author signed what follows it alone: kept, shown by nobody.
                        match entry.is_unsigned && entry.place == Place::Disputed {
                            true => continue,
                            false => return Err(Violation::Forged { by, message }),
                        }
                    };
                    let granted = &admins.ledger[&entry.serial];
                    let hidden = entry.place != Place::Stands;
                    if hidden != is_beyond(granted, words, log, sequence, &chain) {
                        return Err(Violation::QuarantineDiffers { by, message });
                    }
                }
            }
        }
        Ok(())
    }

    /// Every reader has opened everything that stands, that it may read, and whose key somebody can give.
    fn all_opened(
        &self,
        group: GroupId,
        keepers: &[&Node],
        admins: &Admins,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let givable: BTreeSet<KeyId> = keepers
            .iter()
            .filter(|node| !node.identity.carrier)
            .flat_map(|node| node.durable.keys.keys().copied())
            .collect();
        for node in keepers.iter().filter(|node| !node.identity.carrier) {
            let serial = node.identity.serial;
            let standing = node.durable.logs.standing(group);
            // Holders go by the messages that they hold, not by all that were ever signed.
            let mut last_uses: BTreeMap<KeyId, Timestamp> = BTreeMap::new();
            for entry in &standing {
                let Some(key) = entry.key else { continue };
                let last = last_uses.entry(key).or_default();
                *last = entry.created.max(*last);
            }
            for entry in standing {
                let words = &self.words[&entry.id];
                let Some((key, ..)) = words.key else { continue };
                let by_name = words.draft.audience == Audience::Recipients;
                let may = self.entitlement(serial, words, &admins.ledger, now).is_ok()
                    && is_owed(&admins.ledger, serial, words, last_uses[&key]);
                // Named recipients are sealed to as their author's admin log knew them.
                let known = admins.ledger[&serial].since().from.get() <= words.height;
                let owed = may && if by_name { known } else { givable.contains(&key) };
                if owed && !entry.is_bare && !matches!(entry.content, Content::Opened(_)) {
                    let (message, found) = (entry.id, entry.content);
                    return Err(Violation::NeverOpened { by: serial, message, group, found });
                }
            }
        }
        Ok(())
    }

    fn all_acknowledged(&self, in_force: &[(usize, &Node)]) -> Result<(), Violation> {
        for (number, node) in in_force.iter().filter(|(number, _)| !self.restored.contains(number)) {
            for (_, publication) in self.acknowledged.iter().filter(|(by, _)| by == number) {
                let times = node
                    .durable
                    .logs
                    .entries()
                    .filter(|(_, entry)| entry.serial == node.identity.serial)
                    .filter(|(_, entry)| self.words[&entry.id].draft.publication == *publication)
                    .count();
                if times != 1 {
                    return Err(Violation::Acknowledged { by: node.identity.serial, times });
                }
            }
        }
        Ok(())
    }
}

/// Those of whom everything is promised.
fn in_force<'a>(nodes: &'a [Node], admins: &Admins, now: Timestamp) -> Vec<(usize, &'a Node)> {
    nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| matches!(node.conduct, Conduct::Honest | Conduct::Forger))
        .filter(|(_, node)| admins.ledger[&node.identity.serial].is_in_force(now))
        .collect()
}

/// Those of them that keep a group's messages.
fn keepers<'a>(group: GroupId, of: &[(usize, &'a Node)], admins: &Admins) -> Vec<&'a Node> {
    let keeps = |node: &&Node| {
        node.identity.carrier || admins.ledger[&node.identity.serial].groups.contains_key(&group)
    };
    of.iter().map(|(_, node)| *node).filter(keeps).collect()
}

/// Whether somebody who lacks a key is granted it now, the waiting over: less than what it may once have had.
fn is_owed(ledger: &Ledger, reader: Serial, words: &Words, last_use: Timestamp) -> bool {
    let (reader, author, group) = (&ledger[&reader], &ledger[&words.author], words.draft.group);
    let made_at = words.key.map_or(0, |(_, made_at, _)| made_at);
    let Some(since) = entitled_since(ledger, reader.member, group) else { return false };
    let history = match group {
        ARCHIVE => true,
        RECENT => last_use >= since.at.saturating_sub(WINDOW),
        _ => false,
    };
    reader.member == author.member || since.from.get() <= made_at || history
}

/// Whether the admins' word hides a message of a chain, by the ledger.
fn is_beyond(author: &Granted, words: &Words, log: LogId, sequence: u64, chain: &[&Entry]) -> bool {
    let Some(cut) = &author.cut else {
        return author.ended().is_some_and(|(_, effective)| words.created >= effective);
    };
    match cut.get(&log) {
        Some((last, message)) => {
            let reached = chain.iter().any(|entry| entry.id == *message);
            sequence > *last || !reached
        }
        // Opened after a resumption.
        None => author.ended().is_some() || words.height < author.since().from.get(),
    }
}
