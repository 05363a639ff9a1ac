//! Of which information classes a message is: by what is stated beside its objects, in them, and by their types.

use std::collections::BTreeSet;

use belfry_proto::{
    limits::MAX_CLASS_LABEL,
    schema::InformationClass,
    stix::{class, object::Object},
};

use super::submission::Submission;
use crate::words;

/// The classes stated, beside the objects and in them, else those that the objects' types say. A bundle of identities,
/// relationships or notes says none, and no TAXII client can: it goes out as "other", labelled with its types.
pub(super) fn of(submission: &Submission, objects: &[Object]) -> (Vec<InformationClass>, String) {
    let mut classes = match submission.classes.as_slice() {
        [] => class::infer(objects),
        stated => stated.iter().copied().chain(objects.iter().filter_map(stated_class)).collect(),
    };
    classes.sort_unstable();
    classes.dedup();
    let mut label = submission.class_label.clone();
    if classes.is_empty() {
        classes.push(InformationClass::Other);
        if label.is_empty() {
            label = types(objects);
        }
    } else if label.is_empty() {
        // Set exactly where an object says "other", and then by what it says that this stands for.
        label = joined(objects.iter().filter_map(|object| object.stated()?.class_label.as_deref()));
    }
    (classes, label)
}

fn stated_class(object: &Object) -> Option<InformationClass> {
    object.stated()?.class
}

/// What objects say of themselves otherwise than the submission says of them: each counts where it stands, and its author
/// should know.
pub(super) fn contradictions(submission: &Submission, objects: &[Object]) -> Vec<String> {
    let told = |what: &str, counts: &str, odd: Vec<(&str, String)>| {
        let (id, word) = odd.first()?;
        let others = match odd.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        Some(format!("{id}{others} states another {what} than the submission, {word}: {counts}"))
    };
    let classes = objects.iter().filter_map(|object| {
        let class = stated_class(object)?;
        let is_other = !submission.classes.is_empty() && !submission.classes.contains(&class);
        is_other.then(|| (object.id(), words::word(class)))
    });
    let purposes = objects.iter().filter_map(|object| {
        let purpose = object.stated()?.purpose?;
        let is_other = submission.purpose.is_some_and(|stated| stated != purpose);
        is_other.then(|| (object.id(), words::word(purpose)))
    });
    let class =
        told("information class", "it counts for the object, and both for the message", classes.collect());
    let purpose =
        told("purpose", "it counts for the object, the submission's for the message", purposes.collect());
    class.into_iter().chain(purpose).collect()
}

/// The objects' types, as many as a label has room for.
fn types(objects: &[Object]) -> String {
    let label = joined(objects.iter().map(Object::kind));
    if label.is_empty() { "objects of a custom type".to_owned() } else { label }
}

/// Words in one label, as many as it has room for.
fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: BTreeSet<&str> = words.collect();
    let (mut label, mut length) = (String::new(), 0);
    for word in words {
        let comma = if label.is_empty() { "" } else { ", " };
        let longer = length + comma.len() + word.chars().count();
        if longer <= MAX_CLASS_LABEL {
            label = format!("{label}{comma}{word}");
            length = longer;
        }
    }
    label
}
