//! Positions in our own logs, and the sealing of one draft's parts.

use std::collections::BTreeSet;

use belfry_proto::{
    crypto::hpke::KemPublic,
    envelope::{
        self, Author, AuthorError, ContentKey, Decoded, Draft, Position, Publication, RecipientContext,
        RecipientsError, SealWith, Withdrawal, payload, seal_block, seal_message,
    },
    id::{GroupId, LogId, MemberId, MessageId, Sequence},
    limits::{MAX_LOGS_PER_CERTIFICATE, MAX_TARGETS},
    schema::{Audience, Role},
    time::Timestamp,
    trust::roster::{CutStatus, Roster},
};

use crate::{
    identity::Identity,
    rows,
    store::{DraftRow, EnvelopeRow, LogRow, MessageState, ReadError, Store},
};

/// Sealed and ready to be made durable.
pub(super) struct Sealed {
    pub(super) rows: Vec<EnvelopeRow>,
    pub(super) gossip: Vec<Vec<u8>>,
}

/// Why a draft cannot become messages. Its own fault or its certificate's, so it is not tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("own logs cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Author(#[from] AuthorError),
    #[error("{0}")]
    Recipients(#[from] RecipientsError),
    #[error("this node's certificate is not in its roster")]
    NoCertificate,
    #[error(
        "this node's certificate has opened all the logs it may in the group; it takes a new certificate"
    )]
    LogsUsedUp,
    #[error("recipient {0} may no longer read the group")]
    RecipientGone(MemberId),
    #[error(
        "this node's certificate is no longer a steward's of the group: it cannot publish on behalf of another member"
    )]
    NotASteward,
    #[error("readers would refuse what it says: {0}")]
    Reopen(String),
    #[error("no content key is at hand")]
    NoKey,
    #[error("this node has a fault: see its log for a panic, and report it")]
    Panicked,
}

/// Where the next message goes: on after our newest log, or at the start of a new one if this database did
/// not open it, or others hold more of it than we do (our disk was restored or replaced: a sequence must
/// never be used twice). `last` is the place behind what was sealed before: while its log stands there, nothing is read; or the
/// first one of a log that is not begun, which is this one then.
pub(super) fn position(
    store: &Store,
    identity: &Identity,
    roster: &Roster,
    group: GroupId,
    known: &[(GroupId, LogId, Sequence)],
    last: Option<&Position>,
    now: Timestamp,
) -> Result<Position, SealError> {
    let own = store.logs_written_by(group, identity.serial);
    let others_hold = |log: LogId| {
        known
            .iter()
            .filter(|(g, l, _)| *g == group && *l == log)
            .map(|(_, _, s)| *s)
            .max()
            .unwrap_or_default()
    };
    // What is written next in a log that a cut closed would be hidden everywhere.
    let is_closed = |row: &LogRow| {
        let (next, closure) =
            (Sequence::new(row.height.get() + 1), roster.closure(row.serial, group, row.log));
        closure.status(roster.version().height, now, next, MessageId::ZERO) != CutStatus::Open
    };
    // A log with a gap or a fork, or of which others know more, is never written again.
    let is_open = |row: &&LogRow| {
        !row.forked && row.top == row.height && others_hold(row.log) <= row.height && !is_closed(row)
    };
    let open: Vec<&LogRow> = own.iter().filter(is_open).collect();
    let stands = |last: &&Position| {
        let is_behind = |row: &&LogRow| row.height.get() + 1 == last.sequence.get() && row.head == last.prev;
        last.sequence.get() > 1 && open.iter().any(is_behind)
    };
    if let Some(last) = last.filter(stands) {
        return Ok(*last);
    }
    // Nothing was sealed into it yet, but keys were made for it.
    let opening = last.filter(|last| last.sequence.get() == 1).map(|last| last.instance);
    let mut newest: Option<(&LogRow, envelope::Header)> = None;
    for row in open {
        // What came back from others was written by an earlier life of this disk, and they may hold more of
        // that log than we will ever hear of. A database knows which logs it opened; one that was put back
        // under our feet does not know, but what we seal is received as it is created.
        let is_ours = store.message(row.head)?.is_some_and(|message| message.received == message.created);
        if !is_ours || !store.writes_log(group, row.log)? {
            continue;
        }
        let Some(bytes) = store.envelopes(group, row.log, row.height, row.height, usize::MAX)?.pop() else {
            continue;
        };
        let Ok(decoded) = envelope::decode(&bytes) else { continue };
        let header = decoded.header();
        if newest.as_ref().is_none_or(|(_, newest)| newest.created < header.created) {
            newest = Some((row, header.clone()));
        }
    }
    Ok(match newest {
        None if own.len() >= MAX_LOGS_PER_CERTIFICATE => return Err(SealError::LogsUsedUp),
        // Every entry of a log names the same predecessor.
        Some((row, header)) => Position {
            group,
            instance: header.instance,
            predecessor: header.predecessor,
            sequence: Sequence::new(row.height.get() + 1),
            prev: row.head,
        },
        None => Position {
            group,
            instance: opening.unwrap_or_else(rand::random),
            predecessor: own
                .iter()
                .map(|row| row.log)
                .chain(known.iter().filter(|(g, ..)| *g == group).map(|(_, log, _)| *log))
                .next(),
            sequence: Sequence::new(1),
            prev: MessageId::ZERO,
        },
    })
}

/// What a draft says, part by part.
pub(super) fn contents(
    draft: &DraftRow,
    identity: &Identity,
    roster: &Roster,
) -> Result<Vec<Publication>, SealError> {
    let parsed = draft.parts.iter().map(|part| payload::parse(part));
    let parts: Vec<Publication> =
        parsed.collect::<Result<_, _>>().map_err(|error| SealError::Reopen(error.to_string()))?;
    // What only moves because the rest of its message is taken back goes out in any case.
    let is_on_behalf = draft.withdraws.is_none() && parts.iter().any(|part| part.on_behalf);
    if is_on_behalf {
        let role = roster.role_at(identity.serial, draft.group, roster.version().height);
        if role != Some(Role::Steward) {
            return Err(SealError::NotASteward);
        }
    }
    Ok(parts)
}

/// Seals and signs a draft's messages in order; also the place behind them.
pub(super) fn sign(
    draft: &DraftRow,
    mut position: Position,
    key: Option<&ContentKey>,
    identity: &Identity,
    roster: &Roster,
    now: Timestamp,
) -> Result<(Vec<Decoded>, Position), SealError> {
    let certificate = roster.certificate(identity.serial).ok_or(SealError::NoCertificate)?;
    let author = Author {
        coalition: roster.coalition(),
        certificate,
        signing: &identity.signing,
        roster: roster.version(),
    };
    let log = envelope::log_id(author.coalition, draft.group, certificate, &position.instance);
    let kems = match (draft.audience, draft.parts.is_empty()) {
        (Audience::Recipients, false) => recipient_keys(roster, draft, identity, now)?,
        _ => Vec::new(),
    };
    let mut rng = rand::rng();
    let mut messages = Vec::with_capacity(draft.parts.len());
    let mut stands = |position: &mut Position, message: Decoded| {
        position.sequence = Sequence::new(position.sequence.get() + 1);
        position.prev = message.message_id();
        messages.push(message);
    };
    for payload in &draft.parts {
        let message = match (draft.audience, key) {
            (Audience::Recipients, _) => {
                let context = RecipientContext {
                    coalition: author.coalition,
                    group: draft.group,
                    author: identity.member,
                    log,
                    sequence: position.sequence,
                    created: now,
                };
                let (key, block) = seal_block(&kems, context, &mut rng)?;
                let message = Draft::Data { payload, key: SealWith::Recipient { key: &key, block: &block } };
                seal_message(&message, &position, &author, now, &mut rng)?
            }
            (_, Some(key)) => {
                let message = Draft::Data { payload, key: SealWith::Content(key) };
                seal_message(&message, &position, &author, now, &mut rng)?
            }
            (_, None) => return Err(SealError::NoKey),
        };
        stands(&mut position, message);
    }
    // Withdrawals follow what is published with them: nobody is to be without what only moves.
    if let Some(withdrawal) = &draft.withdraws {
        for targets in withdrawal.targets.chunks(MAX_TARGETS) {
            let message = Draft::Withdrawal(Withdrawal { targets: targets.to_vec(), ..withdrawal.clone() });
            let message = seal_message(&message, &position, &author, now, &mut rng)?;
            stands(&mut position, message);
        }
    }
    Ok((messages, position))
}

/// Messages as they are stored and gossiped: as many as there are contents say these, the others withdraw.
pub(super) fn rows(
    contents: &[Publication],
    messages: Vec<Decoded>,
    roster: &Roster,
    now: Timestamp,
) -> Sealed {
    let mut sealed = Sealed { rows: Vec::new(), gossip: Vec::new() };
    let mut contents = contents.iter();
    for message in messages {
        let admitted = message.trusted();
        let (header, id, bytes) = (admitted.header(), admitted.message_id(), admitted.bytes());
        let (content, state) = match contents.next() {
            Some(content) => (Some(rows::opened(content, &admitted, roster)), MessageState::Opened),
            None => (None, MessageState::Closed),
        };
        let row = rows::envelope(header, id, bytes, true, state, now, header.roster.height);
        let withdraws = rows::withdraws(roster, id, header, now);
        sealed.gossip.push(bytes.to_vec());
        sealed.rows.push(EnvelopeRow { content, withdraws, ..row });
    }
    sealed
}

/// KEM keys of every valid certificate of the named members, and of our own nodes.
fn recipient_keys(
    roster: &Roster,
    draft: &DraftRow,
    identity: &Identity,
    now: Timestamp,
) -> Result<Vec<KemPublic>, SealError> {
    let readers = roster.readers(draft.group, Audience::Group, now);
    let members: BTreeSet<MemberId> = readers.iter().map(|reader| reader.member).collect();
    if let Some(gone) = draft.recipients.iter().find(|member| !members.contains(member)) {
        return Err(SealError::RecipientGone(*gone));
    }
    Ok(readers
        .into_iter()
        .filter(|reader| reader.member == identity.member || draft.recipients.contains(&reader.member))
        .map(|reader| reader.kem)
        .collect())
}

#[cfg(test)]
pub(super) mod tests {
    use belfry_proto::{
        id::PublicationId,
        schema::{self, statement::Decision},
    };

    use super::*;
    use crate::{
        store::{Change, DraftState},
        testing::{CIDR, Coalition, Seat, Site},
    };

    fn row(message: &envelope::Decoded) -> EnvelopeRow {
        let admitted = message.clone().trusted();
        let (header, id) = (admitted.header(), admitted.message_id());
        let (state, judged) = (MessageState::Sealed, header.roster.height);
        rows::envelope(header, id, admitted.bytes(), true, state, header.created, judged)
    }

    /// Stores messages as the flusher does.
    async fn written(site: &Site, messages: &[envelope::Decoded]) {
        let publication = PublicationId::new(rand::random());
        site.store.commit(Change::Draft(draft(publication))).await.unwrap();
        let envelopes = messages.iter().map(row).collect();
        site.store.commit(Change::Flushed { publication, envelopes }).await.unwrap();
    }

    /// Stores messages as sync does.
    async fn given_back(site: &Site, messages: &[envelope::Decoded]) {
        for message in messages {
            let mut row = row(message);
            row.received = row.created.saturating_add(std::time::Duration::from_secs(9));
            site.store.commit(Change::Envelope(Box::new(row))).await.unwrap();
        }
    }

    pub(in crate::publish) fn draft(publication: PublicationId) -> DraftRow {
        DraftRow {
            publication,
            group: CIDR,
            audience: Audience::Group,
            recipients: Vec::new(),
            parts: Vec::new(),
            part_count: 1,
            objects: Vec::new(),
            submitter: String::new(),
            idempotency_key: None,
            digest: [0; 32],
            created: Timestamp::from_micros(1),
            state: DraftState::Queued,
            messages: Vec::new(),
            key_id: None,
            error: None,
            withdraws: None,
            tlp: schema::Tlp::Amber,
            reason: None,
        }
    }

    fn next_of(
        coalition: &Coalition,
        site: &Site,
        seat: &Seat,
        known: &[(GroupId, LogId, Sequence)],
    ) -> Result<Position, SealError> {
        let now = crate::clock::now();
        position(&site.store, &seat.identity, &coalition.roster, CIDR, known, None, now)
    }

    #[tokio::test]
    async fn a_log_that_a_cut_closed_is_never_continued() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let messages = coalition.messages(&alice, CIDR, None, 3);
        let site = Site::new(&coalition, &alice).await;
        written(&site, &messages).await;
        let serial = alice.identity.serial.get();
        let last = messages[2].header();
        let point = schema::CutPoint {
            log: last.log.to_vec(),
            sequence: last.sequence.get(),
            message: messages[2].message_id().to_vec(),
        };
        coalition.decide(1, Decision::Suspend(schema::Suspend { serial, cut: vec![point] }));
        coalition.decide(1, Decision::Resume(schema::Resume { serial }));
        let next = next_of(&coalition, &site, &alice, &[]).unwrap();
        assert_eq!((next.sequence, next.predecessor), (Sequence::new(1), Some(last.log)));
        assert_ne!(next.instance, last.instance);
    }

    #[tokio::test]
    async fn a_certificate_that_opened_all_its_logs_is_told() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let message = &coalition.messages(&alice, CIDR, None, 1)[0];
        let site = Site::new(&coalition, &alice).await;
        for n in 1..=u8::try_from(MAX_LOGS_PER_CERTIFICATE).unwrap() {
            assert!(next_of(&coalition, &site, &alice, &[]).is_ok());
            let (log, id) = (LogId::new([n; 32]), MessageId::new([n; 32]));
            site.store
                .commit(Change::Envelope(Box::new(EnvelopeRow { log, id, ..row(message) })))
                .await
                .unwrap();
        }
        assert!(matches!(next_of(&coalition, &site, &alice, &[]), Err(SealError::LogsUsedUp)));
    }

    #[tokio::test]
    async fn a_log_goes_on_where_this_disk_left_it() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let messages = coalition.messages(&alice, CIDR, None, 3);
        let site = Site::new(&coalition, &alice).await;
        written(&site, &messages).await;
        let next = next_of(&coalition, &site, &alice, &[]).unwrap();
        assert_eq!((next.sequence, next.prev), (Sequence::new(4), messages[2].message_id()));
        assert_eq!(next.instance, messages[0].header().instance);
    }

    /// A disk was lost and the others gave our messages back. Somebody who is away may hold more of them.
    #[tokio::test]
    async fn a_log_that_came_back_from_others_is_never_continued() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let messages = coalition.messages(&alice, CIDR, None, 3);
        let site = Site::new(&coalition, &alice).await;
        given_back(&site, &messages).await;
        let next = next_of(&coalition, &site, &alice, &[]).unwrap();
        assert_eq!((next.sequence, next.prev), (Sequence::new(1), MessageId::ZERO));
        assert_ne!(next.instance, messages[0].header().instance);
        assert_eq!(next.predecessor, Some(messages[0].header().log));
        let again = next_of(&coalition, &site, &alice, &[]).unwrap();
        assert_ne!(next.instance, again.instance, "a fresh one each time");
    }

    /// A backup was restored, and a peer showed that there was more.
    #[tokio::test]
    async fn a_log_of_which_others_hold_more_is_never_continued() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let messages = coalition.messages(&alice, CIDR, None, 5);
        let log = messages[0].header().log;
        let site = Site::new(&coalition, &alice).await;
        written(&site, &messages[..3]).await;
        let known = [(CIDR, log, Sequence::new(5))];
        assert_eq!(next_of(&coalition, &site, &alice, &known).unwrap().sequence, Sequence::new(1));
        // Not even once the rest has come back.
        given_back(&site, &messages[3..]).await;
        assert_eq!(next_of(&coalition, &site, &alice, &known).unwrap().sequence, Sequence::new(1));
    }
}
