//! TAXII 2.1 (OASIS Standard, June 2021): what SIEMs, firewalls and threat platforms poll.
//!
//! Lenient in, strict out: clients send what they like for `Accept`, every answer carries exactly
//! TAXII's media type. Pages are put together from the objects as the author wrote them, without
//! parsing one.

pub(super) mod collections;
pub(super) mod discovery;
mod envelope;
pub(super) mod filters;
pub(super) mod manifest;
pub(super) mod media;
pub(super) mod objects;
pub(super) mod status;
pub(super) mod versions;

/// Where TAXII lives on this server.
pub(super) const PREFIX: &str = "/taxii2";
/// The only API root, below the prefix.
pub(super) const ROOT: &str = "/taxii2/root/";

/// Whether a path is TAXII's, and its errors with it.
pub(super) fn is_under(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
