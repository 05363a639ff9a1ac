//! Forks that one side of did not see, and forks that are none.

use super::*;

/// The second half of [`three`]'s first writer's fork: another message for the place of `all[at]`.
fn twin(coalition: &Coalition, author: &Seat, all: &[Decoded], at: usize) -> Decoded {
    coalition.messages(author, CIDR, Some(&all[at - 1]), 1).remove(0)
}

fn frozen(site: &Site) -> Vec<u64> {
    site.store.logs(CIDR).iter().map(|log| log.frozen.get()).collect()
}

/// The heads never meet at one height: the holder's log ends below the fork, the other one's goes on.
#[tokio::test]
async fn a_fork_reaches_a_node_that_saw_one_side_only() {
    let (coalition, [alice, bob, carol]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 10);
    let other = twin(&coalition, &alice, &messages, 4);
    let mut holder = Site::new(&coalition, &carol).await;
    holder.hold(&messages[..5]).await;
    holder.hold(std::slice::from_ref(&other)).await;
    assert_eq!(frozen(&holder), [5]);
    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start(&coalition, &bob).await;
    puller.site.hold(&messages).await;
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    eventually("the fork", async || frozen(&puller.site) == [5]).await;
    assert!(puller.site.store.has_message(other.message_id()).unwrap());
}

/// Who cries fork has to prove it: by two messages that contradict each other, both signed by the author.
#[tokio::test]
async fn a_fork_that_is_none_freezes_nothing_and_is_blamed() {
    let (coalition, [alice, bob, carol]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 10);
    let mut forged = schema::Envelope::decode(messages[4].bytes()).unwrap();
    forged.signature[3] ^= 1;
    let proofs = [
        [messages[3].bytes().to_vec(), messages[4].bytes().to_vec()],
        [messages[4].bytes().to_vec(), forged.encode_to_vec()],
        [messages[4].bytes().to_vec(), vec![7; 100]],
    ];
    for [one, other] in proofs {
        let mut liar = Site::new(&coalition, &carol).await;
        let Response::Frontier(mut promise) = frontier_with(&coalition, &messages[..4]) else {
            unreachable!()
        };
        promise.logs[0].frozen = 5;
        let typed = frontier::read_list(CIDR, &promise.logs).unwrap();
        promise.hash = frontier::hash(coalition.id(), CIDR, &typed).to_vec();
        let _lying = misbehave(&mut liar, move |request| match request {
            Request::Frontier(_) => Some(Response::Frontier(promise.clone())),
            Request::Fork(_) => Some(Response::Fork(schema::Fork { one: one.clone(), other: other.clone() })),
            _ => None,
        });
        let puller = Puller::start(&coalition, &bob).await;
        puller.site.hold(&messages).await;
        puller.site.connect(&liar).await;
        puller.ready(&liar);
        eventually("the blame", async || puller.counters.snapshot().faults > 0).await;
        assert_eq!(frozen(&puller.site), [0]);
    }
}
