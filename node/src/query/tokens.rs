//! Access tokens: 256 random bits, scoped, shown once, kept as a keyed hash (design §9).
//!
//! `belfry_<id>_<secret>`: the prefix lets secret scanners find a leaked one, the id finds the row, the
//! secret is compared as a hash in constant time. All rows stand in memory; every change goes through
//! the store first, so what a restart finds is what was in force.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use belfry_proto::{
    crypto::secret::Secret,
    id::GroupId,
    stix::{egress::Audience, marking::Tlp},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{Groups, Principal, QueryError, Scope, ScopeError, TokenId};
use crate::store::{Change, Store, TokenRow, WriteError};

const DOMAIN: &str = "belfry/v1/token";
/// How every token begins.
pub const PREFIX: &str = "belfry_";
/// Longest that a rotated token's old secret goes on: a tool that nobody reconfigured in a week is forgotten.
pub const MAX_OVERLAP: Duration = Duration::from_secs(7 * 24 * 3600);
/// Tokens kept at once; each is a tool of this one organisation.
const MAX_TOKENS: usize = 1_000;
/// Bytes of a token's name.
const MAX_NAME: usize = 64;

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not of a token's form.
    #[error("this is not a belfry token")]
    Malformed,
    /// Never made here, revoked, or the secret is wrong; which of them is not told.
    #[error("this token is not known")]
    Unknown,
    /// Its time is over.
    #[error("this token has expired")]
    Expired,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A name that would not show well in lists and logs.
    #[error("a token's name is 1 to {MAX_NAME} letters, digits, dots, hyphens and underscores")]
    Name,
    /// Names tell tokens apart for people.
    #[error("a token named `{0}` exists; revoke it or choose another name")]
    NameTaken(String),
    /// Enough.
    #[error("there are {MAX_TOKENS} tokens; revoke some")]
    TooMany,
    /// The scope contradicts itself.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The store could not be written; no token exists.
    #[error("writing the token")]
    Write(#[from] WriteError),
}

/// Why a token kept its secret.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// There is none to rotate.
    #[error("no token has this id or name")]
    Unknown,
    /// Its time is over; a new secret would not change that.
    #[error("the token has expired; make another one")]
    Expired,
    /// Two secrets for one token should not last.
    #[error("the old secret goes on for {} days at most", MAX_OVERLAP.as_secs() / 86_400)]
    Overlap,
    /// The store could not be written; the old secret stays the only one.
    #[error("writing the token")]
    Write(#[from] WriteError),
}

/// A stored token that cannot be read back.
#[derive(Debug, thiserror::Error)]
#[error("token row {id}: {rule}")]
pub struct TokenRowError {
    id: String,
    rule: String,
}

/// A token's whole text: secret.
#[derive(Clone)]
pub struct TokenText(String);

impl TokenText {
    fn of(id: TokenId, secret: &Secret) -> Self {
        Self(format!("{PREFIX}{id}_{}", hex::encode(secret.expose())))
    }

    /// To be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(redacted)")
    }
}

/// A token as lists show it.
#[derive(Clone, Debug)]
pub struct TokenView {
    /// Its id.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// What it grants.
    pub scope: Scope,
    /// When it was made.
    pub created: Timestamp,
}

/// A token just made.
#[derive(Clone, Debug)]
pub struct Made {
    /// What lists will show.
    pub view: TokenView,
    /// What only now can be shown.
    pub text: TokenText,
}

/// Every token in force.
#[derive(Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    key: Secret,
    live: ArcSwap<BTreeMap<TokenId, Token>>,
    /// Held from check to write, so that two creations cannot both find a name free.
    changing: Mutex<()>,
}

#[derive(Clone)]
struct Token {
    view: TokenView,
    check: Secret,
    /// Of the secret before, and until when that is good as well.
    old: Option<(Secret, Timestamp)>,
}

/// A token at rest.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    check: String,
    read: Groups,
    publish: Groups,
    #[serde(default = "no_groups")]
    draft: Groups,
    admin: bool,
    ceiling: String,
    red: bool,
    /// Unset is inside, as in tokens that were made before there was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    created: Timestamp,
    expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<StoredOld>,
}

#[derive(Serialize, Deserialize)]
struct StoredOld {
    check: String,
    until: Timestamp,
}

/// Tokens made before there were drafts have no such groups.
const fn no_groups() -> Groups {
    Groups::NONE
}

impl Tokens {
    pub(super) fn open(store: Store, master: &Secret) -> Result<Self, QueryError> {
        let mut live = BTreeMap::new();
        for row in store.tokens()? {
            let token = Token::from_row(&row)?;
            live.insert(token.view.id, token);
        }
        let inner = Inner {
            store,
            key: master.derive(DOMAIN, &[]),
            live: ArcSwap::from_pointee(live),
            changing: Mutex::new(()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Who holds this token.
    ///
    /// # Errors
    /// Malformed, unknown or expired.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<Principal, TokenError> {
        let (id, secret) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(TokenError::Malformed)?;
        let id: TokenId = id.parse().map_err(|_| TokenError::Malformed)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(secret, &mut bytes).map_err(|_| TokenError::Malformed)?;
        let live = self.inner.live.load();
        let token = live.get(&id).ok_or(TokenError::Unknown)?;
        token.principal(self.inner.check(id, &Secret::new(bytes)), now)
    }

    /// A principal that was verified before, as its token has it now, if the secret it came with is still good: for
    /// streams, which outlive the request that opened them.
    #[must_use]
    pub fn still(&self, principal: &Principal, now: Timestamp) -> Option<Principal> {
        let live = self.inner.live.load();
        live.get(&principal.token())?.principal(principal.check()?.clone(), now).ok()
    }

    /// Makes a token. Durable when it resolves.
    ///
    /// # Errors
    /// A bad or taken name, a contradictory scope, or the store.
    pub async fn create(&self, name: &str, scope: Scope, now: Timestamp) -> Result<Made, CreateError> {
        self.make(name, scope, now, false).await
    }

    /// Makes a token and revokes the one that had its name: for the local CLI's own, whose file may have
    /// been lost.
    ///
    /// # Errors
    /// As [`Self::create`], a taken name aside.
    pub async fn replace(&self, name: &str, scope: Scope, now: Timestamp) -> Result<Made, CreateError> {
        self.make(name, scope, now, true).await
    }

    async fn make(
        &self,
        name: &str,
        scope: Scope,
        now: Timestamp,
        may_replace: bool,
    ) -> Result<Made, CreateError> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_plain) {
            return Err(CreateError::Name);
        }
        scope.check(now)?;
        let _changing = self.inner.changing.lock().await;
        let before = self.inner.live.load_full();
        let namesake = before.values().find(|token| token.view.name == name).map(|token| token.view.id);
        if namesake.is_some() && !may_replace {
            return Err(CreateError::NameTaken(name.to_owned()));
        }
        if before.len() >= MAX_TOKENS {
            return Err(CreateError::TooMany);
        }
        let id = TokenId::new(rand::random());
        let secret = Secret::new(rand::random());
        let view = TokenView { id, name: name.to_owned(), scope, created: now };
        let token = Token { view: view.clone(), check: self.inner.check(id, &secret), old: None };
        self.inner.store.commit(Change::Token(token.to_row())).await?;
        let mut after = BTreeMap::clone(&before);
        after.insert(id, token);
        if let Some(old) = namesake {
            self.inner.store.commit(Change::TokenRevoked(*old.as_bytes())).await?;
            after.remove(&old);
        }
        self.inner.live.store(Arc::new(after));
        Ok(Made { view, text: TokenText::of(id, &secret) })
    }

    /// Gives a token a new secret, under its id, name and scope; the old one goes on for `overlap`. A secret older than
    /// that ends at once. Durable when it resolves.
    ///
    /// # Errors
    /// [`RotateError`].
    pub async fn rotate(&self, id: TokenId, overlap: Duration, now: Timestamp) -> Result<Made, RotateError> {
        if overlap > MAX_OVERLAP {
            return Err(RotateError::Overlap);
        }
        let _changing = self.inner.changing.lock().await;
        let before = self.inner.live.load_full();
        let mut token = before.get(&id).cloned().ok_or(RotateError::Unknown)?;
        if token.is_expired_at(now) {
            return Err(RotateError::Expired);
        }
        let secret = Secret::new(rand::random());
        let until = now.saturating_add(overlap);
        let old = std::mem::replace(&mut token.check, self.inner.check(id, &secret));
        token.old = (overlap > Duration::ZERO).then_some((old, until));
        self.inner.store.commit(Change::Token(token.to_row())).await?;
        let view = token.view.clone();
        let mut after = BTreeMap::clone(&before);
        after.insert(id, token);
        self.inner.live.store(Arc::new(after));
        Ok(Made { view, text: TokenText::of(id, &secret) })
    }

    /// Every token, by age.
    #[must_use]
    pub fn list(&self) -> Vec<TokenView> {
        let mut views: Vec<TokenView> =
            self.inner.live.load().values().map(|token| token.view.clone()).collect();
        views.sort_by_key(|view| (view.created, view.id));
        views
    }

    /// Ends a token at once; whether there was one.
    ///
    /// # Errors
    /// The store could not be written; the token stays good.
    pub async fn revoke(&self, id: TokenId) -> Result<bool, WriteError> {
        let _changing = self.inner.changing.lock().await;
        let mut after = BTreeMap::clone(&self.inner.live.load_full());
        if after.remove(&id).is_none() {
            return Ok(false);
        }
        self.inner.store.commit(Change::TokenRevoked(*id.as_bytes())).await?;
        self.inner.live.store(Arc::new(after));
        Ok(true)
    }
}

impl Inner {
    fn check(&self, id: TokenId, secret: &Secret) -> Secret {
        self.key.derive(DOMAIN, &[id.as_bytes(), secret.expose()])
    }
}

impl Token {
    fn is_expired_at(&self, now: Timestamp) -> bool {
        self.view.scope.expires.is_some_and(|expires| expires <= now)
    }

    /// Whoever knows the secret of this check value.
    fn principal(&self, check: Secret, now: Timestamp) -> Result<Principal, TokenError> {
        let is_old = self.old.as_ref().is_some_and(|(old, until)| now < *until && check == *old);
        if check != self.check && !is_old {
            return Err(TokenError::Unknown);
        }
        if self.is_expired_at(now) {
            return Err(TokenError::Expired);
        }
        Ok(Principal::new(self.view.id, self.view.name.clone(), self.view.scope.clone(), Some(check)))
    }

    fn to_row(&self) -> TokenRow {
        let Scope { read, publish, draft, admin, ceiling, red, audience, expires } = self.view.scope.clone();
        let stored = Stored {
            name: self.view.name.clone(),
            check: hex::encode(self.check.expose()),
            read,
            publish,
            draft,
            admin,
            ceiling: ceiling.as_str().to_owned(),
            red,
            audience: Some(audience.as_str().to_owned()).filter(|_| audience != Audience::Inside),
            created: self.view.created,
            expires,
            old: self
                .old
                .as_ref()
                .map(|(check, until)| StoredOld { check: hex::encode(check.expose()), until: *until }),
        };
        TokenRow { id: *self.view.id.as_bytes(), body: serde_json::to_vec(&stored).unwrap_or_default() }
    }

    fn from_row(row: &TokenRow) -> Result<Self, TokenRowError> {
        let id = TokenId::new(row.id);
        let broken = |rule: String| TokenRowError { id: id.to_string(), rule };
        let stored: Stored = serde_json::from_slice(&row.body).map_err(|error| broken(error.to_string()))?;
        let secret = |text: &str| {
            let mut check = [0; 32];
            hex::decode_to_slice(text, &mut check).map_err(|error| broken(error.to_string()))?;
            Ok(Secret::new(check))
        };
        let check = secret(&stored.check)?;
        let old = stored.old.map(|old| Ok((secret(&old.check)?, old.until))).transpose()?;
        let ceiling: Tlp = stored.ceiling.parse().map_err(|_| broken("its ceiling is no TLP".to_owned()))?;
        let audience = match stored.audience.as_deref() {
            None => Audience::Inside,
            Some(word) => {
                Audience::named(word).ok_or_else(|| broken("its audience is not known".to_owned()))?
            }
        };
        let scope = Scope {
            read: stored.read,
            publish: stored.publish,
            draft: stored.draft,
            admin: stored.admin,
            ceiling,
            red: stored.red,
            audience,
            expires: stored.expires,
        };
        let view = TokenView { id, name: stored.name, scope, created: stored.created };
        Ok(Self { view, check, old })
    }
}

impl Scope {
    /// Everything a node's own operator may do: for the local CLI.
    #[must_use]
    pub const fn operator() -> Self {
        Self {
            read: Groups::All,
            publish: Groups::All,
            draft: Groups::NONE,
            admin: true,
            ceiling: Tlp::AmberStrict,
            red: true,
            audience: Audience::Inside,
            expires: None,
        }
    }

    /// Reads these groups, nothing else.
    #[must_use]
    pub fn reads(groups: impl IntoIterator<Item = GroupId>) -> Self {
        Self {
            read: Groups::Only(groups.into_iter().collect()),
            publish: Groups::NONE,
            draft: Groups::NONE,
            admin: false,
            ceiling: Self::DEFAULT_CEILING,
            red: false,
            audience: Audience::Inside,
            expires: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_token_keeps_whose_tool_it_is_for_and_an_old_one_is_for_inside() {
        let scope =
            Scope { audience: Audience::Outside, ceiling: Tlp::Green, ..Scope::reads([GroupId::new(5)]) };
        let id = TokenId::new([7; 8]);
        let of = |scope: Scope| Token {
            view: TokenView { id, name: "siem".to_owned(), scope, created: Timestamp::from_micros(1) },
            check: Secret::new([8; 32]),
            old: None,
        };
        let row = of(scope.clone()).to_row();
        assert_eq!(Token::from_row(&row).unwrap().view.scope, scope);
        let inside = Scope::reads([GroupId::new(5)]);
        let old = of(inside.clone()).to_row();
        assert!(!String::from_utf8(old.body.clone()).unwrap().contains("audience"));
        assert_eq!(Token::from_row(&old).unwrap().view.scope, inside);
        let text = String::from_utf8(row.body).unwrap().replace("\"outside\"", "\"elsewhere\"");
        assert!(
            Token::from_row(&TokenRow { body: text.into_bytes(), ..old }).is_err(),
            "never taken for inside"
        );
    }

    #[test]
    fn a_token_does_not_print() {
        assert_eq!(format!("{:?}", TokenText("belfry_x_y".to_owned())), "TokenText(redacted)");
    }
}
