//! The coalition: its members, groups, texts and log.

use utoipa::ToSchema;

/// What members accept.
#[derive(ToSchema)]
pub(in super::super) struct Rules {
    /// Version of the charter that names it.
    charter: u64,
    texts: Vec<RulesText>,
    /// By when; null if nobody is asked.
    accept_by: Option<String>,
    /// What becomes of who has not: `warn`, `stop-publishing` or `suspend`.
    unaccepted: Option<String>,
    /// Whether this node's member has; null for a node without a certificate.
    accepted: Option<bool>,
}

#[derive(ToSchema)]
struct RulesText {
    /// `arrangement` or `rules-of-conduct`.
    text: String,
    version: String,
    link: String,
    /// BLAKE3 in belfry's own domain.
    hash: String,
    /// A file with that hash is here.
    here: bool,
}

/// Groups.
#[derive(ToSchema)]
pub(in super::super) struct Groups {
    groups: Vec<Group>,
}

#[derive(ToSchema)]
struct Group {
    id: u32,
    slug: String,
    name: String,
    description: String,
    parent: Option<String>,
    /// Id of its TAXII collection.
    collection: String,
    max_tlp: Option<String>,
    default_purpose: Option<String>,
    role: Option<String>,
    can_read: bool,
    can_write: bool,
}

/// Members.
#[derive(ToSchema)]
pub(in super::super) struct Members {
    members: Vec<Member>,
    /// Of the page that follows, if there is one.
    #[schema(nullable = false)]
    next: Option<String>,
}

#[derive(ToSchema)]
struct Member {
    id: String,
    organisation: String,
    sector: String,
    classes: Vec<String>,
    /// Names of the entities it supplies.
    #[schema(nullable = false)]
    supplier_of: Option<Vec<String>>,
    capacity: Option<String>,
    certificates: Vec<MemberCertificate>,
}

#[derive(ToSchema)]
struct MemberCertificate {
    serial: u64,
    standing: String,
    carrier: bool,
    /// Slug and role.
    groups: Vec<Vec<String>>,
    #[schema(format = DateTime)]
    not_before: String,
    #[schema(format = DateTime)]
    not_after: String,
    /// The moment still to come at which it ends by decision, whatever `not_after` says; null if none was taken.
    #[schema(format = DateTime)]
    ends: Option<String>,
}

/// Contacts.
#[derive(ToSchema)]
pub(in super::super) struct Contacts {
    contacts: Vec<Contact>,
    /// Of the page that follows, if there is one.
    #[schema(nullable = false)]
    next: Option<String>,
}

/// One member's.
#[derive(ToSchema)]
pub(in super::super) struct ContactAnswer {
    /// Null if it says none.
    contact: Option<Contact>,
}

#[derive(ToSchema)]
struct Contact {
    member: String,
    organisation: String,
    /// This node's own member.
    own: bool,
    /// Serial of the certificate whose key signed it.
    certificate: u64,
    #[schema(format = DateTime)]
    made: String,
    mailboxes: Vec<ContactMailbox>,
}

#[derive(ToSchema)]
struct ContactMailbox {
    /// `incident`, `abuse`, `vulnerability`, `privacy`, `legal` or `admin`.
    role: String,
    #[schema(nullable = false)]
    email: Option<String>,
    #[schema(nullable = false)]
    url: Option<String>,
    #[schema(nullable = false)]
    phone: Option<String>,
    /// Fingerprint in hex.
    #[schema(nullable = false)]
    openpgp: Option<String>,
    #[schema(nullable = false)]
    key_url: Option<String>,
    #[schema(nullable = false)]
    languages: Option<Vec<String>>,
    #[schema(nullable = false)]
    hours: Option<String>,
}

/// All mailboxes there are from now on.
#[derive(ToSchema)]
pub(in super::super) struct ContactWanted {
    /// At most 8, each with `email` or `url`; none takes back what there was.
    mailboxes: Vec<ContactMailbox>,
    /// That none of them is a natural person's, although one looks so.
    #[schema(nullable = false)]
    confirmed: Option<bool>,
}

/// What was signed and told.
#[derive(ToSchema)]
pub(in super::super) struct ContactMade {
    #[schema(format = DateTime)]
    made: String,
    mailboxes: usize,
}

/// Newest messages.
#[derive(ToSchema)]
pub(in super::super) struct Heads {
    heads: Vec<Head>,
}

#[derive(ToSchema)]
struct Head {
    serial: u64,
    group: u32,
    slug: String,
    log: String,
    sequence: u64,
    message: String,
}

/// What a log file came to.
#[derive(ToSchema)]
pub(in super::super) struct Imported {
    height_before: u64,
    height: u64,
    offered: u64,
    charter_before: u64,
    charter: u64,
    vouches_until: Option<String>,
    /// Of a removal that no registrar ordered, whether it was news.
    removes: Option<bool>,
}

/// The admin log.
#[derive(ToSchema)]
pub(in super::super) struct LogFile {
    /// A BELFRY LOG file.
    file: String,
}

/// Proofs that the registrar signed two logs.
#[derive(ToSchema)]
pub(in super::super) struct Equivocations {
    equivocations: Vec<Equivocation>,
}

#[derive(ToSchema)]
struct Equivocation {
    /// With two entries.
    height: u64,
    /// Ids of both, this node's first.
    entries: Vec<String>,
    /// The key that signed both.
    registrar: String,
    /// A BELFRY EQUIVOCATION file.
    file: String,
}

/// Who is new among the readers.
#[derive(ToSchema)]
pub(in super::super) struct Newcomers {
    newcomers: Vec<Newcomer>,
    /// Of the page that follows, if there is one.
    #[schema(nullable = false)]
    next: Option<String>,
}

#[derive(ToSchema)]
struct Newcomer {
    member: String,
    organisation: String,
    classes: Vec<String>,
    capacity: Option<String>,
    certificates: Vec<u64>,
    groups: Vec<NewIn>,
    /// New nodes of a member that read before; of this node's own, any.
    nodes: Vec<NewNode>,
    /// Since when this node keeps older keys from it.
    held_since: Option<String>,
}

#[derive(ToSchema)]
struct NewNode {
    certificate: u64,
    /// What of this node's groups it reads; all that it reads, if it is of this node's own member.
    groups: Vec<NewIn>,
}

#[derive(ToSchema)]
struct NewIn {
    id: u32,
    slug: String,
    #[schema(format = DateTime)]
    since: String,
    old_keys_from: Option<String>,
}

/// Whom to keep older keys from.
#[derive(ToSchema)]
pub(in super::super) struct HoldWanted {
    /// Member id or organisation name.
    member: String,
}

/// Whom older keys are kept from.
#[derive(ToSchema)]
pub(in super::super) struct HoldMade {
    member: String,
}

/// Give and take of a month, group by group.
#[derive(ToSchema)]
pub(in super::super) struct Activity {
    activity: Vec<GroupActivity>,
}

#[derive(ToSchema)]
struct GroupActivity {
    group: String,
    name: String,
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    until: String,
    given: Given,
    taken: u64,
    opened: u64,
    /// Of all members together; nothing where too few published.
    all: Option<Together>,
}

#[derive(ToSchema)]
struct Given {
    messages: u64,
    withdrawals: u64,
    bytes: u64,
}

#[derive(ToSchema)]
struct Together {
    members: usize,
    messages: u64,
    /// Nothing where too few withdrew something.
    withdrawals: Option<u64>,
}
