//! Sightings, however they are reported: whose object was seen, how often, when; and never by whom, unless that is wanted.
//!
//! ```text
//! value ─newest indicator of each group─▶ Sightable ─▶ sighting ─┬─ sealed to the group's stewards, who tell it
//! STIX id ───────────────────────────────────────────▶           └─ under this member's name
//!       ─every indicator, if it no longer holds─▶ ours: its next version, with an end │ others': an opinion
//! ```
//!
//! A report is one deed, into however many groups: all of its drafts are durable, or none is.
//!
//! A message is signed, so its author is known to whoever opens it: a sighting that shall not name its member needs a
//! hand between (design §8). Where a group has a steward besides this member, that is the default, and groups without
//! one are left out: by name in one, a sighting is unnamed in none. It says no organisation, no place and no sensor, and
//! its times are whole hours.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use axum::http::{HeaderMap, StatusCode};
use belfry_proto::{
    id::{GroupId, MemberId},
    schema::InformationClass,
    stix::{
        indicator::{self, FOR_STEWARDS, Indicator},
        marking::Tlp,
        proposal::Change,
    },
    time::Timestamp,
};
use rand::seq::IteratorRandom as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    app::App,
    intake::{self, Place},
    problem::Problem,
    proposals,
};
use crate::{
    clock,
    publish::submission::{Accepted, Submission, SubmitError},
    query::{self, Principal, QueryError, Readable, Sightable, hours, lookup::Wanted},
};

/// Values of one report: each is looked up.
pub(super) const MOST: usize = 1_000;
/// Stewards that are given one: any of them may be away.
const STEWARDS: usize = 3;

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It was seen.
    Seen,
    /// It was seen, and is harmless: an opinion, which is its member's own.
    FalsePositive,
    /// It no longer holds: of this member's own an end, of others' an opinion, which ends it here alone.
    Expired,
}

/// Of what.
pub(super) enum Of {
    Values(Vec<Wanted>),
    Object(String),
}

pub(super) struct Report {
    pub(super) of: Of,
    /// Slugs; every group that the token reads and may answer to.
    pub(super) groups: Vec<String>,
    pub(super) said: Said,
    pub(super) count: u64,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    /// Whether this member stays unnamed; unset: if any of the groups has a steward who can tell it.
    pub(super) anonymous: Option<bool>,
    /// Waits for a person.
    pub(super) draft: bool,
}

impl Report {
    /// STIX 2.1 §5.2.
    pub(super) const MOST_COUNT: u64 = 999_999_999;
}

/// What became of a report.
pub(super) struct Outcome {
    pub(super) reported: Vec<Reported>,
    /// What no indicator names.
    pub(super) unknown: Vec<String>,
    /// Groups that know it, and have no steward who could tell it unnamed.
    pub(super) left_out: Vec<GroupId>,
}

/// What became of it in one group.
pub(super) struct Reported {
    pub(super) group: GroupId,
    pub(super) accepted: Accepted,
    /// Sealed to stewards, who tell it without whose it is.
    pub(super) anonymous: bool,
    /// It is the next version of this member's own object.
    pub(super) ended: bool,
    /// What was sighted, by what was asked for.
    pub(super) sighted: Vec<(String, String)>,
    pub(super) last: Timestamp,
}

/// What one group's message will hold.
#[derive(Default)]
struct Batch {
    sighted: Vec<(String, String)>,
    /// What is this member's to end.
    own: Vec<(String, String)>,
    tlp: Option<Tlp>,
    held: bool,
}

/// Reports it, a message for each group.
pub(super) async fn report(
    app: &Arc<App>,
    principal: &Principal,
    headers: &HeaderMap,
    report: Report,
) -> Result<Outcome, Problem> {
    // Looking up costs as much as taking in.
    let place = intake::place(app, headers)?;
    for _ in 0..proposals::TRIES {
        if let Some(outcome) = reported(app, principal, headers, &report, place.clone()).await? {
            return Ok(outcome);
        }
    }
    let said = "what this member says of it changed each time that it was looked at: report it again";
    Err(Problem::new(StatusCode::CONFLICT, "overtaken", said))
}

/// Reports it as things stand; none if an object that is to end has another version since.
async fn reported(
    app: &Arc<App>,
    principal: &Principal,
    headers: &HeaderMap,
    report: &Report,
    place: Place,
) -> Result<Option<Outcome>, Problem> {
    let (first, last) = times(report, clock::now())?;
    let groups = groups(app, principal, &report.groups)?;
    let (batches, unknown) = batches(app, principal, groups, report).await?;
    if batches.is_empty() {
        return Err(Problem::not_found(
            "nothing-sighted",
            "no indicator that this token reads, in a group it may answer to, names this",
        ));
    }
    let key = intake::idempotency_key(principal, headers)?;
    let query = &app.ports.query;
    let known = batches.keys().map(|group| (*group, query.other_stewards(*group))).collect();
    let Hands { mut by, left_out } = hands(known, report).map_err(|refusal| refused(app, refusal))?;
    let (mut submissions, mut reported) = (Vec::new(), Vec::new());
    let (mut before, mut bases) = (Vec::new(), Vec::new());
    for (group, batch) in batches {
        for (asked, id) in &batch.own {
            // Before it is read: what is said of it from then on the commit sees.
            bases.push(app.ports.publish.basis(group, id.clone(), None).await?);
            let ended = ended(app, principal, (group, id.as_str()), report.last).await?;
            let keyed = |like: Submission| Submission {
                idempotency_key: key.as_ref().map(|key| format!("{key}:{}:{id}", group.get())),
                origin: key.as_ref().map(|_| end_of(id, report.last)),
                hold: batch.held || report.draft,
                ..like
            };
            let told = (false, true, vec![(asked.clone(), id.clone())]);
            match ended {
                Ended::Next(next) => {
                    submissions.push(keyed(next));
                    reported.push(told);
                }
                // It may be over by this very report, of which only the answer was lost.
                Ended::Over(Some(like)) if key.is_some() => {
                    let known = app.ports.publish.before(keyed(like)).await?;
                    before.extend(known.map(|accepted| (accepted, told)));
                }
                Ended::Over(_) => {}
            }
        }
        let Some(stewards) = by.remove(&group).filter(|_| !batch.sighted.is_empty()) else { continue };
        let anonymous = !stewards.is_empty();
        let ids = batch.sighted.iter().map(|(_, id)| id.as_str());
        let objects: Vec<Value> = match report.said {
            Said::Seen => ids.map(|id| sighting(id, report.count, first, last, anonymous)).collect(),
            Said::FalsePositive => {
                ids.map(|id| opinion(id, last, json!({ "opinion": "disagree" }))).collect()
            }
            Said::Expired => {
                let since = indicator::expiry(report.last.unwrap_or_else(clock::now));
                ids.map(|id| opinion(id, last, since.clone())).collect()
            }
        };
        let bundle =
            json!({ "type": "bundle", "id": format!("bundle--{}", Uuid::new_v4()), "objects": objects });
        // The objects' ids are random: what was asked for tells repetitions.
        let origin = key.as_ref().map(|_| origin(&batch.sighted, report));
        let submission = Submission {
            bundle: bundle.to_string().into_bytes(),
            tlp: batch.tlp,
            classes: vec![InformationClass::Indicator],
            recipients: stewards,
            idempotency_key: key.clone().map(|key| format!("{key}:{}", group.get())),
            hold: batch.held || report.draft,
            origin,
            ..Submission::of(group, principal.name())
        };
        submissions.push(submission);
        reported.push((anonymous, false, batch.sighted));
    }
    if submissions.is_empty() && before.is_empty() {
        let said = "all of it is this member's own, and ends earlier already";
        return Err(Problem::new(StatusCode::CONFLICT, "already-over", said));
    }
    let publish = Arc::clone(&app.ports.publish);
    let kept = async move {
        match bases.is_empty() {
            true => Ok::<_, Problem>(Some(publish.submit_together(submissions).await?)),
            false => match publish.submit_on(bases, submissions).await {
                Err(SubmitError::Overtaken(_)) => Ok(None),
                kept => Ok(Some(kept?)),
            },
        }
    };
    let Some(accepted) = place.during(kept).await? else { return Ok(None) };
    let reported = before.into_iter().chain(accepted.into_iter().zip(reported)).map(
        |(accepted, (anonymous, ended, sighted))| Reported {
            group: accepted.group,
            accepted,
            anonymous,
            ended,
            sighted,
            last,
        },
    );
    let reported = reported.collect();
    Ok(Some(Outcome { reported, unknown, left_out }))
}

/// Groups that the token reads and may answer to; named ones have to be.
fn groups(app: &App, principal: &Principal, named: &[String]) -> Result<Vec<Readable>, Problem> {
    let query = &app.ports.query;
    if named.is_empty() {
        let mut all = query.all_readable(principal);
        all.retain(|group| query.draftable(principal, &query.slug(group.group())).is_ok());
        return Ok(all);
    }
    let allowed = named.iter().map(|name| {
        query.draftable(principal, name)?;
        query.readable(principal, name)
    });
    Ok(allowed.collect::<Result<_, _>>()?)
}

/// What is sighted, a batch a group, and what is unknown in all of them.
async fn batches(
    app: &App,
    principal: &Principal,
    groups: Vec<Readable>,
    report: &Report,
) -> Result<(BTreeMap<GroupId, Batch>, Vec<String>), Problem> {
    let query = &app.ports.query;
    let mut found: Vec<(String, Vec<Sightable>)> = Vec::new();
    // What is over is over whoever says it.
    let every = report.said == Said::Expired;
    match &report.of {
        Of::Values(values) => {
            for wanted in values {
                let sightable = query.sightable(principal, groups.clone(), wanted.clone(), every).await?;
                found.push((wanted.text.clone(), sightable));
            }
        }
        Of::Object(id) => {
            found.push((id.clone(), query.sightable_object(principal, groups, id.clone()).await?));
        }
    }
    let own = query.own_member();
    let mut unknown = Vec::new();
    let mut batches: BTreeMap<GroupId, Batch> = BTreeMap::new();
    for (asked, sightable) in found {
        if sightable.is_empty() {
            unknown.push(asked);
            continue;
        }
        for Sightable { group, id, tlp, member } in sightable {
            let batch = batches.entry(group).or_default();
            // Two values of one indicator are one sighting of it.
            if batch.sighted.iter().chain(&batch.own).any(|(_, known)| *known == id) {
                continue;
            }
            if every && own == Some(member) {
                batch.own.push((asked.clone(), id));
            } else {
                batch.sighted.push((asked.clone(), id));
                batch.tlp = batch.tlp.max(Some(tlp));
            }
        }
    }
    for (group, batch) in &mut batches {
        batch.held = query.draftable(principal, &query.slug(*group))?.is_held();
    }
    Ok((batches, unknown))
}

/// Who tells it for this member.
#[derive(Debug, PartialEq, Eq)]
struct Hands {
    /// In which groups it goes out; of no stewards, under its own name.
    by: BTreeMap<GroupId, Vec<MemberId>>,
    left_out: Vec<GroupId>,
}

/// Why this member cannot stay unnamed.
#[derive(Debug, PartialEq, Eq)]
enum Bare {
    NoSteward(GroupId),
    Opinion,
}

/// Who tells it, of the stewards that each group has besides this member.
fn hands(known: BTreeMap<GroupId, Vec<MemberId>>, report: &Report) -> Result<Hands, Bare> {
    let by_name = |known: BTreeMap<GroupId, Vec<MemberId>>| Hands {
        by: known.into_keys().map(|group| (group, Vec::new())).collect(),
        left_out: Vec::new(),
    };
    let must_be = report.anonymous == Some(true);
    if report.said != Said::Seen {
        return if must_be { Err(Bare::Opinion) } else { Ok(by_name(known)) };
    }
    if report.anonymous == Some(false) {
        return Ok(by_name(known));
    }
    let without: BTreeSet<GroupId> =
        known.iter().filter(|(_, stewards)| stewards.is_empty()).map(|(group, _)| *group).collect();
    let is_everywhere = without.len() == known.len();
    // A group that was asked for by name is not left out silently.
    if let Some(group) = without.first()
        && must_be
        && (is_everywhere || !report.groups.is_empty())
    {
        return Err(Bare::NoSteward(*group));
    }
    if is_everywhere {
        return Ok(by_name(known));
    }
    let some = |stewards: Vec<MemberId>| stewards.into_iter().sample(&mut rand::rng(), STEWARDS);
    let by = known.into_iter().filter(|(group, _)| !without.contains(group));
    Ok(Hands {
        by: by.map(|(group, all)| (group, some(all))).collect(),
        left_out: without.into_iter().collect(),
    })
}

fn refused(app: &App, refusal: Bare) -> Problem {
    match refusal {
        Bare::NoSteward(group) => Problem::new(
            StatusCode::CONFLICT,
            "no-steward",
            format!(
                "nobody else is a steward of `{}`, who could tell it unnamed, and by MISP's way or with `anonymous` it \
                 goes out no other way; POST /api/v1/sightings with \"anonymous\": false names this member",
                app.ports.query.slug(group)
            ),
        ),
        Bare::Opinion => {
            Problem::unprocessable("never-anonymous", "an opinion is its member's own and names it")
        }
    }
}

fn times(report: &Report, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
    let last = report.last.unwrap_or_else(|| report.first.unwrap_or(now).max(now));
    hours(report.first.unwrap_or(last), last, now).map_err(|why| Problem::unprocessable("bad-times", why))
}

fn sighting(of: &str, count: u64, first: Timestamp, last: Timestamp, anonymous: bool) -> Value {
    let id = format!("sighting--{}", Uuid::new_v4());
    let mut sighting = query::sighting(&id, of, count, first, last);
    if anonymous && let Value::Object(members) = &mut sighting {
        members.insert("labels".to_owned(), json!([FOR_STEWARDS]));
    }
    sighting
}

fn opinion(on: &str, at: Timestamp, said: Value) -> Value {
    let mut opinion = json!({
        "type": "opinion", "spec_version": "2.1", "id": format!("opinion--{}", Uuid::new_v4()),
        "created": at.to_string(), "modified": at.to_string(), "object_refs": [on],
    });
    if let (Value::Object(opinion), Value::Object(said)) = (&mut opinion, said) {
        opinion.extend(said);
    }
    opinion
}

/// What is to be said of an indicator of this member's.
enum Ended {
    /// Its next version.
    Next(Submission),
    /// Nothing: it ends earlier already. What its next version would go out as, where that can be said.
    Over(Option<Submission>),
}

/// The next version of an indicator of this member's, which ends then, or now.
async fn ended(
    app: &App,
    principal: &Principal,
    (group, id): (GroupId, &str),
    at: Option<Timestamp>,
) -> Result<Ended, Problem> {
    let query = &app.ports.query;
    let groups = vec![query.readable(principal, &query.slug(group))?];
    let row = query.proposable(principal, groups, id.to_owned()).await?.pop();
    let row = row.ok_or(QueryError::UnknownObject)?;
    let (now, read) = (clock::now(), Indicator::read(row.raw()).unwrap_or_default());
    // An end lies behind the beginning (STIX 2.1 §4.7), and is never put off.
    let at = at.unwrap_or(now).max(read.valid_from().saturating_add(Duration::from_millis(1)));
    if read.valid_until().is_some_and(|until| until <= at) {
        let like = app.ports.publish.like(row.message(), principal.name().to_owned()).await;
        return Ok(Ended::Over(like.ok().map(|(like, _)| like)));
    }
    let mut change = Change::default();
    change.set.insert("valid_until".to_owned(), at.to_string().into());
    proposals::next_version(app, principal, &row, &change).await.map(Ended::Next)
}

/// What an end is made of; its version's time is of the moment.
fn end_of(id: &str, at: Option<Timestamp>) -> [u8; 32] {
    *blake3::hash(json!([id, "expired", at]).to_string().as_bytes()).as_bytes()
}

fn origin(sighted: &[(String, String)], report: &Report) -> [u8; 32] {
    let said = json!({
        "sighted": sighted, "said": format!("{:?}", report.said), "count": report.count,
        "first": report.first, "last": report.last, "anonymous": report.anonymous,
    });
    *blake3::hash(said.to_string().as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000;

    fn of(first: Option<u64>, last: Option<u64>) -> Report {
        Report {
            of: Of::Object(String::new()),
            groups: Vec::new(),
            said: Said::Seen,
            count: 1,
            first: first.map(Timestamp::from_micros),
            last: last.map(Timestamp::from_micros),
            anonymous: None,
            draft: false,
        }
    }

    #[test]
    fn times_are_whole_hours_in_order_and_not_to_come() {
        let now = Timestamp::from_micros(100 * HOUR + 7);
        let hours =
            |report: Report| times(&report, now).map(|(a, b)| (a.as_micros() / HOUR, b.as_micros() / HOUR));
        assert_eq!(hours(of(None, None)).ok(), Some((100, 100)));
        assert_eq!(hours(of(Some(3 * HOUR + 1), Some(5 * HOUR + 2))).ok(), Some((3, 5)));
        assert_eq!(hours(of(Some(3 * HOUR), None)).ok(), Some((3, 100)));
        assert!(hours(of(Some(5), Some(4))).is_err());
        assert!(hours(of(None, Some(102 * HOUR))).is_err());
    }

    #[test]
    fn by_name_in_one_group_it_would_be_unnamed_in_none() {
        let [with, without] = [1, 2].map(GroupId::new);
        let steward = MemberId::new([1; 16]);
        let found = |known: &[GroupId], anonymous: Option<bool>, groups: &[&str]| {
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            let report = Report { anonymous, groups, ..of(None, None) };
            let stewards = |group: GroupId| if group == with { vec![steward] } else { Vec::new() };
            hands(known.iter().map(|group| (*group, stewards(*group))).collect(), &report)
        };
        let both = [with, without];
        let told = |by: &[(GroupId, Vec<MemberId>)], left_out: &[GroupId]| {
            Ok(Hands { by: by.iter().cloned().collect(), left_out: left_out.to_vec() })
        };
        let unnamed = told(&[(with, vec![steward])], &[without]);
        assert_eq!(found(&both, None, &[]), unnamed);
        assert_eq!(found(&both, None, &["a", "b"]), unnamed);
        assert_eq!(found(&both, Some(true), &[]), unnamed);
        assert_eq!(found(&both, Some(true), &["a", "b"]), Err(Bare::NoSteward(without)));
        assert_eq!(found(&both, Some(false), &[]), told(&[(with, Vec::new()), (without, Vec::new())], &[]));
        assert_eq!(found(&[without], None, &[]), told(&[(without, Vec::new())], &[]));
        assert_eq!(found(&[without], Some(true), &[]), Err(Bare::NoSteward(without)));
    }

    #[test]
    fn a_sighting_says_what_and_when_and_nobody() {
        let at = Timestamp::from_micros(HOUR);
        let sighting = sighting("indicator--1", 3, at, at, true);
        let known = ["type", "spec_version", "id", "created", "modified", "first_seen", "last_seen", "count"];
        let mut rest: Vec<&String> =
            sighting.as_object().unwrap().keys().filter(|name| !known.contains(&name.as_str())).collect();
        rest.sort();
        assert_eq!(rest, ["labels", "sighting_of_ref"]);
    }
}
