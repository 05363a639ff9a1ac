//! Members that nobody can dial, and those that join them.

use belfry_proto::schema::{SyncResponse, sync_response::Response};
use futures::StreamExt as _;
use libp2p::{request_response, swarm::SwarmEvent};

use super::{hostile::raw, *};
use crate::{refusals::Way, testing::eventually};

/// Three that allow each other; the first gives circuits, the others hold its link.
struct Meeting {
    relay: Node,
    near: Node,
    far: Node,
}

impl Meeting {
    async fn over(relay: Node, near: Node, far: Node) -> Self {
        let mut meeting = Self { relay, near, far };
        let Self { relay, near, far } = &mut meeting;
        relay.allow(&[near, far]).await;
        for node in [&mut *near, &mut *far] {
            node.network.set_relays([relay.key()].into()).await.unwrap();
            node.network.subscribe(TOPIC).await.unwrap();
            node.dial_at(relay, relay.address.clone()).await;
        }
        near.allow(&[relay, far]).await;
        far.allow(&[relay, near]).await;
        for node in [&mut *near, &mut *far] {
            assert!(node.up(relay.key()).await && relay.up(node.key()).await);
        }
        meeting
    }

    async fn in_memory(limits: RelayLimits) -> Self {
        Self::over(Node::relaying("/memory/0", limits).await, Node::outbound(2), Node::outbound(3)).await
    }

    fn circuit(&self) -> Address {
        Address::circuit(&self.relay.key())
    }

    async fn placed(&mut self) {
        self.far.network.take_place(self.relay.key()).await.unwrap();
        let circuit = self.circuit();
        self.far.listening(&circuit).await;
    }

    /// The near one dials the far one over the relay.
    async fn dialled(&mut self) {
        let circuit = self.circuit();
        self.near.dial_at(&self.far, circuit).await;
        assert!(self.near.up(self.far.key()).await && self.far.up(self.near.key()).await);
    }
}

impl Node {
    async fn relaying(listen: &str, limits: RelayLimits) -> Self {
        Self::start_as(1, listen, NetworkConfig { relay: Some(limits), ..NetworkConfig::default() }).await
    }

    /// Dials, allowing the other if it is not.
    async fn dial_at(&self, other: &Node, address: Address) {
        let mut dialled = self.network.dial(other.key(), vec![address.clone()]).await;
        if dialled == Err(DialRefused::NotAllowed) {
            self.allow(&[other]).await;
            dialled = self.network.dial(other.key(), vec![address]).await;
        }
        assert_eq!(dialled, Ok(Dialling::Begun));
    }

    async fn listening(&mut self, at: &Address) {
        let is_it = |link: &Link| matches!(link, Link::Listening(address) if address == at).then_some(());
        self.link("place", is_it).await;
    }

    async fn no_place(&mut self) {
        self.link("refusal", |link| matches!(link, Link::NoPlace { .. }).then_some(())).await;
    }

    async fn failure(&mut self) -> DialFailure {
        let failed = |link: &Link| match link {
            Link::DialFailed { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        self.link("failure", failed).await
    }
}

#[tokio::test]
async fn two_that_nobody_can_dial_gossip_and_ask_each_other_over_a_relay() {
    let mut meeting = Meeting::in_memory(RelayLimits::default()).await;
    meeting.placed().await;
    meeting.dialled().await;
    let circuit = meeting.circuit();
    let Meeting { relay, near, far } = &mut meeting;
    near.subscribed(far.key()).await;
    far.subscribed(near.key()).await;
    near.network.publish(TOPIC, vec![7]).await.unwrap();
    let gossip = far.heard().await;
    assert_eq!((gossip.from, gossip.bytes.as_slice()), (near.key(), &[7][..]));

    let answer = SyncResponse { response: Some(Response::Refused(Refusal::Busy.into())) };
    let (key, network) = (near.key(), far.network.clone());
    let (answered, ()) = tokio::join!(network.sync(&key, addresses()), async {
        let asked = near.inbound.sync.recv().await.unwrap();
        assert_eq!((asked.from, asked.admitted), (far.key(), true));
        asked.reply.send(answer.clone());
    });
    assert_eq!(answered, Ok(answer));
    for (node, other) in [(&*near, far.key()), (&*far, near.key())] {
        let peers = node.network.peers().await.unwrap();
        let peer = peers.iter().find(|peer| peer.node == other).unwrap();
        assert_eq!(peer.addresses, std::slice::from_ref(&circuit), "both ends know over whom");
    }
    let counted = relay.network.counters().snapshot();
    assert_eq!((counted.places_given, counted.circuits_given), (1, 1));
    assert!(relay.inbound.gossip.try_recv().is_err(), "it is no party to it");
}

#[tokio::test]
async fn a_node_without_a_place_is_not_reached_and_the_dialler_learns_it() {
    let mut meeting = Meeting::in_memory(RelayLimits::default()).await;
    let circuit = meeting.circuit();
    meeting.near.dial_at(&meeting.far, circuit).await;
    assert!(matches!(meeting.near.failure().await, DialFailure::Unreachable(tried) if tried.len() == 1));
    assert_eq!(meeting.relay.network.counters().snapshot().circuits_refused, 1);
}

#[tokio::test]
async fn a_node_that_gives_no_circuits_is_asked_in_vain() {
    let mut meeting = Meeting::over(Node::start(1).await, Node::outbound(2), Node::outbound(3)).await;
    meeting.far.network.take_place(meeting.relay.key()).await.unwrap();
    meeting.far.no_place().await;
    assert_eq!(meeting.far.network.listen_addresses().await.unwrap(), []);
}

#[tokio::test]
async fn a_guest_in_the_lobby_gets_neither_place_nor_circuit() {
    let mut meeting = Meeting::in_memory(RelayLimits::default()).await;
    meeting.placed().await;
    let mut guest = Node::outbound(9);
    guest.network.set_relays([meeting.relay.key()].into()).await.unwrap();
    guest.allow(&[&meeting.relay, &meeting.far]).await;
    guest.dial(&meeting.relay).await;
    assert!(guest.up(meeting.relay.key()).await && !meeting.relay.up(guest.key()).await);
    guest.network.take_place(meeting.relay.key()).await.unwrap();
    guest.no_place().await;
    guest.dial_at(&meeting.far, meeting.circuit()).await;
    assert!(matches!(guest.failure().await, DialFailure::Unreachable(_)));
    let counted = meeting.relay.network.counters().snapshot();
    assert_eq!((counted.places_given, counted.circuits_given), (1, 0));
}

/// The gate at the end of a circuit is the same as at a door.
#[tokio::test]
async fn a_relay_cannot_bring_in_whom_the_other_end_does_not_allow() {
    let mut meeting = Meeting::in_memory(RelayLimits::default()).await;
    meeting.placed().await;
    meeting.far.allow(&[&meeting.relay]).await;
    let circuit = meeting.circuit();
    let Meeting { near, far, .. } = &mut meeting;
    near.dial_at(far, circuit).await;
    assert!(near.up(far.key()).await && near.down(far.key()).await);
    let refused = far.network.refusals().counts();
    assert_eq!(far.network.counters().snapshot().connections_refused, 1);
    assert_eq!(far.network.counters().snapshot().connections_lobby, 0);
    assert_eq!(refused, [(Way::Connection, "stranger-over-circuit", 1)]);
}

#[tokio::test]
async fn a_revoked_node_loses_its_place_and_its_circuits() {
    let mut meeting = Meeting::in_memory(RelayLimits::default()).await;
    meeting.placed().await;
    meeting.dialled().await;
    let Meeting { relay, near, far } = &mut meeting;
    relay.allow(&[near]).await;
    far.no_place().await;
    assert!(near.down(far.key()).await, "the circuit ends with the link it went over");
    near.dial_at(far, Address::circuit(&relay.key())).await;
    assert!(matches!(near.failure().await, DialFailure::Unreachable(_)));
}

#[tokio::test]
async fn places_and_circuits_are_as_many_as_the_limits_say() {
    let limits = RelayLimits { places: 1, circuits: 1, ..RelayLimits::default() };
    let mut meeting = Meeting::in_memory(limits).await;
    meeting.placed().await;
    meeting.near.network.take_place(meeting.relay.key()).await.unwrap();
    meeting.near.no_place().await;
    meeting.dialled().await;

    let mut third = Node::outbound(4);
    third.network.set_relays([meeting.relay.key()].into()).await.unwrap();
    third.allow(&[&meeting.relay, &meeting.far]).await;
    meeting.relay.allow(&[&meeting.near, &meeting.far, &third]).await;
    third.dial(&meeting.relay).await;
    assert!(third.up(meeting.relay.key()).await && meeting.relay.up(third.key()).await);
    third.dial_at(&meeting.far, meeting.circuit()).await;
    assert!(matches!(third.failure().await, DialFailure::Unreachable(_)));
    let counted = meeting.relay.network.counters().snapshot();
    assert_eq!((counted.places_refused, counted.circuits_refused), (1, 1));
}

#[tokio::test]
async fn a_circuit_is_cut_at_its_bytes_and_may_be_dialled_anew() {
    let limits = RelayLimits { circuit_bytes: 256 * 1024, ..RelayLimits::default() };
    let mut meeting = Meeting::in_memory(limits).await;
    meeting.placed().await;
    meeting.dialled().await;
    let Meeting { relay, near, far } = &mut meeting;
    near.subscribed(far.key()).await;
    for n in 0..4 {
        let _ = near.network.publish(TOPIC, vec![n; 100 * 1024]).await;
    }
    assert!(near.down(far.key()).await && far.down(near.key()).await);
    assert!(relay.network.counters().snapshot().circuits_cut >= 1);
    meeting.dialled().await;
}

/// Both listen, but know of each other only that a relay leads there.
async fn punched(listen: &str) {
    let relay = Node::relaying(listen, RelayLimits::default()).await;
    let lobby = LobbyLimits::default;
    let (near, far) =
        (Node::start_with(2, listen, lobby()).await, Node::start_with(3, listen, lobby()).await);
    let mut meeting = Meeting::over(relay, near, far).await;
    for node in [&meeting.near, &meeting.far] {
        // Who does not know where it is seen has nothing to tell the other.
        eventually("a relay says where it sees the node", async || {
            node.network.counters().snapshot().seen_at > 0
        })
        .await;
    }
    meeting.placed().await;
    meeting.dialled().await;
    let circuit = meeting.circuit();
    let Meeting { near, far, .. } = &mut meeting;
    near.subscribed(far.key()).await;
    far.subscribed(near.key()).await;
    let (at_near, at_far) = (near.key(), far.key());
    for (node, other) in [(&mut *near, at_far), (&mut *far, at_near)] {
        assert!(node.up(other).await, "a direct connection");
        assert!(node.down(other).await, "in the place of the circuit");
        let peers = node.network.peers().await.unwrap();
        let peer = peers.iter().find(|peer| peer.node == other).unwrap();
        assert!(!peer.addresses.is_empty() && !peer.addresses.contains(&circuit), "{:?}", peer.addresses);
    }
    assert!([&*near, &*far].iter().any(|node| node.network.counters().snapshot().holes_punched > 0));
    // Gossip goes on where it went before.
    near.network.publish(TOPIC, vec![7]).await.unwrap();
    assert_eq!(far.heard().await.bytes, [7]);
    far.network.publish(TOPIC, vec![8]).await.unwrap();
    assert_eq!(near.heard().await.bytes, [8]);
}

#[tokio::test]
async fn a_circuit_makes_way_for_a_direct_connection_over_quic() {
    punched("/ip4/127.0.0.1/udp/0/quic-v1").await;
}

#[tokio::test]
async fn a_circuit_makes_way_for_a_direct_connection_over_tcp() {
    punched("/ip4/127.0.0.1/tcp/0").await;
}

/// A place that lasts longer than time itself: libp2p adds that to its clock, and panics.
#[tokio::test]
async fn a_relay_that_answers_nonsense_costs_its_circuits_and_nothing_else() {
    let (relay, mut swarm) = raw(1, "/libp2p/circuit/relay/0.2.0/hop");
    swarm.listen_on("/memory/0".parse().unwrap()).unwrap();
    let Some(SwarmEvent::NewListenAddr { address, .. }) = swarm.next().await else { panic!("no address") };
    let served = tokio::spawn(async move {
        // type = STATUS, reservation = { expire = 2⁶⁴ − 1, addrs = [/memory/1] }, status = OK
        let place = [&[0x08][..], &[0xff; 9], &[0x01, 0x12, 10, 0x89, 0x06, 0, 0, 0, 0, 0, 0, 0, 1]].concat();
        let lead = [0x08, 0x02, 0x1a, u8::try_from(place.len()).unwrap()];
        let answer = [&lead[..], &place, &[0x28, 100]].concat();
        let framed = [&[u8::try_from(answer.len()).unwrap()][..], &answer].concat();
        loop {
            if let SwarmEvent::Behaviour(request_response::Event::Message {
                message: request_response::Message::Request { channel, .. },
                ..
            }) = swarm.select_next_some().await
            {
                swarm.behaviour_mut().send_response(channel, framed.clone()).unwrap();
            }
        }
    });
    let mut node = Node::outbound(2);
    node.network.set_relays([relay].into()).await.unwrap();
    node.network.set_allowed([relay].into()).await.unwrap();
    node.network.dial(relay, vec![address.to_string().parse().unwrap()]).await.unwrap();
    assert!(node.up(relay).await);
    node.network.take_place(relay).await.unwrap();
    node.no_place().await;
    let counted = node.network.counters().snapshot();
    assert_eq!((counted.circuits_broken, counted.panics, counted.restarts), (1, 0, 0));
    assert!(node.network.peers().await.unwrap().iter().any(|peer| peer.node == relay), "the link stands");
    served.abort();
}
