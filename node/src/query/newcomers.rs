//! Who reads this node's groups since lately, and from whom its operator keeps the archive.
//!
//! Whoever is entitled to a group gets its older keys after the charter's grant delay (design §4): so long there is to
//! see who that is, and to hold them back at this node. Every other holder judges for itself.

use belfry_proto::{
    id::{GroupId, MemberId, Serial},
    schema::{Capacity, EntityClass},
    time::Timestamp,
    trust::{
        charter::History,
        roster::{Roster, Standing},
    },
};
use serde::Serialize;

use super::{NameError, Principal, Query, QueryError, words};
use crate::{
    clock,
    store::{Change, ReadError, Store},
};

/// A member that is new in a group of this node, or held back here.
#[derive(Clone, Debug, Serialize)]
pub struct Newcomer {
    /// Its id.
    pub member: MemberId,
    /// Its name.
    pub organisation: String,
    /// Entity classes.
    pub classes: Vec<String>,
    /// Capacity of a public authority.
    pub capacity: Option<String>,
    /// Its valid certificates.
    pub certificates: Vec<Serial>,
    /// The groups in which it is new.
    pub groups: Vec<NewIn>,
    /// Since when this node keeps older keys from it; unset if it does not.
    pub held_since: Option<Timestamp>,
}

/// A group that somebody is new in.
#[derive(Clone, Debug, Serialize)]
pub struct NewIn {
    /// Number.
    pub id: GroupId,
    /// Slug.
    pub slug: String,
    /// Since when it reads what is published, as this node counts.
    pub since: Timestamp,
    /// From when on this node gives it keys of before; unset where the group gives no history.
    pub old_keys_from: Option<Timestamp>,
}

/// Members that came to a group of certificate `own` after it, and whose grant delay still runs; those held back always.
///
/// # Errors
/// The store.
pub fn newcomers(
    roster: &Roster,
    store: &Store,
    own: Serial,
    now: Timestamp,
) -> Result<Vec<Newcomer>, ReadError> {
    let holds = store.holds()?;
    let Some(own) = roster.certificate(own) else { return Ok(Vec::new()) };
    let charter = roster.charter();
    let mut found = Vec::new();
    for member in roster.members().filter(|member| member.id != own.member) {
        let mut groups = Vec::new();
        for group in own.groups.keys().filter_map(|group| charter.group(*group)) {
            let reads = member.serials.iter().any(|serial| roster.role(*serial, group.id, now).is_some());
            let Some(since) = roster.entitled_since(member.id, group.id).filter(|_| reads) else { continue };
            // Whoever was there before this node did not come to it.
            if since.height.get() <= own.serial.get() {
                continue;
            }
            let at = since.at.max(store.first_seen(since.height)?.unwrap_or(now));
            let until = at.saturating_add(charter.grant_delay());
            if now < until || holds.contains_key(&member.id) {
                let old_keys_from = (group.history != History::None).then_some(until);
                groups.push(NewIn { id: group.id, slug: group.slug.clone(), since: at, old_keys_from });
            }
        }
        let held_since = holds.get(&member.id).copied();
        if groups.is_empty() && held_since.is_none() {
            continue;
        }
        let is_valid = |serial: &&Serial| roster.standing(**serial, now) == Standing::Valid;
        let organisation = &member.organisation;
        found.push(Newcomer {
            member: member.id,
            organisation: organisation.name.clone(),
            classes: organisation
                .classes
                .iter()
                .filter_map(|&c| words::of_number::<EntityClass>(c))
                .collect(),
            capacity: words::of_number::<Capacity>(organisation.capacity).filter(|word| word != "none"),
            certificates: member.serials.iter().filter(is_valid).copied().collect(),
            groups,
            held_since,
        });
    }
    Ok(found)
}

/// Why nobody is held or released.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Nobody, or not one, by that name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The store.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl Query {
    /// Who is new in this node's groups that the principal reads, and who is held back.
    ///
    /// # Errors
    /// The store.
    pub async fn newcomers(&self, principal: &Principal) -> Result<Vec<Newcomer>, QueryError> {
        let (roster, read) = (self.roster(), principal.scope().read.clone());
        let found = self.read(move |inner| match roster.by_node(&inner.node) {
            Some(own) => Ok(newcomers(&roster, &inner.store, own.serial, clock::now())?),
            None => Ok(Vec::new()),
        });
        let mut found = found.await?;
        for newcomer in &mut found {
            newcomer.groups.retain(|group| read.covers(group.id));
        }
        found.retain(|newcomer| !newcomer.groups.is_empty() || newcomer.held_since.is_some());
        Ok(found)
    }

    /// Keeps keys older than its entitlement from a member, named by id or organisation; on disk when this returns.
    ///
    /// # Errors
    /// [`HoldError`].
    pub async fn hold(&self, name: &str) -> Result<MemberId, HoldError> {
        self.set_hold(name, Some(clock::now())).await
    }

    /// Keeps them no longer: from now on the grant rule alone decides.
    ///
    /// # Errors
    /// [`HoldError`].
    pub async fn release(&self, name: &str) -> Result<MemberId, HoldError> {
        self.set_hold(name, None).await
    }

    async fn set_hold(&self, name: &str, since: Option<Timestamp>) -> Result<MemberId, HoldError> {
        let member = self.member_named(name)?;
        self.inner.store.commit(Change::Hold { member, since }).await.map_err(QueryError::from)?;
        Ok(member)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{CIDR, Coalition, Site};

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn who_came_by_a_clock_that_was_behind_is_new_for_the_delay_after_it_is_put_right() {
        let mut coalition = Coalition::new();
        let seat = coalition.issue(1, &[CIDR]);
        let charter =
            coalition.changed_charter(coalition.roster.version(), |charter| charter.grant_delay_s = 3600);
        coalition.roster.apply_charter(charter).unwrap();
        let site = Site::new(&coalition, &seat).await;
        let newcomer = coalition.issue(2, &[CIDR]).identity.member;
        site.store.vouch_clock(None);
        site.hear(&coalition.roster).await;
        let new_at = |now: Timestamp| {
            let found = newcomers(&coalition.roster, &site.store, seat.identity.serial, now).unwrap();
            let since = |one: &Newcomer| one.groups.iter().map(|group| group.since).collect::<Vec<_>>();
            found.iter().map(|one| (one.member, since(one))).collect::<Vec<_>>()
        };
        // Days after what the clock noted.
        let now = clock::now().saturating_add(48 * HOUR);
        assert_eq!(new_at(now), [(newcomer, vec![now])]);
        let heights = site.store.unsure_entries(now).unwrap();
        site.store.commit(Change::Seen { heights, at: now }).await.unwrap();
        assert_eq!(new_at(now.saturating_add(HOUR / 2)), [(newcomer, vec![now])]);
        assert!(new_at(now.saturating_add(HOUR)).is_empty());
    }
}
