//! Messages, from bytes to publication, and the keys that open them.

use std::time::Duration;

use belfry_proto::{
    crypto::{hash, pae::Pae, seal},
    envelope::{
        Admission, ContentKey, Header, KeyContext, Origin, RecipientContext, decode, open_block,
        payload::parse,
    },
    schema,
    topic::Topic,
    verdict::Judged,
};
use prost::Message;
use rand::{SeedableRng, rngs::StdRng};

use super::vectors::{content_key, golden, kem, noon, roster};

/// The whole ladder. What decodes writes itself back; what is verified is one of the golden messages, for
/// nobody here has the keys to make another.
pub fn envelope(bytes: &[u8]) {
    let decoded = match decode(bytes) {
        Ok(decoded) => decoded,
        Err(error) => {
            let _ = (error.verdict(), error.code(), error.to_string());
            return;
        }
    };
    assert_eq!(decoded.bytes(), bytes);
    let header = decoded.header().clone();
    assert_eq!(Header::decode(&header.to_wire().encode_to_vec()).as_ref(), Ok(&header));
    if let Ok(opened) = decoded.clone().trusted().open(&content_key()) {
        let _ = opened.parse();
    }
    for origin in [Origin::Sync, Origin::Gossip { topic: Topic::Group(header.group) }] {
        let Ok(attributed) = decoded.clone().attribute(roster()) else { return };
        let Ok(verified) = attributed.verify() else { return };
        let golden = [golden("messages", "one"), golden("messages", "two")];
        let wire = schema::Envelope::decode(bytes).unwrap();
        assert!(
            golden.iter().any(|message| {
                schema::Envelope::decode(message.as_slice()).unwrap().header == wire.header
            }),
            "a forgery verifies"
        );
        let admission = Admission { origin, now: noon(), skew: Duration::from_secs(120) };
        if let Ok(admitted) = verified.admit(roster(), admission) {
            let _ = admitted.open(&content_key()).map(|opened| opened.parse());
        }
    }
}

pub fn envelope_seeds() -> Vec<Vec<u8>> {
    vec![
        golden("messages", "one"),
        golden("messages", "two"),
        golden("data", "envelope"),
        golden("recipients", "envelope"),
        golden("withdrawal", "envelope"),
    ]
}

/// What a member that holds the key may have sealed: the bytes are what comes out of the cipher, so they
/// meet padding, decompression and parsing.
pub fn body(bytes: &[u8]) {
    let key = content_key();
    let golden = decode(&golden("messages", "one")).unwrap();
    let (coalition, nonce) = (golden.header().coalition, golden.header().sealing().unwrap().nonce);
    let mut wire = schema::Envelope::decode(golden.bytes()).unwrap();
    let associated = Pae::new("belfry/v1/body").part(coalition.as_ref()).part(&wire.header).into_bytes();
    let cipher_key = key.secret().derive("belfry/v1/content-key", &[key.id().as_ref()]);
    let sealed = seal::seal(&cipher_key, &nonce, &associated, bytes);
    (wire.body_hash, wire.body_len) = (hash::body(&sealed).to_vec(), sealed.len() as u64);
    wire.body = Some(sealed);
    let Ok(decoded) = decode(&wire.encode_to_vec()) else { return };
    if let Ok(opened) = decoded.trusted().open(&key) {
        let _ = opened.parse();
    }
}

pub fn body_seeds() -> Vec<Vec<u8>> {
    use belfry_proto::crypto::pad::pad;
    let payload = golden("data", "payload");
    // A stored block, which any zstd makes alike: magic, single-segment frame of one raw last block.
    let length = u16::try_from(payload.len() - 256).unwrap();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x60];
    frame.extend(length.to_le_bytes());
    frame.extend(&((u32::try_from(payload.len()).unwrap() << 3) | 1).to_le_bytes()[..3]);
    frame.extend(&payload);
    vec![pad(frame), pad(payload), vec![0; 1024], Vec::new()]
}

/// An opened payload.
pub fn payload(bytes: &[u8]) {
    match parse(bytes) {
        Ok(publication) => {
            assert!(!publication.objects.is_empty() && publication.part <= publication.parts);
        }
        Err(error) => drop((error.to_string(), error.verdict())),
    }
}

pub fn payload_seeds() -> Vec<Vec<u8>> {
    let plain = golden("data", "payload");
    let mut full = schema::Payload::decode(plain.as_slice()).unwrap();
    full.classes.push(schema::InformationClass::Other.into());
    full.class_label = "guidance".into();
    full.pap = schema::Pap::Amber.into();
    full.handling = Some(schema::HandlingConditions {
        embargo_until: 1_800_000_000_000_000,
        terms: vec!["attribution=must-not".into(), "resell=no".into()],
    });
    vec![plain, full.encode_to_vec()]
}

/// What a granting peer may have sealed to us.
pub fn grant(bytes: &[u8]) {
    if let Ok(context) = KeyContext::decode(bytes) {
        assert_eq!(context.encode(), bytes);
    }
    let (kem, key) = (kem(), content_key());
    let coalition = key.context().coalition;
    let info = Pae::new("belfry/v1/grant").part(coalition.as_ref()).part(key.id().as_ref()).into_bytes();
    let sealed = kem.public().seal(&mut StdRng::seed_from_u64(1), &info, bytes);
    if let Ok(granted) = ContentKey::from_grant(&kem, coalition, key.id(), &sealed) {
        assert_eq!(granted, key, "another key under one id");
    }
    assert!(ContentKey::from_grant(&kem, coalition, key.id(), bytes).is_err());
}

pub fn grant_seeds() -> Vec<Vec<u8>> {
    let context = golden("messages", "key_context");
    let grant = schema::Grant { secret: golden("messages", "content_secret"), context: context.clone() };
    vec![context, grant.encode_to_vec(), golden("data", "grant")]
}

/// A recipients block under the header that it was made for.
pub fn recipients(bytes: &[u8]) {
    let named = decode(&golden("recipients", "envelope")).unwrap();
    let header = named.header();
    // Trying a block costs many decapsulations; only what could be one is worth it.
    let stanzas = schema::Recipients::decode(bytes).map_or(0, |block| block.stanzas.len());
    if stanzas > 8 {
        return;
    }
    let _ = open_block(&kem(), RecipientContext::of(header), bytes, header.key_id().unwrap());
}

pub fn recipients_seeds() -> Vec<Vec<u8>> {
    let named = decode(&golden("recipients", "envelope")).unwrap().trusted();
    vec![named.recipients_block().unwrap().to_vec()]
}
