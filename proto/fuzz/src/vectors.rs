//! The golden vectors, and the coalition that they tell of.

use std::{collections::BTreeMap, sync::LazyLock};

use belfry_proto::{
    crypto::{hpke::KemSecret, secret::Secret, sign::SigningKey},
    envelope::ContentKey,
    id::KeyId,
    time::Timestamp,
    trust::{charter::CharterChain, file, log::verify_record, roster::Roster},
};

type Vectors = BTreeMap<String, BTreeMap<String, String>>;

static TRUST: LazyLock<Vectors> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../vectors/trust.json")).unwrap());
static ENVELOPE: LazyLock<Vectors> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../vectors/envelope.json")).unwrap());

/// A value of `trust.json` or `envelope.json` as text.
pub fn golden_text(section: &str, field: &str) -> &'static str {
    let found = |vectors: &'static Vectors| vectors.get(section).and_then(|fields| fields.get(field));
    found(&TRUST).or_else(|| found(&ENVELOPE)).unwrap_or_else(|| panic!("no vector {section}.{field}"))
}

/// The same in bytes.
pub fn golden(section: &str, field: &str) -> Vec<u8> {
    hex::decode(golden_text(section, field)).unwrap()
}

/// Secret keys of the golden coalition.
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(&golden("keys", &format!("{name}_seed")).try_into().unwrap())
}

pub fn kem() -> KemSecret {
    // Both files name one; trust's comes first.
    KemSecret::from_seed(Secret::from_slice(&golden("keys", "kem_seed")).unwrap())
}

/// A moment at which the golden certificate is valid.
pub fn noon() -> Timestamp {
    golden_text("beacon", "at").parse().unwrap()
}

/// The roster after the issue, under the first charter.
pub fn roster() -> &'static Roster {
    static ROSTER: LazyLock<Roster> = LazyLock::new(|| {
        let log = file::read_log(golden_text("files", "log")).unwrap();
        let mut roster = Roster::new(CharterChain::walk(log.charters.into_iter().take(1)).unwrap());
        let record = verify_record(roster.charters(), &log.records[0]).unwrap();
        roster.apply(record).unwrap();
        roster
    });
    &ROSTER
}

/// The key of the golden messages.
pub fn content_key() -> ContentKey {
    let id = KeyId::try_from(golden("messages", "key_id").as_slice()).unwrap();
    let secret = Secret::from_slice(&golden("messages", "content_secret")).unwrap();
    ContentKey::from_parts(secret, &golden("messages", "key_context"), id).unwrap()
}
