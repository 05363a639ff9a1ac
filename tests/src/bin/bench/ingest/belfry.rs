//! One round of the node's own ingest.

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, ensure};
use belfry_node::{
    feed::Feed,
    heard::GateTimes,
    identity::Identity,
    ingest::{Ingest, Kept},
    membership::{DialLimits, Membership, Reach},
    network::{self, NetworkConfig},
    roster::LiveRoster,
    store::{Change, Owner, Store},
};
use belfry_proto::{envelope, limits::MAX_PAGE_ENVELOPES};
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::Prepared;

/// Pages handed in before the first is answered, as several sync partners would.
const PAGES: usize = 6;

/// What a round took.
pub(crate) struct Done {
    pub(crate) seconds: f64,
}

/// Feeds every envelope to a fresh node's ingest, and waits until the last is durable.
pub(crate) fn round(prepared: &Prepared, path: &Path) -> anyhow::Result<Done> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(feed(prepared, path));
    // Ends the loops, and with them the last handles to the store.
    runtime.shutdown_timeout(std::time::Duration::from_secs(30));
    done
}

async fn feed(prepared: &Prepared, path: &Path) -> anyhow::Result<Done> {
    let Prepared { coalition, reader, keys, envelopes } = prepared;
    let owner = Owner { coalition: coalition.roster.coalition(), node: reader.certificate.node };
    let store = Store::open(path, owner, &reader.keys.store)?;
    for key in keys {
        store.commit(Change::Key(key.clone())).await?;
    }
    let identity = Arc::new(Identity {
        member: reader.certificate.member,
        serial: reader.certificate.serial,
        record: reader.record.clone(),
        signing: reader.keys.signing.clone(),
        node: reader.certificate.node,
        kem: reader.keys.kem.clone(),
    });
    // No listeners and nobody to dial: the network is there only because ingest answers to it.
    let (network, _inbound) = network::start(&NetworkConfig::default(), &reader.keys.node, owner.coalition)?;
    let (roster, feed) = (LiveRoster::new(coalition.roster.clone()), Feed::default());
    let membership = Membership::new(
        Arc::clone(&identity),
        store.clone(),
        network.clone(),
        roster.clone(),
        feed.clone(),
        Reach {
            bootstrap: Vec::new(),
            external: Vec::new(),
            listens: false,
            relays: std::collections::BTreeSet::new(),
            limits: DialLimits { longest_wait: std::time::Duration::from_secs(60), most: 0 },
            gate: GateTimes::default(),
        },
    );
    let (ingest, queues, intake) =
        Ingest::new(identity, store.clone(), network.clone(), roster, feed.clone(), membership.behind());
    let (_gossip, gossip) = mpsc::channel(1);
    let (judge, keep, reopen) = ingest.loops(queues, gossip);
    let loops = [tokio::spawn(judge), tokio::spawn(keep), tokio::spawn(reopen)];

    let from = prepared.keys.first().map_or(owner.node, |_| owner.node);
    let pages: Vec<Vec<Vec<u8>>> = envelopes.chunks(MAX_PAGE_ENVELOPES).map(<[Vec<u8>]>::to_vec).collect();
    let begun = Instant::now();
    let mut offers = futures::stream::iter(pages)
        .map(|page| {
            let intake = intake.clone();
            async move {
                let expected = page.len();
                // As sync does, to see that a page is the one it asked for.
                let decode =
                    move || page.iter().map(|bytes| envelope::decode(bytes)).collect::<Result<Vec<_>, _>>();
                let decoded = tokio::task::spawn_blocking(decode).await??;
                anyhow::Ok((expected, intake.offer(from, decoded).await))
            }
        })
        .buffered(PAGES);
    while let Some(offered) = offers.next().await {
        let (expected, kept) = offered?;
        ensure!(kept.len() == expected, "ingest ended early");
        let other = kept.iter().find(|kept| **kept != Kept::Stored);
        ensure!(other.is_none(), "an envelope was not stored: {other:?}");
    }
    let seconds = begun.elapsed().as_secs_f64();
    let counts = store.counts(coalition.group()?);
    ensure!(counts.opened == envelopes.len() as u64, "not every envelope was opened: {counts:?}");
    drop(offers);
    for task in loops {
        task.abort();
        let _ = task.await;
    }
    network.shutdown().await;
    drop((store, intake, membership));
    closed(path).await.context("the store stayed open")?;
    Ok(Done { seconds })
}

/// Waits until the writer thread has let go of the database.
async fn closed(path: &Path) -> anyhow::Result<()> {
    let options = rocksdb::Options::default();
    for _ in 0..1000 {
        let families = rocksdb::DB::list_cf(&options, path)?;
        match rocksdb::DB::open_cf(&options, path, families) {
            Ok(_) => return Ok(()),
            Err(error) if error.as_ref().contains("LOCK") => {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("{} is still locked", path.display())
}
