//! Contact records that are held, without what they say, and the way in for those that peers push.

use std::sync::Arc;

use arc_swap::ArcSwap;
use belfry_proto::{crypto::sign::PublicKey, schema, trust::contact_book::ContactBook};
use tokio::sync::mpsc;

/// The records held of all members; cheap to hand out.
#[derive(Clone, Debug)]
pub(crate) struct Shelf(Arc<ArcSwap<ContactBook>>);

impl Shelf {
    pub(crate) fn new(held: ContactBook) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(held)))
    }

    /// As they are now.
    pub(crate) fn book(&self) -> Arc<ContactBook> {
        self.0.load_full()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut ContactBook)) {
        let mut held = ContactBook::clone(&self.0.load());
        change(&mut held);
        self.0.store(Arc::new(held));
    }
}

/// A contact record that a peer pushed.
pub(crate) struct Pushed {
    pub(crate) from: PublicKey,
    pub(crate) record: schema::Signed,
}

/// Hands contact records that peers push to membership, and tells which are held.
#[derive(Clone)]
pub struct Contacts {
    pub(crate) pushed: mpsc::Sender<Pushed>,
    pub(crate) held: Shelf,
}

impl Contacts {
    /// A peer pushed a record. False when the queue is full: the next comparison brings it.
    #[must_use]
    pub fn pushed(&self, from: PublicKey, record: schema::Signed) -> bool {
        self.pushed.try_send(Pushed { from, record }).is_ok()
    }

    /// Those that are held now. Reads no row.
    #[must_use]
    pub fn book(&self) -> Arc<ContactBook> {
        self.held.book()
    }
}
