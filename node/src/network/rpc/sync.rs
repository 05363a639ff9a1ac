//! `/belfry/sync`: frontiers, pages of logs, address and contact records.
//!
//! What is said under which number is [`number`]'s to say.

use std::time::Duration;

use belfry_proto::{
    schema::{Malformed, Refusal, SyncRequest, SyncResponse, sync_response::Response},
    sync::number,
};
use prost::Message as _;

use super::{
    Protocol,
    version::{Spoken, Unwritten},
};
use crate::refusals::Way;

pub(in crate::network) struct Sync;

impl Protocol for Sync {
    const SPOKEN: &'static [Spoken] =
        &[Spoken { version: 2, path: "/belfry/sync/2" }, Spoken { version: 1, path: "/belfry/sync/1" }];
    const WAY: Way = Way::Serving;
    const REQUEST: &'static str = number::REQUEST;
    const REPLY: &'static str = number::REPLY;
    const REQUEST_LIMIT: usize = number::REQUEST_LIMIT;
    /// A full page over a slow line.
    const TIMEOUT: Duration = Duration::from_secs(60);
    const STREAMS: usize = 8;
    /// Sixty-four pages of 1 MiB.
    const OPEN: usize = 64;
    const OPEN_PER_PEER: usize = 8;

    type Request = SyncRequest;
    type Reply = SyncResponse;

    fn check(_: &SyncRequest) -> Result<(), Malformed> {
        Ok(())
    }

    fn refuse(_: &SyncRequest, why: Refusal) -> SyncResponse {
        SyncResponse { response: Some(Response::Refused(why.into())) }
    }

    fn refused(reply: &SyncResponse) -> Vec<Refusal> {
        match reply.response {
            Some(Response::Refused(why)) => vec![Refusal::try_from(why).unwrap_or_default()],
            _ => Vec::new(),
        }
    }

    fn write_request(version: u32, request: &SyncRequest, out: &mut Vec<u8>) -> Result<(), Unwritten> {
        let spoken = number::request_under(version, request).ok_or(Unwritten::NotInNumber(version))?;
        Ok(spoken.encode(out)?)
    }

    fn read_request(version: u32, bytes: &[u8]) -> Result<SyncRequest, Malformed> {
        number::read_request(version, bytes)
    }

    fn write_reply(version: u32, reply: &SyncResponse, out: &mut Vec<u8>) -> Result<(), Unwritten> {
        if !number::has_reply(version, reply) {
            return Err(Unwritten::NotInNumber(version));
        }
        Ok(reply.encode(out)?)
    }

    fn read_reply(version: u32, bytes: &[u8]) -> Result<SyncResponse, Malformed> {
        number::read_reply(version, bytes)
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        schema::{
            ContactTaken, Contacts, PullAddresses, PullContacts, PullFrontier, PullSlices, Signed, Slices,
            sync_request::Request,
        },
        sync::number::FIRST_LIMIT,
    };

    use super::*;

    #[test]
    fn the_newest_number_is_the_one_that_the_schema_is_of() {
        assert_eq!(Sync::SPOKEN.first().map(|spoken| spoken.version), Some(number::NEWEST));
    }

    #[test]
    fn whoever_speaks_number_one_is_asked_for_the_list_and_neither_asks_for_slices_nor_tells_any() {
        let (hash, after) = (vec![7; 32], vec![8; 32]);
        let pull = PullSlices { group: 5, hash: hash.clone(), only: 3, after: after.clone() };
        let asked = SyncRequest { request: Some(Request::Slices(pull)) };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        Sync::write_request(1, &asked, &mut first).unwrap();
        Sync::write_request(2, &asked, &mut second).unwrap();
        let list = Request::Frontier(PullFrontier { group: 5, hash, after });
        for version in [1, 2] {
            let read = Sync::read_request(version, &first).unwrap();
            assert_eq!(read, SyncRequest { request: Some(list.clone()) });
        }
        assert_eq!(Sync::read_request(2, &second), Ok(asked));
        assert!(Sync::read_request(1, &second).is_err());
        let told = SyncResponse { response: Some(Response::Slices(Slices::default())) };
        assert_eq!(Sync::read_reply(2, &told.encode_to_vec()), Ok(told.clone()));
        assert!(Sync::read_reply(1, &told.encode_to_vec()).is_err());
    }

    #[test]
    fn number_one_neither_writes_nor_reads_contacts() {
        for request in [
            Request::Contacts(PullContacts::default()),
            Request::PushContact(Signed { payload: vec![1], signatures: Vec::new() }),
        ] {
            let (request, mut out) = (SyncRequest { request: Some(request) }, Vec::new());
            assert!(matches!(Sync::write_request(1, &request, &mut out), Err(Unwritten::NotInNumber(1))));
            assert!(out.is_empty());
            Sync::write_request(2, &request, &mut out).unwrap();
            assert_eq!(Sync::read_request(2, &out), Ok(request));
            assert!(matches!(Sync::read_request(1, &out), Err(Malformed::NotCanonical { .. })));
        }
        for reply in [Response::Contacts(Contacts::default()), Response::ContactTaken(ContactTaken {})] {
            let (reply, mut out) = (SyncResponse { response: Some(reply) }, Vec::new());
            assert!(matches!(Sync::write_reply(1, &reply, &mut out), Err(Unwritten::NotInNumber(1))));
            Sync::write_reply(2, &reply, &mut out).unwrap();
            assert_eq!(Sync::read_reply(2, &out), Ok(reply));
            assert!(matches!(Sync::read_reply(1, &out), Err(Malformed::NotCanonical { .. })));
        }
    }

    #[test]
    fn what_both_numbers_know_is_the_same_in_both() {
        let request = SyncRequest { request: Some(Request::Addresses(PullAddresses {})) };
        for version in [1, 2] {
            let mut out = Vec::new();
            Sync::write_request(version, &request, &mut out).unwrap();
            assert_eq!(Sync::read_request(version, &out).as_ref(), Ok(&request));
            assert!(Sync::read_request(version, &[0; FIRST_LIMIT + 1]).is_err());
        }
    }
}
