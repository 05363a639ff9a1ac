//! Rows of objects: what is said, by whom, and where it lies.

use crate::store::rows::Conditions;

/// The clustered object row.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::store) struct ObjectValue {
    #[prost(string, tag = "1")]
    pub(in crate::store) id: String,
    #[prost(string, tag = "2")]
    pub(in crate::store) kind: String,
    #[prost(string, tag = "3")]
    pub(in crate::store) version: String,
    #[prost(int32, tag = "4")]
    pub(in crate::store) tlp: i32,
    #[prost(bool, tag = "5")]
    pub(in crate::store) revoked: bool,
    #[prost(bool, tag = "6")]
    pub(in crate::store) recipients: bool,
    #[prost(bytes = "vec", tag = "7")]
    pub(in crate::store) member: Vec<u8>,
    #[prost(uint64, tag = "8")]
    pub(in crate::store) serial: u64,
    #[prost(bytes = "vec", tag = "9")]
    pub(in crate::store) message: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    pub(in crate::store) publication: Vec<u8>,
    #[prost(uint64, tag = "11")]
    pub(in crate::store) created: u64,
    #[prost(int32, tag = "12")]
    pub(in crate::store) purpose: i32,
    #[prost(int32, repeated, tag = "13")]
    pub(in crate::store) classes: Vec<i32>,
    #[prost(bytes = "vec", tag = "14")]
    pub(in crate::store) raw: Vec<u8>,
    /// Its places in the index of observables, to take them away with it.
    #[prost(bytes = "vec", repeated, tag = "15")]
    pub(in crate::store) observables: Vec<Vec<u8>>,
    /// Says that the object is gone, in its author's stead.
    #[prost(bool, tag = "16")]
    pub(in crate::store) tombstone: bool,
    #[prost(message, optional, tag = "17")]
    pub(in crate::store) conditions: Option<Conditions>,
    /// Of a tombstone: how its object ended; see [`End`](crate::store::removal::End).
    #[prost(uint32, tag = "18")]
    pub(in crate::store) end: u32,
    /// Where readers outside met it when its embargo was over; 0 if they meet it where it is. See
    /// [`embargo`](crate::store::embargo).
    #[prost(uint64, tag = "19")]
    pub(in crate::store) surfaced: u64,
    /// The date of the row that this one stands for, for readers outside alone; it says nothing itself then. Else 0.
    #[prost(uint64, tag = "20")]
    pub(in crate::store) stands_for: u64,
    /// It came to the place of another version that is gone: whoever had that one is to meet this one.
    #[prost(bool, tag = "21")]
    pub(in crate::store) outlived: bool,
    /// When it was added first, if it was moved since; else 0. Whose an object is goes by that.
    #[prost(uint64, tag = "22")]
    pub(in crate::store) arrived: u64,
}

impl ObjectValue {
    /// When it was added first, of one that lies at this date.
    pub(in crate::store) const fn arrived_at(&self, date: u64) -> u64 {
        if self.arrived > 0 { self.arrived } else { date }
    }
}

/// What a reporter's row needs to become the author's, should that one be hidden.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::store) struct ReporterValue {
    #[prost(uint64, tag = "1")]
    pub(in crate::store) serial: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(in crate::store) publication: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub(in crate::store) created: u64,
    #[prost(int32, tag = "4")]
    pub(in crate::store) purpose: i32,
    #[prost(int32, repeated, tag = "5")]
    pub(in crate::store) classes: Vec<i32>,
    #[prost(message, optional, tag = "6")]
    pub(in crate::store) conditions: Option<Conditions>,
    /// When it came, in microseconds; of rows of before that was noted, nothing.
    #[prost(uint64, tag = "7")]
    pub(in crate::store) arrived: u64,
}

/// Dates of the objects a message says.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::store) struct DatesValue {
    #[prost(uint64, repeated, tag = "1")]
    pub(in crate::store) dates: Vec<u64>,
    /// Where rows of it lay before: their bytes may still be in files, and go with it should it be erased.
    #[prost(uint64, repeated, tag = "2")]
    pub(in crate::store) was: Vec<u64>,
    /// Of rows that are to go; readers pass them over. See [`leaving`](crate::store::leaving).
    #[prost(uint64, repeated, tag = "3")]
    pub(in crate::store) goes: Vec<u64>,
}

/// One claim in the by-id index.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::store) struct ClaimValue {
    #[prost(uint64, tag = "1")]
    pub(in crate::store) date_added: u64,
    /// Keyed hash of the bytes, to find equal claims without opening rows.
    #[prost(bytes = "vec", tag = "2")]
    pub(in crate::store) raw_tag: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(in crate::store) member: Vec<u8>,
    /// TLP, and whether it came for named members.
    #[prost(bytes = "vec", tag = "4")]
    pub(in crate::store) marking: Vec<u8>,
    /// [`ObjectValue::arrived`] of its row.
    #[prost(uint64, tag = "5")]
    pub(in crate::store) arrived: u64,
}
