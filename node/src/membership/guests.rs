//! Hellos of guests in the lobby, which wait until no member's does.

use std::{collections::VecDeque, future};

use belfry_proto::schema::{HelloRequest, HelloResponse, Refusal, hello_response::Response};

use crate::network::Asked;

/// Guests' hellos that wait: as many as the network lets be open at once. Those of guests that went meanwhile come on top
/// of these, and give way first; then the oldest does, and is told to come again.
const MOST: usize = 16;

/// Oldest first.
#[derive(Debug, Default)]
pub(super) struct Guests(VecDeque<Asked<HelloRequest, HelloResponse>>);

impl Guests {
    /// A guest asks.
    pub(super) fn wait(&mut self, asked: Asked<HelloRequest, HelloResponse>) {
        if self.0.len() == MOST {
            let gone = self.0.iter().position(|asked| !asked.reply.is_awaited());
            if let Some(oldest) = self.0.remove(gone.unwrap_or(0)) {
                oldest.reply.send(HelloResponse { response: Some(Response::Refused(Refusal::Busy.into())) });
            }
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

    #[test]
    fn whose_guest_has_gone_gives_way_first_and_who_gives_way_is_told_to_come_again() {
        let mut guests = Guests::default();
        let mut waiting = Vec::new();
        for seed in 1..=16 {
            let (reply, heard) = Reply::heard();
            guests.wait(Asked { reply, ..asked(seed) });
            waiting.push(heard);
        }
        drop(waiting.remove(7));
        guests.wait(asked(17));
        assert!(waiting.iter_mut().all(|heard| heard.try_recv().is_err()), "nobody who waits is refused");
        guests.wait(asked(18));
        // Who came last does not wait for an answer, so its place was free.
        guests.0.retain(|asked| asked.reply.is_awaited());
        assert_eq!(guests.0.len(), 15);

        let (reply, _heard) = Reply::heard();
        guests.wait(Asked { reply, ..asked(19) });
        let (reply, _also) = Reply::heard();
        guests.wait(Asked { reply, ..asked(20) });
        let told = waiting[0].try_recv().unwrap();
        assert_eq!(told.response, Some(Response::Refused(Refusal::Busy.into())));
        assert!(waiting[1..].iter_mut().all(|heard| heard.try_recv().is_err()));
    }
}
