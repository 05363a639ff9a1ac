//! What a source remembers, sealed in the store.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{id::PublicationId, time::Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Counts, doubt::Base};

/// Of one source; what another kind of source left under its name is passed over.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// When a run last ended.
    pub(super) last_run: Option<Timestamp>,
    /// Of all runs.
    pub(super) counts: Counts,
    /// Whose cursor follows. With another URL or collection, the place in the old one means nothing.
    pub(super) of: String,
    pub(super) taxii: Cursor,
    /// How often events that a MISP feed lists were asked for in vain since they were last there.
    pub(super) misp_unanswered: BTreeMap<Uuid, u8>,
    /// Events of a MISP feed that were taken or refused, and the timestamp they had.
    pub(super) misp: BTreeMap<Uuid, u64>,
    /// Those of them that were refused.
    pub(super) misp_refused: BTreeSet<Uuid>,
    /// By which terms: with others they are looked at again.
    pub(super) misp_terms: String,
    /// What was made of events, until it is taken back.
    pub(super) misp_made: BTreeMap<Uuid, Made>,
    /// Events that were taken before that was noted, and are still to be asked about; unset: not looked for yet.
    pub(super) misp_unnoted: Option<BTreeSet<Uuid>>,
    /// Events that are gone or say nothing any more, which the feed was not believed about.
    pub(super) misp_doubted: BTreeSet<Uuid>,
    /// What counts against what it takes back.
    pub(super) misp_base: Base,
    /// What this source took back, by publication.
    pub(super) misp_taken: BTreeMap<PublicationId, Took>,
    /// Of what came anew after that: behind which publication's name it goes on, by the first one.
    pub(super) misp_names: BTreeMap<PublicationId, PublicationId>,
    /// Withdrawals of what was made of events that are gone, until these come again.
    pub(super) misp_leaving: BTreeMap<Uuid, Vec<PublicationId>>,
}

impl State {
    /// How often this event was asked for in vain.
    pub(super) fn in_vain(&self, event: &Uuid) -> u8 {
        self.misp_unanswered.get(event).copied().unwrap_or_default()
    }

    /// It was once more; how often by now.
    pub(super) fn missed(&mut self, event: Uuid) -> u8 {
        let times = self.in_vain(&event).saturating_add(1);
        self.misp_unanswered.insert(event, times);
        times
    }
}

/// Publications of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Made {
    /// When the event first came; unset: before that was noted.
    pub(super) came: Option<Timestamp>,
    /// Of its newest version.
    pub(super) newest: Vec<PublicationId>,
    /// Of those before.
    pub(super) before: Vec<PublicationId>,
    /// Those before say what the newest does not: they are taken back once it is out.
    pub(super) is_less: bool,
    /// And the newest says nothing that they do not, and less than half of what they have one look for.
    pub(super) is_hollow: bool,
    /// The newest version says nothing at all: all of them are.
    pub(super) is_over: bool,
    /// How often it was refused to take back what should be.
    pub(super) tries: u8,
}

/// A publication that this source took back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Took {
    /// Of which event.
    pub(super) event: Uuid,
    /// By which withdrawals.
    pub(super) by: Vec<PublicationId>,
}

/// A place in a TAXII collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cursor {
    /// All that was added until then is taken.
    pub(super) added_after: Option<String>,
    /// The page that comes next, of those behind it.
    pub(super) next: Option<String>,
    /// When the last object of the last page was added.
    pub(super) last: Option<String>,
    /// Markings that were defined so far: what comes later is marked with them.
    pub(super) markings: BTreeMap<String, String>,
}
