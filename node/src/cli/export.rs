//! `belfry export`: what this node's tools are given, for people and for tools that take files.

use std::{
    fs,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::{
    client::segment,
    global::{DataFolder, Global},
    listing::listed,
    out, output,
};
use crate::keys::file::{self, Existing, Readers};

/// List the configured exports, print one, or write all its files into a folder.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry export
  belfry export firewall > block.txt
  belfry export suricata --out /etc/suricata/rules
  belfry export firewall --report")]
pub(super) struct Export {
    /// Its name; without, all are listed
    name: Option<String>,
    /// One file of it
    #[arg(long, value_name = "FILE", requires = "name", conflicts_with_all = ["out", "report"])]
    file: Option<String>,
    /// Writes all its files into this folder, each in one step
    #[arg(long, value_name = "DIR", requires = "name", conflicts_with = "report")]
    out: Option<PathBuf>,
    /// Says what stands in it, what was left out, and why
    #[arg(long, requires = "name")]
    report: bool,
    #[command(flatten)]
    data: DataFolder,
}

impl Export {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let Some(name) = &self.name else {
            let mut answer = client.get("/api/v1/exports")?;
            for export in answer.get_mut("exports").and_then(Value::as_array_mut).into_iter().flatten() {
                for narrowing in ["groups", "types"] {
                    // Named none, it takes every one.
                    if let Some(named) = export.get_mut(narrowing).filter(|named| **named == json!([])) {
                        *named = json!("all");
                    }
                }
            }
            let columns = [
                "name",
                "format",
                "action",
                "audience",
                "max_tlp",
                "minimum_score",
                "shadow",
                "groups",
                "types",
            ];
            return Ok(output::print(&listed(&answer, "exports", &columns))?);
        };
        let path = format!("/api/v1/exports/{}", segment(name));
        if self.report {
            return output::print_json(&client.get(&format!("{path}/report"))?);
        }
        let Some(folder) = &self.out else {
            let path = self.file.as_ref().map_or(path.clone(), |file| format!("{path}/{}", segment(file)));
            let bytes = client.fetch(&path)?;
            let mut out = std::io::stdout().lock();
            if out.is_terminal() {
                drop(out);
                return Ok(output::print(&output::shown(&String::from_utf8_lossy(&bytes)))?);
            }
            return match out.write_all(&bytes).and_then(|()| out.flush()) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                written => Ok(written?),
            };
        };
        let report = client.get(&format!("{path}/report"))?;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        for file in report.get("files").and_then(Value::as_array).into_iter().flatten() {
            let name = file.get("name").and_then(Value::as_str).unwrap_or_default();
            if !is_plain(name) {
                output::warn(&format!("a file called {name:?} is not written: that is no name for one"));
                continue;
            }
            let bytes = client.fetch(&format!("{path}/{}", segment(name)))?;
            let to = folder.join(name);
            out::is_free(&to)?;
            // Tools read at any time: never half a file.
            file::write(&to, &bytes, Readers::All, Existing::Replace)?;
        }
        Ok(())
    }
}

/// A name that stays in its folder, whoever answers.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}
