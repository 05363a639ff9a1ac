//! What is asked of one's own objects besides what is taken from others.
//!
//! [`Object::parse`] passes what readers can do something with: it reads what other members wrote, today and years ago,
//! and a rule more there would close messages that were open. Whoever publishes has its author at hand, and can be
//! stricter without harm: closed enumerations (STIX 2.1 §10), what a reference may name (§4–§7) and the forms that tools
//! break on are held to here.
//! What the standard only recommends is told, never refused.

mod forms;
mod references;
mod vocabularies;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::stix::{
    extension, id, indicator,
    marking::Tlp,
    object::{Object, ObjectError, Rule},
};

/// Notes of one kind that are told of one publication. People read some dozens.
const MOST: usize = 20;

/// Holds an object to the standard's forms, enumerations and reference types, an indicator's pattern to its grammar
/// ([`indicator::check`]), and what it states to belfry's own words.
///
/// For whoever publishes. An end only has to state in belfry's own words what these can: nobody acts on what it ends, and whatever
/// was said before there was a rule can be taken back under it.
///
/// # Errors
/// [`ObjectError`] that names the object, the property and the rule.
pub fn check(object: &Object) -> Result<(), ObjectError> {
    let properties = object.properties();
    let fault =
        |path: &str, rule| ObjectError { id: Some(object.id().to_owned()), path: path.to_owned(), rule };
    extension::check(&properties).map_err(|(path, rule)| fault(&path, rule))?;
    if object.revoked() && object.modified().is_some() {
        return Ok(());
    }
    indicator::check(object, &properties)?;
    forms::check(object, &properties).map_err(|(path, rule)| fault(&path, rule))?;
    let properties = Value::Object(properties);
    for place in references::PLACES.iter().filter(|place| is_of(place.of, object)) {
        walk(&properties, place.way, String::new(), &mut |path, text| match place.target.takes(text) {
            true => Ok(()),
            false => Err(fault(path, Rule::Must(place.rule))),
        })?;
    }
    for place in vocabularies::PLACES.iter().filter(|place| is_of(place.of, object) && !place.from.is_open) {
        let (name, words) = (place.from.name, place.from.words);
        walk(&properties, place.way, String::new(), &mut |path, text| match words.contains(&text) {
            true => Ok(()),
            false => Err(fault(path, Rule::Word { name, words })),
        })?;
    }
    Ok(())
}

/// Words that no open vocabulary has where the standard suggests one, and references to what does not go along: each
/// told once, with how many objects there are and the first.
#[must_use]
pub fn notes(objects: &[Object]) -> Vec<String> {
    let mut odd: BTreeMap<(&str, String, String), (usize, &str)> = BTreeMap::new();
    for object in objects {
        let places =
            vocabularies::PLACES.iter().filter(|place| is_of(place.of, object) && place.from.is_open);
        let mut places = places.peekable();
        if places.peek().is_none() {
            continue;
        }
        let properties = Value::Object(object.properties());
        for place in places {
            let told: Result<(), ()> = walk(&properties, place.way, String::new(), &mut |_, text| {
                if !place.from.words.contains(&text) {
                    let way = place.way.iter().filter(|step| !matches!(**step, "[]" | "{}" | "*"));
                    let path = way.copied().collect::<Vec<_>>().join(".");
                    let word: String = text.chars().take(64).collect();
                    odd.entry((place.from.name, path, word)).or_insert((0, object.id())).0 += 1;
                }
                Ok(())
            });
            debug_assert!(told.is_ok());
        }
    }
    let words = odd.iter().map(|((vocabulary, path, word), (count, first))| {
        let others = others(*count);
        format!(
            "{path} of {first}{others} says {word:?}, which is not in {vocabulary}: readers may not know it"
        )
    });
    let words = told(words.collect());
    words.into_iter().chain(missing(objects)).collect()
}

/// Observables whose id claims to be made of their properties (UUIDv5, STIX 2.1 §2.9) and is not: others who see the
/// same will not name it alike.
#[must_use]
pub fn foreign_ids(objects: &[Object]) -> Option<String> {
    let is_foreign = |object: &&Object| {
        object.is_observable()
            && claims_to_be_made(object.id())
            && id::deterministic(object.kind(), &object.properties()).is_some_and(|made| made != object.id())
    };
    let mut foreign = objects.iter().filter(is_foreign);
    let first = foreign.next()?;
    let others = others(1 + foreign.count());
    Some(format!(
        "id of {}{others} is a UUIDv5, and not the one that its properties make (STIX 2.1 §2.9): what others see of the \
         same will not be taken for the same",
        first.id()
    ))
}

/// Indicators that state no end. TAXII serves what their author wrote, and there are tools that pass over such ones.
#[must_use]
pub fn endless(objects: &[Object]) -> Option<String> {
    let is_endless = |object: &&Object| {
        object.kind() == "indicator" && !object.revoked() && !object.properties().contains_key("valid_until")
    };
    let mut endless = objects.iter().filter(is_endless);
    let first = endless.next()?;
    let others = others(1 + endless.count());
    Some(format!(
        "{}{others} says no valid_until: some tools that read TAXII pass over such indicators",
        first.id()
    ))
}

/// Whether the UUID of an id is of version 5.
fn claims_to_be_made(id: &str) -> bool {
    id.split_once("--").is_some_and(|(_, uuid)| uuid.as_bytes().get(14) == Some(&b'5'))
}

/// References to objects that are not among these.
fn missing(objects: &[Object]) -> Option<String> {
    let here: BTreeSet<&str> = objects.iter().map(Object::id).collect();
    let is_known = |id: &str| here.contains(id) || Tlp::of_marking(id).is_some();
    let refs =
        objects.iter().flat_map(|object| object.refs().iter().map(move |to| (object.id(), to.as_str())));
    let mut dangling = refs.filter(|(_, to)| !is_known(to));
    let (from, to) = dangling.next()?;
    let others = match dangling.count() {
        0 => String::new(),
        count => format!(", and {count} more references to others"),
    };
    Some(format!("{from} refers to {to}, which does not go along{others}: readers need them from elsewhere"))
}

fn others(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    }
}

fn told(mut notes: Vec<String>) -> Vec<String> {
    let more = notes.len().saturating_sub(MOST);
    notes.truncate(MOST);
    if more > 0 {
        notes.push(format!("{more} more words are in none of the standard's vocabularies"));
    }
    notes
}

fn is_of(kind: &str, object: &Object) -> bool {
    kind.is_empty() || kind == object.kind()
}

/// Shows every text at the end of a way, with its path; what has another form is another rule's.
fn walk<E>(
    value: &Value,
    way: &[&str],
    path: String,
    visit: &mut impl FnMut(&str, &str) -> Result<(), E>,
) -> Result<(), E> {
    let Some((step, rest)) = way.split_first() else {
        return value.as_str().map_or(Ok(()), |text| visit(&path, text));
    };
    let under = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (*step, value) {
        ("[]", Value::Array(items)) => {
            items.iter().enumerate().try_for_each(|(n, item)| walk(item, rest, format!("{path}[{n}]"), visit))
        }
        ("*", Value::Object(members)) => {
            members.iter().try_for_each(|(name, member)| walk(member, rest, under(name), visit))
        }
        ("{}", Value::Object(members)) => members.keys().try_for_each(|name| visit(&under(name), name)),
        (name, Value::Object(members)) => match members.get(name) {
            Some(member) => walk(member, rest, under(name), visit),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
