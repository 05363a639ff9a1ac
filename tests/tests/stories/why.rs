//! `belfry why`, of messages that never came into the store.

use belfry_node::refusals::Way;
use belfry_proto::{envelope, topic::Topic};
use belfry_tests::{Bundle, Coalition, Forge, Hostile, until};
use prost::Message as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_or_waits_for_the_admin_log_is_explained_and_counted() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    let mallory = coalition.member("mallory").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let group = coalition.group("cidr")?;
    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    hostile.subscribe(&[group]).await?;
    hostile.join(&bob).await?;

    let forge = Forge::new(&mallory, group, coalition.roster())?;
    let mut unsigned = forge.envelope(&Bundle::indicators(1))?;
    unsigned.signature[0] ^= 1;
    let unsigned = unsigned.encode_to_vec();
    let refused = envelope::decode(&unsigned)?.message_id();
    hostile.gossip(Topic::Group(group), &unsigned).await?;
    let path = format!("/api/v1/messages/{refused}");
    let told = until("bob to say why", async || {
        let answer = bob.api().map_err(|e| e.to_string())?.get(&path).await.map_err(|e| e.to_string())?;
        answer.expect(200).map_err(|e| e.to_string())
    })
    .await?;
    assert_eq!((&told["state"], &told["reason"]), (&"refused".into(), &"bad-signature".into()), "{told}");
    // What it names as its author may never have signed it.
    assert_eq!((&told["organisation"], &told["has_body"]), (&serde_json::Value::Null, &false.into()));
    assert!(told["meaning"].as_str().is_some_and(|text| text.contains("by gossip from 12D3")), "{told}");
    // A token of other groups learns no more than of any other id.
    let other = bob.token("other", &["cloud-security"], "green", false).await?;
    bob.api_with(&other)?.get(&path).await?.expect(404)?;
    let counted = bob.network()?.refusals().counts();
    assert!(counted.contains(&(Way::Gossip, "bad-signature", 1)), "{counted:?}");

    // A roster that nobody here has.
    let _late = coalition.member("late").reader(["cloud-security"]).issue()?;
    let mut ahead = Forge::new(&mallory, group, coalition.roster())?;
    let ahead = ahead.next(&Bundle::indicators(1))?;
    hostile.gossip(Topic::Group(group), ahead.bytes()).await?;
    let path = format!("/api/v1/messages/{}", ahead.message_id());
    let told = until("bob to say what it waits for", async || {
        let answer = bob.api().map_err(|e| e.to_string())?.get(&path).await.map_err(|e| e.to_string())?;
        answer.expect(200).map_err(|e| e.to_string())
    })
    .await?;
    assert_eq!(told["state"], "parked");
    let height = coalition.roster().version().height;
    assert!(
        told["meaning"].as_str().is_some_and(|text| text.contains(&format!("entry {height} "))),
        "{told}"
    );
    alice.import(&coalition).await?;
    bob.stores(&[ahead.message_id()]).await?;
    let told = bob.api()?.get(&path).await?.expect(200)?;
    assert_eq!(told["state"], "waiting-for-key");
    Ok(())
}
