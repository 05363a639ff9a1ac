//! The one choke point: what a principal may have of what is here (design §2, G5).
//!
//! Two gates. A *group* gate turns a name into a [`Readable`] or [`Publishable`], and an *object* gate
//! turns the store's rows into [`Shown`]. Both types have no other maker. Reading is decided by the token
//! and what the author asks alone: the node's own entitlement decided long before whether it could open anything.
//!
//! A token for outside has the object gate's second half before it, `belfry_proto::stix::egress`: whichever way it reads,
//! it meets what may leave the organisation, without the names that must not be told there.

mod shown;

use std::sync::Arc;

use belfry_proto::{
    id::{GroupId, MemberId},
    schema::{AcceptancePolicy, Pap},
    stix::{
        egress::{self, Audience, Held, Marks, Policy, Use},
        marking::Tlp,
    },
    time::Timestamp,
    trust::{
        charter::{Charter, Group},
        roster::Standing,
    },
};
use uuid::Uuid;

pub use self::shown::Shown;
use super::{Principal, Query, QueryError, Scope, groups::collection_id};
use crate::{
    clock,
    store::{Conditions, ObjectView},
};

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
struct Marked<'a> {
    group: GroupId,
    asked: Marks<'a>,
}

/// The rule. RED leaves only by a token that says RED, and only if its author named this member: an
/// object that is RED for want of a known marking was sent to a whole group and is shown to none.
fn permits(scope: &Scope, object: Marked<'_>, now: Timestamp) -> bool {
    scope.read.covers(object.group)
        && match object.asked.tlp {
            Tlp::Red => scope.red && object.asked.is_for_named_recipients,
            tlp => tlp <= scope.ceiling,
        }
        && match scope.audience {
            Audience::Inside => true,
            Audience::Outside => egress::may_leave(&outside(scope), &object.asked, now).is_ok(),
        }
}

/// What a reader outside stands for. What it does with an object nobody here knows: permitted actions go along for it to
/// keep, and hold nothing back, as of everything that looks for a value.
const fn outside(scope: &Scope) -> Policy {
    Policy {
        purpose: Use::Detect,
        audience: Audience::Outside,
        most: scope.ceiling,
        unstated_pap: Pap::Green,
    }
}

/// The object gate.
pub(super) fn admit(principal: &Principal, view: impl Into<Arc<ObjectView>>) -> Option<Shown> {
    let (scope, view): (&Scope, Arc<ObjectView>) = (principal.scope(), view.into());
    match scope.audience {
        Audience::Inside => {
            let object = Marked { group: view.group, asked: marks(&view) };
            permits(scope, object, Timestamp::ZERO).then_some(Shown { view, is_outside: false })
        }
        Audience::Outside => admit_outside(scope, view, clock::now()),
    }
}

fn admit_outside(scope: &Scope, view: Arc<ObjectView>, now: Timestamp) -> Option<Shown> {
    if !permits(scope, Marked { group: view.group, asked: marks(&view) }, now) {
        return None;
    }
    let policy = outside(scope);
    leaves(&policy, &view, now).ok()?;
    let reporters = told(&policy, &view, now);
    let mut shown = Shown { view, is_outside: true };
    shown.tell_only(reporters);
    // A word between members.
    if !shown.view.conditions.reason.is_empty() {
        Arc::make_mut(&mut shown.view).conditions.reason.clear();
    }
    if shown.hides_creator() {
        let raw = egress::veiled(shown.raw(), shown.tlp(), shown.marks().pap);
        Arc::make_mut(&mut shown.view).raw = raw;
    }
    Some(shown)
}

/// What an object's author asks of whoever handles it.
fn marks(view: &ObjectView) -> Marks<'_> {
    asked(view, &view.conditions)
}

/// What one who says it asks of whoever handles it.
fn asked<'a>(view: &ObjectView, conditions: &'a Conditions) -> Marks<'a> {
    let stated = Pap::try_from(conditions.pap);
    let until = conditions.embargo_until;
    Marks {
        tlp: view.tlp,
        is_for_named_recipients: view.recipients,
        // Of a newer schema it may forbid anything.
        pap: Some(stated.unwrap_or(Pap::Red)).filter(|pap| *pap != Pap::Unspecified),
        embargo_until: (until > 0).then_some(Timestamp::from_micros(until)),
        terms: &conditions.terms,
    }
}

/// Whether an object may take a way out, by all that its author asks: one who says the same twice, and asks more the
/// second time, has to be minded both times. And by an embargo of others, where it is not its author's object.
fn leaves(policy: &Policy, view: &ObjectView, now: Timestamp) -> Result<(), Held> {
    egress::may_leave(policy, &marks(view), now)?;
    let is_outside = policy.audience == Audience::Outside;
    if is_outside && view.kept_until.is_some_and(|until| now < until) {
        return Err(Held::Embargo);
    }
    // What nobody looked at may ask for anything.
    if is_outside && (view.said_beyond || tells_on_author(view)) {
        return Err(Held::Terms);
    }
    lets(policy, view, view.member, now)
}

/// Whether it is the name or the marking of an author who asks not to be named, any time that it says it. Not what others ask who
/// say these bytes: anybody could hide anybody's name by saying it once more.
fn tells_on_author(view: &ObjectView) -> bool {
    let again = view.asked_again.iter().filter(|(by, _)| *by == view.member);
    let hides = std::iter::once(&view.conditions)
        .chain(again.map(|(_, conditions)| conditions))
        .any(|conditions| egress::hides_author(&conditions.terms));
    (hides || view.said_beyond) && egress::tells_who(&view.kind, &view.id, &view.raw)
}

/// Whether one of those who say an object's very bytes asks not to be named, whichever of them came first here, or may ask it.
fn hides_creator(view: &ObjectView) -> bool {
    let hides = |(_, conditions): &(MemberId, Conditions)| egress::hides_author(&conditions.terms);
    view.said_beyond || egress::hides_author(&view.conditions.terms) || view.asked_again.iter().any(hides)
}

/// Those besides the author who say an object, and let that be told by a way out: it goes by what they ask.
fn told(policy: &Policy, view: &ObjectView, now: Timestamp) -> Vec<MemberId> {
    let lets = |member: &MemberId| lets(policy, view, *member, now).is_ok();
    view.reporters.iter().copied().filter(lets).collect()
}

/// Whether all that a member asks where it says an object once more lets it take a way out.
fn lets(policy: &Policy, view: &ObjectView, member: MemberId, now: Timestamp) -> Result<(), Held> {
    // What is not said again is not asked for again.
    let policy = Policy { unstated_pap: Pap::Clear, ..*policy };
    let again = view.asked_again.iter().filter(|(by, _)| *by == member);
    again
        .into_iter()
        .try_for_each(|(_, conditions)| egress::may_leave(&policy, &asked(view, conditions), now))
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

    /// Whether the principal is shown the content of a draft so marked: as far as it reads anything. What is not
    /// published yet is nobody's outside.
    #[must_use]
    pub fn may_look_into(&self, principal: &Principal, group: GroupId, tlp: Tlp) -> bool {
        let asked = Marks { tlp, is_for_named_recipients: true, pap: None, embargo_until: None, terms: &[] };
        permits(principal.scope(), Marked { group, asked }, clock::now())
    }

    /// What is told of messages and their logs, of whoever wrote them and how many, whatever they say: to nobody outside.
    ///
    /// # Errors
    /// [`QueryError::InsideOnly`].
    pub(super) fn inside(&self, principal: &Principal) -> Result<(), QueryError> {
        match principal.scope().audience {
            Audience::Inside => Ok(()),
            Audience::Outside => Err(QueryError::InsideOnly),
        }
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
        fn scope()(
            (read, publish) in (groups(), groups()), admin: bool, level in 0..4usize, red: bool, is_outside: bool
        ) -> Scope {
            let audience = if is_outside { Audience::Outside } else { Audience::Inside };
            let ceiling = Tlp::ALL[level];
            Scope { read, publish, draft: Groups::NONE, admin, ceiling, red, audience, expires: None }
        }
    }

    prop_compose! {
        fn marked()(
            group in 1u32..4, tlp in tlp(), is_for_named_recipients: bool, is_embargoed: bool, terms in terms(),
        ) -> Marked<'static> {
            let embargo_until = is_embargoed.then_some(LATER);
            let asked = Marks { tlp, is_for_named_recipients, pap: None, embargo_until, terms };
            Marked { group: GroupId::new(group), asked }
        }
    }

    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
    const LATER: Timestamp = Timestamp::from_micros(1_790_000_001_000_000);

    fn terms() -> impl Strategy<Value = &'static [String]> {
        let terms = ["permitted-actions=none", "attribution=must-not", "something-new=1"];
        proptest::collection::vec(proptest::sample::select(terms.to_vec()), 0..2).prop_map(|terms| {
            let terms: Vec<String> = terms.into_iter().map(str::to_owned).collect();
            &*terms.leak()
        })
    }

    fn remarked(object: Marked<'static>, tlp: Tlp) -> Marked<'static> {
        Marked { asked: Marks { tlp, ..object.asked }, ..object }
    }

    proptest! {
        #[test]
        fn publish_and_admin_scope_never_widen_reading(scope in scope(), object in marked(), publish in groups()) {
            let more = Scope { publish, admin: true, ..scope.clone() };
            prop_assert_eq!(permits(&scope, object, NOW), permits(&more, object, NOW));
        }

        #[test]
        fn a_stricter_marking_never_widens(scope in scope(), object in marked(), stricter in tlp()) {
            let marked = remarked(object, object.asked.tlp.max(stricter));
            let is_whole = !scope.red || scope.ceiling == Tlp::AmberStrict;
            prop_assume!(is_whole);
            prop_assert!(!permits(&scope, marked, NOW) || permits(&scope, object, NOW));
        }

        #[test]
        fn nothing_outside_the_read_groups_is_permitted(scope in scope(), object in marked()) {
            prop_assert!(!permits(&scope, object, NOW) || scope.read.covers(object.group));
        }

        #[test]
        fn red_needs_the_flag_and_a_name(scope in scope(), object in marked()) {
            let red = remarked(object, Tlp::Red);
            prop_assert!(!permits(&scope, red, NOW) || (scope.red && object.asked.is_for_named_recipients));
        }

        #[test]
        fn outside_reads_what_may_leave_and_never_more_than_inside(scope in scope(), object in marked()) {
            let inside = Scope { audience: Audience::Inside, ..scope.clone() };
            let outside = Scope { audience: Audience::Outside, ..scope };
            let is_read = permits(&outside, object, NOW);
            prop_assert!(!is_read || permits(&inside, object, NOW));
            let Marks { tlp, is_for_named_recipients, embargo_until, .. } = object.asked;
            prop_assert!(!is_read || tlp <= Tlp::Amber && !is_for_named_recipients && embargo_until.is_none());
            let is_free = |term: &String| term == "attribution=must-not";
            prop_assert!(!is_read || object.asked.terms.iter().all(is_free));
        }
    }
}
