//! Who was a member when: what an auditor asks, answered from the log alone.
//!
//! The answer for a past moment counts the decisions *made* by then, in the log's order, under the charter
//! issued by then: by the dates that admins and root holders gave them, which is all that a log says of time. Nodes act on
//! a decision once the registrar has ordered it and it has reached them, and entries bear no date. So a decision
//! that is ordered later changes the answer for the time between its making and its entry, and whoever asks is told up to which
//! entry it was answered. One that says of itself that it took effect earlier changes nothing in what members did
//! meanwhile; it is listed by [`Roster::records`] with both its dates.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{GroupId, Height, MemberId, Serial},
    schema::{self, Role},
    time::Timestamp,
    trust::{
        certificate, fold,
        log::VerifiedRecord,
        roster::{Roster, State, Status},
        statement::{Decision, Subject},
    },
};

/// A certificate that counted in a group at some time, and where the log says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    /// The organisation's id.
    pub member: MemberId,
    /// The organisation, as its certificate said.
    pub organisation: schema::Organisation,
    /// The certificate.
    pub serial: Serial,
    /// Its role in the group.
    pub role: Role,
    /// Since when the member had been in the group without a break.
    pub since: Timestamp,
    /// When it was to end: by its own time, or earlier by a decision made by then.
    pub until: Timestamp,
    /// The entries that decided about this certificate by then, oldest first; the first one issued it.
    pub entries: Vec<Height>,
}

/// One certificate of a member, as one entry left it.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// The certificate.
    pub serial: Serial,
    /// Its groups, of those that the charter in force then opens to the organisation.
    pub groups: Vec<GroupId>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// Arrangement accepted with it.
    pub arrangement_version: String,
    /// When it ended or ends by decision; `None` while none was taken.
    pub ends: Option<Timestamp>,
    /// Whether another took its place, whatever became of it afterwards.
    pub replaced: bool,
}

impl Holding {
    /// Whether the member holds it still, suspended or not, with no end decided.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.ends.is_none() && !self.replaced
    }
}

/// A decision that took effect, and what its member had afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The entry.
    pub record: &'a VerifiedRecord,
    /// Whom it was about.
    pub member: MemberId,
    /// The organisation, as the entry left it.
    pub organisation: &'a schema::Organisation,
    /// Every certificate it ever had, oldest first.
    pub holdings: &'a [Holding],
}

impl Roster {
    /// Goes through the decisions that took effect, in the log's order.
    pub fn replay(&self, mut each: impl FnMut(Step<'_>)) {
        let mut state = State::default();
        // What a status does not say for long: when it was over where it names no time, and that it was replaced.
        let mut over: BTreeMap<Serial, Timestamp> = BTreeMap::new();
        let mut replaced: BTreeSet<Serial> = BTreeSet::new();
        for record in self.records() {
            fold::fold(&mut state, self.charters(), record);
            if state.voids.last().is_some_and(|void| void.height == record.height) {
                continue;
            }
            let member = state.member_of(&record.statement);
            let Some(found) = member.and_then(|member| state.members.get(&member)) else { continue };
            let held = found.serials.iter().filter_map(|serial| state.certificates.get(serial));
            let charter = fold::in_force(self.charters(), record.height);
            let opens = |group: &GroupId| {
                charter.group(*group).is_some_and(|group| certificate::admits(group, &found.organisation))
            };
            let mut holdings = Vec::new();
            for held in held {
                let serial = held.certificate.serial;
                if held.status == Status::Superseded {
                    replaced.insert(serial);
                }
                holdings.push(Holding {
                    serial,
                    groups: held.certificate.groups.keys().copied().filter(opens).collect(),
                    not_before: held.certificate.not_before,
                    not_after: held.certificate.not_after,
                    arrangement_version: held.certificate.arrangement_version.clone(),
                    ends: match held.status {
                        // What was over before is revoked from the beginning of time; it ends with the entry that says so.
                        Status::Revoked { effective: Timestamp::ZERO, .. } => {
                            Some(*over.entry(serial).or_insert(record.statement.made))
                        }
                        Status::Revoked { effective, .. } => Some(effective),
                        Status::Active | Status::Suspended | Status::Superseded => None,
                    },
                    replaced: replaced.contains(&serial),
                });
            }
            each(Step { record, member: found.id, organisation: &found.organisation, holdings: &holdings });
        }
    }

    /// The roster of what had been decided by `at`. Its position in the log is not that of any log; ask it
    /// about members only.
    #[must_use]
    pub fn as_of(&self, at: Timestamp) -> Self {
        let charters = self.charters().until(at);
        let voids: BTreeSet<Height> = self.voids().iter().map(|void| void.height).collect();
        let mut state = State::default();
        for record in self.records().filter(|r| r.statement.made <= at && !voids.contains(&r.height)) {
            if let Some(member) = state.member_of(&record.statement) {
                // What an admin with a slow clock decided may lack what it built on: then it had no effect yet.
                let charter = fold::in_force(self.charters(), record.height);
                let _ = fold::take_effect(&mut state, charter, record.height, &record.statement, member);
            }
        }
        Self::of(charters, state)
    }

    /// Who was in `group` at `at`, by certificate.
    #[must_use]
    pub fn members_at(&self, group: GroupId, at: Timestamp) -> Vec<Membership> {
        let then = self.as_of(at);
        then.certificates()
            .filter_map(|certificate| {
                let role = then.role(certificate.serial, group, at)?;
                let ends = then.ends(certificate.serial);
                let since = then.entitled_since(certificate.member, group).map(|since| since.at);
                Some(Membership {
                    member: certificate.member,
                    organisation: certificate.organisation.clone(),
                    serial: certificate.serial,
                    role,
                    since: since.unwrap_or(certificate.not_before).max(certificate.not_before),
                    until: ends.map_or(certificate.not_after, |end| end.min(certificate.not_after)),
                    entries: self.decisions_about(certificate.serial, at),
                })
            })
            .collect()
    }

    /// Entries made by `at` that decided about a certificate and took effect, oldest first.
    #[must_use]
    pub fn decisions_about(&self, serial: Serial, at: Timestamp) -> Vec<Height> {
        let voids: BTreeSet<Height> = self.voids().iter().map(|void| void.height).collect();
        let member = self.certificate(serial).map(|certificate| Subject::Member(certificate.member));
        self.records()
            .filter(|record| record.statement.made <= at && !voids.contains(&record.height))
            .filter(|record| match &record.statement.decision {
                Decision::Issue(_) => record.height.get() == serial.get(),
                Decision::Supersede(supersede) => {
                    record.height.get() == serial.get() || supersede.serial == serial.get()
                }
                Decision::Amend(_) => {
                    record.height.get() > serial.get() && record.statement.subject() == member
                }
                _ => record.statement.subject() == Some(Subject::Certificate(serial)),
            })
            .map(|record| record.height)
            .collect()
    }
}
