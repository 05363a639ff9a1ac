//! Suspended for a while: out at once, back with a log of its own.

use belfry_tests::{Bundle, Coalition, Member};

/// Eve has said something, was suspended at it, and alice has said something meanwhile.
async fn suspended() -> anyhow::Result<(Coalition, [Member; 3], Bundle)> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut eve = coalition.member("eve").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut eve]).await?;
    let before = Bundle::indicators(1);
    eve.publish("cidr", &before).tlp("green").flushed().await?;
    for member in [&alice, &bob] {
        member.shows("cidr", &before.ids()).await?;
    }
    coalition.suspend(&eve, alice.cut_of(&eve)?)?;
    alice.import(&coalition).await?;
    for member in [&alice, &bob] {
        member.follows(&coalition).await?;
        member.loses(&eve.node()).await?;
    }
    let meanwhile = Bundle::indicators(1);
    let messages = alice.publish("cidr", &meanwhile).tlp("green").flushed().await?;
    bob.shows("cidr", &meanwhile.ids()).await?;
    let sealed = bob.store()?.envelope(messages[0])?.expect("bob shows it");
    assert!(!eve.opens(&sealed)? && !eve.store()?.has_message(messages[0])?);
    Ok((coalition, [alice, bob, eve], before))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_member_is_out_until_it_is_resumed() -> anyhow::Result<()> {
    let (mut coalition, [alice, bob, eve], before) = suspended().await?;
    coalition.resume(&eve)?;
    alice.import(&coalition).await?;
    eve.follows(&coalition).await?;
    eve.meets(&alice).await?;
    // It reads what is said from now on, and what it said before stays.
    let after = Bundle::indicators(1);
    alice.publish("cidr", &after).tlp("green").flushed().await?;
    eve.shows("cidr", &after.ids()).await?;
    for member in [&alice, &bob] {
        member.shows("cidr", &[before.ids(), after.ids()].concat()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_member_goes_on_in_a_new_log() -> anyhow::Result<()> {
    let (mut coalition, [alice, bob, eve], before) = suspended().await?;
    coalition.resume(&eve)?;
    alice.import(&coalition).await?;
    eve.follows(&coalition).await?;
    eve.meets(&alice).await?;
    let back = Bundle::indicators(1);
    eve.publish("cidr", &back).tlp("green").flushed().await?;
    for member in [&alice, &bob] {
        member.shows("cidr", &[before.ids(), back.ids()].concat()).await?;
    }
    let logs = alice.logs(coalition.group("cidr")?)?;
    assert_eq!(logs.iter().filter(|log| log.serial == eve.serial()).count(), 2);
    Ok(())
}
