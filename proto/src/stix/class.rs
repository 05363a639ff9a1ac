//! Which of the nine information classes of NIS2 29(1) an object belongs to, read off its type unless it says so itself.
//!
//! A proposal for the author, who may say otherwise, in the object ([`super::extension`]) or beside it: `other`, severity and the near miss that is written
//! down in prose cannot be inferred. A class says what is shared; it notifies nobody.

use std::collections::BTreeSet;

use crate::{schema::InformationClass, stix::object::Object};

/// OASIS draft "Incident Core"; its `determination` tells a near miss from an incident.
const INCIDENT_CORE: &str = "extension-definition--ef765651-680c-498d-9894-99799f2fa126";

/// The classes found among `objects`, in the order of the directive; empty where no type says one.
#[must_use]
pub fn infer<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<InformationClass> {
    let found: BTreeSet<i32> = objects.into_iter().flat_map(of).map(|class| class as i32).collect();
    found.into_iter().filter_map(|class| InformationClass::try_from(class).ok()).collect()
}

/// The classes of one object: the one that its author states in it, else what its type says; none for identities, markings,
/// relationships and the like.
#[must_use]
pub fn of(object: &Object) -> Vec<InformationClass> {
    match object.stated().and_then(|stated| stated.class) {
        Some(class) => vec![class],
        None => of_type(object),
    }
}

fn of_type(object: &Object) -> Vec<InformationClass> {
    use InformationClass as Class;
    match object.kind() {
        "report" | "campaign" | "malware" | "malware-analysis" | "infrastructure" | "tool" => {
            vec![Class::CyberThreat]
        }
        "incident" if is_near_miss(object) => vec![Class::NearMiss],
        "incident" | "grouping" => vec![Class::Alert],
        "vulnerability" => vec![Class::Vulnerability],
        "attack-pattern" if object.properties().contains_key("kill_chain_phases") => {
            vec![Class::Technique, Class::Tactic]
        }
        "attack-pattern" => vec![Class::Technique],
        "x-mitre-tactic" => vec![Class::Tactic],
        "indicator" if is_detection_rule(object) => vec![Class::Configuration],
        "indicator" | "observed-data" => vec![Class::Indicator],
        "course-of-action" => vec![Class::Configuration],
        "threat-actor" | "intrusion-set" => vec![Class::ThreatActor],
        _ if object.is_observable() => vec![Class::Indicator],
        _ => Vec::new(),
    }
}

fn is_near_miss(object: &Object) -> bool {
    let properties = object.properties();
    let determination =
        properties.get("extensions").and_then(|e| e.get(INCIDENT_CORE)?.get("determination")?.as_str());
    matches!(determination, Some("blocked" | "failed-attempt"))
}

fn is_detection_rule(object: &Object) -> bool {
    let properties = object.properties();
    matches!(
        properties.get("pattern_type").and_then(|kind| kind.as_str()),
        Some("sigma" | "yara" | "suricata" | "snort")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::schema::InformationClass as Class;

    fn classes(kind: &str, more: &Value) -> Vec<Class> {
        let mut object = json!({"type": kind, "spec_version": "2.1", "id": format!("{kind}--298fe907-7931-4fd2-8131-2814dd493134"),
            "created": "2026-11-23T10:00:00.000Z", "modified": "2026-11-23T10:00:00.000Z", "name": "n",
            "pattern": "p", "pattern_type": "stix", "valid_from": "2026-11-23T10:00:00.000Z", "is_family": false, "value": "v"});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        infer([&Object::parse(&serde_json::to_vec(&object).unwrap()).unwrap()])
    }

    #[test]
    fn every_class_of_the_directive_has_its_types() {
        let near_miss = json!({"extensions": {INCIDENT_CORE: {"determination": "blocked"}}});
        for (kind, more, expected) in [
            ("campaign", json!({}), vec![Class::CyberThreat]),
            ("incident", near_miss, vec![Class::NearMiss]),
            ("incident", json!({}), vec![Class::Alert]),
            ("vulnerability", json!({}), vec![Class::Vulnerability]),
            ("attack-pattern", json!({}), vec![Class::Technique]),
            ("attack-pattern", json!({"kill_chain_phases": []}), vec![Class::Technique, Class::Tactic]),
            ("indicator", json!({}), vec![Class::Indicator]),
            ("indicator", json!({"pattern_type": "sigma"}), vec![Class::Configuration]),
            ("url", json!({}), vec![Class::Indicator]),
            ("intrusion-set", json!({}), vec![Class::ThreatActor]),
            ("course-of-action", json!({}), vec![Class::Configuration]),
            ("identity", json!({}), vec![]),
            ("x-mitre-asset", json!({}), vec![]),
        ] {
            assert_eq!(classes(kind, &more), expected, "{kind}");
        }
    }
}
