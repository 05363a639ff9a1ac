//! Charters that this node does not take, and what its operator is told of them.
//!
//! Whoever sends what no root key signed is noise: it is counted, no more. What enough root keys signed, and what does not go
//! on from the charter here all the same, is a version that has not come yet, or two charters of one version.

use belfry_proto::{
    crypto::sign::PublicKey,
    schema,
    trust::{
        charter::{Charter, CharterError},
        roster::Roster,
    },
    verdict::Verdict,
};

use super::Membership;
use crate::heard::RefusedCharter;

impl Membership {
    pub(super) async fn judge_charter(&mut self, charter: schema::Signed, from: PublicKey) -> Verdict {
        let offered = self.offer(vec![charter], Vec::new()).await;
        if !offered {
            self.pull(from);
        }
        if offered { Verdict::Accept } else { Verdict::Ignore }
    }

    /// Counts a charter that was not taken; if root keys signed it, the operator is told as well.
    pub(super) fn charter_refused(&self, roster: &Roster, signed: &schema::Signed, error: CharterError) {
        self.refused(&error);
        let Some(charter) =
            Charter::check(&signed.payload).ok().filter(|_| roster.charters().is_rooted(signed))
        else {
            tracing::debug!("charter refused: {error}");
            return;
        };
        let refused = RefusedCharter {
            payload: signed.payload.clone(),
            version: charter.version(),
            have: roster.charter().version(),
            error,
        };
        let is_news = self.watch.send_if_modified(|watch| {
            let is_news = watch.refused_charter.as_ref().is_none_or(|known| known.payload != refused.payload);
            watch.refused_charter = Some(refused.clone());
            is_news
        });
        if is_news {
            tracing::warn!(
                charter.version = refused.version,
                "a charter that root keys signed is refused: {refused}"
            );
        }
    }

    /// What was refused because something was missing may be ours by now.
    pub(super) fn settle_charter(&self) {
        let roster = self.roster_now();
        self.watch.send_if_modified(|watch| {
            watch.refused_charter.take_if(|refused| is_held(&roster, &refused.payload)).is_some()
        });
    }
}

/// Whether a charter is one of ours.
pub(super) fn is_held(roster: &Roster, payload: &[u8]) -> bool {
    roster.charters().signed().iter().any(|held| held.payload == payload)
}
