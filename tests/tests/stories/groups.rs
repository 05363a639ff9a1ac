//! A group's messages, keys and topic belong to its certified members.

use belfry_proto::{
    envelope,
    id::LogId,
    schema::{PullFrontier, PullRange, Refusal, SyncResponse, sync_request, sync_response},
    topic::Topic,
};
use belfry_tests::{Bundle, Coalition, Forge, Hostile, logs, until};

fn refusal(response: &SyncResponse) -> Option<Refusal> {
    match response.response {
        Some(sync_response::Response::Refused(code)) => Refusal::try_from(code).ok(),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_group_gets_neither_its_messages_nor_its_keys() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr", "cloud-security"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut carrier = coalition.member("carrier").carrier().issue()?;
    let mut eve = coalition.member("eve").publisher(["cloud-security"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut carrier]).await?;
    let group = coalition.group("cidr")?;

    // It may listen to the topic: gossipsub cannot refuse that. What it hears stays closed.
    let hostile = Hostile::as_member(&eve, &coalition).await?;
    hostile.subscribe(&[group]).await?;
    for holder in [&alice, &bob, &carrier] {
        hostile.join(holder).await?;
    }
    let bundle = Bundle::indicators(1);
    let messages = alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    bob.shows("cidr", &bundle.ids()).await?;
    carrier.stores(&messages).await?;
    let heard =
        hostile.hears(|bytes| envelope::decode(bytes).is_ok_and(|e| e.message_id() == messages[0])).await?;

    let decoded = envelope::decode(&heard)?;
    let (key, log) = (decoded.header().key_id().expect("data is sealed"), decoded.header().log);
    for holder in [&alice, &bob, &carrier] {
        let answer = hostile.ask_keys(holder, group, &[key]).await?;
        assert!(answer.grants.is_empty(), "{}: {answer:?}", holder.name());
        let frontier = PullFrontier { group: group.get(), hash: vec![0; 32], after: Vec::new() };
        let answer = hostile.ask_sync(holder, sync_request::Request::Frontier(frontier)).await?;
        assert_eq!(refusal(&answer), Some(Refusal::NotEntitled), "{}", holder.name());
        let range = PullRange { group: group.get(), log: log.to_vec(), from: 1, to: 1 };
        let answer = hostile.ask_sync(holder, sync_request::Request::Range(range)).await?;
        assert_eq!(refusal(&answer), Some(Refusal::NotEntitled), "{}", holder.name());
        // Under the name of its own group it gets nothing of the other's.
        let own = coalition.group("cloud-security")?;
        let range = PullRange { group: own.get(), log: log.to_vec(), from: 1, to: 1 };
        let answer = hostile.ask_sync(holder, sync_request::Request::Range(range)).await?;
        assert!(
            matches!(&answer.response, Some(sync_response::Response::Page(page)) if page.envelopes.is_empty()),
            "{}: {answer:?}",
            holder.name()
        );
        let answer = hostile.ask_keys(holder, own, &[key]).await?;
        assert!(answer.grants.is_empty(), "{}: {answer:?}", holder.name());
    }
    hostile.stop().await;

    // The honest node of the same certificate shows the group as unknown ground, too.
    eve.start(&coalition, &[&alice]).await?;
    eve.meets(&alice).await?;
    let cloud = Bundle::indicators(1);
    alice.publish("cloud-security", &cloud).tlp("green").flushed().await?;
    eve.shows("cloud-security", &cloud.ids()).await?;
    assert!(!eve.opens(&heard)?);
    assert!(eve.logs(group)?.is_empty() && eve.ids("cidr").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_publishes_where_its_certificate_does_not_say_so() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut reader = coalition.member("reader").reader(["cidr"]).issue()?;
    let outsider = coalition.member("outsider").publisher(["cloud-security"]).issue()?;
    let carrier = coalition.member("carrier").carrier().issue()?;
    coalition.start([&mut alice, &mut reader]).await?;
    let group = coalition.group("cidr")?;

    // Its own node says no.
    let refused = reader.publish("cidr", &Bundle::indicators(1)).tlp("green").send().await?;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let refused = alice.publish("cloud-security", &Bundle::indicators(1)).tlp("green").send().await?;
    assert_eq!(refused.status, 403, "{}", refused.body);
    reader.stop().await;

    // A node that does not ask itself is refused by the others, without a mark against who forwards it.
    for member in [&reader, &outsider, &carrier] {
        let hostile = Hostile::as_member(member, &coalition).await?;
        hostile.subscribe(&[group]).await?;
        hostile.join(&alice).await?;
        let mut forge = Forge::new(member, group, coalition.roster())?;
        let message = forge.next(&Bundle::indicators(1))?;
        hostile.gossip(Topic::Group(group), message.bytes()).await?;
        until("its refusal", async || {
            let refusals = logs::refusals_of(&hostile.node());
            if refusals == ["not-a-publisher"] { Ok(()) } else { Err(format!("{refusals:?}")) }
        })
        .await?;
        assert!(!alice.store()?.has_message(message.message_id())?, "{}", member.name());
        assert!(hostile.score_at(&alice).await?.is_some_and(|score| score >= 0.0), "{}", member.name());
        hostile.stop().await;
    }
    assert!(alice.logs(group)?.iter().all(|log| log.log != LogId::ZERO && log.serial == alice.serial()));
    assert_eq!(alice.network()?.counters().snapshot().verdict_reject, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_is_closed_to_the_group_around_it() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let financial = belfry_proto::schema::EntityClass::Financial;
    let mut bank = coalition.member("bank").class(financial).publisher(["cidr", "cidr-financial"]).issue()?;
    let mut broker =
        coalition.member("broker").class(financial).reader(["cidr", "cidr-financial"]).issue()?;
    let mut plant = coalition.member("plant").reader(["cidr"]).issue()?;
    let admitted = coalition.member("hospital").reader(["cidr-financial"]).issue();
    assert!(admitted.is_err(), "the circle admits financial entities only");
    coalition.start([&mut bank, &mut broker, &mut plant]).await?;

    let (inner, outer) = (Bundle::indicators(1), Bundle::indicators(1));
    bank.publish("cidr-financial", &inner).tlp("green").flushed().await?;
    bank.publish("cidr", &outer).tlp("green").flushed().await?;
    broker.shows("cidr-financial", &inner.ids()).await?;
    plant.shows("cidr", &outer.ids()).await?;
    let circle = coalition.group("cidr-financial")?;
    assert!(plant.logs(circle)?.is_empty());
    for envelope in bank.ciphertext(circle)? {
        assert!(broker.opens(&envelope)? && !plant.opens(&envelope)?);
    }
    Ok(())
}
