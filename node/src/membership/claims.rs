//! What others say they hold of our own logs, and whether it is so.
//!
//! A disk that was restored from a backup holds less of this node's own logs than the others do; going on
//! from there would use a sequence twice. So peers say in their hello how much of ours they hold. But a
//! member that lies must not drive us from one log to the next until the certificate has none left:
//! a claim beyond what we hold counts once the peer has shown the entry, which our own key signed.

use std::time::Duration;

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope,
    id::{GroupId, LogId, Sequence, Serial},
    limits,
    schema::{self, Page, PullRange, SyncRequest, sync_request::Request, sync_response::Response},
    trust::roster::Roster,
};
use tokio::time::timeout;

use super::{Command, Membership};
use crate::network::Network;

/// A log of ours, and the highest sequence of it that somebody holds.
pub(super) type Claim = (GroupId, LogId, Sequence);

/// Claims looked into after one hello: one restored disk has one log a group. The rest waits for the next.
const MOST: usize = 16;
/// How long the peer has to show one entry.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a peer showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Entries it holds, signed by our key.
    pub(crate) proven: Vec<Claim>,
    /// Claims it had nothing to show for.
    pub(crate) false_claims: usize,
    /// Claims it did not get to: we do not know.
    pub(crate) open: usize,
}

/// Asks `peer` for the entry behind each claim.
pub(super) async fn look_into(
    network: &Network,
    roster: &Roster,
    own: Serial,
    peer: PublicKey,
    claims: &[Claim],
) -> Shown {
    let mut shown = Shown::default();
    for claim in claims.iter().take(MOST) {
        let (group, log, sequence) = *claim;
        let pull =
            PullRange { group: group.get(), log: log.to_vec(), from: sequence.get(), to: sequence.get() };
        let request = SyncRequest { request: Some(Request::Range(pull)) };
        match timeout(PATIENCE, network.sync(&peer, request)).await {
            Ok(Ok(answer)) => match answer.response {
                Some(Response::Page(page)) if is_ours(roster, own, claim, &page) => shown.proven.push(*claim),
                Some(Response::Refused(code)) if belfry_proto::schema::Refusal::Busy as i32 == code => {
                    shown.open += 1;
                }
                _ => shown.false_claims += 1,
            },
            Ok(Err(_)) | Err(_) => shown.open += 1,
        }
    }
    shown
}

/// Whether the page is the one entry claimed, and this node's certificate signed it.
fn is_ours(roster: &Roster, own: Serial, claim: &Claim, page: &Page) -> bool {
    let [bytes] = page.envelopes.as_slice() else { return false };
    let Ok(decoded) = envelope::decode(bytes) else { return false };
    let header = decoded.header();
    if (header.group, header.log, header.sequence) != *claim || header.serial != own {
        return false;
    }
    decoded.attribute(roster).is_ok_and(|attributed| attributed.verify().is_ok())
}

impl Membership {
    /// Has the peer show what it claims to hold of our logs; the hello goes on once it has.
    pub(super) fn look_into(&self, peer: PublicKey, claims: Vec<Claim>, behind: bool) {
        let (network, commands) = (self.network.clone(), self.commands.0.clone());
        let (roster, own) = (self.roster_now(), self.identity.serial);
        tokio::spawn(async move {
            let shown = look_into(&network, &roster, own, peer, &claims).await;
            let _ = commands.send(Command::Shown { peer, shown, behind }).await;
        });
    }

    /// Goes on after [`Self::look_into`].
    pub(super) fn shown(&mut self, peer: PublicKey, shown: Shown, behind: bool) {
        if shown.false_claims > 0 {
            tracing::warn!(%peer, claims = shown.false_claims,
                "{peer} says it holds more of our own logs than we do, and has nothing to show for it");
        }
        if !shown.proven.is_empty() {
            tracing::warn!(%peer, logs = shown.proven.len(),
                "{peer} holds messages of ours that this disk does not have: going on in new logs");
        }
        self.hellos.send_modify(|hellos| {
            for (group, log, sequence) in shown.proven {
                // Others may hold more still: never taken back.
                let held = hellos.own_logs.iter_mut().find(|(g, l, _)| (*g, *l) == (group, log));
                match held {
                    Some((_, _, highest)) => *highest = (*highest).max(sequence),
                    None => hellos.own_logs.push((group, log, sequence)),
                }
            }
        });
        if shown.open > 0 {
            // Not known, so nothing may be sealed on this peer's word yet.
            self.greet_later(peer);
        } else {
            self.level(peer, behind);
        }
    }

    /// Frontiers of the logs that `peer`'s own certificates wrote, as we hold them.
    pub(super) fn logs_of(&self, peer: &PublicKey) -> Vec<schema::LogFrontier> {
        let roster = self.roster_now();
        let Some(certificate) = roster.by_node(peer) else { return Vec::new() };
        let mut logs = Vec::new();
        for group in certificate.groups.keys() {
            let rows = self.store.logs(*group).unwrap_or_default();
            logs.extend(rows.into_iter().filter(|row| row.serial == certificate.serial).map(|row| {
                schema::LogFrontier {
                    group: group.get(),
                    log: row.log.to_vec(),
                    low: row.low.get(),
                    height: row.top.get(),
                    head: row.head.to_vec(),
                    bodies: row.bodies,
                    frozen: 0,
                }
            }));
        }
        logs.truncate(limits::MAX_LOGS_PER_CERTIFICATE);
        logs
    }

    /// What a peer says it holds of our own logs, where that is more than we do. Of a log that is not here at
    /// all nothing need be known: with a lost disk a new one is opened anyway.
    pub(super) fn claims_beyond_ours(&self, told: &[schema::LogFrontier]) -> Vec<Claim> {
        let told = told.iter().take(limits::MAX_LOGS_PER_CERTIFICATE);
        let claims = told.filter_map(|frontier| {
            let (group, log) = (GroupId::new(frontier.group), LogId::try_from(frontier.log.as_slice()).ok()?);
            let rows = self.store.logs(group).ok()?;
            let ours = rows.iter().find(|row| row.log == log && row.serial == self.identity.serial)?;
            (frontier.height > ours.top.get()).then_some((group, log, Sequence::new(frontier.height)))
        });
        claims.collect()
    }
}
