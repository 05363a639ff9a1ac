//! One member, several nodes.

use belfry_tests::{Bundle, Coalition};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_of_one_member_write_logs_of_their_own_and_read_the_same() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut office = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut plant = coalition.member("alice").node_of(&office).publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    assert_eq!(office.id(), plant.id());
    assert_ne!(office.serial(), plant.serial());
    coalition.start([&mut office, &mut plant, &mut bob]).await?;
    let group = coalition.group("cidr")?;

    let (one, other) = (Bundle::indicators(2), Bundle::indicators(2));
    office.publish("cidr", &one).tlp("green").flushed().await?;
    plant.publish("cidr", &other).tlp("green").flushed().await?;
    let both = [one.ids(), other.ids()].concat();
    for node in [&office, &plant, &bob] {
        node.shows("cidr", &both).await?;
    }
    let logs = bob.logs(group)?;
    assert_eq!(logs.len(), 2);
    assert!(logs.iter().all(|log| log.member == office.id() && !log.forked && log.height.get() == 1));

    // RED for the member opens at each of its nodes, and RED by one of them at the other.
    let red = Bundle::indicators(1);
    bob.publish("cidr", &red).tlp("red").to(&[&office]).flushed().await?;
    office.shows("cidr", &red.ids()).await?;
    plant.shows("cidr", &red.ids()).await?;
    let own = Bundle::indicators(1);
    office.publish("cidr", &own).tlp("red").to(&[&bob]).flushed().await?;
    plant.shows("cidr", &own.ids()).await?;
    bob.shows("cidr", &own.ids()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_one_node_leaves_the_members_other_one_alone() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut office = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut plant = coalition.member("alice").node_of(&office).publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut office, &mut plant, &mut bob]).await?;
    let said = Bundle::indicators(1);
    plant.publish("cidr", &said).tlp("green").flushed().await?;
    bob.shows("cidr", &said.ids()).await?;

    coalition.revoke(&plant, bob.cut_of(&plant)?)?;
    bob.import(&coalition).await?;
    office.follows(&coalition).await?;
    bob.loses(&plant.node()).await?;
    office.loses(&plant.node()).await?;
    let after = Bundle::indicators(1);
    let messages = office.publish("cidr", &after).tlp("green").flushed().await?;
    bob.shows("cidr", &[said.ids(), after.ids()].concat()).await?;
    let sealed = bob.store()?.envelope(messages[0])?.expect("bob shows it");
    assert!(!plant.opens(&sealed)?, "a stolen node of a member in good standing reads nothing more");
    Ok(())
}
