//! Whatever rests most of the time is polled only after its bell rang.
//!
//! libp2p polls every handler of a connection, and every behaviour of a node, whenever anything happens there, and on a busy
//! topic something always does. A bell is rung by what its owner waits for, and by whoever tells its owner something.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures::task::{ArcWake, AtomicWaker, waker};

/// Whether its owner wants to be polled. It has rung at first.
pub(super) struct Bell {
    rung: Arc<Rung>,
    /// For whatever the owner waits for.
    rope: Waker,
}

struct Rung {
    rang: AtomicBool,
    /// The task that polls the owner.
    task: AtomicWaker,
}

impl ArcWake for Rung {
    fn wake_by_ref(rung: &Arc<Self>) {
        rung.rang.store(true, Ordering::Release);
        rung.task.wake();
    }
}

impl Bell {
    pub(super) fn new() -> Self {
        let rung = Arc::new(Rung { rang: AtomicBool::new(true), task: AtomicWaker::new() });
        let rope = waker(Arc::clone(&rung));
        Self { rung, rope }
    }

    /// The owner was told something, and may have something to do; it is polled after every event anyway.
    pub(super) fn ring(&self) {
        self.rung.rang.store(true, Ordering::Release);
    }

    /// Polls the owner if the bell rang.
    pub(super) fn heed<T>(
        &self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Whom to wake, before looking: a bell that rings in between is heard the next time.
        self.rung.task.register(cx.waker());
        if !self.rung.rang.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let cx = &mut Context::from_waker(&self.rope);
        let mut polled = poll(cx);
        if polled.is_pending() {
            // Ping begins to wait for the next ping without looking for it: only a second poll tells whom to wake.
            polled = poll(cx);
        }
        if polled.is_ready() {
            // There may be more.
            self.ring();
        }
        polled
    }
}
