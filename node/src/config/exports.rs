//! `[[exports]]` and `[lists]`: what this node's tools are given, and what never stands in any list.

use std::path::PathBuf;

use belfry_proto::stix::{
    egress::{Policy, Use},
    observable::Kind,
};
use serde::{Deserialize, Serialize};

use super::policy::{self, Way};
use crate::stated::Stated;

/// Score below which nothing is exported unless the profile says so: MISP's threshold for network detection.
const MINIMUM_SCORE: u8 = 30;

/// `[lists]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lists {
    /// Values that no export ever holds: domains with all below them, addresses, ranges, hashes.
    pub allow: Vec<String>,
    /// Folder of warning lists in MISP's JSON format. Unset: the built-in ones only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Names of lists that only inform; every other one keeps values out of exports.
    pub inform: Vec<String>,
}

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One value a line, one file a type.
    List,
    /// RFC 4180 with headings.
    Csv,
    /// The look-up tables of Splunk Enterprise Security.
    SplunkEs,
    /// Datasets and the rules that ask them.
    Suricata,
    /// Zeek's intelligence framework.
    Zeek,
    /// A DNS response policy zone.
    Rpz,
    /// A STIX 2.1 bundle.
    Stix,
    /// A static MISP feed.
    Misp,
    /// Sigma, YARA, Snort and Suricata rules as their authors wrote them.
    Rules,
}

/// One of `[[exports]]`, checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Export {
    /// Its name in URLs.
    pub name: String,
    /// What it looks like.
    pub format: Format,
    /// What may leave by it.
    pub policy: Policy,
    /// Slugs of groups; empty for all that the token reads.
    pub groups: Vec<String>,
    /// Types of values; empty for every one the format has.
    pub types: Vec<Kind>,
    /// Lowest score.
    pub minimum_score: u8,
    /// What publications state.
    pub stated: Stated,
    /// Values on warning lists, too.
    pub warned: bool,
    /// Serves nothing and reports what it would.
    pub shadow: bool,
}

/// As it stands in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    format: Format,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_tlp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unstated_pap: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    types: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minimum_score: Option<u8>,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default)]
    purposes: Vec<String>,
    #[serde(default)]
    warned: bool,
    #[serde(default)]
    shadow: bool,
}

impl Format {
    /// Whether its readers stop traffic by it unless told otherwise.
    const fn blocks(self) -> bool {
        matches!(self, Self::List | Self::Rpz)
    }

    /// As the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Csv => "csv",
            Self::SplunkEs => "splunk-es",
            Self::Suricata => "suricata",
            Self::Zeek => "zeek",
            Self::Rpz => "rpz",
            Self::Stix => "stix",
            Self::Misp => "misp",
            Self::Rules => "rules",
        }
    }
}

impl TryFrom<Written> for Export {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { name, format, groups, shadow, warned, .. } = written;
        policy::name(&name)?;
        let way = Way {
            action: written.action,
            audience: written.audience,
            max_tlp: written.max_tlp,
            unstated_pap: written.unstated_pap,
        };
        let policy = way.policy(if format.blocks() { Use::Block } else { Use::Detect })?;
        let types =
            written.types.iter().map(|text| text.parse().map_err(|e| format!("types: {text:?}: {e}")));
        if warned && policy.purpose == Use::Block {
            return Err(
                "warned: what is on a warning list is never blocked; set action = \"detect\"".to_owned()
            );
        }
        let minimum_score = written.minimum_score.unwrap_or(MINIMUM_SCORE);
        if minimum_score > 100 {
            return Err(format!("minimum_score: {minimum_score} is above 100"));
        }
        Ok(Self {
            name,
            format,
            policy,
            groups,
            types: types.collect::<Result<_, String>>()?,
            minimum_score,
            stated: policy::stated(&written.classes, &written.purposes)?,
            warned,
            shadow,
        })
    }
}

impl From<Export> for Written {
    fn from(export: Export) -> Self {
        let Way { action, audience, max_tlp, unstated_pap } = Way::of(&export.policy);
        Self {
            name: export.name,
            format: export.format,
            action,
            audience,
            max_tlp,
            unstated_pap,
            groups: export.groups,
            types: export.types.iter().map(ToString::to_string).collect(),
            minimum_score: Some(export.minimum_score),
            classes: policy::words(export.stated.classes),
            purposes: policy::words(export.stated.purposes),
            warned: export.warned,
            shadow: export.shadow,
        }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::stix::marking::Tlp;

    use super::*;

    fn read(text: &str) -> Result<Export, String> {
        toml::from_str(&format!("name = \"x\"\nformat = \"list\"\n{text}")).map_err(|e| e.to_string())
    }

    #[test]
    fn a_profile_is_as_narrow_as_its_way_out_demands() {
        let inside = read("").unwrap();
        assert_eq!((inside.policy.most, inside.policy.purpose), (Tlp::AmberStrict, Use::Block));
        assert_eq!(read("audience = \"outside\"").unwrap().policy.most, Tlp::Green);
        assert_eq!(read("audience = \"outside\"\nmax_tlp = \"amber\"").unwrap().policy.most, Tlp::Amber);
        assert_eq!(
            read(&toml::to_string(&inside).unwrap().replace("name", "#").replace("format", "#")).unwrap(),
            inside
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_key() {
        for (text, key) in [
            ("max_tlp = \"red\"", "max_tlp"),
            ("audience = \"outside\"\nmax_tlp = \"amber+strict\"", "max_tlp"),
            ("action = \"destroy\"", "action"),
            ("types = [\"ip\"]", "types"),
            ("classes = [\"gossip\"]", "classes"),
            ("purposes = [\"gossip\"]", "purposes"),
            ("unstated_pap = \"white\"", "unstated_pap"),
            ("warned = true", "warned"),
            ("minimum_score = 101", "minimum_score"),
            ("audience = \"everybody\"", "audience"),
        ] {
            let refusal = read(text).unwrap_err();
            assert!(refusal.contains(key), "{text}: {refusal}");
        }
        assert!(toml::from_str::<Export>("name = \"A b\"\nformat = \"list\"").is_err());
    }
}
