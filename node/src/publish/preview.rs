//! What would leave, and to whom: a submission told in full and kept nowhere.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    guard::Report,
    id::{GroupId, MemberId},
    schema::{Audience, Capacity, InformationClass, Pap, Purpose},
    stix::{marking::Tlp, split, strict},
    time::Timestamp,
    trust::roster::Roster,
};

use super::{
    Publisher,
    read::{audience_of, too_large},
    submission::{Submission, SubmitError},
};
use crate::clock;

/// A submission as it would go out.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Where to.
    pub group: GroupId,
    /// Under which marking.
    pub tlp: Tlp,
    /// Neither stated nor the objects' own: the configured default.
    pub is_default_tlp: bool,
    /// Permissible actions, if stated.
    pub pap: Option<Pap>,
    /// Its aim.
    pub purpose: Purpose,
    /// Its information classes.
    pub classes: Vec<InformationClass>,
    /// Objects by type.
    pub objects: BTreeMap<String, usize>,
    /// Messages it would be.
    pub parts: usize,
    /// Who could open it, this member left out, authorities first.
    pub readers: Vec<ReaderOf>,
    /// What the guards say.
    pub report: Report,
    /// What its author should know besides.
    pub notes: Vec<String>,
    /// Why it would not be taken, with what was stated.
    pub refusal: Option<String>,
}

/// An organisation that could open a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderOf {
    /// Its id.
    pub member: MemberId,
    /// Its name.
    pub organisation: String,
    /// What a public authority takes part as; `None` for everybody else.
    pub capacity: Option<Capacity>,
}

impl Preview {
    /// What several come to that are one deed, for the same readers and under the same statements.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        for (kind, count) in other.objects {
            *self.objects.entry(kind).or_default() += count;
        }
        self.parts += other.parts;
        self.classes.extend(other.classes);
        self.classes.sort_unstable();
        self.classes.dedup();
        self.report = self.report.with(other.report);
        self.notes.extend(other.notes);
        self.refusal = self.refusal.or(other.refusal);
        self
    }
}

impl Publisher {
    /// Checks a submission as [`Self::submit`] does, and tells what would leave. Nothing is kept.
    ///
    /// # Errors
    /// [`SubmitError`] where there is nothing to tell: what the guards object to is in the answer.
    pub async fn preview(&self, submission: Submission) -> Result<Preview, SubmitError> {
        let this = self.clone();
        let told = tokio::task::spawn_blocking(move || this.tell(&submission)).await;
        told.map_err(|error| SubmitError::Fault(Box::new(error)))?
    }

    fn tell(&self, submission: &Submission) -> Result<Preview, SubmitError> {
        let roster = self.roster.snapshot();
        let now = clock::now();
        let read = self.read(&roster, submission, now)?;
        let refusal = self.guards.weigh(&read.report, &read.objects, submission.reason.as_deref()).err();
        let mut objects: BTreeMap<String, usize> = BTreeMap::new();
        for object in &read.objects {
            *objects.entry(object.kind().to_owned()).or_default() += 1;
        }
        let notes = read.said.into_iter().chain(strict::notes(&read.objects));
        let notes = notes.chain(strict::endless(&read.objects)).collect();
        Ok(Preview {
            group: submission.group,
            tlp: read.tlp,
            is_default_tlp: read.is_default_tlp,
            pap: submission.pap,
            purpose: read.purpose,
            classes: read.classes,
            objects,
            parts: split::split(read.objects).map_err(|error| too_large(&error))?.len(),
            readers: self.readers(&roster, submission, now),
            report: read.report,
            notes,
            refusal: refusal.map(|error| error.to_string()),
        })
    }

    fn readers(&self, roster: &Roster, submission: &Submission, now: Timestamp) -> Vec<ReaderOf> {
        let members: BTreeSet<MemberId> = match audience_of(submission) {
            Audience::Recipients => submission.recipients.iter().copied().collect(),
            audience => {
                roster.readers(submission.group, audience, now).into_iter().map(|r| r.member).collect()
            }
        };
        let others = members.into_iter().filter(|member| *member != self.identity.member);
        let mut readers: Vec<ReaderOf> = others
            .filter_map(|id| {
                let organisation = &roster.member(id)?.organisation;
                let capacity = organisation.capacity();
                let is_authority = capacity != Capacity::None;
                let capacity = is_authority.then_some(capacity);
                Some(ReaderOf { member: id, organisation: organisation.name.clone(), capacity })
            })
            .collect();
        readers.sort_by(|a, b| {
            let key = |reader: &ReaderOf| (reader.capacity.is_none(), reader.organisation.to_lowercase());
            key(a).cmp(&key(b))
        });
        readers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use belfry_proto::schema::EntityClass;

    use super::*;
    use crate::{
        feed::Feed,
        publish::{Defaults, Guards},
        testing::{CIDR, Coalition, Site},
    };

    #[tokio::test]
    async fn authorities_are_named_first_and_supervisors_left_out_where_they_are() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        coalition.issue(2, &[CIDR]);
        coalition.issue_as(3, &[CIDR], EntityClass::Authority, Capacity::Supervisor);
        coalition.issue_as(4, &[CIDR], EntityClass::Authority, Capacity::Csirt);
        let site = Site::new(&coalition, &alice).await;
        let publisher = Publisher::new(
            Arc::clone(&alice.identity),
            site.store.clone(),
            site.roster.clone(),
            Feed::default(),
            Defaults { tlp: Tlp::Amber, purpose: None },
            Guards::default(),
        );
        let readers = async |exclude_supervisors| {
            let submission =
                Submission { exclude_supervisors, ..crate::publish::submit::tests::submission("a") };
            let preview = publisher.preview(submission).await.unwrap();
            preview
                .readers
                .into_iter()
                .map(|reader| (reader.organisation, reader.capacity))
                .collect::<Vec<_>>()
        };
        let named = |n: u8, capacity| (format!("Member {n}"), capacity);
        let (supervisor, csirt) = (named(3, Some(Capacity::Supervisor)), named(4, Some(Capacity::Csirt)));
        assert_eq!(readers(false).await, [supervisor, csirt.clone(), named(2, None)]);
        assert_eq!(readers(true).await, [csirt, named(2, None)]);
        assert!(site.store.queued(1).unwrap().is_empty());
    }
}
