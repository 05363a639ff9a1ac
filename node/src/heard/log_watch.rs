//! What is known of the admin log itself: whether it is new, whether it is the only one.

use std::fmt;

use belfry_proto::{
    id::{Height, RosterVersion},
    time::Timestamp,
    trust::{
        beacon::Beacon,
        charter::{Charter, CharterError},
    },
};

/// What is known of the admin log's freshness and truth.
#[derive(Clone, Debug, Default)]
pub struct LogWatch {
    /// The newest beacon whose head is in our log.
    pub beacon: Option<Beacon>,
    /// A newer beacon's head that nobody has given us yet.
    pub missing: Option<RosterVersion>,
    /// The head of a beacon that contradicts our log.
    pub contradicted: Option<RosterVersion>,
    /// Heights at which the registrar signed two entries.
    pub equivocations: Vec<Height>,
    /// The newest charter that root keys signed and that does not go on from ours.
    pub refused_charter: Option<RefusedCharter>,
}

/// Whether the admin log is known to be new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The charter does not ask.
    NotAsked,
    /// No beacon has come yet.
    Unknown,
    /// The registrar vouched for it lately.
    Fresh,
    /// It last did at this time, which is too long ago.
    Stale(Timestamp),
}

impl LogWatch {
    /// How fresh the log is at `now`, by the charter's measure.
    #[must_use]
    pub fn freshness(&self, charter: &Charter, now: Timestamp) -> Freshness {
        let Some(after) = charter.stale_after() else { return Freshness::NotAsked };
        match self.beacon {
            None => Freshness::Unknown,
            Some(beacon) if now >= beacon.made.saturating_add(after).min(beacon.expires) => {
                Freshness::Stale(beacon.made)
            }
            Some(_) => Freshness::Fresh,
        }
    }
}

/// A charter that root keys signed and that does not go on from ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCharter {
    pub(crate) payload: Vec<u8>,
    pub(crate) version: u64,
    /// Ours when it came.
    pub(crate) have: u64,
    pub(crate) error: CharterError,
}

impl fmt::Display for RefusedCharter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, have, error, .. } = self;
        match error {
            CharterError::Version { .. } if version > have => write!(
                f,
                "{error}, and what lies between has not come yet; `belfry import-log` with the coalition's newest log brings it"
            ),
            CharterError::Version { .. } | CharterError::Branch(_) => write!(
                f,
                "it is another charter version {version} than the one here, so the root keys signed two; the root holders have to \
                 say which one they meant"
            ),
            error => write!(f, "{error}"),
        }
    }
}
