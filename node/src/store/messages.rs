//! Where each message lies, the envelope there, and the rows of objects it says: one row a message, by its id.
//!
//! The value is the length of the place in one byte, the place, and what it says ([`DatesValue`]), nothing if it says none.

use belfry_proto::id::{GroupId, MessageId};
use prost::Message;

use super::{
    ReadError, WriteError,
    columns::{self, Cf},
    db::Db,
    txn::Txn,
    values::{DatesValue, EnvelopeValue},
    vault::damaged,
};

/// Place, and what the message says, of a row's value; `None` if the bytes are none.
pub(super) fn read(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = value.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn value(place: &[u8], said: &[u8]) -> Vec<u8> {
    let length = u8::try_from(place.len()).unwrap_or_default();
    [&[length], place, said].concat()
}

fn place_of(message: &[u8], value: &[u8]) -> Result<Vec<u8>, ReadError> {
    let read = read(value).ok_or_else(|| damaged(Cf::Messages, message, "points nowhere"))?;
    Ok(read.0.to_vec())
}

/// Where a message lies, without the rows of a batch under way.
pub(super) fn stored_place(db: &Db, message: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
    db.get(Cf::Messages, message)?.map(|value| place_of(message, &value)).transpose()
}

/// Where a message lies; `None` if it is not here.
pub(super) fn place(txn: &Txn<'_>, message: MessageId) -> Result<Option<Vec<u8>>, ReadError> {
    let value = txn.get(Cf::Messages, message.as_ref())?;
    value.map(|value| place_of(message.as_ref(), &value)).transpose()
}

/// Enters a message that was not here.
pub(super) fn insert(txn: &mut Txn<'_>, message: MessageId, place: &[u8], said: &DatesValue) {
    txn.put(Cf::Messages, message.to_vec(), value(place, &said.encode_to_vec()));
}

/// A message that is here lies elsewhere.
pub(super) fn put_place(txn: &mut Txn<'_>, message: MessageId, place: &[u8]) -> Result<(), ReadError> {
    let said = said_by(txn, message)?;
    insert(txn, message, place, &said);
    Ok(())
}

/// Dates of the rows a message says, as author or reporter; none of those that are to go.
pub(super) fn dates_of(txn: &Txn<'_>, message: MessageId) -> Result<Vec<u64>, ReadError> {
    Ok(said_by(txn, message)?.dates)
}

/// The same, with where such rows lay before.
pub(super) fn said_by(txn: &Txn<'_>, message: MessageId) -> Result<DatesValue, ReadError> {
    let Some(value) = txn.get(Cf::Messages, message.as_ref())? else { return Ok(DatesValue::default()) };
    let fault = || damaged(Cf::Messages, message.as_ref(), "does not decode");
    let (_, said) = read(&value).ok_or_else(fault)?;
    DatesValue::decode(said).map_err(|_| fault())
}

/// Notes what a message that is here says now.
pub(super) fn put_said(txn: &mut Txn<'_>, message: MessageId, said: &DatesValue) -> Result<(), ReadError> {
    if let Some(place) = place(txn, message)? {
        insert(txn, message, &place, said);
    }
    Ok(())
}

/// A stored envelope and where.
pub(super) struct Stored {
    pub(super) column: Cf,
    pub(super) place: Vec<u8>,
    pub(super) group: GroupId,
    pub(super) value: EnvelopeValue,
}

impl Stored {
    pub(super) fn put(self, txn: &mut Txn<'_>) {
        txn.put(self.column, self.place, self.value.encode_to_vec());
    }
}

/// The envelope of a message that is here.
pub(super) fn stored(txn: &Txn<'_>, message: MessageId) -> Result<Stored, WriteError> {
    let place = place(txn, message)?.ok_or(WriteError::Missing("message"))?;
    let column = columns::holder(&place);
    let value = txn.message(column, &place)?.ok_or(WriteError::Missing("envelope"))?;
    let (group, ..) =
        place.get(..columns::PLACE_LEN).and_then(columns::read_place).ok_or(WriteError::Missing("place"))?;
    Ok(Stored { column, place, group, value })
}
