//! Releases of two numbers talk with each other.

use std::{sync::Arc, time::Duration};

use belfry_proto::schema::{Malformed, decode_canonical};
use futures::StreamExt as _;
use libp2p::{Multiaddr, Swarm, swarm::SwarmEvent};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{
        behaviour::{Rpc, rpc},
        counters::Counters,
        identity,
        rpc::{
            Exchange, Protocol,
            version::{Spoken, Unwritten},
        },
        side::Side,
    },
    hostile::hostile,
    *,
};
use crate::refusals::Way;

const FIRST: Spoken = Spoken { version: 1, path: "/belfry/test/1" };
/// What the first number has no field for.
const UNTOLD: u64 = 99;
const SECOND: Spoken = Spoken { version: 2, path: "/belfry/test/2" };

/// Question and answer of the first number.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct One {
    #[prost(uint64, tag = "1")]
    what: u64,
}

/// Of the second, which has a field more.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct Two {
    #[prost(uint64, tag = "1")]
    what: u64,
    #[prost(uint64, tag = "2")]
    more: u64,
}

/// What the release before speaks.
struct Before;

/// What this one speaks: both.
struct Now;

/// What is not of a number.
macro_rules! common {
    ($message:ty) => {
        const WAY: Way = Way::Hello;
        const REQUEST: &'static str = "test request";
        const REPLY: &'static str = "test reply";
        const REQUEST_LIMIT: usize = 64;
        const TIMEOUT: Duration = PATIENCE;
        const STREAMS: usize = 8;
        const OPEN: usize = 8;
        const OPEN_PER_PEER: usize = 8;

        type Request = $message;
        type Reply = $message;

        fn check(_: &$message) -> Result<(), Malformed> {
            Ok(())
        }
        fn refuse(_: &$message, _: Refusal) -> $message {
            <$message>::default()
        }
        fn refused(_: &$message) -> Vec<Refusal> {
            Vec::new()
        }
    };
}

impl Protocol for Before {
    const SPOKEN: &'static [Spoken] = &[FIRST];
    common!(One);
}

impl Protocol for Now {
    const SPOKEN: &'static [Spoken] = &[SECOND, FIRST];
    common!(Two);

    fn write_request(version: u32, request: &Two, out: &mut Vec<u8>) -> Result<(), Unwritten> {
        match version {
            1 if request.what == UNTOLD => return Err(Unwritten::NotInNumber(version)),
            1 => One { what: request.what }.encode(out)?,
            _ => request.encode(out)?,
        }
        Ok(())
    }
    fn read_request(version: u32, bytes: &[u8]) -> Result<Two, Malformed> {
        match version {
            1 => decode_canonical("test", bytes, 64).map(|One { what }| Two { what, more: 0 }),
            _ => decode_canonical("test", bytes, 64),
        }
    }
    fn write_reply(version: u32, reply: &Two, out: &mut Vec<u8>) -> Result<(), Unwritten> {
        Self::write_request(version, reply, out)
    }
    fn read_reply(version: u32, bytes: &[u8]) -> Result<Two, Malformed> {
        Self::read_request(version, bytes)
    }
}

/// A node that speaks nothing else.
struct Speaker<P: Protocol> {
    swarm: Swarm<Rpc<P>>,
    exchange: Exchange<P>,
    asked: mpsc::Receiver<Asked<P::Request, P::Reply>>,
    key: PublicKey,
}

impl<P: Protocol> Speaker<P> {
    fn new(seed: u8) -> Self {
        let counters = Arc::<Counters>::default();
        let (asks, asked) = mpsc::channel(8);
        let (key, swarm) = hostile(seed, rpc(&counters, &Side::default()));
        Self { swarm, exchange: Exchange::new(asks, counters), asked, key }
    }

    async fn listening(&mut self) -> Multiaddr {
        self.swarm.listen_on("/memory/0".parse().unwrap()).unwrap();
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = self.swarm.select_next_some().await {
                return address;
            }
        }
    }

    /// Answers what `answer` says, and tells under which number it was asked.
    async fn serve(
        mut self,
        from: PublicKey,
        answer: impl Fn(P::Request) -> P::Reply,
        told: mpsc::Sender<u32>,
    ) {
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => if let SwarmEvent::Behaviour(event) = event {
                    self.exchange.on_event(self.swarm.behaviour_mut(), Some(from), true, event);
                },
                Some(asked) = self.asked.recv() => {
                    told.send(asked.version).await.unwrap();
                    asked.reply.send(answer(asked.request));
                }
                ready = self.exchange.next_answer(), if self.exchange.is_answering() => {
                    Exchange::reply(self.swarm.behaviour_mut(), ready);
                }
            }
        }
    }

    async fn ask(
        mut self,
        of: PublicKey,
        at: Multiaddr,
        question: P::Request,
    ) -> Result<P::Reply, RequestError> {
        let peer = identity::peer_id(&of);
        self.swarm.dial(at).unwrap();
        while !self.swarm.is_connected(&peer) {
            self.swarm.select_next_some().await;
        }
        let (answer, mut answered) = oneshot::channel();
        self.exchange.ask(self.swarm.behaviour_mut(), &peer, question, answer);
        loop {
            tokio::select! {
                answer = &mut answered => return answer.unwrap(),
                event = self.swarm.select_next_some() => if let SwarmEvent::Behaviour(event) = event {
                    self.exchange.on_event(self.swarm.behaviour_mut(), Some(of), true, event);
                },
            }
        }
    }
}

/// What the asker was answered, and under which number it was asked.
async fn talk<A: Protocol, B: Protocol>(
    question: A::Request,
    answer: impl Fn(B::Request) -> B::Reply,
) -> (Result<A::Reply, RequestError>, u32) {
    let (asker, mut answerer) = (Speaker::<A>::new(1), Speaker::<B>::new(2));
    let (address, key) = (answerer.listening().await, answerer.key);
    let (told, mut version) = mpsc::channel(1);
    let serving = answerer.serve(asker.key, answer, told);
    let asking = timeout(PATIENCE, asker.ask(key, address, question));
    tokio::select! {
        () = serving => unreachable!("it serves for ever"),
        answer = asking => (answer.unwrap(), version.recv().await.unwrap()),
    }
}

#[tokio::test]
async fn two_that_know_both_numbers_speak_the_newer_one() {
    let question = Two { what: 7, more: 8 };
    let spoken = talk::<Now, Now>(question, |asked| Two { what: asked.what + 1, more: asked.more + 1 }).await;
    assert_eq!(spoken, (Ok(Two { what: 8, more: 9 }), 2));
}

#[tokio::test]
async fn a_release_is_answered_by_the_one_before_in_its_number() {
    let question = Two { what: 7, more: 8 };
    let spoken = talk::<Now, Before>(question, |asked| One { what: asked.what + 1 }).await;
    assert_eq!(spoken, (Ok(Two { what: 8, more: 0 }), 1));
}

#[tokio::test]
async fn a_release_answers_the_one_before_in_its_number() {
    let answer = |asked: Two| {
        assert_eq!(asked, Two { what: 7, more: 0 });
        Two { what: 8, more: 9 }
    };
    // A field more than its number has, and the reply would not be canonical to it.
    assert_eq!(talk::<Before, Now>(One { what: 7 }, answer).await, (Ok(One { what: 8 }), 1));
}

#[tokio::test]
async fn what_the_older_number_has_no_field_for_is_not_sent_under_it() {
    let (asker, mut answerer) = (Speaker::<Now>::new(1), Speaker::<Before>::new(2));
    let (address, key) = (answerer.listening().await, answerer.key);
    let (told, mut heard) = mpsc::channel(1);
    let serving = answerer.serve(asker.key, |One { what }| One { what }, told);
    let asking = timeout(PATIENCE, asker.ask(key, address, Two { what: UNTOLD, more: 0 }));
    tokio::select! {
        () = serving => unreachable!("it serves for ever"),
        answer = asking => assert_eq!(answer.unwrap(), Err(RequestError::Older)),
    }
    assert!(heard.try_recv().is_err());
}
