//! Rules that members wrote, as files: of every language, and what their actions do where they are loaded.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{schema::Pap, stix::marking::Tlp};
use serde_json::{Value, json};

use super::{
    super::{
        coalition::OTHER,
        lookup::opinion,
        site::{Put, Site},
    },
    domain, profiles,
};
use crate::clock;

/// A rule as a file of its own, in the language that it is written in.
fn rule(n: u32, kind: &str, text: &str) -> Put {
    Put::pattern(n, "", &json!({ "pattern_type": kind, "pattern": text })).tlp(Tlp::Green)
}

impl Site {
    /// The rules of an export: file and content.
    async fn rules(&self, token: &str, export: &str) -> BTreeMap<String, String> {
        let index: Value = serde_json::from_str(&self.text(token, export).await).unwrap();
        let mut found = BTreeMap::new();
        for one in index["rules"].as_array().unwrap() {
            let file = one["file"].as_str().unwrap().to_owned();
            found.insert(file.clone(), self.text(token, &format!("{export}/{file}")).await);
        }
        found
    }
}

#[tokio::test]
async fn a_rule_is_a_file_of_its_language_as_its_author_wrote_it_and_named_in_the_index() {
    let site =
        Site::exporting(&profiles(&[("rules", "rules", ""), ("abroad", "rules", "audience = \"outside\"")]))
            .await;
    let token = site.reader().await;
    let sigma = "title: a\nlogsource:\n  product: windows\ndetection:\n  s:\n    Image: '*\\\\evil.exe'\n  condition: s\n";
    let snort = "alert tcp any any -> any 443 (msg:\"evil\"; content:\"|0d 0a|\"; sid:1000001; rev:1;)";
    site.put(&[
        rule(1, "sigma", sigma),
        rule(2, "snort", snort),
        rule(3, "suricata", snort).tlp(Tlp::Amber),
        rule(4, "yara", "rule a { condition: true }"),
        rule(5, "spl", "index=main evil"),
        rule(6, "snort", "alert tcp any any -> any any (msg:\"\u{202e}\"; sid:2;)"),
        domain(7, "evil.be"),
        rule(8, "sigma", &format!("\u{feff}{sigma}")),
    ])
    .await;
    let id = |n: u32| Put::indicator(n).id;
    let expected = [
        (format!("{}.yml", id(1)), sigma.to_owned()),
        (format!("{}.rules", id(2)), format!("{snort}\n")),
        (format!("{}.rules", id(3)), format!("{snort}\n")),
        (format!("{}.yar", id(4)), "rule a { condition: true }\n".to_owned()),
        (format!("{}.yml", id(8)), format!("\u{feff}{sigma}")),
    ];
    assert_eq!(site.rules(&token, "rules").await, BTreeMap::from(expected.clone()));
    assert_eq!(
        site.held(&token, "rules").await.get("unwritable"),
        Some(&2),
        "no language of ours, and what steers"
    );
    let index: Value = serde_json::from_str(&site.text(&token, "rules").await).unwrap();
    let told: Vec<(&Value, &Value)> =
        index["rules"].as_array().unwrap().iter().map(|one| (&one["pattern_type"], &one["tlp"])).collect();
    assert!(told.contains(&(&json!("suricata"), &json!("amber"))) && told.len() == 5, "{told:?}");
    let abroad = site.rules(&token, "abroad").await;
    assert!(abroad.len() == 4 && !abroad.contains_key(&format!("{}.rules", id(3))), "AMBER stays inside");
}

#[tokio::test]
async fn a_rule_that_stops_traffic_leaves_only_as_what_blocks_may_whatever_the_list_is_for() {
    let site = Site::exporting(&profiles(&[("rules", "rules", "")])).await;
    let token = site.reader().await;
    let of = |n: u32, action: &str, pap: Pap| Put {
        pap: pap.into(),
        ..rule(n, "suricata", &format!("{action} tcp any any -> any any (msg:\"x\"; sid:{n};)"))
    };
    let doubted = of(4, "drop", Pap::Green);
    site.put(&[
        of(1, "alert", Pap::Amber),
        of(2, "drop", Pap::Amber),
        of(3, "reject", Pap::Clear),
        doubted.clone(),
        of(5, "alert", Pap::Green),
    ])
    .await;
    let left = async || {
        let rules = site.rules(&token, "rules").await;
        rules.into_values().map(|text| text.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(left().await, ["alert", "reject", "drop", "alert"]);
    assert_eq!(site.held(&token, "rules").await.get("pap"), Some(&1));
    site.put(&[
        opinion(1, &doubted.id, "strongly-disagree").by(OTHER),
        opinion(2, &Put::indicator(5).id, "strongly-disagree").by(OTHER),
    ])
    .await;
    assert_eq!(left().await, ["alert", "reject", "alert"], "to look for it is not contested");
    assert_eq!(site.held(&token, "rules").await.get("contested"), Some(&1));
}

#[tokio::test]
async fn what_would_keep_a_tool_from_loading_the_rest_is_left_out_and_named() {
    let site = Site::exporting(&profiles(&[("rules", "rules", "")])).await;
    let token = site.reader().await;
    let whole = "alert tcp any any -> any any (msg:\"x\"; sid:1;)";
    site.put(&[
        rule(1, "suricata", whole),
        rule(2, "suricata", &format!("{whole}\nalert tcp any any (msg:\"no way\"; sid:2;)")),
        rule(3, "snort", "alert tcp any any -> any any (msg:\"open; sid:3;)"),
        rule(4, "yara", "rule a { condition: true"),
        rule(5, "yara", "include \"/etc/passwd\""),
        rule(6, "sigma", "title: no detection\nlogsource:\n  product: windows\n"),
        rule(7, "spl", "index=main evil"),
        // A terminal writes the second over the first.
        rule(8, "yara", "rule a { condition: true }\rrule b { condition: false }"),
        rule(9, "yara", "rule c {\r\n condition: true\r\n}\r\n"),
    ])
    .await;
    let rules = site.rules(&token, "rules").await;
    let written = [format!("{}.rules", Put::indicator(1).id), format!("{}.yar", Put::indicator(9).id)];
    assert_eq!(rules.into_keys().collect::<Vec<_>>(), written);
    assert_eq!(site.held(&token, "rules").await.get("unwritable"), Some(&7));
    let index: Value = serde_json::from_str(&site.text(&token, "rules").await).unwrap();
    let told: BTreeMap<&str, &str> = index["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["why"].as_str().unwrap()))
        .collect();
    let expected = [
        (2, "line 2: does not begin with action, protocol, addresses and ports"),
        (3, "line 1: a quote that does not end"),
        (4, "line 1: brackets that do not match"),
        (5, "line 1: includes a file of whoever loads it"),
        (6, "line 1: no title, log source or detection with a condition"),
        (7, "is in no language that is written as files"),
        (8, "holds characters that steer how it is shown"),
    ];
    let ids: Vec<String> = expected.iter().map(|(n, _)| Put::indicator(*n).id).collect();
    let expected: BTreeMap<&str, &str> =
        ids.iter().map(String::as_str).zip(expected.map(|(_, why)| why)).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn rules_of_one_number_load_beside_each_other_and_the_first_keeps_it() {
    let site = Site::exporting(&profiles(&[("rules", "rules", "")])).await;
    let token = site.reader().await;
    let of = |msg: &str, end: &str| format!("alert tcp any any -> any any (msg:\"{msg}\"; {end})");
    site.put(&[
        rule(2, "suricata", &of("first", "sid:1000001; rev:1;")),
        rule(1, "suricata", &of("second", "sid:1000001; rev:7;")).by(OTHER),
        rule(3, "suricata", &of("other generator", "gid:9; sid:1000001;")),
        rule(4, "suricata", &of("unnumbered", "rev:1;")),
        // Another tool's.
        rule(5, "snort", &of("snort", "sid:1000001;")),
    ])
    .await;
    let sids = async || {
        let index: Value = serde_json::from_str(&site.text(&token, "rules").await).unwrap();
        let told = index["rules"].as_array().unwrap().iter();
        told.map(|one| (one["id"].as_str().unwrap().to_owned(), one["sids"][0].as_u64().unwrap()))
            .collect::<BTreeMap<String, u64>>()
    };
    let told = sids().await;
    let of_n = |n: u32| told[&Put::indicator(n).id];
    assert_eq!([2, 3, 5].map(of_n), [1_000_001; 3]);
    let (second, unnumbered) = (of_n(1), of_n(4));
    assert!(second >= 4_100_000_000 && unnumbered >= 4_100_000_000 && second != unnumbered, "{told:?}");
    let rules = site.rules(&token, "rules").await;
    let text = |n: u32| rules[&format!("{}.rules", Put::indicator(n).id)].clone();
    assert_eq!(text(2), of("first", "sid:1000001; rev:1;") + "\n", "as its author wrote it");
    assert_eq!(text(1), of("second", &format!("sid:{second}; rev:7;")) + "\n");
    assert_eq!(text(4), of("unnumbered", &format!("rev:1; sid:{unnumbered};")) + "\n");
    site.put(&[rule(6, "suricata", &of("third", "sid:1000001;"))]).await;
    let later = sids().await;
    assert!(told.iter().all(|(id, sid)| later[id] == *sid), "news renumber nothing: {later:?}");
}

#[tokio::test]
async fn a_message_dated_back_takes_no_number_of_a_rule_that_is_here() {
    let site = Site::exporting(&profiles(&[("rules", "rules", "")])).await;
    let token = site.reader().await;
    let of = |n: u32, minutes: u64| {
        let text = format!("alert tcp any any -> any any (msg:\"{n}\"; sid:1000001;)");
        let created = clock::now().saturating_sub(Duration::from_secs(60 * minutes));
        Put { created: Some(created), ..rule(n, "suricata", &text) }
    };
    let has_it = async || {
        let index: Value = serde_json::from_str(&site.text(&token, "rules").await).unwrap();
        let told = index["rules"].as_array().unwrap().iter();
        let has =
            told.filter(|one| one["sids"][0] == 1_000_001).map(|one| one["id"].as_str().unwrap().to_owned());
        has.collect::<Vec<_>>()
    };
    site.put(&[of(3, 1)]).await;
    site.put(&[of(1, 60).by(OTHER)]).await;
    assert_eq!(has_it().await, [Put::indicator(3).id], "an hour late");
    site.put(&[of(2, 5).by(OTHER)]).await;
    assert_eq!(has_it().await, [Put::indicator(2).id], "said before it, and on its way a while");
}
