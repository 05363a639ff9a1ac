//! The one choke point: what a principal may have of what is here (design §2, G5).
//!
//! Two gates. A *group* gate turns a name into a [`Readable`] or [`Publishable`], and an *object* gate
//! turns the store's rows into [`Shown`]. Both types have no other maker. Reading is decided by the token
//! and the marking alone: the node's own entitlement decided long before whether it could open anything.

use belfry_proto::{
    id::{GroupId, MemberId, MessageId, PublicationId},
    schema::{AcceptancePolicy, InformationClass, Pap, Purpose},
    stix::{
        egress::{self, Marks},
        marking::Tlp,
    },
    time::Timestamp,
    trust::{
        charter::{Charter, Group},
        roster::Standing,
    },
};
use uuid::Uuid;

use super::{Principal, Query, QueryError, Scope, groups::collection_id, words};
use crate::{clock, stated::Stated, store::ObjectView};

/// A group whose objects the principal it was made for may read, up to its ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readable {
    group: GroupId,
}

impl Readable {
    /// Which.
    #[must_use]
    pub const fn group(self) -> GroupId {
        self.group
    }
}

/// A group the principal it was made for may publish to, and this node as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publishable {
    group: GroupId,
    is_held: bool,
}

impl Publishable {
    /// Which.
    #[must_use]
    pub const fn group(self) -> GroupId {
        self.group
    }

    /// Whether a person has to release what the principal makes.
    #[must_use]
    pub const fn is_held(self) -> bool {
        self.is_held
    }
}

/// What the object gate looks at.
#[derive(Clone, Copy, Debug)]
struct Marked {
    group: GroupId,
    tlp: Tlp,
    is_for_named_recipients: bool,
}

/// The rule. RED leaves only by a token that says RED, and only if its author named this member: an
/// object that is RED for want of a known marking was sent to a whole group and is shown to none.
fn permits(scope: &Scope, object: Marked) -> bool {
    scope.read.covers(object.group)
        && match object.tlp {
            Tlp::Red => scope.red && object.is_for_named_recipients,
            tlp => tlp <= scope.ceiling,
        }
}

/// The object gate.
pub(super) fn admit(principal: &Principal, view: ObjectView) -> Option<Shown> {
    let object = Marked { group: view.group, tlp: view.tlp, is_for_named_recipients: view.recipients };
    permits(principal.scope(), object).then_some(Shown(view))
}

impl Query {
    /// The group of this slug, collection id or number.
    #[must_use]
    pub fn group_named(&self, name: &str) -> Option<GroupId> {
        find(self.roster().charter(), name).map(|group| group.id)
    }

    /// The group gate for reading.
    ///
    /// # Errors
    /// Unknown, or not within the token's read scope.
    pub fn readable(&self, principal: &Principal, name: &str) -> Result<Readable, QueryError> {
        let roster = self.roster();
        let group = find(roster.charter(), name).ok_or_else(|| self.unknown_group(principal, name))?;
        if !principal.scope().read.covers(group.id) {
            return Err(QueryError::NotReadable(group.slug.clone()));
        }
        Ok(Readable { group: group.id })
    }

    /// The refusal of a name that no group has: which there are, of those within the token's scope that this node is in.
    pub(super) fn unknown_group(&self, principal: &Principal, name: &str) -> QueryError {
        let scope = principal.scope();
        let known = self.own_slugs(|group| {
            scope.admin
                || scope.read.covers(group.id)
                || scope.publish.covers(group.id)
                || scope.draft.covers(group.id)
        });
        QueryError::UnknownGroup { name: name.chars().take(64).collect(), known }
    }

    /// The same where something shall go out: those that this node publishes to.
    fn unknown_to_publishers(&self, principal: &Principal, name: &str) -> QueryError {
        let (roster, scope) = (self.roster(), principal.scope());
        let known = self.own_slugs(|group| {
            (scope.publish.covers(group.id) || scope.draft.covers(group.id))
                && self.is_publisher(&roster, group.id)
        });
        QueryError::UnknownGroup { name: name.chars().take(64).collect(), known }
    }

    /// Slugs of the groups that this node is in: by its certificate, or all of them as a carrier.
    #[must_use]
    pub fn own_slugs(&self, wanted: impl Fn(&Group) -> bool) -> Vec<String> {
        let roster = self.roster();
        let own = roster.by_node(&self.inner.node);
        self.slugs(|group| {
            own.is_none_or(|own| own.carrier || own.groups.contains_key(&group.id)) && wanted(group)
        })
    }

    /// Slugs of the charter's groups.
    #[must_use]
    pub fn slugs(&self, wanted: impl Fn(&Group) -> bool) -> Vec<String> {
        let roster = self.roster();
        roster
            .charter()
            .groups()
            .iter()
            .filter(|group| wanted(group))
            .map(|group| group.slug.clone())
            .collect()
    }

    /// Every group the token reads.
    #[must_use]
    pub fn all_readable(&self, principal: &Principal) -> Vec<Readable> {
        let covers = |group: &Group| principal.scope().read.covers(group.id);
        let roster = self.roster();
        roster
            .charter()
            .groups()
            .iter()
            .filter(|group| covers(group))
            .map(|group| Readable { group: group.id })
            .collect()
    }

    /// The group gate for publishing.
    ///
    /// # Errors
    /// Unknown, or not within the token's publish scope, or this node's certificate does not publish there.
    pub fn publishable(&self, principal: &Principal, name: &str) -> Result<Publishable, QueryError> {
        let roster = self.roster();
        let group =
            find(roster.charter(), name).ok_or_else(|| self.unknown_to_publishers(principal, name))?;
        if !principal.scope().publish.covers(group.id) {
            return Err(QueryError::NotPublishable(group.slug.clone()));
        }
        self.own_publishes(&roster, group)?;
        Ok(Publishable { group: group.id, is_held: false })
    }

    /// The group gate for drafting: whoever publishes may, and whoever only drafts, whose drafts are held.
    ///
    /// # Errors
    /// As [`Self::publishable`].
    pub fn draftable(&self, principal: &Principal, name: &str) -> Result<Publishable, QueryError> {
        let roster = self.roster();
        let group =
            find(roster.charter(), name).ok_or_else(|| self.unknown_to_publishers(principal, name))?;
        let is_held = !principal.scope().publish.covers(group.id);
        if is_held && !principal.scope().draft.covers(group.id) {
            return Err(QueryError::NotPublishable(group.slug.clone()));
        }
        self.own_publishes(&roster, group)?;
        Ok(Publishable { group: group.id, is_held })
    }

    fn own_publishes(&self, roster: &super::Roster, group: &Group) -> Result<(), QueryError> {
        if self.is_publisher(roster, group.id) {
            return Ok(());
        }
        Err(QueryError::NotAPublisher {
            group: group.slug.clone(),
            reason: self.why_no_publisher(roster, group.id),
        })
    }

    /// Whether the principal decides on held drafts of a group: what it could publish itself.
    #[must_use]
    pub fn may_release(&self, principal: &Principal, group: GroupId) -> bool {
        principal.scope().publish.covers(group)
    }

    /// Whether the principal is shown the content of a draft so marked: as far as it reads anything.
    #[must_use]
    pub fn may_look_into(&self, principal: &Principal, group: GroupId, tlp: Tlp) -> bool {
        permits(principal.scope(), Marked { group, tlp, is_for_named_recipients: true })
    }

    /// The group gate for taking back: open also to a member whose publishing was stopped for texts it has not accepted.
    ///
    /// # Errors
    /// As [`Self::publishable`].
    pub fn withdrawable(&self, principal: &Principal, name: &str) -> Result<Publishable, QueryError> {
        let roster = self.roster();
        let own = roster.by_node(&self.inner.node).map(|own| own.serial);
        let group =
            find(roster.charter(), name).ok_or_else(|| self.unknown_to_publishers(principal, name))?;
        if principal.scope().publish.covers(group.id)
            && own.is_some_and(|own| roster.may_withdraw(own, group.id, clock::now()))
        {
            return Ok(Publishable { group: group.id, is_held: false });
        }
        self.publishable(principal, name)
    }

    /// Whether this node's own certificate publishes in `group` now.
    pub(super) fn is_publisher(&self, roster: &super::Roster, group: GroupId) -> bool {
        roster
            .by_node(&self.inner.node)
            .is_some_and(|certificate| roster.may_publish(certificate.serial, group, clock::now()))
    }

    /// What keeps this node from publishing in a group.
    fn why_no_publisher(&self, roster: &super::Roster, group: GroupId) -> &'static str {
        let Some(own) = roster.by_node(&self.inner.node) else { return "it has no certificate" };
        match roster.standing(own.serial, clock::now()) {
            Standing::Valid if own.carrier => "it is a carrier",
            Standing::Valid if !own.groups.contains_key(&group) => "its certificate does not name the group",
            Standing::Valid
                if roster
                    .overdue(own.member, roster.charter(), clock::now())
                    .is_some_and(|policy| policy != AcceptancePolicy::Warn) =>
            {
                "its member has not accepted the coalition's texts in time: `belfry accept-rules`"
            }
            Standing::Valid => "its certificate only reads there",
            Standing::NotYet => "its certificate is not valid yet",
            Standing::Expired => "its certificate has expired",
            Standing::Suspended => "its certificate is suspended",
            Standing::Revoked => "its certificate is revoked",
            Standing::Superseded => "newer keys took the place of its certificate",
            Standing::Unknown => "its certificate is not in the admin log",
        }
    }

    /// Whether the principal may follow a publication: its own, or any if it administers.
    #[must_use]
    pub fn may_follow(&self, principal: &Principal, group: GroupId, submitter: &str) -> bool {
        let scope = principal.scope();
        let covers = scope.publish.covers(group) || scope.draft.covers(group);
        covers && (scope.admin || principal.name() == submitter)
    }
}

fn find<'a>(charter: &'a Charter, name: &str) -> Option<&'a Group> {
    if let Some(group) = charter.group_by_slug(name) {
        return Some(group);
    }
    if let Ok(collection) = Uuid::try_parse(name) {
        let coalition = charter.coalition();
        return charter.groups().iter().find(|group| collection_id(coalition, group.id) == collection);
    }
    charter.group(GroupId::new(name.parse().ok()?))
}

/// An object its principal may have.
#[derive(Clone, Debug)]
pub struct Shown(ObjectView);

impl Shown {
    /// The group it was published in.
    #[must_use]
    pub const fn group(&self) -> GroupId {
        self.0.group
    }

    /// STIX id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// STIX type.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The author's JSON, minified and otherwise untouched.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.0.raw
    }

    /// When it entered this node's collection; unique in its group. Given anew when the object is hidden and shown
    /// again, so that tools that poll by it meet it a second time.
    #[must_use]
    pub const fn date_added(&self) -> Timestamp {
        self.0.date_added
    }

    /// `modified`, else `created`, else when it was added (TAXII 2.1 §3.4.1).
    #[must_use]
    pub fn version(&self) -> String {
        if self.0.version.is_empty() { self.0.date_added.to_string() } else { self.0.version.clone() }
    }

    /// The version as a time, for ordering; texts of different precision name the same one.
    #[must_use]
    pub fn version_time(&self) -> Timestamp {
        super::filter::time_of(&self.0.version).unwrap_or(self.0.date_added)
    }

    /// Marking in force.
    #[must_use]
    pub const fn tlp(&self) -> Tlp {
        self.0.tlp
    }

    /// Withdrawn by its author.
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        self.0.revoked
    }

    /// Stands for an object that is gone; its author said nothing of it.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.0.tombstone
    }

    /// A tombstone for what its member, or a steward, withdrew.
    #[must_use]
    pub const fn is_withdrawn(&self) -> bool {
        self.0.withdrawn
    }

    /// What is to be made of it, in a word: `current`, `revoked`, `withdrawn` or `hidden`.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self.0 {
            ObjectView { withdrawn: true, .. } => "withdrawn",
            ObjectView { tombstone: true, .. } => "hidden",
            ObjectView { revoked: true, .. } => "revoked",
            _ => "current",
        }
    }

    /// Sealed to members by name.
    #[must_use]
    pub const fn is_for_named_recipients(&self) -> bool {
        self.0.recipients
    }

    /// Whose claim it is.
    #[must_use]
    pub const fn member(&self) -> MemberId {
        self.0.member
    }

    /// Members that published the very same bytes.
    #[must_use]
    pub fn reporters(&self) -> &[MemberId] {
        &self.0.reporters
    }

    /// Those who say it and may be named for it (IEP `attribution`): the author and the reporters, but for whoever asks
    /// not to be in any message that says it.
    pub fn nameable(&self) -> impl Iterator<Item = MemberId> {
        let hides = |member: &MemberId| {
            let asks = |(by, terms): &(MemberId, Vec<String>)| by == member && egress::hides_author(terms);
            let as_author = *member == self.0.member && egress::hides_author(self.terms());
            as_author || self.0.reporters_terms.iter().any(asks)
        };
        [self.0.member]
            .into_iter()
            .chain(self.0.reporters.iter().copied())
            .filter(move |member| !hides(member))
    }

    /// Message that brought it.
    #[must_use]
    pub const fn message(&self) -> MessageId {
        self.0.message
    }

    /// Publication it is part of.
    #[must_use]
    pub const fn publication(&self) -> PublicationId {
        self.0.publication
    }

    /// When its message was made, by its author's clock.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.0.created
    }

    /// Information classes of its publication.
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        self.0.classes.iter().filter_map(|&class| words::of_number::<InformationClass>(class)).collect()
    }

    /// Permissible actions (PAP), if its author states them.
    #[must_use]
    pub fn pap(&self) -> Option<String> {
        words::of_number::<Pap>(self.0.conditions.pap)
    }

    /// Until when it must not leave its recipients, if its author says so.
    #[must_use]
    pub fn embargo_until(&self) -> Option<Timestamp> {
        let until = self.0.conditions.embargo_until;
        (until > 0).then_some(Timestamp::from_micros(until))
    }

    /// Handling terms (FIRST IEP 2.0), `name=value`.
    #[must_use]
    pub fn terms(&self) -> &[String] {
        &self.0.conditions.terms
    }

    /// Whether its author, a steward, published it on behalf of a member that is not named.
    #[must_use]
    pub const fn is_on_behalf(&self) -> bool {
        self.0.conditions.on_behalf
    }

    /// What its author asks of whoever handles it, for [`super::release`].
    pub(super) fn marks(&self) -> Marks<'_> {
        let stated = Pap::try_from(self.0.conditions.pap);
        Marks {
            tlp: self.0.tlp,
            is_for_named_recipients: self.0.recipients,
            // Of a newer schema it may forbid anything.
            pap: Some(stated.unwrap_or(Pap::Red)).filter(|pap| *pap != Pap::Unspecified),
            embargo_until: self.embargo_until(),
            terms: self.terms(),
        }
    }

    /// Purpose and classes of every publication that says it: whichever came first here, filters see them all.
    fn stated(&self) -> impl Iterator<Item = (i32, &[i32])> {
        let own = std::iter::once((self.0.purpose, self.0.classes.as_slice()));
        own.chain(self.0.also_stated.iter().map(|(purpose, classes)| (*purpose, classes.as_slice())))
    }

    /// Whether a publication that says it is of the classes that are meant.
    pub(super) fn is_of_class(&self, stated: &Stated) -> bool {
        self.stated().any(|(_, classes)| stated.takes_classes(classes))
    }

    /// Whether one is of the classes, and has a purpose, that are meant.
    pub(super) fn is_meant(&self, stated: &Stated) -> bool {
        self.stated().any(|(purpose, classes)| stated.takes_classes(classes) && stated.takes_purpose(purpose))
    }

    /// Whether it is to be told to whoever asks for this. What is taken back always is: under whatever it was stated
    /// then, it may have been told before.
    pub(super) fn is_told_of(&self, stated: &Stated) -> bool {
        self.is_revoked() || self.is_meant(stated)
    }

    /// Aim of its publication.
    #[must_use]
    pub fn purpose(&self) -> Option<String> {
        words::of_number::<Purpose>(self.0.purpose)
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::stix::marking::Tlp;
    use proptest::prelude::*;

    use super::*;
    use crate::query::Groups;

    fn groups() -> impl Strategy<Value = Groups> {
        prop_oneof![
            Just(Groups::All),
            proptest::collection::btree_set((1u32..4).prop_map(GroupId::new), 0..3).prop_map(Groups::Only)
        ]
    }

    fn tlp() -> impl Strategy<Value = Tlp> {
        proptest::sample::select(Tlp::ALL.to_vec())
    }

    prop_compose! {
        fn scope()(read in groups(), publish in groups(), admin: bool, level in 0..4usize, red: bool) -> Scope {
            Scope { read, publish, draft: Groups::NONE, admin, ceiling: Tlp::ALL[level], red, expires: None }
        }
    }

    prop_compose! {
        fn marked()(group in 1u32..4, tlp in tlp(), is_for_named_recipients: bool) -> Marked {
            Marked { group: GroupId::new(group), tlp, is_for_named_recipients }
        }
    }

    proptest! {
        #[test]
        fn publish_and_admin_scope_never_widen_reading(scope in scope(), object in marked(), publish in groups()) {
            let more = Scope { publish, admin: true, ..scope.clone() };
            prop_assert_eq!(permits(&scope, object), permits(&more, object));
        }

        #[test]
        fn a_stricter_marking_never_widens(scope in scope(), object in marked(), stricter in tlp()) {
            let marked = Marked { tlp: object.tlp.max(stricter), ..object };
            let is_whole = !scope.red || scope.ceiling == Tlp::AmberStrict;
            prop_assume!(is_whole);
            prop_assert!(!permits(&scope, marked) || permits(&scope, object));
        }

        #[test]
        fn nothing_outside_the_read_groups_is_permitted(scope in scope(), object in marked()) {
            prop_assert!(!permits(&scope, object) || scope.read.covers(object.group));
        }

        #[test]
        fn red_needs_the_flag_and_a_name(scope in scope(), object in marked()) {
            let red = Marked { tlp: Tlp::Red, ..object };
            prop_assert!(!permits(&scope, red) || (scope.red && object.is_for_named_recipients));
        }
    }
}
