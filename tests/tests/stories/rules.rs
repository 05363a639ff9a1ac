//! DORA 45(1)(c): the arrangement is governed by rules of conduct, and who does not accept them does not take part.

use std::time::Duration;

use belfry_node::clock;
use belfry_proto::{
    schema::AcceptancePolicy,
    time::Timestamp,
    trust::{charter_draft::Draft, roster::Roster},
};
use belfry_tests::{Bundle, Coalition, Member};
use serde_json::json;

/// Long enough for what a story does before.
const TIME_TO_READ: Duration = Duration::from_secs(30);

/// New rules of conduct, to be accepted by `due`.
fn new_rules(policy: AcceptancePolicy, due: Timestamp) -> impl FnOnce(&mut Draft) {
    move |draft| {
        draft.rules_of_conduct.version = "2.0".to_owned();
        draft.rules_of_conduct.hash = Some("5a".repeat(32));
        draft.accept_by = Some(due);
        draft.unaccepted = policy;
    }
}

/// Alice, bob and eve; new rules, which all but eve have accepted, and every node knows it.
async fn asked(policy: AcceptancePolicy) -> anyhow::Result<(Coalition, [Member; 3], Timestamp)> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    let mut eve = coalition.member("eve").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut eve]).await?;
    let due = clock::now().saturating_add(TIME_TO_READ);
    coalition.amend(new_rules(policy, due))?;
    alice.import(&coalition).await?;
    for member in [&alice, &bob, &eve] {
        member.warns("are to be accepted by").await?;
    }
    coalition.accept(&alice)?;
    coalition.accept(&bob)?;
    alice.import(&coalition).await?;
    for member in [&alice, &bob, &eve] {
        member.follows(&coalition).await?;
    }
    for member in [&alice, &bob] {
        let status = member.status().await?;
        assert!(!status["warnings"].to_string().contains("accept-rules"), "{status}");
    }
    Ok((coalition, [alice, bob, eve], due))
}

fn has_accepted(roster: &Roster, member: &Member) -> bool {
    roster.has_accepted(member.id(), roster.charter())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_not_accepted_new_rules_in_time_is_out_on_every_node_until_it_does() -> anyhow::Result<()> {
    let (mut coalition, [alice, bob, eve], due) = asked(AcceptancePolicy::Suspend).await?;
    let before = Bundle::indicators(1);
    alice.publish("cidr", &before).tlp("green").flushed().await?;
    eve.shows("cidr", &before.ids()).await?;

    // The date comes by itself.
    eve.warns("out of every group until they are").await?;
    assert!(clock::now() >= due);
    let refused = eve.publish("cidr", &Bundle::indicators(1)).tlp("green").send().await?;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.body.to_string().contains("accept-rules"), "{}", refused.body);
    let after = Bundle::indicators(1);
    let messages = alice.publish("cidr", &after).tlp("green").flushed().await?;
    bob.shows("cidr", &after.ids()).await?;
    let sealed = bob.store()?.envelope(messages[0])?.expect("bob shows it");
    assert!(!eve.opens(&sealed)?, "keys leave it out");

    // It accepts late: back in, and every node can show who accepted what.
    coalition.accept(&eve)?;
    bob.import(&coalition).await?;
    for member in [&alice, &bob, &eve] {
        member.follows(&coalition).await?;
        let roster = member.roster()?;
        assert!([&alice, &bob, &eve].into_iter().all(|member| has_accepted(&roster, member)));
    }
    let back = Bundle::indicators(1);
    eve.publish("cidr", &back).tlp("green").flushed().await?;
    for member in [&alice, &bob] {
        member.shows("cidr", &back.ids()).await?;
    }
    eve.shows("cidr", &after.ids()).await?;
    let then = coalition.roster().as_of(due);
    assert!(has_accepted(&then, &bob) && !has_accepted(&then, &eve), "what was true then stays provable");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_publishing_is_stopped_still_reads_and_takes_back() -> anyhow::Result<()> {
    let (mut coalition, [alice, bob, eve], due) = asked(AcceptancePolicy::StopPublishing).await?;
    let said = Bundle::indicators(1);
    let messages = eve.publish("cidr", &said).tlp("green").flushed().await?;
    for member in [&alice, &bob] {
        member.shows("cidr", &said.ids()).await?;
    }
    eve.warns("publishing is stopped").await?;
    assert!(clock::now() >= due);
    let refused = eve.publish("cidr", &Bundle::indicators(1)).tlp("green").send().await?;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let to_eve = Bundle::indicators(1);
    alice.publish("cidr", &to_eve).tlp("green").flushed().await?;
    eve.shows("cidr", &to_eve.ids()).await?;
    let wanted = json!({ "group": "cidr", "messages": messages, "mode": "erase", "ground": "author" });
    let headers = [("content-type", "application/json")];
    eve.api()?.post("/api/v1/withdrawals", &headers, wanted.to_string()).await?.expect(202)?;
    for member in [&alice, &bob] {
        belfry_tests::until(&format!("{} to erase it", member.name()), async || {
            let objects = member.api().map_err(|e| e.to_string())?.objects("cidr").await;
            let objects = objects.map_err(|e| format!("{e:#}"))?;
            let there = objects.iter().find(|object| object["id"] == said.ids()[0].as_str());
            match there {
                Some(object) if object["revoked"] != true => Err(object.to_string()),
                _ => Ok(()),
            }
        })
        .await?;
    }
    coalition.accept(&eve)?;
    alice.import(&coalition).await?;
    eve.follows(&coalition).await?;
    let back = Bundle::indicators(1);
    eve.publish("cidr", &back).tlp("green").flushed().await?;
    bob.shows("cidr", &back.ids()).await
}
