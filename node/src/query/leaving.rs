//! What a hook pushes out: the feed, through the gate towards tools.
//!
//! A hook has no token: the operator named it in the configuration, and its policy says what may leave. All else is as
//! for lists: an object is for the principal first, then released by what the hook stands for, and values on the allow-list
//! or a warning list are no news to act on, nor is an indicator of which these cannot be asked. What is held back is counted under
//! its reason.
//!
//! What is pushed cannot be taken back: embargoes are over by the time at which others last vouched for our clock. What is valid
//! from a later time on goes out then where it blocks, as it stands in lists from then on. Whoever only looks for it is told at once
//! of that time: nothing is lost by how much there is to be kept in mind.

use std::collections::BTreeMap;

use belfry_proto::{
    id::MemberId,
    stix::{
        egress::{Audience, Held, Use},
        indicator::{Bearer, Indicator, Sought, Stands},
        observable::Observable,
    },
    time::Timestamp,
};

use super::{
    Groups, Inner, Principal, Query, QueryError, Scope, Shown, TokenId,
    authorise::admit,
    events::gap,
    lists::Loaded,
    newest::Newest,
    release::{Released, frees_at, goes_whole, policy_for, release},
};
use crate::{clock, config::Hook, query::Gap};

/// Feed entries looked at in one call.
const STRETCH: usize = 64;
/// Entries whose time has come that are looked at in one call.
pub const MOST_LATE: usize = STRETCH;

/// An object that goes out.
#[derive(Clone, Debug)]
pub struct Leaves {
    /// Its number in the feed.
    pub number: u64,
    /// The object.
    pub released: Released,
    /// What an indicator names, as far as it may be acted on.
    pub values: Vec<Observable>,
    /// From when on an indicator is valid, if that is yet to come.
    pub from: Option<Timestamp>,
    /// Until when an indicator is valid, if its author says.
    pub until: Option<Timestamp>,
}

/// A stretch of the feed.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// What goes out of it.
    pub rows: Vec<Leaves>,
    /// What does not, by reason.
    pub held: BTreeMap<Held, u64>,
    /// Where the next stretch goes on.
    pub position: u64,
    /// More is waiting.
    pub more: bool,
    /// Something is missing before `rows`.
    pub gap: Option<Gap>,
    /// Entries that only an embargo holds back, or that they are not valid yet, until when, and whose they are.
    pub later: Vec<(u64, Timestamp, MemberId)>,
}

impl Query {
    /// What of the feed after `after` may leave by `hook`, embargoes by the time that was vouched for last.
    ///
    /// # Errors
    /// The store.
    pub async fn leaving(&self, hook: &Hook, after: u64, vouched: Timestamp) -> Result<Leaving, QueryError> {
        self.stretch(hook, (after, STRETCH), vouched).await
    }

    /// Entry `number` of the feed alone, or what stands behind it: as it may leave now.
    ///
    /// # Errors
    /// The store.
    pub async fn leaving_one(
        &self,
        hook: &Hook,
        number: u64,
        vouched: Timestamp,
    ) -> Result<Leaving, QueryError> {
        self.stretch(hook, (number.saturating_sub(1), 1), vouched).await
    }

    /// [`Self::leaving_one`] of each of these entries, whose time has come: nothing if its member said something newer of the
    /// object meanwhile that goes out by this hook, too, and did or will, or by which it holds no more. What is newest of an object
    /// is looked for once for all of them, and they are at most [`MOST_LATE`].
    ///
    /// # Errors
    /// The store.
    pub async fn leaving_late(
        &self,
        hook: &Hook,
        numbers: &[u64],
        vouched: Timestamp,
    ) -> Result<Vec<(u64, Leaving)>, QueryError> {
        let (hook, principal) = (hook.clone(), self.stands_for(hook));
        let numbers: Vec<u64> = numbers.iter().copied().take(MOST_LATE).collect();
        self.read(move |inner| {
            let (lists, now) = (inner.lists.current(), clock::now());
            let counts = |version: Shown| takes_over(&hook, &lists, version, (now, vouched));
            let mut newest = Newest::of(inner, &principal, counts);
            let mut found = Vec::with_capacity(numbers.len());
            for number in numbers {
                let after = number.saturating_sub(1);
                let is_due = |shown: &Shown| newest.is(shown);
                found.push((number, inner.leaving(&hook, &principal, (after, 1), vouched, is_due)?));
            }
            Ok(found)
        })
        .await
    }

    async fn stretch(
        &self,
        hook: &Hook,
        (after, most): (u64, usize),
        vouched: Timestamp,
    ) -> Result<Leaving, QueryError> {
        let (hook, principal) = (hook.clone(), self.stands_for(hook));
        self.read(move |inner| inner.leaving(&hook, &principal, (after, most), vouched, |_| Ok(true))).await
    }

    /// Whom a hook reads as.
    fn stands_for(&self, hook: &Hook) -> Principal {
        let read = match hook.groups.is_empty() {
            true => Groups::All,
            false => Groups::Only(hook.groups.iter().filter_map(|name| self.group_named(name)).collect()),
        };
        // All that may go to tools at all; the policy says what of it, and what it holds back is counted.
        let ceiling = Scope::DEFAULT_CEILING;
        let scope = Scope {
            read,
            publish: Groups::NONE,
            draft: Groups::NONE,
            admin: false,
            ceiling,
            red: false,
            // Whose it is its policy says, and what that holds back is counted.
            audience: Audience::Inside,
            expires: None,
        };
        Principal::new(TokenId::new([0; 8]), hook.name.clone(), scope, None)
    }
}

impl Inner {
    /// What of a stretch of the feed may leave by a hook that reads as this principal, of what is due.
    fn leaving(
        &self,
        hook: &Hook,
        principal: &Principal,
        (after, most): (u64, usize),
        vouched: Timestamp,
        mut is_due: impl FnMut(&Shown) -> Result<bool, QueryError>,
    ) -> Result<Leaving, QueryError> {
        let gap = gap(self.store.feed_bounds()?, after);
        let page = self.store.feed_after(gap.map_or(after, |gap| gap.resumes_after), most)?;
        let (lists, now) = (self.lists.current(), clock::now());
        let mut leaving = Leaving {
            rows: Vec::new(),
            held: BTreeMap::new(),
            position: page.position,
            more: page.more,
            gap,
            later: Vec::new(),
        };
        for (number, row) in page.rows {
            // RED, or of another group: not even counted, as if it were not there.
            let Some(shown) = admit(principal, row) else { continue };
            if !is_due(&shown)? {
                continue;
            }
            let member = shown.member();
            let frees = frees_at(&hook.policy, &shown, vouched);
            match leaves(hook, &lists, number, shown, (now, vouched)) {
                Ok(Some(leaves)) => leaving.rows.push(leaves),
                Ok(None) => {}
                Err(Back { reason, until }) => {
                    *leaving.held.entry(reason).or_default() += 1;
                    let until = until.or(frees.filter(|_| reason == Held::Embargo));
                    leaving.later.extend(until.map(|at| (number, at, member)));
                }
            }
        }
        Ok(leaving)
    }
}

/// Why something stays back.
struct Back {
    reason: Held,
    /// Until when, if only its own word on when it begins holds it back.
    until: Option<Timestamp>,
}

impl From<Held> for Back {
    fn from(reason: Held) -> Self {
        Self { reason, until: None }
    }
}

/// Whether a version takes the place of those before it that did not go out yet: what its author says no more is not told as if it
/// held. What the hook may not have hides nothing that it may.
fn takes_over(hook: &Hook, lists: &Loaded, version: Shown, times: (Timestamp, Timestamp)) -> bool {
    // Under which number it would be told matters to nobody.
    match leaves(hook, lists, 0, version, times) {
        Ok(leaves) => leaves.is_some(),
        Err(Back { reason, .. }) => matches!(
            reason,
            Held::NotYet
                | Held::Benign
                | Held::Expired
                | Held::Unwritable
                | Held::Allowed
                | Held::Warning
                | Held::Joined
        ),
    }
}

/// None for what the hook is not of. Embargoes go by the time that was vouched for.
fn leaves(
    hook: &Hook,
    lists: &Loaded,
    number: u64,
    shown: Shown,
    (now, vouched): (Timestamp, Timestamp),
) -> Result<Option<Leaves>, Back> {
    if !hook.types.is_empty() && !hook.types.iter().any(|kind| kind == shown.kind()) {
        return Ok(None);
    }
    if !shown.is_told_of(&hook.stated) {
        return Ok(None);
    }
    if shown.kind() != "indicator" || shown.is_revoked() {
        let released = release(&hook.policy, shown, vouched)?;
        return Ok(Some(Leaves { number, released, values: Vec::new(), from: None, until: None }));
    }
    let Some(indicator) = Indicator::read(shown.raw()) else {
        // What it would do nobody here can tell.
        return Err(release(&hook.policy, shown, vouched).err().unwrap_or(Held::Unwritable).into());
    };
    let policy = policy_for(&hook.policy, &indicator);
    let released = release(&policy, shown, vouched)?;
    let (from, until) = (Some(indicator.valid_from()).filter(|from| *from > now), indicator.valid_until());
    if indicator.is_benign() {
        return Err(Held::Benign.into());
    }
    if until.is_some_and(|until| until <= now) {
        return Err(Held::Expired.into());
    }
    let sought = indicator.sought();
    if !goes_whole(&indicator, !sought.is_empty(), policy.purpose) {
        return Err(Held::Unwritable.into());
    }
    let (mut values, mut reason, mut is_any) = (Vec::new(), None, sought.is_empty());
    for Sought { value, stands, bearer } in sought {
        match () {
            () if lists.allow.covers(&value) => reason = Some(Held::Allowed),
            () if lists.warnings.blocks(&value) => reason = Some(Held::Warning),
            () if policy.purpose == Use::Block && stands == Stands::Joined => reason = Some(Held::Joined),
            () => {
                is_any = true;
                // A hash is told as a value where it is a file's: that is what its type says.
                values.extend((bearer == Bearer::Usual).then_some(value));
            }
        }
    }
    // To look for, it is good if anything in it is; to block by, only if all of it is.
    match reason {
        Some(reason) if !is_any || policy.purpose == Use::Block => Err(reason.into()),
        _ => match from.filter(|from| policy.purpose == Use::Block && *from > vouched) {
            Some(from) => Err(Back { reason: Held::NotYet, until: Some(from) }),
            None => Ok(Some(Leaves { number, released, values, from, until })),
        },
    }
}
