//! `belfry coalition log`: every decision, in order, for auditors.

use belfry_proto::{
    schema::{CertificateBody, CutPoint, EntityClass, Organisation, RevocationReason},
    time::Timestamp,
    trust::{log::VerifiedRecord, names::Named as _, statement::Decision},
};
use clap::Args;
use serde_json::{Value, json};

use super::{CoalitionFolder, evidence::Evidence};
use crate::cli::{
    args::{day, second, wire_name},
    audit_decisions::{void, without_effect},
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
        if self.json {
            let entries: Vec<Value> = records
                .iter()
                .map(|r| {
                    let (action, about) = described(&r.statement.decision);
                    Ok(json!({
                        "height": r.height,
                        "entry": r.entry_id,
                        "statement": r.statement.id,
                        "made": r.statement.made,
                        "charter": r.statement.charter_version,
                        "action": action,
                        "about": about,
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
                let (action, about) = described(&r.statement.decision);
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

/// The action's name and what it is about, in one line.
pub(in crate::cli) fn described(decision: &Decision) -> (&'static str, String) {
    match decision {
        Decision::Issue(d) => ("issue", organisation(d.certificate.as_ref())),
        Decision::Renew(d) => {
            ("renew", format!("serial {} until {}", d.serial, day(Timestamp::from_micros(d.not_after))))
        }
        Decision::Supersede(d) => (
            "supersede",
            format!("serial {} of {}, {}", d.serial, organisation(d.certificate.as_ref()), cuts(&d.cut)),
        ),
        Decision::Suspend(d) => ("suspend", format!("serial {}, {}", d.serial, cuts(&d.cut))),
        Decision::Resume(d) => ("resume", format!("serial {}", d.serial)),
        Decision::Revoke(d) => (
            "revoke",
            format!("serial {}, {}, {}", d.serial, wire_name::<RevocationReason>(d.reason), cuts(&d.cut)),
        ),
        Decision::Entitle(d) => ("entitle", format!("serial {}, {} groups", d.serial, d.groups.len())),
        Decision::Disentitle(d) => {
            ("disentitle", format!("serial {}, {} groups, {}", d.serial, d.groups.len(), cuts(&d.cut)))
        }
        Decision::ExtendCut(d) => ("extend-cut", format!("serial {}, {}", d.serial, cuts(&d.cut))),
        Decision::Amend(d) => ("amend", amended(d.organisation.as_ref())),
        Decision::Accept(d) => ("accept", format!("serial {}, arrangement and rules of conduct", d.serial)),
    }
}

/// What an organisation is called and is, from now on.
fn amended(organisation: Option<&Organisation>) -> String {
    let classes = organisation.into_iter().flat_map(Organisation::classes).map(EntityClass::name);
    let classes: Vec<&str> = classes.collect();
    format!("{} ({})", organisation.map(|o| o.name.as_str()).unwrap_or_default(), classes.join(", "))
}

fn organisation(body: Option<&CertificateBody>) -> String {
    body.and_then(|body| body.organisation.as_ref()).map(|o| o.name.clone()).unwrap_or_default()
}

fn cuts(cut: &[CutPoint]) -> String {
    match u64::try_from(cut.len()).unwrap_or(u64::MAX) {
        0 => "no cut".into(),
        n => format!("cut in {}", output::counted(n, "log", "logs")),
    }
}
