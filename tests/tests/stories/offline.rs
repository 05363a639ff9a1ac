//! Members that were away, and what they missed or meant to say.

use std::time::Duration;

use belfry_proto::{envelope, envelope::KeyContext, schema::RosterVersion};
use belfry_tests::{Bundle, Coalition, Hostile, Member};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_catches_up_through_a_third_though_the_author_is_gone() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut carol]).await?;
    let seen = Bundle::indicators(1);
    alice.publish("cidr", &seen).tlp("green").flushed().await?;
    carol.shows("cidr", &seen.ids()).await?;
    carol.stop().await;

    let missed: Vec<Bundle> = (0..20).map(|_| Bundle::indicators(1)).collect();
    for bundle in &missed {
        alice.publish("cidr", bundle).tlp("green").flushed().await?;
    }
    let ids: Vec<String> = missed.iter().flat_map(Bundle::ids).collect();
    bob.shows("cidr", &ids).await?;
    alice.stop().await;
    carol.run(&[&bob]).await?;
    carol.shows("cidr", &ids).await?;
    assert_eq!(carol.ids("cidr").await?, [seen.ids(), ids].concat(), "in the author's order, none twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_offline_is_sealed_after_a_revocation_that_arrives_first() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut eve = coalition.member("eve").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut eve]).await?;
    let group = coalition.group("cidr")?;
    let before = Bundle::indicators(1);
    alice.publish("cidr", &before).tlp("green").flushed().await?;
    eve.shows("cidr", &before.ids()).await?;
    alice.stop().await;
    let height = coalition.revoke(&eve, Vec::new())?;
    bob.import(&coalition).await?;
    bob.loses(&eve.node()).await?;
    // Nor may alice meet eve, which would greet it as one whose log is level.
    eve.stop().await;
    bob.stop().await;

    // Alone, alice neither knows of the revocation nor seals anything.
    alice.run(&[]).await?;
    let bundle = Bundle::indicators(1);
    let accepted = alice.publish("cidr", &bundle).tlp("green").accepted().await?;
    alice.warns("no other node has answered").await?;
    assert_eq!(accepted.follow().await?["state"], "drafted");
    assert!(alice.roster()?.version().height < height);

    bob.run(&[&alice]).await?;
    let messages = accepted.flushed().await?;
    bob.shows("cidr", &bundle.ids()).await?;
    let sealed = alice.store()?.envelope(messages[0])?.expect("its own message");
    let decoded = envelope::decode(&sealed)?;
    assert_eq!(decoded.header().roster, coalition.roster().version());
    let row = alice.store()?.key(decoded.header().key_id().expect("data is sealed"))?.expect("its own key");
    assert!(KeyContext::decode(&row.context)?.roster.height >= height);
    eve.run(&[]).await?;
    assert!(bob.opens(&sealed)? && !eve.opens(&sealed)?);
    assert_eq!(bob.logs(group)?.len(), 1, "one log all along");
    Ok(())
}

/// Alice greeted bob once. That says nothing of what was decided after bob went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_every_peer_seals_nothing_until_somebody_tells_of_the_revocation() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut alice = alice.tuned(|tuning| tuning.gate.grace = Duration::ZERO);
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut eve = coalition.member("eve").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut eve]).await?;
    let before = Bundle::indicators(1);
    alice.publish("cidr", &before).tlp("green").flushed().await?;
    eve.shows("cidr", &before.ids()).await?;
    bob.stop().await;
    eve.stop().await;
    for gone in [bob.node(), eve.node()] {
        alice.loses(&gone).await?;
    }
    let height = coalition.revoke(&eve, Vec::new())?;

    let bundle = Bundle::indicators(1);
    let accepted = alice.publish("cidr", &bundle).tlp("green").accepted().await?;
    alice.warns("every other node was lost").await?;
    assert_eq!(accepted.follow().await?["state"], "drafted");

    // Bob was told before he comes back.
    bob.join(&coalition, coalition.log().clone())?;
    bob.run(&[&alice]).await?;
    let messages = accepted.flushed().await?;
    bob.shows("cidr", &bundle.ids()).await?;
    let sealed = alice.store()?.envelope(messages[0])?.expect("its own message");
    let decoded = envelope::decode(&sealed)?;
    assert_eq!(decoded.header().roster.height, height);
    let row = alice.store()?.key(decoded.header().key_id().expect("data is sealed"))?.expect("its own key");
    assert_eq!(KeyContext::decode(&row.context)?.roster.height, height);
    eve.run(&[]).await?;
    assert!(bob.opens(&sealed)? && !eve.opens(&sealed)?);
    Ok(())
}

/// A member's node that announces an admin log a thousand entries longer than there is.
async fn announcing_too_much(liar: &Member, coalition: &Coalition) -> anyhow::Result<Hostile> {
    let hostile = Hostile::as_member(liar, coalition).await?;
    let mut promised: RosterVersion = coalition.roster().version().into();
    promised.height += 1000;
    hostile.claims(promised);
    Ok(hostile)
}

/// Its only peer announces an admin log that it does not serve. Beside an honest one it could hold up nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_about_the_admin_log_holds_up_a_publisher_for_a_bounded_time() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut alice = alice.tuned(|tuning| tuning.gate.doubt = Duration::from_secs(5));
    let liar = coalition.member("liar").reader(["cidr"]).issue()?;
    alice.start(&coalition, &[]).await?;
    let hostile = announcing_too_much(&liar, &coalition).await?;
    let bundle = Bundle::indicators(1);
    let accepted = alice.publish("cidr", &bundle).tlp("green").accepted().await?;
    alice.warns("no other node has answered").await?;
    hostile.join(&alice).await?;
    accepted.flushed().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_about_the_admin_log_holds_up_nobody_beside_an_honest_peer() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut alice = alice.tuned(|tuning| tuning.gate.doubt = Duration::from_secs(3600));
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let liar = coalition.member("liar").reader(["cidr"]).issue()?;
    alice.start(&coalition, &[]).await?;
    let hostile = announcing_too_much(&liar, &coalition).await?;
    hostile.join(&alice).await?;
    let bundle = Bundle::indicators(1);
    let accepted = alice.publish("cidr", &bundle).tlp("green").accepted().await?;
    alice.warns("announce an admin log that they have not served").await?;
    bob.start(&coalition, &[&alice]).await?;
    accepted.flushed().await?;
    bob.shows("cidr", &bundle.ids()).await?;
    Ok(())
}

/// Bob is level with alice and knows no better. Somebody else shows the entry that revoked eve, and keeps it to itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shown_entry_of_the_admin_log_holds_a_publisher_beside_a_level_peer_until_it_has_it()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut eve = coalition.member("eve").reader(["cidr"]).issue()?;
    let carol = coalition.member("carol").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut eve]).await?;
    let hostile = Hostile::as_member(&carol, &coalition).await?;
    let height = coalition.revoke(&eve, Vec::new())?;
    let revocation = coalition.roster().records().last().expect("the revocation").record.clone();
    hostile.shows(coalition.roster().version().into(), revocation);
    hostile.join(&alice).await?;

    let bundle = Bundle::indicators(1);
    let accepted = alice.publish("cidr", &bundle).tlp("green").accepted().await?;
    alice.warns("signed what lies beyond our admin log").await?;
    assert_eq!(accepted.follow().await?["state"], "drafted");
    bob.import(&coalition).await?;
    let messages = accepted.flushed().await?;
    bob.shows("cidr", &bundle.ids()).await?;
    let sealed = alice.store()?.envelope(messages[0])?.expect("its own message");
    assert_eq!(envelope::decode(&sealed)?.header().roster.height, height);
    assert!(bob.opens(&sealed)? && !eve.opens(&sealed)?);
    Ok(())
}

/// Eve reads the group and takes no keys: if alice's disk died behind a message to her alone, nobody could read it ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_waits_beside_a_reader_that_takes_no_keys_for_one_that_does() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let eve = coalition.member("eve").reader(["cidr"]).issue()?;
    alice.start(&coalition, &[]).await?;
    let hostile = Hostile::as_member(&eve, &coalition).await?;
    hostile.takes_no_keys();
    hostile.join(&alice).await?;
    let bundle = Bundle::indicators(1);
    let accepted = alice.publish("cidr", &bundle).tlp("green").accepted().await?;
    alice.warns("no other member has taken the key").await?;

    bob.start(&coalition, &[&alice]).await?;
    let messages = accepted.flushed().await?;
    let sealed = alice.store()?.envelope(messages[0])?.expect("its own message");
    let key = envelope::decode(&sealed)?.header().key_id().expect("data is sealed");
    assert!(bob.store()?.key(key)?.is_some(), "who takes it has it before the message is sealed");
    bob.shows("cidr", &bundle.ids()).await
}
