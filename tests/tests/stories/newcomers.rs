//! Membership is transparent: who is new among the readers is told in time, and can be kept from the archive.

use belfry_proto::{envelope, schema::HistoryPolicy};
use belfry_tests::{Bundle, Coalition, Hostile, Member};
use serde_json::{Value, json};

/// Alice and bob have shared something, in a group that gives all history after so many hours.
async fn begun(delay_h: u64) -> anyhow::Result<(Coalition, Member, Member)> {
    let mut coalition = Coalition::with(|draft| {
        draft.grant_delay_h = delay_h;
        for group in draft.groups.iter_mut().filter(|group| group.slug == "cidr") {
            group.history = HistoryPolicy::All;
        }
    })?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let before = Bundle::indicators(1);
    alice.publish("cidr", &before).tlp("green").flushed().await?;
    bob.shows("cidr", &before.ids()).await?;
    Ok((coalition, alice, bob))
}

async fn newcomers(member: &Member) -> anyhow::Result<Vec<Value>> {
    let answer = member.api()?.get("/api/v1/newcomers").await?.expect(200)?;
    Ok(answer["newcomers"].as_array().cloned().unwrap_or_default())
}

async fn hold(member: &Member, name: &str) -> anyhow::Result<()> {
    let headers = [("content-type", "application/json")];
    let wanted = json!({ "member": name }).to_string();
    member.api()?.post("/api/v1/holds", &headers, wanted).await?.expect(201)?;
    Ok(())
}

async fn release(member: &Member, name: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/holds/{name}");
    let answer = member.api()?.delete(&path).await?;
    assert_eq!(answer.status, 204, "{}", answer.body);
    Ok(())
}

/// Whether each of `holders` gives `late` the key of its first message.
async fn granted(coalition: &Coalition, late: &Member, holders: &[&Member]) -> anyhow::Result<Vec<bool>> {
    let group = coalition.group("cidr")?;
    let asking = Hostile::as_member(late, coalition).await?;
    let mut answers = Vec::new();
    for holder in holders {
        let first = &holder.ciphertext(group)?[0];
        let key = envelope::decode(first)?.header().key_id().expect("data is sealed");
        asking.join(holder).await?;
        answers.push(!asking.ask_keys(holder, group, &[key]).await?.grants.is_empty());
    }
    asking.stop().await;
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_tells_its_operator_of_a_new_reader_while_the_archive_is_still_closed()
-> anyhow::Result<()> {
    let (mut coalition, alice, bob) = begun(24).await?;
    assert!(newcomers(&alice).await?.iter().all(|one| one["organisation"] != "ghost"));
    let ghost = coalition.member("ghost").reader(["cidr"]).issue()?;
    let _elsewhere = coalition.member("elsewhere").reader(["cloud-security"]).issue()?;
    alice.import(&coalition).await?;
    for member in [&alice, &bob] {
        member.follows(&coalition).await?;
        member.warns("New reader: ghost").await?;
        let told = newcomers(member).await?;
        let found = told.iter().find(|one| one["organisation"] == "ghost").expect("it is told");
        assert_eq!(found["member"], json!(ghost.id()));
        assert_eq!(found["groups"][0]["slug"], "cidr");
        assert!(found["groups"][0]["old_keys_from"].is_string() && found["held_since"].is_null(), "{found}");
        assert!(told.iter().all(|one| one["organisation"] != "elsewhere"), "no reader of its groups");
    }
    assert_eq!(granted(&coalition, &ghost, &[&alice, &bob]).await?, [false, false]);
    Ok(())
}

/// Its member is entitled, so the grant delay does not keep it out: nobody but who is told can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_certified_as_a_members_is_told_to_that_member_and_to_every_reader_and_can_be_held()
-> anyhow::Result<()> {
    let (mut coalition, alice, bob) = begun(24).await?;
    let ghost = coalition.member("bob").node_of(&bob).reader(["cidr"]).issue()?;
    alice.import(&coalition).await?;
    bob.follows(&coalition).await?;
    let serial = ghost.serial();
    bob.warns(&format!("Another node of this member was certified: certificate {serial}, in cidr")).await?;
    alice.warns(&format!("New node of bob: certificate {serial} reads cidr")).await?;
    for member in [&alice, &bob] {
        let told = newcomers(member).await?;
        let found = told.iter().find(|one| one["member"] == json!(bob.id())).expect("it is told");
        assert_eq!(found["nodes"][0]["certificate"], json!(serial));
        assert_eq!(found["nodes"][0]["groups"][0]["slug"], "cidr");
    }
    assert_eq!(granted(&coalition, &ghost, &[&alice]).await?, [true]);
    hold(&alice, "bob").await?;
    assert_eq!(granted(&coalition, &ghost, &[&alice]).await?, [false]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_operator_holds_a_newcomer_back_gives_it_old_keys_only_when_released()
-> anyhow::Result<()> {
    let (mut coalition, mut alice, bob) = begun(0).await?;
    let ghost = coalition.member("ghost").reader(["cidr"]).issue()?;
    alice.import(&coalition).await?;
    bob.follows(&coalition).await?;
    hold(&alice, "ghost").await?;
    alice.warns("gets no keys from this node of the time before it came").await?;
    // Whoever else holds the key decides for itself.
    assert_eq!(granted(&coalition, &ghost, &[&alice, &bob]).await?, [false, true]);
    alice.restart(&[&bob]).await?;
    alice.meets(&bob).await?;
    assert_eq!(granted(&coalition, &ghost, &[&alice]).await?, [false], "a restart releases nobody");
    release(&alice, "ghost").await?;
    assert_eq!(granted(&coalition, &ghost, &[&alice]).await?, [true]);
    assert!(newcomers(&alice).await?.iter().all(|one| one["held_since"].is_null()));
    // Old keys are what is held: of what is published from now on it gets the keys like everybody.
    hold(&alice, "ghost").await?;
    let mut ghost = ghost;
    ghost.start(&coalition, &[&alice]).await?;
    ghost.meets(&alice).await?;
    let after = Bundle::indicators(1);
    alice.publish("cidr", &after).tlp("green").flushed().await?;
    ghost.shows("cidr", &after.ids()).await
}
