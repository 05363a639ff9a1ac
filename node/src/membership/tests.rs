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
    trust::roster::Roster,
};
use prost::Message;
use tokio::task::JoinSet;

use super::*;
use crate::{
    clock,
    feed::Notices,
    heard::{Gate, GateTimes},
    network::Inbound,
    sync::Serving,
    testing::{CIDR, CLOUD, Coalition, PATIENCE, Seat, Site, eventually},
};

mod addresses;
mod beacons;
mod charters;
mod contacts;
mod gate;
mod on_sight;
mod seen;
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
    _tasks: JoinSet<()>,
}

impl Running {
    fn start(mut site: Site) -> Self {
        let feed = Feed::default();
        let membership = membership(&site, &feed);
        let (hellos, behind, import) = (membership.hellos(), membership.behind(), membership.import());
        let Inbound { gossip, hello, sync, links, .. } = site.inbound.take().unwrap();
        let serving = Serving {
            store: site.store.clone(),
            roster: site.roster.clone(),
            counters: Arc::default(),
            contacts: membership.contacts(),
        };
        let notices = feed.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn(serving.run(sync));
        tasks.spawn(membership.run(Sources { hello, gossip, links }));
        Self { site, notices, hellos, behind, import, _tasks: tasks }
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

/// What is lost with a network that panics, or has stopped, is no topic that was joined.
#[tokio::test]
async fn a_topic_that_the_network_did_not_hear_of_is_not_taken_for_joined() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(1, &[CIDR]);
    let site = Site::new(&coalition, &alice).await;
    let (mut joined, mut deaf) = (membership(&site, &Feed::default()), membership(&site, &Feed::default()));
    joined.subscribe().await;
    assert_eq!(joined.topics, BTreeSet::from([Topic::Admin, Topic::Group(CIDR)]));
    site.network.shutdown().await;
    deaf.subscribe().await;
    assert!(deaf.topics.is_empty(), "{:?}", deaf.topics);
    // Nor is one left that it still holds.
    joined.topics.insert(Topic::Group(CLOUD));
    joined.subscribe().await;
    assert!(joined.topics.contains(&Topic::Group(CLOUD)));
}
