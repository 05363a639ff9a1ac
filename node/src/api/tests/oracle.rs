//! Any response is a part of what the token may see, said once more and independently (threats, row 7).
//!
//! One store holds every combination of group, marking and audience; random scopes ask every way out.
//! Nothing outside the oracle may come out of any, and what the oracle allows comes out of those that
//! list everything. Red if one endpoint forgets the check.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{id::GroupId, stix::marking::Tlp};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, CLOUD, GROUPS, HOSPITALS, OTHER, OWN},
    site::{Put, Site, id_of, post},
};
use crate::query::{Groups, Interest, Scope, lookup::Wanted};

/// The rule in the words of the design: group, then ceiling; RED by its own permission and by name only.
fn may_see(scope: &Scope, put: &Put) -> bool {
    let reads = match &scope.read {
        Groups::All => true,
        Groups::Only(groups) => groups.contains(&put.group),
    };
    let order = ["clear", "green", "amber", "amber+strict"];
    let rank = |tlp: Tlp| order.iter().position(|name| *name == tlp.as_str());
    reads
        && match rank(put.tlp) {
            Some(level) => level <= rank(scope.ceiling).unwrap(),
            None => scope.red && put.recipients,
        }
}

/// Every combination, and one object whose versions differ in marking.
fn stage() -> Vec<Put> {
    let mut puts = Vec::new();
    for group in [CIDR, CLOUD, HOSPITALS] {
        for tlp in Tlp::ALL {
            for recipients in [false, true] {
                for member in [OWN, OTHER] {
                    let n = u32::try_from(puts.len()).unwrap() + 1;
                    puts.push(Put { group, tlp, recipients, member, ..Put::indicator(n) });
                }
            }
        }
        for (version, tlp) in [
            ("2026-02-01T00:00:00Z", Tlp::Clear),
            ("2026-03-01T00:00:00Z", Tlp::Red),
            ("2026-01-01T00:00:00Z", Tlp::Amber),
        ] {
            puts.push(Put {
                group,
                tlp,
                recipients: true,
                ..Put::indicator(9_000 + group.get()).version(version)
            });
        }
    }
    puts.into_iter().enumerate().map(|(n, put)| naming(n, put)).collect()
}

/// The same object, with an address of its own and one that all name.
fn naming(n: usize, put: Put) -> Put {
    let pattern = format!("[ipv4-addr:value = '45.155.1.{n}' OR ipv4-addr:value = '45.155.2.1']");
    let named = Put::pattern(0, &pattern, &json!({ "id": put.id, "modified": put.version }));
    Put { json: named.json, ..put }
}

/// What leads to tools, all of it as lax as the configuration lets it be.
const EXPORTS: &str = "[[exports]]\nname = \"bundle\"\nformat = \"stix\"\nminimum_score = 0\nunstated_pap = \"clear\"\n\
    [[exports]]\nname = \"table\"\nformat = \"csv\"\nminimum_score = 0\n\
    [[exports]]\nname = \"list\"\nformat = \"list\"\naction = \"detect\"\nminimum_score = 0\n\
    [[exports]]\nname = \"misp\"\nformat = \"misp\"\nminimum_score = 0\n";

fn scopes() -> impl Strategy<Value = Scope> {
    let groups = || {
        prop_oneof![
            1 => Just(Groups::All),
            4 => proptest::collection::btree_set(proptest::sample::select(vec![CIDR, CLOUD, HOSPITALS]), 0..3)
                .prop_map(Groups::Only),
        ]
    };
    (groups(), groups(), any::<bool>(), 0..4usize, any::<bool>()).prop_map(
        |(read, publish, admin, level, red)| {
            let ceiling = if red { Tlp::AmberStrict } else { Tlp::ALL[level] };
            // A token grants something, or it is not made.
            let admin = admin || read.is_empty();
            Scope { read, publish, draft: Groups::NONE, admin, ceiling, red, expires: None }
        },
    )
}

/// (group's slug, id, version) of everything that came out of one way.
type Seen = BTreeSet<(String, String, String)>;

/// Asks every way out. The names tell which way leaked.
async fn everything(site: &Site, token: &str, puts: &[Put]) -> BTreeMap<&'static str, Seen> {
    let mut seen: BTreeMap<&'static str, Seen> = BTreeMap::new();
    let listed = |json: &Value| json["objects"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for (_, slug) in GROUPS {
        let base = format!("/taxii2/root/collections/{slug}");
        let mut note = |way: &'static str, id: String, version: String| {
            if !id.starts_with("marking-definition--") {
                seen.entry(way).or_default().insert((slug.to_owned(), id, version));
            }
        };
        for (way, path) in [
            ("objects", format!("{base}/objects/?match[version]=all")),
            ("objects last", format!("{base}/objects/")),
            ("objects first", format!("{base}/objects/?match[version]=first&match[type]=indicator,malware")),
        ] {
            for object in listed(&site.get(token, &path).await.json()) {
                note(way, text(&object["id"]), text(&object["modified"]));
            }
        }
        let mut next = String::new();
        loop {
            let page =
                site.get(token, &format!("{base}/manifest/?match[version]=all&limit=7{next}")).await.json();
            for row in listed(&page) {
                note("manifest", text(&row["id"]), text(&row["version"]));
            }
            match page["next"].as_str() {
                Some(cursor) => next = format!("&next={cursor}"),
                None => break,
            }
        }
        let rest = site.get(token, &format!("/api/v1/objects?group={slug}&version=all")).await.json();
        for row in listed(&rest) {
            note("rest", text(&row["id"]), text(&row["version"]));
        }
        let ids: BTreeSet<&String> = puts.iter().map(|put| &put.id).collect();
        for id in ids {
            let one = site.get(token, &format!("{base}/objects/{id}/?match[version]=all")).await.json();
            for object in listed(&one) {
                note("object", text(&object["id"]), text(&object["modified"]));
            }
            let versions = site.get(token, &format!("{base}/objects/{id}/versions/")).await.json();
            for version in versions["versions"].as_array().cloned().unwrap_or_default() {
                note("versions", id.clone(), text(&version));
            }
        }
    }
    let ids: BTreeSet<&String> = puts.iter().map(|put| &put.id).collect();
    for id in ids {
        for row in listed(&site.get(token, &format!("/api/v1/objects/{id}")).await.json()) {
            let group = text(&row["group"]);
            seen.entry("rest object").or_default().insert((group, text(&row["id"]), text(&row["version"])));
        }
    }
    looked_up(site, token, puts, &mut seen).await;
    let bundle = site.get(token, "/api/v1/exports/bundle").await.json();
    for object in listed(&bundle) {
        let (id, version) = (text(&object["id"]), text(&object["modified"]));
        let mut holding = puts.iter().filter(|put| put.id == id && put.version == version);
        if let Some(put) = holding.next() {
            let slug = GROUPS.iter().find(|(group, _)| *group == put.group).unwrap().1;
            seen.entry("export").or_default().insert((slug.to_owned(), id, version));
        }
    }
    // A report counts and names, too.
    let report = site.get(token, "/api/v1/exports/table/report").await.json();
    for value in report["values"].as_array().into_iter().flatten() {
        for id in value["indicators"].as_array().into_iter().flatten() {
            note_any(puts, &text(id), seen.entry("report").or_default());
        }
    }
    // Values alone: each object names one of its own.
    let list = site.get(token, "/api/v1/exports/list/ipv4-addr.txt").await;
    let lines = String::from_utf8_lossy(&list.body).into_owned();
    let searched = site.send(post(token, "/attributes/restSearch", "application/json", "{}")).await.json();
    let attributes = searched["response"]["Attribute"].as_array().cloned().unwrap_or_default();
    let searched: Vec<String> = attributes.iter().map(|attribute| text(&attribute["value"])).collect();
    for (way, values) in [("list", lines.lines().map(str::to_owned).collect()), ("misp search", searched)] {
        let own = values.iter().filter_map(|value| value.strip_prefix("45.155.1.")?.parse::<usize>().ok());
        for put in own.filter_map(|n| puts.get(n)) {
            note_any(puts, &put.id, seen.entry(way).or_default());
        }
    }
    let mut after = 0;
    let principal = site.query.tokens().verify(token, crate::clock::now()).unwrap();
    loop {
        let events = site.query.events(&principal, &Interest::default(), after).await.unwrap();
        for (_, row) in &events.rows {
            let name = (site.query.slug(row.group()), row.id().to_owned(), row.version());
            seen.entry("events").or_default().insert(name);
        }
        after = events.position;
        if !events.more {
            break;
        }
    }
    // Whether something can be sighted tells that it is there.
    for n in 0..puts.len() {
        let wanted = Wanted { text: format!("45.155.1.{n}"), kind: None };
        let groups = site.query.all_readable(&principal);
        for found in site.query.sightable(&principal, groups, wanted, false).await.unwrap() {
            note_any(puts, &found.id, seen.entry("sightable").or_default());
        }
    }
    for put in puts {
        let groups = site.query.all_readable(&principal);
        for found in site.query.proposable(&principal, groups, put.id.clone()).await.unwrap() {
            let name = (site.query.slug(found.group()), found.id().to_owned(), found.version());
            seen.entry("proposable").or_default().insert(name);
        }
    }
    seen
}

/// Everything lookup says of the addresses that the objects name, and of the range around them all.
async fn looked_up(site: &Site, token: &str, puts: &[Put], seen: &mut BTreeMap<&'static str, Seen>) {
    let values: Vec<String> = (0..puts.len()).map(|n| format!("45.155.1.{n}")).collect();
    for (way, question) in [
        ("lookup", json!({ "values": values })),
        ("lookup of one", json!({ "values": ["45.155.2.1"] })),
        ("lookup around", json!({ "values": ["45.155.1.0/24"], "around": true })),
    ] {
        let answer = site.send(post(token, "/api/v1/lookup", "application/json", question.to_string())).await;
        for found in answer.json()["results"].as_array().into_iter().flatten() {
            for object in found["objects"].as_array().unwrap() {
                let text = |name: &str| object[name].as_str().unwrap().to_owned();
                seen.entry(way).or_default().insert((text("group"), text("id"), text("version")));
            }
        }
    }
}

/// Notes an object of which only the id came out: any version of it will do.
fn note_any(puts: &[Put], id: &str, seen: &mut Seen) {
    for put in puts.iter().filter(|put| put.id == id && !id.contains("-00000000232")) {
        let slug = GROUPS.iter().find(|(group, _)| *group == put.group).unwrap().1;
        seen.insert((slug.to_owned(), put.id.clone(), put.version.clone()));
    }
}

#[test]
fn any_response_is_within_what_the_token_may_see() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let puts = stage();
    let site = runtime.block_on(async {
        let site = Site::exporting(EXPORTS).await;
        site.put(&puts).await;
        site
    });
    let name = |put: &Put| {
        let slug = GROUPS.iter().find(|(group, _)| *group == put.group).unwrap().1;
        (slug.to_owned(), put.id.clone(), put.version.clone())
    };
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&scopes(), |scope| {
            let oracle: Seen = puts.iter().filter(|put| may_see(&scope, put)).map(name).collect();
            let seen = runtime.block_on(async {
                let token = site.token("asked", scope.clone()).await;
                let seen = everything(&site, &token, &puts).await;
                site.query.tokens().revoke(id_of(&token)).await.unwrap();
                seen
            });
            for (way, found) in &seen {
                let leaked: Vec<_> = found.difference(&oracle).collect();
                prop_assert!(leaked.is_empty(), "{way} shows {leaked:?} to {scope:?}");
            }
            for way in ["objects", "manifest", "rest", "object", "versions", "rest object", "events"] {
                let found = seen.get(way).cloned().unwrap_or_default();
                let kept: Vec<_> = oracle.difference(&found).collect();
                prop_assert!(kept.is_empty(), "{way} keeps back {kept:?} from {scope:?}");
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_oracle_sees_a_leak() {
    let green = Scope { ceiling: Tlp::Green, ..Scope::reads([CIDR]) };
    let amber = Put { tlp: Tlp::Amber, ..Put::indicator(1) };
    assert!(!may_see(&green, &amber));
    assert!(may_see(&green, &Put { tlp: Tlp::Clear, ..amber.clone() }));
    assert!(!may_see(&green, &Put { group: CLOUD, tlp: Tlp::Clear, ..amber }));
    assert_eq!(GroupId::new(5), CIDR);
}

/// An object is shown to fewer or the same tokens once it is marked stricter, whichever way is asked.
#[test]
fn adding_a_marking_never_widens() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::exporting(EXPORTS).await;
        let ladder: Vec<Put> = Tlp::ALL
            .iter()
            .zip(1..)
            .map(|(tlp, n)| Put { tlp: *tlp, recipients: true, ..Put::indicator(n) })
            .enumerate()
            .map(|(n, put)| naming(n, put))
            .collect();
        site.put(&ladder).await;
        for level in 0..4 {
            for red in [false, true] {
                let ceiling = if red { Tlp::AmberStrict } else { Tlp::ALL[level] };
                let token = site.token("asked", Scope { ceiling, red, ..Scope::reads([CIDR]) }).await;
                for (way, found) in everything(&site, &token, &ladder).await {
                    let shown: Vec<bool> =
                        ladder.iter().map(|put| found.iter().any(|(_, id, _)| *id == put.id)).collect();
                    assert!(
                        shown.windows(2).all(|pair| pair[0] || !pair[1]),
                        "{way} at {ceiling}, red {red}: {shown:?}"
                    );
                }
                site.query.tokens().revoke(id_of(&token)).await.unwrap();
            }
        }
    });
}
