//! From the pure ladder's types to the store's rows: one translation, used on the way in and on the way out.

use std::collections::BTreeSet;

use belfry_proto::{
    envelope::{Admitted, Header, Publication, Word},
    id::{Height, MessageId},
    schema::{self, Audience, Role},
    stix::{
        indicator,
        marking::{self, Markings},
        object::Object,
        observable::{self, around},
    },
    sync::retention::{self, Bare},
    time::Timestamp,
    trust::roster::Roster,
};

use crate::store::{Conditions, EnvelopeRow, MessageState, ObjectRow, OpenedRows, Withdraws};

/// An envelope as stored, not opened yet.
#[must_use]
pub(crate) fn envelope(
    header: &Header,
    id: MessageId,
    bytes: &[u8],
    is_whole: bool,
    state: MessageState,
    received: Timestamp,
    judged_at: Height,
) -> EnvelopeRow {
    EnvelopeRow {
        group: header.group,
        log: header.log,
        sequence: header.sequence,
        id,
        prev: header.prev,
        member: header.member,
        serial: header.serial,
        created: header.created,
        received,
        key_id: header.key_id(),
        written_at: header.roster.height,
        judged_at,
        in_closed_log: false,
        is_cut_point: false,
        is_listed: false,
        is_vouched: false,
        opens_later: false,
        bytes: bytes.to_vec(),
        has_body: is_whole,
        state,
        content: None,
        reason: None,
        withdraws: None,
    }
}

/// An envelope whose log is closed: hidden until the log has been judged with it.
#[must_use]
pub(crate) fn hidden(
    header: &Header,
    id: MessageId,
    bytes: &[u8],
    is_whole: bool,
    received: Timestamp,
    judged_at: Height,
) -> EnvelopeRow {
    let row = envelope(header, id, bytes, is_whole, MessageState::Quarantined, received, judged_at);
    EnvelopeRow { in_closed_log: true, ..row }
}

/// How an entry stands whose body did not come with it. What a withdrawal makes of it the store says.
#[must_use]
pub(crate) fn bare(header: &Header, roster: &Roster, now: Timestamp) -> (MessageState, Option<String>) {
    match retention::bare(roster, header.group, header.created, now) {
        Bare::Past => (MessageState::Expired, None),
        Bare::WasPast => {
            let reason = "its body is gone where it came from, by a charter before this one";
            (MessageState::Closed, Some(reason.to_owned()))
        }
        Bare::Missing => (MessageState::Closed, None),
    }
}

/// What an envelope withdraws, if it does; judged by the roster that its header names. It is `seen` now.
#[must_use]
pub(crate) fn withdraws(
    roster: &Roster,
    id: MessageId,
    header: &Header,
    seen: Timestamp,
) -> Option<Withdraws> {
    let word = Word::of(roster, id, header, seen)?;
    Some(Withdraws { word, targets: header.withdrawal()?.targets.clone() })
}

/// A parsed publication part as stored.
#[must_use]
pub(crate) fn opened(publication: &Publication, admitted: &Admitted, roster: &Roster) -> OpenedRows {
    let header = admitted.header();
    let role = roster.role_at(header.serial, header.group, header.roster.height);
    let on_behalf = publication.on_behalf && role == Some(Role::Steward);
    let markings = Markings::of(&publication.objects);
    OpenedRows {
        publication: publication.id,
        part: publication.part,
        parts: publication.parts,
        member: header.member,
        serial: header.serial,
        message: admitted.message_id(),
        created: header.created,
        purpose: publication.purpose.into(),
        classes: publication.classes.iter().map(|class| i32::from(*class)).collect(),
        recipients: header.audience() == Audience::Recipients,
        conditions: Conditions { on_behalf, ..conditions(publication) },
        objects: publication
            .objects
            .iter()
            .map(|object| ObjectRow {
                id: object.id().to_owned(),
                kind: object.kind().to_owned(),
                version: object.version().to_owned(),
                // What no marking can be told of is as closed as can be.
                tlp: marking::effective(object, Some(publication.tlp), &markings)
                    .map_or(schema::Tlp::Red, schema::Tlp::from),
                revoked: object.revoked(),
                raw: object.raw().to_vec(),
                created_by: object.created_by().map(str::to_owned),
                pap: marking::effective_pap(object, publication.pap, &markings).map_or(0, i32::from),
                stated: object.stated().cloned(),
                observables: entries(object),
            })
            .collect(),
    }
}

fn conditions(publication: &Publication) -> Conditions {
    let handling = publication.handling.as_ref();
    Conditions {
        pap: publication.pap.map_or(0, i32::from),
        embargo_until: handling.and_then(|handling| handling.embargo_until).map_or(0, Timestamp::as_micros),
        terms: handling
            .map(|handling| handling.terms.iter().map(|(name, value)| format!("{name}={value}")).collect())
            .unwrap_or_default(),
        on_behalf: false,
        reason: publication.reason.clone().unwrap_or_default(),
    }
}

/// What an object is found by besides its id: the values it names, what surrounds them, and the objects that a
/// sighting or an opinion speaks of.
pub(crate) fn entries(object: &Object) -> Vec<(String, String)> {
    let mut entries = BTreeSet::new();
    for found in observable::extract(object) {
        entries.extend(around::rows(&found).into_iter().map(|(what, of)| (what.to_owned(), of)));
        entries.insert((found.kind().as_str().to_owned(), found.value().to_owned()));
    }
    let about = indicator::about(object.kind(), object.raw()).into_iter();
    entries.extend(about.map(|(what, of)| (what.to_owned(), of)));
    entries.into_iter().collect()
}
