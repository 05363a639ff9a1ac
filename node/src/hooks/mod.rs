//! Ways out that push: webhooks and log servers.
//!
//! ```text
//! feed ─query::leaving─▶ Leaves (released) ─▶ Event ─▶ Sink: webhook | syslog ─▶ position moves, durable
//!                        held back: counted          └ refused six times ─▶ dead letter, replayable
//! ```
//!
//! Each hook is a cursor over the feed, kept in the store: what is behind it was sent, what is before it will be, and a
//! restart repeats a few at most, under the ids they had. Nothing is queued in memory or written out in clear. An endpoint
//! that is away is waited for, however long; one that refuses an event again and again gets the next one, and the
//! event is a *dead letter*: its number, never its content. Before each try the event is made anew from the store, so
//! what was withdrawn meanwhile is not sent any more.

mod cef;
mod delivery;
mod event;
mod state;
mod syslog;
mod tries;
mod webhook;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use belfry_proto::{stix::egress::Held, time::Timestamp};
use tokio::sync::Notify;

use self::{delivery::Delivery, event::Event, syslog::LogServer, tries::Tries, webhook::Endpoint};
pub use self::{state::DeadLetter, tries::Try};
use crate::{
    clock,
    config::{Syslog, Webhook},
    heard::VouchedClock,
    keys::file::FileError,
    outbound::TlsError,
    query::Query,
    store::Store,
};

/// Waits before an event is tried again; the last one repeats.
const WAITS: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
    Duration::from_secs(1_800),
];

/// Why a hook cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Two of them.
    #[error("two hooks are named {0:?}")]
    Twice(String),
    /// Its secret.
    #[error("webhook {name}: {source}")]
    Secret {
        /// Whose.
        name: String,
        /// Why not.
        source: FileError,
    },
    /// What is in the file of its secret.
    #[error(
        "webhook {name}: {} holds no secret: write \"whsec_\" and 24 to 64 bytes in base64, as from \
         `echo whsec_$(head -c 32 /dev/urandom | base64 -w 0)`",
        path.display()
    )]
    NoSecret {
        /// Whose.
        name: String,
        /// Where.
        path: PathBuf,
    },
    /// Certificates to trust.
    #[error("hook {name}: {source}")]
    Tls {
        /// Whose.
        name: String,
        /// Why not.
        source: TlsError,
    },
}

/// Why an event did not get through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Failure {
    /// Nobody is there, or says to come later.
    #[error("{reason}")]
    Away {
        /// What happened; no word of the other side's.
        reason: String,
        /// When to come again, if it says.
        again: Option<Duration>,
    },
    /// It wants none of this event.
    #[error("answers {0}")]
    Refused(u16),
    /// It wants no event ever again.
    #[error("answers 410: it wants nothing more")]
    Gone,
}

/// Where events go.
#[async_trait]
trait Sink: Send + Sync {
    /// Gives one event away. Whoever drops this may not know whether it arrived.
    async fn send(&mut self, event: &Event) -> Result<(), Failure>;
}

/// How a hook is doing.
#[derive(Clone, Debug)]
pub struct HookReport {
    /// Its name.
    pub name: String,
    /// `webhook` or `syslog`.
    pub kind: &'static str,
    /// Where to, without path.
    pub target: String,
    /// Sends nothing.
    pub shadow: bool,
    /// `waiting`, `sending`, `failing` or `stopped`.
    pub state: &'static str,
    /// Number in the feed up to which all is done.
    pub position: u64,
    /// Events sent since the start; of a shadow, that would have been.
    pub sent: u64,
    /// Objects held back since the start, by reason.
    pub held: BTreeMap<Held, u64>,
    /// Events refused for good.
    pub dead: usize,
    /// Dead letters that were more than are kept.
    pub lost: u64,
    /// Since when nothing gets through, and why.
    pub failing: Option<(Timestamp, String)>,
}

impl HookReport {
    /// What its operator should know: a tool that misses events does not say so.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let Self { name, dead, lost, .. } = self;
        if self.state == "stopped" {
            return Some(format!(
                "The {} {name} wants nothing more (410), and nothing is sent: take it out of belfry.toml, or wake it (`belfry \
                 hook replay {name}`).",
                self.kind
            ));
        }
        if let Some((since, why)) = &self.failing {
            return Some(format!("The {} {name} gets nothing since {since}: {why}.", self.kind));
        }
        (*dead > 0 || *lost > 0).then(|| {
            let events = if *dead == 1 { "event" } else { "events" };
            let beyond = if *lost == 0 { String::new() } else { format!(", and {lost} more that are not kept") };
            format!(
                "The {} {name} refused {dead} {events} for good{beyond}: `belfry hook dead-letters {name}`, and `belfry hook \
                 replay {name}` once it takes them.",
                self.kind
            )
        })
    }
}

/// What a hook's loop and those who look at it share.
struct Shared {
    report: Mutex<HookReport>,
    dead: Mutex<Vec<DeadLetter>>,
    tries: Mutex<Tries>,
    /// Numbers of dead letters to be tried again.
    replays: Mutex<BTreeSet<u64>>,
    wake: Notify,
}

impl Shared {
    fn tell(&self, change: impl FnOnce(&mut HookReport)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Enters a try in the delivery log.
    fn tried(&self, event: &str, failure: Option<&Failure>) {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).note(event, failure, clock::now());
    }
}

/// Every hook, as others see them; clones share them.
#[derive(Clone, Default)]
pub struct Hooks {
    hooks: Arc<Vec<Arc<Shared>>>,
}

/// A hook's loop.
pub struct Running(Delivery);

impl Running {
    /// Runs for ever.
    pub async fn run(self) {
        self.0.run().await;
    }
}

impl Hooks {
    /// Makes what the configuration names. Reads files. What is under an embargo goes out by `clock`.
    ///
    /// # Errors
    /// [`HookError`], naming the hook and the mend.
    pub fn open(
        webhooks: &[Webhook],
        syslog: &[Syslog],
        query: &Query,
        store: &Store,
        clock: &VouchedClock,
    ) -> Result<(Self, Vec<Running>), HookError> {
        Self::paced(webhooks, syslog, query, store, (clock, WAITS.as_slice()))
    }

    /// [`Self::open`] with other waits.
    pub(crate) fn paced(
        webhooks: &[Webhook],
        syslog: &[Syslog],
        query: &Query,
        store: &Store,
        (clock, waits): (&VouchedClock, &[Duration]),
    ) -> Result<(Self, Vec<Running>), HookError> {
        let mut names = BTreeSet::new();
        let (mut hooks, mut running) = (Vec::new(), Vec::new());
        let mut add = |hook: &crate::config::Hook, kind, target: String, sink: Box<dyn Sink>| {
            if !names.insert(hook.name.clone()) {
                return Err(HookError::Twice(hook.name.clone()));
            }
            let shared = Arc::new(Shared::new(hook.name.clone(), kind, target, hook.shadow));
            hooks.push(Arc::clone(&shared));
            let (query, store) = (query.clone(), store.clone());
            let paced = (clock.clone(), waits.to_vec());
            running.push(Running(Delivery::new(hook.clone(), query, store, sink, shared, paced)));
            Ok(())
        };
        for webhook in webhooks {
            let target = webhook.url.authority();
            add(&webhook.hook, "webhook", target, Box::new(Endpoint::open(webhook)?))?;
        }
        for syslog in syslog {
            add(&syslog.hook, "syslog", syslog.target.to_string(), Box::new(LogServer::open(syslog)?))?;
        }
        Ok((Self { hooks: Arc::new(hooks) }, running))
    }

    /// How they are doing.
    #[must_use]
    pub fn report(&self) -> Vec<HookReport> {
        self.hooks
            .iter()
            .map(|hook| hook.report.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect()
    }

    /// Events that one of them gave up, oldest first; none if there is no such hook.
    #[must_use]
    pub fn dead_letters(&self, name: &str) -> Option<Vec<DeadLetter>> {
        let hook = self.named(name)?;
        Some(hook.dead.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// What one of them tried of late, the oldest first; none if there is no such hook.
    #[must_use]
    pub fn tries(&self, name: &str) -> Option<Vec<Try>> {
        let hook = self.named(name)?;
        Some(hook.tries.lock().unwrap_or_else(PoisonError::into_inner).kept())
    }

    /// Has its dead letters tried again, and wakes it if it stopped: how many; none if there is no such hook.
    #[must_use]
    pub fn replay(&self, name: &str) -> Option<usize> {
        let hook = self.named(name)?;
        let numbers: BTreeSet<u64> =
            hook.dead.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|dead| dead.number).collect();
        let count = numbers.len();
        hook.replays.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers);
        hook.wake.notify_one();
        Some(count)
    }

    fn named(&self, name: &str) -> Option<&Arc<Shared>> {
        self.hooks.iter().find(|hook| hook.report.lock().unwrap_or_else(PoisonError::into_inner).name == name)
    }
}

impl Shared {
    fn new(name: String, kind: &'static str, target: String, shadow: bool) -> Self {
        Self {
            report: Mutex::new(HookReport {
                name,
                kind,
                target,
                shadow,
                state: "waiting",
                position: 0,
                sent: 0,
                held: BTreeMap::new(),
                dead: 0,
                lost: 0,
                failing: None,
            }),
            dead: Mutex::default(),
            tries: Mutex::default(),
            replays: Mutex::default(),
            wake: Notify::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_misses_events_is_told_and_one_that_waits_is_not() {
        let shared = Shared::new("soar".to_owned(), "webhook", "soar.example:443".to_owned(), false);
        let told = |change: &dyn Fn(&mut HookReport)| {
            let mut report = shared.report.lock().unwrap().clone();
            change(&mut report);
            report.trouble()
        };
        assert_eq!(told(&|_| ()), None);
        let failing = (Timestamp::ZERO, "answers 503".to_owned());
        type Change<'a> = &'a dyn Fn(&mut HookReport);
        let cases: [(Change<'_>, &str); 5] = [
            (&|report| report.state = "stopped", "replay soar"),
            (&|report| report.failing = Some(failing.clone()), "answers 503"),
            (&|report| report.dead = 3, "3 events"),
            (&|report| report.dead = 1, "1 event for good"),
            (&|report| report.lost = 7, "7 more"),
        ];
        for (change, says) in cases {
            let told = told(change).unwrap();
            assert!(told.contains("webhook soar") && told.contains(says), "{told}");
        }
    }
}
