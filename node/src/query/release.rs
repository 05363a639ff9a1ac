//! The gate towards tools: what may not only be read, but acted on.
//!
//! [`authorise`](super::authorise) answers whether an object is for a token. A tool behind that token blocks, alerts, or
//! belongs to somebody else; `belfry_proto::stix::egress` says what that takes. What passes both is [`Released`],
//! and exports are made of nothing else.

use std::borrow::Cow;

use belfry_proto::{
    stix::egress::{self, Held, Policy},
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
