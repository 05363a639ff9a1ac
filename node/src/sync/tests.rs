//! Nodes in one process that are level, behind, silent, slow or lying. Everything waits for what it claims;
//! nothing sleeps to be in step.

use std::{sync::Arc, time::Duration};

use belfry_proto::{
    envelope::{Author, Decoded, Draft, LIFTED_WITHIN, Position, Withdrawal, Word, seal_message},
    id::{Height, LogId, MemberId, MessageId, Sequence, Serial},
    schema::{
        self, Frontier, Page, PullFrontier, PullRange, Refusal, SyncRequest, SyncResponse, WithdrawalGround,
        WithdrawalMode, sync_request::Request, sync_response::Response,
    },
    sync::frontier,
    time::Timestamp,
};
use futures::future::join_all;
use prost::Message;
use tokio::task::JoinSet;

mod claims;
mod removed;
mod slices;

use super::*;
use crate::{
    clock,
    feed::{Feed, Notice},
    ingest::Ingest,
    membership::{Contacts, DialLimits, GateTimes, Membership, Reach},
    refusals::Way,
    rows,
    space::{Space, tests::Disk},
    store::{Change, CheckedLog, EnvelopeRow, JudgedLog, MessageState, Withdraws},
    testing::{CIDR, CLOUD, Coalition, PATIENCE, Seat, Site, eventually},
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
        let limits = DialLimits { longest_wait: NEVER, most: 0 };
        let membership = Membership::new(
            Arc::clone(&site.seat.identity),
            site.store.clone(),
            site.network.clone(),
            site.roster.clone(),
            feed.clone(),
            Reach {
                bootstrap: Vec::new(),
                external: Vec::new(),
                listens: true,
                relays: Default::default(),
                limits,
                gate: GateTimes::default(),
            },
        );
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

/// More logs than one reply lists: the one that is missing stands in the second part.
#[tokio::test]
async fn a_group_of_more_logs_than_a_list_holds_converges() {
    let (coalition, [alice, bob, _]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 3);
    let mut holder = Site::new(&coalition, &alice).await;
    let puller_site = Site::new(&coalition, &bob).await;
    let many = belfry_proto::limits::MAX_FRONTIER_LOGS + 10;
    for site in [&holder, &puller_site] {
        let commits = (0..many).map(|n| site.store.commit(Change::Envelope(Box::new(filler(n)))));
        assert!(join_all(commits).await.iter().all(Result::is_ok));
    }
    assert!(messages[0].header().log > filler(many).log, "in the second part");
    holder.hold(&messages).await;
    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start_in(puller_site);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&messages).await;
}

/// A steward's withdrawal was lifted, but this node had shredded the body meanwhile.
#[tokio::test]
async fn a_missing_body_is_fetched_from_whoever_has_it() {
    let (coalition, [alice, bob, carol]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 3);
    let target = messages[1].message_id();
    let mut holder = Site::new(&coalition, &carol).await;
    holder.hold(&messages).await;
    let site = Site::new(&coalition, &bob).await;
    site.hold(&messages).await;
    let now = clock::now();
    let withdraws = |n: usize, mode, target: MessageId| {
        let row = filler(n);
        let word = Word {
            id: row.id,
            group: CIDR,
            member: MemberId::new([9; 16]),
            mode,
            ground: WithdrawalGround::Rules,
            by_steward: true,
            created: now,
            seen: now,
        };
        let header = schema::Header { targets: vec![target.to_vec()], ..schema::Header::default() };
        let envelope = schema::Envelope { header: header.encode_to_vec(), ..schema::Envelope::default() };
        let withdraws = Some(Withdraws { word, targets: vec![target] });
        EnvelopeRow { withdraws, bytes: envelope.encode_to_vec(), ..row }
    };
    let weigh = async |row: EnvelopeRow, now| {
        site.store.commit(Change::Envelope(Box::new(row))).await.unwrap();
        loop {
            let work = site.store.to_reweigh(now, 10).unwrap();
            if work.is_empty() {
                return site.store.wants_body(target).unwrap();
            }
            site.store.commit(Change::Reweigh { work, now }).await.unwrap();
        }
    };
    let erased = withdraws(0, WithdrawalMode::Erase, target);
    let withdrawal = erased.id;
    assert!(!weigh(erased, now.saturating_add(LIFTED_WITHIN)).await, "gone by right");
    assert!(weigh(withdraws(1, WithdrawalMode::Lift, withdrawal), now).await, "missing");

    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start_in(site);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    eventually("the body to come", async || !puller.site.store.wants_body(target).unwrap()).await;
    assert!(puller.site.store.message(target).unwrap().unwrap().has_body);
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

/// What its log's judgement says of a withdrawal whose author signed two histories.
async fn disputes(site: &Site, withdrawal: &Decoded) {
    let hide = vec![(withdrawal.message_id(), MessageState::Disputed)];
    let (group, log) = (CIDR, withdrawal.header().log);
    let judged = JudgedLog { group, log, hide, show: Vec::new(), promote: Vec::new(), end: None };
    site.store.commit(Change::Judged(judged)).await.unwrap();
    reweigh(site).await;
}

/// The body went by an erasure that stands no more: its absence is excused by nothing, and nobody here has it.
#[tokio::test]
async fn an_erasure_that_stands_no_more_stops_no_late_joiner() {
    for knows_that in [false, true] {
        let mut coalition = Coalition::new();
        let [alice, bob, carol, dave] = [1, 2, 3, 4].map(|n| coalition.issue(n, &[CIDR]));
        let messages = coalition.messages(&alice, CIDR, None, 6);
        let target = messages[1].message_id();
        let [erased, denied] = [(); 2].map(|()| erasure(&coalition, &alice, target));
        let mut holder = Site::new(&coalition, &bob).await;
        holder.hold(&messages[..5]).await;
        weigh(&holder, &coalition, &erased).await;
        assert!(!holder.store.message(target).unwrap().unwrap().has_body);
        weigh(&holder, &coalition, &denied).await;
        disputes(&holder, &erased).await;
        assert!(holder.store.wants_body(target).unwrap(), "missing, and no withdrawal stands");

        let joiner = Site::new(&coalition, &carol).await;
        if knows_that {
            weigh(&joiner, &coalition, &erased).await;
            weigh(&joiner, &coalition, &denied).await;
            disputes(&joiner, &erased).await;
        }
        let (_, _tasks) = serve(&mut holder);
        let puller = Puller::start_in(joiner);
        puller.site.connect(&holder).await;
        puller.ready(&holder);
        puller.holds(&messages[..5]).await;
        // What comes later goes on from there.
        holder.hold(&messages[5..]).await;
        puller.ready(&holder);
        puller.holds(&messages).await;
        assert_eq!(puller.counters.snapshot().faults, 0, "the holder did what it could");
        if knows_that {
            assert!(puller.site.store.wants_body(target).unwrap());
            puller.says(State::NobodyOffers).await;
            assert_eq!(puller.told().without_body, 1);
            // Level: what neither has is not asked for again and again.
            eventually("both pages counted", async || puller.counters.snapshot().pages == 2).await;
            let before = puller.counters.snapshot().level;
            puller.ready(&holder);
            eventually("a level comparison", async || puller.counters.snapshot().level > before).await;
            assert_eq!(puller.counters.snapshot().pages, 2);
            // Somebody has it after all.
            let mut lucky = Site::new(&coalition, &dave).await;
            lucky.hold(&messages).await;
            let (_, _lucky_tasks) = serve(&mut lucky);
            puller.site.connect(&lucky).await;
            puller.ready(&lucky);
            eventually("the body", async || !puller.site.store.wants_body(target).unwrap()).await;
        }
    }
}

/// A page whose excuse has to wait for the admin log: the bare entry waits with it, and the peer is not to blame.
#[tokio::test]
async fn an_entry_whose_excuse_is_parked_waits_without_blame() {
    let mut coalition = Coalition::new();
    let [alice, bob, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    let messages = coalition.messages(&alice, CIDR, None, 4);
    let behind = coalition.roster.clone();
    coalition.issue(4, &[CIDR]);
    let erased = erasure(&coalition, &alice, messages[1].message_id());
    let mut holder = Site::new(&coalition, &bob).await;
    holder.hold(&messages).await;
    weigh(&holder, &coalition, &erased).await;
    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start_in(Site::knowing(&coalition, behind, &carol).await);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&messages[..1]).await;
    eventually("the excuse parked", async || !puller.site.store.parked(None, 9).unwrap().is_empty()).await;
    // Asked for again and again, until the admin log is here.
    puller.site.roster.replace(coalition.roster.clone());
    puller.feed.notify(Notice::RosterChanged(coalition.roster.version().height));
    puller.holds(&messages).await;
    assert_eq!(puller.counters.snapshot().faults, 0);
    assert!(!puller.site.store.wants_body(messages[1].message_id()).unwrap());
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

    disk.set(1000);
    space.look();
    puller.holds(&messages).await;
}

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
