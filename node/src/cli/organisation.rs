//! What is said of an organisation, in words: all of it, and what changes.

use belfry_proto::{
    id::Serial,
    schema::{Capacity, EntityClass, Organisation},
    time::Timestamp,
    trust::roster::{Member, Roster, Standing},
};

use super::args::wire_name;

/// All that is said of it.
pub(super) fn said(organisation: &Organisation) -> [(&'static str, String); 7] {
    let classes: Vec<&str> =
        organisation.classes.iter().map(|class| wire_name::<EntityClass>(*class)).collect();
    [
        ("organisation", organisation.name.clone()),
        ("KBO/BCE", or_none(&organisation.kbo)),
        ("LEI", or_none(&organisation.lei)),
        ("entity classes", classes.join(", ")),
        ("capacity", wire_name::<Capacity>(organisation.capacity).into()),
        ("sector", or_none(&organisation.sector)),
        ("supplier of", or_none(&organisation.supplier_of.join(", "))),
    ]
}

/// What is said of a member now: its newest data, and each certificate that is not over and says otherwise.
pub(super) fn said_now<'a>(
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
pub(super) fn changes(now: &[(Option<Serial>, &Organisation)], to: &Organisation) -> Vec<(String, String)> {
    let of = |(serial, from): &(Option<Serial>, &Organisation)| {
        let whose = serial.map(|serial| format!("certificate {serial}: ")).unwrap_or_default();
        let both = said(from).into_iter().zip(said(to));
        both.filter(|((_, was), (_, is))| was != is)
            .map(|((what, was), (_, is))| (format!("{whose}{what}"), format!("{was} → {is}")))
            .collect::<Vec<_>>()
    };
    now.iter().flat_map(of).collect()
}

/// A dash for what is not said.
pub(super) fn or_none(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
