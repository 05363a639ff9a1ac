//! What every handler shares: the ways into the rest of the node, and the budgets of this server.
//!
//! State only. Who uses it stands above: handlers, then the table of [`super::route`], then the layers of
//! [`super::service`].

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use belfry_proto::limits;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    audit::Reads,
    exports::Cache,
    host::Hosts,
    limit::{Buckets, Rate},
    ports::Ports,
};
use crate::query::TokenId;

/// Kibibytes of bundles taken in at once: four of the largest, each of which takes as much again while it is
/// split, or some thousands of small ones.
const SUBMISSIONS: usize = 4 * (limits::MAX_BUNDLE >> 10);
/// Event streams open at once.
const MAX_STREAMS: usize = 64;

/// Searches through MISP's window at once: each looks at every entry of an export. Too low ⇒ a patient client waits for
/// another's, too high ⇒ a few of them take every core.
const SEARCHES: usize = 2;

/// Failing authentications from one address: what a mistyped script may do before it is slowed.
const FAILURES: Rate = Rate { per_second: 0.2, burst: 10.0 };

/// Shared by every handler.
pub(crate) struct App {
    pub(crate) ports: Ports,
    pub(crate) hosts: Hosts,
    /// Where the API listens, ports filled in.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Requests of one token.
    pub(crate) requests: Buckets<TokenId>,
    /// Failing authentications of one address; the Unix socket is `None`.
    pub(crate) failures: Buckets<Option<IpAddr>>,
    /// Kibibytes of bundles that may still be taken in.
    pub(crate) submissions: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    /// Looks at all of an export, as MISP's clients ask for them.
    pub(super) searches: Arc<Semaphore>,
    /// Reads that the audit log does not know of yet.
    pub(super) reads: Reads,
    /// Exports that are still true.
    pub(super) exports: Cache,
    /// Ends event streams, which would else keep the server from stopping.
    pub(crate) stopping: CancellationToken,
}

impl App {
    pub(crate) fn new(
        ports: Ports,
        hosts: Hosts,
        addresses: Vec<SocketAddr>,
        requests: Rate,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            ports,
            hosts,
            addresses,
            requests: Buckets::new(requests),
            failures: Buckets::new(FAILURES),
            submissions: Arc::new(Semaphore::new(SUBMISSIONS)),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            reads: Reads::default(),
            exports: Cache::default(),
            stopping,
        })
    }
}
