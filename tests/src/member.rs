//! One member's node: its keys, its folder, and the daemon while it runs.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};
use belfry_node::{
    api::server::ServerConfig,
    config::{Config, Guards},
    daemon::{Circuits, Daemon, Outlets, Settings, Tuning},
    keys::{Enrolment, MemberKeys, enrolment},
    network::{Address, Network, NetworkConfig},
    publish::Defaults,
    store::{LogRow, OpenError, Store},
};
use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{self, RecipientContext, open_block},
    id::{GroupId, MemberId, MessageId, Serial},
    schema::{CutPoint, LogFile, Record},
    stix::marking::Tlp,
    topic::Topic,
    trust::{file, roster::Roster},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Bundle, Coalition,
    http::Client,
    logs,
    publish::Publish,
    wait::{that, until},
};

/// How nodes reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// QUIC on UDP, what members use.
    Quic,
    /// TCP with Noise and yamux, the fallback.
    Tcp,
    /// Both.
    Both,
    /// It listens nowhere: nobody can dial it.
    Outbound,
}

impl Transport {
    /// Any free port of the loopback address, if it listens at all.
    ///
    /// # Errors
    /// Never, as long as the network speaks both.
    pub fn loopback(self) -> anyhow::Result<Vec<Address>> {
        let (quic, tcp) = ("/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0");
        let texts: &[&str] = match self {
            Self::Quic => &[quic],
            Self::Tcp => &[tcp],
            Self::Both => &[quic, tcp],
            Self::Outbound => &[],
        };
        texts.iter().map(|text| Ok(Address::parse(text)?.0)).collect()
    }
}

/// A certified node. Its folder goes with it.
pub struct Member {
    name: String,
    keys: MemberKeys,
    id: MemberId,
    serial: Serial,
    record: Record,
    folder: TempDir,
    transport: Transport,
    network: NetworkConfig,
    tuning: Tuning,
    outlets: Outlets,
    guards: Guards,
    joined: Option<LogFile>,
    daemon: Option<Daemon>,
}

impl Member {
    pub(crate) fn new(
        name: &str,
        keys: MemberKeys,
        id: MemberId,
        serial: Serial,
        record: Record,
    ) -> anyhow::Result<Self> {
        logs::start();
        Ok(Self {
            name: name.to_owned(),
            keys,
            id,
            serial,
            record,
            folder: tempfile::tempdir()?,
            transport: Transport::Quic,
            network: NetworkConfig::default(),
            tuning: Tuning::default(),
            outlets: Outlets::default(),
            guards: Guards::default(),
            joined: None,
            daemon: None,
        })
    }

    /// Speaks over this transport, from the next start on. QUIC unless said.
    #[must_use]
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Has another network than an operator's node, from the next start on. Where it says nothing of listening it listens as
    /// [`Self::over`] has it.
    #[must_use]
    pub fn networked(mut self, change: impl FnOnce(&mut NetworkConfig)) -> Self {
        change(&mut self.network);
        self
    }

    /// Waits for other times than an operator's node, from the next start on.
    #[must_use]
    pub fn tuned(mut self, change: impl FnOnce(&mut Tuning)) -> Self {
        change(&mut self.tuning);
        self
    }

    /// Goes by these tables of `belfry.toml` in what it gives tools and what it asks before it publishes, from the next start
    /// on.
    ///
    /// # Errors
    /// What the file would be refused for.
    pub fn configured(mut self, toml: &str) -> anyhow::Result<Self> {
        let settings = Settings::from_config(&Config::parse(toml, Path::new("belfry.toml"))?)?;
        (self.outlets, self.guards) = (settings.outlets, settings.guards);
        Ok(self)
    }

    /// Waits until its status warns of something that contains `text`.
    ///
    /// # Errors
    /// As [`until`].
    pub async fn warns(&self, text: &str) -> anyhow::Result<()> {
        until(&format!("{} to warn of {text:?}", self.name), async || {
            let status = self.status().await.map_err(|error| format!("{error:#}"))?;
            let warned = status.get("warnings").is_some_and(|all| all.to_string().contains(text));
            that(warned, || status.to_string())
        })
        .await
    }

    /// The organisation's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The organisation's id.
    #[must_use]
    pub const fn id(&self) -> MemberId {
        self.id
    }

    /// Its certificate.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// Its node key.
    #[must_use]
    pub fn node(&self) -> PublicKey {
        self.keys.node.public()
    }

    /// Its secrets, for what a story signs or opens by hand.
    #[must_use]
    pub const fn keys(&self) -> &MemberKeys {
        &self.keys
    }

    /// The record that issued its certificate.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Its data folder.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Joins with the coalition's log of now, as `belfry join` would, and runs; `peers` are its bootstrap nodes.
    ///
    /// # Errors
    /// What keeps it from joining or starting.
    pub async fn start(&mut self, coalition: &Coalition, peers: &[&Self]) -> anyhow::Result<()> {
        self.join(coalition, coalition.log().clone())?;
        self.run(peers).await
    }

    /// Joins with this log file.
    ///
    /// # Errors
    /// What `belfry join` would say.
    pub fn join(&mut self, coalition: &Coalition, log: LogFile) -> anyhow::Result<()> {
        enrolment::verify(coalition.id(), &log, &self.record, &self.keys.public())?;
        self.joined = Some(log);
        Ok(())
    }

    /// Runs on what is in its folder and the log it joined with.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn run(&mut self, peers: &[&Self]) -> anyhow::Result<()> {
        let mut bootstrap = Vec::new();
        for peer in peers {
            bootstrap.push((peer.node(), peer.address().await?));
        }
        self.run_to(bootstrap).await
    }

    /// [`Self::run`] with these bootstrap nodes, wherever they run.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn run_to(&mut self, bootstrap: Vec<(PublicKey, Address)>) -> anyhow::Result<()> {
        ensure!(self.daemon.is_none(), "{} runs already", self.name);
        let mut network = self.network.clone();
        if network.listen.is_empty() {
            network.listen = self.transport.loopback()?;
        }
        let settings = Settings {
            data_dir: self.folder.path().to_owned(),
            network,
            bootstrap,
            circuits: Circuits::default(),
            api: ServerConfig {
                listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
                ..ServerConfig::default()
            },
            defaults: Defaults { tlp: Tlp::AmberStrict, purpose: None },
            guards: self.guards.clone(),
            outlets: self.outlets.clone(),
            sources: Vec::new(),
            tuning: self.tuning.clone(),
        };
        self.daemon = Some(self.started(&settings).await?);
        Ok(())
    }

    /// The thread that writes lets go of the folder a moment after the daemon is gone; the system would wait for
    /// the process.
    async fn started(&self, settings: &Settings) -> anyhow::Result<Daemon> {
        until(&format!("{}'s folder to be free", self.name), async || {
            let started = match self.enrolment() {
                Ok(enrolment) => Daemon::start(enrolment, settings.clone()).await,
                Err(error) => Err(error),
            };
            match started {
                Err(error) if matches!(error.downcast_ref(), Some(OpenError::InUse { .. })) => {
                    Err(error.to_string())
                }
                other => Ok(other),
            }
        })
        .await?
    }

    fn enrolment(&self) -> anyhow::Result<Enrolment> {
        let log = self.joined.clone().with_context(|| format!("{} has not joined", self.name))?;
        let keys = self.keys.clone();
        let coalition = enrolment::fold(&log)?.coalition();
        let (roster, certificate) = enrolment::verify(coalition, &log, &self.record, &keys.public())?;
        Ok(Enrolment { keys, certificate, record: self.record.clone(), log, roster })
    }

    /// Stops the node and waits until its folder is free.
    pub async fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.shutdown().await;
        }
    }

    /// Stops, and runs again on the same folder.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn restart(&mut self, peers: &[&Self]) -> anyhow::Result<()> {
        self.stop().await;
        self.run(peers).await
    }

    /// The running daemon.
    ///
    /// # Errors
    /// It does not run.
    pub fn daemon(&self) -> anyhow::Result<&Daemon> {
        self.daemon.as_ref().with_context(|| format!("{} does not run", self.name))
    }

    /// Its store.
    ///
    /// # Errors
    /// It does not run.
    pub fn store(&self) -> anyhow::Result<&Store> {
        Ok(self.daemon()?.store())
    }

    /// Its network.
    ///
    /// # Errors
    /// It does not run.
    pub fn network(&self) -> anyhow::Result<&Network> {
        Ok(self.daemon()?.network())
    }

    /// The roster it goes by now.
    ///
    /// # Errors
    /// It does not run.
    pub fn roster(&self) -> anyhow::Result<std::sync::Arc<Roster>> {
        Ok(self.daemon()?.roster().snapshot())
    }

    /// Where others reach it.
    ///
    /// # Errors
    /// It does not run, or does not listen.
    pub async fn address(&self) -> anyhow::Result<Address> {
        let daemon = self.daemon()?;
        until(&format!("{} to listen", self.name), async || {
            daemon.listening().await.into_iter().next().ok_or_else(|| "no address".to_owned())
        })
        .await
    }

    /// The API with the token of its own command line: sees everything the node may show.
    ///
    /// # Errors
    /// It does not run.
    pub fn api(&self) -> anyhow::Result<Client> {
        let token = std::fs::read_to_string(self.folder.path().join("cli.token"))?;
        self.api_with(token.trim())
    }

    /// The API with this token.
    ///
    /// # Errors
    /// It does not run.
    pub fn api_with(&self, token: &str) -> anyhow::Result<Client> {
        let address = self.daemon()?.api().first().copied().context("the API listens nowhere")?;
        Ok(Client::new(address, token.to_owned()))
    }

    /// Makes a token that reads these groups up to this marking; RED only if `red`.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn token(&self, name: &str, groups: &[&str], tlp: &str, red: bool) -> anyhow::Result<String> {
        let wanted = json!({ "name": name, "read": groups, "max_tlp": tlp, "red": red }).to_string();
        let answer =
            self.api()?.post("/api/v1/tokens", &[("content-type", "application/json")], wanted).await?;
        let made = answer.expect(201)?;
        made.get("token").and_then(Value::as_str).map(str::to_owned).context("no token in the answer")
    }

    /// Begins to publish a bundle in a group.
    #[must_use]
    pub fn publish<'a>(&'a self, group: &str, bundle: &'a Bundle) -> Publish<'a> {
        Publish::new(self, group, bundle)
    }

    /// `GET /api/v1/status`.
    ///
    /// # Errors
    /// No answer.
    pub async fn status(&self) -> anyhow::Result<Value> {
        self.api()?.get("/api/v1/status").await?.expect(200)
    }

    /// STIX ids it shows in a group, in the order they were added.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn ids(&self, group: &str) -> anyhow::Result<Vec<String>> {
        self.api()?.ids(group).await
    }

    /// Waits until it shows every one of these objects in a group.
    ///
    /// # Errors
    /// As [`until`], with what it showed.
    pub async fn shows(&self, group: &str, ids: &[String]) -> anyhow::Result<()> {
        until(&format!("{} to show {} objects in {group}", self.name, ids.len()), async || {
            let shown = self.ids(group).await.map_err(|error| format!("{error:#}"))?;
            let missing = ids.iter().filter(|id| !shown.contains(id)).count();
            let status = if missing == 0 { Value::Null } else { self.status().await.unwrap_or_default() };
            that(missing == 0, || format!("{missing} of {} missing; {status}", ids.len()))
        })
        .await
    }

    /// Waits until it stores these messages, opened or not.
    ///
    /// # Errors
    /// As [`until`].
    pub async fn stores(&self, messages: &[MessageId]) -> anyhow::Result<()> {
        let store = self.store()?;
        until(&format!("{} to store {} messages", self.name, messages.len()), async || {
            let missing =
                messages.iter().filter(|message| !matches!(store.has_message(**message), Ok(true))).count();
            that(missing == 0, || format!("{missing} missing"))
        })
        .await
    }

    /// Waits until its admin log is the coalition's.
    ///
    /// # Errors
    /// As [`until`].
    pub async fn follows(&self, coalition: &Coalition) -> anyhow::Result<()> {
        let wanted = coalition.roster().version();
        until(&format!("{} to follow the log to {wanted}", self.name), async || {
            let have = self.roster().map_err(|error| error.to_string())?.version();
            that(have == wanted, || have.to_string())
        })
        .await
    }

    /// Hands it the coalition's log as a file, as `belfry import-log` does.
    ///
    /// # Errors
    /// It refuses the file.
    pub async fn import(&self, coalition: &Coalition) -> anyhow::Result<Value> {
        let answer = self.api()?.post("/api/v1/log", &[], coalition.log_text()).await?;
        answer.expect(200)
    }

    /// [`Self::import`] of any text.
    ///
    /// # Errors
    /// No answer.
    pub async fn import_text(&self, log: &LogFile) -> anyhow::Result<crate::http::Answer> {
        self.api()?.post("/api/v1/log", &[], file::write_log(log)).await
    }

    /// Waits until it admits `other`, is admitted there, and knows its topics.
    ///
    /// # Errors
    /// As [`until`].
    pub async fn meets(&self, other: &Self) -> anyhow::Result<()> {
        self.meets_node(&other.node(), &other.name).await
    }

    pub(crate) async fn meets_node(&self, node: &PublicKey, name: &str) -> anyhow::Result<()> {
        let network = self.network()?;
        until(&format!("{} to meet {name}", self.name), async || {
            let peers = network.peers().await.map_err(|error| error.to_string())?;
            let met = peers.iter().any(|peer| {
                peer.node == *node && peer.admitted && !peer.held && peer.topics.contains(&Topic::Admin)
            });
            that(met, || format!("{peers:?}"))
        })
        .await
    }

    /// Waits until no connection with `node` is left.
    ///
    /// # Errors
    /// As [`until`].
    pub async fn loses(&self, node: &PublicKey) -> anyhow::Result<()> {
        let network = self.network()?;
        until(&format!("{} to lose a peer", self.name), async || {
            let peers = network.peers().await.map_err(|error| error.to_string())?;
            that(peers.iter().all(|peer| peer.node != *node), || format!("{peers:?}"))
        })
        .await
    }

    /// Logs of a group as it holds them.
    ///
    /// # Errors
    /// The store.
    pub fn logs(&self, group: GroupId) -> anyhow::Result<Vec<LogRow>> {
        Ok(self.store()?.logs(group))
    }

    /// What an admin needs to cut `other` at its last messages, as this node knows them: `belfry heads`.
    ///
    /// # Errors
    /// The store.
    pub fn cut_of(&self, other: &Self) -> anyhow::Result<Vec<CutPoint>> {
        let mut cut = Vec::new();
        for group in self.roster()?.charter().groups() {
            cut.extend(self.logs(group.id)?.into_iter().filter(|log| log.serial == other.serial).map(
                |log| CutPoint {
                    log: log.log.to_vec(),
                    sequence: log.height.get(),
                    message: log.head.to_vec(),
                },
            ));
        }
        Ok(cut)
    }

    /// Encoded envelopes of every log of a group, as a thief of the database or a carrier has them.
    ///
    /// # Errors
    /// The store.
    pub fn ciphertext(&self, group: GroupId) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut all = Vec::new();
        for log in self.logs(group)? {
            let first = belfry_proto::id::Sequence::new(1);
            all.extend(self.store()?.envelopes(group, log.log, first, log.top, usize::MAX)?);
        }
        if all.is_empty() {
            bail!("{} holds no message of group {group}", self.name);
        }
        Ok(all)
    }

    /// Whether this node could read an envelope that somebody handed it, with every key it has.
    ///
    /// # Errors
    /// Not an envelope, or the store.
    pub fn opens(&self, envelope: &[u8]) -> anyhow::Result<bool> {
        let admitted = envelope::decode(envelope)?.trusted();
        let header = admitted.header();
        let key = header.key_id().context("a withdrawal seals nothing")?;
        if let Some(block) = admitted.recipients_block() {
            let context = RecipientContext::of(header);
            return Ok(open_block(&self.keys.kem, context, block, key).is_some());
        }
        let held = self.store()?.key(key)?.and_then(|row| row.content_key());
        Ok(held.is_some_and(|key| admitted.open(&key).is_ok()))
    }
}
