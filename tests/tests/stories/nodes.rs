//! One member, several nodes.

use belfry_proto::{
    schema::{Amend, Capacity, EntityClass},
    trust::statement::Decision,
};
use belfry_tests::{Bundle, Coalition, Transport, wait::meet};

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

/// Connections break while others begin, both sides dial at once, nodes come back elsewhere: nobody is lost for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_find_each_other_again_however_links_come_and_go() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut members = Vec::new();
    for (name, transport) in [("alice", Transport::Quic), ("bob", Transport::Tcp), ("carol", Transport::Quic)]
    {
        let member = coalition.member(name).publisher(["cidr"]).issue()?.over(transport);
        members.push(member.tuned(|tuning| tuning.redial_interval = std::time::Duration::from_secs(1)));
    }
    // The fourth is known to nobody: its way leads through the lobby.
    let log = coalition.log().clone();
    let mut late = coalition.member("dave").publisher(["cidr"]).issue()?;
    for at in 0..members.len() {
        let (started, rest) = members.split_at_mut(at);
        rest[0].join(&coalition, log.clone())?;
        rest[0].run(&started.iter().collect::<Vec<_>>()).await?;
    }
    late.start(&coalition, &members.iter().collect::<Vec<_>>()).await?;
    members.push(late);
    for round in 0..8_usize {
        // Wherever they are in meeting each other.
        for _ in 0..6 {
            let (one, other) = (rand::random_range(0..4_usize), rand::random_range(0..4_usize));
            members[one].network()?.disconnect(&members[other].node()).await?;
            tokio::task::yield_now().await;
        }
        if round % 2 == 1 {
            // Elsewhere, where nobody looks for it; it knows where the others are by now.
            let mut one = members.remove(round / 2);
            one.restart(&members.iter().collect::<Vec<_>>()).await?;
            members.insert(round / 2, one);
        }
    }
    meet(&members.iter().collect::<Vec<_>>()).await?;
    let bundle = Bundle::indicators(1);
    members[3].publish("cidr", &bundle).tlp("green").flushed().await?;
    for member in &members[..3] {
        member.shows("cidr", &bundle.ids()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_data_of_a_member_hold_at_every_node_and_for_all_its_nodes_without_new_keys_or_restart()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut office = coalition.member("ministry").class(EntityClass::Authority).reader(["cidr"]).issue()?;
    let mut plant = coalition
        .member("ministry")
        .class(EntityClass::Authority)
        .node_of(&office)
        .reader(["cidr"])
        .issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    coalition.start([&mut office, &mut plant, &mut bob]).await?;
    let narrow = async |bundle: &Bundle| {
        bob.publish("cidr", bundle).tlp("green").without_supervisors().flushed().await
    };
    let before = Bundle::indicators(1);
    narrow(&before).await?;
    for node in [&office, &plant] {
        node.shows("cidr", &before.ids()).await?;
    }

    let mut organisation =
        coalition.roster().member(office.id()).expect("it is a member").organisation.clone();
    organisation.name = "Ministry of Markets".to_owned();
    organisation.capacity = Capacity::Supervisor.into();
    let amend = Amend { member: office.id().to_vec(), organisation: Some(organisation) };
    coalition.decide(office.id(), Decision::Amend(amend))?;
    bob.import(&coalition).await?;
    for node in [&office, &plant, &bob] {
        node.follows(&coalition).await?;
        let answer = node.api()?.get("/api/v1/members").await?.expect(200)?;
        let of = |member: &serde_json::Value| member["id"] == office.id().to_string();
        let told = answer["members"].as_array().and_then(|all| all.iter().find(|member| of(member))).cloned();
        let told = told.expect("every node knows it");
        assert_eq!(
            (&told["organisation"], &told["capacity"]),
            (&"Ministry of Markets".into(), &"supervisor".into())
        );
    }
    assert_eq!(office.status().await?["held"]["certificate"]["organisation"], "Ministry of Markets");

    // By the keys it has it reads what is for everybody, and no more what is not for supervisors.
    let (after, all) = (Bundle::indicators(1), Bundle::indicators(1));
    let kept = narrow(&after).await?;
    bob.publish("cidr", &all).tlp("green").flushed().await?;
    let sealed = bob.store()?.envelope(kept[0])?.expect("bob wrote it");
    for node in [&office, &plant] {
        node.shows("cidr", &[before.ids(), all.ids()].concat()).await?;
        assert!(!node.opens(&sealed)?, "it opens what is kept from supervisors");
    }
    Ok(())
}
