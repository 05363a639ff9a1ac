//! A token for a tool of somebody else's: what may leave the organisation, whichever way it reads.

use belfry_proto::{
    schema::Pap,
    stix::{egress::Audience, marking::Tlp},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, OTHER},
    site::{Answer, Put, Site, nothing, only, post},
};
use crate::{
    clock,
    query::{Interest, Scope},
    store::Conditions,
};

/// An indicator of a domain of its own.
fn domain(n: u32, name: &str, tlp: Tlp) -> Put {
    let author = "identity--00000000-0000-4000-8000-000000000001";
    Put::pattern(n, &format!("[domain-name:value = '{name}']"), &json!({ "created_by_ref": author })).tlp(tlp)
}

fn under(put: Put, term: &str) -> Put {
    Put { conditions: Conditions { terms: vec![term.to_owned()], ..Conditions::default() }, ..put }
}

fn embargoed(put: Put, until: u64) -> Put {
    Put { conditions: Conditions { embargo_until: until, ..Conditions::default() }, ..put }
}

async fn make(site: &Site, admin: &str, more: Value) -> Answer {
    let mut wanted = json!({ "name": "cloud", "read": ["cidr"], "audience": "outside" });
    wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    site.send(post(admin, "/api/v1/tokens", "application/json", wanted.to_string())).await
}

#[tokio::test]
async fn a_token_for_outside_reads_up_to_green_unless_amber_is_said_and_does_nothing_else() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope { admin: true, ..nothing() }).await;
    for more in [
        json!({ "max_tlp": "amber+strict" }),
        json!({ "red": true }),
        json!({ "publish": ["cidr"] }),
        json!({ "draft": ["cidr"] }),
        json!({ "admin": true }),
        json!({ "audience": "abroad" }),
    ] {
        let refused = make(&site, &admin, more.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "bad-scope"), "{more}");
    }
    let made = make(&site, &admin, json!({})).await.json();
    assert_eq!((&made["max_tlp"], &made["audience"]), (&json!("green"), &json!("outside")));
    let wider = make(&site, &admin, json!({ "name": "clients", "max_tlp": "amber" })).await.json();
    assert_eq!((&wider["max_tlp"], &wider["audience"]), (&json!("amber"), &json!("outside")));
    let inside = make(&site, &admin, json!({ "name": "siem", "audience": null })).await.json();
    assert_eq!((&inside["max_tlp"], &inside["audience"]), (&json!("amber+strict"), &json!("inside")));
}

#[tokio::test]
async fn what_must_stay_inside_is_shown_to_no_tool_of_others() {
    let site = Site::new().await;
    site.put(&[
        domain(1, "green.be", Tlp::Green),
        domain(2, "amber.be", Tlp::Amber),
        domain(3, "strict.be", Tlp::AmberStrict),
        Put { recipients: true, ..domain(4, "named.be", Tlp::Green) },
        embargoed(domain(5, "later.be", Tlp::Green), u64::MAX / 2),
        embargoed(domain(6, "over.be", Tlp::Green), 1_000_000),
        under(domain(7, "nothing.be", Tlp::Green), "permitted-actions=none"),
        under(domain(8, "within.be", Tlp::Green), "permitted-actions=internally-visible-actions"),
        under(domain(9, "nameless.be", Tlp::Green), "attribution=must-not").by(OTHER),
    ])
    .await;
    let outside = |ceiling| Scope { ceiling, audience: Audience::Outside, ..Scope::reads([CIDR]) };
    let (cloud, clients) =
        (site.token("cloud", outside(Tlp::Green)).await, site.token("clients", outside(Tlp::Amber)).await);
    let siem = site.token("siem", Scope { read: only(&[CIDR]), ..nothing() }).await;
    let path = "/taxii2/root/collections/cidr/objects/";
    let ids = async |token: &str| {
        let all = site.get(token, path).await.ids();
        all.iter()
            .map(|id| id.rsplit_once('-').unwrap().1.trim_start_matches('0').to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&siem).await, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(ids(&cloud).await, ["1", "6", "9"]);
    assert_eq!(ids(&clients).await, ["1", "2", "6", "9"]);
    let values = json!({ "values": ["later.be", "within.be", "over.be"] }).to_string();
    let looked = site.send(post(&cloud, "/api/v1/lookup", "application/json", values)).await.ok();
    let states: Vec<&Value> =
        looked["results"].as_array().unwrap().iter().map(|found| &found["state"]).collect();
    assert_eq!(states, ["unknown", "unknown", "active"]);
    // Whoever must not be named is not, in any dress.
    let id = "indicator--00000000-0000-4000-8000-000000000009";
    let told = site.get(&cloud, &format!("/api/v1/objects/{id}")).await.ok()["objects"][0].clone();
    assert_eq!((&told["member"], &told["organisation"]), (&Value::Null, &Value::Null));
    assert_eq!(told["object"].get("created_by_ref"), None);
    let raw = site.get(&cloud, &format!("{path}{id}/")).await;
    assert!(!String::from_utf8(raw.body).unwrap().contains("created_by_ref"));
    let own = site.get(&siem, &format!("/api/v1/objects/{id}")).await.ok()["objects"][0].clone();
    assert_eq!((&own["member"], own["object"].get("created_by_ref").is_some()), (&json!(OTHER), true));
}

#[tokio::test]
async fn names_and_markings_of_whoever_must_not_be_named_stay_inside() {
    let site = Site::new().await;
    let version = "2026-01-01T00:00:00.000Z";
    let object = |kind: &str, more: Value| {
        let mut json = json!({
            "type": kind, "spec_version": "2.1", "id": format!("{kind}--00000000-0000-4000-8000-000000000001"),
            "created": version, "modified": version,
        });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        under(Put::json(json).tlp(Tlp::Green), "attribution=must-not")
    };
    let marking = object(
        "marking-definition",
        json!({ "definition_type": "statement", "definition": { "statement": "Copyright ACME" } }),
    );
    let indicator = object(
        "indicator",
        json!({
            "pattern": "[domain-name:value = 'x.be']", "pattern_type": "stix", "valid_from": version,
            "object_marking_refs": [marking.id],
        }),
    );
    let sector = object("identity", json!({ "name": "Hospitals", "identity_class": "class" }));
    let other = json!({ "id": "identity--00000000-0000-4000-8000-000000000002", "name": "ACME" });
    let name = object("identity", other);
    site.put(&[marking.clone(), name, sector, indicator]).await;
    let outside = Scope { ceiling: Tlp::Green, audience: Audience::Outside, ..Scope::reads([CIDR]) };
    let cloud = site.token("cloud", outside).await;
    let siem = site.token("siem", Scope { read: only(&[CIDR]), ..nothing() }).await;
    let read = async |token: &str| {
        let told = site.get(token, "/taxii2/root/collections/cidr/objects/").await;
        String::from_utf8(told.body).unwrap()
    };
    let (within, without) = (read(&siem).await, read(&cloud).await);
    assert!(within.contains("Copyright ACME") && within.contains(&marking.id), "{within}");
    assert!(without.contains("x.be") && without.contains("Hospitals"), "{without}");
    assert!(!without.contains("ACME") && !without.contains(&marking.id), "{without}");
}

#[tokio::test]
async fn by_saying_it_again_another_member_hides_nobodys_name_or_marking_and_its_author_does() {
    let site = Site::new().await;
    let version = "2026-01-01T00:00:00.000Z";
    let object = |kind: &str, more: Value| {
        let mut json = json!({
            "type": kind, "spec_version": "2.1", "id": format!("{kind}--00000000-0000-4000-8000-000000000001"),
            "created": version, "modified": version,
        });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Put::json(json).tlp(Tlp::Green)
    };
    let marking = object(
        "marking-definition",
        json!({ "definition_type": "statement", "definition": { "statement": "Copyright ACME" } }),
    );
    let name = object("identity", json!({ "name": "ACME Ltd" }));
    let cloud = Scope { ceiling: Tlp::Green, audience: Audience::Outside, ..Scope::reads([CIDR]) };
    let cloud = site.token("cloud", cloud).await;
    let read = async || {
        let told = site.get(&cloud, "/taxii2/root/collections/cidr/objects/").await;
        let told = String::from_utf8(told.body).unwrap();
        (told.contains("Copyright ACME"), told.contains("ACME Ltd"))
    };
    for put in [&marking, &name] {
        site.put(&[put.clone(), under(put.clone().by(OTHER), "attribution=must-not")]).await;
    }
    assert_eq!(read().await, (true, true), "it is not its to hide");
    site.put(&[under(marking, "attribution=must-not")]).await;
    assert_eq!(read().await, (false, true), "its author hides it");
    site.put(&[under(name, "attribution=must-not")]).await;
    assert_eq!(read().await, (false, false));
}

#[tokio::test]
async fn what_is_asked_when_it_is_said_again_holds_for_others_tools_whichever_came_first() {
    let site = Site::new().await;
    let amber = |put: Put| Put { pap: Pap::Amber.into(), ..put };
    let [twice, both, hushed] =
        [(1, "twice.be"), (2, "both.be"), (3, "hushed.be")].map(|(n, name)| domain(n, name, Tlp::Green));
    for put in [
        twice.clone(),
        embargoed(twice, u64::MAX / 2),
        both.clone(),
        embargoed(both.by(OTHER), u64::MAX / 2),
        hushed.clone(),
        under(amber(hushed.by(OTHER)), "attribution=must-not"),
    ] {
        site.put(&[put]).await;
    }
    let cloud = Scope { ceiling: Tlp::Green, audience: Audience::Outside, ..Scope::reads([CIDR]) };
    let cloud = site.token("cloud", cloud).await;
    let id = |n: u32| format!("indicator--00000000-0000-4000-8000-{n:012}");
    let path = "/taxii2/root/collections/cidr/objects/";
    assert_eq!(site.get(&cloud, path).await.ids(), [id(2), id(3)], "its author embargoed it the second time");
    let told =
        async |n| site.get(&cloud, &format!("/api/v1/objects/{}", id(n))).await.ok()["objects"][0].clone();
    let both = told(2).await;
    assert_eq!(both["reporters"], json!([]), "its word is embargoed: {both}");
    assert!(both["object"].get("created_by_ref").is_some(), "{both}");
    // Whose name the bytes hold nobody here knows: one of those who say them asks not to be named.
    let hushed = told(3).await;
    assert_eq!(
        (&hushed["reporters"], hushed["object"].get("created_by_ref")),
        (&json!([]), None),
        "{hushed}"
    );
    assert!(!hushed["member"].is_null(), "{hushed}");
}

/// A stage where `put` is said, some of it under an embargo until the time that it is given, and a token for outside that polled
/// once while that was not over. Readers go by this machine's clock: one that is too slow for a short embargo gets a longer one.
async fn polled_in_time(put: impl Fn(u64) -> Vec<Put>) -> (Site, Timestamp, String, Answer) {
    for span in [2_000_000, 10_000_000, 50_000_000] {
        let site = Site::new().await;
        let cloud = Scope { ceiling: Tlp::Green, audience: Audience::Outside, ..Scope::reads([CIDR]) };
        let cloud = site.token("cloud", cloud).await;
        let soon = Timestamp::from_micros(clock::now().as_micros() + span);
        site.put(&put(soon.as_micros())).await;
        let first = site.get(&cloud, "/taxii2/root/collections/cidr/objects/").await;
        if clock::now() < soon {
            return (site, soon, cloud, first);
        }
    }
    panic!("nothing is said and read here within a minute");
}

#[tokio::test]
async fn whoever_polls_or_follows_from_outside_meets_what_was_under_an_embargo_when_it_is_over() {
    let (site, soon, cloud, first) = polled_in_time(|soon| {
        vec![
            embargoed(domain(1, "soon.be", Tlp::Green), soon),
            domain(2, "now.be", Tlp::Green),
            embargoed(domain(3, "far.be", Tlp::Green), u64::MAX / 2),
        ]
    })
    .await;
    let siem = site.token("siem", Scope::reads([CIDR])).await;
    let id = |n: u32| format!("indicator--00000000-0000-4000-8000-{n:012}");
    let path = "/taxii2/root/collections/cidr/objects/";
    let last = first.header("x-taxii-date-added-last").unwrap().to_owned();
    assert_eq!(first.ids(), [id(2)]);
    let head = site.query.feed_head().await.unwrap();
    site.end_embargoes(Timestamp::from_micros(soon.as_micros() - 1)).await;
    assert_eq!(site.query.feed_head().await.unwrap(), head, "not before it is over");
    while clock::now() < soon {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    site.end_embargoes(clock::now()).await;
    let since = format!("{path}?added_after={last}");
    let again = site.get(&cloud, &since).await;
    let met = again.header("x-taxii-date-added-first").unwrap().to_owned();
    assert_eq!(again.ids(), [id(1)]);
    assert_eq!(site.get(&cloud, &format!("{since}&match[type]=indicator")).await.ids(), [id(1)]);
    assert_eq!(site.get(&cloud, &format!("{path}?added_after={met}")).await.ids(), Vec::<String>::new());
    for size in 1..=3 {
        assert_eq!(site.all(&cloud, path, size).await, [id(2), id(1)], "once, behind what came since");
        assert_eq!(site.all(&siem, path, size).await, [id(1), id(2), id(3)], "its date is not moved inside");
    }
    let named = site.get(&cloud, &format!("{path}{}/?added_after={last}", id(1))).await;
    assert_eq!(named.ids(), [id(1)]);
    let manifest = site.get(&cloud, "/taxii2/root/collections/cidr/manifest/").await.ok();
    assert_eq!(manifest["objects"][1]["date_added"], json!(met));
    let told = async |token: &str| {
        let principal = site.query.tokens().verify(token, clock::now()).unwrap();
        let found = site.query.events(&principal, &Interest::default(), head).await.unwrap();
        found.rows.into_iter().map(|(_, row)| row.id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(&cloud).await, [id(1)]);
    assert_eq!(told(&siem).await, Vec::<String>::new(), "inside it was told when it came");
}

/// The next version of an object.
fn next(mut put: Put) -> Put {
    put.version = "2026-02-01T00:00:00.000Z".to_owned();
    put.json.as_mut().unwrap()["modified"] = json!(put.version);
    put
}

#[tokio::test]
async fn an_older_version_surfaces_for_whoever_may_not_have_the_newer_one_and_for_nobody_else() {
    let (site, soon, cloud, first) = polled_in_time(|soon| {
        vec![
            embargoed(domain(1, "soon.be", Tlp::Green), soon),
            next(domain(1, "soon.be", Tlp::Amber)),
            domain(2, "now.be", Tlp::Green),
        ]
    })
    .await;
    let clients = Scope { ceiling: Tlp::Amber, audience: Audience::Outside, ..Scope::reads([CIDR]) };
    let clients = site.token("clients", clients).await;
    let id = |n: u32| format!("indicator--00000000-0000-4000-8000-{n:012}");
    let path = "/taxii2/root/collections/cidr/objects/";
    let last = first.header("x-taxii-date-added-last").unwrap().to_owned();
    let head = site.query.feed_head().await.unwrap();
    while clock::now() < soon {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    site.end_embargoes(clock::now()).await;
    let since = format!("{path}?added_after={last}");
    assert_eq!(site.get(&cloud, &since).await.ids(), [id(1)]);
    assert_eq!(site.get(&clients, &since).await.ids(), Vec::<String>::new());
    assert_eq!(site.get(&clients, path).await.ids(), [id(1), id(2)]);
    let told = async |token: &str| {
        let principal = site.query.tokens().verify(token, clock::now()).unwrap();
        let found = site.query.events(&principal, &Interest::default(), head).await.unwrap();
        found.rows.into_iter().map(|(_, row)| row.id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((told(&cloud).await, told(&clients).await), (vec![id(1)], Vec::new()));
}

#[tokio::test]
async fn what_its_owner_keeps_under_an_embargo_nobody_else_opens() {
    let site = Site::new().await;
    let far = u64::MAX / 2;
    let attack = |name: &str| {
        Put::json(json!({
            "type": "attack-pattern", "spec_version": "2.1", "name": name,
            "id": "attack-pattern--00000000-0000-4000-8000-000000000003",
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
        }))
        .tlp(Tlp::Green)
    };
    site.put(&[
        embargoed(domain(1, "theirs.be", Tlp::Green).by(OTHER), far),
        domain(1, "in-other-words.be", Tlp::Green),
        next(domain(1, "or-newer.be", Tlp::Green)),
        domain(2, "ours.be", Tlp::Green),
        embargoed(next(domain(2, "ours.be", Tlp::Green).by(OTHER)), far),
        // Nobody's to keep: it is in every catalogue.
        embargoed(attack("Phishing").by(OTHER), far),
        attack("phishing"),
    ])
    .await;
    let cloud = Scope { ceiling: Tlp::Green, audience: Audience::Outside, ..Scope::reads([CIDR]) };
    let (cloud, siem) = (site.token("cloud", cloud).await, site.token("siem", Scope::reads([CIDR])).await);
    let path = "/taxii2/root/collections/cidr/objects/";
    let [theirs, ours] = [1, 2].map(|n: u32| format!("indicator--00000000-0000-4000-8000-{n:012}"));
    let pattern = "attack-pattern--00000000-0000-4000-8000-000000000003".to_owned();
    assert_eq!(site.get(&cloud, path).await.ids(), [ours.clone(), pattern.clone()]);
    assert_eq!(site.get(&siem, path).await.ids(), [theirs, ours, pattern]);
    let values = json!({ "values": ["in-other-words.be", "or-newer.be", "ours.be"] }).to_string();
    let looked = site.send(post(&cloud, "/api/v1/lookup", "application/json", values)).await.ok();
    let states: Vec<&Value> =
        looked["results"].as_array().unwrap().iter().map(|found| &found["state"]).collect();
    assert_eq!(states, ["unknown", "unknown", "active"]);
}

#[tokio::test]
async fn what_is_said_more_often_than_anybody_looks_at_stays_inside() {
    let site = Site::new().await;
    let often = domain(1, "often.be", Tlp::Green);
    site.put(&[often.clone(), domain(2, "once.be", Tlp::Green)]).await;
    let cloud = Scope { ceiling: Tlp::Green, audience: Audience::Outside, ..Scope::reads([CIDR]) };
    let cloud = site.token("cloud", cloud).await;
    let path = "/taxii2/root/collections/cidr/objects/";
    for _ in 0..64 {
        site.put(&[often.clone().by(OTHER)]).await;
    }
    assert_eq!(site.get(&cloud, path).await.ids().len(), 2);
    site.put(&[often.by(OTHER)]).await;
    assert_eq!(site.get(&cloud, path).await.ids(), ["indicator--00000000-0000-4000-8000-000000000002"]);
}

#[tokio::test]
async fn messages_and_who_wrote_how_many_are_told_inside_only() {
    let site = Site::new().await;
    let message = site.put(&[domain(1, "green.be", Tlp::Green)]).await;
    let cloud = Scope { ceiling: Tlp::Green, audience: Audience::Outside, ..Scope::reads([CIDR]) };
    let (cloud, siem) = (site.token("cloud", cloud).await, site.token("siem", Scope::reads([CIDR])).await);
    for path in [
        format!("/api/v1/messages/{message}"),
        format!("/api/v1/messages/{message}/envelope"),
        "/api/v1/forks".to_owned(),
        "/api/v1/activity".to_owned(),
    ] {
        assert_eq!(site.get(&siem, &path).await.status, 200, "{path}");
        let refused = site.get(&cloud, &path).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (403, "inside-only"), "{path}");
    }
}
