//! Information class and purpose narrow every way out alike.

use belfry_proto::{
    schema::{InformationClass, Purpose},
    stix::{egress::Audience, extension, marking::Tlp},
};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, OTHER, OWN},
    site::{Answer, Put, Site, post},
};
use crate::{
    query::{Interest, Scope},
    store::Conditions,
};

const CLASSES: [InformationClass; 2] = [InformationClass::Alert, InformationClass::Indicator];
const PURPOSES: [Purpose; 2] = [Purpose::Prevent, Purpose::Respond];

/// An indicator for each class and purpose, all naming one address and one of its own.
async fn site(config: &str) -> Site {
    let site = Site::exporting(config).await;
    for (c, class) in CLASSES.into_iter().enumerate() {
        for (p, purpose) in PURPOSES.into_iter().enumerate() {
            let n = u32::try_from(c * 2 + p).unwrap();
            let pattern = format!("[ipv4-addr:value = '45.155.1.{n}' OR ipv4-addr:value = '45.155.2.1']");
            let put = Put { stated: (class, purpose), ..Put::pattern(n, &pattern, &json!({})) };
            site.put(&[put]).await;
        }
    }
    site
}

/// Which of the four stand in a list of ids.
fn numbers(ids: impl IntoIterator<Item = String>) -> Vec<u8> {
    let mut found: Vec<u8> = ids.into_iter().map(|id| id.as_bytes()[id.len() - 1] - b'0').collect();
    found.sort_unstable();
    found
}

fn listed(answer: Answer, of: &str) -> Vec<u8> {
    let json = answer.ok();
    let objects = json[of].as_array().cloned().unwrap_or_default();
    numbers(objects.iter().map(|object| object["id"].as_str().unwrap().to_owned()))
}

/// Which of two publications of the same bytes came first differs from node to node; what filters find does not.
#[tokio::test]
async fn an_object_is_found_by_what_anybody_who_says_it_states() {
    for turned in [false, true] {
        let site = Site::exporting(PROFILES).await;
        let token = site.reader().await;
        let value = Put::pattern(1, "[ipv4-addr:value = '45.155.1.1']", &json!({})).json.unwrap();
        let by = |member, stated| Put { stated, ..Put::json(value.clone()).by(member) };
        let mut said = [by(OWN, (CLASSES[0], PURPOSES[0])), by(OTHER, (CLASSES[1], PURPOSES[1]))];
        if turned {
            said.reverse();
        }
        site.put(&said).await;
        for (class, purpose, is_found) in [
            ("alert", "", true),
            ("indicator", "", true),
            ("", "respond", true),
            ("", "prevent", true),
            ("indicator", "respond", true),
            // Nobody stated both.
            ("alert", "respond", false),
            ("near-miss", "", false),
        ] {
            let rest = format!("/api/v1/objects?group=cidr&class={class}&purpose={purpose}");
            let expected = if is_found { vec![1] } else { Vec::new() };
            assert_eq!(
                listed(site.get(&token, &rest).await, "objects"),
                expected,
                "{rest}, turned: {turned}"
            );
        }
        for list in ["alerts", "responses", "both"] {
            let answer = site.get(&token, &format!("/api/v1/exports/{list}")).await;
            assert_eq!(answer.body, b"45.155.1.1\n", "{list}, turned: {turned}");
        }
    }
}

const PROFILES: &str = "[[exports]]\nname = \"alerts\"\nformat = \"list\"\ntypes = [\"ipv4-addr\"]\nclasses = [\"alert\"]\n\
    [[exports]]\nname = \"responses\"\nformat = \"list\"\ntypes = [\"ipv4-addr\"]\npurposes = [\"respond\"]\n\
    [[exports]]\nname = \"both\"\nformat = \"list\"\ntypes = [\"ipv4-addr\"]\nclasses = [\"alert\"]\npurposes = [\"respond\", \"prevent\"]\n";

#[tokio::test]
async fn class_and_purpose_narrow_every_way_out_alike() {
    let site = site(PROFILES).await;
    let token = site.reader().await;
    for (class, purpose, expected) in [
        ("", "", vec![0, 1, 2, 3]),
        ("alert", "", vec![0, 1]),
        ("", "respond", vec![1, 3]),
        ("alert", "respond", vec![1]),
        ("alert,indicator", "respond", vec![1, 3]),
        ("near-miss", "respond", vec![]),
    ] {
        let rest = format!("/api/v1/objects?group=cidr&class={class}&purpose={purpose}");
        assert_eq!(listed(site.get(&token, &rest).await, "objects"), expected, "{rest}");
        for path in ["objects", "manifest"] {
            let taxii = format!(
                "/taxii2/root/collections/cidr/{path}/?x_belfry_class={class}&x_belfry_purpose={purpose}&match[type]=indicator"
            );
            assert_eq!(listed(site.get(&token, &taxii).await, "objects"), expected, "{taxii}");
        }
        let words = |text: &str| -> Vec<String> {
            text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let question =
            json!({ "values": ["45.155.2.1"], "classes": words(class), "purposes": words(purpose) });
        let found = site.send(post(&token, "/api/v1/lookup", "application/json", question.to_string())).await;
        let found = found.ok()["results"][0].clone();
        let objects = found["objects"].as_array().unwrap();
        let ids = objects.iter().map(|object| object["id"].as_str().unwrap().to_owned());
        assert_eq!(numbers(ids), expected, "lookup {question}");
        assert_eq!(found["state"] == "unknown", expected.is_empty(), "{found}");
        let stated = crate::stated::Stated {
            classes: crate::stated::set(&words(class)).unwrap(),
            purposes: crate::stated::set(&words(purpose)).unwrap(),
        };
        let principal = site.query.tokens().verify(&token, crate::clock::now()).unwrap();
        let interest = Interest { stated, ..Interest::default() };
        let events = site.query.events(&principal, &interest, 0).await.unwrap();
        assert_eq!(numbers(events.rows.iter().map(|(_, row)| row.id().to_owned())), expected, "events");
    }
    for (profile, lines, held) in [
        ("alerts", "45.155.1.0\n45.155.1.1\n45.155.2.1\n", json!({ "class": 2 })),
        ("responses", "45.155.1.1\n45.155.1.3\n45.155.2.1\n", json!({ "purpose": 2 })),
        ("both", "45.155.1.0\n45.155.1.1\n45.155.2.1\n", json!({ "class": 2 })),
    ] {
        let list = site.get(&token, &format!("/api/v1/exports/{profile}")).await;
        assert_eq!(String::from_utf8_lossy(&list.body), lines, "{profile}");
        let report = site.get(&token, &format!("/api/v1/exports/{profile}/report")).await.ok();
        assert_eq!(report["held_back"], held, "{profile}");
    }
    let profiles = site.get(&token, "/api/v1/exports").await.ok();
    assert_eq!(
        (&profiles["exports"][0]["classes"], &profiles["exports"][1]["purposes"]),
        (&json!(["alert"]), &json!(["respond"]))
    );
}

#[tokio::test]
async fn a_word_that_is_none_is_refused_and_a_cursor_keeps_to_its_filter() {
    let site = site("").await;
    let token = site.reader().await;
    for (path, named) in [
        ("/api/v1/objects?group=cidr&class=gossip", "class"),
        ("/api/v1/objects?group=cidr&purpose=fun", "purpose"),
        ("/api/v1/events?purpose=fun", "purpose"),
        ("/taxii2/root/collections/cidr/objects/?x_belfry_class=gossip", "x_belfry_class"),
    ] {
        let answer = site.get(&token, path).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            answer.status == 400 && text.contains(named) && text.contains("is none of"),
            "{path}: {text}"
        );
    }
    let first = site.get(&token, "/api/v1/objects?group=cidr&class=alert&limit=1").await.ok();
    let next = first["next"].as_str().unwrap();
    let changed = format!("/api/v1/objects?group=cidr&class=indicator&limit=1&next={next}");
    assert_eq!(site.get(&token, &changed).await.status, 400);
    let kept = format!("/api/v1/objects?group=cidr&class=alert&limit=1&next={next}");
    assert_eq!(listed(site.get(&token, &kept).await, "objects"), [1]);
}

/// Whoever may have been told of an object is told that it is gone, whatever its end was stated as.
#[tokio::test]
async fn what_was_taken_back_comes_through_every_filter() {
    let site = site("").await;
    let token = site.reader().await;
    let gone = json!({ "revoked": true, "modified": "2026-01-02T00:00:00.000Z" });
    let put = Put::pattern(0, "[ipv4-addr:value = '45.155.1.0']", &gone);
    site.put(&[Put { stated: (InformationClass::Other, Purpose::Research), ..put }]).await;
    let found = site.get(&token, "/api/v1/objects?group=cidr&class=alert&purpose=prevent").await.ok();
    let objects = found["objects"].as_array().unwrap();
    let states: Vec<&Value> = objects.iter().map(|object| &object["state"]).collect();
    assert_eq!(states, [&json!("revoked")]);
}

/// A report among indicators may be an alert; what it says of itself is nobody else's.
#[tokio::test]
async fn what_an_object_states_of_itself_counts_for_it_alone_and_its_conditions_beside_its_messages() {
    let site = Site::exporting(PROFILES).await;
    let token = site.reader().await;
    let address = |n: u32, said: Value| {
        let mut extension = json!({ "extension_type": "property-extension" });
        extension.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let more = json!({ "extensions": { (extension::ID): extension } });
        let conditions =
            Conditions { terms: vec!["encrypt-in-transit=must".to_owned()], ..Conditions::default() };
        let stated = (InformationClass::Indicator, Purpose::Detect);
        let put = Put::pattern(n, &format!("[ipv4-addr:value = '45.155.1.{n}']"), &more);
        Put { stated, conditions, ..put }.tlp(Tlp::Green)
    };
    let said = [
        address(1, json!({ "information_class": "alert", "purpose": "respond" })),
        address(2, json!({ "information_class": "gossip", "purpose": 7 })),
        address(3, json!({ "handling": ["permitted-actions=internally-visible-actions"] })),
        address(4, json!({ "embargo_until": "2999-01-01T00:00:00Z" })),
    ];
    site.message(CIDR, OWN, &said).await;
    for (filter, expected) in [
        ("class=alert", vec![1]),
        ("purpose=respond", vec![1]),
        // A word that is none states nothing: the message's counts.
        ("class=indicator", vec![2, 3, 4]),
        ("purpose=detect", vec![2, 3, 4]),
    ] {
        let rest = format!("/api/v1/objects?group=cidr&{filter}");
        assert_eq!(listed(site.get(&token, &rest).await, "objects"), expected, "{filter}");
        let taxii = format!("/taxii2/root/collections/cidr/objects/?x_belfry_{filter}&match[type]=indicator");
        assert_eq!(listed(site.get(&token, &taxii).await, "objects"), expected, "{filter}");
    }
    for list in ["alerts", "responses"] {
        assert_eq!(
            site.get(&token, &format!("/api/v1/exports/{list}")).await.body,
            b"45.155.1.1\n",
            "{list}"
        );
    }
    let shown =
        site.get(&token, "/api/v1/objects/indicator--00000000-0000-4000-8000-000000000003").await.ok();
    let terms = ["encrypt-in-transit=must", "permitted-actions=internally-visible-actions"];
    assert_eq!(shown["objects"][0]["handling"], json!(terms), "what either asks");
    let outside = Scope { ceiling: Tlp::Green, audience: Audience::Outside, ..Scope::reads([CIDR]) };
    let cloud = site.token("cloud", outside).await;
    let seen = listed(site.get(&cloud, "/api/v1/objects?group=cidr&type=indicator").await, "objects");
    assert_eq!(seen, [1, 2], "neither what acts inside only nor what is under embargo");
}
