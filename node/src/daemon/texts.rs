//! What an operator is told of the coalition's texts: by when they are to be accepted, and what it costs not to.

use belfry_proto::{id::MemberId, schema::AcceptancePolicy, time::Timestamp, trust::roster::Roster};

/// What the charter asks of a member that has not accepted its texts.
pub(super) fn asked(roster: &Roster, member: MemberId, now: Timestamp) -> Option<String> {
    let charter = roster.charter();
    let by = charter.accept_by().filter(|_| !roster.has_accepted(member, charter))?;
    let versions = format!(
        "The arrangement {} and the rules of conduct {} of the coalition",
        charter.arrangement().version,
        charter.rules().version
    );
    let how = "read them, then `belfry accept-rules`";
    Some(match (now < by, charter.unaccepted()) {
        (true, AcceptancePolicy::Warn) => format!("{versions} are to be accepted by {by}: {how}."),
        (true, AcceptancePolicy::StopPublishing) => {
            format!("{versions} are to be accepted by {by}, or this member's publishing stops: {how}.")
        }
        (true, AcceptancePolicy::Suspend) => {
            format!("{versions} are to be accepted by {by}, or this member is out of every group: {how}.")
        }
        (false, AcceptancePolicy::Warn) => format!("{versions} were to be accepted by {by}: {how}."),
        (false, AcceptancePolicy::StopPublishing) => {
            format!(
                "{versions} were not accepted by {by}: this member's publishing is stopped until they are; {how}."
            )
        }
        (false, AcceptancePolicy::Suspend) => {
            format!(
                "{versions} were not accepted by {by}: this member is out of every group until they are; {how}."
            )
        }
    })
}
