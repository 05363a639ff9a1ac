//! Who gets in, who waits in the lobby, and how one leaves it.

use tokio::net::{TcpSocket, TcpStream};

use super::*;
use crate::{bucket::Rate, refusals::Way, testing::eventually};

const BRIEF: LobbyLimits =
    LobbyLimits { lifetime: Duration::from_millis(1500), total: 2, per_address: 2, requests: 2, unproven: 2 };

#[tokio::test]
async fn a_stranger_speaks_only_hello() {
    let (mut stranger, mut host) = (Node::start(1).await, Node::start(2).await);
    stranger.allow(&[&host]).await;
    for node in [&stranger, &host] {
        node.network.subscribe(TOPIC).await.unwrap();
    }
    stranger.dial(&host).await;
    assert!(stranger.up(host.key()).await, "the dialler admits whom it dials");
    assert!(!host.up(stranger.key()).await, "the listener does not");

    let (key, network) = (host.key(), stranger.network.clone());
    let (answer, asked) = tokio::join!(network.hello(&key, greeting()), host.answer_hello());
    assert_eq!(asked, (stranger.key(), false));
    assert_eq!(answer, Ok(refused(Refusal::NotCertified)));
    assert_eq!(network.sync(&key, addresses()).await, Err(RequestError::Held));
    assert_eq!(network.keys(&key, Default::default()).await, Err(RequestError::Held));
    stranger.held(host.key()).await;
    assert_eq!(stranger.network.publish(TOPIC, vec![1]).await, Err(PublishError::NoPeers));
    assert!(host.inbound.sync.try_recv().is_err() && host.inbound.keys.try_recv().is_err());

    let held = &stranger.network.peers().await.unwrap()[0];
    assert!(held.held && held.topics.is_empty());
    let guest = &host.network.peers().await.unwrap()[0];
    assert!(!guest.admitted && guest.topics.is_empty());
}

#[tokio::test]
async fn nothing_is_asked_of_a_guest() {
    let (mut stranger, mut host) = (Node::start(1).await, Node::start(2).await);
    stranger.allow(&[&host]).await;
    stranger.dial(&host).await;
    assert!(!host.up(stranger.key()).await);
    stranger.up(host.key()).await;
    let answer = host.network.hello(&stranger.key(), greeting()).await;
    assert_eq!(answer, Err(RequestError::NotAllowed));
}

#[tokio::test]
async fn a_stranger_is_shown_out_after_its_time() {
    let mut stranger = Node::start(1).await;
    let mut host = Node::start_with(2, "/memory/0", BRIEF).await;
    stranger.allow(&[&host]).await;
    stranger.dial(&host).await;
    assert!(!host.up(stranger.key()).await);
    let entered = std::time::Instant::now();
    assert!(!host.down(stranger.key()).await);
    assert!(entered.elapsed() >= Duration::from_secs(1), "not at once");
    stranger.down(host.key()).await;
}

#[tokio::test]
async fn a_guest_that_asks_too_often_is_shown_out_unanswered() {
    let mut stranger = Node::start(1).await;
    let lobby = LobbyLimits { lifetime: Duration::from_secs(3600), ..BRIEF };
    let mut host = Node::start_with(2, "/memory/0", lobby).await;
    stranger.allow(&[&host]).await;
    stranger.dial(&host).await;
    let (key, network) = (host.key(), stranger.network.clone());
    stranger.up(key).await;
    for _ in 0..2 {
        let (answer, _) = tokio::join!(network.hello(&key, greeting()), host.answer_hello());
        assert!(answer.is_ok());
    }
    assert!(network.hello(&key, greeting()).await.is_err());
    assert!(host.inbound.hello.try_recv().is_err(), "the third never reaches the reader");
    stranger.down(host.key()).await;
}

#[tokio::test]
async fn a_full_lobby_turns_strangers_away() {
    let mut host = Node::start_with(9, "/memory/0", LobbyLimits { lifetime: PATIENCE, ..BRIEF }).await;
    let mut inside = Vec::new();
    for seed in 1..=2 {
        let stranger = Node::start(seed).await;
        stranger.allow(&[&host]).await;
        stranger.dial(&host).await;
        host.up(stranger.key()).await;
        inside.push(stranger);
    }
    let mut late = Node::start(3).await;
    late.allow(&[&host]).await;
    late.dial(&host).await;
    late.down(host.key()).await;
    assert_eq!(host.network.peers().await.unwrap().len(), 2);
    assert_eq!(host.network.counters().snapshot().connections_refused, 1);

    // Members do not need the lobby.
    host.allow(&[&late]).await;
    late.dial(&host).await;
    assert!(host.up(late.key()).await);
}

#[tokio::test]
async fn strangers_are_never_dialled() {
    let (mut a, b) = (Node::start(1).await, Node::start(2).await);
    b.allow(&[&a]).await;
    let dialled = a.network.dial(b.key(), vec![b.address.clone()]).await;
    assert_eq!(dialled, Err(DialRefused::NotAllowed));
    a.allow(&[&a]).await;
    assert_eq!(a.network.dial(a.key(), vec![a.address.clone()]).await, Err(DialRefused::Own));
    a.allow(&[&b]).await;
    assert_eq!(a.network.dial(b.key(), vec![]).await, Err(DialRefused::NoAddress));
    a.dial(&b).await;
    a.up(b.key()).await;
    assert_eq!(a.network.dial(b.key(), vec![b.address.clone()]).await, Ok(Dialling::Connected));
}

/// The asymmetry: the dialler holds a full handler on a connection that stands in the other's lobby. Once
/// allowed, it is let go and dials again, and then everything flows.
#[tokio::test]
async fn a_guest_that_becomes_allowed_comes_back_and_gossips() {
    let (mut a, mut b) = (Node::start(1).await, Node::start(2).await);
    a.allow(&[&b]).await;
    for node in [&a, &b] {
        node.network.subscribe(TOPIC).await.unwrap();
    }
    a.dial(&b).await;
    assert!(!b.up(a.key()).await);
    a.up(b.key()).await;
    a.held(b.key()).await;

    // As membership does it: the verdict on the certificate is given in the answer itself.
    let (key, network) = (b.key(), a.network.clone());
    let (answer, ()) = tokio::join!(network.hello(&key, greeting()), async {
        let asked = b.inbound.hello.recv().await.unwrap();
        b.allow(&[&a]).await;
        asked.reply.send(refused(Refusal::Unspecified));
    });
    assert_eq!(answer, Ok(refused(Refusal::Unspecified)), "the welcome arrives before the door closes");
    b.down(a.key()).await;
    a.down(b.key()).await;

    befriend(&mut a, &mut b).await;
    a.network.publish(TOPIC, b"in at last".to_vec()).await.unwrap();
    assert_eq!(b.heard().await.bytes, b"in at last");
    b.network.publish(TOPIC, b"welcome".to_vec()).await.unwrap();
    assert_eq!(a.heard().await.bytes, b"welcome");
}

/// The same without waiting for the other side to close.
#[tokio::test]
async fn redialling_replaces_a_held_connection() {
    let (mut a, mut b) = (Node::start(1).await, Node::start(2).await);
    a.allow(&[&b]).await;
    for node in [&a, &b] {
        node.network.subscribe(TOPIC).await.unwrap();
    }
    a.dial(&b).await;
    assert!(!b.up(a.key()).await);
    a.up(b.key()).await;

    let (key, network) = (b.key(), a.network.clone());
    let (answer, ()) = tokio::join!(network.hello(&key, greeting()), async {
        let asked = b.inbound.hello.recv().await.unwrap();
        b.allow(&[&a]).await;
        asked.reply.send(refused(Refusal::Unspecified));
    });
    answer.unwrap();
    assert_eq!(a.network.redial(b.key(), vec![b.address.clone()]).await, Ok(Dialling::Begun));
    a.down(b.key()).await;
    assert!(a.up(b.key()).await && b.up(a.key()).await);
    a.subscribed(b.key()).await;
    b.subscribed(a.key()).await;
    a.network.publish(TOPIC, vec![7]).await.unwrap();
    assert_eq!(b.heard().await.bytes, [7]);
    assert_eq!(b.network.redial(a.key(), vec![a.address.clone()]).await, Ok(Dialling::Connected));
}

/// An admitted connection beside a lobby one is the first for gossipsub: it subscribes. (Passing libp2p's
/// own count of connections through the gate turns this red.)
#[tokio::test]
async fn a_full_connection_works_while_a_lobby_one_lives() {
    let (mut a, mut b) = (Node::start(1).await, Node::start(2).await);
    a.allow(&[&b]).await;
    for node in [&a, &b] {
        node.network.subscribe(TOPIC).await.unwrap();
    }
    a.dial(&b).await;
    assert!(!b.up(a.key()).await);
    a.up(b.key()).await;

    // An open hello request keeps the guest from being shown out.
    let (key, network) = (b.key(), a.network.clone());
    let request = tokio::spawn(async move { network.hello(&key, greeting()).await });
    let asked = timeout(PATIENCE, b.inbound.hello.recv()).await.unwrap().unwrap();
    b.allow(&[&a]).await;
    b.network.dial(a.key(), vec![a.address.clone()]).await.unwrap();
    assert!(b.up(a.key()).await);
    a.subscribed(b.key()).await;
    b.subscribed(a.key()).await;
    b.network.publish(TOPIC, vec![7]).await.unwrap();
    assert_eq!(a.heard().await.bytes, [7]);
    a.network.publish(TOPIC, vec![8]).await.unwrap();
    assert_eq!(b.heard().await.bytes, [8]);
    drop(asked);
    let _ = request.await.unwrap();
}

#[tokio::test]
async fn a_revoked_node_is_cut_off_and_its_redial_stays_in_the_lobby() {
    let (mut a, mut b) = pair().await;
    b.allow(&[]).await;
    assert!(b.down(a.key()).await);
    a.down(b.key()).await;
    assert_eq!(b.network.counters().snapshot().connections_revoked, 1);
    assert_eq!(b.network.publish(TOPIC, vec![1]).await, Err(PublishError::NoPeers));

    a.dial(&b).await;
    assert!(!b.up(a.key()).await);
    a.up(b.key()).await;
    a.held(b.key()).await;
    assert_eq!(a.network.sync(&b.key(), addresses()).await, Err(RequestError::Held));
    assert_eq!(a.network.publish(TOPIC, vec![2]).await, Err(PublishError::NoPeers));
}

#[tokio::test]
async fn a_dial_that_leads_nowhere_says_why() {
    let (mut a, b, c) = (Node::start(1).await, Node::start(2).await, Node::start(3).await);
    a.allow(&[&b, &c]).await;
    let failed = |link: &Link| match link {
        Link::DialFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    a.network.dial(b.key(), vec!["/memory/1".parse().unwrap()]).await.unwrap();
    assert!(matches!(a.link("failure", failed).await, DialFailure::Unreachable(tried) if tried.len() == 1));
    a.network.dial(b.key(), vec![c.address.clone()]).await.unwrap();
    let wrong = DialFailure::WrongNode { address: c.address.clone(), found: Some(Box::new(c.key())) };
    assert_eq!(a.link("failure", failed).await, wrong);
}

/// Guests whose hellos are never answered, or who never read the answers, fill a quarter of the places.
#[tokio::test]
async fn guests_leave_places_for_members() {
    let mut host = Node::start(9).await;
    let member = Node::start(8).await;
    host.allow(&[&member]).await;
    let mut asking = tokio::task::JoinSet::new();
    let mut guests = Vec::new();
    for seed in 1..=5 {
        let guest = Node::start(seed).await;
        guest.allow(&[&host]).await;
        guest.dial(&host).await;
        host.up(guest.key()).await;
        for _ in 0..4 {
            let (network, key) = (guest.network.clone(), host.key());
            asking.spawn(async move { network.hello(&key, greeting()).await });
        }
        guests.push(guest);
    }
    // Twenty ask, sixteen have a place; those of the others are told at once.
    for _ in 0..4 {
        let answer = timeout(PATIENCE, asking.join_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(answer, Ok(refused(Refusal::Busy)));
    }
    member.allow(&[&host]).await;
    member.dial(&host).await;
    assert!(host.up(member.key()).await);
    let (network, key) = (member.network.clone(), host.key());
    asking.spawn(async move { network.hello(&key, greeting()).await });
    let mut waiting = Vec::new();
    loop {
        let asked = timeout(PATIENCE, host.inbound.hello.recv()).await.unwrap().unwrap();
        if asked.from == member.key() {
            break;
        }
        waiting.push(asked);
    }
    assert!(waiting.len() <= 16);
}

/// Killed and back before anybody noticed: what is left of its first life must not stand in the way of gossip.
#[tokio::test]
async fn a_peer_that_comes_again_is_met_anew() {
    let (first_life, mut host) = pair().await;
    let mut again = Node::start(1).await;
    assert_eq!(again.key(), first_life.key());
    again.allow(&[&host]).await;
    again.network.subscribe(TOPIC).await.unwrap();
    again.dial(&host).await;
    assert!(host.down(again.key()).await && host.down(again.key()).await, "both are closed");
    again.down(host.key()).await;

    again.dial(&host).await;
    again.subscribed(host.key()).await;
    host.subscribed(again.key()).await;
    host.network.publish(TOPIC, vec![7]).await.unwrap();
    assert_eq!(again.heard().await.bytes, [7]);
    again.network.publish(TOPIC, vec![8]).await.unwrap();
    assert_eq!(host.heard().await.bytes, [8]);
}

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";
/// So many handshakes, and no more.
const fn ever(burst: f64) -> Rate {
    Rate { per_second: f64::MIN_POSITIVE, burst }
}

/// Somebody at another address than members have here connects, and may or may not go on.
async fn stranger(host: &Node, last: u8) -> TcpStream {
    let address = host.address.to_string().replace("/ip4/", "").replace("/tcp/", ":");
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    socket.connect(address.parse().unwrap()).await.unwrap()
}

/// Strangers connect from there until so many were turned away.
async fn flood(host: &Node, last: u8, turned_away: u64) {
    let counters = host.network.counters();
    eventually("strangers to be turned away", async || {
        drop(stranger(host, last).await);
        counters.snapshot().strangers_turned_away >= turned_away
    })
    .await;
}

fn refusals(host: &Node, code: &str) -> u64 {
    let counts = host.network.refusals().counts();
    counts.into_iter().filter(|one| (one.0, one.1) == (Way::Connection, code)).map(|one| one.2).sum()
}

#[tokio::test]
async fn a_flood_from_one_host_keeps_nobody_else_out() {
    let doorstep = DoorstepLimits { per_host: ever(4.0), ..DoorstepLimits::default() };
    let config = NetworkConfig { doorstep, ..NetworkConfig::default() };
    let mut host = Node::start_as(1, LOOPBACK, config).await;
    let mut member = Node::start_as(2, LOOPBACK, NetworkConfig::default()).await;
    host.allow(&[&member]).await;
    member.allow(&[&host]).await;
    flood(&host, 2, 10).await;
    assert_eq!(
        refusals(&host, "handshakes-of-address"),
        host.network.counters().snapshot().strangers_turned_away
    );
    assert_eq!(host.network.counters().snapshot().connections_lobby, 0);
    for _ in 0..10 {
        // A member's handshakes count for nothing, however many there are.
        member.dial(&host).await;
        assert!(host.up(member.key()).await && member.up(host.key()).await);
        host.allow(&[]).await;
        member.down(host.key()).await;
        host.allow(&[&member]).await;
    }
}

/// A host that no member came from yet is a stranger's while strangers flood; this node dials it all the same.
#[tokio::test]
async fn strangers_leave_the_door_to_hosts_of_members() {
    // Places enough that it is the share that runs out.
    let doorstep = DoorstepLimits { strangers: ever(8.0), open_per_host: 64, ..DoorstepLimits::default() };
    let config = NetworkConfig { doorstep, ..NetworkConfig::default() };
    let mut host = Node::start_as(1, LOOPBACK, config).await;
    let mut member = Node::start_as(2, LOOPBACK, NetworkConfig::default()).await;
    host.allow(&[&member]).await;
    member.allow(&[&host]).await;
    flood(&host, 2, 10).await;
    assert_ne!(refusals(&host, "handshakes-of-strangers"), 0);

    member.dial(&host).await;
    let failed = |link: &Link| matches!(link, Link::DialFailed { .. }).then_some(());
    member.link("a dial that is turned away", failed).await;
    host.dial(&member).await;
    assert!(host.up(member.key()).await && member.up(host.key()).await);

    // It comes again, while it counts as linked or after.
    let mut again = Node::start_as(2, LOOPBACK, NetworkConfig::default()).await;
    again.allow(&[&host]).await;
    member.network.shutdown().await;
    host.down(again.key()).await;
    flood(&host, 2, host.network.counters().snapshot().strangers_turned_away + 1).await;
    again.dial(&host).await;
    assert!(host.up(again.key()).await && again.up(host.key()).await);
}

#[tokio::test]
async fn where_a_node_looks_for_a_member_that_member_gets_in_though_strangers_flood() {
    let doorstep = DoorstepLimits { strangers: ever(8.0), open_per_host: 64, ..DoorstepLimits::default() };
    let config = NetworkConfig { doorstep, ..NetworkConfig::default() };
    let mut host = Node::start_as(1, LOOPBACK, config).await;
    let mut member = Node::start_as(2, LOOPBACK, NetworkConfig::default()).await;
    host.allow(&[&member]).await;
    member.allow(&[&host]).await;
    // Nobody answers there yet.
    host.network.dial(member.key(), vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()]).await.unwrap();
    flood(&host, 2, 10).await;
    member.dial(&host).await;
    assert!(host.up(member.key()).await && member.up(host.key()).await);
}

#[tokio::test]
async fn who_is_turned_away_at_a_members_host_is_counted_apart_from_strangers() {
    let doorstep = DoorstepLimits { per_host: ever(4.0), ..DoorstepLimits::default() };
    let config = NetworkConfig { doorstep, ..NetworkConfig::default() };
    let mut host = Node::start_as(1, LOOPBACK, config).await;
    let member = Node::start_as(2, LOOPBACK, NetworkConfig::default()).await;
    host.allow(&[&member]).await;
    member.allow(&[&host]).await;
    member.dial(&host).await;
    assert!(host.up(member.key()).await);
    eventually("somebody beside the member to be turned away", async || {
        drop(stranger(&host, 1).await);
        host.network.counters().snapshot().known_turned_away > 0
    })
    .await;
    assert_ne!(refusals(&host, "handshakes-of-known-address"), 0);
    assert_eq!(host.network.counters().snapshot().strangers_turned_away, 0);
}

#[tokio::test]
async fn handshakes_that_never_end_leave_places_to_others() {
    let doorstep = DoorstepLimits { open_per_host: 2, ..DoorstepLimits::default() };
    let config = NetworkConfig { doorstep, ..NetworkConfig::default() };
    let mut host = Node::start_as(1, LOOPBACK, config).await;
    let member = Node::start_as(2, LOOPBACK, NetworkConfig::default()).await;
    host.allow(&[&member]).await;
    member.allow(&[&host]).await;
    let _silent = [stranger(&host, 2).await, stranger(&host, 2).await, stranger(&host, 2).await];
    eventually("the third to be turned away", async || refusals(&host, "open-handshakes-of-address") == 1)
        .await;
    member.dial(&host).await;
    assert!(host.up(member.key()).await);
}

#[tokio::test]
async fn a_guest_that_is_refused_may_not_ask_as_often() {
    let mut stranger = Node::start(1).await;
    let lobby = LobbyLimits { lifetime: Duration::from_secs(3600), requests: 64, unproven: 2, ..BRIEF };
    let mut host = Node::start_with(2, "/memory/0", lobby).await;
    stranger.allow(&[&host]).await;
    stranger.dial(&host).await;
    let (key, network) = (host.key(), stranger.network.clone());
    stranger.up(key).await;
    for _ in 0..2 {
        let (answer, _) = tokio::join!(network.hello(&key, greeting()), host.answer_hello());
        assert!(answer.is_ok());
    }
    assert!(network.hello(&key, greeting()).await.is_err());
    stranger.down(host.key()).await;
    assert_eq!(host.network.counters().snapshot().guests_shown_out, 1);

    // Granted once, it may.
    stranger.dial(&host).await;
    stranger.up(key).await;
    for _ in 0..8 {
        let (answer, ()) = tokio::join!(network.hello(&key, greeting()), async {
            let asked = timeout(PATIENCE, host.inbound.hello.recv()).await.unwrap().unwrap();
            asked.reply.send(HelloResponse {
                response: Some(hello_response::Response::Greeted(Default::default())),
            });
        });
        assert!(answer.is_ok());
    }
}
