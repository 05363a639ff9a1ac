//! Reads of what this node itself owns: drafts, content keys, tokens.

use belfry_proto::id::{GroupId, KeyId, PublicationId};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    MemoryError, ReadError, Store,
    apply::{HOOK_KEY, SOURCE_KEY},
    columns::{Cf, Key},
    rows::{Change, DraftRow, DraftState, KeyRow, TokenRow},
    txn::Txn,
    values::{DraftValue, KeyValue},
    vault::{Vault, damaged},
};

pub(super) fn read_key(txn: &Txn<'_>, id: KeyId) -> Result<Option<KeyRow>, ReadError> {
    txn.get_sealed(Cf::Keys, id.as_ref())?.map(|bytes| decode_key(id, &bytes)).transpose()
}

pub(super) fn decode_key(id: KeyId, bytes: &[u8]) -> Result<KeyRow, ReadError> {
    KeyValue::decode(bytes)
        .ok()
        .and_then(|value| value.row(id).ok())
        .ok_or_else(|| damaged(Cf::Keys, id.as_ref(), "does not decode"))
}

pub(super) fn decode_draft(publication: PublicationId, bytes: &[u8]) -> Result<DraftRow, ReadError> {
    DraftValue::decode(bytes)
        .ok()
        .and_then(|value| value.row(publication).ok())
        .ok_or_else(|| damaged(Cf::Drafts, publication.as_ref(), "does not decode"))
}

/// Before the queue's keys of held drafts: no time begins so, and they lie behind all that is to be flushed.
pub(super) const HELD: [u8; 1] = [0xff];

/// The key in the queue of a draft.
pub(super) fn queue_key(row: &DraftRow) -> Vec<u8> {
    let prefix: &[u8] = if row.state == DraftState::Held { &HELD } else { &[] };
    Key::default().bytes(prefix).u64(row.created.as_micros()).bytes(row.publication.as_ref()).done()
}

/// Says in the queue that a draft takes back.
const TAKES_BACK: &[u8] = &[1];

/// What the queue says of a draft, so that lists need not open it: of a held one group and submitter, of another one
/// whether it takes back.
pub(super) fn queue_value(vault: &Vault, row: &DraftRow) -> Vec<u8> {
    if row.state != DraftState::Held {
        return if row.parts.is_empty() { TAKES_BACK.to_vec() } else { Vec::new() };
    }
    [&row.group.get().to_be_bytes()[..], &submitter_tag(vault, &row.submitter)].concat()
}

/// Tells submitters apart, and nobody which.
fn submitter_tag(vault: &Vault, submitter: &str) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = vault.tag("submitter", submitter.as_bytes());
    [a, b, c, d, e, f, g, h]
}

fn waiting(key: &[u8], prefix: usize) -> Result<PublicationId, ReadError> {
    key.get(prefix + 8..)
        .and_then(|id| PublicationId::try_from(id).ok())
        .ok_or_else(|| damaged(Cf::Queue, key, "has no id"))
}

impl Store {
    /// A content key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn key(&self, id: KeyId) -> Result<Option<KeyRow>, ReadError> {
        self.db.get_sealed(Cf::Keys, id.as_ref())?.map(|bytes| decode_key(id, &bytes)).transpose()
    }

    /// Keys of our own making, of one group or of all.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn own_keys(&self, group: Option<GroupId>) -> Result<Vec<KeyRow>, ReadError> {
        let mut rows = Vec::new();
        for row in self.db.scan(Cf::Keys, &[], &[]) {
            let (key, sealed) = row?;
            let id = KeyId::try_from(key.as_ref()).map_err(|_| damaged(Cf::Keys, &key, "has no id"))?;
            let row = decode_key(id, &self.db.vault.open(Cf::Keys, &key, &sealed)?)?;
            if row.own && group.is_none_or(|group| group == row.group) {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// Queued drafts, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn queued(&self, most: usize) -> Result<Vec<PublicationId>, ReadError> {
        let queued = self.db.scan(Cf::Queue, &[], &[]);
        let queued = queued.take_while(|row| row.as_ref().map_or(true, |(key, _)| !key.starts_with(&HELD)));
        queued.take(most).map(|row| waiting(&row?.0, 0)).collect()
    }

    /// Those of them that take back and say nothing new, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn queued_withdrawals(&self, most: usize) -> Result<Vec<PublicationId>, ReadError> {
        let queued = self.db.scan(Cf::Queue, &[], &[]);
        let queued = queued.take_while(|row| row.as_ref().map_or(true, |(key, _)| !key.starts_with(&HELD)));
        let takes_back =
            queued.filter(|row| row.as_ref().map_or(true, |(_, said)| said.as_ref() == TAKES_BACK));
        takes_back.take(most).map(|row| waiting(&row?.0, 0)).collect()
    }

    /// Drafts that wait for a person in these groups, oldest first, behind a position or from the first; and, if there are
    /// more than so many, the position of the last one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn held_drafts(
        &self,
        of: impl Fn(GroupId) -> bool,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<(Vec<PublicationId>, Option<Vec<u8>>), ReadError> {
        let (mut found, mut last) = (Vec::new(), Vec::new());
        // The next key there can be.
        let start = after.map_or_else(|| HELD.to_vec(), |after| [&HELD[..], after, &[0]].concat());
        for row in self.db.scan(Cf::Queue, &start, &HELD) {
            let (key, said) = row?;
            let id = waiting(&key, HELD.len())?;
            let group = match said.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes) {
                Some(group) => Some(GroupId::new(group)),
                // Held before the queue said so.
                None => self.draft(id)?.map(|row| row.group),
            };
            if !group.is_some_and(&of) {
                continue;
            }
            if found.len() == most {
                return Ok((found, Some(last)));
            }
            found.push(id);
            last = key.get(HELD.len()..).unwrap_or_default().to_vec();
        }
        Ok((found, None))
    }

    /// How many drafts of a submitter wait for a person; counted up to `most`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn held_by(&self, submitter: &str, most: usize) -> Result<usize, ReadError> {
        self.held_besides(submitter, most, |_| false)
    }

    /// The same without those that are counted elsewhere.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn held_besides(
        &self,
        submitter: &str,
        most: usize,
        is_counted: impl Fn(PublicationId) -> bool,
    ) -> Result<usize, ReadError> {
        let tag = submitter_tag(&self.db.vault, submitter);
        let mut count = 0;
        for row in self.db.scan(Cf::Queue, &HELD, &HELD) {
            let (key, said) = row?;
            count += usize::from(said.get(4..) == Some(&tag) && !is_counted(waiting(&key, HELD.len())?));
            if count == most {
                break;
            }
        }
        Ok(count)
    }

    /// A draft, whatever became of it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn draft(&self, publication: PublicationId) -> Result<Option<DraftRow>, ReadError> {
        let Some(bytes) = self.db.get_sealed(Cf::Drafts, publication.as_ref())? else { return Ok(None) };
        decode_draft(publication, &bytes).map(Some)
    }

    /// The draft that follows `after` in the order of their ids, whatever became of it, and how many bytes it takes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn draft_after(&self, after: Option<PublicationId>) -> Result<Option<(DraftRow, usize)>, ReadError> {
        // The least key behind it: its own row may be as large as any.
        let start = after.map_or_else(Vec::new, |after| [after.as_ref(), &[0]].concat());
        let Some(row) = self.db.scan(Cf::Drafts, &start, &[]).next() else { return Ok(None) };
        let (key, sealed) = row?;
        let id = PublicationId::try_from(key.as_ref()).map_err(|_| damaged(Cf::Drafts, &key, "has no id"))?;
        let bytes = self.db.vault.open(Cf::Drafts, &key, &sealed)?;
        drop(sealed);
        decode_draft(id, &bytes).map(|row| Some((row, bytes.len())))
    }

    /// The draft that a scoped idempotency key stands for.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn by_idempotency(&self, key: &str) -> Result<Option<DraftRow>, ReadError> {
        let tag = self.db.vault.tag("idempotency", key.as_bytes());
        match self.db.get(Cf::Idempotency, &tag)?.and_then(|id| PublicationId::try_from(id.as_slice()).ok()) {
            Some(publication) => self.draft(publication),
            None => Ok(None),
        }
    }

    /// Every access token.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn tokens(&self) -> Result<Vec<TokenRow>, ReadError> {
        let mut rows = Vec::new();
        for row in self.db.scan(Cf::Tokens, &[], &[]) {
            let (key, sealed) = row?;
            let id = key.as_ref().try_into().map_err(|_| damaged(Cf::Tokens, &key, "has no id"))?;
            rows.push(TokenRow { id, body: self.db.vault.open(Cf::Tokens, &key, &sealed)? });
        }
        Ok(rows)
    }

    /// How far a hook is, in its own words.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hook(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.db.get(Cf::Meta, &[HOOK_KEY, name.as_bytes()].concat())
    }

    /// [`Self::hook`], read.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub async fn remembered<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, MemoryError> {
        let (store, name) = (self.clone(), name.to_owned());
        let row = tokio::task::spawn_blocking(move || store.hook(&name)).await;
        let row = row.map_err(|_| MemoryError::Died)??;
        Ok(row.map(|row| serde_json::from_slice(&row)).transpose()?)
    }

    /// Notes how far a hook is, or whatever else reads the feed by number.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub async fn remember(&self, name: &str, state: &impl Serialize) -> Result<(), MemoryError> {
        let state = serde_json::to_vec(state)?;
        self.commit(Change::Hook { name: name.to_owned(), state }).await?;
        Ok(())
    }

    /// How far a source is, in its own words.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn source(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.db.get_sealed(Cf::Meta, &[SOURCE_KEY, name.as_bytes()].concat())
    }
}
