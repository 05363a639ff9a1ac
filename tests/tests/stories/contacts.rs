//! Whom to call when it burns: a member says it once, every member knows it, and nobody says it for another.

use belfry_node::{clock, refusals::Way};
use belfry_proto::{
    crypto::sign::Purpose,
    schema::{
        ContactRecord, ContactRole, ContactTaken, Mailbox, Signed, sync_request::Request,
        sync_response::Response,
    },
    trust::{contact, signed::sign},
};
use belfry_tests::{Coalition, Hostile, Member, until, wait::that};
use prost::Message as _;
use serde_json::{Value, json};

/// `belfry contact set`: one mailbox for incidents.
async fn says(member: &Member, email: &str) -> anyhow::Result<()> {
    let headers = [("content-type", "application/json")];
    let body = json!({ "mailboxes": [{ "role": "incident", "email": email }] }).to_string();
    member.api()?.post("/api/v1/contacts", &headers, body).await?.expect(200)?;
    Ok(())
}

async fn contacts(member: &Member) -> anyhow::Result<Value> {
    member.api()?.get("/api/v1/contacts").await?.expect(200)
}

/// Waits until `member` shows where the incidents of `of` go: to this mailbox, or nowhere.
async fn shows(member: &Member, of: &str, email: Option<&str>) -> anyhow::Result<()> {
    until(&format!("{} to show the contact of {of}: {email:?}", member.name()), async || {
        let answer = contacts(member).await.map_err(|error| format!("{error:#}"))?;
        let all = answer["contacts"].as_array().cloned().unwrap_or_default();
        let contact = all.iter().find(|contact| contact["organisation"] == of);
        let shown = contact.map(|contact| contact["mailboxes"][0]["email"].clone());
        that(shown.as_ref().and_then(Value::as_str) == email, || answer.to_string())
    })
    .await
}

/// The record of `of` as `member` keeps it.
fn record(member: &Member, of: &Member) -> anyhow::Result<Option<Signed>> {
    let row = member.store()?.contacts()?.into_iter().find(|row| row.member == of.id());
    Ok(row.map(|row| Signed::decode(row.bytes.as_slice())).transpose()?)
}

fn counted(member: &Member, code: &str) -> Result<u64, String> {
    let counts = member.network().map_err(|error| error.to_string())?.refusals().counts();
    Ok(counts.iter().filter(|(way, of, _)| *way == Way::Admin && *of == code).map(|(.., count)| *count).sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_members_contact_is_known_to_all_who_come_later_too_until_it_is_a_member_no_more()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    shows(&bob, "alice", None).await?;
    says(&alice, "csirt@alice.example").await?;
    shows(&bob, "alice", Some("csirt@alice.example")).await?;
    says(&alice, "soc@alice.example").await?;
    shows(&bob, "alice", Some("soc@alice.example")).await?;

    // The one who says it is not there any more; whoever heard it passes it on as it was signed.
    alice.stop().await;
    carol.start(&coalition, &[&bob]).await?;
    shows(&carol, "alice", Some("soc@alice.example")).await?;
    for member in [&bob, &carol] {
        let kept = record(member, &alice)?.expect("it is shown");
        let verified = contact::verify(coalition.roster(), &kept, clock::now())?;
        assert_eq!(verified.signer, alice.keys().signing.public(), "{}", member.name());
    }

    coalition.revoke(&alice, Vec::new())?;
    bob.import(&coalition).await?;
    for member in [&bob, &carol] {
        member.follows(&coalition).await?;
        shows(member, "alice", None).await?;
        until("the record to be gone from the disk", async || {
            let kept = record(member, &alice).map_err(|error| error.to_string())?;
            that(kept.is_none(), || format!("{} keeps it", member.name()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_says_it_for_another_nor_brings_back_what_was_said_before_nor_says_too_much()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mallory = coalition.member("mallory").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    says(&alice, "csirt@alice.example").await?;
    shows(&bob, "alice", Some("csirt@alice.example")).await?;
    let first = record(&bob, &alice)?.expect("it is shown");
    says(&alice, "soc@alice.example").await?;
    shows(&bob, "alice", Some("soc@alice.example")).await?;

    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    hostile.join(&bob).await?;
    let own = &mallory.keys().signing;
    let mailbox = |email: &str| Mailbox {
        role: ContactRole::Incident.into(),
        email: email.into(),
        ..Mailbox::default()
    };
    let forged =
        contact::make(coalition.id(), alice.id(), vec![mailbox("csirt@evil.example")], clock::now(), own)?;
    let many = ContactRecord {
        coalition: coalition.id().to_vec(),
        member: mallory.id().to_vec(),
        mailboxes: vec![mailbox("csirt@mallory.example"); 9],
        made: clock::now().as_micros(),
    };
    let many = sign(many.encode_to_vec(), Purpose::Contact, coalition.id(), &[own]);
    for (record, code) in [(forged, "bad-signature"), (many, "contact-malformed"), (first, "contact-older")] {
        let answer = hostile.ask_sync(&bob, Request::PushContact(record)).await?;
        assert_eq!(answer.response, Some(Response::ContactTaken(ContactTaken {})), "nothing is told of it");
        until(&format!("{code} to be counted"), async || {
            let count = counted(&bob, code)?;
            that(count == 1, || count.to_string())
        })
        .await?;
    }
    shows(&bob, "alice", Some("soc@alice.example")).await?;
    shows(&bob, "mallory", None).await?;

    // What is its own it may say, and everybody hears of it.
    let honest = vec![mailbox("csirt@mallory.example")];
    let honest = contact::make(coalition.id(), mallory.id(), honest, clock::now(), own)?;
    hostile.ask_sync(&bob, Request::PushContact(honest)).await?;
    for member in [&bob, &alice] {
        shows(member, "mallory", Some("csirt@mallory.example")).await?;
    }
    hostile.stop().await;
    Ok(())
}
