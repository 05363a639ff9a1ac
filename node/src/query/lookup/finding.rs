//! How many values are looked up at once: in steps, so that they share what each of these takes.
//!
//! ```text
//! texts ─▶ values, each once ─▶ entries, in the order of the index ─▶ rows, read ahead ─▶ [admit ─▶ in force?] ─▶ answers
//! ```
//!
//! Steps before the last only find out what to read: each row still passes the one gate by itself, for each value it is
//! found by. Values with many entries take the steps few at a time.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use belfry_proto::{
    id::GroupId,
    stix::{
        object::{Object, is_observable},
        observable::{
            self, Observable,
            around::{self, Around},
        },
    },
    time::Timestamp,
    trust::roster::Roster,
};

use super::{Found, Wanted, Warning, Within};
use crate::{
    query::{
        Inner, Principal, QueryError, Readable, Shown, authorise::admit, claims::InForce, lists::Loaded,
        said::Said,
    },
    store::{Entered, Looks, Most, Sought},
};

/// Rows looked at for one value, of each member the newest; what many name needs no longer list.
const ROWS: Most = Most { by_member: 64, all: 512 };
/// Rows looked at for a whole domain or range.
const ROWS_AROUND: Most = Most { by_member: 500, all: 2_000 };
/// Rows read ahead of the values they may name. Too low ⇒ more passes over the disk, too high ⇒ memory: each may have as many
/// bytes as an object.
const AHEAD: usize = if cfg!(test) { 4 } else { 128 };
/// Dates of rows that are held at once, some 30 bytes each: values of which there are more are looked for in several steps. Too
/// low ⇒ more passes over the index, too high ⇒ memory: a whole domain may have thousands, and hundreds are asked for at once.
const HELD: usize = if cfg!(test) { 8 } else { 16 * 1024 };
/// Values, in each group counted anew, that are looked for in memory before a thread that may wait for the disk is asked. Too
/// low ⇒ short questions wait for such a thread, too high ⇒ other requests wait for their hashes.
const FEW: usize = 16;

/// What all values of a question have in common.
pub(super) struct Asking<'a> {
    pub(super) roster: &'a Roster,
    pub(super) principal: &'a Principal,
    pub(super) within: &'a Within,
    pub(super) lists: &'a Loaded,
    pub(super) now: Timestamp,
}

/// A row that names the value, on its way into an answer.
pub(in crate::query) struct Hit {
    pub(in crate::query) row: Shown,
    pub(in crate::query) matched: Vec<Observable>,
    pub(in crate::query) said: Said,
}

/// A value that is looked for, and what lies around it if that is, too.
struct Value {
    observable: Observable,
    around: Option<Around>,
    /// Why what lies around it cannot be looked for.
    error: Option<String>,
}

/// A question's texts with what they name, and each value that they name, in the order in which they first do.
struct Question {
    /// Text and place of its value; else why it names none.
    texts: Vec<(String, Result<usize, String>)>,
    values: Vec<Value>,
}

/// Where in the index a value, or what lies around it, is entered.
struct Place<'a> {
    kind: &'static str,
    value: Cow<'a, str>,
    most: Most,
    /// Whether by the value itself.
    is_exact: bool,
}

/// Rows of one group that may name a value.
#[derive(Clone, Default)]
struct Rows {
    /// When they were added, the newest first, each once, and whether the value itself led there.
    dates: Vec<(Timestamp, bool)>,
    /// There are more than are looked at.
    is_cut: bool,
}

impl Question {
    fn of(values: impl Iterator<Item = Wanted>, around: bool) -> Self {
        let (most, _) = values.size_hint();
        let mut known: HashMap<Observable, usize> = HashMap::with_capacity(most);
        let (mut texts, mut each) = (Vec::with_capacity(most), Vec::with_capacity(most));
        for wanted in values {
            let named = match wanted.observable() {
                Some(observable) => Ok(*known.entry(observable).or_insert_with_key(|observable| {
                    let place = each.len();
                    each.push(Value::of(observable.clone(), around));
                    place
                })),
                None => Err(match wanted.kind {
                    Some(kind) => format!("this is no {kind}"),
                    None => {
                        "this is no address, domain, URL, mailbox, hash or the like; a type helps".to_owned()
                    }
                }),
            };
            texts.push((wanted.text, named));
        }
        Self { texts, values: each }
    }

    /// The answers to all texts, by those of each value.
    fn answers(self, found: Vec<Found>) -> Vec<Found> {
        let mut answers: Vec<Found> = Vec::with_capacity(self.texts.len());
        // Where each value was answered first.
        let mut firsts = Vec::with_capacity(found.len());
        let mut found = found.into_iter();
        for (text, named) in self.texts {
            let answer = match named {
                Err(error) => Found { error: Some(error), ..Found::nothing(text) },
                Ok(value) => match firsts.get(value).and_then(|first: &usize| answers.get(*first)) {
                    Some(known) => Found { value: text, ..known.clone() },
                    None => {
                        firsts.push(answers.len());
                        let found = found.next().unwrap_or_else(|| Found::nothing(String::new()));
                        Found { value: text, ..found }
                    }
                },
            };
            answers.push(answer);
        }
        answers
    }
}

impl Value {
    fn of(observable: Observable, around: bool) -> Self {
        let (around, error) = match around.then(|| Around::of(&observable)) {
            Some(Ok(around)) => (Some(around), None),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, None),
        };
        Self { observable, around, error }
    }

    const fn sought(&self) -> (&Observable, Option<&Around>) {
        (&self.observable, self.around.as_ref())
    }

    /// What is told of it whether anybody named it or not.
    fn found(&self, lists: &Loaded) -> Found {
        let observable = &self.observable;
        let warning = |hit: belfry_proto::stix::warning::Hit<'_>| Warning {
            list: hit.list.to_owned(),
            level: hit.level.as_str(),
        };
        Found {
            kind: Some(observable.kind().as_str()),
            normalised: Some(observable.value().to_owned()),
            error: self.error.clone(),
            allowed: lists.allow.covers(observable),
            warnings: lists.warnings.hits(observable).into_iter().map(warning).collect(),
            ..Found::nothing(String::new())
        }
    }
}

/// Where a value is entered, the ranges that may hold it, and what lies around it if asked for.
fn places<'a>(observable: &'a Observable, around: Option<&Around>) -> impl Iterator<Item = Place<'a>> {
    let exact = Place {
        kind: observable.kind().as_str(),
        value: Cow::Borrowed(observable.value()),
        most: ROWS,
        is_exact: true,
    };
    let ranges = around::ranges_around(observable).into_iter().map(|row| (row, ROWS));
    let around = around.map(|around| (around.row(), ROWS_AROUND));
    let beside = |((kind, value), most): (around::Row, Most)| Place {
        kind,
        value: Cow::Owned(value),
        most,
        is_exact: false,
    };
    std::iter::once(exact).chain(ranges.chain(around).map(beside))
}

impl Place<'_> {
    fn within(&self, group: GroupId) -> Sought<'_> {
        Sought { group, kind: self.kind, value: &self.value, most: self.most }
    }
}

impl Rows {
    fn add(&mut self, entered: Entered, is_exact: bool) {
        self.is_cut |= entered.more;
        if entered.dates.is_empty() {
            return;
        }
        let is_first = self.dates.is_empty();
        self.dates.extend(entered.dates.into_iter().map(|date| (date, is_exact)));
        if !is_first {
            // Of two that have one date, the one that the value itself led to comes first.
            self.dates.sort_unstable_by(|one, other| other.cmp(one));
            self.dates.dedup_by_key(|(date, _)| *date);
        }
    }
}

/// Rows that may name each of these values: of the first in each group, then of the next. `None` if they are more than `held`.
fn rows<'a>(
    looks: &mut Looks<'_>,
    groups: &[GroupId],
    values: impl Iterator<Item = (&'a Observable, Option<&'a Around>)>,
    held: usize,
) -> Result<Option<Vec<Rows>>, QueryError> {
    let (mut of_all, mut count) = (Vec::with_capacity(values.size_hint().0), 0);
    for (observable, around) in values {
        of_all.extend(places(observable, around).map(|place| (count, place)));
        count += 1;
    }
    let mut rows = vec![Rows::default(); count * groups.len()];
    let mut sought = Vec::with_capacity(of_all.len() * groups.len());
    let mut is_for = Vec::with_capacity(sought.capacity());
    for (value, place) in &of_all {
        for (n, group) in groups.iter().enumerate() {
            sought.push(place.within(*group));
            is_for.push((value * groups.len() + n, place.is_exact));
        }
    }
    let Some(each) = looks.entered_each(&sought, held)? else { return Ok(None) };
    for (entered, (n, is_exact)) in each.into_iter().zip(is_for) {
        if let Some(rows) = rows.get_mut(n) {
            rows.add(entered, is_exact);
        }
    }
    Ok(Some(rows))
}

/// The first of these values, at most so many and as many as rows may be held of, with their rows. One at least.
fn step<'a>(
    looks: &mut Looks<'_>,
    groups: &[GroupId],
    values: &'a [Value],
    most: usize,
) -> Result<(&'a [Value], Vec<Rows>), QueryError> {
    let mut values = values.get(..most).unwrap_or(values);
    loop {
        let held = if values.len() > 1 { HELD } else { usize::MAX };
        if let Some(rows) = rows(looks, groups, values.iter().map(Value::sought), held)? {
            return Ok((values, rows));
        }
        values = values.get(..values.len().div_ceil(2)).unwrap_or(values);
    }
}

/// Reads rows that may name the first of these values, as many as may be read ahead; of how many values all are read then.
fn read_ahead(looks: &mut Looks<'_>, groups: &[GroupId], rows: &[Rows]) -> Result<usize, QueryError> {
    let (mut ahead, mut values) = (BTreeSet::new(), 0);
    for rows in rows.chunks(groups.len().max(1)) {
        let more: usize = rows.iter().map(|rows| rows.dates.len()).sum();
        if values > 0 && ahead.len() + more > AHEAD {
            break;
        }
        let each = groups
            .iter()
            .zip(rows)
            .flat_map(|(group, rows)| rows.dates.iter().map(move |(date, _)| (*group, *date)));
        ahead.extend(each.take(AHEAD));
        values += 1;
    }
    // One alone is as well read when it is asked for.
    if ahead.len() > 1 {
        looks.read_ahead(&ahead)?;
    }
    Ok(values)
}

impl Inner {
    /// Groups asked in, but for those of which nothing ever came here: a token reads more of them than a node has.
    fn groups_of(&self, asking: &Asking<'_>) -> Vec<GroupId> {
        let groups = asking.within.groups.iter().copied().map(Readable::group);
        groups.filter(|group| self.store.has_logs(*group)).collect()
    }

    /// What is known of each value, in order.
    pub(super) fn look_up(&self, asking: &Asking<'_>, wanted: Vec<Wanted>) -> Result<Vec<Found>, QueryError> {
        let question = Question::of(wanted.into_iter(), asking.within.around);
        let (groups, mut looks) = (self.groups_of(asking), self.store.looks());
        let mut in_force = InForce::of(self, asking.principal);
        let (mut left, mut most) = (question.values.as_slice(), question.values.len());
        let mut found = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let (values, rows) = step(&mut looks, &groups, left, most)?;
            found.extend(self.told_of(asking, (&mut looks, &mut in_force), &groups, (values, &rows))?);
            left = left.get(values.len()..).unwrap_or_default();
            // Few of which much is known may stand before many of which little is.
            most = values.len().saturating_mul(2);
        }
        Ok(question.answers(found))
    }

    /// What is known of each of these values, in order, by the rows that may name them.
    fn told_of(
        &self,
        asking: &Asking<'_>,
        (looks, in_force): (&mut Looks<'_>, &mut InForce<'_>),
        groups: &[GroupId],
        (values, rows): (&[Value], &[Rows]),
    ) -> Result<Vec<Found>, QueryError> {
        let (mut found, mut ahead) = (Vec::with_capacity(values.len()), 0);
        for (n, value) in values.iter().enumerate() {
            let left = rows.get(n * groups.len()..).unwrap_or_default();
            if n >= ahead && !left.is_empty() {
                ahead = n + read_ahead(looks, groups, left)?;
            }
            let (mut answer, mut hits) = (value.found(asking.lists), Vec::new());
            for (group, rows) in groups.iter().zip(left) {
                answer.more |= rows.is_cut;
                self.naming(looks, in_force, *group, value.sought(), &rows.dates, &mut hits)?;
            }
            hits.retain(|hit| hit.row.is_meant(&asking.within.stated));
            answer.fill(asking.roster, &value.observable, hits, asking.now);
            found.push(answer);
        }
        Ok(found)
    }

    /// [`Self::look_up`] where nothing is known of any of the values, and that is known without the disk.
    pub(super) fn known_without_a_look(&self, asking: &Asking<'_>, wanted: &[Wanted]) -> Option<Vec<Found>> {
        let groups = self.groups_of(asking);
        if wanted.len() * groups.len().max(1) > FEW {
            return None;
        }
        let question = Question::of(wanted.iter().cloned(), asking.within.around);
        let looks = self.store.looks();
        let is_none = |value: &Value| {
            let (observable, around) = value.sought();
            let lacks = |place: Place<'_>| groups.iter().all(|group| looks.lacks(&place.within(*group)));
            places(observable, around).all(lacks)
        };
        if !question.values.iter().all(is_none) {
            return None;
        }
        let found = question.values.iter().map(|value| {
            let mut answer = value.found(asking.lists);
            answer.fill(asking.roster, &value.observable, Vec::new(), asking.now);
            answer
        });
        let found = found.collect();
        Some(question.answers(found))
    }

    /// The objects in force that name a value.
    pub(in crate::query) fn hits(
        &self,
        looks: &mut Looks<'_>,
        in_force: &mut InForce<'_>,
        group: GroupId,
        observable: &Observable,
        hits: &mut Vec<Hit>,
    ) -> Result<(), QueryError> {
        let of_one = std::iter::once((observable, None));
        for rows in rows(looks, &[group], of_one, usize::MAX)?.unwrap_or_default() {
            self.naming(looks, in_force, group, (observable, None), &rows.dates, hits)?;
        }
        Ok(())
    }

    /// The objects in force, of these rows, that name a value or lie around it.
    fn naming(
        &self,
        looks: &mut Looks<'_>,
        in_force: &mut InForce<'_>,
        group: GroupId,
        (observable, around): (&Observable, Option<&Around>),
        dates: &[(Timestamp, bool)],
        hits: &mut Vec<Hit>,
    ) -> Result<(), QueryError> {
        // Each object is looked at once, however many versions of it name the value.
        let (mut seen, mut looked_at) = (BTreeSet::new(), BTreeMap::new());
        let principal = in_force.principal();
        // Of these nobody is known to be the owner: what one says stands beside what others do.
        let mut unowned = BTreeSet::<String>::new();
        for (date, is_exact) in dates.iter().copied() {
            let Some(row) = looks.object_at(group, date)?.and_then(|row| admit(principal, row)) else {
                continue;
            };
            // An observable has no versions, and a file's id is made of some of its values: what one says of it stands
            // beside what others do.
            let is_fact = is_observable(row.kind()) && !row.is_revoked();
            let stands_beside = is_fact || unowned.contains(row.id());
            let mut key = (row.id().to_owned(), stands_beside.then(|| row.member()));
            if seen.contains(&key) {
                continue;
            }
            let row = if is_fact {
                Some(row)
            } else {
                match looked_at.remove(&key) {
                    Some(known) => known,
                    None => {
                        let member = row.member();
                        let (found, is_owners) = in_force.version(looks, row)?;
                        if !is_owners {
                            unowned.insert(key.0.clone());
                            key.1 = Some(member);
                        }
                        found
                    }
                }
            };
            let Some(row) = row else {
                looked_at.insert(key, None);
                continue;
            };
            let is_newest = row.date_added() == date;
            let matched = if is_exact && is_newest { Vec::new() } else { matching(&row, observable, around) };
            // An older version may have named what the one in force does not.
            let names_it = is_exact && is_newest || !matched.is_empty() || row.is_revoked() && is_exact;
            if names_it {
                // Nearly all are named by one row, behind which none comes.
                if dates.len() > 1 {
                    seen.insert(key);
                }
                // What it is found by is told only where that is not the value itself.
                let matched = if matched.contains(observable) { Vec::new() } else { matched };
                let said = self.said_of(looks, principal, group, row.id(), |_| true)?;
                hits.push(Hit { row, matched, said });
            } else if !is_fact {
                // Another row of it may name the value.
                looked_at.insert(key, Some(row));
            }
        }
        Ok(())
    }
}

/// What of an object is the value, a range that holds it, or lies around it.
fn matching(row: &Shown, observable: &Observable, around: Option<&Around>) -> Vec<Observable> {
    let Ok(object) = Object::parse(row.raw()) else { return Vec::new() };
    let mut found = observable::extract(&object);
    found.retain(|named| {
        named == observable
            || around::is_range_around(named, observable)
            || around.is_some_and(|around| around.holds(named))
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_led_to_twice_is_one_by_the_value_itself_if_that_is_one_way() {
        let at = Timestamp::from_micros;
        let entered = |dates: &[u64], more| {
            let dates = dates.iter().map(|date| at(*date)).collect();
            Entered { dates, more }
        };
        let mut rows = Rows::default();
        rows.add(entered(&[9, 4], false), true);
        rows.add(entered(&[], false), false);
        rows.add(entered(&[12, 9, 5, 4, 1], true), false);
        let expected = [(12, false), (9, true), (5, false), (4, true), (1, false)];
        assert_eq!(rows.dates, expected.map(|(date, is_exact)| (at(date), is_exact)));
        assert!(rows.is_cut);
    }
}
