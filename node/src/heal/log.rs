//! The admin log of a damaged store: all of it, or none is believed.
//!
//! A node whose log ends earlier than it did admits again whom the coalition revoked since. So a log that is folded from
//! what reads has to reach what the old store is known to have had; what is missing is given by the operator.

use belfry_proto::{
    id::{Height, RosterVersion},
    schema::{LogFile, Record, Signed},
    trust::{charter::CharterChain, log::verify_record, roster::Roster},
};
use prost::Message;

use super::HealError;
use crate::{
    keys::Enrolment,
    store::{Change, Numbered, Salvage, Store},
};

/// What the old store had, and the files that may have what it lost.
pub(super) struct Sources<'a> {
    charters: Numbered,
    records: Numbered,
    seen: Numbered,
    head: Option<RosterVersion>,
    joined: &'a LogFile,
    given: Option<&'a LogFile>,
}

/// A log that goes as far as the old store's.
pub(super) struct Folded {
    pub(super) roster: Roster,
    /// The old store's own head says so; else it was only the best that could be known.
    pub(super) is_proven: bool,
}

impl<'a> Sources<'a> {
    pub(super) fn of(salvage: &Salvage, enrolment: &'a Enrolment, given: Option<&'a LogFile>) -> Self {
        Self {
            charters: salvage.charters(),
            records: salvage.records(),
            seen: salvage.seen(),
            head: salvage.head(),
            joined: &enrolment.log,
            given,
        }
    }

    /// Folds what there is and makes it durable in the new store.
    pub(super) fn fold(&self, new: &Store) -> Result<Folded, HealError> {
        let mut roster = Roster::new(self.chain()?);
        let mut records = Vec::new();
        loop {
            let next = Height::new(roster.version().height.get() + 1);
            let stored = self.records.rows.get(&next.get());
            let ours = stored.and_then(|bytes| Record::decode(bytes.as_slice()).ok());
            let at = usize::try_from(next.get() - 1).unwrap_or(usize::MAX);
            let theirs = self.files().filter_map(|file| file.records.get(at).cloned());
            let holds = |record: &Record| {
                let verified = verify_record(roster.charters(), record).ok()?;
                let mut ahead = roster.clone();
                ahead.apply(verified).ok().map(|()| ahead)
            };
            let found = ours.into_iter().chain(theirs).find_map(|record| Some((holds(&record)?, record)));
            let Some((ahead, record)) = found else { break };
            roster = ahead;
            records.push((next, record.encode_to_vec()));
        }
        self.reaches(&roster)?;
        let signed = roster.charters().signed().iter();
        let charters =
            (1..).zip(signed).map(|(version, charter)| (version, charter.encode_to_vec())).collect();
        new.commit_blocking(Change::Admin { charters, records, head: roster.version() })?;
        Ok(Folded { roster, is_proven: self.head.is_some() })
    }

    fn files(&self) -> impl Iterator<Item = &LogFile> {
        std::iter::once(self.joined).chain(self.given)
    }

    /// The longest chain of charters that holds.
    fn chain(&self) -> Result<CharterChain, HealError> {
        let mut charters = Vec::new();
        for version in 1_u64.. {
            let stored = self.charters.rows.get(&version);
            let ours = stored.and_then(|bytes| Signed::decode(bytes.as_slice()).ok());
            let at = usize::try_from(version - 1).unwrap_or(usize::MAX);
            let theirs = self.files().filter_map(|file| file.charters.get(at).cloned());
            let holds =
                |next: &Signed| CharterChain::walk(charters.iter().cloned().chain([next.clone()])).is_ok();
            match ours.into_iter().chain(theirs).find(holds) {
                Some(charter) => charters.push(charter),
                None => break,
            }
        }
        Ok(CharterChain::walk(charters)?)
    }

    fn reaches(&self, roster: &Roster) -> Result<(), HealError> {
        let (version, had) = (roster.charter().version(), self.charters.last());
        // Whoever gives a log says that it is the newest; otherwise what does not read could have been a later charter.
        if version < had || !self.charters.is_whole && self.given.is_none() {
            return Err(HealError::Charters { have: version });
        }
        // A new charter may have cut the log back below what the store had.
        let is_cut = version > had && roster.charter().pin().is_some_and(|pin| roster.is_prefix(pin));
        let least = self.records.last().max(self.seen.last());
        let reached = match self.head {
            Some(head) => roster.is_prefix(head),
            None => {
                let is_sure = self.records.is_whole || self.seen.is_whole || self.given.is_some();
                is_sure && roster.version().height.get() >= least
            }
        };
        match reached || is_cut {
            true => Ok(()),
            false => Err(HealError::Log {
                have: roster.version().height,
                had: self.head.map_or(Height::new(least), |head| head.height),
            }),
        }
    }
}

#[cfg(test)]
impl Sources<'_> {
    /// As if a block with the end of the records, the times they came and the head did not read.
    pub(super) fn lose_records(&mut self) {
        for column in [&mut self.records, &mut self.seen] {
            column.rows.pop_last();
            column.is_whole = false;
        }
        self.head = None;
    }
}
