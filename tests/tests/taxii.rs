//! Outside clients against real daemons: taxii2-client, stix2 and stix2-validator, as a SOC has them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{fs, path::PathBuf};

use belfry_tests::process::{Coalition, Member, Role, python};
use serde_json::{Value, json};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/sample-bundle.json");

/// Forty indicators with equal times: a page must tell them apart by more than those.
fn many(coalition: &Coalition) -> PathBuf {
    let objects: Vec<Value> = (1..=40)
        .map(|n| {
            json!({
                "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{n:012x}"),
                "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z",
                "name": format!("one of many, {n}"), "description": "made at the same time as the others",
                "indicator_types": ["malicious-activity"],
                "pattern": format!("[ipv4-addr:value = '203.0.113.{n}']"), "pattern_type": "stix",
                "valid_from": "2026-11-01T08:00:00Z",
            })
        })
        .collect();
    let path = coalition.path("many.json");
    let bundle =
        json!({"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": objects});
    fs::write(&path, serde_json::to_vec_pretty(&bundle).unwrap()).unwrap();
    path
}

/// Alice published the sample and the many; Bob, of another organisation, holds them.
struct Shared {
    // Members first: daemons end before their folder goes.
    alice: Member,
    bob: Member,
    bundles: String,
    _coalition: Coalition,
}

impl Shared {
    fn new() -> Self {
        let coalition = Coalition::found("Outside");
        let members = coalition.running(&[("alice", Role::Publisher), ("bob", Role::Publisher)]);
        let [alice, bob] = <[Member; 2]>::try_from(members).ok().unwrap();
        let many = many(&coalition);
        for bundle in [SAMPLE, many.to_str().unwrap()] {
            alice.ok(&["publish", bundle, "--group", "cidr", "--tlp", "amber", "--wait"]);
        }
        let token = bob.token("waits", &["--read", "cidr"]);
        let ids = |path: &str| -> Vec<String> {
            let bundle: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            bundle["objects"]
                .as_array()
                .unwrap()
                .iter()
                .map(|o| o["id"].as_str().unwrap().to_owned())
                .collect()
        };
        bob.shows(&token, "cidr", &[ids(SAMPLE), ids(many.to_str().unwrap())].concat());
        let bundles = format!("{SAMPLE}:{}", many.display());
        Self { alice, bob, bundles, _coalition: coalition }
    }

    fn python(&self, at: &Member, script: &str) {
        let url = format!("http://{}", at.api());
        let reader = at.token("siem", &["--read", "all"]);
        let other = at.token("cloud", &["--read", "cloud-security"]);
        let green = at.token("green", &["--read", "cidr", "--max-tlp", "green"]);
        let publisher = at.token("soar", &["--read", "cidr", "--publish", "cidr"]);
        python(
            script,
            &[
                ("BELFRY_URL", &url),
                ("BELFRY_READER", &reader),
                ("BELFRY_OTHER_GROUP", &other),
                ("BELFRY_GREEN", &green),
                ("BELFRY_PUBLISHER", &publisher),
                ("BELFRY_BUNDLES", &self.bundles),
            ],
        );
    }
}

#[test]
fn taxii2_client_reads_everything_once_and_is_refused_where_it_must() {
    let shared = Shared::new();
    shared.python(&shared.bob, "reading.py");
}

#[test]
fn every_page_is_valid_for_stix2_validator_and_the_authors_bytes() {
    let shared = Shared::new();
    shared.python(&shared.bob, "validity.py");
    shared.python(&shared.alice, "validity.py");
}

#[test]
fn taxii2_client_adds_objects_and_polls_their_status() {
    let shared = Shared::new();
    shared.python(&shared.alice, "writing.py");
}
