//! How an event's objects relate.

use super::*;

#[test]
fn relations_of_an_events_objects_are_told_where_each_end_is_one_thing() {
    let red = json!({"Tag": [{"name": "tlp:red"}]});
    let to = |n: u8, kind: &str, more: &Value| {
        let mut reference = json!({"uuid": format!("{UUID}{:02}", n + 20), "referenced_uuid": format!("{UUID}{n:02}"),
            "relationship_type": kind, "timestamp": "1763800009"});
        reference.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        reference
    };
    let more = json!({"Object": [
        {"name": "file", "uuid": format!("{UUID}40"), "Attribute": [
            attribute(10, "filename", "a.exe", &json!({})), attribute(11, "md5", &"ab".repeat(16), &json!({}))],
         "ObjectReference": [
            to(41, "downloaded_from", &json!({"comment": "as seen"})), to(12, "Connects to", &json!({})),
            to(42, "contains", &json!({})), to(41, "targets", &json!({"deleted": true})), to(90, "drops", &json!({}))]},
        {"name": "url", "uuid": format!("{UUID}41"), "Attribute": [
            attribute(13, "url", "http://evil.example/", &red), attribute(14, "text", "x", &json!({"object_relation": "path"}))],
         "ObjectReference": [to(41, "related-to", &json!({}))]},
        {"name": "domain-ip", "uuid": format!("{UUID}42"), "Attribute": [
            attribute(15, "domain", "a.example", &json!({})), attribute(16, "domain", "b.example", &json!({}))]},
    ]});
    let found =
        import(Format::Misp, &event(&json!([attribute(12, "domain", "c2.example", &json!({}))]), &more));
    assert_eq!(
        skipped(&found),
        [
            "Event.Object[1].Attribute[1] is of type text, which tells nothing to look for",
            "Event.Object[0].ObjectReference[3] was deleted at its source",
            "Event.Object[0] has relations that are left out (2): at one end or the other stands not one thing",
            "Event.Object[1] has relations that are left out (1): at one end or the other stands not one thing",
        ]
    );
    let objects = objects(found);
    let file = objects.iter().find(|object| object.kind() == "file").unwrap().id();
    let related =
        |n: u8| objects.iter().find(|object| object.id() == format!("relationship--{UUID}{n}")).unwrap();
    let said = related(61).properties();
    assert_eq!(
        (&said["relationship_type"], &said["source_ref"], &said["target_ref"], &said["description"]),
        (&json!("downloaded-from"), &json!(file), &json!(format!("indicator--{UUID}13")), &json!("as seen"))
    );
    assert_eq!(said["created"], "2025-11-22T08:26:49.000Z");
    assert_eq!(related(61).marking_refs(), [Tlp::Red.marking_id()], "as closed as its more closed end");
    let said = related(32).properties();
    assert_eq!(
        (&said["relationship_type"], &said["target_ref"]),
        (&json!("connects-to"), &json!(format!("indicator--{UUID}12")))
    );
    assert!(related(32).marking_refs().is_empty());
    objects.iter().for_each(|object| crate::stix::strict::check(object).unwrap());
}

#[test]
fn a_relation_is_as_new_as_the_newest_of_itself_and_what_it_binds() {
    let reference = json!({"uuid": format!("{UUID}61"), "referenced_uuid": format!("{UUID}12"),
        "relationship_type": "drops", "timestamp": "1763800009"});
    let told = |file: &str, other: &str| {
        let object = json!({"name": "file", "uuid": format!("{UUID}40"), "ObjectReference": [reference], "Attribute": [
            attribute(10, "filename", "a.exe", &json!({"timestamp": file})),
            attribute(11, "md5", &"ab".repeat(16), &json!({}))]});
        let other = attribute(12, "domain", "c2.example", &json!({"timestamp": other}));
        let found = objects(import(Format::Misp, &event(&json!([other]), &json!({"Object": [object]}))));
        let related = found.iter().find(|object| object.id() == format!("relationship--{UUID}61")).unwrap();
        let said = related.properties();
        (said["created"].clone(), said["modified"].clone())
    };
    let (said, newer) = (json!("2025-11-22T08:26:49.000Z"), json!("2025-11-22T08:26:50.000Z"));
    assert_eq!(told("1763800001", "1763800001"), (said.clone(), said.clone()));
    assert_eq!(told("1763800010", "1763800001"), (said.clone(), newer.clone()));
    assert_eq!(told("1763800001", "1763800010"), (said, newer));
}
