//! Values all of whose entries in the index have one date, and that date, in memory: nearly every value that anybody names is named
//! once, and its row is read then without a look at the index.
//!
//! A table with open addressing. Nothing is ever taken out, and what is not sure never becomes sure again:
//!
//! ```text
//! no slot ─first entry─▶ its date ─an entry of another date, or one that goes─▶ not sure
//! ```
//!
//! Who says so does not matter: entries of several members for one row have one date, and lead to the same. A value that has no
//! slot, or whose slot is not sure, is looked for in the index; so is every new one once the room is used up, and for good, or
//! its second entry would be taken for its first.
//!
//! A slot has half of what stands for the value in the index, and the whole of that says where the slot lies. What is taken for
//! another value has the same 64 bits of a keyed hash and begins in the same few slots: nobody outside can look for such values,
//! and by chance a node that is asked for a million a second meets one in longer than it lasts. Two values that are entered and
//! fall together are one that is not sure.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// The least room, in 1.3 MB.
const LEAST: u64 = if cfg!(test) { 1 << 10 } else { 1 << 16 };
/// The most room, in 64 MB; while a larger table takes the place of a smaller one there are both.
const MOST: u64 = 3_200_000;
/// Slots for each value there is room for, in quarters. Too low ⇒ a look goes through many of them, too high ⇒ memory.
const QUARTERS: u64 = 5;
/// What stands for no value.
const FREE: u64 = 0;
/// In the place of a date: entries of several, or what goes and comes.
const UNSURE: u64 = 0;

/// A value, as the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    hash: u64,
    tag: u64,
}

impl Value {
    /// By two hashes of it that tell nothing of each other: where it lies, and what stands for it.
    pub(super) const fn new(hash: u64, tag: u64) -> Self {
        Self { hash, tag: if tag == FREE { 1 } else { tag } }
    }

    /// The first of the two.
    pub(super) const fn hash(self) -> u64 {
        self.hash
    }
}

#[derive(Default)]
struct Slot {
    /// Written once, after the date.
    tag: AtomicU64,
    date: AtomicU64,
}

pub(super) struct NamedOnce {
    slots: Box<[Slot]>,
    room: u64,
    /// Values that have a slot. Held by whoever enters.
    entered: Mutex<u64>,
}

impl NamedOnce {
    /// An empty one with room for so many values, within bounds.
    pub(super) fn with_room(room: u64) -> Self {
        let room = room.clamp(LEAST, MOST);
        let slots = usize::try_from(room * QUARTERS / 4).unwrap_or(1);
        let slots = std::iter::repeat_with(Slot::default).take(slots).collect();
        Self { slots, room, entered: Mutex::new(0) }
    }

    /// The one date that all entries of the value have; `None` if that is not sure.
    pub(super) fn date(&self, value: Value) -> Option<u64> {
        for slot in self.along(value) {
            // A date is there before its tag.
            match slot.tag.load(Ordering::Acquire) {
                FREE => return None,
                tag if tag == value.tag => {
                    // Whoever saw a further entry, saw that after it was entered here.
                    return Some(slot.date.load(Ordering::Relaxed)).filter(|date| *date != UNSURE);
                }
                _ => {}
            }
        }
        None
    }

    /// For whoever enters; one at a time does.
    pub(super) fn entering(&self) -> Entering<'_> {
        Entering { table: self, entered: self.entered.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Values entered so far, but for those that there was no room for.
    pub(super) fn entered(&self) -> u64 {
        *self.entering().entered
    }

    /// Whether one with more room should take its place.
    pub(super) fn is_full(&self) -> bool {
        self.room < MOST && self.entered() >= self.room
    }

    /// Bytes of memory.
    pub(super) fn size(&self) -> usize {
        std::mem::size_of_val(&*self.slots)
    }

    /// All slots, in the order in which they are asked for a value.
    fn along(&self, value: Value) -> impl Iterator<Item = &Slot> {
        let at = ((value.hash >> 32) * self.slots.len() as u64) >> 32;
        let (before, from) =
            usize::try_from(at).ok().and_then(|at| self.slots.split_at_checked(at)).unwrap_or_default();
        from.iter().chain(before)
    }
}

pub(super) struct Entering<'a> {
    table: &'a NamedOnce,
    entered: MutexGuard<'a, u64>,
}

impl Entering<'_> {
    /// An entry of a value, with its date.
    pub(super) fn enter(&mut self, value: Value, date: u64) {
        self.set(value, |known| if known.is_none_or(|known| known == date) { date } else { UNSURE });
    }

    /// An entry of a value goes, or nobody can tell whether it came.
    pub(super) fn doubt(&mut self, value: Value) {
        self.set(value, |_| UNSURE);
    }

    fn set(&mut self, value: Value, date: impl FnOnce(Option<u64>) -> u64) {
        let table = self.table;
        for slot in table.along(value) {
            match slot.tag.load(Ordering::Relaxed) {
                // It never gets one: it may have had entries before.
                FREE if *self.entered >= table.room => return,
                FREE => {
                    slot.date.store(date(None), Ordering::Relaxed);
                    slot.tag.store(value.tag, Ordering::Release);
                    *self.entered += 1;
                    return;
                }
                tag if tag == value.tag => {
                    let known = slot.date.load(Ordering::Relaxed);
                    slot.date.store(date(Some(known)), Ordering::Relaxed);
                    return;
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Of few places and tags, so that many lie beside each other.
    fn value(n: u64) -> Value {
        Value::new((n % 3) << 62, n / 3)
    }

    fn spread(n: u64) -> Value {
        let bytes = *blake3::hash(&n.to_be_bytes()).as_bytes();
        let (hash, rest) = bytes.split_first_chunk().unwrap();
        Value::new(u64::from_be_bytes(*hash), u64::from_be_bytes(*rest.first_chunk().unwrap()))
    }

    proptest! {
        #[test]
        fn it_tells_a_date_exactly_of_values_that_only_ever_had_that_one(
            steps in proptest::collection::vec((0_u64..40, 0_u64..4), 0..200),
        ) {
            let table = NamedOnce::with_room(0);
            let mut dates: BTreeMap<u64, u64> = BTreeMap::new();
            for (n, date) in steps {
                if date == 0 {
                    table.entering().doubt(value(n));
                } else {
                    table.entering().enter(value(n), date);
                }
                let known = dates.entry(n).or_insert(date);
                if *known != date {
                    *known = 0;
                }
                // Tags 0 and 1 are one, and that is not sure only where they differ.
                for n in 6..40 {
                    let expected = dates.get(&n).copied().filter(|date| *date != 0);
                    prop_assert_eq!(table.date(value(n)), expected, "{}", n);
                }
                for (n, m) in [(0, 3), (1, 4), (2, 5)] {
                    let both = [dates.get(&n), dates.get(&m)].map(|date: Option<&u64>| date.copied());
                    let expected = match both {
                        [Some(one), Some(other)] if one != other => None,
                        [one, other] => one.or(other).filter(|date| *date != 0),
                    };
                    prop_assert_eq!(table.date(value(n)), expected);
                }
            }
        }
    }

    #[test]
    fn what_comes_when_the_room_is_used_up_is_never_sure_and_what_was_there_still_changes() {
        let table = NamedOnce::with_room(0);
        for n in 0..LEAST + 100 {
            table.entering().enter(spread(n), n + 1);
        }
        assert!(table.is_full());
        assert_eq!(table.entered(), LEAST);
        assert!((0..LEAST).all(|n| table.date(spread(n)) == Some(n + 1)));
        assert!((LEAST..LEAST + 100).all(|n| table.date(spread(n)).is_none()));
        table.entering().enter(spread(0), 2);
        table.entering().doubt(spread(1));
        table.entering().enter(spread(2), 3);
        assert_eq!([0, 1, 2].map(|n| table.date(spread(n))), [None, None, Some(3)]);
        table.entering().enter(spread(1), 2);
        assert_eq!(table.date(spread(1)), None, "for good");
    }

    #[test]
    fn its_memory_is_bounded_whatever_room_is_asked_for() {
        for (asked, most) in [(0, 20_480), (u64::MAX, 64_000_000)] {
            let table = NamedOnce::with_room(asked);
            assert!(table.size() <= most, "{asked}");
        }
        assert!(!NamedOnce::with_room(u64::MAX).is_full());
    }
}
