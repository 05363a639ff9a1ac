//! What the standard lets a reference name (STIX 2.1 §3.2, §4–§7).

use crate::stix::{id, properties};

/// What may stand there.
pub(super) enum Target {
    /// Objects of these types.
    Types(&'static [&'static str]),
    /// Domain objects.
    Domain,
    /// Domain objects and observables.
    DomainOrObservable,
    /// Observables.
    Observable,
    /// Observables and relationships.
    ObservableOrRelationship,
}

/// A reference stands there.
pub(super) struct Place {
    /// Type of object; empty for every type.
    pub(super) of: &'static str,
    /// As in [`super::vocabularies::Place`].
    pub(super) way: &'static [&'static str],
    pub(super) target: Target,
    pub(super) rule: &'static str,
}

const fn at(
    of: &'static str,
    way: &'static [&'static str],
    types: &'static [&'static str],
    rule: &'static str,
) -> Place {
    Place { of, way, target: Target::Types(types), rule }
}

const fn of_class(
    of: &'static str,
    way: &'static [&'static str],
    target: Target,
    rule: &'static str,
) -> Place {
    Place { of, way, target, rule }
}

const ARTIFACT: &str = "be the id of an artifact";
const EMAIL: &str = "be the id of an email-addr";
const FILE: &str = "be the id of a file";
const SOFTWARE: &str = "be the id of a software";
const TRAFFIC: &str = "be the id of a network-traffic";
const USER: &str = "be the id of a user-account";
const HELD: &str = "be the id of a file or a directory";
const SAMPLE: &str = "be the id of an artifact or a file";
const END: &str = "be the id of an ipv4-addr, ipv6-addr, mac-addr or domain-name";
const RELATED: &str = "be the id of a domain object or an observable";
const SEEN: &str = "be the id of an observable";

pub(super) static PLACES: &[Place] = &[
    at("", &["created_by_ref"], &["identity"], "be the id of an identity"),
    of_class("relationship", &["source_ref"], Target::DomainOrObservable, RELATED),
    of_class("relationship", &["target_ref"], Target::DomainOrObservable, RELATED),
    of_class("sighting", &["sighting_of_ref"], Target::Domain, "be the id of a domain object"),
    at("sighting", &["observed_data_refs", "[]"], &["observed-data"], "be the id of an observed-data"),
    at(
        "sighting",
        &["where_sighted_refs", "[]"],
        &["identity", "location"],
        "be the id of an identity or a location",
    ),
    of_class(
        "observed-data",
        &["object_refs", "[]"],
        Target::ObservableOrRelationship,
        "be the id of an observable or a relationship",
    ),
    at("malware", &["operating_system_refs", "[]"], &["software"], SOFTWARE),
    at("malware", &["sample_refs", "[]"], &["artifact", "file"], SAMPLE),
    at("malware-analysis", &["host_vm_ref"], &["software"], SOFTWARE),
    at("malware-analysis", &["operating_system_ref"], &["software"], SOFTWARE),
    at("malware-analysis", &["installed_software_refs", "[]"], &["software"], SOFTWARE),
    of_class("malware-analysis", &["analysis_sco_refs", "[]"], Target::Observable, SEEN),
    of_class("malware-analysis", &["sample_ref"], Target::Observable, SEEN),
    at("directory", &["contains_refs", "[]"], &["file", "directory"], HELD),
    at(
        "domain-name",
        &["resolves_to_refs", "[]"],
        &["ipv4-addr", "ipv6-addr", "domain-name"],
        "be the id of an ipv4-addr, ipv6-addr or domain-name",
    ),
    at("email-addr", &["belongs_to_ref"], &["user-account"], USER),
    at("email-message", &["from_ref"], &["email-addr"], EMAIL),
    at("email-message", &["sender_ref"], &["email-addr"], EMAIL),
    at("email-message", &["to_refs", "[]"], &["email-addr"], EMAIL),
    at("email-message", &["cc_refs", "[]"], &["email-addr"], EMAIL),
    at("email-message", &["bcc_refs", "[]"], &["email-addr"], EMAIL),
    at("email-message", &["raw_email_ref"], &["artifact"], ARTIFACT),
    at("email-message", &["body_multipart", "[]", "body_raw_ref"], &["artifact", "file"], SAMPLE),
    at("file", &["parent_directory_ref"], &["directory"], "be the id of a directory"),
    of_class("file", &["contains_refs", "[]"], Target::Observable, SEEN),
    at("file", &["content_ref"], &["artifact"], ARTIFACT),
    at("file", &["extensions", "archive-ext", "contains_refs", "[]"], &["file", "directory"], HELD),
    at("ipv4-addr", &["resolves_to_refs", "[]"], &["mac-addr"], "be the id of a mac-addr"),
    at("ipv4-addr", &["belongs_to_refs", "[]"], &["autonomous-system"], "be the id of an autonomous-system"),
    at("ipv6-addr", &["resolves_to_refs", "[]"], &["mac-addr"], "be the id of a mac-addr"),
    at("ipv6-addr", &["belongs_to_refs", "[]"], &["autonomous-system"], "be the id of an autonomous-system"),
    at("network-traffic", &["src_ref"], &["ipv4-addr", "ipv6-addr", "mac-addr", "domain-name"], END),
    at("network-traffic", &["dst_ref"], &["ipv4-addr", "ipv6-addr", "mac-addr", "domain-name"], END),
    at("network-traffic", &["src_payload_ref"], &["artifact"], ARTIFACT),
    at("network-traffic", &["dst_payload_ref"], &["artifact"], ARTIFACT),
    at("network-traffic", &["encapsulates_refs", "[]"], &["network-traffic"], TRAFFIC),
    at("network-traffic", &["encapsulated_by_ref"], &["network-traffic"], TRAFFIC),
    at(
        "network-traffic",
        &["extensions", "http-request-ext", "message_body_data_ref"],
        &["artifact"],
        ARTIFACT,
    ),
    at("process", &["opened_connection_refs", "[]"], &["network-traffic"], TRAFFIC),
    at("process", &["creator_user_ref"], &["user-account"], USER),
    at("process", &["image_ref"], &["file"], FILE),
    at("process", &["parent_ref"], &["process"], "be the id of a process"),
    at("process", &["child_refs", "[]"], &["process"], "be the id of a process"),
    at("process", &["extensions", "windows-service-ext", "service_dll_refs", "[]"], &["file"], FILE),
    at("windows-registry-key", &["creator_user_ref"], &["user-account"], USER),
];

impl Target {
    /// Whether it lets `text` stand there. What is no id at all is another rule's; a type that the standard does not
    /// define may be of any class.
    pub(super) fn takes(&self, text: &str) -> bool {
        let Some(kind) = id::type_of(text) else { return true };
        let is_observable = properties::is_observable(kind);
        let is_relationship = matches!(kind, "relationship" | "sighting");
        let is_meta =
            matches!(kind, "marking-definition" | "extension-definition" | "language-content" | "bundle");
        let is_domain = properties::is_defined(kind) && !is_observable && !is_relationship && !is_meta;
        let is_custom = !properties::is_defined(kind) && !is_meta;
        match self {
            Self::Types(types) => types.contains(&kind),
            Self::Domain => is_domain || is_custom,
            Self::DomainOrObservable => is_domain || is_observable || is_custom,
            Self::Observable => is_observable || is_custom,
            Self::ObservableOrRelationship => is_observable || is_relationship || is_custom,
        }
    }
}
