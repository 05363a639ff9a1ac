//! Exports: what stands in each format, what never does, and that it leaves at once.

mod bearers;
mod below;
mod limited;
mod referred;
mod rules;
mod tokens;

use std::{collections::BTreeMap, time::Duration};

use axum::{body::Body, http::header};
use belfry_proto::{
    schema::Pap,
    stix::{indicator::expiry, marking::Tlp},
};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, CLOUD, OTHER},
    lookup::{opinion, sighting},
    site::{Answer, Put, Site, answer, get, nothing, only, recently},
};
use crate::{api::service::service, clock, query::Scope, store::Conditions};

/// A profile a line: name, format, and more.
fn profiles(profiles: &[(&str, &str, &str)]) -> String {
    let profile = |(name, format, more): &(&str, &str, &str)| {
        format!("[[exports]]\nname = \"{name}\"\nformat = \"{format}\"\n{more}\n")
    };
    profiles.iter().map(profile).collect()
}

fn domain(n: u32, name: &str) -> Put {
    Put::pattern(n, &format!("[domain-name:value = '{name}']"), &json!({}))
}

impl Site {
    async fn export(&self, token: &str, path: &str) -> Answer {
        self.get(token, &format!("/api/v1/exports/{path}")).await
    }

    async fn text(&self, token: &str, path: &str) -> String {
        let answer = self.export(token, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        String::from_utf8(answer.body).unwrap()
    }

    async fn held(&self, token: &str, name: &str) -> BTreeMap<String, u64> {
        let report = self.export(token, &format!("{name}/report")).await.ok();
        serde_json::from_value(report["held_back"].clone()).unwrap()
    }
}

const DOMAINS: &str = "types = [\"domain-name\"]";

#[tokio::test]
async fn a_list_is_sorted_unique_and_nothing_else_and_an_empty_one_is_the_truth() {
    let site = Site::exporting(&profiles(&[("fw", "list", DOMAINS), ("all", "list", "")])).await;
    let token = site.reader().await;
    assert_eq!(site.text(&token, "fw").await, "");
    site.put(&[domain(1, "b.be"), domain(2, "a.be"), domain(3, "A.be.").by(OTHER)]).await;
    assert_eq!(site.text(&token, "fw").await, "a.be\nb.be\n");
    assert_eq!(site.text(&token, "all/domain-name.txt").await, "a.be\nb.be\n");
    assert_eq!(site.text(&token, "all/ipv4-addr.txt").await, "");
    let several = site.export(&token, "all").await;
    assert_eq!((several.status.as_u16(), several.code().as_str()), (404, "which-file"));
    assert_eq!(site.export(&token, "all/../fw").await.status, 404);
}

#[tokio::test]
async fn two_spellings_of_a_url_are_one_line_in_its_place() {
    let site = Site::exporting(&profiles(&[("urls", "list", "types = [\"url\"]")])).await;
    let token = site.reader().await;
    let url = |n, path: &str| Put::pattern(n, &format!("[url:value = 'http://evil.be/{path}']"), &json!({}));
    site.put(&[url(1, "é"), url(2, "z"), url(3, "%C3%A9")]).await;
    assert_eq!(site.text(&token, "urls").await, "http://evil.be/%C3%A9\nhttp://evil.be/z\n");
    assert_eq!(site.text(&token, "urls?limit=1").await.lines().count(), 1);
}

#[tokio::test]
async fn a_url_without_its_scheme_leaves_as_what_it_is_read_as_and_its_object_as_it_was_written() {
    let site =
        Site::exporting(&profiles(&[("fw", "list", ""), ("zone", "rpz", ""), ("stix", "stix", "")])).await;
    let token = site.reader().await;
    let url = |n, text: &str| Put::pattern(n, &format!("[url:value = '{text}']"), &json!({}));
    site.put(&[url(1, "smallcloud.ga"), url(2, "evil.be/a"), url(3, "45.155.205.1"), url(4, "report.doc")])
        .await;
    for (kind, lines) in [
        ("domain-name", "smallcloud.ga\n"),
        ("url", "http://evil.be/a\n"),
        ("ipv4-addr", "45.155.205.1\n"),
        ("file-name", ""),
    ] {
        assert_eq!(site.text(&token, &format!("fw/{kind}.txt")).await, lines, "{kind}");
    }
    let zone = site.text(&token, "zone").await;
    assert!(zone.contains("\nsmallcloud.ga CNAME .\n") && !zone.contains("report.doc"), "{zone}");
    let bundle = site.text(&token, "stix").await;
    for text in ["smallcloud.ga", "evil.be/a", "45.155.205.1"] {
        assert!(bundle.contains(&format!("[url:value = '{text}']")), "{bundle}");
    }
}

#[tokio::test]
async fn an_unchanged_list_is_304_and_its_companion_is_its_md5() {
    let site = Site::exporting(&profiles(&[("fw", "list", DOMAINS)])).await;
    let token = site.reader().await;
    site.put(&[domain(1, "a.be")]).await;
    let first = site.export(&token, "fw").await;
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    assert_eq!(first.header("content-type"), Some("text/plain; charset=utf-8"));
    let again = |tag: String| {
        let request = get("/api/v1/exports/fw")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::IF_NONE_MATCH, tag);
        request.body(Body::empty()).unwrap()
    };
    let unchanged = site.send(again(tag.clone())).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    // What changes elsewhere changes nothing here.
    site.put(&[Put::pattern(2, "[ipv4-addr:value = '45.155.205.1']", &json!({}))]).await;
    assert_eq!(site.send(again(format!("W/{tag}, \"x\""))).await.status, 304);
    site.put(&[domain(3, "b.be")]).await;
    assert_eq!(site.send(again(tag)).await.status, 200);
    // md5 of "a.be\nb.be\n"
    assert_eq!(site.text(&token, "fw.md5").await.trim().len(), 32);
    let etag = site.export(&token, "fw").await.header("etag").unwrap().to_owned();
    assert_eq!(format!("\"{}\"", site.text(&token, "fw.md5").await.trim()), etag);
}

/// However large: neither its bytes nor a place to make it in is needed to say so.
#[tokio::test]
async fn an_unchanged_list_is_told_without_being_made() {
    let one_group = format!("groups = [\"cidr\"]\n{DOMAINS}");
    let site = Site::exporting(&profiles(&[("fw", "list", &one_group), ("table", "csv", &one_group)])).await;
    let token = site.reader().await;
    site.put(&[domain(1, "a.be")]).await;
    let ask = |path: &str, tag: &str| {
        let request = get(&format!("/api/v1/exports/{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::IF_NONE_MATCH, tag);
        request.body(Body::empty()).unwrap()
    };
    let first = site.export(&token, "fw").await;
    let tag = first.header("etag").unwrap().to_owned();
    {
        let _busy = site.app.exports.without_room();
        // What is written to other groups, or is no object, changes nothing.
        site.put(&[Put { group: CLOUD, ..domain(2, "b.be") }]).await;
        site.token("another", Scope { read: only(&[CIDR]), ..nothing() }).await;
        for path in ["fw", "fw/domain-name.txt"] {
            let unchanged = site.send(ask(path, &tag)).await;
            assert_eq!(
                (unchanged.status.as_u16(), unchanged.header("etag")),
                (304, Some(tag.as_str())),
                "{path}"
            );
            assert_eq!(unchanged.header("x-belfry-entries"), Some("1"));
        }
        assert_eq!(site.text(&token, "fw.md5").await.trim(), tag.trim_matches('"'));
    }
    site.put(&[domain(3, "c.be")]).await;
    let changed = site.send(ask("fw", &tag)).await;
    assert_eq!((changed.status.as_u16(), changed.body.as_slice()), (200, b"a.be\nc.be\n".as_slice()));
}

/// A tool that gives up while its list is made finds it made at its next try.
#[tokio::test]
async fn a_list_is_made_once_for_all_who_ask_and_to_its_end_when_they_have_gone() {
    let site = Site::exporting(&profiles(&[("fw", "list", DOMAINS)])).await;
    let token = site.reader().await;
    site.put(&[domain(1, "a.be")]).await;
    let exports = &site.app.exports;
    let others = exports.without_turns().unwrap();
    let asked: Vec<_> = (0..3)
        .map(|_| {
            let request = get("/api/v1/exports/fw").header(header::AUTHORIZATION, format!("Bearer {token}"));
            tokio::spawn(answer(service(&site.app), request.body(Body::empty()).unwrap()))
        })
        .collect();
    let until = async |count: usize| {
        let reached = async {
            while exports.under_way() != count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
    };
    until(1).await;
    for asked in asked {
        asked.abort();
        assert!(asked.await.is_err(), "it has gone");
    }
    drop(others);
    until(0).await;
    let _others = exports.without_turns().unwrap();
    let found = site.export(&token, "fw").await;
    assert_eq!((found.header("content-length"), found.body.as_slice()), (Some("5"), b"a.be\n".as_slice()));
}

#[tokio::test]
async fn an_export_is_whole_for_its_token_or_not_there() {
    let site = Site::exporting(&profiles(&[
        ("both", "list", "groups = [\"cidr\", \"cloud-security\"]\ntypes = [\"domain-name\"]"),
        ("any", "list", DOMAINS),
    ]))
    .await;
    site.put(&[
        domain(1, "a.be"),
        Put { group: CLOUD, ..domain(2, "b.be") },
        domain(3, "c.be").tlp(Tlp::Green),
    ])
    .await;
    let one = site.token("one", Scope { read: only(&[CIDR]), ..nothing() }).await;
    let green = site.token("green", Scope { read: only(&[CIDR]), ceiling: Tlp::Green, ..nothing() }).await;
    let both = site.reader().await;
    assert_eq!(site.export(&one, "both").await.status, 404);
    assert_eq!(site.export(&one, "none").await.code(), "unknown-export");
    assert_eq!(site.text(&one, "any").await, "a.be\nc.be\n");
    assert_eq!(site.text(&green, "any").await, "c.be\n");
    assert_eq!(site.text(&both, "both").await, "a.be\nb.be\nc.be\n");
    let listed = site.get(&one, "/api/v1/exports").await.ok();
    let names: Vec<&Value> = listed["exports"].as_array().unwrap().iter().map(|e| &e["name"]).collect();
    assert_eq!(names, [&json!("any")]);
    let publisher = site.token("publisher", Scope { publish: only(&[CIDR]), ..nothing() }).await;
    assert_eq!(site.export(&publisher, "any").await.status, 403);
}

#[tokio::test]
async fn each_way_out_lets_through_what_the_table_says() {
    let site = Site::exporting(&profiles(&[
        ("block", "list", DOMAINS),
        ("detect", "zeek", DOMAINS),
        ("outside", "csv", "types = [\"domain-name\"]\naudience = \"outside\""),
        ("clients", "csv", "types = [\"domain-name\"]\naudience = \"outside\"\nmax_tlp = \"amber\""),
        ("strict", "list", "types = [\"domain-name\"]\nunstated_pap = \"amber\""),
    ]))
    .await;
    let token = site.token("all", Scope { red: true, ..Scope::operator() }).await;
    let pap = |put: Put, pap: Pap| Put { pap: pap.into(), ..put };
    let terms = |put: Put, term: &str| Put {
        conditions: Conditions { terms: vec![term.to_owned()], ..Conditions::default() },
        ..put
    };
    let embargo = Conditions { embargo_until: u64::MAX / 2, ..Conditions::default() };
    site.put(&[
        Put { recipients: true, ..domain(1, "red.be").tlp(Tlp::Red) },
        domain(2, "strict.be").tlp(Tlp::AmberStrict),
        domain(3, "amber.be").tlp(Tlp::Amber),
        domain(4, "green.be").tlp(Tlp::Green),
        pap(domain(5, "pap-red.be").tlp(Tlp::Green), Pap::Red),
        pap(domain(6, "pap-green.be").tlp(Tlp::Green), Pap::Green),
        Put { conditions: embargo, ..domain(7, "embargo.be").tlp(Tlp::Green) },
        terms(domain(8, "no-action.be").tlp(Tlp::Green), "permitted-actions=none"),
        terms(domain(9, "inside.be").tlp(Tlp::Green), "permitted-actions=internally-visible-actions"),
    ])
    .await;
    let names = ["red", "strict", "amber", "green", "pap-red", "pap-green", "embargo", "no-action", "inside"];
    for (export, expected) in [
        ("block", vec!["strict", "amber", "green", "pap-green", "embargo"]),
        ("detect", vec!["strict", "amber", "green", "pap-red", "pap-green", "embargo", "inside"]),
        ("outside", vec!["green", "pap-red", "pap-green"]),
        ("clients", vec!["amber", "green", "pap-red", "pap-green"]),
        ("strict", vec!["pap-green"]),
    ] {
        let text = site.text(&token, export).await;
        let held: u64 = site.held(&token, export).await.values().sum();
        let found: Vec<&str> = names
            .into_iter()
            .filter(|name| {
                text.lines().any(|line| line.split(['\t', ',']).any(|cell| cell == format!("{name}.be")))
            })
            .collect();
        assert_eq!(found, expected, "{export}:\n{text}");
        assert_eq!(usize::try_from(held).unwrap(), names.len() - expected.len(), "{export}");
    }
    let held = site.held(&token, "block").await;
    assert_eq!(held, BTreeMap::from([("red".into(), 1), ("pap".into(), 1), ("terms".into(), 2)]));
}

#[tokio::test]
async fn what_ends_is_gone_at_the_next_read() {
    let site = Site::exporting(&profiles(&[("fw", "list", DOMAINS), ("see", "zeek", DOMAINS)])).await;
    let token = site.reader().await;
    let soon = crate::clock::now().saturating_add(std::time::Duration::from_secs(10)).to_string();
    let brief = Put::pattern(4, "[domain-name:value = 'brief.be']", &json!({ "valid_until": soon }));
    site.put(&[domain(1, "taken-back.be"), domain(2, "changed.be"), domain(3, "doubted.be"), brief]).await;
    let found = site.text(&token, "fw").await;
    assert_eq!(found, "brief.be\nchanged.be\ndoubted.be\ntaken-back.be\n");
    let newer = |more: Value| {
        let mut all = json!({ "modified": "2026-02-01T00:00:00.000Z" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    site.put(&[Put::pattern(1, "[domain-name:value = 'taken-back.be']", &newer(json!({ "revoked": true })))])
        .await;
    assert!(!site.text(&token, "fw").await.contains("taken-back"));
    site.put(&[Put::pattern(2, "[domain-name:value = 'other.be']", &newer(json!({})))]).await;
    let found = site.text(&token, "fw").await;
    assert!(found.contains("other.be") && !found.contains("changed.be"), "{found}");
    let doubted = domain(3, "doubted.be");
    site.put(&[opinion(1, &doubted.id, "strongly-disagree").by(OTHER)]).await;
    assert!(!site.text(&token, "fw").await.contains("doubted"));
    assert_eq!(site.held(&token, "fw").await.get("contested"), Some(&1));
    // To look for, it stays, at half its score.
    assert!(site.text(&token, "see").await.contains("doubted"));
    let deadline = crate::clock::now().saturating_add(std::time::Duration::from_secs(60));
    while site.text(&token, "fw").await.contains("brief") {
        assert!(crate::clock::now() < deadline, "it is past {soon}");
        // Below the rate that a token may ask at.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(site.held(&token, "fw").await.get("expired"), Some(&1));
}

#[tokio::test]
async fn allowed_and_warned_values_stay_out_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let list =
        json!({ "name": "Top", "type": "string", "version": 1, "description": "", "list": ["popular.be"] });
    std::fs::write(folder.path().join("top.json"), list.to_string()).unwrap();
    let lists = format!("[lists]\nallow = [\"own.be\"]\nfolder = {:?}\n", folder.path());
    let more = "types = [\"domain-name\", \"ipv4-addr\"]";
    let site = Site::exporting(
        &(lists + &profiles(&[("fw", "list", more), ("see", "zeek", &format!("{more}\nwarned = true"))])),
    )
    .await;
    let token = site.reader().await;
    site.put(&[
        domain(1, "www.own.be"),
        domain(2, "popular.be"),
        Put::pattern(3, "[ipv4-addr:value = '8.8.8.8' OR ipv4-addr:value = '45.155.205.1']", &json!({})),
    ])
    .await;
    assert_eq!(site.text(&token, "fw/domain-name.txt").await, "");
    assert_eq!(site.text(&token, "fw/ipv4-addr.txt").await, "45.155.205.1\n");
    let held = site.held(&token, "fw").await;
    assert_eq!(held, BTreeMap::from([("allow-list".into(), 1), ("warning-list".into(), 2)]));
    let seen = site.text(&token, "see").await;
    assert!(seen.contains("popular.be") && seen.contains("8.8.8.8") && !seen.contains("own.be"), "{seen}");
}

#[tokio::test]
async fn nothing_is_blocked_by_half_a_pattern_or_a_low_score() {
    let site = Site::exporting(&profiles(&[
        ("fw", "list", "types = [\"domain-name\"]\nminimum_score = 60"),
        ("hashes", "list", "types = [\"md5\"]"),
        ("see", "zeek", ""),
    ]))
    .await;
    let token = site.reader().await;
    let md5 = "d41d8cd98f00b204e9800998ecf8427f";
    site.put(&[
        Put::pattern(
            1,
            "[network-traffic:dst_ref.value = 'joined.be' AND network-traffic:dst_port = 443]",
            &json!({}),
        ),
        Put::pattern(2, &format!("[file:name = 'a.exe' AND file:hashes.MD5 = '{md5}']"), &json!({})),
        Put::pattern(3, "[domain-name:value = 'unsure.be']", &json!({ "confidence": 40 })),
        Put::pattern(4, "[domain-name:value = 'fine.be']", &json!({ "indicator_types": ["benign"] })),
        Put::pattern(5, "[domain-name:value = 'sure.be']", &json!({})),
    ])
    .await;
    assert_eq!(site.text(&token, "fw").await, "sure.be\n");
    assert_eq!(site.text(&token, "hashes").await, format!("{md5}\n"));
    let held = site.held(&token, "fw").await;
    assert_eq!(held, BTreeMap::from([("joined".into(), 1), ("score".into(), 1), ("benign".into(), 1)]));
    assert!(site.text(&token, "see").await.contains("joined.be\tIntel::DOMAIN"));
}

#[tokio::test]
async fn an_operator_is_told_of_a_list_that_changes_much_at_once() {
    let site = Site::exporting(&profiles(&[("fw", "list", DOMAINS)])).await;
    let [token, operator] = [site.reader().await, site.token("operator", Scope::operator()).await];
    let told = async |token: &str| site.get(token, "/api/v1/status").await.ok()["warnings"].to_string();
    site.put(&[domain(1, "a.be")]).await;
    site.text(&token, "fw").await;
    site.put(&[domain(2, "b.be")]).await;
    site.text(&token, "fw").await;
    assert!(!told(&operator).await.contains("export fw"));
    let many: Vec<Put> = (3..203).map(|n| domain(n, &format!("c{n}.be"))).collect();
    site.message(CIDR, many[0].member, &many).await;
    site.text(&token, "fw").await;
    assert!(told(&operator).await.contains("The export fw is more than twice as long"));
    assert!(!told(&token).await.contains("export fw"), "it is the operator's");
}

#[tokio::test]
async fn a_shadow_serves_nothing_and_tells_all() {
    let site = Site::exporting(&profiles(&[("fw", "list", &format!("{DOMAINS}\nshadow = true"))])).await;
    let token = site.reader().await;
    site.put(&[domain(1, "a.be")]).await;
    assert_eq!(site.text(&token, "fw").await, "");
    let report = site.export(&token, "fw/report").await.ok();
    assert_eq!((&report["entries"], &report["values"][0]["value"]), (&json!(1), &json!("a.be")));
}

#[tokio::test]
async fn foreign_text_steers_no_format() {
    let every = ["list", "csv", "splunk-es", "suricata", "zeek", "rpz", "stix", "misp"];
    let profiles_of: Vec<(&str, &str, &str)> = every.iter().map(|format| (*format, *format, "")).collect();
    let site = Site::exporting(&profiles(&profiles_of)).await;
    let token = site.reader().await;
    let hostile = json!({ "name": "=cmd|'/C calc'!A0\u{202e}\r\n#fields\talert tcp" });
    site.put(&[
        Put::pattern(
            1,
            "[url:value = 'http://evil.be/\"; sid:1;)\nalert tcp any any -> any any (']",
            &hostile,
        ),
        Put::pattern(2, "[file:name = '=HYPERLINK(1)']", &hostile),
        Put::pattern(3, "[file:name = '8.8.8.8\n9.9.9.9']", &hostile),
        Put::pattern(4, "[domain-name:value = 'evil.be']", &hostile),
        Put::pattern(5, "[file:name = '\u{202e}gpj.exe']", &hostile),
    ])
    .await;
    for format in every {
        let report = site.export(&token, &format!("{format}/report")).await.ok();
        for file in report["files"].as_array().unwrap() {
            let name = file["name"].as_str().unwrap();
            let text = site.text(&token, &format!("{format}/{name}")).await;
            for line in text.lines() {
                let is_json = name.ends_with(".json");
                assert!(is_json || !line.contains('\u{202e}'), "{format}/{name}: {line:?}");
                assert_ne!(line, "9.9.9.9", "{format}/{name}");
                assert!(!line.starts_with("alert tcp any any"), "{format}/{name}: {line:?}");
                if name.ends_with(".csv") && format != "misp" {
                    let mut reader =
                        csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
                    let cells = reader.records().next().unwrap().unwrap();
                    assert!(
                        cells.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])),
                        "{name}: {line:?}"
                    );
                }
            }
        }
    }
    assert_eq!(site.held(&token, "list").await.get("unwritable"), Some(&2));
}

#[tokio::test]
async fn every_format_has_its_values_in_its_words() {
    let site = Site::exporting(&profiles(&[
        ("csv", "csv", ""),
        ("splunk", "splunk-es", ""),
        ("suricata", "suricata", "action = \"block\""),
        ("zeek", "zeek", ""),
        ("rpz", "rpz", ""),
        ("stix", "stix", ""),
        ("misp", "misp", ""),
        ("rules", "rules", ""),
    ]))
    .await;
    let token = site.reader().await;
    let sha = "ab".repeat(32);
    let yara = json!({ "pattern_type": "yara", "pattern": "rule a { condition: true }" });
    site.put(&[
        domain(1, "evil.be"),
        Put::pattern(
            2,
            "[ipv4-addr:value = '45.155.205.1' OR ipv4-addr:value ISSUBSET '45.155.206.0/24']",
            &json!({}),
        ),
        Put::pattern(3, "[ipv6-addr:value = '2a02:1::7']", &json!({})),
        Put::pattern(4, "[url:value = 'http://evil.be/a?b=c']", &json!({})),
        Put::pattern(5, &format!("[file:hashes.'SHA-256' = '{sha}']"), &json!({})),
        Put::pattern(6, "[email-message:from_ref.value = 'x@evil.be']", &json!({})),
        Put::pattern(7, "", &yara),
    ])
    .await;
    let csv = site.text(&token, "csv").await;
    assert_eq!(csv.lines().count(), 8, "{csv}");
    assert!(csv.contains("domain-name,evil.be,"), "{csv}");
    let ip = site.text(&token, "splunk/ip_intel.csv").await;
    assert!(ip.starts_with("description,ip,weight\r\n") && ip.contains(",2a02:1::7,"), "{ip}");
    assert!(site.text(&token, "splunk/file_intel.csv").await.contains(&format!(",{sha},,")));
    let rpz = site.text(&token, "rpz").await;
    for line in [
        "evil.be CNAME .",
        "*.evil.be CNAME .",
        "32.1.205.155.45.rpz-ip CNAME .",
        "24.0.206.155.45.rpz-ip CNAME .",
        "128.7.zz.1.2a02.rpz-ip CNAME .",
    ] {
        assert!(rpz.lines().any(|found| found == line), "{line}\n{rpz}");
    }
    let zeek = site.text(&token, "zeek").await;
    for row in [
        "evil.be\tIntel::DOMAIN",
        "45.155.206.0/24\tIntel::SUBNET",
        "evil.be/a?b=c\tIntel::URL",
        "x@evil.be\tIntel::EMAIL",
    ] {
        assert!(zeek.contains(row), "{row}\n{zeek}");
    }
    let rules = site.text(&token, "suricata").await;
    // Datasets know one spelling, and resolvers ask in any.
    for buffer in ["dns.query; to_lowercase; ", "tls.sni; to_lowercase; ", "http.host; "] {
        let options = format!("{buffer}dataset:isset,suricata-domain,type string,load suricata-domain.lst");
        assert!(rules.contains(&options), "{options}\n{rules}");
    }
    assert!(rules.lines().skip(1).all(|rule| rule.starts_with("drop ")), "{rules}");
    assert_eq!(site.text(&token, "suricata/suricata-domain.lst").await, "ZXZpbC5iZQ==\n");
    let bundle: Value = serde_json::from_str(&site.text(&token, "stix").await).unwrap();
    assert_eq!(bundle["objects"].as_array().unwrap().len(), 1 + 6);
    let manifest: Value = serde_json::from_str(&site.text(&token, "misp").await).unwrap();
    let (uuid, about) = manifest.as_object().unwrap().iter().next().unwrap();
    assert_eq!(about["Orgc"]["name"], "Member 1");
    let event: Value = serde_json::from_str(&site.text(&token, &format!("misp/{uuid}.json")).await).unwrap();
    assert_eq!(event["Event"]["Attribute"].as_array().unwrap().len(), 7);
    assert_eq!(site.text(&token, "misp/hashes.csv").await.lines().count(), 7);
    let index: Value = serde_json::from_str(&site.text(&token, "rules").await).unwrap();
    let file = index["rules"][0]["file"].as_str().unwrap();
    assert_eq!(site.text(&token, &format!("rules/{file}")).await, "rule a { condition: true }\n");
    let answer = site.get(&token, "/api/v1/exports/rules").await;
    assert_eq!(answer.headers["x-belfry-entries"], "1");
}

#[tokio::test]
async fn a_zones_serial_moves_with_its_content_only() {
    let site = Site::exporting(&profiles(&[("rpz", "rpz", "")])).await;
    let token = site.reader().await;
    site.put(&[domain(1, "evil.be")]).await;
    let serial = |zone: &str| -> u32 {
        zone.lines().find(|line| line.contains("SOA")).unwrap().split(' ').nth(5).unwrap().parse().unwrap()
    };
    let first = site.text(&token, "rpz").await;
    site.put(&[Put::indicator(2)]).await;
    assert_eq!(site.text(&token, "rpz").await, first);
    site.put(&[domain(3, "worse.be")]).await;
    assert!(serial(&site.text(&token, "rpz").await) > serial(&first));
}

#[tokio::test]
async fn counts_and_times_tell_of_nothing_that_may_not_leave() {
    let outside = "types = [\"domain-name\"]\naudience = \"outside\"";
    let site = Site::exporting(&profiles(&[("inside", "csv", DOMAINS), ("outside", "csv", outside)])).await;
    let token = site.reader().await;
    let one = domain(1, "evil.be").tlp(Tlp::Green);
    site.put(std::slice::from_ref(&one)).await;
    let before = [site.text(&token, "inside").await, site.text(&token, "outside").await];
    assert!(before[1].contains("evil.be"), "{before:?}");
    site.put(&[sighting(1, &one.id, 3).by(OTHER).tlp(Tlp::AmberStrict)]).await;
    assert_eq!(site.text(&token, "outside").await, before[1]);
    assert_ne!(site.text(&token, "inside").await, before[0]);
}

/// Nothing is written when an embargo ends, so the list itself has to know.
#[tokio::test]
async fn a_list_holds_no_longer_than_the_embargo_on_what_is_said_of_its_values() {
    let outside = "types = [\"domain-name\"]\naudience = \"outside\"";
    let site = Site::exporting(&profiles(&[("outside", "list", outside), ("inside", "list", DOMAINS)])).await;
    let token = site.reader().await;
    let one = domain(1, "evil.be").tlp(Tlp::Green);
    site.put(std::slice::from_ref(&one)).await;
    let ends = crate::clock::now().saturating_add(std::time::Duration::from_secs(3600));
    let conditions = Conditions { embargo_until: ends.as_micros(), ..Conditions::default() };
    for said in [opinion(1, &one.id, "strongly-disagree"), sighting(1, &one.id, 3)] {
        site.put(&[Put { conditions: conditions.clone(), ..said.by(OTHER).tlp(Tlp::Green) }]).await;
        let principal = site.query.tokens().verify(&token, crate::clock::now()).unwrap();
        let made = site.query.export(&principal, "outside").await.unwrap();
        assert_eq!((made.entries.len(), made.changes), (1, ends));
        let inside = site.query.export(&principal, "inside").await.unwrap();
        assert!(inside.changes > ends, "an embargo binds no one inside");
    }
}

#[tokio::test]
async fn an_author_who_must_not_be_named_is_not() {
    let site =
        Site::exporting(&profiles(&[("csv", "csv", ""), ("misp", "misp", ""), ("stix", "stix", "")])).await;
    let token = site.reader().await;
    let terms = Conditions { terms: vec!["attribution=must-not".to_owned()], ..Conditions::default() };
    let creator = "identity--f431f809-377b-45e0-aa1c-6a4751cae5ff";
    let by = json!({ "created_by_ref": creator });
    let hushed = Put::pattern(1, "[domain-name:value = 'hushed.be']", &by);
    site.put(&[Put { conditions: terms.clone(), ..hushed.clone() }]).await;
    for name in ["csv", "misp", "stix"] {
        let text = site.text(&token, name).await;
        assert!(!text.contains("Member 1") && !text.contains(creator), "{name}: {text}");
    }
    assert!(site.text(&token, "stix").await.contains("hushed.be"));
    // Another says the same, and only that one may be named; or the other way round.
    site.put(&[hushed.by(OTHER)]).await;
    let text = site.text(&token, "csv").await;
    assert!(text.contains("Member 2") && !text.contains("Member 1"), "{text}");
    let open = Put::pattern(3, "[domain-name:value = 'open.be']", &by);
    site.put(&[open.clone(), Put { conditions: terms, ..open.by(OTHER) }]).await;
    let text = site.text(&token, "csv").await;
    let line = text.lines().find(|line| line.contains("open.be")).unwrap();
    assert!(line.contains("Member 1") && !line.contains("Member 2"), "{line}");
    assert!(!site.text(&token, "stix").await.contains(creator), "one of those who say these bytes minds");
    let named = Put::pattern(4, "[domain-name:value = 'named.be']", &by);
    site.put(&[named.clone(), named.by(OTHER)]).await;
    assert!(site.text(&token, "stix").await.contains(creator), "who does not mind keeps its name");
    site.put(&[Put::pattern(2, "[domain-name:value = 'told.be']", &json!({ "valid_from": recently() }))])
        .await;
    assert!(site.text(&token, "csv").await.contains("Member 1"));
}

#[tokio::test]
async fn what_this_member_says_is_over_leaves_its_lists() {
    let site = Site::exporting(&profiles(&[("fw", "list", DOMAINS)])).await;
    let token = site.reader().await;
    site.put(&[domain(1, "a.be").by(OTHER), domain(2, "b.be").by(OTHER)]).await;
    assert_eq!(site.text(&token, "fw").await, "a.be\nb.be\n");
    let over = |n: u32, on: u32| {
        let mut put = opinion(n, &domain(on, "x").id, "neutral");
        let said = expiry(clock::now());
        put.json.as_mut().unwrap().as_object_mut().unwrap().extend(said.as_object().cloned().unwrap());
        put
    };
    site.put(&[over(11, 1), over(12, 2).by(OTHER)]).await;
    assert_eq!(site.text(&token, "fw").await, "b.be\n");
    assert_eq!(site.held(&token, "fw").await["expired"], 1);
}
