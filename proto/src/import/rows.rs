//! Values that stand alone, as in lists and tables: an indicator each, based on its observable.

use serde_json::json;

use super::{
    Import, ImportError, Options,
    make::{Frame, Item, id, id_of, time},
};
use crate::{
    stix::{marking::Tlp, observable::Kind},
    time::Timestamp,
};

/// What is said of one value.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) description: String,
    pub(super) labels: Vec<String>,
    pub(super) tlp: Option<Tlp>,
    pub(super) confidence: Option<u8>,
    pub(super) valid_from: Option<Timestamp>,
    pub(super) valid_until: Option<Timestamp>,
}

/// Makes the objects of rows.
pub(super) struct Rows {
    frame: Frame,
    now: Timestamp,
    valid_until: Option<Timestamp>,
    unmarked: Option<Tlp>,
}

impl Rows {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            frame: Frame::at(options.now),
            now: options.now,
            valid_until: options.valid_until,
            unmarked: options.unmarked,
        }
    }

    /// A value as something to look for; a CVE number as a vulnerability.
    pub(super) fn indicator(&self, item: &Item, said: &Said, import: &mut Import) -> Result<(), ImportError> {
        let tlp = said.tlp.or(self.unmarked);
        let frame = Frame { tlp, ..self.frame.clone() };
        import.narrow(tlp, None);
        let labels: usize = said.labels.iter().map(String::len).sum();
        let name = item.name();
        import.begin_row(name.len() + said.description.len() + labels);
        if item.observable.kind() == Kind::Cve {
            return import.add(frame.vulnerability(item.observable.value(), &said.description));
        }
        let (Some(pattern), Some(object)) = (item.pattern(), item.object()) else { return Ok(()) };
        let observable = id_of(&object);
        import.add_once(object)?;
        // A host that is named with several ports is one value, and each of them is told.
        let indicator = match item.port {
            None => id("indicator", &[&pattern]),
            Some(port) => id("indicator", &[&pattern, &port.to_string()]),
        };
        import.add(frame.object(
            "indicator",
            &indicator,
            json!({
                "name": name,
                "description": said.description,
                "labels": said.labels,
                "confidence": said.confidence,
                "indicator_types": ["malicious-activity"],
                "pattern": pattern,
                "pattern_type": "stix",
                "valid_from": time(said.valid_from.unwrap_or(self.now)),
                "valid_until": said.valid_until.or(self.valid_until).map(time),
            }),
        ))?;
        import.add(frame.relationship("based-on", &indicator, &observable))
    }
}
