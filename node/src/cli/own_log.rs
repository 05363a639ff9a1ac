//! Where a member's commands get the admin log: the file that is named, else the running node, else the data folder.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belfry_proto::{
    schema::LogFile,
    trust::{certificate::Certificate, file as armour, roster::Roster},
};
use clap::Args;
use serde_json::Value;

use super::{
    exit::{refuse, refused},
    global::{DataFolder, Global},
    output,
    verify::{Pin, roster},
};
use crate::keys::{
    self, MemberKeys, Passphrase,
    enrolment::{certified, fold, read, read_charters},
    file::{self, Existing, Readers},
};

/// Which log.
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
                OwnLog { log: None }
                    .open(global, &self.data)
                    .context("no --log FILE is given, and this machine has no node's")?
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
        let folder = keys::DataFolder::new(&global.config(data)?.node.data_dir);
        if !folder.certificate().exists() {
            return Err(keys::EnrolmentError::NotJoined(folder.path().to_owned()).into());
        }
        let pinned = read_charters(&folder.charter())?.coalition();
        let record = read(&folder.certificate(), armour::read_certificate)?;
        let (log, from) = match &self.log {
            Some(path) => (read(path, armour::read_log)?, path.display().to_string()),
            None => match of_node(global, data) {
                Some(log) => (log, "the running node's log".to_owned()),
                None => (read(&folder.log(), armour::read_log)?, folder.log().display().to_string()),
            },
        };
        let (roster, certificate) =
            certified(pinned, &log, &record).map_err(refused).with_context(|| from)?;
        Ok(Own { roster, certificate })
    }
}

/// The running node's log; nothing if none runs.
fn of_node(global: &Global, data: &DataFolder) -> Option<LogFile> {
    let answer = global.client(data).ok()?.get("/api/v1/log").ok()?;
    armour::read_log(answer.get("file").and_then(Value::as_str)?).ok()
}

impl Own {
    /// The node's keys, if they are the certificate's.
    pub(super) fn keys(&self, folder: &Path, passphrase: &Passphrase) -> anyhow::Result<MemberKeys> {
        let keys = MemberKeys::load(folder, passphrase)?;
        if keys.signing.public() != self.certificate.signing {
            refuse!(
                "the keys in {} are not those of certificate {}",
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
