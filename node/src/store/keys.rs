//! Content keys, and when each was last used.

use std::{collections::HashMap, time::Duration};

use belfry_proto::{
    id::{GroupId, KeyId, MemberId},
    time::Timestamp,
};
use prost::Message;

use super::{ReadError, Store, columns::Cf, rows::KeyRow, txn::Txn, values::KeyValue, vault::damaged};

/// Keys whose last use the writer remembers; more authors than that are not active at once.
const MAX_USES: usize = 4096;
/// How exactly the last use of a key is kept.
const USE_NOTED: Duration = Duration::from_secs(60);

/// Author and noted last use of keys, as in their rows; what the writer remembers of them.
#[derive(Default)]
pub(super) struct Uses(HashMap<KeyId, (MemberId, Timestamp)>);

impl Uses {
    /// Remembers the newest message under a key: the history window is measured from it.
    pub(super) fn note(
        &mut self,
        txn: &mut Txn<'_>,
        key: KeyId,
        author: MemberId,
        at: Timestamp,
    ) -> Result<(), ReadError> {
        // Only the key's own author uses it, and not in the future: headers may name any key.
        let at = at.min(txn.now);
        // Once a minute is fine enough for windows of days, and spares a write a message.
        let is_fresh = |last: Timestamp| at.since(last) < USE_NOTED;
        if self.0.get(&key).is_some_and(|(by, last)| *by != author || is_fresh(*last)) {
            return Ok(());
        }
        let Some(mut row) = read_key(txn, key)? else { return Ok(()) };
        if row.author == author && !is_fresh(row.last_use) {
            row.last_use = at;
            let value = KeyValue::of(&row).encode_to_vec();
            txn.put_sealed(row.group, Cf::Keys, key.to_vec(), &value);
        }
        if self.0.len() >= MAX_USES {
            self.0.clear();
        }
        self.0.insert(key, (row.author, row.last_use));
        Ok(())
    }

    /// The key's row is another one now.
    pub(super) fn forget(&mut self, key: KeyId) {
        self.0.remove(&key);
    }

    /// What was noted may not be in the rows.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }
}

/// Keeps a key, with what was known of it before.
pub(super) fn put(txn: &mut Txn<'_>, mut row: KeyRow) -> Result<(), ReadError> {
    if let Some(before) = read_key(txn, row.id)? {
        row.last_use = row.last_use.max(before.last_use);
        row.own |= before.own;
        row.holders = row.holders.max(before.holders);
    }
    let value = KeyValue::of(&row).encode_to_vec();
    txn.put_sealed(row.group, Cf::Keys, row.id.to_vec(), &value);
    Ok(())
}

fn read_key(txn: &Txn<'_>, id: KeyId) -> Result<Option<KeyRow>, ReadError> {
    txn.get_sealed(Cf::Keys, id.as_ref())?.map(|bytes| decode_key(id, &bytes)).transpose()
}

pub(super) fn decode_key(id: KeyId, bytes: &[u8]) -> Result<KeyRow, ReadError> {
    KeyValue::decode(bytes)
        .ok()
        .and_then(|value| value.row(id).ok())
        .ok_or_else(|| damaged(Cf::Keys, id.as_ref(), "does not decode"))
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
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        crypto::secret::Secret,
        id::{KeyId, LogId, MemberId, MessageId},
        time::Timestamp,
    };
    use tempfile::TempDir;

    use crate::store::{
        Change, EnvelopeRow, KeyRow,
        tests::{GROUP, commit, envelope, id, open},
    };

    #[test]
    fn last_use_of_a_key_moves_by_its_own_authors_messages_and_not_ahead() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let minute = 60_000_000;
        let key = KeyRow {
            id: KeyId::new([3; 32]),
            secret: Secret::new([4; 32]),
            context: vec![1],
            group: GROUP,
            author: MemberId::new([2; 16]),
            last_use: Timestamp::from_micros(minute),
            own: false,
            holders: 1,
        };
        store.commit_blocking(Change::Key(key.clone())).unwrap();
        let used = || store.key(key.id).unwrap().unwrap().last_use.as_micros();
        let at = |n: u64, log: u8, member: u8, created: u64| {
            let (member, created) = (MemberId::new([member; 16]), Timestamp::from_micros(created));
            let name = u64::from(log) * 100 + n;
            let prev = if n == 1 { MessageId::ZERO } else { id(name - 1) };
            commit(
                &store,
                EnvelopeRow {
                    id: id(name),
                    prev,
                    log: LogId::new([log; 32]),
                    member,
                    created,
                    ..envelope(n)
                },
            );
        };
        at(1, 1, 2, 3 * minute);
        assert_eq!(used(), 3 * minute);
        at(1, 9, 7, 9 * minute);
        assert_eq!(used(), 3 * minute, "another member's header may name any key");
        at(2, 1, 2, 2 * minute);
        assert_eq!(used(), 3 * minute, "never back");
        let before = crate::clock::now();
        at(3, 1, 2, u64::MAX / 2);
        assert!(
            (before.as_micros()..=crate::clock::now().as_micros()).contains(&used()),
            "not ahead of our clock"
        );
        store.commit_blocking(Change::Key(key.clone())).unwrap();
        assert!(used() >= before.as_micros(), "a second grant does not take it back");
    }
}
