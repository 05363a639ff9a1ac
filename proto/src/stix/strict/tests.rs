use serde_json::json;

use super::*;

const UUID: &str = "298fe907-7931-4fd2-8131-2814dd493134";

fn object(kind: &str, more: Value) -> Object {
    let mut object = json!({
        "type": kind, "spec_version": "2.1", "id": format!("{kind}--{UUID}"),
        "created": "2026-11-23T10:00:00.000Z", "modified": "2026-11-23T10:00:00.000Z",
    });
    if crate::stix::properties::is_observable(kind) {
        object = json!({ "type": kind, "spec_version": "2.1", "id": format!("{kind}--{UUID}") });
    }
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Object::parse(&serde_json::to_vec(&object).unwrap()).unwrap()
}

fn refusal(kind: &str, more: Value) -> String {
    check(&object(kind, more)).map_or_else(|error| error.to_string(), |()| String::new())
}

fn to(kind: &str) -> String {
    format!("{kind}--{UUID}")
}

#[test]
fn a_word_outside_an_enumeration_is_refused_with_object_property_and_rule() {
    let indicator = json!([to("indicator")]);
    assert_eq!(
        refusal("opinion", json!({ "opinion": "maybe", "object_refs": indicator })),
        format!(
            "opinion--{UUID}: opinion must be a word of opinion-enum: strongly-disagree, disagree, neutral, agree, \
             strongly-agree"
        )
    );
    assert_eq!(refusal("opinion", json!({ "opinion": "agree", "object_refs": indicator })), "");
    let key =
        |kind: &str| json!({ "key": "k", "values": [{ "data_type": "REG_SZ" }, { "data_type": kind }] });
    assert!(
        refusal("windows-registry-key", key("REG_TEXT"))
            .contains("values[1].data_type must be a word of windows-reg")
    );
    assert_eq!(refusal("windows-registry-key", key("REG_QWORD")), "");
    let service = |status: &str| json!({ "pid": 1, "extensions": { "windows-service-ext": { "service_status": status } } });
    assert!(refusal("process", service("asleep")).contains("extensions.windows-service-ext.service_status"));
    assert_eq!(refusal("process", service("SERVICE_PAUSED")), "");
    let extended = |kind: &str| {
        let extension = to("extension-definition");
        json!({ "name": "x", "extensions": { extension: { "extension_type": kind } } })
    };
    assert!(
        refusal("campaign", extended("my-extension"))
            .contains("extension_type must be a word of extension-type-enum")
    );
    assert_eq!(refusal("campaign", extended("property-extension")), "");
}

#[test]
fn a_reference_to_the_wrong_type_is_refused_with_object_property_and_rule() {
    for (kind, more, path) in [
        ("campaign", json!({ "name": "x", "created_by_ref": to("threat-actor") }), "created_by_ref"),
        ("sighting", json!({ "sighting_of_ref": to("ipv4-addr") }), "sighting_of_ref"),
        ("sighting", json!({ "sighting_of_ref": to("relationship") }), "sighting_of_ref"),
        (
            "sighting",
            json!({ "sighting_of_ref": to("indicator"), "where_sighted_refs": [to("identity"), to("campaign")] }),
            "where_sighted_refs[1]",
        ),
        (
            "relationship",
            json!({ "relationship_type": "uses", "source_ref": to("malware"), "target_ref": to("sighting") }),
            "target_ref",
        ),
        ("network-traffic", json!({ "protocols": ["tcp"], "src_ref": to("file") }), "src_ref"),
        (
            "observed-data",
            json!({
                "first_observed": "2026-11-23T10:00:00Z", "last_observed": "2026-11-23T10:00:00Z",
                "number_observed": 1, "object_refs": [to("malware")],
            }),
            "object_refs[0]",
        ),
    ] {
        let said = refusal(kind, more);
        assert!(said.starts_with(&format!("{kind}--{UUID}: {path} must be the id of a")), "{said}");
    }
    for (kind, more) in [
        ("campaign", json!({ "name": "x", "created_by_ref": to("identity") })),
        ("sighting", json!({ "sighting_of_ref": to("x-custom"), "where_sighted_refs": [to("location")] })),
        (
            "relationship",
            json!({ "relationship_type": "uses", "source_ref": to("x-custom"), "target_ref": to("file") }),
        ),
        ("network-traffic", json!({ "protocols": ["tcp"], "dst_ref": to("domain-name") })),
    ] {
        assert_eq!(refusal(kind, more), "", "{kind}");
    }
}

#[test]
fn a_form_that_tools_break_on_is_refused_with_object_property_and_rule() {
    let indicator = |more: Value| {
        let mut all = json!({
            "pattern": "[url:value = 'http://a.example/']", "pattern_type": "stix", "valid_from": "2026-11-23T10:00:00Z",
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("indicator", all)
    };
    let relation = |from: &str, to_time: &str| {
        let ends = json!({ "relationship_type": "uses", "source_ref": to("malware"), "target_ref": to("tool"),
            "start_time": from, "stop_time": to_time });
        ("relationship", ends)
    };
    let (day, next) = ("2026-11-23T10:00:00Z", "2026-11-24T10:00:00Z");
    for ((kind, more), said) in [
        (("file", json!({ "name": "a", "mtime": "yesterday" })), "mtime must be a time"),
        (("process", json!({ "pid": 1, "created_time": 7 })), "created_time must be a time"),
        (
            (
                "file",
                json!({ "name": "a", "extensions": { "windows-pebinary-ext": { "time_date_stamp": "x" } } }),
            ),
            "extensions.windows-pebinary-ext.time_date_stamp must be a time",
        ),
        (relation(day, day), "stop_time must not come before start_time"),
        (relation(day, "soon"), "stop_time must be a time"),
        (
            (
                "network-traffic",
                json!({ "protocols": ["tcp"], "src_ref": to("ipv4-addr"), "start": next, "end": day }),
            ),
            "end must not come before start",
        ),
        (indicator(json!({ "labels": "x" })), "labels must be a list of texts"),
        (indicator(json!({ "indicator_types": "benign" })), "indicator_types must be a list of texts"),
        (
            indicator(
                json!({ "external_references": [{ "source_name": "a", "url": "b" }, { "source_name": "a" }] }),
            ),
            "external_references[1].description, url or external_id is missing",
        ),
        (
            indicator(
                json!({ "external_references": [{ "source_name": "a", "url": "b", "hashes": { "MD5": "c" } }] }),
            ),
            "external_references[0].hashes.MD5 must be 32 hexadecimal digits",
        ),
        (
            indicator(json!({ "kill_chain_phases": [{ "kill_chain_name": "a" }] })),
            "kill_chain_phases[0].phase_name is missing",
        ),
        (
            ("sighting", json!({ "sighting_of_ref": to("indicator"), "count": -1 })),
            "count must be a whole number",
        ),
        (("file", json!({ "hashes": { "SHA-256": "ab" } })), "hashes.SHA-256 must be 64 hexadecimal digits"),
        (
            ("artifact", json!({ "payload_bin": "YQ==", "url": "http://a.example/", "hashes": {} })),
            "url must not stand beside payload_bin",
        ),
        (("process", json!({})), "must have a property of its own"),
        (
            ("language-content", json!({ "object_ref": to("indicator"), "contents": { "nl": "x" } })),
            "contents.nl must be an object",
        ),
    ] {
        let refused = refusal(kind, more);
        assert!(refused.starts_with(&format!("{kind}--{UUID}")) && refused.contains(said), "{refused}");
    }
    for (kind, more) in [
        relation(day, next),
        indicator(json!({
            "labels": [], "kill_chain_phases": [{ "kill_chain_name": "a", "phase_name": "b" }],
            "external_references": [{ "source_name": "a", "external_id": "b" }],
        })),
        (
            "network-traffic",
            json!({ "protocols": ["tcp"], "src_ref": to("ipv4-addr"), "start": day, "end": day }),
        ),
        ("file", json!({ "hashes": { "MD5": "Ab".repeat(16), "x": "anything" }, "ctime": day })),
        ("language-content", json!({ "object_ref": to("indicator"), "contents": { "nl": { "name": "x" } } })),
        ("x-acme-host", json!({ "labels": "their own", "start": "whenever" })),
    ] {
        assert_eq!(refusal(kind, more), "", "{kind}");
    }
}

#[test]
fn a_granular_marking_is_of_one_sort_and_selects_what_is_there() {
    let marked = |entry: Value| {
        refusal(
            "campaign",
            json!({
                "name": "x", "labels": ["a", "b"], "external_references": [{ "source_name": "s", "url": "u" }],
                "granular_markings": [entry],
            }),
        )
    };
    let green = crate::stix::Tlp::Green.marking_id();
    for selector in ["name", "labels.[1]", "external_references.[0].url", "external_references"] {
        assert_eq!(marked(json!({ "marking_ref": green, "selectors": [selector] })), "", "{selector}");
        assert_eq!(marked(json!({ "lang": "nl", "selectors": [selector] })), "", "{selector}");
    }
    for selector in ["description", "labels.[2]", "labels.b", "name.x", "", "external_references.[0].hashes"]
    {
        let said = marked(json!({ "marking_ref": green, "selectors": ["name", selector] }));
        assert!(
            said.contains("granular_markings[0].selectors[1] must select a property"),
            "{selector}: {said}"
        );
    }
    let both = marked(json!({ "marking_ref": green, "lang": "nl", "selectors": ["name"] }));
    assert!(both.contains("granular_markings[0].lang must not stand beside marking_ref"), "{both}");
    assert!(marked(json!({ "lang": 1, "selectors": ["name"] })).contains("lang must be a text"));
}

#[test]
fn what_breaks_a_rule_can_be_ended_by_its_author_and_not_said_anew() {
    let day = "2026-11-23T10:00:00Z";
    for (kind, mut all) in [
        (
            "indicator",
            json!({ "pattern": "[broken", "pattern_type": "stix", "valid_from": day, "labels": "x" }),
        ),
        ("opinion", json!({ "opinion": "maybe", "object_refs": [to("indicator")] })),
        ("campaign", json!({ "name": "x", "created_by_ref": to("threat-actor") })),
        ("campaign", json!({ "name": "x", "external_references": [{ "source_name": "a" }] })),
    ] {
        assert_ne!(refusal(kind, all.clone()), "", "{kind}");
        all["revoked"] = json!(true);
        assert_eq!(refusal(kind, all), "", "{kind}");
    }
    let value = json!({ "name": "a", "hashes": { "MD5": "x" }, "revoked": true });
    assert_ne!(refusal("file", value), "", "what has no versions is not ended by one");
    let own = json!({ "name": "x", "revoked": true, "extensions": crate::stix::extension::of("handling", json!(7)) });
    assert_ne!(refusal("campaign", own), "", "how it may be handled is minded to the end");
}

/// What other members wrote stays readable: these rules are for whoever publishes.
#[test]
fn what_is_refused_here_still_parses() {
    object("opinion", json!({ "opinion": "maybe", "object_refs": [to("indicator")] }));
    object("campaign", json!({ "name": "x", "created_by_ref": to("threat-actor") }));
    object("file", json!({ "name": "a", "mtime": "yesterday", "hashes": { "MD5": "x" } }));
}

#[test]
fn words_of_ones_own_are_told_once_and_refused_never() {
    let pattern = json!({
        "pattern": "[url:value = 'http://a.example/']", "pattern_type": "stix", "valid_from": "2026-11-23T10:00:00Z",
        "indicator_types": ["malicious-activity", "very-bad"],
    });
    let hash = json!({ "hashes": { "SHA256": "a".repeat(64) }, "name": "a.exe" });
    let objects = [object("indicator", pattern.clone()), object("indicator", pattern), object("file", hash)];
    assert!(objects.iter().all(|object| check(object).is_ok()));
    assert_eq!(
        notes(&objects),
        [
            format!(
                "hashes of file--{UUID} says \"SHA256\", which is not in hash-algorithm-ov: readers may not know it"
            ),
            format!(
                "indicator_types of indicator--{UUID} and 1 more says \"very-bad\", which is not in indicator-type-ov: \
                 readers may not know it"
            ),
        ]
    );
}

#[test]
fn references_to_what_does_not_go_along_are_told() {
    let marked = json!({
        "name": "x", "created_by_ref": to("identity"),
        "object_marking_refs": [crate::stix::Tlp::Green.marking_id()],
    });
    let note = notes(&[object("campaign", marked.clone())]);
    assert_eq!(
        note,
        [format!(
            "campaign--{UUID} refers to identity--{UUID}, which does not go along: readers need them from elsewhere"
        )]
    );
    assert_eq!(
        notes(&[object("campaign", marked), object("identity", json!({ "name": "a" }))]),
        Vec::<String>::new()
    );
}

#[test]
fn indicators_that_state_no_end_are_told_once() {
    let of = |more: Value| {
        let mut all = json!({
            "pattern": "[url:value = 'http://a.example/']", "pattern_type": "stix", "valid_from": "2026-11-23T10:00:00Z",
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object("indicator", all)
    };
    let ends = json!({ "valid_until": "2026-12-23T10:00:00Z" });
    assert_eq!(
        endless(&[
            of(ends.clone()),
            of(json!({ "revoked": true })),
            object("campaign", json!({ "name": "x" }))
        ]),
        None
    );
    let said = endless(&[of(ends), of(json!({})), of(json!({}))]).unwrap();
    assert!(said.starts_with(&format!("indicator--{UUID} and 1 more says no valid_until")), "{said}");
}

#[test]
fn an_observable_under_an_id_that_its_properties_do_not_make_is_told() {
    let named = |id: &str| {
        let address =
            json!({ "type": "ipv4-addr", "id": format!("ipv4-addr--{id}"), "value": "198.51.100.7" });
        Object::parse(address.to_string().as_bytes()).unwrap()
    };
    let (made, other) = ("12592121-be4c-5a93-a813-5a5af16e50db", "12592121-be4c-5a93-a813-5a5af16e50dc");
    assert_eq!(foreign_ids(&[named(made), named("12592121-be4c-4a93-a813-5a5af16e50db")]), None);
    let said = foreign_ids(&[named(made), named(other), named(other)]).unwrap();
    assert!(said.starts_with(&format!("id of ipv4-addr--{other} and 1 more is a UUIDv5")), "{said}");
}

#[test]
fn every_place_is_one_of_a_type_that_the_standard_defines() {
    let of = references::PLACES
        .iter()
        .map(|place| place.of)
        .chain(vocabularies::PLACES.iter().map(|place| place.of));
    for kind in of.filter(|kind| !kind.is_empty()) {
        assert!(crate::stix::properties::is_defined(kind), "{kind}");
    }
}
