//! Access tokens.

use utoipa::ToSchema;

/// Tokens.
#[derive(ToSchema)]
pub(in super::super) struct Tokens {
    tokens: Vec<Token>,
    /// Of the page that follows, if there is one.
    #[schema(nullable = false)]
    next: Option<String>,
}

#[derive(ToSchema)]
struct Token {
    id: String,
    name: String,
    /// Slugs, or `*`.
    read: Vec<String>,
    /// Slugs, or `*`.
    publish: Vec<String>,
    /// Slugs, or `*`: what it publishes there waits until a person releases it.
    draft: Vec<String>,
    admin: bool,
    max_tlp: String,
    red: bool,
    /// `inside` or `outside`: whose tool holds it.
    audience: String,
    #[schema(format = DateTime)]
    created: String,
    expires: Option<String>,
    /// It is the command line's own.
    own: bool,
}

/// What a new token shall grant.
#[derive(ToSchema)]
pub(in super::super) struct NewToken {
    name: String,
    /// Slugs or numbers, or `*`.
    read: Option<Vec<String>>,
    /// Slugs or numbers, or `*`.
    publish: Option<Vec<String>>,
    /// Slugs or numbers, or `*`.
    draft: Option<Vec<String>>,
    admin: Option<bool>,
    /// `amber+strict` unless said; `green` for outside, and `amber` at most.
    max_tlp: Option<String>,
    /// Reads what is sent to this member by name.
    red: Option<bool>,
    /// `outside` for a tool of somebody else's, a service provider or a cloud SIEM: it only reads, and only what may leave
    /// the organisation. `inside` unless said.
    audience: Option<String>,
    expires: Option<String>,
}

/// How a token's secret changes hands.
#[derive(ToSchema)]
pub(in super::super) struct Rotation {
    /// For so many seconds, a week at most, the old secret is good as well; none unless said.
    overlap_seconds: Option<u64>,
}

/// A token, with its text.
#[derive(ToSchema)]
pub(in super::super) struct TokenMade {
    id: String,
    name: String,
    read: Vec<String>,
    publish: Vec<String>,
    draft: Vec<String>,
    admin: bool,
    max_tlp: String,
    red: bool,
    audience: String,
    #[schema(format = DateTime)]
    created: String,
    expires: Option<String>,
    own: bool,
    /// Shown this once.
    token: String,
}
