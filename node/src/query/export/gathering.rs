//! One export in the making: what each indicator adds to it, and the judgement of every value at the end.
//!
//! ```text
//! Shown ─takes─▶ Taken ─add─▶ one place a value and what has it, with all who name it ─judged─▶ Snapshot
//! ```
//!
//! The hash of a file and the fingerprint of a certificate are two, though they be the same digits: whoever says the one backs
//! the other by no word.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use belfry_proto::{
    id::MemberId,
    stix::{
        egress::{Held, Policy, Use},
        indicator::{Bearer, Indicator, Sought, Stands},
        marking::Tlp,
        neutral,
        observable::{Kind, Observable},
        score::{Decay, Evidence, State},
    },
    time::Timestamp,
};

use super::{Entry, Snapshot};
use crate::{
    config::{Export, Format},
    query::{
        QueryError, Shown,
        lists::Loaded,
        release::{Released, frees_at, goes_whole, policy_for, release},
        said::{Said, evidence},
    },
};

/// Values of one export. Beyond it the tools give up before belfry does.
const MAX_ENTRIES: usize = 1_000_000;
/// Characters of an indicator's name that go along.
const NAME: usize = 120;
/// Values named in a report with the reason they are left out.
const NAMED: usize = 200;

/// A value, and what has it.
pub type Place = (Observable, Bearer);

/// Everything that names one value of something.
#[derive(Default)]
struct Named {
    claims: Vec<Claim>,
    members: Vec<MemberId>,
    /// Those who do not forbid it.
    nameable: Vec<MemberId>,
    said: Said,
    tlp: Option<Tlp>,
}

struct Claim {
    evidence: Evidence,
    stands: Stands,
    created: Timestamp,
    name: String,
    id: String,
}

/// An indicator that may leave, with the values of it that this export is of.
pub(in crate::query) type Taken = (Released, Indicator, Vec<Sought>);

pub(in crate::query) struct Gathering<'a> {
    export: &'a Export,
    now: Timestamp,
    values: BTreeMap<Place, Named>,
    objects: Vec<(Released, Vec<Place>)>,
    held: BTreeMap<Held, u64>,
    /// Also noted while rows are only looked at.
    changes: Cell<Timestamp>,
}

impl<'a> Gathering<'a> {
    pub(in crate::query) const fn new(export: &'a Export, now: Timestamp) -> Self {
        Self {
            export,
            now,
            values: BTreeMap::new(),
            objects: Vec::new(),
            held: BTreeMap::new(),
            changes: Cell::new(Timestamp::MAX),
        }
    }

    fn hold(&mut self, reason: Held) {
        *self.held.entry(reason).or_default() += 1;
    }

    /// Notes that the export stops being true by itself no later than then.
    fn changes_by(&self, at: Timestamp) {
        self.changes.set(self.changes.get().min(at));
    }

    /// Whether a sighting or an opinion may be told of by this way out; notes when one that may not yet will.
    pub(super) fn counts(&self, row: &Shown) -> bool {
        let policy = Policy { purpose: Use::Detect, ..self.export.policy };
        if let Some(frees) = frees_at(&policy, row, self.now) {
            self.changes_by(frees);
        }
        release(&policy, row.clone(), self.now).is_ok()
    }

    /// The indicator, if it may leave and names anything this export is of.
    pub(in crate::query) fn takes(&mut self, row: Shown) -> Option<Taken> {
        let indicator = Indicator::read(row.raw())?;
        let of_rules = self.export.format == Format::Rules;
        if (indicator.pattern_type == "stix") == of_rules {
            return None;
        }
        let mut values = indicator.sought();
        // What is made of objects is of all of them, unless it is of some types of values.
        let is_of_all = self.export.format.is_of_objects() && self.export.types.is_empty();
        let is_whole = of_rules || values.is_empty() && is_of_all && indicator.is_of_stix();
        let is_of = |Sought { value, .. }: &Sought| {
            self.export.format.writes(value.kind())
                && (self.export.types.is_empty() || self.export.types.contains(&value.kind()))
        };
        if !is_whole && !values.iter().any(is_of) {
            return None;
        }
        // An object that goes out whole blocks by all it names, of whatever type: each has to be judged, then.
        if self.export.format != Format::Stix || self.export.policy.purpose == Use::Detect {
            values.retain(is_of);
        }
        let reason = match () {
            () if row.is_revoked() => Some(Held::Revoked),
            () if !row.is_of_class(&self.export.stated) => Some(Held::Class),
            () if !row.is_meant(&self.export.stated) => Some(Held::Purpose),
            () if indicator.is_benign() => Some(Held::Benign),
            () => None,
        };
        if let Some(reason) = reason {
            self.hold(reason);
            return None;
        }
        let policy = policy_for(&self.export.policy, &indicator);
        let frees = frees_at(&policy, &row, self.now);
        match release(&policy, row, self.now) {
            Ok(released) => {
                let values = self.writable(&indicator, values, is_whole)?;
                Some((released, indicator, values))
            }
            Err(reason) => {
                self.hold(reason);
                if let Some(frees) = frees {
                    self.changes_by(frees);
                }
                None
            }
        }
    }

    /// Those of an indicator's values that the format can write as what they are, all others counted; none if it would be without
    /// any. What goes out as its author wrote it has to be what may go out so ([`goes_whole`]), also where it names no value.
    fn writable(
        &mut self,
        indicator: &Indicator,
        mut values: Vec<Sought>,
        is_whole: bool,
    ) -> Option<Vec<Sought>> {
        let format = self.export.format;
        let goes = match format {
            Format::Rules | Format::Stix => {
                goes_whole(indicator, !values.is_empty(), self.export.policy.purpose)
            }
            _ => !is_whole,
        };
        if !goes {
            self.hold(Held::Unwritable);
            return None;
        }
        if is_whole {
            return Some(values);
        }
        values.retain(|Sought { value, bearer, .. }| {
            let goes = format.writes_of(value.kind(), *bearer);
            if !goes {
                self.hold(Held::Unwritable);
            }
            goes
        });
        (!values.is_empty()).then_some(values)
    }

    /// Takes a row and adds it, with what is said of it.
    pub(in crate::query) fn gather(&mut self, row: Shown, said: &Said) -> Result<(), QueryError> {
        match self.takes(row) {
            Some((released, indicator, values)) => self.add(released, &indicator, values, said),
            None => Ok(()),
        }
    }

    pub(in crate::query) fn add(
        &mut self,
        released: Released,
        indicator: &Indicator,
        values: Vec<Sought>,
        said: &Said,
    ) -> Result<(), QueryError> {
        let row = released.object();
        let members: Vec<MemberId> = row.reporters().iter().copied().chain([row.member()]).collect();
        if values.is_empty() {
            let backing: BTreeSet<MemberId> = members.iter().chain(&said.members).copied().collect();
            let evidence = evidence(Decay::of_rules(), indicator.claimed(), row, backing.len(), said);
            let ends = (self.export.format == Format::Stix).then(|| evidence.judge(self.now).expires);
            match self.verdict(&evidence, policy_for(&self.export.policy, indicator).purpose) {
                Ok(score) => self.objects.push((released.scored(score, ends), Vec::new())),
                Err(reason) => self.hold(reason),
            }
            return self.bounded();
        }
        for Sought { value, stands, bearer } in &values {
            let named = self.values.entry((value.clone(), *bearer)).or_default();
            named.claims.push(Claim {
                // Members and doubt are the value's, and known once all are gathered.
                evidence: evidence(Decay::of(value.kind()), indicator.claimed(), row, 0, said),
                stands: *stands,
                created: row.created().min(self.now),
                name: neutral::brief(&indicator.name, NAME),
                id: row.id().to_owned(),
            });
            for member in &members {
                if !named.members.contains(member) {
                    named.members.push(*member);
                }
            }
            for member in row.nameable() {
                if !named.nameable.contains(&member) {
                    named.nameable.push(member);
                }
            }
            named.said.join(said);
            named.tlp = named.tlp.max(Some(row.tlp()));
        }
        if self.export.format.is_of_objects() {
            let places = values.into_iter().map(|sought| (sought.value, sought.bearer));
            self.objects.push((released, places.collect()));
        }
        self.bounded()
    }

    fn bounded(&self) -> Result<(), QueryError> {
        match self.values.len().max(self.objects.len()) > MAX_ENTRIES {
            true => Err(QueryError::TooLarge(MAX_ENTRIES)),
            false => Ok(()),
        }
    }

    /// The score by which it goes out, and notes when that ends.
    fn verdict(&mut self, evidence: &Evidence, purpose: Use) -> Result<u8, Held> {
        let judged = evidence.judge(self.now);
        match judged.state {
            State::Revoked => Err(Held::Revoked),
            State::Expired => Err(Held::Expired),
            State::NotYet => {
                self.changes_by(evidence.from);
                Err(Held::NotYet)
            }
            State::Active if judged.score < self.export.minimum_score => Err(Held::Score),
            State::Active if purpose == Use::Block && evidence.is_contested() => Err(Held::Contested),
            State::Active => {
                self.changes_by(evidence.leaves(self.export.minimum_score, self.now));
                Ok(judged.score)
            }
        }
    }

    pub(in crate::query) fn judged(
        mut self,
        lists: &Loaded,
        organisation: impl Fn(MemberId) -> Option<String>,
    ) -> Snapshot {
        let mut entries = Vec::new();
        let mut left_out = Vec::new();
        for (place, named) in std::mem::take(&mut self.values) {
            match self.entry(lists, &place, named, &organisation) {
                Ok(entry) => entries.push(entry),
                Err(reason) => {
                    self.hold(reason);
                    if left_out.len() < NAMED {
                        left_out.push((place.0, reason));
                    }
                }
            }
        }
        let spared = lists.allow.below(|name| {
            let domain = Observable::new(Kind::Domain, name);
            domain.is_some_and(|domain| standing(&entries, &domain, Bearer::Usual).is_some())
        });
        let objects = std::mem::take(&mut self.objects);
        let objects = objects.into_iter().filter_map(|(object, values)| match values.is_empty() {
            true => Some((object, values)),
            false => self.whole(&entries, object, values),
        });
        let objects = objects.collect();
        Snapshot {
            export: self.export.clone(),
            entries,
            objects,
            referred: Vec::new(),
            spared,
            held: self.held,
            named: left_out,
            made: self.now,
            changes: self.changes.get(),
        }
    }

    fn entry(
        &mut self,
        lists: &Loaded,
        (observable, bearer): &Place,
        named: Named,
        organisation: &impl Fn(MemberId) -> Option<String>,
    ) -> Result<Entry, Held> {
        if lists.allow.covers(observable) {
            return Err(Held::Allowed);
        }
        if !self.export.warned && lists.warnings.blocks(observable) {
            return Err(Held::Warning);
        }
        let backing: BTreeSet<MemberId> = named.members.iter().chain(&named.said.members).copied().collect();
        let (members, doubt) = (backing.len(), named.said.doubt());
        let mut best: Option<(u8, Timestamp, usize)> = None;
        let mut refusal = Held::Joined;
        for (i, claim) in named.claims.iter().enumerate() {
            if claim.stands == Stands::Joined && self.export.policy.purpose == Use::Block {
                continue;
            }
            let evidence = Evidence { members, doubt, sighted: named.said.last, ..claim.evidence };
            match self.verdict(&evidence, self.export.policy.purpose) {
                Ok(score) => {
                    let expires = evidence.judge(self.now).expires;
                    best = best.max(Some((score, expires, i)));
                }
                Err(reason) => refusal = reason,
            }
        }
        let (score, expires, i) = best.ok_or(refusal)?;
        let first = named.claims.iter().map(|claim| claim.created).min().unwrap_or(self.now);
        let last = named.claims.iter().map(|claim| claim.created).max().unwrap_or(self.now);
        let mut sources: Vec<String> = named.nameable.into_iter().filter_map(organisation).collect();
        sources.sort_unstable();
        Ok(Entry {
            observable: observable.clone(),
            bearer: *bearer,
            score,
            first,
            last: last.max(named.said.last.map_or(last, |seen| seen.min(self.now))),
            expires,
            members,
            sources,
            name: named.claims.get(i).map(|claim| claim.name.clone()).unwrap_or_default(),
            ids: named.claims.into_iter().map(|claim| claim.id).collect(),
            tlp: named.tlp.unwrap_or(Tlp::Red),
        })
    }

    /// An object goes out whole: to block by, only if all it names may; to look for, if any may.
    fn whole(
        &mut self,
        entries: &[Entry],
        object: Released,
        mut values: Vec<Place>,
    ) -> Option<(Released, Vec<Place>)> {
        let before = values.len();
        let entry = |(value, bearer): &Place| standing(entries, value, *bearer);
        let best = values.iter().filter_map(entry).map(|entry| entry.score).max()?;
        // While any of it stands in lists, it does.
        let ends = values.iter().filter_map(entry).map(|entry| entry.expires).max();
        values.retain(|value| entry(value).is_some());
        if self.export.policy.purpose == Use::Block && values.len() < before {
            return None;
        }
        Some((object.scored(best, ends), values))
    }
}

/// The entry of a value of something, if it stands.
fn standing<'a>(entries: &'a [Entry], value: &Observable, bearer: Bearer) -> Option<&'a Entry> {
    let place = |entry: &Entry| entry.observable.cmp(value).then(entry.bearer.cmp(&bearer));
    entries.get(entries.binary_search_by(place).ok()?)
}
