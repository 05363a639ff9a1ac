//! What a list would gain by something that is not published yet.
//!
//! ```text
//! proposed objects ─as rows─▶ the very gate and judgement of exports ─▶ values that no indicator in force names yet
//! ```

use std::sync::Arc;

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
    Principal, Query, QueryError, Readable, authorise::admit, claims::InForce, export::Gathering, said::Said,
};
use crate::{
    clock,
    config::Format,
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

impl Query {
    /// How many values an export would gain, or rules, where it has those.
    ///
    /// # Errors
    /// As for making it.
    pub async fn would_add(
        &self,
        principal: &Principal,
        export: &str,
        proposed: Arc<Proposed>,
    ) -> Result<usize, QueryError> {
        let export = self.export_named(principal, export)?.clone();
        let groups: Vec<GroupId> =
            self.groups_of(principal, &export)?.into_iter().map(Readable::group).collect();
        if !groups.contains(&proposed.group) {
            return Ok(0);
        }
        let own = self.roster().by_node(&self.inner.node).map(|own| own.member);
        let principal = principal.clone();
        self.read(move |inner| {
            let (now, lists) = (clock::now(), inner.lists.current());
            let mut gathering = Gathering::new(&export, now);
            for row in proposed.rows(own.unwrap_or(MemberId::new([0; 16])), now) {
                let Some(row) = admit(&principal, row) else { continue };
                if let Some((released, indicator, values)) = gathering.takes(row) {
                    gathering.add(released, &indicator, values, &Said::default())?;
                }
            }
            let made = gathering.judged(&lists, |_| None);
            if export.format == Format::Rules {
                return Ok(made.objects.len());
            }
            let (mut looks, mut in_force) = (inner.store.looks(), InForce::of(inner, &principal));
            let mut added = 0;
            for entry in made.entries {
                let mut hits = Vec::new();
                for group in &groups {
                    inner.hits(&mut looks, &mut in_force, *group, &entry.observable, &mut hits)?;
                }
                let is_named = hits.iter().any(|hit| {
                    hit.matched.is_empty() && hit.row.kind() == "indicator" && !hit.row.is_revoked()
                });
                added += usize::from(!is_named);
            }
            Ok(added)
        })
        .await
    }
}
