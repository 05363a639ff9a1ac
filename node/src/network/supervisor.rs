//! Keeps a swarm task running, whatever becomes of the one before.
//!
//! Four remote panics in libp2p became known within a year. One that hits a connection ends that connection;
//! one that hits the swarm itself would end the node. So the channels to the rest of the node, and what the
//! rest of the node asked for (who is let in, which topics), live here: a swarm that panicked is replaced by
//! a fresh one, and the use-cases learn of it by [`Link::Restarted`]. Calls under way fail; API, drafts and
//! whatever is durable are untouched.
//!
//! ```text
//! swarm panics ─▶ wait a little ─▶ another on the same channels ─▶ allowed set, topics ─▶ Link::Restarted
//!              └▶ RESTARTS within WINDOW: End::Panicked, and the daemon stops
//! ```

use std::{
    collections::{BTreeSet, VecDeque},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::PoisonError,
    time::Duration,
};

use belfry_proto::{crypto::sign::PublicKey, topic::Topic};
use futures::FutureExt;
use tokio::{sync::mpsc, time::Instant};
use tracing::{error, warn};

use super::{
    error::End,
    handle::{Command, Verdicts},
    inbound::Link,
    swarm::{Driver, Parts},
};

/// Restarts within [`WINDOW`] after which the node stops: somebody knows how to bring it down, and the
/// service manager and its operator should see that.
const RESTARTS: usize = 10;
const WINDOW: Duration = Duration::from_secs(600);
/// Before a new swarm: its ports must be free again.
const PAUSE: Duration = Duration::from_millis(200);
/// Tries to listen again before giving up.
const TRIES: usize = 50;

/// What the rest of the node has asked of the network, and a new swarm must be told.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) relays: BTreeSet<PublicKey>,
    pub(super) allowed: BTreeSet<PublicKey>,
    pub(super) topics: BTreeSet<Topic>,
}

/// Runs swarm after swarm until one ends as asked.
pub(super) async fn run(
    parts: Parts,
    first: Driver,
    mut commands: mpsc::Receiver<Command>,
    mut verdicts: Verdicts,
) -> End {
    let mut driver = first;
    let mut restarts = VecDeque::new();
    let mut is_restarted = false;
    loop {
        let ended = {
            let running = AssertUnwindSafe(driver.run(&mut commands, &mut verdicts)).catch_unwind();
            let mut running = pin!(running);
            tokio::select! {
                biased;
                // Must arrive, before any link of this swarm: who is not told believes in connections that are gone. But whoever
                // reads links may be waiting for an answer of the network first.
                told = parts.links.send(Link::Restarted), if is_restarted => {
                    if told.is_err() {
                        return End::Panicked;
                    }
                    running.as_mut().await
                }
                ended = running.as_mut() => ended,
            }
        };
        match ended {
            Ok(End::Asked) => return End::Asked,
            Ok(End::Panicked) => {}
            Err(_) => error!("the swarm task panicked"),
        }
        let now = Instant::now();
        restarts.retain(|at| now.duration_since(*at) < WINDOW);
        restarts.push_back(now);
        if restarts.len() > RESTARTS {
            error!("{RESTARTS} restarts within {} s: giving up", WINDOW.as_secs());
            return End::Panicked;
        }
        parts.counters.restarts.more();
        let Some(next) = rebuild(&parts).await else { return End::Panicked };
        driver = next;
        {
            let standing = parts.standing.lock().unwrap_or_else(PoisonError::into_inner);
            driver.take_up(&standing);
        }
        is_restarted = true;
        warn!("the network runs again");
    }
}

async fn rebuild(parts: &Parts) -> Option<Driver> {
    for _ in 0..TRIES {
        tokio::time::sleep(PAUSE).await;
        match parts.build() {
            Ok(driver) => return Some(driver),
            Err(error) => warn!("the network does not start again yet: {error}"),
        }
    }
    None
}
