//! Contact records: where a member's functions are reached, by the member's own word.
//!
//! What a CSIRT tells of itself (RFC 2350, RFC 9116) in the few fields that others need when something burns. Role
//! mailboxes only: no natural person stands in a certificate, and none does beside it. A record replaces the one before;
//! nothing of the old one is kept. It counts while the key that signed it is one of its member's valid certificates', so
//! what a stolen key said goes with that key's revocation; and not before it was made, so what was signed under a clock that
//! ran ahead keeps nobody from saying it again.

mod mailbox;

use std::collections::BTreeSet;

use prost::Message;

pub use self::mailbox::check;

use crate::{
    crypto::{
        hash,
        sign::{PublicKey, Purpose, SigningKey},
    },
    id::{CoalitionId, MemberId},
    limits::{CONTACT_KEPT, MAX_CONTACT},
    schema::{self, Mailbox, Malformed, decode_canonical},
    time::Timestamp,
    trust::{
        roster::{Member, Roster, Standing},
        signed::{self, SignedError},
    },
    verdict::{Judged, Verdict},
};

const WHAT: &str = "ContactRecord";

/// Which of two records of a member is the newer one: by when it was made, and of one moment by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// When it was made.
    pub made: Timestamp,
    /// Hash of its payload.
    pub id: [u8; 32],
}

/// What a contact record says.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// The coalition it is given to.
    pub coalition: CoalitionId,
    /// Whose.
    pub member: MemberId,
    /// Larger replaces smaller.
    pub rank: Rank,
    /// Within the limits; none takes the earlier ones back.
    pub mailboxes: Vec<Mailbox>,
}

/// A contact that a valid certificate's key signed.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedContact {
    /// What it says.
    pub contact: Contact,
    /// By which key of the member; it counts as long as [`stands`] says so.
    pub signer: PublicKey,
}

/// Why a contact record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// Bytes, or what a mailbox must not be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Of another coalition.
    #[error("contact record of coalition {0}, not ours")]
    OtherCoalition(CoalitionId),
    /// Of a member we do not have (yet).
    #[error("contact record of member {0}, which we do not know")]
    UnknownMember(MemberId),
    /// Of a member that is none now.
    #[error("contact record of member {0}, which has no valid certificate")]
    NotValid(MemberId),
    /// Not signed by a key of a valid certificate of the member.
    #[error("contact record of member {member}: {error}")]
    Signed {
        /// The member.
        member: MemberId,
        /// What is wrong.
        error: SignedError,
    },
    /// From the future.
    #[error("contact record made at {0}, which is to come")]
    Future(Timestamp),
}

impl Judged for ContactError {
    fn verdict(&self) -> Verdict {
        match self {
            // The key is one of the member's, and did not sign this.
            Self::Malformed(_) | Self::Signed { error: SignedError::Bad(_), .. } => Verdict::Reject,
            // By another roster or clock it may be good.
            Self::OtherCoalition(_)
            | Self::UnknownMember(_)
            | Self::NotValid(_)
            | Self::Signed { .. }
            | Self::Future(_) => Verdict::Ignore,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "contact-malformed",
            Self::OtherCoalition(_) => "other-coalition",
            Self::UnknownMember(_) => "unknown-member",
            Self::NotValid(_) => "not-valid",
            Self::Signed { .. } => "bad-signature",
            Self::Future(_) => "contact-future",
        }
    }
}

/// Signs what a member's mailboxes are.
///
/// # Errors
/// What [`verify`] would refuse everywhere; nothing was signed.
pub fn make(
    coalition: CoalitionId,
    member: MemberId,
    mailboxes: Vec<Mailbox>,
    made: Timestamp,
    signing: &SigningKey,
) -> Result<schema::Signed, Malformed> {
    let record = schema::ContactRecord {
        coalition: coalition.to_vec(),
        member: member.to_vec(),
        mailboxes,
        made: made.as_micros(),
    };
    let signed = signed::sign(record.encode_to_vec(), Purpose::Contact, coalition, &[signing]);
    read(&signed).map(|_| signed)
}

/// What a record says, whoever signed it.
///
/// # Errors
/// [`Malformed`]: too large, not canonical, or a mailbox that breaks a rule.
pub fn read(signed: &schema::Signed) -> Result<Contact, Malformed> {
    let wire: schema::ContactRecord = decode_canonical(WHAT, &signed.payload, MAX_CONTACT)?;
    let field = |field, rule| Malformed::field(WHAT, field, rule);
    let coalition = CoalitionId::try_from(wire.coalition.as_slice())
        .map_err(|_| field("coalition", "must be 32 bytes"))?;
    let member =
        MemberId::try_from(wire.member.as_slice()).map_err(|_| field("member", "must be 16 bytes"))?;
    check(&wire.mailboxes)?;
    let rank =
        Rank { made: Timestamp::from_micros(wire.made), id: hash::contact_id(coalition, &signed.payload) };
    Ok(Contact { coalition, member, rank, mailboxes: wire.mailboxes })
}

/// Verifies a contact record against the roster at `now`.
///
/// # Errors
/// [`ContactError`].
pub fn verify(
    roster: &Roster,
    signed: &schema::Signed,
    now: Timestamp,
) -> Result<VerifiedContact, ContactError> {
    let contact = read(signed)?;
    // One says whose word it is; more would let others add to it.
    if signed.signatures.len() != 1 {
        return Err(Malformed::field(WHAT, "signatures", "must be one").into());
    }
    if contact.coalition != roster.coalition() {
        return Err(ContactError::OtherCoalition(contact.coalition));
    }
    let member = roster.member(contact.member).ok_or(ContactError::UnknownMember(contact.member))?;
    let keys = valid_keys(roster, member, now);
    if keys.is_empty() {
        return Err(ContactError::NotValid(member.id));
    }
    let refused = |error| ContactError::Signed { member: member.id, error };
    let signers =
        signed::valid_signers(signed, Purpose::Contact, contact.coalition, &keys).map_err(refused)?;
    let signer =
        signers.into_iter().next().ok_or_else(|| refused(SignedError::TooFew { found: 0, needed: 1 }))?;
    if is_to_come(roster, contact.rank.made, now) {
        return Err(ContactError::Future(contact.rank.made));
    }
    Ok(VerifiedContact { contact, signer })
}

/// Whether what this key signed for a member then counts at `now`.
#[must_use]
pub fn stands(
    roster: &Roster,
    member: MemberId,
    signer: &PublicKey,
    made: Timestamp,
    now: Timestamp,
) -> bool {
    !is_to_come(roster, made, now)
        && roster.member(member).is_some_and(|member| valid_keys(roster, member, now).contains(signer))
}

/// Whether a record was made under a clock that ran ahead, or ours is behind: it counts nowhere until then.
#[must_use]
pub fn is_to_come(roster: &Roster, made: Timestamp, now: Timestamp) -> bool {
    made > now.saturating_add(roster.charter().clock_skew())
}

/// Whether none of a member's certificates is to come back, by decision or because they ran out [`CONTACT_KEPT`] ago,
/// suspended or not: what it said of itself is not kept.
#[must_use]
pub fn is_over(roster: &Roster, member: MemberId, now: Timestamp) -> bool {
    let ran_out = |serial| {
        let certificate = roster.certificate(serial);
        certificate.is_none_or(|certificate| now >= certificate.not_after.saturating_add(CONTACT_KEPT))
    };
    let is_over = |serial| match roster.standing(serial, now) {
        Standing::Revoked | Standing::Superseded | Standing::Unknown => true,
        // One that is suspended runs out all the same, and resuming it brings nothing back then.
        Standing::Expired | Standing::Suspended => ran_out(serial),
        Standing::Valid | Standing::NotYet => false,
    };
    roster.member(member).is_none_or(|member| member.serials.iter().copied().all(is_over))
}

/// One hash of all records that a node goes by, given ascending by member: equal where nothing is to be told.
#[must_use]
pub fn sum<'a>(
    coalition: CoalitionId,
    contacts: impl IntoIterator<Item = (&'a MemberId, &'a Rank)>,
) -> [u8; 32] {
    let mut encoded = Vec::new();
    for (member, rank) in contacts {
        encoded.extend_from_slice(member.as_ref());
        encoded.extend_from_slice(&rank.id);
    }
    hash::contacts(coalition, &encoded)
}

fn valid_keys(roster: &Roster, member: &Member, now: Timestamp) -> BTreeSet<PublicKey> {
    roster.signing_keys(member, |serial| roster.standing(serial, now) == Standing::Valid)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        id::Height,
        limits::{MAX_CONTACT_TEXT, MAX_MAILBOXES},
        schema::ContactRole,
        trust::{
            address::tests::roster,
            log,
            request::tests::{NOW, charter, key},
            statement::{self, Decision},
        },
    };

    const MEMBER: MemberId = MemberId::new([5; 16]);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn incident() -> Mailbox {
        Mailbox {
            role: ContactRole::Incident.into(),
            email: "csirt@bank.example".into(),
            phone: "+32 2 123 45 67".into(),
            openpgp: vec![7; 20],
            key_url: "https://bank.example/.well-known/openpgpkey".into(),
            languages: vec!["nl".into(), "fr-BE".into()],
            hours: "24/7".into(),
            ..Mailbox::default()
        }
    }

    /// Signed by whoever does not look at what it signs.
    fn signed_by(seed: u8, mailboxes: Vec<Mailbox>, made: Timestamp) -> schema::Signed {
        let coalition = charter().coalition();
        let record = schema::ContactRecord {
            coalition: coalition.to_vec(),
            member: MEMBER.to_vec(),
            mailboxes,
            made: made.as_micros(),
        };
        signed::sign(record.encode_to_vec(), Purpose::Contact, coalition, &[&key(seed)])
    }

    fn refused(mailbox: Mailbox) -> Malformed {
        match verify(&roster(), &signed_by(11, vec![mailbox], NOW), NOW) {
            Err(ContactError::Malformed(malformed)) => malformed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_members_mailboxes_come_through_as_signed() {
        let signed = make(charter().coalition(), MEMBER, vec![incident()], NOW, &key(11)).unwrap();
        let verified = verify(&roster(), &signed, NOW).unwrap();
        assert_eq!((verified.contact.member, verified.signer), (MEMBER, key(11).public()));
        assert_eq!((verified.contact.rank.made, &verified.contact.mailboxes), (NOW, &vec![incident()]));
        let none = make(charter().coalition(), MEMBER, Vec::new(), NOW, &key(11)).unwrap();
        assert!(verify(&roster(), &none, NOW).unwrap().contact.mailboxes.is_empty(), "taken back");
    }

    #[test]
    fn what_is_no_mailbox_of_a_function_is_malformed() {
        let long = format!("https://bank.example/{}", "a".repeat(MAX_CONTACT_TEXT));
        for (name, mailbox) in [
            ("role", Mailbox { role: 0, ..incident() }),
            ("role", Mailbox { role: 99, ..incident() }),
            ("email", Mailbox { email: String::new(), ..incident() }),
            ("email", Mailbox { email: "csirt".into(), ..incident() }),
            ("email", Mailbox { email: "csirt@bank".into(), ..incident() }),
            ("email", Mailbox { email: "a..b@bank.example".into(), ..incident() }),
            ("email", Mailbox { email: "csirt@bank.example\r\nBcc: x@y.example".into(), ..incident() }),
            ("email", Mailbox { email: "csirt\u{202e}@bank.example".into(), ..incident() }),
            ("email", Mailbox { email: "\"x y\"@bank.example".into(), ..incident() }),
            ("url", Mailbox { url: "http://bank.example/".into(), ..incident() }),
            ("url", Mailbox { url: "javascript:alert(1)".into(), ..incident() }),
            ("url", Mailbox { url: "https://bank.example@evil.example/".into(), ..incident() }),
            ("url", Mailbox { url: "https://bank.example/a b".into(), ..incident() }),
            ("url", Mailbox { url: "https://bank.example:+443/".into(), ..incident() }),
            ("url", Mailbox { url: "https://bank.example:/".into(), ..incident() }),
            ("url", Mailbox { url: "https://bank.example:0/".into(), ..incident() }),
            ("url", Mailbox { url: long, ..incident() }),
            ("key_url", Mailbox { key_url: "https://localhost/".into(), ..incident() }),
            ("phone", Mailbox { phone: "02 123 45 67".into(), ..incident() }),
            ("phone", Mailbox { phone: "+32 2 CALL ME NOW".into(), ..incident() }),
            ("phone", Mailbox { phone: "+1234567890123456".into(), ..incident() }),
            ("openpgp", Mailbox { openpgp: vec![7; 19], ..incident() }),
            ("languages", Mailbox { languages: vec!["nl".into(); 9], ..incident() }),
            ("languages", Mailbox { languages: vec!["dutch".into()], ..incident() }),
            ("hours", Mailbox { hours: "24/7\u{1b}[2J".into(), ..incident() }),
            ("hours", Mailbox { hours: "24/7\u{200f}".into(), ..incident() }),
            ("hours", Mailbox { hours: "x".repeat(MAX_CONTACT_TEXT + 1), ..incident() }),
        ] {
            let malformed = refused(mailbox.clone());
            assert!(
                matches!(malformed, Malformed::Field { field, .. } if field == name),
                "{name}: {malformed}"
            );
            assert!(make(charter().coalition(), MEMBER, vec![mailbox], NOW, &key(11)).is_err(), "{name}");
        }
        let page = Mailbox {
            email: String::new(),
            url: "https://bank.example:8443/report?x=1".into(),
            ..incident()
        };
        assert!(verify(&roster(), &signed_by(11, vec![page], NOW), NOW).is_ok());
    }

    #[test]
    fn too_many_mailboxes_and_too_many_bytes_are_malformed() {
        let many = signed_by(11, vec![incident(); MAX_MAILBOXES + 1], NOW);
        assert!(matches!(verify(&roster(), &many, NOW), Err(ContactError::Malformed(_))));
        let wide = Mailbox {
            url: format!("https://bank.example/{}", "a".repeat(200)),
            key_url: format!("https://bank.example/{}", "b".repeat(200)),
            hours: "c".repeat(200),
            ..incident()
        };
        let large = signed_by(11, vec![wide; MAX_MAILBOXES], NOW);
        let error = verify(&roster(), &large, NOW).unwrap_err();
        assert!(matches!(error, ContactError::Malformed(Malformed::TooLong { .. })), "{error}");
        assert_eq!(error.verdict(), Verdict::Reject);
    }

    #[test]
    fn only_a_valid_key_of_the_member_speaks_for_it_and_alone() {
        for other in [12, 2, 3] {
            let error = verify(&roster(), &signed_by(other, vec![incident()], NOW), NOW).unwrap_err();
            assert!(matches!(error, ContactError::Signed { error: SignedError::NotAllowed(_), .. }));
            assert_eq!((error.verdict(), error.code()), (Verdict::Ignore, "bad-signature"));
        }
        let mut bent = signed_by(11, vec![incident()], NOW);
        *bent.signatures[0].signature.last_mut().unwrap() ^= 1;
        let error = verify(&roster(), &bent, NOW).unwrap_err();
        assert_eq!((error.verdict(), error.code()), (Verdict::Reject, "bad-signature"));
        let mut more = signed_by(11, vec![incident()], NOW);
        signed::add_signature(&mut more, Purpose::Contact, charter().coalition(), &key(12));
        assert!(matches!(verify(&roster(), &more, NOW), Err(ContactError::Malformed(_))));
        more.signatures.clear();
        assert!(matches!(verify(&roster(), &more, NOW), Err(ContactError::Malformed(_))));
        let mut address = signed_by(11, vec![incident()], NOW);
        address.signatures.clear();
        signed::add_signature(&mut address, Purpose::Address, charter().coalition(), &key(11));
        assert!(verify(&roster(), &address, NOW).is_err(), "signed for another purpose");
    }

    #[test]
    fn what_another_roster_or_clock_may_see_otherwise_is_ignored() {
        let ignored = |signed: &schema::Signed, now| {
            let error = verify(&roster(), signed, now).unwrap_err();
            assert_eq!(error.verdict(), Verdict::Ignore, "{error}");
            error
        };
        let good = signed_by(11, vec![incident()], NOW);
        let later = NOW.saturating_add(DAY);
        assert_eq!(ignored(&good, later), ContactError::NotValid(MEMBER));
        let key_of = key(11).public();
        let counts = |member, made, now| stands(&roster(), member, &key_of, made, now);
        assert!(counts(MEMBER, NOW, NOW) && !counts(MEMBER, NOW, later));
        let other = MemberId::new([6; 16]);
        assert!(!counts(other, NOW, NOW) && is_over(&roster(), other, NOW));
        let unknown = make(charter().coalition(), other, Vec::new(), NOW, &key(11)).unwrap();
        assert_eq!(ignored(&unknown, NOW), ContactError::UnknownMember(other));
        let foreign = make(CoalitionId::ZERO, MEMBER, Vec::new(), NOW, &key(11)).unwrap();
        assert_eq!(ignored(&foreign, NOW), ContactError::OtherCoalition(CoalitionId::ZERO));
        let soon = NOW.saturating_add(Duration::from_secs(1));
        assert_eq!(ignored(&signed_by(11, Vec::new(), soon), NOW), ContactError::Future(soon));
        assert!(!counts(MEMBER, soon, NOW) && counts(MEMBER, soon, soon), "what is held already, neither");
    }

    #[test]
    fn what_a_member_said_is_kept_for_ninety_days_after_its_last_certificate_ran_out() {
        let roster = roster();
        let member = roster.member(MEMBER).unwrap();
        let ends = member.serials.iter().map(|serial| roster.certificate(*serial).unwrap().not_after);
        let end = ends.max().unwrap();
        let over = end.saturating_add(DAY * 90);
        assert!(!is_over(&roster, MEMBER, end), "it may be renewed");
        assert!(!is_over(&roster, MEMBER, over.saturating_sub(Duration::from_secs(1))));
        assert!(is_over(&roster, MEMBER, over));
    }

    #[test]
    fn what_a_suspended_member_said_is_kept_no_longer_than_anybodys() {
        let (mut roster, coalition) = (roster(), charter().coalition());
        let (serial, last) = {
            let member = roster.member(MEMBER).unwrap();
            (member.serials.iter().copied().next().unwrap(), member.last_statement)
        };
        let suspend = Decision::Suspend(schema::Suspend { serial: serial.get(), cut: Vec::new() });
        let mut rng = StdRng::seed_from_u64(2);
        let payload = statement::propose(coalition, suspend, Some(last), 1, NOW, &mut rng);
        let statement = signed::sign(payload, Purpose::Statement, coalition, &[&key(2)]);
        let record = log::order(coalition, Height::new(2), roster.version().head, statement, &key(3));
        let record = log::verify_record(roster.charters(), &record).unwrap();
        roster.apply(record).unwrap();
        let over = roster.certificate(serial).unwrap().not_after.saturating_add(DAY * 90);
        assert_eq!(roster.standing(serial, over), Standing::Suspended);
        assert!(!is_over(&roster, MEMBER, over.saturating_sub(Duration::from_secs(1))), "it may come back");
        assert!(is_over(&roster, MEMBER, over));
    }

    #[test]
    fn the_later_record_is_the_newer_one_and_of_one_moment_every_node_takes_the_same() {
        let rank = |mailboxes, made| read(&signed_by(11, mailboxes, made)).unwrap().rank;
        let (one, other) = (rank(vec![incident()], NOW), rank(Vec::new(), NOW));
        assert!(one != other && (one < other) != (other < one));
        let later = rank(vec![incident()], NOW.saturating_add(Duration::from_micros(1)));
        assert!(later > one && later > other);
        // The same said by another key of the member is the same.
        assert_eq!(one, read(&signed_by(12, vec![incident()], NOW)).unwrap().rank);
        let coalition = charter().coalition();
        assert_ne!(sum(coalition, [(&MEMBER, &one)]), sum(coalition, [(&MEMBER, &other)]));
        assert_ne!(sum(coalition, [(&MEMBER, &one)]), sum(coalition, std::iter::empty()));
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(String::new()),
            "[a-z.]{0,9}@[a-z-]{1,9}\\.[a-z]{0,3}",
            "https://[a-z.]{0,9}/\\PC{0,9}",
            "\\+[0-9 ()]{0,20}",
            ".{0,20}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        /// One function decides at both ends, and nothing it lets through steers a terminal.
        #[test]
        fn what_is_made_verifies_and_nothing_else_does(
            role in -1..9_i32,
            texts in [text(), text(), text(), text(), text()],
            openpgp in proptest::sample::select(vec![0_usize, 19, 20, 32]),
            languages in proptest::collection::vec("[a-zA-Z0-9-]{0,5}", 0..3),
        ) {
            let [email, url, phone, key_url, hours] = texts;
            let mailbox = Mailbox { role, email, url, phone, openpgp: vec![1; openpgp], key_url, languages, hours };
            let made = make(charter().coalition(), MEMBER, vec![mailbox.clone()], NOW, &key(11));
            let verified = verify(&roster(), &signed_by(11, vec![mailbox], NOW), NOW);
            prop_assert_eq!(made.is_ok(), verified.is_ok());
            for mailbox in verified.into_iter().flat_map(|verified| verified.contact.mailboxes) {
                let said = [mailbox.email, mailbox.url, mailbox.phone, mailbox.key_url, mailbox.hours].concat();
                prop_assert!(!said.chars().any(crate::stix::neutral::steers), "{said:?}");
            }
        }
    }
}
