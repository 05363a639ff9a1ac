//! Keys between nodes in one process: a peer that floods, one that keeps silent, one that lies.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use belfry_proto::{
    envelope::{ContentKey, KeyContext},
    id::{EntryId, KeyId, LogId, MemberId, RosterVersion},
    schema::{Audience, KeysRequest, KeysResponse, Refusal, SealedGrant},
};
use tokio::{sync::watch, task::JoinSet};

use super::*;
use crate::{
    clock,
    feed::{Feed, Notice},
    heard::Hellos,
    network::{Asked, Network},
    refusals::Way,
    store::{Change, KeyRow},
    testing::{CIDR, CLOUD, Coalition, Seat, Site, eventually},
};

fn key_of(coalition: &Coalition, author: &Seat) -> ContentKey {
    let context = KeyContext {
        coalition: coalition.id(),
        group: CIDR,
        audience: Audience::Group,
        author: author.identity.member,
        log: LogId::new([7; 32]),
        epoch: 1,
        created: clock::now(),
        roster: coalition.roster.version(),
    };
    ContentKey::generate(context, &mut rand::rng())
}

fn request(keys: impl IntoIterator<Item = Vec<u8>>) -> KeysRequest {
    KeysRequest { group: CIDR.get(), key_ids: keys.into_iter().collect(), pushed: Vec::new() }
}

fn serve(site: &Site) -> Serving {
    serve_by(site, watch::Sender::new(Hellos::told(&[0])).subscribe())
}

fn serve_by(site: &Site, hellos: watch::Receiver<Hellos>) -> Serving {
    let (identity, refusals) = (Arc::clone(&site.seat.identity), site.network.refusals().clone());
    Serving::new(identity, site.store.clone(), site.roster.clone(), Feed::default(), refusals, hellos)
}

async fn flood(network: Network, host: belfry_proto::crypto::sign::PublicKey, busy: Arc<AtomicUsize>) {
    loop {
        let asked = (0..64).map(|_| rand::random::<[u8; 32]>().to_vec());
        if let Ok(response) = network.keys(&host, request(asked)).await {
            let is_busy = response.refused.iter().any(|refused| refused.refusal == i32::from(Refusal::Busy));
            busy.fetch_add(usize::from(is_busy), Ordering::Relaxed);
        }
    }
}

/// A certified peer that asks for keys without end is turned away; what others ask is answered meanwhile, in full.
#[tokio::test]
async fn a_flooding_peer_delays_nobody_else() {
    let mut coalition = Coalition::new();
    let seats = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    let mut host = Site::new(&coalition, &seats[0]).await;
    let (eve, bob) = (Site::new(&coalition, &seats[1]).await, Site::new(&coalition, &seats[2]).await);
    let keys: Vec<ContentKey> = (0..200).map(|_| key_of(&coalition, &seats[0])).collect();
    for key in &keys {
        host.store.commit(Change::Key(KeyRow::own(key, 0))).await.unwrap();
    }
    let serving = serve(&host);
    let mut tasks = JoinSet::new();
    tasks.spawn(serving.run(host.inbound.take().unwrap().keys));
    for guest in [&eve, &bob] {
        guest.connect(&host).await;
    }
    let busy = Arc::new(AtomicUsize::new(0));
    for _ in 0..16 {
        tasks.spawn(flood(eve.network.clone(), host.node(), Arc::clone(&busy)));
    }
    eventually("the flood to be turned away", async || busy.load(Ordering::Relaxed) > 100).await;
    for chunk in keys.chunks(50) {
        let asked = request(chunk.iter().map(|key| key.id().to_vec()));
        let response = bob.network.keys(&host.node(), asked).await.unwrap();
        assert_eq!((response.grants.len(), response.refused.len()), (chunk.len(), 0));
    }
}

/// Whoever may not have a key hears the same of one that is held and of one that is not.
#[tokio::test]
async fn a_refusal_does_not_tell_who_holds_which_key() {
    let mut coalition = Coalition::new();
    let author = coalition.issue(1, &[CIDR]);
    let (outsider, carrier, reader) =
        (coalition.issue(2, &[CLOUD]), coalition.issue(3, &[]), coalition.issue(4, &[CIDR]));
    let mut host = Site::new(&coalition, &author).await;
    let held = key_of(&coalition, &author);
    // Made on a branch of the admin log that is not ours: not even a reader gets it.
    let foreign = ContentKey::generate(
        KeyContext {
            roster: RosterVersion { head: EntryId::new([9; 32]), ..held.context().roster },
            ..*held.context()
        },
        &mut rand::rng(),
    );
    for key in [&held, &foreign] {
        host.store.commit(Change::Key(KeyRow::own(key, 0))).await.unwrap();
    }
    let serving = serve(&host);
    let mut tasks = JoinSet::new();
    tasks.spawn(serving.run(host.inbound.take().unwrap().keys));
    let ids = || [held.id().to_vec(), foreign.id().to_vec(), vec![7; 32]];
    let said = async |seat: &Seat| {
        let guest = Site::new(&coalition, seat).await;
        guest.connect(&host).await;
        let response = guest.network.keys(&host.node(), request(ids())).await.unwrap();
        let refusals: Vec<i32> = response.refused.iter().map(|refused| refused.refusal).collect();
        (response.grants.len(), refusals)
    };
    for seat in [&outsider, &carrier] {
        assert_eq!(said(seat).await, (0, vec![Refusal::NotEntitled.into(); 3]));
    }
    assert_eq!(said(&reader).await, (1, vec![Refusal::Unknown.into(); 2]));
}

/// The rule goes by the holder's clock: a day ahead, a newcomer has waited long enough.
#[tokio::test]
async fn a_node_whose_clock_is_told_to_be_off_grants_nothing_until_it_is_right() {
    let mut coalition = Coalition::new();
    let (author, reader) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let mut host = Site::new(&coalition, &author).await;
    let held = key_of(&coalition, &author);
    host.store.commit(Change::Key(KeyRow::own(&held, 0))).await.unwrap();
    let day = 24 * 3_600_000_000;
    let hellos = watch::Sender::new(Hellos::told(&[-day, -day]));
    let serving = serve_by(&host, hellos.subscribe());
    let mut tasks = JoinSet::new();
    tasks.spawn(serving.run(host.inbound.take().unwrap().keys));
    let guest = Site::new(&coalition, &reader).await;
    guest.connect(&host).await;
    let asked = async || {
        let asked = request([held.id().to_vec(), vec![7; 32]]);
        let response = guest.network.keys(&host.node(), asked).await.unwrap();
        let refusals: Vec<i32> = response.refused.iter().map(|refused| refused.refusal).collect();
        (response.grants.len(), refusals)
    };
    assert_eq!(
        asked().await,
        (0, vec![Refusal::NotYet.into(); 2]),
        "of one that it holds and one that it does not"
    );
    hellos.send_replace(Hellos::told(&[-day, 0]));
    assert_eq!(asked().await, (1, vec![Refusal::Unknown.into()]), "a single peer does not stop it");
    for doubtful in [Hellos::told(&[]), Hellos::told(&[-day])] {
        hellos.send_replace(doubtful);
        assert_eq!(
            asked().await,
            (0, vec![Refusal::NotYet.into(); 2]),
            "nobody told, or the only one differs"
        );
    }
    hellos.send_replace(Hellos::told(&[0, 0]));
    assert_eq!(asked().await, (1, vec![Refusal::Unknown.into()]));
}

/// Whoever is alone with a node and has its clock turned could lie in step with it, and have the archive before it is seen.
#[tokio::test]
async fn no_word_of_one_member_that_the_grant_delay_is_over_gives_old_keys_where_there_are_others() {
    let mut coalition = Coalition::new();
    let author = coalition.issue(1, &[CIDR]);
    let charter = coalition.changed_charter(coalition.roster.version(), |charter| charter.grant_delay_s = 1);
    coalition.roster.apply_charter(charter).unwrap();
    let old = key_of(&coalition, &author);
    let newcomer = coalition.issue(2, &[CIDR]);
    let new = key_of(&coalition, &author);
    let mut host = Site::new(&coalition, &author).await;
    for key in [&old, &new] {
        host.store.commit(Change::Key(KeyRow::own(key, 0))).await.unwrap();
    }
    let hellos = watch::Sender::new(Hellos::told(&[0]));
    let serving = serve_by(&host, hellos.subscribe());
    let mut tasks = JoinSet::new();
    tasks.spawn(serving.run(host.inbound.take().unwrap().keys));
    let guest = Site::new(&coalition, &newcomer).await;
    guest.connect(&host).await;
    let gets = async |key: &ContentKey| {
        let response = guest.network.keys(&host.node(), request([key.id().to_vec()])).await.unwrap();
        !response.grants.is_empty()
    };
    let seen = host.store.first_seen(coalition.roster.version().height).unwrap().unwrap();
    let over = seen.saturating_add(std::time::Duration::from_secs(1));
    eventually("the delay to be over", async || clock::now() >= over).await;
    assert!(gets(&old).await, "of two, the other's word is all that there is");
    coalition.issue(3, &[CIDR]);
    host.roster.replace(coalition.roster.clone());
    assert_eq!((gets(&old).await, gets(&new).await), (false, true), "what was made for it needs no delay");
    hellos.send_replace(Hellos::told(&[0, 0]));
    assert!(gets(&old).await);
}

/// That others vouch for the clock is known a moment before it is put right when the newcomer came.
#[tokio::test]
async fn no_old_key_is_given_by_when_a_doubted_clock_noted_that_its_asker_came() {
    let mut coalition = Coalition::new();
    let author = coalition.issue(1, &[CIDR]);
    let charter = coalition.changed_charter(coalition.roster.version(), |charter| charter.grant_delay_s = 1);
    coalition.roster.apply_charter(charter).unwrap();
    let delay = std::time::Duration::from_secs(1);
    let old = key_of(&coalition, &author);
    let mut host = Site::new(&coalition, &author).await;
    host.store.commit(Change::Key(KeyRow::own(&old, 0))).await.unwrap();
    let newcomer = coalition.issue(2, &[CIDR]);
    host.store.vouch_clock(None);
    host.hear(&coalition.roster).await;
    let hellos = watch::Sender::new(Hellos::told(&[0]));
    let serving = serve_by(&host, hellos.subscribe());
    let mut tasks = JoinSet::new();
    tasks.spawn(serving.run(host.inbound.take().unwrap().keys));
    let guest = Site::new(&coalition, &newcomer).await;
    guest.connect(&host).await;
    let gets = async || {
        let response = guest.network.keys(&host.node(), request([old.id().to_vec()])).await.unwrap();
        !response.grants.is_empty()
    };
    // By what the clock noted it has waited long enough.
    let over = clock::now().saturating_add(delay);
    eventually("the delay to be over", async || clock::now() >= over).await;
    assert!(!gets().await);
    let at = clock::now();
    let heights = host.store.unsure_entries(at).unwrap();
    host.store.commit(Change::Seen { heights, at }).await.unwrap();
    let over = at.saturating_add(delay);
    eventually("the delay to be over", async || clock::now() >= over).await;
    assert!(gets().await);
}

/// Whoever has a node certified as another's has that member's entitlement: holding the member keeps the archive from such a node, too.
#[tokio::test]
async fn of_a_member_that_is_held_a_further_node_gets_no_key_of_before_its_certificate() {
    let mut coalition = Coalition::new();
    let author = coalition.issue(1, &[CIDR]);
    let bank = coalition.issue(2, &[CIDR]);
    let (old, banks) = (key_of(&coalition, &author), key_of(&coalition, &bank));
    let further = coalition.issue_again(2, 12, &[CIDR]);
    let new = key_of(&coalition, &author);
    let mut host = Site::new(&coalition, &author).await;
    for key in [&old, &banks, &new] {
        host.store.commit(Change::Key(KeyRow::received(key))).await.unwrap();
    }
    let serving = serve(&host);
    let mut tasks = JoinSet::new();
    tasks.spawn(serving.run(host.inbound.take().unwrap().keys));
    let guests = [Site::new(&coalition, &bank).await, Site::new(&coalition, &further).await];
    for guest in &guests {
        guest.connect(&host).await;
    }
    let given = async |guest: &Site| {
        let asked = request([&old, &banks, &new].map(|key| key.id().to_vec()));
        let response = guest.network.keys(&host.node(), asked).await.unwrap();
        response.grants.into_iter().map(|grant| grant.key_id).collect::<Vec<_>>()
    };
    let all = [&old, &banks, &new].map(|key| key.id().to_vec());
    assert_eq!((given(&guests[0]).await, given(&guests[1]).await), (all.to_vec(), all.to_vec()));
    let hold = |since| Change::Hold { member: bank.identity.member, since };
    host.store.commit(hold(Some(clock::now()))).await.unwrap();
    assert_eq!(given(&guests[0]).await, all, "what it was there for it goes on to get");
    assert_eq!(given(&guests[1]).await, [new.id().to_vec()]);
    host.store.commit(hold(None)).await.unwrap();
    assert_eq!(given(&guests[1]).await, all);
}

/// What many pages want in the same moment is one question for as many keys as fit, and one synced write.
#[tokio::test]
async fn a_hundred_keys_wished_for_at_once_are_two_questions() {
    let mut coalition = Coalition::new();
    let seats = [1, 2].map(|n| coalition.issue(n, &[CIDR]));
    let (mut holder, node) = (Site::new(&coalition, &seats[0]).await, Site::new(&coalition, &seats[1]).await);
    let authors: Vec<MemberId> = (0..100).map(|n| MemberId::new([n; 16])).collect();
    let keys: Vec<ContentKey> = (0..100).map(|_| key_of(&coalition, &seats[0])).collect();
    for key in &keys {
        holder.store.commit(Change::Key(KeyRow::own(key, 0))).await.unwrap();
    }
    node.connect(&holder).await;
    // Counted on their way to who serves.
    let (asked, questions) = (Arc::new(AtomicUsize::new(0)), tokio::sync::mpsc::channel(64));
    let mut tasks = JoinSet::new();
    let mut inbound = holder.inbound.take().unwrap().keys;
    let (counter, (pass, passed)) = (Arc::clone(&asked), questions);
    tasks.spawn(async move {
        while let Some(question) = inbound.recv().await {
            counter.fetch_add(1, Ordering::Relaxed);
            pass.send(question).await.unwrap();
        }
    });
    tasks.spawn(serve(&holder).run(passed));
    let feed = Feed::default();
    let asking = Asking::new(
        Arc::clone(&node.seat.identity),
        node.store.clone(),
        node.network.clone(),
        node.roster.clone(),
        feed.clone(),
    );
    let mut notices = feed.subscribe();
    tasks.spawn(asking.run());
    // The task listens once it has been polled.
    eventually("a listener", async || {
        feed.notify(Notice::PeerReady(holder.node()));
        feed.subscribers() == 2
    })
    .await;
    for (key, author) in keys.iter().zip(authors) {
        feed.notify(Notice::KeyWanted { key: key.id(), group: CIDR, author });
    }
    let mut missing: BTreeSet<KeyId> = keys.iter().map(ContentKey::id).collect();
    while !missing.is_empty() {
        if let Some(Notice::KeyArrived(key)) = notices.recv().await {
            assert!(node.store.key(key).unwrap().is_some(), "durable when it is told");
            missing.remove(&key);
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

/// Asks as a node does that stores an envelope under `key`.
fn ask(site: &Site, key: &ContentKey, holders: &[&Site]) -> (Feed, JoinSet<()>) {
    let feed = Feed::default();
    let asking = Asking::new(
        Arc::clone(&site.seat.identity),
        site.store.clone(),
        site.network.clone(),
        site.roster.clone(),
        feed.clone(),
    );
    let mut tasks = JoinSet::new();
    let (told, author) = (feed.clone(), key.context().author);
    let ready: Vec<_> = holders.iter().map(|holder| holder.node()).collect();
    let wanted = Notice::KeyWanted { key: key.id(), group: CIDR, author };
    tasks.spawn(asking.run());
    tasks.spawn(async move {
        // Notices before the first poll are not heard; they are hints, and come again.
        loop {
            ready.iter().for_each(|node| told.notify(Notice::PeerReady(*node)));
            told.notify(wanted.clone());
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    });
    (feed, tasks)
}

struct Story {
    key: ContentKey,
    author: Site,
    other: Site,
    node: Site,
    _serving: JoinSet<()>,
}

/// A node that is connected with a key's author and another holder, which serves.
async fn story() -> Story {
    let mut coalition = Coalition::new();
    let seats = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    let author = Site::new(&coalition, &seats[0]).await;
    let mut other = Site::new(&coalition, &seats[1]).await;
    let node = Site::new(&coalition, &seats[2]).await;
    let key = key_of(&coalition, &seats[0]);
    other.store.commit(Change::Key(KeyRow::received(&key))).await.unwrap();
    let mut tasks = JoinSet::new();
    let serving = serve(&other);
    tasks.spawn(serving.run(other.inbound.take().unwrap().keys));
    node.connect(&author).await;
    node.connect(&other).await;
    Story { key, author, other, node, _serving: tasks }
}

/// The author is asked first and never answers. Its question is still open when the key is here.
#[tokio::test]
async fn a_silent_author_is_not_waited_for() {
    let Story { key, mut author, other, node, _serving } = story().await;
    let mut keys = author.inbound.take().unwrap().keys;
    let (_feed, _tasks) = ask(&node, &key, &[&author, &other]);
    let asked: Asked<KeysRequest, KeysResponse> = keys.recv().await.unwrap();
    assert_eq!(asked.request.key_ids, [key.id().to_vec()]);
    eventually("the key", async || node.store.key(key.id()).unwrap().is_some()).await;
    assert!(asked.reply.is_awaited(), "nobody waited for the end of its time");
}

/// A grant that is not the key asked for is worth nothing, and its giver is not asked again for a while.
#[tokio::test]
async fn a_lying_author_is_passed_over() {
    let Story { key, mut author, other, node, _serving } = story().await;
    let mut keys = author.inbound.take().unwrap().keys;
    let lied = Arc::new(AtomicBool::new(false));
    let (flag, junk) = (Arc::clone(&lied), key_of_another(&key, &node));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(asked) = keys.recv().await {
            flag.store(true, Ordering::Relaxed);
            let lie = |id: &Vec<u8>| SealedGrant { key_id: id.clone(), sealed: junk.clone() };
            let grants = asked.request.key_ids.iter().map(lie).collect();
            asked.reply.send(KeysResponse { grants, ..KeysResponse::default() });
        }
    });
    let (_feed, _asking) = ask(&node, &key, &[&author, &other]);
    eventually("the key", async || node.store.key(key.id()).unwrap().is_some()).await;
    assert!(lied.load(Ordering::Relaxed));
    let counts = node.network.refusals().counts();
    assert!(counts.iter().any(|(way, _, count)| (*way, *count) == (Way::KeysAnswer, 1)), "{counts:?}");
    assert_eq!(node.store.key(key.id()).unwrap().unwrap().secret, *key.secret());
}

/// A grant as it should be, of another key.
fn key_of_another(key: &ContentKey, to: &Site) -> Vec<u8> {
    let other = ContentKey::generate(*key.context(), &mut rand::rng());
    other.grant_to(&to.seat.identity.kem.public(), &mut rand::rng())
}
