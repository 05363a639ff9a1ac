//! A decision record as it is kept beside the log, with the salt that ties it to its signed statement.

use belfry_proto::{
    id::CoalitionId,
    time::Timestamp,
    trust::{
        evidence::{Evidence, SALT},
        statement::Statement,
    },
};
use serde::{Deserialize, Serialize};

/// Who decided, when, and where that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Minutes {
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_on: Option<Timestamp>,
    /// Where it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Member since this day, where it took part before the log began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_since: Option<Timestamp>,
    /// In hex. A record that was kept before records were tied has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

/// Folders of the coalition's in which it keeps what members signed: as evidence, a file in one of them is that.
pub const DEPARTURES: &str = "departures";
/// Where requests for changed data are.
pub const AMENDMENTS: &str = "amendments";

impl Minutes {
    /// Who decided where a member's own signed word is all there is: what is kept says so in English, pages in their language.
    pub const BY_MEMBER: &str = "the member itself";

    /// The nonce of its statement; `None` without a salt.
    #[must_use]
    pub fn nonce(&self, coalition: CoalitionId) -> Option<[u8; 16]> {
        let salt = <[u8; SALT]>::try_from(hex::decode(self.salt.as_ref()?).ok()?).ok()?;
        let evidence = Evidence {
            decided_by: self.decided_by.as_deref(),
            decided_on: self.decided_on,
            reference: self.evidence.as_deref(),
            member_since: self.member_since,
        };
        Some(evidence.nonce(coalition, &salt))
    }

    /// Whether this very record was signed for with the statement.
    #[must_use]
    pub fn is_of(&self, statement: &Statement) -> bool {
        self.nonce(statement.coalition) == Some(statement.nonce)
    }

    /// In one line; nothing if it says nothing.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let on = self.decided_on.map(|on| on.to_string().chars().take(10).collect());
        let parts: Vec<String> =
            [self.decided_by.clone(), on, self.evidence.clone()].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}
