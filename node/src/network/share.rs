//! A peer's places in a queue that all peers share.
//!
//! A queue that is first come, first served belongs to whoever floods it. So a peer may hold at most [`PORTION`] times as
//! many places as are free: while there is room that is all anybody wants, and the fuller the queue, the less of it may be
//! one peer's. A single flood leaves a fifth to the others, two leave a ninth, and whoever holds nothing always finds
//! room. The bound is looked at when a place is taken, nothing is moved and nobody is woken.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Too low ⇒ one peer's burst is left to sync although nobody else wants the room, too high ⇒ a flood leaves little.
const PORTION: usize = 4;

/// How many places one peer holds.
#[derive(Debug, Default)]
pub(super) struct Share(Arc<AtomicUsize>);

impl Share {
    /// A place more, where so many are free; `None` if the others need them.
    pub(super) fn place(&self, free: usize) -> Option<Place> {
        let is_within = self.0.load(Ordering::Relaxed) < free.saturating_mul(PORTION);
        is_within.then(|| {
            self.0.fetch_add(1, Ordering::Relaxed);
            Place(Arc::clone(&self.0))
        })
    }
}

/// A place in the queue, until this is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 512;

    /// How many places each of these floods comes to hold, if they take turns; and what is left.
    fn flooded(by: usize) -> (Vec<usize>, usize) {
        let shares: Vec<Share> = (0..by).map(|_| Share::default()).collect();
        let mut held = Vec::new();
        for share in shares.iter().cycle().take(by * PLACES * 2) {
            held.extend(share.place(PLACES - held.len()));
        }
        (shares.iter().map(|share| share.0.load(Ordering::Relaxed)).collect(), PLACES - held.len())
    }

    #[test]
    fn floods_share_alike_and_leave_room_for_whoever_has_nothing_yet() {
        assert_eq!(flooded(1), (vec![410], 102));
        assert_eq!(flooded(2), (vec![228, 228], 56));
        let (held, left) = flooded(40);
        assert!(left >= 3 && held.iter().all(|held| (12..=13).contains(held)), "{held:?} {left}");
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let share = Share::default();
        let places: Vec<Place> = (0..4).filter_map(|_| share.place(1)).collect();
        assert_eq!(places.len(), 4);
        assert!(share.place(1).is_none() && share.place(0).is_none());
        drop(places);
        assert!(share.place(1).is_some());
    }
}
