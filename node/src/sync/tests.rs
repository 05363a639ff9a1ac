//! Nodes in one process that are level, behind, silent, slow or lying. Everything waits for what it claims;
//! nothing sleeps to be in step.

use std::{sync::Arc, time::Duration};

use belfry_proto::{
    envelope::{Author, Decoded, Draft, Position, Withdrawal, seal_message},
    id::{Height, LogId, MemberId, MessageId, Sequence, Serial},
    schema::{
        self, Frontier, Page, PullRange, Refusal, SyncResponse, WithdrawalGround, WithdrawalMode,
        sync_request::Request, sync_response::Response,
    },
    sync::frontier,
    time::Timestamp,
};
use prost::Message;
use tokio::task::JoinSet;

mod claims;
mod excuses;
mod forks;
mod removed;
mod room;
mod serving;
mod slices;

use super::*;
use crate::{
    clock,
    feed::{Feed, Notice},
    heard::Contacts,
    ingest::Ingest,
    membership::Membership,
    refusals::Way,
    rows,
    store::{Change, EnvelopeRow, MessageState},
    testing::{CIDR, CLOUD, Coalition, Seat, Site, eventually},
};

/// Far longer than any of this takes: rounds are not what these tests wait for.
const NEVER: Duration = Duration::from_secs(3600);

/// A node that pulls.
struct Puller {
    site: Site,
    feed: Feed,
    counters: Arc<Counters>,
    progress: Progress,
    _tasks: JoinSet<()>,
    _membership: Membership,
}

impl Puller {
    async fn start(coalition: &Coalition, seat: &Seat) -> Self {
        Self::start_in(Site::new(coalition, seat).await)
    }

    fn start_in(site: Site) -> Self {
        Self::start_linked(site, Timestamp::ZERO)
    }

    /// One that has had peers since then.
    fn start_linked(mut site: Site, since: Timestamp) -> Self {
        let (feed, counters) = (Feed::default(), Arc::new(Counters::default()));
        let membership = site.membership(&feed);
        let (ingest, queues, intake) = Ingest::new(
            Arc::clone(&site.seat.identity),
            site.store.clone(),
            site.network.clone(),
            site.roster.clone(),
            feed.clone(),
            membership.behind(),
        );
        let outlook = Tell::default();
        let progress = outlook.progress(&counters);
        let inbound = site.inbound.take().unwrap();
        let (judge, keep, reopen) = ingest.loops(queues, inbound.gossip);
        let sync = Sync {
            identity: Arc::clone(&site.seat.identity),
            store: site.store.clone(),
            network: site.network.clone(),
            roster: site.roster.clone(),
            feed: feed.clone(),
            intake,
            counters: Arc::clone(&counters),
            interval: NEVER,
            outlook,
            linked: since.as_micros().into(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(judge);
        tasks.spawn(keep);
        tasks.spawn(reopen);
        tasks.spawn(sync.run());
        Self { site, feed, counters, progress, _tasks: tasks, _membership: membership }
    }

    fn told(&self) -> GroupProgress {
        self.progress.group(&self.site.store, CIDR).unwrap()
    }

    fn refused(&self, way: Way, code: &str) -> u64 {
        let counts = self.site.network.refusals().counts().into_iter();
        counts.filter(|(of, reason, _)| *of == way && *reason == code).map(|(_, _, count)| count).sum()
    }

    async fn says(&self, state: State) {
        eventually(&format!("{state:?}"), async || self.told().state == state).await;
    }

    /// What membership says once a peer is level.
    fn ready(&self, peer: &Site) {
        self.feed.notify(Notice::PeerReady(peer.node()));
    }

    async fn holds(&self, messages: &[Decoded]) {
        let last = messages.last().unwrap().header();
        let what = format!("holding {} messages", last.sequence);
        eventually(&what, async || self.site.height(last.group, last.log) == last.sequence.get()).await;
    }
}

/// Lets `site` serve as a node does.
fn serve(site: &mut Site) -> (Arc<Counters>, JoinSet<()>) {
    let counters = Arc::new(Counters::default());
    let serving = Serving {
        store: site.store.clone(),
        roster: site.roster.clone(),
        counters: Arc::clone(&counters),
        contacts: Contacts::unheard(&site.store),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(serving.run(site.inbound.take().unwrap().sync));
    (counters, tasks)
}

/// Lets `site` answer as `answers` says; `None` leaves the asker waiting.
fn misbehave(
    site: &mut Site,
    mut answers: impl FnMut(Request) -> Option<Response> + Send + 'static,
) -> JoinSet<()> {
    let mut asked = site.inbound.take().unwrap().sync;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut unanswered = Vec::new();
        while let Some(asked) = asked.recv().await {
            match answers(asked.request.request.clone().unwrap()) {
                Some(response) => asked.reply.send(SyncResponse { response: Some(response) }),
                None => unanswered.push(asked),
            }
        }
    });
    tasks
}

/// The frontier of whoever holds these messages and nothing else.
fn frontier_with(coalition: &Coalition, messages: &[Decoded]) -> Response {
    let last = messages.last().unwrap();
    let held = frontier::LogFrontier {
        group: last.header().group,
        log: last.header().log,
        low: Sequence::new(1),
        height: last.header().sequence,
        head: last.message_id(),
        bodies: last.header().sequence.get(),
        frozen: Sequence::new(0),
        missing: frontier::MissingSum::default(),
    };
    let hash = frontier::hash(coalition.id(), held.group, &[held]);
    Response::Frontier(Frontier { hash: hash.to_vec(), logs: vec![(&held).into()], more: false })
}

fn page_of<'a>(messages: impl IntoIterator<Item = &'a Decoded>) -> Response {
    let envelopes = messages.into_iter().map(|message| message.bytes().to_vec()).collect();
    Response::Page(Page { envelopes, more: true, ..Page::default() })
}

fn bare(message: &Decoded) -> Vec<u8> {
    let mut envelope = schema::Envelope::decode(message.bytes()).unwrap();
    envelope.body = None;
    envelope.encode_to_vec()
}

/// Three members of one group; the first writes.
fn three() -> (Coalition, [Seat; 3]) {
    let mut coalition = Coalition::new();
    let seats = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    (coalition, seats)
}

#[tokio::test]
async fn what_one_missed_comes_from_a_peer() {
    let (coalition, [alice, bob, _]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 600);
    let mut holder = Site::new(&coalition, &alice).await;
    holder.hold(&messages).await;
    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start(&coalition, &bob).await;
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&messages).await;
    eventually("the count", async || puller.counters.snapshot().kept == 600).await;
    let counts = puller.counters.snapshot();
    assert_eq!(counts.faults, 0);
    assert!(counts.pages >= 3, "bounded pages");

    // Level: one hash each way, and no page.
    puller.ready(&holder);
    eventually("a level comparison", async || puller.counters.snapshot().level > 0).await;
    assert_eq!(puller.counters.snapshot().pages, counts.pages);
}

/// From being alone to being level, each state with its reason, and never level on nobody's word.
#[tokio::test]
async fn what_is_missing_is_told_with_the_reason() {
    let mut coalition = Coalition::new();
    let [alice, bob, carol, dave] = [1, 2, 3, 4].map(|n| coalition.issue(n, &[CIDR]));
    let messages = coalition.messages(&alice, CIDR, None, 30);
    let puller = Puller::start(&coalition, &bob).await;
    puller.says(State::NoPeer).await;
    assert_eq!(puller.progress.report().compared, None);

    // One that promises everything and sends nothing.
    let mut silent = Site::new(&coalition, &carol).await;
    let promise = frontier_with(&coalition, &messages);
    let _silence = misbehave(&mut silent, move |request| match request {
        Request::Frontier(_) => Some(promise.clone()),
        Request::Range(_) => Some(Response::Refused(Refusal::Busy.into())),
        _ => None,
    });
    puller.site.connect(&silent).await;
    puller.ready(&silent);
    puller.says(State::WaitingForPeer).await;
    let told = puller.told();
    assert_eq!((told.held, told.offered, told.of_resting_peers), (0, 30, 30));
    assert!(puller.counters.snapshot().pauses > 0, "a peer that is busy is counted, and not as a fault");
    puller.feed.notify(Notice::PeerGone(silent.node()));
    puller.says(State::NoPeer).await;

    // Somebody who has as little, while a later entry shows that there is more.
    puller.site.hold(&messages[..2]).await;
    puller.site.hold(&messages[9..10]).await;
    let mut poor = Site::new(&coalition, &dave).await;
    let (_, _poor_tasks) = serve(&mut poor);
    puller.site.connect(&poor).await;
    puller.ready(&poor);
    puller.says(State::NobodyOffers).await;
    assert_eq!((puller.told().held, puller.told().gaps_nobody_offers), (2, 1));

    let mut holder = Site::new(&coalition, &alice).await;
    holder.hold(&messages).await;
    let (_, _tasks) = serve(&mut holder);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    // Their key nobody has.
    puller.says(State::WaitingForKey).await;
    let told = puller.told();
    assert_eq!((told.held, told.offered, told.gaps_nobody_offers, told.waiting_for_key), (30, 0, 0, 30));
    assert!(puller.progress.report().compared.is_some());
}

#[tokio::test]
async fn a_silent_peer_does_not_stall_the_others() {
    let (coalition, [alice, bob, carol]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 300);
    // One that says nothing at all, one that promises everything and sends nothing.
    for promises in [false, true] {
        let mut silent = Site::new(&coalition, &carol).await;
        let promise = frontier_with(&coalition, &messages);
        let _silence = misbehave(&mut silent, move |request| match request {
            Request::Frontier(_) if promises => Some(promise.clone()),
            _ => None,
        });
        let mut holder = Site::new(&coalition, &alice).await;
        holder.hold(&messages).await;
        let (_, _tasks) = serve(&mut holder);
        let puller = Puller::start(&coalition, &bob).await;
        for peer in [&silent, &holder] {
            puller.site.connect(peer).await;
            puller.ready(peer);
        }
        puller.holds(&messages).await;
    }
}

/// One way to break a promise: what is sent for the range asked for.
type Lie = fn(&[Decoded], &PullRange) -> Option<Response>;

#[tokio::test]
async fn what_a_liar_does_not_serve_comes_from_another_peer() {
    let lies: [(&str, &str, Lie); 8] = [
        ("an empty page", "page-empty", |_, _| Some(Response::Page(Page { more: true, ..Page::default() }))),
        ("a hole", "page-out-of-order", |all, _| Some(page_of(all.iter().step_by(2)))),
        ("not from where it was asked for", "page-out-of-order", |all, _| Some(page_of(&all[1..]))),
        ("more than a page", "page-too-many", |all, _| Some(page_of(all.iter().cycle().take(300)))),
        ("bare headers", "bodiless", |all, _| {
            Some(Response::Page(Page {
                envelopes: all.iter().map(bare).collect(),
                more: true,
                ..Page::default()
            }))
        }),
        ("good ones, then a bare header", "bodiless", |all, _| {
            let mut envelopes: Vec<_> = all[..5].iter().map(|m| m.bytes().to_vec()).collect();
            envelopes.push(bare(&all[5]));
            Some(Response::Page(Page { envelopes, more: true, ..Page::default() }))
        }),
        ("no envelopes", "malformed", |_, _| {
            Some(Response::Page(Page { envelopes: vec![vec![7; 100]], more: true, ..Page::default() }))
        }),
        ("an answer to another question", "wrong-answer", |_, _| {
            Some(Response::Addresses(schema::Addresses::default()))
        }),
    ];
    let (coalition, [alice, bob, carol]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 20);
    for (name, code, lie) in lies {
        let mut liar = Site::new(&coalition, &carol).await;
        let (promise, all) = (frontier_with(&coalition, &messages), messages.clone());
        let _lying = misbehave(&mut liar, move |request| match request {
            Request::Frontier(_) => Some(promise.clone()),
            Request::Range(range) => lie(&all, &range),
            _ => None,
        });
        let mut holder = Site::new(&coalition, &alice).await;
        holder.hold(&messages).await;
        let (_, _tasks) = serve(&mut holder);
        let puller = Puller::start(&coalition, &bob).await;
        puller.site.connect(&liar).await;
        puller.ready(&liar);
        eventually(name, async || puller.counters.snapshot().faults > 0).await;
        assert!(puller.refused(Way::PageAnswer, code) > 0, "{name}");
        puller.site.connect(&holder).await;
        puller.ready(&holder);
        puller.holds(&messages).await;
    }
}

/// The message with a signature that its author did not make.
fn unsigned(message: &Decoded) -> Decoded {
    let mut envelope = schema::Envelope::decode(message.bytes()).unwrap();
    envelope.signature[5] ^= 1;
    belfry_proto::envelope::decode(&envelope.encode_to_vec()).unwrap()
}

/// An author that vouches for what it did not sign breaks its own log, and no peer is at fault that serves it, wherever
/// its pages end.
#[tokio::test]
async fn whoever_serves_what_its_author_did_not_sign_is_not_blamed_at_the_edge_of_a_page() {
    let (coalition, [alice, bob, _]) = three();
    // The last of a chunk, and of a page.
    let mut messages: Vec<Decoded> = Vec::new();
    for count in [128, 128, 40] {
        messages.extend(coalition.messages(&alice, CIDR, messages.last(), count));
        let last = messages.pop().unwrap();
        messages.push(if count == 128 { unsigned(&last) } else { last });
    }
    let mut holder = Site::new(&coalition, &alice).await;
    holder.hold(&messages).await;
    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start(&coalition, &bob).await;
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&messages).await;
    assert_eq!(puller.counters.snapshot().faults, 0);
}

/// A page of another group's log is not what was asked for, and nothing of it is kept on this peer's word.
#[tokio::test]
async fn a_page_of_another_group_is_refused() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(1, &[CIDR, CLOUD]);
    let bob = coalition.issue(2, &[CIDR]);
    let (ours, others) =
        (coalition.messages(&alice, CIDR, None, 3), coalition.messages(&alice, CLOUD, None, 3));
    let mut liar = Site::new(&coalition, &alice).await;
    let (promise, page) = (frontier_with(&coalition, &ours), page_of(&others));
    let _lying = misbehave(&mut liar, move |request| match request {
        Request::Frontier(_) => Some(promise.clone()),
        _ => Some(page.clone()),
    });
    let puller = Puller::start(&coalition, &bob).await;
    puller.site.connect(&liar).await;
    puller.ready(&liar);
    eventually("a fault", async || puller.counters.snapshot().faults > 0).await;
    assert!(puller.site.store.logs(CLOUD).is_empty());
}

#[tokio::test]
async fn lying_frontiers_are_counted_and_ask_for_nothing() {
    let (coalition, [alice, bob, carol]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 3);
    let honest = frontier_with(&coalition, &messages);
    let changed = |change: fn(&mut Frontier)| {
        let Response::Frontier(mut frontier) = honest.clone() else { unreachable!() };
        change(&mut frontier);
        Response::Frontier(frontier)
    };
    let lies = [
        ("another group", changed(|f| f.logs[0].group = CLOUD.get())),
        ("more bodies than entries", changed(|f| f.logs[0].bodies = 99)),
        ("twice the same log", changed(|f| f.logs.push(f.logs[0].clone()))),
        ("a hash of something else", changed(|f| f.hash = vec![1; 32])),
        (
            "parts without end",
            changed(|f| {
                f.logs.clear();
                f.more = true;
            }),
        ),
    ];
    for (name, lie) in lies {
        let mut liar = Site::new(&coalition, &carol).await;
        let _lying = misbehave(&mut liar, move |request| {
            assert!(matches!(request, Request::Frontier(_)), "nothing is fetched on such a word");
            Some(lie.clone())
        });
        let puller = Puller::start(&coalition, &bob).await;
        puller.site.connect(&liar).await;
        puller.ready(&liar);
        eventually(name, async || puller.counters.snapshot().faults > 0).await;
        let counts = puller.site.network.refusals().counts();
        let of_answers =
            |(way, code, _): &(Way, &str, u64)| *way == Way::FrontierAnswer && code.starts_with("frontier-");
        assert!(counts.iter().any(of_answers), "{name}: {counts:?}");
    }
}

/// An erasure of `target`, signed by the author of it in another log.
fn erasure(coalition: &Coalition, by: &Seat, target: MessageId) -> Decoded {
    erasure_for(coalition, by, target, WithdrawalGround::Author)
}

fn erasure_for(coalition: &Coalition, by: &Seat, target: MessageId, ground: WithdrawalGround) -> Decoded {
    let author = Author {
        coalition: coalition.id(),
        certificate: coalition.roster.certificate(by.identity.serial).unwrap(),
        signing: &by.identity.signing,
        roster: coalition.roster.version(),
    };
    let position = Position {
        group: CIDR,
        instance: [0x77; 16],
        predecessor: None,
        sequence: Sequence::new(1),
        prev: MessageId::ZERO,
    };
    let draft = Draft::Withdrawal(Withdrawal { targets: vec![target], mode: WithdrawalMode::Erase, ground });
    seal_message(&draft, &position, &author, clock::now(), &mut rand::rng()).unwrap()
}

/// Holds a withdrawal, and what it comes to.
async fn weigh(site: &Site, coalition: &Coalition, withdrawal: &Decoded) {
    let (header, id, now) = (withdrawal.header(), withdrawal.message_id(), clock::now());
    let state = MessageState::Closed;
    let row = rows::envelope(header, id, withdrawal.bytes(), true, state, now, header.roster.height);
    let withdraws = rows::withdraws(&coalition.roster, id, header, now);
    site.store.commit(Change::Envelope(Box::new(EnvelopeRow { withdraws, ..row }))).await.unwrap();
    reweigh(site).await;
}

async fn reweigh(site: &Site) {
    reweigh_at(site, clock::now()).await;
}

async fn reweigh_at(site: &Site, now: Timestamp) {
    loop {
        let work = site.store.to_reweigh(now, 10).unwrap();
        if work.is_empty() {
            return;
        }
        site.store.commit(Change::Reweigh { work, now }).await.unwrap();
    }
}

/// One entry of a log of its own, early in the order of ids.
fn filler(n: usize) -> EnvelopeRow {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&u64::try_from(n + 1).unwrap().to_be_bytes());
    EnvelopeRow {
        group: CIDR,
        log: LogId::new(bytes),
        sequence: Sequence::new(1),
        id: MessageId::new(bytes),
        prev: MessageId::ZERO,
        member: MemberId::new([1; 16]),
        serial: Serial::new(u64::try_from(n + 1).unwrap()),
        created: Timestamp::from_micros(1),
        received: Timestamp::from_micros(2),
        key_id: None,
        written_at: Height::new(1),
        judged_at: Height::new(u64::MAX),
        in_closed_log: false,
        is_cut_point: false,
        is_listed: false,
        is_vouched: false,
        opens_later: false,
        bytes: vec![7; 10],
        has_body: true,
        state: MessageState::Closed,
        content: None,
        reason: None,
        withdraws: None,
    }
}

#[tokio::test]
async fn what_gossip_should_have_brought_is_counted_as_late() {
    let (coalition, [alice, bob, _]) = three();
    let now = clock::now();
    let ago = |minutes: u64| now.saturating_sub(Duration::from_secs(60 * minutes));
    let ahead = now.saturating_add(Duration::from_secs(240));
    // Before this node had peers, while it had, and just now by a clock that is ahead.
    let mut messages: Vec<Decoded> = Vec::new();
    for (written, count) in [(ago(30), 1), (ago(10), 2), (ahead, 4)] {
        let more = coalition.messages_at(written, &alice, CIDR, [0x11; 16], messages.last(), count).0;
        messages.extend(more);
    }
    let mut holder = Site::new(&coalition, &alice).await;
    holder.hold(&messages).await;
    let (_, _tasks) = serve(&mut holder);
    for (since, late) in [(ago(20), 2), (ago(10), 0), (Timestamp::ZERO, 0)] {
        let puller = Puller::start_linked(Site::new(&coalition, &bob).await, since);
        puller.site.connect(&holder).await;
        puller.ready(&holder);
        puller.holds(&messages).await;
        eventually("a page counted", async || puller.counters.snapshot().kept == 7).await;
        assert_eq!(puller.counters.snapshot().late, late, "with peers since {since}");
    }
}

/// What is compared is what the store says, and a bare header is no entry.
#[tokio::test]
async fn a_frontier_counts_what_is_held() {
    let (coalition, [alice, ..]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 4);
    let site = Site::new(&coalition, &alice).await;
    site.hold(&messages[..2]).await;
    site.hold(&messages[3..]).await;
    let frontier = site.store.frontier(CIDR);
    let held: Vec<_> = frontier.logs().iter().map(|log| (log.height.get(), log.bodies)).collect();
    assert_eq!(held, [(2, 2)]);
}
