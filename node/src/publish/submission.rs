//! What a submitter hands in and what it is told: plain values, the same for every way in.
//!
//! A submission is accepted once its sealed *draft* is durable (design §4); log position, key and
//! signature are assigned later, at flush. [`DraftStatus`] is how one follows it until then.

use belfry_proto::{
    guard::{Naming, ReasonError, Report, Weight},
    id::{GroupId, MemberId, MessageId, PublicationId},
    schema::{Audience, HandlingConditions, InformationClass, Pap, Purpose},
    stix::marking::Tlp,
    time::Timestamp,
};

use crate::store::ReadError;

/// A STIX bundle on its way into a group.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Where to.
    pub group: GroupId,
    /// A STIX 2.1 bundle as received; not yet parsed.
    pub bundle: Vec<u8>,
    /// Marking of the publication; unset leaves it to the objects and the default.
    pub tlp: Option<Tlp>,
    /// Marking that objects without one count as; unset takes the node's default, and only where none carries one.
    pub unmarked: Option<Tlp>,
    /// Stated aim; unset takes the group's visible default.
    pub purpose: Option<Purpose>,
    /// Stated information classes; empty takes those the objects' types say.
    pub classes: Vec<InformationClass>,
    /// What "other" means, when it is among the classes.
    pub class_label: String,
    /// Permissible actions.
    pub pap: Option<Pap>,
    /// Conditions of handling; what exports of every node enforce.
    pub handling: Option<HandlingConditions>,
    /// Named members who alone may open it; empty is the whole group.
    pub recipients: Vec<MemberId>,
    /// Leaves supervising authorities out of the readers.
    pub exclude_supervisors: bool,
    /// The submitter's own name for this submission; the same again is the same publication.
    pub idempotency_key: Option<String>,
    /// That key is this node's and not one submitter's: whoever comes second submits the same, or is refused.
    pub is_key_of_node: bool,
    /// Why it goes out although a guard objects; kept with the draft.
    pub reason: Option<String>,
    /// Waits for a person to release it.
    pub hold: bool,
    /// Waits, too, if all that a guard objects to is that another member shared it more narrowly: whoever hands it in has no way
    /// of giving a reason, and what others did is not its fault.
    pub hold_if_passed_on: bool,
    /// One of the node's own sources brings it.
    pub is_from_source: bool,
    /// Whom a steward publishes it for; never leaves this node.
    pub on_behalf_of: Option<MemberId>,
    /// A steward publishes it for several, in words that this node made itself and that hold nothing to veil.
    pub for_several: bool,
    /// Hash of what the bundle was made of, in whose place it stands when submissions are compared; without an
    /// idempotency key it is one.
    pub origin: Option<[u8; 32]>,
    /// Name of the access token used, or `source:` and the name of a source.
    pub submitter: String,
}

impl Submission {
    /// One that states nothing and holds nothing yet.
    #[must_use]
    pub fn of(group: GroupId, submitter: &str) -> Self {
        Self {
            group,
            bundle: Vec::new(),
            tlp: None,
            unmarked: None,
            purpose: None,
            classes: Vec::new(),
            class_label: String::new(),
            pap: None,
            handling: None,
            recipients: Vec::new(),
            exclude_supervisors: false,
            idempotency_key: None,
            is_key_of_node: false,
            reason: None,
            hold: false,
            hold_if_passed_on: false,
            is_from_source: false,
            on_behalf_of: None,
            for_several: false,
            origin: None,
            submitter: submitter.to_owned(),
        }
    }

    pub(super) const fn is_on_behalf(&self) -> bool {
        self.for_several || self.on_behalf_of.is_some()
    }
}

/// An object by the two things TAXII names it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// STIX id.
    pub id: String,
    /// `modified`, else `created`, else empty.
    pub version: String,
}

/// The answer to a submission whose draft is durable.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Names it from now on.
    pub publication: PublicationId,
    /// Where to.
    pub group: GroupId,
    /// Marking it goes out under.
    pub tlp: Option<Tlp>,
    /// Who of the group may open it.
    pub audience: Audience,
    /// Members that alone can open it; empty for the whole audience.
    pub recipients: Vec<MemberId>,
    /// Messages it will become.
    pub parts: u32,
    /// Objects in it.
    pub objects: u32,
    /// Their STIX ids, in the bundle's order.
    pub object_ids: Vec<String>,
    /// This idempotency key was accepted before; nothing new was stored.
    pub duplicate: bool,
    /// What its author should know of it.
    pub notes: Vec<String>,
    /// It waits for a person.
    pub held: bool,
    /// Why it goes out although a guard objects, as that is kept; none where this call kept none.
    pub reason: Option<String>,
}

/// How far a draft has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftState {
    /// Durable here, waiting for a person to release it.
    Held,
    /// Durable here, waiting to be flushed.
    Drafted,
    /// In the own log, durable, handed to the network.
    Flushed,
    /// Flushed, and every message of it withdrawn since.
    Withdrawn,
    /// Will never be flushed; the error says why.
    Refused,
}

impl DraftState {
    /// The word the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Drafted => "drafted",
            Self::Flushed => "flushed",
            Self::Withdrawn => "withdrawn",
            Self::Refused => "refused",
        }
    }
}

/// A publication as its submitter may follow it.
#[derive(Clone, Debug)]
pub struct DraftStatus {
    /// Which one.
    pub publication: PublicationId,
    /// Where to.
    pub group: GroupId,
    /// Marking it goes out under; unset of a withdrawal.
    pub tlp: Option<Tlp>,
    /// Who of the group may open it.
    pub audience: Audience,
    /// Members that alone can open it; empty for the whole audience.
    pub recipients: Vec<MemberId>,
    /// Token name it was submitted with.
    pub submitter: String,
    /// When the draft became durable.
    pub accepted: Timestamp,
    /// How far it has come.
    pub state: DraftState,
    /// Messages it becomes or became.
    pub parts: u32,
    /// Every object in it, in the bundle's order.
    pub objects: Vec<ObjectName>,
    /// Messages it became; empty until flushed.
    pub messages: Vec<MessageId>,
    /// Of them, those that this member or a steward withdrew since.
    pub withdrawn: usize,
    /// No other entitled member holds the key yet.
    pub readable_only_here: bool,
    /// Why it waits or was refused.
    pub error: Option<String>,
    /// Why it goes out although a guard objected.
    pub reason: Option<String>,
}

/// Why a submission was not accepted; nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The charter has no such group.
    #[error("the charter has no group {0}")]
    UnknownGroup(GroupId),
    /// The certificate, not the token, lacks the role.
    #[error("this node's certificate does not let it publish in group {0}")]
    NotAPublisher(GroupId),
    /// The bytes are no STIX bundle, so there is nothing to hold a rule against.
    #[error("not a STIX bundle: {0}")]
    NotABundle(String),
    /// The bundle, or one object of it, breaks a rule.
    #[error("{}{}{rule}", object.as_deref().map(|id| format!("{id}: ")).unwrap_or_default(),
        path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default())]
    Content {
        /// STIX id of the object, where it has one.
        object: Option<String>,
        /// Property path within it.
        path: Option<String>,
        /// The rule it breaks.
        rule: String,
    },
    /// Above the group's ceiling.
    #[error("TLP:{found} is above TLP:{most}, the most this group takes")]
    AboveCeiling {
        /// Effective marking found.
        found: Tlp,
        /// The group's ceiling.
        most: Tlp,
    },
    /// RED reaches named members only.
    #[error("TLP:RED goes to named recipients; name them")]
    RedWithoutRecipients,
    /// Only stewards speak for others.
    #[error(
        "only a steward of `{0}` publishes on behalf of another member, and this node's certificate is not one there; \
         `belfry members` says who is"
    )]
    NotASteward(String),
    /// No hand between.
    #[error("that is this member itself: leave out on whose behalf it is")]
    OnBehalfOfSelf,
    /// It would not go out unnamed.
    #[error("{0}")]
    NamesMember(Naming),
    /// Released, sent or discarded already, or never held.
    #[error("{0} is not a draft that waits for a person")]
    NotHeld(PublicationId),
    /// It tells of a version that waits itself.
    #[error(
        "it says that a proposal was accepted, and the version that does so waits, too: release {0} first, or discard both"
    )]
    VersionHeld(PublicationId),
    /// It tells of a version that never goes out.
    #[error(
        "it says that a proposal was accepted, and the version that does so was discarded or refused: discard this, too"
    )]
    VersionGone,
    /// What it was decided on changed at that moment.
    #[error("what was known when {0} was looked at has changed at this moment: look at it again")]
    Overtaken(PublicationId),
    /// A guard objects, and no reason was given or none would do.
    #[error("{}", guarded(.0))]
    Guarded(Box<Report>),
    /// The reason itself.
    #[error("{0}")]
    Reason(#[from] ReasonError),
    /// More than a person looks through.
    #[error(
        "{limit} drafts of {submitter} wait for a person already: release or discard some (`belfry drafts list`)"
    )]
    TooManyHeld {
        /// Whose.
        submitter: String,
        /// The most.
        limit: usize,
    },
    /// A recipient that cannot read the group.
    #[error("member {0} has no valid certificate to read this group")]
    NotAReader(MemberId),
    /// More nodes than one message can name.
    #[error("{count} recipient nodes; one message reaches at most {limit}")]
    TooManyRecipients {
        /// Nodes named.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// The idempotency key came before with another submission.
    #[error("this idempotency key was used for a different submission")]
    IdempotencyMismatch,
    /// The data folder's file system is below its floor; the same submission succeeds once there is room.
    #[error("this node only reads: free space on its data folder is below store.free_space_floor")]
    NoRoom,
    /// Queue or shutdown: the same submission may succeed later.
    #[error("not accepting submissions now: {0}")]
    Unavailable(&'static str),
    /// A fault of this node's; details are for the log only.
    #[error("the draft could not be stored")]
    Fault(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The gravest objection, and how many there are.
fn guarded(report: &Report) -> String {
    let gravest = report.objections.first().map(ToString::to_string).unwrap_or_default();
    let others = match report.objections.len().saturating_sub(1) + report.more {
        0 => String::new(),
        more => format!(" ({more} more)"),
    };
    match report.gravest() {
        Some(Weight::Refused) => format!("{gravest}{others}; such numbers never leave, take them out"),
        _ => format!("{gravest}{others}; give a reason to publish it nevertheless"),
    }
}

impl From<ReadError> for SubmitError {
    fn from(error: ReadError) -> Self {
        Self::Fault(Box::new(error))
    }
}
