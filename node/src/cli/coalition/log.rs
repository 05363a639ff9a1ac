//! `belfry coalition log`: every decision, in order, for auditors.

use belfry_proto::trust::log::VerifiedRecord;
use clap::Args;
use serde_json::{Value, json};

use super::{CoalitionFolder, evidence::Evidence};
use crate::cli::{
    args::second,
    decision::{amended_to, described, says, void, without_effect},
    output,
};

/// List the admin log, one decision a line.
#[derive(Debug, Args)]
pub(in crate::cli) struct Log {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Log {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.folder.open()?;
        let records: Vec<&VerifiedRecord> = folder.roster().records().collect();
        let (roster, charters) = (folder.roster(), folder.roster().charters());
        if self.json {
            let entries: Vec<Value> = records
                .iter()
                .map(|r| {
                    let (action, about) = described(charters, Some(roster), &r.statement);
                    Ok(json!({
                        "height": r.height,
                        "entry": r.entry_id,
                        "statement": r.statement.id,
                        "made": r.statement.made,
                        "charter": r.statement.charter_version,
                        "action": action,
                        "about": about,
                        "says": says(charters, &r.statement.decision),
                        "amended_to": amended_to(&r.statement.decision),
                        "void": void(folder.roster(), r.height).map(|void| void.reason.to_string()),
                        "decision": Evidence::of(&folder, r.statement.id)?,
                    }))
                })
                .collect::<anyhow::Result<_>>()?;
            return output::print_json(&json!({ "entries": entries }));
        }
        let rows: Vec<[String; 6]> = records
            .iter()
            .map(|r| {
                let (action, about) = described(charters, Some(roster), &r.statement);
                let about = about + &without_effect(void(folder.roster(), r.height));
                let evidence = Evidence::of(&folder, r.statement.id)?.told();
                let evidence = if evidence.is_empty() { "-".to_owned() } else { evidence };
                let entry = r.entry_id.to_string();
                Ok([r.height.to_string(), second(r.statement.made), action.into(), about, evidence, entry])
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(output::print(&output::table(["height", "made", "action", "about", "decided", "entry"], &rows))?)
    }
}
