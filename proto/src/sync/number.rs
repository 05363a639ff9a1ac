//! What of sync is said under which number of its protocol.
//!
//! Number 2 has the slices of a frontier and contacts. To a peer that speaks number 1 the question for slices goes out as the
//! one for the list, which it answers; of contacts it is neither asked nor told.

use std::borrow::Cow;

use crate::{
    limits::MAX_REPLY,
    schema::{
        Malformed, PullFrontier, PullSlices, SyncRequest, SyncResponse, decode_canonical,
        sync_request::Request, sync_response::Response,
    },
};

/// The number this release speaks first.
pub const NEWEST: u32 = 2;
/// What a request is called in errors.
pub const REQUEST: &str = "sync request";
/// What a reply is called in errors.
pub const REPLY: &str = "sync response";
/// Bytes of a request: a contact record of 4 KiB with its signature.
pub const REQUEST_LIMIT: usize = 5 * 1024;
/// Bytes of a request of number 1: two hashes and some numbers.
pub const FIRST_LIMIT: usize = 1024;

/// A request as it is asked under a number; `None` if that has no field for it.
#[must_use]
pub fn request_under(number: u32, request: &SyncRequest) -> Option<Cow<'_, SyncRequest>> {
    match (number, &request.request) {
        (1, Some(Request::Slices(PullSlices { group, hash, after, .. }))) => {
            let pull = PullFrontier { group: *group, hash: hash.clone(), after: after.clone() };
            Some(Cow::Owned(SyncRequest { request: Some(Request::Frontier(pull)) }))
        }
        _ => has_request(number, request).then_some(Cow::Borrowed(request)),
    }
}

/// Reads a request that came under a number.
///
/// # Errors
/// [`Malformed`], as a release would find it that knows no newer number.
pub fn read_request(number: u32, bytes: &[u8]) -> Result<SyncRequest, Malformed> {
    let limit = if number == 1 { FIRST_LIMIT } else { REQUEST_LIMIT };
    let request = decode_canonical(REQUEST, bytes, limit)?;
    match has_request(number, &request) {
        true => Ok(request),
        false => Err(Malformed::NotCanonical { what: REQUEST }),
    }
}

/// Whether a number has a field for a reply.
#[must_use]
pub const fn has_reply(number: u32, reply: &SyncResponse) -> bool {
    number != 1
        || !matches!(
            reply.response,
            Some(Response::Slices(_) | Response::Contacts(_) | Response::ContactTaken(_))
        )
}

/// Reads a reply that came under a number.
///
/// # Errors
/// [`Malformed`], as a release would find it that knows no newer number.
pub fn read_reply(number: u32, bytes: &[u8]) -> Result<SyncResponse, Malformed> {
    let reply = decode_canonical(REPLY, bytes, MAX_REPLY)?;
    match has_reply(number, &reply) {
        true => Ok(reply),
        false => Err(Malformed::NotCanonical { what: REPLY }),
    }
}

const fn has_request(number: u32, request: &SyncRequest) -> bool {
    number != 1
        || !matches!(
            request.request,
            Some(Request::Slices(_) | Request::Contacts(_) | Request::PushContact(_))
        )
}
