//! What this member says by another way than the one something comes by: who brings the next version of another's object, or
//! revokes it, speaks in that other's place, and a person should see that.

use std::collections::BTreeSet;

use belfry_proto::{
    id::{GroupId, MessageId},
    stix::{bundle::Bundle, object::Object},
};

use super::{
    Publisher,
    again::Own,
    submission::{Submission, SubmitError},
    submit::blocking,
};
use crate::store::MessageState;

/// Messages opened for one submission. Too low ⇒ a page whose objects came one by one waits for a person, too high ⇒ it takes
/// seconds to look.
const MOST_MESSAGES: usize = 1_024;

/// By which way a message of this member says an object.
enum Way {
    /// The submitter's own; or nobody's any more.
    Its,
    /// Another, with the same content.
    Alike,
    Another,
}

impl Publisher {
    /// The first object of a submission that stands in a message of this member by another submitter, or from another of its
    /// nodes, and says something else there; or that is said by more messages than are looked at. Observables and markings
    /// have no next version: nobody's place is taken by them. What is not sent yet, or is taken back, is not said.
    ///
    /// # Errors
    /// [`SubmitError::Fault`].
    pub async fn said_otherwise(&self, submission: &Submission) -> Result<Option<String>, SubmitError> {
        let (this, group) = (self.clone(), submission.group);
        let (submitter, bundle) = (submission.submitter.clone(), submission.bundle.clone());
        blocking(move || {
            // What is wrong with it is told when it is handed in.
            let Ok(bundle) = Bundle::parse(&bundle) else { return Ok(None) };
            this.otherwise(group, &submitter, &bundle.into_objects())
        })
        .await
    }

    fn otherwise(
        &self,
        group: GroupId,
        submitter: &str,
        objects: &[Object],
    ) -> Result<Option<String>, SubmitError> {
        let mut its: BTreeSet<MessageId> = BTreeSet::new();
        let mut opened = 0;
        for object in objects.iter().filter(|object| object.modified().is_some()) {
            let own = self.identity.member;
            let known = its.len();
            let most = MOST_MESSAGES.saturating_add(1).saturating_add(known);
            for message in self.store.messages_saying(group, object.id(), own, most)? {
                if its.contains(&message) {
                    continue;
                }
                opened += 1;
                if opened > MOST_MESSAGES {
                    return Ok(Some(object.id().to_owned()));
                }
                match self.way(message, submitter, object)? {
                    Way::Its => {
                        its.insert(message);
                    }
                    Way::Alike => {}
                    Way::Another => return Ok(Some(object.id().to_owned())),
                }
            }
        }
        Ok(None)
    }

    fn way(&self, message: MessageId, submitter: &str, object: &Object) -> Result<Way, SubmitError> {
        let row = self.store.message(message)?;
        if row.is_none_or(|row| row.state == MessageState::Withdrawn) {
            return Ok(Way::Its);
        }
        // It does not open here any more: nobody knows by which way.
        let Some(Own { publication: Some(said), .. }) = self.own(message)? else { return Ok(Way::Another) };
        if self.store.draft(said.id)?.is_some_and(|draft| draft.submitter == submitter) {
            return Ok(Way::Its);
        }
        let mut before = said.objects.iter().filter(|before| before.id() == object.id());
        Ok(if before.all(|before| is_alike(before, object)) { Way::Alike } else { Way::Another })
    }
}

/// Whether two versions say the same, times aside.
fn is_alike(one: &Object, other: &Object) -> bool {
    let said = |object: &Object| {
        let mut said = object.properties();
        for time in ["created", "modified"] {
            said.remove(time);
        }
        said
    };
    one.raw() == other.raw() || said(one) == said(other)
}
