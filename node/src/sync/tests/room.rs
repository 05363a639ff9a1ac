//! A member's room, and a disk that is nearly full.

use super::*;
use crate::space::{Space, tests::Disk};

/// What there is no room for is asked for once, and not at every comparison; others' logs come meanwhile.
#[tokio::test]
async fn a_log_whose_member_has_no_room_left_is_left_alone_for_a_while() {
    let (coalition, [alice, bob, _]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 10);
    let mut holder = Site::new(&coalition, &alice).await;
    holder.hold(&messages).await;
    let (_, _tasks) = serve(&mut holder);
    let mut site = Site::new(&coalition, &bob).await;
    site.store = site.store.clone().with_member_quota(Some(10));
    let puller = Puller::start_in(site);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.says(State::OverDiskQuota).await;
    assert_eq!(puller.told().over_disk_quota, 1);
    let asked = puller.counters.snapshot();
    assert_eq!((asked.pages, asked.kept, asked.faults), (1, 0, 0));
    for _ in 0..3 {
        let before = puller.counters.snapshot().compared;
        puller.ready(&holder);
        eventually("a comparison", async || puller.counters.snapshot().compared > before).await;
    }
    // A log of somebody whose room is not used up: this node's own member.
    let own = coalition.messages(&bob, CIDR, None, 3);
    holder.hold(&own).await;
    puller.ready(&holder);
    puller.holds(&own).await;
    eventually("a page counted", async || puller.counters.snapshot().pages == 2).await;
    assert_eq!(puller.site.height(CIDR, messages[0].header().log), 0);
}

/// Behind what is passed over its author may have taken something back.
#[tokio::test]
async fn a_withdrawal_behind_what_there_is_no_room_for_is_fetched_and_the_rest_not_again() {
    let (coalition, [alice, bob, _]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 10);
    let withdrawal = coalition.retraction(&alice, CIDR, messages.last(), messages[0].message_id());
    let mut holder = Site::new(&coalition, &alice).await;
    holder.hold(&messages).await;
    let (_, _tasks) = serve(&mut holder);
    let mut site = Site::new(&coalition, &bob).await;
    let room = messages[0].bytes().len() as u64;
    site.store = site.store.clone().with_member_quota(Some(room));
    site.hold(&messages[..1]).await;
    let puller = Puller::start_in(site);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.says(State::OverDiskQuota).await;
    holder.hold(std::slice::from_ref(&withdrawal)).await;
    puller.ready(&holder);
    let log = withdrawal.header().log;
    let at = withdrawal.header().sequence;
    eventually("the withdrawal", async || puller.site.store.top(CIDR, log) == at).await;
    eventually("a page counted", async || puller.counters.snapshot().pages == 2).await;
    assert_eq!(puller.counters.snapshot().kept, 1);
    assert_eq!(puller.site.height(CIDR, log), 1);
}

#[tokio::test]
async fn without_room_nothing_is_fetched_and_with_room_again_all_of_it() {
    let (coalition, [alice, bob, _]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 10);
    let mut holder = Site::new(&coalition, &alice).await;
    holder.hold(&messages).await;
    let (_, _tasks) = serve(&mut holder);
    let disk = Disk::with(1);
    let space = Space::new(100, disk.clone());
    space.look();
    let mut site = Site::new(&coalition, &bob).await;
    site.store = site.store.clone().with_space(space.clone());
    let puller = Puller::start_in(site);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    // Gossip is not kept either; its verdict shows that the node had its chance.
    let topic = belfry_proto::topic::Topic::Group(CIDR);
    for site in [&puller.site, &holder] {
        site.network.subscribe(topic).await.unwrap();
    }
    eventually("gossip", async || holder.network.publish(topic, messages[0].bytes().to_vec()).await.is_ok())
        .await;
    eventually("a verdict", async || puller.site.network.counters().snapshot().verdict_ignore > 0).await;
    assert!(puller.site.store.logs(CIDR).is_empty());
    assert_eq!(puller.counters.snapshot().compared, 0);
    let refused = puller.site.network.refusals().of(&messages[0].message_id());
    assert_eq!(
        refused.map(|refused| refused.code),
        Some("no-room"),
        "whoever asks why it is not here is told"
    );

    disk.set(1000);
    space.look();
    puller.holds(&messages).await;
}
