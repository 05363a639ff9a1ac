//! What the law asks of an arrangement, clause by clause, as it shows at running nodes.
//!
//! | clause | story |
//! |---|---|
//! | NIS2 29(1), information | `nis2_29_1_every_class_of_information_…` |
//! | NIS2 29(1), voluntary | `nis2_29_1_sharing_is_voluntary_…`; leaving: `leaving` |
//! | NIS2 29(1)(a,b), DORA 45(1)(a), aims | `nis2_29_1_a_b_and_dora_45_1_a_…` |
//! | NIS2 29(2), communities and suppliers | `nis2_29_2_…` |
//! | NIS2 29(3), operational elements and conditions | `nis2_29_3_…`; conditions: `nis2_29_3_conditions_…` in `capacities` |
//! | NIS2 29(3), DORA 45(2), authorities | `nis2_29_3_and_dora_45_2_…`; audiences: `dora_45_2_an_audience_…` in `capacities` |
//! | NIS2 29(4), DORA 45(3), notices | `nis2_29_4_and_dora_45_3_…`, here and in `notified`; registers and pages: `governance` |
//! | NIS2 29(5), ENISA | `nis2_29_5_…`; strangers: `strangers` |
//! | DORA 45(1)(b), trusted communities | `dora_45_1_b_…`, here and in `capacities`; keys: `groups` |
//! | DORA 45(1)(c), protection | `dora_45_1_c_…`, of people and among competitors; rules of conduct: `rules`; withdrawal: `withdrawal` |
//! | DORA 45(2), conditions of participation, ICT third parties | `dora_45_2_…` in `capacities`; `rules` |

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use belfry_node::{clock, words};
use belfry_proto::{
    notice::{Occasion, owed},
    schema::{Capacity, EntityClass, InformationClass, Purpose, hello_response::Response},
};
use belfry_tests::{
    Bundle, Coalition, Hostile, Member,
    http::{TAXII, encoded},
};
use serde_json::{Value, json};

/// Every row of the table in the law's own order, by what the names of its stories begin with.
const CLAUSES: [&str; 10] = [
    "nis2_29_1_",
    "nis2_29_1_a_b_and_dora_45_1_a_",
    "nis2_29_2_",
    "nis2_29_3_",
    "nis2_29_3_and_dora_45_2_",
    "nis2_29_4_and_dora_45_3_",
    "nis2_29_5_",
    "dora_45_1_b_",
    "dora_45_1_c_",
    "dora_45_2_",
];

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn pair() -> anyhow::Result<(Coalition, Member, Member)> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    Ok((coalition, alice, bob))
}

/// The only object of a bundle, as REST has it at a member.
async fn told(member: &Member, bundle: &Bundle) -> anyhow::Result<Value> {
    member.shows("cidr", &bundle.ids()).await?;
    let id = bundle.ids().pop().context("an object")?;
    let answer = member.api()?.get(&format!("/api/v1/objects/{id}")).await?.expect(200)?;
    Ok(answer["objects"][0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nis2_29_1_every_class_of_information_is_stated_kept_and_told_at_every_reader() -> anyhow::Result<()>
{
    let (_coalition, alice, bob) = pair().await?;
    let classes = words::all::<InformationClass>();
    assert_eq!(classes.len(), 10, "the nine, and what is of none of them");
    let mut all = Vec::new();
    for class in classes {
        let bundle = Bundle::indicators(1);
        let label = (class == *"other").then_some("minutes of a meeting");
        alice.publish("cidr", &bundle).tlp("green").class(&class, label).flushed().await?;
        assert_eq!(told(&bob, &bundle).await?["classes"], json!([class]));
        all.extend(bundle.ids());
    }
    // The list is open, and not unnamed: what is of none says what it is.
    let nameless =
        alice.publish("cidr", &Bundle::indicators(1)).tlp("green").class("other", None).send().await?;
    assert_eq!(nameless.status, 422, "{}", nameless.body);
    assert_eq!(bob.ids("cidr").await?, all);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nis2_29_1_sharing_is_voluntary_and_what_a_machine_hands_in_waits_for_a_person() -> anyhow::Result<()>
{
    let (_coalition, alice, bob) = pair().await?;
    let wanted = json!({ "name": "soar", "draft": ["cidr"] }).to_string();
    let made = alice.api()?.post("/api/v1/tokens", &JSON, wanted).await?.expect(201)?;
    let soar = alice.api_with(made["token"].as_str().context("a token")?)?;
    let (released, discarded, last) = (Bundle::indicators(1), Bundle::indicators(1), Bundle::indicators(1));
    for bundle in [&released, &discarded] {
        let path = "/taxii2/root/collections/cidr/objects/";
        let envelope = json!({ "objects": bundle.objects }).to_string();
        soar.post(path, &[("content-type", TAXII), ("accept", TAXII)], envelope).await?.expect(202)?;
    }
    // A person publishes something else meanwhile: it overtakes what nobody has looked at.
    alice.publish("cidr", &last).tlp("green").flushed().await?;
    bob.shows("cidr", &last.ids()).await?;
    assert_eq!(bob.ids("cidr").await?, last.ids());
    let drafts = alice.api()?.get("/api/v1/drafts").await?.expect(200)?;
    let drafts: Vec<&str> = drafts["drafts"]
        .as_array()
        .context("a list")?
        .iter()
        .filter_map(|draft| draft["draft"].as_str())
        .collect();
    assert_eq!(drafts.len(), 2, "{drafts:?}");
    // The machine itself cannot let it go.
    let refused = soar.post(&format!("/api/v1/drafts/{}/release", drafts[0]), &[], "").await?;
    assert!(matches!(refused.status, 403 | 404), "{}: {}", refused.status, refused.body);
    alice.api()?.post(&format!("/api/v1/drafts/{}/release", drafts[0]), &[], "").await?.expect(202)?;
    alice.api()?.delete(&format!("/api/v1/drafts/{}", drafts[1])).await?.expect(204)?;
    bob.shows("cidr", &released.ids()).await?;
    assert_eq!(bob.ids("cidr").await?, [last.ids(), released.ids()].concat());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nis2_29_1_a_b_and_dora_45_1_a_every_message_states_its_aim_its_authors_or_the_groups()
-> anyhow::Result<()> {
    let mut coalition = Coalition::with(|draft| {
        for group in draft.groups.iter_mut().filter(|group| group.slug == "cidr") {
            group.default_purpose = belfry_proto::schema::Purpose::LimitSpread;
        }
    })?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    for purpose in words::all::<Purpose>() {
        let bundle = Bundle::indicators(1);
        alice.publish("cidr", &bundle).tlp("green").purpose(&purpose).flushed().await?;
        assert_eq!(told(&bob, &bundle).await?["purpose"], purpose);
    }
    let silent = Bundle::indicators(1);
    alice.publish("cidr", &silent).tlp("green").flushed().await?;
    assert_eq!(told(&bob, &silent).await?["purpose"], "limit-spread", "the group's, which its charter shows");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nis2_29_2_entities_their_suppliers_and_those_out_of_scope_take_part_as_what_they_are()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut grid = coalition
        .member("grid")
        .class(EntityClass::Essential)
        .and_class(EntityClass::Supplier)
        .supplies("alice")
        .publisher(["cidr"])
        .issue()?;
    let mut school = coalition.member("school").class(EntityClass::OutOfScope).reader(["cidr"]).issue()?;
    coalition.start([&mut grid, &mut school]).await?;
    let bundle = Bundle::indicators(1);
    grid.publish("cidr", &bundle).tlp("green").flushed().await?;
    school.shows("cidr", &bundle.ids()).await?;
    let members = school.api()?.get("/api/v1/members").await?.expect(200)?;
    let of = |name: &str| {
        let members = members["members"].as_array().cloned().unwrap_or_default();
        members.into_iter().find(|member| member["organisation"] == name).unwrap_or_default()
    };
    assert_eq!(of("grid")["classes"], json!(["essential", "supplier"]));
    assert_eq!(of("grid")["supplier_of"], json!(["alice"]));
    assert_eq!(of("school")["classes"], json!(["out-of-scope"]));
    // The charter decides per group: a hospital's group may take none of them.
    let refused =
        coalition.member("school").class(EntityClass::OutOfScope).reader(["cidr-financial"]).issue();
    assert!(refused.is_err(), "the circle is for financial entities");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nis2_29_3_what_a_group_takes_is_the_charters_word_at_every_node() -> anyhow::Result<()> {
    let mut coalition = Coalition::with(|draft| {
        for group in draft.groups.iter_mut().filter(|group| group.slug == "cidr") {
            group.max_tlp = belfry_proto::schema::Tlp::Green;
            group.may_publish = belfry_proto::schema::Role::Steward;
        }
    })?;
    let mut sam = coalition.member("sam").steward(["cidr"]).issue()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    coalition.start([&mut sam, &mut alice]).await?;
    let bundle = Bundle::indicators(1);
    let above = sam.publish("cidr", &bundle).tlp("amber").send().await?;
    assert_eq!(
        (above.status, above.body["code"].as_str()),
        (422, Some("above-group-ceiling")),
        "{}",
        above.body
    );
    let lesser = alice.publish("cidr", &bundle).tlp("green").send().await?;
    assert_eq!(lesser.status, 403, "{}", lesser.body);
    sam.publish("cidr", &bundle).tlp("green").flushed().await?;
    alice.shows("cidr", &bundle.ids()).await?;
    let groups = alice.api()?.get("/api/v1/groups").await?.expect(200)?;
    let cidr = groups["groups"]
        .as_array()
        .and_then(|groups| groups.iter().find(|group| group["slug"] == "cidr").cloned());
    assert_eq!(cidr.context("a group")?["max_tlp"], "green");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nis2_29_3_and_dora_45_2_who_publishes_sees_first_which_authorities_will_read_and_in_which_capacity()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let csirt = coalition.member("csirt").authority(Capacity::Csirt).reader(["cidr"]).issue()?;
    let bank = coalition.member("bank authority").authority(Capacity::Supervisor).reader(["cidr"]).issue()?;
    coalition.start([&mut alice]).await?;
    let readers = async |without: &str| -> anyhow::Result<Vec<(String, Option<String>)>> {
        let path = format!("/api/v1/previews?group=cidr&tlp=green{without}");
        let preview = alice.api()?.post(&path, &JSON, Bundle::indicators(1).json()).await?.expect(200)?;
        let readers = preview["readers"].as_array().context("readers")?;
        let text = |of: &Value, name: &str| of[name].as_str().map(str::to_owned);
        Ok(readers
            .iter()
            .map(|r| (text(r, "organisation").unwrap_or_default(), text(r, "capacity")))
            .collect())
    };
    let named =
        |member: &Member, capacity: Option<&str>| (member.name().to_owned(), capacity.map(str::to_owned));
    let (csirt, bob) = (named(&csirt, Some("csirt")), named(&bob, None));
    let all = [named(&bank, Some("supervisor")), csirt.clone(), bob.clone()];
    assert_eq!(readers("").await?, all);
    assert_eq!(readers("&without_supervisors=true").await?, [csirt, bob]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nis2_29_4_and_dora_45_3_what_is_to_be_notified_follows_from_the_log_that_every_member_holds()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut bank = coalition
        .member("bank")
        .class(EntityClass::Essential)
        .and_class(EntityClass::Financial)
        .reader(["cidr"])
        .issue()?;
    let mut grid = coalition.member("grid").class(EntityClass::Essential).reader(["cidr"]).issue()?;
    let school = coalition.member("school").class(EntityClass::Academic).reader(["cidr"]).issue()?;
    coalition.start([&mut bank, &mut grid]).await?;
    let moment = clock::now().saturating_add(std::time::Duration::from_secs(30 * 24 * 3600));
    coalition.leave(&grid, moment)?;
    bank.import(&coalition).await?;
    grid.follows(&coalition).await?;
    // Each member's own roster says the same.
    for member in [&bank, &grid] {
        let owed = owed(member.roster()?.as_ref());
        let mut found: Vec<_> = owed.iter().map(|o| (o.member, o.act.as_str(), o.occasion)).collect();
        found.sort_by_key(|(id, _, occasion)| (*id != bank.id(), *occasion == Occasion::Leaving));
        assert_eq!(
            found,
            [
                // One notice: the sector's act goes before.
                (bank.id(), "dora", Occasion::Entering),
                (grid.id(), "nis2", Occasion::Entering),
                (grid.id(), "nis2", Occasion::Leaving),
            ]
        );
        let leaving = owed.iter().find(|o| o.occasion == Occasion::Leaving).context("it leaves")?;
        assert_eq!(leaving.effective, moment, "owed when leaving takes effect, not when it is decided");
        assert!(leaving.decided < leaving.effective);
        assert!(owed.iter().all(|o| o.member != school.id()));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nis2_29_5_who_only_guides_is_no_party_and_is_told_nothing() -> anyhow::Result<()> {
    let (coalition, alice, bob) = pair().await?;
    let bundle = Bundle::indicators(1);
    alice.publish("cidr", &bundle).tlp("clear").flushed().await?;
    bob.shows("cidr", &bundle.ids()).await?;
    let enisa = Hostile::stranger(&coalition).await?;
    enisa.dial(&bob).await?;
    let answer = enisa.greet(&bob).await?;
    assert!(matches!(answer.response, Some(Response::Refused(_))), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dora_45_1_b_a_trusted_community_of_financial_entities_has_its_own_messages_within_the_group()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let financial = EntityClass::Financial;
    let mut bank = coalition.member("bank").class(financial).publisher(["cidr", "cidr-financial"]).issue()?;
    let mut broker =
        coalition.member("broker").class(financial).reader(["cidr", "cidr-financial"]).issue()?;
    let mut grid = coalition.member("grid").class(EntityClass::Essential).reader(["cidr"]).issue()?;
    coalition.start([&mut bank, &mut broker, &mut grid]).await?;
    let (inside, around) = (Bundle::indicators(1), Bundle::indicators(1));
    let messages = bank.publish("cidr-financial", &inside).tlp("amber").flushed().await?;
    bank.publish("cidr", &around).tlp("green").flushed().await?;
    broker.shows("cidr-financial", &inside.ids()).await?;
    grid.shows("cidr", &around.ids()).await?;
    assert_eq!(broker.ids("cidr").await?, around.ids(), "the circle's stays in the circle");
    let sealed = broker.store()?.envelope(messages[0])?.context("the broker shows it")?;
    assert!(!grid.opens(&sealed)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dora_45_1_c_personal_data_do_not_leave_in_passing() -> anyhow::Result<()> {
    let (_coalition, alice, bob) = pair().await?;
    let number = "the man is 85.07.30-033.28";
    for path in [
        "/api/v1/publications?group=cidr&tlp=green",
        "/api/v1/publications?group=cidr&tlp=green&reason=needed",
    ] {
        let refused = alice.api()?.post(path, &JSON, Bundle::saying(number).json()).await?;
        assert_eq!((refused.status, refused.body["code"].as_str()), (422, Some("guard-refused")));
        assert!(!refused.body.to_string().contains("033.28"), "{}", refused.body);
    }
    let mailbox = Bundle::saying("the phisher writes from jan.peeters@evil.example");
    let path = "/api/v1/publications?group=cidr&tlp=green";
    let asked = alice.api()?.post(path, &JSON, mailbox.json()).await?;
    assert_eq!((asked.status, asked.body["code"].as_str()), (422, Some("reason-needed")), "{}", asked.body);
    let with = format!("{path}&reason=the+adversary%27s+mailbox");
    let accepted = alice.api()?.post(&with, &JSON, mailbox.json()).await?.expect(202)?;
    bob.shows("cidr", &mailbox.ids()).await?;
    assert_eq!(bob.ids("cidr").await?, mailbox.ids());
    // The reason stays at its author's.
    let follow = format!("/api/v1/publications/{}", accepted["publication"].as_str().context("an id")?);
    let kept = alice.api()?.get(&follow).await?.expect(200)?;
    assert_eq!(kept["reason"], "the adversary's mailbox");
    let shown = bob.api()?.get("/api/v1/objects?group=cidr").await?.expect(200)?;
    assert!(!shown.to_string().contains("adversary's"), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dora_45_1_c_what_competitors_must_not_exchange_leaves_by_a_persons_reason_alone()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let words = "[guards]\ncompetition = [\"tender of spring\", \"part de march\u{e9}\"]\n";
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").publisher(["cidr"]).issue()?.configured(words)?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut carol, &mut bob]).await?;
    // Each member's own words, those of the default configuration where it has none; however they are spelt.
    for (member, text) in [
        (&alice, "the mail asks for our Price-List of next year"),
        (&alice, "wie in de klantenlijst staat"),
        (&carol, "whoever bids in the Tender of  Spring"),
        (&carol, "sa Part de March\u{e9}"),
    ] {
        let bundle = Bundle::saying(text);
        let asked = member.publish("cidr", &bundle).tlp("green").send().await?;
        assert_eq!(
            (asked.status, asked.body["code"].as_str()),
            (422, Some("reason-needed")),
            "{}",
            asked.body
        );
        let objection = &asked.body["objections"][0];
        assert_eq!(
            (&objection["guard"], &objection["object"]),
            (&json!("competition"), &json!(bundle.ids()[0]))
        );
        // What is said beside the objects is read, too; nor does a reason tell it.
        let other = Bundle::indicators(1);
        let label = member.publish("cidr", &other).tlp("green").class("other", Some(text)).send().await?;
        assert_eq!(label.body["code"].as_str(), Some("reason-needed"), "{}", label.body);
        assert_eq!(label.body["objections"][0]["path"], "class_label", "{}", label.body);
        let term = format!("description={text}");
        let term = member.publish("cidr", &other).tlp("green").handling(&term).send().await?;
        assert_eq!(term.body["objections"][0]["path"], "handling", "{}", term.body);
        let path = format!("/api/v1/publications?group=cidr&tlp=green&reason={}", encoded(text));
        let reason = member.api()?.post(&path, &JSON, bundle.json()).await?;
        assert_eq!(reason.status, 422, "{}", reason.body);
    }
    assert_eq!((alice.store()?.queued(10)?, carol.store()?.queued(10)?), (Vec::new(), Vec::new()));
    // One's words are not another's.
    let (free, last) =
        (Bundle::saying("whoever bids in the tender of spring"), Bundle::saying("our price list"));
    alice.publish("cidr", &free).tlp("green").flushed().await?;
    let path = "/api/v1/publications?group=cidr&tlp=green&reason=the+lure+of+the+mail";
    alice.api()?.post(path, &JSON, last.json()).await?.expect(202)?;
    bob.shows("cidr", &[free.ids(), last.ids()].concat()).await?;
    assert_eq!(bob.ids("cidr").await?, [free.ids(), last.ids()].concat());
    Ok(())
}

/// Names of the tests that really run, by the file they stand in.
fn stories() -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories"))? {
        let path = entry?.path();
        let file = path.file_stem().context("a name")?.to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        let mut names = Vec::new();
        let mut is_test = false;
        for line in text.lines() {
            let name = line.trim_start_matches("async ").strip_prefix("fn ");
            if let Some(name) = name.and_then(|rest| rest.split('(').next())
                && is_test
            {
                names.push(name.to_owned());
            }
            is_test = line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        }
        found.insert(file, names);
    }
    Ok(found)
}

#[test]
fn every_clause_has_a_story_named_after_it_and_the_table_names_no_other() -> anyhow::Result<()> {
    let stories = stories()?;
    let names: Vec<&str> = stories.values().flatten().map(String::as_str).collect();
    let clause_of = |name: &str| {
        CLAUSES.into_iter().filter(|clause| name.starts_with(clause)).max_by_key(|clause| clause.len())
    };
    for clause in CLAUSES {
        assert!(names.iter().any(|name| clause_of(name) == Some(clause)), "{clause}: no story");
    }
    let table = include_str!("clauses.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let table = table.collect::<Vec<_>>().join("\n");
    let said: Vec<&str> = table.split('`').skip(1).step_by(2).collect();
    let begins: Vec<&str> = said.iter().filter_map(|name| name.strip_suffix('\u{2026}')).collect();
    for start in &begins {
        assert!(names.iter().any(|name| name.starts_with(start)), "{start}: the table names it");
    }
    for file in said.iter().filter(|name| !name.ends_with('\u{2026}')) {
        let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file);
        assert!(stories.get(*file).is_some_and(|names| !names.is_empty()) || other.is_dir(), "{file}");
    }
    for name in names.iter().filter(|name| name.starts_with("nis2_") || name.starts_with("dora_")) {
        assert!(begins.iter().any(|start| name.starts_with(start)), "{name} is not in the table");
        assert!(clause_of(name).is_some(), "{name} is named after no clause of the law");
    }
    Ok(())
}
