//! Recipient keys: what opens one message to named members (TLP:RED, or anything narrower than a group).
//!
//! A class apart from content keys: never requested, never granted, so no holder can be talked into
//! passing one on. The key travels with its message in a *block*: one HPKE stanza (RFC 9180 §5.1.1) for
//! each recipient node, shuffled, filled up to 8, 16 or 32 with real seals to discarded keys, without
//! names or hints. Whoever holds the message learns a ceiling of how many nodes it is for, nothing more.

use std::fmt;

use prost::Message;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    crypto::{
        hpke::{self, KemPublic, KemSecret},
        pae::Pae,
        secret::Secret,
    },
    envelope::header::Header,
    id::{CoalitionId, GroupId, KeyId, LogId, MemberId, Sequence},
    limits::MAX_RECIPIENTS,
    schema::{self, Malformed, decode_canonical},
    time::Timestamp,
};

/// Commitment of a recipient key.
const KEY_ID: &str = "belfry/v1/recipient-key-id";
/// The key that seals the body.
const RECIPIENT_KEY: &str = "belfry/v1/recipient-key";
/// HPKE info of a stanza.
const STANZA: &str = "belfry/v1/recipient";
/// Bytes of one stanza: the seal of a 32-byte secret.
pub const STANZA_LEN: usize = hpke::OVERHEAD + 32;
/// Sizes a block is padded to: few, so that a size says little.
pub const BLOCK_SIZES: [usize; 3] = [8, 16, MAX_RECIPIENTS];
/// Bytes of the largest block, with three bytes of tag and length a stanza.
const MAX_BLOCK: usize = MAX_RECIPIENTS * (STANZA_LEN + 3);
const WHAT: &str = "recipients block";

/// Binds a recipient key to one message; every field stands in that message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientContext {
    /// Coalition.
    pub coalition: CoalitionId,
    /// Group the message goes out in.
    pub group: GroupId,
    /// Member that writes it.
    pub author: MemberId,
    /// Log it stands in.
    pub log: LogId,
    /// Its position there.
    pub sequence: Sequence,
    /// Its time.
    pub created: Timestamp,
}

impl RecipientContext {
    /// The context of the message with this header.
    #[must_use]
    pub const fn of(header: &Header) -> Self {
        Self {
            coalition: header.coalition,
            group: header.group,
            author: header.member,
            log: header.log,
            sequence: header.sequence,
            created: header.created,
        }
    }

    fn encode(&self) -> Vec<u8> {
        schema::RecipientContext {
            coalition: self.coalition.to_vec(),
            group: self.group.get(),
            author: self.author.to_vec(),
            log: self.log.to_vec(),
            sequence: self.sequence.get(),
            created: self.created.as_micros(),
        }
        .encode_to_vec()
    }
}

/// Why a block cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientsError {
    /// A message to nobody.
    #[error("no recipient named")]
    Nobody,
    /// More nodes than one block holds.
    #[error("{0} recipient nodes, over the limit of 32 in one message")]
    TooMany(usize),
}

/// The key of one message, tied to it by its context.
#[derive(Clone, PartialEq, Eq)]
pub struct RecipientKey {
    secret: Secret,
    context: RecipientContext,
    id: KeyId,
}

impl RecipientKey {
    /// Its commitment.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The message it belongs to.
    #[must_use]
    pub const fn context(&self) -> &RecipientContext {
        &self.context
    }

    /// The key of the body cipher.
    pub(super) fn body_key(&self) -> Secret {
        self.secret.derive(RECIPIENT_KEY, &[self.id.as_ref()])
    }

    fn new(secret: Secret, context: RecipientContext) -> Self {
        let id = KeyId::new(*secret.derive(KEY_ID, &[&context.encode()]).expose());
        Self { secret, context, id }
    }
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientKey({}, secret redacted)", self.id)
    }
}

/// Makes a fresh key for the message of `context` and seals it to `recipients`: every valid certificate
/// of every recipient member, and the author's own nodes if they are to read it. Equal keys count once.
///
/// # Errors
/// [`RecipientsError`]; no key is made.
pub fn seal_block<R: CryptoRng>(
    recipients: &[KemPublic],
    context: RecipientContext,
    rng: &mut R,
) -> Result<(RecipientKey, Vec<u8>), RecipientsError> {
    let recipients: std::collections::BTreeSet<&KemPublic> = recipients.iter().collect();
    if recipients.is_empty() {
        return Err(RecipientsError::Nobody);
    }
    let size = BLOCK_SIZES
        .into_iter()
        .find(|size| *size >= recipients.len())
        .ok_or(RecipientsError::TooMany(recipients.len()))?;
    let key = RecipientKey::new(Secret::generate(rng), context);
    let info = stanza_info(&context);
    let mut stanzas: Vec<Vec<u8>> =
        recipients.iter().map(|recipient| recipient.seal(rng, &info, key.secret.expose())).collect();
    while stanzas.len() < size {
        // Sealed like the others, to a key and of a secret that nobody keeps.
        let nobody = KemSecret::generate(rng).public();
        let nothing = Secret::generate(rng);
        stanzas.push(nobody.seal(rng, &info, nothing.expose()));
    }
    shuffle(&mut stanzas, rng);
    Ok((key, schema::Recipients { stanzas }.encode_to_vec()))
}

/// Tries every stanza with this node's KEM key. `None`: this node is no recipient, or the author's
/// block does not hold the key that the header committed to.
///
/// Costs up to 32 decapsulations, so it runs last, under the author's budget.
#[must_use]
pub fn open_block(
    kem: &KemSecret,
    context: RecipientContext,
    block: &[u8],
    expect: KeyId,
) -> Option<RecipientKey> {
    let info = stanza_info(&context);
    read_block(block).ok()?.stanzas.iter().find_map(|stanza| {
        let secret = Zeroizing::new(kem.open(&info, stanza).ok()?);
        let key = RecipientKey::new(Secret::from_slice(&secret)?, context);
        (key.id == expect).then_some(key)
    })
}

/// A block that decodes, of an allowed size, with stanzas of the one length.
pub(super) fn check_block(block: &[u8]) -> Result<(), Malformed> {
    read_block(block).map(drop)
}

fn read_block(block: &[u8]) -> Result<schema::Recipients, Malformed> {
    let recipients: schema::Recipients = decode_canonical(WHAT, block, MAX_BLOCK)?;
    if !BLOCK_SIZES.contains(&recipients.stanzas.len()) {
        return Err(Malformed::field(WHAT, "stanzas", "must be 8, 16 or 32"));
    }
    if recipients.stanzas.iter().any(|stanza| stanza.len() != STANZA_LEN) {
        return Err(Malformed::field(WHAT, "stanzas", "must be 1168 bytes each"));
    }
    Ok(recipients)
}

fn stanza_info(context: &RecipientContext) -> Vec<u8> {
    Pae::new(STANZA).part(context.coalition.as_ref()).part(&context.encode()).into_bytes()
}

/// Fisher–Yates; the widening product's bias is below 2⁻⁵⁸.
fn shuffle<T, R: CryptoRng + ?Sized>(items: &mut [T], rng: &mut R) {
    for last in (1..items.len()).rev() {
        let wide = u128::from(rng.next_u64()) * (last as u128 + 1);
        items.swap(last, usize::try_from(wide >> 64).unwrap_or(last));
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn context() -> RecipientContext {
        RecipientContext {
            coalition: CoalitionId::new([7; 32]),
            group: GroupId::new(5),
            author: MemberId::new([1; 16]),
            log: LogId::new([2; 32]),
            sequence: Sequence::new(3),
            created: Timestamp::from_micros(1_000),
        }
    }

    fn nodes(n: usize, rng: &mut StdRng) -> (Vec<KemSecret>, Vec<KemPublic>) {
        let secrets: Vec<KemSecret> = (0..n).map(|_| KemSecret::generate(rng)).collect();
        let publics = secrets.iter().map(KemSecret::public).collect();
        (secrets, publics)
    }

    #[test]
    fn block_opens_for_each_recipient_and_nobody_else() {
        let mut rng = StdRng::seed_from_u64(1);
        let (secrets, publics) = nodes(3, &mut rng);
        let (key, block) = seal_block(&publics, context(), &mut rng).unwrap();
        for secret in &secrets {
            assert_eq!(open_block(secret, context(), &block, key.id()).as_ref(), Some(&key));
        }
        let stranger = KemSecret::generate(&mut rng);
        assert_eq!(open_block(&stranger, context(), &block, key.id()), None);
        assert_eq!(open_block(&secrets[0], context(), &block, KeyId::ZERO), None);
    }

    #[test]
    fn block_is_bound_to_its_message() {
        let mut rng = StdRng::seed_from_u64(2);
        let (secrets, publics) = nodes(1, &mut rng);
        let (key, block) = seal_block(&publics, context(), &mut rng).unwrap();
        let elsewhere = [
            RecipientContext { coalition: CoalitionId::ZERO, ..context() },
            RecipientContext { group: GroupId::new(6), ..context() },
            RecipientContext { author: MemberId::ZERO, ..context() },
            RecipientContext { log: LogId::ZERO, ..context() },
            RecipientContext { sequence: Sequence::new(4), ..context() },
            RecipientContext { created: Timestamp::from_micros(1_001), ..context() },
        ];
        for context in elsewhere {
            assert_eq!(open_block(&secrets[0], context, &block, key.id()), None, "{context:?}");
        }
    }

    #[test]
    fn blocks_are_padded_to_8_16_or_32_stanzas_of_one_length() {
        let mut rng = StdRng::seed_from_u64(3);
        for (recipients, stanzas) in [(1, 8), (8, 8), (9, 16), (17, 32), (32, 32)] {
            let (_, publics) = nodes(recipients, &mut rng);
            let (_, block) = seal_block(&publics, context(), &mut rng).unwrap();
            let block = schema::Recipients::decode(block.as_slice()).unwrap();
            assert_eq!(block.stanzas.len(), stanzas);
            assert!(block.stanzas.iter().all(|stanza| stanza.len() == STANZA_LEN));
        }
    }

    #[test]
    fn nobody_and_too_many_are_refused() {
        let mut rng = StdRng::seed_from_u64(4);
        let (_, publics) = nodes(33, &mut rng);
        assert_eq!(seal_block(&[], context(), &mut rng), Err(RecipientsError::Nobody));
        assert_eq!(seal_block(&publics, context(), &mut rng), Err(RecipientsError::TooMany(33)));
        let repeated = vec![publics[0].clone(); 40];
        assert!(seal_block(&repeated, context(), &mut rng).is_ok());
    }

    #[test]
    fn recipients_do_not_stand_in_the_order_they_were_named() {
        let mut rng = StdRng::seed_from_u64(5);
        let (secrets, publics) = nodes(8, &mut rng);
        let positions = |block: &[u8]| -> Vec<usize> {
            let block = schema::Recipients::decode(block).unwrap();
            let info = stanza_info(&context());
            let opens = |kem: &KemSecret| block.stanzas.iter().position(|s| kem.open(&info, s).is_ok());
            secrets.iter().filter_map(opens).collect()
        };
        let mut seen: Vec<Vec<usize>> =
            (0..3).map(|_| positions(&seal_block(&publics, context(), &mut rng).unwrap().1)).collect();
        seen.dedup();
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn blocks_of_other_sizes_are_malformed() {
        let block = |count, len| schema::Recipients { stanzas: vec![vec![0; len]; count] }.encode_to_vec();
        assert_eq!(check_block(&block(8, STANZA_LEN)), Ok(()));
        assert_eq!(check_block(&block(32, STANZA_LEN)), Ok(()));
        for (count, len) in [(0, STANZA_LEN), (7, STANZA_LEN), (33, STANZA_LEN), (8, STANZA_LEN - 1)] {
            assert!(check_block(&block(count, len)).is_err(), "{count} × {len}");
        }
    }
}
