//! A set of hashes that says of what was never entered that it is surely not there: a split block Bloom filter, as Apache
//! Parquet has it.
//!
//! A hash names one block, and in each of its words one bit. All of a question lies in half a cache line, and nobody who
//! asks waits for whoever enters. Nothing is ever taken out.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

/// Words of a block.
const WORDS: usize = 8;
/// Odd numbers that tell the words of a block apart: Parquet's.
const SALT: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];
/// Bits for each hash there is room for. With fourteen, of a thousand that were never entered some three are taken for one that
/// was once the room is used up, and each of them costs a look at the disk, as long as all else that a value takes; too low ⇒ more
/// of them, too high ⇒ memory, and fewer of its lines in the processor's cache.
const BITS: u64 = 14;
/// Bits of a block.
const BLOCK: u64 = 256;
/// The least room, in 112 KiB.
const LEAST: u64 = if cfg!(test) { 1 << 10 } else { 1 << 16 };
/// The most room: 42 MB, for about ten million objects. What is entered beyond makes answers vaguer, never wrong.
const MOST: u64 = 24_000_000;

type Block = [AtomicU32; WORDS];

pub(super) struct Bloom {
    blocks: Box<[Block]>,
    room: u64,
    /// Hashes entered, each once. Held by whoever enters.
    entered: Mutex<u64>,
}

impl Bloom {
    /// An empty one with room for so many hashes, within bounds.
    pub(super) fn with_room(room: u64) -> Self {
        let room = room.clamp(LEAST, MOST);
        let blocks = usize::try_from((room * BITS).div_ceil(BLOCK)).unwrap_or(1);
        let blocks = std::iter::repeat_with(Block::default).take(blocks).collect();
        Self { blocks, room, entered: Mutex::new(0) }
    }

    /// Whether it may have been entered; if not, it surely was not.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        // Whoever saw what a hash was entered for, saw that after it was entered: there is no order to be kept here.
        let is_set = |(word, bit): (&AtomicU32, u32)| word.load(Ordering::Relaxed) & bit != 0;
        self.block(hash).is_none_or(|block| block.iter().zip(bits(hash)).all(is_set))
    }

    /// For whoever enters; one at a time does.
    pub(super) fn entering(&self) -> Entering<'_> {
        Entering { bloom: self, entered: self.entered.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Hashes entered so far, each once, but for those taken for another.
    pub(super) fn entered(&self) -> u64 {
        *self.entering().entered
    }

    /// Whether one with more room should take its place.
    pub(super) fn is_full(&self) -> bool {
        self.room < MOST && self.entered() >= self.room
    }

    /// Bytes of memory.
    pub(super) fn size(&self) -> usize {
        std::mem::size_of_val(&*self.blocks)
    }

    fn block(&self, hash: u64) -> Option<&Block> {
        let at = ((hash >> 32) * self.blocks.len() as u64) >> 32;
        self.blocks.get(usize::try_from(at).ok()?)
    }
}

/// One bit of each word of the hash's block.
fn bits(hash: u64) -> [u32; WORDS] {
    let low = u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default();
    SALT.map(|salt| 1_u32 << (low.wrapping_mul(salt) >> 27))
}

pub(super) struct Entering<'a> {
    bloom: &'a Bloom,
    entered: MutexGuard<'a, u64>,
}

impl Entering<'_> {
    /// Enters a hash; whether it was there before, or seemed to be.
    pub(super) fn enter(&mut self, hash: u64) -> bool {
        let Some(block) = self.bloom.block(hash) else { return true };
        let mut was_there = true;
        for (word, bit) in block.iter().zip(bits(hash)) {
            if word.load(Ordering::Relaxed) & bit == 0 {
                word.fetch_or(bit, Ordering::Relaxed);
                was_there = false;
            }
        }
        *self.entered += u64::from(!was_there);
        was_there
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Numbers that look like hashes.
    fn hashes(seed: u64) -> impl Iterator<Item = u64> {
        (seed..).map(|n| {
            let bytes = *blake3::hash(&n.to_be_bytes()).as_bytes();
            u64::from_be_bytes(*bytes.first_chunk().unwrap())
        })
    }

    proptest! {
        #[test]
        fn it_never_denies_what_was_entered(
            entered in proptest::collection::vec(any::<u64>(), 0..500), asked in any::<u64>(),
        ) {
            let bloom = Bloom::with_room(0);
            for hash in &entered {
                let is_known = bloom.may_have(*hash);
                prop_assert_eq!(bloom.entering().enter(*hash), is_known);
                prop_assert!(bloom.may_have(*hash));
                prop_assert!(bloom.entering().enter(*hash), "the second time it was there");
            }
            prop_assert!(entered.iter().all(|hash| bloom.may_have(*hash)));
            prop_assert!(bloom.may_have(asked) || !entered.contains(&asked));
            let each = entered.iter().collect::<BTreeSet<_>>().len() as u64;
            prop_assert!(bloom.entered() <= each);
        }
    }

    #[test]
    fn when_its_room_is_used_up_it_says_so_and_few_are_taken_for_entered() {
        let bloom = Bloom::with_room(100_000);
        assert!(bloom.size() <= 100_000 * 14 / 8 + 32);
        for hash in hashes(0).take(99_000) {
            bloom.entering().enter(hash);
        }
        assert!(!bloom.is_full());
        let taken = hashes(1 << 32).take(100_000).filter(|hash| bloom.may_have(*hash)).count();
        assert!(taken < 800, "{taken} of 100000");
        for hash in hashes(99_000).take(2_000) {
            bloom.entering().enter(hash);
        }
        assert!(bloom.is_full());
        assert!(hashes(0).take(101_000).all(|hash| bloom.may_have(hash)));
    }

    #[test]
    fn its_memory_is_bounded_whatever_room_is_asked_for() {
        for (asked, most) in [(0, 2_000), (u64::MAX, 42_000_032)] {
            assert!(Bloom::with_room(asked).size() <= most, "{asked}");
        }
    }
}
