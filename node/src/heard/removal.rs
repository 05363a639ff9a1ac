//! Why others refuse this node: the record of the admin log that took its certificate away.
//!
//! A node that was away when its certificate was revoked is let in nowhere, so it would never learn of it. Whoever
//! refuses it shows it the one record that does so, and nothing else: it is about that node alone, and its certificate
//! was verified first. The node believes what the admins and the registrar signed, not who brought it.

use std::fmt;

use belfry_proto::{
    id::{Height, Serial},
    schema::{self, RevocationReason},
    time::Timestamp,
    trust::{
        log::VerifiedRecord,
        names::Named as _,
        roster::{Roster, Standing},
        statement::Decision,
    },
};

/// What took a certificate away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Place in the admin log.
    pub height: Height,
    /// When it was decided, by its admins' word.
    pub decided: Timestamp,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Revoked(RevocationReason),
    Suspended,
    Superseded,
}

impl Removal {
    /// What a record says of the certificate; nothing if it does not take it away.
    pub(crate) fn read(record: &VerifiedRecord, serial: Serial) -> Option<Self> {
        let (removed, kind, decided) = match &record.statement.decision {
            Decision::Revoke(revoke) => {
                let reason = RevocationReason::try_from(revoke.reason).unwrap_or_default();
                (revoke.serial, Kind::Revoked(reason), Timestamp::from_micros(revoke.decided))
            }
            Decision::Suspend(suspend) => (suspend.serial, Kind::Suspended, record.statement.made),
            Decision::Supersede(supersede) => (supersede.serial, Kind::Superseded, record.statement.made),
            Decision::Issue(_)
            | Decision::Renew(_)
            | Decision::Resume(_)
            | Decision::Entitle(_)
            | Decision::Disentitle(_)
            | Decision::ExtendCut(_)
            | Decision::Accept(_)
            | Decision::Amend(_) => return None,
        };
        (removed == serial.get()).then_some(Self { height: record.height, decided, kind })
    }
}

impl Removal {
    /// What our own log says took a certificate away that stands like this; nothing if it did not.
    pub(crate) fn of(roster: &Roster, serial: Serial, standing: Standing) -> Option<Self> {
        in_log(roster, serial, standing).map(|(removal, _)| removal)
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day: String = self.decided.to_string().chars().take(10).collect();
        match self.kind {
            Kind::Revoked(reason) => write!(f, "revoked on {day}, reason {}", reason.name())?,
            Kind::Suspended => write!(f, "suspended on {day}")?,
            Kind::Superseded => write!(f, "superseded on {day} by one with newer keys")?,
        }
        write!(f, " (entry {} of the admin log)", self.height)
    }
}

/// The record by which a certificate stands as it does, if one took it away. What holds by sight goes first: where anything
/// does, the log says otherwise, and may have a removal that it took back since.
pub(crate) fn shown(roster: &Roster, serial: Serial, standing: Standing) -> Option<schema::Record> {
    seen_of(roster, serial, standing).or_else(|| record_of(roster, serial, standing))
}

/// The one that the log has.
fn record_of(roster: &Roster, serial: Serial, standing: Standing) -> Option<schema::Record> {
    in_log(roster, serial, standing).map(|(_, record)| record)
}

/// What the log has that made a certificate stand as it does.
fn in_log(roster: &Roster, serial: Serial, standing: Standing) -> Option<(Removal, schema::Record)> {
    let is_that = |removal: Removal| match standing {
        Standing::Revoked => matches!(removal.kind, Kind::Revoked(_)),
        Standing::Suspended => removal.kind == Kind::Suspended,
        Standing::Superseded => removal.kind == Kind::Superseded,
        Standing::Valid | Standing::NotYet | Standing::Expired | Standing::Unknown => false,
    };
    let is_void = |height| roster.voids().iter().any(|void| void.height == height);
    let removals = roster.records().filter(|record| !is_void(record.height)).filter_map(|record| {
        let removal = Removal::read(record, serial).filter(|removal| is_that(*removal))?;
        Some((removal, record))
    });
    // Of several suspensions the latest is the one in force; a certificate is revoked once.
    removals.last().map(|(removal, record)| (removal, record.record.clone()))
}

/// The one that holds by sight alone, if somebody ordered it.
fn seen_of(roster: &Roster, serial: Serial, standing: Standing) -> Option<schema::Record> {
    let is_that = |decision: &Decision| match standing {
        Standing::Revoked => matches!(decision, Decision::Revoke(_)),
        Standing::Suspended => matches!(decision, Decision::Suspend(_)),
        Standing::Valid | Standing::NotYet | Standing::Expired | Standing::Superseded | Standing::Unknown => {
            false
        }
    };
    let of = roster.removals_seen().find(|seen| {
        seen.serial() == Some(serial) && is_that(seen.decision()) && seen.record().entry.is_some()
    });
    of.map(|seen| seen.record().clone())
}
