//! Hellos between nodes in one process: level, behind, lying, unknown.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use belfry_proto::{
    envelope::Decoded,
    id::Sequence,
    schema::{
        self, AdminPage, Greet, Greeted, HelloRequest, HelloResponse, LogFrontier, Page, PullAdmin, Refusal,
        SyncResponse, hello_request, hello_response, sync_request, sync_response,
    },
    trust::{address, roster::Roster},
};
use prost::Message;
use tokio::task::JoinSet;

use super::*;
use crate::{
    clock,
    feed::Notices,
    network::Inbound,
    store::{AddressRow, Change},
    sync::Serving,
    testing::{CIDR, CLOUD, Coalition, PATIENCE, Seat, Site, eventually},
};

mod charters;
mod contacts;
mod gate;
mod on_sight;
mod told_on;

const LIMITS: DialLimits = DialLimits { longest_wait: Duration::from_secs(1), most: 96 };

fn membership(site: &Site, feed: &Feed) -> Membership {
    Membership::new(
        Arc::clone(&site.seat.identity),
        site.store.clone(),
        site.network.clone(),
        site.roster.clone(),
        feed.clone(),
        Reach {
            bootstrap: Vec::new(),
            external: vec![site.address.clone()],
            listens: true,
            relays: std::collections::BTreeSet::new(),
            limits: LIMITS,
            gate: GateTimes::default(),
        },
    )
}

/// A node whose membership runs, and which serves sync.
struct Running {
    site: Site,
    notices: Notices,
    hellos: watch::Receiver<Hellos>,
    behind: Behind,
    import: Import,
    contacts: Contacts,
    _tasks: JoinSet<()>,
}

impl Running {
    fn start(mut site: Site) -> Self {
        let feed = Feed::default();
        let membership = membership(&site, &feed);
        let (hellos, behind, import) = (membership.hellos(), membership.behind(), membership.import());
        let Inbound { gossip, hello, sync, links, .. } = site.inbound.take().unwrap();
        let contacts = membership.contacts();
        let serving = Serving {
            store: site.store.clone(),
            roster: site.roster.clone(),
            counters: Arc::default(),
            contacts: contacts.clone(),
        };
        let notices = feed.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn(serving.run(sync));
        tasks.spawn(membership.run(Sources { hello, gossip, links }));
        Self { site, notices, hellos, behind, import, contacts, _tasks: tasks }
    }

    async fn ready(&mut self, peer: &Site) {
        let waiting = async { while self.notices.recv().await.unwrap() != Notice::PeerReady(peer.node()) {} };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the peer becomes ready");
    }
}

/// A member that answers hellos and sync as the test says.
fn answering(
    site: &mut Site,
    mut hello: impl FnMut(hello_request::Request) -> hello_response::Response + Send + 'static,
    mut sync: impl FnMut(sync_request::Request) -> sync_response::Response + Send + 'static,
) -> JoinSet<()> {
    let Inbound { hello: mut greeted, sync: mut asked, .. } = site.inbound.take().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(asked) = greeted.recv().await {
            let response = Some(hello(asked.request.request.unwrap()));
            asked.reply.send(HelloResponse { response });
        }
    });
    tasks.spawn(async move {
        while let Some(asked) = asked.recv().await {
            let response = Some(sync(asked.request.request.unwrap()));
            asked.reply.send(SyncResponse { response });
        }
    });
    tasks
}

fn nothing(_: sync_request::Request) -> sync_response::Response {
    sync_response::Response::Refused(Refusal::Unknown.into())
}

/// As a member with this roster answers who admits the dialler.
fn admitting(roster: &Roster) -> Greeted {
    Greeted {
        roster: Some(roster.version().into()),
        charter_version: 1,
        now: clock::now().as_micros(),
        admitted: true,
        your_logs: Vec::new(),
        beacon: None,
        head: None,
    }
}

/// A page of address records.
fn addresses(records: &[AddressRow]) -> sync_response::Response {
    let records = records.iter().map(|row| schema::Signed::decode(row.bytes.as_slice()).unwrap()).collect();
    sync_response::Response::Addresses(schema::Addresses { records })
}

fn pair() -> (Coalition, Seat, Seat) {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    (coalition, alice, bob)
}

#[tokio::test]
async fn a_peer_is_ready_only_once_our_log_is_level_with_it() {
    let (mut coalition, alice, bob) = pair();
    let earlier = coalition.roster.clone();
    coalition.issue(3, &[CIDR]);
    let host = Running::start(Site::new(&coalition, &alice).await);
    let mut late = Running::start(Site::knowing(&coalition, earlier, &bob).await);
    late.site.connect(&host.site).await;
    late.ready(&host.site).await;
    assert_eq!(late.site.roster.snapshot().version(), coalition.roster.version());
    assert_eq!(late.site.store.head().unwrap(), coalition.roster.version(), "durable before it is used");
}

#[tokio::test]
async fn a_peer_that_does_not_admit_us_is_not_ready() {
    let (coalition, alice, bob) = pair();
    let mut host = Site::new(&coalition, &alice).await;
    let greeted = Greeted { admitted: false, ..admitting(&coalition.roster) };
    let _tasks = answering(&mut host, move |_| hello_response::Response::Greeted(greeted.clone()), nothing);
    let node = Running::start(Site::new(&coalition, &bob).await);
    node.site.connect(&host).await;
    eventually("an answer", async || node.hellos.borrow().clock_offset().is_some()).await;
    // The loop takes one thing after the other: with this answered, the hello is done with.
    assert!(!node.import.offer(schema::LogFile::default()).await);
    assert_eq!(node.hellos.borrow().answered, 0);
}

#[tokio::test]
async fn a_peer_that_always_claims_to_be_ahead_is_pulled_from_once() {
    let (coalition, alice, bob) = pair();
    let mut liar = Site::new(&coalition, &alice).await;
    let pulls = Arc::new(AtomicUsize::new(0));
    let (counted, roster) = (Arc::clone(&pulls), coalition.roster.clone());
    let hello = move |request| match request {
        hello_request::Request::PullAdmin(PullAdmin { from_height, .. }) => {
            // The entry at our own height is asked for besides: it might contradict ours.
            let beyond = from_height > roster.version().height.get();
            counted.fetch_add(usize::from(beyond), Ordering::Relaxed);
            hello_response::Response::AdminPage(AdminPage { more: true, ..AdminPage::default() })
        }
        _ => {
            let mut greeted = admitting(&roster);
            greeted.roster.as_mut().unwrap().height = 1_000_000;
            hello_response::Response::Greeted(greeted)
        }
    };
    let _tasks = answering(&mut liar, hello, nothing);
    let mut node = Running::start(Site::new(&coalition, &bob).await);
    node.site.connect(&liar).await;
    // It is a member like any other; only its claim is not believed.
    node.ready(&liar).await;
    for _ in 0..50 {
        node.behind.notice(liar.node());
    }
    node.import.offer(schema::LogFile::default()).await;
    assert_eq!(pulls.load(Ordering::Relaxed), 1);
}

/// Frontiers as a peer tells them of our own log.
fn told(messages: &[Decoded]) -> Vec<LogFrontier> {
    let last = messages.last().unwrap();
    vec![LogFrontier {
        group: CIDR.get(),
        log: last.header().log.to_vec(),
        low: 1,
        height: last.header().sequence.get(),
        head: last.message_id().to_vec(),
        bodies: last.header().sequence.get(),
        frozen: 0,
        missing: Vec::new(),
    }]
}

#[tokio::test]
async fn more_of_our_own_log_elsewhere_is_believed_once_it_is_shown() {
    let (coalition, alice, bob) = pair();
    let messages = coalition.messages(&bob, CIDR, None, 5);
    let forged = coalition.messages(&alice, CIDR, None, 5);
    for (shows, believed) in [(Some(&messages), true), (Some(&forged), false), (None, false)] {
        let mut host = Site::new(&coalition, &alice).await;
        let greeted = Greeted { your_logs: told(&messages), ..admitting(&coalition.roster) };
        let envelopes = shows.map(|all| vec![all[4].bytes().to_vec()]).unwrap_or_default();
        let page = sync_response::Response::Page(Page { envelopes, more: false, ..Page::default() });
        let _tasks = answering(
            &mut host,
            move |_| hello_response::Response::Greeted(greeted.clone()),
            move |_| page.clone(),
        );
        let site = Site::new(&coalition, &bob).await;
        site.hold(&messages[..2]).await;
        let mut node = Running::start(site);
        node.site.connect(&host).await;
        node.ready(&host).await;
        let known = node.hellos.borrow().own_logs.clone();
        let expected = (CIDR, messages[0].header().log, Sequence::new(5));
        assert_eq!(known, if believed { vec![expected] } else { vec![] });
    }
}

/// Many logs of one group leave room for those of the next: what is not told of is not found after a lost disk.
#[tokio::test]
async fn a_hello_tells_of_a_peers_logs_in_every_group() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR, CLOUD]), coalition.issue(2, &[CIDR, CLOUD]));
    let mut host = Site::new(&coalition, &alice).await;
    let (heard, roster) = (Arc::new(std::sync::Mutex::new(Vec::new())), coalition.roster.clone());
    let hearing = Arc::clone(&heard);
    let hello = move |request| {
        if let hello_request::Request::Greet(greet) = request {
            hearing.lock().unwrap().push(greet.your_logs);
        }
        hello_response::Response::Greeted(admitting(&roster))
    };
    let _tasks = answering(&mut host, hello, nothing);
    let site = Site::new(&coalition, &bob).await;
    // As many as a certificate may have, all but one of them short.
    for n in 1..=64 {
        let length = if n == 20 { 3 } else { 1 };
        site.hold(&coalition.messages_of(&alice, CIDR, [n; 16], None, length)).await;
    }
    let last = coalition.messages(&alice, CLOUD, None, 2);
    site.hold(&last).await;
    let node = Running::start(site);
    node.site.connect(&host).await;
    eventually("a hello", async || !heard.lock().unwrap().is_empty()).await;
    let told = heard.lock().unwrap().remove(0);
    let heights: Vec<_> = told.iter().map(|log| (log.group, log.height)).collect();
    assert_eq!(heights[..3], [(CLOUD.get(), 2), (CIDR.get(), 3), (CIDR.get(), 1)], "the longest, in turn");
    assert_eq!(heights.len(), 64 + 1);
    let request = HelloRequest {
        request: Some(hello_request::Request::Greet(Greet {
            your_logs: vec![told[0].clone(); belfry_proto::limits::MAX_TOLD_LOGS],
            certificate: Some(node.site.seat.identity.record.clone()),
            ..Greet::default()
        })),
    };
    assert!(request.encoded_len() < 60 * 1024, "{}", request.encoded_len());
}

#[tokio::test]
async fn claims_about_logs_we_never_wrote_are_not_even_looked_into() {
    let (coalition, alice, bob) = pair();
    let mut host = Site::new(&coalition, &alice).await;
    let messages = coalition.messages(&bob, CIDR, None, 5);
    let greeted = Greeted { your_logs: told(&messages), ..admitting(&coalition.roster) };
    let ranges = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ranges);
    let _tasks = answering(
        &mut host,
        move |_| hello_response::Response::Greeted(greeted.clone()),
        move |request| {
            counted.fetch_add(
                usize::from(matches!(request, sync_request::Request::Range(_))),
                Ordering::Relaxed,
            );
            nothing(request)
        },
    );
    let mut node = Running::start(Site::new(&coalition, &bob).await);
    node.site.connect(&host).await;
    node.ready(&host).await;
    assert_eq!((node.hellos.borrow().own_logs.len(), ranges.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn the_end_of_a_lobby_connection_takes_no_admitted_peer_away() {
    let (coalition, alice, bob) = pair();
    let (site, other) = (Site::new(&coalition, &alice).await, bob.identity.node);
    let feed = Feed::default();
    let mut membership = membership(&site, &feed);
    let mut notices = feed.subscribe();
    let up = |admitted| Link::Up {
        node: other,
        admitted,
        outbound: false,
        address: site.address.clone(),
        others: 0,
    };
    membership.link(up(false));
    membership.link(up(true));
    membership.link(Link::Down { node: other, admitted: false, remaining: 0 });
    assert!(membership.dialing.is_connected(&other));
    membership.link(Link::Down { node: other, admitted: true, remaining: 0 });
    assert!(!membership.dialing.is_connected(&other));
    assert_eq!(notices.recv().await, Some(Notice::PeerGone(other)), "and that is the first notice");
}

/// Whatever a stranger says, it is told the same, and not even which coalition this is.
#[tokio::test]
async fn a_stranger_learns_nothing_before_its_certificate_verifies() {
    let (mut coalition, alice, bob) = pair();
    let host = Running::start(Site::new(&coalition, &alice).await);
    let revoked = coalition.issue(3, &[CIDR]);
    let mut stranger = Coalition::new();
    let foreign = stranger.issue(9, &[CIDR]);
    // It knows whom it dials; they do not know it.
    let guest = Site::knowing(&coalition, coalition.roster.clone(), &foreign).await;
    guest.network.dial(host.site.node(), vec![host.site.address.clone()]).await.unwrap();
    eventually("a lobby connection", async || !host.site.network.peers().await.unwrap().is_empty()).await;
    let greet = |coalition: Vec<u8>, certificate| {
        hello_request::Request::Greet(Greet {
            coalition,
            certificate,
            roster: Some(stranger.roster.version().into()),
            charter_version: 1,
            now: clock::now().as_micros(),
            your_logs: Vec::new(),
        })
    };
    let ours = coalition.id().to_vec();
    let asks = [
        greet(vec![7; 32], None),
        greet(ours.clone(), None),
        greet(ours.clone(), Some(schema::Record::default())),
        // Somebody else's certificate, on this node's connection.
        greet(ours.clone(), Some(bob.identity.record.clone())),
        greet(ours.clone(), Some(revoked.identity.record.clone())),
        greet(vec![7; 32], Some(foreign.identity.record.clone())),
        hello_request::Request::PullAdmin(PullAdmin { from_height: 1, from_charter: 1 }),
        hello_request::Request::PushAdmin(AdminPage::default()),
    ];
    for request in asks {
        let request = HelloRequest { request: Some(request) };
        let answer = guest.network.hello(&host.site.node(), request).await.unwrap();
        let refused = hello_response::Response::Refused(Refusal::NotCertified.into());
        assert_eq!(answer.response, Some(refused));
    }
}

/// A dialler whose certificate our log does not have yet brings it along, waits in the lobby, and is let in.
#[tokio::test]
async fn a_guest_with_a_newer_certificate_brings_the_log_that_names_it() {
    let (mut coalition, alice, _) = pair();
    let host = Running::start(Site::new(&coalition, &alice).await);
    let carol = coalition.issue(3, &[CLOUD]);
    let mut late = Running::start(Site::new(&coalition, &carol).await);
    late.site.network.dial(host.site.node(), vec![host.site.address.clone()]).await.unwrap();
    eventually("the host's log", async || {
        host.site.roster.snapshot().version() == coalition.roster.version()
    })
    .await;
    // The address it was dialled under is not in the book of the late one; its own record is in the host's,
    // once they have met again. Here it dials again by itself.
    let dial_again = async {
        loop {
            let _ = late.site.network.dial(host.site.node(), vec![host.site.address.clone()]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let site = &host.site;
    tokio::select! {
        () = dial_again => unreachable!(),
        () = async { while late.notices.recv().await.unwrap() != Notice::PeerReady(site.node()) {} } => {}
    }
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

/// One answer that is lost must not leave a peer ungreeted for minutes.
#[tokio::test]
async fn a_hello_that_was_not_answered_is_repeated() {
    let (coalition, alice, bob) = pair();
    let mut host = Site::new(&coalition, &alice).await;
    let (greeted, mut asked) = (admitting(&coalition.roster), 0);
    let hello = move |_| {
        asked += 1;
        match asked {
            1 => hello_response::Response::Refused(Refusal::Internal.into()),
            2 => hello_response::Response::Refused(Refusal::Busy.into()),
            _ => hello_response::Response::Greeted(greeted.clone()),
        }
    };
    let _tasks = answering(&mut host, hello, nothing);
    let mut node = Running::start(Site::new(&coalition, &bob).await);
    node.site.connect(&host).await;
    node.ready(&host).await;
    assert!(node.hellos.borrow().refused_by.is_empty());
}

#[tokio::test]
async fn who_refuses_us_as_not_certified_is_remembered_until_it_admits_us() {
    let (coalition, alice, bob) = pair();
    let mut host = Site::new(&coalition, &alice).await;
    let knows = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (greeted, learned) = (admitting(&coalition.roster), Arc::clone(&knows));
    let hello = move |_| match learned.load(Ordering::Relaxed) {
        false => hello_response::Response::Refused(Refusal::NotCertified.into()),
        true => hello_response::Response::Greeted(greeted.clone()),
    };
    let _tasks = answering(&mut host, hello, nothing);
    let mut node = Running::start(Site::new(&coalition, &bob).await);
    node.site.connect(&host).await;
    eventually("the refusal", async || node.hellos.borrow().refused_by.contains(&host.node())).await;
    assert_eq!(node.hellos.borrow().gate(), Gate::NoHello);
    knows.store(true, Ordering::Relaxed);
    node.ready(&host).await;
    assert!(node.hellos.borrow().refused_by.is_empty());
    assert_eq!(node.hellos.borrow().gate(), Gate::Open);
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

/// News of links may be lost; the network's own list is looked at, too.
#[tokio::test]
async fn a_connection_that_nobody_told_of_is_found() {
    let (coalition, alice, bob) = pair();
    let host = Running::start(Site::new(&coalition, &alice).await);
    let site = Site::new(&coalition, &bob).await;
    let mut membership = membership(&site, &Feed::default());
    site.connect(&host.site).await;
    assert!(!membership.dialing.is_connected(&host.site.node()));
    membership.look().await;
    assert!(membership.dialing.is_connected(&host.site.node()));
    site.network.disconnect(&host.site.node()).await.unwrap();
    eventually("the end of the connection", async || {
        site.network.peers().await.unwrap().iter().all(|peer| peer.node != host.site.node() || !peer.admitted)
    })
    .await;
    membership.look().await;
    assert!(!membership.dialing.is_connected(&host.site.node()));
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

fn beacon(coalition: &Coalition, roster: &Roster) -> schema::Signed {
    let week = Duration::from_secs(7 * 24 * 3600);
    belfry_proto::trust::beacon::make(
        roster.charter(),
        roster.version(),
        week,
        clock::now(),
        &coalition.registrar,
    )
}

#[tokio::test]
async fn a_beacon_makes_the_log_fresh_survives_a_restart_and_goes_stale() {
    let (coalition, alice, _) = pair();
    let site = Site::new(&coalition, &alice).await;
    let feed = Feed::default();
    let mut before = membership(&site, &feed);
    let charter = coalition.roster.charter();
    let fresh = |membership: &Membership, now| membership.watch.borrow().freshness(charter, now);
    assert_eq!(fresh(&before, clock::now()), Freshness::Unknown);
    let signed = beacon(&coalition, &coalition.roster);
    assert_eq!(before.judge_beacon(signed.clone(), None).await, Verdict::Accept);
    assert_eq!(before.judge_beacon(signed, None).await, Verdict::Ignore, "held already");
    let mut after = membership(&site, &feed);
    after.restore_watch();
    assert_eq!(fresh(&after, clock::now()), Freshness::Fresh);
    let made = after.watch.borrow().beacon.unwrap().made;
    let later = made.saturating_add(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(fresh(&after, later), Freshness::Stale(made));
}

#[tokio::test]
async fn a_beacon_whose_head_is_not_here_is_not_fresh_and_displaces_nothing() {
    let (mut coalition, alice, _) = pair();
    let (earlier, site) = (coalition.roster.clone(), Site::new(&coalition, &alice).await);
    coalition.issue(3, &[CIDR]);
    let mut membership = membership(&site, &Feed::default());
    assert_eq!(membership.judge_beacon(beacon(&coalition, &earlier), None).await, Verdict::Accept);
    let held = membership.watch.borrow().beacon;
    let ahead = beacon(&coalition, &coalition.roster);
    assert_eq!(membership.judge_beacon(ahead, None).await, Verdict::Accept, "told on");
    let watch = membership.watch.borrow().clone();
    assert_eq!((watch.beacon, watch.missing), (held, Some(coalition.roster.version())));
    // The record comes, and with it the freshness.
    let record = coalition.roster.records().last().unwrap().record.clone();
    assert!(membership.offer(Vec::new(), vec![record]).await);
    let watch = membership.watch.borrow().clone();
    assert_eq!(watch.beacon.unwrap().head, coalition.roster.version());
    assert_eq!(watch.missing, None);
}

/// Two histories under one registrar: the beacon of the other is no news about ours.
#[tokio::test]
async fn a_beacon_for_another_log_is_shown_and_displaces_nothing() {
    let (coalition, alice, _) = pair();
    let (mut ours, mut other) = (coalition.clone(), coalition);
    ours.issue(3, &[CIDR]);
    other.issue(4, &[CIDR]);
    let site = Site::new(&ours, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    membership.judge_beacon(beacon(&ours, &ours.roster), None).await;
    let held = membership.watch.borrow().beacon;
    membership.judge_beacon(beacon(&other, &other.roster), None).await;
    let watch = membership.watch.borrow().clone();
    assert_eq!((watch.beacon, watch.contradicted), (held, Some(other.roster.version())));
}

#[tokio::test]
async fn a_forged_beacon_is_ignored() {
    let (coalition, alice, _) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let mut forged = beacon(&coalition, &coalition.roster);
    *forged.signatures[0].signature.last_mut().unwrap() ^= 1;
    assert_eq!(membership.judge_beacon(forged, None).await, Verdict::Ignore);
    assert!(membership.watch.borrow().beacon.is_none());
}

#[tokio::test]
async fn a_beacon_comes_with_the_hello() {
    let (coalition, alice, bob) = pair();
    let host = Running::start(Site::new(&coalition, &alice).await);
    assert!(host.import.beacon(beacon(&coalition, &coalition.roster)).await);
    let site = Site::new(&coalition, &bob).await;
    let store = site.store.clone();
    let node = Running::start(site);
    node.site.connect(&host.site).await;
    eventually("the beacon", async || store.beacon().unwrap().is_some()).await;
}

#[tokio::test]
async fn two_entries_for_one_height_are_proof_that_is_kept_and_told_on() {
    let (coalition, alice, bob) = pair();
    let (mut ours, mut other) = (coalition.clone(), coalition);
    ours.issue(3, &[CIDR]);
    other.issue(4, &[CIDR]);
    let site = Site::new(&ours, &alice).await;
    let height = ours.roster.version().height;
    let conflicting = other.roster.records().last().unwrap().record.clone();
    {
        let mut membership = membership(&site, &Feed::default());
        let own = ours.roster.records().last().unwrap().record.clone();
        assert_eq!(membership.judge_record(own, bob.identity.node).await, Verdict::Ignore);
        let judged = membership.judge_record(conflicting.clone(), bob.identity.node).await;
        assert_eq!(judged, Verdict::Accept, "so that others with our branch see it, too");
        let again = membership.judge_record(conflicting, bob.identity.node).await;
        assert_eq!(again, Verdict::Ignore);
    }
    let mut restarted = membership(&site, &Feed::default());
    restarted.restore_watch();
    assert_eq!(restarted.watch.borrow().equivocations, [height]);
    assert_eq!(site.store.equivocations().unwrap().len(), 1);
}

/// Not only gossip and hellos bring the other log: whoever was given its file has the proof in hand.
#[tokio::test]
async fn a_file_with_another_entry_at_our_height_is_proof_and_changes_nothing() {
    let (coalition, alice, _) = pair();
    let (mut ours, mut other) = (coalition.clone(), coalition);
    ours.issue(3, &[CIDR]);
    other.issue(4, &[CIDR]);
    other.issue(5, &[CIDR]);
    let site = Site::new(&ours, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let records =
        |coalition: &Coalition| coalition.roster.records().map(|r| r.record.clone()).collect::<Vec<_>>();
    assert!(!membership.offer(Vec::new(), records(&ours)).await);
    assert!(site.store.equivocations().unwrap().is_empty(), "our own is none");
    assert!(!membership.offer(Vec::new(), records(&other)).await);
    assert_eq!(membership.roster_now().version(), ours.roster.version());
    assert_eq!(membership.watch.borrow().equivocations, [ours.roster.version().height]);
    assert_eq!(site.store.equivocations().unwrap().len(), 1);
}

/// The two branches meet in a hello: each side fetches what contradicts its own.
#[tokio::test]
async fn nodes_on_two_branches_find_the_proof_when_they_meet() {
    let (coalition, alice, bob) = pair();
    for longer in [false, true] {
        let (mut ours, mut other) = (coalition.clone(), coalition.clone());
        ours.issue(3, &[CIDR]);
        other.issue(4, &[CIDR]);
        if longer {
            other.issue(5, &[CIDR]);
        }
        let host = Running::start(Site::new(&ours, &alice).await);
        let guest = Running::start(Site::new(&other, &bob).await);
        guest.site.connect(&host.site).await;
        eventually("the proof", async || !guest.site.store.equivocations().unwrap().is_empty()).await;
        assert!(!guest.hellos.borrow().forked_with.is_empty() || longer);
    }
}
