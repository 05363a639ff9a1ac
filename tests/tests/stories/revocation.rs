//! Whoever is revoked neither reads nor is heard any more, at once and after every restart.

use belfry_node::network::RequestError;
use belfry_proto::{
    envelope::{self, KeyContext},
    id::GroupId,
    schema::{PullAdmin, Refusal, hello_request, hello_response},
    topic::Topic,
};
use belfry_tests::{Bundle, Coalition, Forge, Hostile, Member, logs, until};

/// Alice, bob, carol and eve, who have all met; a shared publication by alice and one by eve.
struct Story {
    coalition: Coalition,
    alice: Member,
    bob: Member,
    carol: Member,
    eve: Member,
    before: Bundle,
    by_eve: Bundle,
}

async fn shared() -> anyhow::Result<Story> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
    let mut eve = coalition.member("eve").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut carol, &mut eve]).await?;
    let (before, by_eve) = (Bundle::indicators(1), Bundle::indicators(1));
    alice.publish("cidr", &before).tlp("green").flushed().await?;
    eve.publish("cidr", &by_eve).tlp("green").flushed().await?;
    for member in [&alice, &bob, &carol, &eve] {
        member.shows("cidr", &before.ids()).await?;
        member.shows("cidr", &by_eve.ids()).await?;
    }
    Ok(Story { coalition, alice, bob, carol, eve, before, by_eve })
}

async fn is_refused(eve: &Member, coalition: &Coalition, by: &Member) -> anyhow::Result<()> {
    let hostile = Hostile::as_member(eve, coalition).await?;
    hostile.subscribe(&[coalition.group("cidr")?]).await?;
    hostile.dial(by).await?;
    let shown = hostile.greet(by).await?;
    assert!(
        matches!(&shown.response, Some(hello_response::Response::Removed(record))
            if Some(record) == coalition.roster().records().last().map(|last| &last.record)),
        "{}: {shown:?}",
        by.name()
    );
    // That one record, and no other.
    let pull = PullAdmin { from_height: 1, from_charter: 1 };
    let pulled = hostile.hello(by, hello_request::Request::PullAdmin(pull)).await?;
    assert_eq!(pulled.response, Some(hello_response::Response::Refused(Refusal::NotCertified.into())));
    let key = envelope::decode(&by.ciphertext(coalition.group("cidr")?)?[0])?.header().key_id();
    let asked = hostile.ask_keys(by, coalition.group("cidr")?, &[key.expect("data is sealed")]).await;
    assert!(
        matches!(asked, Err(RequestError::Held | RequestError::Stream(_) | RequestError::Closed)),
        "{asked:?}"
    );
    hostile.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_member_is_cut_off_everywhere_and_reads_nothing_new() -> anyhow::Result<()> {
    let Story { mut coalition, alice, bob, carol, eve, before, by_eve } = shared().await?;
    let group = coalition.group("cidr")?;
    let old: Vec<Vec<u8>> = alice.ciphertext(group)?;
    let cut = alice.cut_of(&eve)?;
    let height = coalition.revoke(&eve, cut)?;
    bob.import(&coalition).await?;
    for member in [&alice, &bob, &carol] {
        member.follows(&coalition).await?;
        member.loses(&eve.node()).await?;
    }
    eve.warns("refuse this node as not certified").await?;
    eve.warns("reason key-compromise").await?;
    // Its own log is behind, so it takes a bundle still; and says what others make of it.
    let taken = eve.publish("cidr", &Bundle::indicators(1)).tlp("green").send().await?.expect(202)?;
    assert!(taken["warnings"].to_string().contains("this node as not certified"), "{taken}");

    let after = Bundle::indicators(1);
    let messages = alice.publish("cidr", &after).tlp("green").flushed().await?;
    let answer = Bundle::indicators(1);
    let mut fresh = bob.publish("cidr", &answer).tlp("green").flushed().await?;
    fresh.extend(messages);
    for member in [&alice, &bob, &carol] {
        member.shows("cidr", &[after.ids(), answer.ids()].concat()).await?;
        // What was said before stays, eve's own up to the cut.
        member.shows("cidr", &[before.ids(), by_eve.ids()].concat()).await?;
    }
    // Fresh keys, made for the roster without eve.
    for id in fresh {
        let envelope = carol.store()?.envelope(id)?.expect("carol shows it");
        let key = envelope::decode(&envelope)?.header().key_id().expect("data is sealed");
        let row = carol.store()?.key(key)?.expect("carol opened it");
        assert!(KeyContext::decode(&row.context)?.roster.height >= height);
        assert!(
            old.iter().all(|old| envelope::decode(old).is_ok_and(|old| old.header().key_id() != Some(key)))
        );
        assert!(carol.opens(&envelope)? && !eve.opens(&envelope)?, "eve is handed the ciphertext");
    }
    // The old ones it keeps: nobody can take back what was read.
    for envelope in &old {
        assert!(eve.opens(envelope)?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_outlives_restarts_on_both_sides() -> anyhow::Result<()> {
    let Story { mut coalition, mut alice, mut bob, carol, mut eve, .. } = shared().await?;
    coalition.revoke(&eve, alice.cut_of(&eve)?)?;
    alice.import(&coalition).await?;
    for member in [&alice, &bob, &carol] {
        member.follows(&coalition).await?;
    }
    // Both start from the log they joined with, which knows of no revocation; what the store holds counts.
    alice.restart(&[&bob]).await?;
    bob.restart(&[&alice]).await?;
    alice.meets(&bob).await?;
    assert_eq!(alice.roster()?.version(), coalition.roster().version());
    assert_eq!(bob.roster()?.version(), coalition.roster().version());

    // The revoked node tries again with all it has.
    eve.restart(&[&alice, &bob]).await?;
    let after = Bundle::indicators(1);
    let messages = bob.publish("cidr", &after).tlp("green").flushed().await?;
    alice.shows("cidr", &after.ids()).await?;
    let envelope = alice.store()?.envelope(messages[0])?.expect("alice shows it");
    assert!(!eve.opens(&envelope)? && !eve.store()?.has_message(messages[0])?);
    eve.stop().await;
    for member in [&alice, &bob] {
        is_refused(&eve, &coalition, member).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_revoked_member_signs_later_is_kept_hidden_whoever_brings_it() -> anyhow::Result<()> {
    let Story { mut coalition, alice, bob, mut eve, by_eve, .. } = shared().await?;
    let group = coalition.group("cidr")?;
    let mallory = coalition.member("mallory").publisher(["cidr"]).issue()?;
    let known = coalition.roster().clone();
    coalition.revoke(&eve, alice.cut_of(&eve)?)?;
    alice.import(&coalition).await?;
    bob.follows(&coalition).await?;
    eve.stop().await;

    // A new log of eve's, and the place after its cut one; signed at the roster eve knows of.
    let mut forge = Forge::new(&eve, group, &known)?;
    let late = forge.next(&Bundle::indicators(1))?;
    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    hostile.subscribe(&[group]).await?;
    hostile.join(&alice).await?;
    hostile.gossip(Topic::Group(group), late.bytes()).await?;
    until("the late message to be put away", async || {
        let counts = alice.store().map(|store| store.counts(group)).map_err(|e| e.to_string())?;
        if counts.quarantined == 1 { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await?;
    assert!(logs::refusals_of(&hostile.node()).is_empty());
    assert!(hostile.score_at(&alice).await?.is_some_and(|score| score >= 0.0), "the bringer is not blamed");
    assert_eq!(alice.network()?.counters().snapshot().verdict_reject, 0);

    // Not shown here, not forwarded there, while honest traffic goes on.
    let after = Bundle::indicators(1);
    alice.publish("cidr", &after).tlp("green").flushed().await?;
    bob.shows("cidr", &after.ids()).await?;
    assert_eq!(alice.ids("cidr").await?.len(), 3);
    alice.shows("cidr", &by_eve.ids()).await?;
    assert_eq!(bob.ids("cidr").await?.len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_member_publishes_to_nobody() -> anyhow::Result<()> {
    let Story { mut coalition, alice, bob, carol, eve, .. } = shared().await?;
    coalition.revoke(&eve, alice.cut_of(&eve)?)?;
    alice.import(&coalition).await?;
    for member in [&alice, &bob, &carol] {
        member.follows(&coalition).await?;
        member.loses(&eve.node()).await?;
    }
    // Its node may not know yet, and may take it in; nobody gets it.
    let late = Bundle::indicators(1);
    eve.publish("cidr", &late).tlp("green").send().await?;
    // Once told, it says so itself.
    let told = eve.import(&coalition).await?;
    assert_eq!(told["height"], coalition.roster().version().height.get());
    let refused = eve.publish("cidr", &Bundle::indicators(1)).tlp("green").send().await?;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let status = eve.status().await?;
    assert!(status["warnings"].to_string().contains("revoked"), "{status}");

    let after = Bundle::indicators(1);
    alice.publish("cidr", &after).tlp("green").flushed().await?;
    for member in [&bob, &carol] {
        member.shows("cidr", &after.ids()).await?;
        assert!(!member.ids("cidr").await?.contains(&late.ids()[0]));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cut_hides_comes_back_everywhere_once_it_is_extended() -> anyhow::Result<()> {
    let Story { mut coalition, mut alice, bob, carol, eve, by_eve, .. } = shared().await?;
    let (group, early) = (coalition.group("cidr")?, alice.cut_of(&eve)?);
    let later = Bundle::indicators(1);
    eve.publish("cidr", &later).tlp("green").flushed().await?;
    for member in [&alice, &bob, &carol] {
        member.shows("cidr", &later.ids()).await?;
    }
    let whole = alice.cut_of(&eve)?;
    coalition.revoke(&eve, early)?;
    bob.import(&coalition).await?;
    for member in [&alice, &bob, &carol] {
        member.follows(&coalition).await?;
        hides(member, group, 1).await?;
    }
    // One that sleeps meanwhile hears of it when it wakes.
    alice.stop().await;
    coalition.extend_cut(&eve, whole)?;
    bob.import(&coalition).await?;
    alice.run(&[&bob]).await?;
    for member in [&alice, &bob, &carol] {
        member.follows(&coalition).await?;
        hides(member, group, 0).await?;
        member.shows("cidr", &[by_eve.ids(), later.ids()].concat()).await?;
        // What stands again is opened anew; until then tools are told that it was withdrawn.
        until(&format!("{} to call nothing withdrawn", member.name()), async || {
            let answer = member.api().map_err(|e| e.to_string())?;
            let answer =
                answer.get("/taxii2/root/collections/cidr/objects/").await.map_err(|e| e.to_string())?;
            let told = answer.expect(200).map_err(|e| e.to_string())?.to_string();
            if told.contains("\"revoked\":true") { Err(told) } else { Ok(()) }
        })
        .await?;
    }
    Ok(())
}

/// Waits until a node keeps so many messages of a group away from whoever reads.
async fn hides(member: &Member, group: GroupId, count: u64) -> anyhow::Result<()> {
    until(&format!("{} to hide {count} messages", member.name()), async || {
        let counts = member.store().map(|store| store.counts(group)).map_err(|e| e.to_string())?;
        if counts.quarantined == count { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await
}
