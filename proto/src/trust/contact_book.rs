//! Contact records that a node holds, one a member: which of them count, what is news, what is let go, and the questions and
//! answers by which two nodes come to hold the same.
//!
//! ```text
//! ours, one hash ─▶ PullContacts ─▶ level, or pages of what counts there ─▶ news? ─▶ verified ─▶ the newest of each member
//! ```
//!
//! What a record says is not kept here: rows are the caller's.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;

use crate::{
    crypto::sign::PublicKey,
    id::MemberId,
    limits::{MAX_CONTACT, MAX_REPLY},
    schema::{Contacts, Malformed, PullContacts, Signed},
    time::Timestamp,
    trust::{
        contact::{self, Contact, ContactError, Rank, VerifiedContact},
        roster::Roster,
    },
    verdict::Judged as _,
};

/// Bytes of an encoded record with its one signature; larger ones are not even held to be looked at.
const LARGEST: usize = MAX_CONTACT + 512;

/// The record held of a member, without what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which of the member's it is.
    pub rank: Rank,
    /// By which key of the member.
    pub signer: PublicKey,
}

impl Held {
    fn stands(&self, roster: &Roster, member: MemberId, now: Timestamp) -> bool {
        contact::stands(roster, member, &self.signer, self.rank.made, now)
    }
}

impl From<&VerifiedContact> for Held {
    fn from(verified: &VerifiedContact) -> Self {
        Self { rank: verified.contact.rank, signer: verified.signer }
    }
}

/// Why a record is no news. Neither is anybody's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It is held already.
    Held,
    /// A newer one is held.
    Older,
}

/// The records held of all members, by member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactBook(BTreeMap<MemberId, Held>);

impl ContactBook {
    /// Takes a record in, in the place of the member's one before.
    pub fn put(&mut self, member: MemberId, held: Held) {
        self.0.insert(member, held);
    }

    /// A member's record is not held any longer.
    pub fn forget(&mut self, member: MemberId) {
        self.0.remove(&member);
    }

    /// The record held of a member, whether or not it counts.
    #[must_use]
    pub fn of(&self, member: MemberId) -> Option<&Held> {
        self.0.get(&member)
    }

    /// Members whose record counts, ascending, and one hash of all these.
    #[must_use]
    pub fn standing(&self, roster: &Roster, now: Timestamp) -> (Vec<MemberId>, [u8; 32]) {
        let standing = self.0.iter().filter(|(member, held)| held.stands(roster, **member, now));
        let standing: Vec<(&MemberId, &Rank)> = standing.map(|(member, held)| (member, &held.rank)).collect();
        let hash = contact::sum(roster.coalition(), standing.iter().copied());
        (standing.into_iter().map(|(member, _)| *member).collect(), hash)
    }

    /// When what a member says of itself now is made: later than the record before, even if that was made under a clock a
    /// little ahead of this one, but for one of a time to come.
    #[must_use]
    pub fn next_made(&self, member: MemberId, roster: &Roster, now: Timestamp) -> Timestamp {
        let before = self.of(member).map(|held| held.rank.made);
        let before = before.filter(|made| !contact::is_to_come(roster, *made, now));
        let least = before.map(|made| made.saturating_add(Duration::from_micros(1)));
        now.max(least.unwrap_or_default())
    }

    /// Refuses what is no newer than what counts of its member; what a key signed that is none any more, or under a clock that
    /// ran ahead, gives way to any. Seen without a signature, so it only ever spares work.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn must_be_news(&self, contact: &Contact, roster: &Roster, now: Timestamp) -> Result<(), Stale> {
        let held = self.of(contact.member).filter(|held| held.stands(roster, contact.member, now));
        match held {
            Some(held) if held.rank == contact.rank => Err(Stale::Held),
            Some(held) if held.rank > contact.rank => Err(Stale::Older),
            _ => Ok(()),
        }
    }

    /// Those of a peer's records that are news if they verify, and why others are refused. That a peer has not heard of the
    /// newer one is no fault.
    #[must_use]
    pub fn news(
        &self,
        records: impl IntoIterator<Item = Signed>,
        roster: &Roster,
        now: Timestamp,
    ) -> (Vec<Signed>, Vec<&'static str>) {
        let (mut news, mut refused) = (Vec::new(), Vec::new());
        for record in records {
            match contact::read(&record) {
                Ok(contact) if self.must_be_news(&contact, roster, now).is_ok() => news.push(record),
                Ok(_) => {}
                Err(malformed) => refused.push(ContactError::from(malformed).code()),
            }
        }
        (news, refused)
    }

    /// Members whose record is not kept any longer: they are members no more.
    pub fn over(&self, roster: &Roster, now: Timestamp) -> impl Iterator<Item = MemberId> {
        self.0.keys().copied().filter(move |member| contact::is_over(roster, *member, now))
    }

    /// The records that count, if they come to another hash than the asker's; `record` reads a member's, which may have been
    /// let go just now.
    ///
    /// # Errors
    /// [`Malformed`]: the asker's fault.
    pub fn answer(
        &self,
        pull: &PullContacts,
        roster: &Roster,
        now: Timestamp,
        record: impl Fn(MemberId) -> Option<Signed>,
    ) -> Result<Contacts, Malformed> {
        let (standing, hash) = self.standing(roster, now);
        let hash = hash.to_vec();
        if pull.hash == hash {
            return Ok(Contacts { hash, ..Contacts::default() });
        }
        let after = match pull.after.as_slice() {
            [] => None,
            after => Some(
                MemberId::try_from(after)
                    .map_err(|_| Malformed::field("PullContacts", "after", "must be empty or 16 bytes"))?,
            ),
        };
        let (mut records, mut more, mut room) = (Vec::new(), false, MAX_REPLY - 1024);
        for member in standing.into_iter().filter(|member| after.is_none_or(|after| *member > after)) {
            let Some(signed) = record(member) else { continue };
            let len = signed.encoded_len() + 8;
            if len > room {
                more = true;
                break;
            }
            room -= len;
            records.push(signed);
        }
        Ok(Contacts { hash, records, more })
    }
}

/// Those that verify, the newest of each member with its record, and why others do not.
#[must_use]
pub fn newest(
    roster: &Roster,
    records: Vec<Signed>,
    now: Timestamp,
) -> (BTreeMap<MemberId, (VerifiedContact, Signed)>, Vec<&'static str>) {
    let (mut newest, mut refused) = (BTreeMap::<MemberId, (VerifiedContact, Signed)>::new(), Vec::new());
    for record in records {
        let found = match contact::verify(roster, &record, now) {
            Ok(found) => found,
            Err(error) => {
                refused.push(error.code());
                continue;
            }
        };
        let known = newest.get(&found.contact.member);
        if known.is_none_or(|(known, _)| known.contact.rank < found.contact.rank) {
            newest.insert(found.contact.member, (found, record));
        }
    }
    (newest, refused)
}

/// Comparing contact records with one peer.
#[derive(Clone, Debug)]
pub struct ContactPull {
    hash: [u8; 32],
    after: Vec<u8>,
    /// Records sent so far, whether or not they are good for anything.
    seen: usize,
    most: usize,
    records: Vec<Signed>,
}

impl ContactPull {
    /// Begins one, with the first question: what the peer holds that goes by another hash. One record a member is honest, so
    /// after `most` no further page is asked for.
    #[must_use]
    pub fn begin(hash: [u8; 32], most: usize) -> (Self, PullContacts) {
        let begun = Self { hash, after: Vec::new(), seen: 0, most, records: Vec::new() };
        let first = begun.question();
        (begun, first)
    }

    fn question(&self) -> PullContacts {
        PullContacts { hash: self.hash.to_vec(), after: self.after.clone() }
    }

    /// Takes a page in; what to ask next, or nothing if that was all.
    #[must_use]
    pub fn heard(&mut self, page: Contacts) -> Option<PullContacts> {
        let last = page.records.last().and_then(|record| contact::read(record).ok());
        let last = last.map(|contact| contact.member.to_vec());
        self.seen = self.seen.saturating_add(page.records.len());
        let fits = |record: &Signed| record.encoded_len() <= LARGEST;
        self.records.extend(page.records.into_iter().filter(fits));
        match last {
            // A peer whose pages lead nowhere is not followed.
            Some(last) if page.more && self.seen < self.most && last > self.after => {
                self.after = last;
                Some(self.question())
            }
            _ => None,
        }
    }

    /// What came, at most one a member.
    #[must_use]
    pub fn into_records(mut self) -> Vec<Signed> {
        self.records.truncate(self.most);
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::sign::Purpose,
        schema::{ContactRecord, Signature},
        trust::{
            address::tests::roster,
            request::tests::{NOW, charter, key},
            signed::sign,
        },
    };

    const MEMBER: MemberId = MemberId::new([5; 16]);
    const SECOND: Duration = Duration::from_secs(1);

    fn said(member: MemberId, seed: u8, made: Timestamp) -> Signed {
        let coalition = charter().coalition();
        let record = ContactRecord {
            coalition: coalition.to_vec(),
            member: member.to_vec(),
            mailboxes: Vec::new(),
            made: made.as_micros(),
        };
        sign(record.encode_to_vec(), Purpose::Contact, coalition, &[&key(seed)])
    }

    fn holding(record: &Signed) -> ContactBook {
        let mut book = ContactBook::default();
        book.put(MEMBER, Held::from(&contact::verify(&roster(), record, NOW).unwrap()));
        book
    }

    #[test]
    fn what_is_held_older_or_does_not_read_is_no_news() {
        let [older, made, newer] = [3, 2, 1].map(|n| NOW.saturating_sub(SECOND * n));
        let held = said(MEMBER, 11, made);
        let (book, roster) = (holding(&held), roster());
        let of = |made| contact::read(&said(MEMBER, 11, made)).unwrap();
        assert_eq!(book.must_be_news(&of(made), &roster, NOW), Err(Stale::Held));
        assert_eq!(book.must_be_news(&of(older), &roster, NOW), Err(Stale::Older));
        let bad = Signed { payload: vec![0xff], signatures: Vec::new() };
        let newer = said(MEMBER, 11, newer);
        let (news, refused) = book.news([held, bad, newer.clone()], &roster, NOW);
        assert_eq!((news, refused), (vec![newer], vec!["contact-malformed"]));
    }

    #[test]
    fn what_does_not_count_gives_way_to_what_is_older() {
        let (mut book, roster) = (ContactBook::default(), roster());
        let of = |made| contact::read(&said(MEMBER, 11, made)).unwrap();
        let day = Duration::from_secs(24 * 3600);
        let held = |signer, made| Held { rank: of(made).rank, signer };
        for not_counting in [held(key(99).public(), NOW), held(key(11).public(), NOW.saturating_add(day))] {
            book.put(MEMBER, not_counting);
            assert_eq!(book.must_be_news(&of(NOW.saturating_sub(SECOND)), &roster, NOW), Ok(()));
            assert!(book.standing(&roster, NOW).0.is_empty());
        }
        assert_eq!(book.next_made(MEMBER, &roster, NOW), NOW, "not behind what is to come");
        book.put(MEMBER, held(key(11).public(), NOW));
        assert!(book.next_made(MEMBER, &roster, NOW) > NOW, "but behind what counts");
    }

    #[test]
    fn of_several_records_of_a_member_the_newest_that_verifies_is_taken() {
        let later = NOW.saturating_sub(SECOND);
        let records = vec![
            said(MEMBER, 11, NOW.saturating_sub(SECOND * 2)),
            said(MEMBER, 11, later),
            said(MEMBER, 99, NOW),
        ];
        let (newest, refused) = newest(&roster(), records, NOW);
        let made: Vec<Timestamp> = newest.values().map(|(found, _)| found.contact.rank.made).collect();
        assert_eq!((made, refused), (vec![later], vec!["bad-signature"]));
    }

    #[test]
    fn two_nodes_that_ask_each_other_come_to_hold_the_same() {
        let (record, roster) = (said(MEMBER, 11, NOW), roster());
        let (theirs, mut ours) = (holding(&record), ContactBook::default());
        let (mut pull, first) = ContactPull::begin(ours.standing(&roster, NOW).1, 10);
        let answer =
            |pull: &PullContacts| theirs.answer(pull, &roster, NOW, |_| Some(record.clone())).unwrap();
        assert_eq!(pull.heard(answer(&first)), None);
        let (news, _) = ours.news(pull.into_records(), &roster, NOW);
        for (member, (verified, _)) in newest(&roster, news, NOW).0 {
            ours.put(member, Held::from(&verified));
        }
        assert_eq!(ours, theirs);
        let (_, again) = ContactPull::begin(ours.standing(&roster, NOW).1, 10);
        assert!(answer(&again).records.is_empty(), "level: a hash alone");
        let nowhere = PullContacts { hash: Vec::new(), after: vec![1; 15] };
        assert!(theirs.answer(&nowhere, &roster, NOW, |_| None).is_err());
    }

    #[test]
    fn pages_without_end_or_that_lead_nowhere_are_not_followed() {
        let page = |n: u8| Contacts {
            hash: vec![1; 32],
            records: vec![said(MemberId::new([n; 16]), 11, NOW)],
            more: true,
        };
        let (mut pull, _) = ContactPull::begin([0; 32], 3);
        assert!(pull.heard(page(1)).is_some_and(|next| next.after == [1; 16]));
        assert_eq!(pull.clone().heard(page(1)), None, "the same again");
        assert!(pull.heard(page(2)).is_some());
        assert_eq!(pull.heard(page(3)), None, "there are no more members");
        let (mut pull, _) = ContactPull::begin([0; 32], 3);
        let mut large = page(1);
        large.records[0].signatures = vec![Signature { signature: vec![0; 8192], ..Signature::default() }];
        large.records.extend([page(2).records, page(3).records, page(4).records].concat());
        assert_eq!(pull.heard(large), None);
        let kept: Vec<MemberId> =
            pull.into_records().iter().map(|r| contact::read(r).unwrap().member).collect();
        assert_eq!(
            kept,
            [2, 3, 4].map(|n| MemberId::new([n; 16])),
            "what is too large is not even looked at"
        );
    }
}
