//! A certificate before it is signed, as its admin sees it: who asks, for what, and what it would get.

use belfry_proto::{
    id::{GroupId, MemberId},
    schema::{CertificateBody, GroupRole, Role},
    time::Timestamp,
    trust::{charter::Charter, names::Named as _, request::Request, roster::Roster, words},
};

use crate::{
    cli::{
        args::day,
        organisation::{or_none, said},
        output,
    },
    config::peer_id,
};

/// The request and the certificate that would answer it.
pub(super) fn shown(roster: &Roster, request: &Request, body: &CertificateBody) -> String {
    let charter = roster.charter();
    let member = MemberId::try_from(body.member.as_slice()).ok().and_then(|member| roster.member(member));
    let until = body.validity.as_ref().map_or(Timestamp::ZERO, |v| Timestamp::from_micros(v.not_after));
    let mut facts = said(&request.organisation).to_vec();
    facts.extend([
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
        ("encryption key", request.kem.digest()),
        (
            "member",
            match member {
                Some(known) if request.member.is_some() => format!("{} (another node of it)", known.id),
                Some(known) => format!("{} (new keys of it)", known.id),
                // Asked again, another one would be drawn.
                None => "new; its id is drawn when the certificate is issued".to_owned(),
            },
        ),
        ("asks for", listed(charter, named(&request.groups), request.carrier)),
        ("gets", listed(charter, named(&body.groups), body.carrier)),
        ("valid until", day(until)),
        (
            "coalition",
            words::to_words(charter.coalition()).split(' ').take(4).collect::<Vec<_>>().join(" ") + " …",
        ),
    ]);
    output::facts(&facts)
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
