//! ATT&CK for ICS, as MITRE publishes it, goes through whole. Skipped where the file is not at hand.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that reads a file"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use belfry_proto::{
    crypto::{pad::padded_len, seal::TAG_LEN},
    limits::{MAX_BODY, MAX_PAYLOAD},
    schema,
    stix::{Bundle, Markings, Object, Tlp, class, marking, observable, split},
};
use prost::Message as _;
use serde_json::Value;

fn attack() -> Option<Vec<u8>> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path =
        std::env::var_os("BELFRY_DATA").map_or_else(beside, PathBuf::from).join("attack/ics-attack.json");
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("SKIPPED ATT&CK: there is no {}; BELFRY_DATA names the folder with attack", path.display());
    }
    bytes
}

#[test]
fn every_object_comes_through_as_its_author_wrote_it() {
    let Some(bytes) = attack() else { return };
    let theirs: Value = serde_json::from_slice(&bytes).unwrap();
    let bundle = Bundle::parse(&bytes).unwrap();
    assert_eq!(bundle.objects().len(), 1826);
    for (ours, theirs) in bundle.objects().iter().zip(theirs["objects"].as_array().unwrap()) {
        assert_eq!(&Value::Object(ours.properties()), theirs);
        assert_eq!(Object::parse(ours.raw()).as_ref(), Ok(ours));
        assert_eq!(ours.version(), theirs.get("modified").unwrap_or(&theirs["created"]).as_str().unwrap());
        assert!(observable::extract(ours).is_empty());
    }
    assert!(class::infer(bundle.objects()).contains(&schema::InformationClass::Technique));
}

#[test]
fn it_splits_into_messages_that_each_stand_alone() {
    let Some(bytes) = attack() else { return };
    let bundle = Bundle::parse(&bytes).unwrap();
    let count = bundle.objects().len();
    let parts = split(bundle.into_objects()).unwrap();
    println!("{} parts", parts.len());
    let mut seen: BTreeMap<&str, &Object> = BTreeMap::new();
    for part in &parts {
        let payload = schema::Payload {
            objects: part.iter().map(|o| o.raw().to_vec()).collect(),
            ..Default::default()
        };
        let plain = payload.encode_to_vec();
        assert!(plain.len() <= MAX_PAYLOAD);
        let body = padded_len(zstd::bulk::compress(&plain, 3).unwrap().len()) + TAG_LEN;
        assert!(body <= MAX_BODY, "{body}");
        let markings = Markings::of(part);
        for object in part {
            // The copyright statement restricts nothing, but only where it can be read.
            assert_eq!(marking::effective(object, Some(Tlp::Clear), &markings), Some(Tlp::Clear));
            assert_eq!(*seen.entry(object.id()).or_insert(object), object);
        }
    }
    assert_eq!(seen.len(), count);
}
