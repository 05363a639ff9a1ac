//! Charters, statements, entries, records, requests, addresses, contacts, beacons: as they come, and signed by the
//! golden keys, so that what lies behind a signature is reached too.

use belfry_proto::{
    crypto::sign::Purpose,
    id::Height,
    schema::{self, decode_canonical},
    trust::{
        address, beacon,
        charter::{Charter, CharterChain},
        contact,
        log::{order, verify_record},
        request,
        roster::Roster,
        signed::sign,
        statement::Statement,
    },
    verdict::Judged,
};
use prost::Message;

use super::vectors::{golden, key, noon, roster};

fn signed(bytes: &[u8]) -> Option<schema::Signed> {
    decode_canonical("Signed", bytes, 1 << 20).ok()
}

/// A payload that this coalition's root keys sign, and a signed charter as it comes.
pub fn charter(bytes: &[u8]) {
    if let Ok(charter) = Charter::check(bytes) {
        let _ = (charter.id(), charter.groups().len(), charter.stale_after(), charter.staleness());
        let signers = [key("root_1"), key("root_2")];
        let next = sign(bytes.to_vec(), Purpose::Charter, roster().coalition(), &[&signers[0], &signers[1]]);
        let mut extended = roster().clone();
        let _ = extended.apply_charter(next);
    }
    if let Some(signed) = signed(bytes) {
        let _ = CharterChain::start(signed.clone()).map_err(|error| error.verdict());
        let _ = roster().clone().apply_charter(signed);
    }
}

pub fn charter_seeds() -> Vec<Vec<u8>> {
    ["charter_1", "charter_2"]
        .into_iter()
        .flat_map(|section| [golden(section, "payload"), golden(section, "signed")])
        .collect()
}

/// A statement that enough admins signed and the registrar ordered: it folds or is void, on every node alike.
pub fn statement(bytes: &[u8]) {
    let Ok(statement) = Statement::decode(bytes) else { return };
    let _ = (statement.subject(), statement.is_removal());
    let coalition = roster().coalition();
    let admins = [key("admin_1"), key("admin_2")];
    let statement = sign(bytes.to_vec(), Purpose::Statement, coalition, &[&admins[0], &admins[1]]);
    let at = roster().version();
    let height = Height::new(at.height.get() + 1);
    let record = order(coalition, height, at.head, statement, &key("registrar_1"));
    let Ok(verified) = verify_record(roster().charters(), &record) else { return };
    let fold = || -> Roster {
        let mut roster = roster().clone();
        roster.apply(verified.clone()).expect("ordered by the registrar, and next");
        roster
    };
    let (one, other) = (fold(), fold());
    assert_eq!(one.version().height, height);
    assert!(one.certificates().eq(other.certificates()) && one.voids() == other.voids());
    assert!(one.voids().len() <= 1 && one.admitted_nodes(noon()) == other.admitted_nodes(noon()));
}

pub fn statement_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        ["issue", "renew", "revoke"].map(|section| golden(section, "statement_payload")).into();
    // Statements of the first charter, following the issue, so that they take effect here.
    for section in ["renew", "revoke"] {
        let mut wire = schema::Statement::decode(golden(section, "statement_payload").as_slice()).unwrap();
        wire.charter_version = 1;
        wire.previous = golden("issue", "statement_id");
        seeds.push(wire.encode_to_vec());
    }
    let amend = schema::Record::decode(golden("amend", "record").as_slice()).unwrap();
    seeds.extend(amend.statement.map(|statement| statement.payload));
    seeds
}

/// A record as it comes, and an entry payload that the registrar signed.
pub fn record(bytes: &[u8]) {
    if let Ok(record) = decode_canonical::<schema::Record>("Record", bytes, 1 << 20)
        && let Ok(verified) = verify_record(roster().charters(), &record)
    {
        let golden = [golden("issue", "record"), golden("renew", "record"), golden("revoke", "record")];
        assert!(golden.iter().any(|known| known == bytes), "a forged record verifies");
        let _ = roster().clone().apply(verified);
    }
    let entry = sign(bytes.to_vec(), Purpose::LogEntry, roster().coalition(), &[&key("registrar_1")]);
    let statement = schema::Record::decode(golden("issue", "record").as_slice()).unwrap().statement;
    let record = schema::Record { entry: Some(entry), statement };
    let _ = verify_record(roster().charters(), &record).map_err(|error| error.verdict());
}

pub fn record_seeds() -> Vec<Vec<u8>> {
    ["issue", "renew", "revoke"]
        .into_iter()
        .flat_map(|section| [golden(section, "record"), golden(section, "entry_payload")])
        .collect()
}

/// A request as it comes, and a payload that the keys it should name signed.
pub fn request(bytes: &[u8]) {
    let charter = roster().charters().newest();
    if let Some(signed) = signed(bytes) {
        let _ = request::open(&signed, charter);
    }
    let keys = [key("signing"), key("node")];
    let signed = sign(bytes.to_vec(), Purpose::Request, charter.coalition(), &[&keys[0], &keys[1]]);
    if let Ok(request) = request::open(&signed, charter) {
        assert_eq!((request.signing, request.node), (keys[0].public(), keys[1].public()));
    }
}

pub fn request_seeds() -> Vec<Vec<u8>> {
    let whole = golden("request", "signed");
    let payload = schema::Signed::decode(whole.as_slice()).unwrap().payload;
    vec![whole, payload]
}

/// An address record as it comes, and a payload that the certificate's key signed.
pub fn address(bytes: &[u8]) {
    if let Some(signed) = signed(bytes) {
        let _ = address::verify(roster(), &signed, noon()).map_err(|error| error.verdict());
    }
    let signed = sign(bytes.to_vec(), Purpose::Address, roster().coalition(), &[&key("signing")]);
    let _ = address::verify(roster(), &signed, noon()).map_err(|error| error.verdict());
}

pub fn address_seeds() -> Vec<Vec<u8>> {
    let whole = golden("address", "signed");
    let payload = schema::Signed::decode(whole.as_slice()).unwrap().payload;
    vec![whole, payload]
}

/// A contact record as it comes, and a payload that the member's key signed: what verifies can be signed again.
pub fn contact(bytes: &[u8]) {
    if let Some(signed) = signed(bytes) {
        let _ = contact::verify(roster(), &signed, noon()).map_err(|error| error.verdict());
    }
    let key = key("signing");
    let signed = sign(bytes.to_vec(), Purpose::Contact, roster().coalition(), &[&key]);
    if let Ok(verified) = contact::verify(roster(), &signed, noon()) {
        let contact::Contact { coalition, member, rank, mailboxes } = verified.contact;
        let again = contact::make(coalition, member, mailboxes, rank.made, &key).expect("it was verified");
        assert_eq!(again, signed);
    }
}

pub fn contact_seeds() -> Vec<Vec<u8>> {
    let whole = golden("contact", "signed");
    let payload = schema::Signed::decode(whole.as_slice()).unwrap().payload;
    vec![whole, payload]
}

/// A beacon as it comes, and a payload that the registrar signed.
pub fn beacon(bytes: &[u8]) {
    if let Some(signed) = signed(bytes) {
        let _ = beacon::verify(roster().charter(), &signed, noon()).map_err(|error| error.verdict());
    }
    let signed = sign(bytes.to_vec(), Purpose::Beacon, roster().coalition(), &[&key("registrar_1")]);
    let _ = beacon::verify(roster().charter(), &signed, noon()).map_err(|error| error.verdict());
}

pub fn beacon_seeds() -> Vec<Vec<u8>> {
    let whole = golden("beacon", "signed");
    let payload = schema::Signed::decode(whole.as_slice()).unwrap().payload;
    vec![whole, payload]
}
