//! The composition root: every part made once, wired once, stopped in order.
//!
//! ```text
//! start: store ─▶ roster (fold of the stored log) ─▶ network ─▶ use-cases ─▶ API
//! stop:  API (no new work) ─▶ use-cases ─▶ network (goodbyes) ─▶ store (last)
//! ```
//!
//! Tests start the same daemon with port 0 and a folder of their own.

mod contacts;
mod ends;
mod history;
mod kept;
mod newcomers;
mod on_sight;
mod outlets;
mod ports;
mod settings;
mod stored;
mod texts;
mod wire;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

pub use self::settings::{Circuits, Outlets, Settings, Tuning};
use crate::{
    backup::STORE,
    config::Config,
    heal::{self, HealError},
    keys::{DataFolder, Enrolment, Source},
    network::{Address, Network},
    roster::LiveRoster,
    space::{FileSystemOf, Space},
    store::Store,
    tasks::{Fault, Tasks},
};

/// A running node.
pub struct Daemon {
    tasks: Tasks,
    network: Network,
    stopping: CancellationToken,
    api: Vec<SocketAddr>,
    store: Store,
    roster: LiveRoster,
}

/// Runs a node until Ctrl-C or SIGTERM. Where the store turns out to be damaged, it starts anew, which heals it.
///
/// # Errors
/// What keeps it from starting, or the task that ended unexpectedly.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let settings = Settings::from_config(&config)?;
    // Whoever has no node yet is asked for no passphrase of it.
    DataFolder::of(&config).joined()?;
    let passphrase = Source::choose(None, &config.keys).read("this node's keys")?;
    let store = settings.data_dir.join(STORE);
    loop {
        let (data_dir, passphrase) = (settings.data_dir.clone(), passphrase.clone());
        tracing::info!(folder = %data_dir.display(), "opening the key files in {}", data_dir.display());
        let enrolment =
            tokio::task::spawn_blocking(move || Enrolment::load(&data_dir, &passphrase)).await??;
        let noted = store.clone();
        tokio::task::spawn_blocking(move || heal::read_again(&noted)).await?;
        let was_noted = heal::is_noted(&store);
        let ended = run_once(enrolment, settings.clone()).await;
        if !was_noted && heal::is_noted(&store) {
            tracing::warn!("starting anew, to heal the store");
            continue;
        }
        return match ended? {
            Some(fault) => Err(fault.into()),
            None => Ok(()),
        };
    }
}

/// Until it is to stop, or something in it has ended.
async fn run_once(enrolment: Enrolment, settings: Settings) -> anyhow::Result<Option<Fault>> {
    let store = settings.data_dir.join(STORE);
    let mut daemon = Daemon::start(enrolment, settings).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let fault = tokio::select! {
        fault = daemon.tasks.fault() => Some(fault),
        end = daemon.network.ended() => {
            tracing::error!(?end, "the network ended");
            Some(Fault::new("network"))
        }
        // Whoever watches the process starts it again, on whatever is left of the disk.
        () = daemon.store.stopped() => Some(Fault::new("store")),
        _ = tokio::signal::ctrl_c() => None,
        _ = terminate.recv() => None,
    };
    tracing::info!("stopping");
    if fault.is_some() && !heal::is_noted(&store) {
        // Of a failed write, what watches for damage may not have heard yet.
        heal::note_met(&daemon.store, &store);
    }
    daemon.shutdown().await;
    Ok(fault)
}

impl Daemon {
    /// Makes and wires everything.
    ///
    /// # Errors
    /// The first part that cannot start, with the mend; nothing is left running.
    pub async fn start(enrolment: Enrolment, settings: Settings) -> anyhow::Result<Self> {
        let path = settings.data_dir.join(STORE);
        let (floor, probe) = (settings.tuning.free_space_floor, settings.tuning.probe.clone());
        let member_quota = settings.tuning.member_quota;
        let probe = probe.unwrap_or_else(|| Arc::new(FileSystemOf::new(&settings.data_dir)));
        let watched = Space::new(floor, probe);
        let (opening, enrolment) = (path.clone(), Arc::new(enrolment));
        tracing::info!(store = %path.display(), "opening the store in {}", path.display());
        let of = Arc::clone(&enrolment);
        let store = tokio::task::spawn_blocking(move || {
            let store = match heal::open(&opening, &of, &watched) {
                Err(HealError::Open(error)) => return Err(error.into()),
                opened => opened?,
            };
            watched.look();
            anyhow::Ok(store.with_space(watched).with_member_quota(member_quota))
        })
        .await??;
        let unhealed = heal::unhealed(&path);
        let wired = Self::wire(store.clone(), &path, &enrolment, settings).await;
        if wired.is_err() {
            // Where what it needs does not read, the next start heals.
            heal::note_met(&store, &path);
        }
        match unhealed {
            Some(why) => {
                wired.with_context(|| format!("the store is damaged and could not be healed: {why}"))
            }
            None => wired,
        }
    }

    /// Where the API listens, ports filled in.
    #[must_use]
    pub fn api(&self) -> &[SocketAddr] {
        &self.api
    }

    /// Where the network listens.
    pub async fn listening(&self) -> Vec<Address> {
        self.network.listen_addresses().await.unwrap_or_default()
    }

    /// The store, for tests and measurements that look at what became durable.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The live roster.
    #[must_use]
    pub const fn roster(&self) -> &LiveRoster {
        &self.roster
    }

    /// The network handle, for tests that speak to peers directly.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Stops everything in order and waits for it.
    pub async fn shutdown(self) {
        self.stopping.cancel();
        // A purge may wait for it, and the end of the tasks for that.
        self.store.stop_filling();
        self.tasks.join().await;
        self.network.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
