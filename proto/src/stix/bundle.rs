//! A STIX bundle (STIX 2.1 §8): how objects arrive. Only the container's objects matter; it has no meaning of its own.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::{
    limits::{MAX_BUNDLE, MAX_BUNDLE_OBJECTS},
    stix::{
        id,
        minify::{JsonError, JsonFault, Scan},
        object::{Object, ObjectError},
    },
};

/// Bytes of a bundle's own properties beside its objects: an id, and the odd custom one.
const MAX_OWN: usize = 64 * 1024;

/// Why bytes are not a bundle belfry takes in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Longer than [`MAX_BUNDLE`].
    #[error("bundle has {0} bytes, more than {MAX_BUNDLE}")]
    TooLong(usize),
    /// Not JSON, or over a limit, at the byte given.
    #[error("bundle is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// One of its objects is not JSON, or over a limit.
    #[error("objects[{index}] is not acceptable JSON: {source}")]
    ObjectJson {
        /// Position in `objects`, from 0.
        index: usize,
        /// Where and what; the offset counts from the bundle's start.
        source: JsonError,
    },
    /// Some other object or container.
    #[error("type is {0:?}; expected a STIX bundle, {{\"type\": \"bundle\", \"id\": …, \"objects\": […]}}")]
    NotABundle(String),
    /// No id, or not one of a bundle.
    #[error("id of the bundle must be \"bundle--\" and a UUID")]
    Id,
    /// Nothing in it.
    #[error("bundle holds no objects")]
    Empty,
    /// More than [`MAX_BUNDLE_OBJECTS`].
    #[error("bundle holds more than {MAX_BUNDLE_OBJECTS} objects")]
    TooMany,
    /// One of its objects breaks a rule.
    #[error("objects[{index}]: {source}")]
    Object {
        /// Position in `objects`, from 0.
        index: usize,
        /// Which and how.
        source: ObjectError,
    },
    /// Two objects claim to be the same version of the same thing.
    #[error("objects[{index}]: {id} stands in the bundle before, with the same version and another content")]
    Conflict {
        /// Position of the second in `objects`, from 0.
        index: usize,
        /// The id of both.
        id: String,
    },
}

/// A bundle whose every object is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    id: String,
    objects: Vec<Object>,
}

impl Bundle {
    /// Parses a bundle. Objects that stand in it twice, byte for byte, are taken once.
    ///
    /// # Errors
    /// [`BundleError`] with the first fault; nothing of a bundle with a fault is kept.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BUNDLE {
            return Err(BundleError::TooLong(bytes.len()));
        }
        let mut scan = Scan::new(bytes)?;
        let mut found = Found::default();
        scan.expect(b'{', "a bundle, which is a JSON object")?;
        if !scan.take(b'}') {
            loop {
                found.property(&mut scan)?;
                if scan.take(b'}') {
                    break;
                }
                scan.expect(b',', "a comma or a closing brace")?;
            }
        }
        scan.end()?;
        found.into_bundle()
    }

    /// `bundle--uuid`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// In the order of the bundle.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// In the order of the bundle.
    #[must_use]
    pub fn into_objects(self) -> Vec<Object> {
        self.objects
    }
}

/// What of a bundle has been read so far.
#[derive(Default)]
struct Found {
    names: Vec<String>,
    kind: Option<String>,
    id: Option<String>,
    objects: Vec<Object>,
}

impl Found {
    fn property(&mut self, scan: &mut Scan<'_>) -> Result<(), BundleError> {
        let name = scan.text()?.into_owned();
        scan.expect(b':', "a colon")?;
        if self.names.contains(&name) {
            return Ok(scan.fault(JsonFault::DuplicateKey(name.chars().take(64).collect()))?);
        }
        if self.names.len() == MAX_NAMES {
            return Ok(scan.fault(JsonFault::TooManyValues)?);
        }
        match name.as_str() {
            "objects" => self.objects(scan)?,
            "type" => self.kind = Some(scan.text()?.chars().take(64).collect()),
            "id" => self.id = Some(scan.text()?.into_owned()),
            _ => scan.value(&mut Vec::new(), MAX_OWN)?,
        }
        self.names.push(name);
        Ok(())
    }

    fn objects(&mut self, scan: &mut Scan<'_>) -> Result<(), BundleError> {
        scan.expect(b'[', "a list of objects")?;
        if scan.take(b']') {
            return Ok(());
        }
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        for index in 0.. {
            if index == MAX_BUNDLE_OBJECTS {
                return Err(BundleError::TooMany);
            }
            let mut raw = Vec::new();
            // Length is judged afterwards, so that the object can be named.
            scan.value(&mut raw, MAX_BUNDLE).map_err(|source| BundleError::ObjectJson { index, source })?;
            raw.shrink_to_fit();
            let object =
                Object::parse_minified(raw).map_err(|source| BundleError::Object { index, source })?;
            match seen.entry((object.id().to_owned(), object.version().to_owned())) {
                Entry::Vacant(entry) => {
                    entry.insert(self.objects.len());
                    self.objects.push(object);
                }
                Entry::Occupied(entry) => {
                    if self.objects.get(*entry.get()).map(Object::raw) != Some(object.raw()) {
                        return Err(BundleError::Conflict { index, id: object.id().to_owned() });
                    }
                }
            }
            if scan.take(b']') {
                break;
            }
            scan.expect(b',', "a comma or a closing bracket")?;
        }
        Ok(())
    }

    fn into_bundle(self) -> Result<Bundle, BundleError> {
        let kind = self.kind.unwrap_or_default();
        if kind != "bundle" {
            return Err(BundleError::NotABundle(kind));
        }
        let id = self.id.filter(|id| id::type_of(id) == Some("bundle")).ok_or(BundleError::Id)?;
        if self.objects.is_empty() {
            return Err(BundleError::Empty);
        }
        Ok(Bundle { id, objects: self.objects })
    }
}

/// Properties of a bundle itself: the standard has three.
const MAX_NAMES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::MAX_OBJECT,
        stix::object::{ObjectError, Rule},
    };

    const ID: &str = "bundle--298fe907-7931-4fd2-8131-2814dd493134";
    const IP: &str = r#"{"type":"ipv4-addr","id":"ipv4-addr--12592121-be4c-5a93-a813-5a5af16e50db","value":"198.51.100.7"}"#;

    fn bundle(objects: &str) -> String {
        format!(r#"{{"type": "bundle", "id": "{ID}", "objects": [{objects}]}}"#)
    }

    fn fault(text: &str) -> BundleError {
        Bundle::parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn objects_keep_their_order_and_their_bytes() {
        let note = r#"{"type":"x-note","id":"x-note--298fe907-7931-4fd2-8131-2814dd493134","n":1e2}"#;
        let parsed = Bundle::parse(bundle(&format!("{note} , {IP}")).as_bytes()).unwrap();
        assert_eq!(parsed.id(), ID);
        assert_eq!(
            parsed.objects().iter().map(Object::raw).collect::<Vec<_>>(),
            [note.as_bytes(), IP.as_bytes()]
        );
    }

    #[test]
    fn other_things_than_bundles_are_named() {
        assert_eq!(fault(IP), BundleError::NotABundle("ipv4-addr".into()));
        assert_eq!(fault(r#"{"objects":[]}"#), BundleError::NotABundle(String::new()));
        assert_eq!(fault(r#"{"type":"bundle","id":"x","objects":[]}"#), BundleError::Id);
        assert_eq!(fault(&bundle("")), BundleError::Empty);
        for text in [
            "",
            "[]",
            "null",
            "{\"type\":\"bundle\"} x",
            "{\"objects\":{}}",
            "{\"type\":\"bundle\",\"type\":\"bundle\"}",
        ] {
            assert!(matches!(fault(text), BundleError::Json(_)), "{text}");
        }
    }

    #[test]
    fn a_bad_object_is_named_by_position_and_id() {
        let bad = IP.replace("value", "valeu");
        match fault(&bundle(&format!("{IP},{bad}"))) {
            BundleError::Object {
                index: 1,
                source: ObjectError { id: Some(id), path, rule: Rule::Missing },
            } => {
                assert_eq!(
                    (id.as_str(), path.as_str()),
                    ("ipv4-addr--12592121-be4c-5a93-a813-5a5af16e50db", "value")
                );
            }
            other => panic!("{other}"),
        }
        let long = IP.replace("198.51.100.7", &"1".repeat(MAX_OBJECT));
        assert!(matches!(
            fault(&bundle(&long)),
            BundleError::Object { index: 0, source: ObjectError { id: Some(_), rule: Rule::TooLong(_), .. } }
        ));
        assert!(matches!(fault(&bundle("{\"a\":1,\"a\":2}")), BundleError::ObjectJson { index: 0, .. }));
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert!(matches!(fault(&bundle(&deep)), BundleError::ObjectJson { index: 0, .. }));
    }

    #[test]
    fn twins_are_one_and_contradictions_none() {
        assert_eq!(Bundle::parse(bundle(&format!("{IP},{IP}")).as_bytes()).unwrap().objects().len(), 1);
        let other = IP.replace("\"value\"", "\"x_note\":1,\"value\"");
        assert!(matches!(fault(&bundle(&format!("{IP},{other}"))), BundleError::Conflict { index: 1, .. }));
    }

    #[test]
    fn no_prefix_of_a_bundle_is_one() {
        let whole = bundle(IP);
        for end in 0..whole.len() {
            assert!(Bundle::parse(&whole.as_bytes()[..end]).is_err(), "{end}");
        }
    }
}
