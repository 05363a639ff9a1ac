//! The roster is a function of charters and records, whenever each of them was learned.

use std::time::Duration;

use belfry_proto::{
    id::{GroupId, RosterVersion, Serial},
    schema::{self, Audience},
    trust::{
        charter::CharterChain,
        file,
        log::{VerifiedRecord, verify_record},
        roster::{Roster, Standing},
    },
};
use proptest::prelude::*;

use crate::vectors::{golden_text, noon};

/// Everything that a roster answers, as far as the golden coalition gives it something to say.
fn answers(roster: &Roster) -> String {
    let group = GroupId::new(1);
    let later = noon().saturating_add(Duration::from_secs(30 * 24 * 3600));
    let certificates: Vec<_> = roster.certificates().collect();
    let members: Vec<_> = roster.members().collect();
    let status = roster.standing(Serial::new(1), later);
    let readers = roster.readers(group, Audience::Group, noon());
    let since = members.iter().map(|member| roster.entitled_since(member.id, group)).collect::<Vec<_>>();
    format!(
        "{} {:?} {certificates:?} {members:?} {status:?} {readers:?} {since:?} {:?} {}",
        roster.version(),
        roster.voids(),
        roster.admitted_nodes(noon()),
        roster.charter().id(),
    )
}

fn log() -> schema::LogFile {
    file::read_log(golden_text("files", "log")).unwrap()
}

/// Offers everything in one order until nothing moves, as hello and gossip do.
fn learn(order: &[usize]) -> Roster {
    let log = log();
    let mut roster = Roster::new(CharterChain::walk(log.charters.iter().take(1).cloned()).unwrap());
    loop {
        let before = (roster.version(), roster.charter().version());
        for item in order {
            if let Some(charter) = log.charters.get(*item) {
                let _ = roster.apply_charter(charter.clone());
            } else {
                let record = &log.records[item - log.charters.len()];
                let verified: Option<VerifiedRecord> = verify_record(roster.charters(), record).ok();
                let _ = verified.map(|verified| roster.apply(verified));
            }
        }
        if (roster.version(), roster.charter().version()) == before {
            return roster;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn charters_and_records_learned_in_any_order_make_one_roster(
        order in Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle()
    ) {
        let log = log();
        prop_assert_eq!(log.charters.len() + log.records.len(), 5);
        let mut whole = Roster::new(CharterChain::walk(log.charters.clone()).unwrap());
        for record in &log.records {
            whole.apply(verify_record(whole.charters(), record).unwrap()).unwrap();
        }
        let tomorrow = noon().saturating_add(Duration::from_secs(86_400));
        prop_assert_eq!(whole.standing(Serial::new(1), tomorrow), Standing::Revoked);
        prop_assert_eq!(answers(&learn(&order)), answers(&whole));
    }

    #[test]
    fn a_record_twice_changes_nothing(twice in 0..3_usize) {
        let mut roster = learn(&[0, 1, 2, 3, 4]);
        let before = answers(&roster);
        let record = verify_record(roster.charters(), &log().records[twice]).unwrap();
        prop_assert!(roster.apply(record).is_err());
        prop_assert_eq!(answers(&roster), before);
    }
}

#[test]
fn an_empty_roster_knows_nobody() {
    let roster = Roster::new(CharterChain::walk(log().charters).unwrap());
    assert!(roster.certificates().next().is_none() && roster.admitted_nodes(noon()).is_empty());
    assert!(roster.is_prefix(RosterVersion::EMPTY));
    assert_eq!(roster.standing(Serial::new(1), noon()), Standing::Unknown);
}
