//! Intelligence in MISP's formats from one member to another: nothing lost, nothing invented.
//!
//! The samples of `tests/data` always go this way, real events and warning lists wherever they are at hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use belfry_proto::time::Timestamp;
use belfry_tests::{
    process::{Coalition, Member, Role, eventually, http, python},
    real,
};
use serde_json::{Value, json};

/// Markings of the real events, which state none, in turn.
const TLPS: [&str; 5] = ["tlp:green", "tlp:clear", "tlp:red", "tlp:amber", "tlp:amber+strict"];

/// An export of the reader's.
struct Profile {
    name: &'static str,
    format: &'static str,
    action: &'static str,
    audience: &'static str,
    max_tlp: &'static str,
    warned: bool,
}

const fn detect(format: &'static str) -> Profile {
    Profile {
        name: format,
        format,
        action: "detect",
        audience: "inside",
        max_tlp: "amber+strict",
        warned: false,
    }
}

const PROFILES: [Profile; 17] = [
    detect("list"),
    detect("csv"),
    detect("splunk-es"),
    detect("suricata"),
    detect("zeek"),
    detect("rpz"),
    detect("stix"),
    detect("misp"),
    detect("rules"),
    Profile { name: "all", warned: true, ..detect("csv") },
    Profile { name: "narrow", max_tlp: "clear", ..detect("list") },
    Profile { name: "firewall", action: "block", ..detect("list") },
    Profile { name: "resolver", action: "block", ..detect("rpz") },
    Profile { name: "drop", action: "block", max_tlp: "amber", ..detect("suricata") },
    Profile { name: "provider", audience: "outside", max_tlp: "green", ..detect("stix") },
    Profile { name: "cloud", audience: "outside", max_tlp: "amber", ..detect("zeek") },
    Profile { name: "abroad", audience: "outside", max_tlp: "green", ..detect("rules") },
];

impl Profile {
    fn toml(&self) -> String {
        let Self { name, format, action, audience, max_tlp, warned } = self;
        format!(
            "[[exports]]\nname = \"{name}\"\nformat = \"{format}\"\naction = \"{action}\"\naudience = \"{audience}\"\n\
             max_tlp = \"{max_tlp}\"\nminimum_score = 1\nwarned = {warned}\n"
        )
    }

    fn json(&self) -> Value {
        json!({ "format": self.format, "action": self.action, "max_tlp": self.max_tlp, "warned": self.warned })
    }
}

/// Alice publishes, Bob reads, with these exports and a folder of warning lists.
struct Stage {
    // Members first: daemons end before their folder goes.
    alice: Member,
    bob: Member,
    lists: PathBuf,
    coalition: Coalition,
}

impl Stage {
    fn new(name: &str, lists: &[PathBuf], exports: &str) -> Self {
        let coalition = Coalition::found(name);
        let mut alice = coalition.issue("alice", Role::Publisher);
        let mut bob = coalition.issue("bob", Role::Reader);
        alice.join(&coalition);
        bob.join(&coalition);
        let folder = coalition.path("lists");
        fs::create_dir(&folder).unwrap();
        for list in lists.iter().flat_map(|folder| files(folder)) {
            fs::copy(&list, folder.join(list.file_name().unwrap())).unwrap();
        }
        bob.more = format!("[lists]\nfolder = {folder:?}\n{exports}");
        alice.start();
        bob.bootstrap.extend(alice.address());
        bob.start();
        bob.meets(1);
        Self { alice, bob, lists: folder, coalition }
    }

    /// Imports a file as a draft, which a person looks at and releases. The answer, and what was looked at.
    fn import(&self, file: &Path, more: &[&str]) -> (Value, Value) {
        let name = file.to_str().unwrap();
        let answer =
            self.alice
                .ok(&[&["import", name, "--group", "cidr", "--json", "--format", "misp"], more].concat());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let id = answer["publication"].as_str().unwrap();
        let draft = self.alice.ok(&["drafts", "show", id, "--json"]);
        self.alice.ok(&["drafts", "release", id, "--reason", "what the adversary uses, as a CERT told it"]);
        (answer, serde_json::from_str(&draft).unwrap())
    }

    fn export(&self, token: &str, path: &str) -> BTreeSet<String> {
        let answer = http::get(&self.bob.api(), &format!("/api/v1/exports/{path}"), token);
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        String::from_utf8(answer.body).unwrap().lines().map(str::to_owned).collect()
    }
}

/// The JSON files of a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    files
}

fn event_of(file: &mut Value) -> &mut Value {
    match file.get("Event").is_some() {
        true => &mut file["Event"],
        false => &mut file["response"][0]["Event"],
    }
}

/// Every time that an event's parts state.
fn times(part: &mut Value, found: &mut impl FnMut(&mut Value)) {
    match part {
        Value::Object(members) => {
            for (name, member) in members {
                match name.as_str() {
                    "timestamp" | "first_seen" | "last_seen" => found(member),
                    _ => times(member, found),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| times(part, found)),
        _ => {}
    }
}

/// The event as if it had come an hour ago: campaigns of years ago would have aged away.
fn made_recent(event: &mut Value) {
    let seconds = |time: &Value| time.as_str().and_then(|text| text.parse::<u64>().ok());
    let mut newest = 0;
    times(event, &mut |time| newest = newest.max(seconds(time).unwrap_or(0)));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let later = (now - Duration::from_secs(3600)).as_secs() - newest;
    times(event, &mut |time| {
        if let Some(seconds) = seconds(time) {
            *time = json!((seconds + later).to_string());
        } else if let Some(at) = time.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
            *time = json!(at.saturating_add(Duration::from_secs(later)).to_string());
        }
    });
}

/// A marking, and of what is only told some to be looked for: most real events state neither.
fn made_various(event: &mut Value, tlp: &str) {
    if !event["Tag"].is_array() {
        event["Tag"] = json!([]);
    }
    event["Tag"].as_array_mut().unwrap().push(json!({ "name": tlp }));
    let is_for_detection = event.to_string().contains("\"to_ids\":true");
    for attribute in event["Attribute"].as_array_mut().unwrap().iter_mut().step_by(2) {
        if !is_for_detection {
            attribute["to_ids"] = json!(true);
        }
    }
}

/// Events as they go in, each in a file.
fn events(folder: &Path) -> Vec<PathBuf> {
    fs::create_dir(folder).unwrap();
    let mut prepared = Vec::new();
    let mut prepare = |path: &Path, change: &dyn Fn(&mut Value)| {
        let mut file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let event = event_of(&mut file);
        made_recent(event);
        change(event);
        let to = folder.join(path.file_name().unwrap());
        fs::write(&to, file.to_string()).unwrap();
        prepared.push(to);
    };
    for path in files(&real::samples("misp")) {
        prepare(&path, &|_| {});
    }
    let real = real::data("misp-events").map(|folder| files(&folder)).unwrap_or_default();
    for (path, tlp) in real.iter().zip(TLPS.iter().cycle()) {
        prepare(path, &|event| made_various(event, tlp));
    }
    prepared
}

#[test]
fn everything_misp_events_name_is_found_and_exported_at_another_member() {
    let exports: String = PROFILES.iter().map(Profile::toml).collect();
    let stage = Stage::new("Events", &[real::samples("warninglists")], &exports);
    let folder = stage.coalition.path("events");
    for path in events(&folder) {
        let is_red = fs::read_to_string(&path).unwrap().contains("\"tlp:red\"");
        let (answer, draft) = stage.import(&path, if is_red { &["--to", "bob"] } else { &[] });
        fs::write(path.with_extension("answer"), answer.to_string()).unwrap();
        fs::write(path.with_extension("draft"), draft.to_string()).unwrap();
    }
    let reader = stage.bob.token("tools", &["--read", "cidr"]);
    let analyst = stage.bob.token("analyst", &["--read", "cidr", "--max-tlp", "red"]);
    let profiles: serde_json::Map<String, Value> =
        PROFILES.iter().map(|profile| (profile.name.to_owned(), profile.json())).collect();
    python(
        "events.py",
        &[
            ("BELFRY_EVENTS", folder.to_str().unwrap()),
            ("BELFRY_LISTS", stage.lists.to_str().unwrap()),
            ("BELFRY_PROFILES", &Value::Object(profiles).to_string()),
            ("BELFRY_TO", &format!("http://{}", stage.bob.api())),
            ("BELFRY_READER", &reader),
            ("BELFRY_ANALYST", &analyst),
        ],
    );
}

/// Entries of a list as attributes that it is about.
fn entries(list: &Value) -> Vec<(&'static str, String)> {
    let is_about = |kind: &str| list["matching_attributes"].as_array().unwrap().iter().any(|k| k == kind);
    let entries = list["list"].as_array().unwrap();
    // Its ends; what lies between is like them.
    let some = entries.iter().take(20).chain(entries.iter().rev().take(20));
    let kind = |entry: &str| match (list["type"].as_str().unwrap(), entry.len()) {
        ("cidr", _) => Some("ip-dst"),
        ("string", 32) if is_about("md5") => Some("md5"),
        ("string", 40) if is_about("sha1") => Some("sha1"),
        ("string", 64) if is_about("sha256") => Some("sha256"),
        _ => is_about("domain").then_some("domain"),
    };
    let some = some.map(|entry| entry.as_str().unwrap().trim());
    some.filter_map(|entry| Some((kind(entry)?, entry.trim_start_matches('.').to_owned()))).collect()
}

#[test]
fn what_warning_lists_name_is_in_no_export_and_a_list_that_comes_or_goes_counts_at_once() {
    let folders: Vec<PathBuf> =
        [real::samples("warninglists")].into_iter().chain(real::data("warninglists")).collect();
    let exports = ["list", "csv", "misp"].map(|format| detect(format).toml()).concat()
        + &Profile { name: "all", warned: true, ..detect("stix") }.toml();
    let stage = Stage::new("Lists", &folders, &exports);
    let lists: Vec<Value> = files(&stage.lists)
        .iter()
        .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        .collect();
    let checked = stage.bob.ok(&["config", "check"]);
    let built_in = 4;
    assert!(checked.contains(&format!("{} warning lists", lists.len() + built_in)), "{checked}");

    // What lists say of hosts they say of no file and no mutex, and what lies at a host may well be evil.
    let kept = [
        ("filename", "listed.example"),
        ("filename", "zip"),
        ("mutex", "zone"),
        ("domain", "unlisted.evil-c.org"),
        ("url", "http://listed.example/evil"),
    ];
    let mut named: BTreeSet<(&str, String)> = kept.map(|(kind, value)| (kind, value.to_owned())).into();
    named.extend(lists.iter().flat_map(entries));
    let attributes: Vec<Value> = (0..)
        .zip(&named)
        .map(|(n, (kind, value)): (u32, _)| {
            json!({ "uuid": format!("5f3c1a00-0000-4000-9000-{n:012x}"), "type": kind, "value": value, "to_ids": true })
        })
        .collect();
    let mut event = json!({ "Event": {
        "uuid": "5f3c1a00-0000-4000-9000-ffffffffffff", "info": "Everybody's names", "timestamp": "1", "Attribute": attributes,
        "Tag": [{ "name": "tlp:green" }],
    }});
    made_recent(&mut event["Event"]);
    let file = stage.coalition.path("listed.json");
    fs::write(&file, event.to_string()).unwrap();
    let (answer, _) = stage.import(&file, &[]);
    assert_eq!(answer["skipped"], json!([]));
    let token = stage.bob.token("tools", &["--read", "cidr"]);
    eventually("bob has all that alice released", || {
        let report = http::get(&stage.bob.api(), "/api/v1/exports/all/report", &token).json();
        (report["objects"] == answer["objects"]["indicator"]).then_some(())
    });

    let has = |kind: &str| stage.export(&token, &format!("list/{kind}.txt"));
    let only = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(has("domain-name"), only(&["unlisted.evil-c.org"]));
    for kind in ["ipv4-addr", "ipv6-addr", "md5", "sha1", "sha256"] {
        assert_eq!(has(kind), only(&[]), "{kind}");
    }
    assert_eq!(has("file-name"), only(&["listed.example", "zip"]));
    assert_eq!((has("mutex"), has("url")), (only(&["zone"]), only(&["http://listed.example/evil"])));
    assert_eq!(stage.export(&token, "csv").len(), 6, "a heading and five values");
    // Each is told of at a lookup, with the list.
    for list in &lists {
        let Some((kind, value)) = entries(list).into_iter().next() else { continue };
        let kind = match kind {
            "domain" => "domain-name",
            "ip-dst" => "ipv4-addr",
            hash => hash,
        };
        let told = stage.bob.ok(&["lookup", &value, "--type", kind, "--json"]);
        assert!(told.contains(list["name"].as_str().unwrap()), "{value}: {told}");
    }

    // A list that comes is read while the node runs, and one that goes is forgotten.
    let own = stage.lists.join("own.json");
    let list = json!({ "name": "Own", "version": 1, "description": "", "type": "hostname", "list": ["evil-c.org"],
        "matching_attributes": ["domain"] });
    fs::write(&own, list.to_string()).unwrap();
    eventually("the new list counts", || has("domain-name").is_empty().then_some(()));
    fs::remove_file(&own).unwrap();
    eventually("the list is gone", || (has("domain-name").len() == 1).then_some(()));
}
