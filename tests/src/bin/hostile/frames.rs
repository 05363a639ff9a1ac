//! What is said: nearly right, and wrong in one way or in many.

use belfry_proto::{
    id::{CoalitionId, GroupId},
    schema::{
        AdminPage, Greet, HelloRequest, KeysRequest, LogFrontier, PullAdmin, PullContacts, PullFrontier,
        PullRange, PullSlices, Record, RosterVersion, SealedGrant, Signature, Signed, SyncRequest,
        hello_request, sync_request,
    },
    topic::Topic,
};
use prost::Message as _;
use rand::{Rng as _, RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

/// Numbers at which arithmetic breaks.
const EDGES: [u64; 8] = [0, 1, 127, 128, u32::MAX as u64, i64::MAX as u64, u64::MAX - 1, u64::MAX];

pub(crate) fn bytes(rng: &mut StdRng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    bytes
}

pub(crate) fn edge(rng: &mut StdRng) -> u64 {
    *EDGES.choose(rng).unwrap_or(&0)
}

/// Bytes of a length that something expects, or of another.
pub(crate) fn id(rng: &mut StdRng) -> Vec<u8> {
    let length = *[32, 32, 32, 0, 1, 31, 33, 4096].choose(rng).unwrap_or(&32);
    bytes(rng, length)
}

/// A frame for a stream of `protocol`.
pub(crate) fn frame(rng: &mut StdRng, protocol: &str, coalition: CoalitionId, group: GroupId) -> Vec<u8> {
    match protocol {
        "/meshsub/1.1.0" => gossip(rng, coalition, group),
        "/ipfs/id/1.0.0" | "/ipfs/id/push/1.0.0" => identify(rng),
        "/ipfs/ping/1.0.0" => {
            let length = *[0, 31, 32, 33, 100_000].choose(rng).unwrap_or(&32);
            bytes(rng, length)
        }
        "/belfry/sync/1" | "/belfry/sync/2" => framed(rng, |rng| sync(rng, group)),
        "/belfry/keys/1" => framed(rng, |rng| keys(rng, group)),
        _ => framed(rng, |rng| hello(rng, coalition, group)),
    }
}

/// belfry's framing: four bytes of length, which may lie.
fn framed(rng: &mut StdRng, body: impl Fn(&mut StdRng) -> Vec<u8>) -> Vec<u8> {
    let body = body(rng);
    let body = spoilt(rng, body);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let told = match rng.random_range(0..10) {
        0 => u32::MAX,
        1 => length.wrapping_add(1),
        2 => length.wrapping_sub(1),
        _ => length,
    };
    [&told.to_be_bytes()[..], &body].concat()
}

/// As it is, or with a few bits flipped, cut short, or with something behind.
fn spoilt(rng: &mut StdRng, mut body: Vec<u8>) -> Vec<u8> {
    match rng.random_range(0..5) {
        0 if !body.is_empty() => {
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(0..body.len());
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
        }
        1 => body.truncate(body.len() / 2),
        2 => {
            let more = rng.random_range(1..2000);
            body.extend(bytes(rng, more));
        }
        _ => {}
    }
    body
}

fn sync(rng: &mut StdRng, group: GroupId) -> Vec<u8> {
    let group = if rng.random_bool(0.7) { group.get() } else { rng.random() };
    let request = match rng.random_range(0..5) {
        0 => sync_request::Request::Range(PullRange { group, log: id(rng), from: edge(rng), to: edge(rng) }),
        1 => sync_request::Request::Contacts(PullContacts { hash: id(rng), after: id(rng) }),
        2 => {
            let length = *[0, 100, 4096, 5000].choose(rng).unwrap_or(&100);
            sync_request::Request::PushContact(Signed {
                payload: bytes(rng, length),
                signatures: vec![Signature { key: id(rng), signature: bytes(rng, 64) }],
            })
        }
        3 => sync_request::Request::Frontier(PullFrontier { group, hash: id(rng), after: id(rng) }),
        _ => {
            let (hash, only, after) = (id(rng), edge(rng), id(rng));
            sync_request::Request::Slices(PullSlices { group, hash, only, after })
        }
    };
    SyncRequest { request: Some(request) }.encode_to_vec()
}

fn keys(rng: &mut StdRng, group: GroupId) -> Vec<u8> {
    let key_ids = (0..*[0, 1, 64, 65, 500].choose(rng).unwrap_or(&1)).map(|_| id(rng)).collect();
    let pushed = (0..rng.random_range(0..4)).map(|_| {
        let length = *[0, 100, 1200, 60_000].choose(rng).unwrap_or(&100);
        SealedGrant { key_id: id(rng), sealed: bytes(rng, length) }
    });
    KeysRequest { group: group.get(), key_ids, pushed: pushed.collect() }.encode_to_vec()
}

pub(crate) fn signed(rng: &mut StdRng) -> Signed {
    let length = rng.random_range(0..2000);
    Signed { payload: bytes(rng, length), ..Signed::default() }
}

fn hello(rng: &mut StdRng, coalition: CoalitionId, group: GroupId) -> Vec<u8> {
    let request = match rng.random_range(0..3) {
        0 => {
            let certificate = rng
                .random_bool(0.5)
                .then(|| Record { statement: Some(signed(rng)), entry: Some(signed(rng)) });
            let your_logs = (0..*[0, 1, 300].choose(rng).unwrap_or(&0)).map(|_| LogFrontier {
                group: group.get(),
                log: id(rng),
                low: edge(rng),
                height: edge(rng),
                head: id(rng),
                bodies: edge(rng),
                frozen: edge(rng),
                missing: id(rng),
            });
            let your_logs = your_logs.collect();
            hello_request::Request::Greet(Greet {
                coalition: if rng.random_bool(0.8) { coalition.to_vec() } else { id(rng) },
                your_logs,
                certificate,
                roster: Some(RosterVersion { height: edge(rng), head: id(rng) }),
                charter_version: edge(rng),
                now: edge(rng),
            })
        }
        1 => hello_request::Request::PullAdmin(PullAdmin { from_height: edge(rng), from_charter: edge(rng) }),
        _ => hello_request::Request::PushAdmin(AdminPage {
            charters: (0..rng.random_range(0..3)).map(|_| signed(rng)).collect(),
            records: Vec::new(),
            more: true,
        }),
    };
    HelloRequest { request: Some(request) }.encode_to_vec()
}

/// One protobuf field: number and wire type 2.
fn field(number: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut out);
    prost::encoding::encode_varint(body.len() as u64, &mut out);
    out.extend(body);
    out
}

fn number(field: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::from(field << 3), &mut out);
    prost::encoding::encode_varint(value, &mut out);
    out
}

/// A length in front, as gossipsub and identify have it.
fn prefixed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(body.len() as u64, &mut out);
    out.extend(body);
    out
}

/// Some frames of gossipsub: subscriptions, messages, and every kind of control message at its extremes.
fn gossip(rng: &mut StdRng, coalition: CoalitionId, group: GroupId) -> Vec<u8> {
    let topic = |rng: &mut StdRng| {
        if rng.random_bool(0.7) {
            Topic::Group(group).wire_name(coalition).into_bytes()
        } else {
            let length = *[0, 10, 3000].choose(rng).unwrap_or(&10);
            bytes(rng, length)
        }
    };
    let ids = |rng: &mut StdRng, number: u32| {
        // Many of the usual length, or a few of any: making them must cost less than reading them.
        if rng.random_bool(0.2) {
            (0..5000).flat_map(|_| field(number, &bytes(rng, 32))).collect::<Vec<u8>>()
        } else {
            (0..5).flat_map(|_| field(number, &id(rng))).collect()
        }
    };
    let mut frames = Vec::new();
    for _ in 0..rng.random_range(1..20) {
        let rpc = match rng.random_range(0..8) {
            // Subscribed, or not, to what there is and what there is not.
            0 => (0..*[1, 50, 2000].choose(rng).unwrap_or(&1))
                .flat_map(|_| {
                    let subscribe = rng.random_bool(0.7);
                    let name = topic(rng);
                    field(1, &[number(1, u64::from(subscribe)), field(2, &name)].concat())
                })
                .collect(),
            1 | 2 => {
                let length = *[0, 100, 2000, 100_000].choose(rng).unwrap_or(&100);
                let mut message = [field(2, &bytes(rng, length)), field(4, &topic(rng))].concat();
                if rng.random_bool(0.3) {
                    // Author, number, signature and key, which nobody here may have.
                    message.extend(
                        [field(1, &id(rng)), field(3, &id(rng)), field(5, &id(rng)), field(6, &id(rng))]
                            .concat(),
                    );
                }
                field(2, &message)
            }
            3 => field(3, &field(1, &[field(1, &topic(rng)), ids(rng, 2)].concat())),
            4 => field(3, &field(2, &ids(rng, 1))),
            5 => field(3, &field(3, &field(1, &topic(rng)))),
            6 => {
                let peers: Vec<u8> = (0..20).flat_map(|_| field(2, &field(1, &id(rng)))).collect();
                field(3, &field(4, &[field(1, &topic(rng)), peers, number(3, edge(rng))].concat()))
            }
            _ => field(3, &field(5, &ids(rng, 1))),
        };
        frames.extend(prefixed(&spoilt(rng, rpc)));
    }
    if rng.random_bool(0.1) {
        // A frame that promises more than any may have.
        prost::encoding::encode_varint(edge(rng), &mut frames);
    }
    frames
}

fn identify(rng: &mut StdRng) -> Vec<u8> {
    let addresses: Vec<u8> =
        (0..*[1, 200].choose(rng).unwrap_or(&1)).flat_map(|_| field(2, &id(rng))).collect();
    let protocols: Vec<u8> = (0..100).flat_map(|n| field(3, format!("/p/{n}").as_bytes())).collect();
    let body = [
        field(1, &id(rng)),
        addresses,
        protocols,
        field(4, &id(rng)),
        field(5, b"agent"),
        field(6, &id(rng)),
    ];
    prefixed(&spoilt(rng, body.concat()))
}
