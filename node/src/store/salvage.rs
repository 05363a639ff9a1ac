//! What still reads of a damaged database.
//!
//! Columns are read past their damaged blocks ([`super::past`]), and rows looked at one by one: what does not open, decode
//! or hash to its name is lost.
//!
//! What a node owns (content keys, drafts, tokens, cursors, the withdrawals it heard of) is carried over as it is.
//! Messages are handed out as they travelled, for the ladder to judge. What is derived from them (objects, indexes, the
//! states of logs) is not looked for at all: it is made anew.

use std::{collections::BTreeMap, path::Path};

use belfry_proto::{
    crypto::secret::Secret,
    id::{GroupId, KeyId, MessageId, PublicationId, RosterVersion},
    schema::Signed,
};
use prost::Message;

use super::{
    Health, OpenError, Owner, ReadError,
    admin::{
        BEACON_KEY, CONTACT_KEY, EQUIVOCATION_KEY, HEAD_KEY, HOLD_KEY, NO_CONTACT, REMOVAL_KEY, contact_of,
        read_head,
    },
    check,
    columns::{self, Cf},
    cursors::{HOOK_KEY, SOURCE_KEY},
    db::Db,
    drafts::{COPIED_KEY, decode_draft, idempotency, queue_key, queue_value},
    keys::decode_key,
    open,
    parking::read_park,
    past::{Lost, Past, lost},
    rows::{DraftState, LogRow, MessageRow},
    unsure::{ENTRIES_KEY, WORD_KEY},
    values::{EnvelopeValue, LogValue, WithdrawalValue},
    vault::damaged,
};

/// What the feed's numbers are raised by: more than the rows of it that can have been lost.
const FEED_STEP: u64 = 1 << 32;
/// Rows carried over in one synced write.
const BATCH: usize = 1024;

/// A damaged database, open for reading.
pub struct Salvage {
    db: Db,
}

/// An envelope that reads.
#[derive(Debug)]
pub struct Salvaged {
    /// What was known of it.
    pub row: MessageRow,
    /// As it travelled.
    pub bytes: Vec<u8>,
}

/// What reads of a column whose keys are numbers.
#[derive(Debug)]
pub struct Numbered {
    /// By number.
    pub rows: BTreeMap<u64, Vec<u8>>,
    /// Nothing of it is damaged, as far as is known.
    pub is_whole: bool,
}

impl Numbered {
    /// The highest number that reads; 0 if none does.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.rows.last_key_value().map_or(0, |(number, _)| *number)
    }
}

/// Rows carried over as they are, and those lost, by what they are to people.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Rows kept, by column.
    pub kept: BTreeMap<&'static str, u64>,
    /// What does not read of these columns.
    pub lost: Vec<Lost>,
}

impl Salvage {
    /// Opens the database under `path`, which no process may have open.
    ///
    /// # Errors
    /// [`OpenError`]: in use, another's, or past healing.
    pub fn open(path: &Path, owner: Owner, master: &Secret) -> Result<Self, OpenError> {
        // Reading takes no lock, so whether it is in use is asked by taking it.
        match open::open_unmigrated(path, owner, master) {
            Err(error @ OpenError::InUse { .. }) => return Err(error),
            opened => drop(opened),
        }
        Ok(Self { db: open::open_damaged(path, owner, master)? })
    }

    /// Looks at every row, past what does not read.
    pub fn check(&self, progress: impl FnMut(&super::CheckedColumn)) -> Health {
        check::all(&self.db, progress)
    }

    /// The admin head as noted, if it reads.
    #[must_use]
    pub fn head(&self) -> Option<RosterVersion> {
        let noted = self.db.get(Cf::Meta, HEAD_KEY).ok().flatten();
        Some(read_head(noted)).filter(|head| *head != RosterVersion::EMPTY)
    }

    /// Charters that read, by version.
    #[must_use]
    pub fn charters(&self) -> Numbered {
        self.numbered(Cf::Charters)
    }

    /// Records of the admin log that read, by height.
    #[must_use]
    pub fn records(&self) -> Numbered {
        self.numbered(Cf::Records)
    }

    /// When each record came, by height: a second witness of how many there were.
    #[must_use]
    pub fn seen(&self) -> Numbered {
        self.numbered(Cf::Seen)
    }

    fn numbered(&self, cf: Cf) -> Numbered {
        let mut found = Numbered { rows: BTreeMap::new(), is_whole: true };
        for row in Past::of(&self.db, cf) {
            let numbered = row.ok().and_then(|(key, value)| {
                Some((u64::from_be_bytes(key.as_ref().try_into().ok()?), value.into_vec()))
            });
            found.is_whole &= numbered.is_some();
            found.rows.extend(numbered);
        }
        found
    }

    /// States of logs that read: how far each was held.
    #[must_use]
    pub fn logs(&self) -> Vec<LogRow> {
        let rows = Past::of(&self.db, Cf::Logs).filter_map(Result::ok);
        rows.filter_map(|(key, value)| {
            // A log is named as the beginning of its places.
            let (group, log, _) = columns::read_place(&[key.as_ref(), &[0; 8]].concat())?;
            LogValue::decode(value.as_ref()).ok()?.row(group, log).ok()
        })
        .collect()
    }

    /// Every envelope that reads; those that lie beside the log's own first, so that no entry above a fork comes before
    /// the fork is known.
    pub fn envelopes(&self) -> impl Iterator<Item = Result<Salvaged, Lost>> + '_ {
        [Cf::Forks, Cf::Envelopes].into_iter().flat_map(move |cf| {
            Past::of(&self.db, cf).map(move |row| {
                let (key, value) = row?;
                salvaged(cf, &key, &value).map_err(|error| lost(cf, &key, error))
            })
        })
    }

    /// What does not read of the columns that are made anew: named, and of no further consequence.
    pub fn derived(&self) -> impl Iterator<Item = Lost> + '_ {
        let is_derived = |cf: &Cf| !OWNED.contains(cf) && !matches!(cf, Cf::Envelopes | Cf::Forks);
        Cf::ALL.into_iter().filter(is_derived).flat_map(move |cf| {
            Past::of(&self.db, cf).filter_map(move |row| match row {
                Ok((key, value)) => {
                    let read = check::reads(&self.db, cf, &key, &value);
                    read.err().map(|error| lost(cf, &key, error))
                }
                Err(lost) => Some(lost),
            })
        })
    }

    /// Makes a new database under `to` with all of what this node owns that reads.
    ///
    /// # Errors
    /// [`OpenError`]: what is made there is of no use then.
    pub fn carry(&self, to: &Path, owner: Owner, master: &Secret) -> Result<Carried, OpenError> {
        let new = open::open(to, owner, master)?;
        let mut carried = Carried::default();
        for cf in OWNED {
            self.carry_column(&new, cf, &mut carried)?;
        }
        // Numbers of the feed go on: what reads it by number has seen the lower ones. The row names no object.
        let first = self.last_fed().saturating_add(FEED_STEP).to_be_bytes().to_vec();
        write(&new, vec![(Cf::Feed, first, columns::object(GroupId::new(0), 0))])?;
        Ok(carried)
    }

    /// The highest number of the feed that reads, in the feed itself or where a hook says how far it is.
    fn last_fed(&self) -> u64 {
        let fed = Past::of(&self.db, Cf::Feed).filter_map(Result::ok);
        let numbers = fed.filter_map(|(key, _)| <[u8; 8]>::try_from(key.as_ref()).ok());
        let feed = numbers.last().map_or(0, u64::from_be_bytes);
        let rows = Past::of(&self.db, Cf::Meta).filter_map(Result::ok);
        let hooks = rows.filter(|(key, _)| key.starts_with(HOOK_KEY)).filter_map(|(_, state)| {
            serde_json::from_slice::<serde_json::Value>(&state).ok()?.get("position")?.as_u64()
        });
        hooks.fold(feed, u64::max)
    }

    fn carry_column(&self, new: &Db, cf: Cf, carried: &mut Carried) -> Result<(), OpenError> {
        let (mut batch, mut kept) = (Vec::new(), 0);
        for row in Past::of(&self.db, cf) {
            let (key, value) = match row {
                Ok(row) => row,
                Err(lost) => {
                    carried.lost.push(lost);
                    continue;
                }
            };
            match self.owned(cf, &key, &value) {
                Ok(None) => continue,
                Ok(Some(beside)) => {
                    kept += 1;
                    batch.push((cf, key.into_vec(), value.into_vec()));
                    batch.extend(beside);
                }
                Err(error) => carried.lost.push(lost(cf, &key, error)),
            }
            if batch.len() >= BATCH {
                write(new, std::mem::take(&mut batch))?;
            }
        }
        write(new, batch)?;
        carried.kept.insert(cf.name(), kept);
        Ok(())
    }

    /// Whether a row of this node's own reads; `None` if it is not carried over. With it go rows that stand for it.
    fn owned(&self, cf: Cf, key: &[u8], value: &[u8]) -> Result<Option<Beside>, ReadError> {
        let fault = |detail| damaged(cf, key, detail);
        let alone = Some(Beside::new());
        Ok(match cf {
            Cf::Meta => {
                let kept = [
                    BEACON_KEY,
                    CONTACT_KEY,
                    EQUIVOCATION_KEY,
                    HOOK_KEY,
                    SOURCE_KEY,
                    HOLD_KEY,
                    REMOVAL_KEY,
                    ENTRIES_KEY,
                    WORD_KEY,
                    COPIED_KEY,
                ];
                if key.starts_with(SOURCE_KEY) {
                    self.db.vault.open(cf, key, value)?;
                }
                if key.starts_with(CONTACT_KEY) {
                    let row = contact_of(key, value).ok_or_else(|| fault(NO_CONTACT))?;
                    Signed::decode(row.bytes.as_slice()).map_err(|_| fault("does not decode"))?;
                }
                alone.filter(|_| kept.iter().any(|prefix| key.starts_with(prefix)))
            }
            Cf::DataKeys => {
                self.db.vault.unwrap_key(key, value)?;
                alone
            }
            Cf::Keys => {
                let id = KeyId::try_from(key).map_err(|_| fault("has no id"))?;
                let row = decode_key(id, &self.db.vault.open(cf, key, value)?)?;
                row.content_key().ok_or_else(|| fault("does not match its id"))?;
                alone
            }
            Cf::Drafts => {
                let id = PublicationId::try_from(key).map_err(|_| fault("has no id"))?;
                let row = decode_draft(id, &self.db.vault.open(cf, key, value)?)?;
                let waits = matches!(row.state, DraftState::Queued | DraftState::Held);
                let queued = waits.then(|| (Cf::Queue, queue_key(&row), queue_value(&self.db.vault, &row)));
                let named = row.idempotency_key.as_ref().filter(|_| row.state != DraftState::Refused);
                let named =
                    named.map(|name| (Cf::Idempotency, idempotency(&self.db.vault, name), id.to_vec()));
                Some(queued.into_iter().chain(named).collect())
            }
            Cf::Idempotency => alone.filter(|_| PublicationId::try_from(value).is_ok()),
            Cf::Tokens => {
                self.db.vault.open(cf, key, value)?;
                alone
            }
            Cf::Addresses => {
                let bytes = value.get(8..).ok_or_else(|| fault("too short"))?;
                Signed::decode(bytes).map_err(|_| fault("does not decode"))?;
                alone
            }
            Cf::Parked => {
                let id = MessageId::try_from(key).ok();
                id.and_then(|id| read_park(id, value)).ok_or_else(|| fault("does not decode"))?;
                alone
            }
            Cf::Withdrawals => {
                let id = key.last_chunk::<32>().map(|id| MessageId::new(*id));
                let id = id.ok_or_else(|| fault("has no id"))?;
                if key.len() > 32 {
                    let value = WithdrawalValue::decode(value).map_err(|_| fault("does not decode"))?;
                    value.word(id).map_err(|_| fault("does not decode"))?;
                }
                alone
            }
            Cf::Seen => {
                <[u8; 8]>::try_from(value).map_err(|_| fault("is no time"))?;
                alone
            }
            _ => None,
        })
    }
}

/// Rows that are made anew from the one they stand for.
type Beside = Vec<(Cf, Vec<u8>, Vec<u8>)>;

/// What no other node has, and what cannot be told from messages.
const OWNED: [Cf; 10] = [
    Cf::Meta,
    Cf::DataKeys,
    Cf::Keys,
    Cf::Drafts,
    Cf::Idempotency,
    Cf::Tokens,
    Cf::Addresses,
    Cf::Parked,
    Cf::Withdrawals,
    Cf::Seen,
];

fn write(db: &Db, rows: Beside) -> Result<(), OpenError> {
    let mut batch = rocksdb::WriteBatch::default();
    for (cf, key, value) in rows {
        batch.put_cf(db.cf(cf), key, value);
    }
    let mut synced = rocksdb::WriteOptions::default();
    synced.set_sync(true);
    let failed = |source| OpenError::Database { path: db.path.clone(), source };
    db.rocks.write_opt(batch, &synced).map_err(failed)
}

fn salvaged(cf: Cf, key: &[u8], value: &[u8]) -> Result<Salvaged, ReadError> {
    let fault = |detail| damaged(cf, key, detail);
    let place = key.get(..columns::PLACE_LEN).and_then(columns::read_place);
    let (group, log, sequence) = place.ok_or_else(|| fault("has no place"))?;
    let value = EnvelopeValue::decode(value).map_err(|_| fault("does not decode"))?;
    let row = value.message(group, log, sequence).map_err(|_| fault("does not decode"))?;
    Ok(Salvaged { row, bytes: value.bytes })
}
