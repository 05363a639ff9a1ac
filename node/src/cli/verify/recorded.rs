//! What is kept beside the log of who decided: `decisions/STATEMENT.json` of a coalition's folder, and the record a member is given.
//!
//! Neither is signed by itself. A statement's nonce is drawn from its decision record, so the admins' signatures cover it: one that was
//! changed is of no statement.

use belfry_proto::trust::roster::Roster;
use serde_json::Value;

use super::Facts;
use crate::{
    cli::{
        args::second,
        decision::described,
        exit::{refuse, refused},
    },
    notice::{DecisionRecord, Minutes},
};

/// What a text is, if it is one of the two and holds; [`None`] if it is neither.
pub(super) fn recorded(roster: &Roster, text: &str) -> anyhow::Result<Option<Facts>> {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else { return Ok(None) };
    if object.contains_key("notices") {
        let record = DecisionRecord::read(text).map_err(refused)?;
        let member = record.member;
        return Ok(Some(of_member(&record.held_to(roster, member).map_err(refused)?)));
    }
    match serde_json::from_str::<Minutes>(text) {
        Ok(minutes) => of_statement(roster, &minutes).map(Some),
        Err(_) => Ok(None),
    }
}

/// The statement that was signed with a decision record.
fn of_statement(roster: &Roster, minutes: &Minutes) -> anyhow::Result<Facts> {
    if minutes.salt.is_none() {
        refuse!(
            "nothing signed says that it is of any decision: it was kept before statements were drawn from their records (it has \
             no salt). Ask whoever decided for the minutes themselves"
        );
    }
    let Some(record) = roster.records().find(|record| minutes.is_of(&record.statement)) else {
        refuse!(
            "the admins signed for it with no statement of this log: it was changed, or the log is an older one than it. Take a newer \
             log (`belfry export-log`), or ask the coalition for the record anew"
        );
    };
    let (action, about) = described(roster.charters(), Some(roster), &record.statement);
    let since = minutes.member_since.map(|since| ("member since", second(since)));
    let mut facts = vec![
        ("holds", "a decision record, signed for with its statement".to_owned()),
        ("statement", record.statement.id.to_string()),
        ("entry", format!("{}: {action}, {about}", record.height)),
        ("decided", minutes.told().unwrap_or_else(|| "-".to_owned())),
    ];
    facts.extend(since);
    Ok(facts)
}

/// What a member's record says of each notice, and what of it was signed for.
fn of_member(record: &DecisionRecord) -> Facts {
    let mut facts = vec![
        ("holds", "the decisions behind a member's notices".to_owned()),
        ("organisation", record.organisation.clone()),
        ("member", record.member.to_string()),
    ];
    for notice in &record.notices {
        let said = notice.decision.as_deref().unwrap_or("nobody is named");
        let signed = match &notice.minutes {
            Some(_) => "signed for with the statement",
            None => "the coalition's word alone: nothing signed says so",
        };
        facts.push(("notice", format!("{}: {said} ({signed})", notice.notice)));
        if let Some(mandate) = &notice.mandate {
            facts.push(("mandate", format!("{mandate} (the coalition's word alone)")));
        }
    }
    facts
}
