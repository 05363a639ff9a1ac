//! A steward publishes for a member that does not want to be named; and nobody learns which.

use belfry_node::clock;
use belfry_proto::{schema, topic::Topic};
use belfry_tests::{Bundle, Coalition, Forge, Hostile, Member, forge::payload};
use prost::Message as _;
use serde_json::{Value, json};

const ASKED: &str = "message of 2026-11-25, case 4711";
const CREATOR: &str = "identity--298fe907-7931-4fd2-8131-2814dd493134";

/// The bank was hit; sam is the steward it asks; alice publishes, and is no steward; bob reads.
struct Story {
    bank: Member,
    alice: Member,
    bob: Member,
    sam: Member,
}

async fn story() -> anyhow::Result<Story> {
    let mut coalition = Coalition::new()?;
    let mut bank = coalition.member("Example Bank NV").publisher(["cidr"]).issue()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut sam = coalition.member("sam").steward(["cidr"]).issue()?;
    coalition.start([&mut bank, &mut alice, &mut bob, &mut sam]).await?;
    Ok(Story { bank, alice, bob, sam })
}

/// An indicator as the bank's own tool made it.
fn from_the_bank() -> Bundle {
    let mut bundle = Bundle::indicators(2);
    for object in &mut bundle.objects {
        object["created_by_ref"] = json!(CREATOR);
    }
    bundle.objects.push(json!({
        "type": "identity", "spec_version": "2.1", "id": CREATOR, "name": "Example Bank",
        "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z",
    }));
    bundle
}

/// An object of `cidr` as REST has it.
async fn told(member: &Member, id: &str) -> anyhow::Result<Value> {
    let answer = member.api()?.get(&format!("/api/v1/objects/{id}")).await?.expect(200)?;
    Ok(answer["objects"][0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steward_publishes_for_a_member_and_readers_learn_that_it_did_but_not_for_whom()
-> anyhow::Result<()> {
    let Story { bank, bob, sam, .. } = story().await?;
    let bundle = from_the_bank();
    let indicators = &bundle.ids()[..2];
    let accepted = sam.publish("cidr", &bundle).tlp("green").on_behalf(bank.name(), ASKED).accepted().await?;
    let messages = accepted.flushed().await?;
    bob.shows("cidr", indicators).await?;

    for id in indicators {
        let object = told(&bob, id).await?;
        assert_eq!((object["on_behalf"].as_bool(), &object["organisation"]), (Some(true), &json!("sam")));
        let pattern = object["object"]["pattern"].as_str().unwrap_or_default();
        let question = json!({ "values": [pattern.split('\'').nth(1)] }).to_string();
        let found =
            bob.api()?.post("/api/v1/lookup", &[("content-type", "application/json")], question).await?;
        let naming = found.expect(200)?["results"][0]["objects"][0].clone();
        assert_eq!(
            (&naming["on_behalf"], &naming["organisation"]),
            (&json!(true), &json!("sam")),
            "{naming}"
        );
    }
    // TAXII has the authors' JSON and nothing beside it: a note says it there.
    let objects = bob.api()?.objects("cidr").await?;
    let note = objects.iter().find(|object| object["type"] == "note").expect("a note says so");
    assert_eq!(note["labels"], json!(["on-behalf-of-member"]));
    assert_eq!(note["object_refs"], json!(indicators));
    let all = serde_json::to_string(&objects)?.to_lowercase();
    for name in ["example bank", &bank.id().to_string(), CREATOR, "4711"] {
        assert!(!all.contains(name), "{name}: {all}");
    }
    // Nor does what every node keeps of the message, once opened.
    let why = bob.api()?.get(&format!("/api/v1/messages/{}", messages[0])).await?.expect(200)?;
    assert!(!why.to_string().contains(&bank.id().to_string()), "{why}");

    // The steward's own record: who asked and how, and what came of it.
    let log = sam.api()?.get("/api/v1/audit").await?.expect(200)?;
    let entries = log["entries"].as_array().expect("entries");
    let record = entries.iter().find(|entry| entry["event"] == "on-behalf").expect("it is recorded");
    assert_eq!(record["member"], json!(bank.id()));
    assert_eq!((&record["organisation"], &record["asked"]), (&json!("Example Bank NV"), &json!(ASKED)));
    let result = entries.iter().find(|entry| entry["event"] == "result" && entry["call"] == record["call"]);
    assert_eq!(result.map(|entry| &entry["subject"]), Some(&accepted.answer["publication"]));
    // It is sealed: the disk without its key says nothing of it.
    for file in std::fs::read_dir(sam.folder().join("audit"))? {
        let bytes = std::fs::read(file?.path())?;
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("Example Bank") && !text.contains("4711"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_steward_may_and_what_would_name_the_member_is_refused_with_its_place() -> anyhow::Result<()> {
    let Story { bank, alice, sam, .. } = story().await?;
    let mut named = Bundle::saying("first seen at Example-Bank on Monday");
    named.objects[0]["labels"] = json!(["x"]);
    let plain = Bundle::indicators(1);
    for (publish, status, code) in [
        (alice.publish("cidr", &plain).on_behalf(bank.name(), ASKED), 403, "not-a-steward"),
        (sam.publish("cidr", &named).on_behalf(bank.name(), ASKED), 422, "names-member"),
        (
            sam.publish("cidr", &plain)
                .class("other", Some("phishing at example bank"))
                .on_behalf(bank.name(), ASKED),
            422,
            "names-member",
        ),
        (
            sam.publish("cidr", &plain)
                .handling("description=ask Example Bank")
                .on_behalf(bank.name(), ASKED),
            422,
            "names-member",
        ),
        (
            sam.publish("cidr", &plain).reason("Example Bank asked for it").on_behalf(bank.name(), ASKED),
            422,
            "names-member",
        ),
        (sam.publish("cidr", &plain).on_behalf("sam", ASKED), 422, "on-behalf-of-self"),
        (sam.publish("cidr", &plain).on_behalf("nobody", ASKED), 422, "unknown-member"),
        (sam.publish("cidr", &plain).on_behalf(bank.name(), ""), 400, "bad-parameter"),
        (sam.publish("cidr", &plain).on_behalf(bank.name(), "by jan@bank.example"), 400, "bad-parameter"),
    ] {
        let answer = publish.tlp("green").send().await?;
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{}", answer.body);
        if code == "names-member" {
            match answer.body["parameter"].as_str() {
                Some(stated) => assert!(["class_label", "handling", "reason"].contains(&stated), "{stated}"),
                None => {
                    assert_eq!(answer.body["object"], named.objects[0]["id"]);
                    assert_eq!(answer.body["path"], "description");
                }
            }
            assert!(!answer.body.to_string().contains("Example"), "{}", answer.body);
        }
    }
    assert_eq!(sam.store()?.queued(10)?, []);
    // Whoever may not ask leaves nobody's name behind.
    let log = alice.api()?.get("/api/v1/audit").await?.expect(200)?["entries"].to_string();
    assert!(log.contains("/api/v1/publications") && !log.contains("on-behalf"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reason_goes_along_with_a_draft_that_is_released_on_behalf_of_a_member() -> anyhow::Result<()> {
    let mut coalition = Coalition::with(|draft| draft.ask_reasons = true)?;
    let bank = coalition.member("Example Bank NV").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut sam = coalition.member("sam").steward(["cidr"]).issue()?;
    coalition.start([&mut bob, &mut sam]).await?;
    let mailbox = Bundle::saying("from phisher@mail.test");
    let held = sam.publish("cidr", &mailbox).tlp("green").held().on_behalf(bank.name(), ASKED).send().await?;
    let held = held.expect(202)?;
    let draft = held["publication"].as_str().unwrap_or_default();
    // Whoever releases it may not know whom it must not name.
    let release = format!("/api/v1/drafts/{draft}/release?reason=Example%20Bank%20asked%20for%20it");
    sam.api()?.post(&release, &[], String::new()).await?.expect(202)?;
    bob.shows("cidr", &mailbox.ids()).await?;
    let object = told(&bob, &mailbox.ids()[0]).await?;
    assert_eq!((&object["on_behalf"], &object["reason"]), (&json!(true), &Value::Null), "{object}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_a_steward_is_believed_to_speak_for_another() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
    let mallory = coalition.member("mallory").publisher(["cidr"]).issue()?;
    coalition.start([&mut bob, &mut carol]).await?;
    let group = coalition.group("cidr")?;
    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    hostile.subscribe(&[group]).await?;
    hostile.join(&bob).await?;
    // A node of a publisher says of what it shares that it is on behalf of another.
    let bundle = Bundle::indicators(1);
    let claims = schema::Payload { on_behalf: true, ..schema::Payload::decode(payload(&bundle).as_slice())? };
    let mut forge = Forge::new(&mallory, group, coalition.roster())?;
    let message = forge.next_of(&claims.encode_to_vec(), clock::now())?;
    let kem = &coalition.roster().certificate(bob.serial()).expect("it was issued").kem;
    let sealed = forge.key().grant_to(kem, &mut rand::rng());
    let pushed = schema::KeysRequest {
        group: group.get(),
        key_ids: Vec::new(),
        pushed: vec![schema::SealedGrant { key_id: forge.key().id().to_vec(), sealed }],
    };
    hostile.network().keys(&bob.node(), pushed).await?;
    hostile.gossip(Topic::Group(group), message.bytes()).await?;
    bob.shows("cidr", &bundle.ids()).await?;
    let object = told(&bob, &bundle.ids()[0]).await?;
    assert_eq!((object.get("on_behalf"), &object["organisation"]), (None, &json!("mallory")));
    Ok(())
}

/// A MISP event as the bank's own instance exports it.
fn event(info: &str) -> String {
    let uuid = |n: u8| format!("298fe907-7931-4fd2-8131-2814dd4931{n:02}");
    json!({ "Event": {
        "uuid": uuid(0), "info": info, "date": "2026-11-20", "timestamp": "1763800000",
        "Orgc": { "uuid": uuid(1), "name": "Example Bank" },
        "Attribute": [{
            "uuid": uuid(2), "type": "domain", "category": "Network activity", "value": "evil-on-behalf.example",
            "to_ids": true, "timestamp": "1763800001",
        }],
    }})
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_members_file_is_taken_in_for_it_under_the_same_veil_and_named_to_nobody() -> anyhow::Result<()> {
    let Story { bank, alice, bob, sam } = story().await?;
    let path = |more: &str| {
        let of = format!("on_behalf={}&asked=message+of+2026-11-25%2C+case+4711", bank.id());
        format!("/api/v1/import?group=cidr&tlp=green&{of}{more}")
    };
    let records = async || -> anyhow::Result<usize> {
        let log = sam.api()?.get("/api/v1/audit").await?.expect(200)?;
        let entries = log["entries"].as_array().cloned().unwrap_or_default();
        Ok(entries.iter().filter(|entry| entry["event"] == "on-behalf").count())
    };
    // Nobody but a steward; and what would name the member is refused with its place.
    let refused = alice.api()?.post(&path(""), &[], event("Campaign")).await?;
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (403, Some("not-a-steward")),
        "{}",
        refused.body
    );
    let named = sam.api()?.post(&path("&publish=true"), &[], event("Seen at Example Bank NV")).await?;
    assert_eq!((named.status, named.body["code"].as_str()), (422, Some("names-member")), "{}", named.body);
    assert!(!named.body.to_string().contains("Example"), "{}", named.body);
    let recorded = records().await?;

    // Looking leaves no record; taking in does, and the draft waits for a person all the same.
    let looked = sam.api()?.post(&path("&dry_run=true"), &[], event("Campaign")).await?.expect(200)?;
    assert!(looked["preview"]["notes"].to_string().contains("on behalf of a member"), "{looked}");
    assert_eq!(records().await?, recorded);
    let held = sam.api()?.post(&path(""), &[], event("Campaign")).await?.expect(202)?;
    assert_eq!((&held["held"], records().await?), (&json!(true), recorded + 1));
    let release = format!("/api/v1/drafts/{}/release", held["publication"].as_str().unwrap_or_default());
    sam.api()?.post(&release, &[], "").await?.expect(202)?;

    let found = belfry_tests::until("bob to have it", async || {
        let objects = bob.api().map_err(|e| e.to_string())?.objects("cidr").await;
        let objects = objects.map_err(|e| format!("{e:#}"))?;
        let there = objects.iter().any(|object| object["type"] == "indicator");
        if there { Ok(objects) } else { Err(format!("{} objects", objects.len())) }
    })
    .await?;
    let all = serde_json::to_string(&found)?.to_lowercase();
    for name in ["example bank", &bank.id().to_string(), "298fe907-7931-4fd2-8131-2814dd493101", "4711"] {
        assert!(!all.contains(name), "{name}: {all}");
    }
    let indicator = found.iter().find(|object| object["type"] == "indicator").expect("it was found");
    let object = told(&bob, indicator["id"].as_str().unwrap_or_default()).await?;
    assert_eq!((&object["on_behalf"], &object["organisation"]), (&json!(true), &json!("sam")), "{object}");
    Ok(())
}
