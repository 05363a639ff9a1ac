//! Galaxy clusters: who did it and how, as objects of the clusters' own uuids. ATT&CK's clusters bear MITRE's.

use serde_json::{Map, Value, json};

use super::{
    super::{
        Import, Place, Why,
        make::{Frame, id},
    },
    json::Galaxy,
    types,
};
use crate::time::Timestamp;

/// The objects of one galaxy.
pub(super) fn objects(path: &str, galaxy: &Galaxy, import: &mut Import) -> Vec<Map<String, Value>> {
    let Some(kind) = kind(&galaxy.kind) else {
        import.skip(Place::Path(path.to_owned()), Why::Galaxy(types::brief(&galaxy.kind)));
        return Vec::new();
    };
    let mut found = Vec::new();
    // General knowledge is nobody's, and has no time: every import names one object alike.
    let frame = Frame::at(Timestamp::ZERO);
    for (i, cluster) in galaxy.clusters.iter().enumerate() {
        if cluster.value.trim().is_empty() {
            import.skip(Place::Path(format!("{path}.GalaxyCluster[{i}]")), Why::Empty);
            continue;
        }
        if cluster.local {
            let why = Why::Local(types::brief(&cluster.value));
            import.skip(Place::Path(format!("{path}.GalaxyCluster[{i}]")), why);
            continue;
        }
        let name = match uuid::Uuid::try_parse(cluster.uuid.trim()) {
            Ok(uuid) => format!("{kind}--{}", uuid.hyphenated()),
            Err(_) => id(kind, &[&galaxy.kind, &cluster.value]),
        };
        let mut properties = json!({"name": plain(&cluster.value), "description": cluster.description});
        if let Value::Object(properties) = &mut properties {
            if kind != "attack-pattern" || !cluster.meta.synonyms.is_empty() {
                properties.insert("aliases".to_owned(), json!(cluster.meta.synonyms));
            }
            if kind == "malware" {
                properties.insert("is_family".to_owned(), json!(true));
            }
            if let Some(id) = cluster.meta.external_id.iter().find(|id| is_attack_id(id)) {
                let reference = json!([{"source_name": "mitre-attack", "external_id": id}]);
                properties.insert("external_references".to_owned(), reference);
            }
        }
        found.push(frame.object(kind, &name, properties));
    }
    found
}

/// The tags that stand for the clusters of a galaxy, in lower case.
pub(super) fn tags(galaxy: &Galaxy) -> impl Iterator<Item = String> {
    let is_taken = kind(&galaxy.kind).is_some();
    let clusters = galaxy.clusters.iter().filter(move |_| is_taken);
    clusters.map(|cluster| {
        format!("misp-galaxy:{}=\"{}\"", galaxy.kind, cluster.value.trim()).to_ascii_lowercase()
    })
}

fn kind(galaxy: &str) -> Option<&'static str> {
    Some(match galaxy {
        "threat-actor" | "microsoft-activity-group" => "threat-actor",
        "mitre-intrusion-set" | "mitre-enterprise-attack-intrusion-set" => "intrusion-set",
        "mitre-attack-pattern"
        | "mitre-enterprise-attack-attack-pattern"
        | "mitre-mobile-attack-attack-pattern" => "attack-pattern",
        "mitre-malware" | "malpedia" | "ransomware" | "banker" | "stealer" | "botnet" | "rat"
        | "backdoor" | "android" => "malware",
        "mitre-tool" | "tool" => "tool",
        "mitre-course-of-action" => "course-of-action",
        _ => return None,
    })
}

/// `T1190`, `G0010`, `S0001.002`.
fn is_attack_id(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| matches!(first, 'T' | 'G' | 'S' | 'M'))
        && text.len() > 4
        && chars.all(|c| c.is_ascii_digit() || c == '.')
}

/// MITRE's id behind the name is a reference, not a part of it.
fn plain(value: &str) -> &str {
    match value.rsplit_once(" - ") {
        Some((name, id)) if is_attack_id(id) => name,
        _ => value,
    }
}
