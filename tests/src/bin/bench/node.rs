//! Whole nodes in this process, as the daemon wires them.

use std::path::PathBuf;

use belfry_node::{
    api::{limit::Rate, server::ServerConfig},
    daemon::{Circuits, Daemon, Outlets, Settings, Tuning},
    network::{Address, NetworkConfig},
    publish::Defaults,
};
use belfry_proto::{crypto::sign::PublicKey, stix::marking::Tlp};

use crate::coalition::{Coalition, Member};

/// How nodes of this process reach each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// Loopback TCP.
    Tcp,
    /// This process's memory: no system calls, hundreds of nodes.
    Memory,
}

/// A running node with its folder.
pub(crate) struct Node {
    pub(crate) daemon: Daemon,
    pub(crate) data_dir: PathBuf,
    pub(crate) key: PublicKey,
}

impl Node {
    /// Starts a member's node on loopback TCP, with an HTTP API that does not slow its one client down.
    pub(crate) async fn start(
        coalition: &Coalition,
        member: &Member,
        data_dir: PathBuf,
        bootstrap: Vec<(PublicKey, Address)>,
    ) -> anyhow::Result<Self> {
        Self::over(Transport::Tcp, coalition, member, data_dir, bootstrap).await
    }

    /// The same, over this transport.
    pub(crate) async fn over(
        transport: Transport,
        coalition: &Coalition,
        member: &Member,
        data_dir: PathBuf,
        bootstrap: Vec<(PublicKey, Address)>,
    ) -> anyhow::Result<Self> {
        let (listen, memory) = match transport {
            Transport::Tcp => ("/ip4/127.0.0.1/tcp/0", false),
            Transport::Memory => ("/memory/0", true),
        };
        let listen = vec![Address::parse(listen)?.0];
        let network = NetworkConfig { listen, memory, ..NetworkConfig::default() };
        Self::begin(coalition, member, data_dir, bootstrap, network, Tuning::default()).await
    }

    /// The same, with what its tools are given.
    pub(crate) async fn serving(
        coalition: &Coalition,
        member: &Member,
        data_dir: PathBuf,
        outlets: Outlets,
    ) -> anyhow::Result<Self> {
        let network = NetworkConfig {
            listen: vec![Address::parse("/ip4/127.0.0.1/tcp/0")?.0],
            ..NetworkConfig::default()
        };
        Self::with(coalition, member, data_dir, Vec::new(), network, Tuning::default(), outlets).await
    }

    /// The same, at another pace.
    pub(crate) async fn tuned(
        coalition: &Coalition,
        member: &Member,
        data_dir: PathBuf,
        bootstrap: Vec<(PublicKey, Address)>,
        tuning: Tuning,
    ) -> anyhow::Result<Self> {
        let listen = vec![Address::parse("/ip4/127.0.0.1/tcp/0")?.0];
        let network = NetworkConfig { listen, ..NetworkConfig::default() };
        Self::begin(coalition, member, data_dir, bootstrap, network, tuning).await
    }

    async fn begin(
        coalition: &Coalition,
        member: &Member,
        data_dir: PathBuf,
        bootstrap: Vec<(PublicKey, Address)>,
        network: NetworkConfig,
        tuning: Tuning,
    ) -> anyhow::Result<Self> {
        Self::with(coalition, member, data_dir, bootstrap, network, tuning, Outlets::default()).await
    }

    async fn with(
        coalition: &Coalition,
        member: &Member,
        data_dir: PathBuf,
        bootstrap: Vec<(PublicKey, Address)>,
        network: NetworkConfig,
        tuning: Tuning,
        outlets: Outlets,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&data_dir)?;
        let settings = Settings {
            data_dir: data_dir.clone(),
            network,
            circuits: Circuits::default(),
            bootstrap,
            api: ServerConfig {
                listen: vec![([127, 0, 0, 1], 0).into()],
                requests: Rate { per_second: 1e6, burst: 1e6 },
                ..ServerConfig::default()
            },
            defaults: Defaults { tlp: Tlp::Amber, purpose: None },
            guards: belfry_node::config::Guards::default(),
            outlets,
            sources: Vec::new(),
            // Stores that a benchmark fills with rows made up read as damaged.
            tuning: Tuning { scrub: false, ..tuning },
        };
        let daemon = Daemon::start(coalition.enrolment(member), settings).await?;
        Ok(Self { daemon, data_dir, key: member.certificate.node })
    }

    /// Where others reach it.
    pub(crate) async fn address(&self) -> anyhow::Result<(PublicKey, Address)> {
        for _ in 0..1000 {
            if let Some(address) = self.daemon.listening().await.into_iter().next() {
                return Ok((self.key, address));
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        anyhow::bail!("a node does not listen")
    }

    /// A client of its API.
    pub(crate) async fn client(&self) -> anyhow::Result<crate::http::Client> {
        let address = self.daemon.api().first().copied();
        let address = address.ok_or_else(|| anyhow::anyhow!("a node without an API"))?;
        crate::http::Client::connect(address, &self.data_dir).await
    }
}
