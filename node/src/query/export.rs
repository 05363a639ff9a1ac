//! What a tool is given: the values of an export profile, gathered, judged and counted.
//!
//! ```text
//! indicators in force ─admit─▶ Shown ─class, benign, revoked─▶ release(policy) ─▶ Released
//!      each value of each ─▶ one place a value, with all who name it ─▶ allow-list, warning lists, score ─▶ Entry
//! ```
//!
//! Several members naming one value make one entry of it: members and opinions are counted over all of them, the best
//! claim gives the score. Whatever is left out is counted under the reason, and an answer is whole or an error: a list
//! that silently lacks its end would be taken for the truth.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use belfry_proto::{
    id::{GroupId, MemberId, RosterVersion},
    stix::{
        egress::{self, Held, Policy, Use},
        indicator::{Indicator, Stands},
        marking::Tlp,
        neutral,
        observable::{Kind, Observable},
        score::{Decay, Evidence, State},
    },
    time::Timestamp,
};
use serde::Serialize;

use super::{
    Inner, Principal, Query, QueryError, Readable, Shown,
    authorise::admit,
    lists::Loaded,
    release::{Released, frees_at, release},
    said::{Said, evidence},
};
use crate::{
    clock,
    config::{Export, Format},
    store::{PageQuery, Revision},
    words,
};

/// Values of one export. Beyond it the tools give up before belfry does.
const MAX_ENTRIES: usize = 1_000_000;
/// Rows of one stretch of the scan.
const STRETCH: usize = 1_000;
/// Characters of an indicator's name that go along.
const NAME: usize = 120;
/// Values named in a report with the reason they are left out.
const NAMED: usize = 200;

/// A profile as lists show it.
#[derive(Clone, Debug, Serialize)]
pub struct ExportView {
    /// Its name.
    pub name: String,
    /// Its format.
    pub format: &'static str,
    /// `block` or `detect`.
    pub action: &'static str,
    /// `inside` or `outside`.
    pub audience: &'static str,
    /// Most restrictive marking.
    pub max_tlp: &'static str,
    /// Slugs; empty for all.
    pub groups: Vec<String>,
    /// Types; empty for all of the format.
    pub types: Vec<&'static str>,
    /// Information classes; empty for all.
    pub classes: Vec<String>,
    /// Purposes; empty for all.
    pub purposes: Vec<String>,
    /// Lowest score.
    pub minimum_score: u8,
    /// Serves nothing, reports all.
    pub shadow: bool,
}

/// A value that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub observable: Observable,
    /// 1 to 100, or 0 where the profile takes that.
    pub score: u8,
    /// When it was first said.
    pub first: Timestamp,
    /// When it was last said or seen.
    pub last: Timestamp,
    /// When it ends by itself.
    pub expires: Timestamp,
    /// Members behind it.
    pub members: usize,
    /// Organisations that may be named.
    pub sources: Vec<String>,
    /// What one of its indicators is called; neutral.
    pub name: String,
    /// STIX ids of its indicators.
    pub ids: Vec<String>,
    /// Most restrictive marking of these.
    pub tlp: Tlp,
}

/// An export at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its profile.
    pub export: Export,
    /// Its values, by type and value.
    pub entries: Vec<Entry>,
    /// Indicators as objects, where the format wants them, with the values of each that go out.
    pub objects: Vec<(Released, Vec<Observable>)>,
    /// What was left out, by reason; values, or objects that were looked at no further.
    pub held: BTreeMap<Held, u64>,
    /// Some of these values.
    pub named: Vec<(Observable, Held)>,
    /// When it was made.
    pub made: Timestamp,
    /// When it stops being true by itself.
    pub changes: Timestamp,
}

impl Snapshot {
    /// The same export with nothing in it.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let export = self.export.clone();
        let (entries, objects, named, held) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        Self { export, entries, objects, held, named, made: self.made, changes: self.changes }
    }
}

/// What tells whether an export may have changed: the store's, the roster's and the lists' state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    revision: Revision,
    /// Names are read from the roster in memory, which follows the store's.
    roster: (u64, RosterVersion),
    lists: u64,
}

impl Query {
    /// The profiles whose groups the token reads.
    #[must_use]
    pub fn exports(&self, principal: &Principal) -> Vec<ExportView> {
        let readable = self.inner.exports.iter().filter(|export| self.groups_of(principal, export).is_ok());
        readable.map(ExportView::of).collect()
    }

    /// A profile the token may have.
    ///
    /// # Errors
    /// There is none, or it has a group the token does not read: half a list would pass for a whole one.
    pub fn export_named(&self, principal: &Principal, name: &str) -> Result<&Export, QueryError> {
        let export = self.inner.exports.iter().find(|export| export.name == name);
        let export = export.ok_or(QueryError::UnknownExport)?;
        self.groups_of(principal, export)?;
        Ok(export)
    }

    /// What an export made now would be made of: its groups' objects, the coalition's names, and the lists.
    ///
    /// # Errors
    /// As [`Self::export_named`].
    pub fn edition(&self, principal: &Principal, name: &str) -> Result<Edition, QueryError> {
        let groups = self.groups_of(principal, self.export_named(principal, name)?)?;
        let revision = self.inner.store.revision(groups.into_iter().map(Readable::group));
        let roster = self.roster();
        let roster = (roster.charter().version(), roster.version());
        Ok(Edition { revision, roster, lists: self.inner.lists.current().edition })
    }

    /// Makes an export.
    ///
    /// # Errors
    /// As [`Self::export_named`], too many values, or the store.
    pub async fn export(&self, principal: &Principal, name: &str) -> Result<Snapshot, QueryError> {
        let export = self.export_named(principal, name)?.clone();
        let groups: Vec<GroupId> =
            self.groups_of(principal, &export)?.into_iter().map(Readable::group).collect();
        let (principal, this) = (principal.clone(), self.clone());
        self.read(move |inner| {
            let now = clock::now();
            let lists = inner.lists.current();
            let mut gathering = Gathering::new(&export, now);
            for group in groups {
                inner.gather(&principal, group, &mut gathering)?;
            }
            Ok(gathering.judged(&lists, |member| this.organisation(member)))
        })
        .await
    }

    pub(super) fn groups_of(
        &self,
        principal: &Principal,
        export: &Export,
    ) -> Result<Vec<Readable>, QueryError> {
        if export.groups.is_empty() {
            return Ok(self.all_readable(principal));
        }
        let readable = export.groups.iter().map(|group| self.readable(principal, group));
        readable.collect::<Result<_, _>>().map_err(|_| QueryError::UnknownExport)
    }
}

impl Inner {
    fn gather(
        &self,
        principal: &Principal,
        group: GroupId,
        gathering: &mut Gathering<'_>,
    ) -> Result<(), QueryError> {
        let (survey, mut looks) = (self.survey(group)?, self.store.looks());
        let mut query =
            PageQuery { after: None, kinds: Some(vec!["indicator".to_owned()]), examine: STRETCH };
        loop {
            let page = self.store.page(group, &query)?;
            for row in page.rows.into_iter().filter_map(|row| admit(principal, row)) {
                let (date, tag) = (row.date_added(), self.tag_of(&row));
                let row = if survey.is_repeated(&tag) {
                    self.in_force(&mut looks, principal, row)?
                } else {
                    Some(row)
                };
                let Some(row) = row.filter(|row| row.date_added() == date) else { continue };
                if let Some((released, indicator, values)) = gathering.takes(row) {
                    let shown = released.object();
                    // Counts and times tell of what they are made of, so that has to be allowed out, too.
                    let said = if survey.is_spoken_of(&tag) {
                        self.said_of(&mut looks, principal, shown.group(), shown.id(), |row| {
                            gathering.counts(row)
                        })?
                    } else {
                        Said::default()
                    };
                    gathering.add(released, &indicator, values, &said)?;
                }
            }
            if !page.more {
                return Ok(());
            }
            query.after = page.next_after;
        }
    }
}

/// Everything that names one value.
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
pub(super) type Taken = (Released, Indicator, Vec<(Observable, Stands)>);

pub(super) struct Gathering<'a> {
    export: &'a Export,
    now: Timestamp,
    values: BTreeMap<Observable, Named>,
    objects: Vec<(Released, Vec<Observable>)>,
    held: BTreeMap<Held, u64>,
    /// Also noted while rows are only looked at.
    changes: Cell<Timestamp>,
}

impl<'a> Gathering<'a> {
    pub(super) const fn new(export: &'a Export, now: Timestamp) -> Self {
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
    fn counts(&self, row: &Shown) -> bool {
        let policy = Policy { purpose: Use::Detect, ..self.export.policy };
        if let Some(frees) = frees_at(&policy, row, self.now) {
            self.changes_by(frees);
        }
        release(&policy, row.clone(), self.now).is_ok()
    }

    /// The indicator, if it may leave and names anything this export is of.
    pub(super) fn takes(&mut self, row: Shown) -> Option<Taken> {
        let indicator = Indicator::read(row.raw())?;
        let of_rules = self.export.format == Format::Rules;
        if (indicator.pattern_type == "stix") == of_rules {
            return None;
        }
        let mut values = indicator.values();
        values.retain(|(value, _)| {
            self.export.format.writes(value.kind())
                && (self.export.types.is_empty() || self.export.types.contains(&value.kind()))
        });
        if values.is_empty() && !of_rules {
            return None;
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
        let frees = frees_at(&self.export.policy, &row, self.now);
        match release(&self.export.policy, row, self.now) {
            Ok(released) => Some((released, indicator, values)),
            Err(reason) => {
                self.hold(reason);
                if let Some(frees) = frees {
                    self.changes_by(frees);
                }
                None
            }
        }
    }

    pub(super) fn add(
        &mut self,
        released: Released,
        indicator: &Indicator,
        values: Vec<(Observable, Stands)>,
        said: &Said,
    ) -> Result<(), QueryError> {
        let row = released.object();
        let members: Vec<MemberId> = row.reporters().iter().copied().chain([row.member()]).collect();
        if self.export.format == Format::Rules {
            let backing: BTreeSet<MemberId> = members.iter().chain(&said.members).copied().collect();
            let evidence = evidence(Decay::of_rules(), indicator, row, backing.len(), said);
            match self.verdict(&evidence) {
                Ok(score) => self.objects.push((released.scored(score), Vec::new())),
                Err(reason) => self.hold(reason),
            }
            return self.bounded();
        }
        for (value, stands) in &values {
            let named = self.values.entry(value.clone()).or_default();
            named.claims.push(Claim {
                // Members and doubt are the value's, and known once all are gathered.
                evidence: evidence(Decay::of(value.kind()), indicator, row, 0, said),
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
            self.objects.push((released, values.into_iter().map(|(value, _)| value).collect()));
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
    fn verdict(&mut self, evidence: &Evidence) -> Result<u8, Held> {
        let judged = evidence.judge(self.now);
        match judged.state {
            State::Revoked => Err(Held::Revoked),
            State::Expired => Err(Held::Expired),
            State::NotYet => {
                self.changes_by(evidence.from);
                Err(Held::NotYet)
            }
            State::Active if judged.score < self.export.minimum_score => Err(Held::Score),
            State::Active if self.export.policy.purpose == Use::Block && evidence.is_contested() => {
                Err(Held::Contested)
            }
            State::Active => {
                self.changes_by(evidence.leaves(self.export.minimum_score, self.now));
                Ok(judged.score)
            }
        }
    }

    pub(super) fn judged(
        mut self,
        lists: &Loaded,
        organisation: impl Fn(MemberId) -> Option<String>,
    ) -> Snapshot {
        let mut entries = Vec::new();
        let mut left_out = Vec::new();
        for (observable, named) in std::mem::take(&mut self.values) {
            match self.entry(lists, &observable, named, &organisation) {
                Ok(entry) => entries.push(entry),
                Err(reason) => {
                    self.hold(reason);
                    if left_out.len() < NAMED {
                        left_out.push((observable, reason));
                    }
                }
            }
        }
        let objects = std::mem::take(&mut self.objects);
        let objects = match self.export.format {
            Format::Rules => objects,
            _ => objects
                .into_iter()
                .filter_map(|(object, values)| self.whole(&entries, object, values))
                .collect(),
        };
        Snapshot {
            export: self.export.clone(),
            entries,
            objects,
            held: self.held,
            named: left_out,
            made: self.now,
            changes: self.changes.get(),
        }
    }

    fn entry(
        &mut self,
        lists: &Loaded,
        observable: &Observable,
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
            match self.verdict(&evidence) {
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
        mut values: Vec<Observable>,
    ) -> Option<(Released, Vec<Observable>)> {
        let before = values.len();
        let score = |value: &Observable| {
            let at = entries.binary_search_by(|entry| entry.observable.cmp(value)).ok()?;
            entries.get(at).map(|entry| entry.score)
        };
        let best = values.iter().filter_map(score).max()?;
        values.retain(|value| score(value).is_some());
        if self.export.policy.purpose == Use::Block && values.len() < before {
            return None;
        }
        Some((object.scored(best), values))
    }
}

impl Format {
    /// Whether the format has a way to write values of a type.
    #[must_use]
    pub const fn writes(self, kind: Kind) -> bool {
        match self {
            Self::List | Self::Csv | Self::Stix => true,
            Self::SplunkEs => matches!(
                kind,
                Kind::Ipv4
                    | Kind::Ipv6
                    | Kind::Domain
                    | Kind::Url
                    | Kind::Email
                    | Kind::Md5
                    | Kind::Sha1
                    | Kind::Sha256
                    | Kind::Sha512
                    | Kind::FileName
            ),
            Self::Suricata => matches!(
                kind,
                Kind::Ipv4 | Kind::Ipv6 | Kind::Domain | Kind::Url | Kind::Md5 | Kind::Sha1 | Kind::Sha256
            ),
            Self::Zeek => matches!(
                kind,
                Kind::Ipv4
                    | Kind::Ipv6
                    | Kind::Domain
                    | Kind::Url
                    | Kind::Email
                    | Kind::Md5
                    | Kind::Sha1
                    | Kind::Sha256
                    | Kind::FileName
            ),
            Self::Rpz => matches!(kind, Kind::Ipv4 | Kind::Ipv6 | Kind::Domain),
            Self::Misp => !matches!(kind, Kind::Cve),
            Self::Rules => false,
        }
    }

    /// Whether it is made of objects, not of values.
    const fn is_of_objects(self) -> bool {
        matches!(self, Self::Stix | Self::Misp | Self::Rules)
    }
}

impl ExportView {
    fn of(export: &Export) -> Self {
        let policy = export.policy;
        Self {
            name: export.name.clone(),
            format: export.format.as_str(),
            action: if policy.purpose == Use::Block { "block" } else { "detect" },
            audience: if policy.audience == egress::Audience::Inside { "inside" } else { "outside" },
            max_tlp: policy.most.as_str(),
            groups: export.groups.clone(),
            types: export.types.iter().map(|kind| kind.as_str()).collect(),
            classes: export.stated.classes.iter().copied().map(words::word).collect(),
            purposes: export.stated.purposes.iter().copied().map(words::word).collect(),
            minimum_score: export.minimum_score,
            shadow: export.shadow,
        }
    }
}
