//! A STIX 2.1 bundle of the indicators themselves, as their authors wrote them; without `created_by_ref` where the author
//! must not be named, and with `valid_until` where the author states none: when they end here without news
//! (`belfry_proto::stix::score`). With them go who created them and by what they are marked, as far as these may. What TAXII
//! serves stays the author's.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Files;
use crate::query::{Released, Snapshot};

const STIX: &str = "application/stix+json;version=2.1";

pub(super) fn render(snapshot: &Snapshot) -> Files {
    let all = snapshot.objects.iter().map(|(object, _)| object).chain(&snapshot.referred);
    let tlps: BTreeSet<_> = all.map(|object| object.object().tlp()).collect();
    // Bundles carry the definitions they refer to: STIX 2.1 does not predefine TLP 2.0.
    let mut objects: Vec<&[u8]> = tlps.iter().map(|tlp| tlp.definition().as_bytes()).collect();
    let referred: Vec<_> = snapshot.referred.iter().map(Released::raw).collect();
    objects.extend(referred.iter().map(|raw| raw.as_ref()));
    let indicators: Vec<_> = snapshot.objects.iter().map(|(object, _)| object.ending()).collect();
    objects.extend(indicators.iter().map(|raw| raw.as_ref()));
    let mut files = Files::default();
    let body = objects.join(&b","[..]);
    // The same content is the same bundle.
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, blake3::hash(&body).as_bytes());
    let bundle = if objects.is_empty() {
        format!(r#"{{"type":"bundle","id":"bundle--{id}"}}"#).into_bytes()
    } else {
        [format!(r#"{{"type":"bundle","id":"bundle--{id}","objects":["#).as_bytes(), &body, b"]}"].concat()
    };
    files.put_main(format!("{}.json", snapshot.export.name), STIX, bundle);
    files
}
