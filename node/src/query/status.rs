//! What this node is and holds, by its tables.

use belfry_proto::{
    id::{CoalitionId, GroupId, Height, MemberId, Serial},
    time::Timestamp,
    trust::{
        certificate::Certificate,
        roster::{Roster, Standing},
    },
};
use serde::Serialize;

use super::{Inner, Principal, Query, QueryError, words};
use crate::{clock, store::Store};

/// Identity, roster and, for the groups the token reads, what is stored.
#[derive(Clone, Debug, Serialize)]
pub struct StatusView {
    /// Coalition.
    pub coalition: CoalitionId,
    /// Its name.
    pub coalition_name: String,
    /// Version of its charter.
    pub charter_version: u64,
    /// When that charter ends.
    pub charter_expires: Timestamp,
    /// Whole days until then; negative once it is over.
    pub charter_days_left: i64,
    /// Entries of the admin log folded.
    pub roster_height: Height,
    /// Entry id at that height, in hex.
    pub roster_head: String,
    /// Certified members.
    pub members: usize,
    /// This node's certificate; unset before its issuing record arrived.
    pub certificate: Option<OwnCertificate>,
    /// Groups, those the token reads.
    pub groups: Vec<GroupStatus>,
    /// Bytes of the database on disk.
    pub disk_bytes: u64,
}

/// This node's own certificate.
#[derive(Clone, Debug, Serialize)]
pub struct OwnCertificate {
    /// Serial.
    pub serial: Serial,
    /// Member.
    pub member: MemberId,
    /// Its name.
    pub organisation: String,
    /// What it may do now.
    pub standing: &'static str,
    /// Carries every group.
    pub carrier: bool,
    /// Valid until: by its time, or by a decision that ends it before.
    pub not_after: Timestamp,
    /// Whole days until then; negative after.
    pub days_left: i64,
}

/// One group.
#[derive(Clone, Debug, Serialize)]
pub struct GroupStatus {
    /// Number.
    pub id: GroupId,
    /// Slug.
    pub slug: String,
    /// This node's role.
    pub role: Option<String>,
    /// Publishers' logs known.
    pub logs: usize,
    /// Entries held without a gap, over all logs.
    pub entries: u64,
    /// Logs of which later entries are held than the gapless ones.
    pub logs_with_gaps: usize,
    /// Messages whose key has not come yet.
    pub waiting_for_key: u64,
    /// Messages not for this node.
    pub not_for_us: u64,
    /// Messages beyond a cut.
    pub quarantined: u64,
    /// Messages at or above a fork.
    pub disputed: u64,
    /// Messages withdrawn by their member or a steward.
    pub withdrawn: u64,
    /// Logs whose author signed two histories; `GET /api/v1/forks` has the proofs.
    pub forked_logs: usize,
    /// Bytes of its messages, as they travelled.
    pub stored_bytes: u64,
    /// Members whose room is used up: what they publish is refused as `over-disk-quota`.
    pub members_over_disk_quota: usize,
}

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

impl Query {
    /// The node as a principal may know it.
    ///
    /// # Errors
    /// The store.
    pub async fn status(&self, principal: &Principal) -> Result<StatusView, QueryError> {
        let roster = self.roster();
        let now = clock::now();
        let charter = roster.charter();
        let own = roster.by_node(&self.inner.node);
        // Whichever comes first: its time, or what was decided of it, be it announced.
        let end = |own: &Certificate| {
            let decided = roster.ends(own.serial).unwrap_or(own.not_after);
            decided.min(own.not_after).max(own.not_before)
        };
        let certificate = own.map(|own| OwnCertificate {
            serial: own.serial,
            member: own.member,
            organisation: own.organisation.name.clone(),
            standing: roster.standing(own.serial, now).as_str(),
            carrier: own.carrier,
            not_after: end(own),
            days_left: days(now, end(own)),
        });
        let groups: Vec<GroupStatus> = charter
            .groups()
            .iter()
            .filter(|group| principal.scope().read.covers(group.id))
            .map(|group| GroupStatus {
                id: group.id,
                slug: group.slug.clone(),
                role: own.and_then(|own| roster.role(own.serial, group.id, now)).map(words::word),
                logs: 0,
                entries: 0,
                logs_with_gaps: 0,
                waiting_for_key: 0,
                not_for_us: 0,
                quarantined: 0,
                disputed: 0,
                withdrawn: 0,
                forked_logs: 0,
                stored_bytes: 0,
                members_over_disk_quota: 0,
            })
            .collect();
        let version = roster.version();
        let mut status = StatusView {
            coalition: roster.coalition(),
            coalition_name: charter.name().to_owned(),
            charter_version: charter.version(),
            charter_expires: charter.expires(),
            charter_days_left: days(now, charter.expires()),
            roster_height: version.height,
            roster_head: version.head.to_string(),
            members: roster
                .members()
                .filter(|member| {
                    member.serials.iter().any(|serial| roster.standing(*serial, now) == Standing::Valid)
                })
                .count(),
            certificate,
            groups,
            disk_bytes: 0,
        };
        self.read(move |inner| {
            for group in &mut status.groups {
                inner.fill(group)?;
            }
            status.groups.retain(|group| group.role.is_some() || group.logs > 0);
            status.disk_bytes = inner.store.disk_size()?;
            Ok(status)
        })
        .await
    }
}

impl Inner {
    fn fill(&self, group: &mut GroupStatus) -> Result<(), QueryError> {
        for log in self.store.all_logs(Some(group.id)) {
            group.stored_bytes += log.bytes;
        }
        let roster = self.roster.snapshot();
        let own = roster.by_node(&self.node).map(|own| own.member);
        group.members_over_disk_quota = over_disk_quota(&roster, &self.store, group.id, own).len();
        for log in self.store.logs(group.id) {
            group.logs += 1;
            group.entries += log.height.get();
            group.logs_with_gaps += usize::from(log.top > log.height && !log.forked);
            group.forked_logs += usize::from(log.forked);
        }
        let counts = self.store.counts(group.id);
        group.waiting_for_key = counts.sealed;
        group.not_for_us = counts.closed;
        group.quarantined = counts.quarantined;
        group.disputed = counts.disputed;
        group.withdrawn = counts.withdrawn;
        Ok(())
    }
}

/// Members of whom no more is kept in a group. A node's own member is not bounded.
#[must_use]
pub fn over_disk_quota(
    roster: &Roster,
    store: &Store,
    group: GroupId,
    own: Option<MemberId>,
) -> Vec<MemberId> {
    let now = clock::now();
    let mut over = store.over_quota(group, |serial| roster.standing(serial, now) != Standing::Revoked);
    over.retain(|member| Some(*member) != own);
    over
}

fn days(from: Timestamp, to: Timestamp) -> i64 {
    let micros = |t: Timestamp| i64::try_from(t.as_micros()).unwrap_or(i64::MAX);
    micros(to).saturating_sub(micros(from)).div_euclid(DAY_MICROS)
}
