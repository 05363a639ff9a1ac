//! `belfry import-log`: how a decision made on an air-gapped machine reaches the coalition.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::trust::{charter::Charter, file as armour};
use clap::Args;
use serde_json::Value;

use super::{
    client::Content,
    documents,
    global::{DataFolder, Global},
    output,
};
use crate::{
    clock,
    keys::{enrolment::read, file},
    texts,
};

/// Hand a newer admin log to the running node, which tells every other node.
///
/// The file is what `belfry coalition export` or `belfry coalition beacon` writes. It is verified from the charter
/// on; a log that contradicts the one this node has is refused. Where the registrar is proven to have signed two logs, a
/// revocation, suspension or disentitlement counts without it: the signed statement that `belfry coalition` writes for the
/// other admins is taken as well.
#[derive(Debug, Args)]
pub(super) struct ImportLog {
    /// File of the signed admin log, of a beacon, or of a signed removal
    log: PathBuf,
    #[command(flatten)]
    data: DataFolder,
}

impl ImportLog {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let text = file::read_text(&self.log)?;
        // What is neither is told here, with the name of the file.
        let newest = match armour::kind_of(&text) {
            Some(armour::FileKind::Beacon) => {
                drop(read(&self.log, armour::read_beacon)?);
                None
            }
            Some(armour::FileKind::Statement) => {
                drop(read(&self.log, armour::read_statement)?);
                None
            }
            _ => {
                let log = read(&self.log, armour::read_log)?;
                log.charters.last().and_then(|signed| Charter::check(&signed.payload).ok())
            }
        };
        let config = global.config(&self.data)?;
        let content = Content { kind: "text/plain", bytes: text.into_bytes(), idempotency_key: None };
        let answer = global.client(&self.data)?.post("/api/v1/log", content)?;
        output::print(&told(&answer)?)?;
        if let Some(charter) = newest.as_ref().filter(|charter| charter.is_expired_at(clock::now())) {
            output::warn(&format!(
                "charter version {} expired on {}: nobody publishes until there is a newer one. Ask the coalition for it",
                charter.version(),
                charter.expires()
            ));
        }
        // What the charter names travels beside the log; nobody misses it who has it already.
        if let Some(charter) = newest {
            let (from, to) = (documents::beside(&self.log), config.node.data_dir.join(texts::FOLDER));
            for text in texts::take(&charter, &[&from], &to)? {
                output::print(&format!("Took the {}: belfry rules {0}\n", text.as_str()))?;
            }
        }
        Ok(())
    }
}

/// What the file came to, in a sentence.
fn told(answer: &Value) -> anyhow::Result<String> {
    let number = |name: &str| {
        answer.get(name).and_then(Value::as_u64).with_context(|| format!("the daemon's answer has no {name}"))
    };
    let (before, now, offered) = (number("height_before")?, number("height")?, number("offered")?);
    if let Some(until) = answer.get("vouches_until").and_then(Value::as_str) {
        let until: String = until.chars().take(10).collect();
        let here = match offered.cmp(&now) {
            std::cmp::Ordering::Equal => "as this node has it".to_owned(),
            std::cmp::Ordering::Less => format!("though this node is at entry {now} already"),
            std::cmp::Ordering::Greater => {
                format!("this node is at entry {now} and asks its peers for the rest")
            }
        };
        return Ok(format!(
            "The beacon vouches until {until} for entry {offered} of the admin log, {here}.\n"
        ));
    }
    match answer.get("removes").and_then(Value::as_bool) {
        Some(true) => {
            return Ok("The removal holds at this node until a charter says which log is the coalition's; every node this one is \
                       connected to is told.\n"
                .to_owned());
        }
        Some(false) => return Ok("Nothing new: what it takes away is gone here already.\n".to_owned()),
        None => {}
    }
    anyhow::ensure!(
        now >= offered,
        "only entries up to {now} of {offered} were taken: the daemon's log says why"
    );
    let (charter_before, charter) = (number("charter_before")?, number("charter")?);
    let charter = match charter > charter_before {
        true => {
            format!(
                "Charter version {charter} is in force at this node; it was version {charter_before}. What it changes: belfry charter\n"
            )
        }
        false => String::new(),
    };
    Ok(charter
        + &match before {
            _ if before == offered => {
                format!("Nothing new: this node has the admin log at entry {now} already.\n")
            }
            _ if before > offered => {
                format!(
                    "Nothing new: the file ends at entry {offered}, this node has the admin log at entry {now}.\n"
                )
            }
            _ => {
                let first = before + 1;
                let entries =
                    if first == now { format!("entry {now}") } else { format!("entries {first} to {now}") };
                format!("Took {entries} of the admin log; every node this one is connected to is told.\n")
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_import_says_what_it_came_to() {
        let said = |before: u64, now: u64, offered: u64| {
            told(&json!({
                "height_before": before, "height": now, "offered": offered, "vouches_until": null,
                "charter_before": 1, "charter": 1,
            }))
        };
        let charter = told(&json!({
            "height_before": 5, "height": 5, "offered": 5, "charter_before": 1, "charter": 2, "vouches_until": null,
        }));
        assert!(charter.unwrap().starts_with("Charter version 2 is in force"));
        assert!(said(3, 5, 5).unwrap().starts_with("Took entries 4 to 5 of"));
        assert!(said(4, 5, 5).unwrap().starts_with("Took entry 5 of"));
        assert!(said(5, 5, 5).unwrap().contains("at entry 5 already"));
        assert!(said(5, 5, 3).unwrap().contains("ends at entry 3"));
        assert!(said(3, 3, 5).is_err());
        let beacon = |offered: u64| {
            let until = "2027-01-02T00:00:00.000000Z";
            told(&json!({"height_before": 5, "height": 5, "offered": offered, "vouches_until": until}))
                .unwrap()
        };
        let removal = |removes: bool| {
            let answer = json!({"height_before": 5, "height": 5, "offered": 5, "removes": removes});
            told(&answer).unwrap()
        };
        assert!(removal(true).contains("until a charter") && removal(false).starts_with("Nothing new"));
        assert!(beacon(5).starts_with("The beacon vouches until 2027-01-02 for entry 5"));
        assert!(beacon(7).contains("asks its peers"));
        assert!(beacon(3).contains("at entry 5 already"));
    }
}
