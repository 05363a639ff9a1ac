//! The ladder downwards: a draft becomes an envelope, at flush.
//!
//! Log, sequence, key and roster are assigned by the caller (`publish`), which knows what is durable;
//! here they are only held to what every reader will hold them to. What leaves is decoded once more by
//! the readers' own function, so a mistake shows at its author and not at two hundred peers.

use prost::Message;
use rand_core::CryptoRng;

use crate::{
    crypto::{
        hash,
        sign::{Purpose, SigningKey},
    },
    envelope::{
        body::{self, TooLarge},
        content_key::ContentKey,
        decode::{DecodeError, Decoded, decode, signed_parts},
        header::{Content, Header, INSTANCE_LEN, NONCE_LEN, Sealing, Withdrawal},
        recipients::{RecipientContext, RecipientKey},
    },
    id::{CoalitionId, GroupId, LogId, MessageId, RosterVersion, Sequence},
    limits::MAX_KEY_AGE,
    schema::{self, Audience},
    time::Timestamp,
    trust::certificate::Certificate,
};

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// Coalition.
    pub coalition: CoalitionId,
    /// This node's certificate.
    pub certificate: &'a Certificate,
    /// The certificate's signing key.
    pub signing: &'a SigningKey,
    /// The newest roster held.
    pub roster: RosterVersion,
}

/// Where in which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Group.
    pub group: GroupId,
    /// Random bytes that made the log id.
    pub instance: [u8; INSTANCE_LEN],
    /// The log that this one continues.
    pub predecessor: Option<LogId>,
    /// Next free sequence.
    pub sequence: Sequence,
    /// Message at the sequence before; zero at 1.
    pub prev: MessageId,
}

/// What is written.
#[derive(Clone, Debug)]
pub enum Draft<'a> {
    /// An encoded [`schema::Payload`] and the key to seal it with, which also says for whom.
    Data {
        /// Payload bytes, at most 1 MiB.
        payload: &'a [u8],
        /// Key.
        key: SealWith<'a>,
    },
    /// Earlier messages no longer stand.
    Withdrawal(Withdrawal),
}

/// The key of a body; its class and context decide the audience.
#[derive(Clone, Copy, Debug)]
pub enum SealWith<'a> {
    /// For a group's readers.
    Content(&'a ContentKey),
    /// For named members, with the block that carries the key to them.
    Recipient {
        /// Key of this one message.
        key: &'a RecipientKey,
        /// Its block.
        block: &'a [u8],
    },
}

/// Why nothing was sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorError {
    /// The signing key is not the certificate's.
    #[error("signing key is not the one in the certificate")]
    OtherSigningKey,
    /// Every reader would refuse it for good.
    #[error("certificate is not valid at {0}")]
    OutsideValidity(Timestamp),
    /// The key was made for something else.
    #[error("key was made for another {0}")]
    OtherUse(&'static str),
    /// A fresh key is due.
    #[error("content key is older than 7 days")]
    KeyTooOld,
    /// Split it.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Readers would refuse the result: position, targets or recipients block break a rule.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
}

/// Id of the log that `certificate` opens in `group` with the random `instance`.
#[must_use]
pub fn log_id(
    coalition: CoalitionId,
    group: GroupId,
    certificate: &Certificate,
    instance: &[u8; INSTANCE_LEN],
) -> LogId {
    hash::log_id(
        coalition,
        group.get(),
        certificate.member,
        certificate.signing.as_bytes(),
        certificate.node.as_bytes(),
        instance,
    )
}

/// Seals and signs one message, created `now`. The result climbs the ladder like anyone's, under
/// [`super::Origin::Own`].
///
/// # Errors
/// [`AuthorError`]; no sequence is used up.
pub fn seal_message<R: CryptoRng + ?Sized>(
    draft: &Draft<'_>,
    position: &Position,
    author: &Author<'_>,
    now: Timestamp,
    rng: &mut R,
) -> Result<Decoded, AuthorError> {
    let certificate = author.certificate;
    if author.signing.public() != certificate.signing {
        return Err(AuthorError::OtherSigningKey);
    }
    if now < certificate.not_before || now >= certificate.not_after {
        return Err(AuthorError::OutsideValidity(now));
    }
    let content = match draft {
        Draft::Data { key, .. } => {
            let mut nonce = [0; NONCE_LEN];
            rng.fill_bytes(&mut nonce);
            Content::Data(key.sealing(nonce))
        }
        Draft::Withdrawal(withdrawal) => Content::Withdrawal(withdrawal.clone()),
    };
    let header = Header {
        coalition: author.coalition,
        group: position.group,
        member: certificate.member,
        serial: certificate.serial,
        log: log_id(author.coalition, position.group, certificate, &position.instance),
        instance: position.instance,
        predecessor: position.predecessor,
        sequence: position.sequence,
        prev: position.prev,
        created: now,
        content,
        roster: author.roster,
    };
    let header_bytes = header.to_wire().encode_to_vec();
    let (body, recipients) = match draft {
        Draft::Data { payload, key } => {
            let (body_key, block) = key.fit(&header)?;
            let prepared = body::prepare(payload)?;
            let nonce = header.sealing().map(|sealing| sealing.nonce).unwrap_or_default();
            let body = body::seal(&body_key, &nonce, header.coalition, &header_bytes, &prepared);
            (Some(body), block.map(<[u8]>::to_vec))
        }
        Draft::Withdrawal(_) => (None, None),
    };
    let sealed = body.as_deref().unwrap_or_default();
    let (body_hash, body_len) = (hash::body(sealed), sealed.len() as u64);
    let signature = signed_parts(&header_bytes, &body_hash, body_len, |parts| {
        author.signing.sign(Purpose::Envelope, author.coalition, parts)
    });
    let envelope = schema::Envelope {
        header: header_bytes,
        body_hash: body_hash.to_vec(),
        body_len,
        signature: signature.to_vec(),
        recipients,
        body,
    };
    Ok(decode(&envelope.encode_to_vec())?)
}

impl<'a> SealWith<'a> {
    fn sealing(&self, nonce: [u8; NONCE_LEN]) -> Sealing {
        match self {
            Self::Content(key) => {
                Sealing { audience: key.context().audience, key: key.id(), nonce, recipients: None }
            }
            Self::Recipient { key, block } => Sealing {
                audience: Audience::Recipients,
                key: key.id(),
                nonce,
                recipients: Some(hash::recipients(block)),
            },
        }
    }

    /// The cipher key and the block, if the key was made for the message with this header.
    fn fit(&self, header: &Header) -> Result<(crate::crypto::secret::Secret, Option<&'a [u8]>), AuthorError> {
        match self {
            Self::Content(key) => {
                if let Some(what) = key.context().other_use(header) {
                    return Err(AuthorError::OtherUse(what));
                }
                if header.created.since(key.context().created) > MAX_KEY_AGE {
                    return Err(AuthorError::KeyTooOld);
                }
                Ok((key.body_key(), None))
            }
            Self::Recipient { key, block } => {
                if *key.context() != RecipientContext::of(header) {
                    return Err(AuthorError::OtherUse("message"));
                }
                Ok((key.body_key(), Some(block)))
            }
        }
    }
}
