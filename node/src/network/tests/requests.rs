//! Requests between allowed nodes, and the end of the task.

use belfry_proto::schema::{
    KeyRefusal, KeysRequest, KeysResponse, Page, SyncResponse, sync_response::Response,
};

use super::*;

fn page(bytes: usize) -> SyncResponse {
    SyncResponse {
        response: Some(Response::Page(Page {
            envelopes: vec![vec![7; bytes]],
            more: true,
            ..Page::default()
        })),
    }
}

#[tokio::test]
async fn an_answer_of_nearly_the_largest_size_arrives() {
    let (a, mut b) = pair().await;
    let reply = page(belfry_proto::limits::MAX_REPLY - 64);
    let key = b.key();
    let (answer, ()) = tokio::join!(a.network.sync(&key, addresses()), async {
        let asked = b.inbound.sync.recv().await.unwrap();
        assert_eq!((asked.from, asked.admitted, &asked.request), (a.key(), true, &addresses()));
        asked.reply.send(reply.clone());
    });
    assert_eq!(answer, Ok(reply));
}

#[tokio::test]
async fn an_oversized_answer_becomes_a_refusal() {
    let (a, mut b) = pair().await;
    let key = b.key();
    let (answer, ()) = tokio::join!(a.network.sync(&key, addresses()), async {
        b.inbound.sync.recv().await.unwrap().reply.send(page(belfry_proto::limits::MAX_REPLY));
    });
    assert_eq!(answer.unwrap().response, Some(Response::Refused(Refusal::Internal.into())));
    assert_eq!(b.network.counters().snapshot().replies_oversized, 1);
}

#[tokio::test]
async fn an_oversized_request_is_not_sent() {
    let (a, b) = pair().await;
    let many = KeysRequest { group: 1, key_ids: vec![vec![7; 32]; 65], pushed: Vec::new() };
    let long = KeysRequest { group: 1, key_ids: vec![vec![7; 3000]; 64], pushed: Vec::new() };
    for request in [many, long] {
        assert!(matches!(a.network.keys(&b.key(), request).await, Err(RequestError::Invalid(_))));
    }
}

#[tokio::test]
async fn a_dropped_reply_and_a_full_queue_are_refusals() {
    let (a, mut b) = pair().await;
    let ids = KeysRequest { group: 1, key_ids: vec![vec![7; 32]], pushed: Vec::new() };
    let refusal = |why: Refusal| KeysResponse {
        refused: vec![KeyRefusal { key_id: vec![7; 32], refusal: why.into() }],
        ..KeysResponse::default()
    };
    let key = b.key();
    let (answer, ()) = tokio::join!(a.network.keys(&key, ids.clone()), async {
        drop(b.inbound.keys.recv().await.unwrap());
    });
    assert_eq!(answer, Ok(refusal(Refusal::Internal)));
    b.inbound.keys.close();
    assert_eq!(a.network.keys(&key, ids).await, Ok(refusal(Refusal::Busy)));
}

#[tokio::test]
async fn nobody_is_asked_who_is_not_connected() {
    let (a, b) = (Node::start(1).await, Node::start(2).await);
    a.allow(&[&b]).await;
    assert_eq!(a.network.sync(&b.key(), addresses()).await, Err(RequestError::NotConnected));
    assert_eq!(a.network.hello(&b.key(), greeting()).await, Err(RequestError::NotConnected));
}

#[tokio::test]
async fn a_connection_that_closes_fails_its_requests() {
    let (a, mut b) = pair().await;
    let key = b.key();
    let (answer, _asked) = tokio::join!(a.network.sync(&key, addresses()), async {
        let asked = b.inbound.sync.recv().await.unwrap();
        b.network.disconnect(&a.key()).await.unwrap();
        asked
    });
    assert!(matches!(answer, Err(RequestError::Closed | RequestError::Stream(_))), "{answer:?}");
}

#[tokio::test]
async fn after_the_end_calls_fail_and_channels_close() {
    let (mut a, mut b) = pair().await;
    assert_eq!(a.network.shutdown().await, End::Asked);
    assert_eq!(a.network.subscribe(TOPIC).await, Err(Stopped));
    assert_eq!(a.network.publish(TOPIC, vec![1]).await, Err(PublishError::Stopped(Stopped)));
    assert!(a.inbound.gossip.recv().await.is_none());
    while a.inbound.links.recv().await.is_some() {}
    b.down(a.key()).await;
}

#[tokio::test]
async fn dropping_every_handle_ends_the_task() {
    let (a, mut b) = pair().await;
    let (key, mut inbound) = (a.key(), a.inbound);
    drop(a.network);
    assert!(timeout(PATIENCE, inbound.gossip.recv()).await.unwrap().is_none());
    b.down(key).await;
}
