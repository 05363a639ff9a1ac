//! Content keys: what opens a publisher's bodies to everyone who reads one group.
//!
//! A key is (secret, context). Its id is a hash *commitment* to both, so any holder can serve a key and
//! nobody can serve another one under the same id: grants need no signature. The context says for whom
//! the key was made and by which roster; the grant rule ([`super::grant_rule`]) judges by it alone.

use std::fmt;

use prost::Message;
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    crypto::{
        hpke::{KemPublic, KemSecret},
        pae::Pae,
        secret::Secret,
    },
    envelope::header::{self, Header},
    id::{CoalitionId, GroupId, KeyId, LogId, MemberId, RosterVersion},
    schema::{self, Audience, Malformed, decode_canonical},
    time::Timestamp,
    verdict::{Judged, Verdict},
};

/// Commitment of a content key.
const KEY_ID: &str = "belfry/v1/key-id";
/// The key that seals bodies, derived so that the granted secret is never itself a cipher key.
const CONTENT_KEY: &str = "belfry/v1/content-key";
/// HPKE info of a grant.
const GRANT: &str = "belfry/v1/grant";
/// Bytes of an encoded context: its fields come to some 180.
const MAX_CONTEXT: usize = 512;
/// Bytes of an encoded grant: a secret, a context and their tags.
const MAX_GRANT: usize = MAX_CONTEXT + 64;
const WHAT: &str = "key context";

/// What a content key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyContext {
    /// Coalition.
    pub coalition: CoalitionId,
    /// Group.
    pub group: GroupId,
    /// Whole group or without supervisors; never named recipients, whose keys are of another class.
    pub audience: Audience,
    /// The member that seals with it.
    pub author: MemberId,
    /// The log it is used in.
    pub log: LogId,
    /// Counts the keys of this log.
    pub epoch: u64,
    /// When it was made.
    pub created: Timestamp,
    /// The roster whose readers it was made for.
    pub roster: RosterVersion,
}

impl KeyContext {
    /// The one encoding, which the commitment covers.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        schema::KeyContext {
            coalition: self.coalition.to_vec(),
            group: self.group.get(),
            audience: self.audience.into(),
            author: self.author.to_vec(),
            log: self.log.to_vec(),
            epoch: self.epoch,
            created: self.created.as_micros(),
            roster: Some(self.roster.into()),
        }
        .encode_to_vec()
    }

    /// Reads and checks an encoded context.
    ///
    /// # Errors
    /// [`Malformed`], naming the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let wire: schema::KeyContext = decode_canonical(WHAT, bytes, MAX_CONTEXT)?;
        let field = |field, rule| Malformed::field(WHAT, field, rule);
        let audience = match Audience::try_from(wire.audience) {
            Ok(audience @ (Audience::Group | Audience::WithoutSupervisors)) => audience,
            Ok(Audience::Unspecified | Audience::Recipients) | Err(_) => {
                return Err(field("audience", "must be the group, with or without supervisors"));
            }
        };
        if wire.created == 0 || wire.created > Timestamp::MAX.as_micros() {
            return Err(field("created", "must be a time before year 9999"));
        }
        Ok(Self {
            coalition: CoalitionId::try_from(wire.coalition.as_slice())
                .map_err(|_| field("coalition", "must be 32 bytes"))?,
            group: header::group(WHAT, wire.group)?,
            audience,
            author: MemberId::try_from(wire.author.as_slice())
                .map_err(|_| field("author", "must be 16 bytes"))?,
            log: LogId::try_from(wire.log.as_slice()).map_err(|_| field("log", "must be 32 bytes"))?,
            epoch: wire.epoch,
            created: Timestamp::from_micros(wire.created),
            roster: header::roster(WHAT, wire.roster.as_ref())?,
        })
    }
}

impl KeyContext {
    /// The first thing in which the message with this header is not what the key was made for. Held to
    /// by author and readers alike: a key granted for one use is not to be stretched to a second.
    pub(super) fn other_use(&self, header: &Header) -> Option<&'static str> {
        [
            (self.coalition == header.coalition, "coalition"),
            (self.group == header.group, "group"),
            (self.audience == header.audience(), "audience"),
            (self.author == header.member, "author"),
            (self.log == header.log, "log"),
        ]
        .into_iter()
        .find_map(|(same, what)| (!same).then_some(what))
    }
}

/// Why a secret and a context are not the key they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The grant does not open with this node's KEM key.
    #[error("grant does not open")]
    Sealed,
    /// The context, or the grant around it, is malformed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Secret and context do not hash to the id asked for.
    #[error("key does not match its commitment")]
    Commitment,
    /// Made for another coalition.
    #[error("key belongs to another coalition")]
    OtherCoalition,
}

impl Judged for KeyError {
    /// On the peer that granted it: nothing here depends on a roster.
    fn verdict(&self) -> Verdict {
        match self {
            Self::Sealed | Self::Malformed(_) | Self::Commitment | Self::OtherCoalition => Verdict::Reject,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Sealed => "grant-sealed",
            Self::Malformed(_) => "grant-malformed",
            Self::Commitment => "key-commitment",
            Self::OtherCoalition => "key-other-coalition",
        }
    }
}

/// A content key whose id was computed from its secret and context.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey {
    secret: Secret,
    context: KeyContext,
    id: KeyId,
}

impl ContentKey {
    /// A fresh key for `context`.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(context: KeyContext, rng: &mut R) -> Self {
        let secret = Secret::generate(rng);
        let id = commitment(&secret, &context.encode());
        Self { secret, context, id }
    }

    /// Puts a stored or received key together again, recomputing its commitment.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] or [`KeyError::Commitment`]: these are not the parts of `expect`.
    pub fn from_parts(secret: Secret, context: &[u8], expect: KeyId) -> Result<Self, KeyError> {
        let id = commitment(&secret, context);
        if id != expect {
            return Err(KeyError::Commitment);
        }
        Ok(Self { context: KeyContext::decode(context)?, secret, id })
    }

    /// Seals this key to one reader. Whether that reader may have it is the grant rule's to say.
    #[must_use]
    pub fn grant_to<R: CryptoRng>(&self, reader: &KemPublic, rng: &mut R) -> Vec<u8> {
        let mut grant =
            schema::Grant { secret: self.secret.expose().to_vec(), context: self.context.encode() };
        let plain = Zeroizing::new(grant.encode_to_vec());
        grant.secret.zeroize();
        reader.seal(rng, &grant_info(self.context.coalition, self.id), &plain)
    }

    /// Opens a grant of the key `expect`.
    ///
    /// # Errors
    /// [`KeyError`]: the granting peer handed over something else.
    pub fn from_grant(
        kem: &KemSecret,
        coalition: CoalitionId,
        expect: KeyId,
        sealed: &[u8],
    ) -> Result<Self, KeyError> {
        let plain = kem.open(&grant_info(coalition, expect), sealed).map_err(|_| KeyError::Sealed)?;
        let plain = Zeroizing::new(plain);
        let mut grant: schema::Grant = decode_canonical("grant", &plain, MAX_GRANT)?;
        let secret = Secret::from_slice(&grant.secret);
        grant.secret.zeroize();
        let secret = secret.ok_or(Malformed::field("grant", "secret", "must be 32 bytes"))?;
        let key = Self::from_parts(secret, &grant.context, expect)?;
        if key.context.coalition != coalition {
            return Err(KeyError::OtherCoalition);
        }
        Ok(key)
    }

    /// What it is for.
    #[must_use]
    pub const fn context(&self) -> &KeyContext {
        &self.context
    }

    /// Its commitment.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// For the store, which seals it at rest.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The key of the body cipher.
    pub(super) fn body_key(&self) -> Secret {
        self.secret.derive(CONTENT_KEY, &[self.id.as_ref()])
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentKey({}, secret redacted)", self.id)
    }
}

fn commitment(secret: &Secret, context: &[u8]) -> KeyId {
    KeyId::new(*secret.derive(KEY_ID, &[context]).expose())
}

fn grant_info(coalition: CoalitionId, key: KeyId) -> Vec<u8> {
    Pae::new(GRANT).part(coalition.as_ref()).part(key.as_ref()).into_bytes()
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::id::{EntryId, Height};

    const COALITION: CoalitionId = CoalitionId::new([7; 32]);

    fn context() -> KeyContext {
        KeyContext {
            coalition: COALITION,
            group: GroupId::new(5),
            audience: Audience::Group,
            author: MemberId::new([1; 16]),
            log: LogId::new([2; 32]),
            epoch: 3,
            created: Timestamp::from_micros(1_000),
            roster: RosterVersion { height: Height::new(4), head: EntryId::new([9; 32]) },
        }
    }

    #[test]
    fn context_decodes_to_what_was_encoded() {
        assert_eq!(KeyContext::decode(&context().encode()), Ok(context()));
    }

    #[test]
    fn contexts_of_no_group_no_roster_or_named_recipients_are_refused() {
        let refused = [
            KeyContext { group: GroupId::new(0), ..context() },
            KeyContext { audience: Audience::Recipients, ..context() },
            KeyContext { audience: Audience::Unspecified, ..context() },
            KeyContext { created: Timestamp::ZERO, ..context() },
            KeyContext { roster: RosterVersion::EMPTY, ..context() },
        ];
        for context in refused {
            assert!(KeyContext::decode(&context.encode()).is_err(), "{context:?}");
        }
        let mut unknown_field = context().encode();
        unknown_field.extend([0x78, 1]);
        assert!(KeyContext::decode(&unknown_field).is_err());
    }

    #[test]
    fn grant_opens_only_for_its_reader_key_and_coalition() {
        let mut rng = StdRng::seed_from_u64(1);
        let key = ContentKey::generate(context(), &mut rng);
        let (reader, other) = (KemSecret::generate(&mut rng), KemSecret::generate(&mut rng));
        let sealed = key.grant_to(&reader.public(), &mut rng);
        assert_eq!(ContentKey::from_grant(&reader, COALITION, key.id(), &sealed), Ok(key.clone()));
        let refused = |kem, coalition, id| ContentKey::from_grant(kem, coalition, id, &sealed);
        assert_eq!(refused(&other, COALITION, key.id()), Err(KeyError::Sealed));
        assert_eq!(refused(&reader, CoalitionId::ZERO, key.id()), Err(KeyError::Sealed));
        assert_eq!(refused(&reader, COALITION, KeyId::ZERO), Err(KeyError::Sealed));
    }

    #[test]
    fn a_holder_cannot_serve_another_key_under_an_id() {
        let mut rng = StdRng::seed_from_u64(2);
        let key = ContentKey::generate(context(), &mut rng);
        let reader = KemSecret::generate(&mut rng);
        let serve = |secret: &Secret, context: &KeyContext, rng: &mut StdRng| {
            let grant = schema::Grant { secret: secret.expose().to_vec(), context: context.encode() };
            let sealed = reader.public().seal(rng, &grant_info(COALITION, key.id()), &grant.encode_to_vec());
            ContentKey::from_grant(&reader, COALITION, key.id(), &sealed)
        };
        assert!(serve(key.secret(), &context(), &mut rng).is_ok());
        assert_eq!(serve(&Secret::new([0; 32]), &context(), &mut rng), Err(KeyError::Commitment));
        // A widened context would let any holder judge the key by a friendlier rule.
        let widened = KeyContext { group: GroupId::new(6), ..context() };
        assert_eq!(serve(key.secret(), &widened, &mut rng), Err(KeyError::Commitment));
    }

    #[test]
    fn content_keys_do_not_print() {
        let key = ContentKey::from_parts(
            Secret::new([9; 32]),
            &context().encode(),
            commitment(&Secret::new([9; 32]), &context().encode()),
        )
        .unwrap();
        assert!(!format!("{key:?}").contains(&hex::encode([9; 32])));
        assert_ne!(key.body_key(), *key.secret());
    }
}
