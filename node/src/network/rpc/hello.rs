//! `/belfry/hello/1`: the one protocol of the lobby, and the comparison of heads on every connection.

use std::time::Duration;

use belfry_proto::{
    limits::MAX_CHARTER,
    schema::{HelloRequest, HelloResponse, Malformed, Refusal, hello_response::Response},
};

use super::{Protocol, version::Spoken};
use crate::refusals::Way;

pub(in crate::network) struct Hello;

impl Protocol for Hello {
    const SPOKEN: &'static [Spoken] = &[Spoken { version: 1, path: "/belfry/hello/1" }];
    const WAY: Way = Way::Hello;
    const REQUEST: &'static str = "hello request";
    const REPLY: &'static str = "hello response";
    /// The largest charter with its signatures: where one is pushed that a listener lacks, what stands behind it comes after it,
    /// the guest's own certificate perhaps. All else is far below: an issuing record is some 2 KiB, the heads of our own logs come
    /// on top. As many as may be open at once come to 17 MiB.
    const REQUEST_LIMIT: usize = MAX_CHARTER + 16 * 1024;
    const TIMEOUT: Duration = Duration::from_secs(15);
    /// A guest asks one thing after the other.
    const STREAMS: usize = 4;
    const OPEN: usize = 64;
    const OPEN_PER_PEER: usize = 4;

    type Request = HelloRequest;
    type Reply = HelloResponse;

    fn check(_: &HelloRequest) -> Result<(), Malformed> {
        Ok(())
    }

    fn refuse(_: &HelloRequest, why: Refusal) -> HelloResponse {
        HelloResponse { response: Some(Response::Refused(why.into())) }
    }

    fn refused(reply: &HelloResponse) -> Vec<Refusal> {
        match reply.response {
            Some(Response::Refused(why)) => vec![Refusal::try_from(why).unwrap_or_default()],
            // It is shown the record that took its certificate away.
            Some(Response::Removed(_)) => vec![Refusal::NotCertified],
            _ => Vec::new(),
        }
    }
}
