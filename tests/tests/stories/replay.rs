//! Captured frames, brought again: to the same group, another one, another coalition, a restarted node.

use belfry_proto::{envelope, topic::Topic};
use belfry_tests::{Bundle, Coalition, Hostile, logs, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_captured_once_add_nothing_anywhere() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr", "cloud-security"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr", "cloud-security"]).issue()?;
    let tape = coalition.member("tape").publisher(["cidr", "cloud-security"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let (group, other) = (coalition.group("cidr")?, coalition.group("cloud-security")?);
    let recorder = Hostile::as_member(&tape, &coalition).await?;
    recorder.subscribe(&[group, other]).await?;
    recorder.join(&alice).await?;
    let bundle = Bundle::indicators(2);
    let messages = alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    bob.shows("cidr", &bundle.ids()).await?;
    let captured =
        recorder.hears(|bytes| envelope::decode(bytes).is_ok_and(|e| e.message_id() == messages[0])).await?;
    recorder.stop().await;

    // A restarted node has forgotten which gossip it saw, not what it stored.
    bob.restart(&[&alice]).await?;
    bob.meets(&alice).await?;
    let feed = bob.store()?.feed_bounds()?;
    let player = Hostile::as_member(&tape, &coalition).await?;
    player.subscribe(&[group, other]).await?;
    player.join(&bob).await?;
    let ignored = bob.network()?.counters().snapshot().verdict_ignore;
    player.gossip(Topic::Group(group), &captured).await?;
    until("the replay to be ignored", async || {
        let now = bob.network().map_err(|e| e.to_string())?.counters().snapshot().verdict_ignore;
        if now > ignored { Ok(()) } else { Err(format!("{ignored} before, {now} now")) }
    })
    .await?;
    player.gossip(Topic::Group(other), &captured).await?;
    until("the replay into another group to be ignored", async || {
        let refusals = logs::refusals_of(&player.node());
        // Known already, before anyone asks for its topic; or refused for it.
        let now = bob.network().map_err(|e| e.to_string())?.counters().snapshot().verdict_ignore;
        if now >= ignored + 2 { Ok(()) } else { Err(format!("{now}, {refusals:?}")) }
    })
    .await?;
    assert_eq!(bob.store()?.feed_bounds()?, feed, "no object, no event");
    assert!(bob.logs(other)?.is_empty());
    assert_eq!(bob.ids("cidr").await?, bundle.ids());
    assert_eq!(bob.network()?.counters().snapshot().verdict_reject, 0);
    assert!(player.score_at(&bob).await?.is_some_and(|score| score >= 0.0));

    // Honest traffic goes on.
    let next = Bundle::indicators(1);
    alice.publish("cidr", &next).tlp("green").flushed().await?;
    bob.shows("cidr", &next.ids()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_of_one_coalition_means_nothing_in_another() -> anyhow::Result<()> {
    let mut first = Coalition::new()?;
    let mut alice = first.member("alice").publisher(["cidr"]).issue()?;
    let ear = first.member("ear").reader(["cidr"]).issue()?;
    first.start([&mut alice]).await?;
    let group = first.group("cidr")?;
    let recorder = Hostile::as_member(&ear, &first).await?;
    recorder.subscribe(&[group]).await?;
    recorder.join(&alice).await?;
    let messages = alice.publish("cidr", &Bundle::indicators(1)).tlp("green").flushed().await?;
    let captured =
        recorder.hears(|bytes| envelope::decode(bytes).is_ok_and(|e| e.message_id() == messages[0])).await?;

    let mut second = Coalition::new()?;
    let mut bob = second.member("bob").publisher(["cidr"]).issue()?;
    let mouth = second.member("mouth").publisher(["cidr"]).issue()?;
    second.start([&mut bob]).await?;
    let player = Hostile::as_member(&mouth, &second).await?;
    player.subscribe(&[group]).await?;
    player.join(&bob).await?;
    player.gossip(Topic::Group(group), &captured).await?;
    until("its refusal", async || {
        let refusals = logs::refusals_of(&player.node());
        if refusals == ["other-coalition"] { Ok(()) } else { Err(format!("{refusals:?}")) }
    })
    .await?;
    assert!(bob.logs(group)?.is_empty());
    assert!(player.score_at(&bob).await?.is_some_and(|score| score >= 0.0));
    Ok(())
}
