//! `/belfry/sync`: frontiers, pages of logs, address and contact records.
//!
//! Number 2 has the slices of a frontier and contacts. To a peer that speaks number 1 the question for slices goes out as the
//! one for the list, which it answers; of contacts it is neither asked nor told.

use std::time::Duration;

use belfry_proto::{
    limits::MAX_REPLY,
    schema::{
        self, Malformed, PullFrontier, PullSlices, Refusal, SyncRequest, SyncResponse, sync_request::Request,
        sync_response::Response,
    },
};
use prost::Message as _;

use super::{
    Protocol,
    version::{Spoken, Unwritten},
};
use crate::refusals::Way;

/// Bytes of a request of number 1: two hashes and some numbers.
const FIRST_LIMIT: usize = 1024;

pub(in crate::network) struct Sync;

/// Whether number 1 has no field for it.
const fn is_newer_request(request: &SyncRequest) -> bool {
    matches!(request.request, Some(Request::Slices(_) | Request::Contacts(_) | Request::PushContact(_)))
}

const fn is_newer_reply(reply: &SyncResponse) -> bool {
    matches!(reply.response, Some(Response::Slices(_) | Response::Contacts(_) | Response::ContactTaken(_)))
}

/// As a decoder of number 1 would see it.
const fn unknown(what: &'static str) -> Malformed {
    Malformed::NotCanonical { what }
}

impl Protocol for Sync {
    const SPOKEN: &'static [Spoken] =
        &[Spoken { version: 2, path: "/belfry/sync/2" }, Spoken { version: 1, path: "/belfry/sync/1" }];
    const WAY: Way = Way::Serving;
    const REQUEST: &'static str = "sync request";
    const REPLY: &'static str = "sync response";
    /// A contact record of 4 KiB with its signature.
    const REQUEST_LIMIT: usize = 5 * 1024;
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
        match (version, &request.request) {
            (1, Some(Request::Slices(PullSlices { group, hash, after, .. }))) => {
                let pull = PullFrontier { group: *group, hash: hash.clone(), after: after.clone() };
                Ok(SyncRequest { request: Some(Request::Frontier(pull)) }.encode(out)?)
            }
            (1, _) if is_newer_request(request) => Err(Unwritten::NotInNumber(version)),
            _ => Ok(request.encode(out)?),
        }
    }

    fn read_request(version: u32, bytes: &[u8]) -> Result<SyncRequest, Malformed> {
        let limit = if version == 1 { FIRST_LIMIT } else { Self::REQUEST_LIMIT };
        let request: SyncRequest = schema::decode_canonical(Self::REQUEST, bytes, limit)?;
        match version == 1 && is_newer_request(&request) {
            true => Err(unknown(Self::REQUEST)),
            false => Ok(request),
        }
    }

    fn write_reply(version: u32, reply: &SyncResponse, out: &mut Vec<u8>) -> Result<(), Unwritten> {
        if version == 1 && is_newer_reply(reply) {
            return Err(Unwritten::NotInNumber(version));
        }
        Ok(reply.encode(out)?)
    }

    fn read_reply(version: u32, bytes: &[u8]) -> Result<SyncResponse, Malformed> {
        let reply: SyncResponse = schema::decode_canonical(Self::REPLY, bytes, MAX_REPLY)?;
        match version == 1 && is_newer_reply(&reply) {
            true => Err(unknown(Self::REPLY)),
            false => Ok(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::schema::{ContactTaken, Contacts, PullAddresses, PullContacts, Signed, Slices};

    use super::*;

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
