//! Bundles to share: made-up indicators on documentation addresses, each with an id of its own.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// A STIX 2.1 bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its objects, in order.
    pub objects: Vec<Value>,
}

impl Bundle {
    /// `count` small indicators.
    #[must_use]
    pub fn indicators(count: usize) -> Self {
        Self { objects: (0..count).map(|_| indicator("seen in a phishing wave")).collect() }
    }

    /// `count` indicators with `bytes` of description each that do not compress.
    #[must_use]
    pub fn heavy(count: usize, bytes: usize) -> Self {
        let objects = (0..count).map(|_| {
            let noise: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
            indicator(&STANDARD.encode(noise))
        });
        Self { objects: objects.collect() }
    }

    /// One indicator whose description is `text`.
    #[must_use]
    pub fn saying(text: &str) -> Self {
        Self { objects: vec![indicator(text)] }
    }

    /// One indicator of a domain, sure enough for any export.
    #[must_use]
    pub fn domain(name: &str) -> Self {
        let mut object = indicator("seen in a phishing wave");
        if let Some(object) = object.as_object_mut() {
            object.insert("pattern".to_owned(), format!("[domain-name:value = '{name}']").into());
            object.insert("confidence".to_owned(), 95.into());
        }
        Self { objects: vec![object] }
    }

    /// The bundle as its author submits it.
    #[must_use]
    pub fn json(&self) -> String {
        json!({ "type": "bundle", "id": format!("bundle--{}", uuid()), "objects": self.objects }).to_string()
    }

    /// STIX ids of its objects.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.objects.iter().filter_map(|object| object["id"].as_str()).map(str::to_owned).collect()
    }
}

fn indicator(description: &str) -> Value {
    let [a, b]: [u8; 2] = rand::random();
    json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": format!("indicator--{}", uuid()),
        "created": "2026-11-01T08:00:00.000Z",
        "modified": "2026-11-01T08:00:00.000Z",
        "name": "beacon",
        "description": description,
        "pattern": format!("[ipv4-addr:value = '198.18.{a}.{b}']"),
        "pattern_type": "stix",
        "valid_from": "2026-11-01T08:00:00Z",
    })
}

fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}")
}
