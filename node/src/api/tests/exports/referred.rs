//! What a bundle brings beside its indicators.

use belfry_proto::{schema::Pap, stix::marking::Tlp};
use serde_json::{Value, json};

use super::{
    super::{
        coalition::{CLOUD, OTHER},
        site::{Put, Site},
    },
    profiles,
};
use crate::store::Conditions;

const VERSION: &str = "2026-01-01T00:00:00.000Z";

fn identity(n: u32) -> Put {
    let id = format!("identity--00000000-0000-4000-8000-{n:012x}");
    let identity = json!({
        "type": "identity", "spec_version": "2.1", "id": id, "created": VERSION, "modified": VERSION,
        "name": format!("CERT {n}"),
    });
    Put::json(identity).tlp(Tlp::Green)
}

fn statement() -> Put {
    let definition = json!({
        "type": "marking-definition", "spec_version": "2.1",
        "id": "marking-definition--00000000-0000-4000-8000-000000000001", "created": VERSION,
        "definition_type": "statement", "definition": { "statement": "Copyright" },
    });
    Put::json(definition).tlp(Tlp::Green)
}

fn by(n: u32, more: &Value) -> Put {
    let mut all = json!({ "created_by_ref": identity(n).id });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Put::pattern(n, &format!("[domain-name:value = 'c{n}.be']"), &all).tlp(Tlp::Green)
}

impl Site {
    /// Ids in a bundle besides TLP's definitions, in order.
    async fn bundled(&self, token: &str, export: &str) -> Vec<String> {
        let bundle: Value = serde_json::from_str(&self.text(token, export).await).unwrap();
        let mut ids: Vec<String> = bundle["objects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        ids.retain(|id| Tlp::ALL.iter().all(|tlp| tlp.marking_id() != id));
        ids.sort();
        ids
    }
}

#[tokio::test]
async fn a_bundle_brings_who_created_its_objects_and_by_what_they_are_marked_as_far_as_these_may_leave() {
    let outside = "audience = \"outside\"";
    let site =
        Site::exporting(&profiles(&[("in", "stix", "groups = [\"cidr\"]"), ("out", "stix", outside)])).await;
    let token = site.reader().await;
    let hidden = Conditions { terms: vec!["attribution=must-not".to_owned()], ..Conditions::default() };
    let marked = by(1, &json!({ "object_marking_refs": [statement().id] }));
    site.put(&[
        identity(1),
        statement(),
        marked.clone(),
        // Said again more narrowly, which takes nothing back.
        identity(1).tlp(Tlp::AmberStrict),
        // Not to others.
        identity(2).tlp(Tlp::AmberStrict),
        by(2, &json!({})),
        // Named to nobody.
        identity(3),
        Put { conditions: hidden, ..by(3, &json!({})) },
        // Of another group, and of none that is here.
        Put { group: CLOUD, ..identity(4) },
        by(4, &json!({})),
        by(5, &json!({})),
        // What permits no blocking is named all the same.
        Put { pap: Pap::Red.into(), ..identity(6) },
        by(6, &json!({})),
        identity(7),
    ])
    .await;
    let all = |with: &[Put]| {
        let mut ids: Vec<String> = (1..=6).map(|n| Put::indicator(n).id).collect();
        ids.extend(with.iter().map(|put| put.id.clone()));
        ids.sort();
        ids
    };
    assert_eq!(site.bundled(&token, "in").await, all(&[identity(1), identity(2), identity(6), statement()]));
    assert_eq!(site.bundled(&token, "out").await, all(&[identity(1), identity(6), statement()]));
}

#[tokio::test]
async fn whose_statement_a_marking_is_no_bundle_tells_where_its_author_must_not_be_named() {
    let site = Site::exporting(&profiles(&[("out", "stix", "audience = \"outside\"")])).await;
    let token = site.reader().await;
    let hidden = Conditions { terms: vec!["attribution=must-not".to_owned()], ..Conditions::default() };
    let marked = by(1, &json!({ "object_marking_refs": [statement().id] }));
    site.put(&[identity(1), Put { conditions: hidden, ..statement() }, marked.clone()]).await;
    assert_eq!(site.bundled(&token, "out").await, [identity(1).id, marked.id]);
}

#[tokio::test]
async fn another_member_keeps_no_name_or_marking_out_of_a_bundle_by_saying_it_again() {
    let config = [("in", "stix", ""), ("out", "stix", "audience = \"outside\"")];
    let site = Site::exporting(&profiles(&config)).await;
    let token = site.reader().await;
    let hidden = Conditions { terms: vec!["attribution=must-not".to_owned()], ..Conditions::default() };
    let marked = by(1, &json!({ "object_marking_refs": [statement().id] }));
    site.put(&[identity(1), statement(), marked.clone()]).await;
    for said in [identity(1), statement()] {
        site.put(&[Put { conditions: hidden.clone(), ..said.by(OTHER) }]).await;
    }
    for export in ["in", "out"] {
        let all = [identity(1).id, marked.id.clone(), statement().id];
        assert_eq!(site.bundled(&token, export).await, all, "{export}");
    }
}

#[tokio::test]
async fn what_others_say_openly_does_not_tell_whose_an_object_is_whose_author_must_not_be_named() {
    let config = [("in", "stix", ""), ("out", "stix", "audience = \"outside\"")];
    let site = Site::exporting(&profiles(&config)).await;
    let token = site.reader().await;
    let hidden = Conditions { terms: vec!["attribution=must-not".to_owned()], ..Conditions::default() };
    let marked = |n: u32| by(n, &json!({ "object_marking_refs": [statement().id] }));
    site.put(&[
        Put { conditions: hidden.clone(), ..marked(1) },
        // The same words, said openly by somebody, and needed by an open object of his.
        identity(1),
        statement(),
        marked(2).by(OTHER),
        identity(2).by(OTHER),
        // Who is named in a message that must name nobody is not told by way of an open one.
        Put { conditions: hidden, ..identity(3) },
        by(3, &json!({})).by(OTHER),
    ])
    .await;
    let mut all: Vec<String> = (1..=3).map(|n| Put::indicator(n).id).collect();
    all.extend([identity(2).id, statement().id]);
    all.sort();
    for export in ["in", "out"] {
        assert_eq!(site.bundled(&token, export).await, all, "{export}");
        let bundle: Value = serde_json::from_str(&site.text(&token, export).await).unwrap();
        let objects = bundle["objects"].as_array().unwrap();
        let refs = |n: u32| {
            let id = Put::indicator(n).id;
            objects.iter().find(|object| object["id"] == json!(id)).unwrap()["object_marking_refs"].clone()
        };
        assert_eq!(refs(1), json!([Tlp::Green.marking_id()]), "{export}");
        assert_eq!(refs(2), json!([statement().id]), "{export}");
    }
}

/// Nothing is written when an embargo ends, so the bundle itself has to know.
#[tokio::test]
async fn a_bundle_holds_no_longer_than_the_embargo_on_what_its_objects_refer_to() {
    let site = Site::exporting(&profiles(&[("out", "stix", "audience = \"outside\"")])).await;
    let token = site.reader().await;
    let ends = crate::clock::now().saturating_add(std::time::Duration::from_secs(3600));
    let conditions = Conditions { embargo_until: ends.as_micros(), ..Conditions::default() };
    site.put(&[Put { conditions, ..identity(1) }, by(1, &json!({}))]).await;
    let principal = site.query.tokens().verify(&token, crate::clock::now()).unwrap();
    let made = site.query.export(&principal, "out").await.unwrap();
    assert_eq!((made.objects.len(), made.referred.len(), made.changes), (1, 0, ends));
}
