//! The roster at start: what the store holds, gone on from what the operator was given, and what was removed on sight.

use belfry_proto::{
    id::Height,
    schema,
    trust::{charter::CharterChain, log::verify_record, roster::Roster},
};
use prost::Message;

use crate::{
    keys::Enrolment,
    membership,
    store::{Change, Store},
};

/// Records folded from the store at a time.
const PAGE: usize = 1024;

/// Folds the stored admin log, then whatever the file given at joining has beyond it, and makes that
/// durable before it is used.
///
/// # Errors
/// A stored charter or record that does not hold, or the store.
pub(super) async fn restore(store: &Store, enrolment: &Enrolment) -> anyhow::Result<Roster> {
    let stored = store
        .charters()?
        .iter()
        .map(|bytes| schema::Signed::decode(bytes.as_slice()))
        .collect::<Result<Vec<_>, _>>()?;
    let given = u64::try_from(enrolment.log.records.len()).unwrap_or(u64::MAX);
    let entry = store.head()?.height.get().max(given);
    tracing::info!(entry, "folding the admin log up to entry {entry}");
    let mut roster = if stored.is_empty() {
        Roster::new(CharterChain::walk(enrolment.log.charters.iter().take(1).cloned())?)
    } else {
        fold_stored(store, stored)?
    };
    let mut charters = Vec::new();
    if store.charters()?.is_empty() {
        charters.extend(enrolment.log.charters.first().map(|first| (1, first.encode_to_vec())));
    }
    let known = usize::try_from(roster.charter().version()).unwrap_or(usize::MAX);
    for charter in enrolment.log.charters.iter().skip(known) {
        let bytes = charter.encode_to_vec();
        roster.apply_charter(charter.clone())?;
        charters.push((roster.charter().version(), bytes));
    }
    let mut records = Vec::new();
    let known = usize::try_from(roster.version().height.get()).unwrap_or(usize::MAX);
    for record in enrolment.log.records.iter().skip(known) {
        let verified = verify_record(roster.charters(), record)?;
        let height = verified.height;
        roster.apply(verified)?;
        records.push((height, record.encode_to_vec()));
    }
    if !charters.is_empty() || !records.is_empty() {
        // Nobody was asked yet.
        store.vouch_clock(None);
        store.commit(Change::Admin { charters, records, head: roster.version() }).await?;
    }
    anyhow::ensure!(
        store.head()? == roster.version(),
        "the admin log in the store ends at {}, but its head was at {}: restore the folder from a backup, or remove \
         its store and sync again",
        roster.version(),
        store.head()?
    );
    membership::recall(store, &mut roster)?;
    Ok(roster)
}

fn fold_stored(store: &Store, charters: Vec<schema::Signed>) -> anyhow::Result<Roster> {
    let mut roster = Roster::new(CharterChain::walk(charters)?);
    loop {
        let next = Height::new(roster.version().height.get() + 1);
        let page = store.records(next, PAGE)?;
        if page.is_empty() {
            return Ok(roster);
        }
        for bytes in page {
            let record = schema::Record::decode(bytes.as_slice())?;
            let verified = verify_record(roster.charters(), &record)?;
            roster.apply(verified)?;
        }
    }
}
