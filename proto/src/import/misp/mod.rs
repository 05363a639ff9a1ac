//! A MISP event in JSON: what its attributes name, what it says of them, and who said it.
//!
//! | MISP | STIX 2.1 |
//! |---|---|
//! | event | `report` of its uuid, by an `identity` of the creator organisation |
//! | attribute, `to_ids` | `indicator` of its uuid, based on the observable |
//! | attribute, not `to_ids` | `observed-data` of its uuid, of the observable |
//! | file object | one `file` with all its hashes |
//! | relation of an object | `relationship` between what both became, where each is one thing |
//! | host with a port | the host; the port stands in the name of an indicator, among the labels of what was seen |
//! | fingerprint of a certificate | `x509-certificate` with that hash |
//! | YARA, Sigma or Snort rule | `indicator` in that language if `to_ids`, else `note` |
//! | galaxy cluster | threat actor, intrusion set, attack pattern, malware, tool |
//! | event report | `note` on the report |
//! | sighting, false positive, expiration | `sighting`, without who saw it; `opinion`; one that says since when |
//! | tag `belfry:class="…"` | the class that the report, or what the attribute became, states of itself |
//! | tags `tlp:…`, `PAP:…` | markings; others are labels, but for those of clusters that the event brings |
//! | local tag or cluster | nothing, as between MISPs; a marking holds all the same |
//!
//! A distribution of 0 ("your organisation only") counts as AMBER+STRICT, and so does a sharing group, whose members
//! nobody knows here. The strictest of what is said of an item, by tags and distributions of its own, its object and its
//! event, holds.

mod galaxy;
mod json;
mod parts;
mod relations;
mod types;

use std::collections::BTreeSet;

use serde_json::{Value, json};

pub(super) use self::types::item;
use self::{
    json::{Attribute, Event, Object, Report, Sighting, Tag},
    parts::{Whole, day, is_short, moment, seconds, shared, uuid},
    relations::{End, Ends},
    types::Meaning,
};
use super::{
    Import, ImportError, Options, Place, Why,
    make::{Frame, Item, id, id_of, time},
};
use crate::{
    schema::{InformationClass, Pap},
    stix::{
        extension, indicator,
        marking::Tlp,
        observable::{Kind, endpoint},
    },
    time::Timestamp,
};

/// Reads one event or a list of them.
pub(super) fn read(bytes: &[u8], options: &Options, import: &mut Import) -> Result<(), ImportError> {
    for (path, event) in json::events(bytes)? {
        Taking::new(&path, &event, options)?.take(&event, import)?;
    }
    Ok(())
}

/// What tags say.
#[derive(Default)]
struct Tagged {
    tlp: Option<Tlp>,
    pap: Option<Pap>,
    class: Option<String>,
    labels: Vec<String>,
}

/// An event on its way.
struct Taking {
    path: String,
    frame: Frame,
    when: Timestamp,
    valid_until: Option<Timestamp>,
    unmarked: Option<Tlp>,
    report: String,
    /// In the report, in order.
    refs: Vec<String>,
    known: BTreeSet<String>,
    links: Vec<String>,
    /// Tags of clusters that the event brings, in lower case.
    clusters: BTreeSet<String>,
    ends: Ends,
}

impl Taking {
    fn new(path: &str, event: &Event, options: &Options) -> Result<Self, ImportError> {
        let when = seconds(&event.timestamp).or_else(|| day(&event.date)).unwrap_or(options.now);
        let report = uuid(&format!("{path}.uuid"), &event.uuid)?;
        Ok(Self {
            path: path.to_owned(),
            frame: Frame::at(when),
            when,
            valid_until: options.valid_until,
            unmarked: options.unmarked,
            report: format!("report--{report}"),
            refs: Vec::new(),
            known: BTreeSet::new(),
            links: Vec::new(),
            clusters: event.all_galaxies().flat_map(galaxy::tags).collect(),
            ends: Ends::default(),
        })
    }

    fn take(mut self, event: &Event, import: &mut Import) -> Result<(), ImportError> {
        let tagged = self.tags(&self.path.clone(), &event.tags, import);
        let shared = shared(&self.path, event.distribution.as_deref(), import);
        self.frame.tlp = tagged.tlp.max(shared);
        import.narrow(self.frame.tlp, tagged.pap);
        self.author(event, import)?;
        for (i, attribute) in event.attributes.iter().enumerate() {
            self.attribute(&format!("{}.Attribute[{i}]", self.path), attribute, import)?;
        }
        for (i, object) in event.objects.iter().enumerate() {
            self.object(&format!("{}.Object[{i}]", self.path), object, import)?;
        }
        for (i, object) in event.objects.iter().enumerate().filter(|(_, object)| !object.deleted) {
            self.relations(&format!("{}.Object[{i}]", self.path), object, import)?;
        }
        for i in 0..event.proposals.len() {
            import.skip(Place::Path(format!("{}.ShadowAttribute[{i}]", self.path)), Why::Proposal);
        }
        for (i, report) in event.reports.iter().enumerate() {
            self.page(&format!("{}.EventReport[{i}]", self.path), report, import)?;
        }
        for (i, galaxy) in event.galaxies.iter().enumerate() {
            let path = format!("{}.Galaxy[{i}]", self.path);
            for object in galaxy::objects(&path, galaxy, import) {
                self.add(object, import)?;
            }
        }
        self.report(event, tagged, import)
    }

    /// Who wrote the event: its creator organisation, never a person.
    fn author(&mut self, event: &Event, import: &mut Import) -> Result<(), ImportError> {
        let Some(organisation) = &event.orgc else { return Ok(()) };
        let uuid = uuid(&format!("{}.Orgc.uuid", self.path), &organisation.uuid)?;
        let author = format!("identity--{uuid}");
        // Of one form whichever event it stands in, so that all of them name one object.
        let frame = Frame { tlp: None, ..Frame::at(Timestamp::ZERO) };
        let properties = json!({"name": organisation.name, "identity_class": "organization"});
        self.frame.author = Some(author.clone());
        self.add(frame.object("identity", &author, properties), import)?;
        // The report says by `created_by_ref` whose it is; among what it is about, its author would name whom a steward
        // publishes for.
        self.refs.retain(|id| *id != author);
        Ok(())
    }

    fn attribute(
        &mut self,
        path: &str,
        attribute: &Attribute,
        import: &mut Import,
    ) -> Result<(), ImportError> {
        if let Some(items) = self.items(path, attribute, import)? {
            let of_file: Vec<&Item> = items.iter().filter(|item| item.is_of_file()).collect();
            // `filename|md5` is one file.
            let whole = (of_file.len() > 1).then(|| Whole::of(&of_file)).flatten();
            let about = self.about(path, attribute, import)?;
            // Once, however many values it has: what cannot be taken of its tags is told with it.
            let (frame, labels) = self.frame_of(path, attribute, import);
            for (i, item) in items.iter().enumerate() {
                let of = (whole.as_ref(), about.as_slice());
                self.said(path, attribute, (i, item), of, (&frame, &labels), import)?;
            }
        }
        Ok(())
    }

    /// Of an object the attributes are told one by one, a file's as one file.
    fn object(&mut self, path: &str, object: &Object, import: &mut Import) -> Result<(), ImportError> {
        if object.deleted {
            import.skip(Place::Path(path.to_owned()), Why::Deleted);
            return Ok(());
        }
        let around = self.frame.tlp;
        self.frame.tlp = around.max(shared(path, object.distribution.as_deref(), import));
        let told = self.parts(path, object, import);
        self.frame.tlp = around;
        told
    }

    fn parts(&mut self, path: &str, object: &Object, import: &mut Import) -> Result<(), ImportError> {
        let mut told: Vec<(String, &Attribute, Vec<Item>)> = Vec::new();
        for (i, attribute) in object.attributes.iter().enumerate() {
            let path = format!("{path}.Attribute[{i}]");
            if let Some(items) = self.items(&path, attribute, import)? {
                told.push((path, attribute, items));
            }
        }
        let of_file: Vec<&Item> =
            told.iter().flat_map(|(.., items)| items).filter(|item| item.is_of_file()).collect();
        let whole = (object.name == "file").then(|| Whole::of(&of_file)).flatten();
        for (path, attribute, items) in &told {
            let about = self.about(path, attribute, import)?;
            let (frame, labels) = self.frame_of(path, attribute, import);
            for (i, item) in items.iter().enumerate() {
                let of = (whole.as_ref(), about.as_slice());
                self.said(path, attribute, (i, item), of, (&frame, &labels), import)?;
            }
        }
        match (&whole, told.as_slice()) {
            (Some(whole), _) => {
                let ends: Vec<&End> =
                    told.iter().filter_map(|(_, attribute, _)| self.ends.of(&attribute.uuid)).collect();
                let tlp = ends.iter().filter_map(|end| end.tlp).max();
                let modified = ends.iter().map(|end| end.modified.clone()).max().unwrap_or_default();
                self.ends.add(&object.uuid, End { id: whole.id.clone(), tlp, modified });
            }
            (None, [(_, attribute, _)]) => {
                if let Some(end) = self.ends.of(&attribute.uuid).cloned() {
                    self.ends.add(&object.uuid, end);
                }
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// What an object has to do with others, once all of them are taken.
    fn relations(&mut self, path: &str, object: &Object, import: &mut Import) -> Result<(), ImportError> {
        let frame = self.frame.clone();
        for relationship in self.ends.relationships(path, object, &frame, import) {
            self.add(relationship, import)?;
        }
        Ok(())
    }

    /// The values an attribute names; `None` if it names none and was taken or skipped as something else.
    fn items(
        &mut self,
        path: &str,
        attribute: &Attribute,
        import: &mut Import,
    ) -> Result<Option<Vec<Item>>, ImportError> {
        let place = || Place::Path(path.to_owned());
        if attribute.deleted {
            import.skip(place(), Why::Deleted);
            return Ok(None);
        }
        for i in 0..attribute.proposals.len() {
            import.skip(Place::Path(format!("{path}.ShadowAttribute[{i}]")), Why::Proposal);
        }
        let value = attribute.value.trim();
        if value.is_empty() {
            import.skip(place(), Why::Empty);
            return Ok(None);
        }
        match types::meaning(&attribute.kind) {
            Some(Meaning::Values(kinds)) => {
                let parts: Vec<&str> =
                    if kinds.len() > 1 { value.splitn(kinds.len(), '|').collect() } else { vec![value] };
                let items =
                    kinds.iter().zip(&parts).filter_map(|(kind, part)| Some((*kind.as_ref()?, *part)));
                let port = attribute.kind.ends_with("|port").then(|| parts.last()).flatten();
                let port = port.and_then(|port| endpoint::port(port.trim()));
                let items: Option<Vec<Item>> =
                    items.map(|(kind, part)| Some(Item::new(kind, part)?.at_port(port))).collect();
                let items = items.filter(|items| parts.len() == kinds.len() && !items.is_empty());
                if items.is_none() {
                    import.skip(place(), Why::NotA(types::brief(&attribute.kind)));
                }
                Ok(items)
            }
            Some(Meaning::Certificate(kind)) => {
                let item = Item::certificate(kind, value);
                if item.is_none() {
                    import.skip(place(), Why::NotA(types::brief(&attribute.kind)));
                }
                Ok(item.map(|item| vec![item]))
            }
            Some(Meaning::Link) => {
                self.links.push(value.to_owned());
                Ok(None)
            }
            Some(Meaning::Rule(language)) if attribute.to_ids => {
                self.rule(path, attribute, language, import)?;
                Ok(None)
            }
            Some(Meaning::Rule(_)) => {
                self.prose(path, attribute, import)?;
                Ok(None)
            }
            Some(Meaning::Prose) if attribute.relation.is_none() => {
                self.prose(path, attribute, import)?;
                Ok(None)
            }
            Some(Meaning::Prose) | None => {
                import.skip(place(), types::untold(&attribute.kind));
                Ok(None)
            }
        }
    }

    /// The objects of an attribute's own galaxies.
    fn about(
        &mut self,
        path: &str,
        attribute: &Attribute,
        import: &mut Import,
    ) -> Result<Vec<String>, ImportError> {
        let mut about = Vec::new();
        for (i, galaxy) in attribute.galaxies.iter().enumerate() {
            for object in galaxy::objects(&format!("{path}.Galaxy[{i}]"), galaxy, import) {
                about.push(id_of(&object));
                self.add(object, import)?;
            }
        }
        Ok(about)
    }

    /// "`from` indicates `about`", or has to do with it.
    fn relate(
        &mut self,
        from: &str,
        about: &[String],
        frame: &Frame,
        import: &mut Import,
    ) -> Result<(), ImportError> {
        for to in about {
            let indicates = from.starts_with("indicator--") && !to.starts_with("course-of-action--");
            let kind = if indicates { "indicates" } else { "related-to" };
            self.add(frame.relationship(kind, from, to), import)?;
        }
        Ok(())
    }

    /// A value as its attribute says it: something to look for, or something seen. Of a file it is told as part of the
    /// whole.
    fn said(
        &mut self,
        path: &str,
        attribute: &Attribute,
        (nth, item): (usize, &Item),
        (whole, about): (Option<&Whole>, &[String]),
        (frame, labels): (&Frame, &[String]),
        import: &mut Import,
    ) -> Result<(), ImportError> {
        if item.observable.kind() == Kind::Cve {
            let object = frame.vulnerability(item.observable.value(), &attribute.comment);
            let id = id_of(&object);
            self.add(object, import)?;
            self.ends.add(&attribute.uuid, End::of(&id, frame));
            return self.sightings(path, attribute, (&id, frame), import);
        }
        let Some(pattern) = item.pattern() else { return Ok(()) };
        let Some(observable) = self.observable(item, whole, import)? else { return Ok(()) };
        let uuid = uuid(&format!("{path}.uuid"), &attribute.uuid)?;
        let of = |kind: &str| {
            if nth == 0 { format!("{kind}--{uuid}") } else { id(kind, &[&uuid, &nth.to_string()]) }
        };
        let first = moment(attribute.first_seen.as_deref()).unwrap_or_else(|| frame.created.clone());
        let last = moment(attribute.last_seen.as_deref()).unwrap_or_else(|| first.clone()).max(first.clone());
        if !attribute.to_ids {
            let mut labels = labels.to_vec();
            if let Some(port) = item.port {
                // Nothing else of such an object is for words.
                labels.push(format!("port:{port}"));
            }
            let seen = json!({
                "first_observed": first, "last_observed": last, "number_observed": 1, "labels": labels,
                "object_refs": [observable],
            });
            let id = of("observed-data");
            self.add(frame.object("observed-data", &id, seen), import)?;
            self.ends.add(&attribute.uuid, End::of(&id, frame));
            self.relate(&id, about, frame, import)?;
            return self.sightings(path, attribute, (&id, frame), import);
        }
        let indicator = of("indicator");
        let until = self.valid_until.map(time).filter(|until| *until > first);
        let properties = json!({
            "name": item.name(), "description": attribute.comment, "labels": labels,
            "indicator_types": ["malicious-activity"], "pattern": pattern, "pattern_type": "stix",
            "valid_from": first, "valid_until": until,
        });
        self.add(frame.object("indicator", &indicator, properties), import)?;
        self.ends.add(&attribute.uuid, End::of(&indicator, frame));
        self.add(frame.relationship("based-on", &indicator, &observable), import)?;
        self.relate(&indicator, about, frame, import)?;
        self.sightings(path, attribute, (&indicator, frame), import)
    }

    /// What was seen of an attribute, which became `of`.
    fn sightings(
        &mut self,
        path: &str,
        attribute: &Attribute,
        of: (&str, &Frame),
        import: &mut Import,
    ) -> Result<(), ImportError> {
        for (i, sighting) in attribute.sightings.iter().enumerate() {
            self.sighting(&format!("{path}.Sighting[{i}]"), sighting, of, import)?;
        }
        Ok(())
    }

    /// The id of the observable that tells a value: a file's as a whole, as far as that has a place for it.
    fn observable(
        &mut self,
        item: &Item,
        whole: Option<&Whole>,
        import: &mut Import,
    ) -> Result<Option<String>, ImportError> {
        if let Some(Whole { id, object, told }) = whole {
            // A file's id is made of some of its values only (STIX 2.1 §6.7), and the first of an id stands.
            let told = import.files.entry(id.clone()).or_insert_with(|| told.clone());
            if told.contains(item) {
                // Made once, however many values name it: they may be as many and as long as a file has room for.
                if !self.known.contains(id) {
                    self.add(object.clone(), import)?;
                }
                return Ok(Some(id.clone()));
            }
        }
        let Some(object) = item.object() else { return Ok(None) };
        let id = id_of(&object);
        if item.is_of_file() {
            import.files.entry(id.clone()).or_insert_with(|| BTreeSet::from([item.clone()]));
        }
        self.add(object, import)?;
        Ok(Some(id))
    }

    fn rule(
        &mut self,
        path: &str,
        attribute: &Attribute,
        language: &str,
        import: &mut Import,
    ) -> Result<(), ImportError> {
        let (frame, labels) = self.frame_of(path, attribute, import);
        let uuid = uuid(&format!("{path}.uuid"), &attribute.uuid)?;
        let properties = json!({
            "name": attribute.comment, "labels": labels, "indicator_types": ["malicious-activity"],
            "pattern": attribute.value, "pattern_type": language, "valid_from": frame.created,
        });
        let indicator = format!("indicator--{uuid}");
        let object = frame.object("indicator", &indicator, properties);
        if !is_short(path, &object, import) {
            return Ok(());
        }
        self.add(object, import)?;
        self.ends.add(&attribute.uuid, End::of(&indicator, &frame));
        let about = self.about(path, attribute, import)?;
        self.relate(&indicator, &about, &frame, import)?;
        self.sightings(path, attribute, (&indicator, &frame), import)
    }

    fn prose(&mut self, path: &str, attribute: &Attribute, import: &mut Import) -> Result<(), ImportError> {
        let (frame, labels) = self.frame_of(path, attribute, import);
        let uuid = uuid(&format!("{path}.uuid"), &attribute.uuid)?;
        let properties = json!({
            "abstract": attribute.comment, "content": attribute.value, "labels": labels, "object_refs": [self.report],
        });
        let note = frame.object("note", &format!("note--{uuid}"), properties);
        if is_short(path, &note, import) { import.add(note) } else { Ok(()) }
    }

    /// A page that tells of the event, as a note on it.
    fn page(&mut self, path: &str, report: &Report, import: &mut Import) -> Result<(), ImportError> {
        let place = || Place::Path(path.to_owned());
        if report.deleted || report.content.trim().is_empty() {
            import.skip(place(), if report.deleted { Why::Deleted } else { Why::Empty });
            return Ok(());
        }
        let when = seconds(&report.timestamp).map_or_else(|| self.frame.created.clone(), time);
        let shared = shared(path, report.distribution.as_deref(), import);
        let tlp = shared.max(self.frame.tlp).or(self.unmarked);
        import.narrow(tlp, None);
        let frame = Frame { created: when.clone(), modified: when, tlp, ..self.frame.clone() };
        let note = format!("note--{}", uuid(&format!("{path}.uuid"), &report.uuid)?);
        let properties = json!({
            "abstract": report.name, "content": report.content, "object_refs": [self.report],
        });
        let note = frame.object("note", &note, properties);
        if is_short(path, &note, import) { import.add(note) } else { Ok(()) }
    }

    /// MISP's types of sightings: seen, false positive, and expired.
    fn sighting(
        &mut self,
        path: &str,
        sighting: &Sighting,
        (of, frame): (&str, &Frame),
        import: &mut Import,
    ) -> Result<(), ImportError> {
        let when = seconds(&sighting.date).unwrap_or(self.when);
        // Who saw it is not told: who was hit is sensitive.
        let frame = Frame { created: time(when), modified: time(when), author: None, ..frame.clone() };
        let name = |kind: &str| match &sighting.uuid {
            Some(text) => uuid(&format!("{path}.uuid"), text).map(|uuid| format!("{kind}--{uuid}")),
            None => Ok(id(kind, &[of, path, &frame.created])),
        };
        let object = match sighting.kind.as_deref() {
            None | Some("0") => {
                let seen = json!({"sighting_of_ref": of, "first_seen": frame.created, "last_seen": frame.created, "count": 1});
                frame.object("sighting", &name("sighting")?, seen)
            }
            Some("1") => {
                let said = json!({"opinion": "strongly-disagree", "explanation": "false positive", "object_refs": [of]});
                frame.object("opinion", &name("opinion")?, said)
            }
            Some("2") => {
                let mut said = indicator::expiry(when);
                if let Some(said) = said.as_object_mut() {
                    said.insert("object_refs".to_owned(), json!([of]));
                }
                frame.object("opinion", &name("opinion")?, said)
            }
            Some(other) => {
                import.skip(
                    Place::Path(path.to_owned()),
                    Why::Untranslated(types::brief(&format!("sighting {other}"))),
                );
                return Ok(());
            }
        };
        self.add(object, import)
    }

    fn report(mut self, event: &Event, tagged: Tagged, import: &mut Import) -> Result<(), ImportError> {
        if self.refs.is_empty() {
            import.skip(Place::Path(self.path.clone()), Why::Empty);
            return Ok(());
        }
        let published = day(&event.date).map_or_else(|| self.frame.created.clone(), time);
        let references: Vec<Value> = std::mem::take(&mut self.links)
            .into_iter()
            .map(|url| json!({"source_name": "MISP event", "url": url}))
            .collect();
        let properties = json!({
            "name": if event.info.is_empty() { "MISP event" } else { &event.info },
            "published": published, "report_types": ["threat-report"], "labels": tagged.labels,
            "external_references": references, "object_refs": self.refs,
        });
        let frame = Frame { tlp: self.frame.tlp.or(self.unmarked), class: tagged.class, ..self.frame };
        import.narrow(frame.tlp, None);
        import.add(frame.object("report", &self.report, properties))
    }

    /// What an attribute says beside its value: time, marking, labels.
    fn frame_of(&self, path: &str, attribute: &Attribute, import: &mut Import) -> (Frame, Vec<String>) {
        let Tagged { tlp, pap, class, labels } = self.tags(path, &attribute.tags, import);
        let when = seconds(&attribute.timestamp).map_or_else(|| self.frame.created.clone(), time);
        let shared = shared(path, attribute.distribution.as_deref(), import);
        let tlp = tlp.max(shared).max(self.frame.tlp).or(self.unmarked);
        import.narrow(tlp, pap);
        (Frame { created: when.clone(), modified: when, tlp, class, ..self.frame.clone() }, labels)
    }

    /// A `tlp:` or `pap:` that nobody knows is the narrowest.
    fn tags(&self, path: &str, tags: &[Tag], import: &mut Import) -> Tagged {
        let Tagged { mut tlp, mut pap, mut class, mut labels } = Tagged::default();
        for tag in tags {
            let lower = tag.name.trim().to_ascii_lowercase();
            let mut unread = || {
                import.skip(Place::Path(path.to_owned()), Why::Marking(types::brief(&tag.name)));
            };
            if lower.starts_with("tlp:") {
                let said = lower.parse::<Tlp>().or_else(|error| {
                    // The taxonomy's older name of CLEAR, and its predicate for "not closed".
                    if lower.starts_with("tlp:ex:") { Ok(Tlp::Red) } else { Err(error) }
                });
                tlp = tlp.max(Some(said.unwrap_or_else(|_| {
                    unread();
                    Tlp::Red
                })));
            } else if let Some(word) = lower.strip_prefix("pap:") {
                let said = match word {
                    "clear" | "white" => Pap::Clear,
                    "green" => Pap::Green,
                    "amber" => Pap::Amber,
                    "red" => Pap::Red,
                    _ => {
                        unread();
                        Pap::Red
                    }
                };
                pap = pap.into_iter().chain([said]).max_by_key(|pap: &Pap| *pap as i32);
            } else if let Some(word) = lower.strip_prefix("belfry:class=") {
                let word = word.trim_matches('"');
                // What "other" stands for a tag does not say.
                match extension::class(word).filter(|class| *class != InformationClass::Other) {
                    Some(_) => class = Some(word.to_owned()),
                    None => import.skip(Place::Path(path.to_owned()), Why::Class(types::brief(&tag.name))),
                }
            } else if lower.is_empty() || self.clusters.contains(&lower) {
                // Nothing, or what the cluster itself says.
            } else if tag.local {
                import.skip(Place::Path(path.to_owned()), Why::Local(types::brief(&tag.name)));
            } else {
                labels.push(tag.name.trim().to_owned());
            }
        }
        Tagged { tlp, pap, class, labels }
    }

    /// Adds an object and puts it into the report; one that is there already is only named again.
    fn add(
        &mut self,
        object: serde_json::Map<String, Value>,
        import: &mut Import,
    ) -> Result<(), ImportError> {
        let id = id_of(&object);
        if !self.known.insert(id.clone()) {
            return Ok(());
        }
        self.refs.push(id.clone());
        import.add_once(object)
    }
}
