//! A member that answers: whatever the daemon asks of it, with what decodes and is wrong all the same.
//!
//! It speaks by the node's own network adapter, so that the daemon greets it, compares frontiers with it and fetches from it as
//! from any member; bytes that do not decode are [`crate::streams`]' part. What it answers lies at the extremes that a decoder
//! lets through: logs without end as high as a log may be, pages of nothing, proofs of nothing, keys that open nothing, one
//! question's answer to another. It comes and goes, so that it is asked for all of it again.

use std::{collections::BTreeSet, time::Duration};

use belfry_node::{
    clock,
    network::{self, Inbound, NetworkConfig},
};
use belfry_proto::{
    crypto::sign::SigningKey,
    id::{LogId, MessageId, Sequence},
    limits::{MAX_FRONTIER_LOGS, MAX_SEQUENCE},
    schema::{
        self, Addresses, AdminPage, ContactTaken, Contacts, Fork, Frontier, Greeted, HelloRequest,
        HelloResponse, KeyRefusal, KeysRequest, KeysResponse, Page, Record, Refusal, RosterVersion,
        SealedGrant, Slices, SyncRequest, SyncResponse, hello_request, hello_response, sync_request,
        sync_response,
    },
    sync::frontier::{self, LogFrontier, MissingSum},
    verdict::Verdict,
};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::{Instant, sleep_until};

use crate::{
    Aim,
    frames::{bytes, edge, id, signed},
};

/// Names under which answers are counted. Keys it is asked for only if nobody else gives them.
pub(crate) const ASKED_FOR_SURE: [&str; 2] = ["hello answered", "sync answered"];

/// Answers under this node key, connection after connection.
pub(crate) async fn attack(aim: Aim, key: SigningKey, mut rng: StdRng) -> anyhow::Result<()> {
    let (network, inbound) = network::start(&NetworkConfig::default(), &key, aim.coalition)?;
    let Inbound { mut gossip, mut hello, mut keys, mut sync, mut links, admin: _admin } = inbound;
    let node = aim.target.node;
    network.set_allowed(BTreeSet::from([node])).await?;
    let mut quic = false;
    while aim.goes_on() {
        quic = !quic;
        let address = if quic { &aim.target.quic } else { &aim.target.tcp };
        // The daemon may turn it away; then there is nothing to answer for a while.
        let _ = network.dial(node, vec![address.clone()]).await;
        let goes = Instant::now() + Duration::from_millis(rng.random_range(500..6000));
        loop {
            tokio::select! {
                Some(asked) = hello.recv() => {
                    aim.tally.count("hello answered");
                    asked.reply.send(to_hello(&mut rng, &aim, asked.request));
                }
                Some(asked) = sync.recv() => {
                    aim.tally.count("sync answered");
                    asked.reply.send(to_sync(&mut rng, &aim, &asked.request));
                }
                Some(asked) = keys.recv() => {
                    aim.tally.count("keys answered");
                    asked.reply.send(to_keys(&mut rng, asked.request));
                }
                Some(message) = gossip.recv() => {
                    let _ = network.verdict(message.ticket, Verdict::Ignore).await;
                }
                Some(_) = links.recv() => {}
                () = sleep_until(goes) => break,
            }
        }
        let _ = network.disconnect(&node).await;
    }
    let _ = network.shutdown().await;
    Ok(())
}

fn refusal(rng: &mut StdRng) -> Refusal {
    let all = [
        Refusal::Unknown,
        Refusal::Unknown,
        Refusal::NotYet,
        Refusal::Busy,
        Refusal::NotEntitled,
        Refusal::Internal,
        Refusal::Unspecified,
    ];
    *all.choose(rng).unwrap_or(&Refusal::Unknown)
}

fn records(rng: &mut StdRng, most: usize) -> Vec<Record> {
    let one = |rng: &mut StdRng| Record { entry: Some(signed(rng)), statement: Some(signed(rng)) };
    (0..rng.random_range(0..=most)).map(|_| one(rng)).collect()
}

/// Mostly as an honest member says hello, or nothing else would be asked; now and then with one thing at its extreme.
fn to_hello(rng: &mut StdRng, aim: &Aim, request: HelloRequest) -> HelloResponse {
    let response = match request.request {
        Some(hello_request::Request::Greet(greet)) => {
            let mut greeted = Greeted {
                roster: greet.roster,
                charter_version: greet.charter_version,
                now: clock::now().as_micros(),
                admitted: true,
                ..Greeted::default()
            };
            match rng.random_range(0..10) {
                0 => greeted.roster = Some(RosterVersion { height: edge(rng), head: bytes(rng, 32) }),
                1 => greeted.charter_version = edge(rng),
                2 => greeted.now = edge(rng),
                3 => greeted.your_logs = invented(rng, aim, 300).logs,
                4 => greeted.head = records(rng, 1).pop(),
                5 => greeted.beacon = Some(signed(rng)),
                _ => {}
            }
            hello_response::Response::Greeted(greeted)
        }
        Some(hello_request::Request::PullAdmin(_)) => match rng.random_range(0..3) {
            0 => hello_response::Response::Refused(refusal(rng).into()),
            _ => hello_response::Response::AdminPage(AdminPage {
                charters: (0..rng.random_range(0..3)).map(|_| signed(rng)).collect(),
                records: records(rng, 50),
                more: true,
            }),
        },
        Some(hello_request::Request::PushAdmin(_)) | None => {
            hello_response::Response::Pushed(RosterVersion { height: edge(rng), head: bytes(rng, 32) })
        }
    };
    HelloResponse { response: Some(response) }
}

fn to_sync(rng: &mut StdRng, aim: &Aim, request: &SyncRequest) -> SyncResponse {
    let asked = request.request.as_ref();
    // One question's answer to another, now and then.
    let kind = if rng.random_bool(0.1) { rng.random_range(0..5) } else { kind(asked) };
    let response = match kind {
        0 => match rng.random_range(0..5) {
            0 => sync_response::Response::Refused(refusal(rng).into()),
            1 => sync_response::Response::Slices(Slices {
                hash: bytes(rng, 32),
                sums: {
                    let length = *[1024, 1024, 0, 1023, 4096].choose(rng).unwrap_or(&1024);
                    bytes(rng, length)
                },
            }),
            _ => {
                let most = *[1, 100, 3000, MAX_FRONTIER_LOGS].choose(rng).unwrap_or(&100);
                sync_response::Response::Frontier(invented(rng, aim, most))
            }
        },
        1 => match rng.random_range(0..3) {
            0 => sync_response::Response::Page(Page {
                envelopes: (0..rng.random_range(0..300)).map(|_| id(rng)).collect(),
                more: true,
                withdrawals: (0..rng.random_range(0..10)).map(|_| id(rng)).collect(),
            }),
            _ => sync_response::Response::Refused(refusal(rng).into()),
        },
        2 => sync_response::Response::Addresses(Addresses {
            records: (0..rng.random_range(0..200)).map(|_| signed(rng)).collect(),
        }),
        3 => sync_response::Response::Fork(Fork { one: id(rng), other: id(rng) }),
        _ => match rng.random_range(0..3) {
            0 => sync_response::Response::ContactTaken(ContactTaken {}),
            _ => sync_response::Response::Contacts(Contacts {
                hash: bytes(rng, 32),
                records: (0..rng.random_range(0..200)).map(|_| signed(rng)).collect(),
                more: true,
            }),
        },
    };
    SyncResponse { response: Some(response) }
}

fn kind(asked: Option<&sync_request::Request>) -> u32 {
    match asked {
        Some(sync_request::Request::Frontier(_) | sync_request::Request::Slices(_)) => 0,
        Some(sync_request::Request::Range(_)) => 1,
        Some(sync_request::Request::Addresses(_)) => 2,
        Some(sync_request::Request::Fork(_)) => 3,
        Some(sync_request::Request::Contacts(_) | sync_request::Request::PushContact(_)) | None => 4,
    }
}

/// Logs that nobody wrote, in a list that is in order in everything else.
fn invented(rng: &mut StdRng, aim: &Aim, most: usize) -> Frontier {
    let ids: BTreeSet<[u8; 32]> = (0..rng.random_range(1..=most)).map(|_| rng.random::<[u8; 32]>()).collect();
    let is_highest = rng.random_bool(0.5);
    let logs: Vec<LogFrontier> = ids
        .into_iter()
        .map(|log| {
            let height = if is_highest { MAX_SEQUENCE } else { rng.random_range(1..=MAX_SEQUENCE) };
            let frozen = *[0, 0, 1, height].choose(rng).unwrap_or(&0);
            LogFrontier {
                group: aim.group,
                log: LogId::new(log),
                low: Sequence::new(1),
                height: Sequence::new(height),
                head: MessageId::new([9; 32]),
                bodies: height,
                frozen: Sequence::new(frozen),
                missing: MissingSum::default(),
            }
        })
        .collect();
    let hash = frontier::hash(aim.coalition, aim.group, &logs).to_vec();
    Frontier { hash, logs: logs.iter().map(schema::LogFrontier::from).collect(), more: rng.random_bool(0.2) }
}

fn to_keys(rng: &mut StdRng, request: KeysRequest) -> KeysResponse {
    let mut response = KeysResponse::default();
    for key_id in request.key_ids {
        match rng.random_range(0..3) {
            0 => response.grants.push(SealedGrant { key_id, sealed: bytes(rng, 1200) }),
            1 => response.refused.push(KeyRefusal { key_id, refusal: refusal(rng).into() }),
            _ => response.grants.push(SealedGrant { key_id: id(rng), sealed: id(rng) }),
        }
    }
    response.stored = request.pushed.into_iter().map(|grant| grant.key_id).collect();
    if rng.random_bool(0.3) {
        response.stored.push(id(rng));
    }
    response
}
