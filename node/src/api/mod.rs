//! The node's HTTP face: TAXII 2.1, REST and a live stream, for tools on this machine.
//!
//! The story of a request: a listener ([`server`]) takes the connection, [`host`] refuses strange names
//! and pages, `auth` finds the token's holder, the route's gate compares its scope with what the route
//! needs, and the handler asks [`crate::query`], the one place that authorises what is read, or the
//! [`ports::Publish`] port. This floor knows neither keys nor store.
//!
//! Imports go one way: `server` ─▶ `service` (layers) ─▶ `route` (the table) ─▶ handlers ─▶ `app` (what they
//! share) ─▶ `problem`, `body`, `params`.
//!
//! TAXII 2.1 lives under `/taxii2/` with one API root and a collection per group; REST under `/api/v1`.

mod app;
mod audit;
mod auth;
mod body;
mod connection;
mod doors;
mod dress;
mod events;
mod exports;
pub mod host;
mod intake;
pub mod limit;
mod misp;
mod openapi;
mod paging;
mod params;
pub mod ports;
mod problem;
mod proposals;
mod reach;
mod rest;
mod route;
pub mod server;
mod service;
mod sightings;
mod taxii;
pub mod tls;

#[cfg(test)]
mod tests;
