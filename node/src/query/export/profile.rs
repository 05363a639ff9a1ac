//! Export profiles as lists show them, and what their formats can write.

use belfry_proto::stix::{egress::Use, indicator::Bearer, observable::Kind};
use serde::Serialize;

use crate::{
    config::{Export, Format},
    words,
};

/// A profile as lists show it.
#[derive(Clone, Debug, Serialize)]
pub struct ExportView {
    /// Its name.
    pub name: String,
    /// Its format.
    pub format: &'static str,
    /// `block` or `detect`.
    pub action: &'static str,
    /// `inside` or `outside`.
    pub audience: &'static str,
    /// Most restrictive marking.
    pub max_tlp: &'static str,
    /// Slugs; empty for all.
    pub groups: Vec<String>,
    /// Types; empty for all of the format.
    pub types: Vec<&'static str>,
    /// Information classes; empty for all.
    pub classes: Vec<String>,
    /// Purposes; empty for all.
    pub purposes: Vec<String>,
    /// Lowest score.
    pub minimum_score: u8,
    /// Serves nothing, reports all.
    pub shadow: bool,
}

impl Format {
    /// Whether the format has a way to write values of a type.
    #[must_use]
    pub const fn writes(self, kind: Kind) -> bool {
        match self {
            Self::List | Self::Csv | Self::Stix => true,
            Self::SplunkEs => matches!(
                kind,
                Kind::Ipv4
                    | Kind::Ipv6
                    | Kind::Domain
                    | Kind::Url
                    | Kind::Email
                    | Kind::Md5
                    | Kind::Sha1
                    | Kind::Sha256
                    | Kind::Sha512
                    | Kind::FileName
            ),
            Self::Suricata => matches!(
                kind,
                Kind::Ipv4 | Kind::Ipv6 | Kind::Domain | Kind::Url | Kind::Md5 | Kind::Sha1 | Kind::Sha256
            ),
            Self::Zeek => matches!(
                kind,
                Kind::Ipv4
                    | Kind::Ipv6
                    | Kind::Domain
                    | Kind::Url
                    | Kind::Email
                    | Kind::Md5
                    | Kind::Sha1
                    | Kind::Sha256
                    | Kind::FileName
            ),
            Self::Rpz => matches!(kind, Kind::Ipv4 | Kind::Ipv6 | Kind::Domain),
            Self::Misp => !matches!(kind, Kind::Cve),
            Self::Rules => false,
        }
    }

    /// Whether a value of a type that it writes can be written as what it is: not every format that has hashes of files tells
    /// them from those of certificates.
    pub(super) const fn writes_of(self, kind: Kind, bearer: Bearer) -> bool {
        match (bearer, self) {
            // Zeek meets certificates by their SHA-1 alone.
            (Bearer::Certificate, Self::Zeek) => matches!(kind, Kind::Sha1),
            (Bearer::Certificate, Self::Misp) => matches!(kind, Kind::Md5 | Kind::Sha1 | Kind::Sha256),
            (Bearer::Usual, _) | (Bearer::Certificate | Bearer::Other, Self::Stix) => true,
            (Bearer::Certificate | Bearer::Other, _) => false,
        }
    }

    /// Whether it is made of objects, not of values.
    pub(super) const fn is_of_objects(self) -> bool {
        matches!(self, Self::Stix | Self::Misp | Self::Rules)
    }
}

impl ExportView {
    pub(super) fn of(export: &Export) -> Self {
        let policy = export.policy;
        Self {
            name: export.name.clone(),
            format: export.format.as_str(),
            action: if policy.purpose == Use::Block { "block" } else { "detect" },
            audience: policy.audience.as_str(),
            max_tlp: policy.most.as_str(),
            groups: export.groups.clone(),
            types: export.types.iter().map(|kind| kind.as_str()).collect(),
            classes: export.stated.classes.iter().copied().map(words::word).collect(),
            purposes: export.stated.purposes.iter().copied().map(words::word).collect(),
            minimum_score: export.minimum_score,
            shadow: export.shadow,
        }
    }
}
