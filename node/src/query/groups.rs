//! Groups as a token sees them: its TAXII collections.

use belfry_proto::{
    id::{CoalitionId, GroupId},
    schema::Tlp as WireTlp,
    stix::marking::Tlp,
    trust::{charter::Group, roster::Roster},
};
use serde::Serialize;
use uuid::Uuid;

use super::{Principal, Query, QueryError, words};
use crate::clock;

/// A group's TAXII collection id: UUIDv5 of the group's number under the coalition's.
///
/// The same on every node and for ever, whatever becomes of names and slugs.
#[must_use]
pub(super) fn collection_id(coalition: CoalitionId, group: GroupId) -> Uuid {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_OID, coalition.as_ref());
    Uuid::new_v5(&namespace, &group.get().to_be_bytes())
}

/// A group, and what the principal may do in it.
#[derive(Clone, Debug, Serialize)]
pub struct GroupView {
    /// Number.
    pub id: GroupId,
    /// Slug, which is the collection's alias.
    pub slug: String,
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
    /// Slug of the group this circle lies in.
    pub parent: Option<String>,
    /// TAXII collection id.
    pub collection: Uuid,
    /// Most restrictive marking the group takes.
    pub max_tlp: Option<&'static str>,
    /// Aim of a publication that states none.
    pub default_purpose: Option<String>,
    /// This node's own role; unset if its certificate does not list the group.
    pub role: Option<String>,
    /// By token.
    pub can_read: bool,
    /// By token and by this node's certificate.
    pub can_write: bool,
}

impl Query {
    /// The groups the token reads or publishes to that this node takes part in, or holds logs of.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn groups(&self, principal: &Principal) -> Result<Vec<GroupView>, QueryError> {
        let roster = self.roster();
        let covered: Vec<GroupView> = roster
            .charter()
            .groups()
            .iter()
            .map(|group| self.view(&roster, principal, group))
            .filter(|view| view.can_read || view.can_write)
            .collect();
        self.read(move |inner| {
            let mut held = Vec::new();
            for view in covered {
                if view.role.is_some() || !inner.store.logs(view.id).is_empty() {
                    held.push(view);
                }
            }
            Ok(held)
        })
        .await
    }

    /// One group the token reads or publishes to.
    ///
    /// # Errors
    /// Unknown, or known and neither readable nor publishable.
    pub fn group(&self, principal: &Principal, name: &str) -> Result<GroupView, QueryError> {
        let roster = self.roster();
        let id = self.group_named(name).ok_or_else(|| self.unknown_group(principal, name))?;
        let group = roster.charter().group(id).ok_or_else(|| self.unknown_group(principal, name))?;
        let view = self.view(&roster, principal, group);
        if view.can_read || principal.scope().publish.covers(id) {
            return Ok(view);
        }
        Err(QueryError::NotReadable(view.slug))
    }

    /// A group's slug; its number if the charter does not know it (any more).
    #[must_use]
    pub fn slug(&self, group: GroupId) -> String {
        slug(&self.roster(), group)
    }

    fn view(&self, roster: &Roster, principal: &Principal, group: &Group) -> GroupView {
        let own = roster.by_node(&self.inner.node);
        let role = own.and_then(|own| roster.role(own.serial, group.id, clock::now()));
        GroupView {
            id: group.id,
            slug: group.slug.clone(),
            name: group.name.clone(),
            description: group.description.clone(),
            parent: group.parent.and_then(|id| roster.charter().group(id)).map(|parent| parent.slug.clone()),
            collection: collection_id(roster.coalition(), group.id),
            max_tlp: tlp(group.max_tlp).map(Tlp::as_str),
            default_purpose: words::of_number::<belfry_proto::schema::Purpose>(group.default_purpose as i32),
            role: role.map(words::word),
            can_read: principal.scope().read.covers(group.id),
            can_write: principal.scope().publish.covers(group.id) && self.is_publisher(roster, group.id),
        }
    }
}

/// A group's slug; its number if the charter does not know it (any more).
pub(super) fn slug(roster: &Roster, group: GroupId) -> String {
    roster.charter().group(group).map_or_else(|| group.to_string(), |group| group.slug.clone())
}

fn tlp(wire: WireTlp) -> Option<Tlp> {
    wire.into()
}
