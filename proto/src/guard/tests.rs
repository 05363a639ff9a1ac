use serde_json::{Value, json};

use super::*;
use crate::stix::minify::minify;

const UUID: &str = "298fe907-7931-4fd2-8131-2814dd493134";
const GOING: Going = Going { tlp: Tlp::Amber, is_default: false, is_near_miss: false };

fn object(kind: &str, n: u8, more: &Value) -> Object {
    let mut object = json!({"type": kind, "spec_version": "2.1", "id": format!("{kind}--{}{n:02}", &UUID[..34]),
        "created": "2026-11-23T10:00:00.000Z", "modified": "2026-11-23T10:00:00.000Z", "name": "n",
        "pattern_type": "stix", "valid_from": "2026-11-23T10:00:00.000Z"});
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Object::parse(&minify(&serde_json::to_vec(&object).unwrap()).unwrap()).unwrap()
}

fn own() -> Own {
    let list = |text: &str| vec![text.to_owned()];
    Own::of(&list("bank.example"), &list("zeus"), &list("price list")).unwrap()
}

fn report(objects: &[Object], going: Going) -> Report {
    examine(objects, going, &own(), &Warnings::built_in())
}

fn said(objects: &[Object]) -> Vec<String> {
    report(objects, GOING).objections.iter().map(ToString::to_string).collect()
}

#[test]
fn only_numbers_with_check_digits_are_refused_and_all_else_asks_for_a_reason() {
    for (text, weight) in [
        ("a man, 85.07.30-033.28", Weight::Refused),
        ("4111 1111 1111 1111", Weight::Refused),
        ("jan@evil.example", Weight::Reason),
        ("+32 475 12 34 56", Weight::Reason),
        ("BE68 5390 0754 7034", Weight::Reason),
        ("Zeus", Weight::Reason),
        ("vpn.bank.example", Weight::Reason),
        ("the price list", Weight::Reason),
    ] {
        let note = object("campaign", 1, &json!({"description": text}));
        let report = report(&[note], GOING);
        assert_eq!(report.gravest(), Some(weight), "{text}");
        assert_eq!(report.objections[0].path, "description");
    }
    assert_eq!(
        report(&[object("campaign", 1, &json!({"description": "harmless"}))], GOING),
        Report::default()
    );
}

#[test]
fn what_says_of_itself_that_it_holds_data_of_people_asks_for_a_reason() {
    let flagged = |value: Value| {
        let extension = json!({ "extension_type": "property-extension", "personal_data": value });
        let campaign =
            object("campaign", 1, &json!({ "extensions": { (crate::stix::extension::ID): extension } }));
        report(&[campaign], GOING).gravest()
    };
    assert_eq!(flagged(json!(true)), Some(Weight::Reason));
    assert_eq!((flagged(json!(false)), flagged(json!("true"))), (None, None));
}

#[test]
fn no_objection_ever_holds_the_value() {
    let values = ["85073003328", "jan@evil.example", "zeus", "vpn.bank.example", "4111111111111111"];
    for value in values {
        let objects = [
            object("campaign", 1, &json!({"description": value, "x_list": [{"a": value}], value: "x"})),
            object("indicator", 2, &json!({"pattern": format!("[email-addr:value = '{value}']")})),
        ];
        let report = report(&objects, GOING);
        assert!(!report.objections.is_empty());
        for objection in &report.objections {
            let said = format!("{objection} {objection:?}").to_lowercase();
            assert!(!said.contains(value), "{said}");
        }
    }
}

#[test]
fn nothing_is_passed_over_for_where_it_stands() {
    let (register, card) = ("85.07.30-033.28", "4111 1111 1111 1111");
    let ends = [1, 2].map(|n| format!("campaign--{}{n:02}", &UUID[..34]));
    for (kind, more, path) in [
        ("campaign", json!({ "x_victim_ref": register }), "x_victim_ref"),
        ("campaign", json!({ "x_list": [{ "who_refs": [ends[0], register] }] }), "x_list[0].who_refs[1]"),
        ("campaign", json!({ "x_file": { "hashes": { "n": card } } }), "x_file.hashes.n"),
        ("campaign", json!({ "x_file": { "hashes": { register: "ab".repeat(32) } } }), "x_file.hashes.*"),
        ("campaign", json!({ "extension_type": card }), "extension_type"),
        ("indicator", json!({ "pattern": "x", "pattern_type": register }), "pattern_type"),
        (
            "relationship",
            json!({ "relationship_type": card, "source_ref": ends[0], "target_ref": ends[1] }),
            "relationship_type",
        ),
        (
            "marking-definition",
            json!({ "definition_type": "statement", "definition": { "statement": format!("of {register}") } }),
            "definition.statement",
        ),
        ("mutex", json!({ "created": register }), "created"),
    ] {
        let report = report(&[object(kind, 3, &more)], GOING);
        let paths: Vec<&str> = report.objections.iter().map(|objection| objection.path.as_str()).collect();
        assert_eq!((report.gravest(), paths), (Some(Weight::Refused), vec![path]), "{kind} {more}");
    }
    let sound = json!({
        "created_by_ref": format!("identity--{UUID}"), "x_seen_refs": [ends[0], ends[1]],
        "x_file": { "hashes": { "SHA-256": "4111111111111111".repeat(4), "SSDEEP": "3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C" } },
    });
    assert_eq!(report(&[object("campaign", 3, &sound)], GOING), Report::default());
}

#[test]
fn a_value_is_judged_by_whose_it_is() {
    let mail = |value: &str, n| {
        Object::parse(
            &serde_json::to_vec(&json!({"type": "email-addr", "id": format!("email-addr--{}{n:02}", &UUID[..34]), "value": value}))
                .unwrap(),
        )
        .unwrap()
    };
    let (sender, victim, other) =
        (mail("x@evil.example", 1), mail("jan@evil.example", 2), mail("y@evil.example", 3));
    let message = Object::parse(
        &serde_json::to_vec(
            &json!({"type": "email-message", "id": format!("email-message--{UUID}"), "is_multipart": false,
            "from_ref": sender.id(), "to_refs": [victim.id()]}),
        )
        .unwrap(),
    )
    .unwrap();
    let hunted = object("indicator", 4, &json!({"pattern": "[email-addr:value = 'y@evil.example']"}));
    let roles: Vec<Role> =
        report(&[sender, victim, other, message, hunted], GOING).objections.iter().map(|o| o.role).collect();
    assert_eq!(roles, [Role::Adversary, Role::Victim, Role::Adversary, Role::Adversary]);
    let benign = json!({"pattern": "[email-addr:value = 'y@evil.example']", "indicator_types": ["benign"]});
    assert_eq!(report(&[object("indicator", 4, &benign)], GOING).objections[0].role, Role::Unknown);
}

#[test]
fn an_indicator_makes_the_adversarys_only_what_it_indicates_or_is_based_on() {
    let mailbox = json!({"type": "email-addr", "id": format!("email-addr--{}01", &UUID[..34]), "value": "jan@evil.example"});
    let mailbox = Object::parse(&serde_json::to_vec(&mailbox).unwrap()).unwrap();
    let indicator = object("indicator", 2, &json!({"pattern": "[domain-name:value = 'evil.example']"}));
    let role = |kind: &str| {
        let ends =
            json!({"relationship_type": kind, "source_ref": indicator.id(), "target_ref": mailbox.id()});
        let objects = [mailbox.clone(), indicator.clone(), object("relationship", 3, &ends)];
        report(&objects, GOING).objections[0].role
    };
    assert_eq!(role("based-on"), Role::Adversary);
    assert_eq!(role("indicates"), Role::Adversary);
    assert_eq!(role("related-to"), Role::Unknown);
    assert_eq!(role("communicates-with"), Role::Unknown);
}

#[test]
fn own_and_known_values_in_patterns_are_told() {
    let indicator = |n, pattern: &str| object("indicator", n, &json!({"pattern": pattern}));
    let told = said(&[
        indicator(1, "[domain-name:value = 'www.bank.example']"),
        indicator(2, "[ipv4-addr:value = '8.8.8.8']"),
        indicator(3, "[ipv4-addr:value = '10.1.2.3']"),
        indicator(4, "[ipv4-addr:value = '198.51.100.7']"),
    ]);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].ends_with("pattern holds one of the own values of guards.own, as if it were the adversary's"),
        "{told:?}"
    );
    assert!(told[1].contains("\"public resolvers\"") && told[2].contains("special-use"), "{told:?}");
}

#[test]
fn who_was_hit_is_not_told_in_the_open() {
    let victim = object("identity", 1, &json!({"identity_class": "organization"}));
    let actor = object("threat-actor", 2, &json!({}));
    let targets =
        json!({"relationship_type": "targets", "source_ref": actor.id(), "target_ref": victim.id()});
    let objects = [victim, actor, object("relationship", 3, &targets)];
    assert_eq!(report(&objects, GOING), Report::default());
    let open = report(&objects, Going { tlp: Tlp::Green, ..GOING });
    assert_eq!(open.objections[0].finding, Finding::VictimInTheOpen(Tlp::Green));
    assert_eq!(open.gravest(), Some(Weight::Reason));
}

#[test]
fn what_is_not_said_and_what_sharing_does_not_do_is_noted() {
    let objects = [object("campaign", 1, &json!({}))];
    let noted = report(&objects, Going { is_default: true, is_near_miss: true, ..GOING });
    assert_eq!(noted.gravest(), Some(Weight::Note));
    assert!(noted.objections.iter().any(|o| o.to_string().contains("notifies no CSIRT")));
    assert!(noted.objections.iter().any(|o| o.to_string().contains("under the default, TLP:amber")));
}

#[test]
fn a_crowd_of_objections_is_counted_and_hides_no_refusal() {
    let mut objects: Vec<Object> = (0..30)
        .map(|n| {
            let many: Vec<String> = (0..20).map(|i| format!("x{i}@evil.example")).collect();
            object("campaign", n, &json!({"aliases": many}))
        })
        .collect();
    objects.push(object("campaign", 99, &json!({"description": "85.07.30-033.28"})));
    let report = report(&objects, GOING);
    assert_eq!((report.objections.len(), report.more), (MAX_OBJECTIONS, 401));
    assert_eq!(report.objections[0].weight(), Weight::Refused);
}

#[test]
fn a_reason_repeats_no_value() {
    let own = own();
    assert_eq!(reason(" the sender is the phisher ", &own).unwrap(), "the sender is the phisher");
    for (text, error) in [
        ("", ReasonError::Length),
        ("x".repeat(MAX_REASON + 1).as_str(), ReasonError::Length),
        ("\u{4e00}".repeat(MAX_REASON_BYTES / 3 + 1).as_str(), ReasonError::Length),
        ("two\nlines", ReasonError::Length),
        ("because jan@evil.example", ReasonError::Personal(Personal::Email)),
        ("about Zeus", ReasonError::Own),
        ("at bank.example", ReasonError::Own),
    ] {
        assert_eq!(reason(text, &own), Err(error), "{text}");
    }
}

#[test]
fn a_reason_holds_no_value_of_what_it_excuses() {
    let pattern = json!({"pattern": "[domain-name:value = 'evil.be' OR ipv4-addr:value = '198.51.100.7' OR mutex:name = 'go']"});
    let objects = [
        object("indicator", 1, &pattern),
        object("indicator", 2, &json!({"pattern": "[domain-name:value = 'other.be']"})),
    ];
    let of_first = passed_on(Report::default(), [(objects[0].id(), Finding::PassedOn)]);
    for text in ["we saw evil.be, too", "hxxp://EVIL[.]be/a", "198.51.100[.]7 is public", "at \u{ff45}vil.be"]
    {
        assert_eq!(repeats_none(text, &objects, &of_first), Err(ReasonError::Excused), "{text}");
    }
    for text in ["from the same feed, go", "it is notevil.bez", "other.be is public", "198.51.100.70"] {
        assert_eq!(repeats_none(text, &objects, &of_first), Ok(()), "{text}");
    }
    let beyond = Report { more: 1, ..of_first };
    assert_eq!(repeats_none("other.be is public", &objects, &beyond), Err(ReasonError::Excused));
}

#[test]
fn what_is_stated_beside_the_objects_is_read_as_they_are() {
    let before = Report::default();
    let words = [
        ("class_label", "our Price List"),
        ("handling", "description=ask jan@shop.example"),
        ("handling", "tlp=x"),
    ];
    let found = stated(before, words, &own()).objections;
    let told: Vec<(&str, Weight)> = found.iter().map(|o| (o.path.as_str(), o.weight())).collect();
    assert_eq!(told.len(), 2, "{found:?}");
    assert!(told.contains(&("class_label", Weight::Reason)) && told.contains(&("handling", Weight::Reason)));
    assert!(found.iter().all(|objection| objection.object.is_none()));
    assert_eq!(
        stated(Report::default(), [("class_label", "minutes of a meeting")], &own()),
        Report::default()
    );
}
