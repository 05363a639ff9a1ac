//! Who reads this node's groups since lately, and from whom its operator keeps the archive.
//!
//! Whoever is entitled to a group gets its older keys after the charter's grant delay (design §4): so long there is to
//! see who that is, and to hold them back at this node. Every other holder judges for itself.
//!
//! A further node of a member that reads already waits for nothing: its member is entitled. So whoever had a node of its own certified as
//! another's would read the archive at once. It is told for as long, to the member itself first.

use belfry_proto::{
    id::{GroupId, Height, MemberId, Serial},
    schema::{Capacity, EntityClass},
    time::Timestamp,
    trust::{
        certificate::Certificate,
        charter::{Group, History},
        roster::{Member, Roster, Standing},
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
    /// Nodes of it that are new in groups which it read before; of this node's own member, those that are new anywhere.
    pub nodes: Vec<NewNode>,
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

/// A node that is new for a member which is not.
#[derive(Clone, Debug, Serialize)]
pub struct NewNode {
    /// Its certificate.
    pub certificate: Serial,
    /// Groups of this node that it reads; all that it reads, if it is of this node's own member. Where that read before, it gets older
    /// keys from the first moment on, unless its member is held back.
    pub groups: Vec<NewIn>,
}

/// Members that came to a group of certificate `own` after it, or whose nodes did, and whose grant delay still runs; those held
/// back always.
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
    for member in roster.members() {
        let nodes = new_nodes(roster, store, own, member, now)?;
        let mut groups = Vec::new();
        let ours = own.groups.keys().filter_map(|group| charter.group(*group));
        for group in ours.filter(|_| member.id != own.member) {
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
        if groups.is_empty() && nodes.is_empty() && held_since.is_none() {
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
            nodes,
            held_since,
        });
    }
    Ok(found)
}

/// Nodes that were certified after `own`, for one grant delay: of another member in groups of `own` that it read before, and of `own`'s
/// in any group, for whoever misuses its name need not choose those.
fn new_nodes(
    roster: &Roster,
    store: &Store,
    own: &Certificate,
    member: &Member,
    now: Timestamp,
) -> Result<Vec<NewNode>, ReadError> {
    let charter = roster.charter();
    let mut found = Vec::new();
    for serial in member.serials.iter().filter(|serial| **serial > own.serial) {
        // A serial is the height of its issuing entry.
        let issued = Height::new(serial.get());
        let was_there = |group: GroupId| {
            roster.entitled_since(member.id, group).is_some_and(|since| since.height < issued)
        };
        let is_told = |group: &&Group| {
            let is_ours = member.id == own.member;
            is_ours || own.groups.contains_key(&group.id) && was_there(group.id)
        };
        let groups = charter.groups().iter().filter(is_told);
        let reads: Vec<&Group> =
            groups.filter(|group| roster.role(*serial, group.id, now).is_some()).collect();
        if reads.is_empty() {
            continue;
        }
        let since = store.first_seen(issued)?.unwrap_or(now);
        let until = since.saturating_add(charter.grant_delay());
        if now >= until {
            continue;
        }
        let new_in = |group: &&Group| {
            let old_keys_from = match was_there(group.id) {
                true => Some(since),
                // Its member comes with it.
                false => (group.history != History::None).then_some(until),
            };
            NewIn { id: group.id, slug: group.slug.clone(), since, old_keys_from }
        };
        found.push(NewNode { certificate: *serial, groups: reads.iter().map(new_in).collect() });
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
            for node in &mut newcomer.nodes {
                node.groups.retain(|group| read.covers(group.id));
            }
            newcomer.nodes.retain(|node| !node.groups.is_empty());
        }
        found.retain(|newcomer| {
            !newcomer.groups.is_empty() || !newcomer.nodes.is_empty() || newcomer.held_since.is_some()
        });
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
    use crate::testing::{CIDR, CLOUD, Coalition, Site};

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

    #[tokio::test]
    async fn a_further_node_of_who_reads_already_is_told_while_the_delay_runs_and_one_of_ones_own_member_too()
    {
        let mut coalition = Coalition::new();
        let other = coalition.issue(2, &[CIDR]).identity.member;
        let seat = coalition.issue(1, &[CIDR]);
        let charter =
            coalition.changed_charter(coalition.roster.version(), |charter| charter.grant_delay_s = 3600);
        coalition.roster.apply_charter(charter).unwrap();
        let site = Site::new(&coalition, &seat).await;
        let told = |roster: &Roster, now: Timestamp| {
            let found = newcomers(roster, &site.store, seat.identity.serial, now).unwrap();
            let of = |one: &Newcomer| one.nodes.iter().map(|node| node.certificate).collect::<Vec<_>>();
            found.iter().map(|one| (one.member, one.groups.len(), of(one))).collect::<Vec<_>>()
        };
        assert!(told(&coalition.roster, clock::now()).is_empty());
        let theirs = coalition.issue_again(2, 12, &[CIDR]).identity.serial;
        let ours = coalition.issue_again(1, 11, &[CIDR]).identity.serial;
        // It reads nothing that this node reads; and a carrier reads nothing at all.
        coalition.issue_again(2, 13, &[CLOUD]);
        coalition.issue_again(2, 14, &[]);
        site.hear(&coalition.roster).await;
        let now = clock::now();
        let both = [(seat.identity.member, 0, vec![ours]), (other, 0, vec![theirs])];
        assert_eq!(told(&coalition.roster, now), both);
        assert_eq!(told(&coalition.roster, now.saturating_add(HOUR / 2)), both);
        assert!(told(&coalition.roster, now.saturating_add(HOUR)).is_empty());
    }

    /// Whoever has a node certified under another's name need not choose the groups that this one reads.
    #[tokio::test]
    async fn a_further_node_of_ones_own_member_is_told_in_whatever_group_it_reads() {
        let mut coalition = Coalition::new();
        let other = coalition.issue(2, &[CLOUD]).identity.member;
        let seat = coalition.issue(1, &[CIDR]);
        let charter =
            coalition.changed_charter(coalition.roster.version(), |charter| charter.grant_delay_s = 3600);
        coalition.roster.apply_charter(charter).unwrap();
        let site = Site::new(&coalition, &seat).await;
        let ghost = coalition.issue_again(1, 11, &[CLOUD]).identity.serial;
        // What others read there is no business of this node's.
        coalition.issue_again(2, 12, &[CLOUD]);
        coalition.issue_again(1, 13, &[]);
        site.hear(&coalition.roster).await;
        let now = clock::now();
        let found = newcomers(&coalition.roster, &site.store, seat.identity.serial, now).unwrap();
        assert!(found.iter().all(|one| one.member != other));
        let [ours] = found.as_slice() else { panic!("{found:?}") };
        let [node] = ours.nodes.as_slice() else { panic!("{:?}", ours.nodes) };
        assert_eq!((ours.groups.len(), node.certificate), (0, ghost));
        let groups: Vec<_> = node.groups.iter().map(|group| (group.id, group.old_keys_from)).collect();
        let group = coalition.roster.charter().group(CLOUD).unwrap();
        let until = node.groups[0].since.saturating_add(HOUR);
        assert_eq!(groups, [(CLOUD, (group.history != History::None).then_some(until))], "as any new reader");
        let later = now.saturating_add(HOUR);
        assert!(newcomers(&coalition.roster, &site.store, seat.identity.serial, later).unwrap().is_empty());
    }
}
