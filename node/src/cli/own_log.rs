//! Where a member's commands get the admin log: the file that is named, else the running node, else the data folder.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::{
    schema::LogFile,
    trust::{certificate::Certificate, file as armour, roster::Roster},
};
use clap::Args;
use serde_json::Value;

use super::{
    client::ClientError,
    exit::{refuse, refused},
    global::{DataFolder, Global, KeyPassphrase},
    output,
    verify::{Pin, roster},
};
use crate::{
    config::Config,
    keys::{
        self, EnrolmentError, MemberKeys,
        enrolment::{certified, fold, read, read_charters},
        file::{self, Existing, Readers},
    },
};

/// Which log; where none is named, stderr says which was read and up to which entry.
#[derive(Debug, Args)]
pub(super) struct OwnLog {
    /// Log, as `belfry coalition export` writes it [default: the running node's, else the one given at joining]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// A log of anybody's: the one that is named, else this node's.
#[derive(Debug, Args)]
pub(super) struct AnyLog {
    /// Log, as `belfry export-log` and `belfry coalition export` write it [default: the running node's, else the one given
    /// at joining]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    pin: Pin,
    #[command(flatten)]
    data: DataFolder,
}

impl AnyLog {
    /// Verified: every charter, every entry, every signature.
    pub(super) fn open(&self, global: &Global) -> anyhow::Result<Roster> {
        let roster = match &self.log {
            Some(path) => roster(path)?,
            None => {
                let own = OwnLog { log: None }.open(global, &self.data);
                own.map_err(|error| match error.downcast_ref() {
                    Some(EnrolmentError::NotEnrolled { .. } | EnrolmentError::NotJoined { .. }) => {
                        error.context("no --log FILE is given, and this machine has no node's")
                    }
                    _ => error,
                })?
                .roster
            }
        };
        self.pin.check(roster.coalition())?;
        Ok(roster)
    }
}

/// The log, verified from the pinned charter on, and this node's certificate in it.
pub(super) struct Own {
    pub(super) roster: Roster,
    pub(super) certificate: Certificate,
}

impl OwnLog {
    /// Reads and verifies it.
    pub(super) fn open(&self, global: &Global, data: &DataFolder) -> anyhow::Result<Own> {
        let folder = keys::DataFolder::of(&global.config(data)?);
        folder.joined()?;
        let pinned = read_charters(&folder.charter())?.coalition();
        let record = read(&folder.certificate(), armour::read_certificate)?;
        let (log, from) = match &self.log {
            Some(path) => (read(path, armour::read_log)?, path.display().to_string()),
            None => match of_node(global.client(data).and_then(|client| client.get("/api/v1/log")))? {
                Some(log) => (log, OF_NODE.to_owned()),
                None => (read(&folder.log(), armour::read_log)?, folder.log().display().to_string()),
            },
        };
        let (roster, certificate) =
            certified(pinned, &log, &record).map_err(refused).with_context(|| from.clone())?;
        if self.log.is_none() {
            eprintln!("{}", output::visible(&which(&from, &roster.version().height.to_string())));
        }
        Ok(Own { roster, certificate })
    }
}

/// What the log of a running node is called.
const OF_NODE: &str = "the running node's log";

/// Which log was read, where none was named: an older one may lack what was decided since.
fn which(from: &str, height: &str) -> String {
    match from == OF_NODE {
        true => format!("Read {OF_NODE}, up to entry {height}."),
        false => format!(
            "WARNING: no node runs: read {from}, as given at joining, up to entry {height}; what was decided since is not in it"
        ),
    }
}

/// The running node's log out of its answer; nothing if none runs. A node that runs and does not give it is no reason to
/// take an older one for it.
fn of_node(answer: anyhow::Result<Value>) -> anyhow::Result<Option<LogFile>> {
    const MEND: &str = "the running node does not give its log (another one is named with --log FILE)";
    let answer = match answer {
        Err(error) if matches!(error.downcast_ref(), Some(ClientError::NotRunning { .. })) => {
            return Ok(None);
        }
        answer => answer.context(MEND)?,
    };
    let text = answer.get("file").and_then(Value::as_str).context("its answer has no file").context(MEND)?;
    Ok(Some(armour::read_log(text).context(MEND)?))
}

impl Own {
    /// The node's keys, if they are the certificate's.
    pub(super) fn keys(&self, config: &Config, passphrase: &KeyPassphrase) -> anyhow::Result<MemberKeys> {
        let folder = keys::DataFolder::new(&config.node.data_dir).keys();
        let keys = MemberKeys::load(&folder, &passphrase.read(&config.keys)?)?;
        if keys.signing.public() != self.certificate.signing {
            refuse!(
                "the keys in {} are not those of certificate {}: name the data folder that goes with it (--dir), or the newest log \
                 (--log)",
                folder.display(),
                self.certificate.serial
            );
        }
        Ok(keys)
    }
}

/// Export the admin log of the running node: every charter, every decision, all signatures.
///
/// What `belfry coalition export` writes on the coalition's machine; every member has it. `belfry verify` and `belfry
/// audit` work on the file alone.
#[derive(Debug, Args)]
pub(super) struct ExportLog {
    /// File to write; must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    data: DataFolder,
}

impl ExportLog {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let answer = global.client(&self.data)?.get("/api/v1/log")?;
        let text = answer.get("file").and_then(Value::as_str).context("the daemon's answer has no file")?;
        let roster = fold(&armour::read_log(text).context("the daemon's answer")?)?;
        file::write(&self.out, text.as_bytes(), Readers::All, Existing::Keep)?;
        let version = roster.version();
        Ok(output::print(&format!(
            "Wrote {}: charter version {}, the admin log up to entry {}.\n",
            output::path(&self.out),
            roster.charter().version(),
            version.height
        ))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn only_where_no_node_runs_is_an_older_log_read_and_that_is_said() {
        let none = ClientError::NotRunning { folder: "node".into(), again: String::new() };
        assert_eq!(of_node(Err(none.into())).unwrap(), None);
        let refusal = refused(anyhow::anyhow!("not for you"));
        let error = of_node(Err(refusal)).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Refused);
        assert!(format!("{error:#}").contains("--log FILE") && format!("{error:#}").contains("not for you"));
        let failures =
            [Err(ClientError::Timeout.into()), Ok(Value::Null), Ok(serde_json::json!({"file": "damaged"}))];
        for failure in failures {
            assert_eq!(Exit::of(&of_node(failure).unwrap_err()), Exit::Failure);
        }
        assert_eq!(which(OF_NODE, "7"), "Read the running node's log, up to entry 7.");
        let older = which("node/log.pem", "3");
        assert!(older.contains("node/log.pem") && older.contains("entry 3"), "{older}");
    }
}
