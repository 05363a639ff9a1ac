//! `belfry config check`: would `belfry run` start? One line for each thing it needs, with the mend where not.
//!
//! Only what keeps a node from starting is wrong. What it starts with all the same, and lives with until it is mended (a full
//! disk, a certificate that has ended, a store that it heals), is warned of: a unit that runs this first must not be the one
//! thing that keeps a node down.
//!
//! Nothing is changed, nothing is asked: where the passphrase comes from the terminal, the key files are only
//! looked at. Checks go on after one that fails, so that one run tells all that is to be mended.

mod ports;

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use belfry_proto::{
    schema::{LogFile, Record, Signed},
    trust::{
        file as armour,
        roster::{Roster, Standing},
    },
};
use clap::Args;
use prost::Message as _;

use super::{
    args::day,
    global::{DataFolder, Global},
    output,
};
use crate::{
    backup::STORE,
    clock,
    config::{Config, DEFAULT_PATH, Guards, Lists},
    keys::{
        self, MemberKeys, Passphrase, Source,
        enrolment::{certified, fold, read, read_charters, verify},
        file::{self, FileError},
    },
    query::lists,
    sources::Sources,
    space::{FileSystemOf, Probe as _},
    store::{AdminRows, OpenError, Store, Version},
};

/// As the daemon needs it.
const OK: &str = "ok";
/// The daemon starts, and does less than it should.
const WARN: &str = "WARN";

/// Bytes of a Unix socket's path, its terminating zero included (`sockaddr_un`).
const MAX_SOCKET_PATH: usize = 108;

/// Check the configuration and everything it names.
///
/// Says whether `belfry run` would start, and what to mend if not: data folder, passphrase, key files, charter,
/// certificate, ports. A line that begins with WARN keeps no node from starting. Changes nothing. Run it as the user that
/// runs the node.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Only the file itself, not what it names
    #[arg(long)]
    file_only: bool,
    #[command(flatten)]
    data: DataFolder,
}

impl Check {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.config(&self.data)?;
        let origin = match &global.config {
            Some(path) => path.display().to_string(),
            None if Path::new(DEFAULT_PATH).exists() => DEFAULT_PATH.to_owned(),
            None => format!("defaults, as there is no {DEFAULT_PATH}"),
        };
        let mut report = Report::default();
        report.add("configuration", Ok(origin));
        if !self.file_only {
            let source = Source::choose(None, &config.keys);
            let passphrase = passphrase(&source, &config);
            let (verdict, said) = data_folder(&config);
            report.add_as(verdict, "data folder", said);
            report.add("passphrase", passphrase.as_ref().map(|found| found.1.clone()).map_err(told));
            // Without the folder, nothing that lies in it is worth a line.
            if config.node.data_dir.is_dir() {
                let keys = key_files(&config, passphrase.ok().and_then(|found| found.0));
                report.add("key files", keys.as_ref().map(|found| found.1.clone()).map_err(told));
                let (verdict, said) = membership(&config, keys.ok().and_then(|found| found.0));
                report.add_as(verdict, "membership", said);
                report.add("API socket", api_socket(&config));
                if let Some((verdict, said)) = store(&config) {
                    report.add_as(verdict, "store", said);
                }
            }
            let (verdict, said) = ports::ports(&config, global, &self.data);
            report.add_as(verdict, "ports", said);
            if config.guards != Guards::default() {
                report.add("guards", guards(&config));
            }
            if config.lists != Lists::default() {
                report.add("lists", lists(&config));
            }
            if !config.exports.is_empty() {
                report.add("exports", exports(&config));
            }
            if !config.sources.is_empty() {
                report.add("sources", sources(&config));
            }
        }
        output::print(&report.text)?;
        match report.wrong {
            0 => Ok(()),
            1 => bail!("1 thing is to be mended before `belfry run{}`", config.again),
            n => bail!("{n} things are to be mended before `belfry run{}`", config.again),
        }
    }
}

/// An error once more, for one that is needed twice.
fn told(error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!(output::chain(error))
}

#[derive(Default)]
struct Report {
    text: String,
    wrong: usize,
}

impl Report {
    fn add(&mut self, what: &str, found: anyhow::Result<String>) {
        self.add_as(OK, what, found);
    }

    /// [`Self::add`], where what is found has another verdict than "ok".
    fn add_as(&mut self, verdict: &str, what: &str, found: anyhow::Result<String>) {
        let (verdict, said) = match found {
            Ok(said) => (verdict, output::visible(&said)),
            Err(error) => {
                self.wrong += 1;
                ("WRONG", output::chain(&error))
            }
        };
        let _ = writeln!(self.text, "{verdict:<5}  {what:<13}  {said}");
    }
}

/// A line's verdict, and what it says.
type Found = (&'static str, anyhow::Result<String>);

/// Whether this belfry opens the database, and what it does to it first; `None` if there is none yet.
fn store(config: &Config) -> Option<Found> {
    let said = match Store::version(&config.node.data_dir.join(STORE)).transpose()? {
        Ok(Version::Current) => return Some(current(&admin_rows(config))),
        Ok(Version::Older { from, to }) => Ok(format!(
            "of version {from}: the next start migrates it to {to}, which older releases do not open; make a backup first"
        )),
        Err(error) if error.is_damage() => {
            return Some((WARN, Ok(format!("does not read: {error}; the next start tries to heal it"))));
        }
        Err(error) => Err(error.into()),
    };
    Some((OK, said))
}

/// Of a store of our version, by a look at its log.
fn current(log: &Result<AdminRows, OpenError>) -> Found {
    let said = "of this belfry's version";
    match log {
        Ok(_) => (OK, Ok(said.to_owned())),
        Err(error) => (
            WARN,
            Ok(format!(
                "{said}; its admin log could not be looked at, so membership is told by log.pem alone: {error}"
            )),
        ),
    }
}

fn guards(config: &Config) -> anyhow::Result<String> {
    config.guards.own()?;
    Ok(format!("{} own values, {} terms", config.guards.own.len(), config.guards.terms.len()))
}

fn lists(config: &Config) -> anyhow::Result<String> {
    let loaded = lists::Lists::open(config.lists.clone())?.current();
    Ok(format!("{} allowed, {} warning lists", config.lists.allow.len(), loaded.warnings.count()))
}

fn data_folder(config: &Config) -> Found {
    match usable(config) {
        Ok((shown, free)) if free < config.store.free_space_floor => (
            WARN,
            Ok(format!(
                "{shown} has {} MiB free, below store.free_space_floor ({} MiB): the node only reads until there is room",
                free >> 20,
                config.store.free_space_floor >> 20
            )),
        ),
        Ok((shown, free)) => (OK, Ok(format!("{shown}, writable, {} MiB free", free >> 20))),
        Err(error) => (OK, Err(error)),
    }
}

/// The folder, and how many bytes are free there, if a node can live in it.
fn usable(config: &Config) -> anyhow::Result<(String, u64)> {
    let folder = &config.node.data_dir;
    let shown = folder.display();
    ensure!(folder.exists(), "{shown} is not there: {}, or mend node.data_dir", enrolling(config));
    ensure!(folder.is_dir(), "{shown} is not a folder: mend node.data_dir");
    let probe = folder.join(format!(".check-{:016x}", rand::random::<u64>()));
    fs::File::create_new(&probe).and_then(|_| fs::remove_file(&probe)).with_context(|| {
        format!("{shown} cannot be written: give it to the user that runs belfry (chown)")
    })?;
    Ok((shown.to_string(), FileSystemOf::new(folder).free()?))
}

/// The command that makes a data folder, named as this one was.
fn enrolling(config: &Config) -> String {
    format!(
        "`belfry enroll --charter FILE --org NAME --class CLASSES --groups GROUPS{}` makes it",
        config.again
    )
}

/// The passphrase, where nobody has to be asked for it, and where it comes from.
fn passphrase(source: &Source, config: &Config) -> anyhow::Result<(Option<Passphrase>, String)> {
    let (path, mend) = match source {
        Source::File(path) => (
            path,
            "write the passphrase into its first line and close it (chmod 600), or mend keys.passphrase_file",
        ),
        Source::Credential(path) => (path, "mend LoadCredentialEncrypted= in the unit"),
        Source::Prompt => {
            let name = &config.keys.credential;
            return Ok((
                None,
                format!(
                    "asked for at the terminal; a service needs keys.passphrase_file or the systemd credential {name:?}"
                ),
            ));
        }
    };
    let read = source.read("this node's keys").map_err(anyhow::Error::from).map_err(|e| mended(&e, mend))?;
    Ok((Some(read), path.display().to_string()))
}

/// An error, and what to do; errors that say so themselves are left as they are.
fn mended(error: &anyhow::Error, mend: &str) -> anyhow::Error {
    let says_so = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(FileError::Open { .. })));
    let said = output::chain(error);
    if says_so { anyhow::anyhow!(said) } else { anyhow::anyhow!("{said}: {mend}") }
}

/// This node's keys, if there is a passphrase to open them with.
fn key_files(
    config: &Config,
    passphrase: Option<Passphrase>,
) -> anyhow::Result<(Option<MemberKeys>, String)> {
    let folder = keys::DataFolder::new(&config.node.data_dir);
    ensure!(
        folder.keys().exists(),
        "{} is not there: {}, `belfry backup restore FOLDER{}` brings it back",
        folder.keys().display(),
        enrolling(config),
        config.again
    );
    for path in MemberKeys::files(&folder.keys()) {
        let mend = format!(
            "bring it back with `belfry backup restore FOLDER{}`, or enrol anew in another data folder",
            config.again
        );
        file::read_secret(&path).map_err(anyhow::Error::from).map_err(|e| mended(&e, &mend))?;
    }
    let shown = folder.keys().display().to_string();
    match passphrase {
        None => {
            Ok((None, format!("{shown}, there and closed to others; not opened, for want of the passphrase")))
        }
        Some(passphrase) => {
            let keys = MemberKeys::load(&folder.keys(), &passphrase)?;
            Ok((Some(keys), format!("{shown}, opened")))
        }
    }
}

/// The files of joining, as a start verifies them, and what the admin log at hand says of the certificate today.
fn membership(config: &Config, keys: Option<MemberKeys>) -> Found {
    match joined(config, keys.as_ref()) {
        Ok((Standing::Valid | Standing::NotYet, said)) => (OK, Ok(said)),
        Ok((_, said)) => (
            WARN,
            Ok(format!(
                "{said}: the node starts, and others admit it no more; ask the coalition for another certificate, or bring a \
                 newer log (`belfry import-log FILE{}`)",
                config.again
            )),
        ),
        Err(error) => (OK, Err(error)),
    }
}

fn joined(config: &Config, keys: Option<&MemberKeys>) -> anyhow::Result<(Standing, String)> {
    let folder = keys::DataFolder::of(config);
    folder.joined()?;
    let given = || {
        let pinned = read_charters(&folder.charter())?.coalition();
        let record = read(&folder.certificate(), armour::read_certificate)?;
        let log = read(&folder.log(), armour::read_log)?;
        match keys {
            Some(keys) => verify(pinned, &log, &record, &keys.public()),
            None => certified(pinned, &log, &record),
        }
    };
    let mend = format!(
        "take up certificate and log again, as the coalition gives them: `belfry join CERTIFICATE --log FILE{}`",
        config.again
    );
    let (_, given) = given().map_err(anyhow::Error::from).map_err(|e| mended(&e, &mend))?;
    let roster = roster_at_hand(config)?;
    // As it is today: renewed, it ends later than when it was issued.
    let certificate = roster.certificate(given.serial).unwrap_or(&given);
    let standing = roster.standing(certificate.serial, clock::now());
    let of = format!(
        "certificate {} of {} in {}",
        certificate.serial,
        certificate.organisation.name,
        roster.charter().name()
    );
    let keys = if keys.is_some() { ", for these keys" } else { "" };
    let said = match standing {
        Standing::Valid | Standing::NotYet => {
            format!("{of}, {} until {}{keys}", standing.as_str(), day(certificate.not_after))
        }
        Standing::Expired => format!("{of}, expired on {}{keys}", day(certificate.not_after)),
        Standing::Suspended | Standing::Revoked | Standing::Superseded | Standing::Unknown => {
            format!("{of}, {}{keys}", standing.as_str())
        }
    };
    Ok((standing, said))
}

/// The admin log in the store. A running node may change files between two looks of ours at them: so there is a second try.
fn admin_rows(config: &Config) -> Result<AdminRows, OpenError> {
    let path = config.node.data_dir.join(STORE);
    Store::admin_rows(&path).or_else(|_| Store::admin_rows(&path))
}

/// The roster that a start begins with: what the store holds, gone on from what was given at joining.
fn roster_at_hand(config: &Config) -> anyhow::Result<Roster> {
    let given = read(&keys::DataFolder::of(config).log(), armour::read_log)?;
    // One that does not read has a line of its own.
    let stored = admin_rows(config).unwrap_or_default();
    let charters = stored.charters.iter().map(|bytes| Signed::decode(bytes.as_slice()));
    let records = stored.records.iter().map(|bytes| Record::decode(bytes.as_slice()));
    let mut log = LogFile {
        charters: charters.collect::<Result<_, _>>().context("the charters in the store")?,
        records: records.collect::<Result<_, _>>().context("the admin log in the store")?,
    };
    let held = (log.charters.len(), log.records.len());
    log.charters.extend(given.charters.into_iter().skip(held.0));
    log.records.extend(given.records.into_iter().skip(held.1));
    fold(&log).context("the admin log in the store, gone on from log.pem")
}

/// Sources name groups, too, and folders and secrets.
fn sources(config: &Config) -> anyhow::Result<String> {
    Sources::check(&config.sources)?;
    let roster = known(config)?;
    for source in &config.sources {
        let groups = std::slice::from_ref(&source.group);
        known_groups(roster.as_ref(), &format!("source {:?}", source.name), groups)?;
    }
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    Ok(names.join(", "))
}

/// Profiles name groups, which the charter at hand has or has not.
fn exports(config: &Config) -> anyhow::Result<String> {
    let roster = known(config)?;
    for export in &config.exports {
        known_groups(roster.as_ref(), &format!("export {:?}", export.name), &export.groups)?;
    }
    let names: Vec<&str> = config.exports.iter().map(|export| export.name.as_str()).collect();
    Ok(names.join(", "))
}

/// The roster at hand, once there is one.
fn known(config: &Config) -> anyhow::Result<Option<Roster>> {
    keys::DataFolder::of(config).log().exists().then(|| roster_at_hand(config)).transpose()
}

fn known_groups(roster: Option<&Roster>, whose: &str, groups: &[String]) -> anyhow::Result<()> {
    if let Some(roster) = roster {
        let charter = roster.charter();
        if let Some(group) = groups.iter().find(|group| charter.group_by_slug(group).is_none()) {
            let known: Vec<&str> = charter.groups().iter().map(|group| group.slug.as_str()).collect();
            bail!(
                "{whose} is of the group {group:?}, which the charter does not have: it has {}",
                known.join(", ")
            );
        }
    }
    Ok(())
}

fn api_socket(config: &Config) -> anyhow::Result<String> {
    let path = config.api_socket();
    let shown = path.display();
    let len = path.as_os_str().len();
    ensure!(
        len < MAX_SOCKET_PATH,
        "{shown} has {len} bytes, and a socket's path at most {}: set api.socket to a shorter one",
        MAX_SOCKET_PATH - 1
    );
    let folder = path.parent().unwrap_or(Path::new("."));
    ensure!(folder.is_dir(), "{} is not a folder: make it, or mend api.socket", folder.display());
    Ok(shown.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_whose_log_cannot_be_looked_at_is_warned_of_and_not_passed_over() {
        let found = current(&Err(OpenError::OtherOwner { path: "store".into() }));
        assert!(matches!(found, (WARN, Ok(said)) if said.contains("log.pem alone")));
        assert!(matches!(current(&Ok(AdminRows::default())), (OK, Ok(_))));
    }
}
