//! The API as its clients meet it: the whole router, over a real store and the real publishing half,
//! without sockets or network.
//!
//! One file a subject; [`site`] is the stage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod activity;
mod audit;
mod coalition;
mod contacts;
mod doors;
mod doubles;
mod exports;
mod filters;
mod guards;
mod hooks;
mod imports;
mod limits;
mod lookup;
mod media;
mod metrics;
mod misp;
mod openapi;
mod oracle;
mod outside;
mod own;
mod pages;
mod papers;
mod proposals;
mod publishing;
mod rotation;
mod routes;
mod sightings;
mod site;
mod stated;
mod stream;
mod subjects;
mod tls;
mod told;
mod writes;
