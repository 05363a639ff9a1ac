//! What a steward publishes for a member that is not to be named (design §8).
//!
//! Envelopes are signed, so anonymity needs a hand between. The message names the steward as its author, says *on behalf
//! of a member*, and nothing of which: that stands in this node's audit log alone. Readers that know only STIX see a
//! note that says the same of every object.

use belfry_proto::{
    guard::{Naming, Veil},
    id::MemberId,
    schema::Role,
    stix::object::Object,
    time::Timestamp,
    trust::{charter::Group, roster::Roster},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Publisher,
    submission::{Submission, SubmitError},
};

/// Objects that one note speaks of: its references are random, and it has to fit one message.
const MAX_REFS: usize = 1_000;
/// What a reader finds such notes by.
const LABEL: &str = "on-behalf-of-member";
/// Kinds that say nothing of the world.
const META: [&str; 3] = ["marking-definition", "extension-definition", "language-content"];

impl Publisher {
    /// The objects without what would name `member`, and what was done to them, in sentences.
    pub(super) fn veiled(
        &self,
        roster: &Roster,
        group: &Group,
        member: MemberId,
        submission: &Submission,
        objects: Vec<Object>,
        now: Timestamp,
    ) -> Result<(Vec<Object>, Vec<String>), SubmitError> {
        self.is_steward(roster, group, now)?;
        if member == self.identity.member {
            return Err(SubmitError::OnBehalfOfSelf);
        }
        let known = roster.member(member).ok_or(SubmitError::NotAReader(member))?;
        let veil = Veil::of(member, &known.organisation);
        veil.stated("class_label", &submission.class_label)?;
        for term in submission.handling.iter().flat_map(|handling| &handling.terms) {
            veil.stated("handling", term)?;
        }
        if let Some(reason) = &submission.reason {
            veil.stated("reason", reason)?;
        }
        let veiled = veil.over(objects)?;
        let mut said = vec![format!(
            "what goes out names this member as its author, and says that it is on behalf of a member; {} stands in \
             this node's audit log alone",
            known.organisation.name
        )];
        if veiled.unattributed > 0 {
            said.push(format!("created_by_ref was taken out of {} objects", veiled.unattributed));
        }
        if veiled.left_out > 0 {
            said.push(format!("{} identities that created others were left out", veiled.left_out));
        }
        Ok((veiled.objects, said))
    }

    /// Nobody else speaks for others.
    pub(super) fn is_steward(
        &self,
        roster: &Roster,
        group: &Group,
        now: Timestamp,
    ) -> Result<(), SubmitError> {
        match roster.role(self.identity.serial, group.id, now) {
            Some(Role::Steward) => Ok(()),
            _ => Err(SubmitError::NotASteward(group.slug.clone())),
        }
    }
}

/// For readers that know only STIX: notes that say of `objects` how they came here.
pub(super) fn notes(objects: &[Object], now: Timestamp) -> Result<Vec<Object>, SubmitError> {
    let ids: Vec<&str> =
        objects.iter().filter(|object| !META.contains(&object.kind())).map(Object::id).collect();
    let note = |refs: &[&str]| {
        let note = json!({
            "type": "note", "spec_version": "2.1", "id": format!("note--{}", Uuid::new_v4()),
            "created": now.to_string(), "modified": now.to_string(), "labels": [LABEL],
            "abstract": "On behalf of a member",
            "content": "A steward of the group published this on behalf of a member that is not named.",
            "object_refs": refs,
        });
        Object::parse(note.to_string().as_bytes()).map_err(|error| SubmitError::Fault(Box::new(error)))
    };
    ids.chunks(MAX_REFS).map(note).collect()
}

impl From<Naming> for SubmitError {
    fn from(found: Naming) -> Self {
        Self::NamesMember(found)
    }
}
