//! Two genuine messages of one author, and every way to make a third of their parts.

use std::time::Duration;

use belfry_proto::{
    envelope::{Admission, Origin, decode},
    schema::{Envelope, Header},
};
use prost::Message;

use crate::vectors::{golden, noon, roster};

fn is_admitted(envelope: &Envelope) -> bool {
    let admission = Admission { origin: Origin::Sync, now: noon(), skew: Duration::from_secs(7200) };
    let decoded = decode(&envelope.encode_to_vec()).ok();
    let verified = decoded.and_then(|decoded| decoded.attribute(roster()).ok()?.verify().ok());
    verified.is_some_and(|verified| verified.admit(roster(), admission).is_ok())
}

type Swap<T> = (&'static str, fn(&mut T, &T));

#[test]
fn any_part_swapped_between_two_messages_is_refused() {
    let [one, two] =
        ["one", "two"].map(|name| Envelope::decode(golden("messages", name).as_slice()).unwrap());
    assert!(is_admitted(&one) && is_admitted(&two));
    let parts: [Swap<Envelope>; 5] = [
        ("header", |to, from| to.header.clone_from(&from.header)),
        ("body hash", |to, from| to.body_hash.clone_from(&from.body_hash)),
        ("signature", |to, from| to.signature.clone_from(&from.signature)),
        ("body", |to, from| to.body.clone_from(&from.body)),
        ("body and its hash", |to, from| {
            (to.body_hash, to.body, to.body_len) = (from.body_hash.clone(), from.body.clone(), from.body_len);
        }),
    ];
    for (what, swap) in parts {
        for (to, from) in [(&one, &two), (&two, &one)] {
            let mut mixed = to.clone();
            swap(&mut mixed, from);
            assert_ne!(&mixed, to, "{what} does not differ");
            assert!(!is_admitted(&mixed), "{what}");
        }
    }
}

#[test]
fn any_header_field_swapped_between_two_messages_is_refused() {
    let fields: [Swap<Header>; 19] = [
        ("coalition", |to, from| to.coalition.clone_from(&from.coalition)),
        ("group", |to, from| to.group = from.group),
        ("member", |to, from| to.member.clone_from(&from.member)),
        ("serial", |to, from| to.serial = from.serial),
        ("log", |to, from| to.log.clone_from(&from.log)),
        ("log_instance", |to, from| to.log_instance.clone_from(&from.log_instance)),
        ("predecessor", |to, from| to.predecessor.clone_from(&from.predecessor)),
        ("sequence", |to, from| to.sequence = from.sequence),
        ("prev", |to, from| to.prev.clone_from(&from.prev)),
        ("created", |to, from| to.created = from.created),
        ("kind", |to, from| to.kind = from.kind),
        ("audience", |to, from| to.audience = from.audience),
        ("targets", |to, from| to.targets.clone_from(&from.targets)),
        ("key_id", |to, from| to.key_id.clone_from(&from.key_id)),
        ("nonce", |to, from| to.nonce.clone_from(&from.nonce)),
        ("recipients_hash", |to, from| to.recipients_hash.clone_from(&from.recipients_hash)),
        ("roster", |to, from| to.roster.clone_from(&from.roster)),
        ("withdrawal_mode", |to, from| to.withdrawal_mode = from.withdrawal_mode),
        ("withdrawal_ground", |to, from| to.withdrawal_ground = from.withdrawal_ground),
    ];
    // Messages as unlike as can be: of another coalition, to named members, a withdrawal.
    let mut donors: Vec<Header> = ["data", "recipients", "withdrawal"]
        .map(|section| {
            let envelope = Envelope::decode(golden(section, "envelope").as_slice()).unwrap();
            Header::decode(envelope.header.as_slice()).unwrap()
        })
        .into();
    for name in ["one", "two"] {
        let envelope = Envelope::decode(golden("messages", name).as_slice()).unwrap();
        donors.push(Header::decode(envelope.header.as_slice()).unwrap());
    }
    let stranger = Header {
        member: vec![1; 16],
        log_instance: vec![2; 16],
        predecessor: vec![3; 32],
        ..donors[0].clone()
    };
    donors.push(stranger);
    let mut differed = std::collections::BTreeSet::new();
    for name in ["one", "two"] {
        let whole = Envelope::decode(golden("messages", name).as_slice()).unwrap();
        let header = Header::decode(whole.header.as_slice()).unwrap();
        for donor in &donors {
            for (what, swap) in fields {
                let mut mixed = header.clone();
                swap(&mut mixed, donor);
                if mixed == header {
                    continue;
                }
                differed.insert(what);
                let bent = Envelope { header: mixed.encode_to_vec(), ..whole.clone() };
                assert!(!is_admitted(&bent), "{what}");
            }
        }
    }
    assert_eq!(differed.len(), fields.len(), "{differed:?}");
}
