//! What the object gate let through, as it is told: the gate alone makes one.

use std::sync::Arc;

use belfry_proto::{
    id::{GroupId, MemberId, MessageId, PublicationId},
    schema::{InformationClass, Pap, Purpose},
    stix::{
        egress::{self, Audience, Held, Marks, Policy},
        marking::Tlp,
    },
    time::Timestamp,
};

use super::{asked, hides_creator, leaves, marks, tells_on_author, told};
use crate::{
    query::{filter, words},
    stated::Stated,
    store::{Conditions, ObjectView, counts_since},
};

/// An object its principal may have.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Shared by all that was found by way of one row.
    pub(super) view: Arc<ObjectView>,
    /// Shown to one of others' tools.
    pub(super) is_outside: bool,
}

impl Shown {
    /// The group it was published in.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.view.group
    }

    /// STIX id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.view.id
    }

    /// STIX type.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.view.kind
    }

    /// The author's JSON, minified and otherwise untouched.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.view.raw
    }

    /// When it entered this node's collection; unique in its group. Given anew when the object is hidden and shown
    /// again, so that tools that poll by it meet it a second time.
    #[must_use]
    pub fn date_added(&self) -> Timestamp {
        self.view.date_added
    }

    /// When this node first had it, wherever it was moved since.
    pub(in crate::query) fn arrived(&self) -> Timestamp {
        self.view.arrived
    }

    /// When whoever it is shown to meets it, in the order of their pages: those outside meet what was under an embargo once
    /// that is over. All else is told by [`Self::date_added`].
    #[must_use]
    pub fn met(&self) -> Timestamp {
        let surfaced = self.view.surfaced.filter(|_| self.is_outside);
        surfaced.unwrap_or(self.view.date_added)
    }

    /// Whether that is because an embargo was over.
    pub(in crate::query) fn has_surfaced(&self) -> bool {
        self.is_outside && self.view.surfaced.is_some()
    }

    /// `modified`, else `created`, else when it was added (TAXII 2.1 §3.4.1).
    #[must_use]
    pub fn version(&self) -> String {
        if self.view.version.is_empty() {
            self.view.date_added.to_string()
        } else {
            self.view.version.clone()
        }
    }

    /// The version as its author states it; empty if not.
    pub(in crate::query) fn stated_version(&self) -> &str {
        &self.view.version
    }

    /// The version as a time, for ordering; texts of different precision name the same one.
    #[must_use]
    pub fn version_time(&self) -> Timestamp {
        filter::time_of(&self.view.version).unwrap_or(self.view.date_added)
    }

    /// Marking in force.
    #[must_use]
    pub fn tlp(&self) -> Tlp {
        self.view.tlp
    }

    /// Withdrawn by its author.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.view.revoked
    }

    /// It came to the place of another version of the object that is gone.
    pub(in crate::query) fn has_outlived(&self) -> bool {
        self.view.outlived
    }

    /// Stands for an object that is gone; its author said nothing of it.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.view.tombstone
    }

    /// A tombstone for what its member, or a steward, withdrew.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.view.withdrawn
    }

    /// What is to be made of it, in a word: `current`, `revoked`, `withdrawn` or `hidden`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match *self.view {
            ObjectView { withdrawn: true, .. } => "withdrawn",
            ObjectView { tombstone: true, .. } => "hidden",
            ObjectView { revoked: true, .. } => "revoked",
            _ => "current",
        }
    }

    /// Sealed to members by name.
    #[must_use]
    pub fn is_for_named_recipients(&self) -> bool {
        self.view.recipients
    }

    /// Whether whoever it is shown to may be told whose it is: this organisation's own always.
    #[must_use]
    pub fn names_author(&self) -> bool {
        !self.is_outside || self.nameable().any(|member| member == self.member())
    }

    /// Whose claim it is; before it is told, see [`Self::names_author`].
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.view.member
    }

    /// Members that published the very same bytes.
    #[must_use]
    pub fn reporters(&self) -> &[MemberId] {
        &self.view.reporters
    }

    /// Those who say it and may be named for it (IEP `attribution`): the author and the reporters, but for whoever asks
    /// not to be in any message that says it.
    pub fn nameable(&self) -> impl Iterator<Item = MemberId> {
        let hides = |member: &MemberId| {
            let asks = |(by, conditions): &(MemberId, Conditions)| {
                by == member && egress::hides_author(&conditions.terms)
            };
            let as_author = *member == self.view.member && egress::hides_author(self.terms());
            as_author || self.view.asked_again.iter().any(asks)
        };
        [self.view.member]
            .into_iter()
            .chain(self.view.reporters.iter().copied())
            .filter(move |member| !hides(member))
    }

    /// Whether the object itself must not say before others who created it: one of those who say these very bytes asks not
    /// to be named, whichever of them came first here, or may ask it.
    pub(in crate::query) fn hides_creator(&self) -> bool {
        hides_creator(&self.view)
    }

    /// Whether it is the name or the marking of an author who asks not to be named: whose it is, its words tell.
    pub(in crate::query) fn tells_on_author(&self) -> bool {
        tells_on_author(&self.view)
    }

    /// Message that brought it.
    #[must_use]
    pub fn message(&self) -> MessageId {
        self.view.message
    }

    /// Publication it is part of.
    #[must_use]
    pub fn publication(&self) -> PublicationId {
        self.view.publication
    }

    /// When its message was made, by its author's clock.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.view.created
    }

    /// Since when it counts where whoever said something first has it: [`Self::created`], unless it came too late for that.
    #[must_use]
    pub fn counts_since(&self) -> Timestamp {
        counts_since(self.view.created, self.view.arrived)
    }

    /// Information classes of its publication.
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        self.view.classes.iter().filter_map(|&class| words::of_number::<InformationClass>(class)).collect()
    }

    /// Permissible actions (PAP), if its author states them.
    #[must_use]
    pub fn pap(&self) -> Option<String> {
        words::of_number::<Pap>(self.view.conditions.pap)
    }

    /// Until when it must not leave its recipients, if its author says so.
    #[must_use]
    pub fn embargo_until(&self) -> Option<Timestamp> {
        let until = self.view.conditions.embargo_until;
        (until > 0).then_some(Timestamp::from_micros(until))
    }

    /// Handling terms (FIRST IEP 2.0), `name=value`.
    #[must_use]
    pub fn terms(&self) -> &[String] {
        &self.view.conditions.terms
    }

    /// Why it went out although a guard of its author's objected, if the message says so.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        Some(self.view.conditions.reason.as_str()).filter(|reason| !reason.is_empty())
    }

    /// Whether its author, a steward, published it on behalf of a member that is not named.
    #[must_use]
    pub fn is_on_behalf(&self) -> bool {
        self.view.conditions.on_behalf
    }

    /// What its author asks of whoever handles it.
    pub(in crate::query) fn marks(&self) -> Marks<'_> {
        marks(&self.view)
    }

    /// When what its author asks ceases to hold it back, each time that it said it, and what others ask of the object, if that is
    /// only a matter of time.
    pub(in crate::query) fn frees_at(&self, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        let again = self.view.asked_again.iter().filter(|(by, _)| *by == self.view.member);
        let again = again.map(|(_, conditions)| asked(&self.view, conditions));
        let all = std::iter::once(self.marks()).chain(again);
        let kept = self.view.kept_until.filter(|until| policy.audience == Audience::Outside && now < *until);
        all.filter_map(|marks| egress::frees_at(policy, &marks, now)).chain(kept).max()
    }

    /// For [`crate::query::release`]: whether it may take a way out. To others it goes without those who say it, too, and do not let
    /// that be told there.
    pub(in crate::query) fn leaving(mut self, policy: &Policy, now: Timestamp) -> Result<Self, Held> {
        leaves(policy, &self.view, now)?;
        if policy.audience == Audience::Outside {
            self.tell_only(told(policy, &self.view, now));
        }
        Ok(self)
    }

    /// Leaves these of its reporters.
    pub(super) fn tell_only(&mut self, reporters: Vec<MemberId>) {
        if self.view.reporters != reporters {
            Arc::make_mut(&mut self.view).reporters = reporters;
        }
    }

    /// Purpose and classes of every publication that says it: whichever came first here, filters see them all.
    fn stated(&self) -> impl Iterator<Item = (i32, &[i32])> {
        let own = std::iter::once((self.view.purpose, self.view.classes.as_slice()));
        own.chain(self.view.also_stated.iter().map(|(purpose, classes)| (*purpose, classes.as_slice())))
    }

    /// Whether a publication that says it is of the classes that are meant.
    pub(in crate::query) fn is_of_class(&self, stated: &Stated) -> bool {
        self.stated().any(|(_, classes)| stated.takes_classes(classes))
    }

    /// Whether one is of the classes, and has a purpose, that are meant.
    pub(in crate::query) fn is_meant(&self, stated: &Stated) -> bool {
        self.stated().any(|(purpose, classes)| stated.takes_classes(classes) && stated.takes_purpose(purpose))
    }

    /// Whether it is to be told to whoever asks for this. What is taken back always is: under whatever it was stated
    /// then, it may have been told before.
    pub(in crate::query) fn is_told_of(&self, stated: &Stated) -> bool {
        self.is_revoked() || self.is_meant(stated)
    }

    /// Aim of its publication.
    #[must_use]
    pub fn purpose(&self) -> Option<String> {
        words::of_number::<Purpose>(self.view.purpose)
    }
}
