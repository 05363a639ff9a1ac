//! Changes proposed to an object's owner: sealed to it alone, taken over whole or not at all.

use belfry_proto::{
    id::{MemberId, PublicationId},
    schema::{Audience, Pap},
    stix::{
        marking::Tlp,
        proposal::{Change, Proposal},
    },
};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, CLOUD, OTHER, OWN},
    site::{Answer, Put, Site, nothing, only, post},
};
use crate::{
    publish::submission::SubmitError,
    query::Scope,
    store::{Conditions, DraftRow},
};

const JSON: &str = "application/json";
const VERSION: &str = "2026-01-01T00:00:00.000Z";
/// When proposals were made.
const MADE: &str = "2026-02-01T00:00:00.000000Z";

fn agent() -> Scope {
    Scope { read: only(&[CIDR]), publish: only(&[CIDR]), ..nothing() }
}

fn indicator(n: u32) -> Put {
    Put::pattern(n, "[domain-name:value = 'evil.example']", &json!({}))
}

fn note(n: u32, of: &str, version: &str, by: MemberId) -> Put {
    let set = [("confidence".to_owned(), json!(10))].into_iter().collect();
    let proposal = Proposal {
        of: of.to_owned(),
        version: version.to_owned(),
        change: Change { set, remove: ["name".to_owned()].into() },
        comment: "seen on our own site".to_owned(),
    };
    let id = format!("note--00000000-0000-4000-8000-{n:012x}");
    let put = Put::json(proposal.note(&id, MADE.parse().unwrap())).by(by);
    Put { recipients: true, ..put }
}

/// The same note later, with something else in it.
fn later(note: &Put, day: u8, more: &Value) -> Put {
    let mut json = note.json.clone().unwrap();
    json["modified"] = json!(format!("2026-02-{day:02}T00:00:00.000Z"));
    json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Put { recipients: true, ..Put::json(json).by(note.member) }
}

fn verdict(n: u32, on: &str, said: &str, by: MemberId) -> Put {
    let id = format!("opinion--00000000-0000-4000-8000-{n:012x}");
    let opinion = json!({
        "type": "opinion", "spec_version": "2.1", "id": id, "created": VERSION, "modified": VERSION,
        "opinion": said, "explanation": "as you say", "object_refs": [on],
    });
    Put { recipients: true, ..Put::json(opinion).by(by) }
}

impl Site {
    async fn propose(&self, token: &str, object: &str, wish: Value) -> Answer {
        let path = format!("/api/v1/objects/{object}/proposals");
        self.send(post(token, &path, JSON, wish.to_string())).await
    }

    async fn answers(&self, token: &str, note: &str, answer: &str) -> Answer {
        let said = if answer == "accept" { json!({ "version": MADE }) } else { json!({}) };
        self.says(token, note, answer, said).await
    }

    async fn says(&self, token: &str, note: &str, answer: &str, said: Value) -> Answer {
        let path = format!("/api/v1/proposals/{note}/{answer}");
        self.send(post(token, &path, JSON, said.to_string())).await
    }

    async fn proposals(&self, token: &str) -> Vec<Value> {
        let told = self.get(token, "/api/v1/proposals").await.ok();
        told["proposals"].as_array().unwrap().clone()
    }

    fn draft(&self, publication: &Value) -> DraftRow {
        self.store.draft(publication.as_str().unwrap().parse().unwrap()).unwrap().unwrap()
    }

    /// An indicator in a real message of this member's.
    async fn owns(&self, n: u32) -> String {
        let indicator = indicator(n);
        self.say(&[&String::from_utf8(indicator.raw()).unwrap()]).await;
        indicator.id
    }
}

#[tokio::test]
async fn a_proposal_goes_to_the_objects_owner_alone_and_names_its_version() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let object = indicator(1).by(OTHER).tlp(Tlp::Green);
    site.put(std::slice::from_ref(&object)).await;
    let wish = json!({ "set": { "confidence": 10 }, "remove": ["name"], "comment": "seen on our own site" });
    let answer = site.propose(&token, &object.id, wish).await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let told = answer.json();
    assert_eq!(told["owner"], json!(OTHER));
    let draft = site.draft(&told["publication"]);
    assert_eq!((draft.audience, draft.recipients.as_slice()), (Audience::Recipients, &[OTHER][..]));
    let objects = site.drafted(&told["publication"]).await;
    assert_eq!((objects.len(), &objects[0]["id"]), (1, &told["proposal"]));
    let read = Proposal::read(objects[0].to_string().as_bytes()).unwrap();
    assert_eq!((read.of, read.version.as_str()), (object.id.clone(), VERSION));
    assert_eq!((&read.change.set["confidence"], read.change.remove.len()), (&json!(10), 1));
    assert!(objects[0].get("created_by_ref").is_none());
}

#[tokio::test]
async fn what_nobody_could_take_over_is_not_proposed() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let observable = "ipv4-addr--00000000-0000-4000-8000-000000000009";
    site.put(&[
        indicator(1).by(OTHER),
        indicator(2),
        Put { recipients: true, ..indicator(3).by(OTHER) },
        Put { group: CLOUD, ..indicator(4).by(OTHER) },
        Put::json(json!({ "type": "ipv4-addr", "id": observable, "value": "45.155.9.9" })).by(OTHER),
    ])
    .await;
    let some = json!({ "set": { "confidence": 10 } });
    for (object, wish, status, code) in [
        (indicator(2).id, some.clone(), 409, "own-object"),
        (indicator(3).id, some.clone(), 404, "unknown-object"),
        (indicator(4).id, some.clone(), 404, "unknown-object"),
        (observable.to_owned(), json!({ "set": { "value": "1.2.3.4" } }), 422, "unversioned"),
        (indicator(1).id, json!({}), 422, "nothing-to-change"),
        (indicator(1).id, json!({ "set": { "confidence": 90 } }), 422, "nothing-to-change"),
        (indicator(1).id, json!({ "set": { "created_by_ref": "x" } }), 422, "not-changeable"),
        (indicator(1).id, json!({ "remove": ["object_marking_refs"] }), 422, "not-changeable"),
        (indicator(1).id, json!({ "set": { "pattern": "[" } }), 422, "bad-content"),
        (indicator(1).id, json!({ "set": { "valid_from": "soon" } }), 422, "bad-content"),
    ] {
        let refused = site.propose(&token, &object, wish.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (status, code), "{object} {wish}");
    }
    assert_eq!(site.store.queued(10).unwrap(), []);
    let drafts = Scope { read: only(&[CIDR]), draft: only(&[CIDR]), ..nothing() };
    let drafting = site.token("agent", drafts).await;
    let held = site.propose(&drafting, &indicator(1).id, some.clone()).await.json();
    assert_eq!(held["held"], true);
    let blind = site.token("blind", Scope { publish: only(&[CIDR]), ..nothing() }).await;
    assert_eq!(site.propose(&blind, &indicator(1).id, some).await.status, 404);
}

#[tokio::test]
async fn what_is_accepted_is_the_next_version_for_the_same_readers_and_its_proposer_is_told() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let object = site.owns(1).await;
    let asked = note(2, &object, VERSION, OTHER);
    site.put(std::slice::from_ref(&asked)).await;
    let listed = site.proposals(&token).await;
    assert_eq!(listed.len(), 1);
    let one = &listed[0];
    assert_eq!(
        (&one["direction"], &one["state"], &one["outdated"]),
        (&json!("to-us"), &json!("open"), &json!(false))
    );
    assert_eq!(
        (&one["set"], &one["current"]),
        (&json!({ "confidence": 10 }), &json!({ "confidence": 90, "name": "bad 1" }))
    );
    let answer = site.answers(&token, &asked.id, "accept").await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let told = answer.json();
    let version = site.draft(&told["version"]["publication"]);
    assert_eq!((version.audience, version.tlp), (Audience::Group, Tlp::Amber.into()));
    let next = site.drafted(&told["version"]["publication"]).await;
    assert_eq!(
        (&next[0]["id"], &next[0]["confidence"], next[0].get("name")),
        (&json!(object), &json!(10), None)
    );
    assert!(next[0]["modified"].as_str().unwrap() > VERSION);
    let answer = site.draft(&told["answer"]["publication"]);
    assert_eq!((answer.audience, answer.recipients.as_slice()), (Audience::Recipients, &[OTHER][..]));
    let opinion = &site.drafted(&told["answer"]["publication"]).await[0];
    assert_eq!((&opinion["opinion"], &opinion["object_refs"]), (&json!("agree"), &json!([asked.id])));
    // Once more, before anything of it went out: the same two. The other way, nothing.
    let again = site.answers(&token, &asked.id, "accept").await.json();
    assert_eq!(again["version"]["publication"], told["version"]["publication"]);
    assert_eq!((&again["answer"]["duplicate"], site.store.queued(10).unwrap().len()), (&json!(true), 2));
    let refused = site.answers(&token, &asked.id, "decline").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "already-answered"));
    // Another token's answer is the same member's.
    let other = site.token("other", agent()).await;
    let refused = site.answers(&other, &asked.id, "decline").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "already-answered"));
    assert_eq!(site.answers(&other, &asked.id, "accept").await.json()["answer"]["duplicate"], true);
    assert_eq!(site.store.queued(10).unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_accepted_is_the_newest_version_and_the_one_that_was_looked_at() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let object = site.owns(1).await;
    let first = note(2, &object, VERSION, OTHER);
    let mut extensions = first.json.clone().unwrap()["extensions"].clone();
    let said = extensions.as_object_mut().unwrap().values_mut().next().unwrap();
    said["proposal"]["set"]["confidence"] = json!(20);
    let second = later(&first, 2, &json!({ "extensions": extensions }));
    site.put(&[first.clone(), second.clone()]).await;
    let listed = site.proposals(&token).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["modified"], &listed[0]["set"]),
        (&json!(second.version), &json!({ "confidence": 20 }))
    );
    for (said, status, code) in
        [(json!({}), 422, "version-needed"), (json!({ "version": first.version }), 409, "proposal-changed")]
    {
        let refused = site.says(&token, &first.id, "accept", said.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (status, code), "{said}");
    }
    let told = site.says(&token, &first.id, "accept", json!({ "version": second.version })).await.json();
    let next = site.drafted(&told["version"]["publication"]).await;
    assert_eq!(next[0]["confidence"], 20);
    let taken_back = later(&second, 3, &json!({ "revoked": true }));
    site.put(std::slice::from_ref(&taken_back)).await;
    assert_eq!(site.proposals(&token).await[0]["state"], "withdrawn");
    let refused = site.says(&token, &first.id, "accept", json!({ "version": taken_back.version })).await;
    assert_eq!(refused.code(), "proposal-withdrawn");
}

#[tokio::test]
async fn what_is_marked_narrower_than_the_object_is_not_published_with_it() {
    let site = Site::new().await;
    let token = site.token("analyst", Scope { ceiling: Tlp::AmberStrict, ..agent() }).await;
    let object = site.owns(1).await;
    let of = |n: u32| note(n, &object, VERSION, OTHER);
    let until = crate::clock::now().as_micros() + 3_600_000_000;
    let narrower = [
        of(2).tlp(Tlp::AmberStrict),
        Put { pap: Pap::Red.into(), ..of(3) },
        Put { conditions: Conditions { embargo_until: until, ..Conditions::default() }, ..of(4) },
        Put {
            conditions: Conditions { terms: vec!["attribution=no".to_owned()], ..Conditions::default() },
            ..of(5)
        },
    ];
    site.put(&narrower).await;
    for one in &narrower {
        let refused = site.answers(&token, &one.id, "accept").await;
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (409, "marked-narrower"),
            "{}",
            one.id
        );
    }
    assert_eq!(site.store.queued(10).unwrap(), [], "neither half");
    site.put(&[of(6).tlp(Tlp::Green)]).await;
    let wider = Put::of("note", 6).id;
    assert_eq!(site.answers(&token, &wider, "accept").await.status, 202);
    assert_eq!(site.answers(&token, &narrower[0].id, "decline").await.status, 202);
}

#[tokio::test]
async fn a_next_version_brings_the_markings_that_its_object_names() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let [named, other] =
        ["1", "2"].map(|n| format!("marking-definition--00000000-0000-4000-8000-00000000000{n}"));
    let definition = |id: &str| {
        json!({
            "type": "marking-definition", "spec_version": "2.1", "id": id, "created": VERSION,
            "definition_type": "statement", "definition": { "statement": "Copyright" },
        })
        .to_string()
    };
    let object =
        Put::pattern(1, "[domain-name:value = 'evil.example']", &json!({ "object_marking_refs": [named] }));
    let raw = String::from_utf8(object.raw()).unwrap();
    site.say(&[&raw, &definition(&named), &definition(&other)]).await;
    let asked = note(2, &object.id, VERSION, OTHER);
    site.put(std::slice::from_ref(&asked)).await;
    let answer = site.answers(&token, &asked.id, "accept").await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let next = site.drafted(&answer.json()["version"]["publication"]).await;
    let ids: Vec<&str> = next.iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(ids, [named.as_str(), object.id.as_str()]);
}

#[tokio::test]
async fn an_older_version_is_not_brought_back_by_a_proposal() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let object = site.owns(1).await;
    site.put(&[note(2, &object, "2025-12-01T00:00:00.000Z", OTHER)]).await;
    assert_eq!(site.proposals(&token).await[0]["outdated"], true);
    let id = note(2, &object, VERSION, OTHER).id;
    let refused = site.answers(&token, &id, "accept").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "outdated-proposal"));
    assert_eq!(site.store.queued(10).unwrap(), [], "neither half");
    assert_eq!(site.answers(&token, &id, "decline").await.status, 202);
}

#[tokio::test]
async fn only_the_owners_word_answers_and_only_the_two_of_them_see_it() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let (theirs, ours) = (indicator(1).by(OTHER), indicator(2));
    let [mine, foreign] = [note(3, &theirs.id, VERSION, OWN), note(4, &theirs.id, VERSION, OTHER)];
    site.put(&[theirs.clone(), ours, mine.clone(), foreign]).await;
    // Of what is neither ours nor by us nothing is told, and what everybody reads is no proposal.
    let open = Put { recipients: false, ..note(7, &indicator(2).id, VERSION, OTHER) };
    site.put(&[open]).await;
    let listed = site.proposals(&token).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["direction"], &listed[0]["state"]), (&json!("by-us"), &json!("open")));
    assert_eq!(site.answers(&token, &mine.id, "accept").await.code(), "own-proposal");
    site.put(&[verdict(5, &mine.id, "agree", OWN)]).await;
    assert_eq!(site.proposals(&token).await[0]["state"], "open", "by whoever is not its owner");
    site.put(&[verdict(6, &mine.id, "disagree", OTHER)]).await;
    let listed = site.proposals(&token).await;
    assert_eq!(
        (&listed[0]["state"], &listed[0]["answer"]["comment"]),
        (&json!("declined"), &json!("as you say"))
    );
    assert_eq!(site.get(&token, "/api/v1/proposals?state=open").await.ok()["proposals"], json!([]));
    assert_eq!(site.get(&token, "/api/v1/proposals?state=new").await.status, 400);
    let elsewhere = site.token("elsewhere", Scope { read: only(&[CLOUD]), ..nothing() }).await;
    assert_eq!(site.proposals(&elsewhere).await, Vec::<Value>::new());
}

/// A held acceptance, as listed: the next version, and the answer.
struct HeldAnswer {
    version: String,
    answer: String,
}

impl Site {
    async fn accepts_held(&self, token: &str, note: &str) -> HeldAnswer {
        let seen = self.proposals(token).await.into_iter().find(|one| one["proposal"] == note).unwrap();
        let said = json!({ "version": seen["modified"], "draft": true });
        let told = self.says(token, note, "accept", said).await;
        assert_eq!(told.status, 202, "{}", String::from_utf8_lossy(&told.body));
        let told = told.json();
        assert_eq!((&told["version"]["held"], &told["answer"]["held"]), (&json!(true), &json!(true)));
        let of = |name: &str| told[name]["publication"].as_str().unwrap().to_owned();
        HeldAnswer { version: of("version"), answer: of("answer") }
    }

    async fn releases(&self, token: &str, draft: &str) -> (u16, String) {
        let answer =
            self.send(post(token, &format!("/api/v1/drafts/{draft}/release"), JSON, String::new())).await;
        (answer.status.as_u16(), if answer.status.is_success() { String::new() } else { answer.code() })
    }
}

#[tokio::test]
async fn what_was_accepted_and_held_goes_out_if_it_still_is_what_was_accepted() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let object = site.owns(1).await;
    let asked = note(2, &object, VERSION, OTHER);
    site.put(std::slice::from_ref(&asked)).await;
    let held = site.accepts_held(&token, &asked.id).await;
    assert_eq!(site.releases(&token, &held.answer).await, (409, "version-held".to_owned()));
    assert_eq!(site.store.queued(10).unwrap(), []);
    let blind = site.token("blind", Scope { publish: only(&[CIDR]), ..nothing() }).await;
    assert_eq!(site.releases(&blind, &held.version).await, (409, "unknown-proposal".to_owned()));
    assert_eq!(site.releases(&token, &held.version).await.0, 202);
    assert_eq!(site.releases(&token, &held.answer).await.0, 202);
    assert_eq!(site.store.queued(10).unwrap().len(), 2);
}

#[tokio::test]
async fn a_held_acceptance_is_refused_once_the_object_has_a_newer_version() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let object = site.owns(1).await;
    let asked = note(2, &object, VERSION, OTHER);
    site.put(std::slice::from_ref(&asked)).await;
    let held = site.accepts_held(&token, &asked.id).await;
    // Older than the version that waits, and newer than what was proposed on.
    let newer = later(&indicator(1), 1, &json!({ "confidence": 50 }));
    site.say(&[&String::from_utf8(newer.raw()).unwrap()]).await;
    assert_eq!(site.releases(&token, &held.version).await, (409, "outdated-proposal".to_owned()));
    assert_eq!(site.releases(&token, &held.answer).await, (409, "version-held".to_owned()));
    let discard = crate::api::tests::site::get(&format!("/api/v1/drafts/{}", held.version))
        .method("DELETE")
        .header("authorization", format!("Bearer {token}"));
    assert_eq!(site.send(discard.body(axum::body::Body::empty()).unwrap()).await.status, 204);
    assert_eq!(site.releases(&token, &held.answer).await, (409, "version-gone".to_owned()));
    assert_eq!(site.store.queued(10).unwrap(), []);
}

/// Nothing can be put between the last look and the commit from outside, so the steps are taken one by one.
#[tokio::test]
async fn what_is_said_between_the_last_look_and_the_release_keeps_an_acceptance_held() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let object = site.owns(1).await;
    let asked = note(2, &object, VERSION, OTHER);
    site.put(std::slice::from_ref(&asked)).await;
    let held = site.accepts_held(&token, &asked.id).await;
    let id: PublicationId = held.version.parse().unwrap();
    let publish = &site.app.ports.publish;
    let looked = publish.held_draft(id).await.unwrap();
    let newer = later(&indicator(1), 1, &json!({ "confidence": 50 }));
    site.say(&[&String::from_utf8(newer.raw()).unwrap()]).await;
    // Nor does it go without a look.
    for basis in [looked.basis, None] {
        let refused = publish.release(id, None, basis).await;
        assert!(matches!(refused, Err(SubmitError::Overtaken(_))), "{refused:?}");
    }
    assert_eq!(site.store.queued(10).unwrap(), []);
    let basis = publish.held_draft(id).await.unwrap().basis;
    publish.release(id, None, basis).await.expect("whoever looked now may");
}

#[tokio::test]
async fn what_is_said_while_a_proposal_is_answered_is_met_by_another_look() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let object = site.owns(1).await;
    let asked = note(2, &object, VERSION, OTHER);
    site.put(std::slice::from_ref(&asked)).await;
    let accepts = async || {
        let answer = site.answers(&token, &asked.id, "accept").await;
        (answer.status.as_u16(), if answer.status.is_success() { String::new() } else { answer.code() })
    };
    // Each time something new, and never an answer.
    for n in 10..13 {
        site.say_between(&verdict(n, &asked.id, "disagree", OTHER));
    }
    assert_eq!(accepts().await, (409, "overtaken".to_owned()));
    assert_eq!(site.store.queued(10).unwrap(), [], "neither half");
    // Once, and it is nothing that matters.
    site.say_between(&verdict(13, &asked.id, "disagree", OTHER));
    assert_eq!(accepts().await.0, 202);
    assert_eq!(site.store.queued(10).unwrap().len(), 2);
}

#[tokio::test]
async fn no_proposal_is_accepted_that_changes_with_its_object_or_by_its_author_at_that_moment() {
    for (between, code) in [
        (later(&indicator(1), 1, &json!({ "confidence": 50 })), "outdated-proposal"),
        (
            later(&note(2, &indicator(1).id, VERSION, OTHER), 3, &json!({ "revoked": true })),
            "proposal-withdrawn",
        ),
    ] {
        let site = Site::new().await;
        let token = site.token("analyst", agent()).await;
        let object = site.owns(1).await;
        let asked = note(2, &object, VERSION, OTHER);
        site.put(std::slice::from_ref(&asked)).await;
        site.say_between(&Put { recipients: between.kind == "note", ..between });
        let refused = site.answers(&token, &asked.id, "accept").await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, code));
        assert_eq!(site.store.queued(10).unwrap(), [], "{code}: neither half");
    }
}

#[tokio::test]
async fn a_held_acceptance_is_refused_once_its_proposal_is_another_or_taken_back() {
    let site = Site::new().await;
    let token = site.token("analyst", agent()).await;
    let object = site.owns(1).await;
    let asked = note(2, &object, VERSION, OTHER);
    site.put(std::slice::from_ref(&asked)).await;
    let held = site.accepts_held(&token, &asked.id).await;
    let mut extensions = asked.json.clone().unwrap()["extensions"].clone();
    let said = extensions.as_object_mut().unwrap().values_mut().next().unwrap();
    said["proposal"]["set"]["confidence"] = json!(20);
    let changed = later(&asked, 2, &json!({ "extensions": extensions }));
    site.put(std::slice::from_ref(&changed)).await;
    assert_eq!(site.releases(&token, &held.version).await, (409, "proposal-changed".to_owned()));
    site.put(&[later(&changed, 3, &json!({ "revoked": true }))]).await;
    assert_eq!(site.releases(&token, &held.version).await, (409, "proposal-withdrawn".to_owned()));
    assert_eq!(site.store.queued(10).unwrap(), []);
}

#[tokio::test]
async fn the_status_counts_what_nobody_answered() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let open = async || site.get(&operator, "/api/v1/status").await.ok()["proposals"].clone();
    assert_eq!(open().await, json!({ "to_us": 0, "by_us": 0, "more": false }));
    let (theirs, ours) = (indicator(1).by(OTHER), indicator(2));
    let mine = note(3, &theirs.id, VERSION, OWN);
    let asked = [note(4, &ours.id, VERSION, OTHER), note(5, &ours.id, VERSION, OTHER)];
    site.put(&[theirs, ours, mine.clone()]).await;
    site.put(&asked).await;
    assert_eq!(open().await, json!({ "to_us": 2, "by_us": 1, "more": false }));
    site.put(&[verdict(6, &mine.id, "disagree", OTHER), verdict(7, &asked[0].id, "agree", OWN)]).await;
    assert_eq!(open().await, json!({ "to_us": 1, "by_us": 0, "more": false }));
    let token = site.token("analyst", agent()).await;
    assert_eq!(site.get(&token, "/api/v1/status").await.ok()["proposals"], Value::Null);
}
