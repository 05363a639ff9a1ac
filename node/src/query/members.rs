//! Members, and who is meant by a name.

use belfry_proto::{
    id::{MemberId, Serial},
    schema::{Capacity, EntityClass},
    time::Timestamp,
    trust::roster::{Member, Roster, Standing},
};
use serde::Serialize;

use super::{Query, words};
use crate::clock;

/// An organisation as the admin log has it.
#[derive(Clone, Debug, Serialize)]
pub struct MemberView {
    /// Its id.
    pub id: MemberId,
    /// Its name.
    pub organisation: String,
    /// Its sector.
    pub sector: String,
    /// Entity classes.
    pub classes: Vec<String>,
    /// Names of the entities it supplies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supplier_of: Vec<String>,
    /// Capacity of a public authority.
    pub capacity: Option<String>,
    /// Its certificates, oldest first.
    pub certificates: Vec<CertificateView>,
}

/// One certificate, one node.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateView {
    /// Serial.
    pub serial: Serial,
    /// What it may do now.
    pub standing: &'static str,
    /// Carries sealed messages of every group.
    pub carrier: bool,
    /// Role by group slug.
    pub groups: Vec<(String, String)>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// The moment still to come at which it ends by decision, whatever `not_after` says.
    pub ends: Option<Timestamp>,
}

/// Nobody, or not one, by that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nobody.
    #[error("no member is called `{0}`; give an organisation's name or a member id")]
    Unknown(String),
    /// Two of a name.
    #[error("several members are called `{name}`; give the id of the one you mean: {}", candidates.join(" or "))]
    Ambiguous {
        /// As given.
        name: String,
        /// Their ids, and what tells them apart.
        candidates: Vec<String>,
    },
}

impl Query {
    /// Every member the admin log names.
    #[must_use]
    pub fn members(&self) -> Vec<MemberView> {
        let roster = self.roster();
        let now = clock::now();
        let certificate = |serial: &Serial| {
            let certificate = roster.certificate(*serial)?;
            let groups =
                certificate.groups.iter().map(|(&group, &role)| (self.slug(group), words::word(role)));
            Some(CertificateView {
                serial: *serial,
                standing: roster.standing(*serial, now).as_str(),
                carrier: certificate.carrier,
                groups: groups.collect(),
                not_before: certificate.not_before,
                not_after: certificate.not_after,
                ends: roster.announced_end(*serial, now),
            })
        };
        roster
            .members()
            .map(|member| MemberView {
                id: member.id,
                organisation: member.organisation.name.clone(),
                sector: member.organisation.sector.clone(),
                classes: member
                    .organisation
                    .classes
                    .iter()
                    .filter_map(|&c| words::of_number::<EntityClass>(c))
                    .collect(),
                supplier_of: member.organisation.supplier_of.clone(),
                capacity: words::of_number::<Capacity>(member.organisation.capacity)
                    .filter(|word| word != "none"),
                certificates: member.serials.iter().filter_map(certificate).collect(),
            })
            .collect()
    }

    /// A member's organisation name.
    #[must_use]
    pub fn organisation(&self, member: MemberId) -> Option<String> {
        organisation(&self.roster(), member)
    }

    /// The member meant by an id or by an organisation's name, in any case. Past members are meant as much as
    /// present ones: this is how one is named whom a cut shall end.
    ///
    /// # Errors
    /// None, or more than one.
    pub fn member_named(&self, text: &str) -> Result<MemberId, NameError> {
        member_named(&self.roster(), text)
    }

    /// The member to whom something shall be sent: as [`Self::member_named`], but of several of one name the one
    /// with a valid certificate.
    ///
    /// # Errors
    /// None, or more than one.
    pub fn recipient_named(&self, text: &str) -> Result<MemberId, NameError> {
        let (roster, now) = (self.roster(), clock::now());
        named(&roster, text, |member| has_valid(&roster, member, now))
    }
}

/// A member's organisation name.
pub(super) fn organisation(roster: &Roster, member: MemberId) -> Option<String> {
    roster.member(member).map(|member| member.organisation.name.clone())
}

/// Whether two names of organisations read as one: case and spacing aside.
pub(crate) fn alike(one: &str, other: &str) -> bool {
    let words = |name: &str| name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    words(one) == words(other)
}

/// A member among others of its name: its id, and its certificates.
pub(crate) fn candidate(roster: &Roster, member: &Member, now: Timestamp) -> String {
    let certificates: Vec<String> = member
        .serials
        .iter()
        .map(|serial| format!("certificate {serial} {}", roster.standing(*serial, now).as_str()))
        .collect();
    format!("{} ({})", member.id, certificates.join(", "))
}

/// The member meant by an id or by an organisation's name, in any case; past members, too.
///
/// # Errors
/// None, or more than one.
pub(crate) fn member_named(roster: &Roster, text: &str) -> Result<MemberId, NameError> {
    named(roster, text, |_| true)
}

/// The one of this id or name; of several, the only preferred one.
fn named(roster: &Roster, text: &str, preferred: impl Fn(&Member) -> bool) -> Result<MemberId, NameError> {
    if let Ok(id) = text.trim().parse::<MemberId>()
        && roster.member(id).is_some()
    {
        return Ok(id);
    }
    let name = || text.trim().chars().take(64).collect();
    let mut found: Vec<&Member> =
        roster.members().filter(|member| alike(&member.organisation.name, text)).collect();
    if found.iter().any(|member| preferred(member)) {
        found.retain(|member| preferred(member));
    }
    match found.as_slice() {
        [] => Err(NameError::Unknown(name())),
        [one] => Ok(one.id),
        _ => {
            let now = clock::now();
            found.sort_by_key(|member| member.serials.first().copied());
            let candidates = found.iter().map(|member| candidate(roster, member, now)).collect();
            Err(NameError::Ambiguous { name: name(), candidates })
        }
    }
}

fn has_valid(roster: &Roster, member: &Member, now: Timestamp) -> bool {
    member.serials.iter().any(|serial| roster.standing(*serial, now) == Standing::Valid)
}
