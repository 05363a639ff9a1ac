//! A charter on its way from holder to holder, until the root keys of both versions suffice.
//!
//! A proposal is a file: every version in force so far, and the next one with the signatures it has. Each
//! holder checks it on a machine of their own and adds a signature; copies that were signed side by side are
//! [merged](Proposal::merge). The payload is fixed before the first one signs, so all sign the same bytes.

use std::{collections::BTreeSet, fmt};

use crate::{
    crypto::sign::{PublicKey, Purpose, SigningKey},
    id::CharterId,
    schema,
    trust::{
        charter::{Charter, CharterChain, CharterError},
        signed::{self, SignedError},
    },
};

/// The next version of a charter, with the signatures it has so far.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The versions before; none for a new coalition's first charter.
    chain: Option<CharterChain>,
    charter: Charter,
    signed: schema::Signed,
    signers: BTreeSet<PublicKey>,
}

/// How many of one version's root keys have signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Whose root keys these are.
    pub version: u64,
    /// How many signed.
    pub found: usize,
    /// How many must.
    pub needed: u32,
}

impl Quorum {
    /// Whether enough signed.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.found >= usize::try_from(self.needed).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, found, needed } = self;
        write!(f, "{found} of {needed} root keys of version {version}")
    }
}

/// Why a proposal cannot be signed, merged or taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// It breaks a rule of charters.
    #[error(transparent)]
    Charter(#[from] CharterError),
    /// A signature on it is bad.
    #[error("charter version {version}: {error}")]
    Signed {
        /// Its version.
        version: u64,
        /// What is wrong.
        error: SignedError,
    },
    /// Signed by nobody who may.
    #[error("{0} is no root key of this charter or of the one before it: only root keys sign charters")]
    NoRootKey(PublicKey),
    /// The same holder again.
    #[error("{0} has signed this already: pass the file to another holder")]
    Again(PublicKey),
    /// Another text.
    #[error(
        "the files hold two different charters ({0} and {1}): every holder must sign a copy of the same file"
    )]
    OtherCharter(CharterId, CharterId),
}

impl Proposal {
    /// A proposal that nobody has signed. Every rule of charters is checked, signatures aside.
    ///
    /// # Errors
    /// [`ProposalError::Charter`].
    pub fn new(chain: Option<CharterChain>, payload: Vec<u8>) -> Result<Self, ProposalError> {
        Self::check(chain, schema::Signed { payload, signatures: Vec::new() })
    }

    /// Reads a proposal file's content: every version but the last verified in full, the last one's signatures
    /// as far as there are any.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn open(file: schema::LogFile) -> Result<Self, ProposalError> {
        let mut charters = file.charters;
        let last = charters.pop().ok_or(CharterError::Empty)?;
        let chain = match charters.is_empty() {
            true => None,
            false => Some(CharterChain::walk(charters)?),
        };
        Self::check(chain, last)
    }

    fn check(chain: Option<CharterChain>, signed: schema::Signed) -> Result<Self, ProposalError> {
        let charter = match &chain {
            Some(chain) => chain.check_next(&signed.payload)?,
            None => {
                let charter = Charter::check(&signed.payload)?;
                if charter.version() != 1 {
                    return Err(CharterError::Version { have: 0, found: charter.version() }.into());
                }
                charter
            }
        };
        let allowed = allowed(chain.as_ref(), &charter);
        let version = charter.version();
        let signers = signed::valid_signers(&signed, Purpose::Charter, charter.coalition(), &allowed)
            .map_err(|error| ProposalError::Signed { version, error })?;
        Ok(Self { chain, charter, signed, signers })
    }

    /// What is proposed.
    #[must_use]
    pub const fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The version in force, which it would follow; `None` for a first charter.
    #[must_use]
    pub fn before(&self) -> Option<&Charter> {
        self.chain.as_ref().map(CharterChain::newest)
    }

    /// Root keys that signed it.
    #[must_use]
    pub const fn signers(&self) -> &BTreeSet<PublicKey> {
        &self.signers
    }

    /// How far it is, for the version in force and for the proposed one.
    #[must_use]
    pub fn quorums(&self) -> Vec<Quorum> {
        self.before()
            .into_iter()
            .chain([&self.charter])
            .map(|charter| {
                let (needed, keys) = charter.root();
                let found = self.signers.intersection(keys).count();
                Quorum { version: charter.version(), found, needed }
            })
            .collect()
    }

    /// Whether both thresholds are met.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.quorums().iter().all(Quorum::is_met)
    }

    /// Adds a holder's signature.
    ///
    /// # Errors
    /// [`ProposalError::NoRootKey`] or [`ProposalError::Again`]; nothing is signed then.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), ProposalError> {
        let public = key.public();
        if !allowed(self.chain.as_ref(), &self.charter).contains(&public) {
            return Err(ProposalError::NoRootKey(public));
        }
        if !self.signers.insert(public) {
            return Err(ProposalError::Again(public));
        }
        signed::add_signature(&mut self.signed, Purpose::Charter, self.charter.coalition(), key);
        Ok(())
    }

    /// Takes over what other holders signed on copies of their own.
    ///
    /// # Errors
    /// [`ProposalError::OtherCharter`]; this one is as before.
    pub fn merge(&mut self, other: &Self) -> Result<(), ProposalError> {
        if self.charter.id() != other.charter.id() {
            return Err(ProposalError::OtherCharter(self.charter.id(), other.charter.id()));
        }
        for signature in &other.signed.signatures {
            // Verified when `other` was opened.
            if PublicKey::from_slice(&signature.key).is_ok_and(|key| self.signers.insert(key)) {
                self.signed.signatures.push(signature.clone());
            }
        }
        Ok(())
    }

    /// Its file's charters: those in force, then the proposed one.
    #[must_use]
    pub fn charters(&self) -> Vec<schema::Signed> {
        let before = self.chain.iter().flat_map(|chain| chain.signed().iter().cloned());
        before.chain([self.signed.clone()]).collect()
    }

    /// The charter with its signatures, if they suffice.
    ///
    /// # Errors
    /// [`ProposalError::Charter`] that says how many are missing.
    pub fn finish(self) -> Result<schema::Signed, ProposalError> {
        match &self.chain {
            Some(chain) => drop(chain.clone().extend(self.signed.clone())?),
            None => drop(CharterChain::start(self.signed.clone())?),
        }
        Ok(self.signed)
    }
}

/// Root keys of both versions.
fn allowed(chain: Option<&CharterChain>, charter: &Charter) -> BTreeSet<PublicKey> {
    let before = chain.map(|chain| chain.newest().root().1.clone()).unwrap_or_default();
    before.union(charter.root().1).copied().collect()
}
