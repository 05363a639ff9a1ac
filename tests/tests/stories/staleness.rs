//! A log for which nobody vouches any more: what the charter has nodes do, and how it ends.

use std::time::Duration;

use belfry_proto::schema::StalenessPolicy;
use belfry_tests::{Bundle, Coalition, Member};

/// Hands a node the registrar's word, as `belfry import-log` does.
async fn vouched(member: &Member, coalition: &Coalition, lifetime: Duration) -> anyhow::Result<()> {
    member.api()?.post("/api/v1/log", &[], coalition.beacon(lifetime)).await?.expect(200)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_charter_stops_publishing_drafts_wait_for_a_beacon_that_vouches_for_the_log()
-> anyhow::Result<()> {
    let mut coalition = Coalition::with(|draft| draft.staleness = StalenessPolicy::StopPublishing)?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;

    // No beacon ever came: what is accepted waits, and that is said.
    let first = Bundle::indicators(1);
    let waiting = alice.publish("cidr", &first).tlp("green").accepted().await?;
    alice.warns("1 draft waits: no fresh beacon").await?;
    alice.warns("No beacon has come yet").await?;
    assert_eq!(waiting.follow().await?["state"], "drafted");
    // One node is told, and whoever is connected hears of it.
    vouched(&bob, &coalition, Duration::from_secs(24 * 3600)).await?;
    waiting.flushed().await?;
    bob.shows("cidr", &first.ids()).await?;

    // The newest word counts, though it holds for less long, and runs out by itself. Reading goes on, and what is published then waits.
    vouched(&alice, &coalition, Duration::from_secs(10)).await?;
    alice.warns("The registrar last vouched for the admin log at").await?;
    let second = Bundle::indicators(1);
    let waiting = alice.publish("cidr", &second).tlp("green").accepted().await?;
    alice.warns("1 draft waits: no fresh beacon").await?;
    assert_eq!(waiting.follow().await?["state"], "drafted");
    bob.shows("cidr", &first.ids()).await?;
    vouched(&alice, &coalition, Duration::from_secs(24 * 3600)).await?;
    waiting.flushed().await?;
    bob.shows("cidr", &second.ids()).await?;
    let status = alice.status().await?;
    assert!(!status["warnings"].to_string().contains("vouched"), "{status}");
    Ok(())
}
