//! Who is served, and how much.

use belfry_proto::schema::{PullFrontier, Refusal, SyncRequest};

use super::*;
use crate::{store::CheckedLog, testing::PATIENCE};

async fn ask(from: &Site, of: &Site, request: Request) -> Response {
    let request = SyncRequest { request: Some(request) };
    let answer = tokio::time::timeout(PATIENCE, from.network.sync(&of.node(), request)).await.unwrap();
    answer.unwrap().response.unwrap()
}

fn compare(group: u32) -> Request {
    Request::Frontier(PullFrontier { group, hash: vec![0; 32], after: Vec::new() })
}

#[tokio::test]
async fn a_group_is_served_to_its_members_and_carriers_only() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(1, &[CIDR]);
    let outsider = coalition.issue(2, &[CLOUD]);
    let carrier = coalition.issue(3, &[]);
    let mut host = Site::new(&coalition, &alice).await;
    let (_, _tasks) = serve(&mut host);
    let refused = Response::Refused(Refusal::NotEntitled.into());
    for (seat, served) in [(outsider, false), (carrier, true)] {
        let guest = Site::new(&coalition, &seat).await;
        guest.connect(&host).await;
        assert_eq!(ask(&guest, &host, compare(CIDR.get())).await != refused, served);
        let range = PullRange { group: CIDR.get(), log: vec![1; 32], from: 1, to: 9 };
        assert_eq!(ask(&guest, &host, Request::Range(range)).await != refused, served);
    }
}

#[tokio::test]
async fn a_peer_that_asks_without_end_is_told_busy_and_others_are_served() {
    let (coalition, [alice, greedy, modest]) = three();
    let mut host = Site::new(&coalition, &alice).await;
    let (counters, _tasks) = serve(&mut host);
    let (greedy, modest) = (Site::new(&coalition, &greedy).await, Site::new(&coalition, &modest).await);
    for guest in [&greedy, &modest] {
        guest.connect(&host).await;
    }
    let busy = Response::Refused(Refusal::Busy.into());
    let flood = async { while ask(&greedy, &host, compare(CIDR.get())).await != busy {} };
    tokio::time::timeout(PATIENCE, flood).await.expect("it is turned away in the end");
    assert!(counters.snapshot().turned_away > 0);
    assert!(matches!(ask(&modest, &host, compare(CIDR.get())).await, Response::Frontier(_)));
}

#[tokio::test]
async fn what_nobody_vouches_for_is_not_served() {
    let (coalition, [alice, bob, _]) = three();
    let mut messages = coalition.messages(&alice, CIDR, None, 3);
    messages[2] = unsigned(&messages[2]);
    let mut holder = Site::new(&coalition, &alice).await;
    holder.hold(&messages).await;
    let header = messages[2].header();
    let checked = CheckedLog {
        group: header.group,
        log: header.log,
        from: Sequence::new(1),
        through: None,
        unsigned: vec![messages[2].message_id()],
    };
    holder.store.commit(Change::Checked(checked)).await.unwrap();
    let (_, _tasks) = serve(&mut holder);
    let asker = Site::new(&coalition, &bob).await;
    asker.connect(&holder).await;
    let range = |from| {
        let (group, log) = (header.group.get(), header.log.to_vec());
        Request::Range(PullRange { group, log, from, to: 3 })
    };
    let Response::Page(page) = ask(&asker, &holder, range(1)).await else { panic!("no page") };
    assert_eq!(page.envelopes.len(), 2);
    assert_eq!(ask(&asker, &holder, range(3)).await, Response::Refused(Refusal::Unknown.into()));
}
