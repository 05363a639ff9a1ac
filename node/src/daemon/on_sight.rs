//! What an operator is told of removals that hold by sight alone, until a charter settles which log is the coalition's.

use belfry_proto::{
    id::GroupId,
    trust::{on_sight::RemovalSeen, roster::Roster, statement::Decision},
};

/// Removals told one by one.
const MOST: usize = 5;

/// A warning for each, and one for how many more there are.
pub(super) fn told(roster: &Roster) -> Vec<String> {
    let mut told: Vec<String> =
        roster.removals_seen().take(MOST).filter_map(|seen| sentence(roster, seen)).collect();
    let more = roster.removals_seen().count().saturating_sub(MOST);
    if more > 0 {
        told.push(format!("{more} more certificates are removed on sight: `belfry members`."));
    }
    told
}

fn sentence(roster: &Roster, seen: &RemovalSeen) -> Option<String> {
    let serial = seen.serial()?;
    let member = roster.certificate(serial).and_then(|certificate| roster.member(certificate.member));
    let name = member.map_or("?", |member| member.organisation.name.as_str());
    let what = match seen.decision() {
        Decision::Revoke(_) => "revoked".to_owned(),
        Decision::Suspend(_) => "suspended".to_owned(),
        Decision::Disentitle(disentitle) => {
            let slug =
                |id: &u32| roster.charter().group(GroupId::new(*id)).map_or("?", |group| group.slug.as_str());
            format!("taken out of {}", disentitle.groups.iter().map(slug).collect::<Vec<_>>().join(", "))
        }
        Decision::Issue(_)
        | Decision::Renew(_)
        | Decision::Supersede(_)
        | Decision::Resume(_)
        | Decision::Entitle(_)
        | Decision::ExtendCut(_)
        | Decision::Amend(_)
        | Decision::Accept(_) => return None,
    };
    let by = match &seen.record().entry {
        Some(_) => "an entry that is not in our admin log",
        None => "a statement that no registrar ordered",
    };
    Some(format!(
        "Certificate {serial} of {name} is {what} on sight, by {by}: it holds here until our admin log has it, or a charter says \
         which log is the coalition's."
    ))
}
