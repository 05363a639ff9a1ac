//! What one member may fill of a disk.

use super::*;
use crate::{store::Aged, testing::CLOUD};

const OVER: Kept = Kept::Refused(OVER_DISK_QUOTA);

fn bytes(messages: &[Decoded]) -> u64 {
    messages.iter().map(|message| message.bytes().len() as u64).sum()
}

/// A node that keeps so much of each member.
async fn receiver(coalition: &Coalition, seat: &Seat, from: &Seat, quota: u64) -> Receiver {
    let mut site = Site::new(coalition, seat).await;
    site.store = site.store.clone().with_member_quota(Some(quota));
    Receiver::start(site, from)
}

impl Receiver {
    /// Each once the one before is on the disk.
    async fn takes_one_by_one(&self, messages: &[Decoded]) -> Vec<Kept> {
        let mut kept = Vec::new();
        for message in messages {
            kept.extend(self.takes(std::slice::from_ref(message)).await);
        }
        kept
    }
}

#[tokio::test]
async fn a_member_that_has_used_up_its_room_is_refused_and_nobody_else_is() {
    let mut coalition = Coalition::new();
    let [alice, bob, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR, CLOUD]));
    let messages = coalition.messages(&alice, CIDR, None, 5);
    let node = receiver(&coalition, &bob, &alice, bytes(&messages[..3])).await;
    assert_eq!(
        node.takes_one_by_one(&messages).await,
        [Kept::Stored, Kept::Stored, Kept::Stored, OVER, OVER]
    );
    // In another group, and of others, there is room.
    let others =
        [coalition.messages(&alice, CLOUD, None, 1), coalition.messages(&carol, CIDR, None, 1)].concat();
    assert_eq!(node.takes(&others).await, [Kept::Stored, Kept::Stored]);
    // One's own member is not bounded: what came of it before is to be had again.
    let own = coalition.messages(&bob, CIDR, None, 5);
    assert_eq!(node.takes_one_by_one(&own).await, vec![Kept::Stored; 5]);
    // Counted, and told of a message by its reason.
    let refusals = node.site.network.refusals();
    assert!(refusals.counts().contains(&(crate::refusals::Way::Sync, OVER_DISK_QUOTA, 2)));
    let told = refusals.of(&messages[4].message_id()).unwrap();
    assert_eq!(told.code, OVER_DISK_QUOTA);
    assert!(told.detail.contains("store.member_quota"), "{}", told.detail);
}

#[tokio::test]
async fn a_body_that_goes_gives_its_room_back() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let messages = coalition.messages(&alice, CIDR, None, 3);
    let node = receiver(&coalition, &bob, &alice, bytes(&messages[..2])).await;
    assert_eq!(node.takes_one_by_one(&messages).await, [Kept::Stored, Kept::Stored, OVER]);
    let of = messages[1].header();
    let aged = Aged {
        group: CIDR,
        log: of.log,
        messages: messages[..2].iter().map(Decoded::message_id).collect(),
        through: of.sequence,
        more: false,
    };
    node.site.store.commit(Change::Expire(aged)).await.unwrap();
    assert_eq!(node.takes(&messages[2..]).await, [Kept::Stored]);
}

#[tokio::test]
async fn whoever_has_no_room_can_still_take_back_and_not_without_end() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let messages = coalition.messages(&alice, CIDR, None, 2);
    let taken_back = coalition.retraction(&alice, CIDR, None, messages[0].message_id());
    for (quota, expected) in [(bytes(&messages[..1]), Kept::Stored), (1, OVER)] {
        let node = receiver(&coalition, &bob, &alice, quota).await;
        node.site.hold(&messages[..1]).await;
        assert_eq!(node.takes(&messages[1..]).await, [OVER]);
        assert_eq!(node.takes(std::slice::from_ref(&taken_back)).await, [expected], "of {quota}");
    }
}

/// Whoever steals a key and fills its owner's room with it is revoked, and the owner goes on with another key.
#[tokio::test]
async fn what_a_revoked_certificate_wrote_takes_no_room_from_its_member() {
    let mut coalition = Coalition::new();
    let (stolen, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let flood = coalition.messages(&stolen, CIDR, None, 4);
    let node = receiver(&coalition, &bob, &stolen, bytes(&flood[..3])).await;
    assert_eq!(node.takes_one_by_one(&flood).await, [Kept::Stored, Kept::Stored, Kept::Stored, OVER]);
    coalition.decide(1, revocation(&stolen, vec![point(&flood[0])]));
    let renewed = coalition.issue_again(1, 9, &[CIDR]);
    node.learns(&coalition).await;
    let messages = coalition.messages(&renewed, CIDR, None, 1);
    assert_eq!(node.takes(&messages).await, [Kept::Stored]);
}
