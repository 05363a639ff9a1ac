//! A certificate before it is signed, as its admin sees it: who asks, for what, and what it would get.

use belfry_proto::{
    id::{GroupId, MemberId},
    schema::{self, CertificateBody, GroupRole, Role},
    time::Timestamp,
    trust::{charter::Charter, names::Named as _, request::Request, words},
};

use crate::{
    cli::{
        args::{day, wire_name},
        output,
    },
    config::peer_id,
};

/// The request and the certificate that would answer it.
pub(super) fn shown(charter: &Charter, request: &Request, body: &CertificateBody) -> String {
    let organisation = &request.organisation;
    let classes: Vec<&str> =
        organisation.classes.iter().map(|class| wire_name::<schema::EntityClass>(*class)).collect();
    let member = MemberId::try_from(body.member.as_slice()).unwrap_or(MemberId::ZERO);
    let until = body.validity.as_ref().map_or(Timestamp::ZERO, |v| Timestamp::from_micros(v.not_after));
    output::facts(&[
        ("organisation", organisation.name.clone()),
        ("KBO/BCE", or_none(&organisation.kbo)),
        ("LEI", or_none(&organisation.lei)),
        ("entity classes", classes.join(", ")),
        ("capacity", wire_name::<schema::Capacity>(organisation.capacity).into()),
        ("sector", or_none(&organisation.sector)),
        ("supplier of", or_none(&organisation.supplier_of.join(", "))),
        (
            "accepted",
            format!(
                "arrangement {}, rules of conduct {}",
                charter.arrangement().version,
                charter.rules().version
            ),
        ),
        ("signing key", request.signing.to_string()),
        ("node", peer_id(&request.node)),
        (
            "member",
            format!("{member} ({})", if request.member.is_some() { "another node of it" } else { "new" }),
        ),
        ("asks for", listed(charter, named(&request.groups), request.carrier)),
        ("gets", listed(charter, named(&body.groups), body.carrier)),
        ("valid until", day(until)),
        (
            "coalition",
            words::to_words(charter.coalition()).split(' ').take(4).collect::<Vec<_>>().join(" ") + " …",
        ),
    ])
}

/// What a certificate says of its organisation and grants it, for whoever signs a statement of another admin.
pub(super) fn gets(charter: &Charter, body: &CertificateBody) -> Vec<(&'static str, String)> {
    let organisation = body.organisation.clone().unwrap_or_default();
    let classes: Vec<&str> =
        organisation.classes.iter().map(|class| wire_name::<schema::EntityClass>(*class)).collect();
    let until = body.validity.as_ref().map_or(Timestamp::ZERO, |v| Timestamp::from_micros(v.not_after));
    vec![
        ("organisation", organisation.name.clone()),
        ("KBO/BCE", or_none(&organisation.kbo)),
        ("LEI", or_none(&organisation.lei)),
        ("entity classes", classes.join(", ")),
        ("capacity", wire_name::<schema::Capacity>(organisation.capacity).into()),
        ("sector", or_none(&organisation.sector)),
        ("supplier of", or_none(&organisation.supplier_of.join(", "))),
        ("gets", listed(charter, named(&body.groups), body.carrier)),
        ("valid until", day(until)),
    ]
}

/// Groups with their roles, in one line.
pub(super) fn listed(
    charter: &Charter,
    groups: impl IntoIterator<Item = (GroupId, Role)>,
    carrier: bool,
) -> String {
    let mut names: Vec<String> = groups
        .into_iter()
        .map(|(id, role)| {
            let slug = charter.group(id).map(|group| group.slug.as_str());
            format!("{}:{}", slug.unwrap_or("?"), role.name())
        })
        .collect();
    if carrier {
        names.push("carrier (forwards and stores, opens nothing)".into());
    }
    or_none(&names.join(", "))
}

fn named(groups: &[GroupRole]) -> impl Iterator<Item = (GroupId, Role)> {
    groups.iter().map(|entry| (GroupId::new(entry.group), entry.role()))
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
