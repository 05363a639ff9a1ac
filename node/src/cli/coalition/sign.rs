//! `belfry coalition sign | order`: a decision of several admins, passed on as a file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use belfry_proto::{
    crypto::{hash, sign::Purpose},
    id::Serial,
    schema,
    trust::{
        file as armour,
        log::LogError,
        roster::VoidReason,
        signed::{add_signature, none_ended},
        statement::{Decision, Statement},
    },
};
use clap::Args;

use super::{
    CoalitionFolder,
    decide::{append, check_admin, missing},
    evidence::Evidence,
    folder::Folder,
    mend::{at, mended_at},
    role_keys::RolePassphrases,
    waiting::{Waits, issued},
};
use crate::{
    cli::{
        args::day,
        decision::{described, stated},
        exit::{refuse, refused},
        output,
    },
    clock,
    keys::{
        enrolment::read,
        file::{self, Existing, Readers},
    },
};

/// Sign a decision of another admin.
///
/// The charter says how many admins an action needs. Whoever decides first leaves a statement file; the others look at
/// it here, against a log of their own (`belfry coalition take` brings it up to date), and sign. The decision record beside it
/// (the same name with .record.json) is shown and signed for with it; one that is not the statement's is refused. Where a
/// decision builds on another one that waits, sign both in one go.
#[derive(Debug, Args)]
pub(in crate::cli) struct Sign {
    /// Statement files
    #[arg(required = true)]
    statements: Vec<PathBuf>,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

/// Order signed decisions into the log, as the registrar.
///
/// Each is held to every rule again, one behind the other and all of them before the first goes in: all of them, or none. One
/// that builds on another goes in behind it, in whatever order they are named. One that the log overtook meanwhile is refused:
/// it has to be decided anew. One that is in the log already stays as it is, and its certificate is written again; where it
/// has no effect there, that is said and refused.
#[derive(Debug, Args)]
pub(in crate::cli) struct Order {
    /// Statement files that enough admins signed, in the order they shall take effect
    #[arg(required = true)]
    statements: Vec<PathBuf>,
    #[command(flatten)]
    folder: CoalitionFolder,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

/// A statement out of a file, of this coalition and of the charter in force.
struct Opened<'a> {
    path: &'a Path,
    statement: Statement,
    signed: schema::Signed,
    /// Admins that must still sign.
    missing: usize,
}

impl Sign {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.folder.open()?;
        let mut opened = Vec::with_capacity(self.statements.len());
        for path in &self.statements {
            match ordered_before(&folder, path)? {
                Some((entry, _)) => output::print(&format!(
                    "{} is in the log already, as entry {entry}.\n",
                    output::path(path)
                ))?,
                None => opened.push(open(&folder, path)?),
            }
        }
        let opened = in_turn(&folder, opened)?;
        if opened.is_empty() {
            return Ok(output::print("Nothing is left to sign.\n")?);
        }
        for one in &opened {
            let evidence = Evidence::beside(one.path, &one.statement)?;
            output::print(&shown(&folder, &one.statement, evidence.as_ref()))?;
        }
        if !self.yes {
            output::confirm("Sign this?", "--yes", "nothing was signed")?;
        }
        let admin = self.passphrases.open_admin(&folder.keys())?;
        check_admin(&folder, &admin)?;
        let public = admin.public();
        let has_signed =
            |signed: &schema::Signed| signed.signatures.iter().any(|s| s.key == public.as_bytes());
        if let Some(one) = opened.first().filter(|_| opened.iter().all(|one| has_signed(&one.signed))) {
            refuse!("{} has this admin's signature already: pass it to another one", one.path.display());
        }
        let mut left = None::<Waits>;
        for Opened { path, statement, mut signed, .. } in opened {
            // One that another of them builds on may be here for that alone.
            if has_signed(&signed) {
                output::print(&format!("{} has this admin's signature already.\n", output::path(path)))?;
            } else {
                add_signature(&mut signed, Purpose::Statement, folder.roster().coalition(), &admin);
                let text = armour::write_statement(&signed);
                file::write(path, text.as_bytes(), Readers::All, Existing::Replace)?;
                output::print(&format!("Signed {}.\n", output::path(path)))?;
            }
            let waits = Waits::of(path, missing(&folder, &statement, &signed)?, &statement.decision);
            left = Some(match left {
                Some(earlier) => earlier.and(waits),
                None => waits,
            });
        }
        if let Some(waits) = left {
            output::print(&waits.told(&self.folder.again()))?;
        }
        Ok(())
    }
}

impl Order {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut folder = self.folder.open()?;
        // Before the passphrase is asked for, and before the first goes in.
        let mut waiting = Vec::with_capacity(self.statements.len());
        for path in &self.statements {
            match ordered_before(&folder, path)? {
                Some((entry, statement)) => {
                    output::print(&format!("{} is in the log already. ", output::path(path)))?;
                    output::print(&ordered(&folder, entry, &statement)?)?;
                }
                None => {
                    let one = open(&folder, path)?;
                    enough(&folder, &one)?;
                    waiting.push(one);
                }
            }
        }
        let waiting = in_turn(&folder, waiting)?;
        if waiting.is_empty() {
            return Ok(output::print("Nothing is left to order.\n")?);
        }
        let registrar = self.passphrases.open_registrar(&folder.keys())?;
        if registrar.public() != folder.roster().charter().registrar() {
            refuse!(
                "{} is not the registrar of charter version {}: --registrar-key names another key file",
                registrar.public(),
                folder.roster().charter().version()
            );
        }
        for Opened { statement, signed, .. } in waiting {
            let serial = append(&mut folder, signed, &registrar)?;
            output::print(&ordered(&folder, serial, &statement)?)?;
        }
        Ok(output::print(&format!("Bring the log to the members:\n{}", self.folder.bring()))?)
    }
}

/// What an entry did, and the certificate it made, if it did.
fn ordered(folder: &Folder, entry: Serial, statement: &Statement) -> anyhow::Result<String> {
    let roster = folder.roster();
    let (action, about) = described(roster.charters(), Some(roster), statement);
    let mut text = format!("Entry {entry}: {action}, {}\n", output::visible(&about));
    if matches!(statement.decision, Decision::Issue(_) | Decision::Supersede(_)) {
        let path = folder.write_certificate(entry, None)?;
        text += &format!("Give the member {}, and the log.\n", output::path(&path));
    }
    Ok(text)
}

/// The entry that ordered the statement in a file, if one did: a run that was interrupted is repeated as it was. One that
/// took no effect, say because a new charter came first, is not done.
fn ordered_before(folder: &Folder, path: &Path) -> anyhow::Result<Option<(Serial, Statement)>> {
    let signed = read(path, armour::read_statement)?;
    let id = hash::statement_id(folder.roster().coalition(), &signed.payload);
    let roster = folder.roster();
    let void = |height| roster.voids().iter().find(|void| void.height == height);
    let mut voids = Vec::new();
    for record in roster.records().filter(|record| record.statement.id == id) {
        match void(record.height) {
            None => return Ok(Some((Serial::new(record.height.get()), record.statement.clone()))),
            Some(void) => voids.push(void),
        }
    }
    match voids.first() {
        None => Ok(None),
        Some(void) => Err(mended_at(&folder.again(), void.reason.clone())).with_context(|| {
            format!("{} is in the log as entry {}, and has no effect there", path.display(), void.height)
        }),
    }
}

/// Refuses a statement that lacks a signature, or has one that is too late.
fn enough(folder: &Folder, one: &Opened<'_>) -> anyhow::Result<()> {
    // A statement bears the date that its admins gave it; whether a key that ended since signed it in time, nobody can tell.
    none_ended(&one.signed, folder.roster().charter().admin_ends(), clock::now()).map_err(refused).with_context(|| {
        format!("{}: a decision has to be ordered while the time of its admins' keys runs; let others decide anew", one.path.display())
    })?;
    match one.missing {
        0 => Ok(()),
        missing => {
            let waits = Waits::of(one.path, missing, &one.statement.decision).told(&folder.again());
            refuse!("{}: {}", one.path.display(), waits.trim_end())
        }
    }
}

/// Reads a statement and holds it to the charter here.
fn open<'a>(folder: &Folder, path: &'a Path) -> anyhow::Result<Opened<'a>> {
    let name = || path.display().to_string();
    let signed = read(path, armour::read_statement)?;
    let statement = Statement::decode(&signed.payload)
        .map_err(|error| mended_at(&folder.again(), LogError::from(error)))
        .with_context(name)?;
    let roster = folder.roster();
    if statement.coalition != roster.coalition() {
        refuse!(
            "{} is of another coalition ({}): name that one's folder with --dir",
            path.display(),
            statement.coalition
        );
    }
    if statement.charter_version != roster.charter().version() {
        refuse!(
            "{} was made under charter version {}, and version {} is in force here: take the newer log (`belfry coalition \
             take{}`), or decide again",
            path.display(),
            statement.charter_version,
            roster.charter().version(),
            folder.again()
        );
    }
    let missing = missing(folder, &statement, &signed).with_context(name)?;
    Ok(Opened { path, statement, signed, missing })
}

/// Holds statements to the log here, one behind the other, and gives them in the order in which all of them take effect:
/// the one in which they are named, except that one which builds on another of them follows it.
fn in_turn<'a>(folder: &Folder, mut left: Vec<Opened<'a>>) -> anyhow::Result<Vec<Opened<'a>>> {
    let mut ahead = folder.roster().ahead();
    let mut turn: Vec<Opened<'a>> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let builds_on = |one: &Opened<'_>, other: &Opened<'_>| {
            !one.statement.is_removal() && one.statement.previous == Some(other.statement.id)
        };
        // No chain of hashes ends in itself, so there is always one.
        let next = left.iter().position(|one| !left.iter().any(|other| builds_on(one, other))).unwrap_or(0);
        let one = left.remove(next);
        if let Err(reason) = ahead.take(&one.statement) {
            let error = overtaken(folder, &turn, &one, reason);
            return Err(match without(folder, turn.iter().chain(&left)) {
                Some(others) => error.context(format!("{}: {others}", one.path.display())),
                None => error,
            });
        }
        turn.push(one);
    }
    Ok(turn)
}

/// Which of the other files would go in without the one that is refused, what takes away before all else: an emergency is
/// not held back by what came with it.
fn without<'t, 'a: 't>(folder: &Folder, others: impl Iterator<Item = &'t Opened<'a>>) -> Option<String> {
    let (mut left, later): (Vec<&Opened<'_>>, Vec<&Opened<'_>>) =
        others.partition(|one| one.statement.is_removal());
    left.extend(later);
    let (mut ahead, mut paths) = (folder.roster().ahead(), Vec::new());
    loop {
        let before = left.len();
        left.retain(|one| match ahead.take(&one.statement) {
            Ok(()) => {
                paths.push(output::path(one.path));
                false
            }
            Err(_) => true,
        });
        if left.len() == before {
            break;
        }
    }
    let paths = paths.join(" ");
    (!paths.is_empty()).then(|| {
        format!(
            "all of the files or none; without this one there go in, in this order, removals first: {paths}"
        )
    })
}

/// Why a statement would have no effect behind those before it, and what to do.
fn overtaken(folder: &Folder, before: &[Opened<'_>], one: &Opened<'_>, reason: VoidReason) -> anyhow::Error {
    let (roster, again, path) = (folder.roster(), folder.again(), one.path.display());
    let decided = |other: &Statement| keys(other) == keys(&one.statement);
    let twice = "there is a certificate for this very request: nothing is left to do, leave this file out and delete it";
    match (reason, one.statement.previous) {
        (VoidReason::KeyReused, _) if roster.records().any(|record| decided(&record.statement)) => {
            refused(anyhow!("{path} was overtaken: {twice}"))
        }
        (VoidReason::KeyReused, _) => match before.iter().find(|other| decided(&other.statement)) {
            Some(other) => refused(anyhow!(
                "{path} and {} are of one request, which gets one certificate: leave one of them out, and delete it",
                other.path.display()
            )),
            None => mended_at(&again, VoidReason::KeyReused),
        },
        (VoidReason::NotLatest, Some(previous))
            if roster.records().all(|record| record.statement.id != previous)
                && before.iter().all(|other| other.statement.id != previous) =>
        {
            let id: String = previous.to_string().chars().take(12).collect();
            let mend = at("take the newer log (`belfry coalition take`)", &again);
            refused(anyhow!(
                "{path} builds on another statement, which is neither in the log here (at entry {}) nor among the files \
                 named: name that file, too (its name ends in {id}.pem), or {mend}, or decide again",
                roster.version().height
            ))
        }
        (reason, _) => {
            let behind = if before.is_empty() { "" } else { ", behind the other files" };
            mended_at(&again, reason).context(format!(
                "{path} would have no effect on the log here (at entry {}{behind}): take a newer log first, or decide again",
                roster.version().height
            ))
        }
    }
}

/// The keys that a statement certifies.
fn keys(statement: &Statement) -> Option<&schema::MemberKeys> {
    issued(&statement.decision)?.keys.as_ref()
}

/// What its nonce was drawn from.
fn recorded(evidence: Option<&Evidence>) -> String {
    let Some(evidence) = evidence else {
        return "none beside the file: if there is one, what it says cannot be seen here".to_owned();
    };
    let since = evidence.member_since.map(|since| format!("member since {}", day(since)));
    let told = Some(evidence.told()).filter(|told| !told.is_empty());
    told.into_iter().chain(since).collect::<Vec<_>>().join(", ")
}

/// What an admin signs, in words: all that it says.
fn shown(folder: &Folder, statement: &Statement, evidence: Option<&Evidence>) -> String {
    let mut facts = stated(folder.roster(), statement);
    facts.push(("decision record", recorded(evidence)));
    output::facts(&facts)
}
