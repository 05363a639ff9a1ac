//! The same over real sockets.

use super::*;
use crate::testing::eventually;

async fn gossip_over(listen: &str) {
    let lobby = LobbyLimits::default();
    let (mut a, mut b) = (Node::start_with(1, listen, lobby).await, Node::start_with(2, listen, lobby).await);
    a.allow(&[&b]).await;
    for node in [&a, &b] {
        node.network.subscribe(TOPIC).await.unwrap();
    }
    // Through the lobby, because closing a connection differs most between transports.
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
    a.down(b.key()).await;
    b.down(a.key()).await;

    befriend(&mut a, &mut b).await;
    // Back to back, so that one frame's end and the next one's start are read together.
    for n in 0..8 {
        a.network.publish(TOPIC, vec![n; belfry_proto::limits::MAX_TRANSMIT]).await.unwrap();
    }
    for n in 0..8 {
        assert_eq!(b.heard().await.bytes[0], n);
    }
    assert_eq!(a.network.listen_addresses().await.unwrap(), [a.address.clone()]);
}

#[tokio::test]
async fn gossip_flows_over_quic() {
    gossip_over("/ip4/127.0.0.1/udp/0/quic-v1").await;
}

#[tokio::test]
async fn gossip_flows_over_tcp() {
    gossip_over("/ip4/127.0.0.1/tcp/0").await;
}

/// States of open TCP connections over a port, as the kernel tells them: which timer each has under way.
fn timers(port: u16) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let port = format!(":{port:04X}");
    let is_open = |line: &Vec<&str>| line[3] == "01" && line[1..3].iter().any(|end| end.ends_with(&port));
    lines.filter(is_open).map(|line| line[5][..2].to_owned()).collect()
}

/// Without it neither end would ever notice that the path between them is gone.
#[tokio::test]
async fn the_kernel_probes_both_ends_of_a_tcp_link() {
    let lobby = LobbyLimits::default();
    let listen = "/ip4/127.0.0.1/tcp/0";
    let (mut a, mut b) = (Node::start_with(1, listen, lobby).await, Node::start_with(2, listen, lobby).await);
    a.allow(&[&b]).await;
    b.allow(&[&a]).await;
    a.dial(&b).await;
    assert!(a.up(b.key()).await && b.up(a.key()).await);
    let port = b.address.to_string().rsplit('/').next().unwrap().parse().unwrap();
    // Now and then data waits for its acknowledgement, by another timer.
    eventually("a probe of each end", async || timers(port) == ["02", "02"]).await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let key = SigningKey::from_seed(&[2; 32]);
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let a = Node::start_with(1, listen, LobbyLimits::default()).await;
        let taken = NetworkConfig { listen: vec![a.address.clone()], ..NetworkConfig::default() };
        let error = start(&taken, &key, COALITION).unwrap_err();
        assert!(matches!(&error, StartError::Listen { address, .. } if *address == a.address), "{error}");
        assert!(error.to_string().contains("in use"), "{error}");
    }
    let memory = NetworkConfig { listen: vec!["/memory/0".parse().unwrap()], ..NetworkConfig::default() };
    assert!(matches!(start(&memory, &key, COALITION), Err(StartError::Memory(_))));
}

/// Both dial at the same moment: whatever connections come of it, gossip flows.
#[tokio::test]
async fn both_may_dial_at_once() {
    let lobby = LobbyLimits::default();
    let listen = "/ip4/127.0.0.1/tcp/0";
    let (mut a, mut b) = (Node::start_with(1, listen, lobby).await, Node::start_with(2, listen, lobby).await);
    a.allow(&[&b]).await;
    b.allow(&[&a]).await;
    for node in [&a, &b] {
        node.network.subscribe(TOPIC).await.unwrap();
    }
    let (_, _) = tokio::join!(a.dial(&b), b.dial(&a));
    a.subscribed(b.key()).await;
    b.subscribed(a.key()).await;
    a.network.publish(TOPIC, vec![1]).await.unwrap();
    assert_eq!(b.heard().await.bytes, [1]);
}
