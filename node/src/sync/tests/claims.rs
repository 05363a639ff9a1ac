//! Peers whose frontier claims what nobody ever wrote.

use belfry_proto::limits::MAX_SEQUENCE;

use super::*;

/// More logs than one comparison takes, each as high as a log may be.
fn invented(coalition: &Coalition) -> Response {
    let log = |n: u32| frontier::LogFrontier {
        group: CIDR,
        log: LogId::new([n.to_be_bytes(); 8].concat().try_into().unwrap()),
        low: Sequence::new(1),
        height: Sequence::new(MAX_SEQUENCE),
        head: MessageId::new([9; 32]),
        bodies: MAX_SEQUENCE,
        frozen: Sequence::new(0),
        missing: frontier::MissingSum::default(),
    };
    let logs: Vec<frontier::LogFrontier> = (1..=3000).map(log).collect();
    let hash = frontier::hash(coalition.id(), CIDR, &logs).to_vec();
    Response::Frontier(Frontier { hash, logs: logs.iter().map(Into::into).collect(), more: false })
}

#[tokio::test]
async fn logs_that_a_peer_invents_end_no_node_are_counted_and_count_for_nothing() {
    let (coalition, [alice, bob, carol]) = three();
    let claims = invented(&coalition);
    let mut liar = Site::new(&coalition, &carol).await;
    let _lying = misbehave(&mut liar, move |request| match request {
        Request::Frontier(_) => Some(claims.clone()),
        Request::Range(_) => Some(Response::Refused(Refusal::Unknown.into())),
        _ => None,
    });
    let puller = Puller::start(&coalition, &bob).await;
    puller.site.connect(&liar).await;
    puller.ready(&liar);
    eventually("the fault", async || puller.refused(Way::PageAnswer, "claims-nothing") > 0).await;
    eventually("nothing on its way", async || {
        let told = puller.told();
        (told.state, told.offered) == (State::Level, 0)
    })
    .await;
    // And what is true comes all the same.
    let messages = coalition.messages(&alice, CIDR, None, 3);
    let mut holder = Site::new(&coalition, &alice).await;
    holder.hold(&messages).await;
    let (_, _tasks) = serve(&mut holder);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&messages).await;
}
