//! Names of things: fixed-size newtypes that cannot be mixed up.
//!
//! Every id that is a hash says what it hashes; the hashing itself is [`crate::crypto::hash`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not the id it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} is {digits} hex digits")]
pub struct IdError {
    what: &'static str,
    digits: usize,
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Bytes of this id.
            pub const LEN: usize = $len;
            /// All zero: stands for "none before this one" in chains.
            pub const ZERO: Self = Self([0; $len]);

            /// From its bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// A copy on the heap, as the wire schema wants it.
            #[must_use]
            pub fn to_vec(&self) -> Vec<u8> {
                self.0.to_vec()
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;
            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                bytes.try_into().map(Self).map_err(|_| IdError { what: $what, digits: 2 * $len })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| IdError { what: $what, digits: 2 * $len })?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

byte_id!(
    /// Hash of the payload of charter version 1; what a member pins at enrolment.
    CoalitionId, 32, "coalition id"
);
byte_id!(
    /// Hash of a charter's payload.
    CharterId, 32, "charter id"
);
byte_id!(
    /// Hash of a statement's payload.
    StatementId, 32, "statement id"
);
byte_id!(
    /// Hash of a log entry's payload.
    EntryId, 32, "entry id"
);
byte_id!(
    /// Random, fixed at a member's first issue.
    MemberId, 16, "member id"
);
byte_id!(
    /// Hash of coalition, group, member, signing key, node key and a random instance.
    LogId, 32, "log id"
);
byte_id!(
    /// Hash of header, body hash, body length and signature.
    MessageId, 32, "message id"
);
byte_id!(
    /// Hash of topic and every byte received; gossipsub's own notion of "the same message".
    GossipId, 32, "gossip id"
);
byte_id!(
    /// Commitment to a content or recipient key and its context.
    KeyId, 32, "key id"
);
byte_id!(
    /// Random, names one publication of one or more messages.
    PublicationId, 16, "publication id"
);

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $repr:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($repr);

        impl $name {
            /// From its number.
            #[must_use]
            pub const fn new(number: $repr) -> Self {
                Self(number)
            }

            /// Its number.
            #[must_use]
            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A Focus Group or circle; never 0, which stands for the admin topic.
    GroupId, u32
);
number_id!(
    /// A certificate: the height of its issuing log entry.
    Serial, u64
);
number_id!(
    /// Position in a publisher's log, from 1.
    Sequence, u64
);
number_id!(
    /// Position in the admin log, from 1; 0 is the empty log.
    Height, u64
);

/// A position in the admin log with the entry found there; says which roster is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RosterVersion {
    /// Entries folded.
    pub height: Height,
    /// Entry id at that height; zero at height 0.
    pub head: EntryId,
}

impl RosterVersion {
    /// The empty log.
    pub const EMPTY: Self = Self { height: Height::new(0), head: EntryId::ZERO };
}

impl fmt::Display for RosterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.height,
            hex::encode(self.head.as_bytes().first_chunk::<4>().unwrap_or(&[0; 4]))
        )
    }
}

impl From<RosterVersion> for crate::schema::RosterVersion {
    fn from(version: RosterVersion) -> Self {
        Self { height: version.height.get(), head: version.head.to_vec() }
    }
}

impl TryFrom<&crate::schema::RosterVersion> for RosterVersion {
    type Error = IdError;
    fn try_from(wire: &crate::schema::RosterVersion) -> Result<Self, IdError> {
        Ok(Self { height: Height::new(wire.height), head: EntryId::try_from(wire.head.as_slice())? })
    }
}
