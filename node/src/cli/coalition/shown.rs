//! A certificate before it is signed, as its admin sees it: who asks, for what, and what it would get.

use belfry_proto::{
    id::{GroupId, MemberId, Serial},
    schema::{self, CertificateBody, GroupRole, Organisation, Role},
    time::Timestamp,
    trust::{
        charter::Charter,
        names::Named as _,
        request::Request,
        roster::{Member, Roster, Standing},
        words,
    },
};

use crate::{
    cli::{
        args::{day, wire_name},
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

/// All that a certificate says of its organisation.
pub(in crate::cli) fn said(organisation: &Organisation) -> [(&'static str, String); 7] {
    let classes: Vec<&str> =
        organisation.classes.iter().map(|class| wire_name::<schema::EntityClass>(*class)).collect();
    [
        ("organisation", organisation.name.clone()),
        ("KBO/BCE", or_none(&organisation.kbo)),
        ("LEI", or_none(&organisation.lei)),
        ("entity classes", classes.join(", ")),
        ("capacity", wire_name::<schema::Capacity>(organisation.capacity).into()),
        ("sector", or_none(&organisation.sector)),
        ("supplier of", or_none(&organisation.supplier_of.join(", "))),
    ]
}

/// What is said of a member now: its newest data, and each certificate that is not over and says otherwise.
pub(in crate::cli) fn said_now<'a>(
    roster: &'a Roster,
    member: &'a Member,
    now: Timestamp,
) -> Vec<(Option<Serial>, &'a Organisation)> {
    let is_over = |serial| matches!(roster.standing(serial, now), Standing::Revoked | Standing::Superseded);
    let certificates = member.serials.iter().filter_map(|serial| roster.certificate(*serial));
    let otherwise = certificates.filter(|c| !is_over(c.serial) && c.organisation != member.organisation);
    std::iter::once((None, &member.organisation))
        .chain(otherwise.map(|certificate| (Some(certificate.serial), &certificate.organisation)))
        .collect()
}

/// What other data change of what is said now: the newest, and each certificate that differs from them by itself.
pub(in crate::cli) fn changes(
    now: &[(Option<Serial>, &Organisation)],
    to: &Organisation,
) -> Vec<(String, String)> {
    let of = |(serial, from): &(Option<Serial>, &Organisation)| {
        let whose = serial.map(|serial| format!("certificate {serial}: ")).unwrap_or_default();
        let both = said(from).into_iter().zip(said(to));
        both.filter(|((_, was), (_, is))| was != is)
            .map(|((what, was), (_, is))| (format!("{whose}{what}"), format!("{was} → {is}")))
            .collect::<Vec<_>>()
    };
    now.iter().flat_map(of).collect()
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
