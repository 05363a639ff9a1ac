//! Many values in one question: each is answered as if it were asked alone.

use std::collections::BTreeMap;

use belfry_proto::{
    id::MemberId,
    schema::WithdrawalMode,
    stix::{egress::Audience, marking::Tlp},
    time::Timestamp,
};
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::{opinion, sighting};
use crate::{
    api::tests::{
        coalition::{CIDR, CLOUD, OTHER, OWN},
        site::{Put, Site, nothing, only},
    },
    clock,
    query::{
        Groups, Scope,
        lookup::{Wanted, Within},
    },
    store::Conditions,
};

/// One question with these texts, and what is found of each.
async fn ask(site: &Site, token: &str, around: bool, texts: &[String]) -> Vec<Value> {
    let principal = site.query.tokens().verify(token, clock::now()).unwrap();
    let groups = site.query.all_readable(&principal);
    let within = Within { groups, around, ..Within::default() };
    let values = texts.iter().map(|text| Wanted { text: text.clone(), kind: None }).collect();
    let found = site.query.lookup(&principal, &within, values).await.unwrap();
    found.iter().map(|found| serde_json::to_value(found).unwrap()).collect()
}

/// Takes out what goes on falling between two questions.
fn scores(found: &mut Value) -> Vec<u64> {
    let mut scores = vec![found["score"].take().as_u64().unwrap()];
    for object in found["objects"].as_array_mut().unwrap() {
        scores.extend(object.as_object_mut().unwrap().remove("score").and_then(|score| score.as_u64()));
    }
    scores
}

fn domain(n: u32, name: &str) -> Put {
    Put::pattern(n, &format!("[domain-name:value = '{name}']"), &json!({}))
}

fn under(put: Put, conditions: Conditions) -> Put {
    Put { conditions, ..put }
}

/// A bit of everything that may stand, or stood, in a store; more rows than are read ahead at once.
async fn staged() -> Site {
    let site = Site::new().await;
    let listed: Vec<String> = (0..9).map(|n| format!("'list{n}.be'")).collect();
    let listed = format!("[domain-name:value IN ({})]", listed.join(", "));
    let address =
        |n: u32, pattern: &str| Put::pattern(n, &format!("[ipv4-addr:value {pattern}]"), &json!({}));
    let version =
        |n: u32, name: &str, more: Value| Put::pattern(n, &format!("[domain-name:value = '{name}']"), &more);
    let terms = Conditions { terms: vec!["attribution=must-not".to_owned()], ..Conditions::default() };
    let closed = Conditions { embargo_until: Timestamp::MAX.as_micros(), ..Conditions::default() };
    let cloud = |put: Put| Put { group: CLOUD, ..put };
    site.put(&[
        domain(1, "one.be").tlp(Tlp::Green),
        domain(2, "two.be"),
        domain(2, "two.be").by(OTHER),
        domain(3, "two.be").by(OTHER),
        Put::pattern(4, &listed, &json!({})).tlp(Tlp::Green),
        version(5, "old.be", json!({})),
        version(5, "new.be", json!({ "modified": "2026-02-01T00:00:00.000Z" })),
        domain(6, "over.be"),
        version(6, "over.be", json!({ "modified": "2026-02-01T00:00:00.000Z", "revoked": true })),
        address(7, "= '203.0.113.7'"),
        address(8, "ISSUBSET '203.0.113.0/28'"),
        domain(9, "red.be").tlp(Tlp::Red),
        domain(10, "strict.be").tlp(Tlp::AmberStrict),
        cloud(domain(11, "cloud.be")),
        cloud(domain(12, "one.be")),
        under(domain(13, "later.be").tlp(Tlp::Green), closed),
        under(domain(14, "quiet.be").by(OTHER).tlp(Tlp::Green), terms),
        domain(15, "www.one.be").by(OTHER),
        sighting(1, &domain(1, "").id, 5).by(OTHER).tlp(Tlp::Green),
        sighting(2, &domain(2, "").id, 3).by(MemberId::new([3; 16])),
        opinion(1, &domain(2, "").id, "strongly-disagree").by(MemberId::new([3; 16])),
    ])
    .await;
    let gone = Put { is_sealed: true, ..domain(16, "gone.be") };
    let message = site.put(&[gone]).await;
    site.withdraw(CIDR, OWN, WithdrawalMode::Retract, message).await;
    site
}

/// Each value, some of them twice or in another spelling.
fn texts() -> Vec<String> {
    let names = [
        "one.be",
        "two.be",
        "old.be",
        "new.be",
        "over.be",
        "red.be",
        "strict.be",
        "cloud.be",
        "later.be",
        "quiet.be",
        "gone.be",
        "www.one.be",
        "never.be",
        "203.0.113.7",
        "203.0.113.9",
        "203.0.113.0/28",
        "203.0.114.9",
        "no such thing",
        "",
        "ONE[.]be",
        "hxxp://one.be/",
        "203.0.113.7",
        "two.be",
        "never.be",
        "be",
    ];
    names.into_iter().map(str::to_owned).chain((0..9).map(|n| format!("list{n}.be"))).collect()
}

#[tokio::test]
async fn each_of_many_values_is_answered_as_if_it_were_asked_alone() {
    let site = staged().await;
    let outside = Scope { audience: Audience::Outside, ceiling: Tlp::Green, ..nothing() };
    let scopes = [
        ("all", Scope { read: Groups::All, ..nothing() }),
        ("green", Scope { read: Groups::All, ceiling: Tlp::Green, ..nothing() }),
        ("cloud", Scope { read: only(&[CLOUD]), ..nothing() }),
        ("outside", Scope { read: Groups::All, ..outside }),
    ];
    let mut states: BTreeMap<(&str, String), Value> = BTreeMap::new();
    // Without the filter, for all that this test can say, and with it.
    for is_whole in [false, true] {
        while is_whole && !site.store.present().is_whole {
            tokio::task::yield_now().await;
        }
        for (name, scope) in &scopes {
            let token = site.token(&format!("{name}-{is_whole}"), scope.clone()).await;
            for around in [false, true] {
                let mut alone = BTreeMap::new();
                for text in texts() {
                    let found = ask(&site, &token, around, std::slice::from_ref(&text)).await;
                    assert_eq!(found.len(), 1);
                    alone.insert(text, found[0].clone());
                }
                let mut texts = texts();
                for turn in 0..9 {
                    // In many an order, and of many a length.
                    texts.rotate_left(7);
                    let asked = &texts[..texts.len() - turn % 13];
                    let found = ask(&site, &token, around, asked).await;
                    assert_eq!(found.len(), asked.len());
                    for (text, mut found) in asked.iter().zip(found) {
                        let mut expected: Value = alone[text].clone();
                        let mut worth = scores(&mut found).into_iter().zip(scores(&mut expected));
                        assert!(worth.all(|(one, other)| one.abs_diff(other) <= 1), "{text} by {name}");
                        assert_eq!(found, expected, "{text} by {name}, around: {around}");
                    }
                }
                states.extend(alone.into_iter().map(|(text, found)| ((*name, text), found["state"].clone())));
            }
        }
    }
    assert_ne!(states[&("all", "gone.be".to_owned())], "active");
    for (name, text, state) in [
        ("all", "one.be", "active"),
        ("all", "over.be", "revoked"),
        ("all", "red.be", "unknown"),
        ("all", "strict.be", "active"),
        ("all", "list8.be", "active"),
        ("green", "list8.be", "active"),
        ("green", "strict.be", "unknown"),
        ("cloud", "cloud.be", "active"),
        ("cloud", "two.be", "unknown"),
        ("outside", "one.be", "active"),
        ("outside", "later.be", "unknown"),
    ] {
        assert_eq!(states[&(name, text.to_owned())], state, "{text} by {name}");
    }
}

#[tokio::test]
async fn what_nobody_named_is_told_at_once() {
    let site = staged().await;
    while !site.store.present().is_whole {
        tokio::task::yield_now().await;
    }
    let token = site.token("all", Scope { read: Groups::All, ..nothing() }).await;
    let texts = ["never.be", "203.0.114.9", "no such thing", "never.be"].map(str::to_owned);
    // Without a thread, whose answer would have to be waited for.
    let found = ask(&site, &token, false, &texts).now_or_never().unwrap();
    assert!(found.iter().map(|found| found["value"].as_str().unwrap()).eq(&texts));
    assert!(found.iter().all(|found| found["state"] == "unknown" && found["objects"] == json!([])));
    assert_eq!((found[0]["error"].as_str(), found[2]["error"].is_string()), (None, true));
}

#[tokio::test]
async fn a_question_asked_in_one_go_is_authorised_row_by_row() {
    let site = staged().await;
    let green = site.token("green", Scope { read: only(&[CIDR]), ceiling: Tlp::Green, ..nothing() }).await;
    let all = site.token("all", Scope { read: Groups::All, ..nothing() }).await;
    let texts = texts();
    let [few, many] = [ask(&site, &green, true, &texts).await, ask(&site, &all, true, &texts).await];
    let ids = |found: &Value| -> Vec<String> {
        let objects = found["objects"].as_array().unwrap().iter();
        objects.map(|object| object["id"].as_str().unwrap().to_owned()).collect()
    };
    for (few, many) in few.iter().zip(&many) {
        let known = ids(many);
        assert!(ids(few).iter().all(|id| known.contains(id)), "{few}");
        let objects = few["objects"].as_array().unwrap();
        assert!(objects.iter().all(|object| object["tlp"] == "green" && object["group"] == "cidr"), "{few}");
    }
    assert!(few.iter().map(ids).any(|ids| !ids.is_empty()));
    assert!(many.iter().zip(&few).any(|(many, few)| ids(many).len() > ids(few).len()));
}
