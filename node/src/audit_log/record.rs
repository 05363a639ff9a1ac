//! What an entry says.

use belfry_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The node started.
    Started,
    /// The node stopped in order.
    Stopped,
    /// Somebody asks for a change; it has not happened yet.
    Call {
        /// Id of the token.
        token: String,
        /// HTTP method.
        method: String,
        /// The route, without what varies in it.
        route: String,
    },
    /// Somebody asks to publish for a member that is not to be named: the steward's own record of that.
    OnBehalf {
        /// The number of its entry; unset where nobody called: the member's own message asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<u64>,
        /// The member's id.
        member: String,
        /// Its name then.
        organisation: String,
        /// How it asked: a date and a reference.
        asked: String,
    },
    /// Why something goes out, or is kept to go out, although a guard objects; never the value it objects to.
    Reason {
        /// The number of its call's entry.
        call: u64,
        /// In the words of who gave it.
        reason: String,
    },
    /// What came of a call.
    Result {
        /// The number of its entry.
        call: u64,
        /// HTTP status.
        status: u16,
        /// Id of what was made, changed or ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// Ids of what else it made.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<String>,
    },
    /// Requests that change nothing, since the last such entry, counted.
    Reads {
        /// Id of the token; unset for those without a good one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// HTTP method.
        method: String,
        /// The route.
        route: String,
        /// HTTP status.
        status: u16,
        /// How many.
        count: u64,
    },
    /// Older entries are removed: those below this number.
    Dropped {
        /// The oldest entry that stays.
        below: u64,
    },
    /// What followed here was not whole at the start, and was set aside.
    Cut {
        /// Bytes of it.
        bytes: u64,
        /// Whole lines of it: more than a torn end.
        lines: u64,
    },
}

impl Record {
    /// Of this moment.
    #[must_use]
    pub const fn now(at: Timestamp, event: Event) -> Self {
        Self { at, event }
    }
}
