//! `belfry rules`: the texts that the coalition's members accept.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{
    client::segment,
    documents,
    exit::refuse,
    global::{DataFolder, Global},
    out, output,
};
use crate::{
    keys::file::Readers,
    texts::{self, FOLDER},
};

/// Show the coalition's arrangement and rules of conduct.
///
/// Without a text: which versions the charter in force names, whether this node has them, and whether this member has
/// accepted them. With one: the text itself. The charter names it by hash, and a file with another hash is not shown.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry rules
  belfry rules rules-of-conduct
  belfry rules arrangement --out arrangement.md
  belfry rules --take arrangement.pdf      # whoever got the file another way")]
pub(super) struct Rules {
    /// Which
    #[arg(value_name = "TEXT")]
    text: Option<Which>,
    /// Write the text to this file instead
    #[arg(long, value_name = "FILE", requires = "text")]
    out: Option<PathBuf>,
    /// Keep this file, if it is one of the texts that the charter names
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "out"])]
    take: Option<PathBuf>,
    /// Print the daemon's answer as JSON
    #[arg(long, conflicts_with_all = ["text", "out", "take"])]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    Arrangement,
    RulesOfConduct,
}

impl Which {
    const fn name(self) -> &'static str {
        match self {
            Self::Arrangement => texts::Text::Arrangement.as_str(),
            Self::RulesOfConduct => texts::Text::Rules.as_str(),
        }
    }
}

impl Rules {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        if let Some(text) = self.text {
            let bytes = client.fetch(&format!("/api/v1/rules/{}", segment(text.name())))?;
            return match self.out {
                Some(path) => {
                    out::create(&path, &bytes, Readers::All)?;
                    let told =
                        format!("Wrote {}, sha256 {}\n", output::path(&path), documents::sha256(&bytes));
                    Ok(output::print(&told)?)
                }
                None => match String::from_utf8(bytes) {
                    Ok(text) => Ok(output::print(&lines(&text))?),
                    Err(_) => refuse!("the {} is no plain text: --out FILE writes it", text.name()),
                },
            };
        }
        let answer = client.get("/api/v1/rules")?;
        if let Some(path) = self.take {
            let folder = global.config(&self.data)?.node.data_dir.join(FOLDER);
            return take(&answer, &path, &folder);
        }
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&told(&answer, client.again()))?)
    }
}

fn take(answer: &Value, path: &std::path::Path, folder: &std::path::Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    let hash = hex::encode(belfry_proto::crypto::hash::document(&bytes));
    let named =
        list(answer).iter().find(|text| text.get("hash").and_then(Value::as_str) == Some(hash.as_str()));
    let Some(named) = named else {
        refuse!(
            "{} is none of the texts that the charter names: its hash is {hash}, and those are {}. Get one of them, byte for byte, \
             from the coalition or another member (`belfry rules`)",
            path.display(),
            list(answer).iter().map(|text| at(text, "hash")).collect::<Vec<_>>().join(" and ")
        );
    };
    texts::keep(&bytes, path, folder)?;
    Ok(output::print(&format!(
        "Took it: it is the {}, version {}.\n",
        at(named, "text"),
        at(named, "version")
    ))?)
}

/// Foreign text on a terminal: its lines, and nothing that steers.
fn lines(text: &str) -> String {
    text.lines().map(|line| output::visible(line.trim_end_matches('\r')) + "\n").collect()
}

fn list(answer: &Value) -> &[Value] {
    answer.get("texts").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn at(of: &Value, name: &str) -> String {
    of.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into())
}

fn told(answer: &Value, again: &str) -> String {
    let is = |name: &str| answer.get(name).and_then(Value::as_bool);
    let rows: Vec<[String; 4]> = list(answer)
        .iter()
        .map(|text| {
            let here = match text.get("here").and_then(Value::as_bool) {
                Some(true) => format!("belfry rules {}{again}", at(text, "text")),
                _ => "not here: belfry rules --take FILE".to_owned(),
            };
            [at(text, "text"), at(text, "version"), at(text, "link"), here]
        })
        .collect();
    let accepted = match (is("accepted"), answer.get("accept_by").and_then(Value::as_str)) {
        (Some(true), _) => "This member has accepted them.".to_owned(),
        (_, Some(by)) => format!(
            "To be accepted by {by}, else: {}. Read them, then `belfry accept-rules`.",
            at(answer, "unaccepted")
        ),
        (Some(false), None) => {
            "This member has not accepted these versions; nobody is asked to by a date.".to_owned()
        }
        (None, None) => "Nobody is asked to accept them by a date.".to_owned(),
    };
    format!("{}\n{accepted}\n", output::table(["text", "version", "link", "read it"], &rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_and_what_is_here_is_told() {
        let mut answer = json!({"charter": 2, "texts": [{"text": "arrangement", "version": "2", "link": "x", "here": true},
            {"text": "rules-of-conduct", "version": "3", "link": "y", "here": false}],
            "accept_by": "2027-01-01T00:00:00Z", "unaccepted": "suspend", "accepted": false});
        let said = told(&answer, " --dir d");
        for part in ["belfry rules arrangement --dir d", "not here", "by 2027-01-01T00:00:00Z, else: suspend"]
        {
            assert!(said.contains(part), "{part}\n{said}");
        }
        answer["accepted"] = json!(true);
        assert!(told(&answer, "").contains("has accepted them"));
    }
}
