//! What peers send each other beside envelopes.

use belfry_proto::{
    envelope::{Decoded, decode},
    id::{GroupId, RosterVersion, Sequence},
    limits::MAX_REPLY,
    schema::{
        self, AdminGossip, HelloRequest, HelloResponse, KeysRequest, KeysResponse, SyncRequest, SyncResponse,
        admin_gossip, decode_canonical, hello_request, hello_response, sync_request, sync_response,
    },
    sync::{
        LogFrontier, Range, check_fork, check_page, hash, plan::Want, plan::plan, read_list, slices::Sums,
    },
    trust::{log::verify_record, on_sight::RemovalSeen},
};
use prost::Message;

use super::vectors::{golden, roster};

fn read<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    let message = decode_canonical::<M>("message", bytes, MAX_REPLY).ok()?;
    assert_eq!(message.encode_to_vec(), bytes);
    Some(message)
}

fn record(record: &schema::Record) {
    let _ = verify_record(roster().charters(), record);
    if let Some(statement) = &record.statement
        && let Ok(removal) = RemovalSeen::unordered(roster().charters(), statement)
    {
        assert!(removal.serial().is_some());
        let _ = roster().clone().see(removal);
    }
}

/// Hello in both directions, and the admin topic.
pub fn hello(bytes: &[u8]) {
    if let Some(HelloRequest { request: Some(request) }) = read(bytes) {
        match request {
            hello_request::Request::Greet(greet) => {
                greet.certificate.iter().for_each(record);
                let _ = greet.roster.as_ref().map(RosterVersion::try_from);
                greet.your_logs.iter().for_each(|log| drop(LogFrontier::try_from(log)));
            }
            hello_request::Request::PushAdmin(page) => page.records.iter().for_each(record),
            hello_request::Request::PullAdmin(_) => {}
        }
    }
    if let Some(HelloResponse { response: Some(hello_response::Response::AdminPage(page)) }) = read(bytes) {
        page.records.iter().for_each(record);
    }
    if let Some(AdminGossip { item: Some(admin_gossip::Item::Record(gossiped)) }) = read(bytes) {
        record(&gossiped);
    }
}

pub fn hello_seeds() -> Vec<Vec<u8>> {
    let certificate = schema::Record::decode(golden("issue", "record").as_slice()).unwrap();
    let charter = schema::Signed::decode(golden("charter_1", "signed").as_slice()).unwrap();
    let greet = schema::Greet {
        coalition: golden("ids", "coalition"),
        certificate: Some(certificate.clone()),
        roster: Some(roster().version().into()),
        charter_version: 1,
        now: 1_767_225_600_000_000,
        your_logs: vec![log_frontier()],
    };
    let page = schema::AdminPage { charters: vec![charter], records: vec![certificate.clone()], more: true };
    let request = |request| HelloRequest { request: Some(request) }.encode_to_vec();
    vec![
        request(hello_request::Request::Greet(greet)),
        request(hello_request::Request::PushAdmin(page.clone())),
        request(hello_request::Request::PullAdmin(schema::PullAdmin { from_height: 1, from_charter: 1 })),
        HelloResponse { response: Some(hello_response::Response::AdminPage(page)) }.encode_to_vec(),
        AdminGossip { item: Some(admin_gossip::Item::Record(certificate)) }.encode_to_vec(),
    ]
}

fn log_frontier() -> schema::LogFrontier {
    schema::LogFrontier {
        group: 1,
        log: golden("ids", "log"),
        low: 1,
        height: 1,
        head: golden("ids", "message_one"),
        bodies: 1,
        frozen: 2,
        missing: vec![7; 16],
    }
}

/// Key requests and answers.
pub fn keys(bytes: &[u8]) {
    let _ = read::<KeysRequest>(bytes);
    let _ = read::<KeysResponse>(bytes);
}

pub fn keys_seeds() -> Vec<Vec<u8>> {
    let (id, sealed) = (golden("messages", "key_id"), golden("data", "grant"));
    let grant = schema::SealedGrant { key_id: id.clone(), sealed };
    let refusal = schema::KeyRefusal { key_id: id.clone(), refusal: schema::Refusal::NotYet.into() };
    vec![
        KeysRequest { group: 1, key_ids: vec![id.clone()], pushed: vec![grant.clone()] }.encode_to_vec(),
        KeysResponse { grants: vec![grant], refused: vec![refusal], stored: vec![id] }.encode_to_vec(),
    ]
}

/// Frontiers are read, compared and planned from; pages are checked against what could have been asked.
pub fn sync(bytes: &[u8]) {
    let _ = read::<SyncRequest>(bytes);
    match read(bytes) {
        Some(SyncResponse { response: Some(sync_response::Response::Frontier(frontier)) }) => {
            let group = GroupId::new(frontier.logs.first().map_or(1, |log| log.group));
            let Ok(theirs) = read_list(group, &frontier.logs) else { return };
            let wanted = plan(&[], &theirs);
            assert!(wanted.iter().all(|range| range.from <= range.to && range.from.get() >= 1));
            assert!(plan(&theirs, &theirs).iter().all(|range| range.want == Want::Bodies));
            let _ = hash(roster().coalition(), group, &theirs);
        }
        Some(SyncResponse { response: Some(sync_response::Response::Page(page)) }) => {
            let decoded: Vec<Decoded> =
                page.envelopes.iter().filter_map(|bytes| decode(bytes).ok()).collect();
            let Some(header) = decoded.first().map(Decoded::header) else { return };
            let range = Range {
                group: header.group,
                log: header.log,
                from: header.sequence,
                to: Sequence::new(u64::MAX),
                want: Want::Entries,
            };
            let _ = check_page(&range, &decoded);
        }
        Some(SyncResponse { response: Some(sync_response::Response::Fork(fork)) }) => {
            let (Ok(one), Ok(other)) = (decode(&fork.one), decode(&fork.other)) else { return };
            let header = one.header();
            let _ = check_fork(header.group, header.log, header.sequence, [&one, &other]);
        }
        Some(SyncResponse { response: Some(sync_response::Response::Slices(slices)) }) => {
            let Ok(sums) = Sums::read(&slices.sums) else { return };
            assert_eq!(sums.to_vec(), slices.sums);
            let _ = sums.differing(&Sums::of(roster().coalition(), GroupId::new(1), &[]));
        }
        _ => {}
    }
}

pub fn sync_seeds() -> Vec<Vec<u8>> {
    let request = |request| SyncRequest { request: Some(request) }.encode_to_vec();
    let response = |response| SyncResponse { response: Some(response) }.encode_to_vec();
    let address = schema::Signed::decode(golden("address", "signed").as_slice()).unwrap();
    let contact = schema::Signed::decode(golden("contact", "signed").as_slice()).unwrap();
    vec![
        request(sync_request::Request::Frontier(schema::PullFrontier {
            group: 1,
            hash: vec![1; 32],
            after: vec![2; 32],
        })),
        request(sync_request::Request::Range(schema::PullRange {
            group: 1,
            log: golden("ids", "log"),
            from: 1,
            to: 9,
        })),
        request(sync_request::Request::Slices(schema::PullSlices {
            group: 1,
            hash: vec![1; 32],
            only: 5,
            after: vec![2; 32],
        })),
        response(sync_response::Response::Slices(schema::Slices { hash: vec![1; 32], sums: vec![3; 1024] })),
        response(sync_response::Response::Frontier(schema::Frontier {
            more: true,
            hash: golden("keys", "frontier_hash"),
            logs: vec![log_frontier()],
        })),
        response(sync_response::Response::Page(schema::Page {
            envelopes: vec![golden("messages", "one"), golden("messages", "two")],
            more: false,
            withdrawals: vec![golden("withdrawal", "envelope")],
        })),
        request(sync_request::Request::Fork(schema::PullFork { group: 1, log: golden("ids", "log") })),
        response(sync_response::Response::Fork(schema::Fork {
            one: golden("messages", "one"),
            other: golden("messages", "two"),
        })),
        response(sync_response::Response::Addresses(schema::Addresses { records: vec![address] })),
        request(sync_request::Request::Contacts(schema::PullContacts {
            hash: golden("contact", "hash"),
            after: vec![4; 16],
        })),
        request(sync_request::Request::PushContact(contact.clone())),
        response(sync_response::Response::Contacts(schema::Contacts {
            hash: golden("contact", "hash"),
            records: vec![contact],
            more: true,
        })),
        response(sync_response::Response::ContactTaken(schema::ContactTaken {})),
    ]
}
