//! `/belfry/keys/1`: content keys asked for, and pushed.

use std::time::Duration;

use belfry_proto::{
    limits::MAX_KEY_IDS,
    schema::{KeyRefusal, KeysRequest, KeysResponse, Malformed, Refusal},
};

use super::{Protocol, version::Spoken};
use crate::refusals::Way;

pub(in crate::network) struct Keys;

impl Protocol for Keys {
    const SPOKEN: &'static [Spoken] = &[Spoken { version: 1, path: "/belfry/keys/1" }];
    const WAY: Way = Way::Keys;
    const REQUEST: &'static str = "keys request";
    const REPLY: &'static str = "keys response";
    /// Sixty-four pushed grants of some 1.3 KiB, and sixty-four key ids.
    const REQUEST_LIMIT: usize = 128 * 1024;
    const REPLY_LIMIT: usize = 128 * 1024;
    const TIMEOUT: Duration = Duration::from_secs(15);
    const STREAMS: usize = 8;
    const OPEN: usize = 128;
    const OPEN_PER_PEER: usize = 8;

    type Request = KeysRequest;
    type Reply = KeysResponse;

    fn check(request: &KeysRequest) -> Result<(), Malformed> {
        if request.key_ids.len() > MAX_KEY_IDS {
            return Err(Malformed::field(Self::REQUEST, "key_ids", "must be at most 64"));
        }
        if request.pushed.len() > MAX_KEY_IDS {
            return Err(Malformed::field(Self::REQUEST, "pushed", "must be at most 64"));
        }
        Ok(())
    }

    fn refuse(request: &KeysRequest, why: Refusal) -> KeysResponse {
        let refused = request
            .key_ids
            .iter()
            .map(|key_id| KeyRefusal { key_id: key_id.clone(), refusal: why.into() })
            .collect();
        KeysResponse { refused, ..KeysResponse::default() }
    }

    fn refused(reply: &KeysResponse) -> Vec<Refusal> {
        reply.refused.iter().map(KeyRefusal::refusal).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_sixty_four_keys_are_asked_for_and_each_is_refused_by_name() {
        let request = |n| KeysRequest { group: 1, key_ids: vec![vec![7; 32]; n], pushed: Vec::new() };
        assert_eq!(Keys::check(&request(64)), Ok(()));
        assert!(Keys::check(&request(65)).is_err());
        assert_eq!(Keys::refuse(&request(3), Refusal::Busy).refused.len(), 3);
    }
}
