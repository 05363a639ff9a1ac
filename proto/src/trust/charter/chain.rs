//! The chain of a charter's versions.

use std::collections::BTreeSet;

use super::{Charter, CharterError, WHAT};
use crate::{
    crypto::sign::{PublicKey, Purpose},
    id::CoalitionId,
    schema::{self, Malformed},
    time::Timestamp,
    trust::signed,
};

/// Every version from 1 on, each verified against the one before.
#[derive(Clone, Debug)]
pub struct CharterChain {
    first: Charter,
    later: Vec<Charter>,
    signed: Vec<schema::Signed>,
}

impl CharterChain {
    /// Starts from version 1, which its own root keys sign.
    ///
    /// # Errors
    /// [`CharterError`].
    pub fn start(first: schema::Signed) -> Result<Self, CharterError> {
        let charter = Charter::check(&first.payload)?;
        if charter.version() != 1 {
            return Err(CharterError::Version { have: 0, found: charter.version() });
        }
        require_root(&charter, &charter, &first)?;
        Ok(Self { first: charter, later: Vec::new(), signed: vec![first] })
    }

    /// Starts from version 1 and walks every later one.
    ///
    /// # Errors
    /// [`CharterError`] of the first version that does not hold.
    pub fn walk(charters: impl IntoIterator<Item = schema::Signed>) -> Result<Self, CharterError> {
        let mut charters = charters.into_iter();
        let mut chain = Self::start(charters.next().ok_or(CharterError::Empty)?)?;
        for next in charters {
            chain.extend(next)?;
        }
        Ok(chain)
    }

    /// Appends the next version.
    ///
    /// # Errors
    /// [`CharterError`]; the chain is as before.
    pub fn extend(&mut self, next: schema::Signed) -> Result<(), CharterError> {
        let charter = self.check_next(&next.payload)?;
        require_root(self.newest(), &charter, &next)?;
        self.later.push(charter);
        self.signed.push(next);
        Ok(())
    }

    /// Whether a payload can be the next version, signatures aside: for whoever is about to sign it.
    ///
    /// # Errors
    /// [`CharterError`], never of its signatures.
    pub fn check_next(&self, payload: &[u8]) -> Result<Charter, CharterError> {
        let charter = Charter::check(payload)?;
        let newest = self.newest();
        if charter.coalition() != self.coalition() {
            return Err(CharterError::OtherCoalition(charter.coalition()));
        }
        if charter.version() != newest.version() + 1 {
            return Err(CharterError::Version { have: newest.version(), found: charter.version() });
        }
        if charter.wire.previous != newest.id().as_ref() {
            return Err(CharterError::Branch(charter.version()));
        }
        if charter.pin().is_none() {
            return Err(Malformed::field(WHAT, "pin", "must be set after version 1").into());
        }
        let removed: BTreeSet<PublicKey> = self
            .versions()
            .flat_map(Charter::all_keys)
            .filter(|key| !newest.all_keys().contains(key))
            .collect();
        if let Some(key) = charter.all_keys().intersection(&removed).next() {
            return Err(CharterError::KeyReturns(*key));
        }
        // A key that stays must stay in its role: root, admin or registrar.
        for key in charter.all_keys().intersection(&newest.all_keys()) {
            let role = |c: &Charter| (c.root.1.contains(key), c.admins.contains(key), c.registrar == *key);
            if role(&charter) != role(newest) {
                return Err(CharterError::TwoRoles(*key));
            }
        }
        Ok(charter)
    }

    /// Whether root keys of a version held here signed another charter, as many as must: what then does not go on from
    /// this chain is no noise, but their own doing.
    #[must_use]
    pub fn is_rooted(&self, signed: &schema::Signed) -> bool {
        let Ok(found) = Charter::check(&signed.payload) else { return false };
        found.coalition() == self.coalition()
            && self.versions().any(|held| {
                let allowed: BTreeSet<PublicKey> = held.root.1.union(&found.root.1).copied().collect();
                let (needed, keys) = held.root();
                signed::valid_signers(signed, Purpose::Charter, self.coalition(), &allowed).is_ok_and(
                    |signers| {
                        signers.intersection(keys).count() >= usize::try_from(needed).unwrap_or(usize::MAX)
                    },
                )
            })
    }

    /// The chain as it was at `at`: without the versions issued later. Version 1 always stays.
    #[must_use]
    pub fn until(&self, at: Timestamp) -> Self {
        let mut chain = self.clone();
        let later = chain.later.iter().take_while(|charter| charter.issued() <= at).count();
        chain.later.truncate(later);
        chain.signed.truncate(later.saturating_add(1));
        chain
    }

    /// The version in force.
    #[must_use]
    pub fn newest(&self) -> &Charter {
        self.later.last().unwrap_or(&self.first)
    }
    /// A version by number.
    #[must_use]
    pub fn version(&self, version: u64) -> Option<&Charter> {
        self.versions().find(|charter| charter.version() == version)
    }
    /// Every version, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = &Charter> {
        std::iter::once(&self.first).chain(&self.later)
    }
    /// Every version as signed, oldest first.
    #[must_use]
    pub fn signed(&self) -> &[schema::Signed] {
        &self.signed
    }
    /// Hash of version 1.
    #[must_use]
    pub const fn coalition(&self) -> CoalitionId {
        self.first.coalition
    }
}

/// Both thresholds, over signatures by keys of either version.
fn require_root(old: &Charter, new: &Charter, signed: &schema::Signed) -> Result<(), CharterError> {
    let version = new.version();
    let allowed: BTreeSet<PublicKey> = old.root.1.union(&new.root.1).copied().collect();
    let signers = signed::valid_signers(signed, Purpose::Charter, new.coalition(), &allowed)
        .map_err(|error| CharterError::Signed { version, error })?;
    for charter in [old, new] {
        let (needed, keys) = charter.root();
        let found = signers.intersection(keys).count();
        if found < usize::try_from(needed).unwrap_or(usize::MAX) {
            return Err(CharterError::RootMissing { version, of: charter.version(), found, needed });
        }
    }
    Ok(())
}
