//! Answers to `/belfry/sync/1`, each from one bounded read.

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId, Sequence},
    limits,
    schema::{
        Addresses, Frontier, Page, PullFrontier, PullRange, Refusal, Signed, SyncRequest, SyncResponse,
        sync_request, sync_response::Response,
    },
    sync::frontier::LogFrontier,
    time::Timestamp,
    trust::roster::Roster,
};
use prost::Message;

use crate::store::{LogRow, Store};

pub(super) fn answer(
    store: &Store,
    roster: &Roster,
    from: &PublicKey,
    request: SyncRequest,
    now: Timestamp,
) -> SyncResponse {
    let response = match request.request {
        Some(sync_request::Request::Frontier(pull)) => frontier(store, roster, from, &pull, now),
        Some(sync_request::Request::Range(pull)) => range(store, roster, from, &pull, now),
        Some(sync_request::Request::Addresses(_)) => addresses(store),
        None => Err(Refusal::Malformed),
    };
    SyncResponse { response: Some(response.unwrap_or_else(|refusal| Response::Refused(refusal.into()))) }
}

/// Entitled readers and carriers; others could only gather ciphertext they have no business with.
fn entitled(roster: &Roster, from: &PublicKey, group: u32, now: Timestamp) -> Result<GroupId, Refusal> {
    let group = GroupId::new(group);
    let certificate = roster.by_node(from).ok_or(Refusal::NotCertified)?;
    if !roster.is_admitted(from, now) {
        return Err(Refusal::NotCertified);
    }
    if certificate.carrier || roster.role(certificate.serial, group, now).is_some() {
        Ok(group)
    } else {
        Err(Refusal::NotEntitled)
    }
}

fn frontier(
    store: &Store,
    roster: &Roster,
    from: &PublicKey,
    pull: &PullFrontier,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let group = entitled(roster, from, pull.group, now)?;
    let rows = store.logs(group).map_err(|_| Refusal::Internal)?;
    let logs: Vec<LogFrontier> = rows.iter().map(frontier_of).collect();
    let hash = belfry_proto::sync::frontier::hash(roster.coalition(), group, &logs);
    let logs = if pull.hash == hash {
        Vec::new()
    } else {
        logs.iter().take(limits::MAX_FRONTIER_LOGS).map(belfry_proto::schema::LogFrontier::from).collect()
    };
    Ok(Response::Frontier(Frontier { hash: hash.to_vec(), logs }))
}

fn range(
    store: &Store,
    roster: &Roster,
    from: &PublicKey,
    pull: &PullRange,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let group = entitled(roster, from, pull.group, now)?;
    let log = LogId::try_from(pull.log.as_slice()).map_err(|_| Refusal::Malformed)?;
    if pull.from == 0 || pull.to < pull.from {
        return Err(Refusal::Malformed);
    }
    let last = pull.to.min(pull.from.saturating_add(limits::MAX_PAGE_ENVELOPES as u64 - 1));
    let envelopes = store
        .envelopes(
            group,
            log,
            Sequence::new(pull.from),
            Sequence::new(last),
            limits::MAX_REPLY - limits::MAX_TRANSMIT,
        )
        .map_err(|_| Refusal::Internal)?;
    let more = !envelopes.is_empty() && pull.from + (envelopes.len() as u64) <= pull.to;
    Ok(Response::Page(Page { envelopes, more }))
}

fn addresses(store: &Store) -> Result<Response, Refusal> {
    let mut records = Vec::new();
    let mut room = limits::MAX_REPLY - 1024;
    for row in store.addresses().map_err(|_| Refusal::Internal)? {
        if row.bytes.len() + 8 > room {
            break;
        }
        room -= row.bytes.len() + 8;
        records.push(Signed::decode(row.bytes.as_slice()).map_err(|_| Refusal::Internal)?);
    }
    Ok(Response::Addresses(Addresses { records }))
}

/// A store row as peers compare it.
pub(super) fn frontier_of(row: &LogRow) -> LogFrontier {
    LogFrontier {
        group: row.group,
        log: row.log,
        low: row.low,
        height: row.height,
        head: row.head,
        bodies: row.bodies,
    }
}
