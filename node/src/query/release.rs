//! The gate towards tools: what may not only be read, but acted on.
//!
//! [`authorise`](super::authorise) answers whether an object is for a token. A tool behind that token blocks, alerts, or
//! belongs to somebody else; `belfry_proto::stix::egress` says what that takes. What passes both is [`Released`],
//! and exports are made of nothing else.

use std::borrow::Cow;

use belfry_proto::{
    stix::{
        egress::{self, Held, Policy, Use},
        indicator::Indicator,
    },
    time::Timestamp,
};

use super::Shown;

/// An object that may leave by a way out.
#[derive(Clone, Debug)]
pub struct Released {
    shown: Shown,
    score: u8,
    /// When it ends here without news.
    ends: Option<Timestamp>,
}

impl Released {
    /// The object.
    #[must_use]
    pub const fn object(&self) -> &Shown {
        &self.shown
    }

    /// The best score of what it names.
    #[must_use]
    pub const fn score(&self) -> u8 {
        self.score
    }

    /// Whether its author must not be named to others.
    #[must_use]
    pub fn hides_author(&self) -> bool {
        !self.shown.nameable().any(|member| member == self.shown.member())
    }

    /// The object as it may stand before others: without its creator, and without markings of his own, if that must not be named
    /// by one who says it.
    #[must_use]
    pub fn raw(&self) -> Cow<'_, [u8]> {
        match self.shown.hides_creator() {
            true => {
                let shown = &self.shown;
                Cow::Owned(egress::veiled(shown.raw(), shown.tlp(), shown.marks().pap))
            }
            false => Cow::Borrowed(self.shown.raw()),
        }
    }

    /// [`Self::raw`] for tools that know no rule of ours: with its end, where its author states none.
    #[must_use]
    pub fn ending(&self) -> Cow<'_, [u8]> {
        match self.ends {
            Some(ends) => Cow::Owned(egress::ending(&self.raw(), ends)),
            None => self.raw(),
        }
    }

    pub(super) fn scored(self, score: u8, ends: Option<Timestamp>) -> Self {
        Self { score, ends, ..self }
    }
}

/// The gate.
pub(super) fn release(policy: &Policy, shown: Shown, now: Timestamp) -> Result<Released, Held> {
    Ok(Released { shown: shown.leaving(policy, now)?, score: 0, ends: None })
}

/// When an object that is held back now may leave after all, if that is only a matter of time.
pub(super) fn frees_at(policy: &Policy, shown: &Shown, now: Timestamp) -> Option<Timestamp> {
    shown.frees_at(policy, now)
}

/// What a way out stands for where this indicator takes it: what it does with all of them. But a rule that stops traffic as
/// it is written does so wherever it is loaded.
pub(super) fn policy_for(policy: &Policy, indicator: &Indicator) -> Policy {
    let purpose = if indicator.stops() { Use::Block } else { policy.purpose };
    Policy { purpose, ..*policy }
}

/// Whether an indicator may go out whole, as its author wrote it, as far as what it names may (`names_any`: if it names values).
///
/// The allow-list and the warning lists are asked for values. What blocks has to name all that it compares, then; what looks for
/// something may compare more besides a value that it names, and where it names none nothing that could stand in a list. A rule in
/// a language of its own is for those who load it.
pub(super) fn goes_whole(indicator: &Indicator, names_any: bool, purpose: Use) -> bool {
    let kind = indicator.pattern_type.as_str();
    if kind != "stix" {
        let kind = kind.trim();
        // What only looks like another language is read as STIX by whoever is lenient.
        return !kind.is_empty() && !kind.eq_ignore_ascii_case("stix");
    }
    match (purpose, names_any) {
        (Use::Detect, true) => true,
        (Use::Detect, false) => indicator.is_of_stix() && !indicator.compares_unnamed(),
        (Use::Block, true) => !indicator.compares_unnamed(),
        // Where somebody looks, it may tell of anything; what it would block nobody knows.
        (Use::Block, false) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_whole_compares_nothing_that_no_list_could_be_asked_for() {
        let goes = |kind: &str, pattern: &str| {
            let json = serde_json::json!({ "pattern_type": kind, "pattern": pattern }).to_string();
            let indicator = Indicator::read(json.as_bytes()).unwrap();
            let names_any = !indicator.sought().is_empty();
            [Use::Detect, Use::Block].map(|purpose| goes_whole(&indicator, names_any, purpose))
        };
        for (kind, pattern, expected) in [
            ("stix", "[domain-name:value = 'evil.be']", [true, true]),
            ("stix", "[domain-name:value = 'evil.be' OR url:value LIKE 'http://own.be/%']", [true, false]),
            ("stix", "[domain-name:value LIKE '%.own.be']", [false, false]),
            ("stix", "[process:command_line = 'evil']", [true, false]),
            ("stix", "[process:command_line = 'evil'", [false, false]),
            ("stix", "", [false, false]),
            ("STIX", "[domain-name:value = 'own.be']", [false, false]),
            ("stix ", "[domain-name:value LIKE '%.own.be']", [false, false]),
            ("", "[domain-name:value = 'own.be']", [false, false]),
            ("sigma", "title: x", [true, true]),
        ] {
            assert_eq!(goes(kind, pattern), expected, "{kind:?} {pattern}");
        }
    }
}
