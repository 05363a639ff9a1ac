//! From a decision to a durable entry of the log: stated, held to every rule, signed, ordered, appended.
//!
//! ```text
//! decision ──▶ statement ──preview──▶ signed by an admin ──┬─ enough, and the registrar is here ──▶ entry
//!             what waits about it ──┘                      └─ else a file: sign, sign … ──▶ order ──▶ entry
//! ```
//!
//! Nothing is signed that the log would not take: a void statement would stand in it for ever and do nothing.

use std::path::{Path, PathBuf};

use belfry_proto::{
    crypto::sign::{Purpose, SigningKey},
    id::{Height, MemberId, Serial},
    schema::{self, Action},
    time::Timestamp,
    trust::{
        certificate::Certificate,
        file as armour,
        log::order,
        names::Named as _,
        roster::VoidReason,
        signed::{none_ended, sign, valid_signers},
        statement::{self, Decision, Statement, Subject},
    },
};

use super::{
    evidence::Evidence,
    folder::Folder,
    mend::mended_at,
    role_keys::RolePassphrases,
    waiting::{self, Ground, Waiting, Waits, built_on, left_out},
};
use crate::{
    cli::{
        args::second,
        exit::{refuse, refused},
        output,
    },
    clock,
    keys::file::{self, Existing, Readers},
};

/// What became of a decision.
pub(super) enum Decided {
    /// It is in the log, at this height; an issue's serial.
    Ordered(Serial),
    /// It waits in a file for other admins, or for the registrar.
    Waiting(Waits),
}

/// Where a decision is signed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Already {
    /// In this entry of the log.
    Entry(Height),
    /// In files that wait.
    Waits(Waits),
}

impl Already {
    /// The file that waits; what goes in before it comes before it.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Entry(_) => None,
            Self::Waits(waits) => waits.paths.last().map(PathBuf::as_path),
        }
    }
}

/// The keys that decide here, opened once for any number of decisions.
pub(super) struct Deciders {
    admin: SigningKey,
    /// Not every admin is the registrar.
    registrar: Option<SigningKey>,
}

impl Deciders {
    /// Opens the admin's key, and the registrar's where it is here; both must be the charter's.
    pub(super) fn open(folder: &Folder, passphrases: &RolePassphrases) -> anyhow::Result<Self> {
        let (admin, registrar) = passphrases.open_deciders(&folder.keys())?;
        let charter = folder.roster().charter();
        check_admin(folder, &admin)?;
        if let Some(registrar) = registrar.as_ref().filter(|key| key.public() != charter.registrar()) {
            refuse!(
                "the registrar key here is {}, and charter version {} names {}: put that key at keys/registrar.pem, or \
                 take the old one away and let the registrar order the decision",
                registrar.public(),
                charter.version(),
                charter.registrar()
            );
        }
        Ok(Self { admin, registrar })
    }
}

/// An admin's key must be the charter's: with any other the decision would be refused everywhere.
pub(super) fn check_admin(folder: &Folder, admin: &SigningKey) -> anyhow::Result<()> {
    let charter = folder.roster().charter();
    if !charter.admins().contains(&admin.public()) {
        refuse!(
            "{} is no admin key of charter version {}: `belfry coalition charter show` lists them, and --admin-key names \
             another key file",
            admin.public(),
            charter.version()
        );
    }
    if let Some(end) = charter.admin_ends().get(&admin.public()).filter(|end| **end <= clock::now()) {
        refuse!(
            "the time of admin key {} ended on {end}, by charter version {}: what it signs is refused everywhere. Let another \
             admin decide; a new charter version gives the key a later date (keys.admins_until in the draft), or names another",
            admin.public(),
            charter.version()
        );
    }
    Ok(())
}

/// A decision in the bytes that are signed, held to every rule.
pub(super) struct Proposed {
    payload: Vec<u8>,
    statement: Statement,
    /// Files that wait, and go in before it.
    before: Vec<PathBuf>,
}

/// States a decision about a member and holds it to every rule, before anything is signed. `goes_in` is whether the
/// registrar's key is here: then it is in the log at once, as far as one admin is enough.
pub(super) fn propose(
    folder: &Folder,
    goes_in: bool,
    member: MemberId,
    decision: Decision,
) -> anyhow::Result<Proposed> {
    let is_last = is_last(folder, goes_in, &decision);
    if !is_last {
        tell_left_out(folder, member);
    }
    let proposed = propose_with(folder, goes_in, member, decision, &Evidence::default())?;
    let voided = match is_last {
        true => Ground::voided(folder, member, &proposed.statement),
        false => Vec::new(),
    };
    if !voided.is_empty() {
        let paths: Vec<String> = voided.iter().map(|path| output::path(path)).collect();
        output::warn(&format!(
            "it goes in at once, and what waits about this member will have no effect then: {}. What of it shall hold is decided \
             anew, after this",
            paths.join(", ")
        ));
    }
    Ok(proposed)
}

/// Says which files about a member nothing builds on any more, and what to do about them.
fn tell_left_out(folder: &Folder, member: MemberId) {
    let again = folder.again();
    for (one, entry) in left_out(folder, member) {
        if !folder.is_left_out_anew(&one.path) {
            continue;
        }
        let path = output::path(&one.path);
        let others: Vec<String> =
            built_on(folder, one.statement.id).iter().map(|other| output::path(&other.path)).collect();
        let others = match others.is_empty() {
            true => String::new(),
            false => format!(", nor what builds on it ({}), which has to be decided anew", others.join(", ")),
        };
        output::warn(&format!(
            "{path} is left out ({}, {}): entry {entry} of the log was decided about that certificate since, so this decision does not \
             build on it{others}. Delete it; or, if it shall hold all the same, have it ordered by itself: `belfry coalition order \
             {path}{again}`.",
            Action::name(one.statement.action()),
            dated(&one.statement)
        ));
    }
}

/// Whether a decision is in the log at once: the registrar's key is here, and one admin is enough.
fn is_last(folder: &Folder, goes_in: bool, decision: &Decision) -> bool {
    goes_in && folder.roster().charter().threshold(statement::action(decision)) <= 1
}

/// The same, tied to what is kept of it.
fn propose_with(
    folder: &Folder,
    goes_in: bool,
    member: MemberId,
    decision: Decision,
    evidence: &Evidence,
) -> anyhow::Result<Proposed> {
    let roster = folder.roster();
    let (coalition, charter) = (roster.coalition(), roster.charter());
    let mut ground = match is_last(folder, goes_in, &decision) || statement::is_removal(&decision) {
        true => Ground::log(folder),
        false => Ground::waiting(folder, member),
    };
    let previous = ground.ahead.latest(member);
    let nonce = evidence.nonce(coalition);
    let payload =
        statement::propose_with(coalition, decision, previous, charter.version(), clock::now(), nonce);
    let statement = Statement::decode(&payload).map_err(refused)?;
    if let Err(reason) = ground.ahead.take(&statement) {
        return Err(beside_what_waits(folder, &ground, reason));
    }
    Ok(Proposed { before: ground.before(&statement), payload, statement })
}

/// Why a decision is refused; where another one that waits about the same member may be why, that one is named.
fn beside_what_waits(folder: &Folder, ground: &Ground<'_>, reason: VoidReason) -> anyhow::Error {
    let paths: Vec<String> = ground.waiting.iter().map(|one| output::path(&one.path)).collect();
    let error = mended_at(&folder.again(), reason);
    if paths.is_empty() {
        return error;
    }
    error.context(format!(
        "it builds on what waits about this member ({}; delete that file, where it shall not be decided)",
        paths.join(", ")
    ))
}

/// Where a decision about a certificate, or of its member's data, is signed already: the newest one about it says the
/// same. Whatever was interrupted is run again as it was, and nothing is decided twice.
pub(super) fn decided_already<'a>(
    folder: &'a Folder,
    goes_in: bool,
    certificate: &Certificate,
    decision: &Decision,
) -> Option<(&'a Statement, Already)> {
    let about = match decision {
        Decision::Amend(_) => Subject::Member(certificate.member),
        _ => Subject::Certificate(certificate.serial),
    };
    newest(folder, goes_in, about).filter(|(newest, _)| newest.decision == *decision)
}

/// The newest statement about a certificate or a member that has an effect, or will have one once it is ordered.
///
/// A file left lying is no decision of today: not one that would be in the log at once if it were taken here and now, and
/// no removal from before what the log says of the same since, which is no ground either.
pub(super) fn newest(folder: &Folder, goes_in: bool, about: Subject) -> Option<(&Statement, Already)> {
    let roster = folder.roster();
    let member = match about {
        Subject::Member(member) => member,
        Subject::Certificate(serial) => roster.certificate(serial)?.member,
    };
    let record = roster
        .records()
        .filter(|record| record.statement.subject() == Some(about))
        .filter(|record| roster.voids().iter().all(|void| void.height != record.height))
        .last();
    let is_meant = |one: &Statement| !is_last(folder, goes_in, &one.decision);
    let ground = Ground::waiting(folder, member);
    let mut waiting = ground.waiting.iter().rev().copied();
    let found = waiting.find(|one| one.statement.subject() == Some(about) && is_meant(&one.statement));
    if let Some(one) = found {
        return Some((&one.statement, Already::Waits(one.waits(&ground))));
    }
    record.map(|record| (&record.statement, Already::Entry(record.height)))
}

/// When a decision was signed, and which dates it states.
pub(super) fn dated(statement: &Statement) -> String {
    let made = format!("signed on {}", second(statement.made));
    let Decision::Revoke(revoke) = &statement.decision else { return made };
    let time = |micros: u64| second(Timestamp::from_micros(micros));
    format!("{made}, decided on {}, effective {}", time(revoke.decided), time(revoke.effective))
}

/// Signs `decision` about `member`; appends it if that is enough, else leaves it in a file for the others.
pub(super) fn decide(
    folder: &mut Folder,
    member: MemberId,
    decision: Decision,
    keys: &Deciders,
    evidence: &Evidence,
) -> anyhow::Result<Decided> {
    let evidence = evidence.salted();
    let Proposed { payload, statement, before } =
        propose_with(folder, keys.registrar.is_some(), member, decision, &evidence)?;
    let coalition = folder.roster().coalition();
    let signed = sign(payload, Purpose::Statement, coalition, &[&keys.admin]);
    evidence.keep(folder, statement.id)?;
    match (&keys.registrar, missing(folder, &statement, &signed)?) {
        (Some(registrar), 0) => Ok(Decided::Ordered(append(folder, signed, registrar)?)),
        (_, missing) => {
            let path = write(folder, &statement, &signed)?;
            evidence.keep_beside(&path)?;
            let mut waits = Waits::of(&path, missing, &statement.decision);
            waits.paths.splice(..0, before);
            folder.left_waiting(Waiting { path, statement, missing });
            Ok(Decided::Waiting(waits))
        }
    }
}

/// How many admins must still sign. A bad signature, or a key that counts twice, refuses the whole.
pub(super) fn missing(
    folder: &Folder,
    statement: &Statement,
    signed: &schema::Signed,
) -> anyhow::Result<usize> {
    let charter = folder.roster().charter();
    let found = valid_signers(signed, Purpose::Statement, folder.roster().coalition(), charter.admins())
        .map_err(|error| mended_at(&folder.again(), error))?
        .len();
    none_ended(signed, charter.admin_ends(), statement.made)
        .map_err(|error| mended_at(&folder.again(), error))?;
    let needed = usize::try_from(charter.threshold(statement.action()))?;
    Ok(needed.saturating_sub(found))
}

/// Orders a statement as the log's next entry.
pub(super) fn append(
    folder: &mut Folder,
    signed: schema::Signed,
    registrar: &SigningKey,
) -> anyhow::Result<Serial> {
    let version = folder.roster().version();
    let height = Height::new(version.height.get() + 1);
    folder.append(order(folder.roster().coalition(), height, version.head, signed, registrar))?;
    Ok(Serial::new(height.get()))
}

/// Where a statement waits: named by what it does and its id, so that no two collide.
fn write(folder: &Folder, statement: &Statement, signed: &schema::Signed) -> anyhow::Result<PathBuf> {
    let waiting = folder.dir().join(waiting::FOLDER);
    file::create_folder(&waiting)?;
    let id: String = statement.id.to_string().chars().take(12).collect();
    let path = waiting.join(format!("{}-{id}.pem", Action::name(statement.action())));
    file::write(&path, armour::write_statement(signed).as_bytes(), Readers::All, Existing::Replace)?;
    Ok(path)
}

/// The certificate of `serial`, or a refusal that says where to look; `again` names the folder.
pub(super) fn certificate(folder: &Folder, serial: Serial, again: &str) -> anyhow::Result<Certificate> {
    match folder.roster().certificate(serial) {
        Some(certificate) => Ok(certificate.clone()),
        None => refuse!("no certificate has serial {serial}: `belfry coalition roster{again}` lists them"),
    }
}
