//! The grant rule, number by number.

use super::{
    CIDR, CLOUD, DAY, Node, at,
    coalition::{Ask, Coalition, Policy},
};
use crate::{
    envelope::{GrantRefusal, KeyContext, grant_rule::predates_node, key_is_usable, may_grant},
    id::{CoalitionId, EntryId, Height, RosterVersion},
    schema::{Audience, HistoryPolicy, Refusal, Role},
    time::Timestamp,
};

/// Alice publishes; the key is made at her roster, at second 1,000 of the coalition.
struct Story {
    coalition: Coalition,
    alice: Node,
    key: KeyContext,
}

impl Story {
    fn new(policy: &Policy) -> Self {
        let mut coalition = Coalition::with(policy);
        let alice = coalition.issue(&Ask::publisher(1));
        let bob = coalition.issue(&Ask::reader(2));
        assert_eq!(bob.certificate.member.as_bytes()[0], 2);
        let key = alice.key_context(CIDR, coalition.version(), at(1_000));
        Self { coalition, alice, key }
    }

    fn asks(&self, node: &Node, last_use: Timestamp, now: Timestamp) -> Result<(), GrantRefusal> {
        self.asks_holder(node, last_use, |_| Some(Timestamp::ZERO), now)
    }

    /// Asks a holder that first saw the entitlement when `first_seen` says.
    fn asks_holder(
        &self,
        node: &Node,
        last_use: Timestamp,
        first_seen: impl FnOnce(Height) -> Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), GrantRefusal> {
        let public = node.node.public();
        let granted = may_grant(&self.coalition.roster, &self.key, last_use, &public, first_seen, now)?;
        assert_eq!(granted.serial, node.certificate.serial);
        Ok(())
    }
}

fn history(history: HistoryPolicy, window_s: u64) -> Policy {
    Policy { history, window_s, ..Policy::default() }
}

#[test]
fn a_reader_certified_before_the_key_gets_it_at_once() {
    for policy in [HistoryPolicy::None, HistoryPolicy::All] {
        let mut coalition = Coalition::with(&history(policy, 0));
        let alice = coalition.issue(&Ask::publisher(1));
        let bob = coalition.issue(&Ask::reader(2));
        let key = alice.key_context(CIDR, coalition.version(), at(1_000));
        let story = Story { coalition, alice, key };
        assert_eq!(story.asks(&bob, at(1_000), at(1_001)), Ok(()));
        assert_eq!(story.asks(&story.alice, at(1_000), at(1_001)), Ok(()));
    }
}

#[test]
fn history_none_keeps_older_keys_from_newcomers() {
    let mut story = Story::new(&history(HistoryPolicy::None, 0));
    let carol = story.coalition.issue(&Ask { made: 2_000, ..Ask::reader(3) });
    assert_eq!(story.asks(&carol, at(2_500), at(90 * DAY)), Err(GrantRefusal::BeforeHistory));
    story.key.roster = story.coalition.version();
    assert_eq!(story.asks(&carol, at(2_500), at(2_501)), Ok(()));
}

#[test]
fn history_window_reaches_back_from_entitlement_to_a_keys_last_use() {
    let mut story = Story::new(&history(HistoryPolicy::Window, 500));
    let carol = story.coalition.issue(&Ask { made: 2_000, ..Ask::reader(3) });
    let late = at(90 * DAY);
    assert_eq!(story.asks(&carol, at(1_499), late), Err(GrantRefusal::BeforeHistory));
    assert_eq!(story.asks(&carol, at(1_500), late), Ok(()));
}

#[test]
fn a_backdated_entitlement_waits_from_when_the_holder_first_saw_it() {
    let mut story = Story::new(&history(HistoryPolicy::All, 0));
    // Said to be made a week before it was shown to anybody.
    let ghost = story.coalition.issue(&Ask { made: 2_000, ..Ask::reader(3) });
    let shown = 2_000 + 7 * DAY;
    let asks = |now| story.asks_holder(&ghost, at(1_900), |_| Some(at(shown)), at(now));
    let delayed = GrantRefusal::Delayed { until: at(shown + DAY) };
    assert_eq!(asks(shown + 1), Err(delayed));
    assert_eq!(asks(shown + DAY - 1), Err(delayed));
    assert_eq!(asks(shown + DAY), Ok(()));
    // A holder that does not know when is no shorter way.
    let forgot = story.asks_holder(&ghost, at(1_900), |_| None, at(90 * DAY));
    assert_eq!(forgot, Err(GrantRefusal::Delayed { until: at(91 * DAY) }));
    // Its own first sight does not bring an entitlement forward either.
    let early = story.asks_holder(&ghost, at(1_900), |_| Some(at(5)), at(2_000));
    assert_eq!(early, Err(GrantRefusal::Delayed { until: at(2_000 + DAY) }));
}

#[test]
fn a_backdated_entitlement_does_not_widen_the_window() {
    let mut story = Story::new(&history(HistoryPolicy::Window, 500));
    let ghost = story.coalition.issue(&Ask { made: 20, ..Ask::reader(3) });
    let late = at(90 * DAY);
    let asks = |last_use| story.asks_holder(&ghost, at(last_use), |_| Some(at(9_000)), late);
    assert_eq!(asks(8_499), Err(GrantRefusal::BeforeHistory));
    assert_eq!(asks(8_500), Ok(()));
}

#[test]
fn keys_older_than_an_entitlement_wait_the_grant_delay() {
    for policy in [history(HistoryPolicy::All, 0), history(HistoryPolicy::Window, 5_000)] {
        let mut story = Story::new(&policy);
        let carol = story.coalition.issue(&Ask { made: 2_000, ..Ask::reader(3) });
        let until = at(2_000 + DAY);
        let delayed = GrantRefusal::Delayed { until };
        assert_eq!(story.asks(&carol, at(1_900), at(2_001)), Err(delayed));
        assert_eq!(story.asks(&carol, at(1_900), at(2_000 + DAY - 1)), Err(delayed));
        assert_eq!(story.asks(&carol, at(1_900), until), Ok(()));
        assert_eq!(delayed.on_wire(), Refusal::NotYet);
        // A key made after the entitlement is no archive.
        story.key.roster = story.coalition.version();
        assert_eq!(story.asks(&carol, at(2_001), at(2_002)), Ok(()));
    }
}

#[test]
fn an_authors_other_node_gets_the_authors_keys_whatever_the_history() {
    let mut story = Story::new(&history(HistoryPolicy::None, 0));
    let second = story.coalition.issue(&Ask { made: 2_000, ..Ask::publisher(1) });
    assert_eq!(story.asks(&second, at(1_000), at(2_001)), Ok(()));
}

#[test]
fn a_suspension_breaks_the_entitlement() {
    let mut story = Story::new(&history(HistoryPolicy::None, 0));
    let carol = story.coalition.issue(&Ask::reader(3));
    story.key.roster = story.coalition.version();
    assert_eq!(story.asks(&carol, at(1_000), at(1_001)), Ok(()));
    story.coalition.suspend(&carol, 2_000, vec![]);
    assert_eq!(story.asks(&carol, at(1_000), at(2_001)), Err(GrantRefusal::NotCertified));
    story.coalition.resume(&carol, 3_000);
    assert_eq!(story.asks(&carol, at(1_000), at(3_001)), Err(GrantRefusal::BeforeHistory));
}

#[test]
fn strangers_the_revoked_and_the_expired_are_not_certified() {
    let mut story = Story::new(&Policy::default());
    let brief = story.coalition.issue(&Ask { not_after: DAY, ..Ask::reader(3) });
    let dave = story.coalition.issue(&Ask::reader(4));
    let stranger = Coalition::new().issue(&Ask::reader(9));
    let stranger = Node { node: crate::crypto::sign::SigningKey::from_seed(&[250; 32]), ..stranger };
    let public = stranger.node.public();
    let now = at(DAY + 100);
    let refused = may_grant(&story.coalition.roster, &story.key, at(1_000), &public, |_| None, now);
    assert_eq!(refused.map(drop), Err(GrantRefusal::NotCertified));
    assert_eq!(story.asks(&brief, at(1_000), now), Err(GrantRefusal::NotCertified));
    assert_eq!(story.asks(&dave, at(1_000), now), Ok(()));
    story.coalition.revoke(&dave, DAY + 50, vec![]);
    assert_eq!(story.asks(&dave, at(1_000), now), Err(GrantRefusal::NotCertified));
    // The holder knows of it, and its clock is behind.
    assert_eq!(story.asks(&dave, at(1_000), at(DAY + 10)), Err(GrantRefusal::NotCertified));
}

#[test]
fn carriers_other_groups_and_excluded_supervisors_are_no_readers() {
    let mut story = Story::new(&Policy::default());
    let carrier = story.coalition.issue(&Ask::carrier(3));
    let elsewhere = story.coalition.issue(&Ask { groups: vec![(CLOUD, Role::Reader)], ..Ask::reader(4) });
    let supervisor = story.coalition.issue(&Ask { supervisor: true, ..Ask::reader(5) });
    // The carrier of a member whose other node does read.
    let carrier_of_alice = story.coalition.issue(&Ask::carrier(1));
    story.key.roster = story.coalition.version();
    let (used, now) = (at(1_000), at(1_001));
    assert_eq!(story.asks(&carrier, used, now), Err(GrantRefusal::NotAReader));
    assert_eq!(story.asks(&elsewhere, used, now), Err(GrantRefusal::NotAReader));
    assert_eq!(story.asks(&carrier_of_alice, used, now), Err(GrantRefusal::NotAReader));
    assert_eq!(story.asks(&supervisor, used, now), Ok(()));
    story.key.audience = Audience::WithoutSupervisors;
    assert_eq!(story.asks(&supervisor, used, now), Err(GrantRefusal::NotAReader));
    assert_eq!(story.asks(&story.alice, used, now), Ok(()));
}

#[test]
fn keys_of_rosters_that_are_no_prefix_are_not_granted() {
    let mut story = Story::new(&Policy::default());
    let bob = story.coalition.issue(&Ask::reader(3));
    let version = story.coalition.version();
    let (used, now) = (at(1_000), at(5 * DAY));
    let ahead = Height::new(version.height.get() + 1);
    story.key.roster = RosterVersion { height: ahead, head: EntryId::new([1; 32]) };
    assert_eq!(story.asks(&bob, used, now), Err(GrantRefusal::AheadOfRoster));
    story.key.roster = RosterVersion { head: EntryId::new([1; 32]), ..version };
    assert_eq!(story.asks(&bob, used, now), Err(GrantRefusal::OtherBranch));
    story.key.roster = version;
    assert_eq!(story.asks(&bob, used, now), Ok(()));
    story.key.coalition = CoalitionId::ZERO;
    assert_eq!(story.asks(&bob, used, now), Err(GrantRefusal::OtherCoalition));
}

#[test]
fn a_key_is_done_when_a_reader_leaves_or_a_week_has_passed() {
    let mut coalition = Coalition::new();
    coalition.issue(&Ask::publisher(1));
    let bob = coalition.issue(&Ask::reader(2));
    let made_for = coalition.roster.readers(CIDR, Audience::Group, at(1_000));
    assert_eq!(made_for.len(), 2);
    let usable = |coalition: &Coalition, now| {
        key_is_usable(&made_for, &coalition.roster, CIDR, Audience::Group, at(1_000), now)
    };
    assert!(usable(&coalition, at(1_001)));
    assert!(usable(&coalition, at(1_000 + 7 * DAY)));
    assert!(!usable(&coalition, at(1_001 + 7 * DAY)));
    // A newcomer does not end it; a leaver does, and so does one whose keys were superseded or suspended.
    coalition.issue(&Ask::reader(3));
    assert!(usable(&coalition, at(1_001)));
    coalition.revoke(&bob, 1_002, vec![]);
    assert!(!usable(&coalition, at(1_003)));
}

#[test]
fn a_key_is_older_than_a_node_that_was_certified_after_it_was_made_and_than_no_other() {
    let mut story = Story::new(&history(HistoryPolicy::All, 0));
    assert!(!predates_node(&story.key, &story.alice.certificate));
    let carol = story.coalition.issue(&Ask { made: 2_000, ..Ask::reader(3) });
    assert!(predates_node(&story.key, &carol.certificate));
    story.key.roster = story.coalition.version();
    assert!(!predates_node(&story.key, &carol.certificate), "made for it");
}
