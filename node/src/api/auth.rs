//! From an `Authorization` header to a [`Principal`], and from a route's need to a refusal.
//!
//! Bearer (`Token`, as taxii2-client calls it, is the same), or HTTP Basic with the token as the password
//! and any user name: the TAXII clients of several SIEMs know nothing else. [`identify`] only finds out who asks; [`gate`], wrapped around
//! every route with what that route [`Needs`], refuses. A path outside the table is gated as well, so
//! that nobody without a token can tell which paths exist.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::time::Instant;

use super::{
    app::App,
    connection::Caller,
    doors::Place,
    problem::Problem,
    taxii::{self, media},
};
use crate::{
    clock,
    query::{PREFIX, Principal, TokenError, TokenId},
};

/// What a route asks of a token before its handler runs. Groups are the handler's to check, by way of `query`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// No token: liveness probes, which learn nothing.
    Nothing,
    /// Any good token.
    Token,
    /// Reads some group.
    Read,
    /// Publishes to some group.
    Publish,
    /// Both of the above.
    ReadAndPublish,
    /// Administers.
    Admin,
}

impl Needs {
    fn met_by(self, principal: &Principal) -> bool {
        let scope = principal.scope();
        match self {
            Self::Nothing | Self::Token => true,
            Self::Read => !scope.read.is_empty(),
            Self::Publish => !scope.publish.is_empty() || !scope.draft.is_empty(),
            Self::ReadAndPublish => !scope.read.is_empty() && !scope.publish.is_empty(),
            Self::Admin => scope.admin,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Token => "any",
            Self::Read => "read",
            Self::Publish => "publish",
            Self::ReadAndPublish => "read and publish",
            Self::Admin => "admin",
        }
    }
}

/// Who asks, or why that is not known.
#[derive(Clone)]
pub(crate) struct Identity(Result<Principal, Problem>);

impl Identity {
    /// The token of whoever asks, if it is good.
    pub(crate) fn token(&self) -> Option<TokenId> {
        self.0.as_ref().ok().map(Principal::token)
    }

    /// Whether it is good, and good for that.
    pub(crate) fn meets(&self, needs: Needs) -> bool {
        self.0.as_ref().is_ok_and(|principal| needs.met_by(principal))
    }
}

/// Layer: finds out who asks and charges failures and requests to their buckets.
pub(crate) async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let address = request.extensions().get::<Caller>().and_then(Caller::address);
    let identity = match principal(&app, request.headers()) {
        Ok(principal) => {
            if let Some(place) = request.extensions().get::<Place>() {
                place.keep();
            }
            app.requests.take(principal.token(), Instant::now()).map(|()| principal).map_err(|wait| {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "this token asks too often")
                    .retry_after(wait)
            })
        }
        Err(refusal) => Err(refused(&app, address, refusal)),
    };
    request.extensions_mut().insert(Identity(identity));
    next.run(request).await
}

/// A good token always passes: all local tools share one address, and one that fails in a loop must not
/// lock out the others. What the limit bounds is the work and the log of failing.
fn refused(app: &App, address: Option<IpAddr>, refusal: Refusal) -> Problem {
    if refusal != Refusal::None
        && let Err(wait) = app.failures.take(address, Instant::now())
    {
        return Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-failures",
            "too many requests with a bad token from this address",
        )
        .retry_after(wait);
    }
    let (code, detail) = match refusal {
        Refusal::None => (
            "token-missing",
            "a token is needed: `Authorization: Bearer …`, or Basic with the token as password",
        ),
        Refusal::Scheme => {
            ("token-unreadable", "the Authorization header is neither Bearer nor Basic with a token in it")
        }
        Refusal::Bad => ("token-unknown", "this token is not known here, or was revoked"),
        Refusal::Expired => ("token-expired", "this token has expired"),
    };
    if refusal != Refusal::None {
        tracing::debug!(code, address = ?address, "refused a token");
    }
    Problem::new(StatusCode::UNAUTHORIZED, code, detail)
        .header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(r#"Basic realm="belfry", charset="UTF-8""#),
        )
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="belfry""#))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    None,
    Scheme,
    Bad,
    Expired,
}

fn principal(app: &App, headers: &HeaderMap) -> Result<Principal, Refusal> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Err(Refusal::None) };
    if given.next().is_some() {
        return Err(Refusal::Scheme);
    }
    let token = token(value).ok_or(Refusal::Scheme)?;
    app.ports.query.tokens().verify(&token, clock::now()).map_err(|error| match error {
        TokenError::Expired => Refusal::Expired,
        TokenError::Malformed | TokenError::Unknown => Refusal::Bad,
    })
}

fn token(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    if text.starts_with(PREFIX) {
        // MISP's clients send the key and nothing else.
        return Some(text.to_owned());
    }
    let (scheme, credentials) = text.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
        return Some(credentials.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

/// Layer around one route: nobody whose token lacks what it needs reaches the handler.
pub(crate) async fn gate(State(needs): State<Needs>, mut request: Request, next: Next) -> Response {
    if needs == Needs::Nothing {
        return next.run(request).await;
    }
    match admitted(needs, &mut request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn admitted(needs: Needs, request: &mut Request) -> Result<(), Problem> {
    let principal = known(request.extensions().get::<Identity>().cloned())?;
    if !needs.met_by(&principal) {
        return Err(Problem::forbidden(
            "scope-missing",
            format!("this needs a token with {} scope; `{}` has none", needs.word(), principal.name()),
        )
        .with("needs", needs.word()));
    }
    if taxii::is_under(request.uri().path()) {
        media::negotiate(request.headers())?;
    }
    request.extensions_mut().insert(principal);
    Ok(())
}

fn known(identity: Option<Identity>) -> Result<Principal, Problem> {
    match identity {
        Some(Identity(identity)) => identity,
        // Only if a layer was forgotten; refusing is the safe reading.
        None => Err(Problem::forbidden("scope-missing", "the request was not identified")),
    }
}

/// For paths outside the table.
pub(crate) async fn nothing_here(Extension(identity): Extension<Identity>) -> Problem {
    match known(Some(identity)) {
        Ok(_) => Problem::not_found("no-such-path", "there is nothing at this path"),
        Err(problem) => problem,
    }
}

/// For methods a path does not take.
pub(crate) async fn no_such_method(Extension(identity): Extension<Identity>) -> Problem {
    match known(Some(identity)) {
        Ok(_) => Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "this path does not take this method",
        ),
        Err(problem) => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_carry_a_token() {
        for (header, expected) in [
            ("Bearer belfry_a_b", Some("belfry_a_b")),
            ("bearer belfry_a_b", Some("belfry_a_b")),
            ("Token belfry_a_b", Some("belfry_a_b")),
            ("Basic dXNlcjpiZWxmcnlfYV9i", Some("belfry_a_b")),
            ("Basic OmJlbGZyeV9hX2I=", Some("belfry_a_b")),
            ("Basic !!!", None),
            ("Basic dXNlcg==", None),
            ("Digest x", None),
            ("belfry_a_b", Some("belfry_a_b")),
            ("belfry", None),
        ] {
            assert_eq!(token(&HeaderValue::from_static(header)).as_deref(), expected, "{header}");
        }
    }
}
