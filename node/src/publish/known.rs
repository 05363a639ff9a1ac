//! What a submission is known by: one that comes twice is taken once.

use belfry_proto::{crypto::pae::Pae, schema};
use prost::Message;

use super::submission::Submission;

/// What a submission is known by. What was made of a file needs no key: the file is one.
pub(super) fn key_of(submission: &Submission, digest: [u8; 32]) -> Option<String> {
    let own_key = || submission.origin.map(|_| format!("import:{}", hex::encode(digest)));
    submission.idempotency_key.clone().or_else(own_key).map(|key| scoped(submission, &key))
}

/// Idempotency keys of different tokens do not meet, unless they are the node's. No submitter's name is empty.
fn scoped(submission: &Submission, key: &str) -> String {
    match submission.is_key_of_node {
        true => of_node(key),
        false => format!("{}\u{0}{key}", submission.submitter),
    }
}

/// A key of the node's, as drafts have it.
pub(super) fn of_node(key: &str) -> String {
    format!("\u{0}{key}")
}

/// Everything a submitter said: the same key with another purpose or class is another submission.
pub(super) fn digest(submission: &Submission) -> [u8; 32] {
    let number = |wire: Option<i32>| wire.map_or(0, |n| u64::from(n.unsigned_abs()).saturating_add(1));
    let mut pae = Pae::new("belfry/v1/submission")
        .number(submission.group.get().into())
        .number(number(submission.tlp.map(|tlp| schema::Tlp::from(tlp).into())))
        .number(number(submission.purpose.map(Into::into)))
        .number(number(submission.pap.map(Into::into)))
        .number(submission.exclude_supervisors.into())
        .part(submission.origin.as_ref().map_or(&submission.bundle, <[u8; 32]>::as_slice))
        .part(submission.class_label.as_bytes())
        .number(submission.classes.len() as u64);
    for class in &submission.classes {
        pae = pae.number(number(Some((*class).into())));
    }
    for member in &submission.recipients {
        pae = pae.part(member.as_ref());
    }
    if let Some(handling) = &submission.handling {
        pae = pae.part(&handling.encode_to_vec());
    }
    // Last, and only if given: what was accepted before there were reasons keeps its digest.
    if let Some(reason) = &submission.reason {
        pae = pae.part(reason.as_bytes());
    }
    if let Some(member) = &submission.on_behalf_of {
        pae = pae.part(b"on-behalf").part(member.as_ref());
    }
    if submission.for_several {
        pae = pae.part(b"for-several");
    }
    if let Some(unmarked) = submission.unmarked {
        pae = pae.part(b"unmarked").number(number(Some(schema::Tlp::from(unmarked).into())));
    }
    pae.hash()
}
