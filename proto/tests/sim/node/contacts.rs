//! Contact records: set by an operator, pushed to some, compared with one peer at a time, and let go.

use std::collections::BTreeMap;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::MemberId,
    schema::{
        ContactRole, Mailbox, PullContacts, Refusal, Signed, sync_request::Request, sync_response::Response,
    },
    sync::number,
    time::Timestamp,
    trust::{
        contact::{self, VerifiedContact},
        contact_book::{self, ContactBook, ContactPull, Held},
        roster::Roster,
    },
};
use rand::{RngExt, seq::IndexedRandom};

use super::{Cx, Node, Observation, Synced};
use crate::faults::{Crashed, Defect, Point};

/// Peers a record is pushed to; the daemon takes all that are connected, which here would be everybody.
const TOLD: usize = 3;

type Newest = BTreeMap<MemberId, (VerifiedContact, Signed)>;

/// A mailbox at a made-up address.
pub(super) fn mailbox(name: &str) -> Mailbox {
    Mailbox {
        role: ContactRole::Incident.into(),
        email: format!("{name}@member.example"),
        ..Mailbox::default()
    }
}

impl Node {
    /// Whether its release knows contact records.
    pub(crate) const fn knows_contacts(&self) -> bool {
        self.number >= number::NEWEST
    }

    /// Which records are held, as read from the disk.
    pub(crate) fn book(&self) -> ContactBook {
        let mut book = ContactBook::default();
        for (member, (held, _)) in &self.durable.contacts {
            book.put(*member, *held);
        }
        book
    }

    /// `belfry contact set`. When it was made, once it is on disk; none if it was refused.
    pub(crate) fn set_contact(&mut self, cx: &mut Cx<'_>) -> Result<Option<Timestamp>, Crashed> {
        if !self.knows_contacts() || self.is_clock_off() {
            return Ok(None);
        }
        let (roster, member) = (self.roster(), self.identity.member);
        let made = self.book().next_made(member, &roster, cx.now);
        let mailbox = mailbox(&format!("csirt-{}", cx.rng.random::<u32>()));
        let record =
            contact::make(self.coalition, member, vec![mailbox], made, &self.identity.signing).unwrap();
        cx.saw(Observation::Said { payload: record.payload.clone() });
        if self.learn_contacts(vec![record.clone()], cx)? == 0 {
            return Ok(None);
        }
        self.tell_contact(&record, None, cx);
        Ok(Some(made))
    }

    /// Compares with somebody.
    pub(super) fn ask_contacts(&mut self, cx: &mut Cx<'_>) {
        if !self.knows_contacts() || self.has(Defect::NeverComparesContacts) {
            return;
        }
        let Some(peer) = self.peers(cx.now).choose(cx.rng).copied() else { return };
        let roster = self.roster();
        let hash = self.book().standing(&roster, cx.now).1;
        let (pull, first) = ContactPull::begin(hash, roster.members().count());
        self.ask_sync(peer, Synced::Contacts(pull, 1), Request::Contacts(first), cx);
    }

    /// What came of the question that was the `asked`th of its comparison.
    pub(super) fn contacts_answered(
        &mut self,
        peer: PublicKey,
        mut pull: ContactPull,
        asked: usize,
        response: Response,
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        let Response::Contacts(page) = response else { return self.spoiled(peer, "wrong-answer", cx) };
        cx.saw(Observation::ComparedContacts { asked });
        match pull.heard(page) {
            Some(next) => {
                self.ask_sync(peer, Synced::Contacts(pull, asked + 1), Request::Contacts(next), cx);
                Ok(())
            }
            None => self.learn_contacts(pull.into_records(), cx).map(drop),
        }
    }

    /// A peer has a record that is new to it.
    pub(super) fn contact_pushed(
        &mut self,
        from: PublicKey,
        record: Signed,
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        // Who takes what is no news would tell it on for ever.
        let is_news = !self.has(Defect::TakesOlderContacts) && !self.has(Defect::TakesAnyContact);
        if self.learn_contacts(vec![record.clone()], cx)? > 0 && is_news {
            self.tell_contact(&record, Some(from), cx);
        }
        Ok(())
    }

    /// Keeps what is new, all in one batch; how many that are.
    fn learn_contacts(&mut self, records: Vec<Signed>, cx: &mut Cx<'_>) -> Result<usize, Crashed> {
        let roster = self.roster();
        let news = match self.has(Defect::TakesOlderContacts) {
            true => records,
            false => self.book().news(records, &roster, cx.now).0,
        };
        let newest: Newest = match self.has(Defect::TakesAnyContact) {
            true => news.into_iter().filter_map(|record| believed(&roster, record)).collect(),
            false => contact_book::newest(&roster, news, cx.now).0,
        };
        let count = newest.len();
        if count == 0 {
            return Ok(0);
        }
        cx.saw(Observation::Contacts);
        self.persist(Point::Contacts, |durable| {
            for (member, (verified, record)) in newest {
                durable.contacts.insert(member, (Held::from(&verified), record));
            }
        })?;
        Ok(count)
    }

    fn tell_contact(&mut self, record: &Signed, but: Option<PublicKey>, cx: &mut Cx<'_>) {
        let mut peers = self.peers(cx.now);
        peers.retain(|peer| Some(*peer) != but);
        for peer in Self::some_of(&peers, TOLD, cx.rng) {
            self.ask_sync(peer, Synced::Told, Request::PushContact(record.clone()), cx);
        }
    }

    pub(super) fn serve_contacts(&self, pull: &PullContacts, cx: &mut Cx<'_>) -> Result<Response, Refusal> {
        let (roster, rows) = (self.roster(), &self.durable.contacts);
        let record = |member| rows.get(&member).map(|(_, record)| record.clone());
        let told = self.book().answer(pull, &roster, cx.now, record).map_err(|_| Refusal::Malformed)?;
        Ok(Response::Contacts(self.lie_of_contacts(pull, told, cx.rng)))
    }

    /// Lets the records go of those who are members no more.
    pub(crate) fn forget_contacts(&mut self, cx: &mut Cx<'_>) -> Result<(), Crashed> {
        let (roster, book) = (self.roster(), self.book());
        let mut over: Vec<MemberId> = book.over(&roster, cx.now).collect();
        if self.has(Defect::ForgetsContactsAtOnce) {
            let counts = book.standing(&roster, cx.now).0;
            over = self.durable.contacts.keys().filter(|member| !counts.contains(member)).copied().collect();
        }
        if over.is_empty() || self.has(Defect::KeepsContactsForEver) {
            return Ok(());
        }
        self.persist(Point::Contacts, |durable| {
            durable.contacts.retain(|member, _| !over.contains(member));
        })
    }

    /// What a forger pushes: a record of somebody else's, changed.
    pub(super) fn forge_contact(&mut self, cx: &mut Cx<'_>) {
        let own = self.identity.member;
        let others = self.durable.contacts.iter().filter(|(member, _)| **member != own);
        let others: Vec<&Signed> = others.map(|(_, (_, record))| record).collect();
        let Some(record) = others.choose(cx.rng).copied() else { return };
        let forged = self.forged(record);
        self.tell_contact(&forged, None, cx);
    }

    /// Another member's record with other words, later, under this node's key.
    pub(super) fn forged(&self, record: &Signed) -> Signed {
        let said = contact::read(record).unwrap();
        if said.member == self.identity.member {
            return record.clone();
        }
        let later = said.rank.made.saturating_add(std::time::Duration::from_secs(1));
        let words = vec![mailbox("forged")];
        contact::make(self.coalition, said.member, words, later, &self.identity.signing).unwrap()
    }
}

/// A record as if one of its member's keys had signed it.
fn believed(roster: &Roster, record: Signed) -> Option<(MemberId, (VerifiedContact, Signed))> {
    let contact = contact::read(&record).ok()?;
    let serial = *roster.member(contact.member)?.serials.last()?;
    let signer = roster.certificate(serial)?.signing;
    Some((contact.member, (VerifiedContact { contact, signer }, record)))
}
