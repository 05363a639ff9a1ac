mod endpoints;
mod forwards;
mod mails;
mod relations;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::stix::{Object, indicator::OpinionObject, observable, score::Opinion};

const NOW: &str = "2026-11-23T10:00:00Z";

fn options() -> Options {
    Options { now: NOW.parse().unwrap(), ..Options::default() }
}

fn import(format: Format, text: &str) -> Import {
    Import::read(format, text.as_bytes(), &options()).unwrap()
}

fn refusal(format: Format, text: &str) -> String {
    Import::read(format, text.as_bytes(), &options()).unwrap_err().to_string()
}

/// The objects, checked as every published one is.
fn objects(mut import: Import) -> Vec<Object> {
    let [bundle]: [Vec<u8>; 1] = import.take_bundles().try_into().unwrap();
    Bundle::parse(&bundle).unwrap().into_objects()
}

fn values(objects: &[Object]) -> BTreeSet<String> {
    let all = objects.iter().flat_map(observable::extract);
    all.map(|value| format!("{} {}", value.kind(), value.value())).collect()
}

fn skipped(import: &Import) -> Vec<String> {
    import.skipped.iter().map(ToString::to_string).collect()
}

const UUID: &str = "298fe907-7931-4fd2-8131-2814dd4931";

fn event(attributes: &Value, more: &Value) -> String {
    let mut event = json!({"uuid": format!("{UUID}00"), "info": "Campaign", "date": "2026-11-20", "timestamp": "1763800000",
        "Orgc": {"uuid": format!("{UUID}01"), "name": "CERT"}, "Attribute": attributes});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "Event": event }).to_string()
}

fn attribute(n: u8, kind: &str, value: &str, more: &Value) -> Value {
    let mut attribute = json!({"uuid": format!("{UUID}{n:02}"), "type": kind, "value": value, "to_ids": true,
        "timestamp": "1763800001"});
    attribute.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    attribute
}

#[test]
fn prose_gives_what_it_means_and_tells_what_it_leaves_out() {
    let text = "Beacons to hxxps://evil[.]example/a and evil[.]example, again evil[.]example.\n\
        It drops report.zip from 198.51.100.7:443, see update.evil.example\n\
        sha256 D41D8CD98F00B204E9800998ECF8427ED41D8CD98F00B204E9800998ECF8427E, CVE-2026-0001";
    let found = import(Format::Text, text);
    assert_eq!(
        skipped(&found),
        [
            "line 1 stands in the file before",
            "line 2 may be a file's name or no domain at all; write it as in evil[.]example to have it taken",
        ]
    );
    let digest = "d41d8cd98f00b204e9800998ecf8427e".repeat(2);
    let expected = [
        "cve CVE-2026-0001",
        "domain-name evil.example",
        "domain-name update.evil.example",
        "ipv4-addr 198.51.100.7",
    ]
    .map(str::to_owned);
    let mut expected: BTreeSet<String> = expected.into();
    expected.extend([format!("sha256 {digest}"), "url https://evil.example/a".to_owned()]);
    assert_eq!(values(&objects(found)), expected);
}

#[test]
fn a_table_is_read_by_its_columns() {
    let table = "IOC;Kind;Note;TLP;valid_until\nevil[.]example;domain;\"a; b\";amber;2027-01-01\n\
        198.51.100.7;ip;;green;\n;ip;;;\nnot an ip;ip;;;\nx;imphash;;;\nevil.example;domain;;;\n";
    let mapping: Mapping = "value=IOC,type=Kind".parse().unwrap();
    let found = Import::read(Format::Csv, table.as_bytes(), &Options { mapping, ..options() }).unwrap();
    assert_eq!(
        skipped(&found),
        [
            "line 4 is empty",
            "line 5 is not a value of its type, ip",
            "line 6 is a fingerprint of type imphash, which lookup and lists have no place for",
            "line 7 stands in the file before",
        ]
    );
    assert_eq!(found.tlp, Some(Tlp::Amber));
    assert_eq!((found.counts["indicator"], found.counts["relationship"]), (2, 2));
    let objects = objects(found);
    let indicator = objects.iter().find(|object| object.kind() == "indicator").unwrap().properties();
    assert_eq!(indicator["description"], "a; b");
    assert_eq!(indicator["valid_until"], "2027-01-01T00:00:00.000Z");
    assert_eq!(indicator["object_marking_refs"], json!([Tlp::Amber.marking_id()]));
}

#[test]
fn a_table_with_a_fault_is_refused_with_line_column_and_rule() {
    for (table, said) in [
        ("value,tlp\nevil.example,pink\n", "line 2: tlp cannot be read"),
        ("value,confidence\nevil.example,101\n", "line 2: confidence is no number from 0 to 100"),
        ("value,valid_until\na.example,2027-01-01\nb.example,soon\n", "line 3: valid_until is no time"),
        ("value,tlp\nevil.example,,RED\n", "line 2: has 3 cells and the first line 2"),
        ("value,to_ids\nevil.example,perhaps\n", "line 2: to_ids is neither 1 nor 0"),
        ("value,valid_from,valid_until\na.example,2027-01-02,2027-01-01\n", "not later than valid_from"),
        ("name,kind\nx,y\n", "has no column \"value\" for value; it has name, kind"),
        ("value\n", "holds nothing to share; 0 items were skipped"),
        ("value\nx\n198.51.100.7:0\n", "2 items were skipped, the first: line 2 is no address, domain,"),
        ("", "has no column"),
    ] {
        let refusal = refusal(Format::Csv, table);
        assert!(refusal.contains(said), "{table:?}: {refusal}");
    }
    let broken = Import::read(Format::Csv, b"value\na.example\n\xff", &options()).unwrap_err().to_string();
    assert_eq!(broken, "line 3: is not UTF-8 text");
    assert!("value=A,value=B".parse::<Mapping>().is_err() && "colour=A".parse::<Mapping>().is_err());
}

#[test]
fn a_table_of_misps_is_read_with_its_times_and_what_is_not_for_detection_is_told() {
    let table = "uuid,value,to_ids,date,comment\n1,evil.example,1,1763800000,x\n2,good.example,0,1763800000,y\n\
        3,worse.example,1,20251122,z\n4,a.example,1,2025-11-22 08:26:40,\n5,b.example,true,2025-11-22 08:26:40Z,,\n";
    let found = import(Format::Csv, table);
    assert_eq!(skipped(&found), ["line 3 is not for detection, as its column to_ids says"]);
    let objects = objects(found);
    let indicators = objects.iter().filter(|object| object.kind() == "indicator").map(Object::properties);
    let from: Vec<Value> = indicators.map(|said| said["valid_from"].clone()).collect();
    let second = "2025-11-22T08:26:40.000Z";
    assert_eq!(from, [second, "2025-11-22T00:00:00.000Z", second, second]);
}

#[test]
fn a_byte_order_mark_changes_nothing_in_any_format() {
    let bundle = r#"{"type":"bundle","id":"bundle--298fe907-7931-4fd2-8131-2814dd493134","objects":[
        {"type":"ipv4-addr","id":"ipv4-addr--12592121-be4c-5a93-a813-5a5af16e50db","value":"198.51.100.7"}]}"#;
    let event = event(&json!([attribute(10, "domain", "evil.example", &json!({}))]), &json!({}));
    for (name, text) in [
        ("a.json", bundle),
        ("a.json", event.as_str()),
        ("a.csv", "value\nevil.example\n"),
        ("a", "evil[.]example"),
    ] {
        let marked = format!("\u{feff}{text}");
        let format = Format::guess(name, marked.as_bytes());
        assert_eq!(format, Format::guess(name, text.as_bytes()));
        assert_eq!(objects(import(format, &marked)), objects(import(format, text)));
    }
}

#[test]
fn what_a_misp_keeps_to_itself_stays_there_and_still_narrows() {
    let tags = json!({"Tag": [{"name": "case-7", "local": 1}, {"name": "osint", "local": 0}, {"name": "tlp:amber", "local": true}]});
    let more = json!({"Galaxy": [{"type": "threat-actor", "GalaxyCluster": [
        {"uuid": format!("{UUID}50"), "value": "Bear", "local": true}]}]});
    let attributes = json!([attribute(10, "domain|ip", "evil.example|198.51.100.7", &tags)]);
    let found = import(Format::Misp, &event(&attributes, &more));
    assert_eq!(
        skipped(&found),
        [
            "Event.Attribute[0] carries what its MISP keeps to itself: case-7",
            "Event.Galaxy[0].GalaxyCluster[0] carries what its MISP keeps to itself: Bear",
        ]
    );
    assert_eq!(found.tlp, Some(Tlp::Amber));
    for object in objects(found) {
        let text = String::from_utf8_lossy(object.raw()).into_owned();
        assert!(!text.contains("case-7") && !text.contains("Bear"), "{text}");
        assert_eq!(text.contains("osint"), object.kind() == "indicator");
    }
}

#[test]
fn a_class_that_an_events_tags_state_is_the_objects_own() {
    let tags = |words: &[&str]| words.iter().map(|word| json!({ "name": word })).collect::<Vec<_>>();
    let attributes = json!([
        attribute(10, "domain", "evil.example", &json!({"Tag": tags(&["belfry:class=\"near-miss\""])})),
        attribute(11, "domain", "worse.example", &json!({"Tag": tags(&["belfry:class=weather"])})),
    ]);
    let found = import(
        Format::Misp,
        &event(&attributes, &json!({"Tag": tags(&["belfry:class=\"alert\"", "osint"])})),
    );
    assert_eq!(
        skipped(&found),
        ["Event.Attribute[1] carries a class of information that is none of the nine: belfry:class=weather"]
    );
    let objects = objects(found);
    let class = |id: &str| {
        let object = objects.iter().find(|object| object.id() == id).unwrap();
        crate::stix::strict::check(object).unwrap();
        object.stated().and_then(|stated| stated.class)
    };
    use crate::schema::InformationClass as Class;
    assert_eq!(class(&format!("report--{UUID}00")), Some(Class::Alert));
    assert_eq!(class(&format!("indicator--{UUID}10")), Some(Class::NearMiss));
    assert_eq!(class(&format!("indicator--{UUID}11")), None);
    assert_eq!(objects.iter().filter(|object| object.stated().is_some()).count(), 2);
}

#[test]
fn pages_sightings_and_relations_of_an_event_are_taken_or_told() {
    let seen = json!({"to_ids": false, "Sighting": [{"type": "0", "date_sighting": "1763800002"}]});
    let attributes = json!([
        attribute(10, "domain", "evil.example", &seen),
        attribute(11, "vulnerability", "CVE-2026-0001", &seen),
        attribute(12, "yara", "rule x { condition: true }", &json!({"Sighting": seen["Sighting"]})),
    ]);
    let more = json!({
        "EventReport": [
            {"uuid": format!("{UUID}60"), "name": "Analysis", "content": "# They came", "timestamp": "1763800003", "distribution": "0"},
            {"uuid": format!("{UUID}61"), "name": "Old", "content": "x", "deleted": true},
        ],
        "Object": [{"name": "file", "ObjectReference": [{"uuid": "x"}, {}], "Attribute": [attribute(20, "md5", &"ab".repeat(16), &json!({}))]}],
    });
    let found = import(Format::Misp, &event(&attributes, &more));
    assert_eq!(
        skipped(&found),
        [
            "Event.Object[0] has relations that are left out (2): at one end or the other stands not one thing",
            "Event.EventReport[1] was deleted at its source",
        ]
    );
    let objects = objects(found);
    let of = |kind: &'static str| objects.iter().filter(move |object| object.kind() == kind);
    let note = of("note").next().unwrap();
    let said = note.properties();
    assert_eq!((note.id(), &said["abstract"]), (format!("note--{UUID}60").as_str(), &json!("Analysis")));
    assert_eq!(
        (&said["content"], &said["object_refs"]),
        (&json!("# They came"), &json!([format!("report--{UUID}00")]))
    );
    assert_eq!(note.marking_refs(), [Tlp::AmberStrict.marking_id()]);
    let kinds: BTreeSet<String> = of("sighting")
        .filter_map(|object| {
            object.properties()["sighting_of_ref"].as_str()?.split_once("--").map(|(kind, _)| kind.to_owned())
        })
        .collect();
    assert_eq!(kinds, ["indicator", "observed-data", "vulnerability"].map(str::to_owned).into());
}

#[test]
fn what_no_object_has_room_for_is_told_and_the_rest_of_an_event_is_taken() {
    let long = "\"".repeat(crate::limits::MAX_OBJECT / 2);
    let attributes = json!([
        attribute(10, "domain", "evil.example", &json!({})),
        attribute(11, "text", &long, &json!({})),
        attribute(12, "yara", &long, &json!({})),
    ]);
    let more = json!({"EventReport": [{"uuid": format!("{UUID}60"), "name": "All of it", "content": long}]});
    let found = import(Format::Misp, &event(&attributes, &more));
    let told = skipped(&found);
    assert_eq!(told.len(), 3, "{told:?}");
    for (told, path) in told.iter().zip(["Attribute[1]", "Attribute[2]", "EventReport[0]"]) {
        assert!(told.starts_with(&format!("Event.{path} has 52")), "{told}");
        assert!(told.ends_with("more than one object has room for"), "{told}");
    }
    assert_eq!(values(&objects(found)), ["domain-name evil.example".to_owned()].into());
}

#[test]
fn what_cannot_be_taken_of_an_attributes_tags_is_told_once_however_many_values_it_has() {
    let tags =
        json!({"distribution": "4", "Tag": [{"name": "tlp:purple"}, {"name": "case-7", "local": true}]});
    let attributes = json!([attribute(10, "domain|ip", "evil.example|198.51.100.7", &tags)]);
    let told = skipped(&import(Format::Misp, &event(&attributes, &json!({}))));
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn an_event_becomes_its_values_and_nothing_else() {
    let attributes = json!([
        attribute(10, "domain|ip", "evil.example|198.51.100.7", &json!({})),
        attribute(11, "filename|sha1", &format!("evil.exe|{}", "a".repeat(40)), &json!({"to_ids": false})),
        attribute(
            12,
            "ip-dst|port",
            "198.51.100.8|443",
            &json!({"Sighting": [{"type": "0", "date_sighting": "1763800002"},
            {"type": "1", "date_sighting": "1763800003"}, {"type": "2", "date_sighting": "1763800004"},
            {"type": "3", "date_sighting": "1763800005"}]})
        ),
        attribute(13, "sha256", "too short", &json!({})),
        attribute(20, "url", "host.example", &json!({"to_ids": false})),
        attribute(14, "imphash", "x", &json!({})),
        attribute(15, "url", "http://evil.example/", &json!({"deleted": true})),
        attribute(16, "link", "https://blog.example/", &json!({"to_ids": false})),
        attribute(17, "text", "They came at night.", &json!({"to_ids": false})),
        attribute(18, "yara", "rule x { condition: true }", &json!({})),
        attribute(19, "vulnerability", "CVE-2026-0001", &json!({})),
    ]);
    let galaxies = json!({"Galaxy": [
        {"type": "threat-actor", "GalaxyCluster": [{"uuid": format!("{UUID}50"), "value": "Bear", "meta": {"synonyms": ["B"]}}]},
        {"type": "mitre-attack-pattern", "GalaxyCluster": [{"uuid": format!("{UUID}51"), "value": "Phishing - T1566",
            "meta": {"external_id": ["T1566"]}}]},
        {"type": "sector", "GalaxyCluster": []}],
        "ShadowAttribute": [{"value": "x"}]});
    let found = import(Format::Misp, &event(&attributes, &galaxies));
    assert_eq!(
        skipped(&found),
        [
            "Event.Attribute[2].Sighting[3] is of type sighting 3, which tells nothing to look for",
            "Event.Attribute[3] is not a value of its type, sha256",
            "Event.Attribute[5] is a fingerprint of type imphash, which lookup and lists have no place for",
            "Event.Attribute[6] was deleted at its source",
            "Event.ShadowAttribute[0] is a proposal that nobody accepted",
            "Event.Galaxy[2] is a galaxy of type sector, which has no STIX object",
        ]
    );
    let count = |kind: &str| found.counts.get(kind).copied().unwrap_or_default();
    assert_eq!(
        [count("indicator"), count("observed-data"), count("sighting"), count("opinion"), count("note")],
        [4, 3, 1, 2, 1]
    );
    assert_eq!(
        [count("report"), count("identity"), count("threat-actor"), count("attack-pattern")],
        [1, 1, 1, 1]
    );
    let objects = objects(found);
    let sha1 = format!("sha1 {}", "a".repeat(40));
    let expected = [
        "cve CVE-2026-0001",
        "domain-name evil.example",
        "domain-name host.example",
        "file-name evil.exe",
        "ipv4-addr 198.51.100.7",
        "ipv4-addr 198.51.100.8",
    ];
    let mut expected: BTreeSet<String> = expected.map(str::to_owned).into();
    expected.insert(sha1);
    assert_eq!(values(&objects), expected);
    let of = |kind: &str| objects.iter().find(|object| object.kind() == kind).unwrap();
    assert_eq!(of("indicator").id(), format!("indicator--{UUID}10"));
    assert_eq!(of("report").created_by(), Some(format!("identity--{UUID}01").as_str()));
    assert_eq!(of("report").properties()["external_references"][0]["url"], "https://blog.example/");
    assert_eq!(of("attack-pattern").properties()["name"], "Phishing");
    assert!(!String::from_utf8_lossy(of("sighting").raw()).contains("created_by_ref"));
    let opinions = objects.iter().filter(|object| object.kind() == "opinion");
    let opinions: Vec<_> = opinions.filter_map(|object| OpinionObject::read(object.raw())).collect();
    let said: Vec<_> = opinions.iter().map(|said| (said.opinion(), said.expired().is_some())).collect();
    assert_eq!(said, [(Some(Opinion::StronglyDisagree), false), (Some(Opinion::Neutral), true)]);
}

#[test]
fn markings_of_an_event_hold_and_unknown_ones_are_the_narrowest() {
    let marked = |event_tags: &[&str], tags: &[&str], distribution: &str| {
        let named = |tags: &[&str]| tags.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
        let attribute = attribute(10, "domain", "evil.example", &json!({ "Tag": named(tags) }));
        let more = json!({"Tag": named(event_tags), "distribution": distribution});
        let found = import(Format::Misp, &event(&json!([attribute]), &more));
        (found.tlp, found.pap, found)
    };
    assert_eq!(marked(&["tlp:green", "PAP:AMBER"], &[], "3").0, Some(Tlp::Green));
    assert_eq!(marked(&["tlp:green", "PAP:AMBER"], &[], "3").1, Some(Pap::Amber));
    assert_eq!(marked(&["tlp:green"], &["tlp:amber+strict"], "3").0, Some(Tlp::AmberStrict));
    assert_eq!(marked(&["tlp:green"], &["tlp:clear"], "3").0, Some(Tlp::Green));
    assert_eq!(marked(&[], &[], "0").0, Some(Tlp::AmberStrict));
    assert_eq!(marked(&[], &[], "3").0, None);
    let (tlp, _, found) = marked(&["tlp:purple", "osint"], &[], "3");
    assert_eq!(tlp, Some(Tlp::Red));
    assert_eq!(skipped(&found), ["Event carries a marking that cannot be read: tlp:purple"]);
    // The strictest of tag and distribution, whichever says it.
    assert_eq!(marked(&["tlp:green"], &[], "0").0, Some(Tlp::AmberStrict));
    assert_eq!(marked(&["tlp:red"], &[], "0").0, Some(Tlp::Red));
    let (tlp, _, found) = marked(&["tlp:clear"], &[], "4");
    assert_eq!(tlp, Some(Tlp::AmberStrict));
    assert!(
        skipped(&found)[0].starts_with("Event is for a sharing group that is not known here"),
        "{found:?}"
    );
    let (tlp, _, found) = marked(&[], &[], "9");
    assert_eq!(tlp, Some(Tlp::AmberStrict));
    assert_eq!(skipped(&found), ["Event carries a marking that cannot be read: distribution 9"]);
}

#[test]
fn an_objects_distribution_holds_for_its_attributes_and_for_no_others() {
    let object = |distribution: &str| {
        json!({"name": "file", "distribution": distribution, "Attribute": [
            attribute(10, "md5", &"ab".repeat(16), &json!({"distribution": "5", "Sighting": [{"date_sighting": "1763800005", "type": "0"}]})),
            attribute(11, "sha1", &"cd".repeat(20), &json!({"distribution": "3"})),
        ]})
    };
    let more =
        json!({"Tag": [{"name": "tlp:green"}], "distribution": "3", "Object": [object("4"), object("3")]});
    let plain = attribute(12, "domain", "evil.example", &json!({"distribution": "5"}));
    let found = import(Format::Misp, &event(&json!([plain]), &more));
    assert_eq!(skipped(&found).len(), 1, "{found:?}");
    assert!(skipped(&found)[0].starts_with("Event.Object[0] is for a sharing group"));
    let objects = objects(found);
    let marked = |id: &str| objects.iter().find(|object| object.id() == id).unwrap().marking_refs().to_vec();
    let (strict, green) =
        (vec![Tlp::AmberStrict.marking_id().to_owned()], vec![Tlp::Green.marking_id().to_owned()]);
    for n in [10, 11] {
        assert_eq!(marked(&format!("indicator--{UUID}{n}")), strict);
    }
    assert_eq!(marked(&format!("indicator--{UUID}12")), green);
    let sighting = objects.iter().find(|object| object.kind() == "sighting").unwrap();
    assert_eq!(sighting.marking_refs(), strict, "as strict as what was seen");
    // One file, whatever names it.
    let files: Vec<&Object> = objects.iter().filter(|object| object.kind() == "file").collect();
    assert_eq!(files.len(), 1);
    let hashes = &files[0].properties()["hashes"];
    assert!(hashes["MD5"].is_string() && hashes["SHA-1"].is_string(), "{hashes}");
}

#[test]
fn a_files_second_name_or_hash_is_not_lost() {
    let seen = |n: u8, kind: &str, value: &str| attribute(n, kind, value, &json!({"to_ids": false}));
    let (md5, sha256) = ("ab".repeat(16), "cd".repeat(32));
    let first = json!({"name": "file", "Attribute": [
        seen(10, "filename", "a.exe"), seen(11, "filename", "b.exe"), seen(12, "md5", &md5), seen(13, "md5", &"ef".repeat(16))]});
    // One id with the first file, by STIX's rule for files, and more to say.
    let second = json!({"name": "file", "Attribute": [
        seen(14, "filename", "a.exe"), seen(15, "md5", &md5), seen(16, "sha256", &sha256), seen(17, "ssdeep", "3:a:b")]});
    let found = import(Format::Misp, &event(&json!([]), &json!({"Object": [first, second]})));
    assert_eq!(found.skipped, []);
    let objects = objects(found);
    let expected = [
        &format!("md5 {md5}"),
        &format!("md5 {}", "ef".repeat(16)),
        &format!("sha256 {sha256}"),
        "ssdeep 3:a:b",
    ]
    .map(|value| value.to_owned());
    let names = ["file-name a.exe", "file-name b.exe"].map(str::to_owned);
    assert_eq!(values(&objects), expected.into_iter().chain(names).collect());
    let seen = objects.iter().filter(|object| object.kind() == "observed-data").count();
    assert_eq!(seen, 8, "each is still told of by its own attribute");
}

#[test]
fn a_rule_that_is_not_for_detection_becomes_no_indicator() {
    let rule = "rule x { condition: true }";
    let attributes = json!([
        attribute(10, "yara", rule, &json!({"to_ids": false})),
        attribute(11, "domain", "evil.example", &json!({})),
    ]);
    let objects = objects(import(Format::Misp, &event(&attributes, &json!({}))));
    let note = objects.iter().find(|object| object.kind() == "note").unwrap();
    assert_eq!(
        (note.id(), &note.properties()["content"]),
        (format!("note--{UUID}10").as_str(), &json!(rule))
    );
    let indicators = objects.iter().filter(|object| object.kind() == "indicator");
    assert_eq!(indicators.map(Object::id).collect::<Vec<_>>(), [format!("indicator--{UUID}11")]);
}

#[test]
fn a_galaxys_tag_is_a_label_where_the_event_does_not_bring_its_cluster() {
    let (brought, named) =
        ("misp-galaxy:threat-actor=\"Bear\"", "misp-galaxy:mitre-attack-pattern=\"Keylogging - T1056.001\"");
    let more = json!({"Tag": [{"name": brought}, {"name": named}], "Galaxy": [
        {"type": "threat-actor", "GalaxyCluster": [{"uuid": format!("{UUID}50"), "value": "Bear"}]}]});
    let objects = objects(import(
        Format::Misp,
        &event(&json!([attribute(10, "domain", "evil.example", &json!({}))]), &more),
    ));
    let report = objects.iter().find(|object| object.kind() == "report").unwrap();
    assert_eq!(report.properties()["labels"], json!([named]));
}

#[test]
fn what_an_attribute_itself_says_of_who_and_how_is_taken() {
    let galaxies = json!({"Galaxy": [
        {"type": "threat-actor", "GalaxyCluster": [{"uuid": format!("{UUID}50"), "value": "Bear"}]}, {"type": "sector"}],
        "Tag": [{"name": "misp-galaxy:threat-actor=\"Bear\""}], "ShadowAttribute": [{"value": "x"}]});
    let mut seen = galaxies.clone();
    seen["to_ids"] = json!(false);
    let attributes = json!([
        attribute(10, "domain", "evil.example", &galaxies),
        attribute(11, "domain", "seen.example", &seen),
    ]);
    let found = import(Format::Misp, &event(&attributes, &json!({})));
    let told = skipped(&found);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].starts_with("Event.Attribute[0].ShadowAttribute[0] is a proposal"), "{told:?}");
    assert!(told[1].starts_with("Event.Attribute[0].Galaxy[1] is a galaxy of type sector"), "{told:?}");
    let objects = objects(found);
    let said: BTreeSet<String> = objects
        .iter()
        .filter(|object| object.kind() == "relationship")
        .map(Object::properties)
        .filter(|said| said["target_ref"] == format!("threat-actor--{UUID}50"))
        .map(|said| format!("{} {}", said["source_ref"], said["relationship_type"]).replace('"', ""))
        .collect();
    assert_eq!(
        said,
        [format!("indicator--{UUID}10 indicates"), format!("observed-data--{UUID}11 related-to")].into()
    );
    assert!(objects.iter().all(|object| !object.properties().contains_key("labels")));
}

#[test]
fn what_states_no_marking_is_marked_with_the_default_and_what_does_is_not() {
    let options = Options { unmarked: Some(Tlp::Amber), ..options() };
    let green = attribute(11, "domain", "worse.example", &json!({"Tag": [{"name": "tlp:green"}]}));
    let event = event(&json!([attribute(10, "domain", "evil.example", &json!({})), green]), &json!({}));
    let table = "value,tlp\nevil.example,\nworse.example,green\n".to_owned();
    for (format, text) in [(Format::Misp, event), (Format::Csv, table)] {
        let found = Import::read(format, text.as_bytes(), &options).unwrap();
        assert_eq!(found.tlp, Some(Tlp::Amber));
        for object in objects(found).iter().filter(|object| object.kind() == "indicator") {
            let tlp = if object.properties()["name"] == "evil.example" { Tlp::Amber } else { Tlp::Green };
            assert_eq!(object.marking_refs(), [tlp.marking_id()]);
        }
    }
}

#[test]
fn files_that_are_no_events_are_told_why() {
    for (text, said) in [
        ("{\"Event\": {\"uuid\": 5}}", "expected a string"),
        ("{\"Event\": {\"uuid\": \"x\"}}", "Event.uuid must be a UUID"),
        ("{\"response\": [{}]}", "missing field `Event`"),
        ("{", "EOF"),
        ("[1]", "expected struct"),
    ] {
        let refusal = refusal(Format::Misp, text);
        assert!(refusal.contains(said), "{text}: {refusal}");
    }
    let long = refusal(Format::Misp, &json!({"Event": {"Attribute": "x".repeat(1_000_000)}}).to_string());
    assert!(long.len() < 500 && long.contains("expected a sequence at line 1"), "{} bytes", long.len());
    let broken = attribute(10, "domain", "evil.example", &json!({"uuid": "no"}));
    assert_eq!(
        refusal(Format::Misp, &event(&json!([broken]), &json!({}))),
        "Event.Attribute[0].uuid must be a UUID"
    );
}

#[test]
fn a_bomb_is_refused_before_anything_is_built() {
    let many = "{},".repeat(600_000);
    assert!(matches!(
        Import::read(
            Format::Misp,
            format!("{{\"Event\":{{\"Attribute\":[{many}{{}}]}}}}").as_bytes(),
            &options()
        ),
        Err(ImportError::TooMany(MAX_BUNDLE_OBJECTS))
    ));
    let rows = format!("value\n{}", "a.example\n".repeat(MAX_IMPORT_OBJECTS + 1));
    assert!(matches!(
        Import::read(Format::Csv, rows.as_bytes(), &options()),
        Err(ImportError::TooMany(MAX_IMPORT_OBJECTS))
    ));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(Import::read(Format::Misp, deep.as_bytes(), &options()), Err(ImportError::Misp(_))));
    assert!(matches!(
        Import::read(Format::Text, &vec![b'a'; MAX_BUNDLE + 1], &options()),
        Err(ImportError::TooLong(_))
    ));
    let twice =
        import(Format::Text, &format!("evil[.]example {}", "evil[.]example ".repeat(MAX_SKIPPED + 5)));
    assert_eq!((twice.skipped.len(), twice.more_skipped), (MAX_SKIPPED, 5));
}

#[test]
fn the_same_file_names_its_objects_alike_whenever_it_is_read() {
    let later = Options { now: "2027-01-01T00:00:00Z".parse().unwrap(), ..options() };
    for (format, text) in [
        (Format::Text, "evil[.]example 198.51.100.7".to_owned()),
        (Format::Csv, "value\nevil.example\n".to_owned()),
        (Format::Misp, event(&json!([attribute(10, "domain", "evil.example", &json!({}))]), &json!({}))),
    ] {
        let ids = |options: &Options| {
            let found = Import::read(format, text.as_bytes(), options).unwrap();
            objects(found).iter().map(|object| object.id().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&options()), ids(&later));
    }
}

#[test]
fn formats_are_guessed_by_name_and_content() {
    for (name, bytes, format) in [
        ("a.csv", "x", Format::Csv),
        ("a.json", "{\"Event\":{}}", Format::Misp),
        ("a.json", " {\"type\":\"bundle\"}", Format::Stix),
        ("a.eml", "From: x", Format::Text),
        ("-", "evil[.]example", Format::Text),
    ] {
        assert_eq!(Format::guess(name, bytes.as_bytes()), format, "{name} {bytes}");
    }
}

proptest! {
    #[test]
    fn no_file_panics_and_what_is_taken_can_be_published(
        text in "(value,type\n)?([a-z]{0,5}[\\[\\].@:/|,;\"' ]{0,3}(evil\\.example|198\\.51\\.100\\.7|CVE-2026-0001)?\n?){0,8}",
    ) {
        for format in [Format::Text, Format::Csv, Format::Misp] {
            if let Ok(mut found) = Import::read(format, text.as_bytes(), &options()) {
                prop_assert!(found.take_bundles().iter().all(|bundle| Bundle::parse(bundle).is_ok()));
            }
        }
    }

    #[test]
    fn rows_are_cut_into_bundles_that_hold_all_they_refer_to(
        rows in proptest::collection::btree_set("[a-z]{1,6}\\.example|198\\.51\\.100\\.[0-9]{1,3}|CVE-2026-[0-9]{4}", 1..20),
        bundle_objects in 3_usize..12,
    ) {
        let table = format!("value\n{}\n", rows.into_iter().collect::<Vec<_>>().join("\n"));
        let whole = Import::read(Format::Csv, table.as_bytes(), &options());
        let cut = Import::read(Format::Csv, table.as_bytes(), &Options { bundle_objects, ..options() });
        let (Ok(whole), Ok(mut cut)) = (whole, cut) else { return Ok(()) };
        prop_assert_eq!(&whole.counts, &cut.counts);
        let mut all = Vec::new();
        for bundle in cut.take_bundles() {
            let bundle = Bundle::parse(&bundle).unwrap().into_objects();
            prop_assert!(bundle.len() <= bundle_objects);
            let ids: BTreeSet<&str> = bundle.iter().map(Object::id).collect();
            for object in bundle.iter().filter(|object| object.kind() == "relationship") {
                let object: Value = serde_json::from_slice(object.raw()).unwrap();
                prop_assert!(["source_ref", "target_ref"].iter().all(|end| ids.contains(object[*end].as_str().unwrap())));
            }
            all.extend(bundle.iter().map(|object| object.id().to_owned()));
        }
        let of_whole: Vec<String> = objects(whole).iter().map(|object| object.id().to_owned()).collect();
        prop_assert_eq!(all, of_whole);
    }

    #[test]
    fn every_value_of_a_table_is_taken_or_told(rows in proptest::collection::vec("[a-z]{1,6}(\\.example)?|198\\.51\\.100\\.[0-9]{1,3}", 1..20)) {
        let table = format!("value\n{}\n", rows.join("\n"));
        match Import::read(Format::Csv, table.as_bytes(), &options()) {
            Ok(found) => {
                let taken = found.counts["indicator"];
                prop_assert_eq!(taken + found.skipped.len(), rows.len());
            }
            Err(ImportError::Nothing { skipped, .. }) => prop_assert_eq!(skipped, rows.len()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn any_attribute_is_told_or_taken(kind in "(domain|ip-dst|url|md5|regkey|mutex|filename|AS|email-src|x-y)", value in "\\PC{1,30}") {
        let text = event(&json!([attribute(10, &kind, &value, &json!({})), attribute(11, "domain", "evil.example", &json!({}))]), &json!({}));
        let mut found = import(Format::Misp, &text);
        prop_assert_eq!(found.counts["indicator"] + found.skipped.len(), 2);
        prop_assert!(found.take_bundles().iter().all(|bundle| Bundle::parse(bundle).is_ok()));
    }
}
