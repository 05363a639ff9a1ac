//! From a decision to a durable entry of the log: stated, held to every rule, signed, ordered, appended.
//!
//! ```text
//! decision ──▶ statement ──preview──▶ signed by an admin ──┬─ enough, and the registrar is here ──▶ entry
//!                                                          └─ else a file: sign, sign … ──▶ order ──▶ entry
//! ```
//!
//! Nothing is signed that the log would not take: a void statement would stand in it for ever and do nothing.

use std::path::PathBuf;

use belfry_proto::{
    crypto::sign::{Purpose, SigningKey},
    id::{Height, MemberId, Serial},
    schema::{self, Action},
    trust::{
        certificate::Certificate,
        file as armour,
        log::{VerifiedRecord, order},
        names::Named as _,
        roster::Roster,
        signed::{none_ended, sign, valid_signers},
        statement::{self, Decision, Statement, Subject},
    },
};

use super::{evidence::Evidence, folder::Folder, mend::mended, role_keys::RolePassphrases};
use crate::{
    cli::{
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
    Waiting {
        /// The file.
        path: PathBuf,
        /// Admins that must still sign.
        missing: usize,
    },
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
}

/// States a decision about a member and holds it to every rule, before anything is signed.
pub(super) fn propose(folder: &Folder, member: MemberId, decision: Decision) -> anyhow::Result<Proposed> {
    propose_with(folder, member, decision, &Evidence::default())
}

/// The same, tied to what is kept of it.
fn propose_with(
    folder: &Folder,
    member: MemberId,
    decision: Decision,
    evidence: &Evidence,
) -> anyhow::Result<Proposed> {
    let roster = folder.roster();
    let previous = roster.member(member).map(|member| member.last_statement);
    let (coalition, version) = (roster.coalition(), roster.charter().version());
    let nonce = evidence.nonce(coalition);
    let payload = statement::propose_with(coalition, decision, previous, version, clock::now(), nonce);
    let statement = Statement::decode(&payload).map_err(refused)?;
    roster.preview(&statement).map_err(mended)?;
    Ok(Proposed { payload, statement })
}

/// The entry by which a decision about a certificate, or of its member's data, is so already: the newest one about it says
/// the same. Whatever was interrupted is run again as it was, and nothing is decided twice.
pub(super) fn decided_already(
    roster: &Roster,
    certificate: &Certificate,
    decision: &Decision,
) -> Option<Height> {
    let about = match decision {
        Decision::Amend(_) => Subject::Member(certificate.member),
        _ => Subject::Certificate(certificate.serial),
    };
    newest(roster, about).filter(|record| record.statement.decision == *decision).map(|record| record.height)
}

/// The newest entry about a certificate or a member that has an effect.
pub(super) fn newest(roster: &Roster, about: Subject) -> Option<&VerifiedRecord> {
    roster
        .records()
        .filter(|record| record.statement.subject() == Some(about))
        .filter(|record| roster.voids().iter().all(|void| void.height != record.height))
        .last()
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
    let Proposed { payload, statement } = propose_with(folder, member, decision, &evidence)?;
    let coalition = folder.roster().coalition();
    let signed = sign(payload, Purpose::Statement, coalition, &[&keys.admin]);
    evidence.keep(folder, statement.id)?;
    match (&keys.registrar, missing(folder, &statement, &signed)?) {
        (Some(registrar), 0) => Ok(Decided::Ordered(append(folder, signed, registrar)?)),
        (_, missing) => {
            let path = write(folder, &statement, &signed)?;
            evidence.keep_beside(&path)?;
            Ok(Decided::Waiting { path, missing })
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
        .map_err(mended)?
        .len();
    none_ended(signed, charter.admin_ends(), statement.made).map_err(mended)?;
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
    let waiting = folder.dir().join("statements");
    file::create_folder(&waiting)?;
    let id: String = statement.id.to_string().chars().take(12).collect();
    let path = waiting.join(format!("{}-{id}.pem", Action::name(statement.action())));
    file::write(&path, armour::write_statement(signed).as_bytes(), Readers::All, Existing::Replace)?;
    Ok(path)
}

/// What a waiting statement needs next.
pub(super) fn waits(path: &std::path::Path, missing: usize) -> String {
    let path = output::path(path);
    match missing {
        0 => format!("The registrar orders it:\n  belfry coalition order {path}\n"),
        _ => format!(
            "{} must sign it, each on a machine of their own:\n  belfry coalition sign {path}\n(with the .record.json beside \
             it, if there is one: it says what they sign for)\nThen the registrar orders it:\n  belfry coalition order {path}\n",
            output::counted(missing as u64, "more admin", "more admins")
        ),
    }
}

/// The certificate of `serial`, or a refusal that says where to look; `again` names the folder.
pub(super) fn certificate(folder: &Folder, serial: Serial, again: &str) -> anyhow::Result<Certificate> {
    match folder.roster().certificate(serial) {
        Some(certificate) => Ok(certificate.clone()),
        None => refuse!("no certificate has serial {serial}: `belfry coalition roster{again}` lists them"),
    }
}
