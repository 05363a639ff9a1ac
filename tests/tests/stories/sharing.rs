//! What one member publishes, every reader of the group has, as it was written.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use belfry_proto::stix::extension;
use belfry_tests::{Bundle, Coalition, Member, Transport, real};
use futures::future::try_join_all;
use serde_json::{Value, json};

async fn shared_over(transport: Transport) -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?.over(transport);
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?.over(transport);
    let mut carol = coalition.member("carol").publisher(["cidr", "cloud-security"]).issue()?.over(transport);
    coalition.start([&mut alice, &mut bob, &mut carol]).await?;

    let bundle = Bundle::indicators(3);
    alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    for member in [&alice, &bob, &carol] {
        member.shows("cidr", &bundle.ids()).await?;
        assert_eq!(member.api()?.objects("cidr").await?, bundle.objects, "{}", member.name());
    }
    // And back, in the other direction of every connection.
    let answer = Bundle::indicators(1);
    carol.publish("cidr", &answer).tlp("green").flushed().await?;
    for member in [&alice, &bob] {
        member.shows("cidr", &answer.ids()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_has_what_one_publishes_over_quic() -> anyhow::Result<()> {
    shared_over(Transport::Quic).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_has_what_one_publishes_over_tcp() -> anyhow::Result<()> {
    shared_over(Transport::Tcp).await
}

/// What an object says of itself travels in it, and counts at every reader's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_found_at_every_readers_by_what_its_author_states_in_it() -> anyhow::Result<()> {
    let (_coalition, alice, bob) = pair().await?;
    let mut bundle = Bundle::indicators(2);
    let ids = bundle.ids();
    let first = bundle.objects.first_mut().and_then(Value::as_object_mut).context("two objects")?;
    let extension = json!({
        "extension_type": "property-extension", "information_class": "alert", "purpose": "respond",
        "handling": ["attribution=must-not"],
    });
    first.insert("extensions".to_owned(), json!({ (extension::ID): extension }));
    alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    for member in [&alice, &bob] {
        member.shows("cidr", &ids).await?;
        let found =
            member.api()?.get("/api/v1/objects?group=cidr&class=alert&purpose=respond").await?.expect(200)?;
        let objects = found["objects"].as_array().context("objects")?;
        let [alert] = objects.as_slice() else { anyhow::bail!("{}: {found}", member.name()) };
        ensure!(alert["id"].as_str() == ids.first().map(String::as_str), "{}: {found}", member.name());
        assert_eq!(alert["handling"], json!(["attribution=must-not"]), "{}", member.name());
    }
    Ok(())
}

async fn pair() -> anyhow::Result<(Coalition, Member, Member)> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    Ok((coalition, alice, bob))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_used_twice_is_one_publication() -> anyhow::Result<()> {
    let (coalition, alice, bob) = pair().await?;
    let bundle = Bundle::indicators(1);
    let json = bundle.json();
    let submit = async |body: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "nightly-7")];
        alice.api()?.post("/api/v1/publications?group=cidr&tlp=green", &headers, body).await
    };
    let first = submit(&json).await?.expect(202)?;
    let second = submit(&json).await?.expect(202)?;
    assert_eq!(first["publication"], second["publication"]);
    assert_eq!((&first["duplicate"], &second["duplicate"]), (&Value::from(false), &Value::from(true)));
    let other = submit(&Bundle::indicators(1).json()).await?;
    assert_eq!(other.status, 409, "{}", other.body);

    bob.shows("cidr", &bundle.ids()).await?;
    // What comes after it in the same log is there, so a second message would be, too.
    let last = Bundle::indicators(1);
    alice.publish("cidr", &last).tlp("green").flushed().await?;
    bob.shows("cidr", &last.ids()).await?;
    let logs = bob.logs(coalition.group("cidr")?)?;
    assert_eq!(logs.iter().map(|log| log.height.get()).collect::<Vec<_>>(), [2]);
    assert_eq!(bob.ids("cidr").await?, [bundle.ids(), last.ids()].concat());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_larger_than_a_message_is_split_and_arrives_whole() -> anyhow::Result<()> {
    let (_coalition, alice, bob) = pair().await?;
    let bundle = Bundle::heavy(60, 24 * 1024);
    let messages = alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    ensure!(messages.len() > 5, "two megabytes went into {} messages", messages.len());
    bob.shows("cidr", &bundle.ids()).await?;
    assert_eq!(bob.api()?.objects("cidr").await?, bundle.objects, "in the author's order, untouched");
    Ok(())
}

/// Wherever it is at hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mitres_attack_for_ics_arrives_whole() -> anyhow::Result<()> {
    let Some(path) = real::data("attack/ics-attack.json") else { return Ok(()) };
    let bundle: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let objects = bundle["objects"].as_array().context("a bundle has objects")?.clone();
    let bundle = Bundle { objects };
    let (_coalition, alice, bob) = pair().await?;
    alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    bob.shows("cidr", &bundle.ids()).await?;
    let sorted = |objects: &[Value]| objects.iter().map(Value::to_string).collect::<BTreeSet<_>>();
    assert_eq!(sorted(&bob.api()?.objects("cidr").await?), sorted(&bundle.objects));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_five_hundred_arrives_complete_everywhere() -> anyhow::Result<()> {
    const BURST: usize = 500;
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
    let mut carrier = coalition.member("carrier").carrier().issue()?;
    coalition.start([&mut alice, &mut bob, &mut carol, &mut carrier]).await?;

    let bundles: Vec<Bundle> = (0..BURST).map(|_| Bundle::indicators(1)).collect();
    for chunk in bundles.chunks(4) {
        try_join_all(chunk.iter().map(|b| alice.publish("cidr", b).tlp("green").accepted())).await?;
    }
    let ids: Vec<String> = bundles.iter().flat_map(Bundle::ids).collect();
    for member in [&alice, &bob, &carol] {
        member.shows("cidr", &ids).await?;
        assert_eq!(member.ids("cidr").await?.len(), BURST, "none twice");
    }
    let group = coalition.group("cidr")?;
    let messages: Vec<_> = alice
        .ciphertext(group)?
        .iter()
        .map(|bytes| Ok(belfry_proto::envelope::decode(bytes)?.message_id()))
        .collect::<anyhow::Result<_>>()?;
    assert_eq!(messages.len(), BURST);
    carrier.stores(&messages).await
}
