//! The floor: prepared rows, and the cryptography that nobody can leave out.

use std::{
    path::Path,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Instant,
};

use anyhow::{Context as _, ensure};
use belfry_node::store::{Owner, Store};
use belfry_proto::{
    crypto::{
        pae::Pae,
        seal,
        secret::Secret,
        sign::{PublicKey, Purpose},
    },
    envelope::{ContentKey, decode},
    id::{CoalitionId, KeyId},
    schema,
};
use prost::Message as _;
use rocksdb::{Cache, DB, Env, Options, WriteBatch, WriteOptions};

use super::Prepared;
use crate::machine;

/// Where belfry seals values that belong to messages.
const SEALED: &str = "objects";
/// Rows that every batch writes anew, whatever it holds: states of logs and counts.
const EVERY_BATCH: [&str; 2] = ["logs", "meta"];
/// Rows that a round begins with.
const BEFOREHAND: [&str; 2] = ["keys", "data-keys"];
/// What belfry puts before a sealed value: data key's name and nonce; behind it the tag.
const SEALED_HEAD: usize = 8 + seal::NONCE_LEN;
/// Cache of blocks, as belfry's; loading options asks for one.
const CACHE: usize = 16 << 20;

/// Everything of a round but the work.
pub(super) struct Floor {
    coalition: CoalitionId,
    owner: Owner,
    store_key: Secret,
    families: Vec<String>,
    messages: Vec<Message>,
    batches: Vec<Batch>,
}

struct Message {
    signer: PublicKey,
    signed: [Vec<u8>; 3],
    signature: Vec<u8>,
    key: Secret,
    nonce: [u8; seal::NONCE_LEN],
    associated: Vec<u8>,
    body: Vec<u8>,
}

#[derive(Default)]
struct Batch {
    messages: std::ops::Range<usize>,
    rows: Vec<Row>,
}

#[derive(Clone)]
struct Row {
    family: usize,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Floor {
    /// Reads the rows that a round of belfry left under `path`.
    pub(super) fn prepare(prepared: &Prepared, path: &Path, batch: usize) -> anyhow::Result<Self> {
        let reader = &prepared.reader;
        let coalition = prepared.coalition.roster.coalition();
        let messages = messages(prepared)?;
        let (families, rows) = rows(path)?;
        let count = messages.len().div_ceil(batch).max(1);
        let mut batches: Vec<Batch> = (0..count)
            .map(|i| Batch { messages: i * batch..((i + 1) * batch).min(messages.len()), rows: Vec::new() })
            .collect();
        for (family, rows) in rows.into_iter().enumerate() {
            let name = families.get(family).map_or("", String::as_str);
            if BEFOREHAND.contains(&name) {
                continue;
            }
            if EVERY_BATCH.contains(&name) {
                batches.iter_mut().for_each(|batch| batch.rows.extend(rows.iter().cloned()));
                continue;
            }
            let share = rows.len().div_ceil(count).max(1);
            for (rows, batch) in rows.chunks(share).zip(&mut batches) {
                batch.rows.extend_from_slice(rows);
            }
        }
        let owner = Owner { coalition, node: reader.certificate.node };
        let floor =
            Self { coalition, owner, store_key: reader.keys.store.clone(), families, messages, batches };
        ensure!(
            floor.rows() >= floor.messages.len() * 5,
            "belfry's rows were not found under {}",
            path.display()
        );
        Ok(floor)
    }

    /// Rows written in a round.
    pub(super) fn rows(&self) -> usize {
        self.batches.iter().map(|batch| batch.rows.len()).sum()
    }

    /// Does it all once; gives the seconds it took.
    pub(super) fn round(&self, path: &Path) -> anyhow::Result<f64> {
        let db = self.open(path)?;
        let next = AtomicUsize::new(0);
        // A batch being written and one waiting for each worker, as in any pipeline.
        let (finished, queue) = mpsc::sync_channel::<WriteBatch>(machine::cores());
        let begun = Instant::now();
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let workers: Vec<_> = (0..machine::cores())
                .map(|_| {
                    let (finished, db, next) = (finished.clone(), &db, &next);
                    scope.spawn(move || -> anyhow::Result<()> {
                        while let Some(batch) = self.batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                            finished
                                .send(self.work(db, batch)?)
                                .map_err(|_| anyhow::anyhow!("the writer ended"))?;
                        }
                        Ok(())
                    })
                })
                .collect();
            drop(finished);
            let mut synced = WriteOptions::default();
            synced.set_sync(true);
            for batch in queue {
                db.write_opt(batch, &synced)?;
            }
            for worker in workers {
                worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
            }
            Ok(())
        })?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// A database as belfry makes it, with belfry's options.
    fn open(&self, path: &Path) -> anyhow::Result<DB> {
        drop(Store::open(path, self.owner, &self.store_key)?);
        for _ in 0..1000 {
            let (options, families) =
                Options::load_latest(path, Env::new()?, false, Cache::new_lru_cache(CACHE))?;
            match DB::open_cf_descriptors(&options, path, families) {
                Ok(db) => return Ok(db),
                // The writer thread lets go a moment after the last handle.
                Err(error) if error.as_ref().contains("LOCK") => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("{} is still locked", path.display())
    }

    /// Cryptography of one batch, and its rows.
    fn work(&self, db: &DB, batch: &Batch) -> anyhow::Result<WriteBatch> {
        for message in self.messages.get(batch.messages.clone()).unwrap_or_default() {
            let [header, hash, len] = &message.signed;
            message.signer.verify(
                Purpose::Envelope,
                self.coalition,
                &[header, hash, len],
                &message.signature,
            )?;
            std::hint::black_box(seal::open(
                &message.key,
                &message.nonce,
                &message.associated,
                &message.body,
            )?);
        }
        let mut out = WriteBatch::default();
        for row in &batch.rows {
            let name = self.families.get(row.family).context("no such family")?;
            let family = db.cf_handle(name).context("a column family is missing")?;
            if name == SEALED {
                let (head, rest) = row.value.split_at_checked(SEALED_HEAD).context("a row is too short")?;
                // The sealed bytes stand in for the plain ones: as many, and as little compressible.
                let plain = rest.get(..rest.len().saturating_sub(seal::TAG_LEN)).unwrap_or_default();
                let nonce: [u8; seal::NONCE_LEN] = rand::random();
                let sealed = seal::seal(&self.store_key, &nonce, &row.key, plain);
                out.put_cf(family, &row.key, [head, &sealed].concat());
            } else {
                out.put_cf(family, &row.key, &row.value);
            }
        }
        Ok(out)
    }
}

fn messages(prepared: &Prepared) -> anyhow::Result<Vec<Message>> {
    let roster = &prepared.coalition.roster;
    let keys: std::collections::HashMap<KeyId, ContentKey> =
        prepared.keys.iter().filter_map(|row| Some((row.id, row.content_key()?))).collect();
    let message = |bytes: &Vec<u8>| {
        let decoded = decode(bytes)?;
        let header = decoded.header();
        let sealing = header.sealing().context("a message without a body")?;
        let key = keys.get(&sealing.key).context("a message under an unknown key")?;
        let envelope = schema::Envelope::decode(bytes.as_slice())?;
        let certificate = roster.certificate(header.serial).context("an unknown author")?;
        let associated = Pae::new("belfry/v1/body").part(header.coalition.as_ref()).part(&envelope.header);
        Ok(Message {
            signer: certificate.signing,
            signature: envelope.signature,
            key: key.secret().derive("belfry/v1/content-key", &[key.id().as_ref()]),
            nonce: sealing.nonce,
            associated: associated.into_bytes(),
            body: envelope.body.context("a bare header")?,
            signed: [envelope.header, envelope.body_hash, envelope.body_len.to_be_bytes().to_vec()],
        })
    };
    prepared.envelopes.iter().map(message).collect()
}

/// Column families by name, and the rows of each in the order belfry's messages come in: by hash where the key
/// begins with one, by time where it ends with one, by sequence over all logs for envelopes.
fn rows(path: &Path) -> anyhow::Result<(Vec<String>, Vec<Vec<Row>>)> {
    let options = Options::default();
    let families = DB::list_cf(&options, path)?;
    let db = DB::open_cf_for_read_only(&options, path, &families, false)?;
    let mut all = Vec::new();
    for (family, name) in families.iter().enumerate() {
        let handle = db.cf_handle(name).context("a column family is missing")?;
        let mut rows = Vec::new();
        for row in db.iterator_cf(handle, rocksdb::IteratorMode::Start) {
            let (key, value) = row?;
            rows.push(Row { family, key: key.into_vec(), value: value.into_vec() });
        }
        if matches!(name.as_str(), "envelopes" | "observables") {
            rows.sort_by(|a, b| a.key.last_chunk::<8>().cmp(&b.key.last_chunk::<8>()));
        }
        if matches!(name.as_str(), "messages" | "by-id") {
            // Ids are hashes, so messages of one moment lie all over the column; a fixed hash deals them so.
            rows.sort_by_key(|row| belfry_proto::crypto::hash::body(&row.key));
        }
        all.push(rows);
    }
    Ok((families, all))
}
