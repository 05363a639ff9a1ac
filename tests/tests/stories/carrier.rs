//! A carrier keeps and passes on what it can never open.

use belfry_proto::{envelope, schema::Refusal};
use belfry_tests::{Bundle, Coalition, Hostile};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_serves_who_was_away_and_opens_nothing() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
    let mut carrier = coalition.member("carrier").carrier().issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut carol, &mut carrier]).await?;
    let group = coalition.group("cidr")?;

    let (open, named) = (Bundle::indicators(2), Bundle::indicators(1));
    let mut messages = alice.publish("cidr", &open).tlp("green").flushed().await?;
    messages.extend(alice.publish("cidr", &named).tlp("red").to(&[&bob]).flushed().await?);
    carol.shows("cidr", &open.ids()).await?;
    carrier.stores(&messages).await?;
    assert_eq!(carrier.ids("cidr").await?, Vec::<String>::new());
    for envelope in carrier.ciphertext(group)? {
        assert!(!carrier.opens(&envelope)?);
        let key = envelope::decode(&envelope)?.header().key_id().expect("data is sealed");
        assert!(carrier.store()?.key(key)?.is_none(), "a carrier holds no keys");
    }

    // Both who can read are gone; the carrier alone brings the messages to one who was away.
    alice.stop().await;
    carol.stop().await;
    bob.start(&coalition, &[&carrier]).await?;
    bob.stores(&messages).await?;
    // The one for it by name opens at once; the group's waits for somebody who holds the key.
    bob.shows("cidr", &named.ids()).await?;
    assert_eq!(bob.ids("cidr").await?, named.ids());
    carol.run(&[&bob]).await?;
    bob.shows("cidr", &open.ids()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_passes_on_between_members_that_have_no_other_link() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut carrier = coalition.member("carrier").carrier().issue()?;
    let bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut carrier]).await?;
    let group = coalition.group("cidr")?;

    // A listener that dials nobody but the carrier, and takes no address of others.
    let listener = Hostile::as_member(&bob, &coalition).await?;
    listener.subscribe(&[group]).await?;
    listener.join(&carrier).await?;
    let bundle = Bundle::indicators(1);
    let messages = alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    listener.hears(|bytes| envelope::decode(bytes).is_ok_and(|e| e.message_id() == messages[0])).await?;
    assert!(listener.network().peers().await?.iter().all(|peer| peer.node == carrier.node()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_asks_for_keys_gets_none_from_any_holder() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let carrier = coalition.member("carrier").carrier().issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let group = coalition.group("cidr")?;
    let bundle = Bundle::indicators(1);
    alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    bob.shows("cidr", &bundle.ids()).await?;
    let key = envelope::decode(&alice.ciphertext(group)?[0])?.header().key_id().expect("data is sealed");

    let hostile = Hostile::as_member(&carrier, &coalition).await?;
    for holder in [&alice, &bob] {
        hostile.join(holder).await?;
        let answer = hostile.ask_keys(holder, group, &[key]).await?;
        assert!(answer.grants.is_empty());
        assert_eq!(answer.refused[0].refusal, i32::from(Refusal::NotEntitled), "{}", holder.name());
    }
    Ok(())
}
