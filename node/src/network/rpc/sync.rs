//! `/belfry/sync/1`: frontiers, pages of logs, address records.

use std::time::Duration;

use belfry_proto::schema::{Malformed, Refusal, SyncRequest, SyncResponse, sync_response::Response};

use super::{Protocol, version::Spoken};
use crate::refusals::Way;

pub(in crate::network) struct Sync;

impl Protocol for Sync {
    const SPOKEN: &'static [Spoken] = &[Spoken { version: 1, path: "/belfry/sync/1" }];
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
}
