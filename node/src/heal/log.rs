//! The admin log of a damaged store, as far as it holds, with the help of the file given at joining.

use belfry_proto::{
    id::Height,
    schema::{Record, Signed},
    trust::{charter::CharterChain, log::verify_record, roster::Roster},
};
use prost::Message;

use super::HealError;
use crate::{
    keys::Enrolment,
    store::{Change, Salvage, Store},
};

/// Folds what there is, up to the first entry that is nowhere, and makes that durable in the new store. What is beyond
/// comes from the other nodes, before anything is sealed.
pub(super) fn fold(salvage: &Salvage, enrolment: &Enrolment, new: &Store) -> Result<Roster, HealError> {
    let chain = chain(salvage, enrolment)?;
    let mut roster = Roster::new(chain);
    let stored = salvage.records();
    let mut records = Vec::new();
    loop {
        let next = Height::new(roster.version().height.get() + 1);
        let ours = stored.get(&next.get()).and_then(|bytes| Record::decode(bytes.as_slice()).ok());
        let at = usize::try_from(next.get() - 1).unwrap_or(usize::MAX);
        let given = enrolment.log.records.get(at).cloned();
        let holds = |record: &Record| {
            let verified = verify_record(roster.charters(), record).ok()?;
            let mut ahead = roster.clone();
            ahead.apply(verified).ok().map(|()| ahead)
        };
        let found = ours.into_iter().chain(given).find_map(|record| Some((holds(&record)?, record)));
        let Some((ahead, record)) = found else { break };
        roster = ahead;
        records.push((next, record.encode_to_vec()));
    }
    let signed = roster.charters().signed().iter();
    let charters = (1..).zip(signed).map(|(version, charter)| (version, charter.encode_to_vec())).collect();
    new.commit_blocking(Change::Admin { charters, records, head: roster.version() })?;
    Ok(roster)
}

/// The longest chain of charters that holds.
fn chain(salvage: &Salvage, enrolment: &Enrolment) -> Result<CharterChain, HealError> {
    let (stored, mut charters) = (salvage.charters(), Vec::new());
    for version in 1_u64.. {
        let ours = stored.get(&version).and_then(|bytes| Signed::decode(bytes.as_slice()).ok());
        let at = usize::try_from(version - 1).unwrap_or(usize::MAX);
        let given = enrolment.log.charters.get(at).cloned();
        let holds =
            |next: &Signed| CharterChain::walk(charters.iter().cloned().chain([next.clone()])).is_ok();
        match ours.into_iter().chain(given).find(holds) {
            Some(charter) => charters.push(charter),
            None => break,
        }
    }
    Ok(CharterChain::walk(charters)?)
}
