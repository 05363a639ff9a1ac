//! What a tool is given: the values of an export profile, gathered, judged and counted.
//!
//! ```text
//! indicators in force ─admit─▶ Shown ─class, benign, revoked─▶ release(policy) ─▶ Released
//!      each value of each ─▶ one place a value of something, with all who name it ─▶ allow-list, warning lists, score ─▶ Entry
//! ```
//!
//! Several members naming one value of one thing make one entry of it: members and opinions are counted over all of them, the best
//! claim gives the score. Whatever is left out is counted under the reason, and an answer is whole or an error: a list
//! that silently lacks its end would be taken for the truth.

mod gathering;
mod profile;
mod referred;

use std::collections::BTreeMap;

use belfry_proto::{
    id::{GroupId, RosterVersion},
    stix::{egress::Held, indicator::Bearer, marking::Tlp, observable::Observable},
    time::Timestamp,
};

pub(super) use self::gathering::Gathering;
pub use self::gathering::Place;
pub use self::profile::ExportView;
use super::{
    Inner, Principal, Query, QueryError, Readable, authorise::admit, claims::InForce, release::Released,
    said::Said,
};
use crate::{
    clock,
    config::{Export, Format},
    store::{PageQuery, Revision},
};

/// Rows of one stretch of the scan.
const STRETCH: usize = 1_000;

/// A value that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub observable: Observable,
    /// What has it: a value that several have is several entries.
    pub bearer: Bearer,
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
    /// Its values, by type, value, and what has them.
    pub entries: Vec<Entry>,
    /// Indicators as objects, where the format wants them, with the values of each that go out.
    pub objects: Vec<(Released, Vec<Place>)>,
    /// Of a bundle, what these refer to.
    pub referred: Vec<Released>,
    /// Names on the allow-list that lie below a domain of it: for formats that take a domain with all that lies below it.
    pub spared: Vec<String>,
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
    /// How much stands in it: values, and objects that go out without naming any. Where the format has rules, those.
    #[must_use]
    pub fn stand(&self) -> usize {
        self.entries.len() + self.objects.iter().filter(|(_, values)| values.is_empty()).count()
    }

    /// The same export with nothing in it.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let export = self.export.clone();
        let (entries, objects, named, held) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        let (referred, spared) = (Vec::new(), Vec::new());
        let (made, changes) = (self.made, self.changes);
        Self { export, entries, objects, referred, spared, held, named, made, changes }
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

    /// Names of all profiles of a format, whoever may have them: so that what tools load side by side is told apart.
    #[must_use]
    pub fn exports_of(&self, format: Format) -> Vec<String> {
        let of = self.inner.exports.iter().filter(|export| export.format == format);
        of.map(|export| export.name.clone()).collect()
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
            let mut snapshot = gathering.judged(&lists, |member| this.organisation(member));
            if export.format == Format::Stix {
                let (referred, changes) =
                    inner.referred(&principal, &export.policy, &snapshot.objects, now)?;
                snapshot.referred = referred;
                snapshot.changes = changes.map_or(snapshot.changes, |at| at.min(snapshot.changes));
            }
            Ok(snapshot)
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
        let mut in_force = InForce::of(self, principal);
        let mut query =
            PageQuery { after: None, kinds: Some(vec!["indicator".to_owned()]), examine: STRETCH };
        loop {
            let page = self.store.page(group, &query)?;
            for row in page.rows.into_iter().filter_map(|row| admit(principal, row)) {
                let tag = self.tag_of(&row);
                if survey.is_repeated(&tag) && !in_force.is(&mut looks, tag, &row)? {
                    continue;
                }
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
