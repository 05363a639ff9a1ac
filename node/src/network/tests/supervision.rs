//! A swarm task that panics is replaced, and nobody outside has to start anything.

use super::*;

async fn restarted(node: &mut Node) {
    node.link("restart", |link| matches!(link, Link::Restarted).then_some(())).await;
    node.seen.clear();
}

/// Where it listens now, once it does.
async fn listening(node: &mut Node) {
    let address = node.link("listening", |link| match link {
        Link::Listening(address) => Some(address.clone()),
        _ => None,
    });
    node.address = address.await;
}

#[tokio::test]
async fn a_network_that_panicked_goes_on_with_the_same_handle() {
    let (mut a, mut b) = pair().await;
    a.network.panic().await;
    restarted(&mut a).await;
    b.down(a.key()).await;
    assert_eq!(a.network.counters().snapshot().restarts, 1);
    listening(&mut a).await;

    // Who is let in and which topics are joined was asked once, of the one before.
    befriend(&mut b, &mut a).await;
    b.network.publish(TOPIC, b"after".to_vec()).await.unwrap();
    let heard = a.heard().await;
    assert_eq!(heard.bytes, b"after");
    a.judge(heard, Verdict::Accept).await;
    let key = a.key();
    let (answer, ()) = tokio::join!(b.network.sync(&key, addresses()), async {
        a.inbound.sync.recv().await.unwrap().reply.send(Default::default());
    });
    assert!(answer.is_ok());
}

/// A peer that was let go meanwhile does not come back with the restart.
#[tokio::test]
async fn a_restart_lets_nobody_in_who_was_not() {
    let (mut a, mut b) = pair().await;
    a.allow(&[]).await;
    b.down(a.key()).await;
    a.network.panic().await;
    restarted(&mut a).await;
    listening(&mut a).await;
    b.dial(&a).await;
    assert!(!a.up(b.key()).await, "to the lobby");
}

/// Membership reads no links while it waits for an answer.
#[tokio::test]
async fn a_network_answers_after_a_restart_although_its_links_are_not_read_yet() {
    let mut node = Node::start(1).await;
    node.network.fill_links().await;
    node.network.panic().await;
    let peers = timeout(PATIENCE, node.network.peers()).await.expect("an answer");
    assert!(peers.unwrap().is_empty());
    restarted(&mut node).await;
}

#[tokio::test]
async fn calls_under_way_fail_and_do_not_hang() {
    let (a, b) = pair().await;
    let (network, key) = (a.network.clone(), b.key());
    let asked = tokio::spawn(async move { network.sync(&key, addresses()).await });
    // Nobody answers; the request is under way.
    timeout(PATIENCE, async {
        while b.network.counters().snapshot().requests_received == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    a.network.panic().await;
    let answer = timeout(PATIENCE, asked).await.expect("it ends").unwrap();
    assert_eq!(answer, Err(RequestError::Stopped(Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_panics_again_and_again_ends() {
    let mut node = Node::start(1).await;
    for _ in 0..10 {
        node.network.panic().await;
        restarted(&mut node).await;
    }
    node.network.panic().await;
    assert_eq!(node.network.ended().await, End::Panicked);
    assert!(node.inbound.hello.recv().await.is_none(), "and its channels close");
}
