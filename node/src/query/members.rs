//! Members, and who is meant by a name.

use belfry_proto::{
    id::{MemberId, Serial},
    schema::{Capacity, EntityClass},
    time::Timestamp,
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
}

/// Nobody, or not one, by that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nobody.
    #[error("no member is called `{0}`; give an organisation's name or a member id")]
    Unknown(String),
    /// Two of a name.
    #[error("several members are called `{name}`; give one of their ids: {}", ids.join(", "))]
    Ambiguous {
        /// As given.
        name: String,
        /// Theirs.
        ids: Vec<String>,
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
                capacity: words::of_number::<Capacity>(member.organisation.capacity)
                    .filter(|word| word != "none"),
                certificates: member.serials.iter().filter_map(certificate).collect(),
            })
            .collect()
    }

    /// A member's organisation name.
    #[must_use]
    pub fn organisation(&self, member: MemberId) -> Option<String> {
        self.roster().member(member).map(|member| member.organisation.name.clone())
    }

    /// The member meant by an id or by an organisation's name, in any case.
    ///
    /// # Errors
    /// None, or more than one.
    pub fn member_named(&self, text: &str) -> Result<MemberId, NameError> {
        let roster = self.roster();
        let text = text.trim();
        if let Ok(id) = text.parse::<MemberId>()
            && roster.member(id).is_some()
        {
            return Ok(id);
        }
        let name = text.to_lowercase();
        let mut found = roster
            .members()
            .filter(|member| member.organisation.name.to_lowercase() == name)
            .map(|member| member.id);
        match (found.next(), found.next()) {
            (None, _) => Err(NameError::Unknown(text.chars().take(64).collect())),
            (Some(one), None) => Ok(one),
            (Some(one), Some(two)) => Err(NameError::Ambiguous {
                name: text.chars().take(64).collect(),
                ids: [one, two].into_iter().chain(found).map(|id| id.to_string()).collect(),
            }),
        }
    }
}
