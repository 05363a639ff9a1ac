//! What this member goes on saying by other publications of what it takes back: it stays to be seen, and whoever takes
//! something back wants to know.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    id::{GroupId, MessageId, PublicationId},
    trust::roster::Roster,
};

use super::{Named, Publisher, WithdrawalRequest};
use crate::publish::again::Own;

/// Objects looked for, the first in the order of their ids. Too low ⇒ a large publication is told of in part, too high
/// ⇒ taking it back waits for the answer.
const MOST_OBJECTS: usize = 1_000;
/// Messages opened to see whose publication they are. Too low and too high ⇒ as above.
const MOST_MESSAGES: usize = 256;

/// Another publication of this member that says some of the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Where.
    pub group: GroupId,
    /// Which.
    pub publication: PublicationId,
    /// The objects, by their STIX ids.
    pub objects: BTreeSet<String>,
    /// This node made it, and can name it to take it back.
    pub is_made_here: bool,
}

impl Publisher {
    /// In any group. What cannot be read is passed over: it must not keep anybody from taking something back.
    pub(super) fn remains(
        &self,
        roster: &Roster,
        request: &WithdrawalRequest,
        targets: &[MessageId],
    ) -> Vec<Remains> {
        let gone: BTreeSet<MessageId> = targets.iter().copied().collect();
        let mut saying: BTreeMap<MessageId, (GroupId, BTreeSet<String>)> = BTreeMap::new();
        for object in self.taken_back(request, targets) {
            for group in roster.charter().groups() {
                // Those that go are among them.
                let most = MOST_MESSAGES.saturating_add(gone.len());
                let found = self.store.messages_saying(group.id, &object, self.identity.member, most);
                for message in found.unwrap_or_default().into_iter().filter(|message| !gone.contains(message))
                {
                    saying
                        .entry(message)
                        .or_insert_with(|| (group.id, BTreeSet::new()))
                        .1
                        .insert(object.clone());
                }
            }
        }
        let mut found: BTreeMap<(GroupId, PublicationId), BTreeSet<String>> = BTreeMap::new();
        for (message, (group, objects)) in saying.into_iter().take(MOST_MESSAGES) {
            if let Ok(Some(Own { publication: Some(said), .. })) = self.own(message) {
                found.entry((group, said.id)).or_default().extend(objects);
            }
        }
        let told = found.into_iter().map(|((group, publication), objects)| {
            let is_made_here = self.store.draft(publication).is_ok_and(|draft| draft.is_some());
            Remains { group, publication, objects, is_made_here }
        });
        told.collect()
    }

    /// The objects that this member takes back. Not those that come with almost everything it publishes: markings, and
    /// whom it names as the author.
    fn taken_back(&self, request: &WithdrawalRequest, targets: &[MessageId]) -> BTreeSet<String> {
        let mut objects = match &request.named {
            Named::Objects(objects) => return objects.iter().take(MOST_OBJECTS).cloned().collect(),
            Named::Versions { object, .. } => return [object.clone()].into(),
            Named::Messages(_) | Named::Publication(_) => BTreeSet::new(),
        };
        let mut authors = BTreeSet::new();
        for target in targets {
            let is_ours = self
                .store
                .message(*target)
                .ok()
                .flatten()
                .is_some_and(|row| row.member == self.identity.member);
            if !is_ours || objects.len() > MOST_OBJECTS {
                continue;
            }
            let Ok(Some(Own { publication: Some(said), .. })) = self.own(*target) else { continue };
            for object in &said.objects {
                authors.extend(object.created_by().map(str::to_owned));
                if !matches!(object.kind(), "marking-definition" | "extension-definition") {
                    objects.insert(object.id().to_owned());
                }
            }
        }
        objects.retain(|object| !authors.contains(object));
        objects.into_iter().take(MOST_OBJECTS).collect()
    }
}
