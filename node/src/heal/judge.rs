//! The ladder, for what was stored once.

use std::sync::Arc;

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{self, Admission, AdmitError, Admitted, AttributeError, Decoded, NotNow, Origin},
    time::Timestamp,
    trust::roster::Roster,
    verdict::Judged,
};

use super::HealError;
use crate::{
    clock, rows,
    store::{EnvelopeRow, MessageState, ParkRow, Parker, Salvaged},
};

/// What becomes of a salvaged envelope.
#[derive(Debug)]
pub(super) enum Fate {
    Stored(Box<EnvelopeRow>),
    /// It names more of the admin log than there is since a charter cut that back.
    Parked(Box<ParkRow>),
    Refused(&'static str),
}

/// By what a salvaged envelope is judged.
pub(super) struct Judge {
    pub(super) roster: Arc<Roster>,
    /// The admin log reaches the old store's head for certain.
    pub(super) is_proven: bool,
    /// Whose own messages are not held against its clock.
    pub(super) node: PublicKey,
    pub(super) now: Timestamp,
}

impl Judge {
    /// Puts an envelope through the whole ladder: what the old store said of it is not believed, but for when it came. It
    /// is opened later, by whoever opens what stands again.
    pub(super) fn fate(&self, found: &Salvaged) -> Result<Fate, HealError> {
        let roster = &self.roster;
        let decoded = match envelope::decode(&found.bytes) {
            Ok(decoded) => decoded,
            Err(error) => return Ok(Fate::Refused(error.code())),
        };
        let claimed = decoded.clone();
        let attributed = match decoded.attribute(roster) {
            Ok(attributed) => attributed,
            Err(AttributeError::AheadOfRoster { .. }) => return self.ahead(&claimed, found),
            Err(error) => return Ok(Fate::Refused(error.code())),
        };
        let verified = match attributed.verify() {
            Ok(verified) => verified,
            Err(error) => return Ok(Fate::Refused(error.code())),
        };
        let (received, height) = (found.row.received, roster.version().height);
        let author = roster.certificate(claimed.header().serial);
        let is_own =
            author.is_some_and(|certificate| certificate.node == self.node) && !verified.lacks_body();
        let admission = Admission {
            origin: if is_own { Origin::Own } else { Origin::Sync },
            // It was in time when it came, whatever the clock says today.
            now: self.now.max(received),
            skew: roster.charter().clock_skew(),
        };
        let row = match verified.admit(roster, admission) {
            Ok(admitted) => admitted_row(roster, &admitted, received, self.now),
            Err(AdmitError::Quarantined(beyond)) => {
                let (header, id) = (beyond.header(), beyond.message_id());
                rows::hidden(header, id, beyond.bytes(), !beyond.lacks_body(), received, height)
            }
            Err(AdmitError::NotNow(NotNow::Future { ahead })) => {
                return Err(HealError::Clock { message: claimed.message_id(), ahead });
            }
            Err(error) => return Ok(Fate::Refused(error.code())),
        };
        let withdraws = rows::withdraws(roster, row.id, claimed.header(), received);
        Ok(Fate::Stored(Box::new(EnvelopeRow { withdraws, ..row })))
    }

    /// An envelope that names more of the admin log than there is was stored when there was more.
    fn ahead(&self, decoded: &Decoded, found: &Salvaged) -> Result<Fate, HealError> {
        if !self.is_proven {
            let (have, had) = (self.roster.version().height, decoded.header().roster.height);
            return Err(HealError::Log { have, had });
        }
        Ok(match decoded.is_signed_by_known(&self.roster) {
            Some(true) => Fate::Parked(Box::new(ParkRow {
                id: decoded.message_id(),
                parker: Parker::Author(decoded.header().member),
                // From now on: the admin log has the usual time to come.
                received: clock::now(),
                bytes: found.bytes.clone(),
            })),
            Some(false) => Fate::Refused("bad-signature"),
            None => Fate::Refused("ahead-of-roster"),
        })
    }
}

fn admitted_row(roster: &Roster, admitted: &Admitted, received: Timestamp, now: Timestamp) -> EnvelopeRow {
    let (header, id, height) = (admitted.header(), admitted.message_id(), roster.version().height);
    let is_whole = !admitted.lacks_body();
    if admitted.is_in_closed_log() {
        let row = rows::hidden(header, id, admitted.bytes(), is_whole, received, height);
        return EnvelopeRow { is_cut_point: !admitted.is_below_cut(), is_listed: true, ..row };
    }
    let row = rows::envelope(header, id, admitted.bytes(), is_whole, MessageState::Sealed, received, height);
    match (is_whole, header.key_id()) {
        (false, _) => {
            let (state, reason) = rows::bare(header, roster, now);
            EnvelopeRow { state, reason, ..row }
        }
        (true, Some(_)) => EnvelopeRow { opens_later: true, ..row },
        // A withdrawal: nothing opens.
        (true, None) => EnvelopeRow { state: MessageState::Closed, ..row },
    }
}
