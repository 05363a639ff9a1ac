//! Address records: kept, asked for again, and no flood of them.

use belfry_proto::{time::Timestamp, trust::address};

use super::*;
use crate::store::{AddressRow, Change};

/// A page of address records.
fn addresses(records: &[AddressRow]) -> sync_response::Response {
    let records = records.iter().map(|row| schema::Signed::decode(row.bytes.as_slice()).unwrap()).collect();
    sync_response::Response::Addresses(schema::Addresses { records })
}

fn address_row(coalition: &Coalition, of: &Site) -> AddressRow {
    let (serial, made) = (of.seat.identity.serial, clock::now());
    let record =
        address::make(coalition.id(), serial, vec![of.address.to_vec()], made, &of.seat.identity.signing);
    AddressRow { serial, made, bytes: record.encode_to_vec() }
}

async fn connected(from: &Site, to: &Site) {
    eventually("a connection", async || {
        from.network.peers().await.unwrap().iter().any(|peer| peer.node == to.node() && peer.admitted)
    })
    .await;
}

#[tokio::test]
async fn the_address_book_on_disk_starts_a_node_without_any_bootstrap_peer() {
    let (coalition, alice, bob) = pair();
    let host = Running::start(Site::new(&coalition, &alice).await);
    let site = Site::new(&coalition, &bob).await;
    site.store.commit(Change::Address(address_row(&coalition, &host.site))).await.unwrap();
    let node = Running::start(site);
    connected(&node.site, &host.site).await;
}

#[tokio::test]
async fn address_records_come_with_the_first_connection_and_lead_on() {
    let (mut coalition, alice, bob) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let third = Running::start(Site::new(&coalition, &carol).await);
    let host = Site::new(&coalition, &alice).await;
    host.store.commit(Change::Address(address_row(&coalition, &third.site))).await.unwrap();
    let host = Running::start(host);
    let node = Running::start(Site::new(&coalition, &bob).await);
    node.site.connect(&host.site).await;
    connected(&node.site, &third.site).await;
}

#[tokio::test]
async fn address_records_that_were_not_told_are_asked_for_again() {
    let (mut coalition, alice, bob) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let third = Running::start(Site::new(&coalition, &carol).await);
    let row = address_row(&coalition, &third.site);
    let mut host = Site::new(&coalition, &alice).await;
    let greeted = admitting(&coalition.roster);
    let mut asked = 0;
    // Not at all, then none, which is what a peer says that has not heard of the third yet.
    let sync = move |request| {
        if !matches!(request, sync_request::Request::Addresses(_)) {
            return nothing(request);
        }
        asked += 1;
        match asked {
            1 => sync_response::Response::Refused(Refusal::Busy.into()),
            2 => addresses(&[]),
            _ => addresses(std::slice::from_ref(&row)),
        }
    };
    let _tasks = answering(&mut host, move |_| hello_response::Response::Greeted(greeted.clone()), sync);
    let node = Running::start(Site::new(&coalition, &bob).await);
    node.site.connect(&host).await;
    connected(&node.site, &third.site).await;
}

/// A certificate that signs one address record after the other costs others some writes, and takes none of anybody
/// else's.
#[tokio::test]
async fn a_flood_of_address_records_is_cut() {
    let (coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let record = |of: &Seat, n: u64| {
        let made = clock::now().saturating_add(Duration::from_micros(n));
        let addresses = vec![site.address.to_vec()];
        address::make(coalition.id(), of.identity.serial, addresses, made, &of.identity.signing)
    };
    let mut accepted = 0;
    for n in 0..200 {
        let item = Item::Address(record(&bob, n));
        accepted += usize::from(membership.judge_item(item, bob.identity.node).await == Verdict::Accept);
    }
    assert!((1..=9).contains(&accepted), "{accepted}");
    let own = Item::Address(record(&alice, 0));
    assert_eq!(membership.judge_item(own.clone(), bob.identity.node).await, Verdict::Accept);
    assert_eq!(membership.judge_item(own, bob.identity.node).await, Verdict::Ignore, "held");
    // Nor are signatures verified without end for one forwarder.
    let forged = Item::Address(address::make(
        coalition.id(),
        alice.identity.serial,
        Vec::new(),
        clock::now().saturating_add(Duration::from_secs(1)),
        &bob.identity.signing,
    ));
    let mut verdicts = Vec::new();
    for _ in 0..1200 {
        verdicts.push(membership.judge_item(forged.clone(), bob.identity.node).await);
    }
    assert_eq!((verdicts.first(), verdicts.last()), (Some(&Verdict::Reject), Some(&Verdict::Ignore)));
}

/// Records that do not verify, or more than there are certificates, are not kept.
#[tokio::test]
async fn forged_address_records_are_not_kept() {
    let (coalition, alice, bob) = pair();
    let (site, liar) = (Site::new(&coalition, &alice).await, bob.identity.node);
    let mut membership = membership(&site, &Feed::default());
    let forged = address::make(
        coalition.id(),
        alice.identity.serial,
        vec![site.address.to_vec()],
        clock::now(),
        &bob.identity.signing,
    );
    membership.learn_addresses(liar, vec![forged; 10_000]).await;
    assert!(site.store.addresses().unwrap().is_empty());
}

/// A record of a node's address, made at this time.
fn made_at(coalition: &Coalition, of: &Seat, site: &Site, made: Timestamp) -> AddressRow {
    let (serial, addresses) = (of.identity.serial, vec![site.address.to_vec()]);
    let record = address::make(coalition.id(), serial, addresses, made, &of.identity.signing);
    AddressRow { serial, made, bytes: record.encode_to_vec() }
}

/// When the record held of a node was made.
fn held(site: &Site, of: &Seat) -> Option<Timestamp> {
    let rows = site.store.addresses().unwrap();
    rows.into_iter().find(|row| row.serial == of.identity.serial).map(|row| row.made)
}

const HOUR: i64 = 3_600_000_000;

#[tokio::test]
async fn where_we_are_is_signed_by_no_clock_that_others_say_is_off() {
    let (mut coalition, alice, _) = pair();
    coalition.issue(3, &[CIDR]);
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    for doubtful in [[HOUR, HOUR], [-HOUR, -HOUR]] {
        membership.hellos.send_replace(Hellos::told(&doubtful));
        membership.announce_address().await;
        assert_eq!(held(&site, &alice), None, "{doubtful:?}");
    }
    // Whoever is met first asks for it, before anybody told of our clock.
    membership.hellos.send_replace(Hellos::told(&[]));
    membership.announce_address().await;
    assert!(held(&site, &alice).is_some());
}

/// What a clock that ran ahead left behind: others refused it, so nobody but us holds it.
#[tokio::test]
async fn a_record_of_a_time_to_come_gives_way_once_our_clock_is_right() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let (mut coalition, alice, bob) = pair();
    coalition.issue(3, &[CIDR]);
    let (site, now) = (Site::new(&coalition, &alice).await, clock::now());
    let ahead = now.saturating_add(YEAR);
    for seat in [&alice, &bob] {
        site.store.commit(Change::Address(made_at(&coalition, seat, &site, ahead))).await.unwrap();
    }
    let mut membership = membership(&site, &Feed::default());
    let told = |bytes: Vec<u8>| Item::Address(schema::Signed::decode(bytes.as_slice()).unwrap());
    let of_now = made_at(&coalition, &bob, &site, now).bytes;
    membership.hellos.send_replace(Hellos::told(&[HOUR, HOUR]));
    let verdict = membership.judge_item(told(of_now.clone()), bob.identity.node).await;
    assert_eq!((verdict, held(&site, &bob)), (Verdict::Ignore, Some(ahead)), "it may be ours that is wrong");
    membership.hellos.send_replace(Hellos::told(&[0, 0]));
    let verdict = membership.judge_item(told(of_now), bob.identity.node).await;
    assert_eq!((verdict, held(&site, &bob)), (Verdict::Accept, Some(now)));
    membership.announce_address().await;
    let own = held(&site, &alice).unwrap();
    assert!((now..=clock::now()).contains(&own), "{own}");
}

#[tokio::test]
async fn where_we_are_replaces_what_we_said_under_a_clock_a_little_ahead() {
    let (coalition, alice, _) = pair();
    let site = Site::new(&coalition, &alice).await;
    let ahead = clock::now().saturating_add(Duration::from_secs(120));
    site.store.commit(Change::Address(made_at(&coalition, &alice, &site, ahead))).await.unwrap();
    let mut membership = membership(&site, &Feed::default());
    membership.hellos.send_replace(Hellos::told(&[0]));
    membership.announce_address().await;
    assert!(held(&site, &alice) > Some(ahead), "others hold that one, and would take none that is older");
}
