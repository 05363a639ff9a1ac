//! Records of the admin log: a statement that enough admins signed, at the place the registrar gave it.

use prost::Message;

use crate::{
    crypto::{
        hash,
        sign::{Purpose, SigningKey},
    },
    id::{CoalitionId, EntryId, Height, StatementId},
    limits::MAX_STATEMENT,
    schema::{self, Malformed, decode_canonical},
    trust::{
        charter::{Charter, CharterChain},
        signed::{self, SignedError},
        statement::Statement,
    },
    verdict::{Judged, Verdict},
};

const WHAT: &str = "LogEntry";

/// A record whose signatures hold under the charter; [`verify_record`] alone makes one. Whether it is the next one, and whether
/// its statement takes effect, is the roster's to say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifiedRecord {
    /// Hash of the entry's payload.
    pub entry_id: EntryId,
    /// Its place.
    pub height: Height,
    /// Entry before it.
    pub prev: EntryId,
    /// The ordered statement.
    pub statement: Statement,
    /// As received.
    pub record: schema::Record,
}

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Bytes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Entry or statement is missing.
    #[error("a record holds an entry and its statement")]
    Incomplete,
    /// Of another coalition.
    #[error("record of coalition {0}, not ours")]
    OtherCoalition(CoalitionId),
    /// The registrar did not sign the entry.
    #[error("log entry {height}: {error}")]
    Registrar {
        /// Stated height.
        height: Height,
        /// What is wrong.
        error: SignedError,
    },
    /// Too few admins signed the statement, or keys without a say did.
    #[error("log entry {height}: the admins' signatures: {error}")]
    Admins {
        /// Its own.
        height: Height,
        /// What is wrong.
        error: SignedError,
    },
    /// The entry orders another statement.
    #[error("log entry {0} orders another statement than it comes with")]
    OtherStatement(Height),
    /// Not the next one.
    #[error("log entry {found} does not follow height {have}")]
    Height {
        /// Ours.
        have: Height,
        /// Its own.
        found: Height,
    },
    /// Made under a charter we do not have yet.
    #[error("log entry {height} was made under charter version {version}, which we do not have yet")]
    CharterAhead {
        /// Its own.
        height: Height,
        /// The version.
        version: u64,
    },
    /// Follows another entry than our head: a fork.
    #[error("log entry {0} follows another entry than ours: the log is forked")]
    Fork(Height),
}

impl Judged for LogError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_) | Self::Incomplete => Verdict::Reject,
            // A registrar key of a newer charter than ours is not the forwarder's fault.
            Self::OtherCoalition(_)
            | Self::Registrar { .. }
            | Self::Admins { .. }
            | Self::OtherStatement(_)
            | Self::Height { .. }
            | Self::CharterAhead { .. }
            | Self::Fork(_) => Verdict::Ignore,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Incomplete => "record-malformed",
            Self::OtherCoalition(_) => "other-coalition",
            Self::Registrar { .. } => "record-registrar",
            Self::Admins { .. } => "record-admins",
            Self::OtherStatement(_) => "record-statement",
            Self::Height { .. } => "record-height",
            Self::CharterAhead { .. } => "record-charter-ahead",
            Self::Fork(_) => "record-fork",
        }
    }
}

/// Verifies a record against the charters, wherever it stands in the log.
///
/// # Errors
/// [`LogError`], never [`LogError::Height`] or [`LogError::Fork`].
pub fn verify_record(charters: &CharterChain, record: &schema::Record) -> Result<VerifiedRecord, LogError> {
    let (Some(entry), Some(signed_statement)) = (&record.entry, &record.statement) else {
        return Err(LogError::Incomplete);
    };
    let wire: schema::LogEntry = decode_canonical(WHAT, &entry.payload, MAX_STATEMENT)?;
    let field = |field, rule| LogError::from(Malformed::field(WHAT, field, rule));
    let coalition = CoalitionId::try_from(wire.coalition.as_slice())
        .map_err(|_| field("coalition", "must be 32 bytes"))?;
    if coalition != charters.coalition() {
        return Err(LogError::OtherCoalition(coalition));
    }
    let height = Height::new(wire.height);
    let prev = EntryId::try_from(wire.prev.as_slice()).map_err(|_| field("prev", "must be 32 bytes"))?;
    let ordered = StatementId::try_from(wire.statement.as_slice())
        .map_err(|_| field("statement", "must be 32 bytes"))?;
    if wire.height == 0 || (wire.height == 1) != (prev == EntryId::ZERO) {
        return Err(field("height", "must be from 1, with a zero prev at 1 and only there"));
    }
    require_registrar(charters, entry, height)?;
    let statement = Statement::decode(&signed_statement.payload)?;
    if statement.coalition != coalition {
        return Err(LogError::OtherCoalition(statement.coalition));
    }
    if statement.id != ordered {
        return Err(LogError::OtherStatement(height));
    }
    require_admins(charters, height, &statement, signed_statement)?;
    let entry_id = hash::entry_id(coalition, &entry.payload);
    Ok(VerifiedRecord { entry_id, height, prev, statement, record: record.clone() })
}

/// Exactly one signature, by the registrar of some charter version: entries older than a change of
/// registrar keep standing, because the newer charter pins the log's head.
fn require_registrar(
    charters: &CharterChain,
    entry: &schema::Signed,
    height: Height,
) -> Result<(), LogError> {
    let registrars = charters.versions().map(Charter::registrar).collect();
    signed::require(entry, Purpose::LogEntry, charters.coalition(), &registrars, 1)
        .map_err(|error| LogError::Registrar { height, error })
}

/// The admins' signatures, by the charter the statement names.
///
/// A copy that lacks them is refused and never counted as void: ids cover payloads and no signatures, so
/// whoever stripped a signature on the way would else decide what this node believes.
fn require_admins(
    charters: &CharterChain,
    height: Height,
    statement: &Statement,
    signed_statement: &schema::Signed,
) -> Result<(), LogError> {
    let version = statement.charter_version;
    let charter = charters.version(version).ok_or(LogError::CharterAhead { height, version })?;
    signed_by_admins(charter, charters.coalition(), statement, signed_statement)
        .map_err(|error| LogError::Admins { height, error })
}

/// Whether enough of a charter's admins signed a statement.
pub(super) fn signed_by_admins(
    charter: &Charter,
    coalition: CoalitionId,
    statement: &Statement,
    signed_statement: &schema::Signed,
) -> Result<(), SignedError> {
    let threshold = charter.threshold(statement.action());
    // By the statement's own date: nodes must agree, whenever they look. That it is not dated back is for the registrar
    // to see to, who orders nothing of a key that ended.
    signed::require(signed_statement, Purpose::Statement, coalition, charter.admins(), threshold)
        .and_then(|()| signed::none_ended(signed_statement, charter.admin_ends(), statement.made))
}

/// Orders a statement at `height`: the registrar's act.
#[must_use]
pub fn order(
    coalition: CoalitionId,
    height: Height,
    prev: EntryId,
    statement: schema::Signed,
    registrar: &SigningKey,
) -> schema::Record {
    let payload = schema::LogEntry {
        coalition: coalition.to_vec(),
        height: height.get(),
        prev: prev.to_vec(),
        statement: hash::statement_id(coalition, &statement.payload).to_vec(),
    }
    .encode_to_vec();
    let entry = signed::sign(payload, Purpose::LogEntry, coalition, &[registrar]);
    schema::Record { entry: Some(entry), statement: Some(statement) }
}

/// Two entries that the registrar signed for one height: proof that it showed two logs.
#[derive(Clone, Debug, PartialEq)]
pub struct EquivocationProof {
    /// The height.
    pub height: Height,
    /// The two, as signed.
    pub entries: [schema::Signed; 2],
}

/// The proof that two verified records contradict each other, if they do.
#[must_use]
pub fn equivocation(one: &VerifiedRecord, other: &VerifiedRecord) -> Option<EquivocationProof> {
    if one.height != other.height || one.entry_id == other.entry_id {
        return None;
    }
    let entries = [one.record.entry.clone()?, other.record.entry.clone()?];
    Some(EquivocationProof { height: one.height, entries })
}
