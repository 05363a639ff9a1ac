//! The header, typed: every field checked once, so that no later rung asks "is this 32 bytes?".
//!
//! The author encodes it once; from then on the received bytes are what is hashed, signed and stored,
//! and this type is only a reading of them.

use crate::{
    id::{CoalitionId, GroupId, KeyId, LogId, MemberId, MessageId, RosterVersion, Sequence, Serial},
    limits::{MAX_HEADER, MAX_SEQUENCE, MAX_TARGETS},
    schema::{self, Audience, Malformed, WithdrawalGround, WithdrawalMode, decode_canonical},
    time::Timestamp,
};

const WHAT: &str = "header";
/// Bytes of a log's random instance.
pub const INSTANCE_LEN: usize = 16;
/// Bytes of a body's nonce.
pub const NONCE_LEN: usize = crate::crypto::seal::NONCE_LEN;

/// What a message says of itself in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Coalition it was written for.
    pub coalition: CoalitionId,
    /// Group it was written to.
    pub group: GroupId,
    /// Who claims to have written it.
    pub member: MemberId,
    /// Certificate whose key signs.
    pub serial: Serial,
    /// Log it stands in.
    pub log: LogId,
    /// Random part of the log id.
    pub instance: [u8; INSTANCE_LEN],
    /// Log that this one continues.
    pub predecessor: Option<LogId>,
    /// Position in the log, from 1.
    pub sequence: Sequence,
    /// Message at the position before; zero at position 1.
    pub prev: MessageId,
    /// The author's clock.
    pub created: Timestamp,
    /// What it carries.
    pub content: Content,
    /// The roster that the author acted by.
    pub roster: RosterVersion,
}

/// What a message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A sealed body.
    Data(Sealing),
    /// Cleartext word that earlier messages no longer stand; never has a body, and concerns the whole group.
    Withdrawal(Withdrawal),
}

/// How a body is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Who can open it.
    pub audience: Audience,
    /// Commitment of the content key, or of the recipient key for [`Audience::Recipients`].
    pub key: KeyId,
    /// Random nonce of the body.
    pub nonce: [u8; NONCE_LEN],
    /// Hash of the recipients block; present exactly for [`Audience::Recipients`].
    pub recipients: Option<[u8; 32]>,
}

/// Which messages are withdrawn, how and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Message ids, distinct, at least one.
    pub targets: Vec<MessageId>,
    /// Retract or erase; never unspecified.
    pub mode: WithdrawalMode,
    /// A code, because the header is read by all; never unspecified.
    pub ground: WithdrawalGround,
}

impl Header {
    /// Reads and checks an encoded header.
    ///
    /// # Errors
    /// [`Malformed`], naming the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let wire: schema::Header = decode_canonical(WHAT, bytes, MAX_HEADER)?;
        let header = Self {
            coalition: id(&wire.coalition, "coalition", THIRTY_TWO)?,
            group: group(WHAT, wire.group)?,
            member: id(&wire.member, "member", "must be 16 bytes")?,
            serial: Serial::new(wire.serial),
            log: id(&wire.log, "log", THIRTY_TWO)?,
            instance: array(&wire.log_instance, "log_instance", "must be 16 bytes")?,
            predecessor: match wire.predecessor.as_slice() {
                [] => None,
                bytes => Some(id(bytes, "predecessor", "must be empty or 32 bytes")?),
            },
            sequence: Sequence::new(wire.sequence),
            prev: id(&wire.prev, "prev", THIRTY_TWO)?,
            created: Timestamp::from_micros(wire.created),
            content: content(&wire)?,
            roster: roster(WHAT, wire.roster.as_ref())?,
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), Malformed> {
        let first = self.sequence.get() == 1;
        let rules = [
            (self.serial.get() >= 1, "serial", "must be at least 1"),
            // A certificate is its issuing entry; nobody can have acted by a roster without it.
            (self.serial.get() <= self.roster.height.get(), "roster", "must contain the certificate"),
            ((1..=MAX_SEQUENCE).contains(&self.sequence.get()), "sequence", "must lie between 1 and 2^53"),
            (first == (self.prev == MessageId::ZERO), "prev", "must be zero at sequence 1 and only there"),
            (self.predecessor != Some(self.log), "predecessor", "must be another log"),
            (self.created != Timestamp::ZERO, "created", "must be set"),
            (self.created <= Timestamp::MAX, "created", "must not lie beyond year 9999"),
        ];
        for (holds, field, rule) in rules {
            if !holds {
                return Err(Malformed::field(WHAT, field, rule));
            }
        }
        Ok(())
    }

    /// The wire form; [`Header::decode`] of its encoding is `self` again.
    #[must_use]
    pub fn to_wire(&self) -> schema::Header {
        let mut wire = schema::Header {
            coalition: self.coalition.to_vec(),
            group: self.group.get(),
            member: self.member.to_vec(),
            serial: self.serial.get(),
            log: self.log.to_vec(),
            log_instance: self.instance.to_vec(),
            predecessor: self.predecessor.map(|log| log.to_vec()).unwrap_or_default(),
            sequence: self.sequence.get(),
            prev: self.prev.to_vec(),
            created: self.created.as_micros(),
            audience: self.audience().into(),
            roster: Some(self.roster.into()),
            ..schema::Header::default()
        };
        match &self.content {
            Content::Data(sealing) => {
                wire.kind = schema::Kind::Data.into();
                wire.key_id = sealing.key.to_vec();
                wire.nonce = sealing.nonce.to_vec();
                wire.recipients_hash = sealing.recipients.map(|hash| hash.to_vec()).unwrap_or_default();
            }
            Content::Withdrawal(withdrawal) => {
                wire.kind = schema::Kind::Withdrawal.into();
                wire.targets = withdrawal.targets.iter().map(MessageId::to_vec).collect();
                wire.withdrawal_mode = withdrawal.mode.into();
                wire.withdrawal_ground = withdrawal.ground.into();
            }
        }
        wire
    }

    /// How the body is sealed; `None` for a withdrawal.
    #[must_use]
    pub const fn sealing(&self) -> Option<&Sealing> {
        match &self.content {
            Content::Data(sealing) => Some(sealing),
            Content::Withdrawal(_) => None,
        }
    }

    /// What is withdrawn; `None` for data.
    #[must_use]
    pub const fn withdrawal(&self) -> Option<&Withdrawal> {
        match &self.content {
            Content::Data(_) => None,
            Content::Withdrawal(withdrawal) => Some(withdrawal),
        }
    }

    /// Key that the body is sealed with.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        self.sealing().map(|sealing| sealing.key)
    }

    /// Who can read it.
    #[must_use]
    pub fn audience(&self) -> Audience {
        self.sealing().map_or(Audience::Group, |sealing| sealing.audience)
    }
}

const THIRTY_TWO: &str = "must be 32 bytes";

fn content(wire: &schema::Header) -> Result<Content, Malformed> {
    let field = |field, rule| Malformed::field(WHAT, field, rule);
    match schema::Kind::try_from(wire.kind) {
        Ok(schema::Kind::Data) => {
            if !wire.targets.is_empty() {
                return Err(field("targets", "must be empty for data"));
            }
            if wire.withdrawal_mode != 0 || wire.withdrawal_ground != 0 {
                return Err(field("withdrawal_mode", "and ground must be unset for data"));
            }
            let audience = match Audience::try_from(wire.audience) {
                Ok(audience) if audience != Audience::Unspecified => audience,
                _ => return Err(field("audience", "must be a known audience")),
            };
            let recipients = match (audience, wire.recipients_hash.as_slice()) {
                (Audience::Recipients, hash) => Some(array(
                    hash,
                    "recipients_hash",
                    "must be 32 bytes when the audience is named members",
                )?),
                (_, []) => None,
                _ => {
                    return Err(field(
                        "recipients_hash",
                        "must be empty unless the audience is named members",
                    ));
                }
            };
            Ok(Content::Data(Sealing {
                audience,
                key: id(&wire.key_id, "key_id", THIRTY_TWO)?,
                nonce: array(&wire.nonce, "nonce", "must be 24 bytes")?,
                recipients,
            }))
        }
        Ok(schema::Kind::Withdrawal) => {
            if !wire.key_id.is_empty() || !wire.nonce.is_empty() || !wire.recipients_hash.is_empty() {
                return Err(field("key_id", "nonce and recipients_hash must be empty for a withdrawal"));
            }
            if wire.audience != i32::from(Audience::Group) {
                return Err(field("audience", "must be the group for a withdrawal"));
            }
            if wire.targets.is_empty() || wire.targets.len() > MAX_TARGETS {
                return Err(field("targets", "must be 1 to 256 for a withdrawal"));
            }
            let targets = wire
                .targets
                .iter()
                .map(|target| id(target, "targets", "must be 32 bytes each"))
                .collect::<Result<Vec<MessageId>, _>>()?;
            let distinct: std::collections::BTreeSet<_> = targets.iter().collect();
            if distinct.len() != targets.len() {
                return Err(field("targets", "must be distinct"));
            }
            let mode = match WithdrawalMode::try_from(wire.withdrawal_mode) {
                Ok(mode) if mode != WithdrawalMode::Unspecified => mode,
                _ => return Err(field("withdrawal_mode", "must be a known mode")),
            };
            let ground = match WithdrawalGround::try_from(wire.withdrawal_ground) {
                Ok(ground) if ground != WithdrawalGround::Unspecified => ground,
                _ => return Err(field("withdrawal_ground", "must be a known ground")),
            };
            Ok(Content::Withdrawal(Withdrawal { targets, mode, ground }))
        }
        Ok(schema::Kind::Unspecified) | Err(_) => Err(field("kind", "must be a known kind")),
    }
}

fn id<'a, T: TryFrom<&'a [u8]>>(
    bytes: &'a [u8],
    field: &'static str,
    rule: &'static str,
) -> Result<T, Malformed> {
    T::try_from(bytes).map_err(|_| Malformed::field(WHAT, field, rule))
}

fn array<const N: usize>(
    bytes: &[u8],
    field: &'static str,
    rule: &'static str,
) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed::field(WHAT, field, rule))
}

/// A group number that names a group; 0 stands for the admin topic.
pub(super) fn group(what: &'static str, number: u32) -> Result<GroupId, Malformed> {
    match number {
        0 => Err(Malformed::field(what, "group", "must not be 0")),
        number => Ok(GroupId::new(number)),
    }
}

/// A roster version that is there and not the empty log.
pub(super) fn roster(
    what: &'static str,
    wire: Option<&schema::RosterVersion>,
) -> Result<RosterVersion, Malformed> {
    let rule = "must have a height and a 32-byte head";
    let version = wire.and_then(|wire| RosterVersion::try_from(wire).ok());
    version.filter(|version| version.height.get() >= 1).ok_or(Malformed::field(what, "roster", rule))
}
