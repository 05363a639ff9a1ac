//! Drafts as claims.

use super::*;
use crate::{
    crypto::sign::{self, SigningKey},
    schema::Action,
    trust::signed,
};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn keys() -> RootKeys {
    RootKeys {
        root_threshold: 1,
        root: vec![key(1).public(), key(2).public()],
        admins: vec![key(3).public(), key(4).public()],
        admins_until: BTreeMap::new(),
        thresholds: BTreeMap::from([(Action::Revoke, 2)]),
        registrar: key(5).public(),
    }
}

fn draft(groups: &str) -> Result<Draft, serde_json::Error> {
    let document = format!(r#"{{"version": "1", "link": "https://x", "hash": "{}"}}"#, "ab".repeat(32));
    serde_json::from_str(&format!(
        r#"{{"name": "Test", "arrangement": {document}, "rules_of_conduct": {document}, "groups": [{groups}]}}"#
    ))
}

const TWO: &str = r#"{"slug": "energy", "name": "Energy", "admits": ["essential", "ict-provider"],
    "max_tlp": "amber+strict", "history": "window", "history_window_days": 30},
    {"slug": "energy-core", "name": "Core", "parent": "energy", "may_publish": "steward"}"#;

#[test]
fn a_short_draft_becomes_a_charter_that_checks() {
    let charter = draft(TWO).unwrap().to_charter(None, &keys(), NOW).unwrap();
    let checked = Charter::check(&charter.encode_to_vec()).unwrap();
    assert_eq!((checked.version(), checked.name()), (1, "Test"));
    assert_eq!(checked.threshold(Action::Revoke), 2);
    assert_eq!(checked.threshold(Action::Issue), 1);
    assert_eq!(checked.expires().since(checked.issued()).as_secs(), 730 * DAY_S);
    let core = checked.group_by_slug("energy-core").unwrap();
    assert_eq!((core.id.get(), core.parent.unwrap().get()), (2, 1));
    assert_eq!(core.may_publish, Role::Steward);
    assert_eq!(draft(TWO).unwrap().to_charter(Some("Other"), &keys(), NOW).unwrap().name, "Other");
}

#[test]
fn a_misspelt_key_or_value_is_refused_with_what_there_is() {
    let error = draft(r#"{"slug": "a", "name": "A", "retension_days": 3}"#).unwrap_err().to_string();
    assert!(error.contains("retension_days") && error.contains("retention_days"), "{error}");
    let error = draft(r#"{"slug": "a", "name": "A", "admits": ["banks"]}"#).unwrap_err().to_string();
    assert!(error.contains("banks") && error.contains("financial"), "{error}");
}

#[test]
fn what_a_charter_may_not_say_a_draft_may_not_either() {
    let refused = |groups: &str| draft(groups).unwrap().to_charter(None, &keys(), NOW).unwrap_err();
    assert!(matches!(
        refused(r#"{"slug": "a", "name": "A", "parent": "b"}, {"slug": "b", "name": "B"}"#),
        DraftError::Parent { .. }
    ));
    assert!(matches!(
        refused(r#"{"slug": "a", "name": "A", "history_window_days": 3}"#),
        DraftError::Window(_)
    ));
    assert!(matches!(refused(r#"{"slug": "A!", "name": "A"}"#), DraftError::Charter(_)));
    let twice = RootKeys { registrar: key(1).public(), ..keys() };
    let error = draft(TWO).unwrap().to_charter(None, &twice, NOW).unwrap_err();
    assert_eq!(error, DraftError::Charter(CharterError::TwoRoles(key(1).public())));
}

#[test]
fn a_document_is_named_by_the_hash_of_its_file() {
    let mut draft = draft(TWO).unwrap();
    draft.arrangement.hash = None;
    assert_eq!(draft.to_charter(None, &keys(), NOW), Err(DraftError::Document { document: "arrangement" }));
    draft.arrangement.file = Some("arrangement.md".to_owned());
    draft.read_documents(|path| Ok::<_, String>(format!("text of {path}").into_bytes())).unwrap();
    let charter = draft.to_charter(None, &keys(), NOW).unwrap();
    assert_eq!(charter.arrangement.unwrap().hash, hash::document(b"text of arrangement.md"));
    let changed = draft.read_documents(|_| Ok::<_, String>(b"changed".to_vec()));
    assert!(matches!(changed, Err(DocumentError::Mismatch(file)) if file == "arrangement.md"));
}

#[test]
fn a_later_version_keeps_numbers_and_never_reuses_one() {
    let sign = |charter: &schema::Charter, coalition| {
        signed::sign(charter.encode_to_vec(), sign::Purpose::Charter, coalition, &[&key(1)])
    };
    let first = draft(TWO).unwrap().to_charter(None, &keys(), NOW).unwrap();
    let id = Charter::check(&first.encode_to_vec()).unwrap().coalition();
    let mut chain = CharterChain::start(sign(&first, id)).unwrap();
    let next = |chain: &CharterChain, groups: &str| {
        draft(groups).unwrap().to_next_charter(chain, &keys(), RosterVersion::EMPTY, NOW).unwrap()
    };
    let second = next(&chain, r#"{"slug": "water", "name": "Water"}, {"slug": "energy", "name": "Energy"}"#);
    assert_eq!(second.groups.iter().map(|g| g.id).collect::<Vec<_>>(), [3, 1]);
    chain.extend(sign(&second, id)).unwrap();
    let third = next(&chain, r#"{"slug": "energy-core", "name": "Core"}"#);
    assert_eq!(third.groups.iter().map(|g| g.id).collect::<Vec<_>>(), [4]);
    chain.extend(sign(&third, id)).unwrap();
}

#[test]
fn what_is_wrong_is_said_by_the_names_that_stand_in_the_draft() {
    let told = |draft: &Draft, keys: &RootKeys| draft.to_charter(None, keys, NOW).unwrap_err().to_string();
    let sound = draft(TWO).unwrap();
    let over = Draft { validity_days: 0, ..sound.clone() };
    let until = |end| RootKeys { admins_until: BTreeMap::from([(key(3).public(), end)]), ..keys() };
    let lists = |thresholds: &[(Action, u32)]| RootKeys {
        thresholds: thresholds.iter().copied().collect(),
        ..keys()
    };
    let root = |root_threshold| RootKeys { root_threshold, ..keys() };
    for (said, expected) in [
        (told(&over, &keys()), "validity_days must be at least 1"),
        (told(&sound, &until(NOW)), "keys.admins_until: "),
        (told(&sound, &lists(&[(Action::Issue, 3)])), "keys.thresholds: issue is 3, and keys.admins lists 2"),
        (told(&sound, &lists(&[(Action::Renew, 0)])), "keys.thresholds: renew is 0, and keys.admins lists 2"),
        (told(&sound, &root(3)), "keys.root_threshold is 3, and keys.root lists 2"),
        (told(&sound, &root(0)), "keys.root_threshold is 0, and keys.root lists 2"),
    ] {
        assert!(said.starts_with(expected), "{expected}: {said}");
    }
    let tomorrow = NOW.saturating_add(std::time::Duration::from_secs(DAY_S));
    assert!(sound.to_charter(None, &until(tomorrow), NOW).is_ok());
}
