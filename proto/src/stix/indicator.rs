//! Indicators, sightings and opinions, read as far as scores and exports need them.
//!
//! The objects were checked when they came in; what does not read here is of no use and no error.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, json};

use crate::{
    stix::{
        extension,
        object::{Object, ObjectError},
        observable::{Kind, MAX_OBSERVABLES, Observable, compared, is_compared, is_of_file, pattern},
        rule::{Language, network},
        score::Opinion,
    },
    time::Timestamp,
};

/// Index entries by which what is said about an object is found.
pub const SIGHTING_OF: &str = "sighting-of";
/// As [`SIGHTING_OF`], for opinions.
pub const OPINION_ON: &str = "opinion-on";
/// In an opinion's [`extension`]: since when an indicator no longer holds.
const EXPIRED: &str = "expired";
/// Label of a sighting that was sealed to stewards: it is for them to tell, without whose it is.
pub const FOR_STEWARDS: &str = "for-stewards-to-tell";
/// What a rule of Snort or Suricata begins with that stops or changes traffic where it runs inline.
const STOPPING: [&str; 9] =
    ["drop", "sdrop", "block", "reject", "rejectsrc", "rejectdst", "rejectboth", "react", "rewrite"];
/// Objects one opinion or sighting is entered under; people speak of one.
const MAX_ABOUT: usize = 64;

/// What an indicator says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Indicator {
    /// Its name.
    pub name: String,
    /// The pattern's language.
    pub pattern_type: String,
    /// The pattern.
    pub pattern: String,
    /// Its author's confidence, as written.
    pub confidence: Option<u8>,
    valid_from: String,
    valid_until: Option<String>,
    /// `malicious-activity`, `benign` and the like.
    pub indicator_types: Vec<String>,
}

/// How sure its author is of an indicator, and when it holds by its author's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// As written.
    pub confidence: Option<u8>,
    /// The epoch if unreadable.
    pub from: Timestamp,
    /// If its author says.
    pub until: Option<Timestamp>,
}

/// An indicator but for its values: what it is called and what its worth depends on. Reads exactly what [`Indicator`] reads
/// and keeps no copy of the pattern, which may have hundreds of kilobytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Brief<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    confidence: Option<u8>,
    #[serde(borrow)]
    valid_from: Cow<'a, str>,
    valid_until: Option<Cow<'a, str>>,
    // Looked at, so that an indicator that does not read there does not read here either.
    #[serde(rename = "pattern_type")]
    _pattern_type: Text,
    #[serde(rename = "pattern")]
    _pattern: Text,
    #[serde(rename = "indicator_types")]
    _indicator_types: Vec<Text>,
}

/// That a property is a text; which does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl de::Visitor<'_> for Any {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Text, E> {
                Ok(Text)
            }
        }
        deserializer.deserialize_str(Any)
    }
}

impl<'a> Brief<'a> {
    /// Off an indicator's JSON.
    #[must_use]
    pub fn read(raw: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(raw).ok()
    }

    /// What its worth depends on.
    #[must_use]
    pub fn claimed(&self) -> Claimed {
        Claimed {
            confidence: self.confidence,
            from: time(&self.valid_from).unwrap_or_default(),
            until: self.valid_until.as_deref().and_then(time),
        }
    }
}

/// How much of a pattern a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stands {
    /// Its presence makes the pattern match.
    Alone,
    /// The pattern asks for more besides: good to look for, not to block by.
    Joined,
}

/// What has a value that a pattern looks for: hashes of all things look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bearer {
    /// What the value's type says: of a hash, a file.
    Usual,
    /// A certificate, by its fingerprint.
    Certificate,
    /// Anything else that a hash is named of.
    Other,
}

impl Bearer {
    /// By the path of a comparison.
    fn of(path: &str) -> Self {
        match path.split_once(':') {
            Some((kind, property)) if property.starts_with("hashes.") => match kind {
                "file" | "artifact" => Self::Usual,
                "x509-certificate" => Self::Certificate,
                _ => Self::Other,
            },
            Some((_, property)) if property.contains(".hashes.") && !is_of_file(property) => Self::Other,
            _ => Self::Usual,
        }
    }
}

/// A value that an indicator looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// Which.
    pub value: Observable,
    /// How much of the pattern it is.
    pub stands: Stands,
    /// What has it.
    pub bearer: Bearer,
}

impl Indicator {
    /// Off an indicator's JSON.
    #[must_use]
    pub fn read(raw: &[u8]) -> Option<Self> {
        serde_json::from_slice(raw).ok()
    }

    /// From when it is valid; the epoch if unreadable.
    #[must_use]
    pub fn valid_from(&self) -> Timestamp {
        time(&self.valid_from).unwrap_or_default()
    }

    /// Until when, if its author says.
    #[must_use]
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.valid_until.as_deref().and_then(time)
    }

    /// What its worth depends on.
    #[must_use]
    pub fn claimed(&self) -> Claimed {
        Claimed { confidence: self.confidence, from: self.valid_from(), until: self.valid_until() }
    }

    /// Whether its author says that what it finds is harmless.
    #[must_use]
    pub fn is_benign(&self) -> bool {
        self.indicator_types.iter().any(|kind| kind == "benign")
            && !self.indicator_types.iter().any(|kind| kind == "malicious-activity" || kind == "compromised")
    }

    /// Whether it is a rule that stops, answers or changes traffic wherever it is loaded as its author wrote it: by its action, or
    /// by an option.
    #[must_use]
    pub fn stops(&self) -> bool {
        let stops = |line: &str| {
            let action = line.split_whitespace().next().unwrap_or_default();
            STOPPING.iter().any(|word| action.eq_ignore_ascii_case(word))
        };
        let Some(language @ (Language::Snort | Language::Suricata)) = Language::of(&self.pattern_type) else {
            return false;
        };
        let acts =
            || network::read(language, &self.pattern).is_ok_and(|rules| rules.iter().any(|rule| rule.acts));
        self.pattern.lines().any(stops) || acts()
    }

    /// All values it looks for, each once for everything that has it.
    ///
    /// A cryptographic hash names its file or certificate whatever else a pattern asks for, so it always stands alone.
    #[must_use]
    pub fn sought(&self) -> Vec<Sought> {
        self.looks().map(|(sought, _)| sought).unwrap_or_default()
    }

    /// Those values, and whether its pattern compares others besides; none for what is no STIX pattern.
    fn looks(&self) -> Option<(Vec<Sought>, bool)> {
        if self.pattern_type != "stix" {
            return None;
        }
        let read = pattern::read(&self.pattern).ok()?;
        let mut found: BTreeMap<(Observable, Bearer), Stands> = BTreeMap::new();
        let mut is_more = false;
        for comparison in &read.comparisons {
            let bearer = Bearer::of(comparison.path());
            let has_values = is_compared(comparison.path());
            is_more |= has_values && comparison.wanted().next().is_none();
            for value in comparison.wanted() {
                let Some(observable) = compared(comparison.path(), value) else {
                    is_more |= has_values;
                    continue;
                };
                let is_hash =
                    matches!(observable.kind(), Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512);
                let names_it = is_hash && bearer != Bearer::Other;
                let stands = if read.is_joined && !names_it { Stands::Joined } else { Stands::Alone };
                let key = (observable, bearer);
                if found.len() >= MAX_OBSERVABLES && !found.contains_key(&key) {
                    is_more = true;
                    continue;
                }
                let known = found.entry(key).or_insert(stands);
                *known = (*known).min(stands);
            }
        }
        let sought = |((value, bearer), stands)| Sought { value, stands, bearer };
        Some((found.into_iter().map(sought).collect(), is_more))
    }

    /// Whether its pattern is one of STIX, by every rule of the grammar.
    #[must_use]
    pub fn is_of_stix(&self) -> bool {
        self.pattern_type == "stix" && pattern::check(&self.pattern).is_ok()
    }

    /// Whether its pattern compares anything that has values known here without naming a value to look for ([`Self::sought`]): with
    /// `LIKE`, `<` or negated, with what is none, or with more than are read. It may then be about what stands in a list, and give no
    /// value to ask that list for. So may whatever does not read.
    #[must_use]
    pub fn compares_unnamed(&self) -> bool {
        self.pattern_type == "stix" && self.looks().is_none_or(|(_, is_more)| is_more)
    }
}

/// Holds an indicator's pattern to its grammar, where it says that it is a STIX pattern (STIX 2.1 §9); rules of other
/// languages pass, for they have checkers of their own.
///
/// For whoever publishes: readers keep what others wrote, broken or not, and find in it what they can. `properties` are the
/// object's own ([`Object::properties`]), which other checks read, too.
///
/// # Errors
/// [`ObjectError`] that names the object, its pattern and the place.
pub fn check(object: &Object, properties: &Map<String, Value>) -> Result<(), ObjectError> {
    if object.kind() != "indicator" {
        return Ok(());
    }
    let text = |name: &str| properties.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("pattern_type") != "stix" {
        return Ok(());
    }
    pattern::check(text("pattern")).map_err(|error| ObjectError {
        id: Some(object.id().to_owned()),
        path: "pattern".to_owned(),
        rule: error.into(),
    })
}

/// What a sighting says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Sighting {
    /// Of which object.
    pub sighting_of_ref: String,
    /// How often; unset once.
    pub count: Option<u64>,
    created: String,
    first_seen: Option<String>,
    last_seen: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
}

impl Sighting {
    /// Off a sighting's JSON.
    #[must_use]
    pub fn read(raw: &[u8]) -> Option<Self> {
        serde_json::from_slice(raw).ok()
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        time(&self.created).unwrap_or_default()
    }

    /// Whether it waits for a steward to tell it, and until then counts for nobody.
    #[must_use]
    pub fn is_for_stewards(&self) -> bool {
        self.labels.iter().any(|label| label == FOR_STEWARDS)
    }

    /// When it was first seen.
    #[must_use]
    pub fn first(&self) -> Timestamp {
        self.first_seen.as_deref().and_then(time).unwrap_or_else(|| self.created())
    }

    /// When it was last seen.
    #[must_use]
    pub fn last(&self) -> Timestamp {
        self.last_seen.as_deref().and_then(time).unwrap_or_else(|| self.first())
    }
}

/// What an opinion object says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OpinionObject {
    opinion: String,
    /// On which objects.
    pub object_refs: Vec<String>,
    /// Why.
    #[serde(default)]
    pub explanation: String,
    #[serde(default)]
    extensions: Map<String, Value>,
}

impl OpinionObject {
    /// Off an opinion's JSON.
    #[must_use]
    pub fn read(raw: &[u8]) -> Option<Self> {
        serde_json::from_slice(raw).ok()
    }

    /// The opinion; unset for a word STIX has not.
    #[must_use]
    pub fn opinion(&self) -> Option<Opinion> {
        Opinion::of(&self.opinion)
    }

    /// Since when its author finds that they no longer hold, if that is what it says; then it is no opinion for or
    /// against them.
    #[must_use]
    pub fn expired(&self) -> Option<Timestamp> {
        time(self.extensions.get(extension::ID)?.get(EXPIRED)?.as_str()?)
    }
}

/// What an opinion has besides to say that its objects no longer hold since then. Readers that do not know it find one
/// that is neutral.
#[must_use]
pub fn expiry(at: Timestamp) -> Value {
    json!({
        "opinion": Opinion::Neutral.as_str(), "explanation": "no longer valid",
        "extensions": extension::of(EXPIRED, at.to_string().into()),
    })
}

/// Index entries by which `kind`'s object is found from what it speaks of.
#[must_use]
pub fn about(kind: &str, raw: &[u8]) -> Vec<(&'static str, String)> {
    match kind {
        "sighting" => Sighting::read(raw).map(|s| (SIGHTING_OF, s.sighting_of_ref)).into_iter().collect(),
        "opinion" => {
            let on = OpinionObject::read(raw).map(|o| o.object_refs).unwrap_or_default();
            on.into_iter().take(MAX_ABOUT).map(|id| (OPINION_ON, id)).collect()
        }
        _ => Vec::new(),
    }
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is what its type says: a hash is a file's.
    fn values(pattern: &str) -> Vec<String> {
        let indicator =
            Indicator { pattern_type: "stix".into(), pattern: pattern.into(), ..Indicator::default() };
        let usual = indicator.sought().into_iter().filter(|sought| sought.bearer == Bearer::Usual);
        usual.map(|sought| format!("{} {:?}", sought.value.value(), sought.stands)).collect()
    }

    #[test]
    fn a_value_that_is_only_part_of_a_pattern_does_not_stand_alone() {
        assert_eq!(values("[domain-name:value = 'evil.example']"), ["evil.example Alone"]);
        assert_eq!(
            values("[ipv4-addr:value = '198.51.100.7' OR ipv4-addr:value = '198.51.100.8']"),
            ["198.51.100.7 Alone", "198.51.100.8 Alone"]
        );
        assert_eq!(
            values("[network-traffic:dst_ref.value = '198.51.100.7' AND network-traffic:dst_port = 443]"),
            ["198.51.100.7 Joined"]
        );
        assert_eq!(
            values("[domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b.example']"),
            ["a.example Joined", "b.example Joined"]
        );
    }

    #[test]
    fn a_hash_names_its_file_whatever_else_is_asked() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let pattern = format!("[file:name = 'evil.exe' AND file:hashes.MD5 = '{md5}']");
        assert_eq!(values(&pattern), [format!("{md5} Alone"), "evil.exe Joined".into()]);
    }

    #[test]
    fn the_hash_of_a_certificate_or_of_anything_else_is_no_files_and_is_sought_as_what_it_is() {
        let sha1 = |n: u32| format!("{n:040x}");
        let pattern = format!(
            "[x509-certificate:hashes.'SHA-1' = '{}' AND x-module:hashes.'SHA-1' = '{}' AND artifact:hashes.'SHA-1' = '{}' \
             AND domain-name:value = 'evil.example']",
            sha1(1),
            sha1(2),
            sha1(3)
        );
        let indicator = Indicator { pattern_type: "stix".into(), pattern, ..Indicator::default() };
        let sought: Vec<(String, Stands, Bearer)> = indicator
            .sought()
            .into_iter()
            .map(|sought| (sought.value.value().to_owned(), sought.stands, sought.bearer))
            .collect();
        let expected = [
            ("evil.example".to_owned(), Stands::Joined, Bearer::Usual),
            (sha1(1), Stands::Alone, Bearer::Certificate),
            (sha1(2), Stands::Joined, Bearer::Other),
            (sha1(3), Stands::Alone, Bearer::Usual),
        ];
        assert_eq!(sought, expected);
        assert_eq!(
            values(&indicator.pattern),
            ["evil.example Joined".to_owned(), format!("{} Alone", sha1(3))]
        );
        // Behind a reference it is what that leads to.
        let behind = format!(
            "[process:image_ref.hashes.'SHA-1' = '{}' OR x-module:parent_ref.hashes.'SHA-1' = '{}']",
            sha1(4),
            sha1(5)
        );
        assert_eq!(values(&behind), [format!("{} Alone", sha1(4))]);
        // What a file has as well is a file's, too.
        let pattern =
            format!("[x509-certificate:hashes.MD5 = '{0}' OR file:hashes.MD5 = '{0}']", "ab".repeat(16));
        assert_eq!(values(&pattern).len(), 1);
        let both = Indicator { pattern_type: "stix".into(), pattern, ..Indicator::default() };
        let bearers: Vec<Bearer> = both.sought().into_iter().map(|sought| sought.bearer).collect();
        assert_eq!(bearers, [Bearer::Usual, Bearer::Certificate]);
    }

    #[test]
    fn what_a_pattern_compares_without_naming_it_is_known_however_it_compares() {
        let compares = |pattern: &str| {
            let pattern = pattern.to_owned();
            Indicator { pattern_type: "stix".into(), pattern, ..Indicator::default() }.compares_unnamed()
        };
        for pattern in [
            "[domain-name:value LIKE '%.example.com']",
            "[ipv4-addr:value != '203.0.113.1']",
            "[url:value MATCHES '^http']",
            "[autonomous-system:number < 64500]",
            "[process:name = 'x' AND file:hashes.MD5 NOT = 'x']",
            "[network-traffic:dst_ref.value LIKE '203.0.113.%']",
            "[EXISTS email-addr:value]",
            "[domain-name:resolves_to_refs[*].value != '203.0.113.1']",
            "[process:image_ref.hashes.MD5 = 'x']",
            "[ipv4-addr:value = '198.51.100.7' OR domain-name:value LIKE '%.example.com']",
            "[domain-name:value IN ('evil.example', '*.example.com')]",
            "broken",
        ] {
            assert!(compares(pattern), "{pattern}");
        }
        for pattern in [
            "[process:command_line = 'domain-name:value']",
            "[network-traffic:dst_port != 443]",
            "[domain-name:value IN ('evil.example', 'bad.example')]",
            "[ipv4-addr:value ISSUBSET '198.51.100.0/24' AND process:name LIKE 'x%']",
        ] {
            assert!(!compares(pattern), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_names_more_values_than_are_read_compares_some_that_no_list_is_asked_for() {
        let of = |count: usize| {
            let values: Vec<String> = (0..count).map(|n| format!("'c2-{n}.example'")).collect();
            let pattern = format!("[domain-name:value IN ({})]", values.join(", "));
            Indicator { pattern_type: "stix".into(), pattern, ..Indicator::default() }
        };
        let (most, more) = (of(MAX_OBSERVABLES), of(MAX_OBSERVABLES + 1));
        assert_eq!((most.sought().len(), more.sought().len()), (MAX_OBSERVABLES, MAX_OBSERVABLES));
        assert!(!most.compares_unnamed() && more.compares_unnamed());
    }

    #[test]
    fn a_rule_that_stops_traffic_is_known_by_its_action() {
        let stops = |kind: &str, pattern: &str| {
            Indicator { pattern_type: kind.into(), pattern: pattern.into(), ..Indicator::default() }.stops()
        };
        let rule = "tcp any any -> any any (msg:\"drop it\"; sid:1;)";
        for (action, expected) in [
            ("alert", false),
            ("pass", false),
            ("# drop", false),
            ("drop", true),
            ("  Reject", true),
            ("sdrop", true),
        ] {
            assert_eq!(stops("snort", &format!("{action} {rule}")), expected, "{action}");
        }
        assert!(stops("suricata", &format!("alert {rule}\r\nrejectboth {rule}")), "one of several");
        assert!(!stops("yara", "drop all") && !stops("sigma", ""));
        let with = |option: &str| format!("alert tcp any any -> any any (msg:\"resp:x;\"; {option} sid:1;)");
        for option in ["resp:reset_both;", "react;", "replace:\"x\";"] {
            assert!(stops("snort", &with(option)), "{option}");
        }
        assert!(!stops("snort", &with("reference:url,e.be/react;")) && !stops("yara", &with("react;")));
    }

    #[test]
    fn what_is_harmless_or_unreadable_is_told() {
        let read = |json: &str| Indicator::read(json.as_bytes()).unwrap();
        assert!(read(r#"{"indicator_types":["benign"]}"#).is_benign());
        assert!(!read(r#"{"indicator_types":["benign","malicious-activity"]}"#).is_benign());
        assert_eq!(read(r#"{"valid_until":"soon"}"#).valid_until(), None);
        assert_eq!(Indicator::read(b"{\"confidence\":\"high\"}"), None);
        let until = read(r#"{"valid_until":"2026-11-23T10:00:00Z"}"#).valid_until().unwrap();
        assert_eq!(until.to_string(), "2026-11-23T10:00:00.000000Z");
    }

    #[test]
    fn an_indicator_in_brief_is_the_same_and_reads_where_the_whole_does() {
        for json in [
            r#"{"name":"bad","confidence":7,"valid_from":"2026-11-23T10:00:00Z","pattern":"[x]","pattern_type":"stix"}"#,
            r#"{"name":"b\u00e9 \"d\"","valid_from":"2026-11-23T10:00:00\u005a","valid_until":"2026-11-24T10:00:00Z"}"#,
            r#"{"valid_from":"soon","valid_until":null,"indicator_types":["benign","a\nb"],"pattern":"a\\b"}"#,
            r#"{"valid_until":"soon","extra":[1,{"name":2}]}"#,
            "{}",
            r#"{"name":1}"#,
            r#"{"confidence":300}"#,
            r#"{"confidence":"high"}"#,
            r#"{"pattern":["x"]}"#,
            r#"{"pattern_type":null}"#,
            r#"{"indicator_types":"benign"}"#,
            r#"{"indicator_types":[1]}"#,
            r#"{"valid_from":3}"#,
            r#"{"name":"a","name":"b"}"#,
            r#"{"pattern":"a","pattern":"b"}"#,
            "[]",
            "{",
        ] {
            let (whole, brief) = (Indicator::read(json.as_bytes()), Brief::read(json.as_bytes()));
            assert_eq!(brief.is_some(), whole.is_some(), "{json}");
            let whole = whole.map(|whole| (whole.claimed(), whole.name));
            assert_eq!(brief.map(|brief| (brief.claimed(), brief.name.into_owned())), whole, "{json}");
        }
    }

    #[test]
    fn an_expiry_is_an_opinion_of_nobodys_side_with_its_time() {
        let mut said = expiry("2026-11-23T10:00:00Z".parse().unwrap());
        said["object_refs"] = json!(["indicator--1"]);
        let read = OpinionObject::read(said.to_string().as_bytes()).unwrap();
        assert_eq!(read.opinion(), Some(Opinion::Neutral));
        assert_eq!(read.expired().unwrap().to_string(), "2026-11-23T10:00:00.000000Z");
        let plain = br#"{"opinion":"neutral","object_refs":["indicator--1"]}"#;
        assert_eq!(OpinionObject::read(plain).unwrap().expired(), None);
    }

    #[test]
    fn what_speaks_of_an_object_is_entered_under_it() {
        let sighting = br#"{"sighting_of_ref":"indicator--1","created":"2026-11-23T10:00:00Z"}"#;
        assert_eq!(about("sighting", sighting), [(SIGHTING_OF, "indicator--1".to_owned())]);
        let opinion = br#"{"opinion":"agree","object_refs":["a","b"]}"#;
        assert_eq!(about("opinion", opinion).len(), 2);
        assert!(about("indicator", opinion).is_empty());
    }
}
