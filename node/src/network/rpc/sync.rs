//! `/belfry/sync`: frontiers, pages of logs, address records.
//!
//! Number 2 has the slices of a frontier. To a peer that speaks number 1 the question for them goes out as the one for the
//! list, which it answers.

use std::time::Duration;

use belfry_proto::schema::{
    self, Malformed, PullFrontier, PullSlices, Refusal, SyncRequest, SyncResponse, sync_request::Request,
    sync_response::Response,
};
use prost::{EncodeError, Message as _};

use super::{Protocol, version::Spoken};
use crate::refusals::Way;

pub(in crate::network) struct Sync;

impl Protocol for Sync {
    const SPOKEN: &'static [Spoken] =
        &[Spoken { version: 2, path: "/belfry/sync/2" }, Spoken { version: 1, path: "/belfry/sync/1" }];
    const WAY: Way = Way::Serving;
    const REQUEST: &'static str = "sync request";
    const REPLY: &'static str = "sync response";
    /// Two hashes and some numbers.
    const REQUEST_LIMIT: usize = 1024;
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

    fn write_request(version: u32, request: &SyncRequest, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match (version, &request.request) {
            (1, Some(Request::Slices(PullSlices { group, hash, after, .. }))) => {
                let pull = PullFrontier { group: *group, hash: hash.clone(), after: after.clone() };
                SyncRequest { request: Some(Request::Frontier(pull)) }.encode(out)
            }
            _ => request.encode(out),
        }
    }

    fn read_request(version: u32, bytes: &[u8]) -> Result<SyncRequest, Malformed> {
        let request: SyncRequest = schema::decode_canonical(Self::REQUEST, bytes, Self::REQUEST_LIMIT)?;
        match (version, &request.request) {
            (1, Some(Request::Slices(_))) => Err(Malformed::field(Self::REQUEST, "slices", UNKNOWN)),
            _ => Ok(request),
        }
    }

    fn read_reply(version: u32, bytes: &[u8]) -> Result<SyncResponse, Malformed> {
        let reply: SyncResponse = schema::decode_canonical(Self::REPLY, bytes, Self::REPLY_LIMIT)?;
        match (version, &reply.response) {
            (1, Some(Response::Slices(_))) => Err(Malformed::field(Self::REPLY, "slices", UNKNOWN)),
            _ => Ok(reply),
        }
    }
}

/// Why a number 1 frame is refused that holds what came with number 2.
const UNKNOWN: &str = "is of number 2 of the protocol";

#[cfg(test)]
mod tests {
    use belfry_proto::schema::Slices;

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
}
