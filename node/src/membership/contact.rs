//! Signed contact records: set here, compared with peers, told on when they are new.
//!
//! ```text
//! set ──┐                          ┌─▶ store
//! push ─┼─▶ newer, signed, in time ┤
//! pull ─┘                          └─▶ pushed to whoever is connected (not what was pulled)
//! ```
//!
//! By request alone, under a number of the protocol that knows them: on the admin topic a node of the release before would
//! take one for malformed, and blame whoever forwarded it. A push that is lost is made up for by the next comparison, which
//! costs one hash each way where nothing is new.

use std::sync::Arc;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::MemberId,
    schema::{
        self, Mailbox, Malformed, SyncRequest, SyncResponse, sync_request::Request, sync_response::Response,
    },
    time::Timestamp,
    trust::{
        contact::{self, ContactError},
        contact_book::{self, ContactPull, Stale},
    },
    verdict::Judged as _,
};
use futures::StreamExt as _;
use prost::Message;
use tokio::time::Instant;

use super::{Command, Membership};
use crate::{
    clock,
    network::{Network, RequestError},
    refusals::Way,
    store::{Change, ContactRow, WriteError},
};

/// Peers told of a record side by side.
const AT_ONCE: usize = 8;

/// Why a contact record is not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// It is held already.
    #[error("this contact record is held already")]
    Held,
    /// A newer one is held.
    #[error("a newer contact record of member {0} is held")]
    Older(MemberId),
    /// It does not verify.
    #[error(transparent)]
    Refused(#[from] ContactError),
    /// The member has had too many in so short a time.
    #[error("one more contact record of member {0}, which had too many of late")]
    TooMany(MemberId),
    /// The disk is nearly full.
    #[error("there is no room on the disk")]
    NoRoom,
    /// It could not be written.
    #[error("contact record not written")]
    Store(#[from] WriteError),
    /// Our clock is not to be relied on: what it dates may count nowhere, or keep out what is said later.
    #[error(
        "this node's clock is off, as others tell: what is signed by it may count nowhere; set it right, and say it again"
    )]
    ClockOff,
    /// The node stops.
    #[error("this node is stopping")]
    Stopping,
}

impl From<Malformed> for NotKept {
    fn from(malformed: Malformed) -> Self {
        Self::Refused(malformed.into())
    }
}

impl NotKept {
    const fn of(stale: Stale, member: MemberId) -> Self {
        match stale {
            Stale::Held => Self::Held,
            Stale::Older => Self::Older(member),
        }
    }

    /// As refusals are counted; none for what is no refusal.
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Held | Self::NoRoom | Self::Store(_) | Self::ClockOff | Self::Stopping => None,
            Self::Older(_) => Some("contact-older"),
            Self::Refused(error) => Some(error.code()),
            Self::TooMany(_) => Some("too-many-contacts"),
        }
    }
}

/// How often one member may have a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// As often as it likes: it is ours, or came with a comparison.
    Any,
    Bounded,
}

impl Membership {
    /// Signs what this member's mailboxes are, in the place of what it said before, keeps it and tells everybody.
    pub(super) async fn set_contact(&mut self, mailboxes: Vec<Mailbox>) -> Result<Timestamp, NotKept> {
        let (member, roster, now) = (self.identity.member, self.roster_now(), clock::now());
        if self.hellos.borrow().is_clock_off(roster.charter().clock_skew()) {
            return Err(NotKept::ClockOff);
        }
        let made = self.contacts.book().next_made(member, &roster, now);
        let record = contact::make(self.coalition, member, mailboxes, made, &self.identity.signing)?;
        self.keep_contact(&record, Pace::Any).await?;
        self.tell_contact(record, None);
        Ok(made)
    }

    /// A peer has a record that is new to it.
    pub(super) async fn contact_pushed(&mut self, from: PublicKey, record: schema::Signed) {
        if !self.forwarded.take(from, 1.0, Instant::now()) {
            tracing::debug!(peer = %from, "contact record over its forwarder's budget");
            self.network.refusals().count(Way::Admin, "forwarder-over-budget");
            return;
        }
        match self.keep_contact(&record, Pace::Bounded).await {
            Ok(()) => self.tell_contact(record, Some(from)),
            Err(refused) => {
                tracing::debug!(peer = %from, "contact record: {refused}");
                if let Some(code) = refused.code() {
                    self.network.refusals().count(Way::Admin, code);
                }
            }
        }
    }

    async fn keep_contact(&mut self, record: &schema::Signed, pace: Pace) -> Result<(), NotKept> {
        if !self.store.has_room() {
            return Err(NotKept::NoRoom);
        }
        let (roster, now) = (self.roster_now(), clock::now());
        let contact = contact::read(record)?;
        let news = self.contacts.book().must_be_news(&contact, &roster, now);
        news.map_err(|stale| NotKept::of(stale, contact.member))?;
        let verified = contact::verify(&roster, record, now)?;
        let member = verified.contact.member;
        // After the signature: nobody else can use up what a member may say.
        if pace == Pace::Bounded && !self.contacts.subjects.take(member, 1.0, Instant::now()) {
            return Err(NotKept::TooMany(member));
        }
        let row = ContactRow { member, signer: verified.signer, bytes: record.encode_to_vec() };
        self.store.commit(Change::Contact(row)).await?;
        self.contacts.note([&verified]);
        Ok(())
    }

    /// Pushes a record to every connected peer but the one it came from. Whoever misses it finds it by comparing; so does
    /// everybody where many members say something new at once.
    pub(super) fn tell_contact(&self, record: schema::Signed, except: Option<PublicKey>) {
        // The operator's own is no part of what others can bring about.
        let place = except.map(|_| Arc::clone(&self.contacts.telling).try_acquire_owned()).transpose();
        let Ok(place) = place else {
            tracing::debug!("contact record not told on: too many are");
            return;
        };
        let mut peers = self.dialing.connected_now();
        peers.retain(|peer| Some(*peer) != except);
        let network = self.network.clone();
        tokio::spawn(async move {
            let told = futures::stream::iter(peers).for_each_concurrent(AT_ONCE, |peer| {
                let (network, record) = (network.clone(), record.clone());
                async move {
                    let request = SyncRequest { request: Some(Request::PushContact(record)) };
                    if let Err(error) = network.sync(&peer, request).await {
                        tracing::debug!(%peer, "contact record not told: {error}");
                    }
                }
            });
            told.await;
            drop(place);
        });
    }

    /// Compares contact records with a peer, and fetches what it has if they differ.
    pub(super) fn ask_contacts(&mut self, peer: PublicKey) {
        if !self.contacts.questions.ask(peer, true, Instant::now()) {
            return;
        }
        let roster = self.roster_now();
        let hash = self.contacts.hash(&roster, clock::now());
        // One a member is honest; more than that is not even looked at.
        let most = roster.members().count();
        let (network, commands) = (self.network.clone(), self.commands.0.clone());
        tokio::spawn(async move {
            let records = fetched(&network, &peer, hash, most).await;
            let _ = commands.send(Command::Contacts { peer, records }).await;
        });
    }

    /// Asks again whom an answer is owed by.
    pub(super) fn seek_contacts(&mut self) {
        for peer in self.contacts.questions.unanswered(Instant::now()) {
            if self.admits_us.contains(&peer) {
                self.ask_contacts(peer);
            } else {
                self.contacts.questions.gone(&peer);
            }
        }
    }

    /// What came of [`Self::ask_contacts`]; none if the peer did not answer.
    pub(super) async fn contacts_told(&mut self, peer: PublicKey, records: Option<Vec<schema::Signed>>) {
        self.contacts.questions.told(&peer, records.is_some(), Instant::now());
        if let Some(records) = records {
            self.learn_contacts(peer, records).await;
        }
    }

    /// Keeps what is new of a peer's records, all in one synced batch. They are told on to nobody: others compare, too.
    pub(super) async fn learn_contacts(&mut self, peer: PublicKey, records: Vec<schema::Signed>) {
        if records.is_empty() || !self.store.has_room() {
            return;
        }
        let (roster, now) = (self.roster_now(), clock::now());
        let most = roster.members().count();
        let (news, refused) = self.contacts.book().news(records.into_iter().take(most), &roster, now);
        let verified = tokio::task::spawn_blocking(move || contact_book::newest(&roster, news, now)).await;
        let (newest, unverified) = verified.unwrap_or_default();
        for code in refused.into_iter().chain(unverified) {
            self.network.refusals().count(Way::Admin, code);
        }
        tracing::debug!(%peer, new = newest.len(), "contact records");
        let store = &self.store;
        let commits = newest.values().map(|(verified, record)| {
            let (member, signer) = (verified.contact.member, verified.signer);
            store.commit(Change::Contact(ContactRow { member, signer, bytes: record.encode_to_vec() }))
        });
        let committed = futures::future::join_all(commits).await;
        let mut kept = Vec::with_capacity(newest.len());
        for (committed, (verified, _)) in committed.into_iter().zip(newest.values()) {
            match committed {
                Ok(_) => kept.push(verified),
                Err(error) => tracing::warn!("contact record not kept: {error}"),
            }
        }
        self.contacts.note(kept);
    }

    /// Keeps no record of whoever is a member no more, nor what says nothing: of the others, what does not count now may
    /// count again.
    pub(super) async fn forget_contacts(&mut self) {
        for member in self.contacts.over(&self.roster_now(), clock::now()) {
            match self.store.commit(Change::ContactGone(member)).await {
                Ok(_) => self.contacts.forget(member),
                Err(error) => tracing::warn!(member.id = %member, "contact record not let go: {error}"),
            }
        }
    }
}

/// What a peer holds that goes by another hash; none of it if that is ours. No page is asked for once it has sent so many
/// records, whether or not they are good for anything.
pub(super) async fn fetched(
    network: &Network,
    peer: &PublicKey,
    hash: [u8; 32],
    most: usize,
) -> Option<Vec<schema::Signed>> {
    let (mut pull, mut question) = ContactPull::begin(hash, most);
    loop {
        let request = SyncRequest { request: Some(Request::Contacts(question)) };
        let page = match network.sync(peer, request).await {
            Ok(SyncResponse { response: Some(Response::Contacts(page)) }) => page,
            Ok(_) => {
                tracing::debug!(%peer, "contact records: answered with something else");
                return None;
            }
            // It knows no contacts, and owes none.
            Err(RequestError::Older) => return Some(pull.into_records()),
            Err(error) => {
                tracing::debug!(%peer, "contact records: {error}");
                return None;
            }
        };
        match pull.heard(page) {
            Some(next) => question = next,
            None => return Some(pull.into_records()),
        }
    }
}
