//! TLP:RED reaches the members it names, and nobody else by any way.

use belfry_proto::envelope;
use belfry_tests::{Bundle, Coalition, Hostile};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn red_reaches_its_recipients_and_whoever_asks_every_holder_gets_nothing() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut dave = coalition.member("dave").reader(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").publisher(["cidr"]).issue()?;
    let mut carrier = coalition.member("carrier").carrier().issue()?;
    coalition.start([&mut alice, &mut bob, &mut dave, &mut carol, &mut carrier]).await?;
    let group = coalition.group("cidr")?;

    let red = Bundle::saying("the name of the victim");
    let messages = alice.publish("cidr", &red).tlp("red").to(&[&bob, &dave]).flushed().await?;
    bob.shows("cidr", &red.ids()).await?;
    dave.shows("cidr", &red.ids()).await?;
    for holder in [&carol, &carrier] {
        holder.stores(&messages).await?;
    }
    // Something that carol does read, behind it in the same log.
    let green = Bundle::indicators(1);
    alice.publish("cidr", &green).tlp("green").flushed().await?;
    carol.shows("cidr", &green.ids()).await?;
    assert_eq!(carol.ids("cidr").await?, green.ids());
    let sealed = alice.store()?.envelope(messages[0])?.expect("it is the author's own");
    assert!(bob.opens(&sealed)? && alice.opens(&sealed)?, "the author reads what it wrote");
    assert!(!carol.opens(&sealed)? && !carrier.opens(&sealed)?);

    // Carol asks everybody who has it, by hand.
    carol.stop().await;
    let key = envelope::decode(&sealed)?.header().key_id().expect("data is sealed");
    let asking = Hostile::as_member(&carol, &coalition).await?;
    for holder in [&alice, &bob, &dave, &carrier] {
        asking.join(holder).await?;
        let answer = asking.ask_keys(holder, group, &[key]).await?;
        assert!(answer.grants.is_empty() && answer.refused.len() == 1, "{}: {answer:?}", holder.name());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn red_leaves_a_node_only_through_a_token_that_says_red() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let (red, green) = (Bundle::indicators(1), Bundle::indicators(1));
    alice.publish("cidr", &red).tlp("red").to(&[&bob]).flushed().await?;
    alice.publish("cidr", &green).tlp("green").flushed().await?;
    bob.shows("cidr", &[red.ids(), green.ids()].concat()).await?;

    for node in [&alice, &bob] {
        let siem = node.api_with(&node.token("siem", &["cidr"], "amber+strict", false).await?)?;
        let analyst = node.api_with(&node.token("analyst", &["cidr"], "amber+strict", true).await?)?;
        assert_eq!(siem.ids("cidr").await?, green.ids(), "{}", node.name());
        assert_eq!(analyst.ids("cidr").await?.len(), 2, "{}", node.name());
        let by_id = format!("/taxii2/root/collections/cidr/objects/{}/", red.ids()[0]);
        assert_eq!(siem.get(&by_id).await?.status, 404);
        assert_eq!(analyst.get(&by_id).await?.status, 200);
        let rest = format!("/api/v1/objects/{}", red.ids()[0]);
        assert_eq!(siem.get(&rest).await?.status, 404);
        assert_eq!(analyst.get(&rest).await?.status, 200);
        let manifest = siem.get("/taxii2/root/collections/cidr/manifest/").await?.expect(200)?;
        assert_eq!(manifest["objects"].as_array().map(Vec::len), Some(1), "{manifest}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn red_needs_recipients_and_recipients_that_may_read_the_group() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let outsider = coalition.member("outsider").reader(["cloud-security"]).issue()?;
    let carrier = coalition.member("carrier").carrier().issue()?;
    coalition.start([&mut alice]).await?;
    let red = Bundle::indicators(1);
    let refused = alice.publish("cidr", &red).tlp("red").send().await?;
    assert_eq!(refused.status, 422, "{}", refused.body);
    for member in [&outsider, &carrier] {
        let refused = alice.publish("cidr", &red).tlp("red").to(&[member]).send().await?;
        assert_eq!(refused.status, 422, "{}: {}", member.name(), refused.body);
    }
    assert_eq!(alice.ids("cidr").await?, Vec::<String>::new());
    Ok(())
}
