//! What a late joiner may read of the time before it came: the group's history policy, and the grant delay.

use std::time::Duration;

use belfry_node::clock;
use belfry_proto::{envelope, schema::HistoryPolicy, time::Timestamp, trust::charter_draft::Draft};
use belfry_tests::{Bundle, Coalition, Hostile, Member};
use serde_json::Value;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The default charter with this history in "cidr" and this grant delay.
fn charter(policy: HistoryPolicy, window_days: u64, delay_h: u64) -> impl FnOnce(&mut Draft) {
    move |draft| {
        draft.grant_delay_h = delay_h;
        for group in draft.groups.iter_mut().filter(|group| group.slug == "cidr") {
            group.history = policy;
            group.history_window_days = window_days;
        }
    }
}

/// A coalition of two that have shared something.
async fn begun(
    policy: HistoryPolicy,
    window_days: u64,
    delay_h: u64,
) -> anyhow::Result<(Coalition, Member, Member, Bundle)> {
    let mut coalition = Coalition::with(charter(policy, window_days, delay_h))?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let before = Bundle::indicators(2);
    alice.publish("cidr", &before).tlp("green").flushed().await?;
    bob.shows("cidr", &before.ids()).await?;
    Ok((coalition, alice, bob, before))
}

/// What `alice` publishes from now on, `late` reads, and nothing from before.
async fn reads_only_from_now_on(
    coalition: &Coalition,
    alice: &Member,
    late: &Member,
    before: &Bundle,
) -> anyhow::Result<()> {
    let group = coalition.group("cidr")?;
    let old = alice.ciphertext(group)?;
    let after = Bundle::indicators(1);
    alice.publish("cidr", &after).tlp("green").flushed().await?;
    late.shows("cidr", &after.ids()).await?;
    assert_eq!(late.ids("cidr").await?, after.ids());
    for envelope in &old {
        // It has them all, and may keep them for others.
        late.stores(&[envelope::decode(envelope)?.message_id()]).await?;
        assert!(!late.opens(envelope)?);
    }
    assert!(before.ids().iter().all(|id| !after.ids().contains(id)));
    Ok(())
}

/// What `late` says of the first message of the time before it.
async fn why(coalition: &Coalition, alice: &Member, late: &Member) -> anyhow::Result<Value> {
    let first = envelope::decode(&alice.ciphertext(coalition.group("cidr")?)?[0])?.message_id();
    late.api()?.get(&format!("/api/v1/messages/{first}")).await?.expect(200)
}

/// Asks both for the first key by hand; whether each grants it.
async fn granted(coalition: &Coalition, late: &Member, holders: &[&Member]) -> anyhow::Result<Vec<bool>> {
    let group = coalition.group("cidr")?;
    let asking = Hostile::as_member(late, coalition).await?;
    let mut answers = Vec::new();
    for holder in holders {
        let first = &holder.ciphertext(group)?[0];
        let key = envelope::decode(first)?.header().key_id().expect("data is sealed");
        asking.join(holder).await?;
        let answer = asking.ask_keys(holder, group, &[key]).await?;
        answers.push(!answer.grants.is_empty());
    }
    asking.stop().await;
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_history_and_no_delay_a_late_joiner_reads_everything() -> anyhow::Result<()> {
    let (mut coalition, alice, bob, before) = begun(HistoryPolicy::All, 0, 0).await?;
    let mut dave = coalition.member("dave").reader(["cidr"]).issue()?;
    // Nobody has told the others of dave: it brings the log that names it.
    dave.start(&coalition, &[&alice]).await?;
    dave.shows("cidr", &before.ids()).await?;
    bob.follows(&coalition).await?;
    let after = Bundle::indicators(1);
    alice.publish("cidr", &after).tlp("green").flushed().await?;
    dave.shows("cidr", &after.ids()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_the_grant_delay_a_newcomer_reads_from_now_on_only() -> anyhow::Result<()> {
    let (mut coalition, alice, bob, before) = begun(HistoryPolicy::All, 0, 24).await?;
    let mut ghost = coalition.member("ghost").reader(["cidr"]).issue()?;
    alice.import(&coalition).await?;
    bob.follows(&coalition).await?;
    assert_eq!(granted(&coalition, &ghost, &[&alice, &bob]).await?, [false, false]);
    ghost.start(&coalition, &[&alice, &bob]).await?;
    ghost.meets(&alice).await?;
    reads_only_from_now_on(&coalition, &alice, &ghost, &before).await?;
    let why = why(&coalition, &alice, &ghost).await?;
    let until: Timestamp = why["key_not_before"].as_str().expect("says until when").parse()?;
    assert!(until > clock::now() && until <= clock::now().saturating_add(DAY), "{why}");
    assert!(why["meaning"].as_str().is_some_and(|said| said.contains("grant delay")), "{why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_history_a_newcomer_reads_from_now_on_only() -> anyhow::Result<()> {
    let (mut coalition, alice, bob, before) = begun(HistoryPolicy::None, 0, 0).await?;
    let mut dave = coalition.member("dave").reader(["cidr"]).issue()?;
    alice.import(&coalition).await?;
    bob.follows(&coalition).await?;
    assert_eq!(granted(&coalition, &dave, &[&alice, &bob]).await?, [false, false]);
    dave.start(&coalition, &[&alice, &bob]).await?;
    dave.meets(&alice).await?;
    reads_only_from_now_on(&coalition, &alice, &dave, &before).await?;
    let why = why(&coalition, &alice, &dave).await?;
    assert!(why["meaning"].as_str().is_some_and(|said| said.contains("no history")), "{why}");
    assert!(why["key_not_before"].is_null(), "{why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_window_a_newcomer_reads_as_far_back_as_it_reaches() -> anyhow::Result<()> {
    let (mut coalition, alice, bob, before) = begun(HistoryPolicy::Window, 1, 0).await?;
    // One is entitled now, the other three days from now: then all of today lies before its window.
    let mut near = coalition.member("near").reader(["cidr"]).issue()?;
    let later = clock::now().saturating_add(3 * DAY);
    let far = coalition.member("far").reader(["cidr"]).decided(later).issue()?;
    alice.import(&coalition).await?;
    bob.follows(&coalition).await?;
    assert_eq!(granted(&coalition, &far, &[&alice, &bob]).await?, [false, false]);
    assert_eq!(granted(&coalition, &near, &[&alice, &bob]).await?, [true, true]);
    near.start(&coalition, &[&alice]).await?;
    near.shows("cidr", &before.ids()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_newcomers_get_no_history_a_wiped_author_gets_its_own_back() -> anyhow::Result<()> {
    let (_coalition, mut alice, bob, before) = begun(HistoryPolicy::None, 0, 0).await?;
    alice.stop().await;
    std::fs::remove_dir_all(alice.folder().join("store"))?;
    alice.run(&[&bob]).await?;
    alice.shows("cidr", &before.ids()).await?;
    let after = Bundle::indicators(1);
    alice.publish("cidr", &after).tlp("green").flushed().await?;
    bob.shows("cidr", &[before.ids(), after.ids()].concat()).await?;
    Ok(())
}
