//! What a tool that takes something back hands in and what it is told.

use std::collections::BTreeSet;

use belfry_proto::{
    crypto::pae::Pae,
    id::{GroupId, MessageId, PublicationId},
    schema::{WithdrawalGround, WithdrawalMode},
    stix::object::Object,
};

use super::{MAX_AGAIN, MAX_MESSAGES, Remains};
use crate::{publish::submission::SubmitError, store::ReadError};

/// What is to be taken back.
#[derive(Clone, Debug)]
pub enum Named {
    /// These messages; for a lift, these withdrawals.
    Messages(Vec<MessageId>),
    /// All messages of a publication of this node.
    Publication(PublicationId),
    /// What this member says of these objects, in every version, by their STIX ids.
    Objects(Vec<String>),
    /// The same of one object, in some of its versions.
    Versions {
        /// By its STIX id.
        object: String,
        /// As stated: `modified`, else `created`, else empty.
        versions: BTreeSet<String>,
    },
}

impl Named {
    /// Whether messages are found by what they say, and what else they say goes out again.
    pub(super) const fn is_by_object(&self) -> bool {
        matches!(self, Self::Objects(_) | Self::Versions { .. })
    }

    /// Whether it is this object, in this version, that goes.
    pub(super) fn means(&self, said: &Object) -> bool {
        match self {
            Self::Messages(_) | Self::Publication(_) => true,
            Self::Objects(objects) => objects.iter().any(|named| named == said.id()),
            Self::Versions { object, versions } => said.id() == object && versions.contains(said.version()),
        }
    }
}

/// A withdrawal on its way into a group.
#[derive(Clone, Debug)]
pub struct WithdrawalRequest {
    /// Where they stand.
    pub group: GroupId,
    /// Which.
    pub named: Named,
    /// Retract, erase or lift.
    pub mode: WithdrawalMode,
    /// Why; unset says that the author wants it.
    pub ground: Option<WithdrawalGround>,
    /// As for a submission.
    pub idempotency_key: Option<String>,
    /// Name of the access token used.
    pub submitter: String,
    /// It waits for a person: nothing is taken back before.
    pub hold: bool,
}

/// The answer to a withdrawal whose draft is durable.
#[derive(Clone, Debug)]
pub struct Withdrawn {
    /// Follows it, like any publication.
    pub publication: PublicationId,
    /// Messages it ends; or withdrawals it lifts.
    pub targets: Vec<MessageId>,
    /// Objects that go out again, because only others of their message are taken back.
    pub republished: usize,
    /// Other publications of this member that go on saying what is taken back.
    pub remains: Vec<Remains>,
    /// This idempotency key was accepted before; nothing new was stored.
    pub duplicate: bool,
}

/// Why nothing is withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// What stands in the way of a submission, too.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// An empty list.
    #[error("nothing is named: name messages, a publication or objects")]
    Nothing,
    /// Too long a list.
    #[error("{0} messages; one request takes back at most {MAX_MESSAGES}")]
    TooMany(usize),
    /// Not here.
    #[error("this node has no message {0}")]
    UnknownMessage(MessageId),
    /// A withdrawal reaches no further than its group.
    #[error("message {0} stands in another group")]
    OtherGroup(MessageId),
    /// A withdrawal is named where a message should be.
    #[error("message {0} is itself a withdrawal, and those are not withdrawn; a steward's is lifted")]
    NotData(MessageId),
    /// Neither ours nor are we a steward.
    #[error("message {0} is another member's, and this node is no steward of the group")]
    NotOurs(MessageId),
    /// A steward says why.
    #[error(
        "message {0} is another member's: say on which ground (false-positive, personal-data, confidentiality, rules)"
    )]
    GroundMissing(MessageId),
    /// Data, or an author's own word.
    #[error("message {0} is no steward's withdrawal, so there is nothing to lift")]
    NotLiftable(MessageId),
    /// Another steward's, and we are none.
    #[error("withdrawal {0} is another member's, and this node is no steward of the group")]
    NotASteward(MessageId),
    /// Not one of this node's.
    #[error("this node made no publication {0}")]
    UnknownPublication(PublicationId),
    /// Nobody has it yet.
    #[error("publication {0} has not been sent yet; withdraw it once it is")]
    NotSent(PublicationId),
    /// Nothing of ours says it.
    #[error("this member says nothing of {0} in the group, or has taken it back already")]
    UnknownObject(String),
    /// What else its messages say is too much for one withdrawal.
    #[error(
        "what else these messages say would be published again, and that is more than the {MAX_AGAIN} bytes of one withdrawal: \
         name messages or versions, a few at a time"
    )]
    TooMuchAgain,
    /// The rest cannot go out again by itself.
    #[error(
        "message {message} also says {}: {why}; withdraw the message itself, and publish again what is to stay",
        other_objects(*.others)
    )]
    Shares {
        /// Which.
        message: MessageId,
        /// How many.
        others: usize,
        /// What is in the way.
        why: &'static str,
    },
}

fn other_objects(count: usize) -> String {
    match count {
        1 => "1 other object".to_owned(),
        count => format!("{count} other objects"),
    }
}

impl From<ReadError> for WithdrawError {
    fn from(error: ReadError) -> Self {
        super::fault(error)
    }
}

impl WithdrawalRequest {
    pub(super) fn scoped_key(&self) -> Option<String> {
        self.idempotency_key.as_deref().map(|key| format!("{}\u{0}{key}", self.submitter))
    }

    /// What the idempotency key stands for.
    pub(super) fn digest(&self) -> [u8; 32] {
        let ground = self.ground.map_or(0, i32::from);
        let mut pae = Pae::new("belfry/v1/withdrawal-request")
            .number(self.group.get().into())
            .number(u64::from(i32::from(self.mode).unsigned_abs()))
            .number(u64::from(ground.unsigned_abs()));
        match &self.named {
            Named::Messages(messages) => {
                for message in messages {
                    pae = pae.part(message.as_ref());
                }
            }
            Named::Publication(publication) => pae = pae.part(publication.as_ref()),
            Named::Objects(objects) => {
                for object in objects {
                    pae = pae.part(object.as_bytes());
                }
            }
            Named::Versions { object, versions } => {
                pae = pae.part(object.as_bytes()).number(versions.len() as u64);
                for version in versions {
                    pae = pae.part(version.as_bytes());
                }
            }
        }
        pae.hash()
    }
}
