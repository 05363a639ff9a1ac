//! Membership certificates: what an issue statement grants, held to the charter's rules.

use std::collections::BTreeMap;

use crate::{
    crypto::{
        hpke::{KemKeyError, KemPublic},
        sign::{KeyError, PublicKey},
    },
    id::{GroupId, MemberId, Serial, StatementId},
    schema::{self, Capacity, EntityClass, Role},
    time::Timestamp,
    trust::charter::{Charter, Group},
};

/// Bytes of any text in a certificate.
const MAX_TEXT: usize = 256;
/// Entities one supplies that are named.
const MAX_SUPPLIED: usize = 64;

/// A checked certificate; its standing is the roster's to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// Height of its issuing entry.
    pub serial: Serial,
    /// The organisation's id.
    pub member: MemberId,
    /// The organisation.
    pub organisation: schema::Organisation,
    /// Signs messages.
    pub signing: PublicKey,
    /// Names the node on the network.
    pub node: PublicKey,
    /// Receives keys.
    pub kem: KemPublic,
    /// Groups and roles in force; changed by entitle and disentitle.
    pub groups: BTreeMap<GroupId, Role>,
    /// Whether it carries every group's sealed messages.
    pub carrier: bool,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until, exclusive; moved by renewal.
    pub not_after: Timestamp,
    /// Statement that issued it.
    pub issued_by: StatementId,
    /// Arrangement accepted.
    pub arrangement_version: String,
    /// Rules of conduct accepted.
    pub rules_version: String,
}

/// Why a certificate must not be issued, and why an issued one is void.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A field breaks a rule.
    #[error("certificate: {field} {rule}")]
    Field {
        /// Which.
        field: &'static str,
        /// Rule.
        rule: &'static str,
    },
    /// A key is unusable.
    #[error("certificate: {which} key: {error}")]
    Key {
        /// Which.
        which: &'static str,
        /// Why.
        error: KeyError,
    },
    /// The KEM key is unusable.
    #[error("certificate: KEM key: {0}")]
    Kem(#[from] KemKeyError),
    /// A group the charter does not have.
    #[error("the charter has no group {0}")]
    UnknownGroup(GroupId),
    /// None of the organisation's classes is admitted.
    #[error("group {0} does not admit this organisation's classes")]
    NotAdmitted(String),
}

impl Certificate {
    /// Whether the organisation takes part as a supervisory authority.
    #[must_use]
    pub fn is_supervisor(&self) -> bool {
        self.organisation.capacity() == Capacity::Supervisor
    }
}

/// Checks a certificate body against the charter: at issuing and at verifying alike.
///
/// # Errors
/// [`CertificateError`], the first rule that breaks.
pub fn check(
    body: &schema::CertificateBody,
    charter: &Charter,
    serial: Serial,
    issued_by: StatementId,
) -> Result<Certificate, CertificateError> {
    let field = |field, rule| CertificateError::Field { field, rule };
    let member =
        MemberId::try_from(body.member.as_slice()).map_err(|_| field("member", "must be 16 bytes"))?;
    if member == MemberId::ZERO {
        return Err(field("member", "must not be zero"));
    }
    let organisation = body.organisation.clone().ok_or(field("organisation", "must be set"))?;
    check_organisation(&organisation)?;
    let keys = body.keys.as_ref().ok_or(field("keys", "must be set"))?;
    let key = |which, bytes: &[u8]| {
        PublicKey::from_slice(bytes).map_err(|error| CertificateError::Key { which, error })
    };
    let (signing, node) = (key("signing", &keys.signing)?, key("node", &keys.node)?);
    if signing == node {
        return Err(field("keys", "must be distinct"));
    }
    let kem = KemPublic::from_slice(&keys.kem)?;
    let validity = body.validity.as_ref().ok_or(field("validity", "must be set"))?;
    if validity.not_after <= validity.not_before {
        return Err(field("validity", "must end after it begins"));
    }
    let groups = check_groups(&body.groups, &organisation, charter)?;
    // A carrier carries every group and reads none.
    if groups.is_empty() != body.carrier {
        return Err(field("groups", "must name a group, and none in a carrier's"));
    }
    if body.arrangement_version.len() > MAX_TEXT || body.rules_version.len() > MAX_TEXT {
        return Err(field("versions", "must be at most 256 bytes"));
    }
    Ok(Certificate {
        serial,
        member,
        organisation,
        signing,
        node,
        kem,
        groups,
        carrier: body.carrier,
        not_before: Timestamp::from_micros(validity.not_before),
        not_after: Timestamp::from_micros(validity.not_after),
        issued_by,
        arrangement_version: body.arrangement_version.clone(),
        rules_version: body.rules_version.clone(),
    })
}

/// Groups and roles as the charter allows them to this organisation.
///
/// # Errors
/// [`CertificateError`].
pub fn check_groups(
    wire: &[schema::GroupRole],
    organisation: &schema::Organisation,
    charter: &Charter,
) -> Result<BTreeMap<GroupId, Role>, CertificateError> {
    let mut groups = BTreeMap::new();
    for entry in wire {
        let id = GroupId::new(entry.group);
        let group = charter.group(id).ok_or(CertificateError::UnknownGroup(id))?;
        if !admits(group, organisation) {
            return Err(CertificateError::NotAdmitted(group.slug.clone()));
        }
        let role = Role::try_from(entry.role)
            .ok()
            .filter(|role| *role != Role::Unspecified)
            .ok_or(CertificateError::Field { field: "role", rule: "must be reader, publisher or steward" })?;
        if groups.insert(id, role).is_some() {
            return Err(CertificateError::Field { field: "groups", rule: "must name each group once" });
        }
    }
    Ok(groups)
}

/// Whether a group admits one of an organisation's classes.
#[must_use]
pub fn admits(group: &Group, organisation: &schema::Organisation) -> bool {
    group.admits.is_empty() || organisation.classes().any(|class| group.admits.contains(&class))
}

/// Checks what a certificate says of its organisation.
///
/// # Errors
/// [`CertificateError::Field`].
pub(super) fn check_organisation(organisation: &schema::Organisation) -> Result<(), CertificateError> {
    let field = |field, rule| Err(CertificateError::Field { field, rule });
    let name = &organisation.name;
    if name.trim().is_empty() || name.len() > MAX_TEXT || name.chars().any(char::is_control) {
        return field("organisation name", "must be 1 to 256 bytes without control characters");
    }
    if !(organisation.kbo.is_empty()
        || organisation.kbo.len() == 10 && organisation.kbo.bytes().all(|b| b.is_ascii_digit()))
    {
        return field("kbo", "must be ten digits");
    }
    if !(organisation.lei.is_empty()
        || organisation.lei.len() == 20
            && organisation.lei.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()))
    {
        return field("lei", "must be twenty digits and capital letters");
    }
    if organisation.sector.len() > MAX_TEXT
        || organisation.supplier_of.len() > MAX_SUPPLIED
        || organisation.supplier_of.iter().any(|s| s.is_empty() || s.len() > MAX_TEXT)
    {
        return field("sector or supplier_of", "must be at most 64 names of at most 256 bytes");
    }
    let known = organisation
        .classes
        .iter()
        .all(|class| EntityClass::try_from(*class).is_ok_and(|class| class != EntityClass::Unspecified));
    if organisation.classes.is_empty() || !known {
        return field("classes", "must name at least one known entity class");
    }
    if Capacity::try_from(organisation.capacity).is_err() {
        return field("capacity", "must be known");
    }
    Ok(())
}
