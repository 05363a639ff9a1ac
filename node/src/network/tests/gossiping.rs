//! Gossip between allowed nodes.

use belfry_proto::{crypto::hash, limits::MAX_TRANSMIT};

use super::*;

#[tokio::test]
async fn two_allowed_nodes_gossip_both_ways() {
    let (mut a, mut b) = pair().await;
    a.network.publish(TOPIC, b"from a".to_vec()).await.unwrap();
    let heard = b.heard().await;
    assert_eq!((heard.topic, heard.from, heard.bytes.as_slice()), (TOPIC, a.key(), &b"from a"[..]));
    assert_eq!(heard.id, hash::gossip_id(&TOPIC.wire_name(COALITION), b"from a"));
    b.judge(heard, Verdict::Accept).await;

    b.network.publish(TOPIC, b"from b".to_vec()).await.unwrap();
    let heard = a.heard().await;
    assert_eq!((heard.from, heard.bytes.as_slice()), (b.key(), &b"from b"[..]));
    a.judge(heard, Verdict::Accept).await;
}

/// a – b – c: what b accepts reaches c; what it ignores or rejects does not.
#[tokio::test]
async fn what_links_carry_is_counted_at_both_ends() {
    let (a, mut b) = pair().await;
    let message = vec![7; 50_000];
    a.network.publish(TOPIC, message.clone()).await.unwrap();
    assert_eq!(b.heard().await.bytes, message);
    for node in [&a, &b] {
        assert!(node.network.traffic().bytes() >= 50_000, "{:?}", node.network.traffic().open_metrics());
        let told = node.network.traffic().open_metrics().unwrap();
        assert!(told.contains("belfry_libp2p_bandwidth_bytes_total{"), "{told}");
    }
}

/// A peer that floods with what is ignored must not keep honest messages from being forwarded.
#[tokio::test]
async fn a_queue_full_of_ignores_leaves_room_for_an_accept() {
    let (a, mut b) = pair().await;
    a.network.publish(TOPIC, vec![7]).await.unwrap();
    let heard = b.heard().await;
    let mut ignored = 0;
    // Nothing here waits, so the swarm task does not run meanwhile.
    while b.network.verdict_at_once(copied(&heard.ticket), Verdict::Ignore) {
        ignored += 1;
    }
    assert_eq!(ignored, limits::VERDICTS);
    assert!(b.network.verdict_at_once(heard.ticket, Verdict::Accept));
}

fn copied(ticket: &Ticket) -> Ticket {
    Ticket { message: ticket.message.clone(), forwarder: ticket.forwarder }
}

#[tokio::test]
async fn only_what_is_accepted_is_forwarded() {
    let (mut a, mut b, mut c) = (Node::start(1).await, Node::start(2).await, Node::start(3).await);
    a.allow(&[&b]).await;
    b.allow(&[&a, &c]).await;
    c.allow(&[&b]).await;
    for node in [&a, &b, &c] {
        node.network.subscribe(TOPIC).await.unwrap();
    }
    befriend(&mut a, &mut b).await;
    befriend(&mut c, &mut b).await;

    let verdicts = [Verdict::Ignore, Verdict::Reject, Verdict::Accept];
    for (n, verdict) in verdicts.into_iter().enumerate() {
        a.network.publish(TOPIC, vec![u8::try_from(n).unwrap(); 100]).await.unwrap();
        let heard = b.heard().await;
        b.judge(heard, verdict).await;
    }
    // Messages of one sender keep their order, so the first thing c hears would be the ignored one.
    let heard = c.heard().await;
    assert_eq!((heard.from, heard.bytes), (b.key(), vec![2; 100]));
    let counts = b.network.counters().snapshot();
    assert_eq!((counts.verdict_accept, counts.verdict_ignore, counts.verdict_reject), (1, 1, 1));
}

#[tokio::test]
async fn publishing_says_why_it_did_not() {
    let lonely = Node::start(1).await;
    lonely.network.subscribe(TOPIC).await.unwrap();
    assert_eq!(lonely.network.publish(TOPIC, vec![1]).await, Err(PublishError::NoPeers));
    let too_large = PublishError::TooLarge { len: MAX_TRANSMIT + 1, limit: MAX_TRANSMIT };
    assert_eq!(lonely.network.publish(TOPIC, vec![0; MAX_TRANSMIT + 1]).await, Err(too_large));

    let (a, mut b) = pair().await;
    a.network.publish(TOPIC, vec![1]).await.unwrap();
    assert_eq!(a.network.publish(TOPIC, vec![1]).await, Err(PublishError::Duplicate));
    b.heard().await;
}

#[tokio::test]
async fn messages_of_the_largest_size_arrive_one_after_the_other() {
    let (a, mut b) = pair().await;
    for n in 0..8 {
        a.network.publish(TOPIC, vec![n; MAX_TRANSMIT]).await.unwrap();
    }
    for n in 0..8 {
        let heard = b.heard().await;
        assert_eq!((heard.bytes.len(), heard.bytes[0]), (MAX_TRANSMIT, n));
        b.judge(heard, Verdict::Accept).await;
    }
    assert_eq!(b.network.counters().snapshot().gossip_unwanted, 0);
}

#[tokio::test]
async fn a_full_queue_ignores_and_counts() {
    let (a, mut b) = pair().await;
    let sent = limits::GOSSIP + 40;
    for n in 0..sent {
        a.network.publish(TOPIC, n.to_be_bytes().to_vec()).await.unwrap();
    }
    timeout(PATIENCE, async {
        loop {
            let counts = b.network.counters().snapshot();
            if counts.gossip_received + counts.gossip_queue_full == u64::try_from(sent).unwrap() {
                return assert!(counts.gossip_queue_full >= 40 - 8, "{counts:?}");
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    // The queue holds what came first.
    assert_eq!(b.heard().await.bytes, 0_usize.to_be_bytes());
}

#[tokio::test]
async fn a_peer_that_floods_loses_its_own_messages_and_no_others() {
    let (mut loud, mut b, mut quiet) = (Node::start(1).await, Node::start(2).await, Node::start(3).await);
    loud.allow(&[&b]).await;
    quiet.allow(&[&b]).await;
    b.allow(&[&loud, &quiet]).await;
    for node in [&loud, &b, &quiet] {
        node.network.subscribe(TOPIC).await.unwrap();
    }
    befriend(&mut loud, &mut b).await;
    befriend(&mut quiet, &mut b).await;
    let counts = async |received: Option<u64>, all: u64| {
        timeout(PATIENCE, async {
            loop {
                let counts = b.network.counters().snapshot();
                if counts.gossip_received + counts.gossip_queue_full == all {
                    assert!(received.is_none_or(|received| counts.gossip_received == received), "{counts:?}");
                    return counts.gossip_received;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap()
    };
    // Nobody judges meanwhile.
    let (flood, few) = (limits::GOSSIP as u64 + 40, 50);
    for n in 0..flood {
        loud.network.publish(TOPIC, n.to_be_bytes().to_vec()).await.unwrap();
    }
    let taken = counts(None, flood).await;
    assert!(taken < limits::GOSSIP as u64, "{taken}");
    for n in 0..few {
        quiet.network.publish(TOPIC, (flood + n).to_be_bytes().to_vec()).await.unwrap();
    }
    counts(Some(taken + few), flood + few).await;
    // And once some are judged, the first one has room again.
    for _ in 0..taken + few {
        b.heard().await;
    }
    loud.network.publish(TOPIC, b"again".to_vec()).await.unwrap();
    assert_eq!(b.heard().await.bytes, b"again");
}

#[tokio::test]
async fn a_topic_that_was_left_is_silent_and_can_be_joined_again() {
    let (mut a, mut b) = pair().await;
    b.network.unsubscribe(TOPIC).await.unwrap();
    let left = |link: &Link| matches!(link, Link::Unsubscribed { .. }).then_some(());
    a.link("unsubscribed", left).await;
    assert_eq!(a.network.publish(TOPIC, vec![1]).await, Err(PublishError::NoPeers));
    b.network.subscribe(TOPIC).await.unwrap();
    a.subscribed(b.key()).await;
    a.network.publish(TOPIC, vec![2]).await.unwrap();
    assert_eq!(b.heard().await.bytes, [2]);
}

#[tokio::test]
async fn peers_are_seen_with_their_topics() {
    let (a, b) = pair().await;
    let views = a.network.peers().await.unwrap();
    let [view] = views.as_slice() else { panic!("{views:?}") };
    assert_eq!((view.node, view.admitted, view.outbound, view.held), (b.key(), true, true, false));
    assert_eq!(view.topics, BTreeSet::from([TOPIC]));
    assert_eq!(view.addresses.as_slice(), std::slice::from_ref(&b.address));
}
