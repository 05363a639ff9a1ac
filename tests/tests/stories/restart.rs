//! A restart keeps everything, and doubles nothing.

use anyhow::ensure;
use belfry_tests::{Bundle, Coalition, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_objects_dates_tokens_logs_and_idempotency() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let group = coalition.group("cidr")?;
    let (theirs, ours) = (Bundle::indicators(3), Bundle::indicators(2));
    alice.publish("cidr", &theirs).tlp("green").flushed().await?;
    bob.publish("cidr", &ours).tlp("green").key("once").flushed().await?;
    bob.shows("cidr", &[theirs.ids(), ours.ids()].concat()).await?;
    alice.shows("cidr", &ours.ids()).await?;

    let token = bob.token("siem", &["cidr"], "green", false).await?;
    let manifest = "/taxii2/root/collections/cidr/manifest/";
    let before = bob.api_with(&token)?.get(manifest).await?.expect(200)?;
    let (logs, cli) = (bob.logs(group)?, std::fs::read_to_string(bob.folder().join("cli.token"))?);

    for _ in 0..2 {
        bob.restart(&[&alice]).await?;
        bob.meets(&alice).await?;
        assert_eq!(
            bob.api_with(&token)?.get(manifest).await?.expect(200)?,
            before,
            "same objects, same dates"
        );
        assert_eq!(bob.logs(group)?, logs);
        assert_eq!(std::fs::read_to_string(bob.folder().join("cli.token"))?, cli);
    }
    // Its log goes on where it stood, and what comes now comes once.
    let more = Bundle::indicators(1);
    bob.publish("cidr", &more).tlp("green").flushed().await?;
    alice.shows("cidr", &more.ids()).await?;
    let own: Vec<_> = alice.logs(group)?.into_iter().filter(|log| log.serial == bob.serial()).collect();
    assert_eq!(own.iter().map(|log| log.height.get()).collect::<Vec<_>>(), [2], "one log, no gap");
    assert_eq!(bob.ids("cidr").await?.len(), 6);
    assert_eq!(alice.ids("cidr").await?.len(), 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_outlives_a_restart_and_is_published_once() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    alice.start(&coalition, &[]).await?;

    // Nobody has answered a hello yet: accepted, durable, and waiting.
    let bundle = Bundle::indicators(2);
    let json = bundle.json();
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let path = "/api/v1/publications?group=cidr&tlp=green";
    let accepted = alice.api()?.post(path, &headers, json.as_str()).await?.expect(202)?;
    until("the status to say what the draft waits for", async || {
        let status = alice.status().await.map_err(|error| format!("{error:#}"))?;
        let says = status["warnings"].to_string().contains("no other node has answered");
        if says && status["node"]["drafts"] == 1 { Ok(()) } else { Err(status.to_string()) }
    })
    .await?;
    alice.restart(&[]).await?;
    let follow = accepted["status_url"].as_str().expect("a status URL").to_owned();
    let status = alice.api()?.get(&follow).await?.expect(200)?;
    ensure!(status["state"] == "drafted", "{status}");
    // The tool that never saw the answer submits again.
    let again = alice.api()?.post(path, &headers, json.as_str()).await?.expect(202)?;
    assert_eq!(again["publication"], accepted["publication"]);

    bob.start(&coalition, &[&alice]).await?;
    bob.shows("cidr", &bundle.ids()).await?;
    let status = alice.api()?.get(&follow).await?.expect(200)?;
    assert_eq!((&status["state"], &status["error"]), (&"flushed".into(), &serde_json::Value::Null));
    let last = Bundle::indicators(1);
    alice.publish("cidr", &last).tlp("green").flushed().await?;
    bob.shows("cidr", &last.ids()).await?;
    assert_eq!(bob.ids("cidr").await?, [bundle.ids(), last.ids()].concat());
    Ok(())
}
