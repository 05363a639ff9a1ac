//! Where members are reached: who is told, and what may be said.

use std::time::Duration;

use belfry_proto::{
    crypto::sign::SigningKey,
    schema::{ContactRole, Mailbox},
    stix::{egress::Audience, marking::Tlp},
    time::Timestamp,
    trust::contact,
};
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    coalition::{self, CIDR, OTHER},
    site::{Site, post},
};
use crate::{
    clock,
    query::Scope,
    store::{Change, ContactRow},
};

const PATH: &str = "/api/v1/contacts";

/// The other member says this, signed by a key of its own or by one that is nobody's now.
pub(super) async fn said(site: &Site, email: &str, by: u8) {
    said_at(site, email, by, clock::now()).await;
}

async fn said_at(site: &Site, email: &str, by: u8, made: Timestamp) {
    let signing = SigningKey::from_seed(&[by; 32]);
    let mailbox = Mailbox {
        role: ContactRole::Incident.into(),
        email: email.into(),
        openpgp: vec![0xab; 20],
        ..Mailbox::default()
    };
    let coalition = coalition::found().0.coalition();
    let signed = contact::make(coalition, OTHER, vec![mailbox], made, &signing).unwrap();
    let row = ContactRow { member: OTHER, signer: signing.public(), bytes: signed.encode_to_vec() };
    site.store.commit(Change::Contact(row)).await.unwrap();
}

#[tokio::test]
async fn a_contact_is_told_inside_as_its_member_signed_it_and_only_while_that_key_counts() {
    let site = Site::new().await;
    let siem = site.token("siem", Scope::reads([CIDR])).await;
    let outside = Scope { ceiling: Tlp::Green, audience: Audience::Outside, ..Scope::reads([CIDR]) };
    let cloud = site.token("cloud", outside).await;
    assert_eq!(site.get(&siem, PATH).await.json()["contacts"], json!([]));
    said(&site, "csirt@other.example", 2).await;
    let all = site.get(&siem, PATH).await.json();
    let found = &all["contacts"][0];
    assert_eq!((&found["organisation"], &found["own"]), (&json!("Member 2"), &json!(false)));
    assert_eq!(found["certificate"], json!(2));
    let mailbox = json!({ "role": "incident", "email": "csirt@other.example", "openpgp": "AB".repeat(20) });
    assert_eq!(found["mailboxes"], json!([mailbox]));
    let one = site.get(&siem, &format!("/api/v1/members/{OTHER}/contact")).await.json();
    assert_eq!(&one["contact"], found);
    let nobody = "/api/v1/members/nobody/contact".to_owned();
    assert_eq!(site.get(&siem, &nobody).await.code(), "unknown-member");
    for path in [PATH.to_owned(), format!("/api/v1/members/{OTHER}/contact"), nobody] {
        assert_eq!(site.get(&cloud, &path).await.status, 403, "{path}");
    }
    let ahead = clock::now().saturating_add(Duration::from_secs(24 * 3600));
    said_at(&site, "ahead@other.example", 2, ahead).await;
    assert_eq!(site.get(&siem, PATH).await.json()["contacts"], json!([]), "not before it was signed");
    said(&site, "csirt@evil.example", 99).await;
    assert_eq!(site.get(&siem, PATH).await.json()["contacts"], json!([]));
    let one = site.get(&siem, &format!("/api/v1/members/{OTHER}/contact")).await.json();
    assert_eq!(one["contact"], Value::Null);
}

#[tokio::test]
async fn what_is_no_role_mailbox_is_refused_and_a_doubtful_one_until_it_is_confirmed() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let set = async |body: Value| {
        let answer = site.send(post(&operator, PATH, "application/json", body.to_string())).await;
        let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        (answer.status.as_u16(), code)
    };
    let of = |email: &str| json!({ "role": "incident", "email": email });
    for wrong in [
        of("csirt"),
        json!({ "role": "incident" }),
        json!({ "role": "incident", "email": "csirt@bank.example", "openpgp": "xyz" }),
        json!({ "role": "incident", "email": "csirt@bank.example", "openpgp": "ab cd" }),
    ] {
        assert_eq!(set(json!({ "mailboxes": [wrong] })).await, (422, "bad-contact".to_owned()));
    }
    assert_eq!(set(json!({ "mailboxes": vec![of("csirt@bank.example"); 9] })).await.1, "bad-contact");
    for wrong in
        [json!({ "role": "ceo", "email": "x@bank.example" }), json!({ "role": "incident", "mail": "x" })]
    {
        assert!((400..500).contains(&set(json!({ "mailboxes": [wrong] })).await.0));
    }
    let person = json!([of("csirt@bank.example"), of("jan.peeters@bank.example")]);
    assert_eq!(set(json!({ "mailboxes": person })).await, (422, "natural-person".to_owned()));
    assert_eq!(set(json!({ "mailboxes": person, "confirmed": true })).await.0, 200);
    assert_eq!(set(json!({ "mailboxes": [] })).await.0, 200, "taken back");
}
