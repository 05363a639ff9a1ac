//! What the hellos told so far, for whoever seals and whoever shows the node's condition.

use std::{collections::BTreeSet, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId, MemberId, Sequence, Serial},
    time::Timestamp,
    trust::roster::{Member, Roster, Standing},
};
use tokio::time::Instant;

use super::{
    company::Company,
    gate::{Gate, GateTimes},
    lone,
    removal::Removal,
    voices::Voices,
};
use crate::clock;

/// Members that have to tell the time that ours shows before it decides what cannot be undone. With one, who turned our clock
/// needs no more than a member that lies in step with it; more would keep a node with few links from ever acting.
const VOUCHING: usize = 2;

/// What others tell of our clock.
///
/// Two members are enough: of three clocks two agree. Where fewer are connected one has to do, for whoever is not connected
/// gets nothing from us either; if it differs nobody can say which of the two is right. So a member that lies keeps from us
/// what it alone would get, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockTold {
    /// They tell the time that it shows.
    Right,
    /// Fewer than two told yet, and others are being asked.
    Asked,
    /// Nobody is left to tell, or the only one who does says otherwise.
    Unknown,
    /// Most of them, ours counted, say otherwise.
    Off,
}

/// What hellos have told so far.
#[derive(Clone, Debug)]
pub struct Hellos {
    /// Answered hellos since start.
    pub answered: u64,
    /// Who is here, and whether we know the admin log by them.
    pub(crate) company: Company,
    /// Others' clocks.
    pub(crate) voices: Voices,
    /// When the newest beacon whose head is in our log was made: no clock tells less than that.
    pub(crate) beacon: Option<Timestamp>,
    /// Highest sequence of our own logs that others hold.
    pub own_logs: Vec<(GroupId, LogId, Sequence)>,
    /// Peers whose admin log is no continuation of ours and ours none of theirs.
    pub forked_with: Vec<PublicKey>,
    /// Nodes that say, of late, that this node is not certified.
    pub refused_by: BTreeSet<PublicKey>,
    /// What took our certificate away, by a record that one of them showed.
    pub removal: Option<Removal>,
    /// Peers whose claims to hold more of our own logs are set aside: asked again and again, they did not show it.
    pub unshown: BTreeSet<PublicKey>,
}

impl Hellos {
    pub(crate) fn new(times: GateTimes) -> Self {
        Self {
            answered: 0,
            company: Company::new(times),
            voices: Voices::default(),
            beacon: None,
            own_logs: Vec::new(),
            forked_with: Vec::new(),
            refused_by: BTreeSet::new(),
            removal: None,
            unshown: BTreeSet::new(),
        }
    }

    /// Median of all clocks minus ours, microseconds; `None` before any answer.
    #[must_use]
    pub fn clock_offset(&self) -> Option<i64> {
        self.voices.median()
    }

    /// Whether our clock is off by more than `skew`, as the others tell.
    #[must_use]
    pub fn is_clock_off(&self, skew: Duration) -> bool {
        self.clock_offset().is_some_and(|offset| is_beyond(offset, skew))
    }

    /// What they tell of it, as far as they were asked since the start, or since it was set.
    #[must_use]
    pub fn clock_told(&self, skew: Duration) -> ClockTold {
        let has_told = |member: &MemberId| self.voices.has(member);
        let mut offsets = self.voices.offsets();
        match (offsets.next(), offsets.next()) {
            (Some(_), Some(_)) if self.is_clock_off(skew) => ClockTold::Off,
            (Some(_), Some(_)) => ClockTold::Right,
            _ if self.company.awaits_others(has_told, Instant::now()) => ClockTold::Asked,
            (Some(offset), None) if !is_beyond(offset, skew) => ClockTold::Right,
            _ => ClockTold::Unknown,
        }
    }

    /// Whether it may be off: then nothing is done for others that a wrong clock could allow.
    #[must_use]
    pub fn doubts_clock(&self, skew: Duration) -> bool {
        self.clock_told(skew) != ClockTold::Right
    }

    /// Whether what cannot be undone may go by our clock as it shows `wall`: nobody doubts it, it was not set since others
    /// told, and two other members tell the same time, or as many as there are. Who has nobody beside it goes by its own.
    #[must_use]
    pub fn is_clock_vouched(&self, roster: &Roster, own: MemberId, wall: Timestamp) -> bool {
        if self.company.is_off(Instant::now(), wall) {
            return false;
        }
        let skew = roster.charter().clock_skew();
        let told = self.clock_told(skew);
        let needed = others(roster, own, self.beacon, wall);
        let is_alone = needed == 0 && told == ClockTold::Unknown && self.clock_offset().is_none();
        let agreeing = self.voices.offsets_beside(own).filter(|offset| !is_beyond(*offset, skew)).count();
        is_alone || (told == ClockTold::Right && agreeing >= needed)
    }

    /// Other members that have to vouch for our clock, at most as many as it takes.
    #[must_use]
    pub fn vouching(&self, roster: &Roster, own: MemberId, wall: Timestamp) -> usize {
        others(roster, own, self.beacon, wall)
    }

    /// Of them those that are over by our clock alone, with their ends, where too few others are valid by it. No link can be had
    /// with them: a renewal, or any newer date that an admin or the registrar signed, ends the waiting.
    #[must_use]
    pub fn lapsed(&self, roster: &Roster, own: MemberId, wall: Timestamp) -> Vec<(MemberId, Timestamp)> {
        let others = || roster.members().filter(move |member| member.id != own);
        if others().filter(|member| is_valid(roster, member, wall)).take(VOUCHING).count() == VOUCHING {
            return Vec::new();
        }
        let newest = lone::newest_date(roster, self.beacon);
        let lasting = others().filter(|member| !is_valid(roster, member, wall));
        lasting.filter_map(|member| Some((member.id, ended(roster, member, newest, wall)?))).collect()
    }

    /// What members with these offsets of their clocks to ours, microseconds, have told; our admin log is theirs.
    #[cfg(test)]
    pub(crate) fn told(offsets: &[i64]) -> Self {
        use belfry_proto::crypto::sign::SigningKey;
        let (mut hellos, now) = (Self::new(GateTimes::default()), Instant::now());
        for (n, offset) in (1..).zip(offsets) {
            // Nobody's whom a test certifies: what a node's own organisation tells counts for less.
            let (node, member) = (SigningKey::from_seed(&[n; 32]).public(), MemberId::new([100 + n; 16]));
            hellos.voices.heard(member, node, *offset, now);
            hellos.company.arrived(node, member, now);
            hellos.company.level(&node, now);
        }
        hellos
    }

    /// Whether our admin log may be taken as the present one.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.company.gate(Instant::now(), clock::now())
    }

    /// Who left has no voice any more, and tells us nothing; nor is it warned of, as nothing could end that but a hello of its
    /// own. What it proved of the admin log is kept elsewhere.
    pub(crate) fn left(&mut self, peer: &PublicKey) {
        self.forked_with.retain(|forked| forked != peer);
        self.unshown.remove(peer);
        self.voices.left(peer);
        self.company.left(peer, Instant::now());
    }
}

fn is_beyond(offset: i64, skew: Duration) -> bool {
    u128::from(offset.unsigned_abs()) > skew.as_micros()
}

/// Other members, as far as it matters how many. Those whose certificates do not run by our clock count too, as it is what is
/// in question: but for who was removed, or was over on the newest date that an admin or the registrar signed.
fn others(roster: &Roster, own: MemberId, beacon: Option<Timestamp>, wall: Timestamp) -> usize {
    let newest = lone::newest_date(roster, beacon);
    let is_one = |member: &&Member| {
        is_valid(roster, member, wall) || member.serials.iter().any(|serial| lasts(roster, *serial, newest))
    };
    roster.members().filter(|member| member.id != own).filter(is_one).take(VOUCHING).count()
}

fn is_valid(roster: &Roster, member: &Member, at: Timestamp) -> bool {
    member.serials.iter().any(|serial| roster.standing(*serial, at) == Standing::Valid)
}

/// Whether a certificate had not ended on the newest date that was signed.
fn lasts(roster: &Roster, serial: Serial, newest: Timestamp) -> bool {
    matches!(roster.standing(serial, newest), Standing::Valid | Standing::NotYet)
}

/// When the last of a member's certificates ended that lasts by what was signed, if that is over by our clock.
fn ended(roster: &Roster, member: &Member, newest: Timestamp, wall: Timestamp) -> Option<Timestamp> {
    let lasting = member.serials.iter().copied().filter(|serial| lasts(roster, *serial, newest));
    let end = |serial: Serial| {
        let certificate = roster.certificate(serial)?;
        Some(roster.ends(serial).unwrap_or(Timestamp::MAX).min(certificate.not_after))
    };
    lasting.filter_map(end).max().filter(|end| *end <= wall)
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;
    use crate::testing::{CIDR, Coalition};

    const SKEW: Duration = Duration::from_secs(120);
    const DAY: i64 = 24 * 3_600_000_000;

    fn told(offsets: &[i64]) -> ClockTold {
        Hellos::told(offsets).clock_told(SKEW)
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_of_which_nobody_told_is_doubted_and_so_is_one_that_differs_from_the_only_other() {
        assert_eq!(told(&[]), ClockTold::Unknown);
        assert_eq!(told(&[DAY]), ClockTold::Unknown);
        assert_eq!(told(&[-DAY]), ClockTold::Unknown);
        assert_eq!(told(&[1_000_000]), ClockTold::Right, "a coalition of two works");
        assert!(!Hellos::told(&[DAY]).is_clock_off(SKEW), "the one other may be the one that is wrong");
    }

    #[tokio::test(start_paused = true)]
    async fn of_three_clocks_two_decide_and_one_that_lies_nothing() {
        assert_eq!(told(&[DAY, DAY]), ClockTold::Off);
        for lie in [DAY, -DAY, i64::MAX, i64::MIN] {
            assert_eq!(told(&[0, lie]), ClockTold::Right);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_undone_goes_by_no_clock_that_one_of_many_members_alone_vouches_for() {
        let mut coalition = Coalition::new();
        let own = coalition.issue(1, &[CIDR]).identity.member;
        coalition.issue(2, &[CIDR]);
        let vouched = |coalition: &Coalition, offsets: &[i64]| {
            Hellos::told(offsets).is_clock_vouched(&coalition.roster, own, clock::now())
        };
        assert!(!vouched(&coalition, &[]));
        assert!(!vouched(&coalition, &[DAY]));
        assert!(vouched(&coalition, &[0]), "all there are");
        coalition.issue(3, &[CIDR]);
        assert!(!vouched(&coalition, &[0]), "it may lie in step with whoever turned ours");
        assert!(!vouched(&coalition, &[0, DAY]));
        assert!(!vouched(&coalition, &[DAY, DAY]));
        assert!(vouched(&coalition, &[0, 0]));
        assert!(vouched(&coalition, &[0, 0, DAY]), "one that lies says nothing");
    }

    /// Before the next beat finds that out and forgets them.
    #[tokio::test(start_paused = true)]
    async fn who_spoke_of_our_clock_before_it_was_set_vouches_for_it_no_more() {
        let mut coalition = Coalition::new();
        let [own, ..] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]).identity.member);
        let (mut hellos, now) = (Hellos::told(&[0, 0]), clock::now());
        assert!(!hellos.company.beat(Instant::now(), now));
        let year = Duration::from_secs(365 * 24 * 3600);
        for set in [now.saturating_add(year), now.saturating_sub(year)] {
            assert!(!hellos.is_clock_vouched(&coalition.roster, own, set), "{set}");
        }
        assert!(hellos.is_clock_vouched(&coalition.roster, own, now));
    }

    #[tokio::test(start_paused = true)]
    async fn no_node_of_the_same_organisation_vouches_for_our_clock_beside_others() {
        let mut coalition = Coalition::new();
        let [own, ..] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]).identity.member);
        let now = clock::now();
        let mut hellos = Hellos::told(&[0]);
        hellos.voices.heard(own, SigningKey::from_seed(&[9; 32]).public(), 0, Instant::now());
        assert!(!hellos.is_clock_vouched(&coalition.roster, own, now), "one other member alone");
        hellos.voices.heard(
            MemberId::new([3; 16]),
            SigningKey::from_seed(&[8; 32]).public(),
            0,
            Instant::now(),
        );
        assert!(hellos.is_clock_vouched(&coalition.roster, own, now));
    }

    #[tokio::test(start_paused = true)]
    async fn who_ended_before_the_newest_signed_date_is_waited_for_no_more() {
        const DAYS: Duration = Duration::from_secs(10 * 24 * 3600);
        let mut coalition = Coalition::new();
        let own = coalition.issue(1, &[CIDR]).identity.member;
        coalition.issue(2, &[CIDR]);
        coalition.lasting = DAYS;
        coalition.issue(3, &[CIDR]);
        let later = clock::now().saturating_add(2 * DAYS);
        let mut hellos = Hellos::told(&[0]);
        assert!(
            !hellos.is_clock_vouched(&coalition.roster, own, later),
            "our clock alone says that it is over"
        );
        let (until, over) = (clock::now().saturating_add(DAYS), hellos.lapsed(&coalition.roster, own, later));
        assert!(over.len() == 1 && over[0].0 == MemberId::new([3; 16]) && over[0].1 <= until, "{over:?}");
        hellos.beacon = Some(later);
        assert!(hellos.is_clock_vouched(&coalition.roster, own, later), "the registrar does, too");
        assert!(hellos.lapsed(&coalition.roster, own, later).is_empty());
        let too_early = clock::now();
        assert!(
            !hellos.is_clock_vouched(&coalition.roster, own, too_early),
            "whoever runs by our clock is there, whatever was signed"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_had_another_beside_it_goes_by_its_own_clock_unless_a_node_of_its_own_differs() {
        let mut coalition = Coalition::new();
        let own = coalition.issue(1, &[CIDR]).identity.member;
        let vouched = |hellos: &Hellos, coalition: &Coalition| {
            hellos.is_clock_vouched(&coalition.roster, own, clock::now())
        };
        let mut hellos = Hellos::told(&[]);
        assert!(vouched(&hellos, &coalition));
        let sister = SigningKey::from_seed(&[9; 32]).public();
        for (offset, is_right) in [(DAY, false), (0, true)] {
            hellos.voices.heard(own, sister, offset, Instant::now());
            assert_eq!(vouched(&hellos, &coalition), is_right);
        }
        coalition.issue(2, &[CIDR]);
        assert!(!vouched(&hellos, &coalition), "now somebody else can tell");
        assert!(!vouched(&Hellos::told(&[]), &coalition));
    }

    #[tokio::test(start_paused = true)]
    async fn who_left_or_was_revoked_is_warned_of_no_more() {
        let mut hellos = Hellos::told(&[0, 0]);
        let [one, other] = [1, 2].map(|n| SigningKey::from_seed(&[n; 32]).public());
        hellos.forked_with = vec![one, other];
        hellos.unshown = BTreeSet::from([one, other]);
        hellos.left(&one);
        assert_eq!((hellos.forked_with, hellos.unshown), (vec![other], BTreeSet::from([other])));
    }

    #[tokio::test(start_paused = true)]
    async fn one_voice_does_while_no_other_is_connected_that_may_still_answer() {
        let mut hellos = Hellos::told(&[0]);
        let (node, member) = (SigningKey::from_seed(&[9; 32]).public(), MemberId::new([9; 16]));
        hellos.company.arrived(node, member, Instant::now());
        assert_eq!(hellos.clock_told(SKEW), ClockTold::Asked, "a second one is being asked");
        let mut answered = hellos.clone();
        answered.voices.heard(member, node, 0, Instant::now());
        assert_eq!(answered.clock_told(SKEW), ClockTold::Right);
        tokio::time::advance(GateTimes::default().patience).await;
        assert_eq!(
            hellos.clock_told(SKEW),
            ClockTold::Right,
            "one that is silent keeps nothing from the others"
        );
        hellos.voices.forget();
        assert_eq!(hellos.clock_told(SKEW), ClockTold::Unknown);
    }
}
