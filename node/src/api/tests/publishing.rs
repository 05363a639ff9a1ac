//! The ways in: TAXII's POST with its status resource, REST's publications, and DELETE (TAXII 2.1 §4.3, §5.5, §5.7).

use belfry_proto::{
    id::PublicationId,
    schema::{InformationClass as Class, Purpose},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    coalition::{CIDR, OTHER},
    site::{Put, Site, get, nothing, only, post},
};
use crate::{
    query::{Groups, Scope},
    store::Change,
};

const ADD: &str = "/taxii2/root/collections/cidr/objects/";
const SUBMIT: &str = "/api/v1/publications?group=cidr";
const TAXII: &str = "application/taxii+json;version=2.1";
const STIX: &str = "application/stix+json;version=2.1";
const VERSION: &str = "2026-01-01T00:00:00.000Z";

fn identity(n: u32) -> String {
    let id = format!("identity--00000000-0000-4000-8000-{n:012x}");
    format!(
        r#"{{"type":"identity","spec_version":"2.1","id":"{id}","created":"{VERSION}","modified":"{VERSION}","name":"CERT {n}"}}"#
    )
}

fn bundle(objects: &[String]) -> String {
    format!(
        r#"{{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000001","objects":[{}]}}"#,
        objects.join(",")
    )
}

fn envelope(objects: &[String]) -> String {
    format!(r#"{{"objects":[{}]}}"#, objects.join(","))
}

async fn publisher(site: &Site, name: &str) -> String {
    site.token(name, Scope { read: only(&[CIDR]), publish: only(&[CIDR]), ..nothing() }).await
}

/// The counts are the lists' lengths, and add up.
#[track_caller]
fn is_sound(status: &Value) {
    let listed = |name: &str| status.get(name).map_or(0, |list| list.as_array().unwrap().len() as u64);
    for (count, list) in
        [("success_count", "successes"), ("failure_count", "failures"), ("pending_count", "pendings")]
    {
        assert_eq!(status[count].as_u64(), Some(listed(list)), "{status}");
        let is_left_out = status.get(list).is_none();
        assert_eq!(is_left_out, listed(list) == 0, "an empty list is no list in TAXII: {status}");
    }
    let total = listed("successes") + listed("failures") + listed("pendings");
    assert_eq!(status["total_count"].as_u64(), Some(total), "{status}");
    assert!(Uuid::parse_str(status["id"].as_str().unwrap()).is_ok(), "{status}");
    assert!(status["request_timestamp"].as_str().unwrap().ends_with('Z'), "{status}");
}

#[tokio::test]
async fn added_objects_are_pending_until_flushed_and_then_successes() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let answer = site.send(post(&token, ADD, TAXII, envelope(&[identity(1), identity(2)]))).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (202, Some(TAXII)));
    let status = answer.json();
    is_sound(&status);
    assert_eq!((&status["status"], &status["pending_count"]), (&json!("pending"), &json!(2)));
    let first = &status["pendings"][0];
    assert_eq!(first["id"], "identity--00000000-0000-4000-8000-000000000001");
    assert_eq!(first["version"], VERSION);

    let id = status["id"].as_str().unwrap().to_owned();
    let path = format!("/taxii2/root/status/{id}/");
    assert_eq!(site.get(&token, &path).await.ok(), status);

    let publication = PublicationId::new(Uuid::parse_str(&id).unwrap().into_bytes());
    site.store.commit(Change::Flushed { publication, envelopes: Vec::new() }).await.unwrap();
    let status = site.get(&token, &path).await.ok();
    is_sound(&status);
    assert_eq!((&status["status"], &status["success_count"]), (&json!("complete"), &json!(2)));
}

#[tokio::test]
async fn refused_objects_are_failures_that_say_why() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let status = site.send(post(&token, ADD, TAXII, envelope(&[identity(1)]))).await.json();
    let id = status["id"].as_str().unwrap();
    let publication = PublicationId::new(Uuid::parse_str(id).unwrap().into_bytes());
    let error = "recipient may no longer read the group".to_owned();
    site.store.commit(Change::DraftFailed { publication, error: error.clone() }).await.unwrap();
    let status = site.get(&token, &format!("/taxii2/root/status/{id}/")).await.ok();
    is_sound(&status);
    assert_eq!((&status["status"], &status["failure_count"]), (&json!("complete"), &json!(1)));
    assert_eq!(status["failures"][0]["message"], json!(error));
    let rest = site.get(&token, &format!("/api/v1/publications/{publication}")).await.ok();
    assert_eq!((&rest["state"], &rest["error"]), (&json!("refused"), &json!(error)));
}

#[tokio::test]
async fn what_is_no_envelope_is_not_taken_for_one() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let bad_id = identity(1).replace("identity--00000000", "identity--x");
    for (body, status) in [
        (bundle(&[identity(1)]), 422),
        (identity(1), 422),
        (r#"{"objects":[]}"#.to_owned(), 422),
        ("{}".to_owned(), 422),
        ("[]".to_owned(), 422),
        (r#"{"objects":{}}"#.to_owned(), 422),
        (r#"{"objects":[1]}"#.to_owned(), 422),
        (envelope(&[bad_id]), 422),
        (envelope(&[identity(1), identity(1).replace("CERT 1", "another")]), 422),
        (envelope(&[bundle(&[identity(1)])]), 422),
        (r#"{"objects":[{"#.to_owned(), 400),
        ("not json".to_owned(), 400),
        (String::new(), 400),
    ] {
        let answer = site.send(post(&token, ADD, TAXII, body.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.json()["http_status"], json!(status.to_string()));
    }
    assert!(site.store.queued(10).unwrap().is_empty(), "nothing of them is kept");
}

/// A TAXII client cannot state a class, and nothing of the nine is in an identity or a note.
#[tokio::test]
async fn a_bundle_whose_types_say_no_class_goes_out_as_other_under_their_names() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let note = format!(
        r#"{{"type":"note","spec_version":"2.1","id":"note--00000000-0000-4000-8000-000000000001","created":"{VERSION}","modified":"{VERSION}","content":"see","object_refs":["identity--00000000-0000-4000-8000-000000000001"]}}"#
    );
    assert_eq!(site.send(post(&token, ADD, TAXII, envelope(&[note, identity(1)]))).await.status, 202);
    let publication = site.store.queued(1).unwrap()[0];
    let draft = site.store.draft(publication).unwrap().unwrap();
    let payload = belfry_proto::envelope::payload::parse(&draft.parts[0]).unwrap();
    assert_eq!(payload.classes, [belfry_proto::schema::InformationClass::Other]);
    assert_eq!(payload.class_label.as_deref(), Some("identity, note"));
}

/// An identity that states something of itself; STIX knows no class for those.
fn stating(n: u32, said: &Value) -> String {
    let mut object: Value = serde_json::from_str(&identity(n)).unwrap();
    let mut extension = json!({ "extension_type": "property-extension" });
    extension.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    object["extensions"] = json!({ (belfry_proto::stix::extension::ID): extension });
    object.to_string()
}

#[tokio::test]
async fn a_word_in_an_object_that_is_none_is_refused_with_object_property_and_rule() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    for path in [ADD, SUBMIT] {
        let wrong = stating(1, &json!({ "information_class": "gossip" }));
        let (media, body) = if path == ADD { (TAXII, envelope(&[wrong])) } else { (STIX, bundle(&[wrong])) };
        let answer = site.send(post(&token, path, media, body)).await;
        assert_eq!(answer.status, 422, "{path}");
        let text = String::from_utf8(answer.body).unwrap();
        for part in ["identity--00000000-0000-4000-8000-000000000001", ".information_class", "near-miss"] {
            assert!(text.contains(part), "{path}: {text}");
        }
    }
    assert!(site.store.queued(10).unwrap().is_empty(), "nothing of them is kept");
}

#[tokio::test]
async fn a_message_is_of_the_classes_stated_beside_its_objects_and_in_them_and_a_contradiction_is_told() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let body = bundle(&[
        stating(1, &json!({ "information_class": "alert", "purpose": "respond" })),
        stating(2, &json!({ "information_class": "other", "class_label": "minutes" })),
        identity(3),
    ]);
    let payload = |publication| {
        let draft = site.store.draft(publication).unwrap().unwrap();
        belfry_proto::envelope::payload::parse(&draft.parts[0]).unwrap()
    };
    for (query, classes, purpose, notes) in [
        ("", vec![Class::Alert, Class::Other], Purpose::Detect, vec![]),
        ("&class=alert&purpose=respond", vec![Class::Alert, Class::Other], Purpose::Respond, vec!["class"]),
        (
            "&class=tactic&purpose=recover",
            vec![Class::Tactic, Class::Alert, Class::Other],
            Purpose::Recover,
            vec!["class", "purpose"],
        ),
    ] {
        let path = format!("{SUBMIT}{query}");
        let answer = site.send(post(&token, &path, STIX, body.clone())).await;
        assert_eq!(answer.status, 202, "{query}: {}", String::from_utf8_lossy(&answer.body));
        let accepted = answer.json();
        let id = Uuid::parse_str(accepted["publication"].as_str().unwrap()).unwrap();
        let said = payload(PublicationId::new(id.into_bytes()));
        assert_eq!((said.classes, said.purpose), (classes, purpose), "{query}");
        assert_eq!(said.class_label.as_deref(), Some("minutes"), "{query}");
        let told: Vec<&str> =
            accepted["notes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let told: Vec<&&str> = told.iter().filter(|note| note.contains("than the submission")).collect();
        assert_eq!(told.len(), notes.len(), "{query}: {accepted}");
        assert!(told.iter().zip(notes).all(|(note, what)| note.contains(what)), "{query}: {accepted}");
    }
}

#[tokio::test]
async fn adding_what_is_there_is_success() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    site.put(&[Put::indicator(1)]).await;
    let there = Put::indicator(1);
    let object = format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"{}","created":"{VERSION}","modified":"{VERSION}","pattern":"[ipv4-addr:value = '198.51.100.7']","pattern_type":"stix","valid_from":"{VERSION}"}}"#,
        there.id
    );
    for _ in 0..2 {
        let answer = site.send(post(&token, ADD, TAXII, envelope(std::slice::from_ref(&object)))).await;
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    }
}

#[tokio::test]
async fn a_status_is_its_own_tokens_and_the_admins() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let other = publisher(&site, "other").await;
    let admin = site.token("admin", Scope::operator()).await;
    let elsewhere = site.token("elsewhere", Scope { publish: Groups::NONE, ..Scope::operator() }).await;
    let status = site.send(post(&token, ADD, TAXII, envelope(&[identity(1)]))).await.json();
    let id = status["id"].as_str().unwrap();
    let path = format!("/taxii2/root/status/{id}/");
    for (who, status) in [(&token, 200), (&admin, 200), (&other, 404), (&elsewhere, 403)] {
        assert_eq!(site.get(who, &path).await.status.as_u16(), status);
    }
    for unknown in [Uuid::new_v4().to_string(), "x".to_owned(), "%00".to_owned()] {
        assert_eq!(
            site.get(&token, &format!("/taxii2/root/status/{unknown}/")).await.status,
            404,
            "{unknown}"
        );
    }
}

#[tokio::test]
async fn a_publication_is_durable_before_the_answer_and_followed_by_its_url() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let answer = site.send(post(&token, SUBMIT, STIX, bundle(&[identity(1), identity(2)]))).await;
    assert_eq!(answer.status, 202);
    let accepted = answer.json();
    assert_eq!((&accepted["objects"], &accepted["duplicate"]), (&json!(2), &json!(false)));
    assert_eq!(answer.header("location"), accepted["status_url"].as_str());
    assert_eq!(site.store.queued(10).unwrap().len(), 1);
    let followed = site.get(&token, accepted["status_url"].as_str().unwrap()).await.ok();
    assert_eq!(followed["state"], "drafted");
    assert_eq!(followed["object_ids"], accepted["object_ids"]);
    assert_eq!(followed["readable_only_here"], true);
}

#[tokio::test]
async fn an_idempotency_key_makes_one_publication_of_many_tries() {
    let site = Site::new().await;
    let [token, other] = [publisher(&site, "soar").await, publisher(&site, "other").await];
    let keyed = |token: &str, body: String, key: &'static str| {
        let mut request = post(token, SUBMIT, STIX, body);
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        request
    };
    let one = site.send(keyed(&token, bundle(&[identity(1)]), "k")).await.json();
    let again = site.send(keyed(&token, bundle(&[identity(1)]), "k")).await.json();
    assert_eq!((&again["publication"], &again["duplicate"]), (&one["publication"], &json!(true)));
    let changed = site.send(keyed(&token, bundle(&[identity(2)]), "k")).await;
    assert_eq!((changed.status.as_u16(), changed.code().as_str()), (409, "idempotency-key-reused"));
    let theirs = site.send(keyed(&other, bundle(&[identity(2)]), "k")).await;
    assert_eq!(theirs.status, 202, "keys of two tokens do not meet");
    assert_eq!(site.store.queued(10).unwrap().len(), 2);
    for key in ["", &"k".repeat(201)] {
        let mut request = post(&token, SUBMIT, STIX, bundle(&[identity(1)]));
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        assert_eq!(site.send(request).await.status, 400, "{key}");
    }
}

#[tokio::test]
async fn an_envelope_that_is_sent_again_under_its_key_is_one_publication() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let keyed = async |body: String, key: Option<&'static str>| {
        let mut request = post(&token, ADD, TAXII, body);
        if let Some(key) = key {
            request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        }
        site.send(request).await
    };
    let one = keyed(envelope(&[identity(1)]), Some("k")).await.json();
    let again = keyed(envelope(&[identity(1)]), Some("k")).await;
    assert_eq!((again.status.as_u16(), &again.json()["id"]), (202, &one["id"]));
    let changed = keyed(envelope(&[identity(2)]), Some("k")).await;
    assert_eq!((changed.status.as_u16(), changed.code().as_str()), (409, "idempotency-key-reused"));
    assert_eq!(keyed(envelope(&[identity(1)]), Some("")).await.status, 400);
    // Without one, each is of its own.
    let other = keyed(envelope(&[identity(1)]), None).await.json();
    assert_ne!(other["id"], one["id"]);
    assert_eq!(site.store.queued(10).unwrap().len(), 2);
}

/// The same key with another purpose, class or marking is another submission as well.
#[tokio::test]
async fn an_idempotency_key_stands_for_everything_that_was_said() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let keyed = |query: &str| {
        let mut request = post(&token, &format!("{SUBMIT}{query}"), STIX, bundle(&[identity(1)]));
        request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        request
    };
    assert_eq!(
        site.send(keyed("&tlp=amber&purpose=detect&class=other&class_label=a&pap=amber")).await.status,
        202
    );
    assert_eq!(
        site.send(keyed("&tlp=amber&purpose=detect&class=other&class_label=a&pap=amber")).await.status,
        202
    );
    for changed in [
        "&tlp=green&purpose=detect&class=other&class_label=a&pap=amber",
        "&tlp=amber&purpose=respond&class=other&class_label=a&pap=amber",
        "&tlp=amber&purpose=detect&class=alert&class_label=a&pap=amber",
        "&tlp=amber&purpose=detect&class=other&class_label=b&pap=amber",
        "&tlp=amber&purpose=detect&class=other&class_label=a&pap=red",
        "&tlp=amber&purpose=detect&class=other&class_label=a",
        "&tlp=amber&purpose=detect&class=other&class_label=a&pap=amber&without_supervisors",
    ] {
        assert_eq!(site.send(keyed(changed)).await.status, 409, "{changed}");
    }
    assert_eq!(site.store.queued(10).unwrap().len(), 1);
}

#[tokio::test]
async fn parameters_are_typed_and_refused_with_what_was_expected() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    for (query, status, code) in [
        ("?tlp=amber", 400, "bad-parameter"),
        ("?group=", 404, "unknown-group"),
        ("?group=cidr&tlp=purple", 400, "bad-parameter"),
        ("?group=cidr&purpose=fun", 400, "bad-parameter"),
        ("?group=cidr&class=gossip", 400, "bad-parameter"),
        ("?group=cidr&pap=black", 400, "bad-parameter"),
        ("?group=cidr&to=Nobody", 422, "unknown-member"),
        ("?group=cidr&tlp=red", 422, "red-without-recipients"),
        ("?group=cidr&without_supervisors=maybe", 400, "bad-parameter"),
        ("?group=cidr&colour=red", 400, "bad-parameter"),
        ("?group=nobody", 404, "unknown-group"),
        ("?group=cloud-security", 403, "group-not-publishable"),
    ] {
        let answer = site
            .send(post(&token, &format!("/api/v1/publications{query}"), STIX, bundle(&[identity(1)])))
            .await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{query}");
    }
    let nobody =
        site.send(post(&token, "/api/v1/publications?group=nobody", STIX, bundle(&[identity(1)]))).await;
    assert!(nobody.json()["detail"].as_str().unwrap().ends_with("may ask for cidr"), "{}", nobody.json());
    let operator = site.token("operator", Scope::operator()).await;
    let listed = site.get(&operator, "/api/v1/objects?group=nobody").await.json();
    let own = "may ask for cloud-security, cidr";
    assert!(listed["detail"].as_str().unwrap().ends_with(own), "those that this node is in: {listed}");
    let to = format!("{SUBMIT}&tlp=red&to=Member+2&to={OTHER}");
    assert_eq!(site.send(post(&token, &to, STIX, bundle(&[identity(1)]))).await.status, 202);
    let bad = bundle(&[identity(1).replace("\"name\":\"CERT 1\"", "\"name\":7")]);
    let answer = site.send(post(&token, SUBMIT, STIX, bad)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "bad-content"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("name"), "{}", answer.json());
    assert_eq!(site.store.queued(10).unwrap().len(), 1);
}

fn delete(token: &str, path: &str) -> axum::http::Request<axum::body::Body> {
    let request = get(path).method("DELETE").header("authorization", format!("Bearer {token}"));
    request.body(axum::body::Body::empty()).unwrap()
}

#[tokio::test]
async fn deleting_an_object_withdraws_it_and_keeps_what_came_with_it() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let message = site.say(&[&identity(1), &identity(2)]).await;
    let others = site.put(&[Put { member: OTHER, ..Put::indicator(3) }]).await;
    let path = |id: &str| format!("{ADD}{id}/");
    let first = "identity--00000000-0000-4000-8000-000000000001";
    let answer = site.send(delete(&token, &path(first))).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "TAXII 2.1 §5.7: nothing to say");
    let queued = site.store.queued(10).unwrap();
    let draft = site.store.draft(queued[0]).unwrap().unwrap();
    let withdraws = draft.withdraws.unwrap();
    assert_eq!((queued.len(), withdraws.targets), (1, vec![message]));
    assert_eq!(withdraws.mode, belfry_proto::schema::WithdrawalMode::Retract);
    assert_eq!((draft.objects.len(), draft.parts.len(), draft.part_count), (1, 1, 2));
    assert!(draft.objects[0].0.ends_with('2'), "the other one goes out again");
    let reader = Scope { publish: Groups::NONE, ..Scope::operator() };
    let reader = site.token("reader", reader).await;
    for (token, id, query, status, code) in [
        (&token, Put::indicator(3).id.as_str(), "", 403, "not-yours"),
        (&token, "identity--00000000-0000-4000-8000-00000000dead", "", 404, "unknown-object"),
        (&token, first, "?match[version]=newest", 400, "bad-parameter"),
        (&token, first, "?match[version]=2020-01-01T00:00:00Z", 404, "unknown-object"),
        (&token, Put::indicator(3).id.as_str(), "?match[version]=last", 403, "not-yours"),
        (&reader, first, "", 403, "scope-missing"),
    ] {
        let answer = site.send(delete(token, &format!("{}{query}", path(id)))).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{id}{query}");
    }
    assert_eq!((site.store.queued(10).unwrap().len(), site.store.has_message(others).unwrap()), (1, true));
}

#[tokio::test]
async fn deleting_some_versions_takes_back_those_and_says_the_others_again() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let of = |day: u8| {
        let modified = format!(r#""modified":"2026-02-0{day}T00:00:00.000Z""#);
        identity(1).replace(&format!(r#""modified":"{VERSION}""#), &modified)
    };
    let (one, two, three) = (of(1), of(2), of(3));
    let both = site.say(&[&one, &two, &identity(2)]).await;
    let newest = site.say(&[&three]).await;
    // Another member's version of it is not this one's to take back, and does not count as the last.
    let four = serde_json::from_str::<Value>(&of(4)).unwrap();
    site.put(&[Put::json(four).by(OTHER)]).await;
    let mut before = std::collections::BTreeSet::new();
    let other = |name: &str| format!("2026-02-0{name}T00:00:00.000Z");
    for (wanted, targets, again) in [
        ("last", vec![newest], vec![]),
        ("first", vec![both], vec![other("2"), VERSION.to_owned()]),
        ("2026-02-02T00:00:00Z", vec![both], vec![other("1"), VERSION.to_owned()]),
        ("first,last", vec![both, newest], vec![other("2"), VERSION.to_owned()]),
        ("all", vec![both, newest], vec![VERSION.to_owned()]),
    ] {
        let path = format!("{ADD}identity--00000000-0000-4000-8000-000000000001/?match[version]={wanted}");
        assert_eq!(site.send(delete(&token, &path)).await.status, 200, "{wanted}");
        let queued = site.store.queued(10).unwrap();
        let new: Vec<_> = queued.into_iter().filter(|draft| before.insert(*draft)).collect();
        let draft = site.store.draft(new[0]).unwrap().unwrap();
        let expected: std::collections::BTreeSet<_> = targets.into_iter().collect();
        let named: std::collections::BTreeSet<_> = draft.withdraws.unwrap().targets.into_iter().collect();
        assert_eq!((new.len(), named), (1, expected), "{wanted}");
        let mut versions: Vec<String> = draft.objects.into_iter().map(|(_, version)| version).collect();
        let mut again = again;
        versions.sort();
        again.sort();
        assert_eq!(versions, again, "{wanted}");
    }
}

#[tokio::test]
async fn however_many_versions_others_say_a_member_takes_back_each_of_its_own() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let at = |month: u32, n: u32| format!("2026-{month:02}-01T00:{:02}:{:02}.000Z", n / 60, n % 60);
    let of = |modified: &str| {
        let modified = format!(r#""modified":"{modified}""#);
        identity(1).replace(&format!(r#""modified":"{VERSION}""#), &modified)
    };
    let own: Vec<String> = (0..60).map(|n| at(2, n)).collect();
    let said: Vec<String> = own.iter().map(|version| of(version)).collect();
    site.say(&said.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let others = (0..1_100).map(|n| Put::json(serde_json::from_str(&of(&at(3, n))).unwrap()).by(OTHER));
    site.message(CIDR, OTHER, &others.collect::<Vec<_>>()).await;
    let path = |query: &str| format!("{ADD}identity--00000000-0000-4000-8000-000000000001/{query}");
    for version in &own {
        let answer = site.send(delete(&token, &path(&format!("?match[version]={version}")))).await;
        assert_eq!(answer.status, 200, "{version}");
    }
    let answer = site.send(delete(&token, &path("?match[version]=2026-03-01T00:00:07Z"))).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (404, "unknown-object"),
        "the other's alone"
    );
    assert_eq!(site.store.queued(100).unwrap().len(), own.len());
}

#[tokio::test]
async fn a_withdrawal_names_what_goes_on_saying_the_same() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let first = site.say(&[&identity(1), &identity(2)]).await;
    let second = site.say(&[&identity(2), &identity(3)]).await;
    site.put(&[Put { member: OTHER, ..Put::indicator(3) }]).await;
    let withdraw = async |named: Value| {
        let mut wanted = json!({ "group": "cidr", "mode": "retract" });
        wanted.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
        let answer = post(&token, "/api/v1/withdrawals", "application/json", wanted.to_string());
        let answer = site.send(answer).await;
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["remains"].clone()
    };
    let remains = withdraw(json!({ "messages": [first] })).await;
    let shared = "identity--00000000-0000-4000-8000-000000000002";
    assert_eq!(
        (remains.as_array().unwrap().len(), &remains[0]["group"], &remains[0]["objects"]),
        (1, &json!("cidr"), &json!([shared])),
        "{remains}"
    );
    // Named itself it goes by every message that says it.
    assert_eq!(withdraw(json!({ "objects": [shared] })).await, json!([]));
    assert_eq!(withdraw(json!({ "messages": [first, second] })).await, json!([]));
}

#[tokio::test]
async fn a_withdrawal_says_what_is_wrong_with_it() {
    let site = Site::new().await;
    let token = publisher(&site, "soar").await;
    let own = site.say(&[&identity(1)]).await;
    let foreign = site.put(&[Put { member: OTHER, ..Put::indicator(3) }]).await;
    let unknown = "77".repeat(32);
    let ask = |body: String| post(&token, "/api/v1/withdrawals", "application/json", body);
    for (body, status, code) in [
        (format!(r#"{{"group":"cidr","mode":"retract","messages":["{unknown}"]}}"#), 422, "unknown-message"),
        (format!(r#"{{"group":"cidr","mode":"retract","messages":["{foreign}"]}}"#), 422, "not-withdrawable"),
        (format!(r#"{{"group":"cidr","mode":"lift","messages":["{own}"]}}"#), 422, "not-liftable"),
        (r#"{"group":"cidr","mode":"retract","messages":[]}"#.to_owned(), 422, "bad-withdrawal"),
        (r#"{"group":"cidr","mode":"retract"}"#.to_owned(), 422, "bad-withdrawal"),
        (format!(r#"{{"group":"cidr","mode":"hide","messages":["{own}"]}}"#), 400, "bad-parameter"),
        (
            format!(r#"{{"group":"cidr","mode":"erase","ground":"x","messages":["{own}"]}}"#),
            400,
            "bad-parameter",
        ),
        (
            format!(r#"{{"group":"cloud-security","mode":"erase","messages":["{own}"]}}"#),
            403,
            "group-not-publishable",
        ),
        (format!(r#"{{"group":"nowhere","mode":"erase","messages":["{own}"]}}"#), 404, "unknown-group"),
        (
            format!(r#"{{"group":"cidr","mode":"erase","publication":"{}"}}"#, "00".repeat(16)),
            422,
            "unknown-publication",
        ),
        (r#"{"group":"cidr","mode":"erase","objects":["indicator--x"]}"#.to_owned(), 422, "unknown-object"),
    ] {
        let answer = site.send(ask(body.clone())).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{body}");
    }
    assert_eq!(site.store.queued(10).unwrap().len(), 0, "nothing is kept of it");
    let body = format!(r#"{{"group":"cidr","mode":"erase","ground":"personal-data","messages":["{own}"]}}"#);
    let answer = site.send(ask(body)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["targets"][0].as_str()),
        (202, Some(own.to_string().as_str()))
    );
    let follow = answer.json()["status_url"].as_str().unwrap().to_owned();
    assert_eq!(site.get(&token, &follow).await.ok()["state"], "drafted");
}

#[tokio::test]
async fn tokens_are_made_shown_once_listed_and_revoked() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope { admin: true, ..nothing() }).await;
    let make = |body: &str| post(&admin, "/api/v1/tokens", "application/json", body.to_owned());
    let made = site.send(make(r#"{"name":"siem","read":["cidr"],"max_tlp":"green"}"#)).await;
    assert_eq!(made.status, 201);
    let (text, id) = (made.json()["token"].as_str().unwrap().to_owned(), made.json()["id"].clone());
    assert_eq!(site.get(&text, "/taxii2/root/collections/cidr/objects/").await.status, 200);
    let listed = site.get(&admin, "/api/v1/tokens").await.ok();
    assert!(!listed.to_string().contains(&text) && listed.to_string().contains("siem"), "{listed}");
    for (body, status) in [
        (r#"{"name":"siem","read":["cidr"]}"#, 409),
        (r#"{"name":"","read":["cidr"]}"#, 422),
        (r#"{"name":"a b","read":["cidr"]}"#, 422),
        (r#"{"name":"x"}"#, 422),
        (r#"{"name":"x","read":["nobody"]}"#, 422),
        (r#"{"name":"x","read":["cidr"],"max_tlp":"red"}"#, 422),
        (r#"{"name":"x","read":["cidr"],"max_tlp":"green","red":true}"#, 422),
        (r#"{"name":"x","read":["cidr"],"expires":"2001-01-01T00:00:00Z"}"#, 422),
        (r#"{"name":"x","read":["cidr"],"colour":"red"}"#, 422),
        (r#"{"name":"x""#, 400),
    ] {
        assert_eq!(site.send(make(body)).await.status.as_u16(), status, "{body}");
    }
    let revoke = |id: &str| {
        let request = get(&format!("/api/v1/tokens/{id}")).method("DELETE");
        request.header("authorization", format!("Bearer {admin}")).body(axum::body::Body::empty()).unwrap()
    };
    assert_eq!(site.send(revoke(id.as_str().unwrap())).await.status, 204);
    assert_eq!(site.get(&text, "/taxii2/root/collections/cidr/objects/").await.status, 401);
    for unknown in [id.as_str().unwrap(), "x", "0000000000000000"] {
        assert_eq!(site.send(revoke(unknown)).await.status, 404, "{unknown}");
    }
}
