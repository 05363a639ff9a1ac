//! Changes that members propose to the owner of an object, and what becomes of them.
//!
//! ```text
//! wish ─on the version in force, checked whole─▶ note, sealed to the owner ─▶ listed there
//! owner: accept ─▶ the next version, to the last one's readers ─┐
//!        decline ──────────────────────────────────────────────┴▶ opinion on the note, sealed to who made it
//! ```
//!
//! Nobody else learns that somebody would have it otherwise. A new version and its answer are one deed.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use belfry_proto::{
    id::GroupId,
    schema::InformationClass,
    stix::{
        object::Object,
        proposal::{Change, Proposal, ProposalError},
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{app::App, intake, problem::Problem};
use crate::{
    clock,
    publish::{
        drafts::{ACCEPTED, ANSWER},
        submission::{Accepted, Submission, SubmitError},
    },
    query::{Principal, ProposalView, QueryError, Readable, Shown, Standing},
};

/// Characters of a comment: a paragraph for a person.
pub(super) const MAX_COMMENT: usize = 4_000;

/// How often that on which a proposal is answered is looked at, if each time something comes between the look and the commit. Once
/// more finds what did, a third time is for a busy moment.
pub(super) const TRIES: usize = 3;

/// What somebody would have changed.
pub(super) struct Wish {
    /// STIX id.
    pub(super) object: String,
    /// Slug; needed where several groups have the object.
    pub(super) group: Option<String>,
    pub(super) change: Change,
    pub(super) comment: String,
    /// Why it goes out although a guard objects.
    pub(super) reason: Option<String>,
    /// Waits for a person.
    pub(super) draft: bool,
}

/// An owner's answer.
pub(super) struct Verdict {
    pub(super) accepts: bool,
    /// The note's version that was looked at; whoever accepts names one.
    pub(super) version: Option<String>,
    pub(super) comment: String,
    pub(super) reason: Option<String>,
    pub(super) draft: bool,
}

/// Proposes a change: the note's id, and what became of it.
pub(super) async fn propose(
    app: &Arc<App>,
    principal: &Principal,
    headers: &HeaderMap,
    wish: Wish,
) -> Result<(String, Accepted), Problem> {
    is_short(&wish.comment)?;
    let place = intake::place(app, headers)?;
    let object = object(app, principal, &wish).await?;
    let query = &app.ports.query;
    let publishable = query.draftable(principal, &query.slug(object.group()))?;
    if query.own_member() == Some(object.member()) {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "own-object",
            "this object is this member's own: publish its next version, with a later `modified`",
        ));
    }
    // What its owner could not take over is told to who proposes it.
    wish.change.applied(object.raw(), clock::now()).map_err(refused)?;
    let key = intake::idempotency_key(principal, headers)?;
    let proposal = Proposal {
        of: object.id().to_owned(),
        version: object.version(),
        change: wish.change,
        comment: wish.comment,
    };
    let note = format!("note--{}", Uuid::new_v4());
    let said = json!({
        "of": proposal.of, "version": proposal.version, "set": proposal.change.set,
        "remove": proposal.change.remove, "comment": proposal.comment,
    });
    let submission = Submission {
        bundle: bundle(&[proposal.note(&note, clock::now())]),
        tlp: Some(object.tlp()),
        classes: classes(&object),
        recipients: vec![object.member()],
        origin: key.as_ref().map(|_| *blake3::hash(said.to_string().as_bytes()).as_bytes()),
        idempotency_key: key,
        reason: wish.reason,
        hold: publishable.is_held() || wish.draft,
        ..Submission::of(object.group(), principal.name())
    };
    let publish = Arc::clone(&app.ports.publish);
    let accepted = place.during(async move { Ok(publish.submit(submission).await?) }).await?;
    // Of a repeated request it is the first one's.
    let note = accepted.object_ids.first().cloned().unwrap_or(note);
    Ok((note, accepted))
}

/// Answers a proposal: what became of the answer, and of the new version before it.
pub(super) async fn answer(
    app: &Arc<App>,
    principal: &Principal,
    headers: &HeaderMap,
    note: String,
    verdict: Verdict,
) -> Result<Vec<Accepted>, Problem> {
    is_short(&verdict.comment)?;
    let place = intake::place(app, headers)?;
    for _ in 0..TRIES {
        let known = asked(app, principal, &note).await?;
        let (group, object) = (known.note.group(), known.proposal.of);
        let basis = app.ports.publish.basis(group, object.clone(), Some(note.clone())).await?;
        // What is decided on is read behind that: whatever changes from here on the commit sees.
        let found = asked(app, principal, &note).await?;
        if found.note.group() != group || found.proposal.of != object {
            continue;
        }
        let submissions = answered(app, principal, &found, &verdict).await?;
        let publish = Arc::clone(&app.ports.publish);
        let together = async move {
            match publish.submit_on(vec![basis], submissions).await {
                Ok(accepted) => Ok(Some(accepted)),
                Err(SubmitError::Overtaken(_)) => Ok(None),
                // Its own answer, which waits to go out.
                Err(SubmitError::IdempotencyMismatch) => Err(Problem::new(
                    StatusCode::CONFLICT,
                    "already-answered",
                    "another answer to this proposal waits to go out; `belfry drafts list` shows it if it is held",
                )),
                Err(other) => Err(other.into()),
            }
        };
        if let Some(accepted) = place.clone().during(together).await? {
            return Ok(accepted);
        }
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "overtaken",
        "what is known of this proposal, or of its object, changed each time that it was looked at: look at it again",
    ))
}

/// The proposal that is meant, as it is now.
async fn asked(app: &App, principal: &Principal, note: &str) -> Result<ProposalView, Problem> {
    let query = &app.ports.query;
    let found = query.proposal(principal, query.all_readable(principal), note.to_owned()).await?;
    found.ok_or_else(unknown)
}

/// What an answer is, if it may be given: the new version, of what is accepted, and the word to who asked.
async fn answered(
    app: &App,
    principal: &Principal,
    found: &ProposalView,
    verdict: &Verdict,
) -> Result<Vec<Submission>, Problem> {
    let query = &app.ports.query;
    let publishable = query.draftable(principal, &query.slug(found.note.group()))?;
    let hold = publishable.is_held() || verdict.draft;
    let refusal = match found.standing {
        _ if found.is_ours => Some(("own-proposal", "it is the object's owner who answers this proposal")),
        Standing::Open => None,
        Standing::Withdrawn => Some(("proposal-withdrawn", "who made this proposal took it back")),
        Standing::Accepted | Standing::Declined => {
            Some(("already-answered", "this proposal was answered; the object's next version says more"))
        }
    };
    if let Some((code, said)) = refusal {
        return Err(Problem::new(StatusCode::CONFLICT, code, said));
    }
    is_as_seen(found, verdict)?;
    let mut submissions = Vec::new();
    if verdict.accepts {
        let object = object_as_proposed(found)?;
        is_marked_wide_enough(found)?;
        let version = next_version(app, principal, object, &found.proposal.change).await?;
        submissions.push(Submission {
            idempotency_key: Some(format!("{ACCEPTED}{}", found.note.id())),
            is_key_of_node: true,
            origin: Some(origin(found, "version")),
            reason: verdict.reason.clone(),
            hold,
            ..version
        });
    }
    let (opinion, said) = if verdict.accepts { ("agree", "accepted") } else { ("disagree", "declined") };
    let at = clock::now().to_string();
    let explanation = if verdict.comment.is_empty() { said } else { verdict.comment.as_str() };
    let answer = json!({
        "type": "opinion", "spec_version": "2.1", "id": format!("opinion--{}", Uuid::new_v4()),
        "created": at, "modified": at, "opinion": opinion, "explanation": explanation,
        "object_refs": [found.note.id()],
    });
    submissions.push(Submission {
        bundle: bundle(&[answer]),
        tlp: Some(found.note.tlp()),
        classes: classes(&found.note),
        recipients: vec![found.note.member()],
        idempotency_key: Some(format!("{ANSWER}{}", found.note.id())),
        is_key_of_node: true,
        origin: Some(origin(found, said)),
        reason: verdict.reason.clone(),
        hold,
        ..Submission::of(found.note.group(), principal.name())
    });
    Ok(submissions)
}

/// Whether it still is what was looked at: who made it may have said something else since.
fn is_as_seen(found: &ProposalView, verdict: &Verdict) -> Result<(), Problem> {
    match &verdict.version {
        Some(version) if *version == found.note.version() => Ok(()),
        Some(_) => Err(Problem::new(
            StatusCode::CONFLICT,
            "proposal-changed",
            format!("the proposal's newest version is of {}: look at that one", found.note.version()),
        )),
        None if !verdict.accepts => Ok(()),
        None => Err(Problem::unprocessable(
            "version-needed",
            "`version` names the proposal's version that is accepted, as `modified` in GET /api/v1/proposals shows it",
        )),
    }
}

/// What the proposal was made of, if it is still that.
fn object_as_proposed(found: &ProposalView) -> Result<&Shown, Problem> {
    match &found.object {
        Some(object) if !found.is_outdated() => Ok(object),
        _ => Err(Problem::new(
            StatusCode::CONFLICT,
            "outdated-proposal",
            "the object is not the version any more that this was proposed of: publish what you take over as its next \
             version, and decline the proposal with that word",
        )),
    }
}

fn is_marked_wide_enough(found: &ProposalView) -> Result<(), Problem> {
    if !found.is_marked_narrower(clock::now()) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "marked-narrower",
        "the proposal's marking allows less than the object's, under which the next version would go out: \
         ask whoever made it to mark it wider, or decline it",
    ))
}

/// Whether a next version that waited for a person is still what its proposal makes of the object. Between the word and the
/// release its author may have taken it back or changed it, and the object may have a newer version.
pub(super) async fn still_accepts(
    app: &App,
    principal: &Principal,
    note: &str,
    held: &[Object],
) -> Result<(), Problem> {
    let conflict = |code, said: &str| Problem::new(StatusCode::CONFLICT, code, said);
    let query = &app.ports.query;
    let found = query.proposal(principal, query.all_readable(principal), note.to_owned()).await?;
    let found = found.ok_or_else(|| {
        conflict(
            "unknown-proposal",
            "it takes over a proposal that is gone, or that this token does not read: release it with one that does, or \
             discard it",
        )
    })?;
    match found.standing {
        Standing::Open | Standing::Accepted => {}
        Standing::Withdrawn => {
            return Err(conflict(
                "proposal-withdrawn",
                "who made the proposal that it takes over took that back: discard it",
            ));
        }
        Standing::Declined => {
            return Err(conflict(
                "already-answered",
                "the proposal that it takes over was declined meanwhile: discard it",
            ));
        }
    }
    let object = object_as_proposed(&found)?;
    is_marked_wide_enough(&found)?;
    let proposed = found.proposal.change.applied(object.raw(), clock::now()).map_err(refused)?;
    let said = |object: &Object| {
        let said: Option<serde_json::Map<String, Value>> = serde_json::from_slice(object.raw()).ok();
        // Of the moment.
        said.map(|mut said| {
            said.remove("modified");
            said
        })
    };
    let is_same = held.iter().any(|one| one.id() == proposed.id() && said(one) == said(&proposed));
    if is_same {
        return Ok(());
    }
    Err(conflict(
        "proposal-changed",
        "who made the proposal changed it since it was accepted: discard this, and look at the newest one",
    ))
}

/// The next version of an object of this member's, for the readers of its last one.
pub(super) async fn next_version(
    app: &App,
    principal: &Principal,
    object: &Shown,
    change: &Change,
) -> Result<Submission, Problem> {
    let changed: Object = change.applied(object.raw(), clock::now()).map_err(refused)?;
    let (like, definitions) = app.ports.publish.like(object.message(), principal.name().to_owned()).await?;
    let definitions = named_by(&changed, definitions);
    let objects = std::iter::once(&changed).chain(&definitions);
    let values: Result<Vec<Value>, _> = objects.map(|object| serde_json::from_slice(object.raw())).collect();
    let values = values.map_err(|error| Problem::internal(&error))?;
    Ok(Submission { bundle: bundle(&values), ..like })
}

/// The marking definitions that an object refers to, and those that they refer to: each message carries its own.
fn named_by(object: &Object, definitions: Vec<Object>) -> Vec<Object> {
    let refs = |object: &Object| {
        let refs = object.marking_refs().iter().chain(object.granular_marking_refs());
        refs.map(ToString::to_string).collect::<Vec<String>>()
    };
    let (mut wanted, mut left, mut found) = (refs(object), definitions, Vec::new());
    while !wanted.is_empty() {
        let (named, rest): (Vec<Object>, _) =
            left.into_iter().partition(|one| wanted.iter().any(|id| id == one.id()));
        left = rest;
        wanted = named.iter().flat_map(refs).collect();
        found.extend(named);
    }
    found
}

/// The one object that is meant.
async fn object(app: &App, principal: &Principal, wish: &Wish) -> Result<Shown, Problem> {
    let query = &app.ports.query;
    let groups: Vec<Readable> = match &wish.group {
        Some(name) => vec![query.readable(principal, name)?],
        None => query.all_readable(principal),
    };
    let mut found = query.proposable(principal, groups, wish.object.clone()).await?;
    if found.len() > 1 {
        let groups: Vec<String> = found.iter().map(|row| query.slug(row.group())).collect();
        return Err(Problem::unprocessable(
            "which-group",
            format!("several groups have this object: name one of {}", groups.join(", ")),
        )
        .with("groups", json!(groups)));
    }
    found.pop().ok_or_else(|| QueryError::UnknownObject.into())
}

pub(super) fn unknown() -> Problem {
    Problem::not_found(
        "unknown-proposal",
        "no proposal of this id is this member's, or made to it, for this token",
    )
}

fn is_short(comment: &str) -> Result<(), Problem> {
    if comment.chars().count() <= MAX_COMMENT {
        return Ok(());
    }
    let rule = format!("`comment` is at most {MAX_COMMENT} characters");
    Err(Problem::unprocessable("bad-comment", rule))
}

fn refused(error: ProposalError) -> Problem {
    let code = match error {
        ProposalError::Nothing => "nothing-to-change",
        ProposalError::Fixed(_) => "not-changeable",
        ProposalError::TooMany(_) | ProposalError::Twice(_) | ProposalError::Unreadable => "bad-change",
        ProposalError::Unversioned(_) => "unversioned",
        ProposalError::Broken(_) => "bad-content",
    };
    Problem::unprocessable(code, error.to_string())
}

fn bundle(objects: &[Value]) -> Vec<u8> {
    let id = format!("bundle--{}", Uuid::new_v4());
    json!({ "type": "bundle", "id": id, "objects": objects }).to_string().into_bytes()
}

/// As the object's own: what is said of it is of its kind.
fn classes(object: &Shown) -> Vec<InformationClass> {
    let classes = object.classes();
    let known = classes.iter().filter_map(|word| crate::words::parse::<InformationClass>(word));
    let known: Vec<InformationClass> = known.filter(|class| *class != InformationClass::Other).collect();
    if known.is_empty() { vec![InformationClass::Indicator] } else { known }
}

/// What an answer is made of: the same again is the same one.
fn origin(found: &ProposalView, said: &str) -> [u8; 32] {
    let group: GroupId = found.note.group();
    let text = json!({ "proposal": found.note.id(), "group": group.get(), "said": said }).to_string();
    *blake3::hash(text.as_bytes()).as_bytes()
}
