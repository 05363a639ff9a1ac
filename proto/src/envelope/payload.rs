//! [`Opened`](super::Opened) → [`Publication`]: what a body says, checked.
//!
//! One function reads a received payload and checks a draft, so an author learns of a mistake before the
//! draft is acknowledged.

use prost::Message as _;

use crate::{
    id::PublicationId,
    limits::{MAX_CLASS_LABEL, MAX_PAYLOAD, MAX_REASON_BYTES, MAX_TERM, MAX_TERMS},
    schema::{self, InformationClass, Malformed, Pap, Purpose, decode_canonical},
    stix::{Object, ObjectError, Tlp},
    time::Timestamp,
    verdict::{Judged, Verdict},
};

const WHAT: &str = "payload";
/// Parts of one publication: a bundle of 64 MiB that does not compress fills some 350 bodies, and no two
/// neighbours of a split are both less than half full.
pub const MAX_PARTS: u32 = 1024;

/// What one message publishes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Publication {
    /// Shared by all parts.
    pub id: PublicationId,
    /// From 1 to `parts`.
    pub part: u32,
    /// Messages this publication is split into.
    pub parts: u32,
    /// NIS2 29(1) classes, ascending, at least one.
    pub classes: Vec<InformationClass>,
    /// What "other" stands for; set exactly when that class is.
    pub class_label: Option<String>,
    /// What the sharing aims at.
    pub purpose: Purpose,
    /// Marking of the message.
    pub tlp: Tlp,
    /// Permissible actions, if stated.
    pub pap: Option<Pap>,
    /// Conditions of handling, if stated.
    pub handling: Option<Handling>,
    /// Objects in the author's order, at least one.
    pub objects: Vec<Object>,
    /// Its author says that it speaks for a member that is not named; only a steward's word for it counts.
    pub on_behalf: bool,
    /// Why it goes out although a guard of its author's objected, if it says so.
    pub reason: Option<String>,
}

/// Conditions that an authority or author attaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handling {
    /// Not outside the recipients before this time.
    pub embargo_until: Option<Timestamp>,
    /// FIRST IEP 2.0 terms as (name, value), ascending by name.
    pub terms: Vec<(String, String)>,
}

/// Why a payload is no publication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not the canonical encoding, or a field breaks its own rule.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// One of the objects is not STIX 2.1.
    #[error("object {position}: {source}")]
    Object {
        /// Which, from 0.
        position: usize,
        /// Why.
        source: ObjectError,
    },
}

impl Judged for ParseError {
    /// Accept: the forwarder could not have known; the message stays closed and is counted.
    fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_) | Self::Object { .. } => Verdict::Accept,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "payload-malformed",
            Self::Object { .. } => "payload-object",
        }
    }
}

/// Reads and checks the bytes of an opened body, or of a draft that is to become one.
///
/// # Errors
/// [`ParseError`], naming the field or the object.
pub fn parse(bytes: &[u8]) -> Result<Publication, ParseError> {
    let mut wire: schema::Payload = decode_canonical(WHAT, bytes, MAX_PAYLOAD)?;
    let raws = std::mem::take(&mut wire.objects);
    let publication = around(wire, raws.len())?;
    let objects = raws
        .iter()
        .enumerate()
        .map(|(position, raw)| Object::parse(raw).map_err(|source| ParseError::Object { position, source }))
        .collect::<Result<_, _>>()?;
    Ok(Publication { objects, ..publication })
}

/// The bytes of a payload that is made here: what is `stated`, which holds no objects yet, and these. [`parse`] passes them: what an
/// object is written as parses as it did, so only what stands around them is held to its rules.
///
/// # Errors
/// [`ParseError`], naming the field.
pub fn encode(stated: schema::Payload, objects: Vec<Object>) -> Result<Vec<u8>, ParseError> {
    around(stated.clone(), objects.len())?;
    let objects = objects.into_iter().map(Object::into_raw).collect();
    let bytes = schema::Payload { objects, ..stated }.encode_to_vec();
    if bytes.len() > MAX_PAYLOAD {
        return Err(Malformed::TooLong { what: WHAT, len: bytes.len(), limit: MAX_PAYLOAD }.into());
    }
    Ok(bytes)
}

/// A publication without its objects, of which there are so many.
fn around(wire: schema::Payload, objects: usize) -> Result<Publication, ParseError> {
    let id = PublicationId::try_from(wire.publication.as_slice())
        .map_err(|_| field("publication", "must be 16 bytes"))?;
    if wire.parts == 0 || wire.parts > MAX_PARTS {
        return Err(field("parts", "must be 1 to 1024").into());
    }
    if wire.part == 0 || wire.part > wire.parts {
        return Err(field("part", "must be 1 to the number of parts").into());
    }
    let classes = classes(&wire.classes)?;
    let class_label = class_label(&classes, wire.class_label)?;
    let purpose = match Purpose::try_from(wire.purpose) {
        Ok(purpose) if purpose != Purpose::Unspecified => purpose,
        _ => return Err(field("purpose", "must be a known purpose").into()),
    };
    let tlp = tlp(wire.tlp).ok_or(field("tlp", "must be a TLP 2.0 label"))?;
    let pap = match Pap::try_from(wire.pap) {
        Ok(Pap::Unspecified) => None,
        Ok(pap) => Some(pap),
        Err(_) => return Err(field("pap", "must be a known PAP label").into()),
    };
    let handling = wire.handling.map(handling).transpose()?;
    if objects == 0 {
        return Err(field("objects", "must not be empty").into());
    }
    let reason = reason(wire.reason)?;
    let (part, parts, on_behalf) = (wire.part, wire.parts, wire.on_behalf);
    Ok(Publication {
        id,
        part,
        parts,
        classes,
        class_label,
        purpose,
        tlp,
        pap,
        handling,
        objects: Vec::new(),
        on_behalf,
        reason,
    })
}

/// The bytes of a payload with another reason; for a draft, whose reason is given last.
///
/// # Errors
/// [`ParseError`]: they are no payload, or the reason none.
pub fn with_reason(bytes: &[u8], reason: &str) -> Result<Vec<u8>, ParseError> {
    let wire: schema::Payload = decode_canonical(WHAT, bytes, MAX_PAYLOAD)?;
    let bytes = schema::Payload { reason: reason.to_owned(), ..wire }.encode_to_vec();
    parse(&bytes)?;
    Ok(bytes)
}

fn reason(reason: String) -> Result<Option<String>, Malformed> {
    if reason.len() > MAX_REASON_BYTES || reason.chars().any(char::is_control) {
        return Err(field("reason", "must be at most 1024 bytes without control characters"));
    }
    Ok(Some(reason).filter(|reason| !reason.is_empty()))
}

fn classes(wire: &[i32]) -> Result<Vec<InformationClass>, Malformed> {
    if wire.is_empty() || !wire.is_sorted_by(|one, next| one < next) {
        return Err(field("classes", "must be at least one, ascending, each once"));
    }
    wire.iter()
        .map(|class| match InformationClass::try_from(*class) {
            Ok(class) if class != InformationClass::Unspecified => Ok(class),
            _ => Err(field("classes", "must be known classes")),
        })
        .collect()
}

fn class_label(classes: &[InformationClass], label: String) -> Result<Option<String>, Malformed> {
    if classes.contains(&InformationClass::Other) == label.is_empty() {
        return Err(field("class_label", "must be set exactly with the class \"other\""));
    }
    if label.chars().count() > MAX_CLASS_LABEL || label.chars().any(char::is_control) {
        return Err(field("class_label", "must be at most 64 characters without control characters"));
    }
    Ok(Some(label).filter(|label| !label.is_empty()))
}

fn tlp(wire: i32) -> Option<Tlp> {
    schema::Tlp::try_from(wire).ok()?.into()
}

fn handling(wire: schema::HandlingConditions) -> Result<Handling, Malformed> {
    if wire.embargo_until == 0 && wire.terms.is_empty() {
        return Err(field("handling", "must be absent rather than empty"));
    }
    if wire.embargo_until > Timestamp::MAX.as_micros() {
        return Err(field("embargo_until", "must not lie beyond year 9999"));
    }
    if wire.terms.len() > MAX_TERMS {
        return Err(field("terms", "must be at most 16"));
    }
    let rule = field("terms", "must be name=value of at most 128 bytes, without control characters");
    let terms = wire
        .terms
        .iter()
        .map(|term| {
            let fits = term.len() <= MAX_TERM && !term.chars().any(char::is_control);
            let (name, value) = term.split_once('=').filter(|(name, _)| fits && !name.is_empty())?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or(rule)?;
    if !terms.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err(field("terms", "must be ascending by name, each once"));
    }
    let embargo_until = Some(Timestamp::from_micros(wire.embargo_until)).filter(|t| *t != Timestamp::ZERO);
    Ok(Handling { embargo_until, terms })
}

const fn field(field: &'static str, rule: &'static str) -> Malformed {
    Malformed::field(WHAT, field, rule)
}
