//! What an operator is told of bodies that should be gone and are kept, because too few vouch for the clock by which they go; and what
//! really ends that: no link can be had with a member whose certificate is over.

use std::time::Duration;

use belfry_proto::{id::MemberId, time::Timestamp, trust::roster::Roster};

use crate::{
    heard::Hellos,
    store::{ReadError, Store},
};

/// How long bodies may be overdue before that is told. A start that waits for others takes minutes.
const OVERDUE: Duration = Duration::from_secs(24 * 3600);

/// Members named that are waited for.
const NAMED: usize = 5;

/// Entries looked at of a log, the oldest whose body may have to go: nearly always the first has one.
const LOOKED_AT: usize = 64;

/// A sentence with its mend.
pub(super) fn told(
    roster: &Roster,
    store: &Store,
    hellos: &Hellos,
    own: MemberId,
    now: Timestamp,
) -> Option<String> {
    if hellos.is_clock_vouched(roster, own, now) {
        return None;
    }
    let found = overdue(roster, store, now).unwrap_or_else(|error| {
        tracing::error!("whether bodies are overdue cannot be told: {error}");
        None
    });
    found.map(|kept| format!("{kept}: {}", unvouched(roster, hellos, own, now)))
}

/// Why nobody vouches for our clock, and what ends that.
fn unvouched(roster: &Roster, hellos: &Hellos, own: MemberId, now: Timestamp) -> String {
    if hellos.is_clock_off(roster.charter().clock_skew()) {
        return "other members' clocks tell another time than this node's. Set it right.".to_owned();
    }
    let lapsed = hellos.lapsed(roster, own, now);
    if !lapsed.is_empty() {
        let named = lapsed.iter().take(NAMED).filter_map(|(member, end)| {
            Some(format!("{} (until {end})", roster.member(*member)?.organisation.name))
        });
        let more = lapsed.len().saturating_sub(NAMED);
        let named: Vec<String> = named.chain((more > 0).then(|| format!("{more} more"))).collect();
        return format!(
            "too few other members tell the time that this node's clock shows, and by that clock alone the certificates of some are \
             over, who cannot be linked: {}. Give this node a beacon or an admin log of today (`belfry import-log`), or wait for \
             their renewal; if its clock is wrong, set it right.",
            named.join(", ")
        );
    }
    let whom = match hellos.vouching(roster, own, now) {
        0 => {
            return "another node of this member tells another time. Set the clock that is wrong.".to_owned();
        }
        1 => "the other member there is",
        _ => "two or more of them",
    };
    format!("too few other members tell the time that this node's clock shows. Link this node with {whom}.")
}

/// What is kept longer than it was to be.
fn overdue(roster: &Roster, store: &Store, now: Timestamp) -> Result<Option<String>, ReadError> {
    // What is due at once is being worked off.
    let due = store.next_reweigh()?.filter(|due| *due > Timestamp::ZERO && now.since(*due) > OVERDUE);
    if let Some(due) = due {
        return Ok(Some(format!(
            "Bodies that a steward erased are kept since {due}, when they were to go, and so are those past their retention"
        )));
    }
    for group in roster.charter().groups() {
        let Some(kept) = group.retention else { continue };
        let before = now.saturating_sub(kept).saturating_sub(OVERDUE);
        for log in store.all_logs(Some(group.id)) {
            let aged = store.aged(group.id, log.log, before, LOOKED_AT)?;
            if aged.is_some_and(|aged| !aged.messages.is_empty()) {
                return Ok(Some(format!(
                    "Bodies of group {} are kept that were past its retention a day ago",
                    group.id
                )));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        envelope::{LIFTED_WITHIN, Word},
        schema::{WithdrawalGround, WithdrawalMode},
    };

    use super::*;
    use crate::{
        clock, rows,
        store::{Change, EnvelopeRow, MessageState, Withdraws},
        testing::{CIDR, Coalition, Site},
    };

    #[tokio::test]
    async fn bodies_that_are_overdue_for_want_of_others_clocks_are_told() {
        let mut coalition = Coalition::new();
        let [alice, steward, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
        let site = Site::new(&coalition, &carol).await;
        let (roster, now) = (&coalition.roster, clock::now());
        let told = |offsets: &[i64], now: Timestamp| {
            super::told(roster, &site.store, &Hellos::told(offsets), carol.identity.member, now)
        };
        assert_eq!(told(&[0], now), None, "nothing is due");
        let target = coalition.messages(&alice, CIDR, None, 1);
        site.hold(&target).await;
        let signed = coalition.retraction(&steward, CIDR, None, target[0].message_id());
        let (header, id, state) = (signed.header(), signed.message_id(), MessageState::Closed);
        let row = rows::envelope(header, id, signed.bytes(), true, state, now, header.roster.height);
        let word = Word {
            id,
            group: CIDR,
            member: header.member,
            mode: WithdrawalMode::Erase,
            ground: WithdrawalGround::Rules,
            by_steward: true,
            created: now,
            seen: now,
        };
        let withdraws = Some(Withdraws { word, targets: vec![target[0].message_id()] });
        site.store.commit(Change::Envelope(Box::new(EnvelopeRow { withdraws, ..row }))).await.unwrap();
        let work = site.store.to_reweigh(Timestamp::ZERO, 10).unwrap();
        site.store.commit(Change::Reweigh { work, now: Timestamp::ZERO }).await.unwrap();
        let due = now.saturating_add(LIFTED_WITHIN);
        assert_eq!(told(&[0], due.saturating_add(OVERDUE)), None);
        let late = due.saturating_add(OVERDUE + Duration::from_secs(1));
        assert!(told(&[0], late).is_some_and(|told| told.contains("Link this node")));
        assert_eq!(told(&[0, 0], late), None, "they go in this moment");
    }

    #[tokio::test]
    async fn who_is_waited_for_although_over_is_named_with_what_ends_the_waiting() {
        let mut coalition = Coalition::new();
        let [alice, carol] = [1, 3].map(|n| coalition.issue(n, &[CIDR]));
        coalition.lasting = Duration::from_secs(10 * 24 * 3600);
        coalition.issue(2, &[CIDR]);
        let charter = coalition.changed_charter(coalition.roster.version(), |charter| {
            for group in &mut charter.groups {
                group.retention_s = 3600;
            }
        });
        coalition.roster.apply_charter(charter).unwrap();
        let site = Site::new(&coalition, &carol).await;
        site.hold(&coalition.messages(&alice, CIDR, None, 1)).await;
        let (late, own) = (clock::now().saturating_add(2 * coalition.lasting), carol.identity.member);
        let told = |hellos: &Hellos| super::told(&coalition.roster, &site.store, hellos, own, late);
        // However many links it has.
        let said = told(&Hellos::told(&[0])).unwrap();
        assert!(said.contains("Member 2 (until ") && said.contains("`belfry import-log`"), "{said}");
        assert!(!said.contains("Link this node") && !said.contains("Member 1"), "{said}");
        let dated = |offsets: &[i64]| Hellos { beacon: Some(late), ..Hellos::told(offsets) };
        let said = told(&dated(&[])).unwrap();
        assert!(said.contains("Link this node with the other member there is"), "{said}");
        assert_eq!(told(&dated(&[0])), None, "a beacon of today ended it");
        let day = 24 * 3_600_000_000;
        assert!(told(&Hellos::told(&[day, day])).is_some_and(|told| told.contains("Set it right")));
    }

    #[tokio::test]
    async fn bodies_past_their_retention_are_told_though_no_steward_erased_any() {
        let mut coalition = Coalition::new();
        let [alice, _bob, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
        let kept = Duration::from_secs(3600);
        let charter = coalition.changed_charter(coalition.roster.version(), |charter| {
            for group in &mut charter.groups {
                group.retention_s = kept.as_secs();
            }
        });
        coalition.roster.apply_charter(charter).unwrap();
        let site = Site::new(&coalition, &carol).await;
        let now = clock::now();
        site.hold(&coalition.messages(&alice, CIDR, None, 1)).await;
        let told = |offsets: &[i64], now: Timestamp| {
            super::told(&coalition.roster, &site.store, &Hellos::told(offsets), carol.identity.member, now)
        };
        assert_eq!(told(&[0], now.saturating_add(OVERDUE)), None);
        let late = now.saturating_add(OVERDUE + kept + Duration::from_secs(60));
        assert!(told(&[0], late).is_some_and(|told| told.contains("past its retention")));
        assert_eq!(told(&[0, 0], late), None, "they go in this moment");
    }
}
