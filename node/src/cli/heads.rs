//! `belfry heads`: what an admin on an air-gapped machine needs to cut a member off at the right message.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::Context as _;
use belfry_proto::id::{LogId, MessageId};
use clap::Args;
use serde_json::Value;

use super::{
    client::segment,
    global::{DataFolder, Global},
    out, output,
};
use crate::keys::file::Readers;

/// Print the last message of each log of a member, as `coalition revoke --cut` wants it.
///
/// Prints one line a log: log id, sequence and message id of the last message this node holds.
///
/// Carry the output to the coalition's machine: `belfry coalition revoke SERIAL --reason CODE --cut FILE`.
#[derive(Debug, Args)]
pub(super) struct Heads {
    /// Member id, organisation name or serial
    member: String,
    /// Write to FILE instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    data: DataFolder,
}

impl Heads {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let path = format!("/api/v1/members/{}/heads", segment(&self.member));
        let answer = global.client(&self.data)?.get(&path)?;
        let text = cut_file(&answer).context("the daemon's list of heads")?;
        match &self.out {
            Some(path) => {
                out::create(path, text.as_bytes(), Readers::All)?;
                let logs = u64::try_from(text.lines().filter(|line| !line.starts_with('#')).count())?;
                output::print(&format!(
                    "Wrote {}: the last messages of {}\n",
                    output::path(path),
                    output::counted(logs, "log", "logs")
                ))?;
            }
            None => output::print(&text)?,
        }
        if answer.get("heads").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            output::warn(
                "this node holds no message of that member; a cut that lists none hides all there are.",
            );
        }
        Ok(())
    }
}

/// The cut file of `{"heads": [{log, sequence, message, serial?, group?}]}`.
fn cut_file(answer: &Value) -> anyhow::Result<String> {
    let heads = answer.get("heads").and_then(Value::as_array).context("has no heads")?;
    let mut out = String::from("# belfry cut file: log, sequence, message id\n");
    for head in heads {
        let text = |name| head.get(name).and_then(Value::as_str);
        let log: LogId = text("log").context("a head has no log")?.parse()?;
        let sequence = head.get("sequence").and_then(Value::as_u64).context("a head has no sequence")?;
        let message: MessageId = text("message").context("a head has no message")?.parse()?;
        let about: Vec<String> = [("serial", "serial"), ("group", "slug")]
            .iter()
            .filter_map(|(shown, name)| Some(format!("{shown} {}", output::scalar(head.get(*name)?)?)))
            .collect();
        if !about.is_empty() {
            let _ = writeln!(out, "# {}", about.join(", "));
        }
        let _ = writeln!(out, "{log} {sequence} {message}");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::coalition::cut::parse;

    #[test]
    fn what_heads_prints_revoke_reads() {
        let (log, message) = (LogId::new([1; 32]), MessageId::new([2; 32]));
        let answer = serde_json::json!({"heads": [
            {"log": log, "sequence": 7, "message": message, "serial": 4, "group": 5, "slug": "cidr\nx"}
        ]});
        let points = parse(&cut_file(&answer).unwrap()).unwrap();
        assert_eq!(points.len(), 1);
        assert_eq!((points[0].sequence, points[0].message.as_slice()), (7, message.as_bytes().as_slice()));
        assert!(cut_file(&serde_json::json!({"heads": [{"log": "x"}]})).is_err());
    }
}
