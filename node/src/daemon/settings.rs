//! What a daemon is started with, as plain values: from the operator's file, or made by a test.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use belfry_proto::{crypto::sign::PublicKey, stix::marking::Tlp};

use crate::{
    api::{server::ServerConfig, tls::TlsFiles},
    config::{self, Config},
    heard::GateTimes,
    network::{Address, NetworkConfig},
    publish::Defaults,
    relay,
    space::Probe,
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
