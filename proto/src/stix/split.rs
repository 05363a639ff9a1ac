//! A publication larger than one message becomes several, cut between objects.
//!
//! Order stays, but for the marking definitions and identities that others refer to: they go first, so that
//! a reader who has the first parts can already place the rest. Because parts arrive and are judged one by
//! one, each repeats the marking definitions its objects refer to; a part without them would leave
//! its objects under unknown markings, which count as RED. To a store the repeats are one object.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    crypto::{pad::padded_len, seal::TAG_LEN},
    limits::{MAX_BODY, MAX_PAYLOAD},
    stix::object::Object,
};

/// Bytes kept free in every payload, before and after compression, for what is not objects: ids, classes, label, terms.
pub const RESERVED: usize = 4 * 1024;

/// zstd level of a payload; a higher one gains 5 % on STIX and costs three times the time.
pub const COMPRESSION_LEVEL: i32 = 3;

/// Compressions tried for one part. Real content needs one or two; what needs more was made for it.
const MAX_TRIES: usize = 12;

/// Incompressible bytes that still seal within [`MAX_BODY`]: a guess at a part's size never falls below.
const SURE: usize = 160 * 1024;

/// Why objects do not fit into messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// One object, with the marking definitions it refers to, is too much for one payload.
    #[error("{id}: with its marking definitions it has {len} bytes, more than the {limit} of one message")]
    Payload {
        /// The object.
        id: String,
        /// Bytes it takes.
        len: usize,
        /// Bytes there are.
        limit: usize,
    },
    /// One object compresses too badly.
    #[error("{id}: compressed and sealed it has {len} bytes, more than the {MAX_BODY} of one message")]
    Body {
        /// The object.
        id: String,
        /// Bytes it takes.
        len: usize,
    },
}

/// Cuts `objects` into parts, each good for one message.
///
/// # Errors
/// [`SplitError`] naming the first object that alone is too large.
pub fn split(mut objects: Vec<Object>) -> Result<Vec<Vec<Object>>, SplitError> {
    order(&mut objects);
    let definitions: BTreeMap<&str, &Object> = objects
        .iter()
        .filter(|object| object.kind() == "marking-definition")
        .map(|object| (object.id(), object))
        .collect();
    let mut cuts = Vec::new();
    let mut rest = objects.as_slice();
    while let Some(part) = cut(rest, &definitions)? {
        rest = rest.get(part.count..).unwrap_or_default();
        cuts.push((part.count, part.repeated.into_iter().cloned().collect::<Vec<_>>()));
    }
    let mut objects = objects.into_iter();
    Ok(cuts
        .into_iter()
        .map(|(count, mut part)| {
            part.extend(objects.by_ref().take(count));
            part
        })
        .collect())
}

/// Marking definitions that are referred to, then such identities, then all else as it was.
fn order(objects: &mut [Object]) {
    let heads: BTreeSet<&str> = objects
        .iter()
        .filter(|o| matches!(o.kind(), "marking-definition" | "identity"))
        .map(Object::id)
        .collect();
    let used: BTreeSet<String> =
        objects.iter().flat_map(Object::refs).filter(|id| heads.contains(id.as_str())).cloned().collect();
    objects.sort_by_key(|object| match object.kind() {
        "marking-definition" if used.contains(object.id()) => 0,
        "identity" if used.contains(object.id()) => 1,
        _ => 2,
    });
}

/// The first `count` objects of a rest, with the definitions from elsewhere that they need.
struct Part<'a> {
    count: usize,
    repeated: Vec<&'a Object>,
    len: usize,
}

/// A part at the start of `rest` that is sure to fit one message, and hardly smaller than it must be; `None` at the end.
///
/// Compresses what may fit. Where it does not, tries again with less in proportion (each try drops at least
/// a twentieth, none falls below [`SURE`]); where that leaves much room, goes halfway back. The tries are
/// few and each part is large, so that the work stays linear in the whole.
fn cut<'a>(
    rest: &'a [Object],
    definitions: &BTreeMap<&str, &'a Object>,
) -> Result<Option<Part<'a>>, SplitError> {
    const LIMIT: usize = MAX_PAYLOAD - RESERVED;
    let Some(first) = rest.first() else { return Ok(None) };
    let mut fits: Option<Part<'a>> = None;
    let mut limit = LIMIT;
    let mut too_much = usize::MAX;
    for _ in 0..MAX_TRIES {
        let part = fill(rest, definitions, limit);
        if part.len > LIMIT {
            return Err(SplitError::Payload { id: first.id().to_owned(), len: part.len, limit: LIMIT });
        }
        let sealed = sealed_len(&part, rest);
        let len = part.len;
        if sealed <= MAX_BODY {
            fits = Some(part);
            if too_much.saturating_sub(len) < too_much / 4 || too_much == usize::MAX {
                break;
            }
            limit = len.midpoint(too_much);
        } else if part.count == 1 {
            return Err(SplitError::Body { id: first.id().to_owned(), len: sealed });
        } else {
            too_much = len;
            limit = match &fits {
                Some(fits) => fits.len.midpoint(len),
                None => (len.saturating_mul(MAX_BODY) / sealed.max(1) * 19 / 20).max(SURE).min(len - 1),
            };
        }
    }
    // Out of tries without a fit: the first object alone, which takes what comes.
    match fits {
        Some(part) => Ok(Some(part)),
        None => {
            let part = fill(rest, definitions, 0);
            match sealed_len(&part, rest) {
                len if len > MAX_BODY => Err(SplitError::Body { id: first.id().to_owned(), len }),
                _ => Ok(Some(part)),
            }
        }
    }
}

/// As many objects as `limit` bytes hold, at least one.
fn fill<'a>(rest: &'a [Object], definitions: &BTreeMap<&str, &'a Object>, limit: usize) -> Part<'a> {
    let mut part = Part { count: 0, repeated: Vec::new(), len: 0 };
    let mut present: BTreeSet<&str> = BTreeSet::new();
    for object in rest {
        let mut needed = Vec::new();
        let mut len = part.len;
        if present.insert(object.id()) {
            len += framed_len(object);
        }
        let mut open = vec![object];
        while let Some(object) = open.pop() {
            for id in object.marking_refs().iter().chain(object.granular_marking_refs()) {
                let Some(&definition) = definitions.get(id.as_str()) else { continue };
                if present.insert(definition.id()) {
                    len += framed_len(definition);
                    needed.push(definition);
                    open.push(definition);
                }
            }
        }
        if part.count > 0 && len > limit {
            break;
        }
        part.count += 1;
        part.len = len;
        part.repeated.append(&mut needed);
    }
    part
}

/// Bytes of the object in a payload: key, length and content.
fn framed_len(object: &Object) -> usize {
    let len = object.raw().len();
    1 + prost::length_delimiter_len(len) + len
}

/// Bytes of the sealed body, the payload's other fields counted as incompressible.
fn sealed_len(part: &Part<'_>, rest: &[Object]) -> usize {
    let mut payload = Vec::with_capacity(part.len);
    for object in part.repeated.iter().copied().chain(rest.iter().take(part.count)) {
        payload.extend_from_slice(object.raw());
        payload.extend_from_slice(&[0; 4]);
    }
    // Compression fails only for want of memory; then the plain length is the honest answer.
    let compressed = zstd::bulk::compress(&payload, COMPRESSION_LEVEL).map_or(payload.len(), |c| c.len());
    padded_len(compressed + RESERVED) + TAG_LEN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::limits::MAX_OBJECT;

    fn object(kind: &str, n: usize, text: &str, markings: &[&str]) -> Object {
        let id = format!("{kind}--298fe907-7931-4fd2-8131-{n:012x}");
        let mut object = json!({"type": kind, "spec_version": "2.1", "id": id, "created": "2026-11-23T10:00:00.000Z",
            "modified": "2026-11-23T10:00:00.000Z", "name": text});
        if kind == "marking-definition" {
            object["definition_type"] = json!("statement");
            object["definition"] = json!({"statement": text});
        }
        if !markings.is_empty() {
            object["object_marking_refs"] = json!(markings);
        }
        Object::parse(&serde_json::to_vec(&object).unwrap()).unwrap()
    }

    /// Text that does not compress below six bits a byte.
    fn noise(len: usize, seed: u64) -> String {
        let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                char::from(b'0' + u8::try_from(state >> 58).unwrap())
            })
            .map(|c| if c == '\\' { 'z' } else { c })
            .collect()
    }

    /// What a sealed part really comes to.
    fn sealed(part: &[Object]) -> usize {
        let payload = crate::schema::Payload {
            publication: vec![1; 16],
            part: 1,
            parts: 9,
            class_label: noise(1000, 5),
            objects: part.iter().map(|o| o.raw().to_vec()).collect(),
            ..Default::default()
        };
        let plain = prost::Message::encode_to_vec(&payload);
        padded_len(zstd::bulk::compress(&plain, COMPRESSION_LEVEL).unwrap().len()) + TAG_LEN
    }

    #[test]
    fn a_small_publication_is_one_part() {
        let objects: Vec<_> = (0..5).map(|n| object("x-note", n, "short", &[])).collect();
        assert_eq!(split(objects.clone()), Ok(vec![objects]));
        assert_eq!(split(Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn referenced_markings_and_identities_go_first() {
        let marking = object("marking-definition", 7, "Copyright", &[]);
        let unused = object("marking-definition", 8, "Copyright", &[]);
        let note = object("x-note", 1, "text", &[marking.id()]);
        let parts = split(vec![unused.clone(), note.clone(), marking.clone()]).unwrap();
        assert_eq!(parts, [[marking, unused, note]]);
    }

    #[test]
    fn every_part_resolves_its_own_markings() {
        let outer = object("marking-definition", 7, "outer", &[]);
        let inner = object("marking-definition", 8, "inner", &[outer.id()]);
        let mut objects: Vec<_> =
            (0..40).map(|n| object("x-note", n, &noise(40_000, n as u64), &[inner.id()])).collect();
        objects.extend([inner.clone(), outer.clone()]);
        let parts = split(objects).unwrap();
        assert!(parts.len() > 5);
        for part in &parts {
            assert!(part.contains(&inner) && part.contains(&outer));
            assert!(sealed(part) <= MAX_BODY);
        }
    }

    #[test]
    fn an_object_too_large_for_a_message_is_named() {
        let small = object("x-note", 1, "small", &[]);
        let large = object("x-note", 2, &noise(MAX_OBJECT - 1000, 3), &[]);
        match split(vec![small, large.clone()]).unwrap_err() {
            SplitError::Body { id, len } => assert!(id == large.id() && len > MAX_BODY),
            other @ SplitError::Payload { .. } => panic!("{other}"),
        }
        let definitions: Vec<_> =
            (0..3).map(|n| object("marking-definition", n, &"a".repeat(200_000), &[])).collect();
        let markings: Vec<_> = definitions.iter().map(Object::id).collect();
        let note = object("x-note", 9, "text", &markings);
        let all = [definitions.clone(), vec![note.clone()]].concat();
        assert!(matches!(split(all), Err(SplitError::Payload { id, .. }) if id == note.id()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn parts_fit_keep_order_and_lose_nothing(sizes in proptest::collection::vec((1..150_000_usize, any::<bool>()), 1..40)) {
            let objects: Vec<_> = sizes.iter().enumerate().map(|(n, &(len, random))| {
                let text = if random { noise(len, n as u64 + 1) } else { "text ".repeat(len / 5) };
                object("x-note", n, &text, &[])
            }).collect();
            let parts = split(objects.clone()).unwrap();
            let plain = |part: &[Object]| part.iter().map(framed_len).sum::<usize>() + RESERVED;
            for part in &parts {
                prop_assert!(sealed(part) <= MAX_BODY && plain(part) <= MAX_PAYLOAD);
            }
            for pair in parts.windows(2) {
                let pair = pair.concat();
                prop_assert!(sealed(&pair) > MAX_BODY / 2 || plain(&pair) > MAX_PAYLOAD, "parts are not needlessly small");
            }
            prop_assert_eq!(parts.concat(), objects);
        }
    }
}
