//! What the registrar signed beyond our admin log: then a removal may be in it, and nothing is sealed until it is here.
//!
//! ```text
//! record (gossip, hello, refusal) ─▶ verified, above our head ─┐
//! beacon that waits for its head ──────────────────────────────┴─▶ the gate closes
//!       our log has it │ the registrar's key was replaced │ it signed two logs │ the beacon expired ─▶ it opens again
//! ```
//!
//! Whoever brings it, it is the registrar's word, so it holds for as long as it is true. Where the registrar is proven
//! to have signed two logs its word is worth no more than anybody's.

use belfry_proto::{
    crypto::sign::PublicKey,
    id::Height,
    schema,
    trust::{
        beacon,
        log::{VerifiedRecord, verify_record},
        roster::Roster,
    },
};

use super::Membership;
use crate::clock;

impl Membership {
    /// A peer shows a record: it counts if it verifies and lies beyond our log.
    pub(super) fn shown_head(&mut self, peer: PublicKey, record: &schema::Record) {
        match verify_record(self.roster_now().charters(), record) {
            Ok(verified) => self.note_ahead(verified),
            // Under a charter that we do not have, perhaps: a claim like any other.
            Err(error) => tracing::debug!(%peer, "the record shown as head of its admin log: {error}"),
        }
    }

    /// Takes up a record beyond our log.
    pub(super) fn note_ahead(&mut self, record: VerifiedRecord) {
        let is_higher = self.ahead.as_ref().is_none_or(|known| known.height < record.height);
        if is_higher && is_beyond(&self.roster_now(), &record) {
            self.ahead = Some(record);
            self.settle_ahead();
        }
    }

    /// Looks at what lies beyond our log again: the log, the charter, the proofs or the time are others.
    pub(super) fn settle_ahead(&mut self) {
        let roster = self.roster_now();
        self.ahead.take_if(|record| !is_beyond(&roster, record));
        let waiting = self
            .beacons
            .waiting()
            .filter(|(_, signed)| beacon::verify(roster.charter(), signed, clock::now()).is_ok());
        let heights = [
            self.ahead.as_ref().map(|record| record.height),
            waiting.map(|(beacon, _)| beacon.head.height).filter(|height| *height > roster.version().height),
        ];
        let pinned = roster.charter().pin().map_or(Height::new(0), |pin| pin.height);
        let is_forked = self.watch.borrow().equivocations.iter().any(|height| *height > pinned);
        let beyond = heights.into_iter().flatten().max().filter(|_| !is_forked);
        self.hellos.send_modify(|hellos| {
            if beyond.is_some() && !hellos.company.is_ahead() {
                tracing::info!(
                    height = beyond.map(Height::get),
                    "the registrar signed what lies beyond our admin log: nothing is sealed until it is here"
                );
            }
            hellos.company.signed(beyond);
        });
    }
}

/// Whether the registrar of today ordered the record at a place that our log does not reach. A former one's key may
/// be in anybody's hands; a record that would come next but follows another entry is of another log, and so is one
/// beyond the newest charter's pin that an older charter's admins made: it would be void in ours.
fn is_beyond(roster: &Roster, record: &VerifiedRecord) -> bool {
    let ours = roster.version();
    let by = record.record.entry.as_ref().and_then(|entry| entry.signatures.first());
    let is_registrar = by.is_some_and(|by| by.key == roster.charter().registrar().as_bytes().as_slice());
    let is_next = record.height.get() == ours.height.get() + 1;
    let charter = roster.charter();
    let is_pinned = charter.pin().is_none_or(|pin| record.height <= pin.height);
    let is_of_charter = is_pinned || record.statement.charter_version >= charter.version();
    is_registrar && is_of_charter && record.height > ours.height && (!is_next || record.prev == ours.head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CIDR, Coalition};

    /// A charter pins where the admins of the one before end: what they order beyond it is of another log.
    #[test]
    fn beyond_a_pin_only_what_the_new_charters_admins_decided_lies_ahead() {
        let mut coalition = Coalition::new();
        coalition.issue(1, &[CIDR]);
        let mut ours = coalition.roster.clone();
        coalition.issue(2, &[CIDR]);
        let pin = coalition.roster.version();
        let mut old = coalition.clone();
        old.issue(3, &[CIDR]);
        old.issue(4, &[CIDR]);
        let next = coalition.next_charter(pin);
        coalition.roster.apply_charter(next.clone()).unwrap();
        coalition.issue(5, &[CIDR]);
        coalition.issue(6, &[CIDR]);
        let beyond = |ours: &Roster, of: &Coalition, height: u64| {
            let record = of.roster.records().find(|record| record.height.get() == height).unwrap();
            is_beyond(ours, &verify_record(ours.charters(), &record.record).unwrap())
        };
        let of_old = |ours: &Roster| [2, 3, 4].map(|height| beyond(ours, &old, height));
        assert_eq!(of_old(&ours), [true; 3], "under the old charter all of it is the registrar's word");
        ours.apply_charter(next).unwrap();
        assert_eq!(
            of_old(&ours),
            [true, false, false],
            "what is pinned is of our log, what follows it is not"
        );
        assert_eq!([2, 3, 4].map(|height| beyond(&ours, &coalition, height)), [true; 3]);
    }
}
