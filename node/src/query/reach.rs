//! What a list would gain by something that is not published yet.
//!
//! ```text
//! proposed objects ─as rows─▶ the very gate and judgement of exports ─▶ what stands there, less what does without them
//! ```

use std::{collections::BTreeSet, sync::Arc};

use belfry_proto::{
    id::{GroupId, MemberId, MessageId, PublicationId, Serial},
    schema::{InformationClass, Pap, Purpose},
    stix::{
        marking::{self, Markings, Tlp},
        object::Object,
    },
    time::Timestamp,
};

use super::{
    Inner, Principal, Query, QueryError, Readable, Released, Shown,
    authorise::admit,
    claims::{self, InForce},
    export::Gathering,
    said::Said,
};
use crate::{
    clock,
    store::{Conditions, ObjectView},
};

/// Something as it would go out.
#[derive(Clone, Debug)]
pub struct Proposed {
    /// Where to.
    pub group: GroupId,
    /// Marking of the message.
    pub tlp: Tlp,
    /// Permissible actions, if stated.
    pub pap: Option<Pap>,
    /// Its classes.
    pub classes: Vec<InformationClass>,
    /// Its aim.
    pub purpose: Purpose,
    /// Until when it must not leave its recipients; 0 for none.
    pub embargo_until: Timestamp,
    /// Handling terms.
    pub terms: Vec<String>,
    /// To members by name.
    pub recipients: bool,
    /// What it says.
    pub objects: Vec<Object>,
}

impl Proposed {
    fn rows(&self, member: MemberId, now: Timestamp) -> impl Iterator<Item = ObjectView> {
        let markings = Markings::of(&self.objects);
        let indicators = self.objects.iter().filter(|object| object.kind() == "indicator");
        let message = Conditions {
            pap: 0,
            embargo_until: self.embargo_until.as_micros(),
            terms: self.terms.clone(),
            on_behalf: false,
            reason: String::new(),
        };
        indicators.map(move |object| ObjectView {
            group: self.group,
            date_added: now,
            arrived: now,
            surfaced: None,
            kept_until: None,
            outlived: false,
            id: object.id().to_owned(),
            kind: object.kind().to_owned(),
            version: object.version().to_owned(),
            tlp: marking::effective(object, Some(self.tlp), &markings).unwrap_or(self.tlp),
            revoked: object.revoked(),
            recipients: self.recipients,
            member,
            serial: Serial::new(0),
            message: MessageId::ZERO,
            publication: PublicationId::ZERO,
            created: now,
            purpose: object.stated().and_then(|stated| stated.purpose).unwrap_or(self.purpose).into(),
            classes: match object.stated().and_then(|stated| stated.class) {
                Some(class) => vec![class.into()],
                None => self.classes.iter().copied().map(i32::from).collect(),
            },
            conditions: message.of_object(
                marking::effective_pap(object, self.pap, &markings).unwrap_or_default().into(),
                object.stated(),
            ),
            raw: object.raw().to_vec(),
            tombstone: false,
            withdrawn: false,
            reporters: Vec::new(),
            asked_again: Vec::new(),
            said_beyond: false,
            also_stated: Vec::new(),
        })
    }
}

/// What an export would gain.
#[derive(Clone, Debug, Default)]
pub struct Gain {
    /// Values that do not stand in it.
    pub values: usize,
    /// Objects that do not, and name no value: rules, if the format can write them, and patterns that name none.
    pub objects: Vec<Released>,
}

impl Query {
    /// What an export would gain, by the gate and the judgement that it is made by: of what is proposed, and of all that it stands
    /// beside, once without the one and once with it.
    ///
    /// # Errors
    /// As for making it.
    pub async fn would_add(
        &self,
        principal: &Principal,
        export: &str,
        proposed: Arc<Proposed>,
    ) -> Result<Gain, QueryError> {
        let export = self.export_named(principal, export)?.clone();
        let groups: Vec<GroupId> =
            self.groups_of(principal, &export)?.into_iter().map(Readable::group).collect();
        if !groups.contains(&proposed.group) {
            return Ok(Gain::default());
        }
        let own = self.roster().by_node(&self.inner.node).map(|own| own.member);
        let principal = principal.clone();
        self.read(move |inner| {
            let (now, lists) = (clock::now(), inner.lists.current());
            let rows = proposed.rows(own.unwrap_or(MemberId::new([0; 16])), now);
            let rows: Vec<Shown> = rows.filter_map(|row| admit(&principal, row)).collect();
            let beside = inner.beside(&principal, &groups, &rows, Gathering::new(&export, now))?;
            let (mut before, mut after) = (Gathering::new(&export, now), Gathering::new(&export, now));
            for (row, said) in beside {
                before.gather(row.clone(), &said)?;
                after.gather(row, &said)?;
            }
            for row in rows {
                after.gather(row, &Said::default())?;
            }
            let [before, after] = [before, after].map(|gathering| gathering.judged(&lists, |_| None));
            let values = after.entries.len().saturating_sub(before.entries.len());
            let known: BTreeSet<&str> = before.objects.iter().map(|(known, _)| known.object().id()).collect();
            let objects = after
                .objects
                .into_iter()
                .filter(|(object, values)| values.is_empty() && !known.contains(object.object().id()));
            Ok(Gain { values, objects: objects.map(|(object, _)| object).collect() })
        })
        .await
    }
}

impl Inner {
    /// The indicators in force that name a value which one of these rows brings to an export, and what is said of them; of a row that
    /// names none, those of its own object.
    fn beside(
        &self,
        principal: &Principal,
        groups: &[GroupId],
        rows: &[Shown],
        mut gathering: Gathering<'_>,
    ) -> Result<Vec<(Shown, Said)>, QueryError> {
        let (mut looks, mut in_force) = (self.store.looks(), InForce::of(self, principal));
        let (mut wanted, mut seen, mut beside) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for row in rows {
            let Some((_, _, values)) = gathering.takes(row.clone()) else { continue };
            if values.is_empty() {
                for known in claims::newest(self.claimed(&mut looks, principal, row.group(), row.id())?) {
                    if seen.insert((known.group(), known.added()))
                        && let Some(known) = self.opened(&mut looks, principal, known)?
                    {
                        let said =
                            self.said_of(&mut looks, principal, known.group(), known.id(), |_| true)?;
                        beside.push((known, said));
                    }
                }
            }
            wanted.extend(values.into_iter().map(|sought| sought.value));
        }
        for value in wanted {
            let mut hits = Vec::new();
            for group in groups {
                self.hits(&mut looks, &mut in_force, *group, &value, &mut hits)?;
            }
            let naming =
                hits.into_iter().filter(|hit| hit.matched.is_empty() && hit.row.kind() == "indicator");
            for hit in naming {
                if seen.insert((hit.row.group(), hit.row.date_added())) {
                    beside.push((hit.row, hit.said));
                }
            }
        }
        Ok(beside)
    }
}
