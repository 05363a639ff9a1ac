//! Two entries that the registrar signed for one height, as a file: what convinces whoever trusts nobody here.
//!
//! The charters come with it, because they say whose key the registrar's is; the coalition's words say whether they are the
//! coalition's. Nothing else is needed: whichever of the two stands in the reader's log, the other one was signed, too.

use crate::{
    crypto::sign::PublicKey,
    id::Height,
    schema::{LogFile, Signature},
    trust::{
        charter::{CharterChain, CharterError},
        log::{LogError, VerifiedRecord, equivocation, verify_record},
    },
};

/// A proof that holds.
#[derive(Clone, Debug)]
pub struct Equivocation {
    /// The charters that name the key.
    pub charters: CharterChain,
    /// The key that signed both.
    pub registrar: PublicKey,
    /// The two.
    pub records: [VerifiedRecord; 2],
}

/// Why a file proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// The charters do not hold.
    #[error(transparent)]
    Charter(#[from] CharterError),
    /// A record does not hold.
    #[error(transparent)]
    Record(#[from] LogError),
    /// Not two of them.
    #[error("a proof holds two entries, this one {0}")]
    NotTwo(usize),
    /// They do not contradict each other.
    #[error("the two entries do not contradict each other: heights {0} and {1}")]
    NoContradiction(Height, Height),
    /// Two keys signed, each one.
    #[error("the two entries of height {0} are not signed by one key")]
    TwoKeys(Height),
}

impl Equivocation {
    /// Verifies a proof: both records under the charters, one height, two entries, one key.
    ///
    /// # Errors
    /// [`EquivocationError`], the first rule that breaks.
    pub fn open(file: LogFile) -> Result<Self, EquivocationError> {
        let charters = CharterChain::walk(file.charters)?;
        let records: Vec<VerifiedRecord> =
            file.records.iter().map(|record| verify_record(&charters, record)).collect::<Result<_, _>>()?;
        let records: [VerifiedRecord; 2] =
            records.try_into().map_err(|records: Vec<_>| EquivocationError::NotTwo(records.len()))?;
        let [one, other] = &records;
        if equivocation(one, other).is_none() {
            return Err(EquivocationError::NoContradiction(one.height, other.height));
        }
        // Every signature of both was found good, and a registrar's.
        let theirs = signatures(other);
        let both = signatures(one).iter().find(|own| theirs.iter().any(|their| their.key == own.key));
        let registrar = both.and_then(|signature| PublicKey::from_slice(&signature.key).ok());
        let registrar = registrar.ok_or(EquivocationError::TwoKeys(one.height))?;
        Ok(Self { charters, registrar, records })
    }

    /// Their height.
    #[must_use]
    pub fn height(&self) -> Height {
        let [one, _] = &self.records;
        one.height
    }

    /// The charter version that settled which of them stands, by a pin at or beyond them, if one did.
    #[must_use]
    pub fn settled_by(&self) -> Option<u64> {
        let settles =
            |pin: Option<crate::id::RosterVersion>| pin.is_some_and(|pin| pin.height >= self.height());
        self.charters.versions().find(|charter| settles(charter.pin())).map(|charter| charter.version())
    }
}

fn signatures(record: &VerifiedRecord) -> &[Signature] {
    record.record.entry.as_ref().map(|entry| entry.signatures.as_slice()).unwrap_or_default()
}
