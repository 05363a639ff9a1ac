//! The API as its clients meet it: the whole router, over a real store and the real publishing half,
//! without sockets or network.
//!
//! One file a subject; [`site`] is the stage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod coalition;
mod doors;
mod exports;
mod filters;
mod guards;
mod imports;
mod limits;
mod lookup;
mod media;
mod oracle;
mod own;
mod pages;
mod publishing;
mod routes;
mod site;
mod stream;
