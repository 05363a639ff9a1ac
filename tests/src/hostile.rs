//! A peer that keeps no rule: it holds a node key, certified or not, and says what a story tells it to.
//!
//! It uses the node's own network adapter, so its frames are well formed; what they hold is anyone's. It answers
//! hello as one who knows no less than the asker, and sync by the story's script. Keys that are pushed to it it says to have
//! kept, so that a publisher whom it alone listens to goes on at once.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, anyhow};
use belfry_node::{
    clock,
    network::{self, Address, Asked, Gossip, Inbound, Network, NetworkConfig, RequestError},
};
use belfry_proto::{
    crypto::sign::{PublicKey, SigningKey},
    id::{CoalitionId, GroupId, KeyId},
    schema::{
        Greet, Greeted, HelloRequest, HelloResponse, KeysRequest, KeysResponse, Record, Refusal,
        RosterVersion, SyncRequest, SyncResponse, hello_request, hello_response, sync_request, sync_response,
    },
    topic::Topic,
    verdict::Verdict,
};

use crate::{
    Coalition, Member, Transport,
    wait::{that, until},
};

type Script = dyn Fn(SyncRequest) -> SyncResponse + Send + Sync;

/// What it says of its admin log, and the record it shows as its head.
type Claimed = (RosterVersion, Option<Record>);

/// The peer.
pub struct Hostile {
    network: Network,
    coalition: CoalitionId,
    record: Option<Record>,
    roster: RosterVersion,
    claimed: Arc<Mutex<Option<Claimed>>>,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    script: Arc<Mutex<Arc<Script>>>,
    takes_keys: Arc<AtomicBool>,
}

impl Hostile {
    /// Takes the place of `member`'s node, which must not run: with its node key and certificate.
    ///
    /// # Errors
    /// The network does not start.
    pub async fn as_member(member: &Member, coalition: &Coalition) -> anyhow::Result<Self> {
        Self::start(&member.keys().node, Some(member.record().clone()), coalition)
    }

    /// A peer without certificate.
    ///
    /// # Errors
    /// The network does not start.
    pub async fn stranger(coalition: &Coalition) -> anyhow::Result<Self> {
        Self::start(&SigningKey::generate(&mut rand::rng()), None, coalition)
    }

    fn start(node: &SigningKey, record: Option<Record>, coalition: &Coalition) -> anyhow::Result<Self> {
        let config = NetworkConfig { listen: Transport::Quic.loopback()?, ..NetworkConfig::default() };
        let (network, inbound) = network::start(&config, node, coalition.id())?;
        let (heard, claimed) = (Arc::default(), Arc::default());
        let refused: Arc<Script> = Arc::new(|_| refused(Refusal::Unknown));
        let script = Arc::new(Mutex::new(refused));
        let takes_keys = Arc::new(AtomicBool::new(true));
        let roster: RosterVersion = coalition.roster().version().into();
        let answering = Answering {
            network: network.clone(),
            heard: Arc::clone(&heard),
            script: Arc::clone(&script),
            roster: roster.clone(),
            claimed: Arc::clone(&claimed),
            takes_keys: Arc::clone(&takes_keys),
        };
        tokio::spawn(answering.run(inbound));
        Ok(Self { network, coalition: coalition.id(), record, roster, claimed, heard, script, takes_keys })
    }

    /// Its node key.
    #[must_use]
    pub fn node(&self) -> PublicKey {
        self.network.node()
    }

    /// Its network, to look at connections.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Answers sync by `script` from now on.
    pub fn answer_sync(&self, script: impl Fn(SyncRequest) -> SyncResponse + Send + Sync + 'static) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// Takes no key that is pushed to it from now on.
    pub fn takes_no_keys(&self) {
        self.takes_keys.store(false, Ordering::Relaxed);
    }

    /// Says from now on, when greeted, that its admin log stands here.
    pub fn claims(&self, version: RosterVersion) {
        *self.claimed.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, None));
    }

    /// The same, and shows the record that lies there. It serves none.
    pub fn shows(&self, version: RosterVersion, head: Record) {
        *self.claimed.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, Some(head)));
    }

    /// Every gossiped message it was handed so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until gossip brought what `wanted` picks.
    ///
    /// # Errors
    /// As [`until`].
    pub async fn hears(&self, wanted: impl Fn(&[u8]) -> bool) -> anyhow::Result<Vec<u8>> {
        until("gossip to reach the hostile peer", async || {
            let heard = self.heard();
            let count = heard.len();
            heard.into_iter().find(|bytes| wanted(bytes)).ok_or_else(|| format!("{count} other messages"))
        })
        .await
    }

    /// Listens to these groups' topics and the admin topic.
    ///
    /// # Errors
    /// The network has stopped.
    pub async fn subscribe(&self, groups: &[GroupId]) -> anyhow::Result<()> {
        for topic in groups.iter().copied().map(Topic::Group).chain([Topic::Admin]) {
            self.network.subscribe(topic).await?;
        }
        Ok(())
    }

    /// Lets these nodes in, dials one of them, and waits until a connection is up, admitted there or not.
    ///
    /// # Errors
    /// No connection.
    pub async fn dial(&self, target: &Member) -> anyhow::Result<()> {
        self.dial_at(target.node(), &target.address().await?).await.with_context(|| target.name().to_owned())
    }

    async fn dial_at(&self, target: PublicKey, address: &Address) -> anyhow::Result<()> {
        let mut allowed: BTreeSet<PublicKey> = self.network.peers().await?.iter().map(|p| p.node).collect();
        allowed.insert(target);
        self.network.set_allowed(allowed).await?;
        until("a connection with the target", async || {
            let peers = self.network.peers().await.map_err(|error| error.to_string())?;
            if peers.iter().any(|peer| peer.node == target) {
                return Ok(());
            }
            let dialled = self.network.dial(target, vec![address.clone()]).await;
            Err(format!("{dialled:?}"))
        })
        .await
    }

    /// [`Self::dial`], hello by hand, and waits until the target admits it and knows its topics.
    ///
    /// # Errors
    /// It is not admitted.
    pub async fn join(&self, target: &Member) -> anyhow::Result<()> {
        self.join_at(target.node(), &target.address().await?)
            .await
            .with_context(|| target.name().to_owned())?;
        target.meets_node(&self.node(), "the hostile peer").await
    }

    /// [`Self::join`] of a node that runs in another process, as far as this side can tell.
    ///
    /// # Errors
    /// It is not admitted.
    pub async fn join_at(&self, target: PublicKey, address: &Address) -> anyhow::Result<()> {
        self.network.subscribe(Topic::Admin).await?;
        self.dial_at(target, address).await?;
        let greet = hello_request::Request::Greet(self.greeting(self.record.clone()));
        self.network.hello(&target, HelloRequest { request: Some(greet) }).await.context("hello")?;
        until("the target to admit the hostile peer", async || {
            let peers = self.network.peers().await.map_err(|error| error.to_string())?;
            let met = peers.iter().any(|p| p.node == target && !p.held && p.topics.contains(&Topic::Admin));
            that(met, || format!("{peers:?}"))
        })
        .await
    }

    /// A hello with its own certificate.
    ///
    /// # Errors
    /// No answer.
    pub async fn greet(&self, target: &Member) -> anyhow::Result<HelloResponse> {
        self.greet_as(target, self.record.clone()).await
    }

    /// A hello that shows this certificate, whoever's it is.
    ///
    /// # Errors
    /// No answer.
    pub async fn greet_as(&self, target: &Member, record: Option<Record>) -> anyhow::Result<HelloResponse> {
        self.hello(target, hello_request::Request::Greet(self.greeting(record))).await
    }

    fn greeting(&self, certificate: Option<Record>) -> Greet {
        Greet {
            coalition: self.coalition.to_vec(),
            certificate,
            roster: Some(self.roster.clone()),
            charter_version: 1,
            now: clock::now().as_micros(),
            your_logs: Vec::new(),
        }
    }

    /// Any hello request.
    ///
    /// # Errors
    /// No answer.
    pub async fn hello(
        &self,
        target: &Member,
        request: hello_request::Request,
    ) -> anyhow::Result<HelloResponse> {
        let request = HelloRequest { request: Some(request) };
        self.network.hello(&target.node(), request).await.context("hello")
    }

    /// Gossips bytes on a topic.
    ///
    /// # Errors
    /// Nobody subscribes to it, or the network refuses to send them.
    pub async fn gossip(&self, topic: Topic, bytes: &[u8]) -> anyhow::Result<()> {
        self.network.publish(topic, bytes.to_vec()).await.map_err(|error| anyhow!("gossip: {error}"))
    }

    /// Asks for keys.
    ///
    /// # Errors
    /// No answer.
    pub async fn ask_keys(
        &self,
        target: &Member,
        group: GroupId,
        keys: &[KeyId],
    ) -> Result<KeysResponse, RequestError> {
        let key_ids = keys.iter().map(KeyId::to_vec).collect();
        let request = KeysRequest { group: group.get(), key_ids, pushed: Vec::new() };
        self.network.keys(&target.node(), request).await
    }

    /// Asks any sync question.
    ///
    /// # Errors
    /// No answer.
    pub async fn ask_sync(
        &self,
        target: &Member,
        request: sync_request::Request,
    ) -> Result<SyncResponse, RequestError> {
        self.network.sync(&target.node(), SyncRequest { request: Some(request) }).await
    }

    /// What the target's gossip layer thinks of it; `None` if they are not connected.
    ///
    /// # Errors
    /// The target does not run.
    pub async fn score_at(&self, target: &Member) -> anyhow::Result<Option<f64>> {
        let peers = target.network()?.peers().await?;
        Ok(peers.iter().find(|peer| peer.node == self.node()).map(|peer| peer.score))
    }

    /// Closes its connections.
    pub async fn stop(self) {
        self.network.shutdown().await;
    }
}

/// A refused sync request.
#[must_use]
pub fn refused(refusal: Refusal) -> SyncResponse {
    SyncResponse { response: Some(sync_response::Response::Refused(refusal.into())) }
}

struct Answering {
    network: Network,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    script: Arc<Mutex<Arc<Script>>>,
    roster: RosterVersion,
    claimed: Arc<Mutex<Option<Claimed>>>,
    takes_keys: Arc<AtomicBool>,
}

impl Answering {
    async fn run(self, mut inbound: Inbound) {
        loop {
            tokio::select! {
                Some(gossip) = inbound.gossip.recv() => self.hear(gossip).await,
                Some(asked) = inbound.hello.recv() => self.greeted(asked),
                Some(asked) = inbound.sync.recv() => {
                    let script = Arc::clone(&*self.script.lock().unwrap_or_else(PoisonError::into_inner));
                    asked.reply.send(script(asked.request));
                }
                Some(asked) = inbound.keys.recv() => {
                    let ids = asked.request.pushed.iter().map(|grant| grant.key_id.clone());
                    let stored = if self.takes_keys.load(Ordering::Relaxed) { ids.collect() } else { Vec::new() };
                    asked.reply.send(KeysResponse { stored, ..KeysResponse::default() });
                }
                Some(_) = inbound.links.recv() => {}
                else => return,
            }
        }
    }

    /// Keeps everything, forwards nothing.
    async fn hear(&self, gossip: Gossip) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(gossip.bytes);
        let _ = self.network.verdict(gossip.ticket, Verdict::Ignore).await;
    }

    fn greeted(&self, asked: Asked<HelloRequest, HelloResponse>) {
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let response = match asked.request.request {
            Some(hello_request::Request::Greet(greet)) => hello_response::Response::Greeted(Greeted {
                head: claimed.as_ref().and_then(|(_, head)| head.clone()),
                roster: claimed
                    .map(|(version, _)| version)
                    .or(greet.roster)
                    .or_else(|| Some(self.roster.clone())),
                charter_version: greet.charter_version,
                now: clock::now().as_micros(),
                admitted: true,
                ..Greeted::default()
            }),
            _ => hello_response::Response::Refused(Refusal::Unknown.into()),
        };
        asked.reply.send(HelloResponse { response: Some(response) });
    }
}
