//! Nobody changes another member's object; whoever would have it otherwise asks its owner, and nobody else hears of it.

use belfry_tests::{Bundle, Coalition, Member, until};
use serde_json::{Value, json};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn propose(member: &Member, object: &str, wish: Value) -> anyhow::Result<Value> {
    let path = format!("/api/v1/objects/{object}/proposals");
    member.api()?.post(&path, &JSON, wish.to_string()).await?.expect(202)
}

/// The only proposal that a member knows of, once it is in this state.
async fn proposal(member: &Member, state: &str) -> anyhow::Result<Value> {
    until(&format!("{} to have a proposal that is {state}", member.name()), async || {
        let list = async { member.api()?.get("/api/v1/proposals").await?.expect(200) };
        let list: Value = list.await.map_err(|error: anyhow::Error| error.to_string())?;
        match list["proposals"].as_array().map(Vec::as_slice) {
            Some([one]) if one["state"] == state => Ok(one.clone()),
            _ => Err(list.to_string()),
        }
    })
    .await
}

/// Versions of an object that a member holds, as its authors wrote them.
async fn versions(member: &Member, id: &str) -> anyhow::Result<Vec<Value>> {
    let answer = member.api()?.get(&format!("/api/v1/objects/{id}")).await?.expect(200)?;
    Ok(answer["objects"].as_array().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_reaches_the_owner_alone_and_becomes_its_next_version_or_none() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut carol]).await?;
    let bundle = Bundle::indicators(1);
    let id = bundle.ids()[0].clone();
    alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    for member in [&bob, &carol] {
        member.shows("cidr", &bundle.ids()).await?;
    }

    let wish = json!({ "set": { "confidence": 15 }, "remove": ["description"], "comment": "a sinkhole" });
    let made = propose(&bob, &id, wish).await?;
    assert_eq!(made["owner_organisation"], "alice");
    let seen = proposal(&alice, "open").await?;
    assert_eq!((&seen["direction"], &seen["organisation"]), (&json!("to-us"), &json!("bob")));
    assert_eq!((&seen["set"]["confidence"], &seen["comment"]), (&json!(15), &json!("a sinkhole")));
    let note = seen["proposal"].as_str().unwrap_or_default().to_owned();
    assert_eq!(made["proposal"], seen["proposal"]);

    let accept = format!("/api/v1/proposals/{note}/accept");
    let said = json!({ "version": seen["modified"], "comment": "thank you" });
    alice.api()?.post(&accept, &JSON, said.to_string()).await?.expect(202)?;
    let answered = proposal(&bob, "accepted").await?;
    assert_eq!(
        (&answered["direction"], &answered["answer"]["comment"]),
        (&json!("by-us"), &json!("thank you"))
    );
    for member in [&bob, &carol] {
        until(&format!("{} to hold the next version", member.name()), async || {
            let versions = versions(member, &id).await.map_err(|error| error.to_string())?;
            let newest = versions.iter().find(|row| row["object"]["confidence"] == 15);
            match newest.map(|row| (&row["organisation"], row["object"].get("description"))) {
                Some((organisation, None)) if *organisation == "alice" => Ok(()),
                _ => Err(json!(versions).to_string()),
            }
        })
        .await?;
    }
    // Carol holds the message, and it says nothing to her.
    let listed = carol.api()?.get("/api/v1/proposals").await?.expect(200)?;
    assert_eq!(listed["proposals"], json!([]));
    let objects = carol.api()?.objects("cidr").await?;
    assert!(
        objects.iter().all(|object| object["type"] != "note" && object["type"] != "opinion"),
        "{objects:?}"
    );
    let status = format!("/api/v1/publications/{}", made["publication"].as_str().unwrap_or_default());
    let message = bob.api()?.get(&status).await?.expect(200)?["messages"][0].clone();
    let message = format!("/api/v1/messages/{}", message.as_str().unwrap_or_default());
    assert_eq!(carol.api()?.get(&message).await?.expect(200)?["state"], "not-for-us");
    Ok(())
}
