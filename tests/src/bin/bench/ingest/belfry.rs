//! One round of the node's own ingest.

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, ensure};
use belfry_node::{
    feed::Feed,
    heard::GateTimes,
    identity::Identity,
    ingest::{Ingest, Intake, Kept},
    membership::{DialLimits, Membership, Reach},
    network::{self, Gossip, NetworkConfig},
    roster::LiveRoster,
    store::{Change, Owner, Store},
};
use belfry_proto::{
    crypto::sign::{PublicKey, SigningKey},
    envelope,
    id::GroupId,
    limits::MAX_PAGE_ENVELOPES,
    topic::Topic,
};
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::Prepared;

/// Pages handed in before the first is answered, as several sync partners would.
const PAGES: usize = 6;

/// Neighbours that gossip comes from: more than a node has, so that no budget of one of them is what is measured.
const NEIGHBOURS: u8 = 64;
/// Gossip that waits for the judge: as many as in the daemon.
const WAITING: usize = 512;

/// Without an envelope more, it has stopped.
const STALLED: std::time::Duration = std::time::Duration::from_secs(30);

/// What a round took.
pub(crate) struct Done {
    pub(crate) seconds: f64,
}

/// How envelopes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By pages, as sync hands them in, in which no entry stands beside the one before it.
    Pages,
    /// One by one, as gossipsub hands them on.
    Gossip,
}

/// Feeds every envelope to a fresh node's ingest, and waits until the last is durable.
pub(crate) fn round(prepared: &Prepared, path: &Path, way: Way) -> anyhow::Result<Done> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(feed(prepared, path, way));
    // Ends the loops, and with them the last handles to the store.
    runtime.shutdown_timeout(std::time::Duration::from_secs(30));
    done
}

async fn feed(prepared: &Prepared, path: &Path, way: Way) -> anyhow::Result<Done> {
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
    let (heard, gossip) = mpsc::channel(WAITING);
    let (judge, keep, reopen) = ingest.loops(queues, gossip);
    let loops = [tokio::spawn(judge), tokio::spawn(keep), tokio::spawn(reopen)];

    let begun;
    match way {
        Way::Pages => {
            let pages = envelopes.chunks(MAX_PAGE_ENVELOPES).map(<[Vec<u8>]>::to_vec).collect();
            begun = Instant::now();
            offer(&intake, owner.node, pages).await?;
        }
        Way::Gossip => {
            let messages = gossiped(prepared)?;
            begun = Instant::now();
            hear(&store, coalition.group()?, &heard, messages).await?;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let counts = store.counts(coalition.group()?);
    ensure!(counts.opened == envelopes.len() as u64, "not every envelope was opened: {counts:?}");
    for task in loops {
        task.abort();
        let _ = task.await;
    }
    network.shutdown().await;
    drop((store, intake, membership));
    closed(path).await.context("the store stayed open")?;
    Ok(Done { seconds })
}

/// Hands in pages, several at a time, until all of them are durable.
async fn offer(intake: &Intake, from: PublicKey, pages: Vec<Vec<Vec<u8>>>) -> anyhow::Result<()> {
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
    Ok(())
}

/// The envelopes as gossip, from each neighbour in turn.
fn gossiped(prepared: &Prepared) -> anyhow::Result<Vec<Gossip>> {
    let neighbours: Vec<PublicKey> =
        (1..=NEIGHBOURS).map(|n| SigningKey::from_seed(&[n; 32]).public()).collect();
    let (coalition, topic) =
        (prepared.coalition.roster.coalition(), Topic::Group(prepared.coalition.group()?));
    let heard = prepared.envelopes.iter().zip(neighbours.iter().cycle());
    heard
        .map(|(bytes, from)| Gossip::unforwarded(coalition, topic, *from, bytes.clone()))
        .collect::<Option<_>>()
        .context("no place for gossip")
}

/// Hands on gossip as fast as the judge takes it, until all of it is durable.
async fn hear(
    store: &Store,
    group: GroupId,
    heard: &mpsc::Sender<Gossip>,
    messages: Vec<Gossip>,
) -> anyhow::Result<()> {
    let (count, mut last) = (messages.len() as u64, (0, Instant::now()));
    for message in messages {
        heard.send(message).await.ok().context("ingest ended early")?;
    }
    loop {
        let opened = store.counts(group).opened;
        if opened == count {
            return Ok(());
        }
        if opened > last.0 {
            last = (opened, Instant::now());
        }
        ensure!(last.1.elapsed() < STALLED, "of {count} envelopes {opened} were opened");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
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
