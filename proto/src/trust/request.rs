//! The request for a certificate: what a member asks for, with proof that it holds the keys it names.
//!
//! Signing key and node key sign it. The KEM key cannot sign; that its holder is the requester shows when
//! the first grant sealed to it opens, and nobody gains by naming another's. Inside lies the acceptance of
//! arrangement and rules, signed by itself, so that it can be shown without the request.

use std::collections::BTreeSet;

use prost::Message;

use crate::{
    crypto::{
        hpke::{KemKeyError, KemPublic, KemSecret},
        sign::{KeyError, PublicKey, Purpose, SigningKey},
    },
    id::{CoalitionId, MemberId, Serial, StatementId},
    limits::MAX_STATEMENT,
    schema::{self, Malformed, decode_canonical},
    time::Timestamp,
    trust::{
        acceptance::{self, AcceptanceError},
        certificate::{self, CertificateError},
        charter::Charter,
        signed::{self, SignedError},
    },
};

const WHAT: &str = "CertificateRequest";

/// What a member decides before its keys sign.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestDraft {
    /// The organisation as it wants to stand in the certificate.
    pub organisation: schema::Organisation,
    /// Groups and roles asked for.
    pub groups: Vec<schema::GroupRole>,
    /// Whether it asks to carry every group's sealed messages.
    pub carrier: bool,
    /// Its member id, when this is another node of it.
    pub member: Option<MemberId>,
}

/// A request whose keys have signed and whose acceptance is of the charter's documents. What it says of
/// the organisation is its own word, for a human to check.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The organisation, well-formed.
    pub organisation: schema::Organisation,
    /// Signs messages.
    pub signing: PublicKey,
    /// Names the node on the network.
    pub node: PublicKey,
    /// Receives keys.
    pub kem: KemPublic,
    /// Groups and roles asked for, as the charter allows them.
    pub groups: Vec<schema::GroupRole>,
    /// Whether it asks to be a carrier.
    pub carrier: bool,
    /// Member id it claims; that the member's contact agrees is for a human to check.
    pub member: Option<MemberId>,
    /// When it was made.
    pub made: Timestamp,
    /// When arrangement and rules were accepted.
    pub accepted: Timestamp,
    /// The acceptance as signed, to be kept.
    pub acceptance: schema::Signed,
}

impl Request {
    /// The certificate that grants what is asked, under a member id (its own, or a fresh random one).
    #[must_use]
    pub fn to_certificate(
        &self,
        member: MemberId,
        validity: schema::Validity,
        charter: &Charter,
    ) -> schema::CertificateBody {
        schema::CertificateBody {
            member: member.to_vec(),
            organisation: Some(self.organisation.clone()),
            keys: Some(schema::MemberKeys {
                signing: self.signing.as_bytes().to_vec(),
                node: self.node.as_bytes().to_vec(),
                kem: self.kem.as_bytes().to_vec(),
            }),
            groups: self.groups.clone(),
            carrier: self.carrier,
            validity: Some(validity),
            arrangement_version: charter.arrangement().version.clone(),
            rules_version: charter.rules().version.clone(),
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Bytes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// To another coalition.
    #[error("request to coalition {0}, not ours")]
    OtherCoalition(CoalitionId),
    /// A key is unusable.
    #[error("{which} key: {error}")]
    Key {
        /// Which.
        which: &'static str,
        /// Why.
        error: KeyError,
    },
    /// The KEM key is unusable.
    #[error("KEM key: {0}")]
    Kem(#[from] KemKeyError),
    /// One key for signing and for the node.
    #[error("signing key and node key are the same; each must have one use")]
    SameKey,
    /// A key of the charter: admins and members must not share keys.
    #[error("the charter already gives {0} another role")]
    CharterKey(PublicKey),
    /// Not signed by both keys.
    #[error("request: {0}")]
    Signed(SignedError),
    /// The acceptance does not hold.
    #[error(transparent)]
    Acceptance(#[from] AcceptanceError),
    /// No certificate could say what is asked.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Makes and signs a request.
#[must_use]
pub fn build(
    draft: &RequestDraft,
    signing: &SigningKey,
    node: &SigningKey,
    kem: &KemSecret,
    charter: &Charter,
    now: Timestamp,
) -> schema::Signed {
    let coalition = charter.coalition();
    let request = schema::CertificateRequest {
        coalition: coalition.to_vec(),
        organisation: Some(draft.organisation.clone()),
        keys: Some(schema::MemberKeys {
            signing: signing.public().as_bytes().to_vec(),
            node: node.public().as_bytes().to_vec(),
            kem: kem.public().as_bytes().to_vec(),
        }),
        groups: draft.groups.clone(),
        carrier: draft.carrier,
        acceptance: Some(acceptance::sign(charter, signing, now)),
        made: now.as_micros(),
        member: draft.member.map(|member| member.to_vec()).unwrap_or_default(),
    };
    signed::sign(request.encode_to_vec(), Purpose::Request, coalition, &[signing, node])
}

/// Verifies a request: canonical bytes, our coalition, usable keys that all signed, and the acceptance of
/// the very texts the charter names.
///
/// # Errors
/// [`RequestError`], the first rule that breaks.
pub fn open(signed: &schema::Signed, charter: &Charter) -> Result<Request, RequestError> {
    let wire: schema::CertificateRequest = decode_canonical(WHAT, &signed.payload, MAX_STATEMENT)?;
    let field = |field, rule| Malformed::field(WHAT, field, rule);
    same_coalition(&wire.coalition, charter)?;
    let keys = wire.keys.as_ref().ok_or(field("keys", "must be set"))?;
    let key = |which, bytes: &[u8]| {
        let key = PublicKey::from_slice(bytes).map_err(|error| RequestError::Key { which, error })?;
        if charter.admins().contains(&key) || charter.root().1.contains(&key) || charter.registrar() == key {
            return Err(RequestError::CharterKey(key));
        }
        Ok(key)
    };
    let (signing, node) = (key("signing", &keys.signing)?, key("node", &keys.node)?);
    if signing == node {
        return Err(RequestError::SameKey);
    }
    let kem = KemPublic::from_slice(&keys.kem)?;
    signed::require(signed, Purpose::Request, charter.coalition(), &BTreeSet::from([signing, node]), 2)
        .map_err(RequestError::Signed)?;
    let acceptance = wire.acceptance.ok_or(field("acceptance", "must be set"))?;
    let accepted = acceptance::open(&acceptance, signing, charter)?;
    let organisation = wire.organisation.ok_or(field("organisation", "must be set"))?;
    let member = match wire.member.as_slice() {
        [] => None,
        bytes => Some(
            MemberId::try_from(bytes)
                .ok()
                .filter(|member| *member != MemberId::ZERO)
                .ok_or(field("member", "must be 16 bytes, not all zero, or empty"))?,
        ),
    };
    let request = Request {
        organisation,
        signing,
        node,
        kem,
        groups: wire.groups,
        carrier: wire.carrier,
        member,
        made: Timestamp::from_micros(wire.made),
        accepted,
        acceptance,
    };
    // A first request has no member id yet; any but zero serves to check the rest.
    let member = member.unwrap_or(MemberId::new([1; 16]));
    let validity = schema::Validity { not_before: 0, not_after: 1 };
    certificate::check(
        &request.to_certificate(member, validity, charter),
        charter,
        Serial::default(),
        StatementId::ZERO,
    )?;
    Ok(request)
}

fn same_coalition(bytes: &[u8], charter: &Charter) -> Result<(), RequestError> {
    let coalition =
        CoalitionId::try_from(bytes).map_err(|_| Malformed::field(WHAT, "coalition", "must be 32 bytes"))?;
    if coalition != charter.coalition() {
        return Err(RequestError::OtherCoalition(coalition));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::schema::{EntityClass, Role, Tlp};

    pub(in crate::trust) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    pub(in crate::trust) fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    pub(in crate::trust) fn kem() -> KemSecret {
        KemSecret::from_seed(crate::crypto::secret::Secret::new([9; 32]))
    }

    pub(in crate::trust) fn charter_with(change: impl FnOnce(&mut schema::Charter)) -> Charter {
        let public = |seed| key(seed).public().as_bytes().to_vec();
        let document =
            |byte| schema::Document { version: "1".into(), hash: vec![byte; 32], link: String::new() };
        let thresholds = crate::trust::charter::ACTIONS
            .iter()
            .map(|action| schema::ActionThreshold { action: (*action).into(), threshold: 1 })
            .collect();
        let mut charter = schema::Charter {
            name: "Test".into(),
            version: 1,
            expires: NOW.saturating_add(std::time::Duration::from_secs(365 * 24 * 3600)).as_micros(),
            root: Some(schema::KeySet { threshold: 1, keys: vec![public(1)] }),
            admins: Some(schema::AdminKeys { keys: vec![public(2)], thresholds, ..Default::default() }),
            registrar: public(3),
            groups: vec![schema::FocusGroup {
                id: 1,
                slug: "finance".into(),
                name: "Finance".into(),
                admits: vec![EntityClass::Financial.into()],
                may_publish: Role::Publisher.into(),
                history: schema::HistoryPolicy::None.into(),
                max_tlp: Tlp::Red.into(),
                messages_per_hour: 1,
                bytes_per_hour: 1,
                default_purpose: schema::Purpose::Prevent.into(),
                ..schema::FocusGroup::default()
            }],
            arrangement: Some(document(0xaa)),
            rules_of_conduct: Some(document(0xbb)),
            ..schema::Charter::default()
        };
        change(&mut charter);
        Charter::check(&charter.encode_to_vec()).unwrap()
    }

    pub(in crate::trust) fn charter() -> Charter {
        charter_with(|_| ())
    }

    pub(in crate::trust) fn draft() -> RequestDraft {
        RequestDraft {
            organisation: schema::Organisation {
                name: "Bank".into(),
                classes: vec![EntityClass::Financial.into()],
                ..schema::Organisation::default()
            },
            groups: vec![schema::GroupRole { group: 1, role: Role::Publisher.into() }],
            carrier: false,
            member: None,
        }
    }

    fn request() -> schema::Signed {
        build(&draft(), &key(11), &key(12), &kem(), &charter(), NOW)
    }

    /// The request with its payload changed and signed anew by both keys.
    fn altered(change: impl FnOnce(&mut schema::CertificateRequest)) -> schema::Signed {
        let mut wire = schema::CertificateRequest::decode(request().payload.as_slice()).unwrap();
        change(&mut wire);
        signed::sign(wire.encode_to_vec(), Purpose::Request, charter().coalition(), &[&key(11), &key(12)])
    }

    #[test]
    fn what_was_asked_is_what_opens() {
        let opened = open(&request(), &charter()).unwrap();
        assert_eq!((opened.signing, opened.node), (key(11).public(), key(12).public()));
        assert_eq!(opened.kem, kem().public());
        assert_eq!((opened.made, opened.accepted), (NOW, NOW));
        assert_eq!((opened.organisation, opened.groups), (draft().organisation, draft().groups));
        let second = RequestDraft { member: Some(MemberId::new([5; 16])), ..draft() };
        let second = build(&second, &key(11), &key(12), &kem(), &charter(), NOW);
        assert_eq!(open(&second, &charter()).unwrap().member, Some(MemberId::new([5; 16])));
    }

    #[test]
    fn both_keys_must_have_signed_and_nobody_else() {
        let coalition = charter().coalition();
        let signed_by = |keys: &[&SigningKey]| {
            open(&signed::sign(request().payload, Purpose::Request, coalition, keys), &charter())
        };
        for keys in
            [&[&key(11)][..], &[&key(12)], &[], &[&key(11), &key(11)], &[&key(11), &key(12), &key(13)]]
        {
            assert!(matches!(signed_by(keys), Err(RequestError::Signed(_))), "{keys:?}");
        }
        let other_use = signed::sign(request().payload, Purpose::Contact, coalition, &[&key(11), &key(12)]);
        assert!(matches!(open(&other_use, &charter()), Err(RequestError::Signed(_))));
    }

    #[test]
    fn every_key_has_one_use() {
        let same = build(&draft(), &key(11), &key(11), &kem(), &charter(), NOW);
        assert_eq!(open(&same, &charter()), Err(RequestError::SameKey));
        for role in [1, 2, 3] {
            let taken = build(&draft(), &key(11), &key(role), &kem(), &charter(), NOW);
            assert_eq!(open(&taken, &charter()), Err(RequestError::CharterKey(key(role).public())));
        }
        let no_kem = altered(|wire| wire.keys.as_mut().unwrap().kem = vec![0; 3]);
        assert_eq!(open(&no_kem, &charter()), Err(RequestError::Kem(KemKeyError)));
    }

    #[test]
    fn the_acceptance_is_of_the_texts_in_force_and_by_the_signing_key() {
        let newer = |change: fn(&mut schema::Charter)| {
            let signed = open(&request(), &charter()).unwrap().acceptance;
            // The charter that accepts nothing of the old text, with the coalition of the request.
            acceptance::open(
                &signed,
                key(11).public(),
                &charter_with(|wire| {
                    wire.version = 2;
                    wire.coalition = charter().coalition().to_vec();
                    wire.previous = vec![1; 32];
                    change(wire);
                }),
            )
        };
        assert_eq!(newer(|_| ()), Ok(NOW));
        assert_eq!(
            newer(|wire| wire.arrangement.as_mut().unwrap().hash = vec![1; 32]),
            Err(AcceptanceError::OtherText("the arrangement"))
        );
        assert_eq!(
            newer(|wire| wire.rules_of_conduct.as_mut().unwrap().hash = vec![1; 32]),
            Err(AcceptanceError::OtherText("the rules of conduct"))
        );
        let others = build(&draft(), &key(21), &key(22), &kem(), &charter(), NOW);
        let others = open(&others, &charter()).unwrap().acceptance;
        let borrowed = altered(|wire| wire.acceptance = Some(others));
        assert!(matches!(
            open(&borrowed, &charter()),
            Err(RequestError::Acceptance(AcceptanceError::Signed(_)))
        ));
        assert!(matches!(
            open(&altered(|wire| wire.acceptance = None), &charter()),
            Err(RequestError::Malformed(_))
        ));
    }

    #[test]
    fn nothing_is_asked_that_no_certificate_could_say() {
        let refused =
            |change: fn(&mut schema::CertificateRequest)| open(&altered(change), &charter()).unwrap_err();
        assert!(matches!(
            refused(|wire| wire.organisation.as_mut().unwrap().classes = vec![EntityClass::Academic.into()]),
            RequestError::Certificate(CertificateError::NotAdmitted(_))
        ));
        assert!(matches!(refused(|wire| wire.groups[0].group = 7), RequestError::Certificate(_)));
        assert!(matches!(
            refused(|wire| wire.organisation.as_mut().unwrap().name.clear()),
            RequestError::Certificate(_)
        ));
        assert!(matches!(refused(|wire| wire.member = vec![0; 16]), RequestError::Malformed(_)));
    }

    #[test]
    fn a_request_to_another_coalition_is_refused() {
        let other = charter_with(|wire| wire.name = "Other".into());
        assert_eq!(open(&request(), &other), Err(RequestError::OtherCoalition(charter().coalition())));
    }
}
