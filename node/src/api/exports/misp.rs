//! A static MISP feed: an event a publication, `manifest.json` over them, `hashes.csv` over their values.

use std::{collections::BTreeMap, fmt::Write as _};

use belfry_proto::{
    id::PublicationId,
    stix::{
        indicator::{Bearer, Indicator},
        neutral,
        observable::{Kind, Observable},
    },
    time::Timestamp,
};
use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{CSV, Files, JSON};
use crate::{
    api::problem::Problem,
    query::{Place, Query, Released, Snapshot},
};

const SECOND: u64 = 1_000_000;

/// An indicator, and what of it goes out.
type Object<'a> = (&'a Released, &'a [Place]);

pub(super) fn render(snapshot: &Snapshot, query: &Query) -> Result<Files, Problem> {
    let mut events: BTreeMap<(PublicationId, bool), Vec<Object<'_>>> = BTreeMap::new();
    for (released, values) in &snapshot.objects {
        // An author who shall not be named has events of its own.
        let key = (released.object().publication(), released.hides_author());
        events.entry(key).or_default().push((released, values));
    }
    let (mut files, mut manifest, mut hashes) = (Files::default(), Map::new(), String::new());
    let fault = |error: serde_json::Error| Problem::unavailable(&error);
    for ((publication, is_anonymous), objects) in events {
        let Some((first, _)) = objects.first() else { continue };
        let uuid = of(&[publication.as_ref(), &[u8::from(is_anonymous)]]).to_string();
        let newest =
            objects.iter().map(|(released, _)| released.object().created()).max().unwrap_or_default();
        let (name, id) = match is_anonymous {
            true => ("a member".to_owned(), of(&[b"anonymous"])),
            false => {
                let member = first.object().member();
                let name = query.organisation(member).unwrap_or_else(|| member.to_string());
                (neutral::brief(&name, 200), of(&[member.as_ref()]))
            }
        };
        let group = query.slug(first.object().group());
        let mut tags: Vec<String> = objects.iter().map(|(released, _)| tlp(released)).collect();
        tags.extend(
            objects
                .iter()
                .filter_map(|(released, _)| Some(format!("PAP:{}", released.object().pap()?.to_uppercase()))),
        );
        tags.sort_unstable();
        tags.dedup();
        let tags: Vec<Value> =
            tags.into_iter().map(|name| json!({ "name": name, "colour": "#888888" })).collect();
        let orgc = json!({ "name": name, "uuid": id.to_string() });
        let date = newest.to_string().chars().take(10).collect::<String>();
        let mut event = Map::new();
        for (key, value) in [
            ("info", json!(format!("belfry {group}: {}", title(first)))),
            ("Orgc", orgc),
            ("timestamp", json!(seconds(newest))),
            ("date", json!(date)),
            ("analysis", json!("2")),
            ("threat_level_id", json!("4")),
            ("Tag", Value::Array(tags)),
        ] {
            event.insert(key.to_owned(), value);
        }
        manifest.insert(uuid.clone(), Value::Object(event.clone()));
        let mut attributes = Vec::new();
        for (released, values) in objects {
            for (value, bearer) in values {
                let Some(attribute) = attribute(released, value, *bearer) else {
                    files.unwritable += 1;
                    continue;
                };
                let digest = Md5::digest(value.value().as_bytes());
                let _ = writeln!(hashes, "{},{uuid}", hex::encode(digest));
                attributes.push(attribute);
            }
        }
        event.insert("uuid".to_owned(), json!(uuid));
        event.insert("published".to_owned(), json!(true));
        event.insert("publish_timestamp".to_owned(), json!(seconds(newest)));
        event.insert("Attribute".to_owned(), Value::Array(attributes));
        let body = serde_json::to_vec(&json!({ "Event": event })).map_err(fault)?;
        files.put(format!("{uuid}.json"), JSON, body);
    }
    files.put("hashes.csv", CSV, hashes);
    files.put_main("manifest.json", JSON, serde_json::to_vec(&Value::Object(manifest)).map_err(fault)?);
    Ok(files)
}

/// MISP's type and category of a value that something has; none for what its feeds have no attribute for.
pub(in crate::api) const fn kind_of(kind: Kind, bearer: Bearer) -> Option<(&'static str, &'static str)> {
    match bearer {
        Bearer::Usual => {}
        Bearer::Certificate => {
            return Some(match kind {
                Kind::Md5 => ("x509-fingerprint-md5", "Network activity"),
                Kind::Sha1 => ("x509-fingerprint-sha1", "Network activity"),
                Kind::Sha256 => ("x509-fingerprint-sha256", "Network activity"),
                _ => return None,
            });
        }
        Bearer::Other => return None,
    }
    Some(match kind {
        Kind::Ipv4 | Kind::Ipv6 => ("ip-dst", "Network activity"),
        Kind::Domain => ("domain", "Network activity"),
        Kind::Url => ("url", "Network activity"),
        Kind::Email => ("email-src", "Payload delivery"),
        Kind::Mac => ("mac-address", "Network activity"),
        Kind::Asn => ("AS", "Network activity"),
        Kind::Md5 => ("md5", "Payload delivery"),
        Kind::Sha1 => ("sha1", "Payload delivery"),
        Kind::Sha256 => ("sha256", "Payload delivery"),
        Kind::Sha512 => ("sha512", "Payload delivery"),
        Kind::Ssdeep => ("ssdeep", "Payload delivery"),
        Kind::Tlsh => ("tlsh", "Payload delivery"),
        Kind::FileName => ("filename", "Payload delivery"),
        Kind::Mutex => ("mutex", "Artifacts dropped"),
        Kind::RegistryKey => ("regkey", "Persistence mechanism"),
        Kind::Cve => return None,
    })
}

fn attribute(released: &Released, value: &Observable, bearer: Bearer) -> Option<Value> {
    let object = released.object();
    let (kind, category) = kind_of(value.kind(), bearer)?;
    if !neutral::is_plain(value.value()) {
        return None;
    }
    Some(json!({
        "uuid": of(&[object.id().as_bytes(), kind.as_bytes(), value.value().as_bytes()]).to_string(),
        "type": kind,
        "category": category,
        "value": value.value(),
        "to_ids": true,
        "timestamp": seconds(object.created()),
        "comment": title(released),
        "disable_correlation": false,
        "Tag": [{ "name": tlp(released), "colour": "#888888" }],
    }))
}

fn tlp(released: &Released) -> String {
    format!("tlp:{}", released.object().tlp())
}

fn title(released: &Released) -> String {
    let name = Indicator::read(released.object().raw()).map(|indicator| indicator.name).unwrap_or_default();
    if name.trim().is_empty() { "indicators".to_owned() } else { neutral::brief(&name, 200) }
}

fn seconds(time: Timestamp) -> String {
    (time.as_micros() / SECOND).to_string()
}

/// A stable id under a name of belfry's own.
pub(in crate::api) fn of(parts: &[&[u8]]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &[b"belfry/v1/misp".as_slice(), &parts.concat()].concat())
}
