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
    schema::{Page, PullRange, SyncRequest, sync_request::Request, sync_response::Response},
    trust::roster::Roster,
};
use tokio::time::timeout;

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
