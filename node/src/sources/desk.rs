//! Where items are handed in: read, marked as the source counts, submitted, and their fate noted.

use belfry_proto::{
    crypto::pae::Pae,
    guard::{Report, Weight},
    id::GroupId,
    import::ImportError,
    stix::{
        marking::{self, Markings, Tlp},
        object::Object,
        strict,
    },
    time::Timestamp,
};
use uuid::Uuid;

use super::{Counts, Failure, MAX_TOLD, Refusal, state::State};
use crate::{
    clock,
    config::Source,
    publish::{
        Publisher,
        file::{Reading, Taken},
        submission::{Accepted, Submission, SubmitError},
    },
    roster::LiveRoster,
    store::{Change, Store},
};

/// Times that a page is tried without the objects that were objected to. Each time it is read anew.
const TRIES: usize = 16;

/// A source's place at the node.
pub(super) struct Desk {
    pub(super) source: Source,
    pub(super) publisher: Publisher,
    pub(super) store: Store,
    roster: LiveRoster,
    pub(super) state: State,
    /// Of this run.
    run: Counts,
    refusals: Vec<Refusal>,
    notes: Vec<Refusal>,
}

/// What became of an item.
#[derive(Debug)]
pub(super) enum Fate {
    /// Publications or drafts were made of it; most are one.
    Taken(Vec<Accepted>),
    /// It had come before.
    Known(Vec<Accepted>),
    /// It is at fault.
    Refused(String),
    /// It can be read, and says nothing that can be taken.
    Nothing(String),
}

impl Desk {
    pub(super) fn new(source: Source, publisher: Publisher, store: Store, roster: LiveRoster) -> Self {
        let (state, run) = (State::default(), Counts::default());
        Self { source, publisher, store, roster, state, run, refusals: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn name(&self) -> &str {
        &self.source.name
    }

    pub(super) async fn load(&mut self) -> Result<(), Failure> {
        let (store, name) = (self.store.clone(), self.source.name.clone());
        let row = tokio::task::spawn_blocking(move || store.source(&name)).await;
        let row = row.map_err(|error| Failure::of(&error))?.map_err(|error| Failure::of(&error))?;
        if let Some(row) = row {
            let read = serde_json::from_slice(&row);
            self.state =
                read.map_err(|error| Failure::new(format!("its row in the store does not read: {error}")))?;
        }
        Ok(())
    }

    /// Forgets the place in another feed than `of`.
    pub(super) fn begin(&mut self, of: &str) {
        if self.state.of != of {
            let State { last_run, counts, .. } = self.state;
            self.state = State { last_run, counts, of: of.to_owned(), ..State::default() };
        }
    }

    pub(super) async fn save(&mut self) -> Result<(), Failure> {
        let state = serde_json::to_vec(&self.state).map_err(|error| Failure::of(&error))?;
        let change = Change::Source { name: self.source.name.clone(), state };
        self.store.commit(change).await.map(drop).map_err(|error| Failure::of(&error))
    }

    /// A run is over. Where nothing came of it, it is not worth a synced write.
    pub(super) async fn end(&mut self, now: Timestamp) -> Result<(), Failure> {
        let is_news = self.run != Counts::default() || self.state.last_run.is_none();
        let is_remote = !self.state.of.is_empty();
        self.state.last_run = Some(now);
        if is_news || is_remote { self.save().await } else { Ok(()) }
    }

    /// Counts, refusals and notes of the run, which are taken out.
    pub(super) fn told(&mut self) -> (Counts, Vec<Refusal>, Vec<Refusal>) {
        let take = std::mem::take::<Vec<Refusal>>;
        (std::mem::take(&mut self.run), take(&mut self.refusals), take(&mut self.notes))
    }

    pub(super) fn count(&mut self, change: impl Fn(&mut Counts)) {
        change(&mut self.run);
        change(&mut self.state.counts);
    }

    /// Notes that an item, or a part of one, is not taken.
    pub(super) fn refuse(&mut self, item: &str, why: &str) {
        self.count(|counts| counts.refused += 1);
        tell(&mut self.refusals, item, why);
    }

    /// Notes what there is to know of an item that is taken.
    pub(super) fn note(&mut self, item: &str, what: &str) {
        tell(&mut self.notes, item, what);
    }

    /// Whose drafts its own are.
    pub(super) fn submitter(&self) -> String {
        format!("source:{}", self.source.name)
    }

    /// What the configuration states of all that comes.
    pub(super) fn submission(&self) -> Result<Submission, Failure> {
        let roster = self.roster.snapshot();
        let slug = &self.source.group;
        let group = roster.charter().group_by_slug(slug);
        let group = group.ok_or_else(|| Failure::new(format!("the charter has no group {slug:?}")))?;
        Ok(Submission {
            unmarked: self.source.tlp,
            purpose: self.source.purpose,
            classes: self.source.classes.clone(),
            class_label: self.source.class_label.clone(),
            pap: None,
            hold: !self.source.publish,
            is_from_source: true,
            ..Submission::of(group.id, &self.submitter())
        })
    }

    /// Takes a file or an event, `anew` even if it came before and this source took it back since; nothing while that is on its
    /// way out. Also what was understood and skipped, if it could be read.
    pub(super) async fn file(
        &mut self,
        item: &str,
        reading: Reading,
        bytes: Vec<u8>,
        anew: bool,
    ) -> Result<Option<(Fate, Option<belfry_proto::import::Import>)>, Failure> {
        let submission = self.submission()?;
        let default_pap = self.source.pap;
        let read = tokio::task::spawn_blocking(move || reading.read(&bytes, submission)).await;
        let Taken { import, mut submissions, .. } = match read.map_err(|error| Failure::of(&error))? {
            Ok(taken) => taken,
            Err(unreadable) => {
                let why = unreadable.to_string();
                self.refuse(item, &why);
                let is_nothing = matches!(unreadable.source, ImportError::Nothing { .. });
                let fate = if is_nothing { Fate::Nothing(why) } else { Fate::Refused(why) };
                return Ok(Some((fate, None)));
            }
        };
        for submission in &mut submissions {
            submission.pap = submission.pap.or(default_pap);
            if anew && !self.rename(submission).await? {
                return Ok(None);
            }
        }
        let skipped = (import.skipped.len() + import.more_skipped) as u64;
        let fate = match self.try_once(item, submissions).await? {
            Tried::Done(fate) => fate,
            Tried::Refused(refused) => Fate::Refused(refused.why),
        };
        match &fate {
            Fate::Refused(why) | Fate::Nothing(why) => self.refuse(item, why),
            Fate::Taken(_) => self.count(|counts| counts.skipped += skipped),
            Fate::Known(_) => {}
        }
        Ok(Some((fate, Some(import))))
    }

    /// Takes STIX objects, and leaves out those that are at fault.
    pub(super) async fn objects(
        &mut self,
        objects: Vec<Box<serde_json::value::RawValue>>,
    ) -> Result<(), Failure> {
        let mut submission = self.submission()?;
        submission.pap = self.source.pap;
        let most = self.ceiling(submission.group);
        let known = std::mem::take(&mut self.state.taxii.markings);
        let sorted = tokio::task::spawn_blocking(move || Sorted::of(&objects, known, most)).await;
        let Sorted { mut good, bad, markings } = sorted.map_err(|error| Failure::of(&error))?;
        self.state.taxii.markings = markings;
        for (id, why) in bad {
            self.refuse(&id, &why);
        }
        for _ in 0..TRIES {
            if good.is_empty() {
                return Ok(());
            }
            let (bundle, origin) = bundle_of(&good);
            let submission = Submission { bundle, origin: Some(origin), ..submission.clone() };
            let tried = self.try_once("a page", vec![submission]).await?;
            let (faulty, why) = match tried {
                Tried::Done(_) => return Ok(()),
                Tried::Refused(error) => (error.objects(), error.why),
            };
            let before = good.len();
            for id in &faulty {
                self.refuse(id, &why);
            }
            good.retain(|object| !faulty.contains(&object.id().to_owned()));
            if good.len() == before {
                // It names none of them: none can go.
                self.refuse("a page", &why);
                return Ok(());
            }
        }
        self.refuse("a page", "too many of its objects are objected to");
        Ok(())
    }

    /// The widest marking that its group takes.
    fn ceiling(&self, group: GroupId) -> Tlp {
        let roster = self.roster.snapshot();
        let most = roster.charter().group(group).and_then(|group| Option::<Tlp>::from(group.max_tlp));
        // What is RED names people, and a source names nobody.
        most.unwrap_or(Tlp::Clear).min(Tlp::AmberStrict)
    }

    /// Whether it is the configuration that marks above what its group takes: nothing unmarked can be taken then, and all
    /// of it once the configuration is mended.
    fn is_ours(&self, error: &SubmitError, group: GroupId) -> bool {
        let found = match error {
            SubmitError::AboveCeiling { found, .. } => *found,
            SubmitError::RedWithoutRecipients => Tlp::Red,
            _ => return false,
        };
        let ours = self.source.tlp.unwrap_or_else(|| self.publisher.default_tlp());
        found == ours && ours > self.ceiling(group)
    }

    /// What decides whether an item is taken, beside the item: with others, what was refused is looked at again.
    pub(super) fn terms(&self) -> Result<String, Failure> {
        let Submission { group, .. } = self.submission()?;
        let Source { max_size, tlp, pap, .. } = &self.source;
        Ok(format!("{max_size} {tlp:?} {pap:?} {} {:?}", group.get(), self.ceiling(group)))
    }

    /// An object of what would go out at once that this member says by another way than this source.
    async fn said_otherwise(&self, submissions: &[Submission]) -> Result<Option<String>, Failure> {
        for submission in submissions.iter().filter(|submission| !submission.hold) {
            let said =
                self.publisher.said_otherwise(submission).await.map_err(|error| Failure::of(&error))?;
            if said.is_some() {
                return Ok(said);
            }
        }
        Ok(None)
    }

    /// Hands an item in, all of it or nothing. What a guard wants a reason for waits for a person, who can give one; so does
    /// what would stand in the place of what this member says by another way.
    async fn try_once(&mut self, item: &str, mut submissions: Vec<Submission>) -> Result<Tried, Failure> {
        let group = submissions.first().map(|submission| submission.group);
        let said = self.said_otherwise(&submissions).await?;
        if said.is_some() {
            submissions.iter_mut().for_each(|submission| submission.hold = true);
        }
        let may_go = submissions.iter().all(|submission| !submission.hold);
        let tried = match self.publisher.submit_together(submissions.clone()).await {
            Err(SubmitError::Guarded(report)) if may_go && report.gravest() == Some(Weight::Reason) => {
                let held = submissions.into_iter().map(|submission| Submission { hold: true, ..submission });
                self.publisher.submit_together(held.collect()).await
            }
            tried => tried,
        };
        match tried {
            Ok(accepted) if accepted.iter().all(|one| one.duplicate) => {
                self.count(|counts| counts.known += 1);
                Ok(Tried::Done(Fate::Known(accepted)))
            }
            Ok(accepted) => {
                if let Some(object) = said {
                    self.note(
                        &object,
                        "this member says it by another way: the next version waits for a person",
                    );
                }
                for notes in accepted.iter().filter(|one| !one.duplicate).map(|one| &one.notes) {
                    notes.iter().for_each(|note| self.note(item, note));
                }
                let news = accepted.iter().filter(|one| !one.duplicate);
                let objects = news.map(|one| u64::from(one.objects)).sum::<u64>();
                self.count(|counts| {
                    counts.taken += 1;
                    counts.objects += objects;
                });
                Ok(Tried::Done(Fate::Taken(accepted)))
            }
            Err(error) => match at_fault(&error) && !group.is_some_and(|group| self.is_ours(&error, group)) {
                true => Ok(Tried::Refused(Refused { why: error.to_string(), error })),
                false => Err(Failure::of(&error)),
            },
        }
    }
}

fn tell(told: &mut Vec<Refusal>, item: &str, why: &str) {
    if told.len() == MAX_TOLD {
        told.remove(0);
    }
    told.push(Refusal { at: clock::now(), item: item.to_owned(), why: why.to_owned() });
}

enum Tried {
    Done(Fate),
    Refused(Refused),
}

struct Refused {
    why: String,
    error: SubmitError,
}

impl Refused {
    /// The objects it is about.
    fn objects(&self) -> Vec<String> {
        match &self.error {
            SubmitError::Content { object, .. } => object.iter().cloned().collect(),
            SubmitError::Guarded(report) => faulty(report),
            _ => Vec::new(),
        }
    }
}

fn faulty(report: &Report) -> Vec<String> {
    let gravest = report.gravest();
    let gravest = report.objections.iter().filter(|objection| Some(objection.weight()) == gravest);
    let ids: std::collections::BTreeSet<&String> =
        gravest.filter_map(|found| found.object.as_ref()).collect();
    ids.into_iter().cloned().collect()
}

/// Whether it is the item's fault, and will be each time.
const fn at_fault(error: &SubmitError) -> bool {
    match error {
        SubmitError::NotABundle(_)
        | SubmitError::Content { .. }
        | SubmitError::AboveCeiling { .. }
        | SubmitError::RedWithoutRecipients
        | SubmitError::Guarded(_)
        | SubmitError::Reason(_) => true,
        SubmitError::UnknownGroup(_)
        | SubmitError::NotAPublisher(_)
        | SubmitError::NotHeld(_)
        | SubmitError::VersionHeld(_)
        | SubmitError::VersionGone
        | SubmitError::Overtaken(_)
        | SubmitError::TooManyHeld { .. }
        | SubmitError::NotAReader(_)
        | SubmitError::TooManyRecipients { .. }
        | SubmitError::NotASteward(_)
        | SubmitError::OnBehalfOfSelf
        | SubmitError::NamesMember(_)
        | SubmitError::IdempotencyMismatch
        | SubmitError::NoRoom
        | SubmitError::Unavailable(_)
        | SubmitError::Fault(_) => false,
    }
}

/// Markings of one source that are kept, and bytes of one: a feed has a few, of some lines.
const MAX_MARKINGS: usize = 256;
const MAX_MARKING: usize = 16 << 10;

/// A page's objects, checked one by one.
struct Sorted {
    good: Vec<Object>,
    /// Those at fault, by id if they have one, and why.
    bad: Vec<(String, String)>,
    /// Markings defined so far.
    markings: std::collections::BTreeMap<String, String>,
}

impl Sorted {
    fn of(
        raw: &[Box<serde_json::value::RawValue>],
        mut markings: std::collections::BTreeMap<String, String>,
        most: Tlp,
    ) -> Self {
        let (mut good, mut bad): (Vec<Object>, Vec<(String, String)>) = (Vec::new(), Vec::new());
        let mut versions: std::collections::BTreeMap<(String, String), Vec<u8>> =
            std::collections::BTreeMap::new();
        for (at, raw) in raw.iter().enumerate() {
            let object = Object::parse(raw.get().as_bytes()).and_then(|object| {
                strict::check(&object)?;
                Ok(object)
            });
            match object {
                Ok(object) => {
                    let version = (object.id().to_owned(), object.version().to_owned());
                    match versions.get(&version) {
                        None => {
                            versions.insert(version, object.raw().to_vec());
                            good.push(object);
                        }
                        Some(before) if before == object.raw() => {}
                        Some(_) => {
                            bad.push((version.0, "has another content under the same version".to_owned()))
                        }
                    }
                }
                Err(error) => {
                    let id = error.id.clone().unwrap_or_else(|| format!("objects[{at}]"));
                    bad.push((id, format!("{} {}", error.path, error.rule).trim().to_owned()));
                }
            }
        }
        for object in good.iter().filter(|object| object.kind() == "marking-definition") {
            let is_small = object.raw().len() <= MAX_MARKING && markings.len() < MAX_MARKINGS;
            if let (true, Ok(text)) = (is_small, std::str::from_utf8(object.raw())) {
                markings.insert(object.id().to_owned(), text.to_owned());
            }
        }
        // What marks them came with an earlier page, and goes along again: readers know a marking by its message.
        let here: std::collections::BTreeSet<String> =
            good.iter().map(|object| object.id().to_owned()).collect();
        let named =
            good.iter().flat_map(|object| object.marking_refs().iter().chain(object.granular_marking_refs()));
        let named: std::collections::BTreeSet<String> =
            named.filter(|id| !here.contains(*id)).cloned().collect();
        let known = named.iter().filter_map(|id| Object::parse(markings.get(id)?.as_bytes()).ok());
        let mut all: Vec<Object> = known.collect();
        all.append(&mut good);
        let defined = Markings::of(&all);
        let good = all.into_iter().filter(|object| {
            let found = marking::effective(object, None, &defined);
            let is_over = found.filter(|found| *found > most);
            if let Some(found) = is_over {
                bad.push((
                    object.id().to_owned(),
                    format!("TLP:{found} is above TLP:{most}, the most it may bring"),
                ));
            }
            is_over.is_none()
        });
        let mut good: Vec<Object> = good.collect();
        if good.iter().all(|object| object.kind() == "marking-definition") {
            good.clear();
        }
        Self { good, bad, markings }
    }
}

/// Objects as a bundle, and what names it: the same objects make the same one.
fn bundle_of(objects: &[Object]) -> (Vec<u8>, [u8; 32]) {
    let mut pae = Pae::new("belfry/v1/source");
    for object in objects {
        pae = pae.part(object.raw());
    }
    let origin = pae.hash();
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = origin;
    let id = uuid::Builder::from_custom_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]).into_uuid();
    let mut bundle = bundle_head(id);
    for (at, object) in objects.iter().enumerate() {
        if at > 0 {
            bundle.push(b',');
        }
        bundle.extend_from_slice(object.raw());
    }
    bundle.extend_from_slice(b"]}");
    (bundle, origin)
}

fn bundle_head(id: Uuid) -> Vec<u8> {
    format!(r#"{{"type":"bundle","id":"bundle--{id}","objects":["#).into_bytes()
}
