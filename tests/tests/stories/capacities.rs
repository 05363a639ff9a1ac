//! NIS2 29(3), DORA 45(1)(b) and 45(2): in which class and capacity one takes part decides what one reads, by keys.

use anyhow::Context as _;
use belfry_proto::{
    envelope,
    schema::{self, Capacity, EntityClass, Role},
    trust::statement::Decision,
};
use belfry_tests::{Bundle, Coalition, Hostile, Member};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dora_45_2_an_audience_without_supervisors_is_closed_to_them_by_keys() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut csirt = coalition.member("csirt").authority(Capacity::Csirt).reader(["cidr"]).issue()?;
    let mut supervisor =
        coalition.member("supervisor").authority(Capacity::Supervisor).reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut csirt, &mut supervisor]).await?;
    let group = coalition.group("cidr")?;

    let (closed, open) = (Bundle::indicators(1), Bundle::indicators(1));
    let messages = alice.publish("cidr", &closed).tlp("green").without_supervisors().flushed().await?;
    alice.publish("cidr", &open).tlp("green").flushed().await?;
    for member in [&bob, &csirt] {
        member.shows("cidr", &[closed.ids(), open.ids()].concat()).await?;
    }
    // It has the message, as everybody in the topic has, and what came after it; it opens only that.
    supervisor.stores(&messages).await?;
    supervisor.shows("cidr", &open.ids()).await?;
    assert_eq!(supervisor.ids("cidr").await?, open.ids());
    let sealed = bob.store()?.envelope(messages[0])?.expect("bob shows it");
    assert!(bob.opens(&sealed)? && csirt.opens(&sealed)? && !supervisor.opens(&sealed)?);

    // No holder gives it the key, however it asks.
    supervisor.stop().await;
    let key = envelope::decode(&sealed)?.header().key_id().expect("data is sealed");
    let asking = Hostile::as_member(&supervisor, &coalition).await?;
    for holder in [&alice, &bob, &csirt] {
        asking.join(holder).await?;
        let answer = asking.ask_keys(holder, group, &[key]).await?;
        assert!(answer.grants.is_empty(), "{}: {answer:?}", holder.name());
    }
    Ok(())
}

/// A bank, a broker and an ICT provider; the circle admits all of them.
async fn circle() -> anyhow::Result<(Coalition, [Member; 3])> {
    let mut coalition = Coalition::with(|draft| {
        for group in draft.groups.iter_mut().filter(|group| group.slug == "cidr-financial") {
            group.admits = vec![EntityClass::Financial, EntityClass::IctProvider];
        }
    })?;
    let mut bank =
        coalition.member("bank").class(EntityClass::Financial).publisher(["cidr-financial"]).issue()?;
    let mut broker =
        coalition.member("broker").class(EntityClass::Financial).reader(["cidr-financial"]).issue()?;
    let mut provider =
        coalition.member("provider").class(EntityClass::IctProvider).reader(["cidr-financial"]).issue()?;
    coalition.start([&mut bank, &mut broker, &mut provider]).await?;
    Ok((coalition, [bank, broker, provider]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dora_45_2_ict_providers_see_what_the_charter_says_and_no_more_once_it_says_so() -> anyhow::Result<()>
{
    let (mut coalition, [bank, broker, provider]) = circle().await?;
    let before = Bundle::indicators(1);
    bank.publish("cidr-financial", &before).tlp("green").flushed().await?;
    for member in [&broker, &provider] {
        member.shows("cidr-financial", &before.ids()).await?;
    }
    // A new charter, and no decision about anybody.
    coalition.amend(|draft| {
        for group in draft.groups.iter_mut().filter(|group| group.slug == "cidr-financial") {
            group.admits = vec![EntityClass::Financial];
        }
    })?;
    broker.import(&coalition).await?;
    for member in [&bank, &broker, &provider] {
        belfry_tests::until(&format!("{} to go by the new charter", member.name()), async || {
            let version = member.roster().map_err(|e| e.to_string())?.charter().version();
            if version == 2 { Ok(()) } else { Err(version.to_string()) }
        })
        .await?;
    }
    let after = Bundle::indicators(1);
    let messages = bank.publish("cidr-financial", &after).tlp("green").flushed().await?;
    broker.shows("cidr-financial", &after.ids()).await?;
    let sealed = broker.store()?.envelope(messages[0])?.expect("broker shows it");
    assert!(!provider.opens(&sealed)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dora_45_1_b_an_admin_that_certifies_the_wrong_class_for_a_circle_changes_nothing_on_any_node()
-> anyhow::Result<()> {
    let (mut coalition, [bank, broker, provider]) = circle().await?;
    let hospital = coalition.member("hospital").class(EntityClass::Essential).reader(["cidr"]).issue()?;
    // Signed by the admin and ordered by the registrar all the same.
    let groups = vec![schema::GroupRole {
        group: coalition.group("cidr-financial")?.get(),
        role: Role::Reader.into(),
    }];
    let entitle = Decision::Entitle(schema::Entitle { serial: hospital.serial().get(), groups });
    let record = coalition.propose(hospital.id(), entitle, belfry_node::clock::now());
    let mut log = coalition.log().clone();
    log.records.push(record);
    let circle = coalition.group("cidr-financial")?;
    bank.import_text(&log).await?.expect(200)?;
    for member in [&bank, &broker, &provider] {
        belfry_tests::until(&format!("{} to fold it", member.name()), async || {
            let roster = member.roster().map_err(|e| e.to_string())?;
            let height = roster.version().height;
            let is_void = roster.voids().iter().any(|void| void.height == height);
            let role = roster.role(hospital.serial(), circle, belfry_node::clock::now());
            if is_void && role.is_none() { Ok(()) } else { Err(format!("{height} {role:?}")) }
        })
        .await?;
    }
    Ok(())
}

/// What tools are given at a member: to block with, to look with, and by a provider outside.
const TOOLS: &str = r#"
[[exports]]
name = "block"
format = "list"
groups = ["cidr"]
minimum_score = 1
[[exports]]
name = "look"
format = "list"
action = "detect"
groups = ["cidr"]
minimum_score = 1
[[exports]]
name = "cloud"
format = "stix"
action = "detect"
audience = "outside"
groups = ["cidr"]
minimum_score = 1
"#;

/// Everything an export of a member's serves, and what it holds back.
async fn exported(member: &Member, export: &str) -> anyhow::Result<(String, Value)> {
    let path = format!("/api/v1/exports/{export}");
    let report = member.api()?.get(&format!("{path}/report")).await?.expect(200)?;
    let mut all = String::new();
    for file in report["files"].as_array().context("files")? {
        let name = file["name"].as_str().context("a name")?;
        all += &member.api()?.text(&format!("{path}/{name}")).await?;
    }
    Ok((all, report["held_back"].clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nis2_29_3_conditions_that_an_authority_attaches_hold_in_the_exports_of_every_member()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut csirt = coalition.member("csirt").authority(Capacity::Csirt).publisher(["cidr"]).issue()?;
    let mut alice = coalition.member("alice").reader(["cidr"]).issue()?.configured(TOOLS)?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?.configured(TOOLS)?;
    coalition.start([&mut csirt, &mut alice, &mut bob]).await?;
    let nonsense =
        csirt.publish("cidr", &Bundle::indicators(1)).tlp("green").handling("nothing").send().await?;
    assert_eq!(nonsense.status, 400, "{}", nonsense.body);

    let identity = "identity--00000000-0000-4000-8000-00000000c517";
    let mut all = Vec::new();
    for (name, terms) in [
        ("people.evil.example", &["permitted-actions=none", "attribution=must-not"][..]),
        ("inside.evil.example", &["permitted-actions=internally-visible-actions"]),
        ("nameless.evil.example", &["attribution=must-not"]),
        ("free.evil.example", &[]),
    ] {
        let mut bundle = Bundle::domain(name);
        bundle.objects[0]["created_by_ref"] = identity.into();
        let publish = csirt.publish("cidr", &bundle).tlp("green");
        terms.iter().fold(publish, |publish, term| publish.handling(term)).flushed().await?;
        all.push(bundle.ids().remove(0));
    }
    for member in [&alice, &bob] {
        member.shows("cidr", &all).await?;
        // People read it, with what was attached.
        let told = member.api()?.get(&format!("/api/v1/objects/{}", all[0])).await?.expect(200)?;
        let handling = json!(["attribution=must-not", "permitted-actions=none"]);
        assert_eq!(told["objects"][0]["handling"], handling, "{told}");
        // No tool has what is for people alone, one that only looks as little as one that blocks. Who blocks is seen outside.
        for (export, names, held_back) in
            [("block", &["nameless", "free"][..], 2), ("look", &["inside", "nameless", "free"], 1)]
        {
            let (text, held) = exported(member, export).await?;
            for name in ["people", "inside", "nameless", "free"] {
                let is_there = text.contains(&format!("{name}.evil.example"));
                assert_eq!(is_there, names.contains(&name), "{export}, {name}: {text} {held}");
            }
            assert_eq!(held, json!({ "terms": held_back }), "{export}");
        }
        // What goes out of the house keeps to the house's terms, too, and names nobody that must not be named.
        let (text, held) = exported(member, "cloud").await?;
        assert!(!text.contains("people.evil") && !text.contains("inside.evil"), "{text}");
        assert_eq!(held, json!({ "terms": 2 }));
        let bundle: Value = serde_json::from_str(&text)?;
        let author = |name: &str| {
            let objects = bundle["objects"].as_array().cloned().unwrap_or_default();
            let found = objects.into_iter().find(|object| object.to_string().contains(name));
            found.map(|object| object["created_by_ref"].clone())
        };
        assert_eq!(author("nameless.evil.example"), Some(Value::Null), "{text}");
        assert_eq!(author("free.evil.example"), Some(identity.into()), "{text}");
    }
    Ok(())
}
