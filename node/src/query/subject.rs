//! Where a person is named on this node: in opened objects, in drafts, in reasons, in members' contacts.
//!
//! A search for the operator alone, step by step: each step examines a bounded number of rows and says where the next
//! begins. It tells places, never content. What the token does not read is told by its message only.
//!
//! ```text
//! objects of each group ─▶ drafts (what is not sent yet, and reasons) ─▶ contacts ─▶ done
//! ```

use std::{collections::BTreeSet, ops::ControlFlow};

use belfry_proto::{
    envelope::payload,
    guard::subject::{Place, Subject},
    id::{GroupId, MemberId, MessageId, PublicationId},
    schema::{self, Role},
    stix::{marking::Tlp, object::Object},
    time::Timestamp,
    trust::contact,
};
use prost::Message as _;
use serde::Serialize;

use super::{Inner, Principal, Query, QueryError, authorise::admit};
use crate::{
    clock,
    store::{DraftRow, DraftState, ObjectView},
};

/// Objects that one step examines: a second of parsing.
const OBJECTS: usize = 20_000;
/// Drafts that one step examines.
const DRAFTS: usize = 100;
/// Bytes that one step reads; the row that goes beyond is its last. Rows are held one at a time: a draft may have 64 MiB
/// that are not sent yet.
const READ: usize = 8 << 20;

/// Where a step begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// At the first group.
    #[default]
    Start,
    /// In a group, after this date added.
    Objects(GroupId, Option<Timestamp>),
    /// After this draft.
    Drafts(Option<PublicationId>),
    /// At members' contacts: a few hundred records at most, in one step.
    Contacts,
}

impl Step {
    /// From what [`Step::to_text`] gave.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (what, rest) = text.split_once(':')?;
        match what {
            "objects" => {
                let (group, after) = rest.split_once(':')?;
                let after =
                    if after.is_empty() { None } else { Some(Timestamp::from_micros(after.parse().ok()?)) };
                Some(Self::Objects(GroupId::new(group.parse().ok()?), after))
            }
            "drafts" if rest.is_empty() => Some(Self::Drafts(None)),
            "drafts" => Some(Self::Drafts(Some(rest.parse().ok()?))),
            "contacts" if rest.is_empty() => Some(Self::Contacts),
            _ => None,
        }
    }

    /// For a client to hand back.
    #[must_use]
    pub fn to_text(self) -> String {
        match self {
            Self::Start => String::new(),
            Self::Objects(group, after) => {
                let after = after.map(|after| after.as_micros().to_string()).unwrap_or_default();
                format!("objects:{}:{after}", group.get())
            }
            Self::Drafts(after) => format!("drafts:{}", after.map(|id| id.to_string()).unwrap_or_default()),
            Self::Contacts => "contacts:".to_owned(),
        }
    }
}

/// What one step found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What, and where.
    pub hits: Vec<Hit>,
    /// Rows it examined.
    pub examined: usize,
    /// Where to go on; unset at the end.
    pub next: Option<Step>,
}

/// One place that names somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// `object`, `draft`, `reason` or `contact`.
    pub kind: &'static str,
    /// Which values, from 1.
    pub values: BTreeSet<usize>,
    /// Properties of the object, or fields of the contact.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub paths: BTreeSet<String>,
    /// Slug of the group; unset for a contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Message it came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// Publication it is part of; unset for a contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publication: Option<PublicationId>,
    /// STIX id; unset for what this token does not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Whose.
    pub member: MemberId,
    /// Its name.
    pub organisation: Option<String>,
    /// Members that say the very same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reporters: Vec<MemberId>,
    /// By its author's clock; of a draft, when it became durable.
    pub date: Timestamp,
    /// What can be done about it here: `withdraw`, `withdraw-message`, `withdraw-as-steward`, `ask`, `discard`, `wait`,
    /// `set-contact` or `nothing`.
    pub remedy: &'static str,
}

impl Query {
    /// One step of a search for a person, in the groups the principal reads.
    ///
    /// # Errors
    /// The store.
    pub async fn subject(
        &self,
        principal: &Principal,
        subject: Subject,
        step: Step,
    ) -> Result<Found, QueryError> {
        let groups: Vec<GroupId> = self.all_readable(principal).iter().map(|group| group.group()).collect();
        let (principal, query) = (principal.clone(), self.clone());
        self.read(move |inner| {
            let own = query.roster().by_node(&inner.node).map(|own| own.member);
            let step = match (step, groups.first()) {
                (Step::Start, Some(first)) => Step::Objects(*first, None),
                (Step::Start, None) => Step::Drafts(None),
                (step, _) => step,
            };
            match step {
                Step::Objects(group, after) if groups.contains(&group) => {
                    let mut found = inner.people_in(&query, &principal, &subject, own, group, after)?;
                    let follows = groups.iter().skip_while(|id| **id != group).nth(1);
                    found.next = found.next.or(Some(match follows {
                        Some(next) => Step::Objects(*next, None),
                        None => Step::Drafts(None),
                    }));
                    Ok(found)
                }
                Step::Objects(..) | Step::Start => {
                    Ok(Found { next: Some(Step::Drafts(None)), ..Found::default() })
                }
                Step::Drafts(after) => {
                    inner.people_in_drafts(&query, &principal, &subject, own, &groups, after)
                }
                // Nobody outside is told where members are reached.
                Step::Contacts if query.inside(&principal).is_err() => Ok(Found::default()),
                Step::Contacts => inner.people_in_contacts(&query, &subject, own),
            }
        })
        .await
    }

    /// Whether this node's own certificate is a steward's in a group now.
    #[must_use]
    pub fn is_steward(&self, group: GroupId) -> bool {
        let (roster, now) = (self.roster(), clock::now());
        let own = roster.by_node(&self.inner.node).map(|own| own.serial);
        own.is_some_and(|own| roster.role(own, group, now) == Some(Role::Steward))
    }

    /// Stewards of a group, who may withdraw what others published there.
    #[must_use]
    pub fn stewards(&self, slug: &str) -> Vec<String> {
        let (roster, now) = (self.roster(), clock::now());
        let Some(group) = self.group_named(slug) else { return Vec::new() };
        let is_steward = |member: &belfry_proto::trust::roster::Member| {
            member.serials.iter().any(|serial| roster.role(*serial, group, now) == Some(Role::Steward))
        };
        roster.members().filter(|member| is_steward(member)).map(|m| m.organisation.name.clone()).collect()
    }
}

impl Inner {
    /// What one group's objects say, up to the bounds of a step.
    fn people_in(
        &self,
        query: &Query,
        principal: &Principal,
        subject: &Subject,
        own: Option<MemberId>,
        group: GroupId,
        after: Option<Timestamp>,
    ) -> Result<Found, QueryError> {
        let (mut found, mut bytes) = (Found::default(), 0_usize);
        let is_steward = query.is_steward(group);
        let mut last = after;
        let end = self.store.each_object(group, after, |row| {
            (found.examined, bytes) = (found.examined + 1, bytes + row.raw.len());
            last = Some(row.date_added);
            let go_on = match found.examined < OBJECTS && bytes < READ {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            };
            let places = places(subject, &row);
            if places.is_empty() {
                return go_on;
            }
            let reads = admit(principal, row.clone()).is_some();
            // What its author took back and did not erase is told on as revoked, and its message is whole on every disk.
            let is_kept =
                || self.store.message(row.message).map_or(true, |found| found.is_some_and(|m| m.has_body));
            let remedy = match (own == Some(row.member), is_steward) {
                _ if row.withdrawn && !is_kept() => "nothing",
                (true, _) if row.withdrawn => "withdraw-message",
                (true, _) => "withdraw",
                (false, true) => "withdraw-as-steward",
                (false, false) => "ask",
            };
            found.hits.push(Hit {
                kind: "object",
                values: places.iter().map(|place| place.value).collect(),
                paths: if reads {
                    places.into_iter().map(|place| place.path).collect()
                } else {
                    BTreeSet::new()
                },
                group: Some(query.slug(group)),
                message: Some(row.message),
                publication: Some(row.publication),
                object: reads.then_some(row.id),
                member: row.member,
                organisation: query.organisation(row.member),
                reporters: row.reporters,
                date: row.created,
                remedy,
            });
            go_on
        })?;
        found.next = end.is_break().then_some(Step::Objects(group, last));
        Ok(found)
    }

    fn people_in_drafts(
        &self,
        query: &Query,
        principal: &Principal,
        subject: &Subject,
        own: Option<MemberId>,
        groups: &[GroupId],
        after: Option<PublicationId>,
    ) -> Result<Found, QueryError> {
        let (mut found, mut bytes, mut last) = (Found::default(), 0_usize, after);
        loop {
            if found.examined == DRAFTS || bytes >= READ {
                found.next = Some(Step::Drafts(last));
                return Ok(found);
            }
            let Some((row, size)) = self.store.draft_after(last)? else {
                found.next = Some(Step::Contacts);
                return Ok(found);
            };
            (found.examined, bytes, last) = (found.examined + 1, bytes + size, Some(row.publication));
            if !groups.contains(&row.group) {
                continue;
            }
            let row = &row;
            let tlp = Option::<Tlp>::from(row.tlp).unwrap_or(Tlp::Red);
            let reads = query.may_look_into(principal, row.group, tlp);
            let hit = |kind, values, paths, object, remedy| Hit {
                kind,
                values,
                paths,
                group: Some(query.slug(row.group)),
                message: None,
                publication: Some(row.publication),
                object,
                member: own.unwrap_or(MemberId::new([0; 16])),
                organisation: own.and_then(|own| query.organisation(own)),
                reporters: Vec::new(),
                date: row.created,
                remedy,
            };
            for (id, places) in in_draft(subject, row) {
                let remedy = match row.state {
                    DraftState::Held => "discard",
                    DraftState::Queued => "wait",
                    DraftState::Flushed | DraftState::Refused => "nothing",
                };
                let values = places.iter().map(|place| place.value).collect();
                let paths = places.into_iter().filter(|_| reads).map(|place| place.path).collect();
                found.hits.push(hit("draft", values, paths, reads.then_some(id), remedy));
            }
            let said: BTreeSet<usize> =
                row.reason.iter().flat_map(|reason| subject.in_text(reason).collect::<Vec<_>>()).collect();
            if !said.is_empty() {
                found.hits.push(hit("reason", said, BTreeSet::new(), None, "nothing"));
            }
        }
    }

    /// What members say of where they are reached: a mailbox of a function may be a person's all the same. Also what does not
    /// count any more, as long as it is kept.
    fn people_in_contacts(
        &self,
        query: &Query,
        subject: &Subject,
        own: Option<MemberId>,
    ) -> Result<Found, QueryError> {
        let mut found = Found::default();
        for row in self.store.contacts()? {
            found.examined += 1;
            let signed = schema::Signed::decode(row.bytes.as_slice()).ok();
            let Some(contact) = signed.and_then(|signed| contact::read(&signed).ok()) else { continue };
            let (mut values, mut paths) = (BTreeSet::new(), BTreeSet::new());
            for (n, mailbox) in contact.mailboxes.iter().enumerate() {
                let fields = [
                    ("email", &mailbox.email),
                    ("url", &mailbox.url),
                    ("phone", &mailbox.phone),
                    ("key_url", &mailbox.key_url),
                    ("hours", &mailbox.hours),
                ];
                for (name, text) in fields {
                    for value in subject.in_text(text) {
                        values.insert(value);
                        paths.insert(format!("mailboxes[{n}].{name}"));
                    }
                }
            }
            if values.is_empty() {
                continue;
            }
            found.hits.push(Hit {
                kind: "contact",
                values,
                paths,
                group: None,
                message: None,
                publication: None,
                object: None,
                member: row.member,
                organisation: query.organisation(row.member),
                reporters: Vec::new(),
                date: contact.rank.made,
                remedy: if own == Some(row.member) { "set-contact" } else { "ask" },
            });
        }
        Ok(found)
    }
}

fn places(subject: &Subject, row: &ObjectView) -> BTreeSet<Place> {
    let mut places = Object::parse(&row.raw).map(|object| subject.in_object(&object)).unwrap_or_default();
    // What its message says of why it went out; no property of the object's.
    let said = subject.in_text(&row.conditions.reason);
    places.extend(said.map(|value| Place { value, path: "(reason)".to_owned() }));
    places
}

/// Objects of a draft that is not sent yet; what was sent is among the objects.
fn in_draft(subject: &Subject, row: &DraftRow) -> Vec<(String, BTreeSet<Place>)> {
    let parts = row.parts.iter().filter_map(|part| payload::parse(part).ok());
    let objects = parts.flat_map(|part| part.objects);
    let found = objects.map(|object| (object.id().to_owned(), subject.in_object(&object)));
    found.filter(|(_, places)| !places.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_to_the_client_and_back() {
        let at = Timestamp::from_micros(7);
        let draft = PublicationId::new([7; 16]);
        for step in [
            Step::Objects(GroupId::new(3), None),
            Step::Objects(GroupId::new(3), Some(at)),
            Step::Drafts(None),
            Step::Drafts(Some(draft)),
            Step::Contacts,
        ] {
            assert_eq!(Step::parse(&step.to_text()), Some(step));
        }
        for wrong in ["", "objects", "objects:x:", "objects:1:x", "drafts:zz", "contacts:1", "other:1"] {
            assert_eq!(Step::parse(wrong), None, "{wrong}");
        }
    }
}
