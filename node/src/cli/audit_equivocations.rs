//! `belfry audit equivocations`: proofs that the registrar signed two logs, shown and taken out.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belfry_proto::trust::file as armour;
use clap::Args;
use serde_json::Value;

use super::{
    exit::refuse,
    global::{DataFolder, Global},
    out, output,
};
use crate::keys::file::Readers;

/// Show where the registrar signed two entries for one height of the admin log, and take the proof out.
///
/// A registrar shows everybody one log. Two entries of one height mean that somebody was shown another one: a revocation
/// may be kept from some. The running node keeps both entries as proof. The file holds them with the charters that name
/// the registrar's key, and `belfry verify` judges it without a node, for whoever does not believe this one.
///
/// What follows is the root holders' to say: a new charter pins the log that stands, and names another registrar.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry audit equivocations
  belfry audit equivocations --height 12 --out equivocation.pem
  belfry verify equivocation.pem --coalition 'WORDS'")]
pub(super) struct Equivocations {
    /// The proof of this height, where there are several
    #[arg(long, value_name = "HEIGHT", requires = "out")]
    height: Option<u64>,
    /// Write the proof to this file; must not exist
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the daemon's answer as JSON
    #[arg(long, conflicts_with = "out")]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

impl Equivocations {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let answer = global.client(&self.data)?.get("/api/v1/log/equivocations")?;
        if self.json {
            return output::print_json(&answer);
        }
        let all = answer.get("equivocations").and_then(Value::as_array);
        let proofs = all
            .context("the daemon's answer has no equivocations")?
            .iter()
            .map(Proof::of)
            .collect::<Option<Vec<_>>>()
            .context("the daemon's answer has a proof of another shape")?;
        match &self.out {
            Some(path) => self.write(path, &proofs),
            None => Ok(output::print(&told(&proofs))?),
        }
    }

    fn write(&self, path: &Path, proofs: &[Proof<'_>]) -> anyhow::Result<()> {
        let heights = || proofs.iter().map(|proof| proof.height.to_string()).collect::<Vec<_>>().join(", ");
        let wanted = |proof: &&Proof<'_>| self.height.is_none_or(|height| height == proof.height);
        let found: Vec<&Proof<'_>> = proofs.iter().filter(wanted).collect();
        let proof = match found.as_slice() {
            [proof] => proof,
            [] if proofs.is_empty() => refuse!(
                "this node knows of no two entries for one height: there is nothing to write. If another member does, have it write \
                 the proof, and read that (`belfry verify FILE`)"
            ),
            [] => refuse!("there is no proof for that height; there is for {}", heights()),
            [..] => refuse!("there are proofs for heights {}: name one with --height", heights()),
        };
        armour::read_equivocation(proof.file).context("the daemon's answer")?;
        out::create(path, proof.file.as_bytes(), Readers::All)?;
        let path = output::path(path);
        Ok(output::print(&format!("Wrote {path}. Anybody can verify it:\n  belfry verify {path}\n"))?)
    }
}

/// One of the daemon's answer.
struct Proof<'a> {
    height: u64,
    entries: [&'a str; 2],
    registrar: &'a str,
    file: &'a str,
}

impl<'a> Proof<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let [ours, other] = value.get("entries")?.as_array()?.as_slice() else { return None };
        Some(Self {
            height: value.get("height")?.as_u64()?,
            entries: [ours.as_str()?, other.as_str()?],
            registrar: text("registrar")?,
            file: text("file")?,
        })
    }
}

fn told(proofs: &[Proof<'_>]) -> String {
    if proofs.is_empty() {
        return "No height of the admin log is known to have two entries.\n".to_owned();
    }
    let rows: Vec<[String; 4]> = proofs
        .iter()
        .map(|proof| {
            let [ours, other] = proof.entries.map(str::to_owned);
            [proof.height.to_string(), ours, other, proof.registrar.to_owned()]
        })
        .collect();
    output::table(["height", "entry here", "other entry", "signed both"], &rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::exit::Exit;

    fn command(height: Option<u64>) -> Equivocations {
        Equivocations { height, out: None, json: false, data: DataFolder { dir: None } }
    }

    #[test]
    fn one_proof_is_taken_out_and_of_several_one_has_to_be_named() {
        let proof =
            |height: u64| json!({"height": height, "entries": ["a", "b"], "registrar": "k", "file": ""});
        let (two, five) = (proof(2), proof(5));
        let all = [Proof::of(&two).unwrap(), Proof::of(&five).unwrap()];
        let refused = |command: Equivocations, proofs: &[Proof<'_>]| {
            let error = command.write(Path::new("out.pem"), proofs).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::Refused, "{error:#}");
            error.to_string()
        };
        assert!(refused(command(None), &[]).contains("no two entries"));
        assert!(refused(command(None), &all).contains("2, 5: name one with --height"));
        assert!(refused(command(Some(3)), &all).contains("there is for 2, 5"));
        assert!(told(&[]).starts_with("No height"));
        assert!(told(&all).contains("5       a           b            k"), "{}", told(&all));
        assert!(Proof::of(&json!({"height": 2, "entries": ["a"], "registrar": "k", "file": ""})).is_none());
    }
}
