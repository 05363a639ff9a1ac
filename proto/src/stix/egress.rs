//! What may leave towards a tool: markings, permitted actions and conditions, per way out.
//!
//! Reading is one question (is this object for this token?) and is answered elsewhere. This is the next one: what
//! may a tool *do* with it, and may it stand there at all, given whose tool it is.
//!
//! | way out | TLP | PAP | besides |
//! |---|---|---|---|
//! | block lists | not RED | GREEN, CLEAR | active, not contested, in no warning list, known to stand alone |
//! | detection | not RED | any | active |
//! | outside the organisation | GREEN, CLEAR; AMBER where the profile says so | as above | no embargo, terms allow it |
//!
//! Every refusal has a name, for the report that says why a value is not in a list.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use super::handling::word;
use crate::{
    schema::Pap,
    stix::marking::{self, Tlp},
    time::Timestamp,
};

/// What a tool does with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// Stops traffic: visible to the adversary.
    Block,
    /// Looks for it in one's own traffic and logs.
    Detect,
}

/// Whose tool it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// The organisation's own.
    Inside,
    /// A service provider's or another organisation's.
    Outside,
}

impl Audience {
    /// The word for configuration, API and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Outside => "outside",
        }
    }

    /// By its word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Inside, Self::Outside].into_iter().find(|audience| audience.as_str() == word)
    }

    /// Most restrictive marking that may be given to any tool of theirs.
    #[must_use]
    pub const fn widest(self) -> Tlp {
        match self {
            Self::Inside => Tlp::AmberStrict,
            Self::Outside => Tlp::Amber,
        }
    }

    /// Most restrictive marking that they are given unless it is said otherwise: AMBER leaves the organisation only
    /// where somebody says so.
    #[must_use]
    pub const fn usual(self) -> Tlp {
        match self {
            Self::Inside => Tlp::AmberStrict,
            Self::Outside => Tlp::Green,
        }
    }
}

/// What a way out stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What happens there.
    pub purpose: Use,
    /// Whose it is.
    pub audience: Audience,
    /// Most restrictive marking that goes out.
    pub most: Tlp,
    /// What an object counts as whose author states no permissible actions.
    pub unstated_pap: Pap,
}

/// What an author asks of whoever handles an object.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a> {
    /// Marking in force.
    pub tlp: Tlp,
    /// Sealed to members by name.
    pub is_for_named_recipients: bool,
    /// Permissible actions, if stated.
    pub pap: Option<Pap>,
    /// Not outside its recipients before.
    pub embargo_until: Option<Timestamp>,
    /// FIRST IEP 2.0, `name=value`.
    pub terms: &'a [String],
}

/// Why something is not in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Held {
    /// TLP:RED is for people.
    Red,
    /// More restrictive than this way out allows.
    Marking,
    /// Its author permits no blocking.
    Pap,
    /// Not before a later time.
    Embargo,
    /// A handling term.
    Terms,
    /// Of a class that the profile leaves out.
    Class,
    /// Of a purpose that the profile leaves out.
    Purpose,
    /// Its author says it is harmless.
    Benign,
    /// Its author took it back.
    Revoked,
    /// Valid from a later time on.
    NotYet,
    /// Its time is over.
    Expired,
    /// Below the profile's minimum.
    Score,
    /// Other members say it is a false positive.
    Contested,
    /// Part of a pattern that asks for more.
    Joined,
    /// On the local allow-list.
    Allowed,
    /// On a warning list.
    Warning,
    /// The format has no way to write it, or none to tell what it is about, so that no list can be asked for it.
    Unwritable,
}

impl Held {
    /// The word for API and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Marking => "marking",
            Self::Pap => "pap",
            Self::Embargo => "embargo",
            Self::Terms => "terms",
            Self::Class => "class",
            Self::Purpose => "purpose",
            Self::Benign => "benign",
            Self::Revoked => "revoked",
            Self::NotYet => "not-yet",
            Self::Expired => "expired",
            Self::Score => "score",
            Self::Contested => "contested",
            Self::Joined => "joined",
            Self::Allowed => "allow-list",
            Self::Warning => "warning-list",
            Self::Unwritable => "unwritable",
        }
    }
}

/// Whether an object so marked may take a way out at `now`.
///
/// # Errors
/// The first rule that holds it back.
pub fn may_leave(policy: &Policy, marks: &Marks<'_>, now: Timestamp) -> Result<(), Held> {
    let is_outside = policy.audience == Audience::Outside;
    if marks.tlp == Tlp::Red {
        return Err(Held::Red);
    }
    if marks.tlp > policy.most || (is_outside && (marks.tlp > Tlp::Amber || marks.is_for_named_recipients)) {
        return Err(Held::Marking);
    }
    let pap = marks.pap.unwrap_or(policy.unstated_pap);
    if policy.purpose == Use::Block && !matches!(pap, Pap::Green | Pap::Clear) {
        return Err(Held::Pap);
    }
    if is_outside && marks.embargo_until.is_some_and(|until| now < until) {
        return Err(Held::Embargo);
    }
    match terms_allow(policy, marks.terms) {
        true => Ok(()),
        false => Err(Held::Terms),
    }
}

/// Whether none of these handling terms forbids a way out.
#[must_use]
pub fn terms_allow(policy: &Policy, terms: &[String]) -> bool {
    terms.iter().all(|term| term_allows(policy, term))
}

/// When a condition that holds an object back now ends by itself.
#[must_use]
pub fn frees_at(policy: &Policy, marks: &Marks<'_>, now: Timestamp) -> Option<Timestamp> {
    marks.embargo_until.filter(|until| policy.audience == Audience::Outside && now < *until)
}

/// Whether its author must not be named to others (IEP `attribution=must-not`).
#[must_use]
pub fn hides_author(terms: &[String]) -> bool {
    terms.iter().any(|term| read(term) == ("attribution".into(), "must-not".into()))
}

/// An object without the word of who created it, for others than its recipients. All else stays as its author wrote it.
#[must_use]
pub fn unattributed(raw: &[u8]) -> Vec<u8> {
    changed(raw, |object| _ = object.remove("created_by_ref"))
}

/// An object before others where whoever created it must not be named: [`unattributed`], and without markings of anybody's own
/// making, whose words may name him here or in any other message. In their stead stand the well-known ones of the levels that hold for
/// it, so that it is marked no more widely than before.
#[must_use]
pub fn veiled(raw: &[u8], tlp: Tlp, pap: Option<Pap>) -> Vec<u8> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Marked {
        object_marking_refs: Vec<String>,
        granular_markings: Vec<Map<String, Value>>,
    }
    let read = serde_json::from_slice::<Marked>(raw);
    // What does not read goes whole.
    let mut is_changed = read.is_err();
    let Marked { object_marking_refs: mut refs, granular_markings: mut granular } = read.unwrap_or_default();
    let before = refs.len() + granular.len();
    refs.retain(|id| marking::is_well_known(id));
    // A language that a part is in is a marking without a reference.
    let is_kept = |id: &Value| id.as_str().is_some_and(marking::is_well_known);
    granular.retain(|part| part.get("marking_ref").is_none_or(is_kept));
    is_changed |= refs.len() + granular.len() != before;
    if !is_changed {
        return unattributed(raw);
    }
    for id in [Some(tlp.marking_id()), pap.and_then(marking::pap_marking_id)].into_iter().flatten() {
        if refs.iter().all(|known| known != id) {
            refs.push(id.to_owned());
        }
    }
    let (refs, parts) = (to_raw_value(&refs), to_raw_value(&granular));
    changed(raw, |object| {
        for name in ["created_by_ref", "object_marking_refs", "granular_markings"] {
            object.remove(name);
        }
        if let Ok(refs) = &refs {
            object.insert("object_marking_refs".to_owned(), refs);
        }
        if let Some(parts) = parts.as_ref().ok().filter(|_| !granular.is_empty()) {
            object.insert("granular_markings".to_owned(), parts);
        }
    })
}

/// Whether an object by its very kind tells whose it is, or may: an identity that is no class of many, and a marking of somebody's own.
/// Where its author must not be named, it stays within.
#[must_use]
pub fn tells_who(kind: &str, id: &str, raw: &[u8]) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Identity {
        identity_class: Option<String>,
    }
    match kind {
        "marking-definition" => !marking::is_well_known(id),
        "identity" => {
            let identity: Identity = serde_json::from_slice(raw).unwrap_or_default();
            identity.identity_class.as_deref() != Some("class")
        }
        _ => false,
    }
}

/// An indicator with the time at which it ends here, if its author states none: a tool that takes it needs no rule of ours.
#[must_use]
pub fn ending(raw: &[u8], at: Timestamp) -> Vec<u8> {
    let at = RawValue::from_string(format!("\"{at}\""));
    changed(raw, |object| {
        if let Ok(at) = &at {
            object.entry("valid_until".to_owned()).or_insert(at);
        }
    })
}

fn changed<'a>(raw: &'a [u8], change: impl FnOnce(&mut BTreeMap<String, &'a RawValue>)) -> Vec<u8> {
    let object = serde_json::from_slice::<BTreeMap<String, &RawValue>>(raw);
    let without = object.map(|mut object| {
        change(&mut object);
        serde_json::to_vec(&object)
    });
    match without {
        Ok(Ok(raw)) => raw,
        // Checked objects are objects; nothing else is told on.
        Ok(Err(_)) | Err(_) => b"{}".to_vec(),
    }
}

/// A term nobody here knows may forbid anything; within the organisation that is for people to read.
fn term_allows(policy: &Policy, term: &str) -> bool {
    let is_outside = policy.audience == Audience::Outside;
    let (name, value) = read(term);
    match (name.as_str(), value.as_str()) {
        (
            "permitted-actions",
            "externally-visible-direct-actions" | "externally-visible-indirect-actions",
        ) => true,
        // What stops traffic is seen by who sent it.
        ("permitted-actions", "internally-visible-actions") => !is_outside && policy.purpose == Use::Detect,
        ("permitted-actions", _) => false,
        ("unmodified-resale", "may") | ("affected-party-notifications" | "encrypt-in-transit" | "tlp", _) => {
            true
        }
        ("attribution", "may" | "must" | "must-not") => true,
        _ => !is_outside,
    }
}

fn read(term: &str) -> (String, String) {
    let (name, value) = term.split_once('=').unwrap_or((term, ""));
    (word(name), word(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
    const LATER: Timestamp = Timestamp::from_micros(1_790_000_001_000_000);

    fn policy(purpose: Use, audience: Audience) -> Policy {
        let most = if audience == Audience::Inside { Tlp::AmberStrict } else { Tlp::Amber };
        Policy { purpose, audience, most, unstated_pap: Pap::Green }
    }

    fn marks(tlp: Tlp, pap: Option<Pap>) -> Marks<'static> {
        Marks { tlp, is_for_named_recipients: false, pap, embargo_until: None, terms: &[] }
    }

    #[test]
    fn the_table_holds() {
        use Audience::{Inside, Outside};
        use Use::{Block, Detect};
        for (purpose, audience, tlp, pap, expected) in [
            (Block, Inside, Tlp::Red, Some(Pap::Clear), Err(Held::Red)),
            (Detect, Inside, Tlp::Red, Some(Pap::Clear), Err(Held::Red)),
            (Block, Inside, Tlp::AmberStrict, Some(Pap::Green), Ok(())),
            (Block, Inside, Tlp::Green, Some(Pap::Amber), Err(Held::Pap)),
            (Block, Inside, Tlp::Green, Some(Pap::Red), Err(Held::Pap)),
            (Block, Inside, Tlp::Green, None, Ok(())),
            (Detect, Inside, Tlp::Green, Some(Pap::Red), Ok(())),
            (Detect, Outside, Tlp::AmberStrict, None, Err(Held::Marking)),
            (Detect, Outside, Tlp::Amber, None, Ok(())),
            (Block, Outside, Tlp::Clear, Some(Pap::Amber), Err(Held::Pap)),
        ] {
            assert_eq!(
                may_leave(&policy(purpose, audience), &marks(tlp, pap), NOW),
                expected,
                "{purpose:?} {tlp}"
            );
        }
    }

    #[test]
    fn amber_goes_outside_only_where_the_profile_says_so() {
        let strict = Policy { most: Tlp::Green, ..policy(Use::Detect, Audience::Outside) };
        assert_eq!(may_leave(&strict, &marks(Tlp::Amber, None), NOW), Err(Held::Marking));
    }

    #[test]
    fn conditions_hold_outside_until_they_end() {
        let outside = policy(Use::Detect, Audience::Outside);
        let embargoed = Marks { embargo_until: Some(LATER), ..marks(Tlp::Green, None) };
        assert_eq!(may_leave(&outside, &embargoed, NOW), Err(Held::Embargo));
        assert_eq!(may_leave(&outside, &embargoed, LATER), Ok(()));
        assert_eq!(frees_at(&outside, &embargoed, NOW), Some(LATER));
        assert_eq!(may_leave(&policy(Use::Block, Audience::Inside), &embargoed, NOW), Ok(()));
    }

    #[test]
    fn terms_are_read_in_any_spelling_and_unknown_ones_stay_inside() {
        let [inside, outside] = [Audience::Inside, Audience::Outside].map(|a| policy(Use::Detect, a));
        for (term, is_inside, is_outside) in [
            ("permitted-actions=internally-visible-actions", true, false),
            ("PERMITTED_ACTIONS=None", false, false),
            ("permitted-actions=contact-for-instruction", false, false),
            ("unmodified-resale=must-not", true, false),
            ("attribution=must-not", true, true),
            ("something-new=1", true, false),
        ] {
            let terms = [term.to_owned()];
            let marks = Marks { terms: &terms, ..marks(Tlp::Green, None) };
            let leaves = |policy: &Policy| may_leave(policy, &marks, NOW).is_ok();
            assert_eq!((leaves(&inside), leaves(&outside)), (is_inside, is_outside), "{term}");
        }
        assert!(hides_author(&["Attribution=MUST NOT".to_owned()]));
    }

    #[test]
    fn what_may_be_visible_within_alone_blocks_nothing() {
        let blocks = |term: &str| {
            let terms = [term.to_owned()];
            let marks = Marks { terms: &terms, ..marks(Tlp::Green, Some(Pap::Clear)) };
            may_leave(&policy(Use::Block, Audience::Inside), &marks, NOW)
        };
        assert_eq!(blocks("permitted-actions=internally-visible-actions"), Err(Held::Terms));
        assert_eq!(blocks("permitted-actions=externally-visible-indirect-actions"), Ok(()));
    }

    #[test]
    fn without_its_creator_an_object_says_all_else_to_the_letter() {
        let raw = br#"{"type":"indicator","created_by_ref":"identity--1","x_n":1.50,"name":"A \u00e9","by":{"created_by_ref":"x"}}"#;
        let without = unattributed(raw);
        let text = String::from_utf8(without).unwrap();
        assert!(!text.contains("identity--1"), "{text}");
        let before: BTreeMap<String, &RawValue> = serde_json::from_slice(raw).unwrap();
        let after: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap();
        assert_eq!(after.len() + 1, before.len());
        assert!(after.iter().all(|(name, value)| before[name].get() == value.get()), "{text}");
        assert_eq!(unattributed(b"[1]"), b"{}");
    }

    #[test]
    fn whose_marking_it_bears_an_object_does_not_tell_and_it_is_marked_no_more_widely() {
        let own = "marking-definition--00000000-0000-4000-8000-000000000001";
        let (green, amber) = (Tlp::Green.marking_id(), Tlp::Amber.marking_id());
        let raw = serde_json::json!({
            "type": "indicator", "created_by_ref": "identity--1", "name": "x", "object_marking_refs": [own, green],
            "granular_markings": [
                { "marking_ref": own, "selectors": ["name"] },
                { "marking_ref": amber, "selectors": ["type"] },
                { "lang": "nl", "selectors": ["name"] },
            ],
        });
        let veil = |raw: &Value, pap| -> Value {
            serde_json::from_slice(&veiled(raw.to_string().as_bytes(), Tlp::Amber, pap)).unwrap()
        };
        let after = veil(&raw, Some(Pap::Red));
        let red = marking::pap_marking_id(Pap::Red).unwrap();
        assert_eq!(after["object_marking_refs"], serde_json::json!([green, amber, red]));
        assert_eq!(after["granular_markings"].as_array().unwrap().len(), 2);
        let text = after.to_string();
        assert!(!text.contains(own) && !text.contains("identity--1") && after["name"] == "x", "{text}");
        // With well-known ones alone nothing but the creator goes.
        let plain =
            serde_json::json!({ "created_by_ref": "identity--1", "object_marking_refs": [green, red] });
        assert_eq!(veil(&plain, None), serde_json::json!({ "object_marking_refs": [green, red] }));
        let broken = serde_json::json!({ "object_marking_refs": { "x": own } });
        assert_eq!(veil(&broken, None), serde_json::json!({ "object_marking_refs": [amber] }));
        assert!(
            tells_who("marking-definition", own, b"{}") && !tells_who("marking-definition", green, b"{}")
        );
        let class = |class: &str| serde_json::json!({ "identity_class": class }).to_string().into_bytes();
        assert!(tells_who("identity", "identity--1", &class("organization")));
        assert!(
            !tells_who("identity", "identity--1", &class("class")) && !tells_who("indicator", "x", b"{}")
        );
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        let tlp = proptest::sample::select(Tlp::ALL.to_vec());
        let pap = proptest::sample::select(vec![Pap::Clear, Pap::Green, Pap::Amber, Pap::Red]);
        (any::<(bool, bool)>(), tlp, pap).prop_map(|((block, inside), most, unstated_pap)| Policy {
            purpose: if block { Use::Block } else { Use::Detect },
            audience: if inside { Audience::Inside } else { Audience::Outside },
            most,
            unstated_pap,
        })
    }

    proptest! {
        #[test]
        fn a_stricter_marking_never_leaves_where_a_wider_does_not(policy in any_policy(), named: bool, at in 0usize..4) {
            let of = |tlp| Marks { is_for_named_recipients: named, ..marks(tlp, None) };
            let (wide, strict) = (of(Tlp::ALL[at]), of(Tlp::ALL[at + 1]));
            prop_assert!(may_leave(&policy, &strict, NOW).is_err() || may_leave(&policy, &wide, NOW).is_ok());
            prop_assert_eq!(may_leave(&policy, &of(Tlp::Red), NOW), Err(Held::Red));
        }

        #[test]
        fn outside_is_never_wider_than_inside_and_blocking_than_looking(policy in any_policy(), term in "[a-z=-]{0,12}") {
            let terms = [term];
            for tlp in Tlp::ALL {
                let marks = Marks { terms: &terms, ..marks(tlp, None) };
                let ok = |policy: Policy| may_leave(&policy, &marks, NOW).is_ok();
                let with = |purpose, audience| ok(Policy { purpose, audience, ..policy });
                for other in [Use::Block, Use::Detect] {
                    prop_assert!(!with(other, Audience::Outside) || with(other, Audience::Inside));
                }
                for whose in [Audience::Inside, Audience::Outside] {
                    prop_assert!(!with(Use::Block, whose) || with(Use::Detect, whose));
                }
            }
        }
    }
}
