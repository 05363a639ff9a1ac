//! Finding a person: everywhere it is named, told by its place, and by no way that a packet takes.

use belfry_proto::{schema::WithdrawalMode, stix::marking::Tlp};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, CLOUD, OTHER, OWN},
    contacts,
    site::{Put, Site, post},
};
use crate::{api::connection::Caller, query::Scope};

const SEARCH: &str = "/api/v1/subject-searches";
const JSON: &str = "application/json";
const MAILBOX: &str = "jan.peeters@bank.example";

fn naming(n: u32, text: &str) -> Put {
    let id = format!("campaign--00000000-0000-4000-8000-{n:012x}");
    Put::json(
        json!({"type": "campaign", "spec_version": "2.1", "id": id, "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z", "name": "c", "description": text}),
    )
}

/// Every step of a search, as the command line takes them.
async fn search(site: &Site, token: &str, values: &[&str]) -> Vec<Value> {
    let (mut hits, mut next) = (Vec::new(), Value::Null);
    loop {
        let wanted = json!({ "values": values, "next": next }).to_string();
        let answer = site.send(post(token, SEARCH, JSON, wanted)).await.ok();
        hits.extend(answer["hits"].as_array().unwrap().clone());
        next = answer["next"].clone();
        if next.is_null() {
            return hits;
        }
    }
}

#[tokio::test]
async fn a_person_is_found_wherever_it_is_named_with_what_can_be_done() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope::operator()).await;
    let own = site.put(&[naming(1, "wrote JAN.PEETERS[at]bank[.]example")]).await;
    let theirs = site.put(&[Put { group: CLOUD, ..naming(2, "mailbox of Peeters, Jan").by(OTHER) }]).await;
    // Sent to a whole group without a marking that anybody knows: nobody is shown it, and it names him all the same.
    let closed = site.put(&[naming(3, MAILBOX).tlp(Tlp::Red)]).await;
    site.put(&[naming(4, "january at bank.example")]).await;
    // A draft that waits for a person, and the reason that an earlier one went out for.
    let bundle = |n: u32, text: &str| {
        let object: Value = serde_json::from_slice(&naming(n, text).raw()).unwrap();
        let id = "bundle--00000000-0000-4000-8000-000000000001";
        json!({"type": "bundle", "id": id, "objects": [object]}).to_string()
    };
    let path = "/api/v1/publications?group=cidr&tlp=amber";
    let stix = "application/stix+json;version=2.1";
    let held = format!("{path}&draft=true");
    let held = site.send(post(&admin, &held, stix, bundle(5, MAILBOX))).await.json()["publication"].clone();
    let reason = format!("{path}&reason=asked+by+Jan+Peeters");
    let said =
        site.send(post(&admin, &reason, stix, bundle(6, "x@evil.example"))).await.json()["publication"]
            .clone();

    let hits = search(&site, &admin, &[MAILBOX, "Jan Peeters"]).await;
    let told = |kind: &str, name: &str, value: &Value| {
        let found: Vec<&Value> =
            hits.iter().filter(|hit| hit["kind"] == kind && hit[name] == *value).collect();
        assert_eq!(found.len(), 1, "{kind} {value}: {hits:?}");
        found[0].clone()
    };
    let hit = told("object", "message", &json!(own));
    assert_eq!(
        (&hit["values"], &hit["paths"], &hit["remedy"]),
        (&json!([1, 2]), &json!(["description"]), &json!("withdraw"))
    );
    assert_eq!((&hit["organisation"], &hit["group"]), (&json!("Member 1"), &json!("cidr")));
    let hit = told("object", "message", &json!(theirs));
    assert_eq!(
        (&hit["values"], &hit["remedy"], &hit["group"]),
        (&json!([2]), &json!("ask"), &json!("cloud-security"))
    );
    let hit = told("object", "message", &json!(closed));
    assert_eq!((hit.get("object"), hit.get("paths"), &hit["remedy"]), (None, None, &json!("withdraw")));
    assert_eq!(told("draft", "publication", &held)["remedy"], "discard");
    assert_eq!(told("reason", "publication", &said)["values"], json!([2]));
    assert_eq!(hits.len(), 5, "{hits:?}");
    assert!(!json!(hits).to_string().to_lowercase().contains("peeters"), "places, never values: {hits:?}");

    // A token that reads one group searches that one.
    let cloud = site.token("cloud", Scope { admin: true, ..Scope::reads([CLOUD]) }).await;
    let hits = search(&site, &cloud, &[MAILBOX, "Jan Peeters"]).await;
    assert_eq!(hits.iter().map(|hit| hit["message"].clone()).collect::<Vec<_>>(), [json!(theirs)]);

    // Of a draft above what a token reads, it learns that it names somebody, and not where.
    let low = Scope { admin: true, ceiling: Tlp::Green, ..Scope::reads([CIDR]) };
    let low = site.token("low", low).await;
    let hits = search(&site, &low, &[MAILBOX]).await;
    let hit = hits.iter().find(|hit| hit["kind"] == "draft").unwrap();
    assert_eq!((hit.get("object"), hit.get("paths"), &hit["publication"]), (None, None, &held));

    // What was done is on record, and for whom is not.
    let audit = site.get(&admin, "/api/v1/audit?limit=1000").await.ok()["entries"].to_string();
    assert!(audit.contains(SEARCH) && audit.contains(" found"), "{audit}");
    // But for the reason that whoever published gave.
    let reasons = audit.matches("asked by Jan Peeters").count();
    assert_eq!((reasons, audit.to_lowercase().matches("peeters").count()), (1, 1), "{audit}");
}

#[tokio::test]
async fn what_was_taken_back_and_is_told_on_as_revoked_is_still_to_be_erased() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope::operator()).await;
    let told = Put { is_sealed: true, ..naming(1, MAILBOX) };
    let own = site.put(std::slice::from_ref(&told)).await;
    let theirs =
        site.put(&[Put { id: naming(2, "").id, json: naming(2, MAILBOX).json, ..told }.by(OTHER)]).await;
    for (member, message) in [(OWN, own), (OTHER, theirs)] {
        site.withdraw(CIDR, member, WithdrawalMode::Retract, message).await;
    }
    let hits = search(&site, &admin, &[MAILBOX]).await;
    let remedy =
        |message: &Value| hits.iter().find(|hit| hit["message"] == *message).unwrap()["remedy"].clone();
    let remedies = [remedy(&json!(own)), remedy(&json!(theirs))];
    assert_eq!(remedies, [json!("withdraw-message"), json!("ask")], "{hits:?}");
    for (member, message) in [(OWN, own), (OTHER, theirs)] {
        site.withdraw(CIDR, member, WithdrawalMode::Erase, message).await;
    }
    assert_eq!(search(&site, &admin, &[MAILBOX]).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_mailbox_that_is_a_persons_is_found_among_contacts_with_whom_to_ask() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope::operator()).await;
    contacts::said(&site, MAILBOX, 2).await;
    let hits = search(&site, &admin, &["Peeters Jan", MAILBOX]).await;
    assert_eq!(hits.len(), 1, "{hits:?}");
    let hit = &hits[0];
    assert_eq!((&hit["kind"], &hit["remedy"]), (&json!("contact"), &json!("ask")));
    assert_eq!((&hit["organisation"], &hit["paths"]), (&json!("Member 2"), &json!(["mailboxes[0].email"])));
    assert_eq!((hit.get("group"), hit.get("publication"), hit.get("stewards")), (None, None, None));
}

#[tokio::test]
async fn a_step_reads_so_many_bytes_and_the_next_goes_on_behind_them() {
    const OBJECTS: u32 = 40;
    let site = Site::new().await;
    let admin = site.token("admin", Scope::operator()).await;
    for n in 0..OBJECTS {
        site.put(&[naming(n, &format!("{} {MAILBOX}", "x".repeat(500_000)))]).await;
    }
    let (mut examined, mut hits, mut next) = (Vec::new(), 0, Value::Null);
    loop {
        let wanted = json!({ "values": [MAILBOX], "next": next }).to_string();
        let answer = site.send(post(&admin, SEARCH, JSON, wanted)).await.ok();
        examined.push(answer["examined"].as_u64().unwrap());
        hits += answer["hits"].as_array().unwrap().len();
        next = answer["next"].clone();
        if next.is_null() {
            break;
        }
    }
    assert_eq!((hits, examined.iter().sum::<u64>()), (40, u64::from(OBJECTS)), "each once: {examined:?}");
    assert!(examined.iter().all(|count| *count <= 17), "{examined:?}");
}

#[tokio::test]
async fn it_is_asked_for_on_this_machine_alone_and_for_what_can_be_meant() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope::operator()).await;
    let wanted = json!({ "values": [MAILBOX] }).to_string();
    let mut request = post(&admin, SEARCH, JSON, wanted.clone());
    request.extensions_mut().insert(Caller::Tcp("127.0.0.1:1".parse().unwrap()));
    let answer = site.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "local-only"));
    let mut request = post(&admin, SEARCH, JSON, wanted);
    request.extensions_mut().insert(Caller::Socket);
    assert_eq!(site.send(request).await.status, 200);
    for (body, status, code) in [
        (json!({ "values": [] }), 422, "bad-values"),
        (json!({ "values": ["ab"] }), 422, "bad-values"),
        (json!({ "values": ["abc"], "next": "objects:x" }), 400, "bad-parameter"),
        (json!({ "values": ["abc"], "more": 1 }), 422, "bad-body"),
    ] {
        let answer = site.send(post(&admin, SEARCH, JSON, body.to_string())).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{body}");
    }
    let reader = site.reader().await;
    assert_eq!(
        site.send(post(&reader, SEARCH, JSON, json!({ "values": ["abc"] }).to_string())).await.status,
        403
    );
}
