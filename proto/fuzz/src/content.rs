//! STIX 2.1, as members' tools and members' enemies write it.

use std::sync::LazyLock;

use belfry_proto::{
    stix::{
        Bundle, Markings, Object, class,
        indicator::{Indicator, OpinionObject, about},
        marking,
        minify::minify as shrink,
        neutral::url,
        observable::{
            Kind, Observable,
            around::{self, Around},
            extract,
            pattern::parse,
        },
        proposal::Proposal,
        split,
        warning::Warnings,
    },
    time::Timestamp,
};

const BUNDLE: &[u8] = br#"{
  "type": "bundle", "id": "bundle--1aa2e2d2-17d4-4cbf-938f-98ee46b3cd3f", "objects": [
    {"type": "marking-definition", "spec_version": "2.1", "id": "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
     "created": "2017-01-20T00:00:00.000Z", "definition_type": "tlp", "name": "TLP:GREEN", "definition": {"tlp": "green"}},
    {"type": "indicator", "spec_version": "2.1", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
     "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.5Z",
     "object_marking_refs": ["marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"],
     "pattern": "[ipv4-addr:value = '198.51.100.7' OR domain-name:value IN ('evil.example', 'b\u00fccher.example')]",
     "pattern_type": "stix", "valid_from": "2026-01-01T00:00:00Z"},
    {"type": "file", "spec_version": "2.1", "id": "file--75cb38d5-2055-5354-b75a-8299a2d670b5",
     "hashes": {"SHA-256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, "name": "a.EXE"},
    {"type": "note", "spec_version": "2.1", "id": "note--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd41",
     "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "content": "set confidence to 20",
     "object_refs": ["indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"], "labels": ["belfry-proposal"],
     "extensions": {"extension-definition--5c0c6d0e-4e0b-4d6a-9a55-2f7f3b6d1f4e": {"extension_type": "property-extension",
      "proposal": {"version": "2026-01-01T00:00:00.5Z", "set": {"confidence": 20}, "remove": ["valid_until"], "comment": "x"}}}},
    {"type": "x-other", "spec_version": "2.1", "id": "x-other--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd40",
     "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "n": [1, -2.5e3, null, true, {"a": {}}]}
  ]
}"#;

/// A bundle, parsed, split for sending, and everything that is read from its objects.
pub fn bundle(bytes: &[u8]) {
    if let Ok(object) = Object::parse(bytes) {
        read(&object);
    }
    let Ok(bundle) = Bundle::parse(bytes) else { return };
    let count = bundle.objects().len();
    let markings = Markings::of(bundle.objects());
    for object in bundle.objects() {
        read(object);
        let _ = marking::effective(object, None, &markings);
    }
    let _ = class::infer(bundle.objects());
    if let Ok(parts) = split(bundle.into_objects()) {
        assert!(
            parts.iter().map(Vec::len).sum::<usize>() >= count && parts.iter().all(|part| !part.is_empty())
        );
    }
}

/// What proposals are applied to.
static INDICATOR: LazyLock<Object> = LazyLock::new(|| Object::parse(&bundle_seeds()[2]).unwrap());

/// What one object yields, and that its bytes are what they were.
fn read(object: &Object) {
    assert_eq!(Object::parse(object.raw()).as_ref(), Ok(object));
    assert_eq!(shrink(object.raw()).as_deref(), Ok(object.raw()));
    for observable in extract(object) {
        assert_normal(&observable);
        assert_found(&observable);
    }
    let _ = about(object.kind(), object.raw());
    for sought in Indicator::read(object.raw()).iter().flat_map(Indicator::sought) {
        assert_normal(&sought.value);
    }
    let _ = OpinionObject::read(object.raw()).and_then(|said| said.expired());
    // What somebody would have changed is the same object of the same owner, whole, or is refused.
    if let Some(proposal) = Proposal::read(object.raw())
        && let Ok(changed) = proposal.change.applied(INDICATOR.raw(), Timestamp::ZERO)
    {
        assert_eq!(changed.id(), INDICATOR.id());
        assert_eq!(
            (changed.created(), changed.marking_refs(), changed.granular_marking_refs()),
            (INDICATOR.created(), INDICATOR.marking_refs(), INDICATOR.granular_marking_refs())
        );
        let time = |object: &Object| object.version().parse::<Timestamp>().unwrap();
        assert!(time(&changed) > time(&INDICATOR));
    }
    let _ = (object.properties(), object.version(), object.refs().len(), class::of(object));
}

pub fn bundle_seeds() -> Vec<Vec<u8>> {
    let whole: serde_json::Value = serde_json::from_slice(BUNDLE).unwrap();
    let objects = whole["objects"].as_array().unwrap().iter();
    let mut seeds = vec![BUNDLE.to_vec()];
    seeds.extend(objects.map(|object| serde_json::to_vec(object).unwrap()));
    seeds
}

/// White space goes and nothing else: once is enough, and the value is the same.
pub fn minify(bytes: &[u8]) {
    let Ok(small) = shrink(bytes) else { return };
    assert_eq!(shrink(&small).as_ref(), Ok(&small));
    let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    assert_eq!(value(bytes), value(&small));
}

/// A STIX pattern.
pub fn pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for comparison in parse(text).into_iter().flatten() {
        let _ = (comparison.path(), comparison.operator(), comparison.negated(), comparison.wanted().count());
    }
}

pub fn pattern_seeds() -> Vec<Vec<u8>> {
    [
        "[ipv4-addr:value = '198.51.100.7']",
        "[file:hashes.'SHA-256' = 'aa' AND NOT file:name MATCHES '^a'] FOLLOWEDBY [url:value LIKE 'http://%'] WITHIN 5 SECONDS",
        "([domain-name:value IN ('a.example', 'b.example')] OR [network-traffic:dst_port > 1024]) REPEATS 3 TIMES",
        "[windows-registry-key:key ISSUBSET 'HKLM\\\\x' OR process:extensions.'x'.list[*].y != t'2026-01-01T00:00:00Z']",
        "[email-addr:value = 'o\\'brien@example.org'] START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// One value, as any kind of observable.
pub fn observable(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(guess) = Observable::guess(text) {
        assert_normal(&guess);
    }
    for kind in Kind::ALL {
        if let Some(observable) = Observable::new(kind, text) {
            assert_normal(&observable);
        }
    }
}

/// Whoever searches around a value finds it: it is entered where its own surroundings look.
fn assert_found(observable: &Observable) {
    let rows = around::rows(observable);
    if let Ok(around @ Around::Within(_)) = Around::of(observable) {
        assert!(around.holds(observable) && rows.contains(&around.row()));
    }
    static WARNINGS: LazyLock<Warnings> = LazyLock::new(Warnings::built_in);
    assert!(WARNINGS.hits(observable).len() <= WARNINGS.count());
    assert!(url(observable.value()).bytes().all(|byte| byte.is_ascii_graphic()));
}

/// A normal form that is not its own would be indexed under one key and looked for under another.
fn assert_normal(observable: &Observable) {
    let again = Observable::new(observable.kind(), observable.value());
    assert_eq!(again.as_ref(), Some(observable));
}

pub fn observable_seeds() -> Vec<Vec<u8>> {
    [
        "198.51.100.7",
        "198[.]51[.]100[.]0/24",
        "2001:DB8::1",
        "hxxps://Evil[.]example:443/a%20b?c=D#e",
        "Evil[.]example:443/a?c=D#e",
        "198.51.100.7/24",
        "B\u{fc}cher.example.",
        "someone@Example.org",
        "00-00-5E-00-53-01",
        "AS64496",
        "D41D8CD98F00B204E9800998ECF8427E",
        "hklm\\Software\\Run",
        "cve-2026-0001",
        "3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C",
        "C:\\Windows\\evil.EXE",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
