//! Fingerprints of certificates, and indicators that look for no value: written where a format can, counted where it cannot.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{DOMAINS, profiles};
use crate::api::tests::{
    coalition::OTHER,
    site::{Put, Site, post},
};

#[tokio::test]
async fn the_fingerprint_of_a_certificate_leaves_as_one_or_is_counted_and_is_never_a_files() {
    let site = Site::exporting(&profiles(&[
        ("stix", "stix", ""),
        ("misp", "misp", ""),
        ("zeek", "zeek", ""),
        ("files", "list", "types = [\"sha1\"]"),
        ("hosts", "list", DOMAINS),
    ]))
    .await;
    let token = site.reader().await;
    let [file, fingerprint, module] = ["ab", "cd", "ef"].map(|byte| byte.repeat(20));
    let of = |n, what: &str, sha1: &str| {
        Put::pattern(n, &format!("[{what}:hashes.'SHA-1' = '{sha1}']"), &json!({}))
    };
    let put = [of(1, "file", &file), of(2, "x509-certificate", &fingerprint), of(3, "x-module", &module)];
    site.put(&put).await;
    assert_eq!(site.text(&token, "files").await, format!("{file}\n"));
    let unwritable = |count| BTreeMap::from([("unwritable".to_owned(), count)]);
    assert_eq!(site.held(&token, "files").await, unwritable(2));
    assert_eq!(site.held(&token, "hosts").await, BTreeMap::new(), "it is of no hashes");
    let bundle = site.text(&token, "stix").await;
    assert!(put.iter().all(|put| bundle.contains(&put.id)), "{bundle}");
    assert_eq!(site.held(&token, "stix").await, BTreeMap::new());
    let zeek = site.text(&token, "zeek").await;
    assert!(zeek.contains(&format!("{file}\tIntel::FILE_HASH")), "{zeek}");
    assert!(zeek.contains(&format!("{fingerprint}\tIntel::CERT_HASH")) && !zeek.contains(&module), "{zeek}");
    assert_eq!(site.held(&token, "misp").await, unwritable(1));
    let typed = |attributes: &Value| {
        let attributes = attributes.as_array().unwrap().iter();
        let mut typed: Vec<(String, String)> = attributes
            .map(|one| (one["type"].as_str().unwrap().into(), one["value"].as_str().unwrap().into()))
            .collect();
        typed.sort_unstable();
        typed
    };
    let expected = [("sha1".to_owned(), file), ("x509-fingerprint-sha1".to_owned(), fingerprint)];
    let search = async |path: &str| {
        site.send(post(&token, path, "application/json", "{}".to_owned())).await.ok()["response"].clone()
    };
    assert_eq!(typed(&search("/attributes/restSearch").await["Attribute"]), expected);
    let events = search("/events/restSearch").await;
    let mut fed: Vec<_> =
        events.as_array().unwrap().iter().flat_map(|event| typed(&event["Event"]["Attribute"])).collect();
    fed.sort_unstable();
    assert_eq!(fed, expected);
}

#[tokio::test]
async fn an_indicator_that_looks_for_no_value_goes_out_as_an_object_or_is_counted() {
    let site = Site::exporting(&profiles(&[
        ("stix", "stix", ""),
        ("block", "stix", "action = \"block\""),
        ("domains", "stix", DOMAINS),
        ("misp", "misp", ""),
    ]))
    .await;
    let token = site.reader().await;
    let process = Put::pattern(1, "[process:command_line = 'evil']", &json!({}));
    let broken = Put::pattern(2, "[process:command_line = 'evil'", &json!({}));
    site.put(&[process.clone(), broken.clone()]).await;
    let bundle = site.text(&token, "stix").await;
    assert!(bundle.contains(&process.id) && !bundle.contains(&broken.id), "{bundle}");
    // Its end goes along, as that of any other.
    assert!(bundle.contains("valid_until"), "{bundle}");
    for (name, count) in [("stix", None), ("block", Some(&1)), ("domains", None), ("misp", Some(&1))] {
        assert_eq!(site.held(&token, name).await.get("unwritable"), count, "{name}");
        assert!(name == "stix" || !site.text(&token, name).await.contains(&process.id), "{name}");
    }
}

#[tokio::test]
async fn what_compares_values_without_naming_one_to_look_for_does_not_pass_the_lists() {
    let lists = "[lists]\nallow = [\"own.be\", \"45.155.205.1\"]\n".to_owned();
    let site = Site::exporting(&(lists + &profiles(&[("stix", "stix", "")]))).await;
    let token = site.reader().await;
    let of = |n, pattern: &str| Put::pattern(n, pattern, &json!({}));
    let process = of(1, "[process:command_line = 'evil']");
    let like = of(2, "[domain-name:value LIKE '%.own.be']");
    let unequal = of(3, "[ipv4-addr:value != '45.155.205.1']");
    let negated = of(4, "[process:command_line = 'evil' AND domain-name:value NOT = 'www.own.be']");
    site.put(&[process.clone(), like.clone(), unequal.clone(), negated.clone()]).await;
    let bundle = site.text(&token, "stix").await;
    assert!(bundle.contains(&process.id), "{bundle}");
    assert!([like, unequal, negated].iter().all(|put| !bundle.contains(&put.id)), "{bundle}");
    assert_eq!(site.held(&token, "stix").await, BTreeMap::from([("unwritable".to_owned(), 3)]));
}

#[tokio::test]
async fn what_blocks_as_an_object_names_all_that_it_compares_and_each_value_passes_the_lists() {
    let lists = "[lists]\nallow = [\"own.be\"]\n".to_owned();
    let profiles = profiles(&[
        ("block", "stix", "action = \"block\""),
        ("addresses", "stix", "action = \"block\"\ntypes = [\"ipv4-addr\"]"),
        ("detect", "stix", ""),
    ]);
    let site = Site::exporting(&(lists + &profiles)).await;
    let token = site.reader().await;
    let or = |n, pattern: &str| {
        let pattern = format!("[ipv4-addr:value = '45.155.205.{n}' OR {pattern}]");
        Put::pattern(n, &pattern, &json!({}))
    };
    let both = or(1, "domain-name:value = 'evil.be'");
    let like = or(2, "domain-name:value LIKE '%.own.be'");
    let own = or(3, "domain-name:value = 'www.own.be'");
    let all = [&both, &like, &own];
    site.put(&all.map(Put::clone)).await;
    for (name, expected) in [
        ("block", [true, false, false]),
        ("addresses", [true, false, false]),
        // Whoever looks for it, looks for the address.
        ("detect", [true, true, true]),
    ] {
        let bundle = site.text(&token, name).await;
        assert_eq!(all.map(|put| bundle.contains(&put.id)), expected, "{name}: {bundle}");
    }
}

#[tokio::test]
async fn a_fingerprint_that_one_names_and_the_hash_of_a_file_that_another_does_are_two() {
    let site = Site::exporting(&profiles(&[
        ("zeek", "zeek", ""),
        ("misp", "misp", ""),
        ("files", "list", "types = [\"sha1\"]"),
    ]))
    .await;
    let token = site.reader().await;
    let sha1 = "cd".repeat(20);
    let of = |n, what: &str, confidence: u8| {
        let pattern = format!("[{what}:hashes.'SHA-1' = '{sha1}']");
        Put::pattern(n, &pattern, &json!({ "confidence": confidence }))
    };
    // Whoever is surer of the one takes nothing from the other.
    site.put(&[of(1, "file", 60), of(2, "x509-certificate", 90).by(OTHER)]).await;
    let zeek = site.text(&token, "zeek").await;
    for kind in ["FILE_HASH", "CERT_HASH"] {
        assert_eq!(zeek.matches(&format!("{sha1}\tIntel::{kind}")).count(), 1, "{zeek}");
    }
    assert_eq!(site.text(&token, "files").await, format!("{sha1}\n"));
    let search = post(&token, "/events/restSearch", "application/json", "{}".to_owned());
    let events = site.send(search).await.ok();
    let mut types: Vec<&str> = events["response"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|event| event["Event"]["Attribute"].as_array().unwrap())
        .map(|attribute| attribute["type"].as_str().unwrap())
        .collect();
    types.sort_unstable();
    assert_eq!(types, ["sha1", "x509-fingerprint-sha1"]);
    // Nor does the one's word back the other's.
    let report = site.export(&token, "zeek/report").await.ok();
    let values = report["values"].as_array().unwrap().iter();
    assert_eq!(values.map(|one| one["members"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 1], "{report}");
}

#[tokio::test]
async fn a_claim_that_no_longer_holds_does_not_make_a_fingerprint_the_hash_of_a_file() {
    let site = Site::exporting(&profiles(&[("zeek", "zeek", "")])).await;
    let token = site.reader().await;
    let sha1 = "cd".repeat(20);
    let over = json!({ "valid_from": "2025-01-01T00:00:00Z", "valid_until": "2025-02-01T00:00:00Z" });
    site.put(&[
        Put::pattern(1, &format!("[x509-certificate:hashes.'SHA-1' = '{sha1}']"), &json!({})),
        Put::pattern(2, &format!("[file:hashes.'SHA-1' = '{sha1}']"), &over).by(OTHER),
    ])
    .await;
    let zeek = site.text(&token, "zeek").await;
    assert!(zeek.contains(&format!("{sha1}\tIntel::CERT_HASH")) && !zeek.contains("FILE_HASH"), "{zeek}");
}
