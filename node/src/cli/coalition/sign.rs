//! `belfry coalition sign | order`: a decision of several admins, passed on as a file.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belfry_proto::{
    crypto::{hash, sign::Purpose},
    id::Serial,
    schema,
    trust::{
        file as armour,
        signed::{add_signature, none_ended},
        statement::{Decision, Statement},
    },
};
use clap::Args;

use super::{
    CoalitionFolder,
    decide::{append, check_admin, missing, waits},
    evidence::Evidence,
    folder::Folder,
    mend::mended,
    role_keys::RolePassphrases,
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
/// (the same name with .record.json) is shown and signed for with it; one that is not the statement's is refused.
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
/// Each is held to every rule again, all of them before the first goes in. One that the log overtook meanwhile is refused:
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

impl Sign {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.folder.open()?;
        let mut opened = Vec::with_capacity(self.statements.len());
        for path in &self.statements {
            let (statement, signed) = open(&folder, path)?;
            let evidence = Evidence::beside(path, &statement)?;
            output::print(&shown(&folder, &statement, evidence.as_ref()))?;
            opened.push((path, statement, signed));
        }
        if !self.yes {
            output::confirm("Sign this?", "--yes", "nothing was signed")?;
        }
        let admin = self.passphrases.open_admin(&folder.keys())?;
        check_admin(&folder, &admin)?;
        let public = admin.public();
        let has_signed =
            |signed: &schema::Signed| signed.signatures.iter().any(|s| s.key == public.as_bytes());
        if let Some((path, ..)) = opened.iter().find(|(_, _, signed)| has_signed(signed)) {
            refuse!("{} has this admin's signature already: pass it to another one", path.display());
        }
        for (path, statement, mut signed) in opened {
            add_signature(&mut signed, Purpose::Statement, folder.roster().coalition(), &admin);
            file::write(path, armour::write_statement(&signed).as_bytes(), Readers::All, Existing::Replace)?;
            let missing = missing(&folder, &statement, &signed)?;
            output::print(&format!("Signed {}. {}", output::path(path), waits(path, missing)))?;
        }
        Ok(())
    }
}

impl Order {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut folder = self.folder.open()?;
        // Before the passphrase is asked for.
        let mut waiting = Vec::with_capacity(self.statements.len());
        for path in &self.statements {
            match ordered_before(&folder, path)? {
                Some((entry, statement)) => {
                    output::print(&format!("{} is in the log already. ", output::path(path)))?;
                    output::print(&ordered(&folder, entry, &statement)?)?;
                }
                None => {
                    enough(&folder, path)?;
                    waiting.push(path);
                }
            }
        }
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
        for path in waiting {
            // An earlier one may have changed what this one builds on.
            let (statement, signed) = enough(&folder, path)?;
            let serial = append(&mut folder, signed, &registrar)?;
            output::print(&ordered(&folder, serial, &statement)?)?;
        }
        Ok(output::print(&format!("Bring the log to the members:\n{}", self.folder.bring()))?)
    }
}

/// What an entry did, and the certificate it made, if it did.
fn ordered(folder: &Folder, entry: Serial, statement: &Statement) -> anyhow::Result<String> {
    let (action, about) = described(folder.roster().charters(), statement);
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
        Some(void) => Err(mended(void.reason.clone())).with_context(|| {
            format!("{} is in the log as entry {}, and has no effect there", path.display(), void.height)
        }),
    }
}

/// A statement that holds to every rule and has every signature it needs.
fn enough(folder: &Folder, path: &Path) -> anyhow::Result<(Statement, schema::Signed)> {
    let (statement, signed) = open(folder, path)?;
    // A statement bears the date that its admins gave it; whether a key that ended since signed it in time, nobody can tell.
    none_ended(&signed, folder.roster().charter().admin_ends(), clock::now()).map_err(refused).with_context(|| {
        format!("{}: a decision has to be ordered while the time of its admins' keys runs; let others decide anew", path.display())
    })?;
    match missing(folder, &statement, &signed).with_context(|| path.display().to_string())? {
        0 => Ok((statement, signed)),
        missing => refuse!("{}: {}", path.display(), waits(path, missing).trim_end()),
    }
}

/// Reads a statement and holds it to the charter and the log here.
fn open(folder: &Folder, path: &Path) -> anyhow::Result<(Statement, schema::Signed)> {
    let name = || path.display().to_string();
    let signed = read(path, armour::read_statement)?;
    let statement = Statement::decode(&signed.payload).map_err(refused).with_context(name)?;
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
             take`), or decide again",
            path.display(),
            statement.charter_version,
            roster.charter().version()
        );
    }
    missing(folder, &statement, &signed).with_context(name)?;
    if let Err(reason) = roster.preview(&statement) {
        return Err(mended(reason)).with_context(|| {
            format!(
                "{} would have no effect on the log here (at entry {}): take a newer log first, or decide again",
                path.display(),
                roster.version().height
            )
        });
    }
    Ok((statement, signed))
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
