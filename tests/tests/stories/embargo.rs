//! What is under an embargo goes to others' tools when that ends, also to those that only ask for what is new.

use std::time::Duration;

use anyhow::Context as _;
use belfry_node::clock;
use belfry_tests::{Bundle, Coalition, until, wait::that};
use serde_json::{Value, json};

/// Long enough that all is published and read before it ends.
const EMBARGO: Duration = Duration::from_secs(10);

fn ids(page: &Value) -> Vec<&str> {
    page["objects"].as_array().into_iter().flatten().filter_map(|object| object["id"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_outside_that_asks_for_what_is_new_gets_it_after_the_embargo_and_a_restart()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let wanted = json!({ "name": "cloud", "read": ["cidr"], "audience": "outside" }).to_string();
    let made = bob.api()?.post("/api/v1/tokens", &[("content-type", "application/json")], wanted).await?;
    let token = made.expect(201)?["token"].as_str().context("no token")?.to_owned();

    let (kept, open) = (Bundle::indicators(1), Bundle::indicators(1));
    let ends = clock::now().saturating_add(EMBARGO);
    alice.publish("cidr", &kept).tlp("green").embargo(ends).flushed().await?;
    alice.publish("cidr", &open).tlp("green").flushed().await?;
    bob.shows("cidr", &[kept.ids(), open.ids()].concat()).await?;
    let path = "/api/v1/objects?group=cidr";
    let first = bob.api_with(&token)?.get(path).await?.expect(200)?;
    assert_eq!(ids(&first), open.ids());
    let last = first["objects"][0]["date_added"].as_str().context("no date")?.to_owned();
    bob.restart(&[&alice]).await?;
    let path = format!("{path}&added_after={last}");
    let cloud = bob.api_with(&token)?;
    let news = until("what was under an embargo to be met outside", async || {
        let page = cloud.get(&path).await.and_then(|answer| answer.expect(200));
        let page = page.map_err(|error| format!("{error:#}"))?;
        that(!ids(&page).is_empty(), || page.to_string())?;
        Ok(page)
    })
    .await?;
    assert_eq!(ids(&news), kept.ids());
    assert!(clock::now() >= ends, "and not before");
    Ok(())
}
