//! NIS2 29(1) and 29(4), DORA 45(3): sharing is voluntary, and leaving takes effect at its moment.

use std::time::Duration;

use belfry_node::clock;
use belfry_proto::{
    notice::{Occasion, owed},
    schema::hello_response,
};
use belfry_tests::{Bundle, Coalition, Hostile};

/// Long enough for what the story does before.
const NOTICE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_leaves_reads_until_its_moment_and_is_out_from_then_on_by_itself() -> anyhow::Result<()>
{
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut eve = coalition.member("eve").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut eve]).await?;

    let effective = clock::now().saturating_add(NOTICE);
    let yesterday = clock::now().saturating_sub(Duration::from_secs(24 * 3600));
    assert!(coalition.leave(&eve, yesterday).is_err(), "nobody leaves before it was decided");
    coalition.leave(&eve, effective)?;
    alice.import(&coalition).await?;
    for member in [&alice, &bob, &eve] {
        member.follows(&coalition).await?;
    }
    // Announced is not gone: it reads and is read.
    eve.warns("ends on").await?;
    assert_eq!(eve.status().await?["held"]["certificate"]["days_left"], 0, "as metrics have it");
    let (to_eve, by_eve) = (Bundle::indicators(1), Bundle::indicators(1));
    alice.publish("cidr", &to_eve).tlp("green").flushed().await?;
    eve.shows("cidr", &to_eve.ids()).await?;
    eve.publish("cidr", &by_eve).tlp("green").flushed().await?;
    for member in [&alice, &bob] {
        member.shows("cidr", &by_eve.ids()).await?;
    }

    // Nobody does anything.
    for member in [&alice, &bob] {
        member.loses(&eve.node()).await?;
    }
    assert!(clock::now() >= effective, "nobody hangs up before");
    let refused = eve.publish("cidr", &Bundle::indicators(1)).tlp("green").send().await?;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let after = Bundle::indicators(1);
    let messages = alice.publish("cidr", &after).tlp("green").flushed().await?;
    bob.shows("cidr", &after.ids()).await?;
    let sealed = bob.store()?.envelope(messages[0])?.expect("bob shows it");
    assert!(!eve.opens(&sealed)?, "keys were made anew");
    // What it published until then stays, without anybody cutting anything.
    for member in [&alice, &bob] {
        member.shows("cidr", &[to_eve.ids(), by_eve.ids(), after.ids()].concat()).await?;
    }
    eve.stop().await;
    let knocking = Hostile::as_member(&eve, &coalition).await?;
    for member in [&alice, &bob] {
        knocking.dial(member).await?;
        let shown = knocking.greet(member).await?;
        assert!(
            matches!(
                shown.response,
                Some(hello_response::Response::Removed(_) | hello_response::Response::Refused(_))
            ),
            "{}: {shown:?}",
            member.name()
        );
    }

    // The entity's notice is due when leaving takes effect, not when it was decided or recorded.
    let notices = owed(coalition.roster());
    let leaving = notices.iter().find(|n| n.member == eve.id() && n.occasion == Occasion::Leaving);
    let leaving = leaving.expect("an essential entity owes one");
    let recorded = coalition.roster().records().find(|r| r.height == leaving.recorded).expect("by the log");
    assert_eq!(leaving.effective, effective);
    assert!(leaving.decided <= recorded.statement.made && recorded.statement.made < effective);
    Ok(())
}
