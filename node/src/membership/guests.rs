//! Hellos of guests in the lobby, which wait until no member's does.

use std::{collections::VecDeque, future};

use belfry_proto::schema::{HelloRequest, HelloResponse};

use crate::network::Asked;

/// Guests' hellos that wait: as many as the network lets be open at once. Those of guests that went meanwhile come on top
/// of these, so the oldest goes.
const MOST: usize = 16;

/// Oldest first.
#[derive(Debug, Default)]
pub(super) struct Guests(VecDeque<Asked<HelloRequest, HelloResponse>>);

impl Guests {
    /// A guest asks.
    pub(super) fn wait(&mut self, asked: Asked<HelloRequest, HelloResponse>) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(asked);
    }

    /// The next one to be answered, at once; pending for ever while `others_wait` or nobody does.
    pub(super) async fn next(&mut self, others_wait: bool) -> Asked<HelloRequest, HelloResponse> {
        let next = if others_wait { None } else { self.0.pop_front() };
        match next {
            Some(asked) => asked,
            None => future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;
    use futures::FutureExt as _;

    use super::*;
    use crate::network::Reply;

    fn asked(seed: u8) -> Asked<HelloRequest, HelloResponse> {
        let from = SigningKey::from_seed(&[seed; 32]).public();
        Asked { from, admitted: false, version: 1, request: HelloRequest::default(), reply: Reply::unheard() }
    }

    #[tokio::test]
    async fn guests_wait_for_members_and_are_answered_in_turn() {
        let mut guests = Guests::default();
        assert!(guests.next(false).now_or_never().is_none());
        for seed in 1..=20 {
            guests.wait(asked(seed));
        }
        assert!(guests.next(true).now_or_never().is_none());
        let answered = std::iter::from_fn(|| guests.next(false).now_or_never());
        let expected = (5..=20).map(|seed| asked(seed).from);
        assert!(answered.map(|asked| asked.from).eq(expected), "the oldest have gone");
    }
}
