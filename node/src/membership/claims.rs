//! What others say they hold of our own logs, and whether it is so.
//!
//! A disk that was restored from a backup holds less of this node's own logs than the others do; going on
//! from there would use a sequence twice. So peers say in their hello how much of ours they hold. But a
//! member that lies must not drive us from one log to the next until the certificate has none left:
//! a claim beyond what we hold counts once the peer has shown the entry, which our own key signed.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope,
    id::{GroupId, LogId, Sequence, Serial},
    limits,
    schema::{
        self, Page, PullRange, Refusal, SyncRequest, SyncResponse, sync_request::Request,
        sync_response::Response,
    },
    sync::LogFrontier,
    trust::roster::Roster,
};
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::{Command, Membership};
use crate::network::Network;

/// A log of ours, and the highest sequence of it that somebody holds.
pub(super) type Claim = (GroupId, LogId, Sequence);

/// Claims looked into after one hello: one restored disk has one log a group. The rest waits for the next.
const MOST: usize = 16;
/// Of them, asked side by side: more than a few requests at once are refused as busy.
const AT_ONCE: usize = 4;
/// Looks into a peer's claims that may end without an answer or with another one; then they are set aside, and what
/// the others hold decides. A busy peer is not busy for so long.
const TRIES: u32 = 3;
/// How long the peer has to show them.
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

/// How often each peer's claims came to nothing.
#[derive(Debug, Default)]
pub(super) struct Tries(BTreeMap<PublicKey, u32>);

impl Tries {
    /// A look into its claims ended: true if they are set aside from now on.
    fn ended(&mut self, peer: PublicKey, shown: &Shown) -> bool {
        if shown.open == 0 && shown.false_claims == 0 {
            self.0.remove(&peer);
            return false;
        }
        let tries = self.0.entry(peer).or_default();
        *tries = tries.saturating_add(1);
        self.are_set_aside(&peer)
    }

    /// Whether its claims hold nobody up any more. They are looked into all the same: shown, they count.
    fn are_set_aside(&self, peer: &PublicKey) -> bool {
        self.0.get(peer).is_some_and(|tries| *tries >= TRIES)
    }
}

/// Asks `peer` for the entry behind each claim, some side by side, all within [`PATIENCE`].
async fn look_into(
    network: &Network,
    roster: &Roster,
    own: Serial,
    peer: PublicKey,
    claims: Vec<Claim>,
) -> Shown {
    let deadline = Instant::now() + PATIENCE;
    let ask = |claim: Claim| async move {
        let (group, log, sequence) = claim;
        let pull =
            PullRange { group: group.get(), log: log.to_vec(), from: sequence.get(), to: sequence.get() };
        let request = SyncRequest { request: Some(Request::Range(pull)) };
        (claim, timeout_at(deadline, network.sync(&peer, request)).await)
    };
    let answers = stream::iter(claims.into_iter().take(MOST)).map(ask).buffer_unordered(AT_ONCE);
    let mut answers = std::pin::pin!(answers);
    let mut shown = Shown::default();
    while let Some((claim, answer)) = answers.next().await {
        let Ok(Ok(SyncResponse { response })) = answer else {
            shown.open += 1;
            continue;
        };
        match response {
            Some(Response::Page(page)) if is_ours(roster, own, &claim, &page) => shown.proven.push(claim),
            Some(Response::Refused(code)) if code == i32::from(Refusal::Busy) => shown.open += 1,
            _ => shown.false_claims += 1,
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
    /// What a peer claims to hold of our logs beyond us, as it answered. True if the hello may go on at once; else it
    /// does once the peer has shown it, or has not.
    pub(super) fn claimed(&mut self, peer: PublicKey, claims: Vec<Claim>, behind: bool) -> bool {
        if claims.is_empty() {
            self.hellos.send_modify(|hellos| {
                hellos.company.settled(&peer);
                hellos.unshown.remove(&peer);
            });
            return true;
        }
        let is_set_aside = self.tries.are_set_aside(&peer);
        if !is_set_aside {
            self.hellos.send_modify(|hellos| hellos.company.questioned(&peer, Instant::now()));
        }
        let (network, commands, era) = (self.network.clone(), self.commands.0.clone(), self.era);
        let (roster, own) = (self.roster_now(), self.identity.serial);
        tokio::spawn(async move {
            let shown = look_into(&network, &roster, own, peer, claims).await;
            let _ = commands.send(Command::Shown { peer, shown, behind, era }).await;
        });
        is_set_aside
    }

    /// Goes on after [`Self::claimed`].
    pub(super) fn shown(&mut self, peer: PublicKey, shown: Shown, behind: bool, era: u64) {
        let was_set_aside = self.tries.are_set_aside(&peer);
        let is_set_aside = self.tries.ended(peer, &shown);
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
            if is_set_aside {
                hellos.unshown.insert(peer);
            } else if shown.open == 0 && shown.false_claims == 0 {
                hellos.unshown.remove(&peer);
            }
        });
        if era != self.era || was_set_aside {
            // Greeted anew since, or gone on without.
            return;
        }
        if shown.open > 0 && !is_set_aside {
            // Not known yet; nothing is sealed while it is asked again.
            return self.greet_later(peer);
        }
        self.hellos.send_modify(|hellos| hellos.company.settled(&peer));
        self.level(peer, behind);
    }

    /// Frontiers of the logs that `peer`'s own certificates wrote, as we hold them.
    pub(super) fn logs_of(&self, peer: &PublicKey) -> Vec<schema::LogFrontier> {
        let roster = self.roster_now();
        let Some(certificate) = roster.by_node(peer) else { return Vec::new() };
        let by_group = certificate.groups.keys().map(|group| self.store.logs_of(*group, certificate.serial));
        let told = by_group.flat_map(|logs| {
            logs.into_iter().take(limits::MAX_LOGS_PER_CERTIFICATE).enumerate().map(|(turn, log)| {
                let frozen = Sequence::new(0);
                let told = LogFrontier { height: log.top, frozen, ..LogFrontier::from(&log) };
                (turn, schema::LogFrontier::from(&told))
            })
        });
        let mut told: Vec<(usize, schema::LogFrontier)> = told.collect();
        // One of each group in turn: where there are more than a hello takes, every group has its longest.
        told.sort_by_key(|(turn, _)| *turn);
        told.into_iter().map(|(_, log)| log).take(limits::MAX_TOLD_LOGS).collect()
    }

    /// What a peer says it holds of our own logs, where that is more than we do. Of a log that is not here at
    /// all nothing need be known: with a lost disk a new one is opened anyway.
    pub(super) fn claims_beyond_ours(&self, told: &[schema::LogFrontier]) -> Vec<Claim> {
        let told = told.iter().take(limits::MAX_TOLD_LOGS);
        let claims = told.filter_map(|frontier| {
            let (group, log) = (GroupId::new(frontier.group), LogId::try_from(frontier.log.as_slice()).ok()?);
            let rows = self.store.logs_of(group, self.identity.serial);
            let ours = rows.iter().find(|row| row.log == log)?;
            (frontier.height > ours.top.get()).then_some((group, log, Sequence::new(frontier.height)))
        });
        claims.collect()
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    #[test]
    fn a_peer_that_is_always_busy_is_set_aside_until_it_shows_what_it_claims() {
        let (mut tries, peer) = (Tries::default(), SigningKey::from_seed(&[1; 32]).public());
        let busy = Shown { open: 1, ..Shown::default() };
        let ended: Vec<bool> = (0..4).map(|_| tries.ended(peer, &busy)).collect();
        assert_eq!(ended, [false, false, true, true]);
        assert!(tries.are_set_aside(&peer));
        let shown = Shown {
            proven: vec![(GroupId::new(1), LogId::new([1; 32]), Sequence::new(9))],
            ..Shown::default()
        };
        assert!(!tries.ended(peer, &shown) && !tries.are_set_aside(&peer));
    }
}
