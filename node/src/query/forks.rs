//! Forked logs with their proofs: what convinces anyone who trusts nobody here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use belfry_proto::id::{GroupId, LogId, MemberId, Sequence, Serial};
use serde::Serialize;

use super::{Principal, Query, QueryError};

/// Forks told in one answer; a proof may take half a megabyte.
const MOST: usize = 16;

/// A forked log: frozen below the fork at every node that knows of it, what lies above is disputed.
#[derive(Clone, Debug, Serialize)]
pub struct ForkView {
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// Whose.
    pub member: MemberId,
    /// The member's name.
    pub organisation: Option<String>,
    /// With which certificate.
    pub serial: Serial,
    /// The lowest place with two histories.
    pub sequence: Sequence,
    /// Two envelopes of its author that cannot stand in one history, as they travelled, in base64; unset
    /// while only one side is here.
    pub proof: Option<[String; 2]>,
}

impl Query {
    /// Forked logs of the groups the token reads, the first sixteen.
    ///
    /// # Errors
    /// A token for outside, or the store.
    pub async fn forks(&self, principal: &Principal) -> Result<Vec<ForkView>, QueryError> {
        self.inside(principal)?;
        let read = principal.scope().read.clone();
        let mut forks = self
            .read(move |inner| {
                let mut forks = Vec::new();
                for log in
                    inner.store.all_logs(None).into_iter().filter(|log| log.forked && read.covers(log.group))
                {
                    let proof = inner.store.fork_proof(&log)?;
                    forks.push(ForkView {
                        group: log.group,
                        log: log.log,
                        member: log.member,
                        organisation: None,
                        serial: log.serial,
                        sequence: log.frozen,
                        proof: proof.map(|proof| proof.envelopes.map(|bytes| STANDARD.encode(bytes))),
                    });
                    if forks.len() == MOST {
                        break;
                    }
                }
                Ok(forks)
            })
            .await?;
        for fork in &mut forks {
            fork.organisation = self.organisation(fork.member);
        }
        Ok(forks)
    }
}
