//! What hooks hold back because of the lists, or because these cannot be asked: as exports do.

use std::path::Path;

use belfry_proto::schema::Pap;
use serde_json::{Value, json};

use super::{id, indicator, webhook};
use crate::{
    api::tests::site::{Put, Site},
    clock,
    config::Config,
};

/// What hooks of these configurations let through of the whole feed, and what they hold back.
async fn let_through(site: &Site, more: &str) -> (Vec<String>, Vec<(&'static str, u64)>, Vec<String>) {
    let text = webhook(1, more).replace("SECRET", "/secret");
    let config = Config::parse(&text, Path::new("belfry.toml")).unwrap();
    let leaving = site.query.leaving(&config.webhooks[0].hook, 0, clock::now()).await.unwrap();
    let held = leaving.held.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    let values = leaving.rows.iter().flat_map(|row| &row.values).map(|value| value.value().to_owned());
    let values = values.collect();
    (leaving.rows.iter().map(|row| row.released.object().id().to_owned()).collect(), held, values)
}

#[tokio::test]
async fn an_indicator_of_which_no_list_can_be_asked_is_not_pushed() {
    let site = Site::exporting("[lists]\nallow = [\"own.be\"]\n").await;
    let or = |n, pattern: &str| {
        Put::pattern(n, &format!("[ipv4-addr:value = '45.155.205.1' OR {pattern}]"), &json!({}))
    };
    let strange = |n, more: Value| Put::pattern(n, "[domain-name:value = 'www.own.be']", &more);
    site.put(&[
        indicator(1),
        Put::pattern(2, "[process:command_line = 'evil']", &json!({})),
        Put::pattern(3, "[domain-name:value LIKE '%.own.be']", &json!({})),
        Put::pattern(4, "[domain-name:value = 'www.own.be'", &json!({})),
        or(5, "domain-name:value LIKE '%.own.be'"),
        or(6, "domain-name:value = 'www.own.be'"),
        // What is read leniently elsewhere.
        strange(7, json!({ "pattern_type": "STIX" })),
        strange(8, json!({ "indicator_types": [1] })),
        Put::pattern(9, "title: x", &json!({ "pattern_type": "sigma" })),
    ])
    .await;
    let (ids, held, _) = let_through(&site, "").await;
    assert_eq!(ids, [1, 2, 5, 6, 9].map(id));
    assert_eq!(held, [("unwritable", 4)]);
    let (ids, held, _) = let_through(&site, "action = \"block\"").await;
    assert_eq!(ids, [1, 9].map(id), "what blocks has to name all that it compares");
    assert_eq!(held, [("allow-list", 1), ("unwritable", 6)]);
}

#[tokio::test]
async fn a_fingerprint_is_asked_the_lists_for_and_told_as_no_files_hash() {
    let [own, evil] = ["ab", "cd"].map(|byte| byte.repeat(20));
    let site = Site::exporting(&format!("[lists]\nallow = [\"{own}\"]\n")).await;
    let of =
        |n, sha1: &str| Put::pattern(n, &format!("[x509-certificate:hashes.'SHA-1' = '{sha1}']"), &json!({}));
    site.put(&[of(1, &own), of(2, &evil)]).await;
    for more in ["", "action = \"block\""] {
        let (ids, held, values) = let_through(&site, more).await;
        assert_eq!((ids, held), (vec![id(2)], vec![("allow-list", 1)]), "{more}");
        assert_eq!(values, [""; 0], "{more}");
    }
}

#[tokio::test]
async fn a_rule_that_stops_traffic_is_pushed_only_as_what_blocks_may_be() {
    let site = Site::new().await;
    let rule = |n, action: &str, pap| {
        let text = format!("{action} tcp any any -> any any (msg:\"x\"; sid:{n};)");
        Put { pap, ..Put::pattern(n, &text, &json!({ "pattern_type": "suricata" })) }
    };
    let amber = i32::from(Pap::Amber);
    site.put(&[rule(1, "alert", amber), rule(2, "drop", amber), rule(3, "drop", i32::from(Pap::Green))])
        .await;
    let (ids, held, _) = let_through(&site, "").await;
    assert_eq!((ids, held), ([1, 3].map(id).to_vec(), vec![("pap", 1)]));
}
