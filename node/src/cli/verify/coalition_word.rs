//! What the coalition signed: a charter under way, a certificate, a decision, a beacon; and whether the log agrees.

use belfry_proto::{
    crypto::sign::Purpose,
    id::{RosterVersion, Serial},
    schema::{Record, Signed},
    time::Timestamp,
    trust::{
        beacon, charter_proposal::Proposal, log::verify_record, roster::Roster, signed, statement::Statement,
    },
};

use super::Facts;
use crate::{
    cli::{
        args::{day, second},
        decision::{stated, void, without_effect},
        exit::{refuse, refused},
    },
    config::peer_id,
};

/// A charter that enough have signed.
pub(super) fn proposed(proposal: &Proposal) -> anyhow::Result<Facts> {
    if !proposal.is_complete() {
        let quorums: Vec<String> = proposal.quorums().iter().map(ToString::to_string).collect();
        refuse!(
            "it is not in force: signed by {}. Whoever holds another of these keys signs it (`belfry coalition charter \
             sign`)",
            quorums.join(" and ")
        );
    }
    Ok(vec![("version", format!("{}, signed by enough", proposal.charter().version()))])
}

/// Whose certificate it is, and how it stands now.
pub(super) fn certified(roster: &Roster, record: &Record, now: Timestamp) -> anyhow::Result<Facts> {
    let verified = verify_record(roster.charters(), record).map_err(refused)?;
    let position = RosterVersion { height: verified.height, head: verified.entry_id };
    if !roster.is_prefix(position) {
        refuse!("the log does not hold its entry {position}: take a newer log, or it is of a fork");
    }
    let serial = Serial::new(verified.height.get());
    let Some(certificate) = roster.certificate(serial) else {
        refuse!(
            "entry {serial} of the log issued no certificate: the file is none that a coalition hands out; ask it for \
             another"
        )
    };
    let mut facts = vec![
        ("serial", serial.to_string()),
        ("organisation", certificate.organisation.name.clone()),
        ("member", certificate.member.to_string()),
        ("node", peer_id(&certificate.node)),
        ("valid", format!("{} to {}", day(certificate.not_before), day(certificate.not_after))),
        ("now", roster.standing(serial, now).as_str().to_owned()),
    ];
    let ends = roster.announced_end(serial, now);
    facts.extend(ends.map(|end| ("ends", format!("{}, as was decided", second(end)))));
    Ok(facts)
}

/// What admins decided, and where the log has it.
pub(super) fn decided(roster: &Roster, signed: &Signed) -> anyhow::Result<Facts> {
    let statement = Statement::decode(&signed.payload).map_err(refused)?;
    let Some(charter) = roster.charters().version(statement.charter_version) else {
        refuse!(
            "it was made under charter version {}, which the log lacks: take a newer log (`belfry export-log`)",
            statement.charter_version
        )
    };
    let threshold = charter.threshold(statement.action());
    signed::require(signed, Purpose::Statement, roster.coalition(), charter.admins(), threshold)
        .map_err(refused)?;
    let ordered = roster.records().find(|r| r.statement.id == statement.id);
    let mut facts = stated(roster, &statement);
    match (ordered, statement.check_dates()) {
        (None, Err(dates)) => return Err(refused(dates)),
        // It was ordered before anybody asked, and counts.
        (Some(_), Err(dates)) => facts.push(("dates", dates.to_string())),
        (_, Ok(())) => {}
    }
    let ordered = match ordered.map(|r| (r.height, void(roster, r.height))) {
        None => "not in this log".to_owned(),
        Some((height, no_effect)) => format!("entry {height}{}", without_effect(no_effect)),
    };
    facts.push(("ordered", ordered));
    Ok(facts)
}

/// How far the log goes, by the registrar's word.
pub(super) fn vouched(roster: &Roster, signed: &Signed, now: Timestamp) -> anyhow::Result<Facts> {
    let beacon = beacon::verify(roster.charter(), signed, now).map_err(refused)?;
    if beacon.head.height <= roster.version().height && !roster.is_prefix(beacon.head) {
        refuse!(
            "it vouches for another history than this log: one of them is forked. Keep both, and give them to the \
             coalition and to other members"
        );
    }
    Ok(vec![("vouches for", beacon.head.to_string()), ("until", second(beacon.expires))])
}
