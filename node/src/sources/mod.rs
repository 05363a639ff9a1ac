//! What is taken in from elsewhere: a folder that others put files into, a TAXII collection, a MISP feed.
//!
//! ```text
//! folder: file, whole ─┐
//! taxii:  page ────────┼─ Desk: read, marked ─▶ Publisher (guards, held or not) ─▶ report: taken | known | refused
//! misp:   event ───────┘                                     └ the run stops: tried again at the next one
//! ```
//!
//! What comes in takes the way of every other submission, past the same guards, and waits for a person unless the
//! source may publish. Each *item* (file, page, event) is durable before the source's own cursor moves, and names itself by
//! its content: a crash between the two repeats the item, and it is known then. An item at fault is refused, told, and
//! not looked at again until it changes; what is nobody's fault (no room, too many drafts, no answer) ends the run, and the
//! next one goes on there. One item is held in memory at a time, and a run ends after so many. What a feed takes back goes
//! here, too: a TAXII object that is revoked is the next version of it like any other, a MISP event that is gone is `gone`'s.

mod again;
mod desk;
mod doubt;
mod earlier;
mod folder;
mod gone;
mod misp;
mod remote;
mod state;
mod taxii;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use belfry_proto::time::Timestamp;
use tokio::sync::Notify;

use self::{desk::Desk, state::State};
use crate::{
    clock,
    config::{Source, SourceKind},
    keys::file::FileError,
    outbound::TlsError,
    publish::Publisher,
    roster::LiveRoster,
    store::Store,
};

/// Refusals of a source, and notes, that are told one by one; the newest.
const MAX_TOLD: usize = 20;
/// How long to wait after a fault of our own.
const PAUSE: Duration = Duration::from_secs(30);

/// Why a source cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Two of them.
    #[error("two sources are named {0:?}")]
    Twice(String),
    /// Where files are put.
    #[error("source {name}: {}: {source}; make the folder, and give it to the user that runs belfry", path.display())]
    Folder {
        /// Whose.
        name: String,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Its secret.
    #[error("source {name}: {source}")]
    Credential {
        /// Whose.
        name: String,
        /// Why not.
        source: FileError,
    },
    /// What is in the file of its secret.
    #[error("source {name}: {}: {rule}", path.display())]
    NoCredential {
        /// Whose.
        name: String,
        /// Where.
        path: PathBuf,
        /// What should stand there.
        rule: &'static str,
    },
    /// Certificates to trust.
    #[error("source {name}: {source}")]
    Tls {
        /// Whose.
        name: String,
        /// Why not.
        source: TlsError,
    },
}

/// Why a run ended before its work did. What it had taken stays taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
struct Failure {
    /// What happened; no word of the other side's.
    reason: String,
    /// How long the other side asks to be left alone.
    again: Option<Duration>,
}

impl Failure {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: None }
    }

    fn of(error: &dyn std::error::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// What a run does.
#[async_trait]
trait Feed: Send {
    /// Takes what is there, up to the run's bound, and says each item's fate through `desk`.
    async fn run(&mut self, desk: &mut Desk) -> Result<(), Failure>;

    /// How soon there may be more, where that is sooner than the source's interval.
    fn soon(&self) -> Option<Duration> {
        None
    }
}

/// An item that was refused, or of which there is something to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// Which: a file, a STIX id, an event's.
    pub item: String,
    /// Why; never a value that a guard objects to.
    pub why: String,
}

/// What came of items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Publications or drafts made.
    pub taken: u64,
    /// Objects in them.
    pub objects: u64,
    /// Items that had come before.
    pub known: u64,
    /// Items, and objects of items, that were refused.
    pub refused: u64,
    /// Parts of items that tell nothing to look for, or that STIX has no word for.
    pub skipped: u64,
    /// Items, and versions of items, that were taken back because their feed did.
    pub taken_back: u64,
}

/// How a source is doing.
#[derive(Clone, Debug)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// `folder`, `taxii` or `misp`.
    pub kind: &'static str,
    /// Where from.
    pub from: String,
    /// Slug of the group it is for.
    pub group: String,
    /// What it brings goes out without a person.
    pub publishes: bool,
    /// `waiting`, `running` or `failing`.
    pub state: &'static str,
    /// When a run last ended.
    pub last_run: Option<Timestamp>,
    /// When the next one begins.
    pub next_run: Option<Timestamp>,
    /// Of all runs.
    pub counts: Counts,
    /// Of the last run.
    pub last: Counts,
    /// The newest refusals since the start.
    pub refusals: VecDeque<Refusal>,
    /// What there is to know of the newest items that were taken since the start.
    pub notes: VecDeque<Refusal>,
    /// Since when its runs fail, and why.
    pub failing: Option<(Timestamp, String)>,
}

/// What a source's loop and those who look at it share.
struct Shared {
    report: Mutex<SourceReport>,
    wake: Notify,
}

impl Shared {
    fn tell<T>(&self, change: impl FnOnce(&mut SourceReport) -> T) -> T {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Every source, as others see them; clones share them.
#[derive(Clone, Default)]
pub struct Sources {
    sources: Arc<Vec<Arc<Shared>>>,
}

/// A source's loop.
pub struct Running {
    desk: Desk,
    feed: Box<dyn Feed>,
    shared: Arc<Shared>,
}

impl Sources {
    /// Makes what the configuration names. Reads files, and makes the folders that taken files go into.
    ///
    /// # Errors
    /// [`SourceError`], naming the source and the mend.
    pub fn open(
        sources: &[Source],
        publisher: &Publisher,
        store: &Store,
        roster: &LiveRoster,
    ) -> Result<(Self, Vec<Running>), SourceError> {
        let mut names = BTreeSet::new();
        let (mut known, mut running) = (Vec::new(), Vec::new());
        for source in sources {
            if !names.insert(&source.name) {
                return Err(SourceError::Twice(source.name.clone()));
            }
            let (feed, from) = feed(source)?;
            let shared = Arc::new(Shared {
                report: Mutex::new(SourceReport {
                    name: source.name.clone(),
                    kind: source.kind.as_str(),
                    from,
                    group: source.group.clone(),
                    publishes: source.publish,
                    state: "waiting",
                    last_run: None,
                    next_run: None,
                    counts: Counts::default(),
                    last: Counts::default(),
                    refusals: VecDeque::new(),
                    notes: VecDeque::new(),
                    failing: None,
                }),
                wake: Notify::new(),
            });
            known.push(Arc::clone(&shared));
            let desk = Desk::new(source.clone(), publisher.clone(), store.clone(), roster.clone());
            running.push(Running { desk, feed, shared });
        }
        Ok((Self { sources: Arc::new(known) }, running))
    }

    /// Looks at what [`Self::open`] would, and makes nothing.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn check(sources: &[Source]) -> Result<(), SourceError> {
        let mut names = BTreeSet::new();
        for source in sources {
            if !names.insert(&source.name) {
                return Err(SourceError::Twice(source.name.clone()));
            }
            match &source.kind {
                SourceKind::Folder { path, .. } => folder::look(&source.name, path)?,
                SourceKind::Taxii { remote, .. } | SourceKind::Misp { remote } => {
                    remote::Remote::open(&source.name, remote, source.max_size).map(drop)?;
                }
            }
        }
        Ok(())
    }

    /// How they are doing.
    #[must_use]
    pub fn report(&self) -> Vec<SourceReport> {
        self.sources.iter().map(|source| source.tell(|report| report.clone())).collect()
    }

    /// Has a source run now, or once more if it runs; whether there is one of this name.
    #[must_use]
    pub fn run(&self, name: &str) -> bool {
        let found = self.sources.iter().find(|source| source.tell(|report| report.name == name));
        if let Some(source) = found {
            source.wake.notify_one();
        }
        found.is_some()
    }
}

fn feed(source: &Source) -> Result<(Box<dyn Feed>, String), SourceError> {
    let (name, size) = (&source.name, source.max_size);
    Ok(match &source.kind {
        SourceKind::Folder { path, format, map } => {
            let folder = folder::Folder::open(name, path, *format, map.clone(), size)?;
            (Box::new(folder), path.display().to_string())
        }
        SourceKind::Taxii { remote, collection } => {
            let from = format!("{}{} {collection}", remote.url.origin(), remote.url.path);
            (Box::new(taxii::Taxii::new(remote::Remote::open(name, remote, size)?, collection.clone())), from)
        }
        SourceKind::Misp { remote } => {
            let from = format!("{}{}", remote.url.origin(), remote.url.path);
            (Box::new(misp::Misp::new(remote::Remote::open(name, remote, size)?)), from)
        }
    })
}

impl Running {
    /// Runs for ever.
    pub async fn run(mut self) {
        while let Err(failure) = self.desk.load().await {
            tracing::error!(source = self.desk.name(), "source {}: {failure}", self.desk.name());
            tokio::time::sleep(PAUSE).await;
        }
        let interval = self.desk.source.interval;
        let State { last_run, counts, .. } = self.desk.state;
        self.shared.tell(|report| (report.last_run, report.counts) = (last_run, counts));
        // Who was asked a while ago is not asked again for a restart.
        let mut wait = match last_run {
            Some(last) if !matches!(self.desk.source.kind, SourceKind::Folder { .. }) => {
                let since = Duration::from_micros(clock::now().as_micros().saturating_sub(last.as_micros()));
                interval.saturating_sub(since)
            }
            _ => Duration::ZERO,
        };
        loop {
            let next =
                clock::now().as_micros().saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
            self.shared.tell(|report| report.next_run = Some(Timestamp::from_micros(next)));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shared.wake.notified() => {}
            }
            self.shared.tell(|report| (report.state, report.next_run) = ("running", None));
            let done = self.feed.run(&mut self.desk).await;
            let done = match self.desk.end(clock::now()).await {
                Ok(()) => done,
                Err(failure) => done.and(Err(failure)),
            };
            wait = match &done {
                Ok(()) => self.feed.soon().map_or(interval, |soon| soon.min(interval)),
                Err(failure) => interval.max(failure.again.unwrap_or_default()),
            };
            self.tell(done.err());
        }
    }

    fn tell(&mut self, failure: Option<Failure>) {
        let now = clock::now();
        let (last, refusals, notes) = self.desk.told();
        let counts = self.desk.state.counts;
        self.shared.tell(|report| {
            (report.last_run, report.counts, report.last) = (Some(now), counts, last);
            for (told, news) in [(&mut report.refusals, refusals), (&mut report.notes, notes)] {
                told.extend(news);
                let more = told.len().saturating_sub(MAX_TOLD);
                told.drain(..more);
            }
            match failure {
                None => {
                    if report.failing.take().is_some() {
                        tracing::info!(source = report.name, "source {} answers again", report.name);
                    }
                    report.state = "waiting";
                }
                Some(failure) => {
                    if report.failing.is_none() {
                        tracing::warn!(source = report.name, "source {} stopped: {failure}", report.name);
                    }
                    let since = report.failing.as_ref().map_or(now, |(since, _)| *since);
                    report.failing = Some((since, failure.to_string()));
                    report.state = "failing";
                }
            }
            if last != Counts::default() {
                let Counts { taken, refused, known, taken_back, .. } = last;
                tracing::info!(
                    source = report.name,
                    taken,
                    known,
                    refused,
                    taken_back,
                    "source {}: {taken} taken, {known} known before, {refused} refused, {taken_back} taken back",
                    report.name
                );
            }
        });
    }
}
