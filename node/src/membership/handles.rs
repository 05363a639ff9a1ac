//! What goes into the membership task and how: sources, handles for others, what conversations bring back.

use std::collections::BTreeSet;

use belfry_proto::{
    crypto::sign::PublicKey,
    schema,
    time::Timestamp,
    trust::{log::VerifiedRecord, on_sight::UnorderedError},
};
use tokio::sync::mpsc;

use super::{DialLimits, NotKept, claims, on_sight, pulls};
use crate::{
    heard::GateTimes,
    network::{Address, Asked, Gossip, Link},
};

/// How this node reaches others, and they it.
#[derive(Debug)]
pub struct Reach {
    /// Addresses with the node key expected there, dialled before any record is known.
    pub bootstrap: Vec<(PublicKey, Address)>,
    /// Addresses others should use; without any, the listening ones are told.
    pub external: Vec<Address>,
    /// Whether this node listens anywhere.
    pub listens: bool,
    /// Nodes to ask for circuits, besides the coalition's carriers.
    pub relays: BTreeSet<PublicKey>,
    /// Bounds of dialling.
    pub limits: DialLimits,
    /// How long the gate to sealing waits for others.
    pub gate: GateTimes,
}

/// Where the membership task hears from the network.
pub struct Sources {
    /// Hello requests, from admitted and lobby peers alike.
    pub hello: mpsc::Receiver<Asked<schema::HelloRequest, schema::HelloResponse>>,
    /// Messages of the admin topic.
    pub gossip: mpsc::Receiver<Gossip>,
    /// Connections coming and going.
    pub links: mpsc::Receiver<Link>,
}

/// What a conversation brings back to the loop.
pub(crate) enum Command {
    /// Charters and records, oldest first; answered with whether the roster advanced.
    Offer {
        charters: Vec<schema::Signed>,
        records: Vec<schema::Record>,
        /// Tell the coalition what was new: for files, which only we have.
        spread: bool,
        done: tokio::sync::oneshot::Sender<bool>,
    },
    /// A hello was answered.
    Greeted { peer: PublicKey, greeted: schema::Greeted, sent: Timestamp, era: u64 },
    /// A pull that a hello asked for has ended.
    Pulled {
        peer: PublicKey,
        /// How.
        pulled: pulls::Pulled,
    },
    /// A peer showed what it holds of our own logs, or did not.
    Shown { peer: PublicKey, shown: claims::Shown, behind: bool, era: u64 },
    /// A hello was not answered, or refused.
    Ungreeted { peer: PublicKey, refusal: Option<schema::Refusal> },
    /// A peer refuses us, and shows the record that took our certificate away.
    Removed { peer: PublicKey, record: schema::Record },
    /// Address records that a peer holds; none if it did not answer.
    Addresses { peer: PublicKey, records: Option<Vec<schema::Signed>> },
    /// Contact records that a peer holds and that may be new; none if it did not answer.
    Contacts { peer: PublicKey, records: Option<Vec<schema::Signed>> },
    /// This member's contact; answered with when it was made.
    SetContact {
        mailboxes: Vec<schema::Mailbox>,
        done: tokio::sync::oneshot::Sender<Result<Timestamp, NotKept>>,
    },
    /// A beacon: answered with whether it was news.
    Beacon {
        beacon: schema::Signed,
        from: Option<PublicKey>,
        done: Option<tokio::sync::oneshot::Sender<bool>>,
    },
    /// A peer did not take the removals that it was told of.
    Untold { peer: PublicKey, telling: on_sight::Telling },
    /// A record of a peer whose log does not fit ours.
    Conflict { peer: PublicKey, record: schema::Record },
    /// Entries of a peer's log that are not in ours: the first one, and removals. None if it did not answer.
    Branch { peer: PublicKey, records: Option<Vec<VerifiedRecord>> },
    /// A removal that nobody ordered, from a file: answered with whether it is news.
    Unordered { statement: schema::Signed, done: tokio::sync::oneshot::Sender<Result<bool, UnorderedError>> },
}

/// Hands membership what the operator brings: charters and records by file, and what this member's mailboxes are.
#[derive(Clone)]
pub struct Import(pub(super) mpsc::Sender<Command>);

impl Import {
    /// Folds what goes on from our log, makes it durable and tells every peer. False if nothing did.
    pub async fn offer(&self, file: schema::LogFile) -> bool {
        let (done, advanced) = tokio::sync::oneshot::channel();
        let command = Command::Offer { charters: file.charters, records: file.records, spread: true, done };
        self.0.send(command).await.is_ok() && advanced.await.unwrap_or(false)
    }

    /// Takes in a beacon and tells every peer. False if it says nothing new, or does not verify.
    pub async fn beacon(&self, beacon: schema::Signed) -> bool {
        let (done, is_news) = tokio::sync::oneshot::channel();
        let command = Command::Beacon { beacon, from: None, done: Some(done) };
        self.0.send(command).await.is_ok() && is_news.await.unwrap_or(false)
    }

    /// Takes in a removal that no registrar ordered and tells every peer. False if it says nothing new; `None` if this node
    /// stops.
    ///
    /// # Errors
    /// [`UnorderedError`], why it does not count here.
    pub async fn removal(&self, statement: schema::Signed) -> Option<Result<bool, UnorderedError>> {
        let (done, taken) = tokio::sync::oneshot::channel();
        self.0.send(Command::Unordered { statement, done }).await.ok()?;
        taken.await.ok()
    }

    /// Sets this member's mailboxes, in the place of all it said before, and tells every peer. On disk when this returns.
    ///
    /// # Errors
    /// [`NotKept`].
    pub async fn contact(&self, mailboxes: Vec<schema::Mailbox>) -> Result<Timestamp, NotKept> {
        let (done, kept) = tokio::sync::oneshot::channel();
        self.0.send(Command::SetContact { mailboxes, done }).await.map_err(|_| NotKept::Stopping)?;
        kept.await.unwrap_or(Err(NotKept::Stopping))
    }
}
