//! Who keeps an object inside, and until when: rows by object in [`Cf::Embargoes`], and what is found of them once for all that is
//! read of the object.
//!
//! What one member asks a thousand times costs one look, and so does whose the object is: whoever repeats an object, or an embargo
//! on it, makes nobody look again for each row.

use std::collections::{BTreeMap, btree_map::Entry};

use belfry_proto::{
    id::{GroupId, MemberId, MessageId},
    stix::object::is_finding,
    time::Timestamp,
};

use crate::store::{
    ReadError,
    columns::{Cf, Key},
    db::Db,
    objects,
    ownership::{Claims, Firsts, Owner},
    presence::Of,
    removal::End,
    txn::Txn,
    values::ObjectValue,
};

/// Where rows by object begin, behind all that is due: no time does.
pub(super) const BY_OBJECT: u8 = u8::MAX;

/// Objects remembered at once while rows are read. Too low ⇒ of more that take turns each is looked up again and again, too high ⇒
/// memory, for as long as all of a group is read.
const MOST_KNOWN: usize = 4096;

/// Where an object's embargoes begin in [`Cf::Embargoes`], by its place in [`Cf::ById`].
fn of_object(object: &[u8]) -> Vec<u8> {
    [&[BY_OBJECT], object].concat()
}

/// That ‖ member ‖ (until, the last first) ‖ message.
pub(in crate::store) fn keeper(object: &[u8], member: &[u8], until: u64, message: &[u8]) -> Vec<u8> {
    Key::default().bytes(&of_object(object)).bytes(member).u64(u64::MAX - until).bytes(message).done()
}

/// Who keeps an object inside by such a row, and until when.
fn read_keeper(key: &[u8], prefix: &[u8]) -> Option<([u8; 16], u64)> {
    let (member, rest) = key.strip_prefix(prefix)?.split_first_chunk::<16>()?;
    let (until, _) = rest.split_first_chunk::<8>()?;
    Some((*member, u64::MAX - u64::from_be_bytes(*until)))
}

/// Has an embargo keep inside, too, what others say of the object, which has this place in [`Cf::ById`].
pub(in crate::store) fn keep(
    txn: &mut Txn<'_>,
    object: &[u8],
    kind: &str,
    (member, message): (MemberId, MessageId),
    until: u64,
) {
    if until > 0 && is_finding(kind) {
        txn.put(Cf::Embargoes, keeper(object, member.as_ref(), until, message.as_ref()), Vec::new());
    }
}

/// Who keeps an object inside.
pub(super) struct Keepers {
    /// Until when each does, in microseconds.
    last: Vec<([u8; 16], u64)>,
    /// Whose the object is, once that was asked.
    pub(super) owner: Option<Owner>,
}

impl Keepers {
    /// As they stand in the batch.
    pub(super) fn within(txn: &Txn<'_>, object: &[u8]) -> Result<Self, ReadError> {
        let prefix = of_object(object);
        Self::of(&prefix, |from| txn.first_key(Cf::Embargoes, from, &prefix))
    }

    fn stored(db: &Db, object: &[u8]) -> Result<Self, ReadError> {
        let mut rows = db.rocks.raw_iterator_cf(db.cf(Cf::Embargoes));
        Self::of(&of_object(object), |from| {
            rows.seek(from);
            let key = rows.key().map(<[u8]>::to_vec);
            db.ended(&rows)?;
            Ok(key)
        })
    }

    /// `first` finds the first key at or behind another one.
    fn of(
        prefix: &[u8],
        mut first: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, ReadError>,
    ) -> Result<Self, ReadError> {
        let (mut last, mut from) = (Vec::new(), prefix.to_vec());
        while let Some(key) = first(&from)? {
            let Some((by, until)) = read_keeper(&key, prefix) else { break };
            last.push((by, until));
            // The last of each stands first.
            from = [prefix, &by, &[u8::MAX; 8 + 32 + 1]].concat();
        }
        Ok(Self { last, owner: None })
    }

    /// How many members they are.
    pub(super) fn members(&self) -> usize {
        self.last.len()
    }

    /// Until when anybody but this member keeps it inside, in microseconds.
    pub(super) fn but(&self, member: &[u8]) -> Option<u64> {
        let others = self.last.iter().filter(|(by, _)| member != by.as_slice());
        others.map(|(_, until)| *until).max()
    }
}

/// Keepers of objects that were read of, for rows that were there before the first of them was read.
#[derive(Default)]
pub(in crate::store) struct Known(BTreeMap<Vec<u8>, Keepers>);

impl Known {
    pub(in crate::store) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// For rows that may have come since.
    pub(in crate::store) fn clear(&mut self) {
        self.0.clear();
    }

    /// Until when what others ask keeps a row from readers outside, if anything of it does. What stands for an object that is gone
    /// is told, unless it still tells what that said.
    pub(in crate::store) fn kept_by_others(
        &mut self,
        db: &Db,
        group: GroupId,
        value: &ObjectValue,
    ) -> Result<Option<Timestamp>, ReadError> {
        let object = objects::by_id(&db.vault, group, &value.id);
        // Nearly every object is said by one member, once.
        let is_told = value.tombstone && End::of(value.end) != End::Kept;
        if is_told || !is_finding(&value.kind) || db.presence.lacks(Of::Repeated, &object) {
            return Ok(None);
        }
        if self.0.len() >= MOST_KNOWN {
            self.0.clear();
        }
        let keepers = match self.0.entry(object.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let found = Keepers::stored(db, &object)?;
                if found.members() == 0 {
                    // One look says so again.
                    return Ok(None);
                }
                new.insert(found)
            }
        };
        let Some(until) = keepers.but(&value.member) else { return Ok(None) };
        let owner = match keepers.owner {
            Some(owner) => owner,
            None => owner(db, group, &object)?,
        };
        keepers.owner = Some(owner);
        Ok((!owner.is(&value.member)).then_some(Timestamp::from_micros(until)))
    }
}

/// Whose an object is, by what is stored.
fn owner(db: &Db, group: GroupId, object: &[u8]) -> Result<Owner, ReadError> {
    let claims = Claims::stored(db, object)?;
    let firsts = Firsts::of(&claims, |date| objects::stored(db, group, date))?;
    Ok(firsts.owner(None))
}
