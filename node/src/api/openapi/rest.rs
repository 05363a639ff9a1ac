//! REST, the stream, probes and metrics.

use super::{
    operation::{Content, Operation, Param},
    shapes::{
        Accepted, Activity, Answer, Answered, Audit, Backup, BackupWanted, Bundle, ContactAnswer,
        ContactMade, ContactWanted, Contacts, DeadLetters, Description, Drafts, Envelope, Equivocations,
        ExportReport, Exports, FileImported, Forks, Groups, Heads, Health, HeldDraft, HoldMade, HoldWanted,
        Holders, HookTries, Hooks, Imported, LogFile, Lookup, LookupAnswer, Members, Message, Misp,
        MispEvents, MispFound, MispSearch, MispSighted, MispSighting, MispTypes, MispUser, MispVersion,
        NewToken, Newcomers, Objects, Peers, Preview, Proposal, ProposalMade, Proposals, Publication,
        Released, Replayed, Rotation, Rules, Sighted, Sighting, SourceRun, Sources, Status, SubjectFound,
        SubjectWanted, Sync, TokenMade, Tokens, Withdrawal, Withdrawn,
    },
};

pub(super) const KEY: Param = Param::text(
    "Idempotency-Key",
    "1 to 200 visible characters of the client's own: a repeated request with it is answered as the first was",
);
const GROUP: Param = Param::text("group", "Slug or number of the group");
const TAGGED: Param =
    Param::text("If-None-Match", "ETag of the edition at hand: 304 if it is still in force");

const CLASS: Param =
    Param::texts("class", "Information classes; what was taken back comes whatever its class");
const PURPOSE: Param = Param::texts("purpose", "Purposes; what was taken back comes whatever its purpose");

const PAGE: &[Param] = &[
    GROUP.needed(),
    Param::texts("type", "STIX types"),
    Param::texts("id", "STIX ids"),
    Param::texts("version", "`first`, `last`, `all` or times; the last unless said"),
    CLASS,
    PURPOSE,
    Param::time("added_after", "Only what was added after this time"),
    Param::number("limit", "Objects of a page, 1 or more; lowered to what the server serves at most"),
    Param::text("next", "The `next` of the page before, with the same filters"),
];
const LISTED: Param =
    Param::number("limit", "Rows of a page, 1 or more; lowered to what the server serves at most");
const NEXT: Param = Param::text("next", "The `next` of the page before, with the same filters");
const LIST: &[Param] = &[LISTED, NEXT];
const OF_GROUP: &[Param] = &[GROUP];
const STREAM: &[Param] = &[
    Param::texts("group", "Groups; all the token reads unless said"),
    Param::texts("type", "STIX types"),
    CLASS,
    PURPOSE,
    Param::number("after", "Number to go on behind; 0 from the beginning, the head unless said"),
    Param::flag("sync", "Tell progress of sync, too"),
];
const SUBMISSION: &[Param] = &[
    GROUP.needed(),
    Param::text("tlp", "Marking of objects that carry none"),
    Param::text("purpose", "Aim; the group's unless said"),
    Param::texts("class", "Information classes"),
    Param::text("class_label", "What `other` stands for"),
    Param::text("pap", "Permissible actions"),
    Param::repeated("to", "Recipients by name or id, each given by itself"),
    Param::flag("without_supervisors", "Not for supervising authorities"),
    Param::time("embargo_until", "Not outside the recipients before this time"),
    Param::repeated("handling", "Terms of handling, `name=value` (FIRST IEP 2.0), each given by itself"),
    Param::text("reason", "Why it goes out although a guard objects; never the value"),
    Param::flag("draft", "Hold it until a person releases it"),
    Param::text("on_behalf", "Member, by name or id, for whom a steward publishes it; it is named to nobody"),
    Param::text(
        "asked",
        "With `on_behalf`: when that member asked, and a reference; kept in this node's audit log",
    ),
];
const FILE: &[Param] = &[
    GROUP.needed(),
    Param::text("tlp", "Marking of objects that carry none"),
    Param::text("purpose", "Aim; the group's unless said"),
    Param::texts("class", "Information classes"),
    Param::text("class_label", "What `other` stands for"),
    Param::text("pap", "Permissible actions"),
    Param::repeated("to", "Recipients by name or id, each given by itself"),
    Param::flag("without_supervisors", "Not for supervising authorities"),
    Param::time("embargo_until", "Not outside the recipients before this time"),
    Param::repeated("handling", "Terms of handling, `name=value` (FIRST IEP 2.0), each given by itself"),
    Param::text("reason", "Why it goes out although a guard objects; never the value"),
    Param::text("format", "`misp`, `csv`, `text` or `stix`; guessed unless said"),
    Param::text("name", "The file's name, to guess by"),
    Param::text("map", "Columns of a table, as in `value=IOC,type=Kind`"),
    Param::time("valid_until", "End of what states none"),
    Param::flag("publish", "Publish it; else it is held until a person releases it"),
    Param::flag("dry_run", "Only say what would become of it"),
    Param::text("on_behalf", "Member, by name or id, for whom a steward publishes it; it is named to nobody"),
    Param::text(
        "asked",
        "With `on_behalf`: when that member asked, and a reference; kept in this node's audit log",
    ),
];
const PROPOSALS: &[Param] = &[
    GROUP,
    Param::text("state", "`open`, `accepted`, `declined` or `withdrawn`; all unless said"),
    LISTED,
    NEXT,
];
const REASON: &[Param] =
    &[Param::text("reason", "Why it goes out although a guard objects; never the value")];
const MONTH: &[Param] =
    &[Param::text("month", "A month that is over, as in `2026-11`; the last one unless said")];
const AUDIT: &[Param] = &[
    Param::number("after", "Number of the last entry known"),
    Param::number("limit", "Entries of an answer, 1 or more; lowered to what the server serves at most"),
];
const BEST: &[Param] = &[Param::number(
    "limit",
    "Of a plain list so many values of each file: those that score highest, then the newest",
)];
const RESUMED: &[Param] = &[Param::number("Last-Event-ID", "As `after`, and stronger")];
const KEYED: &[Param] = &[KEY];
const CACHED: &[Param] = &[TAGGED];

#[rustfmt::skip]
pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get("/health/live", "health", "Whether the process answers")
        .answers(200, Content::json::<Health>()),
    Operation::get("/health/ready", "health", "Whether every task runs and the store takes writes; 503 if not")
        .answers(200, Content::json::<Health>()),
    Operation::get("/metrics", "health", "Numbers for Prometheus, of the groups the token reads")
        .answers(200, Content::text("application/openmetrics-text; version=1.0.0; charset=utf-8")),

    Operation::get("/servers/getPyMISPVersion.json", "misp", "The PyMISP that fits")
        .answers(200, Content::json::<MispVersion>()),
    Operation::get("/servers/getVersion", "misp", "The MISP whose answers these are like")
        .answers(200, Content::json::<Misp>()),
    Operation::get("/users/view/me", "misp", "Whose key it is")
        .answers(200, Content::json::<MispUser>()),
    Operation::get("/attributes/describeTypes.json", "misp", "Types and categories of the attributes that a search finds")
        .answers(200, Content::json::<MispTypes>()),
    Operation::post("/attributes/restSearch", "misp", "Values of the first export of format misp, as MISP's attributes")
        .takes(Content::json::<MispSearch>()).answers(200, Content::json::<MispFound>()),
    Operation::post("/events/restSearch", "misp", "Events of the first export of format misp, as its feed has them")
        .takes(Content::json::<MispSearch>()).answers(200, Content::json::<MispEvents>()),
    Operation::post("/sightings/add", "misp", "Report a sighting of values, or of an attribute; who saw it is told to nobody")
        .headers(KEYED).takes(Content::json::<MispSighting>()).answers(200, Content::json::<MispSighted>()),
    Operation::post("/sightings/add/{attribute}", "misp", "Report a sighting of an attribute, by the id or UUID that a search gave it")
        .headers(KEYED).takes(Content::json::<MispSighting>()).answers(200, Content::json::<MispSighted>()),

    Operation::get("/api/v1/openapi.json", "node", "This description")
        .answers(200, Content::json::<Description>()),
    Operation::get("/api/v1/status", "node", "The node's condition")
        .answers(200, Content::json::<Status>()),
    Operation::get("/api/v1/peers", "node", "Connections with other nodes")
        .answers(200, Content::json::<Peers>()),
    Operation::get("/api/v1/sync", "node", "How far the node is with what others hold, and why not further")
        .answers(200, Content::json::<Sync>()),
    Operation::post("/api/v1/backups", "node", "Copy this node into a new folder of its machine")
        .takes(Content::json::<BackupWanted>()).answers(201, Content::json::<Backup>()),

    Operation::get("/api/v1/groups", "coalition", "Groups the token can do something with")
        .answers(200, Content::json::<Groups>()),
    Operation::get("/api/v1/members", "coalition", "Members by the admin log")
        .query(LIST).answers(200, Content::json::<Members>()),
    Operation::get("/api/v1/members/{member}/heads", "coalition", "Newest message of each log of a member: what a cut names")
        .answers(200, Content::json::<Heads>()),
    Operation::get("/api/v1/members/{member}/contact", "coalition", "Where a member's functions are reached, by its own signed word")
        .answers(200, Content::json::<ContactAnswer>()),
    Operation::get("/api/v1/contacts", "coalition", "Where members' functions are reached, of all that say so")
        .query(LIST).answers(200, Content::json::<Contacts>()),
    Operation::post("/api/v1/contacts", "coalition", "Say where this member's functions are reached, in the place of what it said before")
        .takes(Content::json::<ContactWanted>()).answers(200, Content::json::<ContactMade>()),
    Operation::post("/api/v1/log", "coalition", "Take in an admin log, a beacon or, where the log is forked, a removal")
        .takes(Content::text("text/plain")).answers(200, Content::json::<Imported>()),

    Operation::get("/api/v1/log", "coalition", "The admin log, charters first, as a file that anybody can verify")
        .answers(200, Content::json::<LogFile>()),
    Operation::get("/api/v1/log/equivocations", "coalition", "Proofs that the registrar signed two entries for one height")
        .answers(200, Content::json::<Equivocations>()),
    Operation::get("/api/v1/newcomers", "coalition", "Members that are new to a group, while older keys wait, and new nodes of others")
        .query(LIST).answers(200, Content::json::<Newcomers>()),
    Operation::post("/api/v1/holds", "coalition", "Keep older keys from a member until released")
        .takes(Content::json::<HoldWanted>()).answers(201, Content::json::<HoldMade>()),
    Operation::delete("/api/v1/holds/{member}", "coalition", "Keep older keys from a member no longer")
        .answers_nothing(204),
    Operation::get("/api/v1/rules", "coalition", "The texts that members accept: which, whether they are here, whether this member accepted them")
        .answers(200, Content::json::<Rules>()),
    Operation::get("/api/v1/rules/{text}", "coalition", "One of them, `arrangement` or `rules-of-conduct`, as the charter names it by hash")
        .answers(200, Content::text("text/plain; charset=utf-8")),
    Operation::get("/api/v1/activity", "coalition", "Give and take of a month: this member's, and sums of all where enough published")
        .query(MONTH).answers(200, Content::json::<Activity>()),

    Operation::get("/api/v1/objects", "intelligence", "Objects of a group, page by page, oldest first")
        .query(PAGE)
        .answers(200, Content::json::<Objects>()),
    Operation::get("/api/v1/objects/{object}", "intelligence", "Every version every member claims of an object; of more than 8 MiB each member's newest, then each one's next")
        .query(OF_GROUP).answers(200, Content::json::<Objects>()),
    Operation::post("/api/v1/lookup", "intelligence", "What is known of up to ten thousand values; a line each for whoever accepts application/x-ndjson")
        .takes(Content::json::<Lookup>()).answers(200, Content::json::<LookupAnswer>()),
    Operation::get("/api/v1/events", "intelligence", "Live stream of objects (server-sent events), with durable ids and explicit gaps")
        .query(STREAM)
        .headers(RESUMED)
        .answers(200, Content::text("text/event-stream")),
    Operation::get("/api/v1/messages/{message}", "intelligence", "Why a message is, or is not, to be read here")
        .answers(200, Content::json::<Message>()),
    Operation::get("/api/v1/messages/{message}/envelope", "intelligence", "A message as it travelled, sealed")
        .answers(200, Content::json::<Envelope>()),
    Operation::get("/api/v1/forks", "intelligence", "Proofs that a member signed two histories of one log")
        .answers(200, Content::json::<Forks>()),

    Operation::get("/api/v1/exports", "exports", "Profiles this token may have")
        .answers(200, Content::json::<Exports>()),
    Operation::get("/api/v1/exports/{export}", "exports", "An export's main file; its MD5 with `.md5` behind the name")
        .query(BEST).headers(CACHED).answers(200, Content::text("text/plain; charset=utf-8")),
    Operation::get("/api/v1/exports/{export}/report", "exports", "What stands in an export, what does not, and why")
        .answers(200, Content::json::<ExportReport>()),
    Operation::get("/api/v1/exports/{export}/{file}", "exports", "One file of an export; its MD5 with `.md5` behind the name")
        .query(BEST).headers(CACHED).answers(200, Content::text("text/plain; charset=utf-8")),

    Operation::post("/api/v1/publications", "publishing", "Publish a STIX bundle: a durable draft when this answers")
        .query(SUBMISSION)
        .headers(KEYED)
        .takes(Content::of::<Bundle>("application/stix+json;version=2.1"))
        .answers(202, Content::json::<Accepted>()),
    Operation::post("/api/v1/sightings", "publishing", "Report that values or an object were seen: unnamed, where the group has a steward who can tell it")
        .headers(KEYED).takes(Content::json::<Sighting>()).answers(202, Content::json::<Sighted>()),
    Operation::post("/api/v1/objects/{object}/proposals", "publishing", "Propose a change of another member's object to its owner; nobody else sees it")
        .headers(KEYED).takes(Content::json::<Proposal>()).answers(202, Content::json::<ProposalMade>()),
    Operation::get("/api/v1/proposals", "intelligence", "Proposals by this member and to it, and what became of them")
        .query(PROPOSALS).answers(200, Content::json::<Proposals>()),
    Operation::post("/api/v1/proposals/{proposal}/accept", "publishing", "Publish this member's object as somebody proposed, and tell them")
        .takes(Content::json::<Answer>()).answers(202, Content::json::<Answered>()),
    Operation::post("/api/v1/proposals/{proposal}/decline", "publishing", "Tell whoever proposed a change that it is not taken over")
        .takes(Content::json::<Answer>()).answers(202, Content::json::<Answered>()),
    Operation::get("/api/v1/publications/{publication}", "publishing", "How far a publication of this token has come")
        .answers(200, Content::json::<Publication>()),
    Operation::get("/api/v1/publications/{publication}/holders", "publishing", "Which of its readers say that they hold it, asked now")
        .answers(200, Content::json::<Holders>()),
    Operation::post("/api/v1/previews", "publishing", "What the same publication would be, who could open it, and what guards object to; nothing is kept")
        .query(SUBMISSION)
        .takes(Content::of::<Bundle>("application/stix+json;version=2.1"))
        .answers(200, Content::json::<Preview>()),
    Operation::post("/api/v1/import", "publishing", "A MISP event, a table, prose, a pasted mail or a STIX bundle: held as a draft unless said otherwise")
        .query(FILE)
        .headers(KEYED)
        .takes(Content::text("application/octet-stream"))
        .answers(202, Content::json::<FileImported>()),
    Operation::get("/api/v1/drafts", "publishing", "Drafts that wait until a person releases them")
        .query(LIST).answers(200, Content::json::<Drafts>()),
    Operation::get("/api/v1/drafts/{draft}", "publishing", "What a held draft says, and what guards say of it")
        .answers(200, Content::json::<HeldDraft>()),
    Operation::post("/api/v1/drafts/{draft}/release", "publishing", "Send a held draft")
        .query(REASON).answers(202, Content::json::<Released>()),
    Operation::delete("/api/v1/drafts/{draft}", "publishing", "Forget a held draft")
        .answers_nothing(204),
    Operation::post("/api/v1/withdrawals", "publishing", "Take messages back, or lift what a steward took back")
        .headers(KEYED).takes(Content::json::<Withdrawal>()).answers(202, Content::json::<Withdrawn>()),

    Operation::get("/api/v1/hooks", "hooks", "Webhooks and log servers, and how they are doing")
        .answers(200, Content::json::<Hooks>()),
    Operation::get("/api/v1/hooks/{hook}/dead-letters", "hooks", "Events that a receiver refused for good")
        .query(LIST).answers(200, Content::json::<DeadLetters>()),
    Operation::get("/api/v1/hooks/{hook}/tries", "hooks", "What a hook tried of late, and what came of it")
        .query(LIST).answers(200, Content::json::<HookTries>()),
    Operation::post("/api/v1/hooks/{hook}/replay", "hooks", "Try dead letters again, and wake a hook that waits or stopped")
        .answers(202, Content::json::<Replayed>()),

    Operation::post("/api/v1/subject-searches", "node", "Where this node holds what a person is known by, step by step; by the Unix socket only")
        .takes(Content::json::<SubjectWanted>()).answers(200, Content::json::<SubjectFound>()),
    Operation::get("/api/v1/sources", "sources", "Folders, collections and feeds, and how they are doing")
        .answers(200, Content::json::<Sources>()),
    Operation::post("/api/v1/sources/{source}/run", "sources", "Run one now, instead of when it is due")
        .answers(202, Content::json::<SourceRun>()),

    Operation::get("/api/v1/audit", "node", "Who did what through this API: entries, oldest first, and where the chain stands")
        .query(AUDIT).answers(200, Content::json::<Audit>()),

    Operation::get("/api/v1/tokens", "tokens", "Tokens, without their secrets")
        .query(LIST).answers(200, Content::json::<Tokens>()),
    Operation::post("/api/v1/tokens", "tokens", "Make a token; its text is shown this once")
        .takes(Content::json::<NewToken>()).answers(201, Content::json::<TokenMade>()),
    Operation::post("/api/v1/tokens/{token}/rotate", "tokens", "Give a token another secret, under the same id, name and scope; it is shown this once")
        .takes(Content::json::<Rotation>()).answers(200, Content::json::<TokenMade>()),
    Operation::delete("/api/v1/tokens/{token}", "tokens", "Revoke a token, by id or name")
        .answers_nothing(204),
];
