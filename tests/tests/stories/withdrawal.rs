//! What is taken back is taken back everywhere, by whoever may, and by nobody else.

use std::path::Path;

use anyhow::Context as _;
use belfry_node::store::{Change, MessageState, Owner, Store};
use belfry_proto::{
    envelope,
    id::MessageId,
    schema::{
        Envelope, Frontier, LogFrontier, Page, Refusal, SyncRequest, SyncResponse, WithdrawalGround,
        WithdrawalMode, sync_request, sync_response::Response,
    },
    sync::frontier,
    topic::Topic,
};
use belfry_tests::{
    Bundle, Coalition, Forge, Hostile, Member, hostile::refused, http::Answer, until, wait::that,
};
use hyper::Method;
use prost::Message as _;
use serde_json::{Value, json};

/// Alice publishes, bob reads and publishes, sam is the group's steward; they have met.
struct Story {
    coalition: Coalition,
    alice: Member,
    bob: Member,
    sam: Member,
}

async fn story() -> anyhow::Result<Story> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    let mut sam = coalition.member("sam").steward(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut sam]).await?;
    Ok(Story { coalition, alice, bob, sam })
}

/// Asks a node to withdraw; gives the API's answer.
async fn asked(member: &Member, wanted: Value) -> anyhow::Result<Answer> {
    let headers = [("content-type", "application/json")];
    member.api()?.post("/api/v1/withdrawals", &headers, wanted.to_string()).await
}

pub(super) async fn withdrawn(
    member: &Member,
    messages: &[MessageId],
    mode: &str,
    ground: &str,
) -> anyhow::Result<()> {
    let wanted = json!({ "group": "cidr", "messages": messages, "mode": mode, "ground": ground });
    asked(member, wanted).await?.expect(202)?;
    Ok(())
}

/// Objects as a tool that polls has them, by id.
pub(super) async fn object(member: &Member, id: &str) -> anyhow::Result<Option<Value>> {
    let objects = member.api()?.objects("cidr").await?;
    Ok(objects.into_iter().find(|object| object["id"] == id))
}

/// Waits until a node tells every one of these as revoked.
pub(super) async fn tells_revoked(member: &Member, ids: &[String]) -> anyhow::Result<Vec<Value>> {
    until(&format!("{} to tell {} objects as revoked", member.name(), ids.len()), async || {
        let mut found = Vec::new();
        for id in ids {
            match object(member, id).await.map_err(|error| format!("{error:#}"))? {
                Some(object) if object["revoked"] == true => found.push(object),
                other => return Err(format!("{id}: {other:?}")),
            }
        }
        Ok(found)
    })
    .await
}

async fn why(member: &Member, message: MessageId) -> anyhow::Result<Value> {
    member.api()?.get(&format!("/api/v1/messages/{message}")).await?.expect(200)
}

/// Waits until a node holds a message in this way: its state, and whether its body is here.
pub(super) async fn holds(
    member: &Member,
    message: MessageId,
    state: MessageState,
    has_body: bool,
) -> anyhow::Result<()> {
    let store = member.store()?;
    until(&format!("{} to hold {message} {}", member.name(), state.as_str()), async || {
        let row = store.message(message).map_err(|error| error.to_string())?;
        let is_so = row.as_ref().is_some_and(|row| row.state == state && row.has_body == has_body);
        that(is_so, || format!("{row:?}"))
    })
    .await?;
    let bytes = store.envelope(message)?.context("it is held")?;
    assert_eq!(envelope::decode(&bytes)?.has_body(), has_body, "the bytes say so, too");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_author_retracts_is_told_as_revoked_to_whoever_polls() -> anyhow::Result<()> {
    let Story { alice, bob, sam, .. } = story().await?;
    let said = Bundle::indicators(2);
    let messages = alice.publish("cidr", &said).tlp("green").flushed().await?;
    let mut polled = Vec::new();
    for member in [&alice, &bob, &sam] {
        member.shows("cidr", &said.ids()).await?;
        let manifest = member.api()?.get("/taxii2/root/collections/cidr/manifest/").await?.expect(200)?;
        let dates = manifest["objects"].as_array().context("a manifest")?;
        polled.push(dates.iter().filter_map(|entry| entry["date_added"].as_str()).max().map(str::to_owned));
    }
    withdrawn(&alice, &messages, "retract", "author").await?;
    for (member, last) in [&alice, &bob, &sam].into_iter().zip(polled) {
        for end in tells_revoked(member, &said.ids()).await? {
            let before = said.objects.iter().find(|object| object["id"] == end["id"]).context("said")?;
            assert_eq!((&end["pattern"], &end["description"]), (&before["pattern"], &before["description"]));
            assert!(end["modified"].as_str() > before["modified"].as_str());
        }
        // A tool asks for what came since it asked last.
        let path = format!(
            "/taxii2/root/collections/cidr/objects/?added_after={}",
            last.context("something was shown")?
        );
        let news = member.api()?.get(&path).await?.expect(200)?;
        let news: Vec<&Value> = news["objects"].as_array().context("news")?.iter().collect();
        assert!(news.len() == 2 && news.iter().all(|object| object["revoked"] == true), "{news:?}");
        holds(member, messages[0], MessageState::Withdrawn, true).await?;
        let why = why(member, messages[0]).await?;
        assert_eq!(why["state"], "withdrawn");
        let word = &why["withdrawals"][0];
        assert_eq!(
            (&word["organisation"], &word["mode"], &word["decides"]),
            (&json!("alice"), &json!("retract"), &json!(true))
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_erased_leaves_every_node_and_later_ones_never_get_it() -> anyhow::Result<()> {
    let Story { mut coalition, alice, bob, sam } = story().await?;
    let group = coalition.group("cidr")?;
    let (said, kept) = (Bundle::saying("names a patient"), Bundle::indicators(1));
    let messages = alice.publish("cidr", &said).tlp("green").flushed().await?;
    alice.publish("cidr", &kept).tlp("green").flushed().await?;
    for member in [&bob, &sam] {
        member.shows("cidr", &[said.ids(), kept.ids()].concat()).await?;
    }
    withdrawn(&alice, &messages, "erase", "personal-data").await?;
    for member in [&alice, &bob, &sam] {
        let end = tells_revoked(member, &said.ids()).await?.remove(0);
        assert!(!end.to_string().contains("patient") && end["pattern"] != said.objects[0]["pattern"]);
        holds(member, messages[0], MessageState::Withdrawn, false).await?;
        member.shows("cidr", &kept.ids()).await?;
    }

    // Carol joins when nobody has the body any more.
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
    bob.import(&coalition).await?;
    carol.start(&coalition, &[&bob]).await?;
    holds(&carol, messages[0], MessageState::Withdrawn, false).await?;
    assert!(object(&carol, &said.ids()[0]).await?.is_none(), "it was never here");
    let level = |member: &Member| -> anyhow::Result<_> {
        let logs = member.logs(group)?.into_iter();
        Ok(logs.map(|log| (log.log, log.height, log.head, log.bodies)).collect::<Vec<_>>())
    };
    until("carol's frontier to be alice's", async || {
        let (ours, theirs) = (level(&alice), level(&carol));
        let (ours, theirs) = (ours.map_err(|e| e.to_string())?, theirs.map_err(|e| e.to_string())?);
        that(ours == theirs, || format!("{ours:?} {theirs:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_reaches_a_node_that_slept_and_one_that_was_put_back() -> anyhow::Result<()> {
    let Story { coalition, alice, mut bob, sam } = story().await?;
    let said = Bundle::saying("names a patient");
    let messages = alice.publish("cidr", &said).tlp("green").flushed().await?;
    bob.shows("cidr", &said.ids()).await?;
    let before = tempfile::tempdir()?;
    let copy = before.path().join("copy");
    bob.store()?.checkpoint(&copy)?;
    bob.stop().await;
    withdrawn(&alice, &messages, "erase", "author").await?;
    holds(&alice, messages[0], MessageState::Withdrawn, false).await?;

    bob.run(&[&alice, &sam]).await?;
    tells_revoked(&bob, &said.ids()).await?;
    holds(&bob, messages[0], MessageState::Withdrawn, false).await?;

    // An old copy of the store takes the place of it.
    bob.stop().await;
    let (path, master) = (bob.folder().join("store"), bob.keys().store.clone());
    let owner = Owner { coalition: coalition.id(), node: bob.node() };
    until("bob's store to be closed", async || {
        Store::open(&path, owner, &master).map(drop).map_err(|error| error.to_string())
    })
    .await?;
    std::fs::remove_dir_all(&path)?;
    copied(&copy, &path)?;
    bob.run(&[&alice, &sam]).await?;
    tells_revoked(&bob, &said.ids()).await?;
    holds(&bob, messages[0], MessageState::Withdrawn, false).await
}

fn copied(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copied(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_takes_back_nothing_of_another() -> anyhow::Result<()> {
    let Story { mut coalition, alice, bob, .. } = story().await?;
    let group = coalition.group("cidr")?;
    let mallory = coalition.member("mallory").publisher(["cidr"]).issue()?;
    alice.import(&coalition).await?;
    bob.follows(&coalition).await?;
    let said = Bundle::indicators(1);
    let messages = alice.publish("cidr", &said).tlp("green").flushed().await?;
    bob.shows("cidr", &said.ids()).await?;
    let wanted = json!({ "group": "cidr", "messages": messages, "mode": "erase", "ground": "rules" });
    let answer = asked(&bob, wanted).await?;
    assert_eq!((answer.status, &answer.body["code"]), (403, &json!("not-yours")), "{}", answer.body);

    // Signed by hand it is a message of its log like any, and does nothing.
    let mut forge = Forge::new(&mallory, group, coalition.roster())?;
    let targets = vec![messages[0]];
    let forged = forge.withdraws(targets.clone(), WithdrawalMode::Erase, WithdrawalGround::Rules)?;
    let lift = forge.withdraws(targets, WithdrawalMode::Lift, WithdrawalGround::Rules)?;
    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    hostile.subscribe(&[group]).await?;
    hostile.join(&bob).await?;
    for message in [&forged, &lift] {
        hostile.gossip(Topic::Group(group), message.bytes()).await?;
    }
    for member in [&alice, &bob] {
        member.stores(&[forged.message_id(), lift.message_id()]).await?;
        until("withdrawals to have been weighed", async || {
            let store = member.store().map_err(|error| error.to_string())?;
            let due = store.to_reweigh(belfry_node::clock::now(), 10).map_err(|error| error.to_string())?;
            that(due.is_empty(), || format!("{due:?}"))
        })
        .await?;
        let shown = object(member, &said.ids()[0]).await?.context("still shown")?;
        assert_eq!(shown["revoked"], Value::Null);
        holds(member, messages[0], MessageState::Opened, true).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steward_hides_and_a_lift_in_time_shows_again() -> anyhow::Result<()> {
    let Story { alice, bob, sam, .. } = story().await?;
    let said = Bundle::saying("against the rules");
    let messages = alice.publish("cidr", &said).tlp("green").flushed().await?;
    sam.shows("cidr", &said.ids()).await?;
    let without_ground = json!({ "group": "cidr", "messages": messages, "mode": "erase" });
    assert_eq!(asked(&sam, without_ground).await?.status, 422);
    withdrawn(&sam, &messages, "erase", "rules").await?;
    for member in [&alice, &bob, &sam] {
        let end = tells_revoked(member, &said.ids()).await?.remove(0);
        assert!(!end.to_string().contains("against the rules"));
        holds(member, messages[0], MessageState::Withdrawn, true).await?;
    }
    let word = why(&bob, messages[0]).await?["withdrawals"][0].clone();
    assert_eq!((&word["organisation"], &word["by_steward"]), (&json!("sam"), &json!(true)));
    let withdrawal: MessageId = word["id"].as_str().context("an id")?.parse()?;

    // Not for the author to undo; nor is it withdrawn in turn.
    let by_alice = json!({ "group": "cidr", "messages": [withdrawal], "mode": "lift" });
    assert_eq!(asked(&alice, by_alice).await?.status, 403);
    let in_turn = json!({ "group": "cidr", "messages": [withdrawal], "mode": "retract", "ground": "rules" });
    assert_eq!(asked(&sam, in_turn).await?.status, 422);

    withdrawn(&sam, &[withdrawal], "lift", "rules").await?;
    for member in [&alice, &bob, &sam] {
        until(&format!("{} to show it again", member.name()), async || {
            let shown = object(member, &said.ids()[0]).await.map_err(|error| error.to_string())?;
            let is_back = shown.as_ref().is_some_and(|shown| *shown == said.objects[0]);
            that(is_back, || format!("{shown:?}"))
        })
        .await?;
        holds(member, messages[0], MessageState::Opened, true).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_steward_hid_is_gone_after_seven_days() -> anyhow::Result<()> {
    let Story { alice, bob, sam, .. } = story().await?;
    let said = Bundle::saying("against the rules");
    let messages = alice.publish("cidr", &said).tlp("green").flushed().await?;
    sam.shows("cidr", &said.ids()).await?;
    withdrawn(&sam, &messages, "erase", "rules").await?;
    let store = bob.store()?;
    tells_revoked(&bob, &said.ids()).await?;
    holds(&bob, messages[0], MessageState::Withdrawn, true).await?;
    for (days, has_body) in [(6, true), (8, false)] {
        let later =
            belfry_node::clock::now().saturating_add(std::time::Duration::from_secs(days * 24 * 3600));
        let work = store.to_reweigh(later, 64)?;
        assert_eq!(work.is_empty(), has_body, "due after a week: {work:?}");
        store.commit(Change::Reweigh { work, now: later }).await?;
        holds(&bob, messages[0], MessageState::Withdrawn, has_body).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bare_entries_need_a_withdrawal_of_somebody_who_may() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let liar = coalition.member("liar").publisher(["cidr"]).issue()?;
    let group = coalition.group("cidr")?;
    let mut log = Forge::new(&alice, group, coalition.roster())?;
    let said = log.next(&Bundle::indicators(1))?;
    let erased = log.withdraws(vec![said.message_id()], WithdrawalMode::Erase, WithdrawalGround::Author)?;
    let mut forge = Forge::new(&liar, group, coalition.roster())?;
    let lie = forge.withdraws(vec![said.message_id()], WithdrawalMode::Erase, WithdrawalGround::Rules)?;
    let mut bare = Envelope::decode(said.bytes())?;
    bare.body = None;
    let page =
        |withdrawals: Vec<Vec<u8>>| Page { envelopes: vec![bare.encode_to_vec()], more: true, withdrawals };
    // Nothing; the liar's own word; then the author's.
    let pages = [
        page(Vec::new()),
        page(vec![lie.bytes().to_vec()]),
        page(vec![said.bytes().to_vec()]),
        page(vec![erased.bytes().to_vec()]),
    ];
    let held = LogFrontier {
        group: group.get(),
        log: log.log().to_vec(),
        low: 1,
        height: 1,
        head: said.message_id().to_vec(),
        bodies: 1,
        frozen: 0,
        missing: Vec::new(),
    };
    let hash = frontier::hash(coalition.id(), group, &[frontier::LogFrontier::try_from(&held)?]);
    let promise = Frontier { hash: hash.to_vec(), logs: vec![held], more: false };
    let served = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&served);
    let hostile = Hostile::as_member(&liar, &coalition).await?;
    hostile.answer_sync(move |SyncRequest { request }| match request {
        Some(sync_request::Request::Frontier(_)) => {
            SyncResponse { response: Some(Response::Frontier(promise.clone())) }
        }
        Some(sync_request::Request::Range(_)) => {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            SyncResponse { response: Some(Response::Page(pages[n.min(pages.len() - 1)].clone())) }
        }
        _ => refused(Refusal::Unknown),
    });
    bob.start(&coalition, &[]).await?;
    for round in 1..=3 {
        hostile.subscribe(&[group]).await?;
        hostile.join(&bob).await?;
        until("bob to ask for a page", async || {
            let n = served.load(std::sync::atomic::Ordering::SeqCst);
            that(n >= round, || format!("{n} pages"))
        })
        .await?;
        hostile.network().disconnect(&bob.node()).await?;
        bob.loses(&hostile.node()).await?;
        assert!(!bob.store()?.has_message(said.message_id())?, "page {round}");
    }
    hostile.join(&bob).await?;
    holds(&bob, said.message_id(), MessageState::Withdrawn, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_beyond_a_cut_has_no_effect() -> anyhow::Result<()> {
    let Story { mut coalition, alice, bob, .. } = story().await?;
    let group = coalition.group("cidr")?;
    let mut eve = coalition.member("eve").steward(["cidr"]).issue()?;
    let mallory = coalition.member("mallory").publisher(["cidr"]).issue()?;
    alice.import(&coalition).await?;
    eve.start(&coalition, &[&alice, &bob]).await?;
    let (said, by_eve) = (Bundle::indicators(1), Bundle::indicators(1));
    let mut targets = alice.publish("cidr", &said).tlp("green").flushed().await?;
    targets.extend(eve.publish("cidr", &by_eve).tlp("green").flushed().await?);
    for member in [&alice, &bob] {
        member.shows("cidr", &[said.ids(), by_eve.ids()].concat()).await?;
    }
    let known = coalition.roster().clone();
    coalition.revoke(&eve, alice.cut_of(&eve)?)?;
    alice.import(&coalition).await?;
    bob.follows(&coalition).await?;
    eve.stop().await;

    let mut forge = Forge::new(&eve, group, &known)?;
    let late = forge.withdraws(targets.clone(), WithdrawalMode::Erase, WithdrawalGround::Rules)?;
    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    hostile.subscribe(&[group]).await?;
    hostile.join(&alice).await?;
    hostile.gossip(Topic::Group(group), late.bytes()).await?;
    alice.stores(&[late.message_id()]).await?;
    let row = alice.store()?.message(late.message_id())?.context("it is stored")?;
    assert_eq!(row.state, MessageState::Quarantined);
    until("the late withdrawal to have been weighed", async || {
        let store = alice.store().map_err(|error| error.to_string())?;
        let due = store.to_reweigh(belfry_node::clock::now(), 10).map_err(|error| error.to_string())?;
        that(due.is_empty(), || format!("{due:?}"))
    })
    .await?;
    for target in targets {
        holds(&alice, target, MessageState::Opened, true).await?;
    }
    alice.shows("cidr", &[said.ids(), by_eve.ids()].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_object_of_many_goes_and_the_rest_stays() -> anyhow::Result<()> {
    let Story { alice, bob, .. } = story().await?;
    let said = Bundle::indicators(3);
    alice.publish("cidr", &said).tlp("green").flushed().await?;
    bob.shows("cidr", &said.ids()).await?;
    let ids = said.ids();
    let path = format!("/taxii2/root/collections/cidr/objects/{}/", ids[0]);
    let by_bob = bob.api()?.ask(Method::DELETE, &path, &[], Vec::new()).await?;
    assert_eq!(by_bob.status, 403, "{}", by_bob.body);
    let deleted = alice.api()?.ask(Method::DELETE, &path, &[], Vec::new()).await?;
    assert_eq!(deleted.status, 200, "{}", deleted.body);
    for member in [&alice, &bob] {
        tells_revoked(member, &ids[..1]).await?;
        until(&format!("{} to show the rest", member.name()), async || {
            for (id, said) in ids.iter().zip(&said.objects).skip(1) {
                let shown = object(member, id).await.map_err(|error| error.to_string())?;
                that(shown.as_ref() == Some(said), || format!("{shown:?}"))?;
            }
            Ok(())
        })
        .await?;
    }
    let again = alice.api()?.ask(Method::DELETE, &path, &[], Vec::new()).await?;
    assert_eq!(again.status, 404, "{}", again.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_member_says_too_stays_shown() -> anyhow::Result<()> {
    let Story { alice, bob, sam, .. } = story().await?;
    let said = Bundle::indicators(1);
    let messages = alice.publish("cidr", &said).tlp("green").flushed().await?;
    bob.shows("cidr", &said.ids()).await?;
    let by_bob = bob.publish("cidr", &said).tlp("green").flushed().await?;
    sam.stores(&by_bob).await?;
    alice.stores(&by_bob).await?;
    withdrawn(&alice, &messages, "erase", "confidentiality").await?;
    for member in [&alice, &bob, &sam] {
        holds(member, messages[0], MessageState::Withdrawn, false).await?;
        holds(member, by_bob[0], MessageState::Opened, true).await?;
        assert_eq!(object(member, &said.ids()[0]).await?.as_ref(), Some(&said.objects[0]));
    }
    withdrawn(&bob, &by_bob, "retract", "author").await?;
    for member in [&alice, &bob, &sam] {
        tells_revoked(member, &said.ids()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_what_was_erased_is_left_in_any_file() -> anyhow::Result<()> {
    let Story { alice, bob, .. } = story().await?;
    let said = Bundle::saying("canary-in-clear");
    let messages = alice.publish("cidr", &said).tlp("green").flushed().await?;
    bob.shows("cidr", &said.ids()).await?;
    let envelope = Envelope::decode(bob.store()?.envelope(messages[0])?.context("held")?.as_slice())?;
    let body = envelope.body.context("with its body")?;
    let ciphertext = &body[..64];
    for member in [&alice, &bob] {
        assert!(!files_with(member.folder(), ciphertext)?.is_empty(), "it is looked for where it lies");
        assert_eq!(files_with(member.folder(), b"canary-in-clear")?, Vec::<String>::new());
    }
    withdrawn(&alice, &messages, "erase", "personal-data").await?;
    for member in [&alice, &bob] {
        holds(member, messages[0], MessageState::Withdrawn, false).await?;
        until(&format!("the body to leave {}'s files", member.name()), async || {
            let left = files_with(member.folder(), ciphertext).map_err(|error| error.to_string())?;
            that(left.is_empty(), || format!("{left:?}"))
        })
        .await?;
        assert_eq!(files_with(member.folder(), b"canary-in-clear")?, Vec::<String>::new());
    }
    Ok(())
}

fn files_with(folder: &Path, needle: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with(&path, needle)?);
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(needle.len()).any(|window| window == needle)
        {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}
