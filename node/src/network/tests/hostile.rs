//! A peer that speaks libp2p but not by our rules.

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{StreamProtocol, Swarm, gossipsub, request_response, swarm};

use super::{
    super::{identity, transport},
    *,
};

/// Writes the bytes it is told to, whatever they are, and returns what comes back.
#[derive(Clone, Default)]
pub(super) struct Raw;

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> std::io::Result<Vec<u8>>
    where
        T: futures::AsyncRead + Unpin + Send,
    {
        let mut all = Vec::new();
        io.read_to_end(&mut all).await?;
        Ok(all)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> std::io::Result<Vec<u8>>
    where
        T: futures::AsyncRead + Unpin + Send,
    {
        let mut all = Vec::new();
        io.read_to_end(&mut all).await?;
        Ok(all)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> std::io::Result<()>
    where
        T: futures::AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> std::io::Result<()>
    where
        T: futures::AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }
}

pub(super) type RawRequests = request_response::Behaviour<Raw>;

pub(super) fn hostile<B: swarm::NetworkBehaviour>(seed: u8, behaviour: B) -> (PublicKey, Swarm<B>) {
    let key = SigningKey::from_seed(&[seed; 32]);
    let identity = identity::keypair(&key).unwrap();
    let settings = swarm::Config::with_tokio_executor().with_idle_connection_timeout(PATIENCE);
    let (stack, _) = transport::build(&identity, true).unwrap();
    (key.public(), Swarm::new(stack, behaviour, identity.public().to_peer_id(), settings))
}

pub(super) fn raw(seed: u8, path: &'static str) -> (PublicKey, Swarm<RawRequests>) {
    let protocols = [(StreamProtocol::new(path), request_response::ProtocolSupport::Full)];
    hostile(seed, RawRequests::new(protocols, request_response::Config::default()))
}

/// Sends each frame and waits for what becomes of it.
async fn outcomes(swarm: &mut Swarm<RawRequests>, host: &Node, frames: Vec<Vec<u8>>) -> Vec<Option<Vec<u8>>> {
    let peer = identity::peer_id(&host.key());
    let mut outcomes = Vec::new();
    for frame in frames {
        let addresses = vec![host.address.multiaddr().clone()];
        swarm.behaviour_mut().send_request_with_addresses(&peer, frame, addresses);
        let outcome = timeout(PATIENCE, async {
            loop {
                match swarm.select_next_some().await {
                    swarm::SwarmEvent::Behaviour(request_response::Event::Message {
                        message: request_response::Message::Response { response, .. },
                        ..
                    }) => return Some(response),
                    swarm::SwarmEvent::Behaviour(request_response::Event::OutboundFailure { .. }) => {
                        return None;
                    }
                    _ => {}
                }
            }
        });
        outcomes.push(outcome.await.unwrap());
    }
    outcomes
}

fn framed(len: u32, body: &[u8]) -> Vec<u8> {
    [&len.to_be_bytes(), body].concat()
}

fn is_unanswered(outcome: &Option<Vec<u8>>) -> bool {
    outcome.as_ref().is_none_or(Vec::is_empty)
}

#[tokio::test]
async fn frames_that_break_the_rules_are_refused_and_nobody_hears_of_them() {
    let mut host = Node::start(2).await;
    let (_, mut swarm) = raw(1, "/belfry/hello/1");
    let frames = vec![
        framed(u32::MAX, b""),
        framed(512 * 1024, &vec![0; 512 * 1024]),
        // Not protobuf, then an unknown field.
        framed(3, &[0xff; 3]),
        framed(2, &[0x78, 1]),
        // Promises more than it brings.
        framed(10, &[0; 3]),
        b"GET".to_vec(),
    ];
    let outcomes = outcomes(&mut swarm, &host, frames).await;
    assert!(outcomes.iter().all(is_unanswered), "{outcomes:?}");
    assert!(host.inbound.hello.try_recv().is_err());
    assert_eq!(host.network.counters().snapshot().frames_refused, 4);
    // The connection is still good for a proper guest.
    assert_eq!(host.network.peers().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_stranger_cannot_reach_the_gated_protocols() {
    let mut host = Node::start(2).await;
    for path in ["/belfry/sync/1", "/belfry/sync/2", "/belfry/keys/1"] {
        let (_, mut swarm) = raw(1, path);
        assert_eq!(outcomes(&mut swarm, &host, vec![framed(0, b"")]).await, [None], "{path}");
    }
    assert!(host.inbound.sync.try_recv().is_err() && host.inbound.keys.try_recv().is_err());
}

#[tokio::test]
async fn a_sync_request_over_its_size_is_refused_to_members_too() {
    let mut host = Node::start(2).await;
    let (key, mut swarm) = raw(1, "/belfry/sync/1");
    host.network.set_allowed(BTreeSet::from([key])).await.unwrap();
    let outcomes = outcomes(&mut swarm, &host, vec![framed(1025, &[0; 1025])]).await;
    assert!(is_unanswered(&outcomes[0]));
    assert!(host.inbound.sync.try_recv().is_err());
}

fn gossiper(seed: u8) -> (PublicKey, Swarm<gossipsub::Behaviour>) {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Anonymous)
        .message_id_fn(|message| gossipsub::MessageId::new(&message.data))
        .max_transmit_size(1 << 20)
        .build()
        .unwrap();
    hostile(seed, gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Anonymous, config).unwrap())
}

async fn connect_gossiper(swarm: &mut Swarm<gossipsub::Behaviour>, host: &Node) {
    let peer = identity::peer_id(&host.key());
    let address = host.address.multiaddr().clone();
    swarm.dial(swarm::dial_opts::DialOpts::peer_id(peer).addresses(vec![address]).build()).unwrap();
    let subscribed = async {
        while !matches!(
            swarm.select_next_some().await,
            swarm::SwarmEvent::Behaviour(gossipsub::Event::Subscribed { .. })
        ) {}
    };
    timeout(PATIENCE, subscribed).await.unwrap();
}

/// One length-delimited protobuf field.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &prefixed(body)].concat()
}

fn prefixed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::try_from(body.len()).unwrap(), &mut out);
    out.extend(body);
    out
}

/// A gossipsub frame with one message.
fn published(topic: Topic, data: &[u8]) -> Vec<u8> {
    let message = [field(2, data), field(4, topic.wire_name(COALITION).as_bytes())].concat();
    prefixed(&field(2, &message))
}

/// Frames on one hand-written gossipsub stream to a host that allows their sender; what the host hears.
async fn heard_from_raw_gossip(host: &mut Node, frames: Vec<Vec<u8>>) -> Gossip {
    let (key, mut swarm) = raw(1, "/meshsub/1.1.0");
    host.network.set_allowed(BTreeSet::from([key])).await.unwrap();
    host.network.subscribe(TOPIC).await.unwrap();
    let (peer, addresses) = (identity::peer_id(&host.key()), vec![host.address.multiaddr().clone()]);
    swarm.behaviour_mut().send_request_with_addresses(&peer, frames.concat(), addresses);
    tokio::select! {
        heard = host.heard() => heard,
        () = async { loop { swarm.select_next_some().await; } } => unreachable!(),
    }
}

/// gossipsub would keep messages on topics nobody subscribed to for fifteen seconds, at any rate they come.
#[tokio::test]
async fn messages_on_foreign_topics_are_turned_away_at_the_door() {
    let mut host = Node::start(2).await;
    let foreign = Topic::Group(GroupId::new(99));
    let mut frames: Vec<_> = (0..10_u8).map(|n| published(foreign, &[n; 1000])).collect();
    frames.push(published(TOPIC, b"ours"));
    assert_eq!(heard_from_raw_gossip(&mut host, frames).await.bytes, b"ours");
    let counts = host.network.counters().snapshot();
    assert_eq!((counts.gossip_unwanted, counts.gossip_received), (10, 1));
}

/// libp2p's sender puts more ids into one frame than libp2p's receiver takes by default, and the receiver
/// then drops the stream.
#[tokio::test]
async fn a_full_list_of_ids_does_not_break_the_stream() {
    let mut host = Node::start(2).await;
    let topic = field(1, TOPIC.wire_name(COALITION).as_bytes());
    let ids = (0..limits::CONTROL_IDS).flat_map(|n| field(2, &[&n.to_be_bytes()[..], &[0; 24]].concat()));
    let ihave = [topic, ids.collect()].concat();
    let control = prefixed(&field(3, &field(1, &ihave)));
    assert!(control.len() > 64 * 1024);
    let frames = vec![control, published(TOPIC, b"after")];
    assert_eq!(heard_from_raw_gossip(&mut host, frames).await.bytes, b"after");
}

#[tokio::test]
async fn three_invalid_messages_and_nobody_listens() {
    let mut host = Node::start(2).await;
    let (key, mut swarm) = gossiper(1);
    host.network.set_allowed(BTreeSet::from([key])).await.unwrap();
    host.network.subscribe(TOPIC).await.unwrap();
    connect_gossiper(&mut swarm, &host).await;
    let topic = gossipsub::IdentTopic::new(TOPIC.wire_name(COALITION));
    for n in 0..3_u8 {
        swarm.behaviour_mut().publish(topic.clone(), vec![n; 10]).unwrap();
        let heard = tokio::select! {
            heard = host.heard() => heard,
            () = async { loop { swarm.select_next_some().await; } } => unreachable!(),
        };
        host.judge(heard, Verdict::Reject).await;
    }
    let score = timeout(PATIENCE, async {
        loop {
            let score = host.network.peers().await.unwrap()[0].score;
            if score < -100.0 {
                return score;
            }
            tokio::task::yield_now().await;
        }
    });
    let score = score.await.unwrap();
    assert!(score < -150.0, "{score}");
}

/// More than a message may have, less than a frame may have: the frame passes, the message does not.
#[tokio::test]
async fn an_oversized_gossip_message_is_refused() {
    let mut host = Node::start(2).await;
    let (key, mut swarm) = gossiper(1);
    host.network.set_allowed(BTreeSet::from([key])).await.unwrap();
    host.network.subscribe(TOPIC).await.unwrap();
    connect_gossiper(&mut swarm, &host).await;
    let topic = gossipsub::IdentTopic::new(TOPIC.wire_name(COALITION));
    let oversized = vec![1; belfry_proto::limits::MAX_TRANSMIT + 1];
    swarm.behaviour_mut().publish(topic.clone(), oversized).unwrap();
    swarm.behaviour_mut().publish(topic, b"fine".to_vec()).unwrap();
    let heard = tokio::select! {
        heard = host.heard() => heard,
        () = async { loop { swarm.select_next_some().await; } } => unreachable!(),
    };
    assert_eq!(heard.bytes, b"fine");
    assert_eq!(host.network.counters().snapshot().gossip_unwanted, 1);
}
