//! What may leave by a way out, as the file says it: shared by lists that tools fetch and hooks that push.

use belfry_proto::{
    schema::{InformationClass, Pap},
    stix::{
        egress::{Audience, Policy, Use},
        marking::Tlp,
    },
};

use crate::{
    stated::{self, Stated},
    words,
};

const MAX_NAME: usize = 64;

/// The keys that make a policy.
pub(super) struct Way {
    pub(super) action: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) max_tlp: Option<String>,
    pub(super) unstated_pap: Option<String>,
}

impl Way {
    /// `unless` is what happens there unless said.
    pub(super) fn policy(&self, unless: Use) -> Result<Policy, String> {
        let wrong = |key: &str, given: &str, known: &str| format!("{key}: {given:?} is none of {known}");
        let purpose = match self.action.as_deref() {
            None => unless,
            Some("detect") => Use::Detect,
            Some("block") => Use::Block,
            Some(other) => return Err(wrong("action", other, "block, detect")),
        };
        let audience = match self.audience.as_deref() {
            None => Audience::Inside,
            Some(text) => Audience::named(text).ok_or_else(|| wrong("audience", text, "inside, outside"))?,
        };
        let widest = audience.widest();
        let most = match self.max_tlp.as_deref() {
            None => audience.usual(),
            Some(text) => text.parse().map_err(|e| format!("max_tlp: {text:?}: {e}"))?,
        };
        if most > widest {
            return Err(format!(
                "max_tlp: tools are given {widest} at most here; {most} is for {}",
                if most == Tlp::Red { "the people it names" } else { "this organisation only" }
            ));
        }
        let unstated_pap = match self.unstated_pap.as_deref() {
            None => Pap::Green,
            Some(text) => words::parse(text)
                .ok_or_else(|| wrong("unstated_pap", text, &words::all::<Pap>().join(", ")))?,
        };
        Ok(Policy { purpose, audience, most, unstated_pap })
    }

    /// Every key written out.
    pub(super) fn of(policy: &Policy) -> Self {
        let Policy { purpose, audience, most, unstated_pap } = policy;
        Self {
            action: Some(if *purpose == Use::Block { "block" } else { "detect" }.to_owned()),
            audience: Some(audience.as_str().to_owned()),
            max_tlp: Some(most.as_str().to_owned()),
            unstated_pap: Some(words::word(*unstated_pap)),
        }
    }
}

/// A name that stands in URLs.
pub(super) fn name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
        return Err(format!(
            "name: {name:?} is not a name: write 1 to {MAX_NAME} lower-case letters, digits, - and _"
        ));
    }
    Ok(())
}

/// An information class by its word.
pub(super) fn class(text: &str) -> Result<InformationClass, String> {
    words::parse(text).ok_or_else(|| {
        format!("classes: {text:?} is none of {}", words::all::<InformationClass>().join(", "))
    })
}

/// What publications have to state.
pub(super) fn stated(classes: &[String], purposes: &[String]) -> Result<Stated, String> {
    Ok(Stated {
        classes: stated::set(classes).map_err(|error| format!("classes: {error}"))?,
        purposes: stated::set(purposes).map_err(|error| format!("purposes: {error}"))?,
    })
}

/// Words of a set.
pub(super) fn words<T: words::Worded>(of: impl IntoIterator<Item = T>) -> Vec<String> {
    of.into_iter().map(words::word).collect()
}

pub(super) fn word(class: &InformationClass) -> String {
    words::word(*class)
}
