//! What one member may say in a group: the charter's quotas, charged once its signature holds.
//!
//! The forwarding peer is charged before ([`super::rate`]); charging the author then too would let forged
//! headers use up a victim's quota. A quota only ever *delays*: membership of a log is a matter of bytes and
//! admin log, so what is over quota by gossip comes by sync, and what is over quota by sync comes at the
//! charter's rate.
//!
//! ```text
//! gossip ─▶ the live bucket (an hour's worth, refilled over an hour) ─empty─▶ Ignore
//! sync   ─▶ the hour its author dates it in, and the past's bucket ─either full─▶ the live bucket ─empty─▶ later
//! ```
//!
//! Counting past hours by the author's own dates lets a late joiner fetch what honest members wrote at once; a
//! flood dated into one hour comes at the charter's rate. A flood dated into many hours meets the past's bucket,
//! which counts by receipt and knows no dates: a week's messages or a day's bytes at once, as much again over a
//! day. Honest members say far less in an hour than they may, so a year of theirs fits; what does not fit comes
//! later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use belfry_proto::{
    id::{GroupId, MemberId, MessageId},
    time::Timestamp,
    trust::charter::Group,
};
use tokio::time::Instant;

/// Hours remembered over all members. Too low ⇒ a flood spread over many hours is counted anew, and comes as
/// fast as disk and peers' budgets let it; too high ⇒ memory, some 100 bytes each.
const HOURS: usize = 65_536;
/// Members' buckets remembered; more than a coalition has publishers in all its groups.
const BUCKETS: usize = 8_192;
/// Messages remembered as charged: more than are on their way to the disk at once, from gossip and pages together.
const CHARGED: usize = 8_192;
const HOUR_MICROS: u64 = 3_600 * 1_000_000;

/// Messages of one author that sync may bring at once, in hours of its quota. Too low ⇒ a late joiner waits for
/// the history of the busiest, too high ⇒ a flood dated all over the past.
const PAST_MESSAGES: f64 = 7.0 * 24.0;
/// And bytes, which are what fills disks; honest messages have a hundredth of what the quota allows for each.
const PAST_BYTES: f64 = 24.0;
/// Hours in which the past's bucket fills again.
const PAST_REFILL: f64 = 24.0;

/// How much of a quota is left, by messages and by bytes.
#[derive(Clone, Copy, Debug)]
struct Room {
    messages: f64,
    bytes: f64,
}

impl Room {
    fn of(group: &Group) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "quotas are far below 2^52")]
        Self { messages: f64::from(group.messages_per_hour), bytes: group.bytes_per_hour as f64 }
    }

    /// Of a member's past, as it comes by sync.
    fn of_past(group: &Group) -> Self {
        let Self { messages, bytes } = Self::of(group);
        Self { messages: messages * PAST_MESSAGES, bytes: bytes * PAST_BYTES }
    }

    fn has(&self, bytes: f64) -> bool {
        self.messages >= 1.0 && self.bytes >= bytes
    }

    fn take(&mut self, bytes: f64) -> bool {
        let fits = self.has(bytes);
        if fits {
            self.messages -= 1.0;
            self.bytes -= bytes;
        }
        fits
    }
}

/// Rooms that fill again as time passes.
#[derive(Debug, Default)]
struct Buckets(BTreeMap<(GroupId, MemberId), (Room, Instant)>);

impl Buckets {
    /// The room there is now of one that holds `full` and takes so many hours to fill.
    fn room(&mut self, of: (GroupId, MemberId), full: Room, hours_to_fill: f64, now: Instant) -> &mut Room {
        if self.0.len() > BUCKETS {
            // One untouched for that long is full again, as a new one is.
            self.0.retain(|_, (_, last)| hours(now, *last) < hours_to_fill);
        }
        let (room, last) = self.0.entry(of).or_insert((full, now));
        let share = hours(now, *last) / hours_to_fill;
        *last = now;
        room.messages = (room.messages + share * full.messages).min(full.messages);
        room.bytes = (room.bytes + share * full.bytes).min(full.bytes);
        room
    }
}

fn hours(now: Instant, before: Instant) -> f64 {
    now.duration_since(before).as_secs_f64() / 3_600.0
}

/// Recipients blocks of one member tried in a burst, and per hour over time. Each costs up to 32 decapsulations,
/// some 3 ms; honest members name recipients a few times a day.
const TRIALS: f64 = 600.0;

/// What members have said so far.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    trials: BTreeMap<MemberId, (f64, Instant)>,
    live: Buckets,
    past: Buckets,
    hours: Hours,
    charged: Charged,
}

/// The messages charged last.
#[derive(Debug, Default)]
struct Charged {
    ids: BTreeSet<MessageId>,
    oldest: VecDeque<MessageId>,
}

impl Charged {
    fn note(&mut self, id: MessageId) {
        if self.ids.insert(id) {
            self.oldest.push_back(id);
        }
        while self.oldest.len() > CHARGED {
            if let Some(id) = self.oldest.pop_front() {
                self.ids.remove(&id);
            }
        }
    }
}

impl Quotas {
    /// Charges for a message, unless that was done: gossip and a page may bring it in the same moment, before either
    /// copy is known to be here.
    pub(super) fn once(&mut self, id: MessageId, charge: impl FnOnce(&mut Self) -> bool) -> bool {
        if self.charged.ids.contains(&id) {
            return true;
        }
        let fits = charge(self);
        if fits {
            self.charged.note(id);
        }
        fits
    }

    /// Charges a member for a message that came by gossip; false if it is over quota now.
    pub(super) fn gossiped(
        &mut self,
        group: &Group,
        member: MemberId,
        created: Timestamp,
        bytes: usize,
        now: Instant,
    ) -> bool {
        let fits = self.live(group, member, bytes, now);
        if fits {
            // It is not to be had a second time by sync.
            let _ = hour(&mut self.hours, group, member, created).take(size(bytes));
        }
        fits
    }

    /// Charges a member for a message that sync brought; false if it has to come later.
    pub(super) fn synced(
        &mut self,
        group: &Group,
        member: MemberId,
        created: Timestamp,
        bytes: usize,
        now: Instant,
    ) -> bool {
        let past = self.past.room((group.id, member), Room::of_past(group), PAST_REFILL, now);
        let fits = past.has(size(bytes)) && hour(&mut self.hours, group, member, created).take(size(bytes));
        if fits { past.take(size(bytes)) } else { self.live(group, member, bytes, now) }
    }

    /// Charges a member for a recipients block to be tried; false if that has to wait. The message is kept
    /// and tried later.
    pub(super) fn tried(&mut self, member: MemberId, now: Instant) -> bool {
        let (left, last) = self.trials.entry(member).or_insert((TRIALS, now));
        *left = (*left + now.duration_since(*last).as_secs_f64() / 3_600.0 * TRIALS).min(TRIALS);
        *last = now;
        let fits = *left >= 1.0;
        if fits {
            *left -= 1.0;
        }
        fits
    }

    fn live(&mut self, group: &Group, member: MemberId, bytes: usize, now: Instant) -> bool {
        self.live.room((group.id, member), Room::of(group), 1.0, now).take(size(bytes))
    }
}

type Hours = BTreeMap<(u64, GroupId, MemberId), Room>;

/// What is left of the hour that a message is dated in.
fn hour<'a>(hours: &'a mut Hours, group: &Group, member: MemberId, created: Timestamp) -> &'a mut Room {
    if hours.len() > HOURS {
        // The oldest hours: sync fetches oldest first, so they are the first to be done with.
        hours.pop_first();
    }
    let hour = created.as_micros() / HOUR_MICROS;
    hours.entry((hour, group.id, member)).or_insert_with(|| Room::of(group))
}

#[allow(clippy::cast_precision_loss, reason = "an envelope has at most 256 KiB")]
fn size(bytes: usize) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use belfry_proto::{schema, trust::charter::History};

    use super::*;

    fn group(messages_per_hour: u32, bytes_per_hour: u64) -> Group {
        Group {
            id: GroupId::new(5),
            slug: "cidr".to_owned(),
            name: "CIDR".to_owned(),
            description: String::new(),
            parent: None,
            admits: Default::default(),
            may_publish: schema::Role::Publisher,
            history: History::All,
            retention: None,
            max_tlp: schema::Tlp::Red,
            messages_per_hour,
            bytes_per_hour,
            default_purpose: schema::Purpose::Detect,
        }
    }

    fn at(hour: u64) -> Timestamp {
        Timestamp::from_micros(hour * HOUR_MICROS + 7)
    }

    const ALICE: MemberId = MemberId::new([1; 16]);
    const BOB: MemberId = MemberId::new([2; 16]);

    #[tokio::test(start_paused = true)]
    async fn a_member_over_quota_waits_and_nobody_else_does() {
        let (group, mut quotas, now) = (group(60, 1 << 20), Quotas::default(), Instant::now());
        let taken = (0..500).filter(|_| quotas.gossiped(&group, ALICE, at(1), 100, now)).count();
        assert_eq!(taken, 60);
        assert!(quotas.gossiped(&group, BOB, at(1), 100, now));
        let minute = now + Duration::from_secs(61);
        assert!(quotas.gossiped(&group, ALICE, at(1), 100, minute));
        assert!(!quotas.gossiped(&group, ALICE, at(1), 100, minute));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_by_gossip_and_by_a_page_in_the_same_moment_is_charged_once() {
        let (group, mut quotas, now) = (group(60, 1 << 20), Quotas::default(), Instant::now());
        let id = |n: u64| MessageId::new([n.to_be_bytes(); 4].concat().try_into().unwrap());
        let taken = (0..500).filter(|n| {
            let by_gossip = quotas.once(id(*n), |quotas| quotas.gossiped(&group, ALICE, at(1), 100, now));
            let by_page = quotas.once(id(*n), |quotas| quotas.gossiped(&group, ALICE, at(1), 100, now));
            by_gossip && by_page
        });
        assert_eq!(taken.count(), 60, "each of the hour's sixty, whatever brings it");
        for n in 0..50_000 {
            quotas.once(id(n), |_| true);
        }
        assert!(quotas.charged.ids.len() <= CHARGED && quotas.charged.oldest.len() <= CHARGED);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_count_as_messages_do() {
        let (group, mut quotas, now) = (group(1_000, 10_000), Quotas::default(), Instant::now());
        let taken = (0..100).filter(|_| quotas.gossiped(&group, ALICE, at(1), 3_000, now)).count();
        assert_eq!(taken, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_year_of_honest_messages_comes_at_once_and_a_backdated_flood_does_not() {
        let (group, mut quotas, now) = (group(600, 64 << 20), Quotas::default(), Instant::now());
        // Ten an hour, as a feed of a busy member has.
        let year = (0..8_760).flat_map(|hour| (0..10).map(move |_| hour));
        assert!(year.into_iter().all(|hour| quotas.synced(&group, ALICE, at(hour), 4_000, now)));
        let mut quotas = Quotas::default();
        let flood = (0..10_000).filter(|_| quotas.synced(&group, ALICE, at(9), 100, now)).count();
        assert_eq!(flood, 1_200, "the hour it is dated in, and one of now");
        let later = now + Duration::from_secs(1_800);
        let more = (0..10_000).filter(|_| quotas.synced(&group, ALICE, at(9), 100, later)).count();
        assert_eq!(more, 300, "then at the charter's rate, never refused for good");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_node_takes_a_hundred_thousand_messages_of_a_hundred_authors_without_a_stall() {
        let (group, mut quotas, now) = (group(600, 64 << 20), Quotas::default(), Instant::now());
        for n in 0..100_000_u64 {
            let author = MemberId::new([u8::try_from(n % 100).unwrap(); 16]);
            assert!(quotas.synced(&group, author, at(n / 10_000), 10_000, now), "message {n}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_dated_all_over_the_past_meets_a_bound_by_receipt() {
        let (group, mut quotas, now) = (group(10, 1 << 20), Quotas::default(), Instant::now());
        let flood = |quotas: &mut Quotas, now| {
            (0..100_000).filter(|n| quotas.synced(&group, ALICE, at(*n), 100, now)).count()
        };
        assert_eq!(flood(&mut quotas, now), 1_690, "a week's worth, and an hour of now");
        assert_eq!(
            flood(&mut quotas, now + Duration::from_secs(12 * 3_600)),
            850,
            "half as much in half a day"
        );
        let mut quotas = Quotas::default();
        let large = (0..1_000).filter(|n| quotas.synced(&group, ALICE, at(*n), 200_000, now)).count();
        assert_eq!(large, 125 + 5, "a day's bytes, and an hour of now");
        assert!(quotas.synced(&group, BOB, at(1), 200_000, now), "and costs nobody else anything");
    }

    #[tokio::test(start_paused = true)]
    async fn trial_opening_is_rationed_by_author() {
        let (mut quotas, now) = (Quotas::default(), Instant::now());
        assert_eq!((0..5_000).filter(|_| quotas.tried(ALICE, now)).count(), 600);
        assert!(quotas.tried(BOB, now));
        assert!(quotas.tried(ALICE, now + Duration::from_secs(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let (group, mut quotas, now) = (group(60, 1 << 20), Quotas::default(), Instant::now());
        for hour in 0..100_000 {
            quotas.synced(&group, ALICE, at(hour), 100, now);
        }
        assert!(quotas.hours.len() <= HOURS + 1);
    }
}
