//! Decisions that wait in the folder's `statements`, for other admins or for the registrar.
//!
//! ```text
//! statements/*.pem ─signed, of this charter─▶ Waiting ─those the log would take, one after the other─▶ what a next one builds on
//! ```
//!
//! Whoever decides about a member while an earlier decision about it waits builds on that one, or the registrar could order
//! one of the two alone. And what waits is decided: asked for again, it is said and not signed a second time. A removal that the
//! log has overtaken is neither: it would still take effect, which nobody who decides since then means.

use std::{
    fs,
    path::{Path, PathBuf},
};

use belfry_proto::{
    id::{Height, MemberId, StatementId},
    schema::{self, CertificateBody},
    trust::{
        ahead::Ahead,
        file as armour,
        roster::Roster,
        signed::none_ended,
        statement::{Decision, Statement, Subject},
    },
};

use super::{decide::missing, folder::Folder};
use crate::{cli::output, clock, keys::enrolment::read};

/// Folder of them in the coalition's.
pub(super) const FOLDER: &str = "statements";

/// A decision in a file, signed by an admin at least.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) path: PathBuf,
    pub(super) statement: Statement,
    /// Admins that must still sign.
    pub(super) missing: usize,
}

/// What a decision about a member builds on: the log, and behind it what waits about that member.
pub(super) struct Ground<'a> {
    pub(super) ahead: Ahead<'a>,
    /// In the order in which they go in.
    pub(super) waiting: Vec<&'a Waiting>,
}

/// Those of a folder, oldest first. A file that is none, that no admin of this charter signed, or that one signed whom it
/// does not name is passed over: whoever signs or orders it is told.
pub(super) fn load(folder: &Folder) -> Vec<Waiting> {
    let Ok(files) = fs::read_dir(folder.dir().join(FOLDER)) else { return Vec::new() };
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let mut found: Vec<Waiting> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "pem"))
        .filter_map(|path| waiting(folder, path))
        .collect();
    found.sort_by(|one, other| (one.statement.made, &one.path).cmp(&(other.statement.made, &other.path)));
    found
}

fn waiting(folder: &Folder, path: PathBuf) -> Option<Waiting> {
    let signed = read(&path, armour::read_statement).ok()?;
    let statement = Statement::decode(&signed.payload).ok()?;
    let is_ours = statement.coalition == folder.roster().coalition() && !signed.signatures.is_empty();
    // What a key signed that is over by now goes in no more, and holds up no decision.
    none_ended(&signed, folder.roster().charter().admin_ends(), clock::now()).ok()?;
    let missing = missing(folder, &statement, &signed).ok().filter(|_| is_ours)?;
    Some(Waiting { path, statement, missing })
}

impl Waiting {
    /// What it waits for, with what goes in before it.
    pub(super) fn waits(&self, ground: &Ground<'_>) -> Waits {
        let mut waits = Waits::of(&self.path, self.missing, &self.statement.decision);
        waits.paths.splice(..0, ground.before(&self.statement));
        waits
    }
}

impl<'a> Ground<'a> {
    /// The log alone: what goes in at once, and what takes away, wait for nobody.
    pub(super) fn log(folder: &'a Folder) -> Self {
        Self { ahead: folder.roster().ahead(), waiting: Vec::new() }
    }

    /// The log, and what waits about `member` as far as the log would take it.
    pub(super) fn waiting(folder: &'a Folder, member: MemberId) -> Self {
        Self::log(folder).and_waiting(folder, member)
    }

    /// Files about `member` that the log would take as it stands, and no longer behind `statement`.
    pub(super) fn voided(folder: &'a Folder, member: MemberId, statement: &Statement) -> Vec<PathBuf> {
        let mut behind = Self::log(folder);
        if behind.ahead.take(statement).is_err() {
            return Vec::new();
        }
        let behind = behind.and_waiting(folder, member);
        let still = |one: &Waiting| behind.waiting.iter().any(|other| other.statement.id == one.statement.id);
        let now = Self::waiting(folder, member).waiting;
        now.into_iter().filter(|one| !still(one)).map(|one| one.path.clone()).collect()
    }

    /// What waits about `member`, as far as it goes in behind this.
    fn and_waiting(self, folder: &'a Folder, member: MemberId) -> Self {
        let (roster, mut ground) = (folder.roster(), self);
        let about = |one: &&Waiting| member_of(roster, &one.statement) == Some(member);
        let is_of_today = |one: &&Waiting| overtaken_by(roster, &one.statement).is_none();
        let mut left: Vec<&Waiting> = folder.waiting().iter().filter(about).filter(is_of_today).collect();
        // Clocks of several admins need not agree: whatever goes in lets those that build on it go in.
        loop {
            let before = left.len();
            left.retain(|one| match ground.ahead.take(&one.statement) {
                Ok(()) => {
                    ground.waiting.push(*one);
                    false
                }
                Err(_) => true,
            });
            if left.len() == before {
                return ground;
            }
        }
    }

    /// Files that must go in before a statement that names `previous`, in that order.
    pub(super) fn before(&self, statement: &Statement) -> Vec<PathBuf> {
        let mut before = Vec::new();
        let mut wanted = statement.previous.filter(|_| !statement.is_removal());
        for one in self.waiting.iter().rev() {
            if Some(one.statement.id) == wanted {
                before.insert(0, one.path.clone());
                wanted = one.statement.previous;
            }
        }
        before
    }
}

/// The newest entry about the same certificate that a removal did not know of and that says otherwise since: what takes away
/// takes effect whatever came between, so the log would not refuse it, and a file left lying would undo what was decided
/// since. [`None`] where there is none, and of all else, which the log refuses by itself.
fn overtaken_by(roster: &Roster, statement: &Statement) -> Option<Height> {
    let subject = statement.subject().filter(|_| statement.is_removal())?;
    let is_void = |height| roster.voids().iter().any(|void| void.height == height);
    let (mut known, mut newest) = (None, None);
    for record in roster.records() {
        if statement.previous == Some(record.statement.id) {
            known = Some(record.height);
        }
        // What is recorded of the texts says nothing about whether it takes part.
        let is_filing = matches!(record.statement.decision, Decision::Accept(_));
        if record.statement.subject() == Some(subject) && !is_filing && !is_void(record.height) {
            newest = Some(record);
        }
    }
    // It names what it was built on; else their dates tell, which clocks of two machines made.
    let is_known = |height: Height| known.is_some_and(|known| height <= known);
    newest
        .filter(|record| !is_known(record.height) && statement.made <= record.statement.made)
        .map(|record| record.height)
}

/// Removals in files about `member` that are in no log, and that the log has overtaken: by which entry. Nothing builds on
/// them.
pub(super) fn left_out(folder: &Folder, member: MemberId) -> Vec<(&Waiting, Height)> {
    let roster = folder.roster();
    let is_ordered = |one: &Waiting| roster.records().any(|record| record.statement.id == one.statement.id);
    let about = folder.waiting().iter().filter(|one| member_of(roster, &one.statement) == Some(member));
    about
        .filter_map(|one| Some((one, overtaken_by(roster, &one.statement)?)))
        // One that would have no effect harms nobody.
        .filter(|(one, _)| !is_ordered(one) && roster.preview(&one.statement).is_ok())
        .collect()
}

/// Files that build on a statement, and on each other.
pub(super) fn built_on(folder: &Folder, statement: StatementId) -> Vec<&Waiting> {
    let (mut found, mut below) = (Vec::new(), vec![statement]);
    // No chain of hashes ends in itself.
    while let Some(id) = below.pop() {
        let builds = |one: &&Waiting| one.statement.previous == Some(id) && !one.statement.is_removal();
        for one in folder.waiting().iter().filter(builds) {
            below.push(one.statement.id);
            found.push(one);
        }
    }
    found
}

/// Whom a statement is about, by this roster.
pub(super) fn member_of(roster: &Roster, statement: &Statement) -> Option<MemberId> {
    match statement.subject()? {
        Subject::Member(member) => Some(member),
        Subject::Certificate(serial) => Some(roster.certificate(serial)?.member),
    }
}

/// The certificate that a decision issues.
pub(super) fn issued(decision: &Decision) -> Option<&CertificateBody> {
    match decision {
        Decision::Issue(schema::Issue { certificate })
        | Decision::Supersede(schema::Supersede { certificate, .. }) => certificate.as_ref(),
        Decision::Renew(_)
        | Decision::Suspend(_)
        | Decision::Resume(_)
        | Decision::Revoke(_)
        | Decision::Entitle(_)
        | Decision::Disentitle(_)
        | Decision::ExtendCut(_)
        | Decision::Accept(_)
        | Decision::Amend(_) => None,
    }
}

/// The certificate that is decided already for a node's key, and waits; [`None`] for one that the log would not take.
pub(super) fn certificate_for<'a>(
    folder: &'a Folder,
    node: &[u8],
) -> Option<(&'a Waiting, &'a CertificateBody)> {
    folder.waiting().iter().find_map(|one| {
        let body = issued(&one.statement.decision)?;
        let is_for = body.keys.as_ref().is_some_and(|keys| keys.node == node);
        let member = member_of(folder.roster(), &one.statement)?;
        let goes_in =
            || Ground::waiting(folder, member).waiting.iter().any(|w| w.statement.id == one.statement.id);
        (is_for && goes_in()).then_some((one, body))
    })
}

/// Whether a certificate that waits is of the member that it is asked for: the one that is named, else one that there is not
/// yet. What another admin signed first may say otherwise.
pub(super) fn is_of(roster: &Roster, body: &CertificateBody, named: Option<MemberId>) -> bool {
    match (MemberId::try_from(body.member.as_slice()), named) {
        (Ok(member), Some(named)) => member == named,
        (Ok(member), None) => roster.member(member).is_none(),
        (Err(_), _) => false,
    }
}

/// Files that wait, in the order in which they go in, and what they wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    /// The files.
    pub(super) paths: Vec<PathBuf>,
    /// Admins that must still sign.
    pub(super) missing: usize,
    /// What it takes away is taken away later than whoever decided may think.
    pub(super) is_removal: bool,
}

impl Waits {
    /// Of one file.
    pub(super) fn of(path: &Path, missing: usize, decision: &Decision) -> Self {
        let is_removal = belfry_proto::trust::statement::is_removal(decision);
        Self { paths: vec![path.to_owned()], missing, is_removal }
    }

    /// With another one's files, each named once.
    pub(super) fn and(mut self, other: Self) -> Self {
        for path in other.paths {
            if !self.paths.contains(&path) {
                self.paths.push(path);
            }
        }
        let (missing, is_removal) = (self.missing.max(other.missing), self.is_removal || other.is_removal);
        Self { missing, is_removal, ..self }
    }

    /// What is needed next; `again` names the folder where the files are.
    pub(super) fn told(&self, again: &str) -> String {
        let paths: Vec<String> = self.paths.iter().map(|path| output::path(path)).collect();
        let (paths, it) = (paths.join(" "), if self.paths.len() == 1 { "it" } else { "them" });
        let order = format!("  belfry coalition order {paths}{again}\n");
        let mut text = match self.missing {
            0 => format!("The registrar orders {it}:\n{order}"),
            _ => format!(
                "{} must sign {it}, each on a machine of their own:\n  belfry coalition sign {paths}\n(with the .record.json \
                 beside {it}, if there is one: it says what they sign for)\nThen the registrar orders {it}:\n{order}",
                output::counted(self.missing as u64, "more admin", "more admins")
            ),
        };
        if self.is_removal {
            text += "Until then it holds at no node: if it is urgent, the registrar is needed now.\n";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_on_another_file_is_named_behind_it_and_each_once() {
        let suspend = Decision::Suspend(schema::Suspend { serial: 1, cut: Vec::new() });
        let resume = Decision::Resume(schema::Resume { serial: 1 });
        let [one, other] = ["a.pem", "b.pem"].map(Path::new);
        let waits = Waits { paths: vec![one.to_owned(), other.to_owned()], ..Waits::of(other, 0, &resume) };
        let told = Waits::of(one, 1, &resume).and(waits).told(" --dir A");
        assert!(
            told.contains("sign a.pem b.pem\n") && told.contains("order a.pem b.pem --dir A\n"),
            "{told}"
        );
        assert!(!told.contains("urgent"), "{told}");
        let told = Waits::of(one, 0, &suspend).told("");
        assert!(told.starts_with("The registrar orders it:\n  belfry coalition order a.pem\n"), "{told}");
        assert!(told.contains("holds at no node") && told.contains("urgent"), "{told}");
    }
}
