//! Every single bit of every golden signed thing.

use std::time::Duration;

use belfry_proto::{
    envelope::{Admission, Origin, decode},
    schema::{self, decode_canonical},
    trust::{
        address, beacon, charter::CharterChain, contact, file, log::verify_record, on_sight::RemovalSeen,
        request,
    },
};
use prost::Message;

use crate::vectors::{golden, golden_text, noon, roster};

/// `taken` must hold for the bytes and for none of their neighbours.
#[track_caller]
fn refuses_every_flip(bytes: &[u8], taken: impl Fn(&[u8]) -> bool) {
    assert!(taken(bytes), "the golden bytes themselves");
    let mut bent = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(!taken(&bent), "bit {bit} of {} does not matter", bytes.len() * 8);
        bent[bit / 8] ^= 1 << (bit % 8);
    }
}

fn signed(bytes: &[u8]) -> Option<schema::Signed> {
    decode_canonical("Signed", bytes, 1 << 20).ok()
}

#[test]
fn any_flipped_bit_of_a_charter_is_refused() {
    let chain = roster().charters();
    // Another charter 1 would be another coalition, properly founded, if its root keys could sign it.
    refuses_every_flip(&golden("charter_1", "signed"), |bytes| {
        signed(bytes).is_some_and(|signed| CharterChain::start(signed).is_ok())
    });
    refuses_every_flip(&golden("charter_2", "signed"), |bytes| {
        signed(bytes).is_some_and(|signed| chain.clone().extend(signed).is_ok())
    });
}

#[test]
fn any_flipped_bit_of_a_record_is_refused() {
    let log = file::read_log(golden_text("files", "log")).unwrap();
    let chain = CharterChain::walk(log.charters).unwrap();
    for section in ["issue", "renew", "revoke"] {
        refuses_every_flip(&golden(section, "record"), |bytes| {
            decode_canonical::<schema::Record>("Record", bytes, 1 << 20)
                .is_ok_and(|record| verify_record(&chain, &record).is_ok())
        });
    }
}

#[test]
fn any_flipped_bit_of_a_removal_that_nobody_ordered_is_refused() {
    let log = file::read_log(golden_text("on_sight", "log")).unwrap();
    let chain = CharterChain::walk(log.charters).unwrap();
    let removal = file::read_statement(golden_text("on_sight", "unordered")).unwrap();
    refuses_every_flip(&removal.encode_to_vec(), |bytes| {
        signed(bytes).is_some_and(|signed| RemovalSeen::unordered(&chain, &signed).is_ok())
    });
}

#[test]
fn any_flipped_bit_of_a_request_is_refused() {
    refuses_every_flip(&golden("request", "signed"), |bytes| {
        signed(bytes).is_some_and(|signed| request::open(&signed, roster().charter()).is_ok())
    });
}

#[test]
fn any_flipped_bit_of_an_address_is_refused() {
    refuses_every_flip(&golden("address", "signed"), |bytes| {
        signed(bytes).is_some_and(|signed| address::verify(roster(), &signed, noon()).is_ok())
    });
}

#[test]
fn any_flipped_bit_of_a_contact_is_refused() {
    refuses_every_flip(&golden("contact", "signed"), |bytes| {
        signed(bytes).is_some_and(|signed| contact::verify(roster(), &signed, noon()).is_ok())
    });
}

#[test]
fn any_flipped_bit_of_a_beacon_is_refused() {
    refuses_every_flip(&golden("beacon", "signed"), |bytes| {
        signed(bytes).is_some_and(|signed| beacon::verify(roster().charter(), &signed, noon()).is_ok())
    });
}

#[test]
fn any_flipped_bit_of_an_envelope_is_refused() {
    let admission = Admission { origin: Origin::Sync, now: noon(), skew: Duration::from_secs(7200) };
    for name in ["one", "two"] {
        refuses_every_flip(&golden("messages", name), |bytes| {
            let verified =
                decode(bytes).ok().and_then(|decoded| decoded.attribute(roster()).ok()?.verify().ok());
            verified.is_some_and(|verified| verified.admit(roster(), admission).is_ok())
        });
    }
}

/// A key context and a grant carry no signature: their commitment is what holds them.
#[test]
fn any_flipped_bit_of_a_content_key_is_another_key() {
    use belfry_proto::{crypto::secret::Secret, envelope::ContentKey, id::KeyId};
    let id = KeyId::try_from(golden("messages", "key_id").as_slice()).unwrap();
    let secret = golden("messages", "content_secret");
    let context = golden("messages", "key_context");
    let is_key = |secret: &[u8], context: &[u8]| {
        ContentKey::from_parts(Secret::from_slice(secret).unwrap(), context, id).is_ok()
    };
    refuses_every_flip(&context, |context| is_key(&secret, context));
    refuses_every_flip(&secret, |secret| is_key(secret, &context));
}

#[test]
fn any_changed_letter_of_the_coalitions_words_is_refused_or_seen() {
    use belfry_proto::trust::words::from_words;
    let text = golden_text("ids", "words");
    let coalition = from_words(text).unwrap();
    let words: Vec<&str> = text.split(' ').collect();
    for place in 0..words.len() {
        let mut swapped = words.clone();
        swapped.swap(place, (place + 1) % words.len());
        assert!(swapped == words || from_words(&swapped.join(" ")) != Ok(coalition));
        let mut dropped = words.clone();
        dropped.remove(place);
        assert!(from_words(&dropped.join(" ")).is_err());
    }
}
