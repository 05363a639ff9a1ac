//! What is known of a value: the question an analyst and a SIEM ask most.
//!
//! ```text
//! text ─refang, normalise─▶ Observable ─blind index, per group─▶ [row ─admit─▶ Shown ─in force?] ─▶ Found
//!                                    └─ ranges that hold an address; on demand what lies below or within
//! ```
//!
//! Values of one question go this way together, step by step ([`finding`]). A value nobody named is known to be none without
//! a look at the disk, and opens nothing. Sightings and opinions are added of every object found; score and state come from
//! [`belfry_proto::stix::score`], as in exports.

mod finding;

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    id::MemberId,
    stix::{
        indicator::Brief,
        neutral,
        observable::{Kind, Observable, endpoint::Endpoint},
        score::{Decay, State},
    },
    time::Timestamp,
    trust::roster::Roster,
};
use serde::Serialize;

use self::finding::{Asking, Hit};
use super::{
    Principal, Query, QueryError, Readable,
    groups::slug,
    members::organisation,
    said::{Said, evidence},
};
use crate::{clock, stated::Stated};

/// Values of one question.
pub const MAX_VALUES: usize = 10_000;
/// Objects listed of one value.
const MAX_LISTED: usize = 50;
/// Values looked up before what was found of them is handed on. Too low ⇒ they share fewer steps, too high ⇒ who asks waits
/// for the first, and one question keeps a thread for long.
pub const STRETCH: usize = 500;

/// A value asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// As given.
    pub text: String,
    /// What it is, if the asker says so.
    pub kind: Option<Kind>,
}

impl Wanted {
    /// What it names, if that is anything belfry looks up.
    pub(super) fn observable(&self) -> Option<Observable> {
        let whole = match self.kind {
            Some(kind) => Observable::new(kind, &self.text),
            None => Observable::guess(&self.text),
        };
        // Of a server in a log or a list the host is looked for, whatever its port.
        let host = || Endpoint::new(self.kind.unwrap_or(Kind::Domain), &self.text).map(|found| found.host);
        whole.or_else(host)
    }
}

/// Where and by what is looked.
#[derive(Clone, Debug, Default)]
pub struct Within {
    /// Groups.
    pub groups: Vec<Readable>,
    /// What lies below a domain or within a range, too.
    pub around: bool,
    /// Objects of publications that state this.
    pub stated: Stated,
}

/// What is known of a value.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// As asked for.
    pub value: String,
    /// What it is; unset if nothing belfry looks up.
    #[serde(rename = "type")]
    pub kind: Option<&'static str>,
    /// In the spelling of the index.
    pub normalised: Option<String>,
    /// Why it cannot be looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `active`, `not-yet`, `expired` or `revoked` by the indicators that name it; `observed` if only other objects
    /// do; else `unknown`.
    pub state: &'static str,
    /// 0 to 100.
    pub score: u8,
    /// Other members say that it is a false positive.
    pub contested: bool,
    /// When it was first said or seen.
    pub first_seen: Option<Timestamp>,
    /// When it was last said or seen.
    pub last_seen: Option<Timestamp>,
    /// Members that reported or sighted it.
    pub corroboration: usize,
    /// Members that reported it, but for those that must not be named.
    pub reported_by: Vec<Reporter>,
    /// How often it was sighted, by how many members.
    pub sightings: Sightings,
    /// Opinions, how many of each.
    pub opinions: BTreeMap<&'static str, usize>,
    /// Members that say of an indicator of it that it no longer holds.
    pub expired_by: usize,
    /// On the local allow-list.
    pub allowed: bool,
    /// Warning lists that name it.
    pub warnings: Vec<Warning>,
    /// Objects that name it, the newest first.
    pub objects: Vec<Naming>,
    /// There are more objects than are listed or were looked at.
    pub more: bool,
}

/// Who reported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reporter {
    /// The member.
    pub member: MemberId,
    /// Its name.
    pub organisation: Option<String>,
}

/// Sightings in sum.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Sightings {
    /// How often.
    pub count: u64,
    /// By how many members.
    pub members: usize,
    /// The newest.
    pub last_seen: Option<Timestamp>,
}

/// A warning list's word.
#[derive(Clone, Debug, Serialize)]
pub struct Warning {
    /// The list.
    pub list: String,
    /// `inform` or `block`.
    pub level: &'static str,
}

/// An object that names the value.
#[derive(Clone, Debug, Serialize)]
pub struct Naming {
    /// Slug of the group.
    pub group: String,
    /// STIX id.
    pub id: String,
    /// STIX type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its version in force.
    pub version: String,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What of it was asked for, if it is not the value itself: a range around it, a name below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matched: Vec<String>,
    /// Marking in force.
    pub tlp: &'static str,
    /// Permissible actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pap: Option<String>,
    /// Who says so; unset if it must not be named.
    pub member: Option<MemberId>,
    /// Its name.
    pub organisation: Option<String>,
    /// Why it went out although a guard of its author's objected, where the charter has that said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// That member is a steward, and published it on behalf of another that is not named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub on_behalf: bool,
    /// When it came here.
    pub date_added: Timestamp,
    /// Of indicators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    /// Of indicators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Information classes.
    pub classes: Vec<String>,
    /// Aim of its publication.
    pub purpose: Option<String>,
}

impl Query {
    /// What is known of each value, in order.
    ///
    /// # Errors
    /// The store.
    pub async fn lookup(
        &self,
        principal: &Principal,
        within: &Within,
        values: Vec<Wanted>,
    ) -> Result<Vec<Found>, QueryError> {
        let (now, roster) = (clock::now(), self.roster());
        // Nobody waits for a thread to be told that there is nothing.
        if let Some(lists) = self.inner.lists.at_hand() {
            let asking = Asking { roster: &roster, principal, within, lists: &lists, now };
            if let Some(found) = self.inner.known_without_a_look(&asking, &values) {
                return Ok(found);
            }
        }
        let (principal, within) = (principal.clone(), within.clone());
        self.read(move |inner| {
            let lists = inner.lists.current();
            let asking =
                Asking { roster: &roster, principal: &principal, within: &within, lists: &lists, now };
            inner.look_up(&asking, values)
        })
        .await
    }
}

impl Found {
    const fn nothing(value: String) -> Self {
        Self {
            value,
            kind: None,
            normalised: None,
            error: None,
            state: "unknown",
            score: 0,
            contested: false,
            first_seen: None,
            last_seen: None,
            corroboration: 0,
            reported_by: Vec::new(),
            sightings: Sightings { count: 0, members: 0, last_seen: None },
            opinions: BTreeMap::new(),
            expired_by: 0,
            allowed: false,
            warnings: Vec::new(),
            objects: Vec::new(),
            more: false,
        }
    }

    fn fill(&mut self, roster: &Roster, observable: &Observable, hits: Vec<Hit>, now: Timestamp) {
        let mut said = Said::default();
        let (mut reporters, mut nameable) = (BTreeSet::new(), BTreeSet::new());
        let mut backing = BTreeSet::new();
        let mut first: Option<Timestamp> = None;
        let mut last: Option<Timestamp> = None;
        for hit in &hits {
            let members = || hit.row.reporters().iter().copied().chain([hit.row.member()]);
            said.join(&hit.said);
            reporters.extend(members());
            nameable.extend(hit.row.nameable());
            if hit.row.kind() == "indicator" && !hit.row.is_revoked() {
                backing.extend(members());
            }
            let at = hit.row.created().min(now);
            first = Some(first.map_or(at, |first| first.min(at)));
            last = last.max(Some(at));
        }
        let at_most_now = |time: Option<Timestamp>| time.map(|time| time.min(now));
        self.first_seen = [first, at_most_now(said.first)].into_iter().flatten().min();
        self.last_seen = last.max(at_most_now(said.last));
        backing.extend(&said.members);
        let everybody = reporters.union(&said.members).count();
        self.corroboration = everybody.saturating_add(said.unnamed());
        self.sightings = Sightings {
            count: said.count,
            members: said.members.len().saturating_add(said.unnamed()),
            last_seen: at_most_now(said.last),
        };
        for (_, opinion) in said.opinions.values() {
            *self.opinions.entry(opinion.as_str()).or_default() += 1;
        }
        self.expired_by = said.expired.len();
        self.contested = said.doubt() >= belfry_proto::stix::score::CONTESTED;
        let named = |member| Reporter { member, organisation: organisation(roster, member) };
        self.reported_by = nameable.into_iter().map(named).collect();
        let mut best: Option<State> = None;
        let mut objects: Vec<Naming> = Vec::with_capacity(hits.len());
        for hit in hits {
            let mut naming = Naming::of(roster, &hit);
            if hit.row.kind() == "indicator"
                && let Some(indicator) = Brief::read(hit.row.raw())
            {
                let decay = Decay::of(observable.kind());
                said.ended = hit.said.ended;
                let judged = evidence(decay, indicator.claimed(), &hit.row, backing.len(), &said).judge(now);
                naming.name = neutral::brief(&indicator.name, 200);
                naming.state = Some(judged.state.as_str());
                naming.score = Some(judged.score);
                naming.expires = Some(judged.expires);
                self.score = self.score.max(judged.score);
                best = Some(best.map_or(judged.state, |best| best.min(judged.state)));
            }
            objects.push(naming);
        }
        // The best of them: whoever still vouches for a value outweighs whoever no longer does.
        self.state = match best {
            Some(state) => state.as_str(),
            None if objects.is_empty() => "unknown",
            None => "observed",
        };
        objects.sort_by_key(|object| std::cmp::Reverse(object.date_added));
        self.more |= objects.len() > MAX_LISTED;
        objects.truncate(MAX_LISTED);
        self.objects = objects;
    }
}

impl Naming {
    fn of(roster: &Roster, hit: &Hit) -> Self {
        let row = &hit.row;
        let member = Some(row.member()).filter(|member| row.nameable().any(|named| named == *member));
        Self {
            group: slug(roster, row.group()),
            id: row.id().to_owned(),
            kind: row.kind().to_owned(),
            version: row.version(),
            name: String::new(),
            matched: hit.matched.iter().take(MAX_LISTED).map(|named| named.value().to_owned()).collect(),
            tlp: row.tlp().as_str(),
            pap: row.pap(),
            member,
            organisation: member.and_then(|member| organisation(roster, member)),
            reason: row.reason().map(str::to_owned),
            on_behalf: row.is_on_behalf(),
            date_added: row.date_added(),
            state: None,
            score: None,
            expires: None,
            classes: row.classes(),
            purpose: row.purpose(),
        }
    }
}
