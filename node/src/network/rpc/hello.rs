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
    /// on top.
    const REQUEST_LIMIT: usize = MAX_CHARTER + 16 * 1024;
    /// A pushed page of records or usual charters, of 48 KiB, and a single record that is larger. On all streams of a full lobby
    /// these come to 16 MiB.
    const AT_EASE: usize = 64 * 1024;
    /// Large charters are pushed once each, and take a moment.
    const LARGE: usize = 8;
    /// A newcomer that knows of a charter which this node lacks is rare.
    const LARGE_IN_LOBBY: usize = 4;
    const TIMEOUT: Duration = Duration::from_secs(15);
    /// Both greet at once, while one pulls and pushes.
    const STREAMS: usize = 4;
    /// With the largest requests 17 MiB; of guests, a quarter of it.
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

// What guests' requests take while they are answered.
const _: () = assert!(Hello::OPEN_IN_LOBBY * Hello::REQUEST_LIMIT < 5 * 1024 * 1024);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::config::LobbyLimits;

    /// Beside those that are being answered.
    #[test]
    fn requests_that_a_full_lobby_sends_and_never_ends_take_less_than_twenty_mebibytes() {
        let streams = LobbyLimits::default().total * Hello::STREAMS;
        let beyond = (Hello::LARGE + Hello::LARGE_IN_LOBBY) * (Hello::REQUEST_LIMIT - Hello::AT_EASE);
        assert!(streams * Hello::AT_EASE + beyond < 20 * 1024 * 1024);
    }
}
