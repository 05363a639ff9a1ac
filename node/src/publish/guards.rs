//! The guards as this node has them: the operator's own lists, and the warning lists in force.

use std::sync::Arc;

use belfry_proto::{
    guard::{self, Going, Own, Report, Weight},
    stix::{object::Object, warning::Warnings},
};

use super::submission::SubmitError;

/// Whoever keeps the warning lists. They change while the node runs.
pub trait WarningLists: Send + Sync {
    /// Shows them to `look`. May wait for the disk.
    fn show(&self, look: &mut dyn FnMut(&Warnings));
}

impl WarningLists for Warnings {
    fn show(&self, look: &mut dyn FnMut(&Warnings)) {
        look(self);
    }
}

/// What is asked before something leaves. Clones share everything.
#[derive(Clone)]
pub struct Guards {
    own: Arc<Own>,
    lists: Arc<dyn WarningLists>,
}

impl Default for Guards {
    fn default() -> Self {
        Self::new(Own::default(), Arc::new(Warnings::built_in()))
    }
}

impl Guards {
    /// Of the member's own names and the lists of known mistakes.
    #[must_use]
    pub fn new(own: Own, lists: Arc<dyn WarningLists>) -> Self {
        Self { own: Arc::new(own), lists }
    }

    /// Everything they say of objects that shall go out so.
    pub(super) fn examine(&self, objects: &[Object], going: Going) -> Report {
        let mut report = Report::default();
        self.lists.show(&mut |warnings| report = guard::examine(objects, going, &self.own, warnings));
        report
    }

    /// The same with what they say of the words stated beside the objects: a label of its classes, terms of handling.
    pub(super) fn examine_stated(&self, report: Report, label: &str, terms: &[String]) -> Report {
        let terms = terms.iter().map(|term| ("handling", term.as_str()));
        guard::stated(report, terms.chain([("class_label", label)]), &self.own)
    }

    /// The reason to be kept, if what was found may go out with the one given.
    ///
    /// # Errors
    /// Something is refused outright, a reason is missing, or the one given repeats what it excuses.
    pub(super) fn weigh(
        &self,
        report: &Report,
        objects: &[Object],
        reason: Option<&str>,
    ) -> Result<Option<String>, SubmitError> {
        let reason = reason.map(|text| guard::reason(text, &self.own)).transpose()?;
        if let Some(reason) = &reason {
            guard::repeats_none(reason, objects, report)?;
        }
        match report.gravest() {
            Some(Weight::Refused) => Err(SubmitError::Guarded(Box::new(report.clone()))),
            Some(Weight::Reason) if reason.is_none() => Err(SubmitError::Guarded(Box::new(report.clone()))),
            _ => Ok(reason),
        }
    }
}
