//! What others' clocks say of ours.
//!
//! A clock that is off makes messages that others do not take; but a single peer must not be able to stop us by
//! claiming another time. So our own clock is a voice like any other, a member has one however many nodes it runs,
//! and what counts is the median.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{crypto::sign::PublicKey, id::MemberId};
use tokio::time::Instant;

/// Voices kept, the newest.
const MOST: usize = 32;
/// A voice older than this says nothing of now: hellos are repeated long before.
const AGE: Duration = Duration::from_secs(4 * 3600);

/// Others' clocks minus ours, microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Voices(BTreeMap<MemberId, Voice>);

#[derive(Clone, Copy, Debug)]
struct Voice {
    node: PublicKey,
    offset: i64,
    at: Instant,
}

impl Voices {
    /// A node of `member` told its time.
    pub(crate) fn heard(&mut self, member: MemberId, node: PublicKey, offset: i64, now: Instant) {
        self.0.insert(member, Voice { node, offset, at: now });
        if self.0.len() > MOST {
            let oldest = self.0.iter().min_by_key(|(_, voice)| voice.at).map(|(member, _)| *member);
            oldest.map(|member| self.0.remove(&member));
        }
    }

    /// Whether this member told its time.
    pub(crate) fn has(&self, member: &MemberId) -> bool {
        self.0.contains_key(member)
    }

    /// What each says.
    pub(super) fn offsets(&self) -> impl Iterator<Item = i64> {
        self.0.values().map(|voice| voice.offset)
    }

    /// What members but `own` say: nodes of one organisation may have a clock in common.
    pub(super) fn offsets_beside(&self, own: MemberId) -> impl Iterator<Item = i64> {
        self.0.iter().filter(move |(member, _)| **member != own).map(|(_, voice)| voice.offset)
    }

    /// Who left has no voice any more.
    pub(super) fn left(&mut self, node: &PublicKey) {
        self.0.retain(|_, voice| voice.node != *node);
    }

    /// Forgets old ones; true if there were any.
    pub(crate) fn age(&mut self, now: Instant) -> bool {
        let before = self.0.len();
        self.0.retain(|_, voice| now.duration_since(voice.at) < AGE);
        self.0.len() < before
    }

    /// Our own clock was set: all of them spoke of another one.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// The median, our own clock included; `None` if nobody told. Of two in the middle, the one that says less.
    pub(super) fn median(&self) -> Option<i64> {
        if self.0.is_empty() {
            return None;
        }
        let mut sorted: Vec<i64> = self.offsets().chain([0]).collect();
        sorted.sort_unstable();
        let (below, above) = ((sorted.len() - 1) / 2, sorted.len() / 2);
        sorted.get(below..=above)?.iter().copied().min_by_key(|offset| offset.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    fn node(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    fn told(offsets: &[i64]) -> Option<i64> {
        let (mut voices, now) = (Voices::default(), Instant::now());
        for (n, offset) in (1..).zip(offsets) {
            voices.heard(MemberId::new([n; 16]), node(n), *offset, now);
        }
        voices.median()
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_peer_says_nothing_of_our_clock_and_two_that_agree_do() {
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[i64::MAX]), Some(0));
        assert_eq!(told(&[i64::MIN]), Some(0));
        assert_eq!(told(&[3600, 3601]), Some(3600));
        assert_eq!(told(&[10, i64::MAX]), Some(10));
        assert_eq!(told(&[-10, i64::MAX]), Some(0));
        assert_eq!(told(&[-10, -20, i64::MAX]), Some(0));
        assert_eq!(told(&[3600, 3600, 3600, i64::MIN]), Some(3600));
    }

    /// However many nodes it runs, however often they speak.
    #[tokio::test(start_paused = true)]
    async fn a_member_has_one_voice() {
        let (mut voices, now) = (Voices::default(), Instant::now());
        voices.heard(MemberId::new([1; 16]), node(1), 10, now);
        voices.heard(MemberId::new([2; 16]), node(2), 20, now);
        for n in 3..200 {
            voices.heard(MemberId::new([9; 16]), node(n), i64::MAX, now);
        }
        assert_eq!(voices.median(), Some(10));
        voices.left(&node(199));
        assert_eq!(voices.0.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_voice_makes_room_and_old_ones_fall_silent() {
        let (mut voices, begun) = (Voices::default(), Instant::now());
        for n in 0..100 {
            let at = begun + Duration::from_secs(u64::from(n));
            // The largest ids first, so that order of ids and of age differ.
            voices.heard(MemberId::new([255 - n; 16]), node(n), i64::from(n), at);
        }
        assert_eq!(voices.0.len(), MOST);
        assert!(voices.0.values().all(|voice| voice.offset >= 68));
        assert!(!voices.age(begun + AGE));
        assert!(voices.age(begun + AGE + Duration::from_secs(90)));
        assert_eq!(voices.0.len(), 9);
    }
}
