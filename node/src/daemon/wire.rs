//! Every part is made once and handed what it works on: the use-cases on store, network and roster first, then what serves
//! tools, the API last. Whatever runs is a task with a name, and the first that ends by itself stops them all.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use anyhow::Context;
use belfry_proto::{
    crypto::{secret::Secret, sign::PublicKey},
    schema::{KeysRequest, KeysResponse},
    trust::charter::Charter,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Circuits, Daemon, Outlets, Settings, Tuning, history, ports};
use crate::{
    api::{ports::Ports, server::Server},
    audit_log::{self, AuditLog},
    backup::Backups,
    clock, config,
    feed::Feed,
    grants, heal,
    heard::{Behind, Hellos, LogWatch, VouchedClock},
    hooks::Hooks,
    identity::Identity,
    ingest::{Ingest, Intake},
    keys::{Enrolment, file},
    membership::{self, DialLimits, Import, Membership, Reach},
    network::{self, Address, Asked, Gossip, Inbound, Network, NetworkConfig, RelayLimits},
    publish::{Defaults, Desk, Flusher, Guards, Hold, Holders, Publisher},
    query::{CLI_TOKEN, Query, QueryError, Scope, lists::Lists},
    relay::Relay,
    roster::LiveRoster,
    sources::Sources,
    store::Store,
    sync::{self, Progress, Sync},
    tasks::Tasks,
};

/// What every use-case works on.
struct Ground {
    identity: Arc<Identity>,
    store: Store,
    network: Network,
    roster: LiveRoster,
    feed: Feed,
}

/// What the use-cases that run give others to ask and to see.
struct UseCases {
    hellos: watch::Receiver<Hellos>,
    log_watch: watch::Receiver<LogWatch>,
    vouched: VouchedClock,
    import: Import,
    progress: Progress,
    counters: Arc<sync::Counters>,
    held: watch::Receiver<Option<Hold>>,
    desk: Desk,
}

impl Daemon {
    /// Makes and wires everything on a store that is open.
    ///
    /// # Errors
    /// The first part that cannot start, with the mend.
    pub(super) async fn wire(
        store: Store,
        path: &Path,
        enrolment: &Enrolment,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        let (tuning, data_dir) = (settings.tuning, settings.data_dir);
        let roster = LiveRoster::new(history::restore(&store, enrolment).await?);
        let (network, reach) = ways(
            settings.network,
            settings.bootstrap,
            settings.circuits,
            enrolment.certificate.carrier,
            &tuning,
        );
        let (network, inbound) = network::start(&network, &enrolment.keys.node, enrolment.coalition())?;
        let identity = Arc::new(identity(enrolment));
        let ground = Ground { identity, store, network, roster, feed: Feed::default() };
        let mut tasks = Tasks::default();
        ground.watch_disk(path, tuning.scrub, &mut tasks);
        let cases = ground.use_cases(inbound, reach, &tuning, &mut tasks);

        let Outlets { exports, lists, webhooks, syslog } = settings.outlets;
        let lists = tokio::task::spawn_blocking(move || Lists::open(lists)).await??;
        warn_of_unknown_groups(&exports, ground.roster.snapshot().charter());
        let own = settings.guards.own().context("the section [guards]")?;
        let guards = Guards::new(own, Arc::new(ports::Known(lists.clone())));
        let query = ground.query(&enrolment.keys.store, exports, lists.clone())?;
        cli_token(&query, &data_dir).await?;
        let hooks = ground.hooks(&query, webhooks, syslog, cases.vouched, &mut tasks).await?;
        let publisher = ground.publisher(settings.defaults, guards).with_desk(cases.desk);
        let sources = ground.sources(settings.sources, publisher.clone(), &mut tasks).await?;
        let status = ports::Status {
            identity: Arc::clone(&ground.identity),
            store: ground.store.clone(),
            kept_in: path.to_owned(),
            network: ground.network.clone(),
            roster: ground.roster.clone(),
            hellos: cases.hellos,
            log_watch: cases.log_watch,
            held: cases.held,
            progress: cases.progress,
            import: cases.import,
            stopping: tasks.stop_signal(),
            started: clock::now(),
            sync: cases.counters,
            hooks,
            lists,
            sources,
            backups: Backups::new(&data_dir, ground.store.clone(), enrolment),
        };
        let audit = open_audit_log(&data_dir, enrolment.keys.store.clone(), tuning.audit_keep).await?;
        let relay = Relay {
            query: query.clone(),
            publisher: publisher.clone(),
            store: ground.store.clone(),
            audit: audit.clone(),
            every: tuning.relay_interval,
        };
        tasks.spawn("relay", relay.run());
        let ports = Ports {
            query,
            publish: Arc::new(ports::Publishing(publisher, ground.holders())),
            status: Arc::new(status),
            texts: data_dir.join(crate::texts::FOLDER),
            audit,
            feed: ground.store.newest(),
        };
        let stopping = CancellationToken::new();
        let server = Server::bind(&settings.api, ports, stopping.clone()).await?;
        let api = server.addresses().to_vec();
        tasks.spawn_until("api", stopping.clone(), server.run());
        let Ground { identity, store, network, roster, .. } = ground;
        let version = roster.snapshot().version();
        tracing::info!(member.id = %identity.member, serial = identity.serial.get(), roster.height = version.height.get(),
            "running as certificate {} of member {}, API on {api:?}", identity.serial, identity.member);
        Ok(Self { tasks, network, stopping, api, store, roster })
    }
}

impl Ground {
    fn watch_disk(&self, path: &Path, scrub: bool, tasks: &mut Tasks) {
        tasks.spawn("space", self.store.space().clone().run());
        if scrub {
            tasks.spawn("scrub", heal::scrub(self.store.clone()));
        }
        tasks.spawn("damage", heal::notice(self.store.clone(), path.to_owned()));
    }

    /// Starts the use-cases on what the network brings.
    fn use_cases(&self, inbound: Inbound, reach: Reach, tuning: &Tuning, tasks: &mut Tasks) -> UseCases {
        let membership = Membership::new(
            Arc::clone(&self.identity),
            self.store.clone(),
            self.network.clone(),
            self.roster.clone(),
            self.feed.clone(),
            reach,
        );
        let (hellos, log_watch) = (membership.hellos(), membership.log_watch());
        let (import, contacts) = (membership.import(), membership.contacts());
        let vouched = VouchedClock::new(hellos.clone(), self.roster.clone(), self.identity.member);
        let intake = self.ingest(inbound.gossip, membership.behind(), &vouched, tasks);
        let (counters, outlook) = (Arc::new(sync::Counters::default()), sync::Tell::default());
        let progress = outlook.progress(&counters);
        let pulling = Sync {
            identity: Arc::clone(&self.identity),
            store: self.store.clone(),
            network: self.network.clone(),
            roster: self.roster.clone(),
            feed: self.feed.clone(),
            intake,
            counters: Arc::clone(&counters),
            interval: tuning.sync_interval,
            outlook,
            linked: AtomicU64::default(),
        };
        tasks.spawn("sync", pulling.run());
        let serving = sync::Serving {
            store: self.store.clone(),
            roster: self.roster.clone(),
            counters: Arc::clone(&counters),
            contacts,
        };
        tasks.spawn("sync-serve", serving.run(inbound.sync));
        self.grants(inbound.keys, hellos.clone(), tasks);
        let flusher = Flusher::new(
            Arc::clone(&self.identity),
            self.store.clone(),
            self.network.clone(),
            self.roster.clone(),
            self.feed.clone(),
            hellos.clone(),
            log_watch.clone(),
        );
        let held = flusher.held();
        let (desk, running) = flusher.open();
        tasks.spawn("flush", running);
        let inbound =
            membership::Sources { hello: inbound.hello, gossip: inbound.admin, links: inbound.links };
        tasks.spawn("membership", membership.run(inbound));
        UseCases { hellos, log_watch, vouched, import, progress, counters, held, desk }
    }

    fn ingest(
        &self,
        gossip: mpsc::Receiver<Gossip>,
        behind: Behind,
        vouched: &VouchedClock,
        tasks: &mut Tasks,
    ) -> Intake {
        let (ingest, queues, intake) = Ingest::new(
            Arc::clone(&self.identity),
            self.store.clone(),
            self.network.clone(),
            self.roster.clone(),
            self.feed.clone(),
            behind,
        );
        tasks.spawn("rejudge", ingest.rejudging());
        tasks.spawn("check", ingest.checking());
        tasks.spawn("reweigh", ingest.reweighing(vouched.clone()));
        tasks.spawn("retain", ingest.retaining(vouched.clone()));
        tasks.spawn("embargoes", ingest.ending_embargoes(vouched.clone()));
        let (judge, keep, reopen) = ingest.loops(queues, gossip);
        tasks.spawn("judge", judge);
        tasks.spawn("keep", keep);
        tasks.spawn("reopen", reopen);
        intake
    }

    fn grants(
        &self,
        asked: mpsc::Receiver<Asked<KeysRequest, KeysResponse>>,
        hellos: watch::Receiver<Hellos>,
        tasks: &mut Tasks,
    ) {
        let serving = grants::Serving::new(
            Arc::clone(&self.identity),
            self.store.clone(),
            self.roster.clone(),
            self.feed.clone(),
            self.network.refusals().clone(),
            hellos,
        );
        tasks.spawn("grants-serve", serving.run(asked));
        let asking = grants::Asking::new(
            Arc::clone(&self.identity),
            self.store.clone(),
            self.network.clone(),
            self.roster.clone(),
            self.feed.clone(),
        );
        tasks.spawn("grants-ask", asking.run());
    }

    fn query(
        &self,
        master: &Secret,
        exports: Vec<config::Export>,
        lists: Lists,
    ) -> Result<Query, QueryError> {
        let query = Query::open(self.store.clone(), self.roster.clone(), self.identity.node, master)?;
        Ok(query.with_exports(exports, lists).with_refusals(self.network.refusals().clone()))
    }

    async fn hooks(
        &self,
        query: &Query,
        webhooks: Vec<config::Webhook>,
        syslog: Vec<config::Syslog>,
        vouched: VouchedClock,
        tasks: &mut Tasks,
    ) -> anyhow::Result<Hooks> {
        let (query, store) = (query.clone(), self.store.clone());
        let opened =
            tokio::task::spawn_blocking(move || Hooks::open(&webhooks, &syslog, &query, &store, &vouched));
        let (hooks, running) = opened.await??;
        for hook in running {
            tasks.spawn("hook", hook.run());
        }
        Ok(hooks)
    }

    fn publisher(&self, defaults: Defaults, guards: Guards) -> Publisher {
        Publisher::new(
            Arc::clone(&self.identity),
            self.store.clone(),
            self.roster.clone(),
            self.feed.clone(),
            defaults,
            guards,
        )
    }

    async fn sources(
        &self,
        named: Vec<config::Source>,
        publisher: Publisher,
        tasks: &mut Tasks,
    ) -> anyhow::Result<Sources> {
        let (store, roster) = (self.store.clone(), self.roster.clone());
        let opened = tokio::task::spawn_blocking(move || Sources::open(&named, &publisher, &store, &roster));
        let (sources, running) = opened.await??;
        for source in running {
            tasks.spawn("source", source.run());
        }
        Ok(sources)
    }

    fn holders(&self) -> Holders {
        let (store, network) = (self.store.clone(), self.network.clone());
        Holders::new(Arc::clone(&self.identity), store, network, self.roster.clone())
    }
}

fn identity(enrolment: &Enrolment) -> Identity {
    Identity {
        member: enrolment.member(),
        serial: enrolment.certificate.serial,
        record: enrolment.record.clone(),
        signing: enrolment.keys.signing.clone(),
        node: enrolment.node(),
        kem: enrolment.keys.kem.clone(),
    }
}

/// How this node meets others: what the network adapter is started with, and whom membership dials.
fn ways(
    network: NetworkConfig,
    bootstrap: Vec<(PublicKey, Address)>,
    circuits: Circuits,
    is_carrier: bool,
    tuning: &Tuning,
) -> (NetworkConfig, Reach) {
    let Circuits { gives, relays } = circuits;
    let listens = !network.listen.is_empty();
    let gives_circuits = listens && gives.unwrap_or(is_carrier);
    let reach = Reach {
        relays: relays.iter().map(|(node, _)| *node).collect(),
        bootstrap: bootstrap.into_iter().chain(relays).collect(),
        external: network.external.clone(),
        listens,
        limits: DialLimits {
            longest_wait: tuning.redial_interval,
            // A quarter is left to those who dial us.
            most: usize::try_from(network.max_connections).unwrap_or(usize::MAX) / 4 * 3,
        },
        gate: tuning.gate,
    };
    let relay = network.relay.or_else(|| gives_circuits.then(RelayLimits::default));
    (NetworkConfig { relay, ..network }, reach)
}

/// Says of which exports nobody gets anything, for now: their groups may come with the next charter.
fn warn_of_unknown_groups(exports: &[config::Export], charter: &Charter) {
    for export in exports {
        if let Some(group) = export.groups.iter().find(|group| charter.group_by_slug(group).is_none()) {
            tracing::warn!(
                export = export.name,
                "export {} is of the group {group:?}, which the charter does not have",
                export.name
            );
        }
    }
}

async fn open_audit_log(data_dir: &Path, master: Secret, keep: u64) -> anyhow::Result<AuditLog> {
    let folder = data_dir.join(audit_log::FOLDER);
    let opened = tokio::task::spawn_blocking(move || AuditLog::open(&folder, &master, keep, clock::now()));
    let audit = opened.await??;
    let audit_log::Standing { sequence, head } = audit.standing();
    tracing::info!(sequence, %head, "the audit log goes on at entry {sequence}, head {head}");
    Ok(audit)
}

/// Leaves a token for this machine's command line, unless a good one lies there.
async fn cli_token(query: &Query, data_dir: &Path) -> anyhow::Result<()> {
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
