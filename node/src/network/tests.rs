//! Stories between nodes in one process. Everything waits for events; nothing sleeps to be in step.

mod admission;
mod circuits;
mod gossiping;
mod hostile;
mod requests;
mod supervision;
mod transports;
mod versions;

use std::{collections::BTreeSet, time::Duration};

use belfry_proto::{
    crypto::sign::{PublicKey, SigningKey},
    id::{CoalitionId, GroupId},
    schema::{
        Greet, HelloRequest, HelloResponse, Refusal, SyncRequest, hello_request, hello_response,
        sync_request::Request as SyncAsk,
    },
    topic::Topic,
    verdict::Verdict,
};
use tokio::time::timeout;

use super::*;

const COALITION: CoalitionId = CoalitionId::new([9; 32]);
const TOPIC: Topic = Topic::Group(GroupId::new(5));
/// Longer than anything here takes on a busy machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    network: Network,
    inbound: Inbound,
    address: Address,
    /// Links read while looking for another.
    seen: Vec<Link>,
}

impl Node {
    async fn start(seed: u8) -> Self {
        Self::start_with(seed, "/memory/0", LobbyLimits::default()).await
    }

    async fn start_with(seed: u8, listen: &str, lobby: LobbyLimits) -> Self {
        Self::start_as(seed, listen, NetworkConfig { lobby, ..NetworkConfig::default() }).await
    }

    async fn start_as(seed: u8, listen: &str, config: NetworkConfig) -> Self {
        let config = NetworkConfig { listen: vec![listen.parse().unwrap()], memory: true, ..config };
        let (network, mut inbound) = start(&config, &SigningKey::from_seed(&[seed; 32]), COALITION).unwrap();
        let address = match timeout(PATIENCE, inbound.links.recv()).await.unwrap() {
            Some(Link::Listening(address)) => address,
            other => panic!("{other:?} before listening"),
        };
        Self { network, inbound, address, seen: Vec::new() }
    }

    /// One that nobody can dial; its address is nobody's.
    fn outbound(seed: u8) -> Self {
        let config = NetworkConfig { memory: true, ..NetworkConfig::default() };
        let (network, inbound) = start(&config, &SigningKey::from_seed(&[seed; 32]), COALITION).unwrap();
        Self { network, inbound, address: "/memory/1".parse().unwrap(), seen: Vec::new() }
    }

    fn key(&self) -> PublicKey {
        self.network.node()
    }

    async fn allow(&self, others: &[&Node]) {
        self.network.set_allowed(others.iter().map(|node| node.key()).collect()).await.unwrap();
    }

    async fn dial(&self, other: &Node) {
        let dialling = self.network.dial(other.key(), vec![other.address.clone()]).await.unwrap();
        assert_eq!(dialling, Dialling::Begun);
    }

    /// Waits for a link that `wanted` picks; those passed over stay for later calls.
    async fn link<T>(&mut self, what: &str, wanted: impl Fn(&Link) -> Option<T>) -> T {
        if let Some(at) = self.seen.iter().position(|link| wanted(link).is_some()) {
            return wanted(&self.seen.remove(at)).unwrap();
        }
        let found = timeout(PATIENCE, async {
            loop {
                let link = self.inbound.links.recv().await.expect("the network runs");
                match wanted(&link) {
                    Some(found) => return found,
                    None => self.seen.push(link),
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("no {what} among {:?}", self.seen))
    }

    async fn up(&mut self, other: PublicKey) -> bool {
        self.link("up", |link| match link {
            Link::Up { node, admitted, .. } if *node == other => Some(*admitted),
            _ => None,
        })
        .await
    }

    async fn down(&mut self, other: PublicKey) -> bool {
        self.link("down", |link| match link {
            Link::Down { node, admitted, .. } if *node == other => Some(*admitted),
            _ => None,
        })
        .await
    }

    async fn held(&mut self, other: PublicKey) {
        self.link("held", |link| matches!(link, Link::Held { node } if *node == other).then_some(())).await;
    }

    async fn subscribed(&mut self, other: PublicKey) {
        let is_wanted = |link: &Link| matches!(link, Link::Subscribed { node, .. } if *node == other);
        self.link("subscribed", |link| is_wanted(link).then_some(())).await;
    }

    async fn heard(&mut self) -> Gossip {
        timeout(PATIENCE, self.inbound.gossip.recv()).await.expect("gossip in time").unwrap()
    }

    async fn judge(&self, gossip: Gossip, verdict: Verdict) {
        self.network.verdict(gossip.ticket, verdict).await.unwrap();
    }

    async fn answer_hello(&mut self) -> (PublicKey, bool) {
        let asked = timeout(PATIENCE, self.inbound.hello.recv()).await.expect("hello in time").unwrap();
        asked.reply.send(refused(Refusal::NotCertified));
        (asked.from, asked.admitted)
    }
}

/// Both allow each other, one dials, both are up and subscribed to the topic.
async fn befriend(dialler: &mut Node, listener: &mut Node) {
    dialler.dial(listener).await;
    assert!(dialler.up(listener.key()).await && listener.up(dialler.key()).await);
    dialler.subscribed(listener.key()).await;
    listener.subscribed(dialler.key()).await;
}

async fn pair() -> (Node, Node) {
    let (mut a, mut b) = (Node::start(1).await, Node::start(2).await);
    a.allow(&[&b]).await;
    b.allow(&[&a]).await;
    for node in [&a, &b] {
        node.network.subscribe(TOPIC).await.unwrap();
    }
    befriend(&mut a, &mut b).await;
    (a, b)
}

fn greeting() -> HelloRequest {
    let greet = Greet { coalition: COALITION.to_vec(), now: 1, ..Greet::default() };
    HelloRequest { request: Some(hello_request::Request::Greet(greet)) }
}

fn refused(why: Refusal) -> HelloResponse {
    HelloResponse { response: Some(hello_response::Response::Refused(why.into())) }
}

fn addresses() -> SyncRequest {
    SyncRequest { request: Some(SyncAsk::Addresses(belfry_proto::schema::PullAddresses {})) }
}
