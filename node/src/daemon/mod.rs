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
mod stored;
mod texts;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::Context;
use belfry_proto::{crypto::sign::PublicKey, id::CoalitionId, stix::marking::Tlp};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        ports::Ports,
        server::{Server, ServerConfig},
        tls::TlsFiles,
    },
    audit_log::{self, AuditLog},
    backup::{Backups, STORE},
    clock,
    config::{self, Config},
    feed::Feed,
    grants,
    heal::{self, HealError},
    heard::{GateTimes, VouchedClock},
    hooks::Hooks,
    identity::Identity,
    ingest::Ingest,
    keys::{DataFolder, Enrolment, Source, file},
    membership::{self, DialLimits, Membership, Reach},
    network::{self, Address, Network, NetworkConfig, RelayLimits},
    publish::{Defaults, Flusher, Guards, Holders, Publisher},
    query::{CLI_TOKEN, Query, Scope, lists::Lists},
    relay::{self, Relay},
    roster::LiveRoster,
    sources::Sources,
    space::{FileSystemOf, Probe, Space},
    store::Store,
    sync::{self, Sync},
    tasks::{Fault, Tasks},
};

/// Marking of what carries none, unless configured: the narrowest that still reaches the group.
const DEFAULT_TLP: Tlp = Tlp::AmberStrict;

/// What a daemon is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of the database and the command line's token.
    pub data_dir: PathBuf,
    /// The network adapter's.
    pub network: NetworkConfig,
    /// Nodes to dial before any address record is known.
    pub bootstrap: Vec<(PublicKey, Address)>,
    /// Circuits, given and asked for.
    pub circuits: Circuits,
    /// The API's.
    pub api: ServerConfig,
    /// What submissions say that do not.
    pub defaults: Defaults,
    /// What is asked before something leaves.
    pub guards: config::Guards,
    /// What tools are given.
    pub outlets: Outlets,
    /// What is taken in from elsewhere.
    pub sources: Vec<config::Source>,
    /// How often, and how full.
    pub tuning: Tuning,
}

/// How members meet that cannot dial each other.
#[derive(Clone, Debug, Default)]
pub struct Circuits {
    /// Whether this node gives circuits; unset: if it is a carrier's.
    pub gives: Option<bool>,
    /// Who is asked for them besides carriers, and where they are.
    pub relays: Vec<(PublicKey, Address)>,
}

/// What tools are given, and what never is.
#[derive(Clone, Debug, Default)]
pub struct Outlets {
    /// Profiles.
    pub exports: Vec<config::Export>,
    /// Allow-list and warning lists.
    pub lists: config::Lists,
    /// What is pushed over HTTP.
    pub webhooks: Vec<config::Webhook>,
    /// What is pushed to log servers.
    pub syslog: Vec<config::Syslog>,
}

/// Numbers an operator may change, and tests.
#[derive(Clone)]
pub struct Tuning {
    /// Between two comparisons of frontiers with a random peer.
    pub sync_interval: Duration,
    /// Longest wait between two dials of one node that does not answer.
    pub redial_interval: Duration,
    /// How long the gate to sealing waits for others.
    pub gate: GateTimes,
    /// Free bytes below which the node only reads.
    pub free_space_floor: u64,
    /// Bytes of messages that are kept of one member in one group.
    pub member_quota: Option<u64>,
    /// Whether everything is read once a day, to find damage.
    pub scrub: bool,
    /// Bytes of the audit log that are kept.
    pub audit_keep: u64,
    /// How long sightings are gathered that members entrust to this node.
    pub relay_interval: Duration,
    /// Who says what is free; unset: the data folder's file system.
    pub probe: Option<Arc<dyn Probe>>,
}

impl fmt::Debug for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuning")
            .field("sync_interval", &self.sync_interval)
            .field("redial_interval", &self.redial_interval)
            .field("gate", &self.gate)
            .field("free_space_floor", &self.free_space_floor)
            .field("member_quota", &self.member_quota)
            .field("audit_keep", &self.audit_keep)
            .field("relay_interval", &self.relay_interval)
            .finish_non_exhaustive()
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self::from_config(&Config::default())
    }
}

impl Tuning {
    fn from_config(config: &Config) -> Self {
        Self {
            sync_interval: config.sync.interval,
            redial_interval: config.network.redial_interval,
            gate: GateTimes::default(),
            free_space_floor: config.store.free_space_floor,
            member_quota: config.store.member_quota,
            scrub: config.store.scrub,
            audit_keep: config.audit.keep,
            relay_interval: relay::GATHERED,
            probe: None,
        }
    }
}

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

impl Settings {
    /// From the operator's file.
    ///
    /// # Errors
    /// An address that the network does not speak.
    pub fn from_config(config: &Config) -> anyhow::Result<Self> {
        let addresses = |list: &[config::Address]| {
            list.iter()
                .map(|a| Ok(Address::parse(&a.to_string())?.0))
                .collect::<anyhow::Result<Vec<Address>>>()
        };
        let nodes = |list: &[config::Bootstrap]| {
            list.iter()
                .map(|b| Ok((b.node, Address::parse(&b.address.to_string())?.0)))
                .collect::<anyhow::Result<Vec<_>>>()
        };
        let tlp = config.publish.tlp.and_then(Option::<Tlp>::from).unwrap_or(DEFAULT_TLP);
        Ok(Self {
            data_dir: config.node.data_dir.clone(),
            network: NetworkConfig {
                listen: addresses(&config.network.listen)?,
                external: addresses(&config.network.external)?,
                max_connections: config.network.max_peers,
                ..NetworkConfig::default()
            },
            bootstrap: nodes(&config.network.bootstrap)?,
            circuits: Circuits { gives: config.network.relay, relays: nodes(&config.network.relays)? },
            api: ServerConfig {
                listen: vec![config.api.listen],
                tls: config.api.tls().map(|(certificate, key)| TlsFiles { certificate, key }),
                socket: Some(config.api_socket()),
                hosts: config.api.allowed_hosts.clone(),
                ..ServerConfig::default()
            },
            defaults: Defaults { tlp, purpose: config.publish.purpose },
            guards: config.guards.clone(),
            outlets: Outlets {
                exports: config.exports.clone(),
                lists: config.lists.clone(),
                webhooks: config.webhooks.clone(),
                syslog: config.syslog.clone(),
            },
            sources: config.sources.clone(),
            tuning: Tuning::from_config(config),
        })
    }
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

    async fn wire(
        store: Store,
        path: &Path,
        enrolment: &Enrolment,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        let (tuning, master) = (settings.tuning, enrolment.keys.store.clone());
        let roster = LiveRoster::new(history::restore(&store, enrolment).await?);
        let identity = Arc::new(Identity {
            member: enrolment.member(),
            serial: enrolment.certificate.serial,
            record: enrolment.record.clone(),
            signing: enrolment.keys.signing.clone(),
            node: enrolment.node(),
            kem: enrolment.keys.kem.clone(),
        });
        let coalition: CoalitionId = enrolment.coalition();
        let Circuits { gives, relays } = settings.circuits;
        let listens = !settings.network.listen.is_empty();
        let gives_circuits = listens && gives.unwrap_or(enrolment.certificate.carrier);
        let network = NetworkConfig {
            relay: settings.network.relay.or_else(|| gives_circuits.then(RelayLimits::default)),
            ..settings.network
        };
        let (max_connections, external) = (network.max_connections, network.external.clone());
        let (network, inbound) = network::start(&network, &enrolment.keys.node, coalition)?;
        let feed = Feed::default();
        let mut tasks = Tasks::default();
        tasks.spawn("space", store.space().clone().run());
        if tuning.scrub {
            tasks.spawn("scrub", heal::scrub(store.clone()));
        }
        tasks.spawn("damage", heal::notice(store.clone(), path.to_owned()));

        let membership = Membership::new(
            Arc::clone(&identity),
            store.clone(),
            network.clone(),
            roster.clone(),
            feed.clone(),
            Reach {
                relays: relays.iter().map(|(node, _)| *node).collect(),
                bootstrap: settings.bootstrap.into_iter().chain(relays).collect(),
                external,
                listens,
                limits: DialLimits {
                    longest_wait: tuning.redial_interval,
                    // A quarter is left to those who dial us.
                    most: usize::try_from(max_connections).unwrap_or(usize::MAX) / 4 * 3,
                },
                gate: tuning.gate,
            },
        );
        let (hellos, log_watch) = (membership.hellos(), membership.log_watch());
        let (import, contacts) = (membership.import(), membership.contacts());
        let (ingest, queues, intake) = Ingest::new(
            Arc::clone(&identity),
            store.clone(),
            network.clone(),
            roster.clone(),
            feed.clone(),
            membership.behind(),
        );
        tasks.spawn("rejudge", ingest.rejudging());
        tasks.spawn("check", ingest.checking());
        let vouched = VouchedClock::new(hellos.clone(), roster.clone(), identity.member);
        tasks.spawn("reweigh", ingest.reweighing(vouched.clone()));
        tasks.spawn("retain", ingest.retaining(vouched.clone()));
        tasks.spawn("embargoes", ingest.ending_embargoes(vouched.clone()));
        let (judge, keep, reopen) = ingest.loops(queues, inbound.gossip);
        tasks.spawn("judge", judge);
        tasks.spawn("keep", keep);
        tasks.spawn("reopen", reopen);
        let (counters, outlook) = (Arc::new(sync::Counters::default()), sync::Tell::default());
        let progress = outlook.progress(&counters);
        let sync = Sync {
            identity: Arc::clone(&identity),
            store: store.clone(),
            network: network.clone(),
            roster: roster.clone(),
            feed: feed.clone(),
            intake,
            counters: Arc::clone(&counters),
            interval: tuning.sync_interval,
            outlook,
            linked: AtomicU64::default(),
        };
        tasks.spawn("sync", sync.run());
        let serving = sync::Serving {
            store: store.clone(),
            roster: roster.clone(),
            counters: Arc::clone(&counters),
            contacts,
        };
        tasks.spawn("sync-serve", serving.run(inbound.sync));
        let serving = grants::Serving::new(
            Arc::clone(&identity),
            store.clone(),
            roster.clone(),
            feed.clone(),
            network.refusals().clone(),
            hellos.clone(),
        );
        tasks.spawn("grants-serve", serving.run(inbound.keys));
        let asking = grants::Asking::new(
            Arc::clone(&identity),
            store.clone(),
            network.clone(),
            roster.clone(),
            feed.clone(),
        );
        tasks.spawn("grants-ask", asking.run());
        let flusher = Flusher::new(
            Arc::clone(&identity),
            store.clone(),
            network.clone(),
            roster.clone(),
            feed.clone(),
            hellos.clone(),
            log_watch.clone(),
        );
        let held = flusher.held();
        let (desk, running) = flusher.open();
        tasks.spawn("flush", running);
        let inbound_of =
            membership::Sources { hello: inbound.hello, gossip: inbound.admin, links: inbound.links };
        tasks.spawn("membership", membership.run(inbound_of));

        let Outlets { exports, lists, webhooks, syslog } = settings.outlets;
        let lists = tokio::task::spawn_blocking(move || Lists::open(lists)).await??;
        let known = roster.snapshot();
        for export in &exports {
            let charter = known.charter();
            if let Some(group) = export.groups.iter().find(|group| charter.group_by_slug(group).is_none()) {
                // It may come with the next charter; until then nobody gets this export.
                tracing::warn!(
                    export = export.name,
                    "export {} is of the group {group:?}, which the charter does not have",
                    export.name
                );
            }
        }
        let query = Query::open(store.clone(), roster.clone(), identity.node, &master)?;
        let own = settings.guards.own().context("the section [guards]")?;
        let guards = Guards::new(own, Arc::new(ports::Known(lists.clone())));
        let told = lists.clone();
        let query = query.with_exports(exports, lists).with_refusals(network.refusals().clone());
        cli_token(&query, &settings.data_dir).await?;
        let (asked, kept) = (query.clone(), store.clone());
        let (hooks, running) =
            tokio::task::spawn_blocking(move || Hooks::open(&webhooks, &syslog, &asked, &kept, &vouched))
                .await??;
        for hook in running {
            tasks.spawn("hook", hook.run());
        }
        let publisher = Publisher::new(
            Arc::clone(&identity),
            store.clone(),
            roster.clone(),
            feed.clone(),
            settings.defaults,
            guards,
        )
        .with_desk(desk);
        let (sources, running) = {
            let (named, publisher) = (settings.sources, publisher.clone());
            let (store, roster) = (store.clone(), roster.clone());
            let opened =
                tokio::task::spawn_blocking(move || Sources::open(&named, &publisher, &store, &roster));
            opened.await??
        };
        for source in running {
            tasks.spawn("source", source.run());
        }
        let holders = Holders::new(Arc::clone(&identity), store.clone(), network.clone(), roster.clone());
        let status = ports::Status {
            identity: Arc::clone(&identity),
            store: store.clone(),
            kept_in: path.to_owned(),
            network: network.clone(),
            roster: roster.clone(),
            hellos,
            log_watch,
            held,
            progress,
            import,
            stopping: tasks.stop_signal(),
            started: clock::now(),
            sync: counters,
            hooks,
            lists: told,
            sources,
            backups: Backups::new(&settings.data_dir, store.clone(), enrolment),
        };
        let (folder, key) = (settings.data_dir.join(audit_log::FOLDER), master.clone());
        let audit = tokio::task::spawn_blocking(move || {
            AuditLog::open(&folder, &key, tuning.audit_keep, clock::now())
        });
        let audit = audit.await??;
        let audit_log::Standing { sequence, head } = audit.standing();
        tracing::info!(sequence, %head, "the audit log goes on at entry {sequence}, head {head}");
        let relay = Relay {
            query: query.clone(),
            publisher: publisher.clone(),
            store: store.clone(),
            audit: audit.clone(),
            every: tuning.relay_interval,
        };
        tasks.spawn("relay", relay.run());
        let ports = Ports {
            query,
            publish: Arc::new(ports::Publishing(publisher, holders)),
            status: Arc::new(status),
            texts: settings.data_dir.join(crate::texts::FOLDER),
            audit,
            feed: store.newest(),
        };
        let stopping = CancellationToken::new();
        let server = Server::bind(&settings.api, ports, stopping.clone()).await?;
        let api = server.addresses().to_vec();
        tasks.spawn_until("api", stopping.clone(), server.run());
        let version = roster.snapshot().version();
        tracing::info!(member.id = %identity.member, serial = identity.serial.get(), roster.height = version.height.get(),
            "running as certificate {} of member {}, API on {api:?}", identity.serial, identity.member);
        Ok(Self { tasks, network, stopping, api, store, roster })
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

/// Leaves a token for this machine's command line, unless a good one lies there.
async fn cli_token(query: &Query, data_dir: &std::path::Path) -> anyhow::Result<()> {
    let path = data_dir.join("cli.token");
    let now = clock::now();
    if let Ok(text) = std::fs::read_to_string(&path)
        && query.tokens().verify(text.trim(), now).is_ok()
    {
        return Ok(());
    }
    let made = query.tokens().replace(CLI_TOKEN, Scope::operator(), now).await?;
    file::write(
        &path,
        format!("{}\n", made.text.expose()).as_bytes(),
        file::Readers::Owner,
        file::Existing::Replace,
    )
    .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests;
