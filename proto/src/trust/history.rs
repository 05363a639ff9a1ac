//! Who was a member when: what an auditor asks, answered from the log alone.
//!
//! The answer for a past moment counts the decisions *made* by then, in the log's order, under the charter
//! issued by then. A decision recorded later that says of itself that it took effect earlier changes nothing
//! in what members did meanwhile; it is listed by [`Roster::records`] with both its dates.

use std::collections::BTreeSet;

use crate::{
    id::{GroupId, Height, MemberId, Serial},
    schema::{self, Role},
    time::Timestamp,
    trust::{
        fold,
        roster::{Roster, State},
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
    /// The entries that decided about this certificate by then, oldest first; the first one issued it.
    pub entries: Vec<Height>,
}

impl Roster {
    /// The roster of what had been decided by `at`. Its position in the log is not that of any log; ask it
    /// about members only.
    #[must_use]
    pub fn as_of(&self, at: Timestamp) -> Self {
        let charters = self.charters().until(at);
        let voids: BTreeSet<Height> = self.voids().iter().map(|void| void.height).collect();
        let mut state = State::default();
        for record in self.records().filter(|r| r.statement.made <= at && !voids.contains(&r.height)) {
            let member = match record.statement.subject() {
                Some(Subject::Member(member)) => Some(member),
                Some(Subject::Certificate(serial)) => {
                    state.certificates.get(&serial).map(|held| held.certificate.member)
                }
                None => None,
            };
            if let Some(member) = member {
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
                let since = then.entitled_since(certificate.member, group).map(|since| since.at);
                Some(Membership {
                    member: certificate.member,
                    organisation: certificate.organisation.clone(),
                    serial: certificate.serial,
                    role,
                    since: since.unwrap_or(certificate.not_before).max(certificate.not_before),
                    entries: self.decisions_about(certificate.serial, at),
                })
            })
            .collect()
    }

    /// Entries made by `at` that decided about a certificate and took effect, oldest first.
    #[must_use]
    pub fn decisions_about(&self, serial: Serial, at: Timestamp) -> Vec<Height> {
        let voids: BTreeSet<Height> = self.voids().iter().map(|void| void.height).collect();
        self.records()
            .filter(|record| record.statement.made <= at && !voids.contains(&record.height))
            .filter(|record| match &record.statement.decision {
                Decision::Issue(_) => record.height.get() == serial.get(),
                Decision::Supersede(supersede) => {
                    record.height.get() == serial.get() || supersede.serial == serial.get()
                }
                _ => record.statement.subject() == Some(Subject::Certificate(serial)),
            })
            .map(|record| record.height)
            .collect()
    }
}
