//! The time, for what cannot be undone: told only while others vouch for our clock.
//!
//! A clock that was set ahead says of every term that it is over. What is shown, sealed or granted by it is wrong for so
//! long and right again afterwards; a body that was let go of is gone. So whoever lets go of one asks here.

use belfry_proto::{id::MemberId, time::Timestamp};
use tokio::sync::watch;

use super::Hellos;
use crate::{clock, roster::LiveRoster};

/// Our clock, as far as others vouch for it.
#[derive(Clone)]
pub struct VouchedClock {
    hellos: watch::Receiver<Hellos>,
    roster: LiveRoster,
    own: MemberId,
}

impl VouchedClock {
    /// Of a node of `own`, by what `hellos` told.
    #[must_use]
    pub const fn new(hellos: watch::Receiver<Hellos>, roster: LiveRoster, own: MemberId) -> Self {
        Self { hellos, roster, own }
    }

    /// Now; `None` while our clock may be off, as after a start before others told theirs, and once it was set.
    #[must_use]
    pub fn now(&self) -> Option<Timestamp> {
        // Asked once: what others vouch for is the time that is told.
        let (roster, now) = (self.roster.snapshot(), clock::now());
        let is_vouched = self.hellos.borrow().is_clock_vouched(&roster, self.own, now);
        is_vouched.then_some(now)
    }

    /// Resolves when others told something since the last time; never again once nobody listens to them.
    pub async fn told(&mut self) {
        if self.hellos.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
