//! Who was hit is sensitive: a sighting reaches everybody, and whose it is only the steward that tells it.

use std::time::Duration;

use belfry_tests::{Bundle, Coalition, Member, until};
use serde_json::{Value, json};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn sight(member: &Member, report: Value) -> anyhow::Result<Value> {
    member.api()?.post("/api/v1/sightings", &JSON, report.to_string()).await?.expect(202)
}

/// What a member's lookup says of a value.
async fn found(member: &Member, value: &str) -> anyhow::Result<Value> {
    let question = json!({ "values": [value] }).to_string();
    let answer = member.api()?.post("/api/v1/lookup", &JSON, question).await?.expect(200)?;
    Ok(answer["results"][0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sighting_is_counted_everywhere_and_names_its_member_to_the_steward_alone() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut bank = coalition.member("Example Bank NV").publisher(["cidr"]).issue()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let sam = coalition.member("sam").steward(["cidr"]).issue()?;
    let mut sam = sam.tuned(|tuning| tuning.relay_interval = Duration::from_millis(200));
    coalition.start([&mut bank, &mut alice, &mut bob, &mut sam]).await?;
    let bundle = Bundle::indicators(1);
    alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    for member in [&bank, &bob, &sam] {
        member.shows("cidr", &bundle.ids()).await?;
    }
    let pattern = bundle.objects[0]["pattern"].as_str().unwrap_or_default();
    let value = pattern.split('\'').nth(1).unwrap_or_default().to_owned();

    let told = sight(&bank, json!({ "values": [value], "count": 4 })).await?;
    let reported = &told["reported"][0];
    assert_eq!((&reported["anonymous"], &reported["named_to"]), (&json!(true), &json!("stewards")));
    for member in [&bob, &bank, &sam] {
        until(&format!("{} to count the sighting", member.name()), async || {
            let found = found(member, &value).await.map_err(|error| error.to_string())?;
            let sightings = &found["sightings"];
            match (sightings["count"].as_u64(), sightings["members"].as_u64()) {
                (Some(4), Some(1)) => Ok(()),
                _ => Err(found.to_string()),
            }
        })
        .await?;
    }
    // Whatever bob holds says that sam told it, and nothing of the bank.
    let objects = bob.api()?.objects("cidr").await?;
    let sightings: Vec<&Value> = objects.iter().filter(|object| object["type"] == "sighting").collect();
    assert_eq!(sightings.len(), 1, "{objects:?}");
    let id = sightings[0]["id"].as_str().unwrap_or_default();
    let row = bob.api()?.get(&format!("/api/v1/objects/{id}")).await?.expect(200)?["objects"][0].clone();
    assert_eq!((&row["organisation"], &row["on_behalf"]), (&json!("sam"), &json!(true)));
    let all = json!([objects, row, found(&bob, &value).await?]).to_string().to_lowercase();
    for name in ["example bank", &bank.id().to_string()] {
        assert!(!all.contains(name), "{name}: {all}");
    }
    // The bank's own message is there, sealed.
    let status = format!("/api/v1/publications/{}", reported["publication"].as_str().unwrap_or_default());
    let message = bank.api()?.get(&status).await?.expect(200)?["messages"][0].clone();
    let message = format!("/api/v1/messages/{}", message.as_str().unwrap_or_default());
    let why = bob.api()?.get(&message).await?.expect(200)?;
    assert_eq!(why["state"], "not-for-us", "{why}");
    // The steward keeps for whom it spoke.
    let log = sam.api()?.get("/api/v1/audit").await?.expect(200)?;
    let entries = log["entries"].as_array().expect("entries");
    let record = entries.iter().find(|entry| entry["event"] == "on-behalf").expect("it is recorded");
    assert_eq!((&record["member"], record.get("call")), (&json!(bank.id()), None));

    // Whoever wants to be named is.
    let told = sight(&bank, json!({ "values": [value], "anonymous": false })).await?;
    assert_eq!(told["reported"][0]["named_to"], "group");
    until("bob to count both", async || {
        let found = found(&bob, &value).await.map_err(|error| error.to_string())?;
        match (found["sightings"]["count"].as_u64(), found["sightings"]["members"].as_u64()) {
            (Some(5), Some(2)) => Ok(()),
            _ => Err(found.to_string()),
        }
    })
    .await?;
    Ok(())
}
