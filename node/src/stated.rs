//! What a publication states of itself, as a filter: its information classes and its purpose.
//!
//! One type for every way out (pages, stream, lookup, exports, hooks), so that none of them reads or narrows otherwise
//! than the others.

use std::collections::BTreeSet;

use belfry_proto::schema::{InformationClass, Purpose};

use crate::words::{self, Worded};

/// Classes are ORed, and so are purposes; both have to be met. An empty one does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// Information classes.
    pub classes: BTreeSet<InformationClass>,
    /// Purposes.
    pub purposes: BTreeSet<Purpose>,
}

impl Stated {
    /// Whether a publication of these classes, as on the wire, is meant. Classes of a newer schema are none of these.
    #[must_use]
    pub fn takes_classes(&self, classes: &[i32]) -> bool {
        self.classes.is_empty() || self.classes.iter().any(|class| classes.contains(&i32::from(*class)))
    }

    /// Whether a publication of this purpose, as on the wire, is meant.
    #[must_use]
    pub fn takes_purpose(&self, purpose: i32) -> bool {
        self.purposes.is_empty() || self.purposes.iter().any(|meant| i32::from(*meant) == purpose)
    }
}

/// Words of the schema as a set.
///
/// # Errors
/// A word that is none: which, and which there are.
pub fn set<T: Worded + Ord>(given: &[String]) -> Result<BTreeSet<T>, String> {
    let known = |text: &String| {
        words::parse(text).ok_or_else(|| format!("{text:?} is none of {}", words::all::<T>().join(", ")))
    };
    given.iter().map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_to_be_met_and_nothing_given_restricts_nothing() {
        let (ioc, alert, detect) = (InformationClass::Indicator, InformationClass::Alert, Purpose::Detect);
        let stated = Stated { classes: [ioc, alert].into(), purposes: [detect].into() };
        assert!(stated.takes_classes(&[99, i32::from(alert)]) && stated.takes_purpose(detect.into()));
        assert!(!stated.takes_classes(&[]) && !stated.takes_classes(&[99]) && !stated.takes_purpose(0));
        assert!(Stated::default().takes_classes(&[]) && Stated::default().takes_purpose(0));
    }

    #[test]
    fn a_word_that_is_none_is_named_with_those_there_are() {
        let given = ["near-miss".to_owned(), "gossip".to_owned()];
        let refusal = set::<InformationClass>(&given).unwrap_err();
        assert!(refusal.starts_with("\"gossip\" is none of ") && refusal.contains("near-miss"), "{refusal}");
        assert_eq!(set(&given[..1]), Ok([InformationClass::NearMiss].into()));
    }
}
