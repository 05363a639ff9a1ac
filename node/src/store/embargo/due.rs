//! What is due because an embargo ends, as rows of [`Cf::Embargoes`]: by when, then by what.

use belfry_proto::{
    id::{GroupId, MemberId, MessageId},
    time::Timestamp,
};
use prost::Message;

use super::keepers::BY_OBJECT;
use crate::store::{
    ReadError, Store,
    columns::{self, Cf, Key},
    ownership::Claimed,
    vault::damaged,
};

/// Something that is due because an embargo ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embargo {
    /// A message's, or that of one of its objects.
    Message {
        /// When it ends.
        ends: Timestamp,
        /// Whose.
        message: MessageId,
    },
    /// What kept a row inside is gone: due at once.
    Row {
        /// Its group.
        group: GroupId,
        /// When it was added.
        added: Timestamp,
        /// Until when it would have been kept.
        until: Timestamp,
    },
    /// What kept others' word of an object inside is gone: due at once.
    Object {
        /// Its group.
        group: GroupId,
        /// Its id, as the index has it.
        object: [u8; 16],
        /// Who asked for that.
        member: MemberId,
    },
}

impl Embargo {
    /// When it is due.
    #[must_use]
    pub const fn due(self) -> Timestamp {
        match self {
            Self::Message { ends, .. } => ends,
            Self::Row { .. } | Self::Object { .. } => Timestamp::ZERO,
        }
    }

    /// Where it stands in [`Cf::Embargoes`], and what at first.
    pub(in crate::store) fn row(self) -> (Vec<u8>, Vec<u8>) {
        let key = Key::default().u64(self.due().as_micros());
        match self {
            Self::Message { message, .. } => (key.bytes(message.as_ref()).done(), Vec::new()),
            Self::Row { group, added, until } => (
                key.bytes(&columns::object(group, added.as_micros())).done(),
                until.as_micros().to_be_bytes().to_vec(),
            ),
            Self::Object { group, object, member } => {
                let key = key.u32(group.get()).bytes(&object).bytes(member.as_ref());
                (key.done(), Gone::default().encode_to_vec())
            }
        }
    }

    /// `None` of a row by object, behind which nothing is due.
    fn read(key: &[u8], value: &[u8]) -> Result<Option<Self>, ReadError> {
        let fault = || damaged(Cf::Embargoes, key, "does not decode");
        if key.first() == Some(&BY_OBJECT) {
            return Ok(None);
        }
        let (ends, of) = key.split_first_chunk::<8>().ok_or_else(fault)?;
        if let Some((group, added)) = columns::read_object(of) {
            let until = value.try_into().map(u64::from_be_bytes).map_err(|_| fault())?;
            let (added, until) = (Timestamp::from_micros(added), Timestamp::from_micros(until));
            return Ok(Some(Self::Row { group, added, until }));
        }
        let ends = Timestamp::from_micros(u64::from_be_bytes(*ends));
        if let Ok(message) = MessageId::try_from(of) {
            return Ok(Some(Self::Message { ends, message }));
        }
        let (group, of) = of.split_first_chunk::<4>().ok_or_else(fault)?;
        let (object, member) = of.split_first_chunk::<16>().ok_or_else(fault)?;
        Ok(Some(Self::Object {
            group: GroupId::new(u32::from_be_bytes(*group)),
            object: *object,
            member: MemberId::try_from(member).map_err(|_| fault())?,
        }))
    }
}

/// What an [`Embargo::Object`] is about.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Gone {
    /// Until when others' rows would have been kept inside, in microseconds.
    #[prost(uint64, tag = "1")]
    pub(super) until: u64,
    /// Those added up to this date were looked at.
    #[prost(uint64, tag = "2")]
    pub(super) through: u64,
    /// When the first row that its member said so was added, and what counts of it for whose the object was; 0 if it was another's.
    #[prost(uint64, tag = "3")]
    pub(super) added: u64,
    #[prost(uint64, tag = "4")]
    pub(super) created: u64,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) message: Vec<u8>,
}

impl Gone {
    pub(super) fn claimed(&self, member: MemberId) -> Option<Claimed> {
        let added = Some(Timestamp::from_micros(self.added)).filter(|_| self.added > 0)?;
        let message = MessageId::try_from(self.message.as_slice()).ok()?;
        Some(Claimed { member, added, created: Timestamp::from_micros(self.created), message })
    }
}

impl Store {
    /// Embargoes that are over by `now`, at most `most`, the first to end at the front.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn embargoes_over(&self, now: Timestamp, most: usize) -> Result<Vec<Embargo>, ReadError> {
        let mut over = Vec::new();
        for row in self.db.scan(Cf::Embargoes, &[], &[]).take(most) {
            let (key, value) = row?;
            match Embargo::read(&key, &value)? {
                Some(embargo) if embargo.due() <= now => over.push(embargo),
                _ => break,
            }
        }
        Ok(over)
    }

    /// When the next one ends.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_embargo(&self) -> Result<Option<Timestamp>, ReadError> {
        let Some((key, value)) = self.db.scan(Cf::Embargoes, &[], &[]).next().transpose()? else {
            return Ok(None);
        };
        Ok(Embargo::read(&key, &value)?.map(Embargo::due))
    }
}
