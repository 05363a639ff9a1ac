//! What a member signed itself: that it accepts, leaves, or has other data; and what the log made of it.

use belfry_proto::{
    schema::Signed,
    trust::{
        acceptance, amendment_request::AmendmentRequest, departure::Departure, roster::Roster,
        statement::Decision,
    },
};

use super::Facts;
use crate::cli::{
    args::second,
    exit::{refuse, refused},
    organisation::said,
};

/// Who accepted which texts, and where the log says so.
pub(super) fn accepted(roster: &Roster, signed: &Signed) -> anyhow::Result<Facts> {
    let key = signed.signatures.first().map(|signature| signature.key.as_slice()).unwrap_or_default();
    let Some(certificate) = roster.certificates().find(|c| c.signing.as_bytes().as_slice() == key) else {
        refuse!(
            "no certificate in the log has the key that signed it: take a newer log (`belfry export-log`); if that has none \
             either, no member signed it"
        )
    };
    // Of the newest version that has these texts; what is wrong is told of the newest there is.
    let opened = |charter| acceptance::open(signed, certificate.signing, charter).map(|at| (charter, at));
    let found = roster.charters().versions().filter_map(|charter| opened(charter).ok()).last();
    let (charter, at) = match found {
        Some(found) => found,
        None => opened(roster.charter()).map_err(refused)?,
    };
    let filed = roster.records().find(|record| {
        matches!(&record.statement.decision, Decision::Accept(d) if d.acceptance.as_ref() == Some(signed))
    });
    Ok(vec![
        ("member", format!("{} ({})", certificate.organisation.name, certificate.member)),
        ("signed by", format!("the key of certificate {}", certificate.serial)),
        ("accepted", second(at)),
        ("arrangement", charter.arrangement().version.clone()),
        ("rules of conduct", charter.rules().version.clone()),
        (
            "recorded",
            filed.map_or_else(|| "not in this log".to_owned(), |record| format!("entry {}", record.height)),
        ),
    ])
}

/// Who leaves when, and what the log made of it.
pub(super) fn departed(roster: &Roster, departure: &Departure) -> Facts {
    let name = roster.member(departure.member).map(|member| member.organisation.name.clone());
    let filed: Vec<String> = roster
        .records()
        .filter(|record| {
            matches!(&record.statement.decision, Decision::Revoke(d)
                if d.member == departure.member.as_ref() && d.effective == departure.effective.as_micros())
        })
        .map(|record| format!("entry {}, made {}", record.height, second(record.statement.made)))
        .collect();
    vec![
        ("member", format!("{} ({})", name.unwrap_or_default(), departure.member)),
        ("decided", second(departure.decided)),
        ("effective", second(departure.effective)),
        ("recorded", if filed.is_empty() { "not in this log".to_owned() } else { filed.join("; ") }),
    ]
}

/// What a member asks to have said of it, and what the log made of it.
pub(super) fn asked(roster: &Roster, request: &AmendmentRequest) -> Facts {
    let name = roster.member(request.member).map(|member| member.organisation.name.clone());
    let granted: Vec<String> = roster
        .records()
        .filter(|record| record.height > request.roster.height)
        .filter(|record| record.statement.decision == request.decision())
        .filter(|record| roster.voids().iter().all(|void| void.height != record.height))
        .map(|record| format!("entry {}, made {}", record.height, second(record.statement.made)))
        .collect();
    let mut facts = vec![
        ("member", format!("{} ({})", name.unwrap_or_default(), request.member)),
        ("asked", format!("{}, by the log up to entry {}", second(request.made), request.roster.height)),
    ];
    facts.extend(said(&request.organisation));
    facts.push((
        "granted",
        if granted.is_empty() { "not in this log".to_owned() } else { granted.join("; ") },
    ));
    facts
}
