//! `belfry audit decisions`: what the admins decided, as every member's node has it.

use belfry_proto::trust::{
    log::VerifiedRecord,
    roster::{Roster, Void},
    statement::Subject,
};
use clap::Args;
use serde_json::{Value, json};

use super::{
    args::second,
    decision::{amended_to, described, says, void, without_effect},
    exit::refuse,
    global::Global,
    output,
    own_log::AnyLog,
};

/// Show every decision of the admin log: who was admitted, changed, removed, when, by which entry.
///
/// Reads the running node's log; if none runs the log in the data folder, as given at joining, or the one that is named, and
/// says on stderr which.
/// Every signature is verified. A decision that broke a rule stands in the log and has no effect: that is said, with the
/// rule. Where the decision is written down, the coalition knows (`belfry coalition log`).
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry audit decisions
  belfry audit decisions --log log.pem --coalition 'WORDS' --json
  belfry audit decisions --member 'Example Bank'")]
pub(super) struct Decisions {
    #[command(flatten)]
    log: AnyLog,
    /// Of this member only, by the name it has now or its id
    #[arg(long, value_name = "MEMBER")]
    member: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Decisions {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let roster = self.log.open(global)?;
        let told: Vec<Told<'_>> = roster
            .records()
            .map(|record| Told::of(&roster, record))
            .filter(|told| self.member.as_ref().is_none_or(|wanted| told.is_of(wanted)))
            .collect();
        if let Some(wanted) = self.member.as_ref().filter(|_| told.is_empty()) {
            refuse!(
                "no decision is about {wanted:?}: `belfry audit decisions` lists all, with the names that members have now"
            );
        }
        if self.json {
            let entries: Vec<Value> = told.iter().map(Told::json).collect();
            return output::print_json(&json!({
                "coalition": roster.coalition(),
                "log": roster.version(),
                "entries": entries,
            }));
        }
        let rows: Vec<[String; 6]> = told.iter().map(Told::row).collect();
        let version = roster.version();
        Ok(output::print(&format!(
            "{}, the admin log up to entry {} ({}), charter version {}\n{}",
            output::visible(roster.charter().name()),
            version.height,
            version.head,
            roster.charter().version(),
            output::table(["height", "made", "action", "member", "about", "entry"], &rows)
        ))?)
    }
}

/// A decision, and whom it was about.
struct Told<'a> {
    roster: &'a Roster,
    record: &'a VerifiedRecord,
    member: Option<String>,
    organisation: String,
    void: Option<&'a Void>,
}

impl<'a> Told<'a> {
    fn of(roster: &'a Roster, record: &'a VerifiedRecord) -> Self {
        let member = record.statement.subject().and_then(|subject| match subject {
            Subject::Member(member) => Some(member),
            Subject::Certificate(serial) => Some(roster.certificate(serial)?.member),
        });
        let name = member.and_then(|id| roster.member(id)).map(|member| member.organisation.name.clone());
        Self {
            roster,
            record,
            member: member.map(|id| id.to_string()),
            organisation: name.unwrap_or_default(),
            void: void(roster, record.height),
        }
    }

    fn is_of(&self, wanted: &str) -> bool {
        self.member.as_deref() == Some(wanted) || self.organisation.to_lowercase() == wanted.to_lowercase()
    }

    fn row(&self) -> [String; 6] {
        let (action, about) = described(self.roster.charters(), Some(self.roster), &self.record.statement);
        [
            self.record.height.to_string(),
            second(self.record.statement.made),
            action.to_owned(),
            self.organisation.clone(),
            about + &without_effect(self.void),
            self.record.entry_id.to_string(),
        ]
    }

    fn json(&self) -> Value {
        let (action, about) = described(self.roster.charters(), Some(self.roster), &self.record.statement);
        json!({
            "height": self.record.height,
            "entry": self.record.entry_id,
            "statement": self.record.statement.id,
            "made": self.record.statement.made,
            "charter": self.record.statement.charter_version,
            "action": action,
            "about": about,
            "says": says(self.roster.charters(), &self.record.statement.decision),
            "amended_to": amended_to(&self.record.statement.decision),
            "member": self.member,
            "organisation": self.organisation,
            "void": self.void.map(|void| void.reason.to_string()),
        })
    }
}
