//! Whose an object is, of those who say it (design §8, Ownership).
//!
//! Who said it first by (created, message id), except that one whose word arrives more than a quarter of an hour after its
//! `created` never displaces one that is here: a member who could take an id by backdating would own whatever it wished. Of an
//! object that is said more often than is looked at nobody is known to be the owner: what that one alone may do, nobody may, and
//! whoever is shown the object is shown what each member says of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{
    id::{MemberId, MessageId},
    time::Timestamp,
};

use prost::Message;

use super::{
    ReadError,
    columns::Cf,
    db::Db,
    values::{ClaimValue, ObjectValue},
    vault::damaged,
};

/// How late a claim may arrive and still displace an earlier-shown one. Below gossip's own delays,
/// nodes would disagree on ordinary days; above, backdating pays.
const LATE: Duration = Duration::from_secs(15 * 60);

/// Entries of one object that are read, and not opened, to decide by them: whose it is, and whether anything was said of it
/// since somebody looked. Too low ⇒ whoever says an object often has nobody own it, too high ⇒ each decision that the writer makes
/// on such an object holds it up for longer than a tenth of a second.
pub(crate) const MOST_CLAIMS: usize = if cfg!(test) { 2_048 } else { 65_536 };

/// Rows opened to find out whose an object is: more than members ever say one. Too low ⇒ of an object that many say nobody knows
/// whose it is, too high ⇒ whoever says again what others said has so many opened.
const MOST_OPENED: usize = 256;

/// What counts of a member's first row of an object.
#[derive(Clone, Copy, Debug)]
pub struct Claimed {
    /// Who says it.
    pub member: MemberId,
    /// When it was added here, wherever it was moved since.
    pub added: Timestamp,
    /// By its author's clock.
    pub created: Timestamp,
    /// In which message.
    pub message: MessageId,
}

impl Claimed {
    /// Of the row at a date; `None` of one that says nothing, or that only stands for another.
    pub(super) fn of(date: u64, value: &ObjectValue) -> Option<Self> {
        let says = !value.tombstone && value.stands_for == 0;
        Some(Self {
            member: MemberId::try_from(value.member.as_slice()).ok().filter(|_| says)?,
            added: Timestamp::from_micros(value.arrived_at(date)),
            created: Timestamp::from_micros(value.created),
            message: MessageId::try_from(value.message.as_slice()).ok()?,
        })
    }
}

/// Whether a word came too late to be believed about when it was made.
fn is_late(created: Timestamp, added: Timestamp) -> bool {
    added.since(created) > LATE
}

/// Since when a word counts against others' that were here before it or came after: since it was made, by its author's clock; since it
/// came, if that was too late.
#[must_use]
pub fn counts_since(created: Timestamp, added: Timestamp) -> Timestamp {
    if is_late(created, added) { added } else { created }
}

/// Who owns an object, of these rows that say it.
#[must_use]
pub fn owner(rows: impl IntoIterator<Item = Claimed>) -> Option<MemberId> {
    let mut firsts: BTreeMap<MemberId, Claimed> = BTreeMap::new();
    for row in rows {
        let first = firsts.entry(row.member).or_insert(row);
        if row.added < first.added {
            *first = row;
        }
    }
    let mut by_arrival: Vec<Claimed> = firsts.into_values().collect();
    by_arrival.sort_by_key(|row| row.added);
    let rank = |row: &Claimed| (row.created, row.message);
    let held = by_arrival.into_iter().reduce(|held, claim| {
        if !is_late(claim.created, claim.added) && rank(&claim) < rank(&held) { claim } else { held }
    });
    held.map(|row| row.member)
}

/// Entries of an object in [`Cf::ById`], without opening what they lead to.
#[derive(Default)]
pub(super) struct Claims {
    /// When each row was added, and which members say it, oldest first.
    pub(super) said: BTreeSet<(u64, Vec<u8>)>,
    /// When those were added first that were moved since, by when they are now.
    moved: BTreeMap<u64, u64>,
    entries: usize,
    /// There may be more.
    is_cut: bool,
}

impl Claims {
    /// Of these rows; those behind [`MOST_CLAIMS`] need not be all.
    pub(super) fn of<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        rows: impl Iterator<Item = Result<(K, V), ReadError>>,
    ) -> Result<Self, ReadError> {
        let mut claims = Self::default();
        for row in rows {
            let (key, value) = row?;
            let entry = ClaimValue::decode(value.as_ref())
                .map_err(|_| damaged(Cf::ById, key.as_ref(), "does not decode"))?;
            claims.add(entry);
        }
        Ok(claims)
    }

    /// One more entry.
    pub(super) fn add(&mut self, entry: ClaimValue) {
        self.is_cut |= self.entries >= MOST_CLAIMS;
        self.entries += 1;
        if entry.arrived > 0 {
            self.moved.insert(entry.date_added, entry.arrived);
        }
        self.said.insert((entry.date_added, entry.member));
    }

    /// Forgets them, but whether they were all.
    pub(super) fn clear(&mut self) {
        self.said.clear();
        self.moved.clear();
    }

    /// Those who said it first at the front, wherever that was moved since.
    fn by_arrival(&self) -> Vec<&(u64, Vec<u8>)> {
        let mut said: Vec<_> = self.said.iter().collect();
        if !self.moved.is_empty() {
            said.sort_by_key(|(date, _)| self.moved.get(date).copied().unwrap_or(*date));
        }
        said
    }

    /// By what is stored, of the object with this place in [`Cf::ById`].
    pub(super) fn stored(db: &Db, object: &[u8]) -> Result<Self, ReadError> {
        Self::of(db.scan(Cf::ById, object, object).take(MOST_CLAIMS + 1))
    }

    /// Whether these are all.
    pub(super) const fn are_all(&self) -> bool {
        !self.is_cut
    }
}

/// Whose an object is, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This member's.
    Is(MemberId),
    /// Nobody says it, or more is said of it than is looked at.
    Unknown,
}

impl Owner {
    /// Whether it is surely this member's.
    pub(super) fn is(self, member: &[u8]) -> bool {
        matches!(self, Self::Is(owner) if member == owner.as_ref())
    }
}

/// The first row of each member that says an object.
#[derive(Default)]
pub(super) struct Firsts {
    /// By when each was added.
    rows: Vec<(u64, Claimed)>,
    is_cut: bool,
    /// Rows that were opened for it.
    pub(super) opened: usize,
}

impl Firsts {
    /// Of an object with these claims; opens the first row of each member, each row once, and no more than [`MOST_OPENED`].
    pub(super) fn of(
        claims: &Claims,
        mut row: impl FnMut(u64) -> Result<Option<ObjectValue>, ReadError>,
    ) -> Result<Self, ReadError> {
        // Whoever adds claims until its own are the first of those that are looked at would own what it wished.
        let mut found = Self { is_cut: claims.is_cut, ..Self::default() };
        let mut firsts: BTreeMap<Vec<u8>, (u64, Claimed)> = BTreeMap::new();
        let mut opened = BTreeSet::new();
        for (date, member) in claims.by_arrival() {
            if found.is_cut || firsts.contains_key(member) || !opened.insert(*date) {
                continue;
            }
            found.is_cut = opened.len() > MOST_OPENED;
            // Where a member only says another's bytes, too, the row is that one's.
            let Some(value) = row(*date)? else { continue };
            if let Some(claimed) = Claimed::of(*date, &value) {
                firsts.entry(value.member).or_insert((*date, claimed));
            }
        }
        found.opened = opened.len();
        found.rows = firsts.into_values().collect();
        Ok(found)
    }

    /// Whether they tell whose the object is.
    pub(super) const fn tell_owner(&self) -> bool {
        !self.is_cut
    }

    /// When they were added.
    pub(super) fn dates(&self) -> impl Iterator<Item = u64> {
        self.rows.iter().map(|(date, _)| *date)
    }

    /// Who owns the object, or did while `gone` was still here.
    pub(super) fn owner(&self, gone: Option<Claimed>) -> Owner {
        if self.is_cut {
            return Owner::Unknown;
        }
        owner(self.rows.iter().map(|(_, row)| *row).chain(gone)).map_or(Owner::Unknown, Owner::Is)
    }
}
