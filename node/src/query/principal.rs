//! Who asks, and what its token lets it have.
//!
//! Scopes are independent of each other: to publish is not to read, to administer is neither. A
//! [`Principal`] is an argument of every read; only [`super::tokens`] makes one.

use std::{collections::BTreeSet, fmt, str::FromStr};

use belfry_proto::{
    crypto::secret::Secret,
    id::{GroupId, IdError},
    stix::{egress::Audience, marking::Tlp},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Names a token; stands in the token's own text and is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; 8]);

impl TokenId {
    /// From its bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

/// A text that is not 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token id is 16 hex digits")]
pub struct TokenIdError;

impl FromStr for TokenId {
    type Err = TokenIdError;
    fn from_str(text: &str) -> Result<Self, TokenIdError> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| TokenIdError)?;
        Ok(Self(bytes))
    }
}

impl From<IdError> for TokenIdError {
    fn from(_: IdError) -> Self {
        Self
    }
}

/// The groups a scope covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Groups {
    /// These; the empty set is the scope not given.
    Only(BTreeSet<GroupId>),
    /// Every group, those of later charters too.
    All,
}

impl Groups {
    /// No group at all.
    pub const NONE: Self = Self::Only(BTreeSet::new());

    /// Whether `group` is among them.
    #[must_use]
    pub fn covers(&self, group: GroupId) -> bool {
        match self {
            Self::All => true,
            Self::Only(groups) => groups.contains(&group),
        }
    }

    /// Whether no group is among them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(groups) if groups.is_empty())
    }
}

/// What a token grants, as its maker states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Groups whose objects it reads.
    pub read: Groups,
    /// Groups it publishes to.
    pub publish: Groups,
    /// Groups it makes drafts for, which a person releases.
    pub draft: Groups,
    /// Manages tokens, sees peers and every publication.
    pub admin: bool,
    /// Most restrictive marking it reads; never RED, which `red` alone gives.
    pub ceiling: Tlp,
    /// Reads TLP:RED sent to this member by name.
    pub red: bool,
    /// Whose tool holds it: to one of others goes what may leave the organisation, and nothing else.
    pub audience: Audience,
    /// Last moment it is good for; unset never ends.
    pub expires: Option<Timestamp>,
}

/// A scope that contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A RED ceiling is not asked for in passing.
    #[error("a token reads TLP:RED only if it says `red`; its ceiling is at most amber+strict")]
    RedAsCeiling,
    /// RED above a hole: AMBER hidden, RED shown.
    #[error("a token that says `red` reads everything below it; its ceiling must be amber+strict")]
    RedAboveCeiling,
    /// What a tool of others says would be this member's word, and what it administers this member's node.
    #[error(
        "a token for outside only reads: what publishes, drafts or administers is this organisation's own"
    )]
    OutsideDoes,
    /// AMBER+STRICT and RED are for this organisation.
    #[error("a token for outside reads amber at most: amber+strict and red are for this organisation")]
    OutsideCeiling,
    /// Nothing granted.
    #[error("a token needs at least one of read, publish, draft and admin")]
    Empty,
    /// Already over.
    #[error("the expiry lies in the past")]
    Expired,
}

impl Scope {
    /// Design §9: AMBER+STRICT unless said otherwise.
    pub const DEFAULT_CEILING: Tlp = Audience::Inside.usual();

    /// # Errors
    /// The first contradiction found.
    pub fn check(&self, now: Timestamp) -> Result<(), ScopeError> {
        if self.ceiling == Tlp::Red {
            return Err(ScopeError::RedAsCeiling);
        }
        if self.red && self.ceiling < Tlp::AmberStrict {
            return Err(ScopeError::RedAboveCeiling);
        }
        let is_outside = self.audience == Audience::Outside;
        if is_outside && (self.red || self.ceiling > self.audience.widest()) {
            return Err(ScopeError::OutsideCeiling);
        }
        if is_outside && (self.admin || !self.publish.is_empty() || !self.draft.is_empty()) {
            return Err(ScopeError::OutsideDoes);
        }
        if self.read.is_empty() && self.publish.is_empty() && self.draft.is_empty() && !self.admin {
            return Err(ScopeError::Empty);
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(ScopeError::Expired);
        }
        Ok(())
    }
}

/// The holder of a token that was good when the request came in.
#[derive(Clone, Debug)]
pub struct Principal {
    token: TokenId,
    name: String,
    scope: Scope,
    /// Check value of the secret it came with; unset for the node's own hooks, which have none.
    check: Option<Secret>,
}

impl Principal {
    pub(super) const fn new(token: TokenId, name: String, scope: Scope, check: Option<Secret>) -> Self {
        Self { token, name, scope, check }
    }

    /// The check value of the secret it came with.
    pub(super) const fn check(&self) -> Option<&Secret> {
        self.check.as_ref()
    }

    /// Its token's id.
    #[must_use]
    pub const fn token(&self) -> TokenId {
        self.token
    }

    /// Its token's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may do.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }
}
